/* SPDX-License-Identifier: MIT */
#include "host/storage/ballast.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/seam.h"
#include "host/agent.h"
#include "host/memory.h"

enum { LOOK_MS = 50, BLOCK = 4096 };

struct request {
    bool fill; /* else only look */
    double share;
};
struct answer {
    int result;
    struct ce_error err;
    uint64_t held, free;
};

/* ---- in the agent ---- */

struct order {
    char folder[PATH_MAX];
    uint64_t leave;
};

struct ballast {
    int fd;
    uint64_t held, leave;
    uint64_t room; /* free before, less what is left */
    double share;
};

static uint64_t free_bytes(int fd)
{
    struct statvfs fs;
    return fstatvfs(fd, &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* A file without a name, or one that loses it at once. */
static int open_nameless(const char *folder, struct ce_error *err)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    char path[PATH_MAX + 40];
    snprintf(path, sizeof path, "%s/.chaoseater-%d-%" PRId64, folder, (int)getpid(), ce_now());
    ce_autofd int named = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (named < 0 || unlink(path) < 0)
        return ce_fail(err, errno, "cannot make a file in '%s': %s", folder, strerror(errno));
    return ce_take_fd(named);
}

/* One piece more at the file's end. 0 or an errno. */
static int take(struct ballast *ballast, uint64_t size)
{
    static const char zeros[16 * BLOCK];
    if (fallocate(ballast->fd, 0, (off_t)ballast->held, (off_t)size) == 0) {
        ballast->held += size;
        return 0;
    }
    if (errno != EOPNOTSUPP)
        return errno;
    while (size > 0) {
        ssize_t n = pwrite(ballast->fd, zeros, size < sizeof zeros ? size : sizeof zeros,
                           (off_t)ballast->held);
        if (n <= 0)
            return n < 0 ? errno : ENOSPC;
        ballast->held += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return 0;
}

/* What is missing, in pieces that get smaller where they do not fit. Returns 0 or an errno. */
static int grow(struct ballast *ballast, uint64_t missing)
{
    uint64_t piece = missing / BLOCK * BLOCK;
    while (piece >= BLOCK && missing >= BLOCK) {
        uint64_t before = ballast->held;
        int error = take(ballast, piece < missing ? piece : missing / BLOCK * BLOCK);
        missing -= ballast->held - before;
        if (error == ENOSPC)
            piece = piece / 2 / BLOCK * BLOCK;
        else if (error > 0)
            return error;
    }
    return 0;
}

/* All of it: beyond what ordinary users see as free there may be what is kept for root. */
static int grow_to_the_end(struct ballast *ballast)
{
    int error = 0;
    for (uint64_t before = UINT64_MAX; error == 0 && ballast->held != before;) {
        before = ballast->held;
        error = grow(ballast, free_bytes(ballast->fd) + BLOCK);
    }
    return error;
}

static int keep_full(struct ballast *ballast)
{
    if (ballast->share >= 1 && ballast->leave == 0)
        return grow_to_the_end(ballast);
    uint64_t wanted = (uint64_t)((double)ballast->room * ballast->share) / BLOCK * BLOCK;
    if (ballast->share >= 1) { /* as much is free as was asked, whatever others do */
        uint64_t all = ballast->held + free_bytes(ballast->fd);
        wanted = all > ballast->leave ? (all - ballast->leave) / BLOCK * BLOCK : 0;
    }
    if (wanted >= ballast->held)
        return grow(ballast, wanted - ballast->held);
    ballast->held = wanted;
    return ftruncate(ballast->fd, (off_t)wanted) < 0 ? errno : 0;
}

static void answer(const struct ballast *ballast, int channel, int error)
{
    struct answer answer = {.held = ballast->held, .free = free_bytes(ballast->fd)};
    if (error > 0)
        answer.result = ce_fail(&answer.err, error, "cannot take the space: %s", strerror(error));
    (void)send(channel, &answer, sizeof answer, MSG_NOSIGNAL);
}

static int ballast_begin(struct ballast *ballast, const struct order *order, struct ce_error *err)
{
    struct statvfs fs;
    ballast->fd = open_nameless(order->folder, err);
    CE_TRY(ballast->fd);
    if (fstatvfs(ballast->fd, &fs) < 0 || fs.f_blocks == 0)
        return ce_fail(err, ENOTSUP, "the filesystem of '%s' has no size that it could reach",
                       order->folder);
    uint64_t free = free_bytes(ballast->fd);
    if (free <= order->leave)
        return ce_fail(err, ENODATA,
                       "only %" PRIu64
                       " MiB are free in '%s', which is not more than is to be left",
                       free / CE_MIB, order->folder);
    ballast->leave = order->leave;
    ballast->room = free - order->leave;
    return 0;
}

static int ballast_run(void *ctx, int channel)
{
    struct ballast ballast = {.fd = -1};
    struct ce_error err = {0};
    (void)prctl(PR_SET_NAME, "ce-ballast");
    int r = ballast_begin(&ballast, ctx, &err);
    ce_agent_ready(channel, r, &err);
    struct pollfd polled = {.fd = channel, .events = POLLIN};
    while (r == 0) {
        struct request request;
        int ready = poll(&polled, 1, ballast.share > 0 ? LOOK_MS : -1);
        if (ready > 0 && recv(channel, &request, sizeof request, 0) != (ssize_t)sizeof request)
            break;
        if (ready > 0 && request.fill)
            ballast.share = request.share;
        int error = keep_full(&ballast);
        if (ready > 0)
            answer(&ballast, channel, error);
    }
    return r < 0;
}

/* ---- in the controller ---- */

struct filling {
    struct ce_storage storage;
    struct ce_agent *agent;
};

static int ask(struct filling *filling, struct request request, struct answer *ret_answer,
               struct ce_error *err)
{
    CE_TRY(ce_agent_ask(filling->agent, &request, sizeof request, ret_answer, sizeof *ret_answer,
                        err));
    if (ret_answer->result < 0 && err)
        *err = ret_answer->err;
    return ret_answer->result;
}

static const char *unfit(const struct ce_subject *subject, const struct ce_storage_deed *deed)
{
    if (!(subject->has & CE_SUBJECT_FOLDER))
        return "the target has no folder";
    if (deed->full <= 0 ||
        (deed->operations != 0 && (deed->iops > 0 || deed->bytes_per_second > 0 ||
                                   deed->latency > 0 || deed->error_rate > 0)))
        return "a full filesystem is all that it can bring about";
    if (deed->full_error != ENOSPC)
        return "a full filesystem answers ENOSPC and nothing else";
    if (!deed->may_fill)
        return "the target's filesystem is not there for the target alone";
    return NULL;
}

static int adjust(struct ce_storage *storage, const struct ce_storage_deed *deed,
                  struct ce_error *err)
{
    struct answer answer;
    if (ce_seam_no_effect())
        return 0;
    CE_TRY(ask((struct filling *)storage, (struct request){.fill = true, .share = deed->full},
               &answer, err));
    ce_seam_step("ballast: resized");
    return 0;
}

static int end(struct ce_storage *storage, struct ce_error *err)
{
    return ce_agent_stop(ce_take(((struct filling *)storage)->agent), err);
}

static int begin(struct ce_storage *storage, struct ce_error *err)
{
    struct filling *filling = (struct filling *)storage;
    struct order order = {.leave = storage->deed.leave};
    memcpy(order.folder, storage->subject.folder, sizeof order.folder);
    CE_TRY(ce_agent_start(storage->journal, &storage->subject.place, CE_PLACE_MOUNTS, ballast_run,
                          &order, &filling->agent, err));
    int r = adjust(storage, &storage->deed, err);
    if (r < 0)
        (void)end(storage, NULL);
    return r;
}

int ce_ballast_look(struct ce_storage *storage, uint64_t *ret_held, uint64_t *ret_free,
                    struct ce_error *err)
{
    struct answer answer;
    CE_TRY(ask((struct filling *)storage, (struct request){.fill = false}, &answer, err));
    *ret_held = answer.held;
    *ret_free = answer.free;
    return 0;
}

static bool available(char *detail, size_t size)
{
    snprintf(detail, size, "a filesystem that is there for the target alone can be filled up");
    return true;
}

const struct ce_storage_means ce_storage_by_ballast = {
    .name = "ballast",
    .size = sizeof(struct filling),
    .available = available,
    .unfit = unfit,
    .begin = begin,
    .adjust = adjust,
    .end = end,
};
