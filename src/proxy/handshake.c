/* SPDX-License-Identifier: MIT */
/* The beginning of a client's connection over TLS: until the handshake is done, which says whether
 * HTTP/1.1 or HTTP/2 follows. */
#include "proxy/proxy_internal.h"

/* HTTP/2 first where the upstream speaks nothing else. Where it may speak both, HTTP/1.1 does for
 * all clients but those that only know HTTP/2. */
static const char *offer(const struct ce_route *route)
{
    if (route->http2)
        return CE_TLS_HTTP2 CE_TLS_HTTP1;
    return route->upstream.tls ? CE_TLS_HTTP1 CE_TLS_HTTP2 : CE_TLS_HTTP1;
}

int ce_handshake_begin(struct ce_client *client)
{
    const struct ce_route *route = client->lane->route;
    client->stage = CE_STAGE_HANDSHAKE;
    return ce_conn_secure(&client->conn, route->tls, offer(route));
}

/* What TLS has to say about it is said; whatever the client sends now is read away. */
static enum ce_step fail(struct ce_client *client)
{
    client->lane->counts.errors++;
    ce_conn_bare(&client->conn);
    return ce_client_leave(client);
}

static enum ce_step answer_in_plain(struct ce_client *client)
{
    ce_conn_bare(&client->conn);
    client->counted = true;
    client->keep_alive = false;
    return ce_client_fail(client, 400, "This port speaks TLS: ask with https.\n");
}

enum ce_step ce_handshake_run(struct ce_client *client)
{
    struct ce_error err;
    int r = ce_conn_handshake(&client->conn, &err);
    if (r == 0)
        return CE_WAIT;
    if (r == -EPROTOTYPE)
        return answer_in_plain(client);
    if (r == -ECONNRESET) { /* it may only have looked whether the port is open */
        ce_client_close(client);
        return CE_WAIT;
    }
    if (r < 0)
        return fail(client);
    client->progress = client->lane->worker->now;
    client->stage = CE_STAGE_HEAD;
    if (!ce_tls_is_http2(client->conn.tls))
        return CE_GO;
    ce_client_change(client);
    return CE_WAIT;
}

void ce_handshake_timer(struct ce_client *client)
{
    int64_t at = client->progress + client->lane->route->head_timeout_ns;
    if (client->lane->worker->now < at) {
        ce_client_alarm(client, at);
        return;
    }
    client->lane->counts.errors++;
    ce_client_close(client);
}
