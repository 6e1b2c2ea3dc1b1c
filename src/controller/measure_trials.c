/* SPDX-License-Identifier: MIT */
/* What the trials of a batch job mean: docs/measurements.md, "A batch job". */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "controller/measure.h"

struct ce_measure *ce_measure_new_trials(void)
{
    struct ce_measure *measure = calloc(1, sizeof *measure);
    if (!measure)
        return NULL;
    measure->trials = calloc(1, sizeof *measure->trials);
    if (!measure->trials) {
        ce_measure_free(measure);
        return NULL;
    }
    return measure;
}

void ce_trials_free(struct ce_trial_measure *trials)
{
    if (!trials)
        return;
    for (size_t i = 0; i < trials->metric_count; i++)
        free(trials->metrics[i].name);
    free(trials->metrics);
    free(trials);
}

static void add_to_mean(struct ce_trial_mean *mean, double value)
{
    if (isnan(value))
        return;
    mean->sum += value;
    mean->count++;
}

static double mean_of(const struct ce_trial_mean *mean)
{
    return mean->count > 0 ? mean->sum / (double)mean->count : NAN;
}

/* NULL: no memory. */
static struct ce_trial_metric *metric_of(struct ce_trial_measure *trials, const char *name)
{
    for (size_t i = 0; i < trials->metric_count; i++)
        if (strcmp(trials->metrics[i].name, name) == 0)
            return &trials->metrics[i];
    struct ce_trial_metric *metrics =
        realloc(trials->metrics, (trials->metric_count + 1) * sizeof *metrics);
    if (!metrics)
        return NULL;
    trials->metrics = metrics;
    struct ce_trial_metric metric = {.name = strdup(name)};
    if (!metric.name)
        return NULL;
    metrics[trials->metric_count] = metric;
    return &metrics[trials->metric_count++];
}

static void add_metrics(struct ce_measure *measure, enum ce_phase phase, json_t *metrics)
{
    const char *name;
    json_t *value;
    json_object_foreach(metrics, name, value)
    {
        struct ce_trial_metric *metric = metric_of(measure->trials, name);
        if (metric)
            add_to_mean(&metric->phases[phase], json_number_value(value));
        else
            measure->out_of_memory = true;
    }
}

/* As good as the worst of the baseline's, within the band. */
static bool is_good(const struct ce_measure *measure, const struct ce_outcome *outcome)
{
    double usual = mean_of(&measure->trials->accuracy[CE_PHASE_BASELINE]);
    return outcome->ok && outcome->latency_ns <= measure->slow_above &&
           (isnan(usual) || outcome->accuracy >= usual - CE_ACCURACY_BAND);
}

void ce_trials_add(struct ce_measure *measure, const struct ce_outcome *outcome)
{
    struct ce_trial_measure *trials = measure->trials;
    bool after = outcome->phase != CE_PHASE_BASELINE;
    if (outcome->ok)
        add_to_mean(&trials->accuracy[outcome->phase], outcome->accuracy);
    else if (after)
        trials->downtime +=
            outcome->latency_ns > CE_TRIAL_SPACING ? outcome->latency_ns : CE_TRIAL_SPACING;
    if (outcome->metrics)
        add_metrics(measure, outcome->phase, outcome->metrics);
    json_decref(outcome->metrics);
    bool is_back = outcome->phase == CE_PHASE_RECOVERY && is_good(measure, outcome);
    if (is_back && trials->back_at == 0)
        trials->back_at = outcome->due;
}

bool ce_trials_baseline(struct ce_measure *measure, char *reason, size_t size)
{
    const struct ce_phase_tally *tally = &measure->phases[CE_PHASE_BASELINE];
    measure->slow_above = 2 * tally->latency.max;
    reason[0] = '\0';
    if (tally->operations == 0)
        snprintf(reason, size, "no trial ended during the baseline");
    else if (tally->ok < tally->operations)
        snprintf(reason, size,
                 "the pipeline was not healthy before anything was injected: a trial failed");
    return reason[0] == '\0';
}

double ce_trials_recovery(const struct ce_measure *measure)
{
    const struct ce_trial_measure *trials = measure->trials;
    return trials->back_at == 0
               ? NAN
               : (double)(trials->back_at - measure->since_rollback.origin) / (double)CE_SECOND;
}

/* {name: {"baseline", "fault", "recovery"}}; NULL: there are none, or no memory. */
static json_t *custom_json(const struct ce_trial_measure *trials)
{
    ce_autojson json_t *all = trials->metric_count > 0 ? json_object() : NULL;
    for (size_t i = 0; i < trials->metric_count; i++) {
        const struct ce_trial_metric *metric = &trials->metrics[i];
        const struct ce_trial_mean *phases = metric->phases;
        json_t *means = json_pack("{s:o, s:o, s:o}", "baseline",
                                  ce_json_number(mean_of(&phases[CE_PHASE_BASELINE])), "fault",
                                  ce_json_number(mean_of(&phases[CE_PHASE_FAULT])), "recovery",
                                  ce_json_number(mean_of(&phases[CE_PHASE_RECOVERY])));
        if (json_object_set_new(all, metric->name, means) < 0)
            return NULL;
    }
    return ce_take(all);
}

void ce_trials_record(const struct ce_measure *measure, struct ce_record *record)
{
    const struct ce_trial_measure *trials = measure->trials;
    record->baseline_accuracy = mean_of(&trials->accuracy[CE_PHASE_BASELINE]);
    record->fault_accuracy = mean_of(&trials->accuracy[CE_PHASE_FAULT]);
    record->accuracy_degradation = NAN;
    if (!isnan(record->baseline_accuracy) && !isnan(record->fault_accuracy))
        record->accuracy_degradation = fmax(0, record->baseline_accuracy - record->fault_accuracy);
    if (record->measured)
        record->pipeline_downtime = (double)trials->downtime / (double)CE_SECOND;
    json_decref(record->custom_metrics);
    record->custom_metrics = custom_json(trials);
}
