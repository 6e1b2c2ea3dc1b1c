/* SPDX-License-Identifier: MIT */
/* The Test Anything Protocol, version 13, which every reader knows and which version 14 contains: a
 * line for each run and one for the gate, with a block of YAML that says why and what was measured.
 * Its values are JSON, so that no text can end the block. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/words.h"

static void put_number(FILE *out, const char *key, double value)
{
    if (!isnan(value))
        fprintf(out, "  %s: %.6g\n", key, value);
}

static void put_text(FILE *out, const char *key, const char *value)
{
    fprintf(out, "  %s: ", key);
    ce_put_quoted(out, value);
    (void)putc('\n', out);
}

static void put_fact(void *ctx, const char *word, const char *sentence)
{
    char key[32];
    snprintf(key, sizeof key, "%s", word);
    for (char *p = key; *p != '\0'; p++)
        *p = *p == ' ' ? '_' : *p;
    put_text(ctx, key, sentence);
}

static int put_run(const struct ce_record *record, size_t number, FILE *out)
{
    enum ce_outcome outcome = ce_record_outcome(record);
    bool skipped = outcome == CE_OUTCOME_SKIPPED;
    ce_autofree char *title = ce_record_title(record);
    if (!title)
        return -ENOMEM;
    fprintf(out, "%sok %zu - ", skipped || outcome == CE_OUTCOME_PASSED ? "" : "not ", number);
    ce_put_escaped(out, CE_ESCAPE_TAP, title);
    if (skipped) {
        fputs(" # SKIP ", out);
        ce_put_escaped(out, CE_ESCAPE_TAP, ce_record_why(record));
    }
    fputs("\n  ---\n", out);
    put_text(out, "ending", ce_record_ending(record));
    put_text(out, "message", ce_record_why(record));
    put_text(out, "layer", record->layer);
    put_text(out, "fault", record->fault_type);
    put_number(out, "resilience_score", record->score);
    put_number(out, "recovery_time", record->recovery_time);
    put_number(out, "accuracy_degradation", record->accuracy_degradation);
    put_number(out, "pipeline_downtime", record->pipeline_downtime);
    if (record->measured)
        fprintf(out, "  error_count: %" PRIu64 "\n", record->error_count);
    put_number(out, "duration", record->total_seconds);
    CE_TRY(ce_record_facts(record, put_fact, out));
    fputs("  ...\n", out);
    return 0;
}

static void put_gate(const struct ce_report_gate *gate, size_t number, FILE *out)
{
    fprintf(out, "%sok %zu - gate, at least %.6g on %s\n", gate->passed ? "" : "not ", number,
            gate->min_score, gate->on);
    if (json_array_size(gate->failures) == 0)
        return;
    fputs("  ---\n  failures:\n", out);
    size_t i;
    json_t *sentence;
    json_array_foreach(gate->failures, i, sentence)
    {
        fputs("    - ", out);
        ce_put_quoted(out, json_string_value(sentence));
        (void)putc('\n', out);
    }
    fputs("  ...\n", out);
}

int ce_report_write_tap(const struct ce_report *report, FILE *out, bool color, struct ce_error *err)
{
    (void)color;
    fprintf(out, "TAP version 13\n1..%zu\n", report->count + (report->gate != NULL));
    for (size_t i = 0; i < report->count; i++)
        if (put_run(report->records[i], i + 1, out) < 0)
            return ce_fail_memory(err);
    if (report->gate)
        put_gate(report->gate, report->count + 1, out);
    return ce_report_end(out, err);
}
