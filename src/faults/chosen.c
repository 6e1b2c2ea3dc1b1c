/* SPDX-License-Identifier: MIT */
#include "faults/chosen.h"

#include <stdlib.h>
#include <string.h>

int ce_chosen_init(const char *name, struct ce_chosen *ret, struct ce_error *err)
{
    const struct ce_fault *fault = ce_fault_find(name);
    if (!fault) {
        const char *nearest = ce_fault_nearest(name);
        if (nearest)
            return ce_fail(err, ENOENT, "no fault is called '%s'; did you mean '%s'?", name,
                           nearest);
        return ce_fail(err, ENOENT, "no fault is called '%s'; `chaoseater faults` lists them",
                       name);
    }
    struct ce_chosen chosen = {.fault = fault, .params = calloc(1, fault->params_size + 1)};
    if (!chosen.params)
        return ce_fail_memory(err);
    int r = ce_params_init(fault->params, chosen.params, err);
    if (r < 0) {
        ce_chosen_done(&chosen);
        return r;
    }
    *ret = chosen;
    return 0;
}

void ce_chosen_done(struct ce_chosen *chosen)
{
    if (!chosen->fault)
        return;
    ce_params_done(chosen->fault->params, chosen->params);
    free(chosen->params);
    *chosen = (struct ce_chosen){0};
}

static int find_param(const struct ce_chosen *chosen, const char *name,
                      const struct ce_param **ret_param, struct ce_error *err)
{
    const struct ce_fault *fault = chosen->fault;
    const struct ce_param *param = ce_param_find(fault->params, name);
    if (param) {
        *ret_param = param;
        return 0;
    }
    const char *nearest = ce_param_nearest(fault->params, name);
    if (nearest)
        return ce_fail(err, ENOENT, "%s has no parameter '%s'; did you mean '%s'?", fault->name,
                       name, nearest);
    return ce_fail(err, ENOENT, "%s has no parameter '%s'; `chaoseater explain %s` lists them",
                   fault->name, name, fault->name);
}

static int set_names(const struct ce_param *param, void *params, const char *text,
                     struct ce_error *err)
{
    ce_autofree char *copy = strdup(text);
    ce_autofree const char **items = calloc(strlen(text) + 1, sizeof *items);
    if (!copy || !items)
        return ce_fail_memory(err);
    size_t count = 0;
    char *rest = copy;
    for (char *item; (item = strsep(&rest, ","));)
        items[count++] = item;
    return ce_param_set_list(param, params, items, count, err);
}

int ce_chosen_set(struct ce_chosen *chosen, const char *name, const char *text,
                  struct ce_error *err)
{
    const struct ce_param *param = NULL;
    CE_TRY(find_param(chosen, name, &param, err));
    return param->type == CE_PARAM_NAMES && strchr(text, ',')
               ? set_names(param, chosen->params, text, err)
               : ce_param_set(param, chosen->params, text, err);
}

static int set_json_list(const struct ce_param *param, void *params, const json_t *list,
                         struct ce_error *err)
{
    ce_autofree const char **items = calloc(json_array_size(list) + 1, sizeof *items);
    if (!items)
        return ce_fail_memory(err);
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item)
    {
        items[i] = json_string_value(item);
        if (!items[i])
            return ce_fail(err, EINVAL, "%s: its list holds something that is no text",
                           param->name);
    }
    return ce_param_set_list(param, params, items, json_array_size(list), err);
}

int ce_chosen_set_json(struct ce_chosen *chosen, const char *name, const json_t *value,
                       struct ce_error *err)
{
    const struct ce_param *param = NULL;
    CE_TRY(find_param(chosen, name, &param, err));
    if (json_is_array(value))
        return set_json_list(param, chosen->params, value, err);
    if (json_is_string(value))
        return ce_param_set(param, chosen->params, json_string_value(value), err);
    if (json_is_object(value) || json_is_null(value))
        return ce_fail(err, EINVAL, "%s: takes a value, not %s", name,
                       json_is_null(value) ? "null" : "an object");
    ce_autofree char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    return text ? ce_param_set(param, chosen->params, text, err) : ce_fail_memory(err);
}

int ce_chosen_check(const struct ce_chosen *chosen, struct ce_error *err)
{
    return chosen->fault->check ? chosen->fault->check(chosen->params, err) : 0;
}

unsigned ce_chosen_needs(const struct ce_chosen *chosen)
{
    const struct ce_fault *fault = chosen->fault;
    return fault->needs_of ? fault->needs_of(chosen->params) : fault->needs;
}

int ce_assignment_split(const char *assignment, char **ret_name, const char **ret_value,
                        struct ce_error *err)
{
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return ce_fail(err, EINVAL, "'%s' is not of the form NAME=VALUE", assignment);
    *ret_name = strndup(assignment, (size_t)(equals - assignment));
    *ret_value = equals + 1;
    return *ret_name ? 0 : ce_fail_memory(err);
}
