/* SPDX-License-Identifier: MIT */
/* The deployment gate: whether results are good enough, and if not, why, in sentences.
 *
 * Whatever the scores, each run must have been measured, verified, put back and passed: a mean does
 * not make up for a run of which nothing is known. A control run has nothing to verify and needs no
 * score; it still must have passed. */
#include "orchestrator/gate.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/file.h"
#include "report/words.h"

static const char *const ons[] = {"each", "layer", "mean"};

int ce_gate_check(const struct ce_gate_options *options, struct ce_error *err)
{
    if (!(options->min_score >= 0 && options->min_score <= 100))
        return ce_fail(err, ERANGE, "min-score: %g is outside 0..100", options->min_score);
    if (options->baseline && !(options->max_drop >= 0 && options->max_drop <= 100))
        return ce_fail(err, ERANGE, "max-drop: %g is outside 0..100", options->max_drop);
    bool known = !options->on;
    for (size_t i = 0; i < CE_COUNT(ons); i++)
        known = known || strcmp(options->on, ons[i]) == 0;
    return known ? 0 : ce_fail(err, EINVAL, "on: '%s' is not each, layer or mean", options->on);
}

int ce_gate_say(json_t *sentences, const char *fmt, ...)
{
    ce_autofree char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0) {
        text = NULL;
        return -ENOMEM;
    }
    ce_autofree char *clean = ce_text_clean(text);
    return clean && json_array_append_new(sentences, json_string(clean)) == 0 ? 0 : -ENOMEM;
}

/* What is wrong with a run, whatever its score; NULL: nothing. */
static const char *flaw_of(const struct ce_record *record)
{
    if (record->status != CE_STATUS_COMPLETED || record->verdict != CE_VERDICT_PASSED)
        return ce_record_ending(record);
    if (!record->verified && !record->control)
        return "not verified";
    return record->measured ? NULL : "nothing was measured";
}

static int check_flaws(const struct ce_results *results, struct ce_report_gate *gate)
{
    for (size_t i = 0; i < results->count; i++) {
        const struct ce_record *record = results->records[i];
        const char *flaw = flaw_of(record), *why = ce_record_why(record);
        ce_autofree char *title = ce_record_title(record);
        if (!title)
            return -ENOMEM;
        if (flaw)
            CE_TRY(ce_gate_say(gate->failures, "%s: %s%s%s", title, flaw, why[0] ? ": " : "", why));
    }
    return 0;
}

static int check_each(const struct ce_results *results, struct ce_report_gate *gate)
{
    for (size_t i = 0; i < results->count; i++) {
        const struct ce_record *record = results->records[i];
        ce_autofree char *title = ce_record_title(record);
        if (!title)
            return -ENOMEM;
        if (record->control || flaw_of(record))
            continue;
        if (isnan(record->score))
            CE_TRY(ce_gate_say(gate->failures, "%s: there is no score", title));
        else if (record->score < gate->min_score)
            CE_TRY(ce_gate_say(gate->failures, "%s: the score %.6g is below %.6g", title,
                               record->score, gate->min_score));
    }
    return 0;
}

/* The mean of a layer; of all when it is NULL. */
static int check_mean(const struct ce_results *results, const char *layer,
                      struct ce_report_gate *gate)
{
    size_t runs = 0, scored = 0;
    double sum = 0;
    for (size_t i = 0; i < results->count; i++) {
        const struct ce_record *record = results->records[i];
        if (record->control || (layer && strcmp(record->layer, layer) != 0))
            continue;
        runs++;
        scored += !isnan(record->score);
        sum += isnan(record->score) ? 0 : record->score;
    }
    const char *of = layer ? layer : "all layers";
    if (scored < runs)
        return ce_gate_say(gate->failures, "%s: %zu of %zu runs have no score", of, runs - scored,
                           runs);
    if (runs > 0 && sum / (double)runs < gate->min_score)
        return ce_gate_say(gate->failures, "%s: the mean score %.6g of %zu run%s is below %.6g", of,
                           sum / (double)runs, runs, runs == 1 ? "" : "s", gate->min_score);
    return 0;
}

static int check_layers(const struct ce_results *results, struct ce_report_gate *gate)
{
    for (size_t i = 0; i < results->count; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen = seen || strcmp(results->records[j]->layer, results->records[i]->layer) == 0;
        if (!seen)
            CE_TRY(check_mean(results, results->records[i]->layer, gate));
    }
    return 0;
}

static int check_scores(const struct ce_results *results, struct ce_report_gate *gate)
{
    if (strcmp(gate->on, "layer") == 0)
        return check_layers(results, gate);
    if (strcmp(gate->on, "mean") == 0)
        return check_mean(results, NULL, gate);
    return check_each(results, gate);
}

static int apply(const struct ce_results *results, const struct ce_gate_options *options,
                 struct ce_report_gate *gate)
{
    if (!gate->failures || !gate->remarks)
        return -ENOMEM;
    if (results->count == 0)
        CE_TRY(ce_gate_say(gate->failures, "nothing ran"));
    if (results->signal)
        CE_TRY(ce_gate_say(gate->failures, "the suite was interrupted"));
    CE_TRY(check_flaws(results, gate));
    CE_TRY(check_scores(results, gate));
    if (options->baseline)
        CE_TRY(ce_gate_compare(results, options, gate));
    gate->passed = json_array_size(gate->failures) == 0;
    return 0;
}

int ce_results_gate(struct ce_results *results, const struct ce_gate_options *options,
                    struct ce_error *err)
{
    CE_TRY(ce_gate_check(options, err));
    ce_results_ungate(results);
    results->gate = (struct ce_report_gate){.min_score = options->min_score,
                                            .on = ons[0],
                                            .failures = json_array(),
                                            .remarks = json_array()};
    for (size_t i = 0; options->on && i < CE_COUNT(ons); i++)
        if (strcmp(options->on, ons[i]) == 0)
            results->gate.on = ons[i];
    results->has_gate = true;
    return apply(results, options, &results->gate) < 0 ? ce_fail_memory(err) : 0;
}

void ce_results_ungate(struct ce_results *results)
{
    json_decref(results->gate.baseline);
    json_decref(results->gate.failures);
    json_decref(results->gate.remarks);
    results->gate = (struct ce_report_gate){0};
    results->has_gate = false;
}
