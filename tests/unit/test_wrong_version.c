/* SPDX-License-Identifier: MIT */
/* The fault wrong_version over HTTP/1.1, between two model servers that say what they were asked.
 * Over gRPC it is in test_grpc_faults.c. */
#include <stdatomic.h>

#include "fault_world.h"

/* ---- a model server: keeps connections open, and tells paths apart by its predictions ---- */

enum { CONNECTIONS = 32 };

struct model {
    const char *name;
    bool agrees;        /* predicts the same for all paths, and as all others that do */
    bool counts;        /* numbers its answers */
    bool hashes;        /* tells bodies apart, too */
    const char *status; /* NULL: 200 OK */

    struct ce_endpoint endpoint; /* from here on model_start() fills it */
    int listener, stop[2];
    pthread_t thread;
    atomic_int accepted;
    int answers;
};

static unsigned hash(const char *text, size_t size)
{
    unsigned sum = 5381;
    for (size_t i = 0; i < size; i++)
        sum = sum * 33 + (unsigned char)text[i];
    return sum % 100000;
}

static void answer(struct model *model, int fd, const struct ce_http_head *head, const char *data)
{
    char body[1024], sum[16] = "";
    const char *host = strcasestr(data, "\r\nHost: ");
    host = host ? host + strlen("\r\nHost: ") : "";
    unsigned of_body = hash(data + head->size, head->length),
             score = hash(head->target.data, head->target.size) + (unsigned)model->name[0];
    if (model->hashes)
        snprintf(sum, sizeof sum, " %u", of_body);
    int size = snprintf(body, sizeof body,
                        "{\"outputs\":[{\"name\":\"y\",\"shape\":[1],\"datatype\":\"FP64\","
                        "\"data\":[%u]}],\"who\":\"%s %.*s %.*s%s\",\"n\":%d}",
                        model->agrees ? 0 : score + (model->hashes ? of_body : 0), model->name,
                        (int)head->target.size, head->target.data, (int)strcspn(host, "\r"), host,
                        sum, model->counts ? ++model->answers : 0);
    dprintf(fd, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
            model->status ? model->status : "200 OK", size, body);
}

/* One request of the connection; false: it has ended. */
static bool serve(struct model *model, int fd)
{
    char data[8192];
    size_t size = 0;
    for (ssize_t n; size < sizeof data - 1; size += (size_t)n) {
        struct ce_http_head head;
        if (size > 0 && ce_http_parse_request(data, size, &head, NULL) == 1 &&
            size >= head.size + head.length) {
            data[size] = '\0';
            answer(model, fd, &head, data);
            return true;
        }
        n = recv(fd, data + size, sizeof data - 1 - size, 0);
        if (n <= 0)
            return false;
    }
    return false;
}

static void *model_run(void *arg)
{
    struct model *model = arg;
    struct pollfd fds[CONNECTIONS + 2] = {{model->stop[0], POLLIN, 0},
                                          {model->listener, POLLIN, 0}};
    size_t count = 2;
    while (poll(fds, count, -1) > 0 && !fds[0].revents) {
        for (size_t i = count; i-- > 2;)
            if (fds[i].revents && !serve(model, fds[i].fd)) {
                (void)close(fds[i].fd);
                fds[i] = fds[--count];
            }
        if (fds[1].revents && count < CE_COUNT(fds)) {
            fds[count++] = (struct pollfd){accept(model->listener, NULL, NULL), POLLIN, 0};
            model->accepted++;
        }
    }
    while (count-- > 2)
        (void)close(fds[count].fd);
    return NULL;
}

static int model_start(struct model *model, struct ce_error *err)
{
    model->endpoint = ce_endpoint_loopback(0);
    model->listener = ce_endpoint_listen(&model->endpoint, err);
    CE_TRY(model->listener);
    if (pipe(model->stop) < 0 || pthread_create(&model->thread, NULL, model_run, model) != 0)
        exit(99);
    return 0;
}

static void model_stop(struct model *model)
{
    if (!model->thread)
        return;
    (void)close(model->stop[1]);
    pthread_join(model->thread, NULL);
    (void)close(model->stop[0]);
    (void)close(model->listener);
    model->thread = 0;
}

/* ---- the world: two of them, and the proxy before the first ---- */

struct world {
    struct model main, other;
    struct ce_proxy *proxy;
    struct ce_target target;
    struct ce_injection injection;
    const char *path, *body; /* of a request; NULL: the usual */
    char address[32], url[64];
};

static int sample_request(void *pipeline, uint64_t row, const char **ret_path, char **ret_body,
                          size_t *ret_size, struct ce_error *err)
{
    const struct world *world = pipeline;
    *ret_path = world->path;
    *ret_body = strdup(world->body);
    *ret_size = strlen(*ret_body);
    return 0;
}

/* `protocol` "": not told. */
static int world_open(struct world *world, const char *protocol, struct ce_error *err)
{
    world->path = world->path ? world->path : PATH;
    world->main.hashes = world->body;
    world->body = world->body ? world->body : "{\"inputs\":[]}";
    world->main.name = "main";
    world->other.name = "other";
    CE_TRY(model_start(&world->main, err));
    CE_TRY(model_start(&world->other, err));
    ce_endpoint_text(&world->other.endpoint, world->address, sizeof world->address);
    snprintf(world->url, sizeof world->url, "fallback_model=http://%s", world->address);
    CE_TRY(ce_proxy_start(1, &world->proxy, err));
    struct ce_route_config config = {
        .name = "model",
        .listen = ce_endpoint_loopback(0),
        .upstream = world->main.endpoint,
        .id_header = "X-Request-Id",
    };
    world->target = (struct ce_target){
        .name = "two models",
        .pipeline = world,
        .protocol = ce_protocol_find(protocol),
        .locator = "$.outputs[0].data[0]",
        .sample_host = "main.example",
        .sample_request = sample_request,
    };
    return ce_proxy_add_route(world->proxy, &config, &world->target.model_route, err);
}

static void world_close(struct world *world)
{
    injection_forget(&world->injection);
    ce_proxy_stop(world->proxy);
    model_stop(&world->main);
    model_stop(&world->other);
}

static int inject(struct world *world, const char *const *assignments, struct ce_error *err)
{
    CE_TRY(
        injection_arm(&world->injection, &world->target, NULL, "wrong_version", assignments, err));
    CE_TRY(world->injection.fault->check(world->injection.params, err));
    return world->injection.fault->inject(&world->injection, err);
}
#define INJECT(world, err, ...) inject(world, (const char *const[]){__VA_ARGS__, NULL}, err)

/* After `err` come fields of the world that are to be set beforehand. */
#define WORLD(name, protocol, err, ...)                                                            \
    CE_CLEANUP(world_close) struct world name = {__VA_ARGS__};                                     \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(world_open(&name, protocol, &err), err)

static int verify(struct world *world, struct ce_error *err)
{
    struct ce_evidence evidence = {""};
    int r = world->injection.fault->verify(&world->injection, &evidence, err);
    printf("# %d: %s\n", r, evidence.text);
    return evidence.text[0] != '\0' || r < 0 ? r : -ENOMSG;
}

static uint64_t skipped(const struct world *world, const char *reason)
{
    struct ce_fault_counts counts = injection_counts(&world->injection);
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX && counts.skipped[i].reason; i++)
        if (strcmp(counts.skipped[i].reason, reason) == 0)
            return counts.skipped[i].count;
    return 0;
}

struct said {
    int status;
    char who[256]; /* "SERVER TARGET HOST" */
};

static struct said ask(const struct world *world, const char *path, const char *id)
{
    char headers[64];
    snprintf(headers, sizeof headers, "X-Request-Id: %s\r\n", id);
    struct ce_http_call call = {
        .method = "POST",
        .path = path,
        .host = "main.example",
        .headers = headers,
        .body = world->body,
        .body_size = strlen(world->body),
        .timeout_ns = 5 * CE_SECOND,
    };
    struct ce_http_answer got = {0};
    struct said said = {.who = ""};
    int r = ce_http_call(ce_route_endpoint(world->target.model_route), &call, &got, NULL);
    said.status = r < 0 ? r : got.status;
    const char *who = r == 0 ? strstr(got.body, "\"who\":\"") : NULL;
    if (who)
        snprintf(said.who, sizeof said.who, "%.*s", (int)strcspn(who + 7, "\""), who + 7);
    ce_http_answer_done(&got);
    return said;
}
#define CHECK_WHO(world, path, id, want)                                                           \
    do {                                                                                           \
        struct said said_ = ask(world, path, id);                                                  \
        CHECK_TEXT(said_.who, want);                                                               \
    } while (0)

static void check_undone(struct world *world)
{
    struct ce_error err = {0};
    REQUIRE_OK(injection_revert(&world->injection, &err), err);
    REQUIRE_OK(world->injection.fault->verify_undo(&world->injection, &err), err);
}

/* ---- another name in the path ---- */

static void the_path_names_another_model_or_version(void)
{
    static const struct {
        const char *protocol, *fallback, *path, *asked;
    } cases[] = {
        {"oip", "1", "/v2/models/churn/infer", "/v2/models/churn/versions/1/infer"},
        {"oip", "old", "/v2/models/churn/versions/2/infer?a=/b",
         "/v2/models/old/versions/2/infer?a=/b"},
        {"oip", "old/7", "/v2/models/churn/infer", "/v2/models/old/versions/7/infer"},
        {"oip", "v1-rc", "/x/v2/models/churn/infer", "/x/v2/models/v1-rc/infer"},
        {"oip", "old/rc1", "/v2/models/churn/versions/2/infer",
         "/v2/models/old/versions/rc1/infer"},
        {"kserve_v1", "3", "/v1/models/churn:predict", "/v1/models/churn/versions/3:predict"},
        {"kserve_v1", "old", "/v1/models/churn:predict", "/v1/models/old:predict"},
        {"torchserve", "2", "/predictions/churn", "/predictions/churn/2"},
        {"torchserve", "old/1.0", "/predictions/churn/2.0", "/predictions/old/1.0"},
        {"", "3", "/v1/models/churn:predict", "/v1/models/churn/versions/3:predict"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char assignment[64], want[128];
        snprintf(assignment, sizeof assignment, "fallback_model=%s", cases[i].fallback);
        WORLD(world, cases[i].protocol, err, .path = cases[i].path);
        REQUIRE_OK(INJECT(&world, &err, assignment), err);
        snprintf(want, sizeof want, "main %s main.example", cases[i].asked);
        CHECK_WHO(&world, cases[i].path, "f-0", want);
        struct ce_fault_counts counts = injection_counts(&world.injection);
        CHECK(counts.eligible == 1 && counts.selected == 1 && counts.changed == 1);
        /* The scripted server answers in the shape of oip, which is all that this needs. */
        CHECK(verify(&world, &err) == 1);
        check_undone(&world);
        snprintf(want, sizeof want, "main %s main.example", cases[i].path);
        CHECK_WHO(&world, cases[i].path, "f-0", want);
    }
}

static void who_is_asked_for_anyway_is_no_change(void)
{
    WORLD(world, "oip", err, .path = "/v2/models/churn/versions/1/infer");
    REQUIRE_OK(INJECT(&world, &err, "fallback_model=1"), err);
    CHECK_WHO(&world, world.path, "f-0", "main /v2/models/churn/versions/1/infer main.example");
    struct ce_fault_counts counts = injection_counts(&world.injection);
    CHECK(counts.eligible == 1 && counts.changed == 0 && skipped(&world, "no change") == 1);
    CHECK(verify(&world, &err) == 0);
}

static void requests_without_a_name_are_told(void)
{
    WORLD(world, "", err, );
    REQUIRE_OK(INJECT(&world, &err, "fallback_model=1"), err);
    CHECK_WHO(&world, "/invocations", "f-0", "main /invocations main.example");
    CHECK_WHO(&world, "/weather", "f-1", "main /weather main.example");
    CHECK(skipped(&world, "no version in this protocol") == 1);
    CHECK(skipped(&world, "no prediction request") == 1);
    CHECK(injection_counts(&world.injection).changed == 0);
}

/* OpenAI's and others' JSON: the name is in the body, and knows no versions. */
static void the_body_names_another_model(void)
{
    static const struct {
        const char *fallback, *body, *sent;
    } cases[] = {
        {"old", "{\"model\":\"churn\",\"x\":1}", "{\"model\":\"old\",\"x\":1}"},
        {"org/old:7b", "{ \"x\": 1, \"model\": \"churn\" }",
         "{ \"x\": 1, \"model\": \"org/old:7b\" }"},
        {"2", "{\"model\":\"churn\"}", "{\"model\":\"2\"}"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char assignment[64], want[128];
        WORLD(world, "json", err, .path = "/chat", .body = cases[i].body);
        snprintf(assignment, sizeof assignment, "fallback_model=%s", cases[i].fallback);
        REQUIRE_OK(INJECT(&world, &err, assignment), err);
        snprintf(want, sizeof want, "main /chat main.example %u",
                 hash(cases[i].sent, strlen(cases[i].sent)));
        CHECK_WHO(&world, "/chat", "f-0", want);
        CHECK(verify(&world, &err) == 1);
        check_undone(&world);
    }
    static const struct {
        const char *body, *reason;
    } skips[] = {{"{\"model\":\"old\"}", "no change"},
                 {"{\"x\":1}", "no version in this protocol"},
                 {"{\"model\":", "unreadable"}};
    for (size_t i = 0; i < CE_COUNT(skips); i++) {
        WORLD(world, "json", err, .path = "/chat", .body = skips[i].body);
        REQUIRE_OK(INJECT(&world, &err, "fallback_model=old"), err);
        CHECK(ask(&world, "/chat", "f-0").status == 200);
        CHECK(skipped(&world, skips[i].reason) == 1);
        CHECK(injection_counts(&world.injection).changed == 0);
    }
}

/* ---- another server ---- */

static void another_server_is_asked(void)
{
    static const struct {
        const char *protocol, *prefix, *path, *asked;
    } cases[] = {
        {"mlflow", "", "/invocations", "/invocations"},
        {"mlflow", "/models/b", "/models/a/invocations", "/models/b/invocations"},
        {"mlflow", "/models/b/", "/invocations", "/models/b/invocations"},
        {"mlflow", "", "/models/a/invocations", "/models/a/invocations"},
        {"kserve_v1", "/b", "/a/a/v1/models/m:predict?x=/v1/models/m:predict",
         "/b/v1/models/m:predict?x=/v1/models/m:predict"},
        {"oip", "/b", "/v2/models/churn/infer", "/b/v2/models/churn/infer"},
        {"torchserve", "/b", "/predictions/m/1", "/b/predictions/m/1"},
        {"json", "", "/score?x=1", "/score?x=1"},
        {"json", "/b/score", "/score?x=1", "/b/score?x=1"},
        {"", "", "/anything", "/anything"},
        {"", "/b", "/anything", "/b/anything"},
        {"", "/b", "/a/invocations", "/b/invocations"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char assignment[96], want[160];
        WORLD(world, cases[i].protocol, err, .path = cases[i].path);
        snprintf(assignment, sizeof assignment, "%s%s", world.url, cases[i].prefix);
        REQUIRE_OK(INJECT(&world, &err, assignment), err);
        snprintf(want, sizeof want, "other %s %s", cases[i].asked, world.address);
        CHECK_WHO(&world, cases[i].path, "f-0", want);
        CHECK(injection_counts(&world.injection).changed == 1);
        CHECK(verify(&world, &err) == 1);
        check_undone(&world);
        snprintf(want, sizeof want, "main %s main.example", cases[i].path);
        CHECK_WHO(&world, cases[i].path, "f-0", want);
    }
}

static void a_share_of_the_requests_is_sent_there(void)
{
    WORLD(world, "mlflow", err, .path = "/invocations");
    REQUIRE_OK(INJECT(&world, &err, world.url, "share=0.4"), err);
    struct ce_recipe recipe = ce_recipe_init(42, "wrong_version", "model", NULL);
    uint64_t hits = 0;
    for (int i = 59; i >= 0; i--) {
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        bool hit = ce_recipe_shares(&recipe, id, 0.4);
        CHECK(strncmp(ask(&world, world.path, id).who, hit ? "other" : "main ", 5) == 0);
        hits += hit;
    }
    CHECK(hits > 10 && hits < 40);
    CHECK(injection_counts(&world.injection).changed == hits);
    CHECK(verify(&world, &err) == 1);

    /* Half of those, at half the intensity; none at none. */
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0.5, &err), err);
    uint64_t fewer = 0;
    for (int i = 0; i < 60; i++) {
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        bool hit = ce_recipe_shares(&recipe, id, 0.4) && ce_recipe_hits(&recipe, id, 0, 0.5);
        CHECK(strncmp(ask(&world, world.path, id).who, hit ? "other" : "main ", 5) == 0);
        fewer += hit;
    }
    CHECK(fewer > 0 && fewer < hits);
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0, &err), err);
    CHECK(strncmp(ask(&world, world.path, "f-0").who, "main", 4) == 0);
    check_undone(&world);
}

static void filters_spare_the_others(void)
{
    WORLD(world, "oip", err, );
    REQUIRE_OK(INJECT(&world, &err, "fallback_model=9", "model=churn"), err);
    CHECK_WHO(&world, PATH, "f-0", "main /v2/models/churn/versions/9/infer main.example");
    CHECK_WHO(&world, "/v2/models/spend/infer", "f-1", "main /v2/models/spend/infer main.example");
    CHECK_WHO(&world, "/v2/models/churn", "f-2", "main /v2/models/churn main.example");
    CHECK(injection_counts(&world.injection).eligible == 1);
    CHECK(verify(&world, &err) == 1);
    check_undone(&world);
}

/* A client's own connection, which the proxy answers over one of its own to the other server. */
static void connections_to_the_other_server_are_kept(void)
{
    WORLD(world, "mlflow", err, .path = "/invocations");
    REQUIRE_OK(INJECT(&world, &err, world.url), err);
    for (int i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        CHECK(ask(&world, world.path, id).status == 200);
    }
    CHECK(world.other.accepted == 1 && world.main.accepted == 0);
}

static void a_dead_fallback_hurts_only_those_that_are_sent_there(void)
{
    WORLD(world, "mlflow", err, .path = "/invocations");
    REQUIRE_OK(INJECT(&world, &err, world.url, "share=0.5"), err);
    CHECK(verify(&world, &err) == 1);
    model_stop(&world.other);
    struct ce_recipe recipe = ce_recipe_init(42, "wrong_version", "model", NULL);
    for (int i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof id, "f-%d", i);
        int want = ce_recipe_shares(&recipe, id, 0.5) ? 502 : 200;
        CHECK(ask(&world, world.path, id).status == want);
    }
    /* Nobody else answered, so it is not what was asked for. */
    CHECK(verify(&world, &err) == 0);
    check_undone(&world);
}

/* ---- the proof ---- */

static void a_fallback_that_answers_with_errors_is_no_other_version(void)
{
    WORLD(world, "mlflow", err, .path = "/invocations", .other.status = "404 Not Found");
    REQUIRE_OK(INJECT(&world, &err, world.url), err);
    CHECK(ask(&world, world.path, "f-0").status == 404);
    struct ce_evidence evidence = {""};
    CHECK(world.injection.fault->verify(&world.injection, &evidence, &err) == 0);
    CHECK(strstr(evidence.text, "the last error: status 404"));
    check_undone(&world);
}

static void versions_that_agree_are_told_apart_by_what_else_they_say(void)
{
    WORLD(world, "oip", err, .main.agrees = true);
    REQUIRE_OK(INJECT(&world, &err, "fallback_model=1"), err);
    CHECK(verify(&world, &err) == 1);
}

static void answers_that_always_differ_prove_nothing(void)
{
    WORLD(world, "oip", err, .main.agrees = true, .main.counts = true);
    REQUIRE_OK(INJECT(&world, &err, "fallback_model=1"), err);
    CHECK(verify(&world, &err) == 0);
}

static void no_effect_is_seen(void)
{
#ifdef CE_SEAMS
    static const char *const fallbacks[] = {"fallback_model=1", NULL};
    for (size_t i = 0; i < CE_COUNT(fallbacks); i++) {
        WORLD(world, "oip", err, );
        setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
        CHECK(INJECT(&world, &err, fallbacks[i] ? fallbacks[i] : world.url) == 0);
        unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
        CHECK(verify(&world, &err) == 0);
        CHECK(injection_counts(&world.injection).changed == 0);
        check_undone(&world);
    }
#else
    SKIP("this build has no seams");
#endif
}

static void a_share_of_nothing_is_a_control_run(void)
{
    WORLD(world, "oip", err, );
    REQUIRE_OK(INJECT(&world, &err, "fallback_model=1", "share=0"), err);
    CHECK(world.injection.fault->is_control(world.injection.params));
    CHECK_WHO(&world, PATH, "f-0", "main " PATH " main.example");
    CHECK(injection_counts(&world.injection).eligible == 0);
    check_undone(&world);
}

/* ---- what is refused ---- */

static void what_names_nobody_is_refused(void)
{
    static const char none[] =
        "is none of name, name/version, version and a URL (http://host:port)";
    static const struct {
        const char *value, *says;
    } cases[] = {
        {"", "fallback_model: must not be empty"},
        {"/1", none},
        {"a/", none},
        {"a/b/c", none},
        {"a b", none},
        {"a?b", none},
        {"a%20b", none},
        {"a\nb", none},
        {"127.0.0.1:8081", "fallback_model: '127.0.0.1:8081' is none of name"},
        {"localhost:8081/b", none},
        {"ftp://a", "fallback_model: 'ftp://a' is none of http://host:port/prefix"},
        {"http://", "fallback_model: 'http://' names no host"},
        {"http://a/b?c", "fallback_model: 'http://a/b?c' has a query or a fragment"},
        {"http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example:8081",
         "has more than 63 characters"},
        {"unix:", "fallback_model: "},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char assignment[128];
        struct ce_error err = {0};
        struct world world = {0};
        snprintf(assignment, sizeof assignment, "fallback_model=%s", cases[i].value);
        CHECK(INJECT(&world, &err, assignment) == -EINVAL);
        if (!strstr(err.message, cases[i].says))
            printf("# %s: %s\n", cases[i].value, err.message);
        CHECK(strstr(err.message, cases[i].says));
        injection_forget(&world.injection);
    }
}

static void what_the_protocol_cannot_do_is_refused(void)
{
    static const struct {
        const char *protocol, *fallback, *says;
    } cases[] = {
        {"mlflow", "1",
         "fallback_model: requests of protocol mlflow name no model or version, so it has to be "
         "the URL of another server"},
        {"mlflow", "h2c://127.0.0.1:1",
         "fallback_model: 'h2c://127.0.0.1:1' speaks HTTP/2, and protocol mlflow HTTP/1.1: it has "
         "to be an http:// or https:// URL"},
        {"oip_grpc", "http://127.0.0.1:1",
         "fallback_model: 'http://127.0.0.1:1' speaks HTTP/1.1, and protocol oip_grpc HTTP/2: it "
         "has to be an h2c:// or https:// URL"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char assignment[64];
        snprintf(assignment, sizeof assignment, "fallback_model=%s", cases[i].fallback);
        WORLD(world, cases[i].protocol, err, .path = "/invocations");
        CHECK(INJECT(&world, &err, assignment) == -EINVAL);
        if (!strstr(err.message, cases[i].says))
            printf("# %s: %s\n", cases[i].fallback, err.message);
        CHECK(strstr(err.message, cases[i].says));
        CHECK(injection_revert(&world.injection, &err) == 0);
    }
}

int main(void)
{
    TEST(the_path_names_another_model_or_version);
    TEST(who_is_asked_for_anyway_is_no_change);
    TEST(requests_without_a_name_are_told);
    TEST(the_body_names_another_model);
    TEST(another_server_is_asked);
    TEST(a_share_of_the_requests_is_sent_there);
    TEST(filters_spare_the_others);
    TEST(connections_to_the_other_server_are_kept);
    TEST(a_dead_fallback_hurts_only_those_that_are_sent_there);
    TEST(a_fallback_that_answers_with_errors_is_no_other_version);
    TEST(versions_that_agree_are_told_apart_by_what_else_they_say);
    TEST(answers_that_always_differ_prove_nothing);
    TEST(no_effect_is_seen);
    TEST(a_share_of_nothing_is_a_control_run);
    TEST(what_names_nobody_is_refused);
    TEST(what_the_protocol_cannot_do_is_refused);
    return test_done();
}
