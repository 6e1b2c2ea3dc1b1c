/* SPDX-License-Identifier: MIT */
/* HTTP/2 through the proxy, seen from both of its ends. */
#include "proxy/proxy.h"

#include "base/clock.h"
#include "h2_world.h"

/* ---- passing ---- */

static void a_call_passes_as_it_came(void)
{
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    CHECK_TEXT(request->head, call_lines);
    CHECK(has_data(request, hello, HELLO));
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    struct peer_stream *response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK_TEXT(response->head, reply_lines);
    CHECK_TEXT(response->trailers, "grpc-status: 0\nx-after: yes\n");
    CHECK(has_data(response, world_said, HELLO) && response->code == NGHTTP2_NO_ERROR);
    struct ce_route_counts counts;
    ce_route_count(world.route, &counts);
    CHECK(counts.requests == 1 && counts.responses == 1 && counts.errors == 0);
}

static void plain_requests_pass(void)
{
    static const struct {
        const char *method, *status, *body;
    } cases[] = {
        {"GET", "200", "text"}, {"HEAD", "200", NULL}, {"GET", "204", NULL}, {"DELETE", "404", ""}};
    H2_WORLD(world);
    CLIENT(client, world);
    CE_CLEANUP(peer_close) struct peer server = {.fd = -1};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        const char *const head[] = {":method", cases[i].method, ":scheme", "http", ":path",
                                    "/x?y",    ":authority",    "a",       NULL};
        const char *const response[] = {":status", cases[i].status, NULL};
        int32_t id = peer_ask(&client, head, NULL, 0, false);
        if (i == 0)
            peer_open(&server, wire_accept(world.listener), true, 0, 0);
        struct peer_stream *request = arrives(&server, i + 1);
        REQUIRE(request);
        CHECK(request->size == 0);
        peer_answer(&server, request->id, response, cases[i].body,
                    cases[i].body ? strlen(cases[i].body) : 0, NULL, false);
        struct peer_stream *got = peer_find(&client, id);
        PEER_UNTIL(&client, got->closed);
        CHECK(got->code == NGHTTP2_NO_ERROR && strstr(got->head, cases[i].status));
        CHECK(has_data(got, cases[i].body ? cases[i].body : "",
                       cases[i].body ? strlen(cases[i].body) : 0) ||
              got->size == 0);
    }
    CHECK_TEXT(peer_find(&client, 1)->data, "text");
}

static void interim_responses_pass(void)
{
    static const char *const go_on[] = {":status", "103", "x-hint", "soon", NULL};
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    nghttp2_nv list[4];
    size_t count = peer_fields(go_on, list);
    nghttp2_submit_headers(server.ng, NGHTTP2_FLAG_NONE, request->id, NULL, list, count, NULL);
    peer_flush(&server);
    struct peer_stream *response = peer_find(&client, id);
    PEER_UNTIL(&client, response->interim[0]);
    CHECK_TEXT(response->interim, ":status: 103\nx-hint: soon\n");
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, response->closed);
    CHECK_TEXT(response->head, reply_lines);
}

static void large_messages_pass_in_both_directions(void)
{
    enum { SIZE = 3 * 1024 * 1024 + 7 };
    ce_autofree char *large = malloc(SIZE);
    REQUIRE(large);
    for (size_t i = 0; i < SIZE; i++)
        large[i] = (char)(i * 31 + i / 4096);
    H2_WORLD(world);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, echo, &world) == 0);
    CLIENT(client, world);
    struct peer_stream *response = peer_find(&client, peer_ask(&client, call, large, SIZE, false));
    PEER_UNTIL(&client, response->closed);
    CHECK(has_data(response, large, SIZE));
    CHECK_TEXT(response->trailers, "grpc-status: 0\nx-after: yes\n");
    world_close(&world);
    pthread_join(thread, NULL);
}

static void messages_that_are_too_large_pass_unseen(void)
{
    enum { MESSAGE = 16 * 1024 * 1024 + 1, SIZE = MESSAGE + 5 };
    ce_autofree char *large = calloc(1, SIZE);
    REQUIRE(large);
    large[1] = MESSAGE >> 24;
    large[2] = (char)(MESSAGE >> 16 & 255);
    large[4] = MESSAGE & 255;
    large[SIZE - 1] = 'x';
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
    SPY(heads, &world, ON_REQUEST | ON_RESPONSE);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, echo, &world) == 0);
    CLIENT(client, world);
    struct peer_stream *response = peer_find(&client, peer_ask(&client, call, large, SIZE, false));
    PEER_UNTIL(&client, response->closed);
    CHECK(has_data(response, large, SIZE));
    CHECK(spy.requests == 0 && spy.responses == 0);
    CHECK(heads.requests == 1 && heads.responses == 1);
    spy_disarm(&spy);
    spy_disarm(&heads);
    world_close(&world);
    pthread_join(thread, NULL);
}

/* ---- what hooks see and do ---- */

static void hooks_see_the_message_of_a_call(void)
{
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    CHECK(spy.requests == 1);
    CHECK_TEXT(spy.body, "hello");
    CHECK_TEXT(spy.id, "seven");
    CHECK_TEXT(spy.method, "POST");
    CHECK_TEXT(spy.path, "/inference.GRPCInferenceService/ModelInfer");
    CHECK_TEXT(spy.content_type, "application/grpc");
    CHECK(!spy.body_encoded && !spy.is_probe);
    CHECK(has_data(request, hello, HELLO));
    static const char compressed[] = "\1\0\0\0\4gzip";
    peer_answer(&server, request->id, reply_head, compressed, 9, all_well, false);
    struct peer_stream *response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK(spy.responses == 1 && spy.status == 200 && spy.body_encoded);
    CHECK_TEXT(spy.body, "gzip");
    CHECK_TEXT(spy.request_body, "hello");
    CHECK(has_data(response, compressed, 9));
    CHECK_TEXT(response->trailers, "grpc-status: 0\nx-after: yes\n");
}

static void hooks_are_told_what_a_call_ended_with(void)
{
    static const struct {
        const char *status;
        int http;
    } cases[] = {{"0", 200},  {"14", 503}, {"8", 429}, {"4", 504}, {"13", 500}, {"5", 404},
                 {"16", 401}, {"7", 403},  {"3", 400}, {"2", 500}, {"77", 500}};
    H2_WORLD(world);
    SPY(spy, &world, ON_RESPONSE);
    CLIENT(client, world);
    CE_CLEANUP(peer_close) struct peer server = {.fd = -1};
    for (size_t i = 0; i < 2 * CE_COUNT(cases); i++) {
        const char *status = cases[i / 2].status;
        const char *const trailers[] = {"grpc-status", status, NULL};
        const char *const only[] = {
            ":status", "200", "content-type", "application/grpc", "grpc-status", status, NULL};
        int32_t id = peer_ask(&client, call, hello, HELLO, false);
        if (i == 0)
            peer_open(&server, wire_accept(world.listener), true, 0, 0);
        struct peer_stream *request = arrives(&server, i + 1);
        REQUIRE(request);
        if (i % 2)
            peer_answer(&server, request->id, only, NULL, 0, NULL, false);
        else
            peer_answer(&server, request->id, reply_head, "", 0, trailers, false);
        PEER_UNTIL(&client, peer_find(&client, id)->closed);
        CHECK(spy.status == cases[i / 2].http);
        CHECK(strstr(i % 2 ? peer_find(&client, id)->head : peer_find(&client, id)->trailers,
                     status));
    }
}

static void new_messages_are_framed_as_the_old_ones(void)
{
    static char mine[] = "other than that", yours[] = "";
    static const char *const plain[] = {":method",        "POST", ":scheme",    "http",
                                        ":path",          "/p",   ":authority", "a",
                                        "content-length", "4",    NULL};
    static const char *const plain_reply[] = {":status", "200", "content-length", "3", NULL};
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
    tell(&spy, &spy.request, (struct ce_action){.body = mine, .body_size = 15});
    tell(&spy, &spy.response, (struct ce_action){.body = yours, .body_size = 0});
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    CHECK(has_data(request, "\0\0\0\0\17other than that", 20));
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    struct peer_stream *response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK(has_data(response, "\0\0\0\0\0", 5));
    CHECK_TEXT(response->trailers, "grpc-status: 0\nx-after: yes\n");
    CHECK_TEXT(spy.request_body, mine);

    id = peer_ask(&client, plain, "abcd", 4, false);
    REQUIRE((request = arrives(&server, 2)));
    CHECK(has_data(request, mine, 15) && strstr(request->head, "content-length: 15\n"));
    peer_answer(&server, request->id, plain_reply, "old", 3, NULL, false);
    response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK(response->size == 0);
    CHECK_TEXT(response->head, ":status: 200\ncontent-length: 0\n");
}

static void answers_become_statuses(void)
{
    static const struct {
        int http;
        const char *head;
    } cases[] = {
        {503, ":status: 200\ncontent-type: application/grpc\nretry-after: 1\ngrpc-status: 14\n"
              "grpc-message: 100%25 gone%0A!\nx-chaos-fault: spy\n"},
        {429, "grpc-status: 8\n"},
        {504, "grpc-status: 4\n"},
        {500, "grpc-status: 13\n"},
        {404, "grpc-status: 5\n"},
        {401, "grpc-status: 16\n"},
        {403, "grpc-status: 7\n"},
        {400, "grpc-status: 3\n"},
        {418, "grpc-status: 2\n"},
    };
    static char why[] = "100% gone\n!\n";
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST);
    spy.hook.name = "spy";
    CLIENT(client, world);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        tell(&spy, &spy.request,
             (struct ce_action){.kind = CE_ACT_ANSWER,
                                .acted = true,
                                .status = cases[i].http,
                                .headers = "Retry-After: 1\r\nContent-Type: text/plain\r\n",
                                .body = why,
                                .body_size = sizeof why - 1});
        int32_t id = peer_ask(&client, call, hello, HELLO, false);
        struct peer_stream *response = peer_find(&client, id);
        PEER_UNTIL(&client, response->closed);
        CHECK(response->code == NGHTTP2_NO_ERROR && response->size == 0);
        if (!strstr(response->head, cases[i].head))
            printf("# got \"%s\"\n", response->head);
        CHECK(strstr(response->head, cases[i].head));
    }
}

static void answers_to_others_are_responses(void)
{
    static const char *const plain[] = {":method", "GET",        ":scheme", "http", ":path",
                                        "/p",      ":authority", "a",       NULL};
    static const char *const head_of[] = {":method", "HEAD",       ":scheme", "http", ":path",
                                          "/p",      ":authority", "a",       NULL};
    static char body[] = "{}";
    struct ce_action answer = {.kind = CE_ACT_ANSWER,
                               .status = 503,
                               .headers = "Retry-After: 1\r\nConnection: close\r\n",
                               .body = body,
                               .body_size = 2};
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request, answer);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, plain, NULL, 0, false);
    struct peer_stream *response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK_TEXT(response->head, ":status: 503\nretry-after: 1\ncontent-length: 2\n");
    CHECK_TEXT(response->data, "{}");
    id = peer_ask(&client, head_of, NULL, 0, false);
    response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK(response->size == 0 && response->code == NGHTTP2_NO_ERROR);
    /* Of a call that succeeds, the answer is the message; also in the place of a response. */
    static char message[] = "canned";
    answer =
        (struct ce_action){.kind = CE_ACT_ANSWER, .status = 200, .body = message, .body_size = 6};
    tell(&spy, &spy.request, answer);
    id = peer_ask(&client, call, hello, HELLO, true); /* whose end does not come */
    response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK(has_data(response, "\0\0\0\0\6canned", 11));
    CHECK_TEXT(response->trailers, "grpc-status: 0\n");
}

static void a_reset_takes_one_stream(void)
{
    H2_WORLD(world);
    CLIENT(client, world);
    int32_t other = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_RESET});
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    PEER_UNTIL(&client, peer_find(&client, id)->closed);
    CHECK(peer_find(&client, id)->code == NGHTTP2_INTERNAL_ERROR);
    CHECK(!peer_find(&client, id)->has_head && !peer_find(&client, other)->closed);
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, other)->closed);
    CHECK(has_data(peer_find(&client, other), world_said, HELLO));
}

static void hanging_ends_with_the_rule(void)
{
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_HANG});
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    wait_for(&spy, &spy.requests, 1);
    tell(&spy, &spy.request, (struct ce_action){.delay_ns = 3600 * CE_SECOND});
    int32_t delayed = peer_ask(&client, call, hello, HELLO, false);
    wait_for(&spy, &spy.requests, 2);
    spy_disarm(&spy);
    PEER_UNTIL(&client, peer_find(&client, id)->closed);
    CHECK(peer_find(&client, id)->code == NGHTTP2_INTERNAL_ERROR);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, delayed)->closed);
    CHECK(has_data(peer_find(&client, delayed), world_said, HELLO));
}

static void delays_are_of_their_stream_alone(void)
{
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request, (struct ce_action){.delay_ns = 150 * CE_MILLISECOND});
    CLIENT(client, world);
    int64_t begin = ce_now();
    int32_t slow = peer_ask(&client, call, hello, HELLO, false);
    wait_for(&spy, &spy.requests, 1);
    tell(&spy, &spy.request, (struct ce_action){0});
    int32_t fast = peer_ask(&client, call, world_said, HELLO, false);
    SERVER(server, world);
    struct peer_stream *first = arrives(&server, 1);
    REQUIRE(first);
    CHECK(has_data(first, world_said, HELLO));
    struct peer_stream *second = arrives(&server, 2);
    REQUIRE(second);
    CHECK(has_data(second, hello, HELLO) && ce_now() - begin >= 150 * CE_MILLISECOND);
    peer_answer(&server, first->id, reply_head, world_said, HELLO, all_well, false);
    peer_answer(&server, second->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, slow)->closed && peer_find(&client, fast)->closed);
    CHECK(peer_find(&client, slow)->code == 0 && peer_find(&client, fast)->code == 0);
}

static void responses_are_cut_off(void)
{
    H2_WORLD(world);
    SPY(spy, &world, ON_RESPONSE);
    CLIENT(client, world);
    CE_CLEANUP(peer_close) struct peer server = {.fd = -1};
    for (size_t cut = 0; cut <= 6; cut += 2) {
        tell(&spy, &spy.response, (struct ce_action){.kind = CE_ACT_CUT, .cut = cut});
        int32_t id = peer_ask(&client, call, hello, HELLO, false);
        if (cut == 0)
            peer_open(&server, wire_accept(world.listener), true, 0, 0);
        struct peer_stream *request = arrives(&server, cut / 2 + 1);
        REQUIRE(request);
        peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
        struct peer_stream *response = peer_find(&client, id);
        PEER_UNTIL(&client, response->closed);
        CHECK_TEXT(response->head, reply_lines);
        CHECK(has_data(response, world_said, cut < 5 ? 5 + cut : 10));
        CHECK(response->code == NGHTTP2_INTERNAL_ERROR && !response->trailers[0]);
    }
}

static void a_body_takes_its_time(void)
{
    H2_WORLD(world);
    SPY(spy, &world, ON_RESPONSE);
    tell(&spy, &spy.response, (struct ce_action){.body_ns = 100 * CE_MILLISECOND});
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    struct peer_stream *response = peer_find(&client, id);
    PEER_UNTIL(&client, response->has_head);
    int64_t begin = ce_now();
    CHECK(response->size < HELLO);
    PEER_UNTIL(&client, response->closed);
    CHECK(ce_now() - begin > 50 * CE_MILLISECOND);
    CHECK(has_data(response, world_said, HELLO));
    CHECK_TEXT(response->trailers, "grpc-status: 0\nx-after: yes\n");
}

static void requests_are_sent_elsewhere(void)
{
    H2_WORLD(world);
    static char path[] = "/v2";
    struct ce_endpoint elsewhere = ce_endpoint_loopback(0);
    ce_autofd int listener = wire_listen(&elsewhere);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE);
    spy.hook.name = "spy";
    tell(&spy, &spy.request,
         (struct ce_action){.acted = true,
                            .path = path,
                            .upstream = &elsewhere,
                            .set_name = "X-Model",
                            .set_value = "two"});
    tell(&spy, &spy.response, (struct ce_action){.set_name = "X-B", .set_value = "changed"});
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    CE_CLEANUP(peer_close) struct peer server;
    peer_open(&server, wire_accept(listener), true, 0, 0);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    CHECK(strstr(request->head, ":path: /v2\n") && strstr(request->head, "x-model: two\n"));
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, false);
    struct peer_stream *response = peer_find(&client, id);
    PEER_UNTIL(&client, response->closed);
    CHECK_TEXT(response->head, ":status: 200\ncontent-type: application/grpc\nx-b: changed\n"
                               "x-a: 1\nx-chaos-fault: spy\n");
    tell(&spy, &spy.request, (struct ce_action){.leave = true});
    id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(own, world);
    REQUIRE((request = arrives(&own, 1)));
    CHECK_TEXT(request->head, call_lines);
    peer_answer(&own, request->id, reply_head, world_said, HELLO, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, id)->closed);
    CHECK_TEXT(peer_find(&client, id)->head, reply_lines);
    CHECK(spy.responses == 1);
    spy_disarm(&spy); /* the connection elsewhere was the rule's */
    PEER_UNTIL(&server, server.ended);
}

/* ---- calls that stream ---- */

static void streams_pass_unseen(void)
{
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
    CLIENT(client, world);
    /* The first message waits for its answer before the next one is sent. */
    int32_t id = peer_ask(&client, call, hello, HELLO, true);
    SERVER(server, world);
    PEER_UNTIL(&server, server.count == 1 && server.streams[0].size == HELLO);
    struct peer_stream *request = &server.streams[0], *response = peer_find(&client, id);
    peer_answer(&server, request->id, reply_head, world_said, HELLO, all_well, true);
    PEER_UNTIL(&client, response->size == HELLO);
    peer_more(&client, id, hello, HELLO, false);
    PEER_UNTIL(&server, request->ended);
    peer_more(&server, request->id, world_said, HELLO, false);
    PEER_UNTIL(&client, response->closed);
    CHECK(response->size == 2 * (size_t)HELLO && request->size == 2 * (size_t)HELLO);
    CHECK(spy.requests == 0 && spy.responses == 0);
}

static void two_messages_are_a_stream(void)
{
    static const char two[] = "\0\0\0\0\1a\0\0\0\0\1b";
    H2_WORLD(world);
    SPY(spy, &world, ON_RESPONSE | CE_HOOK_RESPONSE_BODY);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    SERVER(server, world);
    struct peer_stream *request = arrives(&server, 1);
    REQUIRE(request);
    peer_answer(&server, request->id, reply_head, two, 12, all_well, false);
    PEER_UNTIL(&client, peer_find(&client, id)->closed);
    CHECK(has_data(peer_find(&client, id), two, 12) && spy.responses == 0);
}

int main(void)
{
    TEST(a_call_passes_as_it_came);
    TEST(plain_requests_pass);
    TEST(interim_responses_pass);
    TEST(large_messages_pass_in_both_directions);
    TEST(messages_that_are_too_large_pass_unseen);
    TEST(hooks_see_the_message_of_a_call);
    TEST(hooks_are_told_what_a_call_ended_with);
    TEST(new_messages_are_framed_as_the_old_ones);
    TEST(answers_become_statuses);
    TEST(answers_to_others_are_responses);
    TEST(a_reset_takes_one_stream);
    TEST(hanging_ends_with_the_rule);
    TEST(delays_are_of_their_stream_alone);
    TEST(responses_are_cut_off);
    TEST(a_body_takes_its_time);
    TEST(requests_are_sent_elsewhere);
    TEST(streams_pass_unseen);
    TEST(two_messages_are_a_stream);
    return test_done();
}
