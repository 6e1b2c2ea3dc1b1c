/* SPDX-License-Identifier: MIT */
#include "data/align.h"

#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 32, /* rows of each table that are aligned at first */
    LARGE = 128,
    RUN = 16,    /* pairs that tell whether rows belong together */
    ENOUGH = 4,  /* ... when they agree strongly and have many cells: the next shift may be near */
    MEMORY = 64, /* pairs over which the usual agreement is averaged, and for which weights hold */
};
#define CLEARLY  0.25 /* a difference in agreement that means something */
#define STRONGLY 0.5
#define BETTER   0.35 /* a gain in agreement, for each pair, that chance does not make */
#define PROOF    1.5  /* ... and what it must come to, where more rows follow */
#define GAP      0.03 /* what a row without a partner costs, in pairs that agree wholly */
#define FLOOR    0.01 /* weight of a cell in a column that does not vary, before scaling */
#define MANY     4.0  /* cells of full weight */

int ce_align_init(struct ce_align *align, size_t cells, struct ce_error *err)
{
    align->cells = cells;
    align->usual = 1;
    align->a.hashes = calloc(CE_ALIGN_RING * (cells + 1), sizeof *align->a.hashes);
    align->b.hashes = calloc(CE_ALIGN_RING * (cells + 1), sizeof *align->b.hashes);
    align->weights = calloc(cells + 1, sizeof *align->weights);
    align->scores = calloc((LARGE + 1) * (LARGE + 1), sizeof *align->scores);
    bool good = align->a.hashes && align->b.hashes && align->weights && align->scores;
    return good ? 0 : ce_fail_memory(err);
}

void ce_align_done(struct ce_align *align)
{
    free(align->a.hashes);
    free(align->b.hashes);
    free(align->weights);
    free(align->scores);
}

const uint64_t *ce_align_row(const struct ce_align *align, const struct ce_align_side *side,
                             uint64_t row)
{
    return side->hashes + row % CE_ALIGN_RING * align->cells;
}

/* Makes sure that `count` rows are there, if the table has them; *ret_count: how many are, at most
 * that many. */
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
    *ret_count = side->end - side->begin < count ? side->end - side->begin : count;
    return 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- agreement ---- */

static bool rows_are_equal(const struct ce_align *align, uint64_t ahead_a, uint64_t ahead_b)
{
    return memcmp(ce_align_row(align, &align->a, align->a.begin + ahead_a),
                  ce_align_row(align, &align->b, align->b.begin + ahead_b),
                  align->cells * sizeof(uint64_t)) == 0;
}

/* 0..1 */
static double agreement(const struct ce_align *align, uint64_t ahead_a, uint64_t ahead_b)
{
    const uint64_t *a = ce_align_row(align, &align->a, align->a.begin + ahead_a);
    const uint64_t *b = ce_align_row(align, &align->b, align->b.begin + ahead_b);
    double sum = 0;
    for (size_t i = 0; i < align->cells; i++)
        sum += a[i] == b[i] ? align->weights[i] : 0;
    return sum;
}

static int weigh(struct ce_align *align, struct ce_error *err)
{
    uint64_t count;
    double sum = 0;
    CE_TRY(look(align, &align->a, SMALL, &count, err));
    if (align->a.begin < align->weighed_until)
        return 0;
    for (size_t i = 0; i < align->cells; i++) {
        size_t varied = 0;
        for (uint64_t row = align->a.begin + 1; row < align->a.begin + count; row++)
            varied += ce_align_row(align, &align->a, row)[i] !=
                      ce_align_row(align, &align->a, row - 1)[i];
        align->weights[i] = FLOOR + (count > 1 ? (double)varied / (double)(count - 1) : 1);
        sum += align->weights[i];
    }
    for (size_t i = 0; i < align->cells; i++)
        align->weights[i] /= sum;
    align->weighed_until = align->a.begin + MEMORY;
    return 0;
}

/* Whether the pairs that follow agree clearly less than usual, or less than pairs should. */
static int agree_badly(struct ce_align *align, bool *ret_badly, struct ce_error *err)
{
    uint64_t count_a, count_b;
    double sum = 0;
    CE_TRY(look(align, &align->a, RUN, &count_a, err));
    CE_TRY(look(align, &align->b, RUN, &count_b, err));
    uint64_t pairs = least(count_a, count_b);
    for (uint64_t i = 0; i < pairs; i++)
        sum += agreement(align, i, i);
    double enough = align->usual - CLEARLY > STRONGLY ? align->usual - CLEARLY : STRONGLY;
    *ret_badly = sum < enough * (double)pairs;
    return 0;
}

/* ---- aligning the rows ahead ---- */

/* What the best way through the rows from (i, j) on scores. */
static float *score_at(const struct ce_align *align, uint64_t i, uint64_t j)
{
    return &align->scores[i * (LARGE + 1) + j];
}

enum step { PAIR, REMOVE, ADD };

static enum step best_step(const struct ce_align *align, uint64_t i, uint64_t j, float pair)
{
    float remove = *score_at(align, i + 1, j) - (float)GAP;
    float add = *score_at(align, i, j + 1) - (float)GAP;
    if (pair >= remove && pair >= add)
        return PAIR;
    return remove >= add ? REMOVE : ADD;
}

/* From the end backwards; the rows that are left when one side is used up cost nothing. */
static void fill_scores(const struct ce_align *align, uint64_t n, uint64_t m)
{
    for (uint64_t i = 0; i <= n; i++)
        *score_at(align, i, m) = 0;
    for (uint64_t j = 0; j <= m; j++)
        *score_at(align, n, j) = 0;
    for (uint64_t i = n; i-- > 0;)
        for (uint64_t j = m; j-- > 0;) {
            float pair = *score_at(align, i + 1, j + 1) + (float)agreement(align, i, j);
            enum step step = best_step(align, i, j, pair);
            *score_at(align, i, j) = step == PAIR     ? pair
                                     : step == REMOVE ? *score_at(align, i + 1, j) - (float)GAP
                                                      : *score_at(align, i, j + 1) - (float)GAP;
        }
}

static void go(const struct ce_align *align, uint64_t *i, uint64_t *j, enum step *ret_step)
{
    float pair = *score_at(align, *i + 1, *j + 1) + (float)agreement(align, *i, *j);
    *ret_step = best_step(align, *i, *j, pair);
    *i += *ret_step != ADD;
    *j += *ret_step != REMOVE;
}

/* Rows of one table alone that the best way has before its first pair. */
static void count_alone(const struct ce_align *align, uint64_t n, uint64_t m, uint64_t *ret_removed,
                        uint64_t *ret_added)
{
    uint64_t i = 0, j = 0;
    enum step step = REMOVE;
    while (step != PAIR && i < n && j < m)
        go(align, &i, &j, &step);
    *ret_removed = i - (step == PAIR);
    *ret_added = j - (step == PAIR);
}

/* Whether the best way agrees clearly better than pairing the rows as they come: up to where it is
 * back at that, or to the last good pair before a side ends. */
static bool is_better(const struct ce_align *align, uint64_t n, uint64_t m)
{
    uint64_t i = 0, j = 0, used = 0;
    enum step step;
    do {
        go(align, &i, &j, &step);
        if (step == PAIR && agreement(align, i - 1, j - 1) >= STRONGLY)
            used = least(i, j);
    } while (i != j && i < n && j < m);
    double gain = (double)(*score_at(align, 0, 0) - *score_at(align, i, j));
    for (uint64_t k = 0; k < used; k++)
        gain -= agreement(align, k, k);
    bool last = (i == n && align->a.ended) || (j == m && align->b.ended);
    return gain > 0 && gain >= BETTER * (double)used && (last || gain >= PROOF);
}

/* Rows of one table alone that come next. *ret_sure: what follows has been found to agree; where it
 * does not, they are none. */
static int align_ahead(struct ce_align *align, uint64_t size, uint64_t *ret_removed,
                       uint64_t *ret_added, bool *ret_sure, struct ce_error *err)
{
    uint64_t n, m;
    CE_TRY(look(align, &align->a, size, &n, err));
    CE_TRY(look(align, &align->b, size, &m, err));
    fill_scores(align, n, m);
    count_alone(align, n, m, ret_removed, ret_added);
    if (*ret_removed + *ret_added == 0) {
        *ret_sure = (double)*score_at(align, 0, 0) >= STRONGLY * (double)least(n, m);
        return 0;
    }
    *ret_sure = is_better(align, n, m);
    if (!*ret_sure)
        *ret_removed = *ret_added = 0;
    return 0;
}

/* ---- longer blocks ---- */

/* Whether leaving out that many rows makes the rest agree clearly better. */
static int try_shift(struct ce_align *align, uint64_t shift_a, uint64_t shift_b, bool *ret_better,
                     struct ce_error *err)
{
    uint64_t count_a, count_b;
    double gain = 0, heaviest = 0;
    *ret_better = false;
    CE_TRY(look(align, &align->a, shift_a + RUN, &count_a, err));
    CE_TRY(look(align, &align->b, shift_b + RUN, &count_b, err));
    if (count_a <= shift_a || count_b <= shift_b || agreement(align, shift_a, shift_b) < STRONGLY)
        return 0;
    uint64_t pairs = least(count_a - shift_a, count_b - shift_b);
    for (size_t i = 0; i < align->cells; i++)
        heaviest = align->weights[i] > heaviest ? align->weights[i] : heaviest;
    bool many = heaviest * MANY <= 1;
    for (uint64_t i = 0; i < pairs && !*ret_better; i++) {
        gain += agreement(align, shift_a + i, shift_b + i) - agreement(align, i, i);
        *ret_better = many && i + 1 >= ENOUGH && gain >= STRONGLY * (double)(i + 1);
    }
    if (gain >= STRONGLY * (double)pairs && pairs >= least(ENOUGH, least(count_a, count_b)))
        *ret_better = pairs >= ENOUGH || rows_are_equal(align, shift_a, shift_b);
    return 0;
}

static int find_block(struct ce_align *align, uint64_t *ret_removed, uint64_t *ret_added,
                      bool *ret_found, struct ce_error *err)
{
    *ret_found = false;
    for (uint64_t shift = 1; shift <= CE_ALIGN_WINDOW && !*ret_found; shift++) {
        CE_TRY(try_shift(align, 0, shift, ret_found, err));
        if (*ret_found) {
            *ret_added = shift;
            return 0;
        }
        CE_TRY(try_shift(align, shift, 0, ret_found, err));
        if (*ret_found)
            *ret_removed = shift;
    }
    return 0;
}

/* How many rows are in one of the tables alone before the next pair. */
static int find_shift(struct ce_align *align, uint64_t *ret_removed, uint64_t *ret_added,
                      struct ce_error *err)
{
    bool badly, sure;
    if (rows_are_equal(align, 0, 0) || align->a.begin < align->no_search_before)
        return 0;
    CE_TRY(weigh(align, err));
    CE_TRY(agree_badly(align, &badly, err));
    sure = !badly;
    if (badly || agreement(align, 0, 0) < STRONGLY)
        CE_TRY(align_ahead(align, SMALL, ret_removed, ret_added, &sure, err));
    if (badly && !sure)
        CE_TRY(align_ahead(align, LARGE, ret_removed, ret_added, &sure, err));
    if (badly && !sure)
        CE_TRY(find_block(align, ret_removed, ret_added, &sure, err));
    align->patience = badly && !sure ? least(2 * align->patience + 1, CE_ALIGN_WINDOW) : 0;
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
        double share = rows_are_equal(align, 0, 0) ? 1 : agreement(align, 0, 0);
        align->usual += (share - align->usual) / MEMORY;
        align->a.begin++;
        align->b.begin++;
    }
    align->a.begin += *ret_removed;
    align->b.begin += *ret_added;
    return 1;
}
