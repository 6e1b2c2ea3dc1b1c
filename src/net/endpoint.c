/* SPDX-License-Identifier: MIT */
#include "net/endpoint.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/tls.h"

enum { ENDPOINT_TEXT_SIZE = CE_NAME_MAX + 8 };

struct ce_endpoint ce_endpoint_loopback(int port)
{
    struct ce_endpoint endpoint = {.size = sizeof(struct sockaddr_in)};
    struct sockaddr_in *in = (struct sockaddr_in *)&endpoint.address;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons((uint16_t)port);
    return endpoint;
}

/* ---- names ---- */

static int parse_unix(const char *text, const char *path, struct ce_endpoint *endpoint,
                      struct ce_error *err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&endpoint->address;
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof un->sun_path)
        return ce_fail(err, EINVAL, "'%s' is no address: a socket's path has 1 to %zu bytes", text,
                       sizeof un->sun_path - 1);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, size + 1);
    endpoint->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    return 0;
}

static bool is_name(const char *text)
{
    return text[strspn(
               text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] == '\0';
}

static int parse_port(const char *text, const char *port, uint16_t *ret_port, struct ce_error *err)
{
    size_t digits = strspn(port, "0123456789");
    long number = digits > 0 && digits <= 5 && port[digits] == '\0' ? strtol(port, NULL, 10) : -1;
    if (number < 0 || number > UINT16_MAX)
        return ce_fail(err, EINVAL, "'%s' is no address: '%s' is no port, which is 0 to 65535",
                       text, port);
    *ret_port = (uint16_t)number;
    return 0;
}

/* Numbers in the place of a name are an address, which is at hand. */
static void take_number(struct ce_endpoint *endpoint)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    char port[8];
    snprintf(port, sizeof port, "%u", endpoint->port);
    struct addrinfo *found;
    if (getaddrinfo(endpoint->name, port, &hints, &found) != 0)
        return;
    memcpy(&endpoint->address, found->ai_addr, found->ai_addrlen);
    endpoint->size = found->ai_addrlen;
    endpoint->name[0] = '\0';
    freeaddrinfo(found);
}

int ce_endpoint_parse(const char *text, struct ce_endpoint *ret_endpoint, struct ce_error *err)
{
    struct ce_endpoint endpoint = {0};
    if (strncmp(text, "unix:", 5) == 0) {
        CE_TRY(parse_unix(text, text + 5, &endpoint, err));
        *ret_endpoint = endpoint;
        return 0;
    }
    bool bracketed = text[0] == '[';
    const char *colon = strrchr(text, ':'), *host = text + bracketed;
    const char *end = bracketed ? strchr(text, ']') : colon;
    if (!colon || !end || end + bracketed != colon || end == host)
        return ce_fail(err, EINVAL,
                       "'%s' is no address: write host:port, [IPv6 address]:port or unix:/path",
                       text);
    size_t size = (size_t)(end - host);
    if (size > CE_NAME_MAX)
        return ce_fail(err, EINVAL, "'%s' is no address: a host's name has at most %d bytes", text,
                       CE_NAME_MAX);
    memcpy(endpoint.name, host, size);
    CE_TRY(parse_port(text, colon + 1, &endpoint.port, err));
    take_number(&endpoint);
    bool is_v6 = endpoint.address.ss_family == AF_INET6;
    if (bracketed ? !is_v6 : is_v6 || !is_name(endpoint.name))
        return ce_fail(err, EINVAL, "'%s' is no address: '%.*s' is no %s", text, (int)size, host,
                       bracketed ? "IPv6 address"
                                 : "host's name, and an IPv6 address stands in brackets");
    *ret_endpoint = endpoint;
    return 0;
}

/* Both families in turn, beginning with the one that the system puts first. */
static void take_in_turn(const struct addrinfo *found, struct ce_addresses *addresses)
{
    const struct addrinfo *same = found, *other = found;
    for (bool turn = true; addresses->count < CE_ADDRESSES_MAX; turn = !turn) {
        while (same && same->ai_family != found->ai_family)
            same = same->ai_next;
        while (other && other->ai_family == found->ai_family)
            other = other->ai_next;
        const struct addrinfo **next = (turn && same) || !other ? &same : &other;
        if (!*next)
            return;
        memcpy(&addresses->list[addresses->count].address, (*next)->ai_addr, (*next)->ai_addrlen);
        addresses->list[addresses->count++].size = (*next)->ai_addrlen;
        *next = (*next)->ai_next;
    }
}

static int look_up(const char *name, uint16_t port, struct ce_addresses *addresses,
                   struct ce_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo *found;
    int r = getaddrinfo(name, service, &hints, &found);
    if (r != 0)
        return ce_fail(err, EHOSTUNREACH, "cannot find the host '%s': %s", name,
                       r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
    take_in_turn(found, addresses);
    freeaddrinfo(found);
    return 0;
}

int ce_endpoint_resolve(const struct ce_endpoint *endpoint, struct ce_addresses *ret_addresses,
                        struct ce_error *err)
{
    struct ce_addresses addresses = {0};
    if (endpoint->name[0] == '\0') {
        addresses.list[0].address = endpoint->address;
        addresses.list[0].size = endpoint->size;
        addresses.count = 1;
    } else if (endpoint->look_up) {
        CE_TRY(endpoint->look_up(endpoint->ctx, endpoint->name, endpoint->port, &addresses, err));
    } else {
        CE_TRY(look_up(endpoint->name, endpoint->port, &addresses, err));
    }
    if (addresses.count == 0)
        return ce_fail(err, EHOSTUNREACH, "the host '%s' has no address", endpoint->name);
    *ret_addresses = addresses;
    return 0;
}

struct ce_endpoint ce_endpoint_at(const struct ce_endpoint *endpoint,
                                  const struct ce_addresses *addresses, size_t n)
{
    struct ce_endpoint at = *endpoint;
    at.address = addresses->list[n].address;
    at.size = addresses->list[n].size;
    at.name[0] = '\0';
    return at;
}

/* The endpoint with an address. */
static int settle(const struct ce_endpoint *endpoint, struct ce_endpoint *ret_endpoint,
                  struct ce_error *err)
{
    struct ce_addresses addresses;
    CE_TRY(ce_endpoint_resolve(endpoint, &addresses, err));
    *ret_endpoint = ce_endpoint_at(endpoint, &addresses, 0);
    return 0;
}

bool ce_endpoint_same(const struct ce_endpoint *a, const struct ce_endpoint *b)
{
    if (a->ctx != b->ctx || a->make_socket != b->make_socket || !ce_tls_same(a->tls, b->tls) ||
        strcmp(a->name, b->name) != 0)
        return false;
    if (a->name[0] != '\0')
        return a->port == b->port;
    return a->size == b->size && memcmp(&a->address, &b->address, a->size) == 0;
}

/* ---- sockets ---- */

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
    struct ce_endpoint settled;
    if (endpoint->name[0] != '\0') {
        CE_TRY(settle(endpoint, &settled, err));
        endpoint = &settled;
    }
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
    if (endpoint->name[0] != '\0')
        CE_TRY(settle(endpoint, endpoint, err));
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
    if (endpoint->name[0] != '\0') {
        snprintf(text, size, "%s:%u", endpoint->name, endpoint->port);
        return;
    }
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
