/* SPDX-License-Identifier: MIT */
/* A set of hashes that keeps those with at least `level` trailing zero bits. It starts with all of
 * them; whenever it grows too large, the level rises by one and half of the hashes go. Rows that
 * are equal stay or go together, so the share of duplicates among those that stay is that of the
 * table. How many rows had how many zeros is counted, so the sample is the same whichever way it
 * came about: row by row, or from parts. */
#include "data/stats/row_set.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_FIRST = 1 << 10, SLOTS_MAX = 1 << 20 }; /* at most half of them are taken */

struct ce_row_set {
    uint64_t *slots; /* 0: free; see key_of() */
    size_t slot_count, count;
    unsigned level;
    uint64_t rows[65]; /* by the trailing zeros of their hash */
};

struct ce_row_set *ce_row_set_new(void)
{
    return calloc(1, sizeof(struct ce_row_set));
}

void ce_row_set_free(struct ce_row_set *set)
{
    if (!set)
        return;
    free(set->slots);
    free(set);
}

void ce_row_set_clear(struct ce_row_set *set)
{
    if (set->slots)
        memset(set->slots, 0, set->slot_count * sizeof *set->slots);
    *set = (struct ce_row_set){.slots = set->slots, .slot_count = set->slot_count};
}

/* A free slot is 0; the one hash that is 0 shares a place with another. */
static uint64_t key_of(uint64_t hash)
{
    return hash > 0 ? hash : UINT64_C(1) << 63;
}

static unsigned zeros_of(uint64_t key)
{
    return (unsigned)__builtin_ctzll(key);
}

static void insert(struct ce_row_set *set, uint64_t key)
{
    /* The upper bits: the lower ones are zero in a sample. */
    size_t mask = set->slot_count - 1, at = (size_t)(key >> 32) & mask;
    for (; set->slots[at] > 0; at = (at + 1) & mask)
        if (set->slots[at] == key)
            return;
    set->slots[at] = key;
    set->count++;
}

static int rebuild(struct ce_row_set *set, size_t slot_count, unsigned level)
{
    uint64_t *old = set->slots, *slots = calloc(slot_count, sizeof *slots);
    size_t had = set->slot_count;
    if (!slots)
        return -ENOMEM;
    set->slots = slots;
    set->slot_count = slot_count;
    set->count = 0;
    set->level = level;
    for (size_t i = 0; i < had; i++)
        if (old[i] > 0 && zeros_of(old[i]) >= level)
            insert(set, old[i]);
    free(old);
    return 0;
}

/* Room is made after a hash has come in: whether it was there before is known only then, and the
 * level must not depend on the order of the rows. */
static int keep(struct ce_row_set *set, uint64_t key)
{
    if (zeros_of(key) < set->level)
        return 0;
    if (set->slot_count == 0 && rebuild(set, SLOTS_FIRST, set->level) < 0)
        return -ENOMEM;
    insert(set, key);
    while (set->count > set->slot_count / 2) {
        bool full = set->slot_count == SLOTS_MAX;
        if (rebuild(set, full ? SLOTS_MAX : 2 * set->slot_count, set->level + full) < 0)
            return -ENOMEM;
    }
    return 0;
}

int ce_row_set_add(struct ce_row_set *set, uint64_t hash)
{
    uint64_t key = key_of(hash);
    set->rows[zeros_of(key)]++;
    return keep(set, key);
}

int ce_row_set_merge(struct ce_row_set *into, const struct ce_row_set *from)
{
    for (size_t i = 0; i < sizeof into->rows / sizeof *into->rows; i++)
        into->rows[i] += from->rows[i];
    if (into->level < from->level &&
        rebuild(into, into->slot_count > 0 ? into->slot_count : SLOTS_FIRST, from->level) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < from->slot_count; i++)
        if (from->slots[i] > 0 && keep(into, from->slots[i]) < 0)
            return -ENOMEM;
    return 0;
}

double ce_row_set_duplicate_share(const struct ce_row_set *set)
{
    uint64_t rows = 0;
    for (size_t i = set->level; i < sizeof set->rows / sizeof *set->rows; i++)
        rows += set->rows[i];
    return rows > 0 ? (double)(rows - set->count) / (double)rows : 0;
}
