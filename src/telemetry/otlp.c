/* SPDX-License-Identifier: MIT */
#include "telemetry/otlp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "observers/metrics.h"

enum { TRACE_ID = 32, SPAN_ID = 16, INTERNAL = 1, STATUS_OK = 1, STATUS_ERROR = 2 };

/* ---- what both have ---- */

static json_t *resource_of(const char *service)
{
    return json_pack("{s:[o, o]}", "attributes", ce_otlp_attribute("service.name", service),
                     ce_otlp_attribute("service.version", ce_version()));
}

static json_t *scope(void)
{
    return json_pack("{s:s, s:s}", "name", "chaoseater", "version", ce_version());
}

/* Every run gets the same ids whenever it is told of. */
static json_t *id_of(const struct ce_record *record, const char *what, int size)
{
    char hex[CE_SHA256_HEX];
    ce_autofree char *key = ce_format("%s/%s", record->id, what);
    if (!key || ce_sha256_data(key, strlen(key), hex, NULL) < 0)
        return NULL;
    return json_stringn(hex, (size_t)size);
}

static char *finish(json_t *json)
{
    ce_autojson json_t *owned = json;
    return json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
}

static int64_t seconds_after(int64_t wall, double seconds)
{
    return wall + (int64_t)(seconds * (double)CE_SECOND);
}

static double number_in(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* When the measuring began, by the wall clock; 0: nothing was measured. */
static int64_t measured_since(const struct ce_record *record)
{
    int64_t wall = 0;
    const char *text = json_string_value(json_object_get(record->series, "began_at"));
    return text && ce_timestamp_read(text, &wall) == 0 ? wall : 0;
}

/* ---- traces ---- */

static void add_attribute(json_t *attributes, const char *key, const char *value)
{
    if (value && value[0])
        (void)json_array_append_new(attributes, ce_otlp_attribute(key, value));
}

static void add_number(json_t *attributes, const char *key, double value)
{
    if (isfinite(value))
        (void)json_array_append_new(
            attributes, json_pack("{s:s, s:{s:f}}", "key", key, "value", "doubleValue", value));
}

static json_t *attributes_of(const struct ce_record *record)
{
    json_t *attributes = json_array();
    add_attribute(attributes, "chaos.run.id", record->id);
    add_attribute(attributes, "chaos.experiment", record->name);
    add_attribute(attributes, "chaos.layer", record->layer);
    add_attribute(attributes, "chaos.fault", record->fault_type);
    add_attribute(attributes, "chaos.profile", record->profile);
    add_attribute(attributes, "chaos.status", ce_status_name(record->status));
    add_attribute(attributes, "chaos.verdict", ce_verdict_name(record->verdict));
    add_attribute(attributes, "chaos.verification", record->verification);
    add_number(attributes, "chaos.resilience_score", record->score);
    add_number(attributes, "chaos.accuracy_degradation", record->accuracy_degradation);
    add_number(attributes, "chaos.recovery_time", record->recovery_time);
    return attributes;
}

static json_t *span_of(const struct ce_record *record, const char *what, const char *name,
                       int64_t begin, int64_t end)
{
    return json_pack("{s:o, s:o, s:s, s:i, s:o, s:o}", "traceId", id_of(record, "trace", TRACE_ID),
                     "spanId", id_of(record, what, SPAN_ID), "name", name, "kind", INTERNAL,
                     "startTimeUnixNano", ce_otlp_time(begin), "endTimeUnixNano",
                     ce_otlp_time(end));
}

static json_t *steps_of(const struct ce_record *record, int64_t begin)
{
    json_t *events = json_array();
    for (size_t i = 0; i < record->step_count; i++) {
        const struct ce_rollback_step *step = &record->steps[i];
        json_t *attributes = json_array();
        add_number(attributes, "chaos.intensity", step->intensity);
        add_attribute(attributes, "chaos.healthy", step->healthy ? "true" : "false");
        (void)json_array_append_new(events, json_pack("{s:o, s:s, s:o}", "timeUnixNano",
                                                      ce_otlp_time(seconds_after(begin, step->at)),
                                                      "name", step->event ? step->event : "step",
                                                      "attributes", attributes));
    }
    return events;
}

/* Phases of one name may come again: each has its own number. */
static json_t *phase_span(const struct ce_record *record, const json_t *phase, size_t n,
                          int64_t since)
{
    char what[64];
    const char *name = json_string_value(json_object_get(phase, "phase"));
    int64_t begin = seconds_after(since, number_in(phase, "begin"));
    snprintf(what, sizeof what, "phase %zu", n);
    json_t *span = span_of(record, what, name ? name : "", begin,
                           seconds_after(since, number_in(phase, "end")));
    (void)json_object_set_new(span, "parentSpanId", id_of(record, "run", SPAN_ID));
    if (name && strcmp(name, "fault") == 0) {
        json_t *attributes = json_array();
        add_attribute(attributes, "chaos.fault", record->fault_type);
        add_attribute(attributes, "chaos.target", record->target);
        (void)json_object_set_new(span, "attributes", attributes);
    }
    if (name && strcmp(name, "rollback") == 0)
        (void)json_object_set_new(span, "events", steps_of(record, begin));
    return span;
}

static json_t *spans_of(const struct ce_record *record)
{
    size_t i;
    json_t *phase, *spans = json_array();
    bool passed = record->status == CE_STATUS_COMPLETED && record->verdict == CE_VERDICT_PASSED;
    json_t *run = span_of(record, "run", record->name, record->started_at, record->ended_at);
    (void)json_object_set_new(run, "attributes", attributes_of(record));
    (void)json_object_set_new(run, "status",
                              json_pack("{s:i, s:s}", "code", passed ? STATUS_OK : STATUS_ERROR,
                                        "message",
                                        !passed && record->reason ? record->reason : ""));
    (void)json_array_append_new(spans, run);
    json_array_foreach(json_object_get(record->series, "phases"), i, phase)
    {
        (void)json_array_append_new(spans, phase_span(record, phase, i, measured_since(record)));
    }
    return spans;
}

char *ce_otlp_traces(const struct ce_record *record, const char *service)
{
    return finish(json_pack("{s:[{s:o, s:[{s:o, s:o}]}]}", "resourceSpans", "resource",
                            resource_of(service), "scopeSpans", "scope", scope(), "spans",
                            spans_of(record)));
}

/* ---- metrics ---- */

char *ce_otlp_metrics(const struct ce_record *record, const char *service)
{
    struct ce_metric_set *set = ce_metric_set_new();
    char *text = NULL;
    if (set && ce_metric_add_record(set, record) == 0)
        text = finish(json_pack("{s:[{s:o, s:[{s:o, s:o}]}]}", "resourceMetrics", "resource",
                                resource_of(service), "scopeMetrics", "scope", scope(), "metrics",
                                ce_metric_otlp(set, record->started_at, record->ended_at)));
    ce_metric_set_free(set);
    return text;
}

/* ---- an annotation ---- */

static const json_t *fault_phase(const struct ce_record *record)
{
    size_t i;
    json_t *phase;
    json_array_foreach(json_object_get(record->series, "phases"), i, phase)
    {
        const char *name = json_string_value(json_object_get(phase, "phase"));
        if (name && strcmp(name, "fault") == 0)
            return phase;
    }
    return NULL;
}

char *ce_grafana_annotation(const struct ce_record *record, const char *dashboard)
{
    const json_t *phase = fault_phase(record);
    int64_t since = measured_since(record);
    if (!phase || since == 0)
        return NULL;
    int64_t begin = seconds_after(since, number_in(phase, "begin"));
    int64_t end = seconds_after(since, number_in(phase, "end"));
    char score[32] = "no score";
    if (isfinite(record->score))
        snprintf(score, sizeof score, "score %.1f", record->score);
    bool completed = record->status == CE_STATUS_COMPLETED;
    json_t *json = json_pack(
        "{s:I, s:I, s:[s, s, s], s:o}", "time", (json_int_t)(begin / CE_MILLISECOND), "timeEnd",
        (json_int_t)(end / CE_MILLISECOND), "tags", "chaoseater", record->layer, record->fault_type,
        "text",
        json_sprintf("%s: %s, %s, %s", record->name, record->fault_type,
                     completed ? ce_verdict_name(record->verdict) : ce_status_name(record->status),
                     score));
    if (json && dashboard && dashboard[0])
        (void)json_object_set_new(json, "dashboardUID", json_string(dashboard));
    return finish(json);
}
