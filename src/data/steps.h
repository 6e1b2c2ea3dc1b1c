/* SPDX-License-Identifier: MIT */
/* The mutations of one pass, made ready one after the other, whatever the format: what each one
 * hits, and what its columns are called after the layout mutations before it. */
#ifndef CE_DATA_STEPS_H
#define CE_DATA_STEPS_H

#include "data/selection.h"

struct ce_step {
    const struct ce_mutation *mutation;
    struct ce_selection *selection; /* NULL: of the layout */
    struct ce_selection *places;    /* of shuffled rows: behind which rows they come */
    size_t count;                   /* units: columns; 1 for rows */
    size_t first_unit; /* among those of all steps; those of `places` follow on this step's own */
    bool by_value;
    /* Rows that are copied with one cell rewritten: the columns it is chosen among, and by what. */
    size_t *offered, offered_count;
    struct ce_stream choice;
    struct ce_fault_counts layout; /* what a layout mutation comes to; its units are columns */
    int removed;                   /* the column of the input that it takes out; -1: none */
};
void ce_steps_free(struct ce_step *steps, size_t count); /* NULL is fine */

/* A column of the result. */
struct ce_new_column {
    int input;                          /* -1: an added one */
    const char *name;                   /* what it is called now */
    const struct ce_mutation *mutation; /* that added it; NULL: none */
    struct ce_stream draws;             /* of an added one's cells */
};

/* While the list is gone through. Who takes `steps` or `columns` over sets it to NULL. */
struct ce_stepping {
    const struct ce_profile *profile; /* its columns are those of the input */
    const char *table;                /* what messages call the input */
    struct ce_step *steps;
    size_t count, unit_count;
    struct ce_new_column *columns;
    size_t column_count;
    const char **inputs; /* what the input's columns are called now; NULL: gone */
};
/* Makes room for `count` mutations. */
int ce_stepping_begin(const struct ce_profile *profile, const char *table, size_t count,
                      struct ce_stepping *ret_stepping, struct ce_error *err);
/* Makes the next one ready: -ENOENT, -EINVAL. */
int ce_stepping_next(struct ce_stepping *stepping, const struct ce_mutation *mutation,
                     struct ce_step **ret_step, struct ce_error *err);
void ce_stepping_done(struct ce_stepping *stepping); /* a zeroed one is fine */

#endif
