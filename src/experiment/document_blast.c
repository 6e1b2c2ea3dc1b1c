/* SPDX-License-Identifier: MIT */
/* The key `blast_radius` of an experiment: a mapping, or `one`, `all` or a share ("30%") of what
 * fits the fault. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "data/mutation.h"
#include "experiment/document_internal.h"

static const struct ce_choice units[] = {
    {"requests", CE_BLAST_REQUESTS, "live requests, for faults on traffic"},
    {"rows", CE_BLAST_ROWS, "rows of the training data, for faults on data"},
    {"processes", CE_BLAST_PROCESSES,
     "processes, each with all below it, for faults on the infrastructure"},
    {NULL, 0, NULL},
};
static const struct ce_choice modes[] = {
    {"one", CE_BLAST_ONE, "one of them"},
    {"all", CE_BLAST_ALL, "all of them"},
    {"fixed", CE_BLAST_FIXED, "so many of them"},
    {"percent", CE_BLAST_PERCENT, "so many in a hundred"},
    {"random_max_percent", CE_BLAST_RANDOM_MAX_PERCENT,
     "a share that the seed draws, so many in a hundred at most"},
    {NULL, 0, NULL},
};

struct blast_keys {
    char *of;
    int mode;
    double value;
};
static const struct ce_param params[] = {
    CE_TEXT(struct blast_keys, of, .def = "",
            .doc = "What is counted: requests, rows or processes; left out, what fits the fault."),
    CE_CHOICE(struct blast_keys, mode, .choices = modes, .doc = "How many of them."),
    CE_NUMBER(struct blast_keys, value, .min = 0, .max = 1e15, .def = "0",
              .doc =
                  "Of fixed: how many; of percent and random_max_percent: so many in a hundred."),
    CE_END_PARAMS,
};
static const struct ce_map_rules rules = {"key", "blast_radius", params, NULL};

static const char *name_in(const struct ce_choice *choice, int value)
{
    while (choice->name && choice->value != value)
        choice++;
    return choice->name;
}

const char *ce_blast_unit_name(int unit)
{
    return name_in(units, unit);
}

const char *ce_blast_mode_name(int mode)
{
    return name_in(modes, mode);
}

/* ---- what is written ---- */

static int read_unit(const char *text, int *ret_unit, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    if (!text)
        return 0;
    for (const struct ce_choice *unit = units; unit->name; unit++)
        if (strcmp(unit->name, text) == 0) {
            *ret_unit = unit->value;
            return 0;
        }
    if (strcmp(text, "hosts") == 0 || strcmp(text, "regions") == 0)
        return ce_fail(err, EINVAL,
                       "of: %s come with runs over several hosts, which are not available in this "
                       "version; accepted: requests, rows, processes",
                       text);
    ce_text_show(text, shown);
    return ce_fail(err, EINVAL, "of: '%s' is not one of requests, rows, processes", shown);
}

static int check_value(const struct ce_blast_spec *spec, bool has_value, struct ce_error *err)
{
    const char *mode = ce_blast_mode_name(spec->mode);
    bool takes_none = spec->mode == CE_BLAST_ONE || spec->mode == CE_BLAST_ALL;
    if (!has_value && !takes_none)
        return ce_fail(err, EINVAL, "the key 'value' of blast_radius is missing; mode %s takes %s",
                       mode,
                       spec->mode == CE_BLAST_FIXED ? "a whole number, 1 or more"
                                                    : "a number above 0, up to 100");
    switch (spec->mode) {
    case CE_BLAST_FIXED:
        if (spec->value < 1 || spec->value != floor(spec->value))
            return ce_fail(err, EINVAL,
                           "value: %g is not how many there are to be; mode fixed takes a whole "
                           "number, 1 or more",
                           spec->value);
        return 0;
    case CE_BLAST_PERCENT:
    case CE_BLAST_RANDOM_MAX_PERCENT:
        if (!(spec->value > 0 && spec->value <= 100))
            return ce_fail(err, EINVAL,
                           "value: %g is no share in percent; mode %s takes a number above 0, up "
                           "to 100",
                           spec->value, mode);
        return 0;
    default:
        return has_value ? ce_fail(err, EINVAL, "value: mode %s takes none", mode) : 0;
    }
}

static int read_map(const struct ce_node *node, struct ce_blast_spec *spec, struct ce_error *err)
{
    struct blast_keys keys = {0};
    const char *culprit = "of";
    int r = ce_map_read(node, &node->place, &rules, &keys, err);
    if (r >= 0) {
        spec->mode = keys.mode;
        spec->value = keys.value;
        r = read_unit(keys.of, &spec->of, err);
    }
    if (r >= 0) {
        culprit = "value";
        r = check_value(spec, ce_map_has(node, "value"), err);
    }
    ce_params_done(params, &keys);
    const struct ce_node *value = ce_node_get(node, culprit);
    return r < 0 ? ce_fail_put_place(err, r, value ? &value->place : &node->place) : 0;
}

static int read_word(const struct ce_node *node, struct ce_blast_spec *spec, struct ce_error *err)
{
    size_t size = strlen(node->text);
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_autofree char *number =
        size > 1 && node->text[size - 1] == '%' ? strndup(node->text, size - 1) : NULL;
    if (number && ce_text_number(number, &spec->value) == 0) {
        spec->mode = CE_BLAST_PERCENT;
        return ce_fail_put_place(err, check_value(spec, true, err), &node->place);
    }
    ce_text_show(node->text, shown);
    if (strcmp(node->text, "one") != 0 && strcmp(node->text, "all") != 0)
        return ce_fail_place(err, &node->place, EINVAL,
                             "blast_radius: '%s' is not one, all, a share such as 30%%, or a "
                             "mapping such as {mode: fixed, value: 3}",
                             shown);
    spec->mode = node->text[0] == 'o' ? CE_BLAST_ONE : CE_BLAST_ALL;
    return 0;
}

/* ---- what the fault has ---- */

/* Whether the fault changes rows of a table, and not the table's layout. */
static bool changes_rows(const struct ce_experiment *experiment)
{
    const struct ce_fault *fault = experiment->fault;
    const struct ce_dose dose = {.intensity = 1, .label = ""};
    CE_CLEANUP(ce_mutation_done) struct ce_mutation mutation = {0};
    return fault->mutate && fault->mutate(experiment->params, &dose, &mutation, NULL) >= 0 &&
           mutation.kind != CE_MUTATE_LAYOUT;
}

static bool may_choose_processes(const struct ce_target_spec *target)
{
    return target->process || target->unit || target->cgroup || target->container;
}

static int settle_unit(struct ce_experiment *experiment, struct ce_error *err)
{
    const struct ce_fault *fault = experiment->fault;
    unsigned needs = fault->needs_of ? fault->needs_of(experiment->params) : fault->needs;
    int *of = &experiment->blast.of, has = CE_BLAST_FITTING;
    if (needs & (CE_NEEDS_REQUEST_ROUTE | CE_NEEDS_MODEL_ROUTE | CE_NEEDS_BATCHES))
        has = CE_BLAST_REQUESTS;
    else if (fault->layer == CE_LAYER_INFRASTRUCTURE)
        has = CE_BLAST_PROCESSES;
    else if (needs & CE_NEEDS_DATASET && changes_rows(experiment))
        has = CE_BLAST_ROWS;
    if (has == CE_BLAST_FITTING)
        return ce_fail(err, EINVAL,
                       "blast_radius: %s, with these parameters, acts on no requests, rows or "
                       "processes that could be chosen among",
                       fault->name);
    if (*of != CE_BLAST_FITTING && *of != has)
        return ce_fail(err, EINVAL,
                       "blast_radius: %s, with these parameters, acts on %s, not on %s",
                       fault->name, ce_blast_unit_name(has), ce_blast_unit_name(*of));
    if (has == CE_BLAST_PROCESSES && !may_choose_processes(&experiment->target))
        return ce_fail(err, EINVAL,
                       "blast_radius: processes are chosen among those that `target` names by "
                       "process, unit, cgroup or container, and it names none of these");
    *of = has;
    return 0;
}

int ce_document_read_blast(const struct ce_node *map, struct ce_experiment *experiment,
                           struct ce_error *err)
{
    const struct ce_node *node = ce_node_get(map, "blast_radius");
    if (!node || ce_node_is_null(node))
        return 0;
    struct ce_blast_spec *spec = &experiment->blast;
    spec->given = true;
    if (node->kind == CE_NODE_LIST)
        return ce_fail_place(err, &node->place, EINVAL,
                             "blast_radius: takes one, all, a share such as 30%% or a mapping, not "
                             "a list");
    CE_TRY(node->kind == CE_NODE_MAP ? read_map(node, spec, err) : read_word(node, spec, err));
    const struct ce_node *of = ce_node_get(node, "of");
    return ce_fail_put_place(err, settle_unit(experiment, err), of ? &of->place : &node->place);
}

int ce_document_check_blast(const struct ce_document *doc, struct ce_error *err)
{
    const struct ce_node *list = ce_node_get(doc->root, "experiments");
    for (size_t i = 0; i < doc->experiment_count; i++) {
        const struct ce_experiment *experiment = &doc->experiments[i];
        if (experiment->blast.of == CE_BLAST_REQUESTS && doc->pipeline.kind == CE_PIPELINE_COMMAND)
            return ce_fail_place(err, &ce_node_get(list->items[i], "blast_radius")->place, EINVAL,
                                 "blast_radius: a batch job has no requests that %s could be kept "
                                 "from",
                                 experiment->fault->name);
    }
    return 0;
}

/* What `value` may be hangs on `mode`. */
static json_t *value_rule(const char *mode, const char *other, json_t *value)
{
    return json_pack("{s:{s:{s:{s:[s,s*]}}}, s:o}", "if", "properties", "mode", "enum", mode, other,
                     "then", value);
}

json_t *ce_blast_schema(void)
{
    json_t *map = ce_params_schema(params);
    json_t *properties = json_object_get(map, "properties");
    json_t *of = json_object_get(properties, "of"), *value = json_object_get(properties, "value");
    json_t *names = json_array();
    for (const struct ce_choice *unit = units; unit->name; unit++)
        (void)json_array_append_new(names, json_string(unit->name));
    (void)json_object_set_new(of, "enum", names);
    (void)json_object_del(value, "default");
    json_t *counted = json_pack("{s:{s:{s:s, s:i}}, s:[s]}", "properties", "value", "type",
                                "integer", "minimum", 1, "required", "value");
    json_t *share = json_pack("{s:{s:{s:i, s:i}}, s:[s]}", "properties", "value",
                              "exclusiveMinimum", 0, "maximum", 100, "required", "value");
    json_t *none = json_pack("{s:{s:[s]}}", "not", "required", "value");
    json_t *all = json_pack("[o,o,o]", value_rule("fixed", NULL, counted),
                            value_rule("percent", "random_max_percent", share),
                            value_rule("one", "all", none));
    (void)json_object_set_new(map, "allOf", all);
    return json_pack("{s:[{s:s, s:s, s:s}, {s:s}, o]}", "anyOf", "type", "string", "pattern",
                     "^(one|all|[0-9.]+%)$", "description",
                     "How many of what fits the fault: one, all, or a share such as 30%.", "type",
                     "null", map);
}
