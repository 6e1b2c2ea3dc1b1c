/* SPDX-License-Identifier: MIT */
/* The fault slow_inference, and what all faults on predictions have in common. */
#include <math.h>

#include "model_world.h"

/* ---- who is hit ---- */

static void hits_are_nested_over_rates_and_independent_of_values(void)
{
    struct ce_recipe recipe = ce_recipe_init(7, "slow_inference", "model", NULL),
                     other = ce_recipe_init(8, "slow_inference", "model", NULL);
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
    struct ce_recipe recipe = ce_recipe_init(42, "slow_inference", "model", NULL);
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
    struct ce_recipe recipe = ce_recipe_init(42, "slow_inference", "model", NULL);
    for (int i = 0; i < 20; i++)
        if (ce_recipe_shares(&recipe, fault_request(i).text, 0.4))
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

/* What the recipe adds, by the clients' clock, for f-0 ... f-(n-1). */
static void measure(const struct world *world, int n, double *ret_ms)
{
    for (int i = 0; i < n; i++)
        ret_ms[i] = (double)ask_time(world, fault_request(i).text) / CE_MILLISECOND;
}

static uint64_t random_word(const char *id)
{
    struct ce_recipe recipe = ce_recipe_init(42, "slow_inference", "model", NULL);
    uint64_t words[2];
    ce_recipe_random(&recipe, id, 0, 0, words);
    return words[0];
}

static void delays_follow_the_distribution(void)
{
    enum { N = 16 };
    static const char *const names[] = {"distribution=normal", "distribution=pareto"};
    for (size_t d = 0; d < CE_COUNT(names); d++) {
        WORLD_WITH(world, err, SCORE, "slow_inference", "latency_ms=30", "variance=0.5", "shape=3",
                   names[d]);
        double took[N];
        measure(&world, N, took);
        for (int i = 0; i < N; i++) {
            uint64_t word = random_word(fault_request(i).text);
            double normal = 30 * (1 + 0.5 * ce_normal_from(word)),
                   pareto = 20 / cbrt(((double)(word >> 11) + 1) * 0x1p-53);
            double want = d == 0 ? (normal > 0 ? normal : 0) : pareto;
            CHECK(took[i] >= want - 0.01 && took[i] < want + 40);
        }
        CHECK(world_verify(&world, &err) == 1);
        REQUIRE_OK(world_revert(&world, &err), err);
        REQUIRE_OK(world_verify_undo(&world, &err), err);
    }
}

/* The distributions themselves, without a clock. */
static void deviates_have_their_moments(void)
{
    enum { N = 200000 };
    struct ce_stream stream = ce_stream_init(7, "test", "pareto");
    double sum = 0, least = 1e9;
    int above = 0;
    for (uint64_t i = 0; i < N; i++) {
        uint64_t words[2];
        ce_stream_draw(&stream, i, words);
        double x = ce_pareto_from(words[0], 3);
        sum += x;
        above += x > 2;
        least = x < least ? x : least;
    }
    CHECK(least >= 1 && least < 1.001);
    CHECK(fabs(sum / N - 1.5) < 0.01);
    CHECK(fabs((double)above / N - 0.125) < 0.004);
}

struct delay_file {
    char folder[32], path[64], parameter[80];
};

static void delay_file_write(struct delay_file *file, const char *text)
{
    strcpy(file->folder, "/tmp/ce-delays-XXXXXX");
    if (!mkdtemp(file->folder))
        exit(99);
    snprintf(file->path, sizeof file->path, "%s/delays", file->folder);
    snprintf(file->parameter, sizeof file->parameter, "file=%s", file->path);
    ce_autofile FILE *out = fopen(file->path, "w");
    if (!out || fputs(text, out) < 0)
        exit(99);
}

static void delay_file_remove(struct delay_file *file)
{
    (void)unlink(file->path);
    (void)rmdir(file->folder);
}

static void recorded_delays_are_drawn_from_the_file(void)
{
    CE_CLEANUP(delay_file_remove) struct delay_file file;
    delay_file_write(&file, "0\n20.5\r\n\n90\n2e1");
    WORLD_WITH(world, err, SCORE, "slow_inference", "distribution=recorded", file.parameter);
    static const double delays[] = {0, 20.5, 90, 20};
    bool drawn[CE_COUNT(delays)] = {false};
    for (int i = 0; i < 24; i++) {
        struct request_id id = fault_request(i);
        size_t which = (random_word(id.text) >> 32) * CE_COUNT(delays) >> 32;
        double took = (double)ask_time(&world, id.text) / CE_MILLISECOND;
        CHECK(took >= delays[which] - 0.01 && took < delays[which] + 40);
        drawn[which] = true;
    }
    CHECK(drawn[0] && drawn[1] && drawn[2] && drawn[3]);
    CHECK(skipped(&world, "no change") > 0);
    CHECK(world_verify(&world, &err) == 1);
    REQUIRE_OK(world_revert(&world, &err), err);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
}

static void a_bad_line_of_delays_is_refused_with_its_place(void)
{
    static const struct {
        const char *text, *place, *says;
    } cases[] = {
        {"5\n\n12ms\n", ":3", "'12ms' is no delay: a number of ms in 0..600000"},
        {"-1\n", ":1", "'-1' is no delay: a number of ms in 0..600000"},
        {"1\n600001", ":2", "'600001' is no delay: a number of ms in 0..600000"},
        {"0\n\n0\n", "", "holds no delay above 0"},
        {"", "", "holds no delay above 0"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(delay_file_remove) struct delay_file file;
        char where[96] = "";
        delay_file_write(&file, cases[i].text);
        WORLD(world, err, SCORE);
        CHECK(INJECT(&world, "slow_inference", &err, "distribution=recorded", file.parameter) ==
              -EINVAL);
        if (cases[i].place[0])
            snprintf(where, sizeof where, "%s%s", file.path, cases[i].place);
        CHECK_TEXT(err.where, where);
        CHECK(strstr(err.message, cases[i].says) != NULL);
        REQUIRE_OK(world_revert(&world, &err), err);
    }
    WORLD(world, err, SCORE);
    CHECK(INJECT(&world, "slow_inference", &err, "distribution=recorded", "file=/no/such/file") ==
          -ENOENT);
}

static void parameters_that_do_not_go_together_are_refused(void)
{
    static const struct {
        const char *fault, *assignment, *says;
    } cases[] = {
        {"slow_inference", "file=x",
         "file: only distribution recorded reads one, and distribution is uniform"},
        {"slow_inference", "distribution=recorded",
         "distribution: recorded needs `file`, which has a delay in ms on each line"},
        {"slow_inference", "where=age >", "where: "},
        {"model_unavailable", "path=(", "path: "},
        {"batch_processing_failure", "model=/", "model: "},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        WORLD(world, err, SCORE);
        REQUIRE_OK(injection_arm(&world.injection, &world.target, NULL, cases[i].fault,
                                 (const char *const[]){cases[i].assignment, NULL}, &err),
                   err);
        CHECK(world.injection.fault->check(world.injection.params, &err) == -EINVAL);
        CHECK(strncmp(err.message, cases[i].says, strlen(cases[i].says)) == 0);
    }
}

static void a_body_dribbles(void)
{
    WORLD_WITH(world, err, SCORE, "slow_inference", "latency_ms=0", "body_ms=120");
    struct ce_http_answer answer;
    REQUIRE(ask(&world, "POST", "f-0", &answer) == 0);
    CHECK_TEXT(answer.body, SCORE);
    CHECK(answer.first_byte_ns < 100 * CE_MILLISECOND);
    CHECK(answer.total_ns >= 119 * CE_MILLISECOND);
    ce_http_answer_done(&answer);
    CHECK(world_count(&world).changed == 1);
    CHECK(world_verify(&world, &err) == 1);
    REQUIRE_OK(world_revert(&world, &err), err);
    CHECK(least_time(&world, "f-0") < 100 * CE_MILLISECOND);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
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
        {"model_unavailable", "mode=quota"}, {"model_unavailable", "mode=partial"},
        {"slow_inference", "body_ms=50"},    {"batch_processing_failure", "failure_rate=1"},
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
        {"model_unavailable", "share=0", true},
        {"batch_processing_failure", "failure_rate=0", true},
        {"batch_processing_failure", "share=0", true},
        {"batch_processing_failure", "failure_rate=0.1", false},
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
    TEST(slow_inference_holds_each_prediction_back);
    TEST(slow_inference_delays_are_those_of_the_recipe);
    TEST(slow_inference_hits_the_same_requests_again);
    TEST(slow_inference_obeys_intensity);
    TEST(slow_inference_leaves_everything_else_alone);
    TEST(a_delay_longer_than_the_run_is_verified_in_time);
    TEST(delays_follow_the_distribution);
    TEST(deviates_have_their_moments);
    TEST(recorded_delays_are_drawn_from_the_file);
    TEST(a_bad_line_of_delays_is_refused_with_its_place);
    TEST(parameters_that_do_not_go_together_are_refused);
    TEST(a_body_dribbles);
    TEST(a_rule_without_effect_is_found_out);
    TEST(parameters_without_effect_are_controls);
    TEST(a_model_that_does_not_answer_cannot_be_verified);
    return test_done();
}
