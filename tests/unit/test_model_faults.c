/* SPDX-License-Identifier: MIT */
/* The faults slow_inference and model_unavailable, and what all faults on predictions have in
 * common. The third of them is in test_prediction_corruption.c. */
#include <math.h>

#include "model_world.h"

/* ---- who is hit ---- */

static void hits_are_nested_over_rates_and_independent_of_values(void)
{
    struct ce_recipe recipe = ce_recipe_init(7, "slow_inference", "model"),
                     other = ce_recipe_init(8, "slow_inference", "model");
    int few = 0, many = 0, differ = 0;
    double sum = 0;
    for (int i = 0; i < 20000; i++) {
        struct request_id request = fault_request(i);
        const char *id = request.text;
        uint64_t words[2];
        bool at_low = ce_recipe_hits(&recipe, id, 0, 0.1),
             at_high = ce_recipe_hits(&recipe, id, 0, 0.4);
        CHECK(!at_low || at_high);
        CHECK(!ce_recipe_hits(&recipe, id, 0, 0) && ce_recipe_hits(&recipe, id, 0, 1));
        few += at_low;
        many += at_high;
        differ += at_high != ce_recipe_hits(&other, id, 0, 0.4);
        ce_recipe_random(&recipe, id, 0, 0, words);
        sum += at_low ? ce_uniform_from(words[0]) : 0;
    }
    CHECK(few > 1850 && few < 2150);
    CHECK(many > 7700 && many < 8300);
    CHECK(differ > 9000);
    CHECK(fabs(sum / few - 0.5) < 0.03);
}

static void only_the_fault_phase_counts(void)
{
    static const struct {
        const char *id;
        bool is_probe, counts;
    } cases[] = {
        {"f-17", false, true},     {"f-17.2", false, true}, {"#5", false, true},
        {"3f2a-b-1", false, true}, {"", false, true},       {"b-1", false, false},
        {"r-2.1", false, false},   {"v-30", false, false},  {"probe-1", true, false},
        {"b", false, true},        {"b-", false, true},     {"v-alue", false, true},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_exchange exchange = {.id = cases[i].id, .is_probe = cases[i].is_probe};
        CHECK(ce_traffic_counted(&exchange) == cases[i].counts);
    }
}

/* ---- slow_inference ---- */

static void slow_inference_holds_each_prediction_back(void)
{
    WORLD_WITH(world, err, SCORE, "slow_inference", "latency_ms=60", "variance=0.25");
    int64_t shortest = INT64_MAX, longest = 0;
    for (int i = 0; i < 12; i++) {
        int64_t took = ask_time(&world, fault_request(i).text);
        CHECK(took >= 45 * CE_MILLISECOND && took < 2 * CE_SECOND);
        shortest = took < shortest ? took : shortest;
        longest = took > longest ? took : longest;
    }
    CHECK(longest - shortest > 5 * CE_MILLISECOND);
    CHECK(shortest < 75 * CE_MILLISECOND);
    CHECK(world_verify(&world, &err) == 1);
    struct ce_fault_counts counts = world_count(&world);
    CHECK(counts.eligible == 12 && counts.selected == 12 && counts.changed == 12);

    REQUIRE_OK(world_revert(&world, &err), err);
    CHECK(least_time(&world, "f-0") < 45 * CE_MILLISECOND);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
    counts = world_count(&world);
    CHECK(counts.eligible == 12);
}

static void slow_inference_delays_are_those_of_the_recipe(void)
{
    /* Delays of two requests differ as their draws do, whatever the order of arrival. */
    WORLD_WITH(world, err, SCORE, "slow_inference", "latency_ms=40", "variance=1");
    static const char *const ids[] = {"f-1", "f-2", "f-3", "f-4"};
    struct ce_recipe recipe = ce_recipe_init(42, "slow_inference", "model");
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < CE_COUNT(ids); i++) {
            const char *id = ids[pass ? CE_COUNT(ids) - 1 - i : i];
            uint64_t words[2];
            ce_recipe_random(&recipe, id, 0, 0, words);
            int64_t asked = (int64_t)(80.0 * ce_uniform_from(words[0]) * CE_MILLISECOND);
            int64_t took = least_time(&world, id);
            CHECK(took >= asked && took < asked + 25 * CE_MILLISECOND);
        }
}

/* Which of f-0 ... f-(n-1) take longer than `limit`, twice, as a bit mask; asked in that order or
 * backwards. */
static uint64_t slow_ones(const struct world *world, int n, bool backwards, int64_t limit)
{
    uint64_t mask = 0;
    for (int k = 0; k < n; k++) {
        int i = backwards ? n - 1 - k : k;
        struct request_id id = fault_request(i);
        if (ask_time(world, id.text) > limit && ask_time(world, id.text) > limit)
            mask |= UINT64_C(1) << i;
    }
    return mask;
}

static void slow_inference_hits_the_same_requests_again(void)
{
    uint64_t want = 0;
    struct ce_recipe recipe = ce_recipe_init(42, "slow_inference", "model");
    for (int i = 0; i < 20; i++)
        if (ce_recipe_hits(&recipe, fault_request(i).text, 0, 0.4))
            want |= UINT64_C(1) << i;
    CHECK(__builtin_popcountll(want) > 2 && __builtin_popcountll(want) < 16);
    for (int backwards = 0; backwards < 2; backwards++) {
        WORLD_WITH(world, err, SCORE, "slow_inference", "latency_ms=150", "variance=0",
                   "share=0.4");
        CHECK(slow_ones(&world, 20, backwards, 149 * CE_MILLISECOND) == want);
        CHECK(world_count(&world).selected == 2 * (uint64_t)__builtin_popcountll(want));
        CHECK(world_verify(&world, &err) == 1);
    }
}

static void slow_inference_obeys_intensity(void)
{
    WORLD_WITH(world, err, SCORE, "slow_inference", "latency_ms=200", "variance=0");
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0.5, &err), err);
    int64_t half = least_time(&world, "f-0");
    CHECK(half >= 100 * CE_MILLISECOND && half < 200 * CE_MILLISECOND);
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0, &err), err);
    CHECK(least_time(&world, "f-0") < 100 * CE_MILLISECOND);
    CHECK(skipped(&world, "no change") == 5);
}

static void slow_inference_leaves_everything_else_alone(void)
{
    WORLD_WITH(world, err, SCORE, "slow_inference", "latency_ms=300");
    struct ce_http_answer answer;
    int64_t least = INT64_MAX;
    for (int i = 0; i < 3; i++) {
        CHECK(ask(&world, "GET", "f-1", &answer) == 0);
        least = answer.total_ns < least ? answer.total_ns : least;
        ce_http_answer_done(&answer);
    }
    CHECK(least < 240 * CE_MILLISECOND);
    CHECK(world_count(&world).eligible == 0);
    /* Hit, but not counted. */
    CHECK(ask_time(&world, "b-1") >= 240 * CE_MILLISECOND &&
          ask_time(&world, "probe-1") >= 240 * CE_MILLISECOND);
    CHECK(world_count(&world).eligible == 0 && world_count(&world).changed == 0);
    CHECK(ask_time(&world, NULL) >= 240 * CE_MILLISECOND);
    CHECK(world_count(&world).eligible == 1 && world_count(&world).changed == 1);
}

static void a_delay_longer_than_the_run_is_verified_in_time(void)
{
    WORLD_WITH(world, err, SCORE, "slow_inference", "latency_ms=600000");
    int64_t started = ce_now();
    CHECK(world_verify(&world, &err) == 1);
    CHECK(ce_now() - started < 10 * CE_SECOND);
    REQUIRE_OK(world_revert(&world, &err), err);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
}

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
    CHECK(strstr(answer, "\r\n\r\n{\"error\":\"the model is unavailable\"}") != NULL);
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
    struct ce_recipe recipe = ce_recipe_init(42, "model_unavailable", "model");
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

/* ---- all of them ---- */

#ifdef CE_SEAMS
static void check_no_effect(const char *fault, const char *parameter)
{
    WORLD_WITH(world, err, SCORE, fault, parameter);
    CHECK(world_verify(&world, &err) == 0);
    CHECK(world_count(&world).changed == 0);
}
#endif

static void a_rule_without_effect_is_found_out(void)
{
#ifdef CE_SEAMS
    static const struct {
        const char *fault, *parameter;
    } cases[] = {
        {"slow_inference", "latency_ms=50"}, {"prediction_corruption", "corruption_rate=1"},
        {"model_unavailable", "mode=error"}, {"model_unavailable", "mode=reset"},
        {"model_unavailable", "mode=hang"},  {"model_unavailable", "mode=refused"},
    };
    setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        check_no_effect(cases[i].fault, cases[i].parameter);
    unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
#else
    SKIP("this build has no seams");
#endif
}

static void parameters_without_effect_are_controls(void)
{
    static const struct {
        const char *fault, *parameter;
        bool control;
    } cases[] = {
        {"slow_inference", "latency_ms=0", true},
        {"slow_inference", "share=0", true},
        {"slow_inference", "latency_ms=1", false},
        {"prediction_corruption", "corruption_rate=0", true},
        {"prediction_corruption", "type=bias", false},
        {"model_unavailable", "failure_rate=0", true},
        {"model_unavailable", "mode=hang", false},
        {"model_unavailable", "failure_rate=0.01", false},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        WORLD_WITH(world, err, SCORE, cases[i].fault, cases[i].parameter);
        CHECK(world.injection.fault->is_control(world.injection.params) == cases[i].control);
        if (cases[i].control) {
            ce_autofree char *body = ask_body(&world, "f-0");
            CHECK_TEXT(body, SCORE);
            CHECK(world_count(&world).changed == 0);
            REQUIRE_OK(world_revert(&world, &err), err);
            REQUIRE_OK(world_verify_undo(&world, &err), err);
        }
    }
}

static void a_model_that_does_not_answer_cannot_be_verified(void)
{
    WORLD_WITH(world, err, SCORE, "model_unavailable", "mode=reset");
    (void)shutdown(world.server.fd, SHUT_RDWR);
    struct ce_evidence evidence;
    CHECK(world.injection.fault->verify(&world.injection, &evidence, &err) == -ECONNREFUSED);
    CHECK(strstr(err.message, "scripted model") != NULL);
}

int main(void)
{
    TEST(hits_are_nested_over_rates_and_independent_of_values);
    TEST(only_the_fault_phase_counts);
    TEST(slow_inference_holds_each_prediction_back);
    TEST(slow_inference_delays_are_those_of_the_recipe);
    TEST(slow_inference_hits_the_same_requests_again);
    TEST(slow_inference_obeys_intensity);
    TEST(slow_inference_leaves_everything_else_alone);
    TEST(a_delay_longer_than_the_run_is_verified_in_time);
    TEST(error_mode_answers_with_the_status);
    TEST(a_share_of_the_requests_fails);
    TEST(hanging_requests_are_never_answered_and_let_go_by_revert);
    TEST(refused_closes_the_listener_and_its_connections);
    TEST(a_rule_without_effect_is_found_out);
    TEST(parameters_without_effect_are_controls);
    TEST(a_model_that_does_not_answer_cannot_be_verified);
    return test_done();
}
