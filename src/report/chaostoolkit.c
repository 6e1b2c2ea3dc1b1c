/* SPDX-License-Identifier: MIT */
/* Journals as the Chaos Toolkit writes them, for what reads those.
 *
 * A run of such an experiment has its journal already. Of any other run the shape is filled with what
 * there is: the fault is the one action of the method, the hypothesis is the one looked at before and
 * after. One run is one journal, and several are a list of them. */
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "report/report.h"
#include "report/words.h"

static json_t *words(const char *text)
{
    ce_autofree char *clean = ce_text_clean(text ? text : "");
    return clean ? json_string(clean) : NULL;
}

static json_t *stamp(int64_t wall)
{
    char text[CE_TIMESTAMP_SIZE];
    ce_timestamp(wall, text);
    return json_sprintf("%.*s+00:00", (int)strlen(text) - 1, text);
}

static const char *status_of(const struct ce_record *record)
{
    switch (record->status) {
    case CE_STATUS_COMPLETED:
        return "completed";
    case CE_STATUS_ABORTED:
        return "aborted";
    case CE_STATUS_INTERRUPTED:
        return "interrupted";
    case CE_STATUS_FAILED:
    case CE_STATUS_SKIPPED:
    case CE_STATUS_DIRTY:
        break;
    }
    return "failed";
}

/* clang-format off */

static json_t *fault_activity(const struct ce_record *record)
{
    return json_pack("{s:s, s:o, s:{s:s, s:o, s:O?}}",
                     "type", "action",
                     "name", words(record->fault_type),
                     "provider",
                     "type", "chaoseater",
                     "fault", words(record->fault_type),
                     "arguments", record->parameters);
}

static json_t *entry(json_t *activity, const char *status, json_t *output, double duration)
{
    return json_pack("{s:o, s:o, s:s, s:o}",
                     "activity", activity,
                     "output", output,
                     "status", status,
                     "duration", ce_json_number(duration));
}

static json_t *probe_activity(const json_t *probe)
{
    return json_pack("{s:s, s:O?, s:{s:O?}}",
                     "type", "probe",
                     "name", json_object_get(probe, "name"),
                     "provider",
                     "type", json_object_get(probe, "probe"));
}

/* The hypothesis, as one look found it: a list of probes, and whether all of them held. */
static json_t *state_of(const struct ce_record *record)
{
    ce_autojson json_t *probes = json_array();
    const json_t *probe;
    bool met = true;
    size_t i;
    if (!record->steady_state)
        return json_null();
    json_array_foreach(record->steady_state, i, probe) {
        bool held = json_is_true(json_object_get(probe, "held"));
        bool failed = json_is_null(json_object_get(probe, "held"));
        json_t *detail = json_object_get(probe, "detail");
        json_t *one = entry(probe_activity(probe), failed ? "failed" : "succeeded", detail ? json_incref(detail) : json_null(), 0);
        met = met && held;
        if (!one || json_object_set_new(one, "tolerance_met", json_boolean(held)) < 0 || json_array_append_new(probes, one) < 0)
            return NULL;
    }
    return json_pack("{s:b, s:O}", "steady_state_met", met, "probes", probes);
}

static json_t *experiment_of(const struct ce_record *record)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:[o], s:[]}",
                     "version", "1.0.0",
                     "title", words(record->name),
                     "description", words(record->fault_type),
                     "tags", record->tags ? json_incref(record->tags) : json_array(),
                     "method", fault_activity(record),
                     "rollbacks");
}

static json_t *run_of(const struct ce_record *record)
{
    bool ran = record->status != CE_STATUS_SKIPPED;
    bool worked = record->verified || record->control;
    json_t *counts = record->fault_counts ? json_incref(record->fault_counts) : json_null();
    return ran ? json_pack("[o]", entry(fault_activity(record), worked ? "succeeded" : "failed", counts, record->duration))
               : (json_decref(counts), json_array());
}

static json_t *rollbacks_of(const struct ce_record *record)
{
    if (!record->rolled_back_by)
        return json_array();
    json_t *activity = json_pack("{s:s, s:s, s:{s:s, s:s}}",
                                 "type", "action",
                                 "name", "rollback",
                                 "provider",
                                 "type", "chaoseater",
                                 "strategy", record->rolled_back_by);
    return json_pack("[o]", entry(activity, record->rollback_verified ? "succeeded" : "failed", json_null(), record->rollback_seconds));
}

static json_t *journal_of(const struct ce_record *record)
{
    struct utsname host;
    bool known = uname(&host) == 0;
    if (record->toolkit)
        return json_incref(record->toolkit);
    return json_pack("{s:s, s:o, s:s, s:o, s:o, s:s, s:b, s:{s:n, s:o, s:[]}, s:o, s:o, s:o, s:o}",
                     "chaoslib-version", "chaoseater " CE_VERSION,
                     "platform", known ? json_sprintf("%s-%s-%s", host.sysname, host.release, host.machine) : json_string(""),
                     "node", known ? host.nodename : "",
                     "experiment", experiment_of(record),
                     "start", stamp(record->started_at),
                     "status", status_of(record),
                     "deviated", record->status == CE_STATUS_COMPLETED && record->verdict == CE_VERDICT_DEVIATED,
                     "steady_states",
                     "before",
                     "after", state_of(record),
                     "during",
                     "run", run_of(record),
                     "rollbacks", rollbacks_of(record),
                     "end", stamp(record->ended_at),
                     "duration", ce_json_number(record->total_seconds));
}

/* clang-format on */

int ce_report_write_chaostoolkit(const struct ce_report *report, FILE *out, bool color,
                                 struct ce_error *err)
{
    ce_autojson json_t *list = json_array();
    for (size_t i = 0; i < report->count; i++)
        if (json_array_append_new(list, journal_of(report->records[i])) < 0)
            return ce_fail_memory(err);
    ce_autofree char *text = ce_json_text(report->count == 1 ? json_array_get(list, 0) : list);
    if (!text)
        return ce_fail_memory(err);
    fputs(text, out);
    return ce_report_end(out, err);
}
