/* SPDX-License-Identifier: MIT */
/* Compactors: level h holds at most CE_SKETCH_EXACT values that stand for 2^h values each. A full
 * level is sorted and every second value moves up, by turns the odd and the even ones.
 *
 * That moves a rank by at most 2^h, and by turns up and down. A level is compacted only when full,
 * so of n values there are at most n / (2^h * 4096) compactions of it, and it puts ranks off by at
 * most n / 4096, by half of that where the turns follow on each other: 0.5 % needs 20 levels, more
 * than 2^32 values, at the very worst. That holds however the values come in, one by one or by
 * merging. */
#include "data/stats/sketch.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum { LEVELS = 48, CAPACITY = CE_SKETCH_EXACT, FIRST_CAPACITY = 64 };

struct level {
    uint64_t *keys;
    size_t count, capacity;
    bool odd; /* the next compaction keeps the odd ones */
};

struct ce_sketcher {
    uint64_t count;
    uint64_t min, max;
    struct level levels[LEVELS];
};

/* Numbers as words that have the same order. Negative zero is zero. */
static uint64_t key_of(double value)
{
    uint64_t bits;
    value += 0.0;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static double value_of(uint64_t key)
{
    double value;
    key = key >> 63 ? key & ~(UINT64_C(1) << 63) : ~key;
    memcpy(&value, &key, sizeof value);
    return value;
}

struct ce_sketcher *ce_sketcher_new(void)
{
    return calloc(1, sizeof(struct ce_sketcher));
}

void ce_sketcher_free(struct ce_sketcher *sketcher)
{
    if (!sketcher)
        return;
    for (size_t h = 0; h < LEVELS; h++)
        free(sketcher->levels[h].keys);
    free(sketcher);
}

void ce_sketcher_clear(struct ce_sketcher *sketcher)
{
    sketcher->count = 0;
    for (size_t h = 0; h < LEVELS; h++) {
        sketcher->levels[h].count = 0;
        sketcher->levels[h].odd = false;
    }
}

/* Radix sort by bytes, the lowest first; bytes that all keys share are passed over. Its own frame:
 * compactions nest, and its arrays must not. */
static __attribute__((noinline)) void sort_keys(uint64_t *keys, size_t count)
{
    uint64_t spare[CAPACITY], *from = keys, *to = spare;
    uint32_t starts[8][256] = {{0}};
    for (size_t i = 0; i < count; i++)
        for (unsigned byte = 0; byte < 8; byte++)
            starts[byte][keys[i] >> 8 * byte & 255]++;
    for (unsigned byte = 0; byte < 8; byte++) {
        uint32_t *start = starts[byte], sum = 0;
        if (start[keys[0] >> 8 * byte & 255] == count)
            continue;
        for (unsigned i = 0; i < 256; i++) {
            uint32_t these = start[i];
            start[i] = sum;
            sum += these;
        }
        for (size_t i = 0; i < count; i++)
            to[start[from[i] >> 8 * byte & 255]++] = from[i];
        uint64_t *was = from;
        from = to;
        to = was;
    }
    if (from != keys)
        memcpy(keys, from, count * sizeof *keys);
}

static int push(struct ce_sketcher *sketcher, size_t h, uint64_t key);

static int compact(struct ce_sketcher *sketcher, size_t h)
{
    struct level *level = &sketcher->levels[h];
    sort_keys(level->keys, level->count);
    for (size_t i = level->odd; i < level->count; i += 2)
        if (push(sketcher, h + 1, level->keys[i]) < 0)
            return -ENOMEM;
    level->odd = !level->odd;
    level->count = 0;
    return 0;
}

static int push(struct ce_sketcher *sketcher, size_t h, uint64_t key)
{
    struct level *level = &sketcher->levels[h];
    if (level->count == CAPACITY && compact(sketcher, h) < 0)
        return -ENOMEM;
    if (level->count == level->capacity) {
        size_t capacity = level->capacity > 0 ? 2 * level->capacity : FIRST_CAPACITY;
        uint64_t *keys = reallocarray(level->keys, capacity, sizeof *keys);
        if (!keys)
            return -ENOMEM;
        level->keys = keys;
        level->capacity = capacity;
    }
    level->keys[level->count++] = key;
    return 0;
}

static void span(struct ce_sketcher *sketcher, uint64_t min, uint64_t max)
{
    bool first = sketcher->count == 0;
    sketcher->min = first || min < sketcher->min ? min : sketcher->min;
    sketcher->max = first || max > sketcher->max ? max : sketcher->max;
}

int ce_sketcher_add(struct ce_sketcher *sketcher, double value)
{
    uint64_t key = key_of(value);
    span(sketcher, key, key);
    sketcher->count++;
    return push(sketcher, 0, key);
}

static uint64_t key_as(uint64_t key, double (*as)(double value))
{
    return as ? key_of(as(value_of(key))) : key;
}

int ce_sketcher_merge(struct ce_sketcher *into, const struct ce_sketcher *from,
                      double (*as)(double value))
{
    if (from->count == 0)
        return 0;
    uint64_t min = key_as(from->min, as), max = key_as(from->max, as);
    /* `as` need not keep the order. */
    span(into, min < max ? min : max, min < max ? max : min);
    into->count += from->count;
    for (size_t h = 0; h < LEVELS; h++) {
        for (size_t i = 0; i < from->levels[h].count; i++) {
            uint64_t key = key_as(from->levels[h].keys[i], as);
            if (as)
                span(into, key, key);
            if (push(into, h, key) < 0)
                return -ENOMEM;
        }
    }
    return 0;
}

/* ---- queries ---- */

void ce_sketch_free(struct ce_sketch *sketch)
{
    free(sketch);
}

static int by_value(const void *a, const void *b)
{
    double x = ((const struct ce_sketch_step *)a)->value;
    double y = ((const struct ce_sketch_step *)b)->value;
    return (x > y) - (x < y);
}

struct ce_sketch *ce_sketch_of(struct ce_sketch_step *values, size_t count)
{
    struct ce_sketch *sketch = malloc(sizeof *sketch + count * sizeof *sketch->steps);
    if (!sketch)
        return NULL;
    qsort(values, count, sizeof *values, by_value);
    sketch->count = sketch->size = 0;
    for (size_t i = 0; i < count; i++) {
        sketch->count += values[i].upto;
        if (i == 0 || values[i].value != values[i - 1].value)
            sketch->size++;
        sketch->steps[sketch->size - 1] =
            (struct ce_sketch_step){.value = values[i].value, .upto = sketch->count};
    }
    sketch->min = values[0].value;
    sketch->max = values[count - 1].value;
    return sketch;
}

int ce_sketcher_end(const struct ce_sketcher *sketcher, struct ce_sketch **ret_sketch)
{
    size_t count = 0, used = 0;
    for (size_t h = 0; h < LEVELS; h++)
        count += sketcher->levels[h].count;
    if (count == 0) {
        *ret_sketch = NULL;
        return 0;
    }
    ce_autofree struct ce_sketch_step *values = calloc(count, sizeof *values);
    if (!values)
        return -ENOMEM;
    for (size_t h = 0; h < LEVELS; h++)
        for (size_t i = 0; i < sketcher->levels[h].count; i++)
            values[used++] = (struct ce_sketch_step){
                .value = value_of(sketcher->levels[h].keys[i]),
                .upto = UINT64_C(1) << h,
            };
    struct ce_sketch *sketch = ce_sketch_of(values, count);
    if (!sketch)
        return -ENOMEM;
    sketch->min = value_of(sketcher->min);
    sketch->max = value_of(sketcher->max);
    *ret_sketch = sketch;
    return 0;
}

/* How many of the steps have a value of at most, or less than, `value`. */
static size_t steps_to(const struct ce_sketch *sketch, double value, bool inclusive)
{
    size_t low = 0, high = sketch->size;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        double at = sketch->steps[middle].value;
        if (inclusive ? at <= value : at < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

double ce_sketch_upto(const struct ce_sketch *sketch, double value)
{
    if (value >= sketch->max)
        return 1;
    size_t steps = value < sketch->min ? 0 : steps_to(sketch, value, true);
    return steps > 0 ? (double)sketch->steps[steps - 1].upto / (double)sketch->count : 0;
}

double ce_sketch_below(const struct ce_sketch *sketch, double value)
{
    if (value > sketch->max)
        return 1;
    size_t steps = value <= sketch->min ? 0 : steps_to(sketch, value, false);
    return steps > 0 ? (double)sketch->steps[steps - 1].upto / (double)sketch->count : 0;
}

/* The value of that rank, from 0. */
static double value_at(const struct ce_sketch *sketch, uint64_t rank)
{
    if (rank == 0)
        return sketch->min;
    if (rank >= sketch->count - 1)
        return sketch->max;
    size_t low = 0, high = sketch->size - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sketch->steps[middle].upto > rank)
            high = middle;
        else
            low = middle + 1;
    }
    return sketch->steps[low].value;
}

double ce_sketch_quantile(const struct ce_sketch *sketch, double q)
{
    double place = fmin(fmax(q, 0), 1) * (double)(sketch->count - 1), rank = floor(place);
    double low = value_at(sketch, (uint64_t)rank), high = value_at(sketch, (uint64_t)rank + 1);
    /* Two halves: the distance of two large numbers may be none. */
    double share = place - rank;
    return low == high ? low : low * (1 - share) + high * share;
}
