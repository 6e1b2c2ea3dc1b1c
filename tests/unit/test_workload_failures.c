/* SPDX-License-Identifier: MIT */
/* What goes wrong between the workload and its server: silence, stalls, broken answers, connections
 * that end and sockets that run out. What goes right is in test_workload.c. */
#include "workload_world.h"

/* ---- silence and stalls ---- */

static enum act silent_at_odd(const struct server *server, const struct request *request)
{
    return atoi(request->id + 2) % 2 ? SILENCE : ANSWER;
}

static void silence_is_a_timeout(void)
{
    enum { N = 10 };
    const int64_t timeout = 500 * CE_MILLISECOND;
    WORLD(world, silent_at_odd, 200, timeout);
    struct ce_outcome outcomes[N];
    REQUIRE(run_phase(world.workload, CE_PHASE_FAULT, outcomes, N) == N);
    for (int i = 0; i < N; i++) {
        CHECK(outcomes[i].ok == (i % 2 == 0));
        CHECK(outcomes[i].error == (i % 2 ? ETIMEDOUT : 0));
        if (i % 2)
            CHECK(outcomes[i].latency_ns >= timeout &&
                  outcomes[i].latency_ns < timeout + 5 * CE_SECOND);
        else
            CHECK(outcomes[i].latency_ns < timeout);
    }
}

static enum act stall_at_first(const struct server *server, const struct request *request)
{
    return strcmp(request->id, "f-0") == 0 ? STALL : ANSWER;
}

static void a_late_answer_is_no_answer(void)
{
    WORLD(world, stall_at_first, 1000, 100 * CE_MILLISECOND);
    struct ce_outcome outcome;
    REQUIRE(run_phase(world.workload, CE_PHASE_FAULT, &outcome, 1) == 1);
    CHECK(!outcome.ok && outcome.error == ETIMEDOUT);
    /* Its connection is gone with it: the answer, when it comes, is not taken for another's. */
    REQUIRE(run_phase(world.workload, CE_PHASE_RECOVERY, &outcome, 1) == 1);
    CHECK(outcome.phase == CE_PHASE_RECOVERY);
    CHECK(server_waits_for_requests(world.server, 2));
    CHECK(server_connections(world.server) == 2);
}

static enum act stall_at_tenth(const struct server *server, const struct request *request)
{
    return strcmp(request->id, "b-10") == 0 ? STALL : ANSWER;
}

/* All are answered, and those that came due while the server stood still only after that. How many
 * those were. */
static int check_stalled(const struct server *server, const struct ce_outcome *outcomes, int count)
{
    int during = 0;
    for (int i = 0; i < count; i++) {
        CHECK(outcomes[i].ok);
        if (outcomes[i].due < server->stall_begin || outcomes[i].due >= server->stall_end)
            continue;
        during++;
        CHECK(outcomes[i].due + outcomes[i].latency_ns >= server->stall_end);
    }
    return during;
}

static void a_stall_cannot_hide_itself(void)
{
    enum { N = 60 };
    WORLD(world, stall_at_tenth, 200, 10 * CE_SECOND);
    struct ce_outcome outcomes[N];
    REQUIRE(run_phase(world.workload, CE_PHASE_BASELINE, outcomes, N) == N);
    /* Due as if nothing had happened ... */
    for (int i = 0; i < N; i++)
        CHECK(outcomes[i].due == outcomes[0].due + i * 5 * CE_MILLISECOND);
    /* ... and late by what was left of the stall, which the server may have begun late, on a busy
     * machine, but it was 40 intervals long. */
    CHECK(check_stalled(world.server, outcomes, N) >= 30);
    /* Those that came due while others were unanswered went over connections of their own. */
    CHECK(server_connections(world.server) > 30);
}

/* ---- failures ---- */

static void a_closed_port_is_refused(void)
{
    enum { N = 5 };
    struct server *server = server_start(always_answer);
    struct ce_endpoint gone = server->endpoint;
    server_stop(server);
    CE_CLEANUP(world_close)
    struct world world = {.workload = workload_at(&gone, 500, 5 * CE_SECOND)};
    struct ce_outcome outcomes[N];
    REQUIRE(run_phase(world.workload, CE_PHASE_FAULT, outcomes, N) == N);
    for (int i = 0; i < N; i++)
        CHECK(!outcomes[i].ok && outcomes[i].error == ECONNREFUSED && outcomes[i].status == 0);
}

/* What each operation of a phase is answered with, one after another. */
static enum act by_number(const struct server *server, const struct request *request)
{
    static const enum act acts[] = {
        ANSWER,     RESET,          GARBAGE,        WRONG_BODY,         EMPTY_BODY,
        REFUSE_503, HALF_AN_ANSWER, ANSWER_CHUNKED, ANSWER_UNTIL_CLOSE, ANSWER_AND_CLOSE};
    return acts[atoi(request->id + 2)];
}

static void every_kind_of_failure_has_its_error(void)
{
    static const struct {
        bool ok;
        int status, error;
    } want[] = {
        {true, 200, 0},         {false, 0, ECONNRESET}, {false, 0, EPROTO},
        {false, 200, EBADMSG},  {false, 200, EBADMSG},  {false, 503, 0},
        {false, 0, ECONNRESET}, {true, 200, 0},         {true, 200, 0},
        {true, 200, 0},
    };
    enum { N = sizeof want / sizeof want[0] };
    WORLD(world, by_number, 200, 5 * CE_SECOND);
    struct ce_outcome outcomes[N];
    REQUIRE(run_phase(world.workload, CE_PHASE_FAULT, outcomes, N) == N);
    for (int i = 0; i < N; i++) {
        CHECK(outcomes[i].ok == want[i].ok);
        CHECK(outcomes[i].status == want[i].status);
        CHECK(outcomes[i].error == want[i].error);
        if (outcomes[i].ok)
            CHECK(outcomes[i].prediction == i);
    }
}

/* ---- connections ---- */

/* A host that has so many sockets for us and no more. */
static int make_socket_while_any_left(void *ctx, int family, struct ce_error *err)
{
    int *left = ctx;
    if (*left == 0)
        return -EMFILE;
    --*left;
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static struct ce_workload *workload_with_sockets(struct ce_endpoint endpoint, int *left)
{
    endpoint.make_socket = make_socket_while_any_left;
    endpoint.ctx = left;
    return workload_at(&endpoint, 500, 10 * CE_SECOND);
}

static void operations_wait_for_a_connection_when_there_are_no_more(void)
{
    enum { N = 60 };
    int left = 2;
    CE_CLEANUP(world_close) struct world world = {.server = server_start(stall_at_tenth)};
    const struct server *server = world.server;
    world.workload = workload_with_sockets(server->endpoint, &left);
    struct ce_outcome outcomes[N];
    REQUIRE(run_phase(world.workload, CE_PHASE_BASELINE, outcomes, N) == N);
    /* Not even sent before the stall was over, and their latency counts all the same. */
    CHECK(check_stalled(server, outcomes, N) > 10);
    /* Both were in use while the server stood still, and what waited was sent in the order in which
     * it was due. */
    CHECK(server_connections(world.server) == 2);
    for (int i = 1; i < server->request_count; i++)
        CHECK(atoi(server->requests[i].id + 2) + 2 > atoi(server->requests[i - 1].id + 2));
}

static void without_any_connection_there_is_nothing_to_wait_for(void)
{
    int left = 0;
    CE_CLEANUP(world_close)
    struct world world = {.workload = workload_with_sockets(ce_endpoint_loopback(0), &left)};
    struct ce_outcome outcome;
    REQUIRE(run_phase(world.workload, CE_PHASE_BASELINE, &outcome, 1) == 1);
    CHECK(!outcome.ok && outcome.error == EMFILE);
}

static enum act vanish(const struct server *server, const struct request *request)
{
    return ANSWER_AND_VANISH;
}

static void a_connection_closed_while_idle_is_no_error(void)
{
    enum { N = 200 };
    WORLD(world, vanish, 2000, 5 * CE_SECOND);
    struct ce_outcome outcomes[N];
    REQUIRE(run_phase(world.workload, CE_PHASE_BASELINE, outcomes, N) == N);
    for (int i = 0; i < N; i++)
        CHECK(outcomes[i].ok && outcomes[i].error == 0);
    CHECK(server_connections(world.server) >= N);
}

/* Closes, without an answer, every connection on which something was answered before: to the client
 * this looks like one that was closed while idle. The stall makes it open several. */
static enum act vanish_when_reused(const struct server *server, const struct request *request)
{
    for (int i = 0; i < server->request_count; i++)
        if (server->requests[i].connection == request->connection)
            return VANISH;
    return strcmp(request->id, "b-0") == 0 ? STALL : ANSWER;
}

static void a_stale_connection_is_resent_once_on_a_new_one(void)
{
    WORLD(world, vanish_when_reused, 500, 5 * CE_SECOND);
    struct ce_outcome outcomes[5];
    REQUIRE(run_phase(world.workload, CE_PHASE_BASELINE, outcomes, 5) == 5);
    int connections = server_connections(world.server);
    CHECK(connections > 1);
    REQUIRE(run_phase(world.workload, CE_PHASE_FAULT, outcomes, 1) == 1);
    CHECK(outcomes[0].ok);
    CHECK(server_times_asked(world.server, "f-0") == 2);
    CHECK(server_connections(world.server) == connections + 1);
}

static enum act reset_the_fault(const struct server *server, const struct request *request)
{
    return request->id[0] == 'f' ? RESET : ANSWER;
}

static enum act vanish_at_the_fault(const struct server *server, const struct request *request)
{
    return request->id[0] == 'f' ? VANISH : ANSWER;
}

/* How often the same operation was asked for over a new connection, and then over an idle one. */
static void fail_twice(struct world *world, int ret_asked[2])
{
    struct ce_outcome outcome;
    REQUIRE(run_phase(world->workload, CE_PHASE_FAULT, &outcome, 1) == 1);
    CHECK(outcome.error == ECONNRESET);
    ret_asked[0] = server_times_asked(world->server, "f-0");
    REQUIRE(run_phase(world->workload, CE_PHASE_BASELINE, &outcome, 1) == 1);
    CHECK(outcome.ok);
    REQUIRE(run_phase(world->workload, CE_PHASE_FAULT, &outcome, 1) == 1);
    CHECK(outcome.error == ECONNRESET);
    ret_asked[1] = server_times_asked(world->server, "f-0") - ret_asked[0];
}

static void a_new_connection_is_not_tried_again(void)
{
    WORLD(world, vanish_at_the_fault, 500, 5 * CE_SECOND);
    int asked[2];
    fail_twice(&world, asked);
    CHECK(asked[0] == 1 && asked[1] == 2);
}

/* Or a fault that resets would hit an operation twice, or not at all. */
static void a_reset_is_an_answer(void)
{
    WORLD(world, reset_the_fault, 500, 5 * CE_SECOND);
    int asked[2];
    fail_twice(&world, asked);
    CHECK(asked[0] == 1 && asked[1] == 1);
}

static enum act too_much(const struct server *server, const struct request *request)
{
    return ANSWER_TOO_MUCH;
}

static void an_unasked_answer_is_nobodys(void)
{
    WORLD(world, too_much, 500, 5 * CE_SECOND);
    enum { N = 20 };
    struct ce_outcome outcomes[N];
    REQUIRE(run_phase(world.workload, CE_PHASE_BASELINE, outcomes, N) == N);
    for (int i = 0; i < N; i++)
        CHECK(outcomes[i].ok && outcomes[i].prediction == i % ROWS);
    /* Each time the connection was given up. */
    CHECK(server_connections(world.server) == N);
}

int main(void)
{
    TEST(a_stall_cannot_hide_itself);
    TEST(silence_is_a_timeout);
    TEST(a_late_answer_is_no_answer);
    TEST(a_closed_port_is_refused);
    TEST(every_kind_of_failure_has_its_error);
    TEST(operations_wait_for_a_connection_when_there_are_no_more);
    TEST(without_any_connection_there_is_nothing_to_wait_for);
    TEST(a_connection_closed_while_idle_is_no_error);
    TEST(a_stale_connection_is_resent_once_on_a_new_one);
    TEST(a_new_connection_is_not_tried_again);
    TEST(a_reset_is_an_answer);
    TEST(an_unasked_answer_is_nobodys);
    return test_done();
}
