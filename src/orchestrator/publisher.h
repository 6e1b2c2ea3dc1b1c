/* SPDX-License-Identifier: MIT */
/* What a suite says of its runs as metrics: to the document's Pushgateway, and to whoever asked for
 * them with ce_suite_options.metrics. */
#ifndef CE_ORCHESTRATOR_PUBLISHER_H
#define CE_ORCHESTRATOR_PUBLISHER_H

#include "orchestrator/agenda.h"
#include "telemetry/board.h"
#include "telemetry/push.h"

struct ce_publisher {
    struct ce_metrics *board; /* the caller's; NULL: nobody asked */
    struct ce_push *push;     /* NULL: nothing is pushed */
    const char *state_dir;
    char *warning; /* what was not pushed, and why; NULL: all was */
};

/* Never fails: without metrics a run is still a run. What is in the agenda is pending. */
void ce_publisher_begin(struct ce_publisher *publisher, const struct ce_document *doc,
                        struct ce_metrics *board, const char *state_dir,
                        const struct ce_agenda *agenda);
/* What an experiment does now; `phase` as of ce_state_name(). */
void ce_publisher_live(const struct ce_publisher *publisher, const struct ce_experiment *experiment,
                       const char *phase, double intensity, bool guarded);
void ce_publisher_record(const struct ce_publisher *publisher, const struct ce_record *record);
/* Pushes what is still to be pushed, for a short while. `warning` is left for the caller to free.
 */
void ce_publisher_end(struct ce_publisher *publisher);

#endif
