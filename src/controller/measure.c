/* SPDX-License-Identifier: MIT */
#include "controller/measure.h"

#include <math.h>
#include <stdlib.h>

struct ce_measure *ce_measure_new(uint64_t row_count)
{
    struct ce_measure *measure = calloc(1, sizeof *measure);
    if (!measure)
        return NULL;
    measure->rows = calloc(row_count, sizeof *measure->rows);
    measure->row_count = row_count;
    if (!measure->rows) {
        ce_measure_free(measure);
        return NULL;
    }
    return measure;
}

void ce_measure_free(struct ce_measure *measure)
{
    if (!measure)
        return;
    ce_trials_free(measure->trials);
    free(measure->rows);
    free(measure->since_injection.items);
    free(measure->since_rollback.items);
    free(measure);
}

static struct ce_slot *slot_at(struct ce_slots *slots, int64_t due)
{
    if (due < slots->origin)
        return NULL;
    size_t i = (size_t)((due - slots->origin) / CE_SLOT);
    if (i >= slots->capacity) {
        size_t capacity = i + i / 2 + 64;
        struct ce_slot *items = realloc(slots->items, capacity * sizeof *items);
        if (!items)
            return NULL;
        for (size_t k = slots->capacity; k < capacity; k++)
            items[k] = (struct ce_slot){0};
        slots->items = items;
        slots->capacity = capacity;
    }
    if (i >= slots->count)
        slots->count = i + 1;
    return &slots->items[i];
}

static void add_to_slot(struct ce_measure *measure, struct ce_slots *slots,
                        const struct ce_outcome *outcome, enum ce_row before)
{
    struct ce_slot *slot = slot_at(slots, outcome->due);
    if (!slot) {
        measure->out_of_memory = true;
        return;
    }
    slot->due++;
    slot->ok += outcome->ok;
    slot->slow += outcome->latency_ns > measure->slow_above;
    if (outcome->ok && before != CE_ROW_UNKNOWN) {
        slot->paired++;
        slot->right += outcome->right;
        slot->right_before += before == CE_ROW_RIGHT;
    }
}

void ce_measure_add(struct ce_measure *measure, const struct ce_outcome *outcome)
{
    struct ce_phase_tally *tally = &measure->phases[outcome->phase];

    tally->operations++;
    tally->ok += outcome->ok;
    tally->right += outcome->right;
    tally->latency_sum += (double)outcome->latency_ns / (double)CE_SECOND;
    ce_histogram_add(&tally->latency, outcome->latency_ns);
    if (measure->trials) {
        ce_trials_add(measure, outcome);
        return;
    }
    enum ce_row *row = &measure->rows[outcome->number % measure->row_count];
    if (outcome->phase == CE_PHASE_BASELINE) {
        if (outcome->ok)
            *row = outcome->right ? CE_ROW_RIGHT : CE_ROW_WRONG;
        return;
    }
    add_to_slot(measure, &measure->since_injection, outcome, *row);
    if (outcome->phase != CE_PHASE_FAULT) {
        add_to_slot(measure, &measure->since_rollback, outcome, *row);
    } else if (outcome->ok && *row != CE_ROW_UNKNOWN) {
        measure->fault_paired++;
        measure->fault_right += outcome->right;
        measure->fault_right_before += *row == CE_ROW_RIGHT;
    }
}

bool ce_measure_baseline(struct ce_measure *measure, char *reason, size_t size)
{
    if (measure->trials)
        return ce_trials_baseline(measure, reason, size);
    const struct ce_phase_tally *tally = &measure->phases[CE_PHASE_BASELINE];
    measure->slow_above = 2 * ce_histogram_quantile(&tally->latency, 0.99);
    reason[0] = '\0';
    if (tally->operations == 0)
        snprintf(reason, size, "no operation ended during the baseline");
    else if ((double)tally->ok < CE_BASELINE_SUCCESS * (double)tally->operations)
        snprintf(reason, size,
                 "the pipeline was not healthy before anything was injected: %llu of %llu "
                 "operations failed",
                 (unsigned long long)(tally->operations - tally->ok),
                 (unsigned long long)tally->operations);
    return reason[0] == '\0';
}

void ce_measure_injected(struct ce_measure *measure, int64_t at)
{
    measure->since_injection.origin = at;
}

void ce_measure_rolling_back(struct ce_measure *measure, int64_t at)
{
    measure->since_rollback.origin = at;
}

/* Success ratio and p99 of one slot. At most 1 % of a slot may be slow: that is what p99 says. */
static bool slot_within_tolerance(const struct ce_measure *measure, const struct ce_slot *slot)
{
    const struct ce_phase_tally *baseline = &measure->phases[CE_PHASE_BASELINE];
    double usual = (double)baseline->ok / (double)baseline->operations;
    return slot->ok >= usual * slot->due && slot->slow <= 0.01 * slot->due;
}

/* Accuracy is judged over the whole window: a slot alone holds too few operations for 2 points. */
static bool window_accurate(const struct ce_slots *slots, const size_t window[CE_RECOVERY_SLOTS])
{
    uint32_t paired = 0, right = 0, before = 0;
    for (size_t i = 0; i < CE_RECOVERY_SLOTS; i++) {
        const struct ce_slot *slot = &slots->items[window[i]];
        paired += slot->paired;
        right += slot->right;
        before += slot->right_before;
    }
    return before <= right + CE_ACCURACY_BAND * paired;
}

double ce_measure_recovery(const struct ce_measure *measure, int64_t settled)
{
    if (measure->trials)
        return ce_trials_recovery(measure);
    const struct ce_slots *slots = &measure->since_rollback;
    size_t window[CE_RECOVERY_SLOTS], good = 0; /* a ring of the last good slots */
    for (size_t i = 0; i < slots->count; i++) {
        if (slots->origin + (int64_t)(i + 1) * CE_SLOT > settled)
            break;
        if (slots->items[i].due == 0)
            continue; /* says nothing: it neither counts nor breaks the row */
        if (!slot_within_tolerance(measure, &slots->items[i])) {
            good = 0;
            continue;
        }
        window[good++ % CE_RECOVERY_SLOTS] = i;
        if (good >= CE_RECOVERY_SLOTS && window_accurate(slots, window))
            return (double)window[good % CE_RECOVERY_SLOTS] * (double)CE_SLOT / (double)CE_SECOND;
    }
    return NAN;
}

static double milliseconds(const struct ce_histogram *histogram, double q)
{
    return histogram->count ? (double)ce_histogram_quantile(histogram, q) / (double)CE_MILLISECOND
                            : NAN;
}

double ce_measure_downtime(const struct ce_measure *measure)
{
    if (measure->trials)
        return (double)measure->trials->downtime / (double)CE_SECOND;
    size_t down = 0;
    for (size_t i = 0; i < measure->since_injection.count; i++) {
        const struct ce_slot *slot = &measure->since_injection.items[i];
        down += slot->due > 0 && 2 * slot->ok < slot->due;
    }
    return (double)down * (double)CE_SLOT / (double)CE_SECOND;
}

void ce_measure_record(const struct ce_measure *measure, double recovery_time,
                       struct ce_record *record)
{
    for (int i = 0; i < CE_PHASE_COUNT_; i++) {
        const struct ce_phase_tally *tally = &measure->phases[i];
        record->phases[i] = (struct ce_phase_summary){
            .operations = tally->operations,
            .errors = tally->operations - tally->ok,
            .right = tally->right,
            .p50_ms = milliseconds(&tally->latency, 0.5),
            .p90_ms = milliseconds(&tally->latency, 0.9),
            .p99_ms = milliseconds(&tally->latency, 0.99),
            .max_ms =
                tally->latency.count ? (double)tally->latency.max / (double)CE_MILLISECOND : NAN,
            .latency_sum = tally->latency_sum,
        };
        for (size_t k = 0; k < CE_LATENCY_BOUNDS; k++)
            record->phases[i].within[k] = ce_histogram_within(
                &tally->latency, (int64_t)(ce_latency_bounds[k] * (double)CE_SECOND));
    }
    uint64_t after = 0;
    record->error_count = 0;
    for (int i = CE_PHASE_FAULT; i < CE_PHASE_COUNT_; i++) {
        after += measure->phases[i].operations;
        record->error_count += record->phases[i].errors;
    }
    record->measured = after > 0;
    record->pipeline_downtime = after > 0 ? ce_measure_downtime(measure) : NAN;

    const struct ce_phase_tally *baseline = &measure->phases[CE_PHASE_BASELINE];
    record->baseline_accuracy = baseline->ok ? (double)baseline->right / (double)baseline->ok : NAN;
    record->fault_accuracy = NAN;
    record->accuracy_degradation = NAN;
    if (measure->fault_paired > 0) {
        record->baseline_accuracy =
            (double)measure->fault_right_before / (double)measure->fault_paired;
        record->fault_accuracy = (double)measure->fault_right / (double)measure->fault_paired;
        record->accuracy_degradation = fmax(0, record->baseline_accuracy - record->fault_accuracy);
    }
    record->recovery_time = recovery_time;
    if (measure->trials)
        ce_trials_record(measure, record);
}

void ce_score(struct ce_record *record)
{
    record->lost_downtime = record->lost_accuracy = record->lost_errors = 0;
    record->score = NAN;
    if (!record->measured)
        return;
    record->lost_downtime = fmin(40, record->pipeline_downtime / 10 * 40);
    if (!isnan(record->accuracy_degradation))
        record->lost_accuracy = fmin(30, record->accuracy_degradation * 30);
    record->lost_errors = fmin(30, (double)record->error_count * 5 * 30);
    record->score =
        fmax(0, 100 - record->lost_downtime - record->lost_accuracy - record->lost_errors);
}
