/* SPDX-License-Identifier: MIT */
/* The way of a request: from the client, past the hooks, to the upstream. */
#include "proxy/proxy_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"

enum {
    HEAD_BUFFER = 2 * CE_HTTP_HEAD_MAX,
    COLLECT_BUFFER = 2 * CE_COLLECT_MAX,
};

static enum ce_step refuse(struct ce_client *client, int code, const struct ce_error *err)
{
    client->keep_alive = false;
    return ce_client_fail(client, code == -EMSGSIZE ? 431 : 400, "The request is malformed: %s.\n",
                          err->message);
}

static bool is_idempotent(struct ce_slice method)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
    for (size_t i = 0; i < CE_COUNT(methods); i++)
        if (method.size == strlen(methods[i]) && memcmp(method.data, methods[i], method.size) == 0)
            return true;
    return false;
}

/* Walks what has come of the body. */
static int walk(struct ce_client *client, struct ce_error *err)
{
    return ce_message_walk(&client->request_body, &client->conn.in, &client->request_size, err);
}

/* A head is there: notes what matters of it, before it is edited. */
static int note_head(struct ce_client *client, const struct ce_http_head *head)
{
    struct ce_route *route = client->route;
    const struct ce_http_field *id = route->id_header ? ce_http_find(head, route->id_header) : NULL;
    size_t prefix = sizeof CE_PROBE_PREFIX - 1;
    bool is_probe =
        id && id->value.size >= prefix && memcmp(id->value.data, CE_PROBE_PREFIX, prefix) == 0;

    client->counted = !is_probe;
    route->counts.requests += client->counted;
    /* An HTTP/1.0 client would have to be told that the connection stays open. */
    client->keep_alive = head->keep_alive && head->minor > 0;
    client->is_head = head->method.size == 4 && memcmp(head->method.data, "HEAD", 4) == 0;
    client->idempotent = is_idempotent(head->method);
    client->awaits_continue = head->expect_continue;
    client->replayable = true;
    client->retried = false;
    client->request_framing = head->framing;
    ce_http_body_start(&client->request_body, head);
    if (TAILQ_EMPTY(&route->rules))
        return 0;
    client->hooked = ce_hooked_new(route, head, id ? id->value : (struct ce_slice){0}, is_probe);
    return client->hooked ? 0 : -ENOMEM;
}

static enum ce_step begin(struct ce_client *client, struct ce_http_head *head)
{
    struct ce_buffer *in = &client->conn.in;
    struct ce_blocks *blocks = &client->route->proxy->blocks;
    size_t empty_line = (size_t)(head->method.data - ce_buffer_bytes(in));
    ce_buffer_drop(in, blocks, empty_line);
    head->size -= empty_line;
    if (note_head(client, head) < 0) {
        ce_client_close(client);
        return CE_WAIT;
    }
    bool is_connect = ce_http_is(head->method, "CONNECT");
    bool collect = client->hooked && ce_hooked_wants_request(client);
    client->request_head_size = ce_message_strip(in, head, collect && head->expect_continue);
    client->request_size = client->request_head_size;
    client->request_sent = 0;
    if (is_connect)
        return ce_client_fail(client, 501, "CONNECT is not supported here.\n");

    struct ce_error err;
    int r = walk(client, &err);
    if (r < 0)
        return refuse(client, r, &err);
    if (!client->hooked) {
        client->stage = CE_STAGE_FORWARD;
    } else if (!collect) {
        ce_hooked_request(client, NULL);
        client->stage = CE_STAGE_HELD;
    } else {
        client->stage = CE_STAGE_COLLECT;
        /* The upstream cannot ask for the body before it has seen the head, so the proxy does. */
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (client->awaits_continue && !client->request_body.done &&
            ce_buffer_append(&client->out, blocks, go_on, sizeof go_on - 1) == 0)
            client->awaits_continue = false;
    }
    return CE_GO;
}

enum ce_step ce_request_head(struct ce_client *client)
{
    struct ce_buffer *in = &client->conn.in;
    if (ce_buffer_size(in) > 0) {
        struct ce_http_head head;
        struct ce_error err;
        int r = ce_http_parse_request(ce_buffer_bytes(in), ce_buffer_size(in), &head, &err);
        if (r > 0)
            return begin(client, &head);
        if (r < 0) {
            client->counted = true;
            client->is_head = false;
            client->request_body.done = true;
            return refuse(client, r, &err);
        }
    }
    int n = ce_conn_read(client->route->proxy, &client->conn, HEAD_BUFFER);
    if (n < 0)
        ce_client_close(client);
    return n > 0 ? CE_GO : CE_WAIT;
}

char *ce_dechunk(const char *data, size_t size, size_t *ret_size)
{
    char *payload = malloc(size > 0 ? size : 1);
    if (!payload)
        return NULL;
    struct ce_http_body body;
    ce_http_body_start(&body, &(struct ce_http_head){.framing = CE_HTTP_CHUNKED});
    size_t at = 0, payload_size = 0, used;
    for (struct ce_slice piece; at < size && !body.done; at += used) {
        if (ce_http_body_feed(&body, data + at, size - at, &used, &piece, NULL) < 0)
            break; /* cannot be: it was walked before */
        memcpy(payload + payload_size, piece.data, piece.size);
        payload_size += piece.size;
    }
    *ret_size = payload_size;
    return payload;
}

/* The request is there whole: its body is shown to the hooks. */
static enum ce_step collected(struct ce_client *client)
{
    struct ce_hooked *hooked = client->hooked;
    char *body = ce_buffer_bytes(&client->conn.in) + client->request_head_size;
    size_t size = client->request_size - client->request_head_size;
    if (client->request_framing == CE_HTTP_CHUNKED) {
        hooked->request_payload = body = ce_dechunk(body, size, &size);
        if (!body) {
            ce_client_close(client);
            return CE_WAIT;
        }
    }
    hooked->has_request_payload = true;
    hooked->request_payload_size = size;
    ce_hooked_request(client, &(struct ce_slice){body, size});
    client->stage = CE_STAGE_HELD;
    return CE_GO;
}

enum ce_step ce_request_collect(struct ce_client *client)
{
    if (!ce_client_flush(client))
        return CE_WAIT;
    if (client->request_size > CE_COLLECT_MAX) {
        ce_hooked_request(client, NULL);
        client->stage = CE_STAGE_HELD;
        return CE_GO;
    }
    if (client->request_body.done)
        return collected(client);
    int n = ce_conn_read(client->route->proxy, &client->conn, COLLECT_BUFFER);
    if (n < 0)
        ce_client_close(client); /* it went away in the middle of its request */
    if (n <= 0)
        return CE_WAIT;
    struct ce_error err;
    int r = walk(client, &err);
    return r < 0 ? refuse(client, r, &err) : CE_GO;
}

/* A hook has put another body in the place of the request's. */
static int replace_body(struct ce_client *client)
{
    struct ce_hooked *hooked = client->hooked;
    client->request_made =
        ce_message_reframe(ce_buffer_bytes(&client->conn.in), client->request_head_size, true,
                           hooked->made, hooked->made_size, &client->request_made_size);
    if (!client->request_made)
        return -ENOMEM;
    free(hooked->request_payload);
    hooked->request_payload = hooked->made;
    hooked->request_payload_size = hooked->made_size;
    hooked->made = NULL;
    return 0;
}

enum ce_step ce_request_held(struct ce_client *client)
{
    struct ce_hooked *hooked = client->hooked;
    enum ce_step step = ce_client_hold(client);
    if (step == CE_WAIT)
        return CE_WAIT;
    switch (hooked->kind) {
    case CE_ACT_RESET:
        ce_client_reset(client);
        return CE_WAIT;
    case CE_ACT_ANSWER: {
        char *made = hooked->made;
        hooked->made = NULL;
        return ce_client_answer(client, made, hooked->made_size);
    }
    default:
        if (hooked->replaced && replace_body(client) < 0) {
            ce_client_close(client);
            return CE_WAIT;
        }
        client->stage = CE_STAGE_FORWARD;
        return CE_GO;
    }
}

/* ---- towards the upstream ---- */

int ce_request_read(struct ce_client *client)
{
    struct ce_buffer *in = &client->conn.in;
    struct ce_blocks *blocks = &client->route->proxy->blocks;
    if (in->data && ce_buffer_size(in) == in->capacity) {
        if (client->request_sent == 0)
            return 0; /* the upstream is to take some first */
        ce_buffer_drop(in, blocks, client->request_sent);
        client->request_size -= client->request_sent;
        client->request_sent = 0;
        client->replayable = false;
    }
    int n = ce_conn_read(client->route->proxy, &client->conn, CE_BLOCK_SIZE);
    if (n < 0)
        return -ECONNRESET;
    if (n == 0)
        return 0;
    return walk(client, NULL) < 0 ? -EPROTO : 1;
}

struct ce_slice ce_request_rest(const struct ce_client *client)
{
    if (client->request_made)
        return (struct ce_slice){client->request_made + client->request_sent,
                                 client->request_made_size - client->request_sent};
    return (struct ce_slice){ce_buffer_bytes(&client->conn.in) + client->request_sent,
                             client->request_size - client->request_sent};
}

bool ce_request_is_sent(const struct ce_client *client)
{
    return client->request_body.done && ce_request_rest(client).size == 0;
}

int ce_request_push(struct ce_client *client)
{
    struct ce_slice rest = ce_request_rest(client);
    bool progress = false;
    if (rest.size > 0) {
        ssize_t n = ce_conn_write(&client->upstream->conn, rest.data, rest.size);
        if (n <= 0)
            return 0;
        client->request_sent += (size_t)n;
        client->progress = client->route->proxy->now;
        progress = true;
    }
    if (client->request_body.done)
        return progress;
    int r = ce_request_read(client);
    return r < 0 ? r : r > 0 || progress;
}

static void watch_upstream(struct ce_client *client)
{
    client->progress = client->route->proxy->now;
    int64_t at = client->progress + client->route->timeout_ns;
    /* A timer that is set for earlier looks at `progress` when it fires, and goes on from there: so
     * that the hot path seldom moves one. */
    if (client->timer.slot == 0 || client->timer.at > at)
        (void)ce_timer_set(&client->route->proxy->timers, &client->timer, at);
}

static enum ce_step connect_failed(struct ce_client *client, int code)
{
    char name[160];
    ce_endpoint_text(&client->route->upstream, name, sizeof name);
    return ce_client_fail(client, 502, "Cannot connect to the upstream %s: %s.\n", name,
                          strerror(code));
}

enum ce_step ce_request_forward(struct ce_client *client)
{
    if (!client->upstream) {
        int r = ce_upstream_take(client, client->retried, NULL);
        if (r < 0)
            return connect_failed(client, -r);
        watch_upstream(client);
    }
    int r = ce_upstream_connected(client->upstream);
    if (r < 0)
        return connect_failed(client, -r);
    if (r == 0 || !ce_client_flush(client))
        return CE_WAIT;
    int pushed = ce_request_push(client);
    if (pushed == -EPROTO) {
        client->keep_alive = false;
        return ce_client_fail(
            client, 400,
            "The request is malformed: its chunks are not framed as HTTP/1.1 asks for.\n");
    }
    if (pushed < 0) {
        ce_client_close(client); /* it went away in the middle of its request */
        return CE_WAIT;
    }
    enum ce_step step = ce_response_begin(client);
    return pushed > 0 ? CE_GO : step;
}
