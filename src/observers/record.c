/* SPDX-License-Identifier: MIT */
/* A record as the documented JSON. Keys keep the order of the documentation; what was not measured
 * is null. */
#include "observers/record.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

const char *const ce_record_phase_names[CE_RECORD_PHASES] = {"baseline", "fault", "rollback",
                                                             "recovery"};

const double ce_latency_bounds[CE_LATENCY_BOUNDS] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};

bool ce_phase_has_latencies(const struct ce_phase_summary *phase)
{
    return phase->operations > 0 && phase->latency_sum > 0;
}

const char *ce_status_name(enum ce_status status)
{
    static const char *const names[] = {
        [CE_STATUS_COMPLETED] = "completed",     [CE_STATUS_ABORTED] = "aborted",
        [CE_STATUS_INTERRUPTED] = "interrupted", [CE_STATUS_FAILED] = "failed",
        [CE_STATUS_SKIPPED] = "skipped",         [CE_STATUS_DIRTY] = "dirty",
    };
    return names[status];
}

const char *ce_verdict_name(enum ce_verdict verdict)
{
    static const char *const names[] = {
        [CE_VERDICT_PASSED] = "passed",
        [CE_VERDICT_DEVIATED] = "deviated",
        [CE_VERDICT_INCONCLUSIVE] = "inconclusive",
        [CE_VERDICT_INVALID] = "invalid",
    };
    return names[verdict];
}

struct ce_record ce_record_unmeasured(void)
{
    struct ce_record record = {
        .recovery_time = NAN,
        .accuracy_degradation = NAN,
        .pipeline_downtime = NAN,
        .baseline_accuracy = NAN,
        .fault_accuracy = NAN,
        .score = NAN,
        .started_at = ce_wall_now(),
    };
    for (int i = 0; i < CE_RECORD_PHASES; i++)
        record.phases[i] =
            (struct ce_phase_summary){.p50_ms = NAN, .p90_ms = NAN, .p99_ms = NAN, .max_ms = NAN};
    return record;
}

void ce_record_done(struct ce_record *record)
{
    free(record->name);
    free(record->layer);
    free(record->fault_type);
    free(record->strategy);
    json_decref(record->parameters);
    free(record->profile);
    free(record->url);
    free(record->command);
    json_decref(record->custom_metrics);
    free(record->reason);
    free(record->verification);
    json_decref(record->fault_counts);
    free(record->steps);
    free(record->isolation);
    free(record->target);
    json_decref(record->tags);
    json_decref(record->steady_state);
    json_decref(record->stopped_by);
    json_decref(record->blast_radius);
    free(record->rollback_reason);
    json_decref(record->series);
    json_decref(record->toolkit);
    json_decref(record->words);
    memset(record, 0, sizeof *record);
}

/* A string, or null. Sentences are cut to their buffers, possibly in the middle of a character,
 * which JSON would refuse: then everything beyond ASCII becomes a question mark. */
static json_t *text(const char *value)
{
    if (!value)
        return json_null();
    json_t *string = json_string(value);
    if (string)
        return string;
    ce_autofree char *plain = strdup(value);
    if (!plain)
        return NULL;
    for (char *p = plain; *p != '\0'; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    return json_string(plain);
}

/* A new reference to a value of the record's own, or null. */
static json_t *shared(json_t *value)
{
    return value ? json_incref(value) : json_null();
}

static json_t *timestamp(int64_t wall)
{
    if (wall == 0)
        return json_null();
    char value[CE_TIMESTAMP_SIZE];
    ce_timestamp(wall, value);
    return json_string(value);
}

/* One key to a line. */
/* clang-format off */

static json_t *experiment_json(const struct ce_record *record)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "name", text(record->name),
                     "layer", text(record->layer),
                     "fault_type", text(record->fault_type),
                     "parameters", shared(record->parameters),
                     "duration", ce_json_number(record->duration),
                     "rollback_strategy", text(record->strategy),
                     "tags", record->tags ? json_incref(record->tags) : json_array());
}

static json_t *pipeline_json(const struct ce_record *record)
{
    ce_autojson json_t *pipeline = json_pack("{s:o, s:o, s:o}",
                                             "kind", text(record->pipeline),
                                             "url", text(record->url),
                                             "protocol", text(record->protocol));
    if (record->command && json_object_set_new(pipeline, "command", text(record->command)) < 0)
        return NULL;
    return ce_take(pipeline);
}

static json_t *error_count_json(const struct ce_record *record)
{
    return record->measured ? json_integer((json_int_t)record->error_count) : json_null();
}

static json_t *summary_json(const struct ce_record *record)
{
    return json_pack("{s:o, s:s, s:o, s:o}",
                     "duration", ce_json_number(record->total_seconds),
                     "status", ce_status_name(record->status),
                     "resilience_score", ce_json_number(record->score),
                     "errors", error_count_json(record));
}

static json_t *latency_json(const struct ce_record *record)
{
    ce_autojson json_t *latency = json_object();
    for (size_t i = 0; i < CE_RECORD_PHASES; i++) {
        const struct ce_phase_summary *phase = &record->phases[i];
        bool any = phase->operations > 0;
        json_t *values = json_pack("{s:o, s:o, s:o, s:o}",
                                   "p50", ce_json_number(any ? phase->p50_ms : NAN),
                                   "p90", ce_json_number(any ? phase->p90_ms : NAN),
                                   "p99", ce_json_number(any ? phase->p99_ms : NAN),
                                   "max", ce_json_number(any ? phase->max_ms : NAN));
        if (json_object_set_new(latency, ce_record_phase_names[i], values) < 0)
            return NULL;
    }
    return ce_take(latency);
}

/* {"le": the bounds, PHASE: {"within": how many up to each, "sum"}}; NULL: no phase has any. */
static json_t *histogram_json(const struct ce_record *record)
{
    ce_autojson json_t *bounds = json_array(), *histogram = NULL;
    for (size_t k = 0; k < CE_LATENCY_BOUNDS; k++)
        (void)json_array_append_new(bounds, json_real(ce_latency_bounds[k]));
    for (size_t i = 0; i < CE_RECORD_PHASES; i++) {
        const struct ce_phase_summary *phase = &record->phases[i];
        if (!ce_phase_has_latencies(phase))
            continue;
        json_t *within = json_array();
        for (size_t k = 0; k < CE_LATENCY_BOUNDS; k++)
            (void)json_array_append_new(within, json_integer((json_int_t)phase->within[k]));
        if (!histogram)
            histogram = json_pack("{s:O}", "le", bounds);
        (void)json_object_set_new(histogram, ce_record_phase_names[i],
                                  json_pack("{s:o, s:f}", "within", within, "sum", phase->latency_sum));
    }
    return ce_take(histogram);
}

/* How often, phase by phase; `offset` is the count's in struct ce_phase_summary. */
static json_t *counts_json(const struct ce_record *record, size_t offset)
{
    ce_autojson json_t *counts = json_object();
    for (size_t i = 0; i < CE_RECORD_PHASES; i++) {
        uint64_t count;
        memcpy(&count, (const char *)&record->phases[i] + offset, sizeof count);
        if (json_object_set_new(counts, ce_record_phase_names[i], json_integer((json_int_t)count)) < 0)
            return NULL;
    }
    return ce_take(counts);
}

static json_t *metrics_json(const struct ce_record *record)
{
    ce_autojson json_t *metrics = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                                            "recovery_time", ce_json_number(record->recovery_time),
                                            "accuracy_degradation", ce_json_number(record->accuracy_degradation),
                                            "pipeline_downtime", ce_json_number(record->pipeline_downtime),
                                            "error_count", error_count_json(record),
                                            "baseline_accuracy", ce_json_number(record->baseline_accuracy),
                                            "fault_accuracy", ce_json_number(record->fault_accuracy),
                                            "latency_ms", latency_json(record),
                                            "operations", counts_json(record, offsetof(struct ce_phase_summary, operations)),
                                            "failed_operations", counts_json(record, offsetof(struct ce_phase_summary, errors)),
                                            "right_predictions", counts_json(record, offsetof(struct ce_phase_summary, right)));
    ce_autojson json_t *histogram = histogram_json(record);
    if (histogram && json_object_set(metrics, "latency_histogram", histogram) < 0)
        return NULL;
    if (record->custom_metrics && json_object_set(metrics, "custom", record->custom_metrics) < 0)
        return NULL;
    return ce_take(metrics);
}

static json_t *score_json(const struct ce_record *record)
{
    bool scored = !isnan(record->score);
    return json_pack("{s:s, s:o, s:{s:o, s:o, s:o}}",
                     "formula", CE_SCORE_FORMULA,
                     "value", ce_json_number(record->score),
                     "terms",
                     "downtime", ce_json_number(scored ? record->lost_downtime : NAN),
                     "accuracy", ce_json_number(scored ? record->lost_accuracy : NAN),
                     "errors", ce_json_number(scored ? record->lost_errors : NAN));
}

json_t *ce_record_no_counts(void)
{
    return json_pack("{s:n, s:n, s:n, s:{}}", "eligible", "selected", "changed", "skipped");
}

static json_t *fault_json(const struct ce_record *record)
{
    return record->fault_counts ? json_incref(record->fault_counts) : ce_record_no_counts();
}

static json_t *steps_json(const struct ce_record *record)
{
    ce_autojson json_t *steps = json_array();
    for (size_t i = 0; i < record->step_count; i++) {
        const struct ce_rollback_step *step = &record->steps[i];
        json_t *json = json_pack("{s:o, s:o, s:b, s:s*}",
                                 "at", ce_json_number(step->at),
                                 "intensity", ce_json_number(step->intensity),
                                 "healthy", step->healthy,
                                 "event", step->event);
        if (json_array_append_new(steps, json) < 0)
            return NULL;
    }
    return ce_take(steps);
}

static json_t *rollback_json(const struct ce_record *record)
{
    return json_pack("{s:o, s:o, s:o, s:b, s:o}",
                     "strategy", text(record->rolled_back_by ? record->rolled_back_by : record->strategy),
                     "steps", steps_json(record),
                     "seconds", ce_json_number(record->rollback_seconds),
                     "verified", record->rollback_verified,
                     "reason", text(record->rollback_reason));
}

static json_t *recipe_json(const struct ce_record *record)
{
    return json_pack("{s:I, s:o, s:o}",
                     "seed", (json_int_t)record->seed,
                     "fault", text(record->fault_type),
                     "parameters", shared(record->parameters));
}

/* A skipped run's "reason" is the word that its exit code depends on; its "detail" the sentence. */
static int set_reason(json_t *run, const struct ce_record *record)
{
    if (record->status != CE_STATUS_SKIPPED)
        return json_object_set_new(run, "reason", text(record->reason));
    if (json_object_set_new(run, "reason", text(record->skip_reason)) < 0)
        return -1;
    return json_object_set_new(run, "detail", text(record->reason));
}

json_t *ce_record_json(const struct ce_record *record)
{
    ce_autojson json_t *run = json_pack("{s:s, s:o, s:o, s:o, s:s, s:s}",
                                        "id", record->id,
                                        "experiment", experiment_json(record),
                                        "pipeline", pipeline_json(record),
                                        "profile", text(record->profile),
                                        "status", ce_status_name(record->status),
                                        "verdict", ce_verdict_name(record->verdict));
    if (set_reason(run, record) < 0)
        return NULL;
    ce_autojson json_t *rest = json_pack("{s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                                         "signal", record->signal ? json_integer(record->signal) : json_null(),
                                         "control", record->control,
                                         "verified", record->verified,
                                         "verification", text(record->verification),
                                         "steady_state", shared(record->steady_state),
                                         "stopped_by", shared(record->stopped_by),
                                         "blast_radius", shared(record->blast_radius),
                                         "summary", summary_json(record),
                                         "metrics", metrics_json(record),
                                         "score", score_json(record),
                                         "fault", fault_json(record),
                                         "rollback", rollback_json(record),
                                         "isolation", text(record->isolation),
                                         "target", text(record->target),
                                         "started_at", timestamp(record->started_at),
                                         "ended_at", timestamp(record->ended_at),
                                         "recipe", recipe_json(record),
                                         "series", shared(record->series));
    if (record->repeat > 0 && json_object_set_new(rest, "repeat", json_integer(record->repeat)) < 0)
        return NULL;
    if (record->asked_duration > 0 &&
        json_object_set_new(rest, "duration_cap",
                            json_pack("{s:o, s:o}", "seconds", ce_json_number(record->duration), "asked",
                                      ce_json_number(record->asked_duration))) < 0)
        return NULL;
    if (record->toolkit && json_object_set(rest, "chaostoolkit", record->toolkit) < 0)
        return NULL;
    return json_object_update(run, rest) < 0 ? NULL : ce_take(run);
}

/* clang-format on */
