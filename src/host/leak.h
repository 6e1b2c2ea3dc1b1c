/* SPDX-License-Identifier: MIT */
/* Memory that leaks in another process, by a helper that the process has loaded
 * (src/pipeline/preload/leak.c). Closing the descriptor, in whatever way, frees all of it. */
#ifndef CE_HOST_LEAK_H
#define CE_HOST_LEAK_H

#include <stdint.h>

#include "base/identity.h"

/* The helper in that process: a descriptor, or -ENOTSUP when it has not loaded one. `folder` is
 * what its environment calls CHAOSEATER_LEAK. */
int ce_leak_open(const char *folder, const struct ce_process_id *process, struct ce_error *err);
/* From now on so many bytes each second, up to `limit` in all. -ESRCH: the process has ended. */
int ce_leak_set(int leak, uint64_t bytes_per_second, uint64_t limit, struct ce_error *err);

#endif
