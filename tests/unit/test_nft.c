/* SPDX-License-Identifier: MIT */
/* Rules of nf_tables, seen by nft(8) and by packets. */
#include "own_net.h"

#include "base/clock.h"
#include "host/packets/nft.h"

static const char list[] = "nft list ruleset 2>&1";

static bool have_nft(void)
{
    return system("nft --version >/dev/null 2>&1") == 0;
}

/* A UDP socket bound to that port of the address. */
static int bound(const char *address, uint16_t port, struct sockaddr_storage *ret_name)
{
    struct sockaddr_storage name = {0};
    socklen_t size;
    if (strchr(address, ':')) {
        struct sockaddr_in6 *six = (void *)&name;
        *six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        CHECK(inet_pton(AF_INET6, address, &six->sin6_addr) == 1);
        size = sizeof *six;
    } else {
        struct sockaddr_in *four = (void *)&name;
        *four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        CHECK(inet_pton(AF_INET, address, &four->sin_addr) == 1);
        size = sizeof *four;
    }
    int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(bind(fd, (const struct sockaddr *)&name, size) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
    *ret_name = name;
    return fd;
}

/* How many of `count` datagrams from `from` reach that port. Loopback delivers while it sends. */
static int reach(const char *from, const char *to, uint16_t port, int count)
{
    struct sockaddr_storage here, there;
    int receiver = bound(to, port, &there), sender = bound(from, 0, &here), reached = 0;
    for (int i = 0; i < count; i++) {
        (void)sendto(sender, "x", 1, 0, (struct sockaddr *)&there, sizeof there);
        char byte;
        reached += recv(receiver, &byte, 1, 0) == 1;
    }
    (void)close(receiver);
    (void)close(sender);
    return reached;
}

static struct ce_network network(const char *text)
{
    struct ce_network parsed = {0};
    CHECK(ce_network_parse(text, &parsed, NULL) == 0);
    return parsed;
}

static void only_what_fits_is_dropped_in(void)
{
    struct ce_error err = {0};
    struct ce_packet_filter filter = {.ports = {{7000, 7010}, {7777, 7777}}, .port_count = 2};
    struct ce_nft_deed deed = {.act = CE_NFT_DROP, .share = 1};
    struct ce_nft nft;
    REQUIRE_OK(ce_nft_begin(&filter, &deed, &nft, &err), err);
    CHECK(reach("127.0.0.1", "127.0.0.1", 6999, 3) == 3);
    CHECK(reach("127.0.0.1", "127.0.0.1", 7000, 3) == 0);
    CHECK(reach("127.0.0.1", "127.0.0.1", 7010, 3) == 0);
    CHECK(reach("127.0.0.1", "127.0.0.1", 7011, 3) == 3);
    CHECK(reach("::1", "::1", 7777, 3) == 0);
    uint64_t seen = 0, hit = 0;
    REQUIRE_OK(ce_nft_count(&nft, &seen, &hit, &err), err);
    CHECK(seen == 9 && hit == 9);
    ce_nft_end(&nft);
    CHECK(reach("::1", "::1", 7777, 3) == 3);
}
static void only_what_fits_is_dropped(void)
{
    own_net(only_what_fits_is_dropped_in);
}

static void peers_are_told_apart_by_their_prefix_in(void)
{
    struct ce_error err = {0};
    struct ce_packet_filter filter = {
        .peers = {network("127.1.2.0/23"), network("127.9.9.9"), network("::1")}, .peer_count = 3};
    struct ce_nft_deed deed = {.act = CE_NFT_DROP, .share = 1};
    struct ce_nft nft;
    REQUIRE_OK(ce_nft_begin(&filter, &deed, &nft, &err), err);
    CHECK(reach("127.1.1.255", "127.0.0.1", 7000, 2) == 2);
    CHECK(reach("127.1.2.0", "127.0.0.1", 7000, 2) == 0);
    CHECK(reach("127.1.3.255", "127.0.0.1", 7000, 2) == 0);
    CHECK(reach("127.1.4.0", "127.0.0.1", 7000, 2) == 2);
    CHECK(reach("127.9.9.9", "127.0.0.1", 7000, 2) == 0);
    CHECK(reach("127.0.0.1", "127.9.9.9", 7000, 2) == 2);
    CHECK(reach("::1", "::1", 7000, 2) == 0);
    ce_nft_end(&nft);

    filter.direction = CE_PACKETS_OUT;
    REQUIRE_OK(ce_nft_begin(&filter, &deed, &nft, &err), err);
    CHECK(reach("127.9.9.9", "127.0.0.1", 7000, 2) == 2);
    CHECK(reach("127.0.0.1", "127.9.9.9", 7000, 2) == 0);
    ce_nft_end(&nft);
}
static void peers_are_told_apart_by_their_prefix(void)
{
    own_net(peers_are_told_apart_by_their_prefix_in);
}

static void a_share_is_a_share_and_can_change_in(void)
{
    enum { COUNT = 2000 };
    struct ce_error err = {0};
    struct ce_packet_filter filter = {.ports = {{7000, 7000}}, .port_count = 1};
    struct ce_nft_deed deed = {.act = CE_NFT_DROP, .share = 0.25};
    struct ce_nft nft;
    REQUIRE_OK(ce_nft_begin(&filter, &deed, &nft, &err), err);
    /* Five standard deviations of the binomial are 97. */
    CHECK(abs(reach("127.0.0.1", "127.0.0.1", 7000, COUNT) - COUNT * 3 / 4) < 97);
    REQUIRE_OK(ce_nft_share(&nft, 0.75, &err), err);
    CHECK(abs(reach("127.0.0.1", "127.0.0.1", 7000, COUNT) - COUNT / 4) < 97);
    REQUIRE_OK(ce_nft_share(&nft, 0, &err), err);
    CHECK(reach("127.0.0.1", "127.0.0.1", 7000, 100) == 100);
    REQUIRE_OK(ce_nft_share(&nft, 1, &err), err);
    CHECK(reach("127.0.0.1", "127.0.0.1", 7000, 100) == 0);
    uint64_t seen = 0, hit = 0;
    REQUIRE_OK(ce_nft_count(&nft, &seen, &hit, &err), err);
    CHECK(seen == 2 * COUNT + 200);
    CHECK(hit > COUNT / 2 && hit < seen);
    ce_nft_end(&nft);
}
static void a_share_is_a_share_and_can_change(void)
{
    own_net(a_share_is_a_share_and_can_change_in);
}

/* The errno that connecting ends with; 0 when it is answered; ETIMEDOUT after 200 ms. */
static int connecting(const char *to, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    CHECK(inet_pton(AF_INET, to, &name.sin_addr) == 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), code = 0;
    struct timeval patience = {.tv_usec = 200000};
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0)
        code = errno == EINPROGRESS ? ETIMEDOUT : errno;
    (void)close(fd);
    return code;
}

static int listening(uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fd, (struct sockaddr *)&name, sizeof name) == 0 && listen(fd, 16) == 0);
    return fd;
}

static void a_refusal_is_known_to_the_sender_in(void)
{
    struct ce_error err = {0};
    int server = listening(7000);
    CHECK(connecting("127.0.0.1", 7000) == 0);
    static const enum ce_packet_direction directions[] = {CE_PACKETS_IN, CE_PACKETS_OUT,
                                                          CE_PACKETS_BOTH};
    for (size_t i = 0; i < CE_COUNT(directions); i++) {
        /* Who is refused is whoever sends: the one that connects, from either side. */
        struct ce_packet_filter filter = {.direction = directions[i]};
        if (directions[i] == CE_PACKETS_OUT) {
            filter.peer_port = 7000;
        } else {
            filter.ports[0].first = filter.ports[0].last = 7000;
            filter.port_count = 1;
        }
        struct ce_nft nft;
        REQUIRE_OK(ce_nft_begin(&filter, &(struct ce_nft_deed){.act = CE_NFT_DROP, .share = 1},
                                &nft, &err),
                   err);
        CHECK(connecting("127.0.0.1", 7000) == ETIMEDOUT);
        ce_nft_end(&nft);
        REQUIRE_OK(ce_nft_begin(&filter, &(struct ce_nft_deed){.act = CE_NFT_REJECT, .share = 1},
                                &nft, &err),
                   err);
        CHECK(connecting("127.0.0.1", 7000) == ECONNREFUSED);
        ce_nft_end(&nft);
    }
    /* Everything, whatever port. */
    struct ce_packet_filter all = {.direction = CE_PACKETS_BOTH};
    struct ce_nft nft;
    REQUIRE_OK(
        ce_nft_begin(&all, &(struct ce_nft_deed){.act = CE_NFT_REJECT, .share = 1}, &nft, &err),
        err);
    CHECK(connecting("127.0.0.1", 7000) == ECONNREFUSED);
    ce_nft_end(&nft);
    CHECK(connecting("127.0.0.1", 7000) == 0);
    (void)close(server);
}
static void a_refusal_is_known_to_the_sender(void)
{
    own_net(a_refusal_is_known_to_the_sender_in);
}

static void other_tables_stay_and_ours_dies_with_its_maker_in(void)
{
    static char before[16384], during[65536], after[16384];
    struct ce_error err = {0};
    if (!have_nft())
        SKIP("there is no nft");
    CHECK(system("nft 'add table inet theirs; add chain inet theirs c { type filter hook "
                 "prerouting priority -310; }; add rule inet theirs c udp dport 9 counter drop; "
                 "add table ip nat; add chain ip nat OUTPUT { type nat hook output priority -100; "
                 "}; add rule ip nat OUTPUT tcp dport 81 redirect to :82'") == 0);
    own_output(list, before, sizeof before);
    CHECK(strstr(before, "dport 9") != NULL);
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    pid_t maker = fork();
    if (maker == 0) {
        struct ce_packet_filter filter = {.direction = CE_PACKETS_BOTH,
                                          .interface = "lo",
                                          .ports = {{7000, 7000}},
                                          .port_count = 1,
                                          .peers = {network("10.0.0.0/9")},
                                          .peer_count = 1};
        struct ce_nft nft;
        int r = ce_nft_begin(&filter, &(struct ce_nft_deed){.act = CE_NFT_DROP, .share = 0.5}, &nft,
                             &err);
        (void)!write(ready[1], r == 0 ? "y" : "n", 1);
        pause();
        _exit(0);
    }
    char answer = 0;
    REQUIRE(read(ready[0], &answer, 1) == 1 && answer == 'y');
    own_output(list, during, sizeof during);
    own_output(list, during, sizeof during);
    CHECK(strstr(during, "chaoseater-") != NULL);
    CHECK(strstr(during, "iifname \"lo\" meta l4proto tcp goto in-ports") != NULL);
    CHECK(strstr(during, "ip saddr 10.0.0.0/9 goto seen") != NULL);
    CHECK(strstr(during, "numgen random mod 1073741824 < 536870912 goto hit") != NULL);
    CHECK(kill(maker, SIGKILL) == 0 && waitpid(maker, NULL, 0) == maker);
    own_output(list, after, sizeof after);
    CHECK_TEXT(after, before);
}
static void other_tables_stay_and_ours_dies_with_its_maker(void)
{
    own_net(other_tables_stay_and_ours_dies_with_its_maker_in);
}

static void a_queue_that_nobody_reads_lets_pass_in(void)
{
    struct ce_error err = {0};
    struct ce_packet_filter filter = {.ports = {{7000, 7000}}, .port_count = 1};
    struct ce_nft_deed deed = {.act = CE_NFT_QUEUE, .share = 1, .queue = 0xce01};
    struct ce_nft nft;
    int r = ce_nft_begin(&filter, &deed, &nft, &err);
    if (r == -ENOTSUP)
        SKIP("the kernel has no packet queues");
    REQUIRE_OK(r, err);
    CHECK(reach("127.0.0.1", "127.0.0.1", 7000, 3) == 3);
    CHECK(reach("::1", "::1", 7000, 3) == 3);
    uint64_t seen = 0, hit = 0;
    REQUIRE_OK(ce_nft_count(&nft, &seen, &hit, &err), err);
    CHECK(seen == 6 && hit == 6);
    ce_nft_end(&nft);
}
static void a_queue_that_nobody_reads_lets_pass(void)
{
    own_net(a_queue_that_nobody_reads_lets_pass_in);
}

int main(void)
{
    TEST(only_what_fits_is_dropped);
    TEST(peers_are_told_apart_by_their_prefix);
    TEST(a_share_is_a_share_and_can_change);
    TEST(a_refusal_is_known_to_the_sender);
    TEST(other_tables_stay_and_ours_dies_with_its_maker);
    TEST(a_queue_that_nobody_reads_lets_pass);
    return test_done();
}
