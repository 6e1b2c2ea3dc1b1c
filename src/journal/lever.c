/* SPDX-License-Identifier: MIT */
#include "journal/lever.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

static char *path_of(const char *state_dir)
{
    return ce_format("%s/stop", state_dir);
}

int ce_lever_engage(const char *state_dir, struct ce_error *err)
{
    ce_autofree char *path = path_of(state_dir);
    if (!path)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(state_dir, err));
    ce_autofd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return ce_fail(err, errno, "cannot make '%s': %s", path, strerror(errno));
    return ce_folder_sync(state_dir, err);
}

int ce_lever_release(const char *state_dir, struct ce_error *err)
{
    ce_autofree char *path = path_of(state_dir);
    if (!path)
        return ce_fail_memory(err);
    if (unlink(path) == 0)
        return 1;
    if (errno == ENOENT)
        return 0;
    return ce_fail(err, errno, "cannot remove '%s': %s", path, strerror(errno));
}

bool ce_lever_is_engaged(const char *state_dir)
{
    ce_autofree char *path = path_of(state_dir);
    return path && access(path, F_OK) == 0;
}
