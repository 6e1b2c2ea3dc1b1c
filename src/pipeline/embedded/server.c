/* SPDX-License-Identifier: MIT */
/* server: serves the trained models over the Open Inference Protocol (v2, REST) on loopback.
 *
 * One thread answers requests, the main thread listens to the supervisor: "reload" replaces all
 * models at once. Each inference is noted in the request log first. naive: a feature that is null
 * or no number counts as 0, an unknown category as none; no answer without its line in the log.
 * hardened: what is missing is imputed, and the log is written when there is time. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "pipeline/embedded/accelerator.h"
#include "pipeline/embedded/freshness.h"
#include "pipeline/embedded/impute.h"
#include "pipeline/embedded/oip.h"
#include "pipeline/embedded/request_log.h"
#include "pipeline/embedded/roles.h"
#include "pipeline/embedded/web.h"
#include "pipeline/embedded/worker.h"

struct server {
    bool hardened;
    int64_t inference_time; /* of the processor, ns */
    char *folder;
    pthread_rwlock_t lock; /* guards the models */
    struct ce_model models[CE_MODEL_COUNT_];
    struct ce_request_log *log;
    struct ce_accelerator *accelerator;
    struct ce_freshness freshness;
};

static void complete_sample(const struct server *server, struct ce_sample *sample)
{
    if (server->hardened) {
        (void)ce_impute(&server->models[CE_MODEL_CHURN_2], sample);
        return;
    }
    for (size_t i = 0; i < CE_NUMBERS; i++)
        if (isnan(sample->numbers[i]))
            sample->numbers[i] = 0;
}

static int64_t processor_time(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * CE_SECOND + now.tv_nsec;
}

/* Predicts again and again until the time is spent that a larger model would take: only then is
 * there something to be felt when the processor is short. */
static void spend_time(const struct server *server, const struct ce_model *model,
                       const struct ce_sample *sample)
{
    enum { AT_ONCE = 64 };
    volatile double ignored; /* so that it is computed */
    for (int64_t until = processor_time() + server->inference_time; processor_time() < until;)
        for (int i = 0; i < AT_ONCE; i++)
            ignored = ce_model_predict(model, sample);
    (void)ignored;
}

static int note_request(struct server *server, const struct ce_model *model,
                        const struct ce_web_request *request, const struct ce_oip_request *parsed,
                        struct ce_error *err)
{
    struct ce_request_entry entry = {
        .id = request->id,
        .model = model->name,
        .version = model->version,
        .rows = parsed->count,
        .prediction = parsed->count > 0 ? ce_model_predict(model, &parsed->samples[0]) : NAN,
        .body = request->body,
        .size = request->size,
    };
    return ce_request_log_add(server->log, &entry, err);
}

static void infer(struct server *server, int model, const struct ce_web_request *request,
                  struct ce_web_answer *answer)
{
    struct ce_error err = {0};
    CE_CLEANUP(ce_oip_request_done) struct ce_oip_request parsed = {0};
    if (strcmp(request->method, "POST") != 0) {
        ce_web_reply(answer, 405, ce_oip_error("inference wants POST"));
        return;
    }
    if (ce_oip_read(request->body, request->size, false, &parsed, &err) < 0) {
        ce_web_reply(answer, err.code == ENOMEM ? 500 : 400, ce_oip_error(err.message));
        return;
    }
    if (!ce_freshness_allows(&server->freshness, request->time)) {
        ce_web_reply(answer, 400, ce_oip_error("the request is not from now"));
        return;
    }
    if (!ce_accelerator_allows(server->accelerator, server->hardened)) {
        ce_web_reply(answer, 503, ce_oip_error("there is no accelerator to compute on"));
        return;
    }
    (void)pthread_rwlock_rdlock(&server->lock);
    for (size_t row = 0; row < parsed.count; row++)
        complete_sample(server, &parsed.samples[row]);
    if (parsed.count > 0)
        spend_time(server, &server->models[model], &parsed.samples[0]);
    if (note_request(server, &server->models[model], request, &parsed, &err) < 0)
        ce_web_reply(answer, 500, ce_oip_error(err.message));
    else
        ce_web_reply(answer, 200, ce_oip_answer(&server->models[model], &parsed, &answer->size));
    (void)pthread_rwlock_unlock(&server->lock);
}

static void handle_model(struct server *server, const struct ce_oip_path *path,
                         const struct ce_web_request *request, struct ce_web_answer *answer)
{
    if (path->model < 0) {
        ce_web_reply(answer, 404, ce_oip_error("no such model or version"));
    } else if (strcmp(path->verb, "infer") == 0) {
        infer(server, path->model, request, answer);
    } else if (strcmp(path->verb, "ready") == 0) {
        ce_web_reply(answer, 200, strdup("{\"ready\":true}"));
    } else if (*path->verb == '\0') {
        (void)pthread_rwlock_rdlock(&server->lock);
        ce_web_reply(answer, 200, ce_oip_model_metadata(&server->models[path->model]));
        (void)pthread_rwlock_unlock(&server->lock);
    } else {
        ce_web_reply(answer, 404, ce_oip_error("no such path"));
    }
}

static void handle(void *ctx, const struct ce_web_request *request, struct ce_web_answer *answer)
{
    struct server *server = ctx;
    struct ce_oip_path path = ce_oip_path_parse(request->path);
    if (path.is_model)
        handle_model(ctx, &path, request, answer);
    else if (strcmp(request->path, "/v2/health/live") == 0)
        ce_web_reply(answer, 200, strdup("{\"live\":true}"));
    else if (strcmp(request->path, "/v2/health/ready") == 0)
        ce_web_reply(answer, 200, strdup("{\"ready\":true}"));
    else if (strcmp(request->path, "/v2") == 0 || strcmp(request->path, "/v2/") == 0)
        ce_web_reply(answer, 200, ce_oip_server_metadata());
    else if (strcmp(request->path, "/v2/accelerator") == 0)
        ce_web_reply(answer, 200, ce_accelerator_text(server->accelerator));
    else if (strcmp(request->path, "/v2/clock") == 0)
        ce_web_reply(answer, 200, ce_freshness_text(&server->freshness));
    else
        ce_web_reply(answer, 404, ce_oip_error("no such path"));
}

static int reload(void *ctx, struct ce_error *err)
{
    struct server *server = ctx;
    struct ce_model models[CE_MODEL_COUNT_];
    CE_TRY(ce_models_load(server->folder, models, err));
    (void)pthread_rwlock_wrlock(&server->lock);
    memcpy(server->models, models, sizeof models);
    (void)pthread_rwlock_unlock(&server->lock);
    return 0;
}

static const struct ce_web_handler handler = {.handle = handle};

int ce_server_run(const struct ce_role *role)
{
    struct ce_error err = {0};
    int port = 0;
    const char *inference_time = getenv(CE_SERVER_TIME);
    struct server server = {.hardened = role->hardened,
                            .inference_time =
                                inference_time ? strtoll(inference_time, NULL, 10) : 0,
                            .freshness.lenient = role->hardened,
                            .folder = ce_format("%s/models", role->run_folder)};
    ce_autofree char *disk = ce_format("%s/" CE_DISK, role->run_folder);
    (void)pthread_rwlock_init(&server.lock, NULL);
    int r = server.folder && disk ? reload(&server, &err) : ce_fail_memory(&err);
    if (r == 0)
        r = ce_request_log_open(disk, role->hardened, &server.log, &err);
    if (r == 0)
        r = ce_accelerator_open(&server.accelerator, &err);
    if (r == 0)
        r = ce_web_start(role->port, &handler, &server, &port, &err);
    ce_worker_serve(r, &err, port, reload, &server);
}
