/* SPDX-License-Identifier: MIT */
/* The way of a response: from the upstream, past the hooks, to the client. */
#include "proxy/proxy_internal.h"

#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/clock.h"

enum {
    HEAD_BUFFER = 2 * CE_HTTP_HEAD_MAX,
    COLLECT_BUFFER = 2 * CE_COLLECT_MAX,
    SLOW_BUFFER = 256 * 1024, /* of a body of unknown length that is to take its time */
};

/* A body that takes its time goes out in such steps. */
#define STEP_NS (10 * CE_MILLISECOND)
/* For how long a client that is to be cut off may take to get what it is to get. */
#define CUT_NS CE_SECOND

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
        if (client->hooked &&
            !client->hooked->upstream) /* the rule that chose another one is gone */
            client->target = &client->lane->target;
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
        client->lane->counts.errors++;
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
    struct ce_blocks *blocks = &client->lane->worker->blocks;
    size_t size = ce_message_strip(in, head, 0);
    if (ce_buffer_append(&client->out, blocks, ce_buffer_bytes(in), size) < 0) {
        ce_client_close(client);
        return CE_WAIT;
    }
    ce_buffer_drop(in, blocks, size);
    client->awaits_continue = false;
    client->replayable = false;
    return CE_GO;
}

static bool begins_tunnel(const struct ce_client *client, int status)
{
    return client->is_connect ? status >= 200 && status < 300 : client->upgrades && status == 101;
}

/* Adds what hooks want to the head. */
static int edit_head(struct ce_client *client)
{
    const struct ce_hooked *hooked = client->hooked;
    struct ce_upstream *upstream = client->upstream;
    size_t size = client->response_head_size;
    char text[CE_ACTED_TEXT];
    const char *mark = ce_client_mark(client, text);
    int r = 0;
    for (size_t i = 0; r >= 0 && i < hooked->set_count; i++)
        r = ce_message_set_field(&upstream->conn.in, &size, hooked->sets[i].name,
                                 hooked->sets[i].value);
    if (r >= 0 && mark)
        r = ce_message_add_field(&upstream->conn.in, &size, CE_MARK_FIELD, mark);
    upstream->ready += size - client->response_head_size;
    client->response_head_size = size;
    return r;
}

static enum ce_step out_of_memory(struct ce_client *client)
{
    ce_client_close(client);
    return CE_WAIT;
}

static enum ce_step begin_tunnel(struct ce_client *client, const struct ce_http_head *head)
{
    struct ce_error err;
    if (!ce_request_is_sent(client)) {
        (void)ce_fail(&err, EPROTO, "it opens a tunnel before it has all of the request");
        return malformed(client, &err);
    }
    struct ce_upstream *upstream = client->upstream;
    struct ce_buffer *in = &upstream->conn.in;
    bool is_upgrade = !client->is_connect;
    size_t size = ce_message_strip(in, head, is_upgrade ? CE_STRIP_NO_UPGRADE : 0);
    if (is_upgrade && ce_message_only_upgrade(in, &size) < 0)
        return out_of_memory(client);
    client->response_head_size = upstream->ready = size;
    if (client->hooked) {
        client->hooked->set_count = 0; /* the request's */
        if (edit_head(client) < 0)
            return out_of_memory(client);
    }
    return ce_tunnel_begin(client);
}

/* Tells the client that this exchange is its last one. */
static int announce_end(struct ce_client *client)
{
    if (!client->lane->worker->draining || !client->keep_alive)
        return 0;
    client->keep_alive = false;
    struct ce_upstream *upstream = client->upstream;
    size_t size = client->response_head_size;
    CE_TRY(ce_message_add_field(&upstream->conn.in, &size, "Connection", "close"));
    upstream->ready += size - client->response_head_size;
    client->response_head_size = size;
    return 0;
}

static enum ce_step begin_stream(struct ce_client *client)
{
    if (announce_end(client) < 0)
        return out_of_memory(client);
    client->progress = client->lane->worker->now;
    ce_client_alarm(client, client->progress + ce_client_patience(client));
    client->stage = CE_STAGE_RESPONSE;
    client->response_sent = 0;
    if (ce_response_is_slowed(client))
        client->response_begun = ce_now();
    return CE_GO;
}

static enum ce_step begin(struct ce_client *client, const struct ce_http_head *head)
{
    struct ce_upstream *upstream = client->upstream;
    struct ce_error err;
    if (begins_tunnel(client, head->status))
        return begin_tunnel(client, head);
    if (head->status == 101) {
        (void)ce_fail(&err, EPROTO, "it switches protocols, which nobody asked for");
        return malformed(client, &err);
    }
    if (head->status < 200)
        return pass_interim(client, head);
    client->response_status = head->status;
    client->response_framing = head->framing;
    client->response_length = head->length;
    ce_http_body_start(&client->response_body, head);
    upstream->keep_alive = head->keep_alive;
    if (head->framing == CE_HTTP_UNTIL_CLOSE)
        client->keep_alive = false;
    client->response_head_size = ce_message_strip(&upstream->conn.in, head, 0);
    upstream->ready = client->response_head_size;
    int r = walk(client, &err);
    if (r < 0)
        return malformed(client, &err);
    if (client->hooked && ce_hooked_minds_response(client->hooked)) {
        client->stage = CE_STAGE_RESPONSE_COLLECT;
        return CE_GO;
    }
    if (client->hooked) {
        client->hooked->set_count = 0; /* the request's */
        if (edit_head(client) < 0)
            return out_of_memory(client);
    }
    return begin_stream(client);
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
    int n = ce_conn_read(client->lane->worker, &upstream->conn, HEAD_BUFFER);
    if (n > 0) {
        client->progress = client->lane->worker->now;
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
    int n = ce_conn_read(client->lane->worker, &upstream->conn, limit);
    if (n > 0) {
        client->progress = client->lane->worker->now;
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

/* Shows the response to the rules. */
static enum ce_step decided(struct ce_client *client, const struct ce_slice *body)
{
    struct ce_slice request_body = {
        .data = client->request_payload
                    ? client->request_payload
                    : ce_buffer_bytes(&client->conn.in) + client->request_head_size,
        .size = client->request_payload_size,
    };
    struct ce_shown shown = {
        .fields = ce_message_fields(ce_buffer_bytes(&client->upstream->conn.in),
                                    client->response_head_size),
        .body = body,
        .status = client->response_status,
        .request_body = client->has_request_payload ? &request_body : NULL,
    };
    ce_hooked_arrived(client->hooked, client->lane->worker->now);
    if (ce_hooked_response(client->hooked, &shown) < 0)
        return out_of_memory(client);
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
    if (!payload)
        return out_of_memory(client);
    enum ce_step step = decided(client, &(struct ce_slice){payload, size});
    free(payload);
    return step;
}

enum ce_step ce_response_collect(struct ce_client *client)
{
    if (!ce_hooked_wants(client->hooked, CE_HOOK_RESPONSE_BODY) ||
        client->upstream->ready > CE_COLLECT_MAX)
        return decided(client, NULL);
    if (client->response_body.done)
        return collected(client);
    ce_hooked_arrived(client->hooked, client->lane->worker->now);
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
    ce_buffer_drop(&upstream->conn.in, &client->lane->worker->blocks, upstream->ready);
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
    struct ce_upstream *upstream = client->upstream;
    struct ce_buffer *in = &upstream->conn.in;
    size_t size = 0;
    char *made = ce_message_reframe(ce_buffer_bytes(in), client->response_head_size, false,
                                    hooked->body, hooked->body_size, &size);
    int r = made ? ce_buffer_splice(in, 0, upstream->ready, made, size) : -ENOMEM;
    free(made);
    if (r < 0)
        return r;
    upstream->ready = size;
    if (client->response_framing == CE_HTTP_LENGTH) {
        client->response_head_size = size - hooked->body_size;
        client->response_length = hooked->body_size;
    }
    return 0;
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
    case CE_ACT_ANSWER:
        drop_response(client);
        ce_upstream_release(client, is_reusable(client));
        return ce_client_answer_hooked(client);
    default:
        if (edit_head(client) < 0)
            return out_of_memory(client);
        /* A response without a body, such as one to HEAD, cannot be given one. */
        if (hooked->replaced && client->response_framing != CE_HTTP_NO_BODY &&
            replace_body(client) < 0)
            return out_of_memory(client);
        return begin_stream(client);
    }
}

/* ---- to the client ---- */

bool ce_response_is_slowed(const struct ce_client *client)
{
    return client->hooked &&
           (client->hooked->kind == CE_ACT_CUT || ce_hooked_span(client->hooked) > 0);
}

/* How many of the bytes that are there may go out by now. */
static size_t may_go(const struct ce_client *client)
{
    const struct ce_hooked *hooked = client->hooked;
    uint64_t sent = client->response_sent, head = client->response_head_size;
    uint64_t known = sent + client->upstream->ready;
    /* Of a body of unknown length, what has come of it is spread over all of the time: that is even
     * if it came at once, and out in time if it did not. */
    uint64_t body =
        client->response_framing == CE_HTTP_LENGTH ? client->response_length : known - head;
    uint64_t limit = ce_span_due(body, ce_now() - client->response_begun, ce_hooked_span(hooked));
    if (hooked->kind == CE_ACT_CUT && limit > hooked->cut)
        limit = hooked->cut;
    limit = limit < known - head ? head + limit : known;
    return limit > sent ? (size_t)(limit - sent) : 0;
}

static bool is_cut_off(const struct ce_client *client)
{
    return client->hooked->kind == CE_ACT_CUT &&
           (client->response_sent >= client->response_head_size + client->hooked->cut ||
            (client->response_body.done && client->upstream->ready == 0));
}

static enum ce_step cut_off(struct ce_client *client)
{
    ce_upstream_release(client, false);
    client->stage = CE_STAGE_CUT;
    client->progress = ce_now();
    return CE_GO;
}

enum ce_step ce_response_cut(struct ce_client *client)
{
    /* A reset throws away what the kernel has not brought to the client yet. */
    int left = 0;
    int64_t now = ce_now();
    if (ioctl(client->conn.fd, SIOCOUTQ, &left) == 0 && left > 0 &&
        now < client->progress + CUT_NS) {
        ce_client_alarm(client, now + STEP_NS);
        return CE_WAIT;
    }
    ce_client_reset(client);
    return CE_WAIT;
}

/* Whether more of the body is to be read while some of it waits: to know how long it is. */
static bool reads_ahead(const struct ce_client *client)
{
    return client->response_framing != CE_HTTP_LENGTH && !client->response_body.done &&
           ce_buffer_size(&client->upstream->conn.in) < SLOW_BUFFER;
}

/* 1: all that may go is out; 0: not yet; -1: the client is closed. */
static int write_ready(struct ce_client *client, size_t size)
{
    struct ce_upstream *upstream = client->upstream;
    if (size == 0)
        return 1;
    ssize_t n = ce_conn_write(&client->conn, ce_buffer_bytes(&upstream->conn.in), size);
    if (n < 0) {
        ce_client_close(client);
        return -1;
    }
    ce_buffer_drop(&upstream->conn.in, &client->lane->worker->blocks, (size_t)n);
    upstream->ready -= (size_t)n;
    client->response_sent += (uint64_t)n;
    return (size_t)n == size;
}

enum ce_step ce_response_stream(struct ce_client *client)
{
    struct ce_upstream *upstream = client->upstream;
    if (!ce_client_flush(client))
        return CE_WAIT;
    int pushed = push_request(client);
    if (pushed < 0)
        return CE_WAIT;
    bool slowed = ce_response_is_slowed(client);
    int written = write_ready(client, slowed ? may_go(client) : upstream->ready);
    if (written < 0)
        return CE_WAIT;
    enum ce_step step = pushed > 0 ? CE_GO : CE_WAIT;
    if (written == 0)
        return step;
    if (slowed && is_cut_off(client))
        return cut_off(client);
    if (upstream->ready > 0) {
        ce_client_alarm(client, ce_now() + STEP_NS);
        if (!reads_ahead(client))
            return step;
    } else if (client->response_body.done) {
        return ce_client_finish(client, is_reusable(client));
    }
    int r = read_body(client, slowed ? SLOW_BUFFER : CE_BLOCK_SIZE, NULL);
    if (r < 0)
        return truncated(client);
    if (slowed && r == 0 && upstream->ready == 0)
        ce_client_alarm(client, client->progress + ce_client_patience(client));
    return r > 0 ? CE_GO : step;
}
