/* SPDX-License-Identifier: MIT */
/* The key `rollback` of an experiment. `rollback_strategy: NAME` is short for
 * `rollback: {strategy: NAME}`. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "experiment/document_internal.h"
#include "net/url.h"

static const struct ce_map_rules rules = {"key", "rollback", ce_rollback_params, NULL};

static int check_standby(const struct ce_rollback_spec *spec, struct ce_error *err)
{
    CE_CLEANUP(ce_url_done) struct ce_url url = {0};
    if (spec->strategy != CE_STRATEGY_BLUE_GREEN)
        return ce_fail(err, EINVAL, "standby: only blue_green has one, and the strategy is %s",
                       ce_strategy_name((enum ce_strategy)spec->strategy));
    int r = ce_url_parse(spec->standby, &url, err);
    return r < 0 ? ce_fail_context(err, r, "standby") : 0;
}

int ce_document_read_rollback(const struct ce_node *map, struct ce_experiment *experiment,
                              struct ce_error *err)
{
    const struct ce_node *node = ce_node_get(map, "rollback");
    struct ce_rollback_spec *spec = &experiment->rollback;
    if (!node || ce_node_is_null(node)) {
        CE_TRY(ce_params_init(ce_rollback_params, spec, err));
        spec->strategy = experiment->strategy;
        return 0;
    }
    if (ce_map_has(map, "rollback_strategy"))
        return ce_fail_place(err, &ce_node_get(map, "rollback_strategy")->place, EINVAL,
                             "rollback_strategy: is short for a `rollback` of one key, and there "
                             "is a `rollback`; say `strategy` in that");
    if (node->kind != CE_NODE_MAP)
        return ce_fail_place(err, &node->place, EINVAL,
                             "rollback: takes a mapping such as {strategy: gradual}, not %s",
                             ce_node_kind_text(node));
    CE_TRY(ce_map_read(node, &node->place, &rules, spec, err));
    experiment->strategy = spec->strategy;
    if (spec->strategy != CE_STRATEGY_IMMEDIATE && spec->health_check_interval > spec->timeout) {
        const struct ce_node *key = ce_node_get(node, "health_check_interval");
        return ce_fail_place(err, &(key ? key : ce_node_get(node, "timeout_seconds"))->place,
                             EINVAL,
                             "a health check of %.4g s (health_check_interval) cannot end within "
                             "timeout_seconds, %.4g s",
                             (double)spec->health_check_interval / (double)CE_SECOND,
                             (double)spec->timeout / (double)CE_SECOND);
    }
    spec->wants_steps =
        ce_map_has(node, "gradual_steps") || ce_map_has(node, "health_check_interval");
    if (!spec->standby)
        return 0;
    return ce_fail_put_place(err, check_standby(spec, err), &ce_node_get(node, "standby")->place);
}

/* Where blue_green gets its standby from depends on the kind of pipeline. */
int ce_document_check_rollback(const struct ce_document *doc, struct ce_error *err)
{
    const struct ce_node *list = ce_node_get(doc->root, "experiments");
    bool is_http = doc->pipeline.kind == CE_PIPELINE_HTTP;
    for (size_t i = 0; i < doc->experiment_count; i++) {
        const struct ce_rollback_spec *spec = &doc->experiments[i].rollback;
        const struct ce_node *node = ce_node_get(list->items[i], "rollback");
        if (spec->standby && !is_http)
            return ce_fail_place(err, &ce_node_get(node, "standby")->place, EINVAL,
                                 "standby: only a pipeline of kind http has one; of kind embedded "
                                 "a second pipeline is started");
        if (spec->strategy == CE_STRATEGY_BLUE_GREEN && is_http && !spec->standby) {
            if (!node || ce_node_is_null(node))
                node = ce_node_get(list->items[i], "rollback_strategy");
            return ce_fail_place(err, &node->place, EINVAL,
                                 "blue_green with a pipeline of kind http needs a second server: "
                                 "rollback: {strategy: blue_green, standby: \"http://...\"}");
        }
    }
    return 0;
}

json_t *ce_rollback_schema(void)
{
    json_t *schema = ce_params_schema(ce_rollback_params);
    if (schema)
        (void)json_object_set_new(schema, "type", json_pack("[s,s]", "object", "null"));
    return schema;
}
