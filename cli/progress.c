/* SPDX-License-Identifier: MIT */
/* Live progress on stderr. A finished run leaves one line; the run in progress is a line that is
 * drawn over. */
#include "cli.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char erase_line[] = "\r\033[K";

void cli_progress_start(struct cli_progress *progress, bool json)
{
    bool terminal = cli_is_terminal(stderr);
    *progress = (struct cli_progress){
        .live = terminal,
        .color = cli_wants_color(stderr),
        .quiet = json && !terminal,
    };
}

/* A line that wraps cannot be drawn over, so it ends before the terminal does. */
static size_t terminal_columns(void)
{
    struct winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_col == 0)
        return 80;
    return window.ws_col;
}

/* Ends the text after at most `size` bytes, not in the middle of a UTF-8 sequence. */
static void cut(char *text, size_t size)
{
    if (strlen(text) <= size)
        return;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    text[size] = '\0';
}

static void draw(struct cli_progress *progress, const char *text)
{
    char line[sizeof progress->drawn];
    snprintf(line, sizeof line, "%s", text);
    cut(line, terminal_columns() - 1);
    if (strcmp(line, progress->drawn) == 0)
        return;
    memcpy(progress->drawn, line, sizeof line);
    fprintf(stderr, "%s%s", erase_line, line);
    fflush(stderr);
}

enum { TITLE_SIZE = 256 }; /* more than a name may take */

/* "[3/14] slow_inference_test (naive)" */
static void title(const struct ce_progress *now, char *text, size_t size)
{
    bool has_profile = now->profile && now->profile[0] != '\0';
    snprintf(text, size, "[%zu/%zu] %s%s%s%s", now->run + 1, now->run_count, now->experiment,
             has_profile ? " (" : "", has_profile ? now->profile : "", has_profile ? ")" : "");
}

/* What is going on in that run now; a run that is not known yet gets the first free place. */
static struct cli_running *place_of(struct cli_progress *progress, const struct ce_progress *now)
{
    struct cli_running *vacant = NULL;
    for (size_t i = 0; i < CLI_LENGTH(progress->running); i++) {
        struct cli_running *place = &progress->running[i];
        if (place->name[0] != '\0' && place->run == now->run)
            return place;
        if (place->name[0] == '\0' && !vacant)
            vacant = place;
    }
    return vacant;
}

/* "[3/14] slow_inference_test (naive)    observing      ########........  50 %" */
static void show_one(struct cli_progress *progress, const struct ce_progress *now)
{
    /* All of it fits 80 columns; of a name that is too long for that, the beginning is shown. */
    enum { WIDTH = 16, NAME_LEAST = 38, REST = sizeof " verifying_undo  100 % " + WIDTH };
    char name[TITLE_SIZE], text[sizeof progress->drawn];
    size_t columns = terminal_columns();
    double fraction = now->fraction < 0 ? 0 : now->fraction > 1 ? 1 : now->fraction;
    int full = (int)(fraction * WIDTH);
    title(now, name, sizeof name);
    cut(name, columns > NAME_LEAST + REST ? columns - REST : NAME_LEAST);
    snprintf(text, sizeof text, "%-38s %-14s %.*s%.*s %3.0f %%", name, now->phase, full,
             "################", WIDTH - full, "................", fraction * 100);
    draw(progress, text);
}

/* "3/14 ended; slow_inference_test observing 50 %, ..." */
static void show_several(struct cli_progress *progress, const struct ce_progress *now)
{
    char text[sizeof progress->drawn];
    int n = snprintf(text, sizeof text, "%zu/%zu ended", now->ended, now->run_count);
    const char *between = "; ";
    for (size_t i = 0; i < CLI_LENGTH(progress->running) && n < (int)sizeof text; i++) {
        const struct cli_running *place = &progress->running[i];
        if (place->name[0] == '\0')
            continue;
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s %s %.0f %%", between, place->name,
                      place->phase, place->fraction * 100);
        between = ", ";
    }
    draw(progress, text);
}

static void show_running(struct cli_progress *progress, const struct ce_progress *now)
{
    struct cli_running *place = place_of(progress, now);
    size_t going_on = 0;
    if (place) {
        place->run = now->run;
        place->fraction = now->fraction;
        snprintf(place->name, sizeof place->name, "%s", now->experiment);
        snprintf(place->phase, sizeof place->phase, "%s", now->phase);
    }
    for (size_t i = 0; i < CLI_LENGTH(progress->running); i++)
        going_on += progress->running[i].name[0] != '\0';
    if (going_on > 1)
        show_several(progress, now);
    else
        show_one(progress, now);
}

static void show_ended(struct cli_progress *progress, const struct ce_progress *now)
{
    char name[TITLE_SIZE], score[32] = "no score";
    bool completed = strcmp(now->status, "completed") == 0;
    const char *ending = completed ? now->verdict : now->status;
    const char *color = strcmp(ending, "passed") == 0     ? "\033[32m"
                        : strcmp(ending, "deviated") == 0 ? "\033[33m"
                                                          : "\033[31m";
    title(now, name, sizeof name);
    if (now->score >= 0)
        snprintf(score, sizeof score, "score %.1f", now->score);
    fprintf(stderr, "%s%-42s %s%-12s%s %s\n", progress->live ? erase_line : "", name,
            progress->color ? color : "", ending, progress->color ? "\033[0m" : "", score);
    progress->drawn[0] = '\0';
}

void cli_progress_show(void *ctx, const struct ce_progress *now)
{
    struct cli_progress *progress = ctx;
    if (now->status[0] != '\0') {
        struct cli_running *place = place_of(progress, now);
        if (place)
            *place = (struct cli_running){0};
        if (!progress->quiet)
            show_ended(progress, now);
    } else if (progress->live) {
        show_running(progress, now);
    }
}

void cli_progress_share(void *ctx, double fraction)
{
    struct cli_progress *progress = ctx;
    char text[sizeof progress->drawn] = "working";
    if (!progress->live)
        return;
    if (fraction >= 0)
        snprintf(text, sizeof text, "%3.0f %%", fraction * 100);
    draw(progress, text);
}

void cli_progress_end(struct cli_progress *progress)
{
    if (progress->drawn[0] != '\0')
        fputs(erase_line, stderr);
    progress->drawn[0] = '\0';
}
