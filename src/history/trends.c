/* SPDX-License-Identifier: MIT */
/* How an experiment has done over time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "history/history_internal.h"
#include "history/statistics.h"

#define CONFIDENCE  0.95
#define LEAST_NOISE 0.5 /* points: scores that differ by less are the same to anybody */

enum { CHANGES_MOST = 64 };

struct points {
    double *days, *scores; /* of the runs that have a score */
    size_t *runs;          /* which of the runs that is */
    size_t count, capacity;
};

static void points_done(struct points *points)
{
    free(points->days);
    free(points->scores);
    free(points->runs);
}

static int add_point(struct points *points, double day, double score, size_t run)
{
    if (points->count == points->capacity) {
        size_t capacity = points->capacity ? 2 * points->capacity : 256;
        double *days = realloc(points->days, capacity * sizeof *days);
        points->days = days ? days : points->days;
        double *scores = realloc(points->scores, capacity * sizeof *scores);
        points->scores = scores ? scores : points->scores;
        size_t *runs = realloc(points->runs, capacity * sizeof *runs);
        points->runs = runs ? runs : points->runs;
        if (!days || !scores || !runs)
            return -ENOMEM;
        points->capacity = capacity;
    }
    points->days[points->count] = day;
    points->scores[points->count] = score;
    points->runs[points->count++] = run;
    return 0;
}

/* ---- reading ---- */

static const char *const keys[] = {"id",
                                   "started_at",
                                   "status",
                                   "verdict",
                                   "resilience_score",
                                   "recovery_time",
                                   "accuracy_degradation",
                                   "pipeline_downtime",
                                   "error_count"};
enum { SCORE = 4, DAY = CE_COUNT(keys) };

static json_t *run_json(sqlite3_stmt *statement)
{
    ce_autojson json_t *run = json_object();
    for (size_t i = 0; i < CE_COUNT(keys); i++)
        if (json_object_set_new_nocheck(run, keys[i], ce_history_value(statement, (int)i)) < 0)
            return NULL;
    return ce_take(run);
}

/* How many runs tell anything of the pipeline, and how many of them passed: not those that were
 * interrupted, or never started. */
struct successes {
    size_t told, passed;
};

static void count_success(sqlite3_stmt *statement, struct successes *successes)
{
    const char *status = ce_history_text(statement, 2), *verdict = ce_history_text(statement, 3);
    if (strcmp(status, "interrupted") == 0 || strcmp(status, "skipped") == 0)
        return;
    successes->told++;
    successes->passed += strcmp(verdict, "passed") == 0;
}

static int read_runs(struct ce_history *history, const struct ce_history_where *where, json_t *runs,
                     struct points *points, struct successes *successes, struct ce_error *err)
{
    CE_STATEMENT *statement = NULL;
    int r;
    char sql[sizeof where->sql + 512];
    snprintf(sql, sizeof sql,
             "SELECT r.id, r.started_at, r.status, r.verdict, r.resilience_score, r.recovery_time,"
             " r.accuracy_degradation, r.pipeline_downtime, r.error_count, julianday(r.started_at)"
             " FROM run_record r %s ORDER BY r.started_at, r.n",
             where->sql);
    CE_TRY(ce_history_prepare(history, sql, &statement, err));
    ce_history_where_bind(where, statement);
    while ((r = ce_history_step(history, statement, err)) > 0) {
        double score = ce_history_number(statement, SCORE);
        size_t number = json_array_size(runs);
        count_success(statement, successes);
        if (json_array_append_new(runs, run_json(statement)) < 0 ||
            (!isnan(score) &&
             add_point(points, ce_history_number(statement, DAY), score, number) < 0))
            return ce_fail_memory(err);
    }
    return r;
}

/* ---- telling ---- */

static double mean_of(const double *values, size_t from, size_t to)
{
    struct ce_moments moments;
    ce_moments_of(values + from, to - from, &moments);
    return moments.mean;
}

/* NULL: no memory. */
static json_t *changes_json(const struct points *points, const json_t *runs)
{
    size_t changes[CHANGES_MOST + 1];
    ce_autojson json_t *list = json_array();
    long count = ce_changes_of(points->scores, points->count, LEAST_NOISE, changes, CHANGES_MOST);
    if (count < 0)
        return NULL;
    changes[count] = points->count;
    for (long i = 0; i < count; i++) {
        const json_t *run = json_array_get(runs, points->runs[changes[i]]);
        double before = mean_of(points->scores, i > 0 ? changes[i - 1] : 0, changes[i]);
        double after = mean_of(points->scores, changes[i], changes[i + 1]);
        json_t *change = json_pack("{s:O, s:O, s:o, s:o}", "run", json_object_get(run, "id"), "at",
                                   json_object_get(run, "started_at"), "before",
                                   ce_json_number(before), "after", ce_json_number(after));
        if (json_array_append_new(list, change) < 0)
            return NULL;
    }
    return ce_take(list);
}

static json_t *trends_json(const char *name, size_t days, json_t *runs, const struct points *points,
                           const struct successes *successes)
{
    struct ce_moments moments;
    struct ce_slope slope;
    ce_moments_of(points->scores, points->count, &moments);
    ce_slope_of(points->days, points->scores, points->count, CONFIDENCE, &slope);
    json_t *interval = isnan(slope.low) ? json_null()
                                        : json_pack("[o, o]", ce_json_number(slope.low),
                                                    ce_json_number(slope.high));
    double rate = successes->told > 0 ? (double)successes->passed / (double)successes->told : NAN;
    return json_pack("{s:s, s:I, s:O, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:o}", "name",
                     name, "days", (json_int_t)days, "runs", runs, "total_runs",
                     (json_int_t)json_array_size(runs), "mean", ce_json_number(moments.mean), "sd",
                     ce_json_number(moments.sd), "min", ce_json_number(moments.min), "max",
                     ce_json_number(moments.max), "slope", ce_json_number(slope.slope), "slope_ci",
                     interval, "confidence", CONFIDENCE, "success_rate", ce_json_number(rate),
                     "change_points", changes_json(points, runs));
}

static int exists(struct ce_history *history, const char *name, struct ce_error *err)
{
    CE_STATEMENT *find = NULL;
    CE_TRY(ce_history_prepare(history, "SELECT 1 FROM run_record WHERE name = ?1 LIMIT 1", &find,
                              err));
    ce_history_bind_text(find, 1, name);
    int r = ce_history_step(history, find, err);
    return r == 0 ? ce_history_fail_no_name(history, name, err) : r;
}

int ce_history_trends_json(struct ce_history *history, const char *name, size_t days,
                           const char *profile, char **ret_json, struct ce_error *err)
{
    char since[32];
    struct ce_history_where where;
    CE_CLEANUP(points_done) struct points points = {0};
    struct successes successes = {0};
    ce_autojson json_t *runs = json_array();
    snprintf(since, sizeof since, "%zud", days);
    const struct ce_history_filter filter = {.profile = profile, .since = days > 0 ? since : NULL};
    CE_TRY(ce_history_where_make(&filter, &where, err));
    CE_TRY(exists(history, name, err));
    ce_history_where_name(&where, name);
    CE_TRY(read_runs(history, &where, runs, &points, &successes, err));
    return ce_history_finish(trends_json(name, days, runs, &points, &successes), ret_json, err);
}
