/* SPDX-License-Identifier: MIT */
#include "host/names/dns_probe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random.h"
#include "host/names/dns_server.h"

/* What the witness knows, and what it leaves to its maker. */
struct witness {
    struct ce_dns_probe probe;
    struct ce_dns_seen seen;
    uint16_t first_id;
    bool heard[CE_DNS_PROBE_MAX];
};

static size_t write_query(const struct witness *witness, size_t n, uint8_t *query)
{
    return ce_dns_write_query((uint16_t)(witness->first_id + n), witness->probe.name,
                              witness->probe.type, query);
}

static void note(struct witness *witness, const uint8_t *answer, size_t size)
{
    uint8_t query[CE_DNS_ANSWER_MAX];
    struct ce_dns_reply reply;
    if (size < 2)
        return;
    size_t n = (uint16_t)((answer[0] << 8 | answer[1]) - witness->first_id);
    if (n >= witness->seen.sent || witness->heard[n])
        return;
    if (!ce_dns_read_reply(answer, size, query, write_query(witness, n, query), &reply))
        return;
    const struct ce_dns_address *wrong = &witness->probe.wrong;
    witness->heard[n] = true;
    witness->seen.answered++;
    witness->seen.nxdomain += reply.code == CE_DNS_NXDOMAIN;
    witness->seen.servfail += reply.code == CE_DNS_SERVFAIL;
    witness->seen.wrong += wrong->size > 0 && reply.address.size == wrong->size &&
                           memcmp(reply.address.bytes, wrong->bytes, wrong->size) == 0;
}

/* Listens until then, or until everything has been answered. */
static void listen_until(struct witness *witness, int fd, int64_t until)
{
    uint8_t answer[4096];
    while (witness->seen.answered < witness->seen.sent) {
        int64_t left = until - ce_now();
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        struct timespec wait = {.tv_sec = left / CE_SECOND, .tv_nsec = left % CE_SECOND};
        if (left <= 0 || ppoll(&pollfd, 1, &wait, NULL) == 0)
            return;
        ssize_t n = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
        if (n > 0)
            note(witness, answer, (size_t)n);
    }
}

static int ask(void *ctx, struct ce_error *err)
{
    struct witness *witness = ctx;
    const struct ce_dns_probe *probe = &witness->probe;
    uint8_t query[CE_DNS_ANSWER_MAX];
    ce_autofd int fd = socket(probe->server.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&probe->server,
                          ce_dns_address_size(&probe->server)) < 0)
        return ce_fail(err, errno, "cannot reach the name server: %s", strerror(errno));
    for (int64_t next = ce_now(); witness->seen.sent < probe->count; next += probe->spacing) {
        size_t size = write_query(witness, witness->seen.sent, query);
        if (size == 0)
            return ce_fail(err, EINVAL, "'%s' is no name that can be asked for", probe->name);
        /* Of an earlier query this may say that nobody listens there: then it is not answered. */
        (void)send(fd, query, size, 0);
        witness->seen.sent++;
        listen_until(witness, fd, next + probe->spacing);
        ce_sleep_until(next + probe->spacing);
    }
    listen_until(witness, fd, ce_now() + probe->patience);
    return 0;
}

int ce_dns_probe(const struct ce_place *place, const struct ce_dns_probe *probe,
                 struct ce_dns_seen *ret_seen, struct ce_error *err)
{
    struct witness witness = {.probe = *probe, .first_id = (uint16_t)ce_random_seed()};
    if (probe->count > CE_DNS_PROBE_MAX)
        return ce_fail(err, EINVAL, "no more than %d queries can be asked", CE_DNS_PROBE_MAX);
    CE_TRY(ce_place_call(place, CE_PLACE_NETWORK, ask, &witness, sizeof witness, err));
    *ret_seen = witness.seen;
    return 0;
}

size_t ce_dns_failed(const struct ce_dns_seen *seen, enum ce_dns_failure failure)
{
    switch (failure) {
    case CE_DNS_FAIL_NXDOMAIN:
        return seen->nxdomain;
    case CE_DNS_FAIL_SERVFAIL:
        return seen->servfail;
    case CE_DNS_FAIL_TIMEOUT:
        return seen->sent - seen->answered;
    case CE_DNS_FAIL_WRONG_ADDRESS:
        return seen->wrong;
    }
    return 0;
}
