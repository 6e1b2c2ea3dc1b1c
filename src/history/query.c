/* SPDX-License-Identifier: MIT */
/* Questions in SQL by users. While one is asked, an authorizer lets the connection read and compute
 * and do nothing else; what would write is refused besides; and there is so much time. */
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "history/history_internal.h"

enum { LOOK_EVERY = 1000, VALUE_MAX = 64 << 20, RESULT_MAX = 256 << 20, CELL_COST = 32 };

static int authorize(void *ctx, int action, const char *a, const char *b, const char *database,
                     const char *trigger)
{
    (void)ctx, (void)a, (void)b, (void)database, (void)trigger;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_FUNCTION:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    default:
        return SQLITE_DENY;
    }
}

static int is_over(void *deadline)
{
    return ce_now() > *(const int64_t *)deadline;
}

/* ---- the statement ---- */

/* Whether there is nothing but blanks, comments and semicolons. */
static bool is_blank(const char *sql)
{
    for (;;) {
        sql += strspn(sql, " \t\r\n\f;");
        if (strncmp(sql, "--", 2) == 0) {
            sql += strcspn(sql, "\n");
        } else if (strncmp(sql, "/*", 2) == 0) {
            const char *end = strstr(sql + 2, "*/");
            sql = end ? end + 2 : sql + strlen(sql);
        } else {
            return *sql == '\0';
        }
    }
}

static int prepare(struct ce_history *history, const char *sql, sqlite3_stmt **ret_statement,
                   struct ce_error *err)
{
    CE_STATEMENT *statement = NULL;
    const char *rest = NULL;
    char shown[CE_TEXT_SHOWN_SIZE];
    int r = sqlite3_prepare_v2(history->db, sql, -1, &statement, &rest);
    ce_text_show(sql, shown);
    if (r == SQLITE_AUTH || (r == SQLITE_OK && statement && !sqlite3_stmt_readonly(statement)))
        return ce_fail(err, EINVAL, "the history is only read: '%s' is no SELECT", shown);
    if (r == SQLITE_NOMEM)
        return ce_fail_memory(err);
    if (r == SQLITE_ERROR || r == SQLITE_TOOBIG)
        return ce_fail(err, EINVAL, "'%s': %s", shown, sqlite3_errmsg(history->db));
    if (r != SQLITE_OK)
        return ce_history_fail(history, "read", err);
    if (!statement)
        return ce_fail(err, EINVAL, "there is no statement in '%s'", shown);
    if (!is_blank(rest))
        return ce_fail(err, EINVAL, "one statement at a time: there is more behind '%.*s'",
                       (int)(rest - sql < 60 ? rest - sql : 60), sql);
    if (sqlite3_bind_parameter_count(statement) > 0)
        return ce_fail(err, EINVAL, "'%s' has a parameter, and no value for it", shown);
    *ret_statement = ce_take(statement);
    return 0;
}

/* ---- the rows ---- */

/* Two columns of one name are told apart: "id", "id:1". */
static json_t *row_json(sqlite3_stmt *statement, size_t *size)
{
    ce_autojson json_t *row = json_object();
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        const char *name = sqlite3_column_name(statement, i);
        char other[128];
        for (int k = 1; name && json_object_get(row, name) && k <= i; k++) {
            snprintf(other, sizeof other, "%.100s:%d", sqlite3_column_name(statement, i), k);
            name = other;
        }
        *size += CELL_COST + (size_t)sqlite3_column_bytes(statement, i);
        if (!name || json_object_set_new(row, name, ce_history_value(statement, i)) < 0)
            return NULL;
    }
    return ce_take(row);
}

static int read_rows(struct ce_history *history, sqlite3_stmt *statement, json_t *rows,
                     double seconds, struct ce_error *err)
{
    size_t size = 0;
    int r;
    while ((r = sqlite3_step(statement)) == SQLITE_ROW) {
        if (json_array_append_new(rows, row_json(statement, &size)) < 0)
            return ce_fail_memory(err);
        if (size > RESULT_MAX)
            return ce_fail(err, EFBIG, "the answer is larger than %d MiB: add a LIMIT",
                           RESULT_MAX >> 20);
    }
    if (r == SQLITE_INTERRUPT)
        return ce_fail(err, ETIME, "the answer took longer than %g s, and was given up", seconds);
    if (r == SQLITE_ERROR || r == SQLITE_TOOBIG || r == SQLITE_MISMATCH)
        return ce_fail(err, EINVAL, "the history has no answer: %s", sqlite3_errmsg(history->db));
    return r == SQLITE_DONE ? 0 : ce_history_fail(history, "read", err);
}

static int ask(struct ce_history *history, const char *sql, double seconds, json_t *rows,
               struct ce_error *err)
{
    CE_STATEMENT *statement = NULL;
    CE_TRY(prepare(history, sql, &statement, err));
    return read_rows(history, statement, rows, seconds, err);
}

int ce_history_query_json(struct ce_history *history, const char *sql, double seconds,
                          char **ret_json, struct ce_error *err)
{
    ce_autojson json_t *rows = json_array();
    int64_t deadline = ce_now() + (int64_t)(seconds * CE_SECOND);
    (void)sqlite3_limit(history->db, SQLITE_LIMIT_LENGTH, VALUE_MAX);
    (void)sqlite3_set_authorizer(history->db, authorize, NULL);
    if (seconds > 0)
        sqlite3_progress_handler(history->db, LOOK_EVERY, is_over, &deadline);
    int r = ask(history, sql, seconds, rows, err);
    sqlite3_progress_handler(history->db, 0, NULL, NULL);
    (void)sqlite3_set_authorizer(history->db, NULL, NULL);
    CE_TRY(r);
    return ce_history_finish(ce_take(rows), ret_json, err);
}
