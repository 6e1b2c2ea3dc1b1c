/* SPDX-License-Identifier: MIT */
/* A proxy of several threads: what its routes share, and what arming and disarming promise while
 * requests are under way on all of them. */
#include "proxy/proxy.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/error.h"
#include "proxy_spy.h"

enum { WORKERS = 4, CONNECTIONS = 3 * WORKERS };

static const char empty[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

static const struct ce_action answer = {.kind = CE_ACT_ANSWER, .status = 200};

static bool asks(int client)
{
    return wire_send(client, get) && wire_gets(client, empty);
}

/* One connection after the other, so that each worker gets its turn. */
static void connect_all(const struct world *world, int *clients, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        clients[i] = client_open(world);
        CHECK(clients[i] >= 0);
    }
}

static void close_all(const int *clients, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(clients[i]);
}

/* ---- threads ---- */

struct thread_note {
    struct ce_hook hook;
    _Atomic pid_t last;
};

static void note_thread(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    (void)exchange;
    atomic_store(&((struct thread_note *)ctx)->last, (pid_t)syscall(SYS_gettid));
    *action = answer;
}

static void connections_are_dealt_out_in_turn(void)
{
    WORLD_OF(WORKERS, world, 0);
    struct ce_error err = {0};
    struct thread_note note = {.hook = {.on_request = note_thread}};
    struct ce_rule *rule;
    REQUIRE_OK(ce_route_arm(world.route, &note.hook, &note, &rule, &err), err);
    int clients[CONNECTIONS];
    pid_t threads[CONNECTIONS];
    connect_all(&world, clients, CONNECTIONS);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        CHECK(asks(clients[i]));
        threads[i] = note.last;
        for (size_t k = 0; k < i; k++)
            CHECK((threads[k] == threads[i]) == (k % WORKERS == i % WORKERS));
        CHECK(asks(clients[i]) && note.last == threads[i]); /* and stay there */
    }
    ce_rule_disarm(rule);
    close_all(clients, CONNECTIONS);
}

static int count_threads(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (const struct dirent *entry; tasks && (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    return count;
}

static void as_many_workers_as_processors_if_not_told(void)
{
    struct ce_error err = {0};
    cpu_set_t before, one;
    REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
    const int wanted[] = {CPU_COUNT(&before), 1, 3};
    const int others = count_threads();
    for (size_t i = 0; i < CE_COUNT(wanted); i++) {
        if (i == 1) {
            CPU_ZERO(&one);
            CPU_SET(sched_getcpu(), &one);
            CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
        }
        struct ce_proxy *proxy;
        REQUIRE_OK(ce_proxy_start(i == 2 ? 3 : 0, &proxy, &err), err);
        CHECK(count_threads() == others + wanted[i]);
        ce_proxy_stop(proxy);
    }
    CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
    struct ce_proxy *proxy;
    CHECK(ce_proxy_start(1000000, &proxy, &err) == -EINVAL);
    CHECK_TEXT(err.message, "the proxy cannot have 1000000 threads: at most 1024");
}

/* ---- load: threads that ask and ask, each on connections of its own ---- */

/* A proxy in front of a server, which is another one. */
#define FRONT_AND_BACK(front, back)                                                                \
    WORLD(back, 0);                                                                                \
    SPY(back##_answers, &back, ON_REQUEST);                                                        \
    tell(&back##_answers, &back##_answers.request, answer);                                        \
    CE_CLEANUP(world_close) struct world front = {.listener = -1};                                 \
    REQUIRE(front_open(&front, ce_route_endpoint(back.route)) == 0)

static int front_open(struct world *front, const struct ce_endpoint *upstream)
{
    struct ce_route_config config = {
        .name = "front", .listen = ce_endpoint_loopback(0), .upstream = *upstream};
    CE_TRY(ce_proxy_start(WORKERS, &front->proxy, NULL));
    return ce_proxy_add_route(front->proxy, &config, &front->route, NULL);
}

struct load {
    const struct world *world;
    pthread_t threads[WORKERS];
    atomic_bool over;
    atomic_ullong asked, failed;
};

static void *ask_and_ask(void *arg)
{
    struct load *load = arg;
    int clients[3];
    for (size_t i = 0; i < CE_COUNT(clients); i++)
        clients[i] = client_open(load->world);
    while (!atomic_load(&load->over))
        for (size_t i = 0; i < CE_COUNT(clients); i++) {
            atomic_fetch_add(&load->failed, !asks(clients[i]));
            atomic_fetch_add(&load->asked, 1);
        }
    close_all(clients, CE_COUNT(clients));
    return NULL;
}

static void load_start(struct load *load, const struct world *world)
{
    *load = (struct load){.world = world};
    for (size_t i = 0; i < WORKERS; i++)
        REQUIRE(pthread_create(&load->threads[i], NULL, ask_and_ask, load) == 0);
}

/* How many requests there were. */
static unsigned long long load_stop(struct load *load)
{
    atomic_store(&load->over, true);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(load->threads[i], NULL);
    CHECK(atomic_load(&load->failed) == 0);
    return atomic_load(&load->asked);
}

/* ---- rules under load ---- */

struct guest {
    struct ce_hook hook;
    atomic_bool away;
    atomic_int calls, late_calls;
};

static void call_guest(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    struct guest *guest = ctx;
    (void)exchange;
    (void)action;
    for (int i = 0; i < 2; i++) {
        atomic_fetch_add(&guest->late_calls, atomic_load(&guest->away));
        sched_yield(); /* so that it is disarmed while somebody is in here */
    }
    atomic_fetch_add(&guest->calls, 1);
}

/* On a connection with each worker: whoever asks meets the rule from its arming to its disarming,
 * and neither before nor after. */
static void visit(const struct world *world, const int *clients)
{
    struct ce_error err = {0};
    struct guest *guest = calloc(1, sizeof *guest);
    REQUIRE(guest);
    guest->hook.on_request = guest->hook.on_response = call_guest;
    struct ce_rule *rule;
    REQUIRE_OK(ce_route_arm(world->route, &guest->hook, guest, &rule, &err), err);
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(asks(clients[i]));
    CHECK(atomic_load(&guest->calls) >= 2 * WORKERS);
    ce_rule_disarm(rule);
    atomic_store(&guest->away, true);
    int calls = atomic_load(&guest->calls);
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(asks(clients[i]));
    CHECK(atomic_load(&guest->calls) == calls && atomic_load(&guest->late_calls) == 0);
    free(guest); /* a sanitizer finds out who calls it now */
}

static void rules_come_and_go_under_load(void)
{
    FRONT_AND_BACK(front, back);
    int clients[WORKERS];
    connect_all(&front, clients, WORKERS);
    struct load load;
    load_start(&load, &front);
    for (int i = 0; i < 50; i++)
        visit(&front, clients);
    load_stop(&load);
    close_all(clients, WORKERS);
}

struct numbers {
    struct ce_hook hook;
    atomic_ullong count, sum, squares;
};

static void note_number(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    struct numbers *numbers = ctx;
    unsigned long long number = strtoull(exchange->id + 1, NULL, 10);
    atomic_fetch_add(&numbers->count, 1);
    atomic_fetch_add(&numbers->sum, number);
    atomic_fetch_add(&numbers->squares, number * number);
    *action = answer;
}

static void requests_are_numbered_and_counted_across_workers(void)
{
    WORLD_OF(WORKERS, world, 0);
    struct ce_error err = {0};
    struct numbers numbers = {.hook = {.on_request = note_number}};
    struct ce_rule *rule;
    REQUIRE_OK(ce_route_arm(world.route, &numbers.hook, &numbers, &rule, &err), err);
    struct load load;
    load_start(&load, &world);
    while (atomic_load(&load.asked) < 500)
        sched_yield();
    unsigned long long n = load_stop(&load);
    CHECK(atomic_load(&numbers.count) == n);
    CHECK(atomic_load(&numbers.sum) == n * (n + 1) / 2); /* each number from 1 to n, once */
    CHECK(atomic_load(&numbers.squares) == n * (n + 1) * (2 * n + 1) / 6);
    struct ce_route_counts counts;
    ce_route_count(world.route, &counts);
    CHECK(counts.requests == n && counts.responses == n && counts.errors == 0);
    CHECK(counts.connections == 3 * WORKERS);
    ce_rule_disarm(rule);
}

/* ---- what is held, and what is dropped ---- */

static void disarming_lets_go_on_all_workers(void)
{
    FRONT_AND_BACK(front, back);
    const struct {
        struct ce_action action;
        bool is_reset;
    } cases[] = {
        {{.delay_ns = 3600 * CE_SECOND}, false},
        {{.kind = CE_ACT_HANG}, true},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        SPY(spy, &front, ON_REQUEST);
        spy.request = cases[i].action;
        int clients[CONNECTIONS];
        connect_all(&front, clients, CONNECTIONS);
        for (size_t k = 0; k < CONNECTIONS; k++)
            CHECK(wire_send(clients[k], get));
        wait_for(&spy, &spy.requests, CONNECTIONS);
        CHECK(wire_is_quiet(clients[0]));
        spy_disarm(&spy);
        for (size_t k = 0; k < CONNECTIONS; k++)
            CHECK(cases[i].is_reset ? wire_is_reset(clients[k]) : wire_gets(clients[k], empty));
        close_all(clients, CONNECTIONS);
    }
}

static void existing_connections_are_dropped_on_all_workers(void)
{
    FRONT_AND_BACK(front, back);
    struct ce_error err = {0};
    int clients[CONNECTIONS];
    connect_all(&front, clients, CONNECTIONS);
    for (size_t i = 0; i < CONNECTIONS; i++)
        CHECK(asks(clients[i]));
    REQUIRE_OK(ce_route_listening(front.route, false, false, &err), err);
    CHECK(client_open(&front) == -ECONNREFUSED);
    for (size_t i = 0; i < CONNECTIONS; i++)
        CHECK(asks(clients[i]));
    REQUIRE_OK(ce_route_listening(front.route, false, true, &err), err);
    for (size_t i = 0; i < CONNECTIONS; i++)
        CHECK(wire_is_reset(clients[i]));
    close_all(clients, CONNECTIONS);
    REQUIRE_OK(ce_route_listening(front.route, true, false, &err), err);
    connect_all(&front, clients, CONNECTIONS);
    for (size_t i = 0; i < CONNECTIONS; i++)
        CHECK(asks(clients[i]));
    close_all(clients, CONNECTIONS);
}

static const struct ce_hook passing;

static void a_route_has_so_many_rules_whatever_the_workers(void)
{
    WORLD_OF(WORKERS, world, 0);
    struct ce_error err = {0};
    struct ce_rule *rules[16], *one_more = NULL;
    for (size_t i = 0; i < CE_COUNT(rules); i++)
        REQUIRE_OK(ce_route_arm(world.route, &passing, NULL, &rules[i], &err), err);
    CHECK(ce_route_arm(world.route, &passing, NULL, &one_more, &err) == -ENOSPC);
    ce_rule_disarm(rules[7]);
    REQUIRE_OK(ce_route_arm(world.route, &passing, NULL, &rules[7], &err), err);
    for (size_t i = 0; i < CE_COUNT(rules); i++)
        ce_rule_disarm(rules[i]);
}

int main(void)
{
    TEST(connections_are_dealt_out_in_turn);
    TEST(as_many_workers_as_processors_if_not_told);
    TEST(rules_come_and_go_under_load);
    TEST(requests_are_numbered_and_counted_across_workers);
    TEST(disarming_lets_go_on_all_workers);
    TEST(existing_connections_are_dropped_on_all_workers);
    TEST(a_route_has_so_many_rules_whatever_the_workers);
    return test_done();
}
