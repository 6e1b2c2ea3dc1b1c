/* SPDX-License-Identifier: MIT */
/* What hooks see, and when they are asked. */
#include "proxy/proxy.h"

#include <pthread.h>

#include "base/error.h"
#include "proxy_spy.h"

static void requests_have_an_identity(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST);
    static const struct {
        const char *request, *id;
        bool is_probe;
    } cases[] = {
        {"GET /a HTTP/1.1\r\nX-Request-ID: f-17.1\r\n\r\n", "f-17.1", false},
        {"GET /a HTTP/1.1\r\n\r\n", "#2", false},
        {"GET /a HTTP/1.1\r\nX-Request-Id: probe-3\r\n\r\n", "probe-3", true}, /* not counted */
        {"GET /a HTTP/1.1\r\nX-Request-Id:\r\n\r\n", "#3", false},
    };
    ce_autofd int client = client_open(&world), server = -1;
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        pass(&world, client, &server, cases[i].request, ok, ok);
        CHECK_TEXT(spy.id, cases[i].id);
        CHECK(spy.is_probe == cases[i].is_probe);
        CHECK_TEXT(spy.path, "/a");
        CHECK_TEXT(spy.method, "GET");
        CHECK(!spy.had_body);
    }
    struct ce_route_counts counts;
    ce_route_count(world.route, &counts);
    CHECK(counts.requests == 3 && counts.responses == 3);
}

static void bodies_are_shown_whole_and_pass_unchanged(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
    static const struct {
        const char *request, *request_body, *response, *body, *type;
        bool encoded;
    } cases[] = {
        {"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", "{}",
         "HTTP/1.1 200 OK\r\ncontent-type: text/x; q=1\r\nContent-Length: 5\r\n\r\nhello", "hello",
         "text/x; q=1", false},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\n[\r\n001\r\n]\r\n0\r\nT: "
         "x\r\n\r\n",
         "[]",
         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: "
         "chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
         "hello", "", true},
        {"GET / HTTP/1.1\r\n\r\n", "", "HTTP/1.1 204 None\r\nContent-Encoding: identity\r\n\r\n",
         "", "", false},
    };
    ce_autofd int client = client_open(&world), server = -1;
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        pass(&world, client, &server, cases[i].request, cases[i].response, cases[i].response);
        CHECK_TEXT(spy.request_body, cases[i].request_body);
        CHECK_TEXT(spy.body, cases[i].body);
        CHECK_TEXT(spy.content_type, cases[i].type);
        CHECK(spy.had_body && spy.body_encoded == cases[i].encoded);
    }
    CHECK(spy.status == 204);
    CHECK(spy.requests == 3 && spy.responses == 3);

    CHECK(wire_send(client, get));
    CHECK(wire_gets(server, get));
    CHECK(wire_send(server, "HTTP/1.1 200 OK\r\n\r\nto the end"));
    close(server);
    CHECK(wire_gets(client, "HTTP/1.1 200 OK\r\n\r\nto the end") && wire_ends(client));
    CHECK_TEXT(spy.body, "to the end");
}

static void a_collected_body_is_asked_for(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | CE_HOOK_REQUEST_BODY);
    ce_autofd int client = client_open(&world);
    CHECK(
        wire_send(client, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
    CHECK(wire_gets(client, "HTTP/1.1 100 Continue\r\n\r\n"));
    ce_autofd int server =
        forward_as(&world, client, "hi", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");
    reply(server, client, ok);
    CHECK_TEXT(spy.body, "hi");
}

enum { TOO_LARGE = 17 * 1024 * 1024 };

static void *send_too_large(void *arg)
{
    static const char zeros[64 * 1024];
    for (size_t at = 0; at < TOO_LARGE; at += sizeof zeros)
        if (!wire_send_bytes(*(int *)arg, zeros, sizeof zeros))
            break;
    return NULL;
}

static size_t read_too_large(int fd)
{
    static char piece[64 * 1024];
    size_t size = 0;
    for (ssize_t n; size < TOO_LARGE && (n = recv(fd, piece, sizeof piece, 0)) > 0;)
        size += (size_t)n;
    return size;
}

static void bodies_beyond_the_limit_pass_unhooked(void)
{
    static const char head[] = "POST / HTTP/1.1\r\nContent-Length: 17825792\r\n\r\n";
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 17825792\r\n\r\n";
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
    SPY(other, &world, ON_REQUEST | ON_RESPONSE); /* does not mind */
    ce_autofd int client = client_open(&world);
    pthread_t sender;
    CHECK(wire_send(client, head));
    REQUIRE(pthread_create(&sender, NULL, send_too_large, &client) == 0);
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_gets(server, head));
    CHECK(read_too_large(server) == TOO_LARGE);
    pthread_join(sender, NULL);
    CHECK(wire_send(server, answer));
    REQUIRE(pthread_create(&sender, NULL, send_too_large, &server) == 0);
    CHECK(wire_gets(client, answer));
    CHECK(read_too_large(client) == TOO_LARGE);
    pthread_join(sender, NULL);
    CHECK(spy.requests == 0 && spy.responses == 0);
    CHECK(other.requests == 1 && other.responses == 1);
}

static void rules_hold_for_requests_that_come_later(void)
{
    WORLD(world, 0);
    SPY(early, &world, ON_REQUEST | ON_RESPONSE);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward(&world, client, get);
    SPY(late, &world, ON_REQUEST | ON_RESPONSE);
    reply(server, client, ok);
    CHECK(early.responses == 1 && late.responses == 0);
    pass(&world, client, &server, get, ok, ok);
    CHECK(late.requests == 1 && late.responses == 1);

    CHECK(wire_send(client, get));
    CHECK(wire_gets(server, get));
    spy_disarm(&late);
    reply(server, client, ok);
    CHECK(early.responses == 3 && late.requests == 2 && late.responses == 1);
}

int main(void)
{
    TEST(requests_have_an_identity);
    TEST(bodies_are_shown_whole_and_pass_unchanged);
    TEST(a_collected_body_is_asked_for);
    TEST(bodies_beyond_the_limit_pass_unhooked);
    TEST(rules_hold_for_requests_that_come_later);
    return test_done();
}
