/* SPDX-License-Identifier: MIT */
/* A folder on a filesystem of the test's own, in a mount namespace of the test's own, and a journal
 * beside it. */
#ifndef CE_TESTS_STORAGE_WORLD_H
#define CE_TESTS_STORAGE_WORLD_H

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/spawn.h"
#include "check.h"
#include "controller/controller.h"
#include "host/process.h"
#include "host/storage/storage.h"
#include "host/storage/storage_means.h"
#include "host/storage/storage_probe.h"

static const int64_t patience = 10 * CE_SECOND;

struct world {
    char folder[64], state[80];
    char disk[80]; /* the folder under test: a tmpfs of 64 MiB, or what the test mounts there */
    struct ce_journal *journal;
    struct ce_subject subject;
    struct ce_storage *storage;
};

/* Once, at the program's start. False: this user may not. */
static inline bool world_enter(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static inline int world_open(struct world *w)
{
    struct ce_error err = {0};
    snprintf(w->state, sizeof w->state, "%s/state", w->folder);
    snprintf(w->disk, sizeof w->disk, "%s/disk", w->folder);
    w->subject = (struct ce_subject){.name = "test target",
                                     .has = CE_SUBJECT_PROCESS | CE_SUBJECT_FOLDER,
                                     .folder_is_dedicated = true};
    snprintf(w->subject.folder, sizeof w->subject.folder, "%s", w->disk);
    if (ce_process_identify(getpid(), &w->subject.process) < 0 ||
        ce_place_here(&w->subject.place, &err) < 0)
        return -ESRCH;
    int r = ce_journal_create(w->state, "run", ce_undo_ops, &w->journal, &err);
    if (r < 0)
        printf("# %s\n", err.message);
    return r;
}

static inline int world_make(struct world *w)
{
    *w = (struct world){.folder = "/tmp/chaoseater-storage-XXXXXX"};
    if (!mkdtemp(w->folder))
        return -errno;
    char disk[80];
    snprintf(disk, sizeof disk, "%s/disk", w->folder);
    if (mkdir(disk, 0755) < 0 ||
        mount("test", disk, "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=0755") < 0)
        return -errno;
    return world_open(w);
}

static inline void world_remove(struct world *w)
{
    (void)ce_storage_end(ce_take(w->storage), NULL);
    ce_journal_close(w->journal);
    while (umount2(w->disk, MNT_DETACH) == 0)
        ;
    (void)ce_tree_remove(w->folder, NULL);
}
#define WORLD(w)                                                                                   \
    CE_CLEANUP(world_remove) struct world w;                                                       \
    REQUIRE(world_make(&w) == 0)

static inline int world_begin(struct world *w, const char *means,
                              const struct ce_storage_deed *deed)
{
    struct ce_error err = {0};
    int r = ce_storage_begin(w->journal, &w->subject, deed, means, &w->storage, &err);
    if (r < 0)
        printf("# %s\n", err.message);
    return r;
}

static inline int world_end(struct world *w)
{
    struct ce_error err = {0};
    int r = ce_storage_end(ce_take(w->storage), &err);
    if (r < 0)
        printf("# %s\n", err.message);
    return r;
}

/* A path in the folder under test; in one of a few buffers. */
static inline const char *in(const struct world *w, const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", w->disk, name);
    return path;
}

static inline bool is_fuse_mounted(const struct world *w)
{
    char line[1024];
    ce_autofile FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts && fgets(line, sizeof line, mounts))
        if (strstr(line, w->folder) && strstr(line, "fuse.chaoseater"))
            return true;
    return !mounts;
}

/* Waits until it is, or is not. */
static inline bool await_fuse(const struct world *w, bool mounted)
{
    int64_t until = ce_now() + patience;
    while (is_fuse_mounted(w) != mounted && ce_now() < until)
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    return is_fuse_mounted(w) == mounted;
}

static inline struct ce_storage_seen watch(struct world *w, const struct ce_storage_probe *probe)
{
    struct ce_storage_seen seen = {0};
    struct ce_error err = {0};
    struct ce_storage_probe patient = *probe;
    patient.patience = patience;
    patient.group = w->storage ? ce_storage_group(w->storage) : NULL;
    if (ce_storage_witness(&w->subject, &patient, &seen, &err) < 0)
        printf("# %s\n", err.message);
    return seen;
}

static inline double rate(const struct ce_storage_seen *seen)
{
    return seen->took > 0 ? (double)seen->done * (double)CE_SECOND / (double)seen->took : 0;
}

/* The machine has other things to do: a rate within that share of what was asked, once in a few
 * attempts. Never more than asked. */
static inline bool sees_rate(struct world *w, const struct ce_storage_probe *probe, double asked)
{
    for (int attempt = 0; attempt < 8; attempt++) {
        struct ce_storage_seen seen = watch(w, probe);
        printf("# %.1f operations per second, %.1f asked\n", rate(&seen), asked);
        if (rate(&seen) > asked * 1.05)
            return false;
        if (rate(&seen) >= asked * 0.95)
            return true;
    }
    return false;
}

#endif
