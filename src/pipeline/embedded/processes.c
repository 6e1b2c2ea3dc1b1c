/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/processes.h"

#include <inttypes.h>
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
#include "pipeline/helpers.h"
#include "pipeline/own_namespaces.h"

/* How long the keeper may take to set up its namespaces, to hand out a socket, and to take its
 * leave. */
static const int64_t setup_timeout = 10 * CE_SECOND, socket_timeout = 2 * CE_SECOND,
                     leave_timeout = CE_SECOND;

struct ce_processes {
    struct ce_journal *journal;
    struct ce_process_id keeper;
    int note;
    bool own_network, own_mounts, own_pids;
    char isolation[384];
    char no_names[160]; /* why the gateway uses its server's address; "": it uses the name */

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
     "user, network, mount and pid namespaces", CE_KEEPER_NETWORK CE_KEEPER_MOUNTS CE_KEEPER_PIDS},
    {CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID, "network, mount and pid namespaces",
     CE_KEEPER_NETWORK CE_KEEPER_MOUNTS
         CE_KEEPER_PIDS}, /* root may, even where user namespaces are turned off */
    {CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS, "user, network and mount namespaces",
     CE_KEEPER_NETWORK CE_KEEPER_MOUNTS},
    {0, "plain processes", "plain"},
};

#define PROGRAM "chaoseater-pipeline"

/* ---- the keeper, as isolated as can be ---- */

/* The keeper says "up", followed by a sentence if names are not resolved in there, or why it
 * cannot: "13 cannot mount /proc: ...". */
static int wait_until_up(struct ce_processes *processes, struct ce_error *err)
{
    struct ce_channel_message message;
    int r = ce_channel_receive(processes->sockets, ce_now() + setup_timeout, &message);
    if (r < 0)
        return ce_fail(err, -r, "the pipeline's keeper does not answer: %s", strerror(-r));
    if (r == 0)
        return ce_fail(err, ECHILD, "the pipeline's keeper ended before it was up");
    if (strncmp(message.text, "up", 2) == 0) {
        const char *why = message.text + 2 + (message.text[2] == ' ');
        snprintf(processes->no_names, sizeof processes->no_names, "%.159s", why);
        return 0;
    }
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

/* The isolation there is, why no better, and what else is lacking. */
static void describe(const struct ce_processes *processes, const struct level *level,
                     const char *why, char *text, size_t size)
{
    snprintf(text, size, "%s%s%s%s%s", level->name, why[0] ? ": " : "", why,
             processes->no_names[0] ? "; servers are found by address, not by name: " : "",
             processes->no_names);
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
            processes->own_mounts = level->namespaces & CLONE_NEWNS;
            processes->own_pids = level->namespaces & CLONE_NEWPID;
            describe(processes, level, why, processes->isolation, sizeof processes->isolation);
            return 0;
        }
        keeper_end(processes);
        if (i == 0)
            ce_own_namespaces_why(&failed, why, sizeof why);
        if (level->namespaces == 0) {
            if (err)
                *err = failed;
            return r;
        }
    }
    return 0;
}

/* The keeper's environment. *ret_env is to be freed, and borrows from the helpers and the text. */
static int make_env(unsigned which, const char *run_folder, const char *time,
                    struct ce_helpers *ret_helpers, char **ret_prefix, const char ***ret_env,
                    struct ce_error *err)
{
    const char *more[CE_HELPER_VARIABLES_MAX + 3];
    CE_TRY(ce_helpers_init(which, CE_SERVER_PRELOAD, getenv("LD_PRELOAD"), run_folder, ret_helpers,
                           err));
    size_t count = ret_helpers->count;
    for (size_t i = 0; i < count; i++)
        more[i] = ret_helpers->variables[i];
    if (ret_helpers->prefix_count > 0) {
        *ret_prefix = ce_format(CE_SERVER_PREFIX "=%s", ret_helpers->prefix[0]);
        if (!*ret_prefix)
            return ce_fail_memory(err);
        more[count++] = *ret_prefix;
    }
    if (which & CE_HELPER_GPU)
        more[count++] = CE_SERVER_ACCELERATOR "=yes";
    more[count++] = time;
    *ret_env = ce_environment_with(more, count);
    return *ret_env ? 0 : ce_fail_memory(err);
}

int ce_processes_start(struct ce_journal *journal, const char *run_folder, const char *profile,
                       unsigned helpers, int64_t inference_time,
                       struct ce_processes **ret_processes, struct ce_error *err)
{
    ce_autofree char *program = NULL;
    ce_autofree const char **env = NULL;
    ce_autofree char *prefix = NULL;
    CE_CLEANUP(ce_helpers_done) struct ce_helpers loaded = {.count = 0};
    CE_TRY(ce_beside_find(PROGRAM, &program, err));
    char time[64];
    snprintf(time, sizeof time, CE_SERVER_TIME "=%" PRId64, inference_time);
    CE_TRY(make_env(helpers, run_folder, time, &loaded, &prefix, &env, err));
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

bool ce_processes_own_mounts(const struct ce_processes *processes)
{
    return processes->own_mounts;
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
    return ce_fail(err, ESRCH, "the pipeline's supervisor is gone");
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
static int probe_level(const struct level *level, const char *program,
                       struct ce_processes *ret_probed, struct ce_error *err)
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
    *ret_probed = (struct ce_processes){.sockets = mine, .commands = -1};
    int gate;
    CE_TRY(ce_spawn(&spawn, &ret_probed->keeper, &gate, err));
    int r = ce_spawn_go(gate, err);
    (void)close(ce_take_fd(its));
    if (r == 0)
        r = wait_until_up(ret_probed, err);
    (void)ce_process_end(&ret_probed->keeper, leave_timeout, NULL);
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
    struct ce_processes probed;
    size_t i = 0;
    while (probe_level(&levels[i], program, &probed, &err) < 0 && levels[i].namespaces != 0)
        if (i++ == 0)
            ce_own_namespaces_why(&err, why, sizeof why);
    describe(&probed, &levels[i], why, reason, size);
    return levels[i].namespaces & CLONE_NEWPID;
}
