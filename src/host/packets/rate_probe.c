/* SPDX-License-Identifier: MIT */
#include "host/packets/rate_probe.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum {
    HEADERS_V4 = 14 + 20 + 8,
    HEADERS_V6 = 14 + 40 + 8,
    PAYLOAD_MAX = 60000,
    PAYLOAD_MIN = 32,
    PER_SECOND = 100, /* datagrams, where their size can be chosen so */
    BUFFER = 4 << 20,
    AT_ONCE = 64,
};
/* Of the rate that is expected. */
static const double faster = 1.7;

struct probing {
    struct ce_rate_probe probe;
    struct ce_rate_seen seen;
};

struct pair {
    int sender, receiver; /* -1: none */
    size_t payload, headers;
};

static void pair_close(struct pair *pair)
{
    if (pair->sender >= 0)
        (void)close(pair->sender);
    if (pair->receiver >= 0)
        (void)close(pair->receiver);
}

static int open_socket(const struct sockaddr_storage *address, struct ce_error *err)
{
    ce_autofd int fd =
        socket(address->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        return ce_fail(err, errno, "cannot bind a datagram socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){BUFFER}, sizeof(int));
    return ce_take_fd(fd);
}

static int connect_to(int fd, int peer, struct ce_error *err)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(peer, (struct sockaddr *)&address, &size) < 0 ||
        connect(fd, (const struct sockaddr *)&address, size) < 0)
        return ce_fail(err, errno, "cannot connect a datagram socket: %s", strerror(errno));
    return 0;
}

static int pair_open(const struct ce_rate_probe *probe, struct pair *pair, struct ce_error *err)
{
    struct sockaddr_storage any_port = probe->to;
    bool v6 = probe->to.ss_family == AF_INET6;
    if (v6)
        ((struct sockaddr_in6 *)&any_port)->sin6_port = 0;
    else
        ((struct sockaddr_in *)&any_port)->sin_port = 0;
    pair->headers = v6 ? HEADERS_V6 : HEADERS_V4;
    pair->payload = (size_t)(probe->rate / 8 / PER_SECOND);
    size_t most =
        probe->largest > pair->headers + PAYLOAD_MIN ? probe->largest - pair->headers : PAYLOAD_MIN;
    if (pair->payload > most)
        pair->payload = most;
    if (pair->payload > PAYLOAD_MAX)
        pair->payload = PAYLOAD_MAX;
    if (pair->payload < PAYLOAD_MIN)
        pair->payload = PAYLOAD_MIN;
    pair->receiver = open_socket(probe->leaving ? &any_port : &probe->to, err);
    CE_TRY(pair->receiver);
    pair->sender = open_socket(probe->leaving ? &probe->to : &any_port, err);
    CE_TRY(pair->sender);
    CE_TRY(connect_to(pair->sender, pair->receiver, err));
    return connect_to(pair->receiver, pair->sender, err);
}

/* Sends until so much has been sent, or the kernel takes no more. Returns bytes. */
static uint64_t send_some(const struct pair *pair, double wanted)
{
    static const char payload[PAYLOAD_MAX];
    uint64_t sent = 0;
    for (int i = 0; i < AT_ONCE && (double)sent < wanted; i++) {
        if (send(pair->sender, payload, pair->payload, MSG_DONTWAIT) < 0)
            break;
        sent += pair->payload + pair->headers;
    }
    return sent;
}

static uint64_t receive_some(const struct pair *pair, uint64_t *ret_packets)
{
    char byte;
    uint64_t bytes = 0;
    while (recv(pair->receiver, &byte, sizeof byte, MSG_DONTWAIT | MSG_TRUNC) > 0) {
        bytes += pair->payload + pair->headers;
        (*ret_packets)++;
    }
    return bytes;
}

/* Two moments at which something arrived, and what arrived between them: so the datagram that has
 * not yet come whole does not count. */
static int measure(void *ctx, struct ce_error *err)
{
    struct probing *probing = ctx;
    const struct ce_rate_probe *probe = &probing->probe;
    CE_CLEANUP(pair_close) struct pair pair = {.sender = -1, .receiver = -1};
    CE_TRY(pair_open(probe, &pair, err));
    uint64_t sent = 0, before = 0, inside = 0, packets = 0;
    int64_t began = ce_now(), first = 0, last = 0;
    for (int64_t now = began; now < began + probe->patience; now = ce_now()) {
        double wanted = (double)(now - began) / (double)CE_SECOND * (double)probe->rate / 8;
        sent += send_some(&pair, (double)probe->burst + faster * wanted - (double)sent);
        struct pollfd wait = {.fd = pair.receiver, .events = POLLIN};
        (void)poll(&wait, 1, 1);
        uint64_t count = 0, bytes = receive_some(&pair, &count);
        now = ce_now();
        if (bytes == 0)
            continue;
        if (first == 0) {
            before += bytes;
            first = before > probe->burst + pair.payload ? now : 0;
            continue;
        }
        inside += bytes;
        packets += count;
        last = now;
        if (last - first >= probe->window)
            break;
    }
    int64_t all = ce_now() - began;
    probing->seen = (struct ce_rate_seen){
        .packets = packets,
        .offered = ((double)sent - (double)probe->burst) * 8 * (double)CE_SECOND / (double)all,
        .rate = last > first ? (double)inside * 8 * (double)CE_SECOND / (double)(last - first) : 0,
    };
    return 0;
}

int ce_rate_probe(const struct ce_place *place, const struct ce_rate_probe *probe,
                  struct ce_rate_seen *ret_seen, struct ce_error *err)
{
    struct probing probing = {.probe = *probe};
    CE_TRY(ce_place_call(place, CE_PLACE_NETWORK, measure, &probing, sizeof probing, err));
    *ret_seen = probing.seen;
    return 0;
}
