/* SPDX-License-Identifier: MIT */
/* The inodes that the kernel knows. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/storage/fuse_tree.h"

enum { FORGET_AT_ONCE = 256, LIMIT_MAX = 65536 };
static const int64_t patience = 100 * CE_MILLISECOND;

int ce_fuse_tree_init(struct ce_fuse_tree *tree, int folder, struct ce_storage_gate *gate)
{
    struct stat st;
    struct rlimit files = {.rlim_cur = 1024};
    *tree = (struct ce_fuse_tree){.root = {.fd = folder, .lookups = 1}, .gate = gate};
    if (fstat(folder, &st) < 0)
        return -errno;
    tree->root.dev = st.st_dev;
    tree->root.ino = st.st_ino;
    tree->root.newer = tree->root.older = &tree->root;
    /* The other half is for files that are open, and until the kernel has forgotten. */
    (void)getrlimit(RLIMIT_NOFILE, &files);
    tree->limit = files.rlim_cur / 2 < LIMIT_MAX ? (size_t)files.rlim_cur / 2 : LIMIT_MAX;
    (void)pthread_cond_init(&tree->many, NULL);
    (void)pthread_cond_init(&tree->few, NULL);
    return -pthread_mutex_init(&tree->lock, NULL);
}

/* ---- in the table ---- */

static struct ce_fuse_inode **bucket_of(struct ce_fuse_tree *tree, dev_t dev, ino_t ino)
{
    return &tree->buckets[(ino ^ dev * 2654435761U) % CE_FUSE_BUCKETS];
}

static void unlink_age(struct ce_fuse_inode *inode)
{
    inode->newer->older = inode->older;
    inode->older->newer = inode->newer;
}

static void make_newest(struct ce_fuse_tree *tree, struct ce_fuse_inode *inode)
{
    inode->newer = &tree->root;
    inode->older = tree->root.older;
    inode->older->newer = inode;
    tree->root.older = inode;
}

/* NULL: no memory. */
static struct ce_fuse_inode *inode_new(struct ce_fuse_tree *tree, int fd, const struct stat *st)
{
    struct ce_fuse_inode **bucket = bucket_of(tree, st->st_dev, st->st_ino);
    struct ce_fuse_inode *inode = calloc(1, sizeof *inode);
    if (!inode)
        return NULL;
    *inode = (struct ce_fuse_inode){.next = *bucket,
                                    .fd = fd,
                                    .is_folder = S_ISDIR(st->st_mode),
                                    .dev = st->st_dev,
                                    .ino = st->st_ino};
    *bucket = inode;
    make_newest(tree, inode);
    if (++tree->count > tree->limit)
        (void)pthread_cond_signal(&tree->many);
    return inode;
}

/* The inode of that file, counted once more; NULL: no memory. Takes ownership of `fd` on success.
 */
static struct ce_fuse_inode *inode_get(struct ce_fuse_tree *tree, int fd, const struct stat *st,
                                       fuse_ino_t parent, const char *name)
{
    (void)pthread_mutex_lock(&tree->lock);
    struct ce_fuse_inode *inode = *bucket_of(tree, st->st_dev, st->st_ino);
    while (inode && (inode->ino != st->st_ino || inode->dev != st->st_dev))
        inode = inode->next;
    if (inode)
        (void)close(fd);
    else
        inode = inode_new(tree, fd, st);
    if (inode) {
        inode->lookups++;
        inode->parent = parent;
        if (name && (!inode->name || strcmp(inode->name, name) != 0)) {
            free(inode->name);
            inode->name = strdup(name); /* NULL: then the kernel is not made to forget it */
        }
        unlink_age(inode);
        make_newest(tree, inode);
    }
    (void)pthread_mutex_unlock(&tree->lock);
    return inode;
}

static void inode_free(struct ce_fuse_tree *tree, struct ce_fuse_inode *inode)
{
    struct ce_fuse_inode **at = bucket_of(tree, inode->dev, inode->ino);
    while (*at != inode)
        at = &(*at)->next;
    *at = inode->next;
    unlink_age(inode);
    if (--tree->count == tree->limit)
        (void)pthread_cond_broadcast(&tree->few);
    (void)close(inode->fd);
    free(inode->name);
    free(inode);
}

void ce_fuse_forget(struct ce_fuse_tree *tree, struct ce_fuse_inode *inode, uint64_t lookups)
{
    if (inode == &tree->root)
        return;
    (void)pthread_mutex_lock(&tree->lock);
    inode->lookups -= lookups;
    if (inode->lookups == 0)
        inode_free(tree, inode);
    (void)pthread_mutex_unlock(&tree->lock);
}

void ce_fuse_opened(struct ce_fuse_tree *tree, struct ce_fuse_inode *inode, bool opened)
{
    (void)pthread_mutex_lock(&tree->lock);
    inode->opens += opened ? 1U : -1U;
    (void)pthread_mutex_unlock(&tree->lock);
}

int ce_fuse_adopt(struct ce_fuse_tree *tree, int fd, fuse_ino_t parent, const char *name,
                  struct fuse_entry_param *ret_entry)
{
    struct fuse_entry_param entry = {0};
    int error = fstatat(fd, "", &entry.attr, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
    struct ce_fuse_inode *inode =
        error == 0 ? inode_get(tree, fd, &entry.attr, parent, name) : NULL;
    if (!inode) {
        (void)close(fd);
        return error > 0 ? error : ENOMEM;
    }
    entry.ino = (fuse_ino_t)(uintptr_t)inode;
    *ret_entry = entry;
    return 0;
}

/* ---- forgetting ---- */

struct forgotten {
    fuse_ino_t parent;
    char *name;
};

/* The oldest that nobody has open. Folders stay: somebody may work in one, and would lose its name.
 * Those that are tried become the newest, so that each has its turn. */
static size_t choose(struct ce_fuse_tree *tree, struct forgotten *chosen)
{
    size_t count = 0, left = tree->count;
    while (left-- > 0 && count < FORGET_AT_ONCE) {
        struct ce_fuse_inode *inode = tree->root.newer;
        unlink_age(inode);
        make_newest(tree, inode);
        if (inode->is_folder || inode->opens > 0 || !inode->name)
            continue;
        char *name = strdup(inode->name);
        if (name)
            chosen[count++] = (struct forgotten){inode->parent, name};
    }
    return count;
}

/* Never by a thread that answers the kernel: it may have locked the folder until it is answered. */
static void *forget(void *arg)
{
    struct ce_fuse_tree *tree = arg;
    static struct forgotten chosen[FORGET_AT_ONCE];
    (void)pthread_mutex_lock(&tree->lock);
    for (;;) {
        while (tree->count <= tree->limit)
            (void)pthread_cond_wait(&tree->many, &tree->lock);
        size_t count = choose(tree, chosen);
        if (count == 0)
            (void)pthread_cond_wait(&tree->many, &tree->lock);
        (void)pthread_mutex_unlock(&tree->lock);
        for (size_t i = 0; i < count; i++) {
            (void)fuse_lowlevel_notify_inval_entry(tree->session, chosen[i].parent, chosen[i].name,
                                                   strlen(chosen[i].name));
            free(chosen[i].name);
        }
        (void)pthread_mutex_lock(&tree->lock);
    }
    return NULL;
}

void ce_fuse_wait_for_room(struct ce_fuse_tree *tree)
{
    struct timespec until;
    (void)pthread_mutex_lock(&tree->lock);
    if (tree->count > tree->limit + tree->limit / 2) {
        int64_t at = ce_wall_now() + patience;
        until = (struct timespec){.tv_sec = at / CE_SECOND, .tv_nsec = at % CE_SECOND};
        (void)pthread_cond_timedwait(&tree->few, &tree->lock, &until);
    }
    (void)pthread_mutex_unlock(&tree->lock);
}

int ce_fuse_tree_begin(struct ce_fuse_tree *tree, struct fuse_session *session)
{
    pthread_t thread;
    tree->session = session;
    int error = pthread_create(&thread, NULL, forget, tree);
    if (error == 0)
        (void)pthread_detach(thread);
    return -error;
}
