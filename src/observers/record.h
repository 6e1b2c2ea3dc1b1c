/* SPDX-License-Identifier: MIT */
/* What one run yields: everything a report, a history or a gate may say about it. Plain data; "not
 * measured" is NaN. */
#ifndef CE_OBSERVERS_RECORD_H
#define CE_OBSERVERS_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"

enum ce_status {
    CE_STATUS_COMPLETED = 0,
    CE_STATUS_ABORTED,
    CE_STATUS_INTERRUPTED,
    CE_STATUS_FAILED,
    CE_STATUS_SKIPPED, /* preflight or baseline unmet: skip_reason says which */
    CE_STATUS_DIRTY,
};
enum ce_verdict {
    CE_VERDICT_PASSED = 0,
    CE_VERDICT_DEVIATED,
    CE_VERDICT_INCONCLUSIVE,
    CE_VERDICT_INVALID,
};
const char *ce_status_name(enum ce_status status);
const char *ce_verdict_name(enum ce_verdict verdict);

enum { CE_RECORD_PHASES = 4 }; /* baseline, fault, rollback, recovery */
extern const char *const ce_record_phase_names[CE_RECORD_PHASES];

/* By which scores are computed, with its version. */
#define CE_SCORE_FORMULA "documented/1"

/* Up to which latencies are counted in fixed buckets, seconds; a last bucket has what is above. */
enum { CE_LATENCY_BOUNDS = 16 };
extern const double ce_latency_bounds[CE_LATENCY_BOUNDS];

struct ce_phase_summary {
    uint64_t operations, errors, right;
    double p50_ms, p90_ms, p99_ms, max_ms; /* NaN without operations */
    /* Operations whose latency is at most the bound; the rest of `operations` took longer. All 0
     * when they were not counted: an older record. */
    uint64_t within[CE_LATENCY_BOUNDS];
    double latency_sum; /* seconds, of all operations */
};
/* Whether the latencies of that phase were counted in buckets. */
bool ce_phase_has_latencies(const struct ce_phase_summary *phase);

struct ce_rollback_step {
    double at; /* seconds since rollback began */
    double intensity;
    bool healthy;
    const char *event; /* one of ce_rollback_events; NULL: none */
};

struct ce_record {
    char id[64];
    /* the experiment */
    char *name, *layer, *fault_type, *strategy; /* owned, as is all below that is a pointer */
    json_t *parameters;                         /* resolved, defaults included */
    double duration;                            /* of the fault, seconds, as configured */
    double asked_duration; /* as the document says, where CHAOSEATER_MAX_DURATION is less; else 0 */
    const char *pipeline;  /* its kind: "embedded", "http", "command" */
    char *profile;         /* of the embedded pipeline; NULL for others */
    char *url;             /* of kind http; NULL for others */
    char *command;         /* of kind command; NULL for others */
    const char *protocol;  /* that the server speaks; NULL: not known, or of no matter */
    uint64_t seed;
    int repeat; /* 1.. when the experiment repeats, else 0 */
    /* how it ended */
    enum ce_status status;
    enum ce_verdict verdict;
    char *reason;            /* one sentence: why it ended so; "" when it passed */
    const char *skip_reason; /* "preflight", "baseline" or NULL */
    int signal;              /* SIGINT or SIGTERM when interrupted */
    bool control;            /* the parameters make the fault a no-op */
    bool verified;
    char *verification; /* what was seen */
    /* measurements; NaN: not measured */
    double recovery_time, accuracy_degradation, pipeline_downtime;
    uint64_t error_count;
    bool measured; /* false: no operation ended between injection and the end of recovery */
    double baseline_accuracy, fault_accuracy;
    json_t *custom_metrics; /* of trials: {name: {phase: mean}}; NULL: none */
    struct ce_phase_summary phases[CE_RECORD_PHASES];
    /* score */
    double score; /* NaN: null */
    double lost_downtime, lost_accuracy, lost_errors;
    /* the fault's own counters */
    json_t *fault_counts; /* {"eligible", "selected", "changed", "skipped": {reason: n}} */
    /* rollback */
    const char
        *rolled_back_by; /* the strategy that "auto" stood for; NULL: no rollback was needed */
    struct ce_rollback_step *steps;
    size_t step_count;
    double rollback_seconds;
    bool rollback_verified;
    int64_t started_at, ended_at; /* wall clock, ns */
    double total_seconds;         /* the whole run, start to end, by the monotonic clock */
    char *isolation;              /* of the pipeline */
    char *target;                 /* what the fault acted on; NULL: the pipeline */
    /* what the document asked besides; each is NULL when it asked for none */
    json_t *tags;          /* [name] */
    json_t *steady_state;  /* the hypothesis: [{"name", "probe", "mode", "looks", "failures",
                              "errors", "held": true, false or null (could not be looked at),
                              "detail": a sentence}] */
    json_t *stopped_by;    /* the stop condition that ended the run: {"condition": a sentence,
                              "value", "after": seconds since injection} */
    json_t *blast_radius;  /* {"of", "mode", "eligible", "chosen": [what was chosen]} */
    char *rollback_reason; /* why that strategy, or why it gave way to another; NULL: as asked */
    json_t *series;        /* what was measured over time, as the documented JSON */
    json_t *toolkit;       /* the journal of an experiment of the Chaos Toolkit, in its shape */
    json_t *words;         /* of a record that was read: the texts it borrows; else NULL */
};

/* Of a run that begins now, with nothing measured and nothing to end. */
struct ce_record ce_record_unmeasured(void);
void ce_record_done(struct ce_record *record);
/* RUN of the documented JSON. A skipped run's "reason" is `skip_reason`, and its "detail" the
 * sentence. Returns a new reference; NULL: no memory. */
json_t *ce_record_json(const struct ce_record *record);
/* The record that a RUN was made from: what another process ran, or what a report on disk tells.
 * -EINVAL with the key that is missing or of another kind. End it with ce_record_done(). */
int ce_record_read(const json_t *run, struct ce_record *ret_record, struct ce_error *err);
/* What RUN says of a fault that counted nothing. New reference. */
json_t *ce_record_no_counts(void);

#endif
