/* SPDX-License-Identifier: MIT */
/* A tunnel: after an upgrade or CONNECT that the upstream agreed to, the bytes of the two
 * connections go both ways until both have ended. Each way holds one buffer; while that is not
 * empty, nothing is read into it. The end of one way is passed on, and leaves the other one open.
 */
#include "proxy/proxy_internal.h"

#include <sys/socket.h>

/* Moves bytes one way. Whether something moved, or -ECONNRESET: one of the two is broken. */
static int move(struct ce_worker *worker, struct ce_conn *from, struct ce_conn *to)
{
    bool moved = false;
    if (ce_buffer_size(&from->in) == 0 && !from->ended) {
        int n = ce_conn_read(worker, from, CE_BLOCK_SIZE);
        if (n < 0 && !from->ended)
            return -ECONNRESET;
        moved = n != 0;
    }
    size_t size = ce_buffer_size(&from->in);
    if (size > 0) {
        ssize_t n = ce_conn_write(to, ce_buffer_bytes(&from->in), size);
        if (n < 0)
            return -ECONNRESET;
        ce_buffer_drop(&from->in, &worker->blocks, (size_t)n);
        return moved || n > 0;
    }
    if (from->ended && !to->shut && ce_conn_shut(to) != 0)
        moved = true;
    return moved;
}

enum ce_step ce_tunnel_begin(struct ce_client *client)
{
    const int on = 1;
    /* A peer that vanishes without a word would be waited for for ever. */
    (void)setsockopt(client->conn.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(client->upstream->conn.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    client->lane->counts.responses += client->counted;
    ce_client_forget(client);
    ce_buffer_drop(&client->conn.in, &client->lane->worker->blocks, client->request_size);
    client->request_size = client->request_sent = 0;
    client->stage = CE_STAGE_TUNNEL;
    return CE_GO;
}

enum ce_step ce_tunnel_run(struct ce_client *client)
{
    if (!ce_client_flush(client))
        return CE_WAIT;
    struct ce_worker *worker = client->lane->worker;
    struct ce_conn *upstream = &client->upstream->conn;
    int up = move(worker, &client->conn, upstream);
    int down = up < 0 ? up : move(worker, upstream, &client->conn);
    if (down < 0) {
        ce_client_reset(client);
        return CE_WAIT;
    }
    if (client->conn.shut && upstream->shut) {
        ce_client_close(client);
        return CE_WAIT;
    }
    return up > 0 || down > 0 ? CE_GO : CE_WAIT;
}
