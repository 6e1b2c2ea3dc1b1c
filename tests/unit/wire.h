/* SPDX-License-Identifier: MIT */
/* Both ends of a wire, played by the test itself: what is sent is text, and what arrives is
 * compared byte for byte.
 *
 * All sockets block, for at most 10 s. */
#ifndef CE_TESTS_WIRE_H
#define CE_TESTS_WIRE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/endpoint.h"

static inline void wire_block(int fd)
{
    const struct timeval patience = {.tv_sec = 10};
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

/* A server's end: listens, on any port if the endpoint names none. */
static inline int wire_listen(struct ce_endpoint *endpoint)
{
    int fd = ce_endpoint_listen(endpoint, NULL);
    if (fd >= 0)
        wire_block(fd);
    return fd;
}

static inline int wire_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        wire_block(fd);
    return fd;
}

/* A connected socket, or a negative errno. */
static inline int wire_connect(const struct ce_endpoint *endpoint)
{
    int fd = ce_endpoint_socket(endpoint, NULL);
    if (fd < 0)
        return fd;
    wire_block(fd);
    if (connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->size) == 0)
        return fd;
    int code = errno;
    close(fd);
    return -code;
}

static inline bool wire_send_bytes(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

static inline bool wire_send(int fd, const char *text)
{
    return wire_send_bytes(fd, text, strlen(text));
}

/* Exactly these bytes come next. */
static inline bool wire_gets(int fd, const char *want)
{
    char got[4096];
    size_t size = 0, want_size = strlen(want);
    while (size < want_size) {
        ssize_t n = recv(fd, got + size, want_size - size, 0);
        if (n <= 0 || memcmp(got + size, want + size, (size_t)n) != 0) {
            printf("# got \"%.*s\" (%s), not \"%s\"\n", (int)(size + (n > 0 ? (size_t)n : 0)), got,
                   n < 0    ? strerror(errno)
                   : n == 0 ? "end"
                            : "differs",
                   want);
            return false;
        }
        size += (size_t)n;
    }
    return true;
}

/* Nothing but the end of the stream comes next. */
static inline bool wire_ends(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) == 0;
}

/* Nothing but a reset comes next. */
static inline bool wire_is_reset(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET;
}

/* Nothing has come. */
static inline bool wire_is_quiet(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* Closes with a reset. */
static inline void wire_reset(int fd)
{
    const struct linger now = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

#endif
