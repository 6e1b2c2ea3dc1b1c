/* SPDX-License-Identifier: MIT */
/* A run while it lasts: what controller.c leads through its stages, and prepare.c gets ready. */
#ifndef CE_CONTROLLER_RUN_H
#define CE_CONTROLLER_RUN_H

#include "controller/aim.h"
#include "controller/blast.h"
#include "controller/controller.h"
#include "controller/hypothesis.h"
#include "controller/measure.h"
#include "controller/roll_back.h"
#include "controller/series.h"
#include "journal/guard.h"

struct run {
    const struct ce_run_options *options;
    const struct ce_experiment *experiment;
    struct ce_record *record;
    struct ce_journal *journal;
    struct ce_guard *guard;
    struct ce_proxy *proxy;
    struct ce_pipeline *pipeline;
    bool trials; /* of a batch job make up the workload, and not requests */
    struct ce_workload *workload;
    struct ce_measure *measure;
    struct ce_series *series;
    struct ce_live *live; /* NULL: not prepared yet */
    struct ce_customs *customs;
    int64_t sampled; /* when a sample was published last */
    struct ce_hypothesis *hypothesis;
    struct ce_operations operations; /* those of the pipeline that the baseline covers */
    struct ce_target target;
    struct ce_blast blast; /* what `target:` names, when that is not the pipeline */
    struct ce_injection injection;
    char *run_folder;
    int64_t started; /* monotonic */
    int64_t rollback_at;
    double recovery_time;
    bool undone; /* the undo was verified */
    struct ce_roll_back roll;
};

/* ---- controller.c: what its stages share with roll_back.c ---- */

void ce_run_publish(struct run *run, enum ce_state state, double fraction);
/* Whether the run must go to its rollback at once. */
bool ce_run_interrupted(struct run *run);
/* Takes the outcomes that have arrived, waiting for the first until then. */
void ce_run_take(struct run *run, int64_t until);
/* Nothing becomes due any more; what is in flight ends, at its timeout at the latest. */
void ce_run_let_end(struct run *run);
/* Something is not as it was: that outranks whatever was measured. */
void ce_run_end_dirty(struct run *run, const char *what, const struct ce_error *err);

/* ---- prepare.c ---- */

/* Whatever can go wrong before the pipeline has served one request. -EALREADY without a journal:
 * another run acts on the same. */
int ce_run_prepare(struct run *run, struct ce_error *err);
/* How long the run may take from its baseline on, ns. */
int64_t ce_run_longest(const struct run *run);
/* How long an operation that is in flight may take to end. */
int64_t ce_run_drain(const struct run *run);
/* How many operations are due in that time; a phase has at least one. Of trials it is how many
 * there are at least. */
uint64_t ce_run_operations(const struct run *run, int64_t duration);

#endif
