/* SPDX-License-Identifier: MIT */
/* What a document comes to, defaults filled in, for programs that do not read YAML. */
#include "base/clock.h"
#include "base/json.h"
#include "experiment/document_internal.h"

static int put(json_t *json, const char *key, json_t *value)
{
    return json_object_set_new(json, key, value);
}

static json_t *experiment_json(const struct ce_experiment *experiment)
{
    ce_autojson json_t *json = ce_params_values(ce_experiment_params, experiment);
    if (!json || put(json, "layer", json_string(ce_layer_name(experiment->fault->layer))) < 0 ||
        put(json, "parameters", ce_params_values(experiment->fault->params, experiment->params)) <
            0 ||
        put(json, "left_out", json_boolean(experiment->left_out)) < 0)
        return NULL;
    if (!experiment->has_seed && put(json, "seed", json_null()) < 0)
        return NULL;
    if (experiment->asked_duration > 0 &&
        put(json, "asked_duration",
            json_real((double)experiment->asked_duration / (double)CE_SECOND)) < 0)
        return NULL;
    return ce_take(json);
}

/* A section's keys; null where the document has no such section. */
static json_t *section_json(const struct ce_document *doc, const struct ce_map_rules *rules,
                            const void *keys)
{
    return ce_node_get(doc->root, rules->owner) ? ce_params_values(rules->table, keys)
                                                : json_null();
}

static json_t *document_json(const struct ce_document *doc)
{
    ce_autojson json_t *json = ce_params_values(ce_document_params, &doc->keys);
    ce_autojson json_t *experiments = json_array();
    for (size_t i = 0; i < doc->experiment_count; i++)
        if (json_array_append_new(experiments, experiment_json(&doc->experiments[i])) < 0)
            return NULL;
    if (!json || (!ce_map_has(doc->root, "seed") && put(json, "seed", json_null()) < 0) ||
        put(json, "experiments", ce_take(experiments)) < 0 ||
        put(json, "pipeline", ce_params_values(ce_pipeline_params, &doc->pipeline)) < 0 ||
        put(json, "prometheus", section_json(doc, &ce_prometheus_rules, &doc->prometheus)) < 0 ||
        put(json, "opentelemetry",
            section_json(doc, &ce_opentelemetry_rules, &doc->opentelemetry)) < 0 ||
        put(json, "grafana", section_json(doc, &ce_grafana_rules, &doc->grafana)) < 0)
        return NULL;
    return ce_take(json);
}

int ce_document_json(const struct ce_document *doc, char **ret_json, struct ce_error *err)
{
    if (!doc->validated)
        return ce_fail(err, EINVAL, "the document has to be validated first");
    ce_autojson json_t *json = document_json(doc);
    char *text = json ? ce_json_exact_text(json) : NULL;
    if (!text)
        return ce_fail_memory(err);
    *ret_json = text;
    return 0;
}
