/* SPDX-License-Identifier: MIT */
/* What the tests of faults on predictions stand on: the real proxy between a scripted model server
 * and clients of the test's own. Included once. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "check.h"
#include "faults/traffic.h"
#include "proxy/http1.h"

#define PATH "/v2/models/churn/infer"

/* ---- a model server that gives one answer to everything, a connection for each ---- */

struct server {
    struct ce_endpoint endpoint;
    int fd;
    pthread_t thread;
    const char *status, *fields, *body; /* constant while it runs */
};

static bool read_request(int fd)
{
    char data[8192];
    size_t size = 0;
    for (;;) {
        struct ce_http_head head;
        ssize_t n = recv(fd, data + size, sizeof data - size, 0);
        if (n <= 0)
            return false;
        size += (size_t)n;
        if (ce_http_parse_request(data, size, &head, NULL) == 1 && size >= head.size + head.length)
            return true;
    }
}

static void *server_run(void *arg)
{
    const struct server *server = arg;
    for (;;) {
        struct pollfd wait = {.fd = server->fd, .events = POLLIN};
        (void)poll(&wait, 1, -1);
        ce_autofd int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno == EINVAL)
            return NULL; /* shut down */
        if (fd < 0 || !read_request(fd))
            continue;
        dprintf(fd, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n%s",
                server->status, strlen(server->body), server->fields, server->body);
    }
}

/* ---- everything a fault needs ---- */

struct world {
    struct server server;
    struct ce_proxy *proxy;
    struct ce_target target;
    struct ce_injection injection;
    void *params;
};

static int sample_request(void *pipeline, uint64_t row, const char **ret_path, char **ret_body,
                          size_t *ret_size, struct ce_error *err)
{
    *ret_path = PATH;
    *ret_body = strdup("{\"inputs\":[]}");
    *ret_size = strlen(*ret_body);
    return 0;
}

static int world_start(struct world *world, const char *status, const char *fields,
                       const char *body, struct ce_error *err)
{
    *world = (struct world){.server = {.status = status, .fields = fields, .body = body}};
    world->server.endpoint = ce_endpoint_loopback(0);
    world->server.fd = ce_endpoint_listen(&world->server.endpoint, err);
    CE_TRY(world->server.fd);
    pthread_create(&world->server.thread, NULL, server_run, &world->server);
    CE_TRY(ce_proxy_start(&world->proxy, err));
    struct ce_route_config config = {
        .name = "model",
        .listen = ce_endpoint_loopback(0),
        .upstream = world->server.endpoint,
        .id_header = "X-Request-Id",
    };
    world->target = (struct ce_target){.name = "scripted model", .sample_request = sample_request};
    return ce_proxy_add_route(world->proxy, &config, &world->target.model_route, err);
}

/* `assignments`: "name=value" up to NULL. */
static int world_inject(struct world *world, const char *fault_name, const char *const *assignments,
                        struct ce_error *err)
{
    const struct ce_fault *fault = ce_fault_find(fault_name);
    world->params = calloc(1, fault->params_size);
    world->injection = (struct ce_injection){
        .fault = fault,
        .params = world->params,
        .state = calloc(1, fault->state_size),
        .target = &world->target,
        .seed = 42,
        .duration = 2 * CE_SECOND,
    };
    CE_TRY(ce_params_init(fault->params, world->params, err));
    for (; *assignments; assignments++) {
        char name[64];
        const char *value = strchr(*assignments, '=') + 1;
        snprintf(name, sizeof name, "%.*s", (int)(value - 1 - *assignments), *assignments);
        CE_TRY(ce_param_set(ce_param_find(fault->params, name), world->params, value, err));
    }
    return fault->inject(&world->injection, err);
}
#define INJECT(world, fault, err, ...)                                                             \
    world_inject(world, fault, (const char *const[]){__VA_ARGS__, NULL}, err)

static int world_open(struct world *world, const char *body, struct ce_error *err)
{
    return world_start(world, "200 OK", "Content-Type: application/json\r\n", body, err);
}

/* Takes the fault out again, so that another can be put in. */
static int world_revert(struct world *world, struct ce_error *err)
{
    const struct ce_fault *fault = world->injection.fault;
    if (!fault)
        return 0;
    int r = fault->revert(&world->injection, err);
    if (r == 0)
        r = fault->revert(&world->injection, err); /* idempotent */
    return r;
}

static void world_forget(struct world *world)
{
    if (world->injection.fault)
        ce_params_done(world->injection.fault->params, world->params);
    free(world->params);
    free(world->injection.state);
    world->params = NULL;
    world->injection = (struct ce_injection){0};
}

static void world_close(struct world *world)
{
    (void)world_revert(world, NULL);
    world_forget(world);
    ce_proxy_stop(world->proxy);
    (void)shutdown(world->server.fd, SHUT_RDWR);
    pthread_join(world->server.thread, NULL);
    (void)close(world->server.fd);
}

static int world_verify(struct world *world, struct ce_error *err)
{
    struct ce_evidence evidence = {""};
    int r = world->injection.fault->verify(&world->injection, &evidence, err);
    if (evidence.text[0] == '\0' && r >= 0)
        return -ENOMSG;
    printf("# %s: %d: %s\n", world->injection.fault->name, r, evidence.text);
    return r;
}

static int world_verify_undo(struct world *world, struct ce_error *err)
{
    return world->injection.fault->verify_undo(&world->injection, err);
}

static struct ce_fault_counts world_count(const struct world *world)
{
    struct ce_fault_counts counts;
    world->injection.fault->count(&world->injection, &counts);
    return counts;
}

static uint64_t skipped(const struct world *world, const char *reason)
{
    struct ce_fault_counts counts = world_count(world);
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX && counts.skipped[i].reason; i++)
        if (strcmp(counts.skipped[i].reason, reason) == 0)
            return counts.skipped[i].count;
    return 0;
}

/* ---- clients ---- */

/* One call through the route; id NULL: no id header. Result of ce_http_call(). */
static int ask(const struct world *world, const char *method, const char *id,
               struct ce_http_answer *ret)
{
    char fields[96] = "";
    *ret = (struct ce_http_answer){0};
    if (id)
        snprintf(fields, sizeof fields, "X-Request-Id: %s\r\n", id);
    struct ce_http_call call = {
        .method = method,
        .path = PATH,
        .headers = fields,
        .body = "{}",
        .body_size = 2,
        .timeout_ns = 5 * CE_SECOND,
    };
    return ce_http_call(ce_route_endpoint(world->target.model_route), &call, ret, NULL);
}

static int64_t ask_time(const struct world *world, const char *id)
{
    struct ce_http_answer answer;
    int r = ask(world, "POST", id, &answer);
    int64_t took = answer.total_ns;
    bool right = r == 0 && answer.status == 200 && strcmp(answer.body, world->server.body) == 0;
    ce_http_answer_done(&answer);
    return right ? took : -1;
}

/* The least of a few: what the machine's other work does not explain. */
static int64_t least_time(const struct world *world, const char *id)
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
static char *ask_body(const struct world *world, const char *id)
{
    struct ce_http_answer answer;
    char *body = ask(world, "POST", id, &answer) == 0 ? strdup(answer.body) : strdup("");
    ce_http_answer_done(&answer);
    return body;
}

static int ask_result(const struct world *world, const char *id)
{
    struct ce_http_answer answer;
    int r = ask(world, "POST", id, &answer);
    int status = answer.status;
    ce_http_answer_done(&answer);
    return r < 0 ? r : status;
}

/* A connection of our own with one request on its way; the descriptor blocks. */
static int send_raw(const struct world *world)
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

static bool readable_within(int fd, int milliseconds)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, milliseconds) == 1;
}
