/* SPDX-License-Identifier: MIT */
/* The measurements and the score, from outcomes made up to the point. */
#include <math.h>

#include "check.h"
#include "controller/measure.h"

enum { RATE = 50, PER_SLOT = 5 };
#define INTERVAL (CE_SECOND / RATE)

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

/* Operations first..first+count-1 of a phase that began at `start`. */
static void feed(struct ce_measure *m, enum ce_phase phase, int64_t start, uint64_t first,
                 uint64_t count, bool ok, bool right, int64_t latency)
{
    for (uint64_t n = first; n < first + count; n++) {
        struct ce_outcome outcome = {
            .phase = phase,
            .number = n,
            .due = start + (int64_t)n * INTERVAL,
            .latency_ns = latency,
            .ok = ok,
            .right = ok && right,
        };
        ce_measure_add(m, &outcome);
    }
}

static struct ce_measure *healthy_baseline(void)
{
    struct ce_measure *m = ce_measure_new(100);
    char reason[256];
    if (!m)
        abort();
    feed(m, CE_PHASE_BASELINE, 0, 0, 80, true, true, CE_MILLISECOND);
    feed(m, CE_PHASE_BASELINE, 0, 80, 20, true, false, CE_MILLISECOND);
    CHECK(ce_measure_baseline(m, reason, sizeof reason));
    ce_measure_injected(m, 10 * CE_SECOND);
    return m;
}

static void a_run_without_operations_has_no_score(void)
{
    struct ce_measure *m = ce_measure_new(10);
    struct ce_record record = {0};
    ce_measure_record(m, NAN, &record);
    ce_score(&record);
    CHECK(!record.measured);
    CHECK(isnan(record.score));
    CHECK(isnan(record.accuracy_degradation));
    CHECK(isnan(record.pipeline_downtime));
    ce_measure_free(m);
}

static void an_untouched_pipeline_loses_nothing(void)
{
    struct ce_measure *m = healthy_baseline();
    struct ce_record record = {0};
    /* 70 operations are no whole round of the rows: pairing has to see to it that nothing is lost.
     */
    feed(m, CE_PHASE_FAULT, 10 * CE_SECOND, 0, 70, true, true, CE_MILLISECOND);
    ce_measure_rolling_back(m, 12 * CE_SECOND);
    feed(m, CE_PHASE_ROLLBACK, 12 * CE_SECOND, 0, 40, true, true, CE_MILLISECOND);
    double recovery = ce_measure_recovery(m, 13 * CE_SECOND);
    CHECK(near(recovery, 0));
    ce_measure_record(m, recovery, &record);
    ce_score(&record);
    CHECK(near(record.accuracy_degradation, 0));
    CHECK(near(record.baseline_accuracy, 1));
    CHECK(near(record.pipeline_downtime, 0));
    CHECK(record.error_count == 0);
    CHECK(near(record.score, 100));
    ce_measure_free(m);
}

static void downtime_counts_slots_in_which_fewer_than_half_succeed(void)
{
    struct ce_measure *m = healthy_baseline();
    struct ce_record record = {0};
    int64_t t = 10 * CE_SECOND;
    feed(m, CE_PHASE_FAULT, t, 0, 10, true, true, CE_MILLISECOND);
    feed(m, CE_PHASE_FAULT, t, 10, 15, false, false, CE_MILLISECOND); /* three slots down */
    feed(m, CE_PHASE_FAULT, t, 25, 3, true, true, CE_MILLISECOND);    /* 3 of 5 succeed: up */
    feed(m, CE_PHASE_FAULT, t, 28, 2, false, false, CE_MILLISECOND);
    feed(m, CE_PHASE_FAULT, t, 30, 2, true, true, CE_MILLISECOND); /* 2 of 5: down */
    feed(m, CE_PHASE_FAULT, t, 32, 3, false, false, CE_MILLISECOND);
    ce_measure_record(m, NAN, &record);
    CHECK(near(record.pipeline_downtime, 0.4));
    CHECK(record.error_count == 20);
    ce_measure_free(m);
}

static void errors_count_from_injection_to_the_end_of_recovery(void)
{
    struct ce_measure *m = ce_measure_new(100);
    struct ce_record record = {0};
    char reason[256];
    feed(m, CE_PHASE_BASELINE, 0, 0, 99, true, true, CE_MILLISECOND);
    feed(m, CE_PHASE_BASELINE, 0, 99, 1, false, false, CE_MILLISECOND);
    CHECK(ce_measure_baseline(m, reason, sizeof reason));
    ce_measure_injected(m, 10 * CE_SECOND);
    feed(m, CE_PHASE_FAULT, 10 * CE_SECOND, 0, 1, false, false, 0);
    ce_measure_rolling_back(m, 11 * CE_SECOND);
    feed(m, CE_PHASE_ROLLBACK, 11 * CE_SECOND, 0, 1, false, false, 0);
    feed(m, CE_PHASE_RECOVERY, 12 * CE_SECOND, 0, 1, false, false, 0);
    ce_measure_record(m, NAN, &record);
    CHECK(record.error_count == 3);
    CHECK(record.phases[CE_PHASE_BASELINE].errors == 1);
    ce_measure_free(m);
}

static void accuracy_is_compared_row_by_row(void)
{
    struct ce_measure *m = healthy_baseline();
    struct ce_record record = {0};
    /* Rows 60..99: the baseline had 20 of these 40 right; now 10. */
    feed(m, CE_PHASE_FAULT, 10 * CE_SECOND, 60, 10, true, true, CE_MILLISECOND);
    feed(m, CE_PHASE_FAULT, 10 * CE_SECOND, 70, 30, true, false, CE_MILLISECOND);
    ce_measure_record(m, NAN, &record);
    CHECK(near(record.baseline_accuracy, 0.5));
    CHECK(near(record.fault_accuracy, 0.25));
    CHECK(near(record.accuracy_degradation, 0.25));
    ce_measure_free(m);
}

static void failed_operations_have_no_accuracy(void)
{
    struct ce_measure *m = healthy_baseline();
    struct ce_record record = {0};
    feed(m, CE_PHASE_FAULT, 10 * CE_SECOND, 0, 50, false, false, CE_MILLISECOND);
    ce_measure_record(m, NAN, &record);
    CHECK(isnan(record.fault_accuracy));
    CHECK(isnan(record.accuracy_degradation));
    ce_score(&record);
    CHECK(near(record.lost_accuracy, 0));
    CHECK(near(record.score, 100 - 4 - 30)); /* 1 s down, errors capped */
    ce_measure_free(m);
}

static void an_unhealthy_baseline_says_so(void)
{
    struct ce_measure *m = ce_measure_new(100);
    char reason[256];
    CHECK(!ce_measure_baseline(m, reason, sizeof reason));
    CHECK_TEXT(reason, "no operation ended during the baseline");
    feed(m, CE_PHASE_BASELINE, 0, 0, 90, true, true, CE_MILLISECOND);
    feed(m, CE_PHASE_BASELINE, 0, 90, 10, false, false, CE_MILLISECOND);
    CHECK(!ce_measure_baseline(m, reason, sizeof reason));
    CHECK(strstr(reason, "10 of 100 operations failed") != NULL);
    ce_measure_free(m);
}

static void recovery_needs_five_good_slots_in_a_row(void)
{
    struct ce_measure *m = healthy_baseline();
    int64_t t = 20 * CE_SECOND;
    ce_measure_rolling_back(m, t);
    feed(m, CE_PHASE_ROLLBACK, t, 0, 2 * PER_SLOT, false, false, CE_MILLISECOND);
    feed(m, CE_PHASE_ROLLBACK, t, 2 * PER_SLOT, 4 * PER_SLOT, true, true, CE_MILLISECOND);
    CHECK(isnan(ce_measure_recovery(m, t + 10 * CE_SECOND)));
    feed(m, CE_PHASE_ROLLBACK, t, 6 * PER_SLOT, 1, false, false, CE_MILLISECOND);
    feed(m, CE_PHASE_ROLLBACK, t, 6 * PER_SLOT + 1, 4, true, true, CE_MILLISECOND);
    feed(m, CE_PHASE_ROLLBACK, t, 7 * PER_SLOT, 5 * PER_SLOT, true, true, CE_MILLISECOND);
    CHECK(isnan(ce_measure_recovery(m, t + 11 * CE_SLOT))); /* the last slot is not settled yet */
    CHECK(near(ce_measure_recovery(m, t + 12 * CE_SLOT), 0.7));
    ce_measure_free(m);
}

static void slow_or_wrong_answers_are_not_recovered(void)
{
    struct ce_measure *m = healthy_baseline();
    int64_t t = 20 * CE_SECOND;
    ce_measure_rolling_back(m, t);
    feed(m, CE_PHASE_ROLLBACK, t, 0, 5 * PER_SLOT, true, true, 10 * CE_MILLISECOND);
    feed(m, CE_PHASE_ROLLBACK, t, 5 * PER_SLOT, 5 * PER_SLOT, true, false, CE_MILLISECOND);
    CHECK(isnan(ce_measure_recovery(m, t + 10 * CE_SLOT)));
    feed(m, CE_PHASE_ROLLBACK, t, 10 * PER_SLOT, 5 * PER_SLOT, true, true, CE_MILLISECOND);
    CHECK(near(ce_measure_recovery(m, t + 15 * CE_SLOT), 1.0));
    ce_measure_free(m);
}

static void a_slot_in_which_nothing_was_due_says_nothing(void)
{
    struct ce_measure *m = healthy_baseline();
    int64_t t = 20 * CE_SECOND;
    ce_measure_rolling_back(m, t);
    for (int i = 0; i < 5; i++)
        feed(m, CE_PHASE_ROLLBACK, t + i * 3 * CE_SLOT, 0, 1, true, true, CE_MILLISECOND);
    CHECK(near(ce_measure_recovery(m, t + 13 * CE_SLOT), 0));
    ce_measure_free(m);
}

static void each_term_of_the_score_has_its_cap(void)
{
    static const struct {
        double downtime, accuracy;
        uint64_t errors;
        double lost[3], score;
    } cases[] = {
        {0, 0, 0, {0, 0, 0}, 100},    {5, 0, 0, {20, 0, 0}, 80},    {10, 0, 0, {40, 0, 0}, 60},
        {1000, 0, 0, {40, 0, 0}, 60}, {0, 0.5, 0, {0, 15, 0}, 85},  {0, 1, 0, {0, 30, 0}, 70},
        {0, 0, 1, {0, 0, 30}, 70},    {0, 0, 9999, {0, 0, 30}, 70}, {10, 1, 1, {40, 30, 30}, 0},
        {0, NAN, 0, {0, 0, 0}, 100},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_record record = {
            .measured = true,
            .pipeline_downtime = cases[i].downtime,
            .accuracy_degradation = cases[i].accuracy,
            .error_count = cases[i].errors,
        };
        ce_score(&record);
        CHECK(near(record.lost_downtime, cases[i].lost[0]));
        CHECK(near(record.lost_accuracy, cases[i].lost[1]));
        CHECK(near(record.lost_errors, cases[i].lost[2]));
        CHECK(near(record.score, cases[i].score));
    }
}

int main(void)
{
    TEST(a_run_without_operations_has_no_score);
    TEST(an_untouched_pipeline_loses_nothing);
    TEST(downtime_counts_slots_in_which_fewer_than_half_succeed);
    TEST(errors_count_from_injection_to_the_end_of_recovery);
    TEST(accuracy_is_compared_row_by_row);
    TEST(failed_operations_have_no_accuracy);
    TEST(an_unhealthy_baseline_says_so);
    TEST(recovery_needs_five_good_slots_in_a_row);
    TEST(slow_or_wrong_answers_are_not_recovered);
    TEST(a_slot_in_which_nothing_was_due_says_nothing);
    TEST(each_term_of_the_score_has_its_cap);
    return test_done();
}
