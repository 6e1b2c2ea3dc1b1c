/* SPDX-License-Identifier: MIT */
/* A set as OTLP's JSON has it: the same families under the same names, gauges and histograms. What
 * is written as labels there is attributes here. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "observers/metrics_internal.h"

enum { CUMULATIVE = 2 };

json_t *ce_otlp_attribute(const char *key, const char *value)
{
    return json_pack("{s:s, s:{s:s}}", "key", key, "value", "stringValue", value);
}

json_t *ce_otlp_time(int64_t wall)
{
    return json_sprintf("%lld", (long long)wall);
}

/* Up to the quote that ends it; `text` is behind the one that begins it. Free with free(). */
static char *unescape(const char *text, const char **ret_rest)
{
    char *value = malloc(strlen(text) + 1), *to = value;
    while (value && *text && *text != '"') {
        if (*text == '\\' && text[1]) {
            text++;
            *to++ = *text == 'n' ? '\n' : *text;
            text++;
        } else {
            *to++ = *text++;
        }
    }
    if (value)
        *to = '\0';
    *ret_rest = *text ? text + 1 : text;
    return value;
}

/* `a="b",c="d"`, without those called `but`. */
static json_t *attributes_of(const char *labels, const char *but)
{
    json_t *attributes = json_array();
    while (*labels) {
        size_t size = strcspn(labels, "=");
        ce_autofree char *key = strndup(labels, size);
        if (!key || labels[size] != '=' || labels[size + 1] != '"')
            break;
        ce_autofree char *value = unescape(labels + size + 2, &labels);
        if (value && strcmp(key, but) != 0)
            (void)json_array_append_new(attributes, ce_otlp_attribute(key, value));
        labels += *labels == ',';
    }
    return attributes;
}

/* ---- gauges ---- */

static json_t *gauge_point(const struct ce_metric_sample *sample, int64_t at)
{
    return json_pack("{s:f, s:o, s:o}", "asDouble", sample->value, "timeUnixNano", ce_otlp_time(at),
                     "attributes", attributes_of(sample->labels, ""));
}

/* ---- histograms ---- */

struct histogram {
    json_t *counts, *bounds;
    double below; /* of the bound before */
    double sum;
};

static void add_bucket(struct histogram *histogram, const struct ce_metric_sample *sample)
{
    const char *le = strstr(sample->labels, "le=\"");
    if (!histogram->counts) {
        histogram->counts = json_array();
        histogram->bounds = json_array();
        histogram->below = 0;
    }
    (void)json_array_append_new(histogram->counts,
                                json_sprintf("%.0f", sample->value - histogram->below));
    histogram->below = sample->value;
    if (le && strncmp(le + 4, "+Inf", 4) != 0)
        (void)json_array_append_new(histogram->bounds, json_real(strtod(le + 4, NULL)));
}

/* A count comes last. */
static json_t *histogram_point(struct histogram *histogram, const struct ce_metric_sample *sample,
                               int64_t since, int64_t at)
{
    return json_pack("{s:o, s:f, s:o, s:o, s:o, s:o, s:o}", "count",
                     json_sprintf("%.0f", sample->value), "sum", histogram->sum, "bucketCounts",
                     ce_take(histogram->counts), "explicitBounds", ce_take(histogram->bounds),
                     "startTimeUnixNano", ce_otlp_time(since), "timeUnixNano", ce_otlp_time(at),
                     "attributes", attributes_of(sample->labels, "le"));
}

/* ---- families ---- */

static json_t *points_of(const struct ce_metric_set *metrics, size_t family, int64_t since,
                         int64_t at)
{
    struct histogram histogram = {0};
    json_t *points = json_array();
    for (size_t i = 0; i < metrics->count; i++) {
        const struct ce_metric_sample *sample = &metrics->samples[i];
        if (sample->family != family)
            continue;
        if (strcmp(sample->suffix, "_bucket") == 0)
            add_bucket(&histogram, sample);
        else if (strcmp(sample->suffix, "_sum") == 0)
            histogram.sum = sample->value;
        else if (strcmp(sample->suffix, "_count") == 0)
            (void)json_array_append_new(points, histogram_point(&histogram, sample, since, at));
        else
            (void)json_array_append_new(points, gauge_point(sample, at));
    }
    return points;
}

static json_t *metric_of(const struct ce_metric_family *family, json_t *points)
{
    bool histogram = family->type == CE_METRIC_HISTOGRAM;
    const char *unit = strcmp(family->unit, "seconds") == 0 ? "s"
                       : strcmp(family->unit, "ratio") == 0 ? "1"
                                                            : "";
    json_t *data = json_pack("{s:o}", "dataPoints", points);
    if (histogram)
        (void)json_object_set_new(data, "aggregationTemporality", json_integer(CUMULATIVE));
    return json_pack("{s:s, s:s, s:s, s:o}", "name", family->name, "unit", unit, "description",
                     family->help, histogram ? "histogram" : "gauge", data);
}

json_t *ce_metric_otlp(const struct ce_metric_set *metrics, int64_t since, int64_t at)
{
    json_t *all = json_array();
    for (size_t f = 0; f < ce_metric_family_count; f++) {
        ce_autojson json_t *points = points_of(metrics, f, since, at);
        if (json_array_size(points) > 0)
            (void)json_array_append_new(all,
                                        metric_of(&ce_metric_families[f], json_incref(points)));
    }
    return all;
}
