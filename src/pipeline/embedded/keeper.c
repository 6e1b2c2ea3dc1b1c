/* SPDX-License-Identifier: MIT */
/* keeper: the first process of the pipeline's namespaces, and their init.
 *
 * It sets the namespaces up, starts the supervisor, hands sockets of its network namespace to the
 * controller, and reaps. Its life is the pipeline's: when the controller or the supervisor goes, it
 * goes, and all that is below with it. In a pid namespace of its own the kernel sees to that;
 * elsewhere the keeper kills the supervisor, whose children die with it, and waits until it is
 * alone. */
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/spawn.h"
#include "pipeline/channel.h"
#include "pipeline/embedded/roles.h"

/* A new network namespace has a loopback device, but it is down. */
static int raise_loopback(struct ce_error *err)
{
    ce_autofd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo"};
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return ce_fail(err, errno, "cannot find the loopback device: %s", strerror(errno));
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return ce_fail(err, errno, "cannot bring the loopback device up: %s", strerror(errno));
    return 0;
}

/* /proc must show the pids by which the processes know each other. */
static int mount_proc(struct ce_error *err)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return ce_fail(err, errno, "cannot make the mounts private: %s", strerror(errno));
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return ce_fail(err, errno, "cannot mount /proc: %s", strerror(errno));
    return 0;
}

static int set_up(const struct ce_role *role, struct ce_error *err)
{
    if (strstr(role->namespaces, CE_KEEPER_NETWORK))
        CE_TRY(raise_loopback(err));
    if (strstr(role->namespaces, CE_KEEPER_PIDS))
        CE_TRY(mount_proc(err));
    else if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return ce_fail(err, errno, "cannot adopt orphans: %s", strerror(errno));
    return 0;
}

static int start_supervisor(const struct ce_role *role, struct ce_process_id *ret_id,
                            struct ce_error *err)
{
    const char *argv[] = {role->program, CE_ROLE_SUPERVISOR, role->run_folder,
                          role->hardened ? "hardened" : "naive", NULL};
    struct ce_spawn spawn = {
        .argv = argv,
        .fds = {{CE_FD_COMMANDS, CE_FD_COMMANDS}},
        .fd_count = 1,
        .parent_death_signal = SIGKILL,
    };
    int gate;
    CE_TRY(ce_spawn(&spawn, ret_id, &gate, err));
    CE_TRY(ce_spawn_go(gate, err));
    (void)close(CE_FD_COMMANDS); /* only so does the controller notice when the supervisor dies */
    return 0;
}

/* Answers one request for a socket; false when the controller is gone. */
static bool hand_out_socket(void)
{
    struct ce_channel_message request;
    int r = ce_channel_receive(CE_FD_SOCKETS, 0, &request);
    if (r <= 0)
        return r == -ETIMEDOUT;
    ce_autofd int fd = socket(atoi(request.text), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char text[16];
    snprintf(text, sizeof text, "%d", fd < 0 ? errno : 0);
    return ce_channel_send(CE_FD_SOCKETS, text, fd, 0) == 0;
}

/* Reaps whoever has ended; false when the supervisor is among them. */
static bool reap(pid_t supervisor)
{
    bool alive = true;
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        alive = alive && pid != supervisor;
    return alive;
}

static void keep(pid_t supervisor, int signals)
{
    struct pollfd waits[] = {{.fd = CE_FD_SOCKETS, .events = POLLIN},
                             {.fd = signals, .events = POLLIN}};
    for (;;) {
        if (poll(waits, CE_COUNT(waits), -1) < 0) {
            if (errno == EINTR)
                continue;
            return;
        }
        struct signalfd_siginfo info;
        if (waits[1].revents && read(signals, &info, sizeof info) > 0 && !reap(supervisor))
            return;
        if (waits[0].revents && !hand_out_socket())
            return;
    }
}

int ce_keeper_run(const struct ce_role *role)
{
    struct ce_error err = {0};
    struct ce_process_id supervisor = {0};
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &children, NULL);
    ce_autofd int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);

    int r =
        signals < 0 ? ce_fail(&err, errno, "cannot watch child processes: %s", strerror(errno)) : 0;
    if (r == 0)
        r = set_up(role, &err);
    /* Without a run folder it was only asked whether it could. */
    if (r == 0 && *role->run_folder)
        r = start_supervisor(role, &supervisor, &err);
    if (r < 0) {
        char text[CE_CHANNEL_TEXT];
        snprintf(text, sizeof text, "%d %s", err.code, err.message);
        (void)ce_channel_send(CE_FD_SOCKETS, text, -1, 0);
    } else if (ce_channel_send(CE_FD_SOCKETS, "up", -1, 0) == 0) {
        keep(supervisor.pid, signals);
    }
    if (supervisor.pid > 0)
        (void)kill(supervisor.pid, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
    return r < 0;
}
