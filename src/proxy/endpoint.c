/* SPDX-License-Identifier: MIT */
#include "proxy/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { ENDPOINT_TEXT_SIZE = 160 };

struct ce_endpoint ce_endpoint_loopback(int port)
{
    struct ce_endpoint endpoint = {.size = sizeof(struct sockaddr_in)};
    struct sockaddr_in *in = (struct sockaddr_in *)&endpoint.address;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons((uint16_t)port);
    return endpoint;
}

int ce_endpoint_socket(const struct ce_endpoint *endpoint, struct ce_error *err)
{
    int family = endpoint->address.ss_family;
    if (endpoint->make_socket)
        return endpoint->make_socket(endpoint->ctx, family, err);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ce_fail(err, errno, "cannot make a socket: %s", strerror(errno));
    return fd;
}

/* Small messages must not wait for acknowledgements. A listener hands the option down to what it
 * accepts. */
static void set_no_delay(const struct ce_endpoint *endpoint, int fd)
{
    if (endpoint->address.ss_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

int ce_endpoint_connect(const struct ce_endpoint *endpoint, struct ce_error *err)
{
    ce_autofd int fd = ce_endpoint_socket(endpoint, err);
    if (fd < 0)
        return fd;
    set_no_delay(endpoint, fd);
    if (connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->size) < 0 &&
        errno != EINPROGRESS) {
        int code = errno;
        char text[ENDPOINT_TEXT_SIZE];
        ce_endpoint_text(endpoint, text, sizeof text);
        return ce_fail(err, code, "cannot connect to %s: %s", text, strerror(code));
    }
    return ce_take_fd(fd);
}

/* A socket file that nobody listens on is left over from a process that is gone; in the way of
 * bind(2), it goes too. */
static void remove_stale_socket_file(const struct ce_endpoint *endpoint)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&endpoint->address;
    struct stat st;
    if (un->sun_path[0] == '\0' || lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    ce_autofd int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe >= 0 && connect(probe, (const struct sockaddr *)un, endpoint->size) < 0 &&
        errno == ECONNREFUSED)
        (void)unlink(un->sun_path);
}

static int cannot_listen(const struct ce_endpoint *endpoint, int code, struct ce_error *err)
{
    char text[ENDPOINT_TEXT_SIZE];
    ce_endpoint_text(endpoint, text, sizeof text);
    return ce_fail(err, code, "cannot listen on %s: %s", text, strerror(code));
}

int ce_endpoint_bind(struct ce_endpoint *endpoint, struct ce_error *err)
{
    ce_autofd int fd = ce_endpoint_socket(endpoint, err);
    if (fd < 0)
        return fd;
    if (endpoint->address.ss_family == AF_UNIX)
        remove_stale_socket_file(endpoint);
    else
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    set_no_delay(endpoint, fd);
    if (bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->size) < 0)
        return cannot_listen(endpoint, errno, err);
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) < 0)
        return cannot_listen(endpoint, errno, err);
    endpoint->address = bound;
    endpoint->size = size;
    return ce_take_fd(fd);
}

int ce_endpoint_listen(struct ce_endpoint *endpoint, struct ce_error *err)
{
    ce_autofd int fd = ce_endpoint_bind(endpoint, err);
    if (fd < 0)
        return fd;
    if (listen(fd, SOMAXCONN) < 0)
        return cannot_listen(endpoint, errno, err);
    return ce_take_fd(fd);
}

void ce_endpoint_text(const struct ce_endpoint *endpoint, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    switch (endpoint->address.ss_family) {
    case AF_INET: {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&endpoint->address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(text, size, "%s:%d", host, ntohs(in->sin_port));
        return;
    }
    case AF_INET6: {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&endpoint->address;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(text, size, "[%s]:%d", host, ntohs(in6->sin6_port));
        return;
    }
    case AF_UNIX: {
        const struct sockaddr_un *un = (const struct sockaddr_un *)&endpoint->address;
        size_t header = offsetof(struct sockaddr_un, sun_path);
        int length =
            endpoint->size > header ? (int)strnlen(un->sun_path, endpoint->size - header) : 0;
        snprintf(text, size, "unix:%.*s", length, un->sun_path);
        return;
    }
    default:
        snprintf(text, size, "(no address)");
    }
}
