/* SPDX-License-Identifier: MIT */
/* A hash table of the values with their counts; when there are too many of them, or one is too
 * long, it gives way to a HyperLogLog sketch (Flajolet et al. 2007) of their hashes. Its 2^16
 * registers put the standard error of the number of different values at 0.41 %. The estimate is
 * Ertl's (2017), which is as good for few values as for many and takes no logarithm, so that every
 * machine gives the same number. */
#include "data/stats/values.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "data/stats/value.h"

enum { SLOTS = 2 * CE_CATEGORIES_MAX, INDEX_BITS = 16, REGISTERS = 1 << INDEX_BITS };
enum { RANK_MAX = 64 - INDEX_BITS + 1 };

struct entry {
    uint64_t hash, count;
    uint32_t at, size; /* in `texts` */
};

struct ce_values {
    bool many;             /* there are no entries any more, only registers */
    uint16_t slots[SLOTS]; /* 0, or an entry's number from 1 */
    struct entry *entries;
    size_t count, capacity;
    char *texts;
    size_t texts_size, texts_capacity;
    uint8_t *registers; /* NULL until there are many */
};

struct ce_values *ce_values_new(void)
{
    return calloc(1, sizeof(struct ce_values));
}

void ce_values_free(struct ce_values *values)
{
    if (!values)
        return;
    free(values->entries);
    free(values->texts);
    free(values->registers);
    free(values);
}

static void clear_entries(struct ce_values *values)
{
    memset(values->slots, 0, sizeof values->slots);
    values->count = values->texts_size = 0;
}

void ce_values_clear(struct ce_values *values)
{
    clear_entries(values);
    if (values->many)
        memset(values->registers, 0, REGISTERS);
    values->many = false;
}

/* ---- many ---- */

static void count_hash(struct ce_values *values, uint64_t hash)
{
    uint64_t rest = hash << INDEX_BITS;
    uint8_t rank = rest ? (uint8_t)(__builtin_clzll(rest) + 1) : RANK_MAX;
    uint8_t *at = &values->registers[hash >> (64 - INDEX_BITS)];
    if (rank > *at)
        *at = rank;
}

static int become_many(struct ce_values *values)
{
    if (!values->registers)
        values->registers = calloc(REGISTERS, 1);
    if (!values->registers)
        return -ENOMEM;
    for (size_t i = 0; i < values->count; i++)
        count_hash(values, values->entries[i].hash);
    clear_entries(values);
    values->many = true;
    return 0;
}

/* x + sum of x^(2^k) 2^(k-1) for k >= 1. */
static double sigma(double x)
{
    double sum = x, before, weight = 1;
    do {
        before = sum;
        x *= x;
        sum += x * weight;
        weight *= 2;
    } while (sum != before);
    return sum;
}

/* (1 - x - sum of (1 - x^(2^-k))^2 2^-k for k >= 1) / 3. */
static double tau(double x)
{
    double sum = 1 - x, before, weight = 1;
    do {
        before = sum;
        x = sqrt(x);
        weight /= 2;
        sum -= (1 - x) * (1 - x) * weight;
    } while (sum != before);
    return sum / 3;
}

static uint64_t estimate(const uint8_t *registers)
{
    static const double m = REGISTERS, ln2 = 0x1.62e42fefa39efp-1;
    uint32_t ranks[RANK_MAX + 1] = {0};
    for (size_t i = 0; i < REGISTERS; i++)
        ranks[registers[i]]++;
    double sum = m * tau(1 - ranks[RANK_MAX] / m);
    for (int k = RANK_MAX - 1; k >= 1; k--)
        sum = (sum + ranks[k]) / 2;
    sum += m * sigma(ranks[0] / m);
    return (uint64_t)rint(m * m / (2 * ln2) / sum);
}

uint64_t ce_values_distinct(const struct ce_values *values)
{
    return values->many ? estimate(values->registers) : values->count;
}

/* ---- few ---- */

static int entry_new(struct ce_values *values, uint16_t *slot, const char *text, size_t size,
                     uint64_t hash)
{
    if (values->count == values->capacity) {
        size_t capacity = values->capacity > 0 ? 2 * values->capacity : 16;
        struct entry *entries = reallocarray(values->entries, capacity, sizeof *entries);
        if (!entries)
            return -ENOMEM;
        values->entries = entries;
        values->capacity = capacity;
    }
    if (values->texts_capacity - values->texts_size < size) {
        size_t capacity = 2 * values->texts_capacity + CE_CATEGORY_BYTES;
        char *texts = realloc(values->texts, capacity);
        if (!texts)
            return -ENOMEM;
        values->texts = texts;
        values->texts_capacity = capacity;
    }
    if (size > 0)
        memcpy(values->texts + values->texts_size, text, size);
    values->entries[values->count++] = (struct entry){
        .hash = hash,
        .at = (uint32_t)values->texts_size,
        .size = (uint32_t)size,
    };
    values->texts_size += size;
    *slot = (uint16_t)values->count;
    return 0;
}

static bool entry_is(const struct ce_values *values, const struct entry *entry, const char *text,
                     size_t size, uint64_t hash)
{
    return entry->hash == hash && entry->size == size &&
           (size == 0 || memcmp(values->texts + entry->at, text, size) == 0);
}

static int add_times(struct ce_values *values, const char *text, size_t size, uint64_t hash,
                     uint64_t times)
{
    if (!values->many && size > CE_CATEGORY_BYTES && become_many(values) < 0)
        return -ENOMEM;
    if (values->many) {
        count_hash(values, hash);
        return 0;
    }
    size_t at = hash % SLOTS;
    for (; values->slots[at] > 0; at = (at + 1) % SLOTS) {
        struct entry *entry = &values->entries[values->slots[at] - 1];
        if (entry_is(values, entry, text, size, hash)) {
            entry->count += times;
            return 0;
        }
    }
    if (values->count == CE_CATEGORIES_MAX) {
        if (become_many(values) < 0)
            return -ENOMEM;
        count_hash(values, hash);
        return 0;
    }
    if (entry_new(values, &values->slots[at], text, size, hash) < 0)
        return -ENOMEM;
    values->entries[values->count - 1].count = times;
    return 0;
}

int ce_values_add(struct ce_values *values, const char *text, size_t size, uint64_t hash)
{
    return add_times(values, text, size, hash, 1);
}

int ce_values_merge(struct ce_values *into, const struct ce_values *from)
{
    if (from->many) {
        if (!into->many && become_many(into) < 0)
            return -ENOMEM;
        for (size_t i = 0; i < REGISTERS; i++)
            into->registers[i] =
                from->registers[i] > into->registers[i] ? from->registers[i] : into->registers[i];
        return 0;
    }
    for (size_t i = 0; i < from->count; i++) {
        const struct entry *entry = &from->entries[i];
        if (add_times(into, from->texts + entry->at, entry->size, entry->hash, entry->count) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- categories ---- */

static int by_count(const void *a, const void *b)
{
    const struct ce_category *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    size_t shorter = x->size < y->size ? x->size : y->size;
    int order = memcmp(x->text, y->text, shorter);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

void ce_categories_free(struct ce_category *categories, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(categories[i].text);
    free(categories);
}

int ce_values_categories(const struct ce_values *values, struct ce_category **ret_categories,
                         size_t *ret_count)
{
    if (values->count == 0) {
        *ret_categories = NULL;
        *ret_count = 0;
        return 0;
    }
    struct ce_category *categories = calloc(values->count, sizeof *categories);
    for (size_t i = 0; categories && i < values->count; i++) {
        const struct entry *entry = &values->entries[i];
        char *text = malloc((size_t)entry->size + 1);
        if (!text) {
            ce_categories_free(categories, i);
            return -ENOMEM;
        }
        memcpy(text, values->texts + entry->at, entry->size);
        text[entry->size] = '\0';
        categories[i] =
            (struct ce_category){.text = text, .size = entry->size, .count = entry->count};
    }
    if (!categories)
        return -ENOMEM;
    qsort(categories, values->count, sizeof *categories, by_count);
    *ret_categories = categories;
    *ret_count = values->count;
    return 0;
}
