/* SPDX-License-Identifier: MIT */
#include "proxy/proxy_internal.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

int ce_conn_open(struct ce_proxy *proxy, struct ce_conn *conn, enum ce_conn_kind kind, int fd)
{
    conn->kind = kind;
    conn->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (kind == CE_CONN_CLIENT || kind == CE_CONN_UPSTREAM)
        event.events |= EPOLLOUT | EPOLLRDHUP | EPOLLET;
    if (kind == CE_CONN_CLOCK)
        event.events |= EPOLLET; /* it is never read */
    if (epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        int code = errno;
        (void)close(fd);
        conn->fd = -1;
        return -code;
    }
    return 0;
}

void ce_conn_note(struct ce_conn *conn, unsigned events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        conn->writable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->ending = true;
    /* A client that is gone in both directions has no use for an answer. An upstream may have
     * answered before it went: what it sent is still to be read. */
    if (conn->kind == CE_CONN_CLIENT && events & (EPOLLHUP | EPOLLERR))
        conn->broken = true;
}

int ce_conn_read(struct ce_proxy *proxy, struct ce_conn *conn, size_t limit)
{
    if (conn->ended || conn->broken)
        return -1;
    if (!conn->readable)
        return 0;
    size_t room = ce_buffer_room(&conn->in, &proxy->blocks, limit);
    if (room == 0) {
        conn->broken = true;
        return -1;
    }
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
    ce_buffer_drop(&conn->in, &proxy->blocks, 0); /* an empty buffer goes back */
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
    do
        n = send(conn->fd, data, size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
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

void ce_conn_close(struct ce_proxy *proxy, struct ce_conn *conn)
{
    /* Explicitly: another process may hold the same socket, and then close() alone would leave it
     * with epoll. */
    (void)epoll_ctl(proxy->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    (void)close(conn->fd);
    conn->fd = -1;
    ce_buffer_done(&conn->in, &proxy->blocks);
    SLIST_INSERT_HEAD(&proxy->dead, conn, dead);
}
