/* SPDX-License-Identifier: MIT */
/* Shapers: queueing disciplines of ours in a network namespace that each test makes. */
#include <math.h>
#include <sys/wait.h>

#include "host/packets/packet_means.h"
#include "host/packets/rate_probe.h"
#include "host/packets/shaped.h"
#include "host/packets/tc.h"
#include "place_world.h"

static const struct ce_undo_op *const ops[] = {&ce_undo_remove_shaper, NULL};

static const uint64_t mbit = 1000000;
enum { PORT = 7001, OTHER_PORT = 7002, LO_MTU = 65536 };

#define WORLD(w, namespaces)                                                                       \
    CE_CLEANUP(place_world_remove) struct place_world w = place_world_make(namespaces, ops);       \
    if (!w.up)                                                                                     \
    SKIP("this user may make no such namespaces")
#define AS_ANYBODY (geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET)

static struct ce_packet_filter to_port(uint16_t port, enum ce_packet_direction direction)
{
    return (struct ce_packet_filter){
        .direction = direction, .ports = {{port, port}}, .port_count = 1};
}

static double rate_at(const struct place_world *w, int family, uint16_t port, bool leaving,
                      uint64_t expected)
{
    struct ce_rate_probe probe = {.to = place_address(family, port),
                                  .leaving = leaving,
                                  .rate = expected,
                                  .burst = LO_MTU,
                                  .largest = LO_MTU,
                                  .window = 150 * CE_MILLISECOND,
                                  .patience = 5 * CE_SECOND};
    struct ce_rate_seen seen = {0};
    struct ce_error err = {0};
    if (ce_rate_probe(&w->place, &probe, &seen, &err) < 0)
        printf("# %s\n", err.message);
    return seen.rate;
}

/* Of three measurements one has to be right: the machine has other work, too. */
static bool is_limited(const struct place_world *w, int family, uint16_t port, bool leaving,
                       uint64_t asked)
{
    for (int i = 0; i < 3; i++) {
        double rate = rate_at(w, family, port, leaving, asked);
        if (fabs(rate - (double)asked) <= 0.1 * (double)asked)
            return true;
        printf("# %g Mbit/s\n", rate / 1e6);
    }
    return false;
}

static bool is_free(const struct place_world *w, int family, uint16_t port, bool leaving)
{
    return rate_at(w, family, port, leaving, 20 * mbit) > 1.3 * 20 * (double)mbit;
}

/* All that a shaper might leave behind. */
static struct place_output state_of(const struct place_world *w)
{
    return place_world_run(w, "tc qdisc show; ip -d link; ip address; "
                              "for i in lo va; do for h in ingress egress; do "
                              "tc filter show dev $i $h; tc chain show dev $i $h; done; done");
}
#define CHECK_STATE(w, before)                                                                     \
    do {                                                                                           \
        struct place_output now_ = state_of(w);                                                    \
        CHECK_TEXT(now_.text, (before).text);                                                      \
    } while (0)

/* A means at work, as packets.c would have it. */
static int begin(const struct ce_packet_means *means, const struct place_world *w,
                 const struct ce_packet_filter *filter, const struct ce_packet_deed *deed,
                 struct ce_shaped *shaped, struct ce_error *err)
{
    *shaped = (struct ce_shaped){.base = {.means = means,
                                          .journal = w->journal,
                                          .place = w->place,
                                          .filter = *filter,
                                          .deed = *deed}};
    return means->begin(&shaped->base, err);
}

static struct ce_packet_deed limit_of(uint64_t rate)
{
    return (struct ce_packet_deed){.kind = CE_PACKETS_LIMIT, .rate = rate};
}

static void limit_and_measure(unsigned long namespaces)
{
    WORLD(w, namespaces);
    struct place_output before = state_of(&w);
    struct ce_shaped shaped;
    struct ce_error err = {0};
    struct ce_packet_filter filter = to_port(PORT, CE_PACKETS_IN);
    struct ce_packet_deed deed = limit_of(20 * mbit);
    uint64_t seen, hit;
    REQUIRE_OK(begin(&ce_means_tbf, &w, &filter, &deed, &shaped, &err), err);
    CHECK(is_limited(&w, AF_INET, PORT, false, 20 * mbit));
    CHECK(is_limited(&w, AF_INET6, PORT, false, 20 * mbit));
    CHECK(is_free(&w, AF_INET, OTHER_PORT, false));
    CHECK(is_free(&w, AF_INET, PORT, true));
    REQUIRE_OK(ce_means_tbf.count(&shaped.base, &seen, &hit, &err), err);
    CHECK(seen > 20 && hit > 0 && hit <= seen);
    deed.rate = 10 * mbit;
    REQUIRE_OK(ce_means_tbf.adjust(&shaped.base, &deed, &err), err);
    CHECK(is_limited(&w, AF_INET, PORT, false, 10 * mbit));
    REQUIRE_OK(ce_means_tbf.end(&shaped.base, &err), err);
    CHECK_STATE(&w, before);
    CHECK(ce_undo_live(w.journal) == 0);
}

static void packets_to_a_port_are_limited_and_others_are_not(void)
{
    if (geteuid() != 0)
        SKIP("needs root");
    limit_and_measure(CLONE_NEWNET);
}

static void so_they_are_in_a_user_namespace(void)
{
    limit_and_measure(CLONE_NEWUSER | CLONE_NEWNET);
}

static void what_leaves_is_limited_by_its_source_port(void)
{
    WORLD(w, AS_ANYBODY);
    struct place_output before = state_of(&w);
    struct ce_shaped shaped;
    struct ce_error err = {0};
    struct ce_packet_filter filter = to_port(PORT, CE_PACKETS_OUT);
    struct ce_packet_deed deed = limit_of(20 * mbit);
    REQUIRE_OK(begin(&ce_means_tbf, &w, &filter, &deed, &shaped, &err), err);
    CHECK(is_limited(&w, AF_INET, PORT, true, 20 * mbit));
    CHECK(is_limited(&w, AF_INET6, PORT, true, 20 * mbit));
    CHECK(is_free(&w, AF_INET, PORT, false));
    REQUIRE_OK(ce_means_tbf.end(&shaped.base, &err), err);
    CHECK_STATE(&w, before);
}

static void both_directions_have_a_limit_each(void)
{
    WORLD(w, AS_ANYBODY);
    struct place_output before = state_of(&w);
    struct ce_shaped shaped;
    struct ce_error err = {0};
    struct ce_packet_filter filter = to_port(PORT, CE_PACKETS_BOTH);
    struct ce_packet_deed deed = limit_of(20 * mbit);
    REQUIRE_OK(begin(&ce_means_tbf, &w, &filter, &deed, &shaped, &err), err);
    CHECK(is_limited(&w, AF_INET, PORT, true, 20 * mbit));
    CHECK(is_limited(&w, AF_INET, PORT, false, 20 * mbit));
    REQUIRE_OK(ce_means_tbf.end(&shaped.base, &err), err);
    CHECK_STATE(&w, before);
}

/* Peers, protocol and mark: packets that do not fit all of it are left alone. */
static void a_filter_wants_all_that_it_states(void)
{
    static const struct {
        const char *peer;
        int protocol;
        bool fits;
    } cases[] = {
        {"127.0.0.0/8", IPPROTO_UDP, true}, {"127.0.0.1", 0, true},
        {"126.0.0.0/7", 0, true},           {"10.0.0.0/8", 0, false},
        {"127.0.0.1", IPPROTO_TCP, false},  {"127.0.0.2", 0, false},
    };
    WORLD(w, AS_ANYBODY);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_shaped shaped;
        struct ce_error err = {0};
        struct ce_packet_filter filter = to_port(PORT, CE_PACKETS_IN);
        struct ce_packet_deed deed = limit_of(20 * mbit);
        uint64_t seen, hit;
        char text[32];
        snprintf(text, sizeof text, "%s", cases[i].peer);
        char *slash = strchr(text, '/');
        filter.protocol = cases[i].protocol;
        filter.peers[0] =
            (struct ce_network){.family = AF_INET, .prefix = slash ? atoi(slash + 1) : 32};
        filter.peers[1] = (struct ce_network){.family = AF_INET6, .prefix = 97, .address = {0xfd}};
        filter.peer_count = 2;
        if (slash)
            *slash = '\0';
        REQUIRE(inet_pton(AF_INET, text, filter.peers[0].address) == 1);
        REQUIRE_OK(begin(&ce_means_tbf, &w, &filter, &deed, &shaped, &err), err);
        struct ce_rate_probe probe = {.to = place_address(AF_INET, PORT),
                                      .rate = 20 * mbit,
                                      .largest = 1500,
                                      .patience = 50 * CE_MILLISECOND};
        struct ce_rate_seen rate;
        REQUIRE_OK(ce_rate_probe(&w.place, &probe, &rate, &err), err);
        REQUIRE_OK(ce_means_tbf.count(&shaped.base, &seen, &hit, &err), err);
        CHECK((seen > 0) == cases[i].fits);
        if ((seen > 0) != cases[i].fits)
            printf("# %s, protocol %d\n", cases[i].peer, cases[i].protocol);
        REQUIRE_OK(ce_means_tbf.end(&shaped.base, &err), err);
    }
}

static const char others_work[] =
    "ip link add va type veth peer name vb; ip link set va addrgenmode none; "
    "ip link set vb addrgenmode none; ip link set va up; ip link set vb up; "
    "tc qdisc add dev va root handle 5: tbf rate 9mbit burst 9k latency 10ms; "
    "tc qdisc add dev va clsact; "
    "tc filter add dev va ingress protocol all pref 65535 u32 match u32 0 0 classid 1:1; "
    "tc filter add dev va egress protocol ip pref 7 u32 match ip dst 10.9.9.9 classid 1:2";

static void what_others_have_set_up_stays(void)
{
    WORLD(w, AS_ANYBODY);
    struct ce_shaped shaped;
    struct ce_error err = {0};
    struct ce_packet_filter filter = {.direction = CE_PACKETS_BOTH};
    struct ce_packet_deed deed = limit_of(20 * mbit);
    if (!place_world_do(&w, others_work))
        SKIP("no tc that makes veths, u32 and tbf here");
    struct place_output before = state_of(&w);
    CHECK(strstr(before.text, "u32") && strstr(before.text, "tbf 5:"));
    REQUIRE_OK(begin(&ce_means_tbf, &w, &filter, &deed, &shaped, &err), err);
    struct place_output during = state_of(&w);
    CHECK(strcmp(during.text, before.text) != 0);
    REQUIRE_OK(ce_means_tbf.end(&shaped.base, &err), err);
    CHECK_STATE(&w, before);
}

static void one_interface_may_be_named(void)
{
    WORLD(w, AS_ANYBODY);
    struct ce_shaped shaped;
    struct ce_error err = {0};
    struct ce_packet_filter filter = {.interface = "va"};
    struct ce_packet_deed deed = limit_of(20 * mbit);
    CHECK(begin(&ce_means_tbf, &w, &filter, &deed, &shaped, &err) == -ENODEV);
    CHECK(strstr(err.message, "'va'"));
    if (!place_world_do(&w, "ip link add va type veth peer name vb; ip link set va up"))
        SKIP("no veths here");
    REQUIRE_OK(begin(&ce_means_tbf, &w, &filter, &deed, &shaped, &err), err);
    struct place_output on_lo = place_world_run(&w, "tc filter show dev lo ingress");
    struct place_output on_va = place_world_run(&w, "tc filter show dev va ingress");
    CHECK(!strstr(on_lo.text, " bpf ") && strstr(on_va.text, " bpf "));
    REQUIRE_OK(ce_means_tbf.end(&shaped.base, &err), err);
}

/* Two shapers of the same packets: both act, whichever ends first. */
static void shapers_of_the_same_packets_compose(void)
{
    WORLD(w, AS_ANYBODY);
    struct place_output before = state_of(&w);
    for (int first = 0; first < 2; first++) {
        struct ce_shaped shaped[2];
        struct ce_error err = {0};
        struct ce_packet_filter filter = to_port(PORT, CE_PACKETS_IN);
        struct ce_packet_deed slow = limit_of(10 * mbit), fast = limit_of(20 * mbit);
        REQUIRE_OK(begin(&ce_means_tbf, &w, &filter, &fast, &shaped[0], &err), err);
        REQUIRE_OK(begin(&ce_means_tbf, &w, &filter, &slow, &shaped[1], &err), err);
        CHECK(is_limited(&w, AF_INET, PORT, false, 10 * mbit));
        REQUIRE_OK(ce_means_tbf.end(&shaped[first].base, &err), err);
        uint64_t left = first == 0 ? slow.rate : fast.rate;
        CHECK(is_limited(&w, AF_INET, PORT, false, left));
        REQUIRE_OK(ce_means_tbf.end(&shaped[1 - first].base, &err), err);
        CHECK_STATE(&w, before);
    }
}

static void shapers_of_different_packets_stand_side_by_side(void)
{
    WORLD(w, AS_ANYBODY);
    struct place_output before = state_of(&w);
    struct ce_shaped shaped[2], third;
    struct ce_error err = {0};
    struct ce_packet_filter filters[] = {to_port(PORT, CE_PACKETS_IN),
                                         to_port(OTHER_PORT, CE_PACKETS_IN)};
    struct ce_packet_filter wide = {
        .direction = CE_PACKETS_IN, .ports = {{PORT, OTHER_PORT}}, .port_count = 1};
    struct ce_packet_deed deeds[] = {limit_of(10 * mbit), limit_of(20 * mbit)};
    REQUIRE_OK(begin(&ce_means_tbf, &w, &filters[0], &deeds[0], &shaped[0], &err), err);
    REQUIRE_OK(begin(&ce_means_tbf, &w, &filters[1], &deeds[1], &shaped[1], &err), err);
    CHECK(is_limited(&w, AF_INET, PORT, false, 10 * mbit));
    CHECK(is_limited(&w, AF_INET, OTHER_PORT, false, 20 * mbit));
    CHECK(begin(&ce_means_tbf, &w, &wide, &deeds[0], &third, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "another shaper"));
    REQUIRE_OK(ce_means_tbf.end(&shaped[0].base, &err), err);
    CHECK(is_limited(&w, AF_INET, OTHER_PORT, false, 20 * mbit));
    REQUIRE_OK(ce_means_tbf.end(&shaped[1].base, &err), err);
    CHECK_STATE(&w, before);
}

static void what_the_kernel_lacks_is_said_and_leaves_nothing(void)
{
    WORLD(w, AS_ANYBODY);
    struct place_output before = state_of(&w);
    struct ce_shaped shaped;
    struct ce_error err = {0};
    char reason[256] = "";
    struct ce_packet_filter filter = to_port(PORT, CE_PACKETS_IN);
    struct ce_packet_deed delay = {.kind = CE_PACKETS_DELAY, .delay = 5 * CE_MILLISECOND};
    if (ce_means_netem.available(reason, sizeof reason))
        SKIP("this kernel has netem");
    CHECK(strstr(reason, "netem"));
    CHECK(begin(&ce_means_netem, &w, &filter, &delay, &shaped, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "netem"));
    CHECK_STATE(&w, before);
    CHECK(ce_undo_live(w.journal) == 0);
}

static void a_target_that_is_gone_has_nothing_left_to_undo(void)
{
    WORLD(w, AS_ANYBODY);
    struct ce_shaped shaped;
    struct ce_error err = {0};
    struct ce_packet_filter filter = to_port(PORT, CE_PACKETS_IN);
    struct ce_packet_deed deed = limit_of(20 * mbit);
    REQUIRE_OK(begin(&ce_means_tbf, &w, &filter, &deed, &shaped, &err), err);
    REQUIRE_OK(ce_process_end(&w.process, 10 * CE_SECOND, &err), err);
    REQUIRE_OK(ce_means_tbf.end(&shaped.base, &err), err);
    CHECK(ce_undo_live(w.journal) == 0);
}

/* Executed anew, because seams count the steps of a process: two shapers, and their end. */
static int shape_twice(const char *state, pid_t pid)
{
    struct ce_error err = {0};
    struct place_world w = {0};
    struct ce_shaped shaped[2];
    struct ce_packet_filter filter = {
        .direction = CE_PACKETS_BOTH, .ports = {{PORT, PORT}}, .port_count = 1};
    struct ce_packet_deed deed = limit_of(20 * mbit);
    CE_TRY(ce_process_identify(pid, &w.process));
    CE_TRY(ce_place_of_process(&w.process, &w.place, &err));
    CE_TRY(ce_journal_create(state, "crash", ops, &w.journal, &err));
    for (int i = 0; i < 2; i++)
        CE_TRY(begin(&ce_means_tbf, &w, &filter, &deed, &shaped[i], &err));
    for (int i = 0; i < 2; i++)
        CE_TRY(ce_means_tbf.end(&shaped[i].base, &err));
    ce_journal_close(w.journal);
    return 0;
}

static void a_crash_at_any_step_leaves_nothing(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    if (getenv("CHAOSEATER_TEST_SLOW_MACHINE"))
        SKIP("takes too long on this machine");
    WORLD(w, AS_ANYBODY);
    struct ce_error err = {0};
    int status = 0, step = 0;
    if (!place_world_do(&w, others_work))
        SKIP("no tc that makes veths, u32 and tbf here");
    struct place_output before = state_of(&w);
    do {
        char step_text[16], pid_text[16];
        snprintf(step_text, sizeof step_text, "%d", ++step);
        snprintf(pid_text, sizeof pid_text, "%d", (int)w.process.pid);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", step_text, 1);
            execl("/proc/self/exe", "test_tc", w.state, pid_text, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        struct ce_recovery counts;
        REQUIRE_OK(ce_journal_recover(w.state, ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        CHECK_STATE(&w, before);
    } while (WIFSIGNALED(status) && check_failures == 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(step > 20);
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return shape_twice(argv[1], atoi(argv[2])) < 0;
    char reason[256];
    if (!ce_means_tbf.available(reason, sizeof reason))
        printf("# %s\n", reason);
    TEST(packets_to_a_port_are_limited_and_others_are_not);
    TEST(so_they_are_in_a_user_namespace);
    TEST(what_leaves_is_limited_by_its_source_port);
    TEST(both_directions_have_a_limit_each);
    TEST(a_filter_wants_all_that_it_states);
    TEST(what_others_have_set_up_stays);
    TEST(one_interface_may_be_named);
    TEST(shapers_of_the_same_packets_compose);
    TEST(shapers_of_different_packets_stand_side_by_side);
    TEST(what_the_kernel_lacks_is_said_and_leaves_nothing);
    TEST(a_target_that_is_gone_has_nothing_left_to_undo);
    TEST(a_crash_at_any_step_leaves_nothing);
    return test_done();
}
