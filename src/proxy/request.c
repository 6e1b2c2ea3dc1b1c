/* SPDX-License-Identifier: MIT */
/* The way of a request: from the client, past the hooks, to the upstream. */
#include "proxy/proxy_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* With these bytes HTTP/2 begins. */
#define HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

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

/* A switch to HTTP/2 would take later requests past the hooks, and may be ignored. */
static bool is_upgrade(const struct ce_http_head *head)
{
    const struct ce_http_field *upgrade = head->upgrade ? ce_http_find(head, "Upgrade") : NULL;
    return upgrade && !ce_http_is(upgrade->value, "h2c");
}

/* Which rules have business with the request, whose head is as it arrived. */
static int note_rules(struct ce_client *client, const struct ce_http_head *head,
                      const struct ce_http_field *id)
{
    struct ce_chain *chain = &client->lane->chain;
    if (chain->rule_count == 0)
        return 0;
    struct ce_opening opening = {
        .id = id ? id->value : (struct ce_slice){0},
        .number = client->number,
        .connection = client->connection,
        .is_probe = !client->counted,
        .method = head->method,
        .path = head->target,
        .fields = ce_message_fields(head->method.data, head->size),
    };
    return ce_hooked_begin(chain, &opening, client, ce_client_let_go, &client->hooked);
}

/* A head is there: notes what matters of it, before it is edited. */
static int note_head(struct ce_client *client, const struct ce_http_head *head)
{
    struct ce_lane *lane = client->lane;
    struct ce_route *route = lane->route;
    const struct ce_http_field *id = route->id_header ? ce_http_find(head, route->id_header) : NULL;
    bool is_probe = id && ce_route_is_probe(route, id->value);

    client->counted = !is_probe;
    client->number = is_probe ? 0 : atomic_fetch_add(&route->requests, 1) + 1;
    lane->counts.requests += client->counted;
    /* An HTTP/1.0 client would have to be told that the connection stays open. */
    client->keep_alive = head->keep_alive && head->minor > 0;
    client->is_head = ce_slice_is(head->method, "HEAD");
    client->is_connect = ce_slice_is(head->method, "CONNECT");
    client->upgrades = is_upgrade(head);
    client->idempotent = is_idempotent(head->method);
    client->awaits_continue = head->expect_continue;
    client->replayable = true;
    client->retried = client->asked = false;
    client->target = &lane->target;
    client->tried = 0;
    client->request_framing = head->framing;
    ce_http_body_start(&client->request_body, head);
    return note_rules(client, head, id);
}

/* Shows the request to the rules. */
static void ask_rules(struct ce_client *client, const struct ce_slice *body)
{
    struct ce_shown shown = {
        .fields = ce_message_fields(ce_buffer_bytes(&client->conn.in), client->request_head_size),
        .body = body,
    };
    ce_hooked_arrived(client->hooked, client->lane->worker->now);
    ce_hooked_request(client->hooked, &shown);
    client->stage = CE_STAGE_HELD;
}

static int strip(struct ce_client *client, const struct ce_http_head *head, bool collect)
{
    struct ce_buffer *in = &client->conn.in;
    unsigned how = (collect && head->expect_continue ? CE_STRIP_EXPECT : 0) |
                   (client->upgrades ? CE_STRIP_NO_UPGRADE : 0);
    size_t size = ce_message_strip(in, head, how);
    int r = client->upgrades ? ce_message_only_upgrade(in, &size) : 0;
    client->request_size = client->request_head_size = size;
    client->request_sent = 0;
    return r;
}

static enum ce_step begin(struct ce_client *client, struct ce_http_head *head)
{
    struct ce_buffer *in = &client->conn.in;
    struct ce_blocks *blocks = &client->lane->worker->blocks;
    size_t empty_line = (size_t)(head->method.data - ce_buffer_bytes(in));
    ce_buffer_drop(in, blocks, empty_line);
    head->size -= empty_line;
    int r = note_head(client, head);
    bool collect = client->hooked && ce_hooked_wants(client->hooked, CE_HOOK_REQUEST_BODY);
    if (r >= 0)
        r = strip(client, head, collect);
    if (r < 0) {
        ce_client_close(client);
        return CE_WAIT;
    }
    struct ce_error err;
    r = walk(client, &err);
    if (r < 0)
        return refuse(client, r, &err);
    const struct ce_route *route = client->lane->route;
    if (route->http2 && !route->upstream.tls)
        return ce_client_fail(
            client, 505, "The upstream of route '%s' speaks HTTP/2: ask with that.\n", route->name);
    if (!client->hooked) {
        client->stage = CE_STAGE_FORWARD;
    } else if (!collect) {
        ask_rules(client, NULL);
    } else {
        client->stage = CE_STAGE_COLLECT;
        client->progress = client->lane->worker->now;
        /* The upstream cannot ask for the body before it has seen the head, so the proxy does. */
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (client->awaits_continue && !client->request_body.done &&
            ce_buffer_append(&client->out, blocks, go_on, sizeof go_on - 1) == 0)
            client->awaits_continue = false;
    }
    return CE_GO;
}

/* Whether the client has chosen HTTP/2, as far as its first bytes tell. */
static bool is_http2(const struct ce_client *client)
{
    const struct ce_buffer *in = &client->conn.in;
    size_t size = ce_buffer_size(in), most = sizeof HTTP2_PREFACE - 1;
    bool is_first = client->request_head_size == 0;
    return is_first && memcmp(ce_buffer_bytes(in), HTTP2_PREFACE, size < most ? size : most) == 0;
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
        bool changes = r < 0 && is_http2(client);
        if (changes && ce_buffer_size(in) >= sizeof HTTP2_PREFACE - 1) {
            ce_client_change(client);
            return CE_WAIT;
        }
        if (r < 0 && !changes) {
            client->counted = true;
            client->is_head = false;
            client->request_body.done = true;
            return refuse(client, r, &err);
        }
    }
    bool idle = ce_buffer_size(in) == 0;
    int n = ce_conn_read(client->lane->worker, &client->conn, HEAD_BUFFER);
    if (n > 0) {
        if (idle)
            client->progress = client->lane->worker->now; /* its first byte */
        return CE_GO;
    }
    int64_t limit = idle ? client->lane->route->idle_ns : client->lane->route->head_timeout_ns;
    if (n < 0)
        ce_client_close(client);
    else if (limit > 0)
        ce_client_alarm(client, client->progress + limit);
    return CE_WAIT;
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
    char *body = ce_buffer_bytes(&client->conn.in) + client->request_head_size;
    size_t size = client->request_size - client->request_head_size;
    if (client->request_framing == CE_HTTP_CHUNKED) {
        client->request_payload = body = ce_dechunk(body, size, &size);
        if (!body) {
            ce_client_close(client);
            return CE_WAIT;
        }
    }
    client->has_request_payload = true;
    client->request_payload_size = size;
    ask_rules(client, &(struct ce_slice){body, size});
    return CE_GO;
}

enum ce_step ce_request_collect(struct ce_client *client)
{
    if (!ce_client_flush(client))
        return CE_WAIT;
    if (client->request_size > CE_COLLECT_MAX) {
        ask_rules(client, NULL);
        return CE_GO;
    }
    if (client->request_body.done)
        return collected(client);
    ce_hooked_arrived(client->hooked, client->lane->worker->now);
    int n = ce_conn_read(client->lane->worker, &client->conn, COLLECT_BUFFER);
    if (n < 0)
        ce_client_close(client); /* it went away in the middle of its request */
    if (n == 0)
        ce_client_watch(client);
    if (n <= 0)
        return CE_WAIT;
    client->progress = client->lane->worker->now;
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
                           hooked->body, hooked->body_size, &client->request_made_size);
    if (!client->request_made)
        return -ENOMEM;
    free(client->request_payload);
    client->request_payload = ce_take(hooked->body);
    client->request_payload_size = hooked->body_size;
    return 0;
}

static int edit_head(struct ce_client *client, size_t *size)
{
    const struct ce_hooked *hooked = client->hooked;
    struct ce_buffer *in = &client->conn.in;
    if (hooked->path)
        CE_TRY(ce_message_set_target(in, size, hooked->path));
    for (size_t i = 0; i < hooked->set_count; i++)
        CE_TRY(ce_message_set_field(in, size, hooked->sets[i].name, hooked->sets[i].value));
    if (ce_hooked_wants(hooked, CE_HOOK_RESPONSE_BODY))
        CE_TRY(ce_message_replace_fields(in, size, "Accept-Encoding", "identity"));
    return 0;
}

/* Makes of the request what the hooks want it to be. */
static int edit(struct ce_client *client)
{
    const struct ce_hooked *hooked = client->hooked;
    size_t size = client->request_head_size;
    int r = edit_head(client, &size);
    client->request_size += size - client->request_head_size;
    client->request_head_size = size;
    if (r >= 0 && hooked->replaced)
        r = replace_body(client);
    if (r >= 0 && hooked->upstream) {
        client->target = ce_target_find(client->lane, hooked->upstream);
        r = client->target ? 0 : -ENOMEM;
    }
    return r;
}

enum ce_step ce_request_held(struct ce_client *client)
{
    if (ce_client_hold(client) == CE_WAIT)
        return CE_WAIT;
    switch (client->hooked->kind) {
    case CE_ACT_RESET:
        ce_client_reset(client);
        return CE_WAIT;
    case CE_ACT_ANSWER:
        return ce_client_answer_hooked(client);
    default:
        if (edit(client) < 0) {
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
    struct ce_blocks *blocks = &client->lane->worker->blocks;
    if (in->data && ce_buffer_size(in) == in->capacity) {
        if (client->request_sent == 0)
            return 0; /* the upstream is to take some first */
        ce_buffer_drop(in, blocks, client->request_sent);
        client->request_size -= client->request_sent;
        client->request_sent = 0;
        client->replayable = false;
    }
    int n = ce_conn_read(client->lane->worker, &client->conn, CE_BLOCK_SIZE);
    if (n < 0)
        return -ECONNRESET;
    if (n == 0)
        return 0;
    client->awaits_continue = false; /* it did not wait */
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
        client->progress = client->lane->worker->now;
        progress = true;
    }
    if (client->request_body.done)
        return progress;
    int r = ce_request_read(client);
    return r < 0 ? r : r > 0 || progress;
}

/* Sees to it that a silent upstream is noticed. */
static void watch(struct ce_client *client)
{
    client->progress = client->lane->worker->now;
    ce_client_watch(client);
}

enum ce_step ce_request_refused(struct ce_client *client, int code)
{
    struct ce_target *target = client->target;
    ce_upstream_release(client, false);
    if (++client->tried < target->addresses.count)
        return CE_GO;
    if (!client->asked && ce_target_ask(target)) {
        client->asked = client->waits_for_name = true;
        return CE_WAIT;
    }
    char name[CE_NAME_MAX + 8];
    ce_endpoint_text(&target->endpoint, name, sizeof name);
    return ce_client_fail(client, 502, "Cannot connect to the upstream %s: %s.\n", name,
                          ce_target_refusal(target, code));
}

void ce_request_found(struct ce_client *client, int result, const struct ce_error *err)
{
    client->waits_for_name = false;
    client->tried = 0;
    if (result < 0) {
        char name[CE_NAME_MAX + 8];
        ce_endpoint_text(&client->target->endpoint, name, sizeof name);
        (void)ce_client_fail(client, 502, "Cannot connect to the upstream %s: %s.\n", name,
                             err->message);
    }
    ce_client_run(client);
}

enum ce_step ce_request_forward(struct ce_client *client)
{
    if (client->waits_for_name)
        return CE_WAIT;
    if (!client->upstream) {
        int r = ce_upstream_take(client, client->retried || client->tried > 0, NULL);
        watch(client);
        if (r < 0)
            return ce_request_refused(client, -r);
    }
    int r = ce_upstream_connected(client->upstream);
    if (r < 0)
        return ce_request_refused(client, -r);
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
