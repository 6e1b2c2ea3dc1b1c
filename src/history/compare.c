/* SPDX-License-Identifier: MIT */
/* Runs side by side: what was measured in each, how far from the first, and which was best. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "history/history_internal.h"

enum { MOST_RUNS = 100 };

/* Whether more of it is better, less is, or neither. */
enum better { MORE, LESS, NEITHER };

static enum better better_of(const char *metric)
{
    static const char *const more[] = {"resilience_score", "baseline_accuracy", "fault_accuracy"};
    static const char *const less[] = {"recovery_time", "accuracy_degradation", "pipeline_downtime",
                                       "error_count",   "rollback_seconds",     "lost_downtime",
                                       "lost_accuracy", "lost_errors"};
    if (ce_text_is_among(metric, more, CE_COUNT(more)))
        return MORE;
    bool latency = strncmp(metric, "p50_ms@", 7) == 0 || strncmp(metric, "p99_ms@", 7) == 0;
    return latency || ce_text_is_among(metric, less, CE_COUNT(less)) ? LESS : NEITHER;
}

/* Every metric of a run, in the same order for all: those of the list, of its phases, the others.
 */
static const char all_metrics[] =
    "SELECT 'resilience_score', resilience_score FROM run_record WHERE n = ?1 UNION ALL "
    "SELECT 'recovery_time', recovery_time FROM run_record WHERE n = ?1 UNION ALL "
    "SELECT 'accuracy_degradation', accuracy_degradation FROM run_record WHERE n = ?1 UNION ALL "
    "SELECT 'pipeline_downtime', pipeline_downtime FROM run_record WHERE n = ?1 UNION ALL "
    "SELECT 'error_count', error_count FROM run_record WHERE n = ?1 UNION ALL "
    "SELECT 'duration', duration FROM run_record WHERE n = ?1 UNION ALL "
    "SELECT 'p50_ms@' || phase, p50_ms FROM phase WHERE run = ?1 UNION ALL "
    "SELECT 'p99_ms@' || phase, p99_ms FROM phase WHERE run = ?1 UNION ALL "
    "SELECT metric || CASE phase WHEN '' THEN '' ELSE '@' || phase END, value"
    " FROM measurement WHERE run = ?1";

/* {metric: [value of each run]}; what a run did not measure is null. */
static int add_metrics(struct ce_history *history, int64_t number, size_t run, size_t count,
                       json_t *metrics, struct ce_error *err)
{
    CE_STATEMENT *statement = NULL;
    int r;
    CE_TRY(ce_history_prepare(history, all_metrics, &statement, err));
    (void)sqlite3_bind_int64(statement, 1, number);
    while ((r = ce_history_step(history, statement, err)) > 0) {
        const char *metric = ce_history_text(statement, 0);
        json_t *values = json_object_get(metrics, metric);
        if (!values) {
            values = json_array();
            for (size_t i = 0; i < count; i++)
                (void)json_array_append_new(values, json_null());
            if (json_object_set_new(metrics, metric, values) < 0)
                return ce_fail_memory(err);
        }
        if (json_array_set_new(values, run, ce_history_value(statement, 1)) < 0)
            return ce_fail_memory(err);
    }
    return r;
}

static double number_at(const json_t *values, size_t i)
{
    const json_t *value = json_array_get(values, i);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* NULL when it cannot be told, or all are the same. */
static json_t *best_json(const json_t *values, enum better better)
{
    size_t best = 0;
    bool differ = false;
    for (size_t i = 0; i < json_array_size(values); i++) {
        double value = number_at(values, i), least = number_at(values, best);
        if (isnan(value) || better == NEITHER)
            return json_null();
        differ = differ || value != least;
        if (better == MORE ? value > least : value < least)
            best = i;
    }
    return differ ? json_integer((json_int_t)best) : json_null();
}

/* NULL: no memory. */
static json_t *metric_json(const char *metric, json_t *values)
{
    ce_autojson json_t *differences = json_array();
    for (size_t i = 0; i < json_array_size(values); i++)
        (void)json_array_append_new(differences,
                                    ce_json_number(number_at(values, i) - number_at(values, 0)));
    return json_pack("{s:s, s:O, s:O, s:o}", "metric", metric, "values", values, "differences",
                     differences, "best", best_json(values, better_of(metric)));
}

static int add_run(struct ce_history *history, int64_t number, json_t *runs, struct ce_error *err)
{
    CE_STATEMENT *statement = NULL;
    CE_TRY(ce_history_prepare(history,
                              "SELECT " CE_HISTORY_COLUMNS
                              ", (SELECT json_group_array(tag) FROM tag WHERE run = r.n),"
                              " c.parameters, r.profile" CE_HISTORY_FROM "WHERE r.n = ?1",
                              &statement, err));
    (void)sqlite3_bind_int64(statement, 1, number);
    CE_TRY(ce_history_step(history, statement, err));
    json_t *run = ce_history_row(statement);
    json_t *parameters = json_loads(ce_history_text(statement, CE_HISTORY_TAGS + 2), 0, NULL);
    (void)json_object_set_new(run, "parameters", parameters ? parameters : json_null());
    (void)json_object_set_new(run, "profile", ce_history_value(statement, CE_HISTORY_TAGS + 3));
    return json_array_append_new(runs, run) < 0 ? ce_fail_memory(err) : 0;
}

/* Metrics that no run measured say nothing. */
static bool is_measured(const json_t *values)
{
    for (size_t i = 0; i < json_array_size(values); i++)
        if (!isnan(number_at(values, i)))
            return true;
    return false;
}

int ce_history_compare_json(struct ce_history *history, const char *const *names, size_t count,
                            char **ret_json, struct ce_error *err)
{
    ce_autojson json_t *runs = json_array(), *metrics = json_object(), *list = json_array();
    if (count < 2 || count > MOST_RUNS)
        return ce_fail(err, EINVAL, "%zu run%s cannot be compared: 2 to %d can", count,
                       count == 1 ? "" : "s", MOST_RUNS);
    for (size_t i = 0; i < count; i++) {
        int64_t number;
        CE_TRY(ce_history_resolve(history, names[i], &number, err));
        CE_TRY(add_run(history, number, runs, err));
        CE_TRY(add_metrics(history, number, i, count, metrics, err));
    }
    const char *metric;
    json_t *values;
    json_object_foreach(metrics, metric,
                        values) if (is_measured(values) &&
                                    json_array_append_new(list, metric_json(metric, values)) <
                                        0) return ce_fail_memory(err);
    return ce_history_finish(json_pack("{s:O, s:O}", "runs", runs, "metrics", list), ret_json, err);
}
