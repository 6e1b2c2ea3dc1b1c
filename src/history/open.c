/* SPDX-License-Identifier: MIT */
/* Opening the history, and the sentences of what may be wrong with it. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "history/history_internal.h"

/* ---- statements ---- */

static int code_of(int result)
{
    switch (result) {
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_PERM:
    case SQLITE_READONLY:
        return EACCES;
    case SQLITE_CANTOPEN:
        return ENOENT;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return EBADMSG;
    default:
        return EIO;
    }
}

int ce_history_fail(const struct ce_history *history, const char *doing, struct ce_error *err)
{
    const char *path = history->path ? history->path : "history";
    int code = history->db ? code_of(sqlite3_errcode(history->db)) : ENOMEM;
    int system = history->db ? sqlite3_system_errno(history->db) : 0;
    switch (code) {
    case ENOMEM:
        return ce_fail_memory(err);
    case EBADMSG:
        return ce_fail(err, code, "the history '%s' is damaged, or none: %s", path,
                       sqlite3_errmsg(history->db));
    case EBUSY:
        return ce_fail(err, code,
                       "cannot %s the history '%s': another program has held it for %d s", doing,
                       path, CE_HISTORY_WAIT_MS / 1000);
    case ENOENT:
    case EIO:
        if (system > 0)
            return ce_fail(err, system, "cannot %s the history '%s': %s", doing, path,
                           strerror(system));
        break;
    default:
        break;
    }
    return ce_fail(err, code, "cannot %s the history '%s': %s", doing, path,
                   sqlite3_errmsg(history->db));
}

int ce_history_run(struct ce_history *history, const char *sql, struct ce_error *err)
{
    int r = sqlite3_exec(history->db, sql, NULL, NULL, NULL);
    return r == SQLITE_OK ? 0 : ce_history_fail(history, "write to", err);
}

int ce_history_prepare(struct ce_history *history, const char *sql, sqlite3_stmt **ret_statement,
                       struct ce_error *err)
{
    int r = sqlite3_prepare_v2(history->db, sql, -1, ret_statement, NULL);
    return r == SQLITE_OK ? 0 : ce_history_fail(history, "read", err);
}

int ce_history_step(struct ce_history *history, sqlite3_stmt *statement, struct ce_error *err)
{
    int r = sqlite3_step(statement);
    if (r == SQLITE_ROW || r == SQLITE_DONE)
        return r == SQLITE_ROW;
    return ce_history_fail(history, sqlite3_stmt_readonly(statement) ? "read" : "write to", err);
}

void ce_history_bind_text(sqlite3_stmt *statement, int place, const char *text)
{
    (void)sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
}

void ce_history_bind_number(sqlite3_stmt *statement, int place, double value)
{
    if (isfinite(value))
        (void)sqlite3_bind_double(statement, place, value);
    else
        (void)sqlite3_bind_null(statement, place);
}

const char *ce_history_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

double ce_history_number(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL
               ? NAN
               : sqlite3_column_double(statement, column);
}

static json_t *text_value(const char *text, size_t size)
{
    json_t *string = json_stringn(text, size);
    if (string)
        return string;
    ce_autofree char *plain = malloc(size + 1);
    for (size_t i = 0; plain && i < size; i++)
        plain[i] = (unsigned char)text[i] >= 0x80 ? '?' : text[i];
    return plain ? json_stringn(plain, size) : NULL;
}

json_t *ce_history_value(sqlite3_stmt *statement, int column)
{
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
        return json_null();
    case SQLITE_INTEGER:
        return json_integer(sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
        return ce_json_number(sqlite3_column_double(statement, column));
    default: {
        const char *text = sqlite3_column_blob(statement, column);
        return text_value(text ? text : "", (size_t)sqlite3_column_bytes(statement, column));
    }
    }
}

int ce_history_finish(json_t *json, char **ret_json, struct ce_error *err)
{
    char *text = json ? ce_json_text(json) : NULL;
    json_decref(json);
    if (!text)
        return ce_fail_memory(err);
    *ret_json = text;
    return 0;
}

/* ---- opening ---- */

void ce_history_close(struct ce_history *history)
{
    if (!history)
        return;
    (void)sqlite3_close(history->db);
    free(history->path);
    free(history);
}

/* SQLite would make it readable for everybody. It appears under its name when nobody in this
 * process has it open any more, since closing a file drops the locks that others have on it. */
static int make_file(const char *path, struct ce_error *err)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return 0;
    ce_autofree char *fresh = ce_format("%s.XXXXXX", path);
    if (!fresh)
        return ce_fail_memory(err);
    int fd = mkostemp(fresh, O_CLOEXEC);
    if (fd < 0)
        return ce_fail(err, errno, "cannot make the history '%s': %s", path, strerror(errno));
    (void)close(fd);
    int r = link(fresh, path) < 0 && errno != EEXIST ? -errno : 0;
    (void)unlink(fresh);
    return r < 0 ? ce_fail(err, -r, "cannot make the history '%s': %s", path, strerror(-r)) : 0;
}

/* Opens a connection. Nothing that a database says of itself is trusted: it may be anybody's. */
static int connect(struct ce_history *history, const char *name, int flags, struct ce_error *err)
{
    (void)sqlite3_close(history->db);
    history->db = NULL;
    if (sqlite3_open_v2(name, &history->db, flags | SQLITE_OPEN_URI, NULL) != SQLITE_OK)
        return ce_history_fail(history, "open", err);
    (void)sqlite3_busy_timeout(history->db, CE_HISTORY_WAIT_MS);
    (void)sqlite3_extended_result_codes(history->db, 0);
    (void)sqlite3_db_config(history->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(history->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(history->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    (void)sqlite3_db_config(history->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    return 0;
}

/* The change to WAL needs the database for itself, and does not wait for that. */
static int use_wal(struct ce_history *history, struct ce_error *err)
{
    int64_t deadline = ce_now() + CE_HISTORY_WAIT_MS * CE_MILLISECOND;
    int r;
    while ((r = sqlite3_exec(history->db,
                             "PRAGMA auto_vacuum = INCREMENTAL;"
                             "PRAGMA journal_mode = WAL;",
                             NULL, NULL, NULL)) == SQLITE_BUSY &&
           ce_now() < deadline)
        (void)usleep(5000);
    return r == SQLITE_OK ? 0 : ce_history_fail(history, "open", err);
}

static int to_write(struct ce_history *history, struct ce_error *err)
{
    int64_t version;
    CE_TRY(make_file(history->path, err));
    CE_TRY(connect(history, history->path, SQLITE_OPEN_READWRITE, err));
    CE_TRY(ce_history_version(history, ce_history_step_count, &version, err));
    CE_TRY(use_wal(history, err)); /* which changes the file */
    CE_TRY(ce_history_run(history, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON", err));
    return ce_history_migrate(history, ce_history_steps, ce_history_step_count, err);
}

/* Of a file that cannot be written to, which nobody else writes to either. */
static int immutable(struct ce_history *history, struct ce_error *err)
{
    struct stat st;
    ce_autofree char *wal = ce_format("%s-wal", history->path);
    char *uri = sqlite3_mprintf("file:%w?immutable=1", history->path);
    bool unusual = strpbrk(history->path, "?#%") != NULL;
    int r = -ENOENT;
    if (wal && uri && !unusual && (stat(wal, &st) < 0 || st.st_size == 0))
        r = connect(history, uri, SQLITE_OPEN_READONLY, err);
    sqlite3_free(uri);
    return r;
}

/* The lock on a database that others write to is a file beside it, so even readers open it to write
 * if they may; they are kept from it by query_only. */
static int to_read(struct ce_history *history, struct ce_error *err)
{
    if (access(history->path, R_OK) < 0)
        return ce_fail(err, errno, "cannot read the history '%s': %s", history->path,
                       strerror(errno));
    CE_TRY(connect(history, history->path, SQLITE_OPEN_READWRITE, err));
    struct ce_error why = {0};
    int r = ce_history_migrate(history, ce_history_steps, ce_history_step_count, &why);
    if (r == -EACCES || r == -ENOENT || r == -EROFS) {
        CE_TRY(immutable(history, err) < 0 ? ce_fail(err, -r, "%s", why.message) : 0);
        r = ce_history_migrate(history, ce_history_steps, ce_history_step_count, &why);
    }
    if (r < 0)
        return ce_fail(err, -r, "%s", why.message);
    return ce_history_run(history, "PRAGMA query_only = ON", err);
}

static int open_history(const char *path, const char *state_dir, struct ce_history **ret_history,
                        int (*open)(struct ce_history *, struct ce_error *), struct ce_error *err)
{
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = calloc(1, sizeof *history);
    if (!history || !(history->path = path ? strdup(path) : ce_format("%s/history.db", state_dir)))
        return ce_fail_memory(err);
    CE_TRY(open(history, err));
    *ret_history = ce_take(history);
    return 0;
}

int ce_history_open_to_write(const char *path, const char *state_dir,
                             struct ce_history **ret_history, struct ce_error *err)
{
    if (!path)
        CE_TRY(ce_folder_make(state_dir, err));
    return open_history(path, state_dir, ret_history, to_write, err);
}

/* As long as nothing was recorded, the history is an empty one, of which no file exists. */
static int empty(struct ce_history **ret_history, struct ce_error *err)
{
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = calloc(1, sizeof *history);
    if (!history)
        return ce_fail_memory(err);
    CE_TRY(connect(history, ":memory:", SQLITE_OPEN_READWRITE, err));
    CE_TRY(ce_history_migrate(history, ce_history_steps, ce_history_step_count, err));
    *ret_history = ce_take(history);
    return 0;
}

int ce_history_open_to_read(const char *path, const char *state_dir,
                            struct ce_history **ret_history, struct ce_error *err)
{
    ce_autofree char *usual = path ? NULL : ce_format("%s/history.db", state_dir);
    if (!path && !usual)
        return ce_fail_memory(err);
    if (!path && access(usual, F_OK) < 0 && errno == ENOENT)
        return empty(ret_history, err);
    return open_history(path, state_dir, ret_history, to_read, err);
}
