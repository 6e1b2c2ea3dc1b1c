/* SPDX-License-Identifier: MIT */
/* The side of the runs: what is to be pushed is written down when it changes, and handed to the
 * process that pushes as far as its socket takes it. Of each group the newest text alone waits. */
#include "telemetry/push.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/spawn.h"
#include "telemetry/pusher.h"
#include "telemetry/spool.h"

enum { SOCKET_AS = 3 };
/* For a call under way, the end, and a little. */
#define STOP_TIMEOUT (CE_PUSH_CALL_TIMEOUT + CE_PUSH_END_TIMEOUT + 500 * CE_MILLISECOND)

struct group {
    char *experiment; /* NULL: the host */
    char *path, *text, *orphan;
    struct ce_metric_set *metrics;
    bool unsent;
};

struct ce_push {
    struct ce_gateway gateway;
    const char *what; /* is sent; NULL: metrics */
    char *job, *state_dir;
    struct ce_process_id process;
    int fd;
    struct group *groups;
    size_t count;
    char *line; /* that is being sent */
    size_t line_size, line_sent;
};

/* ---- sending ---- */

/* The line for the next group that has news; false: there is none, or no memory. */
static bool make_line(struct ce_push *push)
{
    for (size_t i = 0; i < push->count; i++) {
        struct group *group = &push->groups[i];
        if (!group->unsent)
            continue;
        ce_autojson json_t *json = json_pack("{s:s, s:s, s:s*}", "group", group->path, "text",
                                             group->text, "orphan", group->orphan);
        char *line = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
        if (!line)
            return false;
        push->line = line;
        push->line_size = strlen(line) + 1;
        push->line_sent = 0;
        line[push->line_size - 1] = '\n'; /* in the place of the NUL */
        group->unsent = false;
        return true;
    }
    return false;
}

/* As much as the socket takes now. Whether that was all. */
static bool pump(struct ce_push *push)
{
    while (push->line || make_line(push)) {
        ssize_t n = send(push->fd, push->line + push->line_sent, push->line_size - push->line_sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return false;
        push->line_sent += (size_t)n;
        if (push->line_sent == push->line_size)
            free(ce_take(push->line));
    }
    return true;
}

/* ---- groups ---- */

static struct group *add_group(struct ce_push *push, const char *experiment)
{
    struct group *groups = realloc(push->groups, (push->count + 1) * sizeof *groups);
    if (!groups)
        return NULL;
    push->groups = groups;
    struct group *group = &groups[push->count];
    *group = (struct group){
        .experiment = experiment ? strdup(experiment) : NULL,
        .path = ce_gateway_group(push->job, experiment),
        .metrics = ce_metric_set_new(),
    };
    if (group->path && group->metrics && (!experiment || group->experiment)) {
        push->count++;
        return group;
    }
    free(group->experiment);
    free(group->path);
    ce_metric_set_free(group->metrics);
    return NULL;
}

static struct group *group_of(struct ce_push *push, const char *experiment)
{
    for (size_t i = 0; i < push->count; i++) {
        const char *of = push->groups[i].experiment;
        if (experiment && of ? strcmp(of, experiment) == 0 : !experiment && !of)
            return &push->groups[i];
    }
    return add_group(push, experiment);
}

/* A run is not to fail for want of what it would say: without memory the text stays as it was. */
static void renew(struct ce_push *push, struct group *group, char *orphan)
{
    char *text = ce_metric_text(group->metrics, CE_METRIC_TEXT);
    free(group->orphan);
    group->orphan = orphan;
    if (text) {
        free(group->text);
        group->text = text;
        group->unsent = true;
    }
    (void)pump(push);
}

/* What is said of a run that nobody leads any more. */
static char *make_orphan(const struct ce_metric_live *live)
{
    struct ce_metric_live lost = *live;
    struct ce_metric_set *metrics = ce_metric_set_new();
    lost.state = CE_METRIC_LOST;
    lost.sample = NULL;
    char *text = metrics && ce_metric_add_live(metrics, &lost) > 0
                     ? ce_metric_text(metrics, CE_METRIC_TEXT)
                     : NULL;
    ce_metric_set_free(metrics);
    return text;
}

void ce_push_live(struct ce_push *push, const struct ce_metric_live *live)
{
    struct group *group = group_of(push, live->experiment);
    if (group && ce_metric_add_live(group->metrics, live) > 0)
        renew(push, group, make_orphan(live));
    else
        (void)pump(push);
}

void ce_push_record(struct ce_push *push, const struct ce_record *record)
{
    struct group *group = group_of(push, record->name);
    if (group && ce_metric_add_record(group->metrics, record) == 0)
        renew(push, group, NULL);
}

void ce_push_host(struct ce_push *push, const struct ce_metric_host *host)
{
    struct group *group = group_of(push, NULL);
    if (group && ce_metric_add_build(group->metrics) == 0 &&
        ce_metric_add_host(group->metrics, host) == 0)
        renew(push, group, NULL);
}

/* ---- the process ---- */

static int work(void *ctx)
{
    const struct ce_push *push = ctx;
    const struct ce_pusher_config config = {
        .gateway = &push->gateway,
        .state_dir = push->state_dir,
        .fd = SOCKET_AS,
    };
    return ce_pusher_run(&config);
}

static int start(struct ce_push *push, struct ce_error *err)
{
    int ends[2], gate = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return ce_fail(err, errno, "cannot make a socket: %s", strerror(errno));
    push->fd = ends[0];
    const struct ce_spawn how = {
        .function = work,
        .ctx = push,
        .fds = {{ends[1], SOCKET_AS}},
        .fd_count = 1,
    };
    int r = ce_spawn(&how, &push->process, &gate, err);
    (void)close(ends[1]);
    return r < 0 ? r : ce_spawn_go(gate, err);
}

static void push_free(struct ce_push *push)
{
    for (size_t i = 0; i < push->count; i++) {
        struct group *group = &push->groups[i];
        free(group->experiment);
        free(group->path);
        free(group->text);
        free(group->orphan);
        ce_metric_set_free(group->metrics);
    }
    free(push->groups);
    free(push->line);
    ce_gateway_done(&push->gateway);
    free(push->job);
    free(push->state_dir);
    if (push->fd >= 0)
        (void)close(push->fd);
    free(push);
}

/* Either a job or headers. */
static int push_new(const char *url, const char *job, const char *headers, const char *state_dir,
                    struct ce_push **ret_push, struct ce_error *err)
{
    struct ce_push *push = calloc(1, sizeof *push);
    if (!push)
        return ce_fail_memory(err);
    push->fd = -1;
    int r = ce_gateway_parse(url, &push->gateway, err);
    push->job = strdup(job ? job : "");
    push->state_dir = strdup(state_dir);
    if (r >= 0 && headers) {
        free(push->gateway.authorization);
        push->gateway.authorization = strdup(headers);
    }
    if (r >= 0 && !job)
        push->gateway.kind = CE_GATEWAY_JSON;
    if (r >= 0 && !(push->job && push->state_dir && (!headers || push->gateway.authorization)))
        r = ce_fail_memory(err);
    if (r >= 0)
        r = start(push, err);
    if (r < 0) {
        if (push->process.pid > 0)
            (void)ce_process_end(&push->process, CE_SECOND, NULL);
        push_free(push);
        return r;
    }
    *ret_push = push;
    return 0;
}

int ce_push_start(const char *gateway, const char *job, const char *state_dir,
                  struct ce_push **ret_push, struct ce_error *err)
{
    return push_new(gateway, job, NULL, state_dir, ret_push, err);
}

int ce_push_start_json(const char *url, const char *headers, const char *what,
                       const char *state_dir, struct ce_push **ret_push, struct ce_error *err)
{
    CE_TRY(push_new(url, NULL, headers, state_dir, ret_push, err));
    (*ret_push)->what = what;
    return 0;
}

void ce_push_json(struct ce_push *push, const char *path, const char *run, char *text)
{
    struct group *groups = text ? realloc(push->groups, (push->count + 1) * sizeof *groups) : NULL;
    if (!groups) {
        free(text);
        return;
    }
    push->groups = groups;
    groups[push->count++] = (struct group){
        .path = ce_format("%s#%s", path, run),
        .text = text,
        .unsent = true,
    };
    (void)pump(push);
}

/* ---- the end ---- */

/* Hands everything over, and says that this is all. */
static void hand_over(struct ce_push *push, int64_t until)
{
    static const char end[] = "{\"end\":true}\n";
    struct pollfd fd = {.fd = push->fd, .events = POLLOUT};
    while (!pump(push) && ce_now() < until && !(fd.revents & (POLLHUP | POLLERR)))
        (void)poll(&fd, 1, (int)((until - ce_now()) / CE_MILLISECOND) + 1);
    (void)send(push->fd, end, sizeof end - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(push->fd, SHUT_WR);
}

/* What the process says at its end; NULL: it has not come to one in time. */
static json_t *hear(struct ce_push *push, int64_t until)
{
    char text[2048];
    size_t size = 0;
    struct pollfd fd = {.fd = push->fd, .events = POLLIN};
    while (size < sizeof text && ce_now() < until) {
        if (poll(&fd, 1, (int)((until - ce_now()) / CE_MILLISECOND) + 1) <= 0)
            continue;
        ssize_t n = recv(push->fd, text + size, sizeof text - size, MSG_DONTWAIT);
        if (n <= 0)
            break;
        size += (size_t)n;
    }
    return json_loadb(text, size, 0, NULL);
}

/* The process is lost with what it was told: then all of it is kept. */
static size_t keep_all(struct ce_push *push)
{
    for (size_t i = 0; i < push->count; i++)
        if (push->groups[i].text)
            (void)ce_spool_keep(push->state_dir, push->gateway.shown, push->groups[i].path,
                                push->groups[i].text, NULL);
    return push->count;
}

void ce_push_stop(struct ce_push *push, char **ret_warning)
{
    if (!push)
        return;
    int64_t until = ce_now() + STOP_TIMEOUT;
    hand_over(push, until);
    ce_autojson json_t *said = hear(push, until);
    (void)ce_process_end(&push->process, CE_SECOND, NULL);
    const char *why = json_string_value(json_object_get(said, "why"));
    size_t kept = said ? (size_t)json_integer_value(json_object_get(said, "kept")) : keep_all(push);
    bool lost = json_integer_value(json_object_get(said, "lost")) > 0;
    if (!why || !why[0])
        why = "the gateway did not answer in time";
    if (kept > 0)
        *ret_warning = ce_format("%s were not all %s: %s; they are kept in '%s/metrics', and sent "
                                 "with the next ones that are",
                                 push->what ? push->what : "metrics",
                                 push->what ? "sent" : "pushed", why, push->state_dir);
    else if (lost)
        *ret_warning = ce_format("%s were not all taken: %s", push->what, why);
    push_free(push);
}
