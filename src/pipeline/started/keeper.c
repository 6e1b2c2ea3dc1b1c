/* SPDX-License-Identifier: MIT */
/* The keeper of a started command: see started.h.
 *
 * Without namespaces it is the launcher itself. Else it makes one, in the best namespaces that this
 * host allows, and leaves the channel to it. What remains is to be there: for the journal, which
 * knows no process inside, and for the undo, whose SIGTERM is handed on. */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/spawn.h"
#include "pipeline/channel.h"
#include "pipeline/own_namespaces.h"
#include "pipeline/started/started.h"
#include "pipeline/started/tree.h"

static const int64_t setup_timeout = 8 * CE_SECOND;

/* From the best isolation to none. Root needs no user namespace, and in one would lose the files of
 * others. */
static const struct level {
    unsigned long namespaces;
    bool ordinary, root; /* whom it is for */
    const char *name, *with_network;
} levels[] = {
    {CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID, true, false, "user, mount and pid namespaces",
     "user, network, mount and pid namespaces"},
    {CLONE_NEWNS | CLONE_NEWPID, false, true, "mount and pid namespaces",
     "network, mount and pid namespaces"},
    {CLONE_NEWUSER | CLONE_NEWNS, true, false, "user and mount namespaces",
     "user, network and mount namespaces"},
    {CLONE_NEWNS, false, true, "a mount namespace", "network and mount namespaces"},
};

struct lodging {
    const struct ce_started_command *command;
    unsigned long namespaces;
    char text[256];
};

static int launch(void *ctx)
{
    const struct lodging *lodging = ctx;
    return ce_started_launch(lodging->command, lodging->namespaces, lodging->text);
}

/* ---- a launcher in namespaces ---- */

static int await_report(int channel, struct ce_error *err)
{
    struct ce_channel_message message;
    int code, sentence = 0;
    int r = ce_channel_receive(channel, ce_now() + setup_timeout, &message);
    if (r <= 0)
        return ce_fail(err, r < 0 ? -r : ECHILD, "the command's launcher does not answer");
    if (strcmp(message.text, "up") == 0)
        return 0;
    if (sscanf(message.text, "0 error %d %n", &code, &sentence) == 1 && sentence > 0 && code > 0)
        return ce_fail(err, code, "%s", message.text + sentence);
    return ce_fail(err, EPROTO, "the command's launcher said '%.60s'", message.text);
}

static int launcher_start(struct lodging *lodging, struct ce_process_id *ret_id,
                          struct ce_error *err)
{
    int ends[2], gate;
    CE_TRY(ce_channel_pair(ends, err));
    ce_autofd int mine = ends[0];
    ce_autofd int its = ends[1];
    struct ce_spawn spawn = {
        .function = launch,
        .ctx = lodging,
        .fds = {{CE_LAUNCHER_CHANNEL, CE_LAUNCHER_CHANNEL}, {its, CE_LAUNCHER_REPORT}},
        .fd_count = 2,
        .namespaces = lodging->namespaces,
        .keep_user = true,
        .parent_death_signal = SIGKILL,
    };
    CE_TRY(ce_spawn(&spawn, ret_id, &gate, err));
    int r = ce_spawn_go(gate, err);
    (void)close(ce_take_fd(its)); /* or its end would not show */
    if (r == 0)
        r = await_report(mine, err);
    if (r < 0)
        (void)ce_process_end(ret_id, CE_SECOND, NULL);
    return r;
}

/* In the best namespaces that there are. `why` is for the caller to say why there are no better. */
static int lodge(struct lodging *lodging, struct ce_process_id *ret_id, char *why, size_t size,
                 struct ce_error *err)
{
    bool root = geteuid() == 0, network = lodging->command->private_network;
    int r = -ENOTSUP;
    why[0] = '\0';
    for (size_t i = 0; i < CE_COUNT(levels); i++) {
        if (root ? !levels[i].root : !levels[i].ordinary)
            continue;
        snprintf(lodging->text, sizeof lodging->text, "%s%s%s",
                 network ? levels[i].with_network : levels[i].name, why[0] ? ": " : "", why);
        lodging->namespaces = levels[i].namespaces | (network ? CLONE_NEWNET : 0);
        r = launcher_start(lodging, ret_id, err);
        if (r == 0)
            return 0;
        if (why[0] == '\0')
            ce_own_namespaces_why(err, why, size);
    }
    return r;
}

/* ---- the keeper's life ---- */

static int watch_signals(struct ce_error *err)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &wanted, NULL);
    int fd = signalfd(-1, &wanted, SFD_CLOEXEC);
    return fd >= 0 ? fd : ce_fail(err, errno, "cannot watch child processes: %s", strerror(errno));
}

/* Until the launcher has ended. The kernel ends whoever is with it in its pid namespace; without
 * one those below come to us. */
static void stay(const struct ce_process_id *launcher, int signals)
{
    struct signalfd_siginfo info;
    bool there = true;
    pid_t pid;
    while (there && read(signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGTERM)
            (void)ce_process_signal(launcher, SIGTERM);
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            there = there && pid != launcher->pid;
    }
    do
        (void)ce_tree_signal_children(SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

static int say_failed(const struct ce_error *err)
{
    char text[CE_CHANNEL_TEXT];
    snprintf(text, sizeof text, "0 error %d %s", err->code, err->message);
    (void)ce_channel_send(CE_LAUNCHER_CHANNEL, text, -1, 0);
    return 1;
}

int ce_started_keep(const struct ce_started_command *command)
{
    struct lodging lodging = {.command = command, .text = "none"};
    struct ce_process_id launcher;
    struct ce_error err = {0};
    char why[160];
    (void)prctl(PR_SET_NAME, "ce-keeper");
    if (command->isolation == CE_ISOLATION_NONE)
        return ce_started_launch(command, 0, "none: plain processes");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    int signals = watch_signals(&err);
    if (signals < 0)
        return say_failed(&err);
    if (lodge(&lodging, &launcher, why, sizeof why, &err) == 0) {
        (void)close(CE_LAUNCHER_CHANNEL); /* only so does the other end notice when it dies */
        stay(&launcher, signals);
        return 0;
    }
    if (command->isolation == CE_ISOLATION_NAMESPACES || command->private_network)
        return say_failed(&err);
    (void)close(signals);
    snprintf(lodging.text, sizeof lodging.text, "none: %s", why);
    return ce_started_launch(command, 0, lodging.text);
}
