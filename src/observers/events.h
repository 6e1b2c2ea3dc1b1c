/* SPDX-License-Identifier: MIT */
/* What a controller publishes while a run goes on. Whoever runs the suite wires the listeners; the
 * controller knows none. */
#ifndef CE_OBSERVERS_EVENTS_H
#define CE_OBSERVERS_EVENTS_H

#include "base/clock.h"
#include "observers/record.h"

enum ce_state {
    CE_STATE_PLANNED = 0,
    CE_STATE_VALIDATED,
    CE_STATE_PREFLIGHT,
    CE_STATE_BASELINE,
    CE_STATE_INJECTING,
    CE_STATE_VERIFYING,
    CE_STATE_OBSERVING,
    CE_STATE_ROLLING_BACK,
    CE_STATE_VERIFYING_UNDO,
    CE_STATE_RECOVERING,
    CE_STATE_ENDED,
};
const char *ce_state_name(enum ce_state state); /* "preflight", "rolling_back", ... */

/* What the workload measured lately. */
struct ce_sample {
    double elapsed;                              /* s since the run began */
    uint64_t operations, errors;                 /* that ended in the last second */
    double accuracy, p50_ms, p99_ms, throughput; /* of these; NaN: not known */
    json_t *metrics; /* {name: value}: what else is measured; NULL: nothing */
};
/* {"elapsed", "operations", "errors", "accuracy", ...}; what is not known is null. New reference;
 * NULL: no memory. */
json_t *ce_sample_json(const struct ce_sample *sample);
/* Twice a second there is one. */
#define CE_SAMPLE_EVERY  (500 * CE_MILLISECOND)
#define CE_SAMPLE_WINDOW CE_SECOND

struct ce_event {
    enum ce_state state;
    double fraction;                /* of the run, 0..1 */
    double intensity;               /* of the fault, 0..1: how much of it there is now */
    bool guarded;                   /* a guard watches over the run */
    const struct ce_sample *sample; /* NULL: none is due */
    const struct ce_record *record; /* has an id from the beginning, and is complete once state is
                                       CE_STATE_ENDED */
};
/* Called on the controller's thread. Must not block. */
typedef void ce_event_fn(void *ctx, const struct ce_event *event);

#endif
