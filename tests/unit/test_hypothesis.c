/* SPDX-License-Identifier: MIT */
/* The workload's measurements as they are now, and how hypothesis and stop conditions are judged by
 * them. Time is what the test says; probes that are asked are test_probe.c's. */
#include "controller/hypothesis.h"

#include <math.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "check.h"

#define MS CE_MILLISECOND

static int64_t now;

/* One operation after each `step`. */
static void operate(struct ce_live *live, int count, int64_t step, int64_t latency, bool ok)
{
    for (int i = 0; i < count; i++) {
        now += step;
        const struct ce_outcome outcome = {
            .phase = CE_PHASE_FAULT, .latency_ns = latency, .ok = ok, .right = i % 2 == 0};
        ce_live_add(live, &outcome, now);
    }
}

static double value(const struct ce_live *live, const char *metric, int64_t window)
{
    return ce_live_value(live, metric, window, now);
}

static bool near(double value, double wanted)
{
    return fabs(value - wanted) <= 0.02 * wanted;
}

static void measurements_are_of_the_window(void)
{
    struct ce_measure *measure = ce_measure_new(10);
    struct ce_live *live = ce_live_new(measure);
    now = CE_SECOND;
    ce_live_begin(live, now);
    CHECK(isnan(value(live, "error_ratio", CE_SECOND)) && value(live, "error_count", 1) == 0);
    operate(live, 9, 20 * MS, 10 * MS, true);
    CHECK(isnan(value(live, "p50_ms", CE_SECOND))); /* too few to say anything */
    operate(live, 1, 20 * MS, 10 * MS, true);
    CHECK(near(value(live, "p50_ms", CE_SECOND), 10));
    CHECK(near(value(live, "throughput", CE_SECOND), 50));
    operate(live, 40, 20 * MS, 10 * MS, true);
    CHECK(value(live, "accuracy", CE_SECOND) == 0.52);
    CHECK(value(live, "error_ratio", CE_SECOND) == 0);

    operate(live, 25, 20 * MS, 400 * MS, false); /* half of the last second */
    CHECK(near(value(live, "error_ratio", CE_SECOND), 0.5));
    CHECK(value(live, "error_ratio", 300 * MS) == 1);
    CHECK(value(live, "error_count", 300 * MS) == 25);
    CHECK(near(value(live, "p99_ms", CE_SECOND), 400) && value(live, "max_ms", CE_SECOND) == 400);
    CHECK(near(value(live, "throughput", CE_SECOND), 25));
    CHECK(near(value(live, "p50_ms", INT64_MAX), 10)); /* of all */

    now += 10 * CE_SECOND; /* nothing ends any more */
    CHECK(value(live, "throughput", CE_SECOND) == 0);
    CHECK(value(live, "error_ratio", CE_SECOND) == 1); /* the last one's */
    CHECK(isnan(value(live, "no_such", CE_SECOND)));

    ce_live_begin(live, now);
    CHECK(value(live, "error_count", CE_SECOND) == 0);
    CHECK(isnan(value(live, "error_ratio", INT64_MAX)));
    ce_live_free(live);
    ce_measure_free(measure);
}

static void the_oldest_are_forgotten_and_not_the_newest(void)
{
    struct ce_measure *measure = ce_measure_new(10);
    struct ce_live *live = ce_live_new(measure);
    now = CE_SECOND;
    ce_live_begin(live, now);
    operate(live, 300000, MS, 10 * MS, true);
    operate(live, 1000, MS, 10 * MS, false);
    CHECK(near(value(live, "error_ratio", 2 * CE_SECOND), 0.5));
    CHECK(near(value(live, "error_ratio", INT64_MAX), 1000.0 / (1 << 18)));
    ce_live_free(live);
    ce_measure_free(measure);
}

static void trials_tell_their_own_metrics(void)
{
    struct ce_measure *measure = ce_measure_new_trials();
    struct ce_live *live = ce_live_new(measure);
    now = CE_SECOND;
    ce_live_begin(live, now);
    for (int i = 1; i <= 2; i++) {
        ce_autojson json_t *metrics = json_pack("{s:i}", "loss", i);
        const struct ce_outcome outcome = {
            .ok = true, .accuracy = 0.5 * i, .latency_ns = 20 * CE_SECOND, .metrics = metrics};
        now += 20 * CE_SECOND;
        ce_live_add(live, &outcome, now);
    }
    now += 5 * CE_SECOND; /* in the next trial */
    CHECK(value(live, "loss", CE_SECOND) == 2);
    CHECK(value(live, "loss", INT64_MAX) == 1.5);
    CHECK(value(live, "accuracy", CE_SECOND) == 1);
    CHECK(near(value(live, "throughput", INT64_MAX), 0.05));
    CHECK(isnan(value(live, "other", CE_SECOND)));
    ce_live_free(live);
    ce_measure_free(measure);
}

/* ---- the hypothesis ---- */

static struct ce_probe_spec probe(const char *metric, double min, double max, int mode,
                                  int64_t failures)
{
    struct ce_probe_spec spec = {.kind = CE_PROBE_WORKLOAD,
                                 .mode = mode,
                                 .metric = (char *)(uintptr_t)metric,
                                 .interval = 100 * MS,
                                 .timeout = CE_SECOND,
                                 .window = CE_SECOND,
                                 .failures = failures};
    spec.expect = ce_expect_nothing();
    spec.expect.min = min;
    spec.expect.max = max;
    return spec;
}

struct world {
    struct ce_probe_spec probes[2];
    struct ce_stop stops[1];
    struct ce_experiment experiment;
    struct ce_measure *measure;
    struct ce_live *live;
    struct ce_hypothesis *h;
};

/* The clock is the test's from here on. */
static void world_make(struct world *world, size_t probes, size_t stops)
{
    now = 100 * CE_SECOND;
    ce_clock_use(&now);
    world->experiment.probes = world->probes;
    world->experiment.probe_count = probes;
    world->experiment.stops = world->stops;
    world->experiment.stop_count = stops;
    world->measure = ce_measure_new(10);
    world->live = ce_live_new(world->measure);
    world->h = ce_hypothesis_new(&world->experiment, world->live, NULL, 2 * CE_SECOND);
    ce_live_begin(world->live, now);
}

static void world_end(struct world *world)
{
    ce_hypothesis_free(world->h);
    ce_live_free(world->live);
    ce_measure_free(world->measure);
    ce_clock_use(NULL);
}

/* Operations and polls, side by side. Whether a stop condition was met, and when. */
static int64_t go_on(struct world *world, int64_t duration, int64_t latency, bool ok)
{
    for (int64_t end = now + duration; now < end;) {
        operate(world->live, 1, 20 * MS, latency, ok);
        if (ce_hypothesis_poll(world->h, now))
            return now;
    }
    return 0;
}

static bool settle(struct world *world, enum ce_round round)
{
    if (ce_hypothesis_begin(world->h, round, NULL) < 0)
        return false;
    for (int i = 0; i < 1000 && !ce_hypothesis_settled(world->h); i++)
        (void)go_on(world, 20 * MS, 10 * MS, true);
    return ce_hypothesis_settled(world->h);
}

static json_t *first_probe(struct world *world, struct ce_record *record)
{
    ce_hypothesis_record(world->h, record);
    return json_array_get(record->steady_state, 0);
}

static void a_deviation_takes_as_many_failures_in_a_row_as_were_asked_for(void)
{
    struct world world = {.probes = {probe("p50_ms", 0, 50, CE_PROBE_CONTINUOUS, 5)}};
    struct ce_record record = {0};
    const char *stage;
    world.probes[0].window = 200 * MS;
    world_make(&world, 1, 0);
    (void)go_on(&world, CE_SECOND, 10 * MS, true);
    REQUIRE(settle(&world, CE_ROUND_BEFORE));
    CHECK(!ce_hypothesis_refuses(world.h, &stage));
    (void)ce_hypothesis_begin(world.h, CE_ROUND_CHAOS, NULL);
    (void)go_on(&world, 250 * MS, 200 * MS, true); /* the median is above for as long */
    (void)go_on(&world, 2 * CE_SECOND, 10 * MS, true);
    CHECK(!ce_hypothesis_deviated(world.h));
    (void)go_on(&world, 2 * CE_SECOND, 200 * MS, true);
    CHECK(ce_hypothesis_deviated(world.h));
    (void)go_on(&world, 5 * CE_SECOND, 10 * MS, true); /* does not make it undone */
    json_t *json = first_probe(&world, &record);
    CHECK(json_is_false(json_object_get(json, "held")));
    CHECK(strstr(json_string_value(json_object_get(json, "detail")), "above 50") != NULL);
    CHECK(json_integer_value(json_object_get(json, "failures")) >= 5);
    ce_record_done(&record);
    world_end(&world);
}

static void each_mode_is_looked_at_in_its_time_alone(void)
{
    static const struct {
        int mode;
        bool before, chaos, after;
    } cases[] = {
        {CE_PROBE_START, true, false, false},    {CE_PROBE_END, false, false, true},
        {CE_PROBE_EDGE, true, false, true},      {CE_PROBE_CONTINUOUS, true, true, true},
        {CE_PROBE_ON_CHAOS, false, true, false},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct world world = {.probes = {probe("p50_ms", 0, 50, cases[i].mode, 1)}};
        static const enum ce_round rounds[] = {CE_ROUND_BEFORE, CE_ROUND_CHAOS, CE_ROUND_AFTER};
        const bool wanted[] = {cases[i].before, cases[i].chaos, cases[i].after};
        json_int_t before = 0;
        world_make(&world, 1, 0);
        (void)go_on(&world, CE_SECOND, 10 * MS, true);
        for (size_t k = 0; k < CE_COUNT(rounds); k++) {
            struct ce_record record = {0};
            if (rounds[k] == CE_ROUND_CHAOS) {
                (void)ce_hypothesis_begin(world.h, CE_ROUND_CHAOS, NULL);
                (void)go_on(&world, CE_SECOND, 10 * MS, true);
            } else {
                CHECK(settle(&world, rounds[k]));
                (void)go_on(&world, CE_SECOND, 10 * MS, true);
            }
            json_t *json = first_probe(&world, &record);
            json_int_t looks = json_integer_value(json_object_get(json, "looks"));
            CHECK((looks > before) == wanted[k]);
            before = looks;
            ce_record_done(&record);
        }
        CHECK(!ce_hypothesis_deviated(world.h) && !ce_hypothesis_unknown(world.h));
        world_end(&world);
    }
}

static void what_cannot_be_looked_at_is_no_deviation(void)
{
    struct world world = {.probes = {probe("no_such", 0, 50, CE_PROBE_EDGE, 2)}};
    struct ce_record record = {0};
    const char *stage = NULL;
    world_make(&world, 1, 0);
    (void)go_on(&world, CE_SECOND, 10 * MS, true);
    REQUIRE(settle(&world, CE_ROUND_BEFORE));
    const char *why = ce_hypothesis_refuses(world.h, &stage);
    CHECK(why && strstr(why, "could not be looked at"));
    CHECK_TEXT(stage, "baseline");
    REQUIRE(settle(&world, CE_ROUND_AFTER));
    CHECK(!ce_hypothesis_deviated(world.h) && ce_hypothesis_unknown(world.h));
    json_t *json = first_probe(&world, &record);
    CHECK(json_is_null(json_object_get(json, "held")));
    CHECK(json_integer_value(json_object_get(json, "errors")) == 4);
    ce_record_done(&record);
    world_end(&world);
}

/* ---- stop conditions ---- */

static struct ce_stop stop_above(const char *metric, double above, int64_t hold)
{
    return (struct ce_stop){probe(metric, -INFINITY, above, CE_PROBE_EDGE, 1), hold};
}

static bool arm(struct world *world)
{
    const char *stage;
    (void)go_on(world, CE_SECOND, 10 * MS, true);
    bool ready = settle(world, CE_ROUND_BEFORE) && !ce_hypothesis_refuses(world->h, &stage);
    (void)ce_hypothesis_begin(world->h, CE_ROUND_CHAOS, NULL);
    ce_live_begin(world->live, now);
    return ready;
}

static void a_condition_stops_once_it_has_held_for_so_long(void)
{
    struct world world = {.stops = {stop_above("error_ratio", 0.5, 2 * CE_SECOND)}};
    struct ce_record record = {0};
    world_make(&world, 0, 1);
    REQUIRE(arm(&world));
    CHECK(go_on(&world, 1500 * MS, 10 * MS, false) == 0);
    CHECK(go_on(&world, 2 * CE_SECOND, 10 * MS, true) == 0); /* broken off: from the start again */
    int64_t begun = now, met = go_on(&world, 10 * CE_SECOND, 10 * MS, false);
    /* Half of the window's second has to be bad first. */
    CHECK(met >= begun + 2500 * MS && met <= begun + 2600 * MS);
    CHECK(strstr(ce_hypothesis_stopped(world.h), "error_ratio above 0.5 for 2 s"));
    ce_hypothesis_record(world.h, &record);
    CHECK_TEXT(json_string_value(json_object_get(record.stopped_by, "condition")),
               "error_ratio above 0.5 for 2 s");
    CHECK(json_real_value(json_object_get(record.stopped_by, "value")) > 0.5);
    CHECK(json_number_value(json_object_get(record.stopped_by, "after")) >= 6);
    ce_record_done(&record);
    world_end(&world);
}

static void it_is_armed_until_the_rollback_is_over(void)
{
    static const struct {
        enum ce_round round;
        bool stops;
    } cases[] = {{CE_ROUND_CHAOS, true}, {CE_ROUND_ROLLBACK, true}, {CE_ROUND_RECOVERY, false}};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct world world = {.stops = {stop_above("error_count", 5, 0)}};
        world_make(&world, 0, 1);
        REQUIRE(arm(&world));
        (void)ce_hypothesis_begin(world.h, cases[i].round, NULL);
        CHECK((go_on(&world, CE_SECOND, 10 * MS, false) > 0) == cases[i].stops);
        world_end(&world);
    }
}

static void one_that_is_met_already_or_can_never_be_is_refused(void)
{
    static const struct {
        const char *metric;
        double above;
        const char *stage;
    } cases[] = {{"p50_ms", 5, "baseline"}, {"no_such", 5, "preflight"}};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct world world = {.stops = {stop_above(cases[i].metric, cases[i].above, 0)}};
        const char *stage = NULL;
        world_make(&world, 0, 1);
        (void)go_on(&world, CE_SECOND, 10 * MS, true);
        REQUIRE(settle(&world, CE_ROUND_BEFORE));
        CHECK(ce_hypothesis_refuses(world.h, &stage));
        CHECK_TEXT(stage, cases[i].stage);
        world_end(&world);
    }
}

static void a_blind_stop_stops_and_says_so(void)
{
    struct world world = {.stops = {stop_above("p50_ms", 500, 0)}};
    struct ce_record record = {0};
    world_make(&world, 0, 1);
    REQUIRE(arm(&world));
    int64_t begun = now, stopped = 0;
    while (!stopped && now < begun + 20 * CE_SECOND) { /* no operation ends */
        now += 20 * MS;
        stopped = ce_hypothesis_poll(world.h, now) ? now : 0;
    }
    CHECK(stopped > begun + 4 * CE_SECOND && stopped < begun + 7 * CE_SECOND);
    ce_hypothesis_record(world.h, &record);
    CHECK_TEXT(json_string_value(json_object_get(record.stopped_by, "condition")),
               "p50_ms could not be looked at any more");
    CHECK(json_is_null(json_object_get(record.stopped_by, "value")));
    CHECK(strstr(ce_hypothesis_stopped(world.h), "could not be looked at any more: "));
    ce_record_done(&record);
    world_end(&world);
}

static void time_in_which_nobody_could_look_does_not_count(void)
{
    struct world world = {.stops = {stop_above("p50_ms", 500, 0)}};
    world_make(&world, 0, 1);
    REQUIRE(arm(&world));
    now += 60 * CE_SECOND; /* the injection took that long */
    CHECK(!ce_hypothesis_poll(world.h, now));
    CHECK(go_on(&world, 10 * CE_SECOND, 10 * MS, true) == 0);
    world_end(&world);
}

int main(void)
{
    TEST(measurements_are_of_the_window);
    TEST(the_oldest_are_forgotten_and_not_the_newest);
    TEST(trials_tell_their_own_metrics);
    TEST(a_deviation_takes_as_many_failures_in_a_row_as_were_asked_for);
    TEST(each_mode_is_looked_at_in_its_time_alone);
    TEST(what_cannot_be_looked_at_is_no_deviation);
    TEST(a_condition_stops_once_it_has_held_for_so_long);
    TEST(it_is_armed_until_the_rollback_is_over);
    TEST(one_that_is_met_already_or_can_never_be_is_refused);
    TEST(a_blind_stop_stops_and_says_so);
    TEST(time_in_which_nobody_could_look_does_not_count);
    return test_done();
}
