/* SPDX-License-Identifier: MIT */
#include "host/storage/fuse_overlay.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "host/agent.h"
#include "host/storage/fuse_server.h"

static const int64_t server_within = CE_SECOND;

/* ---- the holder ---- */

struct holder {
    const struct ce_fuse_service *service;
    int channel; /* to the controller */
    int server;  /* channel to the server */
    int process; /* this process's folder in /proc */
    pid_t pid;   /* the server */
    int ended;   /* readable once it has; /proc may be another here */
};

static int server_start(struct holder *holder, struct ce_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return ce_fail(err, errno, "cannot make a pair of sockets: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(holder->channel);
        (void)close(pair[0]);
        _exit(ce_fuse_serve(holder->service, pair[1]));
    }
    (void)close(pair[1]);
    holder->server = pair[0];
    holder->pid = pid;
    holder->ended = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (holder->ended < 0)
        return ce_fail(err, errno, "cannot make a child process: %s", strerror(errno));
    return 0;
}

/* What the server says; when it has ended, that. */
static struct ce_fuse_answer server_answer(struct holder *holder)
{
    struct ce_fuse_answer answer = {0};
    if (recv(holder->server, &answer, sizeof answer, 0) != sizeof answer)
        answer.result = ce_fail(&answer.err, EPIPE, "the process that serves the folder has ended");
    return answer;
}

static int hold_begin(struct holder *holder, struct ce_error *err)
{
    holder->process = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (holder->process < 0)
        return ce_fail(err, errno, "cannot see this process in /proc: %s", strerror(errno));
    CE_TRY(server_start(holder, err));
    struct ce_fuse_answer stands = server_answer(holder);
    *err = stands.err;
    CE_TRY(stands.result);
    CE_TRY(ce_place_enter(&holder->service->place, CE_PLACE_MOUNTS, err));
    /* A change of user namespace may have taken this away. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return 0;
}

/* Hands orders on, until the controller or the server has ended. */
static void hold(struct holder *holder)
{
    for (;;) {
        struct pollfd polled[] = {{.fd = holder->channel, .events = POLLIN},
                                  {.fd = holder->server, .events = POLLIN}};
        struct ce_fuse_order order;
        if (poll(polled, CE_COUNT(polled), -1) < 0)
            continue;
        if (polled[1].revents ||
            recv(holder->channel, &order, sizeof order, 0) != (ssize_t)sizeof order)
            return;
        (void)send(holder->server, &order, sizeof order, MSG_NOSIGNAL);
        struct ce_fuse_answer answer = server_answer(holder);
        (void)send(holder->channel, &answer, sizeof answer, MSG_NOSIGNAL);
    }
}

/* It ends in order when its channel does. */
static void server_end(struct holder *holder)
{
    struct pollfd ended = {.fd = holder->ended, .events = POLLIN};
    if (holder->server >= 0)
        (void)close(holder->server);
    if (holder->pid <= 0)
        return;
    if (poll(&ended, 1, (int)(server_within / CE_MILLISECOND)) <= 0)
        (void)kill(holder->pid, SIGKILL);
    while (waitpid(holder->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static int holder_run(void *ctx, int channel)
{
    struct holder holder = {.service = ctx, .channel = channel, .server = -1, .ended = -1};
    struct ce_error err = {0};
    int r = hold_begin(&holder, &err);
    ce_agent_ready(channel, r, &err);
    if (r == 0)
        hold(&holder);
    server_end(&holder);
    /* One that was killed leaves the mount. */
    return r < 0 || ce_fuse_detach(holder.process, holder.service->source, NULL) < 0;
}

/* ---- in the controller ---- */

struct overlay {
    struct ce_storage storage;
    struct ce_fuse_service service;
    struct ce_agent *agent;
    struct ce_process_id server;
    int note;
};

static int ask(struct overlay *overlay, const struct ce_fuse_order *order,
               struct ce_fuse_answer *ret_answer, struct ce_error *err)
{
    CE_TRY(ce_agent_ask(overlay->agent, order, sizeof *order, ret_answer, sizeof *ret_answer, err));
    if (ret_answer->result < 0 && err)
        *err = ret_answer->err;
    return ret_answer->result;
}

static const char *unfit(const struct ce_subject *subject, const struct ce_storage_deed *deed)
{
    if (!(subject->has & CE_SUBJECT_FOLDER))
        return "the target has no folder";
    return deed->leave > 0 ? "it fails writes, and cannot leave some of the space free" : NULL;
}

/* Whoever keeps the journal must not wait for a folder that waits for orders. */
static int refuse_own(const struct overlay *overlay, struct ce_error *err)
{
    struct ce_storage_site site;
    CE_TRY(ce_storage_look(&overlay->storage.subject, &site, err));
    if (site.is_root)
        return ce_fail(err, EPERM, "'/' is never mounted over: name a folder below it");
    ce_autofree char *above = strdup(ce_journal_folder(overlay->storage.journal));
    if (!above)
        return ce_fail_memory(err);
    while (*above) {
        struct stat st;
        if (stat(above, &st) == 0 && st.st_dev == site.dev && st.st_ino == site.ino)
            return ce_fail(err, EPERM,
                           "'%s' is not mounted over: ChaosEater keeps its own state in there",
                           overlay->storage.subject.folder);
        char *slash = strrchr(above, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    return 0;
}

static int overlay_end(struct ce_storage *storage, struct ce_error *err)
{
    struct overlay *overlay = (struct overlay *)storage;
    int r = overlay->note > 0 ? ce_undo_now(storage->journal, overlay->note, err) : 0;
    int stopped = ce_agent_stop(ce_take(overlay->agent), r < 0 ? NULL : err);
    return r < 0 ? r : stopped;
}

static int overlay_mount(struct overlay *overlay, struct ce_error *err)
{
    struct ce_fuse_order order = {.what = CE_FUSE_COUNT};
    struct ce_fuse_answer answer;
    /* Nothing is mounted yet, but whoever is going to serve it says who it is. */
    CE_TRY(ce_agent_ask(overlay->agent, &order, sizeof order, &answer, sizeof answer, err));
    overlay->server = answer.server;
    int note = ce_undo_note_fuse(overlay->storage.journal, &overlay->service.place,
                                 overlay->service.source, &overlay->server, err);
    CE_TRY(note);
    overlay->note = note;
    order.what = CE_FUSE_MOUNT;
    CE_TRY(ask(overlay, &order, &answer, err));
    ce_seam_step("fuse: mounted");
    return 0;
}

static int overlay_begin(struct ce_storage *storage, struct ce_error *err)
{
    struct overlay *overlay = (struct overlay *)storage;
    struct ce_fuse_service *service = &overlay->service;
    CE_TRY(refuse_own(overlay, err));
    *service = (struct ce_fuse_service){.place = storage->subject.place, .deed = storage->deed};
    memcpy(service->folder, storage->subject.folder, sizeof service->folder);
    snprintf(service->source, sizeof service->source, "chaoseater-%016" PRIx64, ce_random_seed());
    if (ce_seam_no_effect())
        service->deed = ce_storage_deed_scaled(&storage->deed, 0);
    CE_TRY(ce_agent_start(storage->journal, NULL, 0, holder_run, service, &overlay->agent, err));
    int r = overlay_mount(overlay, err);
    if (r < 0)
        (void)overlay_end(storage, NULL);
    return r;
}

static int overlay_adjust(struct ce_storage *storage, const struct ce_storage_deed *deed,
                          struct ce_error *err)
{
    struct ce_fuse_order order = {.what = CE_FUSE_SET, .deed = *deed};
    struct ce_fuse_answer answer;
    if (ce_seam_no_effect())
        return 0;
    CE_TRY(ask((struct overlay *)storage, &order, &answer, err));
    ce_seam_step("fuse: adjusted");
    return 0;
}

static int overlay_count(struct ce_storage *storage, struct ce_storage_counts *ret_counts,
                         struct ce_error *err)
{
    struct ce_fuse_order order = {.what = CE_FUSE_COUNT};
    struct ce_fuse_answer answer;
    CE_TRY(ask((struct overlay *)storage, &order, &answer, err));
    *ret_counts = answer.counts;
    return 0;
}

static int overlay_left(const struct ce_storage *storage, struct ce_error *err)
{
    const struct overlay *overlay = (const struct overlay *)storage;
    if (ce_fuse_is_mounted(overlay->service.source))
        return ce_fail(err, EBUSY, "'%s' is still mounted over", overlay->service.folder);
    return 0;
}

struct ce_process_id ce_fuse_overlay_server(const struct ce_storage *storage)
{
    return ((const struct overlay *)storage)->server;
}

struct ce_process_id ce_fuse_overlay_holder(const struct ce_storage *storage)
{
    return ce_agent_id(((const struct overlay *)storage)->agent);
}

/* ---- what the host offers ---- */

/* In mount (and for ordinary users: user) namespaces of a child's own. The result is the exit code:
 * an errno, +128 when mounting failed. */
static int try_out(void *ctx)
{
    int session = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    char options[128];
    if (session < 0)
        return errno;
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u", session,
             (unsigned)geteuid(), (unsigned)getegid());
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("chaoseater", "/tmp", CE_FUSE_TYPE, 0, options) < 0)
        return errno + 128;
    return 0;
}

static bool overlay_available(char *detail, size_t size)
{
    unsigned long namespaces = CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    struct ce_error err = {0};
    int code = ce_spawn_try(try_out, NULL, namespaces, &err);
    if (code < 0) {
        snprintf(detail, size, "%s", err.message);
        return false;
    }
    if (code == 0)
        snprintf(detail, size, "a FUSE filesystem can be mounted over a folder%s",
                 geteuid() == 0 ? "" : " of a target in a user namespace of this user's");
    else if (code < 128)
        snprintf(detail, size, "this user cannot open /dev/fuse: %s", strerror(code));
    else
        snprintf(detail, size, "a FUSE filesystem cannot be mounted: %s", strerror(code - 128));
    return code == 0;
}

const struct ce_storage_means ce_storage_by_fuse = {
    .name = "fuse",
    .size = sizeof(struct overlay),
    .available = overlay_available,
    .unfit = unfit,
    .begin = overlay_begin,
    .adjust = overlay_adjust,
    .count = overlay_count,
    .end = overlay_end,
    .left = overlay_left,
};
