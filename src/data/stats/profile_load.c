/* SPDX-License-Identifier: MIT */
/* Reading a profile that was written as JSON.
 *
 * Quantiles become a sketch again: a thousand values and more on the lines between those that are
 * known, so that whoever asks cannot tell the difference. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "data/stats/drift.h"
#include "data/stats/sketch.h"
#include "data/stats/value.h"

enum { FILE_MAX = 64 << 20, KNOTS_MAX = 1001, GRID = 4000 };

/* Where in the document we are, for messages: "columns[3].quantiles". */
struct place {
    const char *path;
    char at[96];
};

static int fail_expected(const struct place *place, const char *key, const char *expected,
                         struct ce_error *err)
{
    return ce_fail(err, EINVAL, "'%s' is no profile: %s%s is not %s", place->path, place->at, key,
                   expected);
}

static int read_count(const json_t *object, const char *key, const struct place *place,
                      uint64_t *ret_count, struct ce_error *err)
{
    const json_t *json = json_object_get(object, key);
    if (!json_is_integer(json) || json_integer_value(json) < 0)
        return fail_expected(place, key, "a count", err);
    *ret_count = (uint64_t)json_integer_value(json);
    return 0;
}

/* A number; 0 for null. */
static int read_number(const json_t *object, const char *key, const struct place *place,
                       double *ret_number, struct ce_error *err)
{
    const json_t *json = json_object_get(object, key);
    if (!json_is_number(json) && !json_is_null(json))
        return fail_expected(place, key, "a number or null", err);
    *ret_number = json_number_value(json);
    return 0;
}

static int read_type(const json_t *object, const struct place *place,
                     struct ce_column_profile *column, struct ce_error *err)
{
    const char *name = json_string_value(json_object_get(object, "type"));
    for (int type = CE_TYPE_EMPTY; name && type <= CE_TYPE_OTHER; type++)
        if (strcmp(name, ce_column_type_name((enum ce_column_type)type)) == 0) {
            column->type = (enum ce_column_type)type;
            column->numeric = type == CE_TYPE_INTEGER || type == CE_TYPE_NUMBER;
            return 0;
        }
    return fail_expected(place, "type", "one of empty, integer, number, boolean, time, text, other",
                         err);
}

/* ---- quantiles ---- */

struct knot {
    double share, value;
};

static int by_share(const void *a, const void *b)
{
    double x = ((const struct knot *)a)->share, y = ((const struct knot *)b)->share;
    return (x > y) - (x < y);
}

static bool read_value(const struct ce_column_profile *column, const json_t *json,
                       double *ret_value)
{
    if (column->type == CE_TYPE_TIME)
        return json_is_string(json) &&
               ce_value_time(json_string_value(json), json_string_length(json), ret_value);
    *ret_value = json_number_value(json);
    return json_is_number(json);
}

/* A number, or a time in a column of times. */
static int read_knot(const json_t *object, const char *key, double share, const struct place *place,
                     const struct ce_column_profile *column, struct knot *ret_knot,
                     struct ce_error *err)
{
    ret_knot->share = share;
    if (!read_value(column, json_object_get(object, key), &ret_knot->value))
        return fail_expected(place, key, column->type == CE_TYPE_TIME ? "a time" : "a number", err);
    return 0;
}

static int read_knots(json_t *object, const struct place *place,
                      const struct ce_column_profile *column, struct knot *knots, size_t *ret_count,
                      struct ce_error *err)
{
    json_t *quantiles = json_object_get(object, "quantiles"), *value;
    const char *key;
    struct place within = {.path = place->path};
    snprintf(within.at, sizeof within.at, "%.64squantiles.", place->at);
    if (!json_is_object(quantiles) || json_object_size(quantiles) > KNOTS_MAX - 2)
        return fail_expected(place, "quantiles", "an object of quantiles", err);
    CE_TRY(read_knot(object, "min", 0, place, column, &knots[0], err));
    CE_TRY(read_knot(object, "max", 1, place, column, &knots[1], err));
    size_t count = 2;
    json_object_foreach(quantiles, key, value)
    {
        double share;
        if (ce_text_number(key, &share) < 0 || share < 0 || share > 1)
            return fail_expected(&within, key, "named by a share from 0 to 1", err);
        CE_TRY(read_knot(quantiles, key, share, &within, column, &knots[count++], err));
    }
    qsort(knots, count, sizeof *knots, by_share);
    for (size_t i = 1; i < count; i++)
        if (knots[i].value < knots[i - 1].value)
            return fail_expected(place, "quantiles", "in ascending order", err);
    *ret_count = count;
    return 0;
}

static int read_sketch(json_t *object, const struct place *place, struct ce_column_profile *column,
                       struct ce_error *err)
{
    bool ordered = column->numeric || column->type == CE_TYPE_TIME;
    if (!ordered || json_is_null(json_object_get(object, "quantiles")))
        return 0;
    ce_autofree struct knot *knots = calloc(KNOTS_MAX, sizeof *knots);
    ce_autofree struct ce_sketch_step *steps = calloc(GRID + 1, sizeof *steps);
    size_t count = 0, k = 0;
    if (!knots || !steps)
        return ce_fail_memory(err);
    CE_TRY(read_knots(object, place, column, knots, &count, err));
    for (size_t i = 0; i <= GRID; i++) {
        double share = (double)i / GRID;
        while (k + 2 < count && knots[k + 1].share <= share)
            k++;
        const struct knot *a = &knots[k], *b = &knots[k + 1];
        double part = b->share > a->share ? (share - a->share) / (b->share - a->share) : 1;
        steps[i].value = a->value == b->value ? a->value : a->value * (1 - part) + b->value * part;
        steps[i].upto = 1;
    }
    column->sketch = ce_sketch_of(steps, GRID + 1);
    return column->sketch ? 0 : ce_fail_memory(err);
}

/* ---- categories ---- */

/* Those whose text could not be written are left out. */
static int read_categories(const json_t *object, const struct place *place,
                           struct ce_column_profile *column, struct ce_error *err)
{
    const json_t *list = json_object_get(object, "categories");
    if (json_is_null(list))
        return 0;
    if (!json_is_array(list))
        return fail_expected(place, "categories", "a list or null", err);
    size_t i;
    json_t *pair;
    column->categories = calloc(json_array_size(list) + 1, sizeof *column->categories);
    if (!column->categories)
        return ce_fail_memory(err);
    json_array_foreach(list, i, pair)
    {
        const json_t *text = json_array_get(pair, 0), *times = json_array_get(pair, 1);
        if ((!json_is_string(text) && !json_is_null(text)) || !json_is_integer(times) ||
            json_integer_value(times) < 0) {
            char key[48];
            snprintf(key, sizeof key, "categories[%zu]", i);
            return fail_expected(place, key, "a text and its count", err);
        }
        if (json_is_null(text))
            continue;
        struct ce_category *category = &column->categories[column->category_count];
        category->size = json_string_length(text);
        category->count = (uint64_t)json_integer_value(times);
        category->text = strdup(json_string_value(text));
        if (!category->text)
            return ce_fail_memory(err);
        column->category_count++;
    }
    return 0;
}

/* ---- columns ---- */

static int read_column(json_t *object, const struct place *place, uint64_t rows,
                       struct ce_column_profile *column, struct ce_error *err)
{
    const char *name = json_string_value(json_object_get(object, "name"));
    double distinct = 0;
    if (!name)
        return fail_expected(place, "name", "a text", err);
    column->name = strdup(name);
    if (!column->name)
        return ce_fail_memory(err);
    CE_TRY(read_type(object, place, column, err));
    CE_TRY(read_count(object, "cells", place, &column->cells, err));
    CE_TRY(read_count(object, "nulls", place, &column->missing, err));
    if (column->missing > column->cells)
        return fail_expected(place, "nulls", "at most the number of cells", err);
    if (column->cells - column->missing > rows)
        return fail_expected(place, "cells", "at most nulls and rows", err);
    CE_TRY(read_number(object, "distinct", place, &distinct, err));
    column->distinct = distinct > 0 && distinct < 0x1p63 ? (uint64_t)distinct : 0;
    if (column->numeric) {
        CE_TRY(read_number(object, "mean", place, &column->mean, err));
        CE_TRY(read_number(object, "sd", place, &column->sd, err));
        CE_TRY(read_number(object, "min", place, &column->min, err));
        CE_TRY(read_number(object, "max", place, &column->max, err));
        if (column->sd < 0)
            return fail_expected(place, "sd", "a number from 0", err);
    }
    CE_TRY(read_sketch(object, place, column, err));
    return read_categories(object, place, column, err);
}

static int read_profile(const json_t *json, const char *path, struct ce_profile *profile,
                        struct ce_error *err)
{
    struct place place = {.path = path};
    const json_t *columns = json_object_get(json, "columns");
    double share = 0;
    if (!json_is_object(json))
        return ce_fail(err, EINVAL, "'%s' is no profile: it is not an object", path);
    if (!json_is_array(columns))
        return fail_expected(&place, "columns", "a list", err);
    CE_TRY(read_count(json, "rows", &place, &profile->rows, err));
    CE_TRY(read_number(json, "duplicate_share", &place, &share, err));
    profile->duplicate_share = json_is_null(json_object_get(json, "duplicate_share")) ? -1 : share;
    profile->partial = json_is_true(json_object_get(json, "partial"));
    profile->columns = calloc(json_array_size(columns) + 1, sizeof *profile->columns);
    if (!profile->columns)
        return ce_fail_memory(err);
    profile->column_count = json_array_size(columns);
    for (size_t i = 0; i < profile->column_count; i++) {
        snprintf(place.at, sizeof place.at, "columns[%zu].", i);
        profile->columns[i].uncertain = profile->partial;
        CE_TRY(read_column(json_array_get(columns, i), &place, profile->rows, &profile->columns[i],
                           err));
    }
    return 0;
}

int ce_profile_load(const char *path, struct ce_profile *ret_profile, struct ce_error *err)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
    ce_autofree char *text = NULL;
    size_t size;
    CE_TRY(ce_file_read(path, FILE_MAX, &text, &size, err));
    ce_autojson json_t *json = ce_json_parse(text, size, path, err);
    if (!json)
        return -EINVAL;
    CE_TRY(read_profile(json, path, &profile, err));
    *ret_profile = profile;
    profile = (struct ce_profile){0};
    return 0;
}
