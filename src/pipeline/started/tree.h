/* SPDX-License-Identifier: MIT */
/* The processes below one, as /proc shows them. */
#ifndef CE_PIPELINE_STARTED_TREE_H
#define CE_PIPELINE_STARTED_TREE_H

#include <sys/types.h>

#include "base/identity.h"

/* Sends a signal to each child of this process; how many there were. */
int ce_tree_signal_children(int signal);
/* The same to all that are below `root`, itself left out. */
void ce_tree_signal_below(pid_t root, int signal);
/* SIGKILL to all that are below `root` and then to itself: once it has gone nobody would find them.
 * For a supervisor that somebody keeps from doing this itself. Returns as ce_process_end(). */
int ce_tree_end(const struct ce_process_id *root, int64_t timeout, struct ce_error *err);
/* The process nearest to `root`, which is none itself, that listens at that TCP port; 0: none of
 * those below does, or it cannot be seen. */
pid_t ce_tree_listener(pid_t root, int port);

#endif
