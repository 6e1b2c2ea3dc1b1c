/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "base/cleanup.h"
#include "check.h"
#include "data/columns.h"
#include "data/permutation.h"
#include "data/select_mask.h"
#include "data/selection.h"
#include "data/stats/sketch.h"
#include "memory_rows.h"

CE_DEFINE_CLEANUP(struct ce_selection, ce_selection_free);
#define SELECTION CE_CLEANUP(ce_selection_free_p) struct ce_selection

/* ---- a table ---- */

static bool takes_numeric(const void *ctx, const struct ce_column_profile *column)
{
    return column->numeric;
}

static const char *const names[] = {"age", "f1", "f2", "city", "f1", "label"};
enum { AGE, F1, F2, CITY, SECOND_F1, LABEL, COLUMNS };

struct table {
    struct ce_profile profile;
    struct ce_column_profile columns[COLUMNS];
    struct ce_mutation mutation;
};

static struct table table_of(uint64_t rows, double rate)
{
    struct table table = {
        .profile = {.rows = rows, .column_count = COLUMNS},
        .mutation = {.fault = "test", .seed = 7, .takes = takes_numeric, .scope = {.rate = rate}},
    };
    for (size_t i = 0; i < COLUMNS; i++)
        table.columns[i] = (struct ce_column_profile){
            .name = (char *)names[i],
            .type = i == CITY ? CE_TYPE_TEXT : CE_TYPE_NUMBER,
            .numeric = i != CITY,
            .cells = rows,
        };
    return table;
}

static int table_select(struct table *table, struct ce_selection **ret_selection,
                        struct ce_error *err)
{
    table->profile.columns = table->columns;
    return ce_selection_new(&table->mutation, &table->profile, names, "t.csv", ret_selection, err);
}

/* The mutation acts on these columns. */
#define CHOOSE(table, ...)                                                                         \
    const char *chosen_[] = {__VA_ARGS__};                                                         \
    (table).mutation.scope.columns = (struct ce_names)                                             \
    {                                                                                              \
        (char **)chosen_, CE_COUNT(chosen_)                                                        \
    }

static bool bit(const uint64_t *mask, uint64_t row)
{
    return mask[row / 64] >> row % 64 & 1;
}

static uint64_t count_bits(const uint64_t *mask, size_t words)
{
    uint64_t count = 0;
    for (size_t i = 0; i < words; i++)
        count += (uint64_t)__builtin_popcountll(mask[i]);
    return count;
}

/* A binomial count lies within six of its standard deviations of the mean, but for one time in
 * 5e8: no seed had to be looked for. */
static bool likely(uint64_t hits, double n, double rate)
{
    return fabs((double)hits - n * rate) <= 6 * sqrt(n * rate * (1 - rate)) + 1;
}

/* ---- under mcar ---- */

static void every_variant_gives_the_same_bits(void)
{
    static const uint64_t blocks[] = {
        0, 1, 804, UINT64_C(1) << 23, UINT64_C(1) << 40, UINT64_MAX / CE_SELECT_BLOCK};
    static const uint16_t thresholds[] = {0, 1, 655, 32767, 32768, 65535};
    struct ce_stream stream = ce_stream_init(3, "test/select", "f1");
    for (size_t v = 0; ce_select_mask_variant(v); v++)
        for (size_t b = 0; b < CE_COUNT(blocks); b++)
            for (size_t t = 0; t < CE_COUNT(thresholds); t++) {
                uint64_t below[2][CE_SELECT_WORDS], equal[2][CE_SELECT_WORDS];
                ce_select_mask_variant(0)(&stream, blocks[b], thresholds[t], below[0], equal[0]);
                ce_select_mask_variant(v)(&stream, blocks[b], thresholds[t], below[1], equal[1]);
                CHECK(memcmp(below[0], below[1], sizeof below[0]) == 0);
                CHECK(memcmp(equal[0], equal[1], sizeof equal[0]) == 0);
            }
}

static void a_lane_is_sixteen_bits_of_its_draw(void)
{
    struct ce_stream stream = ce_stream_init(3, "test/select", "f1");
    uint64_t below[CE_SELECT_WORDS], equal[CE_SELECT_WORDS], words[2];
    ce_stream_draw(&stream, 512 + 2, words); /* rows 16..23 of block 1 */
    uint16_t lane = (uint16_t)(words[1] >> 16);
    ce_select_mask(&stream, 1, lane, below, equal);
    CHECK(bit(equal, 16 + 5) && !bit(below, 16 + 5));
    ce_select_mask(&stream, 1, (uint16_t)(lane + 1), below, equal);
    CHECK(!bit(equal, 16 + 5) && bit(below, 16 + 5));
}

static void a_block_says_what_single_units_say(void)
{
    /* The last two have an edge in the lower bits: units on it are decided by the finer draw. */
    static const double rates[] = {0, 1e-30, 1e-6, 0.001, 0.1, 0.5, 0.99999, 1, 0x1p-17, 0x1.8p-15};
    for (size_t i = 0; i < CE_COUNT(rates); i++) {
        SELECTION *selection = NULL;
        struct ce_error err = {0};
        struct table table = table_of(100, rates[i]);
        CHOOSE(table, "f2");
        REQUIRE_OK(table_select(&table, &selection, &err), err);
        for (uint64_t block = 0; block < 200; block += 40) {
            uint64_t mask[CE_SELECT_WORDS];
            ce_selection_block(selection, block, mask);
            for (uint64_t row = 0; row < CE_SELECT_BLOCK; row++)
                CHECK(bit(mask, row) ==
                      ce_unit_selected(7, "test", "f2", block * CE_SELECT_BLOCK + row, rates[i]));
        }
    }
}

static void the_finer_draw_decides_at_the_edge(void)
{
    /* With 2^-17 every hit is a lane of zero whose finer draw lies in the lower half. */
    uint64_t hits = 0, lanes = 0;
    struct ce_stream select = ce_stream_init(7, "test/select", "f2");
    for (uint64_t draw = 0; draw < 400000; draw++) {
        uint64_t words[2];
        ce_stream_draw(&select, draw, words);
        for (unsigned lane = 0; lane < 8; lane++) {
            if ((words[lane / 4] >> 16 * (lane % 4) & 0xffff) != 0)
                continue;
            lanes++;
            hits += ce_unit_selected(7, "test", "f2", 8 * draw + lane, 0x1p-17);
        }
    }
    CHECK(likely(lanes, 3.2e6, 0x1p-16));
    CHECK(likely(hits, (double)lanes, 0.5) && hits > 0);
}

static void shares_are_kept_and_units_are_independent(void)
{
    static const double rates[] = {0.0001, 0.01, 0.1, 0.5, 0.9};
    enum { BLOCKS = 60 };
    for (size_t i = 0; i < CE_COUNT(rates); i++) {
        SELECTION *selection = NULL;
        struct ce_error err = {0};
        struct table table = table_of(100, rates[i]);
        CHOOSE(table, "f2", "age", "#5");
        REQUIRE_OK(table_select(&table, &selection, &err), err);
        REQUIRE(ce_selection_count(selection) == 3);
        double n = (double)BLOCKS * CE_SELECT_BLOCK;
        uint64_t hits[3] = {0}, both = 0, neighbours = 0, lanes[8] = {0};
        for (uint64_t block = 0; block < BLOCKS; block++) {
            uint64_t masks[3][CE_SELECT_WORDS];
            ce_selection_block(selection, block, masks[0]);
            for (size_t c = 0; c < 3; c++)
                hits[c] += count_bits(masks[c], CE_SELECT_WORDS);
            for (size_t w = 0; w < CE_SELECT_WORDS; w++) {
                both += (uint64_t)__builtin_popcountll(masks[0][w] & masks[1][w]);
                neighbours += (uint64_t)__builtin_popcountll(masks[0][w] & masks[0][w] >> 1);
                for (unsigned lane = 0; lane < 8; lane++)
                    lanes[lane] += (uint64_t)__builtin_popcountll(
                        masks[2][w] & UINT64_C(0x0101010101010101) << lane);
            }
        }
        for (size_t c = 0; c < 3; c++)
            CHECK(likely(hits[c], n, rates[i]));
        CHECK(likely(both, n, rates[i] * rates[i]));
        CHECK(likely(neighbours, n * 63 / 64, rates[i] * rates[i]));
        for (unsigned lane = 0; lane < 8; lane++)
            CHECK(likely(lanes[lane], n / 8, rates[i]));
    }
}

static void a_higher_rate_hits_a_superset(void)
{
    static const double rates[] = {0, 1e-5, 0.001, 0.00100001, 0.04, 0.3, 0.8, 1};
    uint64_t before[CE_SELECT_WORDS] = {0};
    for (uint64_t block = 0; block < 20; block++)
        for (size_t i = 0; i < CE_COUNT(rates); i++) {
            SELECTION *selection = NULL;
            struct ce_error err = {0};
            uint64_t mask[CE_SELECT_WORDS];
            struct table table = table_of(100, rates[i]);
            CHOOSE(table, "f2");
            REQUIRE_OK(table_select(&table, &selection, &err), err);
            ce_selection_block(selection, block, mask);
            for (size_t w = 0; w < CE_SELECT_WORDS; w++)
                CHECK(i == 0 || (before[w] & ~mask[w]) == 0);
            memcpy(before, mask, sizeof before);
        }
}

/* ---- exact counts ---- */

static void a_permutation_meets_every_point_once(void)
{
    static const uint64_t sizes[] = {1, 2, 3, 5, 16, 97, 100, 4096, 10007};
    struct ce_stream key = ce_stream_init(1, "test", "");
    for (size_t i = 0; i < CE_COUNT(sizes); i++) {
        struct ce_permutation permutation = ce_permutation_init(&key, sizes[i]);
        ce_autofree bool *met = calloc(sizes[i], sizeof *met);
        REQUIRE(met);
        for (uint64_t point = 0; point < sizes[i]; point++) {
            uint64_t image = ce_permutation_at(&permutation, point);
            REQUIRE(image < sizes[i] && !met[image]);
            met[image] = true;
        }
    }
}

static void small_permutations_are_fair(void)
{
    /* Where each of ten points goes, over many keys. */
    enum { SIZE = 10, KEYS = 20000 };
    uint64_t met[SIZE][SIZE] = {{0}};
    for (uint64_t seed = 0; seed < KEYS; seed++) {
        struct ce_stream key = ce_stream_init(seed, "test", "");
        struct ce_permutation permutation = ce_permutation_init(&key, SIZE);
        for (uint64_t point = 0; point < SIZE; point++)
            met[point][ce_permutation_at(&permutation, point)]++;
    }
    for (size_t point = 0; point < SIZE; point++)
        for (size_t image = 0; image < SIZE; image++)
            CHECK(likely(met[point][image], KEYS, 1.0 / SIZE));
}

static void exact_hits_are_counted_and_nested(void)
{
    enum { ROWS = 10007, BLOCKS = 3 };
    static const double rates[] = {0, 0.00004, 0.00005, 0.01, 0.1, 0.25, 0.9, 1};
    static const uint64_t wants[] = {0, 0, 1, 100, 1001, 2502, 9006, ROWS};
    uint64_t before[BLOCKS][CE_SELECT_WORDS] = {{0}};
    for (size_t i = 0; i < CE_COUNT(rates); i++) {
        SELECTION *selection = NULL;
        struct ce_error err = {0};
        struct table table = table_of(ROWS, rates[i]);
        table.mutation.scope.exact = true;
        CHOOSE(table, "f1");
        REQUIRE_OK(table_select(&table, &selection, &err), err);
        uint64_t hits = 0;
        for (uint64_t block = 0; block < BLOCKS; block++) {
            uint64_t mask[CE_SELECT_WORDS];
            ce_selection_block(selection, block, mask);
            for (uint64_t row = 0; row < CE_SELECT_BLOCK; row++)
                hits += block * CE_SELECT_BLOCK + row < ROWS && bit(mask, row);
            for (size_t w = 0; w < CE_SELECT_WORDS; w++)
                CHECK((before[block][w] & ~mask[w]) == 0);
            memcpy(before[block], mask, sizeof mask);
        }
        CHECK(hits == wants[i]);
    }
}

static void exact_counts_refuse_what_they_cannot_keep(void)
{
    SELECTION *selection = NULL;
    struct ce_error err = {0};
    struct table table = table_of(100, 0.1);
    table.mutation.scope.exact = true;
    table.mutation.scope.where = "age > 3";
    CHECK(table_select(&table, &selection, &err) == -EINVAL);
    CHECK(strstr(err.message, "neither `where`") != NULL);
    table.mutation.scope.where = NULL;
    table.profile.partial = true;
    CHECK(table_select(&table, &selection, &err) == -EINVAL);
    CHECK(strstr(err.message, "only a part of 't.csv'") != NULL);
    unsigned stats = 0;
    REQUIRE_OK(ce_scope_needs(&table.mutation.scope, &stats, &err), err);
    CHECK(stats != 0);
}

/* ---- columns ---- */

static void columns_are_named_matched_or_counted(void)
{
    static const struct {
        const char *asked;
        unsigned want; /* bits of the columns */
        const char *says;
    } cases[] = {
        {"age", 1 << AGE, ""},
        {"f1", 1 << F1, ""}, /* the first of that name */
        {"f*", 1 << F1 | 1 << F2 | 1 << SECOND_F1, ""},
        {"f?", 1 << F1 | 1 << F2 | 1 << SECOND_F1, ""},
        {"[ac]*", 1 << AGE | 1 << CITY, ""},
        {"*", 1 << AGE | 1 << F1 | 1 << F2 | 1 << CITY | 1 << SECOND_F1, ""},
        {"label", 1 << LABEL, ""},
        {"#5", 1 << SECOND_F1, ""},
        {"#6", 1 << LABEL, ""},
        {"#0", 0, "its columns are #1 to #6"},
        {"#7", 0, "its columns are #1 to #6"},
        {"#x", 0, "its columns are #1 to #6"},
        {"g*", 0, "no column of 't.csv' matches 'g*'"},
        {"citi", 0, "'t.csv' has no column 'citi'; did you mean 'city'?"},
        {"xyzzy", 0,
         "'t.csv' has no column 'xyzzy'; its columns are: age, f1, f2, city, f1, label"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        const char *asked[] = {cases[i].asked};
        bool chosen[COLUMNS] = {false};
        int r = ce_columns_choose(names, COLUMNS, "t.csv", &(struct ce_names){(char **)asked, 1},
                                  "label", chosen, &err);
        CHECK(r == (cases[i].want == 0 ? -ENOENT : 0));
        CHECK_TEXT(strstr(err.message, cases[i].says) ? cases[i].says : err.message, cases[i].says);
        unsigned got = 0;
        for (size_t c = 0; c < COLUMNS; c++)
            got |= (unsigned)chosen[c] << c;
        CHECK(got == cases[i].want);
    }
}

static void a_column_that_is_gone_is_no_column(void)
{
    static const char *const left[] = {"a", NULL, "f*"};
    struct ce_error err = {0};
    bool chosen[3] = {false};
    const char *asked[] = {"*"}, *gone[] = {"#2"}, *glob[] = {"f*"};
    REQUIRE_OK(
        ce_columns_choose(left, 3, "t", &(struct ce_names){(char **)asked, 1}, NULL, chosen, &err),
        err);
    CHECK(chosen[0] && !chosen[1] && chosen[2]);
    CHECK(ce_columns_choose(left, 3, "t", &(struct ce_names){(char **)gone, 1}, NULL, chosen,
                            &err) == -ENOENT);
    CHECK_TEXT(err.message, "column '#2' of 't' has been removed");
    memset(chosen, 0, sizeof chosen); /* a whole name goes before what it would mean as a glob */
    REQUIRE_OK(
        ce_columns_choose(left, 3, "t", &(struct ce_names){(char **)glob, 1}, NULL, chosen, &err),
        err);
    CHECK(!chosen[0] && chosen[2]);
}

static void nobody_named_means_those_that_the_fault_takes(void)
{
    SELECTION *selection = NULL;
    struct ce_error err = {0};
    struct table table = table_of(100, 0.1);
    table.mutation.scope.except = "label";
    REQUIRE_OK(table_select(&table, &selection, &err), err);
    static const size_t want[] = {AGE, F1, F2, SECOND_F1};
    REQUIRE(ce_selection_count(selection) == CE_COUNT(want));
    for (size_t i = 0; i < CE_COUNT(want); i++)
        CHECK(ce_selection_column(selection, i) == want[i]);
}

static void names_decide_not_places(void)
{
    SELECTION *a = NULL, *b = NULL;
    struct ce_error err = {0};
    struct table table = table_of(100, 0.1);
    uint64_t masks_a[3][CE_SELECT_WORDS], mask_b[CE_SELECT_WORDS], draw_a[2], draw_b[2];
    CHOOSE(table, "f2", "f*");
    REQUIRE_OK(table_select(&table, &a, &err), err);
    REQUIRE(ce_selection_count(a) == 3);
    ce_selection_block(a, 5, masks_a[0]);

    static const char *const moved[] = {"f2", "x", NULL, "f1"};
    const char *asked[] = {"f2"};
    table.profile.column_count = CE_COUNT(moved);
    table.mutation.scope.columns = (struct ce_names){(char **)asked, 1};
    REQUIRE_OK(ce_selection_new(&table.mutation, &table.profile, moved, "t", &b, &err), err);
    REQUIRE(ce_selection_count(b) == 1 && ce_selection_column(b, 0) == 0);
    ce_selection_block(b, 5, mask_b);
    CHECK(memcmp(masks_a[1], mask_b, sizeof mask_b) == 0);
    ce_stream_draw(ce_selection_draws(a, 1), 9, draw_a);
    ce_stream_draw(ce_selection_draws(b, 0), 9, draw_b);
    CHECK(memcmp(draw_a, draw_b, sizeof draw_a) == 0);

    /* Two columns of one name are hit independently; the streams are those the names say. */
    CHECK(memcmp(masks_a[0], masks_a[2], sizeof masks_a[0]) != 0);
    struct ce_stream draws = ce_stream_init(7, "test/value", "f1#2");
    CHECK(memcmp(&draws, ce_selection_draws(a, 2), sizeof draws) == 0);
    for (uint64_t row = 0; row < CE_SELECT_BLOCK; row++)
        CHECK(bit(masks_a[2], row) ==
              ce_unit_selected(7, "test", "f1#2", 5 * CE_SELECT_BLOCK + row, 0.1));
}

static void rows_have_one_unit(void)
{
    SELECTION *selection = NULL;
    struct ce_error err = {0};
    struct table table = table_of(100, 0.05);
    table.mutation.kind = CE_MUTATE_ROWS;
    REQUIRE_OK(table_select(&table, &selection, &err), err);
    CHECK(ce_selection_count(selection) == 1 && !ce_selection_by_value(selection));
    uint64_t mask[CE_SELECT_WORDS];
    ce_selection_block(selection, 2, mask);
    CHECK(likely(count_bits(mask, CE_SELECT_WORDS), CE_SELECT_BLOCK, 0.05));
    table.mutation.scope.mechanism = CE_MNAR;
    CHECK(table_select(&table, &selection, &err) == -EINVAL);
    CHECK(strstr(err.message, "rows have no value of their own") != NULL);
}

/* ---- by value ---- */

static void a_predicate_rules_rows_out(void)
{
    SELECTION *selection = NULL;
    struct ce_error err = {0};
    struct table table = table_of(5000, 0.3);
    table.mutation.scope.where = "age >= 18";
    CHOOSE(table, "f1", "f2");
    REQUIRE_OK(table_select(&table, &selection, &err), err);
    CHECK(ce_selection_by_value(selection));
    uint64_t masks[2][CE_SELECT_WORDS];
    ce_selection_block(selection, 0, masks[0]);
    for (uint64_t row = 0; row < CE_SELECT_BLOCK; row++) {
        const char *cells[COLUMNS] = {row % 3 == 0 ? "17" : "18", "1", "2"};
        struct memory_row at = memory_row_of(cells, row);
        bool hits[2];
        CHECK(ce_selection_row(selection, &at.row, hits) == (row % 3 == 0 ? 0 : 2));
        for (size_t c = 0; c < 2; c++)
            CHECK(hits[c] == (row % 3 != 0 && bit(masks[c], row)));
    }
    table.mutation.scope.where = "agee > 3";
    CHECK(table_select(&table, &selection, &err) == -ENOENT);
    CHECK_TEXT(err.message, "where: 't.csv' has no column 'agee'; did you mean 'age'?");
    unsigned stats;
    table.mutation.scope.where = "age >";
    CHECK(ce_scope_needs(&table.mutation.scope, &stats, &err) == -EINVAL);
}

/* Gives a column the values f(0), f(1), ... f(rows - 1). */
static void fill(struct ce_column_profile *column, uint64_t rows, double (*f)(uint64_t row))
{
    ce_autofree struct ce_sketch_step *steps = calloc(rows, sizeof *steps);
    if (!steps)
        exit(99);
    for (uint64_t row = 0; row < rows; row++)
        steps[row] = (struct ce_sketch_step){.value = f(row), .upto = 1};
    column->sketch = ce_sketch_of(steps, rows);
    if (!column->sketch)
        exit(99);
}

static double scattered(uint64_t row)
{
    return (double)(row * 7919 % 10000);
}
static double of_three(uint64_t row)
{
    return (double)(row % 10 < 7 ? 1 : row % 10 < 9 ? 2 : 3);
}

/* How many rows are hit in the selection's first column, when `column` has the values f(row); and
 * the smallest and the largest value among them. */
static uint64_t hits_by_value(const struct ce_selection *selection, size_t column,
                              double (*f)(uint64_t row), bool *ret_hit, double *ret_low,
                              double *ret_high)
{
    uint64_t count = 0;
    *ret_low = INFINITY;
    *ret_high = -INFINITY;
    for (uint64_t row = 0; row < 10000; row++) {
        char text[32];
        const char *cells[COLUMNS] = {"0", "0", "0", "0", "0", "0"};
        snprintf(text, sizeof text, "%g", f(row));
        cells[column] = text;
        struct memory_row at = memory_row_of(cells, row);
        bool hits[COLUMNS];
        (void)ce_selection_row(selection, &at.row, hits);
        ret_hit[row] = hits[0];
        if (!hits[0])
            continue;
        count++;
        *ret_low = fmin(*ret_low, f(row));
        *ret_high = fmax(*ret_high, f(row));
    }
    return count;
}

static void a_window_of_ranks_holds_the_rate(void)
{
    static const double rates[] = {0, 0.0003, 0.01, 0.2, 0.9, 1};
    for (unsigned mechanism = CE_MAR; mechanism <= CE_MNAR; mechanism++) {
        bool before[10000] = {false}, hit[10000];
        for (size_t i = 0; i < CE_COUNT(rates); i++) {
            SELECTION *selection = NULL;
            struct ce_error err = {0};
            struct table table = table_of(10000, rates[i]);
            size_t by = mechanism == CE_MAR ? AGE : F1;
            fill(&table.columns[by], 10000, scattered);
            table.mutation.scope.mechanism = (enum ce_mechanism)mechanism;
            CHOOSE(table, "f1");
            REQUIRE_OK(table_select(&table, &selection, &err), err);
            double low, high;
            uint64_t hits = hits_by_value(selection, by, scattered, hit, &low, &high);
            double want = 10000 * rates[i];
            CHECK(fabs((double)hits - want) <= 2); /* two of the rows may lie across an end */
            CHECK(hits == 0 || fabs(high - low + 1 - want) <= 2);
            for (size_t row = 0; row < 10000; row++)
                CHECK(hit[row] || !before[row]);
            memcpy(before, hit, sizeof before);
            ce_sketch_free(table.columns[by].sketch);
        }
    }
}

static void ties_are_split_so_that_the_share_is_right(void)
{
    static const double rates[] = {0.05, 0.1, 0.3, 0.5, 0.8};
    bool before[10000] = {false}, hit[10000];
    for (size_t i = 0; i < CE_COUNT(rates); i++) {
        SELECTION *selection = NULL;
        struct ce_error err = {0};
        struct table table = table_of(10000, rates[i]);
        fill(&table.columns[F1], 10000, of_three);
        table.mutation.scope.mechanism = CE_MNAR;
        CHOOSE(table, "f1");
        REQUIRE_OK(table_select(&table, &selection, &err), err);
        double low, high;
        CHECK(likely(hits_by_value(selection, F1, of_three, hit, &low, &high), 10000, rates[i]));
        for (size_t row = 0; row < 10000; row++)
            CHECK(hit[row] || !before[row]);
        memcpy(before, hit, sizeof before);
        ce_sketch_free(table.columns[F1].sketch);
    }
}

static void missing_values_are_in_no_window(void)
{
    SELECTION *selection = NULL;
    struct ce_error err = {0};
    struct table table = table_of(10000, 1);
    fill(&table.columns[F1], 10000, scattered);
    table.mutation.scope.mechanism = CE_MNAR;
    CHOOSE(table, "f1");
    REQUIRE_OK(table_select(&table, &selection, &err), err);
    bool hit;
    struct memory_row none = memory_row_of((const char *[COLUMNS]){NULL}, 0);
    CHECK(ce_selection_row(selection, &none.row, &hit) == 1 && !hit);
    struct memory_row text = memory_row_of((const char *[COLUMNS]){NULL, "x"}, 0);
    CHECK(ce_selection_row(selection, &text.row, &hit) == 1 && !hit);
    struct memory_row some = memory_row_of((const char *[COLUMNS]){NULL, "5"}, 0);
    CHECK(ce_selection_row(selection, &some.row, &hit) == 1 && hit);
    ce_sketch_free(table.columns[F1].sketch);
}

static void a_window_of_texts_goes_by_their_first_bytes(void)
{
    static const char *const cities[] = {"Aachen", "Berlin", "Chemnitz", "Dresden", "Essen"};
    struct ce_sketch_step steps[5];
    SELECTION *selection = NULL;
    struct ce_error err = {0};
    struct table table = table_of(5, 0.4);
    for (size_t i = 0; i < 5; i++) {
        uint64_t order = 0;
        for (size_t byte = 0; byte < 6; byte++)
            order = order << 8 | (unsigned char)cities[i][byte];
        steps[i] = (struct ce_sketch_step){.value = (double)order, .upto = 1};
    }
    table.columns[CITY].sketch = ce_sketch_of(steps, 5);
    table.mutation.scope.mechanism = CE_MNAR;
    CHOOSE(table, "city");
    REQUIRE_OK(table_select(&table, &selection, &err), err);
    bool hits[5];
    unsigned count = 0, first = 5, last = 0;
    for (unsigned i = 0; i < 5; i++) {
        struct memory_row row = memory_row_of((const char *[COLUMNS]){[CITY] = cities[i]}, i);
        (void)ce_selection_row(selection, &row.row, &hits[i]);
        first = hits[i] && first == 5 ? i : first;
        last = hits[i] ? i : last;
        count += hits[i];
    }
    CHECK(count >= 1 && count <= 3 && last - first + 1 == count);
    ce_sketch_free(table.columns[CITY].sketch);
}

static void mar_goes_by_the_first_number_that_is_not_hit(void)
{
    static const struct {
        const char *hit;
        size_t by;
    } cases[] = {{"age", F1}, {"f2", AGE}, {"*", F1 /* all are hit: another than itself */}};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        SELECTION *selection = NULL;
        struct ce_error err = {0};
        struct table table = table_of(10000, 0.2);
        for (size_t c = 0; c < COLUMNS; c++)
            if (c != CITY)
                fill(&table.columns[c], 10000, scattered);
        table.mutation.scope.mechanism = CE_MAR;
        CHOOSE(table, cases[i].hit);
        REQUIRE_OK(table_select(&table, &selection, &err), err);
        bool hit[10000];
        double low, high;
        CHECK(fabs((double)hits_by_value(selection, cases[i].by, scattered, hit, &low, &high) -
                   2000) <= 2);
        for (size_t c = 0; c < COLUMNS; c++)
            ce_sketch_free(table.columns[c].sketch);
    }
}

static void mar_needs_a_column_that_has_ranks(void)
{
    SELECTION *selection = NULL;
    struct ce_error err = {0};
    struct table table = table_of(100, 0.2);
    CHOOSE(table, "age");
    table.mutation.scope.mechanism = CE_MAR;
    table.mutation.scope.mar_column = "aeg";
    CHECK(table_select(&table, &selection, &err) == -ENOENT);
    CHECK_TEXT(err.message, "'t.csv' has no column 'aeg'; did you mean 'age'?");
    table.mutation.scope.mar_column = "city";
    CHECK(table_select(&table, &selection, &err) == -EINVAL);
    CHECK_TEXT(err.message, "column 'city' of 't.csv' has no values that mar could rank");
    table.mutation.scope.mar_column = NULL;
    for (size_t c = 1; c < COLUMNS; c++)
        table.columns[c].numeric = false;
    CHECK(table_select(&table, &selection, &err) == -EINVAL);
    CHECK(strstr(err.message, "no second numeric column") != NULL);
}

static void a_rate_is_a_share(void)
{
    static const double rates[] = {-0.1, 1.0001, NAN, INFINITY};
    for (size_t i = 0; i < CE_COUNT(rates); i++) {
        SELECTION *selection = NULL;
        struct ce_error err = {0};
        struct table table = table_of(100, rates[i]);
        CHECK(table_select(&table, &selection, &err) == -EINVAL);
        CHECK(strstr(err.message, "between 0 and 1") != NULL);
    }
}

int main(void)
{
    TEST(every_variant_gives_the_same_bits);
    TEST(a_lane_is_sixteen_bits_of_its_draw);
    TEST(a_block_says_what_single_units_say);
    TEST(the_finer_draw_decides_at_the_edge);
    TEST(shares_are_kept_and_units_are_independent);
    TEST(a_higher_rate_hits_a_superset);
    TEST(a_permutation_meets_every_point_once);
    TEST(small_permutations_are_fair);
    TEST(exact_hits_are_counted_and_nested);
    TEST(exact_counts_refuse_what_they_cannot_keep);
    TEST(columns_are_named_matched_or_counted);
    TEST(a_column_that_is_gone_is_no_column);
    TEST(nobody_named_means_those_that_the_fault_takes);
    TEST(names_decide_not_places);
    TEST(rows_have_one_unit);
    TEST(a_predicate_rules_rows_out);
    TEST(a_window_of_ranks_holds_the_rate);
    TEST(ties_are_split_so_that_the_share_is_right);
    TEST(missing_values_are_in_no_window);
    TEST(a_window_of_texts_goes_by_their_first_bytes);
    TEST(mar_goes_by_the_first_number_that_is_not_hit);
    TEST(mar_needs_a_column_that_has_ranks);
    TEST(a_rate_is_a_share);
    return test_done();
}
