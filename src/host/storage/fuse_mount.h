/* SPDX-License-Identifier: MIT */
/* Mounting a FUSE filesystem of ours over a folder, and taking it off again.
 *
 * The mount's source is a name that only it has: by that name it is found in /proc/PID/mountinfo,
 * wherever it is mounted, and nobody else's mount is taken for it. It is taken off lazily: that
 * works when nobody serves it any more, and while files in it are open. Those answer ENOTCONN from
 * then on. */
#ifndef CE_HOST_STORAGE_FUSE_MOUNT_H
#define CE_HOST_STORAGE_FUSE_MOUNT_H

#include "host/place.h"
#include "journal/journal.h"

#define CE_FUSE_TYPE        "fuse.chaoseater"
#define CE_FUSE_SOURCE_SIZE 48

/* In the place itself. `device`: a descriptor (O_PATH) of /dev/fuse; the working folder is
 * /proc/PID/fd. *ret_folder is the folder below the mount. */
int ce_fuse_mount(const char *folder, const char *source, int device, int *ret_session,
                  int *ret_folder, struct ce_error *err);
/* In the place itself. `process`: a descriptor of this process's folder in /proc, which there might
 * be another. 0: it is not mounted there any more. */
int ce_fuse_detach(int process, const char *source, struct ce_error *err);
/* Whether it is mounted anywhere that this user can see. */
bool ce_fuse_is_mounted(const char *source);

/* "unmount": note it before mounting. Undo takes the mount off, in whichever mount namespaces it
 * has got to, and ends the process that serves it, once that has answered what it was asked.
 * Returns the note. */
int ce_undo_note_fuse(struct ce_journal *journal, const struct ce_place *place, const char *source,
                      const struct ce_process_id *server, struct ce_error *err);
extern const struct ce_undo_op ce_undo_unmount;

#endif
