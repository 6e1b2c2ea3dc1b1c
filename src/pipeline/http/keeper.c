/* SPDX-License-Identifier: MIT */
/* The keeper of a started server: see server.h.
 *
 * It obeys one command at a time, "start", "restart" and "status", and answers each with "ok PID",
 * "gone HOW" or "error CODE SENTENCE". "end" is not answered: the command is asked to end, which
 * happens only there. In all other cases it is killed at once. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/environment.h"
#include "base/spawn.h"
#include "pipeline/channel.h"
#include "pipeline/http/server.h"
#include "pipeline/http/tree.h"

enum { CHANNEL = 3 };

/* How long a server that was asked to end may take over it. */
static const int64_t farewell = 2 * CE_SECOND;

struct keeper {
    const struct ce_server_command *command;
    int log, signals;
    const char **env;
    pid_t pid;    /* the command's first process; 0: it does not run */
    char how[48]; /* it ended */
};

static void note_end(struct keeper *keeper, int status)
{
    keeper->pid = 0;
    if (WIFSIGNALED(status))
        snprintf(keeper->how, sizeof keeper->how, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(keeper->how, sizeof keeper->how, "ended with exit code %d", WEXITSTATUS(status));
}

/* Everybody's parent, or grandparent who adopts: so nobody is missed. */
static void kill_all(struct keeper *keeper)
{
    int status;
    pid_t pid;
    do {
        (void)ce_tree_signal_children(SIGKILL);
        pid = waitpid(-1, &status, 0);
        if (pid > 0 && pid == keeper->pid)
            note_end(keeper, status);
    } while (pid > 0 || errno == EINTR);
}

static void reap(struct keeper *keeper)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == keeper->pid) {
            note_end(keeper, status);
            kill_all(keeper);
        }
}

/* ---- the command ---- */

/* sh looks a program up along PATH, and says in the log when there is none. */
static const char **make_argv(const struct ce_names *command)
{
    static const char *const line[] = {"/bin/sh", "-c"}, *const program[] = {"/bin/sh", "-c",
                                                                             "exec \"$@\"", "sh"};
    bool is_line = command->count == 1;
    size_t count = is_line ? CE_COUNT(line) : CE_COUNT(program);
    const char **argv = calloc(count + command->count + 1, sizeof *argv);
    if (!argv)
        return NULL;
    memcpy(argv, is_line ? line : program, count * sizeof *argv);
    memcpy(argv + count, command->names, command->count * sizeof *argv);
    return argv;
}

static int start(struct keeper *keeper, struct ce_error *err)
{
    ce_autofree const char **argv = make_argv(keeper->command->command);
    if (!argv)
        return ce_fail_memory(err);
    struct ce_spawn spawn = {
        .argv = argv,
        .env = keeper->env,
        .fds = {{keeper->log, STDOUT_FILENO}, {keeper->log, STDERR_FILENO}},
        .fd_count = 2,
        .parent_death_signal = SIGKILL,
    };
    struct ce_process_id id;
    int gate;
    CE_TRY(ce_spawn(&spawn, &id, &gate, err));
    keeper->pid = id.pid;
    return ce_spawn_go(gate, err);
}

static int open_log(const char *path, struct ce_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : ce_fail(err, errno, "cannot write '%s': %s", path, strerror(errno));
}

static int set_up(struct keeper *keeper, struct ce_error *err)
{
    const char *workdir = keeper->command->workdir;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return ce_fail(err, errno, "cannot adopt orphans: %s", strerror(errno));
    keeper->env = ce_environment_with((const char *const *)keeper->command->env->names,
                                      keeper->command->env->count);
    if (!keeper->env)
        return ce_fail_memory(err);
    keeper->log = open_log(keeper->command->log, err);
    CE_TRY(keeper->log);
    if (workdir && chdir(workdir) < 0)
        return ce_fail(err, errno, "workdir: cannot go to '%s': %s", workdir, strerror(errno));
    return 0;
}

/* ---- signals ---- */

/* Reaps whoever has ended; true when an undo asks for the end. */
static bool take_signals(struct keeper *keeper)
{
    struct signalfd_siginfo info;
    bool asked = false;
    while (read(keeper->signals, &info, sizeof info) == sizeof info)
        asked = asked || info.ssi_signo == SIGTERM;
    reap(keeper);
    return asked;
}

/* Lets the command end in order, if it does so in time. */
static void say_farewell(struct keeper *keeper)
{
    int64_t until = ce_now() + farewell;
    if (keeper->pid > 0)
        (void)kill(keeper->pid, SIGTERM);
    while (keeper->pid > 0 && ce_now() < until && !take_signals(keeper)) {
        struct pollfd ended = {.fd = keeper->signals, .events = POLLIN};
        (void)poll(&ended, 1, (int)((until - ce_now()) / CE_MILLISECOND) + 1);
    }
}

/* ---- the channel ---- */

static void answer(const struct keeper *keeper, int r, const struct ce_error *err)
{
    char text[CE_CHANNEL_TEXT];
    if (r < 0)
        snprintf(text, sizeof text, "error %d %s", err->code, err->message);
    else if (keeper->pid > 0)
        snprintf(text, sizeof text, "ok %d", (int)keeper->pid);
    else
        snprintf(text, sizeof text, "gone %s", keeper->how);
    (void)ce_channel_send(CHANNEL, text, -1, 0);
}

/* False when it is over. */
static bool obey(struct keeper *keeper)
{
    struct ce_channel_message message;
    struct ce_error err = {0};
    int r = ce_channel_receive(CHANNEL, 0, &message);
    if (r <= 0)
        return r == -ETIMEDOUT;
    reap(keeper);
    if (strcmp(message.text, "end") == 0) {
        say_farewell(keeper);
        return false;
    }
    if (strcmp(message.text, "restart") == 0)
        kill_all(keeper);
    r = strcmp(message.text, "status") != 0 && keeper->pid == 0 ? start(keeper, &err) : 0;
    answer(keeper, r, &err);
    return true;
}

static void keep(struct keeper *keeper)
{
    struct pollfd waits[] = {{.fd = CHANNEL, .events = POLLIN},
                             {.fd = keeper->signals, .events = POLLIN}};
    for (;;) {
        if (poll(waits, CE_COUNT(waits), -1) < 0 && errno != EINTR)
            return;
        if (take_signals(keeper) || (waits[0].revents && !obey(keeper)))
            return;
    }
}

int ce_server_keep(const struct ce_server_command *command)
{
    struct keeper keeper = {.command = command, .log = -1};
    struct ce_error err = {0};
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &wanted, NULL);
    (void)prctl(PR_SET_NAME, "ce-keeper");
    keeper.signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    int r = keeper.signals < 0
                ? ce_fail(&err, errno, "cannot watch child processes: %s", strerror(errno))
                : set_up(&keeper, &err);
    answer(&keeper, r, &err);
    if (r == 0) {
        keep(&keeper);
        kill_all(&keeper);
    }
    free(keeper.env);
    return r < 0;
}
