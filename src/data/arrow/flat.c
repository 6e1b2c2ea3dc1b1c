/* SPDX-License-Identifier: MIT */
#include "data/arrow/flat.h"

#include <string.h>

/* ---- reading ---- */

/* Whether `size` bytes at `at` are there. */
static bool within(struct ce_flat *flat, size_t at, size_t size)
{
    if (at <= flat->size && size <= flat->size - at)
        return true;
    flat->bad = true;
    return false;
}

int64_t ce_flat_load(const struct ce_flat *flat, size_t at, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, flat->data + at, size);
    unsigned unused = 64 - 8 * size;
    return (int64_t)(value << unused) >> unused;
}

static uint32_t load_u32(const struct ce_flat *flat, size_t at)
{
    return (uint32_t)ce_flat_load(flat, at, 4);
}

static bool open_table(struct ce_flat *flat, size_t at, struct ce_flat_table *ret_table)
{
    if (++flat->opened > flat->size)
        flat->bad = true;
    if (flat->bad || !within(flat, at, 4))
        return false;
    int64_t vtable = (int64_t)at - ce_flat_load(flat, at, 4);
    if (vtable < 0 || !within(flat, (size_t)vtable, 4)) {
        flat->bad = true;
        return false;
    }
    struct ce_flat_table table = {
        .flat = flat,
        .at = at,
        .vtable = (size_t)vtable,
        .vtable_size = load_u32(flat, (size_t)vtable) & 0xffff,
        .size = load_u32(flat, (size_t)vtable) >> 16,
    };
    if (table.vtable_size < 4 || !within(flat, table.vtable, table.vtable_size) ||
        !within(flat, at, table.size)) {
        flat->bad = true;
        return false;
    }
    *ret_table = table;
    return true;
}

/* Where a reference leads. */
static bool follow(struct ce_flat *flat, size_t at, size_t *ret_at)
{
    if (!within(flat, at, 4))
        return false;
    *ret_at = at + load_u32(flat, at);
    return within(flat, *ret_at, 4);
}

bool ce_flat_root(struct ce_flat *flat, struct ce_flat_table *ret_table)
{
    size_t at;
    return follow(flat, 0, &at) && open_table(flat, at, ret_table);
}

/* Where the field lies; 0: it is absent. */
static size_t find_field(const struct ce_flat_table *table, unsigned field, unsigned size)
{
    unsigned entry = 4 + 2 * field;
    if (entry + 2 > table->vtable_size)
        return 0;
    unsigned offset = (uint16_t)ce_flat_load(table->flat, table->vtable + entry, 2);
    if (offset == 0)
        return 0;
    if (offset + size > table->size) {
        table->flat->bad = true;
        return 0;
    }
    return table->at + offset;
}

int64_t ce_flat_number(const struct ce_flat_table *table, unsigned field, unsigned size,
                       int64_t otherwise)
{
    size_t at = find_field(table, field, size);
    return at ? ce_flat_load(table->flat, at, size) : otherwise;
}

bool ce_flat_child(const struct ce_flat_table *table, unsigned field,
                   struct ce_flat_table *ret_child)
{
    size_t at = find_field(table, field, 4), there;
    return at && follow(table->flat, at, &there) && open_table(table->flat, there, ret_child);
}

struct ce_flat_vector ce_flat_vector(const struct ce_flat_table *table, unsigned field, size_t size)
{
    struct ce_flat_vector none = {0}, vector;
    size_t at = find_field(table, field, 4), there;
    if (!at || !follow(table->flat, at, &there))
        return none;
    vector.count = load_u32(table->flat, there);
    vector.at = there + 4;
    return within(table->flat, vector.at, vector.count * size) ? vector : none;
}

bool ce_flat_text(const struct ce_flat_table *table, unsigned field, const char **ret_text,
                  size_t *ret_size)
{
    struct ce_flat_vector vector = ce_flat_vector(table, field, 1);
    *ret_text = vector.count > 0 ? table->flat->data + vector.at : "";
    *ret_size = vector.count;
    return vector.at > 0;
}

bool ce_flat_element(struct ce_flat *flat, const struct ce_flat_vector *vector, uint32_t i,
                     struct ce_flat_table *ret_table)
{
    size_t there;
    return follow(flat, vector->at + 4 * (size_t)i, &there) && open_table(flat, there, ret_table);
}

/* ---- writing ---- */

/* Zeroes up to where (at + ahead) is a multiple of `alignment`. */
static void align(struct ce_flat_writer *writer, size_t alignment, size_t ahead)
{
    while (!writer->failed && (writer->out.size + ahead) % alignment != 0)
        writer->failed = !ce_buffer_put(&writer->out, "\0", 1);
}

/* That many zeroes; returns where. */
static size_t reserve(struct ce_flat_writer *writer, size_t size)
{
    size_t at = writer->out.size;
    char *room = writer->failed ? NULL : ce_buffer_room(&writer->out, size);
    writer->failed = !room;
    if (!room)
        return 0;
    memset(room, 0, size);
    writer->out.size += size;
    return at;
}

void ce_flat_set(struct ce_flat_writer *writer, size_t at, int64_t value, unsigned size)
{
    if (!writer->failed)
        memcpy(writer->out.data + at, &value, size);
}

size_t ce_flat_field(const struct ce_flat_writer *writer, size_t table, unsigned field)
{
    struct ce_flat flat = {.data = writer->out.data, .size = writer->out.size};
    if (writer->failed)
        return 0;
    size_t vtable = table - (size_t)ce_flat_load(&flat, table, 4);
    return table + (uint16_t)ce_flat_load(&flat, vtable + 4 + 2 * (size_t)field, 2);
}

/* The vtable stands right before its table. Fields follow by size, the largest first. */
size_t ce_flat_put_table(struct ce_flat_writer *writer, size_t from, const uint8_t *sizes,
                         unsigned fields)
{
    if (from == SIZE_MAX)
        from = reserve(writer, 4);
    size_t vtable_size = 4 + 2 * (size_t)fields;
    align(writer, 8, vtable_size + 4); /* so that the first field of 8 bytes is aligned */
    size_t vtable = reserve(writer, vtable_size);
    size_t table = reserve(writer, 4), at = 4;
    for (unsigned size = 8; size > 0; size /= 2)
        for (unsigned i = 0; i < fields; i++)
            if (sizes[i] == size) {
                ce_flat_set(writer, vtable + 4 + 2 * (size_t)i, (int64_t)at, 2);
                (void)reserve(writer, size);
                at += size;
            }
    ce_flat_set(writer, vtable, (int64_t)vtable_size, 2);
    ce_flat_set(writer, vtable + 2, (int64_t)at, 2);
    ce_flat_set(writer, table, (int64_t)(table - vtable), 4);
    ce_flat_set(writer, from, (int64_t)(table - from), 4);
    return table;
}

size_t ce_flat_put_vector(struct ce_flat_writer *writer, size_t from, uint32_t count, size_t size)
{
    align(writer, 4, 0);
    align(writer, size >= 8 ? 8 : 4, 4);
    size_t at = reserve(writer, 4);
    ce_flat_set(writer, at, count, 4);
    ce_flat_set(writer, from, (int64_t)(at - from), 4);
    return reserve(writer, count * size);
}

void ce_flat_put_text(struct ce_flat_writer *writer, size_t from, const char *text, size_t size)
{
    size_t at = ce_flat_put_vector(writer, from, (uint32_t)size, 1);
    if (!writer->failed && size > 0)
        memcpy(writer->out.data + at, text, size);
    (void)reserve(writer, 1); /* strings end with a NUL */
}
