/* SPDX-License-Identifier: MIT */
/* The JSON Schema of a probe, made from the tables that validate it. */
#include <string.h>

#include "base/cleanup.h"
#include "probe/probe_internal.h"

/* A bare value, or a mapping. */
static json_t *expect_schema(void)
{
    ce_autojson json_t *map = ce_params_schema(ce_expect_params);
    json_t *equals = json_object_get(json_object_get(map, "properties"), "equals");
    if (!equals ||
        json_object_set_new(equals, "type",
                            json_pack("[s,s,s,s]", "string", "number", "boolean", "null")) < 0)
        return NULL;
    return json_pack("{s:s, s:[{s:[s,s,s,s]}, O]}", "description", "What the answer has to be.",
                     "anyOf", "type", "string", "number", "boolean", "null", map);
}

/* If it is of that kind, then some keys are required, and others have no place. */
static json_t *kind_rule(int kind, const char *name)
{
    struct ce_probe_key keys[CE_PROBE_KEYS];
    const struct ce_probe_spec nothing = {0};
    ce_autojson json_t *required = json_array(), *others = json_object();
    ce_probe_list_keys(&nothing, keys);
    for (size_t i = 0; i < CE_PROBE_KEYS; i++) {
        if (keys[i].required & 1U << kind &&
            json_array_append_new(required, json_string(keys[i].name)) < 0)
            return NULL;
        if (!(keys[i].kinds & 1U << kind) &&
            json_object_set_new(others, keys[i].name, json_pack("{s:s}", "type", "null")) < 0)
            return NULL;
    }
    return json_pack("{s:{s:{s:{s:s}}, s:[s]}, s:{s:O, s:O}}", "if", "properties", "probe", "const",
                     name, "required", "probe", "then", "required", required, "properties", others);
}

json_t *ce_probe_schema(void)
{
    ce_autojson json_t *schema = ce_params_schema(ce_probe_params), *rules = json_array();
    const struct ce_choice *kind = ce_param_find(ce_probe_params, "probe")->choices;
    for (; kind->name; kind++)
        if (json_array_append_new(rules, kind_rule(kind->value, kind->name)) < 0)
            return NULL;
    if (!schema || json_object_set(schema, "allOf", rules) < 0 ||
        json_object_set_new(json_object_get(schema, "properties"), "expect", expect_schema()) < 0)
        return NULL;
    return ce_take(schema);
}
