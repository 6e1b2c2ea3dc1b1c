/* SPDX-License-Identifier: MIT */
/* netem, in a network namespace that each test makes; skipped where the kernel has none. Times are
 * asserted as a slow machine keeps them: never less than asked, and not grossly more. */
#include <math.h>

#include "host/packets/packet_probe.h"
#include "host/packets/rate_probe.h"
#include "host/packets/shaped.h"
#include "place_world.h"

static const struct ce_undo_op *const ops[] = {&ce_undo_remove_shaper, NULL};

enum { PORT = 7001, MANY = 600, LO_MTU = 65536 };
static const int64_t ms = CE_MILLISECOND;

#define AS_ANYBODY (geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET)
#define WORLD(w)                                                                                   \
    char reason_[256];                                                                             \
    if (!ce_means_netem.available(reason_, sizeof reason_))                                        \
        SKIP("this kernel has no netem");                                                          \
    CE_CLEANUP(place_world_remove) struct place_world w = place_world_make(AS_ANYBODY, ops);       \
    REQUIRE(w.up)

static struct sockaddr_storage address(void)
{
    struct sockaddr_storage any = {.ss_family = AF_INET};
    ((struct sockaddr_in *)&any)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ((struct sockaddr_in *)&any)->sin_port = htons(PORT);
    return any;
}

static struct ce_packet_seen look_at(const struct place_world *w, size_t count)
{
    struct ce_packet_probe probe = {
        .at = address(), .count = count, .spacing = ms, .patience = 500 * ms, .payload = 64};
    struct ce_packet_seen seen = {0};
    struct ce_error err = {0};
    if (ce_packet_probe(&w->place, &probe, &seen, &err) < 0)
        printf("# %s\n", err.message);
    return seen;
}

static int begin(const struct ce_packet_means *means, const struct place_world *w,
                 const struct ce_packet_deed *deed, struct ce_shaped *shaped, struct ce_error *err)
{
    *shaped = (struct ce_shaped){.base = {.means = means,
                                          .journal = w->journal,
                                          .place = w->place,
                                          .filter = {.ports = {{PORT, PORT}}, .port_count = 1},
                                          .deed = *deed}};
    return means->begin(&shaped->base, err);
}

static struct ce_packet_seen look(const struct place_world *w)
{
    return look_at(w, MANY);
}

/* What the probe sees of one deed; 0 received: it could not be begun. */
static struct ce_packet_seen try_deed(const struct place_world *w,
                                      const struct ce_packet_deed *deed)
{
    struct ce_shaped shaped;
    struct ce_packet_seen seen = {0};
    struct ce_error err = {0};
    int r = begin(&ce_means_netem, w, deed, &shaped, &err);
    if (r == 0) {
        seen = look(w);
        r = ce_means_netem.end(&shaped.base, &err);
    }
    if (r < 0)
        printf("# %s\n", err.message);
    printf("# %zu received, %zu damaged, %zu twice, %zu late; p50 %g, least %g, most %g, spread %g "
           "ms\n",
           seen.received, seen.damaged, seen.twice, seen.late, (double)seen.p50 / 1e6,
           (double)seen.least / 1e6, (double)seen.most / 1e6, (double)seen.spread / 1e6);
    return seen;
}

/* From a tenth less than that up to what a slow machine makes of it. */
static bool is_about(int64_t value, double wanted)
{
    return (double)value >= 0.9 * wanted && (double)value <= 1.3 * wanted + 25e6;
}

static bool within_four_sigma(size_t count, double rate)
{
    double deviation = (double)count - MANY * rate;
    return deviation * deviation <= 16 * MANY * rate * (1 - rate);
}

static void packets_are_delayed_as_asked_and_that_can_change(void)
{
    WORLD(w);
    struct ce_shaped shaped;
    struct ce_error err = {0};
    struct place_output before = place_world_run(&w, "tc qdisc show; ip -d link");
    struct ce_packet_deed deed = {.kind = CE_PACKETS_DELAY, .delay = 20 * ms};
    uint64_t seen, hit;
    REQUIRE_OK(begin(&ce_means_netem, &w, &deed, &shaped, &err), err);
    struct ce_packet_seen probe = look(&w);
    CHECK(probe.received == MANY && probe.late == 0);
    CHECK(probe.least >= 20 * ms && is_about(probe.p50, 20e6));
    REQUIRE_OK(ce_means_netem.count(&shaped.base, &seen, &hit, &err), err);
    CHECK(seen == MANY && hit == MANY);
    deed.delay = 5 * ms;
    REQUIRE_OK(ce_means_netem.adjust(&shaped.base, &deed, &err), err);
    probe = look(&w);
    CHECK(probe.least >= 5 * ms && probe.p50 < 10 * ms);
    REQUIRE_OK(ce_means_netem.end(&shaped.base, &err), err);
    CHECK(look(&w).p50 < 5 * ms);
    struct place_output after = place_world_run(&w, "tc qdisc show; ip -d link");
    CHECK_TEXT(after.text, before.text);
}

static void delays_spread_as_their_distribution_has_it(void)
{
    WORLD(w);
    struct ce_packet_deed deed = {.kind = CE_PACKETS_DELAY, .delay = 60 * ms, .jitter = 15 * ms};
    struct ce_packet_seen seen = try_deed(&w, &deed);
    CHECK(seen.received == MANY && seen.late > MANY / 10);
    CHECK(seen.least >= 45 * ms && seen.least < 50 * ms);
    CHECK(is_about(seen.spread, 15e6 / sqrt(3)));
    CHECK(is_about(seen.p50, 60e6));
    deed.distribution = CE_DELAY_NORMAL;
    seen = try_deed(&w, &deed);
    CHECK(is_about(seen.spread, 15e6));
    CHECK(is_about(seen.p50, 60e6));
    CHECK(seen.least < 40 * ms);
    deed.distribution = CE_DELAY_PARETO;
    seen = try_deed(&w, &deed);
    CHECK(seen.least >= 60 * ms && seen.least < 65 * ms);
    CHECK(is_about(seen.p50, 60e6 + 15e6 * 2 * (cbrt(2) - 1)));
}

static void packets_keep_their_order_on_request(void)
{
    WORLD(w);
    struct ce_packet_deed deed = {
        .kind = CE_PACKETS_DELAY, .delay = 30 * ms, .jitter = 10 * ms, .keep_order = true};
    struct ce_packet_seen seen = try_deed(&w, &deed);
    CHECK(seen.received == MANY && seen.late == 0);
    CHECK(seen.p50 >= 30 * ms && seen.p50 < 60 * ms);
}

static void packets_are_lost_doubled_damaged_and_reordered(void)
{
    WORLD(w);
    struct ce_packet_deed lose = {.kind = CE_PACKETS_LOSE, .loss = 0.2};
    CHECK(within_four_sigma(MANY - try_deed(&w, &lose).received, 0.2));
    struct ce_packet_deed twice = {.kind = CE_PACKETS_LOSE, .duplicate = 0.3};
    CHECK(within_four_sigma(try_deed(&w, &twice).twice, 0.3));
    struct ce_packet_deed reorder = {.kind = CE_PACKETS_LOSE, .reorder = 0.1};
    struct ce_packet_seen seen = try_deed(&w, &reorder);
    CHECK(within_four_sigma(seen.late, 0.1));
    CHECK(seen.received == MANY && seen.p50 < 8 * ms);
    /* One bit of the packet: where it is one of a header's, the packet does not arrive. */
    struct ce_packet_deed corrupt = {.kind = CE_PACKETS_LOSE, .corrupt = 0.2};
    seen = try_deed(&w, &corrupt);
    CHECK(within_four_sigma(MANY - seen.received, 0.2) && seen.damaged > 0);
}

static double rate_now(const struct place_world *w)
{
    struct ce_rate_probe probe = {.to = address(),
                                  .rate = 10000000,
                                  .burst = LO_MTU,
                                  .largest = LO_MTU,
                                  .window = 250 * ms,
                                  .patience = 5 * CE_SECOND};
    struct ce_rate_seen seen = {0};
    (void)ce_rate_probe(&w->place, &probe, &seen, NULL);
    printf("# %g Mbit/s\n", seen.rate / 1e6);
    return seen.rate;
}

/* Of three measurements one has to be right: the machine has other work, too. */
static bool is_limited(const struct place_world *w)
{
    for (int i = 0; i < 3; i++) {
        double rate = rate_now(w);
        if (rate > 9e6 && rate < 11e6)
            return true;
    }
    return false;
}

/* A delay and a limit at once, begun and ended in either order. */
static void a_delay_and_a_limit_compose(void)
{
    WORLD(w);
    struct ce_packet_deed deeds[] = {
        {.kind = CE_PACKETS_DELAY, .delay = 20 * ms},
        {.kind = CE_PACKETS_LIMIT, .rate = 10000000},
    };
    const struct ce_packet_means *const means[] = {&ce_means_netem, &ce_means_tbf};
    struct place_output before = place_world_run(&w, "tc qdisc show; ip -d link");
    for (int order = 0; order < 4; order++) {
        struct ce_shaped shaped[2];
        struct ce_error err = {0};
        int first = order & 1, gone = order >> 1;
        REQUIRE_OK(begin(means[first], &w, &deeds[first], &shaped[first], &err), err);
        REQUIRE_OK(begin(means[!first], &w, &deeds[!first], &shaped[!first], &err), err);
        CHECK(look_at(&w, 100).least >= 20 * ms && is_limited(&w));
        REQUIRE_OK(means[gone]->end(&shaped[gone].base, &err), err);
        (void)look_at(&w, 200); /* so that what still waited is gone */
        if (gone == 0)
            CHECK(look_at(&w, 100).p50 < 10 * ms && is_limited(&w));
        else
            CHECK(look_at(&w, 100).least >= 20 * ms && rate_now(&w) > 13e6);
        REQUIRE_OK(means[!gone]->end(&shaped[!gone].base, &err), err);
        struct place_output after = place_world_run(&w, "tc qdisc show; ip -d link");
        CHECK_TEXT(after.text, before.text);
    }
}

static void what_netem_cannot_do_is_said(void)
{
    WORLD(w);
    struct ce_shaped shaped;
    struct ce_error err = {0};
    struct ce_packet_deed deed = {
        .kind = CE_PACKETS_DELAY, .delay = CE_SECOND, .jitter = 10 * CE_SECOND};
    CHECK(begin(&ce_means_netem, &w, &deed, &shaped, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "2 s"));
    CHECK(ce_undo_live(w.journal) == 0);
}

int main(void)
{
    TEST(packets_are_delayed_as_asked_and_that_can_change);
    TEST(delays_spread_as_their_distribution_has_it);
    TEST(packets_keep_their_order_on_request);
    TEST(packets_are_lost_doubled_damaged_and_reordered);
    TEST(a_delay_and_a_limit_compose);
    TEST(what_netem_cannot_do_is_said);
    return test_done();
}
