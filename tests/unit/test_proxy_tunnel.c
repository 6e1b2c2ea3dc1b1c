/* SPDX-License-Identifier: MIT */
/* Upgrades and CONNECT: what opens a tunnel, what does not, and what a tunnel carries. */
#include "proxy/proxy.h"

#include <pthread.h>

#include "base/clock.h"
#include "proxy_spy.h"

static const char upgrade[] = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "
                              "Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n";
static const char switched[] = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
                               "UPGRADE: WebSocket\r\nSec-WebSocket-Accept: y\r\n\r\n";

struct tunnel {
    struct world world;
    int client, server;
};

static int tunnel_open(struct tunnel *tunnel, const char *request, const char *agreed)
{
    *tunnel = (struct tunnel){.client = -1, .server = -1};
    if (world_open(&tunnel->world, 1, 100 * CE_MILLISECOND) < 0)
        return -1;
    tunnel->client = client_open(&tunnel->world);
    tunnel->server = forward(&tunnel->world, tunnel->client, request);
    reply(tunnel->server, tunnel->client, agreed);
    return 0;
}

static void tunnel_close(struct tunnel *tunnel)
{
    ce_autofd_(&tunnel->client);
    ce_autofd_(&tunnel->server);
    world_close(&tunnel->world);
}
#define TUNNEL(name, request, agreed)                                                              \
    CE_CLEANUP(tunnel_close) struct tunnel name;                                                   \
    REQUIRE(tunnel_open(&name, request, agreed) == 0)

static void carries(int from, int to, const char *bytes)
{
    CHECK(wire_send(from, bytes));
    CHECK(wire_gets(to, bytes));
}

static void an_upgrade_opens_a_tunnel(void)
{
    TUNNEL(tunnel, upgrade, switched);
    carries(tunnel.client, tunnel.server, "anything\n");
    carries(tunnel.server, tunnel.client, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    carries(tunnel.client, tunnel.server, get); /* no request any more */
    struct ce_route_counts counts;
    ce_route_count(tunnel.world.route, &counts);
    CHECK(counts.requests == 1 && counts.responses == 1 && counts.errors == 0);
}

static void connect_opens_a_tunnel(void)
{
    /* Framing means nothing in that answer. */
    TUNNEL(tunnel, "CONNECT model:80 HTTP/1.1\r\nHost: model:80\r\n\r\n",
           "HTTP/1.1 200 Fine\r\nContent-Length: 3\r\n\r\n");
    carries(tunnel.server, tunnel.client, "hello");
    carries(tunnel.client, tunnel.server, "hello");
}

static void a_tunnel_may_be_silent(void)
{
    TUNNEL(tunnel, upgrade, switched);
    /* For longer than an upstream that owes an answer. */
    ce_sleep_until(ce_now() + 250 * CE_MILLISECOND);
    carries(tunnel.server, tunnel.client, "still here");
    carries(tunnel.client, tunnel.server, "so am I");
}

static void what_is_sent_early_is_not_lost(void)
{
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, upgrade) && wire_send(client, "early"));
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_gets(server, upgrade));
    CHECK(wire_is_quiet(server));
    CHECK(wire_send(server, "HTTP/1.1 100 Continue\r\n\r\n"));
    CHECK(wire_send(server, switched) && wire_send(server, "at once"));
    CHECK(wire_gets(client, "HTTP/1.1 100 Continue\r\n\r\n"));
    CHECK(wire_gets(client, switched) && wire_gets(client, "at once"));
    CHECK(wire_gets(server, "early"));
}

static void fields_of_one_hop_are_still_taken_out(void)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: 5\r\nConnection: keep-alive, Upgrade, "
        "X-Secret\r\nX-Secret: 1\r\nUpgrade: websocket\r\n\r\n";
    static const char sent_on[] =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward_as(&world, client, request, sent_on);
    reply_as(server, client,
             "HTTP/1.1 101 Yes\r\nKeep-Alive: 5\r\nConnection: Upgrade, Keep-Alive\r\nUpgrade: "
             "websocket\r\n\r\n",
             "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    carries(client, server, "through");
}

static void who_refuses_answers_as_usual(void)
{
    static const char *const requests[] = {upgrade, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"};
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_RESPONSE_BODY);
    ce_autofd int client = client_open(&world), server = -1;
    for (size_t i = 0; i < CE_COUNT(requests); i++) {
        static const char no[] = "HTTP/1.1 426 No\r\nContent-Length: 3\r\n\r\nno\n";
        pass(&world, client, &server, requests[i], no, no);
        CHECK_TEXT(spy.body, "no\n");
        pass(&world, client, &server, get, ok, ok);
    }
    pass(&world, client, &server, upgrade, ok, ok); /* it may also just answer */
    CHECK(spy.requests == 5 && spy.responses == 5);
}

static void hooks_may_refuse_and_see_no_more_than_that(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_RESPONSE_BODY);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_ANSWER, .status = 503});
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, upgrade));
    CHECK(wire_gets(client, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"));
    tell(&spy, &spy.request, (struct ce_action){.delay_ns = CE_MILLISECOND});
    ce_autofd int server = forward(&world, client, upgrade);
    reply(server, client, switched);
    carries(client, server, get);
    spy_disarm(&spy);
    carries(server, client, ok);
    CHECK(spy.requests == 2 && spy.responses == 0);
}

static void nobody_switches_unasked(void)
{
    /* A switch to HTTP/2 is not passed on: it would take requests past the hooks. */
    static const char h2c[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                              "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    static const char told[] =
        "The upstream's response is malformed: it switches protocols, which nobody asked for.\n";
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward_as(&world, client, h2c, get);
    char want[512];
    snprintf(want, sizeof want,
             "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: "
             "%zu\r\n\r\n%s",
             strlen(told), told);
    reply_as(server, client, switched, want);
    CHECK(wire_ends(server));
}

static void an_end_is_passed_on_and_the_other_way_goes_on(void)
{
    for (int first = 0; first < 2; first++) {
        TUNNEL(tunnel, upgrade, switched);
        int a = first == 0 ? tunnel.client : tunnel.server;
        int b = first == 0 ? tunnel.server : tunnel.client;
        CHECK(wire_send(a, "the last of it"));
        shutdown(a, SHUT_WR);
        CHECK(wire_gets(b, "the last of it") && wire_ends(b));
        carries(b, a, "not of this");
        CHECK(wire_send(b, "and that was all"));
        if (first == 0)
            close(ce_take_fd(tunnel.server));
        else
            close(ce_take_fd(tunnel.client));
        CHECK(wire_gets(a, "and that was all") && wire_ends(a));
    }
}

static void a_reset_ends_both(void)
{
    for (int first = 0; first < 2; first++) {
        TUNNEL(tunnel, upgrade, switched);
        carries(tunnel.client, tunnel.server, "x");
        wire_reset(ce_take_fd(*(first == 0 ? &tunnel.client : &tunnel.server)));
        int left = first == 0 ? tunnel.server : tunnel.client;
        CHECK(wire_ends(left) || errno == ECONNRESET);
    }
}

static void dropping_clients_ends_tunnels(void)
{
    TUNNEL(tunnel, upgrade, switched);
    struct ce_error err = {0};
    REQUIRE_OK(ce_route_listening(tunnel.world.route, false, true, &err), err);
    CHECK(wire_is_reset(tunnel.client));
    CHECK(wire_ends(tunnel.server));
}

/* ---- much, both ways at once ---- */

enum { LARGE = 4 * 1000 * 1000 };

static char large_byte(size_t i, char seed)
{
    return (char)(seed + (char)(i * 2654435761u >> 13));
}

struct flow {
    int fd;
    char seed;
    bool right;
};

static void *send_large(void *arg)
{
    const struct flow *flow = arg;
    char piece[5000];
    for (size_t at = 0; at < LARGE; at += sizeof piece) {
        for (size_t i = 0; i < sizeof piece; i++)
            piece[i] = large_byte(at + i, flow->seed);
        if (!wire_send_bytes(flow->fd, piece, sizeof piece))
            break;
    }
    shutdown(flow->fd, SHUT_WR);
    return NULL;
}

static void *get_large(void *arg)
{
    struct flow *flow = arg;
    char piece[3001];
    size_t at = 0;
    flow->right = true;
    for (ssize_t n; (n = recv(flow->fd, piece, sizeof piece, 0)) > 0; at += (size_t)n)
        for (ssize_t i = 0; i < n; i++)
            flow->right = flow->right && piece[i] == large_byte(at + (size_t)i, flow->seed);
    flow->right = flow->right && at == LARGE;
    return NULL;
}

static void much_goes_both_ways_at_once(void)
{
    TUNNEL(tunnel, upgrade, switched);
    struct flow flows[] = {{.fd = tunnel.client, .seed = 1},
                           {.fd = tunnel.server, .seed = 2},
                           {.fd = tunnel.server, .seed = 1},
                           {.fd = tunnel.client, .seed = 2}};
    pthread_t threads[CE_COUNT(flows)];
    for (size_t i = 0; i < CE_COUNT(flows); i++)
        REQUIRE(pthread_create(&threads[i], NULL, i < 2 ? send_large : get_large, &flows[i]) == 0);
    for (size_t i = 0; i < CE_COUNT(flows); i++)
        pthread_join(threads[i], NULL);
    CHECK(flows[2].right && flows[3].right);
}

/* A reader that stops is not read for: what its peer can send meanwhile is bounded. */
static void a_tunnel_holds_back_who_sends_too_much(void)
{
    TUNNEL(tunnel, upgrade, switched);
    static char piece[64 * 1024];
    size_t sent = 0;
    struct timeval patience = {.tv_usec = 200 * 1000};
    (void)setsockopt(tunnel.client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    for (ssize_t n; sent < 256u * 1024 * 1024; sent += (size_t)n)
        if ((n = send(tunnel.client, piece, sizeof piece, MSG_NOSIGNAL)) <= 0)
            break;
    CHECK(sent > 0 && sent < 64u * 1024 * 1024); /* the buffers of four sockets, and one of ours */
    size_t got = 0;
    shutdown(tunnel.client, SHUT_WR);
    for (ssize_t n; (n = recv(tunnel.server, piece, sizeof piece, 0)) > 0;)
        got += (size_t)n;
    CHECK(got == sent);
}

int main(void)
{
    TEST(an_upgrade_opens_a_tunnel);
    TEST(connect_opens_a_tunnel);
    TEST(a_tunnel_may_be_silent);
    TEST(what_is_sent_early_is_not_lost);
    TEST(fields_of_one_hop_are_still_taken_out);
    TEST(who_refuses_answers_as_usual);
    TEST(hooks_may_refuse_and_see_no_more_than_that);
    TEST(nobody_switches_unasked);
    TEST(an_end_is_passed_on_and_the_other_way_goes_on);
    TEST(a_reset_ends_both);
    TEST(dropping_clients_ends_tunnels);
    TEST(much_goes_both_ways_at_once);
    TEST(a_tunnel_holds_back_who_sends_too_much);
    return test_done();
}
