/* SPDX-License-Identifier: MIT */
#ifndef CE_DATA_TEXT_CSV_OPEN_H
#define CE_DATA_TEXT_CSV_OPEN_H

#include "data/text/format.h"

/* ce_csv_format.open */
int ce_csv_open_table(struct ce_text_table *table, const char *data, size_t size, bool last,
                      struct ce_error *err);

/* Fails with "path:line" as the place. */
int ce_csv_fail_at(const char *path, uint64_t line, int code, const char *message,
                   struct ce_error *err);

#endif
