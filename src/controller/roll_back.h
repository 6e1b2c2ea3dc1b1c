/* SPDX-License-Identifier: MIT */
/* How a run takes its fault back: carries out the moves of the strategy (rollback/rollback.h), and
 * looks at the pipeline's health for it. */
#ifndef CE_CONTROLLER_ROLL_BACK_H
#define CE_CONTROLLER_ROLL_BACK_H

#include "pipeline/pipeline.h"
#include "rollback/rollback.h"

struct run;

struct ce_roll_back {
    struct ce_rollback rollback;
    int64_t extra; /* by which the strategy was longer than immediate, ns */

    /* The health check that is going on: operations that are due from then on, and of the share of
     * the requests that is spared; 0: all. */
    int64_t since; /* 0: none is going on */
    double share;
    uint64_t ended, failed;

    struct ce_breaker breaker; /* its window is 0 unless the strategy is circuit_breaker */

    /* blue_green */
    struct ce_pipeline_spec standby_spec;
    struct ce_pipeline *standby;
    struct ce_rule *switched; /* sends traffic there */

    struct ce_error err; /* of the move that could not be made */
};

/* What has to stand ready: the standby of blue_green. */
int ce_roll_back_prepare(struct run *run, struct ce_error *err);
/* For every outcome. */
void ce_roll_back_saw(struct run *run, const struct ce_outcome *outcome);
/* Whether the fault is to be taken back before its time is over. */
bool ce_roll_back_due(const struct run *run);
/* Takes the fault back, and looks whether it has gone. Whatever happens, its undo was tried when
 * this returns. */
void ce_roll_back(struct run *run);
/* Before the pipeline is stopped. */
void ce_roll_back_done(struct run *run);

#endif
