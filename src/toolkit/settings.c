/* SPDX-License-Identifier: MIT */
/* Configuration and secrets: values that stand in the document, and those of the environment. */
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "toolkit/toolkit_internal.h"

void ce_settings_done(struct ce_settings *settings)
{
    json_decref(settings->values);
    json_decref(settings->secrets);
    *settings = (struct ce_settings){0};
}

/* ---- types ---- */

static bool is_one_of(const char *text, const char *a, const char *b)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0;
}

static json_t *boolean_of(const char *text)
{
    return json_boolean(strcasecmp(text, "false") != 0 && strcmp(text, "0") != 0 &&
                        strcasecmp(text, "no") != 0);
}

/* The text as a value of that type. */
static int convert(const char *text, const char *type, json_t **ret_value, struct ce_error *err)
{
    int64_t integer;
    double number;
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(text, shown);
    if (!type || is_one_of(type, "str", "string") || strcmp(type, "bytes") == 0)
        *ret_value = json_string(text);
    else if (is_one_of(type, "int", "integer") && ce_text_integer(text, &integer) == 0)
        *ret_value = json_integer(integer);
    else if (is_one_of(type, "float", "number") && ce_text_number(text, &number) == 0)
        *ret_value = json_real(number);
    else if (strcmp(type, "bool") == 0)
        *ret_value = boolean_of(text);
    else if (strcmp(type, "json") == 0)
        *ret_value = ce_json_parse(text, strlen(text), "the value", err);
    else if (is_one_of(type, "int", "integer") || is_one_of(type, "float", "number"))
        return ce_fail(err, EINVAL, "'%s' is no %s", shown, type);
    else
        return ce_fail(err, EINVAL,
                       "type '%.40s' is not one of str, int, float, bytes, bool or json", type);
    if (!*ret_value && strcmp(type ? type : "", "json") == 0)
        return -EINVAL;
    return *ret_value ? 0 : ce_fail(err, EINVAL, "'%s' is no UTF-8 text", shown);
}

static const char *text_at(const struct ce_node *map, const char *key)
{
    const struct ce_node *node = ce_node_get(map, key);
    return node && node->kind == CE_NODE_SCALAR ? node->text : NULL;
}

/* {type: env, key, default, env_var_type} */
static int from_environment(const struct ce_node *node, json_t **ret_value, struct ce_error *err)
{
    const char *key = text_at(node, "key"), *type = text_at(node, "env_var_type");
    const struct ce_node *fallback = ce_node_get(node, "default");
    if (!key)
        return ce_fail_place(err, &node->place, EINVAL,
                             "a value of type env needs a 'key': the variable's name");
    const char *text = getenv(key);
    if (!text && !fallback)
        return ce_fail_place(err, &node->place, EINVAL,
                             "the environment has no variable '%.80s', and there is no 'default'",
                             key);
    if (!text && (fallback->kind != CE_NODE_SCALAR || !fallback->quoted || !type)) {
        *ret_value = ce_value_of(fallback);
        return *ret_value ? 0 : ce_fail_memory(err);
    }
    return ce_fail_put_place(err, convert(text ? text : fallback->text, type, ret_value, err),
                             &node->place);
}

/* ---- sections ---- */

static bool is_of_type(const struct ce_node *node, const char *type)
{
    const char *text = text_at(node, "type");
    return text && strcmp(text, type) == 0;
}

static int check_section(const struct ce_node *section, struct ce_error *err)
{
    if (!section || section->kind == CE_NODE_MAP || ce_node_is_null(section))
        return 0;
    return ce_fail_place(err, &section->place, EINVAL, "%s: expected a mapping, found %s",
                         section->key, ce_node_kind_text(section));
}

static int put(json_t *values, const char *name, json_t *value, struct ce_error *err)
{
    return json_object_set_new(values, name, value) < 0 ? ce_fail_memory(err) : 0;
}

static int read_configuration(const struct ce_node *section, struct ce_settings *settings,
                              struct ce_error *err)
{
    CE_TRY(check_section(section, err));
    for (size_t i = 0; section && i < section->count; i++) {
        const struct ce_node *node = section->items[i];
        json_t *value = NULL;
        if (json_object_get(settings->values, node->key))
            continue; /* given on the command line */
        if (is_of_type(node, "probe"))
            return ce_fail_place(err, &node->place, ENOTSUP,
                                 "%s: a value that a probe fetches is not known before something "
                                 "runs; give it with --set %s=VALUE",
                                 node->key, node->key);
        if (is_of_type(node, "vault"))
            return ce_fail_place(err, &node->place, ENOTSUP,
                                 "%s: there is no client for Vault here; have it set a variable, "
                                 "and use type env",
                                 node->key);
        if (is_of_type(node, "env"))
            CE_TRY(from_environment(node, &value, err));
        else
            value = ce_value_of(node);
        CE_TRY(put(settings->values, node->key, value, err));
    }
    return 0;
}

/* Names are those of the innermost mapping; what the configuration has, or was said before, stays.
 */
static int read_secret(const struct ce_node *node, struct ce_settings *settings,
                       struct ce_error *err)
{
    json_t *value = NULL;
    if (is_of_type(node, "vault"))
        return ce_fail_place(err, &node->place, ENOTSUP,
                             "%s: there is no client for Vault here; have it set a variable, and "
                             "use type env",
                             node->key);
    if (node->kind == CE_NODE_MAP && !is_of_type(node, "env")) {
        for (size_t i = 0; i < node->count; i++)
            CE_TRY(read_secret(node->items[i], settings, err));
        return 0;
    }
    if (is_of_type(node, "env"))
        CE_TRY(from_environment(node, &value, err));
    else
        value = ce_value_of(node);
    if (json_object_get(settings->values, node->key)) {
        json_decref(value);
        return 0;
    }
    CE_TRY(put(settings->values, node->key, value, err));
    return put(settings->secrets, node->key, json_true(), err);
}

/* "name=value" or "name:type=value" */
static int read_var(const char *var, struct ce_settings *settings, struct ce_error *err)
{
    size_t size = strcspn(var, "="), name = strcspn(var, ":=");
    ce_autofree char *type = name < size ? strndup(var + name + 1, size - name - 1) : NULL;
    json_t *value = NULL;
    if (name == 0 || var[size] != '=')
        return ce_fail(err, EINVAL, "--set: '%.80s' is not NAME=VALUE or NAME:TYPE=VALUE", var);
    int r = convert(var + size + 1, type, &value, err);
    if (r < 0)
        return ce_fail_context(err, r, "--set: %.*s", (int)name, var);
    return json_object_setn_new(settings->values, var, name, value) < 0 ? ce_fail_memory(err) : 0;
}

int ce_settings_read(const struct ce_node *root, const char *const *vars, size_t var_count,
                     struct ce_settings *ret_settings, struct ce_error *err)
{
    struct ce_settings settings = {json_object(), json_object()};
    const struct ce_node *secrets = ce_node_get(root, "secrets");
    int r = settings.values && settings.secrets ? 0 : ce_fail_memory(err);
    for (size_t i = 0; r == 0 && i < var_count; i++)
        r = read_var(vars[i], &settings, err);
    if (r == 0)
        r = read_configuration(ce_node_get(root, "configuration"), &settings, err);
    if (r == 0)
        r = check_section(secrets, err);
    for (size_t i = 0; r == 0 && secrets && i < secrets->count; i++)
        r = read_secret(secrets->items[i], &settings, err);
    if (r < 0)
        ce_settings_done(&settings);
    else
        *ret_settings = settings;
    return r;
}
