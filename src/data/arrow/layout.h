/* SPDX-License-Identifier: MIT */
/* What an Arrow field is, in a form that code can switch on, and the owners of arrays and schemas
 * that we make ourselves. */
#ifndef CE_DATA_ARROW_LAYOUT_H
#define CE_DATA_ARROW_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "data/arrow/abi.h"

/* How values lie in memory. */
enum ce_arrow_shape {
    CE_SHAPE_NULLS, /* no buffers: every value is null */
    CE_SHAPE_BITS,
    CE_SHAPE_FIXED,   /* `width` bytes a value */
    CE_SHAPE_BYTES32, /* 32-bit offsets into bytes */
    CE_SHAPE_BYTES64,
    CE_SHAPE_VIEWS, /* 16-byte views: short values within, long ones in further buffers */
    CE_SHAPE_LIST32,
    CE_SHAPE_LIST64,
    CE_SHAPE_LIST_VIEW32, /* offsets and sizes */
    CE_SHAPE_LIST_VIEW64,
    CE_SHAPE_FIXED_LIST, /* `width` elements a value */
    CE_SHAPE_STRUCT,
    CE_SHAPE_UNION_SPARSE,
    CE_SHAPE_UNION_DENSE,
    CE_SHAPE_RUNS, /* run ends and values */
};

/* What the values mean to a fault. */
enum ce_arrow_meaning {
    CE_MEANS_OTHER, /* passed on as it is */
    CE_MEANS_BOOL,
    CE_MEANS_INT,
    CE_MEANS_UINT,
    CE_MEANS_HALF,
    CE_MEANS_FLOAT,
    CE_MEANS_DECIMAL,
    CE_MEANS_TEXT,
    CE_MEANS_DATE, /* days, or units since 1970-01-01 */
    CE_MEANS_TIME, /* units since midnight */
    CE_MEANS_STAMP,
};

#define CE_UNION_CODES 128
struct ce_arrow_type {
    enum ce_arrow_shape shape;
    enum ce_arrow_meaning meaning; /* of dictionary columns: that of the dictionary's values */
    int64_t width;
    int precision, scale;               /* decimals */
    int64_t per_second;                 /* times: units in a second; 0: days */
    bool zoned;                         /* timestamps of a time zone: instants */
    const char *format;                 /* within the field's own copy */
    int8_t union_child[CE_UNION_CODES]; /* of each type code; -1: none */
    struct ce_arrow_type **children;
    size_t child_count;
    struct ce_arrow_type *dictionary; /* then the rest of this is about the indices */
    char format_copy[];
};

#define CE_ARROW_DEPTH_MAX 64

/* Understands a field and what is nested in it. -EOPNOTSUPP: an unknown format. */
int ce_arrow_type_new(const struct ArrowSchema *field, struct ce_arrow_type **ret_type,
                      struct ce_error *err);
void ce_arrow_type_free(struct ce_arrow_type *type); /* NULL is fine */
CE_DEFINE_CLEANUP(struct ce_arrow_type, ce_arrow_type_free);
/* Buffers that an array of this type has; `arrays`' views have any number more. */
int64_t ce_arrow_buffer_count(const struct ce_arrow_type *type);
/* Whether the array has the parts that its type needs; sizes of buffers are not known here. */
int ce_arrow_array_check(const struct ce_arrow_type *type, const struct ArrowArray *array,
                         const char *column, struct ce_error *err);

/* Whether it, or what is nested in it, is encoded by a dictionary. */
bool ce_arrow_has_dictionary(const struct ce_arrow_type *type);

/* Arrays of these shapes begin with a bitmap of what is there. */
static inline bool ce_arrow_has_validity(const struct ce_arrow_type *type)
{
    return type->shape != CE_SHAPE_NULLS && type->shape != CE_SHAPE_UNION_SPARSE &&
           type->shape != CE_SHAPE_UNION_DENSE && type->shape != CE_SHAPE_RUNS;
}

static inline bool ce_bit(const void *bits, int64_t at)
{
    return (((const uint8_t *)bits)[at >> 3] >> (at & 7)) & 1;
}
static inline void ce_bit_put(void *bits, int64_t at, bool value)
{
    uint8_t *byte = (uint8_t *)bits + (at >> 3);
    *byte = (uint8_t)((*byte & ~(1u << (at & 7))) | (unsigned)value << (at & 7));
}

/* `at` counts from the start of the buffers: the array's offset is in it. A null within the
 * dictionary is not seen here. */
static inline bool ce_arrow_valid(const struct ce_arrow_type *type, const struct ArrowArray *array,
                                  int64_t at)
{
    if (type->shape == CE_SHAPE_NULLS)
        return false;
    return !ce_arrow_has_validity(type) || !array->buffers[0] || ce_bit(array->buffers[0], at);
}

/* Buffers may lie at any address. */
static inline int64_t ce_load_i32(const void *base, int64_t i)
{
    int32_t value;
    memcpy(&value, (const char *)base + 4 * i, 4);
    return value;
}
static inline int64_t ce_load_i64(const void *base, int64_t i)
{
    int64_t value;
    memcpy(&value, (const char *)base + 8 * i, 8);
    return value;
}

/* The bytes of a value of shapes FIXED, BYTES32, BYTES64 and VIEWS. */
const char *ce_arrow_bytes(const struct ce_arrow_type *type, const struct ArrowArray *array,
                           int64_t at, size_t *ret_size);
/* The place in the dictionary's buffers that an index column points to. */
int64_t ce_arrow_index(const struct ce_arrow_type *type, const struct ArrowArray *array,
                       int64_t at);
/* The integer of a FIXED value of up to 8 bytes. */
int64_t ce_arrow_signed(const struct ce_arrow_type *type, const struct ArrowArray *array,
                        int64_t at);
/* Elements of a list: where they start in the child (its offset not included), and how many. */
void ce_arrow_list(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at,
                   int64_t *ret_start, int64_t *ret_count);

/* ---- schemas ---- */

int ce_arrow_schema_copy(const struct ArrowSchema *from, struct ArrowSchema *ret_copy,
                         struct ce_error *err);
/* A field of its own: name and format are copied. */
int ce_arrow_schema_make(const char *format, const char *name, int64_t flags,
                         struct ArrowSchema *ret_schema, struct ce_error *err);
/* Room for that many children, all released; a child is then made in its place. */
int ce_arrow_schema_widen(struct ArrowSchema *schema, size_t children, struct ce_error *err);
int ce_arrow_schema_set(const char **member, const char *text, struct ce_error *err);
int ce_arrow_schema_set_metadata(struct ArrowSchema *schema, const char *metadata,
                                 struct ce_error *err);
size_t ce_arrow_metadata_size(const char *metadata); /* its encoding; 0 for NULL */
static inline void ce_arrow_schema_done(struct ArrowSchema *schema)
{
    if (schema->release)
        schema->release(schema);
}

/* ---- arrays ---- */

static inline void ce_arrow_array_done(struct ArrowArray *array)
{
    if (array->release)
        array->release(array);
}
static inline void ce_arrow_stream_done(struct ArrowArrayStream *stream)
{
    if (stream->release)
        stream->release(stream);
}

/* An array that several others stand on; any thread may let go of it. */
struct ce_arrow_shared;
/* Moves the array into it. NULL: no memory, and the array is as it was. */
struct ce_arrow_shared *ce_arrow_shared_new(struct ArrowArray *array);
struct ce_arrow_shared *ce_arrow_shared_ref(struct ce_arrow_shared *shared);
void ce_arrow_shared_unref(struct ce_arrow_shared *shared); /* NULL is fine */
const struct ArrowArray *ce_arrow_shared_array(const struct ce_arrow_shared *shared);

/* A view of `array`, which lives in `owner`: rows [offset, offset + length) of its buffers. */
int ce_arrow_view(struct ce_arrow_shared *owner, const struct ArrowArray *array, int64_t offset,
                  int64_t length, struct ArrowArray *ret_view, struct ce_error *err);
/* An array with that many buffers (all NULL, freed with free()), children (released ones) and, if
 * asked for, a dictionary (released). The caller fills them in. */
int ce_arrow_array_make(int64_t length, size_t buffers, size_t children, bool dictionary,
                        struct ArrowArray *ret_array, struct ce_error *err);
/* The same, but the buffers lie in `owner`. */
int ce_arrow_array_make_in(struct ce_arrow_shared *owner, int64_t length, size_t buffers,
                           size_t children, bool dictionary, struct ArrowArray *ret_array,
                           struct ce_error *err);

#endif
