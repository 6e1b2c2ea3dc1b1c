/* SPDX-License-Identifier: MIT */
/* A hand-made set of runs, as JSON and as text. */
#include <math.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "check.h"
#include "observers/events.h"
#include "report/report.h"

enum { RECORDS_MAX = 16 };

struct records {
    struct ce_record items[RECORDS_MAX];
    const struct ce_record *pointers[RECORDS_MAX];
    size_t count;
};

static void records_done(struct records *records)
{
    for (size_t i = 0; i < records->count; i++)
        ce_record_done(&records->items[i]);
    free(records);
}
CE_DEFINE_CLEANUP(struct records, records_done);

static struct records *records_new(void)
{
    struct records *records = calloc(1, sizeof *records);
    for (size_t i = 0; i < RECORDS_MAX; i++)
        records->pointers[i] = &records->items[i];
    return records;
}

/* A run that passed without losing a point. */
static struct ce_record *add(struct records *records, const char *name, const char *layer,
                             const char *fault, const char *profile)
{
    struct ce_record *record = &records->items[records->count++];
    snprintf(record->id, sizeof record->id, "run-%zu", records->count);
    record->name = strdup(name);
    record->layer = strdup(layer);
    record->fault_type = strdup(fault);
    record->strategy = strdup("auto");
    record->parameters = json_pack("{s:f}", "rate", 0.5);
    record->duration = 3;
    record->profile = profile ? strdup(profile) : NULL;
    record->seed = 42;
    record->reason = strdup("");
    record->verified = true;
    record->verification = strdup("20 of 40 probes were hit");
    record->recovery_time = 0.1;
    record->baseline_accuracy = record->fault_accuracy = 0.9;
    record->measured = true;
    record->phases[0] = (struct ce_phase_summary){
        .operations = 100, .right = 90, .p50_ms = 1, .p90_ms = 2, .p99_ms = 3, .max_ms = 4};
    record->phases[1] = (struct ce_phase_summary){
        .operations = 60, .right = 54, .p50_ms = 1.25, .p90_ms = 2, .p99_ms = 3.5, .max_ms = 40};
    record->phases[2] =
        (struct ce_phase_summary){.p50_ms = NAN, .p90_ms = NAN, .p99_ms = NAN, .max_ms = NAN};
    record->phases[3] = (struct ce_phase_summary){
        .operations = 15, .right = 14, .p50_ms = 1, .p90_ms = 2, .p99_ms = 3, .max_ms = 4};
    record->score = 100;
    record->steps = calloc(1, sizeof *record->steps);
    record->steps[0] = (struct ce_rollback_step){.at = 0.5, .intensity = 0, .healthy = true};
    record->step_count = 1;
    record->rollback_seconds = 0.25;
    record->rollback_verified = true;
    record->started_at = INT64_C(1700000000) * CE_SECOND;
    record->ended_at = record->started_at + 5 * CE_SECOND;
    record->total_seconds = 5;
    record->isolation = strdup("user, network, mount and pid namespaces");
    return record;
}

static void replace(char **text, const char *with)
{
    free(*text);
    *text = strdup(with);
}

static void make_deviated(struct ce_record *record)
{
    record->verdict = CE_VERDICT_DEVIATED;
    replace(&record->reason, "12 operations failed");
    record->error_count = 12;
    record->pipeline_downtime = 2.5;
    record->accuracy_degradation = 0.123;
    record->recovery_time = 12.34;
    record->score = 56.3;
    record->lost_downtime = 10;
    record->lost_accuracy = 3.7;
    record->lost_errors = 30;
}

static void make_skipped(struct ce_record *record)
{
    record->status = CE_STATUS_SKIPPED;
    record->verdict = CE_VERDICT_INCONCLUSIVE;
    record->skip_reason = "baseline";
    replace(
        &record->reason,
        "the pipeline was not healthy before anything was injected: 40 of 100 operations failed");
    replace(&record->verification, "");
    record->verified = record->measured = record->rollback_verified = false;
    record->recovery_time = record->accuracy_degradation = record->pipeline_downtime = NAN;
    record->fault_accuracy = record->score = record->rollback_seconds = NAN;
    record->step_count = 0;
    for (size_t i = 1; i < CE_RECORD_PHASES; i++)
        record->phases[i].operations = 0;
}

static struct ce_report report_of(const struct records *records)
{
    return (struct ce_report){.records = records->pointers, .count = records->count, .seed = 42};
}

static char *text_of(const struct ce_report *report, bool color)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct ce_error err = {0};
    CHECK(ce_report_write_text(report, out, color, &err) == 0);
    fclose(out);
    return text;
}

/* The value at "metrics.latency_ms.fault.p50". */
static const json_t *at(const json_t *json, const char *path)
{
    char copy[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key; json && (key = strsep(&rest, "."));)
        json = json_object_get(json, key);
    return json;
}

static bool is_number(const json_t *json, const char *path, double want)
{
    const json_t *value = at(json, path);
    return json_is_number(value) && fabs(json_number_value(value) - want) < 1e-9;
}

/* The keys of an object, one after another. */
static char *keys_of(const json_t *object)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
        fprintf(out, "%s%s", ftell(out) > 0 ? " " : "", key);
    fclose(out);
    return text;
}

static void check_keys(const json_t *json, const char *path, const char *want)
{
    ce_autofree char *keys = keys_of(path[0] ? at(json, path) : json);
    CHECK_TEXT(keys, want);
}

/* ---- JSON ---- */

static void a_run_has_the_documented_keys_in_order(void)
{
    CE_CLEANUP(records_done_p) struct records *records = records_new();
    ce_autojson json_t *run =
        ce_record_json(add(records, "spikes", "model", "slow_inference", "naive"));
    REQUIRE(run);
    check_keys(run, "",
               "id experiment pipeline profile status verdict reason signal control verified "
               "verification steady_state stopped_by blast_radius summary metrics score fault "
               "rollback isolation target started_at ended_at recipe series");
    check_keys(run, "experiment",
               "name layer fault_type parameters duration rollback_strategy tags");
    check_keys(run, "summary", "duration status resilience_score errors");
    check_keys(run, "metrics",
               "recovery_time accuracy_degradation pipeline_downtime error_count baseline_accuracy "
               "fault_accuracy latency_ms operations failed_operations right_predictions");
    check_keys(run, "metrics.latency_ms", "baseline fault rollback recovery");
    check_keys(run, "metrics.latency_ms.fault", "p50 p90 p99 max");
    check_keys(run, "metrics.operations", "baseline fault rollback recovery");
    check_keys(run, "score", "formula value terms");
    check_keys(run, "score.terms", "downtime accuracy errors");
    check_keys(run, "fault", "eligible selected changed skipped");
    check_keys(run, "rollback", "strategy steps seconds verified reason");
    check_keys(run, "recipe", "seed fault parameters");
}

static void a_run_has_its_values(void)
{
    CE_CLEANUP(records_done_p) struct records *records = records_new();
    struct ce_record *record = add(records, "spikes", "model", "slow_inference", "naive");
    make_deviated(record);
    record->repeat = 2;
    record->fault_counts = json_pack("{s:i, s:i, s:i, s:{s:i}}", "eligible", 60, "selected", 30,
                                     "changed", 29, "skipped", "missing", 1);
    ce_autojson json_t *run = ce_record_json(record);
    REQUIRE(run);
    CHECK_TEXT(json_string_value(at(run, "id")), "run-1");
    CHECK(is_number(run, "repeat", 2));
    CHECK_TEXT(json_string_value(at(run, "experiment.name")), "spikes");
    CHECK(is_number(run, "experiment.duration", 3));
    CHECK(is_number(run, "experiment.parameters.rate", 0.5));
    CHECK_TEXT(json_string_value(at(run, "status")), "completed");
    CHECK_TEXT(json_string_value(at(run, "verdict")), "deviated");
    CHECK_TEXT(json_string_value(at(run, "reason")), "12 operations failed");
    CHECK(json_is_false(at(run, "control")) && json_is_true(at(run, "verified")));
    CHECK(is_number(run, "summary.duration", 5) && is_number(run, "summary.errors", 12));
    CHECK(is_number(run, "summary.resilience_score", 56.3) && is_number(run, "score.value", 56.3));
    CHECK(is_number(run, "metrics.recovery_time", 12.34) &&
          is_number(run, "metrics.pipeline_downtime", 2.5));
    CHECK(is_number(run, "metrics.accuracy_degradation", 0.123) &&
          is_number(run, "metrics.error_count", 12));
    CHECK(is_number(run, "metrics.latency_ms.fault.p99", 3.5));
    CHECK(is_number(run, "metrics.operations.baseline", 100) &&
          is_number(run, "metrics.operations.rollback", 0));
    CHECK_TEXT(json_string_value(at(run, "score.formula")), "documented/1");
    CHECK(is_number(run, "score.terms.downtime", 10) && is_number(run, "score.terms.errors", 30));
    CHECK(is_number(run, "fault.changed", 29) && is_number(run, "fault.skipped.missing", 1));
    const json_t *step = json_array_get(at(run, "rollback.steps"), 0);
    CHECK(is_number(step, "at", 0.5) && is_number(step, "intensity", 0) &&
          json_is_true(at(step, "healthy")));
    CHECK_TEXT(json_string_value(at(run, "started_at")), "2023-11-14T22:13:20.000Z");
    CHECK_TEXT(json_string_value(at(run, "ended_at")), "2023-11-14T22:13:25.000Z");
    CHECK(is_number(run, "recipe.seed", 42) && is_number(run, "recipe.parameters.rate", 0.5));
    CHECK_TEXT(json_string_value(at(run, "recipe.fault")), "slow_inference");
}

static void what_was_not_measured_is_null(void)
{
    static const char *const nulls[] = {"profile",
                                        "metrics.recovery_time",
                                        "metrics.accuracy_degradation",
                                        "metrics.pipeline_downtime",
                                        "metrics.error_count",
                                        "metrics.fault_accuracy",
                                        "summary.resilience_score",
                                        "summary.errors",
                                        "score.value",
                                        "score.terms.downtime",
                                        "score.terms.accuracy",
                                        "score.terms.errors",
                                        "rollback.seconds",
                                        "ended_at",
                                        "fault.eligible",
                                        "experiment.parameters"};
    CE_CLEANUP(records_done_p) struct records *records = records_new();
    struct ce_record *record = add(records, "spikes", "model", "slow_inference", NULL);
    make_skipped(record);
    record->ended_at = 0;
    json_decref(ce_take(record->parameters));
    ce_autojson json_t *run = ce_record_json(record);
    REQUIRE(run);
    for (size_t i = 0; i < CE_COUNT(nulls); i++)
        CHECK(json_is_null(at(run, nulls[i])));
    CHECK_TEXT(json_string_value(at(run, "status")), "skipped");
    CHECK_TEXT(json_string_value(at(run, "reason")), "baseline");
    CHECK(strstr(json_string_value(at(run, "detail")), "was not healthy") != NULL);
    CHECK(json_array_size(at(run, "rollback.steps")) == 0);
    CHECK(json_is_number(at(run, "metrics.latency_ms.baseline.p50")) &&
          json_is_null(at(run, "metrics.latency_ms.fault.p50")) &&
          json_is_null(at(run, "metrics.latency_ms.recovery.max")));
}

static void a_sentence_cut_within_a_character_is_still_json(void)
{
    CE_CLEANUP(records_done_p) struct records *records = records_new();
    struct ce_record *record = add(records, "spikes", "model", "slow_inference", "naive");
    replace(&record->verification, "took 120 \xc2\xb5s \xc2");
    ce_autojson json_t *run = ce_record_json(record);
    REQUIRE(run);
    CHECK_TEXT(json_string_value(at(run, "verification")), "took 120 ??s ?");
}

static void the_summary_counts_every_run(void)
{
    CE_CLEANUP(records_done_p) struct records *records = records_new();
    add(records, "a", "model", "slow_inference", "naive");
    make_deviated(add(records, "b", "model", "slow_inference", "naive"));
    make_skipped(add(records, "c", "model", "slow_inference", "naive"));
    struct ce_report report = report_of(records);
    ce_autojson json_t *json = ce_report_json(&report);
    REQUIRE(json);
    check_keys(json, "", "version seed runs summary gate");
    check_keys(json, "summary", "experiments completed failed mean_resilience_score verdicts");
    check_keys(json, "summary.verdicts", "passed deviated inconclusive invalid");
    CHECK_TEXT(json_string_value(at(json, "version")), ce_version());
    CHECK(is_number(json, "seed", 42));
    CHECK(json_array_size(at(json, "runs")) == 3);
    CHECK(is_number(json, "summary.experiments", 3));
    CHECK(is_number(json, "summary.completed", 2) && is_number(json, "summary.failed", 1));
    CHECK(is_number(json, "summary.mean_resilience_score", (100 + 56.3) / 2));
    CHECK(is_number(json, "summary.verdicts.passed", 1) &&
          is_number(json, "summary.verdicts.deviated", 1));
    CHECK(is_number(json, "summary.verdicts.inconclusive", 1) &&
          is_number(json, "summary.verdicts.invalid", 0));
    CHECK(json_is_null(at(json, "gate")));
}

static void the_gate_is_there_when_it_was_asked_for(void)
{
    ce_autojson json_t *none = json_array();
    struct ce_report_gate gate = {
        .passed = true, .min_score = 70, .on = "each", .failures = none, .remarks = none};
    struct ce_report report = {.gate = &gate};
    ce_autojson json_t *json = ce_report_json(&report);
    REQUIRE(json);
    check_keys(json, "gate", "min_score passed on baseline failures remarks");
    CHECK(json_is_null(at(json, "gate.baseline")) && json_is_array(at(json, "gate.failures")));
    CHECK(is_number(json, "gate.min_score", 70) && json_is_true(at(json, "gate.passed")));
    CHECK(json_is_null(at(json, "summary.mean_resilience_score")));
    CHECK(json_is_array(at(json, "runs")) && json_array_size(at(json, "runs")) == 0);
}

static void the_written_json_reads_back(void)
{
    CE_CLEANUP(records_done_p) struct records *records = records_new();
    make_deviated(add(records, "a", "model", "slow_inference", "naive"));
    struct ce_report report = report_of(records);
    ce_autofree char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct ce_error err = {0};
    REQUIRE_OK(ce_report_write_json(&report, out, false, &err), err);
    fclose(out);
    ce_autojson json_t *written = ce_json_parse(text, size, "report", &err);
    ce_autojson json_t *made = ce_report_json(&report);
    CHECK(json_equal(written, made));
}

/* ---- text ---- */

static void check_golden(const struct ce_report *report, const char *want)
{
    ce_autofree char *got = text_of(report, false);
    if (strcmp(got, want) != 0)
        printf("# the report is now:\n%s", got);
    CHECK(strcmp(got, want) == 0);
}

/* Both profiles under three faults. */
static struct records *both_profiles(void)
{
    struct records *records = records_new();
    static const char *const profiles[] = {"naive", "hardened"};
    for (size_t p = 0; p < 2; p++) {
        struct ce_record *corruption =
            add(records, "prediction_corruption", "model", "prediction_corruption", profiles[p]);
        struct ce_record *failure =
            add(records, "node_failure", "infrastructure", "node_failure", profiles[p]);
        struct ce_record *control = add(records, "control", "data", "missing_data", profiles[p]);
        control->control = true;
        control->verified = false;
        replace(&control->verification, "");
        if (p == 0) {
            make_deviated(corruption);
            make_skipped(failure);
        } else {
            failure->verdict = CE_VERDICT_INCONCLUSIVE;
            failure->recovery_time = NAN;
            failure->error_count = 12345;
            replace(&failure->reason, "");
            failure->accuracy_degradation = 1;
            failure->lost_accuracy = 30;
            failure->lost_errors = 30;
            failure->score = 40;
        }
    }
    return records;
}

/* clang-format off */

static void two_profiles_stand_side_by_side(void)
{
    CE_CLEANUP(records_done_p) struct records *records = both_profiles();
    struct ce_report report = report_of(records);
    check_golden(&report,
                 "ChaosEater " CE_VERSION ", seed 42, 6 runs\n"
                 "  pipeline isolation: user, network, mount and pid namespaces\n"
                 "\n"
                 "                              naive                                     hardened\n"
                 "fault                 layer   seen errs down lost back score verdict    seen  errs down  lost back score verdict\n"
                 "-----------------------------------------------------------------------------------------------------------------\n"
                 "prediction_corruption model   yes    12  2.5 12.3 12.3  56.3 deviated   yes      0  0.0   0.0  0.1 100.0 passed\n"
                 "node_failure          infra   -       -    -    -    -     - skipped    yes  12345  0.0 100.0    -  40.0 inconcl.\n"
                 "missing_data          data    ctrl    0  0.0  0.0  0.1 100.0 passed     ctrl     0  0.0   0.0  0.1 100.0 passed\n"
                 "\n"
                 "  seen: injection verified from outside. errs: errors (failed operations). down: downtime in seconds. lost: accuracy\n"
                 "    lost in percentage points. back: recovery in seconds. -: not measured.\n"
                 "\n"
                 "Not passed, and why\n"
                 "  prediction_corruption, naive: deviated: 12 operations failed\n"
                 "  node_failure, naive: skipped: the pipeline was not healthy before anything was injected: 40 of 100 operations failed\n"
                 "  node_failure, hardened: inconclusive\n"
                 "\n"
                 "Resilience score by formula documented/1, term by term\n"
                 "  prediction_corruption   naive     100 - 10.0 downtime -  3.7 accuracy - 30.0 errors =  56.3 on 75 operations\n"
                 "  node_failure            naive     none, on 0 operations\n"
                 "  control (missing_data)  naive     100 -  0.0 downtime -  0.0 accuracy -  0.0 errors = 100.0 on 75 operations\n"
                 "  prediction_corruption   hardened  100 -  0.0 downtime -  0.0 accuracy -  0.0 errors = 100.0 on 75 operations\n"
                 "  node_failure            hardened  100 -  0.0 downtime - 30.0 accuracy - 30.0 errors =  40.0 on 75 operations\n"
                 "  control (missing_data)  hardened  100 -  0.0 downtime -  0.0 accuracy -  0.0 errors = 100.0 on 75 operations\n"
                 "  documented/1: 100 - min(40, downtime in s / 10 x 40) - min(30, accuracy lost as a fraction x 30) - min(30, errors x 5\n"
                 "    x 30), at least 0; over the operations from injection to the end of recovery.\n"
                 "\n"
                 "Time of an operation in ms, p50/p99\n"
                 "                                       before  under the fault      after\n"
                 "-------------------------------------------------------------------------\n"
                 "  prediction_corruption   naive     1.00/3.00        1.25/3.50  1.00/3.00\n"
                 "  node_failure            naive     1.00/3.00                -          -\n"
                 "  control (missing_data)  naive     1.00/3.00        1.25/3.50  1.00/3.00\n"
                 "  prediction_corruption   hardened  1.00/3.00        1.25/3.50  1.00/3.00\n"
                 "  node_failure            hardened  1.00/3.00        1.25/3.50  1.00/3.00\n"
                 "  control (missing_data)  hardened  1.00/3.00        1.25/3.50  1.00/3.00\n"
                 "\n"
                 "What verification saw\n"
                 "  prediction_corruption, naive: 20 of 40 probes were hit\n"
                 "  node_failure, naive: nothing, it did not come to that\n"
                 "  control (missing_data), naive: control run, nothing to verify\n"
                 "  prediction_corruption, hardened: 20 of 40 probes were hit\n"
                 "  node_failure, hardened: 20 of 40 probes were hit\n"
                 "  control (missing_data), hardened: control run, nothing to verify\n"
                 "\n"
                 "Mean resilience score, naive: 78.2 over 2 of 3 runs\n"
                 "Mean resilience score, hardened: 80.0 over 3 of 3 runs\n");
}

static void one_profile_has_room(void)
{
    CE_CLEANUP(records_done_p) struct records *records = records_new();
    add(records, "data_corruption_test", "data", "data_corruption", "naive");
    struct ce_record *slow =
        add(records, "model_slow_inference_test", "model", "slow_inference", "naive");
    make_deviated(slow);
    slow->repeat = 2;
    struct ce_record *invalid = add(records, "crash", "infrastructure", "node_failure", "naive");
    invalid->verdict = CE_VERDICT_INVALID;
    invalid->verified = false;
    invalid->score = NAN;
    replace(&invalid->reason, "the fault was not seen to take effect");
    replace(&invalid->verification, "process 4711 is still in state S");
    struct ce_report report = report_of(records);
    ce_autojson json_t *failures = json_pack("[s]", "crash, naive: invalid");
    ce_autojson json_t *remarks = json_pack("[s]", "other: the baseline has no such experiment");
    struct ce_report_gate gate = {
        .min_score = 70, .on = "each", .failures = failures, .remarks = remarks};
    report.gate = &gate;
    check_golden(&report,
                 "ChaosEater " CE_VERSION ", seed 42, 3 runs\n"
                 "  pipeline isolation: user, network, mount and pid namespaces\n"
                 "\n"
                 "experiment                  fault            layer  verified  errors  downtime  accuracy lost  recovery  score  verdict\n"
                 "------------------------------------------------------------------------------------------------------------------------\n"
                 "data_corruption_test        data_corruption  data   yes            0       0.0            0.0       0.1  100.0  passed\n"
                 "model_slow_inference_tes..  slow_inference   model  yes           12       2.5           12.3      12.3   56.3  deviated\n"
                 "crash                       node_failure     infra  no             0       0.0            0.0       0.1      -  invalid\n"
                 "\n"
                 "  verified: the injection was seen from outside. errors: failed operations. downtime and recovery in seconds, accuracy\n"
                 "    lost in percentage points. -: not measured.\n"
                 "\n"
                 "Not passed, and why\n"
                 "  model_slow_inference_test #2 (slow_inference), naive: deviated: 12 operations failed\n"
                 "  crash (node_failure), naive: invalid: the fault was not seen to take effect\n"
                 "\n"
                 "Resilience score by formula documented/1, term by term\n"
                 "  data_corruption_test (data_corrup..  naive  100 -  0.0 downtime -  0.0 accuracy -  0.0 errors = 100.0 on 75 operations\n"
                 "  model_slow_inference_test #2 (slo..  naive  100 - 10.0 downtime -  3.7 accuracy - 30.0 errors =  56.3 on 75 operations\n"
                 "  crash (node_failure)                 naive  none, on 75 operations\n"
                 "  documented/1: 100 - min(40, downtime in s / 10 x 40) - min(30, accuracy lost as a fraction x 30) - min(30, errors x 5\n"
                 "    x 30), at least 0; over the operations from injection to the end of recovery.\n"
                 "\n"
                 "Time of an operation in ms, p50/p99\n"
                 "                                                           before  under the fault      after\n"
                 "---------------------------------------------------------------------------------------------\n"
                 "  data_corruption_test (data_corruption)         naive  1.00/3.00        1.25/3.50  1.00/3.00\n"
                 "  model_slow_inference_test #2 (slow_inference)  naive  1.00/3.00        1.25/3.50  1.00/3.00\n"
                 "  crash (node_failure)                           naive  1.00/3.00        1.25/3.50  1.00/3.00\n"
                 "\n"
                 "What verification saw\n"
                 "  data_corruption_test (data_corruption), naive: 20 of 40 probes were hit\n"
                 "  model_slow_inference_test #2 (slow_inference), naive: 20 of 40 probes were hit\n"
                 "  crash (node_failure), naive: no effect: process 4711 is still in state S\n"
                 "\n"
                 "Mean resilience score, naive: 78.2 over 2 of 3 runs\n"
                 "Gate not passed: every run must pass, with a score of at least 70.0; control runs need no score\n"
                 "  crash, naive: invalid\n"
                 "  other: the baseline has no such experiment\n");
}

/* clang-format on */

/* It did not come to starting a pipeline, injecting a fault, or seeing one. */
static void a_run_that_failed_early_claims_nothing(void)
{
    CE_CLEANUP(records_done_p) struct records *records = records_new();
    struct ce_record *record = add(records, "spikes", "model", "slow_inference", "naive");
    record->status = CE_STATUS_FAILED;
    record->verdict = CE_VERDICT_INCONCLUSIVE;
    record->verified = false;
    free(record->isolation);
    free(record->verification);
    REQUIRE(record->isolation = strdup(""));
    REQUIRE(record->verification = strdup("not looked at: the fault was not injected"));
    struct ce_report report = {.records = (const struct ce_record *const *)&record, .count = 1};
    ce_autofree char *text = text_of(&report, false);
    CHECK(strstr(text, "pipeline isolation") == NULL);
    CHECK(strstr(text, "  model  -  ") != NULL);
    CHECK(strstr(text, "naive: not looked at: the fault was not injected\n") != NULL);
}

static void an_empty_suite_says_so(void)
{
    struct ce_report report = {.seed = 1};
    check_golden(&report, "ChaosEater " CE_VERSION ", seed 1, 0 runs\n\n  Nothing ran.\n");
}

/* Characters, not bytes, and no escape sequences. */
static size_t widest_line(const char *text)
{
    size_t widest = 0, width = 0;
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            widest = width > widest ? width : widest;
            width = 0;
        } else {
            width += ((unsigned char)*text & 0xc0) != 0x80;
        }
    }
    return widest;
}

static void no_line_exceeds_the_width(void)
{
    CE_CLEANUP(records_done_p) struct records *records = both_profiles();
    for (size_t i = 0; i < records->count; i++) {
        struct ce_record *record = &records->items[i];
        record->phases[1].operations = 1000000;
        replace(
            &record->verification,
            "every word of this sentence is short but there are so many of them that no terminal "
            "holds them in one line, however wide, \xc3\xa4\xc3\xb6\xc3\xbc included");
    }
    struct ce_report report = report_of(records);
    ce_autofree char *side_by_side = text_of(&report, false);
    CHECK(widest_line(side_by_side) <= 120);

    /* An odd one out: no longer side by side, with a column for the profile and long names. */
    add(records,
        "a_name_so_long_that_nobody_would_ever_give_it_to_an_experiment_of_theirs_but_somebody_did",
        "model", "prediction_corruption", "naive");
    report.count = records->count;
    replace(&records->items[records->count - 1].verification,
            "onehundredandthirtycharacterswithoutasingleblankbetweenthem---------------------------"
            "---------------------"
            "-------------------------------------x");
    ce_autofree char *plain = text_of(&report, false);
    CHECK(strstr(plain, "accuracy lost") != NULL);
    CHECK(strstr(plain, "-x\n") != NULL);
    CHECK(widest_line(plain) <= 120);
}

static char *without_escapes(const char *text)
{
    char *plain = strdup(text), *to = plain;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from == '\033')
            from += strcspn(from, "m");
        else
            *to++ = *from;
    }
    *to = '\0';
    return plain;
}

static void color_changes_nothing_but_color(void)
{
    CE_CLEANUP(records_done_p) struct records *records = both_profiles();
    struct ce_report report = report_of(records);
    ce_autofree char *plain = text_of(&report, false), *colored = text_of(&report, true);
    ce_autofree char *stripped = without_escapes(colored);
    CHECK_TEXT(stripped, plain);
    CHECK(strchr(plain, '\033') == NULL);
    CHECK(strstr(colored, "\033[32mpassed\033[0m") != NULL);
    CHECK(strstr(colored, "\033[33mdeviated\033[0m") != NULL);
}

static void names_cannot_command_the_terminal(void)
{
    CE_CLEANUP(records_done_p) struct records *records = records_new();
    make_deviated(add(records, "evil\033[2J", "model", "slow_inference", "naive"));
    replace(&records->items[0].reason, "because\rof \007 this");
    struct ce_report report = report_of(records);
    ce_autofree char *text = text_of(&report, false);
    CHECK(strpbrk(text, "\033\r\007") == NULL);
    CHECK(strstr(text, "evil?[2J") != NULL);
}

static void experiments_with_the_same_fault_go_by_their_names(void)
{
    CE_CLEANUP(records_done_p) struct records *records = records_new();
    static const char *const profiles[] = {"naive", "hardened"};
    for (size_t p = 0; p < 2; p++) {
        add(records, "bias", "model", "prediction_corruption", profiles[p]);
        add(records, "flip", "model", "prediction_corruption", profiles[p]);
    }
    struct ce_report report = report_of(records);
    ce_autofree char *text = text_of(&report, false);
    CHECK(strstr(text, "\nbias   model") != NULL || strstr(text, "\nbias  model") != NULL);
    CHECK(strstr(text, "\nflip") != NULL);
    CHECK(strstr(text, "\nprediction_corruption") == NULL);
}

static void a_full_disk_is_told(void)
{
    CE_CLEANUP(records_done_p) struct records *records = both_profiles();
    struct ce_report report = report_of(records);
    ce_autofile FILE *full = fopen("/dev/full", "w");
    if (!full)
        SKIP("there is no /dev/full");
    struct ce_error err = {0};
    CHECK(ce_report_write_json(&report, full, false, &err) == -ENOSPC);
    CHECK(strstr(err.message, "No space left") != NULL);
    err = (struct ce_error){0};
    CHECK(ce_report_write_text(&report, full, false, &err) < 0);
    CHECK(strncmp(err.message, "cannot write the report: ", 25) == 0);
}

static void everything_has_a_name(void)
{
    CHECK_TEXT(ce_status_name(CE_STATUS_COMPLETED), "completed");
    CHECK_TEXT(ce_status_name(CE_STATUS_DIRTY), "dirty");
    CHECK_TEXT(ce_verdict_name(CE_VERDICT_INVALID), "invalid");
    CHECK_TEXT(ce_state_name(CE_STATE_PLANNED), "planned");
    CHECK_TEXT(ce_state_name(CE_STATE_ROLLING_BACK), "rolling_back");
    CHECK_TEXT(ce_state_name(CE_STATE_ENDED), "ended");
    CHECK_TEXT(ce_record_phase_names[3], "recovery");
}

int main(void)
{
    TEST(a_run_has_the_documented_keys_in_order);
    TEST(a_run_has_its_values);
    TEST(what_was_not_measured_is_null);
    TEST(a_sentence_cut_within_a_character_is_still_json);
    TEST(the_summary_counts_every_run);
    TEST(the_gate_is_there_when_it_was_asked_for);
    TEST(the_written_json_reads_back);
    TEST(two_profiles_stand_side_by_side);
    TEST(one_profile_has_room);
    TEST(a_run_that_failed_early_claims_nothing);
    TEST(an_empty_suite_says_so);
    TEST(no_line_exceeds_the_width);
    TEST(color_changes_nothing_but_color);
    TEST(names_cannot_command_the_terminal);
    TEST(experiments_with_the_same_fault_go_by_their_names);
    TEST(a_full_disk_is_told);
    TEST(everything_has_a_name);
    return test_done();
}
