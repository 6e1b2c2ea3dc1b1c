/* SPDX-License-Identifier: MIT */
#include "pipeline/command/dataset.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/seam.h"

int ce_dataset_copy_check(const char *path, struct ce_error *err)
{
    struct stat st;
    ce_autofd int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return ce_fail(err, errno, "dataset: cannot read '%s': %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ce_fail(err, EINVAL, "dataset: '%s' is no regular file", path);
    return 0;
}

int ce_dataset_copy_make(const char *path, const char *run_folder, struct ce_dataset_copy *ret_copy,
                         struct ce_error *err)
{
    const char *slash = strrchr(path, '/');
    ce_autofree char *absolute = realpath(run_folder, NULL);
    ce_autofree char *folder = absolute ? ce_format("%s/dataset", absolute) : NULL;
    if (!folder)
        return absolute ? ce_fail_memory(err)
                        : ce_fail(err, errno, "cannot read '%s': %s", run_folder, strerror(errno));
    (void)pthread_mutex_init(&ret_copy->lock, NULL);
    ret_copy->path = ce_format("%s/%s", folder, slash ? slash + 1 : path);
    if (ret_copy->path)
        ret_copy->variable = ce_format("CHAOSEATER_DATASET=%s", ret_copy->path);
    if (!ret_copy->variable)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(folder, err));
    ce_seam_step("pipeline: copy dataset");
    return ce_file_copy(path, ret_copy->path, err);
}

void ce_dataset_copy_done(struct ce_dataset_copy *copy)
{
    if (copy->path)
        (void)pthread_mutex_destroy(&copy->lock);
    free(copy->path);
    free(copy->variable);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int look(struct ce_dataset_copy *copy, struct ce_error *err)
{
    struct stat now;
    if (stat(copy->path, &now) < 0)
        return ce_fail(err, errno, "cannot read '%s': %s", copy->path, strerror(errno));
    if (copy->is_hashed && is_same(&copy->hashed, &now))
        return 0;
    CE_TRY(ce_sha256_file(copy->path, copy->hash, err));
    copy->hashed = now;
    copy->is_hashed = true;
    return 0;
}

int ce_dataset_copy_look(struct ce_dataset_copy *copy, struct ce_error *err)
{
    (void)pthread_mutex_lock(&copy->lock);
    int r = look(copy, err);
    (void)pthread_mutex_unlock(&copy->lock);
    return r;
}

void ce_dataset_copy_seen(struct ce_dataset_copy *copy, char ret_hex[CE_SHA256_HEX])
{
    (void)pthread_mutex_lock(&copy->lock);
    memcpy(ret_hex, copy->hash, CE_SHA256_HEX);
    (void)pthread_mutex_unlock(&copy->lock);
}
