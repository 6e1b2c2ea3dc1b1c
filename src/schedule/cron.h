/* SPDX-License-Identifier: MIT */
/* Cron expressions: which minutes of a calendar five fields mean.
 *
 *     minute  0-59                  hour  0-23      day of month  1-31
 *     month   1-12 or JAN-DEC       weekday  0-7 or SUN-SAT (0 and 7 are Sunday)
 *
 * A field is a list of `*`, `N`, `N-M`, each with an optional `/STEP`; `N/STEP` goes on to the
 * field's end. `?` is `*` for the two day fields. When both day fields are restricted, a day of
 * either is meant; a field that starts with `*` is not restricted, so that a day must be in both:
 * the rule of cron(8). Nothing here knows time zones: see schedule.h. */
#ifndef CE_SCHEDULE_CRON_H
#define CE_SCHEDULE_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct ce_cron {
    uint64_t minutes; /* bit n: minute n */
    uint32_t hours, days, months;
    uint32_t weekdays;             /* bit 0: Sunday */
    bool days_free, weekdays_free; /* the field starts with `*` or `?` */
};

/* Five fields, or @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly. -EINVAL or
 * -ERANGE with a sentence that names the field, the value and what is accepted. Whether any day is
 * ever meant is for the caller to ask. */
int ce_cron_parse(const char *text, struct ce_cron *ret_cron, struct ce_error *err);

/* The first minute in [from, end) that is meant, in seconds since 1970 on the calendar's own clock;
 * INT64_MAX when there is none. */
int64_t ce_cron_next(const struct ce_cron *cron, int64_t from, int64_t end);

/* Days since 1970-01-01 of a date of the Gregorian calendar, and back; month and day from 1. */
int64_t ce_days_of(int64_t year, int month, int day);
void ce_date_of(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day);

#endif
