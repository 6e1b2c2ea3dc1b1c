/* SPDX-License-Identifier: MIT */
/* The way of a response: from the upstream, past the hooks, to the client. */
#include "proxy/proxy_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    HEAD_BUFFER = 2 * CE_HTTP_HEAD_MAX,
    COLLECT_BUFFER = 2 * CE_COLLECT_MAX,
};

static enum ce_step malformed(struct ce_client *client, const struct ce_error *err)
{
    return ce_client_fail(client, 502, "The upstream's response is malformed: %s.\n", err->message);
}

/* The upstream went away before it answered. A pooled connection may have been closed while the
 * request was on its way; then a request that does no harm twice, or of which not a byte was taken,
 * gets a second chance on a new one. */
static enum ce_step gone(struct ce_client *client)
{
    const struct ce_upstream *upstream = client->upstream;
    bool answering = ce_buffer_size(&upstream->conn.in) > 0;
    if (upstream->reused && !client->retried && client->replayable && !answering &&
        (client->idempotent || client->request_sent == 0)) {
        ce_upstream_release(client, false);
        client->retried = true;
        client->request_sent = 0;
        return CE_GO;
    }
    return ce_client_fail(client, 502,
                          "The upstream closed the connection before its response was complete.\n");
}

/* Part of the response is with the client: all that can be said is that the rest will not come. */
static enum ce_step truncated(struct ce_client *client)
{
    if (client->counted)
        client->route->counts.errors++;
    if (client->upstream->conn.broken)
        ce_client_reset(client);
    else
        ce_client_close(client);
    return CE_WAIT;
}

static int walk(struct ce_client *client, struct ce_error *err)
{
    struct ce_upstream *upstream = client->upstream;
    return ce_message_walk(&client->response_body, &upstream->conn.in, &upstream->ready, err);
}

/* An interim response is passed on, and is not the answer yet. */
static enum ce_step pass_interim(struct ce_client *client, const struct ce_http_head *head)
{
    struct ce_buffer *in = &client->upstream->conn.in;
    struct ce_blocks *blocks = &client->route->proxy->blocks;
    size_t size = ce_message_strip(in, head, false);
    if (ce_buffer_append(&client->out, blocks, ce_buffer_bytes(in), size) < 0) {
        ce_client_close(client);
        return CE_WAIT;
    }
    ce_buffer_drop(in, blocks, size);
    client->awaits_continue = false;
    client->replayable = false;
    return CE_GO;
}

static bool has_response_rule(const struct ce_client *client)
{
    const struct ce_rule *rule;
    TAILQ_FOREACH(rule, &client->route->rules, link)
    if (rule->serial <= client->hooked->serial && rule->hook->on_response)
        return true;
    return false;
}

static enum ce_step begin(struct ce_client *client, const struct ce_http_head *head)
{
    struct ce_upstream *upstream = client->upstream;
    struct ce_error err;
    if (head->status == 101) {
        (void)ce_fail(&err, EPROTO, "it switches protocols, which nobody asked for");
        return malformed(client, &err);
    }
    if (head->status < 200)
        return pass_interim(client, head);
    bool hooked = client->hooked && has_response_rule(client);
    if (hooked && ce_hooked_note(client->hooked, head) < 0) {
        ce_client_close(client);
        return CE_WAIT;
    }
    client->response_status = head->status;
    client->response_framing = head->framing;
    ce_http_body_start(&client->response_body, head);
    upstream->keep_alive = head->keep_alive;
    if (head->framing == CE_HTTP_UNTIL_CLOSE)
        client->keep_alive = false;
    client->response_head_size = ce_message_strip(&upstream->conn.in, head, false);
    upstream->ready = client->response_head_size;
    int r = walk(client, &err);
    if (r < 0)
        return malformed(client, &err);
    client->stage = hooked ? CE_STAGE_RESPONSE_COLLECT : CE_STAGE_RESPONSE;
    return CE_GO;
}

enum ce_step ce_response_begin(struct ce_client *client)
{
    struct ce_upstream *upstream = client->upstream;
    struct ce_buffer *in = &upstream->conn.in;
    if (ce_buffer_size(in) > 0) {
        struct ce_http_head head;
        struct ce_error err;
        int r = ce_http_parse_response(ce_buffer_bytes(in), ce_buffer_size(in), client->is_head,
                                       &head, &err);
        if (r < 0)
            return malformed(client, &err);
        if (r > 0)
            return begin(client, &head);
    }
    int n = ce_conn_read(client->route->proxy, &upstream->conn, HEAD_BUFFER);
    if (n > 0) {
        client->progress = client->route->proxy->now;
        return CE_GO;
    }
    return n < 0 || upstream->conn.write_failed ? gone(client) : CE_WAIT;
}

/* Sends the request's rest, if an upstream answers before it has all of it. 1, 0, or negative: the
 * client is gone. */
static int push_request(struct ce_client *client)
{
    if (ce_request_is_sent(client) || client->upstream->conn.write_failed)
        return 0;
    int r = ce_request_push(client);
    if (r < 0)
        ce_client_close(client);
    return r;
}

/* Reads more of the body. 1; 0 when none is there now; or negative: -EPROTO, -ECONNRESET when it
 * ended too early. */
static int read_body(struct ce_client *client, size_t limit, struct ce_error *err)
{
    struct ce_upstream *upstream = client->upstream;
    int n = ce_conn_read(client->route->proxy, &upstream->conn, limit);
    if (n > 0) {
        client->progress = client->route->proxy->now;
        int r = walk(client, err);
        return r < 0 ? r : 1;
    }
    if (n == 0)
        return 0;
    if (client->response_framing == CE_HTTP_UNTIL_CLOSE && !upstream->conn.broken) {
        client->response_body.done = true;
        return 1;
    }
    return ce_fail(err, ECONNRESET, "it ended early");
}

static enum ce_step decided(struct ce_client *client, const struct ce_slice *body)
{
    ce_hooked_response(client, client->response_status, body);
    client->stage = CE_STAGE_RESPONSE_HELD;
    return CE_GO;
}

/* The response is there whole: its body is shown to the hooks. */
static enum ce_step collected(struct ce_client *client)
{
    struct ce_slice body = {
        .data = ce_buffer_bytes(&client->upstream->conn.in) + client->response_head_size,
        .size = client->upstream->ready - client->response_head_size,
    };
    if (client->response_framing != CE_HTTP_CHUNKED)
        return decided(client, &body);
    size_t size;
    char *payload = ce_dechunk(body.data, body.size, &size);
    if (!payload) {
        ce_client_close(client);
        return CE_WAIT;
    }
    enum ce_step step = decided(client, &(struct ce_slice){payload, size});
    free(payload);
    return step;
}

enum ce_step ce_response_collect(struct ce_client *client)
{
    if (!ce_hooked_wants_response(client) || client->upstream->ready > CE_COLLECT_MAX)
        return decided(client, NULL);
    if (client->response_body.done)
        return collected(client);
    int pushed = push_request(client);
    if (pushed < 0)
        return CE_WAIT;
    struct ce_error err;
    int r = read_body(client, COLLECT_BUFFER, &err);
    if (r < 0)
        return malformed(client, &err);
    return r > 0 || pushed > 0 ? CE_GO : CE_WAIT;
}

/* What the upstream sent of this response, which something else takes the place of. */
static void drop_response(struct ce_client *client)
{
    struct ce_upstream *upstream = client->upstream;
    ce_buffer_drop(&upstream->conn.in, &client->route->proxy->blocks, upstream->ready);
    upstream->ready = 0;
}

static bool is_reusable(const struct ce_client *client)
{
    return client->response_body.done && ce_request_is_sent(client);
}

/* A hook has put another body in the place of the response's. */
static int replace_body(struct ce_client *client)
{
    const struct ce_hooked *hooked = client->hooked;
    size_t size = 0;
    char *made =
        ce_message_reframe(ce_buffer_bytes(&client->upstream->conn.in), client->response_head_size,
                           false, hooked->made, hooked->made_size, &size);
    int r =
        made ? ce_buffer_append(&client->out, &client->route->proxy->blocks, made, size) : -ENOMEM;
    free(made);
    drop_response(client);
    return r;
}

enum ce_step ce_response_held(struct ce_client *client)
{
    struct ce_hooked *hooked = client->hooked;
    if (ce_client_hold(client) == CE_WAIT)
        return CE_WAIT;
    switch (hooked->kind) {
    case CE_ACT_RESET:
        ce_client_reset(client);
        return CE_WAIT;
    case CE_ACT_ANSWER: {
        drop_response(client);
        ce_upstream_release(client, is_reusable(client));
        char *made = hooked->made;
        hooked->made = NULL;
        return ce_client_answer(client, made, hooked->made_size);
    }
    default:
        /* A response without a body, such as one to HEAD, cannot be given one. */
        if (hooked->replaced && client->response_framing != CE_HTTP_NO_BODY &&
            replace_body(client) < 0) {
            ce_client_close(client);
            return CE_WAIT;
        }
        client->progress = client->route->proxy->now;
        client->stage = CE_STAGE_RESPONSE;
        return CE_GO;
    }
}

enum ce_step ce_response_stream(struct ce_client *client)
{
    struct ce_upstream *upstream = client->upstream;
    if (!ce_client_flush(client))
        return CE_WAIT;
    int pushed = push_request(client);
    if (pushed < 0)
        return CE_WAIT;
    if (upstream->ready > 0) {
        ssize_t n =
            ce_conn_write(&client->conn, ce_buffer_bytes(&upstream->conn.in), upstream->ready);
        if (n < 0) {
            ce_client_close(client);
            return CE_WAIT;
        }
        ce_buffer_drop(&upstream->conn.in, &client->route->proxy->blocks, (size_t)n);
        upstream->ready -= (size_t)n;
        if (upstream->ready > 0)
            return pushed > 0 ? CE_GO : CE_WAIT;
    }
    if (client->response_body.done)
        return ce_client_finish(client, is_reusable(client));
    int r = read_body(client, CE_BLOCK_SIZE, NULL);
    if (r < 0)
        return truncated(client);
    return r > 0 || pushed > 0 ? CE_GO : CE_WAIT;
}
