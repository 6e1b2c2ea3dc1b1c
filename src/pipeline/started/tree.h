/* SPDX-License-Identifier: MIT */
/* The processes below one, as /proc shows them. */
#ifndef CE_PIPELINE_STARTED_TREE_H
#define CE_PIPELINE_STARTED_TREE_H

#include <sys/types.h>

/* Sends a signal to each child of this process; how many there were. */
int ce_tree_signal_children(int signal);
/* The same to all that are below `root`, itself left out. */
void ce_tree_signal_below(pid_t root, int signal);
/* The process nearest to `root`, which is none itself, that listens at that TCP port; 0: none of
 * those below does, or it cannot be seen. */
pid_t ce_tree_listener(pid_t root, int port);

#endif
