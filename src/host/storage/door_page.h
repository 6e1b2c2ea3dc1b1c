/* SPDX-License-Identifier: MIT */
/* The page by which the porters of a target (host/storage/porter.h) are told what becomes of its
 * system calls: a small file in the folder $CHAOSEATER_HELPERS, mapped by all of them and by
 * whoever gives the orders. The gate through which calls pass lies in it, so that limits are common
 * to all processes of the target, and so are the figures.
 *
 * One word says whether there is an order at all, and it is written last: a controller that dies at
 * any moment leaves it either armed, with an order that is whole and an undo that is noted, or not.
 */
#ifndef CE_HOST_STORAGE_DOOR_PAGE_H
#define CE_HOST_STORAGE_DOOR_PAGE_H

#include <limits.h>
#include <stdatomic.h>

#include "host/storage/storage_deed.h"
#include "journal/journal.h"

#define CE_DOOR_PAGE "door.page"

struct ce_door_page {
    _Atomic uint32_t magic;
    _Atomic uint32_t armed;  /* 0: all calls pass */
    _Atomic uint32_t orders; /* another number whenever the order is another */
    _Atomic uint32_t missed; /* calls that passed because their porter had been killed */
    char folder[PATH_MAX];   /* the order is about files in there */
    struct ce_storage_gate gate;
};

/* Makes the page in that folder, with nothing armed. One that is there stays as it is. */
int ce_door_page_make(const char *folder, struct ce_error *err);
/* -ENOENT: nobody has made one there. */
int ce_door_page_map(const char *folder, struct ce_door_page **ret_page, struct ce_error *err);
/* By its path; -EPROTO: that is no such page. */
int ce_door_page_map_file(const char *path, struct ce_door_page **ret_page, struct stat *ret_stat);
void ce_door_page_unmap(struct ce_door_page *page); /* NULL is fine */

/* Notes "disarm-door" and then arms the page in `helpers`. `folder`: what the links in /proc/PID/fd
 * of the target begin with. *ret_note is set as soon as there is a note, also on failure;
 * ce_undo_now() of it disarms. -EBUSY: somebody else has armed it. */
int ce_door_arm(struct ce_door_page *page, const char *helpers, const char *folder,
                const struct ce_storage_deed *deed, struct ce_journal *journal, int *ret_note,
                struct ce_error *err);
/* Another deed from now on, for who has armed it. What waits is let go. */
void ce_door_set(struct ce_door_page *page, const struct ce_storage_deed *deed);

extern const struct ce_undo_op ce_undo_disarm_door;

#endif
