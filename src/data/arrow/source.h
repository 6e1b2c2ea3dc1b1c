/* SPDX-License-Identifier: MIT */
/* A stream of record batches being read: its schema understood, its batches checked. */
#ifndef CE_DATA_ARROW_SOURCE_H
#define CE_DATA_ARROW_SOURCE_H

#include "data/arrow/layout.h"

struct ce_arrow_source {
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    struct ce_arrow_type *table; /* a struct whose children are the columns */
    size_t column_count;
};

/* Moves the stream into it. Undo with ce_arrow_source_done() in every case. */
int ce_arrow_source_open(struct ce_arrow_source *source, struct ArrowArrayStream *stream,
                         struct ce_error *err);
void ce_arrow_source_done(struct ce_arrow_source *source); /* a zeroed one is fine */
/* The next batch, which the caller releases: 1, 0 at the end, or -errno. */
int ce_arrow_source_next(struct ce_arrow_source *source, struct ArrowArray *ret_batch,
                         struct ce_error *err);
static inline const char *ce_arrow_source_name(const struct ce_arrow_source *source, size_t column)
{
    const char *name = source->schema.children[column]->name;
    return name ? name : "";
}

/* A stream of our own: `next` as above, `done` frees ctx. The schema and ctx are taken over; on
 * failure (no memory) they are let go of. */
int ce_arrow_stream_make(struct ArrowSchema *schema, void *ctx,
                         int (*next)(void *ctx, struct ArrowArray *ret_batch, struct ce_error *err),
                         void (*done)(void *ctx), struct ArrowArrayStream *ret_stream,
                         struct ce_error *err);

#endif
