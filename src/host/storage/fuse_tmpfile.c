/* SPDX-License-Identifier: MIT */
/* Files without a name (O_TMPFILE), which the library does not know: request and answer as the
 * kernel has them. */
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/storage/fuse_tree.h"

struct made {
    struct fuse_out_header head;
    struct fuse_entry_out entry;
    struct fuse_open_out file;
};

static struct fuse_attr attr_of(const struct stat *st)
{
    return (struct fuse_attr){
        .ino = st->st_ino,
        .size = (uint64_t)st->st_size,
        .blocks = (uint64_t)st->st_blocks,
        .atime = (uint64_t)st->st_atim.tv_sec,
        .mtime = (uint64_t)st->st_mtim.tv_sec,
        .ctime = (uint64_t)st->st_ctim.tv_sec,
        .atimensec = (uint32_t)st->st_atim.tv_nsec,
        .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
        .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
        .mode = st->st_mode,
        .nlink = (uint32_t)st->st_nlink,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .blksize = (uint32_t)st->st_blksize,
    };
}

/* Returns 0 or an errno. */
static int make(struct ce_fuse_tree *tree, int parent, const struct fuse_create_in *in,
                struct made *made)
{
    (void)umask(in->umask);
    ce_autofree struct ce_fuse_file *file = malloc(sizeof *file);
    ce_autofd int fd =
        open(ce_fuse_fd_name(parent).text,
             (int)(in->flags & ~(unsigned)(O_DIRECT | O_CREAT)) | O_TMPFILE | O_CLOEXEC, in->mode);
    if (!file || fd < 0)
        return file ? errno : ENOMEM;
    int path = ce_fuse_open_again(fd, O_PATH);
    struct fuse_entry_param entry;
    int error = path < 0 ? -path : ce_fuse_adopt(tree, path, FUSE_ROOT_ID, NULL, &entry);
    if (error > 0)
        return error;
    ce_fuse_opened(tree, (struct ce_fuse_inode *)(uintptr_t)entry.ino, true);
    *file = (struct ce_fuse_file){.fd = ce_take_fd(fd),
                                  .synced = in->flags & (unsigned)(O_DSYNC | O_SYNC)};
    made->entry.nodeid = entry.ino;
    made->entry.attr = attr_of(&entry.attr);
    made->file.fh = (uintptr_t)ce_take(file);
    return 0;
}

void ce_fuse_make_nameless(struct ce_fuse_tree *tree, int kernel, const void *request)
{
    const struct fuse_in_header *head = request;
    const struct fuse_create_in *in = (const void *)(head + 1);
    int parent = head->nodeid == FUSE_ROOT_ID
                     ? tree->root.fd
                     : ((const struct ce_fuse_inode *)(uintptr_t)head->nodeid)->fd;
    struct made made = {.head = {.unique = head->unique}};
    int error = make(tree, parent, in, &made);
    made.head.error = -error;
    made.head.len = error > 0 ? sizeof made.head : sizeof made;
    (void)!write(kernel, &made, made.head.len);
}
