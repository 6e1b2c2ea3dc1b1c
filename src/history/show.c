/* SPDX-License-Identifier: MIT */
/* One run, as it was reported; and what else is known of it. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/json.h"
#include "history/history_internal.h"

enum { SERIES_MAX = 64 << 20 };

static int fail_damaged(const struct ce_history *history, const char *what, struct ce_error *err)
{
    return ce_fail(err, EBADMSG, "the history '%s' is damaged: a run's %s cannot be read",
                   history->path, what);
}

/* Puts the series, if there is one, into the run. */
static int add_series(struct ce_history *history, int64_t number, json_t *run, struct ce_error *err)
{
    CE_STATEMENT *find = NULL;
    CE_TRY(ce_history_prepare(history, "SELECT size, deflated FROM series WHERE run = ?1", &find,
                              err));
    (void)sqlite3_bind_int64(find, 1, number);
    int r = ce_history_step(history, find, err);
    if (r <= 0)
        return r;
    int64_t told = sqlite3_column_int64(find, 0);
    uLongf size = told > 0 && told <= SERIES_MAX ? (uLongf)told : 0;
    ce_autofree char *text = malloc(size + 1);
    const void *deflated = sqlite3_column_blob(find, 1);
    if (!text)
        return ce_fail_memory(err);
    if (size == 0 || !deflated ||
        uncompress((unsigned char *)text, &size, deflated, (uLong)sqlite3_column_bytes(find, 1)) !=
            Z_OK)
        return fail_damaged(history, "series", err);
    json_t *series = json_loadb(text, size, 0, NULL);
    if (!series)
        return fail_damaged(history, "series", err);
    return json_object_set_new(run, "series", series) < 0 ? ce_fail_memory(err) : 0;
}

static int read_report(struct ce_history *history, int64_t number, json_t **ret_run,
                       struct ce_error *err)
{
    CE_STATEMENT *find = NULL;
    CE_TRY(ce_history_prepare(history, "SELECT json FROM report WHERE run = ?1", &find, err));
    (void)sqlite3_bind_int64(find, 1, number);
    int r = ce_history_step(history, find, err);
    CE_TRY(r);
    const char *text = r > 0 ? ce_history_text(find, 0) : NULL;
    ce_autojson json_t *run = text ? json_loads(text, 0, NULL) : NULL;
    if (!json_is_object(run))
        return fail_damaged(history, "report", err);
    CE_TRY(add_series(history, number, run, err));
    *ret_run = ce_take(run);
    return 0;
}

/* {"host", "kernel", "machine", "processors", "version", "git_commit", "document": its SHA-256};
 * null: not known. */
static int read_environment(struct ce_history *history, int64_t number, json_t **ret_environment,
                            struct ce_error *err)
{
    static const char *const keys[] = {"host",    "kernel",     "machine",        "processors",
                                       "version", "git_commit", "document_sha256"};
    CE_STATEMENT *find = NULL;
    CE_TRY(ce_history_prepare(history,
                              "SELECT e.host, e.kernel, e.machine, e.processors, e.version,"
                              " nullif(e.git_commit, ''), d.sha256 FROM run_record r"
                              " LEFT JOIN environment e ON e.n = r.environment"
                              " LEFT JOIN document d ON d.n = r.document WHERE r.n = ?1",
                              &find, err));
    (void)sqlite3_bind_int64(find, 1, number);
    CE_TRY(ce_history_step(history, find, err));
    ce_autojson json_t *environment = json_object();
    for (size_t i = 0; i < CE_COUNT(keys); i++)
        if (json_object_set_new(environment, keys[i], ce_history_value(find, (int)i)) < 0)
            return ce_fail_memory(err);
    *ret_environment = ce_take(environment);
    return 0;
}

int ce_history_show_json(struct ce_history *history, const char *run, char **ret_json,
                         struct ce_error *err)
{
    int64_t number;
    ce_autojson json_t *json = NULL, *environment = NULL;
    CE_TRY(ce_history_resolve(history, run, &number, err));
    CE_TRY(read_report(history, number, &json, err));
    CE_TRY(read_environment(history, number, &environment, err));
    if (json_object_set(json, "environment", environment) < 0)
        return ce_fail_memory(err);
    return ce_history_finish(ce_take(json), ret_json, err);
}

int ce_history_document(struct ce_history *history, const char *run, char **ret_text,
                        struct ce_error *err)
{
    int64_t number;
    CE_STATEMENT *find = NULL;
    CE_TRY(ce_history_resolve(history, run, &number, err));
    CE_TRY(ce_history_prepare(history,
                              "SELECT d.text FROM run_record r JOIN document d ON d.n = r.document"
                              " WHERE r.n = ?1",
                              &find, err));
    (void)sqlite3_bind_int64(find, 1, number);
    int r = ce_history_step(history, find, err);
    CE_TRY(r);
    if (r == 0)
        return ce_fail(err, ENOENT, "the history does not have the document of that run");
    char *text = strdup(ce_history_text(find, 0));
    if (!text)
        return ce_fail_memory(err);
    *ret_text = text;
    return 0;
}

int ce_history_read(struct ce_history *history, const char *run, struct ce_record *ret_record,
                    struct ce_error *err)
{
    int64_t number;
    ce_autojson json_t *json = NULL;
    CE_TRY(ce_history_resolve(history, run, &number, err));
    CE_TRY(read_report(history, number, &json, err));
    return ce_record_read(json, ret_record, err);
}

static json_t *earlier_run(sqlite3_stmt *row)
{
    static const char *const keys[] = {"id", "started_at", "resilience_score", "verdict"};
    json_t *run = json_object();
    for (int i = 0; run && i < (int)CE_COUNT(keys); i++)
        (void)json_object_set_new(run, keys[i], ce_history_value(row, i));
    return run;
}

int ce_history_earlier(struct ce_history *history, const struct ce_record *record, size_t most,
                       json_t **ret_runs, struct ce_error *err)
{
    CE_STATEMENT *find = NULL;
    ce_autojson json_t *runs = json_array();
    char began[CE_TIMESTAMP_SIZE];
    int r;
    ce_timestamp(record->started_at, began);
    CE_TRY(ce_history_prepare(history,
                              "SELECT id, started_at, resilience_score, verdict FROM run_record"
                              " WHERE name = ?1 AND profile IS ?2 AND started_at < ?3"
                              " ORDER BY started_at DESC LIMIT ?4",
                              &find, err));
    ce_history_bind_text(find, 1, record->name);
    ce_history_bind_text(find, 2, record->profile);
    ce_history_bind_text(find, 3, began);
    (void)sqlite3_bind_int64(find, 4, (sqlite3_int64)most);
    while ((r = ce_history_step(history, find, err)) > 0)
        if (json_array_insert_new(runs, 0, earlier_run(find)) < 0)
            return ce_fail_memory(err);
    CE_TRY(r);
    *ret_runs = ce_take(runs);
    return 0;
}
