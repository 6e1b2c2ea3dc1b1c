/* SPDX-License-Identifier: MIT */
/* The registry of metrics, and the samples that records and events make.
 *
 * Two names are the project's promise and break the rules of Prometheus for names: `_percent` and
 * `_count`. Each has a twin that follows them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "observers/metrics_internal.h"

enum family {
    EXPERIMENT_DURATION = 0,
    EXPERIMENT_STATUS,
    RECOVERY_TIME,
    ACCURACY_DEGRADATION_PERCENT,
    ACCURACY_DEGRADATION_RATIO,
    ERROR_COUNT,
    RUN_ERRORS,
    RESILIENCE_SCORE,
    SCORE_POINTS_LOST,
    PIPELINE_DOWNTIME,
    EXPERIMENT_VERDICT,
    EXPERIMENT_VERIFIED,
    EXPERIMENT_END_TIME,
    FAULT_INTENSITY,
    REQUEST_DURATION,
    OPERATIONS,
    OPERATION_ERRORS,
    ACCURACY,
    FAULT_UNITS,
    ROLLBACK_DURATION,
    ROLLBACK_VERIFIED,
    CUSTOM_METRIC,
    LIVE_LATENCY, /* the live ones are dropped together: LIVE_CUSTOM is the last */
    LIVE_ACCURACY,
    LIVE_ERRORS,
    LIVE_THROUGHPUT,
    LIVE_CUSTOM,
    GUARD_UP,
    JOURNAL_LIVE,
    JOURNAL_FAILED,
    STOP_ENGAGED,
    BUILD_INFO,
};

/* clang-format off */
const struct ce_metric_family ce_metric_families[] = {
    [EXPERIMENT_DURATION] = {"chaos_experiment_duration_seconds", CE_METRIC_GAUGE, "seconds",
        "How long the last run took, from its start to its end."},
    [EXPERIMENT_STATUS] = {"chaos_experiment_status", CE_METRIC_GAUGE, "",
        "0 pending, 1 running, 2 completed, 3 failed, aborted, interrupted or skipped, 4 something could not be put back."},
    [RECOVERY_TIME] = {"chaos_recovery_time_seconds", CE_METRIC_GAUGE, "seconds",
        "From the begin of the rollback until the pipeline was within tolerance again."},
    [ACCURACY_DEGRADATION_PERCENT] = {"chaos_accuracy_degradation_percent", CE_METRIC_GAUGE, "",
        "Percentage points of accuracy lost under the fault."},
    [ACCURACY_DEGRADATION_RATIO] = {"chaos_accuracy_degradation_ratio", CE_METRIC_GAUGE, "ratio",
        "Accuracy lost under the fault, 0 to 1."},
    [ERROR_COUNT] = {"chaos_error_count", CE_METRIC_GAUGE, "",
        "Operations of the last run that failed after the injection."},
    [RUN_ERRORS] = {"chaos_run_errors", CE_METRIC_GAUGE, "",
        "Operations of the last run that failed after the injection."},
    [RESILIENCE_SCORE] = {"chaos_resilience_score", CE_METRIC_GAUGE, "",
        "Resilience score of the last run, 0 to 100."},
    [SCORE_POINTS_LOST] = {"chaos_score_points_lost", CE_METRIC_GAUGE, "",
        "Points that each term took off the score."},
    [PIPELINE_DOWNTIME] = {"chaos_pipeline_downtime_seconds", CE_METRIC_GAUGE, "seconds",
        "Time after the injection in which fewer than half of the operations succeeded."},
    [EXPERIMENT_VERDICT] = {"chaos_experiment_verdict", CE_METRIC_GAUGE, "",
        "1 for the verdict of the last run, 0 for the others."},
    [EXPERIMENT_VERIFIED] = {"chaos_experiment_verified", CE_METRIC_GAUGE, "",
        "Whether the fault was seen to take effect."},
    [EXPERIMENT_END_TIME] = {"chaos_experiment_end_time_seconds", CE_METRIC_GAUGE, "seconds",
        "When the last run ended, as Unix time."},
    [FAULT_INTENSITY] = {"chaos_fault_intensity_ratio", CE_METRIC_GAUGE, "ratio",
        "How much of the fault is live now, 0 to 1."},
    [REQUEST_DURATION] = {"chaos_request_duration_seconds", CE_METRIC_HISTOGRAM, "seconds",
        "Latencies of the last run's operations, by phase."},
    [OPERATIONS] = {"chaos_operations", CE_METRIC_GAUGE, "",
        "Operations of the last run, by phase."},
    [OPERATION_ERRORS] = {"chaos_operation_errors", CE_METRIC_GAUGE, "",
        "Operations of the last run that failed, by phase."},
    [ACCURACY] = {"chaos_accuracy_ratio", CE_METRIC_GAUGE, "ratio",
        "Share of right predictions, by phase."},
    [FAULT_UNITS] = {"chaos_fault_units", CE_METRIC_GAUGE, "",
        "Rows, cells, requests or packets that the fault could hit, chose and changed."},
    [ROLLBACK_DURATION] = {"chaos_rollback_duration_seconds", CE_METRIC_GAUGE, "seconds",
        "How long the rollback took."},
    [ROLLBACK_VERIFIED] = {"chaos_rollback_verified", CE_METRIC_GAUGE, "",
        "Whether everything was seen to be back."},
    [CUSTOM_METRIC] = {"chaos_custom_metric", CE_METRIC_GAUGE, "",
        "What the pipeline itself reports: means, by phase."},
    [LIVE_LATENCY] = {"chaos_live_latency_seconds", CE_METRIC_GAUGE, "seconds",
        "Latency of the operations of the last second, by rank."},
    [LIVE_ACCURACY] = {"chaos_live_accuracy_ratio", CE_METRIC_GAUGE, "ratio",
        "Share of right predictions in the last second."},
    [LIVE_ERRORS] = {"chaos_live_error_ratio", CE_METRIC_GAUGE, "ratio",
        "Share of operations that failed in the last second."},
    [LIVE_THROUGHPUT] = {"chaos_live_throughput", CE_METRIC_GAUGE, "",
        "Operations that succeeded, per second, over the last second."},
    [LIVE_CUSTOM] = {"chaos_live_custom_metric", CE_METRIC_GAUGE, "",
        "What else is measured, as it was last."},
    [GUARD_UP] = {"chaos_guard_up", CE_METRIC_GAUGE, "",
        "Whether a guard watches over the run that goes on."},
    [JOURNAL_LIVE] = {"chaos_journal_live_entries", CE_METRIC_GAUGE, "",
        "Changes that are to be undone yet."},
    [JOURNAL_FAILED] = {"chaos_journal_failed_entries", CE_METRIC_GAUGE, "",
        "Changes that are to be undone, although their run has ended."},
    [STOP_ENGAGED] = {"chaos_stop_engaged", CE_METRIC_GAUGE, "",
        "Whether the stop is engaged: no run may start."},
    [BUILD_INFO] = {"chaos_build_info", CE_METRIC_INFO, "",
        "The version of ChaosEater, always 1."},
};
/* clang-format on */
const size_t ce_metric_family_count = CE_COUNT(ce_metric_families);

/* ---- the set ---- */

struct ce_metric_set *ce_metric_set_new(void)
{
    return calloc(1, sizeof(struct ce_metric_set));
}

static void sample_done(struct ce_metric_sample *sample)
{
    free(sample->experiment);
    free(sample->labels);
}

void ce_metric_set_free(struct ce_metric_set *metrics)
{
    if (!metrics)
        return;
    for (size_t i = 0; i < metrics->count; i++)
        sample_done(&metrics->samples[i]);
    free(metrics->samples);
    free(metrics);
}

static bool is_of(const struct ce_metric_sample *sample, const char *experiment)
{
    if (!sample->experiment || !experiment)
        return !sample->experiment && !experiment;
    return strcmp(sample->experiment, experiment) == 0;
}

/* Drops the samples of an experiment (NULL: of the host) from the families `first` to `last`. */
static void drop(struct ce_metric_set *metrics, const char *experiment, enum family first,
                 enum family last)
{
    size_t kept = 0;
    for (size_t i = 0; i < metrics->count; i++) {
        struct ce_metric_sample *sample = &metrics->samples[i];
        if (is_of(sample, experiment) && sample->family >= first && sample->family <= last)
            sample_done(sample);
        else
            metrics->samples[kept++] = *sample;
    }
    metrics->count = kept;
}

/* Takes `labels`, which may be NULL for want of memory. */
static int append(struct ce_metric_set *metrics, const char *experiment, enum family family,
                  const char *suffix, char *labels, double value)
{
    ce_autofree char *owned = labels, *of = experiment ? strdup(experiment) : NULL;
    if (!labels || (experiment && !of))
        return -ENOMEM;
    if (metrics->count == metrics->capacity) {
        size_t capacity = 2 * metrics->capacity + 64;
        struct ce_metric_sample *samples =
            realloc(metrics->samples, capacity * sizeof *metrics->samples);
        if (!samples)
            return -ENOMEM;
        metrics->samples = samples;
        metrics->capacity = capacity;
    }
    metrics->samples[metrics->count++] =
        (struct ce_metric_sample){family, ce_take(of), suffix, ce_take(owned), value};
    return 0;
}

/* ---- of one experiment ---- */

struct source {
    struct ce_metric_set *metrics;
    const char *experiment;
    char *labels; /* experiment, layer and fault */
};

static void source_done(struct source *source)
{
    free(source->labels);
}

static int source_init(struct ce_metric_set *metrics, const char *experiment, const char *layer,
                       const char *fault, struct source *source)
{
    ce_autofree char *name = ce_metric_escape(experiment), *of = ce_metric_escape(layer),
                     *what = ce_metric_escape(fault);
    if (!name || !of || !what)
        return -ENOMEM;
    *source = (struct source){
        .metrics = metrics,
        .experiment = experiment,
        .labels = ce_format("experiment=\"%s\",layer=\"%s\",fault=\"%s\"", name, of, what),
    };
    return source->labels ? 0 : -ENOMEM;
}

/* What was not measured is absent. */
static int add(const struct source *source, enum family family, double value)
{
    if (!isfinite(value))
        return 0;
    return append(source->metrics, source->experiment, family, "", strdup(source->labels), value);
}

/* With one label more. */
static int add_part(const struct source *source, enum family family, const char *label,
                    const char *of, double value)
{
    if (!isfinite(value))
        return 0;
    return append(source->metrics, source->experiment, family, "",
                  ce_format("%s,%s=\"%s\"", source->labels, label, of), value);
}

static int add_score(const struct source *source, const struct ce_record *record)
{
    static const char term[] = "term";
    if (isnan(record->score))
        return 0;
    CE_TRY(add(source, RESILIENCE_SCORE, record->score));
    CE_TRY(add_part(source, SCORE_POINTS_LOST, term, "downtime", record->lost_downtime));
    CE_TRY(add_part(source, SCORE_POINTS_LOST, term, "accuracy", record->lost_accuracy));
    return add_part(source, SCORE_POINTS_LOST, term, "errors", record->lost_errors);
}

static int add_verdict(const struct source *source, const struct ce_record *record)
{
    for (int v = 0; v <= CE_VERDICT_INVALID; v++)
        CE_TRY(add_part(source, EXPERIMENT_VERDICT, "verdict", ce_verdict_name(v),
                        record->verdict == (enum ce_verdict)v));
    return 0;
}

static int add_bucket(const struct source *source, const char *phase, const char *bound,
                      uint64_t within)
{
    return append(source->metrics, source->experiment, REQUEST_DURATION, "_bucket",
                  ce_format("%s,phase=\"%s\",le=\"%s\"", source->labels, phase, bound),
                  (double)within);
}

static int add_latencies(const struct source *source, const char *name,
                         const struct ce_phase_summary *phase)
{
    if (!ce_phase_has_latencies(phase))
        return 0;
    for (size_t k = 0; k < CE_LATENCY_BOUNDS; k++) {
        char bound[CE_METRIC_NUMBER_SIZE];
        ce_metric_number(ce_latency_bounds[k], bound);
        CE_TRY(add_bucket(source, name, bound, phase->within[k]));
    }
    CE_TRY(add_bucket(source, name, "+Inf", phase->operations));
    CE_TRY(append(source->metrics, source->experiment, REQUEST_DURATION, "_sum",
                  ce_format("%s,phase=\"%s\"", source->labels, name), phase->latency_sum));
    return append(source->metrics, source->experiment, REQUEST_DURATION, "_count",
                  ce_format("%s,phase=\"%s\"", source->labels, name), (double)phase->operations);
}

static int add_phases(const struct source *source, const struct ce_record *record)
{
    uint64_t operations = 0;
    for (size_t i = 0; i < CE_RECORD_PHASES; i++)
        operations += record->phases[i].operations;
    for (size_t i = 0; operations > 0 && i < CE_RECORD_PHASES; i++) {
        const struct ce_phase_summary *phase = &record->phases[i];
        const char *name = ce_record_phase_names[i];
        CE_TRY(add_part(source, OPERATIONS, "phase", name, (double)phase->operations));
        CE_TRY(add_part(source, OPERATION_ERRORS, "phase", name, (double)phase->errors));
        CE_TRY(add_latencies(source, name, phase));
    }
    CE_TRY(add_part(source, ACCURACY, "phase", "baseline", record->baseline_accuracy));
    return add_part(source, ACCURACY, "phase", "fault", record->fault_accuracy);
}

static int add_units(const struct source *source, const struct ce_record *record)
{
    static const char *const kinds[] = {"eligible", "selected", "changed"};
    for (size_t i = 0; i < CE_COUNT(kinds); i++) {
        const json_t *count = json_object_get(record->fault_counts, kinds[i]);
        if (json_is_number(count))
            CE_TRY(add_part(source, FAULT_UNITS, "kind", kinds[i], json_number_value(count)));
    }
    return 0;
}

static int add_custom(const struct source *source, const char *metric, json_t *phases)
{
    ce_autofree char *name = ce_metric_escape(metric);
    const char *phase;
    json_t *value;
    if (!name)
        return -ENOMEM;
    json_object_foreach(phases, phase, value)
    {
        ce_autofree char *of = ce_metric_escape(phase);
        if (!of)
            return -ENOMEM;
        if (json_is_number(value))
            CE_TRY(append(source->metrics, source->experiment, CUSTOM_METRIC, "",
                          ce_format("%s,metric=\"%s\",phase=\"%s\"", source->labels, name, of),
                          json_number_value(value)));
    }
    return 0;
}

static int add_customs(const struct source *source, const struct ce_record *record)
{
    const char *metric;
    json_t *phases;
    json_object_foreach(record->custom_metrics, metric, phases)
    {
        CE_TRY(add_custom(source, metric, phases));
    }
    return 0;
}

static int status_of(enum ce_status status)
{
    return status == CE_STATUS_COMPLETED ? 2 : status == CE_STATUS_DIRTY ? 4 : 3;
}

static int add_all(const struct source *source, const struct ce_record *record)
{
    double errors = record->measured ? (double)record->error_count : NAN;
    double ended = record->ended_at ? (double)record->ended_at / (double)CE_SECOND : NAN;
    CE_TRY(add(source, EXPERIMENT_DURATION, record->total_seconds));
    CE_TRY(add(source, EXPERIMENT_STATUS, status_of(record->status)));
    CE_TRY(add(source, RECOVERY_TIME, record->recovery_time));
    CE_TRY(add(source, ACCURACY_DEGRADATION_PERCENT, 100 * record->accuracy_degradation));
    CE_TRY(add(source, ACCURACY_DEGRADATION_RATIO, record->accuracy_degradation));
    CE_TRY(add(source, ERROR_COUNT, errors));
    CE_TRY(add(source, RUN_ERRORS, errors));
    CE_TRY(add_score(source, record));
    CE_TRY(add(source, PIPELINE_DOWNTIME, record->pipeline_downtime));
    CE_TRY(add_verdict(source, record));
    CE_TRY(add(source, EXPERIMENT_VERIFIED, record->verified));
    CE_TRY(add(source, EXPERIMENT_END_TIME, ended));
    /* Of what could not be put back nobody knows how much is left. */
    CE_TRY(add(source, FAULT_INTENSITY, record->status == CE_STATUS_DIRTY ? NAN : 0));
    CE_TRY(add_phases(source, record));
    CE_TRY(add_units(source, record));
    if (record->rollback_seconds > 0) {
        CE_TRY(add(source, ROLLBACK_DURATION, record->rollback_seconds));
        CE_TRY(add(source, ROLLBACK_VERIFIED, record->rollback_verified));
    }
    return add_customs(source, record);
}

/* ---- what is added ---- */

int ce_metric_add_record(struct ce_metric_set *metrics, const struct ce_record *record)
{
    CE_CLEANUP(source_done) struct source source = {0};
    drop(metrics, record->name, 0, BUILD_INFO);
    CE_TRY(source_init(metrics, record->name, record->layer, record->fault_type, &source));
    return add_all(&source, record);
}

/* NaN: there is none. */
static double value_of(const struct ce_metric_set *metrics, const char *experiment,
                       enum family family)
{
    for (size_t i = 0; i < metrics->count; i++)
        if (metrics->samples[i].family == family && is_of(&metrics->samples[i], experiment))
            return metrics->samples[i].value;
    return NAN;
}

static bool is_same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static double number_in(const json_t *sample, const char *key)
{
    const json_t *value = json_object_get(sample, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int add_sample(const struct source *source, const json_t *sample)
{
    const char *name;
    json_t *value;
    double operations = number_in(sample, "operations");
    CE_TRY(add_part(source, LIVE_LATENCY, "rank", "p50", number_in(sample, "p50_ms") / 1e3));
    CE_TRY(add_part(source, LIVE_LATENCY, "rank", "p99", number_in(sample, "p99_ms") / 1e3));
    CE_TRY(add(source, LIVE_ACCURACY, number_in(sample, "accuracy")));
    CE_TRY(add(source, LIVE_ERRORS, number_in(sample, "errors") / operations));
    CE_TRY(add(source, LIVE_THROUGHPUT, number_in(sample, "throughput")));
    json_object_foreach(json_object_get(sample, "metrics"), name, value)
    {
        ce_autofree char *metric = ce_metric_escape(name);
        if (!metric)
            return -ENOMEM;
        if (json_is_number(value))
            CE_TRY(add_part(source, LIVE_CUSTOM, "metric", metric, json_number_value(value)));
    }
    return 0;
}

int ce_metric_add_live(struct ce_metric_set *metrics, const struct ce_metric_live *live)
{
    static const int statuses[] = {
        [CE_METRIC_PENDING] = 0, [CE_METRIC_RUNNING] = 1, [CE_METRIC_LOST] = 3};
    bool running = live->state == CE_METRIC_RUNNING;
    const struct {
        enum family family;
        double value;
    } now[] = {
        {EXPERIMENT_STATUS, statuses[live->state]},
        {FAULT_INTENSITY, running                            ? live->intensity
                          : live->state == CE_METRIC_PENDING ? 0
                                                             : NAN},
        {GUARD_UP, running && live->guard >= 0 ? live->guard : NAN},
    };
    CE_CLEANUP(source_done) struct source source = {0};
    bool news = live->sample != NULL;
    for (size_t i = 0; i < CE_COUNT(now); i++)
        news = news || !is_same(now[i].value, value_of(metrics, live->experiment, now[i].family));
    if (!news)
        return 0;
    CE_TRY(source_init(metrics, live->experiment, live->layer, live->fault, &source));
    for (size_t i = 0; i < CE_COUNT(now); i++) {
        drop(metrics, live->experiment, now[i].family, now[i].family);
        CE_TRY(add(&source, now[i].family, now[i].value));
    }
    if (live->sample || !running)
        drop(metrics, live->experiment, LIVE_LATENCY, LIVE_CUSTOM);
    if (live->sample)
        CE_TRY(add_sample(&source, live->sample));
    return 1;
}

int ce_metric_add_host(struct ce_metric_set *metrics, const struct ce_metric_host *host)
{
    drop(metrics, NULL, JOURNAL_LIVE, STOP_ENGAGED);
    CE_TRY(append(metrics, NULL, JOURNAL_LIVE, "", strdup(""), (double)host->live));
    CE_TRY(append(metrics, NULL, JOURNAL_FAILED, "", strdup(""), (double)host->failed));
    return append(metrics, NULL, STOP_ENGAGED, "", strdup(""), host->stopped);
}

int ce_metric_add_build(struct ce_metric_set *metrics)
{
    drop(metrics, NULL, BUILD_INFO, BUILD_INFO);
    return append(metrics, NULL, BUILD_INFO, "", ce_format("version=\"%s\"", CE_VERSION), 1);
}
