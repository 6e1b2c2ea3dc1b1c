/* SPDX-License-Identifier: MIT */
/* The experiment document: loading it, and checking all of it against the tables before any of it
 * may run.
 *
 * A document is a tree of nodes until ce_document_validate(); until then `--set` may change nodes
 * (assign.c). The keys that are plain values stand in the tables below, from which the JSON Schema
 * is made too (schema.c). */
#include "experiment/document.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "experiment/document_internal.h"

/* ---- the keys ---- */

#define HOURS (3600 * (double)CE_SECOND)

static const struct ce_choice layers[] = {
    {"data", CE_LAYER_DATA, "what the pipeline learns from and is asked about"},
    {"model", CE_LAYER_MODEL, "what answers"},
    {"infrastructure", CE_LAYER_INFRASTRUCTURE, "what it all runs on"},
    {"infra", CE_LAYER_INFRASTRUCTURE, "short for infrastructure"},
    {NULL, 0, NULL},
};

const struct ce_param ce_experiment_params[] = {
    CE_TEXT(struct ce_experiment, name,
            .doc = "What reports call it; no other experiment has the same name."),
    CE_CHOICE(struct ce_experiment, layer, .choices = layers,
              .doc = "The layer that the fault belongs to."),
    CE_TEXT(struct ce_experiment, fault_type, .doc = "The fault; `chaoseater faults` lists them."),
    CE_SECONDS(struct ce_experiment, duration, .min = CE_MILLISECOND, .max = 24 * HOURS,
               .def = "60", .doc = "How long the fault is live."),
    {.name = "rollback_strategy",
     .type = CE_PARAM_CHOICE,
     .offset = CE_PARAM_FIELD_(struct ce_experiment, strategy, int),
     .choices = ce_strategies,
     .def = "auto",
     .doc = "How the fault is put back: short for `rollback: {strategy: ...}`."},
    CE_INTEGER(struct ce_experiment, seed, .min = 0, .max = 0x1p63, .def = "",
               .doc = "Fixes every random choice; left out, it is that of the whole run, which the "
                      "report names."),
    CE_SECONDS(struct ce_experiment, baseline, .min = 200 * CE_MILLISECOND, .max = 24 * HOURS,
               .def = "3s", .doc = "How long the healthy pipeline is measured first."),
    CE_SECONDS(struct ce_experiment, recovery_timeout, .min = CE_MILLISECOND, .max = 24 * HOURS,
               .def = "30s",
               .doc = "How long the pipeline may take to come back after the rollback has begun."),
    CE_NAMES(struct ce_experiment, tags, .def = "", .doc = "Free words to find the run by."),
    CE_INTEGER(struct ce_experiment, repeat, .min = 1, .max = 1000, .def = "1",
               .doc = "How many times it runs."),
    CE_NAMES(struct ce_experiment, depends_on, .def = "",
             .doc = "Experiments that have to have passed before it is started."),
    CE_END_PARAMS,
};
static const char *const experiment_sections[] = {"parameters",   "target",    "schedule",
                                                  "steady_state", "stop_when", "rollback",
                                                  "blast_radius", NULL};

static const struct ce_choice orders[] = {
    {"document", CE_ORDER_DOCUMENT, "as they are listed"},
    {"random", CE_ORDER_RANDOM, "shuffled, by the seed"},
    {NULL, 0, NULL},
};

const struct ce_param ce_document_params[] = {
    CE_INTEGER(struct ce_document_keys, seed, .min = 0, .max = 0x1p63, .def = "",
               .doc = "The seed of every experiment that states none; --seed goes before it."),
    CE_INTEGER(struct ce_document_keys, parallel, .min = 1, .max = 64, .def = "1",
               .doc =
                   "How many experiments may run at once; those that act on the same thing never "
                   "do."),
    CE_CHOICE(struct ce_document_keys, order, .choices = orders, .def = "document",
              .doc = "In which order they are started."),
    CE_BOOL(struct ce_document_keys, fail_fast, .def = "false",
            .doc = "Whether one that did not pass ends the suite."),
    CE_END_PARAMS,
};
static const char *const document_sections[] = {
    "experiments", "pipeline", "prometheus", "opentelemetry", "grafana", "schedule", NULL};

const struct ce_map_rules ce_document_rules = {"key", NULL, ce_document_params, document_sections};
const struct ce_map_rules ce_experiment_rules = {"key", NULL, ce_experiment_params,
                                                 experiment_sections};
const struct ce_map_rules ce_pipeline_rules = {"key", "pipeline", ce_pipeline_params, NULL};
const struct ce_map_rules ce_target_rules = {"key", "target", ce_target_params, NULL};

const struct ce_fault *ce_experiment_fault(const struct ce_node *experiment)
{
    const struct ce_node *name = ce_node_get(experiment, "fault_type");
    return name && name->kind == CE_NODE_SCALAR ? ce_fault_find(name->text) : NULL;
}

int ce_document_note(struct ce_document *doc, struct ce_error *err, const char *fmt, ...)
{
    struct ce_names *notices = &doc->notices;
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int size = vasprintf(&text, fmt, args);
    va_end(args);
    char **names = size < 0 ? NULL : realloc(notices->names, (notices->count + 1) * sizeof *names);
    if (!names) {
        free(size < 0 ? NULL : text);
        return ce_fail_memory(err);
    }
    notices->names = names;
    names[notices->count++] = text;
    return 0;
}

/* ---- loading ---- */

static void experiment_done(struct ce_experiment *experiment)
{
    if (experiment->params)
        ce_params_done(experiment->fault->params, experiment->params);
    free(experiment->params);
    ce_params_done(ce_target_params, &experiment->target);
    ce_params_done(ce_target_process_params, &experiment->target);
    ce_experiment_steady_done(experiment);
    ce_params_done(ce_rollback_params, &experiment->rollback);
    ce_schedule_done(&experiment->schedule);
    ce_params_done(ce_experiment_params, experiment);
}

/* Back to before validation. */
static void discard(struct ce_document *doc)
{
    for (size_t i = 0; i < doc->experiment_count; i++)
        experiment_done(&doc->experiments[i]);
    free(ce_take(doc->experiments));
    doc->experiment_count = 0;
    ce_params_done(ce_document_params, &doc->keys);
    ce_document_gateways_done(doc);
    ce_schedule_done(&doc->schedule);
    ce_params_done(ce_pipeline_params, &doc->pipeline);
    doc->pipeline = (struct ce_pipeline_spec){0};
    ce_names_done(&doc->notices);
}

void ce_document_free(struct ce_document *doc)
{
    if (!doc)
        return;
    discard(doc);
    ce_node_free(doc->root);
    for (size_t i = 0; i < doc->origin_count; i++)
        free(doc->origins[i]);
    free(doc->origins);
    ce_names_done(&doc->only);
    ce_names_done(&doc->skip);
    free(doc->name);
    free(doc->folder);
    free(doc);
}

int ce_document_parse(const char *text, size_t size, const char *name, struct ce_document **ret_doc,
                      struct ce_error *err)
{
    CE_CLEANUP(ce_document_free_p) struct ce_document *doc = calloc(1, sizeof *doc);
    if (!doc || !(doc->name = strdup(name)))
        return ce_fail_memory(err);
    if (size > CE_DOCUMENT_SIZE_MAX)
        return ce_fail_at(err, name, EFBIG, "the document is larger than %zu MiB",
                          CE_DOCUMENT_SIZE_MAX >> 20);
    ce_autofree char *joined = size > 0 && text[0] == '{' ? malloc(size + 1) : NULL;
    if (joined) {
        size = ce_surrogates_join(text, size, joined);
        text = joined;
    }
    CE_TRY(ce_node_parse(text, size, doc->name, &doc->root, err));
    *ret_doc = ce_take(doc);
    return 0;
}

int ce_document_load(const char *path, struct ce_document **ret_doc, struct ce_error *err)
{
    ce_autofree char *text = NULL;
    size_t size;
    bool is_stdin = strcmp(path, "-") == 0;
    CE_TRY(ce_file_read(path, CE_DOCUMENT_SIZE_MAX, &text, &size, err));
    CE_CLEANUP(ce_document_free_p) struct ce_document *doc = NULL;
    CE_TRY(ce_document_parse(text, size, is_stdin ? "stdin" : path, &doc, err));
    const char *slash = strrchr(path, '/');
    if (!is_stdin && slash) {
        doc->folder = strndup(path, slash > path ? (size_t)(slash - path) : 1);
        if (!doc->folder)
            return ce_fail_memory(err);
    }
    *ret_doc = ce_take(doc);
    return 0;
}

const struct ce_node *ce_document_root(const struct ce_document *doc)
{
    return doc->root;
}

int ce_document_demo(struct ce_document **ret_doc, struct ce_error *err)
{
    return ce_document_parse(ce_demo_document, strlen(ce_demo_document), "demo", ret_doc, err);
}

/* ---- one experiment ---- */

static bool has_control(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
        if (*p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0))
            return true;
    return false;
}

static int check_name(const struct ce_document *doc, const struct ce_experiment *experiment,
                      const struct ce_node *list, const struct ce_position *place,
                      struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(experiment->name, shown);
    if (experiment->name[0] == '\0')
        return ce_fail_place(err, place, EINVAL, "name: must not be empty");
    if (strlen(experiment->name) > CE_NAME_MAX || has_control(experiment->name))
        return ce_fail_place(err, place, EINVAL, "name: '%s' is not one line of at most %d bytes",
                             shown, CE_NAME_MAX);
    for (const struct ce_experiment *other = doc->experiments; other < experiment; other++) {
        if (strcmp(other->name, experiment->name) != 0)
            continue;
        char first[160];
        const struct ce_node *node = list->items[other - doc->experiments];
        ce_position_text(&ce_node_get(node, "name")->place, first, sizeof first);
        return ce_fail_place(err, place, EINVAL,
                             "name: '%s' is already the name of the experiment at %s", shown,
                             first);
    }
    return 0;
}

static int check_fault(struct ce_experiment *experiment, const struct ce_position *place,
                       struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    const struct ce_fault *fault = ce_fault_find(experiment->fault_type);
    if (!fault) {
        const char *near = ce_fault_nearest(experiment->fault_type);
        ce_text_show(experiment->fault_type, shown);
        return ce_fail_place(
            err, place, EINVAL,
            "fault_type: no fault is called '%s'%s%s%s (`chaoseater faults` lists all)", shown,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    if (experiment->layer != (int)fault->layer)
        return ce_fail_place(err, place, EINVAL, "fault_type: '%s' belongs to layer %s, not %s",
                             fault->name, ce_layer_name(fault->layer),
                             ce_layer_name((enum ce_layer)experiment->layer));
    experiment->fault = fault;
    return 0;
}

static int read_parameters(const struct ce_node *node, struct ce_experiment *experiment,
                           struct ce_error *err)
{
    const struct ce_fault *fault = experiment->fault;
    const struct ce_node *parameters = ce_node_get(node, "parameters");
    const struct ce_position *place = parameters ? &parameters->place : &node->place;
    const struct ce_map_rules rules = {"parameter", fault->name, fault->params, NULL};
    CE_TRY(ce_map_check(parameters, err));
    experiment->params = calloc(1, fault->params_size > 0 ? fault->params_size : 1);
    if (!experiment->params)
        return ce_fail_memory(err);
    CE_TRY(ce_map_read(parameters, place, &rules, experiment->params, err));
    if (!fault->check)
        return 0;
    return ce_fail_put_place(err, fault->check(experiment->params, err), place);
}

/* `process` is a name, or a mapping with keys of its own. */
static int read_target_process(const struct ce_node *node, struct ce_target_spec *target,
                               struct ce_error *err)
{
    static const struct ce_map_rules rules = {"key", "process", ce_target_process_params, NULL};
    return ce_map_read(node, &node->place, &rules, target, err);
}

static int read_target(const struct ce_document *doc, const struct ce_node *experiment_node,
                       struct ce_experiment *experiment, struct ce_error *err)
{
    const struct ce_node *node = ce_node_get(experiment_node, "target");
    struct ce_target_spec *target = &experiment->target;
    const char *key = NULL;
    CE_TRY(ce_map_check(node, err));
    CE_TRY(ce_params_init(ce_target_params, target, err));
    for (size_t i = 0; node && i < node->count; i++) {
        const struct ce_node *item = node->items[i];
        const struct ce_param *param = ce_param_find(ce_target_params, item->key);
        if (!param)
            return ce_fail_unknown(err, &item->key_place, &ce_target_rules, item->key);
        if (strcmp(item->key, "process") == 0 && item->kind == CE_NODE_MAP)
            CE_TRY(read_target_process(item, target, err));
        else
            CE_TRY(ce_map_value(param, item, target, err));
    }
    int r = ce_target_keys_check(target, &key, err);
    if (r < 0) {
        const struct ce_node *value = key ? ce_node_get(node, key) : NULL;
        return ce_fail_put_place(err, r, value ? &value->place : &node->place);
    }
    if (ce_target_is_explicit(target) && experiment->fault->layer != CE_LAYER_INFRASTRUCTURE)
        return ce_fail_place(err, &node->place, EINVAL,
                             "target: %s acts on the pipeline under test; only infrastructure "
                             "faults take another target",
                             experiment->fault->name);
    return target->path
               ? ce_document_resolve(doc, &ce_node_get(node, "path")->place, &target->path, err)
               : 0;
}

static int read_experiment(struct ce_document *doc, const struct ce_node *list, size_t i,
                           struct ce_error *err)
{
    const struct ce_node *node = list->items[i];
    struct ce_experiment *experiment = &doc->experiments[i];
    if (node->kind != CE_NODE_MAP)
        return ce_fail_place(err, &node->place, EINVAL,
                             "an experiment is a mapping with name, layer and fault_type, not %s",
                             ce_node_kind_text(node));
    CE_TRY(ce_map_read(node, &node->place, &ce_experiment_rules, experiment, err));
    CE_TRY(check_name(doc, experiment, list, &ce_node_get(node, "name")->place, err));
    CE_TRY(check_fault(experiment, &ce_node_get(node, "fault_type")->place, err));
    CE_TRY(read_parameters(node, experiment, err));
    CE_TRY(read_target(doc, node, experiment, err));
    CE_TRY(ce_document_read_blast(node, experiment, err));
    CE_TRY(ce_map_read_schedule(node, &experiment->schedule, err));
    CE_TRY(ce_document_read_steady(doc, node, experiment, err));
    CE_TRY(ce_document_read_rollback(node, experiment, err));
    experiment->has_seed = ce_map_has(node, "seed");
    return 0;
}

/* ---- the whole document ---- */

static int read_experiments(struct ce_document *doc, struct ce_error *err)
{
    const struct ce_node *list = ce_node_get(doc->root, "experiments");
    if (!list)
        return ce_fail_place(err, &doc->root->place, EINVAL,
                             "the key 'experiments' is missing: a list of experiments");
    if (list->kind != CE_NODE_LIST && !ce_node_is_null(list))
        return ce_fail_place(err, &list->place, EINVAL, "experiments: takes a list, not %s",
                             ce_node_kind_text(list));
    if (list->count == 0)
        return ce_fail_place(err, &list->place, EINVAL,
                             "experiments: is empty; it needs at least one experiment");
    doc->experiments = calloc(list->count, sizeof *doc->experiments);
    if (!doc->experiments)
        return ce_fail_memory(err);
    doc->experiment_count = list->count;
    for (size_t i = 0; i < list->count; i++)
        CE_TRY(read_experiment(doc, list, i, err));
    CE_TRY(ce_document_check_dependencies(doc, err));
    return ce_document_select(doc, err);
}

/* ---- the pipeline ---- */

static bool pipeline_has(void *ctx, const char *key)
{
    return ce_map_has(ce_node_get(ctx, "pipeline"), key);
}

/* The value of the key, else the section, else the document. */
static const struct ce_position *pipeline_place(const struct ce_document *doc, const char *key)
{
    const struct ce_node *section = ce_node_get(doc->root, "pipeline");
    const struct ce_node *value = key ? ce_node_get(section, key) : NULL;
    return &(value ? value : section ? section : doc->root)->place;
}

static int read_pipeline(struct ce_document *doc, struct ce_error *err)
{
    const struct ce_node *section = ce_node_get(doc->root, "pipeline");
    struct ce_pipeline_spec *spec = &doc->pipeline;
    const char *key = NULL;
    CE_TRY(ce_map_check(section, err));
    CE_TRY(ce_map_read(section, pipeline_place(doc, NULL), &ce_pipeline_rules, spec, err));
    ce_pipeline_keys_settle(spec, pipeline_has, doc->root);
    int r = ce_pipeline_keys_check(spec, pipeline_has, doc->root, &key, err);
    if (r < 0)
        return ce_fail_put_place(err, r, pipeline_place(doc, key));
    CE_TRY(ce_document_resolve(doc, pipeline_place(doc, "dataset"), &spec->dataset, err));
    CE_TRY(ce_document_resolve(doc, pipeline_place(doc, "ca"), &spec->ca, err));
    if (spec->command.count > 0 && !spec->workdir && doc->folder &&
        !(spec->workdir = strdup(doc->folder)))
        return ce_fail_memory(err);
    return ce_map_has(section, "workdir")
               ? ce_document_resolve(doc, pipeline_place(doc, "workdir"), &spec->workdir, err)
               : 0;
}

int ce_document_check_pipeline(const struct ce_document *doc, struct ce_error *err)
{
    const char *key = NULL;
    int r = ce_pipeline_check(&doc->pipeline, &key, err);
    return r < 0 ? ce_fail_put_place(err, r, pipeline_place(doc, key)) : 0;
}

/* ---- all of it ---- */

static int validate(struct ce_document *doc, struct ce_error *err)
{
    const struct ce_node *root = doc->root;
    if (root->kind != CE_NODE_MAP)
        return ce_fail_place(err, &root->place, EINVAL,
                             "a document is a mapping with the key 'experiments', not %s",
                             ce_node_kind_text(root));
    CE_TRY(ce_map_read(root, &root->place, &ce_document_rules, &doc->keys, err));
    CE_TRY(ce_map_read_schedule(root, &doc->schedule, err));
    CE_TRY(read_experiments(doc, err));
    CE_TRY(read_pipeline(doc, err));
    CE_TRY(ce_document_check_metrics(doc, err));
    CE_TRY(ce_document_check_rollback(doc, err));
    CE_TRY(ce_document_check_blast(doc, err));
    CE_TRY(ce_document_read_gateways(doc, err));
    return ce_document_cap_durations(doc, err);
}

int ce_document_validate(struct ce_document *doc, struct ce_error *err)
{
    if (doc->validated)
        return 0;
    int r = validate(doc, err);
    if (r < 0)
        discard(doc);
    else
        doc->validated = true;
    return r < 0 ? r : 0;
}

size_t ce_document_experiment_count(const struct ce_document *doc)
{
    return doc->experiment_count;
}

const char *ce_document_notice(const struct ce_document *doc, size_t i)
{
    return i < doc->notices.count ? doc->notices.names[i] : NULL;
}

const struct ce_experiment *ce_document_experiment(const struct ce_document *doc, size_t i)
{
    return i < doc->experiment_count ? &doc->experiments[i] : NULL;
}

bool ce_document_seed(const struct ce_document *doc, uint64_t *ret_seed)
{
    if (!ce_map_has(doc->root, "seed"))
        return false;
    *ret_seed = (uint64_t)doc->keys.seed;
    return true;
}

unsigned ce_document_parallel(const struct ce_document *doc)
{
    return (unsigned)doc->keys.parallel;
}

bool ce_document_fail_fast(const struct ce_document *doc)
{
    return doc->keys.fail_fast;
}

/* Kinds and sizes go before the texts, so that no two trees give the same bytes. */
static void add_node(struct ce_sha256 *sha, const struct ce_node *node)
{
    uint64_t head[] = {node->kind, node->quoted, node->count, node->key ? strlen(node->key) + 1 : 0,
                       node->text ? strlen(node->text) + 1 : 0};
    ce_sha256_add(sha, head, sizeof head);
    ce_sha256_add(sha, node->key, head[3]);
    ce_sha256_add(sha, node->text, head[4]);
    for (size_t i = 0; i < node->count; i++)
        add_node(sha, node->items[i]);
}

int ce_document_digest(const struct ce_document *doc, char ret_hex[CE_SHA256_HEX],
                       struct ce_error *err)
{
    struct ce_sha256 *sha = ce_sha256_new();
    if (!sha)
        return ce_fail_memory(err);
    add_node(sha, doc->root);
    for (size_t i = 0; i < doc->experiment_count; i++)
        ce_sha256_add(sha, &doc->experiments[i].left_out, sizeof doc->experiments[i].left_out);
    ce_sha256_end(sha, ret_hex);
    return 0;
}

const struct ce_pipeline_spec *ce_document_pipeline(const struct ce_document *doc)
{
    return &doc->pipeline;
}
