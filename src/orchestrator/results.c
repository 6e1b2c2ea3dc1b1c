/* SPDX-License-Identifier: MIT */
#include "orchestrator/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "history/history.h"
#include "report/report.h"

enum { RESULTS_SIZE_MAX = 256 << 20, EARLIER_MAX = 30 };

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
        if (results->earlier)
            json_decref(results->earlier[i]);
    }
    free(results->records);
    free(results->earlier);
    ce_results_ungate(results);
    free(results->source);
    free(results->history_problem);
    free(results->push_warning);
    free(results->events_problem);
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

void ce_results_look_back(struct ce_results *results, struct ce_history *history)
{
    if (!results->earlier)
        results->earlier = calloc(results->count + 1, sizeof *results->earlier);
    for (size_t i = 0; results->earlier && i < results->count; i++)
        (void)ce_history_earlier(history, results->records[i], EARLIER_MAX, &results->earlier[i],
                                 NULL);
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
    return results->has_gate && !results->gate.passed ? CE_EXIT_DEVIATED : CE_EXIT_PASSED;
}

bool ce_results_hits_lost(const struct ce_results *results)
{
    return results->hits_lost;
}

size_t ce_results_resumed(const struct ce_results *results)
{
    return results->resumed;
}

const char *ce_results_push_warning(const struct ce_results *results)
{
    return results->push_warning;
}

const char *ce_results_events_problem(const struct ce_results *results)
{
    return results->events_problem;
}

const char *ce_results_history_problem(const struct ce_results *results)
{
    return results->history_problem;
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

/* ---- reports ---- */

int ce_results_write(const struct ce_results *results, const char *format, FILE *out, bool color,
                     struct ce_error *err)
{
    struct ce_report report = {
        .records = (const struct ce_record *const *)results->records,
        .count = results->count,
        .seed = results->seed,
        .gate = results->has_gate ? &results->gate : NULL,
        .earlier = (const json_t *const *)results->earlier,
    };
    ce_report_writer *write = ce_report_find(format);
    if (write)
        return write(&report, out, color, err);
    char known[256] = "";
    for (size_t i = 0, used = 0; ce_report_format_at(i) && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                                 ce_report_format_at(i));
    return ce_fail(err, EINVAL, "report format '%s' is not one of %s", format, known);
}

/* ---- reading ---- */

static int read_run(const json_t *run, const char *path, struct ce_results *results,
                    struct ce_error *err)
{
    struct ce_record record;
    int r = ce_record_read(run, &record, err);
    if (r < 0)
        return ce_fail_context(err, r, "'%s' is no report of runs", path);
    return ce_results_add(results, &record, err);
}

int ce_results_read(const char *path, struct ce_results **ret_results, struct ce_error *err)
{
    ce_autofree char *text = NULL;
    size_t size, i;
    CE_TRY(ce_file_read(path, RESULTS_SIZE_MAX, &text, &size, err));
    ce_autojson json_t *json = ce_json_parse(text, size, path, err);
    if (!json)
        return -EINVAL;
    json_t *runs = json_object_get(json, "runs"), *run;
    json_t *seed = json_object_get(json, "seed");
    CE_CLEANUP(ce_results_free_p)
    struct ce_results *results =
        ce_results_new(json_is_integer(seed) ? (uint64_t)json_integer_value(seed) : 0);
    if (!results || !(results->source = strdup(path)))
        return ce_fail_memory(err);
    json_array_foreach(runs, i, run)
    {
        CE_TRY(read_run(run, path, results, err));
    }
    if (!json_is_array(runs))
        CE_TRY(read_run(json, path, results, err));
    *ret_results = ce_take(results);
    return 0;
}
