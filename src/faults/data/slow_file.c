/* SPDX-License-Identifier: MIT */
#include "faults/data/slow_file.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

enum phase {
    PHASE_STARTING,
    PHASE_FAILED,
    PHASE_HELD,  /* the lease is ours: whoever opens the file waits */
    PHASE_GIVEN, /* somebody has the file open */
};

struct ce_slow_file {
    int file, closes, stop; /* the file; inotify: somebody closed it; eventfd */
    pthread_t thread;
    _Atomic int64_t delay;
    _Atomic uint64_t count;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum phase phase; /* under the lock, as is `failure` */
    int failure;
};

static void enter(struct ce_slow_file *slow, enum phase phase)
{
    pthread_mutex_lock(&slow->lock);
    slow->phase = phase;
    pthread_cond_broadcast(&slow->changed);
    pthread_mutex_unlock(&slow->lock);
}

/* ---- the thread ---- */

/* Real-time signals queue and nobody else sends this one to this thread. */
#define BREAK_SIGNAL (SIGRTMIN + 5)

/* A descriptor that tells when somebody waits at the lease, or -1. SIGIO is what the kernel sends
 * when the queue is full. */
static int watch_breaks(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, BREAK_SIGNAL);
    sigaddset(&set, SIGIO);
    return pthread_sigmask(SIG_BLOCK, &set, NULL) != 0
               ? -1
               : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Giving a lease up makes the kernel forget who was to be told, and how. */
static bool take_lease(int file)
{
    struct f_owner_ex owner = {F_OWNER_TID, gettid()};
    return fcntl(file, F_SETOWN_EX, &owner) == 0 && fcntl(file, F_SETSIG, BREAK_SIGNAL) == 0 &&
           fcntl(file, F_SETLEASE, F_WRLCK) == 0;
}

static void drain(int fd)
{
    char buffer[4096];
    while (read(fd, buffer, sizeof buffer) > 0)
        ;
}

/* Waits until `fd` has something to say (-1: it never has), or for `timeout` ns (negative: for
 * ever). False: it is time to stop. */
static bool wait_for(const struct ce_slow_file *slow, int fd, int64_t timeout)
{
    int64_t until = ce_now() + timeout;
    for (;;) {
        struct pollfd waits[] = {{.fd = slow->stop, .events = POLLIN},
                                 {.fd = fd, .events = POLLIN}};
        int64_t left = until - ce_now();
        int ms = timeout < 0 ? -1 : left > 0 ? (int)(left / CE_MILLISECOND) + 1 : 0;
        int n = poll(waits, 2, ms);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || waits[0].revents)
            return false;
        if (waits[1].revents) {
            drain(fd);
            return true;
        }
        if (timeout >= 0 && ce_now() >= until)
            return true;
    }
}

/* Holds the lease until somebody waits at it, and for the delay after that. */
static bool hold(struct ce_slow_file *slow, int breaks)
{
    enter(slow, PHASE_HELD);
    if (!wait_for(slow, breaks, -1))
        return false;
    slow->count++;
    bool go_on = wait_for(slow, -1, slow->delay);
    enter(slow, PHASE_GIVEN);
    (void)fcntl(slow->file, F_SETLEASE, F_UNLCK);
    return go_on;
}

static void *run(void *arg)
{
    struct ce_slow_file *slow = arg;
    ce_autofd int breaks = watch_breaks();
    bool begun = false;
    for (bool go_on = true; go_on;) {
        if (breaks >= 0 && take_lease(slow->file)) {
            go_on = hold(slow, breaks);
            begun = true;
        } else if (begun && errno == EAGAIN) {
            /* The kernel tells of a close a moment before the file counts as closed. */
            go_on = wait_for(slow, slow->closes, 20 * CE_MILLISECOND);
        } else {
            slow->failure = errno;
            enter(slow, PHASE_FAILED);
            return NULL;
        }
    }
    return NULL;
}

/* ---- from outside ---- */

static void slow_free(struct ce_slow_file *slow)
{
    int fds[] = {slow->file, slow->closes, slow->stop};
    for (size_t i = 0; i < CE_COUNT(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    pthread_mutex_destroy(&slow->lock);
    pthread_cond_destroy(&slow->changed);
    free(slow);
}
CE_DEFINE_CLEANUP(struct ce_slow_file, slow_free);

static int fail_start(const char *path, int code, struct ce_error *err)
{
    if (code == EAGAIN)
        return ce_fail(err, EBUSY, "cannot hold back who opens '%s': it is open somewhere", path);
    if (code == EINVAL)
        return ce_fail(err, EOPNOTSUPP,
                       "cannot hold back who opens '%s': its filesystem has no leases", path);
    return ce_fail(err, code, "cannot hold back who opens '%s': %s", path, strerror(code));
}

int ce_slow_file_start(const char *path, int64_t delay, struct ce_slow_file **ret_slow,
                       struct ce_error *err)
{
    CE_CLEANUP(slow_free_p) struct ce_slow_file *slow = calloc(1, sizeof *slow);
    pthread_condattr_t monotonic;
    if (!slow)
        return ce_fail_memory(err);
    slow->delay = delay;
    pthread_mutex_init(&slow->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&slow->changed, &monotonic);
    slow->closes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    slow->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    slow->file = open(path, O_RDONLY | O_CLOEXEC);
    if (slow->file < 0 || slow->closes < 0 || slow->stop < 0 ||
        inotify_add_watch(slow->closes, path, IN_CLOSE) < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", path, strerror(errno));
    int r = pthread_create(&slow->thread, NULL, run, slow);
    if (r != 0)
        return ce_fail(err, r, "cannot start a thread: %s", strerror(r));
    pthread_mutex_lock(&slow->lock);
    while (slow->phase == PHASE_STARTING)
        pthread_cond_wait(&slow->changed, &slow->lock);
    int failure = slow->phase == PHASE_FAILED ? slow->failure : 0;
    pthread_mutex_unlock(&slow->lock);
    if (failure != 0) {
        pthread_join(slow->thread, NULL);
        return fail_start(path, failure, err);
    }
    *ret_slow = ce_take(slow);
    return 0;
}

void ce_slow_file_stop(struct ce_slow_file *slow)
{
    if (!slow)
        return;
    (void)eventfd_write(slow->stop, 1);
    pthread_join(slow->thread, NULL);
    /* Closing the file ends the lease and lets those go that still wait. */
    slow_free(slow);
}

void ce_slow_file_set(struct ce_slow_file *slow, int64_t delay)
{
    slow->delay = delay;
}

uint64_t ce_slow_file_count(const struct ce_slow_file *slow)
{
    return slow->count;
}

int ce_slow_file_wait(struct ce_slow_file *slow, int64_t timeout)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout / CE_SECOND;
    until.tv_nsec += timeout % CE_SECOND;
    if (until.tv_nsec >= CE_SECOND) {
        until.tv_sec++;
        until.tv_nsec -= CE_SECOND;
    }
    int r = 0;
    pthread_mutex_lock(&slow->lock);
    while (slow->phase != PHASE_HELD && r == 0)
        r = pthread_cond_timedwait(&slow->changed, &slow->lock, &until);
    pthread_mutex_unlock(&slow->lock);
    return -r;
}

int64_t ce_slow_file_limit(void)
{
    ce_autofree char *text = NULL;
    size_t size;
    if (ce_file_read("/proc/sys/fs/lease-break-time", 64, &text, &size, NULL) < 0)
        return 45 * CE_SECOND; /* the kernel's default */
    return strtoll(text, NULL, 10) * CE_SECOND;
}
