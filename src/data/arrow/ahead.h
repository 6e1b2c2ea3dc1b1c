/* SPDX-License-Identifier: MIT */
/* The beginning of a stream, read ahead: what cannot be read twice is looked at before it is used.
 */
#ifndef CE_DATA_ARROW_AHEAD_H
#define CE_DATA_ARROW_AHEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "data/arrow/abi.h"

struct ce_arrow_ahead;
/* Reads batches that hold at least `size` bytes, as far as there are that many; *ret_whole: it is
 * all. Moves the stream into it. */
int ce_arrow_ahead_new(struct ArrowArrayStream *stream, size_t size,
                       struct ce_arrow_ahead **ret_ahead, bool *ret_whole, struct ce_error *err);
void ce_arrow_ahead_free(struct ce_arrow_ahead *ahead); /* NULL is fine */
/* A stream of what was read ahead, to be released before the next is made. */
int ce_arrow_ahead_peek(struct ce_arrow_ahead *ahead, struct ArrowArrayStream *ret_stream,
                        struct ce_error *err);
/* The stream as it was. Frees `ahead` with it, or at once on failure. */
int ce_arrow_ahead_all(struct ce_arrow_ahead *ahead, struct ArrowArrayStream *ret_stream,
                       struct ce_error *err);

#endif
