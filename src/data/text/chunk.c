/* SPDX-License-Identifier: MIT */
#include "data/text/chunk.h"

#include <stdint.h>
#include <strings.h>

#include "base/file.h"

enum {
    PADDING = 64, /* readable bytes behind the data */
    FIRST_LOOK = 256 * 1024,
};

struct ce_chunk_reader {
    struct ce_input *input; /* NULL: all there is was read ahead */
    char *name;
    struct ce_text_table table;
    size_t chunk_size;

    /* Bytes that were read and not handed out yet: those that the head was found in, later what
     * follows the last whole record. */
    struct ce_buffer ahead;
    size_t ahead_at;
    bool input_ended;
    bool cut; /* `ahead` is a beginning: its last record may be incomplete */

    bool ended;
    uint64_t chunks, row, line;
    char line_end[3];
    struct ce_sha256 *sha; /* of what was handed out; NULL: not asked for */
};

void ce_chunk_done(struct ce_chunk *chunk)
{
    ce_buffer_done(&chunk->buffer);
    *chunk = (struct ce_chunk){0};
}

void ce_chunk_reader_close(struct ce_chunk_reader *reader)
{
    if (!reader)
        return;
    ce_input_close(reader->input);
    ce_text_table_done(&reader->table);
    ce_buffer_done(&reader->ahead);
    ce_sha256_free(reader->sha);
    free(reader->name);
    free(reader);
}

struct ce_text_table *ce_chunk_reader_table(struct ce_chunk_reader *reader)
{
    return &reader->table;
}

const struct ce_input *ce_chunk_reader_input(const struct ce_chunk_reader *reader)
{
    return reader->input;
}

const char *ce_chunk_reader_line_end(const struct ce_chunk_reader *reader)
{
    return reader->line_end[0] ? reader->line_end : "\n";
}

uint64_t ce_chunk_reader_rows(const struct ce_chunk_reader *reader)
{
    return reader->row;
}

void ce_chunk_reader_digest(struct ce_chunk_reader *reader, char ret_hex[CE_SHA256_HEX])
{
    ce_sha256_end(ce_take(reader->sha), ret_hex);
}

/* ---- opening ---- */

static bool name_ends(const char *name, size_t size, const char *ending)
{
    size_t length = strlen(ending);
    return size > length && strncasecmp(name + size - length, ending, length) == 0;
}

const struct ce_text_format *ce_text_format_of_name(const char *path)
{
    static const char *const lines[] = {".jsonl", ".ndjson", ".jsonlines", ".json"};
    static const char *const cells[] = {".csv", ".tsv", ".tab", ".psv"};
    size_t length = strlen(path);
    length -= name_ends(path, length, ".gz") ? 3 : name_ends(path, length, ".zst") ? 4 : 0;
    for (size_t i = 0; i < CE_COUNT(lines); i++)
        if (name_ends(path, length, lines[i]))
            return &ce_jsonl_format;
    for (size_t i = 0; i < CE_COUNT(cells); i++)
        if (name_ends(path, length, cells[i]))
            return &ce_csv_format;
    return NULL;
}

/* By the name, else by the first byte that is no blank. */
static const struct ce_text_format *find_format(const char *path, const char *data, size_t size)
{
    const struct ce_text_format *named = ce_text_format_of_name(path);
    if (named)
        return named;
    size_t at = size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < size &&
           (data[at] == ' ' || data[at] == '\t' || data[at] == '\r' || data[at] == '\n'))
        at++;
    return at < size && data[at] == '{' ? &ce_jsonl_format : &ce_csv_format;
}

/* Reads on until `size` bytes lie ahead, or all. */
static int look_ahead(struct ce_chunk_reader *reader, size_t size, struct ce_error *err)
{
    struct ce_buffer *ahead = &reader->ahead;
    size_t have = ahead->size - reader->ahead_at;
    if (reader->input_ended || have >= size)
        return 0;
    if (!ce_buffer_room(ahead, size - have + PADDING))
        return ce_fail_memory(err);
    ssize_t n = ce_input_read(reader->input, ahead->data + ahead->size, size - have, err);
    if (n < 0)
        return (int)n;
    reader->input_ended = (size_t)n < size - have;
    ahead->size += (size_t)n;
    memset(ahead->data + ahead->size, 0, PADDING);
    return 0;
}

static int open_table(struct ce_chunk_reader *reader, const char *path,
                      const struct ce_chunk_options *options, struct ce_error *err)
{
    for (size_t look = FIRST_LOOK;; look *= 2) {
        CE_TRY(look_ahead(reader, look, err));
        const char *data = reader->ahead.data;
        size_t size = reader->ahead.size;
        ce_text_table_done(&reader->table);
        reader->table = (struct ce_text_table){
            .format = find_format(path, data, size),
            .path = reader->name,
            .delimiter = options->delimiter,
            .headerless = options->headerless,
            .backslash = options->backslash,
            .comment = options->comment,
        };
        int r = reader->table.format->open(&reader->table, data, size, reader->input_ended, err);
        if (r != -EAGAIN)
            return r;
        if (reader->input_ended || look >= CE_RECORD_MAX)
            return ce_fail_at(err, reader->name, EFBIG,
                              "the header is longer than 32 MiB: is a quoted cell not closed?");
    }
}

int ce_chunk_reader_open(const char *path, const struct ce_chunk_options *options,
                         struct ce_chunk_reader **ret_reader, struct ce_error *err)
{
    CE_CLEANUP(ce_chunk_reader_close_p) struct ce_chunk_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return ce_fail_memory(err);
    reader->chunk_size = options->chunk_size > 0 ? options->chunk_size : CE_CHUNK_SIZE;
    reader->line = 1;
    reader->name = strdup(options->name ? options->name : path);
    reader->sha = options->hash ? ce_sha256_new() : NULL;
    if (!reader->name || (options->hash && !reader->sha))
        return ce_fail_memory(err);
    CE_TRY(ce_input_open(path, &reader->input, err));
    CE_TRY(open_table(reader, path, options, err));
    *ret_reader = ce_take(reader);
    return 0;
}

static int copy_table(const struct ce_text_table *from, const char *name,
                      struct ce_text_table *ret_table, struct ce_error *err)
{
    struct ce_text_table table = *from;
    table.path = name;
    table.index = NULL;
    table.column_count = 0;
    table.names = calloc(from->column_count + 1, sizeof *table.names);
    *ret_table = table;
    for (size_t i = 0; table.names && i < from->column_count; i++) {
        if (!(table.names[i] = strdup(from->names[i])))
            return ce_fail_memory(err);
        ret_table->column_count++;
    }
    return table.names ? 0 : ce_fail_memory(err);
}

/* Where records name their columns, those of all that was read ahead count. */
static int peek_table(struct ce_chunk_reader *peek, const struct ce_text_table *from,
                      struct ce_error *err)
{
    if (!from->format->learn)
        return copy_table(from, peek->name, &peek->table, err);
    peek->table = (struct ce_text_table){.format = from->format, .path = peek->name};
    int r = from->format->open(&peek->table, peek->ahead.data, peek->ahead.size, !peek->cut, err);
    return r == -EAGAIN ? copy_table(from, peek->name, &peek->table, err) : r;
}

int ce_chunk_reader_peek(struct ce_chunk_reader *reader, size_t size,
                         struct ce_chunk_reader **ret_peek, bool *ret_whole, struct ce_error *err)
{
    CE_CLEANUP(ce_chunk_reader_close_p) struct ce_chunk_reader *peek = calloc(1, sizeof *peek);
    if (!peek)
        return ce_fail_memory(err);
    CE_TRY(look_ahead(reader, size, err));
    peek->chunk_size = reader->chunk_size;
    peek->line = 1;
    size_t have = reader->ahead.size - reader->ahead_at;
    bool whole = reader->input_ended && have <= size;
    have = have < size ? have : size;
    peek->input_ended = true;
    peek->cut = !whole;
    peek->name = strdup(reader->name);
    if (!peek->name || !ce_buffer_room(&peek->ahead, have + PADDING) ||
        !ce_buffer_put(&peek->ahead, reader->ahead.data + reader->ahead_at, have))
        return ce_fail_memory(err);
    memset(peek->ahead.data + have, 0, PADDING);
    CE_TRY(peek_table(peek, &reader->table, err));
    *ret_whole = whole;
    *ret_peek = ce_take(peek);
    return 0;
}

/* ---- chunks ---- */

/* Makes the chunk's buffer hold `size` bytes, or what there is. */
static int fill(struct ce_chunk_reader *reader, struct ce_buffer *buffer, size_t size,
                struct ce_error *err)
{
    size_t want = size - buffer->size, have = reader->ahead.size - reader->ahead_at;
    if (!ce_buffer_room(buffer, want + PADDING))
        return ce_fail_memory(err);
    size_t taken = have < want ? have : want;
    if (taken > 0)
        (void)ce_buffer_put(buffer, reader->ahead.data + reader->ahead_at, taken);
    reader->ahead_at += taken;
    if (taken < want && !reader->input_ended) {
        ssize_t n = ce_input_read(reader->input, buffer->data + buffer->size, want - taken, err);
        if (n < 0)
            return (int)n;
        reader->input_ended = (size_t)n < want - taken;
        buffer->size += (size_t)n;
    }
    memset(buffer->data + buffer->size, 0, PADDING);
    return 0;
}

/* Puts back what lies behind the chunk's last record. */
static int put_back(struct ce_chunk_reader *reader, const char *data, size_t size,
                    struct ce_error *err)
{
    struct ce_buffer *ahead = &reader->ahead;
    if (reader->ahead_at < ahead->size) {
        reader->ahead_at -= size; /* all of the chunk came from there */
        return 0;
    }
    reader->ahead_at = ahead->size = 0;
    if (ahead->capacity > 4 * (CE_CHUNK_AHEAD + CE_CHUNK_SIZE))
        ce_buffer_done(ahead);
    return ce_buffer_put(ahead, data, size) ? 0 : ce_fail_memory(err);
}

static int fail_long(const struct ce_chunk_reader *reader, struct ce_error *err)
{
    ce_autofree char *where = ce_format("%s:%llu", reader->name, (unsigned long long)reader->line);
    return ce_fail_at(err, where ? where : reader->name, EFBIG,
                      "a row is longer than 32 MiB: is a quoted cell not closed?");
}

/* How many of the bytes belong to the chunk, and the records and lines in them; 0: not even one
 * record is whole. */
static int64_t split(struct ce_chunk_reader *reader, const struct ce_chunk *chunk, size_t size,
                     bool last, uint64_t *ret_records, uint64_t *ret_lines, struct ce_error *err)
{
    *ret_records = *ret_lines = 0;
    if (size <= chunk->head_size && !last)
        return 0;
    int64_t n = reader->table.format->split(&reader->table, chunk->buffer.data + chunk->head_size,
                                            size - chunk->head_size, last, reader->line,
                                            ret_records, ret_lines, err);
    if (n < 0)
        return n;
    if (last) /* blank lines at the end belong to it */
        return (int64_t)size;
    return n == 0 ? 0 : n + (int64_t)chunk->head_size;
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static uint64_t count_lines(const char *data, size_t size)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || (data[i] == '\r' && (i + 1 == size || data[i + 1] != '\n'));
    return lines;
}

static void note_line_end(struct ce_chunk_reader *reader, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!is_line_end(data[i]))
            continue;
        reader->line_end[0] = data[i];
        if (data[i] == '\r' && i + 1 < size && data[i + 1] == '\n')
            reader->line_end[1] = '\n';
        return;
    }
}

int ce_chunk_reader_next(struct ce_chunk_reader *reader, struct ce_chunk *chunk,
                         struct ce_error *err)
{
    if (reader->ended)
        return 0;
    struct ce_buffer *buffer = &chunk->buffer;
    if (buffer->capacity > 4 * (CE_CHUNK_AHEAD + CE_CHUNK_SIZE))
        ce_buffer_done(buffer); /* a long record is over */
    size_t size = reader->chunk_size;
    size_t ahead = size < CE_CHUNK_AHEAD ? size : CE_CHUNK_AHEAD;
    uint64_t lines;
    int64_t used = 0;
    buffer->size = 0;
    chunk->head_size = reader->chunks == 0 ? reader->table.head_size : 0;
    if (reader->chunks == 0)
        reader->line = 1 + count_lines(reader->ahead.data, chunk->head_size);
    size += chunk->head_size;
    for (; used == 0; size *= 2) {
        size_t limit = size > CE_RECORD_MAX ? CE_RECORD_MAX : size;
        CE_TRY(fill(reader, buffer, limit + ahead, err));
        chunk->last = buffer->size < limit + ahead;
        size_t whole = chunk->last ? buffer->size : limit;
        bool closed = chunk->last && !reader->cut;
        used = split(reader, chunk, whole, closed, &chunk->records, &lines, err);
        if (used < 0)
            return (int)used;
        if (chunk->last) {
            used = closed ? (int64_t)whole : used;
            break;
        }
        if (used == 0 && size >= CE_RECORD_MAX)
            return fail_long(reader, err);
    }
    chunk->data = buffer->data;
    chunk->size = (size_t)used;
    if (!chunk->last)
        CE_TRY(put_back(reader, buffer->data + used, buffer->size - (size_t)used, err));
    chunk->number = reader->chunks++;
    chunk->row = reader->row;
    chunk->line = reader->line;
    reader->row += chunk->records;
    reader->line += lines;
    reader->ended = chunk->last;
    if (chunk->number == 0)
        note_line_end(reader, chunk->data, chunk->size);
    chunk->unended = chunk->last && chunk->size > 0 && !is_line_end(chunk->data[chunk->size - 1]);
    if (reader->sha)
        ce_sha256_add(reader->sha, chunk->data, chunk->size);
    return 1;
}
