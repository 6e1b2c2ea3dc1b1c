/* SPDX-License-Identifier: MIT */
#include "data/text/jsonl_names.h"

#include "base/cleanup.h"
#include "data/text/json_string.h"
#include "data/text/jsonl_scan.h"

enum {
    SLOTS = 2 * CE_JSONL_COLUMNS_MAX, /* at most half full */
    NO_HINT = 255,
    SMALL_KEY = 256,
};

/* Zeroed pages that are never touched cost nothing. */
struct index {
    uint32_t slots[SLOTS]; /* column + 1, at the name's hash or behind it; 0: free */
    uint8_t hint_sizes[CE_JSONL_COLUMNS_MAX];
};

int ce_jsonl_names_make(struct ce_text_table *table, struct ce_error *err)
{
    table->names = calloc(CE_JSONL_COLUMNS_MAX, sizeof *table->names);
    table->index = calloc(1, sizeof(struct index));
    return table->names && table->index ? 0 : ce_fail_memory(err);
}

static size_t slot_of(const char *name, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32) % SLOTS;
}

static bool is_name(const char *known, const char *name, size_t size)
{
    return strncmp(known, name, size) == 0 && known[size] == '\0';
}

static int find_name(const struct ce_text_table *table, const char *name, size_t size)
{
    const struct index *index = table->index;
    for (size_t slot = slot_of(name, size);; slot = (slot + 1) % SLOTS) {
        uint32_t found = __atomic_load_n(&index->slots[slot], __ATOMIC_ACQUIRE);
        if (found == 0)
            return -1;
        if (found <= table->column_count && is_name(table->names[found - 1], name, size))
            return (int)(found - 1);
    }
}

int ce_jsonl_names_find(const struct ce_text_table *table, const char *key, size_t size)
{
    if (!memchr(key, '\\', size))
        return find_name(table, key, size);
    char small[SMALL_KEY];
    ce_autofree char *large = size > sizeof small ? malloc(size) : NULL;
    char *name = large ? large : small;
    if (size > sizeof small && !large)
        return -ENOMEM;
    return find_name(table, name, ce_json_decode(key, size, true, name));
}

int ce_jsonl_names_add(struct ce_text_table *table, const char *key, size_t size,
                       struct ce_error *err)
{
    struct index *index = table->index;
    size_t column = table->column_count;
    if (column == CE_JSONL_COLUMNS_MAX)
        return ce_fail_at(err, table->path, EINVAL,
                          "the objects have more than %d different keys: keys must name columns",
                          CE_JSONL_COLUMNS_MAX);
    char *name = malloc(size + 1);
    if (!name)
        return ce_fail_memory(err);
    size_t name_size = ce_json_decode(key, size, true, name);
    name[name_size] = '\0';
    bool plain = memchr(key, '\\', size) == NULL && size < CE_JSON_HINT_MAX;
    index->hint_sizes[column] = plain ? (uint8_t)size : NO_HINT;
    table->names[column] = name;
    size_t slot = slot_of(name, name_size);
    while (index->slots[slot] != 0)
        slot = (slot + 1) % SLOTS;
    __atomic_store_n(&index->slots[slot], (uint32_t)column + 1, __ATOMIC_RELEASE);
    table->column_count++;
    return 0;
}

const char *ce_jsonl_names_hint(const struct ce_text_table *table, size_t column, size_t *ret_size)
{
    const struct index *index = table->index;
    if (column >= table->column_count || index->hint_sizes[column] == NO_HINT)
        return NULL;
    *ret_size = index->hint_sizes[column];
    return table->names[column];
}
