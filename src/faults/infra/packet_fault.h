/* SPDX-License-Identifier: MIT */
/* What network_latency, packet_loss and network_partition have in common: a deed on the packets of
 * a target, and the witness of it.
 *
 * The witness knows nothing of the deed. Where it can it is a child in the target's network
 * namespace that sends datagrams to a free UDP port with the number of the target's, or else
 * connects to the target; both before the deed and during it. Where there is no address to try, it
 * is what the means itself counts of the target's own traffic, and the evidence says so. */
#ifndef CE_FAULTS_INFRA_PACKET_FAULT_H
#define CE_FAULTS_INFRA_PACKET_FAULT_H

#include "faults/fault.h"
#include "host/packets/packet_probe.h"
#include "host/subject.h"

extern const struct ce_choice ce_packet_directions[];

enum ce_packet_witness {
    CE_WITNESS_COUNTERS = 0, /* of the means */
    CE_WITNESS_DATAGRAMS,
    CE_WITNESS_CONNECTIONS,
};
/* What it saw. */
struct ce_packet_view {
    struct ce_packet_seen inward, outward; /* connections: both in `inward` */
};

struct ce_packet_fault {
    struct ce_subject subject;
    struct ce_packet_deed deed; /* as configured */
    struct ce_packets *packets;
    enum ce_packet_witness witness;
    bool likes_connections;       /* rather than datagrams, where both can be had */
    struct ce_packet_probe probe; /* datagrams: how to send them */
    struct ce_packet_view before;
    uint64_t seen, hit; /* as counted last */
};

/* Finds the target and the packets that are meant: state->subject. */
int ce_packet_fault_find(struct ce_injection *injection, struct ce_packet_fault *state,
                         int direction, struct ce_error *err);
/* Chooses the witness, lets it look, and begins the deed. `mechanism`: the name of the means;
 * "auto": the first that stands. */
int ce_packet_fault_begin(struct ce_injection *injection, struct ce_packet_fault *state,
                          const struct ce_packet_deed *deed, const char *mechanism,
                          struct ce_error *err);
/* Looks by datagrams or by connections: `count` of the former, about a tenth of the latter.
 */
int ce_packet_fault_look(struct ce_packet_fault *state, size_t count, struct ce_packet_view *ret,
                         struct ce_error *err);
/* Waits until the means has counted packets that were dealt with, for a while. 1: it has; 0: none
 * came by; evidence is given. */
int ce_packet_fault_await_hits(struct ce_packet_fault *state, const char *deed,
                               struct ce_evidence *ret_evidence, struct ce_error *err);
/* How many times the deed is done to a packet's way there and back. */
unsigned ce_packet_fault_passes(const struct ce_packet_fault *state);

/* For struct ce_fault; the state is a struct ce_packet_fault. */
int ce_packet_fault_adjust(struct ce_injection *injection, double intensity, struct ce_error *err);
int ce_packet_fault_revert(struct ce_injection *injection, struct ce_error *err);
void ce_packet_fault_count(const struct ce_injection *injection,
                           struct ce_fault_counts *ret_counts);

#endif
