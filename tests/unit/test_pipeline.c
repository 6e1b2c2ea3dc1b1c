/* SPDX-License-Identifier: MIT */
/* The embedded pipeline: real processes, really trained models, really broken. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/spawn.h"
#include "check.h"
#include "host/process.h"
#include "pipeline/embedded/processes.h"
#include "pipeline/pipeline.h"
#include "proxy/client.h"

/* Generous: it only runs out when something is broken. */
static const int64_t patience = 20 * CE_SECOND;

static const struct ce_undo_op *const ops[] = {&ce_undo_end_process, NULL};

/* A run of its own: folder, journal, proxy, pipeline. */
struct world {
    char folder[64];
    char *state, *run;
    struct ce_journal *journal;
    struct ce_proxy *proxy;
    struct ce_pipeline *pipeline;
};

static int world_open(struct world *world, enum ce_profile_kind profile, struct ce_error *err)
{
    struct ce_pipeline_spec spec;
    memset(&spec, 0, sizeof spec);
    *world = (struct world){0};
    CE_TRY(ce_params_init(ce_pipeline_params, &spec, err));
    spec.profile = profile;
    strcpy(world->folder, "/tmp/ce-pipeline-XXXXXX");
    if (!mkdtemp(world->folder))
        return ce_fail(err, errno, "mkdtemp: %s", strerror(errno));
    world->state = ce_format("%s/state", world->folder);
    world->run = ce_format("%s/run", world->folder);
    CE_TRY(ce_folder_make(world->run, err));
    CE_TRY(ce_journal_create(world->state, "test", ops, &world->journal, err));
    CE_TRY(ce_proxy_start(&world->proxy, err));
    return ce_pipeline_start(&spec, world->run, world->journal, world->proxy, &world->pipeline,
                             err);
}

static void world_close(struct world *world)
{
    ce_pipeline_stop(world->pipeline);
    ce_proxy_stop(world->proxy);
    ce_journal_close(world->journal);
    if (*world->folder)
        (void)ce_tree_remove(world->folder, NULL);
    free(world->state);
    free(world->run);
    *world = (struct world){0};
}
#define WORLD(name) CE_CLEANUP(world_close) struct world name = {0}

/* One call through a route, as `id`; the status, or a negative errno. */
static int call(const struct ce_route *route, const char *id, const char *path, const char *body,
                struct ce_http_answer *ret_answer)
{
    ce_autofree char *headers = ce_format("X-Request-Id: %s\r\n", id);
    struct ce_http_call http = {
        .method = body ? "POST" : "GET",
        .path = path,
        .headers = headers,
        .body = body ? body : "",
        .body_size = body ? strlen(body) : 0,
        .timeout_ns = patience,
    };
    CE_TRY(ce_http_call(ce_route_endpoint(route), &http, ret_answer, NULL));
    return ret_answer->status;
}

/* The status of one labelled operation; its answer's text if `ret_text`. */
static int operate(const struct world *world, size_t n, const char *id, char **ret_text)
{
    const struct ce_operations *operations = ce_pipeline_operations(world->pipeline);
    struct ce_http_answer answer = {0};
    int status = call(ce_pipeline_request_route(world->pipeline), id, operations->path,
                      operations->items[n].body, &answer);
    if (ret_text)
        *ret_text = status > 0 ? ce_take(answer.body) : NULL;
    ce_http_answer_done(&answer);
    return status;
}

static double measured_accuracy(const struct world *world)
{
    const struct ce_operations *operations = ce_pipeline_operations(world->pipeline);
    size_t right = 0;
    for (size_t i = 0; i < operations->count; i++) {
        ce_autofree char *text = NULL;
        double prediction;
        if (operate(world, i, "b-0", &text) != 200 ||
            operations->read_prediction(text, strlen(text), &prediction) < 0)
            return -1;
        right += operations->is_right(prediction, operations->items[i].label);
    }
    return (double)right / (double)operations->count;
}

/* Polls until `condition`, or patience runs out. */
#define EVENTUALLY(condition)                                                                      \
    __extension__({                                                                                \
        int64_t until_ = ce_now() + patience;                                                      \
        bool holds_;                                                                               \
        while (!(holds_ = (condition)) && ce_now() < until_)                                       \
            (void)poll(NULL, 0, 5);                                                                \
        holds_;                                                                                    \
    })

/* ---- training and serving ---- */

static void check_serving(enum ce_profile_kind profile)
{
    WORLD(world);
    struct ce_error err = {0};
    int64_t started = ce_now();
    REQUIRE_OK(world_open(&world, profile, &err), err);
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

    char hex[CE_SHA256_HEX], file[CE_SHA256_HEX];
    REQUIRE_OK(ce_pipeline_trained_on(world.pipeline, hex, &err), err);
    REQUIRE_OK(ce_sha256_file(ce_pipeline_dataset(world.pipeline), file, &err), err);
    CHECK_TEXT(hex, file);
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
        WORLD(world);
        struct ce_error err = {0};
        REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
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
    WORLD(world);
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
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
        WORLD(world);
        struct ce_error err = {0};
        struct ce_http_answer answer = {0};
        REQUIRE_OK(world_open(&world, profiles[i], &err), err);
        CHECK(call(ce_pipeline_request_route(world.pipeline), "m-1", "/v2/models/churn/infer", body,
                   &answer) == 200);
        ce_autojson json_t *json = json_loads(answer.body ? answer.body : "", 0, NULL);
        const json_t *output = json_array_get(json_object_get(json, "outputs"), 0);
        const json_t *data = json_object_get(output, "data");
        CHECK(json_array_size(data) == 2);
        CHECK(json_number_value(json_array_get(data, 0)) > 0.9); /* everything speaks for leaving */
        CHECK(json_number_value(json_array_get(data, 1)) < 0.1); /* everything for staying */
        CHECK(json_equal(json_object_get(json, "id"), json_object_get(json, "id")) &&
              strcmp(json_string_value(json_object_get(json, "id")), "two") == 0);
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
    WORLD(world);
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
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
    WORLD(world);
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
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
        WORLD(world); /* with a breaker that knows nothing yet */
        struct ce_error err = {0};
        ce_autofree char *text = NULL;
        REQUIRE_OK(world_open(&world, CE_PROFILE_HARDENED, &err), err);
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
    WORLD(world);
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, CE_PROFILE_HARDENED, &err), err);
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
    WORLD(world);
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, CE_PROFILE_HARDENED, &err), err);
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
    bool newest = false;
    CHECK(EVENTUALLY(__extension__({
        ce_autofree char *text = NULL;
        newest = operate(&world, 0, "t-2", &text) == 200 && strstr(text, "\"model_version\":\"2\"");
        newest;
    })));
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
    double prediction = -1;
    if (call(ce_pipeline_request_route(world->pipeline), "m-1", "/v2/models/churn/infer", body,
             &answer) != 200 ||
        ce_pipeline_operations(world->pipeline)
                ->read_prediction(answer.body, answer.body_size, &prediction) < 0)
        prediction = -1;
    ce_http_answer_done(&answer);
    return prediction;
}

static void a_missing_feature_counts_as_zero_or_is_imputed(void)
{
    WORLD(naive);
    WORLD(hardened);
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&naive, CE_PROFILE_NAIVE, &err), err);
    REQUIRE_OK(world_open(&hardened, CE_PROFILE_HARDENED, &err), err);
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

/* ---- crashes and hangs ---- */

static bool serves_other_than(const struct world *world, const struct ce_process_id *old)
{
    struct ce_process_id now;
    ce_autofree char *text = NULL;
    return ce_pipeline_serving_process(world->pipeline, &now, NULL) == 0 && now.pid != old->pid &&
           operate(world, 0, "b-1", &text) == 200 && strstr(text, "\"model_version\":\"2\"");
}

static void a_crashed_naive_server_stays_down_until_asked_for(void)
{
    WORLD(world);
    struct ce_error err = {0};
    struct ce_process_id id;
    REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
    REQUIRE_OK(ce_pipeline_serving_process(world.pipeline, &id, &err), err);
    CHECK(operate(&world, 0, "b-0", NULL) == 200);
    REQUIRE(ce_process_signal(&id, SIGKILL) == 0);
    REQUIRE(EVENTUALLY(ce_pipeline_serving_process(world.pipeline, &id, NULL) == -ESRCH));
    /* A while that would be long enough for a restart. */
    for (int64_t until = ce_now() + 400 * CE_MILLISECOND; ce_now() < until;)
        CHECK(operate(&world, 0, "b-1", NULL) == 502);
    CHECK(ce_pipeline_serving_process(world.pipeline, &id, NULL) == -ESRCH);
    REQUIRE_OK(ce_pipeline_ensure_serving(world.pipeline, &err), err);
    CHECK(operate(&world, 0, "b-2", NULL) == 200);
    REQUIRE_OK(ce_pipeline_serving_process(world.pipeline, &id, &err), err);
    CHECK(ce_process_alive(&id));
    /* Nothing to do is fine too. */
    REQUIRE_OK(ce_pipeline_ensure_serving(world.pipeline, &err), err);
}

static void a_crashed_hardened_server_comes_back_by_itself(void)
{
    WORLD(world);
    struct ce_error err = {0};
    struct ce_process_id id;
    REQUIRE_OK(world_open(&world, CE_PROFILE_HARDENED, &err), err);
    for (int i = 0; i < 3; i++) {
        REQUIRE_OK(ce_pipeline_serving_process(world.pipeline, &id, &err), err);
        int64_t killed = ce_now();
        REQUIRE(ce_process_signal(&id, SIGKILL) == 0);
        CHECK(operate(&world, 0, "b-1", NULL) == 200); /* the fallback, or the new one already */
        CHECK(EVENTUALLY(serves_other_than(&world, &id)));
        printf("# back after %.0f ms\n", (double)(ce_now() - killed) / 1e6);
    }
}

static void a_hanging_hardened_server_is_replaced(void)
{
    WORLD(world);
    struct ce_error err = {0};
    struct ce_process_id id;
    REQUIRE_OK(world_open(&world, CE_PROFILE_HARDENED, &err), err);
    REQUIRE_OK(ce_pipeline_serving_process(world.pipeline, &id, &err), err);
    int64_t stopped = ce_now();
    REQUIRE(ce_process_signal(&id, SIGSTOP) == 0);
    CHECK(operate(&world, 0, "b-1", NULL) == 200);
    CHECK(EVENTUALLY(serves_other_than(&world, &id)));
    printf("# back after %.0f ms\n", (double)(ce_now() - stopped) / 1e6);
    CHECK(!ce_process_alive(&id));
}

static void a_hanging_naive_server_is_replaced_when_asked_for(void)
{
    WORLD(world);
    struct ce_error err = {0};
    struct ce_process_id id;
    REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
    REQUIRE_OK(ce_pipeline_serving_process(world.pipeline, &id, &err), err);
    REQUIRE(ce_process_signal(&id, SIGSTOP) == 0);
    REQUIRE_OK(ce_pipeline_ensure_serving(world.pipeline, &err), err);
    CHECK(serves_other_than(&world, &id));
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
    WORLD(world);
    struct ce_error err = {0};
    char before[CE_SHA256_HEX], after[CE_SHA256_HEX], file[CE_SHA256_HEX];
    ce_autofree char *old = NULL, *new = NULL, *again = NULL, *image = NULL;
    size_t size;
    REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
    REQUIRE_OK(ce_pipeline_trained_on(world.pipeline, before, &err), err);
    REQUIRE_OK(ce_file_read(ce_pipeline_dataset(world.pipeline), 64 << 20, &image, &size, &err),
               err);
    CHECK(operate(&world, 0, "b-0", &old) == 200);

    REQUIRE_OK(damage_dataset(&world, 3, &err), err);
    REQUIRE_OK(ce_pipeline_reload(world.pipeline, &err), err);
    REQUIRE_OK(ce_pipeline_trained_on(world.pipeline, after, &err), err);
    REQUIRE_OK(ce_sha256_file(ce_pipeline_dataset(world.pipeline), file, &err), err);
    CHECK_TEXT(after, file);
    CHECK(strcmp(before, after) != 0);
    CHECK(operate(&world, 0, "f-0", &new) == 200);
    CHECK(old && new &&strcmp(old, new) != 0); /* served at once by what was learnt from it */

    REQUIRE_OK(ce_file_replace(ce_pipeline_dataset(world.pipeline), image, size, &err), err);
    REQUIRE_OK(ce_pipeline_reload(world.pipeline, &err), err);
    CHECK(operate(&world, 0, "v-0", &again) == 200);
    CHECK(old && again && strcmp(old, again) == 0);
}

static void a_hardened_pipeline_rejects_what_it_cannot_learn_from(void)
{
    WORLD(world);
    struct ce_error err = {0};
    char examined[CE_SHA256_HEX], file[CE_SHA256_HEX];
    ce_autofree char *old = NULL, *new = NULL, *metrics = NULL;
    size_t size;
    REQUIRE_OK(world_open(&world, CE_PROFILE_HARDENED, &err), err);
    CHECK(operate(&world, 0, "b-0", &old) == 200);
    REQUIRE_OK(damage_dataset(&world, 1, &err), err);
    REQUIRE_OK(ce_pipeline_reload(world.pipeline, &err), err);
    REQUIRE_OK(ce_pipeline_trained_on(world.pipeline, examined, &err), err);
    REQUIRE_OK(ce_sha256_file(ce_pipeline_dataset(world.pipeline), file, &err), err);
    CHECK_TEXT(examined, file);
    CHECK(operate(&world, 0, "f-0", &new) == 200);
    CHECK(old && new &&strcmp(old, new) == 0); /* the old model stays in service */
    ce_autofree char *path = ce_format("%s/models/metrics.json", world.run);
    REQUIRE_OK(ce_file_read(path, 1 << 20, &metrics, &size, &err), err);
    CHECK(strstr(metrics, "\"accepted\": false") && strstr(metrics, "values of 'age' are missing"));
}

static void a_dataset_that_vanished_is_an_error_with_a_sentence(void)
{
    WORLD(world);
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
    REQUIRE(unlink(ce_pipeline_dataset(world.pipeline)) == 0);
    CHECK(ce_pipeline_reload(world.pipeline, &err) == -ENOENT);
    CHECK(strstr(err.message, "dataset.csv"));
    CHECK(operate(&world, 0, "b-0", NULL) == 200); /* what is in service stays */
}

/* ---- isolation, and leaving nothing behind ---- */

static int port_of(const struct ce_endpoint *endpoint)
{
    return ntohs(((const struct sockaddr_in *)&endpoint->address)->sin_port);
}

/* 0, or the errno of a blocking connect to that port on this side's loopback. */
static int connect_here(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ce_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
}

static void the_server_is_reached_through_the_keepers_sockets_only(void)
{
    WORLD(world);
    struct ce_error err = {0};
    REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
    struct ce_endpoint upstream = *ce_route_upstream(ce_pipeline_model_route(world.pipeline));
    if (!upstream.make_socket)
        SKIP("no network namespace here");
    struct ce_http_call live = {.method = "GET", .path = "/v2/health/live", .timeout_ns = patience};
    struct ce_http_answer answer = {0};
    REQUIRE_OK(ce_http_call(&upstream, &live, &answer, &err), err);
    CHECK(answer.status == 200);
    ce_http_answer_done(&answer);
    CHECK(connect_here(port_of(&upstream)) == ECONNREFUSED);
    CHECK(upstream.make_socket(upstream.ctx, 12345, &err) == -EAFNOSUPPORT);
}

/* The process tree below `pid`, itself included. */
struct tree {
    struct ce_process_id ids[32];
    size_t count;
};

static void tree_collect(pid_t pid, struct tree *tree)
{
    if (tree->count == 32 || ce_process_identify(pid, &tree->ids[tree->count]) < 0)
        return;
    tree->count++;
    ce_autofree char *path = ce_format("/proc/%d/task/%d/children", (int)pid, (int)pid);
    ce_autofree char *text = NULL;
    size_t size;
    if (ce_file_read(path, 1 << 20, &text, &size, NULL) < 0)
        return;
    char *end, *p = text;
    for (long child = strtol(p, &end, 10); end != p; child = strtol(p, &end, 10)) {
        tree_collect((pid_t)child, tree);
        p = end;
    }
}

static size_t tree_alive(const struct tree *tree)
{
    size_t alive = 0;
    for (size_t i = 0; i < tree->count; i++)
        alive += ce_process_alive(&tree->ids[i]);
    return alive;
}

static int count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    int count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    if (dir)
        (void)closedir(dir);
    return count;
}

static void stopping_leaves_no_process_and_no_file_outside(void)
{
    WORLD(world);
    struct ce_error err = {0};
    struct tree tree = {0};
    REQUIRE_OK(world_open(&world, CE_PROFILE_HARDENED, &err), err);
    tree_collect(getpid(), &tree);
    CHECK(tree.count == 5); /* this one, keeper, supervisor, server, gateway */
    CHECK(tree_alive(&tree) == 5);
    int64_t started = ce_now();
    ce_pipeline_stop(ce_take(world.pipeline));
    printf("# stopped in %.1f ms\n", (double)(ce_now() - started) / 1e6);
    CHECK(tree_alive(&tree) == 1);
    CHECK(ce_undo_live(world.journal) == 0);
    CHECK(count_entries(world.folder) == 2); /* state, run */
}

/* In a user namespace of its own, a process may lower its own limits to nothing. */
static int take_namespaces_away(void)
{
    static const char *const limits[] = {"user", "net"};
    if (unshare(CLONE_NEWUSER) < 0)
        return -1;
    for (size_t i = 0; i < 2; i++) {
        ce_autofree char *path = ce_format("/proc/sys/user/max_%s_namespaces", limits[i]);
        ce_autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
            return -1;
    }
    return 0;
}

/* In a child: starts a pipeline, tells its tree, and is killed. */
static void __attribute__((noreturn)) live_until_killed(int report, bool without_namespaces)
{
    struct world world = {0};
    struct ce_error err = {0};
    struct tree tree = {0};
    if (without_namespaces && take_namespaces_away() < 0)
        _exit(77);
    bool lives =
        world_open(&world, CE_PROFILE_NAIVE, &err) == 0 && operate(&world, 0, "b-0", NULL) == 200;
    bool plain =
        lives && strncmp(ce_pipeline_isolation(world.pipeline), "plain processes", 15) == 0;
    tree_collect(getpid(), &tree);
    if (!lives || (without_namespaces && !plain) ||
        write(report, &tree, sizeof tree) != (ssize_t)sizeof tree ||
        write(report, world.folder, sizeof world.folder) != (ssize_t)sizeof world.folder) {
        printf("# %s\n", err.message);
        (void)fflush(stdout);
        world_close(&world);
        _exit(1);
    }
    for (;;)
        (void)pause();
}

static void check_killed_controller(bool without_namespaces)
{
    int ends[2], status;
    struct tree tree;
    char folder[sizeof((struct world *)0)->folder] = "";
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    ce_autofd int mine = ends[0];
    pid_t pid = fork();
    if (pid == 0)
        live_until_killed(ends[1], without_namespaces);
    (void)close(ends[1]);
    bool told = read(mine, &tree, sizeof tree) == (ssize_t)sizeof tree &&
                read(mine, folder, sizeof folder) > 0;
    (void)kill(pid, SIGKILL);
    int64_t killed = ce_now();
    REQUIRE(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("no user namespaces here to take the namespaces away in");
    REQUIRE(told);
    CHECK(tree.count == 5);
    CHECK(EVENTUALLY(tree_alive(&tree) == 0));
    printf("# all gone after %.1f ms\n", (double)(ce_now() - killed) / 1e6);
    CHECK(ce_tree_remove(folder, NULL) == 0);
}

static void nothing_survives_a_killed_controller(void)
{
    check_killed_controller(false);
}

static void nothing_survives_a_killed_controller_without_namespaces(void)
{
    check_killed_controller(true);
}

static void nothing_survives_a_killed_keeper(void)
{
    WORLD(world);
    struct ce_error err = {0};
    struct tree tree = {0};
    REQUIRE_OK(world_open(&world, CE_PROFILE_HARDENED, &err), err);
    tree_collect(getpid(), &tree);
    REQUIRE(tree.count == 5);
    REQUIRE(ce_process_signal(&tree.ids[1], SIGKILL) == 0);
    CHECK(EVENTUALLY(tree_alive(&tree) == 1));
    CHECK(ce_pipeline_ensure_serving(world.pipeline, &err) == -ECHILD);
    CHECK_TEXT(err.message, "the pipeline's supervisor is gone");
    struct ce_process_id id;
    CHECK(ce_pipeline_serving_process(world.pipeline, &id, NULL) < 0);
}

static void the_journal_ends_the_pipeline_too(void)
{
    WORLD(world);
    struct ce_error err = {0};
    struct tree tree = {0};
    struct ce_recovery recovery = {0};
    REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
    tree_collect(getpid(), &tree);
    REQUIRE_OK(ce_undo_all(world.journal, &recovery, &err), err);
    CHECK(recovery.undone == 1 && recovery.failed == 0 && recovery.foreign == 0);
    CHECK(EVENTUALLY(tree_alive(&tree) == 1));
}

static void doctor_learns_which_isolation_there_is(void)
{
    WORLD(world);
    struct ce_error err = {0};
    char reason[256] = "";
    bool available = ce_pipeline_isolation_available(reason, sizeof reason);
    printf("# %d: %s\n", available, reason);
    REQUIRE_OK(world_open(&world, CE_PROFILE_NAIVE, &err), err);
    CHECK_TEXT(reason, ce_pipeline_isolation(world.pipeline));
    CHECK(available == (strstr(reason, "pid namespaces") != NULL));
}

static void a_missing_program_is_an_error_with_a_sentence(void)
{
    WORLD(world);
    struct ce_error err = {0};
    ce_autofree char *kept = strdup(getenv("CHAOSEATER_LIBEXEC"));
    setenv("CHAOSEATER_LIBEXEC", "/nowhere", 1);
    CHECK(world_open(&world, CE_PROFILE_NAIVE, &err) == -ENOENT);
    CHECK(strstr(err.message, "/nowhere") && strstr(err.message, "chaoseater-pipeline"));
    setenv("CHAOSEATER_LIBEXEC", kept, 1);
    CHECK(world.journal && ce_undo_live(world.journal) == 0);
}

/* The program lies in the build tree beside this test: tests/unit/../../src/pipeline. */
static void find_program(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    const char *named = getenv("CHAOSEATER_LIBEXEC");
    if ((named && *named) || n < 0)
        return;
    self[n] = '\0';
    ce_autofree char *folder = ce_format("%s/../../src/pipeline", dirname(self));
    setenv("CHAOSEATER_LIBEXEC", folder, 1);
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
    TEST(a_crashed_naive_server_stays_down_until_asked_for);
    TEST(a_crashed_hardened_server_comes_back_by_itself);
    TEST(a_hanging_hardened_server_is_replaced);
    TEST(a_hanging_naive_server_is_replaced_when_asked_for);
    TEST(a_reload_takes_the_dataset_in_again);
    TEST(a_hardened_pipeline_rejects_what_it_cannot_learn_from);
    TEST(a_dataset_that_vanished_is_an_error_with_a_sentence);
    TEST(the_server_is_reached_through_the_keepers_sockets_only);
    TEST(stopping_leaves_no_process_and_no_file_outside);
    TEST(nothing_survives_a_killed_controller);
    TEST(nothing_survives_a_killed_controller_without_namespaces);
    TEST(nothing_survives_a_killed_keeper);
    TEST(the_journal_ends_the_pipeline_too);
    TEST(doctor_learns_which_isolation_there_is);
    TEST(a_missing_program_is_an_error_with_a_sentence);
    return test_done();
}
