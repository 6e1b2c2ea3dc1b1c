/* SPDX-License-Identifier: MIT */
/* What a run came to: a record like any other's, and the journal in their shape. */
#include <math.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/file.h"
#include "toolkit/run.h"

bool ce_run_has_look(const struct ce_run_state *run, unsigned which)
{
    return (run->toolkit->looks & which) && run->toolkit->hypothesis.count > 0;
}

/* ---- the journal in their shape ---- */

static json_t *wall_stamp(int64_t wall)
{
    char text[CE_TIMESTAMP_SIZE];
    ce_timestamp(wall, text);
    return json_sprintf("%.*s+00:00", (int)strlen(text) - 1, text);
}

static json_t *or_null(json_t *value)
{
    return value ? json_incref(value) : json_null();
}

static json_t *journal_of(const struct ce_run_state *run, const char *status)
{
    struct utsname host;
    const struct ce_record *record = run->record;
    bool known = uname(&host) == 0;
    return json_pack("{s:s, s:o, s:s, s:O, s:o, s:s, s:b, s:{s:o, s:o, s:O}, s:O, s:O, s:o, s:f}",
                     "chaoslib-version", "chaoseater " CE_VERSION, "platform",
                     known ? json_sprintf("%s-%s-%s", host.sysname, host.release, host.machine)
                           : json_string(""),
                     "node", known ? host.nodename : "", "experiment", run->toolkit->experiment,
                     "start", wall_stamp(record->started_at), "status", status, "deviated",
                     run->deviated, "steady_states", "before", or_null(run->before), "after",
                     or_null(run->after), "during", run->during, "run", run->done, "rollbacks",
                     run->undone, "end", wall_stamp(record->ended_at), "duration",
                     record->total_seconds);
}

/* ---- the record ---- */

static int set_text(char **text, const char *value, struct ce_error *err)
{
    free(*text);
    *text = strdup(value);
    return *text ? 0 : ce_fail_memory(err);
}

int ce_toolkit_plan(const struct ce_toolkit *toolkit, const char *run_id,
                    struct ce_record *ret_record, struct ce_error *err)
{
    struct ce_record record = ce_record_unmeasured();
    record.layer = strdup("infrastructure");
    record.fault_type = strdup("chaostoolkit");
    record.name = strdup(toolkit->name);
    record.strategy = strdup(ce_rollbacks_names[toolkit->strategy]);
    record.parameters = json_object();
    record.pipeline = "none";
    record.verdict = CE_VERDICT_INCONCLUSIVE;
    record.reason = strdup("");
    record.verification = strdup("");
    record.rollback_seconds = NAN;
    record.control = toolkit->method.count == 0;
    record.tags = json_deep_copy(json_object_get(toolkit->experiment, "tags"));
    snprintf(record.id, sizeof record.id, "%s", run_id);
    if (!record.layer || !record.fault_type || !record.name || !record.strategy ||
        !record.parameters || !record.reason || !record.verification) {
        ce_record_done(&record);
        return ce_fail_memory(err);
    }
    *ret_record = record;
    return 0;
}

static const char *mode_of(const struct ce_run_state *run)
{
    unsigned looks = run->toolkit->looks;
    return looks & CE_LOOK_DURING    ? "continuous"
           : looks == CE_LOOK_BEFORE ? "start"
           : looks == CE_LOOK_AFTER  ? "end"
                                     : "edge";
}

static json_t *steady_state_of(const struct ce_run_state *run)
{
    const struct ce_activities *hypothesis = &run->toolkit->hypothesis;
    json_t *list = hypothesis->count > 0 ? json_array() : NULL;
    for (size_t i = 0; i < hypothesis->count; i++) {
        const struct ce_tally *tally = &run->tally[i];
        json_t *type = json_object_get(hypothesis->items[i].provider, "type");
        json_t *held = tally->failures > 0                      ? json_false()
                       : tally->errors > 0 || tally->looks == 0 ? json_null()
                                                                : json_true();
        (void)json_array_append_new(
            list,
            json_pack("{s:s, s:O, s:s, s:i, s:i, s:i, s:o, s:o}", "name", hypothesis->items[i].name,
                      "probe", type, "mode", mode_of(run), "looks", tally->looks, "failures",
                      tally->failures, "errors", tally->errors, "held", held, "detail",
                      ce_value_of_bytes(tally->why, strlen(tally->why))));
    }
    return list;
}

/* The probe that did not hold, and why; NULL: all did. Free with free(). */
static char *unmet(const struct ce_run_state *run, bool errors)
{
    for (size_t i = 0; i < run->toolkit->hypothesis.count; i++)
        if ((errors ? run->tally[i].errors : run->tally[i].failures) > 0)
            return ce_format("'%.100s': %.380s", run->toolkit->hypothesis.items[i].name,
                             run->tally[i].why);
    return NULL;
}

static void finish(struct ce_run_state *run, enum ce_status status, enum ce_verdict verdict,
                   const char *before, const char *why)
{
    struct ce_record *record = run->record;
    char *reason = ce_format("%s%s", before, why ? why : "");
    record->status = status;
    record->verdict = verdict;
    free(record->reason);
    record->reason = reason ? reason : strdup("");
}

/* Once all has been done: what it means. `failed`: why the run could not go on; NULL: it could. */
static void conclude(struct ce_run_state *run, const char *failed)
{
    struct ce_record *record = run->record;
    ce_autofree char *deviation = unmet(run, false);
    ce_autofree char *error = unmet(run, true);
    const char *any = deviation ? deviation : error;
    if (run->dirty)
        finish(run, CE_STATUS_DIRTY, CE_VERDICT_INCONCLUSIVE, run->dirty, NULL);
    else if (record->signal)
        finish(run, CE_STATUS_INTERRUPTED, CE_VERDICT_INCONCLUSIVE, "interrupted", NULL);
    else if (run->ended)
        finish(run, CE_STATUS_ABORTED, CE_VERDICT_INCONCLUSIVE, "`chaoseater stop` was called",
               NULL);
    else if (failed)
        finish(run, CE_STATUS_FAILED, CE_VERDICT_INCONCLUSIVE, failed, NULL);
    else if (!run->begun)
        finish(run, CE_STATUS_SKIPPED, CE_VERDICT_INCONCLUSIVE,
               "the hypothesis is not met before the method: ", any);
    else if (run->refused)
        finish(run, CE_STATUS_COMPLETED, CE_VERDICT_INVALID,
               "nothing says that an action took effect: ", run->refused);
    else if (deviation && run->deviated)
        finish(run, CE_STATUS_COMPLETED, CE_VERDICT_DEVIATED,
               "the hypothesis is not met: ", deviation);
    else if (run->unasked)
        finish(run, CE_STATUS_COMPLETED, CE_VERDICT_INCONCLUSIVE,
               "a probe of the hypothesis could not be asked: ", error);
    else if (!ce_run_has_look(run, CE_LOOK_BEFORE | CE_LOOK_DURING | CE_LOOK_AFTER))
        finish(run, CE_STATUS_COMPLETED, CE_VERDICT_INCONCLUSIVE,
               "no hypothesis was looked at, so nothing can be said", NULL);
    else
        finish(run, CE_STATUS_COMPLETED, CE_VERDICT_PASSED, "", NULL);
    record->skip_reason = record->status == CE_STATUS_SKIPPED ? "baseline" : NULL;
}

/* As they call it: whether the hypothesis could be looked at decides, not whether it is met. */
static const char *their_status(const struct ce_run_state *run, const char *failed)
{
    return run->record->signal    ? "interrupted"
           : run->ended || failed ? "aborted"
           : run->probe_failed    ? "failed"
                                  : "completed";
}

int ce_run_conclude(struct ce_run_state *run, const char *failed, struct ce_error *err)
{
    struct ce_record *record = run->record;
    char seen[160];
    size_t actions = 0;
    for (size_t i = 0; i < run->toolkit->method.count; i++)
        actions += run->toolkit->method.items[i].is_action;
    conclude(run, failed);
    record->control = actions == 0;
    /* An action that says of itself that it worked proves nothing: `verified` stays false. */
    snprintf(seen, sizeof seen, "%zu action%s done without an error, by their own account alone",
             actions, actions == 1 ? "" : "s");
    if (run->begun && !run->refused && actions > 0 && !run->ended && !failed)
        CE_TRY(set_text(&record->verification, seen, err));
    record->steady_state = steady_state_of(run);
    record->rolled_back_by = json_array_size(run->undone) > 0 ? record->strategy : NULL;
    record->toolkit = journal_of(run, their_status(run, failed));
    return record->toolkit ? 0 : ce_fail_memory(err);
}
