/* SPDX-License-Identifier: MIT */
/* The history and results: runs that are read from it, and reports whose runs are put into it. */
#include "history/history.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/results.h"

int ce_history_open(const char *path, const char *state_dir, bool write,
                    struct ce_history **ret_history, struct ce_error *err)
{
    ce_autofree char *folder = state_dir ? strdup(state_dir) : ce_state_dir();
    if (!folder)
        return ce_fail_memory(err);
    return write ? ce_history_open_to_write(path, folder, ret_history, err)
                 : ce_history_open_to_read(path, folder, ret_history, err);
}

int ce_history_results(struct ce_history *history, const char *const *runs, size_t count,
                       struct ce_results **ret_results, struct ce_error *err)
{
    CE_CLEANUP(ce_results_free_p) struct ce_results *results = ce_results_new(0);
    if (!results)
        return ce_fail_memory(err);
    for (size_t i = 0; i < count; i++) {
        struct ce_record record;
        CE_TRY(ce_history_read(history, runs[i], &record, err));
        results->seed = record.seed;
        CE_TRY(ce_results_add(results, &record, err));
    }
    ce_results_look_back(results, history);
    *ret_results = ce_take(results);
    return 0;
}

static int add_all(struct ce_history *history, const struct ce_results *results, size_t *ret_added,
                   struct ce_error *err)
{
    for (size_t i = 0; i < results->count; i++) {
        int r = ce_history_add(history, results->records[i], NULL, NULL, err);
        CE_TRY(r);
        *ret_added += (size_t)r;
    }
    return 0;
}

int ce_history_import(struct ce_history *history, const char *path, size_t *ret_added,
                      struct ce_error *err)
{
    CE_CLEANUP(ce_results_free_p) struct ce_results *results = NULL;
    size_t added = 0;
    CE_TRY(ce_results_read(path, &results, err));
    CE_TRY(ce_history_begin(history, err));
    int r = add_all(history, results, &added, err), ended = ce_history_end(history, r >= 0, err);
    CE_TRY(r);
    CE_TRY(ended);
    *ret_added = added;
    return 0;
}
