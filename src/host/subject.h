/* SPDX-License-Identifier: MIT */
/* What an infrastructure fault acts on, in the kernel's terms: the pipeline under test, or what the
 * document's `target:` names. */
#ifndef CE_HOST_SUBJECT_H
#define CE_HOST_SUBJECT_H

#include <limits.h>
#include <netinet/in.h>

#include "host/packets/packets.h"
#include "host/place.h"
#include "host/process_tree.h"

/* What of it is known. A fault needs some (CE_NEEDS_), and says so. */
enum {
    CE_SUBJECT_PROCESS = 1,  /* process, place */
    CE_SUBJECT_NETWORK = 2,  /* place, packets */
    CE_SUBJECT_FOLDER = 4,   /* folder, place */
    CE_SUBJECT_GROUP = 8,    /* group */
    CE_SUBJECT_DEVICE = 16,  /* device */
    CE_SUBJECT_HELPERS = 32, /* helpers */
};

struct ce_subject {
    char name[192]; /* for messages: "model server (process 4711)", "interface eth1" */
    unsigned has;   /* CE_SUBJECT_ bits */
    /* The process and all below it. */
    struct ce_process_id process;
    struct ce_place place;
    /* Which packets enter and leave it; the fault sets the direction. */
    struct ce_packet_filter packets;
    struct sockaddr_storage probe; /* an address at which packets to it can be tried out: it answers
                                      TCP connections there; family 0: none */
    char resolves[256];            /* a name that it looks up; "": none is known */
    /* Where it keeps its files, as called in its own mount namespace. */
    char folder[PATH_MAX];
    bool folder_is_dedicated; /* a filesystem of its own that may be filled up */
    /* Its control group: a folder below /sys/fs/cgroup, or a path as in /proc/PID/cgroup. */
    char group[PATH_MAX];
    char device[PATH_MAX]; /* a block device */
    /* The folder at which the helpers that its processes have loaded listen for orders. */
    char helpers[PATH_MAX];
};

/* All processes of it, as they are now: those in its control group and the groups below, else its
 * process and all below that. -ESRCH when there is none. Free with ce_process_list_done(). */
int ce_subject_processes(const struct ce_subject *subject, struct ce_process_list *ret_list,
                         struct ce_error *err);

#endif
