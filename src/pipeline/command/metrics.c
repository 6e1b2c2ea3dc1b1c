/* SPDX-License-Identifier: MIT */
#include "pipeline/command/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"

enum { METRICS_MAX = 200, DEPTH_MAX = 8 };

static int add_numbers(json_t *all, const char *prefix, json_t *object, int depth,
                       struct ce_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        ce_autofree char *name = prefix ? ce_format("%s.%s", prefix, key) : strdup(key);
        if (!name)
            return ce_fail_memory(err);
        if (json_is_object(value) && depth < DEPTH_MAX)
            CE_TRY(add_numbers(all, name, value, depth + 1, err));
        if (!json_is_number(value))
            continue;
        if (json_object_size(all) >= METRICS_MAX)
            return ce_fail(err, E2BIG, "its metrics are more than %d numbers", METRICS_MAX);
        if (json_object_set_new(all, name, json_real(json_number_value(value))) < 0)
            return ce_fail_memory(err);
    }
    return 0;
}

int ce_metrics_parse(const char *text, size_t size, const char *source, json_t **ret_metrics,
                     struct ce_error *err)
{
    struct ce_error why = {0};
    ce_autojson json_t *document = ce_json_parse(text, size, source, &why);
    if (!document)
        return ce_fail(err, EBADMSG, "%s is %.200s", source, why.message);
    if (!json_is_object(document))
        return ce_fail(err, EBADMSG, "%s is no JSON object such as {\"accuracy\": 0.93}", source);
    ce_autojson json_t *all = json_object();
    if (!all)
        return ce_fail_memory(err);
    CE_TRY(add_numbers(all, NULL, document, 0, err));
    *ret_metrics = ce_take(all);
    return 0;
}

static int fail_unknown(const json_t *metrics, const char *name, struct ce_error *err)
{
    char names[160] = "";
    size_t used = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)metrics, key, value)
    {
        int n = snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", key);
        if (n < 0 || (size_t)n >= sizeof names - used)
            break;
        used += (size_t)n;
    }
    return ce_fail(err, ENOENT, "accuracy: among its metrics is no number '%.60s'; they are: %s",
                   name, names[0] ? names : "none");
}

int ce_metrics_take_accuracy(json_t *metrics, const char *name, double *ret_accuracy,
                             struct ce_error *err)
{
    const json_t *value = json_object_get(metrics, name);
    if (!value)
        return fail_unknown(metrics, name, err);
    double accuracy = json_number_value(value);
    if (accuracy > 1)
        return ce_fail(err, ERANGE,
                       "accuracy: '%.60s' is %g, and a share of what is right is at most 1", name,
                       accuracy);
    *ret_accuracy = accuracy;
    (void)json_object_del(metrics, name);
    return 0;
}

void ce_metrics_last_line(const char *text, size_t size, const char **ret_line, size_t *ret_size)
{
    while (size > 0 && (unsigned char)text[size - 1] <= ' ')
        size--;
    const char *newline = size > 0 ? memrchr(text, '\n', size) : NULL;
    *ret_line = newline ? newline + 1 : text;
    *ret_size = size - (size_t)(*ret_line - text);
}
