/* SPDX-License-Identifier: MIT */
/* GitLab's code quality report: a finding for each run that did not pass and for each sentence of
 * the gate, shown in merge requests. A finding is recognised in the next report by its fingerprint,
 * which is therefore made of what stays: experiment, profile, fault and ending. GitLab asks for a
 * file; an experiment's is not known here, so its name stands there. */
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "report/words.h"

static const char *severity_of(const struct ce_record *record)
{
    static const char *const severities[] = {[CE_OUTCOME_PASSED] = "info",
                                             [CE_OUTCOME_FAILED] = "major",
                                             [CE_OUTCOME_ERROR] = "critical",
                                             [CE_OUTCOME_SKIPPED] = "minor"};
    return record->status == CE_STATUS_DIRTY ? "blocker" : severities[ce_record_outcome(record)];
}

static json_t *finding(const char *name, const char *check, const char *severity, const char *key,
                       const char *description)
{
    char fingerprint[CE_SHA256_HEX];
    ce_autofree char *path = ce_text_clean(name), *text = ce_text_clean(description);
    ce_autofree char *class = ce_text_clean(check);
    if (!path || !text || !class || ce_sha256_data(key, strlen(key), fingerprint, NULL) < 0)
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:{s:i}}}", "description", text, "check_name",
                     class, "fingerprint", fingerprint, "severity", severity, "location", "path",
                     path, "lines", "begin", 1);
}

static json_t *run_finding(const struct ce_record *record)
{
    ce_autofree char *title = ce_record_title(record);
    if (!title)
        return NULL;
    const char *ending = ce_record_ending(record), *why = ce_record_why(record);
    ce_autofree char *key = ce_format("%s\n%s\n%s", title, record->fault_type, ending);
    ce_autofree char *text =
        ce_format("%s: %s%s%s", title, ending, why[0] != '\0' ? ": " : "", why);
    return key && text ? finding(record->name, record->fault_type, severity_of(record), key, text)
                       : NULL;
}

static json_t *gate_finding(const char *sentence)
{
    ce_autofree char *key = ce_format("gate\n%s", sentence);
    return key ? finding("gate", "gate", "major", key, sentence) : NULL;
}

int ce_report_write_gitlab(const struct ce_report *report, FILE *out, bool color,
                           struct ce_error *err)
{
    ce_autojson json_t *findings = json_array();
    (void)color;
    for (size_t i = 0; i < report->count; i++)
        if (ce_record_outcome(report->records[i]) != CE_OUTCOME_PASSED &&
            json_array_append_new(findings, run_finding(report->records[i])) < 0)
            return ce_fail_memory(err);
    size_t i;
    json_t *sentence;
    json_array_foreach(report->gate ? report->gate->failures : NULL, i, sentence)
    {
        if (json_array_append_new(findings, gate_finding(json_string_value(sentence))) < 0)
            return ce_fail_memory(err);
    }
    ce_autofree char *text = ce_json_text(findings);
    if (!text)
        return ce_fail_memory(err);
    fputs(text, out);
    return ce_report_end(out, err);
}
