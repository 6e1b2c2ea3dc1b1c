/* SPDX-License-Identifier: MIT */
/* The strategies as lists of moves, and the walk through them. */
#include "rollback/rollback.h"

static struct ce_move gradual_move(const struct ce_rollback_plan *plan, unsigned at)
{
    unsigned stops = plan->parts > 0 ? plan->parts - 1 : 1, step = at / 2 + 1;
    if (step > stops)
        return (struct ce_move){.kind = at == 2 * stops ? CE_MOVE_REVERT : CE_MOVE_END};
    double left = plan->parts > 0 ? (double)(plan->parts - step) / plan->parts : 1 - plan->share;
    return (struct ce_move){.kind = at % 2 == 0 ? CE_MOVE_ADJUST : CE_MOVE_CHECK,
                            .intensity = left,
                            .wait = plan->interval};
}

/* The at-th move; beyond the last it is CE_MOVE_END. */
static struct ce_move move_at(const struct ce_rollback_plan *plan, unsigned at)
{
    double rest = 1 - plan->share;
    const struct ce_move revert = {.kind = CE_MOVE_REVERT};
    const struct ce_move check = {.kind = CE_MOVE_CHECK, .wait = plan->interval};
    const struct ce_move end = {.kind = CE_MOVE_END};
    const struct ce_move canary[] = {
        {.kind = CE_MOVE_SPARE, .intensity = rest, .share = plan->share},
        {.kind = CE_MOVE_CHECK, .intensity = rest, .share = plan->share, .wait = plan->interval},
        revert,
        end,
    };
    const struct ce_move blue_green[] = {
        {.kind = CE_MOVE_SWITCH, .intensity = 1}, revert, check, {.kind = CE_MOVE_SWITCH_BACK}, end,
    };
    const struct ce_move breaker[] = {
        revert,
        {.kind = CE_MOVE_REST, .wait = plan->cool_down},
        check,
        end,
    };
    switch (plan->strategy) {
    case CE_STRATEGY_GRADUAL:
        return gradual_move(plan, at);
    case CE_STRATEGY_CANARY:
        return canary[at];
    case CE_STRATEGY_BLUE_GREEN:
        return blue_green[at];
    case CE_STRATEGY_CIRCUIT_BREAKER:
        return breaker[at];
    case CE_STRATEGY_AUTO:
    case CE_STRATEGY_IMMEDIATE:
        break;
    }
    return at == 0 ? revert : end;
}

void ce_rollback_begin(struct ce_rollback *rollback, const struct ce_rollback_plan *plan,
                       int64_t now)
{
    *rollback = (struct ce_rollback){
        .plan = *plan,
        .deadline = now + plan->timeout,
        .last = {.kind = CE_MOVE_END, .intensity = 1},
    };
}

void ce_rollback_hurry(struct ce_rollback *rollback, enum ce_hurry why)
{
    if (rollback->hurry == CE_HURRY_NONE)
        rollback->hurry = why;
}

/* Where to go after the last move. */
static void advance(struct ce_rollback *rollback, bool good)
{
    enum ce_move_kind last = rollback->last.kind;
    if (!rollback->begun) {
        rollback->begun = true;
    } else if (last == CE_MOVE_CHECK && !good) {
        if (rollback->plan.strategy == CE_STRATEGY_CIRCUIT_BREAKER)
            rollback->at--; /* it cools down once more */
    } else if (last != CE_MOVE_END) {
        if (!good)
            ce_rollback_hurry(rollback, CE_HURRY_FAILED);
        if (last == CE_MOVE_SWITCH)
            rollback->switched = good;
        rollback->at++;
    }
}

/* In a hurry only what puts something back is done. */
static bool is_needed(const struct ce_rollback *rollback, const struct ce_move *move)
{
    return move->kind == CE_MOVE_REVERT || move->kind == CE_MOVE_END ||
           (move->kind == CE_MOVE_SWITCH_BACK && rollback->switched);
}

struct ce_move ce_rollback_next(struct ce_rollback *rollback, int64_t now, bool good)
{
    advance(rollback, good);
    struct ce_move move = move_at(&rollback->plan, rollback->at);
    bool waits =
        move.kind != CE_MOVE_REVERT && move.kind != CE_MOVE_SWITCH_BACK && move.kind != CE_MOVE_END;
    if (now >= rollback->deadline && waits)
        ce_rollback_hurry(rollback, CE_HURRY_LATE);
    while (rollback->hurry != CE_HURRY_NONE && !is_needed(rollback, &move))
        move = move_at(&rollback->plan, ++rollback->at);
    move.cut = move.wait > 0 && move.wait > rollback->deadline - now;
    if (move.cut)
        move.wait = rollback->deadline - now;
    rollback->last = move;
    return move;
}

bool ce_rollback_healthy(uint64_t ended, uint64_t failed, double threshold, double intensity,
                         double errors)
{
    double allowed = threshold + (errors > 0 ? intensity * errors : 0);
    return ended > 0 && (double)failed <= allowed * (double)ended;
}
