/* SPDX-License-Identifier: MIT */
/* Arrow IPC: record batches in files and streams of bytes. Both are the same messages; a file has a
 * magic before them and a footer behind. */
#ifndef CE_DATA_ARROW_IPC_H
#define CE_DATA_ARROW_IPC_H

#include "data/arrow/flat.h"
#include "data/arrow/layout.h"
#include "data/stream/stream.h"

#define CE_IPC_MAGIC      "ARROW1"
#define CE_IPC_MAGIC_SIZE 6

/* What of a file is not in its schema and batches; the writer does as the reader found it. */
struct ce_ipc_style {
    bool file; /* else a stream */
    enum ce_ipc_codec {
        CE_IPC_PLAIN,
        CE_IPC_LZ4,
        CE_IPC_ZSTD,
    } codec;               /* of buffers: known with the first batch that has any */
    char *footer_metadata; /* as in ArrowSchema; NULL: none. Known at the end */
};
void ce_ipc_style_done(struct ce_ipc_style *style);

/* Batches from a file or stream. `style` is filled in on the way and must outlive the stream; it
 * may be NULL. `input` is taken over in every case; `path` is what messages call it. */
int ce_ipc_read(struct ce_input *input, const char *path, struct ce_ipc_style *style,
                struct ArrowArrayStream *ret_stream, struct ce_error *err);
/* Writes all batches of the stream, which it releases. `style` is asked when it is needed: it may
 * become known while the stream is pulled. */
int ce_ipc_write(struct ArrowArrayStream *stream, const struct ce_ipc_style *style,
                 struct ce_output *output, struct ce_error *err);

/* ---- of the reader and the writer ---- */

/* Schema.fbs, Message.fbs */
enum {
    IPC_HEADER_SCHEMA = 1,
    IPC_HEADER_DICTIONARY = 2,
    IPC_HEADER_BATCH = 3,
    IPC_V4 = 3,
    IPC_V5 = 4,
};

/* Which dictionaries a field refers to. */
struct ce_ipc_field {
    int64_t id; /* -1: none */
    struct ce_ipc_field *children;
    size_t child_count;
};
void ce_ipc_field_done(struct ce_ipc_field *field); /* a zeroed one is fine */

/* A Schema table as a struct whose children are the columns. `root` has a field for each of them.
 */
int ce_ipc_schema_read(const struct ce_flat_table *table, const char *path,
                       struct ArrowSchema *ret_schema, struct ce_ipc_field *ret_root,
                       struct ce_error *err);
/* Vector of KeyValue as in ArrowSchema; *ret_metadata is NULL when there are none. */
int ce_ipc_metadata_read(const struct ce_flat_table *table, unsigned field, char **ret_metadata,
                         struct ce_error *err);
/* Puts a Schema table. Dictionaries are numbered from 0, in the order of the fields, the values'
 * own ones after them. */
int ce_ipc_schema_write(struct ce_flat_writer *writer, size_t from,
                        const struct ArrowSchema *schema, struct ce_error *err);
void ce_ipc_metadata_write(struct ce_flat_writer *writer, size_t from, const char *metadata);
/* Puts a Message table; returns where its header is referred from. */
size_t ce_ipc_message_begin(struct ce_flat_writer *writer, int header, int64_t body_size);

#endif
