/* SPDX-License-Identifier: MIT */
/* A client's connection: opening and closing it, answers of the proxy's own, and one exchange after
 * the other, each going through its stages as far as it can without waiting. */
#include "proxy/h2/h2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum {
    BUDGET = 64, /* steps of one client before others come first */
};

/* For how long a client may go on sending after the last answer. */
#define DRAIN_NS (2 * CE_SECOND)
/* For how long an address is waited for while there is another one to try. */
#define CONNECT_NS (2 * CE_SECOND)

static void client_timer(struct ce_timer *timer);

struct ce_client *ce_client_new(struct ce_lane *lane, int fd, uint64_t connection)
{
    struct ce_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->conn.fd = fd;
    client->conn.writable = true;
    client->lane = lane;
    client->connection = connection;
    return client;
}

int ce_client_start(void *arg)
{
    struct ce_client *client = arg;
    struct ce_lane *lane = client->lane;
    int r = ce_conn_open(lane->worker, &client->conn, CE_CONN_CLIENT, client->conn.fd);
    if (r < 0) {
        lane->counts.refused++;
        free(client);
        return r;
    }
    if (lane->route->tls && ce_handshake_begin(client) < 0) {
        lane->counts.refused++;
        ce_conn_close(lane->worker, &client->conn);
        return -ENOMEM;
    }
    client->timer.fire = client_timer;
    client->progress = lane->worker->now;
    LIST_INSERT_HEAD(&lane->clients, client, link);
    lane->worker->client_count++;
    lane->counts.connections++;
    if (client->conn.tls)
        ce_client_alarm(client, client->progress + lane->route->head_timeout_ns);
    else if (lane->route->idle_ns > 0)
        ce_client_alarm(client, client->progress + lane->route->idle_ns);
    return 0;
}

static bool is_idle(const struct ce_client *client)
{
    return (client->stage == CE_STAGE_HEAD || client->stage == CE_STAGE_HANDSHAKE) &&
           ce_buffer_size(&client->conn.in) == 0;
}

void ce_client_forget(struct ce_client *client)
{
    client->waits_for_name = false;
    ce_hooked_end(ce_take(client->hooked));
    free(ce_take(client->request_made));
    free(ce_take(client->request_payload));
    client->has_request_payload = false;
}

void ce_client_close(struct ce_client *client)
{
    struct ce_worker *worker = client->lane->worker;
    if (client->conn.tls && is_idle(client) && !client->conn.broken)
        (void)ce_tls_shut(client->conn.tls);
    ce_upstream_release(client, false);
    ce_client_forget(client);
    ce_timer_clear(&worker->timers, &client->timer);
    ce_buffer_done(&client->out, &worker->blocks);
    LIST_REMOVE(client, link);
    worker->client_count--;
    if (client->is_again)
        TAILQ_REMOVE(&worker->again, client, again);
    ce_conn_close(worker, &client->conn);
}

void ce_client_reset(struct ce_client *client)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(client->conn.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client->conn.broken = true;
    ce_client_close(client);
}

void ce_client_change(struct ce_client *client)
{
    (void)ce_h2_client_start(client->lane, &client->conn, client->connection);
    ce_client_close(client);
}

bool ce_client_flush(struct ce_client *client)
{
    size_t size = ce_buffer_size(&client->out);
    if (size == 0)
        return true;
    ssize_t n = ce_conn_write(&client->conn, ce_buffer_bytes(&client->out), size);
    if (n < 0) {
        ce_client_close(client);
        return false;
    }
    ce_buffer_drop(&client->out, &client->lane->worker->blocks, (size_t)n);
    return (size_t)n == size;
}

/* ---- answers of the proxy's own ---- */

/* Whether the connection stays open after an answer that is given now. */
static bool keeps(struct ce_client *client)
{
    /* A client that still waits for "100 Continue" may or may not send its body after this answer.
     */
    if ((client->awaits_continue && !client->request_body.done) || client->lane->worker->draining)
        client->keep_alive = false;
    return client->keep_alive;
}

/* Takes `data`, which may be NULL: no memory. */
static enum ce_step give(struct ce_client *client, char *data, size_t size)
{
    int r =
        data ? ce_buffer_append(&client->out, &client->lane->worker->blocks, data, size) : -ENOMEM;
    free(data);
    if (r < 0) {
        ce_client_close(client);
        return CE_WAIT;
    }
    client->waits_for_name = false;
    client->progress = client->lane->worker->now;
    client->stage = CE_STAGE_ANSWER;
    return CE_GO;
}

enum ce_step ce_client_fail(struct ce_client *client, int status, const char *fmt, ...)
{
    char sentence[1024], mark[CE_ACTED_TEXT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    if (client->counted)
        client->lane->counts.errors++;
    ce_upstream_release(client, false);
    struct ce_answer answer = {
        .status = status,
        .headers = "Content-Type: text/plain\r\n",
        .body = sentence,
        .body_size = strlen(sentence),
        .mark = ce_client_mark(client, mark),
        .to_head_request = client->is_head,
        .close = !keeps(client),
    };
    size_t size = 0;
    char *data = ce_message_answer(&answer, &size);
    return give(client, data, size);
}

/* ---- what hooks want ---- */

const char *ce_client_mark(const struct ce_client *client, char text[CE_ACTED_TEXT])
{
    bool is_marked =
        client->lane->route->mark && client->hooked && ce_hooked_acted(client->hooked, text);
    return is_marked ? text : NULL;
}

enum ce_step ce_client_answer_hooked(struct ce_client *client)
{
    const struct ce_hooked *hooked = client->hooked;
    char mark[CE_ACTED_TEXT];
    struct ce_answer answer = {
        .status = hooked->status,
        .headers = hooked->headers,
        .body = hooked->body,
        .body_size = hooked->body_size,
        .mark = ce_client_mark(client, mark),
        .to_head_request = client->is_head,
        .close = !keeps(client),
    };
    size_t size = 0;
    char *data = ce_message_answer(&answer, &size);
    return give(client, data, size);
}

enum ce_step ce_client_hold(struct ce_client *client)
{
    int64_t release = ce_hooked_release(client->hooked);
    if (release == INT64_MAX)
        return CE_WAIT;
    if (client->hooked->hold_count == 0 || release <= ce_now())
        return CE_GO;
    if (ce_timer_set(&client->lane->worker->timers, &client->timer, release) < 0)
        ce_client_close(client);
    return CE_WAIT;
}

void ce_client_let_go(struct ce_hooked *hooked, bool hung)
{
    struct ce_client *client = hooked->holder;
    if (hung)
        ce_client_reset(client);
    else
        ce_client_run(client);
}

/* ---- the end of an exchange ---- */

/* Closes the connection so that the client gets to read the last answer: a close with bytes unread
 * would be a reset, which takes with it what the client has not read yet. */
enum ce_step ce_client_leave(struct ce_client *client)
{
    struct ce_worker *worker = client->lane->worker;
    bool all_read = client->request_body.done && !client->conn.readable && !client->conn.tls &&
                    ce_buffer_size(&client->conn.in) == 0;
    if (all_read || ce_conn_shut(&client->conn) < 0 ||
        ce_timer_set(&worker->timers, &client->timer, worker->now + DRAIN_NS) < 0) {
        ce_client_close(client);
        return CE_WAIT;
    }
    client->stage = CE_STAGE_DRAIN;
    return CE_GO;
}

enum ce_step ce_client_finish(struct ce_client *client, bool upstream_reusable)
{
    ce_upstream_release(client, upstream_reusable);
    client->lane->counts.responses += client->counted;
    ce_client_forget(client);
    ce_buffer_drop(&client->conn.in, &client->lane->worker->blocks, client->request_size);
    client->request_size = client->request_sent = 0;
    client->progress = client->lane->worker->now;
    bool is_last = client->lane->worker->draining && ce_buffer_size(&client->conn.in) == 0;
    if (!client->keep_alive || !client->request_body.done || is_last)
        return ce_client_leave(client);
    client->stage = CE_STAGE_HEAD;
    return CE_GO;
}

void ce_client_retire(struct ce_client *client)
{
    if (!is_idle(client))
        return;
    client->conn.readable = true; /* a request may have come that was not reported yet */
    ce_client_run(client);
    if (client->conn.fd >= 0 && is_idle(client))
        ce_client_close(client);
}

static enum ce_step answer_stage(struct ce_client *client)
{
    if (!ce_client_flush(client))
        return CE_WAIT;
    if (client->request_body.done || !client->keep_alive)
        return ce_client_finish(client, false);
    /* The rest of the request is read to get to the next one. */
    ce_buffer_drop(&client->conn.in, &client->lane->worker->blocks, client->request_size);
    client->request_size = client->request_sent = 0;
    int r = ce_request_read(client);
    if (r == -EPROTO)
        return ce_client_leave(client);
    if (r > 0)
        client->progress = client->lane->worker->now;
    else if (r == 0)
        ce_client_alarm(client, client->progress + client->lane->route->head_timeout_ns);
    else
        ce_client_close(client);
    return r > 0 ? CE_GO : CE_WAIT;
}

static enum ce_step drain_stage(struct ce_client *client)
{
    struct ce_worker *worker = client->lane->worker;
    ce_buffer_done(&client->conn.in, &worker->blocks);
    if (!client->conn.shut)
        (void)ce_conn_shut(&client->conn);
    int n = ce_conn_read(worker, &client->conn, CE_BLOCK_SIZE);
    if (n < 0)
        ce_client_close(client);
    return n > 0 ? CE_GO : CE_WAIT;
}

static enum ce_step run_stage(struct ce_client *client)
{
    switch (client->stage) {
    case CE_STAGE_HEAD:
        return ce_request_head(client);
    case CE_STAGE_COLLECT:
        return ce_request_collect(client);
    case CE_STAGE_HELD:
        return ce_request_held(client);
    case CE_STAGE_FORWARD:
        return ce_request_forward(client);
    case CE_STAGE_RESPONSE_COLLECT:
        return ce_response_collect(client);
    case CE_STAGE_RESPONSE_HELD:
        return ce_response_held(client);
    case CE_STAGE_RESPONSE:
        return ce_response_stream(client);
    case CE_STAGE_CUT:
        return ce_response_cut(client);
    case CE_STAGE_TUNNEL:
        return ce_tunnel_run(client);
    case CE_STAGE_ANSWER:
        return answer_stage(client);
    case CE_STAGE_DRAIN:
        return drain_stage(client);
    case CE_STAGE_HANDSHAKE:
        return ce_handshake_run(client);
    }
    return CE_WAIT;
}

/* Whether the client has left while something is done for it. That it has ended its side may mean
 * less, but seldom does; and an upstream that works for nobody is what a client that gives up early
 * would leave behind. */
static bool has_left(const struct ce_client *client)
{
    if (client->stage == CE_STAGE_TUNNEL)
        return false; /* where either side ends on its own */
    if (client->conn.broken || !client->conn.ending)
        return client->conn.broken;
    switch (client->stage) {
    case CE_STAGE_HELD:
    case CE_STAGE_FORWARD:
    case CE_STAGE_RESPONSE_COLLECT:
    case CE_STAGE_RESPONSE_HELD:
        return true;
    case CE_STAGE_RESPONSE:
        return !client->response_body.done;
    default:
        return false;
    }
}

void ce_client_run(struct ce_client *client)
{
    struct ce_worker *worker = client->lane->worker;
    for (int budget = BUDGET; budget > 0; budget--) {
        if (has_left(client)) {
            ce_client_close(client);
            return;
        }
        if (run_stage(client) == CE_WAIT)
            return;
    }
    if (!client->is_again) {
        client->is_again = true;
        TAILQ_INSERT_TAIL(&worker->again, client, again);
    }
}

/* ---- time ---- */

/* Whether the client does not take what there is for it. */
static bool waits_for_reader(const struct ce_client *client)
{
    return ce_buffer_size(&client->out) > 0 ||
           (client->stage == CE_STAGE_RESPONSE && client->upstream->ready > 0);
}

/* Whether the exchange stands still because the client does not send its body. (Who waits for
 * "100 Continue" is not asked for it yet.) */
static bool waits_for_body(const struct ce_client *client)
{
    if (client->stage == CE_STAGE_COLLECT)
        return true;
    return (client->stage == CE_STAGE_FORWARD || client->stage == CE_STAGE_RESPONSE_COLLECT) &&
           !client->request_body.done && !client->awaits_continue &&
           ce_request_rest(client).size == 0;
}

void ce_client_alarm(struct ce_client *client, int64_t at)
{
    if (client->timer.slot == 0 || client->timer.at > at)
        (void)ce_timer_set(&client->lane->worker->timers, &client->timer, at);
}

/* Whether it is connecting, and there is another address to try. */
static bool may_try_another(const struct ce_client *client)
{
    return client->stage == CE_STAGE_FORWARD && client->upstream && client->upstream->connecting &&
           client->tried + 1 < client->target->addresses.count;
}

int64_t ce_client_patience(const struct ce_client *client)
{
    int64_t timeout_ns = client->lane->route->timeout_ns;
    if (waits_for_body(client))
        return client->lane->route->head_timeout_ns;
    return may_try_another(client) && timeout_ns > CONNECT_NS ? CONNECT_NS : timeout_ns;
}

void ce_client_watch(struct ce_client *client)
{
    int64_t now = client->lane->worker->now;
    int64_t head_timeout_ns = client->lane->route->head_timeout_ns;
    int64_t at = client->progress + ce_client_patience(client);
    /* It may be the client's turn before it is the upstream's. */
    if (!client->request_body.done && at > now + head_timeout_ns)
        at = now + head_timeout_ns;
    ce_client_alarm(client, at);
}

static void upstream_is_late(struct ce_client *client)
{
    const struct ce_route *route = client->lane->route;
    if (client->stage == CE_STAGE_RESPONSE) {
        if (client->counted)
            client->lane->counts.errors++;
        ce_client_close(client);
        return;
    }
    char name[CE_NAME_MAX + 8];
    ce_endpoint_text(&client->target->endpoint, name, sizeof name);
    (void)ce_client_fail(client, 504, "The upstream %s did not answer within %.3f s.\n", name,
                         (double)route->timeout_ns / (double)CE_SECOND);
    ce_client_run(client);
}

static void client_is_late(struct ce_client *client, const char *fmt)
{
    client->keep_alive = false;
    (void)ce_client_fail(client, 408, fmt,
                         (double)client->lane->route->head_timeout_ns / (double)CE_SECOND);
    ce_client_run(client);
}

static void exchange_timer(struct ce_client *client)
{
    struct ce_worker *worker = client->lane->worker;
    if (waits_for_reader(client))
        client->progress = worker->now;
    if (worker->now < client->progress + ce_client_patience(client)) {
        ce_client_watch(client);
    } else if (waits_for_body(client)) {
        client_is_late(client, "Nothing came of the request's body for %.3f s.\n");
    } else if (may_try_another(client)) {
        (void)ce_request_refused(client, ETIMEDOUT);
        ce_client_run(client);
    } else {
        upstream_is_late(client);
    }
}

static void head_timer(struct ce_client *client)
{
    const struct ce_route *route = client->lane->route;
    bool idle = is_idle(client);
    int64_t limit = idle ? route->idle_ns : route->head_timeout_ns;
    if (limit == 0)
        return;
    if (client->lane->worker->now < client->progress + limit) {
        ce_client_alarm(client, client->progress + limit);
    } else if (idle) {
        ce_client_close(client);
    } else {
        client->counted = true;
        client->is_head = false;
        client->request_body.done = true;
        client_is_late(client, "The request's head was not complete within %.3f s.\n");
    }
}

/* The answer is out, and the rest of its request is read to get to the next one. */
static void answer_timer(struct ce_client *client)
{
    int64_t at = client->progress + client->lane->route->head_timeout_ns;
    if (ce_buffer_size(&client->out) > 0)
        return;
    if (client->lane->worker->now < at)
        ce_client_alarm(client, at);
    else
        ce_client_close(client);
}

static void client_timer(struct ce_timer *timer)
{
    struct ce_client *client =
        (struct ce_client *)(void *)((char *)timer - offsetof(struct ce_client, timer));
    switch (client->stage) {
    case CE_STAGE_HEAD:
        head_timer(client);
        return;
    case CE_STAGE_HELD:
    case CE_STAGE_RESPONSE_HELD:
    case CE_STAGE_CUT:
        ce_client_run(client);
        return;
    case CE_STAGE_DRAIN:
        ce_client_close(client);
        return;
    case CE_STAGE_RESPONSE:
        if (client->upstream->ready > 0 && ce_response_is_slowed(client))
            ce_client_run(client);
        else
            exchange_timer(client);
        return;
    case CE_STAGE_COLLECT:
    case CE_STAGE_FORWARD:
    case CE_STAGE_RESPONSE_COLLECT:
        exchange_timer(client);
        return;
    case CE_STAGE_ANSWER:
        answer_timer(client);
        return;
    case CE_STAGE_HANDSHAKE:
        ce_handshake_timer(client);
        return;
    case CE_STAGE_TUNNEL: /* left over from before it began */
        return;
    }
}
