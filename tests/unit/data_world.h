/* SPDX-License-Identifier: MIT */
/* What a fault on cells needs: a dataset, a real journal, a pipeline that only says what it was
 * trained on, and for live requests the real proxy, with a server behind it that answers with what
 * it was sent. */
#ifndef CE_TESTS_DATA_WORLD_H
#define CE_TESTS_DATA_WORLD_H

#include <sys/stat.h>

#include "data_files.h"
#include "fault_world.h"
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
    /* the pipeline */
    char trained_on[CE_SHA256_HEX];
    bool refuses, keeps_old;
    int reloads;
    struct server server; /* for live requests */
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
    *world = (struct world){.folder = folder};
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

static int world_arm(struct world *world, const char *fault, const char *const *assignments,
                     struct ce_error *err)
{
    return injection_arm(&world->injection, &world->target, world->journal, fault, assignments,
                         err);
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
    CE_TRY(injection_revert(&world->injection, err));
    return world->injection.fault->verify_undo(&world->injection, err);
}

static void world_forget(struct world *world)
{
    injection_forget(&world->injection);
}

static void world_close(struct world *world)
{
    world_forget(world);
    server_stop(&world->server);
    ce_journal_close(world->journal);
}
#define WORLD(name)                                                                                \
    FOLDER(name##_folder);                                                                         \
    CE_CLEANUP(world_close) struct world name;                                                     \
    world_open(&name, &name##_folder)

/* A world where faults may change the dataset, and the error of what is done in it. */
#define TRAINING_WORLD(name, err)                                                                  \
    WORLD(name);                                                                                   \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(world_journal(&name, &err), err)

static struct ce_fault_counts world_counts(const struct world *world)
{
    return injection_counts(&world->injection);
}

/* ---- live requests ---- */

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

/* From now on there is a server, which answers with what it is sent. */
static inline int world_serve(struct world *world, struct ce_error *err)
{
    world->server =
        (struct server){.status = "200 OK", .fields = "Content-Type: application/json\r\n"};
    world->target.sample_request = world_sample_request;
    return server_start(&world->server, "requests", &world->target.request_route, err);
}

/* A world where faults may change requests, and the error of what is done in it. */
#define SERVING_WORLD(name, err)                                                                   \
    WORLD(name);                                                                                   \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(world_serve(&name, &err), err)

/* Sends it under that id, with more header lines. Result of ce_http_call(). */
static inline int send_message(const struct world *world, const char *path, const char *id,
                               const char *fields, const char *body, size_t size,
                               struct ce_http_answer *ret)
{
    char headers[160];
    *ret = (struct ce_http_answer){0};
    snprintf(headers, sizeof headers, "Content-Type: application/json\r\nX-Request-Id: %s\r\n%s",
             id, fields);
    struct ce_http_call call = {.method = "POST",
                                .path = path,
                                .headers = headers,
                                .body = body,
                                .body_size = size,
                                .timeout_ns = 10 * CE_SECOND};
    return ce_http_call(ce_route_endpoint(world->target.request_route), &call, ret, NULL);
}

/* What arrives at the server. */
static inline char *send_to(const struct world *world, const char *path, const char *id,
                            const char *body)
{
    struct ce_http_answer answer;
    int r = send_message(world, path, id, "", body, strlen(body), &answer);
    return r < 0 ? NULL : answer.body;
}

static inline char *send_through(const struct world *world, const char *id, const char *body)
{
    return send_to(world, PATH, id, body);
}

#endif
