/* SPDX-License-Identifier: MIT */
/* Column statistics of a CSV file, the same bits on every machine: sums are taken in fixed block
 * order. */
#ifndef CE_DATA_PROFILE_H
#define CE_DATA_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct ce_column_profile {
    char *name;
    bool numeric; /* every cell that is not missing is a number, and there is at least one */
    uint64_t cells, missing;
    double mean, sd, min,
        max; /* of the numbers; sd is the sample's (n - 1); 0 when there are too few */
};

struct ce_profile {
    uint64_t rows;
    struct ce_column_profile *columns;
    size_t column_count;
};

int ce_profile_file(const char *path, struct ce_profile *ret_profile, struct ce_error *err);
void ce_profile_done(struct ce_profile *profile);
const struct ce_column_profile *ce_profile_column(const struct ce_profile *profile,
                                                  const char *name); /* NULL: none */
/* -ENOENT unless all those columns exist; the message names the nearest one. `path` is what it
 * calls the file. */
int ce_profile_require(const struct ce_profile *profile, const char *path,
                       const struct ce_names *names, struct ce_error *err);

#endif
