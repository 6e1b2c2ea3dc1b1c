/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/health.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

static const char question[] =
    "GET /v2/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
static const char good_answer[] = "HTTP/1.1 200";

void ce_health_cancel(struct ce_health_check *check)
{
    if (check->fd >= 0)
        (void)close(ce_take_fd(check->fd));
}

void ce_health_start(struct ce_health_check *check, int port, int64_t timeout)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    ce_health_cancel(check);
    check->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    check->events = POLLOUT;
    check->deadline = ce_now() + timeout;
    /* Refusal shows when the question is sent. */
    if (check->fd >= 0)
        (void)connect(check->fd, (struct sockaddr *)&address, sizeof address);
}

static enum ce_health step(struct ce_health_check *check)
{
    char answer[sizeof good_answer - 1];
    if (check->fd < 0)
        return CE_HEALTH_SILENT;
    if (check->events == POLLOUT) {
        ssize_t n = send(check->fd, question, sizeof question - 1, MSG_NOSIGNAL);
        if (n == (ssize_t)sizeof question - 1)
            check->events = POLLIN;
        else if (n >= 0 || errno != EAGAIN)
            return CE_HEALTH_SILENT;
        return CE_HEALTH_WAITING;
    }
    ssize_t n = recv(check->fd, answer, sizeof answer, MSG_PEEK);
    if (n == (ssize_t)sizeof answer)
        return memcmp(answer, good_answer, sizeof answer) == 0 ? CE_HEALTH_LIVE : CE_HEALTH_SILENT;
    return n > 0 || (n < 0 && errno == EAGAIN) ? CE_HEALTH_WAITING : CE_HEALTH_SILENT;
}

enum ce_health ce_health_continue(struct ce_health_check *check)
{
    enum ce_health health = step(check);
    if (health == CE_HEALTH_WAITING && ce_now() >= check->deadline)
        health = CE_HEALTH_SILENT;
    if (health != CE_HEALTH_WAITING)
        ce_health_cancel(check);
    return health;
}
