/* SPDX-License-Identifier: MIT */
/* The document that run, gate and demo print under --json. */
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "report/report.h"

static json_t *runs_json(const struct ce_report *report)
{
    ce_autojson json_t *runs = json_array();
    for (size_t i = 0; i < report->count; i++)
        if (json_array_append_new(runs, ce_record_json(report->records[i])) < 0)
            return NULL;
    return ce_take(runs);
}

static json_t *summary_json(const struct ce_report *report)
{
    size_t completed = 0, scored = 0, verdicts[CE_VERDICT_INVALID + 1] = {0};
    double sum = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        completed += record->status == CE_STATUS_COMPLETED;
        verdicts[record->verdict]++;
        if (!isnan(record->score)) {
            scored++;
            sum += record->score;
        }
    }
    ce_autojson json_t *by_verdict = json_object();
    for (size_t v = 0; v < CE_COUNT(verdicts); v++)
        if (json_object_set_new(by_verdict, ce_verdict_name(v),
                                json_integer((json_int_t)verdicts[v])) < 0)
            return NULL;
    /* clang-format off */
    return json_pack("{s:I, s:I, s:I, s:o, s:O}",
                     "experiments", (json_int_t)report->count,
                     "completed", (json_int_t)completed,
                     "failed", (json_int_t)(report->count - completed),
                     "mean_resilience_score", ce_json_number(scored > 0 ? sum / (double)scored : NAN),
                     "verdicts", by_verdict);
    /* clang-format on */
}

static json_t *shared(json_t *value)
{
    return value ? json_incref(value) : json_null();
}

static json_t *gate_json(const struct ce_report_gate *gate)
{
    /* clang-format off */
    return json_pack("{s:o, s:b, s:s, s:o, s:o, s:o}",
                     "min_score", ce_json_number(gate->min_score),
                     "passed", gate->passed,
                     "on", gate->on,
                     "baseline", shared(gate->baseline),
                     "failures", shared(gate->failures),
                     "remarks", shared(gate->remarks));
    /* clang-format on */
}

json_t *ce_report_json(const struct ce_report *report)
{
    /* clang-format off */
    return json_pack("{s:s, s:I, s:o, s:o, s:o}",
                     "version", ce_version(),
                     "seed", (json_int_t)report->seed,
                     "runs", runs_json(report),
                     "summary", summary_json(report),
                     "gate", report->gate ? gate_json(report->gate) : json_null());
    /* clang-format on */
}

int ce_report_write_json(const struct ce_report *report, FILE *out, bool color,
                         struct ce_error *err)
{
    (void)color;
    ce_autojson json_t *json = ce_report_json(report);
    ce_autofree char *text = json ? ce_json_text(json) : NULL;
    if (!text)
        return ce_fail_memory(err);
    if (fputs(text, out) == EOF || fflush(out) == EOF)
        return ce_fail(err, errno, "cannot write the report: %s", strerror(errno));
    return 0;
}
