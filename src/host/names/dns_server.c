/* SPDX-License-Identifier: MIT */
/* One thread serves datagrams and the channel; each TCP connection has a thread of its own, which
 * waits for whole messages and so never mixes two answers. */
#include "host/names/dns_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"

enum {
    EXCHANGES_MAX = 256,  /* datagrams handed on whose answer has not come */
    CONNECTIONS_MAX = 64, /* over TCP, at once */
    SILENCE_S = 10,       /* for how long a TCP connection waits in the middle of something */
    IDLE_MS = 60 * 1000,  /* and between two queries */
    LISTEN_ATTEMPTS = 16,
};
static const int64_t answer_within = 10 * CE_SECOND;

struct exchange {
    int fd; /* -1: none */
    const struct ce_dns_stand_in *stand_in;
    struct sockaddr_storage client;
    int64_t since;
};

struct server {
    const struct ce_dns_service *service;
    struct ce_stream stream;
    _Atomic double share;
    atomic_uint_fast64_t seen, failed;
    atomic_int connections;
    struct exchange exchanges[EXCHANGES_MAX];
    uint8_t message[CE_DNS_MESSAGE_MAX]; /* of the thread that serves datagrams */
};

socklen_t ce_dns_address_size(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}

/* ---- sockets ---- */

static int bind_socket(struct ce_dns_stand_in *stand_in, int type)
{
    ce_autofd int fd = socket(stand_in->at.ss_family, type | SOCK_CLOEXEC, 0);
    socklen_t size = ce_dns_address_size(&stand_in->at);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&stand_in->at, size) < 0 ||
        getsockname(fd, (struct sockaddr *)&stand_in->at, &size) < 0 ||
        (type == SOCK_STREAM && listen(fd, SOMAXCONN) < 0))
        return -errno;
    return ce_take_fd(fd);
}

int ce_dns_listen(struct ce_dns_stand_in *stand_in, struct ce_error *err)
{
    const struct sockaddr_storage wanted = stand_in->at;
    /* A port that is free for datagrams may be taken for connections. */
    for (int attempt = 0; attempt < LISTEN_ATTEMPTS; attempt++) {
        stand_in->at = wanted;
        ce_autofd int datagrams = bind_socket(stand_in, SOCK_DGRAM);
        if (datagrams < 0)
            return ce_fail(err, -datagrams, "cannot open a name server's socket: %s",
                           strerror(-datagrams));
        int connections = bind_socket(stand_in, SOCK_STREAM);
        if (connections >= 0) {
            stand_in->datagrams = ce_take_fd(datagrams);
            stand_in->connections = connections;
            return 0;
        }
        if (connections != -EADDRINUSE)
            return ce_fail(err, -connections, "cannot open a name server's socket: %s",
                           strerror(-connections));
    }
    return ce_fail(err, EADDRINUSE, "cannot find a free port for a name server");
}

/* A socket connected to the server that is stood for. */
static int reach(const struct server *server, const struct ce_dns_stand_in *stand_in, int type)
{
    const struct timeval silence = {.tv_sec = SILENCE_S};
    uint32_t mark = server->service->mark;
    ce_autofd int fd = socket(stand_in->server.ss_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence) < 0 ||
        connect(fd, (const struct sockaddr *)&stand_in->server,
                ce_dns_address_size(&stand_in->server)) < 0)
        return -1;
    return ce_take_fd(fd);
}

/* ---- the decision ---- */

static bool is_meant(const struct ce_names *domains, const char *name)
{
    bool meant = domains->count == 0;
    for (size_t i = 0; !meant && i < domains->count; i++)
        meant = ce_dns_is_within(name, domains->names[i]);
    return meant;
}

/* Whether the query is to fail. Each one that can takes the next draw. */
static bool fails(struct server *server, const uint8_t *query, size_t size,
                  struct ce_dns_question *ret_question)
{
    const struct ce_dns_service *service = server->service;
    if (!ce_dns_read_question(query, size, ret_question) ||
        !ce_dns_can_fail(ret_question->type, service->failure) ||
        !is_meant(service->domains, ret_question->name))
        return false;
    uint64_t n = atomic_fetch_add(&server->seen, 1);
    bool chosen = ce_stream_uniform(&server->stream, n) < atomic_load(&server->share);
    if (chosen)
        (void)atomic_fetch_add(&server->failed, 1);
    return chosen;
}

static size_t write_failure(const struct server *server, const uint8_t *query,
                            const struct ce_dns_question *question, uint8_t *ret_answer)
{
    return ce_dns_write_failure(query, question, server->service->failure,
                                &server->service->address, ret_answer);
}

/* ---- datagrams ---- */

static void exchange_end(struct exchange *exchange)
{
    (void)close(exchange->fd);
    exchange->fd = -1;
}

/* A free one; when there is none, the oldest: its client has given up or asked again. */
static struct exchange *exchange_take(struct server *server)
{
    struct exchange *oldest = &server->exchanges[0];
    for (size_t i = 0; i < EXCHANGES_MAX; i++) {
        struct exchange *exchange = &server->exchanges[i];
        if (exchange->fd < 0)
            return exchange;
        if (exchange->since < oldest->since)
            oldest = exchange;
    }
    exchange_end(oldest);
    return oldest;
}

static void take_datagram(struct server *server, const struct ce_dns_stand_in *stand_in)
{
    struct sockaddr_storage client;
    socklen_t client_size = sizeof client;
    struct ce_dns_question question;
    uint8_t answer[CE_DNS_ANSWER_MAX];
    ssize_t n = recvfrom(stand_in->datagrams, server->message, sizeof server->message, MSG_DONTWAIT,
                         (struct sockaddr *)&client, &client_size);
    if (n < 0)
        return;
    if (fails(server, server->message, (size_t)n, &question)) {
        size_t size = write_failure(server, server->message, &question, answer);
        if (size > 0)
            (void)sendto(stand_in->datagrams, answer, size, 0, (const struct sockaddr *)&client,
                         client_size);
        return;
    }
    ce_autofd int fd = reach(server, stand_in, SOCK_DGRAM);
    if (fd < 0 || send(fd, server->message, (size_t)n, MSG_DONTWAIT) < 0)
        return; /* as if it were lost: the client asks again */
    *exchange_take(server) = (struct exchange){ce_take_fd(fd), stand_in, client, ce_now()};
}

static void take_answer(struct server *server, struct exchange *exchange)
{
    ssize_t n = recv(exchange->fd, server->message, sizeof server->message, MSG_DONTWAIT);
    if (n >= 0)
        (void)sendto(exchange->stand_in->datagrams, server->message, (size_t)n, 0,
                     (const struct sockaddr *)&exchange->client,
                     ce_dns_address_size(&exchange->client));
    exchange_end(exchange);
}

/* ---- connections ---- */

struct connection {
    struct server *server;
    const struct ce_dns_stand_in *stand_in;
    int client, upstream; /* upstream -1: not needed yet */
    uint8_t frame[2 + CE_DNS_MESSAGE_MAX];
};

static bool receive_all(int fd, uint8_t *to, size_t size)
{
    return recv(fd, to, size, MSG_WAITALL) == (ssize_t)size;
}

/* A message with its size before it. False when none came whole. */
static bool read_frame(int fd, uint8_t *frame, size_t *ret_size)
{
    if (!receive_all(fd, frame, 2))
        return false;
    *ret_size = (size_t)frame[0] << 8 | frame[1];
    return receive_all(fd, frame + 2, *ret_size);
}

static bool write_frame(int fd, const uint8_t *frame, size_t size)
{
    for (size_t sent = 0; sent < size + 2;) {
        ssize_t n = send(fd, frame + sent, size + 2 - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        sent += (size_t)n;
    }
    return true;
}

/* False when the connection is over. */
static bool take_query(struct connection *connection)
{
    struct ce_dns_question question;
    uint8_t answer[2 + CE_DNS_ANSWER_MAX];
    size_t size;
    if (!read_frame(connection->client, connection->frame, &size))
        return false;
    if (fails(connection->server, connection->frame + 2, size, &question)) {
        size = write_failure(connection->server, connection->frame + 2, &question, answer + 2);
        answer[0] = (uint8_t)(size >> 8);
        answer[1] = (uint8_t)size;
        return size == 0 || write_frame(connection->client, answer, size);
    }
    if (connection->upstream < 0)
        connection->upstream = reach(connection->server, connection->stand_in, SOCK_STREAM);
    return connection->upstream >= 0 && write_frame(connection->upstream, connection->frame, size);
}

static bool hand_back(struct connection *connection)
{
    size_t size;
    return read_frame(connection->upstream, connection->frame, &size) &&
           write_frame(connection->client, connection->frame, size);
}

static void *serve_connection(void *ctx)
{
    struct connection *connection = ctx;
    const struct timeval silence = {.tv_sec = SILENCE_S};
    (void)setsockopt(connection->client, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
    (void)setsockopt(connection->client, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence);
    for (bool open = true; open;) {
        struct pollfd fds[] = {{.fd = connection->client, .events = POLLIN},
                               {.fd = connection->upstream, .events = POLLIN}};
        int ready = poll(fds, CE_COUNT(fds), IDLE_MS);
        open = ready > 0 || (ready < 0 && errno == EINTR);
        if (open && fds[0].revents)
            open = take_query(connection);
        if (open && fds[1].revents)
            open = hand_back(connection);
    }
    (void)close(connection->client);
    if (connection->upstream >= 0)
        (void)close(connection->upstream);
    (void)atomic_fetch_sub(&connection->server->connections, 1);
    free(connection);
    return NULL;
}

static void take_connection(struct server *server, const struct ce_dns_stand_in *stand_in)
{
    pthread_t thread;
    ce_autofd int client = accept4(stand_in->connections, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0 || atomic_load(&server->connections) >= CONNECTIONS_MAX)
        return;
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return;
    connection->server = server;
    connection->stand_in = stand_in;
    connection->client = client;
    connection->upstream = -1;
    (void)atomic_fetch_add(&server->connections, 1);
    if (pthread_create(&thread, NULL, serve_connection, connection) != 0) {
        (void)atomic_fetch_sub(&server->connections, 1);
        free(connection);
        return;
    }
    (void)pthread_detach(thread);
    client = -1; /* the thread's */
}

/* ---- the service ---- */

/* False when the channel has ended. */
static bool take_order(struct server *server, int channel)
{
    struct ce_dns_order order;
    if (recv(channel, &order, sizeof order, 0) != (ssize_t)sizeof order)
        return false;
    if (order.share >= 0)
        atomic_store(&server->share, order.share);
    struct ce_dns_tally tally = {atomic_load(&server->seen), atomic_load(&server->failed)};
    return send(channel, &tally, sizeof tally, MSG_NOSIGNAL) == (ssize_t)sizeof tally;
}

/* The channel, two sockets for each server that is stood for, then the exchanges. */
enum { POLLS_MAX = 1 + 2 * CE_DNS_SERVERS_MAX + EXCHANGES_MAX };

static size_t list_polls(struct server *server, int channel, struct pollfd *polls)
{
    const struct ce_dns_service *service = server->service;
    size_t n = 0;
    polls[n++] = (struct pollfd){.fd = channel, .events = POLLIN};
    for (size_t i = 0; i < service->count; i++) {
        polls[n++] = (struct pollfd){.fd = service->stand_ins[i].datagrams, .events = POLLIN};
        polls[n++] = (struct pollfd){.fd = service->stand_ins[i].connections, .events = POLLIN};
    }
    for (size_t i = 0; i < EXCHANGES_MAX; i++) {
        struct exchange *exchange = &server->exchanges[i];
        if (exchange->fd >= 0 && ce_now() - exchange->since > answer_within)
            exchange_end(exchange);
        polls[n++] = (struct pollfd){.fd = exchange->fd, .events = POLLIN};
    }
    return n;
}

int ce_dns_serve(const struct ce_dns_service *service, int channel)
{
    struct server *server = calloc(1, sizeof *server);
    if (!server)
        return 1;
    server->service = service;
    server->stream = ce_stream_init(service->seed, "dns_failure/select", "queries");
    atomic_store(&server->share, service->share);
    for (size_t i = 0; i < EXCHANGES_MAX; i++)
        server->exchanges[i].fd = -1;
    (void)signal(SIGPIPE, SIG_IGN);

    for (;;) {
        struct pollfd polls[POLLS_MAX];
        size_t n = list_polls(server, channel, polls), first = 1 + 2 * service->count;
        if (poll(polls, n, SILENCE_S * 1000) <= 0)
            continue;
        if (polls[0].revents && !take_order(server, channel))
            return 0; /* `server` stays: the threads of connections use it */
        /* Answers first: their exchanges may be taken by the queries below. */
        for (size_t i = 0; i < EXCHANGES_MAX; i++)
            if (polls[first + i].revents)
                take_answer(server, &server->exchanges[i]);
        for (size_t i = 0; i < service->count; i++) {
            if (polls[1 + 2 * i].revents)
                take_datagram(server, &service->stand_ins[i]);
            if (polls[2 + 2 * i].revents)
                take_connection(server, &service->stand_ins[i]);
        }
    }
}
