/* SPDX-License-Identifier: MIT */
/* What hooks see, and when they are asked. */
#include "proxy/proxy.h"

#include <pthread.h>

#include "base/error.h"
#include "proxy/hooks.h"
#include "proxy_spy.h"

static void requests_have_an_identity(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST);
    static const struct {
        const char *request, *id;
        uint64_t number;
        bool is_probe;
    } cases[] = {
        {"GET /a HTTP/1.1\r\nX-Request-ID: f-17.1\r\n\r\n", "f-17.1", 1, false},
        {"GET /a HTTP/1.1\r\n\r\n", "#2", 2, false},
        {"GET /a HTTP/1.1\r\nX-Request-Id: probe-3\r\n\r\n", "probe-3", 0, true},
        {"GET /a HTTP/1.1\r\nX-Request-Id:\r\n\r\n", "#3", 3, false},
    };
    ce_autofd int client = client_open(&world), server = -1;
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        pass(&world, client, &server, cases[i].request, ok, ok);
        CHECK_TEXT(spy.id, cases[i].id);
        CHECK(spy.is_probe == cases[i].is_probe);
        CHECK(spy.number == cases[i].number && spy.connection == 1);
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

static bool sends_in_pieces(int fd, const char *text, size_t piece)
{
    for (size_t size = strlen(text); size > 0;) {
        size_t n = piece < size ? piece : size;
        if (!wire_send_bytes(fd, text, n))
            return false;
        text += n;
        size -= n;
    }
    return true;
}

static void shown_messages_pass_unchanged_whatever_the_pieces(void)
{
    static const char request[] =
        "POST /a HTTP/1.1\r\nhOsT:x\r\nTransfer-Encoding: Chunked\r\nTrailer: Sum\r\n\r\n"
        "0003;x=y\r\nabc\r\n1 \r\nd\r\n0;last\r\nSum: 4\r\n\r\n";
    static const char response[] =
        "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
        "HTTP/1.1 299  Odd  \r\nsErVeR:\tme\r\ntransfer-encoding: chunked\r\n\r\n"
        "1\r\na\r\n00B;q=\"s\"\r\n01234567890\r\n0\r\nSum: 12\r\n\r\n";
    WORLD(world, 0);
    SPY(spy, &world,
        CONCERNS | ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
    ce_autofd int client = client_open(&world), server = -1;
    for (size_t piece = 1; piece < 30; piece += 3) {
        CHECK(sends_in_pieces(client, request, piece));
        if (server < 0)
            server = wire_accept(world.listener);
        CHECK(wire_gets(server, request));
        CHECK(sends_in_pieces(server, response, piece));
        CHECK(wire_gets(client, response));
        CHECK_TEXT(spy.request_body, "abcd");
        CHECK_TEXT(spy.body, "a01234567890");
    }
    CHECK(spy.requests == 10 && spy.responses == 10);
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

static void heads_are_shown(void)
{
    WORLD(world, 0);
    SPY(spy, &world, CONCERNS | ON_REQUEST | ON_RESPONSE | CE_HOOK_RESPONSE_BODY);
    ce_autofd int client = client_open(&world), server = -1, other = client_open(&world);
    CHECK(wire_send(client, "POST /a HTTP/1.1\r\nX-Looks: no\r\nX-look: \t at it \r\nX-Look: "
                            "again\r\nContent-Length: 4\r\n\r\nhe"));
    wait_for(&spy, &spy.heads, 1);
    CHECK_TEXT(spy.look, "at it"); /* before its body is there */
    CHECK(wire_send(client, "re"));
    server = wire_accept(world.listener);
    wait_for(&spy, &spy.requests, 1);
    CHECK_TEXT(spy.look, "at it");
    CHECK(wire_gets(server, "POST /a HTTP/1.1\r\nX-Looks: no\r\nX-look: \t at it \r\nX-Look: "
                            "again\r\nContent-Length: 4\r\n\r\nhere"));
    reply(server, client, "HTTP/1.1 200 OK\r\nX-LOOK:\r\nContent-Length: 0\r\n\r\n");
    CHECK_TEXT(spy.look, ""); /* the response's */
    CHECK(spy.status == 200);
    pass(&world, other, &server, "GET / HTTP/1.1\r\nX-Look: up\r\n\r\n",
         "HTTP/1.1 404 No\r\nx-look:\tdown\r\nContent-Length: 0\r\n\r\n",
         "HTTP/1.1 404 No\r\nx-look:\tdown\r\nContent-Length: 0\r\n\r\n");
    CHECK_TEXT(spy.look, "down");
    CHECK(spy.number == 2 && spy.connection == 2);
}

static void long_texts_are_shown_whole(void)
{
    static char request[3000], response[3000], path[1000], type[1000];
    memset(path, 'p', sizeof path - 1);
    memset(type, 't', sizeof type - 1);
    snprintf(request, sizeof request, "GET /%s HTTP/1.1\r\nContent-Type: a/%s\r\n\r\n", path, type);
    snprintf(response, sizeof response,
             "HTTP/1.1 200 OK\r\nContent-Type: b/%s\r\nContent-Length: 0\r\n\r\n", type);
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward(&world, client, request);
    CHECK(strncmp(spy.content_type, "a/ttt", 5) == 0 && strncmp(spy.path, "/ppp", 4) == 0);
    CHECK(strlen(spy.path) == sizeof spy.path - 1); /* all that the spy keeps */
    reply(server, client, response);
    CHECK(strncmp(spy.content_type, "b/ttt", 5) == 0 && strncmp(spy.path, "/ppp", 4) == 0);
}

static void a_rule_that_is_not_concerned_costs_nothing(void)
{
    static const char head[] =
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    WORLD(world, 0);
    SPY(spy, &world,
        CONCERNS | ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
    SPY(other, &world, ON_REQUEST | ON_RESPONSE);
    spy.refuses = true;
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward(&world, client, head); /* not answered by the proxy */
    reply(server, client, "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(wire_send(client, "h"));
    CHECK(wire_gets(server, "h")); /* nor collected */
    CHECK(wire_send(client, "i"));
    CHECK(wire_gets(server, "i"));
    reply(server, client, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    reply(server, client, "lf");
    CHECK(spy.heads == 1 && spy.requests == 0 && spy.responses == 0);
    CHECK(other.requests == 1 && other.responses == 1);
    spy_disarm(&other);
    pass(&world, client, &server, get, ok, ok); /* nobody is concerned */
    CHECK(spy.heads == 2 && spy.requests == 0 && spy.responses == 0);
}

static void a_rule_may_leave_an_exchange(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_RESPONSE_BODY);
    tell(&spy, &spy.request, (struct ce_action){.leave = true});
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward(&world, client, get);
    reply(server, client, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    reply(server, client, "lf");
    CHECK(spy.requests == 1 && spy.responses == 0);
    tell(&spy, &spy.request, (struct ce_action){0});
    pass(&world, client, &server, get, ok, ok);
    CHECK(spy.requests == 2 && spy.responses == 1);
}

static void bodies_are_asked_for_as_they_are(void)
{
    static const char encoded[] = "GET / HTTP/1.1\r\nA: 1\r\nAccept-Encoding: gzip, br\r\nB: "
                                  "2\r\naccept-encoding:x\r\n\r\n";
    static const char identity[] = "GET / HTTP/1.1\r\nA: 1\r\nAccept-Encoding: identity\r\nB: "
                                   "2\r\naccept-encoding:identity\r\n\r\n";
    WORLD(world, 0);
    SPY(spy, &world, CONCERNS | ON_REQUEST | ON_RESPONSE | CE_HOOK_RESPONSE_BODY);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward_as(&world, client, encoded, identity);
    reply(server, client, ok);
    pass(&world, client, &server, get, ok, ok); /* who does not ask is left alone */
    tell(&spy, &spy.request, (struct ce_action){.leave = true});
    pass(&world, client, &server, encoded, ok, ok);
    spy.refuses = true;
    pass(&world, client, &server, encoded, ok, ok);
    spy_disarm(&spy);
    SPY(other, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY);
    pass(&world, client, &server, encoded, ok, ok);
}

static void ask_for_a_delay(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    action->delay_ns = CE_SECOND;
}

static void delays_count_from_when_the_head_came(void)
{
    const struct ce_hook hook = {.on_request = ask_for_a_delay, .on_response = ask_for_a_delay};
    struct ce_rule rule = {.hook = &hook, .bit = 1};
    struct ce_chain chain = {0};
    struct ce_hooked *hooked;
    ce_chain_add(&chain, &rule);
    CHECK(ce_hooked_begin(&chain, &(struct ce_opening){.number = 1}, NULL, NULL, &hooked) == 0);
    ce_hooked_arrived(hooked, 1000);
    ce_hooked_arrived(hooked, 2000); /* more of the same message */
    ce_hooked_request(hooked, &(struct ce_shown){0});
    CHECK(ce_hooked_release(hooked) == 1000 + CE_SECOND);
    ce_hooked_arrived(hooked, 3000);
    CHECK(ce_hooked_response(hooked, &(struct ce_shown){.status = 200}) == 0);
    CHECK(ce_hooked_release(hooked) == 3000 + CE_SECOND);
    int64_t before = ce_now(); /* that nobody noted */
    CHECK(ce_hooked_response(hooked, &(struct ce_shown){.status = 200}) == 0);
    CHECK(ce_hooked_release(hooked) >= before + CE_SECOND);
    ce_hooked_end(hooked);
    ce_chain_done(&chain);
}

int main(void)
{
    TEST(heads_are_shown);
    TEST(long_texts_are_shown_whole);
    TEST(a_rule_that_is_not_concerned_costs_nothing);
    TEST(a_rule_may_leave_an_exchange);
    TEST(bodies_are_asked_for_as_they_are);
    TEST(requests_have_an_identity);
    TEST(bodies_are_shown_whole_and_pass_unchanged);
    TEST(shown_messages_pass_unchanged_whatever_the_pieces);
    TEST(a_collected_body_is_asked_for);
    TEST(bodies_beyond_the_limit_pass_unhooked);
    TEST(rules_hold_for_requests_that_come_later);
    TEST(delays_count_from_when_the_head_came);
    return test_done();
}
