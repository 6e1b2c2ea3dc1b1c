/* SPDX-License-Identifier: MIT */
/* The key `schedule`, of the document or of one experiment: a text such as "0 3 * * *" or "every
 * 15m", or a mapping. */
#include <string.h>

#include "experiment/document_internal.h"

static const struct ce_map_rules rules = {"key", "schedule", ce_schedule_params, NULL};

static int read_map(const struct ce_node *node, struct ce_schedule *ret_schedule,
                    struct ce_error *err)
{
    struct ce_schedule_keys keys = {0};
    const char *key = NULL;
    int r = ce_map_read(node, &node->place, &rules, &keys, err);
    if (r >= 0) {
        r = ce_schedule_from_keys(&keys, ret_schedule, &key, err);
        if (r < 0 && key)
            (void)ce_fail_context(err, r, "%s", key);
    }
    ce_params_done(ce_schedule_params, &keys);
    const struct ce_node *value = key ? ce_node_get(node, key) : NULL;
    return r < 0 ? ce_fail_put_place(err, r, value ? &value->place : &node->place) : 0;
}

int ce_map_read_schedule(const struct ce_node *map, struct ce_schedule *ret_schedule,
                         struct ce_error *err)
{
    const struct ce_node *node = ce_node_get(map, "schedule");
    if (!node || ce_node_is_null(node))
        return 0;
    if (node->kind == CE_NODE_LIST)
        return ce_fail_place(err, &node->place, EINVAL,
                             "schedule: takes a text such as '0 3 * * *' or a mapping, not a list");
    if (node->kind == CE_NODE_MAP)
        return ce_fail_put_place(err, read_map(node, ret_schedule, err), &node->place);
    int r = ce_schedule_parse(node->text, ret_schedule, err);
    if (r < 0)
        (void)ce_fail_context(err, r, "schedule");
    return r < 0 ? ce_fail_put_place(err, r, &node->place) : 0;
}

const struct ce_schedule *ce_document_schedule(const struct ce_document *doc)
{
    return doc->schedule.text ? &doc->schedule : NULL;
}

int ce_document_place_schedule(const struct ce_document *doc, const char *experiment, int r,
                               struct ce_error *err)
{
    const struct ce_node *map = doc->root;
    for (size_t i = 0; experiment && i < doc->experiment_count; i++)
        if (strcmp(doc->experiments[i].name, experiment) == 0)
            map = ce_node_get(doc->root, "experiments")->items[i];
    const struct ce_node *node = ce_node_get(map, "schedule");
    return ce_fail_put_place(err, r, node ? &node->place : &map->place);
}

json_t *ce_schedule_schema(void)
{
    return json_pack("{s:[{s:s, s:s}, {s:s}, o]}", "anyOf", "type", "string", "description",
                     "A cron expression, @daily and its like, or an interval such as 'every 15m'.",
                     "type", "null", ce_params_schema(ce_schedule_params));
}
