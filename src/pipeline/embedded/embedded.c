/* SPDX-License-Identifier: MIT */
/* The embedded pipeline: see pipeline.h, and docs/internals/pipeline.md. */
#include "pipeline/kind.h"

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
#include "pipeline/embedded/locate.h"
#include "pipeline/embedded/processes.h"
#include "pipeline/embedded/requests.h"
#include "pipeline/embedded/roles.h"

/* Customers whom the trainer never sees: the ones after those in the dataset. */
enum { HELD_OUT = 500 };

/* How long the pipeline may take to be ready, besides the training; and how many rows a slow host
 * trains on in a second. */
static const int64_t ready_timeout = 15 * CE_SECOND;
enum { SLOW_ROWS_PER_SECOND = 10000 };

/* Longer than the gateway's own patience, so that the one who gives up is the one who decides what
 * happens then. */
static const int64_t route_timeout = 30 * CE_SECOND;

struct embedded {
    struct ce_pipeline base;
    struct ce_pipeline_spec spec;
    char *run_folder, *dataset, *metrics;
    struct ce_processes *processes;
};

static int64_t training_timeout(const struct ce_pipeline_spec *spec)
{
    return ready_timeout + spec->rows / SLOW_ROWS_PER_SECOND * CE_SECOND;
}

/* ---- what a fault's target can do ---- */

static int reload(void *pipeline, struct ce_error *err)
{
    struct embedded *p = pipeline;
    return ce_processes_ask(p->processes, "reload", training_timeout(&p->spec), NULL, err);
}

static int trained_on(void *pipeline, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    const struct embedded *p = pipeline;
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

static int serving_process(void *pipeline, struct ce_process_id *ret_id, struct ce_error *err)
{
    struct embedded *p = pipeline;
    struct ce_answer answer;
    CE_TRY(ce_processes_ask(p->processes, "status", ready_timeout, &answer, err));
    if (answer.pid <= 0 || ce_process_identify(answer.pid, ret_id) < 0)
        return ce_fail(err, ESRCH, "no process serves the model");
    return 0;
}

static int ensure_serving(void *pipeline, struct ce_error *err)
{
    struct embedded *p = pipeline;
    return ce_processes_ask(p->processes, "serve", ready_timeout, NULL, err);
}

static int locate(void *pipeline, const char *service, struct ce_subject *ret_subject,
                  struct ce_error *err)
{
    struct embedded *p = pipeline;
    return ce_embedded_locate(p->processes, p->run_folder, service, ret_subject, err);
}

static const struct ce_pipeline_acts acts = {
    .reload = reload,
    .trained_on = trained_on,
    .serving_process = serving_process,
    .ensure_serving = ensure_serving,
    .locate = locate,
};

/* ---- start and stop ---- */

static int write_dataset(struct embedded *pipeline, const char *run_folder, struct ce_error *err)
{
    uint64_t seed = (uint64_t)pipeline->spec.dataset_seed, rows = (uint64_t)pipeline->spec.rows;
    pipeline->dataset = ce_format("%s/dataset.csv", run_folder);
    pipeline->metrics = ce_format("%s/models/metrics.json", run_folder);
    if (!pipeline->dataset || !pipeline->metrics)
        return ce_fail_memory(err);
    pipeline->base.dataset = pipeline->dataset;
    CE_TRY(ce_requests_make(seed, rows, HELD_OUT, &pipeline->base.operations, err));
    ce_seam_step("pipeline: write dataset");
    return ce_dataset_write(pipeline->dataset, seed, rows, err);
}

static int make_disk(struct embedded *pipeline, const char *run_folder, struct ce_error *err)
{
    pipeline->run_folder = strdup(run_folder);
    ce_autofree char *disk = ce_format("%s/" CE_DISK, run_folder);
    if (!pipeline->run_folder || !disk)
        return ce_fail_memory(err);
    return ce_folder_make(disk, err);
}

static int add_model_route(struct embedded *pipeline, struct ce_proxy *proxy, int server_port,
                           struct ce_error *err)
{
    struct ce_route_config config = {
        .name = "model",
        .listen = ce_processes_endpoint(pipeline->processes, 0),
        .upstream = ce_processes_endpoint(pipeline->processes, server_port),
        .id_header = "X-Request-Id",
        .upstream_timeout_ns = route_timeout,
    };
    return ce_proxy_add_route(proxy, &config, &pipeline->base.model_route, err);
}

static int add_request_route(struct embedded *pipeline, struct ce_proxy *proxy, int gateway_port,
                             struct ce_error *err)
{
    struct ce_route_config config = {
        .name = "requests",
        .listen = ce_endpoint_loopback(0),
        .upstream = ce_processes_endpoint(pipeline->processes, gateway_port),
        .id_header = "X-Request-Id",
        .upstream_timeout_ns = route_timeout,
    };
    return ce_proxy_add_route(proxy, &config, &pipeline->base.request_route, err);
}

/* Server first, then the route to it, then the gateway, which is told where the route listens, then
 * the route to that. */
static int start_serving(struct embedded *pipeline, struct ce_proxy *proxy, struct ce_error *err)
{
    struct ce_answer answer;
    CE_TRY(ce_processes_ask(pipeline->processes, "train", training_timeout(&pipeline->spec), NULL,
                            err));
    CE_TRY(ce_processes_ask(pipeline->processes, "serve", ready_timeout, &answer, err));
    CE_TRY(add_model_route(pipeline, proxy, answer.port, err));

    const struct sockaddr_in *listening =
        (const void *)&ce_route_endpoint(pipeline->base.model_route)->address;
    char command[32];
    snprintf(command, sizeof command, "front %d", ntohs(listening->sin_port));
    CE_TRY(ce_processes_ask(pipeline->processes, command, ready_timeout, &answer, err));
    return add_request_route(pipeline, proxy, answer.port, err);
}

static int start_all(struct embedded *pipeline, const struct ce_pipeline_site *site,
                     struct ce_error *err)
{
    const char *profile = ce_profile_kind_name((enum ce_profile_kind)pipeline->spec.profile);
    CE_TRY(write_dataset(pipeline, site->run_folder, err));
    CE_TRY(make_disk(pipeline, site->run_folder, err));
    CE_TRY(ce_processes_start(site->journal, site->run_folder, profile, site->helpers,
                              pipeline->spec.inference_time, &pipeline->processes, err));
    pipeline->base.isolation = ce_processes_isolation(pipeline->processes);
    return start_serving(pipeline, site->proxy, err);
}

static int start(const struct ce_pipeline_spec *spec, const struct ce_pipeline_site *site,
                 struct ce_pipeline **ret_pipeline, struct ce_error *err)
{
    struct embedded *pipeline = calloc(1, sizeof *pipeline);
    if (!pipeline)
        return ce_fail_memory(err);
    pipeline->spec = *spec;
    pipeline->base = (struct ce_pipeline){
        .kind = &ce_pipeline_embedded,
        .acts = &acts,
        .name = "embedded pipeline",
        .isolation = "",
        .label = CE_COLUMN_CHURN,
    };
    int r = start_all(pipeline, site, err);
    if (r < 0) {
        ce_pipeline_stop(&pipeline->base);
        return ce_fail_context(err, r, "the embedded pipeline does not start");
    }
    *ret_pipeline = &pipeline->base;
    return 0;
}

static void stop(struct ce_pipeline *base)
{
    struct embedded *pipeline = (struct embedded *)base;
    ce_processes_stop(pipeline->processes);
    ce_requests_done(&pipeline->base.operations);
    free(pipeline->run_folder);
    free(pipeline->dataset);
    free(pipeline->metrics);
    free(pipeline);
}

static int64_t patience(const struct ce_pipeline_spec *spec)
{
    return training_timeout(spec) + 3 * ready_timeout;
}

const struct ce_pipeline_kind ce_pipeline_embedded = {
    .patience = patience,
    .start = start,
    .stop = stop,
};

bool ce_pipeline_isolation_available(char *reason, size_t size)
{
    return ce_processes_probe(reason, size);
}
