/* SPDX-License-Identifier: MIT */
/* The workload: operations that drive the pipeline under test, and what became of them. A thread of
 * its own only starts and ends them; what an outcome means is decided elsewhere. It has two forms.
 *
 * Labelled requests, open loop: operation n of a phase is due at start + n/rate, whatever became of
 * the ones before; its latency counts from when it was due, so a stall cannot hide itself.
 * Connections are persistent and as many as are needed.
 *
 * Trials of a batch job, closed loop: one after the other, since a batch is not due at any time.
 * A trial is due when it is started; its latency is how long it took.
 *
 * Phases make runs repeatable: operations are named "f-17" (phase letter, number within the phase),
 * a seeded fault chooses by that name, and each phase starts at row 0 of the labelled rows, so the
 * same operations are hit in every run of the same seed. */
#ifndef CE_PIPELINE_WORKLOAD_H
#define CE_PIPELINE_WORKLOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "inference/inference.h"
#include "net/endpoint.h"

/* Ready-made requests with their labels. */
struct ce_operation {
    char *body;
    size_t body_size;
    char *label_text; /* NULL: `label` says it all */
    double label;     /* as a number; NaN when it is none */
};
/* What a server answered. */
struct ce_reply {
    const char *content_type;    /* "" when absent */
    struct ce_slice json_length; /* the value of Inference-Header-Content-Length; empty: none */
    const char *body;
    size_t size;
};
struct ce_operations {
    const char *path;         /* "/v2/models/churn/infer" */
    const char *host;         /* the Host field's value; NULL: the address that is connected to */
    const char *content_type; /* of the requests; NULL: application/json */
    bool grpc;                /* each is a gRPC call, and its body the message */
    struct ce_operation *items;
    size_t count;
    /* Both are called on the workload's thread, with `ctx`. */
    const void *ctx;
    /* Reads the prediction from an answer: 0, or a negative errno when it holds none. */
    int (*read_prediction)(const void *ctx, const struct ce_reply *answer,
                           struct ce_prediction *ret_prediction);
    /* Whether it is right for the operation's label. */
    bool (*is_right)(const void *ctx, const struct ce_prediction *prediction,
                     const struct ce_operation *operation);
};

enum ce_phase {
    CE_PHASE_BASELINE = 0,
    CE_PHASE_FAULT,
    CE_PHASE_ROLLBACK,
    CE_PHASE_RECOVERY,
    CE_PHASE_COUNT_,
};
const char *ce_phase_name(enum ce_phase phase); /* "baseline", ... */
char ce_phase_letter(enum ce_phase phase);      /* 'b', 'f', 'r', 'v' */

/* One operation, when it has ended. */
struct ce_outcome {
    enum ce_phase phase;
    uint64_t number;    /* within the phase */
    int64_t due;        /* ce_now() time */
    int64_t latency_ns; /* from due to the last byte, or to the failure */
    bool ok;            /* status 200 and a readable prediction, in time */
    bool right;         /* ok and the prediction matches the label */
    int status;         /* of the answer; 0: none */
    int error; /* 0, or why it failed: ETIMEDOUT, ECONNREFUSED, ECONNRESET, EPROTO, EBADMSG (no
                  prediction) */
    double prediction; /* as a number; NaN when it is none */
    /* Of a trial: */
    double accuracy; /* as it was reported; NaN: it was not */
    json_t *metrics; /* the other numbers that it reported, {name: number}; owned by whoever takes
                        the outcome; NULL: none */
};

/* A batch job that can be run. */
struct ce_trial_figures {
    int64_t took; /* ns; also of one that failed */
    double accuracy;
    json_t *metrics;
};
struct ce_trials {
    void *ctx;
    /* Runs it once, until it has ended and `give_up` (a descriptor, readable) at the latest. 0 and
     * what it reported; -ECANCELED: given up; else how it failed. Called on the workload's thread.
     */
    int (*run)(void *ctx, const char *name, int give_up, struct ce_trial_figures *ret_figures,
               struct ce_error *err);
};
/* Trials begin at least that far apart: a job that fails at once is not started without end. */
#define CE_TRIAL_SPACING (100 * CE_MILLISECOND)

struct ce_workload_config {
    struct ce_endpoint endpoint;
    const struct ce_operations *operations;
    double rate;
    int64_t timeout_ns;
};

struct ce_workload;

/* Starts the thread, idle: with requests, or with trials (borrowed). */
int ce_workload_start(const struct ce_workload_config *config, struct ce_workload **ret_workload,
                      struct ce_error *err);
int ce_workload_start_trials(const struct ce_trials *trials, struct ce_workload **ret_workload,
                             struct ce_error *err);
/* Gives up what is in flight and joins the thread. NULL is fine. */
void ce_workload_stop(struct ce_workload *workload);

/* Begins a phase of `count` operations, or UINT64_MAX until the next phase begins. The running
 * phase, if any, ends: it becomes due no more; what is in flight goes on. The first request is due
 * one interval (1/rate) from now. Trials go on beyond `count` as long as they begin within
 * `duration` ns; one that fails ends the baseline, which nothing could be compared with; beginning
 * the phase that runs already gives it another count. */
void ce_workload_begin(struct ce_workload *workload, enum ce_phase phase, uint64_t count,
                       int64_t duration);
/* Ends the running phase: nothing is due until the next one begins. */
void ce_workload_pause(struct ce_workload *workload);
/* The same, and a trial in flight is killed and never heard of again. Requests go on. */
void ce_workload_give_up(struct ce_workload *workload);
/* Number of operations of the current phase that were due so far. */
uint64_t ce_workload_due(const struct ce_workload *workload);
/* Whether that are all of them. */
bool ce_workload_all_due(const struct ce_workload *workload);
/* How the last trial failed that did; "": none has. */
void ce_workload_last_failure(struct ce_workload *workload, struct ce_error *ret_failure);

/* Takes the next outcome, in order of completion; waits until ce_now() >= `until` at most. 1, or 0
 * when none came. */
int ce_workload_next(struct ce_workload *workload, struct ce_outcome *ret_outcome, int64_t until);
/* Operations sent and not yet ended. */
size_t ce_workload_in_flight(const struct ce_workload *workload);
/* When the oldest operation that has not ended was due, or, when none is in flight, when the next
 * one of the running phase will be; INT64_MAX when there is neither. Everything that was due before
 * that has ended, and its outcome can be taken with ce_workload_next(). */
int64_t ce_workload_oldest_due(const struct ce_workload *workload);
/* A descriptor that becomes readable when an outcome waits (for poll). Owned by the workload. */
int ce_workload_fd(const struct ce_workload *workload);

#endif
