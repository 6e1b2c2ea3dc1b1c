/* SPDX-License-Identifier: MIT */
/* Sockets under sessions: reading, writing, and the ends of connections. */
#include "proxy/h2/h2.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"

enum {
    BUDGET = 16,        /* reads of one connection before others come first */
    SESSIONS_MAX = 256, /* in one round of events */
};

/* For how long a client may go on sending after the last frame. */
#define LEAVE_NS (2 * CE_SECOND)

/* ---- the socket ---- */

void ce_h2_link_close(struct ce_h2_conn *conn)
{
    if (!conn->link)
        return;
    conn->link->owner = NULL;
    ce_conn_close(conn->lane->worker, &conn->link->conn);
    conn->link = NULL;
}

void ce_h2_event(struct ce_conn *conn, unsigned events)
{
    ce_conn_note(conn, events);
    ce_h2_session_wake(&((struct ce_h2_link *)conn)->owner->session);
}

/* ---- clients ---- */

static void watch_idle(struct ce_h2_conn *conn)
{
    int64_t idle_ns = conn->lane->route->idle_ns;
    if (idle_ns > 0)
        (void)ce_timer_set(&conn->lane->worker->timers, &conn->timer, conn->progress + idle_ns);
}

/* A client that asks for nothing is told to go; one that was told, and does not, is made to. */
static void client_timer(struct ce_timer *timer)
{
    struct ce_h2_conn *conn =
        (struct ce_h2_conn *)(void *)((char *)timer - offsetof(struct ce_h2_conn, timer));
    int64_t now = conn->lane->worker->now;
    if (conn->leaving) {
        ce_h2_client_close(conn);
        return;
    }
    if (!LIST_EMPTY(&conn->exchanges))
        conn->progress = now;
    if (now - conn->progress >= conn->lane->route->idle_ns)
        ce_h2_client_drain(conn);
    else
        watch_idle(conn);
}

int ce_h2_client_start(struct ce_lane *lane, struct ce_conn *conn, uint64_t number)
{
    struct ce_worker *worker = lane->worker;
    struct ce_h2_conn *client = calloc(1, sizeof *client);
    struct ce_h2_link *link = calloc(1, sizeof *link);
    int r = client && link ? ce_h2_session_open(&client->session, &worker->h2, &worker->blocks,
                                                ce_h2_exchange_new)
                           : -ENOMEM;
    if (r >= 0) {
        r = ce_conn_move(worker, conn, &link->conn, CE_CONN_H2);
        if (r < 0)
            ce_h2_session_close(&client->session);
    }
    if (r < 0) {
        free(client);
        free(link);
        return r;
    }
    client->lane = lane;
    client->link = link;
    client->number = number;
    client->timer.fire = client_timer;
    client->progress = worker->now;
    link->owner = client;
    LIST_INSERT_HEAD(&lane->h2_clients, client, entry);
    worker->client_count++;
    watch_idle(client);
    if (worker->draining)
        ce_h2_client_drain(client);
    return 0;
}

void ce_h2_client_close(struct ce_h2_conn *conn)
{
    struct ce_h2_exchange *exchange;
    while ((exchange = LIST_FIRST(&conn->exchanges)))
        ce_h2_exchange_end(exchange);
    ce_timer_clear(&conn->lane->worker->timers, &conn->timer);
    LIST_REMOVE(conn, entry);
    conn->lane->worker->client_count--;
    ce_h2_link_close(conn);
    ce_h2_session_close(&conn->session);
    free(conn);
}

void ce_h2_client_reset(struct ce_h2_conn *conn)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(conn->link->conn.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ce_h2_client_close(conn);
}

void ce_h2_client_drain(struct ce_h2_conn *conn)
{
    ce_h2_session_drain(&conn->session);
}

/* ---- going on ---- */

static struct ce_h2_exchange *exchange_of(const struct ce_h2_conn *conn,
                                          struct ce_h2_stream *stream)
{
    size_t at =
        conn->target ? offsetof(struct ce_h2_exchange, up) : offsetof(struct ce_h2_exchange, down);
    return (struct ce_h2_exchange *)(void *)((char *)stream - at);
}

static void run_touched(struct ce_h2_conn *conn)
{
    struct ce_h2_stream *stream;
    while ((stream = ce_h2_session_touched(&conn->session))) {
        struct ce_h2_exchange *exchange = exchange_of(conn, stream);
        if (conn->target)
            exchange->progress = conn->lane->worker->now;
        ce_h2_exchange_run(exchange);
    }
}

/* Reads once, if the peer takes what it is sent: a peer that only asks is not heard. 1, 0, or
 * negative: nothing more will come. */
static int receive(struct ce_h2_conn *conn)
{
    struct ce_worker *worker = conn->lane->worker;
    struct ce_conn *socket = &conn->link->conn;
    int n = 1;
    if (ce_buffer_size(&socket->in) == 0) {
        if (ce_buffer_size(&conn->session.out) > 0 && !socket->writable && !socket->write_failed)
            return 0;
        n = ce_conn_read(worker, socket, CE_BLOCK_SIZE);
    }
    if (n <= 0)
        return n;
    int r = ce_h2_session_feed(&conn->session, ce_buffer_bytes(&socket->in),
                               ce_buffer_size(&socket->in), worker->now);
    ce_buffer_drop(&socket->in, &worker->blocks, ce_buffer_size(&socket->in));
    return r < 0 ? r : 1;
}

/* Writes once. Likewise. */
static int transmit(struct ce_h2_conn *conn)
{
    struct ce_h2_session *session = &conn->session;
    CE_TRY(ce_h2_session_fill(session));
    size_t size = ce_buffer_size(&session->out);
    if (size == 0)
        return 0;
    ssize_t n = ce_conn_write(&conn->link->conn, ce_buffer_bytes(&session->out), size);
    if (n < 0) /* an upstream may have answered before it went: what it sent is still to be read */
        return conn->target ? 0 : -ECONNRESET;
    ce_buffer_drop(&session->out, session->blocks, (size_t)n);
    return n > 0;
}

/* What more comes from a client that is told all is read away: a close with bytes unread would be a
 * reset, which takes with it what the client has not read yet. */
static void read_away(struct ce_h2_conn *conn)
{
    struct ce_worker *worker = conn->lane->worker;
    struct ce_conn *socket = &conn->link->conn;
    int n;
    if (!socket->shut)
        (void)ce_conn_shut(socket);
    while ((n = ce_conn_read(worker, socket, CE_BLOCK_SIZE)) > 0)
        ce_buffer_drop(&socket->in, &worker->blocks, ce_buffer_size(&socket->in));
    if (n < 0)
        ce_h2_client_close(conn);
}

static void end(struct ce_h2_conn *conn, bool is_gone)
{
    if (conn->target) {
        ce_h2_upstream_close(conn, 0);
        return;
    }
    struct ce_worker *worker = conn->lane->worker;
    if (is_gone || ce_timer_set(&worker->timers, &conn->timer, worker->now + LEAVE_NS) < 0) {
        ce_h2_client_close(conn);
        return;
    }
    conn->leaving = true;
    read_away(conn);
}

static void run(struct ce_h2_conn *conn)
{
    if (conn->leaving) {
        read_away(conn);
        return;
    }
    if (conn->target && !ce_h2_upstream_connected(conn))
        return;
    int received = 1, sent = 1;
    for (int budget = BUDGET; budget > 0 && received >= 0 && (received > 0 || sent > 0); budget--) {
        received = receive(conn);
        run_touched(conn);
        sent = transmit(conn);
        if (sent < 0)
            received = sent;
    }
    bool is_gone = received < 0;
    if (is_gone || ce_h2_session_is_done(&conn->session))
        end(conn, is_gone);
    else if (received > 0 || sent > 0)
        ce_h2_session_wake(&conn->session);
}

void ce_h2_run(struct ce_worker *worker)
{
    struct ce_h2_session *session;
    for (int i = 0; i < SESSIONS_MAX && (session = TAILQ_FIRST(&worker->h2)); i++) {
        TAILQ_REMOVE(&worker->h2, session, queue_link);
        session->queued = false;
        run((struct ce_h2_conn *)session);
    }
}
