/* SPDX-License-Identifier: MIT */
/* Reading folders, and what is free. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/storage/fuse_tree.h"

struct folder {
    pthread_mutex_t lock;
    DIR *entries;
    const struct dirent *next; /* read, but not handed on for want of room; NULL: none */
    off_t offset;              /* at which the next read goes on */
};

static struct folder *folder_of(const struct fuse_file_info *fi)
{
    return (struct folder *)(uintptr_t)fi->fh;
}

static void folder_free(struct folder *folder)
{
    (void)closedir(folder->entries);
    (void)pthread_mutex_destroy(&folder->lock);
    free(folder);
}

void ce_fuse_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int fd = ce_fuse_open_again(ce_fuse_inode_of(req, ino)->fd, O_RDONLY | O_DIRECTORY);
    struct folder *folder = fd < 0 ? NULL : calloc(1, sizeof *folder);
    if (!folder || !(folder->entries = fdopendir(fd))) {
        fuse_reply_err(req, fd < 0 ? -fd : ENOMEM);
        if (fd >= 0)
            (void)close(fd);
        free(folder);
        return;
    }
    (void)pthread_mutex_init(&folder->lock, NULL);
    fi->fh = (uintptr_t)folder;
    if (fuse_reply_open(req, fi) == -ENOENT)
        folder_free(folder);
}

/* Fills the buffer from that offset on. Returns how much of it, or -errno. */
static ssize_t fill(fuse_req_t req, struct folder *folder, off_t offset, char *buffer, size_t size)
{
    size_t used = 0;
    if (offset != folder->offset) {
        seekdir(folder->entries, offset);
        folder->next = NULL;
        folder->offset = offset;
    }
    for (;;) {
        errno = 0;
        if (!folder->next)
            folder->next = readdir(folder->entries);
        if (!folder->next)
            return errno > 0 && used == 0 ? -errno : (ssize_t)used;
        const struct dirent *entry = folder->next;
        struct stat st = {.st_ino = entry->d_ino, .st_mode = DTTOIF(entry->d_type)};
        size_t n =
            fuse_add_direntry(req, buffer + used, size - used, entry->d_name, &st, entry->d_off);
        if (n > size - used)
            return (ssize_t)used;
        used += n;
        folder->offset = entry->d_off;
        folder->next = NULL;
    }
}

void ce_fuse_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    struct folder *folder = folder_of(fi);
    ce_autofree char *buffer = malloc(size);
    if (!buffer) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    (void)pthread_mutex_lock(&folder->lock);
    ssize_t n = fill(req, folder, offset, buffer, size);
    (void)pthread_mutex_unlock(&folder->lock);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_buf(req, buffer, (size_t)n);
}

void ce_fuse_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    folder_free(folder_of(fi));
    fuse_reply_err(req, 0);
}

void ce_fuse_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    int fd = dirfd(folder_of(fi)->entries);
    fuse_reply_err(req, (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0);
}

void ce_fuse_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs fs;
    struct ce_storage_gate *gate = ce_fuse_tree_of(req)->gate;
    if (fstatvfs(ce_fuse_inode_of(req, ino)->fd, &fs) < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    double left = 1 - ce_storage_gate_full(gate);
    fs.f_bfree = (fsblkcnt_t)((double)fs.f_bfree * left);
    fs.f_bavail = (fsblkcnt_t)((double)fs.f_bavail * left);
    fuse_reply_statfs(req, &fs);
}
