/* SPDX-License-Identifier: MIT */
/* A scripted server on a thread of its own answers the workload. For every request the script of
 * the test says what to do; the server remembers who asked, in which order and over which
 * connection. */
#include <dirent.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "check.h"
#include "pipeline/workload.h"
#include "proxy/http1.h"

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

struct server {
    struct ce_endpoint endpoint;
    int listener, stop;
    enum act (*script)(const struct server *server, const struct request *request);
    pthread_t thread;
    int64_t stall_begin, stall_end;
    struct client clients[CLIENTS_MAX];
    int client_count;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t came;
    struct request requests[REQUESTS_MAX];
    int request_count, connection_count;
};

static void send_text(const struct client *client, const char *text)
{
    (void)!send(client->fd, text, strlen(text), MSG_NOSIGNAL);
}

static void send_bytewise(const struct client *client, const char *text)
{
    for (; *text != '\0'; text++)
        (void)!send(client->fd, text, 1, MSG_NOSIGNAL);
}

static void send_answer(const struct client *client, const char *fields, const char *body)
{
    ce_autofree char *text = NULL;
    if (asprintf(&text, "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n%s", fields, strlen(body),
                 body) >= 0)
        send_text(client, text);
}

/* Whether the connection stays open. */
static bool perform(struct server *server, const struct client *client,
                    const struct request *request, enum act act)
{
    switch (act) {
    case STALL:
        server->stall_begin = ce_now();
        server->stall_end = server->stall_begin + STALL_NS;
        ce_sleep_until(server->stall_end);
        send_answer(client, "", request->body);
        return true;
    case ANSWER:
        send_answer(client, "", request->body);
        return true;
    case ANSWER_CHUNKED: {
        char text[256];
        snprintf(
            text, sizeof text,
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            "2\r\n%.2s\r\n%zx\r\n%s\r\n0\r\n\r\n",
            request->body, strlen(request->body + 2), request->body + 2);
        send_bytewise(client, text);
        return true;
    }
    case ANSWER_AND_CLOSE:
        send_answer(client, "Connection: close\r\n", request->body);
        return false;
    case ANSWER_UNTIL_CLOSE:
        send_text(client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        send_text(client, request->body);
        return false;
    case ANSWER_AND_VANISH:
        send_answer(client, "", request->body);
        return false;
    case ANSWER_TOO_MUCH: {
        char text[256];
        snprintf(text, sizeof text,
                 "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%sHTTP/1.1 200 "
                 "OK\r\nContent-Length: 5\r\n\r\nrow=0",
                 strlen(request->body), request->body);
        send_text(client, text);
        return true;
    }
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
        send_answer(client, "", "no prediction today");
        return true;
    case EMPTY_BODY:
        send_answer(client, "", "");
        return true;
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

static void copy_slice(char *text, size_t size, struct ce_slice slice)
{
    snprintf(text, size, "%.*s", (int)slice.size, slice.data);
}

/* Takes one request out of what the client has sent: 1, or 0 when more must come. */
static int take_request(struct client *client, struct request *ret_request)
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

static void remember(struct server *server, const struct request *request)
{
    pthread_mutex_lock(&server->lock);
    if (server->request_count < REQUESTS_MAX)
        server->requests[server->request_count++] = *request;
    pthread_cond_signal(&server->came);
    pthread_mutex_unlock(&server->lock);
}

/* Whether the connection stays open. */
static bool serve(struct server *server, struct client *client)
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
        if (!perform(server, client, &request, act))
            return false;
    }
    return true;
}

static void accept_client(struct server *server)
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

static void *server_run(void *ctx)
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

static struct server *server_start(enum act (*script)(const struct server *,
                                                      const struct request *))
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

static void server_stop(struct server *server)
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
CE_DEFINE_CLEANUP(struct server, server_stop);

static bool server_waits_for_requests(struct server *server, int count)
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

static int server_connections(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    int count = server->connection_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

/* How often the server was asked for the operation. */
static int server_times_asked(struct server *server, const char *id)
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

static int read_row(const char *body, size_t size, double *ret_prediction)
{
    if (size != 5 || memcmp(body, "row=", 4) != 0)
        return -EINVAL;
    *ret_prediction = body[4] - '0';
    return 0;
}

static bool is_equal(double prediction, double label)
{
    return fabs(prediction - label) < 0.5;
}

static const struct ce_operations *rows(void)
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

CE_DEFINE_CLEANUP(struct ce_workload, ce_workload_stop);

static struct ce_workload *workload_at(const struct ce_endpoint *endpoint, double rate,
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
static uint64_t take_outcomes(struct ce_workload *workload, struct ce_outcome *outcomes,
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

/* A host that has so many sockets for us and no more. */
static int make_socket_while_any_left(void *ctx, int family, struct ce_error *err)
{
    int *left = ctx;
    if (*left == 0)
        return -EMFILE;
    --*left;
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static enum act always_answer(const struct server *server, const struct request *request)
{
    return ANSWER;
}

/* ---- tests ---- */

static void every_operation_is_answered(void)
{
    enum { N = 100 };
    CE_CLEANUP(server_stop_p) struct server *server = server_start(always_answer);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 1000, 5 * CE_SECOND);
    struct ce_outcome outcomes[N] = {0};
    ce_workload_begin(workload, CE_PHASE_FAULT, N);
    REQUIRE(take_outcomes(workload, outcomes, N) == N);
    for (int i = 0; i < N; i++) {
        CHECK(outcomes[i].phase == CE_PHASE_FAULT && outcomes[i].number == (uint64_t)i);
        CHECK(outcomes[i].ok && outcomes[i].status == 200 && outcomes[i].error == 0);
        CHECK(outcomes[i].prediction == i % ROWS);
        CHECK(outcomes[i].right == (i % ROWS != 7));
        CHECK(outcomes[i].latency_ns > 0 && outcomes[i].latency_ns < 5 * CE_SECOND);
    }
    CHECK(ce_workload_due(workload) == N);
    CHECK(ce_workload_in_flight(workload) == 0);
    struct ce_outcome none;
    CHECK(ce_workload_next(workload, &none, 0) == 0);
}

static void the_server_sees_exactly_the_expected_requests(void)
{
    enum { N = 25 };
    CE_CLEANUP(server_stop_p) struct server *server = server_start(always_answer);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 500, 5 * CE_SECOND);
    struct ce_outcome outcomes[N] = {0};
    for (int phase = 0; phase < CE_PHASE_COUNT_; phase++) {
        ce_workload_begin(workload, phase, N);
        REQUIRE(take_outcomes(workload, outcomes, N) == N);
        CHECK(outcomes[N - 1].phase == (enum ce_phase)phase);
    }
    CHECK(server->request_count == N * CE_PHASE_COUNT_);
    for (int phase = 0; phase < CE_PHASE_COUNT_; phase++)
        for (int i = 0; i < N; i++) {
            char id[16];
            snprintf(id, sizeof id, "%c-%d", "bfrv"[phase], i);
            CHECK(server_times_asked(server, id) == 1);
        }
    for (int i = 0; i < server->request_count; i++) {
        const struct request *request = &server->requests[i];
        char body[8];
        snprintf(body, sizeof body, "row=%d", atoi(request->id + 2) % ROWS);
        CHECK_TEXT(request->body, body);
        CHECK_TEXT(request->path, "/v2/models/churn/infer");
        CHECK(request->json);
    }
}

static void due_times_are_exact(void)
{
    enum { N = 30 };
    CE_CLEANUP(server_stop_p) struct server *server = server_start(always_answer);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 300, 5 * CE_SECOND);
    struct ce_outcome outcomes[N] = {0};
    int64_t before = ce_now();
    ce_workload_begin(workload, CE_PHASE_BASELINE, N);
    int64_t after = ce_now();
    REQUIRE(take_outcomes(workload, outcomes, N) == N);
    int64_t start = outcomes[2].due - 10 * CE_MILLISECOND; /* three intervals of 1/300 s */
    CHECK(start >= before && start <= after);
    for (int i = 0; i < N; i++)
        CHECK(outcomes[i].due == start + (int64_t)((i + 1) * 1e9 / 300));
}

static void an_idle_connection_is_used_again(void)
{
    enum { N = 20 };
    CE_CLEANUP(server_stop_p) struct server *server = server_start(always_answer);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 500, 5 * CE_SECOND);
    struct ce_outcome outcome;
    /* One at a time, so that one connection is enough. */
    for (int i = 0; i < N; i++) {
        ce_workload_begin(workload, CE_PHASE_BASELINE, 1);
        REQUIRE(ce_workload_next(workload, &outcome, ce_now() + PATIENCE) == 1);
        CHECK(outcome.ok);
    }
    CHECK(server_connections(server) == 1);
}

static enum act stall_at_tenth(const struct server *server, const struct request *request)
{
    return strcmp(request->id, "b-10") == 0 ? STALL : ANSWER;
}

static void a_stall_cannot_hide_itself(void)
{
    enum { N = 60 };
    CE_CLEANUP(server_stop_p) struct server *server = server_start(stall_at_tenth);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 200, 10 * CE_SECOND);
    struct ce_outcome outcomes[N] = {0};
    ce_workload_begin(workload, CE_PHASE_BASELINE, N);
    REQUIRE(take_outcomes(workload, outcomes, N) == N);
    int during = 0;
    for (int i = 0; i < N; i++) {
        CHECK(outcomes[i].ok);
        /* Due as if nothing had happened ... */
        CHECK(outcomes[i].due == outcomes[0].due + i * 5 * CE_MILLISECOND);
        /* ... and late by what was left of the stall. */
        if (outcomes[i].due >= server->stall_begin && outcomes[i].due < server->stall_end) {
            during++;
            CHECK(outcomes[i].due + outcomes[i].latency_ns >= server->stall_end);
        }
    }
    /* The server may have begun its stall late, on a busy machine, but it was 40 intervals long. */
    CHECK(during >= 30);
    /* Those that came due while others were unanswered went over connections of their own. */
    CHECK(server_connections(server) > 30);
}

static enum act silent_at_odd(const struct server *server, const struct request *request)
{
    return atoi(request->id + 2) % 2 ? SILENCE : ANSWER;
}

static void silence_is_a_timeout(void)
{
    enum { N = 10 };
    const int64_t timeout = 500 * CE_MILLISECOND;
    CE_CLEANUP(server_stop_p) struct server *server = server_start(silent_at_odd);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 200, timeout);
    struct ce_outcome outcomes[N] = {0};
    ce_workload_begin(workload, CE_PHASE_FAULT, N);
    REQUIRE(take_outcomes(workload, outcomes, N) == N);
    for (int i = 0; i < N; i++) {
        CHECK(outcomes[i].ok == (i % 2 == 0));
        CHECK(outcomes[i].error == (i % 2 ? ETIMEDOUT : 0));
        if (i % 2)
            CHECK(outcomes[i].latency_ns >= timeout &&
                  outcomes[i].latency_ns < timeout + 5 * CE_SECOND);
        else
            CHECK(outcomes[i].latency_ns < timeout);
    }
}

static enum act stall_at_first(const struct server *server, const struct request *request)
{
    return strcmp(request->id, "f-0") == 0 ? STALL : ANSWER;
}

static void a_late_answer_is_no_answer(void)
{
    CE_CLEANUP(server_stop_p) struct server *server = server_start(stall_at_first);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 1000, 100 * CE_MILLISECOND);
    struct ce_outcome outcome;
    ce_workload_begin(workload, CE_PHASE_FAULT, 1);
    REQUIRE(ce_workload_next(workload, &outcome, ce_now() + PATIENCE) == 1);
    CHECK(!outcome.ok && outcome.error == ETIMEDOUT);
    /* Its connection is gone with it: the answer, when it comes, is not taken for another's. */
    ce_workload_begin(workload, CE_PHASE_RECOVERY, 1);
    REQUIRE(ce_workload_next(workload, &outcome, ce_now() + PATIENCE) == 1);
    CHECK(outcome.phase == CE_PHASE_RECOVERY);
    CHECK(server_waits_for_requests(server, 2));
    CHECK(server_connections(server) == 2);
}

static void a_closed_port_is_refused(void)
{
    enum { N = 5 };
    struct server *server = server_start(always_answer);
    struct ce_endpoint gone = server->endpoint;
    server_stop(server);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&gone, 500, 5 * CE_SECOND);
    struct ce_outcome outcomes[N] = {0};
    ce_workload_begin(workload, CE_PHASE_FAULT, N);
    REQUIRE(take_outcomes(workload, outcomes, N) == N);
    for (int i = 0; i < N; i++)
        CHECK(!outcomes[i].ok && outcomes[i].error == ECONNREFUSED && outcomes[i].status == 0);
}

/* What each operation of a phase is answered with, one after another. */
static enum act by_number(const struct server *server, const struct request *request)
{
    static const enum act acts[] = {
        ANSWER,     RESET,          GARBAGE,        WRONG_BODY,         EMPTY_BODY,
        REFUSE_503, HALF_AN_ANSWER, ANSWER_CHUNKED, ANSWER_UNTIL_CLOSE, ANSWER_AND_CLOSE};
    return acts[atoi(request->id + 2)];
}

static void every_kind_of_failure_has_its_error(void)
{
    static const struct {
        bool ok;
        int status, error;
    } want[] = {
        {true, 200, 0},         {false, 0, ECONNRESET}, {false, 0, EPROTO},
        {false, 200, EBADMSG},  {false, 200, EBADMSG},  {false, 503, 0},
        {false, 0, ECONNRESET}, {true, 200, 0},         {true, 200, 0},
        {true, 200, 0},
    };
    enum { N = sizeof want / sizeof want[0] };
    CE_CLEANUP(server_stop_p) struct server *server = server_start(by_number);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 200, 5 * CE_SECOND);
    struct ce_outcome outcomes[N] = {0};
    ce_workload_begin(workload, CE_PHASE_FAULT, N);
    REQUIRE(take_outcomes(workload, outcomes, N) == N);
    for (int i = 0; i < N; i++) {
        CHECK(outcomes[i].ok == want[i].ok);
        CHECK(outcomes[i].status == want[i].status);
        CHECK(outcomes[i].error == want[i].error);
        if (outcomes[i].ok)
            CHECK(outcomes[i].prediction == i);
    }
}

static void operations_wait_for_a_connection_when_there_are_no_more(void)
{
    enum { N = 60 };
    CE_CLEANUP(server_stop_p) struct server *server = server_start(stall_at_tenth);
    int left = 2;
    struct ce_endpoint endpoint = server->endpoint;
    endpoint.make_socket = make_socket_while_any_left;
    endpoint.ctx = &left;
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&endpoint, 500, 10 * CE_SECOND);
    struct ce_outcome outcomes[N] = {0};
    ce_workload_begin(workload, CE_PHASE_BASELINE, N);
    REQUIRE(take_outcomes(workload, outcomes, N) == N);
    int during = 0;
    for (int i = 0; i < N; i++) {
        CHECK(outcomes[i].ok);
        /* Not even sent before the stall was over, and their latency counts all the same. */
        if (outcomes[i].due < server->stall_begin || outcomes[i].due >= server->stall_end)
            continue;
        during++;
        CHECK(outcomes[i].due + outcomes[i].latency_ns >= server->stall_end);
    }
    CHECK(during > 10);
    /* Both were in use while the server stood still, and what waited was sent in the order in which
     * it was due. */
    CHECK(server_connections(server) == 2);
    for (int i = 1; i < server->request_count; i++)
        CHECK(atoi(server->requests[i].id + 2) + 2 > atoi(server->requests[i - 1].id + 2));
}

static void without_any_connection_there_is_nothing_to_wait_for(void)
{
    int left = 0;
    struct ce_endpoint endpoint = ce_endpoint_loopback(0);
    endpoint.make_socket = make_socket_while_any_left;
    endpoint.ctx = &left;
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&endpoint, 500, 10 * CE_SECOND);
    struct ce_outcome outcome;
    ce_workload_begin(workload, CE_PHASE_BASELINE, 1);
    REQUIRE(ce_workload_next(workload, &outcome, ce_now() + PATIENCE) == 1);
    CHECK(!outcome.ok && outcome.error == EMFILE);
}

static enum act vanish(const struct server *server, const struct request *request)
{
    return ANSWER_AND_VANISH;
}

static void a_connection_closed_while_idle_is_no_error(void)
{
    enum { N = 200 };
    CE_CLEANUP(server_stop_p) struct server *server = server_start(vanish);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 2000, 5 * CE_SECOND);
    struct ce_outcome outcomes[N] = {0};
    ce_workload_begin(workload, CE_PHASE_BASELINE, N);
    REQUIRE(take_outcomes(workload, outcomes, N) == N);
    for (int i = 0; i < N; i++)
        CHECK(outcomes[i].ok && outcomes[i].error == 0);
    CHECK(server_connections(server) >= N);
}

/* Closes, without an answer, every connection on which something was answered before: to the client
 * this looks like one that was closed while idle. The stall makes it open several. */
static enum act reset_when_reused(const struct server *server, const struct request *request)
{
    for (int i = 0; i < server->request_count; i++)
        if (server->requests[i].connection == request->connection)
            return RESET;
    return strcmp(request->id, "b-0") == 0 ? STALL : ANSWER;
}

static void a_stale_connection_is_resent_once_on_a_new_one(void)
{
    CE_CLEANUP(server_stop_p) struct server *server = server_start(reset_when_reused);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 500, 5 * CE_SECOND);
    struct ce_outcome outcomes[5] = {0};
    ce_workload_begin(workload, CE_PHASE_BASELINE, 5);
    REQUIRE(take_outcomes(workload, outcomes, 5) == 5);
    int connections = server_connections(server);
    CHECK(connections > 1);
    ce_workload_begin(workload, CE_PHASE_FAULT, 1);
    REQUIRE(take_outcomes(workload, outcomes, 1) == 1);
    CHECK(outcomes[0].ok);
    CHECK(server_times_asked(server, "f-0") == 2);
    CHECK(server_connections(server) == connections + 1);
}

static enum act reset_the_fault(const struct server *server, const struct request *request)
{
    return request->id[0] == 'f' ? RESET : ANSWER;
}

static void a_new_connection_is_not_tried_again(void)
{
    CE_CLEANUP(server_stop_p) struct server *server = server_start(reset_the_fault);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 500, 5 * CE_SECOND);
    struct ce_outcome outcome;
    ce_workload_begin(workload, CE_PHASE_FAULT, 1);
    REQUIRE(ce_workload_next(workload, &outcome, ce_now() + PATIENCE) == 1);
    CHECK(outcome.error == ECONNRESET);
    CHECK(server_times_asked(server, "f-0") == 1);
    /* Over an idle connection once more, over a new one no more. */
    ce_workload_begin(workload, CE_PHASE_BASELINE, 1);
    REQUIRE(ce_workload_next(workload, &outcome, ce_now() + PATIENCE) == 1);
    CHECK(outcome.ok);
    ce_workload_begin(workload, CE_PHASE_FAULT, 1);
    REQUIRE(ce_workload_next(workload, &outcome, ce_now() + PATIENCE) == 1);
    CHECK(outcome.error == ECONNRESET);
    CHECK(server_times_asked(server, "f-0") == 3);
}

static enum act too_much(const struct server *server, const struct request *request)
{
    return ANSWER_TOO_MUCH;
}

static void an_unasked_answer_is_nobodys(void)
{
    CE_CLEANUP(server_stop_p) struct server *server = server_start(too_much);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 500, 5 * CE_SECOND);
    enum { N = 20 };
    struct ce_outcome outcomes[N] = {0};
    ce_workload_begin(workload, CE_PHASE_BASELINE, N);
    REQUIRE(take_outcomes(workload, outcomes, N) == N);
    for (int i = 0; i < N; i++)
        CHECK(outcomes[i].ok && outcomes[i].prediction == i % ROWS);
    /* Each time the connection was given up. */
    CHECK(server_connections(server) == N);
}

static void a_new_phase_ends_the_last_one(void)
{
    CE_CLEANUP(server_stop_p) struct server *server = server_start(always_answer);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 1000, 5 * CE_SECOND);
    struct ce_outcome outcome;
    uint64_t fault_count = 0, recovery_count = 0;
    ce_workload_begin(workload, CE_PHASE_FAULT, UINT64_MAX);
    while (fault_count < 20 && ce_workload_next(workload, &outcome, ce_now() + PATIENCE))
        fault_count++;
    ce_workload_begin(workload, CE_PHASE_RECOVERY, 20);
    while (recovery_count < 20 && ce_workload_next(workload, &outcome, ce_now() + PATIENCE)) {
        if (outcome.phase == CE_PHASE_RECOVERY) {
            CHECK(outcome.number < 20);
            recovery_count++;
        } else {
            fault_count++;
        }
    }
    CHECK(ce_workload_due(workload) == 20);
    CHECK(recovery_count == 20);
    /* None of the first phase was lost or came twice. */
    char last[32], next[32];
    snprintf(last, sizeof last, "f-%d", (int)fault_count - 1);
    snprintf(next, sizeof next, "f-%d", (int)fault_count);
    CHECK(server_times_asked(server, last) == 1);
    CHECK(server_times_asked(server, next) == 0);
    CHECK(server_times_asked(server, "v-0") == 1);
}

static void nothing_is_due_in_a_pause(void)
{
    CE_CLEANUP(server_stop_p) struct server *server = server_start(always_answer);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 1000, 5 * CE_SECOND);
    struct ce_outcome outcome;
    uint64_t count = 0;
    ce_workload_begin(workload, CE_PHASE_FAULT, UINT64_MAX);
    while (count < 20 && ce_workload_next(workload, &outcome, ce_now() + PATIENCE))
        count++;
    ce_workload_pause(workload);
    uint64_t due = ce_workload_due(workload);
    while (count < due && ce_workload_next(workload, &outcome, ce_now() + PATIENCE))
        count++;
    CHECK(count == due);
    /* 50 intervals more. */
    CHECK(ce_workload_next(workload, &outcome, ce_now() + 50 * CE_MILLISECOND) == 0);
    CHECK(ce_workload_due(workload) == due);
    CHECK(ce_workload_in_flight(workload) == 0);
}

static enum act silent_at_third(const struct server *server, const struct request *request)
{
    return strcmp(request->id, "f-2") == 0 ? SILENCE : ANSWER;
}

static void the_oldest_operation_is_known(void)
{
    CE_CLEANUP(server_stop_p) struct server *server = server_start(silent_at_third);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 1000, 300 * CE_MILLISECOND);
    CHECK(ce_workload_oldest_due(workload) == INT64_MAX);
    int64_t before = ce_now();
    ce_workload_begin(workload, CE_PHASE_FAULT, 10);
    CHECK(ce_workload_oldest_due(workload) >= before + CE_MILLISECOND);
    struct ce_outcome outcomes[10] = {0};
    /* All but the one that nobody answers. */
    REQUIRE(take_outcomes(workload, outcomes, 9) == 9);
    if (outcomes[2].due == 0)
        CHECK(ce_workload_oldest_due(workload) == outcomes[1].due + CE_MILLISECOND);
    REQUIRE(take_outcomes(workload, outcomes, 1) == 1);
    CHECK(ce_workload_oldest_due(workload) == INT64_MAX);
    /* While a phase without end runs there is always a next one. */
    ce_workload_begin(workload, CE_PHASE_RECOVERY, UINT64_MAX);
    CHECK(ce_workload_oldest_due(workload) < ce_now() + CE_SECOND);
    ce_workload_pause(workload);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return -1;
    while (readdir(folder))
        count++;
    (void)closedir(folder);
    return count;
}

static enum act stay_silent(const struct server *server, const struct request *request)
{
    return SILENCE;
}

static void stopping_gives_up_what_is_in_flight(void)
{
    enum { N = 20 };
    int before = open_descriptors();
    struct server *server = server_start(stay_silent);
    struct ce_workload *workload = workload_at(&server->endpoint, 1000, 60 * CE_SECOND);
    ce_workload_begin(workload, CE_PHASE_FAULT, N);
    CHECK(server_waits_for_requests(server, N));
    CHECK(ce_workload_in_flight(workload) == N);
    int64_t stopping = ce_now();
    ce_workload_stop(workload);
    CHECK(ce_now() - stopping < 10 * CE_SECOND);
    server_stop(server);
    CHECK(open_descriptors() == before);
    ce_workload_stop(NULL);
}

static void the_descriptor_shows_that_an_outcome_waits(void)
{
    CE_CLEANUP(server_stop_p) struct server *server = server_start(always_answer);
    CE_CLEANUP(ce_workload_stop_p)
    struct ce_workload *workload = workload_at(&server->endpoint, 1000, 5 * CE_SECOND);
    struct pollfd ready = {.fd = ce_workload_fd(workload), .events = POLLIN};
    CHECK(poll(&ready, 1, 0) == 0);
    ce_workload_begin(workload, CE_PHASE_BASELINE, 2);
    CHECK(poll(&ready, 1, (int)(PATIENCE / CE_MILLISECOND)) == 1);
    struct ce_outcome outcomes[2];
    CHECK(take_outcomes(workload, outcomes, 2) == 2);
    CHECK(poll(&ready, 1, 0) == 0);
}

static void a_workload_that_cannot_be_is_refused(void)
{
    static const struct ce_operations none = {
        .path = "/", .read_prediction = read_row, .is_right = is_equal};
    const struct {
        struct ce_workload_config config;
        const char *says;
    } cases[] = {
        {{.operations = rows(), .rate = 0, .timeout_ns = 1}, "rate: 0 "},
        {{.operations = rows(), .rate = -1, .timeout_ns = 1}, "rate: -1 "},
        {{.operations = rows(), .rate = NAN, .timeout_ns = 1}, "rate: nan "},
        {{.operations = rows(), .rate = INFINITY, .timeout_ns = 1}, "rate: inf "},
        {{.operations = rows(), .rate = 1e-9, .timeout_ns = 1},
         "rate: 1e-09 is outside 0.001..1e+06"},
        {{.operations = rows(), .rate = 1, .timeout_ns = 0}, "timeout: 0 s "},
        {{.operations = rows(), .rate = 1, .timeout_ns = INT64_MAX}, "timeout: 9.22337e+09 s "},
        {{.operations = &none, .rate = 1, .timeout_ns = 1}, "no labelled rows"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_workload *workload = NULL;
        struct ce_error err = {0};
        CHECK(ce_workload_start(&cases[i].config, &workload, &err) == -EINVAL);
        CHECK(strstr(err.message, cases[i].says) != NULL);
        CHECK(workload == NULL);
    }
}

static void phases_have_names_and_letters(void)
{
    CHECK_TEXT(ce_phase_name(CE_PHASE_BASELINE), "baseline");
    CHECK_TEXT(ce_phase_name(CE_PHASE_RECOVERY), "recovery");
    CHECK(ce_phase_letter(CE_PHASE_FAULT) == 'f' && ce_phase_letter(CE_PHASE_ROLLBACK) == 'r');
}

int main(void)
{
    TEST(every_operation_is_answered);
    TEST(the_server_sees_exactly_the_expected_requests);
    TEST(due_times_are_exact);
    TEST(an_idle_connection_is_used_again);
    TEST(a_stall_cannot_hide_itself);
    TEST(silence_is_a_timeout);
    TEST(a_late_answer_is_no_answer);
    TEST(a_closed_port_is_refused);
    TEST(every_kind_of_failure_has_its_error);
    TEST(operations_wait_for_a_connection_when_there_are_no_more);
    TEST(without_any_connection_there_is_nothing_to_wait_for);
    TEST(a_connection_closed_while_idle_is_no_error);
    TEST(a_stale_connection_is_resent_once_on_a_new_one);
    TEST(a_new_connection_is_not_tried_again);
    TEST(an_unasked_answer_is_nobodys);
    TEST(a_new_phase_ends_the_last_one);
    TEST(nothing_is_due_in_a_pause);
    TEST(the_oldest_operation_is_known);
    TEST(stopping_gives_up_what_is_in_flight);
    TEST(the_descriptor_shows_that_an_outcome_waits);
    TEST(a_workload_that_cannot_be_is_refused);
    TEST(phases_have_names_and_letters);
    return test_done();
}
