/* SPDX-License-Identifier: MIT */
/* supervisor: runs resolver, trainer, server and gateway, and does what the controller commands.
 *
 * naive: who is dead stays dead until the controller commands "serve". hardened: resolver, server
 * and gateway are started again at once, and a server or gateway that does not answer its health
 * check twice in a row is killed first.
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
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "pipeline/embedded/child.h"
#include "pipeline/embedded/health.h"

static const int64_t check_interval = 250 * CE_MILLISECOND, check_timeout = 500 * CE_MILLISECOND;
/* Who ended young is not started again at once: whatever killed it may still be there. */
static const int64_t young = CE_SECOND, restart_pause = 100 * CE_MILLISECOND;
enum {
    CHECKS_MISSED_MAX = 2,
    STARTS_MAX = 5, /* of server and gateway, for one command */
};

enum stage {
    STAGE_DONE = 0,
    STAGE_TRAIN,
    STAGE_START_SERVER,
    STAGE_CHECK_SERVER,
    STAGE_LOAD_SERVER,
    STAGE_START_RESOLVER, /* passes when the pipeline has no names */
    STAGE_START_GATEWAY,  /* passes when no gateway was ever commanded */
    STAGE_CHECK_GATEWAY,
    STAGE_LOAD_GATEWAY,
};
enum { STAGES_MAX = 8 };

/* Whose port and pid are the answer. */
enum about { ABOUT_SERVER = 0, ABOUT_GATEWAY, ABOUT_RESOLVER, ABOUT_SUPERVISOR };

static const struct command {
    const char *name;
    enum about about;
    enum stage stages[STAGES_MAX];
} commands[] = {
    {"train", ABOUT_SERVER, {STAGE_TRAIN}},
    {"serve",
     ABOUT_SERVER,
     {STAGE_START_SERVER, STAGE_CHECK_SERVER, STAGE_START_RESOLVER, STAGE_START_GATEWAY,
      STAGE_CHECK_GATEWAY}},
    {"front", ABOUT_GATEWAY, {STAGE_START_RESOLVER, STAGE_START_GATEWAY}},
    {"reload",
     ABOUT_SERVER,
     {STAGE_TRAIN, STAGE_START_SERVER, STAGE_LOAD_SERVER, STAGE_START_RESOLVER, STAGE_START_GATEWAY,
      STAGE_LOAD_GATEWAY}},
    {"status", ABOUT_SERVER, {STAGE_DONE}},
    {"gateway", ABOUT_GATEWAY, {STAGE_DONE}},
    {"resolver", ABOUT_RESOLVER, {STAGE_DONE}},
    {"supervisor", ABOUT_SUPERVISOR, {STAGE_DONE}},
};

/* A child that serves, and is asked whether it lives. */
struct watch {
    struct ce_child *child;
    const char *name;
    enum stage start, check, load; /* the stages that are about it */
    struct ce_health_check health;
    int64_t next; /* when it is asked again; 0: it is not */
    int missed;   /* answers, in a row */
};

struct supervisor {
    const struct ce_role *role;
    struct ce_child resolver, trainer, server, gateway;
    bool has_names;          /* so that a resolver is wanted */
    bool trainer_is_stale;   /* what it says and that it ends means nothing any more */
    int upstream_port;       /* of the gateway; 0: none was commanded yet */
    struct watch watches[2]; /* of the server, of the gateway */
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

static void answer_about(const struct supervisor *s, unsigned sequence, enum about about)
{
    char text[64];
    const struct ce_child *child = about == ABOUT_GATEWAY    ? &s->gateway
                                   : about == ABOUT_RESOLVER ? &s->resolver
                                                             : &s->server;
    pid_t pid = about == ABOUT_SUPERVISOR ? getpid() : child->ready ? child->id.pid : 0;
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
    if (child->id.pid == 0 && child->start_at == 0 &&
        ce_child_start(child, s->role, s->upstream_port, &err) < 0)
        command_fail(s, &err);
}

static void check_begin(struct watch *watch)
{
    if (watch->health.fd < 0)
        ce_health_start(&watch->health, watch->child->port, check_timeout);
}

/* A check that goes on already may have begun before what the command is about. */
static void check_anew(struct watch *watch)
{
    ce_health_cancel(&watch->health);
    watch->missed = 0;
    check_begin(watch);
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
        child_start(s, &s->server);
        return s->server.ready;
    case STAGE_START_RESOLVER:
        if (!s->has_names)
            return true;
        child_start(s, &s->resolver);
        return s->resolver.ready;
    case STAGE_CHECK_SERVER:
        check_anew(&s->watches[0]);
        return false;
    case STAGE_LOAD_SERVER:
        (void)ce_channel_send(s->server.channel, "reload", -1, 0);
        return false;
    case STAGE_START_GATEWAY:
        if (s->upstream_port == 0)
            return true;
        child_start(s, &s->gateway);
        return s->gateway.ready;
    case STAGE_CHECK_GATEWAY:
        if (s->upstream_port == 0)
            return true;
        check_anew(&s->watches[1]);
        return false;
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
    answer_about(s, s->sequence, s->command->about);
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

/* NULL: it is not asked. */
static struct watch *watch_of(struct supervisor *s, const struct ce_child *child)
{
    for (size_t i = 0; i < CE_COUNT(s->watches); i++)
        if (s->watches[i].child == child)
            return &s->watches[i];
    return NULL;
}

static void on_ready(struct supervisor *s, struct ce_child *child, int port)
{
    child->ready = true;
    child->port = port;
    struct watch *watch = watch_of(s, child);
    if (watch) {
        watch->missed = 0;
        watch->next = s->role->hardened ? ce_now() + check_interval : 0;
    }
    stage_fulfilled(s, watch ? watch->start : STAGE_START_RESOLVER);
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

static void start_again(struct ce_child *child, int64_t lifetime)
{
    child->start_at = ce_now() + (lifetime < young ? restart_pause : 0);
}

/* Started again if hardened, or if a command needs it: whatever stage that had reached with the old
 * process, it begins again with the new one. */
static void on_served_end(struct supervisor *s, struct watch *watch, int64_t lifetime)
{
    struct ce_error err = {0};
    enum stage stage = current_stage(s);
    bool needed = stage == watch->start || stage == watch->check || stage == watch->load;
    ce_health_cancel(&watch->health);
    watch->next = 0;
    if (needed && (watch->child->port == 0 || ++s->starts > STARTS_MAX)) {
        (void)ce_fail(&err, ECHILD, "the %s ended %d times before it served", watch->name,
                      s->starts + (watch->child->port == 0));
        command_fail(s, &err);
    }
    if (watch->child->port == 0 || !(needed || s->role->hardened))
        return;
    start_again(watch->child, lifetime);
    if (s->command && needed)
        while (current_stage(s) != watch->start)
            s->stage--;
}

static void on_child_end(struct supervisor *s, struct ce_child *child)
{
    struct ce_error err = {0};
    int64_t lifetime = ce_now() - child->started_at;
    receive_from(s, child); /* what it said last */
    ce_child_ended(child);
    enum stage stage = current_stage(s);
    struct watch *watch = watch_of(s, child);
    if (watch) {
        on_served_end(s, watch, lifetime);
    } else if (child == &s->resolver && s->role->hardened) {
        start_again(child, lifetime);
    } else if (child == &s->trainer && s->trainer_is_stale) {
        s->trainer_is_stale = false;
        if (stage == STAGE_TRAIN)
            child_start(s, &s->trainer);
    } else if ((child == &s->trainer && stage == STAGE_TRAIN) ||
               (child == &s->resolver && stage == STAGE_START_RESOLVER)) {
        (void)ce_fail(&err, ECHILD, "the %s ended unexpectedly", child->role);
        command_fail(s, &err);
    }
}

static void reap(struct supervisor *s)
{
    struct ce_child *children[] = {&s->resolver, &s->trainer, &s->server, &s->gateway};
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (size_t i = 0; i < CE_COUNT(children); i++)
            if (children[i]->id.pid == pid)
                on_child_end(s, children[i]);
}

static void on_check(struct supervisor *s, struct watch *watch)
{
    enum ce_health health = ce_health_continue(&watch->health);
    if (health == CE_HEALTH_WAITING)
        return;
    if (health == CE_HEALTH_LIVE) {
        watch->missed = 0;
        watch->next = s->role->hardened ? ce_now() + check_interval : 0;
        stage_fulfilled(s, watch->check);
        return;
    }
    if (++watch->missed < CHECKS_MISSED_MAX) {
        check_begin(watch);
        return;
    }
    watch->missed = 0;
    watch->next = 0;
    ce_child_kill(watch->child);
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
            answer_about(s, sequence, commands[i].about);
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

static int64_t sooner(int64_t a, int64_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

/* Does what is due, and says when the next thing will be; 0: nothing. */
static int64_t do_what_is_due(struct supervisor *s)
{
    struct ce_child *restarted[] = {&s->resolver, &s->server, &s->gateway};
    int64_t now = ce_now(), next = 0;
    for (size_t i = 0; i < CE_COUNT(restarted); i++) {
        if (restarted[i]->start_at > 0 && now >= restarted[i]->start_at) {
            restarted[i]->start_at = 0;
            child_start(s, restarted[i]);
        }
        next = sooner(next, restarted[i]->start_at);
    }
    for (size_t i = 0; i < CE_COUNT(s->watches); i++) {
        struct watch *watch = &s->watches[i];
        if (watch->next > 0 && now >= watch->next && watch->child->ready) {
            watch->next = 0;
            check_begin(watch);
        }
        if (watch->health.fd >= 0 && now >= watch->health.deadline)
            on_check(s, watch);
        next = sooner(next, watch->next);
        next = sooner(next, watch->health.fd >= 0 ? watch->health.deadline : 0);
    }
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
            {.fd = s->resolver.channel, .events = POLLIN},
            {.fd = s->watches[0].health.fd, .events = s->watches[0].health.events},
            {.fd = s->watches[1].health.fd, .events = s->watches[1].health.events},
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
        if (waits[5].revents)
            receive_from(s, &s->resolver);
        for (size_t i = 0; i < CE_COUNT(s->watches); i++)
            if (waits[6 + i].revents && s->watches[i].health.fd == waits[6 + i].fd)
                on_check(s, &s->watches[i]);
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
        .has_names = strcmp(role->model_host, CE_MODEL_HOST) == 0,
        .resolver = {.role = CE_ROLE_RESOLVER, .channel = -1},
        .trainer = {.role = CE_ROLE_TRAINER, .channel = -1},
        .server = {.role = CE_ROLE_SERVER, .channel = -1},
        .gateway = {.role = CE_ROLE_GATEWAY, .channel = -1},
    };
    s.watches[0] = (struct watch){
        .child = &s.server,
        .name = "model server",
        .start = STAGE_START_SERVER,
        .check = STAGE_CHECK_SERVER,
        .load = STAGE_LOAD_SERVER,
        .health = {.fd = -1},
    };
    s.watches[1] = (struct watch){
        .child = &s.gateway,
        .name = "gateway",
        .start = STAGE_START_GATEWAY,
        .check = STAGE_CHECK_GATEWAY,
        .load = STAGE_LOAD_GATEWAY,
        .health = {.fd = -1},
    };
    if (s.has_names)
        child_start(&s, &s.resolver);
    loop(&s, signals);
    return 0;
}
