/* SPDX-License-Identifier: MIT */
/* The faults on predictions. */
#include <math.h>

#include "model_world.h"
#include "proxy/tensor.h"

#define SCORE                                                                                      \
    "{\"id\":\"a\",\"outputs\":[{\"name\":\"probability\",\"shape\":[1],\"datatype\":\"FP64\","    \
    "\"data\":[0.8312]}],\"z\":[0.8312]}"

/* ---- who is hit ---- */

static void hits_are_nested_over_rates_and_independent_of_values(void)
{
    struct ce_recipe recipe = ce_recipe_init(7, "slow_inference", "model"),
                     other = ce_recipe_init(8, "slow_inference", "model");
    int few = 0, many = 0, differ = 0;
    double sum = 0;
    for (int i = 0; i < 20000; i++) {
        char id[32];
        uint64_t words[2];
        snprintf(id, sizeof id, "f-%d", i);
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
    struct world world;
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    REQUIRE_OK(INJECT(&world, "slow_inference", &err, "latency_ms=60", "variance=0.25"), err);
    int64_t shortest = INT64_MAX, longest = 0;
    for (int i = 0; i < 12; i++) {
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        int64_t took = ask_time(&world, id);
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
    world_close(&world);
}

static void slow_inference_delays_are_those_of_the_recipe(void)
{
    /* Delays of two requests differ as their draws do, whatever the order of arrival. */
    struct world world;
    struct ce_error err = {0};
    static const char *const ids[] = {"f-1", "f-2", "f-3", "f-4"};
    struct ce_recipe recipe = ce_recipe_init(42, "slow_inference", "model");
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    REQUIRE_OK(INJECT(&world, "slow_inference", &err, "latency_ms=40", "variance=1"), err);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < CE_COUNT(ids); i++) {
            const char *id = ids[pass ? CE_COUNT(ids) - 1 - i : i];
            uint64_t words[2];
            ce_recipe_random(&recipe, id, 0, 0, words);
            int64_t asked = (int64_t)(80.0 * ce_uniform_from(words[0]) * CE_MILLISECOND);
            int64_t took = least_time(&world, id);
            CHECK(took >= asked && took < asked + 25 * CE_MILLISECOND);
        }
    world_close(&world);
}

/* Which of f-0 ... f-(n-1) take longer than `limit`, twice, as a bit mask; asked in that order or
 * backwards. */
static uint64_t slow_ones(const struct world *world, int n, bool backwards, int64_t limit)
{
    uint64_t mask = 0;
    for (int k = 0; k < n; k++) {
        int i = backwards ? n - 1 - k : k;
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        if (ask_time(world, id) > limit && ask_time(world, id) > limit)
            mask |= UINT64_C(1) << i;
    }
    return mask;
}

static void slow_inference_hits_the_same_requests_again(void)
{
    struct ce_error err = {0};
    uint64_t want = 0;
    struct ce_recipe recipe = ce_recipe_init(42, "slow_inference", "model");
    for (int i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        if (ce_recipe_hits(&recipe, id, 0, 0.4))
            want |= UINT64_C(1) << i;
    }
    CHECK(__builtin_popcountll(want) > 2 && __builtin_popcountll(want) < 16);
    for (int backwards = 0; backwards < 2; backwards++) {
        struct world world;
        REQUIRE_OK(world_open(&world, SCORE, &err), err);
        REQUIRE_OK(
            INJECT(&world, "slow_inference", &err, "latency_ms=150", "variance=0", "share=0.4"),
            err);
        CHECK(slow_ones(&world, 20, backwards, 149 * CE_MILLISECOND) == want);
        CHECK(world_count(&world).selected == 2 * (uint64_t)__builtin_popcountll(want));
        CHECK(world_verify(&world, &err) == 1);
        world_close(&world);
    }
}

static void slow_inference_obeys_intensity(void)
{
    struct world world;
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    REQUIRE_OK(INJECT(&world, "slow_inference", &err, "latency_ms=200", "variance=0"), err);
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0.5, &err), err);
    int64_t half = least_time(&world, "f-0");
    CHECK(half >= 100 * CE_MILLISECOND && half < 200 * CE_MILLISECOND);
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0, &err), err);
    CHECK(least_time(&world, "f-0") < 100 * CE_MILLISECOND);
    CHECK(skipped(&world, "no change") == 5);
    world_close(&world);
}

static void slow_inference_leaves_everything_else_alone(void)
{
    struct world world;
    struct ce_error err = {0};
    struct ce_http_answer answer;
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    REQUIRE_OK(INJECT(&world, "slow_inference", &err, "latency_ms=300"), err);
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
    world_close(&world);
}

static void a_delay_longer_than_the_run_is_verified_in_time(void)
{
    struct world world;
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    REQUIRE_OK(INJECT(&world, "slow_inference", &err, "latency_ms=600000"), err);
    int64_t started = ce_now();
    CHECK(world_verify(&world, &err) == 1);
    CHECK(ce_now() - started < 10 * CE_SECOND);
    REQUIRE_OK(world_revert(&world, &err), err);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
    world_close(&world);
}

/* ---- prediction_corruption ---- */

/* The numbers of the answer's first output. */
static size_t read_outputs(const char *body, double *values, size_t max)
{
    struct ce_tensor_values found;
    if (ce_tensor_find(body, strlen(body), "outputs", &found, NULL) < 0)
        return 0;
    size_t n = 0;
    for (; n < found.count && n < max; n++)
        values[n] = strtod(found.values[n].text.data, NULL);
    ce_tensor_values_done(&found);
    return n;
}

#define ANSWER(type, shape, data)                                                                  \
    "{\"outputs\":[{\"name\":\"y\",\"datatype\":\"" type "\",\"shape\":" shape ",\"data\":" data   \
    "}], \"x\": 1.50}"

/* What becomes of an answer when everything in it is hit. `reason`: why it stays as it is, else
 * NULL. */
static void check_answer(const char *type, const char *before, const char *after,
                         const char *reason)
{
    struct world world;
    struct ce_error err = {0};
    char assignment[32];
    snprintf(assignment, sizeof assignment, "type=%s", type);
    REQUIRE_OK(world_open(&world, before, &err), err);
    REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, "corruption_rate=1", assignment), err);
    ce_autofree char *body = ask_body(&world, "f-0");
    CHECK_TEXT(body, after);
    struct ce_fault_counts counts = world_count(&world);
    CHECK((counts.changed > 0) == (reason == NULL));
    CHECK(reason == NULL || skipped(&world, reason) > 0);
    world_close(&world);
}

static void predictions_are_falsified_and_nothing_else(void)
{
    static const struct {
        const char *type, *datatype, *shape, *before, *after, *reason;
    } cases[] = {
        {"flip", "FP64", "[1]", "[0.8312]", "[0.1688]", NULL},
        {"bias", "FP64", "[1]", "[0.8312]", "[1.2468]", NULL},
        {"flip", "FP32", "[2,1]", "[[0.25], [1]]", "[[0.75], [0]]", NULL},
        {"flip", "FP64", "[1]", "[1e-1]", "[0.9]", NULL},
        {"flip", "FP32", "[1]", "[1e-1]", "[0.9]", NULL},
        {"flip", "FP64", "[1]", "[5e-1]", "[5e-1]", "no change"},
        {"bias", "FP64", "[1]", "[0.0]", "[0.0]", "no change"},
        {"bias", "FP64", "[1]", "[1.7e308]", "[1.7e308]", "no change"},
        {"flip", "FP64", "[1]", "[null]", "[null]", "no value"},
        {"flip", "FP64", "[1]", "[\"high\"]", "[\"high\"]", "no value"},
        {"flip", "INT64", "[1]", "[null]", "[null]", "no value"},
        {"flip", "INT64", "[2]", "[0,1]", "[1,0]", NULL},
        {"flip", "BOOL", "[2]", "[true,false]", "[false,true]", NULL},
        {"flip", "BYTES", "[2]", "[\"yes\",\"no\"]", "[\"no\",\"yes\"]", NULL},
        {"flip", "BYTES", "[1]", "[\"yes\"]", "[\"yes\"]", "no change"},
        {"bias", "INT64", "[1]", "[1]", "[1]", "label"},
        {"flip", "FP64", "[1,2]", "[0.250,0.75]", "[0.75,0.250]", NULL},
        {"flip", "FP64", "[1,2]", "[0.75,0.250]", "[0.250,0.75]", NULL},
        {"flip", "FP64", "[1,2]", "[2.5,-1.5]", "[-1.5,2.5]",
         NULL}, /* two scores, no distribution */
        {"bias", "FP32", "[1,2]", "[0.5,0.5]", "[0.4,0.6]", NULL},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        static const char format[] = ANSWER("%s", "%s", "%s");
        char before[256], after[256];
        snprintf(before, sizeof before, format, cases[i].datatype, cases[i].shape, cases[i].before);
        snprintf(after, sizeof after, format, cases[i].datatype, cases[i].shape, cases[i].after);
        check_answer(cases[i].type, before, after, cases[i].reason);
    }
}

static void answers_without_predictions_pass(void)
{
    static const struct {
        const char *body, *reason;
    } cases[] = {
        {"{\"outputs\":[]}", "unreadable"},
        {"{\"outputs\":[{\"name\":\"y\"}]}", "binary"},
        {"{\"error\":\"busy\"}", "unreadable"},
        {"oops", "unreadable"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        check_answer("flip", cases[i].body, cases[i].body, cases[i].reason);
}

static void answers_that_cannot_be_read_pass_and_are_counted(void)
{
    static const struct {
        const char *status, *fields, *reason;
    } cases[] = {
        {"500 Internal Server Error", "Content-Type: application/json\r\n", "error answer"},
        {"200 OK", "Content-Type: application/json\r\nContent-Encoding: br\r\n", "encoded"},
        {"200 OK",
         "Content-Type: application/octet-stream\r\nInference-Header-Content-Length: 20\r\n",
         "binary"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct world world;
        struct ce_error err = {0};
        REQUIRE_OK(world_start(&world, cases[i].status, cases[i].fields, SCORE, &err), err);
        REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, "corruption_rate=1", "type=flip"),
                   err);
        ce_autofree char *body = ask_body(&world, "f-0"), *other_phase = ask_body(&world, "b-0");
        CHECK_TEXT(body, SCORE);
        CHECK_TEXT(other_phase, SCORE);
        CHECK(skipped(&world, cases[i].reason) == 1);
        CHECK(world_verify(&world, &err) == 0);
        world_close(&world);
    }
}

static void random_scores_belong_to_their_request(void)
{
    struct world world;
    struct ce_error err = {0};
    double sum = 0, square = 0, value = -1;
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, "corruption_rate=1"), err);
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        ce_autofree char *body = ask_body(&world, id), *again = ask_body(&world, id);
        CHECK_TEXT(body, again);
        CHECK(read_outputs(body, &value, 1) == 1 && value >= 0 && value < 1);
        sum += value;
        square += value * value;
    }
    CHECK(fabs(sum / 100 - 0.5) < 0.12);
    CHECK(fabs(square / 100 - 1.0 / 3) < 0.12);
    CHECK(world_count(&world).changed == 200);
    world_close(&world);
}

static void distributions_stay_distributions(void)
{
    static const char body[] = ANSWER("FP64", "[1,3]", "[[0.2,0.3,0.5]]");
    static const struct {
        const char *type, *class;
    } cases[] = {{"type=random", "class=-1"},
                 {"type=bias", "class=-1"},
                 {"type=bias", "class=0"},
                 {"type=flip", "class=-1"}};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct world world;
        struct ce_error err = {0};
        double p[3] = {0};
        REQUIRE_OK(world_open(&world, body, &err), err);
        REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, "corruption_rate=1", cases[i].type,
                          cases[i].class),
                   err);
        ce_autofree char *changed = ask_body(&world, "f-0");
        CHECK(read_outputs(changed, p, 3) == 3);
        CHECK(fabs(p[0] + p[1] + p[2] - 1) < 1e-9);
        CHECK(p[0] >= 0 && p[1] >= 0 && p[2] >= 0);
        CHECK(world_count(&world).eligible == 1 && world_count(&world).changed == 1);
        if (i == 0)
            CHECK(fabs(p[2] - 0.5) > 1e-6);
        if (i == 1)
            CHECK(fabs(p[2] - 0.6) < 1e-12 && fabs(p[0] - 0.16) < 1e-12);
        if (i == 2)
            CHECK(fabs(p[0] - 0.3 / 1.1) < 1e-12 && fabs(p[2] - 0.5 / 1.1) < 1e-12);
        if (i == 3)
            CHECK(p[2] < 0.5 && (p[0] == 0.5 || p[1] == 0.5));
        world_close(&world);
    }
    struct world world;
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, body, &err), err);
    REQUIRE_OK(
        INJECT(&world, "prediction_corruption", &err, "corruption_rate=1", "type=bias", "class=3"),
        err);
    ce_autofree char *same = ask_body(&world, "f-0");
    CHECK_TEXT(same, body);
    CHECK(skipped(&world, "no such class") == 1);
    world_close(&world);
}

static void random_labels_are_among_those_seen(void)
{
    struct world world;
    struct ce_error err = {0};
    int seen[3] = {0};
    REQUIRE_OK(world_open(&world, ANSWER("INT64", "[1]", "[7]"), &err), err);
    REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, "corruption_rate=1"), err);
    for (int i = 0; i < 120; i++) {
        char id[16];
        double value = -1;
        snprintf(id, sizeof id, "f-%d", i);
        ce_autofree char *body = ask_body(&world, id);
        CHECK(read_outputs(body, &value, 1) == 1 && (value == 0 || value == 1 || value == 7));
        seen[value == 0 ? 0 : value == 1 ? 1 : 2]++;
    }
    CHECK(seen[0] > 20 && seen[1] > 20 && seen[2] > 20);
    CHECK(world_count(&world).changed == (uint64_t)(seen[0] + seen[1]));
    CHECK(skipped(&world, "no change") == (uint64_t)seen[2]);
    world_close(&world);
}

enum { BATCH = 400 };

/* {"outputs":[{"name":"y","datatype":"FP64","shape":[400,1],"data":[[0.25],...]}]} */
static char *batch_answer(void)
{
    char *text = malloc(BATCH * 8 + 128), *at = text;
    at += sprintf(at,
                  "{\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP64\",\"shape\":[%d,1],\"data\":[",
                  BATCH);
    for (int i = 0; i < BATCH; i++)
        at += sprintf(at, "%s[0.25]", i ? "," : "");
    sprintf(at, "]}]}");
    return text;
}

static void each_row_of_a_batch_is_chosen_by_itself(void)
{
    struct world world;
    struct ce_error err = {0};
    double full[BATCH], half[BATCH];
    ce_autofree char *answer = batch_answer();
    struct ce_recipe recipe = ce_recipe_init(42, "prediction_corruption", "model");
    REQUIRE_OK(world_open(&world, answer, &err), err);
    REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, "corruption_rate=0.3", "type=flip"),
               err);
    ce_autofree char *body = ask_body(&world, "f-0");
    CHECK(read_outputs(body, full, BATCH) == BATCH);
    struct ce_fault_counts counts = world_count(&world);
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0.5, &err), err);
    ce_autofree char *body_at_half = ask_body(&world, "f-0");
    CHECK(read_outputs(body_at_half, half, BATCH) == BATCH);
    uint64_t hits = 0, half_hits = 0;
    for (int i = 0; i < BATCH; i++) {
        CHECK((full[i] == 0.75) == ce_recipe_hits(&recipe, "f-0", (uint64_t)i, 0.3));
        CHECK((half[i] == 0.75) == ce_recipe_hits(&recipe, "f-0", (uint64_t)i, 0.15));
        CHECK(half[i] != 0.75 || full[i] == 0.75);
        hits += full[i] == 0.75;
        half_hits += half[i] == 0.75;
    }
    CHECK(hits > 84 && hits < 156);
    CHECK(half_hits > 32 && half_hits < 88);
    CHECK(counts.eligible == BATCH && counts.selected == hits && counts.changed == hits);
    CHECK(world_count(&world).eligible == 2 * BATCH &&
          world_count(&world).changed == hits + half_hits);
    world_close(&world);
}

static void corrupted_requests_are_the_same_again(void)
{
    uint64_t masks[2] = {0, 0};
    for (int backwards = 0; backwards < 2; backwards++) {
        struct world world;
        struct ce_error err = {0};
        REQUIRE_OK(world_open(&world, SCORE, &err), err);
        REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, "corruption_rate=0.3"), err);
        for (int k = 0; k < 60; k++) {
            char id[16];
            int i = backwards ? 59 - k : k;
            snprintf(id, sizeof id, "f-%d", i);
            ce_autofree char *body = ask_body(&world, id);
            masks[backwards] |= (uint64_t)(strcmp(body, SCORE) != 0) << i;
        }
        CHECK(world_count(&world).eligible == 60);
        CHECK(world_count(&world).changed == (uint64_t)__builtin_popcountll(masks[backwards]));
        world_close(&world);
    }
    CHECK(masks[0] == masks[1]);
    CHECK(__builtin_popcountll(masks[0]) > 7 && __builtin_popcountll(masks[0]) < 30);
}

static void corruption_is_seen_by_a_second_client_and_gone_after_revert(void)
{
    struct world world;
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    static const char *const rates[] = {"corruption_rate=1", "corruption_rate=0.01"};
    for (size_t i = 0; i < CE_COUNT(rates); i++) {
        REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, rates[i]), err);
        CHECK(world_verify(&world, &err) == 1);
        CHECK(world_count(&world).eligible == 0);
        CHECK(world_verify_undo(&world, NULL) == -EIO);
        REQUIRE_OK(world_revert(&world, &err), err);
        ce_autofree char *body = ask_body(&world, "f-0");
        CHECK_TEXT(body, SCORE);
        REQUIRE_OK(world_verify_undo(&world, &err), err);
        world_forget(&world);
    }
    world_close(&world);
}

/* ---- model_unavailable ---- */

static void error_mode_answers_with_the_status(void)
{
    struct world world;
    struct ce_error err = {0};
    char answer[1024];
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "status=529"), err);
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
    REQUIRE_OK(world_revert(&world, &err), err);
    CHECK(ask_result(&world, "f-0") == 200);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
    world_close(&world);
}

static void a_share_of_the_requests_fails(void)
{
    static const struct {
        const char *mode;
        int result;
    } cases[] = {{"mode=error", 503}, {"mode=reset", -ECONNRESET}, {"mode=refused", -ECONNRESET}};
    struct ce_recipe recipe = ce_recipe_init(42, "model_unavailable", "model");
    for (size_t c = 0; c < CE_COUNT(cases); c++) {
        struct world world;
        struct ce_error err = {0};
        REQUIRE_OK(world_open(&world, SCORE, &err), err);
        REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "failure_rate=0.4", cases[c].mode),
                   err);
        uint64_t hits = 0;
        for (int i = 59; i >= 0; i--) {
            char id[16];
            snprintf(id, sizeof id, "f-%d", i);
            bool hit = ce_recipe_hits(&recipe, id, 0, 0.4);
            CHECK(ask_result(&world, id) == (hit ? cases[c].result : 200));
            hits += hit;
        }
        CHECK(hits > 10 && hits < 40);
        struct ce_fault_counts counts = world_count(&world);
        CHECK(counts.eligible == 60 && counts.selected == hits && counts.changed == hits);
        CHECK(world_verify(&world, &err) == 1);
        world_close(&world);
    }
}

static void hanging_requests_are_never_answered_and_let_go_by_revert(void)
{
    struct world world;
    struct ce_error err = {0};
    char byte;
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "mode=hang"), err);
    CHECK(world_verify(&world, &err) == 1);
    ce_autofd int fd = send_raw(&world);
    REQUIRE(fd >= 0);
    CHECK(!readable_within(fd, 300));
    REQUIRE_OK(world_revert(&world, &err), err);
    REQUIRE(readable_within(fd, 5000));
    CHECK(recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET);
    CHECK(ask_result(&world, "f-0") == 200);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
    world_close(&world);
}

static void refused_closes_the_listener_and_its_connections(void)
{
    struct world world;
    struct ce_error err = {0};
    char byte;
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
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
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        int r = ask_result(&world, id);
        answered += r == 200;
        reset += r == -ECONNRESET;
    }
    CHECK(answered + reset == 40 && answered > 6 && reset > 6);
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 1, &err), err);
    CHECK(ask_result(&world, "f-0") == -ECONNREFUSED);

    REQUIRE_OK(world_revert(&world, &err), err);
    CHECK(ask_result(&world, "f-0") == 200);
    REQUIRE_OK(world_verify_undo(&world, &err), err);
    world_close(&world);
}

/* ---- all of them ---- */

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
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct world world;
        struct ce_error err = {0};
        if (world_open(&world, SCORE, &err) < 0 ||
            INJECT(&world, cases[i].fault, &err, cases[i].parameter) < 0) {
            printf("# %s\n", err.message);
            check_failures++;
        } else {
            CHECK(world_verify(&world, &err) == 0);
            CHECK(world_count(&world).changed == 0);
        }
        world_close(&world);
    }
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
        struct world world;
        struct ce_error err = {0};
        REQUIRE_OK(world_open(&world, SCORE, &err), err);
        REQUIRE_OK(INJECT(&world, cases[i].fault, &err, cases[i].parameter), err);
        CHECK(world.injection.fault->is_control(world.params) == cases[i].control);
        if (cases[i].control) {
            ce_autofree char *body = ask_body(&world, "f-0");
            CHECK_TEXT(body, SCORE);
            CHECK(world_count(&world).changed == 0);
            REQUIRE_OK(world_revert(&world, &err), err);
            REQUIRE_OK(world_verify_undo(&world, &err), err);
        }
        world_close(&world);
    }
}

static void a_model_that_does_not_answer_cannot_be_verified(void)
{
    struct world world;
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, SCORE, &err), err);
    REQUIRE_OK(INJECT(&world, "model_unavailable", &err, "mode=reset"), err);
    (void)shutdown(world.server.fd, SHUT_RDWR);
    struct ce_evidence evidence;
    CHECK(world.injection.fault->verify(&world.injection, &evidence, &err) == -ECONNREFUSED);
    CHECK(strstr(err.message, "scripted model") != NULL);
    world_close(&world);
}

static void a_class_needs_the_type_that_uses_it(void)
{
    const struct ce_fault *fault = ce_fault_find("prediction_corruption");
    struct ce_error err = {0};
    ce_autofree void *params = calloc(1, fault->params_size);
    REQUIRE_OK(ce_params_init(fault->params, params, &err), err);
    REQUIRE_OK(fault->check(params, &err), err);
    REQUIRE_OK(ce_param_set(ce_param_find(fault->params, "class"), params, "0", &err), err);
    CHECK(fault->check(params, &err) == -EINVAL);
    CHECK_TEXT(err.message, "class: only type bias favours a class, and type is random");
    REQUIRE_OK(ce_param_set(ce_param_find(fault->params, "type"), params, "bias", &err), err);
    REQUIRE_OK(fault->check(params, &err), err);
    ce_params_done(fault->params, params);
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
    TEST(predictions_are_falsified_and_nothing_else);
    TEST(answers_without_predictions_pass);
    TEST(answers_that_cannot_be_read_pass_and_are_counted);
    TEST(random_scores_belong_to_their_request);
    TEST(distributions_stay_distributions);
    TEST(random_labels_are_among_those_seen);
    TEST(each_row_of_a_batch_is_chosen_by_itself);
    TEST(corrupted_requests_are_the_same_again);
    TEST(corruption_is_seen_by_a_second_client_and_gone_after_revert);
    TEST(error_mode_answers_with_the_status);
    TEST(a_share_of_the_requests_fails);
    TEST(hanging_requests_are_never_answered_and_let_go_by_revert);
    TEST(refused_closes_the_listener_and_its_connections);
    TEST(a_rule_without_effect_is_found_out);
    TEST(parameters_without_effect_are_controls);
    TEST(a_model_that_does_not_answer_cannot_be_verified);
    TEST(a_class_needs_the_type_that_uses_it);
    return test_done();
}
