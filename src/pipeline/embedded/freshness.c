/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/freshness.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"

/* Further than any clock that is kept should be off. */
static const int64_t fresh_ms = 30000;

static int64_t now_ms(void)
{
    return ce_wall_now() / CE_MILLISECOND;
}

char *ce_freshness_stamp(void)
{
    return ce_format("%" PRId64, now_ms());
}

bool ce_freshness_allows(struct ce_freshness *freshness, const char *stamp)
{
    int64_t age = stamp ? now_ms() - strtoll(stamp, NULL, 10) : 0;
    if (age >= -fresh_ms && age <= fresh_ms)
        return true;
    freshness->stale++;
    return freshness->lenient;
}

char *ce_freshness_text(const struct ce_freshness *freshness)
{
    return ce_format("{\"realtime_ns\":%" PRId64 ",\"monotonic_ns\":%" PRId64 ",\"stale\":%" PRIu64
                     "}",
                     ce_wall_now(), ce_now(), freshness->stale);
}
