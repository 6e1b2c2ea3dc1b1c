/* SPDX-License-Identifier: MIT */
/* A target's reads and writes pass through a process of ours: a FUSE filesystem is mounted over the
 * very folder in which it keeps its files, and hands everything on to that folder.
 *
 *   controller ==orders==> holder ==orders==> server (fuse_server.h)
 *
 * Both watch each other, so that the folder never hangs on a process that is gone: when the server
 * dies the holder unmounts at once, when the holder dies the server does, and when both do the
 * journal's note is undone. Files that were open before keep going past it. Files that were opened
 * through it answer ENOTCONN from the moment it is gone.
 *
 * It works where /dev/fuse may be opened: as root, or by an ordinary user on a target in a user
 * namespace of his. */
#ifndef CE_HOST_STORAGE_FUSE_OVERLAY_H
#define CE_HOST_STORAGE_FUSE_OVERLAY_H

#include "host/storage/fuse_mount.h"
#include "host/storage/storage_means.h"

/* For tests: who serves the mount, and who holds it. */
struct ce_process_id ce_fuse_overlay_server(const struct ce_storage *storage);
struct ce_process_id ce_fuse_overlay_holder(const struct ce_storage *storage);

#endif
