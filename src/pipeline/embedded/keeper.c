/* SPDX-License-Identifier: MIT */
/* keeper: the first process of the pipeline's namespaces, and their init.
 *
 * It sets the namespaces up, starts the supervisor, hands sockets of its network namespace to the
 * controller, and reaps. Its life is the pipeline's: when the controller or the supervisor goes, it
 * goes, and all that is below with it. In a pid namespace of its own the kernel sees to that;
 * elsewhere the keeper kills the supervisor, whose children die with it, and waits until it is
 * alone. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/spawn.h"
#include "pipeline/channel.h"
#include "pipeline/embedded/roles.h"
#include "pipeline/own_namespaces.h"

/* The pipeline's disk: what fills it up or slows it down harms nobody else. */
static int mount_disk(const char *run_folder, struct ce_error *err)
{
    ce_autofree char *disk = ce_format("%s/" CE_DISK, run_folder);
    if (!disk)
        return ce_fail_memory(err);
    if (mount("disk", disk, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=16m,mode=0700") < 0)
        return ce_fail(err, errno, "cannot mount the pipeline's disk: %s", strerror(errno));
    return 0;
}

static int set_up_mounts(const struct ce_role *role, struct ce_error *err)
{
    CE_TRY(ce_own_mounts(err));
    return *role->run_folder ? mount_disk(role->run_folder, err) : 0;
}

static int set_up(const struct ce_role *role, struct ce_error *err)
{
    if (strstr(role->namespaces, CE_KEEPER_NETWORK))
        CE_TRY(ce_own_loopback(err));
    if (strstr(role->namespaces, CE_KEEPER_MOUNTS))
        CE_TRY(set_up_mounts(role, err));
    if (strstr(role->namespaces, CE_KEEPER_PIDS))
        CE_TRY(ce_own_proc(err));
    else if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return ce_fail(err, errno, "cannot adopt orphans: %s", strerror(errno));
    return 0;
}

/* Puts a file of the pipeline's own in the place of one of the system's, which is there. */
static int mount_file(const char *run_folder, const char *name, const char *text,
                      struct ce_error *err)
{
    ce_autofree char *own = ce_format("%s/%s", run_folder, name);
    ce_autofree char *system = ce_format("/etc/%s", name);
    if (!own || !system)
        return ce_fail_memory(err);
    ce_autofd int fd = open(own, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int r = fd < 0 ? -errno : ce_write_all(fd, text, strlen(text));
    if (r < 0)
        return ce_fail(err, -r, "cannot write '%s': %s", own, strerror(-r));
    if (mount(own, system, NULL, MS_BIND, NULL) < 0)
        return ce_fail(err, errno, "cannot mount %s: %s", system, strerror(errno));
    return 0;
}

/* Makes the system's resolver ask the pipeline's own name server, and nobody else: no daemon
 * that caches, no other source but /etc/hosts. One question, and a second for its answer. */
static int set_up_names(const struct ce_role *role, struct ce_error *err)
{
    if (!strstr(role->namespaces, CE_KEEPER_MOUNTS) || !strstr(role->namespaces, CE_KEEPER_NETWORK))
        return ce_fail(err, ENOTSUP, "network and mounts are the host's");
    if (access("/etc/resolv.conf", F_OK) < 0)
        return ce_fail(err, errno, "there is no /etc/resolv.conf to put another in the place of");
    if (!*role->run_folder)
        return 0;
    CE_TRY(mount_file(role->run_folder, "resolv.conf",
                      "nameserver " CE_RESOLVER_ADDRESS "\n"
                      "options timeout:1 attempts:1\n",
                      err));
    if (access("/etc/nsswitch.conf", F_OK) == 0)
        CE_TRY(mount_file(role->run_folder, "nsswitch.conf", "hosts: files dns\n", err));
    if (access("/var/run/nscd", F_OK) == 0 &&
        mount("none", "/var/run/nscd", "tmpfs", MS_RDONLY, NULL) < 0)
        return ce_fail(err, errno, "cannot hide /var/run/nscd: %s", strerror(errno));
    return 0;
}

static int start_supervisor(const struct ce_role *role, bool names, struct ce_process_id *ret_id,
                            struct ce_error *err)
{
    const char *argv[] = {role->program,
                          CE_ROLE_SUPERVISOR,
                          role->run_folder,
                          role->hardened ? "hardened" : "naive",
                          names ? CE_MODEL_HOST : CE_MODEL_ADDRESS,
                          NULL};
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
    struct ce_error err = {0}, no_names = {0};
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
    bool names = r == 0 && set_up_names(role, &no_names) == 0;
    /* Without a run folder it was only asked whether it could. */
    if (r == 0 && *role->run_folder)
        r = start_supervisor(role, names, &supervisor, &err);
    char text[CE_CHANNEL_TEXT];
    if (r < 0)
        snprintf(text, sizeof text, "%d %s", err.code, err.message);
    else
        snprintf(text, sizeof text, names ? "up" : "up %s", no_names.message);
    if (ce_channel_send(CE_FD_SOCKETS, text, -1, 0) == 0 && r == 0)
        keep(supervisor.pid, signals);
    if (supervisor.pid > 0)
        (void)kill(supervisor.pid, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
    return r < 0;
}
