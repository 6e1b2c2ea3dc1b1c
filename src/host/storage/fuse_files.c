/* SPDX-License-Identifier: MIT */
/* What is done to files that are open. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/storage/fuse_tree.h"

static struct ce_fuse_file *file_of(const struct fuse_file_info *fi)
{
    return (struct ce_fuse_file *)(uintptr_t)fi->fh;
}

/* O_DIRECT would want aligned buffers, which what comes from the kernel is not. O_TRUNC is done
 * when the file is opened, O_EXCL when its name is made. */
static int flags_below(int flags)
{
    return (flags & ~(O_DIRECT | O_NOFOLLOW)) | O_CLOEXEC;
}

/* Takes ownership of `fd` on success. Returns 0 or an errno. */
static int keep(struct fuse_file_info *fi, int fd)
{
    struct ce_fuse_file *file = malloc(sizeof *file);
    if (!file)
        return ENOMEM;
    *file = (struct ce_fuse_file){.fd = fd, .synced = fi->flags & (O_DSYNC | O_SYNC)};
    fi->fh = (uintptr_t)file;
    return 0;
}

static void drop(const struct fuse_file_info *fi)
{
    struct ce_fuse_file *file = file_of(fi);
    (void)close(file->fd);
    free(file);
}

void ce_fuse_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int flags = flags_below(fi->flags) & ~(O_CREAT | O_EXCL);
    ce_autofd int fd = ce_fuse_open_again(ce_fuse_inode_of(req, ino)->fd, flags);
    int error = fd < 0 ? -fd : keep(fi, fd);
    if (error > 0) {
        fuse_reply_err(req, error);
        return;
    }
    (void)ce_take_fd(fd);
    ce_fuse_opened(ce_fuse_tree_of(req), ce_fuse_inode_of(req, ino), true);
    if (fuse_reply_open(req, fi) == -ENOENT) { /* whoever asked has gone */
        ce_fuse_opened(ce_fuse_tree_of(req), ce_fuse_inode_of(req, ino), false);
        drop(fi);
    }
}

void ce_fuse_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                    struct fuse_file_info *fi)
{
    struct ce_fuse_tree *tree = ce_fuse_tree_of(req);
    struct fuse_entry_param entry;
    (void)umask(fuse_req_ctx(req)->umask);
    ce_autofd int fd = openat(ce_fuse_inode_of(req, parent)->fd, name,
                              flags_below(fi->flags) | O_CREAT | O_NOFOLLOW, mode);
    int error = fd < 0 ? errno : keep(fi, fd);
    if (error > 0) {
        fuse_reply_err(req, error);
        return;
    }
    /* The very file that was opened, whatever its name stands for by now. */
    int path = ce_fuse_open_again(ce_take_fd(fd), O_PATH);
    error = path < 0 ? -path : ce_fuse_adopt(tree, path, parent, name, &entry);
    if (error > 0) {
        drop(fi);
        fuse_reply_err(req, error);
        return;
    }
    struct ce_fuse_inode *inode = ce_fuse_inode_of(req, entry.ino);
    ce_fuse_opened(tree, inode, true);
    if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
        drop(fi);
        ce_fuse_opened(tree, inode, false);
        ce_fuse_forget(tree, inode, 1);
    }
}

void ce_fuse_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                  struct fuse_file_info *fi)
{
    ce_autofree char *data = malloc(size > 0 ? size : 1);
    size_t have = 0;
    ssize_t n = 1;
    while (data && have < size && n > 0) {
        n = pread(file_of(fi)->fd, data + have, size - have, offset + (off_t)have);
        have += n > 0 ? (size_t)n : 0;
    }
    if (!data || (n < 0 && have == 0))
        fuse_reply_err(req, data ? errno : ENOMEM);
    else
        fuse_reply_buf(req, data, have);
}

void ce_fuse_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                   struct fuse_file_info *fi)
{
    size_t done = 0;
    ssize_t n = 1;
    while (done < size && n > 0) {
        n = pwrite(file_of(fi)->fd, data + done, size - done, offset + (off_t)done);
        done += n > 0 ? (size_t)n : 0;
    }
    if (n < 0 && done == 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_write(req, done);
}

/* Closing a copy says what closing the file would. */
void ce_fuse_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    ce_fuse_wait_for_room(ce_fuse_tree_of(req));
    int copy = fcntl(file_of(fi)->fd, F_DUPFD_CLOEXEC, 0);
    fuse_reply_err(req, copy < 0 || close(copy) < 0 ? errno : 0);
}

void ce_fuse_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    drop(fi);
    ce_fuse_opened(ce_fuse_tree_of(req), ce_fuse_inode_of(req, ino), false);
    fuse_reply_err(req, 0);
}

void ce_fuse_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    int fd = file_of(fi)->fd;
    fuse_reply_err(req, (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0);
}

void ce_fuse_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                       struct fuse_file_info *fi)
{
    fuse_reply_err(req, fallocate(file_of(fi)->fd, mode, offset, length) < 0 ? errno : 0);
}

void ce_fuse_copy(fuse_req_t req, fuse_ino_t from, off_t from_offset,
                  struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
                  struct fuse_file_info *to_fi, size_t size, int flags)
{
    ssize_t n = copy_file_range(file_of(from_fi)->fd, &from_offset, file_of(to_fi)->fd, &to_offset,
                                size, (unsigned)flags);
    if (n < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_write(req, (size_t)n);
}

void ce_fuse_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                   struct fuse_file_info *fi)
{
    off_t found = lseek(file_of(fi)->fd, offset, whence);
    if (found < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_lseek(req, found);
}
