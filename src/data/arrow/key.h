/* SPDX-License-Identifier: MIT */
/* Answer keys of typed tables (kind "table"). The entries follow in the order of the rows:
 *
 *   layout        the first entry; its bytes are the new columns and the old schema (key.c). Later
 *                 ones say how many values the dictionary of a column had: its index (u32) and the
 *                 number (i64); those beyond were added. -1: they cannot be told apart
 *   cell          the old value of a cell
 *   row added     nothing else: the row is left out again
 *   row removed   the row
 *
 * Values and rows are written as encode.h has it. `row step` counts rows of the input and `gap`
 * rows of the output since the entry before: a cell's are those of its row; of a row that was
 * added, the input's is the next that comes; of one that was removed, the output's is. Every cell
 * of a column that was removed, or turned into text, has an entry. */
#ifndef CE_DATA_ARROW_KEY_H
#define CE_DATA_ARROW_KEY_H

#include "data/arrow/mutate.h"

/* One entry, into pass->entries. Nothing without a key. */
int ce_arrow_key_put(struct ce_arrow_pass *pass, uint64_t row_in, uint64_t row_out, uint64_t what,
                     size_t fault, const char *bytes, size_t size, struct ce_error *err);
/* Says how many values of dictionaries are the input's, where that has changed. Before the entries
 * of the batch at hand. */
int ce_arrow_key_dictionaries(struct ce_arrow_pass *pass, struct ce_error *err);
/* Entries so far go to the key. */
int ce_arrow_key_flush(struct ce_arrow_pass *pass, struct ce_error *err);
/* The bytes of the layout entry. */
int ce_arrow_key_layout(const struct ce_arrow_plan *plan, struct ce_buffer *ret_bytes,
                        struct ce_error *err);

/* What a layout entry says. */
struct ce_arrow_layout {
    struct ArrowSchema schema; /* of the input */
    int32_t *inputs;           /* of each column of the output: where it was; -1: nowhere */
    size_t count;
};
/* -EBADMSG: it is damaged. Undo with ce_arrow_layout_done(). */
int ce_arrow_layout_read(const char *bytes, size_t size, struct ce_arrow_layout *ret_layout,
                         struct ce_error *err);
void ce_arrow_layout_done(struct ce_arrow_layout *layout); /* a zeroed one is fine */
/* All old bytes of the change that the key stands at. */
int ce_arrow_key_old(struct ce_key *key, const struct ce_key_change *change, struct ce_buffer *out,
                     struct ce_error *err);

#endif
