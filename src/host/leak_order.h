/* SPDX-License-Identifier: MIT */
/* What is written to the helper that leaks (src/pipeline/preload/leak.c). Orders come whole, and
 * the last one holds. */
#ifndef CE_HOST_LEAK_ORDER_H
#define CE_HOST_LEAK_ORDER_H

#include <stdint.h>

/* Memory is taken in pieces of it: a multiple of every page size. */
#define CE_LEAK_PIECE (UINT64_C(64) << 10)

/* All in bytes. */
struct ce_leak_order {
    uint64_t per_second;
    uint64_t limit; /* of what is held */
    uint64_t floor; /* available memory of the host, below which nothing more is taken */
};

#endif
