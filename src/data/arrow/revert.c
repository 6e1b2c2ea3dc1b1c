/* SPDX-License-Identifier: MIT */
/* Undoing a mutation of a typed table by its answer key, batch by batch: neither faults nor
 * statistics are needed here. Columns in which nothing is put back pass through. */
#include <stdlib.h>

#include "data/arrow/digest.h"
#include "data/arrow/key.h"

struct entry {
    uint64_t what;
    int64_t row; /* of the batch: a cell's or an added row, or what a removed one was before */
    size_t at, size;
};

struct revert {
    struct ce_arrow_source source;
    struct ce_key *key;
    struct ce_arrow_layout layout;
    struct ce_arrow_type *table; /* of the original */
    struct original {
        int place; /* in the changed table; -1: it was removed */
        bool same; /* it is of the same type there */
        bool touched;
        int64_t values; /* of its dictionary; those beyond were added. Negative: not known */
        struct ce_grow grow;
    } * columns;
    size_t column_count;
    struct ce_arrow_digest *digest;
    char *ret_sha256;

    struct ce_key_change next; /* the change that was read last, not used yet */
    bool has_next;
    uint64_t next_row;       /* of the changed table, where it is */
    uint64_t rows, rows_out; /* of the changed table: before the batch; of the original */
    struct ce_buffer entries, bytes;
    bool moves_rows;
    bool ended;
};

static void revert_done(void *ctx)
{
    struct revert *revert = ctx;
    for (size_t i = 0; i < revert->column_count; i++)
        ce_grow_done(&revert->columns[i].grow);
    free(revert->columns);
    ce_arrow_digest_free(revert->digest);
    ce_arrow_type_free(revert->table);
    ce_arrow_layout_done(&revert->layout);
    ce_arrow_source_done(&revert->source);
    ce_buffer_done(&revert->entries);
    ce_buffer_done(&revert->bytes);
    free(revert);
}

static int misfit(struct ce_error *err)
{
    return ce_fail(err, EINVAL, "the answer key's changes do not fit into the table");
}

/* ---- entries ---- */

static int read_next(struct revert *revert, struct ce_error *err)
{
    int r = ce_key_next(revert->key, &revert->next, err);
    if (r < 0)
        return r;
    revert->has_next = r > 0;
    if (r > 0 && __builtin_add_overflow(revert->next_row, revert->next.gap, &revert->next_row))
        return misfit(err);
    return 0;
}

/* An entry that says how many values a column's dictionary had. */
static int read_values(struct revert *revert, size_t at, struct ce_error *err)
{
    const char *bytes = revert->bytes.data + at;
    if (revert->bytes.size - at != 12)
        return misfit(err);
    uint32_t column = (uint32_t)ce_load_i32(bytes, 0);
    if (column >= revert->column_count || !revert->table->children[column]->dictionary)
        return misfit(err);
    memcpy(&revert->columns[column].values, bytes + 4, 8);
    revert->bytes.size = at;
    return 0;
}

/* Lists the entries of `rows` more rows; `rest`: and of what comes after them. */
static int list_entries(struct revert *revert, int64_t rows, bool rest, struct ce_error *err)
{
    revert->entries.size = revert->bytes.size = 0;
    revert->moves_rows = false;
    for (size_t i = 0; i < revert->column_count; i++)
        revert->columns[i].touched = revert->columns[i].place < 0 || !revert->columns[i].same;
    while (revert->has_next && (rest || revert->next_row < revert->rows + (uint64_t)rows)) {
        struct entry entry = {
            .what = revert->next.what,
            .row = (int64_t)(revert->next_row - revert->rows),
            .at = revert->bytes.size,
        };
        CE_TRY(ce_arrow_key_old(revert->key, &revert->next, &revert->bytes, err));
        entry.size = revert->bytes.size - entry.at;
        size_t column = (size_t)(entry.what - CE_KEY_CELL);
        if (entry.what == CE_KEY_ROW_ADDED || entry.what == CE_KEY_ROW_REMOVED)
            revert->moves_rows = true;
        else if (entry.what == CE_KEY_LAYOUT)
            CE_TRY(read_values(revert, entry.at, err));
        else if (entry.what >= CE_KEY_CELL && column < revert->column_count)
            revert->columns[column].touched = true;
        else
            return misfit(err);
        if (entry.what != CE_KEY_LAYOUT && !ce_buffer_put(&revert->entries, &entry, sizeof entry))
            return ce_fail_memory(err);
        CE_TRY(read_next(revert, err));
    }
    return 0;
}

/* ---- columns ---- */

static int put_removed(struct revert *revert, size_t column, const struct entry *entry,
                       struct ce_error *err)
{
    const char *at = revert->bytes.data + entry->at, *end = at + entry->size, *cell = NULL;
    size_t size = 0;
    for (size_t i = 0; i <= column; i++)
        if (!ce_encoded_next(&at, end, &cell, &size))
            return misfit(err);
    return ce_grow_cell(&revert->columns[column].grow, cell, size, err);
}

/* Whether no row points to values of a dictionary that are left out. */
static bool indices_fit(const struct ce_arrow_type *type, const struct ArrowArray *array,
                        int64_t start, int64_t count)
{
    for (int64_t i = start; i < start + count; i++) {
        int64_t values = array->dictionary->offset + array->dictionary->length;
        if (ce_arrow_valid(type, array, i) && ce_arrow_index(type, array, i) >= values)
            return false;
    }
    return true;
}

/* Rows [from, to) as they are in the changed table. */
static int put_kept(struct revert *revert, size_t column, const struct ArrowArray *array,
                    int64_t start, int64_t from, int64_t to, struct ce_error *err)
{
    struct original *original = &revert->columns[column];
    if (to < from || (to > from && (!array || !original->same)))
        return misfit(err);
    if (original->grow.dictionary && to > from &&
        !indices_fit(original->grow.type, array, start + from, to - from))
        return misfit(err);
    return to > from ? ce_grow_range(&original->grow, array, start + from, to - from, err) : 0;
}

static int put_column(struct revert *revert, size_t column, const struct ArrowArray *array,
                      int64_t start, int64_t rows, struct ArrowArray *ret_array,
                      struct ce_error *err)
{
    struct original *original = &revert->columns[column];
    const struct entry *entry = (const struct entry *)revert->entries.data;
    const struct entry *end = entry + revert->entries.size / sizeof *entry;
    int64_t from = 0;
    for (; entry < end; entry++) {
        if (entry->what >= CE_KEY_CELL && entry->what != CE_KEY_CELL + column)
            continue;
        CE_TRY(put_kept(revert, column, array, start, from, entry->row, err));
        from = entry->row + (entry->what != CE_KEY_ROW_REMOVED);
        if (entry->what == CE_KEY_ROW_REMOVED)
            CE_TRY(put_removed(revert, column, entry, err));
        else if (entry->what >= CE_KEY_CELL)
            CE_TRY(ce_grow_cell(&original->grow, revert->bytes.data + entry->at, entry->size, err));
    }
    CE_TRY(put_kept(revert, column, array, start, from, rows, err));
    CE_TRY(ce_grow_end(&original->grow, ret_array, err));
    ce_grow_forget(&original->grow);
    return 0;
}

static int make_column(struct revert *revert, size_t column, struct ce_arrow_shared *batch,
                       struct ArrowArray *ret_array, struct ce_error *err)
{
    const struct original *original = &revert->columns[column];
    const struct ArrowArray *changed = batch ? ce_arrow_shared_array(batch) : NULL;
    const struct ArrowArray *array =
        changed && original->place >= 0 ? changed->children[original->place] : NULL;
    int64_t rows = changed ? changed->length : 0;
    int64_t start = array ? array->offset + changed->offset : 0;
    struct ArrowArray fewer, values;
    if (array && original->same && array->dictionary && original->values >= 0 &&
        original->values < array->dictionary->length) {
        values = *array->dictionary;
        values.length = original->values;
        fewer = *array;
        fewer.dictionary = &values;
        array = &fewer;
    }
    if (array && !original->touched && !revert->moves_rows)
        return array == &fewer && !indices_fit(original->grow.type, array, start, rows)
                   ? misfit(err)
                   : ce_arrow_view(batch, array, start, rows, ret_array, err);
    if (!original->grow.type)
        return ce_fail(err, EINVAL,
                       "the answer key changes a column of type \"%s\", which no fault does",
                       revert->table->children[column]->format);
    return put_column(revert, column, array, start, rows, ret_array, err);
}

static int make_columns(struct revert *revert, struct ce_arrow_shared *batch,
                        struct ArrowArray *out, struct ce_error *err)
{
    for (size_t i = 0; i < revert->column_count; i++) {
        struct ArrowArray *child = out->children[i];
        CE_TRY(make_column(revert, i, batch, child, err));
        if (i > 0 && child->length != out->children[0]->length)
            return misfit(err);
        ce_arrow_digest_add(revert->digest, i, revert->table->children[i], child, child->offset,
                            child->length);
        out->length = child->length;
    }
    return 0;
}

/* 1, or 0: no row comes of it. `batch` NULL: what comes after the last. */
static int make_batch(struct revert *revert, struct ce_arrow_shared *batch,
                      struct ArrowArray *ret_batch, struct ce_error *err)
{
    struct ArrowArray out;
    int64_t rows = batch ? ce_arrow_shared_array(batch)->length : 0;
    CE_TRY(list_entries(revert, rows, !batch, err));
    if (!batch && revert->entries.size == 0)
        return 0;
    CE_TRY(ce_arrow_array_make(0, 1, revert->column_count, false, &out, err));
    int r = make_columns(revert, batch, &out, err);
    revert->rows += (uint64_t)rows;
    if (r < 0 || out.length == 0) {
        out.release(&out);
        return r;
    }
    revert->rows_out += (uint64_t)out.length;
    *ret_batch = out;
    return 1;
}

static int revert_next(void *ctx, struct ArrowArray *ret_batch, struct ce_error *err)
{
    struct revert *revert = ctx;
    int r = 0;
    while (r == 0 && !revert->ended) {
        struct ArrowArray batch = {0};
        CE_TRY(r = ce_arrow_source_next(&revert->source, &batch, err));
        if (r == 0) {
            revert->ended = true;
            break;
        }
        struct ce_arrow_shared *shared = ce_arrow_shared_new(&batch);
        if (!shared) {
            batch.release(&batch);
            return ce_fail_memory(err);
        }
        r = make_batch(revert, shared, ret_batch, err);
        ce_arrow_shared_unref(shared);
    }
    if (r != 0 || !revert->digest)
        return r;
    CE_TRY(r = make_batch(revert, NULL, ret_batch, err));
    if (r > 0)
        return r;
    char hex[CE_SHA256_HEX];
    CE_TRY(ce_arrow_digest_end(revert->digest, &revert->layout.schema, revert->rows_out, hex, err));
    ce_arrow_digest_free(ce_take(revert->digest));
    if (revert->ret_sha256)
        memcpy(revert->ret_sha256, hex, sizeof hex);
    return 0;
}

/* ---- beginning ---- */

static bool same_type(const struct ce_arrow_type *a, const struct ce_arrow_type *b)
{
    bool same = strcmp(a->format, b->format) == 0 && a->child_count == b->child_count &&
                !a->dictionary == !b->dictionary;
    for (size_t i = 0; same && i < a->child_count; i++)
        same = same_type(a->children[i], b->children[i]);
    return same && (!a->dictionary || same_type(a->dictionary, b->dictionary));
}

/* Column and place belong together. */
static int find_places(struct revert *revert, struct ce_error *err)
{
    if (revert->layout.count != revert->source.column_count)
        return misfit(err);
    for (size_t i = 0; i < revert->column_count; i++) {
        revert->columns[i].place = -1;
        revert->columns[i].values = -1;
    }
    for (size_t i = 0; i < revert->layout.count; i++) {
        int input = revert->layout.inputs[i];
        if (input < 0)
            continue;
        revert->columns[input].place = (int)i;
        revert->columns[input].same =
            same_type(revert->table->children[input], revert->source.table->children[i]);
    }
    return 0;
}

static int read_layout(struct revert *revert, struct ce_error *err)
{
    const char *kind = json_string_value(json_object_get(ce_key_header(revert->key), "kind"));
    if (!kind || strcmp(kind, "table") != 0)
        return ce_fail(err, EINVAL, "the answer key is not one of a typed table");
    CE_TRY(read_next(revert, err));
    if (!revert->has_next || revert->next.what != CE_KEY_LAYOUT)
        return misfit(err);
    CE_TRY(ce_arrow_key_old(revert->key, &revert->next, &revert->bytes, err));
    CE_TRY(ce_arrow_layout_read(revert->bytes.data, revert->bytes.size, &revert->layout, err));
    return read_next(revert, err);
}

static int revert_start(struct revert *revert, struct ArrowArrayStream *changed,
                        struct ce_error *err)
{
    CE_TRY(ce_arrow_source_open(&revert->source, changed, err));
    CE_TRY(read_layout(revert, err));
    CE_TRY(ce_arrow_type_new(&revert->layout.schema, &revert->table, err));
    if (revert->table->shape != CE_SHAPE_STRUCT)
        return misfit(err);
    revert->columns = calloc(revert->table->child_count + 1, sizeof *revert->columns);
    if (!revert->columns)
        return ce_fail_memory(err);
    for (size_t i = 0; i < revert->table->child_count; i++) {
        revert->column_count++;
        if (ce_grow_takes(revert->table->children[i]))
            CE_TRY(ce_grow_init(&revert->columns[i].grow, revert->table->children[i], err));
    }
    CE_TRY(find_places(revert, err));
    return ce_arrow_digest_new(revert->table->children, revert->column_count, &revert->digest, err);
}

int ce_arrow_revert(struct ArrowArrayStream *changed, struct ce_key *key, char *ret_sha256,
                    struct ArrowArrayStream *ret_out, struct ce_error *err)
{
    struct ArrowSchema schema;
    struct revert *revert = calloc(1, sizeof *revert);
    if (!revert) {
        ce_arrow_stream_done(changed);
        return ce_fail_memory(err);
    }
    revert->key = key;
    revert->ret_sha256 = ret_sha256;
    int r = revert_start(revert, changed, err);
    if (r == 0)
        r = ce_arrow_schema_copy(&revert->layout.schema, &schema, err);
    if (r < 0) {
        revert_done(revert);
        return r;
    }
    return ce_arrow_stream_make(&schema, revert, revert_next, revert_done, ret_out, err);
}
