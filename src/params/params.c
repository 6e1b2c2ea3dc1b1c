/* SPDX-License-Identifier: MIT */
/* Text in, checked and typed fields out. Every refusal is made here, so that a document, `--set`
 * and a default are held to the same rules and read the same sentences. */
#include "params/params.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "params/params_internal.h"

static void *field(const struct ce_param *param, void *obj)
{
    return (char *)obj + param->offset;
}

/* ---- what a row accepts, in words ---- */

int64_t ce_param_integer_bound(double bound)
{
    if (bound >= 0x1p63)
        return INT64_MAX;
    return bound < -0x1p63 ? INT64_MIN : (int64_t)bound;
}

/* In the largest unit that says it exactly. */
static void duration_text(int64_t ns, char *text, size_t size)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {
        {"h", 3600 * CE_SECOND}, {"m", 60 * CE_SECOND},  {"s", CE_SECOND},
        {"ms", CE_MILLISECOND},  {"us", CE_MICROSECOND},
    };
    for (size_t i = 0; i < CE_COUNT(units); i++) {
        if (ns != 0 && ns % units[i].ns == 0) {
            snprintf(text, size, "%lld%s", (long long)(ns / units[i].ns), units[i].unit);
            return;
        }
    }
    snprintf(text, size, "%.9gs", (double)ns / CE_SECOND);
}

void ce_param_bounds_text(const struct ce_param *param, char *text, size_t size)
{
    char low[32], high[32];
    text[0] = '\0';
    if (!ce_param_bounded(param))
        return;
    switch (param->type) {
    case CE_PARAM_DURATION:
    case CE_PARAM_SECONDS:
        duration_text((int64_t)param->min, low, sizeof low);
        duration_text((int64_t)param->max, high, sizeof high);
        break;
    case CE_PARAM_INTEGER:
        snprintf(low, sizeof low, "%lld", (long long)ce_param_integer_bound(param->min));
        snprintf(high, sizeof high, "%lld", (long long)ce_param_integer_bound(param->max));
        break;
    default:
        snprintf(low, sizeof low, "%.15g", param->min);
        snprintf(high, sizeof high, "%.15g", param->max);
        break;
    }
    snprintf(text, size, "%s..%s%s%s", low, high, param->unit ? " " : "",
             param->unit ? param->unit : "");
}

void ce_param_choices_text(const struct ce_param *param, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (const struct ce_choice *choice = param->choices; choice->name && used < size; choice++) {
        if (choice->later)
            continue;
        int n = snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", choice->name);
        used += n > 0 ? (size_t)n : 0;
    }
}

void ce_param_accepts(const struct ce_param *param, char *text, size_t size)
{
    char range[80], choices[256];
    const char *what = "";
    switch (param->type) {
    case CE_PARAM_RATE:
    case CE_PARAM_NUMBER:
        what = "a number";
        break;
    case CE_PARAM_INTEGER:
        what = "a whole number";
        break;
    case CE_PARAM_BOOL:
        what = "true or false";
        break;
    case CE_PARAM_DURATION:
        what = "a duration such as 250ms, 3s or 2m";
        break;
    case CE_PARAM_SECONDS:
        what = "a number of seconds or a duration such as 250ms, 3s or 2m";
        break;
    case CE_PARAM_CHOICE:
        ce_param_choices_text(param, choices, sizeof choices);
        snprintf(text, size, "one of %s", choices);
        return;
    case CE_PARAM_TEXT:
        what = "text";
        break;
    case CE_PARAM_NAMES:
        what = "a name or a list of names";
        break;
    case CE_PARAM_END:
        break;
    }
    ce_param_bounds_text(param, range, sizeof range);
    bool time = param->type == CE_PARAM_DURATION || param->type == CE_PARAM_SECONDS;
    if (range[0] != '\0')
        snprintf(text, size, time ? "%s (%s)" : "%s in %s", what, range);
    else
        snprintf(text, size, "%s%s%s", what, param->unit ? " of " : "",
                 param->unit ? param->unit : "");
}

/* ---- one value ---- */

static int fail_kind(const struct ce_param *param, const char *text, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE], accepts[CE_PARAM_ACCEPTS_SIZE];
    ce_text_show(text, shown);
    ce_param_accepts(param, accepts, sizeof accepts);
    return ce_fail(err, EINVAL, "%s: '%s' is not %s", param->name, shown, accepts);
}

static int fail_range(const struct ce_param *param, const char *text, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE], range[80];
    ce_text_show(text, shown);
    ce_param_bounds_text(param, range, sizeof range);
    if (range[0] == '\0')
        return ce_fail(err, ERANGE, "%s: %s is negative or too large", param->name, shown);
    return ce_fail(err, ERANGE, "%s: %s is outside %s", param->name, shown, range);
}

static bool outside(const struct ce_param *param, double value)
{
    return ce_param_bounded(param) && (value < param->min || value > param->max);
}

static int set_number(const struct ce_param *param, double *ret_value, const char *text,
                      struct ce_error *err)
{
    double value;
    if (ce_text_number(text, &value) < 0)
        return fail_kind(param, text, err);
    if (outside(param, value))
        return fail_range(param, text, err);
    *ret_value = value;
    return 0;
}

static int set_integer(const struct ce_param *param, int64_t *ret_value, const char *text,
                       struct ce_error *err)
{
    int64_t value;
    int r = ce_text_integer(text, &value);
    if (r == -EINVAL)
        return fail_kind(param, text, err);
    if (r < 0 || (ce_param_bounded(param) && (value < ce_param_integer_bound(param->min) ||
                                              value > ce_param_integer_bound(param->max))))
        return fail_range(param, text, err);
    *ret_value = value;
    return 0;
}

static int set_bool(const struct ce_param *param, bool *ret_value, const char *text,
                    struct ce_error *err)
{
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0)
        return fail_kind(param, text, err);
    *ret_value = is_true;
    return 0;
}

static int set_duration(const struct ce_param *param, int64_t *ret_ns, const char *text,
                        struct ce_error *err)
{
    int64_t ns;
    double number;
    int r = ce_text_duration(text, param->type == CE_PARAM_SECONDS, &ns);
    if (r == -EINVAL && ce_text_number(text, &number) == 0) {
        char shown[CE_TEXT_SHOWN_SIZE];
        ce_text_show(text, shown);
        return ce_fail(err, EINVAL, "%s: '%s' needs a unit: us, ms, s, m or h", param->name, shown);
    }
    if (r == -EINVAL)
        return fail_kind(param, text, err);
    if (r < 0 || outside(param, (double)ns))
        return fail_range(param, text, err);
    *ret_ns = ns;
    return 0;
}

static int fail_choice(const struct ce_param *param, const char *text, struct ce_error *err)
{
    const char *names[64];
    size_t count = 0;
    for (const struct ce_choice *choice = param->choices; choice->name && count < CE_COUNT(names);
         choice++)
        if (!choice->later)
            names[count++] = choice->name;
    char shown[CE_TEXT_SHOWN_SIZE], accepted[256];
    ce_text_show(text, shown);
    ce_param_choices_text(param, accepted, sizeof accepted);
    const char *near = ce_text_nearest(text, names, count);
    if (!near)
        return ce_fail(err, EINVAL, "%s: '%s' is not one of %s", param->name, shown, accepted);
    return ce_fail(err, EINVAL, "%s: '%s' is not one of %s (did you mean '%s'?)", param->name,
                   shown, accepted, near);
}

static int set_choice(const struct ce_param *param, int *ret_value, const char *text,
                      struct ce_error *err)
{
    const struct ce_choice *choice = param->choices;
    while (choice->name && strcmp(choice->name, text) != 0)
        choice++;
    if (!choice->name)
        return fail_choice(param, text, err);
    if (choice->later) {
        char accepted[256];
        ce_param_choices_text(param, accepted, sizeof accepted);
        return ce_fail(err, EINVAL, "%s: '%s' is not available in this version; accepted: %s",
                       param->name, choice->name, accepted);
    }
    *ret_value = choice->value;
    return 0;
}

static int set_text(char **value, const char *text, struct ce_error *err)
{
    char *copy = strdup(text);
    if (!copy)
        return ce_fail_memory(err);
    free(*value);
    *value = copy;
    return 0;
}

static int set_names(const struct ce_param *param, struct ce_names *names, const char *const *items,
                     size_t count, struct ce_error *err)
{
    CE_CLEANUP(ce_names_done) struct ce_names copy = {0};
    copy.names = calloc(count + 1, sizeof *copy.names);
    if (!copy.names)
        return ce_fail_memory(err);
    for (; copy.count < count; copy.count++) {
        if (items[copy.count][0] == '\0')
            return ce_fail(err, EINVAL, "%s: a name must not be empty", param->name);
        copy.names[copy.count] = strdup(items[copy.count]);
        if (!copy.names[copy.count])
            return ce_fail_memory(err);
    }
    ce_names_done(names);
    *names = copy;
    copy = (struct ce_names){0};
    return 0;
}

int ce_param_set(const struct ce_param *param, void *obj, const char *text, struct ce_error *err)
{
    void *value = field(param, obj);
    switch (param->type) {
    case CE_PARAM_RATE:
    case CE_PARAM_NUMBER:
        return set_number(param, value, text, err);
    case CE_PARAM_INTEGER:
        return set_integer(param, value, text, err);
    case CE_PARAM_BOOL:
        return set_bool(param, value, text, err);
    case CE_PARAM_DURATION:
    case CE_PARAM_SECONDS:
        return set_duration(param, value, text, err);
    case CE_PARAM_CHOICE:
        return set_choice(param, value, text, err);
    case CE_PARAM_TEXT:
        return set_text(value, text, err);
    case CE_PARAM_NAMES:
        return set_names(param, value, &text, 1, err);
    case CE_PARAM_END:
        break;
    }
    return ce_fail(err, EINVAL, "there is no such parameter");
}

int ce_param_set_list(const struct ce_param *param, void *obj, const char *const *items,
                      size_t count, struct ce_error *err)
{
    if (param->type != CE_PARAM_NAMES) {
        char accepts[CE_PARAM_ACCEPTS_SIZE];
        ce_param_accepts(param, accepts, sizeof accepts);
        return ce_fail(err, EINVAL, "%s: a list is not %s", param->name, accepts);
    }
    return set_names(param, field(param, obj), items, count, err);
}

/* ---- a whole table ---- */

int ce_params_init(const struct ce_param *table, void *obj, struct ce_error *err)
{
    for (const struct ce_param *param = table; param->name; param++) {
        if (!param->def || param->def[0] == '\0')
            continue;
        int r = ce_param_set(param, obj, param->def, err);
        if (r < 0) {
            ce_params_done(table, obj);
            return r;
        }
    }
    return 0;
}

void ce_params_done(const struct ce_param *table, void *obj)
{
    for (const struct ce_param *param = table; param->name; param++) {
        if (param->type == CE_PARAM_TEXT) {
            char **text = field(param, obj);
            free(ce_take(*text));
        } else if (param->type == CE_PARAM_NAMES) {
            ce_names_done(field(param, obj));
        }
    }
}

const struct ce_param *ce_param_find(const struct ce_param *table, const char *name)
{
    for (const struct ce_param *param = table; param->name; param++)
        if (strcmp(param->name, name) == 0)
            return param;
    return NULL;
}

const char *ce_param_nearest(const struct ce_param *table, const char *name)
{
    const char *names[64];
    size_t count = 0;
    for (const struct ce_param *param = table; param->name && count < CE_COUNT(names); param++)
        names[count++] = param->name;
    return ce_text_nearest(name, names, count);
}
