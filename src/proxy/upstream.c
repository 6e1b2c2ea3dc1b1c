/* SPDX-License-Identifier: MIT */
/* Connections to a route's upstream, kept for reuse while idle.
 *
 * A server may close an idle connection at any time. What the event loop has seen of that takes the
 * connection out of the pool at once; one that was idle for longer than a moment is also looked at
 * before it is used again. The rest is a race that no client can win; there the exchange may try
 * once more, see response.c. */
#include "proxy/proxy_internal.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"

#define LOOK_AFTER_NS (10 * CE_MILLISECOND)

static void upstream_close(struct ce_upstream *upstream)
{
    ce_conn_close(upstream->target->lane->worker, &upstream->conn);
}

static void pool_remove(struct ce_upstream *upstream)
{
    LIST_REMOVE(upstream, link);
    upstream->target->pool_size--;
}

void ce_pool_close(struct ce_target *target)
{
    struct ce_upstream *upstream;
    while ((upstream = LIST_FIRST(&target->pool))) {
        pool_remove(upstream);
        upstream_close(upstream);
    }
}

/* Whether nothing has come on an idle connection: neither its end nor bytes that nobody asked for.
 */
static bool is_quiet(const struct ce_upstream *upstream)
{
    char byte;
    if (upstream->conn.tls)
        return ce_tls_is_quiet(upstream->conn.tls);
    return recv(upstream->conn.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static struct ce_upstream *pool_take(struct ce_target *target)
{
    struct ce_upstream *upstream;
    while ((upstream = LIST_FIRST(&target->pool))) {
        pool_remove(upstream);
        if (target->lane->worker->now - upstream->idle_since < LOOK_AFTER_NS ||
            is_quiet(upstream)) {
            upstream->reused = true;
            return upstream;
        }
        upstream_close(upstream);
    }
    return NULL;
}

static int upstream_new(struct ce_target *target, size_t tried, struct ce_upstream **ret_upstream,
                        struct ce_error *err)
{
    if (target->addresses.count == 0)
        return ce_fail(err, EHOSTUNREACH, "its name was not looked up yet");
    struct ce_upstream *upstream = calloc(1, sizeof *upstream);
    if (!upstream)
        return ce_fail_memory(err);
    upstream->target = target;
    upstream->connecting = true;
    upstream->address = (target->first + tried) % target->addresses.count;
    struct ce_endpoint at =
        ce_endpoint_at(&target->endpoint, &target->addresses, upstream->address);
    int fd = ce_endpoint_connect(&at, err);
    if (fd < 0) {
        free(upstream);
        return fd;
    }
    int r = ce_conn_open(target->lane->worker, &upstream->conn, CE_CONN_UPSTREAM, fd);
    if (r < 0) {
        free(upstream);
        return ce_fail(err, -r, "cannot watch a connection");
    }
    if (at.tls && ce_conn_secure(&upstream->conn, at.tls, CE_TLS_HTTP1) < 0) {
        upstream_close(upstream);
        return ce_fail_memory(err);
    }
    if (tried == 0)
        target->refusal[0] = '\0';
    *ret_upstream = upstream;
    return 0;
}

int ce_upstream_take(struct ce_client *client, bool fresh, struct ce_error *err)
{
    struct ce_upstream *upstream = fresh ? NULL : pool_take(client->target);
    if (!upstream)
        CE_TRY(upstream_new(client->target, client->tried, &upstream, err));
    upstream->client = client;
    client->upstream = upstream;
    return 0;
}

void ce_upstream_release(struct ce_client *client, bool reusable)
{
    struct ce_upstream *upstream = client->upstream;
    if (!upstream)
        return;
    struct ce_target *target = upstream->target;
    client->upstream = NULL;
    upstream->client = NULL;
    const struct ce_conn *conn = &upstream->conn;
    if (!reusable || !upstream->keep_alive || conn->ending || conn->ended || conn->broken ||
        conn->write_failed || ce_buffer_size(&conn->in) > 0 || target->pool_size == CE_POOL_MAX ||
        (conn->tls && !is_quiet(upstream))) { /* what TLS has read ahead is not reported any more */
        upstream_close(upstream);
        return;
    }
    upstream->idle_since = target->lane->worker->now;
    LIST_INSERT_HEAD(&target->pool, upstream, link);
    target->pool_size++;
}

int ce_upstream_connected(struct ce_upstream *upstream)
{
    if (!upstream->connecting)
        return 1;
    int r = ce_target_connect(upstream->target, &upstream->conn);
    if (r <= 0)
        return r;
    upstream->connecting = false;
    upstream->target->first = upstream->address;
    return 1;
}

void ce_upstream_event(struct ce_upstream *upstream, unsigned events)
{
    ce_conn_note(&upstream->conn, events);
    if (upstream->client) {
        ce_client_run(upstream->client);
        return;
    }
    if (upstream->conn.readable && !is_quiet(upstream)) {
        pool_remove(upstream);
        upstream_close(upstream);
        return;
    }
    upstream->conn.readable = false;
}
