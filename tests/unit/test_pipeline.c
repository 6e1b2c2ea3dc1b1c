/* SPDX-License-Identifier: MIT */
/* What the embedded pipeline does: it learns, serves, answers for a server that does not, and
 * learns again. Crashes, and what is left behind, are in test_pipeline_failures.c. */
#include <stdatomic.h>

#include "base/hash.h"
#include "pipeline_world.h"

/* The probability that an answer gives; -1: none. */
static double probability_in(const struct ce_operations *operations, const char *text, size_t size,
                             struct ce_prediction *ret_prediction)
{
    struct ce_reply reply = {.content_type = "", .body = text, .size = size};
    if (operations->read_prediction(operations->ctx, &reply, ret_prediction) < 0)
        return -1;
    return ret_prediction->number;
}

static double measured_accuracy(const struct world *world)
{
    const struct ce_operations *operations = ce_pipeline_operations(world->pipeline);
    size_t right = 0;
    for (size_t i = 0; i < operations->count; i++) {
        ce_autofree char *text = NULL;
        struct ce_prediction prediction;
        if (operate(world, i, "b-0", &text) != 200 ||
            probability_in(operations, text, strlen(text), &prediction) < 0)
            return -1;
        right += operations->is_right(operations->ctx, &prediction, &operations->items[i]);
    }
    return (double)right / (double)operations->count;
}

/* ---- training and serving ---- */

/* The pipeline has learnt from the dataset as it now is; `ret_hex` gets the file's checksum. */
static void check_learnt(const struct world *world, char ret_hex[CE_SHA256_HEX])
{
    struct ce_error err = {0};
    char file[CE_SHA256_HEX];
    ret_hex[0] = '\0';
    REQUIRE_OK(ce_pipeline_acts(world->pipeline)->trained_on(world->pipeline, ret_hex, &err), err);
    REQUIRE_OK(ce_sha256_file(ce_pipeline_dataset(world->pipeline), file, &err), err);
    CHECK_TEXT(ret_hex, file);
}

static void check_serving(enum ce_profile_kind profile)
{
    int64_t started = ce_now();
    WORLD(world, err, profile);
    printf("# %s: served after %.0f ms; %s\n", ce_profile_kind_name(profile),
           (double)(ce_now() - started) / 1e6, ce_pipeline_isolation(world.pipeline));

    const struct ce_operations *operations = ce_pipeline_operations(world.pipeline);
    size_t positives = 0;
    for (size_t i = 0; i < operations->count; i++)
        positives += operations->items[i].label != 0;
    double share = (double)positives / (double)operations->count,
           accuracy = measured_accuracy(&world);
    printf("# accuracy %.3f on %zu customers, %.3f of whom leave\n", accuracy, operations->count,
           share);
    CHECK(share > 0.32 && share < 0.48);
    CHECK(accuracy > 0.84 && accuracy < 0.93);

    char hex[CE_SHA256_HEX];
    check_learnt(&world, hex);
    CHECK(ce_undo_live(world.journal) == 1);
}

static void the_naive_pipeline_learns_and_serves(void)
{
    check_serving(CE_PROFILE_NAIVE);
}

static void the_hardened_pipeline_learns_and_serves(void)
{
    check_serving(CE_PROFILE_HARDENED);
}

static void the_same_seed_gives_the_same_predictions(void)
{
    enum { SAMPLES = 40 };
    char *answers[2][SAMPLES] = {{NULL}};
    for (int round = 0; round < 2; round++) {
        WORLD(world, err, CE_PROFILE_NAIVE);
        for (size_t i = 0; i < SAMPLES; i++)
            CHECK(operate(&world, i, "b-0", &answers[round][i]) == 200);
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        CHECK(answers[0][i] && answers[1][i] && strcmp(answers[0][i], answers[1][i]) == 0);
        free(answers[0][i]);
        free(answers[1][i]);
    }
}

static void the_server_speaks_the_open_inference_protocol(void)
{
    static const struct {
        const char *path, *body;
        int status;
        const char *says;
    } cases[] = {
        {"/v2/health/live", NULL, 200, "true"},
        {"/v2/health/ready", NULL, 200, "true"},
        {"/v2", NULL, 200, "\"name\""},
        {"/v2/models/churn", NULL, 200, "\"versions\":[\"1\",\"2\"]"},
        {"/v2/models/churn/versions/1/ready", NULL, 200, "true"},
        {"/v2/models/churn/versions/3/ready", NULL, 404, "error"},
        {"/v2/models/spend/ready", NULL, 200, "true"},
        {"/v2/models/nobody", NULL, 404, "error"},
        {"/v2/models/churn/infer", NULL, 405, "error"},
        {"/v2/models/churn/infer", "{", 400, "error"},
        {"/v2/models/churn/infer", "{\"inputs\":[]}", 400, "inputs"},
        {"/v2/models/churn/infer",
         "{\"inputs\":[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP64\",\"data\":[1]}]}", 400,
         "unexpected input 'x'"},
        {"/v2/models/churn/infer",
         "{\"inputs\":[{\"name\":\"age\",\"shape\":[2],\"datatype\":\"FP64\",\"data\":[1]}]}", 400,
         "its shape says 2"},
        {"/v2/models/churn/infer",
         "{\"inputs\":[{\"name\":\"age\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[1]}]}", 400,
         "FP64 is wanted"},
        {"/v2/models/churn/infer",
         "{\"inputs\":[{\"name\":\"age\",\"shape\":[1],\"datatype\":\"FP64\",\"data\":[40]}]}", 400,
         "is missing"},
        {"/elsewhere", NULL, 404, "error"},
    };
    WORLD(world, err, CE_PROFILE_NAIVE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ce_http_answer answer = {0};
        int status = call(ce_pipeline_model_route(world.pipeline), "m-1", cases[i].path,
                          cases[i].body, &answer);
        if (status != cases[i].status || !strstr(answer.body, cases[i].says))
            printf("# %s: %d %s\n", cases[i].path, status, status > 0 ? answer.body : "");
        CHECK(status == cases[i].status);
        CHECK(status > 0 && strstr(answer.body, cases[i].says));
        ce_http_answer_done(&answer);
    }
    const struct ce_operation *operation = &ce_pipeline_operations(world.pipeline)->items[0];
    static const char *const paths[][2] = {
        {"/v2/models/churn/infer", "\"model_version\":\"2\""},
        {"/v2/models/churn/versions/1/infer", "\"model_version\":\"1\""},
        {"/v2/models/spend/infer", "\"name\":\"spend\""},
    };
    for (size_t i = 0; i < 3; i++) {
        struct ce_http_answer answer = {0};
        CHECK(call(ce_pipeline_request_route(world.pipeline), "m-1", paths[i][0], operation->body,
                   &answer) == 200);
        CHECK(answer.body && strstr(answer.body, paths[i][1]));
        ce_http_answer_done(&answer);
    }
}

static void several_customers_fit_into_one_request(void)
{
    static const char body[] =
        "{\"id\":\"two\",\"inputs\":["
        "{\"name\":\"age\",\"shape\":[2],\"datatype\":\"FP64\",\"data\":[40,41]},"
        "{\"name\":\"tenure_months\",\"shape\":[2,1],\"datatype\":\"FP64\",\"data\":[[2.5],[80]]},"
        "{\"name\":\"monthly_charge\",\"shape\":[2],\"datatype\":\"FP64\",\"data\":[99.5,40]},"
        "{\"name\":\"usage_hours\",\"shape\":[2],\"datatype\":\"FP64\",\"data\":[40,150]},"
        "{\"name\":\"support_calls\",\"shape\":[2],\"datatype\":\"FP64\",\"data\":[11,2]},"
        "{\"name\":\"payment_delay_days\",\"shape\":[2],\"datatype\":\"FP64\",\"data\":[24,5]},"
        "{\"name\":\"region\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"north\",\"west\"]},"
        "{\"name\":\"plan\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"basic\",\"premium\"]},"
        "{\"name\":\"contract\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"monthly\","
        "\"yearly\"]}]}";
    static const enum ce_profile_kind profiles[] = {CE_PROFILE_NAIVE, CE_PROFILE_HARDENED};
    for (size_t i = 0; i < 2; i++) {
        WORLD(world, err, profiles[i]);
        struct ce_http_answer answer = {0};
        CHECK(call(ce_pipeline_request_route(world.pipeline), "m-1", "/v2/models/churn/infer", body,
                   &answer) == 200);
        ce_autojson json_t *json = json_loads(answer.body ? answer.body : "", 0, NULL);
        const json_t *output = json_array_get(json_object_get(json, "outputs"), 0);
        const json_t *data = json_object_get(output, "data");
        CHECK(json_array_size(data) == 2);
        CHECK(json_number_value(json_array_get(data, 0)) > 0.9); /* everything speaks for leaving */
        CHECK(json_number_value(json_array_get(data, 1)) < 0.1); /* everything for staying */
        CHECK_TEXT(json_string_value(json_object_get(json, "id")), "two");
        ce_http_answer_done(&answer);
    }
}

/* ---- the gateway ---- */

/* What stands between gateway and server: notes the ids that pass, and does as it is told. */
struct between {
    struct ce_action action; /* kind and status */
    atomic_int seen;
    char ids[8][32];
    bool on_response;
    const char *body; /* replaces a response's */
};

static void note_id(struct between *between, const struct ce_exchange *exchange)
{
    int n = atomic_fetch_add(&between->seen, 1);
    if (n < 8)
        snprintf(between->ids[n], sizeof between->ids[n], "%s", exchange->id);
}

static void between_request(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    struct between *between = ctx;
    note_id(between, exchange);
    *action = between->action;
}

static void between_response(void *ctx, const struct ce_exchange *exchange,
                             struct ce_action *action)
{
    const struct between *between = ctx;
    if (between->body) {
        action->body = strdup(between->body);
        action->body_size = strlen(between->body);
    }
}

static const struct ce_hook between_hook = {
    .wants = CE_HOOK_RESPONSE_BODY,
    .on_request = between_request,
    .on_response = between_response,
};

/* Sends operation 0, made persistent by two others before it, as "t-1" while `between` is armed;
 * its status and answer. */
static int operate_between(const struct world *world, struct between *between, char **ret_text)
{
    struct ce_rule *rule = NULL;
    struct ce_error err = {0};
    if (ce_route_arm(ce_pipeline_model_route(world->pipeline), &between_hook, between, &rule,
                     &err) < 0)
        return err.code ? -err.code : -EIO;
    int status = operate(world, 0, "t-1", ret_text);
    ce_rule_disarm(rule);
    return status;
}

static void a_naive_gateway_tries_once_and_passes_everything_on(void)
{
    static const struct {
        enum ce_action_kind kind;
        int action_status, status;
    } cases[] = {{CE_ACT_PASS, 0, 200}, {CE_ACT_ANSWER, 503, 503}, {CE_ACT_RESET, 0, 502}};
    WORLD(world, err, CE_PROFILE_NAIVE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct between between = {
            .action = {.kind = cases[i].kind, .status = cases[i].action_status}};
        CHECK(operate_between(&world, &between, NULL) == cases[i].status);
        CHECK(between.seen == 1);
        CHECK_TEXT(between.ids[0], "t-1.1");
    }
}

/* A connection that breaks under a request is where HTTP clients like to try again on their own. */
static void a_naive_gateway_does_not_even_retry_on_a_persistent_connection(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    const struct ce_operations *operations = ce_pipeline_operations(world.pipeline);
    ce_autofd int fd =
        ce_endpoint_connect(ce_route_endpoint(ce_pipeline_request_route(world.pipeline)), &err);
    REQUIRE(fd >= 0);
    struct between between = {.action = {.kind = CE_ACT_RESET}};
    struct ce_rule *rule = NULL;
    for (int i = 0; i < 2; i++) {
        /* The client's connection persists, and so do those of proxy and gateway behind it. */
        ce_autofree char *request = ce_format(
            "POST %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: t-%d\r\nContent-Length: %zu\r\n\r\n%s",
            operations->path, i, operations->items[0].body_size, operations->items[0].body);
        if (i == 1)
            REQUIRE_OK(ce_route_arm(ce_pipeline_model_route(world.pipeline), &between_hook,
                                    &between, &rule, &err),
                       err);
        struct pollfd writable = {.fd = fd, .events = POLLOUT},
                      readable = {.fd = fd, .events = POLLIN};
        char answer[2048] = "";
        CHECK(poll(&writable, 1, 5000) == 1 && ce_write_all(fd, request, strlen(request)) == 0);
        CHECK(poll(&readable, 1, 5000) == 1 && recv(fd, answer, sizeof answer - 1, 0) > 0);
        CHECK(strncmp(answer, i == 0 ? "HTTP/1.1 200" : "HTTP/1.1 502", 12) == 0);
    }
    ce_rule_disarm(rule);
    CHECK(between.seen == 1);
}

static void a_hardened_gateway_tries_twice_and_then_answers_itself(void)
{
    static const enum ce_action_kind kinds[] = {CE_ACT_ANSWER, CE_ACT_RESET, CE_ACT_HANG};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        WORLD(world, err, CE_PROFILE_HARDENED); /* with a breaker that knows nothing yet */
        ce_autofree char *text = NULL;
        struct between between = {.action = {.kind = kinds[i], .status = 503}};
        CHECK(operate_between(&world, &between, &text) == 200);
        CHECK(text && strstr(text, "\"model_version\":\"1\""));
        CHECK(between.seen == 2);
        CHECK_TEXT(between.ids[0], "t-1.1");
        CHECK_TEXT(between.ids[1], "t-1.2");
    }
}

static void a_hardened_gateway_believes_no_absurd_prediction(void)
{
    static const char *const absurd[] = {
        "{\"model_name\":\"churn\",\"model_version\":\"2\",\"outputs\":[{\"name\":\"probability\","
        "\"shape\":[1],"
        "\"datatype\":\"FP64\",\"data\":[1.7]}]}",
        "{\"outputs\":[{\"data\":[\"much\"]}]}",
        "no JSON",
    };
    WORLD(world, err, CE_PROFILE_HARDENED);
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        ce_autofree char *text = NULL;
        struct between between = {.body = absurd[i]};
        CHECK(operate_between(&world, &between, &text) == 200);
        CHECK(text && strstr(text, "\"model_version\":\"1\""));
    }
    ce_autofree char *text = NULL;
    struct between between = {0};
    CHECK(operate_between(&world, &between, &text) == 200);
    CHECK(text && strstr(text, "\"model_version\":\"2\""));
}

static void a_hardened_gateway_stops_asking_a_server_that_fails(void)
{
    WORLD(world, err, CE_PROFILE_HARDENED);
    struct between between = {.action = {.kind = CE_ACT_ANSWER, .status = 503}};
    struct ce_rule *rule = NULL;
    REQUIRE_OK(
        ce_route_arm(ce_pipeline_model_route(world.pipeline), &between_hook, &between, &rule, &err),
        err);
    for (size_t i = 0; i < 20; i++)
        CHECK(operate(&world, i, "t-1", NULL) == 200);
    /* Five failures, and perhaps a trial or two where the machine is slow. */
    CHECK(between.seen >= 5 && between.seen < 15);
    ce_rule_disarm(rule);
    /* And asks again when it has recovered. */
    CHECK(EVENTUALLY(newest_answers(&world, "t-2")));
}

/* Replaces the first value of the input `name` in a request. */
static char *with_value(const char *body, const char *name, const char *value)
{
    ce_autofree char *start = ce_format("{\"name\":\"%s\"", name);
    const char *input = strstr(body, start), *data = input ? strstr(input, "\"data\":[") : NULL;
    if (!data)
        return NULL;
    data += strlen("\"data\":[");
    return ce_format("%.*s%s%s", (int)(data - body), body, value, strchr(data, ']'));
}

static double predicted(const struct world *world, const char *body)
{
    struct ce_http_answer answer = {0};
    struct ce_prediction ignored;
    double prediction = -1;
    if (call(ce_pipeline_request_route(world->pipeline), "m-1", "/v2/models/churn/infer", body,
             &answer) == 200)
        prediction = probability_in(ce_pipeline_operations(world->pipeline), answer.body,
                                    answer.body_size, &ignored);
    ce_http_answer_done(&answer);
    return prediction;
}

static void a_missing_feature_counts_as_zero_or_is_imputed(void)
{
    WORLD(naive, naive_err, CE_PROFILE_NAIVE);
    WORLD(hardened, hardened_err, CE_PROFILE_HARDENED);
    const char *body = ce_pipeline_operations(naive.pipeline)->items[0].body;
    ce_autofree char *with_null = with_value(body, "monthly_charge", "null");
    ce_autofree char *with_zero = with_value(body, "monthly_charge", "0");
    ce_autofree char *with_median = with_value(body, "monthly_charge", "68.5");
    REQUIRE(with_null && with_zero && with_median);
    double zero = predicted(&naive, with_zero), median = predicted(&naive, with_median);
    CHECK(predicted(&naive, with_null) == zero);
    double imputed = predicted(&hardened, with_null);
    printf("# 0: %g, about the median: %g, imputed: %g\n", zero, median, imputed);
    CHECK(zero > 0 && median > 5 * zero);
    CHECK(imputed > median * 0.8 && imputed < median * 1.25);
    /* Far outside what training saw: believed, or brought back to the edge. */
    ce_autofree char *absurd = with_value(body, "monthly_charge", "1000000");
    CHECK(predicted(&naive, absurd) > 0.999);
    CHECK(predicted(&hardened, absurd) < 0.9);
    /* No number at all. */
    ce_autofree char *text = with_value(body, "monthly_charge", "\"much\"");
    CHECK(predicted(&naive, text) == zero);
    CHECK(predicted(&hardened, text) == imputed);
}

/* ---- training again ---- */

/* Replaces the dataset by itself with every `period`-th row's age emptied. */
static int damage_dataset(const struct world *world, size_t period, struct ce_error *err)
{
    ce_autofree char *text = NULL, *damaged = NULL;
    size_t size, damaged_size, row = 0;
    CE_TRY(ce_file_read(ce_pipeline_dataset(world->pipeline), 64 << 20, &text, &size, err));
    FILE *file = open_memstream(&damaged, &damaged_size);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), row++)
        fprintf(file, "%s\n", row > 0 && row % period == 0 ? strchr(line, ',') : line);
    (void)fclose(file);
    return ce_file_replace(ce_pipeline_dataset(world->pipeline), damaged, damaged_size, err);
}

static void a_reload_takes_the_dataset_in_again(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    char before[CE_SHA256_HEX], after[CE_SHA256_HEX];
    ce_autofree char *old = NULL, *later = NULL, *again = NULL, *image = NULL;
    size_t size;
    REQUIRE_OK(ce_pipeline_acts(world.pipeline)->trained_on(world.pipeline, before, &err), err);
    REQUIRE_OK(ce_file_read(ce_pipeline_dataset(world.pipeline), 64 << 20, &image, &size, &err),
               err);
    CHECK(operate(&world, 0, "b-0", &old) == 200);

    REQUIRE_OK(damage_dataset(&world, 3, &err), err);
    REQUIRE_OK(ce_pipeline_acts(world.pipeline)->reload(world.pipeline, &err), err);
    check_learnt(&world, after);
    CHECK(strcmp(before, after) != 0);
    CHECK(operate(&world, 0, "f-0", &later) == 200);
    CHECK(old && later && strcmp(old, later) != 0); /* served at once by what was learnt from it */

    REQUIRE_OK(ce_file_replace(ce_pipeline_dataset(world.pipeline), image, size, &err), err);
    REQUIRE_OK(ce_pipeline_acts(world.pipeline)->reload(world.pipeline, &err), err);
    CHECK(operate(&world, 0, "v-0", &again) == 200);
    CHECK(old && again && strcmp(old, again) == 0);
}

static void a_hardened_pipeline_rejects_what_it_cannot_learn_from(void)
{
    WORLD(world, err, CE_PROFILE_HARDENED);
    char examined[CE_SHA256_HEX];
    ce_autofree char *old = NULL, *later = NULL, *metrics = NULL;
    size_t size;
    CHECK(operate(&world, 0, "b-0", &old) == 200);
    REQUIRE_OK(damage_dataset(&world, 1, &err), err);
    REQUIRE_OK(ce_pipeline_acts(world.pipeline)->reload(world.pipeline, &err), err);
    check_learnt(&world, examined);
    CHECK(operate(&world, 0, "f-0", &later) == 200);
    CHECK(old && later && strcmp(old, later) == 0); /* the old model stays in service */
    ce_autofree char *path = ce_format("%s/models/metrics.json", world.run);
    REQUIRE_OK(ce_file_read(path, 1 << 20, &metrics, &size, &err), err);
    CHECK(strstr(metrics, "\"accepted\": false") && strstr(metrics, "values of 'age' are missing"));
}

static void a_dataset_that_vanished_is_an_error_with_a_sentence(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    REQUIRE(unlink(ce_pipeline_dataset(world.pipeline)) == 0);
    CHECK(ce_pipeline_acts(world.pipeline)->reload(world.pipeline, &err) == -ENOENT);
    CHECK(strstr(err.message, "dataset.csv"));
    CHECK(operate(&world, 0, "b-0", NULL) == 200); /* what is in service stays */
}

int main(void)
{
    find_program();
    TEST(the_naive_pipeline_learns_and_serves);
    TEST(the_hardened_pipeline_learns_and_serves);
    TEST(the_same_seed_gives_the_same_predictions);
    TEST(the_server_speaks_the_open_inference_protocol);
    TEST(several_customers_fit_into_one_request);
    TEST(a_naive_gateway_tries_once_and_passes_everything_on);
    TEST(a_naive_gateway_does_not_even_retry_on_a_persistent_connection);
    TEST(a_hardened_gateway_tries_twice_and_then_answers_itself);
    TEST(a_hardened_gateway_believes_no_absurd_prediction);
    TEST(a_hardened_gateway_stops_asking_a_server_that_fails);
    TEST(a_missing_feature_counts_as_zero_or_is_imputed);
    TEST(a_reload_takes_the_dataset_in_again);
    TEST(a_hardened_pipeline_rejects_what_it_cannot_learn_from);
    TEST(a_dataset_that_vanished_is_an_error_with_a_sentence);
    return test_done();
}
