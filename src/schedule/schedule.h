/* SPDX-License-Identifier: MIT */
/* When something is due: a cron expression in a time zone, or an interval.
 *
 * Pure: times come in and go out, in nanoseconds since 1970, and nobody waits here.
 *
 * A cron expression is compared with the local clock of its zone. A local time that the clock
 * leaves out (summer time begins) does not come on that day; one that it shows twice (summer time
 * ends) comes twice. */
#ifndef CE_SCHEDULE_SCHEDULE_H
#define CE_SCHEDULE_SCHEDULE_H

#include "params/params.h"
#include "schedule/cron.h"
#include "schedule/zone.h"

struct ce_schedule {
    char *text;       /* as people read it, zone included; NULL: there is no schedule */
    int64_t interval; /* ns; 0: by `cron` */
    struct ce_cron cron;
    char *zone_name; /* NULL: the system's */
    struct ce_zone *zone;
    bool overlap;   /* a run may start while the one before goes on */
    int64_t jitter; /* ns; each start is put off by up to that */
};

/* "0 3 * * *", "@daily", "CRON_TZ=Europe/Berlin 0 3 * * MON-FRI", "every 15m", "@every 1h30m",
 * "90s". What never comes (30 February) is refused, too. -EINVAL, -ERANGE or -ENOMEM; on success
 * end with ce_schedule_done(). */
int ce_schedule_parse(const char *text, struct ce_schedule *ret_schedule, struct ce_error *err);
/* Zeroes it; a zeroed one is fine. */
void ce_schedule_done(struct ce_schedule *schedule);

/* The first time after `after`, both ns since 1970; INT64_MAX: never again. An interval is counted
 * from `after`, in whole seconds. */
int64_t ce_schedule_next(const struct ce_schedule *schedule, int64_t after);
/* By how much the start that is due then is put off: the same for the same schedule, time and seed.
 */
int64_t ce_schedule_delay(const struct ce_schedule *schedule, int64_t due, uint64_t seed);
/* "2026-11-23T03:00:00+01:00", in the schedule's zone. */
#define CE_SCHEDULE_TIME_SIZE 40
void ce_schedule_time(const struct ce_schedule *schedule, int64_t at,
                      char ret_text[CE_SCHEDULE_TIME_SIZE]);

/* The same for a timer of systemd: "OnCalendar=..." and its like, lines that end in a newline. Free
 * with free(). NULL: no memory. */
char *ce_schedule_calendar(const struct ce_schedule *schedule);

/* The mapping {cron | every, timezone, overlap, jitter}. */
struct ce_schedule_keys {
    char *cron, *every, *timezone;
    bool overlap;
    int64_t jitter;
};
extern const struct ce_param ce_schedule_params[];
/* What the keys mean. *ret_key (may be NULL) names the one that is at fault, or is NULL. */
int ce_schedule_from_keys(const struct ce_schedule_keys *keys, struct ce_schedule *ret_schedule,
                          const char **ret_key, struct ce_error *err);

#endif
