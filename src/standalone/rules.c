/* SPDX-License-Identifier: MIT */
#include "standalone/rules.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "faults/chosen.h"

struct rule {
    TAILQ_ENTRY(rule) link;
    char *id;
    json_t *given; /* the parameters that somebody gave: {name: value} */
    struct ce_chosen chosen;
    struct ce_injection injection;
    unsigned place; /* see struct ce_hook */
    double intensity;
    struct ce_fault_counts earlier; /* before its parameters were changed */
};

struct ce_rules {
    struct ce_target target;
    uint64_t seed;
    unsigned places;         /* that were given to rules so far */
    TAILQ_HEAD(, rule) list; /* in the order of their places */
};

/* The parameters that say which requests a rule is about; GET /rules shows them apart. */
static const char *const filters[] = {"path", "header", "model", "where"};

/* ---- one rule ---- */

static void rule_free(struct rule *rule)
{
    free(rule->id);
    json_decref(rule->given);
    ce_chosen_done(&rule->chosen);
    free(rule->injection.state);
    free(rule);
}
CE_DEFINE_CLEANUP(struct rule, rule_free);

/* Whether a proxy has what the fault needs. */
static int check_needs(const struct ce_rules *rules, const struct ce_chosen *chosen,
                       struct ce_error *err)
{
    const unsigned offered =
        CE_NEEDS_REQUEST_ROUTE | CE_NEEDS_MODEL_ROUTE | CE_NEEDS_BATCHES | CE_NEEDS_COLUMNS;
    const char *fault = chosen->fault->name;
    unsigned needs = ce_chosen_needs(chosen);
    if (needs & ~offered)
        return ce_fail(err, ENOTSUP,
                       "%s does not act on traffic alone: it needs a run (`chaoseater explain %s`)",
                       fault, fault);
    if (needs & CE_NEEDS_COLUMNS && !rules->target.dataset)
        return ce_fail(err, ENOTSUP,
                       "%s needs a dataset that has the columns of the requests: start the proxy "
                       "with --stats FILE",
                       fault);
    return 0;
}

/* The fault with these parameters. A data fault is on live requests here, where else. */
static int choose(const struct ce_rules *rules, const char *fault, const json_t *parameters,
                  struct ce_chosen *ret, struct ce_error *err)
{
    CE_TRY(ce_chosen_init(fault, ret, err));
    const char *name;
    const json_t *value;
    if (ce_param_find(ret->fault->params, "stage"))
        CE_TRY(ce_chosen_set(ret, "stage", "serve", err));
    json_object_foreach((json_t *)parameters, name, value)
        CE_TRY(ce_chosen_set_json(ret, name, value, err));
    CE_TRY(ce_chosen_check(ret, err));
    return check_needs(rules, ret, err);
}

static void stop(struct rule *rule)
{
    (void)rule->chosen.fault->revert(&rule->injection, NULL);
    free(ce_take(rule->injection.state));
}

/* At the rule's intensity, but for the moment until it is adjusted to it. */
static int start(struct ce_rules *rules, struct rule *rule, struct ce_error *err)
{
    const struct ce_fault *fault = rule->chosen.fault;
    rule->injection = (struct ce_injection){
        .fault = fault,
        .params = rule->chosen.params,
        .state = calloc(1, fault->state_size + 1),
        .target = &rules->target,
        .seed = rules->seed,
        .duration = INT64_MAX,
        .rule = rule->id,
        .place = rule->place,
    };
    if (!rule->injection.state)
        return ce_fail_memory(err);
    int r = fault->inject(&rule->injection, err);
    if (r == 0 && rule->intensity < 1)
        r = fault->adjust(&rule->injection, rule->intensity, err);
    if (r < 0)
        stop(rule);
    return r;
}

static struct ce_fault_counts count(const struct rule *rule)
{
    struct ce_fault_counts counts = {0};
    if (rule->chosen.fault->count)
        rule->chosen.fault->count(&rule->injection, &counts);
    ce_fault_counts_add(&counts, &rule->earlier);
    return counts;
}

/* ---- all of them ---- */

int ce_rules_new(const struct ce_target *target, uint64_t seed, struct ce_rules **ret_rules,
                 struct ce_error *err)
{
    struct ce_rules *rules = calloc(1, sizeof *rules);
    if (!rules)
        return ce_fail_memory(err);
    rules->target = *target;
    rules->seed = seed;
    TAILQ_INIT(&rules->list);
    *ret_rules = rules;
    return 0;
}

static void take_away(struct ce_rules *rules, struct rule *rule)
{
    TAILQ_REMOVE(&rules->list, rule, link);
    stop(rule);
    rule_free(rule);
}

void ce_rules_free(struct ce_rules *rules)
{
    struct rule *rule;
    if (!rules)
        return;
    while ((rule = TAILQ_FIRST(&rules->list)))
        take_away(rules, rule);
    free(rules);
}

static struct rule *find(const struct ce_rules *rules, const char *id)
{
    struct rule *rule;
    TAILQ_FOREACH(rule, &rules->list, link)
    if (strcmp(rule->id, id) == 0)
        return rule;
    return NULL;
}

bool ce_rules_has(const struct ce_rules *rules, const char *id)
{
    return find(rules, id) != NULL;
}

static int get(const struct ce_rules *rules, const char *id, struct rule **ret_rule,
               struct ce_error *err)
{
    *ret_rule = find(rules, id);
    return *ret_rule ? 0 : ce_fail(err, ENOENT, "no rule is called '%s'", id);
}

/* "slow_inference", then "slow_inference-2": the same in every proxy that is given the same rules,
 * as the recipe needs. */
static char *make_id(const struct ce_rules *rules, const char *fault)
{
    char *id = strdup(fault);
    for (unsigned n = 2; id && find(rules, id); n++) {
        free(id);
        id = ce_format("%s-%u", fault, n);
    }
    return id;
}

/* An id stands in paths of the control API, in labels and in logs. */
static bool is_id(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= 64 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
               size;
}

int ce_rules_add(struct ce_rules *rules, const char *id, const char *fault,
                 const json_t *parameters, const char **ret_id, struct ce_error *err)
{
    if (id && !is_id(id))
        return ce_fail(err, EINVAL,
                       "id: '%.80s' is not 1 to 64 letters, digits, dashes, dots or underscores",
                       id);
    if (id && find(rules, id))
        return ce_fail(err, EEXIST, "there is a rule '%s' already", id);
    CE_CLEANUP(rule_free_p) struct rule *rule = calloc(1, sizeof *rule);
    if (!rule)
        return ce_fail_memory(err);
    CE_TRY(choose(rules, fault, parameters, &rule->chosen, err));
    rule->intensity = 1;
    rule->place = rules->places++;
    rule->id = id ? strdup(id) : make_id(rules, fault);
    rule->given = parameters ? json_deep_copy(parameters) : json_object();
    if (!rule->id || !rule->given)
        return ce_fail_memory(err);
    CE_TRY(start(rules, rule, err));
    TAILQ_INSERT_TAIL(&rules->list, rule, link);
    *ret_id = rule->id;
    (void)ce_take(rule);
    return 0;
}

/* A rule that was stopped, after what was to replace it failed so. */
static int put_back(struct ce_rules *rules, struct rule *rule, int failed, struct ce_error *err)
{
    if (start(rules, rule, NULL) == 0)
        return failed;
    TAILQ_REMOVE(&rules->list, rule, link);
    rule_free(rule);
    return ce_fail_context(err, failed, "the rule is gone, as it cannot be put back either");
}

int ce_rules_change(struct ce_rules *rules, const char *id, const json_t *parameters,
                    struct ce_error *err)
{
    struct rule *rule;
    CE_TRY(get(rules, id, &rule, err));
    CE_CLEANUP(rule_free_p) struct rule *next = calloc(1, sizeof *next);
    if (!next || !(next->id = strdup(id)) || !(next->given = json_deep_copy(rule->given)) ||
        json_object_update(next->given, (json_t *)parameters) < 0)
        return ce_fail_memory(err);
    CE_TRY(choose(rules, rule->chosen.fault->name, next->given, &next->chosen, err));
    next->intensity = rule->intensity;
    next->place = rule->place;
    /* A request that comes in between meets neither of them. */
    rule->earlier = next->earlier = count(rule);
    stop(rule);
    int r = start(rules, next, err);
    if (r < 0)
        return put_back(rules, rule, r, err);
    TAILQ_INSERT_AFTER(&rules->list, rule, next, link);
    TAILQ_REMOVE(&rules->list, rule, link);
    rule_free(rule);
    (void)ce_take(next);
    return 0;
}

int ce_rules_adjust(struct ce_rules *rules, const char *id, double intensity, struct ce_error *err)
{
    struct rule *rule;
    CE_TRY(get(rules, id, &rule, err));
    if (!(intensity >= 0 && intensity <= 1))
        return ce_fail(err, ERANGE, "intensity: %g is outside 0..1", intensity);
    if (!rule->chosen.fault->adjust)
        return ce_fail(err, ENOTSUP, "intensity: %s is on or off", rule->chosen.fault->name);
    CE_TRY(rule->chosen.fault->adjust(&rule->injection, intensity, err));
    rule->intensity = intensity;
    return 0;
}

int ce_rules_remove(struct ce_rules *rules, const char *id, struct ce_error *err)
{
    struct rule *rule;
    CE_TRY(get(rules, id, &rule, err));
    take_away(rules, rule);
    return 0;
}

/* ---- as JSON ---- */

/* Moves a parameter out of the resolved ones, if it was given. */
static json_t *move(json_t *parameters, const char *name)
{
    json_t *value = json_incref(json_object_get(parameters, name));
    (void)json_object_del(parameters, name);
    if (json_is_string(value) && json_string_length(value) > 0)
        return value;
    json_decref(value);
    return NULL;
}

/* "Name: regex" as {"Name": "regex"}. */
static json_t *header_json(const char *text)
{
    const char *colon = strchr(text, ':');
    ce_autofree char *name = strndup(text, (size_t)(colon - text));
    return name ? json_pack("{s:s}", name, colon + 1 + strspn(colon + 1, " ")) : NULL;
}

static json_t *filter_json(json_t *parameters)
{
    json_t *filter = json_object();
    for (size_t i = 0; i < CE_COUNT(filters); i++) {
        json_t *value = move(parameters, filters[i]);
        if (!value)
            continue;
        if (strcmp(filters[i], "header") == 0 && strchr(json_string_value(value), ':')) {
            json_t *header = header_json(json_string_value(value));
            json_decref(value);
            value = header;
        }
        (void)json_object_set_new(filter, filters[i], value);
    }
    return filter;
}

static json_t *rule_json(const struct rule *rule)
{
    struct ce_fault_counts counts = count(rule);
    json_t *parameters = ce_params_values(rule->chosen.fault->params, rule->chosen.params);
    json_t *share = json_incref(json_object_get(parameters, "share"));
    (void)json_object_del(parameters, "share");
    json_t *filter = filter_json(parameters);
    json_t *json =
        json_pack("{s:s, s:s, s:o, s:o, s:o, s:f}", "id", rule->id, "fault",
                  rule->chosen.fault->name, "parameters", parameters, "share",
                  share ? share : json_real(1), "filter", filter, "intensity", rule->intensity);
    ce_autojson json_t *counted = ce_fault_counts_json(&counts);
    (void)json_object_update(json, counted);
    return json;
}

json_t *ce_rules_json(const struct ce_rules *rules)
{
    json_t *list = json_array();
    const struct rule *rule;
    TAILQ_FOREACH(rule, &rules->list, link)
    (void)json_array_append_new(list, rule_json(rule));
    return list;
}

json_t *ce_rule_json(const struct ce_rules *rules, const char *id)
{
    const struct rule *rule = find(rules, id);
    return rule ? rule_json(rule) : NULL;
}
