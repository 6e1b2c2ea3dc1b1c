/* SPDX-License-Identifier: MIT */
/* Memory that leaks in another process, by a helper that the process has loaded
 * (src/pipeline/preload/leak.c). Closing the descriptor, in whatever way, frees all of it. */
#ifndef CE_HOST_LEAK_H
#define CE_HOST_LEAK_H

#include "base/identity.h"
#include "host/leak_order.h"

/* The helper in that process: a descriptor, or -ENOTSUP when it has not loaded one. `folder` is
 * what its environment calls CHAOSEATER_HELPERS. */
int ce_leak_open(const char *folder, const struct ce_process_id *process, struct ce_error *err);
/* From now on. -ESRCH: the process has ended. */
int ce_leak_set(int leak, const struct ce_leak_order *order, struct ce_error *err);
/* What the process holds of leaked memory, resident or swapped out, as the kernel tells: the helper
 * keeps its memory from forks, which hardly anybody else does, so it can be told from memory that
 * the process takes for itself. -ESRCH: the process has ended. */
int ce_leak_held(const struct ce_process_id *process, uint64_t *ret_bytes, struct ce_error *err);

#endif
