/* SPDX-License-Identifier: MIT */
/* A limit of the kernel's own on what a target reads from and writes to one disk: io.max in a
 * control group of version 2, blkio.throttle in one of version 1.
 *
 * It is the disk that is limited: what is answered from memory, or only written to memory, is not
 * held back, and the files that a filesystem's journal writes for the target may not count as the
 * target's. */
#ifndef CE_HOST_STORAGE_IO_LIMIT_H
#define CE_HOST_STORAGE_IO_LIMIT_H

#include <stddef.h>

#include "host/storage/storage_means.h"

/* The disk on which that lies, as "254:0": the whole one for a partition. -ENOTSUP: it lies on no
 * disk (tmpfs, overlay, ...). */
int ce_io_disk_of(dev_t dev, char *ret_disk, size_t size, struct ce_error *err);

#endif
