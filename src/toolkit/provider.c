/* SPDX-License-Identifier: MIT */
/* Providers, as a document writes them: with everything resolved, so that nothing is left to go
 * wrong but the deed itself. */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "toolkit/toolkit_internal.h"

struct source {
    const struct ce_node *node;
    json_t *value; /* the same, resolved */
};

static int fail(const struct source *s, const char *key, int code, struct ce_error *err,
                const char *fmt, ...) CE_PRINTF(5, 6);
static int fail(const struct source *s, const char *key, int code, struct ce_error *err,
                const char *fmt, ...)
{
    const struct ce_node *at = ce_node_get(s->node, key);
    char why[320];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    return ce_fail_place(err, at ? &at->place : &s->node->place, code, "%s: %s", key, why);
}

static int take_timeout(const struct source *s, json_t **ret_timeout, struct ce_error *err)
{
    const json_t *value = json_object_get(s->value, "timeout"), *item;
    double sum = json_number_value(value);
    size_t i;
    bool fits = !value || json_is_null(value) || json_is_number(value) || json_is_array(value);
    json_array_foreach(value, i, item) /* to connect, and then to answer */
    {
        fits = fits && json_is_number(item);
        sum += json_number_value(item);
    }
    bool none = !value || json_is_null(value);
    if (!fits || (!none && !(sum > 0 && sum < 1e9)))
        return fail(s, "timeout", EINVAL, err, "expected a number of seconds above 0");
    *ret_timeout = none ? json_null() : json_real(sum);
    return *ret_timeout ? 0 : ce_fail_memory(err);
}

/* ---- programs ---- */

/* Along PATH, as a shell finds it. NULL: there is none. Free with free(). */
static char *find_program(const char *name)
{
    const char *path = getenv("PATH"), *home = getenv("HOME");
    if (strncmp(name, "~/", 2) == 0 && home)
        return ce_format("%s%s", home, name + 1);
    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? strdup(name) : NULL;
    for (path = path ? path : "/usr/bin:/bin"; *path;) {
        size_t size = strcspn(path, ":");
        char *file = ce_format("%.*s/%s", (int)size, path, name);
        if (!file || (size > 0 && access(file, X_OK) == 0))
            return file;
        free(file);
        path += size + (path[size] == ':');
    }
    return NULL;
}

static int add_word(json_t *argv, const json_t *value, struct ce_error *err)
{
    ce_autofree char *text = ce_value_text(value);
    if (!text)
        return ce_fail_memory(err);
    if (json_is_null(value) || text[0] == '\0')
        return 0;
    return json_array_append_new(argv, json_string(text)) < 0 ? ce_fail_memory(err) : 0;
}

/* A text is a line for the shell; a mapping is its keys and values in turn. */
static int make_argv(const struct source *s, const char *program, json_t **ret_argv,
                     struct ce_error *err)
{
    json_t *arguments = json_object_get(s->value, "arguments"), *item;
    const char *line = json_string_value(arguments), *key;
    size_t i;
    ce_autofree char *command = line ? ce_format("%s %s", program, line) : NULL;
    ce_autojson json_t *argv =
        line ? json_pack("[s, s, s]", "/bin/sh", "-c", command) : json_pack("[s]", program);
    if (!argv)
        return ce_fail_memory(err);
    if (arguments && !line && !json_is_array(arguments) && !json_is_object(arguments) &&
        !json_is_null(arguments))
        return fail(s, "arguments", EINVAL, err, "expected text, a list or a mapping");
    json_array_foreach(arguments, i, item) CE_TRY(add_word(argv, item, err));
    json_object_foreach(arguments, key, item)
    {
        ce_autojson json_t *name = json_string(key);
        CE_TRY(name ? add_word(argv, name, err) : ce_fail_memory(err));
        CE_TRY(add_word(argv, item, err));
    }
    *ret_argv = ce_take(argv);
    return 0;
}

static int read_process(const struct source *s, json_t **ret_provider, struct ce_error *err)
{
    const char *path = json_string_value(json_object_get(s->value, "path"));
    ce_autojson json_t *argv = NULL;
    ce_autojson json_t *timeout = NULL;
    if (!path || !*path)
        return fail(s, "path", EINVAL, err, "a process provider needs the program's path");
    ce_autofree char *program = find_program(path);
    if (!program || access(program, X_OK) < 0)
        return fail(s, "path", ENOENT, err, "there is no program '%.120s' that could be executed",
                    path);
    CE_TRY(make_argv(s, program, &argv, err));
    CE_TRY(take_timeout(s, &timeout, err));
    *ret_provider =
        json_pack("{s:s, s:O, s:O}", "type", "process", "argv", argv, "timeout", timeout);
    return *ret_provider ? 0 : ce_fail_memory(err);
}

/* ---- calls ---- */

static bool is_token(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *p))
            return false;
    return *text;
}

/* The lines of the request's head that are not written by the call itself. */
static int make_headers(const struct source *s, const char *type, char **ret_lines,
                        struct ce_error *err)
{
    static const char *const own[] = {"Content-Length", "Transfer-Encoding", "Connection"};
    json_t *headers = json_object_get(s->value, "headers"), *value;
    const char *key;
    bool accepts = false, names_agent = false;
    ce_autofree char *lines = type ? ce_format("Content-Type: %s\r\n", type) : strdup("");
    if (headers && !json_is_object(headers) && !json_is_null(headers))
        return fail(s, "headers", EINVAL, err, "expected a mapping");
    json_object_foreach(headers, key, value)
    {
        ce_autofree char *text = ce_value_text(value);
        if (!text || !is_token(key) || strpbrk(text, "\r\n"))
            return fail(s, "headers", EINVAL, err, "'%.80s' is no field of one line", key);
        for (size_t i = 0; i < CE_COUNT(own); i++)
            if (strcasecmp(key, own[i]) == 0)
                return fail(s, "headers", EINVAL, err, "'%s' is written by the call itself", key);
        accepts = accepts || strcasecmp(key, "Accept") == 0;
        names_agent = names_agent || strcasecmp(key, "User-Agent") == 0;
        char *more = lines ? ce_format("%s%s: %s\r\n", lines, key, text) : NULL;
        free(lines);
        lines = more;
    }
    *ret_lines = lines ? ce_format("%s%s%s", lines, accepts ? "" : "Accept: */*\r\n",
                                   names_agent ? "" : "User-Agent: chaoseater/" CE_VERSION "\r\n")
                       : NULL;
    return *ret_lines ? 0 : ce_fail_memory(err);
}

/* What of the arguments goes into the URL, and what into the body, in which type. */
static int place_arguments(const struct source *s, bool is_get, char **url, char **ret_body,
                           const char **ret_type, struct ce_error *err)
{
    const json_t *arguments = json_object_get(s->value, "arguments");
    const char *type = ce_value_header(json_object_get(s->value, "headers"), "Content-Type");
    bool is_map = json_is_object(arguments);
    if (!arguments || json_is_null(arguments) || (is_map && json_object_size(arguments) == 0))
        return 0;
    bool is_json = !is_get && type && strcmp(type, "application/json") == 0;
    if (!is_json && !is_map && !json_is_string(arguments))
        return fail(s, "arguments", EINVAL, err, "expected a mapping or text");
    ce_autofree char *text = is_json  ? json_dumps(arguments, JSON_ENCODE_ANY | JSON_COMPACT)
                             : is_map ? ce_call_form(arguments)
                                      : strdup(json_string_value(arguments));
    if (!text)
        return ce_fail_memory(err);
    if (!is_get) {
        *ret_type = is_map && !type ? "application/x-www-form-urlencoded" : NULL;
        *ret_body = ce_take(text);
        return 0;
    }
    size_t server = strcspn(*url, "#");
    char *longer =
        ce_format("%.*s%s%s", (int)server, *url, memchr(*url, '?', server) ? "&" : "?", text);
    if (!longer)
        return ce_fail_memory(err);
    free(*url);
    *url = longer;
    return 0;
}

static int read_authorities(const struct source *s, const char **ret_path, struct ce_error *err)
{
    const json_t *verify = json_object_get(s->value, "verify_tls");
    *ret_path = json_string_value(verify);
    if (*ret_path && access(*ret_path, R_OK) < 0)
        return fail(s, "verify_tls", ENOENT, err, "cannot read '%.160s'", *ret_path);
    if (json_is_false(verify))
        return fail(s, "verify_tls", ENOTSUP, err,
                    "a server's certificate is always checked; give the path of its authority's "
                    "PEM file instead of false");
    return 0;
}

static int read_http(const struct source *s, json_t **ret_provider, struct ce_error *err)
{
    const char *written = json_string_value(json_object_get(s->value, "url")), *type = NULL;
    const char *verb = json_string_value(json_object_get(s->value, "method")), *authorities = NULL;
    ce_autofree char *url = strdup(written ? written : "");
    ce_autofree char *method = strdup(verb ? verb : "GET");
    ce_autofree char *body = NULL;
    ce_autofree char *headers = NULL;
    ce_autojson json_t *timeout = NULL;
    struct ce_error why = {0};
    if (!url || !method)
        return ce_fail_memory(err);
    if (!*url)
        return fail(s, "url", EINVAL, err, "an http provider needs the address to call");
    if (ce_call_check(url, &why) < 0)
        return fail(s, "url", EINVAL, err, "%s", why.message);
    for (char *p = method; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    if (!is_token(method))
        return fail(s, "method", EINVAL, err, "'%.40s' is no method such as GET", method);
    CE_TRY(place_arguments(s, strcmp(method, "GET") == 0, &url, &body, &type, err));
    CE_TRY(make_headers(s, type, &headers, err));
    CE_TRY(take_timeout(s, &timeout, err));
    CE_TRY(read_authorities(s, &authorities, err));
    *ret_provider = json_pack(
        "{s:s, s:s, s:s, s:s, s:s?, s:O, s:I, s:s?}", "type", "http", "method", method, "url", url,
        "headers", headers, "body", body, "timeout", timeout, "retries",
        json_integer_value(json_object_get(s->value, "max_retries")), "authorities", authorities);
    return *ret_provider ? 0 : ce_fail_memory(err);
}

/* ---- either ---- */

static const char *const http_keys[] = {"type",      "url",        "method",      "headers",
                                        "timeout",   "verify_tls", "max_retries", "secrets",
                                        "arguments", NULL};
static const char *const process_keys[] = {"type", "path", "arguments", "timeout", "secrets", NULL};

int ce_provider_read(const struct ce_node *node, const struct ce_settings *settings,
                     struct ce_names *notices, json_t **ret_provider, bool *ret_secret,
                     struct ce_error *err)
{
    const struct ce_node *kind = ce_node_get(node, "type");
    const char *type = kind && kind->kind == CE_NODE_SCALAR ? kind->text : "";
    bool is_http = strcmp(type, "http") == 0;
    if (node->kind != CE_NODE_MAP || !kind)
        return ce_fail_place(err, &node->place, EINVAL,
                             "provider: expected a mapping with a 'type'");
    if (strcmp(type, "python") == 0)
        return ce_fail_place(err, &kind->place, ENOTSUP,
                             "provider: python calls a function inside the Chaos Toolkit's own "
                             "interpreter, which is not here; have a process provider run python, "
                             "or the http provider call a service");
    if (!is_http && strcmp(type, "process") != 0)
        return ce_fail_place(err, &kind->place, EINVAL,
                             "provider: type '%.40s' is not one of http or process", type);
    CE_TRY(
        ce_toolkit_check_keys(node, is_http ? http_keys : process_keys, "provider", notices, err));
    ce_autojson json_t *written = ce_value_of(node);
    ce_autojson json_t *value = written ? ce_value_resolve(written, settings, ret_secret) : NULL;
    if (!value)
        return ce_fail_memory(err);
    /* Where nothing is configured, $ is an ordinary character of arguments, of a shell's, say. */
    json_t *arguments = json_object_get(written, "arguments");
    if (arguments && json_object_size(settings->values) == 0 &&
        json_object_set(value, "arguments", arguments) < 0)
        return ce_fail_memory(err);
    const struct source source = {node, value};
    return is_http ? read_http(&source, ret_provider, err)
                   : read_process(&source, ret_provider, err);
}
