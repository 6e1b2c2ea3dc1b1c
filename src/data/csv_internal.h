/* SPDX-License-Identifier: MIT */
/* Of the data room and its tests. */
#ifndef CE_DATA_CSV_INTERNAL_H
#define CE_DATA_CSV_INTERNAL_H

#include "base/hash.h"
#include "data/csv.h"

/* ce_csv_open() with a window of at least `window` bytes (0: the default), so that tests meet its
 * edges, and with every byte that is read added to `sha` (may be NULL; must outlive the reader). */
int ce_csv_open_window(const char *path, size_t window, struct ce_sha256 *sha,
                       struct ce_csv_reader **ret_reader, struct ce_error *err);

#endif
