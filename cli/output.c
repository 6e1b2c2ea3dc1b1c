/* SPDX-License-Identifier: MIT */
/* How commands speak: errors as one line or one document, JSON on stdout, colours only where they
 * are welcome. */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH = 100, WIDTH_LEAST = 60 };

int cli_fail(struct ce_error *err, int exit_code, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    err->code = code;
    err->where[0] = '\0';
    vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    return exit_code;
}

int cli_fail_memory(struct ce_error *err)
{
    return cli_fail(err, CE_EXIT_FAILED, ENOMEM, "out of memory");
}

static json_t *error_json(const struct ce_error *err, int exit_code)
{
    /* "s?": null when no input is at fault. */
    return json_pack("{s:s, s:s?, s:i}", "message", err->message, "where",
                     err->where[0] ? err->where : NULL, "exit_code", exit_code);
}

static void keep_ascii(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            *text = '?';
}

void cli_print_error(const struct ce_error *err, int exit_code, bool json)
{
    if (!json) {
        fprintf(stderr, "chaoseater: %s%s%s\n", err->where, err->where[0] ? ": " : "",
                err->message);
        return;
    }
    json_t *error = error_json(err, exit_code);
    if (!error) {
        /* It quotes input that is no UTF-8. */
        struct ce_error shown = *err;
        keep_ascii(shown.message);
        keep_ascii(shown.where);
        error = error_json(&shown, exit_code);
    }
    struct ce_error ignored = {0};
    (void)cli_print_json(json_pack("{s:o}", "error", error), &ignored);
}

int cli_print_json(json_t *json, struct ce_error *err)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!text)
        return cli_fail_memory(err);
    puts(text);
    free(text);
    return CE_EXIT_PASSED;
}

int cli_print_json_text(char *text, struct ce_error *err)
{
    if (!text)
        return cli_fail_memory(err);
    fputs(text, stdout);
    ce_string_free(text);
    return CE_EXIT_PASSED;
}

json_t *cli_read_json(char *text, struct ce_error *err)
{
    json_error_t why;
    json_t *json = text ? json_loads(text, JSON_ALLOW_NUL, &why) : NULL;
    ce_string_free(text);
    if (!json)
        cli_fail_memory(err);
    return json;
}

bool cli_is_terminal(FILE *stream)
{
    const char *term = getenv("TERM");
    return isatty(fileno(stream)) && term && strcmp(term, "dumb") != 0;
}

bool cli_wants_color(FILE *stream)
{
    const char *no_color = getenv("NO_COLOR");
    return !(no_color && *no_color) && cli_is_terminal(stream);
}

static int width_of(FILE *out)
{
    struct winsize window;
    bool known = ioctl(fileno(out), TIOCGWINSZ, &window) == 0 && window.ws_col >= WIDTH_LEAST;
    return known ? window.ws_col : WIDTH;
}

void cli_print_wrapped(FILE *out, const char *text, int column, int indent)
{
    int width = width_of(out);
    for (bool first = true; *text; first = false) {
        int word = (int)strcspn(text, " ");
        if (!first && column + 1 + word > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

bool cli_reader_is_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) > 0 && (out.revents & POLLERR);
}
