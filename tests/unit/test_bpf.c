/* SPDX-License-Identifier: MIT */
/* Loss by an eBPF program, in a network namespace that each test makes. */
#include "base/seam.h"
#include "host/packets/means_agent.h"
#include "host/packets/packet_probe.h"
#include "host/packets/tc.h"
#include "place_world.h"

static const struct ce_undo_op *const ops[] = {&ce_undo_remove_shaper, &ce_undo_end_process, NULL};

enum { PORT = 7001, OTHER_PORT = 7002, MANY = 2000 };

#define WORLD(w)                                                                                   \
    char reason_[256];                                                                             \
    if (!ce_means_bpf.available(reason_, sizeof reason_)) {                                        \
        printf("# %s\n", reason_);                                                                 \
        SKIP("this user may load no bpf programs");                                                \
    }                                                                                              \
    CE_CLEANUP(place_world_remove) struct place_world w = place_world_make(CLONE_NEWNET, ops);     \
    REQUIRE(w.up)

static struct sockaddr_storage address(int family, uint16_t port)
{
    struct sockaddr_storage any = {.ss_family = (sa_family_t)family};
    if (family == AF_INET6) {
        ((struct sockaddr_in6 *)&any)->sin6_addr = in6addr_loopback;
        ((struct sockaddr_in6 *)&any)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)&any)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ((struct sockaddr_in *)&any)->sin_port = htons(port);
    }
    return any;
}

/* Of MANY datagrams, how many arrive. */
static size_t arrive(const struct place_world *w, int family, uint16_t port)
{
    struct ce_packet_probe probe = {.at = address(family, port),
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

static bool within_four_sigma(size_t lost, double rate)
{
    double expected = MANY * rate, deviation = (double)lost - expected;
    if (deviation * deviation <= 16 * expected * (1 - rate))
        return true;
    printf("# %zu of %d lost\n", lost, MANY);
    return false;
}

static int begin(const struct place_world *w, const struct ce_packet_filter *filter, double loss,
                 struct ce_packets **ret_packets, struct ce_error *err)
{
    struct ce_packets *packets = calloc(1, ce_means_bpf.size);
    if (!packets)
        return -ENOMEM;
    *packets = (struct ce_packets){.means = &ce_means_bpf,
                                   .journal = w->journal,
                                   .place = w->place,
                                   .filter = *filter,
                                   .deed = {.kind = CE_PACKETS_LOSE, .loss = loss}};
    *ret_packets = packets;
    return ce_means_bpf.begin(packets, err);
}

static struct ce_packet_filter to_port(uint16_t port)
{
    return (struct ce_packet_filter){.ports = {{port, port}}, .port_count = 1};
}

static void a_share_of_the_packets_is_lost(void)
{
    WORLD(w);
    ce_autofree struct ce_packets *packets = NULL;
    struct ce_error err = {0};
    struct ce_packet_filter filter = to_port(PORT);
    uint64_t seen, hit;
    REQUIRE_OK(begin(&w, &filter, 0.2, &packets, &err), err);
    size_t v4 = MANY - arrive(&w, AF_INET, PORT), v6 = MANY - arrive(&w, AF_INET6, PORT);
    CHECK(within_four_sigma(v4, 0.2));
    CHECK(within_four_sigma(v6, 0.2));
    CHECK(arrive(&w, AF_INET, OTHER_PORT) == MANY);
    REQUIRE_OK(ce_means_bpf.count(packets, &seen, &hit, &err), err);
    CHECK(seen == 2 * (uint64_t)MANY && hit == v4 + v6);
    struct ce_packet_deed more = {.kind = CE_PACKETS_LOSE, .loss = 0.6};
    REQUIRE_OK(ce_means_bpf.adjust(packets, &more, &err), err);
    CHECK(within_four_sigma(MANY - arrive(&w, AF_INET, PORT), 0.6));
    more.loss = 0;
    REQUIRE_OK(ce_means_bpf.adjust(packets, &more, &err), err);
    CHECK(arrive(&w, AF_INET, PORT) == MANY);
    more.loss = 1;
    REQUIRE_OK(ce_means_bpf.adjust(packets, &more, &err), err);
    CHECK(arrive(&w, AF_INET, PORT) == 0);
    REQUIRE_OK(ce_means_bpf.end(packets, &err), err);
    CHECK(arrive(&w, AF_INET, PORT) == MANY);
    CHECK(ce_undo_live(w.journal) == 0);
    struct place_output left = place_world_run(&w, "tc qdisc show dev lo");
    CHECK(!strstr(left.text, "clsact"));
}

static void peers_and_protocols_are_told_apart(void)
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
    WORLD(w);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofree struct ce_packets *packets = NULL;
        struct ce_error err = {0};
        struct ce_packet_filter filter = {
            .peers = {{AF_INET, {10}, 8}, cases[i].peer, {AF_INET6, {0xfd}, 97}},
            .peer_count = 3,
            .protocol = cases[i].protocol};
        uint64_t seen, hit;
        REQUIRE_OK(begin(&w, &filter, 0.0, &packets, &err), err);
        CHECK(arrive(&w, AF_INET, PORT) == MANY);
        REQUIRE_OK(ce_means_bpf.count(packets, &seen, &hit, &err), err);
        CHECK(seen == (cases[i].fits ? (uint64_t)MANY : 0));
        CHECK(hit == 0);
        REQUIRE_OK(ce_means_bpf.end(packets, &err), err);
    }
}

static void the_loss_ends_with_its_agent(void)
{
    WORLD(w);
    ce_autofree struct ce_packets *packets = NULL;
    struct ce_error err = {0};
    struct ce_packet_filter filter = to_port(PORT);
    uint64_t seen, hit;
    REQUIRE_OK(begin(&w, &filter, 1, &packets, &err), err);
    CHECK(arrive(&w, AF_INET, PORT) == 0);
    struct ce_process_id agent = ce_agent_id(((struct ce_means_agent *)packets)->agent);
    REQUIRE_OK(ce_process_end(&agent, 10 * CE_SECOND, &err), err);
    struct place_output hook = place_world_run(&w, "tc qdisc show dev lo");
    if (!strstr(hook.text, "clsact")) /* else the kernel has no links, and a filter stands there */
        CHECK(arrive(&w, AF_INET, PORT) == MANY);
    CHECK(ce_means_bpf.count(packets, &seen, &hit, &err) == -EPIPE);
    REQUIRE_OK(ce_means_bpf.end(packets, &err), err);
    CHECK(arrive(&w, AF_INET, PORT) == MANY);
}

static void what_it_cannot_do_is_refused(void)
{
    WORLD(w);
    struct ce_packets packets = {.journal = w.journal,
                                 .place = w.place,
                                 .deed = {.kind = CE_PACKETS_LOSE, .loss = 0.1, .duplicate = 0.1}};
    struct ce_error err = {0};
    CHECK(ce_means_bpf.begin(&packets, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "only loses"));
    packets.deed.duplicate = 0;
    packets.deed.correlation = 0.5;
    CHECK(ce_means_bpf.begin(&packets, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "independently"));
}

int main(void)
{
    TEST(a_share_of_the_packets_is_lost);
    TEST(peers_and_protocols_are_told_apart);
    TEST(the_loss_ends_with_its_agent);
    TEST(what_it_cannot_do_is_refused);
    return test_done();
}
