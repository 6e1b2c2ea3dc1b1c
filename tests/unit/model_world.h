/* SPDX-License-Identifier: MIT */
/* What the tests of faults on predictions stand on: the real proxy between a scripted model server
 * and clients of the test's own. */
#ifndef CE_TESTS_MODEL_WORLD_H
#define CE_TESTS_MODEL_WORLD_H

#include "fault_world.h"

#define SCORE                                                                                      \
    "{\"id\":\"a\",\"outputs\":[{\"name\":\"probability\",\"shape\":[1],\"datatype\":\"FP64\","    \
    "\"data\":[0.8312]}],\"z\":[0.8312]}"

/* ---- everything a fault needs ---- */

struct world {
    struct server server;
    struct ce_target target;
    struct ce_injection injection;
    const char *const *samples; /* the bodies of sample requests, in turn; NULL: without inputs */
    size_t sample_count;
    const char *rule; /* the next fault's rule name */
    unsigned workers; /* of the proxy; 0: one */
};

static inline int sample_request(void *pipeline, uint64_t row, const char **ret_path,
                                 char **ret_body, size_t *ret_size, struct ce_error *err)
{
    const struct world *world = pipeline;
    *ret_path = PATH;
    *ret_body =
        strdup(world->samples ? world->samples[row % world->sample_count] : "{\"inputs\":[]}");
    *ret_size = strlen(*ret_body);
    return 0;
}

static inline int world_start(struct world *world, const char *status, const char *fields,
                              const char *body, struct ce_error *err)
{
    world->server = (struct server){
        .status = status, .fields = fields, .body = body, .workers = world->workers};
    world->target = (struct ce_target){
        .name = "scripted model", .pipeline = world, .sample_request = sample_request};
    return server_start(&world->server, "model", &world->target.model_route, err);
}

static inline int world_open(struct world *world, const char *body, struct ce_error *err)
{
    return world_start(world, "200 OK", "Content-Type: application/json\r\n", body, err);
}

static inline void world_forget(struct world *world)
{
    injection_forget(&world->injection);
}

static inline void world_close(struct world *world)
{
    world_forget(world);
    server_stop(&world->server);
}

/* Opens a world whose model answers with `body`, and declares the error of what is done in it. */
#define WORLD(name, err, body)                                                                     \
    CE_CLEANUP(world_close) struct world name = {0};                                               \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(world_open(&name, body, &err), err)

/* ---- the fault ---- */

static inline int world_inject(struct world *world, const char *fault,
                               const char *const *assignments, struct ce_error *err)
{
    CE_TRY(injection_arm(&world->injection, &world->target, NULL, fault, assignments, err));
    world->injection.rule = world->rule;
    return world->injection.fault->inject(&world->injection, err);
}
#define INJECT(world, fault, err, ...)                                                             \
    world_inject(world, fault, (const char *const[]){__VA_ARGS__, NULL}, err)

/* The same as WORLD, with a fault in it; after its name come its parameters: "name=value", ... */
#define WORLD_WITH(name, err, body, fault, ...)                                                    \
    WORLD(name, err, body);                                                                        \
    REQUIRE_OK(INJECT(&name, fault, &err, __VA_ARGS__), err)

static inline int world_revert(struct world *world, struct ce_error *err)
{
    return injection_revert(&world->injection, err);
}

static inline int world_verify(struct world *world, struct ce_error *err)
{
    struct ce_evidence evidence = {""};
    int r = world->injection.fault->verify(&world->injection, &evidence, err);
    if (evidence.text[0] == '\0' && r >= 0)
        return -ENOMSG;
    printf("# %s: %d: %s\n", world->injection.fault->name, r, evidence.text);
    return r;
}

static inline int world_verify_undo(struct world *world, struct ce_error *err)
{
    return world->injection.fault->verify_undo(&world->injection, err);
}

static inline struct ce_fault_counts world_count(const struct world *world)
{
    return injection_counts(&world->injection);
}

static inline uint64_t skipped(const struct world *world, const char *reason)
{
    struct ce_fault_counts counts = world_count(world);
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX && counts.skipped[i].reason; i++)
        if (strcmp(counts.skipped[i].reason, reason) == 0)
            return counts.skipped[i].count;
    return 0;
}

/* ---- clients ---- */

struct request_id {
    char text[16];
};

/* The `i`-th operation of the fault phase. */
static inline struct request_id fault_request(int i)
{
    struct request_id id;
    snprintf(id.text, sizeof id.text, "f-%d", i);
    return id;
}

/* What a client sends; zero: the usual. */
struct question {
    const char *method, *path, *id, *fields, *body;
};

/* One call through the route; without an id no id header. Result of ce_http_call(). */
static inline int ask_this(const struct world *world, const struct question *question,
                           struct ce_http_answer *ret)
{
    char fields[256] = "";
    const char *body = question->body ? question->body : "{}";
    *ret = (struct ce_http_answer){0};
    snprintf(fields, sizeof fields, "%s%s%s%s", question->fields ? question->fields : "",
             question->id ? "X-Request-Id: " : "", question->id ? question->id : "",
             question->id ? "\r\n" : "");
    struct ce_http_call call = {
        .method = question->method ? question->method : "POST",
        .path = question->path ? question->path : PATH,
        .headers = fields,
        .body = body,
        .body_size = strlen(body),
        .timeout_ns = 5 * CE_SECOND,
    };
    return ce_http_call(ce_route_endpoint(world->target.model_route), &call, ret, NULL);
}

static inline int ask(const struct world *world, const char *method, const char *id,
                      struct ce_http_answer *ret)
{
    return ask_this(world, &(struct question){.method = method, .id = id}, ret);
}

/* The status that came back, or the negative errno. */
static inline int status_of(const struct world *world, const struct question *question)
{
    struct ce_http_answer answer;
    int r = ask_this(world, question, &answer);
    int status = answer.status;
    ce_http_answer_done(&answer);
    return r < 0 ? r : status;
}
#define STATUS(world, ...) status_of(world, &(struct question){__VA_ARGS__})

static inline int64_t ask_time(const struct world *world, const char *id)
{
    struct ce_http_answer answer;
    int r = ask(world, "POST", id, &answer);
    int64_t took = answer.total_ns;
    bool right = r == 0 && answer.status == 200 && strcmp(answer.body, world->server.body) == 0;
    ce_http_answer_done(&answer);
    return right ? took : -1;
}

/* The least of a few: what the machine's other work does not explain. */
static inline int64_t least_time(const struct world *world, const char *id)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        int64_t took = ask_time(world, id);
        if (took >= 0 && took < least)
            least = took;
    }
    return least;
}

/* The answer's body; "" when there was none. */
static inline char *ask_body(const struct world *world, const char *id)
{
    struct ce_http_answer answer;
    char *body = ask(world, "POST", id, &answer) == 0 ? strdup(answer.body) : strdup("");
    ce_http_answer_done(&answer);
    return body;
}

static inline int ask_result(const struct world *world, const char *id)
{
    return STATUS(world, .id = id);
}

/* A connection of our own with one request on its way; the descriptor blocks. */
static inline int send_raw(const struct world *world)
{
    static const char request[] =
        "POST " PATH " HTTP/1.1\r\nHost: x\r\nX-Request-Id: f-0\r\nContent-Length: 2\r\n\r\n{}";
    const struct ce_endpoint *to = ce_route_endpoint(world->target.model_route);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&to->address, to->size) < 0 ||
        send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static inline bool readable_within(int fd, int milliseconds)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, milliseconds) == 1;
}

#endif
