/* SPDX-License-Identifier: MIT */
/* The database is opened for each run and closed again: nothing is held while the next one acts on
 * the host, and no child inherits an open database, which SQLite forbids. */
#include "orchestrator/recorder.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "history/history.h"

struct ce_recorder {
    char *db, *state_dir, *document;
    struct ce_surroundings here;
    size_t missing;
    char why[sizeof((struct ce_error){0}).message]; /* of the first that is missing */
};

void ce_recorder_free(struct ce_recorder *recorder)
{
    if (!recorder)
        return;
    free(recorder->db);
    free(recorder->state_dir);
    free(recorder->document);
    free(recorder);
}

/* What a user named is not what they meant: better said before anything runs than after it. What is
 * there by default is nobody's mistake, and neither is a full disk. */
static int check(const char *db, struct ce_error *err)
{
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = NULL;
    struct ce_error why = {0};
    switch (ce_history_open_to_write(db, NULL, &history, &why)) {
    case 0:
    case -ENOMEM:
    case -EBUSY:
    case -ENOSPC:
    case -EDQUOT:
    case -EIO:
        return 0;
    default:
        return ce_fail(err, EINVAL, "%s", why.message);
    }
}

int ce_recorder_new(const struct ce_suite_options *options, const char *state_dir, char *document,
                    struct ce_recorder **ret_recorder, struct ce_error *err)
{
    CE_CLEANUP(ce_recorder_free_p) struct ce_recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder) {
        free(document);
        return ce_fail_memory(err);
    }
    recorder->document = document;
    if (options->no_history || options->dry_run) {
        *ret_recorder = NULL;
        return 0;
    }
    recorder->state_dir = strdup(state_dir);
    recorder->db = options->db ? strdup(options->db) : NULL;
    if (!recorder->state_dir || (options->db && !recorder->db))
        return ce_fail_memory(err);
    if (options->db)
        CE_TRY(check(options->db, err));
    ce_surroundings_look(&recorder->here);
    *ret_recorder = ce_take(recorder);
    return 0;
}

void ce_recorder_add(struct ce_recorder *recorder, const struct ce_record *record)
{
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = NULL;
    struct ce_error err = {0};
    if (!recorder)
        return;
    int r = ce_history_open_to_write(recorder->db, recorder->state_dir, &history, &err);
    if (r >= 0)
        r = ce_history_add(history, record, recorder->document, &recorder->here, &err);
    if (r >= 0)
        return;
    ce_log("run %s is not recorded: %s", record->id, err.message);
    if (recorder->missing++ == 0)
        memcpy(recorder->why, err.message, sizeof recorder->why);
}

void ce_recorder_look_back(const struct ce_recorder *recorder, struct ce_results *results)
{
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = NULL;
    if (recorder && ce_history_open_to_read(recorder->db, recorder->state_dir, &history, NULL) >= 0)
        ce_results_look_back(results, history);
}

char *ce_recorder_problem(const struct ce_recorder *recorder)
{
    if (!recorder || recorder->missing == 0)
        return NULL;
    return ce_format("%zu run%s missing in the history: %s", recorder->missing,
                     recorder->missing == 1 ? " is" : "s are", recorder->why);
}
