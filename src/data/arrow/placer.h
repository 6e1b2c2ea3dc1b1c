/* SPDX-License-Identifier: MIT */
/* Copied rows on their way to the place where they come in again: one placer for each mutation that
 * copies rows, and one for all that put them at the end. Which rows are copied, and to where, is
 * the same as in text tables. */
#ifndef CE_DATA_ARROW_PLACER_H
#define CE_DATA_ARROW_PLACER_H

#include "data/mutation.h"
#include "data/text/buffer.h"

struct ce_placer;
struct ce_placed {
    uint64_t ordinal; /* of the original */
    size_t step;      /* which mutation copied it */
    const char *bytes;
    size_t size;
};
typedef int ce_placed_fn(void *ctx, const struct ce_placed *row, struct ce_error *err);

int ce_placer_new(const struct ce_mutation *mutation, struct ce_placer **ret_placer,
                  struct ce_error *err);
void ce_placer_free(struct ce_placer *placer); /* NULL is fine */
/* A copy of a row. Rows come in order. */
int ce_placer_take(struct ce_placer *placer, const struct ce_placed *row, struct ce_error *err);
/* The copies that come behind row `ordinal`, after its own was taken. `place`: the row is one
 * behind which a shuffled copy comes. */
int ce_placer_after(struct ce_placer *placer, uint64_t ordinal, bool place, ce_placed_fn *emit,
                    void *ctx, struct ce_error *err);
/* The next of those that come behind the last row: 1, or 0. Its bytes are valid until the next
 * call. */
int ce_placer_rest(struct ce_placer *placer, struct ce_placed *ret_row, struct ce_error *err);

#endif
