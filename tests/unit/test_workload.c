/* SPDX-License-Identifier: MIT */
/* What the workload asks, when it is due, and how phases begin and end. What goes wrong on the way
 * is in test_workload_failures.c. */
#include <dirent.h>

#include "workload_world.h"

/* ---- operations ---- */

static void every_operation_is_answered(void)
{
    enum { N = 100 };
    WORLD(world, always_answer, 1000, 5 * CE_SECOND);
    struct ce_outcome outcomes[N];
    REQUIRE(run_phase(world.workload, CE_PHASE_FAULT, outcomes, N) == N);
    for (int i = 0; i < N; i++) {
        CHECK(outcomes[i].phase == CE_PHASE_FAULT && outcomes[i].number == (uint64_t)i);
        CHECK(outcomes[i].ok && outcomes[i].status == 200 && outcomes[i].error == 0);
        CHECK(outcomes[i].prediction == i % ROWS);
        CHECK(outcomes[i].right == (i % ROWS != 7));
        CHECK(outcomes[i].latency_ns > 0 && outcomes[i].latency_ns < 5 * CE_SECOND);
    }
    CHECK(ce_workload_due(world.workload) == N);
    CHECK(ce_workload_in_flight(world.workload) == 0);
    struct ce_outcome none;
    CHECK(ce_workload_next(world.workload, &none, 0) == 0);
}

static void the_server_sees_exactly_the_expected_requests(void)
{
    enum { N = 25 };
    WORLD(world, always_answer, 500, 5 * CE_SECOND);
    struct server *server = world.server;
    struct ce_outcome outcomes[N];
    for (int phase = 0; phase < CE_PHASE_COUNT_; phase++) {
        REQUIRE(run_phase(world.workload, phase, outcomes, N) == N);
        CHECK(outcomes[N - 1].phase == (enum ce_phase)phase);
    }
    CHECK(server->request_count == N * CE_PHASE_COUNT_);
    for (int phase = 0; phase < CE_PHASE_COUNT_; phase++)
        for (int i = 0; i < N; i++) {
            char id[16];
            snprintf(id, sizeof id, "%c-%d", "bfrv"[phase], i);
            CHECK(server_times_asked(server, id) == 1);
        }
    for (int i = 0; i < server->request_count; i++) {
        const struct request *request = &server->requests[i];
        char body[8];
        snprintf(body, sizeof body, "row=%d", atoi(request->id + 2) % ROWS);
        CHECK_TEXT(request->body, body);
        CHECK_TEXT(request->path, "/v2/models/churn/infer");
        CHECK(request->json);
    }
}

static void due_times_are_exact(void)
{
    enum { N = 30 };
    WORLD(world, always_answer, 300, 5 * CE_SECOND);
    struct ce_outcome outcomes[N] = {0};
    int64_t before = ce_now();
    ce_workload_begin(world.workload, CE_PHASE_BASELINE, N, 0);
    int64_t after = ce_now();
    REQUIRE(take_outcomes(world.workload, outcomes, N) == N);
    int64_t start = outcomes[2].due - 10 * CE_MILLISECOND; /* three intervals of 1/300 s */
    CHECK(start >= before && start <= after);
    for (int i = 0; i < N; i++)
        CHECK(outcomes[i].due == start + (int64_t)((i + 1) * 1e9 / 300));
}

static void an_idle_connection_is_used_again(void)
{
    enum { N = 20 };
    WORLD(world, always_answer, 500, 5 * CE_SECOND);
    struct ce_outcome outcome;
    /* One at a time, so that one connection is enough. */
    for (int i = 0; i < N; i++) {
        REQUIRE(run_phase(world.workload, CE_PHASE_BASELINE, &outcome, 1) == 1);
        CHECK(outcome.ok);
    }
    CHECK(server_connections(world.server) == 1);
}

/* ---- phases ---- */

/* Takes one outcome after another until `count` have come. How many came. */
static uint64_t drop_outcomes(struct ce_workload *workload, uint64_t count)
{
    struct ce_outcome outcome;
    uint64_t came = 0;
    while (came < count && ce_workload_next(workload, &outcome, ce_now() + PATIENCE))
        came++;
    return came;
}

static void a_new_phase_ends_the_last_one(void)
{
    WORLD(world, always_answer, 1000, 5 * CE_SECOND);
    struct ce_outcome outcome;
    uint64_t recovery_count = 0;
    ce_workload_begin(world.workload, CE_PHASE_FAULT, UINT64_MAX, 0);
    uint64_t fault_count = drop_outcomes(world.workload, 20);
    ce_workload_begin(world.workload, CE_PHASE_RECOVERY, 20, 0);
    while (recovery_count < 20 && ce_workload_next(world.workload, &outcome, ce_now() + PATIENCE)) {
        if (outcome.phase == CE_PHASE_RECOVERY) {
            CHECK(outcome.number < 20);
            recovery_count++;
        } else {
            fault_count++;
        }
    }
    CHECK(ce_workload_due(world.workload) == 20);
    CHECK(recovery_count == 20);
    /* None of the first phase was lost or came twice. */
    char last[32], next[32];
    snprintf(last, sizeof last, "f-%d", (int)fault_count - 1);
    snprintf(next, sizeof next, "f-%d", (int)fault_count);
    CHECK(server_times_asked(world.server, last) == 1);
    CHECK(server_times_asked(world.server, next) == 0);
    CHECK(server_times_asked(world.server, "v-0") == 1);
}

static void nothing_is_due_in_a_pause(void)
{
    WORLD(world, always_answer, 1000, 5 * CE_SECOND);
    struct ce_workload *workload = world.workload;
    struct ce_outcome outcome;
    ce_workload_begin(workload, CE_PHASE_FAULT, UINT64_MAX, 0);
    uint64_t count = drop_outcomes(workload, 20);
    ce_workload_pause(workload);
    uint64_t due = ce_workload_due(workload);
    if (due > count)
        count += drop_outcomes(workload, due - count);
    CHECK(count == due);
    /* 50 intervals more. */
    CHECK(ce_workload_next(workload, &outcome, ce_now() + 50 * CE_MILLISECOND) == 0);
    CHECK(ce_workload_due(workload) == due);
    CHECK(ce_workload_in_flight(workload) == 0);
}

static enum act silent_at_third(const struct server *server, const struct request *request)
{
    return strcmp(request->id, "f-2") == 0 ? SILENCE : ANSWER;
}

static void the_oldest_operation_is_known(void)
{
    WORLD(world, silent_at_third, 1000, 300 * CE_MILLISECOND);
    struct ce_workload *workload = world.workload;
    CHECK(ce_workload_oldest_due(workload) == INT64_MAX);
    int64_t before = ce_now();
    ce_workload_begin(workload, CE_PHASE_FAULT, 10, 0);
    CHECK(ce_workload_oldest_due(workload) >= before + CE_MILLISECOND);
    struct ce_outcome outcomes[10] = {0};
    /* All but the one that nobody answers. */
    REQUIRE(take_outcomes(workload, outcomes, 9) == 9);
    if (outcomes[2].due == 0)
        CHECK(ce_workload_oldest_due(workload) == outcomes[1].due + CE_MILLISECOND);
    REQUIRE(take_outcomes(workload, outcomes, 1) == 1);
    CHECK(ce_workload_oldest_due(workload) == INT64_MAX);
    /* While a phase without end runs there is always a next one. */
    ce_workload_begin(workload, CE_PHASE_RECOVERY, UINT64_MAX, 0);
    CHECK(ce_workload_oldest_due(workload) < ce_now() + CE_SECOND);
    ce_workload_pause(workload);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return -1;
    while (readdir(folder))
        count++;
    (void)closedir(folder);
    return count;
}

static enum act stay_silent(const struct server *server, const struct request *request)
{
    return SILENCE;
}

static void stopping_gives_up_what_is_in_flight(void)
{
    enum { N = 20 };
    int before = open_descriptors();
    WORLD(world, stay_silent, 1000, 60 * CE_SECOND);
    ce_workload_begin(world.workload, CE_PHASE_FAULT, N, 0);
    CHECK(server_waits_for_requests(world.server, N));
    CHECK(ce_workload_in_flight(world.workload) == N);
    int64_t stopping = ce_now();
    ce_workload_stop(ce_take(world.workload));
    CHECK(ce_now() - stopping < 10 * CE_SECOND);
    world_close(&world);
    CHECK(open_descriptors() == before);
    ce_workload_stop(NULL);
}

static void the_descriptor_shows_that_an_outcome_waits(void)
{
    WORLD(world, always_answer, 1000, 5 * CE_SECOND);
    struct pollfd ready = {.fd = ce_workload_fd(world.workload), .events = POLLIN};
    CHECK(poll(&ready, 1, 0) == 0);
    ce_workload_begin(world.workload, CE_PHASE_BASELINE, 2, 0);
    CHECK(poll(&ready, 1, (int)(PATIENCE / CE_MILLISECOND)) == 1);
    struct ce_outcome outcomes[2];
    CHECK(take_outcomes(world.workload, outcomes, 2) == 2);
    CHECK(poll(&ready, 1, 0) == 0);
}

static void a_workload_that_cannot_be_is_refused(void)
{
    static const struct ce_operations none = {
        .path = "/", .read_prediction = read_row, .is_right = is_equal};
    const struct {
        struct ce_workload_config config;
        const char *says;
    } cases[] = {
        {{.operations = rows(), .rate = 0, .timeout_ns = 1}, "rate: 0 "},
        {{.operations = rows(), .rate = -1, .timeout_ns = 1}, "rate: -1 "},
        {{.operations = rows(), .rate = NAN, .timeout_ns = 1}, "rate: nan "},
        {{.operations = rows(), .rate = INFINITY, .timeout_ns = 1}, "rate: inf "},
        {{.operations = rows(), .rate = 1e-9, .timeout_ns = 1},
         "rate: 1e-09 is outside 0.001..1e+06"},
        {{.operations = rows(), .rate = 1, .timeout_ns = 0}, "timeout: 0 s "},
        {{.operations = rows(), .rate = 1, .timeout_ns = INT64_MAX}, "timeout: 9.22337e+09 s "},
        {{.operations = &none, .rate = 1, .timeout_ns = 1}, "no labelled rows"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_workload *workload = NULL;
        struct ce_error err = {0};
        CHECK(ce_workload_start(&cases[i].config, &workload, &err) == -EINVAL);
        CHECK(strstr(err.message, cases[i].says) != NULL);
        CHECK(workload == NULL);
    }
}

static void phases_have_names_and_letters(void)
{
    CHECK_TEXT(ce_phase_name(CE_PHASE_BASELINE), "baseline");
    CHECK_TEXT(ce_phase_name(CE_PHASE_RECOVERY), "recovery");
    CHECK(ce_phase_letter(CE_PHASE_FAULT) == 'f' && ce_phase_letter(CE_PHASE_ROLLBACK) == 'r');
}

int main(void)
{
    TEST(every_operation_is_answered);
    TEST(the_server_sees_exactly_the_expected_requests);
    TEST(due_times_are_exact);
    TEST(an_idle_connection_is_used_again);
    TEST(a_new_phase_ends_the_last_one);
    TEST(nothing_is_due_in_a_pause);
    TEST(the_oldest_operation_is_known);
    TEST(stopping_gives_up_what_is_in_flight);
    TEST(the_descriptor_shows_that_an_outcome_waits);
    TEST(a_workload_that_cannot_be_is_refused);
    TEST(phases_have_names_and_letters);
    return test_done();
}
