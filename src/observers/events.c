/* SPDX-License-Identifier: MIT */
#include "observers/events.h"

#include "base/json.h"

const char *ce_state_name(enum ce_state state)
{
    static const char *const names[] = {
        [CE_STATE_PLANNED] = "planned",
        [CE_STATE_VALIDATED] = "validated",
        [CE_STATE_PREFLIGHT] = "preflight",
        [CE_STATE_BASELINE] = "baseline",
        [CE_STATE_INJECTING] = "injecting",
        [CE_STATE_VERIFYING] = "verifying",
        [CE_STATE_OBSERVING] = "observing",
        [CE_STATE_ROLLING_BACK] = "rolling_back",
        [CE_STATE_VERIFYING_UNDO] = "verifying_undo",
        [CE_STATE_RECOVERING] = "recovering",
        [CE_STATE_ENDED] = "ended",
    };
    return names[state];
}

json_t *ce_sample_json(const struct ce_sample *sample)
{
    return json_pack(
        "{s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "elapsed", ce_json_number(sample->elapsed),
        "operations", (json_int_t)sample->operations, "errors", (json_int_t)sample->errors,
        "accuracy", ce_json_number(sample->accuracy), "p50_ms", ce_json_number(sample->p50_ms),
        "p99_ms", ce_json_number(sample->p99_ms), "throughput", ce_json_number(sample->throughput),
        "metrics", sample->metrics ? json_incref(sample->metrics) : json_object());
}
