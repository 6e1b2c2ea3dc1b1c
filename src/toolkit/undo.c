/* SPDX-License-Identifier: MIT */
/* Rollbacks of a run whose process has died: whoever undoes it does them.
 *
 * A rollback may be done twice so: the process may have died after it was done and before that was
 * written down. */
#include <string.h>

#include "base/clock.h"
#include "base/spawn.h"
#include "host/process.h"
#include "pipeline/started/tree.h"
#include "toolkit/toolkit_internal.h"

static int64_t pause_of(const json_t *args, size_t i)
{
    double seconds = json_number_value(json_array_get(json_object_get(args, "pauses"), i));
    return (int64_t)(seconds * (double)CE_SECOND);
}

static int run_activity(const json_t *args, struct ce_error *err)
{
    const json_t *provider = json_object_get(args, "provider");
    const char *name = json_string_value(json_object_get(args, "name"));
    const char *type = json_string_value(json_object_get(provider, "type"));
    struct ce_stopper stopper;
    struct ce_outcome outcome = {0};
    if (!name || !type || (strcmp(type, "http") != 0 && strcmp(type, "process") != 0))
        return ce_fail(err, EINVAL, "the note of a rollback makes no sense");
    int r = ce_stopper_init(&stopper, err);
    if (r == 0) {
        (void)ce_stopper_pause(&stopper, pause_of(args, 0));
        ce_provider_run(provider, &stopper, CE_ROLLBACK_LIMIT, &outcome);
        (void)ce_stopper_pause(&stopper, pause_of(args, 1));
        if (outcome.failure)
            r = ce_fail(err, EIO, "rollback '%.100s' failed: %.300s", name, outcome.failure);
        ce_outcome_done(&outcome);
        ce_stopper_done(&stopper);
    }
    return r;
}

const struct ce_undo_op ce_undo_run_activity = {.name = "run-activity", .undo = run_activity};

static int end_activity(const json_t *args, struct ce_error *err)
{
    struct ce_process_id id;
    int r = ce_process_from_args(args, &id, err);
    if (r != 0)
        return r == CE_PROCESS_GONE ? 0 : r == CE_PROCESS_FOREIGN ? CE_UNDO_FOREIGN : r;
    if (ce_process_reap(&id, 5 * CE_SECOND, NULL) == 0)
        return 0;
    return ce_tree_end(&id, 5 * CE_SECOND, err);
}

const struct ce_undo_op ce_undo_end_activity = {.name = "end-activity", .undo = end_activity};
