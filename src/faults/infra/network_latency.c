/* SPDX-License-Identifier: MIT */
/* network_latency: packets take longer.
 *
 * Those that enter the target are delayed, one way, so that the round trip grows by `latency_ms`:
 * by netem where the kernel has it, else by a process of ours behind a packet queue. Connections
 * that the target has already, its new ones, and datagrams are all delayed alike; what other
 * processes send and receive is not. Packets of one connection do not overtake each other unless
 * `keep_order` is false: paths of the real world seldom reorder, and TCP takes reordering for loss.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "faults/infra/packet_fault.h"
#include "host/packets/delay_queue.h"

enum { BY_AUTO, BY_NETEM, BY_NFQUEUE };

struct network_latency {
    double latency_ms, jitter_ms, correlation;
    int distribution, direction, mechanism;
    bool keep_order;
};

static const struct ce_choice distributions[] = {
    {"uniform", CE_DELAY_UNIFORM, "latency_ms plus or minus jitter_ms at most"},
    {"normal", CE_DELAY_NORMAL, "jitter_ms is the standard deviation"},
    {"pareto", CE_DELAY_PARETO, "latency_ms at least; jitter_ms is the mean of what is added"},
    {NULL, 0, NULL},
};
static const struct ce_choice mechanisms[] = {
    {"auto", BY_AUTO, "netem where the kernel has it, else nfqueue"},
    {"netem", BY_NETEM, "a queueing discipline of the kernel"},
    {"nfqueue", BY_NFQUEUE, "rules of nf_tables lead packets to a process that delays them"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_NUMBER(struct network_latency, latency_ms, .min = 0, .max = 600000, .def = "100",
              .unit = "ms", .doc = "Time added to each packet's way."),
    CE_NUMBER(struct network_latency, jitter_ms, .min = 0, .max = 600000, .def = "20", .unit = "ms",
              .doc = "How much that varies from packet to packet; never below nothing."),
    CE_CHOICE(struct network_latency, distribution, .choices = distributions, .def = "uniform",
              .doc = "How it varies."),
    CE_RATE(struct network_latency, correlation, .def = "0",
            .doc = "How much a packet's variation follows that of the packet before."),
    CE_BOOL(struct network_latency, keep_order, .def = "true",
            .doc = "Packets of one connection stay in order (by netem: all packets)."),
    CE_CHOICE(struct network_latency, direction, .choices = ce_packet_directions, .def = "in",
              .doc = "Which packets are delayed."),
    CE_CHOICE(struct network_latency, mechanism, .choices = mechanisms, .def = "auto",
              .doc = "How they are delayed."),
    CE_END_PARAMS,
};

enum { DATAGRAMS = 400 };
/* What the witness itself is good for. */
static const int64_t accuracy = CE_MILLISECOND;

static struct ce_packet_deed deed_of(const struct network_latency *want)
{
    return (struct ce_packet_deed){
        .kind = CE_PACKETS_DELAY,
        .delay = (int64_t)(want->latency_ms * (double)CE_MILLISECOND),
        .jitter = (int64_t)(want->jitter_ms * (double)CE_MILLISECOND),
        .distribution = (enum ce_delay_distribution)want->distribution,
        .correlation = want->correlation,
        .keep_order = want->keep_order,
    };
}

static int check(const void *p, struct ce_error *err)
{
    const struct network_latency *want = p;
    if (want->correlation > 0 && want->jitter_ms == 0)
        return ce_fail(err, EINVAL,
                       "correlation: %g plays no part with jitter_ms 0: nothing varies that could "
                       "follow",
                       want->correlation);
    return 0;
}

static bool is_control(const void *p)
{
    struct ce_packet_deed deed = deed_of(p);
    return deed.delay == 0 && deed.jitter == 0;
}

static bool available(char *reason, size_t size)
{
    return ce_packets_available(CE_PACKETS_DELAY, reason, size);
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct network_latency *want = injection->params;
    struct ce_packet_fault *state = injection->state;
    struct ce_packet_deed deed = deed_of(want);
    CE_TRY(ce_packet_fault_find(injection, state, want->direction, err));
    return ce_packet_fault_begin(injection, state, &deed, mechanisms[want->mechanism].name, err);
}

/* ---- verify ---- */

static double ms(int64_t ns)
{
    return (double)ns / (double)CE_MILLISECOND;
}

/* How far the median of a sample may be from the distribution's by chance: four standard errors. A
 * correlated sample says as much as a smaller one. Order that is kept adds to the delays. */
static void margins(const struct ce_packet_deed *deed, size_t count, unsigned passes,
                    int64_t *ret_below, int64_t *ret_above)
{
    double n = (double)count * (1 - deed->correlation) / (1 + deed->correlation);
    double chance = 4 * 1.3 * (double)deed->jitter * sqrt((double)passes / (n > 1 ? n : 1));
    int64_t most = deed->jitter * passes;
    *ret_below = accuracy + (chance < (double)most ? (int64_t)chance : most);
    *ret_above = *ret_below + (deed->keep_order ? most : 0);
}

/* A machine that is short of processor time makes packets later than asked, never earlier. */
static const int64_t late_by = 50 * CE_MILLISECOND;

/* One line of what was seen; whether it is what was asked. */
static bool judge(const struct ce_packet_fault *state, const char *what, unsigned passes,
                  const struct ce_packet_seen *before, const struct ce_packet_seen *now, char *text,
                  size_t size)
{
    int64_t below, above, median = ce_delay_median(&state->deed) * passes;
    int64_t added = now->p50 - before->p50;
    if (now->received < now->sent / 10 || now->received == 0) {
        snprintf(text, size, "%zu of %zu %s arrived", now->received, now->sent, what);
        return false;
    }
    margins(&state->deed, now->received, passes, &below, &above);
    snprintf(
        text, size,
        "%zu %s took %.2f ms more (p50; before: %.2f; asked: %.2f; accuracy %.1f ms; p99 %.2f, "
        "spread %.2f)",
        now->received, what, ms(added), ms(before->p50), ms(median), ms(below), ms(now->p99),
        ms(now->spread));
    return added >= median - below && added <= median + above + median / 2 + late_by &&
           added > below / 4;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    struct ce_packet_fault *state = injection->state;
    enum ce_packet_direction direction = state->subject.packets.direction;
    struct ce_packet_view view = {0};
    char first[160] = "", second[160] = "";
    bool seen = true;
    if (state->witness == CE_WITNESS_COUNTERS)
        return ce_packet_fault_await_hits(state, "delayed", ret_evidence, err);
    CE_TRY(ce_packet_fault_look(state, DATAGRAMS, &view, err));
    if (state->witness == CE_WITNESS_CONNECTIONS)
        seen = judge(state, "connections", ce_packet_fault_passes(state), &state->before.inward,
                     &view.inward, first, sizeof first);
    else if (direction != CE_PACKETS_OUT)
        seen = judge(state, "datagrams in", 1, &state->before.inward, &view.inward, first,
                     sizeof first);
    if (state->witness == CE_WITNESS_DATAGRAMS && direction != CE_PACKETS_IN)
        seen &= judge(state, "datagrams out", 1, &state->before.outward, &view.outward, second,
                      sizeof second);
    snprintf(ret_evidence->text, sizeof ret_evidence->text, "%s: %s%s%s",
             ce_packets_means(state->packets), first, first[0] && second[0] ? "; " : "", second);
    return seen;
}

const struct ce_fault ce_fault_network_latency = {
    .name = "network_latency",
    .summary = "Delay the packets that enter the target",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_NETWORK,
    .params = params,
    .params_size = sizeof(struct network_latency),
    .state_size = sizeof(struct ce_packet_fault),
    .example = "{latency_ms: 200, jitter_ms: 50}",
    .available = available,
    .check = check,
    .is_control = is_control,
    .inject = inject,
    .verify = verify,
    .adjust = ce_packet_fault_adjust,
    .revert = ce_packet_fault_revert,
    .count = ce_packet_fault_count,
};
