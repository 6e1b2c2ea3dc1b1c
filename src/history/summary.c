/* SPDX-License-Identifier: MIT */
/* All runs of a filter in a few numbers: altogether, by layer, by fault. They are read once, and
 * counted here. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "history/history_internal.h"

/* A mean of what was measured. */
struct mean {
    double sum, min, max;
    size_t count;
};

/* Runs that have something in common. As in trends, those that were interrupted or skipped tell
 * nothing of the pipeline. */
struct group {
    char *name;
    size_t runs, told, passed;
    struct mean score, recovery, accuracy;
};

struct groups {
    struct group *items;
    size_t count;
};

static void groups_done(struct groups *groups)
{
    for (size_t i = 0; i < groups->count; i++)
        free(groups->items[i].name);
    free(groups->items);
}

static int compare_groups(const void *a, const void *b)
{
    return strcmp(((const struct group *)a)->name, ((const struct group *)b)->name);
}

/* The group of that name, which there is from now on. NULL: no memory. */
static struct group *group_of(struct groups *groups, const char *name)
{
    for (size_t i = 0; i < groups->count; i++)
        if (strcmp(groups->items[i].name, name) == 0)
            return &groups->items[i];
    struct group *items = realloc(groups->items, (groups->count + 1) * sizeof *items);
    if (!items)
        return NULL;
    groups->items = items;
    items[groups->count] = (struct group){.name = strdup(name)};
    return items[groups->count].name ? &items[groups->count++] : NULL;
}

/* ---- reading ---- */

/* The columns that are read. */
enum { LAYER, FAULT, STATUS, VERDICT, SCORE, RECOVERY, ACCURACY };

static void add_value(struct mean *mean, double value)
{
    if (isnan(value))
        return;
    mean->min = mean->count == 0 ? value : fmin(mean->min, value);
    mean->max = mean->count == 0 ? value : fmax(mean->max, value);
    mean->sum += value;
    mean->count++;
}

static void add_run(struct group *group, sqlite3_stmt *run)
{
    const char *status = ce_history_text(run, STATUS);
    bool told = strcmp(status, "interrupted") != 0 && strcmp(status, "skipped") != 0;
    group->runs++;
    group->told += told;
    group->passed += told && strcmp(ce_history_text(run, VERDICT), "passed") == 0;
    add_value(&group->score, ce_history_number(run, SCORE));
    add_value(&group->recovery, ce_history_number(run, RECOVERY));
    add_value(&group->accuracy, ce_history_number(run, ACCURACY));
}

/* All runs, and those of each layer, fault, status and verdict. */
struct summary {
    struct group all;
    struct groups by[4]; /* of the first four columns */
};

static int read_runs(struct ce_history *history, const struct ce_history_where *where,
                     struct summary *summary, struct ce_error *err)
{
    CE_STATEMENT *run = NULL;
    int r;
    ce_autofree char *sql =
        ce_format("SELECT r.layer, r.fault_type, r.status, r.verdict, r.resilience_score,"
                  " r.recovery_time, r.accuracy_degradation FROM run_record r%s",
                  where->sql);
    if (!sql)
        return ce_fail_memory(err);
    CE_TRY(ce_history_prepare(history, sql, &run, err));
    ce_history_where_bind(where, run);
    while ((r = ce_history_step(history, run, err)) > 0) {
        add_run(&summary->all, run);
        for (int i = 0; i < 4; i++) {
            struct group *group = group_of(&summary->by[i], ce_history_text(run, i));
            if (!group)
                return ce_fail_memory(err);
            add_run(group, run);
        }
    }
    return r;
}

/* ---- telling ---- */

static json_t *mean_json(const struct mean *mean)
{
    return ce_json_number(mean->count > 0 ? mean->sum / (double)mean->count : NAN);
}

static json_t *group_json(const struct group *group)
{
    const struct mean *score = &group->score;
    double rate = group->told > 0 ? (double)group->passed / (double)group->told : NAN;
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "runs", (json_int_t)group->runs,
                     "mean_resilience_score", mean_json(score), "min_resilience_score",
                     ce_json_number(score->count > 0 ? score->min : NAN), "max_resilience_score",
                     ce_json_number(score->count > 0 ? score->max : NAN), "mean_recovery_time",
                     mean_json(&group->recovery), "mean_accuracy_degradation",
                     mean_json(&group->accuracy), "success_rate", ce_json_number(rate));
}

/* {name: group}, or {name: how many runs}. NULL: no memory. */
static json_t *groups_json(struct groups *groups, bool counts)
{
    ce_autojson json_t *json = json_object();
    if (groups->count > 0)
        qsort(groups->items, groups->count, sizeof *groups->items, compare_groups);
    for (size_t i = 0; i < groups->count; i++) {
        const struct group *group = &groups->items[i];
        json_t *value = counts ? json_integer((json_int_t)group->runs) : group_json(group);
        if (json_object_set_new(json, group->name, value) < 0)
            return NULL;
    }
    return ce_take(json);
}

/* Puts the first row of a statement into the summary. */
static int add_columns(struct ce_history *history, const struct ce_history_where *where,
                       const char *sql, const char *const *keys, int count, json_t *json,
                       struct ce_error *err)
{
    CE_STATEMENT *statement = NULL;
    ce_autofree char *whole = ce_format("%s%s", sql, where->sql);
    if (!whole)
        return ce_fail_memory(err);
    CE_TRY(ce_history_prepare(history, whole, &statement, err));
    ce_history_where_bind(where, statement);
    CE_TRY(ce_history_step(history, statement, err));
    for (int i = 0; i < count; i++)
        if (json_object_set_new(json, keys[i], ce_history_value(statement, i)) < 0)
            return ce_fail_memory(err);
    return 0;
}

static int tell(struct ce_history *history, const struct ce_history_where *where,
                struct summary *summary, char **ret_json, struct ce_error *err)
{
    static const char *const keys[] = {"by_layer", "by_fault", "statuses", "verdicts"};
    static const char *const of_all[] = {"experiments", "first", "last"};
    ce_autojson json_t *json = group_json(&summary->all);
    CE_TRY(add_columns(history, where,
                       "SELECT count(DISTINCT r.name), min(r.started_at), max(r.started_at)"
                       " FROM run_record r",
                       of_all, CE_COUNT(of_all), json, err));
    for (size_t i = 0; i < CE_COUNT(keys); i++)
        if (json_object_set_new(json, keys[i], groups_json(&summary->by[i], i >= STATUS)) < 0)
            return ce_fail_memory(err);
    return ce_history_finish(ce_take(json), ret_json, err);
}

int ce_history_summary_json(struct ce_history *history, const struct ce_history_filter *filter,
                            char **ret_json, struct ce_error *err)
{
    static const struct ce_history_filter every;
    struct ce_history_where where;
    struct summary summary = {0};
    CE_TRY(ce_history_where_make(filter ? filter : &every, &where, err));
    int r = read_runs(history, &where, &summary, err);
    if (r >= 0)
        r = tell(history, &where, &summary, ret_json, err);
    for (size_t i = 0; i < CE_COUNT(summary.by); i++)
        groups_done(&summary.by[i]);
    return r;
}
