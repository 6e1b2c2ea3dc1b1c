/* SPDX-License-Identifier: MIT */
/* Arrays in the making: a column put together from ranges of others and from single cells. */
#ifndef CE_DATA_ARROW_GROW_H
#define CE_DATA_ARROW_GROW_H

#include "data/arrow/encode.h"

/* The values of a dictionary-encoded column, which only ever become more: what comes from
 * dictionaries of several batches, and what a fault writes, gets an index of its own. */
struct ce_dictionary;

struct ce_grow {
    const struct ce_arrow_type *type; /* borrowed */
    int64_t length, nulls;
    struct ce_buffer valid;  /* a bitmap, from the first null on */
    struct ce_buffer values; /* bits, values, bytes, views, indices; sizes of list views */
    struct ce_buffer more;   /* offsets; bytes of long views */
    struct ce_grow *children;
    struct ce_dictionary *dictionary;
};

/* -EOPNOTSUPP: unions and runs cannot be put together. Undo with ce_grow_done() in every case. */
int ce_grow_init(struct ce_grow *grow, const struct ce_arrow_type *type, struct ce_error *err);
void ce_grow_done(struct ce_grow *grow); /* a zeroed one is fine */
/* Whether ce_grow_init() takes that type. */
bool ce_grow_takes(const struct ce_arrow_type *type);

/* Room for so many rows of fixed width, which are to come in pieces. */
int ce_grow_reserve(struct ce_grow *grow, int64_t rows, struct ce_error *err);
/* The rows [start, start + count) of the array's buffers, its offset included. */
int ce_grow_range(struct ce_grow *grow, const struct ArrowArray *array, int64_t start,
                  int64_t count, struct ce_error *err);
int ce_grow_null(struct ce_grow *grow, struct ce_error *err);
/* A cell as encode.h has it. -EBADMSG: it is none of this type. */
int ce_grow_cell(struct ce_grow *grow, const char *cell, size_t size, struct ce_error *err);
/* The array; `grow` is empty afterwards and may be used again, with the same dictionary. */
int ce_grow_end(struct ce_grow *grow, struct ArrowArray *ret_array, struct ce_error *err);
/* Dictionaries are recognised by their address: before the batch goes that ranges were taken from,
 * they are forgotten. */
void ce_grow_forget(struct ce_grow *grow);

/* ---- cells that are already there ---- */

/* Makes it null, and of numbers with fractions NaN below that; or puts a value of type->width bytes
 * (bits: one byte) there. */
int ce_grow_put_null(struct ce_grow *grow, int64_t at, struct ce_error *err);
int ce_grow_put(struct ce_grow *grow, int64_t at, const void *value, struct ce_error *err);
bool ce_grow_valid(const struct ce_grow *grow, int64_t at);

/* ---- dictionaries ---- */

int ce_dictionary_new(const struct ce_arrow_type *values, struct ce_dictionary **ret_dictionary,
                      struct ce_error *err);
void ce_dictionary_free(struct ce_dictionary *dictionary); /* NULL is fine */
/* The index of a cell, added when it is not there. -EOVERFLOW (without a sentence) when that would
 * be above `max`. */
int64_t ce_dictionary_add(struct ce_dictionary *dictionary, const char *cell, size_t size,
                          int64_t max, struct ce_error *err);
/* The cell at an index. */
const char *ce_dictionary_cell(const struct ce_dictionary *dictionary, int64_t index,
                               size_t *ret_size);
/* What the indices of `values` are here: a list that is kept until it is forgotten. */
int ce_dictionary_map(struct ce_dictionary *dictionary, const struct ArrowArray *values,
                      int64_t max, const int64_t **ret_map, struct ce_error *err);
void ce_dictionary_forget(struct ce_dictionary *dictionary);
/* All of them as an array that shares its buffers with those given before, while none is added. */
int ce_dictionary_array(struct ce_dictionary *dictionary, struct ArrowArray *ret_array,
                        struct ce_error *err);
int64_t ce_dictionary_max(const struct ce_arrow_type *indices); /* the greatest index */

#endif
