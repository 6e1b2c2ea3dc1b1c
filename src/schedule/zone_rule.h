/* SPDX-License-Identifier: MIT */
/* Time zones as POSIX writes them: "CET-1CEST,M3.5.0,M10.5.0/3". The files of zones end with such a
 * rule, which holds after the last change that they list. */
#ifndef CE_SCHEDULE_ZONE_RULE_H
#define CE_SCHEDULE_ZONE_RULE_H

#include <stdbool.h>
#include <stdint.h>

enum ce_zone_day_kind {
    CE_ZONE_DAY_WEEKDAY, /* the week-th weekday of a month; week 5: the last one */
    CE_ZONE_DAY_JULIAN,  /* 1..365, never 29 February */
    CE_ZONE_DAY_OF_YEAR, /* 0..365 */
};

struct ce_zone_change {
    enum ce_zone_day_kind kind;
    int month, week, day; /* `day`: a weekday from 0 = Sunday, or a day of the year */
    int64_t time;         /* of day on the clock before the change, seconds; -167..167 h */
};

struct ce_zone_rule {
    int64_t offset, summer_offset; /* seconds to add to UTC */
    bool has_summer;
    struct ce_zone_change begin, end; /* of summer time */
};

/* 0, or -EINVAL when it is no such rule. */
int ce_zone_rule_parse(const char *text, struct ce_zone_rule *ret_rule);
/* As ce_zone_stretch(). */
void ce_zone_rule_stretch(const struct ce_zone_rule *rule, int64_t at, int64_t *ret_offset,
                          int64_t *ret_end);

#endif
