/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/web.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "pipeline/embedded/freshness.h"

enum {
    BODY_MAX = 16 << 20,
    CONNECTIONS_MAX = 20000,
    THREAD_STACK = 256 << 10,
};

struct web {
    const struct ce_web_handler *handler;
    void *ctx;
};

/* A request while its body arrives. */
struct upload {
    char *body;
    size_t size, capacity;
    bool too_large, no_memory;
};

static void upload_add(struct upload *upload, const char *data, size_t size)
{
    if (upload->size + size > BODY_MAX) {
        upload->too_large = true;
        return;
    }
    if (upload->size + size > upload->capacity) {
        size_t capacity = (upload->size + size) * 2;
        char *body = realloc(upload->body, capacity);
        if (!body) {
            upload->no_memory = true;
            return;
        }
        upload->body = body;
        upload->capacity = capacity;
    }
    memcpy(upload->body + upload->size, data, size);
    upload->size += size;
}

static enum MHD_Result respond(struct MHD_Connection *connection, struct ce_web_answer *answer)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->size, answer->body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(answer->body);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    if (answer->retry_later)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static void *connection_context(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* Called when the head is there, for pieces of the body, and with *size 0 at the end. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    const struct web *web = ctx;
    struct upload *upload = *state;
    if (!upload) {
        *state = calloc(1, sizeof *upload);
        return *state ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
        upload_add(upload, data, *size);
        *size = 0;
        return MHD_YES;
    }
    struct ce_web_answer answer = {.status = MHD_HTTP_INTERNAL_SERVER_ERROR};
    if (upload->too_large) {
        ce_web_reply(&answer, MHD_HTTP_CONTENT_TOO_LARGE,
                     strdup("{\"error\":\"the request is larger than 16 MiB\"}"));
    } else if (!upload->no_memory) {
        struct ce_web_request request = {
            .method = method,
            .path = path,
            .id = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Request-Id"),
            .time = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, CE_FRESHNESS_FIELD),
            .body = upload->body ? upload->body : "",
            .size = upload->size,
            .connection = connection_context(connection),
        };
        web->handler->handle(web->ctx, &request, &answer);
    }
    return respond(connection, &answer);
}

static void on_request_end(void *ctx, struct MHD_Connection *connection, void **state,
                           enum MHD_RequestTerminationCode how)
{
    struct upload *upload = *state;
    if (upload)
        free(upload->body);
    free(upload);
    *state = NULL;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    const struct web *web = ctx;
    if (what == MHD_CONNECTION_NOTIFY_STARTED && web->handler->opened)
        *context = web->handler->opened(web->ctx);
    if (what == MHD_CONNECTION_NOTIFY_CLOSED && web->handler->closed)
        web->handler->closed(web->ctx, *context);
}

static int listen_on(int port, int *ret_port, struct ce_error *err)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t size = sizeof address;
    ce_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ce_fail(err, errno, "cannot make a listening socket: %s", strerror(errno));
    /* Its predecessor's connections may linger; the port is its own all the same. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return ce_fail(err, errno, "cannot listen on 127.0.0.1:%d: %s", port, strerror(errno));
    *ret_port = ntohs(address.sin_port);
    return ce_take_fd(fd);
}

int ce_web_start(int port, const struct ce_web_handler *handler, void *ctx, int *ret_port,
                 struct ce_error *err)
{
    int real_port = 0, fd = listen_on(port, &real_port, err);
    CE_TRY(fd);
    struct web *web = malloc(sizeof *web); /* as long as the process */
    if (!web) {
        (void)close(fd);
        return ce_fail_memory(err);
    }
    *web = (struct web){.handler = handler, .ctx = ctx};
    unsigned flags = handler->thread_per_connection
                         ? MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION
                         : MHD_USE_EPOLL_INTERNAL_THREAD;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, web, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_request_end, NULL, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, web, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK, MHD_OPTION_END);
    if (!daemon) {
        free(web);
        (void)close(fd);
        return ce_fail(err, EIO, "cannot serve HTTP on 127.0.0.1:%d", real_port);
    }
    *ret_port = real_port;
    return 0;
}

void ce_web_reply(struct ce_web_answer *answer, int status, char *text)
{
    answer->status = text ? status : MHD_HTTP_INTERNAL_SERVER_ERROR;
    answer->body = text;
    answer->size = text ? strlen(text) : 0;
}
