/* SPDX-License-Identifier: MIT */
/* A file that is slow to open: every other process (and thread) that opens it waits.
 *
 * The kernel does the waiting: whoever opens a file on which another holds a write lease (fcntl(2),
 * F_SETLEASE) is held back until the holder gives it up. A thread holds the lease, gives it up
 * after the delay, and takes it again when everybody has closed the file. Nothing about the file is
 * changed, so whatever reads, maps or hashes it finds it as it is; and the lease ends with this
 * process, however that ends, so there is nothing to undo.
 *
 * Limits: the file must be ours (or CAP_LEASE), on a filesystem with leases, and open nowhere.
 * While somebody has it open, others open it at once. The kernel waits at most lease-break-time
 * seconds.
 */
#ifndef CE_FAULTS_DATA_SLOW_FILE_H
#define CE_FAULTS_DATA_SLOW_FILE_H

#include <stdint.h>

#include "base/error.h"

struct ce_slow_file;

/* From now on opening takes `delay` ns. -EBUSY: it is open somewhere. -EOPNOTSUPP, -EACCES: see
 * above. */
int ce_slow_file_start(const char *path, int64_t delay, struct ce_slow_file **ret_slow,
                       struct ce_error *err);
void ce_slow_file_stop(struct ce_slow_file *slow); /* lets everybody go; NULL is fine */
void ce_slow_file_set(struct ce_slow_file *slow, int64_t delay);
/* How many times it held somebody back. */
uint64_t ce_slow_file_count(const struct ce_slow_file *slow);
/* Waits until the next one to open it will be held back: 0, or -ETIMEDOUT: it stays open. */
int ce_slow_file_wait(struct ce_slow_file *slow, int64_t timeout);
/* The longest delay that the kernel grants, in ns. */
int64_t ce_slow_file_limit(void);

#endif
