/* SPDX-License-Identifier: MIT */
/* The keys `steady_state` and `stop_when` of an experiment: probes, and what they expect.
 *
 * A stop condition is a probe, too: {metric, above, below} is one of the workload whose expectation
 * is the other way round. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "experiment/document_internal.h"

enum { PROBES_MAX = 64 };

/* A stop condition on a metric. `for` is no name for a field. */
struct stop_keys {
    char *name, *metric;
    double above, below;
    int64_t window, hold;
};

#define HOLD(s)                                                                                    \
    {                                                                                              \
        .name = "for", .type = CE_PARAM_SECONDS, .offset = CE_PARAM_FIELD_(s, hold, int64_t),      \
        .min = 0, .max = 3600 * (double)CE_SECOND, .def = "0s",                                    \
        .doc = "How long it has to be so.",                                                        \
    }

static const struct ce_param stop_params[] = {
    CE_TEXT(struct stop_keys, name, .def = "", .doc = "What reports call it."),
    CE_TEXT(struct stop_keys, metric, .doc = "One of the workload's own measurements."),
    CE_NUMBER(struct stop_keys, above, .def = "", .doc = "It stops beyond that."),
    CE_NUMBER(struct stop_keys, below, .def = "", .doc = "It stops short of that."),
    CE_SECONDS(struct stop_keys, window, .min = 100 * CE_MILLISECOND,
               .max = 3600 * (double)CE_SECOND, .def = "1s",
               .doc = "How far back the measurement looks."),
    HOLD(struct stop_keys),
    CE_END_PARAMS,
};
static const struct ce_param hold_param = HOLD(struct ce_stop);

static const char *const probe_sections[] = {"expect", NULL};
static const char *const stop_sections[] = {"expect", "for", NULL};
static const struct ce_map_rules probe_rules = {"key", "a probe", ce_probe_params, probe_sections};
static const struct ce_map_rules stop_probe_rules = {"key", "a stop condition", ce_probe_params,
                                                     stop_sections};
static const struct ce_map_rules stop_rules = {"key", "a stop condition", stop_params, NULL};
static const struct ce_map_rules expect_rules = {"key", "expect", ce_expect_params, NULL};

void ce_experiment_steady_done(struct ce_experiment *experiment)
{
    for (size_t i = 0; i < experiment->probe_count; i++)
        ce_probe_spec_done(&experiment->probes[i]);
    for (size_t i = 0; i < experiment->stop_count; i++)
        ce_probe_spec_done(&experiment->stops[i].probe);
    free(experiment->probes);
    free(experiment->stops);
    experiment->probes = NULL;
    experiment->stops = NULL;
    experiment->probe_count = experiment->stop_count = 0;
}

/* ---- one probe ---- */

static int read_expect(const struct ce_node *map, struct ce_probe_spec *spec, struct ce_error *err)
{
    const struct ce_node *node = ce_node_get(map, "expect");
    spec->expect = ce_expect_nothing();
    if (!node || ce_node_is_null(node))
        return 0;
    if (node->kind == CE_NODE_LIST)
        return ce_fail_place(err, &node->place, EINVAL,
                             "expect: takes a value or a mapping such as {min: 0.9}, not a list");
    if (node->kind == CE_NODE_SCALAR)
        return ce_fail_put_place(err, ce_expect_bare(spec->kind, node->text, &spec->expect, err),
                                 &node->place);
    return ce_map_read(node, &node->place, &expect_rules, &spec->expect, err);
}

/* The value of the key, of the probe or of what it expects. */
static const struct ce_position *place_of(const struct ce_node *map, const char *key)
{
    const struct ce_node *expect = ce_node_get(map, "expect");
    const struct ce_node *value = key ? ce_node_get(map, key) : NULL;
    if (!value && key)
        value = ce_node_get(expect, key);
    if (!value && key && ce_param_find(ce_expect_params, key))
        value = expect; /* a bare value */
    return value ? &value->place : &map->place;
}

/* A command runs where the document lies, as that of a pipeline does. */
static int resolve(const struct ce_document *doc, const struct ce_node *map,
                   struct ce_probe_spec *spec, struct ce_error *err)
{
    bool is_command = spec->kind == CE_PROBE_COMMAND;
    if (is_command && !spec->workdir && doc->folder && !(spec->workdir = strdup(doc->folder)))
        return ce_fail_memory(err);
    if (ce_map_has(map, "workdir"))
        CE_TRY(ce_document_resolve(doc, place_of(map, "workdir"), &spec->workdir, err));
    return ce_document_resolve(doc, place_of(map, "path"), &spec->path, err);
}

static int read_probe(const struct ce_document *doc, const struct ce_node *map,
                      const struct ce_map_rules *rules, struct ce_probe_spec *spec,
                      struct ce_error *err)
{
    const char *key = NULL;
    CE_TRY(ce_map_read(map, &map->place, rules, spec, err));
    CE_TRY(read_expect(map, spec, err));
    int r = ce_probe_check(spec, &key, err);
    if (r < 0)
        return ce_fail_put_place(err, r, place_of(map, key));
    return resolve(doc, map, spec, err);
}

/* ---- one stop condition ---- */

static int make_stop(const struct ce_node *map, struct stop_keys *keys, struct ce_stop *stop,
                     struct ce_error *err)
{
    struct ce_probe_spec *probe = &stop->probe;
    CE_TRY(ce_map_read(map, &map->place, &stop_rules, keys, err));
    if (isinf(keys->above) && isinf(keys->below))
        return ce_fail_place(err, &map->place, EINVAL,
                             "a stop condition on a metric needs `above` or `below`");
    if (keys->below > keys->above)
        return ce_fail_place(err, place_of(map, "below"), EINVAL,
                             "below: %g is more than above: %g, so that any value would stop",
                             keys->below, keys->above);
    CE_TRY(ce_params_init(ce_probe_params, probe, err));
    probe->kind = CE_PROBE_WORKLOAD;
    probe->name = ce_take(keys->name);
    probe->metric = ce_take(keys->metric);
    probe->window = keys->window;
    probe->expect = ce_expect_nothing();
    probe->expect.max = keys->above;
    probe->expect.min = keys->below;
    stop->hold = keys->hold;
    return 0;
}

static int read_metric_stop(const struct ce_node *map, struct ce_stop *stop, struct ce_error *err)
{
    struct stop_keys keys = {.above = INFINITY, .below = -INFINITY};
    int r = make_stop(map, &keys, stop, err);
    ce_params_done(stop_params, &keys);
    return r;
}

static int read_stop(const struct ce_document *doc, const struct ce_node *map, struct ce_stop *stop,
                     struct ce_error *err)
{
    static const char *const others[] = {"mode", "failures"};
    const struct ce_node *hold = ce_node_get(map, "for");
    if (!ce_node_get(map, "probe"))
        return read_metric_stop(map, stop, err);
    for (size_t i = 0; i < CE_COUNT(others); i++)
        if (ce_map_has(map, others[i]))
            return ce_fail_place(err, place_of(map, others[i]), EINVAL,
                                 "%s: a stop condition is looked at while the fault is live, and "
                                 "`for` says how long it has to be so",
                                 others[i]);
    CE_TRY(read_probe(doc, map, &stop_probe_rules, &stop->probe, err));
    return hold ? ce_map_value(&hold_param, hold, stop, err) : 0;
}

/* ---- the lists ---- */

/* A list of mappings; NULL when there is none. */
static int find_list(const struct ce_node *map, const char *key, const struct ce_node **ret_list,
                     struct ce_error *err)
{
    const struct ce_node *list = ce_node_get(map, key);
    *ret_list = NULL;
    if (!list || ce_node_is_null(list))
        return 0;
    if (list->kind != CE_NODE_LIST)
        return ce_fail_place(err, &list->place, EINVAL, "%s: takes a list, not %s", key,
                             ce_node_kind_text(list));
    if (list->count > PROBES_MAX)
        return ce_fail_place(err, &list->place, EINVAL,
                             "%s: has %zu items; at most %d are possible", key, list->count,
                             PROBES_MAX);
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i]->kind != CE_NODE_MAP)
            return ce_fail_place(err, &list->items[i]->place, EINVAL,
                                 "%s: each is a mapping, not %s", key,
                                 ce_node_kind_text(list->items[i]));
    *ret_list = list;
    return 0;
}

int ce_document_read_steady(const struct ce_document *doc, const struct ce_node *map,
                            struct ce_experiment *experiment, struct ce_error *err)
{
    const struct ce_node *probes, *stops;
    CE_TRY(find_list(map, "steady_state", &probes, err));
    CE_TRY(find_list(map, "stop_when", &stops, err));
    experiment->probes = calloc(probes ? probes->count : 1, sizeof *experiment->probes);
    experiment->stops = calloc(stops ? stops->count : 1, sizeof *experiment->stops);
    if (!experiment->probes || !experiment->stops)
        return ce_fail_memory(err);
    while (probes && experiment->probe_count < probes->count) {
        size_t i = experiment->probe_count++;
        CE_TRY(read_probe(doc, probes->items[i], &probe_rules, &experiment->probes[i], err));
    }
    while (stops && experiment->stop_count < stops->count) {
        size_t i = experiment->stop_count++;
        CE_TRY(read_stop(doc, stops->items[i], &experiment->stops[i], err));
    }
    return 0;
}

/* ---- metrics ---- */

static int check_metric(const struct ce_document *doc, const struct ce_probe_spec *spec,
                        const struct ce_node *map, struct ce_error *err)
{
    size_t count = 0;
    char accepted[160] = "";
    while (ce_workload_metrics[count])
        count++;
    if (spec->kind != CE_PROBE_WORKLOAD || doc->pipeline.kind == CE_PIPELINE_COMMAND ||
        ce_text_is_among(spec->metric, ce_workload_metrics, count))
        return 0;
    for (size_t i = 0; i < count; i++)
        snprintf(accepted + strlen(accepted), sizeof accepted - strlen(accepted), "%s%s",
                 i > 0 ? ", " : "", ce_workload_metrics[i]);
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(spec->metric, shown);
    const char *near = ce_text_nearest(spec->metric, ce_workload_metrics, count);
    return ce_fail_place(err, place_of(map, "metric"), EINVAL,
                         "metric: '%s' is not one of %s%s%s%s", shown, accepted,
                         near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static int fail_bound(const struct ce_probe_spec *spec, const struct ce_node *map, const char *key,
                      double value, const char *why, struct ce_error *err)
{
    double least, most;
    ce_metric_range(spec->metric, &least, &most);
    return ce_fail_place(err, place_of(map, key), EINVAL,
                         isinf(most) ? "%s: %g %s: %s is %g or more" : "%s: %g %s: %s is in %g..%g",
                         key, value, why, spec->metric, least, most);
}

/* A bound that a measurement is always within, or never. Of a stop condition, the bounds are those
 * beyond which it stops. */
static int check_bounds(const struct ce_probe_spec *spec, const struct ce_node *map, bool is_stop,
                        struct ce_error *err)
{
    static const char never[] = "could never stop";
    const struct ce_expect *expect = &spec->expect;
    const char *outside = is_stop ? "would stop at any value" : "cannot match";
    bool by_metric = !ce_node_get(map, "probe");
    const char *min = by_metric ? "below" : "min", *max = by_metric ? "above" : "max";
    double least, most, number;
    if (spec->kind != CE_PROBE_WORKLOAD)
        return 0;
    ce_metric_range(spec->metric, &least, &most);
    if (expect->min > most)
        return fail_bound(spec, map, min, expect->min, outside, err);
    if (expect->max < least)
        return fail_bound(spec, map, max, expect->max, outside, err);
    if (expect->equals && ce_text_number(expect->equals, &number) == 0 &&
        (number < least || number > most))
        return fail_bound(spec, map, "equals", number, outside, err);
    if (is_stop && !isinf(expect->min) && expect->min <= least)
        return fail_bound(spec, map, min, expect->min, never, err);
    if (is_stop && !isinf(expect->max) && expect->max >= most)
        return fail_bound(spec, map, max, expect->max, never, err);
    return 0;
}

/* A stop condition that could never be met is no stop, and the document is refused. But when a
 * value of `--set` is the cause, somebody wants a quick try of it, and is told. */
static int fail_never(struct ce_document *doc, const struct ce_experiment *experiment,
                      const struct ce_node *cause, const struct ce_position *place,
                      const char *sentence, struct ce_error *err)
{
    bool was_set = cause && cause->place.line == 0;
    if (was_set && experiment->left_out)
        return 0;
    return was_set ? ce_document_note(doc, err, "%s: stop condition of experiment '%s': %s",
                                      cause->place.origin, experiment->name, sentence)
                   : ce_fail_place(err, place, EINVAL, "%s", sentence);
}

/* It is armed from the injection to the end of the rollback. A batch job's trials end when they do.
 */
static int check_hold(struct ce_document *doc, const struct ce_experiment *experiment,
                      const struct ce_node *experiment_map, const struct ce_stop *stop,
                      const struct ce_node *map, struct ce_error *err)
{
    char sentence[160];
    int64_t armed = experiment->duration + ce_rollback_longest(&experiment->rollback);
    if (doc->pipeline.kind == CE_PIPELINE_COMMAND || stop->hold <= armed)
        return 0;
    snprintf(sentence, sizeof sentence,
             "for: %g s could never pass: the experiment is over after %g s",
             (double)stop->hold / (double)CE_SECOND, (double)armed / (double)CE_SECOND);
    return fail_never(doc, experiment, ce_node_get(experiment_map, "duration"),
                      place_of(map, "for"), sentence, err);
}

/* What takes longer than the timeout is given up then. */
static int check_latency(struct ce_document *doc, const struct ce_experiment *experiment,
                         const struct ce_stop *stop, const struct ce_node *map,
                         struct ce_error *err)
{
    char sentence[160];
    const char *key = ce_node_get(map, "probe") ? "max" : "above";
    double most = (double)doc->pipeline.timeout / (double)CE_MILLISECOND;
    double bound = stop->probe.expect.max;
    if (stop->probe.kind != CE_PROBE_WORKLOAD || !ce_metric_is_latency(stop->probe.metric) ||
        isinf(bound) || bound <= most)
        return 0;
    snprintf(sentence, sizeof sentence,
             "%s: %g could never stop: %s ends at the pipeline's timeout, %g ms", key, bound,
             stop->probe.metric, most);
    return fail_never(doc, experiment, ce_node_get(ce_node_get(doc->root, "pipeline"), "timeout"),
                      place_of(map, key), sentence, err);
}

static int check_stop(struct ce_document *doc, const struct ce_experiment *experiment,
                      const struct ce_node *experiment_map, const struct ce_stop *stop,
                      const struct ce_node *map, struct ce_error *err)
{
    CE_TRY(check_metric(doc, &stop->probe, map, err));
    CE_TRY(check_bounds(&stop->probe, map, true, err));
    CE_TRY(check_latency(doc, experiment, stop, map, err));
    return check_hold(doc, experiment, experiment_map, stop, map, err);
}

static int check_metrics(struct ce_document *doc, const struct ce_experiment *experiment,
                         const struct ce_node *map, struct ce_error *err)
{
    const struct ce_node *probes = ce_node_get(map, "steady_state");
    const struct ce_node *stops = ce_node_get(map, "stop_when");
    for (size_t i = 0; i < experiment->probe_count; i++) {
        CE_TRY(check_metric(doc, &experiment->probes[i], probes->items[i], err));
        CE_TRY(check_bounds(&experiment->probes[i], probes->items[i], false, err));
    }
    for (size_t i = 0; i < experiment->stop_count; i++)
        CE_TRY(check_stop(doc, experiment, map, &experiment->stops[i], stops->items[i], err));
    return 0;
}

int ce_document_check_metrics(struct ce_document *doc, struct ce_error *err)
{
    const struct ce_node *list = ce_node_get(doc->root, "experiments");
    for (size_t i = 0; i < doc->experiment_count; i++)
        CE_TRY(check_metrics(doc, &doc->experiments[i], list->items[i], err));
    return 0;
}

/* ---- JSON Schema ---- */

static json_t *list_schema(const char *doc, json_t *item)
{
    return json_pack("{s:[s,s], s:s, s:i, s:o}", "type", "array", "null", "description", doc,
                     "maxItems", PROBES_MAX, "items", item);
}

json_t *ce_steady_state_schema(void)
{
    return list_schema("The hypothesis: probes, and what they expect when all is well.",
                       ce_probe_schema());
}

/* Either a metric or a probe. */
json_t *ce_stop_when_schema(void)
{
    ce_autojson json_t *metric = ce_params_schema(stop_params), *probe = ce_probe_schema();
    json_t *properties = json_object_get(probe, "properties");
    json_t *hold = json_object_get(json_object_get(metric, "properties"), "for");
    if (!metric || !hold || json_object_set(properties, "for", hold) < 0 ||
        json_object_set_new(
            metric, "anyOf",
            json_pack("[{s:[s]}, {s:[s]}]", "required", "above", "required", "below")) < 0)
        return NULL;
    (void)json_object_del(properties, "mode");
    (void)json_object_del(properties, "failures");
    return list_schema("What ends the run while the fault is live.",
                       json_pack("{s:{s:[s]}, s:O, s:O}", "if", "required", "probe", "then", probe,
                                 "else", metric));
}
