/* SPDX-License-Identifier: MIT */
/* A CSV file of ours as a Parquet file: `row` as a number, everything else as text. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "data/parquet/parquet.h"
#include "data/parquet/parquet_internal.h"

int ce_parquet_from_csv(const char *csv, const char *parquet, struct ce_error *err)
{
    CE_CLEANUP(ce_output_free_p) struct ce_output *out = NULL;
    CE_CLEANUP(ce_duckdb_close_p) struct ce_duckdb *duck = NULL;
    ce_autofd int in = open(csv, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", csv, strerror(errno));
    CE_TRY(ce_output_open(parquet, 0600, CE_PACKING_PLAIN, &out, err));
    int fds[] = {in, ce_output_fd(out)};
    CE_TRY(ce_duckdb_open(1, fds, CE_COUNT(fds), &duck, err));

    char from[CE_DUCKDB_FILE_SIZE], to[CE_DUCKDB_FILE_SIZE], sql[512];
    ce_duckdb_file(fds[0], from);
    ce_duckdb_file(fds[1], to);
    snprintf(sql, sizeof sql,
             "COPY (SELECT * REPLACE (CAST(\"row\" AS BIGINT) AS \"row\") FROM read_csv('%s', "
             "header = true, delim = ',', quote = '\"', escape = '\"', all_varchar = true)) "
             "TO '%s' (FORMAT parquet, USE_TMP_FILE false, COMPRESSION zstd)",
             from, to);
    struct duckdb_connection *connection;
    CE_TRY(ce_duckdb_connect(duck, &connection, err));
    int r = ce_duckdb_run(duck, connection, sql, NULL, NULL, err);
    duck->api.disconnect(&connection);
    CE_TRY(r);
    CE_TRY(ce_output_sync(out, err));
    return ce_output_publish(out, err);
}
