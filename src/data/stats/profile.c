/* SPDX-License-Identifier: MIT */
/* Asking a finished profile. */
#include "data/profile.h"

#include <stdlib.h>
#include <string.h>

#include "data/stats/sketch.h"
#include "data/stats/values.h"

const char *ce_column_type_name(enum ce_column_type type)
{
    static const char *const names[] = {
        [CE_TYPE_EMPTY] = "empty",     [CE_TYPE_INTEGER] = "integer", [CE_TYPE_NUMBER] = "number",
        [CE_TYPE_BOOLEAN] = "boolean", [CE_TYPE_TIME] = "time",       [CE_TYPE_TEXT] = "text",
        [CE_TYPE_OTHER] = "other",
    };
    return names[type];
}

void ce_profile_done(struct ce_profile *profile)
{
    for (size_t i = 0; i < profile->column_count; i++) {
        struct ce_column_profile *column = &profile->columns[i];
        free(column->name);
        ce_sketch_free(column->sketch);
        ce_categories_free(column->categories, column->category_count);
    }
    free(profile->columns);
    *profile = (struct ce_profile){0};
}

const struct ce_column_profile *ce_profile_column(const struct ce_profile *profile,
                                                  const char *name)
{
    for (size_t i = 0; i < profile->column_count; i++)
        if (strcmp(profile->columns[i].name, name) == 0)
            return &profile->columns[i];
    return NULL;
}

bool ce_profile_quantile(const struct ce_column_profile *column, double q, double *ret_value)
{
    if (!column->sketch)
        return false;
    *ret_value = ce_sketch_quantile(column->sketch, q);
    return true;
}
