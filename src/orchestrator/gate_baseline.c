/* SPDX-License-Identifier: MIT */
/* The gate's comparison with an earlier report, experiment by experiment.
 *
 * An experiment is known by name and profile; its repeats are samples of the same thing. What it
 * may have lost is max_drop points of the mean, and two standard errors of the difference where
 * repeats tell how much scores vary by themselves. With one run on either side nothing is known of
 * that, and nothing is added. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "orchestrator/gate.h"
#include "report/words.h"

struct sample {
    size_t runs, scored;
    double mean, variance; /* of the mean */
};

static bool is_same(const struct ce_record *a, const struct ce_record *b)
{
    return strcmp(a->name, b->name) == 0 &&
           strcmp(a->profile ? a->profile : "", b->profile ? b->profile : "") == 0;
}

static struct sample sample_of(const struct ce_results *results, const struct ce_record *experiment)
{
    struct sample sample = {0};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < results->count; i++) {
        const struct ce_record *record = results->records[i];
        if (!is_same(record, experiment))
            continue;
        sample.runs++;
        if (isnan(record->score))
            continue;
        sample.scored++;
        sum += record->score;
    }
    sample.mean = sample.scored > 0 ? sum / (double)sample.scored : NAN;
    for (size_t i = 0; i < results->count; i++) {
        const struct ce_record *record = results->records[i];
        if (is_same(record, experiment) && !isnan(record->score))
            squares += (record->score - sample.mean) * (record->score - sample.mean);
    }
    if (sample.scored > 1)
        sample.variance = squares / (double)(sample.scored - 1) / (double)sample.scored;
    return sample;
}

static char *title_of(const struct ce_record *record)
{
    return ce_format("%s%s%s", record->name, record->profile ? ", " : "",
                     record->profile ? record->profile : "");
}

/* One run stands for all repeats of its experiment: the first. */
static bool is_first(const struct ce_results *results, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (is_same(results->records[j], results->records[i]))
            return false;
    return true;
}

static json_t *name_json(const struct ce_record *record)
{
    ce_autofree char *title = title_of(record);
    ce_autofree char *clean = title ? ce_text_clean(title) : NULL;
    return clean ? json_string(clean) : NULL;
}

/* Without a score on one side there is nothing to compare: that this run has none is a failure of
 * its own, by the score's rule or by the run's. */
static int compare_scores(const struct ce_record *experiment, const struct sample *before,
                          const struct sample *now, double max_drop, struct ce_report_gate *gate)
{
    double noise = 2 * sqrt(before->variance + now->variance);
    double drop = before->mean - now->mean;
    bool passed = !(drop > max_drop + noise);
    ce_autofree char *title = title_of(experiment);
    json_t *row = json_pack("{s:o, s:o, s:o, s:[I, I], s:o, s:o, s:b}", "experiment",
                            name_json(experiment), "baseline", ce_json_number(before->mean), "now",
                            ce_json_number(now->mean), "runs", (json_int_t)before->scored,
                            (json_int_t)now->scored, "drop", ce_json_number(drop), "allowed",
                            ce_json_number(max_drop + noise), "passed", passed);
    if (!title || json_array_append_new(json_object_get(gate->baseline, "experiments"), row) < 0)
        return -ENOMEM;
    if (isnan(before->mean))
        return ce_gate_say(gate->remarks, "%s: the baseline has no score of it", title);
    if (isnan(now->mean))
        return ce_gate_say(gate->failures, "%s: it has no score now, and had %.6g in the baseline",
                           title, before->mean);
    if (passed)
        return 0;
    if (noise > 0)
        return ce_gate_say(gate->failures,
                           "%s: the mean score fell by %.6g points, from %.6g (%zu run%s) to %.6g "
                           "(%zu run%s); %.6g and %.3g of noise were allowed",
                           title, drop, before->mean, before->scored,
                           before->scored == 1 ? "" : "s", now->mean, now->scored,
                           now->scored == 1 ? "" : "s", max_drop, noise);
    return ce_gate_say(gate->failures,
                       "%s: the score fell by %.6g points, from %.6g to %.6g; %.6g were allowed",
                       title, drop, before->mean, now->mean, max_drop);
}

/* Experiments that only one side has: named in the list, and in a remark. */
static int note_absent(const struct ce_record *experiment, const char *list, const char *remark,
                       struct ce_report_gate *gate)
{
    ce_autofree char *title = title_of(experiment);
    if (!title ||
        json_array_append_new(json_object_get(gate->baseline, list), name_json(experiment)) < 0)
        return -ENOMEM;
    return ce_gate_say(gate->remarks, "%s: %s", title, remark);
}

int ce_gate_compare(const struct ce_results *results, const struct ce_gate_options *options,
                    struct ce_report_gate *gate)
{
    const struct ce_results *baseline = options->baseline;
    ce_autofree char *source = ce_text_clean(baseline->source ? baseline->source : "");
    gate->baseline =
        source ? json_pack("{s:s, s:o, s:[], s:[], s:[]}", "source", source, "max_drop",
                           ce_json_number(options->max_drop), "experiments", "new", "missing")
               : NULL;
    if (!gate->baseline)
        return -ENOMEM;
    for (size_t i = 0; i < results->count; i++) {
        const struct ce_record *record = results->records[i];
        struct sample before = sample_of(baseline, record), now = sample_of(results, record);
        if (!is_first(results, i))
            continue;
        if (before.runs == 0)
            CE_TRY(note_absent(record, "new", "the baseline has no such experiment", gate));
        else
            CE_TRY(compare_scores(record, &before, &now, options->max_drop, gate));
    }
    for (size_t i = 0; i < baseline->count; i++)
        if (is_first(baseline, i) && sample_of(results, baseline->records[i]).runs == 0)
            CE_TRY(note_absent(baseline->records[i], "missing",
                               "it is in the baseline and was not run now", gate));
    if (json_array_size(json_object_get(gate->baseline, "experiments")) == 0)
        return ce_gate_say(gate->failures,
                           "nothing could be compared: the baseline '%s' has none of these "
                           "experiments",
                           source);
    return 0;
}
