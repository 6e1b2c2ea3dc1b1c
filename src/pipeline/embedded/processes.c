/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/processes.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/environment.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "host/process.h"
#include "pipeline/beside.h"
#include "pipeline/channel.h"
#include "pipeline/embedded/roles.h"
#include "pipeline/leak_helper.h"

/* How long the keeper may take to set up its namespaces, to hand out a socket, and to take its
 * leave. */
static const int64_t setup_timeout = 10 * CE_SECOND, socket_timeout = 2 * CE_SECOND,
                     leave_timeout = CE_SECOND;

struct ce_processes {
    struct ce_journal *journal;
    struct ce_process_id keeper;
    int note;
    bool own_network, own_pids;
    char isolation[256];

    pthread_mutex_t sockets_lock;
    int sockets; /* channel to the keeper; -1 once it has failed */
    pthread_mutex_t commands_lock;
    int commands; /* channel to the supervisor */
    unsigned sequence;
};

/* From the best isolation to none. */
static const struct level {
    unsigned long namespaces;
    const char *name;
    const char *flags; /* the keeper's argument */
} levels[] = {
    {CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID,
     "user, network, mount and pid namespaces", CE_KEEPER_NETWORK CE_KEEPER_PIDS},
    {CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID, "network, mount and pid namespaces",
     CE_KEEPER_NETWORK CE_KEEPER_PIDS}, /* root may, even where user namespaces are turned off */
    {CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS, "user, network and mount namespaces",
     CE_KEEPER_NETWORK},
    {0, "plain processes", "plain"},
};

#define PROGRAM "chaoseater-pipeline"

/* ---- the keeper, as isolated as can be ---- */

/* The keeper says "up", or why it cannot: "13 cannot mount /proc: ...". */
static int wait_until_up(struct ce_processes *processes, struct ce_error *err)
{
    struct ce_channel_message message;
    int r = ce_channel_receive(processes->sockets, ce_now() + setup_timeout, &message);
    if (r < 0)
        return ce_fail(err, -r, "the pipeline's keeper does not answer: %s", strerror(-r));
    if (r == 0)
        return ce_fail(err, ECHILD, "the pipeline's keeper ended before it was up");
    if (strcmp(message.text, "up") == 0)
        return 0;
    char *sentence = NULL;
    long code = strtol(message.text, &sentence, 10);
    return ce_fail(err, code > 0 ? (int)code : EPROTO, "%s", sentence + (*sentence == ' '));
}

static int keeper_run(struct ce_processes *processes, const char *const *argv,
                      const char *const *env, const struct level *level, struct ce_error *err)
{
    int sockets[2], commands[2];
    CE_TRY(ce_channel_pair(sockets, err));
    processes->sockets = sockets[0];
    ce_autofd int its_sockets = sockets[1];
    CE_TRY(ce_channel_pair(commands, err));
    processes->commands = commands[0];
    ce_autofd int its_commands = commands[1];
    CE_TRY(ce_channel_want_pids(processes->commands, err));

    struct ce_spawn spawn = {
        .argv = argv,
        .env = env,
        .namespaces = level->namespaces,
        .fds = {{its_sockets, CE_FD_SOCKETS}, {its_commands, CE_FD_COMMANDS}},
        .fd_count = 2,
    };
    int gate;
    CE_TRY(ce_spawn(&spawn, &processes->keeper, &gate, err));
    int note = ce_undo_note_process(processes->journal, &processes->keeper, err);
    if (note < 0) {
        (void)close(gate);
        return note;
    }
    processes->note = note;
    CE_TRY(ce_spawn_go(gate, err));
    ce_seam_step("pipeline: keeper started");
    (void)close(ce_take_fd(its_sockets)); /* only so does our end notice when the keeper dies */
    (void)close(ce_take_fd(its_commands));
    return wait_until_up(processes, err);
}

static void close_channels(struct ce_processes *processes)
{
    if (processes->commands >= 0)
        (void)close(ce_take_fd(processes->commands));
    if (processes->sockets >= 0)
        (void)close(ce_take_fd(processes->sockets));
}

/* The keeper takes the tree down in order when its channels end; whoever does not follow is killed.
 */
static void keeper_end(struct ce_processes *processes)
{
    close_channels(processes);
    if (processes->keeper.pid == 0)
        return;
    if (ce_process_reap(&processes->keeper, leave_timeout, NULL) < 0)
        (void)ce_process_end(&processes->keeper, leave_timeout, NULL);
    if (processes->note > 0 && !ce_process_alive(&processes->keeper))
        (void)ce_undo_settled(processes->journal, processes->note, NULL);
    processes->keeper = (struct ce_process_id){0};
    processes->note = 0;
}

/* What a person can do something about, instead of the kernel's word for it. */
static void explain_level(const struct ce_error *failed, char *text, size_t size)
{
    if (failed->code == ENOSPC)
        snprintf(text, size, "the limits in /proc/sys/user/max_*_namespaces allow no more");
    else if (failed->code == EPERM || failed->code == EACCES)
        snprintf(text, size, "this user may not make or use namespaces (%.100s)", failed->message);
    else
        snprintf(text, size, "%.150s", failed->message);
}

static int keeper_start(struct ce_processes *processes, const char *program, const char *run_folder,
                        const char *profile, const char *const *env, struct ce_error *err)
{
    char why[160] = "";
    for (size_t i = 0; i < CE_COUNT(levels); i++) {
        const struct level *level = &levels[i];
        const char *argv[] = {program, CE_ROLE_KEEPER, run_folder, profile, level->flags, NULL};
        struct ce_error failed = {0};
        int r = keeper_run(processes, argv, env, level, &failed);
        if (r == 0) {
            processes->own_network = level->namespaces & CLONE_NEWNET;
            processes->own_pids = level->namespaces & CLONE_NEWPID;
            snprintf(processes->isolation, sizeof processes->isolation, "%s%s%s", level->name,
                     i > 0 ? ": " : "", why);
            return 0;
        }
        keeper_end(processes);
        if (i == 0)
            explain_level(&failed, why, sizeof why);
        if (level->namespaces == 0) {
            if (err)
                *err = failed;
            return r;
        }
    }
    return 0;
}

/* The keeper's environment. *ret_env is to be freed, and borrows from the helper. */
static int make_env(bool leak_helper, const char *run_folder, struct ce_leak_helper *ret_helper,
                    const char ***ret_env, struct ce_error *err)
{
    size_t count = 0;
    if (leak_helper) {
        CE_TRY(ce_leak_helper_init(CE_SERVER_PRELOAD, getenv("LD_PRELOAD"), run_folder, ret_helper,
                                   err));
        count = CE_COUNT(ret_helper->variables);
    }
    *ret_env = ce_environment_with((const char *const *)ret_helper->variables, count);
    return *ret_env ? 0 : ce_fail_memory(err);
}

int ce_processes_start(struct ce_journal *journal, const char *run_folder, const char *profile,
                       bool leak_helper, struct ce_processes **ret_processes, struct ce_error *err)
{
    ce_autofree char *program = NULL;
    ce_autofree const char **env = NULL;
    CE_CLEANUP(ce_leak_helper_done) struct ce_leak_helper helper = {0};
    CE_TRY(ce_beside_find(PROGRAM, &program, err));
    CE_TRY(make_env(leak_helper, run_folder, &helper, &env, err));
    struct ce_processes *processes = calloc(1, sizeof *processes);
    if (!processes)
        return ce_fail_memory(err);
    processes->journal = journal;
    processes->sockets = processes->commands = -1;
    (void)pthread_mutex_init(&processes->sockets_lock, NULL);
    (void)pthread_mutex_init(&processes->commands_lock, NULL);
    int r = keeper_start(processes, program, run_folder, profile, env, err);
    if (r < 0) {
        ce_processes_stop(processes);
        return r;
    }
    *ret_processes = processes;
    return 0;
}

void ce_processes_stop(struct ce_processes *processes)
{
    if (!processes)
        return;
    keeper_end(processes);
    (void)pthread_mutex_destroy(&processes->sockets_lock);
    (void)pthread_mutex_destroy(&processes->commands_lock);
    free(processes);
}

const char *ce_processes_isolation(const struct ce_processes *processes)
{
    return processes->isolation;
}

/* ---- sockets ---- */

/* The keeper answers "socket" with the descriptor, or the errno of socket(2). */
static int fetch_socket(struct ce_processes *processes, int family, struct ce_error *err)
{
    if (processes->sockets < 0)
        return ce_fail(err, EPIPE, "the pipeline's keeper is gone");
    char request[16];
    struct ce_channel_message answer;
    snprintf(request, sizeof request, "%d", family);
    int r = ce_channel_send(processes->sockets, request, -1, 0);
    if (r == 0)
        r = ce_channel_receive(processes->sockets, ce_now() + socket_timeout, &answer);
    if (r == 1 && answer.fd >= 0)
        return answer.fd;
    if (r == 1) {
        int code = atoi(answer.text);
        if (code <= 0)
            code = EMFILE; /* it was sent, but there was no room for it here */
        return ce_fail(err, code, "cannot make a socket inside the pipeline: %s", strerror(code));
    }
    /* A late answer would be taken for the next one's: this channel is of no use any more. */
    (void)close(ce_take_fd(processes->sockets));
    return ce_fail(err, r < 0 ? -r : EPIPE, "the pipeline's keeper is gone");
}

static int make_socket(void *ctx, int family, struct ce_error *err)
{
    struct ce_processes *processes = ctx;
    (void)pthread_mutex_lock(&processes->sockets_lock);
    int fd = fetch_socket(processes, family, err);
    (void)pthread_mutex_unlock(&processes->sockets_lock);
    return fd;
}

struct ce_endpoint ce_processes_endpoint(struct ce_processes *processes, int port)
{
    struct ce_endpoint endpoint = ce_endpoint_loopback(port);
    if (processes->own_network) {
        endpoint.make_socket = make_socket;
        endpoint.ctx = processes;
    }
    return endpoint;
}

/* ---- commands ---- */

/* An answer: "SEQUENCE ok PORT PID" or "SEQUENCE error CODE SENTENCE". */
static int read_answer(const struct ce_processes *processes,
                       const struct ce_channel_message *message, struct ce_answer *ret_answer,
                       struct ce_error *err)
{
    int code, port, pid, sentence = 0;
    if (sscanf(message->text, "%*u ok %d %d", &port, &pid) == 2) {
        /* In a pid namespace of its own the supervisor knows another number than we do; the kernel
         * translates it. */
        if (pid > 0 && processes->own_pids)
            pid = message->pid;
        *ret_answer = (struct ce_answer){.port = port, .pid = pid};
        return 0;
    }
    if (sscanf(message->text, "%*u error %d %n", &code, &sentence) == 1 && sentence > 0 && code > 0)
        return ce_fail(err, code, "%s", message->text + sentence);
    return ce_fail(err, EPROTO, "the pipeline's supervisor answered '%.60s'", message->text);
}

static int ask(struct ce_processes *processes, const char *command, int64_t timeout,
               struct ce_answer *ret_answer, struct ce_error *err)
{
    char text[128];
    struct ce_channel_message message;
    unsigned sequence = ++processes->sequence;
    int64_t until = ce_now() + timeout;
    snprintf(text, sizeof text, "%u %s", sequence, command);
    int r = ce_channel_send(processes->commands, text, -1, 0);
    while (r == 0) {
        r = ce_channel_receive(processes->commands, until, &message);
        if (r <= 0)
            break;
        if (message.fd >= 0)
            (void)close(message.fd);
        if (strtoul(message.text, NULL, 10) == sequence)
            return read_answer(processes, &message, ret_answer, err);
        r = 0; /* the late answer to a command that we gave up */
    }
    if (r == -ETIMEDOUT)
        return ce_fail(err, ETIMEDOUT, "the pipeline did not do '%s' within %.1f s", command,
                       (double)timeout / 1e9);
    return ce_fail(err, ECHILD, "the pipeline's supervisor is gone");
}

int ce_processes_ask(struct ce_processes *processes, const char *command, int64_t timeout,
                     struct ce_answer *ret_answer, struct ce_error *err)
{
    struct ce_answer answer = {0};
    (void)pthread_mutex_lock(&processes->commands_lock);
    int r = ask(processes, command, timeout, &answer, err);
    (void)pthread_mutex_unlock(&processes->commands_lock);
    if (r == 0 && ret_answer)
        *ret_answer = answer;
    return r;
}

/* ---- doctor ---- */

/* Goes through the same set-up as a keeper, in a child that then ends. */
static int probe_level(const struct level *level, const char *program, struct ce_error *err)
{
    int ends[2];
    CE_TRY(ce_channel_pair(ends, err));
    ce_autofd int mine = ends[0];
    ce_autofd int its = ends[1];
    const char *argv[] = {program, CE_ROLE_KEEPER, "", "", level->flags, NULL};
    struct ce_spawn spawn = {
        .argv = argv,
        .namespaces = level->namespaces,
        .fds = {{its, CE_FD_SOCKETS}},
        .fd_count = 1,
    };
    struct ce_processes probed = {.sockets = mine, .commands = -1};
    int gate;
    CE_TRY(ce_spawn(&spawn, &probed.keeper, &gate, err));
    int r = ce_spawn_go(gate, err);
    (void)close(ce_take_fd(its));
    if (r == 0)
        r = wait_until_up(&probed, err);
    (void)ce_process_end(&probed.keeper, leave_timeout, NULL);
    return r;
}

bool ce_processes_probe(char *reason, size_t size)
{
    struct ce_error err = {0};
    char why[160] = "";
    ce_autofree char *program = NULL;
    if (ce_beside_find(PROGRAM, &program, &err) < 0) {
        snprintf(reason, size, "%s", err.message);
        return false;
    }
    size_t i = 0;
    while (levels[i].namespaces != 0 && probe_level(&levels[i], program, &err) < 0)
        if (i++ == 0)
            explain_level(&err, why, sizeof why);
    snprintf(reason, size, "%s%s%s", levels[i].name, i > 0 ? ": " : "", why);
    return levels[i].namespaces & CLONE_NEWPID;
}
