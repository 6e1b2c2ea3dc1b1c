/* SPDX-License-Identifier: MIT */
/* A target's reads and writes by way of its system calls: those who have gone through a door
 * (host/storage/door.h) as they were started, and their porter answers (host/storage/porter.h). No
 * privilege is needed, and no library: programs of all kinds are hit, statically linked ones too.
 * All that is done here is to say on the page what becomes of them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/spawn.h"
#include "host/storage/door.h"
#include "host/storage/door_page.h"
#include "host/storage/storage_means.h"

struct answered {
    struct ce_storage storage;
    struct ce_door_page *page;
    uint32_t missed; /* calls, when it began */
    int note;
};

static const char *unfit(const struct ce_subject *subject, const struct ce_storage_deed *deed)
{
    if (!(subject->has & CE_SUBJECT_HELPERS))
        return "ChaosEater did not start the target, and answers the system calls of what it "
               "starts";
    if (!(subject->has & CE_SUBJECT_FOLDER))
        return "the target has no folder";
    return deed->leave > 0 ? "it fails writes, and cannot leave some of the space free" : NULL;
}

/* Links are followed as the target would. */
static int resolve(void *ctx, struct ce_error *err)
{
    char *folder = ctx;
    char real[PATH_MAX];
    if (!realpath(folder, real))
        return ce_fail(err, errno, "cannot see folder '%s': %s", folder, strerror(errno));
    memcpy(folder, real, sizeof real);
    return 0;
}

static int end(struct ce_storage *storage, struct ce_error *err)
{
    struct answered *answered = (struct answered *)storage;
    int r = answered->note > 0 ? ce_undo_now(storage->journal, answered->note, err) : 0;
    if (r == 0 && answered->note > 0 && answered->page->armed)
        r = ce_fail(err, EBUSY, "system calls are still answered");
    ce_door_page_unmap(ce_take(answered->page));
    return r;
}

static int begin(struct ce_storage *storage, struct ce_error *err)
{
    struct answered *answered = (struct answered *)storage;
    const char *helpers = storage->subject.helpers;
    char folder[PATH_MAX];
    memcpy(folder, storage->subject.folder, sizeof folder);
    CE_TRY(ce_place_call(&storage->subject.place, CE_PLACE_MOUNTS, resolve, folder, sizeof folder,
                         err));
    int r = ce_door_page_map(helpers, &answered->page, err);
    if (r == -ENOENT)
        return ce_fail(err, ENOTSUP, "the target was not started through chaoseater-door");
    CE_TRY(r);
    answered->missed = answered->page->missed;
    r = ce_door_arm(answered->page, helpers, folder, &storage->deed, storage->journal,
                    &answered->note, err);
    if (r < 0)
        (void)end(storage, NULL);
    return r;
}

/* A porter that was killed has taken the fault along. */
static int check_porter(const struct answered *answered, struct ce_error *err)
{
    return answered->page->missed == answered->missed
               ? 0
               : ce_fail(err, EPIPE, "the process that answers system calls has ended");
}

static int adjust(struct ce_storage *storage, const struct ce_storage_deed *deed,
                  struct ce_error *err)
{
    struct answered *answered = (struct answered *)storage;
    CE_TRY(check_porter(answered, err));
    ce_door_set(answered->page, deed);
    return 0;
}

static int count(struct ce_storage *storage, struct ce_storage_counts *ret_counts,
                 struct ce_error *err)
{
    struct answered *answered = (struct answered *)storage;
    *ret_counts = ce_storage_gate_counts(&answered->page->gate);
    return check_porter(answered, err);
}

/* ---- what the host offers ---- */

/* In a child; the result is the exit code, an errno. */
static int try_out(void *ctx)
{
    int listener;
    return -ce_door_enter(&listener, NULL);
}

static bool available(char *detail, size_t size)
{
    struct ce_error err = {0};
    int code = ce_spawn_try(try_out, NULL, 0, &err);
    if (code < 0) {
        snprintf(detail, size, "%s", err.message);
        return false;
    }
    if (code == 0)
        snprintf(detail, size, "system calls can be answered, of what ChaosEater starts");
    else
        snprintf(detail, size, "the kernel lets nobody answer system calls: %s", strerror(code));
    return code == 0;
}

const struct ce_storage_means ce_storage_by_syscalls = {
    .name = "syscalls",
    .size = sizeof(struct answered),
    .available = available,
    .unfit = unfit,
    .begin = begin,
    .adjust = adjust,
    .count = count,
    .needs_door = true,
    .end = end,
};
