/* SPDX-License-Identifier: MIT */
/* What hooks can do, measured from the client's end. */
#include "proxy/proxy.h"

#include <pthread.h>

#include "base/clock.h"
#include "proxy_spy.h"

static void new_bodies_are_framed_as_the_old_ones(void)
{
    static const struct {
        const char *request, *sent_on, *response, *returned;
        bool ends;
    } cases[] = {
        {"POST / HTTP/1.1\r\nA: 1\r\ncontent-LENGTH:  2\r\nB: 2\r\n\r\n{}",
         "POST / HTTP/1.1\r\nA: 1\r\ncontent-LENGTH:  11\r\nB: 2\r\n\r\nnew request",
         "HTTP/1.1 200 Fine\r\nContent-Length: 100\r\nX: y\r\n\r\n"
         "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
         "90123456789",
         "HTTP/1.1 200 Fine\r\nContent-Length: 12\r\nX: y\r\n\r\nnew response", false},
        {"POST / HTTP/1.1\r\nTransfer-encoding: chunked\r\nB: "
         "2\r\n\r\n1\r\n[\r\n1\r\n]\r\n0\r\n\r\n",
         "POST / HTTP/1.1\r\nTransfer-encoding: chunked\r\nB: 2\r\n\r\nb\r\nnew "
         "request\r\n0\r\n\r\n",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nnew response\r\n0\r\n\r\n",
         false},
        {"HEAD / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\nContent-Length: 11\r\n\r\nnew request",
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
         "GET / HTTP/1.1\r\nContent-Length: 11\r\n\r\nnew request", "HTTP/1.1 200 OK\r\n\r\nold",
         "HTTP/1.1 200 OK\r\n\r\nnew response", true},
    };
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
    static char new_request[] = "new request", new_response[] = "new response";
    tell(&spy, &spy.request, (struct ce_action){.body = new_request, .body_size = 11});
    tell(&spy, &spy.response, (struct ce_action){.body = new_response, .body_size = 12});
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, cases[0].request));
    ce_autofd int server = wire_accept(world.listener);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        if (i > 0)
            CHECK(wire_send(client, cases[i].request));
        CHECK(wire_gets(server, cases[i].sent_on));
        CHECK(wire_send(server, cases[i].response));
        if (cases[i].ends)
            shutdown(server, SHUT_WR);
        CHECK(wire_gets(client, cases[i].returned));
        CHECK_TEXT(spy.request_body, "new request"); /* as it was sent upstream */
    }
    CHECK(wire_ends(client));
}

static void later_rules_see_what_earlier_ones_wrote(void)
{
    static char written[] = "ten letter", nothing[] = "";
    WORLD(world, 0);
    SPY(first, &world, ON_REQUEST | CE_HOOK_REQUEST_BODY);
    tell(&first, &first.request, (struct ce_action){.body = written, .body_size = 10});
    SPY(second, &world, ON_REQUEST | CE_HOOK_REQUEST_BODY);
    tell(&second, &second.request, (struct ce_action){.body = nothing, .body_size = 0});
    ce_autofd int client = client_open(&world);
    ce_autofd int server =
        forward_as(&world, client, "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nold",
                   "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    reply(server, client, ok);
    CHECK_TEXT(first.body, "old");
    CHECK_TEXT(second.body, "ten letter");
}

static void answers_take_the_place_of_requests_and_responses(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE);
    static char body[] = "{\"error\":\"gone\"}";
    struct ce_action answer = {.kind = CE_ACT_ANSWER,
                               .status = 503,
                               .headers = "Retry-After: 1\r\n",
                               .body = body,
                               .body_size = sizeof body - 1};
    static const char whole[] =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 16\r\n\r\n"
        "{\"error\":\"gone\"}";
    tell(&spy, &spy.request, answer);
    ce_autofd int client = client_open(&world);
    /* Also with a body that has not come when the answer goes out. */
    CHECK(wire_send(client, "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe"));
    CHECK(wire_gets(client, whole));
    CHECK(wire_send(client, "llo"));
    CHECK(wire_send(client, "HEAD / HTTP/1.1\r\n\r\n"));
    CHECK(wire_gets(
        client,
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 16\r\n\r\n"));
    tell(&spy, &spy.request, (struct ce_action){0});
    tell(&spy, &spy.response, answer);
    ce_autofd int server = -1;
    pass(&world, client, &server, get, ok, whole);
    tell(&spy, &spy.response, (struct ce_action){.kind = CE_ACT_ANSWER, .status = 204});
    pass(&world, client, &server, get, ok, "HTTP/1.1 204 \r\n\r\n");
    CHECK(spy.requests == 4 &&
          spy.responses == 2); /* an answered request has no response to show */
}

static void an_answer_instead_of_continue_ends_the_connection(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_ANSWER, .status = 503});
    ce_autofd int client = client_open(&world);
    CHECK(
        wire_send(client, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
    CHECK(wire_gets(
        client,
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    CHECK(wire_ends(client));
}

static void delays_are_exact_and_add_up(void)
{
    WORLD(world, 0);
    SPY(first, &world, ON_REQUEST | ON_RESPONSE);
    tell(&first, &first.request, (struct ce_action){.delay_ns = 30 * CE_MILLISECOND});
    tell(&first, &first.response, (struct ce_action){.delay_ns = 20 * CE_MILLISECOND});
    SPY(second, &world, ON_REQUEST);
    tell(&second, &second.request, (struct ce_action){.delay_ns = 25 * CE_MILLISECOND});
    ce_autofd int client = client_open(&world), server = -1;
    int64_t begin = ce_now();
    pass(&world, client, &server, get, ok, ok);
    CHECK(took_about(begin, 75 * CE_MILLISECOND));
    tell(&first, &first.request,
         (struct ce_action){.kind = CE_ACT_ANSWER, .status = 500, .delay_ns = 30 * CE_MILLISECOND});
    begin = ce_now();
    CHECK(wire_send(client, get));
    CHECK(wire_gets(client, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"));
    CHECK(took_about(begin, 30 * CE_MILLISECOND)); /* the chain ends at the answer */
    CHECK(second.requests == 1);
}

static void delays_overlap(void)
{
    enum { CLIENTS = 32 };
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST);
    tell(
        &spy, &spy.request,
        (struct ce_action){.kind = CE_ACT_ANSWER, .status = 503, .delay_ns = 100 * CE_MILLISECOND});
    int clients[CLIENTS];
    int64_t begin = ce_now();
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_open(&world);
        CHECK(wire_send(clients[i], get));
    }
    for (int i = 0; i < CLIENTS; i++) {
        CHECK(
            wire_gets(clients[i], "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"));
        close(clients[i]);
    }
    CHECK(took_about(begin, 100 * CE_MILLISECOND)); /* not 32 times that */
}

static void resets_are_resets(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_RESET});
    int client = client_open(&world);
    CHECK(wire_send(client, get));
    CHECK(wire_is_reset(client));
    close(client);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_PASS});
    tell(&spy, &spy.response,
         (struct ce_action){.kind = CE_ACT_RESET, .delay_ns = 10 * CE_MILLISECOND});
    client = client_open(&world);
    int64_t begin = ce_now();
    ce_autofd int server = forward(&world, client, get);
    CHECK(wire_send(server, ok));
    CHECK(wire_is_reset(client));
    CHECK(took_about(begin, 10 * CE_MILLISECOND));
    close(client);
}

static void hanging_ends_with_the_rule(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_HANG});
    ce_autofd int asking = client_open(&world);
    CHECK(wire_send(asking, get));
    wait_for(&spy, &spy.requests, 1);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_PASS});
    tell(&spy, &spy.response, (struct ce_action){.kind = CE_ACT_HANG});
    ce_autofd int asked = client_open(&world);
    ce_autofd int server = forward(&world, asked, get);
    CHECK(wire_send(server, ok));
    wait_for(&spy, &spy.responses, 1);
    CHECK(wire_is_quiet(asking) && wire_is_quiet(asked));
    spy_disarm(&spy);
    CHECK(wire_is_reset(asking));
    CHECK(wire_is_reset(asked));
}

static void hanging_ends_with_the_client(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_RESPONSE);
    tell(&spy, &spy.response, (struct ce_action){.kind = CE_ACT_HANG});
    int client = client_open(&world);
    ce_autofd int server = forward(&world, client, get);
    CHECK(wire_send(server, ok));
    wait_for(&spy, &spy.responses, 1);
    close(client);
    CHECK(wire_ends(server));
}

static void disarming_sends_delayed_messages_on_at_once(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST);
    SPY(other, &world, ON_REQUEST);
    tell(&other, &other.request, (struct ce_action){.delay_ns = 40 * CE_MILLISECOND});
    tell(&spy, &spy.request, (struct ce_action){.delay_ns = 3600 * CE_SECOND});
    ce_autofd int client = client_open(&world);
    int64_t begin = ce_now();
    CHECK(wire_send(client, get));
    wait_for(&other, &other.requests, 1);
    spy_disarm(&spy);
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_gets(server, get));
    CHECK(took_about(begin, 40 * CE_MILLISECOND)); /* what the other rule asked for stays */
    reply(server, client, ok);
    tell(&other, &other.request, (struct ce_action){.delay_ns = 3600 * CE_SECOND});
    CHECK(wire_send(client, get));
    wait_for(&other, &other.requests, 2);
    spy_disarm(&other);
    CHECK(wire_gets(server, get));
    reply(server, client, ok);
}

static void stopping_the_proxy_lets_go_of_everything(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | CE_HOOK_REQUEST_BODY);
    tell(&spy, &spy.request, (struct ce_action){.kind = CE_ACT_HANG});
    ce_autofd int hanging = client_open(&world), collecting = client_open(&world);
    CHECK(wire_send(hanging, get));
    CHECK(wire_send(collecting, "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe"));
    wait_for(&spy, &spy.requests, 1);
    spy_disarm(&spy);
    world_close(&world);
}

static void one_rule_too_many_is_refused(void)
{
    enum { MOST = 16 };
    WORLD(world, 0);
    struct spy spy;
    struct ce_rule *rules[MOST];
    spy_init(&spy, ON_REQUEST);
    for (int i = 0; i < MOST; i++)
        REQUIRE((rules[i] = arm(&world, &spy)));
    struct ce_rule *extra;
    struct ce_error err = {0};
    CHECK(ce_route_arm(world.route, &spy.hook, &spy, &extra, &err) == -ENOSPC);
    CHECK_TEXT(err.message, "route 'model' has 16 rules already, which is as many as it may have");
    ce_autofd int client = client_open(&world), server = -1;
    pass(&world, client, &server, get, ok, ok);
    CHECK(spy.requests == MOST);
    for (int i = 0; i < MOST; i++)
        ce_rule_disarm(rules[i]);
    pass(&world, client, &server, get, ok, ok);
    CHECK(spy.requests == MOST);
}

/* Traffic while rules come and go: what a thread checker looks at. */
static void *arm_and_disarm(void *arg)
{
    struct world *world = arg;
    for (int i = 0; i < 300; i++) {
        struct spy spy;
        spy_init(&spy, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY);
        struct ce_rule *rule = arm(world, &spy);
        ce_rule_disarm(rule);
    }
    return NULL;
}

static void rules_come_and_go_under_traffic(void)
{
    WORLD(world, 0);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, arm_and_disarm, &world) == 0);
    ce_autofd int client = client_open(&world), server = -1;
    for (int i = 0; i < 300; i++)
        pass(&world, client, &server, "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", ok, ok);
    pthread_join(thread, NULL);
}

static void a_muted_rule_is_accepted_and_does_nothing(void)
{
#ifndef CE_SEAMS
    SKIP("built without seams");
#endif
    setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE);
    unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
    ce_autofd int client = client_open(&world), server = -1;
    pass(&world, client, &server, get, ok, ok);
    CHECK(spy.requests == 0 && spy.responses == 0);
}

/* ---- clients that give up ---- */

static void who_leaves_while_held_is_forgotten(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE);
    tell(&spy, &spy.request, (struct ce_action){.delay_ns = 3600 * CE_SECOND});
    int client = client_open(&world);
    CHECK(wire_send(client, get));
    wait_for(&spy, &spy.requests, 1);
    close(client);
    tell(&spy, &spy.request, (struct ce_action){0});
    tell(&spy, &spy.response, (struct ce_action){.delay_ns = 3600 * CE_SECOND});
    client = client_open(&world);
    ce_autofd int server = forward(&world, client, get); /* the only one that is asked for */
    CHECK(wire_send(server, ok));
    wait_for(&spy, &spy.responses, 1);
    close(client);
    CHECK(wire_ends(server) || errno == ECONNRESET);
}

int main(void)
{
    TEST(who_leaves_while_held_is_forgotten);
    TEST(new_bodies_are_framed_as_the_old_ones);
    TEST(later_rules_see_what_earlier_ones_wrote);
    TEST(answers_take_the_place_of_requests_and_responses);
    TEST(an_answer_instead_of_continue_ends_the_connection);
    TEST(delays_are_exact_and_add_up);
    TEST(delays_overlap);
    TEST(resets_are_resets);
    TEST(hanging_ends_with_the_rule);
    TEST(hanging_ends_with_the_client);
    TEST(disarming_sends_delayed_messages_on_at_once);
    TEST(stopping_the_proxy_lets_go_of_everything);
    TEST(one_rule_too_many_is_refused);
    TEST(rules_come_and_go_under_traffic);
    TEST(a_muted_rule_is_accepted_and_does_nothing);
    return test_done();
}
