/* SPDX-License-Identifier: MIT */
/* One HTTP/1.1 exchange after another on a non-blocking socket.
 *
 * Interest in writing is asked for only while a connect or a request is under way; interest in
 * reading always, so that a server's closing of an idle connection shows at once. When writing
 * fails the answer is still read: a server may refuse a request before it has read all of it. */
#include "pipeline/workload_connection.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "proxy/h2/grpc.h"

/* An answer larger than this is no prediction. */
enum { PAYLOAD_MAX = 16 * 1024 * 1024 };

static int bytes_add(struct ce_bytes *bytes, const char *data, size_t size)
{
    if (bytes->size + size > bytes->capacity) {
        size_t capacity = 2 * (bytes->size + size);
        char *larger = realloc(bytes->data, capacity);
        if (!larger)
            return -ENOMEM;
        bytes->data = larger;
        bytes->capacity = capacity;
    }
    if (size > 0)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return 0;
}

static int set_interest(struct ce_connection *connection, int operation, bool writing)
{
    struct epoll_event event = {
        .events = EPOLLIN | (writing ? EPOLLOUT : 0),
        .data.ptr = connection,
    };
    return epoll_ctl(connection->epoll, operation, connection->fd, &event) < 0 ? -errno : 0;
}

CE_DEFINE_CLEANUP(struct ce_connection, ce_connection_free);

int ce_connection_open(const struct ce_endpoint *endpoint, int epoll, bool grpc,
                       struct ce_connection **ret_connection, struct ce_error *err)
{
    CE_CLEANUP(ce_connection_free_p)
    struct ce_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return ce_fail_memory(err);
    connection->epoll = epoll;
    connection->connecting = connection->writing = true;
    connection->fd = -1;
    if (grpc && ce_grpc_caller_new(&connection->grpc) < 0)
        return ce_fail_memory(err);
    connection->fd = ce_endpoint_connect(endpoint, err);
    if (connection->fd < 0)
        return connection->fd;
    int r = set_interest(connection, EPOLL_CTL_ADD, true);
    if (r < 0)
        return ce_fail(err, -r, "cannot watch a connection: %s", strerror(-r));
    *ret_connection = ce_take(connection);
    return 0;
}

void ce_connection_close(struct ce_connection *connection)
{
    if (connection->fd >= 0)
        (void)close(ce_take_fd(connection->fd));
}

void ce_connection_free(struct ce_connection *connection)
{
    if (!connection)
        return;
    ce_connection_close(connection);
    ce_grpc_caller_free(connection->grpc);
    free(connection->out.data);
    free(connection->head.data);
    free(connection->payload.data);
    free(connection);
}

/* What is to be sent: *ret_bytes is empty when there is nothing, for now. */
static int pending(const struct ce_connection *connection, struct ce_slice *ret_bytes)
{
    const struct ce_bytes *out = &connection->out;
    if (connection->grpc)
        return ce_grpc_caller_out(connection->grpc, ret_bytes);
    *ret_bytes = (struct ce_slice){out->data + connection->sent, out->size - connection->sent};
    return 0;
}

/* Sends what the socket takes. 1: it takes no more of what there is. */
static int flush(struct ce_connection *connection)
{
    for (struct ce_slice bytes; !connection->write_failed;) {
        CE_TRY(pending(connection, &bytes));
        if (bytes.size == 0)
            return 0;
        ssize_t n = send(connection->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (n >= 0 && connection->grpc)
            ce_grpc_caller_sent(connection->grpc, (size_t)n);
        else if (n >= 0)
            connection->sent += (size_t)n;
        else if (errno == EPIPE || errno == ECONNRESET)
            connection->write_failed = true;
        else if (errno == EAGAIN)
            return 1;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

/* The same, and asks to be told when it takes more. */
static int flush_and_watch(struct ce_connection *connection)
{
    int full = flush(connection);
    if (full < 0 || connection->writing == (full > 0))
        return full < 0 ? full : 0;
    connection->writing = full > 0;
    return set_interest(connection, EPOLL_CTL_MOD, connection->writing);
}

static int begin_http(struct ce_connection *connection, const struct ce_connection_request *request)
{
    ce_autofree char *head = ce_format("POST %s HTTP/1.1\r\n"
                                       "Host: %s\r\n"
                                       "Content-Type: %s\r\n"
                                       "Content-Length: %zu\r\n"
                                       "X-Request-Id: %s\r\n\r\n",
                                       request->path, request->host, request->content_type,
                                       request->body_size, request->id);
    if (!head)
        return -ENOMEM;
    CE_TRY(bytes_add(&connection->out, head, strlen(head)));
    return bytes_add(&connection->out, request->body, request->body_size);
}

static int begin_grpc(const struct ce_connection *connection,
                      const struct ce_connection_request *request)
{
    ce_autofree char *headers = ce_format("X-Request-Id: %s\r\n", request->id);
    struct ce_grpc_call call = {
        .path = request->path,
        .authority = request->host,
        .headers = headers,
        .message = {request->body, request->body_size},
    };
    return headers ? ce_grpc_caller_begin(connection->grpc, &call, request->host) : -ENOMEM;
}

int ce_connection_request(struct ce_connection *connection,
                          const struct ce_connection_request *request)
{
    connection->write_failed = connection->answering = connection->ended = connection->head_done =
        connection->keep_alive = false;
    connection->sent = connection->out.size = connection->head.size = connection->payload.size = 0;
    connection->status = 0;
    connection->requests++;
    CE_TRY(connection->grpc ? begin_grpc(connection, request) : begin_http(connection, request));
    return connection->connecting ? 0 : flush_and_watch(connection);
}

/* Takes the next piece of the body. 1: the answer is complete. */
static int take_body(struct ce_connection *connection, const char *data, size_t size)
{
    while (size > 0 && !connection->body.done) {
        struct ce_slice payload = {0};
        size_t used = 0;
        CE_TRY(ce_http_body_feed(&connection->body, data, size, &used, &payload, NULL));
        if (connection->payload.size + payload.size > PAYLOAD_MAX)
            return -EPROTO;
        CE_TRY(bytes_add(&connection->payload, payload.data, payload.size));
        data += used;
        size -= used;
    }
    /* Bytes that nobody asked for: whatever they are, they are no answer to the next request. */
    if (connection->body.done && size > 0)
        connection->keep_alive = false;
    return connection->body.done;
}

static void keep_field(const struct ce_http_head *head, const char *name, char *text, size_t size)
{
    const struct ce_http_field *field = ce_http_find(head, name);
    size_t length = field && field->value.size < size ? field->value.size : 0;
    if (length > 0)
        memcpy(text, field->value.data, length);
    text[length] = '\0';
}

/* Takes bytes of the head, and of the body when they follow at once. 1: the answer is complete. */
static int take_head(struct ce_connection *connection, const char *data, size_t size)
{
    struct ce_bytes *bytes = &connection->head;
    CE_TRY(bytes_add(bytes, data, size));
    for (;;) {
        struct ce_http_head head;
        int r = ce_http_parse_response(bytes->data, bytes->size, false, &head, NULL);
        if (r <= 0)
            return r < 0 ? -EPROTO : 0;
        if (head.status >= 200) {
            connection->head_done = true;
            connection->status = head.status;
            connection->keep_alive = head.keep_alive;
            keep_field(&head, "Content-Type", connection->content_type,
                       sizeof connection->content_type);
            keep_field(&head, "Inference-Header-Content-Length", connection->json_length,
                       sizeof connection->json_length);
            ce_http_body_start(&connection->body, &head);
            return take_body(connection, bytes->data + head.size, bytes->size - head.size);
        }
        /* An interim answer (1xx) announces the real one; only 101 would change what the connection
         * is. */
        if (head.status == 101)
            return -EPROTO;
        bytes->size -= head.size;
        memmove(bytes->data, bytes->data + head.size, bytes->size);
        if (bytes->size == 0)
            return 0;
    }
}

/* The call is over: its status as HTTP's, its message as the payload. */
static int take_call(struct ce_connection *connection)
{
    struct ce_slice message;
    int status = ce_grpc_caller_result(connection->grpc, &message, NULL);
    CE_TRY(status);
    connection->status = ce_grpc_http_of(status);
    connection->keep_alive = ce_grpc_caller_is_open(connection->grpc);
    snprintf(connection->content_type, sizeof connection->content_type, "application/grpc");
    connection->json_length[0] = '\0';
    if (status == CE_GRPC_OK)
        CE_TRY(bytes_add(&connection->payload, message.data, message.size));
    return 1;
}

static int take_frames(struct ce_connection *connection, const char *data, size_t size)
{
    CE_TRY(ce_grpc_caller_feed(connection->grpc, data, size));
    CE_TRY(flush_and_watch(connection)); /* it has to acknowledge some */
    if (ce_grpc_caller_size(connection->grpc) > PAYLOAD_MAX)
        return -EPROTO;
    return connection->owner && ce_grpc_caller_is_over(connection->grpc) ? take_call(connection)
                                                                         : 0;
}

static int receive(struct ce_connection *connection)
{
    for (;;) {
        char data[16 * 1024];
        ssize_t n = recv(connection->fd, data, sizeof data, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        if (n == 0) {
            connection->keep_alive = false;
            connection->ended = true;
            return connection->head_done && connection->body.framing == CE_HTTP_UNTIL_CLOSE
                       ? 1
                       : -ECONNRESET;
        }
        connection->answering = connection->owner;
        int r = connection->grpc        ? take_frames(connection, data, (size_t)n)
                : connection->head_done ? take_body(connection, data, (size_t)n)
                                        : take_head(connection, data, (size_t)n);
        if (r != 0)
            return r;
    }
}

/* A socket that connects shows no event before it has succeeded or failed. */
static int finish_connect(struct ce_connection *connection)
{
    int failure = 0;
    socklen_t size = sizeof failure;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
        return -errno;
    connection->connecting = failure != 0;
    return -failure;
}

int ce_connection_step(struct ce_connection *connection)
{
    if (connection->connecting)
        CE_TRY(finish_connect(connection));
    CE_TRY(flush_and_watch(connection));
    return receive(connection);
}

/* In HTTP/1.1 there is nothing to say then: the server closes it, or is confused. In HTTP/2 there
 * is a lot. */
int ce_connection_rest(struct ce_connection *connection)
{
    if (!connection->grpc)
        return -ECONNRESET;
    int r = receive(connection);
    return r < 0 || ce_grpc_caller_is_open(connection->grpc) ? r : -ECONNRESET;
}

bool ce_connection_reusable(const struct ce_connection *connection)
{
    return connection->keep_alive && (connection->grpc || connection->sent == connection->out.size);
}

bool ce_connection_was_stale(const struct ce_connection *connection, int failure)
{
    return failure == -ECONNRESET && connection->ended && connection->requests > 1 &&
           !connection->answering;
}
