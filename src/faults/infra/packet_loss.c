/* SPDX-License-Identifier: MIT */
/* packet_loss: packets get lost on their way.
 *
 * Each packet that enters the target is dropped with that probability, or duplicated, corrupted or
 * sent out of turn where the kernel can do that (netem). Who sent it is not told: TCP notices and
 * repeats it, at the price of time. Where rules drop what leaves the target, its own socket does
 * see an error (EPERM). */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "faults/infra/packet_fault.h"

enum { BY_AUTO, BY_NETEM, BY_BPF, BY_NFT, BY_IPTABLES, BY_NFQUEUE };

struct packet_loss {
    double loss_rate, correlation, duplicate_rate, corrupt_rate, reorder_rate;
    int direction, mechanism;
};

static const struct ce_choice mechanisms[] = {
    {"auto", BY_AUTO, "the first of the others that this host has"},
    {"netem", BY_NETEM, "a queueing discipline of the kernel"},
    {"bpf", BY_BPF, "a program of ours in the kernel, at the network interface"},
    {"nft", BY_NFT, "rules of nf_tables"},
    {"iptables", BY_IPTABLES, "rules of iptables"},
    {"nfqueue", BY_NFQUEUE, "rules of nf_tables lead packets to a process that drops them"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_RATE(struct packet_loss, loss_rate, .def = "0.1", .doc = "Share of the packets lost."),
    CE_RATE(struct packet_loss, correlation, .def = "0",
            .doc = "How much a packet's fate follows that of the packet before; netem or nfqueue."),
    CE_RATE(struct packet_loss, duplicate_rate, .def = "0",
            .doc = "Share of the packets that come twice; netem."),
    CE_RATE(struct packet_loss, corrupt_rate, .def = "0",
            .doc = "Share of the packets with a bit turned over; netem."),
    CE_RATE(struct packet_loss, reorder_rate, .def = "0",
            .doc = "Share of the packets that overtake others; netem."),
    CE_CHOICE(struct packet_loss, direction, .choices = ce_packet_directions, .def = "in",
              .doc = "Which packets get lost."),
    CE_CHOICE(struct packet_loss, mechanism, .choices = mechanisms, .def = "auto",
              .doc = "How they get lost."),
    CE_END_PARAMS,
};

/* How many are sent, so that about so many get lost. */
enum { DATAGRAMS_LEAST = 500, DATAGRAMS_MOST = 2000, DATAGRAMS_LOST = 100 };
enum { CONNECTIONS_LEAST = 50, CONNECTIONS_MOST = 500, CONNECTIONS_LOST = 20 };

static struct ce_packet_deed deed_of(const struct packet_loss *want)
{
    return (struct ce_packet_deed){
        .kind = CE_PACKETS_LOSE,
        .loss = want->loss_rate,
        .duplicate = want->duplicate_rate,
        .corrupt = want->corrupt_rate,
        .reorder = want->reorder_rate,
        .correlation = want->correlation,
    };
}

static int check(const void *p, struct ce_error *err)
{
    const struct packet_loss *want = p;
    const char *by = mechanisms[want->mechanism].name;
    if (want->mechanism == BY_AUTO || want->mechanism == BY_NETEM)
        return 0;
    const char *beyond = want->duplicate_rate > 0 ? "duplicate_rate"
                         : want->corrupt_rate > 0 ? "corrupt_rate"
                         : want->reorder_rate > 0 ? "reorder_rate"
                                                  : NULL;
    if (beyond)
        return ce_fail(err, EINVAL, "%s: only mechanism netem can do that, not %s", beyond, by);
    if (want->correlation > 0 && want->mechanism != BY_NFQUEUE)
        return ce_fail(err, EINVAL,
                       "correlation: only mechanisms netem and nfqueue remember the last packet, "
                       "%s does not",
                       by);
    return 0;
}

static bool is_control(const void *p)
{
    const struct packet_loss *want = p;
    return want->loss_rate == 0 && want->duplicate_rate == 0 && want->corrupt_rate == 0 &&
           want->reorder_rate == 0;
}

static bool available(char *reason, size_t size)
{
    return ce_packets_available(CE_PACKETS_LOSE, reason, size);
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct packet_loss *want = injection->params;
    struct ce_packet_fault *state = injection->state;
    struct ce_packet_deed deed = deed_of(want);
    CE_TRY(ce_packet_fault_find(injection, state, want->direction, err));
    return ce_packet_fault_begin(injection, state, &deed, mechanisms[want->mechanism].name, err);
}

/* ---- verify ---- */

static void add(struct ce_packet_seen *sum, const struct ce_packet_seen *other)
{
    sum->sent += other->sent;
    sum->received += other->received;
    sum->damaged += other->damaged;
    sum->twice += other->twice;
    sum->late += other->late;
}

/* Within four standard deviations of the binomial; runs of losses make it as wide as fewer packets
 * would. What got lost before the fault is not its doing. */
static bool is_expected(const struct ce_packet_deed *deed, unsigned passes,
                        const struct ce_packet_seen *before, const struct ce_packet_seen *now,
                        double *ret_wanted, double *ret_slack)
{
    double base = before->sent > 0 ? 1 - (double)before->received / (double)before->sent : 0;
    double wanted = 1 - (1 - base) * pow(1 - deed->loss, passes);
    double n = (double)now->sent * (1 - deed->correlation) / (1 + deed->correlation);
    double slack = 4 * sqrt(wanted * (1 - wanted) / (n > 1 ? n : 1)) +
                   4 * sqrt(base * (1 - base) / (before->sent > 0 ? (double)before->sent : 1));
    double lost = 1 - (double)(now->received + now->damaged) / (double)now->sent;
    *ret_wanted = wanted;
    *ret_slack = slack;
    return fabs(lost - wanted) <= slack + 1e-9 + deed->corrupt;
}

/* Until there are enough to tell. */
static int look(struct ce_packet_fault *state, struct ce_packet_seen *ret_seen,
                struct ce_error *err)
{
    bool connections = state->witness == CE_WITNESS_CONNECTIONS;
    double loss = state->deed.loss;
    double wanted = (connections ? CONNECTIONS_LOST : DATAGRAMS_LOST) / (loss > 0 ? loss : 1);
    double least = connections ? CONNECTIONS_LEAST : DATAGRAMS_LEAST;
    double most = connections ? CONNECTIONS_MOST : DATAGRAMS_MOST;
    size_t count = (size_t)(wanted < least ? least : wanted > most ? most : wanted);
    struct ce_packet_seen seen = {0};
    while (seen.sent < count) {
        struct ce_packet_view view = {0};
        CE_TRY(ce_packet_fault_look(state, count, &view, err));
        add(&seen, &view.inward);
        add(&seen, &view.outward);
    }
    *ret_seen = seen;
    return 0;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    struct ce_packet_fault *state = injection->state;
    const struct ce_packet_deed *deed = &state->deed;
    bool connections = state->witness == CE_WITNESS_CONNECTIONS;
    struct ce_packet_view view = {0};
    if (state->witness == CE_WITNESS_COUNTERS)
        return ce_packet_fault_await_hits(state, "dropped", ret_evidence, err);
    CE_TRY(look(state, &view.inward, err));
    add(&state->before.inward, &state->before.outward);
    state->before.outward = (struct ce_packet_seen){0};

    const struct ce_packet_seen *now = &view.inward;
    double wanted, slack;
    bool seen = is_expected(deed, connections ? ce_packet_fault_passes(state) : 1,
                            &state->before.inward, now, &wanted, &slack);
    size_t lost = now->sent - now->received - now->damaged;
    bool any = lost > 0 || now->twice > 0 || now->damaged > 0 || now->late > 0;
    int n = snprintf(ret_evidence->text, sizeof ret_evidence->text,
                     "%s: %zu of %zu %s %s, %.1f %% (asked: %.1f, four standard deviations are "
                     "%.1f)",
                     ce_packets_means(state->packets), lost, now->sent,
                     connections ? "connections" : "datagrams",
                     connections ? "were not answered at once" : "did not arrive",
                     100 * (double)lost / (double)now->sent, 100 * wanted, 100 * slack);
    if (n > 0 && (size_t)n < sizeof ret_evidence->text &&
        (deed->duplicate > 0 || deed->corrupt > 0 || deed->reorder > 0))
        snprintf(ret_evidence->text + n, sizeof ret_evidence->text - (size_t)n,
                 "; %zu came twice, %zu damaged, %zu late", now->twice, now->damaged, now->late);
    return seen && any;
}

const struct ce_fault ce_fault_packet_loss = {
    .name = "packet_loss",
    .summary = "Lose a share of the packets that enter the target",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_NETWORK,
    .params = params,
    .params_size = sizeof(struct packet_loss),
    .state_size = sizeof(struct ce_packet_fault),
    .example = "{loss_rate: 0.05}",
    .available = available,
    .check = check,
    .is_control = is_control,
    .inject = inject,
    .verify = verify,
    .adjust = ce_packet_fault_adjust,
    .revert = ce_packet_fault_revert,
    .count = ce_packet_fault_count,
};
