/* SPDX-License-Identifier: MIT */
/* The control API of a stand-alone fault proxy, on a port of its own.
 *
 *     GET /rules          POST /rules            DELETE /rules
 *     GET /rules/ID       PATCH /rules/ID        DELETE /rules/ID
 *     GET /hits           what was done to which request, as JSON lines; ?last=N: so many
 *     GET /metrics        Prometheus text        GET /health
 *
 * It is a route of a second proxy, whose one hook answers everything: the same strict parser, and
 * no other server to link. Its callbacks may wait for the proxy that they control. A request with
 * an Origin is refused: a web page that somebody looks at must not arm faults. */
#ifndef CE_STANDALONE_CONTROL_H
#define CE_STANDALONE_CONTROL_H

#include "faults/hits.h"
#include "standalone/rules.h"

struct ce_control;

struct ce_control_config {
    const char *listen; /* an address */
    struct ce_rules
        *rules; /* used by the control's thread alone, from now until ce_control_stop() */
    struct ce_hits *hits;
    const struct ce_route *route; /* whose counts are shown */
};

int ce_control_start(const struct ce_control_config *config, struct ce_control **ret_control,
                     struct ce_error *err);
void ce_control_stop(struct ce_control *control); /* NULL is fine */
/* Where it listens. Valid until it stops. */
const struct ce_endpoint *ce_control_endpoint(const struct ce_control *control);

#endif
