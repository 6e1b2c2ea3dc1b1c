/* SPDX-License-Identifier: MIT */
#include "host/storage/fuse_server.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fuse.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/storage/fuse_queue.h"
#include "host/storage/fuse_tree.h"

enum { THREADS = 6 };
/* For what is still open when it ends. */
static const int64_t linger = CE_SECOND / 4;

struct server {
    const struct ce_fuse_service *service;
    int channel, signals;
    int process; /* this process's folder in /proc */
    struct ce_process_id id;
    int device; /* O_PATH of /dev/fuse */
    int kernel; /* the other end of the mount; -1: not mounted */
    struct ce_fuse_tree tree;
    struct ce_storage_gate gate;
    struct fuse_session *session;
    struct ce_fuse_queue *queue;
    pthread_t receiver;
    bool receives;
};

/* ---- one request ---- */

static const struct fuse_in_header *head_of(const struct ce_fuse_request *request)
{
    return request->data.mem;
}

/* Who asks owns what is made, and uses up the quota, if there is one. What may be done was decided
 * by the kernel above. */
static void become(const struct fuse_in_header *head)
{
    static _Thread_local struct {
        uint32_t uid, gid;
        bool known;
    } now;
    if (now.known && now.uid == head->uid && now.gid == head->gid)
        return;
    (void)syscall(SYS_setfsuid, head->uid);
    (void)syscall(SYS_setfsgid, head->gid);
    now.uid = head->uid;
    now.gid = head->gid;
    now.known = true;
}

static void refuse(const struct server *server, const struct ce_fuse_request *request)
{
    struct fuse_out_header out = {
        .len = sizeof out, .error = -request->error, .unique = head_of(request)->unique};
    (void)!write(server->kernel, &out, sizeof out);
}

static void act(void *ctx, struct ce_fuse_request *request)
{
    struct server *server = ctx;
    if (request->error > 0) {
        refuse(server, request);
        return;
    }
    become(head_of(request));
    if (head_of(request)->opcode == FUSE_TMPFILE)
        ce_fuse_make_nameless(&server->tree, server->kernel, request->data.mem);
    else
        fuse_session_process_buf(server->session, &request->data);
}

/* ---- the gate ---- */

struct operation {
    unsigned kind; /* CE_STORAGE_ bit; 0: the gate is not for it */
    uint64_t bytes;
    bool grows;    /* it may need room */
    uint64_t file; /* as the kernel calls it */
    off_t offset;
};

static struct operation operation_of(const struct ce_fuse_request *request)
{
    const struct fuse_in_header *head = head_of(request);
    const void *args = head + 1;
    const struct fuse_read_in *read = args;
    const struct fuse_write_in *write = args;
    const struct fuse_fallocate_in *allocate = args;
    const struct fuse_copy_file_range_in *copy = args;
    const struct fuse_fsync_in *sync = args;
    switch (head->opcode) {
    case FUSE_READ:
        return (struct operation){.kind = CE_STORAGE_READ, .bytes = read->size};
    case FUSE_WRITE:
        return (struct operation){CE_STORAGE_WRITE, write->size, true, write->fh,
                                  (off_t)write->offset};
    case FUSE_FALLOCATE:
        return (struct operation){CE_STORAGE_WRITE, 0, !(allocate->mode & FALLOC_FL_PUNCH_HOLE),
                                  allocate->fh, (off_t)(allocate->offset + allocate->length)};
    case FUSE_COPY_FILE_RANGE:
        return (struct operation){CE_STORAGE_WRITE, copy->len, true, copy->fh_out,
                                  (off_t)copy->off_out};
    case FUSE_FSYNC:
        /* Of a file opened with O_SYNC, the kernel asks after each write: that is one operation. */
        if (((const struct ce_fuse_file *)(uintptr_t)sync->fh)->synced)
            return (struct operation){0};
        return (struct operation){.kind = CE_STORAGE_FSYNC};
    case FUSE_FSYNCDIR:
        return (struct operation){.kind = CE_STORAGE_FSYNC};
    default:
        return (struct operation){0};
    }
}

static void pass_gate(struct server *server, struct ce_fuse_request *request)
{
    struct operation operation = operation_of(request);
    request->until = 0;
    request->error = 0;
    if (operation.kind == 0)
        return;
    bool needs_room = false;
    if (operation.grows && ce_storage_gate_full(&server->gate) > 0) {
        const struct ce_fuse_file *file = (const struct ce_fuse_file *)(uintptr_t)operation.file;
        needs_room = ce_storage_needs_room(file->fd, operation.offset, operation.bytes);
    }
    struct ce_storage_verdict verdict =
        ce_storage_gate_pass(&server->gate, operation.kind, operation.bytes, needs_room, ce_now());
    request->until = verdict.until;
    request->error = verdict.error;
}

static void *receive(void *arg)
{
    struct server *server = arg;
    for (;;) {
        struct ce_fuse_request *request = ce_fuse_queue_blank(server->queue);
        if (!request)
            return NULL;
        int n = fuse_session_receive_buf(server->session, &request->data);
        uint32_t code = n > 0 ? head_of(request)->opcode : 0;
        if (n > 0 && code == FUSE_INIT) {
            /* Before anything else is received: it says how large requests are. */
            fuse_session_process_buf(server->session, &request->data);
        } else if (n > 0 && code != FUSE_INTERRUPT) {
            pass_gate(server, request);
            ce_fuse_queue_add(server->queue, request);
            continue;
        }
        /* An operation on a disk is not interrupted: it is answered in its time. */
        ce_fuse_queue_return(server->queue, request);
        if (n == 0 || (n < 0 && n != -EINTR && n != -EAGAIN))
            return NULL; /* unmounted */
    }
}

/* ---- orders ---- */

static void answer(const struct server *server, int result, const struct ce_error *err)
{
    struct ce_fuse_answer answer = {.result = result, .server = server->id};
    if (result < 0)
        answer.err = *err;
    if (server->kernel >= 0)
        answer.counts = ce_storage_gate_counts((struct ce_storage_gate *)&server->gate);
    (void)send(server->channel, &answer, sizeof answer, MSG_NOSIGNAL);
}

static int session_begin(struct server *server, struct ce_error *err)
{
    char *argv[] = {(char *)"chaoseater", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    char name[24];
    server->session =
        fuse_session_new(&args, &ce_fuse_tree_ops, sizeof ce_fuse_tree_ops, &server->tree);
    fuse_opt_free_args(&args);
    /* It is mounted already: the library is given the other end. */
    snprintf(name, sizeof name, "/dev/fd/%d", server->kernel);
    if (!server->session || fuse_session_mount(server->session, name) != 0)
        return ce_fail(err, EIO, "cannot start a FUSE session");
    return 0;
}

static int begin(struct server *server, struct ce_error *err)
{
    int folder = -1;
    if (server->kernel >= 0)
        return ce_fail(err, EALREADY, "it is mounted already");
    CE_TRY(ce_fuse_mount(server->service->folder, server->service->source, server->device,
                         &server->kernel, &folder, err));
    ce_storage_gate_init(&server->gate, &server->service->deed);
    int r = ce_fuse_tree_init(&server->tree, folder, &server->gate);
    if (r < 0)
        return ce_fail(err, -r, "cannot see folder '%s': %s", server->service->folder,
                       strerror(-r));
    CE_TRY(session_begin(server, err));
    CE_TRY(ce_fuse_queue_new(THREADS, act, server, &server->queue, err));
    r = -ce_fuse_tree_begin(&server->tree, server->session);
    if (r == 0)
        r = pthread_create(&server->receiver, NULL, receive, server);
    if (r != 0)
        return ce_fail(err, r, "cannot start a thread: %s", strerror(r));
    server->receives = true;
    return 0;
}

static void obey(struct server *server, const struct ce_fuse_order *order)
{
    struct ce_error err = {0};
    int r = 0;
    if (order->what == CE_FUSE_MOUNT)
        r = begin(server, &err);
    else if (server->kernel < 0)
        r = ce_fail(&err, EINVAL, "it is not mounted");
    else if (order->what == CE_FUSE_SET) {
        ce_storage_gate_set(&server->gate, &order->deed);
        ce_fuse_queue_release(server->queue, false);
    }
    answer(server, r, &err);
}

/* ---- the process ---- */

/* Capabilities stay as they are when the file-system user changes. The blocks that a filesystem
 * keeps for root stay root's. */
static int keep_capabilities(struct ce_error *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0 ||
        syscall(SYS_capget, &head, data) < 0)
        return ce_fail(err, errno, "cannot serve other users' requests: %s", strerror(errno));
    data[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
    if (syscall(SYS_capset, &head, data) < 0)
        return ce_fail(err, errno, "cannot drop a capability: %s", strerror(errno));
    return 0;
}

/* What leads to this process and to the device is opened before: in another mount namespace /proc
 * and /dev may be others. */
static int settle(struct server *server, struct ce_error *err)
{
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &end, NULL);
    server->signals = signalfd(-1, &end, SFD_CLOEXEC);
    server->process = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (server->signals < 0 || server->process < 0 || chdir("/proc/self/fd") < 0 ||
        ce_process_identify(getpid(), &server->id) < 0)
        return ce_fail(err, errno, "cannot see this process in /proc: %s", strerror(errno));
    server->device = open("/dev/fuse", O_PATH | O_CLOEXEC);
    if (server->device < 0)
        return ce_fail(err, errno, "there is no /dev/fuse: %s", strerror(errno));
    int folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CE_TRY(ce_place_enter(&server->service->place, CE_PLACE_MOUNTS, err));
    /* Entering a mount namespace leads to its root. */
    if (folder < 0 || fchdir(folder) < 0)
        return ce_fail(err, errno, "cannot use /proc/self/fd: %s", strerror(errno));
    (void)close(folder);
    return keep_capabilities(err);
}

/* Nobody can reach it any more once it is unmounted, but for those who have files in it open: they
 * are served a little longer. The kernel hangs up when there are none. */
static void end(struct server *server)
{
    struct timespec until;
    if (server->receives) {
        struct ce_storage_deed nothing = {.seed = server->service->deed.seed};
        ce_storage_gate_set(&server->gate, &nothing);
        ce_fuse_queue_release(server->queue, true);
    }
    (void)ce_fuse_detach(server->process, server->service->source, NULL);
    if (!server->receives)
        return;
    int64_t at = ce_wall_now() + linger;
    until = (struct timespec){.tv_sec = at / CE_SECOND, .tv_nsec = at % CE_SECOND};
    (void)pthread_timedjoin_np(server->receiver, NULL, &until);
    (void)ce_fuse_queue_drain(server->queue, linger);
}

int ce_fuse_serve(const struct ce_fuse_service *service, int channel)
{
    struct server *server = calloc(1, sizeof *server);
    struct ce_error err = {0};
    if (!server)
        return 1;
    server->service = service;
    server->channel = channel;
    server->kernel = -1;
    (void)prctl(PR_SET_NAME, "ce-fuse");
    (void)prctl(PR_SET_TIMERSLACK, 1);
    int r = settle(server, &err);
    answer(server, r, &err);
    while (r == 0) {
        struct pollfd polled[] = {{.fd = channel, .events = POLLIN},
                                  {.fd = server->signals, .events = POLLIN}};
        struct ce_fuse_order order;
        if (poll(polled, CE_COUNT(polled), -1) < 0)
            continue;
        if (polled[1].revents ||
            (polled[0].revents && recv(channel, &order, sizeof order, 0) != sizeof order))
            break;
        if (polled[0].revents)
            obey(server, &order);
    }
    end(server);
    /* Threads may still be at work in there. */
    _exit(r < 0);
}
