/* SPDX-License-Identifier: MIT */
/* Child processes that wait at a gate until their undo is on disk.
 *
 * A child is made, cleaned and isolated, and then waits. Its maker notes {pid, start} in the
 * journal and says go. When the maker dies in between, the gate ends and so does the child: there
 * is no moment at which a working child is unknown to the journal.
 *
 * A child inherits nothing by accident: a session of its own (a Ctrl-C on the terminal is not for
 * it), default signal handling, an empty signal mask, and no descriptors but those that are listed.
 */
#ifndef CE_BASE_SPAWN_H
#define CE_BASE_SPAWN_H

#include <stddef.h>

#include "base/identity.h"

enum { CE_SPAWN_FDS_MAX = 8 };

struct ce_spawn_fd {
    int fd; /* in this process */
    int as; /* in the child: 0, 1, 2 or a small number */
};

/* Start from zero; give either `argv` or `function`. */
struct ce_spawn {
    const char *const
        *argv; /* program (looked up as given, not along PATH) and arguments, NULL-terminated */
    const char *const *env; /* NULL: this process's environment */
    /* Runs in a copy of this process; the result is the exit code. When other threads exist and
     * `namespaces` is not 0, it may only use what is safe in a signal handler; without namespaces
     * malloc works too. */
    int (*function)(void *ctx);
    void *ctx;
    struct ce_spawn_fd
        fds[CE_SPAWN_FDS_MAX]; /* 0, 1 and 2 are /dev/null unless listed; all others are closed */
    size_t fd_count;
    /* CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID ... With CLONE_NEWUSER the child is
     * root in there, mapped to the user of this process. With CLONE_NEWPID the child is the
     * namespace's pid 1; ret_id is its pid out here. */
    unsigned long namespaces;
    bool keep_user; /* with CLONE_NEWUSER: the child is who it is out here. It has all capabilities
                       in there, until it executes a program. */
    /* Sent to the child when the *thread* that called ce_spawn() ends; 0: none. So only for
     * children made by a thread that lives as long as they should. A program with other privileges
     * than ours loses it on exec. */
    int parent_death_signal;
};

/* Makes the child and returns when it waits at the gate. Closing *ret_gate without ce_spawn_go()
 * ends it (exit code 0); it must be reaped in every case, by ce_process_reap() or ce_process_end().
 */
int ce_spawn(const struct ce_spawn *how, struct ce_process_id *ret_id, int *ret_gate,
             struct ce_error *err);
/* Opens the gate and closes the descriptor, in every case. For a program: returns once it has been
 * executed, or says why it could not be. */
int ce_spawn_go(int gate, struct ce_error *err);

/* Waits until that very process is gone, and reaps it when it is a child of ours. *ret_status (may
 * be NULL) is as from waitpid(), or -1 when it was not our child. 0, or -ETIMEDOUT after `timeout`
 * ns. */
int ce_process_reap(const struct ce_process_id *id, int64_t timeout, int *ret_status);
/* What that function returns in a child (in such new namespaces), 0..255: for trying out what would
 * change this process. It has five seconds. */
int ce_spawn_try(int (*function)(void *ctx), void *ctx, unsigned long namespaces,
                 struct ce_error *err);
/* SIGKILL to that very process, then ce_process_reap(). A process that is gone already is fine. */
int ce_process_end(const struct ce_process_id *id, int64_t timeout, struct ce_error *err);

#endif
