/* SPDX-License-Identifier: MIT */
#include "report/html_series.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* More than any run yields: what a file claims beyond that is not drawn. */
enum { ITEMS_MAX = 1200 };
#define NUMBER_MAX 1e9

/* None of the numbers of a series is below zero, and none that matters is next to it. */
static double number_of(const json_t *value)
{
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!(number >= 0 && number <= NUMBER_MAX))
        return NAN;
    return number < 1 / NUMBER_MAX ? 0 : number;
}

static void read_columns(const json_t *json, struct ce_html_series *series)
{
    static const char *const keys[CE_SERIES_COLUMN_COUNT_] = {
        "at", "operations", "errors", "accuracy", "p50_ms", "p99_ms", "intensity"};
    for (size_t k = 0; k < CE_SERIES_COLUMN_COUNT_; k++) {
        const json_t *list = json_object_get(json, keys[k]);
        for (size_t i = 0; i < series->count; i++)
            series->columns[k][i] = number_of(json_array_get(list, i));
    }
}

static void read_phases(const json_t *json, struct ce_html_series *series)
{
    size_t i;
    json_t *phase;
    json_array_foreach(json_object_get(json, "phases"), i, phase)
    {
        const char *name = json_string_value(json_object_get(phase, "phase"));
        double begin = number_of(json_object_get(phase, "begin"));
        double end = number_of(json_object_get(phase, "end"));
        if (!name || !(begin <= end) || series->phase_count == CE_HTML_PHASES_MAX)
            continue;
        series->phases[series->phase_count++] = (struct ce_html_phase){name, begin, end};
        series->end = fmax(series->end, end);
    }
}

static const struct ce_html_phase *find_phase(const struct ce_html_series *series, const char *name)
{
    for (size_t i = 0; i < series->phase_count; i++)
        if (strcmp(series->phases[i].name, name) == 0)
            return &series->phases[i];
    return NULL;
}

/* From its injection to the end of rollback, which is when nothing was left of it. */
static void find_fault(struct ce_html_series *series)
{
    const struct ce_html_phase *first = find_phase(series, "injection");
    const struct ce_html_phase *last = find_phase(series, "rollback");
    first = first ? first : find_phase(series, "fault");
    last = last ? last : find_phase(series, "fault");
    series->fault_begin = first && last ? first->begin : NAN;
    series->fault_end = first && last ? last->end : NAN;
}

int ce_html_series_read(const struct ce_record *record, struct ce_html_series *ret_series)
{
    const json_t *json = record->series;
    struct ce_html_series series = {.count = json_array_size(json_object_get(json, "at"))};
    if (series.count == 0)
        return 0;
    if (series.count > ITEMS_MAX)
        series.count = ITEMS_MAX;
    double *numbers = calloc(series.count * CE_SERIES_COLUMN_COUNT_, sizeof *numbers);
    if (!numbers)
        return -ENOMEM;
    for (size_t k = 0; k < CE_SERIES_COLUMN_COUNT_; k++)
        series.columns[k] = numbers + k * series.count;
    read_columns(json, &series);
    series.width = number_of(json_object_get(json, "width"));
    for (size_t i = 0; i < series.count; i++)
        series.end = fmax(series.end, series.columns[CE_SERIES_AT][i] + fmax(series.width, 0));
    read_phases(json, &series);
    find_fault(&series);
    *ret_series = series;
    return 1;
}

void ce_html_series_done(struct ce_html_series *series)
{
    free(series->columns[0]);
    memset(series, 0, sizeof *series);
}

size_t ce_html_series_phase_at(const struct ce_html_series *series, double at)
{
    size_t i = 0;
    while (i < series->phase_count &&
           !(series->phases[i].begin <= at && at <= series->phases[i].end))
        i++;
    return i;
}
