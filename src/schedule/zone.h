/* SPDX-License-Identifier: MIT */
/* Time zones, read from the system's own files without touching this process's TZ.
 *
 * A zone is a sequence of stretches of time, in each of which local time is UTC plus one offset.
 * Whoever searches local times goes from stretch to stretch and needs no rule for hours that a
 * clock leaves out or shows twice. */
#ifndef CE_SCHEDULE_ZONE_H
#define CE_SCHEDULE_ZONE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct ce_zone;

/* "Europe/Berlin", "UTC", or a rule as in POSIX ("CET-1CEST,M3.5.0,M10.5.0/3"); NULL is the
 * system's: $TZ, else /etc/localtime, else UTC. Free with ce_zone_free(). */
int ce_zone_load(const char *name, struct ce_zone **ret_zone, struct ce_error *err);
/* A file of the form TZif (RFC 9636), version 2 or later, in memory. */
int ce_zone_parse(const void *data, size_t size, const char *name, struct ce_zone **ret_zone,
                  struct ce_error *err);
void ce_zone_free(struct ce_zone *zone); /* NULL is fine */
CE_DEFINE_CLEANUP(struct ce_zone, ce_zone_free);

/* The stretch that `at` (seconds since 1970) lies in: local time is UTC + *ret_offset seconds, up
 * to but without *ret_end (INT64_MAX: for ever). */
void ce_zone_stretch(const struct ce_zone *zone, int64_t at, int64_t *ret_offset, int64_t *ret_end);

#endif
