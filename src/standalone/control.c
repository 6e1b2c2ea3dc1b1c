/* SPDX-License-Identifier: MIT */
#include "standalone/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "standalone/rule_document.h"

struct ce_control {
    struct ce_control_config config;
    int64_t started;
    struct ce_proxy *proxy;
    struct ce_route *route;
    struct ce_rule *rule;
    struct ce_hook hook;
};

/* ---- answers ---- */

#define JSON_TYPE "Content-Type: application/json\r\n"

static void answer_text(struct ce_action *action, int status, const char *headers, char *text,
                        size_t size)
{
    action->kind = CE_ACT_ANSWER;
    action->status = text ? status : 500;
    action->headers = headers;
    action->body = text;
    action->body_size = text ? size : 0;
}

/* Drops the reference. */
static void answer_json(struct ce_action *action, int status, json_t *json)
{
    char *text = json ? ce_json_text(json) : NULL;
    json_decref(json);
    answer_text(action, status, JSON_TYPE, text, text ? strlen(text) : 0);
}

static void answer_error(struct ce_action *action, int status, const char *sentence)
{
    answer_json(action, status, json_pack("{s:s}", "error", sentence));
}

static void answer_nothing(struct ce_action *action)
{
    action->kind = CE_ACT_ANSWER;
    action->status = 204;
}

static void answer_failure(struct ce_action *action, int r, const struct ce_error *err)
{
    int status = r == -ENOMEM ? 500 : r == -EEXIST ? 409 : 400;
    answer_error(action, status, err->message);
}

/* ---- rules ---- */

static void show_rule(struct ce_control *control, const char *id, int status,
                      struct ce_action *action)
{
    answer_json(action, status, ce_rule_json(control->config.rules, id));
}

static int add_rule(struct ce_control *control, const struct ce_rule_document *document,
                    const char **ret_id, struct ce_error *err)
{
    struct ce_rules *rules = control->config.rules;
    if (!document->fault)
        return ce_fail(err, EINVAL, "fault: is missing; `chaoseater faults` lists them");
    CE_TRY(ce_rules_add(rules, document->id, document->fault, document->parameters, ret_id, err));
    if (document->intensity < 0)
        return 0;
    int r = ce_rules_adjust(rules, *ret_id, document->intensity, err);
    if (r < 0)
        (void)ce_rules_remove(rules, *ret_id, NULL);
    return r;
}

static void post_rule(struct ce_control *control, const struct ce_exchange *exchange,
                      struct ce_action *action)
{
    struct ce_rule_document document;
    struct ce_error err = {0};
    const char *id = NULL;
    int r = ce_rule_document_parse(exchange->body, exchange->body_size, &document, &err);
    if (r == 0) {
        r = add_rule(control, &document, &id, &err);
        ce_rule_document_done(&document);
    }
    if (r < 0)
        answer_failure(action, r, &err);
    else
        show_rule(control, id, 201, action);
}

static int change_rule(struct ce_control *control, const char *id,
                       const struct ce_rule_document *document, struct ce_error *err)
{
    struct ce_rules *rules = control->config.rules;
    if (document->id || document->fault)
        return ce_fail(err, EINVAL, "%s: a rule keeps it; remove the rule and add another",
                       document->id ? "id" : "fault");
    if (json_object_size(document->parameters) > 0)
        CE_TRY(ce_rules_change(rules, id, document->parameters, err));
    return document->intensity < 0 ? 0 : ce_rules_adjust(rules, id, document->intensity, err);
}

static void patch_rule(struct ce_control *control, const char *id,
                       const struct ce_exchange *exchange, struct ce_action *action)
{
    struct ce_rule_document document;
    struct ce_error err = {0};
    int r = ce_rule_document_parse(exchange->body, exchange->body_size, &document, &err);
    if (r == 0) {
        r = change_rule(control, id, &document, &err);
        ce_rule_document_done(&document);
    }
    if (r < 0)
        answer_failure(action, r, &err);
    else
        show_rule(control, id, 200, action);
}

static void delete_rules(struct ce_control *control, struct ce_action *action)
{
    ce_autojson json_t *list = ce_rules_json(control->config.rules);
    size_t i;
    const json_t *rule;
    json_array_foreach(list, i, rule)(void) ce_rules_remove(
        control->config.rules, json_string_value(json_object_get(rule, "id")), NULL);
    answer_nothing(action);
}

/* ---- what is to be seen ---- */

static void get_hits(struct ce_control *control, const char *query, struct ce_action *action)
{
    static const char key[] = "?last=";
    int64_t last = 0;
    size_t size = strlen(key);
    if (query[0] != '\0' &&
        (strncmp(query, key, size) != 0 || ce_text_integer(query + size, &last) < 0 || last < 0)) {
        answer_error(action, 400, "/hits takes ?last=N, a number");
        return;
    }
    char *lines = ce_hits_text(control->config.hits, (size_t)last, &size);
    answer_text(action, 200, "Content-Type: application/jsonl\r\n", lines, size);
}

static void write_counter(FILE *out, const char *name, const char *help, uint64_t value)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", name, help, name, name,
            (unsigned long long)value);
}

static void write_rule_counter(FILE *out, const json_t *rules, const char *key, const char *help)
{
    size_t i;
    const json_t *rule;
    fprintf(out, "# HELP chaoseater_rule_%s_total %s\n# TYPE chaoseater_rule_%s_total counter\n",
            key, help, key);
    json_array_foreach(rules, i, rule)
        fprintf(out, "chaoseater_rule_%s_total{rule=\"%s\",fault=\"%s\"} %lld\n", key,
                json_string_value(json_object_get(rule, "id")),
                json_string_value(json_object_get(rule, "fault")),
                (long long)json_integer_value(json_object_get(rule, key)));
}

static void get_metrics(struct ce_control *control, struct ce_action *action)
{
    struct ce_route_counts counts;
    ce_autojson json_t *rules = ce_rules_json(control->config.rules);
    char *text = NULL;
    size_t size = 0;
    ce_route_count(control->config.route, &counts);
    FILE *out = open_memstream(&text, &size);
    if (out) {
        write_counter(out, "chaoseater_proxy_requests_total", "Requests taken.", counts.requests);
        write_counter(out, "chaoseater_proxy_responses_total", "Requests answered.",
                      counts.responses);
        write_counter(out, "chaoseater_proxy_errors_total",
                      "Requests that the proxy itself could not serve.", counts.errors);
        write_counter(out, "chaoseater_proxy_connections_total", "Connections accepted.",
                      counts.connections);
        write_counter(out, "chaoseater_proxy_refused_total",
                      "Connections refused for want of descriptors.", counts.refused);
        write_rule_counter(out, rules, "eligible", "Units that the rule looked at.");
        write_rule_counter(out, rules, "selected", "Units that its recipe selects.");
        write_rule_counter(out, rules, "changed", "Units that were really changed.");
        (void)fclose(out);
    }
    answer_text(action, 200, "Content-Type: text/plain; version=0.0.4\r\n", text, size);
}

static void get_health(const struct ce_control *control, struct ce_action *action)
{
    double seconds = (double)(ce_now() - control->started) / (double)CE_SECOND;
    answer_json(action, 200,
                json_pack("{s:s, s:s, s:f}", "status", "ok", "version", CE_VERSION,
                          "uptime_seconds", seconds));
}

/* ---- dispatch ---- */

static bool is_method(const struct ce_exchange *exchange, const char *method)
{
    return strcmp(exchange->method, method) == 0;
}

static void refuse_method(struct ce_action *action, const char *headers)
{
    answer_error(action, 405, "not by this method");
    action->headers = headers;
}

static void serve_rules(struct ce_control *control, const struct ce_exchange *exchange,
                        struct ce_action *action)
{
    if (is_method(exchange, "GET"))
        answer_json(action, 200, ce_rules_json(control->config.rules));
    else if (is_method(exchange, "POST"))
        post_rule(control, exchange, action);
    else if (is_method(exchange, "DELETE"))
        delete_rules(control, action);
    else
        refuse_method(action, JSON_TYPE "Allow: GET, POST, DELETE\r\n");
}

static void serve_rule(struct ce_control *control, const char *id,
                       const struct ce_exchange *exchange, struct ce_action *action)
{
    if (!ce_rules_has(control->config.rules, id)) {
        char sentence[128];
        snprintf(sentence, sizeof sentence, "no rule is called '%.64s'", id);
        answer_error(action, 404, sentence);
    } else if (is_method(exchange, "GET")) {
        show_rule(control, id, 200, action);
    } else if (is_method(exchange, "PATCH")) {
        patch_rule(control, id, exchange, action);
    } else if (is_method(exchange, "DELETE")) {
        (void)ce_rules_remove(control->config.rules, id, NULL);
        answer_nothing(action);
    } else {
        refuse_method(action, JSON_TYPE "Allow: GET, PATCH, DELETE\r\n");
    }
}

static void serve_view(struct ce_control *control, const char *path, const char *query,
                       const struct ce_exchange *exchange, struct ce_action *action)
{
    bool hits = strcmp(path, "/hits") == 0, metrics = strcmp(path, "/metrics") == 0;
    bool health = strcmp(path, "/health") == 0;
    if (!hits && !metrics && !health)
        answer_error(action, 404, "there are /rules, /hits, /metrics and /health");
    else if (!is_method(exchange, "GET") && !is_method(exchange, "HEAD"))
        refuse_method(action, JSON_TYPE "Allow: GET, HEAD\r\n");
    else if (hits)
        get_hits(control, query, action);
    else if (metrics)
        get_metrics(control, action);
    else
        get_health(control, action);
}

static void serve(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    static const char rule_prefix[] = "/rules/";
    struct ce_control *control = ctx;
    const char *query = exchange->path + strcspn(exchange->path, "?");
    ce_autofree char *path = strndup(exchange->path, (size_t)(query - exchange->path));
    if (!path)
        answer_text(action, 500, NULL, NULL, 0);
    else if (ce_exchange_header(exchange, "Origin").size > 0)
        answer_error(action, 403, "requests of web pages are refused");
    else if (strcmp(path, "/rules") == 0)
        serve_rules(control, exchange, action);
    else if (strncmp(path, rule_prefix, strlen(rule_prefix)) == 0)
        serve_rule(control, path + strlen(rule_prefix), exchange, action);
    else
        serve_view(control, path, query, exchange, action);
}

/* ---- start and stop ---- */

static int start(struct ce_control *control, struct ce_error *err)
{
    struct ce_route_config config = {.name = "control"};
    CE_TRY(ce_endpoint_parse(control->config.listen, &config.listen, err));
    CE_TRY(ce_proxy_start(1, &control->proxy, err));
    CE_TRY(ce_proxy_add_route(control->proxy, &config, &control->route, err));
    control->hook = (struct ce_hook){.wants = CE_HOOK_REQUEST_BODY, .on_request = serve};
    return ce_route_arm(control->route, &control->hook, control, &control->rule, err);
}

int ce_control_start(const struct ce_control_config *config, struct ce_control **ret_control,
                     struct ce_error *err)
{
    struct ce_control *control = calloc(1, sizeof *control);
    if (!control)
        return ce_fail_memory(err);
    control->config = *config;
    control->started = ce_now();
    int r = start(control, err);
    if (r < 0)
        ce_control_stop(control);
    else
        *ret_control = control;
    return r;
}

void ce_control_stop(struct ce_control *control)
{
    if (!control)
        return;
    ce_rule_disarm(control->rule);
    ce_proxy_stop(control->proxy);
    free(control);
}

const struct ce_endpoint *ce_control_endpoint(const struct ce_control *control)
{
    return ce_route_endpoint(control->route);
}
