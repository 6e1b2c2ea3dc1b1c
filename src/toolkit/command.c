/* SPDX-License-Identifier: MIT */
/* Activities that are programs.
 *
 *   this thread ==line==> [supervisor ----> program ----> whatever it starts]
 *
 * The supervisor adopts the orphans of all that is below it. When the line ends before the program
 * does (its time is up, the run is given up, or this process has died), it kills all of them. When
 * the program ends by itself, what it has left running stays: a service that it started, say. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "host/process.h"
#include "pipeline/started/tree.h"
#include "toolkit/toolkit_internal.h"

enum { LINE = 3, RESULT = 4 };
/* Of what a program writes; the rest is read and dropped. */
#define HEARD_MAX ((size_t)16 << 20)
/* How long killed processes may take to be gone. */
#define END_TIMEOUT (5 * CE_SECOND)

/* ---- the supervisor ---- */

/* What it tells: that the program could not be executed, or how it ended. */
struct result {
    int failed; /* errno, or 0 */
    int status; /* as from waitpid() */
};

static void kill_all(void)
{
    do
        (void)ce_tree_signal_children(SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

struct order {
    const char *const *argv;
    const char *folder; /* that it is run in; NULL: this process's */
};

static struct result execute(const struct order *order, struct ce_process_id *id)
{
    struct ce_error err = {0};
    int gate, r;
    if (order->folder && chdir(order->folder) < 0)
        return (struct result){.failed = errno};
    const struct ce_spawn spawn = {
        .argv = order->argv,
        .fds = {{STDOUT_FILENO, STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}},
        .fd_count = 2,
        .parent_death_signal = SIGKILL,
    };
    r = ce_spawn(&spawn, id, &gate, &err);
    if (r == 0)
        r = ce_spawn_go(gate, &err);
    return (struct result){.failed = r < 0 ? -r : 0};
}

static int supervise(void *ctx)
{
    struct ce_process_id id;
    (void)prctl(PR_SET_NAME, "ce-activity");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct result result = execute(ctx, &id);
    int pidfd = result.failed ? -1 : (int)syscall(SYS_pidfd_open, id.pid, 0);
    struct pollfd fds[] = {{.fd = LINE, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    while (!result.failed && pidfd >= 0 && poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    bool ended = result.failed || (fds[1].revents && waitpid(id.pid, &result.status, 0) > 0);
    if (!ended)
        kill_all();
    else
        (void)ce_write_all(RESULT, &result, sizeof result);
    return 0;
}

/* ---- the thread that waits ---- */

struct heard {
    int fd;
    char *data;
    size_t size;
};

struct talk {
    struct ce_process_id supervisor;
    int line, result, pidfd;
    int note; /* of the supervisor in the journal; 0: none */
    struct heard out, errors;
};

static int make_pipe(int *ret_mine, int *ret_its, struct ce_error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return ce_fail(err, errno, "cannot make a pipe: %s", strerror(errno));
    *ret_mine = fds[0];
    *ret_its = fds[1];
    return 0;
}

/* It waits at its gate until it is known to the journal. */
static int note_supervisor(struct talk *talk, struct ce_stopper *stopper, struct ce_error *err)
{
    if (!stopper->journal)
        return 0;
    (void)pthread_mutex_lock(&stopper->lock);
    int note = ce_undo_note(stopper->journal, ce_undo_end_activity.name,
                            ce_process_args(&talk->supervisor), err);
    (void)pthread_mutex_unlock(&stopper->lock);
    talk->note = note > 0 ? note : 0;
    return note < 0 ? note : 0;
}

static void settle_supervisor(const struct talk *talk, struct ce_stopper *stopper)
{
    if (talk->note == 0)
        return;
    (void)pthread_mutex_lock(&stopper->lock);
    (void)ce_undo_settled(stopper->journal, talk->note, NULL);
    (void)pthread_mutex_unlock(&stopper->lock);
}

static int start(const struct order *order, struct talk *talk, struct ce_stopper *stopper,
                 struct ce_error *err)
{
    ce_autofd int its_out = -1;
    ce_autofd int its_errors = -1;
    ce_autofd int its_result = -1;
    ce_autofd int its_line = -1;
    int gate;
    CE_TRY(make_pipe(&talk->out.fd, &its_out, err));
    CE_TRY(make_pipe(&talk->errors.fd, &its_errors, err));
    CE_TRY(make_pipe(&talk->result, &its_result, err));
    CE_TRY(make_pipe(&its_line, &talk->line, err));
    (void)fcntl(talk->out.fd, F_SETFL, O_NONBLOCK);
    (void)fcntl(talk->errors.fd, F_SETFL, O_NONBLOCK);
    const struct ce_spawn spawn = {
        .function = supervise,
        .ctx = (void *)(uintptr_t)order,
        .fds = {{its_out, STDOUT_FILENO},
                {its_errors, STDERR_FILENO},
                {its_line, LINE},
                {its_result, RESULT}},
        .fd_count = 4,
    };
    CE_TRY(ce_spawn(&spawn, &talk->supervisor, &gate, err));
    int r = note_supervisor(talk, stopper, err);
    if (r < 0) {
        (void)close(gate); /* it ends without having begun */
        return r;
    }
    CE_TRY(ce_spawn_go(gate, err));
    talk->pidfd = (int)syscall(SYS_pidfd_open, talk->supervisor.pid, 0);
    return talk->pidfd >= 0 ? 0 : ce_fail(err, errno, "cannot wait for it: %s", strerror(errno));
}

/* Takes what is there; closes at the end of it. */
static void take(struct heard *heard)
{
    char piece[16384];
    ssize_t n;
    while ((n = read(heard->fd, piece, sizeof piece)) > 0) {
        size_t room = HEARD_MAX - heard->size, keep = (size_t)n < room ? (size_t)n : room;
        char *more = keep > 0 ? realloc(heard->data, heard->size + keep + 1) : NULL;
        if (!more)
            continue;
        memcpy(more + heard->size, piece, keep);
        heard->data = more;
        heard->size += keep;
        heard->data[heard->size] = '\0';
    }
    if (n == 0)
        (void)close(ce_take_fd(heard->fd));
}

/* Until the supervisor has ended. False: not in time, or given up. */
static bool listen_until(struct talk *talk, int64_t deadline, int event)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = talk->pidfd, .events = POLLIN},
                               {.fd = event, .events = POLLIN},
                               {.fd = talk->out.fd, .events = POLLIN},
                               {.fd = talk->errors.fd, .events = POLLIN}};
        int64_t ms = (deadline - ce_now()) / CE_MILLISECOND + 1;
        int r = poll(fds, CE_COUNT(fds), ms < 0 ? 0 : ms < 60000 ? (int)ms : 60000);
        if (fds[2].revents)
            take(&talk->out);
        if (fds[3].revents)
            take(&talk->errors);
        if (r > 0 && fds[0].revents)
            return true;
        if ((r > 0 && fds[1].revents) || (r <= 0 && ms <= 0))
            return false;
    }
}

/* All of it, in every case. False: nobody told how it ended. */
static bool end(struct talk *talk, struct result *ret_result)
{
    if (talk->line >= 0)
        (void)close(talk->line);
    if (talk->supervisor.pid > 0 &&
        ce_process_reap(&talk->supervisor, END_TIMEOUT, NULL) == -ETIMEDOUT)
        (void)ce_tree_end(&talk->supervisor, END_TIMEOUT, NULL);
    for (struct heard *heard = &talk->out; heard;
         heard = heard == &talk->out ? &talk->errors : NULL)
        if (heard->fd >= 0) {
            take(heard);
            if (heard->fd >= 0)
                (void)close(heard->fd);
        }
    bool told = talk->result >= 0 &&
                read(talk->result, ret_result, sizeof *ret_result) == sizeof *ret_result;
    if (talk->result >= 0)
        (void)close(talk->result);
    if (talk->pidfd >= 0)
        (void)close(talk->pidfd);
    return told;
}

static json_t *output_of(const struct talk *talk, int status)
{
    int code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    return json_pack(
        "{s:i, s:o, s:o}", "status", code, "stdout",
        ce_value_of_bytes(talk->out.data ? talk->out.data : "", talk->out.size), "stderr",
        ce_value_of_bytes(talk->errors.data ? talk->errors.data : "", talk->errors.size));
}

void ce_command_run(const json_t *provider, struct ce_stopper *stopper, int64_t limit,
                    struct ce_outcome *outcome)
{
    const json_t *words = json_object_get(provider, "argv");
    size_t count = json_array_size(words);
    ce_autofree const char **argv = calloc(count + 1, sizeof *argv);
    struct ce_error err = {0};
    struct talk talk = {.line = -1, .result = -1, .pidfd = -1, .out.fd = -1, .errors.fd = -1};
    struct result result = {0};
    for (size_t i = 0; argv && i < count; i++)
        argv[i] = json_string_value(json_array_get(words, i));
    const struct order order = {argv, json_string_value(json_object_get(provider, "folder"))};
    int r = argv ? start(&order, &talk, stopper, &err) : ce_fail_memory(&err);
    bool in_time = r == 0 && listen_until(&talk, ce_now() + limit, stopper->event);
    bool told = end(&talk, &result);
    settle_supervisor(&talk, stopper);
    outcome->given_up = r == 0 && !in_time && stopper->pulled;
    outcome->unasked = r < 0 || result.failed;
    if (r < 0)
        ce_outcome_fail(outcome, "%s", err.message);
    else if (outcome->given_up)
        ce_outcome_fail(outcome, "given up, and ended with all that it had started");
    else if (!in_time)
        ce_outcome_fail(outcome,
                        "did not end within %.4g s; it was ended with all that it had "
                        "started",
                        (double)limit / (double)CE_SECOND);
    else if (result.failed)
        ce_outcome_fail(outcome, "cannot be executed: %s", strerror(result.failed));
    else if (!told)
        ce_outcome_fail(outcome, "its end was not seen");
    else if (!(outcome->output = output_of(&talk, result.status)))
        ce_outcome_fail(outcome, "out of memory");
    free(talk.out.data);
    free(talk.errors.data);
}
