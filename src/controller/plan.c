/* SPDX-License-Identifier: MIT */
/* The record of a run that has not begun: what is planned, and nothing measured. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "controller/controller.h"

void ce_run_id_make(char id[64])
{
    char text[CE_TIMESTAMP_SIZE];
    uint32_t random = 0;
    ce_timestamp(ce_wall_now(), text);
    (void)!getrandom(&random, sizeof random, 0);
    /* 2026-11-22T10:00:00.123Z becomes 20261122T100000 */
    snprintf(id, 64, "%.4s%.2s%.5s%.2s%.2s-%08x", text, text + 5, text + 8, text + 14, text + 17,
             random);
}

/* NULL: no memory. */
static json_t *tags_of(const struct ce_experiment *experiment)
{
    ce_autojson json_t *tags = json_array();
    for (size_t i = 0; i < experiment->tags.count; i++)
        if (json_array_append_new(tags, json_string(experiment->tags.names[i])) < 0)
            return NULL;
    return ce_take(tags);
}

int ce_run_plan(const struct ce_run_options *options, struct ce_record *ret_record,
                struct ce_error *err)
{
    const struct ce_experiment *x = options->experiment;
    const struct ce_pipeline_spec *pipeline = options->pipeline;
    struct ce_record record = ce_record_unmeasured();
    record.name = strdup(x->name);
    record.layer = strdup(ce_layer_name(x->fault->layer));
    record.fault_type = strdup(x->fault->name);
    record.strategy = strdup(ce_strategy_name(x->strategy));
    record.parameters = ce_params_values(x->fault->params, x->params);
    record.duration = (double)x->duration / (double)CE_SECOND;
    record.asked_duration = (double)x->asked_duration / (double)CE_SECOND;
    record.pipeline = ce_pipeline_kind_name(pipeline->kind);
    if (pipeline->kind == CE_PIPELINE_EMBEDDED)
        record.profile = strdup(ce_profile_kind_name((enum ce_profile_kind)pipeline->profile));
    else if (pipeline->kind == CE_PIPELINE_HTTP)
        record.url = strdup(pipeline->url);
    else
        record.command = ce_pipeline_command_text(pipeline);
    record.seed = options->seed;
    record.repeat = options->repeat;
    record.control = x->fault->is_control && x->fault->is_control(x->params);
    record.verification = strdup("not looked at: the fault was not injected");
    record.isolation = strdup("");
    record.tags = tags_of(x);
    ce_run_id_make(record.id);
    if (!record.name || !record.layer || !record.fault_type || !record.strategy ||
        !record.parameters || !(record.profile || record.url || record.command) ||
        !record.verification || !record.isolation || !record.tags) {
        ce_record_done(&record);
        return ce_fail_memory(err);
    }
    *ret_record = record;
    return 0;
}
