/* SPDX-License-Identifier: MIT */
/* What hooks can change of a message, and of the way it is sent; the rest of what they can do is in
 * test_proxy_actions.c. */
#include "proxy/proxy.h"

#include <pthread.h>

#include "base/clock.h"
#include "proxy_spy.h"

/* ---- changes on the way ---- */

static void targets_are_replaced_and_nothing_else(void)
{
    static char path[] = "/v2/a-much-longer-path-than-before?x=1", body[] = "new";
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request, (struct ce_action){.path = path});
    SPY(later, &world, ON_REQUEST | ON_RESPONSE);
    ce_autofd int client = client_open(&world);
    /* A body that is still on its way when the head goes on. */
    ce_autofd int server =
        forward_as(&world, client,
                   "POST /v1 HTTP/1.1\r\nhOsT:a\r\nConnection: close\r\nA: \tb \r\nContent-Length: "
                   "4\r\n\r\nha",
                   "POST /v2/a-much-longer-path-than-before?x=1 HTTP/1.1\r\nhOsT:a\r\nA: \tb "
                   "\r\nContent-Length: 4\r\n\r\nha");
    CHECK(wire_send(client, "lf"));
    CHECK(wire_gets(server, "lf"));
    CHECK_TEXT(later.path, path);
    reply(server, client, ok);
    CHECK_TEXT(later.path, path);
    CHECK(wire_ends(client));

    spy_disarm(&spy);
    SPY(writer, &world, ON_REQUEST | CE_HOOK_REQUEST_BODY);
    tell(&writer, &writer.request,
         (struct ce_action){.path = (char[]){"/"}, .body = body, .body_size = 3});
    ce_autofd int another = client_open(&world);
    CHECK(wire_send(another, "POST /v1?longer HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"));
    CHECK(wire_gets(server, "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nnew"));
    reply(server, another, ok);
}

static void fields_are_set_one_by_one(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE);
    tell(&spy, &spy.request, (struct ce_action){.set_name = "X-Look", .set_value = "here"});
    tell(&spy, &spy.response, (struct ce_action){.set_name = "Etag", .set_value = ""});
    SPY(later, &world, ON_REQUEST | ON_RESPONSE);
    tell(&later, &later.request, (struct ce_action){.set_name = "Host", .set_value = "b"});
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward_as(&world, client, "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n",
                                      "GET / HTTP/1.1\r\nhost: b\r\nX-Look: here\r\n\r\n");
    CHECK_TEXT(spy.look, "");
    CHECK_TEXT(later.look, "here"); /* rules see what earlier ones changed */
    reply_as(server, client,
             "HTTP/1.1 200 OK\r\nA: b\r\nETag:\t \"x\"\r\nContent-Length: 2\r\n\r\nok",
             "HTTP/1.1 200 OK\r\nA: b\r\nETag:\t \r\nContent-Length: 2\r\n\r\nok");
    CHECK(wire_send(client, "GET / HTTP/1.1\r\nA: 1\r\nx-LOOK:no\r\nB: 2\r\n\r\n"));
    CHECK(wire_gets(server, "GET / HTTP/1.1\r\nA: 1\r\nx-LOOK:here\r\nB: 2\r\nHost: b\r\n\r\n"));
    reply_as(server, client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
             "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nEtag: \r\n\r\nok");
    CHECK_TEXT(later.look, "");
}

static void changes_of_all_kinds_go_together(void)
{
    static char path[] = "/other", body[] = "longer than before";
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE | CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY);
    struct ce_action all = {.acted = true,
                            .set_name = "X-Look",
                            .set_value = "there",
                            .path = path,
                            .body = body,
                            .body_size = sizeof body - 1};
    tell(&spy, &spy.request, all);
    tell(&spy, &spy.response, all);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward_as(
        &world, client,
        "POST / HTTP/1.1\r\nAccept-Encoding: gzip\r\nTransfer-Encoding: "
        "chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "POST /other HTTP/1.1\r\nAccept-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"
        "X-Look: there\r\n\r\n12\r\nlonger than before\r\n0\r\n\r\n");
    reply_as(server, client, ok,
             "HTTP/1.1 200 OK\r\nContent-Length: 18\r\nX-Look: there\r\nX-Chaos-Fault: "
             "spy\r\n\r\nlonger than before");
    CHECK_TEXT(spy.request_body, body);
}

static void changes_leave_what_follows_alone(void)
{
    static char path[] = "/longer/than/before";
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST | ON_RESPONSE);
    tell(&spy, &spy.request,
         (struct ce_action){.path = path, .set_name = "X-Look", .set_value = "there"});
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward_as(&world, client,
                                      "POST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\none"
                                      "POST /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\ntwo",
                                      "POST /longer/than/before HTTP/1.1\r\nContent-Length: "
                                      "3\r\nX-Look: there\r\n\r\none");
    reply(server, client, ok);
    CHECK(wire_gets(server, "POST /longer/than/before HTTP/1.1\r\nContent-Length: "
                            "3\r\nX-Look: there\r\n\r\ntwo"));
    reply(server, client, ok);
    tell(&spy, &spy.response, (struct ce_action){.acted = true});
    tell(&spy, &spy.request, (struct ce_action){.path = (char[]){"/"}});
    /* A connection that went stale: the request that is sent once more is the changed one. */
    CHECK(wire_send(client, "PUT /3 HTTP/1.1\r\nContent-Length: 5\r\n\r\nthree"));
    CHECK(wire_gets(server, "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nthree"));
    close(server);
    server = wire_accept(world.listener);
    CHECK(wire_gets(server, "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nthree"));
    reply_as(server, client, ok,
             "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Chaos-Fault: spy\r\n\r\nok");
    /* No body is made of a response to HEAD, and none is waited for. */
    tell(&spy, &spy.response,
         (struct ce_action){.set_name = "A", .set_value = "b", .body_ns = 3600 * CE_SECOND});
    pass(&world, client, &server, "HEAD / HTTP/1.1\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nA: b\r\n\r\n");
    pass(&world, client, &server, "HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No\r\n\r\n",
         "HTTP/1.1 204 No\r\nA: b\r\n\r\n");
}

static void another_upstream_may_be_asked(void)
{
    WORLD(world, 0);
    struct ce_endpoint elsewhere = ce_endpoint_loopback(0);
    ce_autofd int listener = wire_listen(&elsewhere);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request, (struct ce_action){.upstream = &elsewhere});
    ce_autofd int client = client_open(&world), other = -1, usual = -1;
    CHECK(wire_send(client, get));
    other = wire_accept(listener);
    CHECK(wire_gets(other, get));
    reply(other, client, ok);
    pass(&world, client, &other, get, ok, ok); /* its connections are kept, too */
    tell(&spy, &spy.request, (struct ce_action){0});
    pass(&world, client, &usual, get, ok, ok); /* but not for others */
    tell(&spy, &spy.request, (struct ce_action){.upstream = &elsewhere});
    pass(&world, client, &other, get, ok, ok);
    spy_disarm(&spy);
    CHECK(wire_ends(other));
    pass(&world, client, &usual, get, ok, ok);
}

static void another_upstream_that_fails_is_named(void)
{
    WORLD(world, 60 * CE_MILLISECOND);
    struct ce_endpoint elsewhere = ce_endpoint_loopback(0);
    int listener = wire_listen(&elsewhere);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request, (struct ce_action){.upstream = &elsewhere, .acted = true});
    ce_autofd int client = client_open(&world);
    char name[64], body[128], want[512];
    ce_endpoint_text(&elsewhere, name, sizeof name);
    CHECK(wire_send(client, get));
    ce_autofd int server = wire_accept(listener);
    snprintf(body, sizeof body, "The upstream %s did not answer within 0.060 s.\n", name);
    snprintf(want, sizeof want,
             "HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain\r\nContent-Length: "
             "%zu\r\nX-Chaos-Fault: spy\r\n\r\n%s",
             strlen(body), body);
    CHECK(wire_gets(client, want));
    close(listener);
    CHECK(wire_send(client, get));
    snprintf(body, sizeof body, "Cannot connect to the upstream %s: Connection refused.\n", name);
    snprintf(want, sizeof want,
             "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: "
             "%zu\r\nX-Chaos-Fault: spy\r\n\r\n%s",
             strlen(body), body);
    CHECK(wire_gets(client, want));
}

static void a_rule_that_goes_takes_its_upstream_along(void)
{
    WORLD(world, 0);
    struct ce_endpoint elsewhere = ce_endpoint_loopback(0);
    ce_autofd int listener = wire_listen(&elsewhere);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request,
         (struct ce_action){.upstream = &elsewhere, .delay_ns = 3600 * CE_SECOND});
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, get));
    wait_for(&spy, &spy.requests, 1);
    spy_disarm(&spy);
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_gets(server, get));
    reply(server, client, ok);
}

static void responses_are_marked(void)
{
    WORLD(world, 0);
    SPY(first, &world, ON_REQUEST | ON_RESPONSE);
    SPY(second, &world, ON_REQUEST);
    second.hook.name = "another";
    ce_autofd int client = client_open(&world), server = -1;
    pass(&world, client, &server, get, ok, ok); /* nobody did anything */
    tell(&second, &second.request, (struct ce_action){.acted = true});
    pass(&world, client, &server, get, ok,
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Chaos-Fault: another\r\n\r\nok");
    tell(&first, &first.request, (struct ce_action){.acted = true});
    tell(&first, &first.response, (struct ce_action){.acted = true});
    pass(&world, client, &server, get, ok,
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Chaos-Fault: spy, another\r\n\r\nok");
    tell(&first, &first.response, (struct ce_action){.kind = CE_ACT_ANSWER, .status = 204});
    pass(&world, client, &server, get, ok, "HTTP/1.1 204 \r\nX-Chaos-Fault: spy, another\r\n\r\n");
    tell(&second, &second.request,
         (struct ce_action){.kind = CE_ACT_ANSWER, .status = 503, .acted = true});
    CHECK(wire_send(client, get));
    CHECK(wire_gets(client, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: "
                            "0\r\nX-Chaos-Fault: spy, another\r\n\r\n"));
    spy_disarm(&first); /* without a rule that minds the response */
    tell(&second, &second.request, (struct ce_action){.acted = true});
    pass(&world, client, &server, get, ok,
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Chaos-Fault: another\r\n\r\nok");
}

/* ---- halves, and slow bodies ---- */

static void responses_are_cut(void)
{
    static const struct {
        const char *response, *returned;
        size_t cut;
        unsigned wants;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnine byte",
         "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnine", 4, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnine byte",
         "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 0, CE_HOOK_RESPONSE_BODY},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", 5, 0},
        /* What comes late is waited for, unless it is not needed. */
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nni",
         "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nni", 2, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 100, 0},
    };
    WORLD(world, 0);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        SPY(spy, &world, ON_RESPONSE | cases[i].wants);
        tell(&spy, &spy.response, (struct ce_action){.kind = CE_ACT_CUT, .cut = cases[i].cut});
        ce_autofd int client = client_open(&world);
        ce_autofd int server = forward(&world, client, get);
        reply_as(server, client, cases[i].response, cases[i].returned);
        CHECK(wire_is_reset(client));
        CHECK(wire_ends(server) || errno == ECONNRESET);
    }
}

/* When the n-th byte of the body arrives, from the first one of the head on. */
static bool arrives_evenly(int client, const char *response, size_t head, int64_t span_ns)
{
    size_t size = strlen(response), body = size - head;
    int64_t begin = ce_now();
    bool even = true;
    for (size_t i = 0; i < size; i++) {
        char byte;
        if (recv(client, &byte, 1, 0) != 1 || byte != response[i])
            return false;
        int64_t at = ce_now() - begin;
        if (i == 0)
            begin += at;
        else if (i >= head)
            /* Not before its time; 2 s are for a busy machine. */
            even = even &&
                   at + 5 * CE_MILLISECOND >= (int64_t)(i - head) * (span_ns / (int64_t)body) &&
                   at < span_ns + 2 * CE_SECOND;
    }
    if (!even)
        printf("# not even\n");
    return even;
}

static void bodies_take_their_time(void)
{
    static const char *const responses[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "14\r\n01234567890123456789\r\n0\r\n\r\n",
    };
    WORLD(world, 0);
    ce_autofd int client = client_open(&world), server = -1;
    for (size_t i = 0; i < 2 * CE_COUNT(responses); i++) {
        const char *response = responses[i / 2];
        SPY(spy, &world, ON_RESPONSE | (i % 2 == 0 ? CE_HOOK_RESPONSE_BODY : 0u));
        tell(&spy, &spy.response, (struct ce_action){.body_ns = 60 * CE_MILLISECOND});
        SPY(other, &world, ON_RESPONSE); /* they add up */
        tell(&other, &other.response, (struct ce_action){.body_ns = 60 * CE_MILLISECOND});
        CHECK(wire_send(client, get));
        if (server < 0)
            server = wire_accept(world.listener);
        CHECK(wire_gets(server, get));
        CHECK(wire_send(server, response));
        CHECK(arrives_evenly(client, response,
                             (size_t)(strstr(response, "\r\n\r\n") + 4 - response),
                             120 * CE_MILLISECOND));
    }
}

static void a_slow_body_ends_with_its_rule(void)
{
    static char long_body[64];
    memset(long_body, 'x', sizeof long_body - 1);
    WORLD(world, 0);
    SPY(spy, &world, ON_RESPONSE | CE_HOOK_RESPONSE_BODY);
    tell(&spy, &spy.response,
         (struct ce_action){
             .body_ns = 3600 * CE_SECOND, .body = long_body, .body_size = sizeof long_body - 1});
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward(&world, client, get);
    /* The head does not wait, but none of the body comes with it. */
    reply_as(server, client, ok, "HTTP/1.1 200 OK\r\nContent-Length: 63\r\n\r\n");
    CHECK(wire_is_quiet(client));
    spy_disarm(&spy);
    CHECK(wire_gets(client, long_body));
    pass(&world, client, &server, get, ok, ok);
}

static void a_slow_body_ends_with_its_client(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_RESPONSE);
    tell(&spy, &spy.response, (struct ce_action){.body_ns = 3600 * CE_SECOND});
    int client = client_open(&world);
    ce_autofd int server = forward(&world, client, get);
    reply_as(server, client, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
             "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    close(client);
    CHECK(wire_ends(server) || errno == ECONNRESET);
}

enum { LARGE = 3 * 1000 * 1000 };

static void *send_large(void *arg)
{
    static char piece[1000];
    memset(piece, 'z', sizeof piece);
    for (size_t at = 0; at < LARGE; at += sizeof piece)
        if (!wire_send_bytes(*(int *)arg, piece, sizeof piece))
            break;
    return NULL;
}

static bool gets_large(int fd)
{
    static char piece[65536];
    for (size_t size = 0; size < LARGE;) {
        ssize_t n = recv(fd, piece, LARGE - size < sizeof piece ? LARGE - size : sizeof piece, 0);
        if (n <= 0)
            return false;
        for (ssize_t k = 0; k < n; k++)
            if (piece[k] != 'z')
                return false;
        size += (size_t)n;
    }
    return true;
}

static void changed_requests_may_be_large(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST);
    tell(&spy, &spy.request, (struct ce_action){.set_name = "X-Look", .set_value = "there"});
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, "POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n"));
    pthread_t sender;
    REQUIRE(pthread_create(&sender, NULL, send_large, &client) == 0);
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_gets(server, "POST / HTTP/1.1\r\nContent-Length: 3000000\r\nX-Look: there\r\n\r\n"));
    CHECK(gets_large(server));
    pthread_join(sender, NULL);
    reply(server, client, ok);
}

/* Of known and of unknown length, where what has come is much more than a buffer holds. */
static void large_bodies_take_their_time(void)
{
    static const char *const heads[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    };
    WORLD(world, 0);
    SPY(spy, &world, ON_RESPONSE);
    tell(&spy, &spy.response, (struct ce_action){.body_ns = 150 * CE_MILLISECOND});
    for (size_t i = 0; i < CE_COUNT(heads); i++) {
        ce_autofd int client = client_open(&world), server = -1;
        CHECK(wire_send(client, get));
        server = wire_accept(world.listener);
        CHECK(wire_gets(server, get));
        CHECK(wire_send(server, heads[i]));
        pthread_t sender;
        REQUIRE(pthread_create(&sender, NULL, send_large, &server) == 0);
        CHECK(wire_gets(client, heads[i]));
        int64_t begin = ce_now();
        CHECK(gets_large(client));
        pthread_join(sender, NULL);
        CHECK(took_about(begin, 140 * CE_MILLISECOND));
        close(ce_take_fd(server));
        CHECK(i == 0 ? true : wire_ends(client));
    }
}

int main(void)
{
    TEST(targets_are_replaced_and_nothing_else);
    TEST(fields_are_set_one_by_one);
    TEST(changes_of_all_kinds_go_together);
    TEST(changes_leave_what_follows_alone);
    TEST(changed_requests_may_be_large);
    TEST(another_upstream_may_be_asked);
    TEST(another_upstream_that_fails_is_named);
    TEST(a_rule_that_goes_takes_its_upstream_along);
    TEST(responses_are_marked);
    TEST(responses_are_cut);
    TEST(bodies_take_their_time);
    TEST(a_slow_body_ends_with_its_rule);
    TEST(a_slow_body_ends_with_its_client);
    TEST(large_bodies_take_their_time);
    return test_done();
}
