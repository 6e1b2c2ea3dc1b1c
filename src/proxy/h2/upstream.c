/* SPDX-License-Identifier: MIT */
/* Connections to a target. They stay until the target closes them; most often one is enough.
 * Streams are opened at once, also while it is still being connected: the session keeps them until
 * then. */
#include "proxy/h2/h2.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

/* For how long an address is waited for while there is another one to try. */
#define CONNECT_NS (2 * CE_SECOND)

enum { CONNECTIONS_MAX = 8 }; /* of one lane to one target */

void ce_h2_upstream_close(struct ce_h2_conn *conn, int reason)
{
    LIST_REMOVE(conn, entry);
    conn->target->h2_count--;
    ce_timer_clear(&conn->lane->worker->timers, &conn->timer);
    ce_h2_link_close(conn);
    struct ce_h2_stream *stream;
    while ((stream = ce_h2_session_detach(&conn->session))) {
        struct ce_h2_exchange *exchange =
            (struct ce_h2_exchange *)(void *)((char *)stream - offsetof(struct ce_h2_exchange, up));
        exchange->lost = reason;
        ce_h2_exchange_run(exchange);
    }
    ce_h2_session_close(&conn->session);
    free(conn);
}

void ce_h2_upstreams_drain(struct ce_target *target)
{
    struct ce_h2_conn *conn;
    LIST_FOREACH(conn, &target->h2, entry)
    {
        conn->session.going_away = true;
        ce_h2_session_drain(&conn->session);
    }
}

void ce_h2_upstreams_done(struct ce_target *target)
{
    struct ce_h2_conn *conn;
    while ((conn = LIST_FIRST(&target->h2)))
        ce_h2_upstream_close(conn, 0);
}

static int link_open(struct ce_h2_conn *conn, int fd)
{
    struct ce_h2_link *link = calloc(1, sizeof *link);
    if (!link) {
        (void)close(fd);
        return -ENOMEM;
    }
    struct ce_tls *tls = conn->target->endpoint.tls;
    int r = ce_conn_open(conn->lane->worker, &link->conn, CE_CONN_H2, fd);
    if (r < 0) {
        free(link);
        return r;
    }
    if (tls && ce_conn_secure(&link->conn, tls, CE_TLS_HTTP2) < 0) {
        ce_conn_close(conn->lane->worker, &link->conn);
        return -ENOMEM;
    }
    link->owner = conn;
    conn->link = link;
    return 0;
}

/* Begins to connect to the next address that may do, or to look for more of them. */
static int connect_next(struct ce_h2_conn *conn, int code, struct ce_error *err)
{
    struct ce_target *target = conn->target;
    conn->connecting = true;
    if (conn->tried == 0)
        target->refusal[0] = '\0';
    for (; conn->tried < target->addresses.count; conn->tried++) {
        size_t n = (target->first + conn->tried) % target->addresses.count;
        struct ce_endpoint at = ce_endpoint_at(&target->endpoint, &target->addresses, n);
        int fd = ce_endpoint_connect(&at, NULL);
        code = fd < 0 ? fd : link_open(conn, fd);
        if (code < 0)
            continue;
        struct ce_worker *worker = conn->lane->worker;
        if (conn->tried + 1 < target->addresses.count)
            (void)ce_timer_set(&worker->timers, &conn->timer, worker->now + CONNECT_NS);
        return 0;
    }
    if (!conn->asked && ce_target_ask(target)) {
        conn->asked = conn->asking = true;
        return 0;
    }
    return ce_fail(err, -code, "%s", strerror(-code));
}

static void refused(struct ce_h2_conn *conn, int code)
{
    ce_h2_link_close(conn);
    conn->tried++;
    int r = connect_next(conn, -code, NULL);
    if (r < 0)
        ce_h2_upstream_close(conn, -r);
}

static void connect_timer(struct ce_timer *timer)
{
    struct ce_h2_conn *conn =
        (struct ce_h2_conn *)(void *)((char *)timer - offsetof(struct ce_h2_conn, timer));
    if (conn->connecting && conn->link)
        refused(conn, ETIMEDOUT);
}

bool ce_h2_upstream_connected(struct ce_h2_conn *conn)
{
    if (!conn->connecting)
        return true;
    if (!conn->link)
        return false;
    struct ce_target *target = conn->target;
    int r = ce_target_connect(target, &conn->link->conn);
    if (r == 0)
        return false;
    if (r > 0) {
        conn->connecting = false;
        target->first = (target->first + conn->tried) % target->addresses.count;
        return true;
    }
    refused(conn, -r);
    return false;
}

void ce_h2_upstream_found(struct ce_target *target, int result)
{
    struct ce_h2_conn *next;
    for (struct ce_h2_conn *conn = LIST_FIRST(&target->h2); conn; conn = next) {
        next = LIST_NEXT(conn, entry);
        if (!conn->asking)
            continue;
        conn->asking = false;
        conn->tried = 0;
        int r = result < 0 ? result : connect_next(conn, -EHOSTUNREACH, NULL);
        if (r < 0)
            ce_h2_upstream_close(conn, -r);
    }
}

static struct ce_h2_conn *upstream_new(struct ce_target *target, struct ce_error *err)
{
    struct ce_h2_conn *conn = calloc(1, sizeof *conn);
    struct ce_worker *worker = target->lane->worker;
    if (!conn || ce_h2_session_open(&conn->session, &worker->h2, &worker->blocks, NULL) < 0) {
        free(conn);
        (void)ce_fail_memory(err);
        return NULL;
    }
    conn->lane = target->lane;
    conn->target = target;
    conn->timer.fire = connect_timer;
    if (connect_next(conn, -EHOSTUNREACH, err) < 0) {
        ce_h2_session_close(&conn->session);
        free(conn);
        return NULL;
    }
    LIST_INSERT_HEAD(&target->h2, conn, entry);
    target->h2_count++;
    return conn;
}

struct ce_h2_conn *ce_h2_upstream_take(struct ce_target *target, struct ce_error *err)
{
    struct ce_h2_conn *conn, *least = NULL;
    LIST_FOREACH(conn, &target->h2, entry)
    {
        if (ce_h2_session_has_room(&conn->session))
            return conn;
        if (!conn->session.going_away &&
            (!least || conn->session.stream_count < least->session.stream_count))
            least = conn;
    }
    if (least && target->h2_count >= CONNECTIONS_MAX)
        return least; /* the session keeps the stream until there is room */
    return upstream_new(target, err);
}
