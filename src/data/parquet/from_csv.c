/* SPDX-License-Identifier: MIT */
/* A CSV file of ours as a Parquet file: the columns that are named have a type, the rest is text.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "data/parquet/parquet.h"
#include "data/parquet/parquet_internal.h"

/* NULL: no memory. */
static char *copy_statement(const struct ce_parquet_cast *casts, size_t cast_count,
                            const char *from, const char *to)
{
    char *sql = NULL;
    size_t size;
    FILE *out = open_memstream(&sql, &size);
    if (!out)
        return NULL;
    fputs("COPY (SELECT * REPLACE (", out);
    for (size_t i = 0; i < cast_count; i++)
        fprintf(out, "%sCAST(\"%s\" AS %s) AS \"%s\"", i > 0 ? ", " : "", casts[i].column,
                casts[i].type, casts[i].column);
    fprintf(out,
            ") FROM read_csv('%s', header = true, delim = ',', quote = '\"', escape = '\"', "
            "all_varchar = true)) TO '%s' (FORMAT parquet, USE_TMP_FILE false, COMPRESSION zstd)",
            from, to);
    if (fclose(out) == 0)
        return sql;
    free(sql);
    return NULL;
}

int ce_parquet_from_csv(const char *csv, const struct ce_parquet_cast *casts, size_t cast_count,
                        const char *parquet, struct ce_error *err)
{
    CE_CLEANUP(ce_output_free_p) struct ce_output *out = NULL;
    CE_CLEANUP(ce_duckdb_close_p) struct ce_duckdb *duck = NULL;
    ce_autofd int in = open(csv, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", csv, strerror(errno));
    CE_TRY(ce_output_open(parquet, 0600, CE_PACKING_PLAIN, &out, err));
    int fds[] = {in, ce_output_fd(out)};
    CE_TRY(ce_duckdb_open(1, fds, CE_COUNT(fds), &duck, err));

    char from[CE_DUCKDB_FILE_SIZE], to[CE_DUCKDB_FILE_SIZE];
    ce_duckdb_file(fds[0], from);
    ce_duckdb_file(fds[1], to);
    ce_autofree char *sql = copy_statement(casts, cast_count, from, to);
    if (!sql)
        return ce_fail_memory(err);
    struct duckdb_connection *connection;
    CE_TRY(ce_duckdb_connect(duck, &connection, err));
    int r = ce_duckdb_run(duck, connection, sql, NULL, NULL, err);
    duck->api.disconnect(&connection);
    CE_TRY(r);
    CE_TRY(ce_output_sync(out, err));
    return ce_output_publish(out, err);
}
