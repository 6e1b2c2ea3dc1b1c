/* SPDX-License-Identifier: MIT */
/* Asks a command: its exit code and what it writes to its standard output.
 *
 *   asking thread ==line==> [supervisor ----> command ----> whatever it starts]
 *
 * The supervisor adopts the orphans of all that is below it. When the command ends, or the line
 * does (the time is up, the question is given up, or this process has died), it kills what is left
 * and goes. Nothing of a question outlives it. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/spawn.h"
#include "pipeline/started/started.h"
#include "pipeline/started/tree.h"
#include "probe/probe_internal.h"

enum { LINE = 3, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };
/* How long killed processes may take to be gone. */
#define END_TIMEOUT (5 * CE_SECOND)

/* ---- the supervisor ---- */

static void kill_all(void)
{
    do
        (void)ce_tree_signal_children(SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

static int supervise(void *ctx)
{
    const struct ce_probe_spec *spec = ctx;
    ce_autofree const char **argv = ce_started_argv(&spec->command);
    struct ce_process_id id;
    int gate, status = NOT_EXECUTABLE << 8;
    (void)prctl(PR_SET_NAME, "ce-probe");
    if (!argv || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
        (spec->workdir && chdir(spec->workdir) < 0))
        return NOT_EXECUTABLE;
    const struct ce_spawn spawn = {
        .argv = argv,
        .fds = {{STDOUT_FILENO, STDOUT_FILENO}},
        .fd_count = 1,
        .parent_death_signal = SIGKILL,
    };
    if (ce_spawn(&spawn, &id, &gate, NULL) < 0)
        return NOT_EXECUTABLE;
    if (ce_spawn_go(gate, NULL) < 0) {
        kill_all();
        return NOT_EXECUTABLE;
    }
    int pidfd = (int)syscall(SYS_pidfd_open, id.pid, 0);
    struct pollfd fds[] = {{.fd = LINE, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    while (pidfd >= 0 && poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    if (fds[1].revents)
        (void)waitpid(id.pid, &status, 0);
    kill_all();
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- the asking thread ---- */

struct talk {
    struct ce_process_id supervisor;
    int line, output, pidfd;
    struct ce_heard heard;
};

static int start(const struct ce_probe_spec *spec, struct talk *talk, struct ce_error *err)
{
    int output[2], line[2], gate;
    if (pipe2(output, O_CLOEXEC) < 0)
        return ce_fail(err, errno, "cannot make a pipe: %s", strerror(errno));
    talk->output = output[0];
    ce_autofd int its_output = output[1];
    if (pipe2(line, O_CLOEXEC) < 0)
        return ce_fail(err, errno, "cannot make a pipe: %s", strerror(errno));
    talk->line = line[1];
    ce_autofd int its_line = line[0];
    (void)fcntl(talk->output, F_SETFL, O_NONBLOCK);
    const struct ce_spawn spawn = {
        .function = supervise,
        .ctx = (void *)(uintptr_t)spec,
        .fds = {{its_output, STDOUT_FILENO}, {its_line, LINE}},
        .fd_count = 2,
    };
    CE_TRY(ce_spawn(&spawn, &talk->supervisor, &gate, err));
    CE_TRY(ce_spawn_go(gate, err));
    talk->pidfd = (int)syscall(SYS_pidfd_open, talk->supervisor.pid, 0);
    return talk->pidfd >= 0 ? 0 : ce_fail(err, errno, "cannot wait for the command");
}

/* Takes what is there: false at the end of it. */
static bool take_output(struct talk *talk)
{
    char rest[4096];
    for (;;) {
        size_t room = CE_HEARD_MAX - talk->heard.size;
        ssize_t n = room > 0 ? read(talk->output, talk->heard.text + talk->heard.size, room)
                             : read(talk->output, rest, sizeof rest);
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        talk->heard.cut = talk->heard.cut || room == 0;
        talk->heard.size += room > 0 ? (size_t)n : 0;
    }
}

/* Until the supervisor has ended, and with it all who could write. False: not in time. */
static bool listen_until(struct talk *talk, int64_t deadline, int give_up)
{
    bool open = true;
    for (;;) {
        struct pollfd fds[] = {{.fd = talk->pidfd, .events = POLLIN},
                               {.fd = give_up, .events = POLLIN},
                               {.fd = open ? talk->output : -1, .events = POLLIN}};
        int64_t left = deadline - ce_now();
        int r = poll(fds, 3, left > 0 ? (int)(left / CE_MILLISECOND) + 1 : 0);
        if (fds[1].revents || (r == 0 && left <= 0))
            return false;
        if (r > 0 && open)
            open = take_output(talk);
        if (r > 0 && fds[0].revents) {
            (void)take_output(talk);
            return true;
        }
    }
}

/* All of it, in every case. The exit code, or -1. */
static int end(struct talk *talk)
{
    int status = -1;
    if (talk->line >= 0)
        (void)close(talk->line);
    if (talk->output >= 0)
        (void)close(talk->output);
    if (talk->pidfd >= 0)
        (void)close(talk->pidfd);
    if (talk->supervisor.pid > 0 &&
        ce_process_reap(&talk->supervisor, END_TIMEOUT, &status) == -ETIMEDOUT)
        (void)ce_tree_end(&talk->supervisor, END_TIMEOUT, NULL);
    return status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void ce_probe_ask_command(const struct ce_probe_spec *spec, struct ce_asking *asking,
                          struct ce_probe_answer *answer)
{
    struct ce_error err = {0};
    struct talk talk = {.line = -1, .output = -1, .pidfd = -1};
    talk.heard.text = malloc(CE_HEARD_MAX + 1);
    int r = talk.heard.text ? start(spec, &talk, &err) : ce_fail_memory(&err);
    bool in_time = r == 0 && listen_until(&talk, asking->begun + spec->timeout, asking->give_up);
    answer->took = ce_now() - asking->begun;
    talk.heard.status = end(&talk);
    int64_t status = talk.heard.status;
    bool not_run = status == NOT_EXECUTABLE || status == NOT_FOUND;
    if (talk.heard.text)
        talk.heard.text[talk.heard.size] = '\0';
    if (r < 0)
        ce_probe_say(spec, CE_PROBE_ERROR, answer, "%s", err.message);
    else if (!in_time)
        ce_probe_say(spec, CE_PROBE_FAILED, answer, "did not end within %.4g s",
                     (double)spec->timeout / (double)CE_SECOND);
    else if (status < 0)
        ce_probe_say(spec, CE_PROBE_ERROR, answer, "its end was not seen");
    else if (not_run && spec->expect.status != status)
        ce_probe_say(spec, CE_PROBE_ERROR, answer, "could not be run: exit code %lld",
                     (long long)status);
    else
        ce_expect_judge(spec, &talk.heard, answer);
    ce_heard_done(&talk.heard);
}
