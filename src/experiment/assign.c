/* SPDX-License-Identifier: MIT */
/* `--set KEY=VALUE`: changes to a document between loading and validation.
 *
 * A value becomes a node that stands where the file's own node would, and is checked there like any
 * other; its place is the option itself. A value that begins with "[" is a list. What the file got
 * wrong is left for validation to say. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "experiment/document_internal.h"

/* ---- values ---- */

static void put_origin(struct ce_node *node, const char *origin)
{
    node->place = (struct ce_position){.origin = origin};
    for (size_t i = 0; i < node->count; i++)
        put_origin(node->items[i], origin);
}

static int value_node(const char *text, const char *origin, struct ce_node **ret_node,
                      struct ce_error *err)
{
    const struct ce_position place = {.origin = origin};
    CE_CLEANUP(ce_node_free_p) struct ce_node *node = NULL;
    if (text[0] == '[') {
        int r = ce_node_parse(text, strlen(text), origin, &node, err);
        if (r < 0 && err)
            ce_position_text(&place, err->where, sizeof err->where);
        CE_TRY(r);
        put_origin(node, origin);
    } else {
        node = ce_node_new(CE_NODE_SCALAR, place);
        if (!node || !(node->text = strdup(text)))
            return ce_fail_memory(err);
    }
    *ret_node = ce_take(node);
    return 0;
}

/* Puts a copy of `value` under `key`. */
static int put_copy(struct ce_node *map, const char *key, const struct ce_node *value,
                    struct ce_error *err)
{
    CE_CLEANUP(ce_node_free_p) struct ce_node *copy = ce_node_copy(value);
    if (!copy || ce_node_put(map, key, copy) < 0)
        return ce_fail_memory(err);
    (void)ce_take(copy);
    return 0;
}

/* The mapping under `section`, made when there is none. NULL in *ret_map when something else stands
 * there. */
static int section_of(struct ce_node *map, const char *section, const char *origin,
                      struct ce_node **ret_map, struct ce_error *err)
{
    struct ce_node *node = ce_node_get(map, section);
    if (!node || ce_node_is_null(node)) {
        CE_CLEANUP(ce_node_free_p)
        struct ce_node *empty =
            ce_node_new(CE_NODE_MAP, node ? node->place : (struct ce_position){.origin = origin});
        if (!empty || ce_node_put(map, section, empty) < 0)
            return ce_fail_memory(err);
        node = ce_take(empty);
    }
    *ret_map = node->kind == CE_NODE_MAP ? node : NULL;
    return 0;
}

/* ---- --set ---- */

struct assignment {
    struct ce_document *doc;
    const char *key; /* without the prefix that said where it belongs */
    const struct ce_node *value;
    struct ce_position place;
};

static int set_in_section(const struct assignment *a, const struct ce_map_rules *rules,
                          struct ce_error *err)
{
    struct ce_node *map;
    if (!ce_param_find(rules->table, a->key))
        return ce_fail_unknown(err, &a->place, rules, a->key);
    if (a->doc->root->kind != CE_NODE_MAP)
        return 0;
    CE_TRY(section_of(a->doc->root, rules->owner, a->place.origin, &map, err));
    return map ? put_copy(map, a->key, a->value, err) : 0;
}

/* What each experiment acts on. */
static int set_target(const struct assignment *a, struct ce_error *err)
{
    struct ce_node *const *items = NULL;
    size_t count = ce_document_items(a->doc, &items);
    if (!ce_param_find(ce_target_params, a->key))
        return ce_fail_unknown(err, &a->place, &ce_target_rules, a->key);
    for (size_t i = 0; i < count; i++) {
        struct ce_node *map = NULL;
        if (items[i]->kind == CE_NODE_MAP)
            CE_TRY(section_of(items[i], "target", a->place.origin, &map, err));
        if (map)
            CE_TRY(put_copy(map, a->key, a->value, err));
    }
    return 0;
}

/* A key that the document has too (`seed`) is set there as well: a run has one value of it. */
static int set_experiment_key(const struct assignment *a, struct ce_error *err)
{
    if (ce_param_find(ce_document_params, a->key) && a->doc->root->kind == CE_NODE_MAP)
        CE_TRY(put_copy(a->doc->root, a->key, a->value, err));
    struct ce_node *const *items = NULL;
    size_t count = ce_document_items(a->doc, &items);
    for (size_t i = 0; i < count; i++)
        if (items[i]->kind == CE_NODE_MAP)
            CE_TRY(put_copy(items[i], a->key, a->value, err));
    return 0;
}

/* The document's own sections. */
static const struct ce_map_rules *const sections[] = {
    &ce_pipeline_rules,
    &ce_prometheus_rules,
    &ce_opentelemetry_rules,
    &ce_grafana_rules,
};

/* The section under whose name --set would find the key; "" when there is none. */
static const char *section_with(const char *key)
{
    for (size_t i = 0; i < CE_COUNT(sections); i++)
        if (ce_param_find(sections[i]->table, key))
            return sections[i]->owner;
    return ce_param_find(ce_target_rules.table, key) ? ce_target_rules.owner : "";
}

/* Nothing has such a key: says which names there are, those of the parameters included. */
static int fail_nowhere(const struct assignment *a, bool parameters_only, struct ce_error *err)
{
    const char *names[128];
    size_t n = 0;
    struct ce_node *const *items = NULL;
    size_t count = ce_document_items(a->doc, &items);
    for (size_t i = 0; i < count; i++) {
        const struct ce_fault *fault = ce_experiment_fault(items[i]);
        for (const struct ce_param *p = fault ? fault->params : NULL;
             p && p->name && n < CE_COUNT(names); p++)
            names[n++] = p->name;
    }
    for (const struct ce_param *p = ce_experiment_params;
         !parameters_only && p->name && n < CE_COUNT(names); p++)
        names[n++] = p->name;

    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(a->key, shown);
    const char *section = parameters_only ? "" : section_with(a->key);
    const char *near = section[0] ? a->key : ce_text_nearest(a->key, names, n);
    return ce_fail_place(err, &a->place, EINVAL, "no experiment has a %s '%s'%s%s%s%s%s",
                         parameters_only ? "parameter" : "key or parameter", shown,
                         near ? "; did you mean '" : "", section, section[0] ? "." : "",
                         near ? near : "", near ? "'?" : "");
}

static int set_parameter(const struct assignment *a, bool parameters_only, struct ce_error *err)
{
    struct ce_node *const *items = NULL;
    size_t count = ce_document_items(a->doc, &items), hits = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ce_fault *fault = ce_experiment_fault(items[i]);
        struct ce_node *map;
        if (!fault || !ce_param_find(fault->params, a->key))
            continue;
        hits++;
        CE_TRY(section_of(items[i], "parameters", a->place.origin, &map, err));
        if (map)
            CE_TRY(put_copy(map, a->key, a->value, err));
    }
    return hits > 0 || count == 0 ? 0 : fail_nowhere(a, parameters_only, err);
}

/* What follows the prefix and a dot in `key`, or NULL. */
static const char *after(const char *key, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(key, prefix, n) == 0 && key[n] == '.' ? key + n + 1 : NULL;
}

static int assign(struct assignment *a, const char *key, struct ce_error *err)
{
    for (size_t i = 0; i < CE_COUNT(sections); i++)
        if ((a->key = after(key, sections[i]->owner)))
            return set_in_section(a, sections[i], err);
    if ((a->key = after(key, "target")))
        return set_target(a, err);
    if ((a->key = after(key, "parameters")))
        return set_parameter(a, true, err);
    a->key = key;
    if (ce_param_find(ce_experiment_params, key))
        return set_experiment_key(a, err);
    return set_parameter(a, false, err);
}

/* Nodes point to it, so it lives as long as the document. */
static const char *keep_origin(struct ce_document *doc, const char *assignment)
{
    char **origins = realloc(doc->origins, (doc->origin_count + 1) * sizeof *origins);
    if (!origins)
        return NULL;
    doc->origins = origins;
    char *origin = ce_format("--set %s", assignment);
    if (origin)
        origins[doc->origin_count++] = origin;
    return origin;
}

int ce_document_set(struct ce_document *doc, const char *assignment, struct ce_error *err)
{
    const char *origin = keep_origin(doc, assignment);
    if (!origin)
        return ce_fail_memory(err);
    struct assignment a = {.doc = doc, .place = {.origin = origin}};
    const char *equals = strchr(assignment, '=');
    if (doc->validated)
        return ce_fail_place(err, &a.place, EINVAL,
                             "the document is validated and changes no more");
    if (!equals || equals == assignment)
        return ce_fail_place(err, &a.place, EINVAL,
                             "an assignment is KEY=VALUE, such as duration=3s");

    ce_autofree char *key = strndup(assignment, (size_t)(equals - assignment));
    CE_CLEANUP(ce_node_free_p) struct ce_node *value = NULL;
    if (!key)
        return ce_fail_memory(err);
    CE_TRY(value_node(equals + 1, origin, &value, err));
    a.value = value;
    return assign(&a, key, err);
}
