/* SPDX-License-Identifier: MIT */
/* The launcher of a started command: see started.h.
 *
 * It obeys one command at a time, each with a number: "start", "restart" and "status" are answered
 * with "NUMBER ok PID", "NUMBER gone HOW" or "NUMBER error CODE SENTENCE". "run" and "run-killed",
 * which bring the channel for their outcome along, and "kill" are not answered: who sends them may
 * not want to wait for a launcher that stands still. At "end" the command is asked to end, which
 * happens only there. In all other cases it is killed at once. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
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
#include "pipeline/helpers.h"
#include "pipeline/own_namespaces.h"
#include "pipeline/started/started.h"
#include "pipeline/started/tree.h"

/* How long a command that was asked to end may take over it. */
static const int64_t farewell = 2 * CE_SECOND;

struct launcher {
    const struct ce_started_command *command;
    bool own_pids;
    int log, errors, signals;
    const char **env;
    pid_t pid;    /* the command's first process; 0: it does not run */
    char how[48]; /* it ended */
    int status;   /* that it ended with */
    int run;      /* channel that waits for that; -1: none */
};

/* ---- ends ---- */

static void note_end(struct launcher *launcher, int status)
{
    launcher->pid = 0;
    launcher->status = status;
    if (WIFSIGNALED(status))
        snprintf(launcher->how, sizeof launcher->how, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(launcher->how, sizeof launcher->how, "ended with exit code %d",
                 WEXITSTATUS(status));
}

static void tell_run(struct launcher *launcher, const char *text)
{
    if (launcher->run < 0)
        return;
    (void)ce_channel_send(launcher->run, text, -1, 0);
    (void)close(ce_take_fd(launcher->run));
}

/* Everybody's parent, or grandparent who adopts: so nobody is missed. */
static void kill_all(struct launcher *launcher)
{
    char text[32];
    int status;
    pid_t pid;
    do {
        (void)ce_tree_signal_children(SIGKILL);
        pid = waitpid(-1, &status, 0);
        if (pid > 0 && pid == launcher->pid)
            note_end(launcher, status);
    } while (pid > 0 || errno == EINTR);
    snprintf(text, sizeof text, "ended %d", launcher->status);
    tell_run(launcher, text);
}

static void reap(struct launcher *launcher)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == launcher->pid) {
            note_end(launcher, status);
            kill_all(launcher);
        }
}

/* ---- the command ---- */

/* sh looks a program up along PATH, and says in the log when there is none. */
const char **ce_started_argv(const struct ce_names *command)
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

static int start(struct launcher *launcher, bool killed, struct ce_error *err)
{
    static const char *const none[] = {NULL};
    const char *const *prefix = launcher->command->prefix ? launcher->command->prefix : none;
    ce_autofree const char **own = ce_started_argv(launcher->command->command);
    ce_autofree const char **argv = own ? ce_helpers_argv(prefix, own) : NULL;
    if (!argv)
        return ce_fail_memory(err);
    struct ce_spawn spawn = {
        .argv = argv,
        .env = launcher->env,
        .fds = {{launcher->log, STDOUT_FILENO}, {launcher->errors, STDERR_FILENO}},
        .fd_count = 2,
        .parent_death_signal = SIGKILL,
    };
    struct ce_process_id id;
    int gate;
    CE_TRY(ce_spawn(&spawn, &id, &gate, err));
    launcher->pid = id.pid;
    if (!killed)
        return ce_spawn_go(gate, err);
    (void)kill(id.pid, SIGKILL); /* while it waits at the gate */
    (void)close(gate);
    return 0;
}

/* With empty files: their last lines are to be this run's. */
static void run(struct launcher *launcher, bool killed, int channel)
{
    struct ce_error err = {0};
    kill_all(launcher);
    launcher->run = channel;
    int r =
        ftruncate(launcher->log, 0) < 0 || ftruncate(launcher->errors, 0) < 0
            ? ce_fail(&err, errno, "cannot empty '%s': %s", launcher->command->log, strerror(errno))
            : start(launcher, killed, &err);
    if (r < 0) {
        char text[CE_CHANNEL_TEXT];
        snprintf(text, sizeof text, "error %d %s", err.code, err.message);
        tell_run(launcher, text);
    }
}

/* ---- set-up ---- */

static int open_log(const char *path, struct ce_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : ce_fail(err, errno, "cannot write '%s': %s", path, strerror(errno));
}

static int watch_signals(struct launcher *launcher, struct ce_error *err)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &wanted, NULL);
    launcher->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    return launcher->signals >= 0
               ? 0
               : ce_fail(err, errno, "cannot watch child processes: %s", strerror(errno));
}

static int settle_in(unsigned long namespaces, struct ce_error *err)
{
    if (namespaces & CLONE_NEWNS)
        CE_TRY(ce_own_mounts(err));
    if (namespaces & CLONE_NEWPID)
        CE_TRY(ce_own_proc(err));
    else if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return ce_fail(err, errno, "cannot adopt orphans: %s", strerror(errno));
    return namespaces & CLONE_NEWNET ? ce_own_loopback(err) : 0;
}

static int set_up(struct launcher *launcher, unsigned long namespaces, struct ce_error *err)
{
    const struct ce_started_command *command = launcher->command;
    CE_TRY(watch_signals(launcher, err));
    CE_TRY(settle_in(namespaces, err));
    launcher->env =
        ce_environment_with((const char *const *)command->env->names, command->env->count);
    if (!launcher->env)
        return ce_fail_memory(err);
    launcher->log = open_log(command->log, err);
    CE_TRY(launcher->log);
    launcher->errors = command->errors ? open_log(command->errors, err) : launcher->log;
    CE_TRY(launcher->errors);
    if (command->workdir && chdir(command->workdir) < 0)
        return ce_fail(err, errno, "workdir: cannot go to '%s': %s", command->workdir,
                       strerror(errno));
    return 0;
}

/* ---- signals ---- */

/* Reaps whoever has ended; true when an undo asks for the end. */
static bool take_signals(struct launcher *launcher)
{
    struct signalfd_siginfo info;
    bool asked = false;
    while (read(launcher->signals, &info, sizeof info) == sizeof info)
        asked = asked || info.ssi_signo == SIGTERM;
    reap(launcher);
    return asked;
}

/* Lets the command end in order, if it does so in time. */
static void say_farewell(struct launcher *launcher)
{
    int64_t until = ce_now() + farewell;
    if (launcher->pid > 0)
        (void)kill(launcher->pid, SIGTERM);
    while (launcher->pid > 0 && ce_now() < until && !take_signals(launcher)) {
        struct pollfd ended = {.fd = launcher->signals, .events = POLLIN};
        (void)poll(&ended, 1, (int)((until - ce_now()) / CE_MILLISECOND) + 1);
    }
}

/* ---- the channel ---- */

static void answer(const struct launcher *launcher, unsigned number, int r,
                   const struct ce_error *err)
{
    char text[CE_CHANNEL_TEXT];
    /* In a pid namespace of our own the asker knows the process by another number. */
    pid_t about = r >= 0 && launcher->own_pids ? launcher->pid : 0;
    if (r < 0)
        snprintf(text, sizeof text, "%u error %d %s", number, err->code, err->message);
    else if (launcher->pid > 0)
        snprintf(text, sizeof text, "%u ok %d", number, (int)launcher->pid);
    else
        snprintf(text, sizeof text, "%u gone %s", number, launcher->how);
    (void)ce_channel_send(CE_LAUNCHER_CHANNEL, text, -1, about);
}

static void obey_word(struct launcher *launcher, unsigned number, const char *word, int fd)
{
    struct ce_error err = {0};
    if (strcmp(word, "run") == 0 || strcmp(word, "run-killed") == 0) {
        run(launcher, strcmp(word, "run-killed") == 0, fd);
        return;
    }
    if (fd >= 0)
        (void)close(fd);
    if (strcmp(word, "kill") == 0 || strcmp(word, "restart") == 0)
        kill_all(launcher);
    if (strcmp(word, "kill") == 0)
        return;
    int r = strcmp(word, "status") != 0 && launcher->pid == 0 ? start(launcher, false, &err) : 0;
    answer(launcher, number, r, &err);
}

/* False when it is over. */
static bool obey(struct launcher *launcher)
{
    struct ce_channel_message message;
    int r = ce_channel_receive(CE_LAUNCHER_CHANNEL, 0, &message);
    if (r <= 0)
        return r == -ETIMEDOUT;
    reap(launcher);
    char *word;
    unsigned number = (unsigned)strtoul(message.text, &word, 10);
    word += *word == ' ';
    if (strcmp(word, "end") == 0) {
        say_farewell(launcher);
        return false;
    }
    obey_word(launcher, number, word, message.fd);
    return true;
}

static void serve(struct launcher *launcher)
{
    struct pollfd waits[] = {{.fd = CE_LAUNCHER_CHANNEL, .events = POLLIN},
                             {.fd = launcher->signals, .events = POLLIN}};
    for (;;) {
        if (poll(waits, CE_COUNT(waits), -1) < 0 && errno != EINTR)
            return;
        if (take_signals(launcher) || (waits[0].revents && !obey(launcher)))
            return;
    }
}

/* ---- the whole ---- */

/* Who failed in namespaces tells the keeper, which may know less of them that will do. */
static int say_failed(unsigned long namespaces, const struct ce_error *err)
{
    char text[CE_CHANNEL_TEXT];
    snprintf(text, sizeof text, "0 error %d %s", err->code, err->message);
    (void)ce_channel_send(namespaces ? CE_LAUNCHER_REPORT : CE_LAUNCHER_CHANNEL, text, -1, 0);
    return 1;
}

static void say_ready(const struct launcher *launcher, unsigned long namespaces,
                      const char *isolation)
{
    char text[CE_CHANNEL_TEXT];
    if (namespaces) {
        (void)ce_channel_send(CE_LAUNCHER_REPORT, "up", -1, 0);
        (void)close(CE_LAUNCHER_REPORT);
    }
    snprintf(text, sizeof text, "0 ready %d %s", launcher->own_pids, isolation);
    (void)ce_channel_send(CE_LAUNCHER_CHANNEL, text, -1, 0);
}

int ce_started_launch(const struct ce_started_command *command, unsigned long namespaces,
                      const char *isolation)
{
    struct launcher launcher = {
        .command = command,
        .own_pids = namespaces & CLONE_NEWPID,
        .log = -1,
        .run = -1,
    };
    struct ce_error err = {0};
    if (namespaces)
        (void)prctl(PR_SET_NAME, "ce-launcher"); /* else it is the keeper, too */
    int r = set_up(&launcher, namespaces, &err);
    if (r < 0)
        return say_failed(namespaces, &err);
    say_ready(&launcher, namespaces, isolation);
    serve(&launcher);
    kill_all(&launcher);
    free(launcher.env);
    return 0;
}
