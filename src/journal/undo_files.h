/* SPDX-License-Identifier: MIT */
/* Undo operations for files and folders: what every room may need. */
#ifndef CE_JOURNAL_UNDO_FILES_H
#define CE_JOURNAL_UNDO_FILES_H

#include <stdbool.h>
#include <sys/stat.h>

#include "journal/journal.h"

/* "restore-file": `path` gets its old bytes back from a before-image that this call copies,
 * fsynced, into the state folder. Identity: device and inode of the folder that holds it. The
 * restored file is byte-identical, with its old mode. When that folder is another one by now, the
 * before-image is kept beside the journals (kept/NAME.HASH). Returns the note. `ret_image` (may be
 * NULL): the before-image's path, to be freed. */
int ce_undo_note_file(struct ce_journal *journal, const char *path, char **ret_image,
                      struct ce_error *err);
/* A path for a before-image of the caller's own, to be freed: what is written there is kept as long
 * as anything in the journal is live, and removed with it. */
int ce_undo_image_path(struct ce_journal *journal, char **ret_image, struct ce_error *err);
/* For an undo that cannot put such bytes back: before they are removed with the journal, they move
 * to kept/NAME.HASH beside the journals. Returns CE_UNDO_FOREIGN, also when they are there already
 * or are not those of the hash, or a negative errno. */
int ce_undo_keep_image(const char *image, const char *name, const char *sha256,
                       struct ce_error *err);
/* Where that is. Free with free(). NULL: no memory. */
char *ce_undo_kept_image(const char *state_dir, const char *name, const char *sha256);
/* "remove-tree": a folder that the caller is about to create is removed again with all that is in
 * it. -EEXIST when there already is something of that name: it would not be ours to remove. Returns
 * the note. */
int ce_undo_note_tree(struct ce_journal *journal, const char *path, struct ce_error *err);

/* {"dev", "ino", "boot"} of a file or folder, for notes. NULL: no memory. */
json_t *ce_undo_file_args(const struct stat *st);
/* Whether it is the one of which a note has "dev", "ino" and "boot". After a reboot the inode alone
 * says so, with the path that led to it: filesystems are numbered anew then. */
bool ce_undo_is_same_file(const json_t *args, const struct stat *st);

extern const struct ce_undo_op ce_undo_restore_file, ce_undo_remove_tree;

#endif
