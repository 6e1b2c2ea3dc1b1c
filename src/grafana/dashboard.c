/* SPDX-License-Identifier: MIT */
/* The dashboard as Grafana's classic JSON: variables, fault windows, panels, and the user's own. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "grafana/grafana.h"

/* Of the dashboard's form; the newest needs nothing that we use. */
enum { SCHEMA_VERSION = 41 };
enum { PANEL_WIDTH = 12, PANEL_HEIGHT = 8, MOST_HEIGHT = 100, MOST_BYTES = 1 << 20 };

/* ---- what the reader picks ---- */

static const struct {
    const char *name, *label, *values;
} variables[] = {
    {"job", "Job", "label_values(chaos_experiment_status, job)"},
    {"layer", "Layer", "label_values(chaos_experiment_status{job=~\"$job\"}, layer)"},
    {"experiment", "Experiment",
     "label_values(chaos_experiment_status{job=~\"$job\",layer=~\"$layer\"}, experiment)"},
};

static json_t *make_variable(size_t i)
{
    enum { WHEN_TIME_CHANGES = 2, BY_NAME = 1 };
    return json_pack("{s:s, s:s, s:s, s:o, s:{s:s, s:s}, s:b, s:b, s:s, s:i, s:i, s:i, s:[], "
                     "s:{s:[s], s:[s]}}",
                     "type", "query", "name", variables[i].name, "label", variables[i].label,
                     "datasource", ce_grafana_datasource(), "query", "query", variables[i].values,
                     "refId", variables[i].name, "multi", 1, "includeAll", 1, "allValue", ".*",
                     "refresh", WHEN_TIME_CHANGES, "sort", BY_NAME, "hide", 0, "options", "current",
                     "text", "All", "value", "$__all");
}

static json_t *make_variables(void)
{
    json_t *list =
        json_pack("[{s:s, s:s, s:s, s:s, s:i, s:i, s:[], s:{s:s, s:s}}]", "type", "datasource",
                  "name", "datasource", "label", "Data source", "query", "prometheus", "hide", 0,
                  "refresh", 1, "options", "current", "text", "", "value", "");
    for (size_t i = 0; list && i < CE_COUNT(variables); i++)
        if (json_array_append_new(list, make_variable(i)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* ---- when a fault was live ---- */

static json_t *make_annotations(void)
{
    ce_autofree char *expr = ce_grafana_query("chaos_fault_intensity_ratio{@} > 0");
    if (!expr)
        return NULL;
    return json_pack("[{s:i, s:{s:s, s:s}, s:b, s:b, s:s, s:s, s:s}, "
                     "{s:o, s:b, s:b, s:s, s:s, s:s, s:s, s:s, s:s}]",
                     "builtIn", 1, "datasource", "type", "grafana", "uid", "-- Grafana --",
                     "enable", 1, "hide", 1, "iconColor", "rgba(0, 211, 255, 1)", "name",
                     "Annotations & Alerts", "type", "dashboard", "datasource",
                     ce_grafana_datasource(), "enable", 1, "hide", 0, "iconColor", "red", "name",
                     "Fault windows", "expr", expr, "titleFormat", "{{experiment}}", "textFormat",
                     "{{fault}}", "step", "5s");
}

/* ---- the user's own panels ---- */

static int size_of(const json_t *panel, const char *key, int usual, int most)
{
    json_int_t size = json_integer_value(json_object_get(json_object_get(panel, "gridPos"), key));
    return size >= 1 && size <= most ? (int)size : usual;
}

/* Its place and number are ours to give; its datasource is the reader's choice unless it names one.
 */
static int add_panel(json_t *panels, struct ce_grafana_place *place, json_t *panel,
                     const char *path, struct ce_error *err)
{
    const char *type = json_string_value(json_object_get(panel, "type"));
    if (!type || !type[0])
        return ce_fail_at(err, path, EINVAL,
                          "is no panel: that is an object with a \"type\", such as "
                          "{\"type\": \"timeseries\", \"title\": ..., \"targets\": [...]}, or an "
                          "array of them");
    int width = size_of(panel, "w", PANEL_WIDTH, CE_GRAFANA_WIDTH);
    int height = size_of(panel, "h", PANEL_HEIGHT, MOST_HEIGHT);
    json_t *at = ce_grafana_next(place, width, height);
    bool failed = json_object_set_new(panel, "gridPos", at) != 0;
    failed = failed || json_object_set_new(panel, "id", json_integer(place->id)) != 0;
    if (!json_object_get(panel, "datasource"))
        failed = failed || json_object_set_new(panel, "datasource", ce_grafana_datasource()) != 0;
    return failed || json_array_append(panels, panel) != 0 ? ce_fail_memory(err) : 0;
}

static int add_file(json_t *panels, struct ce_grafana_place *place, const char *path,
                    struct ce_error *err)
{
    ce_autofree char *text = NULL;
    size_t size, i;
    int r = ce_file_read(path, MOST_BYTES, &text, &size, err);
    if (r < 0)
        return r == -ENOMEM ? r : -EINVAL;
    ce_autojson json_t *json = ce_json_parse(text, size, path, err);
    if (!json)
        return -EINVAL;
    if (!json_is_array(json))
        return add_panel(panels, place, json, path, err);
    json_t *panel;
    json_array_foreach(json, i, panel)
    {
        CE_TRY(add_panel(panels, place, panel, path, err));
    }
    return 0;
}

static int add_own(json_t *panels, struct ce_grafana_place *place,
                   const struct ce_grafana_dashboard_options *options, struct ce_error *err)
{
    if (options->panel_count == 0)
        return 0;
    json_t *at = ce_grafana_next(place, CE_GRAFANA_WIDTH, 1);
    json_t *heading = json_pack("{s:i, s:s, s:s, s:o, s:b, s:[]}", "id", place->id, "type", "row",
                                "title", "More", "gridPos", at, "collapsed", 0, "panels");
    if (json_array_append_new(panels, heading) != 0)
        return ce_fail_memory(err);
    for (size_t i = 0; i < options->panel_count; i++)
        CE_TRY(add_file(panels, place, options->panels[i], err));
    return 0;
}

/* ---- the whole ---- */

int ce_grafana_make_dashboard(const struct ce_grafana_dashboard_options *options,
                              json_t **ret_dashboard, struct ce_error *err)
{
    enum { CROSSHAIR = 1 };
    static const struct ce_grafana_dashboard_options usual = {0};
    struct ce_grafana_place place = {0};
    ce_autojson json_t *panels = json_array();
    options = options ? options : &usual;
    if (!panels || ce_grafana_add_panels(panels, &place) < 0)
        return ce_fail_memory(err);
    CE_TRY(add_own(panels, &place, options, err));
    ce_autojson json_t *title =
        json_string(options->title ? options->title : "ChaosEater: resilience of ML pipelines");
    if (json_string_length(title) == 0)
        return ce_fail(err, EINVAL, "a dashboard's title is a text in UTF-8, and not empty");
    json_t *dashboard = json_pack(
        "{s:n, s:s, s:O, s:s, s:[s, s], s:i, s:b, s:i, s:s, s:s, s:{s:s, s:s}, s:{s:o}, s:{s:o}, "
        "s:[], s:O}",
        "id", "uid", CE_GRAFANA_UID, "title", title, "description",
        "Chaos experiments: what is live, how resilient the pipelines are, what the faults did.",
        "tags", "chaoseater", "resilience", "schemaVersion", SCHEMA_VERSION, "editable", 1,
        "graphTooltip", CROSSHAIR, "refresh", "10s", "timezone", "browser", "time", "from",
        "now-6h", "to", "now", "templating", "list", make_variables(), "annotations", "list",
        make_annotations(), "links", "panels", panels);
    if (!dashboard)
        return ce_fail_memory(err);
    *ret_dashboard = dashboard;
    return 0;
}

int ce_grafana_dashboard(const struct ce_grafana_dashboard_options *options, char **ret_json,
                         struct ce_error *err)
{
    json_t *dashboard = NULL;
    CE_TRY(ce_grafana_make_dashboard(options, &dashboard, err));
    char *text = ce_json_text(dashboard);
    json_decref(dashboard);
    if (!text)
        return ce_fail_memory(err);
    *ret_json = text;
    return 0;
}
