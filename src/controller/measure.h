/* SPDX-License-Identifier: MIT */
/* What the outcomes of a run mean: the measurements and the score, as docs/measurements.md defines
 * them.
 *
 * Pure bookkeeping: outcomes go in, in any order; numbers come out. Memory grows with the length of
 * the run (one slot per 100 ms), not with the rate.
 *
 * Accuracy is paired: every phase walks the same rows from the first one, so an operation of a
 * later phase is compared with what the baseline said for the same row. A pipeline that nothing
 * happened to loses exactly 0.
 *
 * Trials of a batch job are few and have neither rows nor slots: they are compared by their means,
 * in measure_trials.c. */
#ifndef CE_CONTROLLER_MEASURE_H
#define CE_CONTROLLER_MEASURE_H

#include "base/error.h"
#include "observers/record.h"
#include "pipeline/histogram.h"
#include "pipeline/workload.h"

#define CE_SLOT               (100 * CE_MILLISECOND)
#define CE_RECOVERY_SLOTS     5    /* consecutive slots within tolerance that count as recovered */
#define CE_ACCURACY_BAND      0.02 /* 2 percentage points */
#define CE_BASELINE_SUCCESS   0.95 /* a baseline below this is not healthy */
#define CE_MINIMUM_OPERATIONS 10   /* fewer operations under the fault measure nothing */

/* The operations that were due in one 100 ms slot. */
struct ce_slot {
    uint32_t due, ok, slow; /* slow: beyond twice the baseline's p99 */
    /* Of the answered rows that the baseline answered too: how many, right now, right then. */
    uint32_t paired, right, right_before;
};

struct ce_slots {
    int64_t origin;
    struct ce_slot *items;
    size_t count, capacity;
};

enum ce_row {
    CE_ROW_UNKNOWN = 0,
    CE_ROW_WRONG,
    CE_ROW_RIGHT,
};

/* What trials are measured by. */
struct ce_trial_mean {
    double sum;
    uint64_t count;
};
struct ce_trial_metric {
    char *name;
    struct ce_trial_mean phases[CE_PHASE_COUNT_];
};
struct ce_trial_measure {
    struct ce_trial_mean accuracy[CE_PHASE_COUNT_];
    struct ce_trial_metric *metrics; /* in the order in which they were first seen */
    size_t metric_count;
    int64_t downtime; /* ns, from the injection on */
    int64_t back_at;  /* when the first good trial after rollback began; 0: none has */
};

struct ce_measure {
    struct ce_trial_measure *trials; /* NULL: operations are measured */
    struct ce_phase_tally {
        uint64_t operations, ok, right;
        double latency_sum; /* seconds */
        struct ce_histogram latency;
    } phases[CE_PHASE_COUNT_];
    /* what the baseline said for each row */
    enum ce_row *rows;
    uint64_t row_count;
    int64_t slow_above; /* twice the baseline's p99, once the baseline is over */
    uint64_t fault_paired, fault_right, fault_right_before;
    struct ce_slots since_injection; /* for downtime */
    struct ce_slots since_rollback;  /* for recovery */
    bool out_of_memory;
};

/* `row_count`: operations of the baseline phase; every phase walks that many rows, round and round.
 */
struct ce_measure *ce_measure_new(uint64_t row_count); /* NULL: out of memory */
struct ce_measure *ce_measure_new_trials(void);        /* the same */
void ce_measure_free(struct ce_measure *measure);      /* NULL is fine */

/* Takes one outcome, and what it owns. Those of the fault phase need ce_measure_injected() before,
 * and so on. */
void ce_measure_add(struct ce_measure *measure, const struct ce_outcome *outcome);
/* The baseline is over; whether it was healthy. */
bool ce_measure_baseline(struct ce_measure *measure, char *reason, size_t size);
void ce_measure_injected(struct ce_measure *measure, int64_t at);
void ce_measure_rolling_back(struct ce_measure *measure, int64_t at);

/* Seconds from the start of rollback to the first of 5 consecutive slots within tolerance, looking
 * only at slots that ended before `settled` (all their outcomes are in); NaN: not (yet) recovered.
 */
double ce_measure_recovery(const struct ce_measure *measure, int64_t settled);

/* Of trials; see the functions above. */
void ce_trials_add(struct ce_measure *measure, const struct ce_outcome *outcome);
bool ce_trials_baseline(struct ce_measure *measure, char *reason, size_t size);
double ce_trials_recovery(const struct ce_measure *measure);
void ce_trials_record(const struct ce_measure *measure, struct ce_record *record);
void ce_trials_free(struct ce_trial_measure *trials);

/* Seconds since the injection in which fewer than half of the operations succeeded, so far. */
double ce_measure_downtime(const struct ce_measure *measure);

/* Fills the record's measurements. */
void ce_measure_record(const struct ce_measure *measure, double recovery_time,
                       struct ce_record *record);

/* Fills the record's score from its measurements: formula "documented/1"; NaN when nothing was
 * measured. */
void ce_score(struct ce_record *record);

#endif
