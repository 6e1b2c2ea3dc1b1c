/* SPDX-License-Identifier: MIT */
/* Whole files, and writes that survive a crash. */
#ifndef CE_BASE_FILE_H
#define CE_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* Reads a file whole, with a NUL after its last byte that *ret_size does not count. "-" is standard
 * input. More than `limit` bytes are refused with EFBIG. Free *ret_text with free(). */
int ce_file_read(const char *path, size_t limit, char **ret_text, size_t *ret_size,
                 struct ce_error *err);

/* Writes all of it or fails; retries interrupted and partial writes. Returns 0 or a negative errno.
 */
int ce_write_all(int fd, const void *data, size_t size);

/* Replaces `path` in one step: temporary file beside it, fsync, rename, fsync of the folder. */
int ce_file_replace(const char *path, const void *data, size_t size, struct ce_error *err);

/* Copies a file's bytes to a new file and fsyncs it. `to` must not exist. */
int ce_file_copy(const char *from, const char *to, struct ce_error *err);

/* Makes the names in `folder` durable. */
int ce_folder_sync(const char *folder, struct ce_error *err);
/* Makes the folder and its missing parents, mode 0700. */
int ce_folder_make(const char *path, struct ce_error *err);
/* Removes a folder and everything in it; does not follow links or leave its filesystem. A missing
 * one is fine. */
int ce_tree_remove(const char *path, struct ce_error *err);

/* "folder/name", printf style. NULL: out of memory. Free with free(). */
char *ce_format(const char *fmt, ...) CE_PRINTF(1, 2);

#endif
