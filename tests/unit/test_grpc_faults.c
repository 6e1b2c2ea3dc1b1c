/* SPDX-License-Identifier: MIT */
/* Faults on gRPC: found by features, made visible to the caller, and proven by calls of their own.
 * The model server is a scripted one that sends back what it gets. */
#include <pthread.h>
#include <stdatomic.h>

#include "fault_world.h"
#include "h2_wire.h"
#include "proxy/h2/call.h"
#include "proxy/h2/grpc.h"

enum { CONNECTIONS = 2048 };

struct world {
    int listener;
    struct ce_endpoint upstream;
    pthread_t acceptor, threads[CONNECTIONS];
    int connections[CONNECTIONS];
    atomic_size_t count;
    struct ce_proxy *proxy;
    struct ce_target target;
    struct ce_injection injection;
    char *path;
};

/* ---- the server ---- */

static void *serve(void *arg)
{
    static const char *const head[] = {":status", "200", "content-type", "application/grpc", NULL};
    static const char *const trailers[] = {"grpc-status", "0", NULL};
    struct peer server;
    peer_open(&server, *(const int *)arg, true, 0, 0);
    while (peer_step(&server))
        for (size_t i = 0; i < server.count; i++) {
            struct peer_stream *stream = &server.streams[i];
            if (stream->ended && !stream->out && !stream->closed)
                peer_answer(&server, stream->id, head, stream->data, stream->size, trailers, false);
        }
    peer_close(&server);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct world *world = arg;
    for (int fd; world->count < CONNECTIONS && (fd = wire_accept(world->listener)) >= 0;) {
        world->connections[world->count] = fd;
        if (pthread_create(&world->threads[world->count], NULL, serve,
                           &world->connections[world->count]) != 0)
            exit(99);
        world->count++;
    }
    return NULL;
}

/* ---- the world ---- */

static struct ce_request_plan request_plan(void)
{
    static const struct ce_feature features[] = {{"age", true}, {"city", false}};
    return (struct ce_request_plan){
        .protocol = ce_protocol_find("oip_grpc"),
        .model = "churn",
        .version = "",
        .features = features,
        .feature_count = 2,
    };
}

/* Dataset row 0 is 20 years old, row 1 is 70. */
static int sample_request(void *pipeline, uint64_t row, const char **ret_path, char **ret_body,
                          size_t *ret_size, struct ce_error *err)
{
    static const char *const cells[2][2] = {{"20", "Paris"}, {"70", "Lyon"}};
    const struct world *world = pipeline;
    struct ce_request_plan plan = request_plan();
    *ret_path = world->path;
    return ce_request_body(&plan, cells[row % 2], ret_body, ret_size, err);
}

static int world_open(struct world *world, struct ce_error *err)
{
    struct ce_request_plan plan = request_plan();
    *world = (struct world){.upstream = ce_endpoint_loopback(0)};
    CE_TRY(ce_request_path(&plan, &world->path, err));
    world->listener = wire_listen(&world->upstream);
    if (world->listener < 0 || pthread_create(&world->acceptor, NULL, accept_all, world) != 0)
        exit(99);
    CE_TRY(ce_proxy_start(2, &world->proxy, err));
    struct ce_route_config config = {
        .name = "model",
        .listen = ce_endpoint_loopback(0),
        .upstream = world->upstream,
        .id_header = "X-Request-Id",
        .http2 = true,
    };
    world->target = (struct ce_target){
        .name = "scripted model", .pipeline = world, .sample_request = sample_request};
    return ce_proxy_add_route(world->proxy, &config, &world->target.model_route, err);
}

static void world_close(struct world *world)
{
    injection_forget(&world->injection);
    ce_proxy_stop(world->proxy);
    (void)shutdown(world->listener, SHUT_RDWR);
    pthread_join(world->acceptor, NULL);
    for (size_t i = 0; i < world->count; i++)
        pthread_join(world->threads[i], NULL);
    (void)close(world->listener);
    free(world->path);
}

#define WORLD_WITH(name, err, kind, ...)                                                           \
    CE_CLEANUP(world_close) struct world name;                                                     \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(world_open(&name, &err), err);                                                      \
    REQUIRE_OK(injection_arm(&name.injection, &name.target, NULL, kind,                            \
                             (const char *const[]){__VA_ARGS__, NULL}, &err),                      \
               err);                                                                               \
    REQUIRE_OK(name.injection.fault->inject(&name.injection, &err), err)

static int verify(struct world *world, struct ce_error *err)
{
    struct ce_evidence evidence = {""};
    int r = world->injection.fault->verify(&world->injection, &evidence, err);
    printf("# %s: %d: %s\n", world->injection.fault->name, r, evidence.text);
    return r;
}

static void check_undone(struct world *world)
{
    struct ce_error err = {0};
    REQUIRE_OK(injection_revert(&world->injection, &err), err);
    REQUIRE_OK(world->injection.fault->verify_undo(&world->injection, &err), err);
}

/* Asks about that dataset row; the gRPC status, or a negative errno. */
static int ask(struct world *world, const char *id, uint64_t row)
{
    const char *path;
    char *body, headers[64];
    size_t size;
    struct ce_error err = {0};
    if (sample_request(world, row, &path, &body, &size, &err) < 0)
        return -EINVAL;
    snprintf(headers, sizeof headers, "X-Request-Id: %s\r\n", id);
    struct ce_grpc_call call = {
        .path = path, .headers = headers, .message = {body, size}, .timeout_ns = 5 * CE_SECOND};
    struct ce_grpc_answer answer = {0};
    int r = ce_grpc_call(ce_route_endpoint(world->target.model_route), &call, &answer, &err);
    int status = answer.status;
    ce_grpc_answer_done(&answer);
    free(body);
    return r < 0 ? r : status;
}

/* ---- the faults ---- */

static void a_call_fails_with_the_status_of_grpc(void)
{
    static const struct {
        const char *fault, *mode;
        int result;
    } cases[] = {
        {"model_unavailable", "mode=error", CE_GRPC_UNAVAILABLE},
        {"model_unavailable", "mode=quota", CE_GRPC_OK},
        {"model_unavailable", "mode=partial", -ECONNRESET},
        {"batch_processing_failure", "mode=error", 13},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        WORLD_WITH(world, err, cases[i].fault, "failure_rate=1", cases[i].mode);
        CHECK(ask(&world, "f-0", 0) == cases[i].result);
        CHECK(injection_counts(&world.injection).eligible == 1);
        CHECK(verify(&world, &err) == 1);
        check_undone(&world);
        CHECK(ask(&world, "f-0", 0) == CE_GRPC_OK);
    }
}

static void features_and_model_decide(void)
{
    WORLD_WITH(world, err, "batch_processing_failure", "failure_rate=1",
               "where=age > 60 and city = 'Lyon'", "model=churn");
    CHECK(ask(&world, "f-0", 0) == CE_GRPC_OK);
    CHECK(ask(&world, "f-0", 1) == 13);
    CHECK(injection_counts(&world.injection).changed == 1);
    CHECK(verify(&world, &err) == 1);
    check_undone(&world);
}

static void a_call_is_slow(void)
{
    WORLD_WITH(world, err, "slow_inference", "latency_ms=60", "share=0.5");
    CHECK(verify(&world, &err) == 1);
    check_undone(&world);
}

static bool was_skipped(const struct world *world, const char *reason)
{
    struct ce_fault_counts counts = injection_counts(&world->injection);
    return counts.skipped[0].count == 1 && strcmp(counts.skipped[0].reason, reason) == 0;
}

static void a_call_names_another_model_or_version(void)
{
    static const char *const fallbacks[] = {"fallback_model=old", "fallback_model=3",
                                            "fallback_model=old/3"};
    for (size_t i = 0; i < CE_COUNT(fallbacks); i++) {
        /* What is sent comes back, the names included. */
        WORLD_WITH(world, err, "wrong_version", fallbacks[i]);
        CHECK(ask(&world, "f-0", 0) == CE_GRPC_OK);
        CHECK(injection_counts(&world.injection).changed == 1);
        CHECK(verify(&world, &err) == 1);
        check_undone(&world);
    }
    WORLD_WITH(world, err, "wrong_version", "fallback_model=churn");
    CHECK(ask(&world, "f-0", 0) == CE_GRPC_OK);
    CHECK(was_skipped(&world, "no change"));
    CHECK(verify(&world, &err) == 0);
}

/* Nobody listens at port 1. */
static void a_call_to_a_server_that_is_gone_fails(void)
{
    WORLD_WITH(world, err, "wrong_version", "fallback_model=h2c://127.0.0.1:1", "share=0.5");
    struct ce_recipe recipe = ce_recipe_init(42, "wrong_version", "model", NULL);
    for (int i = 0; i < 10; i++) {
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        CHECK(ask(&world, id, 0) ==
              (ce_recipe_shares(&recipe, id, 0.5) ? CE_GRPC_UNAVAILABLE : CE_GRPC_OK));
    }
    CHECK(verify(&world, &err) == 0);
    check_undone(&world);
}

static void a_call_is_sent_to_another_server(void)
{
    CE_CLEANUP(world_close) struct world other;
    struct ce_error why = {0};
    char address[64], assignment[96];
    REQUIRE_OK(world_open(&other, &why), why);
    ce_endpoint_text(&other.upstream, address, sizeof address);
    snprintf(assignment, sizeof assignment, "fallback_model=h2c://%s", address);
    WORLD_WITH(world, err, "wrong_version", assignment);
    CHECK(ask(&world, "f-0", 0) == CE_GRPC_OK);
    CHECK(injection_counts(&world.injection).changed == 1);
    CHECK(other.count == 1 && world.count == 0);
    /* Both models say the same, so nobody can tell. */
    CHECK(verify(&world, &err) == 0);
    check_undone(&world);
}

int main(void)
{
    TEST(a_call_fails_with_the_status_of_grpc);
    TEST(features_and_model_decide);
    TEST(a_call_is_slow);
    TEST(a_call_names_another_model_or_version);
    TEST(a_call_to_a_server_that_is_gone_fails);
    TEST(a_call_is_sent_to_another_server);
    return test_done();
}
