/* SPDX-License-Identifier: MIT */
/* supervisor: runs trainer, server and gateway, and does what the controller commands.
 *
 * naive: a dead server stays dead until the controller commands "serve". hardened: it is started
 * again at once, and one that does not answer its health check twice in a row is killed first.
 *
 * A command is a list of stages, gone through one by one. A stage that is fulfilled already passes
 * at once; else an event (a message from a child, the end of one, a health check) fulfils it later.
 * Answers: "SEQUENCE ok PORT PID" about the server, or the gateway for "front", or "SEQUENCE error
 * CODE SENTENCE". */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "pipeline/embedded/child.h"
#include "pipeline/embedded/health.h"

static const int64_t check_interval = 250 * CE_MILLISECOND, check_timeout = 500 * CE_MILLISECOND;
/* A server that ended young is not started again at once: whatever killed it may still be there. */
static const int64_t young = CE_SECOND, restart_pause = 100 * CE_MILLISECOND;
enum {
    CHECKS_MISSED_MAX = 2,
    STARTS_MAX = 5, /* of the server, for one command */
};

enum stage {
    STAGE_DONE = 0,
    STAGE_TRAIN,
    STAGE_START_SERVER,
    STAGE_CHECK_SERVER,
    STAGE_LOAD_SERVER,
    STAGE_START_GATEWAY, /* passes when no gateway was ever commanded */
    STAGE_LOAD_GATEWAY,
};
enum { STAGES_MAX = 8 };

static const struct command {
    const char *name;
    bool about_gateway; /* the answer */
    enum stage stages[STAGES_MAX];
} commands[] = {
    {"train", false, {STAGE_TRAIN}},
    {"serve", false, {STAGE_START_SERVER, STAGE_CHECK_SERVER, STAGE_START_GATEWAY}},
    {"front", true, {STAGE_START_GATEWAY}},
    {"reload",
     false,
     {STAGE_TRAIN, STAGE_START_SERVER, STAGE_LOAD_SERVER, STAGE_START_GATEWAY, STAGE_LOAD_GATEWAY}},
    {"status", false, {STAGE_DONE}},
};

struct supervisor {
    const struct ce_role *role;
    struct ce_child trainer, server, gateway;
    bool trainer_is_stale; /* what it says and that it ends means nothing any more */
    int upstream_port;     /* of the gateway; 0: none was commanded yet */
    int64_t restart_at;    /* of the server; 0: not due */
    struct ce_health_check check;
    int64_t next_check;
    int checks_missed;
    /* the command at hand; NULL: none */
    const struct command *command;
    unsigned sequence;
    int stage; /* index into its stages */
    int starts;
};

/* ---- the command at hand ---- */

static void send_answer(const char *text, pid_t about)
{
    /* Who may not speak about another process has no pid namespace of his own either: the number in
     * the text will do. */
    if (ce_channel_send(CE_FD_COMMANDS, text, -1, about) < 0)
        (void)ce_channel_send(CE_FD_COMMANDS, text, -1, 0);
}

static void answer_about(unsigned sequence, const struct ce_child *child)
{
    char text[64];
    pid_t pid = child->ready ? child->id.pid : 0;
    snprintf(text, sizeof text, "%u ok %d %d", sequence, child->port, (int)pid);
    send_answer(text, pid);
}

static void command_fail(struct supervisor *s, const struct ce_error *err)
{
    char text[CE_CHANNEL_TEXT];
    if (!s->command)
        return;
    snprintf(text, sizeof text, "%u error %d %s", s->sequence, err->code, err->message);
    s->command = NULL;
    send_answer(text, 0);
}

static enum stage current_stage(const struct supervisor *s)
{
    return s->command ? s->command->stages[s->stage] : STAGE_DONE;
}

static void child_start(struct supervisor *s, struct ce_child *child)
{
    struct ce_error err = {0};
    if (child->id.pid == 0 && ce_child_start(child, s->role, s->upstream_port, &err) < 0)
        command_fail(s, &err);
}

static void check_begin(struct supervisor *s)
{
    if (s->check.fd < 0)
        ce_health_start(&s->check, s->server.port, check_timeout);
}

/* True when the stage is fulfilled; else it has been set going. */
static bool stage_enter(struct supervisor *s, enum stage stage)
{
    switch (stage) {
    case STAGE_TRAIN:
        /* One that still runs or ends belongs to an earlier command; the next one follows on it. */
        s->trainer_is_stale = s->trainer.id.pid > 0;
        if (s->trainer_is_stale)
            ce_child_kill(&s->trainer);
        else
            child_start(s, &s->trainer);
        return false;
    case STAGE_START_SERVER:
        if (s->restart_at == 0)
            child_start(s, &s->server);
        return s->server.ready;
    case STAGE_CHECK_SERVER:
        /* A check that goes on already may have begun before what the command is about. */
        ce_health_cancel(&s->check);
        s->checks_missed = 0;
        check_begin(s);
        return false;
    case STAGE_LOAD_SERVER:
        (void)ce_channel_send(s->server.channel, "reload", -1, 0);
        return false;
    case STAGE_START_GATEWAY:
        if (s->upstream_port == 0)
            return true;
        child_start(s, &s->gateway);
        return s->gateway.ready;
    case STAGE_LOAD_GATEWAY:
        if (s->upstream_port == 0)
            return true;
        (void)ce_channel_send(s->gateway.channel, "reload", -1, 0);
        return false;
    case STAGE_DONE:
        break;
    }
    return true;
}

/* Goes on from the current stage, which may be fulfilled already. */
static void command_continue(struct supervisor *s)
{
    while (s->command && current_stage(s) != STAGE_DONE) {
        if (!stage_enter(s, current_stage(s)))
            return;
        s->stage++;
    }
    if (!s->command)
        return;
    answer_about(s->sequence, s->command->about_gateway ? &s->gateway : &s->server);
    s->command = NULL;
}

static void stage_fulfilled(struct supervisor *s, enum stage stage)
{
    if (current_stage(s) != stage)
        return;
    s->stage++;
    command_continue(s);
}

/* ---- events ---- */

static void on_failure(struct supervisor *s, const char *text)
{
    struct ce_error err = {0};
    char *sentence;
    long code = strtol(text, &sentence, 10);
    (void)ce_fail(&err, code > 0 ? (int)code : EIO, "%s", sentence + (*sentence == ' '));
    command_fail(s, &err);
}

static void on_ready(struct supervisor *s, struct ce_child *child, int port)
{
    child->ready = true;
    child->port = port;
    if (child != &s->server) {
        stage_fulfilled(s, STAGE_START_GATEWAY);
        return;
    }
    s->checks_missed = 0;
    s->next_check = s->role->hardened ? ce_now() + check_interval : 0;
    stage_fulfilled(s, STAGE_START_SERVER);
}

static void on_message(struct supervisor *s, struct ce_child *child, const char *text)
{
    int port;
    if (sscanf(text, "ready %d", &port) == 1)
        on_ready(s, child, port);
    else if (child == &s->trainer && s->trainer_is_stale)
        return;
    else if (strcmp(text, "trained") == 0)
        stage_fulfilled(s, STAGE_TRAIN);
    else if (strcmp(text, "reloaded") == 0)
        stage_fulfilled(s, child == &s->server ? STAGE_LOAD_SERVER : STAGE_LOAD_GATEWAY);
    else if (strncmp(text, "failed ", 7) == 0)
        on_failure(s, text + 7);
}

static void receive_from(struct supervisor *s, struct ce_child *child)
{
    struct ce_channel_message message;
    while (ce_child_receive(child, &message))
        on_message(s, child, message.text);
}

static bool server_is_wanted(const struct supervisor *s)
{
    enum stage stage = current_stage(s);
    return s->role->hardened || stage == STAGE_START_SERVER || stage == STAGE_CHECK_SERVER ||
           stage == STAGE_LOAD_SERVER;
}

static void on_server_end(struct supervisor *s, int64_t lifetime)
{
    ce_health_cancel(&s->check);
    s->next_check = 0;
    if (!server_is_wanted(s) || s->server.port == 0)
        return;
    s->restart_at = ce_now() + (lifetime < young ? restart_pause : 0);
    /* Whatever stage a command had reached with the old process, it begins again with the new one.
     */
    enum stage stage = current_stage(s);
    if (stage == STAGE_CHECK_SERVER || stage == STAGE_LOAD_SERVER)
        while (current_stage(s) != STAGE_START_SERVER)
            s->stage--;
    if (s->command && ++s->starts > STARTS_MAX) {
        struct ce_error err = {0};
        (void)ce_fail(&err, ECHILD, "the model server ended %d times before it served", s->starts);
        command_fail(s, &err);
    }
}

static void on_child_end(struct supervisor *s, struct ce_child *child)
{
    struct ce_error err = {0};
    int64_t lifetime = ce_now() - child->started_at;
    receive_from(s, child); /* what it said last */
    ce_child_ended(child);
    enum stage stage = current_stage(s);
    if (child == &s->server) {
        if (s->server.port == 0 && stage == STAGE_START_SERVER) {
            (void)ce_fail(&err, ECHILD, "the model server ended before it served");
            command_fail(s, &err);
        }
        on_server_end(s, lifetime);
    } else if (child == &s->trainer && s->trainer_is_stale) {
        s->trainer_is_stale = false;
        if (stage == STAGE_TRAIN)
            child_start(s, &s->trainer);
    } else if ((child == &s->trainer && stage == STAGE_TRAIN) ||
               (child == &s->gateway &&
                (stage == STAGE_START_GATEWAY || stage == STAGE_LOAD_GATEWAY))) {
        (void)ce_fail(&err, ECHILD, "the %s ended unexpectedly", child->role);
        command_fail(s, &err);
    }
}

static void reap(struct supervisor *s)
{
    struct ce_child *children[] = {&s->trainer, &s->server, &s->gateway};
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (size_t i = 0; i < CE_COUNT(children); i++)
            if (children[i]->id.pid == pid)
                on_child_end(s, children[i]);
}

static void on_check(struct supervisor *s)
{
    enum ce_health health = ce_health_continue(&s->check);
    if (health == CE_HEALTH_WAITING)
        return;
    if (health == CE_HEALTH_LIVE) {
        s->checks_missed = 0;
        s->next_check = s->role->hardened ? ce_now() + check_interval : 0;
        stage_fulfilled(s, STAGE_CHECK_SERVER);
        return;
    }
    if (++s->checks_missed < CHECKS_MISSED_MAX) {
        check_begin(s);
        return;
    }
    s->checks_missed = 0;
    s->next_check = 0;
    ce_child_kill(&s->server);
}

static void on_command(struct supervisor *s, const char *text)
{
    char name[16];
    unsigned sequence;
    int port = 0;
    if (sscanf(text, "%u %15s %d", &sequence, name, &port) < 2)
        return;
    reap(s); /* what has happened before the command counts for it */
    for (size_t i = 0; i < CE_COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (commands[i].stages[0] == STAGE_DONE) {
            answer_about(sequence, &s->server);
            return;
        }
        if (port > 0)
            s->upstream_port = port;
        s->command = &commands[i];
        s->sequence = sequence;
        s->stage = 0;
        s->starts = 0;
        command_continue(s);
    }
}

/* ---- the loop ---- */

/* Does what is due, and says when the next thing will be; 0: nothing. */
static int64_t do_what_is_due(struct supervisor *s)
{
    int64_t now = ce_now();
    if (s->restart_at > 0 && now >= s->restart_at) {
        s->restart_at = 0;
        child_start(s, &s->server);
    }
    if (s->next_check > 0 && now >= s->next_check && s->server.ready) {
        s->next_check = 0;
        check_begin(s);
    }
    if (s->check.fd >= 0 && now >= s->check.deadline)
        on_check(s);

    int64_t times[] = {s->restart_at, s->next_check, s->check.fd >= 0 ? s->check.deadline : 0},
            next = 0;
    for (size_t i = 0; i < CE_COUNT(times); i++)
        if (times[i] > 0 && (next == 0 || times[i] < next))
            next = times[i];
    return next;
}

static void loop(struct supervisor *s, int signals)
{
    for (;;) {
        int64_t next = do_what_is_due(s), left = next - ce_now();
        struct pollfd waits[] = {
            {.fd = CE_FD_COMMANDS, .events = POLLIN},
            {.fd = signals, .events = POLLIN},
            {.fd = s->trainer.channel, .events = POLLIN},
            {.fd = s->server.channel, .events = POLLIN},
            {.fd = s->gateway.channel, .events = POLLIN},
            {.fd = s->check.fd, .events = s->check.events},
        };
        int timeout = next == 0 ? -1 : left > 0 ? (int)(left / CE_MILLISECOND) + 1 : 0;
        if (poll(waits, CE_COUNT(waits), timeout) < 0)
            continue; /* EINTR */
        struct signalfd_siginfo info;
        if (waits[1].revents && read(signals, &info, sizeof info) > 0)
            reap(s);
        if (waits[2].revents)
            receive_from(s, &s->trainer);
        if (waits[3].revents)
            receive_from(s, &s->server);
        if (waits[4].revents)
            receive_from(s, &s->gateway);
        if (waits[5].revents && s->check.fd == waits[5].fd)
            on_check(s);
        if (waits[0].revents) {
            struct ce_channel_message message;
            int r = ce_channel_receive(CE_FD_COMMANDS, 0, &message);
            if (r == 0 || (r < 0 && r != -ETIMEDOUT))
                return; /* the controller is gone */
            if (r == 1)
                on_command(s, message.text);
        }
    }
}

int ce_supervisor_run(const struct ce_role *role)
{
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &children, NULL);
    ce_autofd int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return 1;
    struct supervisor s = {
        .role = role,
        .trainer = {.role = CE_ROLE_TRAINER, .channel = -1},
        .server = {.role = CE_ROLE_SERVER, .channel = -1},
        .gateway = {.role = CE_ROLE_GATEWAY, .channel = -1},
        .check = {.fd = -1},
    };
    loop(&s, signals);
    return 0;
}
