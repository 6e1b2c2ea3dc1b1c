/* SPDX-License-Identifier: MIT */
#include "host/storage/io_limit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/seam.h"
#include "host/cgroup.h"
#include "host/group.h"

enum { DISK_SIZE = 24 };

struct limit {
    struct ce_storage storage;
    bool v2;
    int note;
    char *group;
    char disk[DISK_SIZE];
};

/* ---- which disk ---- */

int ce_io_disk_of(dev_t dev, char *ret_disk, size_t size, struct ce_error *err)
{
    char path[80];
    struct stat st;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u", major(dev), minor(dev));
    if (major(dev) == 0 || stat(path, &st) < 0)
        return ce_fail(err, ENOTSUP,
                       "it does not lie on a disk: its filesystem has no block device");
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/partition", major(dev), minor(dev));
    if (stat(path, &st) < 0) {
        snprintf(ret_disk, size, "%u:%u", major(dev), minor(dev));
        return 0;
    }
    ce_autofree char *text = NULL;
    size_t n;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/../dev", major(dev), minor(dev));
    CE_TRY(ce_file_read(path, 64, &text, &n, err));
    snprintf(ret_disk, size, "%.*s", (int)strcspn(text, "\n"), text);
    return 0;
}

static int find_disk(const struct ce_subject *subject, char ret_disk[DISK_SIZE],
                     struct ce_error *err)
{
    if (subject->has & CE_SUBJECT_DEVICE) {
        struct stat st;
        if (stat(subject->device, &st) < 0 || !S_ISBLK(st.st_mode))
            return ce_fail(err, ENOTBLK, "'%s' is no block device", subject->device);
        return ce_io_disk_of(st.st_rdev, ret_disk, DISK_SIZE, err);
    }
    struct ce_storage_site site;
    CE_TRY(ce_storage_look(subject, &site, err));
    return ce_io_disk_of(site.dev, ret_disk, DISK_SIZE, err);
}

/* ---- the limit ---- */

/* 0 and below stand for none. */
static unsigned long long whole(double limit)
{
    return limit > 0 && limit < 1e18 ? (unsigned long long)fmax(1, round(limit)) : 0;
}

static int write_v1(const struct limit *limit, const char *file, bool meant, double value)
{
    char text[64];
    snprintf(text, sizeof text, "%s %llu", limit->disk, meant ? whole(value) : 0);
    return ce_cgroup_write(limit->group, file, text);
}

static void max_text(char text[24], bool meant, double value)
{
    if (meant && whole(value) > 0)
        snprintf(text, 24, "%llu", whole(value));
    else
        snprintf(text, 24, "max");
}

static int write_v2(const struct limit *limit, const struct ce_storage_deed *deed)
{
    bool reads = deed->operations & CE_STORAGE_READ, writes = deed->operations & CE_STORAGE_WRITE;
    char riops[24], wiops[24], rbps[24], wbps[24], text[192];
    max_text(riops, reads, deed->iops);
    max_text(wiops, writes, deed->iops);
    max_text(rbps, reads, deed->bytes_per_second);
    max_text(wbps, writes, deed->bytes_per_second);
    snprintf(text, sizeof text, "%s rbps=%s wbps=%s riops=%s wiops=%s", limit->disk, rbps, wbps,
             riops, wiops);
    return ce_cgroup_write(limit->group, "io.max", text);
}

static int set(const struct limit *limit, const struct ce_storage_deed *deed, struct ce_error *err)
{
    bool reads = deed->operations & CE_STORAGE_READ, writes = deed->operations & CE_STORAGE_WRITE;
    int r = 0;
    if (ce_seam_no_effect())
        return 0;
    if (limit->v2) {
        r = write_v2(limit, deed);
    } else {
        const struct {
            const char *file;
            bool meant;
            double value;
        } rows[] = {
            {"blkio.throttle.read_iops_device", reads, deed->iops},
            {"blkio.throttle.write_iops_device", writes, deed->iops},
            {"blkio.throttle.read_bps_device", reads, deed->bytes_per_second},
            {"blkio.throttle.write_bps_device", writes, deed->bytes_per_second},
        };
        for (size_t i = 0; r == 0 && i < CE_COUNT(rows); i++)
            r = write_v1(limit, rows[i].file, rows[i].meant, rows[i].value);
    }
    ce_seam_step("io: limit set");
    return r < 0 ? ce_fail(err, -r, "cannot limit disk %s in control group '%s': %s", limit->disk,
                           limit->group, strerror(-r))
                 : 0;
}

/* ---- the means ---- */

static const char *unfit(const struct ce_subject *subject, const struct ce_storage_deed *deed)
{
    if (!(subject->has & CE_SUBJECT_PROCESS))
        return "the target is no process, so there is none to move to a control group";
    if (!(subject->has & (CE_SUBJECT_FOLDER | CE_SUBJECT_DEVICE)))
        return "the target has neither a folder nor a disk";
    if (deed->latency > 0 || deed->error_rate > 0 || deed->full > 0)
        return "a control group limits operations and bytes per second, nothing else";
    if (!(deed->operations & (CE_STORAGE_READ | CE_STORAGE_WRITE)))
        return "a control group limits reads and writes only";
    return NULL;
}

static int end(struct ce_storage *storage, struct ce_error *err)
{
    struct limit *limit = (struct limit *)storage;
    int r = limit->note > 0 ? ce_undo_now(storage->journal, limit->note, err) : 0;
    free(ce_take(limit->group));
    return r;
}

static int begin_in(struct limit *limit, bool v2, const struct ce_process_list *processes,
                    struct ce_error *err)
{
    limit->v2 = v2;
    int r = ce_group_make(limit->storage.journal, v2 ? NULL : "blkio", v2 ? "io" : NULL, processes,
                          &limit->note, &limit->group, err);
    if (r == 0)
        r = set(limit, &limit->storage.deed, err);
    if (r < 0) {
        int undone = end(&limit->storage, NULL);
        limit->note = 0;
        return undone < 0 ? -ECANCELED : r;
    }
    return 0;
}

static int begin(struct ce_storage *storage, struct ce_error *err)
{
    struct limit *limit = (struct limit *)storage;
    CE_CLEANUP(ce_process_list_done) struct ce_process_list processes = {0};
    CE_TRY(find_disk(&storage->subject, limit->disk, err));
    CE_TRY(ce_process_tree(&storage->subject.process, &processes, err));
    int r = begin_in(limit, true, &processes, err);
    return r < 0 && r != -ECANCELED ? begin_in(limit, false, &processes, err) : r;
}

static int adjust(struct ce_storage *storage, const struct ce_storage_deed *deed,
                  struct ce_error *err)
{
    return set((struct limit *)storage, deed, err);
}

static const char *group(const struct ce_storage *storage)
{
    return ((const struct limit *)storage)->group;
}

static bool available(char *detail, size_t size)
{
    char why[160];
    if (ce_group_available(NULL, "io", detail, size))
        return true;
    snprintf(why, sizeof why, "%s", detail);
    if (ce_group_available("blkio", NULL, detail, size))
        return true;
    snprintf(detail, size, "%s", why);
    return false;
}

const struct ce_storage_means ce_storage_by_cgroup = {
    .name = "cgroup",
    .size = sizeof(struct limit),
    .available = available,
    .unfit = unfit,
    .begin = begin,
    .adjust = adjust,
    .group = group,
    .end = end,
};
