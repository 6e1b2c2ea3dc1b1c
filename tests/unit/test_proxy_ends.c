/* SPDX-License-Identifier: MIT */
/* How connections end that nobody broke: clients that are too slow, clients for whom there is no
 * descriptor, and the proxy's own leave. */
#include "proxy/proxy.h"

#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "proxy_spy.h"

/* A second route of the world's proxy. */
static int add_route(const struct world *world, struct ce_route_config config,
                     struct world *ret_world)
{
    config.name = "strict";
    config.upstream = world->upstream;
    if (config.listen.size == 0)
        config.listen = ce_endpoint_loopback(0);
    *ret_world = *world;
    return ce_proxy_add_route(world->proxy, &config, &ret_world->route, NULL);
}

static bool stays_quiet(int fd, int timeout_ms)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, timeout_ms) == 0;
}

/* ---- slow clients ---- */

static const char late_head[] = "HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain\r\n"
                                "Content-Length: 52\r\nConnection: close\r\n\r\n"
                                "The request's head was not complete within 0.100 s.\n";
static const char late_body[] = "HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain\r\n"
                                "Content-Length: 48\r\nConnection: close\r\n\r\n"
                                "Nothing came of the request's body for 0.100 s.\n";
static const char part_of_body[] = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab";

static void heads_that_do_not_come_get_408(void)
{
    WORLD(world, 0);
    struct world strict;
    REQUIRE(add_route(&world, (struct ce_route_config){.head_timeout_ns = 100 * CE_MILLISECOND},
                      &strict) == 0);
    ce_autofd int client = client_open(&strict);
    CHECK(wire_send(client, "GET / HT"));
    CHECK(wire_gets(client, late_head) && wire_ends(client));

    /* Bytes that keep coming do not help. */
    ce_autofd int drip = client_open(&strict);
    CHECK(wire_send(drip, "GET / HTTP/1.1\r\nX: "));
    int drops = 0;
    while (stays_quiet(drip, 5) && wire_send(drip, "x"))
        drops++;
    CHECK(drops > 3);
    CHECK(wire_gets(drip, late_head));
    struct ce_route_counts counts;
    ce_route_count(strict.route, &counts);
    CHECK(counts.errors == 2 && counts.requests == 0);
}

static void heads_are_timed_from_their_first_byte(void)
{
    WORLD(world, 0);
    struct world strict;
    REQUIRE(add_route(&world, (struct ce_route_config){.head_timeout_ns = 400 * CE_MILLISECOND},
                      &strict) == 0);
    ce_autofd int client = client_open(&strict), server = -1;
    for (int i = 0; i < 2; i++) {
        CHECK(stays_quiet(client, 500)); /* idle is not slow */
        CHECK(wire_send(client, "GET / HTTP/1.1\r\n"));
        CHECK(stays_quiet(client, 20));
        CHECK(wire_send(client, "Host: a\r\n\r\n"));
        if (server < 0)
            server = wire_accept(strict.listener);
        CHECK(wire_gets(server, get));
        reply(server, client, ok);
    }
}

static void bodies_that_do_not_come_get_408(void)
{
    WORLD(world, 0);
    struct world strict;
    REQUIRE(add_route(&world, (struct ce_route_config){.head_timeout_ns = 100 * CE_MILLISECOND},
                      &strict) == 0);
    ce_autofd int client = client_open(&strict);
    ce_autofd int server = forward(&strict, client, part_of_body);
    CHECK(wire_gets(client, late_body) && wire_ends(client));
    CHECK(wire_ends(server)); /* what was begun there is of no use */

    SPY(spy, &strict, ON_REQUEST | CE_HOOK_REQUEST_BODY);
    ce_autofd int collected = client_open(&strict);
    CHECK(wire_send(collected, part_of_body));
    CHECK(wire_gets(collected, late_body) && wire_ends(collected));
    CHECK(spy.requests == 0);
}

/* The rest of a request that is answered already. */
static void bodies_that_nobody_waits_for_are_not_waited_for(void)
{
    WORLD(world, 0);
    struct world strict;
    REQUIRE(add_route(&world, (struct ce_route_config){.head_timeout_ns = 100 * CE_MILLISECOND},
                      &strict) == 0);
    SPY(spy, &strict, ON_REQUEST);
    spy.request = (struct ce_action){.kind = CE_ACT_ANSWER, .status = 200};
    ce_autofd int client = client_open(&strict);
    CHECK(wire_send(client, part_of_body));
    CHECK(wire_gets(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    CHECK(wire_ends(client));
}

static void a_slow_upstream_is_not_the_clients_fault(void)
{
    WORLD(world, 0);
    struct world strict;
    REQUIRE(add_route(&world, (struct ce_route_config){.head_timeout_ns = 50 * CE_MILLISECOND},
                      &strict) == 0);
    ce_autofd int client = client_open(&strict);
    ce_autofd int server = forward(&strict, client, get);
    CHECK(stays_quiet(client, 200));
    reply(server, client, ok);
    CHECK(
        wire_send(client, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
    CHECK(
        wire_gets(server, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
    CHECK(stays_quiet(client, 200));
    reply(server, client, "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(wire_send(client, "hi") && wire_gets(server, "hi"));
    reply(server, client, ok);
}

static void idle_clients_stay_unless_told_otherwise(void)
{
    WORLD(world, 0);
    struct world strict;
    REQUIRE(add_route(&world, (struct ce_route_config){.client_idle_ns = 100 * CE_MILLISECOND},
                      &strict) == 0);
    ce_autofd int stays = client_open(&world);
    ce_autofd int silent = client_open(&strict), client = client_open(&strict);
    ce_autofd int server = forward(&strict, client, get);
    CHECK(stays_quiet(client, 200)); /* not idle: it waits for its answer */
    reply(server, client, ok);
    CHECK(wire_ends(client) && wire_ends(silent));
    CHECK(wire_is_quiet(stays));
}

/* ---- descriptors ---- */

struct notes {
    pthread_mutex_t lock;
    pthread_cond_t written;
    char text[256];
};
#define NOTES(name)                                                                                \
    struct notes name = {.lock = PTHREAD_MUTEX_INITIALIZER, .written = PTHREAD_COND_INITIALIZER};  \
    ce_log_to(note_log, &name)

static void note_log(void *ctx, const char *message)
{
    struct notes *notes = ctx;
    pthread_mutex_lock(&notes->lock);
    strncat(notes->text, message, sizeof notes->text - strlen(notes->text) - 1);
    pthread_cond_broadcast(&notes->written);
    pthread_mutex_unlock(&notes->lock);
}

static void notes_await(struct notes *notes)
{
    pthread_mutex_lock(&notes->lock);
    while (notes->text[0] == '\0')
        pthread_cond_wait(&notes->written, &notes->lock);
    pthread_mutex_unlock(&notes->lock);
}

/* Takes all descriptors below `limit`. */
static void take_descriptors(int *taken, int limit)
{
    int count = 0;
    for (int fd; count < limit && (fd = dup(0)) >= 0;)
        taken[count++] = fd;
    taken[count] = -1;
}

static void give_descriptors_back(const int *taken)
{
    for (; *taken >= 0; taken++)
        close(*taken);
}

static void without_descriptors_clients_are_refused_and_counted(void)
{
    enum { LIMIT = 200, CLIENTS = 5 };
    NOTES(notes);
    WORLD(world, 0);
    struct rlimit before, low;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    low = (struct rlimit){.rlim_cur = LIMIT, .rlim_max = before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
    const struct ce_endpoint *at = ce_route_endpoint(world.route);
    int clients[CLIENTS], taken[LIMIT + 1];
    for (int i = 0; i < CLIENTS; i++) /* made before there are none left */
        clients[i] = ce_endpoint_socket(at, NULL);
    take_descriptors(taken, LIMIT);
    for (int i = 0; i < CLIENTS; i++) {
        wire_block(clients[i]);
        CHECK(connect(clients[i], (const struct sockaddr *)&at->address, at->size) == 0);
        CHECK(wire_ends(clients[i]));
    }
    give_descriptors_back(taken);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward(&world, client, get);
    reply(server, client, ok);
    struct ce_route_counts counts;
    ce_route_count(world.route, &counts);
    CHECK(counts.refused == CLIENTS && counts.connections == 1);
    world_close(&world);
    ce_log_to(NULL, NULL);
    CHECK_TEXT(notes.text,
               "route 'model': out of file descriptors; clients are refused until some are free");
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

/* Not even one to refuse a client with: it waits until there are some again. */
static void without_any_descriptor_clients_wait(void)
{
    NOTES(notes);
    WORLD(world, 0);
    struct rlimit before, none;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    ce_autofd int client = ce_endpoint_socket(ce_route_endpoint(world.route), NULL);
    const struct ce_endpoint *at = ce_route_endpoint(world.route);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    wire_block(client);
    CHECK(connect(client, (const struct sockaddr *)&at->address, at->size) == 0);
    CHECK(wire_send(client, get));
    notes_await(&notes);
    CHECK(wire_is_quiet(client));
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_gets(server, get));
    reply(server, client, ok);
    struct ce_route_counts counts;
    ce_route_count(world.route, &counts);
    CHECK(counts.refused == 0 && counts.connections == 1);
    world_close(&world);
    ce_log_to(NULL, NULL);
}

/* ---- draining ---- */

struct drain {
    struct ce_proxy *proxy;
    int64_t timeout_ns;
    int result;
    pthread_t thread;
};

static void *drain(void *arg)
{
    struct drain *drain = arg;
    drain->result = ce_proxy_drain(drain->proxy, drain->timeout_ns);
    return NULL;
}

static const char ok_and_close[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

static void draining_lets_exchanges_finish(void)
{
    WORLD_OF(3, world, 0);
    /* One that is idle with each worker: when they are gone, all workers know. */
    ce_autofd int idle = client_open(&world), silent = client_open(&world),
                  silent_too = client_open(&world);
    ce_autofd int first = forward(&world, idle, get);
    reply(first, idle, ok);
    ce_autofd int waiting = client_open(&world), reading = client_open(&world);
    CHECK(wire_send(waiting, get) && wire_gets(first, get)); /* the first worker's, too */
    ce_autofd int second = forward(&world, reading, get);
    reply(second, reading, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    ce_autofd int beginning = client_open(&world);
    CHECK(wire_send(beginning, "GET / HTTP/1.1\r\n"));
    CHECK(stays_quiet(beginning, 20));

    struct drain all = {.proxy = world.proxy, .timeout_ns = 10 * CE_SECOND};
    REQUIRE(pthread_create(&all.thread, NULL, drain, &all) == 0);
    CHECK(wire_ends(idle) && wire_ends(silent) && wire_ends(silent_too));
    CHECK(client_open(&world) == -ECONNREFUSED);
    reply(second, reading, "cd"); /* its head was out before */
    CHECK(wire_ends(reading));
    reply_as(first, waiting, ok, ok_and_close);
    CHECK(wire_ends(waiting));
    CHECK(wire_send(beginning, "Host: a\r\n\r\n"));
    ce_autofd int last = wire_accept(world.listener);
    CHECK(wire_gets(last, get));
    reply_as(last, beginning, ok, ok_and_close);
    CHECK(wire_ends(beginning));
    pthread_join(all.thread, NULL);
    CHECK(all.result == 0);
}

static void answers_of_the_proxys_own_say_that_they_are_the_last(void)
{
    WORLD(world, 0);
    SPY(spy, &world, ON_REQUEST);
    spy.request =
        (struct ce_action){.kind = CE_ACT_ANSWER, .status = 200, .delay_ns = 100 * CE_MILLISECOND};
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, get));
    wait_for(&spy, &spy.requests, 1);
    CHECK(ce_proxy_drain(world.proxy, 10 * CE_SECOND) == 0);
    CHECK(wire_gets(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    CHECK(wire_ends(client));
}

static void draining_does_not_wait_for_ever(void)
{
    WORLD(world, 0);
    ce_autofd int client = client_open(&world);
    ce_autofd int server = forward(&world, client, get);
    CHECK(ce_proxy_drain(world.proxy, 20 * CE_MILLISECOND) == -ETIMEDOUT);
    reply_as(server, client, ok, ok_and_close); /* it is as it was */
    CHECK(ce_proxy_drain(world.proxy, 10 * CE_SECOND) == 0);
}

static void draining_takes_a_socket_file_away(void)
{
    char folder[] = "/tmp/ce-drain-XXXXXX", text[64];
    REQUIRE(mkdtemp(folder));
    snprintf(text, sizeof text, "unix:%s/s", folder);
    WORLD(world, 0);
    struct ce_route_config config = {0};
    struct ce_error err = {0};
    REQUIRE_OK(ce_endpoint_parse(text, &config.listen, &err), err);
    struct world by_file;
    REQUIRE(add_route(&world, config, &by_file) == 0);
    ce_autofd int client = client_open(&by_file);
    ce_autofd int server = forward(&by_file, client, get);
    reply(server, client, ok);
    CHECK(ce_proxy_drain(world.proxy, 10 * CE_SECOND) == 0);
    CHECK(access(text + 5, F_OK) < 0);
    CHECK(ce_tree_remove(folder, &err) == 0);
}

int main(void)
{
    TEST(heads_that_do_not_come_get_408);
    TEST(heads_are_timed_from_their_first_byte);
    TEST(bodies_that_do_not_come_get_408);
    TEST(bodies_that_nobody_waits_for_are_not_waited_for);
    TEST(a_slow_upstream_is_not_the_clients_fault);
    TEST(idle_clients_stay_unless_told_otherwise);
    TEST(without_descriptors_clients_are_refused_and_counted);
    TEST(without_any_descriptor_clients_wait);
    TEST(draining_lets_exchanges_finish);
    TEST(answers_of_the_proxys_own_say_that_they_are_the_last);
    TEST(draining_does_not_wait_for_ever);
    TEST(draining_takes_a_socket_file_away);
    return test_done();
}
