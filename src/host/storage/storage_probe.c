/* SPDX-License-Identifier: MIT */
#include "host/storage/storage_probe.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/group.h"
#include "host/storage/porter.h"
#include "host/storage/storage_deed.h"

static const int64_t removed_within = CE_SECOND;
enum { BLOCK = CE_STORAGE_PROBE_BLOCK, COUNT_MAX = 4096, ATTEMPTS = 50 };

struct witness {
    struct ce_place place;
    char folder[PATH_MAX];
    struct ce_storage_probe probe;
    struct ce_storage_seen seen;
};

/* ---- in the child ---- */

struct file {
    int fd;
    off_t at;
    char *block;
};

static void see_failure(struct ce_storage_seen *seen, int error)
{
    if (seen->error != error) {
        seen->error = error;
        seen->errors = 0;
    }
    seen->errors++;
    seen->failed++;
}

/* Without a name where the filesystem can; else it loses its name at once, also when whoever serves
 * the folder dies meanwhile and is taken away. */
static int open_nameless(const char *folder, int flags)
{
    int fd = open(folder, flags | O_TMPFILE, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    char path[PATH_MAX + 40];
    snprintf(path, sizeof path, "%s/.chaoseater-%d-%" PRId64, folder, (int)getpid(), ce_now());
    fd = open(path, flags | O_CREAT | O_EXCL, 0600);
    int error = errno;
    int64_t until = ce_now() + removed_within;
    while (unlink(path) < 0 && errno != ENOENT && ce_now() < until)
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    errno = error;
    return fd;
}

/* Past the kernel's memory of files where the filesystem can; else each write waits for the disk.
 */
static int open_file(const char *folder)
{
    int flags = O_RDWR | O_CLOEXEC;
    int fd = open_nameless(folder, flags | O_DIRECT);
    if (fd < 0 && errno == EINVAL)
        fd = open_nameless(folder, flags | O_DSYNC);
    return fd < 0 ? -errno : fd;
}

/* Returns 0 or an errno. */
static int operate(struct file *file, const struct ce_storage_probe *probe)
{
    ssize_t n;
    if (probe->kind == CE_STORAGE_READ)
        n = pread(file->fd, file->block, BLOCK, 0);
    else if (probe->kind == CE_STORAGE_FSYNC)
        n = fsync(file->fd) < 0 ? -1 : BLOCK;
    else
        n = pwrite(file->fd, file->block, BLOCK, file->at);
    file->at += probe->grow ? BLOCK : 0;
    return n < 0 ? errno : n < BLOCK ? ENOSPC : 0;
}

/* What is read or synced has to be there first. */
static int prepare(struct file *file, struct ce_error *err)
{
    for (int attempt = 0;; attempt++) {
        if (pwrite(file->fd, file->block, BLOCK, 0) == BLOCK)
            return 0;
        if (attempt == ATTEMPTS)
            return ce_fail(err, errno, "cannot write the witness's file: %s", strerror(errno));
    }
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void watch(struct file *file, const struct ce_storage_probe *probe,
                  struct ce_storage_seen *seen)
{
    static int64_t took[COUNT_MAX];
    int64_t until = ce_now() + probe->patience;
    size_t well = 0;
    for (size_t i = 0; i < probe->warm && ce_now() < until; i++)
        (void)operate(file, probe);
    int64_t begin = ce_now(), last = begin;
    while (seen->done < probe->count && (seen->done < 2 || last < until)) {
        int error = operate(file, probe);
        int64_t now = ce_now();
        if (error > 0)
            see_failure(seen, error);
        else if (well < COUNT_MAX)
            took[well++] = now - last;
        seen->done++;
        last = now;
    }
    seen->took = last - begin;
    if (well > 0) {
        qsort(took, well, sizeof took[0], compare);
        seen->p50 = took[well / 2];
    }
}

static int witness_inside(void *ctx, struct ce_error *err)
{
    struct witness *witness = ctx;
    struct ce_storage_seen *seen = &witness->seen;
    CE_TRY(ce_place_enter(&witness->place, CE_PLACE_MOUNTS, err));
    /* Else nobody could see its files, had it become another user on its way. */
    (void)prctl(PR_SET_DUMPABLE, 1);
    struct statvfs fs;
    ce_autofree char *block = NULL;
    if (posix_memalign((void **)&block, BLOCK, BLOCK) != 0)
        return ce_fail_memory(err);
    memset(block, 'c', BLOCK);
    ce_autofd int fd = open_file(witness->folder);
    seen->free = statvfs(witness->folder, &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
    if (fd < 0) {
        seen->done++;
        see_failure(seen, -fd);
        return 0;
    }
    struct file file = {.fd = fd, .block = block};
    if (witness->probe.kind != CE_STORAGE_WRITE)
        CE_TRY(prepare(&file, err));
    watch(&file, &witness->probe, seen);
    return 0;
}

static int witness_there(void *ctx, struct ce_error *err)
{
    struct witness *witness = ctx;
    if (witness->probe.group)
        CE_TRY(ce_group_join(witness->probe.group, getpid(), err));
    if (witness->probe.helpers)
        return ce_porter_call(witness->probe.helpers, witness_inside, witness, sizeof *witness,
                              err);
    return witness_inside(witness, err);
}

/* ---- in the caller ---- */

int ce_storage_witness(const struct ce_subject *subject, const struct ce_storage_probe *probe,
                       struct ce_storage_seen *ret_seen, struct ce_error *err)
{
    struct witness witness = {.place = subject->place, .probe = *probe};
    memcpy(witness.folder, subject->folder, sizeof witness.folder);
    if (witness.probe.count > COUNT_MAX)
        witness.probe.count = COUNT_MAX;
    CE_TRY(ce_place_call(&subject->place, 0, witness_there, &witness, sizeof witness, err));
    *ret_seen = witness.seen;
    return 0;
}
