/* SPDX-License-Identifier: MIT */
#include "pipeline/pipeline.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/seam.h"
#include "pipeline/embedded/dataset.h"
#include "pipeline/embedded/processes.h"
#include "pipeline/embedded/requests.h"

/* Customers whom the trainer never sees: the ones after those in the dataset. */
enum { HELD_OUT = 500 };

/* How long the pipeline may take to be ready, besides the training; and how many rows a slow host
 * trains on in a second. */
static const int64_t ready_timeout = 15 * CE_SECOND;
enum { SLOW_ROWS_PER_SECOND = 10000 };

/* Longer than the gateway's own patience, so that the one who gives up is the one who decides what
 * happens then. */
static const int64_t route_timeout = 30 * CE_SECOND;

struct ce_pipeline {
    struct ce_pipeline_spec spec;
    char *dataset, *metrics;
    struct ce_processes *processes;
    struct ce_route *request_route, *model_route;
    struct ce_operations operations;
};

static const struct ce_choice kinds[] = {
    {"embedded", CE_PIPELINE_EMBEDDED, "a small pipeline that ChaosEater carries"},
    {.name = "http", .later = true},
    {.name = "command", .later = true},
    {NULL, 0, NULL},
};
static const struct ce_choice profiles[] = {
    {"naive", CE_PROFILE_NAIVE, "no validation, no retry; a crashed server stays down"},
    {"hardened", CE_PROFILE_HARDENED,
     "validates and imputes, retries with timeouts, falls back to an older model, restarts a "
     "crashed server"},
    {NULL, 0, NULL},
};
const struct ce_param ce_pipeline_params[] = {
    CE_CHOICE(struct ce_pipeline_spec, kind, .choices = kinds, .def = "embedded",
              .doc = "Which pipeline is put under test."),
    CE_CHOICE(struct ce_pipeline_spec, profile, .choices = profiles, .def = "naive",
              .doc = "How well the embedded pipeline defends itself."),
    CE_NUMBER(struct ce_pipeline_spec, rate, .min = 1, .max = 10000, .def = "50",
              .unit = "per second", .doc = "Operations that the workload starts every second."),
    CE_SECONDS(struct ce_pipeline_spec, timeout, .min = (double)CE_MILLISECOND,
               .max = 600 * (double)CE_SECOND, .def = "2s",
               .doc = "An operation that takes longer has failed."),
    CE_INTEGER(struct ce_pipeline_spec, rows, .min = 200, .max = 1000000, .def = "4000",
               .unit = "rows", .doc = "Size of the dataset that is generated for training."),
    CE_INTEGER(struct ce_pipeline_spec, dataset_seed, .min = 0, .max = 9007199254740991.0,
               .def = "1", .doc = "Seed of that dataset."),
    CE_END_PARAMS,
};

const char *ce_profile_kind_name(enum ce_profile_kind kind)
{
    return kind == CE_PROFILE_HARDENED ? "hardened" : "naive";
}

/* ---- start and stop ---- */

static int64_t training_timeout(const struct ce_pipeline *pipeline)
{
    return ready_timeout + pipeline->spec.rows / SLOW_ROWS_PER_SECOND * CE_SECOND;
}

static int write_dataset(struct ce_pipeline *pipeline, const char *run_folder, struct ce_error *err)
{
    uint64_t seed = (uint64_t)pipeline->spec.dataset_seed, rows = (uint64_t)pipeline->spec.rows;
    pipeline->dataset = ce_format("%s/dataset.csv", run_folder);
    pipeline->metrics = ce_format("%s/models/metrics.json", run_folder);
    if (!pipeline->dataset || !pipeline->metrics)
        return ce_fail_memory(err);
    CE_TRY(ce_requests_make(seed, rows, HELD_OUT, &pipeline->operations, err));
    ce_seam_step("pipeline: write dataset");
    return ce_dataset_write(pipeline->dataset, seed, rows, err);
}

static int add_model_route(struct ce_pipeline *pipeline, struct ce_proxy *proxy, int server_port,
                           struct ce_error *err)
{
    struct ce_route_config config = {
        .name = "model",
        .listen = ce_processes_endpoint(pipeline->processes, 0),
        .upstream = ce_processes_endpoint(pipeline->processes, server_port),
        .id_header = "X-Request-Id",
        .upstream_timeout_ns = route_timeout,
    };
    return ce_proxy_add_route(proxy, &config, &pipeline->model_route, err);
}

static int add_request_route(struct ce_pipeline *pipeline, struct ce_proxy *proxy, int gateway_port,
                             struct ce_error *err)
{
    struct ce_route_config config = {
        .name = "requests",
        .listen = ce_endpoint_loopback(0),
        .upstream = ce_processes_endpoint(pipeline->processes, gateway_port),
        .id_header = "X-Request-Id",
        .upstream_timeout_ns = route_timeout,
    };
    return ce_proxy_add_route(proxy, &config, &pipeline->request_route, err);
}

/* Server first, then the route to it, then the gateway, which is told where the route listens, then
 * the route to that. */
static int start_serving(struct ce_pipeline *pipeline, struct ce_proxy *proxy, struct ce_error *err)
{
    struct ce_answer answer;
    CE_TRY(ce_processes_ask(pipeline->processes, "train", training_timeout(pipeline), NULL, err));
    CE_TRY(ce_processes_ask(pipeline->processes, "serve", ready_timeout, &answer, err));
    CE_TRY(add_model_route(pipeline, proxy, answer.port, err));

    const struct sockaddr_in *listening =
        (const void *)&ce_route_endpoint(pipeline->model_route)->address;
    char command[32];
    snprintf(command, sizeof command, "front %d", ntohs(listening->sin_port));
    CE_TRY(ce_processes_ask(pipeline->processes, command, ready_timeout, &answer, err));
    return add_request_route(pipeline, proxy, answer.port, err);
}

int ce_pipeline_start(const struct ce_pipeline_spec *spec, const char *run_folder,
                      struct ce_journal *journal, struct ce_proxy *proxy,
                      struct ce_pipeline **ret_pipeline, struct ce_error *err)
{
    struct ce_pipeline *pipeline = calloc(1, sizeof *pipeline);
    if (!pipeline)
        return ce_fail_memory(err);
    pipeline->spec = *spec;
    int r = write_dataset(pipeline, run_folder, err);
    if (r == 0)
        r = ce_processes_start(journal, run_folder,
                               ce_profile_kind_name((enum ce_profile_kind)spec->profile),
                               &pipeline->processes, err);
    if (r == 0)
        r = start_serving(pipeline, proxy, err);
    if (r < 0) {
        ce_pipeline_stop(pipeline);
        return ce_fail_context(err, r, "the embedded pipeline does not start");
    }
    *ret_pipeline = pipeline;
    return 0;
}

void ce_pipeline_stop(struct ce_pipeline *pipeline)
{
    struct ce_route *routes[2];
    if (!pipeline)
        return;
    /* The proxy must not ask for sockets any more. */
    routes[0] = pipeline->request_route;
    routes[1] = pipeline->model_route;
    for (size_t i = 0; i < CE_COUNT(routes); i++)
        if (routes[i])
            (void)ce_route_listening(routes[i], false, true, NULL);
    ce_processes_stop(pipeline->processes);
    ce_requests_done(&pipeline->operations);
    free(pipeline->dataset);
    free(pipeline->metrics);
    free(pipeline);
}

/* ---- what it is ---- */

const char *ce_pipeline_dataset(const struct ce_pipeline *pipeline)
{
    return pipeline->dataset;
}

const char *ce_pipeline_label(const struct ce_pipeline *pipeline)
{
    return CE_COLUMN_CHURN;
}

struct ce_route *ce_pipeline_request_route(const struct ce_pipeline *pipeline)
{
    return pipeline->request_route;
}

struct ce_route *ce_pipeline_model_route(const struct ce_pipeline *pipeline)
{
    return pipeline->model_route;
}

const char *ce_pipeline_isolation(const struct ce_pipeline *pipeline)
{
    return ce_processes_isolation(pipeline->processes);
}

const struct ce_operations *ce_pipeline_operations(const struct ce_pipeline *pipeline)
{
    return &pipeline->operations;
}

/* ---- what a fault's target can do ---- */

int ce_pipeline_reload(void *pipeline, struct ce_error *err)
{
    struct ce_pipeline *p = pipeline;
    return ce_processes_ask(p->processes, "reload", training_timeout(p), NULL, err);
}

int ce_pipeline_trained_on(void *pipeline, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    const struct ce_pipeline *p = pipeline;
    ce_autofree char *text = NULL;
    size_t size;
    CE_TRY(ce_file_read(p->metrics, 1 << 20, &text, &size, err));
    ce_autojson json_t *metrics = ce_json_parse(text, size, p->metrics, err);
    if (!metrics)
        return -EINVAL;
    const char *hex = json_string_value(json_object_get(metrics, "dataset_sha256"));
    if (!hex || strlen(hex) != CE_SHA256_HEX - 1)
        return ce_fail(err, EINVAL, "'%s' does not say which dataset was trained on", p->metrics);
    memcpy(ret_hex, hex, CE_SHA256_HEX);
    return 0;
}

int ce_pipeline_serving_process(void *pipeline, struct ce_process_id *ret_id, struct ce_error *err)
{
    struct ce_pipeline *p = pipeline;
    struct ce_answer answer;
    CE_TRY(ce_processes_ask(p->processes, "status", ready_timeout, &answer, err));
    if (answer.pid <= 0 || ce_process_identify(answer.pid, ret_id) < 0)
        return ce_fail(err, ESRCH, "no process serves the model");
    return 0;
}

int ce_pipeline_ensure_serving(void *pipeline, struct ce_error *err)
{
    struct ce_pipeline *p = pipeline;
    return ce_processes_ask(p->processes, "serve", ready_timeout, NULL, err);
}

int ce_pipeline_sample_request(void *pipeline, uint64_t row, const char **ret_path, char **ret_body,
                               size_t *ret_size, struct ce_error *err)
{
    const struct ce_pipeline *p = pipeline;
    const struct ce_operation *operation = &p->operations.items[row % p->operations.count];
    char *body = malloc(operation->body_size + 1);
    if (!body)
        return ce_fail_memory(err);
    memcpy(body, operation->body, operation->body_size + 1);
    *ret_path = p->operations.path;
    *ret_body = body;
    *ret_size = operation->body_size;
    return 0;
}

bool ce_pipeline_isolation_available(char *reason, size_t size)
{
    return ce_processes_probe(reason, size);
}
