/* SPDX-License-Identifier: MIT */
/* Retention: what is too old, or one too many, goes, and the file gets smaller. */
#include "base/clock.h"
#include "history/history_internal.h"

#define DAY (86400 * CE_SECOND)

/* What no run uses any more. */
static const char unused[] =
    "DELETE FROM recipe WHERE n NOT IN (SELECT recipe FROM run_record);"
    "DELETE FROM document WHERE n NOT IN (SELECT document FROM run_record"
    "  WHERE document IS NOT NULL);"
    "DELETE FROM environment WHERE n NOT IN (SELECT environment FROM run_record"
    "  WHERE environment IS NOT NULL);";

static int drop_old(struct ce_history *history, size_t days, size_t *ret_removed,
                    struct ce_error *err)
{
    char since[CE_TIMESTAMP_SIZE];
    CE_STATEMENT *drop = NULL;
    CE_TRY(ce_history_prepare(history, "DELETE FROM run_record WHERE started_at < ?1", &drop, err));
    int64_t wall = ce_wall_now() - (int64_t)days * DAY;
    ce_timestamp(wall > 0 ? wall : 0, since);
    ce_history_bind_text(drop, 1, since);
    CE_TRY(ce_history_step(history, drop, err));
    *ret_removed += (size_t)sqlite3_changes(history->db);
    return 0;
}

static int drop_surplus(struct ce_history *history, size_t runs, size_t *ret_removed,
                        struct ce_error *err)
{
    CE_STATEMENT *drop = NULL;
    CE_TRY(ce_history_prepare(history,
                              "DELETE FROM run_record WHERE n IN (SELECT n FROM (SELECT n,"
                              " row_number() OVER (PARTITION BY name ORDER BY started_at DESC,"
                              " n DESC) AS place FROM run_record) WHERE place > ?1)",
                              &drop, err));
    (void)sqlite3_bind_int64(drop, 1, (sqlite3_int64)runs);
    CE_TRY(ce_history_step(history, drop, err));
    *ret_removed += (size_t)sqlite3_changes(history->db);
    return 0;
}

static int drop(struct ce_history *history, const struct ce_history_retention *keep,
                size_t *ret_removed, struct ce_error *err)
{
    if (keep->days > 0)
        CE_TRY(drop_old(history, keep->days, ret_removed, err));
    if (keep->runs > 0)
        CE_TRY(drop_surplus(history, keep->runs, ret_removed, err));
    return *ret_removed > 0 ? ce_history_run(history, unused, err) : 0;
}

int ce_history_prune(struct ce_history *history, const struct ce_history_retention *keep,
                     size_t *ret_removed, struct ce_error *err)
{
    size_t removed = 0;
    CE_TRY(ce_history_begin(history, err));
    int r = drop(history, keep, &removed, err);
    int ended = ce_history_end(history, r >= 0 && !keep->dry_run, err);
    CE_TRY(r);
    CE_TRY(ended);
    /* Who reads right now keeps the file from getting smaller; it does the next time. */
    if (removed > 0 && !keep->dry_run)
        (void)sqlite3_exec(history->db,
                           "PRAGMA incremental_vacuum;"
                           "PRAGMA wal_checkpoint(TRUNCATE)",
                           NULL, NULL, NULL);
    *ret_removed = removed;
    return 0;
}
