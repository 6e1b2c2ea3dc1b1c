/* SPDX-License-Identifier: MIT */
/* What a suite says of its runs while they go on: as metrics to the document's Pushgateway and to
 * whoever asked for them with ce_suite_options.metrics, and as events to a file and to whoever
 * watches; and, of those that have ended, what exporter.h tells. */
#ifndef CE_ORCHESTRATOR_PUBLISHER_H
#define CE_ORCHESTRATOR_PUBLISHER_H

#include "chaoseater.h"
#include "experiment/document.h"
#include "observers/events.h"
#include "orchestrator/exporter.h"
#include "telemetry/board.h"
#include "telemetry/event_stream.h"
#include "telemetry/push.h"

/* A run of the suite. Strings are borrowed until the end. */
struct ce_publisher_run {
    const char *experiment, *layer, *fault;
    const char *profile; /* of the embedded pipeline; NULL for others */
    int repeat;          /* 1.. when it repeats, else 0 */
    /* kept by the publisher: */
    bool begun;
    char phase[32];
};

struct ce_publisher {
    struct ce_metrics *board;       /* the caller's; NULL: nobody asked */
    struct ce_push *push;           /* NULL: nothing is pushed */
    struct ce_event_stream *stream; /* NULL: a dry run, which says nothing at all */
    struct ce_publisher_run *runs;  /* taken over from the caller */
    size_t run_count;
    struct ce_exporter exporter;
    const char *state_dir;
    char *warning;        /* what was not sent, and why; NULL: all was */
    char *events_problem; /* what of the file of events is missing; NULL: nothing is */
};

struct ce_publisher_config {
    const struct ce_document *doc;          /* whose sections say who is told; NULL: nobody */
    const struct ce_suite_options *options; /* `metrics` and `events` are looked at */
    const char *state_dir;
    uint64_t seed;
    unsigned parallel;
};
/* Takes over `runs`, in every case: from malloc(), pending. Fails only when the file of events
 * cannot be opened: without metrics a run is still a run. */
int ce_publisher_begin(struct ce_publisher *publisher, const struct ce_publisher_config *config,
                       struct ce_publisher_run *runs, size_t count, struct ce_error *err);

/* What a run does now. */
struct ce_publisher_news {
    const char *id;    /* of the run */
    const char *phase; /* as of ce_state_name() */
    double fraction, intensity;
    bool guarded;
    const json_t *sample; /* as of ce_sample_json(); NULL: none is due */
};
void ce_publisher_tell(struct ce_publisher *publisher, size_t run,
                       const struct ce_publisher_news *news);
/* How it ended. */
void ce_publisher_record(struct ce_publisher *publisher, size_t run,
                         const struct ce_record *record);
/* For when nothing is told for a while: events that wait are passed on. */
void ce_publisher_turn(struct ce_publisher *publisher);
/* Says how the suite ended, pushes what is still to be pushed, for a short while. `warning` and
 * `events_problem` are left for the caller to free. A zeroed one is fine, as is a second call. */
void ce_publisher_end(struct ce_publisher *publisher, int signal, int exit_code);

#endif
