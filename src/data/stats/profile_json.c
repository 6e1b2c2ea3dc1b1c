/* SPDX-License-Identifier: MIT */
/* A profile as JSON. What has no meaning for a column is null; times are written as times. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "data/stats/drift.h"
#include "data/stats/value.h"

enum { CATEGORIES_SHOWN = 20 };

/* null where it is no UTF-8. */
static json_t *text_json(const char *text, size_t size)
{
    json_t *json = json_stringn(text, size);
    return json ? json : json_null();
}

static json_t *value_json(const struct ce_column_profile *column, double value)
{
    if (column->type == CE_TYPE_TIME) {
        char text[CE_VALUE_TIME_SIZE];
        ce_value_time_text(value, text);
        return json_string(text);
    }
    if (column->type == CE_TYPE_INTEGER && value == rint(value) && fabs(value) <= 0x1p53)
        return json_integer((json_int_t)value);
    return ce_json_number(value);
}

static json_t *quantile_json(const struct ce_column_profile *column, double q)
{
    double value;
    bool ordered = column->numeric || column->type == CE_TYPE_TIME;
    if (!ordered || !ce_profile_quantile(column, q, &value))
        return json_null();
    return value_json(column, value);
}

/* Minimum and maximum of numbers are known without a sketch. */
static json_t *extreme_json(const struct ce_column_profile *column, double q)
{
    if (column->numeric)
        return value_json(column, q > 0 ? column->max : column->min);
    return quantile_json(column, q);
}

static json_t *quantiles_json(const struct ce_column_profile *column)
{
    static const char *const names[] = {"0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"};
    static const double shares[] = {0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};
    if (!column->sketch || !(column->numeric || column->type == CE_TYPE_TIME))
        return json_null();
    json_t *json = json_object();
    for (size_t i = 0; i < CE_COUNT(names); i++)
        (void)json_object_set_new(json, names[i], quantile_json(column, shares[i]));
    return json;
}

static json_t *categories_json(const struct ce_column_profile *column)
{
    if (!column->categories)
        return json_null();
    json_t *json = json_array();
    for (size_t i = 0; i < column->category_count && i < CATEGORIES_SHOWN; i++) {
        const struct ce_category *category = &column->categories[i];
        (void)json_array_append_new(json,
                                    json_pack("[o, I]", text_json(category->text, category->size),
                                              (json_int_t)category->count));
    }
    return json;
}

static json_t *column_json(const struct ce_column_profile *column)
{
    bool numeric = column->numeric;
    return json_pack(
        "{s:o, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
        text_json(column->name, strlen(column->name)), "type", ce_column_type_name(column->type),
        "cells", (json_int_t)column->cells, "nulls", (json_int_t)column->missing, "distinct",
        column->distinct > 0 ? json_integer((json_int_t)column->distinct) : json_null(), "mean",
        numeric ? ce_json_number(column->mean) : json_null(), "sd",
        numeric ? ce_json_number(column->sd) : json_null(), "min", extreme_json(column, 0), "max",
        extreme_json(column, 1), "quantiles", quantiles_json(column), "categories",
        categories_json(column));
}

json_t *ce_profile_json(const struct ce_profile *profile)
{
    ce_autojson json_t *columns = json_array();
    for (size_t i = 0; columns && i < profile->column_count; i++)
        if (json_array_append_new(columns, column_json(&profile->columns[i])) < 0)
            return NULL;
    double share = profile->duplicate_share;
    return json_pack("{s:I, s:O, s:o, s:b}", "rows", (json_int_t)profile->rows, "columns", columns,
                     "duplicate_share", share < 0 ? json_null() : ce_json_number(share), "partial",
                     profile->partial);
}
