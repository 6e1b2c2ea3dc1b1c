/* SPDX-License-Identifier: MIT */
#include "data/stats/drift.h"

#include <errno.h>
#include <math.h>

#include "base/json.h"
#include "base/random.h"
#include "data/stats/builder.h"
#include "data/stats/distance.h"
#include "data/stats/value.h"
#include "data_files.h"

CE_DEFINE_CLEANUP(struct ce_part, ce_part_free);
CE_DEFINE_CLEANUP(struct ce_builder, ce_builder_free);

static bool near(double a, double b, double relative)
{
    return fabs(a - b) <= relative * fmax(fabs(a), fabs(b));
}

/* ---- the statistics ---- */

static void logarithm_and_exponential_are_right(void)
{
    for (double x = 1e-300; x < 1e300; x *= 1.37)
        REQUIRE(fabs(ce_ln(x) - log(x)) <= 4e-16 * fmax(fabs(log(x)), 0.1));
    for (double x = -740; x < 700; x += 0.37)
        REQUIRE(fabs(ce_exp(x) - exp(x)) <= 1e-15 * exp(x) + 0x1p-1070);
    CHECK(ce_ln(1) == 0 && ce_exp(0) == 1 && ce_exp(-1e9) == 0);
}

static void p_values_are_those_of_the_tables(void)
{
    static const double n = 1e6;
    double root = sqrt(n / 2), correction = root + 0.12 + 0.11 / root;
    for (double x = 0.25; x < 4; x += 0.01) {
        double p = 0;
        for (int k = 60; k >= 1; k--)
            p += (k % 2 ? 2 : -2) * exp(-2.0 * k * k * x * x);
        REQUIRE(fabs(ce_p_of_ks(x / correction, n, n) - p) <= 1e-13 + 1e-11 * p);
    }
    CHECK(near(ce_p_of_ks(1 / correction, n, n), 0.26999967167735456, 1e-12));
    CHECK(ce_p_of_ks(0, 5, 7) == 1);
    for (double x = 0.01; x < 200; x *= 1.3) {
        REQUIRE(near(ce_p_of_chi_square(x, 1), erfc(sqrt(x / 2)), 1e-12));
        REQUIRE(near(ce_p_of_chi_square(x, 2), exp(-x / 2), 1e-12));
        /* Even degrees have a finite sum, odd ones another. */
        double sum = 0, term = exp(-x / 2);
        for (int k = 0; k < 20; k++, term *= x / 2 / k)
            sum += term;
        REQUIRE(near(ce_p_of_chi_square(x, 40), sum, 1e-11));
        REQUIRE(near(ce_p_of_chi_square(x, 3), erfc(sqrt(x / 2)) + sqrt(2 * x / M_PI) * exp(-x / 2),
                     1e-11));
    }
    CHECK(ce_p_of_chi_square(0, 5) == 1 && ce_p_of_chi_square(INFINITY, 5) == 0);
}

static void distances_have_their_closed_forms(void)
{
    const struct ce_bin same[] = {{10, 20}, {30, 60}, {0, 0}};
    const struct ce_bin apart[] = {{1000, 0}, {0, 700}};
    const struct ce_bin half[] = {{50, 800}, {50, 200}};
    CHECK(ce_distance_psi(same, 3) == 0 && ce_distance_js(same, 3) == 0);
    CHECK(near(ce_distance_psi(half, 2), 0.3 * log(4), 1e-14));
    CHECK(near(ce_distance_psi(apart, 2), 2 * (1 - 1e-4) * log(1e4), 1e-13));
    CHECK(ce_distance_js(apart, 2) == 1);
    double js = 0.5 * (0.5 * log2(0.5 / 0.65) + 0.5 * log2(0.5 / 0.35) + 0.8 * log2(0.8 / 0.65) +
                       0.2 * log2(0.2 / 0.35));
    CHECK(near(ce_distance_js(half, 2), sqrt(js), 1e-13));
    CHECK(ce_distance_cramers_v(same, 2) == 0);
    CHECK(near(ce_distance_cramers_v(apart, 2), 1, 1e-12));
    /* z = 0.3 / sqrt(0.85 * 0.15 * (1/100 + 1/1000)), pooled */
    double all = 850.0 / 1100, z = 0.3 / sqrt(all * (1 - all) * (0.01 + 0.001));
    CHECK(near(ce_p_of_counts(half, 2), erfc(z / sqrt(2)), 1e-12));
    const struct ce_bin three[] = {{100, 120}, {100, 90}, {200, 190}};
    CHECK(near(ce_p_of_counts(three, 3), exp(-(4 + 1 + 0.5) / 2), 1e-13));
    const struct ce_bin fresh[] = {{100, 100}, {100, 100}, {0, 1}};
    CHECK(ce_p_of_counts(fresh, 3) == 0);
    CHECK(ce_p_of_counts(same, 1) == 1);
}

/* ---- tables ---- */

/* What is wrong with a table. */
struct fault {
    double shift, scale;                /* of column x */
    unsigned missing, outliers, copies; /* one in so many rows; 0: none */
    unsigned new_color, text_in_x;
    bool constant;
};

/* Columns: x (normal, mean 5, sd 2), n (0 .. 99), color (three), when (days), flag (true, false).
 */
enum { COLUMNS = 5 };

static bool every(unsigned n, uint64_t row)
{
    return n > 0 && row % n == n / 2;
}

static void feed_row(struct ce_part *part, const struct fault *fault, uint64_t row)
{
    static const char *const colors[] = {"red", "green", "blue"};
    static const struct ce_stream stream = {.key = {5, 6}, .subject = {7, 8}};
    char when[CE_VALUE_TIME_SIZE];
    uint64_t source = every(fault->copies, row) ? row - 1 : row, words[2];
    ce_stream_draw(&stream, source, words);
    double x = 5 + 2 * ce_normal_from(words[0]);
    x = 5 + (x - 5) * fault->scale + fault->shift;
    if (every(fault->outliers, source))
        x = 5 + 2 * 10;
    const char *color = colors[words[1] % 3];
    if (every(fault->missing, source))
        ce_part_missing(part, 0);
    else if (every(fault->text_in_x, source))
        ce_part_text(part, 0, "12.3 u", 6);
    else
        ce_part_number(part, 0, fault->constant ? 5 : x, false, NULL, 0);
    ce_part_number(part, 1, (double)(source % 100), true, NULL, 0);
    if (every(fault->new_color, source))
        color = "mauve";
    ce_part_text(part, 2, color, strlen(color));
    ce_value_time_text((double)source * 86400 + 1e9 + fault->shift * 86400 * 100, when);
    ce_part_text(part, 3, when, strlen(when));
    ce_part_text(part, 4, source % 2 ? "true" : "false", source % 2 ? 4 : 5);
    ce_part_row(part);
}

static int make_profile(const struct fault *fault, uint64_t rows, struct ce_profile *ret_profile,
                        struct ce_error *err)
{
    static const char *const names[COLUMNS] = {"x", "n", "color", "when", "flag"};
    CE_CLEANUP(ce_part_free_p) struct ce_part *part = NULL;
    CE_CLEANUP(ce_builder_free_p) struct ce_builder *builder = NULL;
    CE_TRY(ce_builder_new(COLUMNS, CE_STAT_ALL, &builder, err));
    CE_TRY(ce_part_new(COLUMNS, CE_STAT_ALL, &part, err));
    for (uint64_t row = 0; row < rows; row++) {
        feed_row(part, fault, row);
        if (row % 9999 == 9998 || row == rows - 1) {
            CE_TRY(ce_builder_merge(builder, part, err));
            ce_part_clear(part);
        }
    }
    return ce_builder_end(builder, names, ret_profile, err);
}

static const struct fault clean = {.scale = 1};

/* Both tables, and column `name` of their comparison. */
struct compared {
    struct ce_profile reference, current;
    struct ce_drift_column *columns;
    size_t count;
};

static void compared_done(struct compared *c)
{
    ce_profile_done(&c->reference);
    ce_profile_done(&c->current);
    free(c->columns);
}

static int compare(struct compared *c, const struct fault *fault, uint64_t rows,
                   struct ce_error *err)
{
    CE_TRY(make_profile(&clean, rows, &c->reference, err));
    CE_TRY(make_profile(fault, rows, &c->current, err));
    return ce_drift_compare(&c->reference, &c->current, &c->columns, &c->count, err);
}

static void a_table_does_not_drift_from_itself(void)
{
    static const uint64_t sizes[] = {1, 500, 50000};
    for (size_t i = 0; i < CE_COUNT(sizes); i++) {
        CE_CLEANUP(compared_done) struct compared c = {0};
        struct ce_error err = {0};
        REQUIRE_OK(compare(&c, &clean, sizes[i], &err), err);
        REQUIRE(c.count == COLUMNS);
        for (size_t k = 0; k < COLUMNS; k++) {
            const struct ce_drift_column *d = &c.columns[k];
            CHECK(d->psi == 0 && d->js == 0 && d->missing_after == 0 && d->new_categories == 0);
            CHECK(k == 2 || k == 4 ? isnan(d->ks) && isnan(d->wasserstein)
                                   : d->ks == 0 && d->ks_p == 1 && d->wasserstein == 0);
        }
    }
}

static void a_shift_is_measured(void)
{
    static const struct fault shifted = {.scale = 1, .shift = 1};
    static const uint64_t sizes[] = {1000, 60000};
    for (size_t i = 0; i < CE_COUNT(sizes); i++) {
        CE_CLEANUP(compared_done) struct compared c = {0};
        struct ce_error err = {0};
        REQUIRE_OK(compare(&c, &shifted, sizes[i], &err), err);
        const struct ce_drift_column *x = &c.columns[0];
        /* Half a standard deviation: 2 Phi(1/4) - 1. The sample's own spread is in the tolerance.
         */
        CHECK(fabs(x->ks - erf(0.25 / sqrt(2))) < 1.5 / sqrt((double)sizes[i]) + 0.01);
        CHECK(near(x->wasserstein, 1 / c.reference.columns[0].sd, sizes[i] > 4096 ? 0.02 : 1e-9));
        CHECK(x->ks_p < 1e-9 && x->psi > 0.15 && x->psi < 0.45 && x->js > 0.1);
        const struct ce_column_profile *b = &c.reference.columns[0], *a = &c.current.columns[0];
        CHECK(x->max_z == fmax(fabs(a->min - b->mean), fabs(a->max - b->mean)) / b->sd);
        CHECK(c.columns[1].ks == 0);
        /* The times move by 100 days among `rows` of them. */
        CHECK(near(c.columns[3].ks, 100.0 / (double)sizes[i], sizes[i] > 4096 ? 1 : 1e-9));
    }
}

/* The share of cells outside the fences, counted. */
static void outliers_are_outside_the_fences(void)
{
    static const struct fault outliers = {.scale = 1, .outliers = 50};
    CE_CLEANUP(compared_done) struct compared c = {0};
    struct ce_error err = {0};
    REQUIRE_OK(compare(&c, &outliers, 50000, &err), err);
    /* A normal distribution has 0.698 % outside its own. */
    CHECK(fabs(c.columns[0].outside_fences - (0.02 + 0.98 * 0.00698)) < 0.005);
    CHECK(near(c.columns[0].max_z, 10, 0.02));
}

static void few_values_are_compared_exactly(void)
{
    /* n has a hundred different values, so its distribution is known although there are many rows.
     */
    CE_CLEANUP(ce_profile_done) struct ce_profile a = {0}, b = {0};
    ce_autofree struct ce_drift_column *columns = NULL;
    struct ce_error err = {0};
    size_t count;
    REQUIRE_OK(make_profile(&clean, 50000, &a, &err), err);
    REQUIRE_OK(make_profile(&clean, 50050, &b, &err), err);
    REQUIRE_OK(ce_drift_compare(&a, &b, &columns, &count, &err), err);
    CHECK(near(columns[1].ks, 501 * 50 / 50050.0 - 0.5, 1e-9));
}

static void categories_that_are_new_are_counted(void)
{
    static const struct fault mauve = {.scale = 1, .new_color = 10};
    CE_CLEANUP(compared_done) struct compared c = {0};
    struct ce_error err = {0};
    REQUIRE_OK(compare(&c, &mauve, 5000, &err), err);
    const struct ce_drift_column *color = &c.columns[2];
    CHECK(color->new_categories == 1 && color->counts_p == 0 && color->cramers_v > 0.2);
    /* Three colors lose about a tenth each, to one that had none: sum of (q - p) ln(q / p). */
    double want = 0.1 * log(1 / 0.9) + (0.1 - 1e-4) * log(0.1 / 1e-4);
    CHECK(near(color->psi, want, 0.01));
    CHECK(isnan(color->ks) && isnan(color->max_z));
}

static void a_constant_column_that_changes_is_seen(void)
{
    static const struct fault constant = {.scale = 1, .constant = true};
    CE_CLEANUP(ce_profile_done) struct ce_profile a = {0}, b = {0};
    ce_autofree struct ce_drift_column *columns = NULL;
    struct ce_error err = {0};
    size_t count;
    REQUIRE_OK(make_profile(&constant, 300, &a, &err), err);
    REQUIRE_OK(make_profile(&clean, 300, &b, &err), err);
    REQUIRE_OK(ce_drift_compare(&a, &b, &columns, &count, &err), err);
    CHECK(isnan(columns[0].max_z) && columns[0].wasserstein > 1000 && columns[0].psi > 1);
    CHECK(columns[0].ks > 0.4 && columns[0].ks < 0.6);
}

/* ---- who would have seen it ---- */

/* "tool/statistic tool/statistic ..." of the checks of a column that fire. */
static void fired(const json_t *object, char *text, size_t size)
{
    size_t i, used = 0;
    json_t *check;
    text[0] = '\0';
    json_array_foreach(json_object_get(object, "seen_by"), i, check)
    {
        if (!json_is_true(json_object_get(check, "fires")))
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%s/%s", used > 0 ? " " : "",
                                 json_string_value(json_object_get(check, "tool")),
                                 json_string_value(json_object_get(check, "statistic")));
    }
}

static void checks_fire_for_what_they_look_at(void)
{
    static const struct {
        struct fault fault;
        uint64_t rows;
        size_t column;
        const char *fired;
    } cases[] = {
        {{.scale = 1}, 900, 0, ""},
        {{.scale = 1}, 20000, 0, ""},
        {{.scale = 1}, 900, 2, ""},
        {{.scale = 1, .shift = 4},
         150,
         0,
         "evidently/ks_p deepchecks/ks great_expectations/max_z nannyml/js"},
        {{.scale = 1, .shift = 4}, 20000, 0, "evidently/wasserstein deepchecks/ks nannyml/js"},
        {{.scale = 1, .missing = 5},
         20000,
         0,
         "deepchecks/missing great_expectations/missing nannyml/missing"},
        {{.scale = 1, .missing = 50}, 20000, 0, "great_expectations/missing nannyml/missing"},
        {{.scale = 1, .new_color = 3},
         20000,
         2,
         "evidently/js deepchecks/cramers_v deepchecks/new_categories "
         "great_expectations/new_categories nannyml/js nannyml/new_categories"},
        {{.scale = 1, .new_color = 100},
         900,
         2,
         "evidently/chi_square_p deepchecks/new_categories "
         "great_expectations/new_categories nannyml/new_categories"},
        {{.scale = 1, .text_in_x = 100}, 20000, 0, "great_expectations/type"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(compared_done) struct compared c = {0};
        struct ce_error err = {0};
        char text[512];
        REQUIRE_OK(compare(&c, &cases[i].fault, cases[i].rows, &err), err);
        ce_autojson json_t *json = ce_drift_json(&c.reference, &c.current);
        REQUIRE(json_array_size(json) == COLUMNS);
        fired(json_array_get(json, cases[i].column), text, sizeof text);
        CHECK_TEXT(text, cases[i].fired);
    }
}

static void the_table_as_a_whole_is_compared(void)
{
    static const struct fault copies = {.scale = 1, .copies = 10};
    CE_CLEANUP(compared_done) struct compared c = {0};
    struct ce_error err = {0};
    char text[512];
    REQUIRE_OK(compare(&c, &copies, 5000, &err), err);
    ce_autojson json_t *json = ce_drift_table_json(&c.reference, &c.current);
    CHECK(json_number_value(json_object_get(json, "duplicate_share_before")) == 0);
    CHECK(near(json_number_value(json_object_get(json, "duplicate_share_after")), 0.1, 1e-12));
    fired(json, text, sizeof text);
    CHECK_TEXT(text, "deepchecks/duplicate_share great_expectations/duplicate_share");

    /* x becomes y, and the last two change places. */
    struct ce_column_profile *columns = c.current.columns, last = columns[COLUMNS - 1];
    c.current.rows++;
    columns[0].name[0] = 'y';
    columns[COLUMNS - 1] = columns[COLUMNS - 2];
    columns[COLUMNS - 2] = last;
    ce_autojson json_t *changed = ce_drift_table_json(&c.reference, &c.current);
    const json_t *added = json_object_get(changed, "columns_added");
    const json_t *removed = json_object_get(changed, "columns_removed");
    CHECK(json_array_size(added) == 1 && json_array_size(removed) == 1);
    CHECK_TEXT(json_string_value(json_array_get(added, 0)), "y");
    CHECK_TEXT(json_string_value(json_array_get(removed, 0)), "x");
    CHECK(json_is_true(json_object_get(changed, "columns_reordered")));
    fired(changed, text, sizeof text);
    CHECK_TEXT(text, "deepchecks/duplicate_share great_expectations/duplicate_share "
                     "great_expectations/rows great_expectations/columns_changed "
                     "great_expectations/columns_changed_or_reordered");
    ce_autojson json_t *drift = ce_drift_json(&c.reference, &c.current);
    CHECK(json_array_size(drift) == COLUMNS - 1);
}

/* ---- JSON and back ---- */

static void a_profile_is_written_and_read(void)
{
    static const struct fault fault = {.scale = 1, .missing = 7};
    FOLDER(folder);
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0}, loaded = {0};
    struct ce_error err = {0};
    REQUIRE_OK(make_profile(&fault, 3000, &profile, &err), err);
    profile.partial = true;
    ce_autojson json_t *json = ce_profile_json(&profile);
    ce_autofree char *text = ce_json_text(json);
    REQUIRE(text != NULL);
    REQUIRE_OK(ce_profile_load(folder_write(&folder, "p.json", text, strlen(text)), &loaded, &err),
               err);
    CHECK(loaded.rows == 3000 && loaded.column_count == COLUMNS && loaded.partial);
    CHECK(loaded.duplicate_share == 0);
    for (size_t i = 0; i < COLUMNS; i++) {
        const struct ce_column_profile *a = &profile.columns[i], *b = &loaded.columns[i];
        CHECK_TEXT(b->name, a->name);
        CHECK(a->type == b->type && a->numeric == b->numeric && b->uncertain);
        CHECK(a->cells == b->cells && a->missing == b->missing && near(a->sd, b->sd, 1e-14));
        CHECK(near(a->mean, b->mean, 1e-14) && near(a->min, b->min, 1e-14));
        CHECK(near(a->max, b->max, 1e-14) && a->distinct == b->distinct);
        for (size_t k = 0; k < b->category_count; k++)
            CHECK(strcmp(a->categories[k].text, b->categories[k].text) == 0 &&
                  a->categories[k].count == b->categories[k].count);
    }
    CHECK(loaded.columns[2].category_count == 3 && loaded.columns[1].category_count == 20);
    CHECK(loaded.columns[0].categories == NULL && loaded.columns[2].sketch == NULL);
    static const double known[] = {0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1};
    static const size_t ordered[] = {0, 1, 3};
    for (size_t c = 0; c < CE_COUNT(ordered); c++)
        for (size_t i = 0; i < CE_COUNT(known); i++) {
            double a, b;
            REQUIRE(ce_profile_quantile(&profile.columns[ordered[c]], known[i], &a));
            REQUIRE(ce_profile_quantile(&loaded.columns[ordered[c]], known[i], &b));
            CHECK(near(a, b, 1e-14));
        }
    double low = 0, middle = 0, high = 0;
    CHECK(ce_profile_quantile(&loaded.columns[0], 0.25, &low) &&
          ce_profile_quantile(&loaded.columns[0], 0.3, &middle) &&
          ce_profile_quantile(&loaded.columns[0], 0.5, &high));
    CHECK(near(middle, low + 0.2 * (high - low), 1e-12));
}

static void what_has_no_meaning_is_null(void)
{
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
    struct ce_error err = {0};
    REQUIRE_OK(make_profile(&clean, 40, &profile, &err), err);
    profile.duplicate_share = -1;
    ce_autojson json_t *json = ce_profile_json(&profile);
    const json_t *columns = json_object_get(json, "columns");
    const json_t *n = json_array_get(columns, 1), *color = json_array_get(columns, 2);
    const json_t *when = json_array_get(columns, 3);
    CHECK(json_is_null(json_object_get(json, "duplicate_share")));
    CHECK(json_integer_value(json_object_get(n, "max")) == 39);
    CHECK(json_number_value(json_object_get(json_object_get(n, "quantiles"), "0.5")) == 19.5);
    CHECK(json_is_null(json_object_get(color, "mean")) &&
          json_is_null(json_object_get(color, "min")) &&
          json_is_null(json_object_get(color, "quantiles")));
    CHECK(json_array_size(json_object_get(color, "categories")) == 3);
    CHECK(json_is_null(json_object_get(when, "sd")));
    CHECK_TEXT(json_string_value(json_object_get(when, "min")), "2001-09-09T01:46:40Z");
}

static void a_malformed_profile_is_refused_in_one_sentence(void)
{
#define COLUMN(type, rest)                                                                         \
    "{\"rows\": 1, \"duplicate_share\": null, \"columns\": [{\"name\": \"a\", \"type\": " type     \
    ", \"cells\": 1, \"nulls\": 0, \"distinct\": 1, " rest "}]}"
#define NUMBERS "\"mean\": 1, \"sd\": 0, \"min\": 1, \"max\": 2, "
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"[1]", "it is not an object"},
        {"{\"rows\": 1}", ": columns is not a list"},
        {"{\"rows\": -1, \"columns\": []}", ": rows is not a count"},
        {"{\"rows\": 1, \"columns\": []}", ": duplicate_share is not a number or null"},
        {"{\"rows\": 1, \"duplicate_share\": null, \"columns\": [7]}",
         ": columns[0].name is not a text"},
        {"{\"rows\": 1, \"duplicate_share\": null, \"columns\": [{\"name\": \"a\", \"type\": "
         "\"text\", \"cells\": 1, \"nulls\": 2}]}",
         ": columns[0].nulls is not at most the number of cells"},
        {"{\"rows\": 1, \"duplicate_share\": null, \"columns\": [{\"name\": \"a\", \"type\": "
         "\"text\", \"cells\": 2, \"nulls\": 0}]}",
         ": columns[0].cells is not at most nulls and rows"},
        {COLUMN("\"float\"", "\"mean\": 1"), ": columns[0].type is not one of empty, integer"},
        {COLUMN("\"number\"", "\"mean\": \"1\""), ": columns[0].mean is not a number or null"},
        {COLUMN("\"number\"", "\"mean\": 1, \"sd\": -1, \"min\": 0, \"max\": 0"),
         ": columns[0].sd is not a number from 0"},
        {COLUMN("\"number\"", NUMBERS "\"quantiles\": 3"),
         ": columns[0].quantiles is not an object of quantiles"},
        {COLUMN("\"number\"", NUMBERS "\"quantiles\": {\"0.5\": null}"),
         ": columns[0].quantiles.0.5 is not a number"},
        {COLUMN("\"number\"", NUMBERS "\"quantiles\": {\"2\": 1}"),
         ": columns[0].quantiles.2 is not named by a share"},
        {COLUMN("\"number\"", NUMBERS "\"quantiles\": {\"0.5\": 3}"),
         ": columns[0].quantiles is not in ascending order"},
        {COLUMN("\"time\"", "\"min\": 1, \"max\": 2, \"quantiles\": {}"),
         ": columns[0].min is not a time"},
        {COLUMN("\"text\"", "\"categories\": {}"), ": columns[0].categories is not a list or null"},
        {COLUMN("\"text\"", "\"categories\": [[\"a\", 1], [\"b\"]]"),
         ": columns[0].categories[1] is not a text and its count"},
        {"{", "not valid JSON"},
    };
    FOLDER(folder);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
        struct ce_error err = {0};
        const char *path = folder_write(&folder, "p.json", cases[i].json, strlen(cases[i].json));
        CHECK(ce_profile_load(path, &profile, &err) == -EINVAL);
        if (!strstr(err.message, cases[i].message))
            CHECK_TEXT(err.message, cases[i].message);
        CHECK(profile.columns == NULL);
    }
    struct ce_profile profile = {0};
    CHECK(ce_profile_load(folder_file(&folder, "absent.json"), &profile, NULL) == -ENOENT);
}

int main(void)
{
    TEST(logarithm_and_exponential_are_right);
    TEST(p_values_are_those_of_the_tables);
    TEST(distances_have_their_closed_forms);
    TEST(a_table_does_not_drift_from_itself);
    TEST(a_shift_is_measured);
    TEST(outliers_are_outside_the_fences);
    TEST(few_values_are_compared_exactly);
    TEST(categories_that_are_new_are_counted);
    TEST(a_constant_column_that_changes_is_seen);
    TEST(checks_fire_for_what_they_look_at);
    TEST(the_table_as_a_whole_is_compared);
    TEST(a_profile_is_written_and_read);
    TEST(what_has_no_meaning_is_null);
    TEST(a_malformed_profile_is_refused_in_one_sentence);
    return test_done();
}
