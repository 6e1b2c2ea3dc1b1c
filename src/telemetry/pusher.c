/* SPDX-License-Identifier: MIT */
/* Groups are sent one by one, each at most once a second, and the newest text of each alone. After
 * a call without an answer the gateway is left alone for a while; after one with an answer only the
 * group that it was about waits for its next text. */
#include "telemetry/pusher.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "telemetry/spool.h"

#define PUSH_EVERY  CE_SECOND
#define RETRY_AFTER (2 * CE_SECOND)

enum { READ_SIZE = 64 * 1024, UNREAD_MAX = 64 << 20 };

struct group {
    char *path, *text, *orphan; /* orphan: NULL when there is nothing else to say */
    int64_t next;               /* not before */
    bool waits;                 /* `text` is to be sent */
    bool taken;                 /* the gateway has it */
    bool lost;                  /* it will never take it */
};

struct pusher {
    const struct ce_pusher_config *config;
    struct group *groups;
    size_t count;
    char *unread;
    size_t unread_size;
    int64_t retry_at;
    bool gone, ended; /* gone: nobody tells it more; ended: and that was to be so */
    bool sent_spool;
    struct ce_error why; /* the first call that failed */
};

/* ---- what it is told ---- */

static struct group *group_of(struct pusher *pusher, const char *path)
{
    for (size_t i = 0; i < pusher->count; i++)
        if (strcmp(pusher->groups[i].path, path) == 0)
            return &pusher->groups[i];
    struct group *groups = realloc(pusher->groups, (pusher->count + 1) * sizeof *groups);
    if (!groups)
        return NULL;
    pusher->groups = groups;
    groups[pusher->count] = (struct group){.path = strdup(path)};
    return groups[pusher->count].path ? &groups[pusher->count++] : NULL;
}

static void take_line(struct pusher *pusher, const char *line, size_t size)
{
    ce_autojson json_t *told = json_loadb(line, size, 0, NULL);
    const char *path = json_string_value(json_object_get(told, "group"));
    const char *text = json_string_value(json_object_get(told, "text"));
    const char *orphan = json_string_value(json_object_get(told, "orphan"));
    pusher->ended = pusher->ended || json_is_true(json_object_get(told, "end"));
    struct group *group = path && text ? group_of(pusher, path) : NULL;
    char *copy = group ? strdup(text) : NULL;
    if (!copy)
        return;
    free(group->text);
    free(group->orphan);
    group->text = copy;
    group->orphan = orphan ? strdup(orphan) : NULL;
    group->waits = true;
    group->taken = false;
}

static void take_lines(struct pusher *pusher)
{
    size_t at = 0;
    char *end;
    while (pusher->unread_size > at &&
           (end = memchr(pusher->unread + at, '\n', pusher->unread_size - at))) {
        take_line(pusher, pusher->unread + at, (size_t)(end - pusher->unread) - at);
        at = (size_t)(end + 1 - pusher->unread);
    }
    pusher->unread_size -= at;
    if (at > 0)
        memmove(pusher->unread, pusher->unread + at, pusher->unread_size);
}

/* Takes what has come by `until`, and returns earlier once something has. */
static void listen_until(struct pusher *pusher, int64_t until)
{
    struct pollfd fd = {.fd = pusher->config->fd, .events = POLLIN};
    int64_t left = until < INT64_MAX ? until - ce_now() : -1;
    int timeout = until == INT64_MAX ? -1 : left > 0 ? (int)(left / CE_MILLISECOND) + 1 : 0;
    while (!pusher->gone && poll(&fd, 1, timeout) > 0) {
        char *unread = pusher->unread_size < UNREAD_MAX
                           ? realloc(pusher->unread, pusher->unread_size + READ_SIZE)
                           : NULL;
        ssize_t n = unread ? recv(fd.fd, unread + pusher->unread_size, READ_SIZE, MSG_DONTWAIT) : 0;
        if (unread)
            pusher->unread = unread;
        if (n <= 0) {
            pusher->gone = true;
            break;
        }
        pusher->unread_size += (size_t)n;
        timeout = 0;
    }
    take_lines(pusher);
}

/* ---- what it does ---- */

/* Once a call was taken, what earlier runs could not push is, too. */
static void send_spool(struct pusher *pusher, int64_t timeout)
{
    const struct ce_pusher_config *config = pusher->config;
    if (!pusher->sent_spool)
        (void)ce_spool_send(config->state_dir, config->gateway, ce_now() + timeout, NULL, NULL);
    pusher->sent_spool = true;
}

/* Whether the gateway answered, whatever it said: what it refused it would refuse again, and waits
 * for the group's next text. */
static bool push(struct pusher *pusher, struct group *group, int64_t timeout)
{
    const struct ce_pusher_config *config = pusher->config;
    struct ce_error err = {0};
    int r = timeout < CE_MILLISECOND
                ? ce_fail(&err, ETIMEDOUT, "'%.80s' was not done in time", config->gateway->shown)
                : ce_gateway_put(config->gateway, group->path, group->text, timeout, &err);
    group->next = ce_now() + PUSH_EVERY;
    group->taken = r == 0;
    group->waits = r < 0 && r != -EREMOTEIO && r != -EBADMSG;
    group->lost = r == -EBADMSG;
    if (r < 0)
        pusher->why = err;
    else
        ce_spool_forget(config->state_dir, config->gateway->shown, group->path);
    return !group->waits;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Sends what is due; returns when something will be. */
static int64_t push_due(struct pusher *pusher)
{
    int64_t soonest = INT64_MAX;
    for (size_t i = 0; i < pusher->count && !pusher->gone; i++) {
        struct group *group = &pusher->groups[i];
        if (group->waits && later(group->next, pusher->retry_at) <= ce_now()) {
            if (!push(pusher, group, CE_PUSH_CALL_TIMEOUT))
                pusher->retry_at = ce_now() + RETRY_AFTER;
            else if (group->taken)
                send_spool(pusher, CE_PUSH_CALL_TIMEOUT);
            listen_until(pusher, 0); /* which may move the groups */
            group = &pusher->groups[i];
        }
        int64_t at = group->waits ? later(group->next, pusher->retry_at) : INT64_MAX;
        soonest = at < soonest ? at : soonest;
    }
    return soonest;
}

/* ---- the end ---- */

/* Nobody said that this was the end: what ran runs no more. */
static void orphan(struct pusher *pusher)
{
    for (size_t i = 0; i < pusher->count; i++) {
        struct group *group = &pusher->groups[i];
        if (!group->orphan)
            continue;
        free(group->text);
        group->text = ce_take(group->orphan);
        group->taken = false;
    }
}

/* One more try for each; a gateway that does not answer gets no second one. Returns how many are
 * kept. */
static size_t finish(struct pusher *pusher, size_t *ret_lost)
{
    const struct ce_pusher_config *config = pusher->config;
    int64_t until = ce_now() + CE_PUSH_END_TIMEOUT;
    bool answers = true, taken = false;
    size_t kept = 0;
    for (size_t i = 0; i < pusher->count; i++) {
        if (!pusher->groups[i].taken && !pusher->groups[i].lost && answers)
            answers = push(pusher, &pusher->groups[i], until - ce_now());
        taken = taken || pusher->groups[i].taken;
    }
    if (taken && answers)
        send_spool(pusher, until - ce_now());
    for (size_t i = 0; i < pusher->count; i++) {
        const struct group *group = &pusher->groups[i];
        *ret_lost += group->lost;
        if (!group->taken && !group->lost)
            (void)ce_spool_keep(config->state_dir, config->gateway->shown, group->path, group->text,
                                NULL);
        kept += !group->taken && !group->lost;
    }
    return kept;
}

static void report(const struct pusher *pusher, size_t kept, size_t lost)
{
    ce_autojson json_t *json = json_pack("{s:I, s:I, s:s}", "kept", (json_int_t)kept, "lost",
                                         (json_int_t)lost, "why", pusher->why.message);
    ce_autofree char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    if (text)
        (void)send(pusher->config->fd, text, strlen(text), MSG_NOSIGNAL);
}

int ce_pusher_run(const struct ce_pusher_config *config)
{
    struct pusher pusher = {.config = config};
    while (!pusher.gone)
        listen_until(&pusher, push_due(&pusher));
    if (!pusher.ended)
        orphan(&pusher);
    size_t lost = 0, kept = finish(&pusher, &lost);
    report(&pusher, kept, lost);
    for (size_t i = 0; i < pusher.count; i++) {
        free(pusher.groups[i].path);
        free(pusher.groups[i].text);
        free(pusher.groups[i].orphan);
    }
    free(pusher.groups);
    free(pusher.unread);
    return 0;
}
