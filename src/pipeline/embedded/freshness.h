/* SPDX-License-Identifier: MIT */
/* Requests carry the time of day at which the gateway passed them on (X-Request-Time, ms since
 * 1970), and the model server looks whether that is now: what is older may have been kept by
 * somebody and sent again.
 *
 * naive: what is too far off by its own clock is refused (400). hardened: it is served all the
 * same, and counted: a clock is no proof. */
#ifndef CE_PIPELINE_EMBEDDED_FRESHNESS_H
#define CE_PIPELINE_EMBEDDED_FRESHNESS_H

#include <stdbool.h>
#include <stdint.h>

#define CE_FRESHNESS_FIELD "X-Request-Time"

struct ce_freshness {
    bool lenient;
    uint64_t stale; /* requests that were too far off */
};

/* Now, as the field has it. Free with free(); NULL: no memory. */
char *ce_freshness_stamp(void);
/* Whether a request with that stamp may be served; one without a stamp (NULL) may. One thread. */
bool ce_freshness_allows(struct ce_freshness *freshness, const char *stamp);
/* {"realtime_ns", "monotonic_ns", "stale"}: this process's clocks, to be freed; NULL: no memory. */
char *ce_freshness_text(const struct ce_freshness *freshness);

#endif
