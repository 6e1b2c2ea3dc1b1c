/* SPDX-License-Identifier: MIT */
/* The front of the data engine: finds out which family of formats a file is of, and hands over. */
#include "data/data.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "data/text/chunk.h"

enum { MAGIC_SIZE = 16 };

/* Text comes last: it is what no other claims. */
static const struct ce_data_format *const formats[] = {
    &ce_data_parquet,
    &ce_data_arrow,
    &ce_data_text,
};

/* A pipe cannot be looked into and read again: its name decides. A file that cannot be read is left
 * to the format, which says so. */
static const struct ce_data_format *find_format(const char *path)
{
    char magic[MAGIC_SIZE];
    ssize_t size = 0;
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
        size = fd < 0 ? 0 : pread(fd, magic, sizeof magic, 0);
    }
    for (size_t i = 0; i + 1 < CE_COUNT(formats); i++)
        if (formats[i]->is(path, magic, size > 0 ? (size_t)size : 0))
            return formats[i];
    return &ce_data_text;
}

/* Formats are not converted: a name that promises another family is a mistake. */
static int check_name(const struct ce_data_format *format, const char *in, const char *out,
                      struct ce_error *err)
{
    for (size_t i = 0; i + 1 < CE_COUNT(formats); i++)
        if (formats[i] != format && formats[i]->is(out, "", 0))
            return ce_fail(err, EINVAL,
                           "'%s' is a name for %s, but '%s' is %s: formats are not converted", out,
                           formats[i]->name, in, format->name);
    const struct ce_text_format *named = ce_text_format_of_name(out);
    if (named && format != &ce_data_text)
        return ce_fail(err, EINVAL,
                       "'%s' is a name for %s, but '%s' is %s: formats are not converted", out,
                       named->name, in, format->name);
    return 0;
}

int ce_data_inject(const char *in, const char *out, const char *key,
                   const struct ce_mutation *mutations, size_t count,
                   const struct ce_data_options *options, struct ce_data_result *ret_result,
                   struct ce_error *err)
{
    const struct ce_data_format *format = find_format(in);
    CE_TRY(check_name(format, in, out, err));
    return format->inject(in, out, key, mutations, count, options, ret_result, err);
}

int ce_data_revert_file(const char *out, const char *key, const char *back, struct ce_error *err)
{
    const struct ce_data_format *format = find_format(out);
    CE_TRY(check_name(format, out, back, err));
    return format->revert(out, key, back, err);
}

int ce_data_diff(const char *a, const char *b,
                 void (*cell)(void *ctx, const struct ce_diff_cell *cell), void *ctx,
                 struct ce_diff *ret_diff, struct ce_error *err)
{
    const struct ce_data_format *of_a = find_format(a), *of_b = find_format(b);
    if (of_a != of_b)
        return ce_fail(err, EINVAL, "'%s' is %s and '%s' is %s: only files of a kind are compared",
                       a, of_a->name, b, of_b->name);
    return of_a->diff(a, b, cell, ctx, ret_diff, err);
}

void ce_data_result_done(struct ce_data_result *result)
{
    free(result->counts);
    free(result->lost);
    *result = (struct ce_data_result){0};
}

void ce_diff_done(struct ce_diff *diff)
{
    struct ce_names *const lists[] = {&diff->columns_added, &diff->columns_removed};
    for (size_t i = 0; i < CE_COUNT(lists); i++) {
        for (size_t k = 0; k < lists[i]->count; k++)
            free(lists[i]->names[k]);
        free(lists[i]->names);
    }
    for (size_t i = 0; i < diff->column_count; i++)
        free(diff->columns[i].name);
    free(diff->columns);
    *diff = (struct ce_diff){0};
}

int ce_profile_read(const char *path, unsigned stats, unsigned threads,
                    struct ce_profile *ret_profile, struct ce_error *err)
{
    const struct ce_data_options options = {.threads = threads};
    return find_format(path)->profile(path, stats, &options, ret_profile, err);
}
