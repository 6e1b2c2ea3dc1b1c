/* SPDX-License-Identifier: MIT */
/* The document's JSON Schema, made from the tables that validate it. A fault's own parameters hang
 * on `fault_type`. */
#include "base/json.h"
#include "experiment/document_internal.h"

/* A section may be left empty, which YAML reads as null. */
static int allow_null(json_t *schema)
{
    return json_object_set_new(schema, "type", json_pack("[s,s]", "object", "null"));
}

static bool has_required(const struct ce_param *table)
{
    for (; table->name; table++)
        if (!table->def)
            return true;
    return false;
}

/* A table's schema for a section that may be empty, unless the table requires something. */
static json_t *section_schema(const struct ce_param *table)
{
    ce_autojson json_t *schema = ce_params_schema(table);
    if (!schema || (!has_required(table) && allow_null(schema) < 0))
        return NULL;
    return ce_take(schema);
}

/* If `fault_type` is this fault, then its layer and its parameters. */
static json_t *fault_rule(const struct ce_fault *fault)
{
    const char *layer = ce_layer_name(fault->layer);
    ce_autojson json_t *layers = json_pack("[s]", layer);
    if (fault->layer == CE_LAYER_INFRASTRUCTURE &&
        json_array_append_new(layers, json_string("infra")) < 0)
        return NULL;
    ce_autojson json_t *then = json_pack("{s:{s:{s:O}, s:o}}", "properties", "layer", "enum",
                                         layers, "parameters", section_schema(fault->params));
    if (!then || (has_required(fault->params) &&
                  json_object_set_new(then, "required", json_pack("[s]", "parameters")) < 0))
        return NULL;
    return json_pack("{s:{s:{s:{s:s}}, s:[s]}, s:O}", "if", "properties", "fault_type", "const",
                     fault->name, "required", "fault_type", "then", then);
}

/* `process` takes a name or a mapping. */
static json_t *target_schema(void)
{
    ce_autojson json_t *schema = section_schema(ce_target_params);
    json_t *properties = json_object_get(schema, "properties");
    json_t *process = json_object_get(properties, "process");
    ce_autojson json_t *either =
        json_pack("{s:[O, o]}", "anyOf", process, ce_params_schema(ce_target_process_params));
    if (!either || json_object_set(properties, "process", either) < 0)
        return NULL;
    return ce_take(schema);
}

static json_t *experiment_schema(void)
{
    ce_autojson json_t *schema = ce_params_schema(ce_experiment_params);
    ce_autojson json_t *rules = json_array(), *names = json_array();
    for (size_t i = 0; i < ce_fault_count(); i++)
        if (json_array_append_new(rules, fault_rule(ce_fault_at(i))) < 0 ||
            json_array_append_new(names, json_string(ce_fault_at(i)->name)) < 0)
            return NULL;
    json_t *properties = json_object_get(schema, "properties");
    json_t *fault_type = json_object_get(properties, "fault_type");
    json_t *name = json_object_get(properties, "name");
    if (json_object_del(fault_type, "type") < 0 || json_object_set(fault_type, "enum", names) < 0 ||
        json_object_set_new(name, "minLength", json_integer(1)) < 0 ||
        json_object_set_new(name, "maxLength", json_integer(CE_NAME_MAX)) < 0 ||
        json_object_set_new(
            properties, "parameters",
            json_pack("{s:[s,s], s:s}", "type", "object", "null", "description",
                      "The fault's own parameters; `chaoseater explain FAULT` prints them.")) < 0 ||
        json_object_set_new(properties, "target", target_schema()) < 0 ||
        json_object_set_new(properties, "schedule", ce_schedule_schema()) < 0 ||
        json_object_set_new(properties, "steady_state", ce_steady_state_schema()) < 0 ||
        json_object_set_new(properties, "stop_when", ce_stop_when_schema()) < 0 ||
        json_object_set_new(properties, "rollback", ce_rollback_schema()) < 0 ||
        json_object_set_new(properties, "blast_radius", ce_blast_schema()) < 0 ||
        json_object_set_new(schema, "not",
                            json_pack("{s:[s,s]}", "required", "rollback", "rollback_strategy")) <
            0 ||
        json_object_set(schema, "allOf", rules) < 0)
        return NULL;
    return ce_take(schema);
}

static json_t *pipeline_schema(void)
{
    ce_autojson json_t *schema = ce_pipeline_schema();
    return !schema || allow_null(schema) < 0 ? NULL : ce_take(schema);
}

static json_t *document_schema(void)
{
    ce_autojson json_t *keys = ce_params_schema(ce_document_params);
    ce_autojson json_t *schema =
        json_pack("{s:s, s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
                  "ChaosEater experiment document");
    json_t *properties = json_object_get(keys, "properties");
    if (!schema || !keys || json_object_update(schema, keys) < 0 ||
        json_object_set_new(properties, "experiments",
                            json_pack("{s:s, s:i, s:o}", "type", "array", "minItems", 1, "items",
                                      experiment_schema())) < 0 ||
        json_object_set_new(properties, "pipeline", pipeline_schema()) < 0 ||
        json_object_set_new(properties, "prometheus", section_schema(ce_prometheus_params)) < 0 ||
        json_object_set_new(properties, "opentelemetry", section_schema(ce_opentelemetry_params)) <
            0 ||
        json_object_set_new(properties, "grafana", section_schema(ce_grafana_params)) < 0 ||
        json_object_set_new(properties, "schedule", ce_schedule_schema()) < 0 ||
        json_object_set_new(schema, "required", json_pack("[s]", "experiments")) < 0)
        return NULL;
    return ce_take(schema);
}

char *ce_document_schema(void)
{
    ce_autojson json_t *schema = document_schema();
    return schema ? ce_json_text(schema) : NULL;
}
