/* SPDX-License-Identifier: MIT */
/* Asking a finished profile. */
#include "data/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
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

static int fail_no_column(const struct ce_profile *profile, const char *path, const char *name,
                          struct ce_error *err)
{
    ce_autofree const char **names = calloc(profile->column_count, sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    char list[240] = "";
    size_t used = 0;
    for (size_t i = 0; i < profile->column_count; i++) {
        names[i] = profile->columns[i].name;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                                     names[i]);
    }
    const char *nearest = ce_text_nearest(name, names, profile->column_count);
    if (nearest)
        return ce_fail(err, ENOENT, "'%s' has no column '%s'; did you mean '%s'?", path, name,
                       nearest);
    return ce_fail(err, ENOENT, "'%s' has no column '%s'; its columns are: %s%s", path, name, list,
                   used < sizeof list ? "" : " ...");
}

int ce_profile_require(const struct ce_profile *profile, const char *path,
                       const struct ce_names *names, struct ce_error *err)
{
    for (size_t i = 0; i < names->count; i++)
        if (!ce_profile_column(profile, names->names[i]))
            return fail_no_column(profile, path, names->names[i], err);
    return 0;
}

bool ce_profile_quantile(const struct ce_column_profile *column, double q, double *ret_value)
{
    if (!column->sketch)
        return false;
    *ret_value = ce_sketch_quantile(column->sketch, q);
    return true;
}
