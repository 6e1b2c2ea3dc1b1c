/* SPDX-License-Identifier: MIT */
#include "controller/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "pipeline/histogram.h"

#define WIDTH (100 * CE_MILLISECOND)

enum { PHASES_MAX = 8 };

struct slot {
    int64_t due; /* of a trial */
    uint64_t operations, errors, right;
    struct ce_histogram latency;
};

/* What trials report: a mean for each slot. */
struct column {
    char *name; /* NULL: the accuracy */
    struct ce_mean {
        double sum;
        uint64_t count;
    } means[CE_SERIES_SLOTS];
};

struct change {
    int64_t at;
    double intensity;
};

struct ce_series {
    bool trials;
    int64_t origin, wall_origin;
    int64_t width;  /* of requests */
    uint64_t share; /* how many trials a slot stands for */
    /* Most of a histogram is never touched, and untouched memory costs nothing. */
    struct slot slots[CE_SERIES_SLOTS];
    size_t slot_count;
    struct column **columns; /* of trials; the first is the accuracy */
    size_t column_count;
    struct change *changes;
    size_t change_count;
    struct ce_span {
        const char *name;
        int64_t begin, end;
    } phases[PHASES_MAX];
    size_t phase_count;
    struct ce_span *phase; /* the one that goes on; NULL: none */
};

static struct column *column_of(struct ce_series *series, const char *name)
{
    for (size_t i = 0; i < series->column_count; i++) {
        struct column *column = series->columns[i];
        if (name && column->name ? strcmp(column->name, name) == 0 : name == column->name)
            return column;
    }
    struct column **columns =
        realloc(series->columns, (series->column_count + 1) * sizeof(struct column *));
    if (!columns)
        return NULL;
    series->columns = columns;
    struct column *column = calloc(1, sizeof *column);
    if (!column || (name && !(column->name = strdup(name)))) {
        free(column);
        return NULL;
    }
    return columns[series->column_count++] = column;
}

struct ce_series *ce_series_new(bool trials)
{
    struct ce_series *series = calloc(1, sizeof *series);
    if (!series)
        return NULL;
    series->trials = trials;
    series->width = WIDTH;
    series->share = 1;
    if (!trials || column_of(series, NULL))
        return series;
    ce_series_free(series);
    return NULL;
}

void ce_series_free(struct ce_series *series)
{
    if (!series)
        return;
    for (size_t i = 0; i < series->column_count; i++) {
        free(series->columns[i]->name);
        free(series->columns[i]);
    }
    free(series->columns);
    free(series->changes);
    free(series);
}

void ce_series_phase(struct ce_series *series, const char *name, int64_t now)
{
    if (!series)
        return;
    if (series->phase_count == 0) {
        series->origin = now;
        series->wall_origin = ce_wall_now();
    }
    if (series->phase)
        series->phase->end = now;
    bool begins = name && series->phase_count < PHASES_MAX;
    series->phase = begins ? &series->phases[series->phase_count++] : NULL;
    if (begins)
        *series->phase = (struct ce_span){name, now, now};
}

/* A run must not fail for want of a point in its chart. */
void ce_series_intensity(struct ce_series *series, double intensity, int64_t now)
{
    struct change *changes =
        series ? realloc(series->changes, (series->change_count + 1) * sizeof *changes) : NULL;
    if (!changes)
        return;
    series->changes = changes;
    changes[series->change_count++] = (struct change){now, intensity};
}

double ce_series_intensity_now(const struct ce_series *series)
{
    return series && series->change_count > 0 ? series->changes[series->change_count - 1].intensity
                                              : 0;
}

/* ---- slots ---- */

static void move_slot(struct slot *into, struct slot *from)
{
    if (into == from)
        return;
    if (into->operations == 0)
        into->due = from->due;
    into->operations += from->operations;
    into->errors += from->errors;
    into->right += from->right;
    from->operations = from->errors = from->right = 0;
    ce_histogram_move(&into->latency, &from->latency);
}

static void move_mean(struct ce_mean *into, struct ce_mean *from)
{
    if (into == from)
        return;
    into->sum += from->sum;
    into->count += from->count;
    *from = (struct ce_mean){0};
}

/* Every two neighbours become one. */
static void merge(struct ce_series *series)
{
    for (size_t i = 0; i < CE_SERIES_SLOTS; i++)
        move_slot(&series->slots[i / 2], &series->slots[i]);
    for (size_t k = 0; k < series->column_count; k++)
        for (size_t i = 0; i < CE_SERIES_SLOTS; i++)
            move_mean(&series->columns[k]->means[i / 2], &series->columns[k]->means[i]);
    series->slot_count = (series->slot_count + 1) / 2;
    series->width *= 2;
    series->share *= 2;
}

static size_t slot_of_request(struct ce_series *series, int64_t due)
{
    int64_t since = due > series->origin ? due - series->origin : 0;
    while (since / series->width >= CE_SERIES_SLOTS)
        merge(series);
    return (size_t)(since / series->width);
}

static size_t slot_of_trial(struct ce_series *series)
{
    size_t count = series->slot_count;
    if (count > 0 && series->slots[count - 1].operations < series->share)
        return count - 1;
    if (count == CE_SERIES_SLOTS)
        merge(series);
    return series->slot_count;
}

static void add_mean(struct ce_series *series, size_t i, const char *name, double value)
{
    struct column *column = isnan(value) ? NULL : column_of(series, name);
    if (!column)
        return;
    column->means[i].sum += value;
    column->means[i].count++;
}

void ce_series_add(struct ce_series *series, const struct ce_outcome *outcome)
{
    if (!series)
        return;
    size_t i = series->trials ? slot_of_trial(series) : slot_of_request(series, outcome->due);
    struct slot *slot = &series->slots[i];
    if (i >= series->slot_count)
        series->slot_count = i + 1;
    if (slot->operations == 0)
        slot->due = outcome->due;
    slot->operations++;
    slot->errors += !outcome->ok;
    slot->right += outcome->ok && outcome->right;
    ce_histogram_add(&slot->latency, outcome->latency_ns);
    if (!series->trials)
        return;
    if (outcome->ok)
        add_mean(series, i, NULL, outcome->accuracy);
    const char *name;
    json_t *value;
    json_object_foreach(outcome->metrics, name, value)
        add_mean(series, i, name, json_number_value(value));
}

/* ---- the JSON ---- */

/* Three digits after the point are more than any chart shows. */
static json_t *rounded(double value)
{
    return ce_json_number(round(value * 1000) / 1000);
}

static double seconds_of(const struct ce_series *series, int64_t at)
{
    return (double)(at - series->origin) / (double)CE_SECOND;
}

/* When slot `i` begins. */
static int64_t begin_of(const struct ce_series *series, size_t i)
{
    return series->trials ? series->slots[i].due : series->origin + (int64_t)i * series->width;
}

static json_t *at_of(const struct ce_series *series, size_t i)
{
    return rounded(seconds_of(series, begin_of(series, i)));
}

static json_t *operations_of(const struct ce_series *series, size_t i)
{
    return json_integer((json_int_t)series->slots[i].operations);
}

static json_t *errors_of(const struct ce_series *series, size_t i)
{
    return json_integer((json_int_t)series->slots[i].errors);
}

static double mean_of(const struct ce_mean *mean)
{
    return mean->count > 0 ? mean->sum / (double)mean->count : NAN;
}

static json_t *accuracy_of(const struct ce_series *series, size_t i)
{
    const struct slot *slot = &series->slots[i];
    uint64_t ok = slot->operations - slot->errors;
    if (series->trials)
        return ce_json_number(mean_of(&series->columns[0]->means[i]));
    return ok > 0 ? ce_json_number(round((double)slot->right / (double)ok * 1e6) / 1e6)
                  : json_null();
}

static json_t *latency_of(const struct ce_series *series, size_t i, double q)
{
    const struct ce_histogram *latency = &series->slots[i].latency;
    return latency->count > 0
               ? rounded((double)ce_histogram_quantile(latency, q) / (double)CE_MILLISECOND)
               : json_null();
}

static json_t *p50_of(const struct ce_series *series, size_t i)
{
    return latency_of(series, i, 0.5);
}

static json_t *p99_of(const struct ce_series *series, size_t i)
{
    return latency_of(series, i, 0.99);
}

/* The mean over a slot; of a trial, when it began. */
static json_t *intensity_of(const struct ce_series *series, size_t i)
{
    int64_t begin = begin_of(series, i), end = begin + series->width, from = begin;
    double sum = 0, value = 0;
    for (size_t k = 0; k < series->change_count && series->changes[k].at < end; k++) {
        const struct change *change = &series->changes[k];
        if (!series->trials && change->at > from) {
            sum += value * (double)(change->at - from);
            from = change->at;
        }
        if (!series->trials || change->at <= begin)
            value = change->intensity;
    }
    sum += value * (double)(end - from);
    return rounded(sum / (double)(end - begin));
}

static json_t *custom_json(const struct ce_series *series)
{
    ce_autojson json_t *custom = json_object();
    for (size_t k = 1; k < series->column_count; k++) {
        const struct column *column = series->columns[k];
        json_t *values = json_array();
        json_object_set_new(custom, column->name, values);
        for (size_t i = 0; i < series->slot_count; i++)
            if (json_array_append_new(values, ce_json_number(mean_of(&column->means[i]))) < 0)
                return NULL;
    }
    return ce_take(custom);
}

static json_t *phases_json(const struct ce_series *series)
{
    ce_autojson json_t *phases = json_array();
    for (size_t i = 0; i < series->phase_count; i++) {
        const struct ce_span *phase = &series->phases[i];
        json_t *json = json_pack("{s:s, s:o, s:o}", "phase", phase->name, "begin",
                                 rounded(seconds_of(series, phase->begin)), "end",
                                 rounded(seconds_of(series, phase->end)));
        if (json_array_append_new(phases, json) < 0)
            return NULL;
    }
    return ce_take(phases);
}

json_t *ce_series_json(const struct ce_series *series)
{
    static const struct {
        const char *key;
        json_t *(*value)(const struct ce_series *series, size_t i);
    } rows[] = {{"at", at_of},
                {"operations", operations_of},
                {"errors", errors_of},
                {"accuracy", accuracy_of},
                {"p50_ms", p50_of},
                {"p99_ms", p99_of},
                {"intensity", intensity_of}};
    if (!series || series->slot_count == 0)
        return NULL;
    ce_autojson json_t *json = json_object();
    double width = series->trials ? NAN : (double)series->width / (double)CE_SECOND;
    if (json_object_set_new(json, "width", ce_json_number(width)) < 0)
        return NULL;
    for (size_t k = 0; k < CE_COUNT(rows); k++) {
        json_t *values = json_array();
        if (json_object_set_new(json, rows[k].key, values) < 0)
            return NULL;
        for (size_t i = 0; i < series->slot_count; i++)
            if (json_array_append_new(values, rows[k].value(series, i)) < 0)
                return NULL;
    }
    if (series->trials && json_object_set_new(json, "custom", custom_json(series)) < 0)
        return NULL;
    if (json_object_set_new(json, "phases", phases_json(series)) < 0)
        return NULL;
    char began[CE_TIMESTAMP_SIZE];
    ce_timestamp(series->wall_origin, began);
    if (json_object_set_new(json, "began_at", json_string(began)) < 0)
        return NULL;
    return ce_take(json);
}
