/* SPDX-License-Identifier: MIT */
/* Rollback strategies: in which steps a fault is taken back.
 *
 * Everything here is pure: it is told the time and what became of the last move, and says what the
 * next one is. Who carries the moves out, and looks at the pipeline's health, is the controller.
 *
 *     immediate        revert
 *     gradual          adjust, check; adjust, check; ... revert
 *     canary           spare a share, check it, revert
 *     blue_green       switch to the standby, revert, check what stands behind it, switch back
 *     circuit_breaker  revert, rest, check; not healthy: rest, check; ...
 *
 * A check that finds the pipeline unhealthy is repeated; past the timeout, and whenever the run has
 * to end, whatever is left but putting back is left out. */
#ifndef CE_ROLLBACK_ROLLBACK_H
#define CE_ROLLBACK_ROLLBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "params/params.h"

enum ce_strategy {
    CE_STRATEGY_AUTO = 0,
    CE_STRATEGY_IMMEDIATE,
    CE_STRATEGY_GRADUAL,
    CE_STRATEGY_CANARY,
    CE_STRATEGY_BLUE_GREEN,
    CE_STRATEGY_CIRCUIT_BREAKER,
};
const char *ce_strategy_name(enum ce_strategy strategy);
extern const struct ce_choice ce_strategies[];

/* ---- what the document asks for ---- */

struct ce_rollback_spec {
    int strategy; /* enum ce_strategy */
    int64_t gradual_steps;
    int64_t health_check_interval; /* ns, as all times here */
    double failure_threshold;      /* of the operations may fail, and the pipeline is healthy */
    double canary_percentage;
    int64_t timeout;
    int64_t window, cool_down; /* of circuit_breaker */
    char *standby;             /* of blue_green: a URL; NULL: none */
    bool wants_steps;          /* the document says how steps are to be made */
};
extern const struct ce_param ce_rollback_params[];

/* How long a rollback may take beyond putting back, ns. */
int64_t ce_rollback_longest(const struct ce_rollback_spec *spec);

/* ---- what is done ---- */

/* What there is to work with. */
struct ce_rollback_means {
    const char *fault;
    bool adjusts;  /* the fault's intensity can be changed */
    bool spares;   /* a share of the requests can be spared by it */
    bool standby;  /* there is one */
    bool trials;   /* of a batch job are what is measured, and none runs during rollback */
    bool trains;   /* the pipeline meets the fault only when it trains */
    bool opened;   /* the breaker has */
    bool ended;    /* the run has: there is nothing to wait for */
    double errors; /* the share of the operations that failed under the fault; NaN: unknown */
};

struct ce_rollback_plan {
    enum ce_strategy strategy; /* never auto */
    unsigned parts;            /* gradual: equal steps from 1 to 0; 0: one at `share` less */
    double share;              /* that a canary spares */
    int64_t interval, timeout, cool_down;
    char reason[320]; /* why this strategy; "": it is the one that was asked for */
};
struct ce_rollback_plan ce_rollback_plan(const struct ce_rollback_spec *spec,
                                         const struct ce_rollback_means *means);

enum ce_move_kind {
    CE_MOVE_ADJUST = 0,  /* the fault, to `intensity` */
    CE_MOVE_SPARE,       /* that share of the requests */
    CE_MOVE_SWITCH,      /* traffic to the standby */
    CE_MOVE_REVERT,      /* everything */
    CE_MOVE_SWITCH_BACK, /* traffic to what the fault was in */
    CE_MOVE_REST,        /* wait for `wait` */
    CE_MOVE_CHECK,       /* the pipeline's health, for `wait` */
    CE_MOVE_END,
};
struct ce_move {
    enum ce_move_kind kind;
    double intensity; /* that is left of the fault, after the move */
    double share;
    int64_t wait;
    bool cut; /* the timeout leaves less than the strategy asks for: a check does not see enough */
};

enum ce_hurry {
    CE_HURRY_NONE = 0,
    CE_HURRY_LATE,    /* past the timeout */
    CE_HURRY_FAILED,  /* a move could not be made */
    CE_HURRY_STOPPED, /* the run has to end */
};

struct ce_rollback {
    struct ce_rollback_plan plan;
    int64_t deadline;
    unsigned at;         /* of the moves that the strategy is made of */
    struct ce_move last; /* its `kind` is CE_MOVE_END before the first one */
    bool begun, switched;
    enum ce_hurry hurry; /* why it gave way to immediate */
};

void ce_rollback_begin(struct ce_rollback *rollback, const struct ce_rollback_plan *plan,
                       int64_t now);
/* From now on nothing is waited for; the first reason stands. */
void ce_rollback_hurry(struct ce_rollback *rollback, enum ce_hurry why);
/* The next move. `good`: the last one could be made, or its check found the pipeline healthy; of no
 * matter at first. To be called again once the move is made; CE_MOVE_END is the last. */
struct ce_move ce_rollback_next(struct ce_rollback *rollback, int64_t now, bool good);

/* Whether so many operations of which so many failed are a healthy pipeline's. What the fault does
 * by itself is allowed for: `errors` of them at full intensity, of which `intensity` is left. */
bool ce_rollback_healthy(uint64_t ended, uint64_t failed, double threshold, double intensity,
                         double errors);

/* What reports call what happened in a step: "opened". NULL ends the list. */
extern const char *const ce_rollback_events[];
/* The one of that name, which lives for ever; NULL: none. */
const char *ce_rollback_event(const char *name);

/* ---- the circuit breaker ---- */

enum { CE_BREAKER_SLOTS = 64, CE_BREAKER_MINIMUM = 10 };

/* Opens once the share of failures in the window is at the threshold. */
struct ce_breaker {
    double threshold;
    int64_t window;
    struct {
        int64_t number; /* of the slot since the clock's zero */
        uint32_t ended, failed;
    } slots[CE_BREAKER_SLOTS];
    int64_t latest;
    bool opened;
    double ratio; /* when it did */
};
void ce_breaker_init(struct ce_breaker *breaker, double threshold, int64_t window);
/* An operation that ended at `at`. Whether the breaker is open. */
bool ce_breaker_add(struct ce_breaker *breaker, int64_t at, bool ok);

#endif
