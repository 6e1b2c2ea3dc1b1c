/* SPDX-License-Identifier: MIT */
/* What the rest of the data room uses of Parquet besides ce_data_parquet (data.h). */
#ifndef CE_DATA_PARQUET_PARQUET_H
#define CE_DATA_PARQUET_PARQUET_H

#include "base/error.h"

/* Writes a CSV file of ours, with a column `row`, as a Parquet file: `row` as a number, everything
 * else as text. -ENOTSUP when DuckDB's library is missing. */
int ce_parquet_from_csv(const char *csv, const char *parquet, struct ce_error *err);

#endif
