/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <pthread.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/random.h"
#include "check.h"
#include "data/stats/builder.h"
#include "data/stats/sketch.h"
#include "data/stats/value.h"

CE_DEFINE_CLEANUP(struct ce_part, ce_part_free);
CE_DEFINE_CLEANUP(struct ce_builder, ce_builder_free);
CE_DEFINE_CLEANUP(struct ce_sketcher, ce_sketcher_free);
CE_DEFINE_CLEANUP(struct ce_sketch, ce_sketch_free);

static bool near(double a, double b, double relative)
{
    return fabs(a - b) <= relative * fmax(1, fabs(b));
}

/* ---- tables to profile ---- */

/* Feeds one row to a part. */
typedef void feed(struct ce_part *part, uint64_t row);

static void feed_rows(struct ce_part *part, feed *row, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        row(part, i);
        ce_part_row(part);
    }
}

/* A profile of rows 0 .. rows - 1 of up to eight columns, read in chunks. */
static int profile_rows(feed *row, size_t columns, unsigned stats, uint64_t rows, uint64_t chunk,
                        struct ce_profile *ret_profile, struct ce_error *err)
{
    static const char *const names[] = {"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"};
    CE_CLEANUP(ce_part_free_p) struct ce_part *part = NULL;
    CE_CLEANUP(ce_builder_free_p) struct ce_builder *builder = NULL;
    CE_TRY(ce_builder_new(columns, stats, &builder, err));
    CE_TRY(ce_part_new(columns, stats, &part, err));
    for (uint64_t at = 0; at < rows; at += chunk) {
        ce_part_clear(part);
        feed_rows(part, row, at, at + chunk < rows ? at + chunk : rows);
        CE_TRY(ce_builder_merge(builder, part, err));
    }
    return ce_builder_end(builder, names, ret_profile, err);
}

static void put_text(struct ce_part *part, size_t column, const char *text)
{
    ce_part_text(part, column, text, strlen(text));
}

/* ---- moments ---- */

static void feed_sequence(struct ce_part *part, uint64_t row)
{
    ce_part_number(part, 0, (double)row, true, NULL, 0);
    ce_part_number(part, 1, 1e9 + (double)(row % 2), true, NULL, 0);
    if (row % 4 == 0)
        ce_part_missing(part, 2);
    else
        ce_part_number(part, 2, row < 5000 ? -1e6 : 1e6, false, NULL, 0);
}

static void moments_are_those_of_the_closed_forms(void)
{
    static const uint64_t chunks[] = {1, 7, 4096, 5000, 30001};
    enum { N = 30001 };
    for (size_t i = 0; i < CE_COUNT(chunks); i++) {
        CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
        struct ce_error err = {0};
        REQUIRE_OK(profile_rows(feed_sequence, 3, CE_STAT_MOMENTS, N, chunks[i], &profile, &err),
                   err);
        const struct ce_column_profile *c = profile.columns;
        CHECK(profile.rows == N && profile.column_count == 3 && profile.duplicate_share < 0);
        CHECK(near(c[0].mean, (N - 1) / 2.0, 1e-14));
        CHECK(near(c[0].sd, sqrt(N * (N + 1.0) / 12), 1e-13));
        CHECK(c[0].min == 0 && c[0].max == N - 1 && c[0].cells == N && c[0].missing == 0);
        /* 15001 zeros and 15000 ones, on top of what would drown their squares. */
        CHECK(near(c[1].sd, sqrt(15001.0 * 15000 / ((double)N * (N - 1))), 1e-9));
        CHECK(c[2].missing == 7501 && c[2].cells == N && c[2].type == CE_TYPE_NUMBER);
        CHECK(c[2].min == -1e6 && c[2].max == 1e6);
        CHECK(c[2].sketch == NULL && c[2].categories == NULL && c[2].distinct == 0);
    }
}

static void few_numbers_have_no_spread(void)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile one = {0}, none = {0};
    struct ce_error err = {0};
    REQUIRE_OK(profile_rows(feed_sequence, 3, CE_STAT_ALL, 2, 9, &one, &err), err);
    CHECK(one.columns[2].mean == -1e6 && one.columns[2].sd == 0);
    REQUIRE_OK(profile_rows(feed_sequence, 3, CE_STAT_ALL, 0, 9, &none, &err), err);
    CHECK(none.rows == 0 && none.columns[0].type == CE_TYPE_EMPTY && !none.columns[0].numeric);
    CHECK(none.columns[0].sketch == NULL && none.duplicate_share == 0);
}

static void feed_huge(struct ce_part *part, uint64_t row)
{
    ce_part_number(part, 0, row % 2 ? 1.5e308 : -1.5e308, false, NULL, 0);
    ce_part_number(part, 1, (double)row * 1e200, false, NULL, 0);
}

static void huge_numbers_have_some_spread(void)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
    struct ce_error err = {0};
    REQUIRE_OK(profile_rows(feed_huge, 2, CE_STAT_ALL, 5000, 1000, &profile, &err), err);
    for (size_t i = 0; i < 2; i++) {
        const struct ce_column_profile *c = &profile.columns[i];
        CHECK(isfinite(c->mean) && isfinite(c->sd) && c->sd > 0);
        CHECK(c->min <= c->mean && c->mean <= c->max);
    }
}

/* ---- the same bits ---- */

static const struct ce_stream *noise(void)
{
    static const struct ce_stream stream = {.key = {11, 7}, .subject = {3, 5}};
    return &stream;
}

static void feed_mixed(struct ce_part *part, uint64_t row)
{
    char text[CE_VALUE_TIME_SIZE];
    uint64_t words[2];
    ce_stream_draw(noise(), row, words);
    ce_part_number(part, 0, ce_normal_from(words[0]) * 1e3, false, NULL, 0);
    ce_part_number(part, 1, (double)(words[1] % 100000), true, NULL, 0);
    snprintf(text, sizeof text, "city %d", (int)(words[0] % 50));
    put_text(part, 2, text);
    ce_value_time_text(1e9 + (double)(words[1] % 10000000), text);
    put_text(part, 3, text);
}

static bool same_doubles(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool same_columns(const struct ce_column_profile *a, const struct ce_column_profile *b)
{
    bool same = a->type == b->type && a->cells == b->cells && a->missing == b->missing &&
                a->distinct == b->distinct && a->category_count == b->category_count &&
                same_doubles(a->mean, b->mean) && same_doubles(a->sd, b->sd) &&
                same_doubles(a->min, b->min) && same_doubles(a->max, b->max);
    for (int q = 0; same && q <= 100; q++) {
        double x = 0, y = 0;
        same = ce_profile_quantile(a, q / 100.0, &x) == ce_profile_quantile(b, q / 100.0, &y) &&
               same_doubles(x, y);
    }
    for (size_t i = 0; same && i < a->category_count; i++)
        same = strcmp(a->categories[i].text, b->categories[i].text) == 0 &&
               a->categories[i].count == b->categories[i].count;
    return same;
}

enum { CHUNK = 10007, CHUNKS = 12, COLUMNS = 4 };

struct worker {
    pthread_t thread;
    struct ce_part **parts;
    size_t from, step;
};

static void *work(void *arg)
{
    const struct worker *w = arg;
    for (size_t i = w->from; i < CHUNKS; i += w->step)
        feed_rows(w->parts[i], feed_mixed, i * CHUNK, (i + 1) * CHUNK);
    return NULL;
}

static int profile_threaded(size_t threads, struct ce_profile *ret_profile, struct ce_error *err)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    CE_CLEANUP(ce_builder_free_p) struct ce_builder *builder = NULL;
    struct ce_part *parts[CHUNKS] = {0};
    struct worker workers[4];
    int r = ce_builder_new(COLUMNS, CE_STAT_ALL, &builder, err);
    for (size_t i = 0; r == 0 && i < CHUNKS; i++)
        r = ce_part_new(COLUMNS, CE_STAT_ALL, &parts[i], err);
    for (size_t i = 0; r == 0 && i < threads; i++) {
        workers[i] = (struct worker){.parts = parts, .from = i, .step = threads};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            abort();
    }
    for (size_t i = 0; r == 0 && i < threads; i++)
        (void)pthread_join(workers[i].thread, NULL);
    for (size_t i = 0; r == 0 && i < CHUNKS; i++)
        r = ce_builder_merge(builder, parts[i], err);
    if (r == 0)
        r = ce_builder_end(builder, names, ret_profile, err);
    for (size_t i = 0; i < CHUNKS; i++)
        ce_part_free(parts[i]);
    return r;
}

static void any_number_of_threads_gives_the_same_bits(void)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile serial = {0};
    struct ce_error err = {0};
    REQUIRE_OK(profile_rows(feed_mixed, COLUMNS, CE_STAT_ALL, CHUNKS * CHUNK, CHUNK, &serial, &err),
               err);
    CHECK(serial.columns[3].type == CE_TYPE_TIME && serial.columns[2].category_count == 50);
    for (size_t threads = 1; threads <= 4; threads++) {
        CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
        REQUIRE_OK(profile_threaded(threads, &profile, &err), err);
        CHECK(profile.rows == serial.rows && profile.duplicate_share == serial.duplicate_share);
        for (size_t i = 0; i < COLUMNS; i++)
            CHECK(same_columns(&profile.columns[i], &serial.columns[i]));
    }
}

/* ---- types ---- */

static void types_are_those_of_all_cells(void)
{
    /* 'n' 1.5, 'i' 3, '-' missing, 'o' nested, 't' true, 'd' a date, 'x' anything else. */
    static const struct {
        const char *cells;
        enum ce_column_type type;
    } cases[] = {
        {"", CE_TYPE_EMPTY},     {"---", CE_TYPE_EMPTY},   {"i-i", CE_TYPE_INTEGER},
        {"iin", CE_TYPE_NUMBER}, {"nii", CE_TYPE_NUMBER},  {"inx", CE_TYPE_TEXT},
        {"xni", CE_TYPE_TEXT},   {"t-t", CE_TYPE_BOOLEAN}, {"tti", CE_TYPE_TEXT},
        {"ddd-", CE_TYPE_TIME},  {"ddx", CE_TYPE_TEXT},    {"xdd", CE_TYPE_TEXT},
        {"td", CE_TYPE_TEXT},    {"dt", CE_TYPE_TEXT},     {"di", CE_TYPE_TEXT},
        {"-o-", CE_TYPE_OTHER},  {"ioi", CE_TYPE_OTHER},   {"xo", CE_TYPE_OTHER},
    };
    static const char *const names[] = {"c"};
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        /* One part for all, or one for each cell: what a part does not see must not matter. */
        for (int each = 0; each < 2; each++) {
            CE_CLEANUP(ce_part_free_p) struct ce_part *part = NULL;
            CE_CLEANUP(ce_builder_free_p) struct ce_builder *builder = NULL;
            CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
            struct ce_error err = {0};
            REQUIRE_OK(ce_part_new(1, CE_STAT_ALL, &part, &err), err);
            REQUIRE_OK(ce_builder_new(1, CE_STAT_ALL, &builder, &err), err);
            for (const char *c = cases[i].cells; *c; c++) {
                if (*c == '-')
                    ce_part_missing(part, 0);
                else if (*c == 'i' || *c == 'n')
                    ce_part_number(part, 0, *c == 'i' ? 3 : 1.5, *c == 'i', NULL, 0);
                else if (*c == 'o')
                    ce_part_other(part, 0, "[1]", 3);
                else
                    put_text(part, 0, *c == 't' ? "True" : *c == 'd' ? "2024-05-01" : "truer");
                ce_part_row(part);
                if (each) {
                    REQUIRE_OK(ce_builder_merge(builder, part, &err), err);
                    ce_part_clear(part);
                }
            }
            REQUIRE_OK(ce_builder_merge(builder, part, &err), err);
            REQUIRE_OK(ce_builder_end(builder, names, &profile, &err), err);
            const struct ce_column_profile *column = &profile.columns[0];
            CHECK(column->type == cases[i].type);
            CHECK(column->numeric ==
                  (column->type == CE_TYPE_INTEGER || column->type == CE_TYPE_NUMBER));
            CHECK(column->cells == strlen(cases[i].cells));
            CHECK(column->numeric || (column->mean == 0 && column->max == 0));
        }
}

static void times_are_read_and_written(void)
{
    static const struct {
        const char *text;
        double seconds;
    } cases[] = {
        {"1970-01-01", 0},
        {"2024-05-01", 1714521600},
        {"2024-05-01T12:30:00Z", 1714566600},
        {"2024-05-01 12:30:00.5+02:00", 1714559400.5},
        {"2024-02-29T23:59", 1709251140},
        {"1969-12-31 23:59:59-0030", 1799},
        {"0001-01-01", -62135596800},
        {"9999-12-31T23:59:60+00", 253402300800},
        {"2000-01-01T00:00:00.123456789Z", 946684800.123456789},
    };
    double seconds;
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CHECK(ce_value_time(cases[i].text, strlen(cases[i].text), &seconds));
        CHECK(seconds == cases[i].seconds);
    }
    static const char *const none[] = {
        "",           "2024-05",        "2024-13-01",           "2024-02-30",
        "1900-02-29", "2024-05-01T",    "2024-05-01T24:00",     "2024-05-01 12",
        "2024-5-01x", "2024-05-01T1:2", "2024-05-01 12:30:00.", "2024-05-01T12:30+2",
        "20240501",   "2024-05-01Z",    "2024-05-01 12:30 Z",   "0000-01-01",
    };
    for (size_t i = 0; i < CE_COUNT(none); i++)
        CHECK(!ce_value_time(none[i], strlen(none[i]), &seconds));

    char text[CE_VALUE_TIME_SIZE];
    ce_value_time_text(1714559400.5, text);
    CHECK_TEXT(text, "2024-05-01T10:30:00.5Z");
    ce_value_time_text(-1, text);
    CHECK_TEXT(text, "1969-12-31T23:59:59Z");
    for (int64_t at = -62135596800; at < 253402300800; at += 86400 * 13 + 4321) {
        struct tm tm;
        char want[CE_VALUE_TIME_SIZE];
        ce_value_time_text((double)at, text);
        time_t t = (time_t)at;
        REQUIRE(gmtime_r(&t, &tm) != NULL);
        snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        REQUIRE(strcmp(text, want) == 0);
        REQUIRE(ce_value_time(text, strlen(text), &seconds) && seconds == (double)at);
    }
}

static void numbers_are_spelled_shortly(void)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "0"},
                 {-17, "-17"},
                 {0.1, "0.1"},
                 {1e15, "1e+15"},
                 {-2.5, "-2.5"},
                 {999999999999999, "999999999999999"},
                 {0.1 + 0.2, "0.30000000000000004"}};
    char text[CE_VALUE_NUMBER_SIZE];
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CHECK(ce_value_number_text(cases[i].value, text) == strlen(cases[i].text));
        CHECK_TEXT(text, cases[i].text);
    }
}

/* ---- quantiles ---- */

enum shape { UNIFORM, NORMAL, HEAVY, SORTED, REVERSED, SAWTOOTH, CONSTANT, TWO_VALUES, SHAPES_ };

static double value_of_shape(enum shape shape, uint64_t i, uint64_t n)
{
    double u = ce_stream_uniform(noise(), i);
    switch (shape) {
    case UNIFORM:
        return u;
    case NORMAL:
        return ce_stream_normal(noise(), i) * 12.5 - 3;
    case HEAVY:
        return 1 / ((1 - u) * (1 - u) * (1 - u));
    case SORTED:
        return (double)i;
    case REVERSED:
        return (double)(n - i);
    case SAWTOOTH:
        return (double)(i % 4096);
    case CONSTANT:
        return 42;
    default:
        return (double)(i % 10 == 0);
    }
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How far the share of values that are at most `value` (and less than it) is from q. */
static double rank_error(const double *sorted, uint64_t n, double value, double q)
{
    uint64_t low = 0, high = 0;
    for (uint64_t step = UINT64_C(1) << 40; step > 0; step /= 2) {
        if (low + step <= n && sorted[low + step - 1] < value)
            low += step;
        if (high + step <= n && sorted[high + step - 1] <= value)
            high += step;
    }
    double below = (double)low / (double)n, upto = (double)high / (double)n;
    return q < below ? below - q : q > upto ? q - upto : 0;
}

/* Type 7 of Hyndman and Fan, what NumPy and R do unless told otherwise. */
static double exact_quantile(const double *sorted, uint64_t n, double q)
{
    double place = q * (double)(n - 1), share = place - floor(place);
    double low = sorted[(size_t)place], high = sorted[(size_t)ceil(place)];
    return low == high ? low : low * (1 - share) + high * share;
}

static struct ce_sketch *sketch_in_parts(const double *values, uint64_t n, uint64_t part_size)
{
    CE_CLEANUP(ce_sketcher_free_p) struct ce_sketcher *all = ce_sketcher_new();
    CE_CLEANUP(ce_sketcher_free_p) struct ce_sketcher *part = ce_sketcher_new();
    struct ce_sketch *sketch = NULL;
    int r = all && part ? 0 : -1;
    for (uint64_t i = 0; r == 0 && i < n; i++) {
        r = ce_sketcher_add(part, values[i]);
        if (r == 0 && (i % part_size == part_size - 1 || i == n - 1)) {
            r = ce_sketcher_merge(all, part, NULL);
            ce_sketcher_clear(part);
        }
    }
    if (r < 0 || ce_sketcher_end(all, &sketch) < 0)
        abort();
    return sketch;
}

static void check_sketch(const double *values, const double *sorted, uint64_t n, uint64_t part_size)
{
    CE_CLEANUP(ce_sketch_free_p) struct ce_sketch *sketch = sketch_in_parts(values, n, part_size);
    REQUIRE(sketch && sketch->count == n);
    CHECK(ce_sketch_quantile(sketch, 0) == sorted[0]);
    CHECK(ce_sketch_quantile(sketch, 1) == sorted[n - 1]);
    double before = sorted[0], slack = n <= CE_SKETCH_EXACT ? 0 : 0.005;
    for (int i = 0; i <= 200; i++) {
        double q = i / 200.0, value = ce_sketch_quantile(sketch, q);
        REQUIRE(value >= before);
        before = value;
        if (slack == 0)
            REQUIRE(value == exact_quantile(sorted, n, q));
        else
            REQUIRE(rank_error(sorted, n, value, q) <= slack);
        double upto = ce_sketch_upto(sketch, value), below = ce_sketch_below(sketch, value);
        REQUIRE(upto >= below);
        REQUIRE(rank_error(sorted, n, value, upto) <= slack);
        REQUIRE(rank_error(sorted, n, value, below) <= slack);
    }
    CHECK(ce_sketch_upto(sketch, sorted[0] - 1) == 0 && ce_sketch_below(sketch, sorted[0]) == 0);
    CHECK(ce_sketch_upto(sketch, sorted[n - 1]) == 1 &&
          ce_sketch_below(sketch, sorted[n - 1] + 1) == 1);
}

static void quantiles_are_exact_or_within_half_a_percent(void)
{
    static const uint64_t sizes[] = {1, 2, 3, 10, 999, 4096, 4097, 8192, 50000, 400000};
    enum { MOST = 400000 };
    ce_autofree double *values = calloc(MOST, sizeof *values);
    ce_autofree double *sorted = calloc(MOST, sizeof *sorted);
    REQUIRE(values && sorted);
    for (size_t s = 0; s < CE_COUNT(sizes); s++)
        for (enum shape shape = 0; shape < SHAPES_; shape++) {
            uint64_t n = sizes[s];
            for (uint64_t i = 0; i < n; i++)
                sorted[i] = values[i] = value_of_shape(shape, i, n);
            qsort(sorted, n, sizeof *sorted, by_double);
            check_sketch(values, sorted, n, n);
            check_sketch(values, sorted, n, 7000);
        }
}

static void zeros_have_one_sign_and_extremes_keep_theirs(void)
{
    const double values[] = {-0.0, 0.0, -1e308, 1e308};
    CE_CLEANUP(ce_sketch_free_p) struct ce_sketch *sketch = sketch_in_parts(values, 4, 4);
    CHECK(sketch->size == 3 && sketch->min == -1e308 && sketch->max == 1e308);
    CHECK(ce_sketch_quantile(sketch, 0.5) == 0 && ce_sketch_quantile(sketch, 1.0 / 6) < 0);
    CHECK(isfinite(ce_sketch_quantile(sketch, 0.17)));
}

static void feed_ordered(struct ce_part *part, uint64_t row)
{
    static const char *const words[] = {"apple", "banana", "cherry", "date"};
    char text[CE_VALUE_TIME_SIZE];
    put_text(part, 0, words[row % 4]);
    ce_value_time_text((double)row * 86400, text);
    put_text(part, 1, text);
    if (row % 2)
        put_text(part, 2, "x");
    else
        ce_part_number(part, 2, (double)row, true, NULL, 0);
}

static void texts_and_times_have_an_order(void)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
    struct ce_error err = {0};
    double value;
    REQUIRE_OK(profile_rows(feed_ordered, 3, CE_STAT_QUANTILES, 401, 100, &profile, &err), err);
    CHECK(ce_profile_quantile(&profile.columns[0], 0, &value) &&
          value == ce_value_order("apple", 5));
    CHECK(ce_profile_quantile(&profile.columns[0], 1, &value) &&
          value == ce_value_order("date", 4));
    CHECK(ce_value_order("date", 4) > ce_value_order("cherry", 6));
    CHECK(ce_value_order("b", 1) < ce_value_order("b ", 2));
    CHECK(ce_value_order("\xc3\xa9", 2) > ce_value_order("z", 1));
    CHECK(profile.columns[1].type == CE_TYPE_TIME);
    CHECK(ce_profile_quantile(&profile.columns[1], 0.5, &value) && value == 200 * 86400);
    /* Half texts, half numbers: numbers stand where their spelling does. */
    CHECK(profile.columns[2].type == CE_TYPE_TEXT);
    CHECK(ce_profile_quantile(&profile.columns[2], 0, &value) && value == ce_value_order("0", 1));
    CHECK(ce_profile_quantile(&profile.columns[2], 0.9, &value) && value == ce_value_order("x", 1));
}

/* ---- categories, distinct values ---- */

static uint64_t different;

static void feed_categories(struct ce_part *part, uint64_t row)
{
    char text[32];
    snprintf(text, sizeof text, "value %d", (int)(row * row % different));
    put_text(part, 0, text);
    ce_part_number(part, 1, (double)(row % different) / 4, false, NULL, 0);
}

static void categories_do_not_depend_on_the_chunks(void)
{
    static const uint64_t chunks[] = {1, 3, 100, 999, 5000};
    different = 97;
    CE_CLEANUP(ce_profile_done) struct ce_profile whole = {0};
    struct ce_error err = {0};
    REQUIRE_OK(profile_rows(feed_categories, 2, CE_STAT_ALL, 5000, 5000, &whole, &err), err);
    CHECK(whole.columns[0].category_count == 49 && whole.columns[0].distinct == 49);
    CHECK(whole.columns[1].category_count == 97 && whole.columns[1].distinct == 97);
    CHECK_TEXT(whole.columns[1].categories[0].text, "0");
    uint64_t sum = 0;
    for (size_t i = 0; i < whole.columns[0].category_count; i++) {
        const struct ce_category *c = &whole.columns[0].categories[i];
        sum += c->count;
        CHECK(c->size == strlen(c->text));
        CHECK(i == 0 || c[-1].count > c->count ||
              (c[-1].count == c->count && strcmp(c[-1].text, c->text) < 0));
    }
    CHECK(sum == 5000);
    for (size_t i = 0; i < CE_COUNT(chunks); i++) {
        CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
        REQUIRE_OK(profile_rows(feed_categories, 2, CE_STAT_CATEGORIES | CE_STAT_DISTINCT, 5000,
                                chunks[i], &profile, &err),
                   err);
        for (size_t c = 0; c < 2; c++) {
            const struct ce_column_profile *a = &profile.columns[c], *b = &whole.columns[c];
            REQUIRE(a->category_count == b->category_count && a->distinct == b->distinct);
            for (size_t k = 0; k < a->category_count; k++)
                REQUIRE(a->categories[k].count == b->categories[k].count &&
                        strcmp(a->categories[k].text, b->categories[k].text) == 0);
        }
    }
}

static void distinct_values_are_counted_or_estimated(void)
{
    static const uint64_t counts[] = {1,    2,     1023,  1024,   1025,   1500,  3000,
                                      9999, 30000, 65536, 150000, 400000, 900000};
    for (size_t i = 0; i < CE_COUNT(counts); i++) {
        CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
        struct ce_error err = {0};
        different = counts[i];
        REQUIRE_OK(profile_rows(feed_categories, 2, CE_STAT_CATEGORIES | CE_STAT_DISTINCT,
                                counts[i] + 500, 60000, &profile, &err),
                   err);
        const struct ce_column_profile *column = &profile.columns[1];
        if (counts[i] <= CE_CATEGORIES_MAX) {
            CHECK(column->distinct == counts[i] && column->category_count == counts[i]);
        } else {
            CHECK(fabs((double)column->distinct / (double)counts[i] - 1) < 0.02);
            CHECK(column->categories == NULL && column->category_count == 0);
        }
    }
}

static void feed_long(struct ce_part *part, uint64_t row)
{
    char text[300];
    memset(text, 'x', sizeof text);
    text[0] = (char)('a' + row % 5);
    ce_part_text(part, 0, text, row == 77 ? sizeof text : 256);
}

static void a_very_long_value_ends_categories(void)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile few = {0}, none = {0};
    struct ce_error err = {0};
    REQUIRE_OK(profile_rows(feed_long, 1, CE_STAT_ALL, 77, 10, &few, &err), err);
    CHECK(few.columns[0].category_count == 5 && few.columns[0].distinct == 5);
    REQUIRE_OK(profile_rows(feed_long, 1, CE_STAT_ALL, 78, 10, &none, &err), err);
    CHECK(none.columns[0].categories == NULL && none.columns[0].distinct == 6);
}

/* ---- duplicate rows ---- */

static void feed_duplicates(struct ce_part *part, uint64_t row)
{
    /* Of `different` values for the pair, in an order that goes round and round. */
    uint64_t value = row % different;
    ce_part_number(part, value % 2, (double)value, true, NULL, 0);
    if (value % 3 == 0)
        ce_part_missing(part, 1 - value % 2);
}

static void duplicates_are_counted_or_estimated(void)
{
    static const struct {
        uint64_t different, rows;
        double slack;
    } cases[] = {
        {1, 10, 0},
        {10, 10, 0},
        {1000, 1500, 0},
        {500000, 600000, 0},
        {700000, 1000000, 3e-3},
        {1200000, 1200000, 0},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        double want = 1 - (double)cases[i].different / (double)cases[i].rows, first = 0;
        for (int chunk = 0; chunk < 2; chunk++) {
            CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
            struct ce_error err = {0};
            different = cases[i].different;
            REQUIRE_OK(profile_rows(feed_duplicates, 2, CE_STAT_DUPLICATES, cases[i].rows,
                                    chunk ? 123457 : cases[i].rows, &profile, &err),
                       err);
            CHECK(fabs(profile.duplicate_share - want) <= cases[i].slack + 1e-15);
            CHECK(chunk == 0 || profile.duplicate_share == first);
            first = profile.duplicate_share;
        }
    }
}

static void feed_alike(struct ce_part *part, uint64_t row)
{
    /* The same two cells in one order and the other, missing and absent; then in each other's
     * place. */
    bool swapped = row == 2;
    if (row == 1)
        ce_part_missing(part, 2);
    put_text(part, row == 1, row == 1 || swapped ? "b" : "a");
    put_text(part, row != 1, row == 1 || swapped ? "a" : "b");
}

static void rows_are_alike_by_column_and_value(void)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
    struct ce_error err = {0};
    REQUIRE_OK(profile_rows(feed_alike, 3, CE_STAT_DUPLICATES, 3, 3, &profile, &err), err);
    CHECK(near(profile.duplicate_share, 1.0 / 3, 1e-15));
}

/* ---- columns that come later ---- */

static void parts_and_builder_widen(void)
{
    static const char *const names[] = {"a", "b", "c"};
    CE_CLEANUP(ce_part_free_p) struct ce_part *narrow = NULL, *wide = NULL;
    CE_CLEANUP(ce_builder_free_p) struct ce_builder *builder = NULL;
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
    struct ce_error err = {0};
    REQUIRE_OK(ce_builder_new(0, CE_STAT_ALL, &builder, &err), err);
    REQUIRE_OK(ce_part_new(0, CE_STAT_ALL, &narrow, &err), err);
    REQUIRE_OK(ce_part_new(1, CE_STAT_ALL, &wide, &err), err);
    ce_part_row(narrow);
    REQUIRE_OK(ce_part_widen(narrow, 1, &err), err);
    ce_part_number(narrow, 0, 1, true, "1", 1);
    ce_part_row(narrow);
    ce_part_number(wide, 0, 3, true, "3", 1);
    REQUIRE_OK(ce_part_widen(wide, 2, &err), err);
    REQUIRE_OK(ce_part_widen(wide, 1, &err), err);
    ce_part_missing(wide, 1);
    ce_part_row(wide);
    REQUIRE_OK(ce_builder_merge(builder, narrow, &err), err);
    REQUIRE_OK(ce_builder_merge(builder, wide, &err), err);
    REQUIRE_OK(ce_builder_merge(builder, narrow, &err), err);
    REQUIRE_OK(ce_builder_widen(builder, 3, &err), err);
    REQUIRE_OK(ce_builder_end(builder, names, &profile, &err), err);
    CHECK(profile.rows == 5 && profile.column_count == 3);
    CHECK(profile.columns[0].cells == 3 && profile.columns[0].mean == 5.0 / 3);
    CHECK(profile.columns[1].cells == 1 && profile.columns[1].missing == 1);
    CHECK(profile.columns[2].cells == 0 && profile.columns[2].type == CE_TYPE_EMPTY);
    CHECK(profile.columns[0].categories[0].count == 2);
    CHECK(ce_profile_column(&profile, "b") == &profile.columns[1]);
}

int main(void)
{
    TEST(moments_are_those_of_the_closed_forms);
    TEST(few_numbers_have_no_spread);
    TEST(huge_numbers_have_some_spread);
    TEST(any_number_of_threads_gives_the_same_bits);
    TEST(types_are_those_of_all_cells);
    TEST(times_are_read_and_written);
    TEST(numbers_are_spelled_shortly);
    TEST(quantiles_are_exact_or_within_half_a_percent);
    TEST(zeros_have_one_sign_and_extremes_keep_theirs);
    TEST(texts_and_times_have_an_order);
    TEST(categories_do_not_depend_on_the_chunks);
    TEST(distinct_values_are_counted_or_estimated);
    TEST(a_very_long_value_ends_categories);
    TEST(duplicates_are_counted_or_estimated);
    TEST(rows_are_alike_by_column_and_value);
    TEST(parts_and_builder_widen);
    return test_done();
}
