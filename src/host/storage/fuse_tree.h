/* SPDX-License-Identifier: MIT */
/* A folder as a FUSE filesystem serves it: everything goes through to the folder itself.
 *
 * An inode that the kernel knows is a descriptor (O_PATH) of that very file: renaming, removing and
 * linking it need no bookkeeping here. Names are looked up below the descriptor of their folder,
 * never by a path, so what is mounted over the folder does not matter. The kernel is told to trust
 * no name and no attribute (timeouts of 0): what changes behind its back shows at once.
 *
 * The kernel remembers files that nobody uses, and each costs a descriptor. When there are many, a
 * thread makes it forget those that were not looked up for the longest time.
 *
 * Whoever runs these operations has the folder /proc/PID/fd of its own as working folder, so that
 * descriptors have names: "12". Its file-system user is set to the caller's for each request. */
#ifndef CE_HOST_STORAGE_FUSE_TREE_H
#define CE_HOST_STORAGE_FUSE_TREE_H

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <pthread.h>

#include "host/storage/storage_deed.h"

enum { CE_FUSE_BUCKETS = 4096 };

struct ce_fuse_inode {
    struct ce_fuse_inode *next;          /* in its bucket */
    struct ce_fuse_inode *newer, *older; /* by when they were looked up last */
    int fd;                              /* O_PATH */
    bool is_folder;
    dev_t dev;
    ino_t ino;
    uint64_t lookups;  /* that the kernel has not forgotten */
    unsigned opens;    /* files that are open */
    fuse_ino_t parent; /* where it was looked up last */
    char *name;
};

struct ce_fuse_tree {
    struct ce_fuse_inode root; /* its `newer` is the oldest, its `older` the newest of all */
    pthread_mutex_t lock;      /* of the buckets and what is in them */
    pthread_cond_t many, few;
    struct ce_fuse_inode *buckets[CE_FUSE_BUCKETS];
    size_t count, limit; /* inodes; how many may be remembered */
    struct fuse_session *session;
    struct ce_storage_gate *gate;
};

/* Takes ownership of the folder's descriptor. */
int ce_fuse_tree_init(struct ce_fuse_tree *tree, int folder, struct ce_storage_gate *gate);
/* Starts the thread that makes the kernel forget. 0 or a negative errno. */
int ce_fuse_tree_begin(struct ce_fuse_tree *tree, struct fuse_session *session);

/* The user data of the session is the tree. */
extern const struct fuse_lowlevel_ops ce_fuse_tree_ops;

/* An open file. */
struct ce_fuse_file {
    int fd;
    bool synced; /* each write is followed by a sync that belongs to it */
};

/* Between the files of these operations. */
struct ce_fuse_tree *ce_fuse_tree_of(fuse_req_t req);
struct ce_fuse_inode *ce_fuse_inode_of(fuse_req_t req, fuse_ino_t ino);
/* The name of a descriptor. */
struct ce_fuse_fd_name {
    char text[16];
};
struct ce_fuse_fd_name ce_fuse_fd_name(int fd);
/* Another descriptor of the same file; -errno. */
int ce_fuse_open_again(int fd, int flags);

/* fuse_inodes.c */
/* The entry of a file, which is counted as looked up by that name (NULL: it has none). Takes
 * ownership of `fd` (O_PATH). Returns 0 or an errno. */
int ce_fuse_adopt(struct ce_fuse_tree *tree, int fd, fuse_ino_t parent, const char *name,
                  struct fuse_entry_param *ret_entry);
void ce_fuse_forget(struct ce_fuse_tree *tree, struct ce_fuse_inode *inode, uint64_t lookups);
void ce_fuse_opened(struct ce_fuse_tree *tree, struct ce_fuse_inode *inode, bool opened);
/* Waits a while for the kernel to forget when there are far too many inodes. Only in operations for
 * which the kernel has not locked a folder. */
void ce_fuse_wait_for_room(struct ce_fuse_tree *tree);
/* fuse_files.c */
void ce_fuse_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ce_fuse_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                    struct fuse_file_info *fi);
void ce_fuse_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                  struct fuse_file_info *fi);
void ce_fuse_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                   struct fuse_file_info *fi);
void ce_fuse_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ce_fuse_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ce_fuse_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ce_fuse_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                       struct fuse_file_info *fi);
void ce_fuse_copy(fuse_req_t req, fuse_ino_t from, off_t from_offset,
                  struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
                  struct fuse_file_info *to_fi, size_t size, int flags);
void ce_fuse_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                   struct fuse_file_info *fi);
/* fuse_tmpfile.c: answers the kernel's request itself. */
void ce_fuse_make_nameless(struct ce_fuse_tree *tree, int kernel, const void *request);
/* fuse_folders.c */
void ce_fuse_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ce_fuse_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *fi);
void ce_fuse_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ce_fuse_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ce_fuse_statfs(fuse_req_t req, fuse_ino_t ino);
/* fuse_xattr.c */
void ce_fuse_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                      size_t size, int flags);
void ce_fuse_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ce_fuse_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void ce_fuse_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
