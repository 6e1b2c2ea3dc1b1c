/* SPDX-License-Identifier: MIT */
/* A process and all that is below it, as /proc shows them. A process whose parent has ended is
 * below it no more. */
#ifndef CE_HOST_PROCESS_TREE_H
#define CE_HOST_PROCESS_TREE_H

#include <stddef.h>

#include "base/identity.h"

struct ce_process_list {
    struct ce_process_id *items; /* parents before their children */
    size_t count;
};
/* `root` and its descendants, as they are now. -ESRCH when the root is gone. Free with
 * ce_process_list_done(). */
int ce_process_tree(const struct ce_process_id *root, struct ce_process_list *ret_list,
                    struct ce_error *err);
/* Adds the descendants of those in the list that are not in it yet, and leaves out nobody: who has
 * ended stays. Returns how many it added. */
int ce_process_list_grow(struct ce_process_list *list, struct ce_error *err);
void ce_process_list_done(struct ce_process_list *list);

/* The parent of that very process, or 0 when it is gone, or outside what can be seen. */
pid_t ce_process_parent(const struct ce_process_id *id);

#endif
