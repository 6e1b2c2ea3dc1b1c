/* SPDX-License-Identifier: MIT */
#include "orchestrator/exporter.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "telemetry/otlp.h"

void ce_warn(char **warning, char *sentence)
{
    char *before = *warning;
    if (!sentence)
        return;
    *warning = before ? ce_format("%s; %s", before, sentence) : strdup(sentence);
    free(before);
    free(sentence);
}

/* "name=value,name=value", as OpenTelemetry's variables have headers, as lines. */
static char *header_lines(const char *list)
{
    ce_autofree char *copy = strdup(list);
    char *lines = strdup(""), *rest = copy, *pair;
    while (lines && rest && (pair = strsep(&rest, ","))) {
        pair += strspn(pair, " ");
        const char *value = strchr(pair, '=');
        if (!value || value == pair || strpbrk(pair, "\r\n"))
            continue;
        char *more = ce_format("%s%.*s: %s\r\n", lines, (int)(value - pair), pair, value + 1);
        free(lines);
        lines = more;
    }
    return lines;
}

static struct ce_push *start(const char *url, const char *headers, const char *what,
                             const char *state_dir, char **warning)
{
    struct ce_push *push = NULL;
    struct ce_error err = {0};
    if (ce_push_start_json(url, headers, what, state_dir, &push, &err) < 0)
        ce_warn(warning, ce_format("%s were not sent: %s", what, err.message));
    return push;
}

void ce_exporter_begin(struct ce_exporter *exporter, const struct ce_document *doc,
                       const char *state_dir, char **warning)
{
    const struct ce_opentelemetry_keys *collector = ce_document_opentelemetry(doc);
    const struct ce_grafana_keys *grafana = ce_document_grafana(doc);
    exporter->doc = doc;
    if (collector->endpoint) {
        const char *secret = getenv(collector->headers_env);
        ce_autofree char *headers = secret ? header_lines(secret) : NULL;
        exporter->collector =
            start(collector->endpoint, headers, "traces and metrics", state_dir, warning);
    }
    if (grafana->url) {
        const char *token = getenv(grafana->token_env);
        bool usable = token && token[0] && !strpbrk(token, "\r\n");
        ce_autofree char *headers =
            usable ? ce_format("Authorization: Bearer %s\r\n", token) : NULL;
        exporter->grafana = start(grafana->url, headers, "annotations", state_dir, warning);
    }
}

void ce_exporter_record(const struct ce_exporter *exporter, const struct ce_record *record)
{
    if (exporter->collector) {
        const char *service = ce_document_opentelemetry(exporter->doc)->service_name;
        ce_push_json(exporter->collector, CE_OTLP_TRACES, record->id,
                     ce_otlp_traces(record, service));
        ce_push_json(exporter->collector, CE_OTLP_METRICS, record->id,
                     ce_otlp_metrics(record, service));
    }
    if (exporter->grafana) {
        const char *dashboard = ce_document_grafana(exporter->doc)->dashboard;
        ce_push_json(exporter->grafana, CE_ANNOTATIONS, record->id,
                     ce_grafana_annotation(record, dashboard));
    }
}

static void stop(struct ce_push *push, char **warning)
{
    char *sentence = NULL;
    ce_push_stop(push, &sentence);
    ce_warn(warning, sentence);
}

void ce_exporter_end(struct ce_exporter *exporter, char **warning)
{
    stop(ce_take(exporter->collector), warning);
    stop(ce_take(exporter->grafana), warning);
}
