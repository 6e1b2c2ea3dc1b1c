/* SPDX-License-Identifier: MIT */
/* Looking for what people name: processes, systemd units, containers. */
#ifndef CE_TARGET_FIND_H
#define CE_TARGET_FIND_H

#include "host/process_tree.h"

/* The one process of that name (and user, unless NULL): the topmost, when all others are below it.
 * -ESRCH: none; -ENOTUNIQ: several, and which. */
int ce_find_process(const char *name, const char *user, struct ce_process_id *ret_id,
                    struct ce_error *err);
/* All of that name that no other of them is above, by pid. -ESRCH: none. Free with
 * ce_process_list_done(). */
int ce_find_processes(const char *name, const char *user, struct ce_process_list *ret_list,
                      struct ce_error *err);
/* Leaves only those that none of the others is above, by pid. */
void ce_find_topmost(struct ce_process_list *list);
/* The folder of the one control group of that unit, or of that container; in version 2, else where
 * version 1 has systemd's or the memory controller's groups. Free with free(). */
int ce_find_unit(const char *unit, char **ret_folder, struct ce_error *err);
int ce_find_container(const char *id, char **ret_folder, struct ce_error *err);
/* The first process of a group: the one that no other in it is the parent of. -ESRCH: it is empty.
 */
int ce_find_first_in_group(const char *folder, struct ce_process_id *ret_id, struct ce_error *err);
/* The ports at which the process, or one below it, listens (TCP) or is bound (UDP); how many there
 * are, `max` of them in ret_ports. */
size_t ce_find_ports(const struct ce_process_id *root, uint16_t *ret_ports, size_t max);

#endif
