/* SPDX-License-Identifier: MIT */
#include "data/columns.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static bool find(const char *const *names, size_t count, const char *name, size_t *ret_column)
{
    for (size_t i = 0; i < count; i++)
        if (names[i] && strcmp(names[i], name) == 0) {
            *ret_column = i;
            return true;
        }
    return false;
}

/* "its columns are: a, b, c", or nothing when there are none. */
static void list_columns(const char *const *names, size_t count, char *ret_list, size_t size)
{
    size_t used = 0;
    ret_list[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(ret_list + used, size - used, "%s%s",
                                 i > 0 ? ", " : "; its columns are: ", names[i]);
    if (used >= size)
        snprintf(ret_list + size - 5, 5, " ...");
}

static int fail_no_column(const char *const *names, size_t count, const char *table,
                          const char *name, struct ce_error *err)
{
    ce_autofree const char **there = calloc(count + 1, sizeof *there);
    if (!there)
        return ce_fail_memory(err);
    size_t there_count = 0;
    for (size_t i = 0; i < count; i++)
        if (names[i])
            there[there_count++] = names[i];
    char shown[CE_TEXT_SHOWN_SIZE], list[240];
    ce_text_show(name, shown);
    const char *nearest = ce_text_nearest(name, there, there_count);
    if (nearest)
        return ce_fail(err, ENOENT, "'%s' has no column '%s'; did you mean '%s'?", table, shown,
                       nearest);
    list_columns(there, there_count, list, sizeof list);
    return ce_fail(err, ENOENT, "'%s' has no column '%s'%s", table, shown, list);
}

int ce_columns_find(const char *const *names, size_t count, const char *table, const char *name,
                    size_t *ret_column, struct ce_error *err)
{
    if (find(names, count, name, ret_column))
        return 0;
    return fail_no_column(names, count, table, name, err);
}

static int choose_glob(const char *const *names, size_t count, const char *table, const char *glob,
                       const char *except, bool *ret_chosen, struct ce_error *err)
{
    bool any = false;
    for (size_t i = 0; i < count; i++)
        if (names[i] && !(except && strcmp(names[i], except) == 0) &&
            fnmatch(glob, names[i], 0) == 0)
            ret_chosen[i] = any = true;
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(glob, shown);
    return any ? 0 : ce_fail(err, ENOENT, "no column of '%s' matches '%s'", table, shown);
}

/* `position`: what follows the '#'. */
static int choose_position(const char *const *names, size_t count, const char *table,
                           const char *position, bool *ret_chosen, struct ce_error *err)
{
    int64_t at;
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(position, shown);
    if (ce_text_integer(position, &at) < 0 || at < 1 || (uint64_t)at > count)
        return ce_fail(err, ENOENT, "'%s' has no column '#%s'; its columns are #1 to #%zu", table,
                       shown, count);
    if (!names[at - 1])
        return ce_fail(err, ENOENT, "column '#%s' of '%s' has been removed", shown, table);
    ret_chosen[at - 1] = true;
    return 0;
}

static int choose(const char *const *names, size_t count, const char *table, const char *asked,
                  const char *except, bool *ret_chosen, struct ce_error *err)
{
    size_t column;
    if (find(names, count, asked, &column)) {
        ret_chosen[column] = true;
        return 0;
    }
    if (asked[0] == '#')
        return choose_position(names, count, table, asked + 1, ret_chosen, err);
    if (strpbrk(asked, "*?["))
        return choose_glob(names, count, table, asked, except, ret_chosen, err);
    return fail_no_column(names, count, table, asked, err);
}

int ce_columns_choose(const char *const *names, size_t count, const char *table,
                      const struct ce_names *asked, const char *except, bool *ret_chosen,
                      struct ce_error *err)
{
    for (size_t i = 0; i < asked->count; i++)
        CE_TRY(choose(names, count, table, asked->names[i], except, ret_chosen, err));
    return 0;
}
