/* SPDX-License-Identifier: MIT */
/* Rewriting chosen cells of a CSV file, every other byte kept, with an answer key that takes it all
 * back.
 *
 * Which cells are hit is a pure function of (seed, fault, column name, row): see base/random.h. The
 * key records every cell that was changed with its old bytes, and the SHA-256 of both files;
 * docs/internals/answer-key.md has its format. */
#ifndef CE_DATA_INJECT_H
#define CE_DATA_INJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/random.h"
#include "base/text.h"
#include "data/csv.h"
#include "data/profile.h"

/* A cell that was selected, and what the fault may know about it. */
struct ce_cell {
    const struct ce_column_profile *column;
    uint64_t row;
    const struct ce_csv_cell *cell;
    bool alone; /* the only cell of its row: written as nothing at all it would leave a blank line,
                   which is no row */
    uint64_t random[2]; /* this cell's own draw, independent of its selection */
};

/* How a data fault rewrites cells. */
struct ce_cell_fault {
    const char *name;  /* of the fault: part of the recipe */
    const char *input; /* what messages call the input; NULL: its path */
    double rate;       /* per eligible cell, independent (Bernoulli) */
    uint64_t seed;
    struct ce_names columns; /* empty: all for which `takes_column` says yes */
    void *ctx;
    /* Whether a column that nobody named takes part. */
    bool (*takes_column)(void *ctx, const struct ce_column_profile *column);
    /* Writes the new raw cell bytes (quoted if need be) to `text`; returns their length, or -1 to
     * skip with *ret_reason (a constant: "missing", "not numeric", "no change"). */
    int (*rewrite)(void *ctx, const struct ce_cell *cell, char *text, size_t size,
                   const char **ret_reason);
};

#define CE_SKIP_REASONS_MAX 8

/* What a fault did, in cells, rows, requests or predictions. Every selected one was either changed
 * or skipped. */
struct ce_fault_counts {
    uint64_t eligible, selected, changed;
    struct {
        const char *reason;
        uint64_t count;
    } skipped[CE_SKIP_REASONS_MAX];
};
void ce_fault_counts_skip(struct ce_fault_counts *counts, const char *reason);

struct ce_inject_result {
    uint64_t rows;
    size_t columns, hit_columns; /* of the file; that took part */
    struct ce_fault_counts counts;
    char sha256_in[CE_SHA256_HEX], sha256_out[CE_SHA256_HEX];
};

/* Reads `in`, writes `out` and the key. Both appear under their names only when they are complete
 * and durable; on failure there is neither. They get the mode of `in`. A column that was named and
 * does not exist is -ENOENT with the nearest name. */
int ce_data_inject(const char *in, const char *out, const char *key,
                   const struct ce_cell_fault *fault, struct ce_inject_result *ret_result,
                   struct ce_error *err);
/* Writes to `back` the file that `out` was made from. Refuses (-EINVAL) a file that is not the one
 * the key was made for. The result's SHA-256 is checked against the key before `back` appears. */
int ce_data_revert(const char *out, const char *key, const char *back, struct ce_error *err);

/* Compares two CSV files cell by cell. */
struct ce_diff {
    uint64_t cells_changed;
    uint64_t rows_a, rows_b;
};
int ce_data_diff(const char *a, const char *b, struct ce_diff *ret_diff, struct ce_error *err);

/* The selection and the value draws themselves, for faults that act on single values elsewhere
 * (live requests): whether the cell `row` (any 64-bit identity) of that column is hit, and its own
 * random words. */
bool ce_cell_selected(uint64_t seed, const char *fault, const char *column, uint64_t row,
                      double rate);
void ce_cell_random(uint64_t seed, const char *fault, const char *column, uint64_t row,
                    uint64_t ret_words[2]);

#endif
