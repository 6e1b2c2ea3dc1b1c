/* SPDX-License-Identifier: MIT */
/* One gRPC call, with the proxy between it and a server that the test plays. */
#include "proxy/h2/call.h"

#include "h2_world.h"
#include "proxy/h2/grpc.h"

static int ask(const struct world *world, const char *message, size_t size, int64_t timeout_ns,
               struct ce_grpc_answer *answer, struct ce_error *err)
{
    struct ce_grpc_call request = {
        .path = "/inference.GRPCInferenceService/ModelInfer",
        .headers = "X-Request-Id: probe-1\r\n",
        .message = {message, size},
        .timeout_ns = timeout_ns,
    };
    return ce_grpc_call(ce_route_endpoint(world->route), &request, answer, err);
}

static void a_call_gets_its_answer(void)
{
    enum { SIZE = 300 * 1000 };
    ce_autofree char *large = malloc(SIZE);
    REQUIRE(large);
    memset(large, 'm', SIZE);
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, echo, &world) == 0);
    static const size_t sizes[] = {5, 0, SIZE};
    for (size_t i = 0; i < CE_COUNT(sizes); i++) {
        struct ce_grpc_answer answer = {0};
        struct ce_error err = {0};
        REQUIRE_OK(ask(&world, large, sizes[i], 10 * CE_SECOND, &answer, &err), err);
        CHECK(answer.status == 0 && answer.message_size == sizes[i]);
        CHECK(memcmp(answer.message, large, sizes[i]) == 0);
        CHECK_TEXT(answer.reason, "");
        CHECK(answer.first_byte_ns > 0 && answer.total_ns >= answer.first_byte_ns);
        ce_grpc_answer_done(&answer);
    }
    CHECK_TEXT(spy.id, "probe-1");
    CHECK(spy.is_probe && spy.requests == 3);
    spy_disarm(&spy);
    world_close(&world);
    pthread_join(thread, NULL);
}

static void a_call_is_told_how_it_ended(void)
{
    static char why[] = "50% of it is \xe2\x82\xac\n";
    H2_WORLD(world);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request,
         (struct ce_action){
             .kind = CE_ACT_ANSWER, .status = 429, .body = why, .body_size = sizeof why - 1});
    struct ce_grpc_answer answer = {0};
    struct ce_error err = {0};
    REQUIRE_OK(ask(&world, "m", 1, 10 * CE_SECOND, &answer, &err), err);
    CHECK(answer.status == 8 && answer.message_size == 0);
    CHECK_TEXT(answer.reason, "50% of it is \xe2\x82\xac");
    ce_grpc_answer_done(&answer);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_RESET});
    CHECK(ask(&world, "m", 1, 10 * CE_SECOND, &answer, &err) == -ECONNRESET);
    CHECK_TEXT(err.message, "the call was reset (INTERNAL_ERROR)");
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_HANG});
    CHECK(ask(&world, "m", 1, 30 * CE_MILLISECOND, &answer, &err) == -ETIMEDOUT);
    CHECK_TEXT(err.message, "no answer within 0.030 s");
}

static void *accept_and_close(void *arg)
{
    const struct world *world = arg;
    close(wire_accept(world->listener));
    int fd = wire_accept(world->listener);
    (void)wire_send(fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    (void)shutdown(fd, SHUT_WR);
    char byte[64];
    while (recv(fd, byte, sizeof byte, 0) > 0)
        ;
    close(fd);
    return NULL;
}

static void a_call_to_something_else_fails(void)
{
    H2_WORLD(world);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, accept_and_close, &world) == 0);
    struct ce_grpc_call request = {.path = "/a/b", .timeout_ns = 10 * CE_SECOND};
    struct ce_grpc_answer answer = {0};
    struct ce_error err = {0};
    CHECK(ce_grpc_call(&world.upstream, &request, &answer, &err) == -ECONNRESET);
    int r = ce_grpc_call(&world.upstream, &request, &answer, &err);
    CHECK(r == -EPROTO || r == -ECONNRESET);
    pthread_join(thread, NULL);
    close(ce_take_fd(world.listener));
    CHECK(ce_grpc_call(&world.upstream, &request, &answer, &err) == -ECONNREFUSED);
    CHECK(strstr(err.message, "cannot connect to 127.0.0.1:"));
    CHECK(!answer.message && !answer.reason);
}

static void texts_of_statuses_survive(void)
{
    static const char *const cases[] = {"", "plain", "100%", "a\r\nb", "\x01\x7f\xff", "%41"};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofree char *encoded = ce_grpc_message_encode(ce_slice_of(cases[i]));
        REQUIRE(encoded);
        for (const char *c = encoded; *c; c++)
            CHECK(*c >= ' ' && *c < 0x7f);
        ce_autofree char *decoded = ce_grpc_message_decode(ce_slice_of(encoded));
        CHECK_TEXT(decoded, cases[i]);
    }
    ce_autofree char *odd = ce_grpc_message_decode(ce_slice_of("%4 %zz %"));
    CHECK_TEXT(odd, "%4 %zz %");
}

static void statuses_stand_for_each_other(void)
{
    static const int codes[] = {3, 4, 5, 7, 8, 13, 14, 16};
    for (size_t i = 0; i < CE_COUNT(codes); i++)
        CHECK(ce_grpc_status_of(ce_grpc_http_of(codes[i])) == codes[i]);
    CHECK(ce_grpc_status_of(200) == 0 && ce_grpc_status_of(204) == 0);
    CHECK(ce_grpc_status_of(418) == 2 && ce_grpc_http_of(12) == 501 && ce_grpc_http_of(99) == 500);
    CHECK(ce_grpc_is(ce_slice_of("application/grpc+proto")));
    CHECK(ce_grpc_is(ce_slice_of("Application/GRPC; charset=x")));
    CHECK(!ce_grpc_is(ce_slice_of("application/grpc-web")) && !ce_grpc_is(ce_slice_of("")));
}

int main(void)
{
    TEST(a_call_gets_its_answer);
    TEST(a_call_is_told_how_it_ended);
    TEST(a_call_to_something_else_fails);
    TEST(texts_of_statuses_survive);
    TEST(statuses_stand_for_each_other);
    return test_done();
}
