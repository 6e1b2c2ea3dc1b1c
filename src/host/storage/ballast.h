/* SPDX-License-Identifier: MIT */
/* A filesystem that is really full: a process of ours holds what is free in it.
 *
 * It does so in a file without a name, so the kernel gives the space back when that process ends,
 * however it ends: there is nothing else to undo. What others free meanwhile it takes too. The
 * blocks that a filesystem keeps for root are taken as well where this user may. Only a filesystem
 * that is there for the target alone is filled (`may_fill`). */
#ifndef CE_HOST_STORAGE_BALLAST_H
#define CE_HOST_STORAGE_BALLAST_H

#include "host/storage/storage_means.h"

/* How much it holds now, and how much is free to ordinary users. */
int ce_ballast_look(struct ce_storage *storage, uint64_t *ret_held, uint64_t *ret_free,
                    struct ce_error *err);

#endif
