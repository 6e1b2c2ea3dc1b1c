/* SPDX-License-Identifier: MIT */
/* The content of a typed table, as one SHA-256 that does not depend on how it is cut into batches
 * or on what lies in the slots of nulls.
 *
 * Each column, at every level of nesting, has three streams of bytes, each with a SHA-256 of its
 * own:
 *
 *   nulls    the place of each null among the column's values, from 0 (u64, little endian)
 *   sizes    of each value that is there and is a text, a binary or a list: its size in bytes or
 *            elements (u64)
 *   values   of each value that is there: its bytes; a bool is one byte, a union's type code as
 * well
 *
 * Nested columns hold only what belongs to values that are there. An index of a dictionary counts
 * as the value it stands for, a run as so many values. A column's digest is the SHA-256 of its
 * number of values (u64), the hexadecimal digests of nulls, sizes and values, and those of its
 * nested columns in order. The table's is that of the text "chaoseater table 1\n", the fields, the
 * number of rows (u64) and the columns' digests; a field is its format, name, metadata, flags and
 * dictionary, and then its nested ones: see put_field(). */
#include "data/arrow/digest.h"

#include <stdlib.h>

#include "data/arrow/arrow.h"
#include "data/arrow/encode.h"
#include "data/arrow/source.h"

enum { STAGE = 4096 };

struct hashed {
    struct ce_sha256 *sha;
    size_t staged;
    char stage[STAGE];
};

struct node {
    const struct ce_arrow_type *type; /* of the values: no dictionary */
    uint64_t length;
    struct hashed nulls, sizes, values;
    struct node *children;
};

struct ce_arrow_digest {
    struct column {
        struct node node;
        bool ended;
        char hex[CE_SHA256_HEX];
        struct column *same_as;
    } * columns;
    size_t count;
};

/* ---- streams ---- */

static void put(struct hashed *hashed, const void *data, size_t size)
{
    if (hashed->staged + size > STAGE) {
        ce_sha256_add(hashed->sha, hashed->stage, hashed->staged);
        hashed->staged = 0;
    }
    if (size > STAGE / 4) {
        if (hashed->staged > 0)
            ce_sha256_add(hashed->sha, hashed->stage, hashed->staged);
        hashed->staged = 0;
        ce_sha256_add(hashed->sha, data, size);
    } else if (size > 0) {
        memcpy(hashed->stage + hashed->staged, data, size);
        hashed->staged += size;
    }
}

static void put_u64(struct hashed *hashed, uint64_t value)
{
    put(hashed, &value, 8);
}

static void end(struct hashed *hashed, char ret_hex[CE_SHA256_HEX])
{
    ce_sha256_add(hashed->sha, hashed->stage, hashed->staged);
    ce_sha256_end(ce_take(hashed->sha), ret_hex);
}

/* ---- nodes ---- */

static void node_done(struct node *node)
{
    ce_sha256_free(node->nulls.sha);
    ce_sha256_free(node->sizes.sha);
    ce_sha256_free(node->values.sha);
    for (size_t i = 0; node->children && i < node->type->child_count; i++)
        node_done(&node->children[i]);
    free(node->children);
}

static int node_init(struct node *node, const struct ce_arrow_type *type, struct ce_error *err)
{
    while (type->dictionary || type->shape == CE_SHAPE_RUNS)
        type = type->dictionary ? type->dictionary : type->children[1];
    node->type = type;
    node->nulls.sha = ce_sha256_new();
    node->sizes.sha = ce_sha256_new();
    node->values.sha = ce_sha256_new();
    node->children = calloc(type->child_count + 1, sizeof *node->children);
    if (!node->nulls.sha || !node->sizes.sha || !node->values.sha || !node->children)
        return ce_fail_memory(err);
    for (size_t i = 0; i < type->child_count; i++)
        CE_TRY(node_init(&node->children[i], type->children[i], err));
    return 0;
}

static void add_rows(struct node *node, const struct ce_arrow_type *type,
                     const struct ArrowArray *array, int64_t start, int64_t count);

static void add_child(struct node *node, size_t child, const struct ce_arrow_type *type,
                      const struct ArrowArray *array, int64_t start, int64_t count)
{
    const struct ArrowArray *nested = array->children[child];
    add_rows(&node->children[child], type->children[child], nested, nested->offset + start, count);
}

static void add_union(struct node *node, const struct ce_arrow_type *type,
                      const struct ArrowArray *array, int64_t at)
{
    int64_t there;
    int child = ce_arrow_union(type, array, at, &there);
    put(&node->values, (const char *)array->buffers[0] + at, 1);
    if (child >= 0)
        add_rows(&node->children[child], type->children[child], array->children[child], there, 1);
}

static void add_value(struct node *node, const struct ce_arrow_type *type,
                      const struct ArrowArray *array, int64_t at)
{
    int64_t from, size;
    size_t bytes_size;
    const char *bytes;
    switch (type->shape) {
    case CE_SHAPE_BITS:
        put(&node->values, ce_bit(array->buffers[1], at) ? "\1" : "\0", 1);
        return;
    case CE_SHAPE_BYTES32:
    case CE_SHAPE_BYTES64:
    case CE_SHAPE_VIEWS:
        bytes = ce_arrow_bytes(type, array, at, &bytes_size);
        put_u64(&node->sizes, bytes_size);
        put(&node->values, bytes, bytes_size);
        return;
    case CE_SHAPE_UNION_SPARSE:
    case CE_SHAPE_UNION_DENSE:
        add_union(node, type, array, at);
        return;
    default:
        ce_arrow_list(type, array, at, &from, &size);
        put_u64(&node->sizes, (uint64_t)size);
        add_child(node, 0, type, array, from, size);
        return;
    }
}

/* Values that are all there. */
static void add_run(struct node *node, const struct ce_arrow_type *type,
                    const struct ArrowArray *array, int64_t start, int64_t count)
{
    if (type->shape == CE_SHAPE_FIXED) {
        put(&node->values, (const char *)array->buffers[1] + start * type->width,
            (size_t)(count * type->width));
    } else if (type->shape == CE_SHAPE_STRUCT) {
        for (size_t i = 0; i < type->child_count; i++)
            add_child(node, i, type, array, start, count);
    } else {
        for (int64_t i = start; i < start + count; i++)
            add_value(node, type, array, i);
    }
    node->length += (uint64_t)count;
}

static void add_rows(struct node *node, const struct ce_arrow_type *type,
                     const struct ArrowArray *array, int64_t start, int64_t count)
{
    bool looked_up = type->dictionary || type->shape == CE_SHAPE_RUNS;
    bool nulls = type->shape == CE_SHAPE_NULLS ||
                 (ce_arrow_has_validity(type) && array->buffers[0] && array->null_count != 0);
    int64_t last = start + count;
    if (!nulls && !looked_up) {
        add_run(node, type, array, start, count);
        return;
    }
    while (start < last) {
        if (!ce_arrow_valid(type, array, start)) {
            put_u64(&node->nulls, node->length++);
            start++;
        } else if (type->dictionary) {
            add_rows(node, type->dictionary, array->dictionary,
                     ce_arrow_index(type, array, start++), 1);
        } else if (type->shape == CE_SHAPE_RUNS) {
            add_rows(node, type->children[1], array->children[1],
                     ce_arrow_run(type, array, start++), 1);
        } else {
            int64_t run = start + 1;
            while (run < last && ce_arrow_valid(type, array, run))
                run++;
            add_run(node, type, array, start, run - start);
            start = run;
        }
    }
}

static int node_end(struct node *node, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    char hex[CE_SHA256_HEX];
    struct ce_sha256 *sha = ce_sha256_new();
    if (!sha)
        return ce_fail_memory(err);
    ce_sha256_add(sha, &node->length, 8);
    struct hashed *streams[] = {&node->nulls, &node->sizes, &node->values};
    for (size_t i = 0; i < CE_COUNT(streams); i++) {
        end(streams[i], hex);
        ce_sha256_add(sha, hex, 64);
    }
    int r = 0;
    for (size_t i = 0; i < node->type->child_count && r == 0; i++) {
        r = node_end(&node->children[i], hex, err);
        if (r == 0)
            ce_sha256_add(sha, hex, 64);
    }
    ce_sha256_end(sha, ret_hex);
    return r;
}

/* ---- tables ---- */

int ce_arrow_digest_new(struct ce_arrow_type *const *types, size_t columns,
                        struct ce_arrow_digest **ret_digest, struct ce_error *err)
{
    CE_CLEANUP(ce_arrow_digest_free_p)
    struct ce_arrow_digest *digest = calloc(1, sizeof *digest);
    if (!digest)
        return ce_fail_memory(err);
    digest->columns = calloc(columns + 1, sizeof *digest->columns);
    if (!digest->columns)
        return ce_fail_memory(err);
    for (size_t i = 0; i < columns; i++) {
        digest->columns[i].node.type = types[i];
        digest->count++;
        CE_TRY(node_init(&digest->columns[i].node, types[i], err));
    }
    *ret_digest = ce_take(digest);
    return 0;
}

void ce_arrow_digest_free(struct ce_arrow_digest *digest)
{
    if (!digest)
        return;
    for (size_t i = 0; i < digest->count; i++)
        node_done(&digest->columns[i].node);
    free(digest->columns);
    free(digest);
}

void ce_arrow_digest_add(struct ce_arrow_digest *digest, size_t column,
                         const struct ce_arrow_type *type, const struct ArrowArray *array,
                         int64_t start, int64_t count)
{
    if (!digest->columns[column].same_as)
        add_rows(&digest->columns[column].node, type, array, start, count);
}

void ce_arrow_digest_borrow(struct ce_arrow_digest *digest, size_t column,
                            struct ce_arrow_digest *other, size_t from)
{
    digest->columns[column].same_as = &other->columns[from];
}

static int column_end(struct column *column, struct ce_error *err)
{
    if (column->ended)
        return 0;
    column->ended = true;
    if (!column->same_as)
        return node_end(&column->node, column->hex, err);
    CE_TRY(column_end(column->same_as, err));
    memcpy(column->hex, column->same_as->hex, sizeof column->hex);
    return 0;
}

static void put_text(struct ce_sha256 *sha, const char *text)
{
    ce_sha256_add(sha, text ? text : "", (text ? strlen(text) : 0) + 1);
}

/* Format and name with their NULs, the metadata as the C data interface has it (nothing for none),
 * the flags (u64) and the number of nested fields (u64); then these, and the dictionary's after a
 * byte 1, or a byte 0. */
static void put_field(struct ce_sha256 *sha, const struct ArrowSchema *field)
{
    uint64_t numbers[] = {(uint64_t)field->flags & 7, (uint64_t)field->n_children};
    size_t metadata = ce_arrow_metadata_size(field->metadata);
    put_text(sha, field->format);
    put_text(sha, field->name);
    if (metadata > 4) /* no pairs are no metadata */
        ce_sha256_add(sha, field->metadata, metadata);
    ce_sha256_add(sha, numbers, sizeof numbers);
    for (int64_t i = 0; i < field->n_children; i++)
        put_field(sha, field->children[i]);
    ce_sha256_add(sha, field->dictionary ? "\1" : "\0", 1);
    if (field->dictionary)
        put_field(sha, field->dictionary);
}

int ce_arrow_digest_end(struct ce_arrow_digest *digest, const struct ArrowSchema *schema,
                        uint64_t rows, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    for (size_t i = 0; i < digest->count; i++)
        CE_TRY(column_end(&digest->columns[i], err));
    struct ce_sha256 *sha = ce_sha256_new();
    if (!sha)
        return ce_fail_memory(err);
    static const char magic[] = "chaoseater table 1\n";
    ce_sha256_add(sha, magic, sizeof magic - 1);
    for (int64_t i = 0; i < schema->n_children; i++)
        put_field(sha, schema->children[i]);
    size_t metadata = ce_arrow_metadata_size(schema->metadata);
    if (metadata > 4)
        ce_sha256_add(sha, schema->metadata, metadata);
    ce_sha256_add(sha, &rows, sizeof rows);
    for (size_t i = 0; i < digest->count; i++)
        ce_sha256_add(sha, digest->columns[i].hex, 64);
    ce_sha256_end(sha, ret_hex);
    return 0;
}

static int digest_batches(struct ce_arrow_source *source, struct ce_arrow_digest *digest,
                          char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    struct ArrowArray batch;
    uint64_t rows = 0;
    int r;
    while ((r = ce_arrow_source_next(source, &batch, err)) > 0) {
        for (size_t i = 0; i < source->column_count; i++)
            ce_arrow_digest_add(digest, i, source->table->children[i], batch.children[i],
                                batch.children[i]->offset + batch.offset, batch.length);
        rows += (uint64_t)batch.length;
        batch.release(&batch);
    }
    CE_TRY(r);
    return ce_arrow_digest_end(digest, &source->schema, rows, ret_hex, err);
}

int ce_arrow_digest(struct ArrowArrayStream *in, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    struct ce_arrow_source source;
    CE_CLEANUP(ce_arrow_digest_free_p) struct ce_arrow_digest *digest = NULL;
    int r = ce_arrow_source_open(&source, in, err);
    if (r == 0)
        r = ce_arrow_digest_new(source.table->children, source.column_count, &digest, err);
    if (r == 0)
        r = digest_batches(&source, digest, ret_hex, err);
    ce_arrow_digest_free(ce_take(digest)); /* it looks at the source's types */
    ce_arrow_source_done(&source);
    return r;
}
