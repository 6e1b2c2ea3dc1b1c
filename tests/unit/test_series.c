/* SPDX-License-Identifier: MIT */
/* What a run measured over time, from outcomes made up to the point. */
#include <math.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "check.h"
#include "controller/series.h"

#define MS CE_MILLISECOND

static struct ce_series *begun(bool trials)
{
    struct ce_series *series = ce_series_new(trials);
    if (!series)
        abort();
    ce_series_phase(series, "baseline", CE_SECOND);
    return series;
}

static void add(struct ce_series *series, int64_t due, int64_t latency, bool ok, bool right)
{
    struct ce_outcome outcome = {
        .due = CE_SECOND + due, .latency_ns = latency, .ok = ok, .right = right, .accuracy = NAN};
    ce_series_add(series, &outcome);
}

static void add_trial(struct ce_series *series, int64_t due, double accuracy, json_t *metrics)
{
    struct ce_outcome outcome = {.due = CE_SECOND + due,
                                 .latency_ns = 40 * MS,
                                 .ok = true,
                                 .accuracy = accuracy,
                                 .metrics = metrics};
    ce_series_add(series, &outcome);
    json_decref(metrics);
}

static const json_t *list(const json_t *series, const char *key)
{
    return json_object_get(series, key);
}

static double number(const json_t *series, const char *key, size_t i)
{
    const json_t *value = json_array_get(list(series, key), i);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static json_int_t sum(const json_t *list)
{
    json_int_t sum = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        sum += json_integer_value(json_array_get(list, i));
    return sum;
}

static bool near(double a, double b, double by)
{
    return fabs(a - b) <= by;
}

static void a_run_without_operations_has_no_series(void)
{
    struct ce_series *series = begun(false);
    CHECK(!ce_series_json(series));
    CHECK(!ce_series_json(NULL));
    ce_series_phase(NULL, "baseline", 0);
    ce_series_intensity(NULL, 1, 0);
    ce_series_free(series);
    ce_series_free(NULL);
}

static void operations_belong_to_the_slot_in_which_they_were_due(void)
{
    struct ce_series *series = begun(false);
    add(series, 0, 2 * MS, true, true);
    add(series, 20 * MS, 4 * MS, true, false);
    add(series, 99 * MS, 900 * MS, false, false); /* ended long after its slot */
    add(series, 310 * MS, MS, true, true);
    ce_autojson json_t *json = ce_series_json(series);
    CHECK(near(json_number_value(list(json, "width")), 0.1, 0));
    REQUIRE(json_array_size(list(json, "at")) == 4);
    CHECK(near(number(json, "at", 3), 0.3, 0));
    CHECK(number(json, "operations", 0) == 3 && number(json, "errors", 0) == 1);
    CHECK(near(number(json, "accuracy", 0), 0.5, 0));
    CHECK(near(number(json, "p50_ms", 0), 4, 0.04));
    CHECK(near(number(json, "p99_ms", 0), 900, 0));
    CHECK(number(json, "operations", 1) == 0);
    CHECK(json_is_null(json_array_get(list(json, "p50_ms"), 1)));
    CHECK(json_is_null(json_array_get(list(json, "accuracy"), 1)));
    CHECK(!list(json, "custom"));
    ce_series_free(series);
}

static void a_long_run_has_wider_slots_and_loses_no_operation(void)
{
    enum { COUNT = 20000 };
    struct ce_series *series = begun(false);
    for (int i = 0; i < COUNT; i++) /* 200 s, out of order at times */
        add(series, (int64_t)(i ^ 7) * 10 * MS, (i % 100 + 1) * MS, i % 10 != 0, i % 2 == 0);
    ce_autojson json_t *json = ce_series_json(series);
    CHECK(near(json_number_value(list(json, "width")), 0.4, 0));
    REQUIRE(json_array_size(list(json, "at")) == 500);
    CHECK(near(number(json, "at", 499), 199.6, 0));
    CHECK(sum(list(json, "operations")) == COUNT);
    CHECK(sum(list(json, "errors")) == COUNT / 10);
    for (size_t i = 0; i < 500; i++)
        CHECK(number(json, "operations", i) == 40);
    /* 40 in a row of 1..100 ms: 1..40, 41..80, 81..100 and 1..20, ... */
    CHECK(near(number(json, "p50_ms", 0), 20, 0.4));
    ce_series_free(series);
}

static void an_operation_after_a_very_long_silence_keeps_the_bound(void)
{
    struct ce_series *series = begun(false);
    add(series, 0, MS, true, true);
    add(series, 7 * 24 * 3600 * CE_SECOND, MS, true, true);
    ce_autojson json_t *json = ce_series_json(series);
    CHECK(json_array_size(list(json, "at")) <= CE_SERIES_SLOTS);
    CHECK(sum(list(json, "operations")) == 2);
    ce_series_free(series);
}

static void intensity_is_the_mean_over_a_slot(void)
{
    struct ce_series *series = begun(false);
    CHECK(ce_series_intensity_now(series) == 0);
    ce_series_intensity(series, 1, CE_SECOND + 130 * MS);
    ce_series_intensity(series, 0.5, CE_SECOND + 310 * MS);
    ce_series_intensity(series, 0.25, CE_SECOND + 320 * MS);
    CHECK(ce_series_intensity_now(series) == 0.25);
    ce_series_intensity(series, 0, CE_SECOND + 400 * MS);
    for (int i = 0; i < 6; i++)
        add(series, i * 100 * MS, MS, true, true);
    ce_autojson json_t *json = ce_series_json(series);
    const double want[] = {0, 0.7, 1, 0.1 + 0.05 + 0.2, 0, 0};
    for (size_t i = 0; i < CE_COUNT(want); i++)
        CHECK(near(number(json, "intensity", i), want[i], 1e-9));
    ce_series_free(series);
}

static void phases_tell_when_they_began_and_ended(void)
{
    struct ce_series *series = begun(false);
    add(series, 0, MS, true, true);
    ce_series_phase(series, NULL, 3 * CE_SECOND);
    ce_series_phase(series, "fault", 4 * CE_SECOND);
    ce_series_phase(series, "rollback", 5 * CE_SECOND);
    ce_series_phase(series, NULL, 6 * CE_SECOND);
    ce_series_phase(series, NULL, 9 * CE_SECOND);
    ce_autojson json_t *json = ce_series_json(series);
    ce_autofree char *text = json_dumps(list(json, "phases"), JSON_COMPACT);
    CHECK_TEXT(text, "[{\"phase\":\"baseline\",\"begin\":0.0,\"end\":2.0},"
                     "{\"phase\":\"fault\",\"begin\":3.0,\"end\":4.0},"
                     "{\"phase\":\"rollback\",\"begin\":4.0,\"end\":5.0}]");
    ce_series_free(series);
}

static void each_trial_is_a_point_of_its_own(void)
{
    struct ce_series *series = begun(true);
    add_trial(series, 0, 0.9, json_pack("{s:f}", "rows", 60.0));
    ce_series_intensity(series, 1, CE_SECOND + 50 * MS);
    add_trial(series, 70 * MS, NAN, json_pack("{s:f, s:f}", "rows", 30.0, "loss", 0.5));
    ce_autojson json_t *json = ce_series_json(series);
    CHECK(json_is_null(list(json, "width")));
    REQUIRE(json_array_size(list(json, "at")) == 2);
    CHECK(near(number(json, "at", 1), 0.07, 0));
    CHECK(near(number(json, "accuracy", 0), 0.9, 0));
    CHECK(json_is_null(json_array_get(list(json, "accuracy"), 1)));
    CHECK(number(json, "intensity", 0) == 0 && number(json, "intensity", 1) == 1);
    ce_autofree char *text = json_dumps(list(json, "custom"), JSON_COMPACT);
    CHECK_TEXT(text, "{\"rows\":[60.0,30.0],\"loss\":[null,0.5]}");
    ce_series_free(series);
}

static void many_trials_share_points(void)
{
    enum { COUNT = 1500 };
    struct ce_series *series = begun(true);
    for (int i = 0; i < COUNT; i++)
        add_trial(series, i * 150 * MS, i % 2, NULL);
    ce_autojson json_t *json = ce_series_json(series);
    REQUIRE(json_array_size(list(json, "at")) == COUNT / 4);
    CHECK(sum(list(json, "operations")) == COUNT);
    for (size_t i = 0; i < COUNT / 4; i++) {
        CHECK(number(json, "operations", i) == 4);
        CHECK(near(number(json, "accuracy", i), 0.5, 0));
        CHECK(near(number(json, "at", i), (double)i * 0.6, 1e-9));
    }
    ce_series_free(series);
}

/* How the document that holds it is written down. */
static void lists_of_numbers_stay_on_one_line(void)
{
    ce_autojson json_t *json =
        json_pack("{s:[i, f, n], s:[s, i], s:[], s:s, s:[[i, i], [i]]}", "a", 1, 0.5, "b",
                  "[1,\n 2]\"", 7, "c", "d", "[ 1, 2 ]\\", "e", 1, 2, 3);
    ce_autofree char *text = ce_json_text(json);
    CHECK_TEXT(text,
               "{\n  \"a\": [1, 0.5, null],\n  \"b\": [\n    \"[1,\\n 2]\\\"\",\n    7\n  ],\n"
               "  \"c\": [],\n  \"d\": \"[ 1, 2 ]\\\\\",\n"
               "  \"e\": [\n    [1, 2],\n    [3]\n  ]\n}\n");
    struct ce_error err = {0};
    ce_autojson json_t *back = ce_json_parse(text, strlen(text), "text", &err);
    CHECK(json_equal(json, back));
}

int main(void)
{
    TEST(a_run_without_operations_has_no_series);
    TEST(operations_belong_to_the_slot_in_which_they_were_due);
    TEST(a_long_run_has_wider_slots_and_loses_no_operation);
    TEST(an_operation_after_a_very_long_silence_keeps_the_bound);
    TEST(intensity_is_the_mean_over_a_slot);
    TEST(phases_tell_when_they_began_and_ended);
    TEST(each_trial_is_a_point_of_its_own);
    TEST(many_trials_share_points);
    TEST(lists_of_numbers_stay_on_one_line);
    return test_done();
}
