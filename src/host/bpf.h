/* SPDX-License-Identifier: MIT */
/* An eBPF program that loses packets, made here instruction by instruction and loaded by bpf(2).
 *
 * How many it loses is read from a map that this process has mapped, so that it can be changed, and
 * the packets counted, without another system call. The kernel's random numbers cannot be seeded:
 * which packets are lost differs from run to run. */
#ifndef CE_HOST_BPF_H
#define CE_HOST_BPF_H

#include "host/packets/packet_match.h"

struct ce_bpf_loss {
    _Atomic uint64_t threshold; /* of 1 << 32: so many are lost */
    _Atomic uint64_t seen, hit;
};

/* The map, and where it is in this process's memory. -EPERM, -ENOSYS, ... with a sentence. */
int ce_bpf_loss_map(int *ret_map, struct ce_bpf_loss **ret_loss, struct ce_error *err);
void ce_bpf_loss_unmap(struct ce_bpf_loss *loss);
/* The program for packets that fit; a descriptor. The map belongs to it, too. */
int ce_bpf_loss_program(int map, const struct ce_packet_match *match, struct ce_error *err);
/* Attaches it to an interface, as long as the descriptor that it returns is open (a TCX link, Linux
 * 6.6). -EINVAL: the kernel is older. */
int ce_bpf_attach(int program, int interface, bool leaving);

#endif
