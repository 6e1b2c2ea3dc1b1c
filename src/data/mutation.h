/* SPDX-License-Identifier: MIT */
/* A mutation: one fault as the data engine carries it out. Which cells or rows it hits (scope,
 * mechanism, rate, seed), and what becomes of them.
 *
 * The engines (data/text for bytes, data/arrow for typed batches) run a list of mutations over a
 * table in one pass, in the order of the list: a later one sees what the earlier made of a cell.
 * Statistics are always those of the input. Whether a unit is hit is a pure function of (seed,
 * fault, column name, row), except under mar and mnar, where it also depends on a value. */
#ifndef CE_DATA_MUTATION_H
#define CE_DATA_MUTATION_H

#include "base/text.h"
#include "data/cell.h"
#include "data/counts.h"
#include "data/profile.h"
#include "data/radius.h"

enum ce_mechanism {
    CE_MCAR = 0, /* every unit alike */
    CE_MAR,      /* units whose row has, in another column, a value in a window of ranks */
    CE_MNAR,     /* units whose own value lies in a window of ranks of its column */
};

/* Where a mutation acts. Strings and names are borrowed from the fault's parameters. */
struct ce_scope {
    double rate;             /* share of the eligible units */
    struct ce_names columns; /* names, globs ("f*"), positions ("#3", from 1); empty: those that
                                `takes` takes */
    const char *except;      /* a column that is left out unless it is named: the label; or NULL */
    const char *where;       /* predicate on the row (predicate.h), or NULL */
    enum ce_mechanism mechanism;
    const char *mar_column; /* of CE_MAR; NULL: the first numeric column that is not hit itself */
    bool exact; /* exactly round(rate * n) of the n rows, in each column; needs the row count */
    const struct ce_radius *radius; /* rows outside of it are not eligible, and n counts those
                                       within; needs the row count; NULL: all rows */
};

enum ce_mutation_kind {
    CE_MUTATE_CELLS,
    CE_MUTATE_ROWS,
    CE_MUTATE_LAYOUT,
};

/* ---- rows ---- */

enum ce_row_fate {
    CE_ROW_DROP,
    CE_ROW_COPY, /* a copy appears at `place` */
};
enum ce_row_place {
    CE_PLACE_END,      /* after the last row, in the order of the originals */
    CE_PLACE_NEXT,     /* right behind the original */
    CE_PLACE_SHUFFLED, /* at random places further down, through a buffer of CE_SHUFFLE_ROWS rows */
    CE_PLACE_LATER,    /* `lag` rows further down; what would come after the last row is appended */
};
#define CE_SHUFFLE_ROWS 4096
#define CE_LAG_MAX      65536

/* ---- layout ---- */

enum ce_layout_change {
    CE_LAYOUT_ADD,     /* column `name` comes last */
    CE_LAYOUT_REMOVE,  /* `column` */
    CE_LAYOUT_RENAME,  /* `column` to `name` */
    CE_LAYOUT_REORDER, /* all columns, by a seeded permutation that moves at least one */
};

struct ce_mutation {
    const char *fault; /* its name: part of the recipe */
    uint64_t seed;
    enum ce_mutation_kind kind;
    struct ce_scope scope;
    bool numbers_only; /* a column that is named and holds other things is refused */
    unsigned needs;    /* statistics it uses: enum ce_stat bits of profile.h; MCAR noise needs
                          CE_STAT_MOMENTS */

    void *ctx; /* first argument of the callbacks; freed by ce_mutation_done() with free_ctx */
    void (*free_ctx)(void *ctx);
    /* Once, when the statistics are known and before any other callback. May be NULL. */
    int (*prepare)(void *ctx, const struct ce_profile *profile, struct ce_error *err);

    /* CELLS. Called from several threads at once: ctx is read-only after prepare. */
    bool (*takes)(
        const void *ctx,
        const struct ce_column_profile *column); /* whether a column that nobody named takes part */
    /* What becomes of a selected cell that the row has. NULL: it was set; else why it was skipped
     * (a constant). */
    const char *(*rewrite)(const void *ctx, struct ce_cell *cell);
    bool retypes; /* columns that take part become text in typed tables */

    /* ROWS */
    enum ce_row_fate fate;
    enum ce_row_place place;
    uint64_t lag; /* of CE_PLACE_LATER */
    /* CE_ROW_COPY with a `rewrite`: it is called for one cell of the copy, drawn among the columns
     * that `takes` takes, so that the copy is a near one. A cell that it skips is an exact copy. */

    /* LAYOUT */
    enum ce_layout_change change;
    const char *column; /* name, in the input or as an earlier mutation renamed it */
    const char *name;
    /* ADD: the new cell of a row, as text or number: writes at most size - 1 bytes, returns the
     * length; -1: missing.
     * `*ret_number` true: it is a number. */
    int (*value)(const void *ctx, uint64_t row, const struct ce_stream *draws, char *text,
                 size_t size, bool *ret_number);
};

void ce_mutation_done(struct ce_mutation *mutation); /* a zeroed one is fine */

#endif
