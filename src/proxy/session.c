/* SPDX-License-Identifier: MIT */
/* A client's connection: opening and closing it, answers of the proxy's own, and one exchange after
 * the other, each going through its stages as far as it can without waiting. */
#include "proxy/proxy_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    BUDGET = 64, /* steps of one client before others come first */
};

/* For how long a client may go on sending after the last answer. */
#define DRAIN_NS (2 * CE_SECOND)

struct ce_client *ce_client_new(struct ce_route *route, int fd)
{
    struct ce_client *client = calloc(1, sizeof *client);
    if (!client) {
        (void)close(fd);
        return NULL;
    }
    if (ce_conn_open(route->proxy, &client->conn, CE_CONN_CLIENT, fd) < 0) {
        free(client);
        return NULL;
    }
    client->conn.writable = true;
    client->route = route;
    LIST_INSERT_HEAD(&route->clients, client, link);
    return client;
}

/* Forgets the exchange, and what of it was held in memory. */
static void exchange_done(struct ce_client *client)
{
    ce_hooked_free(client->hooked);
    client->hooked = NULL;
    free(client->request_made);
    client->request_made = NULL;
}

void ce_client_close(struct ce_client *client)
{
    struct ce_proxy *proxy = client->route->proxy;
    ce_upstream_release(client, false);
    exchange_done(client);
    ce_timer_clear(&proxy->timers, &client->timer);
    ce_buffer_done(&client->out, &proxy->blocks);
    LIST_REMOVE(client, link);
    if (client->is_again)
        TAILQ_REMOVE(&proxy->again, client, again);
    ce_conn_close(proxy, &client->conn);
}

void ce_client_reset(struct ce_client *client)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(client->conn.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
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
    ce_buffer_drop(&client->out, &client->route->proxy->blocks, (size_t)n);
    return (size_t)n == size;
}

/* ---- answers of the proxy's own ---- */

bool ce_client_keeps(struct ce_client *client)
{
    /* A client that still waits for "100 Continue" may or may not send its body after this answer.
     */
    if (client->awaits_continue && !client->request_body.done)
        client->keep_alive = false;
    return client->keep_alive;
}

enum ce_step ce_client_answer(struct ce_client *client, char *data, size_t size)
{
    int r =
        data ? ce_buffer_append(&client->out, &client->route->proxy->blocks, data, size) : -ENOMEM;
    free(data);
    if (r < 0) {
        ce_client_close(client);
        return CE_WAIT;
    }
    client->stage = CE_STAGE_ANSWER;
    return CE_GO;
}

enum ce_step ce_client_fail(struct ce_client *client, int status, const char *fmt, ...)
{
    char sentence[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    if (client->counted)
        client->route->counts.errors++;
    ce_upstream_release(client, false);
    struct ce_answer answer = {
        .status = status,
        .headers = "Content-Type: text/plain\r\n",
        .body = sentence,
        .body_size = strlen(sentence),
        .to_head_request = client->is_head,
        .close = !ce_client_keeps(client),
    };
    size_t size = 0;
    char *data = ce_message_answer(&answer, &size);
    return ce_client_answer(client, data, size);
}

enum ce_step ce_client_hold(struct ce_client *client)
{
    int64_t release = ce_hooked_release(client->hooked);
    if (release == INT64_MAX) {
        /* Nobody waits for an answer any more. (A client that only ends its own side early is not
         * told from one that left.) */
        if (client->conn.ending)
            ce_client_close(client);
        return CE_WAIT;
    }
    if (client->hooked->hold_count == 0 || release <= ce_now())
        return CE_GO;
    if (ce_timer_set(&client->route->proxy->timers, &client->timer, release) < 0)
        ce_client_close(client);
    return CE_WAIT;
}

/* ---- the end of an exchange ---- */

/* Closes the connection so that the client gets to read the last answer: a close with bytes unread
 * would be a reset, which takes with it what the client has not read yet. */
static enum ce_step close_gently(struct ce_client *client)
{
    struct ce_proxy *proxy = client->route->proxy;
    bool all_read = client->request_body.done && !client->conn.readable &&
                    ce_buffer_size(&client->conn.in) == 0;
    if (all_read || shutdown(client->conn.fd, SHUT_WR) < 0 ||
        ce_timer_set(&proxy->timers, &client->timer, proxy->now + DRAIN_NS) < 0) {
        ce_client_close(client);
        return CE_WAIT;
    }
    client->stage = CE_STAGE_DRAIN;
    return CE_GO;
}

enum ce_step ce_client_finish(struct ce_client *client, bool upstream_reusable)
{
    ce_upstream_release(client, upstream_reusable);
    client->route->counts.responses += client->counted;
    exchange_done(client);
    ce_buffer_drop(&client->conn.in, &client->route->proxy->blocks, client->request_size);
    client->request_size = client->request_sent = 0;
    if (!client->keep_alive || !client->request_body.done)
        return close_gently(client);
    client->stage = CE_STAGE_HEAD;
    return CE_GO;
}

static enum ce_step answer_stage(struct ce_client *client)
{
    if (!ce_client_flush(client))
        return CE_WAIT;
    if (client->request_body.done || !client->keep_alive)
        return ce_client_finish(client, false);
    /* The rest of the request is read to get to the next one. */
    ce_buffer_drop(&client->conn.in, &client->route->proxy->blocks, client->request_size);
    client->request_size = client->request_sent = 0;
    int r = ce_request_read(client);
    if (r == -EPROTO)
        return close_gently(client);
    if (r < 0)
        ce_client_close(client);
    return r > 0 ? CE_GO : CE_WAIT;
}

static enum ce_step drain_stage(struct ce_client *client)
{
    struct ce_proxy *proxy = client->route->proxy;
    ce_buffer_done(&client->conn.in, &proxy->blocks);
    int n = ce_conn_read(proxy, &client->conn, CE_BLOCK_SIZE);
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
    case CE_STAGE_ANSWER:
        return answer_stage(client);
    case CE_STAGE_DRAIN:
        return drain_stage(client);
    }
    return CE_WAIT;
}

void ce_client_run(struct ce_client *client)
{
    struct ce_proxy *proxy = client->route->proxy;
    for (int budget = BUDGET; budget > 0; budget--) {
        if (client->conn.broken) {
            ce_client_close(client);
            return;
        }
        if (run_stage(client) == CE_WAIT)
            return;
    }
    if (!client->is_again) {
        client->is_again = true;
        TAILQ_INSERT_TAIL(&proxy->again, client, again);
    }
}

/* ---- time ---- */

/* Whether the exchange stands still because of the client, not of the upstream. */
static bool waits_for_client(const struct ce_client *client)
{
    if (ce_buffer_size(&client->out) > 0)
        return true;
    if (client->stage == CE_STAGE_RESPONSE)
        return client->upstream->ready > 0;
    return !client->request_body.done && ce_request_rest(client).size == 0;
}

static void upstream_timer(struct ce_client *client)
{
    struct ce_proxy *proxy = client->route->proxy;
    if (waits_for_client(client))
        client->progress = proxy->now;
    int64_t at = client->progress + client->route->timeout_ns;
    if (proxy->now < at) {
        (void)ce_timer_set(&proxy->timers, &client->timer, at);
        return;
    }
    if (client->stage == CE_STAGE_RESPONSE) {
        if (client->counted)
            client->route->counts.errors++;
        ce_client_close(client);
        return;
    }
    char name[160];
    ce_endpoint_text(&client->route->upstream, name, sizeof name);
    (void)ce_client_fail(client, 504, "The upstream %s did not answer within %.3f s.\n", name,
                         (double)client->route->timeout_ns / (double)CE_SECOND);
    ce_client_run(client);
}

void ce_client_timer(struct ce_timer *timer)
{
    struct ce_client *client =
        (struct ce_client *)(void *)((char *)timer - offsetof(struct ce_client, timer));
    switch (client->stage) {
    case CE_STAGE_HELD:
    case CE_STAGE_RESPONSE_HELD:
        ce_client_run(client);
        return;
    case CE_STAGE_DRAIN:
        ce_client_close(client);
        return;
    case CE_STAGE_FORWARD:
    case CE_STAGE_RESPONSE_COLLECT:
    case CE_STAGE_RESPONSE:
        upstream_timer(client);
        return;
    default: /* left over from an exchange that is done */
        return;
    }
}
