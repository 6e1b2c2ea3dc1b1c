/* SPDX-License-Identifier: MIT */
/* Rollback strategies: which moves each makes, what it gives way to, and what holds for any health
 * of the pipeline. */
#include <math.h>

#include "base/clock.h"
#include "base/random.h"
#include "check.h"
#include "rollback/rollback.h"

static struct ce_rollback_spec spec_of(enum ce_strategy strategy)
{
    struct ce_rollback_spec spec = {0};
    struct ce_error err = {0};
    if (ce_params_init(ce_rollback_params, &spec, &err) < 0)
        abort();
    spec.strategy = (int)strategy;
    return spec;
}

/* Whatever a fault and a pipeline can offer. */
static struct ce_rollback_means all_means(void)
{
    return (struct ce_rollback_means){.fault = "slow_inference",
                                      .adjusts = true,
                                      .spares = true,
                                      .standby = true,
                                      .opened = true,
                                      .errors = 0};
}

static struct ce_rollback start(enum ce_strategy strategy)
{
    const struct ce_rollback_spec spec = spec_of(strategy);
    const struct ce_rollback_means means = all_means();
    const struct ce_rollback_plan plan = ce_rollback_plan(&spec, &means);
    struct ce_rollback rollback;
    ce_rollback_begin(&rollback, &plan, 0);
    return rollback;
}

/* Carries moves out in no time, but for waiting. `health`: of each check in turn, as letters:
 * "+-+"; beyond its end the last one stands. Writes what was done: "a0.8 c a0.6 c ... R". */
static int64_t walk(struct ce_rollback *rollback, const char *health, char *text, size_t size)
{
    int64_t now = 0;
    bool good = true;
    size_t used = 0;
    for (;;) {
        struct ce_move move = ce_rollback_next(rollback, now, good);
        good = true;
        const char *sep = used > 0 ? " " : "";
        if (move.kind == CE_MOVE_END)
            return now;
        if (move.kind == CE_MOVE_ADJUST || move.kind == CE_MOVE_SPARE)
            used += (size_t)snprintf(text + used, size - used, "%s%c%g", sep,
                                     move.kind == CE_MOVE_ADJUST ? 'a' : 's',
                                     move.kind == CE_MOVE_ADJUST ? move.intensity : move.share);
        else
            used += (size_t)snprintf(text + used, size - used, "%s%c", sep, "..!R<rc"[move.kind]);
        now += move.wait > 0 && (move.kind == CE_MOVE_CHECK || move.kind == CE_MOVE_REST)
                   ? move.wait
                   : 0;
        if (move.kind == CE_MOVE_CHECK) {
            good = *health == '+';
            if (health[1] != '\0')
                health++;
        }
    }
}

/* ---- the strategies ---- */

static void defaults_are_the_documented_ones(void)
{
    struct ce_rollback_spec spec = spec_of(CE_STRATEGY_AUTO);
    CHECK(spec.gradual_steps == 5 && spec.health_check_interval == 5 * CE_SECOND);
    CHECK(spec.failure_threshold == 0.1 && spec.canary_percentage == 10);
    CHECK(spec.timeout == 300 * CE_SECOND && spec.window == 10 * CE_SECOND);
    CHECK(spec.cool_down == 5 * CE_SECOND && !spec.standby);
    CHECK_TEXT(ce_strategy_name(CE_STRATEGY_AUTO), "auto");
    CHECK_TEXT(ce_strategy_name(CE_STRATEGY_CIRCUIT_BREAKER), "circuit_breaker");
}

static void healthy_pipelines_see_each_move_once(void)
{
    static const struct {
        enum ce_strategy strategy;
        const char *moves;
        int64_t seconds;
    } cases[] = {
        {CE_STRATEGY_IMMEDIATE, "R", 0},
        {CE_STRATEGY_GRADUAL, "a0.8 c a0.6 c a0.4 c a0.2 c R", 20},
        {CE_STRATEGY_CANARY, "s0.1 c R", 5},
        {CE_STRATEGY_BLUE_GREEN, "! R c <", 5},
        {CE_STRATEGY_CIRCUIT_BREAKER, "R r c", 10},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char text[256] = "";
        struct ce_rollback rollback = start(cases[i].strategy);
        int64_t took = walk(&rollback, "+", text, sizeof text);
        CHECK_TEXT(text, cases[i].moves);
        CHECK(took == cases[i].seconds * CE_SECOND);
        CHECK(rollback.hurry == CE_HURRY_NONE);
    }
}

static void unhealthy_ones_are_looked_at_again(void)
{
    static const struct {
        enum ce_strategy strategy;
        const char *health, *moves;
    } cases[] = {
        {CE_STRATEGY_GRADUAL, "+--+", "a0.8 c a0.6 c c c a0.4 c a0.2 c R"},
        {CE_STRATEGY_CANARY, "-+", "s0.1 c c R"},
        {CE_STRATEGY_BLUE_GREEN, "-+", "! R c c <"},
        {CE_STRATEGY_CIRCUIT_BREAKER, "-+", "R r c r c"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char text[256] = "";
        struct ce_rollback rollback = start(cases[i].strategy);
        (void)walk(&rollback, cases[i].health, text, sizeof text);
        CHECK_TEXT(text, cases[i].moves);
    }
}

static void past_the_timeout_it_is_immediate(void)
{
    static const enum ce_strategy waiting[] = {CE_STRATEGY_GRADUAL, CE_STRATEGY_CANARY,
                                               CE_STRATEGY_BLUE_GREEN, CE_STRATEGY_CIRCUIT_BREAKER};
    for (size_t i = 0; i < CE_COUNT(waiting); i++) {
        char text[1024] = "";
        struct ce_rollback rollback = start(waiting[i]);
        int64_t took = walk(&rollback, "-", text, sizeof text);
        CHECK(took == 300 * CE_SECOND);
        CHECK(rollback.hurry == CE_HURRY_LATE);
        const char *last = strrchr(text, ' ') + 1;
        CHECK_TEXT(last, waiting[i] == CE_STRATEGY_BLUE_GREEN        ? "<"
                         : waiting[i] == CE_STRATEGY_CIRCUIT_BREAKER ? "c"
                                                                     : "R");
    }
}

static void a_check_that_the_timeout_cuts_short_is_none(void)
{
    struct ce_rollback rollback = start(CE_STRATEGY_CANARY);
    int64_t end = 300 * CE_SECOND, interval = rollback.plan.interval;
    CHECK(ce_rollback_next(&rollback, 0, true).kind == CE_MOVE_SPARE);
    struct ce_move move = ce_rollback_next(&rollback, end - interval, true);
    CHECK(move.kind == CE_MOVE_CHECK && move.wait == interval && !move.cut);
    move = ce_rollback_next(&rollback, end - interval + 1, false);
    CHECK(move.kind == CE_MOVE_CHECK && move.wait == interval - 1 && move.cut);
    CHECK(ce_rollback_next(&rollback, end, false).kind == CE_MOVE_REVERT);
    CHECK(rollback.hurry == CE_HURRY_LATE);
}

/* A move that cannot be made, and a run that has to end, leave nothing but putting back. */
static void a_hurry_leaves_only_putting_back(void)
{
    struct ce_rollback rollback = start(CE_STRATEGY_GRADUAL);
    CHECK(ce_rollback_next(&rollback, 0, true).kind == CE_MOVE_ADJUST);
    CHECK(ce_rollback_next(&rollback, 0, false).kind == CE_MOVE_REVERT);
    CHECK(ce_rollback_next(&rollback, 0, true).kind == CE_MOVE_END);
    CHECK(rollback.hurry == CE_HURRY_FAILED);

    rollback = start(CE_STRATEGY_BLUE_GREEN);
    CHECK(ce_rollback_next(&rollback, 0, true).kind == CE_MOVE_SWITCH);
    ce_rollback_hurry(&rollback, CE_HURRY_STOPPED);
    CHECK(ce_rollback_next(&rollback, 0, true).kind == CE_MOVE_REVERT);
    CHECK(ce_rollback_next(&rollback, 0, true).kind == CE_MOVE_SWITCH_BACK);
    CHECK(ce_rollback_next(&rollback, 0, true).kind == CE_MOVE_END);

    rollback = start(CE_STRATEGY_BLUE_GREEN); /* what was never switched is not switched back */
    CHECK(ce_rollback_next(&rollback, 0, true).kind == CE_MOVE_SWITCH);
    CHECK(ce_rollback_next(&rollback, 0, false).kind == CE_MOVE_REVERT);
    CHECK(ce_rollback_next(&rollback, 0, true).kind == CE_MOVE_END);
}

/* ---- the plan ---- */

static void check_plan(enum ce_strategy asked, const struct ce_rollback_means *means,
                       bool wants_steps, enum ce_strategy want, const char *reason)
{
    struct ce_rollback_spec spec = spec_of(asked);
    spec.wants_steps = wants_steps;
    struct ce_rollback_plan plan = ce_rollback_plan(&spec, means);
    CHECK(plan.strategy == want);
    CHECK_TEXT(plan.reason, reason);
}

static void what_is_not_possible_gives_way(void)
{
    struct ce_rollback_means means = all_means();
    for (int i = CE_STRATEGY_IMMEDIATE; i <= CE_STRATEGY_CIRCUIT_BREAKER; i++)
        check_plan((enum ce_strategy)i, &means, false, (enum ce_strategy)i, "");

    means = all_means();
    means.opened = means.standby = means.spares = false;
    check_plan(CE_STRATEGY_CANARY, &means, false, CE_STRATEGY_GRADUAL,
               "canary is not possible, since no share of the traffic can be spared by "
               "slow_inference: gradual, with one step at intensity 0.9");
    check_plan(CE_STRATEGY_BLUE_GREEN, &means, false, CE_STRATEGY_IMMEDIATE,
               "blue_green is not possible without a standby: immediate");
    check_plan(CE_STRATEGY_CIRCUIT_BREAKER, &means, false, CE_STRATEGY_IMMEDIATE,
               "the circuit breaker never opened: immediate, at the end of the duration");
    means.adjusts = false;
    check_plan(CE_STRATEGY_CANARY, &means, false, CE_STRATEGY_IMMEDIATE,
               "canary is not possible, since slow_inference is on or off for all alike: "
               "immediate");
    check_plan(CE_STRATEGY_GRADUAL, &means, false, CE_STRATEGY_IMMEDIATE,
               "gradual is not possible, since slow_inference is on or off: immediate");
    means = all_means();
    means.trials = true;
    for (int i = CE_STRATEGY_GRADUAL; i <= CE_STRATEGY_CIRCUIT_BREAKER; i++) {
        char reason[160];
        snprintf(reason, sizeof reason,
                 "%s is not possible, since no trial of a batch job runs during rollback: "
                 "immediate",
                 ce_strategy_name((enum ce_strategy)i));
        check_plan((enum ce_strategy)i, &means, false, CE_STRATEGY_IMMEDIATE, reason);
    }
}

static void a_run_that_has_ended_waits_for_nothing(void)
{
    struct ce_rollback_means means = all_means();
    means.ended = true;
    check_plan(CE_STRATEGY_AUTO, &means, true, CE_STRATEGY_IMMEDIATE, "");
    check_plan(CE_STRATEGY_IMMEDIATE, &means, false, CE_STRATEGY_IMMEDIATE, "");
    check_plan(CE_STRATEGY_CANARY, &means, false, CE_STRATEGY_IMMEDIATE,
               "canary gave way to immediate, since the run had to end");
}

static void a_canary_without_a_share_is_one_step(void)
{
    struct ce_rollback_spec spec = spec_of(CE_STRATEGY_CANARY);
    struct ce_rollback_means means = all_means();
    char text[64] = "";
    struct ce_rollback rollback;
    means.spares = false;
    struct ce_rollback_plan plan = ce_rollback_plan(&spec, &means);
    ce_rollback_begin(&rollback, &plan, 0);
    (void)walk(&rollback, "+", text, sizeof text);
    CHECK_TEXT(text, "a0.9 c R");
}

static void auto_says_why(void)
{
    struct ce_rollback_means means = all_means();
    check_plan(CE_STRATEGY_AUTO, &means, false, CE_STRATEGY_IMMEDIATE,
               "auto: immediate, since the pipeline bore slow_inference and gains nothing by "
               "steps");
    check_plan(CE_STRATEGY_AUTO, &means, true, CE_STRATEGY_GRADUAL,
               "auto: gradual, since slow_inference has an intensity and the pipeline bore it");
    means.errors = 0.5;
    check_plan(CE_STRATEGY_AUTO, &means, true, CE_STRATEGY_IMMEDIATE,
               "auto: immediate, since 50 % of the operations failed under slow_inference, and "
               "steps would prolong that");
    means.adjusts = false;
    check_plan(CE_STRATEGY_AUTO, &means, true, CE_STRATEGY_IMMEDIATE,
               "auto: immediate, since slow_inference is on or off");
    means.trains = true;
    check_plan(CE_STRATEGY_AUTO, &means, true, CE_STRATEGY_IMMEDIATE,
               "auto: immediate, since the pipeline meets slow_inference only when it trains");
    means.trials = true;
    check_plan(CE_STRATEGY_AUTO, &means, true, CE_STRATEGY_IMMEDIATE,
               "auto: immediate, since no trial of a batch job runs during rollback");
}

/* ---- health ---- */

static void health_allows_for_what_the_fault_does(void)
{
    CHECK(ce_rollback_healthy(10, 1, 0.1, 0, NAN));
    CHECK(!ce_rollback_healthy(10, 2, 0.1, 0, NAN));
    CHECK(!ce_rollback_healthy(0, 0, 0.1, 0, NAN)); /* silence is no health */
    CHECK(ce_rollback_healthy(10, 5, 0.1, 0.4, 1));
    CHECK(!ce_rollback_healthy(10, 6, 0.1, 0.4, 1));
    CHECK(!ce_rollback_healthy(10, 5, 0.1, 0, 1)); /* nothing is left of the fault */
}

static void the_breaker_opens_at_its_threshold(void)
{
    struct ce_breaker breaker;
    ce_breaker_init(&breaker, 0.5, 10 * CE_SECOND);
    for (int i = 0; i < 9; i++)
        CHECK(!ce_breaker_add(&breaker, i * CE_MILLISECOND, i >= 5)); /* too few to tell */
    CHECK(ce_breaker_add(&breaker, 9 * CE_MILLISECOND, true));
    CHECK(breaker.ratio == 0.5);

    ce_breaker_init(&breaker, 0, CE_SECOND); /* no failure at all opens nothing */
    for (int i = 0; i < 100; i++)
        CHECK(!ce_breaker_add(&breaker, i * CE_MILLISECOND, true));
}

static void the_breaker_forgets(void)
{
    struct ce_breaker breaker;
    ce_breaker_init(&breaker, 0.5, CE_SECOND);
    for (int i = 0; i < 9; i++)
        CHECK(!ce_breaker_add(&breaker, i, false));
    for (int i = 0; i < 20; i++)
        CHECK(!ce_breaker_add(&breaker, 2 * CE_SECOND + i, i >= 4));
    for (int i = 0; i < 20; i++)
        CHECK(!ce_breaker_add(&breaker, i, false)); /* too old to count */
    for (int i = 20; i < 31; i++)
        CHECK(!ce_breaker_add(&breaker, 2 * CE_SECOND + i, false));
    CHECK(ce_breaker_add(&breaker, 2 * CE_SECOND + 31, false)); /* 16 of 32 */
}

static void events_are_found_by_name(void)
{
    CHECK_TEXT(ce_rollback_event("half_open"), "half_open");
    CHECK(ce_rollback_event("half") == NULL);
}

/* ---- whatever comes ---- */

struct dice {
    struct ce_stream stream;
    uint64_t thrown;
};

static uint32_t below(struct dice *dice, uint32_t bound)
{
    return ce_stream_below(&dice->stream, dice->thrown++, bound);
}

static struct ce_rollback_spec random_spec(struct dice *dice)
{
    struct ce_rollback_spec spec = spec_of((enum ce_strategy)below(dice, 6));
    spec.wants_steps = below(dice, 2);
    spec.gradual_steps = 1 + below(dice, 20);
    spec.health_check_interval = (1 + below(dice, 100)) * 100 * CE_MILLISECOND;
    spec.canary_percentage = 1 + below(dice, 100);
    spec.timeout = (1 + below(dice, 600)) * 100 * CE_MILLISECOND;
    spec.cool_down = below(dice, 100) * 100 * CE_MILLISECOND;
    return spec;
}

/* A rollback with moves that fail and take their time, checks that turn out this way or that, and
 * once in a while a stop. */
static void one_rollback(struct dice *dice)
{
    const struct ce_rollback_spec spec = random_spec(dice);
    const struct ce_rollback_means means = {.fault = "f",
                                            .adjusts = below(dice, 2),
                                            .spares = below(dice, 2),
                                            .standby = below(dice, 2),
                                            .trials = below(dice, 8) == 0,
                                            .opened = below(dice, 2),
                                            .errors = below(dice, 2) ? NAN : 0.05};
    const struct ce_rollback_plan plan = ce_rollback_plan(&spec, &means);
    struct ce_rollback rollback;
    int64_t begun = 1000, now = begun;
    double intensity = 1;
    unsigned reverts = 0, away = 0, unhealthy = below(dice, 11), stops = below(dice, 40);
    bool good = true;
    ce_rollback_begin(&rollback, &plan, begun);
    for (;;) {
        struct ce_move move = ce_rollback_next(&rollback, now, good);
        if (move.kind == CE_MOVE_END)
            break;
        bool waits = move.kind == CE_MOVE_CHECK || move.kind == CE_MOVE_REST;
        REQUIRE(now - begun < spec.timeout || !waits);
        CHECK(move.intensity <= intensity);
        CHECK(move.wait >= 0 &&
              now + move.wait - begun <= spec.timeout + spec.health_check_interval);
        intensity = move.intensity;
        reverts += move.kind == CE_MOVE_REVERT;
        good = move.kind == CE_MOVE_CHECK ? below(dice, 10) >= unhealthy : below(dice, 20) > 0;
        away += move.kind == CE_MOVE_SWITCH && good;
        away -= move.kind == CE_MOVE_SWITCH_BACK;
        now += waits ? move.wait + 1 : 0;
        if (stops-- == 0)
            ce_rollback_hurry(&rollback, CE_HURRY_STOPPED);
        CHECK(means.adjusts || move.kind != CE_MOVE_ADJUST);
        CHECK(means.spares || move.kind != CE_MOVE_SPARE);
        CHECK(means.standby || move.kind != CE_MOVE_SWITCH);
    }
    CHECK(reverts == 1 && away == 0 && intensity == 0);
    CHECK(now - begun <= spec.timeout + spec.health_check_interval);
}

static void every_rollback_goes_down_and_ends(void)
{
    struct dice dice = {.stream = ce_stream_init(11, "test_rollback", "random")};
    for (int i = 0; i < 20000 && check_failures == 0; i++)
        one_rollback(&dice);
}

int main(void)
{
    TEST(defaults_are_the_documented_ones);
    TEST(healthy_pipelines_see_each_move_once);
    TEST(unhealthy_ones_are_looked_at_again);
    TEST(past_the_timeout_it_is_immediate);
    TEST(a_check_that_the_timeout_cuts_short_is_none);
    TEST(a_hurry_leaves_only_putting_back);
    TEST(what_is_not_possible_gives_way);
    TEST(a_run_that_has_ended_waits_for_nothing);
    TEST(a_canary_without_a_share_is_one_step);
    TEST(auto_says_why);
    TEST(health_allows_for_what_the_fault_does);
    TEST(the_breaker_opens_at_its_threshold);
    TEST(the_breaker_forgets);
    TEST(events_are_found_by_name);
    TEST(every_rollback_goes_down_and_ends);
    return test_done();
}
