/* SPDX-License-Identifier: MIT */
/* Private folders for rows of tables: chaoseater-table-PID-XXXXXX, mode 0700. Whoever made one
 * holds a lock on the file `lock` in it as long as it lives, so a folder whose lock is free is a
 * dead process's, with rows in it that nobody should find. The next process that makes a folder
 * removes it; the PID is for people. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "orchestrator/dataset_internal.h"

#define PREFIX "chaoseater-table-"

CE_DEFINE_CLEANUP(DIR, closedir);

static const char *parent_folder(void)
{
    const char *parent = getenv("TMPDIR");
    return parent && *parent ? parent : "/tmp";
}

/* ---- those of the dead ---- */

/* Takes the lock of a folder of ours. Without a file to lock it is empty, or becomes so at once:
 * its owner died, or has not come so far, and will make another when this one is gone. */
static bool is_dead(int parent, const char *name, int *ret_lock)
{
    struct stat st;
    ce_autofd int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 || fstat(folder, &st) < 0 || st.st_uid != geteuid())
        return false;
    ce_autofd int lock = openat(folder, "lock", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (lock < 0 && errno == ENOENT)
        (void)unlinkat(parent, name, AT_REMOVEDIR); /* fails unless it is empty */
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
        return false;
    *ret_lock = ce_take_fd(lock);
    return true;
}

/* What cannot be removed is left for the next one. */
static void remove_dead(const char *parent)
{
    CE_CLEANUP(closedir_p) DIR *dir = opendir(parent);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        ce_autofd int lock = -1;
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
            !is_dead(dirfd(dir), entry->d_name, &lock))
            continue;
        ce_autofree char *path = ce_format("%s/%s", parent, entry->d_name);
        if (path)
            (void)ce_tree_remove(path, NULL);
    }
}

/* ---- our own ---- */

/* 1: ours; 0: somebody took it for a dead one's before it was locked. */
static int lock_folder(const char *path, int *ret_lock, struct ce_error *err)
{
    struct stat mine, named;
    ce_autofree char *name = ce_format("%s/lock", path);
    if (!name)
        return ce_fail_memory(err);
    ce_autofd int lock = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock < 0)
        return errno == ENOENT
                   ? 0
                   : ce_fail(err, errno, "cannot write '%s': %s", name, strerror(errno));
    if (flock(lock, LOCK_EX | LOCK_NB) < 0 || fstat(lock, &mine) < 0 || lstat(name, &named) < 0 ||
        mine.st_ino != named.st_ino || mine.st_dev != named.st_dev)
        return 0;
    *ret_lock = ce_take_fd(lock);
    return 1;
}

int ce_table_folder_make(struct ce_table_folder *ret_folder, struct ce_error *err)
{
    remove_dead(parent_folder());
    for (;;) {
        ce_autofree char *path =
            ce_format("%s/" PREFIX "%d-XXXXXX", parent_folder(), (int)getpid());
        int lock = -1;
        if (!path)
            return ce_fail_memory(err);
        if (!mkdtemp(path))
            return ce_fail(err, errno, "cannot make a temporary folder '%s': %s", path,
                           strerror(errno));
        int r = lock_folder(path, &lock, err);
        if (r > 0) {
            *ret_folder = (struct ce_table_folder){.path = ce_take(path), .lock = lock};
            return 0;
        }
        if (r < 0) {
            (void)ce_tree_remove(path, NULL);
            return r;
        }
    }
}

void ce_table_folder_remove(struct ce_table_folder *folder)
{
    if (!folder->path)
        return;
    (void)ce_tree_remove(folder->path, NULL);
    (void)close(folder->lock); /* last: until then the folder is ours */
    free(folder->path);
    *folder = (struct ce_table_folder){0};
}
