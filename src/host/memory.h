/* SPDX-License-Identifier: MIT */
/* How much memory there is to take. */
#ifndef CE_HOST_MEMORY_H
#define CE_HOST_MEMORY_H

#include <stdint.h>

#define CE_MIB (UINT64_C(1) << 20)

/* What can still be taken, in bytes: the kernel's MemAvailable, or what the memory limits of this
 * process's control groups leave, whichever is less. 0 when it cannot be told. */
uint64_t ce_memory_available(void);
uint64_t ce_memory_total(void);

#endif
