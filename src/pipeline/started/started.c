/* SPDX-License-Identifier: MIT */
/* The controller's side of a started command. */
#include "pipeline/started/started.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/seam.h"
#include "base/spawn.h"
#include "host/process.h"
#include "pipeline/channel.h"
#include "pipeline/started/tail.h"
#include "pipeline/started/tree.h"

/* How long the launcher may take to answer, to take its leave with all that is below it, and to be
 * killed. */
static const int64_t answer_timeout = 10 * CE_SECOND, leave_timeout = 5 * CE_SECOND,
                     kill_timeout = CE_SECOND;

struct ce_started {
    struct ce_started_command command;
    struct ce_journal *journal;
    struct ce_process_id keeper, launcher;
    int note;
    int channel;
    _Atomic unsigned sequence; /* of the last command: a late answer to an earlier one is dropped */
    bool own_pids;             /* the launcher numbers processes otherwise than we do */
    char isolation[256];
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

const struct ce_undo_op ce_undo_end_started = {.name = "end-server", .undo = undo};

/* ---- what it has said ---- */

static void read_words(const char *path, char words[CE_LAST_WORDS])
{
    ce_autofree char *text = NULL;
    size_t size;
    words[0] = '\0';
    if (!path || ce_tail_read(path, (size_t)64 << 10, &text, &size, NULL) < 0)
        return;
    while (size > 0 && (unsigned char)text[size - 1] <= ' ')
        text[--size] = '\0';
    size_t begin = size < CE_LAST_WORDS - 1 ? 0 : size - (CE_LAST_WORDS - 1);
    const char *line = memchr(text + begin, '\n', size - begin);
    if (begin > 0 && line) /* whole lines only, if there is one */
        begin = (size_t)(line + 1 - text);
    snprintf(words, CE_LAST_WORDS, "%s", text + begin);
    for (char *p = words; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = *p == '\n' ? '|' : ' ';
}

void ce_started_last_words(const struct ce_started *started, char ret_words[CE_LAST_WORDS])
{
    read_words(started->command.errors, ret_words);
    if (ret_words[0] == '\0')
        read_words(started->command.log, ret_words);
}

/* "gone HOW". */
static int fail_gone(const struct ce_started *started, const char *how, struct ce_error *err)
{
    char words[CE_LAST_WORDS];
    ce_started_last_words(started, words);
    return ce_fail(err, ESRCH, "the command %s%s%s%s", how[0] ? how : "does not run",
                   words[0] ? "; its last words: '" : " without a word", words,
                   words[0] ? "'" : "");
}

int ce_started_late(const struct ce_started *started, int r, struct ce_error *err)
{
    char words[CE_LAST_WORDS];
    if (!err)
        return r;
    ce_started_last_words(started, words);
    size_t n = strlen(err->message);
    if (words[0])
        snprintf(err->message + n, sizeof err->message - n, "; its last words: '%s'", words);
    return ce_fail_context(err, r, "the command runs and does not serve in time");
}

/* ---- the channel ---- */

static int fail_keeper_gone(struct ce_error *err)
{
    return ce_fail(err, ECHILD, "the command's keeper is gone");
}

/* The next message: what the launcher says of its own accord has number 0. */
static int receive(const struct ce_started *started, unsigned sequence,
                   struct ce_channel_message *ret_message, struct ce_error *err)
{
    int64_t until = ce_now() + answer_timeout;
    for (;;) {
        int r = ce_channel_receive(started->channel, until, ret_message);
        if (r == 0)
            return fail_keeper_gone(err);
        if (r < 0)
            return ce_fail(err, -r, "the command's keeper does not answer: %s", strerror(-r));
        if (strtoul(ret_message->text, NULL, 10) == sequence)
            return 0;
    }
}

static int send_command(struct ce_started *started, const char *word, int fd,
                        unsigned *ret_sequence, struct ce_error *err)
{
    char text[32];
    *ret_sequence = ++started->sequence;
    snprintf(text, sizeof text, "%u %s", *ret_sequence, word);
    int r = started->channel < 0 ? -EPIPE : ce_channel_send(started->channel, text, fd, 0);
    return r < 0 ? fail_keeper_gone(err) : 0;
}

/* "SEQUENCE ok PID", "SEQUENCE gone HOW" or "SEQUENCE error CODE SENTENCE": the pid of the
 * command's first process, as it is called here. */
static int ask(struct ce_started *started, const char *word, struct ce_error *err)
{
    struct ce_channel_message message;
    unsigned sequence;
    int pid, code, sentence = 0, how = 0;
    CE_TRY(send_command(started, word, -1, &sequence, err));
    CE_TRY(receive(started, sequence, &message, err));
    if (sscanf(message.text, "%*u ok %d", &pid) == 1)
        return started->own_pids ? message.pid : pid;
    if (sscanf(message.text, "%*u gone %n", &how) == 0 && how > 0)
        return fail_gone(started, message.text + how, err);
    if (sscanf(message.text, "%*u error %d %n", &code, &sentence) == 1 && sentence > 0 && code > 0)
        return ce_fail(err, code, "%s", message.text + sentence);
    return ce_fail(err, EPROTO, "the command's keeper answered '%.60s'", message.text);
}

/* ---- the keeper ---- */

static int keeper_function(void *ctx)
{
    return ce_started_keep(ctx);
}

/* "0 ready PIDS ISOLATION", from the launcher, who is known by the message: the kernel says who
 * sent it. */
static int take_ready(struct ce_started *started, struct ce_error *err)
{
    struct ce_channel_message message;
    int own_pids, code, sentence = 0;
    CE_TRY(receive(started, 0, &message, err));
    if (sscanf(message.text, "0 error %d %n", &code, &sentence) == 1 && sentence > 0 && code > 0)
        return ce_fail(err, code, "%s", message.text + sentence);
    if (sscanf(message.text, "0 ready %d %n", &own_pids, &sentence) != 1 || sentence == 0)
        return ce_fail(err, EPROTO, "the command's keeper said '%.60s'", message.text);
    started->own_pids = own_pids;
    snprintf(started->isolation, sizeof started->isolation, "%.250s", message.text + sentence);
    if (ce_process_identify(message.pid, &started->launcher) < 0)
        return ce_fail(err, ECHILD, "the command's launcher has just ended");
    return 0;
}

static int keeper_start(struct ce_started *started, struct ce_error *err)
{
    int ends[2], gate;
    CE_TRY(ce_channel_pair(ends, err));
    started->channel = ends[0];
    ce_autofd int its = ends[1];
    CE_TRY(ce_channel_want_pids(started->channel, err));
    struct ce_spawn spawn = {
        .function = keeper_function,
        .ctx = &started->command,
        .fds = {{its, CE_LAUNCHER_CHANNEL}},
        .fd_count = 1,
    };
    CE_TRY(ce_spawn(&spawn, &started->keeper, &gate, err));
    int note = ce_undo_note(started->journal, ce_undo_end_started.name,
                            ce_process_args(&started->keeper), err);
    if (note < 0) {
        (void)close(gate);
        return note;
    }
    started->note = note;
    CE_TRY(ce_spawn_go(gate, err));
    ce_seam_step("pipeline: keeper started");
    (void)close(ce_take_fd(its)); /* only so does our end notice when the launcher dies */
    return take_ready(started, err);
}

/* Waits for a keeper that was told to go, or whose channel has ended. */
static void keeper_end(struct ce_started *started)
{
    if (started->channel >= 0)
        (void)close(ce_take_fd(started->channel));
    if (started->keeper.pid <= 0)
        return;
    if (ce_process_reap(&started->keeper, leave_timeout, NULL) < 0)
        (void)end_keeper(&started->keeper, NULL);
    if (started->note > 0 && !ce_process_alive(&started->keeper))
        (void)ce_undo_settled(started->journal, started->note, NULL);
    started->note = 0;
    started->keeper = started->launcher = (struct ce_process_id){0};
}

int ce_started_new(const struct ce_started_command *command, struct ce_journal *journal,
                   struct ce_started **ret_started, struct ce_error *err)
{
    struct ce_started *started = calloc(1, sizeof *started);
    if (!started)
        return ce_fail_memory(err);
    started->command = *command;
    started->journal = journal;
    started->channel = -1;
    int r = keeper_start(started, err);
    if (r < 0) {
        ce_started_free(started);
        return r;
    }
    *ret_started = started;
    return 0;
}

void ce_started_free(struct ce_started *started)
{
    unsigned ignored;
    if (!started)
        return;
    (void)send_command(started, "end", -1, &ignored, NULL);
    keeper_end(started);
    free(started);
}

int ce_started_revive(struct ce_started *started, struct ce_error *err)
{
    /* A process that was killed is there for a moment yet; its channel is not. */
    struct ce_error why = {0};
    int r = ask(started, "status", &why);
    if (r >= 0 || r == -ESRCH)
        return 0;
    if (r != -ECHILD)
        return ce_fail(err, -r, "%s", why.message);
    ce_seam_step("pipeline: start keeper again");
    keeper_end(started);
    return keeper_start(started, err);
}

/* ---- a server ---- */

int ce_started_start(struct ce_started *started, struct ce_error *err)
{
    if (ce_started_alive(started, NULL) == 0)
        return 0; /* whoever waits for it asks again and again, which is no step of the run */
    ce_seam_step("pipeline: start server");
    int r = ask(started, "start", err);
    return r < 0 ? r : 0;
}

int ce_started_restart(struct ce_started *started, struct ce_error *err)
{
    int r = ask(started, "restart", err);
    return r < 0 ? r : 0;
}

int ce_started_alive(struct ce_started *started, struct ce_error *err)
{
    int r = ask(started, "status", err);
    return r < 0 ? r : 0;
}

int ce_started_process(struct ce_started *started, struct ce_process_id *ret_id,
                       struct ce_error *err)
{
    int pid = ask(started, "status", err);
    CE_TRY(pid);
    /* A shell that started the server is not what serves. */
    pid_t listener = started->command.port > 0
                         ? ce_tree_listener(started->keeper.pid, started->command.port)
                         : 0;
    started->has_listened = started->has_listened || listener > 0;
    if (listener > 0)
        pid = listener;
    else if (started->has_listened)
        return ce_fail(err, ESRCH, "no process of the command listens at port %d any more",
                       started->command.port);
    if (ce_process_identify(pid, ret_id) < 0)
        return ce_fail(err, ESRCH, "the command has just ended");
    return 0;
}

/* ---- trials ---- */

int ce_started_run(struct ce_started *started, bool killed, int *ret_end, struct ce_error *err)
{
    int ends[2];
    unsigned ignored;
    CE_TRY(ce_channel_pair(ends, err));
    ce_autofd int mine = ends[0];
    ce_autofd int its = ends[1];
    CE_TRY(send_command(started, killed ? "run-killed" : "run", its, &ignored, err));
    *ret_end = ce_take_fd(mine);
    return 0;
}

void ce_started_kill(struct ce_started *started)
{
    unsigned ignored;
    (void)send_command(started, "kill", -1, &ignored, NULL);
}

/* ---- what is known of it ---- */

struct ce_process_id ce_started_launcher(const struct ce_started *started)
{
    return started->launcher;
}

const char *ce_started_isolation(const struct ce_started *started)
{
    return started->isolation;
}
