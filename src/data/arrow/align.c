/* SPDX-License-Identifier: MIT */
#include "data/arrow/align.h"

#include <stdlib.h>
#include <string.h>

enum {
    NEAR = 64,
    RUN = 16,    /* pairs that tell whether a shift is right */
    MEMORY = 64, /* pairs over which the usual agreement is averaged */
};
#define CLEARLY  0.25 /* a difference in the share of equal cells that means something */
#define STRONG   0.5  /* ... that does after EVIDENCE cells: the next shift may be near */
#define EVIDENCE 8
#define HALF     0.5

int ce_align_init(struct ce_align *align, size_t cells, struct ce_error *err)
{
    align->cells = cells;
    align->usual = 1;
    align->a.hashes = calloc(CE_ALIGN_RING * (cells + 1), sizeof *align->a.hashes);
    align->b.hashes = calloc(CE_ALIGN_RING * (cells + 1), sizeof *align->b.hashes);
    return align->a.hashes && align->b.hashes ? 0 : ce_fail_memory(err);
}

void ce_align_done(struct ce_align *align)
{
    free(align->a.hashes);
    free(align->b.hashes);
}

const uint64_t *ce_align_row(const struct ce_align *align, const struct ce_align_side *side,
                             uint64_t row)
{
    return side->hashes + row % CE_ALIGN_RING * align->cells;
}

/* Makes sure that `count` rows are there, if the table has them; *ret_count: how many are. */
static int look(struct ce_align *align, struct ce_align_side *side, uint64_t count,
                uint64_t *ret_count, struct ce_error *err)
{
    while (side->end - side->begin < count && !side->ended) {
        uint64_t *row = side->hashes + side->end % CE_ALIGN_RING * align->cells;
        int got = side->next(side->ctx, row, err);
        if (got < 0)
            return got;
        side->end += got > 0;
        side->ended = got == 0;
    }
    *ret_count = side->end - side->begin;
    return 0;
}

static size_t equal_cells(const struct ce_align *align, uint64_t ahead_a, uint64_t ahead_b)
{
    const uint64_t *a = ce_align_row(align, &align->a, align->a.begin + ahead_a);
    const uint64_t *b = ce_align_row(align, &align->b, align->b.begin + ahead_b);
    size_t equal = 0;
    for (size_t i = 0; i < align->cells; i++)
        equal += a[i] == b[i];
    return equal;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How many pairs of a run there are under a shift. */
static int count_pairs(struct ce_align *align, uint64_t ahead_a, uint64_t ahead_b,
                       uint64_t *ret_pairs, struct ce_error *err)
{
    uint64_t count_a, count_b;
    CE_TRY(look(align, &align->a, ahead_a + RUN, &count_a, err));
    CE_TRY(look(align, &align->b, ahead_b + RUN, &count_b, err));
    *ret_pairs = count_a <= ahead_a || count_b <= ahead_b
                     ? 0
                     : least(RUN, least(count_a - ahead_a, count_b - ahead_b));
    return 0;
}

/* Whether the pairs that follow agree clearly less than usual, or less than pairs should. */
static int agree_badly(struct ce_align *align, bool *ret_badly, struct ce_error *err)
{
    uint64_t pairs;
    size_t equal = 0;
    CE_TRY(count_pairs(align, 0, 0, &pairs, err));
    for (uint64_t i = 0; i < pairs; i++)
        equal += equal_cells(align, i, i);
    double least_share = align->usual - CLEARLY > HALF ? align->usual - CLEARLY : HALF;
    *ret_badly = (double)equal < least_share * (double)(pairs * align->cells);
    return 0;
}

/* Whether the row is like none of those that follow it in its table. */
static bool is_distinctive(const struct ce_align *align, const struct ce_align_side *side,
                           uint64_t ahead)
{
    const uint64_t *row = ce_align_row(align, side, side->begin + ahead);
    uint64_t count = least(side->end - side->begin, ahead + RUN);
    for (uint64_t other = ahead + 1; other < count; other++)
        if (memcmp(ce_align_row(align, side, side->begin + other), row,
                   align->cells * sizeof *row) == 0)
            return false;
    return true;
}

/* Whether leaving out that many rows makes the rest agree clearly better. */
static int try_shift(struct ce_align *align, uint64_t shift_a, uint64_t shift_b, bool *ret_better,
                     struct ce_error *err)
{
    uint64_t count_a, count_b, pairs;
    *ret_better = false;
    CE_TRY(look(align, &align->a, shift_a + 1, &count_a, err));
    CE_TRY(look(align, &align->b, shift_b + 1, &count_b, err));
    if (count_a <= shift_a || count_b <= shift_b ||
        2 * equal_cells(align, shift_a, shift_b) < align->cells)
        return 0;
    CE_TRY(count_pairs(align, shift_a, shift_b, &pairs, err));
    *ret_better = equal_cells(align, shift_a, shift_b) == align->cells &&
                  is_distinctive(align, &align->a, shift_a) &&
                  is_distinctive(align, &align->b, shift_b);
    double gain = 0, cells = 0;
    for (uint64_t i = 0; i < pairs && !*ret_better; i++) {
        gain +=
            (double)equal_cells(align, shift_a + i, shift_b + i) - (double)equal_cells(align, i, i);
        cells += (double)align->cells;
        *ret_better = cells >= EVIDENCE && gain >= STRONG * cells;
    }
    *ret_better |= cells >= EVIDENCE && gain >= CLEARLY * cells; /* to the end of the run */
    return 0;
}

/* How many rows are in one of the tables alone before the next pair. */
static int find_shift(struct ce_align *align, uint64_t *ret_removed, uint64_t *ret_added,
                      struct ce_error *err)
{
    bool badly, better;
    size_t equal = equal_cells(align, 0, 0);
    if (equal == align->cells || align->a.begin < align->no_search_before)
        return 0;
    /* a pair that agrees halfway may still be a pair: it is not worth a long search */
    uint64_t window = 2 * equal < align->cells ? CE_ALIGN_WINDOW : NEAR;
    CE_TRY(agree_badly(align, &badly, err));
    if (!badly) {
        align->patience = 0;
        return 0;
    }
    for (uint64_t shift = 1; shift <= window; shift++) {
        CE_TRY(try_shift(align, 0, shift, &better, err));
        if (better) {
            *ret_added = shift;
            return 0;
        }
        CE_TRY(try_shift(align, shift, 0, &better, err));
        if (better) {
            *ret_removed = shift;
            return 0;
        }
    }
    if (window < CE_ALIGN_WINDOW)
        return 0;
    align->patience = least(2 * align->patience + 1, CE_ALIGN_WINDOW);
    align->no_search_before = align->a.begin + align->patience;
    return 0;
}

int ce_align_next(struct ce_align *align, uint64_t *ret_removed, uint64_t *ret_added,
                  struct ce_error *err)
{
    uint64_t count_a, count_b;
    *ret_removed = *ret_added = 0;
    CE_TRY(look(align, &align->a, 1, &count_a, err));
    CE_TRY(look(align, &align->b, 1, &count_b, err));
    if (count_a == 0 && count_b == 0)
        return 0;
    if (count_a == 0 || count_b == 0) {
        *ret_removed = count_a;
        *ret_added = count_b;
    } else {
        CE_TRY(find_shift(align, ret_removed, ret_added, err));
    }
    if (*ret_removed == 0 && *ret_added == 0) {
        double share =
            align->cells == 0 ? 1 : (double)equal_cells(align, 0, 0) / (double)align->cells;
        align->usual += (share - align->usual) / MEMORY;
        align->a.begin++;
        align->b.begin++;
    }
    align->a.begin += *ret_removed;
    align->b.begin += *ret_added;
    return 1;
}
