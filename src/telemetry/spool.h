/* SPDX-License-Identifier: MIT */
/* What a gateway did not take is kept in the state folder, and sent with what it takes next.
 *
 * A group is a file, STATE/metrics/HASH.json: {"gateway", "group", "text"}; a newer one of the same
 * group takes its place. There are at most CE_SPOOL_MAX; beyond that the oldest are given up. Any
 * process may use it at any time: a lock lets one at a time send. */
#ifndef CE_TELEMETRY_SPOOL_H
#define CE_TELEMETRY_SPOOL_H

#include "telemetry/gateway.h"

enum { CE_SPOOL_MAX = 256 };

/* `gateway` is the URL without what logs in, as in struct ce_gateway. */
int ce_spool_keep(const char *state_dir, const char *gateway, const char *group, const char *text,
                  struct ce_error *err);
/* The group needs nothing that was kept any more. */
void ce_spool_forget(const char *state_dir, const char *gateway, const char *group);
/* Sends what is kept for that gateway, until ce_now() is `until`: how many were taken, or what kept
 * one from it (*ret_left, may be NULL: how many stay). What the gateway refuses stays, and the
 * others are sent all the same. A spool that another process is sending is none of ours: 0. */
int ce_spool_send(const char *state_dir, const struct ce_gateway *gateway, int64_t until,
                  size_t *ret_left, struct ce_error *err);

#endif
