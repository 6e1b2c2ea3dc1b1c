/* SPDX-License-Identifier: MIT */
/* What a target that ChaosEater starts can be made to load, so that a fault can act inside it. A
 * mask; faults say with the same bits what they need (faults/fault.h). */
#ifndef CE_HOST_HELPER_BITS_H
#define CE_HOST_HELPER_BITS_H

enum {
    CE_HELPER_LEAK = 256,      /* takes memory */
    CE_HELPER_GPU = 512,       /* answers for the GPU's driver */
    CE_HELPER_CLOCK = 1024,    /* tells another time */
    CE_HELPER_SYSCALLS = 2048, /* lets a supervisor answer system calls */
    CE_HELPERS_ALL = CE_HELPER_LEAK | CE_HELPER_GPU | CE_HELPER_CLOCK | CE_HELPER_SYSCALLS,
};

#endif
