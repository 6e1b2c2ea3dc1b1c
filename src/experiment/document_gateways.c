/* SPDX-License-Identifier: MIT */
/* The sections of a document that name who is told of its runs: a Pushgateway, a collector of
 * OpenTelemetry, a Grafana. */
#include "experiment/document_internal.h"
#include "telemetry/gateway.h"

const struct ce_param ce_prometheus_params[] = {
    CE_TEXT(struct ce_prometheus_keys, pushgateway_url, .def = "",
            .doc = "The Pushgateway that metrics are pushed to, as http://host:9091."),
    CE_TEXT(struct ce_prometheus_keys, job_name, .def = CE_PUSH_JOB,
            .doc = "The job label of pushed metrics."),
    CE_END_PARAMS,
};

const struct ce_param ce_opentelemetry_params[] = {
    CE_TEXT(struct ce_opentelemetry_keys, endpoint,
            .doc = "A collector that takes OTLP over HTTP, as http://host:4318."),
    CE_TEXT(struct ce_opentelemetry_keys, headers_env, .def = "OTEL_EXPORTER_OTLP_HEADERS",
            .doc = "The environment variable with headers to log in: name=value,name=value."),
    CE_TEXT(struct ce_opentelemetry_keys, service_name, .def = "chaoseater",
            .doc = "The name under which runs are told of."),
    CE_END_PARAMS,
};
const struct ce_param ce_grafana_params[] = {
    CE_TEXT(struct ce_grafana_keys, url,
            .doc = "The Grafana that gets an annotation for each fault, as http://host:3000."),
    CE_TEXT(struct ce_grafana_keys, token_env, .def = "GRAFANA_TOKEN",
            .doc = "The environment variable with the token of a service account."),
    CE_TEXT(struct ce_grafana_keys, dashboard, .def = "",
            .doc = "The uid of the dashboard that shows them; none: all do."),
    CE_END_PARAMS,
};

const struct ce_map_rules ce_prometheus_rules = {"key", "prometheus", ce_prometheus_params, NULL};
const struct ce_map_rules ce_opentelemetry_rules = {"key", "opentelemetry", ce_opentelemetry_params,
                                                    NULL};
const struct ce_map_rules ce_grafana_rules = {"key", "grafana", ce_grafana_params, NULL};

/* A password in the URL stands in no message. */
static int check_prometheus(const struct ce_node *node, const struct ce_prometheus_keys *keys,
                            struct ce_error *err)
{
    const struct ce_node *url = ce_node_get(node, "pushgateway_url");
    const struct ce_node *job = ce_node_get(node, "job_name");
    if (keys->job_name[0] == '\0')
        return ce_fail_place(err, &(job ? job : node)->place, EINVAL,
                             "job_name: is empty; it is the job label of what is pushed");
    int r = ce_gateway_check(keys->pushgateway_url, err);
    if (r < 0)
        return ce_fail_put_place(err, ce_fail_context(err, r, "pushgateway_url"),
                                 &(url ? url : node)->place);
    return 0;
}

static int read_prometheus(struct ce_document *doc, struct ce_error *err)
{
    const struct ce_node *node = ce_node_get(doc->root, "prometheus");
    struct ce_prometheus_keys *keys = &doc->prometheus;
    if (!node)
        return 0;
    CE_TRY(ce_map_check(node, err));
    CE_TRY(ce_map_read(node, &node->place, &ce_prometheus_rules, keys, err));
    if (keys->pushgateway_url && keys->pushgateway_url[0])
        return check_prometheus(node, keys, err);
    return ce_document_note(doc, err, "prometheus: without pushgateway_url no metrics are pushed");
}

/* A section with the address of somebody who is told of runs. */
static int read_gateway(struct ce_document *doc, const struct ce_map_rules *rules, const char *key,
                        void *keys, char *const *url, struct ce_error *err)
{
    const struct ce_node *node = ce_node_get(doc->root, rules->owner);
    if (!node)
        return 0;
    CE_TRY(ce_map_check(node, err));
    CE_TRY(ce_map_read(node, &node->place, rules, keys, err));
    int r = ce_gateway_check(*url, err);
    return r < 0 ? ce_fail_put_place(err, ce_fail_context(err, r, "%s", key),
                                     &ce_node_get(node, key)->place)
                 : 0;
}

int ce_document_read_gateways(struct ce_document *doc, struct ce_error *err)
{
    CE_TRY(read_prometheus(doc, err));
    CE_TRY(read_gateway(doc, &ce_opentelemetry_rules, "endpoint", &doc->opentelemetry,
                        &doc->opentelemetry.endpoint, err));
    return read_gateway(doc, &ce_grafana_rules, "url", &doc->grafana, &doc->grafana.url, err);
}

void ce_document_gateways_done(struct ce_document *doc)
{
    ce_params_done(ce_prometheus_params, &doc->prometheus);
    ce_params_done(ce_opentelemetry_params, &doc->opentelemetry);
    ce_params_done(ce_grafana_params, &doc->grafana);
}

const struct ce_prometheus_keys *ce_document_prometheus(const struct ce_document *doc)
{
    return &doc->prometheus;
}

const struct ce_opentelemetry_keys *ce_document_opentelemetry(const struct ce_document *doc)
{
    return &doc->opentelemetry;
}

const struct ce_grafana_keys *ce_document_grafana(const struct ce_document *doc)
{
    return &doc->grafana;
}
