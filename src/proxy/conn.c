/* SPDX-License-Identifier: MIT */
#include "proxy/proxy_internal.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

#define STREAM_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

int ce_conn_open(struct ce_worker *worker, struct ce_conn *conn, enum ce_conn_kind kind, int fd)
{
    conn->kind = kind;
    conn->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (kind == CE_CONN_CLIENT || kind == CE_CONN_UPSTREAM || kind == CE_CONN_H2)
        event.events = STREAM_EVENTS;
    if (kind == CE_CONN_CLOCK)
        event.events |= EPOLLET; /* it is never read */
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        int code = errno;
        (void)close(fd);
        conn->fd = -1;
        return -code;
    }
    return 0;
}

int ce_conn_secure(struct ce_conn *conn, struct ce_tls *tls, const char *speaks)
{
    conn->tls = ce_tls_open(tls, conn->fd, speaks);
    return conn->tls ? 0 : -ENOMEM;
}

void ce_conn_bare(struct ce_conn *conn)
{
    ce_tls_close(conn->tls);
    conn->tls = NULL;
    conn->readable = true;
}

int ce_conn_handshake(struct ce_conn *conn, struct ce_error *err)
{
    int r = ce_tls_handshake(conn->tls, err);
    if (r > 0)
        conn->readable = conn->writable = true; /* bytes may have come along with its end */
    return r;
}

int ce_conn_connect(struct ce_conn *conn, struct ce_error *err)
{
    if (!conn->writable)
        return 0;
    int code = 0;
    socklen_t size = sizeof code;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
        code = errno;
    if (code != 0)
        return ce_fail(err, code, "%s", strerror(code));
    return conn->tls ? ce_conn_handshake(conn, err) : 1;
}

void ce_conn_note(struct ce_conn *conn, unsigned events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        conn->writable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->ending = true;
    /* A client that is gone in both directions has no use for an answer; unless one of the two was
     * the proxy's. An upstream may have answered before it went: what it sent is still to be read.
     */
    if (conn->kind == CE_CONN_CLIENT && events & (conn->shut ? EPOLLERR : EPOLLHUP | EPOLLERR))
        conn->broken = true;
    if (!conn->tls)
        return;
    if (conn->readable)
        ce_tls_note(conn->tls, conn->ending);
    if (ce_tls_is_crossed(conn->tls))
        conn->readable = conn->writable = true;
}

/* ce_conn_read() over TLS. What comes may have been in the way of a write: then that goes on in an
 * event of its own. */
static int read_secure(struct ce_worker *worker, struct ce_conn *conn, size_t room)
{
    bool crossed = ce_tls_is_crossed(conn->tls);
    ssize_t n = ce_tls_read(conn->tls, conn->in.data + conn->in.end, room);
    if (crossed && !ce_tls_is_crossed(conn->tls)) {
        struct epoll_event event = {.events = STREAM_EVENTS, .data.ptr = conn};
        (void)epoll_ctl(worker->epoll, EPOLL_CTL_MOD, conn->fd, &event);
    }
    if (n > 0) {
        conn->in.end += (size_t)n;
        return (int)n;
    }
    ce_buffer_drop(&conn->in, &worker->blocks, 0);
    conn->readable = false;
    if (n == -ENODATA)
        conn->ended = true;
    else if (n < 0)
        conn->broken = true;
    return n < 0 ? -1 : 0;
}

int ce_conn_read(struct ce_worker *worker, struct ce_conn *conn, size_t limit)
{
    if (conn->ended || conn->broken)
        return -1;
    if (!conn->readable)
        return 0;
    size_t room = ce_buffer_room(&conn->in, &worker->blocks, limit);
    if (room == 0) {
        conn->broken = true;
        return -1;
    }
    if (conn->tls)
        return read_secure(worker, conn, room);
    ssize_t n;
    do
        n = recv(conn->fd, conn->in.data + conn->in.end, room, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        conn->in.end += (size_t)n;
        /* A short read has emptied the socket: the next bytes, or the end, come with an event of
         * their own. */
        if ((size_t)n < room && !conn->ending)
            conn->readable = false;
        return (int)n;
    }
    int code = errno;
    ce_buffer_drop(&conn->in, &worker->blocks, 0); /* an empty buffer goes back */
    conn->readable = false;
    if (n < 0 && code == EAGAIN)
        return 0;
    if (n == 0)
        conn->ended = true;
    else
        conn->broken = true;
    return -1;
}

ssize_t ce_conn_write(struct ce_conn *conn, const char *data, size_t size)
{
    if (conn->broken || conn->write_failed)
        return -1;
    if (!conn->writable)
        return 0;
    ssize_t n;
    if (conn->tls) {
        n = ce_tls_write(conn->tls, data, size);
        errno = EPIPE;
    } else {
        do
            n = send(conn->fd, data, size, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
    }
    if (n >= 0) {
        if ((size_t)n < size)
            conn->writable = false;
        return n;
    }
    conn->writable = false;
    if (errno == EAGAIN)
        return 0;
    conn->write_failed = true;
    return -1;
}

int ce_conn_shut(struct ce_conn *conn)
{
    if (conn->tls && !ce_tls_shut(conn->tls)) {
        conn->writable = false;
        return 0;
    }
    conn->shut = true;
    return shutdown(conn->fd, SHUT_WR) < 0 ? -errno : 1;
}

int ce_conn_move(struct ce_worker *worker, struct ce_conn *conn, struct ce_conn *to,
                 enum ce_conn_kind kind)
{
    /* What is ready is reported once more. */
    struct epoll_event event = {.events = STREAM_EVENTS, .data.ptr = to};
    if (epoll_ctl(worker->epoll, EPOLL_CTL_MOD, conn->fd, &event) < 0)
        return -errno;
    *to = *conn;
    to->kind = kind;
    conn->fd = -1;
    conn->in = (struct ce_buffer){0};
    conn->tls = NULL;
    return 0;
}

void ce_conn_close(struct ce_worker *worker, struct ce_conn *conn)
{
    /* Explicitly: another process may hold the same socket, and then close() alone would leave it
     * with epoll. */
    (void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    ce_tls_close(ce_take(conn->tls));
    (void)close(conn->fd);
    conn->fd = -1;
    ce_buffer_done(&conn->in, &worker->blocks);
    SLIST_INSERT_HEAD(&worker->dead, conn, dead);
}
