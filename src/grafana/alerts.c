/* SPDX-License-Identifier: MIT */
/* The alert rules, as a table; and what becomes of them: a rule file of Prometheus, a file that
 * Grafana is provisioned with, and what Grafana's API takes. These differ in more than their
 * braces: Grafana compares in an expression of its own, and names values otherwise. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "grafana/grafana.h"

#define GROUP "chaoseater"

enum compare { ABOVE = 0, BELOW, EQUAL };
enum limit { FIXED = 0, SCORE, ERROR_RATE, RECOVERY };

struct rule {
    const char *uid, *name;
    const char *expr;
    enum compare compare;
    enum limit limit;
    double value; /* what it is compared with, if that is FIXED */
    const char *pending, *severity;
    const char *summary, *description; /* VALUE and LIMIT stand for numbers */
};

#define WHO "{{ $labels.experiment }}"

/* clang-format off */
static const struct rule rules[] = {
    {"chaoseater-low-score", "ChaosLowScore", "chaos_resilience_score", BELOW, SCORE, 0, "0s", "warning",
        "Low resilience score of " WHO,
        WHO " ({{ $labels.fault }}) scored VALUE in its last run; LIMIT is the least that is accepted."},
    {"chaoseater-deviated", "ChaosExperimentDeviated", "chaos_experiment_verdict{verdict=\"deviated\"}", EQUAL, FIXED, 1, "0s",
        "warning", WHO " left its steady state",
        "The pipeline did not hold what " WHO " ({{ $labels.fault }}) expects of it."},
    {"chaoseater-error-rate", "ChaosHighErrorRate",
        "chaos_operation_errors{phase=\"fault\"} / (chaos_operations{phase=\"fault\"} > 0)", ABOVE, ERROR_RATE, 0, "0s", "warning",
        "Many operations failed under " WHO,
        "A share of VALUE of all operations failed while {{ $labels.fault }} was live; LIMIT is the most that is accepted."},
    {"chaoseater-slow-recovery", "ChaosSlowRecovery", "chaos_recovery_time_seconds", ABOVE, RECOVERY, 0, "0s", "warning",
        "Slow recovery after " WHO,
        "The pipeline needed VALUE s to recover from {{ $labels.fault }}; LIMIT s is the most that is accepted."},
    {"chaoseater-failed", "ChaosExperimentFailed", "chaos_experiment_status", EQUAL, FIXED, 3, "0s", "warning",
        WHO " did not complete",
        WHO " ({{ $labels.fault }}) failed, was aborted, interrupted or skipped: it says nothing about the pipeline."},
    {"chaoseater-unverified", "ChaosFaultUnverified", "chaos_experiment_verified and (chaos_experiment_status == 2)", EQUAL, FIXED,
        0, "0s", "warning", "The fault of " WHO " was not seen to take effect",
        "{{ $labels.fault }} was injected, but nobody saw its effect: the score of " WHO " proves nothing."},
    {"chaoseater-not-put-back", "ChaosNotPutBack", "chaos_experiment_status", EQUAL, FIXED, 4, "0s", "critical",
        WHO " could not put everything back",
        "Something that {{ $labels.fault }} changed is still changed. `chaoseater status` lists it, `chaoseater recover` tries again."},
    {"chaoseater-dirty-host", "ChaosDirtyHost", "chaos_journal_failed_entries", ABOVE, FIXED, 0, "1m", "critical",
        "A run has left changes on a host",
        "VALUE changes are to be undone although their run has ended ({{ $labels.instance }}): `chaoseater recover` undoes them."},
    {"chaoseater-guard-gone", "ChaosGuardGone", "chaos_guard_up", EQUAL, FIXED, 0, "10s", "critical",
        "Nobody watches over " WHO,
        "The guard of " WHO " has gone while {{ $labels.fault }} is live: should the run crash, only `chaoseater recover` undoes it."},
};
/* clang-format on */

/* ---- limits ---- */

int ce_grafana_parse_limits(const struct ce_grafana_alert_options *options,
                            struct ce_grafana_limits *ret_limits, struct ce_error *err)
{
    struct ce_grafana_limits limits = {.score = 70, .error_rate = 0.1, .recovery = 30};
    int64_t recovery = 0;
    if (options && options->has_min_score)
        limits.score = options->min_score;
    if (!(limits.score >= 0 && limits.score <= 100))
        return ce_fail(err, EINVAL, "a score is a number in 0..100");
    if (options && options->max_error_rate &&
        (ce_text_number(options->max_error_rate, &limits.error_rate) < 0 ||
         !(limits.error_rate >= 0 && limits.error_rate <= 1)))
        return ce_fail(err, EINVAL, "'%.80s' is no share of operations: a number in 0..1",
                       options->max_error_rate);
    if (options && options->max_recovery) {
        if (ce_text_duration(options->max_recovery, true, &recovery) < 0)
            return ce_fail(err, EINVAL, "'%.80s' is no time; '30s' and '2m' are",
                           options->max_recovery);
        limits.recovery = (double)recovery / (double)CE_SECOND;
    }
    *ret_limits = limits;
    return 0;
}

static double limit_of(const struct rule *rule, const struct ce_grafana_limits *limits)
{
    return rule->limit == SCORE        ? limits->score
           : rule->limit == ERROR_RATE ? limits->error_rate
           : rule->limit == RECOVERY   ? limits->recovery
                                       : rule->value;
}

/* ---- texts ---- */

/* With every `from` replaced; frees `text`. */
static char *replace(char *text, const char *from, const char *to)
{
    for (char *at = text; at && (at = strstr(at, from));) {
        size_t before = (size_t)(at - text);
        char *longer = ce_format("%.*s%s%s", (int)before, text, to, at + strlen(from));
        at = longer ? longer + before + strlen(to) : NULL;
        free(text);
        text = longer;
    }
    return text;
}

/* `value`: how whoever shows it calls the measured number. */
static json_t *make_text(const char *text, double limit, const char *value)
{
    ce_autofree char *number = ce_format("%g", limit);
    ce_autofree char *made =
        number ? replace(replace(strdup(text), "VALUE", value), "LIMIT", number) : NULL;
    return made ? json_string(made) : NULL;
}

static json_t *make_annotations(const struct rule *rule, double limit, const char *value)
{
    return json_pack("{s:o, s:o}", "summary", make_text(rule->summary, limit, value), "description",
                     make_text(rule->description, limit, value));
}

/* ---- for Prometheus ---- */

static json_t *make_prometheus_rule(const struct rule *rule, const struct ce_grafana_limits *limits)
{
    static const char *const signs[] = {[ABOVE] = ">", [BELOW] = "<", [EQUAL] = "=="};
    double limit = limit_of(rule, limits);
    bool plain = !strchr(rule->expr, ' ');
    ce_autofree char *expr = ce_format("%s%s%s %s %.15g", plain ? "" : "(", rule->expr,
                                       plain ? "" : ")", signs[rule->compare], limit);
    if (!expr)
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:{s:s}, s:o}", "alert", rule->name, "expr", expr, "for",
                     rule->pending, "labels", "severity", rule->severity, "annotations",
                     make_annotations(rule, limit, "{{ printf \"%.3g\" $value }}"));
}

static json_t *make_prometheus(const struct ce_grafana_limits *limits)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < CE_COUNT(rules); i++)
        if (json_array_append_new(list, make_prometheus_rule(&rules[i], limits)) != 0)
            json_decref(ce_take(list));
    return json_pack("{s:[{s:s, s:o}]}", "groups", "name", GROUP, "rules", list);
}

/* ---- for Grafana ---- */

/* There is no "equal" in what all its versions know; both ends of the range are outside of it. */
static json_t *make_evaluator(enum compare compare, double limit)
{
    if (compare == EQUAL)
        return json_pack("{s:s, s:[f, f]}", "type", "within_range", "params", limit - 0.5,
                         limit + 0.5);
    return json_pack("{s:s, s:[f]}", "type", compare == ABOVE ? "gt" : "lt", "params", limit);
}

static json_t *make_data(const struct rule *rule, double limit, const char *datasource)
{
    enum { SECONDS = 600 };
    return json_pack("[{s:s, s:s, s:{s:i, s:i}, s:s, s:{s:s, s:s, s:b, s:b}}, "
                     "{s:s, s:s, s:{s:i, s:i}, s:s, s:{s:s, s:s, s:s, s:[{s:o}]}}]",
                     "refId", "A", "queryType", "", "relativeTimeRange", "from", SECONDS, "to", 0,
                     "datasourceUid", datasource, "model", "refId", "A", "expr", rule->expr,
                     "instant", 1, "range", 0, "refId", "C", "queryType", "", "relativeTimeRange",
                     "from", 0, "to", 0, "datasourceUid", "__expr__", "model", "refId", "C", "type",
                     "threshold", "expression", "A", "conditions", "evaluator",
                     make_evaluator(rule->compare, limit));
}

/* What the file and the API have in common. */
static json_t *make_rule(const struct rule *rule, const struct ce_grafana_limits *limits,
                         const char *datasource)
{
    double limit = limit_of(rule, limits);
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:b, s:{s:s}, s:o}", "uid", rule->uid,
                     "title", rule->name, "condition", "C", "data",
                     make_data(rule, limit, datasource), "noDataState", "OK", "execErrState",
                     "Error", "for", rule->pending, "isPaused", 0, "labels", "severity",
                     rule->severity, "annotations",
                     make_annotations(rule, limit, "{{ printf \"%.3g\" $values.A.Value }}"));
}

static json_t *make_rules(const struct ce_grafana_limits *limits, const char *datasource)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < CE_COUNT(rules); i++)
        if (json_array_append_new(list, make_rule(&rules[i], limits, datasource)) != 0)
            json_decref(ce_take(list));
    return list;
}

json_t *ce_grafana_make_rules(const struct ce_grafana_limits *limits, const char *datasource,
                              const char *folder)
{
    json_t *list = make_rules(limits, datasource), *rule;
    size_t i;
    json_array_foreach(list, i, rule)
    {
        ce_autojson json_t *place =
            json_pack("{s:i, s:s, s:s}", "orgID", 1, "folderUID", folder, "ruleGroup", GROUP);
        if (!place || json_object_update(rule, place) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *make_provisioning(const struct ce_grafana_limits *limits, const char *datasource)
{
    return json_pack("{s:i, s:[{s:i, s:s, s:s, s:s, s:o}]}", "apiVersion", 1, "groups", "orgId", 1,
                     "name", GROUP, "folder", CE_GRAFANA_FOLDER, "interval", "1m", "rules",
                     make_rules(limits, datasource));
}

/* ---- the files ---- */

int ce_grafana_alerts(const struct ce_grafana_alert_options *options, char **ret_text,
                      struct ce_error *err)
{
    static const struct ce_grafana_alert_options usual = {0};
    struct ce_grafana_limits limits;
    options = options ? options : &usual;
    const char *format = options->format ? options->format : "prometheus";
    bool grafana = strcmp(format, "grafana") == 0;
    CE_TRY(ce_grafana_parse_limits(options, &limits, err));
    if (!grafana && strcmp(format, "prometheus") != 0)
        return ce_fail(err, EINVAL, "'%.80s' is none of the formats prometheus and grafana",
                       format);
    const char *datasource = options->datasource ? options->datasource : "prometheus";
    ce_autojson json_t *json =
        grafana ? make_provisioning(&limits, datasource) : make_prometheus(&limits);
    char *text = !json ? NULL : options->json ? ce_json_exact_text(json) : ce_grafana_yaml(json);
    if (!text)
        return ce_fail_memory(err);
    *ret_text = text;
    return 0;
}
