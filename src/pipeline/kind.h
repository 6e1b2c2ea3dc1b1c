/* SPDX-License-Identifier: MIT */
/* What a kind of pipeline gives to the front (pipeline.c). */
#ifndef CE_PIPELINE_KIND_H
#define CE_PIPELINE_KIND_H

#include "pipeline/pipeline.h"

struct ce_pipeline_kind {
    /* See ce_pipeline_check() and the others of these names; NULL: nothing to check. */
    int (*check)(const struct ce_pipeline_spec *spec, const char **ret_key, struct ce_error *err);
    int64_t (*patience)(const struct ce_pipeline_spec *spec);
    int (*start)(const struct ce_pipeline_spec *spec, const struct ce_pipeline_site *site,
                 struct ce_pipeline **ret_pipeline, struct ce_error *err);
    /* After the routes were closed. Frees the pipeline. */
    void (*stop)(struct ce_pipeline *pipeline);
};

/* The first member of a pipeline of any kind, which owns what is pointed to. */
struct ce_pipeline {
    const struct ce_pipeline_kind *kind;
    const struct ce_pipeline_acts *acts;
    const char *name, *isolation;
    const char *dataset, *label;
    const char *locator;
    const struct ce_protocol *protocol;
    struct ce_route *request_route, *model_route; /* NULL until there is one */
    struct ce_operations operations;
    const struct ce_trials *trials; /* NULL: it is asked operations */
};

extern const struct ce_pipeline_kind ce_pipeline_embedded, ce_pipeline_http, ce_pipeline_command;

#endif
