/* SPDX-License-Identifier: MIT */
/* A folder for a history, and records to put into it. */
#ifndef CE_TESTS_HISTORY_WORLD_H
#define CE_TESTS_HISTORY_WORLD_H

#include <jansson.h>
#include <math.h>
#include <sqlite3.h>

#include "base/json.h"
#include "files.h"
#include "history/history.h"

struct world {
    char folder[64], db[96];
};

static inline void world_make(struct world *world)
{
    /* in memory if possible: SQLite syncs each transaction, and a test has thousands */
    snprintf(world->folder, sizeof world->folder, "%s/chaoseater-history-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(world->folder))
        abort();
    snprintf(world->db, sizeof world->db, "%s/history.db", world->folder);
}

static inline void world_done(struct world *world)
{
    (void)ce_tree_remove(world->folder, NULL);
}
#define WORLD CE_CLEANUP(world_done) struct world

#define DAY (86400 * CE_SECOND)

/* What a test wants to say of a run; the rest is as it usually is. */
struct a_run {
    const char *id, *name, *tag, *profile;
    const char *layer, *fault;
    double score; /* negative: null */
    int64_t at;   /* wall clock; 0: now */
    enum ce_status status;
    enum ce_verdict verdict;
};

static inline struct ce_record record_of(const struct a_run *run)
{
    struct ce_record record = {
        .name = strdup(run->name ? run->name : "slow"),
        .layer = strdup(run->layer ? run->layer : "model"),
        .fault_type = strdup(run->fault ? run->fault : "slow_inference"),
        .strategy = strdup("auto"),
        .parameters = json_pack("{s:i}", "latency_ms", 60),
        .duration = 30,
        .pipeline = "embedded",
        .profile = strdup(run->profile ? run->profile : "naive"),
        .seed = 7,
        .status = run->status,
        .verdict = run->verdict,
        .reason = strdup(""),
        .verification = strdup("probe-1 took 62.8 ms"),
        .skip_reason = run->status == CE_STATUS_SKIPPED ? "baseline" : NULL,
        .verified = true,
        .recovery_time = 1.5,
        .accuracy_degradation = 0.1,
        .pipeline_downtime = 0.2,
        .error_count = 3,
        .measured = true,
        .baseline_accuracy = 0.96,
        .fault_accuracy = 0.86,
        .score = run->score < 0 ? NAN : run->score,
        .rollback_seconds = 0.01,
        .total_seconds = 33.3,
        .isolation = strdup("none"),
        .started_at = run->at ? run->at : ce_wall_now(),
        .tags = run->tag ? json_pack("[s, s]", run->tag, "all") : json_array(),
    };
    record.ended_at = record.started_at + 33 * CE_SECOND;
    record.phases[0] = (struct ce_phase_summary){100, 0, 96, 1.5, 2, 2.5, 3};
    record.phases[1] = (struct ce_phase_summary){100, 3, 86, 60 + record.score, 62, 63, 64};
    snprintf(record.id, sizeof record.id, "%s", run->id);
    return record;
}

/* 1: added, 0: it was there. */
static inline int add(struct ce_history *history, const struct a_run *run, struct ce_error *err)
{
    struct ce_record record = record_of(run);
    int r = ce_history_add(history, &record, "experiments: []\n", NULL, err);
    ce_record_done(&record);
    return r;
}

/* The first cell of what a statement gives, by a connection of the test's own; "" for null. */
static inline char *ask(const char *db, const char *sql)
{
    sqlite3 *own = NULL;
    sqlite3_stmt *statement = NULL;
    char *cell = NULL;
    if (sqlite3_open_v2(db, &own, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(own, sql, -1, &statement, NULL) == SQLITE_OK) {
        (void)sqlite3_busy_timeout(own, 10000);
        if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0))
            cell = strdup((const char *)sqlite3_column_text(statement, 0));
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(own);
    return cell ? cell : strdup("");
}
#define CHECK_SQL(db, sql, want)                                                                   \
    do {                                                                                           \
        ce_autofree char *cell_ = ask(db, sql);                                                    \
        CHECK_TEXT(cell_, want);                                                                   \
    } while (0)

#endif
