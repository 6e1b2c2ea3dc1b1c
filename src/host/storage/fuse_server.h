/* SPDX-License-Identifier: MIT */
/* The process that serves a folder through a gate: it mounts, answers the kernel, and obeys orders.
 *
 *   receiver --> [gate: until when, which error] --> waiting, by time --> a few threads that act
 *
 * Whoever waits keeps no thread busy: a request waits as it came from the kernel, and becomes an
 * operation on the folder, or an error, when its time has come. */
#ifndef CE_HOST_STORAGE_FUSE_SERVER_H
#define CE_HOST_STORAGE_FUSE_SERVER_H

#include "host/storage/fuse_mount.h"
#include "host/storage/storage_deed.h"

struct ce_fuse_order {
    enum { CE_FUSE_MOUNT = 0, CE_FUSE_SET, CE_FUSE_COUNT } what;
    struct ce_storage_deed deed; /* for CE_FUSE_SET */
};
struct ce_fuse_answer {
    int result; /* 0 or a negative errno */
    struct ce_error err;
    struct ce_process_id server;
    struct ce_storage_counts counts;
};

struct ce_fuse_service {
    struct ce_place place;
    char folder[PATH_MAX];
    char source[CE_FUSE_SOURCE_SIZE];
    struct ce_storage_deed deed;
};

/* The life of the process, from before it enters the place. The first answer comes without an
 * order: whether it stands. It ends in order (unmounts, answers what waits) when the channel
 * (SOCK_SEQPACKET) ends, or on SIGTERM. Returns the exit code. */
int ce_fuse_serve(const struct ce_fuse_service *service, int channel);

#endif
