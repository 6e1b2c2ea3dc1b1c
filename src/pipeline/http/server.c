/* SPDX-License-Identifier: MIT */
/* The controller's side of a started server. */
#include "pipeline/http/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "host/process.h"
#include "pipeline/channel.h"
#include "pipeline/http/tree.h"

/* How long the keeper may take to answer, to take its leave with all that is below it, and to be
 * killed. */
static const int64_t answer_timeout = 10 * CE_SECOND, leave_timeout = 5 * CE_SECOND,
                     kill_timeout = CE_SECOND;
/* Of its log: what a message has room for. */
enum { LAST_WORDS = 200 };

struct ce_server {
    struct ce_server_command command;
    struct ce_journal *journal;
    struct ce_process_id keeper;
    int note;
    int channel;
    bool has_listened; /* a process of it was seen listening at the port */
};

/* ---- undo ---- */

/* The keeper ends its tree; one that does not is killed, and its first child with it. */
static int end_keeper(const struct ce_process_id *keeper, struct ce_error *err)
{
    (void)ce_process_signal(keeper, SIGTERM);
    if (ce_process_reap(keeper, leave_timeout, NULL) == 0)
        return 0;
    return ce_process_end(keeper, kill_timeout, err);
}

static int undo(const json_t *args, struct ce_error *err)
{
    struct ce_process_id keeper;
    int r = ce_process_from_args(args, &keeper, err);
    if (r != 0)
        return r == CE_PROCESS_GONE ? 0 : r == CE_PROCESS_FOREIGN ? CE_UNDO_FOREIGN : r;
    return end_keeper(&keeper, err);
}

const struct ce_undo_op ce_undo_end_server = {.name = "end-server", .undo = undo};

/* ---- the keeper ---- */

static int keeper_function(void *ctx)
{
    return ce_server_keep(ctx);
}

/* What the command has said last, in one line. */
static void last_words(const struct ce_server *server, char words[LAST_WORDS])
{
    ce_autofree char *text = NULL;
    size_t size;
    words[0] = '\0';
    if (ce_file_read(server->command.log, (size_t)64 << 20, &text, &size, NULL) < 0)
        return;
    while (size > 0 && (unsigned char)text[size - 1] <= ' ')
        text[--size] = '\0';
    size_t begin = size < LAST_WORDS - 1 ? 0 : size - (LAST_WORDS - 1);
    const char *line = memchr(text + begin, '\n', size - begin);
    if (begin > 0 && line) /* whole lines only, if there is one */
        begin = (size_t)(line + 1 - text);
    snprintf(words, LAST_WORDS, "%s", text + begin);
    for (char *p = words; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = *p == '\n' ? '|' : ' ';
}

/* "gone HOW". */
static int fail_gone(const struct ce_server *server, const char *how, struct ce_error *err)
{
    char words[LAST_WORDS];
    last_words(server, words);
    return ce_fail(err, ESRCH, "the command %s%s%s%s", how[0] ? how : "does not run",
                   words[0] ? "; its last words: '" : " without a word", words,
                   words[0] ? "'" : "");
}

int ce_server_late(const struct ce_server *server, int r, struct ce_error *err)
{
    char words[LAST_WORDS];
    if (!err)
        return r;
    last_words(server, words);
    size_t n = strlen(err->message);
    if (words[0])
        snprintf(err->message + n, sizeof err->message - n, "; its last words: '%s'", words);
    return ce_fail_context(err, r, "the command runs and does not serve in time");
}

/* The pid of the command's first process. */
static int read_answer(const struct ce_server *server, const char *text, struct ce_error *err)
{
    int pid, code, sentence = 0;
    if (sscanf(text, "ok %d", &pid) == 1)
        return pid;
    if (strncmp(text, "gone ", 5) == 0)
        return fail_gone(server, text + 5, err);
    if (sscanf(text, "error %d %n", &code, &sentence) == 1 && sentence > 0 && code > 0)
        return ce_fail(err, code, "%s", text + sentence);
    return ce_fail(err, EPROTO, "the server's keeper answered '%.60s'", text);
}

static int receive(const struct ce_server *server, struct ce_error *err)
{
    struct ce_channel_message message;
    int r = ce_channel_receive(server->channel, ce_now() + answer_timeout, &message);
    if (r == 0)
        return ce_fail(err, ECHILD, "the server's keeper is gone");
    if (r < 0)
        return ce_fail(err, -r, "the server's keeper does not answer: %s", strerror(-r));
    return read_answer(server, message.text, err);
}

static int ask(struct ce_server *server, const char *command, struct ce_error *err)
{
    int r = ce_channel_send(server->channel, command, -1, 0);
    return r < 0 ? ce_fail(err, ECHILD, "the server's keeper is gone") : receive(server, err);
}

static int keeper_start(struct ce_server *server, struct ce_error *err)
{
    int ends[2], gate;
    CE_TRY(ce_channel_pair(ends, err));
    server->channel = ends[0];
    ce_autofd int its = ends[1];
    struct ce_spawn spawn = {
        .function = keeper_function,
        .ctx = &server->command,
        .fds = {{its, 3}},
        .fd_count = 1,
    };
    CE_TRY(ce_spawn(&spawn, &server->keeper, &gate, err));
    int note = ce_undo_note(server->journal, "end-server", ce_process_args(&server->keeper), err);
    if (note < 0) {
        (void)close(gate);
        return note;
    }
    server->note = note;
    CE_TRY(ce_spawn_go(gate, err));
    ce_seam_step("pipeline: keeper started");
    (void)close(ce_take_fd(its)); /* only so does our end notice when the keeper dies */
    int r = receive(server, err);
    return r == -ESRCH ? 0 : r; /* nothing runs yet */
}

int ce_server_new(const struct ce_server_command *command, struct ce_journal *journal,
                  struct ce_server **ret_server, struct ce_error *err)
{
    struct ce_server *server = calloc(1, sizeof *server);
    if (!server)
        return ce_fail_memory(err);
    server->command = *command;
    server->journal = journal;
    server->channel = -1;
    int r = keeper_start(server, err);
    if (r < 0) {
        ce_server_free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

void ce_server_free(struct ce_server *server)
{
    if (!server)
        return;
    if (server->channel >= 0) {
        (void)ce_channel_send(server->channel, "end", -1, 0);
        (void)close(server->channel);
    }
    if (server->keeper.pid > 0) {
        if (ce_process_reap(&server->keeper, leave_timeout, NULL) < 0)
            (void)end_keeper(&server->keeper, NULL);
        if (server->note > 0 && !ce_process_alive(&server->keeper))
            (void)ce_undo_settled(server->journal, server->note, NULL);
    }
    free(server);
}

/* ---- the command ---- */

int ce_server_start(struct ce_server *server, struct ce_error *err)
{
    if (ce_server_alive(server, NULL) == 0)
        return 0; /* whoever waits for it asks again and again, which is no step of the run */
    ce_seam_step("pipeline: start server");
    int r = ask(server, "start", err);
    return r < 0 ? r : 0;
}

int ce_server_restart(struct ce_server *server, struct ce_error *err)
{
    int r = ask(server, "restart", err);
    return r < 0 ? r : 0;
}

int ce_server_alive(struct ce_server *server, struct ce_error *err)
{
    int r = ask(server, "status", err);
    return r < 0 ? r : 0;
}

int ce_server_process(struct ce_server *server, struct ce_process_id *ret_id, struct ce_error *err)
{
    int pid = ask(server, "status", err);
    CE_TRY(pid);
    /* A shell that started the server is not what serves. */
    pid_t listener =
        server->command.port > 0 ? ce_tree_listener(server->keeper.pid, server->command.port) : 0;
    server->has_listened = server->has_listened || listener > 0;
    if (listener > 0)
        pid = listener;
    else if (server->has_listened)
        return ce_fail(err, ESRCH, "no process of the command listens at port %d any more",
                       server->command.port);
    if (ce_process_identify(pid, ret_id) < 0)
        return ce_fail(err, ESRCH, "the command has just ended");
    return 0;
}
