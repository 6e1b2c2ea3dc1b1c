/* SPDX-License-Identifier: MIT */
/* Loss by an eBPF program, in a network namespace that each test makes. */
#include "base/seam.h"
#include "host/packets/means_agent.h"
#include "host/packets/tc.h"
#include "loss_world.h"

static const struct ce_undo_op *const ops[] = {&ce_undo_remove_shaper, &ce_undo_end_process, NULL};

#define WORLD(w)                                                                                   \
    char reason_[256];                                                                             \
    if (!ce_means_bpf.available(reason_, sizeof reason_)) {                                        \
        printf("# %s\n", reason_);                                                                 \
        SKIP("this user may load no bpf programs");                                                \
    }                                                                                              \
    CE_CLEANUP(place_world_remove) struct place_world w = place_world_make(CLONE_NEWNET, ops);     \
    REQUIRE(w.up)

static void a_share_of_the_packets_is_lost(void)
{
    WORLD(w);
    check_share(&ce_means_bpf, &w);
    struct place_output left = place_world_run(&w, "tc qdisc show dev lo");
    CHECK(!strstr(left.text, "clsact"));
}

static void peers_and_protocols_are_told_apart(void)
{
    WORLD(w);
    check_peers_and_protocols(&ce_means_bpf, &w);
}

static void the_loss_ends_with_its_agent(void)
{
    WORLD(w);
    ce_autofree struct ce_packets *packets = NULL;
    struct ce_error err = {0};
    struct ce_packet_filter filter = to_port(PORT);
    uint64_t seen, hit;
    REQUIRE_OK(begin(&ce_means_bpf, &w, &filter, 1, &packets, &err), err);
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
    check_refusals(&ce_means_bpf, &w);
}

int main(void)
{
    TEST(a_share_of_the_packets_is_lost);
    TEST(peers_and_protocols_are_told_apart);
    TEST(the_loss_ends_with_its_agent);
    TEST(what_it_cannot_do_is_refused);
    return test_done();
}
