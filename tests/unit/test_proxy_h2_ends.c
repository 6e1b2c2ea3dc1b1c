/* SPDX-License-Identifier: MIT */
/* How streams and connections of HTTP/2 end, by either side, by time and by force. */
#include "proxy/proxy.h"

#include "h2_world.h"

/* A call that is under way at the upstream. */
static int32_t begin_call(struct peer *client, struct peer *server, struct peer_stream **ret)
{
    size_t n = server->count + 1;
    int32_t id = peer_ask(client, call, hello, HELLO, false);
    *ret = arrives(server, n);
    return id;
}

static bool has_status(const struct peer_stream *stream, const char *status)
{
    char line[64];
    snprintf(line, sizeof line, "grpc-status: %s\n", status);
    return strstr(stream->head, line) || strstr(stream->trailers, line);
}

/* ---- streams ---- */

static void a_client_that_gives_up_frees_the_upstream(void)
{
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    nghttp2_submit_rst_stream(client.ng, 0, id, NGHTTP2_CANCEL);
    peer_flush(&client);
    PEER_UNTIL(&server, request->closed);
    CHECK(request->code == NGHTTP2_CANCEL);
    CHECK(whole_call(&client, &server)->code == NGHTTP2_NO_ERROR);
    /* The same when its connection goes. */
    struct peer_stream *second;
    (void)begin_call(&client, &server, &second);
    REQUIRE(second);
    close(ce_take_fd(client.fd));
    PEER_UNTIL(&server, second->closed);
    CHECK(second->code == NGHTTP2_CANCEL);
}

static void resets_by_the_upstream_are_passed_on(void)
{
    H2_WORLD(world);
    CLIENT(client, world);
    CE_CLEANUP(peer_close) struct peer server = {.fd = -1};
    for (int late = 0; late < 2; late++) {
        int32_t id = peer_ask(&client, call, hello, HELLO, false);
        if (!late)
            peer_open(&server, wire_accept(world.listener), true, 0, 0);
        struct peer_stream *request = arrives(&server, (size_t)late + 1);
        REQUIRE(request);
        if (late) {
            peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, true);
            PEER_UNTIL(&client, peer_find(&client, id)->size == HELLO);
        }
        nghttp2_submit_rst_stream(server.ng, 0, request->id, NGHTTP2_REFUSED_STREAM);
        peer_flush(&server);
        PEER_UNTIL(&client, peer_find(&client, id)->closed);
        CHECK(peer_find(&client, id)->code == NGHTTP2_REFUSED_STREAM);
    }
    CHECK(whole_call(&client, &server)->code == NGHTTP2_NO_ERROR);
}

static void an_early_answer_ends_the_request(void)
{
    static const char *const sorry[] = {
        ":status", "200", "content-type", "application/grpc", "grpc-status", "8", NULL};
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, true);
    SERVER(server, world);
    PEER_UNTIL(&server, server.count == 1 && server.streams[0].size == HELLO);
    peer_answer(&server, server.streams[0].id, sorry, NULL, 0, NULL, false);
    struct peer_stream *response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK(has_status(response, "8") && response->code == NGHTTP2_NO_ERROR);
    PEER_UNTIL(&server, server.streams[0].closed);
}

static void calls_under_way_are_told_that_the_upstream_died(void)
{
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t early = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    REQUIRE(arrives(&server, 1));
    struct peer_stream *request;
    int32_t late = begin_call(&client, &server, &request);
    REQUIRE(request);
    peer_answer(&server, request->id, reply_head, world_said, 7, NULL, true);
    PEER_UNTIL(&client, peer_find(&client, late)->size == 7);
    wire_reset(ce_take_fd(server.fd));
    PEER_UNTIL(&client, peer_find(&client, early)->closed && peer_find(&client, late)->closed);
    CHECK(has_status(peer_find(&client, early), "14") &&
          has_status(peer_find(&client, late), "14"));
    struct ce_route_counts counts;
    ce_route_count(world.route, &counts);
    CHECK(counts.errors == 2);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(again, world);
    REQUIRE((request = arrives(&again, 1)));
    peer_answer(&again, request->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, id)->closed);
    CHECK(has_data(peer_find(&client, id), world_said, HELLO));
}

static void an_upstream_that_is_down_is_unavailable(void)
{
    static const char *const plain[] = {":method", "GET",        ":scheme", "http", ":path",
                                        "/p",      ":authority", "a",       NULL};
    H2_WORLD(world);
    close(ce_take_fd(world.listener));
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    int32_t other = peer_ask(&client, plain, NULL, 0, false);
    const struct peer_stream *told = peer_find(&client, id), *shown = peer_find(&client, other);
    REQUIRE(told && shown);
    PEER_UNTIL(&client, told->closed && shown->closed);
    CHECK(has_status(told, "14") && strstr(told->head, "Connection refused."));
    CHECK(strstr(shown->head, ":status: 502\ncontent-type: text/plain\n"));
    REQUIRE(shown->data);
    CHECK(strstr(shown->data, "Cannot connect to the upstream 127.0.0.1:"));
}

static void a_silent_upstream_is_not_waited_for_longer(void)
{
    CE_CLEANUP(world_close) struct world world;
    REQUIRE(h2_world_open(&world, true, 60 * CE_MILLISECOND) == 0);
    CLIENT(client, world);
    int64_t begin = ce_now();
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    int32_t unfinished = peer_ask(&client, call, hello, HELLO, true);
    SERVER(server, world);
    struct peer_stream *response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK(has_status(response, "4") && ce_now() - begin >= 60 * CE_MILLISECOND);
    CHECK(strstr(response->head, "did not answer within 0.060 s."));
    CHECK(!peer_find(&client, unfinished)->closed); /* it is the client that is waited for */
    PEER_UNTIL(&server, server.count == 2 && server.streams[0].closed);
    peer_answer(&server, server.streams[1].id, reply_head, world_said, HELLO, all_well, true);
    peer_more(&client, unfinished, "", 0, false);
    response = peer_find(&client, unfinished);
    PEER_UNTIL(&client, response->closed);
    CHECK(has_data(response, world_said, HELLO) && has_status(response, "4"));
}

/* ---- connections ---- */

static void one_connection_carries_many_streams(void)
{
    enum { COUNT = 20 };
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t ids[COUNT];
    for (int i = 0; i < COUNT; i++)
        ids[i] = peer_ask(&client, call, hello, HELLO, false);
    CE_CLEANUP(peer_close) struct peer server;
    peer_open(&server, wire_accept(world.listener), true, 0, 0);
    for (size_t i = 1; i <= COUNT; i++)
        REQUIRE(arrives(&server, i));
    for (size_t i = 0; i < COUNT; i++)
        peer_answer(&server, server.streams[i].id, reply_head, world_said, HELLO, all_well, false);
    for (int i = 0; i < COUNT; i++)
        PEER_UNTIL(&client, peer_find(&client, ids[i])->closed);
    (void)fcntl(world.listener, F_SETFL, O_NONBLOCK);
    CHECK(wire_accept(world.listener) < 0 && errno == EAGAIN);
}

static void no_more_streams_than_the_upstream_wants(void)
{
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t first = peer_ask(&client, call, hello, HELLO, false);
    CE_CLEANUP(peer_close) struct peer server, other;
    peer_open(&server, wire_accept(world.listener), true, 1, 0);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    int32_t second = peer_ask(&client, call, hello, HELLO, false);
    peer_open(&other, wire_accept(world.listener), true, 1, 0);
    struct peer_stream *elsewhere = arrives(&other, 1);
    REQUIRE(elsewhere);
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    peer_answer(&other, elsewhere->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, first)->closed && peer_find(&client, second)->closed);
}

static void an_upstream_that_goes_away_is_left_alone(void)
{
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    nghttp2_submit_goaway(server.ng, 0, request->id, NGHTTP2_NO_ERROR, NULL, 0);
    nghttp2_submit_ping(server.ng, 0, NULL);
    peer_flush(&server);
    REQUIRE(peer_step(&server)); /* the answer to the ping: both have arrived */
    int32_t next = peer_ask(&client, call, hello, HELLO, false);
    SERVER(again, world);
    struct peer_stream *second = arrives(&again, 1);
    REQUIRE(second);
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    peer_answer(&again, second->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, id)->closed && peer_find(&client, next)->closed);
    CHECK(peer_find(&client, id)->code == 0 && peer_find(&client, next)->code == 0);
    PEER_UNTIL(&server, server.ended);
}

static void draining_ends_clients_after_their_calls(void)
{
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    CHECK(ce_proxy_drain(world.proxy, CE_MILLISECOND) == -ETIMEDOUT);
    PEER_UNTIL(&client, client.went_away);
    CHECK(client.away_code == NGHTTP2_NO_ERROR);
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, client.ended);
    CHECK(has_data(peer_find(&client, id), world_said, HELLO));
    close(ce_take_fd(client.fd));
    CHECK(ce_proxy_drain(world.proxy, 10 * CE_SECOND) == 0);
}

static void dropped_clients_are_reset(void)
{
    H2_WORLD(world);
    CLIENT(client, world);
    (void)peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    REQUIRE(peer_step(&client));
    CHECK(ce_route_listening(world.route, false, true, NULL) == 0);
    CHECK(wire_is_reset(client.fd));
    PEER_UNTIL(&server, request->closed);
}

/* ---- bounds ---- */

static void a_client_that_does_not_read_slows_its_upstream_down(void)
{
    enum { SIZE = 8 * 1024 * 1024, WINDOW = 1000, MOST = 512 * 1024 };
    ce_autofree char *large = calloc(1, SIZE);
    REQUIRE(large);
    H2_WORLD(world);
    CE_CLEANUP(peer_close) struct peer client;
    peer_open(&client, client_open(&world), false, 0, WINDOW);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    peer_answer(&server, request->id, reply_head, large, SIZE, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, id)->size == WINDOW);
    /* Others are not held up by that. */
    int32_t other = peer_ask(&client, call, hello, HELLO, false);
    struct peer_stream *second = arrives(&server, 2);
    REQUIRE(second);
    peer_answer(&server, second->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, other)->closed);
    CHECK(has_data(peer_find(&client, other), world_said, HELLO));
    CHECK(server.sent < MOST);
    /* It comes on as the client takes it. */
    while (!peer_find(&client, id)->closed) {
        struct peer_stream *response = peer_find(&client, id);
        nghttp2_session_consume(client.ng, id, response->size);
        response->size = 0;
        REQUIRE(peer_step(&client));
        while (!wire_is_quiet(server.fd))
            REQUIRE(peer_step(&server));
    }
    CHECK(has_status(peer_find(&client, id), "0") && server.sent == SIZE + (size_t)HELLO);
}

static void too_many_fields_are_refused(void)
{
    static char value[3001];
    const char *head[64] = {":method", "POST",       ":scheme", "http",         ":path",
                            "/",       ":authority", "a",       "content-type", "application/grpc"};
    size_t n = 10;
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 21; i++) {
        head[n++] = "x-more";
        head[n++] = value;
    }
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, head, NULL, 0, false);
    SERVER(server, world);
    REQUIRE(arrives(&server, 1));
    CHECK(!peer_find(&client, id)->closed);
    head[n++] = "x-more";
    head[n++] = value;
    id = peer_ask(&client, head, NULL, 0, false);
    struct peer_stream *response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK(has_status(response, "8"));
    CHECK(strstr(response->head, "has more than 65536 bytes of header fields."));
}

static void endless_resets_end_the_connection(void)
{
    H2_WORLD(world);
    close(ce_take_fd(world.listener));
    CLIENT(client, world);
    while (!client.ended && client.count < PEER_STREAMS) {
        for (int i = 0; i < 50; i++) {
            int32_t id = peer_ask(&client, call, hello, HELLO, false);
            nghttp2_submit_rst_stream(client.ng, 0, id, NGHTTP2_CANCEL);
        }
        client.count = 0; /* what became of each does not matter */
        peer_flush(&client);
        if (!wire_is_quiet(client.fd))
            (void)peer_step(&client);
    }
    CHECK(client.went_away && client.away_code == NGHTTP2_ENHANCE_YOUR_CALM);
}

static void nonsense_ends_the_connection_alone(void)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"\0\0\0\4\0\0\0\0\0GET / HTTP/1.1\r\n\r\n", 27},
        {"\0\0\0\4\0\0\0\0\0\0\0\4\0\0\0\0\0\1what", 22},
        {"\xff\xff\xff\0\0\0\0\0\1", 9},
    };
    H2_WORLD(world);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofd int fd = client_open(&world);
        CHECK(wire_send(fd, preface) && wire_send_bytes(fd, cases[i].bytes, cases[i].size));
        char bytes[256];
        ssize_t n;
        size_t got = 0;
        while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
            got += (size_t)n;
        CHECK(n == 0 && got > 0); /* settings and GOAWAY, then the end */
    }
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, id)->closed);
}

/* ---- the other version ---- */

static void the_versions_do_not_mix(void)
{
    CE_CLEANUP(world_close) struct world old;
    REQUIRE(h2_world_open(&old, false, 0) == 0);
    CLIENT(client, old);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    PEER_UNTIL(&client, peer_find(&client, id)->closed);
    CHECK_TEXT(peer_find(&client, id)->head,
               ":status: 200\ncontent-type: application/grpc\ngrpc-status: 14\n"
               "grpc-message: The upstream of route 'model' speaks HTTP/1.1: ask with that.\n");
    H2_WORLD(world);
    ce_autofd int fd = client_open(&world);
    CHECK(wire_send(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK(wire_gets(fd, "HTTP/1.1 505 HTTP Version Not Supported\r\n"));
    /* A preface that comes in pieces is one. */
    ce_autofd int slow = client_open(&world);
    CHECK(wire_send(slow, "PRI * HTTP/2.0\r\n\r\n"));
    CHECK(wire_gets(fd, "Content-Type: text/plain\r\n"));
    CHECK(wire_send(slow, "SM\r\n\r\n") && wire_send_bytes(slow, "\0\0\0\4\0\0\0\0\0", 9));
    char settings[9];
    CHECK(recv(slow, settings, sizeof settings, MSG_WAITALL) == 9 && settings[3] == 4);
}

/* ---- many things at once: what a thread checker looks at ---- */

static void *arm_and_disarm(void *arg)
{
    struct world *world = arg;
    for (int i = 0; i < 200; i++) {
        struct spy spy;
        spy_init(&spy, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
        tell(&spy, &spy.request, (struct ce_action){.delay_ns = i % 3 * CE_MILLISECOND});
        struct ce_rule *rule = arm(world, &spy);
        ce_rule_disarm(rule);
    }
    return NULL;
}

static void rules_come_and_go_under_traffic(void)
{
    H2_WORLD(world);
    pthread_t server, rules;
    REQUIRE(pthread_create(&server, NULL, echo, &world) == 0);
    REQUIRE(pthread_create(&rules, NULL, arm_and_disarm, &world) == 0);
    CLIENT(client, world);
    for (int i = 0; i < 50; i++) {
        int32_t ids[4];
        for (int k = 0; k < 4; k++)
            ids[k] = peer_ask(&client, call, hello, HELLO, false);
        for (int k = 0; k < 4; k++) {
            struct peer_stream *response = peer_find(&client, ids[k]);
            PEER_UNTIL(&client, response->closed);
            CHECK(has_data(response, hello, HELLO));
        }
    }
    pthread_join(rules, NULL);
    world_close(&world);
    pthread_join(server, NULL);
}

static void stopping_the_proxy_lets_go_of_everything(void)
{
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST | CE_HOOK_REQUEST_BODY);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_HANG});
    CLIENT(client, world);
    (void)peer_ask(&client, call, hello, HELLO, false);
    wait_for(&spy, &spy.requests, 1);
    tell(&spy, &spy.request, (struct ce_action){0});
    (void)peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    REQUIRE(arrives(&server, 1));
    (void)peer_ask(&client, call, hello, 3, true);
    spy_disarm(&spy);
    world_close(&world);
    PEER_UNTIL(&client, client.ended);
}

int main(void)
{
    TEST(a_client_that_gives_up_frees_the_upstream);
    TEST(resets_by_the_upstream_are_passed_on);
    TEST(an_early_answer_ends_the_request);
    TEST(calls_under_way_are_told_that_the_upstream_died);
    TEST(an_upstream_that_is_down_is_unavailable);
    TEST(a_silent_upstream_is_not_waited_for_longer);
    TEST(one_connection_carries_many_streams);
    TEST(no_more_streams_than_the_upstream_wants);
    TEST(an_upstream_that_goes_away_is_left_alone);
    TEST(draining_ends_clients_after_their_calls);
    TEST(dropped_clients_are_reset);
    TEST(a_client_that_does_not_read_slows_its_upstream_down);
    TEST(too_many_fields_are_refused);
    TEST(endless_resets_end_the_connection);
    TEST(nonsense_ends_the_connection_alone);
    TEST(the_versions_do_not_mix);
    TEST(rules_come_and_go_under_traffic);
    TEST(stopping_the_proxy_lets_go_of_everything);
    return test_done();
}
