/* SPDX-License-Identifier: MIT */
/* The embedded pipeline, started for a test: real processes, really trained models. */
#ifndef CE_TESTS_PIPELINE_WORLD_H
#define CE_TESTS_PIPELINE_WORLD_H

#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "check.h"
#include "host/process.h"
#include "net/client.h"
#include "pipeline/embedded/processes.h"
#include "pipeline/pipeline.h"

/* Generous: it only runs out when something is broken. */
static const int64_t patience = 20 * CE_SECOND;

static const struct ce_undo_op *const ops[] = {&ce_undo_end_process, NULL};

/* A run of its own: folder, journal, proxy, pipeline. */
struct world {
    char folder[64];
    char *state, *run;
    struct ce_journal *journal;
    struct ce_proxy *proxy;
    struct ce_pipeline *pipeline;
};

static inline int world_open(struct world *world, enum ce_profile_kind profile,
                             struct ce_error *err)
{
    struct ce_pipeline_spec spec;
    memset(&spec, 0, sizeof spec);
    *world = (struct world){0};
    CE_TRY(ce_params_init(ce_pipeline_params, &spec, err));
    spec.profile = profile;
    spec.inference_time = 0; /* there is much to ask */
    strcpy(world->folder, "/tmp/ce-pipeline-XXXXXX");
    if (!mkdtemp(world->folder))
        return ce_fail(err, errno, "mkdtemp: %s", strerror(errno));
    world->state = ce_format("%s/state", world->folder);
    world->run = ce_format("%s/run", world->folder);
    CE_TRY(ce_folder_make(world->run, err));
    CE_TRY(ce_journal_create(world->state, "test", ops, &world->journal, err));
    CE_TRY(ce_proxy_start(1, &world->proxy, err));
    struct ce_pipeline_site site = {world->run, world->journal, world->proxy, NULL};
    return ce_pipeline_start(&spec, &site, &world->pipeline, err);
}

static inline void world_close(struct world *world)
{
    ce_pipeline_stop(world->pipeline);
    ce_proxy_stop(world->proxy);
    ce_journal_close(world->journal);
    if (*world->folder)
        (void)ce_tree_remove(world->folder, NULL);
    free(world->state);
    free(world->run);
    *world = (struct world){0};
}

/* Opens a world, and declares the error of whatever is done in it. */
#define WORLD(name, err, profile)                                                                  \
    CE_CLEANUP(world_close) struct world name = {0};                                               \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(world_open(&name, profile, &err), err)

/* ---- operations ---- */

/* One call through a route, as `id`; the status, or a negative errno. */
static inline int call(const struct ce_route *route, const char *id, const char *path,
                       const char *body, struct ce_http_answer *ret_answer)
{
    ce_autofree char *headers = ce_format("X-Request-Id: %s\r\n", id);
    struct ce_http_call http = {
        .method = body ? "POST" : "GET",
        .path = path,
        .headers = headers,
        .body = body ? body : "",
        .body_size = body ? strlen(body) : 0,
        .timeout_ns = patience,
    };
    CE_TRY(ce_http_call(ce_route_endpoint(route), &http, ret_answer, NULL));
    return ret_answer->status;
}

/* The status of one labelled operation; its answer's text if `ret_text`. */
static inline int operate(const struct world *world, size_t n, const char *id, char **ret_text)
{
    const struct ce_operations *operations = ce_pipeline_operations(world->pipeline);
    struct ce_http_answer answer = {0};
    int status = call(ce_pipeline_request_route(world->pipeline), id, operations->path,
                      operations->items[n].body, &answer);
    if (ret_text)
        *ret_text = status > 0 ? ce_take(answer.body) : NULL;
    ce_http_answer_done(&answer);
    return status;
}

/* As operate(), with the answer of the newest model. */
static inline bool newest_answers(const struct world *world, const char *id)
{
    ce_autofree char *text = NULL;
    return operate(world, 0, id, &text) == 200 && strstr(text, "\"model_version\":\"2\"");
}

/* ---- processes ---- */

/* Polls until `condition`, or patience runs out. */
#define EVENTUALLY(condition)                                                                      \
    __extension__({                                                                                \
        int64_t until_ = ce_now() + patience;                                                      \
        bool holds_;                                                                               \
        while (!(holds_ = (condition)) && ce_now() < until_)                                       \
            (void)poll(NULL, 0, 5);                                                                \
        holds_;                                                                                    \
    })

/* The program lies in the build tree beside this test: tests/unit/../../src/pipeline. */
static inline void find_program(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    const char *named = getenv("CHAOSEATER_LIBEXEC");
    if ((named && *named) || n < 0)
        return;
    self[n] = '\0';
    ce_autofree char *folder = ce_format("%s/../../src/pipeline", dirname(self));
    setenv("CHAOSEATER_LIBEXEC", folder, 1);
}

#endif
