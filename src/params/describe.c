/* SPDX-License-Identifier: MIT */
/* The tables for programs: resolved values, descriptions and JSON Schema. */
#include "params/params.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "params/params_internal.h"

#define NUMBER_PATTERN "[+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?"
#define UNIT_PATTERN   "(us|ms|s|m|h|d)"

static const void *field(const struct ce_param *param, const void *obj)
{
    return (const char *)obj + param->offset;
}

static bool is_time(const struct ce_param *param)
{
    return param->type == CE_PARAM_DURATION || param->type == CE_PARAM_SECONDS;
}

static json_t *names_json(const struct ce_names *names)
{
    if (names->count == 0)
        return json_null();
    ce_autojson json_t *list = json_array();
    for (size_t i = 0; i < names->count; i++)
        if (json_array_append_new(list, json_string(names->names[i])) < 0)
            return NULL;
    return ce_take(list);
}

static json_t *choice_json(const struct ce_param *param, int value)
{
    for (const struct ce_choice *choice = param->choices; choice->name; choice++)
        if (choice->value == value)
            return json_string(choice->name);
    return json_null();
}

static json_t *value_json(const struct ce_param *param, const void *obj)
{
    const void *value = field(param, obj);
    switch (param->type) {
    case CE_PARAM_RATE:
    case CE_PARAM_NUMBER:
        return ce_json_number(*(const double *)value);
    case CE_PARAM_INTEGER:
        return json_integer(*(const int64_t *)value);
    case CE_PARAM_BOOL:
        return json_boolean(*(const bool *)value);
    case CE_PARAM_DURATION:
    case CE_PARAM_SECONDS:
        return ce_json_number((double)*(const int64_t *)value / CE_SECOND);
    case CE_PARAM_CHOICE:
        return choice_json(param, *(const int *)value);
    case CE_PARAM_TEXT: {
        const char *text = *(char *const *)value;
        return text ? json_string(text) : json_null();
    }
    case CE_PARAM_NAMES:
        return names_json(value);
    case CE_PARAM_END:
        break;
    }
    return json_null();
}

json_t *ce_params_values(const struct ce_param *table, const void *obj)
{
    ce_autojson json_t *values = json_object();
    for (const struct ce_param *param = table; param->name; param++)
        if (json_object_set_new(values, param->name, value_json(param, obj)) < 0)
            return NULL;
    return ce_take(values);
}

/* ---- descriptions ---- */

/* As it would be written in a document: a number, true, or text. */
static json_t *default_json(const struct ce_param *param)
{
    double number;
    int64_t integer;
    if (!param->def || param->def[0] == '\0')
        return json_null();
    switch (param->type) {
    case CE_PARAM_BOOL:
        return json_boolean(param->def[0] == 't');
    case CE_PARAM_INTEGER:
        return ce_text_integer(param->def, &integer) == 0 ? json_integer(integer) : NULL;
    case CE_PARAM_RATE:
    case CE_PARAM_NUMBER:
    case CE_PARAM_SECONDS:
        if (ce_text_number(param->def, &number) == 0)
            return json_real(number);
        break;
    default:
        break;
    }
    return json_string(param->def);
}

/* Times in seconds. */
static json_t *bound_json(const struct ce_param *param, double bound)
{
    if (!ce_param_bounded(param))
        return json_null();
    if (param->type == CE_PARAM_INTEGER)
        return json_integer(ce_param_integer_bound(bound));
    return ce_json_number(is_time(param) ? bound / CE_SECOND : bound);
}

static json_t *choices_json(const struct ce_param *param)
{
    if (!param->choices)
        return json_null();
    ce_autojson json_t *list = json_array();
    for (const struct ce_choice *choice = param->choices; choice->name; choice++)
        if (!choice->later && json_array_append_new(list, json_string(choice->name)) < 0)
            return NULL;
    return ce_take(list);
}

static json_t *describe(const struct ce_param *param)
{
    static const char *const types[] = {
        [CE_PARAM_RATE] = "rate",         [CE_PARAM_NUMBER] = "number",
        [CE_PARAM_INTEGER] = "integer",   [CE_PARAM_BOOL] = "bool",
        [CE_PARAM_DURATION] = "duration", [CE_PARAM_SECONDS] = "seconds",
        [CE_PARAM_CHOICE] = "choice",     [CE_PARAM_TEXT] = "text",
        [CE_PARAM_NAMES] = "names",
    };
    const char *unit = param->unit ? param->unit : is_time(param) ? "s" : NULL;
    ce_autojson json_t *row = json_object();
    if (json_object_set_new(row, "name", json_string(param->name)) < 0 ||
        json_object_set_new(row, "type", json_string(types[param->type])) < 0 ||
        json_object_set_new(row, "default", default_json(param)) < 0 ||
        json_object_set_new(row, "min", bound_json(param, param->min)) < 0 ||
        json_object_set_new(row, "max", bound_json(param, param->max)) < 0 ||
        json_object_set_new(row, "unit", unit ? json_string(unit) : json_null()) < 0 ||
        json_object_set_new(row, "choices", choices_json(param)) < 0 ||
        json_object_set_new(row, "doc", json_string(param->doc)) < 0 ||
        json_object_set_new(row, "required", json_boolean(!param->def)) < 0)
        return NULL;
    return ce_take(row);
}

json_t *ce_params_describe(const struct ce_param *table)
{
    ce_autojson json_t *list = json_array();
    for (const struct ce_param *param = table; param->name; param++)
        if (json_array_append_new(list, describe(param)) < 0)
            return NULL;
    return ce_take(list);
}

/* ---- JSON Schema ---- */

/* The part of a row's schema that its type decides. Where nothing is a fine value, null says so
 * too. */
static json_t *type_schema(const struct ce_param *param)
{
    bool optional = param->def && param->def[0] == '\0';
    switch (param->type) {
    case CE_PARAM_RATE:
    case CE_PARAM_NUMBER:
        return json_pack("{s:s}", "type", "number");
    case CE_PARAM_INTEGER:
        return optional ? json_pack("{s:[s,s]}", "type", "integer", "null")
                        : json_pack("{s:s}", "type", "integer");
    case CE_PARAM_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case CE_PARAM_DURATION:
        return json_pack("{s:s, s:s}", "type", "string", "pattern",
                         "^" NUMBER_PATTERN UNIT_PATTERN "$");
    case CE_PARAM_SECONDS:
        return json_pack("{s:[s,s], s:s}", "type", "number", "string", "pattern",
                         "^" NUMBER_PATTERN UNIT_PATTERN "?$");
    case CE_PARAM_CHOICE:
        return json_pack("{s:o}", "enum", choices_json(param));
    case CE_PARAM_TEXT:
        return optional ? json_pack("{s:[s,s,s]}", "type", "string", "number", "null")
                        : json_pack("{s:[s,s]}", "type", "string", "number");
    case CE_PARAM_NAMES:
        return json_pack("{s:[s,s,s,s], s:i, s:{s:[s,s], s:i}}", "type", "array", "string",
                         "number", "null", "minLength", 1, "items", "type", "string", "number",
                         "minLength", 1);
    case CE_PARAM_END:
        break;
    }
    return json_object();
}

static json_t *row_schema(const struct ce_param *param)
{
    ce_autojson json_t *schema = type_schema(param);
    ce_autojson json_t *def = default_json(param);
    if (!schema || !def)
        return NULL;
    /* A DURATION is text to JSON Schema, which can bound numbers only. */
    if (ce_param_bounded(param) && param->type != CE_PARAM_DURATION &&
        (json_object_set_new(schema, "minimum", bound_json(param, param->min)) < 0 ||
         json_object_set_new(schema, "maximum", bound_json(param, param->max)) < 0))
        return NULL;
    if (!json_is_null(def) && json_object_set(schema, "default", def) < 0)
        return NULL;
    if (json_object_set_new(schema, "description", json_string(param->doc)) < 0)
        return NULL;
    return ce_take(schema);
}

json_t *ce_params_schema(const struct ce_param *table)
{
    ce_autojson json_t *schema = json_pack("{s:s, s:{}, s:[], s:b}", "type", "object", "properties",
                                           "required", "additionalProperties", 0);
    json_t *properties = json_object_get(schema, "properties");
    json_t *required = json_object_get(schema, "required");
    if (!schema)
        return NULL;
    for (const struct ce_param *param = table; param->name; param++) {
        if (json_object_set_new(properties, param->name, row_schema(param)) < 0)
            return NULL;
        if (!param->def && json_array_append_new(required, json_string(param->name)) < 0)
            return NULL;
    }
    return ce_take(schema);
}
