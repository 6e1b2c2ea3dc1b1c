/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/names.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

static const int64_t refresh_interval = CE_SECOND;
enum { CONNECT_TIMEOUT_MS = 250 };

struct ce_names {
    const char *host;
    int port;
    bool in_background;
    pthread_mutex_t lock; /* guards the address */
    struct in_addr address;
    bool known;
};

static int look_up(const char *host, struct in_addr *ret_address)
{
    const struct addrinfo wanted = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (inet_pton(AF_INET, host, ret_address) == 1)
        return 0;
    /* The dot at its end says that this is all of the name: no search list is gone through. */
    ce_autofree char *whole = ce_format("%s.", host);
    if (!whole || getaddrinfo(whole, NULL, &wanted, &found) != 0)
        return -EADDRNOTAVAIL;
    struct sockaddr_in first;
    memcpy(&first, found->ai_addr, sizeof first);
    *ret_address = first.sin_addr;
    freeaddrinfo(found);
    return 0;
}

/* Whether something there takes a connection. */
static bool is_alive(struct in_addr address, int port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = address};
    ce_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
        return true;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int failure = 0;
    socklen_t size = sizeof failure;
    return errno == EINPROGRESS && poll(&wait, 1, CONNECT_TIMEOUT_MS) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 && failure == 0;
}

static void refresh(struct ce_names *names)
{
    struct in_addr found;
    if (look_up(names->host, &found) < 0)
        return;
    /* Nobody else writes it. */
    bool is_new = names->known && found.s_addr != names->address.s_addr;
    if (is_new && !is_alive(found, names->port))
        return;
    (void)pthread_mutex_lock(&names->lock);
    names->address = found;
    names->known = true;
    (void)pthread_mutex_unlock(&names->lock);
}

static void *refresh_for_ever(void *ctx)
{
    for (;;) {
        ce_sleep_until(ce_now() + refresh_interval);
        refresh(ctx);
    }
    return NULL;
}

int ce_names_open(const char *host, int port, bool in_background, struct ce_names **ret_names,
                  struct ce_error *err)
{
    struct ce_names *names = calloc(1, sizeof *names); /* as long as the process */
    pthread_t thread;
    if (!names)
        return ce_fail_memory(err);
    names->host = host;
    names->port = port;
    names->in_background = in_background;
    (void)pthread_mutex_init(&names->lock, NULL);
    if (in_background) {
        refresh(names);
        int code = pthread_create(&thread, NULL, refresh_for_ever, names);
        if (code != 0) {
            free(names);
            return ce_fail(err, code, "cannot start a thread: %s", strerror(code));
        }
    }
    *ret_names = names;
    return 0;
}

int ce_names_resolve(struct ce_names *names, char ret_address[INET_ADDRSTRLEN])
{
    struct in_addr address;
    int r = -EADDRNOTAVAIL;
    if (names->in_background) {
        (void)pthread_mutex_lock(&names->lock);
        address = names->address;
        r = names->known ? 0 : r;
        (void)pthread_mutex_unlock(&names->lock);
    } else {
        r = look_up(names->host, &address);
    }
    if (r == 0)
        (void)inet_ntop(AF_INET, &address, ret_address, INET_ADDRSTRLEN);
    return r;
}
