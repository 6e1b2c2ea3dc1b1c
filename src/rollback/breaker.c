/* SPDX-License-Identifier: MIT */
/* The circuit breaker's window: a ring of slots, of which those that are too old count no more. */
#include "rollback/rollback.h"

void ce_breaker_init(struct ce_breaker *breaker, double threshold, int64_t window)
{
    *breaker = (struct ce_breaker){.threshold = threshold, .window = window};
    for (unsigned i = 0; i < CE_BREAKER_SLOTS; i++)
        breaker->slots[i].number = -1;
}

bool ce_breaker_add(struct ce_breaker *breaker, int64_t at, bool ok)
{
    int64_t number = at / (breaker->window / CE_BREAKER_SLOTS + 1);
    unsigned i = (unsigned)(number % CE_BREAKER_SLOTS);
    if (breaker->opened || number + CE_BREAKER_SLOTS <= breaker->latest)
        return breaker->opened;
    if (number > breaker->latest)
        breaker->latest = number;
    if (breaker->slots[i].number != number) {
        breaker->slots[i].number = number;
        breaker->slots[i].ended = breaker->slots[i].failed = 0;
    }
    breaker->slots[i].ended++;
    breaker->slots[i].failed += !ok;

    uint64_t ended = 0, failed = 0;
    for (i = 0; i < CE_BREAKER_SLOTS; i++) {
        if (breaker->slots[i].number + CE_BREAKER_SLOTS <= breaker->latest)
            continue;
        ended += breaker->slots[i].ended;
        failed += breaker->slots[i].failed;
    }
    breaker->ratio = (double)failed / (double)ended;
    breaker->opened =
        ended >= CE_BREAKER_MINIMUM && failed > 0 && breaker->ratio >= breaker->threshold;
    return breaker->opened;
}
