/* SPDX-License-Identifier: MIT */
/* The way back: from the documented JSON of a run to its record.
 *
 * What a run's JSON says is listed once, as rows of key and member. A key that is there must be of
 * its kind; keys that later versions added may be absent, so that old reports stay readable. Texts
 * that a record only borrows are kept in `words`. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "observers/record.h"
#include "rollback/rollback.h"

enum kind {
    TEXT,    /* char *, owned; null is NULL */
    WORD,    /* const char *, kept in `words`; null is NULL */
    NUMBER,  /* double; null is NaN */
    SECONDS, /* double; null is 0 */
    TIME,    /* int64_t of the wall clock; null is 0 */
    WHOLE,   /* int; null is 0 */
    SEED,    /* uint64_t */
    FLAG,    /* bool */
    STATUS,  /* enum ce_status */
    VERDICT, /* enum ce_verdict */
    OBJECT,  /* json_t *; null is NULL */
    LIST,    /* json_t *; null and the empty list are NULL */
};

struct row {
    const char *key; /* "metrics.recovery_time" */
    enum kind kind;
    size_t offset;
    bool optional; /* may be absent, which is null */
};

#define AT(member) offsetof(struct ce_record, member)

static const struct row rows[] = {
    {"experiment.name", TEXT, AT(name), false},
    {"experiment.layer", TEXT, AT(layer), false},
    {"experiment.fault_type", TEXT, AT(fault_type), false},
    {"experiment.parameters", OBJECT, AT(parameters), false},
    {"experiment.duration", SECONDS, AT(duration), false},
    {"experiment.rollback_strategy", TEXT, AT(strategy), false},
    {"experiment.tags", LIST, AT(tags), true},
    {"pipeline.kind", WORD, AT(pipeline), false},
    {"pipeline.url", TEXT, AT(url), true},
    {"pipeline.protocol", WORD, AT(protocol), true},
    {"pipeline.command", TEXT, AT(command), true},
    {"profile", TEXT, AT(profile), false},
    {"repeat", WHOLE, AT(repeat), true},
    {"duration_cap.asked", SECONDS, AT(asked_duration), true},
    {"status", STATUS, AT(status), false},
    {"verdict", VERDICT, AT(verdict), false},
    {"signal", WHOLE, AT(signal), true},
    {"control", FLAG, AT(control), false},
    {"verified", FLAG, AT(verified), false},
    {"verification", TEXT, AT(verification), false},
    {"steady_state", LIST, AT(steady_state), true},
    {"stopped_by", OBJECT, AT(stopped_by), true},
    {"blast_radius", OBJECT, AT(blast_radius), true},
    {"summary.duration", SECONDS, AT(total_seconds), false},
    {"metrics.recovery_time", NUMBER, AT(recovery_time), false},
    {"metrics.accuracy_degradation", NUMBER, AT(accuracy_degradation), false},
    {"metrics.pipeline_downtime", NUMBER, AT(pipeline_downtime), false},
    {"metrics.baseline_accuracy", NUMBER, AT(baseline_accuracy), false},
    {"metrics.fault_accuracy", NUMBER, AT(fault_accuracy), false},
    {"metrics.custom", OBJECT, AT(custom_metrics), true},
    {"series", OBJECT, AT(series), true},
    {"score.value", NUMBER, AT(score), false},
    {"score.terms.downtime", SECONDS, AT(lost_downtime), false},
    {"score.terms.accuracy", SECONDS, AT(lost_accuracy), false},
    {"score.terms.errors", SECONDS, AT(lost_errors), false},
    {"rollback.seconds", NUMBER, AT(rollback_seconds), false},
    {"rollback.verified", FLAG, AT(rollback_verified), false},
    {"rollback.reason", TEXT, AT(rollback_reason), true},
    {"chaostoolkit", OBJECT, AT(toolkit), true},
    {"isolation", TEXT, AT(isolation), true},
    {"target", TEXT, AT(target), true},
    {"started_at", TIME, AT(started_at), false},
    {"ended_at", TIME, AT(ended_at), false},
    {"recipe.seed", SEED, AT(seed), false},
};

/* ---- values ---- */

/* The value at "score.terms.errors"; NULL: there is none. */
static const json_t *find(const json_t *json, const char *key)
{
    while (json) {
        size_t n = strcspn(key, ".");
        json = json_object_getn(json, key, n);
        if (key[n] == '\0')
            break;
        key += n + 1;
    }
    return json;
}

static bool is_null(const json_t *value)
{
    return !value || json_is_null(value);
}

static int fail_kind(const char *key, const char *wanted, struct ce_error *err)
{
    return ce_fail(err, EINVAL, "a run's \"%s\" is not %s", key, wanted);
}

static int fail_missing(const char *key, struct ce_error *err)
{
    return ce_fail(err, EINVAL, "a run without \"%s\"", key);
}

static int read_text(const json_t *value, const char *key, char **ret_text, struct ce_error *err)
{
    if (is_null(value))
        return 0;
    if (!json_is_string(value))
        return fail_kind(key, "a text", err);
    *ret_text = strdup(json_string_value(value));
    return *ret_text ? 0 : ce_fail_memory(err);
}

static int keep_word(struct ce_record *record, const json_t *value, const char *key,
                     const char **ret_word, struct ce_error *err)
{
    if (is_null(value))
        return 0;
    if (!json_is_string(value))
        return fail_kind(key, "a text", err);
    if (!record->words)
        record->words = json_array();
    json_t *word = json_string(json_string_value(value));
    if (json_array_append_new(record->words, word) < 0)
        return ce_fail_memory(err);
    *ret_word = json_string_value(word);
    return 0;
}

static int read_number(const json_t *value, const char *key, double none, double *ret_number,
                       struct ce_error *err)
{
    if (!is_null(value) && !json_is_number(value))
        return fail_kind(key, "a number", err);
    *ret_number = is_null(value) ? none : json_number_value(value);
    return 0;
}

/* How often something happened. */
static int read_count(const json_t *value, const char *key, uint64_t *ret_count,
                      struct ce_error *err)
{
    if (is_null(value))
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return fail_kind(key, "a whole number of at least 0", err);
    *ret_count = (uint64_t)json_integer_value(value);
    return 0;
}

/* "2026-11-22T10:00:00.123Z", as ce_timestamp() writes it. */
static int read_time(const json_t *value, const char *key, int64_t *ret_wall, struct ce_error *err)
{
    if (is_null(value))
        return 0;
    const char *text = json_string_value(value);
    if (!text || ce_timestamp_read(text, ret_wall) < 0)
        return fail_kind(key, "a time such as 2026-11-22T10:00:00.123Z", err);
    return 0;
}

static int read_status(const json_t *value, const char *key, enum ce_status *ret_status,
                       struct ce_error *err)
{
    for (int s = 0; json_is_string(value) && s <= CE_STATUS_DIRTY; s++)
        if (strcmp(json_string_value(value), ce_status_name(s)) == 0) {
            *ret_status = s;
            return 0;
        }
    return fail_kind(key, "how a run ends", err);
}

static int read_verdict(const json_t *value, const char *key, enum ce_verdict *ret_verdict,
                        struct ce_error *err)
{
    for (int v = 0; json_is_string(value) && v <= CE_VERDICT_INVALID; v++)
        if (strcmp(json_string_value(value), ce_verdict_name(v)) == 0) {
            *ret_verdict = v;
            return 0;
        }
    return fail_kind(key, "a verdict", err);
}

static int copy_json(const json_t *value, json_t **ret_copy, struct ce_error *err)
{
    if (is_null(value) || (json_is_array(value) && json_array_size(value) == 0))
        return 0;
    *ret_copy = json_deep_copy(value);
    return *ret_copy ? 0 : ce_fail_memory(err);
}

static int read_whole(const json_t *value, const char *key, int *ret_number, struct ce_error *err)
{
    uint64_t count = 0;
    CE_TRY(read_count(value, key, &count, err));
    if (count > INT_MAX)
        return fail_kind(key, "so small a number", err);
    *ret_number = (int)count;
    return 0;
}

static int read_row(const struct row *row, const json_t *value, struct ce_record *record,
                    struct ce_error *err)
{
    void *member = (char *)record + row->offset;
    if (!value && !row->optional)
        return fail_missing(row->key, err);
    switch (row->kind) {
    case TEXT:
        return read_text(value, row->key, member, err);
    case WORD:
        return keep_word(record, value, row->key, member, err);
    case NUMBER:
        return read_number(value, row->key, NAN, member, err);
    case SECONDS:
        return read_number(value, row->key, 0, member, err);
    case TIME:
        return read_time(value, row->key, member, err);
    case WHOLE:
        return read_whole(value, row->key, member, err);
    case SEED:
        if (!json_is_integer(value))
            return fail_kind(row->key, "a whole number", err);
        *(uint64_t *)member = (uint64_t)json_integer_value(value);
        return 0;
    case FLAG:
        if (!json_is_boolean(value))
            return fail_kind(row->key, "true or false", err);
        *(bool *)member = json_is_true(value);
        return 0;
    case STATUS:
        return read_status(value, row->key, member, err);
    case VERDICT:
        return read_verdict(value, row->key, member, err);
    case OBJECT:
        if (!is_null(value) && !json_is_object(value))
            return fail_kind(row->key, "an object", err);
        return copy_json(value, member, err);
    case LIST:
        if (!is_null(value) && !json_is_array(value))
            return fail_kind(row->key, "a list", err);
        return copy_json(value, member, err);
    }
    return 0;
}

/* ---- what is more than a row ---- */

static int read_id(const json_t *run, struct ce_record *record, struct ce_error *err)
{
    const char *id = json_string_value(json_object_get(run, "id"));
    if (!id || strlen(id) >= sizeof record->id)
        return id ? fail_kind("id", "a run's id", err) : fail_missing("id", err);
    memcpy(record->id, id, strlen(id) + 1);
    return 0;
}

/* Of a skipped run the reason is a word, and the sentence its detail. */
static int read_reason(const json_t *run, struct ce_record *record, struct ce_error *err)
{
    const json_t *reason = json_object_get(run, "reason");
    if (record->status != CE_STATUS_SKIPPED)
        return read_text(reason, "reason", &record->reason, err);
    CE_TRY(keep_word(record, reason, "reason", &record->skip_reason, err));
    if (!record->skip_reason)
        return fail_kind("reason", "why it was skipped", err);
    return read_text(json_object_get(run, "detail"), "detail", &record->reason, err);
}

static int read_phase(const json_t *run, size_t i, struct ce_phase_summary *phase,
                      struct ce_error *err)
{
    struct {
        const char *key;
        uint64_t *count;
    } counts[] = {{"operations", &phase->operations},
                  {"failed_operations", &phase->errors},
                  {"right_predictions", &phase->right}};
    struct {
        const char *key;
        double *value;
    } latencies[] = {{"p50", &phase->p50_ms},
                     {"p90", &phase->p90_ms},
                     {"p99", &phase->p99_ms},
                     {"max", &phase->max_ms}};
    char key[96];
    for (size_t k = 0; k < CE_COUNT(counts); k++) {
        snprintf(key, sizeof key, "metrics.%s.%s", counts[k].key, ce_record_phase_names[i]);
        CE_TRY(read_count(find(run, key), key, counts[k].count, err));
    }
    for (size_t k = 0; k < CE_COUNT(latencies); k++) {
        snprintf(key, sizeof key, "metrics.latency_ms.%s.%s", ce_record_phase_names[i],
                 latencies[k].key);
        CE_TRY(read_number(find(run, key), key, NAN, latencies[k].value, err));
    }
    return 0;
}

/* Buckets with other bounds, of another version, are none that a record has room for. */
static int read_latencies(const json_t *run, struct ce_record *record, struct ce_error *err)
{
    static const char all[] = "metrics.latency_histogram";
    const json_t *histogram = find(run, all), *bounds = json_object_get(histogram, "le");
    bool known = json_array_size(bounds) == CE_LATENCY_BOUNDS;
    if (!is_null(histogram) && !json_is_object(histogram))
        return fail_kind(all, "an object", err);
    for (size_t k = 0; known && k < CE_LATENCY_BOUNDS; k++)
        known = json_number_value(json_array_get(bounds, k)) == ce_latency_bounds[k];
    for (size_t i = 0; known && i < CE_RECORD_PHASES; i++) {
        const json_t *json = json_object_get(histogram, ce_record_phase_names[i]);
        const json_t *within = json_object_get(json, "within");
        struct ce_phase_summary *phase = &record->phases[i];
        for (size_t k = 0; k < CE_LATENCY_BOUNDS; k++)
            CE_TRY(read_count(json_array_get(within, k), all, &phase->within[k], err));
        CE_TRY(read_number(json_object_get(json, "sum"), all, 0, &phase->latency_sum, err));
    }
    return 0;
}

static int read_error_count(const json_t *run, struct ce_record *record, struct ce_error *err)
{
    const json_t *errors = find(run, "metrics.error_count");
    if (!errors)
        return fail_missing("metrics.error_count", err);
    record->measured = !json_is_null(errors);
    return read_count(errors, "metrics.error_count", &record->error_count, err);
}

/* Of a fault that counted nothing only nulls are written. */
static int read_fault_counts(const json_t *run, struct ce_record *record, struct ce_error *err)
{
    const json_t *counts = json_object_get(run, "fault");
    if (!json_is_object(counts))
        return counts ? fail_kind("fault", "an object", err) : fail_missing("fault", err);
    ce_autojson json_t *none = ce_record_no_counts();
    if (!none)
        return ce_fail_memory(err);
    return json_equal(none, counts) ? 0 : copy_json(counts, &record->fault_counts, err);
}

static int read_steps(const json_t *run, struct ce_record *record, struct ce_error *err)
{
    const json_t *steps = find(run, "rollback.steps");
    if (!json_is_array(steps))
        return steps ? fail_kind("rollback.steps", "a list", err)
                     : fail_missing("rollback.steps", err);
    record->steps = calloc(json_array_size(steps) + 1, sizeof *record->steps);
    if (!record->steps)
        return ce_fail_memory(err);
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *json = json_array_get(steps, i);
        struct ce_rollback_step *step = &record->steps[record->step_count++];
        CE_TRY(read_number(json_object_get(json, "at"), "rollback.steps.at", NAN, &step->at, err));
        CE_TRY(read_number(json_object_get(json, "intensity"), "rollback.steps.intensity", NAN,
                           &step->intensity, err));
        step->healthy = json_is_true(json_object_get(json, "healthy"));
        const char *event = json_string_value(json_object_get(json, "event"));
        step->event = event ? ce_rollback_event(event) : NULL;
    }
    return 0;
}

/* Named only where it is another than the experiment's. */
static int read_strategy(const json_t *run, struct ce_record *record, struct ce_error *err)
{
    const char *name = json_string_value(find(run, "rollback.strategy"));
    if (!name || (record->strategy && strcmp(name, record->strategy) == 0))
        return 0;
    return keep_word(record, find(run, "rollback.strategy"), "rollback.strategy",
                     &record->rolled_back_by, err);
}

static int read_all(const json_t *run, struct ce_record *record, struct ce_error *err)
{
    if (!json_is_object(run))
        return ce_fail(err, EINVAL, "a run is an object");
    CE_TRY(read_id(run, record, err));
    for (size_t i = 0; i < CE_COUNT(rows); i++)
        CE_TRY(read_row(&rows[i], find(run, rows[i].key), record, err));
    CE_TRY(read_reason(run, record, err));
    CE_TRY(read_error_count(run, record, err));
    for (size_t i = 0; i < CE_RECORD_PHASES; i++)
        CE_TRY(read_phase(run, i, &record->phases[i], err));
    CE_TRY(read_latencies(run, record, err));
    CE_TRY(read_fault_counts(run, record, err));
    CE_TRY(read_steps(run, record, err));
    if (!record->name || !record->layer || !record->fault_type)
        return fail_kind("experiment", "an experiment with name, layer and fault_type", err);
    return read_strategy(run, record, err);
}

int ce_record_read(const json_t *run, struct ce_record *ret_record, struct ce_error *err)
{
    struct ce_record record = {0};
    int r = read_all(run, &record, err);
    if (r < 0)
        ce_record_done(&record);
    else
        *ret_record = record;
    return r;
}
