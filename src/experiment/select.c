/* SPDX-License-Identifier: MIT */
/* Which experiments of a document run, in which order, and after which others.
 *
 * A selector is an experiment's name, "tag:NAME" or "layer:NAME". `--only` keeps what one of its
 * selectors means, `--skip` leaves out what one of its means. What an experiment depends on and is
 * left out is not waited for. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/random.h"
#include "experiment/document_internal.h"

size_t ce_document_items(const struct ce_document *doc, struct ce_node *const **ret_items)
{
    const struct ce_node *list = ce_node_get(doc->root, "experiments");
    if (!list || list->kind != CE_NODE_LIST)
        return 0;
    *ret_items = list->items;
    return list->count;
}

/* ---- selectors ---- */

/* What follows the prefix; NULL when it is not there. */
static const char *after(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

static bool is_layer(int layer, const char *name)
{
    return strcmp(name, ce_layer_name((enum ce_layer)layer)) == 0 ||
           (layer == CE_LAYER_INFRASTRUCTURE && strcmp(name, "infra") == 0);
}

static bool means(const char *selector, const struct ce_experiment *experiment)
{
    const char *tag = after(selector, "tag:"), *layer = after(selector, "layer:");
    return strcmp(selector, experiment->name) == 0 ||
           (tag && ce_text_is_among(tag, (const char *const *)experiment->tags.names,
                                    experiment->tags.count)) ||
           (layer && is_layer(experiment->layer, layer));
}

static bool any_means(const struct ce_names *selectors, const struct ce_experiment *experiment)
{
    for (size_t i = 0; i < selectors->count; i++)
        if (means(selectors->names[i], experiment))
            return true;
    return false;
}

int ce_document_select(struct ce_document *doc, struct ce_error *err)
{
    size_t left = 0;
    for (size_t i = 0; i < doc->experiment_count; i++) {
        struct ce_experiment *x = &doc->experiments[i];
        x->left_out =
            (doc->only.count > 0 && !any_means(&doc->only, x)) || any_means(&doc->skip, x);
        left += !x->left_out;
    }
    struct ce_position place = {.origin = doc->skip.count > 0 ? "--skip" : "--only"};
    return left > 0 ? 0 : ce_fail_place(err, &place, EINVAL, "no experiment is left to run");
}

/* ---- selectors before validation ---- */

/* A text of the experiment, as far as it can be told. */
static const char *text_of(const struct ce_node *experiment, const char *key)
{
    const struct ce_node *node = ce_node_get(experiment, key);
    return node && node->kind == CE_NODE_SCALAR ? node->text : NULL;
}

enum { NAMES_MAX = 4096 };

/* Adds one more to the `n` names, unless it is among them. */
static size_t add_name(const char **names, size_t n, const char *name)
{
    if (name && n < NAMES_MAX && !ce_text_is_among(name, names, n))
        names[n++] = name;
    return n;
}

/* Adds each tag that the experiment has. */
static size_t add_tags(const struct ce_node *experiment, const char **names, size_t n)
{
    const struct ce_node *tags = ce_node_get(experiment, "tags");
    n = add_name(names, n, text_of(experiment, "tags"));
    for (size_t i = 0; tags && tags->kind == CE_NODE_LIST && i < tags->count; i++)
        n = add_name(names, n, tags->items[i]->text);
    return n;
}

/* What the selector may be called: names, tags or layers. Returns their number. */
static size_t candidates(struct ce_node *const *items, size_t count, const char *kind,
                         const char **names)
{
    size_t n = 0;
    if (strcmp(kind, "layer") == 0) {
        for (int i = 0; i < CE_LAYER_COUNT_; i++)
            names[n++] = ce_layer_name((enum ce_layer)i);
        names[n++] = "infra";
        return n;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(kind, "tag") == 0)
            n = add_tags(items[i], names, n);
        else
            n = add_name(names, n, text_of(items[i], "name"));
    }
    return n;
}

static int fail_nothing(const char *option, const char *kind, const char *wanted,
                        const char *const *names, size_t n, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE], list[sizeof err->message / 2] = "";
    size_t used = 0;
    for (size_t i = 0; i < n && used < sizeof list; i++) {
        ce_text_show(names[i], shown);
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", shown);
    }
    const char *near = ce_text_nearest(wanted, names, n);
    ce_text_show(wanted, shown);
    struct ce_position place = {.origin = option};
    return ce_fail_place(err, &place, ENOENT, "no experiment %s '%s'%s%s%s (there are: %s)", kind,
                         shown, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "",
                         n > 0 ? list : "none");
}

/* Whether any experiment is meant; a document that has none is for validation to refuse. */
static int check_selector(const struct ce_document *doc, const char *option, const char *selector,
                          struct ce_error *err)
{
    static const char *const kinds[] = {"tag", "layer"};
    static const char *const words[] = {"has the tag", "is of the layer"};
    struct ce_node *const *items = NULL;
    size_t count = ce_document_items(doc, &items);
    ce_autofree const char **names = calloc(NAMES_MAX, sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    size_t n = candidates(items, count, "name", names);
    if (count == 0 || ce_text_is_among(selector, names, n))
        return 0;
    for (size_t k = 0; k < CE_COUNT(kinds); k++) {
        const char *wanted = after(selector, kinds[k]);
        if (!wanted || *wanted++ != ':')
            continue;
        n = candidates(items, count, kinds[k], names);
        return ce_text_is_among(wanted, names, n)
                   ? 0
                   : fail_nothing(option, words[k], wanted, names, n, err);
    }
    return fail_nothing(option, "is called", selector, names, n, err);
}

static int add_selector(struct ce_document *doc, struct ce_names *selectors, const char *option,
                        const char *selector, struct ce_error *err)
{
    struct ce_position place = {.origin = option};
    if (doc->validated)
        return ce_fail_place(err, &place, EINVAL, "the document is validated and changes no more");
    CE_TRY(check_selector(doc, option, selector, err));
    char **names = realloc(selectors->names, (selectors->count + 1) * sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    selectors->names = names;
    names[selectors->count] = strdup(selector);
    if (!names[selectors->count])
        return ce_fail_memory(err);
    selectors->count++;
    return 0;
}

int ce_document_only(struct ce_document *doc, const char *selector, struct ce_error *err)
{
    return add_selector(doc, &doc->only, "--only", selector, err);
}

int ce_document_skip(struct ce_document *doc, const char *selector, struct ce_error *err)
{
    return add_selector(doc, &doc->skip, "--skip", selector, err);
}

/* ---- dependencies ---- */

/* The place of one of the names that `experiment` depends on. */
static const struct ce_position *place_of(const struct ce_node *experiment, size_t i)
{
    const struct ce_node *node = ce_node_get(experiment, "depends_on");
    return &(node->kind == CE_NODE_LIST && i < node->count ? node->items[i] : node)->place;
}

static int find(const struct ce_document *doc, const struct ce_node *node, size_t from, size_t i,
                size_t *ret_found, struct ce_error *err)
{
    const char *name = doc->experiments[from].depends_on.names[i];
    char shown[CE_TEXT_SHOWN_SIZE];
    for (size_t k = 0; k < doc->experiment_count; k++)
        if (strcmp(doc->experiments[k].name, name) == 0) {
            *ret_found = k;
            return 0;
        }
    ce_autofree const char **names = calloc(doc->experiment_count, sizeof *names);
    if (!names)
        return ce_fail_memory(err);
    for (size_t k = 0; k < doc->experiment_count; k++)
        names[k] = doc->experiments[k].name;
    const char *near = ce_text_nearest(name, names, doc->experiment_count);
    ce_text_show(name, shown);
    return ce_fail_place(err, place_of(node, i), EINVAL,
                         "depends_on: no experiment is called '%s'%s%s%s", shown,
                         near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Walks what `at` depends on; `path` are the experiments from the first one to here. */
static int walk(const struct ce_document *doc, struct ce_node *const *nodes, size_t at, char *state,
                size_t *path, size_t depth, struct ce_error *err)
{
    enum { NEW, OPEN, DONE };
    const struct ce_names *names = &doc->experiments[at].depends_on;
    state[at] = OPEN;
    path[depth++] = at;
    for (size_t i = 0; i < names->count; i++) {
        size_t next = 0;
        CE_TRY(find(doc, nodes[at], at, i, &next, err));
        if (state[next] == OPEN) {
            char circle[sizeof err->message / 2] = "";
            size_t used = 0, k = 0;
            while (path[k] != next)
                k++;
            for (; k < depth && used < sizeof circle; k++)
                used += (size_t)snprintf(circle + used, sizeof circle - used, "%s -> ",
                                         doc->experiments[path[k]].name);
            return ce_fail_place(err, place_of(nodes[at], i), EINVAL,
                                 "depends_on: goes round in a circle: %s%s", circle,
                                 doc->experiments[next].name);
        }
        if (state[next] == NEW)
            CE_TRY(walk(doc, nodes, next, state, path, depth, err));
    }
    state[at] = DONE;
    return 0;
}

int ce_document_check_dependencies(const struct ce_document *doc, struct ce_error *err)
{
    struct ce_node *const *nodes = NULL;
    size_t count = ce_document_items(doc, &nodes);
    ce_autofree char *state = calloc(count, sizeof *state);
    ce_autofree size_t *path = calloc(count, sizeof *path);
    if (!state || !path)
        return ce_fail_memory(err);
    for (size_t i = 0; i < count; i++)
        if (state[i] == 0)
            CE_TRY(walk(doc, nodes, i, state, path, 0, err));
    return 0;
}

bool ce_document_depends(const struct ce_document *doc, size_t later, size_t earlier)
{
    const struct ce_names *names = &doc->experiments[later].depends_on;
    return ce_text_is_among(doc->experiments[earlier].name, (const char *const *)names->names,
                            names->count);
}

/* ---- order ---- */

void ce_document_order(const struct ce_document *doc, uint64_t seed, size_t *ret_order)
{
    size_t count = doc->experiment_count;
    for (size_t i = 0; i < count; i++)
        ret_order[i] = i;
    if (doc->keys.order != CE_ORDER_RANDOM)
        return;
    struct ce_stream stream = ce_stream_init(seed, "suite/order", "");
    for (size_t i = count; i > 1; i--) {
        size_t k = ce_stream_below(&stream, i, (uint32_t)i), other = ret_order[k];
        ret_order[k] = ret_order[i - 1];
        ret_order[i - 1] = other;
    }
}
