/* SPDX-License-Identifier: MIT */
/* Reading a text table in chunks of whole records.
 *
 * Where a chunk ends depends on the bytes alone. A chunk holds about `chunk_size` bytes, more when
 * a record is longer than that; the first begins with the file's head, the last ends where the file
 * does. The last chunk is never a small remainder: the reader looks CE_CHUNK_AHEAD bytes beyond a
 * chunk before it ends it, so that a few rows at the end of a file are in one chunk. */
#ifndef CE_DATA_TEXT_CHUNK_H
#define CE_DATA_TEXT_CHUNK_H

#include "data/stream/stream.h"
#include "data/text/format.h"

#define CE_CHUNK_SIZE  ((size_t)1 << 20)
#define CE_CHUNK_AHEAD ((size_t)64 << 10)
#define CE_RECORD_MAX  ((size_t)32 << 20)

struct ce_chunk {
    uint64_t number;       /* from 0 */
    char *data;            /* 64 readable bytes follow */
    size_t size;           /* the head included */
    size_t head_size;      /* of the first chunk */
    uint64_t row, records; /* of the first record; how many */
    uint64_t line;         /* of the first byte after the head */
    bool last;
    bool unended; /* the last one: the file's last byte ends no line */
    struct ce_buffer buffer;
};
void ce_chunk_done(struct ce_chunk *chunk);

/* What a reader is to be told about a table that it does not find out itself. */
struct ce_chunk_options {
    const char *name; /* what messages call the file; NULL: its path */
    char delimiter;
    bool headerless, backslash;
    char comment;
    size_t chunk_size; /* 0: CE_CHUNK_SIZE */
    bool hash;         /* the content is hashed: see ce_chunk_reader_digest() */
};

/* The format that a file's name says, without .gz or .zst; NULL: none. */
const struct ce_text_format *ce_text_format_of_name(const char *path);

struct ce_chunk_reader;
/* Opens a file, finds out its format by name and first bytes, and reads its head. -EINVAL. */
int ce_chunk_reader_open(const char *path, const struct ce_chunk_options *options,
                         struct ce_chunk_reader **ret_reader, struct ce_error *err);
void ce_chunk_reader_close(struct ce_chunk_reader *reader); /* NULL is fine */
CE_DEFINE_CLEANUP(struct ce_chunk_reader, ce_chunk_reader_close);
/* A reader of the records that lie within the first `size` bytes of what this one would read, which
 * keeps all of them to itself: these are read ahead. `*ret_whole`: that is all there is. */
int ce_chunk_reader_peek(struct ce_chunk_reader *reader, size_t size,
                         struct ce_chunk_reader **ret_peek, bool *ret_whole, struct ce_error *err);

struct ce_text_table *ce_chunk_reader_table(struct ce_chunk_reader *reader);
const struct ce_input *ce_chunk_reader_input(const struct ce_chunk_reader *reader);
/* The line end that the file's first line has; "\n" when there is none. Known after the first
 * chunk. */
const char *ce_chunk_reader_line_end(const struct ce_chunk_reader *reader);
/* The next chunk, into the buffer that `chunk` has: 1, 0 at the end, or -errno. */
int ce_chunk_reader_next(struct ce_chunk_reader *reader, struct ce_chunk *chunk,
                         struct ce_error *err);
/* How many rows there were, and the SHA-256 of all content; after the last chunk, once; it must
 * have been asked for. */
uint64_t ce_chunk_reader_rows(const struct ce_chunk_reader *reader);
void ce_chunk_reader_digest(struct ce_chunk_reader *reader, char ret_hex[CE_SHA256_HEX]);

#endif
