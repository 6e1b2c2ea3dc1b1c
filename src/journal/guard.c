/* SPDX-License-Identifier: MIT */
/* Both ends of the guard: what the controller calls, and the guard's own loop.
 *
 * They share a socket pair (messages keep their bounds, and a dead guard is an error instead of a
 * SIGPIPE) and one page that says whether the deadline has struck. The guard also holds a pidfd of
 * the controller: should a child of the controller have inherited the socket by accident, the
 * controller's death is seen all the same. */
#include "journal/guard.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "journal/journal_internal.h"

/* The guard's descriptors. */
enum { PIPE_FD = 3, CONTROLLER_FD = 4 };

static const int64_t stop_within = 30 * CE_SECOND;
enum { UNDO_TRIES = 4 };

struct message {
    enum { SET_DEADLINE = 1, ALL_DONE } kind;
    int64_t left; /* ns until the deadline; 0: none */
};

struct ce_guard {
    struct ce_process_id id;
    int pipe;
    atomic_bool *fired; /* shared with the guard process */
};

/* ---- the guard process ---- */

struct guard_start {
    const char *path;
    const struct ce_undo_op *const *ops;
    struct ce_process_id controller;
    atomic_bool *fired;
    int64_t patience; /* with a controller that is stuck in the journal's lock */
};

/* Undoes all that is live, with a few more tries for what was only busy. */
static int undo_patiently(struct ce_journal *journal, bool final)
{
    int r = -EAGAIN;
    for (int i = 0; i < UNDO_TRIES && r < 0; i++) {
        struct ce_recovery counts = {0};
        struct ce_error err = {0};
        if (i > 0)
            ce_sleep_until(ce_now() + (50 * CE_MILLISECOND << i));
        r = ce_journal_undo_live(journal, final, &counts, &err);
    }
    return r;
}

/* The controller has died: undo, and leave no journal behind. */
static int undo_finally(struct ce_journal *journal)
{
    int r = ce_journal_lock(journal, CE_LOCK_WRITE, -1);
    if (r == 0)
        r = ce_journal_refresh(journal, NULL);
    if (r == 0)
        r = undo_patiently(journal, true);
    if (r == 0 && !journal->replay.damaged && !ce_journal_gone(journal))
        ce_journal_remove(journal);
    return r;
}

/* The deadline has passed and the controller lives. It may be stopped or stuck while it holds the
 * lock; it is not allowed to outlast its time, so then it is ended, and the pipe's end does the
 * rest. */
static void undo_at_deadline(struct ce_journal *journal, const struct guard_start *start)
{
    if (ce_journal_lock(journal, CE_LOCK_WRITE, start->patience) < 0) {
        (void)ce_process_signal(&start->controller, SIGKILL);
        return;
    }
    /* First the bar, then the undo: what the controller notes in between would be missed. A bar
     * that cannot be written (full disk) must not keep the fault alive. */
    if (ce_journal_refresh(journal, NULL) == 0) {
        (void)ce_journal_bar(journal, NULL);
        atomic_store(start->fired, true);
        (void)undo_patiently(journal, false);
    }
    ce_journal_unlock(journal, CE_LOCK_WRITE);
}

/* Suspend counts: the fault may live on in a machine that sleeps. */
static void set_timer(int timer, int64_t left)
{
    struct itimerspec at = {.it_value = {.tv_sec = left / CE_SECOND, .tv_nsec = left % CE_SECOND}};
    (void)timerfd_settime(timer, 0, &at, NULL);
}

static int watch(struct ce_journal *journal, const struct guard_start *start, int timer)
{
    struct pollfd fds[] = {
        {.fd = PIPE_FD, .events = POLLIN},
        {.fd = CONTROLLER_FD, .events = POLLIN},
        {.fd = timer, .events = POLLIN},
    };
    for (;;) {
        if (poll(fds, CE_COUNT(fds), -1) < 0)
            continue;
        if (fds[0].revents) {
            struct message message;
            ssize_t n = recv(PIPE_FD, &message, sizeof message, 0);
            if (n <= 0)
                return undo_finally(journal);
            if (message.kind == ALL_DONE)
                return 0;
            set_timer(timer, message.left);
        } else if (fds[1].revents) {
            return undo_finally(journal);
        } else if (fds[2].revents) {
            set_timer(timer, 0);
            undo_at_deadline(journal, start);
        }
    }
}

/* A full machine must not take the guard first. Needs a capability, so it may fail. */
static void stay_last(void)
{
    ce_autofd int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (oom >= 0)
        (void)ce_write_all(oom, "-900", strlen("-900"));
}

static int guard_main(void *ctx)
{
    const struct guard_start *start = ctx;
    ce_log_to(NULL, NULL);
    ce_clock_use(NULL);
    (void)prctl(PR_SET_NAME, "ce-guard");
    for (int *signal = (int[]){SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT, 0}; *signal; signal++)
        (void)sigaction(*signal, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    stay_last();
    struct ce_journal *journal = NULL;
    struct ce_error err = {0};
    int timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
    int r = timer < 0 ? ce_fail(&err, errno, "cannot make a timer: %s", strerror(errno)) : 0;
    if (r == 0)
        r = ce_journal_open(start->path, start->ops, &journal, &err);
    if (r == 0)
        r = ce_journal_lock(journal, CE_LOCK_GUARD, 0);
    if (send(PIPE_FD, &r, sizeof r, MSG_NOSIGNAL) < 0 || r < 0)
        return 1;
    return watch(journal, start, timer) < 0;
}

/* ---- the controller's side ---- */

static void guard_free(struct ce_guard *guard)
{
    if (guard->pipe >= 0)
        (void)close(guard->pipe);
    if (guard->fired)
        (void)munmap(guard->fired, sizeof *guard->fired);
    free(guard);
}
CE_DEFINE_CLEANUP(struct ce_guard, guard_free);

static int fork_guard(struct ce_guard *guard, struct guard_start *start, int its_pipe,
                      struct ce_error *err)
{
    ce_autofd int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (self < 0 || ce_process_identify(getpid(), &start->controller) < 0)
        return ce_fail(err, errno, "cannot open the controller's own process: %s", strerror(errno));
    struct ce_spawn how = {
        .function = guard_main,
        .ctx = start,
        .fds = {{its_pipe, PIPE_FD}, {self, CONTROLLER_FD}},
        .fd_count = 2,
    };
    int gate;
    CE_TRY(ce_spawn(&how, &guard->id, &gate, err));
    return ce_spawn_go(gate, err);
}

int ce_guard_start(struct ce_journal *journal, struct ce_guard **ret_guard, struct ce_error *err)
{
    return ce_guard_start_patient(journal, 10 * CE_SECOND, ret_guard, err);
}

int ce_guard_start_patient(struct ce_journal *journal, int64_t patience,
                           struct ce_guard **ret_guard, struct ce_error *err)
{
    CE_CLEANUP(guard_free_p) struct ce_guard *guard = calloc(1, sizeof *guard);
    if (!guard)
        return ce_fail_memory(err);
    guard->pipe = -1;
    void *page =
        mmap(NULL, sizeof *guard->fired, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return ce_fail_memory(err);
    guard->fired = page;
    atomic_init(guard->fired, false);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return ce_fail(err, errno, "cannot make the guard's pipe: %s", strerror(errno));
    guard->pipe = pair[0];
    ce_autofd int its = pair[1];

    struct guard_start start = {
        .path = journal->path, .ops = journal->ops, .fired = guard->fired, .patience = patience};
    CE_TRY(fork_guard(guard, &start, its, err));
    (void)close(ce_take_fd(its));
    int ready = -ECHILD;
    while (recv(guard->pipe, &ready, sizeof ready, 0) < 0 && errno == EINTR)
        ;
    if (ready < 0) {
        (void)ce_process_end(&guard->id, CE_SECOND, NULL);
        return ce_fail(err, -ready, "the guard cannot watch journal '%s': %s", journal->path,
                       strerror(-ready));
    }
    ce_seam_guard(guard->id.pid);
    *ret_guard = ce_take(guard);
    return 0;
}

static int tell(struct ce_guard *guard, struct message message)
{
    return send(guard->pipe, &message, sizeof message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int ce_guard_deadline(struct ce_guard *guard, int64_t at, struct ce_error *err)
{
    /* 0 stops a timer, so a deadline that has passed already strikes after one nanosecond. */
    int64_t left = at == 0 ? 0 : at - ce_now();
    if (at != 0 && left < 1)
        left = 1;
    int r = tell(guard, (struct message){.kind = SET_DEADLINE, .left = left});
    return r < 0 ? ce_fail(err, -r, "the guard (process %d) has gone: %s", (int)guard->id.pid,
                           strerror(-r))
                 : 0;
}

pid_t ce_guard_pid(const struct ce_guard *guard)
{
    return guard->id.pid;
}

/* By the pipe and not by /proc, which cannot be opened when the descriptors have run out. */
bool ce_guard_alive(const struct ce_guard *guard)
{
    struct pollfd end = {.fd = guard->pipe};
    return poll(&end, 1, 0) == 0;
}

bool ce_guard_fired(const struct ce_guard *guard)
{
    return atomic_load(guard->fired);
}

void ce_guard_stop(struct ce_guard *guard)
{
    if (!guard)
        return;
    (void)tell(guard, (struct message){.kind = ALL_DONE});
    if (ce_process_reap(&guard->id, stop_within, NULL) < 0)
        (void)ce_process_end(&guard->id, CE_SECOND, NULL);
    guard_free(guard);
}
