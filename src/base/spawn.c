/* SPDX-License-Identifier: MIT */
#include "base/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"

/* What the child says to its maker: that it waits at the gate (code 0), or which step failed. */
struct report {
    int code; /* errno */
    enum step { STEP_SETUP, STEP_FDS, STEP_USER, STEP_EXEC } step;
};

static const char *const step_names[] = {
    [STEP_SETUP] = "set up",
    [STEP_FDS] = "hand its descriptors to",
    [STEP_USER] = "map the user of",
    [STEP_EXEC] = "execute",
};

/* ---- in the child: only what is safe in a signal handler ---- */

static void __attribute__((noreturn)) give_up(int gate, enum step step)
{
    struct report report = {.code = errno, .step = step};
    (void)ce_write_all(gate, &report, sizeof report);
    _exit(127);
}

static int write_proc(const char *path, const char *text)
{
    ce_autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

static int map_user(uid_t uid, gid_t gid, bool keep)
{
    char text[48];
    /* The kernel wants setgroups denied before an ordinary user may map a group. */
    if (write_proc("/proc/self/setgroups", "deny") < 0 && errno != ENOENT)
        return -1;
    snprintf(text, sizeof text, "%u %u 1", keep ? (unsigned)uid : 0, (unsigned)uid);
    if (write_proc("/proc/self/uid_map", text) < 0)
        return -1;
    snprintf(text, sizeof text, "%u %u 1", keep ? (unsigned)gid : 0, (unsigned)gid);
    return write_proc("/proc/self/gid_map", text);
}

static void reset_signals(void)
{
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int signal = 1; signal < NSIG; signal++)
        (void)sigaction(signal, &by_default, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Sources and targets may overlap, so everything is first copied above the highest target. The gate
 * ends just above the targets, at a number that is returned, or -1. */
static int arrange_fds(const struct ce_spawn *how, int gate)
{
    int floor = STDERR_FILENO + 1, copies[CE_SPAWN_FDS_MAX];
    for (size_t i = 0; i < how->fd_count; i++)
        if (how->fds[i].as >= floor)
            floor = how->fds[i].as + 1;

    for (size_t i = 0; i < how->fd_count; i++) {
        copies[i] = fcntl(how->fds[i].fd, F_DUPFD_CLOEXEC, floor + 1);
        if (copies[i] < 0)
            return -1;
    }
    gate = fcntl(gate, F_DUPFD_CLOEXEC, floor + 1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int nothing = null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, floor + 1);
    if (gate < 0 || nothing < 0 || dup3(gate, floor, O_CLOEXEC) < 0)
        return -1;
    for (int number = 0; number < floor; number++) {
        int from = number <= STDERR_FILENO ? nothing : -1;
        for (size_t i = 0; i < how->fd_count; i++)
            if (how->fds[i].as == number)
                from = copies[i];
        if (from < 0)
            (void)close(number);
        else if (dup2(from, number) < 0)
            return -1;
    }
    return close_range((unsigned)floor + 1, ~0U, 0) < 0 ? -1 : floor;
}

static void __attribute__((noreturn))
run_child(const struct ce_spawn *how, int gate, uid_t uid, gid_t gid)
{
    ce_seam_leave();
    reset_signals();
    (void)setsid();
    if (how->namespaces & CLONE_NEWUSER && map_user(uid, gid, how->keep_user) < 0)
        give_up(gate, STEP_USER);
    if (how->parent_death_signal && prctl(PR_SET_PDEATHSIG, how->parent_death_signal) < 0)
        give_up(gate, STEP_SETUP);
    int moved = arrange_fds(how, gate);
    if (moved < 0)
        give_up(gate, STEP_FDS);
    gate = moved;

    struct report ready = {0};
    char go;
    if (ce_write_all(gate, &ready, sizeof ready) < 0 || read(gate, &go, 1) != 1)
        _exit(0); /* the maker has gone, or has changed its mind */
    if (how->function) {
        (void)close(gate);
        _exit(how->function(how->ctx));
    }
    (void)execve(how->argv[0], (char *const *)how->argv,
                 how->env ? (char *const *)how->env : environ);
    give_up(gate, STEP_EXEC);
}

/* ---- in the maker ---- */

/* Reads the child's next report. 0 and *ret_report; 1 when the gate has ended; or -errno. */
static int read_report(int gate, struct report *ret_report)
{
    ssize_t n;
    do
        n = recv(gate, ret_report, sizeof *ret_report, MSG_WAITALL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return n == (ssize_t)sizeof *ret_report ? 0 : 1;
}

static int explain(const struct report *report, struct ce_error *err)
{
    return ce_fail(err, report->code, "cannot %s the child process: %s", step_names[report->step],
                   strerror(report->code));
}

int ce_spawn(const struct ce_spawn *how, struct ce_process_id *ret_id, int *ret_gate,
             struct ce_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return ce_fail(err, errno, "cannot make the gate of a child process: %s", strerror(errno));
    ce_autofd int mine = pair[0];
    ce_autofd int its = pair[1];

    uid_t uid = geteuid();
    gid_t gid = getegid();
    /* fork() keeps malloc usable in the child of a process with threads; only the bare call knows
     * namespaces. */
    pid_t pid = how->namespaces
                    ? (pid_t)syscall(SYS_clone, how->namespaces | SIGCHLD, NULL, NULL, NULL, NULL)
                    : fork();
    if (pid < 0)
        return ce_fail(err, errno, "cannot make a child process: %s", strerror(errno));
    if (pid == 0) {
        (void)close(mine);
        run_child(how, its, uid, gid);
    }
    (void)close(ce_take_fd(its));

    struct report report = {0};
    int r = read_report(mine, &report);
    if (r == 0 && report.code == 0) {
        struct ce_process_id id;
        r = ce_process_identify(pid, &id);
        if (r == 0) {
            *ret_id = id;
            *ret_gate = ce_take_fd(mine);
            return 0;
        }
    }
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (r == 0)
        return explain(&report, err);
    return ce_fail(err, ECHILD, "a child process ended before it was set up");
}

int ce_spawn_go(int gate, struct ce_error *err)
{
    ce_autofd int fd = gate;
    /* MSG_NOSIGNAL: a child that was killed at the gate is an error, not a SIGPIPE. */
    ssize_t n;
    do
        n = send(fd, "g", 1, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return ce_fail(err, errno, "the child process ended before it could start: %s",
                       strerror(errno));
    struct report report;
    int r = read_report(fd, &report);
    if (r < 0)
        return ce_fail(err, -r, "the child process ended before it could start: %s", strerror(-r));
    return r == 0 ? explain(&report, err) : 0;
}

int ce_process_reap(const struct ce_process_id *id, int64_t timeout, int *ret_status)
{
    int status = -1;
    int64_t until = ce_now() + timeout;
    ce_autofd int fd = ce_process_open(id->pid);
    /* Checked after the pidfd pins it: a process that took the pid since is not waited for. */
    while (fd >= 0 && ce_process_state(id) != 0) {
        siginfo_t info = {0};
        int r = waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG);
        if (r == 0 && info.si_pid != 0) {
            status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
            break;
        }
        if (r < 0 && errno != EINTR && !ce_process_alive(id))
            break; /* somebody else's child, and dead */
        int64_t left = until - ce_now();
        if (left <= 0)
            return -ETIMEDOUT;
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        (void)poll(&pollfd, 1, (int)(left / CE_MILLISECOND) + 1);
    }
    if (ret_status)
        *ret_status = status;
    return 0;
}

int ce_process_end(const struct ce_process_id *id, int64_t timeout, struct ce_error *err)
{
    int r = ce_process_signal(id, SIGKILL);
    if (r < 0 && r != -ESRCH)
        return ce_fail(err, -r, "cannot end process %d: %s", (int)id->pid, strerror(-r));
    if (ce_process_reap(id, timeout, NULL) < 0)
        return ce_fail(err, ETIMEDOUT, "process %d is still there %d ms after it was killed",
                       (int)id->pid, (int)(timeout / CE_MILLISECOND));
    return 0;
}

int ce_spawn_try(int (*function)(void *ctx), void *ctx, unsigned long namespaces,
                 struct ce_error *err)
{
    struct ce_spawn how = {
        .function = function, .ctx = ctx, .namespaces = namespaces, .parent_death_signal = SIGKILL};
    struct ce_process_id id;
    int gate, status = -1;
    CE_TRY(ce_spawn(&how, &id, &gate, err));
    int r = ce_spawn_go(gate, err);
    if (ce_process_reap(&id, 5 * CE_SECOND, &status) < 0)
        (void)ce_process_end(&id, CE_SECOND, NULL);
    CE_TRY(r);
    if (status < 0 || !WIFEXITED(status))
        return ce_fail(err, ECHILD, "the process that was to try it out was killed");
    return WEXITSTATUS(status);
}
