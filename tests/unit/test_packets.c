/* SPDX-License-Identifier: MIT */
/* What is done to packets, seen by datagrams of a process that knows nothing of it. */
#include <math.h>

#include "packet_world.h"

#include "host/packets/delay_queue.h"

/* ---- the arithmetic of a delay ---- */

enum { DRAWS = 50000 };

struct drawn {
    double mean, deviation, successive; /* correlation with the one before */
    int64_t least, most;
};

static struct drawn draw(const struct ce_packet_deed *deed)
{
    static double values[DRAWS];
    struct ce_delay *delay = malloc(sizeof *delay);
    struct drawn drawn = {.least = INT64_MAX};
    ce_delay_init(delay, deed);
    for (size_t i = 0; i < DRAWS; i++) {
        int64_t value = ce_delay_until(delay, 0, 0);
        values[i] = (double)value;
        drawn.mean += (double)value / DRAWS;
        drawn.least = value < drawn.least ? value : drawn.least;
        drawn.most = value > drawn.most ? value : drawn.most;
    }
    double squares = 0, products = 0;
    for (size_t i = 0; i < DRAWS; i++) {
        double away = values[i] - drawn.mean;
        squares += away * away;
        products += i > 0 ? away * (values[i - 1] - drawn.mean) : 0;
    }
    drawn.deviation = sqrt(squares / DRAWS);
    drawn.successive = squares > 0 ? products / squares : 0;
    free(delay);
    return drawn;
}

static bool near(double value, double wanted, double slack)
{
    if (fabs(value - wanted) <= slack)
        return true;
    printf("# %g is not within %g of %g\n", value, slack, wanted);
    return false;
}

static void delays_are_spread_as_asked(void)
{
    struct ce_packet_deed deed = {
        .delay = 100 * CE_MILLISECOND, .jitter = 20 * CE_MILLISECOND, .seed = 7};
    double ms = (double)CE_MILLISECOND;
    for (int correlated = 0; correlated < 2; correlated++) {
        double slack = correlated ? 1 : 0.3;
        deed.correlation = correlated * 0.75;
        deed.distribution = CE_DELAY_UNIFORM;
        struct drawn drawn = draw(&deed);
        CHECK(near(drawn.mean / ms, 100, slack) && near(drawn.deviation / ms, 11.55, slack));
        CHECK(drawn.least >= 80 * CE_MILLISECOND && drawn.most <= 120 * CE_MILLISECOND);
        CHECK(near(drawn.successive, 0.74 * correlated, 0.03));
        deed.distribution = CE_DELAY_NORMAL;
        drawn = draw(&deed);
        CHECK(near(drawn.mean / ms, 100, slack) && near(drawn.deviation / ms, 20, slack));
        CHECK(near(drawn.successive, deed.correlation, 0.03));
        deed.distribution = CE_DELAY_PARETO;
        drawn = draw(&deed);
        CHECK(near(drawn.mean / ms, 120, 2) && drawn.least >= 100 * CE_MILLISECOND);
    }
    deed = (struct ce_packet_deed){.delay = 5, .jitter = 20, .distribution = CE_DELAY_NORMAL};
    CHECK(draw(&deed).least == 0);
    deed.jitter = 0;
    CHECK(draw(&deed).least == 5 && draw(&deed).most == 5);
}

static void the_same_seed_draws_the_same_delays(void)
{
    struct ce_packet_deed deed = {.delay = 1000, .jitter = 900, .seed = 7};
    struct drawn once = draw(&deed), again = draw(&deed);
    CHECK(once.mean == again.mean && once.successive == again.successive);
    deed.seed = 8;
    CHECK(draw(&deed).mean != once.mean);
}

static void connections_keep_their_order_and_others_theirs(void)
{
    struct ce_packet_deed deed = {.delay = 1000, .jitter = 1000, .keep_order = true, .seed = 1};
    struct ce_delay *delay = malloc(sizeof *delay);
    ce_delay_init(delay, &deed);
    int64_t last[2] = {0};
    size_t overtaken = 0;
    for (int64_t i = 0; i < 1000; i++) {
        size_t connection = (size_t)i % 2;
        int64_t until = ce_delay_until(delay, i, connection);
        CHECK(until >= last[connection]);
        overtaken += until < last[1 - connection];
        last[connection] = until;
    }
    CHECK(overtaken > 0);
    /* A shorter delay does not let what comes later overtake what is on its way. */
    deed.delay = deed.jitter = 0;
    ce_delay_change(delay, &deed);
    CHECK(ce_delay_until(delay, 1000, 0) == last[0]);
    free(delay);
}

static void the_queue_gives_back_in_order(void)
{
    struct ce_delay_queue queue = {0};
    uint32_t state = 1;
    for (uint32_t i = 0; i < 5000; i++) {
        state = state * 1664525 + 1013904223;
        CHECK(ce_delay_queue_put(&queue, state >> 24, i) == 0);
    }
    int64_t last = 0;
    uint32_t last_packet = 0;
    for (int i = 0; i < 5000; i++) {
        int64_t at = ce_delay_queue_next(&queue);
        uint32_t packet = ce_delay_queue_take(&queue);
        CHECK(at > last || (at == last && (i == 0 || packet > last_packet)));
        last = at;
        last_packet = packet;
    }
    CHECK(ce_delay_queue_next(&queue) == INT64_MAX);
    ce_delay_queue_done(&queue);
}

/* ---- delay ---- */

static bool have(enum ce_packet_kind kind, const char *name)
{
    static char text[2048];
    char wanted[64];
    (void)ce_packets_available(kind, text, sizeof text);
    snprintf(wanted, sizeof wanted, "%s: available", name);
    return strstr(text, wanted) != NULL;
}

static int begin(struct packet_world *world, enum ce_packet_direction direction,
                 const struct ce_packet_deed *deed, const char *means, struct ce_packets **ret)
{
    struct ce_packet_filter filter = packet_filter(direction);
    int r = ce_packets_begin(world->journal, &world->place, &filter, deed, means, ret, &world->err);
    if (r < 0)
        printf("# %s\n", world->err.message);
    return r;
}

static const int64_t ms = CE_MILLISECOND;

/* Processors are shared: late is possible, early is not. */
static void packets_are_delayed_as_asked(void)
{
    struct packet_world world;
    struct ce_packets *packets = NULL;
    if (!have(CE_PACKETS_DELAY, "nfqueue"))
        SKIP("the kernel has no packet queues");
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    struct ce_packet_deed deed = {.kind = CE_PACKETS_DELAY, .delay = 20 * ms, .keep_order = true};
    struct ce_packet_seen before = packet_look(&world, "127.0.0.1", false, 100);
    CHECK(before.received == 100 && before.p50 < 10 * ms);
    REQUIRE_OK(begin(&world, CE_PACKETS_IN, &deed, "nfqueue", &packets), world.err);
    CHECK_TEXT(ce_packets_means(packets), "nfqueue");
    for (int six = 0; six < 2; six++) {
        struct ce_packet_seen seen = packet_look(&world, six ? "::1" : "127.0.0.1", false, 400);
        printf("# asked 20 ms: p50 %.3f, p99 %.3f, least %.3f ms\n", (double)seen.p50 / 1e6,
               (double)seen.p99 / 1e6, (double)seen.least / 1e6);
        CHECK(seen.received == 400 && seen.late == 0 && seen.damaged == 0);
        CHECK(seen.least >= 20 * ms && seen.p50 < 30 * ms);
    }
    /* What leaves the port is not asked for. */
    CHECK(packet_look(&world, "127.0.0.1", true, 100).p50 < 10 * ms);
    uint64_t count = 0, hit = 0;
    REQUIRE_OK(ce_packets_count(packets, &count, &hit, &world.err), world.err);
    CHECK(count == 800 && hit == 800);

    deed.delay = 5 * ms;
    REQUIRE_OK(ce_packets_adjust(packets, &deed, &world.err), world.err);
    struct ce_packet_seen seen = packet_look(&world, "127.0.0.1", false, 200);
    CHECK(seen.least >= 5 * ms && seen.p50 < 15 * ms);
    deed.delay = 0;
    REQUIRE_OK(ce_packets_adjust(packets, &deed, &world.err), world.err);
    CHECK(packet_look(&world, "127.0.0.1", false, 200).p50 < 5 * ms);
    REQUIRE_OK(ce_packets_end(packets, &world.err), world.err);
    CHECK(ce_undo_live(world.journal) == 0);
    CHECK(packet_look(&world, "127.0.0.1", false, 100).received == 100);
    packet_world_end(&world);
}

static void what_leaves_is_delayed_too(void)
{
    struct packet_world world;
    struct ce_packets *packets = NULL;
    if (!have(CE_PACKETS_DELAY, "nfqueue"))
        SKIP("the kernel has no packet queues");
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    struct ce_packet_deed deed = {.kind = CE_PACKETS_DELAY, .delay = 10 * ms};
    REQUIRE_OK(begin(&world, CE_PACKETS_BOTH, &deed, "nfqueue", &packets), world.err);
    for (int outward = 0; outward < 2; outward++) {
        struct ce_packet_seen seen = packet_look(&world, "127.0.0.1", outward, 200);
        CHECK(seen.received == 200 && seen.least >= 10 * ms && seen.p50 < 20 * ms);
    }
    REQUIRE_OK(ce_packets_end(packets, &world.err), world.err);
    packet_world_end(&world);
}

static void jitter_spreads_and_order_is_kept_if_asked(void)
{
    struct packet_world world;
    if (!have(CE_PACKETS_DELAY, "nfqueue"))
        SKIP("the kernel has no packet queues");
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    struct ce_packet_deed deed = {.kind = CE_PACKETS_DELAY, .delay = 20 * ms, .jitter = 15 * ms};
    for (int ordered = 0; ordered < 2; ordered++) {
        struct ce_packets *packets = NULL;
        deed.keep_order = ordered;
        REQUIRE_OK(begin(&world, CE_PACKETS_IN, &deed, "nfqueue", &packets), world.err);
        struct ce_packet_seen seen = packet_look(&world, "127.0.0.1", false, 400);
        CHECK(seen.received == 400 && seen.least >= 5 * ms);
        if (ordered)
            CHECK(seen.late == 0);
        else
            CHECK(seen.late > 40 && seen.spread > 4 * ms && seen.most >= 25 * ms);
        REQUIRE_OK(ce_packets_end(packets, &world.err), world.err);
    }
    packet_world_end(&world);
}

/* What waits when it is taken back goes on at once. */
static void nothing_is_lost_when_a_delay_ends(void)
{
    struct packet_world world;
    struct ce_packets *packets = NULL;
    if (!have(CE_PACKETS_DELAY, "nfqueue"))
        SKIP("the kernel has no packet queues");
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    struct ce_packet_deed deed = {.kind = CE_PACKETS_DELAY, .delay = 30 * CE_SECOND};
    REQUIRE_OK(begin(&world, CE_PACKETS_IN, &deed, "nfqueue", &packets), world.err);
    int ready[2], done[2];
    REQUIRE(pipe2(ready, O_CLOEXEC) == 0 && pipe2(done, O_CLOEXEC) == 0);
    fflush(stdout);
    pid_t peer = fork();
    if (peer == 0) {
        struct sockaddr_storage to = packet_address("127.0.0.1", PACKET_PORT);
        if (ce_place_enter(&world.place, CE_PLACE_NETWORK, NULL) < 0)
            _exit(2);
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (bind(fd, (struct sockaddr *)&to, sizeof(struct sockaddr_in)) < 0)
            _exit(3);
        int received = 0;
        for (int i = 0; i < 50; i++)
            (void)sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(struct sockaddr_in));
        (void)!write(ready[1], "y", 1);
        struct timeval wait = {.tv_sec = 10};
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        for (char byte; received < 50 && recv(fd, &byte, 1, 0) == 1;)
            received++;
        _exit(received == 50 ? 0 : 1);
    }
    char byte;
    REQUIRE(read(ready[0], &byte, 1) == 1);
    REQUIRE_OK(ce_packets_end(packets, &world.err), world.err);
    int status = -1;
    CHECK(waitpid(peer, &status, 0) == peer && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < 2; i++)
        (void)close(ready[i]), (void)close(done[i]);
    packet_world_end(&world);
}

/* ---- loss and blocking ---- */

/* Whether that many of so many is within four standard deviations of the share. */
static bool is_share(size_t count, size_t of, double share)
{
    double sigma = sqrt((double)of * share * (1 - share));
    return near((double)count, share * (double)of, 4 * sigma + 0.5);
}

static void packets_are_lost_as_asked(void)
{
    struct packet_world world;
    struct ce_packets *packets = NULL;
    if (!have(CE_PACKETS_LOSE, "nft"))
        SKIP("the kernel has no nf_tables");
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    struct ce_packet_deed deed = {.kind = CE_PACKETS_LOSE, .loss = 0.3};
    REQUIRE_OK(begin(&world, CE_PACKETS_IN, &deed, "nft", &packets), world.err);
    CHECK(is_share(packet_look(&world, "127.0.0.1", false, 1000).received, 1000, 0.7));
    CHECK(is_share(packet_look(&world, "::1", false, 1000).received, 1000, 0.7));
    CHECK(packet_look(&world, "127.0.0.1", true, 200).received == 200);
    uint64_t seen = 0, hit = 0;
    REQUIRE_OK(ce_packets_count(packets, &seen, &hit, &world.err), world.err);
    CHECK(seen == 2000 && is_share(hit, 2000, 0.3));
    deed.loss = 0.05;
    REQUIRE_OK(ce_packets_adjust(packets, &deed, &world.err), world.err);
    CHECK(is_share(packet_look(&world, "127.0.0.1", false, 1000).received, 1000, 0.95));
    REQUIRE_OK(ce_packets_end(packets, &world.err), world.err);

    REQUIRE_OK(begin(&world, CE_PACKETS_OUT, &deed, "nft", &packets), world.err);
    CHECK(is_share(packet_look(&world, "127.0.0.1", true, 1000).received, 1000, 0.95));
    CHECK(packet_look(&world, "127.0.0.1", false, 200).received == 200);
    REQUIRE_OK(ce_packets_end(packets, &world.err), world.err);
    packet_world_end(&world);
}

/* How often the fate of a packet is that of the one before, of those that were lost. */
static void losses_come_in_runs_if_asked(void)
{
    struct packet_world world;
    struct ce_packets *packets = NULL;
    if (!have(CE_PACKETS_LOSE, "nfqueue"))
        SKIP("the kernel has no packet queues");
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    struct ce_packet_deed deed = {
        .kind = CE_PACKETS_LOSE, .loss = 0.3, .correlation = 0.9, .seed = 11};
    REQUIRE_OK(begin(&world, CE_PACKETS_IN, &deed, "nfqueue", &packets), world.err);
    struct ce_packet_seen seen = packet_look(&world, "127.0.0.1", false, 2000);
    /* Correlated so much, they say as much as a tenth as many would. */
    CHECK(near(1 - (double)seen.received / 2000, 0.3, 0.16));
    uint64_t all = 0, lost = 0;
    REQUIRE_OK(ce_packets_count(packets, &all, &lost, &world.err), world.err);
    CHECK(all == 2000 && lost == 2000 - seen.received);
    REQUIRE_OK(ce_packets_end(packets, &world.err), world.err);
    packet_world_end(&world);

    struct ce_delay *delay = malloc(sizeof *delay);
    size_t losses = 0, pairs = 0;
    bool before = false;
    ce_delay_init(delay, &deed);
    for (int i = 0; i < DRAWS; i++) {
        bool now = ce_delay_loses(delay);
        losses += now;
        pairs += now && before;
        before = now;
    }
    CHECK(near((double)losses / DRAWS, 0.3, 0.03));
    CHECK((double)pairs / (double)losses > 0.7); /* 0.3 if they were independent */
    free(delay);
}

static int listen_there(void *ctx, struct ce_error *err)
{
    struct sockaddr_storage at = packet_address("127.0.0.1", PACKET_PORT);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof(struct sockaddr_in)) < 0 || listen(fd, 64) < 0)
        return ce_fail(err, errno, "no server: %s", strerror(errno));
    (void)!write(*(int *)ctx, "y", 1);
    for (;;)
        pause();
}

static void what_is_blocked_times_out_or_is_refused(void)
{
    struct packet_world world;
    if (!have(CE_PACKETS_BLOCK, "nft"))
        SKIP("the kernel has no nf_tables");
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    int ready[2];
    char byte;
    REQUIRE(pipe(ready) == 0);
    fflush(stdout);
    pid_t server = fork();
    if (server == 0) {
        if (ce_place_enter(&world.place, CE_PLACE_NETWORK, NULL) == 0)
            (void)listen_there(&ready[1], NULL);
        _exit(1);
    }
    REQUIRE(read(ready[0], &byte, 1) == 1);
    struct sockaddr_storage to = packet_address("127.0.0.1", PACKET_PORT);
    struct ce_packet_seen seen = {0};
    CHECK(ce_connect_probe(&world.place, &to, 4, CE_SECOND, &seen, &world.err) == 0);
    CHECK(seen.sent == 4 && seen.received == 4);
    for (int reject = 0; reject < 2; reject++) {
        struct ce_packet_deed deed = {.kind = CE_PACKETS_BLOCK, .reject = reject};
        struct ce_packets *packets = NULL;
        REQUIRE_OK(begin(&world, CE_PACKETS_BOTH, &deed, NULL, &packets), world.err);
        CHECK(ce_connect_probe(&world.place, &to, 4, 300 * ms, &seen, &world.err) == 0);
        CHECK(seen.received == 0 && seen.refused == (reject ? 4 : 0));
        REQUIRE_OK(ce_packets_end(packets, &world.err), world.err);
        CHECK(ce_connect_probe(&world.place, &to, 4, CE_SECOND, &seen, &world.err) == 0);
        CHECK(seen.received == 4);
    }
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    (void)close(ready[0]), (void)close(ready[1]);
    packet_world_end(&world);
}

/* ---- living together, and dying ---- */

static const char rules[] = "nft list ruleset 2>&1; ip link show; ip route show table all";

static void others_rules_stay_as_they_were(struct packet_world *world)
{
    struct packet_world_text made;
    packet_world_output(
        world,
        "nft 'add table inet theirs; add chain inet theirs c { type filter hook "
        "prerouting priority -310; }; add rule inet theirs c udp dport 9 drop' 2>&1",
        &made);
    CHECK_TEXT(made.text, "");
}

static void two_deeds_compose_and_end_in_either_order(void)
{
    static struct packet_world_text before, after;
    struct packet_world world;
    if (!have(CE_PACKETS_DELAY, "nfqueue"))
        SKIP("the kernel has no packet queues");
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    others_rules_stay_as_they_were(&world);
    packet_world_output(&world, rules, &before);
    CHECK(strstr(before.text, "dport 9") != NULL);
    struct ce_packet_deed delay = {.kind = CE_PACKETS_DELAY, .delay = 10 * ms};
    struct ce_packet_deed lose = {.kind = CE_PACKETS_LOSE, .loss = 0.5};
    for (int order = 0; order < 2; order++) {
        struct ce_packets *one = NULL, *other = NULL;
        REQUIRE_OK(begin(&world, CE_PACKETS_IN, &delay, "nfqueue", &one), world.err);
        REQUIRE_OK(begin(&world, CE_PACKETS_IN, &lose, "nft", &other), world.err);
        struct ce_packet_seen seen = packet_look(&world, "127.0.0.1", false, 400);
        CHECK(is_share(seen.received, 400, 0.5) && seen.least >= 10 * ms);
        REQUIRE_OK(ce_packets_end(order ? one : other, &world.err), world.err);
        seen = packet_look(&world, "127.0.0.1", false, 400);
        if (order)
            CHECK(is_share(seen.received, 400, 0.5) && seen.p50 < 10 * ms);
        else
            CHECK(seen.received == 400 && seen.least >= 10 * ms);
        REQUIRE_OK(ce_packets_end(order ? other : one, &world.err), world.err);
    }
    packet_world_output(&world, rules, &after);
    CHECK_TEXT(after.text, before.text);
    packet_world_end(&world);
}

/* The agents that live notes name. */
static size_t kill_agents(struct packet_world *world)
{
    ce_autojson json_t *notes = json_array();
    size_t killed = 0, i;
    const json_t *note;
    CHECK(ce_journal_list(world->state, notes, &world->err) == 0);
    json_array_foreach(notes, i, note)
    {
        pid_t pid =
            (pid_t)json_integer_value(json_object_get(json_object_get(note, "args"), "pid"));
        CHECK(pid > 1 && kill(pid, SIGKILL) == 0);
        CHECK(waitpid(pid, NULL, 0) == pid);
        killed++;
    }
    return killed;
}

static void agents_that_are_killed_leave_nothing(void)
{
    static struct packet_world_text before, after;
    struct packet_world world;
    if (!have(CE_PACKETS_DELAY, "nfqueue"))
        SKIP("the kernel has no packet queues");
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    packet_world_output(&world, rules, &before);
    struct ce_packet_deed deeds[] = {
        {.kind = CE_PACKETS_DELAY, .delay = 50 * ms},
        {.kind = CE_PACKETS_LOSE, .loss = 0.5},
        {.kind = CE_PACKETS_BLOCK},
    };
    static const char *const means[] = {"nfqueue", "nft", "nft"};
    struct ce_packets *packets[CE_COUNT(deeds)] = {NULL};
    for (size_t i = 0; i < CE_COUNT(deeds); i++)
        REQUIRE_OK(begin(&world, CE_PACKETS_BOTH, &deeds[i], means[i], &packets[i]), world.err);
    CHECK(packet_look(&world, "127.0.0.1", false, 20).received == 0);
    CHECK(kill_agents(&world) == CE_COUNT(deeds));
    struct ce_packet_seen seen = packet_look(&world, "127.0.0.1", false, 100);
    CHECK(seen.received == 100 && seen.p50 < 20 * ms);
    packet_world_output(&world, rules, &after);
    CHECK_TEXT(after.text, before.text);
    for (size_t i = 0; i < CE_COUNT(deeds); i++) {
        CHECK(ce_packets_adjust(packets[i], &deeds[i], &world.err) == -EPIPE);
        REQUIRE_OK(ce_packets_end(packets[i], &world.err), world.err);
    }
    CHECK(ce_undo_live(world.journal) == 0);
    packet_world_end(&world);
}

/* What a controller does that is killed at any step: a program of its own, for its steps to be
 * counted from the first. */
static int deeds(const char *state, pid_t pid)
{
    struct ce_place place;
    struct ce_process_id id;
    struct ce_packets *one = NULL, *other = NULL;
    struct ce_journal *journal = NULL;
    struct ce_packet_deed delay = {.kind = CE_PACKETS_DELAY, .delay = 10 * ms};
    struct ce_packet_deed lose = {.kind = CE_PACKETS_LOSE, .loss = 0.5};
    struct ce_packet_filter filter = packet_filter(CE_PACKETS_IN);
    CE_TRY(ce_process_identify(pid, &id));
    CE_TRY(ce_place_of_process(&id, &place, NULL));
    CE_TRY(ce_journal_create(state, "crash", packet_world_ops, &journal, NULL));
    CE_TRY(ce_packets_begin(journal, &place, &filter, &delay, "nfqueue", &one, NULL));
    CE_TRY(ce_packets_begin(journal, &place, &filter, &lose, "nft", &other, NULL));
    delay.delay = 5 * ms;
    CE_TRY(ce_packets_adjust(one, &delay, NULL));
    CE_TRY(ce_packets_end(one, NULL));
    CE_TRY(ce_packets_end(other, NULL));
    ce_journal_close(journal);
    return 0;
}

static void a_controller_killed_at_any_step_leaves_nothing(void)
{
#ifdef CE_SEAMS
    static struct packet_world_text before, after;
    struct packet_world world;
    if (!have(CE_PACKETS_DELAY, "nfqueue"))
        SKIP("the kernel has no packet queues");
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    packet_world_output(&world, rules, &before);
    int step = 1, status = 0;
    for (bool crashed = true; crashed && step < 100; step++) {
        char text[16], target[16];
        snprintf(text, sizeof text, "%d", step);
        snprintf(target, sizeof target, "%d", (int)world.pid);
        pid_t pid = fork();
        if (pid == 0) {
            (void)setenv("CHAOSEATER_SEAM_CRASH", text, 1);
            execl("/proc/self/exe", "test_packets", world.state, target, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        crashed = WIFSIGNALED(status);
        CHECK(crashed || WEXITSTATUS(status) == 0);
        struct ce_recovery recovery = {0};
        CHECK(ce_journal_recover(world.state, packet_world_ops, &recovery, &world.err) == 0);
        packet_world_output(&world, rules, &after);
        CHECK_TEXT(after.text, before.text);
    }
    CHECK(!WIFSIGNALED(status) && step > 10);
    packet_world_end(&world);
#else
    SKIP("built without seams");
#endif
}

/* ---- words ---- */

static void networks_are_understood_or_refused(void)
{
    struct ce_network network;
    struct ce_error err = {0};
    CHECK(ce_network_parse("10.1.2.3", &network, &err) == 0 && network.prefix == 32);
    CHECK(ce_network_parse("10.0.0.0/8", &network, &err) == 0 && network.prefix == 8);
    CHECK(ce_network_parse("fd00::/8", &network, &err) == 0 && network.family == AF_INET6);
    CHECK(ce_network_parse("::1", &network, &err) == 0 && network.prefix == 128);
    static const char *const bad[] = {"",     "10.0.0",    "10.0.0.0/33", "fd00::/129",
                                      "host", "10.0.0.0/", "10.0.0.0/-1", "1.2.3.4/8/8"};
    for (size_t i = 0; i < CE_COUNT(bad); i++) {
        CHECK(ce_network_parse(bad[i], &network, &err) == -EINVAL);
        CHECK(strstr(err.message, bad[i]) != NULL);
    }
}

static void means_that_cannot_say_so(void)
{
    struct packet_world world;
    struct ce_packets *packets = NULL;
    if (!packet_world_begin(&world, packet_world_ops))
        return;
    struct ce_packet_deed lose = {.kind = CE_PACKETS_LOSE, .loss = 0.5, .correlation = 0.5};
    CHECK(begin(&world, CE_PACKETS_IN, &lose, "nft", &packets) == -ENOTSUP);
    CHECK(strstr(world.err.message, "correlation") != NULL);
    lose.correlation = 0;
    lose.duplicate = 0.1;
    CHECK(begin(&world, CE_PACKETS_IN, &lose, "nft", &packets) == -ENOTSUP);
    CHECK(strstr(world.err.message, "duplicate") != NULL);
    CHECK(begin(&world, CE_PACKETS_IN, &lose, "tbf", &packets) == -EINVAL);
    CHECK(strstr(world.err.message, "netem, bpf, nft, iptables, nfqueue") != NULL);
    CHECK(ce_undo_live(world.journal) == 0);
    packet_world_end(&world);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return deeds(argv[1], atoi(argv[2])) < 0;
    TEST(delays_are_spread_as_asked);
    TEST(the_same_seed_draws_the_same_delays);
    TEST(connections_keep_their_order_and_others_theirs);
    TEST(the_queue_gives_back_in_order);
    TEST(packets_are_delayed_as_asked);
    TEST(what_leaves_is_delayed_too);
    TEST(jitter_spreads_and_order_is_kept_if_asked);
    TEST(nothing_is_lost_when_a_delay_ends);
    TEST(packets_are_lost_as_asked);
    TEST(losses_come_in_runs_if_asked);
    TEST(what_is_blocked_times_out_or_is_refused);
    TEST(two_deeds_compose_and_end_in_either_order);
    TEST(agents_that_are_killed_leave_nothing);
    TEST(a_controller_killed_at_any_step_leaves_nothing);
    TEST(networks_are_understood_or_refused);
    TEST(means_that_cannot_say_so);
    return test_done();
}
