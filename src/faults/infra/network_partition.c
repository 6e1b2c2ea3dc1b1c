/* SPDX-License-Identifier: MIT */
/* network_partition: the target and other hosts do not reach each other.
 *
 * Their packets are dropped, so that whoever waits for them times out, or refused, so that it knows
 * at once. Connections that exist already are cut off too: they stand until one side gives up. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/infra/packet_fault.h"

enum { ACTION_DROP, ACTION_REJECT };
enum { BY_AUTO, BY_NFT, BY_IPTABLES };

struct network_partition {
    struct ce_names blocked_hosts;
    int direction, action, mechanism;
};

static const struct ce_choice actions[] = {
    {"drop", ACTION_DROP, "nobody hears of it: connections time out"},
    {"reject", ACTION_REJECT, "who sends is told: connections are refused"},
    {NULL, 0, NULL},
};
static const struct ce_choice mechanisms[] = {
    {"auto", BY_AUTO, "nft where the kernel has it, else iptables"},
    {"nft", BY_NFT, "rules of nf_tables"},
    {"iptables", BY_IPTABLES, "rules of iptables"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_NAMES(struct network_partition, blocked_hosts, .def = "",
             .doc = "Hosts cut off from the target: addresses, prefixes such as 10.0.0.0/8, or "
                    "names, which are looked up when it happens; none: every host."),
    CE_CHOICE(struct network_partition, direction, .choices = ce_packet_directions, .def = "both",
              .doc = "Which of their packets do not arrive."),
    CE_CHOICE(struct network_partition, action, .choices = actions, .def = "drop",
              .doc = "What becomes of the packets."),
    CE_CHOICE(struct network_partition, mechanism, .choices = mechanisms, .def = "auto",
              .doc = "How they are kept out."),
    CE_END_PARAMS,
};

enum { DATAGRAMS = 200 };

static int check(const void *p, struct ce_error *err)
{
    const struct network_partition *want = p;
    struct ce_packet_filter filter;
    if (want->blocked_hosts.count > CE_COUNT(filter.peers))
        return ce_fail(err, ERANGE, "blocked_hosts: %zu are more than %zu; a prefix names many",
                       want->blocked_hosts.count, CE_COUNT(filter.peers));
    for (size_t i = 0; i < want->blocked_hosts.count; i++) {
        const char *host = want->blocked_hosts.names[i];
        struct ce_network network;
        int r = 0;
        if (strchr(host, '/') || strchr(host, ':') || host[0] == '\0')
            r = ce_network_parse(host, &network, err);
        if (r < 0)
            return ce_fail_context(err, r, "blocked_hosts");
    }
    return 0;
}

static bool available(char *reason, size_t size)
{
    return ce_packets_available(CE_PACKETS_BLOCK, reason, size);
}

/* ---- inject ---- */

static int add_peer(struct ce_packet_filter *filter, const struct ce_network *network,
                    struct ce_error *err)
{
    if (filter->peer_count == CE_COUNT(filter->peers))
        return ce_fail(err, ERANGE, "blocked_hosts: they have more than %zu addresses",
                       CE_COUNT(filter->peers));
    filter->peers[filter->peer_count++] = *network;
    return 0;
}

static int add_name(struct ce_packet_filter *filter, const char *name, struct ce_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int code = getaddrinfo(name, NULL, &hints, &list), r = 0;
    if (code != 0)
        return ce_fail(err, EHOSTUNREACH, "blocked_hosts: '%s' cannot be looked up: %s", name,
                       gai_strerror(code));
    for (const struct addrinfo *item = list; item && r == 0; item = item->ai_next) {
        struct ce_network network = {.family = item->ai_family};
        if (item->ai_family == AF_INET) {
            network.prefix = 32;
            memcpy(network.address, &((const struct sockaddr_in *)(void *)item->ai_addr)->sin_addr,
                   4);
        } else if (item->ai_family == AF_INET6) {
            network.prefix = 128;
            memcpy(network.address,
                   &((const struct sockaddr_in6 *)(void *)item->ai_addr)->sin6_addr, 16);
        } else {
            continue;
        }
        r = add_peer(filter, &network, err);
    }
    freeaddrinfo(list);
    return r;
}

static int block_hosts(const struct network_partition *want, struct ce_subject *subject,
                       struct ce_error *err)
{
    if (want->blocked_hosts.count == 0)
        return 0;
    if (subject->packets.peer_count > 0)
        return ce_fail(err, EINVAL, "blocked_hosts: %s says already who is cut off", subject->name);
    for (size_t i = 0; i < want->blocked_hosts.count; i++) {
        const char *host = want->blocked_hosts.names[i];
        struct ce_network network;
        if (ce_network_parse(host, &network, NULL) == 0)
            CE_TRY(add_peer(&subject->packets, &network, err));
        else
            CE_TRY(add_name(&subject->packets, host, err));
    }
    return 0;
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct network_partition *want = injection->params;
    struct ce_packet_fault *state = injection->state;
    struct ce_packet_deed deed = {.kind = CE_PACKETS_BLOCK,
                                  .reject = want->action == ACTION_REJECT};
    CE_TRY(ce_packet_fault_find(injection, state, want->direction, err));
    CE_TRY(block_hosts(want, &state->subject, err));
    state->likes_connections = want->blocked_hosts.count == 0;
    return ce_packet_fault_begin(injection, state, &deed, mechanisms[want->mechanism].name, err);
}

/* ---- verify ---- */

/* A connection is refused when its first packet is; when the answer is, it times out. */
static bool refusal_is_heard(const struct ce_packet_fault *state)
{
    bool goes_out = state->subject.packets.peer_port != 0;
    enum ce_packet_direction deaf = goes_out ? CE_PACKETS_IN : CE_PACKETS_OUT;
    return state->deed.reject && state->subject.packets.direction != deaf;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    struct ce_packet_fault *state = injection->state;
    struct ce_packet_view view = {0};
    if (state->witness == CE_WITNESS_COUNTERS)
        return ce_packet_fault_await_hits(state, "stopped", ret_evidence, err);
    CE_TRY(ce_packet_fault_look(state, DATAGRAMS, &view, err));
    const char *means = ce_packets_means(state->packets);
    const struct ce_packet_seen *in = &view.inward, *out = &view.outward;
    if (state->witness == CE_WITNESS_DATAGRAMS) {
        /* A host that could not be reached before shows nothing. */
        if (state->before.inward.received == 0)
            view.inward = state->before.inward = (struct ce_packet_seen){0};
        if (state->before.outward.received == 0)
            view.outward = state->before.outward = (struct ce_packet_seen){0};
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "%s: %zu of %zu datagrams between the target and a host that is cut off arrived "
                 "(before: %zu of %zu)",
                 means, in->received + out->received, in->sent + out->sent,
                 state->before.inward.received + state->before.outward.received,
                 state->before.inward.sent + state->before.outward.sent);
        return in->received + out->received == 0;
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%s: of %zu connections that were tried %zu were answered, %zu refused, %zu timed out "
             "after 0.5 s (before: %zu of %zu answered)",
             means, in->sent, in->received, in->refused, in->sent - in->received - in->refused,
             state->before.inward.received, state->before.inward.sent);
    return in->received == 0 && in->refused == (refusal_is_heard(state) ? in->sent : 0);
}

const struct ce_fault ce_fault_network_partition = {
    .name = "network_partition",
    .summary = "Cut the target off from other hosts",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_NETWORK,
    .params = params,
    .params_size = sizeof(struct network_partition),
    .state_size = sizeof(struct ce_packet_fault),
    .example = "{action: reject}",
    .available = available,
    .check = check,
    .inject = inject,
    .verify = verify,
    .revert = ce_packet_fault_revert,
    .count = ce_packet_fault_count,
};
