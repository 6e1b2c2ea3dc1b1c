/* SPDX-License-Identifier: MIT */
#include "host/storage/fuse_tree.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- inodes ---- */

struct ce_fuse_tree *ce_fuse_tree_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

struct ce_fuse_inode *ce_fuse_inode_of(fuse_req_t req, fuse_ino_t ino)
{
    if (ino == FUSE_ROOT_ID)
        return &ce_fuse_tree_of(req)->root;
    /* The kernel gives back what it was given. */
    return (struct ce_fuse_inode *)(uintptr_t)ino;
}

struct ce_fuse_fd_name ce_fuse_fd_name(int fd)
{
    struct ce_fuse_fd_name name;
    snprintf(name.text, sizeof name.text, "%d", fd);
    return name;
}

int ce_fuse_open_again(int fd, int flags)
{
    int again = open(ce_fuse_fd_name(fd).text, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
    return again < 0 ? -errno : again;
}

/* ---- names ---- */

static int find(fuse_req_t req, fuse_ino_t parent, const char *name,
                struct fuse_entry_param *ret_entry)
{
    int fd = openat(ce_fuse_inode_of(req, parent)->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? errno : ce_fuse_adopt(ce_fuse_tree_of(req), fd, parent, name, ret_entry);
}

static void reply_entry(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;
    int error = find(req, parent, name, &entry);
    if (error > 0)
        fuse_reply_err(req, error);
    else if (fuse_reply_entry(req, &entry) == -ENOENT) /* whoever asked has gone */
        ce_fuse_forget(ce_fuse_tree_of(req), ce_fuse_inode_of(req, entry.ino), 1);
}

static void reply_result(fuse_req_t req, int result)
{
    fuse_reply_err(req, result < 0 ? errno : 0);
}

static void lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_entry(req, parent, name);
}

static void forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
    ce_fuse_forget(ce_fuse_tree_of(req), ce_fuse_inode_of(req, ino), lookups);
    fuse_reply_none(req);
}

static void forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        ce_fuse_forget(ce_fuse_tree_of(req), ce_fuse_inode_of(req, forgets[i].ino),
                       forgets[i].nlookup);
    fuse_reply_none(req);
}

/* The folder's default ACL, if it has one, counts instead of the caller's umask, so the kernel
 * below has to apply it. */
static void use_umask(fuse_req_t req)
{
    (void)umask(fuse_req_ctx(req)->umask);
}

static void reply_made(fuse_req_t req, int result, fuse_ino_t parent, const char *name)
{
    if (result < 0)
        fuse_reply_err(req, errno);
    else
        reply_entry(req, parent, name);
}

static void make_node(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    use_umask(req);
    reply_made(req, mknodat(ce_fuse_inode_of(req, parent)->fd, name, mode, rdev), parent, name);
}

static void make_folder(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    use_umask(req);
    reply_made(req, mkdirat(ce_fuse_inode_of(req, parent)->fd, name, mode), parent, name);
}

static void make_link_to(fuse_req_t req, const char *to, fuse_ino_t parent, const char *name)
{
    reply_made(req, symlinkat(to, ce_fuse_inode_of(req, parent)->fd, name), parent, name);
}

static void make_hard_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct ce_fuse_fd_name old = ce_fuse_fd_name(ce_fuse_inode_of(req, ino)->fd);
    reply_made(
        req, linkat(AT_FDCWD, old.text, ce_fuse_inode_of(req, parent)->fd, name, AT_SYMLINK_FOLLOW),
        parent, name);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_result(req, unlinkat(ce_fuse_inode_of(req, parent)->fd, name, 0));
}

static void remove_folder(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_result(req, unlinkat(ce_fuse_inode_of(req, parent)->fd, name, AT_REMOVEDIR));
}

static void rename_file(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                        const char *new_name, unsigned flags)
{
    reply_result(req, renameat2(ce_fuse_inode_of(req, parent)->fd, name,
                                ce_fuse_inode_of(req, new_parent)->fd, new_name, flags));
}

static void read_link(fuse_req_t req, fuse_ino_t ino)
{
    char to[PATH_MAX + 1];
    ssize_t n = readlinkat(ce_fuse_inode_of(req, ino)->fd, "", to, sizeof to - 1);
    if (n < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    to[n] = '\0';
    fuse_reply_readlink(req, to);
}

/* ---- attributes ---- */

static void reply_attributes(fuse_req_t req, fuse_ino_t ino)
{
    struct stat st;
    if (fstatat(ce_fuse_inode_of(req, ino)->fd, "", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_attr(req, &st, 0);
}

static void get_attributes(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    ce_fuse_wait_for_room(ce_fuse_tree_of(req));
    reply_attributes(req, ino);
}

static struct timespec time_wanted(int wanted, int now, int to_set, struct timespec time)
{
    if (to_set & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    return to_set & wanted ? time : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_size(int fd, const struct fuse_file_info *fi, off_t size)
{
    if (fi)
        return ftruncate(((struct ce_fuse_file *)(uintptr_t)fi->fh)->fd, size);
    return truncate(ce_fuse_fd_name(fd).text, size);
}

/* The order matters: changing the owner takes set-user-ID bits away. */
static int set_all(int fd, const struct stat *attr, int to_set, const struct fuse_file_info *fi)
{
    if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
        uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
        gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
        if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
            return -1;
    }
    if (to_set & FUSE_SET_ATTR_SIZE && set_size(fd, fi, attr->st_size) < 0)
        return -1;
    if (to_set & FUSE_SET_ATTR_MODE && chmod(ce_fuse_fd_name(fd).text, attr->st_mode) < 0)
        return -1;
    int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW |
                FUSE_SET_ATTR_MTIME_NOW;
    if (!(to_set & times))
        return 0;
    struct timespec values[2] = {
        time_wanted(FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, to_set, attr->st_atim),
        time_wanted(FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, to_set, attr->st_mtim),
    };
    return utimensat(fd, "", values, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

static void set_attributes(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                           struct fuse_file_info *fi)
{
    if (set_all(ce_fuse_inode_of(req, ino)->fd, attr, to_set, fi) < 0)
        fuse_reply_err(req, errno);
    else
        reply_attributes(req, ino);
}

/* ---- the session ---- */

static void start(void *tree, struct fuse_conn_info *conn)
{
    unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_AUTO_INVAL_DATA |
                      FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_POSIX_ACL |
                      FUSE_CAP_DONT_MASK;
    /* Nothing that would keep operations from coming here, and no privileges of files to drop: the
     * kernel above does that. */
    conn->want = conn->capable & wanted;
    conn->max_background = 64;
}

const struct fuse_lowlevel_ops ce_fuse_tree_ops = {
    .init = start,
    .lookup = lookup,
    .forget = forget,
    .forget_multi = forget_multi,
    .getattr = get_attributes,
    .setattr = set_attributes,
    .readlink = read_link,
    .mknod = make_node,
    .mkdir = make_folder,
    .unlink = remove_name,
    .rmdir = remove_folder,
    .symlink = make_link_to,
    .rename = rename_file,
    .link = make_hard_link,
    .open = ce_fuse_open,
    .create = ce_fuse_create,
    .read = ce_fuse_read,
    .write = ce_fuse_write,
    .flush = ce_fuse_flush,
    .release = ce_fuse_release,
    .fsync = ce_fuse_fsync,
    .fallocate = ce_fuse_fallocate,
    .copy_file_range = ce_fuse_copy,
    .lseek = ce_fuse_lseek,
    .opendir = ce_fuse_opendir,
    .readdir = ce_fuse_readdir,
    .releasedir = ce_fuse_releasedir,
    .fsyncdir = ce_fuse_fsyncdir,
    .statfs = ce_fuse_statfs,
    .setxattr = ce_fuse_setxattr,
    .getxattr = ce_fuse_getxattr,
    .listxattr = ce_fuse_listxattr,
    .removexattr = ce_fuse_removexattr,
};
