/* SPDX-License-Identifier: MIT */
/* JSON lines with other members: left out, added, renamed, in another order. */
#ifndef CE_DATA_TEXT_JSONL_LAYOUT_H
#define CE_DATA_TEXT_JSONL_LAYOUT_H

#include "base/error.h"
#include "data/text/format.h"

/* See struct ce_text_format. What lies between the members (commas, blanks) stays as the line has
 * it; columns that keep their order among each other stay in the line's own order, and members that
 * are no columns where they are. */
int ce_jsonl_lay_out(const struct ce_text_table *table, const struct ce_text_record *record,
                     bool header, const struct ce_layout_cell *cells, size_t count,
                     struct ce_buffer *out, struct ce_error *err);

#endif
