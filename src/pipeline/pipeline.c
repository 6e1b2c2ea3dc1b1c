/* SPDX-License-Identifier: MIT */
#include "pipeline/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "pipeline/kind.h"

static const struct ce_pipeline_kind *const kinds[] = {
    [CE_PIPELINE_EMBEDDED] = &ce_pipeline_embedded,
    [CE_PIPELINE_HTTP] = &ce_pipeline_http,
    [CE_PIPELINE_COMMAND] = &ce_pipeline_command,
};

int ce_pipeline_check(const struct ce_pipeline_spec *spec, const char **ret_key,
                      struct ce_error *err)
{
    const struct ce_pipeline_kind *kind = kinds[spec->kind];
    return kind->check ? kind->check(spec, ret_key, err) : 0;
}

int64_t ce_pipeline_patience(const struct ce_pipeline_spec *spec)
{
    return kinds[spec->kind]->patience(spec);
}

int ce_pipeline_start(const struct ce_pipeline_spec *spec, const struct ce_pipeline_site *site,
                      struct ce_pipeline **ret_pipeline, struct ce_error *err)
{
    return kinds[spec->kind]->start(spec, site, ret_pipeline, err);
}

void ce_pipeline_stop(struct ce_pipeline *pipeline)
{
    if (!pipeline)
        return;
    /* The proxy must not ask for sockets any more. */
    struct ce_route *const routes[] = {pipeline->request_route, pipeline->model_route};
    for (size_t i = 0; i < CE_COUNT(routes); i++)
        if (routes[i])
            (void)ce_route_listening(routes[i], false, true, NULL);
    pipeline->kind->stop(pipeline);
}

const char *ce_pipeline_name(const struct ce_pipeline *pipeline)
{
    return pipeline->name;
}

const char *ce_pipeline_dataset(const struct ce_pipeline *pipeline)
{
    return pipeline->dataset;
}

const char *ce_pipeline_label(const struct ce_pipeline *pipeline)
{
    return pipeline->label;
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
    return pipeline->isolation;
}

const struct ce_protocol *ce_pipeline_protocol(const struct ce_pipeline *pipeline)
{
    return pipeline->protocol;
}

const char *ce_pipeline_locator(const struct ce_pipeline *pipeline)
{
    return pipeline->locator;
}

const struct ce_operations *ce_pipeline_operations(const struct ce_pipeline *pipeline)
{
    return &pipeline->operations;
}

const struct ce_trials *ce_pipeline_trials(const struct ce_pipeline *pipeline)
{
    return pipeline->trials;
}

const struct ce_pipeline_acts *ce_pipeline_acts(const struct ce_pipeline *pipeline)
{
    return pipeline->acts;
}

int ce_pipeline_sample_request(void *pipeline, uint64_t row, const char **ret_path, char **ret_body,
                               size_t *ret_size, struct ce_error *err)
{
    const struct ce_operations *operations = &((const struct ce_pipeline *)pipeline)->operations;
    const struct ce_operation *operation = &operations->items[row % operations->count];
    char *body = malloc(operation->body_size + 1);
    if (!body)
        return ce_fail_memory(err);
    memcpy(body, operation->body, operation->body_size + 1);
    *ret_path = operations->path;
    *ret_body = body;
    *ret_size = operation->body_size;
    return 0;
}
