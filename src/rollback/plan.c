/* SPDX-License-Identifier: MIT */
/* Which strategy is used, given what there is to work with, and why it is not the one that was
 * asked for. */
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "rollback/rollback.h"

static void because(struct ce_rollback_plan *plan, enum ce_strategy strategy, const char *fmt, ...)
    CE_PRINTF(3, 4);
static void because(struct ce_rollback_plan *plan, enum ce_strategy strategy, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(plan->reason, sizeof plan->reason, fmt, args);
    va_end(args);
    plan->strategy = strategy;
}

/* Steps are worth their time only where they can be made, and where they prolong no damage. */
static void plan_auto(struct ce_rollback_plan *plan, const struct ce_rollback_spec *spec,
                      const struct ce_rollback_means *means)
{
    if (means->trials)
        because(plan, CE_STRATEGY_IMMEDIATE,
                "auto: immediate, since no trial of a batch job runs during rollback");
    else if (means->trains)
        because(plan, CE_STRATEGY_IMMEDIATE,
                "auto: immediate, since the pipeline meets %s only when it trains", means->fault);
    else if (!means->adjusts)
        because(plan, CE_STRATEGY_IMMEDIATE, "auto: immediate, since %s is on or off",
                means->fault);
    else if (means->errors > spec->failure_threshold)
        because(plan, CE_STRATEGY_IMMEDIATE,
                "auto: immediate, since %.0f %% of the operations failed under %s, and steps would "
                "prolong that",
                100 * means->errors, means->fault);
    else if (!spec->wants_steps)
        because(plan, CE_STRATEGY_IMMEDIATE,
                "auto: immediate, since the pipeline bore %s and gains nothing by steps",
                means->fault);
    else
        because(plan, CE_STRATEGY_GRADUAL,
                "auto: gradual, since %s has an intensity and the pipeline bore it", means->fault);
}

static void plan_ended(struct ce_rollback_plan *plan)
{
    const char *name = ce_strategy_name(plan->strategy);
    if (plan->strategy == CE_STRATEGY_AUTO || plan->strategy == CE_STRATEGY_IMMEDIATE)
        plan->strategy = CE_STRATEGY_IMMEDIATE;
    else
        because(plan, CE_STRATEGY_IMMEDIATE, "%s gave way to immediate, since the run had to end",
                name);
}

/* One that cannot be done gives way to the next best. */
static void plan_asked(struct ce_rollback_plan *plan, const struct ce_rollback_means *means)
{
    const char *name = ce_strategy_name(plan->strategy);
    if (plan->strategy == CE_STRATEGY_CANARY && !means->spares && means->adjusts) {
        because(plan, CE_STRATEGY_GRADUAL,
                "canary is not possible, since no share of the traffic can be spared by %s: "
                "gradual, with one step at intensity %g",
                means->fault, 1 - plan->share);
        plan->parts = 0;
    } else if (plan->strategy == CE_STRATEGY_CANARY && !means->spares) {
        because(plan, CE_STRATEGY_IMMEDIATE,
                "canary is not possible, since %s is on or off for all alike: immediate",
                means->fault);
    } else if (plan->strategy == CE_STRATEGY_GRADUAL && !means->adjusts) {
        because(plan, CE_STRATEGY_IMMEDIATE,
                "gradual is not possible, since %s is on or off: immediate", means->fault);
    } else if (plan->strategy == CE_STRATEGY_BLUE_GREEN && !means->standby) {
        because(plan, CE_STRATEGY_IMMEDIATE, "%s is not possible without a standby: immediate",
                name);
    } else if (plan->strategy == CE_STRATEGY_CIRCUIT_BREAKER && !means->opened) {
        because(plan, CE_STRATEGY_IMMEDIATE,
                "the circuit breaker never opened: immediate, at the end of the duration");
    }
}

struct ce_rollback_plan ce_rollback_plan(const struct ce_rollback_spec *spec,
                                         const struct ce_rollback_means *means)
{
    struct ce_rollback_plan plan = {
        .strategy = (enum ce_strategy)spec->strategy,
        .parts = (unsigned)spec->gradual_steps,
        .share = spec->canary_percentage / 100,
        .interval = spec->health_check_interval,
        .timeout = spec->timeout,
        .cool_down = spec->cool_down,
    };
    if (means->ended)
        plan_ended(&plan);
    else if (plan.strategy == CE_STRATEGY_AUTO)
        plan_auto(&plan, spec, means);
    else if (plan.strategy != CE_STRATEGY_IMMEDIATE && means->trials)
        because(&plan, CE_STRATEGY_IMMEDIATE,
                "%s is not possible, since no trial of a batch job runs during rollback: immediate",
                ce_strategy_name(plan.strategy));
    else
        plan_asked(&plan, means);
    return plan;
}
