/* SPDX-License-Identifier: MIT */
/* The hypothesis of a steady state and the stop conditions of a run: asked, counted and judged.
 *
 * A run goes through rounds. Before the fault and after recovery each probe that is due then is
 * asked until it has settled: it held, or it failed or erred so often in a row as its `failures`
 * say. In between they are asked at their intervals, by threads of their own; the run's loop polls.
 *
 * A probe that could not be asked is no deviation, and a stop condition that cannot be looked at
 * is no stop: then the run does not begin, or ends. */
#ifndef CE_CONTROLLER_HYPOTHESIS_H
#define CE_CONTROLLER_HYPOTHESIS_H

#include "controller/customs.h"
#include "controller/live.h"
#include "experiment/document.h"

enum ce_round {
    CE_ROUND_PREFLIGHT = 0, /* the stop conditions that are asked, once */
    CE_ROUND_BEFORE,        /* start, edge and continuous */
    CE_ROUND_CHAOS,         /* continuous and on_chaos; stop conditions are armed */
    CE_ROUND_ROLLBACK,      /* continuous; still armed */
    CE_ROUND_RECOVERY,      /* continuous */
    CE_ROUND_AFTER,         /* edge, end and continuous */
};

struct ce_hypothesis;
/* How long the round before or after may take at most, ns. */
int64_t ce_hypothesis_longest(const struct ce_experiment *experiment);
/* All are borrowed; what probes answer in numbers goes to `customs` (NULL: nowhere); `timeout` is
 * that of an operation. NULL: out of memory. */
struct ce_hypothesis *ce_hypothesis_new(const struct ce_experiment *experiment,
                                        const struct ce_live *live, struct ce_customs *customs,
                                        int64_t timeout);
/* Gives up what is being asked. NULL is fine, as in all functions below. */
void ce_hypothesis_free(struct ce_hypothesis *hypothesis);

int ce_hypothesis_begin(struct ce_hypothesis *hypothesis, enum ce_round round,
                        struct ce_error *err);
/* The fault is live: what is to be asked then, is from now on. */
int ce_hypothesis_injected(struct ce_hypothesis *hypothesis, struct ce_error *err);
/* Takes the answers that have come, and looks at the workload. True: a stop condition is met. */
bool ce_hypothesis_poll(struct ce_hypothesis *hypothesis, int64_t now);
/* Whether nothing is awaited any more in this round (preflight, before and after). */
bool ce_hypothesis_settled(const struct ce_hypothesis *hypothesis);

/* Whether no probe that is asked all the time failed when it was asked last. */
bool ce_hypothesis_holds(const struct ce_hypothesis *hypothesis);

/* What the round before, or preflight, came to: NULL, or why the run cannot begin, as a sentence;
 * *ret_stage is what it failed at, as in a record's skip_reason. */
const char *ce_hypothesis_refuses(struct ce_hypothesis *hypothesis, const char **ret_stage);
/* The whole: a sentence when a probe deviated, or when one could not be looked at, else NULL. */
const char *ce_hypothesis_deviated(struct ce_hypothesis *hypothesis);
const char *ce_hypothesis_unknown(struct ce_hypothesis *hypothesis);
/* Why a stop condition ended the run. */
const char *ce_hypothesis_stopped(struct ce_hypothesis *hypothesis);

/* Fills the record's steady_state and stopped_by. */
void ce_hypothesis_record(const struct ce_hypothesis *hypothesis, struct ce_record *record);

#endif
