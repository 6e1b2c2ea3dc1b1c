/* SPDX-License-Identifier: MIT */
/* What a fault on cells needs: a dataset, a real journal, a pipeline that only says what it was
 * trained on, and for live requests the real proxy, with a server behind it that answers with what
 * it was sent. */
#ifndef CE_TESTS_DATA_WORLD_H
#define CE_TESTS_DATA_WORLD_H

#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "data_files.h"
#include "faults/data/data_fault.h"
#include "journal/undo_files.h"

enum { ROWS = 500 };

static const struct ce_undo_op *const world_ops[] = {&ce_undo_restore_file, &ce_undo_remove_tree,
                                                     NULL};

struct world {
    struct folder *folder;
    const char *dataset, *original;
    struct ce_journal *journal;
    struct ce_target target;
    struct ce_injection injection;
    void *params;
    /* the pipeline */
    char trained_on[CE_SHA256_HEX];
    bool refuses, keeps_old;
    int reloads;
    /* live requests */
    struct ce_endpoint server;
    int server_fd;
    pthread_t server_thread;
    struct ce_proxy *proxy;
};

/* ---- the pipeline ---- */

static int world_reload(void *pipeline, struct ce_error *err)
{
    struct world *world = pipeline;
    world->reloads++;
    if (world->refuses)
        return ce_fail(err, EINVAL, "column 'age' has no values");
    return world->keeps_old ? 0 : ce_sha256_file(world->dataset, world->trained_on, err);
}

static int world_trained_on(void *pipeline, char ret_hex[65], struct ce_error *err)
{
    const struct world *world = pipeline;
    memcpy(ret_hex, world->trained_on, CE_SHA256_HEX);
    return 0;
}

static void write_dataset(FILE *out)
{
    fputs("\xef\xbb\xbf"
          "age,income,\"first name\",churned\r\n",
          out);
    for (int i = 0; i < ROWS; i++) {
        if (i % 10 == 3)
            fprintf(out, "%d,,\"M\xc3\xbcller, \"\"X%d\"\"\",%d\r\n", 18 + i % 60, i, i % 2);
        else
            fprintf(out, "%03d,\"%d.%02d\",n%d,%d\n", 18 + i % 60, 1000 + i, i % 100, i, i % 2);
    }
}

static void world_open(struct world *world, struct folder *folder)
{
    ce_autofree char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    write_dataset(out);
    fclose(out);
    *world = (struct world){.folder = folder, .server_fd = -1};
    world->dataset = folder_write(folder, "customers.csv", text, size);
    world->original = folder_write(folder, "original.csv", text, size);
    if (chmod(world->dataset, 0640) < 0 || mkdir(folder_file(folder, "run"), 0700) < 0)
        exit(99);
    world->target = (struct ce_target){
        .name = "test pipeline",
        .run_folder = folder_file(folder, "run"),
        .dataset = world->dataset,
        .label = "churned",
        .pipeline = world,
        .reload = world_reload,
        .trained_on = world_trained_on,
    };
    (void)world_reload(world, NULL);
}

static int world_journal(struct world *world, struct ce_error *err)
{
    return ce_journal_create(folder_file(world->folder, "state"), "run-1", world_ops,
                             &world->journal, err);
}

/* Prepares the fault; `assignments`: "name=value", or "name=a,b" for lists, up to NULL. */
static int world_arm(struct world *world, const char *fault_name, const char *const *assignments,
                     struct ce_error *err)
{
    const struct ce_fault *fault = ce_fault_find(fault_name);
    world->params = calloc(1, fault->params_size);
    world->injection = (struct ce_injection){
        .fault = fault,
        .params = world->params,
        .state = calloc(1, fault->state_size),
        .target = &world->target,
        .journal = world->journal,
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
    return 0;
}

static int world_inject(struct world *world, const char *fault, const char *const *assignments,
                        struct ce_error *err)
{
    CE_TRY(world_arm(world, fault, assignments, err));
    return world->injection.fault->inject(&world->injection, err);
}
#define INJECT(world, fault, err, ...)                                                             \
    world_inject(world, fault, (const char *const[]){__VA_ARGS__, NULL}, err)

static int world_verify(struct world *world, struct ce_evidence *evidence, struct ce_error *err)
{
    *evidence = (struct ce_evidence){0};
    return world->injection.fault->verify(&world->injection, evidence, err);
}

static int world_revert(struct world *world, struct ce_error *err)
{
    CE_TRY(world->injection.fault->revert(&world->injection, err));
    CE_TRY(world->injection.fault->revert(&world->injection, err)); /* idempotent */
    return world->injection.fault->verify_undo(&world->injection, err);
}

static void world_forget(struct world *world)
{
    if (world->injection.fault) {
        (void)world->injection.fault->revert(&world->injection, NULL);
        ce_params_done(world->injection.fault->params, world->params);
    }
    free(world->params);
    free(world->injection.state);
    world->params = NULL;
    world->injection = (struct ce_injection){0};
}

static void world_close(struct world *world)
{
    world_forget(world);
    if (world->server_fd >= 0) {
        ce_proxy_stop(world->proxy);
        (void)shutdown(world->server_fd, SHUT_RDWR);
        pthread_join(world->server_thread, NULL);
        (void)close(world->server_fd);
    }
    ce_journal_close(world->journal);
}
#define WORLD(name)                                                                                \
    FOLDER(name##_folder);                                                                         \
    CE_CLEANUP(world_close) struct world name;                                                     \
    world_open(&name, &name##_folder)

static struct ce_fault_counts world_counts(const struct world *world)
{
    struct ce_fault_counts counts;
    world->injection.fault->count(&world->injection, &counts);
    return counts;
}

/* ---- live requests ---- */

#define PATH "/v2/models/churn/infer"

/* Answers every request with its own body, a connection for each. */
static void *server_run(void *arg)
{
    const struct world *world = arg;
    for (;;) {
        struct pollfd wait = {.fd = world->server_fd, .events = POLLIN};
        (void)poll(&wait, 1, -1);
        ce_autofd int fd = accept4(world->server_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno == EINVAL)
            return NULL; /* shut down */
        if (fd < 0)
            continue;
        char data[8192];
        size_t size = 0;
        for (ssize_t n; (n = recv(fd, data + size, sizeof data - size, 0)) > 0;) {
            static _Thread_local struct ce_http_head head;
            size += (size_t)n;
            if (ce_http_parse_request(data, size, &head, NULL) != 1 ||
                size < head.size + head.length)
                continue;
            dprintf(fd,
                    "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: "
                    "application/json\r\nConnection: close\r\n\r\n%.*s",
                    (int)head.length, (int)head.length, data + head.size);
            break;
        }
    }
}

static const char world_request[] =
    "{\"id\":\"x\", "
    "\"inputs\":[{\"name\":\"age\",\"shape\":[1],\"datatype\":\"INT64\",\"data\":[41]},"
    "{\"name\":\"income\",\"shape\":[1],\"datatype\":\"FP64\",\"data\":[ 1000.50 ]},"
    "{\"name\":\"first "
    "name\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"M\xc3\xbc\\u00e9\\\"r\"]},"
    "{\"name\":\"other\",\"shape\":[1],\"datatype\":\"FP64\",\"data\":[7.5]}]}";

static int world_sample_request(void *pipeline, uint64_t row, const char **ret_path,
                                char **ret_body, size_t *ret_size, struct ce_error *err)
{
    *ret_path = PATH;
    *ret_body = strdup(world_request);
    *ret_size = strlen(*ret_body);
    return 0;
}

static int world_serve(struct world *world, struct ce_error *err)
{
    world->server = ce_endpoint_loopback(0);
    world->server_fd = ce_endpoint_listen(&world->server, err);
    CE_TRY(world->server_fd);
    pthread_create(&world->server_thread, NULL, server_run, world);
    CE_TRY(ce_proxy_start(&world->proxy, err));
    struct ce_route_config config = {
        .name = "requests",
        .listen = ce_endpoint_loopback(0),
        .upstream = world->server,
        .id_header = "X-Request-Id",
    };
    world->target.sample_request = world_sample_request;
    return ce_proxy_add_route(world->proxy, &config, &world->target.request_route, err);
}

/* What arrives at the server when `body` is sent under that id. */
static char *send_through(const struct world *world, const char *id, const char *body)
{
    char headers[80];
    struct ce_http_answer answer = {0};
    snprintf(headers, sizeof headers, "Content-Type: application/json\r\nX-Request-Id: %s\r\n", id);
    struct ce_http_call call = {.method = "POST",
                                .path = PATH,
                                .headers = headers,
                                .body = body,
                                .body_size = strlen(body),
                                .timeout_ns = 10 * CE_SECOND};
    if (ce_http_call(ce_route_endpoint(world->target.request_route), &call, &answer, NULL) < 0)
        return NULL;
    return answer.body;
}

#endif
