/* SPDX-License-Identifier: MIT */
/* Loss and blocks by iptables, in a network namespace that each test makes. */
#include <sys/wait.h>

#include "host/packets/packet_means.h"
#include "host/packets/packet_probe.h"
#include "host/packets/xtables.h"
#include "place_world.h"

static const struct ce_undo_op *const ops[] = {&ce_undo_remove_chains, NULL};

enum { PORT = 7001, OTHER_PORT = 7002, MANY = 2000 };

#define AS_ANYBODY (geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET)
#define WORLD(w)                                                                                   \
    char reason_[256];                                                                             \
    if (!ce_means_iptables.available(reason_, sizeof reason_)) {                                   \
        printf("# %s\n", reason_);                                                                 \
        SKIP("no iptables here");                                                                  \
    }                                                                                              \
    CE_CLEANUP(place_world_remove) struct place_world w = place_world_make(AS_ANYBODY, ops);       \
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
    struct ce_packets *packets = calloc(1, ce_means_iptables.size);
    if (!packets)
        return -ENOMEM;
    *packets = (struct ce_packets){.means = &ce_means_iptables,
                                   .journal = w->journal,
                                   .place = w->place,
                                   .filter = *filter,
                                   .deed = {.kind = CE_PACKETS_LOSE, .loss = loss}};
    *ret_packets = packets;
    return ce_means_iptables.begin(packets, err);
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
    REQUIRE_OK(ce_means_iptables.count(packets, &seen, &hit, &err), err);
    CHECK(seen == 2 * (uint64_t)MANY && hit == v4 + v6);
    struct ce_packet_deed more = {.kind = CE_PACKETS_LOSE, .loss = 0.6};
    REQUIRE_OK(ce_means_iptables.adjust(packets, &more, &err), err);
    CHECK(within_four_sigma(MANY - arrive(&w, AF_INET, PORT), 0.6));
    more.loss = 0;
    REQUIRE_OK(ce_means_iptables.adjust(packets, &more, &err), err);
    CHECK(arrive(&w, AF_INET, PORT) == MANY);
    more.loss = 1;
    REQUIRE_OK(ce_means_iptables.adjust(packets, &more, &err), err);
    CHECK(arrive(&w, AF_INET, PORT) == 0);
    REQUIRE_OK(ce_means_iptables.end(packets, &err), err);
    CHECK(arrive(&w, AF_INET, PORT) == MANY);
    CHECK(ce_undo_live(w.journal) == 0);
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
        REQUIRE_OK(ce_means_iptables.count(packets, &seen, &hit, &err), err);
        CHECK(seen == (cases[i].fits ? (uint64_t)MANY : 0));
        CHECK(hit == 0);
        REQUIRE_OK(ce_means_iptables.end(packets, &err), err);
    }
}

/* All rules of the place, without counters. */
static struct place_output rules_of(const struct place_world *w)
{
    return place_world_run(w, "touch /run/xtables.lock 2>/dev/null || "
                              "export XTABLES_LOCKFILE=/dev/null; "
                              "for p in iptables ip6tables; do for t in filter mangle; do "
                              "$p-legacy-save -t $t | grep -v '^#' | sed 's/ .[0-9]*:[0-9]*.$//'; "
                              "done; done");
}

static const char others_rules[] =
    "touch /run/xtables.lock 2>/dev/null || export XTABLES_LOCKFILE=/dev/null; "
    "for p in iptables-legacy ip6tables-legacy; do "
    "$p -N mine && $p -A mine -p tcp --dport 99 -j DROP && $p -A INPUT -i lo -j mine && "
    "$p -P FORWARD DROP && $p -t mangle -A OUTPUT -p udp --sport 98 -j MARK --set-mark 3 || exit "
    "1; "
    "done";

static void rules_of_others_stay_as_they_were(void)
{
    WORLD(w);
    ce_autofree struct ce_packets *packets = NULL;
    struct ce_error err = {0};
    struct ce_packet_filter filter = to_port(PORT);
    filter.direction = CE_PACKETS_BOTH;
    if (!place_world_do(&w, others_rules))
        SKIP("no iptables-legacy here");
    struct place_output before = rules_of(&w);
    CHECK(strstr(before.text, "-A INPUT -i lo -j mine") && strstr(before.text, "*mangle"));
    REQUIRE_OK(begin(&w, &filter, 0.5, &packets, &err), err);
    struct place_output during = rules_of(&w);
    CHECK(strstr(during.text, "statistic"));
    REQUIRE_OK(ce_means_iptables.end(packets, &err), err);
    struct place_output after = rules_of(&w);
    CHECK_TEXT(after.text, before.text);
}

static void a_block_is_whole(void)
{
    WORLD(w);
    struct ce_error err = {0};
    for (int reject = 0; reject < 2; reject++) {
        ce_autofree struct ce_packets *packets = calloc(1, ce_means_iptables.size);
        REQUIRE(packets);
        *packets = (struct ce_packets){.means = &ce_means_iptables,
                                       .journal = w.journal,
                                       .place = w.place,
                                       .filter = to_port(PORT),
                                       .deed = {.kind = CE_PACKETS_BLOCK, .reject = reject}};
        REQUIRE_OK(ce_means_iptables.begin(packets, &err), err);
        CHECK(arrive(&w, AF_INET, PORT) == 0);
        CHECK(arrive(&w, AF_INET6, PORT) == 0);
        CHECK(arrive(&w, AF_INET, OTHER_PORT) == MANY);
        REQUIRE_OK(ce_means_iptables.end(packets, &err), err);
        CHECK(arrive(&w, AF_INET, PORT) == MANY);
    }
}

/* Executed anew, because seams count the steps of a process. */
static int lose_once(const char *state, pid_t pid)
{
    struct ce_error err = {0};
    struct place_world w = {0};
    struct ce_packets *packets = NULL;
    struct ce_packet_filter filter = to_port(PORT);
    CE_TRY(ce_process_identify(pid, &w.process));
    CE_TRY(ce_place_of_process(&w.process, &w.place, &err));
    CE_TRY(ce_journal_create(state, "crash", ops, &w.journal, &err));
    int r = begin(&w, &filter, 0.5, &packets, &err);
    if (r == 0)
        r = ce_means_iptables.end(packets, &err);
    free(packets);
    ce_journal_close(w.journal);
    return r;
}

static void a_crash_at_any_step_leaves_nothing(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    WORLD(w);
    struct ce_error err = {0};
    int status = 0, step = 0;
    if (!place_world_do(&w, others_rules))
        SKIP("no iptables-legacy here");
    struct place_output before = rules_of(&w);
    do {
        char step_text[16], pid_text[16];
        snprintf(step_text, sizeof step_text, "%d", ++step);
        snprintf(pid_text, sizeof pid_text, "%d", (int)w.process.pid);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", step_text, 1);
            execl("/proc/self/exe", "test_iptables", w.state, pid_text, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        struct ce_recovery counts;
        REQUIRE_OK(ce_journal_recover(w.state, ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        struct place_output now = rules_of(&w);
        CHECK_TEXT(now.text, before.text);
    } while (WIFSIGNALED(status) && check_failures == 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(step > 6);
}

static void what_it_cannot_do_is_refused(void)
{
    WORLD(w);
    struct ce_packets packets = {.journal = w.journal,
                                 .place = w.place,
                                 .deed = {.kind = CE_PACKETS_LOSE, .loss = 0.1, .duplicate = 0.1}};
    struct ce_error err = {0};
    CHECK(ce_means_iptables.begin(&packets, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "only loses"));
    packets.deed.duplicate = 0;
    packets.deed.correlation = 0.5;
    CHECK(ce_means_iptables.begin(&packets, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "independently"));
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return lose_once(argv[1], atoi(argv[2])) < 0;
    TEST(a_share_of_the_packets_is_lost);
    TEST(peers_and_protocols_are_told_apart);
    TEST(rules_of_others_stay_as_they_were);
    TEST(a_block_is_whole);
    TEST(what_it_cannot_do_is_refused);
    TEST(a_crash_at_any_step_leaves_nothing);
    return test_done();
}
