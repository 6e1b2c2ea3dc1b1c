/* SPDX-License-Identifier: MIT */
/* What does not pass the proxy, how connections end, and listening sockets. */
#include "proxy/proxy.h"

#include <dirent.h>
#include <sched.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/file.h"
#include "proxy_world.h"

/* ---- what does not pass ---- */

static const char last_get[] = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
static const char last_get_sent_on[] = "GET / HTTP/1.1\r\n\r\n";

/* Reads all there is, up to the end. */
static bool ends_with_answer(int fd, const char *status_line, const char *body)
{
    char text[4096];
    size_t size = 0;
    ssize_t n;
    while ((n = recv(fd, text + size, sizeof text - 1 - size, 0)) > 0)
        size += (size_t)n;
    text[size] = '\0';
    const char *end = strstr(text, "\r\n\r\n");
    bool right = n == 0 && end && strncmp(text, status_line, strlen(status_line)) == 0 &&
                 strcmp(end + 4, body) == 0;
    if (!right)
        printf("# got \"%s\"\n", text);
    return right;
}

static void malformed_requests_get_400(void)
{
    static const struct {
        const char *request, *status_line, *body;
    } cases[] = {
        {"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi",
         "HTTP/1.1 400 Bad Request\r\n",
         "The request is malformed: there are both Content-Length and Transfer-Encoding.\n"},
        {"nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n",
         "The request is malformed: the request line does not start with a method and a blank.\n"},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz", "HTTP/1.1 400 Bad Request\r\n",
         "The request is malformed: a chunk does not start with its size.\n"},
    };
    WORLD(world, 0);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofd int client = client_open(&world);
        CHECK(wire_send(client, cases[i].request));
        shutdown(client, SHUT_WR);
        CHECK(ends_with_answer(client, cases[i].status_line, cases[i].body));
    }
    struct ce_route_counts counts;
    ce_route_count(world.route, &counts);
    CHECK(counts.errors == CE_COUNT(cases));
}

static void chunks_that_break_later_get_400(void)
{
    static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward(&world, client, head);
    CHECK(wire_send(client, "nonsense"));
    CHECK(wire_ends(server)); /* never completed, so never acted upon */
    CHECK(ends_with_answer(
        client, "HTTP/1.1 400 ",
        "The request is malformed: its chunks are not framed as HTTP/1.1 asks for.\n"));
}

static void large_heads_get_431(void)
{
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    static char head[80 * 1024];
    memset(head, 'a', sizeof head);
    memcpy(head, "GET / HTTP/1.1\r\nX: ", 19);
    CHECK(wire_send_bytes(client, head, sizeof head));
    shutdown(client, SHUT_WR);
    CHECK(ends_with_answer(client, "HTTP/1.1 431 ",
                           "The request is malformed: the head is larger than 65536 bytes.\n"));
}

static void bad_responses_get_502(void)
{
    static const struct {
        const char *response, *body;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi",
         "The upstream's response is malformed: there are both Content-Length and "
         "Transfer-Encoding.\n"},
        {"220 mail\r\n\r\n", "The upstream's response is malformed: the status line is not a "
                             "version, a blank and three digits.\n"},
        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
         "The upstream's response is malformed: it switches protocols, which nobody asked for.\n"},
        {"HTTP/1.1 200 OK\r\nContent-",
         "The upstream closed the connection before its response was complete.\n"},
        {"", "The upstream closed the connection before its response was complete.\n"},
    };
    WORLD(world, 0);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofd int client = client_open(&world);
        int server = forward_as(&world, client, last_get, last_get_sent_on);
        CHECK(wire_send(server, cases[i].response));
        close(server);
        CHECK(ends_with_answer(client, "HTTP/1.1 502 Bad Gateway\r\n", cases[i].body));
    }
}

static void a_refusing_upstream_gets_502_and_the_client_stays(void)
{
    WORLD(world, 0);
    close(world.listener);
    ce_autofd int client = client_open(&world);
    char name[64], answer[512];
    ce_endpoint_text(&world.upstream, name, sizeof name);
    snprintf(answer, sizeof answer,
             "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n"
             "Cannot connect to the upstream %s: Connection refused.\n",
             strlen("Cannot connect to the upstream : Connection refused.\n") + strlen(name), name);
    for (int i = 0; i < 2; i++) {
        CHECK(wire_send(client, "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"));
        CHECK(wire_gets(client, answer));
    }
    world.listener = wire_listen(&world.upstream);
    ce_autofd int server = forward(&world, client, get);
    reply(server, client, ok);
}

static void a_silent_upstream_gets_504(void)
{
    WORLD(world, 80 * CE_MILLISECOND);
    int64_t begin = ce_now();
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, last_get));
    ce_autofd int server = wire_accept(world.listener);
    char name[64], body[256];
    ce_endpoint_text(&world.upstream, name, sizeof name);
    snprintf(body, sizeof body, "The upstream %s did not answer within 0.080 s.\n", name);
    CHECK(ends_with_answer(client, "HTTP/1.1 504 Gateway Timeout\r\n", body));
    CHECK(ce_now() - begin >= 80 * CE_MILLISECOND);
    CHECK(wire_gets(server, last_get_sent_on) && wire_ends(server));
}

static void a_response_that_stops_is_cut_off(void)
{
    static const char part[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
    WORLD(world, 80 * CE_MILLISECOND);
    for (int how = 0; how < 3; how++) {
        ce_autofd int client = client_open(&world);
        int server = forward(&world, client, get);
        reply(server, client, part);
        if (how == 0)
            close(server);
        else if (how == 1)
            wire_reset(server);
        CHECK(how == 1 ? wire_is_reset(client)
                       : wire_ends(client)); /* the third stops for longer than the timeout */
        if (how == 2)
            close(server);
    }
    struct ce_route_counts counts;
    ce_route_count(world.route, &counts);
    CHECK(counts.requests == 3 && counts.responses == 0 && counts.errors == 3);
}

/* ---- ends of connections ---- */

static void an_early_answer_reaches_the_client(void)
{
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    int server = forward(&world, client, "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\npart");
    CHECK(wire_send(server, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"));
    close(server);
    CHECK(wire_gets(client, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"));
    CHECK(wire_ends(client));
    CHECK(wire_send(client, "more")); /* no reset: it is read and thrown away */
}

static void a_client_that_vanishes_takes_its_upstream_connection_along(void)
{
    static const char part[] = "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\npart";
    static const char part_of_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart";
    static const struct {
        const char *request, *answer;
        bool resets;
    } cases[] = {
        {get, NULL, true},
        {get, NULL, false},
        {part, NULL, false},
        {get, "HTTP/1.1 100 Continue\r\n\r\n", false},
        {get, part_of_answer, false},
    };
    WORLD(world, 0);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        int client = client_open(&world);
        ce_autofd int server = forward(&world, client, cases[i].request);
        if (cases[i].answer)
            reply(server, client, cases[i].answer);
        if (cases[i].resets)
            wire_reset(client);
        else
            close(client);
        CHECK(wire_ends(server));
    }
}

static void idle_connections_that_the_upstream_closes_are_not_used(void)
{
    static const char post[] = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    for (int i = 0; i < 20; i++) {
        int server = forward(&world, client, post);
        reply(server, client, ok);
        close(server); /* as a server that restarts */
    }
}

/* A first exchange fills the pool; the second then finds its connection closed under its feet. */
static void use_and_close(const struct world *world, int client, const char *request)
{
    ce_autofd int server = forward(world, client, get);
    reply(server, client, ok);
    CHECK(wire_send(client, request));
    CHECK(wire_gets(server, request));
}

static void a_stale_connection_is_tried_once_more_if_that_does_no_harm(void)
{
    static const char put[] = "PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
    static const char post[] =
        "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    use_and_close(&world, client, put);
    int server = wire_accept(world.listener);
    CHECK(wire_gets(server, put));
    reply(server, client, ok);
    close(server);

    ce_autofd int other = client_open(&world);
    server = forward(&world, other, get);
    reply(server, other, ok);
    CHECK(wire_send(other, post)); /* it may have been acted upon */
    CHECK(wire_gets(server, "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"));
    close(server);
    CHECK(
        ends_with_answer(other, "HTTP/1.1 502 ",
                         "The upstream closed the connection before its response was complete.\n"));
}

static int count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

/* Waits until the proxy has closed what clients left behind: its table of connections tells, not
 * time. */
static int settled_descriptors(int want)
{
    int64_t deadline = ce_now() + 10 * CE_SECOND;
    int count = count_descriptors();
    while (count > want && ce_now() < deadline) {
        sched_yield();
        count = count_descriptors();
    }
    return count;
}

static void connections_leak_nothing(void)
{
    WORLD(world, 0);
    int before = count_descriptors();
    for (int i = 0; i < 1000; i++) {
        int client = client_open(&world);
        switch (i % 4) {
        case 0: /* comes and goes */
            break;
        case 1: /* leaves in the middle of a head */
            CHECK(wire_send(client, "GET / HT"));
            break;
        case 2: { /* is reset */
            int server = forward(&world, client, get);
            wire_reset(client);
            CHECK(wire_ends(server));
            close(server);
            continue;
        }
        default: /* is malformed */
            CHECK(wire_send(client, "x\r\n\r\n"));
        }
        close(client);
    }
    CHECK(settled_descriptors(before) == before);
    world_close(&world);
    CHECK(count_descriptors() <= before - 4); /* epoll, wake, clock, listeners */
}

/* ---- the listening socket ---- */

static bool port_is_free(const struct ce_endpoint *endpoint)
{
    int fd = ce_endpoint_socket(endpoint, NULL);
    bool is_free = bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->size) == 0;
    close(fd);
    return is_free;
}

static void a_closed_listener_refuses_and_comes_back_at_its_port(void)
{
    WORLD(world, 0);
    struct ce_error err = {0};
    struct ce_endpoint before = *ce_route_endpoint(world.route);
    ce_autofd int kept = client_open(&world);
    CHECK(wire_send(kept, get));
    ce_autofd int server = wire_accept(world.listener);
    for (int i = 0; i < 3; i++) {
        REQUIRE_OK(ce_route_listening(world.route, false, false, &err), err);
        REQUIRE_OK(ce_route_listening(world.route, false, false, &err), err);
        CHECK(client_open(&world) == -ECONNREFUSED);
        REQUIRE_OK(ce_route_listening(world.route, true, false, &err), err);
        REQUIRE_OK(ce_route_listening(world.route, true, false, &err), err);
        ce_autofd int client = client_open(&world);
        CHECK(client >= 0);
    }
    CHECK(memcmp(&before.address, &ce_route_endpoint(world.route)->address, before.size) == 0);
    CHECK(wire_gets(server, get)); /* who was there stays */
    reply(server, kept, ok);
    REQUIRE_OK(ce_route_listening(world.route, false, true, &err), err);
    CHECK(wire_is_reset(kept)); /* unless asked otherwise */
}

static void routes_may_be_unix_sockets(void)
{
    char folder[] = "/tmp/ce-proxy-XXXXXX";
    REQUIRE(mkdtemp(folder));
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s/s", folder);
    struct ce_endpoint listen = {.size = sizeof un};
    memcpy(&listen.address, &un, sizeof un);
    WORLD(world, 0);
    struct ce_error err = {0};
    struct ce_route_config config = {.name = "unix", .listen = listen, .upstream = world.upstream};
    struct ce_route *route;
    REQUIRE_OK(ce_proxy_add_route(world.proxy, &config, &route, &err), err);
    for (int i = 0; i < 2; i++) {
        int client = wire_connect(ce_route_endpoint(route));
        int server = forward_as(&world, client, last_get, last_get_sent_on);
        reply(server, client, ok);
        CHECK(wire_ends(client));
        close(client);
        close(server);
        REQUIRE_OK(ce_route_listening(route, false, false, &err), err);
        CHECK(wire_connect(ce_route_endpoint(route)) == -ECONNREFUSED);
        REQUIRE_OK(ce_route_listening(route, true, false, &err), err);
    }
    world_close(&world);
    CHECK(access(un.sun_path, F_OK) < 0);
    CHECK(ce_tree_remove(folder, &err) == 0);
}

static int count_socket(void *ctx, int family, struct ce_error *err)
{
    (void)err;
    __atomic_add_fetch((int *)ctx, 1, __ATOMIC_SEQ_CST);
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static void sockets_come_from_the_endpoints(void)
{
    WORLD(world, 0);
    struct ce_error err = {0};
    int listens = 0, connects = 0;
    struct ce_route_config config = {
        .name = "far", .listen = ce_endpoint_loopback(0), .upstream = world.upstream};
    config.listen.make_socket = config.upstream.make_socket = count_socket;
    config.listen.ctx = &listens;
    config.upstream.ctx = &connects;
    struct ce_route *route;
    REQUIRE_OK(ce_proxy_add_route(world.proxy, &config, &route, &err), err);
    CHECK(listens == 1 && connects == 0);
    REQUIRE_OK(ce_route_listening(route, false, false, &err), err);
    REQUIRE_OK(ce_route_listening(route, true, false, &err), err);
    CHECK(listens == 2);
    ce_autofd int client = wire_connect(ce_route_endpoint(route));
    ce_autofd int server = forward(&world, client, get);
    CHECK(server >= 0 && __atomic_load_n(&connects, __ATOMIC_SEQ_CST) == 1);
}

static void an_address_in_use_is_said(void)
{
    WORLD(world, 0);
    struct ce_error err = {0};
    struct ce_route_config config = {
        .name = "twice", .listen = world.upstream, .upstream = world.upstream};
    struct ce_route *route;
    char name[64];
    ce_endpoint_text(&world.upstream, name, sizeof name);
    CHECK(ce_proxy_add_route(world.proxy, &config, &route, &err) == -EADDRINUSE);
    CHECK(strstr(err.message, name));
}

static void nobody_else_is_given_the_port_of_a_closed_listener(void)
{
    WORLD(world, 0);
    struct ce_error err = {0};
    REQUIRE_OK(ce_route_listening(world.route, false, false, &err), err);
    CHECK(!port_is_free(ce_route_endpoint(world.route)));
    REQUIRE_OK(ce_route_listening(world.route, true, false, &err), err);
}

int main(void)
{
    TEST(malformed_requests_get_400);
    TEST(chunks_that_break_later_get_400);
    TEST(large_heads_get_431);
    TEST(bad_responses_get_502);
    TEST(a_refusing_upstream_gets_502_and_the_client_stays);
    TEST(a_silent_upstream_gets_504);
    TEST(a_response_that_stops_is_cut_off);
    TEST(an_early_answer_reaches_the_client);
    TEST(a_client_that_vanishes_takes_its_upstream_connection_along);
    TEST(idle_connections_that_the_upstream_closes_are_not_used);
    TEST(a_stale_connection_is_tried_once_more_if_that_does_no_harm);
    TEST(connections_leak_nothing);
    TEST(a_closed_listener_refuses_and_comes_back_at_its_port);
    TEST(nobody_else_is_given_the_port_of_a_closed_listener);
    TEST(routes_may_be_unix_sockets);
    TEST(sockets_come_from_the_endpoints);
    TEST(an_address_in_use_is_said);
    return test_done();
}
