/* SPDX-License-Identifier: MIT */
#include "orchestrator/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "report/report.h"

struct ce_results *ce_results_new(uint64_t seed)
{
    struct ce_results *results = calloc(1, sizeof *results);
    if (results)
        results->seed = seed;
    return results;
}

void ce_results_free(struct ce_results *results)
{
    if (!results)
        return;
    for (size_t i = 0; i < results->count; i++) {
        ce_record_done(results->records[i]);
        free(results->records[i]);
    }
    free(results->records);
    free(results);
}

int ce_results_add(struct ce_results *results, struct ce_record *record, struct ce_error *err)
{
    struct ce_record *own = malloc(sizeof *own);
    struct ce_record **records =
        own ? realloc(results->records, (results->count + 1) * sizeof *records) : NULL;
    if (!records) {
        free(own);
        ce_record_done(record);
        return ce_fail_memory(err);
    }
    *own = *record;
    results->records = records;
    results->records[results->count++] = own;
    return 0;
}

/* ---- exit code ---- */

static int exit_code_of(const struct ce_record *record)
{
    switch (record->status) {
    case CE_STATUS_DIRTY:
        return CE_EXIT_DIRTY;
    case CE_STATUS_INTERRUPTED:
        return 128 + record->signal;
    case CE_STATUS_FAILED:
        return CE_EXIT_FAILED;
    case CE_STATUS_ABORTED:
        return CE_EXIT_ABORTED;
    case CE_STATUS_SKIPPED:
        if (strcmp(record->skip_reason, "dry_run") == 0)
            return CE_EXIT_PASSED;
        return strcmp(record->skip_reason, "baseline") == 0 ? CE_EXIT_BASELINE : CE_EXIT_FAILED;
    case CE_STATUS_COMPLETED:
        break;
    }
    switch (record->verdict) {
    case CE_VERDICT_PASSED:
        return CE_EXIT_PASSED;
    case CE_VERDICT_DEVIATED:
        return CE_EXIT_DEVIATED;
    case CE_VERDICT_INCONCLUSIVE:
    case CE_VERDICT_INVALID:
        break;
    }
    return CE_EXIT_FAILED;
}

/* The gravest ending first. */
static const int gravity[] = {CE_EXIT_DIRTY,    CE_EXIT_SIGINT,  CE_EXIT_SIGTERM, CE_EXIT_FAILED,
                              CE_EXIT_BASELINE, CE_EXIT_ABORTED, CE_EXIT_DEVIATED};

int ce_results_exit_code(const struct ce_results *results)
{
    for (size_t g = 0; g < CE_COUNT(gravity); g++) {
        if (results->signal && gravity[g] == 128 + results->signal)
            return gravity[g];
        for (size_t i = 0; i < results->count; i++)
            if (exit_code_of(results->records[i]) == gravity[g])
                return gravity[g];
    }
    return results->has_gate && !results->gate_passed ? CE_EXIT_DEVIATED : CE_EXIT_PASSED;
}

bool ce_results_hits_lost(const struct ce_results *results)
{
    return results->hits_lost;
}

bool ce_results_clean(const struct ce_results *results)
{
    for (size_t i = 0; i < results->count; i++) {
        const struct ce_record *record = results->records[i];
        if (record->status != CE_STATUS_COMPLETED || !(record->verified || record->control))
            return false;
    }
    return results->count > 0 && !results->signal;
}

/* ---- gate ---- */

static bool passes(const struct ce_record *record, double min_score)
{
    if (record->status != CE_STATUS_COMPLETED || record->verdict != CE_VERDICT_PASSED)
        return false;
    return record->control ||
           record->score >= min_score; /* a null score is NaN, which is never enough */
}

int ce_results_gate(struct ce_results *results, double min_score, struct ce_error *err)
{
    if (!(min_score >= 0 && min_score <= 100))
        return ce_fail(err, ERANGE, "min-score: %g is outside 0..100", min_score);
    results->has_gate = true;
    results->gate_min_score = min_score;
    results->gate_passed = results->count > 0 && !results->signal;
    for (size_t i = 0; i < results->count; i++)
        results->gate_passed = results->gate_passed && passes(results->records[i], min_score);
    return 0;
}

/* ---- reports ---- */

int ce_results_write(const struct ce_results *results, const char *format, FILE *out, bool color,
                     struct ce_error *err)
{
    struct ce_report report = {
        .records = (const struct ce_record *const *)results->records,
        .count = results->count,
        .seed = results->seed,
        .has_gate = results->has_gate,
        .gate_min_score = results->gate_min_score,
        .gate_passed = results->gate_passed,
    };
    if (strcmp(format, "json") == 0)
        return ce_report_write_json(&report, out, err);
    if (strcmp(format, "text") == 0)
        return ce_report_write_text(&report, out, color, err);
    return ce_fail(err, EINVAL, "report format '%s' is not one of text, json", format);
}
