/* SPDX-License-Identifier: MIT */
/* A workload, and a scripted server on a thread of its own that answers it. For every request the
 * script of the test says what to do; the server remembers who asked, in which order and over which
 * connection. */
#ifndef CE_TESTS_WORKLOAD_WORLD_H
#define CE_TESTS_WORKLOAD_WORLD_H

#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "check.h"
#include "net/http1.h"
#include "pipeline/workload.h"

enum act {
    ANSWER,             /* the row that the body names, as the prediction */
    ANSWER_CHUNKED,     /* in chunks, each byte of it sent on its own, after an interim answer */
    ANSWER_AND_CLOSE,   /* announced */
    ANSWER_UNTIL_CLOSE, /* no length: the answer ends with the connection */
    ANSWER_AND_VANISH,  /* keep-alive promised, closed all the same */
    ANSWER_TOO_MUCH,    /* one more answer behind it, unasked */
    REFUSE_503,
    HALF_AN_ANSWER, /* then closed */
    GARBAGE,
    WRONG_BODY,
    EMPTY_BODY,
    RESET,
    VANISH, /* closed in order, without an answer */
    SILENCE,
    STALL, /* nothing of anybody's is served for 200 ms, then ANSWER */
};

enum {
    REQUESTS_MAX = 2000,
    CLIENTS_MAX = 500,
    ROWS = 10,
};
#define STALL_NS (200 * CE_MILLISECOND)
#define PATIENCE (20 * CE_SECOND) /* until a test gives up */

struct request {
    char id[32];
    char path[64];
    char body[64];
    bool json;
    int connection; /* serial number */
};

struct client {
    int fd, serial;
    char data[4096];
    size_t size;
};

struct server;
typedef enum act script_fn(const struct server *server, const struct request *request);

struct server {
    struct ce_endpoint endpoint;
    int listener, stop;
    script_fn *script;
    pthread_t thread;
    int64_t stall_begin, stall_end;
    struct client clients[CLIENTS_MAX];
    int client_count;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t came;
    struct request requests[REQUESTS_MAX];
    int request_count, connection_count;
};

static inline enum act always_answer(const struct server *server, const struct request *request)
{
    return ANSWER;
}

/* ---- what the server does ---- */

static inline void send_text(const struct client *client, const char *text)
{
    (void)!send(client->fd, text, strlen(text), MSG_NOSIGNAL);
}

static inline void send_bytewise(const struct client *client, const char *text)
{
    for (; *text != '\0'; text++)
        (void)!send(client->fd, text, 1, MSG_NOSIGNAL);
}

/* `behind`: what follows the answer that was asked for. */
static inline void send_answer(const struct client *client, const char *fields, const char *body,
                               const char *behind)
{
    ce_autofree char *text = ce_format("HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n%s%s",
                                       fields, strlen(body), body, behind);
    send_text(client, text);
}

static inline void send_chunked(const struct client *client, const char *body)
{
    ce_autofree char *text = ce_format(
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\n%.2s\r\n%zx\r\n%s\r\n0\r\n\r\n",
        body, strlen(body + 2), body + 2);
    send_bytewise(client, text);
}

/* Whether the connection stays open. */
static inline bool perform(struct server *server, const struct client *client, const char *body,
                           enum act act)
{
    switch (act) {
    case STALL:
        server->stall_begin = ce_now();
        server->stall_end = server->stall_begin + STALL_NS;
        ce_sleep_until(server->stall_end);
        send_answer(client, "", body, "");
        return true;
    case ANSWER:
        send_answer(client, "", body, "");
        return true;
    case ANSWER_CHUNKED:
        send_chunked(client, body);
        return true;
    case ANSWER_AND_CLOSE:
        send_answer(client, "Connection: close\r\n", body, "");
        return false;
    case ANSWER_UNTIL_CLOSE:
        send_text(client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        send_text(client, body);
        return false;
    case ANSWER_AND_VANISH:
        send_answer(client, "", body, "");
        return false;
    case ANSWER_TOO_MUCH:
        send_answer(client, "", body, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nrow=0");
        return true;
    case REFUSE_503:
        send_text(client, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
        return true;
    case HALF_AN_ANSWER:
        send_text(client, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nrow=1");
        return false;
    case GARBAGE:
        send_text(client, "what do you want?\r\n\r\n");
        return true;
    case WRONG_BODY:
        send_answer(client, "", "no prediction today", "");
        return true;
    case EMPTY_BODY:
        send_answer(client, "", "", "");
        return true;
    case VANISH:
        return false;
    case RESET: {
        struct linger abrupt = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
        return false;
    }
    case SILENCE:
        return true;
    }
    return false;
}

/* ---- the server ---- */

static inline void copy_slice(char *text, size_t size, struct ce_slice slice)
{
    snprintf(text, size, "%.*s", (int)slice.size, slice.data);
}

/* Takes one request out of what the client has sent: 1, or 0 when more must come. */
static inline int take_request(struct client *client, struct request *ret_request)
{
    struct ce_http_head head;
    if (ce_http_parse_request(client->data, client->size, &head, NULL) <= 0 ||
        client->size < head.size + head.length)
        return 0;
    const struct ce_http_field *id = ce_http_find(&head, "X-Request-Id");
    const struct ce_http_field *type = ce_http_find(&head, "Content-Type");
    struct request request = {.connection = client->serial};
    copy_slice(request.id, sizeof request.id, id ? id->value : (struct ce_slice){"", 0});
    copy_slice(request.path, sizeof request.path, head.target);
    copy_slice(request.body, sizeof request.body,
               (struct ce_slice){client->data + head.size, head.length});
    request.json =
        type && type->value.size == 16 && memcmp(type->value.data, "application/json", 16) == 0;
    size_t used = head.size + (size_t)head.length;
    client->size -= used;
    memmove(client->data, client->data + used, client->size);
    *ret_request = request;
    return 1;
}

static inline void remember(struct server *server, const struct request *request)
{
    pthread_mutex_lock(&server->lock);
    if (server->request_count < REQUESTS_MAX)
        server->requests[server->request_count++] = *request;
    pthread_cond_signal(&server->came);
    pthread_mutex_unlock(&server->lock);
}

/* Whether the connection stays open. */
static inline bool serve(struct server *server, struct client *client)
{
    ssize_t n =
        recv(client->fd, client->data + client->size, sizeof client->data - client->size, 0);
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0)
        return false;
    client->size += (size_t)n;
    struct request request;
    while (take_request(client, &request)) {
        enum act act = server->script(server, &request);
        remember(server, &request);
        if (!perform(server, client, request.body, act))
            return false;
    }
    return true;
}

static inline void accept_client(struct server *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    pthread_mutex_lock(&server->lock);
    int serial = ++server->connection_count;
    pthread_mutex_unlock(&server->lock);
    if (server->client_count == CLIENTS_MAX) {
        (void)close(fd);
        return;
    }
    server->clients[server->client_count++] = (struct client){.fd = fd, .serial = serial};
}

static inline void *server_run(void *ctx)
{
    struct server *server = ctx;
    for (;;) {
        struct pollfd fds[CLIENTS_MAX + 2];
        int clients = server->client_count;
        for (int i = 0; i < clients; i++)
            fds[i] = (struct pollfd){.fd = server->clients[i].fd, .events = POLLIN};
        fds[clients] = (struct pollfd){.fd = server->listener, .events = POLLIN};
        fds[clients + 1] = (struct pollfd){.fd = server->stop, .events = POLLIN};
        (void)poll(fds, (nfds_t)clients + 2, -1);
        if (fds[clients + 1].revents)
            return NULL;
        /* From the last to the first, so that the last may take the place of one that has gone. */
        for (int i = clients - 1; i >= 0; i--) {
            if (!fds[i].revents || serve(server, &server->clients[i]))
                continue;
            (void)close(server->clients[i].fd);
            server->clients[i] = server->clients[--server->client_count];
        }
        if (fds[clients].revents)
            accept_client(server);
    }
}

static inline struct server *server_start(script_fn *script)
{
    struct server *server = calloc(1, sizeof *server);
    server->script = script;
    server->endpoint = ce_endpoint_loopback(0);
    server->listener = ce_endpoint_listen(&server->endpoint, NULL);
    server->stop = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->came, NULL);
    if (server->listener < 0 || server->stop < 0 ||
        pthread_create(&server->thread, NULL, server_run, server) != 0)
        abort();
    return server;
}

static inline void server_stop(struct server *server)
{
    (void)eventfd_write(server->stop, 1);
    pthread_join(server->thread, NULL);
    for (int i = 0; i < server->client_count; i++)
        (void)close(server->clients[i].fd);
    (void)close(server->listener);
    (void)close(server->stop);
    pthread_cond_destroy(&server->came);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

static inline bool server_waits_for_requests(struct server *server, int count)
{
    int64_t until = ce_wall_now() + PATIENCE;
    struct timespec at = {.tv_sec = until / CE_SECOND, .tv_nsec = until % CE_SECOND};
    pthread_mutex_lock(&server->lock);
    int r = 0;
    while (server->request_count < count && r == 0)
        r = pthread_cond_timedwait(&server->came, &server->lock, &at);
    pthread_mutex_unlock(&server->lock);
    return r == 0;
}

static inline int server_connections(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    int count = server->connection_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

/* How often the server was asked for the operation. */
static inline int server_times_asked(struct server *server, const char *id)
{
    int times = 0;
    pthread_mutex_lock(&server->lock);
    for (int i = 0; i < server->request_count; i++)
        times += strcmp(server->requests[i].id, id) == 0;
    pthread_mutex_unlock(&server->lock);
    return times;
}

/* ---- operations ---- */

/* "row=3", whose right prediction is 3; the label of row 7 is wrong. */

static inline int read_row(const void *ctx, const struct ce_reply *reply,
                           struct ce_prediction *ret_prediction)
{
    if (reply->size != 5 || memcmp(reply->body, "row=", 4) != 0)
        return -EINVAL;
    *ret_prediction = (struct ce_prediction){.number = reply->body[4] - '0'};
    return 0;
}

static inline bool is_equal(const void *ctx, const struct ce_prediction *prediction,
                            const struct ce_operation *operation)
{
    return fabs(prediction->number - operation->label) < 0.5;
}

static inline const struct ce_operations *rows(void)
{
    static struct ce_operation items[ROWS];
    static char bodies[ROWS][8];
    static const struct ce_operations operations = {
        .path = "/v2/models/churn/infer",
        .items = items,
        .count = ROWS,
        .read_prediction = read_row,
        .is_right = is_equal,
    };
    for (int i = 0; i < ROWS; i++) {
        snprintf(bodies[i], sizeof bodies[i], "row=%d", i);
        items[i] =
            (struct ce_operation){.body = bodies[i], .body_size = 5, .label = i == 7 ? 99 : i};
    }
    return &operations;
}

/* ---- the workload ---- */

static inline struct ce_workload *workload_at(const struct ce_endpoint *endpoint, double rate,
                                              int64_t timeout_ns)
{
    struct ce_workload_config config = {
        .endpoint = *endpoint,
        .operations = rows(),
        .rate = rate,
        .timeout_ns = timeout_ns,
    };
    struct ce_workload *workload = NULL;
    struct ce_error err = {0};
    if (ce_workload_start(&config, &workload, &err) < 0) {
        printf("# %s\n", err.message);
        abort();
    }
    return workload;
}

/* Takes `count` outcomes, each at its number's place. How many came. */
static inline uint64_t take_outcomes(struct ce_workload *workload, struct ce_outcome *outcomes,
                                     uint64_t count)
{
    uint64_t came = 0;
    int64_t until = ce_now() + PATIENCE;
    struct ce_outcome outcome;
    while (came < count && ce_workload_next(workload, &outcome, until)) {
        came++;
        if (outcome.number < count)
            outcomes[outcome.number] = outcome;
    }
    return came;
}

/* Begins a phase of `count` operations and takes their outcomes. How many came. */
static inline uint64_t run_phase(struct ce_workload *workload, enum ce_phase phase,
                                 struct ce_outcome *outcomes, uint64_t count)
{
    memset(outcomes, 0, count * sizeof *outcomes);
    ce_workload_begin(workload, phase, count, 0);
    return take_outcomes(workload, outcomes, count);
}

/* A workload and the server that it asks. */
struct world {
    struct server *server;
    struct ce_workload *workload;
};

static inline struct world world_open(script_fn *script, double rate, int64_t timeout_ns)
{
    struct server *server = server_start(script);
    return (struct world){server, workload_at(&server->endpoint, rate, timeout_ns)};
}

static inline void world_close(struct world *world)
{
    ce_workload_stop(world->workload);
    if (world->server)
        server_stop(world->server);
    *world = (struct world){0};
}
#define WORLD(name, script, rate, timeout_ns)                                                      \
    CE_CLEANUP(world_close) struct world name = world_open(script, rate, timeout_ns)

#endif
