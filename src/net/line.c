/* SPDX-License-Identifier: MIT */
#include "net/line.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

int ce_line_await(struct ce_line *line, short events, struct ce_error *err)
{
    for (;;) {
        int64_t left = line->deadline - ce_now();
        if (left <= 0)
            return ce_fail(err, ETIMEDOUT, "no answer within %.3f s",
                           (double)(line->deadline - line->begin) / (double)CE_SECOND);
        struct timespec timeout = {.tv_sec = left / CE_SECOND, .tv_nsec = left % CE_SECOND};
        struct pollfd pollfd = {.fd = line->fd, .events = events};
        if (line->tls && ce_tls_is_crossed(line->tls))
            pollfd.events = POLLIN | POLLOUT;
        int r = ppoll(&pollfd, 1, &timeout, NULL);
        if (r > 0 && line->tls)
            ce_tls_note(line->tls, true);
        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return ce_fail(err, errno, "cannot wait for the connection: %s", strerror(errno));
    }
}

static int finish_connect(struct ce_line *line, struct ce_error *err)
{
    CE_TRY(ce_line_await(line, POLLOUT, err));
    int code = 0;
    socklen_t size = sizeof code;
    if (getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
        code = errno;
    return code == 0 ? 0 : ce_fail(err, code, "%s", strerror(code));
}

static int secure(struct ce_line *line, struct ce_tls *tls, const char *speaks,
                  struct ce_error *err)
{
    line->tls = ce_tls_open(tls, line->fd, speaks);
    if (!line->tls)
        return ce_fail_memory(err);
    int r;
    while ((r = ce_tls_handshake(line->tls, err)) == 0)
        CE_TRY(ce_line_await(line, ce_tls_wants(line->tls), err));
    return r < 0 ? r : 0;
}

int ce_line_open(struct ce_line *line, const struct ce_endpoint *endpoint, const char *speaks,
                 int64_t timeout_ns, struct ce_error *err)
{
    *line = (struct ce_line){.begin = ce_now()};
    line->deadline = line->begin + timeout_ns;
    line->fd = ce_endpoint_connect(endpoint, err);
    if (line->fd < 0)
        return line->fd;
    int r = finish_connect(line, err);
    if (r >= 0 && endpoint->tls)
        r = secure(line, endpoint->tls, speaks, err);
    if (r >= 0 || r == -ETIMEDOUT)
        return r;
    char name[CE_NAME_MAX + 8];
    ce_endpoint_text(endpoint, name, sizeof name);
    return ce_fail_context(err, r, "cannot connect to %s", name);
}

void ce_line_close(struct ce_line *line)
{
    if (line->tls)
        (void)ce_tls_shut(line->tls);
    ce_tls_close(ce_take(line->tls));
    if (line->fd >= 0)
        (void)close(ce_take_fd(line->fd));
}

ssize_t ce_line_send(struct ce_line *line, const void *data, size_t size)
{
    if (line->tls) {
        ssize_t n = ce_tls_write(line->tls, data, size);
        return n == 0 && size > 0 ? -EAGAIN : n;
    }
    ssize_t n;
    do
        n = send(line->fd, data, size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t ce_line_receive(struct ce_line *line, void *data, size_t size)
{
    if (line->tls) {
        ssize_t n = ce_tls_read(line->tls, data, size);
        return n == -ENODATA ? 0 : n == 0 ? -EAGAIN : n;
    }
    ssize_t n;
    do
        n = recv(line->fd, data, size, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}
