/* SPDX-License-Identifier: MIT */
/* The fault prediction_corruption: which predictions it falsifies, and how. */
#include <math.h>

#include "model_world.h"
#include "proxy/tensor.h"

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
    char assignment[32];
    snprintf(assignment, sizeof assignment, "type=%s", type);
    WORLD_WITH(world, err, before, "prediction_corruption", "corruption_rate=1", assignment);
    ce_autofree char *body = ask_body(&world, "f-0");
    CHECK_TEXT(body, after);
    struct ce_fault_counts counts = world_count(&world);
    CHECK((counts.changed > 0) == (reason == NULL));
    CHECK(reason == NULL || skipped(&world, reason) > 0);
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
        CE_CLEANUP(world_close) struct world world = {0};
        struct ce_error err = {0};
        REQUIRE_OK(world_start(&world, cases[i].status, cases[i].fields, SCORE, &err), err);
        REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, "corruption_rate=1", "type=flip"),
                   err);
        ce_autofree char *body = ask_body(&world, "f-0"), *other_phase = ask_body(&world, "b-0");
        CHECK_TEXT(body, SCORE);
        CHECK_TEXT(other_phase, SCORE);
        CHECK(skipped(&world, cases[i].reason) == 1);
        CHECK(world_verify(&world, &err) == 0);
    }
}

static void random_scores_belong_to_their_request(void)
{
    WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=1");
    double sum = 0, square = 0, value = -1;
    for (int i = 0; i < 100; i++) {
        struct request_id id = fault_request(i);
        ce_autofree char *body = ask_body(&world, id.text), *again = ask_body(&world, id.text);
        CHECK_TEXT(body, again);
        CHECK(read_outputs(body, &value, 1) == 1 && value >= 0 && value < 1);
        sum += value;
        square += value * value;
    }
    CHECK(fabs(sum / 100 - 0.5) < 0.12);
    CHECK(fabs(square / 100 - 1.0 / 3) < 0.12);
    CHECK(world_count(&world).changed == 200);
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
        WORLD_WITH(world, err, body, "prediction_corruption", "corruption_rate=1", cases[i].type,
                   cases[i].class);
        double p[3] = {0};
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
    }
    WORLD_WITH(world, err, body, "prediction_corruption", "corruption_rate=1", "type=bias",
               "class=3");
    ce_autofree char *same = ask_body(&world, "f-0");
    CHECK_TEXT(same, body);
    CHECK(skipped(&world, "no such class") == 1);
}

static void random_labels_are_among_those_seen(void)
{
    WORLD_WITH(world, err, ANSWER("INT64", "[1]", "[7]"), "prediction_corruption",
               "corruption_rate=1");
    int seen[3] = {0};
    for (int i = 0; i < 120; i++) {
        double value = -1;
        ce_autofree char *body = ask_body(&world, fault_request(i).text);
        CHECK(read_outputs(body, &value, 1) == 1 && (value == 0 || value == 1 || value == 7));
        seen[value == 0 ? 0 : value == 1 ? 1 : 2]++;
    }
    CHECK(seen[0] > 20 && seen[1] > 20 && seen[2] > 20);
    CHECK(world_count(&world).changed == (uint64_t)(seen[0] + seen[1]));
    CHECK(skipped(&world, "no change") == (uint64_t)seen[2]);
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
    double full[BATCH], half[BATCH];
    ce_autofree char *answer = batch_answer();
    struct ce_recipe recipe = ce_recipe_init(42, "prediction_corruption", "model");
    WORLD_WITH(world, err, answer, "prediction_corruption", "corruption_rate=0.3", "type=flip");
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
}

static void corrupted_requests_are_the_same_again(void)
{
    uint64_t masks[2] = {0, 0};
    for (int backwards = 0; backwards < 2; backwards++) {
        WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=0.3");
        for (int k = 0; k < 60; k++) {
            int i = backwards ? 59 - k : k;
            ce_autofree char *body = ask_body(&world, fault_request(i).text);
            masks[backwards] |= (uint64_t)(strcmp(body, SCORE) != 0) << i;
        }
        CHECK(world_count(&world).eligible == 60);
        CHECK(world_count(&world).changed == (uint64_t)__builtin_popcountll(masks[backwards]));
    }
    CHECK(masks[0] == masks[1]);
    CHECK(__builtin_popcountll(masks[0]) > 7 && __builtin_popcountll(masks[0]) < 30);
}

static void corruption_is_seen_by_a_second_client_and_gone_after_revert(void)
{
    WORLD(world, err, SCORE);
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
    TEST(predictions_are_falsified_and_nothing_else);
    TEST(answers_without_predictions_pass);
    TEST(answers_that_cannot_be_read_pass_and_are_counted);
    TEST(random_scores_belong_to_their_request);
    TEST(distributions_stay_distributions);
    TEST(random_labels_are_among_those_seen);
    TEST(each_row_of_a_batch_is_chosen_by_itself);
    TEST(corrupted_requests_are_the_same_again);
    TEST(corruption_is_seen_by_a_second_client_and_gone_after_revert);
    TEST(a_class_needs_the_type_that_uses_it);
    return test_done();
}
