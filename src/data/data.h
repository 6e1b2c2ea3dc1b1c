/* SPDX-License-Identifier: MIT */
/* The data engine's front: mutating, reverting and comparing tables of any format.
 *
 * The format is that of the file: CSV, TSV and their dialects or JSON lines, plain, gzip or zstd
 * (data/text: edits bytes, keeps every other one); Parquet (data/parquet) and Arrow IPC
 * (data/arrow: typed batches; what is kept is the content: schema, metadata, values). */
#ifndef CE_DATA_DATA_H
#define CE_DATA_DATA_H

#include <signal.h>

#include "base/hash.h"
#include "data/mutation.h"

struct ce_data_options {
    const char *name;            /* what messages call the input; NULL: its path */
    unsigned threads;            /* 0: as many as there are processors */
    unsigned shard, shard_count; /* writes the shard-th (from 1) of shard_count parts of the rows;
                                    0, 0: everything */
    char delimiter;              /* CSV; 0: found out */
    bool headerless;             /* CSV */
    bool backslash;              /* CSV: a backslash escapes the byte after it */
    char comment;                /* CSV: lines that start with it are no records; 0: none */
    const struct ce_profile
        *profile;  /* statistics of the input; NULL: it is read twice. What cannot be read twice (a
                    * pipe) is  profiled by its first `prefix` bytes */
    size_t prefix; /* 0: 16 MiB */
    const volatile sig_atomic_t
        *stop; /* becomes non-zero: ends with -EINTR and leaves no output; may be NULL */
    void (*progress)(void *ctx, double fraction); /* about every 50 ms of work, on the calling
                                                     thread; negative: unknown; may be NULL */
    void *progress_ctx;
};

struct ce_data_result {
    uint64_t rows, rows_out;
    size_t columns;
    size_t hit_columns;             /* that took part in any cell mutation */
    struct ce_fault_counts *counts; /* one for each mutation */
    char sha256_in[CE_SHA256_HEX], sha256_out[CE_SHA256_HEX]; /* of the contents */
    uint64_t profiled_rows; /* rows the statistics were taken from; 0: none were needed */
    bool prefix_only;       /* they are those of a prefix */
    char *lost; /* what the output's format could not keep, as a phrase; NULL: nothing */
};

void ce_data_result_done(struct ce_data_result *result); /* a zeroed one is fine */

/* Reads `in`, writes `out` ("-": standard streams) and, unless NULL, the answer key. Files appear
 * under their names only when they are complete and durable, the key first; on failure there is
 * neither. They get the mode of `in`. */
int ce_data_inject(const char *in, const char *out, const char *key,
                   const struct ce_mutation *mutations, size_t count,
                   const struct ce_data_options *options, struct ce_data_result *ret_result,
                   struct ce_error *err);
/* Writes to `back` the content that `out` was made from. Refuses (-EINVAL) a file that is not the
 * one the key was made for. The result's SHA-256 is checked against the key before `back` appears.
 */
int ce_data_revert_file(const char *out, const char *key, const char *back, struct ce_error *err);
/* ce_data_key_export() of chaoseater.h, when `changed` is a file (or NULL). */
int ce_data_key_export_file(const char *key, const char *changed, const char *to,
                            struct ce_error *err);

/* ---- comparing ---- */

#define CE_DIFF_SHOWN 64 /* bytes of a value that a listing gets */
struct ce_diff_cell {
    uint64_t row;
    const char *column;
    char a[CE_DIFF_SHOWN], b[CE_DIFF_SHOWN]; /* "" with a_missing: not there at all */
    bool a_missing, b_missing;
};
struct ce_diff {
    uint64_t rows_a, rows_b;
    uint64_t cells_changed;
    uint64_t rows_added, rows_removed;
    struct ce_names columns_added, columns_removed;
    struct ce_diff_column {
        char *name;
        uint64_t changed;
    } * columns; /* those in both, in a's order */
    size_t column_count;
};
/* Aligns columns by name. Rows: runs of rows that only one of the files has (within a window of
 * 4096 rows) are added or removed; the others are compared cell by cell, by value. `cell` (may be
 * NULL) hears of every changed cell, in file order. */
int ce_data_diff(const char *a, const char *b,
                 void (*cell)(void *ctx, const struct ce_diff_cell *cell), void *ctx,
                 struct ce_diff *ret_diff, struct ce_error *err);
void ce_diff_done(struct ce_diff *diff);

/* ---- what the formats offer ---- */

/* A family of formats: data/text, data/arrow, data/parquet. */
struct ce_data_format {
    const char *name;
    bool (*is)(const char *path, const char *magic,
               size_t size); /* by the first bytes, else the name */
    int (*inject)(const char *in, const char *out, const char *key,
                  const struct ce_mutation *mutations, size_t count,
                  const struct ce_data_options *options, struct ce_data_result *ret_result,
                  struct ce_error *err);
    int (*revert)(const char *out, const char *key, const char *back, struct ce_error *err);
    int (*profile)(const char *path, unsigned stats, const struct ce_data_options *options,
                   struct ce_profile *ret_profile, struct ce_error *err);
    int (*diff)(const char *a, const char *b,
                void (*cell)(void *ctx, const struct ce_diff_cell *cell), void *ctx,
                struct ce_diff *ret_diff, struct ce_error *err);
};
extern const struct ce_data_format ce_data_text, ce_data_arrow, ce_data_parquet;

#endif
