/* SPDX-License-Identifier: MIT */
/* Arming and disarming: on one lane of the route after the other, each on its worker's thread. All
 * lanes have the same rules in the same order, but for the time that a change takes to go round: so
 * one change goes round at a time. */
#include "proxy/proxy_internal.h"

#include <stdlib.h>

#include "base/seam.h"

struct change {
    struct ce_lane *lane;
    struct ce_rule *rule;
};

static int lane_add(void *arg)
{
    const struct change *change = arg;
    ce_chain_add(&change->lane->chain, change->rule);
    return 0;
}

static int lane_remove(void *arg)
{
    const struct change *change = arg;
    ce_chain_remove(&change->lane->chain, change->rule);
    ce_pool_close_others(change->lane); /* they may have been the rule's */
    return 0;
}

static void change_lanes(struct ce_rule *rule, int (*change)(void *arg))
{
    struct ce_route *route = rule->route;
    for (unsigned i = 0; i < route->proxy->worker_count; i++) {
        struct ce_lane *lane = &route->lanes[i];
        (void)ce_worker_call(lane->worker, change, &(struct change){lane, rule});
    }
}

static int rule_add(struct ce_rule *rule)
{
    struct ce_route *route = rule->route;
    unsigned bit = 1;
    while (route->rule_bits & bit)
        bit <<= 1;
    if (bit >> CE_RULES_MAX)
        return -ENOSPC;
    if (rule->muted)
        return 0;
    route->rule_bits |= rule->bit = bit;
    change_lanes(rule, lane_add);
    return 0;
}

int ce_route_arm(struct ce_route *route, const struct ce_hook *hook, void *ctx,
                 struct ce_rule **ret_rule, struct ce_error *err)
{
    struct ce_rule *rule = calloc(1, sizeof *rule);
    if (!rule)
        return ce_fail_memory(err);
    *rule =
        (struct ce_rule){.route = route, .hook = hook, .ctx = ctx, .muted = ce_seam_no_effect()};
    ce_seam_step("rule armed");
    pthread_mutex_lock(&route->changing);
    int r = rule_add(rule);
    pthread_mutex_unlock(&route->changing);
    if (r < 0) {
        free(rule);
        return ce_fail(err, -r, "route '%s' has %d rules already, which is as many as it may have",
                       route->name, CE_RULES_MAX);
    }
    ce_seam_step("rule armed");
    *ret_rule = rule;
    return 0;
}

void ce_rule_disarm(struct ce_rule *rule)
{
    if (!rule)
        return;
    ce_seam_step("rule disarmed");
    struct ce_route *route = rule->route;
    pthread_mutex_lock(&route->changing);
    if (!rule->muted)
        change_lanes(rule, lane_remove);
    route->rule_bits &= ~rule->bit; /* a muted one has none */
    pthread_mutex_unlock(&route->changing);
    free(rule);
    ce_seam_step("rule disarmed");
}
