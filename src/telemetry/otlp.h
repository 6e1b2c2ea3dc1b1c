/* SPDX-License-Identifier: MIT */
/* A run as OpenTelemetry has it, in the JSON of OTLP/HTTP: it is a trace, its phases are spans, and
 * its metrics are those of the registry. And as a region on a Grafana dashboard. */
#ifndef CE_TELEMETRY_OTLP_H
#define CE_TELEMETRY_OTLP_H

#include "observers/record.h"

#define CE_OTLP_TRACES  "/v1/traces"
#define CE_OTLP_METRICS "/v1/metrics"
#define CE_ANNOTATIONS  "/api/annotations"

/* Bodies of requests; free with free(). NULL: no memory, or there is nothing to tell. */
char *ce_otlp_traces(const struct ce_record *record, const char *service);
char *ce_otlp_metrics(const struct ce_record *record, const char *service);
/* The window in which the fault was live. `dashboard`: only there; NULL or "": on all. */
char *ce_grafana_annotation(const struct ce_record *record, const char *dashboard);

#endif
