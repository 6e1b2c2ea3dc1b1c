/* SPDX-License-Identifier: MIT */
/* Which runs there are, in any order; and which one is meant. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "history/history_internal.h"

const char *const ce_history_columns[CE_HISTORY_COLUMN_COUNT] = {
    "id",
    "name",
    "layer",
    "fault_type",
    "status",
    "verdict",
    "resilience_score",
    "recovery_time",
    "accuracy_degradation",
    "pipeline_downtime",
    "error_count",
    "duration",
    "started_at",
    "ended_at",
    "seed",
    "tags",
};

/* ---- order ---- */

static const char *const phase_numbers[] = {
    "operations", "errors", "right_predictions", "p50_ms", "p90_ms", "p99_ms", "max_ms"};

/* What the runs are sorted by: a column, or a metric of a phase, which is joined. */
struct order {
    char key[96], phase[32];
    char by[128];   /* SQL of the value; a name of ours, never the user's */
    char join[160]; /* SQL */
    bool joined, measured, ascending;
};

static bool is_column(const char *key)
{
    return ce_text_is_among(key, ce_history_columns, CE_HISTORY_COLUMN_COUNT);
}

/* "p99_ms@fault:asc" */
static int split(const char *sort, struct order *order, struct ce_error *err)
{
    static const char *const ascending_by_nature[] = {"id",     "name",    "layer", "fault_type",
                                                      "status", "verdict", "tags"};
    char text[160], shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(sort, shown);
    if (strlen(sort) >= sizeof order->key)
        return ce_fail(err, EINVAL, "no run has a '%s' to be sorted by", shown);
    snprintf(text, sizeof text, "%s", sort);
    char *direction = strrchr(text, ':');
    bool ascending = direction && strcmp(direction, ":asc") == 0;
    bool stated = ascending || (direction && strcmp(direction, ":desc") == 0);
    if (stated)
        *direction = '\0';
    char *at = strrchr(text, '@');
    if (at)
        *at = '\0';
    snprintf(order->key, sizeof order->key, "%.*s", (int)sizeof order->key - 1, text);
    snprintf(order->phase, sizeof order->phase, "%.*s", (int)sizeof order->phase - 1,
             at ? at + 1 : "");
    order->ascending =
        stated ? ascending
               : ce_text_is_among(order->key, ascending_by_nature, CE_COUNT(ascending_by_nature));
    return 0;
}

/* The phase that is meant when none is named: the fault's, or none if it has none. */
static int find_phase(struct ce_history *history, struct order *order, struct ce_error *err)
{
    CE_STATEMENT *find = NULL;
    CE_TRY(ce_history_prepare(history,
                              "SELECT phase FROM measurement WHERE metric = ?1 AND"
                              " (phase = ?2 OR ?2 = '') ORDER BY phase = 'fault' DESC LIMIT 1",
                              &find, err));
    ce_history_bind_text(find, 1, order->key);
    ce_history_bind_text(find, 2, order->phase);
    int r = ce_history_step(history, find, err);
    CE_TRY(r);
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(order->key, shown);
    if (r == 0)
        return ce_fail(err, ENOENT,
                       "no run has a '%s%s%s' to be sorted by; a column of the list, %s or "
                       "a metric of the pipeline is meant",
                       shown, order->phase[0] ? "@" : "", order->phase, "p99_ms@fault");
    snprintf(order->phase, sizeof order->phase, "%s", ce_history_text(find, 0));
    return 0;
}

static int make_order(struct ce_history *history, const char *sort, struct order *order,
                      struct ce_error *err)
{
    *order = (struct order){0};
    CE_TRY(split(sort ? sort : "started_at", order, err));
    if (is_column(order->key) && order->phase[0] == '\0') {
        bool seed = strcmp(order->key, "seed") == 0;
        snprintf(order->by, sizeof order->by, "%s.%s", seed ? "c" : "r", order->key);
        return 0;
    }
    order->joined = true;
    if (ce_text_is_among(order->key, phase_numbers, CE_COUNT(phase_numbers))) {
        if (order->phase[0] == '\0')
            snprintf(order->phase, sizeof order->phase, "fault");
        snprintf(order->by, sizeof order->by, "p.%s", order->key);
        snprintf(order->join, sizeof order->join,
                 " JOIN phase p ON p.run = r.n AND p.phase = :phase ");
        return 0;
    }
    order->measured = true;
    CE_TRY(find_phase(history, order, err));
    snprintf(order->by, sizeof order->by, "m.value");
    snprintf(order->join, sizeof order->join,
             " JOIN measurement m ON m.run = r.n AND m.metric = :metric AND m.phase = :phase ");
    return 0;
}

/* ---- selecting ---- */

/* A run without the value is last either way; one without a phase or a metric is left out. */
static char *sql_of(const struct order *order, const struct ce_history_where *where)
{
    bool nulls = order->ascending; /* which SQLite counts as the least */
    const char *more = order->joined ? order->by : "NULL";
    return ce_format("SELECT " CE_HISTORY_COLUMNS
                     ", (SELECT json_group_array(tag) FROM tag WHERE run = r.n), %s" CE_HISTORY_FROM
                     "%s%s ORDER BY %s %s%s, r.n %s LIMIT :limit OFFSET :offset",
                     more, order->join, where->sql, order->by, order->ascending ? "ASC" : "DESC",
                     nulls ? " NULLS LAST" : "", order->ascending ? "ASC" : "DESC");
}

static void bind_name(sqlite3_stmt *statement, const char *name, const char *text)
{
    int place = sqlite3_bind_parameter_index(statement, name);
    if (place > 0) /* the text need not outlive the call */
        (void)sqlite3_bind_text(statement, place, text, -1, SQLITE_TRANSIENT);
}

int ce_history_select(struct ce_history *history, const struct ce_history_filter *filter,
                      sqlite3_stmt **ret_statement, char ret_more[128], struct ce_error *err)
{
    struct order order;
    struct ce_history_where where;
    CE_TRY(ce_history_where_make(filter, &where, err));
    CE_TRY(make_order(history, filter->sort, &order, err));
    ce_autofree char *sql = sql_of(&order, &where);
    if (!sql)
        return ce_fail_memory(err);
    CE_STATEMENT *statement = NULL;
    CE_TRY(ce_history_prepare(history, sql, &statement, err));
    ce_history_where_bind(&where, statement);
    bind_name(statement, ":phase", order.phase);
    bind_name(statement, ":metric", order.key);
    (void)sqlite3_bind_int64(statement, sqlite3_bind_parameter_index(statement, ":limit"),
                             filter->limit > 0 ? (sqlite3_int64)filter->limit : -1);
    (void)sqlite3_bind_int64(statement, sqlite3_bind_parameter_index(statement, ":offset"),
                             (sqlite3_int64)filter->offset);
    if (ret_more)
        snprintf(ret_more, 128, "%s%s%s", order.joined ? order.key : "",
                 order.joined && order.phase[0] ? "@" : "", order.joined ? order.phase : "");
    *ret_statement = ce_take(statement);
    return 0;
}

json_t *ce_history_row(sqlite3_stmt *statement)
{
    ce_autojson json_t *row = json_object();
    for (int i = 0; i < CE_HISTORY_TAGS; i++)
        if (json_object_set_new_nocheck(row, ce_history_columns[i],
                                        ce_history_value(statement, i)) < 0)
            return NULL;
    const char *tags = ce_history_text(statement, CE_HISTORY_TAGS + 1);
    json_t *list = tags ? json_loads(tags, 0, NULL) : NULL;
    if (json_object_set_new(row, "tags", list ? list : json_array()) < 0)
        return NULL;
    return ce_take(row);
}

int ce_history_list_json(struct ce_history *history, const struct ce_history_filter *filter,
                         char **ret_json, struct ce_error *err)
{
    static const struct ce_history_filter all;
    CE_STATEMENT *statement = NULL;
    char more[128];
    int r;
    ce_autojson json_t *list = json_array();
    CE_TRY(ce_history_select(history, filter ? filter : &all, &statement, more, err));
    while ((r = ce_history_step(history, statement, err)) > 0) {
        json_t *row = ce_history_row(statement);
        if (more[0])
            (void)json_object_set_new(row, more, ce_history_value(statement, CE_HISTORY_TAGS + 2));
        if (json_array_append_new(list, row) < 0)
            return ce_fail_memory(err);
    }
    CE_TRY(r);
    return ce_history_finish(ce_take(list), ret_json, err);
}

int ce_history_count(struct ce_history *history, const struct ce_history_filter *filter,
                     size_t *ret_count, struct ce_error *err)
{
    CE_STATEMENT *statement = NULL;
    struct ce_history_where where;
    CE_TRY(ce_history_where_make(filter, &where, err));
    ce_autofree char *sql = ce_format("SELECT count(*)" CE_HISTORY_FROM "%s", where.sql);
    if (!sql)
        return ce_fail_memory(err);
    CE_TRY(ce_history_prepare(history, sql, &statement, err));
    ce_history_where_bind(&where, statement);
    CE_TRY(ce_history_step(history, statement, err));
    *ret_count = (size_t)sqlite3_column_int64(statement, 0);
    return 0;
}

/* ---- one run ---- */

int ce_history_fail_no_name(struct ce_history *history, const char *name, struct ce_error *err)
{
    CE_STATEMENT *all = NULL;
    char nearest[128] = "", shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(name, shown);
    CE_TRY(ce_history_prepare(history, "SELECT DISTINCT name FROM run_record", &all, err));
    while (ce_history_step(history, all, NULL) > 0) {
        const char *names[] = {nearest, ce_history_text(all, 0)};
        const char *best = names[1] ? ce_text_nearest(name, names, 2) : NULL;
        if (best && best != nearest)
            ce_text_show(best, nearest);
    }
    return ce_fail(err, ENOENT, "no run in the history is called '%s'%s%s%s", shown,
                   nearest[0] ? "; did you mean '" : "", nearest, nearest[0] ? "'?" : "");
}

/* Several: the text is the beginning of more than one id. */
static int find_by_id(struct ce_history *history, const char *run, int64_t *ret_number,
                      struct ce_error *err)
{
    CE_STATEMENT *find = NULL;
    char shown[CE_TEXT_SHOWN_SIZE];
    /* ids are ASCII: what begins so lies between the text and the text with '~' behind it */
    CE_TRY(ce_history_prepare(history,
                              "SELECT n, id = ?1 FROM run_record WHERE id >= ?1 AND"
                              " id < ?1 || '~' ORDER BY id LIMIT 2",
                              &find, err));
    ce_history_bind_text(find, 1, run);
    int r = ce_history_step(history, find, err);
    if (r <= 0)
        return r;
    *ret_number = sqlite3_column_int64(find, 0);
    if (sqlite3_column_int(find, 1))
        return 1;
    r = ce_history_step(history, find, err);
    CE_TRY(r);
    ce_text_show(run, shown);
    return r == 0
               ? 1
               : ce_fail(err, EINVAL, "more than one run has an id that begins with '%s'", shown);
}

int ce_history_resolve(struct ce_history *history, const char *run, int64_t *ret_number,
                       struct ce_error *err)
{
    CE_STATEMENT *find = NULL;
    bool last = strcmp(run, "last") == 0;
    int r = run[0] == '\0' || last ? 0 : find_by_id(history, run, ret_number, err);
    if (r != 0)
        return r < 0 ? r : 0;
    CE_TRY(ce_history_prepare(history,
                              last ? "SELECT n FROM run_record ORDER BY started_at DESC, n DESC"
                                     " LIMIT 1"
                                   : "SELECT n FROM run_record WHERE name = ?1"
                                     " ORDER BY started_at DESC, n DESC LIMIT 1",
                              &find, err));
    if (!last)
        ce_history_bind_text(find, 1, run);
    r = ce_history_step(history, find, err);
    CE_TRY(r);
    if (r > 0)
        *ret_number = sqlite3_column_int64(find, 0);
    if (r == 0 && last)
        return ce_fail(err, ENOENT, "there is no run in the history yet");
    return r > 0 ? 0 : ce_history_fail_no_name(history, run, err);
}
