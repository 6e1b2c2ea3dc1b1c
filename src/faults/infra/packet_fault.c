/* SPDX-License-Identifier: MIT */
#include "faults/infra/packet_fault.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

const struct ce_choice ce_packet_directions[] = {
    {"in", CE_PACKETS_IN, "packets that enter the target"},
    {"out", CE_PACKETS_OUT, "packets that leave it"},
    {"both", CE_PACKETS_BOTH, "both, each by itself"},
    {NULL, 0, NULL},
};

/* Connections are dearer than datagrams, for the target too. */
enum { DATAGRAMS_PER_CONNECTION = 10, CONNECTIONS_LEAST = 6, FIRST_LOOK = 100 };
static const int64_t look_for_hits = 3 * CE_SECOND;

int ce_packet_fault_find(struct ce_injection *injection, struct ce_packet_fault *state,
                         int direction, struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    if (!target->locate)
        return ce_fail(err, ENOTSUP, "%s has no packets that %s could act on", target->name,
                       injection->fault->name);
    CE_TRY(target->locate(target->located, NULL, &state->subject, err));
    if (!(state->subject.has & CE_SUBJECT_NETWORK))
        return ce_fail(err, ENOTSUP, "%s has no packets that %s could act on", state->subject.name,
                       injection->fault->name);
    state->subject.packets.direction = (enum ce_packet_direction)direction;
    return 0;
}

unsigned ce_packet_fault_passes(const struct ce_packet_fault *state)
{
    return state->subject.packets.direction == CE_PACKETS_BOTH ? 2 : 1;
}

/* ---- the witness ---- */

/* What a process in the namespace sends to itself goes through loopback. */
static bool sees_loopback(const struct ce_packet_filter *filter)
{
    return filter->interface[0] == '\0' || strcmp(filter->interface, "lo") == 0;
}

/* The first host of a network. */
static struct sockaddr_storage host_of(const struct ce_network *network)
{
    struct sockaddr_storage name = {.ss_family = (sa_family_t)network->family};
    uint8_t *address = network->family == AF_INET6
                           ? ((struct sockaddr_in6 *)&name)->sin6_addr.s6_addr
                           : (uint8_t *)&((struct sockaddr_in *)&name)->sin_addr;
    size_t size = network->family == AF_INET6 ? 16 : 4;
    memcpy(address, network->address, size);
    if (network->prefix < (int)size * 8)
        address[size - 1] |= 1;
    return name;
}

/* Where datagrams are to go; false: nowhere. */
static bool aim_datagrams(struct ce_packet_fault *state)
{
    const struct ce_subject *subject = &state->subject;
    const struct ce_packet_filter *filter = &subject->packets;
    struct sockaddr_in loopback = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (filter->protocol == IPPROTO_TCP || filter->peer_port != 0 || !sees_loopback(filter))
        return false;
    if (subject->probe.ss_family != 0)
        state->probe.at = subject->probe;
    else if (filter->port_count == 0)
        memcpy(&state->probe.at, &loopback, sizeof loopback);
    else
        return false;
    if (filter->peer_count > 0) {
        state->probe.peer = host_of(&filter->peers[0]);
        if (state->probe.peer.ss_family != state->probe.at.ss_family)
            return false;
    }
    state->probe.flows = CE_PROBE_FLOWS;
    state->probe.spacing = CE_MILLISECOND / 2;
    return true;
}

/* Datagrams that arrive before the deed show that they could be seen to do so. */
static bool datagrams_arrive(const struct ce_packet_fault *state)
{
    struct ce_packet_probe probe = state->probe;
    struct ce_packet_seen seen;
    probe.count = probe.flows;
    probe.patience = CE_SECOND;
    probe.outward = state->subject.packets.direction == CE_PACKETS_OUT;
    return ce_packet_probe(&state->subject.place, &probe, &seen, NULL) == 0 && seen.received > 0;
}

static bool is_answered(const struct ce_packet_fault *state)
{
    struct ce_packet_seen seen;
    return state->subject.probe.ss_family != 0 && state->subject.packets.protocol != IPPROTO_UDP &&
           ce_connect_probe(&state->subject.place, &state->subject.probe, 1, CE_SECOND, &seen,
                            NULL) == 0 &&
           seen.received == 1;
}

static enum ce_packet_witness choose_witness(struct ce_packet_fault *state)
{
    if (state->likes_connections && is_answered(state))
        return CE_WITNESS_CONNECTIONS;
    if (aim_datagrams(state) && datagrams_arrive(state))
        return CE_WITNESS_DATAGRAMS;
    /* Connections made here come from here, not from those peers. */
    bool from_elsewhere =
        state->subject.packets.peer_count > 0 && state->subject.packets.peer_port == 0;
    return !from_elsewhere && is_answered(state) ? CE_WITNESS_CONNECTIONS : CE_WITNESS_COUNTERS;
}

/* What it may take until the last of them has come. */
static int64_t patience_of(const struct ce_packet_fault *state)
{
    const struct ce_packet_deed *deed = &state->deed;
    int64_t longest = deed->kind == CE_PACKETS_DELAY ? deed->delay + 6 * deed->jitter : 0;
    return longest * ce_packet_fault_passes(state) + CE_SECOND / 2;
}

int ce_packet_fault_look(struct ce_packet_fault *state, size_t count, struct ce_packet_view *ret,
                         struct ce_error *err)
{
    struct ce_packet_probe probe = state->probe;
    enum ce_packet_direction direction = state->subject.packets.direction;
    probe.count = count;
    probe.patience = patience_of(state);
    if (state->witness == CE_WITNESS_CONNECTIONS) {
        size_t connections = count / DATAGRAMS_PER_CONNECTION + CONNECTIONS_LEAST;
        return ce_connect_probe(&state->subject.place, &state->subject.probe,
                                connections < CE_PROBE_FLOWS ? connections : CE_PROBE_FLOWS,
                                probe.patience, &ret->inward, err);
    }
    if (direction != CE_PACKETS_OUT)
        CE_TRY(ce_packet_probe(&state->subject.place, &probe, &ret->inward, err));
    probe.outward = true;
    if (direction != CE_PACKETS_IN)
        CE_TRY(ce_packet_probe(&state->subject.place, &probe, &ret->outward, err));
    return 0;
}

int ce_packet_fault_await_hits(struct ce_packet_fault *state, const char *deed,
                               struct ce_evidence *ret_evidence, struct ce_error *err)
{
    int64_t start = ce_now();
    do {
        CE_TRY(ce_packets_count(state->packets, &state->seen, &state->hit, err));
        if (state->hit > 0)
            break;
        ce_sleep_until(ce_now() + 20 * CE_MILLISECOND);
    } while (ce_now() < start + look_for_hits);
    if (state->hit > 0)
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "%s counted %" PRIu64 " packets of %.100s in %.1f s and %s %" PRIu64
                 " of them; there is no address at which a probe could see that",
                 ce_packets_means(state->packets), state->seen, state->subject.name,
                 (double)(ce_now() - start) / (double)CE_SECOND, deed, state->hit);
    else
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "no packet of %.80s that could be %s came by in %.1f s; %s, so traffic has to pass "
                 "while the run looks",
                 state->subject.name, deed, (double)look_for_hits / (double)CE_SECOND,
                 sees_loopback(&state->subject.packets)
                     ? "a probe's own datagrams did not arrive over its loopback (is lo up?)"
                     : "what enters it comes from another host, from where no probe can send");
    return state->hit > 0;
}

/* ---- the deed ---- */

int ce_packet_fault_begin(struct ce_injection *injection, struct ce_packet_fault *state,
                          const struct ce_packet_deed *deed, const char *mechanism,
                          struct ce_error *err)
{
    state->deed = *deed;
    state->deed.seed = injection->seed;
    state->witness = choose_witness(state);
    if (state->witness != CE_WITNESS_COUNTERS)
        CE_TRY(ce_packet_fault_look(state, FIRST_LOOK, &state->before, err));
    return ce_packets_begin(injection->journal, &state->subject.place, &state->subject.packets,
                            &state->deed, strcmp(mechanism, "auto") == 0 ? NULL : mechanism,
                            &state->packets, err);
}

static struct ce_packet_deed scaled(const struct ce_packet_deed *deed, double intensity)
{
    struct ce_packet_deed part = *deed;
    double rate = intensity > 0 ? (double)deed->rate / intensity : INFINITY;
    part.delay = (int64_t)((double)deed->delay * intensity);
    part.jitter = (int64_t)((double)deed->jitter * intensity);
    part.loss *= intensity;
    part.duplicate *= intensity;
    part.corrupt *= intensity;
    part.reorder *= intensity;
    part.rate = rate < (double)CE_PACKETS_UNLIMITED ? (uint64_t)rate : CE_PACKETS_UNLIMITED;
    return part;
}

int ce_packet_fault_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct ce_packet_fault *state = injection->state;
    struct ce_packet_deed deed = scaled(&state->deed, intensity);
    return state->packets ? ce_packets_adjust(state->packets, &deed, err) : 0;
}

int ce_packet_fault_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct ce_packet_fault *state = injection->state;
    return ce_packets_end(ce_take(state->packets), err);
}

void ce_packet_fault_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct ce_packet_fault *state = injection->state;
    uint64_t seen = state->seen, hit = state->hit;
    if (state->packets)
        (void)ce_packets_count(state->packets, &seen, &hit, NULL);
    *ret_counts = (struct ce_fault_counts){.eligible = seen, .selected = hit, .changed = hit};
}
