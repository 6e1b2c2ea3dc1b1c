/* SPDX-License-Identifier: MIT */
/* What passes the proxy, between a client and a server that the test plays itself. What does not is
 * in test_proxy_errors.c, what hooks do in test_proxy_hooks.c and test_proxy_actions.c. */
#include "proxy/proxy.h"

#include <pthread.h>

#include "base/error.h"
#include "proxy_world.h"

/* ---- what passes ---- */

struct passage {
    const char *request, *sent_on;
    const char *response, *returned;
    bool upstream_closes, client_is_closed;
};

static void check_passage(const struct world *world, const struct passage *passage)
{
    ce_autofd int client = client_open(world);
    CHECK(client >= 0 && wire_send(client, passage->request));
    ce_autofd int server = wire_accept(world->listener);
    CHECK(wire_gets(server, passage->sent_on ? passage->sent_on : passage->request));
    CHECK(wire_send(server, passage->response));
    if (passage->upstream_closes)
        shutdown(server, SHUT_WR);
    CHECK(wire_gets(client, passage->returned ? passage->returned : passage->response));
    if (passage->client_is_closed) {
        CHECK(wire_ends(client));
    } else { /* both connections serve once more */
        pass(world, client, &server, get, ok, ok);
    }
}

static void messages_pass_byte_for_byte(void)
{
    static const struct passage passages[] = {
        {.request = "GET /a?b=%20c HTTP/1.1\r\nhOsT:x\r\nX-ODD:   two  \t\r\nx-odd: "
                    "twice\r\nEmpty:\r\n\r\n",
         .response = "HTTP/1.1 299  Odd  \r\nsErVeR:\tme\r\nCONTENT-LENGTH: 003\r\n\r\nabc"},
        {.request = "POST / HTTP/1.1\r\nContent-Length: 5\r\nHost: a\r\n\r\nhello",
         .response = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
        {.request =
             "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: Sum\r\n\r\n"
             "0003;x=y\r\nabc\r\n1 \r\nd\r\n0;last\r\nSum: 4\r\n\r\n",
         .response = "HTTP/1.1 200 OK\r\ntransfer-encoding: "
                     "chunked\r\n\r\n1\r\na\r\n00B;q=\"s\"\r\n01234567890\r\n0\r\n"
                     "Sum: 12\r\n\r\n"},
        {.request = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
         .response = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"},
        {.request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
         .response = "HTTP/1.1 204 No Content\r\n\r\n"},
        {.request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
         .response = "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"x\"\r\n\r\n"},
        {.request = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .sent_on = get, .response = ok},
        {.request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
         .response = "HTTP/1.1 200 OK\r\nX: y\r\n\r\nto the end",
         .upstream_closes = true,
         .client_is_closed = true},
        {.request = "GET / HTTP/1.0\r\n\r\n", .response = ok, .client_is_closed = true},
        {.request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
         .response = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 "
                     "OK\r\nContent-Length: 0\r\n\r\n"},
    };
    WORLD(world, 0);
    for (size_t i = 0; i < CE_COUNT(passages); i++)
        check_passage(&world, &passages[i]);
}

static void fields_of_one_hop_go_no_further(void)
{
    static const struct passage passages[] = {
        {.request = "GET / HTTP/1.1\r\nA: 1\r\nConnection: keep-alive\r\nHost: a\r\nKeep-Alive: "
                    "timeout=5\r\n"
                    "Proxy-Connection: x\r\nTE: trailers\r\nUpgrade: h2c\r\nB: 2\r\n\r\n",
         .sent_on = "GET / HTTP/1.1\r\nA: 1\r\nHost: a\r\nB: 2\r\n\r\n",
         .response = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\nconnection: "
                     "Keep-Alive\r\n\r\n",
         .returned = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
        {.request =
             "GET / HTTP/1.1\r\nHost: a\r\nx-secret: 1\r\nConnection: X-Secret, close\r\n\r\n",
         .sent_on = get,
         .response = ok,
         .client_is_closed = true},
        /* Naming the framing does not take it away: that would smuggle the body in as a request. */
        {.request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length, "
                    "Host\r\nContent-Length: 2\r\n\r\nhi",
         .sent_on = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
         .response = ok},
        {.request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         .sent_on = "GET / HTTP/1.0\r\n\r\n",
         .response = ok,
         .client_is_closed = true},
    };
    WORLD(world, 0);
    for (size_t i = 0; i < CE_COUNT(passages); i++)
        check_passage(&world, &passages[i]);
}

static void the_upstreams_close_is_not_the_clients(void)
{
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    for (int i = 0; i < 2; i++) {
        ce_autofd int server = forward(&world, client, get);
        reply_as(server, client,
                 "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", ok);
        CHECK(wire_ends(server)); /* not kept */
    }
}

static void bytes_may_come_one_by_one(void)
{
    static const char request[] =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    static const char response[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\na: b\r\n\r\n";
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    for (const char *p = request; *p; p++)
        CHECK(wire_send_bytes(client, p, 1));
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_gets(server, request));
    for (const char *p = response; *p; p++)
        CHECK(wire_send_bytes(server, p, 1));
    CHECK(wire_gets(client, response));
}

static void pipelined_requests_are_answered_in_order(void)
{
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    ce_autofd int server =
        forward_as(&world, client,
                   "POST /1 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"
                   "POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                   "GET /3 HTTP/1.1\r\n\r\n",
                   "POST /1 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx");
    CHECK(wire_is_quiet(server)); /* the next one waits for its turn */
    CHECK(wire_send(server, "HTTP/1.1 201 a\r\nContent-Length: 0\r\n\r\n"));
    CHECK(wire_gets(server, "POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
    CHECK(wire_send(server, "HTTP/1.1 202 b\r\nContent-Length: 0\r\n\r\n"));
    CHECK(wire_gets(server, "GET /3 HTTP/1.1\r\n\r\n"));
    reply_as(
        server, client, "HTTP/1.1 203 c\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 201 a\r\nContent-Length: 0\r\n\r\nHTTP/1.1 202 b\r\nContent-Length: 0\r\n\r\n"
        "HTTP/1.1 203 c\r\nContent-Length: 0\r\n\r\n");
    struct ce_route_counts counts;
    ce_route_count(world.route, &counts);
    CHECK(counts.requests == 3 && counts.responses == 3 && counts.errors == 0 &&
          counts.connections == 1);
}

static void clients_share_the_upstreams_connections(void)
{
    WORLD(world, 0);
    ce_autofd int server = -1;
    for (int i = 0; i < 3; i++) {
        ce_autofd int client = client_open(&world);
        pass(&world, client, &server, get, ok, ok);
    }
}

static void expectations_are_forwarded(void)
{
    static const char head[] =
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward(&world, client, head);
    reply(server, client, "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(wire_send(client, "hi"));
    CHECK(wire_gets(server, "hi"));
    reply(server, client, ok);
}

/* ---- large and slow ---- */

enum { LARGE = 5 * 1000 * 1000 };

static char large_byte(size_t i)
{
    return (char)(i * 2654435761u >> 13);
}

static void *send_large(void *arg)
{
    int fd = *(int *)arg;
    char piece[5000];
    for (size_t at = 0; at < LARGE; at += sizeof piece) {
        for (size_t i = 0; i < sizeof piece; i++)
            piece[i] = large_byte(at + i);
        if (!wire_send_bytes(fd, piece, sizeof piece))
            return NULL;
    }
    return NULL;
}

/* Reads in small pieces, which is slower than the other end sends: the proxy has to hold that back.
 */
static bool gets_large(int fd)
{
    char piece[777];
    for (size_t at = 0; at < LARGE;) {
        size_t want = LARGE - at < sizeof piece ? LARGE - at : sizeof piece;
        ssize_t n = recv(fd, piece, want, 0);
        if (n <= 0)
            return false;
        for (ssize_t i = 0; i < n; i++)
            if (piece[i] != large_byte(at + (size_t)i))
                return false;
        at += (size_t)n;
    }
    return true;
}

static void large_bodies_pass_slow_readers(void)
{
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    pthread_t sender;
    CHECK(wire_send(client, "POST / HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n"));
    REQUIRE(pthread_create(&sender, NULL, send_large, &client) == 0);
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_gets(server, "POST / HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n"));
    CHECK(gets_large(server));
    pthread_join(sender, NULL);
    CHECK(wire_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n"));
    REQUIRE(pthread_create(&sender, NULL, send_large, &server) == 0);
    CHECK(wire_gets(client, "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n"));
    CHECK(gets_large(client));
    pthread_join(sender, NULL);
}

int main(void)
{
    TEST(messages_pass_byte_for_byte);
    TEST(fields_of_one_hop_go_no_further);
    TEST(the_upstreams_close_is_not_the_clients);
    TEST(bytes_may_come_one_by_one);
    TEST(pipelined_requests_are_answered_in_order);
    TEST(clients_share_the_upstreams_connections);
    TEST(expectations_are_forwarded);
    TEST(large_bodies_pass_slow_readers);
    return test_done();
}
