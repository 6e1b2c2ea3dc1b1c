/* SPDX-License-Identifier: MIT */
/* Means that lose packets, one at a time, in a place of the test's own: how many get through, and
 * what is true of every means that draws for each packet by itself. */
#ifndef CE_TESTS_LOSS_WORLD_H
#define CE_TESTS_LOSS_WORLD_H

#include "host/packets/packet_means.h"
#include "host/packets/packet_probe.h"
#include "place_world.h"

enum { PORT = 7001, OTHER_PORT = 7002, MANY = 2000 };

/* Of MANY datagrams, how many arrive. */
static inline size_t arrive(const struct place_world *w, int family, uint16_t port)
{
    struct ce_packet_probe probe = {.at = place_address(family, port),
                                    .count = MANY,
                                    .spacing = 20 * CE_MICROSECOND,
                                    .patience = 100 * CE_MILLISECOND,
                                    .payload = 64};
    struct ce_packet_seen seen = {0};
    struct ce_error err = {0};
    if (ce_packet_probe(&w->place, &probe, &seen, &err) < 0)
        printf("# %s\n", err.message);
    return seen.received;
}

static inline bool within_four_sigma(size_t lost, double rate)
{
    double expected = MANY * rate, deviation = (double)lost - expected;
    if (deviation * deviation <= 16 * expected * (1 - rate))
        return true;
    printf("# %zu of %d lost\n", lost, MANY);
    return false;
}

static inline int begin(const struct ce_packet_means *means, const struct place_world *w,
                        const struct ce_packet_filter *filter, double loss,
                        struct ce_packets **ret_packets, struct ce_error *err)
{
    struct ce_packets *packets = calloc(1, means->size);
    if (!packets)
        return -ENOMEM;
    *packets = (struct ce_packets){.means = means,
                                   .journal = w->journal,
                                   .place = w->place,
                                   .filter = *filter,
                                   .deed = {.kind = CE_PACKETS_LOSE, .loss = loss}};
    *ret_packets = packets;
    return means->begin(packets, err);
}

static inline struct ce_packet_filter to_port(uint16_t port)
{
    return (struct ce_packet_filter){.ports = {{port, port}}, .port_count = 1};
}

/* ---- what is true of each ---- */

static inline void check_share(const struct ce_packet_means *means, const struct place_world *w)
{
    ce_autofree struct ce_packets *packets = NULL;
    struct ce_error err = {0};
    struct ce_packet_filter filter = to_port(PORT);
    uint64_t seen, hit;
    REQUIRE_OK(begin(means, w, &filter, 0.2, &packets, &err), err);
    size_t v4 = MANY - arrive(w, AF_INET, PORT), v6 = MANY - arrive(w, AF_INET6, PORT);
    CHECK(within_four_sigma(v4, 0.2));
    CHECK(within_four_sigma(v6, 0.2));
    CHECK(arrive(w, AF_INET, OTHER_PORT) == MANY);
    REQUIRE_OK(means->count(packets, &seen, &hit, &err), err);
    CHECK(seen == 2 * (uint64_t)MANY && hit == v4 + v6);
    struct ce_packet_deed more = {.kind = CE_PACKETS_LOSE, .loss = 0.6};
    REQUIRE_OK(means->adjust(packets, &more, &err), err);
    CHECK(within_four_sigma(MANY - arrive(w, AF_INET, PORT), 0.6));
    more.loss = 0;
    REQUIRE_OK(means->adjust(packets, &more, &err), err);
    CHECK(arrive(w, AF_INET, PORT) == MANY);
    more.loss = 1;
    REQUIRE_OK(means->adjust(packets, &more, &err), err);
    CHECK(arrive(w, AF_INET, PORT) == 0);
    REQUIRE_OK(means->end(packets, &err), err);
    CHECK(arrive(w, AF_INET, PORT) == MANY);
    CHECK(ce_undo_live(w->journal) == 0);
}

static inline void check_peers_and_protocols(const struct ce_packet_means *means,
                                             const struct place_world *w)
{
    static const struct {
        struct ce_network peer;
        int protocol;
        bool fits;
    } cases[] = {
        {{AF_INET, {127}, 8}, 0, true},
        {{AF_INET, {127, 0, 0, 1}, 32}, IPPROTO_UDP, true},
        {{AF_INET, {126}, 7}, 0, true},
        {{AF_INET, {0}, 0}, 0, true},
        {{AF_INET, {127, 0, 0, 2}, 32}, 0, false},
        {{AF_INET, {127}, 8}, IPPROTO_TCP, false},
        {{AF_INET6, {0}, 0}, 0, false},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofree struct ce_packets *packets = NULL;
        struct ce_error err = {0};
        struct ce_packet_filter filter = {
            .peers = {{AF_INET, {10}, 8}, cases[i].peer, {AF_INET6, {0xfd}, 97}},
            .peer_count = 3,
            .protocol = cases[i].protocol};
        uint64_t seen, hit;
        REQUIRE_OK(begin(means, w, &filter, 0.0, &packets, &err), err);
        CHECK(arrive(w, AF_INET, PORT) == MANY);
        REQUIRE_OK(means->count(packets, &seen, &hit, &err), err);
        CHECK(seen == (cases[i].fits ? (uint64_t)MANY : 0));
        CHECK(hit == 0);
        REQUIRE_OK(means->end(packets, &err), err);
    }
}

static inline void check_refusals(const struct ce_packet_means *means, const struct place_world *w)
{
    struct ce_packets packets = {.journal = w->journal,
                                 .place = w->place,
                                 .deed = {.kind = CE_PACKETS_LOSE, .loss = 0.1, .duplicate = 0.1}};
    struct ce_error err = {0};
    CHECK(means->begin(&packets, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "only loses"));
    packets.deed.duplicate = 0;
    packets.deed.correlation = 0.5;
    CHECK(means->begin(&packets, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "independently"));
}

#endif
