/* SPDX-License-Identifier: MIT */
#include "schedule/zone_rule.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "schedule/cron.h"

enum { HOUR = 3600, DAY = 86400 };

/* Each of the functions that read moves *p on past what it has read. */

static int read_number(const char **p, int min, int max, int *ret_value)
{
    int value = 0;
    if (!isdigit((unsigned char)**p))
        return -EINVAL;
    for (; isdigit((unsigned char)**p); (*p)++) {
        value = value * 10 + (**p - '0');
        if (value > max)
            return -EINVAL;
    }
    if (value < min)
        return -EINVAL;
    *ret_value = value;
    return 0;
}

static bool skip(const char **p, char c)
{
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

/* "CET" or "<+03>". */
static int read_name(const char **p)
{
    const char *start = *p;
    if (skip(p, '<')) {
        while (isalnum((unsigned char)**p) || **p == '+' || **p == '-')
            (*p)++;
        return skip(p, '>') ? 0 : -EINVAL;
    }
    while (isalpha((unsigned char)**p))
        (*p)++;
    return *p - start >= 3 ? 0 : -EINVAL;
}

/* [+-]hh[:mm[:ss]], in seconds. */
static int read_time(const char **p, int hours_max, int64_t *ret_seconds)
{
    int hours, minutes = 0, seconds = 0;
    bool negative = skip(p, '-');
    if (!negative)
        (void)skip(p, '+');
    CE_TRY(read_number(p, 0, hours_max, &hours));
    if (skip(p, ':')) {
        CE_TRY(read_number(p, 0, 59, &minutes));
        if (skip(p, ':'))
            CE_TRY(read_number(p, 0, 59, &seconds));
    }
    int64_t value = (int64_t)hours * HOUR + minutes * 60 + seconds;
    *ret_seconds = negative ? -value : value;
    return 0;
}

static int read_change(const char **p, struct ce_zone_change *change)
{
    *change = (struct ce_zone_change){.time = 2 * HOUR};
    if (skip(p, 'M')) {
        change->kind = CE_ZONE_DAY_WEEKDAY;
        CE_TRY(read_number(p, 1, 12, &change->month));
        if (!skip(p, '.'))
            return -EINVAL;
        CE_TRY(read_number(p, 1, 5, &change->week));
        if (!skip(p, '.'))
            return -EINVAL;
        CE_TRY(read_number(p, 0, 6, &change->day));
    } else if (skip(p, 'J')) {
        change->kind = CE_ZONE_DAY_JULIAN;
        CE_TRY(read_number(p, 1, 365, &change->day));
    } else {
        change->kind = CE_ZONE_DAY_OF_YEAR;
        CE_TRY(read_number(p, 0, 365, &change->day));
    }
    return skip(p, '/') ? read_time(p, 167, &change->time) : 0;
}

int ce_zone_rule_parse(const char *text, struct ce_zone_rule *ret_rule)
{
    struct ce_zone_rule rule = {0};
    const char *p = text;
    int64_t west;
    CE_TRY(read_name(&p));
    CE_TRY(read_time(&p, 24, &west));
    rule.offset = -west;
    rule.summer_offset = rule.offset + HOUR;
    rule.has_summer = *p != '\0';
    if (rule.has_summer) {
        CE_TRY(read_name(&p));
        if (*p != '\0' && *p != ',') {
            CE_TRY(read_time(&p, 24, &west));
            rule.summer_offset = -west;
        }
        /* Without days, those of the United States are meant, as in glibc. */
        const char *days = *p == '\0' ? ",M3.2.0,M11.1.0" : p;
        if (!skip(&days, ','))
            return -EINVAL;
        CE_TRY(read_change(&days, &rule.begin));
        if (!skip(&days, ','))
            return -EINVAL;
        CE_TRY(read_change(&days, &rule.end));
        if (*days != '\0')
            return -EINVAL;
    }
    *ret_rule = rule;
    return 0;
}

/* The day of that year, in days since 1970. */
static int64_t day_of_change(const struct ce_zone_change *change, int64_t year)
{
    int64_t january = ce_days_of(year, 1, 1);
    bool is_leap = ce_days_of(year + 1, 1, 1) - january == 366;
    if (change->kind == CE_ZONE_DAY_OF_YEAR)
        return january + change->day;
    if (change->kind == CE_ZONE_DAY_JULIAN)
        return january + change->day - 1 + (is_leap && change->day >= 60);
    int64_t first = ce_days_of(year, change->month, 1);
    int64_t next = ce_days_of(year + (change->month == 12), change->month % 12 + 1, 1);
    int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = first + (change->day - weekday + 7) % 7 + 7 * (change->week - 1);
    return day < next ? day : day - 7;
}

struct event {
    int64_t at, offset; /* from then on */
};

enum { YEARS = 4, EVENTS = 2 * YEARS };

/* The changes around `at`, in the order of time. */
static void list_events(const struct ce_zone_rule *rule, int64_t at, struct event events[EVENTS])
{
    int64_t days = at / DAY - (at % DAY < 0), year;
    int month, day;
    size_t count = 0;
    ce_date_of(days, &year, &month, &day);
    for (int64_t y = year - 1; y < year - 1 + YEARS; y++) {
        const struct event both[] = {
            {day_of_change(&rule->end, y) * DAY + rule->end.time - rule->summer_offset,
             rule->offset},
            {day_of_change(&rule->begin, y) * DAY + rule->begin.time - rule->offset,
             rule->summer_offset},
        };
        for (size_t i = 0; i < CE_COUNT(both); i++) {
            size_t k = count++;
            for (; k > 0 && events[k - 1].at > both[i].at; k--)
                events[k] = events[k - 1];
            events[k] = both[i];
        }
    }
}

void ce_zone_rule_stretch(const struct ce_zone_rule *rule, int64_t at, int64_t *ret_offset,
                          int64_t *ret_end)
{
    struct event events[EVENTS];
    *ret_offset = rule->offset;
    *ret_end = INT64_MAX;
    if (!rule->has_summer)
        return;
    list_events(rule, at, events);
    if (events[0].offset == rule->offset)
        *ret_offset = rule->summer_offset; /* before the first of them */
    for (size_t i = 0; i < EVENTS; i++) {
        if (events[i].at > at) {
            *ret_end = events[i].at;
            return;
        }
        *ret_offset = events[i].offset;
    }
}
