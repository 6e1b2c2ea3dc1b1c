/* SPDX-License-Identifier: MIT */
#include "host/packets/packet_probe.h"

#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* So that a server with a short queue of connections can keep up. */
static const int64_t connection_spacing = CE_MILLISECOND;

/* ---- in the child ---- */

struct datagram {
    uint64_t number;
    int64_t sent; /* when; what follows is made from the number */
};

struct watch {
    struct ce_packet_probe probe; /* asked */
    struct ce_packet_seen seen;   /* what is left for the caller */
};

/* Both ends are sockets of this child. */
struct ends {
    int target, peers[CE_PROBE_FLOWS];
    struct sockaddr_storage target_name, peer_names[CE_PROBE_FLOWS];
};

struct trip {
    int64_t sent, took; /* took < 0: not arrived yet */
};
struct trips {
    struct trip trip[CE_PROBE_MAX];
    uint64_t newest; /* number of the newest that has arrived, plus one */
};

static socklen_t name_size(const struct sockaddr_storage *name)
{
    return name->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static struct sockaddr_storage any_port(const struct sockaddr_storage *name)
{
    struct sockaddr_storage other = *name;
    if (other.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&other)->sin6_port = 0;
    else
        ((struct sockaddr_in *)&other)->sin_port = 0;
    return other;
}

/* Bound to that address; *ret_name says to which port. */
static int bound_socket(const struct sockaddr_storage *at, struct sockaddr_storage *ret_name,
                        struct ce_error *err)
{
    socklen_t size = name_size(at);
    ce_autofd int fd = socket(at->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Any address may be sent from by whoever rules the network namespace. */
    if (at->ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &(int){1}, sizeof(int));
    else
        (void)setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (const struct sockaddr *)at, size) < 0)
        return ce_fail(err, errno, "the probe cannot use its port: %s", strerror(errno));
    *ret_name = *at;
    if (getsockname(fd, (struct sockaddr *)ret_name, &size) < 0)
        return ce_fail(err, errno, "the probe cannot tell its port: %s", strerror(errno));
    /* Damage is to be seen, not dropped. */
    (void)setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &(int){1}, sizeof(int));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){4 << 20}, sizeof(int));
    return ce_take_fd(fd);
}

static void fill(uint8_t *bytes, size_t size, uint64_t number)
{
    for (size_t i = sizeof(struct datagram); i < size; i++)
        bytes[i] = (uint8_t)(number * 31 + i);
}

static void send_one(int fd, const struct sockaddr_storage *to, struct watch *watch,
                     struct trips *trips)
{
    uint8_t bytes[CE_PROBE_MOST];
    struct datagram datagram = {.number = watch->seen.sent, .sent = ce_now()};
    trips->trip[watch->seen.sent++] = (struct trip){datagram.sent, -1};
    memcpy(bytes, &datagram, sizeof datagram);
    fill(bytes, watch->probe.payload, datagram.number);
    (void)sendto(fd, bytes, watch->probe.payload, 0, (const struct sockaddr *)to, name_size(to));
}

static void take_one(struct watch *watch, struct trips *trips, const uint8_t *bytes, size_t size)
{
    struct ce_packet_seen *seen = &watch->seen;
    uint8_t wanted[CE_PROBE_MOST];
    struct datagram datagram = {0};
    if (size == watch->probe.payload)
        memcpy(&datagram, bytes, sizeof datagram);
    fill(wanted, watch->probe.payload, datagram.number);
    if (size != watch->probe.payload || datagram.number >= seen->sent ||
        datagram.sent != trips->trip[datagram.number].sent ||
        memcmp(bytes + sizeof datagram, wanted + sizeof datagram, size - sizeof datagram) != 0) {
        seen->damaged++;
        return;
    }
    struct trip *trip = &trips->trip[datagram.number];
    if (trip->took >= 0) {
        seen->twice++;
        return;
    }
    trip->took = ce_now() - trip->sent;
    seen->received++;
    if (datagram.number + 1 < trips->newest)
        seen->late++;
    else
        trips->newest = datagram.number + 1;
}

/* The sockets at which they arrive. */
static void take_all(struct pollfd *receivers, size_t count, struct watch *watch,
                     struct trips *trips)
{
    uint8_t bytes[CE_PROBE_MOST + 1];
    ssize_t n;
    for (size_t i = 0; i < count; i++)
        while (receivers[i].revents && (n = recv(receivers[i].fd, bytes, sizeof bytes, 0)) >= 0)
            take_one(watch, trips, bytes, (size_t)n);
}

static void exchange(const struct ends *ends, struct watch *watch, struct trips *trips)
{
    const struct ce_packet_probe *probe = &watch->probe;
    struct ce_packet_seen *seen = &watch->seen;
    int64_t next = ce_now(), end = INT64_MAX;
    size_t receivers = probe->outward ? probe->flows : 1;
    struct pollfd pollfds[CE_PROBE_FLOWS];
    for (size_t i = 0; i < receivers; i++)
        pollfds[i] = (struct pollfd){probe->outward ? ends->peers[i] : ends->target, POLLIN, 0};
    while (seen->sent < probe->count || seen->received + seen->damaged < seen->sent) {
        int64_t now = ce_now();
        if (now >= end)
            break;
        if (seen->sent < probe->count && now >= next) {
            size_t flow = seen->sent % probe->flows;
            if (probe->outward)
                send_one(ends->target, &ends->peer_names[flow], watch, trips);
            else
                send_one(ends->peers[flow], &ends->target_name, watch, trips);
            /* After a pause that was forced on us they do not come all at once. */
            next = (next + probe->spacing > now ? next : now) + probe->spacing;
            if (seen->sent == probe->count)
                end = ce_now() + probe->patience;
        }
        int64_t until = seen->sent < probe->count ? next : end;
        int64_t wait = until - ce_now() > 0 ? until - ce_now() : 0;
        struct timespec timeout = {.tv_sec = wait / CE_SECOND, .tv_nsec = wait % CE_SECOND};
        if (ppoll(pollfds, receivers, &timeout, NULL) > 0)
            take_all(pollfds, receivers, watch, trips);
    }
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void summarise(int64_t *times, size_t n, struct ce_packet_seen *seen)
{
    double mean = 0, squares = 0;
    if (n == 0)
        return;
    qsort(times, n, sizeof times[0], by_size);
    for (size_t i = 0; i < n; i++)
        mean += (double)times[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += ((double)times[i] - mean) * ((double)times[i] - mean);
    seen->least = times[0];
    seen->p50 = times[n / 2];
    seen->p99 = times[n * 99 / 100];
    seen->most = times[n - 1];
    seen->spread = n > 1 ? (int64_t)sqrt(squares / (double)(n - 1)) : 0;
}

static int watch_packets(void *ctx, struct ce_error *err)
{
    struct watch *watch = ctx;
    const struct ce_packet_probe *probe = &watch->probe;
    struct ends ends = {.target = -1};
    struct sockaddr_storage other = any_port(probe->peer.ss_family ? &probe->peer : &probe->at);
    int64_t times[CE_PROBE_MAX];
    size_t n = 0;
    ce_autofree struct trips *trips = calloc(1, sizeof *trips);
    if (!trips)
        return ce_fail_memory(err);
    (void)prctl(PR_SET_TIMERSLACK, 1);
    /* The sockets end with this child. */
    ends.target = bound_socket(&probe->at, &ends.target_name, err);
    CE_TRY(ends.target);
    for (size_t i = 0; i < probe->flows; i++) {
        ends.peers[i] = bound_socket(&other, &ends.peer_names[i], err);
        CE_TRY(ends.peers[i]);
    }
    exchange(&ends, watch, trips);
    for (size_t i = 0; i < watch->seen.sent; i++)
        if (trips->trip[i].took >= 0)
            times[n++] = trips->trip[i].took;
    summarise(times, n, &watch->seen);
    return 0;
}

struct attempt {
    struct sockaddr_storage to;
    size_t count;
    int64_t patience;
    struct ce_packet_seen seen;
};
struct attempts {
    struct pollfd pollfds[CE_PROBE_FLOWS]; /* fd < 0: not open, any more or yet */
    int64_t starts[CE_PROBE_FLOWS], times[CE_PROBE_FLOWS];
};

/* One that has ended, with that error. */
static void note_end(struct attempt *attempt, struct attempts *attempts, size_t i, int code)
{
    if (code == 0)
        attempts->times[attempt->seen.received++] = ce_now() - attempts->starts[i];
    attempt->seen.refused += code == ECONNREFUSED;
    (void)close(attempts->pollfds[i].fd);
    attempts->pollfds[i].fd = -1;
}

static int connect_one(struct attempt *attempt, struct attempts *attempts, struct ce_error *err)
{
    size_t i = attempt->seen.sent++;
    int fd = socket(attempt->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ce_fail(err, errno, "the probe cannot make a socket: %s", strerror(errno));
    attempts->pollfds[i].fd = fd;
    attempts->starts[i] = ce_now();
    if (connect(fd, (const struct sockaddr *)&attempt->to, name_size(&attempt->to)) == 0)
        note_end(attempt, attempts, i, 0);
    else if (errno != EINPROGRESS)
        note_end(attempt, attempts, i, errno);
    return 0;
}

static void take_ends(struct attempt *attempt, struct attempts *attempts)
{
    for (size_t i = 0; i < attempt->seen.sent; i++) {
        int code = 0;
        socklen_t size = sizeof code;
        if (attempts->pollfds[i].fd < 0 || !attempts->pollfds[i].revents)
            continue;
        (void)getsockopt(attempts->pollfds[i].fd, SOL_SOCKET, SO_ERROR, &code, &size);
        note_end(attempt, attempts, i, code);
    }
}

static bool any_open(const struct attempts *attempts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (attempts->pollfds[i].fd >= 0)
            return true;
    return false;
}

static int attempt_connections(void *ctx, struct ce_error *err)
{
    struct attempt *attempt = ctx;
    struct ce_packet_seen *seen = &attempt->seen;
    struct attempts attempts;
    int64_t next = ce_now(), end = INT64_MAX;
    for (size_t i = 0; i < CE_PROBE_FLOWS; i++)
        attempts.pollfds[i] = (struct pollfd){.fd = -1, .events = POLLOUT};
    while (seen->sent < attempt->count || any_open(&attempts, seen->sent)) {
        int64_t now = ce_now();
        if (now >= end)
            break;
        if (seen->sent < attempt->count && now >= next) {
            CE_TRY(connect_one(attempt, &attempts, err));
            next = ce_now() + connection_spacing;
            if (seen->sent == attempt->count)
                end = ce_now() + attempt->patience;
        }
        int64_t wait = (seen->sent < attempt->count ? next : end) - ce_now();
        struct timespec timeout = {.tv_sec = wait / CE_SECOND, .tv_nsec = wait % CE_SECOND};
        if (wait > 0 && ppoll(attempts.pollfds, seen->sent, &timeout, NULL) > 0)
            take_ends(attempt, &attempts);
    }
    summarise(attempts.times, seen->received, seen);
    return 0;
}

/* ---- in the controller ---- */

int ce_packet_probe(const struct ce_place *place, const struct ce_packet_probe *probe,
                    struct ce_packet_seen *ret_seen, struct ce_error *err)
{
    struct watch watch = {.probe = *probe};
    if (watch.probe.payload == 0)
        watch.probe.payload = CE_PROBE_LEAST;
    if (watch.probe.flows == 0)
        watch.probe.flows = 1;
    if (probe->count > CE_PROBE_MAX || watch.probe.payload < CE_PROBE_LEAST ||
        watch.probe.payload > CE_PROBE_MOST || watch.probe.flows > CE_PROBE_FLOWS)
        return ce_fail(err, EINVAL, "a probe of %zu datagrams of %zu bytes cannot be made",
                       probe->count, watch.probe.payload);
    CE_TRY(ce_place_call(place, CE_PLACE_NETWORK, watch_packets, &watch, sizeof watch, err));
    *ret_seen = watch.seen;
    return 0;
}

int ce_connect_probe(const struct ce_place *place, const struct sockaddr_storage *to, size_t count,
                     int64_t patience, struct ce_packet_seen *ret_seen, struct ce_error *err)
{
    struct attempt attempt = {.to = *to, .count = count, .patience = patience};
    if (count > CE_PROBE_FLOWS)
        return ce_fail(err, EINVAL, "%zu connections at once are too many for a probe", count);
    CE_TRY(
        ce_place_call(place, CE_PLACE_NETWORK, attempt_connections, &attempt, sizeof attempt, err));
    *ret_seen = attempt.seen;
    return 0;
}
