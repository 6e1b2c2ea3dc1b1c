/* SPDX-License-Identifier: MIT */
/* The fault prediction_corruption: which predictions it falsifies, and how. */
#include "answer_world.h"

/* The numbers of an answer in JSON. */
static size_t read_outputs(const char *body, double *values, size_t max)
{
    struct sent sent = sent_json(OIP_PATH, "");
    struct got got = {.body = (char *)body, .size = strlen(body)};
    return read_numbers(&sent, &got, values, max);
}

/* A quarter, longer than an edit may be. */
#define TEN_ZEROS "0000000000"
#define LONG      "0.25" TEN_ZEROS TEN_ZEROS TEN_ZEROS TEN_ZEROS TEN_ZEROS TEN_ZEROS TEN_ZEROS

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
        {"bias", "FP64", "[1]", "[0.5]", "[0.75]", NULL},
        {"bias", "FP64", "[1]", "[0.0]", "[0.0]", "no change"},
        {"bias", "FP64", "[1]", "[1.7e308]", "[1.7e308]", "no change"},
        {"flip", "FP64", "[1]", "[null]", "[null]", "no value"},
        {"flip", "FP64", "[1]", "[\"high\"]", "[\"high\"]", "no change"},
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
        {"flip", "FP64", "[1,2]", "[" LONG ",0.75]", "[" LONG ",0.75]", "too long"},
        {"flip", "FP64", "[2,2]", "[" LONG ",0.75,0.4,0.6]", "[" LONG ",0.75,0.6,0.4]", NULL},
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
        {"{\"outputs\":[{\"name\":\"y\"}]}", "no values"},
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
         "unreadable"},
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
    struct ce_recipe recipe = ce_recipe_init(42, "prediction_corruption", "model", NULL);
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

static void all_outputs_of_a_row_share_its_fate(void)
{
    static const char both[] =
        "{\"outputs\":[{\"name\":\"label\",\"datatype\":\"INT64\",\"shape\":[8],"
        "\"data\":[0,1,0,1,0,1,0,1]},{\"name\":\"p\",\"datatype\":\"FP32\",\"shape\":[8,2],"
        "\"data\":[[0.9,0.1],[0.2,0.8],[0.9,0.1],[0.2,0.8],[0.9,0.1],[0.2,0.8],[0.9,0.1],"
        "[0.2,0.8]]}]}";
    struct sent sent = sent_json(OIP_PATH, both);
    int hit = 0;
    WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=0.4", "type=flip");
    for (int i = 0; i < 20; i++) {
        double now[24];
        REQUIRE(falsify_numbers(&world, &sent, fault_request(i).text, now, 24) == 24);
        for (int row = 0; row < 8; row++) {
            bool winner_is_second = now[8 + 2 * row + 1] > now[8 + 2 * row];
            CHECK(winner_is_second == (now[row] == 1));
            hit += now[row] != row % 2;
        }
    }
    CHECK(hit > 40 && hit < 90);
    CHECK(world_count(&world).eligible == 320 && world_count(&world).changed == 2 * (uint64_t)hit);
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

/* ---- the other types, in every form ---- */

/* What becomes of an answer's text when everything in it is hit. */
#define CHECK_MADE(path, before, after, ...)                                                       \
    do {                                                                                           \
        struct sent sent_ = sent_json(path, before);                                               \
        WORLD_WITH(world_, err_, SCORE, "prediction_corruption", "corruption_rate=1",              \
                   __VA_ARGS__);                                                                   \
        ce_autofree char *made_ = falsify_text(&world_, &sent_, "f-0");                            \
        CHECK_TEXT(made_, after);                                                                  \
        CHECK(world_count(&world_).changed == (strcmp(before, after) != 0));                       \
    } while (0)

static void scores_that_are_no_numbers_break_the_reader(void)
{
    CHECK_MADE(OIP_PATH, ANSWER("FP32", "[1,2]", "[[2.5,-1]]"),
               ANSWER("FP32", "[1,2]", "[[NaN,NaN]]"), "type=nan");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [0.5]}", "{\"predictions\": [Infinity]}",
               "type=inf");
    CHECK_MADE(OIP_PATH, ANSWER("INT64", "[1]", "[7]"), ANSWER("INT64", "[1]", "[7]"), "type=nan");
    CHECK_MADE(OIP_PATH, ANSWER("FP64", "[1]", "[null]"), ANSWER("FP64", "[1]", "[NaN]"),
               "type=nan");
}

static void constants_take_the_place_of_predictions(void)
{
    CHECK_MADE(OIP_PATH, ANSWER("FP64", "[1]", "[0.8312]"), ANSWER("FP64", "[1]", "[0.50]"),
               "type=constant", "value=0.50");
    CHECK_MADE(OIP_PATH, ANSWER("INT64", "[1]", "[3]"), ANSWER("INT64", "[1]", "[12]"),
               "type=constant", "value=12");
    CHECK_MADE(OIP_PATH, ANSWER("BYTES", "[1]", "[\"no\"]"), ANSWER("BYTES", "[1]", "[\"yes\"]"),
               "type=constant", "value=yes");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [ [0.2, 0.3, 0.5] ]}",
               "{\"predictions\": [ [0, 1, 0] ]}", "type=constant", "value=1");
    CHECK_MADE(TORCH_PATH, "{\"cat\": 0.75, \"dog\": 0.25}", "{\"cat\": 0, \"dog\": 1}",
               "type=constant", "value=dog");
    CHECK_MADE(OIP_PATH, ANSWER("INT64", "[1]", "[3]"), ANSWER("INT64", "[1]", "[3]"),
               "type=constant", "value=high");
    CHECK_MADE(OIP_PATH, ANSWER("FP64", "[1,2]", "[0.75,0.25]"),
               ANSWER("FP64", "[1,2]", "[0.75,0.25]"), "type=constant", "value=high");
}

static void labels_are_swapped_as_the_matrix_says(void)
{
    CHECK_MADE(OIP_PATH, ANSWER("BYTES", "[2]", "[\"no\",\"maybe\"]"),
               ANSWER("BYTES", "[2]", "[\"yes\",\"maybe\"]"), "type=swap", "matrix=no>yes, yes>no");
    CHECK_MADE(OIP_PATH, ANSWER("INT64", "[1]", "[2]"), ANSWER("INT64", "[1]", "[30]"), "type=swap",
               "matrix=1>2,2>30");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [true]}", "{\"predictions\": [false]}", "type=swap",
               "matrix=true>false");
    CHECK_MADE(TORCH_PATH, "{\"cat\": 0.750, \"dog\": 0.25}", "{\"cat\": 0.25, \"dog\": 0.750}",
               "type=swap", "matrix=cat>dog");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [[0.2, 0.3, 0.5]]}",
               "{\"predictions\": [[0.5, 0.3, 0.2]]}", "type=swap", "matrix=2>0");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [[0.2, 0.3, 0.5]]}",
               "{\"predictions\": [[0.2, 0.3, 0.5]]}", "type=swap", "matrix=0>2");
    CHECK_MADE(OIP_PATH, ANSWER("FP64", "[1]", "[0.7]"), ANSWER("FP64", "[1]", "[0.7]"),
               "type=swap", "matrix=0>1");
}

static void labels_are_swapped_with_their_probabilities(void)
{
    struct sent sent = sent_json(OIP_PATH, ANSWER("BYTES", "[1]", "[\"a\"]"));
    int b = 0, c = 0;
    WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=1", "type=swap",
               "matrix=a>b:0.3, a>c:0.2, c>a:1");
    for (int i = 0; i < 2000; i++) {
        ce_autofree char *text = falsify_text(&world, &sent, fault_request(i).text);
        b += strstr(text, "\"b\"") != NULL;
        c += strstr(text, "\"c\"") != NULL;
    }
    CHECK(b > 530 && b < 670);
    CHECK(c > 340 && c < 460);
    CHECK(world_count(&world).changed == (uint64_t)(b + c));
    CHECK(skipped(&world, "no change") == (uint64_t)(2000 - b - c));
}

static void named_labels_are_all_that_there_are(void)
{
    struct sent sent = sent_json(OIP_PATH, ANSWER("BYTES", "[1]", "[\"a\"]"));
    int b = 0, c = 0;
    WORLD(world, err, SCORE);
    static const char *const list[] = {"a", "b", "c"};
    REQUIRE_OK(injection_arm(&world.injection, &world.target, NULL, "prediction_corruption",
                             (const char *const[]){"corruption_rate=1", "type=flip", NULL}, &err),
               err);
    const struct ce_fault *fault = world.injection.fault;
    REQUIRE_OK(ce_param_set_list(ce_param_find(fault->params, "labels"),
                                 (void *)world.injection.params, list, CE_COUNT(list), &err),
               err);
    REQUIRE_OK(fault->inject(&world.injection, &err), err);
    for (int i = 0; i < 400; i++) {
        ce_autofree char *text = falsify_text(&world, &sent, fault_request(i).text);
        b += strstr(text, "\"b\"") != NULL;
        c += strstr(text, "\"c\"") != NULL;
    }
    CHECK(b + c == 400 && b > 150 && c > 150);
}

static void labels_are_learnt_from_the_first_answers(void)
{
    struct sent a = sent_json(OIP_PATH, ANSWER("BYTES", "[2]", "[\"a\",\"b\"]")),
                late = sent_json(OIP_PATH, ANSWER("BYTES", "[1]", "[\"late\"]"));
    WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=1", "type=flip");
    for (int i = 0; i < 100; i++) {
        ce_autofree char *text = falsify_text(&world, &a, fault_request(i).text);
        CHECK_TEXT(text, ANSWER("BYTES", "[2]", "[\"b\",\"a\"]"));
    }
    for (int i = 100; i < 150; i++) {
        ce_autofree char *other = falsify_text(&world, &late, fault_request(i).text),
                         *text = falsify_text(&world, &a, fault_request(i).text);
        CHECK(strstr(other, "late") == NULL);
        CHECK_TEXT(text, ANSWER("BYTES", "[2]", "[\"b\",\"a\"]"));
    }
}

static void a_wrong_shape_lacks_the_last_row(void)
{
    CHECK_MADE(OIP_PATH, ANSWER("FP64", "[2]", "[0.5, 0.7]"), ANSWER("FP64", "[1]", "[0.5]"),
               "type=shape");
    CHECK_MADE(KSERVE_PATH, "{\"predictions\": [[0.2, 0.8]]}", "{\"predictions\": []}",
               "type=shape");
    static const float raw[] = {0.5F, 0.25F, 0.125F, 1};
    struct sent binary = sent_binary("FP32", "4", raw, sizeof raw),
                grpc = sent_grpc("FP32", 4, 0, 6, raw, sizeof raw);
    WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=1", "type=shape");
    for (int i = 0; i < 2; i++) {
        double numbers[4];
        CHECK(falsify_numbers(&world, i ? &grpc : &binary, "f-0", numbers, 4) == 3);
        CHECK(numbers[0] == 0.5 && numbers[2] == 0.125);
    }
    CHECK(world_count(&world).eligible == 2 && world_count(&world).changed == 2);
}

static void stale_answers_repeat_the_one_before_on_their_path(void)
{
    WORLD_WITH(world, err, SCORE, "prediction_corruption", "corruption_rate=1", "type=stale");
    static const struct {
        const char *id, *path, *before, *after;
    } steps[] = {
        {"f-0", KSERVE_PATH, "{\"predictions\": [0.1, 0.2]}", "{\"predictions\": [0.1, 0.2]}"},
        {"f-1", TORCH_PATH, "[0.9]", "[0.9]"},
        {"f-2", KSERVE_PATH, "{\"predictions\":[0.30,0.2]}", "{\"predictions\":[0.1,0.2]}"},
        {"probe-1", KSERVE_PATH, "{\"predictions\": [7.5, 8]}", "{\"predictions\": [7.5, 8]}"},
        {"f-3", KSERVE_PATH, "{\"predictions\": [0.4, 0.5]}", "{\"predictions\": [0.30, 0.2]}"},
        {"f-4", KSERVE_PATH, "{\"predictions\": [0.6]}", "{\"predictions\": [0.6]}"},
        {"f-5", TORCH_PATH, "[0.8]", "[0.9]"},
        {"f-6", KSERVE_PATH, "{\"predictions\": [0.7]}", "{\"predictions\": [0.6]}"},
        {"probe-2", KSERVE_PATH, "{\"predictions\": [1, 2]}", "{\"predictions\": [7.5, 8]}"},
    };
    for (size_t i = 0; i < CE_COUNT(steps); i++) {
        struct sent sent = sent_json(steps[i].path, steps[i].before);
        ce_autofree char *text = falsify_text(&world, &sent, steps[i].id);
        CHECK_TEXT(text, steps[i].after);
    }
    CHECK(skipped(&world, "no earlier answer") == 3);
    CHECK(skipped(&world, "another number of predictions") == 1);
}

/* ---- proof ---- */

/* An answer that is different for each row; the server says it back. */
static int sample_answer(void *pipeline, uint64_t row, const char **ret_path, char **ret_body,
                         size_t *ret_size, struct ce_error *err)
{
    *ret_path = PATH;
    int n = asprintf(ret_body, ANSWER("FP64", "[2]", "[0.%u, 0.7]"), 10 + (unsigned)row);
    *ret_size = (size_t)n;
    return n < 0 ? ce_fail_memory(err) : 0;
}

static void every_type_is_seen_by_a_second_client(void)
{
    static const char *const types[][2] = {
        {"type=nan", "share=1"},      {"type=inf", "share=1"},    {"type=shape", "share=1"},
        {"type=stale", "share=1"},    {"type=bias", "share=0.5"}, {"type=constant", "value=0.5"},
        {"type=random", "share=0.1"},
    };
    WORLD(world, err, NULL);
    world.target.sample_request = sample_answer;
    for (size_t i = 0; i < CE_COUNT(types); i++) {
        REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, "corruption_rate=0.2", types[i][0],
                          types[i][1]),
                   err);
        CHECK(world_verify(&world, &err) == 1);
        REQUIRE_OK(world_revert(&world, &err), err);
        REQUIRE_OK(world_verify_undo(&world, &err), err);
        world_forget(&world);
    }
    /* There are no labels to swap. */
    REQUIRE_OK(INJECT(&world, "prediction_corruption", &err, "corruption_rate=1", "type=swap",
                      "matrix=a>b"),
               err);
    CHECK(world_verify(&world, &err) == 0);
}

/* ---- parameters ---- */

/* Sets them one after the other and checks the last result. */
static void check_parameters(const char *const *assignments, const char *says)
{
    const struct ce_fault *fault = ce_fault_find("prediction_corruption");
    struct ce_error err = {0};
    ce_autofree void *params = calloc(1, fault->params_size);
    REQUIRE_OK(ce_params_init(fault->params, params, &err), err);
    for (; *assignments; assignments++) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*assignments, "="), *assignments);
        REQUIRE_OK(ce_param_set(ce_param_find(fault->params, name), params,
                                strchr(*assignments, '=') + 1, &err),
                   err);
    }
    CHECK(fault->check(params, &err) == (says ? -EINVAL : 0));
    CHECK_TEXT(err.message, says ? says : "");
    ce_params_done(fault->params, params);
}
#define CHECK_PARAMETERS(says, ...) check_parameters((const char *const[]){__VA_ARGS__, NULL}, says)

static void parameters_go_with_the_type_that_uses_them(void)
{
    CHECK_PARAMETERS("class: only type bias favours a class, and type is random", "class=0");
    CHECK_PARAMETERS(NULL, "class=0", "type=bias");
    CHECK_PARAMETERS("matrix: only type swap reads a matrix, and type is flip", "matrix=a>b",
                     "type=flip");
    CHECK_PARAMETERS("type: swap needs a matrix, which is missing", "type=swap");
    CHECK_PARAMETERS("value: only type constant sets a value, and type is random", "value=1");
    CHECK_PARAMETERS("type: constant needs a value, which is missing", "type=constant");
    CHECK_PARAMETERS(NULL, "type=constant", "value=1");
}

static void matrices_are_checked(void)
{
    static const struct {
        const char *matrix, *says;
    } cases[] = {
        {"matrix=a>b", NULL},
        {"matrix= a > b : 0.25 ,a>c:0.75,b>a:0", NULL},
        {"matrix=ab", "matrix: 'ab' is not of the form LABEL>LABEL:PROBABILITY, as in a>b:0.3"},
        {"matrix=a>b,", "matrix: '' is not of the form LABEL>LABEL:PROBABILITY, as in a>b:0.3"},
        {"matrix=>b", "matrix: '>b' is not of the form LABEL>LABEL:PROBABILITY, as in a>b:0.3"},
        {"matrix=a>:1", "matrix: 'a>:1' is not of the form LABEL>LABEL:PROBABILITY, as in a>b:0.3"},
        {"matrix=a>b:x", "matrix: the probability 'x' of a>b is not a number in 0..1"},
        {"matrix=a>b:1.5", "matrix: the probability '1.5' of a>b is not a number in 0..1"},
        {"matrix=a>b:", "matrix: the probability '' of a>b is not a number in 0..1"},
        {"matrix=a>a", "matrix: a>a changes nothing"},
        {"matrix=a>b:0.1,a>b:0.2", "matrix: a>b is there twice"},
        {"matrix=a>b:0.7,a>c:0.4",
         "matrix: the probabilities of what becomes of a sum to 1.1, more than 1"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        CHECK_PARAMETERS(cases[i].says, "type=swap", cases[i].matrix);
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
    TEST(all_outputs_of_a_row_share_its_fate);
    TEST(corrupted_requests_are_the_same_again);
    TEST(corruption_is_seen_by_a_second_client_and_gone_after_revert);
    TEST(scores_that_are_no_numbers_break_the_reader);
    TEST(constants_take_the_place_of_predictions);
    TEST(labels_are_swapped_as_the_matrix_says);
    TEST(labels_are_swapped_with_their_probabilities);
    TEST(named_labels_are_all_that_there_are);
    TEST(labels_are_learnt_from_the_first_answers);
    TEST(a_wrong_shape_lacks_the_last_row);
    TEST(stale_answers_repeat_the_one_before_on_their_path);
    TEST(every_type_is_seen_by_a_second_client);
    TEST(parameters_go_with_the_type_that_uses_them);
    TEST(matrices_are_checked);
    return test_done();
}
