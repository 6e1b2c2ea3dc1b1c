/* SPDX-License-Identifier: MIT */
/* What the rest of the data room uses of Parquet besides ce_data_parquet (data.h). */
#ifndef CE_DATA_PARQUET_PARQUET_H
#define CE_DATA_PARQUET_PARQUET_H

#include "base/error.h"

/* A column that is not to be text, and DuckDB's name of its type. Both are words of ours. */
struct ce_parquet_cast {
    const char *column, *type;
};
/* Writes a CSV file of ours as a Parquet file: everything as text but those columns. -ENOTSUP when
 * DuckDB's library is missing. */
int ce_parquet_from_csv(const char *csv, const struct ce_parquet_cast *casts, size_t cast_count,
                        const char *parquet, struct ce_error *err);

#endif
