/* SPDX-License-Identifier: MIT */
/* Tells others of runs that have ended: a collector of OpenTelemetry gets a trace and metrics,
 * Grafana an annotation, as the document's sections say. */
#ifndef CE_ORCHESTRATOR_EXPORTER_H
#define CE_ORCHESTRATOR_EXPORTER_H

#include "experiment/document.h"
#include "observers/record.h"
#include "telemetry/push.h"

struct ce_exporter {
    const struct ce_document *doc;
    struct ce_push *collector, *grafana; /* NULL: there is none */
};

/* `warning` of each: what there is to say, added to what it has; free it with free(). */
void ce_exporter_begin(struct ce_exporter *exporter, const struct ce_document *doc,
                       const char *state_dir, char **warning);
void ce_exporter_record(const struct ce_exporter *exporter, const struct ce_record *record);
/* A zeroed one is fine. */
void ce_exporter_end(struct ce_exporter *exporter, char **warning);

/* Adds a sentence to others, and takes it over. NULL is nothing to add. */
void ce_warn(char **warning, char *sentence);

#endif
