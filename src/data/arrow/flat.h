/* SPDX-License-Identifier: MIT */
/* FlatBuffers, as far as Arrow's messages need them: a reader that trusts no offset, and a writer
 * that goes from the root downwards, so that every table lies before what it refers to. */
#ifndef CE_DATA_ARROW_FLAT_H
#define CE_DATA_ARROW_FLAT_H

#include <stdbool.h>
#include <stdint.h>

#include "data/text/buffer.h"

/* ---- reading ---- */

struct ce_flat {
    const char *data;
    size_t size;
    bool bad;      /* something pointed outside; what is asked for then is not there */
    size_t opened; /* tables: no more than there are bytes, lest a few that refer to each other be
                      many */
};
struct ce_flat_table {
    struct ce_flat *flat;
    size_t at, vtable;
    unsigned vtable_size, size;
};
struct ce_flat_vector {
    size_t at;
    uint32_t count;
};

bool ce_flat_root(struct ce_flat *flat, struct ce_flat_table *ret_table);
/* The value of a field of 1, 2, 4 or 8 bytes, sign-extended. */
int64_t ce_flat_number(const struct ce_flat_table *table, unsigned field, unsigned size,
                       int64_t otherwise);
/* False: it is absent, or out of bounds. */
bool ce_flat_child(const struct ce_flat_table *table, unsigned field,
                   struct ce_flat_table *ret_child);
bool ce_flat_text(const struct ce_flat_table *table, unsigned field, const char **ret_text,
                  size_t *ret_size);
/* A vector of elements of `size` bytes; an absent one is empty. */
struct ce_flat_vector ce_flat_vector(const struct ce_flat_table *table, unsigned field,
                                     size_t size);
/* The i-th of a vector of tables. */
bool ce_flat_element(struct ce_flat *flat, const struct ce_flat_vector *vector, uint32_t i,
                     struct ce_flat_table *ret_table);
int64_t ce_flat_load(const struct ce_flat *flat, size_t at, unsigned size); /* within bounds */

/* ---- writing ---- */

struct ce_flat_writer {
    struct ce_buffer out;
    bool failed; /* no memory */
};

/* The root, or a table that the reference at `from` is to point to (SIZE_MAX: the root). sizes[i]
 * is the number of bytes of field i; 0: it is left out. Returns where the table is; its fields are
 * zero. */
size_t ce_flat_put_table(struct ce_flat_writer *writer, size_t from, const uint8_t *sizes,
                         unsigned fields);
/* Where a field that was not left out lies. */
size_t ce_flat_field(const struct ce_flat_writer *writer, size_t table, unsigned field);
void ce_flat_set(struct ce_flat_writer *writer, size_t at, int64_t value, unsigned size);
void ce_flat_put_text(struct ce_flat_writer *writer, size_t from, const char *text, size_t size);
/* A zeroed vector; returns where its first element lies. Elements of 8 bytes and more are aligned
 * to 8. */
size_t ce_flat_put_vector(struct ce_flat_writer *writer, size_t from, uint32_t count, size_t size);

#endif
