/* SPDX-License-Identifier: MIT */
#include "data/key_json.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "base/json.h"

static json_t *text_or_null(const char *text)
{
    json_t *json = json_string(text);
    return json ? json : json_null();
}

json_t *ce_key_json_columns(const struct ce_profile *profile)
{
    ce_autojson json_t *columns = json_array();
    for (size_t i = 0; i < profile->column_count; i++)
        if (json_array_append_new(columns, text_or_null(profile->columns[i].name)) < 0)
            return NULL;
    return ce_take(columns);
}

json_t *ce_key_json_fault(const struct ce_mutation *mutation, json_t *columns)
{
    static const char *const kinds[] = {"cells", "rows", "layout"};
    static const char *const mechanisms[] = {"mcar", "mar", "mnar"};
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, mutation->seed);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:f, s:s, s:o*}", "fault", mutation->fault, "kind",
                  kinds[mutation->kind], "seed", seed, "rate", mutation->scope.rate, "mechanism",
                  mechanisms[mutation->scope.mechanism], "columns", columns);
    if (json && mutation->scope.where)
        (void)json_object_set_new(json, "where", text_or_null(mutation->scope.where));
    return json;
}

static json_t *describe_counts(const struct ce_fault_counts *counts)
{
    ce_autojson json_t *skipped = json_object();
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX && counts->skipped[i].reason; i++)
        if (json_object_set_new(skipped, counts->skipped[i].reason,
                                json_integer((json_int_t)counts->skipped[i].count)) < 0)
            return NULL;
    return json_pack("{s:I, s:I, s:I, s:O}", "eligible", (json_int_t)counts->eligible, "selected",
                     (json_int_t)counts->selected, "changed", (json_int_t)counts->changed,
                     "skipped", skipped);
}

json_t *ce_key_json_trailer(const struct ce_data_result *result, size_t count)
{
    ce_autojson json_t *faults = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(faults, describe_counts(&result->counts[i])) < 0)
            return NULL;
    return json_pack("{s:I, s:I, s:O, s:s, s:s}", "rows", (json_int_t)result->rows, "rows_out",
                     (json_int_t)result->rows_out, "faults", faults, "sha256_in", result->sha256_in,
                     "sha256_out", result->sha256_out);
}
