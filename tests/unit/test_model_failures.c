/* SPDX-License-Identifier: MIT */
/* The faults model_unavailable and batch_processing_failure: requests that fail, each in its way.
 */
#include "model_world.h"

/* ---- model_unavailable ---- */

/* Without the fault the model answers, and nothing is left of it. */
static void check_available_again(struct world *world)
{
    struct ce_error err = {0};
    REQUIRE_OK(world_revert(world, &err), err);
    CHECK(ask_result(world, "f-0") == 200);
    REQUIRE_OK(world_verify_undo(world, &err), err);
}

static void error_mode_answers_with_the_status(void)
{
    WORLD_WITH(world, err, SCORE, "model_unavailable", "status=529");
    char answer[1024];
    CHECK(ask_result(&world, "f-0") == 529);
    ce_autofd int fd = send_raw(&world);
    REQUIRE(fd >= 0 && readable_within(fd, 5000));
    ssize_t n = recv(fd, answer, sizeof answer - 1, 0);
    REQUIRE(n > 0);
    answer[n] = '\0';
    CHECK(strncmp(answer, "HTTP/1.1 529 ", 13) == 0);
    CHECK(strcasestr(answer, "\r\nRetry-After: 1\r\n") != NULL);
    CHECK(strcasestr(answer, "\r\nContent-Type: application/json\r\n") != NULL);
    CHECK(strstr(answer, "\r\n\r\n{\"error\":") != NULL);
    CHECK(world_verify(&world, &err) == 1);
    CHECK(world_count(&world).eligible == 2 && world_count(&world).changed == 2);
    check_available_again(&world);
}

static void a_share_of_the_requests_fails(void)
{
    static const struct {
        const char *mode;
        int result;
    } cases[] = {{"mode=error", 503}, {"mode=reset", -ECONNRESET}, {"mode=refused", -ECONNRESET}};
    struct ce_recipe recipe = ce_recipe_init(42, "model_unavailable", "model", NULL);
    for (size_t c = 0; c < CE_COUNT(cases); c++) {
        WORLD_WITH(world, err, SCORE, "model_unavailable", "failure_rate=0.4", cases[c].mode);
        uint64_t hits = 0;
        for (int i = 59; i >= 0; i--) {
            struct request_id id = fault_request(i);
            bool hit = ce_recipe_hits(&recipe, id.text, 0, 0.4);
            CHECK(ask_result(&world, id.text) == (hit ? cases[c].result : 200));
            hits += hit;
        }
        CHECK(hits > 10 && hits < 40);
        struct ce_fault_counts counts = world_count(&world);
        CHECK(counts.eligible == 60 && counts.selected == hits && counts.changed == hits);
        CHECK(world_verify(&world, &err) == 1);
    }
}

static void retry_after_is_in_whole_seconds(void)
{
    WORLD_WITH(world, err, SCORE, "model_unavailable", "retry_after=1500ms");
    char answer[1024];
    ce_autofd int fd = send_raw(&world);
    REQUIRE(fd >= 0 && readable_within(fd, 5000));
    ssize_t n = recv(fd, answer, sizeof answer - 1, 0);
    REQUIRE(n > 0);
    answer[n] = '\0';
    CHECK(strcasestr(answer, "\r\nRetry-After: 2\r\n") != NULL);
}

static void half_of_the_answer_comes(void)
{
    WORLD_WITH(world, err, SCORE, "model_unavailable", "mode=partial");
    char answer[2048];
    size_t size = 0;
    ssize_t n;
    ce_autofd int fd = send_raw(&world);
    REQUIRE(fd >= 0);
    while (readable_within(fd, 5000) &&
           (n = recv(fd, answer + size, sizeof answer - size - 1, 0)) > 0)
        size += (size_t)n;
    CHECK(n < 0 && errno == ECONNRESET);
    answer[size] = '\0';
    const char *body = strstr(answer, "\r\n\r\n");
    REQUIRE(body != NULL);
    body += 4;
    CHECK(strlen(body) == strlen(SCORE) / 2 && strncmp(body, SCORE, strlen(body)) == 0);
    CHECK(world_count(&world).eligible == 1 && world_count(&world).changed == 1);
    CHECK(world_verify(&world, &err) == 1);
    check_available_again(&world);
}

static void a_quota_lets_so_many_through_in_each_window(void)
{
    WORLD_WITH(world, err, SCORE, "model_unavailable", "mode=quota", "quota=3", "window=1h");
    for (int i = 0; i < 8; i++)
        CHECK(ask_result(&world, fault_request(i).text) == (i < 3 ? 200 : 429));
    struct ce_fault_counts counts = world_count(&world);
    CHECK(counts.eligible == 8 && counts.selected == 5 && counts.changed == 5);
    CHECK(world_verify(&world, &err) == 1);
    check_available_again(&world);
}

static void a_quota_is_full_again_in_the_next_window(void)
{
    WORLD_WITH(world, err, SCORE, "model_unavailable", "mode=quota", "quota=2", "window=300ms");
    /* Wherever the windows lie: of a quick burst at most the quotas of those that it touched. */
    int answered = 0;
    int64_t began = ce_now();
    for (int i = 0; i < 20; i++)
        answered += ask_result(&world, fault_request(i).text) == 200;
    int64_t windows = (ce_now() - began) / (300 * CE_MILLISECOND) + 2;
    CHECK(answered >= 2 && answered <= 2 * windows);
    int64_t give_up = ce_now() + 5 * CE_SECOND;
    while (ask_result(&world, "f-20") != 200 && ce_now() < give_up)
        ;
    CHECK(ce_now() < give_up);
}

static void only_the_first_requests_fail(void)
{
    WORLD_WITH(world, err, SCORE, "model_unavailable", "first=3", "mode=refused");
    for (int i = 5; i >= 0; i--) /* by number, not by arrival */
        CHECK(ask_result(&world, fault_request(i).text) == (i < 3 ? -ECONNRESET : 200));
    CHECK(world_count(&world).eligible == 6 && world_count(&world).changed == 3);
    CHECK(world_verify(&world, &err) == 1);
    check_available_again(&world);
}

static void the_first_without_an_id_are_those_that_came_first(void)
{
    WORLD(world, err, SCORE);
    CHECK(ask_result(&world, NULL) == 200);
    REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "first=2"), err);
    CHECK(ask_result(&world, NULL) == 503 && ask_result(&world, NULL) == 503);
    CHECK(ask_result(&world, NULL) == 200);
}

static void errors_have_the_shape_of_the_protocol(void)
{
    static const struct {
        const char *path, *body;
    } cases[] = {
        {PATH, "{\"error\":"},
        {"/invocations", "{\"error_code\":"},
        {"/predictions/churn", "\"code\":"},
        {"/elsewhere", "{\"error\":\"the model is unavailable\"}"},
    };
    WORLD_WITH(world, err, SCORE, "model_unavailable", "status=500");
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_http_answer answer;
        REQUIRE(ask_this(&world, &(struct question){.id = "f-0", .path = cases[i].path}, &answer) ==
                0);
        CHECK(answer.status == 500 && strstr(answer.body, cases[i].body) != NULL &&
              strstr(answer.body, "the model is unavailable") != NULL);
        ce_http_answer_done(&answer);
    }
}

static void hanging_requests_are_never_answered_and_let_go_by_revert(void)
{
    WORLD_WITH(world, err, SCORE, "model_unavailable", "mode=hang");
    char byte;
    CHECK(world_verify(&world, &err) == 1);
    ce_autofd int fd = send_raw(&world);
    REQUIRE(fd >= 0);
    CHECK(!readable_within(fd, 300));
    REQUIRE_OK(world_revert(&world, &err), err);
    REQUIRE(readable_within(fd, 5000));
    CHECK(recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET);
    CHECK(ask_result(&world, "f-0") == 200);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
}

static void refused_closes_the_listener_and_its_connections(void)
{
    WORLD(world, err, SCORE);
    char byte;
    ce_autofd int fd = send_raw(&world); /* an older connection, with its answer still unread */
    REQUIRE(fd >= 0 && readable_within(fd, 5000));
    REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "mode=refused"), err);
    CHECK(ask_result(&world, "f-0") == -ECONNREFUSED);
    while (readable_within(fd, 5000) && recv(fd, &byte, 1, 0) > 0)
        ;
    CHECK(readable_within(fd, 0)); /* ended, one way or the other */
    CHECK(world_verify(&world, &err) == 1);
    CHECK(world_count(&world).selected == 1 && world_count(&world).changed == 1);
    CHECK(world_verify_undo(&world, NULL) == -EIO);

    /* Below full intensity it listens again and resets a share. */
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0.5, &err), err);
    int answered = 0, reset = 0;
    for (int i = 0; i < 40; i++) {
        int r = ask_result(&world, fault_request(i).text);
        answered += r == 200;
        reset += r == -ECONNRESET;
    }
    CHECK(answered + reset == 40 && answered > 6 && reset > 6);
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 1, &err), err);
    CHECK(ask_result(&world, "f-0") == -ECONNREFUSED);

    check_available_again(&world);
}

/* ---- batch_processing_failure ---- */

#define BATCH(n, data)                                                                             \
    "{\"inputs\":[{\"name\":\"age\",\"shape\":[" n ",1],\"datatype\":\"FP64\",\"data\":[" data     \
    "]}]}"

static void whole_batches_fail(void)
{
    static const struct {
        const char *mode;
        int result;
    } cases[] = {{"mode=error", 500}, {"mode=reset", -ECONNRESET}};
    struct ce_recipe recipe = ce_recipe_init(42, "batch_processing_failure", "model", NULL);
    for (size_t c = 0; c < CE_COUNT(cases); c++) {
        WORLD_WITH(world, err, SCORE, "batch_processing_failure", "failure_rate=0.4",
                   cases[c].mode);
        uint64_t hits = 0;
        for (int i = 0; i < 40; i++) {
            struct request_id id = fault_request(i);
            bool hit = ce_recipe_hits(&recipe, id.text, 0, 0.4);
            CHECK(ask_result(&world, id.text) == (hit ? cases[c].result : 200));
            hits += hit;
        }
        CHECK(hits > 6 && hits < 30);
        struct ce_fault_counts counts = world_count(&world);
        CHECK(counts.eligible == 40 && counts.selected == hits && counts.changed == hits);
        CHECK(world_verify(&world, &err) == 1);
        REQUIRE_OK(world_revert(&world, &err), err);
        REQUIRE_OK(world_verify_undo(&world, &err), err);
    }
}

static void only_batches_fail(void)
{
    static const char *const samples[] = {BATCH("3", "1,2,3")};
    WORLD(world, err, SCORE);
    world.samples = samples;
    world.sample_count = 1;
    REQUIRE_OK(INJECT(&world, "batch_processing_failure", &err, "failure_rate=1", "min_rows=3",
                      "status=507"),
               err);
    CHECK(STATUS(&world, .id = "f-0", .body = BATCH("3", "1,2,3")) == 507);
    CHECK(STATUS(&world, .id = "f-0", .body = BATCH("4", "1,2,3,4")) == 507);
    CHECK(STATUS(&world, .id = "f-0", .body = BATCH("2", "1,2")) == 200);
    CHECK(STATUS(&world, .id = "f-0", .path = "/v1/models/churn:predict",
                 .body = "{\"instances\":[[1],[2],[3]]}") == 507);
    CHECK(STATUS(&world, .id = "f-0", .body = "[") == 200);
    CHECK(skipped(&world, "fewer rows") == 1 && skipped(&world, "unreadable") == 1);
    CHECK(world_count(&world).eligible == 3 && world_count(&world).changed == 3);
    CHECK(world_verify(&world, &err) == 1);
    REQUIRE_OK(world_revert(&world, &err), err);
    CHECK(STATUS(&world, .id = "f-0", .body = BATCH("3", "1,2,3")) == 200);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
}

static void requests_that_are_no_batches_leave_nothing_to_hit(void)
{
    static const char *const samples[] = {BATCH("1", "1")};
    WORLD(world, err, SCORE);
    world.samples = samples;
    world.sample_count = 1;
    CHECK(INJECT(&world, "batch_processing_failure", &err, "min_rows=2") == -ENODATA);
    CHECK_TEXT(err.message, "min_rows: a request of scripted model has 1 rows, and 2 make a batch");
}

static void a_batch_hangs_until_revert(void)
{
    WORLD_WITH(world, err, SCORE, "batch_processing_failure", "failure_rate=1", "mode=hang");
    char byte;
    CHECK(world_verify(&world, &err) == 1);
    ce_autofd int fd = send_raw(&world);
    REQUIRE(fd >= 0);
    CHECK(!readable_within(fd, 300));
    REQUIRE_OK(world_revert(&world, &err), err);
    REQUIRE(readable_within(fd, 5000));
    CHECK(recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
}

int main(void)
{
    TEST(error_mode_answers_with_the_status);
    TEST(retry_after_is_in_whole_seconds);
    TEST(errors_have_the_shape_of_the_protocol);
    TEST(a_share_of_the_requests_fails);
    TEST(half_of_the_answer_comes);
    TEST(a_quota_lets_so_many_through_in_each_window);
    TEST(a_quota_is_full_again_in_the_next_window);
    TEST(only_the_first_requests_fail);
    TEST(the_first_without_an_id_are_those_that_came_first);
    TEST(hanging_requests_are_never_answered_and_let_go_by_revert);
    TEST(refused_closes_the_listener_and_its_connections);
    TEST(whole_batches_fail);
    TEST(only_batches_fail);
    TEST(requests_that_are_no_batches_leave_nothing_to_hit);
    TEST(a_batch_hangs_until_revert);
    return test_done();
}
