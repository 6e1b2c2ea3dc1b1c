/* SPDX-License-Identifier: MIT */
#include "data/window.h"

#include <math.h>

#include "data/stats/sketch.h"
#include "data/stats/value.h"

struct ce_share ce_share_of(double share)
{
    /* u < x is u < ceil(x) for whole u; scaling by a power of two is exact. */
    return share >= 1 ? (struct ce_share){.all = true}
                      : (struct ce_share){.below = share > 0 ? (uint64_t)ceil(share * 0x1p64) : 0};
}

/* ---- ranks ---- */

/* The step that holds the rank: a number between 0 and the count. */
static size_t step_at(const struct ce_sketch *sketch, double rank)
{
    size_t low = 0, high = sketch->size - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((double)sketch->steps[middle].upto > rank)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Which part of the step's ranks lies within from .. to. */
static struct ce_share share_of_step(const struct ce_sketch *sketch, size_t step, double from,
                                     double to)
{
    double begin = step > 0 ? (double)sketch->steps[step - 1].upto : 0;
    double end = (double)sketch->steps[step].upto;
    return ce_share_of((fmin(to, end) - fmax(from, begin)) / (end - begin));
}

struct ce_window ce_window_init(const struct ce_profile *profile, size_t column, double rate,
                                double start)
{
    const struct ce_column_profile *of = &profile->columns[column];
    const struct ce_sketch *sketch = of->sketch;
    struct ce_window window = {.column = column, .type = of->type, .last = -INFINITY};
    if (rate <= 0 || !sketch || of->cells <= of->missing)
        return window;

    /* Ranks are those of the sketch, which has only the values that are there. */
    double present = (double)(of->cells - of->missing), count = (double)sketch->count;
    double width = fmin(1, rate * fmax((double)profile->rows, present) / present);
    double from = start * (1 - width) * count, to = from + width * count;
    size_t first = step_at(sketch, from), last = step_at(sketch, to);
    window.before_first = first > 0 ? sketch->steps[first - 1].value : -INFINITY;
    window.before_last = last > 0 ? sketch->steps[last - 1].value : -INFINITY;
    window.first = first + 1 < sketch->size ? sketch->steps[first].value : INFINITY;
    window.last = last + 1 < sketch->size ? sketch->steps[last].value : INFINITY;
    window.of_first = share_of_step(sketch, first, from, to);
    window.of_last = share_of_step(sketch, last, from, to);
    return window;
}

/* ---- rows ---- */

/* The cell's value as the sketch of its column has it. */
static bool value_of(enum ce_column_type type, struct ce_cell *cell, double *ret_value)
{
    if (ce_cell_missing(cell))
        return false;
    if (type == CE_TYPE_INTEGER || type == CE_TYPE_NUMBER)
        return ce_cell_number(cell, ret_value);
    size_t size;
    const char *text = ce_cell_text(cell, &size);
    if (!text)
        return false;
    if (type == CE_TYPE_TIME)
        return ce_value_time(text, size, ret_value);
    *ret_value = ce_value_order(text, size);
    return true;
}

struct ce_share ce_window_share(const struct ce_window *window, struct ce_row *row,
                                struct ce_window_value *seen)
{
    if (!seen->read || seen->column != window->column) {
        struct ce_cell cell;
        ce_row_cell(row, window->column, &cell);
        seen->read = true;
        seen->column = window->column;
        seen->some = value_of(window->type, &cell, &seen->value);
    }
    if (!seen->some || seen->value <= window->before_first || seen->value > window->last)
        return (struct ce_share){0};
    if (seen->value <= window->first)
        return window->of_first;
    return seen->value <= window->before_last ? (struct ce_share){.all = true} : window->of_last;
}
