/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/random.h"
#include "data/arrow/grow.h"

struct ce_dictionary {
    const struct ce_arrow_type *type; /* of the values */
    struct ce_buffer cells;
    struct place {
        size_t at, size;
    } * places;
    int64_t count, capacity;
    int64_t *slots; /* open addressing: index + 1; a power of two */
    size_t slot_count;

    const struct ArrowArray *mapped; /* what `map` is about */
    int64_t *map;

    struct ce_arrow_shared *made; /* the first made_count of them as an array */
    int64_t made_count;
};

int ce_dictionary_new(const struct ce_arrow_type *values, struct ce_dictionary **ret_dictionary,
                      struct ce_error *err)
{
    struct ce_dictionary *dictionary = calloc(1, sizeof *dictionary);
    if (!dictionary)
        return ce_fail_memory(err);
    dictionary->type = values;
    *ret_dictionary = dictionary;
    return 0;
}

void ce_dictionary_forget(struct ce_dictionary *dictionary)
{
    free(dictionary->map);
    dictionary->map = NULL;
    dictionary->mapped = NULL;
}

void ce_dictionary_free(struct ce_dictionary *dictionary)
{
    if (!dictionary)
        return;
    ce_dictionary_forget(dictionary);
    ce_buffer_done(&dictionary->cells);
    free(dictionary->places);
    free(dictionary->slots);
    ce_arrow_shared_unref(dictionary->made);
    free(dictionary);
}

int64_t ce_dictionary_max(const struct ce_arrow_type *indices)
{
    int bits = 8 * (int)indices->width - (strchr("csil", indices->format[0]) != NULL);
    return bits >= 31 ? INT32_MAX : (INT64_C(1) << bits) - 1;
}

const char *ce_dictionary_cell(const struct ce_dictionary *dictionary, int64_t index,
                               size_t *ret_size)
{
    *ret_size = dictionary->places[index].size;
    return dictionary->cells.data + dictionary->places[index].at;
}

/* The slot that has the cell, or where it belongs. */
static int64_t *find_slot(struct ce_dictionary *dictionary, const char *cell, size_t size)
{
    for (uint64_t hash = ce_hash_name(cell, size);; hash++) {
        int64_t *slot = &dictionary->slots[hash & (dictionary->slot_count - 1)];
        if (*slot == 0)
            return slot;
        const struct place *place = &dictionary->places[*slot - 1];
        if (place->size == size && memcmp(dictionary->cells.data + place->at, cell, size) == 0)
            return slot;
    }
}

static bool make_room(struct ce_dictionary *dictionary)
{
    if (dictionary->count == dictionary->capacity) {
        int64_t capacity = 2 * dictionary->capacity + 64;
        void *larger = realloc(dictionary->places, (size_t)capacity * sizeof *dictionary->places);
        if (!larger)
            return false;
        dictionary->places = larger;
        dictionary->capacity = capacity;
    }
    if (2 * (size_t)dictionary->count < dictionary->slot_count)
        return true;
    size_t count = dictionary->slot_count ? 2 * dictionary->slot_count : 256;
    int64_t *slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    free(dictionary->slots);
    dictionary->slots = slots;
    dictionary->slot_count = count;
    for (int64_t i = 0; i < dictionary->count; i++) {
        const struct place *place = &dictionary->places[i];
        *find_slot(dictionary, dictionary->cells.data + place->at, place->size) = i + 1;
    }
    return true;
}

int64_t ce_dictionary_add(struct ce_dictionary *dictionary, const char *cell, size_t size,
                          int64_t max, struct ce_error *err)
{
    if (!make_room(dictionary))
        return ce_fail_memory(err);
    int64_t *slot = find_slot(dictionary, cell, size);
    if (*slot > 0)
        return *slot - 1;
    if (dictionary->count > max)
        return -EOVERFLOW;
    struct place place = {.at = dictionary->cells.size, .size = size};
    if (!ce_buffer_put(&dictionary->cells, cell, size))
        return ce_fail_memory(err);
    dictionary->places[dictionary->count++] = place;
    *slot = dictionary->count;
    return dictionary->count - 1;
}

static int fill_map(struct ce_dictionary *dictionary, const struct ArrowArray *values, int64_t max,
                    struct ce_buffer *cell, struct ce_error *err)
{
    for (int64_t i = 0; i < values->length; i++) {
        cell->size = 0;
        if (!ce_arrow_encode(dictionary->type, values, values->offset + i, cell))
            return ce_fail_memory(err);
        int64_t index = ce_dictionary_add(dictionary, cell->data, cell->size, max, err);
        if (index == -EOVERFLOW)
            return ce_fail(err, EOVERFLOW,
                           "the dictionaries of a column have more than %lld values together, "
                           "which its indices cannot count",
                           (long long)max + 1);
        if (index < 0)
            return (int)index;
        dictionary->map[i] = index;
    }
    return 0;
}

int ce_dictionary_map(struct ce_dictionary *dictionary, const struct ArrowArray *values,
                      int64_t max, const int64_t **ret_map, struct ce_error *err)
{
    if (dictionary->mapped != values) {
        ce_dictionary_forget(dictionary);
        dictionary->map = malloc(((size_t)values->length + 1) * sizeof *dictionary->map);
        if (!dictionary->map)
            return ce_fail_memory(err);
        struct ce_buffer cell = {0};
        int r = fill_map(dictionary, values, max, &cell, err);
        ce_buffer_done(&cell);
        CE_TRY(r);
        dictionary->mapped = values;
    }
    *ret_map = dictionary->map;
    return 0;
}

static int make_array(struct ce_dictionary *dictionary, struct ce_grow *values,
                      struct ce_error *err)
{
    CE_TRY(ce_grow_init(values, dictionary->type, err));
    for (int64_t i = 0; i < dictionary->count; i++) {
        size_t size;
        const char *cell = ce_dictionary_cell(dictionary, i, &size);
        CE_TRY(ce_grow_cell(values, cell, size, err));
    }
    struct ArrowArray array;
    CE_TRY(ce_grow_end(values, &array, err));
    struct ce_arrow_shared *made = ce_arrow_shared_new(&array);
    if (!made) {
        ce_arrow_array_done(&array);
        return ce_fail_memory(err);
    }
    ce_arrow_shared_unref(dictionary->made);
    dictionary->made = made;
    dictionary->made_count = dictionary->count;
    return 0;
}

int ce_dictionary_array(struct ce_dictionary *dictionary, struct ArrowArray *ret_array,
                        struct ce_error *err)
{
    if (!dictionary->made || dictionary->made_count != dictionary->count) {
        struct ce_grow values = {0};
        int r = make_array(dictionary, &values, err);
        ce_grow_done(&values);
        CE_TRY(r);
    }
    const struct ArrowArray *array = ce_arrow_shared_array(dictionary->made);
    return ce_arrow_view(dictionary->made, array, 0, array->length, ret_array, err);
}
