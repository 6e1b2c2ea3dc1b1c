/* SPDX-License-Identifier: MIT */
/* A mapping of the document against the table of its keys. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "experiment/document_internal.h"

enum { KEYS_MAX = 64 };

static size_t accepted_keys(const struct ce_map_rules *rules, const char *names[KEYS_MAX])
{
    size_t count = 0;
    for (const struct ce_param *param = rules->table; param->name && count < KEYS_MAX; param++)
        names[count++] = param->name;
    for (const char *const *name = rules->sections; name && *name && count < KEYS_MAX; name++)
        names[count++] = *name;
    return count;
}

int ce_fail_unknown(struct ce_error *err, const struct ce_position *place,
                    const struct ce_map_rules *rules, const char *key)
{
    const char *names[KEYS_MAX];
    char shown[CE_TEXT_SHOWN_SIZE], accepted[sizeof err->message / 2] = "none";
    size_t count = accepted_keys(rules, names), used = 0;
    for (size_t i = 0, fits = 1; i < count && fits; i++) {
        fits = used + strlen(names[i]) + 2 * sizeof ", ..." < sizeof accepted;
        used += (size_t)snprintf(accepted + used, sizeof accepted - used, "%s%s", i > 0 ? ", " : "",
                                 fits ? names[i] : "...");
    }
    ce_text_show(key, shown);
    const char *near = ce_text_nearest(key, names, count);
    return ce_fail_place(err, place, EINVAL, "unknown %s '%s'%s%s%s%s%s (accepted: %s)",
                         rules->noun, shown, rules->owner ? " of " : "",
                         rules->owner ? rules->owner : "", near ? "; did you mean '" : "",
                         near ? near : "", near ? "'?" : "", accepted);
}

static bool is_section(const struct ce_map_rules *rules, const char *key)
{
    for (const char *const *name = rules->sections; name && *name; name++)
        if (strcmp(*name, key) == 0)
            return true;
    return false;
}

static int read_list(const struct ce_param *param, const struct ce_node *list, void *obj,
                     struct ce_error *err)
{
    ce_autofree const char **items = calloc(list->count + 1, sizeof *items);
    if (!items)
        return ce_fail_memory(err);
    for (size_t i = 0; i < list->count; i++) {
        const struct ce_node *item = list->items[i];
        if (item->kind != CE_NODE_SCALAR)
            return ce_fail_place(err, &item->place, EINVAL, "%s: %s is not a name", param->name,
                                 ce_node_kind_text(item));
        items[i] = item->text;
    }
    return ce_fail_put_place(err, ce_param_set_list(param, obj, items, list->count, err),
                             &list->place);
}

/* Quotes make text of a number, as they do for every other reader of YAML and for the JSON Schema.
 */
static bool refuses_quotes(enum ce_param_type type)
{
    return type == CE_PARAM_RATE || type == CE_PARAM_NUMBER || type == CE_PARAM_INTEGER ||
           type == CE_PARAM_BOOL;
}

int ce_map_value(const struct ce_param *param, const struct ce_node *node, void *obj,
                 struct ce_error *err)
{
    bool null = ce_node_is_null(node);
    if (null && param->def && param->def[0] == '\0')
        return 0;
    if (node->kind == CE_NODE_MAP || null) {
        char accepts[CE_PARAM_ACCEPTS_SIZE];
        ce_param_accepts(param, accepts, sizeof accepts);
        return ce_fail_place(err, &node->place, EINVAL,
                             null ? "%s: needs a value: %s" : "%s: a mapping is not %s",
                             param->name, accepts);
    }
    if (node->kind == CE_NODE_LIST)
        return read_list(param, node, obj, err);
    if (node->quoted && refuses_quotes(param->type)) {
        char shown[CE_TEXT_SHOWN_SIZE];
        ce_text_show(node->text, shown);
        return ce_fail_place(err, &node->place, EINVAL,
                             "%s: \"%s\" is text because of its quotes; write it without",
                             param->name, shown);
    }
    return ce_fail_put_place(err, ce_param_set(param, obj, node->text, err), &node->place);
}

int ce_map_read(const struct ce_node *map, const struct ce_position *at,
                const struct ce_map_rules *rules, void *obj, struct ce_error *err)
{
    CE_TRY(ce_params_init(rules->table, obj, err));
    for (size_t i = 0; map && i < map->count; i++) {
        const struct ce_node *node = map->items[i];
        const struct ce_param *param = ce_param_find(rules->table, node->key);
        if (param)
            CE_TRY(ce_map_value(param, node, obj, err));
        else if (!is_section(rules, node->key))
            return ce_fail_unknown(err, &node->key_place, rules, node->key);
    }
    for (const struct ce_param *param = rules->table; param->name; param++) {
        if (param->def || ce_node_get(map, param->name))
            continue;
        char accepts[CE_PARAM_ACCEPTS_SIZE];
        ce_param_accepts(param, accepts, sizeof accepts);
        return ce_fail_place(err, at, EINVAL, "the %s '%s'%s%s is missing (accepted: %s)",
                             rules->noun, param->name, rules->owner ? " of " : "",
                             rules->owner ? rules->owner : "", accepts);
    }
    return 0;
}

int ce_map_check(const struct ce_node *node, struct ce_error *err)
{
    if (!node || node->kind == CE_NODE_MAP || ce_node_is_null(node))
        return 0;
    return ce_fail_place(err, &node->place, EINVAL, "%s: takes a mapping, not %s", node->key,
                         ce_node_kind_text(node));
}

bool ce_map_has(const struct ce_node *map, const char *key)
{
    const struct ce_node *node = ce_node_get(map, key);
    return node && !ce_node_is_null(node);
}

int ce_document_resolve(const struct ce_document *doc, const struct ce_position *place, char **path,
                        struct ce_error *err)
{
    bool from_file = place->line > 0;
    if (!doc->folder || !from_file || !*path || **path == '/')
        return 0;
    char *whole = ce_format("%s/%s", doc->folder, *path);
    if (!whole)
        return ce_fail_memory(err);
    free(*path);
    *path = whole;
    return 0;
}
