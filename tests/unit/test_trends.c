/* SPDX-License-Identifier: MIT */
/* What rows of scores say: moments, slopes, Student's t, and where a mean has changed. */
#include "base/random.h"
#include "history/statistics.h"
#include "history_world.h"

static bool near(double a, double b, double off)
{
    return fabs(a - b) <= off;
}

/* Of published tables. */
static void quantiles_of_student_are_those_of_tables(void)
{
    static const struct {
        double share, degrees, want;
    } cases[] = {
        {0.975, 1, 12.706205}, {0.975, 2, 4.302653},   {0.975, 3, 3.182446}, {0.975, 5, 2.570582},
        {0.975, 10, 2.228139}, {0.975, 30, 2.042272},  {0.95, 4, 2.131847},  {0.995, 7, 3.499483},
        {0.9, 100, 1.290075},  {0.975, 1e6, 1.959966},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        CHECK(near(ce_student_quantile(cases[i].share, cases[i].degrees), cases[i].want, 1e-5));
}

static void moments_of_few_are_not_known(void)
{
    struct ce_moments m;
    const double values[] = {2, 4, 4, 4, 5, 5, 7, 9};
    ce_moments_of(values, 8, &m);
    CHECK(m.mean == 5 && near(m.sd, 2.1380899, 1e-6) && m.min == 2 && m.max == 9);
    ce_moments_of(values, 1, &m);
    CHECK(m.mean == 2 && isnan(m.sd));
    ce_moments_of(values, 0, &m);
    CHECK(isnan(m.mean) && isnan(m.min));
}

/* Worked out by hand: x = 0..4, y = 1 3 2 5 4: slope 0.8, s^2 = 3.6 / 3 / 10, t = 3.182446. */
static void a_slope_says_how_certain_it_is(void)
{
    const double x[] = {0, 1, 2, 3, 4}, y[] = {1, 3, 2, 5, 4}, same[] = {7, 7, 7, 7, 7};
    struct ce_slope s;
    ce_slope_of(x, y, 5, 0.95, &s);
    double half = 3.182446305 * sqrt(3.6 / 3 / 10);
    CHECK(near(s.slope, 0.8, 1e-12) && near(s.low, 0.8 - half, 1e-8) &&
          near(s.high, 0.8 + half, 1e-8));
    ce_slope_of(x, x, 5, 0.95, &s);
    CHECK(near(s.slope, 1, 1e-12) && near(s.low, 1, 1e-9) && near(s.high, 1, 1e-9));
    ce_slope_of(same, y, 5, 0.95, &s);
    CHECK(isnan(s.slope));
    ce_slope_of(x, y, 2, 0.95, &s);
    CHECK(isnan(s.slope) && isnan(s.low));
}

/* The interval is what it says: of many lines with noise, about 95 of 100 have the true slope in
 * theirs. */
static void nineteen_of_twenty_intervals_hold_the_slope(void)
{
    enum { LINES = 2000, POINTS = 12 };
    struct ce_stream stream = ce_stream_init(7, "test", "slope");
    int held = 0;
    for (uint64_t i = 0; i < LINES; i++) {
        double x[POINTS], y[POINTS];
        struct ce_slope s;
        for (uint64_t k = 0; k < POINTS; k++) {
            x[k] = (double)(k * k);
            y[k] = 80 - 0.3 * x[k] + 4 * ce_stream_normal(&stream, i * POINTS + k);
        }
        ce_slope_of(x, y, POINTS, 0.95, &s);
        held += s.low <= -0.3 && -0.3 <= s.high;
    }
    CHECK(held > LINES * 0.93 && held < LINES * 0.97);
}

/* ---- where it broke ---- */

struct level {
    size_t count;
    double mean;
};

/* Levels with noise: whether exactly their beginnings are found, give or take `off`. */
static bool finds_levels(const struct level *levels, size_t level_count, double noise, size_t off,
                         uint64_t seed)
{
    size_t count = 0, changes[64];
    struct ce_stream stream = ce_stream_init(seed, "test", "levels");
    for (size_t i = 0; i < level_count; i++)
        count += levels[i].count;
    ce_autofree double *values = calloc(count, sizeof *values);
    for (size_t i = 0, k = 0; i < level_count; i++)
        for (size_t end = k + levels[i].count; k < end; k++)
            values[k] = levels[i].mean + noise * ce_stream_normal(&stream, k);
    long found = ce_changes_of(values, count, 0.5, changes, 64);
    bool right = found == (long)level_count - 1;
    for (long i = 0, begin = 0; right && i < found; i++) {
        begin += (long)levels[i].count;
        right = labs((long)changes[i] - begin) <= (long)off;
    }
    return right;
}

static void a_level_that_begins_is_found(void)
{
    enum { SEEDS = 100 };
    const struct level one[] = {{40, 90}}, two[] = {{20, 90}, {20, 70}},
                       three[] = {{15, 95}, {10, 60}, {30, 90}},
                       longest[] = {{60000, 90}, {500, 80}, {39500, 85}};
    int right[3] = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        right[0] += finds_levels(one, 1, 3, 0, seed);
        right[1] += finds_levels(two, 2, 3, 1, seed);
        right[2] += finds_levels(three, 3, 3, 1, seed);
    }
    printf("# right: %d, %d, %d of %d\n", right[0], right[1], right[2], SEEDS);
    CHECK(right[0] >= 97 && right[1] >= 97 && right[2] >= 97);
    CHECK(finds_levels(two, 2, 0, 0, 1));
    CHECK(finds_levels(longest, 3, 3, 5, 1));
}

static void what_is_no_level_is_not_found(void)
{
    static const struct {
        const char *what;
        double values[12];
    } cases[] = {
        {"all the same", {100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100}},
        {"one alone", {100, 100, 100, 100, 40, 100, 100, 100, 100, 100, 100, 100}},
        {"hardly any difference", {99.9, 99.9, 100, 99.9, 100, 99.9, 100, 100, 100, 100, 100, 100}},
        {"up and down", {90, 70, 92, 69, 88, 71, 90, 70, 91, 70, 90, 72}},
        {"the last one", {100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 50}},
    };
    size_t changes[64];
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        long found = ce_changes_of(cases[i].values, 12, 0.5, changes, 64);
        if (found != 0)
            printf("# %s: %ld\n", cases[i].what, found);
        CHECK(found == 0);
    }
    CHECK(ce_changes_of(cases[0].values, 5, 0.5, changes, 64) == 0);
    CHECK(ce_changes_of(cases[0].values, 0, 0.5, changes, 64) == 0);
}

/* Of rows without any change few are said to have one. */
static void noise_is_seldom_taken_for_a_change(void)
{
    enum { ROWS = 400, SIZE = 60 };
    struct ce_stream stream = ce_stream_init(11, "test", "noise");
    int wrong = 0;
    for (uint64_t i = 0; i < ROWS; i++) {
        double values[SIZE];
        size_t changes[64];
        for (uint64_t k = 0; k < SIZE; k++)
            values[k] = 80 + 5 * ce_stream_normal(&stream, i * SIZE + k);
        wrong += ce_changes_of(values, SIZE, 0.5, changes, 64) > 0;
    }
    printf("# %d of %d\n", wrong, ROWS);
    CHECK(wrong < ROWS / 10);
}

/* ---- of a history ---- */

static void trends_of_an_experiment(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    struct ce_history *history = NULL;
    REQUIRE_OK(ce_history_open_to_write(world.db, NULL, &history, &err), err);
    int64_t now = ce_wall_now();
    for (int i = 0; i < 12; i++) {
        char id[32];
        snprintf(id, sizeof id, "run-%02d", i);
        const struct a_run run = {.id = id,
                                  .score = i < 6 ? 90 : 70,
                                  .at = now - (12 - i) * DAY,
                                  .verdict = i < 6 ? CE_VERDICT_PASSED : CE_VERDICT_DEVIATED};
        CHECK(add(history, &run, &err) == 1);
    }
    const struct a_run others[] = {
        {.id = "old", .score = 10, .at = now - 40 * DAY},
        {.id = "skipped",
         .score = -1,
         .status = CE_STATUS_SKIPPED,
         .verdict = CE_VERDICT_INCONCLUSIVE},
        {.id = "other", .name = "slo*", .score = 10},
        {.id = "hard", .profile = "hardened", .score = 100},
    };
    for (size_t i = 0; i < CE_COUNT(others); i++)
        CHECK(add(history, &others[i], &err) == 1);
    char *text = NULL;
    REQUIRE_OK(ce_history_trends_json(history, "slow", 30, "naive", &text, &err), err);
    ce_autojson json_t *json = json_loads(text, 0, NULL);
    free(text);
    CHECK(json_integer_value(json_object_get(json, "total_runs")) == 13);
    CHECK(json_number_value(json_object_get(json, "mean")) == 80);
    CHECK(json_number_value(json_object_get(json, "success_rate")) == 0.5);
    CHECK(json_number_value(json_object_get(json, "slope")) < -2);
    CHECK(json_number_value(json_array_get(json_object_get(json, "slope_ci"), 1)) < 0);
    const json_t *changes = json_object_get(json, "change_points");
    CHECK(json_array_size(changes) == 1);
    const json_t *change = json_array_get(changes, 0);
    CHECK_TEXT(json_string_value(json_object_get(change, "run")), "run-06");
    CHECK(json_number_value(json_object_get(change, "before")) == 90);
    CHECK(json_number_value(json_object_get(change, "after")) == 70);

    REQUIRE_OK(ce_history_trends_json(history, "slow", 0, NULL, &text, &err), err);
    ce_autojson json_t *all = json_loads(text, 0, NULL);
    free(text);
    CHECK(json_integer_value(json_object_get(all, "total_runs")) == 15);
    CHECK(ce_history_trends_json(history, "slw", 30, NULL, &text, &err) == -ENOENT);
    CHECK(strstr(err.message, "did you mean 'slow'?") != NULL);
    ce_history_close(history);
}

int main(void)
{
    TEST(quantiles_of_student_are_those_of_tables);
    TEST(moments_of_few_are_not_known);
    TEST(a_slope_says_how_certain_it_is);
    TEST(nineteen_of_twenty_intervals_hold_the_slope);
    TEST(a_level_that_begins_is_found);
    TEST(what_is_no_level_is_not_found);
    TEST(noise_is_seldom_taken_for_a_change);
    TEST(trends_of_an_experiment);
    return test_done();
}
