/* SPDX-License-Identifier: MIT */
/* The tables, and how a database of an earlier version becomes one of this.
 *
 * Stable for users is the view `runs` alone; the tables may change from version to version.
 *
 *     run_record   a run, in short. `n` counts them in the order in which they were recorded
 *     tag          its tags, one to a row
 *     recipe       seed and parameters: what fixes every random choice. Shared by repetitions
 *     document     what was run, as YAML. Shared by all runs of it
 *     environment  host, kernel, version, commit of the folder in which it ran. Shared
 *     phase        operations and latency of a run's phases
 *     measurement  every other number: custom metrics by phase, and those without a phase ('')
 *     series       what was measured over time: the JSON of RUN's "series", deflated
 *     report       the whole RUN, but for its "series", as JSON
 *
 * What belongs to a run goes with it (ON DELETE CASCADE); what is shared is removed with the last
 * run that uses it. `user_version` counts the steps that a database has seen. All of them are done
 * in one transaction, so a crash leaves it as it was. */
#include <string.h>

#include "history/history_internal.h"

#define APPLICATION 0x43454831 /* "CEH1" */

static const char first[] =
    "CREATE TABLE document (n INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE,"
    "  text TEXT NOT NULL);"
    "CREATE TABLE environment (n INTEGER PRIMARY KEY, host TEXT NOT NULL, kernel TEXT NOT NULL,"
    "  machine TEXT NOT NULL, processors INTEGER NOT NULL, version TEXT NOT NULL,"
    "  git_commit TEXT NOT NULL, UNIQUE (host, kernel, machine, processors, version, git_commit));"
    "CREATE TABLE recipe (n INTEGER PRIMARY KEY, seed INTEGER NOT NULL, parameters TEXT NOT NULL,"
    "  UNIQUE (seed, parameters));"
    "CREATE TABLE run_record (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
    "  layer TEXT NOT NULL, fault_type TEXT NOT NULL, status TEXT NOT NULL, verdict TEXT NOT NULL,"
    "  resilience_score REAL, recovery_time REAL, accuracy_degradation REAL,"
    "  pipeline_downtime REAL, error_count INTEGER, duration REAL, started_at TEXT NOT NULL,"
    "  ended_at TEXT, tags TEXT NOT NULL, profile TEXT, pipeline TEXT NOT NULL,"
    "  repeat INTEGER NOT NULL, control INTEGER NOT NULL, verified INTEGER NOT NULL,"
    "  recipe INTEGER NOT NULL REFERENCES recipe (n),"
    "  document INTEGER REFERENCES document (n),"
    "  environment INTEGER REFERENCES environment (n));"
    "CREATE INDEX run_by_time ON run_record (started_at);"
    "CREATE INDEX run_by_name ON run_record (name, started_at);"
    "CREATE INDEX run_by_score ON run_record (resilience_score);"
    "CREATE INDEX run_by_kind ON run_record (layer, fault_type, status, verdict,"
    "  resilience_score);"
    "CREATE INDEX run_by_recipe ON run_record (recipe);"
    "CREATE INDEX run_by_document ON run_record (document);"
    "CREATE INDEX run_by_environment ON run_record (environment);"
    "CREATE TABLE tag (tag TEXT NOT NULL, run INTEGER NOT NULL REFERENCES run_record (n)"
    "  ON DELETE CASCADE, PRIMARY KEY (tag, run)) WITHOUT ROWID;"
    "CREATE INDEX tag_by_run ON tag (run);"
    "CREATE TABLE phase (run INTEGER NOT NULL REFERENCES run_record (n) ON DELETE CASCADE,"
    "  phase TEXT NOT NULL, operations INTEGER NOT NULL, errors INTEGER NOT NULL,"
    "  right_predictions INTEGER NOT NULL, p50_ms REAL, p90_ms REAL, p99_ms REAL, max_ms REAL,"
    "  PRIMARY KEY (run, phase)) WITHOUT ROWID;"
    "CREATE TABLE measurement (run INTEGER NOT NULL REFERENCES run_record (n) ON DELETE CASCADE,"
    "  metric TEXT NOT NULL, phase TEXT NOT NULL, value REAL NOT NULL,"
    "  PRIMARY KEY (run, metric, phase)) WITHOUT ROWID;"
    "CREATE INDEX measurement_by_metric ON measurement (metric, phase, value);"
    "CREATE TABLE series (run INTEGER PRIMARY KEY REFERENCES run_record (n) ON DELETE CASCADE,"
    "  size INTEGER NOT NULL, deflated BLOB NOT NULL);"
    "CREATE TABLE report (run INTEGER PRIMARY KEY REFERENCES run_record (n) ON DELETE CASCADE,"
    "  json TEXT NOT NULL);"
    "CREATE VIEW runs (id, name, layer, fault_type, status, verdict, resilience_score,"
    "  recovery_time, accuracy_degradation, pipeline_downtime, error_count, duration, started_at,"
    "  ended_at, seed, tags) AS"
    "  SELECT " CE_HISTORY_COLUMNS CE_HISTORY_FROM ";";

const struct ce_history_step_up ce_history_steps[] = {{first}};
const int ce_history_step_count = CE_COUNT(ce_history_steps);

int ce_history_version(struct ce_history *history, int count, int64_t *ret_version,
                       struct ce_error *err)
{
    CE_STATEMENT *statement = NULL;
    /* One statement, so that another process's migration has been seen whole or not at all. */
    CE_TRY(ce_history_prepare(history,
                              "SELECT count(*), (SELECT user_version FROM pragma_user_version),"
                              " (SELECT application_id FROM pragma_application_id)"
                              " FROM sqlite_master",
                              &statement, err));
    CE_TRY(ce_history_step(history, statement, err));
    int64_t tables = sqlite3_column_int64(statement, 0);
    int64_t version = sqlite3_column_int64(statement, 1);
    int64_t application = sqlite3_column_int64(statement, 2);
    if (application != APPLICATION && (application != 0 || version != 0 || tables > 0))
        return ce_fail(err, EINVAL, "'%s' is a database, but no history of ChaosEater",
                       history->path);
    if (version > count)
        return ce_fail(err, ENOTSUP,
                       "'%s' was written by a newer version of ChaosEater: its layout is %lld, and "
                       "this version knows %d",
                       history->path, (long long)version, count);
    *ret_version = version;
    return 0;
}

static int climb(struct ce_history *history, const struct ce_history_step_up *steps, int count,
                 struct ce_error *err)
{
    int64_t version;
    char sql[128];
    /* Another process may have done it meanwhile. */
    CE_TRY(ce_history_version(history, count, &version, err));
    for (int64_t i = version; i < count; i++)
        CE_TRY(ce_history_run(history, steps[i].sql, err));
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION,
             count);
    return ce_history_run(history, sql, err);
}

int ce_history_migrate(struct ce_history *history, const struct ce_history_step_up *steps,
                       int count, struct ce_error *err)
{
    int64_t version;
    CE_TRY(ce_history_version(history, count, &version, err));
    if (version == count)
        return 0;
    CE_TRY(ce_history_run(history, "BEGIN IMMEDIATE", err));
    int r = climb(history, steps, count, err);
    if (r >= 0)
        r = ce_history_run(history, "COMMIT", err);
    if (r < 0)
        (void)sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}
