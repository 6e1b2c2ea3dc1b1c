/* SPDX-License-Identifier: MIT */
/* The panels of the dashboard, as a table, and how a row of it becomes Grafana's JSON.
 *
 * In a query @ stands for the labels that the reader has picked. What is peculiar to a kind of
 * panel stands in its row as JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "grafana/grafana.h"

enum { QUERIES = 4 };

enum ask {
    RANGE = 0, /* over the time that is shown */
    NOW,
    NOW_TABLE, /* labels as columns */
};

struct panel {
    const char *type; /* "row": a heading */
    const char *title, *description, *unit;
    int width, height;
    enum ask ask;
    struct {
        const char *expr, *legend;
    } queries[QUERIES];
    const char *options;
    const char *defaults;  /* of fields: thresholds, mappings, how lines are drawn */
    const char *overrides; /* an array */
    const char *transformations;
};

/* ---- pieces that several have ---- */

#define STEP(color, from)  "{\"value\": " from ", \"color\": \"" color "\"}"
#define STEPS(...)         "\"thresholds\": {\"mode\": \"absolute\", \"steps\": [" __VA_ARGS__ "]}"
#define HIGH_IS_GOOD(a, b) STEPS(STEP("red", "null") ", " STEP("orange", a) ", " STEP("green", b))
#define LOW_IS_GOOD(a, b)  STEPS(STEP("green", "null") ", " STEP("orange", a) ", " STEP("red", b))
#define MEANS(value, text, color)                                                                  \
    "\"" value "\": {\"text\": \"" text "\", \"color\": \"" color "\"}"
#define MEANINGS(...) "\"mappings\": [{\"type\": \"value\", \"options\": {" __VA_ARGS__ "}}]"

#define LINES                                                                                      \
    "\"custom\": {\"drawStyle\": \"line\", \"lineWidth\": 2, \"fillOpacity\": 10, "                \
    "\"showPoints\": \"auto\", \"spanNulls\": false}"
/* What is known of a run stays as it is until the next one has ended. */
#define STAIRS                                                                                     \
    "\"custom\": {\"drawStyle\": \"line\", \"lineInterpolation\": \"stepAfter\", "                 \
    "\"lineWidth\": 2, \"fillOpacity\": 10, \"showPoints\": \"never\", \"spanNulls\": false}"
#define LEGEND_BELOW                                                                               \
    "{\"legend\": {\"displayMode\": \"list\", \"placement\": \"bottom\", \"showLegend\": true, "   \
    "\"calcs\": []}, "                                                                             \
    "\"tooltip\": {\"mode\": \"multi\", \"sort\": \"desc\"}}"
#define LAST                                                                                       \
    "\"reduceOptions\": {\"calcs\": [\"lastNotNull\"], \"fields\": \"\", \"values\": false}"
#define STAT(color)                                                                                \
    "{" LAST ", \"colorMode\": \"" color "\", \"graphMode\": \"none\", \"textMode\": \"auto\", "   \
    "\"justifyMode\": \"auto\", \"orientation\": \"auto\"}"
#define BARS                                                                                       \
    "{" LAST ", \"displayMode\": \"basic\", \"orientation\": \"horizontal\", "                     \
    "\"showUnfilled\": true, \"valueMode\": \"color\"}"
#define HOST "{job=~\"$job\"}"

/* A line over time, of a number that a run has at its end. */
#define OVER_TIME(name, text, of, metric, how)                                                     \
    {                                                                                              \
        "timeseries", name, text, of, 8, 8, RANGE, {{metric "{@}", "{{experiment}}"}},             \
            LEGEND_BELOW, how                                                                      \
    }

/* ---- the table ---- */

/* clang-format off */
static const struct panel panels[] = {
    {"row", "Now"},
    {"stat", "Experiment status", "What each experiment does now, or how its last run ended.", "", 16, 5, NOW,
        {{"chaos_experiment_status{@}", "{{experiment}}"}}, STAT("background"),
        MEANINGS(MEANS("0", "pending", "blue") ", " MEANS("1", "running", "purple") ", " MEANS("2", "completed", "green") ", "
                 MEANS("3", "failed", "orange") ", " MEANS("4", "not put back", "red")) ", " STEPS(STEP("green", "null"))},
    {"stat", "This host", "Changes that are to be undone, those of them whose run has ended, and whether the stop is engaged.",
        "", 8, 5, NOW,
        {{"sum(chaos_journal_live_entries" HOST ")", "live"}, {"sum(chaos_journal_failed_entries" HOST ")", "left behind"},
         {"max(chaos_stop_engaged" HOST ")", "stopped"}},
        STAT("value"), STEPS(STEP("green", "null")),
        "[{\"matcher\": {\"id\": \"byName\", \"options\": \"left behind\"}, \"properties\": [{\"id\": \"thresholds\", "
        "\"value\": {\"mode\": \"absolute\", \"steps\": [" STEP("green", "null") ", " STEP("red", "1") "]}}]}, "
        "{\"matcher\": {\"id\": \"byName\", \"options\": \"stopped\"}, \"properties\": [{\"id\": \"mappings\", "
        "\"value\": [{\"type\": \"value\", \"options\": {" MEANS("0", "no", "green") ", " MEANS("1", "yes", "red") "}}]}]}]"},
    {"timeseries", "Fault intensity", "Live: how much of the fault there is.", "percentunit", 8, 8, RANGE,
        {{"chaos_fault_intensity_ratio{@}", "{{experiment}}"}}, LEGEND_BELOW, "\"min\": 0, \"max\": 1, " STAIRS},
    {"timeseries", "Latency", "Live: of the operations of the last second.", "s", 8, 8, RANGE,
        {{"chaos_live_latency_seconds{@}", "{{experiment}}, {{rank}}"}}, LEGEND_BELOW, "\"min\": 0, " LINES},
    {"timeseries", "Accuracy", "Live: share of right predictions in the last second.", "percentunit", 8, 8, RANGE,
        {{"chaos_live_accuracy_ratio{@}", "{{experiment}}"}}, LEGEND_BELOW, "\"min\": 0, \"max\": 1, " LINES},
    {"timeseries", "Errors", "Live: share of operations that failed in the last second.", "percentunit", 12, 6, RANGE,
        {{"chaos_live_error_ratio{@}", "{{experiment}}"}}, LEGEND_BELOW, "\"min\": 0, \"max\": 1, " LINES},
    {"timeseries", "Throughput", "Live: operations that succeeded, per second.", "ops", 12, 6, RANGE,
        {{"chaos_live_throughput{@}", "{{experiment}}"}}, LEGEND_BELOW, "\"min\": 0, " LINES},

    {"row", "Resilience"},
    {"gauge", "Resilience score", "Of each experiment's last run, 0 to 100.", "", 8, 8, NOW,
        {{"chaos_resilience_score{@}", "{{experiment}}"}},
        "{" LAST ", \"orientation\": \"auto\", \"showThresholdLabels\": false, \"showThresholdMarkers\": true}",
        "\"min\": 0, \"max\": 100, \"decimals\": 0, " HIGH_IS_GOOD("50", "70")},
    {"timeseries", "Score over time", "How the scores have changed.", "", 16, 8, RANGE,
        {{"chaos_resilience_score{@}", "{{experiment}}"}}, LEGEND_BELOW, "\"min\": 0, \"max\": 100, " STAIRS},
    {"table", "Worst faults", "The lowest scores first, and what they came from.", "", 24, 9, NOW_TABLE,
        {{"bottomk(25, min by (experiment, layer, fault) (chaos_resilience_score{@}))", ""},
         {"max by (experiment, layer, fault) (chaos_recovery_time_seconds{@})", ""},
         {"max by (experiment, layer, fault) (chaos_accuracy_degradation_percent{@})", ""},
         {"max by (experiment, layer, fault) (chaos_error_count{@})", ""}},
        "{\"showHeader\": true, \"sortBy\": [{\"displayName\": \"score\", \"desc\": false}]}",
        STEPS(STEP("green", "null")),
        "[{\"matcher\": {\"id\": \"byName\", \"options\": \"score\"}, \"properties\": [{\"id\": \"decimals\", \"value\": 0}, "
        "{\"id\": \"custom.cellOptions\", \"value\": {\"type\": \"color-background\"}}, {\"id\": \"thresholds\", \"value\": "
        "{\"mode\": \"absolute\", \"steps\": [" STEP("red", "null") ", " STEP("orange", "50") ", " STEP("green", "70") "]}}]}, "
        "{\"matcher\": {\"id\": \"byName\", \"options\": \"recovery\"}, \"properties\": [{\"id\": \"unit\", \"value\": \"s\"}]}, "
        "{\"matcher\": {\"id\": \"byName\", \"options\": \"accuracy lost\"}, \"properties\": [{\"id\": \"unit\", \"value\": \"percent\"}]}]",
        "[{\"id\": \"merge\", \"options\": {}}, {\"id\": \"organize\", \"options\": {\"excludeByName\": {\"Time\": true}, "
        "\"renameByName\": {\"Value #A\": \"score\", \"Value #B\": \"recovery\", \"Value #C\": \"accuracy lost\", "
        "\"Value #D\": \"errors\"}}}]"},
    {"bargauge", "Success rate by layer", "Share of experiments whose last run passed.", "percentunit", 8, 8, NOW,
        {{"avg by (layer) (chaos_experiment_verdict{@,verdict=\"passed\"})", "{{layer}}"}}, BARS,
        "\"min\": 0, \"max\": 1, " HIGH_IS_GOOD("0.5", "0.9")},
    {"piechart", "Fault type distribution", "How many experiments there are of each fault.", "", 8, 8, NOW,
        {{"count by (fault) (chaos_experiment_status{@})", "{{fault}}"}},
        "{" LAST ", \"pieType\": \"donut\", \"displayLabels\": [\"name\"], \"legend\": {\"displayMode\": \"list\", "
        "\"placement\": \"right\", \"showLegend\": true, \"values\": []}, \"tooltip\": {\"mode\": \"single\", \"sort\": \"none\"}}",
        "\"decimals\": 0"},
    {"bargauge", "Points lost", "What took points off the scores, on average.", "", 8, 8, NOW,
        {{"avg by (term) (chaos_score_points_lost{@})", "{{term}}"}}, BARS,
        "\"min\": 0, \"max\": 40, " LOW_IS_GOOD("10", "30")},

    {"row", "What the faults did"},
    OVER_TIME("Recovery time", "From the begin of the rollback until the pipeline was within tolerance.", "s",
        "chaos_recovery_time_seconds", "\"min\": 0, " STAIRS),
    OVER_TIME("Error count", "Operations that failed after the injection.", "", "chaos_error_count", "\"min\": 0, " STAIRS),
    OVER_TIME("Accuracy degradation", "Percentage points lost under the fault.", "percent",
        "chaos_accuracy_degradation_percent", STAIRS),
    OVER_TIME("Pipeline downtime", "Time in which fewer than half of the operations succeeded.", "s",
        "chaos_pipeline_downtime_seconds", "\"min\": 0, " STAIRS),
    {"timeseries", "Latency by phase", "99th percentile of the last run's operations.", "s", 8, 8, RANGE,
        {{"histogram_quantile(0.99, sum by (experiment, phase, le) (chaos_request_duration_seconds_bucket{@}))",
          "{{experiment}}, {{phase}}"}}, LEGEND_BELOW, "\"min\": 0, " STAIRS},
    {"timeseries", "Accuracy by phase", "Share of right predictions before and under the fault.", "percentunit", 8, 8, RANGE,
        {{"chaos_accuracy_ratio{@}", "{{experiment}}, {{phase}}"}}, LEGEND_BELOW, "\"max\": 1, " STAIRS},
    {"timeseries", "Failed operations", "Share of the operations of each phase.", "percentunit", 8, 8, RANGE,
        {{"chaos_operation_errors{@} / (chaos_operations{@} > 0)", "{{experiment}}, {{phase}}"}}, LEGEND_BELOW,
        "\"min\": 0, \"max\": 1, " STAIRS},
    {"heatmap", "Experiment duration", "How long runs took.", "s", 8, 8, RANGE,
        {{"chaos_experiment_duration_seconds{@}", "{{experiment}}"}},
        "{\"calculate\": true, \"calculation\": {\"yBuckets\": {\"mode\": \"count\", \"value\": \"20\"}}, \"cellGap\": 1, "
        "\"color\": {\"mode\": \"scheme\", \"scheme\": \"Oranges\", \"steps\": 32, \"exponent\": 0.5, \"fill\": \"dark-orange\", "
        "\"reverse\": false}, \"exemplars\": {\"color\": \"rgba(255,0,255,0.7)\"}, \"filterValues\": {\"le\": 1e-9}, "
        "\"legend\": {\"show\": true}, \"rowsFrame\": {\"layout\": \"auto\"}, \"showValue\": \"auto\", "
        "\"tooltip\": {\"mode\": \"single\", \"yHistogram\": false}, \"yAxis\": {\"axisPlacement\": \"left\", \"reverse\": false, "
        "\"unit\": \"s\"}}", ""},
    {"timeseries", "What was hit", "Rows, cells, requests or packets that the fault changed.", "", 8, 8, RANGE,
        {{"chaos_fault_units{@,kind=\"changed\"}", "{{experiment}}"}}, LEGEND_BELOW, "\"min\": 0, " STAIRS},
    OVER_TIME("Rollback", "How long it took to put everything back.", "s", "chaos_rollback_duration_seconds",
        "\"min\": 0, " STAIRS),
    {"timeseries", "The pipeline's own metrics", "What it reports besides its accuracy: means, by phase.", "", 8, 8, RANGE,
        {{"chaos_custom_metric{@}", "{{experiment}}, {{metric}}, {{phase}}"}}, LEGEND_BELOW, STAIRS},

    {"row", "Whether it can be trusted"},
    {"stat", "Verified", "Whether the fault was seen to take effect.", "", 8, 5, NOW,
        {{"chaos_experiment_verified{@}", "{{experiment}}"}}, STAT("background"),
        MEANINGS(MEANS("0", "no", "red") ", " MEANS("1", "yes", "green")) ", " STEPS(STEP("green", "null"))},
    {"stat", "Put back", "Whether everything was seen to be back after the rollback.", "", 8, 5, NOW,
        {{"chaos_rollback_verified{@}", "{{experiment}}"}}, STAT("background"),
        MEANINGS(MEANS("0", "no", "red") ", " MEANS("1", "yes", "green")) ", " STEPS(STEP("green", "null"))},
    {"stat", "Last run", "When it ended.", "dateTimeFromNow", 8, 5, NOW,
        {{"1000 * chaos_experiment_end_time_seconds{@}", "{{experiment}}"}}, STAT("none"), STEPS(STEP("green", "null"))},
    {"timeseries", "To be undone", "Changes in the journals, and those whose run has ended.", "", 12, 6, RANGE,
        {{"chaos_journal_live_entries" HOST, "live"}, {"chaos_journal_failed_entries" HOST, "left behind"}}, LEGEND_BELOW,
        "\"min\": 0, \"decimals\": 0, " LINES},
    {"timeseries", "Guard", "Live: 1 while a guard watches over the run.", "", 6, 6, RANGE,
        {{"chaos_guard_up{@}", "{{experiment}}"}}, LEGEND_BELOW, "\"min\": 0, \"max\": 1, \"decimals\": 0, " STAIRS},
    {"stat", "Version", "Of ChaosEater.", "", 6, 6, NOW,
        {{"chaos_build_info" HOST, "{{version}}"}},
        "{" LAST ", \"colorMode\": \"none\", \"graphMode\": \"none\", \"textMode\": \"name\", \"justifyMode\": \"auto\", "
        "\"orientation\": \"auto\"}", ""},
};
/* clang-format on */

/* ---- a row of it ---- */

json_t *ce_grafana_datasource(void)
{
    return json_pack("{s:s, s:s}", "type", "prometheus", "uid", "${datasource}");
}

char *ce_grafana_query(const char *query)
{
    static const char labels[] = "job=~\"$job\",layer=~\"$layer\",experiment=~\"$experiment\"";
    char *text = strdup(query);
    for (char *at = text; at && (at = strchr(at, '@'));) {
        char *longer = ce_format("%.*s%s%s", (int)(at - text), text, labels, at + 1);
        at = longer ? longer + (at - text) + strlen(labels) : NULL;
        free(text);
        text = longer;
    }
    return text;
}

json_t *ce_grafana_next(struct ce_grafana_place *place, int width, int height)
{
    if (place->x + width > CE_GRAFANA_WIDTH) {
        place->x = 0;
        place->y += place->height;
        place->height = 0;
    }
    json_t *at =
        json_pack("{s:i, s:i, s:i, s:i}", "x", place->x, "y", place->y, "w", width, "h", height);
    place->x += width;
    place->height = height > place->height ? height : place->height;
    place->id++;
    return at;
}

/* Of JSON that stands in the table: what is between `open` and `close`. */
static json_t *parse(const char *open, const char *text, const char *close)
{
    ce_autofree char *whole = ce_format("%s%s%s", open, text ? text : "", close);
    return whole ? json_loads(whole, 0, NULL) : NULL;
}

static json_t *make_target(const struct panel *panel, size_t i)
{
    const char name[] = {(char)('A' + i), '\0'};
    ce_autofree char *expr = ce_grafana_query(panel->queries[i].expr);
    if (!expr)
        return NULL;
    return json_pack("{s:s, s:o, s:s, s:s, s:s, s:b, s:b}", "refId", name, "datasource",
                     ce_grafana_datasource(), "expr", expr, "legendFormat",
                     panel->queries[i].legend, "format",
                     panel->ask == NOW_TABLE ? "table" : "time_series", "instant",
                     panel->ask != RANGE, "range", panel->ask == RANGE);
}

static json_t *make_targets(const struct panel *panel)
{
    json_t *targets = json_array();
    for (size_t i = 0; i < QUERIES && panel->queries[i].expr; i++)
        if (json_array_append_new(targets, make_target(panel, i)) != 0) {
            json_decref(targets);
            return NULL;
        }
    return targets;
}

static json_t *make_panel(const struct panel *panel, struct ce_grafana_place *place)
{
    bool row = strcmp(panel->type, "row") == 0;
    json_t *at =
        ce_grafana_next(place, row ? CE_GRAFANA_WIDTH : panel->width, row ? 1 : panel->height);
    if (row)
        return json_pack("{s:i, s:s, s:s, s:o, s:b, s:[]}", "id", place->id, "type", "row", "title",
                         panel->title, "gridPos", at, "collapsed", 0, "panels");
    json_t *defaults = parse("{", panel->defaults, "}");
    json_t *overrides =
        parse(panel->overrides ? "" : "[", panel->overrides, panel->overrides ? "" : "]");
    if (panel->unit[0])
        (void)json_object_set_new(defaults, "unit", json_string(panel->unit));
    json_t *made = json_pack(
        "{s:i, s:s, s:s, s:s, s:o, s:o, s:o, s:{s:o, s:o}, s:o}", "id", place->id, "type",
        panel->type, "title", panel->title, "description", panel->description, "gridPos", at,
        "datasource", ce_grafana_datasource(), "targets", make_targets(panel), "fieldConfig",
        "defaults", defaults, "overrides", overrides, "options", parse("", panel->options, ""));
    if (made && panel->transformations)
        (void)json_object_set_new(made, "transformations", parse("", panel->transformations, ""));
    return made;
}

int ce_grafana_add_panels(json_t *list, struct ce_grafana_place *place)
{
    for (size_t i = 0; i < CE_COUNT(panels); i++)
        if (json_array_append_new(list, make_panel(&panels[i], place)) != 0)
            return -ENOMEM;
    return 0;
}
