/* SPDX-License-Identifier: MIT */
/* The keys of `rollback`, and the words of the strategies. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "rollback/rollback.h"

#define HOURS (3600 * (double)CE_SECOND)

const struct ce_choice ce_strategies[] = {
    {"auto", CE_STRATEGY_AUTO,
     "immediate; or gradual, if the mapping says how steps are to be made and they suit the fault"},
    {"immediate", CE_STRATEGY_IMMEDIATE, "everything is put back at once"},
    {"gradual", CE_STRATEGY_GRADUAL, "the intensity goes down in steps, each with a health check"},
    {"canary", CE_STRATEGY_CANARY,
     "a share of the traffic is spared first and checked, then the rest"},
    {"blue_green", CE_STRATEGY_BLUE_GREEN,
     "traffic goes to a standby while the fault is put back behind it"},
    {"circuit_breaker", CE_STRATEGY_CIRCUIT_BREAKER,
     "begins by itself when too many operations fail, and checks until the pipeline is healthy"},
    {NULL, 0, NULL},
};

const struct ce_param ce_rollback_params[] = {
    CE_CHOICE(struct ce_rollback_spec, strategy, .choices = ce_strategies, .def = "auto",
              .doc = "How the fault is put back."),
    CE_INTEGER(struct ce_rollback_spec, gradual_steps, .min = 1, .max = 100, .def = "5",
               .doc = "Of gradual: in how many equal steps."),
    CE_SECONDS(struct ce_rollback_spec, health_check_interval, .min = 100 * CE_MILLISECOND,
               .max = HOURS, .def = "5", .doc = "How long a health check looks."),
    CE_RATE(struct ce_rollback_spec, failure_threshold, .def = "0.1",
            .doc = "How many of the operations may fail, and the pipeline counts as healthy; "
                   "circuit_breaker opens there."),
    CE_NUMBER(struct ce_rollback_spec, canary_percentage, .min = 0.1, .max = 100, .def = "10",
              .unit = "%", .doc = "Of canary: the share of the traffic that comes first."),
    {.name = "timeout_seconds",
     .type = CE_PARAM_SECONDS,
     .offset = CE_PARAM_FIELD_(struct ce_rollback_spec, timeout, int64_t),
     .min = 100 * CE_MILLISECOND,
     .max = 24 * HOURS,
     .def = "300",
     .doc = "Past it, everything is put back at once."},
    CE_SECONDS(struct ce_rollback_spec, window, .min = 100 * CE_MILLISECOND, .max = HOURS,
               .def = "10s", .doc = "Of circuit_breaker: how far back it counts."),
    CE_SECONDS(struct ce_rollback_spec, cool_down, .min = 0, .max = HOURS, .def = "5s",
               .doc = "Of circuit_breaker: how long it waits before it looks."),
    CE_TEXT(struct ce_rollback_spec, standby, .def = "",
            .doc = "Of blue_green and a pipeline of kind http: the URL of another server."),
    CE_END_PARAMS,
};

const char *ce_strategy_name(enum ce_strategy strategy)
{
    return ce_strategies[strategy].name;
}

int64_t ce_rollback_longest(const struct ce_rollback_spec *spec)
{
    bool is_short = spec->strategy == CE_STRATEGY_IMMEDIATE ||
                    (spec->strategy == CE_STRATEGY_AUTO && !spec->wants_steps);
    return is_short ? 0 : spec->timeout + spec->health_check_interval;
}

const char *const ce_rollback_events[] = {"spared", "switched",  "switched_back", "paused",
                                          "opened", "half_open", "closed",        NULL};

const char *ce_rollback_event(const char *name)
{
    for (const char *const *event = ce_rollback_events; *event; event++)
        if (strcmp(*event, name) == 0)
            return *event;
    return NULL;
}
