/* SPDX-License-Identifier: MIT */
/* Where a target lives: its user, network and mount namespaces, and how to do something there.
 *
 * Namespaces are known by their inodes. What leads to them, a process or a file that one is bound
 * to (/run/netns/NAME), may be gone when an undo needs it, or lead elsewhere: then /proc is
 * searched for another process in there. Namespaces that no process and no file leads to are gone,
 * and all that was in them with them. */
#ifndef CE_HOST_PLACE_H
#define CE_HOST_PLACE_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/identity.h"

enum {
    CE_PLACE_NETWORK = 1,
    CE_PLACE_MOUNTS = 2,
};

struct ce_place {
    uint64_t user, network, mounts; /* inodes; user 0: it cannot be seen; mounts 0: only a network
                                       namespace is known, and the mounts are left as they are */
    struct ce_process_id process;   /* that lives there; pid 0: none is known */
    char file[PATH_MAX];            /* that leads to the network namespace; "": none */
};

int ce_place_here(struct ce_place *ret_place, struct ce_error *err);
int ce_place_of_process(const struct ce_process_id *id, struct ce_place *ret_place,
                        struct ce_error *err);
/* `name` as `ip netns` has it, or a path. */
int ce_place_of_netns(const char *name, struct ce_place *ret_place, struct ce_error *err);
/* Whether those namespaces (CE_PLACE_ bits) are the ones of this process: then what is done there
 * is done to everything that runs beside it. */
bool ce_place_is_here(const struct ce_place *place, unsigned which);

/* For notes: {"boot", "user", "network", "mounts", "pid", "start", "file"}. NULL: no memory. */
json_t *ce_place_args(const struct ce_place *place);
/* 0; CE_PLACE_GONE when it was another boot's or nothing leads there any more (checked for the
 * namespaces in `which`); -EINVAL when the note makes no sense. */
enum { CE_PLACE_GONE = 1 };
int ce_place_from_args(const json_t *args, unsigned which, struct ce_place *ret_place,
                       struct ce_error *err);

/* Moves this process there, which must have one thread only; namespaces in which it is already are
 * left as they are. Where they do not let us in, the user namespace that owns them is entered
 * first, so that an ordinary user may do there what root may; root, whom they let in, keeps what it
 * may do outside. In another mount namespace /proc may be that of other processes. -ESRCH: nothing
 * leads there. */
int ce_place_enter(const struct ce_place *place, unsigned which, struct ce_error *err);
/* Calls the function there, in a child of this process, and waits for it. `ctx` (`size` bytes) is
 * what it left there; memory that it points to is a copy. Returns what the function returned, with
 * its error. Any thread. */
int ce_place_call(const struct ce_place *place, unsigned which,
                  int (*function)(void *ctx, struct ce_error *err), void *ctx, size_t size,
                  struct ce_error *err);

#endif
