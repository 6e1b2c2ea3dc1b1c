/* SPDX-License-Identifier: MIT */
/* A door through which a process goes: from then on the kernel asks before it carries out those
 * system calls that read, write and sync files, of that process and of all that it starts. Whoever
 * holds the listener answers (host/storage/porter.h). All other calls are not slowed down.
 *
 * The door cannot be removed while such a process lives, and calls fail with ENOSYS once nobody
 * holds the listener. What reads and writes without a system call for each goes past it: mappings
 * of files, and io_uring. */
#ifndef CE_HOST_STORAGE_DOOR_H
#define CE_HOST_STORAGE_DOOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* What a call is about: arguments by their number, from 0. */
struct ce_door_call {
    int number;
    struct {
        unsigned kind; /* a CE_STORAGE_ bit; 0: there is no such file */
        int arg;       /* its descriptor */
    } files[2];        /* if the first one is not meant, the second one may be */
    int size;          /* bytes; -1: none */
    bool is_vector;    /* `size` is a number of struct iovec at argument 1 */
    int offset;        /* where in the first file; -1: at its own position; -2: not told */
};
enum { CE_DOOR_OWN_POSITION = -1, CE_DOOR_NO_POSITION = -2 };
/* NULL: the door lets it pass. */
const struct ce_door_call *ce_door_find(int number);

/* This process, which has one thread, goes through. If it is not root, it can gain no privileges by
 * executing programs any more. -ENOSYS: not on this machine; -EBUSY: it has gone through another.
 */
int ce_door_enter(int *ret_listener, struct ce_error *err);

#endif
