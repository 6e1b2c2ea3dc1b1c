/* SPDX-License-Identifier: MIT */
/* server: serves the trained models over the Open Inference Protocol (v2, REST) on loopback.
 *
 * One thread answers requests, the main thread listens to the supervisor: "reload" replaces all
 * models at once. naive: a feature that is null or no number counts as 0, an unknown category as
 * none. hardened: it is imputed. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "pipeline/embedded/impute.h"
#include "pipeline/embedded/oip.h"
#include "pipeline/embedded/roles.h"
#include "pipeline/embedded/web.h"
#include "pipeline/embedded/worker.h"

struct server {
    bool hardened;
    char *folder;
    pthread_rwlock_t lock; /* guards the models */
    struct ce_model models[CE_MODEL_COUNT_];
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
    (void)pthread_rwlock_rdlock(&server->lock);
    for (size_t row = 0; row < parsed.count; row++)
        complete_sample(server, &parsed.samples[row]);
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
    struct ce_oip_path path = ce_oip_path_parse(request->path);
    if (path.is_model)
        handle_model(ctx, &path, request, answer);
    else if (strcmp(request->path, "/v2/health/live") == 0)
        ce_web_reply(answer, 200, strdup("{\"live\":true}"));
    else if (strcmp(request->path, "/v2/health/ready") == 0)
        ce_web_reply(answer, 200, strdup("{\"ready\":true}"));
    else if (strcmp(request->path, "/v2") == 0 || strcmp(request->path, "/v2/") == 0)
        ce_web_reply(answer, 200, ce_oip_server_metadata());
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
    struct server server = {.hardened = role->hardened,
                            .folder = ce_format("%s/models", role->run_folder)};
    (void)pthread_rwlock_init(&server.lock, NULL);
    int r = server.folder ? reload(&server, &err) : ce_fail_memory(&err);
    if (r == 0)
        r = ce_web_start(role->port, &handler, &server, &port, &err);
    ce_worker_serve(r, &err, port, reload, &server);
}
