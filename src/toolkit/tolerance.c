/* SPDX-License-Identifier: MIT */
/* What a probe of the hypothesis may yield.
 *
 * Its output is always a mapping: {status, headers, body} or {status, stdout, stderr}. So a number,
 * or a list of them, is about the status; the rest looks at one member, or at all by a path. What
 * could never hold is refused before anything runs. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/json.h"
#include "toolkit/toolkit_internal.h"

const char *const ce_http_members[] = {"status", "headers", "body", NULL};
const char *const ce_process_members[] = {"status", "stdout", "stderr", NULL};

void ce_tolerance_done(struct ce_tolerance *tolerance)
{
    json_decref(tolerance->statuses);
    free(tolerance->target);
    free(tolerance->text);
    if (tolerance->pattern)
        regfree(tolerance->pattern);
    free(tolerance->pattern);
    json_decref(tolerance->path);
    json_decref(tolerance->expect);
    *tolerance = (struct ce_tolerance){0};
}

/* ---- reading ---- */

static int take_text(const json_t *value, char **ret_text, struct ce_error *err)
{
    *ret_text = strdup(json_string_value(value));
    return *ret_text ? 0 : ce_fail_memory(err);
}

static int read_target(const json_t *value, const char *const *members, bool needed,
                       struct ce_tolerance *tolerance, struct ce_error *err)
{
    const json_t *target = json_object_get(value, "target");
    const char *name = json_string_value(target);
    size_t count = 0;
    while (members[count])
        count++;
    if (name && ce_text_is_among(name, members, count))
        return take_text(target, &tolerance->target, err);
    if (!name && !needed)
        return 0;
    return ce_fail(err, EINVAL, "%s of such a probe's output: target has to be %s, %s or %s",
                   name ? "there is no such part" : "it looks at one part", members[0], members[1],
                   members[2]);
}

static int read_pattern(const json_t *value, const char *const *members,
                        struct ce_tolerance *tolerance, struct ce_error *err)
{
    const json_t *pattern = json_object_get(value, "pattern");
    if (!json_is_string(pattern))
        return ce_fail(err, EINVAL, "a tolerance of type regex needs a 'pattern'");
    CE_TRY(read_target(value, members, true, tolerance, err));
    CE_TRY(take_text(pattern, &tolerance->text, err));
    regex_t *compiled = malloc(sizeof *compiled);
    if (!compiled)
        return ce_fail_memory(err);
    int r = ce_pattern_compile(tolerance->text, compiled, err);
    if (r < 0)
        free(compiled);
    else
        tolerance->pattern = compiled;
    tolerance->kind = CE_TOLERANCE_PATTERN;
    return r;
}

static int read_path(const json_t *value, const char *const *members,
                     struct ce_tolerance *tolerance, struct ce_error *err)
{
    const json_t *path = json_object_get(value, "path"), *count = json_object_get(value, "count");
    json_t *expect = json_object_get(value, "expect");
    if (!json_is_string(path))
        return ce_fail(err, EINVAL, "a tolerance of type jsonpath needs a 'path'");
    if (count && !json_is_integer(count))
        return ce_fail(err, EINVAL, "count is no whole number");
    CE_TRY(read_target(value, members, false, tolerance, err));
    CE_TRY(take_text(path, &tolerance->text, err));
    CE_TRY(ce_path_parse(tolerance->text, &tolerance->path, err));
    tolerance->count = count ? json_integer_value(count) : -1;
    if (expect)
        tolerance->expect = json_is_array(expect) ? json_incref(expect) : json_pack("[O]", expect);
    tolerance->kind = CE_TOLERANCE_PATH;
    return expect && !tolerance->expect ? ce_fail_memory(err) : 0;
}

static int read_range(const json_t *value, const char *const *members,
                      struct ce_tolerance *tolerance, struct ce_error *err)
{
    const json_t *range = json_object_get(value, "range");
    const json_t *low = json_array_get(range, 0), *high = json_array_get(range, 1);
    if (json_array_size(range) != 2 || !json_is_number(low) || !json_is_number(high))
        return ce_fail(err, EINVAL, "a tolerance of type range needs a 'range' of two numbers");
    CE_TRY(read_target(value, members, true, tolerance, err));
    tolerance->low = json_number_value(low);
    tolerance->high = json_number_value(high);
    if (tolerance->low > tolerance->high)
        return ce_fail(err, EINVAL, "the range [%g, %g] is empty", tolerance->low, tolerance->high);
    tolerance->kind = CE_TOLERANCE_RANGE;
    return 0;
}

static int read_map(const json_t *value, const char *const *members, struct ce_tolerance *tolerance,
                    struct ce_error *err)
{
    const char *type = json_string_value(json_object_get(value, "type"));
    if (type && strcmp(type, "regex") == 0)
        return read_pattern(value, members, tolerance, err);
    if (type && strcmp(type, "jsonpath") == 0)
        return read_path(value, members, tolerance, err);
    if (type && strcmp(type, "range") == 0)
        return read_range(value, members, tolerance, err);
    if (type && strcmp(type, "probe") == 0)
        return ce_fail(err, ENOTSUP,
                       "a tolerance of type probe asks Python code, and any other provider would "
                       "hold whatever it says; use regex, jsonpath or range");
    return ce_fail(err, EINVAL, "type '%.40s' is not one of regex, jsonpath or range",
                   type ? type : "");
}

static int read_list(json_t *value, struct ce_tolerance *tolerance, struct ce_error *err)
{
    json_t *item;
    size_t i, numbers = 0;
    json_array_foreach(value, i, item) numbers += json_is_number(item);
    if (numbers == 0)
        return ce_fail(err, EINVAL, "the status is a number, and none is listed: this never holds");
    tolerance->statuses = json_incref(value);
    tolerance->kind = CE_TOLERANCE_STATUS;
    return 0;
}

static int read_any(json_t *value, const char *const *members, struct ce_tolerance *tolerance,
                    struct ce_error *err)
{
    if (json_is_object(value))
        return read_map(value, members, tolerance, err);
    if (json_is_array(value))
        return read_list(value, tolerance, err);
    if (!json_is_integer(value))
        return ce_fail(err, EINVAL,
                       "such a probe yields %s, %s and %s, which never equal it; a whole number "
                       "stands for the status, and a regex, jsonpath or range looks at a target",
                       members[0], members[1], members[2]);
    tolerance->statuses = json_pack("[O]", value);
    tolerance->kind = CE_TOLERANCE_STATUS;
    return tolerance->statuses ? 0 : ce_fail_memory(err);
}

int ce_tolerance_read(const struct ce_node *node, const char *const *members,
                      const struct ce_settings *settings, struct ce_tolerance *ret_tolerance,
                      struct ce_error *err)
{
    bool secret = false;
    struct ce_tolerance tolerance = {.count = -1};
    ce_autojson json_t *written = ce_value_of(node);
    ce_autojson json_t *value = written ? ce_value_resolve(written, settings, &secret) : NULL;
    int r = value ? read_any(value, members, &tolerance, err) : ce_fail_memory(err);
    if (r == 0) {
        *ret_tolerance = tolerance;
        return 0;
    }
    ce_tolerance_done(&tolerance);
    if (r != -ENOMEM)
        ce_fail_context(err, r, "tolerance");
    return ce_fail_put_place(err, r, &node->place);
}

/* ---- judging ---- */

static bool say(bool holds, char *why, size_t size, const char *fmt, ...) CE_PRINTF(4, 5);
static bool say(bool holds, char *why, size_t size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, size, fmt, args);
    va_end(args);
    return holds;
}

/* The text of a part, cut for people; "" when it has none. */
static void show(const json_t *part, char shown[CE_TEXT_SHOWN_SIZE])
{
    ce_autofree char *text = part ? ce_value_text(part) : NULL;
    ce_text_show(text ? text : "", shown);
}

static bool status_holds(const struct ce_tolerance *tolerance, const json_t *output, char *why,
                         size_t size)
{
    double status = json_number_value(json_object_get(output, "status"));
    json_t *one;
    size_t i;
    json_array_foreach(tolerance->statuses, i, one)
    {
        if (json_is_number(one) && json_number_value(one) == status)
            return say(true, why, size, "the status is %g", status);
    }
    ce_autofree char *wanted = json_dumps(tolerance->statuses, 0);
    return say(false, why, size, "the status is %g, not one of %.80s", status,
               wanted ? wanted : "");
}

static bool range_holds(const struct ce_tolerance *tolerance, const json_t *part, char *why,
                        size_t size)
{
    double value = json_is_number(part) ? json_number_value(part) : NAN;
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_autofree char *text = json_is_string(part) ? strdup(json_string_value(part)) : NULL;
    if (text) {
        size_t n = strlen(text), lead = strspn(text, " \t\r\n");
        while (n > lead && strchr(" \t\r\n", text[n - 1]))
            text[--n] = '\0';
        if (ce_text_number(text + lead, &value) < 0)
            value = NAN;
    }
    show(part, shown);
    if (isnan(value))
        return say(false, why, size, "%s is '%s', and no number", tolerance->target, shown);
    bool holds = value >= tolerance->low && value <= tolerance->high;
    return say(holds, why, size, "%s is %g, %s [%g, %g]", tolerance->target, value,
               holds ? "within" : "outside", tolerance->low, tolerance->high);
}

static bool pattern_holds(const struct ce_tolerance *tolerance, const json_t *part, char *why,
                          size_t size)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_autofree char *text = part ? ce_value_text(part) : NULL;
    bool holds = text && regexec(tolerance->pattern, text, 0, NULL, 0) == 0;
    show(part, shown);
    return say(holds, why, size, "%s is '%s', which %s '%.80s'", tolerance->target, shown,
               holds ? "matches" : "does not match", tolerance->text);
}

static bool path_holds(const struct ce_tolerance *tolerance, json_t *part, char *why, size_t size)
{
    const char *text = json_string_value(part);
    ce_autojson json_t *parsed = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    ce_autojson json_t *found = ce_path_match(tolerance->path, parsed ? parsed : part);
    size_t count = json_array_size(found);
    bool holds = tolerance->count >= 0 ? count == (size_t)tolerance->count : count > 0;
    char shown[CE_TEXT_SHOWN_SIZE];
    if (tolerance->expect)
        holds = json_equal(found, tolerance->expect);
    show(found, shown);
    return say(holds, why, size, "%.80s yields %s", tolerance->text, shown);
}

bool ce_tolerance_holds(const struct ce_tolerance *tolerance, const json_t *output, char *why,
                        size_t size)
{
    json_t *whole = (json_t *)(uintptr_t)output;
    json_t *part = tolerance->target ? json_object_get(output, tolerance->target) : whole;
    switch (tolerance->kind) {
    case CE_TOLERANCE_NONE:
        break;
    case CE_TOLERANCE_STATUS:
        return status_holds(tolerance, output, why, size);
    case CE_TOLERANCE_RANGE:
        return range_holds(tolerance, part, why, size);
    case CE_TOLERANCE_PATTERN:
        return pattern_holds(tolerance, part, why, size);
    case CE_TOLERANCE_PATH:
        return path_holds(tolerance, part, why, size);
    }
    return say(true, why, size, "nothing is asked of it");
}
