/* SPDX-License-Identifier: MIT */
/* Of the IPC reader: messages (ipc_read.c) and what is in them (ipc_decode.c). */
#ifndef CE_DATA_ARROW_IPC_INTERNAL_H
#define CE_DATA_ARROW_IPC_INTERNAL_H

#include "data/arrow/grow.h"
#include "data/arrow/ipc.h"
#include "data/arrow/source.h"

/* What batches of a source have in common. */
struct ce_ipc_source {
    char *path;
    bool old_unions; /* of metadata version V4, which have a bitmap before them */
    enum ce_ipc_codec codec;
    struct ce_ipc_dictionary {
        int64_t id;
        const struct ce_arrow_type *type; /* of the values */
        const struct ce_ipc_field *field; /* whose children are the values' */
        struct ce_arrow_shared *values;   /* NULL: not yet known */
    } * dictionaries;
    size_t dictionary_count;
};

struct ce_ipc_body {
    struct ce_arrow_shared *owner;
    const char *data;
    size_t size;
};

struct ce_ipc_footer {
    char *bytes;
    size_t size;
    struct ce_flat flat;
    struct ce_flat_table table; /* looks into `flat`, which must not move */
    int64_t *offsets; /* where messages begin, in the order in which they are to be read */
    size_t count;
    int fd; /* of the file; -1: no footer was found */
};
/* Looks at the end of a file: 1, 0: there is no footer, or -errno. */
int ce_ipc_footer_find(const char *path, struct ce_ipc_footer *ret_footer, struct ce_error *err);
void ce_ipc_footer_done(struct ce_ipc_footer *footer);

/* Lists the dictionaries that the fields refer to. */
int ce_ipc_dictionaries_find(struct ce_ipc_source *source, const struct ce_arrow_type *table,
                             const struct ce_ipc_field *root, struct ce_error *err);
void ce_ipc_dictionaries_done(struct ce_ipc_source *source);
/* Takes a dictionary's values, or more of them, from a RecordBatch table and its body. */
int ce_ipc_dictionary_read(struct ce_ipc_source *source, int64_t id,
                           const struct ce_flat_table *batch, const struct ce_ipc_body *body,
                           bool delta, struct ce_error *err);
/* A batch of all columns. */
int ce_ipc_batch_read(struct ce_ipc_source *source, const struct ce_arrow_type *table,
                      const struct ce_ipc_field *root, const struct ce_flat_table *batch,
                      const struct ce_ipc_body *body, struct ArrowArray *ret_batch,
                      struct ce_error *err);

#endif
