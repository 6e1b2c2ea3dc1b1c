/* SPDX-License-Identifier: MIT */
/* Numbers, and values of other cells; texts are in garble_text.c. */
#include "faults/data/garble.h"

#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "faults/data/garble_text.h"

const struct ce_choice ce_mistypes[] = {
    {"auto", CE_MISTYPE_AUTO, "float for whole numbers, comma for the others"},
    {"float", CE_MISTYPE_FLOAT, "73 as 73.0"},
    {"comma", CE_MISTYPE_COMMA, "12.5 as 12,5"},
    {NULL, 0, NULL},
};
const struct ce_choice ce_weighings[] = {
    {"uniform", CE_WEIGH_UNIFORM, "all others alike"},
    {"frequency", CE_WEIGH_FREQUENCY, "by how frequent they are"},
    {NULL, 0, NULL},
};

/* ---- numbers ---- */

const char *ce_garble_noise(struct ce_cell *cell, double scale)
{
    uint64_t words[2];
    double value;
    if (!ce_cell_number(cell, &value))
        return "no number";
    ce_cell_draw(cell, words);
    return ce_cell_set_number(cell, value + scale * cell->profile->sd * ce_normal_from(words[0]),
                              CE_FIT_NEAREST);
}

const char *ce_garble_unit(struct ce_cell *cell, double factor)
{
    double value;
    if (!ce_cell_number(cell, &value))
        return "no number";
    if (value * factor == value)
        return "no change";
    return ce_cell_set_number(cell, value * factor, CE_FIT_NEAREST);
}

static bool is_true(const char *text, size_t size)
{
    return size == 4 && strncasecmp(text, "true", 4) == 0;
}

static bool is_false(const char *text, size_t size)
{
    return size == 5 && strncasecmp(text, "false", 5) == 0;
}

const char *ce_garble_type(struct ce_cell *cell, enum ce_mistype as)
{
    double value;
    bool number = ce_cell_number(cell, &value);
    CE_CLEANUP(ce_copy_done) struct ce_copy copy;
    const char *why = ce_copy_cell(cell, 2, &copy);
    if (why)
        return why;
    if (is_true(copy.text, copy.size) || is_false(copy.text, copy.size))
        return ce_cell_set_text(cell, is_true(copy.text, copy.size) ? "1" : "0", 1);
    if (!number)
        return "no number";
    char *point = memchr(copy.text, '.', copy.size);
    bool whole = !point && !memchr(copy.text, 'e', copy.size) && !memchr(copy.text, 'E', copy.size);
    if (as == CE_MISTYPE_AUTO)
        as = whole ? CE_MISTYPE_FLOAT : CE_MISTYPE_COMMA;
    if (whole) {
        copy.text[copy.size++] = as == CE_MISTYPE_FLOAT ? '.' : ',';
        copy.text[copy.size++] = '0';
    } else if (as == CE_MISTYPE_COMMA && point) {
        *point = ',';
    } else {
        return "no change";
    }
    return ce_cell_set_text(cell, copy.text, copy.size);
}

const char *ce_garble_number_end(struct ce_cell *cell, double value)
{
    enum { DIGITS = 22 }; /* powers of ten that are exact */
    static const double powers[DIGITS] = {1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,
                                          1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
                                          1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t words[2], spare = 0;
    while (spare < DIGITS && fabs(value) >= powers[spare])
        spare++;
    /* One digit stays, and what follows the point of a single one is cut. */
    ce_cell_draw(cell, words);
    double cut = spare == 0 ? value : value / powers[ce_below(words[0], spare)];
    cut = trunc(cut);
    return cut == value ? "no digits to lose" : ce_cell_set_number(cell, cut, CE_FIT_NEAREST);
}

const char *ce_garble_number_bit(struct ce_cell *cell, double value)
{
    uint64_t words[2];
    const char *why = "too many digits";
    ce_cell_draw(cell, words);
    for (uint64_t i = 0; i < 64 && why; i++) {
        uint64_t bits;
        double flipped;
        memcpy(&bits, &value, sizeof bits);
        bits ^= UINT64_C(1) << ((words[0] + i) % 64);
        memcpy(&flipped, &bits, sizeof flipped);
        if (isfinite(flipped))
            why = ce_cell_set_number(cell, flipped, CE_FIT_NEAREST);
    }
    return why;
}

/* ---- values of other cells ---- */

const char *ce_garble_swap(struct ce_cell *cell, size_t with)
{
    struct ce_cell other;
    double here, there;
    CE_CLEANUP(ce_copy_done) struct ce_copy mine = {0};
    CE_CLEANUP(ce_copy_done) struct ce_copy its = {0};
    ce_row_cell(cell->row, with, &other);
    other.draws = cell->draws;
    if (with == cell->column)
        return "no change";
    if (ce_cell_missing(&other))
        return "nothing to swap with";
    if (ce_cell_number(cell, &here) && ce_cell_number(&other, &there)) {
        if (here == there)
            return "no change";
        const char *why = ce_cell_set_number(cell, there, CE_FIT_NEAREST);
        if (!why && (why = ce_cell_set_number(&other, here, CE_FIT_NEAREST)))
            (void)ce_cell_set_number(cell, here, CE_FIT_NEAREST); /* half a swap is none */
        return why;
    }
    const char *why = ce_copy_cell(cell, 0, &mine);
    if (!why)
        why = ce_copy_cell(&other, 0, &its);
    if (!why && mine.size == its.size && memcmp(mine.text, its.text, its.size) == 0)
        return "no change";
    if (!why)
        why = ce_cell_set_text(cell, its.text, its.size);
    if (why)
        return why;
    why = ce_cell_set_text(&other, mine.text, mine.size);
    if (why)
        (void)ce_cell_set_text(cell, mine.text, mine.size);
    return why;
}

int ce_category_of(struct ce_cell *cell, const char **ret_why)
{
    const struct ce_column_profile *column = cell->profile;
    size_t size;
    const char *text = ce_cell_text(cell, &size);
    if (!column->categories) {
        *ret_why = "too many categories";
        return -1;
    }
    if (!text) {
        *ret_why = "out of memory";
        return -1;
    }
    for (size_t i = 0; i < column->category_count; i++)
        if (column->categories[i].size == size &&
            memcmp(column->categories[i].text, text, size) == 0)
            return (int)i;
    *ret_why = "no category";
    return -1;
}

const char *ce_category_set(struct ce_cell *cell, size_t category)
{
    const struct ce_category *to = &cell->profile->categories[category];
    double old, new;
    /* A number stays one where formats tell numbers from texts. */
    if (ce_cell_number(cell, &old) && ce_text_number(to->text, &new) == 0)
        return ce_cell_set_number(cell, new, CE_FIT_NEAREST);
    return ce_cell_set_text(cell, to->text, to->size);
}

/* Among all but `own`. */
static size_t draw_by_frequency(const struct ce_column_profile *column, size_t own, uint64_t word)
{
    uint64_t total = 0;
    size_t last = own;
    for (size_t i = 0; i < column->category_count; i++)
        total += i == own ? 0 : column->categories[i].count;
    uint64_t left = ce_below(word, total);
    for (size_t i = 0; i < column->category_count; i++) {
        if (i == own)
            continue;
        last = i;
        if (left < column->categories[i].count)
            break;
        left -= column->categories[i].count;
    }
    return last;
}

const char *ce_garble_category(struct ce_cell *cell, enum ce_weighing weighing)
{
    const struct ce_column_profile *column = cell->profile;
    const char *why = NULL;
    int own = ce_category_of(cell, &why);
    uint64_t words[2];
    if (own < 0)
        return why;
    if (column->category_count < 2)
        return "no other category";
    ce_cell_draw(cell, words);
    size_t to = weighing == CE_WEIGH_FREQUENCY ? draw_by_frequency(column, (size_t)own, words[0])
                                               : ce_below(words[0], column->category_count - 1);
    if (weighing == CE_WEIGH_UNIFORM && to >= (size_t)own)
        to++;
    return ce_category_set(cell, to);
}
