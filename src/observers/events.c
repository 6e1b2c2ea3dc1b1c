/* SPDX-License-Identifier: MIT */
#include "observers/events.h"

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
