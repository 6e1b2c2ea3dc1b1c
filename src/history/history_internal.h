/* SPDX-License-Identifier: MIT */
/* What the parts of the history share: the open database, and statements whose failure is one
 * sentence. */
#ifndef CE_HISTORY_HISTORY_INTERNAL_H
#define CE_HISTORY_HISTORY_INTERNAL_H

#include <jansson.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "history/history.h"

struct ce_history {
    sqlite3 *db;
    char *path; /* NULL: there is no file yet, and so no run */
};

enum { CE_HISTORY_WAIT_MS = 5000 }; /* for others who write */

static inline void ce_history_finalize_(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
}
#define CE_STATEMENT CE_CLEANUP(ce_history_finalize_) sqlite3_stmt

/* The sentence of the database's last error; `doing` is "read" or "write to". */
int ce_history_fail(const struct ce_history *history, const char *doing, struct ce_error *err);
/* Statements without results. */
int ce_history_run(struct ce_history *history, const char *sql, struct ce_error *err);
int ce_history_prepare(struct ce_history *history, const char *sql, sqlite3_stmt **ret_statement,
                       struct ce_error *err);
/* 1: there is a row; 0: there is none any more. */
int ce_history_step(struct ce_history *history, sqlite3_stmt *statement, struct ce_error *err);
/* NULL binds null. The text must live until the statement is reset. */
void ce_history_bind_text(sqlite3_stmt *statement, int place, const char *text);
/* NaN binds null. */
void ce_history_bind_number(sqlite3_stmt *statement, int place, double value);
const char *ce_history_text(sqlite3_stmt *statement, int column); /* NULL: null */
double ce_history_number(sqlite3_stmt *statement, int column);    /* NaN: null */
/* A value as JSON: what is no UTF-8 text, and bytes, as text in which they are question marks. New
 * reference. */
json_t *ce_history_value(sqlite3_stmt *statement, int column);

/* ---- schema.c ---- */

struct ce_history_step_up {
    const char *sql; /* from the version before to this one */
};
/* Of the database: how many steps it has seen. -ENOTSUP: more than `count`. -EINVAL: it is somebody
 * else's. */
int ce_history_version(struct ce_history *history, int count, int64_t *ret_version,
                       struct ce_error *err);
/* Brings the database to version `count` by the steps that it has not seen, all of them or none.
 * Fails as ce_history_version(). */
int ce_history_migrate(struct ce_history *history, const struct ce_history_step_up *steps,
                       int count, struct ce_error *err);
extern const struct ce_history_step_up ce_history_steps[];
extern const int ce_history_step_count;

/* ---- which runs (where.c) ---- */

enum { CE_HISTORY_BOUND_MAX = 16 };

/* The conditions of a filter: SQL with places for values, and those values. */
struct ce_history_where {
    char sql[1024];
    struct {
        const char *text; /* NULL: a number */
        double number;
    } bound[CE_HISTORY_BOUND_MAX];
    size_t count;
    char since[CE_TIMESTAMP_SIZE], until[CE_TIMESTAMP_SIZE];
};
/* `filter` is borrowed. -EINVAL: something in it is not what it should be. */
int ce_history_where_make(const struct ce_history_filter *filter,
                          struct ce_history_where *ret_where, struct ce_error *err);
/* Of that very name, whatever is in it. */
void ce_history_where_name(struct ce_history_where *where, const char *name);
/* Copies the values. */
void ce_history_where_bind(const struct ce_history_where *where, sqlite3_stmt *statement);

/* ---- runs (list.c) ---- */

/* The columns of the view `runs`, in their order. */
#define CE_HISTORY_COLUMNS                                                                         \
    "r.id, r.name, r.layer, r.fault_type, r.status, r.verdict, r.resilience_score, "               \
    "r.recovery_time, r.accuracy_degradation, r.pipeline_downtime, r.error_count, r.duration, "    \
    "r.started_at, r.ended_at, c.seed, r.tags"
#define CE_HISTORY_FROM " FROM run_record r JOIN recipe c ON c.n = r.recipe "
enum { CE_HISTORY_COLUMN_COUNT = 16, CE_HISTORY_TAGS = 15 };
extern const char *const ce_history_columns[CE_HISTORY_COLUMN_COUNT];

/* A statement that gives those columns of the runs that a filter means. If they are sorted by
 * something else, that comes after them, and *ret_more (may be NULL) is what it is called. */
int ce_history_select(struct ce_history *history, const struct ce_history_filter *filter,
                      sqlite3_stmt **ret_statement, char ret_more[128], struct ce_error *err);
/* A row of it as the documented object. NULL: no memory. */
json_t *ce_history_row(sqlite3_stmt *statement);
/* Number of the run that is meant by what a user called it. */
int ce_history_resolve(struct ce_history *history, const char *run, int64_t *ret_number,
                       struct ce_error *err);
/* -ENOENT with the nearest name that there is. */
int ce_history_fail_no_name(struct ce_history *history, const char *name, struct ce_error *err);

/* The text of a document, or the failure of making it. Takes the reference. */
int ce_history_finish(json_t *json, char **ret_json, struct ce_error *err);

#endif
