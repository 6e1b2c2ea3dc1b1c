/* SPDX-License-Identifier: MIT */
/* The blast radius: who lies within, as a function of the seed. */
#include "controller/blast.h"

#include "base/cleanup.h"
#include "check.h"
#include "data/selection.h"

static struct ce_radius share_of(double share, uint64_t seed)
{
    return (struct ce_radius){.kind = CE_RADIUS_SHARE, .seed = seed, .share = share};
}

static struct ce_radius count_of(uint64_t count, uint64_t seed)
{
    return (struct ce_radius){.kind = CE_RADIUS_COUNT, .seed = seed, .count = count};
}

static struct ce_radius stated(int mode, double value, uint64_t seed)
{
    const struct ce_blast_spec spec = {
        .given = true, .of = CE_BLAST_REQUESTS, .mode = mode, .value = value};
    return ce_blast_radius(&spec, seed);
}

/* ---- what is stated ---- */

static void modes_become_shares_and_counts(void)
{
    CHECK(stated(CE_BLAST_ALL, 0, 1).kind == CE_RADIUS_ALL);
    CHECK(stated(CE_BLAST_ONE, 0, 1).kind == CE_RADIUS_COUNT);
    CHECK(stated(CE_BLAST_ONE, 0, 1).count == 1);
    CHECK(stated(CE_BLAST_FIXED, 12, 1).count == 12);
    CHECK(stated(CE_BLAST_PERCENT, 30, 1).kind == CE_RADIUS_SHARE);
    CHECK(stated(CE_BLAST_PERCENT, 30, 1).share == 0.3);
}

static void a_random_share_is_drawn_evenly_up_to_its_bound(void)
{
    double sum = 0, largest = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct ce_radius radius = stated(CE_BLAST_RANDOM_MAX_PERCENT, 40, seed);
        CHECK(radius.share >= 0 && radius.share < 0.4);
        CHECK(radius.share == stated(CE_BLAST_RANDOM_MAX_PERCENT, 40, seed).share);
        sum += radius.share;
        largest = radius.share > largest ? radius.share : largest;
    }
    CHECK(sum / 1000 > 0.19 && sum / 1000 < 0.21);
    CHECK(largest > 0.39);
}

/* ---- what is numbered ---- */

static uint64_t size_of(struct ce_radius radius, uint64_t of)
{
    struct ce_radius_set set = ce_radius_set(&radius, "rows", of);
    uint64_t within = 0;
    for (uint64_t i = 0; i < of; i++)
        within += ce_radius_rank(&set, i) < set.size;
    CHECK(within == set.size);
    CHECK(ce_radius_rank(&set, of) >= set.size);
    return set.size;
}

static void exactly_so_many_are_chosen(void)
{
    CHECK(size_of((struct ce_radius){.seed = 7}, 1000) == 1000);
    CHECK(size_of(share_of(0.3, 7), 1000) == 300);
    CHECK(size_of(share_of(0.5, 7), 3) == 2);
    CHECK(size_of(share_of(0.001, 7), 10) == 1); /* one at least */
    CHECK(size_of(share_of(1, 7), 10) == 10);
    CHECK(size_of(count_of(3, 7), 4) == 3);
    CHECK(size_of(count_of(9, 7), 4) == 4);
    CHECK(size_of(count_of(3, 7), 0) == 0);
    CHECK(size_of(share_of(0.5, 7), 0) == 0);
}

static void a_smaller_set_is_part_of_a_larger_one(void)
{
    struct ce_radius few = count_of(10, 7), many = share_of(0.2, 7);
    struct ce_radius_set small = ce_radius_set(&few, "rows", 100);
    struct ce_radius_set large = ce_radius_set(&many, "rows", 100);
    for (uint64_t i = 0; i < 100; i++)
        if (ce_radius_rank(&small, i) < small.size)
            CHECK(ce_radius_rank(&large, i) < large.size);
}

static void every_one_of_a_few_is_chosen_as_often(void)
{
    enum { OF = 4, SEEDS = 4000 };
    int chosen[OF] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct ce_radius one = count_of(1, seed);
        struct ce_radius_set set = ce_radius_set(&one, "processes", OF);
        for (uint64_t i = 0; i < OF; i++)
            chosen[i] += ce_radius_rank(&set, i) == 0;
    }
    for (int i = 0; i < OF; i++) /* 1000 are expected, with a deviation of 27 */
        CHECK(chosen[i] > 860 && chosen[i] < 1140);
}

/* ---- requests ---- */

static int requests_within(struct ce_radius radius)
{
    int within = 0;
    for (int i = 0; i < 10000; i++) {
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        within += ce_radius_has(&radius, id);
    }
    return within;
}

static void requests_are_drawn_by_their_ids(void)
{
    int tenth = requests_within(share_of(0.1, 7));
    CHECK(tenth > 850 && tenth < 1150);
    CHECK(requests_within(share_of(1, 7)) == 10000);
    CHECK(requests_within(count_of(3, 7)) == 10000); /* those are counted, not drawn */
    struct ce_radius few = share_of(0.1, 7), many = share_of(0.5, 7), other = share_of(0.1, 8);
    int differs = 0;
    for (int i = 0; i < 1000; i++) {
        char id[16], again[16];
        snprintf(id, sizeof id, "f-%d", i);
        snprintf(again, sizeof again, "f-%d.2", i);
        CHECK(!ce_radius_has(&few, id) || ce_radius_has(&many, id));
        CHECK(ce_radius_has(&few, id) == ce_radius_has(&few, again));
        differs += ce_radius_has(&few, id) != ce_radius_has(&other, id);
    }
    CHECK(differs > 0);
}

/* ---- rows of a table ---- */

CE_DEFINE_CLEANUP(struct ce_selection, ce_selection_free);

enum { ROWS = 5000 };

/* Which rows are hit, and how many are eligible. */
static uint64_t select_rows(const struct ce_radius *radius, double rate, bool exact,
                            bool ret_hits[ROWS])
{
    static const char *const names[] = {"a"};
    CE_CLEANUP(ce_selection_free_p) struct ce_selection *selection = NULL;
    struct ce_column_profile column = {.name = (char *)names[0], .numeric = true, .cells = ROWS};
    const struct ce_profile profile = {.rows = ROWS, .column_count = 1, .columns = &column};
    const struct ce_mutation mutation = {
        .fault = "test",
        .seed = 7,
        .scope = {.rate = rate, .exact = exact, .radius = radius},
    };
    struct ce_error err;
    uint64_t eligible = 0;
    if (ce_selection_new(&mutation, &profile, names, "t.csv", &selection, &err) < 0)
        return 0;
    CHECK(ce_selection_by_value(selection));
    for (uint64_t i = 0; i < ROWS; i++) {
        struct ce_row row = {.ordinal = i};
        eligible += ce_selection_row(selection, &row, &ret_hits[i]);
    }
    return eligible;
}

static uint64_t count_hits(const bool hits[ROWS])
{
    uint64_t count = 0;
    for (size_t i = 0; i < ROWS; i++)
        count += hits[i];
    return count;
}

static void rows_beyond_the_radius_are_not_eligible(void)
{
    static bool all[ROWS], half[ROWS];
    const struct ce_radius radius = share_of(0.1, 7);
    CHECK(select_rows(&radius, 1, false, all) == ROWS / 10);
    CHECK(count_hits(all) == ROWS / 10);
    CHECK(select_rows(&radius, 0.5, false, half) == ROWS / 10);
    CHECK(count_hits(half) > ROWS / 20 - 60 && count_hits(half) < ROWS / 20 + 60);
    for (size_t i = 0; i < ROWS; i++)
        CHECK(!half[i] || all[i]);
}

static void exact_counts_are_of_the_rows_within(void)
{
    static bool hits[ROWS], all[ROWS];
    const struct ce_radius radius = count_of(200, 7);
    CHECK(select_rows(&radius, 1, true, all) == 200);
    CHECK(count_hits(all) == 200);
    CHECK(select_rows(&radius, 0.25, true, hits) == 200);
    CHECK(count_hits(hits) == 50);
    for (size_t i = 0; i < ROWS; i++)
        CHECK(!hits[i] || all[i]);
}

int main(void)
{
    TEST(modes_become_shares_and_counts);
    TEST(a_random_share_is_drawn_evenly_up_to_its_bound);
    TEST(exactly_so_many_are_chosen);
    TEST(a_smaller_set_is_part_of_a_larger_one);
    TEST(every_one_of_a_few_is_chosen_as_often);
    TEST(requests_are_drawn_by_their_ids);
    TEST(rows_beyond_the_radius_are_not_eligible);
    TEST(exact_counts_are_of_the_rows_within);
    return test_done();
}
