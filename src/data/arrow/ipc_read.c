/* SPDX-License-Identifier: MIT */
/* Reading Arrow IPC, front to back, so that pipes and compressed files will do: a file is read like
 * a stream, up to the mark that ends it, and then its footer for the metadata in it.
 *
 * Nothing in the bytes is trusted: what a batch becomes has been checked by ipc_decode.c. */
#include "data/arrow/ipc_internal.h"

#include <stdlib.h>

enum {
    METADATA_MAX = 256 << 20,
    PIECE = 16 << 20, /* what is allocated before that much has been there */
    CONTINUATION = -1,
};

void ce_ipc_style_done(struct ce_ipc_style *style)
{
    free(style->footer_metadata);
    *style = (struct ce_ipc_style){0};
}

struct reader {
    struct ce_ipc_source source;
    struct ce_input *input;
    struct ce_ipc_style own, *style;
    struct ArrowSchema schema;
    struct ce_arrow_type *table;
    struct ce_ipc_field root;
    struct ce_buffer metadata; /* of the message at hand */
    struct ce_ipc_footer footer;
    size_t next_block; /* of the footer */
    int64_t at;        /* in the footer's file: where to read on */
    bool ended;
};

static void reader_done(void *ctx)
{
    struct reader *reader = ctx;
    ce_input_close(reader->input);
    ce_ipc_style_done(&reader->own);
    ce_ipc_footer_done(&reader->footer);
    ce_ipc_dictionaries_done(&reader->source);
    ce_arrow_schema_done(&reader->schema);
    ce_arrow_type_free(reader->table);
    ce_ipc_field_done(&reader->root);
    ce_buffer_done(&reader->metadata);
    free(reader->source.path);
    free(reader);
}

static int cut_short(const struct reader *reader, struct ce_error *err)
{
    return ce_fail(err, EINVAL, "'%s' is cut short", reader->source.path);
}

/* ---- bytes ---- */

/* As many as there are. */
static ssize_t read_some(struct reader *reader, void *data, size_t size, struct ce_error *err)
{
    if (reader->footer.fd < 0)
        return ce_input_read(reader->input, data, size, err);
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(reader->footer.fd, (char *)data + done, size - done, reader->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ce_fail(err, errno, "cannot read '%s': %s", reader->source.path,
                           strerror(errno));
        if (n == 0)
            break;
        done += (size_t)n;
        reader->at += n;
    }
    return (ssize_t)done;
}

/* All of them, or -EINVAL. */
static int read_bytes(struct reader *reader, void *data, size_t size, struct ce_error *err)
{
    ssize_t n = read_some(reader, data, size, err);
    if (n < 0)
        return (int)n;
    return (size_t)n < size ? cut_short(reader, err) : 0;
}

/* A damaged size must not become an allocation: it grows as bytes come. */
static int read_block(struct reader *reader, size_t size, struct ce_buffer *out,
                      struct ce_error *err)
{
    out->size = 0;
    while (out->size < size) {
        size_t more = size - out->size, most = out->size > PIECE ? out->size : PIECE;
        more = more < most ? more : most;
        char *room = ce_buffer_room(out, more);
        if (!room)
            return ce_fail_memory(err);
        CE_TRY(read_bytes(reader, room, more, err));
        out->size += more;
    }
    return 0;
}

/* ---- messages ---- */

/* To where the footer says that the next message is: 1, or 0 at the end. */
static int go_to_message(struct reader *reader, struct ce_error *err)
{
    if (reader->next_block == reader->footer.count)
        return 0;
    reader->at = reader->footer.offsets[reader->next_block++];
    return reader->at >= 0 ? 1
                           : ce_fail(err, EINVAL, "'%s' is damaged: its footer cannot be read",
                                     reader->source.path);
}

/* The metadata of the next message: 1, or 0 at the end. */
static int next_message(struct reader *reader, struct ce_error *err)
{
    int32_t mark, size;
    int more = reader->footer.fd >= 0 ? go_to_message(reader, err) : 1;
    if (more <= 0)
        return more;
    ssize_t n = read_some(reader, &mark, 4, err);
    if (n <= 0)
        return n < 0 ? (int)n : reader->style->file ? cut_short(reader, err) : 0;
    if (n < 4)
        return cut_short(reader, err);
    if (mark == 0)
        return 0;
    if (mark != CONTINUATION)
        return ce_fail(err, EINVAL,
                       "'%s' is damaged, or older than Arrow 0.15: a message does not begin with "
                       "ffffffff",
                       reader->source.path);
    CE_TRY(read_bytes(reader, &size, 4, err));
    if (size == 0)
        return 0;
    if (size < 0 || size > METADATA_MAX)
        return ce_fail(err, EINVAL, "'%s' is damaged: a message of %ld bytes", reader->source.path,
                       (long)size);
    CE_TRY(read_block(reader, (size_t)size, &reader->metadata, err));
    return 1;
}

struct message {
    struct ce_flat flat;
    struct ce_flat_table header;
    int64_t kind, body_size;
};

static int open_message(struct reader *reader, struct message *message, struct ce_error *err)
{
    struct ce_flat_table table;
    message->flat = (struct ce_flat){.data = reader->metadata.data, .size = reader->metadata.size};
    if (!ce_flat_root(&message->flat, &table) || !ce_flat_child(&table, 2, &message->header))
        return ce_fail(err, EINVAL, "'%s' is damaged: a message cannot be read",
                       reader->source.path);
    int64_t version = ce_flat_number(&table, 0, 2, 0);
    message->kind = ce_flat_number(&table, 1, 1, 0);
    message->body_size = ce_flat_number(&table, 3, 8, 0);
    if (message->flat.bad || message->body_size < 0)
        return ce_fail(err, EINVAL, "'%s' is damaged: a message cannot be read",
                       reader->source.path);
    if (version < IPC_V4 || version > IPC_V5)
        return ce_fail(err, EOPNOTSUPP,
                       "'%s' is of metadata version V%d; V4 and V5 are read (Arrow 0.8 and later)",
                       reader->source.path, (int)version + 1);
    reader->source.old_unions = version == IPC_V4;
    return 0;
}

static void free_body(struct ArrowArray *array)
{
    free(array->private_data);
    array->release = NULL;
}

/* The message's body, as something that arrays can share. */
static int read_body(struct reader *reader, int64_t size, struct ce_ipc_body *ret_body,
                     struct ce_error *err)
{
    struct ce_buffer bytes = {0};
    int r = read_block(reader, (size_t)size, &bytes, err);
    struct ArrowArray holder = {.release = free_body, .private_data = bytes.data};
    struct ce_arrow_shared *shared = r == 0 ? ce_arrow_shared_new(&holder) : NULL;
    if (!shared) {
        ce_buffer_done(&bytes);
        return r < 0 ? r : ce_fail_memory(err);
    }
    *ret_body = (struct ce_ipc_body){shared, bytes.data, (size_t)size};
    return 0;
}

static int read_dictionary(struct reader *reader, const struct message *message,
                           const struct ce_ipc_body *body, struct ce_error *err)
{
    struct ce_flat_table data;
    if (!ce_flat_child(&message->header, 1, &data))
        return ce_fail(err, EINVAL, "'%s' is damaged: a dictionary has no values",
                       reader->source.path);
    return ce_ipc_dictionary_read(&reader->source, ce_flat_number(&message->header, 0, 8, 0), &data,
                                  body, ce_flat_number(&message->header, 2, 1, 0) != 0, err);
}

/* ---- the footer ---- */

/* What follows the messages: a Footer table, its size, and the magic. */
static int read_footer(struct reader *reader, struct ce_error *err)
{
    struct ce_buffer *bytes = &reader->metadata;
    ssize_t n = 1;
    bytes->size = 0;
    while (n > 0 && bytes->size < METADATA_MAX) {
        char *room = ce_buffer_room(bytes, 64 * 1024);
        if (!room)
            return ce_fail_memory(err);
        n = ce_input_read(reader->input, room, 64 * 1024, err);
        if (n < 0)
            return (int)n;
        bytes->size += (size_t)n;
    }
    size_t end = 4 + CE_IPC_MAGIC_SIZE;
    if (bytes->size < end ||
        memcmp(bytes->data + bytes->size - CE_IPC_MAGIC_SIZE, CE_IPC_MAGIC, CE_IPC_MAGIC_SIZE) != 0)
        return cut_short(reader, err);
    int64_t size = ce_load_i32(bytes->data + bytes->size - end, 0);
    struct ce_flat flat = {0};
    struct ce_flat_table footer;
    if (size >= 0 && (size_t)size <= bytes->size - end)
        flat =
            (struct ce_flat){.data = bytes->data + bytes->size - end - size, .size = (size_t)size};
    if (!ce_flat_root(&flat, &footer))
        return ce_fail(err, EINVAL, "'%s' is damaged: its footer cannot be read",
                       reader->source.path);
    return ce_ipc_metadata_read(&footer, 4, &reader->style->footer_metadata, err);
}

static int reader_end(struct reader *reader, struct ce_error *err)
{
    reader->ended = true;
    if (reader->footer.fd >= 0)
        return ce_ipc_metadata_read(&reader->footer.table, 4, &reader->style->footer_metadata, err);
    return reader->style->file ? read_footer(reader, err) : 0;
}

/* ---- batches ---- */

static int read_message(struct reader *reader, struct ArrowArray *ret_batch, struct ce_error *err)
{
    struct message message;
    struct ce_ipc_body body;
    CE_TRY(open_message(reader, &message, err));
    CE_TRY(read_body(reader, message.body_size, &body, err));
    int r;
    if (message.kind == IPC_HEADER_DICTIONARY)
        r = read_dictionary(reader, &message, &body, err);
    else if (message.kind == IPC_HEADER_BATCH)
        r = ce_ipc_batch_read(&reader->source, reader->table, &reader->root, &message.header, &body,
                              ret_batch, err);
    else
        r = ce_fail(err, EOPNOTSUPP,
                    "'%s' holds a message of kind %d; dictionaries and record batches are read",
                    reader->source.path, (int)message.kind);
    ce_arrow_shared_unref(body.owner);
    if (r >= 0 && reader->source.codec != CE_IPC_PLAIN)
        reader->style->codec = reader->source.codec;
    return r < 0 ? r : message.kind == IPC_HEADER_BATCH;
}

static int reader_next(void *ctx, struct ArrowArray *ret_batch, struct ce_error *err)
{
    struct reader *reader = ctx;
    int r = 0;
    while (r == 0 && !reader->ended) {
        CE_TRY(r = next_message(reader, err));
        r = r > 0 ? read_message(reader, ret_batch, err) : reader_end(reader, err);
    }
    return r;
}

/* ---- beginning ---- */

/* 1: the schema is in the footer, or in the message that was read; 0: there is none. */
static int read_start(struct reader *reader, struct ce_error *err)
{
    char magic[8];
    const char *path = reader->source.path;
    ssize_t n = ce_input_read(reader->input, magic, sizeof magic, err);
    if (n < 0)
        return (int)n;
    if (n >= 4 && memcmp(magic, "FEA1", 4) == 0)
        return ce_fail(err, EOPNOTSUPP,
                       "'%s' is Feather version 1, which is not read; version 2 is", path);
    if (n >= CE_IPC_MAGIC_SIZE && memcmp(magic, CE_IPC_MAGIC, CE_IPC_MAGIC_SIZE) == 0) {
        reader->style->file = true;
        if (n < (ssize_t)sizeof magic)
            return cut_short(reader, err);
        bool seekable = ce_input_packing(reader->input) == CE_PACKING_PLAIN &&
                        ce_input_repeatable(reader->input);
        int found = seekable ? ce_ipc_footer_find(path, &reader->footer, err) : 0;
        return found != 0 ? found : next_message(reader, err);
    }
    if (n < (ssize_t)sizeof magic || ce_load_i32(magic, 0) != CONTINUATION)
        return ce_fail(err, EINVAL, "'%s' is no Arrow IPC file or stream", path);
    int64_t size = ce_load_i32(magic, 1);
    if (size <= 0 || size > METADATA_MAX)
        return ce_fail(err, EINVAL, "'%s' is damaged: a message of %ld bytes", path, (long)size);
    CE_TRY(read_block(reader, (size_t)size, &reader->metadata, err));
    return 1;
}

static int find_schema(struct reader *reader, struct message *message, struct ce_error *err)
{
    if (reader->footer.fd >= 0)
        return ce_flat_child(&reader->footer.table, 1, &message->header)
                   ? 0
                   : ce_fail(err, EINVAL, "'%s' has no schema", reader->source.path);
    CE_TRY(open_message(reader, message, err));
    if (message->kind != IPC_HEADER_SCHEMA || message->body_size != 0)
        return ce_fail(err, EINVAL, "'%s' does not begin with a schema", reader->source.path);
    return 0;
}

static int read_schema(struct reader *reader, struct ce_error *err)
{
    struct message message = {0};
    int r = read_start(reader, err);
    if (r < 0)
        return r;
    if (r == 0)
        return ce_fail(err, EINVAL, "'%s' has no schema", reader->source.path);
    CE_TRY(find_schema(reader, &message, err));
    CE_TRY(ce_ipc_schema_read(&message.header, reader->source.path, &reader->schema, &reader->root,
                              err));
    int typed = ce_arrow_type_new(&reader->schema, &reader->table, err);
    return typed < 0 ? ce_fail_context(err, typed, "%s", reader->source.path) : 0;
}

int ce_ipc_read(struct ce_input *input, const char *path, struct ce_ipc_style *style,
                struct ArrowArrayStream *ret_stream, struct ce_error *err)
{
    struct ArrowSchema schema;
    struct reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        ce_input_close(input);
        return ce_fail_memory(err);
    }
    reader->input = input;
    reader->footer.fd = -1;
    reader->style = style ? style : &reader->own;
    reader->source.path = strdup(path);
    int r = reader->source.path ? read_schema(reader, err) : ce_fail_memory(err);
    if (r == 0)
        r = ce_ipc_dictionaries_find(&reader->source, reader->table, &reader->root, err);
    if (r == 0)
        r = ce_arrow_schema_copy(&reader->schema, &schema, err);
    if (r < 0) {
        reader_done(reader);
        return r;
    }
    return ce_arrow_stream_make(&schema, reader, reader_next, reader_done, ret_stream, err);
}
