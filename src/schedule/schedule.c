/* SPDX-License-Identifier: MIT */
#include "schedule/schedule.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "base/slice.h"

/* Nanoseconds since 1970 reach until April 2262. */
#define LAST_SECOND (INT64_MAX / CE_SECOND)
/* Whether an expression ever comes is asked from here on, 2000-01-01, and not from the present: the
 * answer does not change from day to day. Each date falls on each weekday before the end. */
#define ASKED_FROM (INT64_C(946684800) * CE_SECOND)

#define INTERVAL_MIN CE_SECOND
#define INTERVAL_MAX (366 * 86400 * CE_SECOND)

const struct ce_param ce_schedule_params[] = {
    CE_TEXT(struct ce_schedule_keys, cron, .def = "",
            .doc = "Five fields (minute, hour, day of month, month, weekday), or @daily and its "
                   "like."),
    CE_TEXT(struct ce_schedule_keys, every, .def = "",
            .doc = "Instead of `cron`: an interval such as 90s, 15m or 1h30m."),
    CE_TEXT(struct ce_schedule_keys, timezone, .def = "",
            .doc = "Of `cron`, such as Europe/Berlin; left out, it is the system's."),
    CE_BOOL(struct ce_schedule_keys, overlap, .def = "false",
            .doc = "Whether a run may start while the one before still goes on."),
    CE_SECONDS(struct ce_schedule_keys, jitter, .min = 0, .max = 86400 * (double)CE_SECOND,
               .def = "0s", .doc = "Each start is put off by a random time up to this."),
    CE_END_PARAMS,
};

void ce_schedule_done(struct ce_schedule *schedule)
{
    free(schedule->text);
    free(schedule->zone_name);
    ce_zone_free(schedule->zone);
    *schedule = (struct ce_schedule){0};
}

/* ---- parsing ---- */

/* "1h30m": one piece after the other. */
static int parse_interval(const char *text, int64_t *ret_interval, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE], piece[32];
    int64_t sum = 0, part;
    int r = *text == '\0' ? -EINVAL : 0;
    for (const char *p = text; *p != '\0' && r == 0;) {
        size_t digits = strspn(p, "0123456789."), size = digits;
        while (isalpha((unsigned char)p[size]))
            size++;
        if (digits == 0 || size >= sizeof piece) {
            r = -EINVAL;
            break;
        }
        memcpy(piece, p, size);
        piece[size] = '\0';
        r = ce_text_duration(piece, false, &part);
        if (r == 0 && __builtin_add_overflow(sum, part, &sum))
            r = -ERANGE;
        p += size;
    }
    ce_text_show(text, shown);
    if (r == -EINVAL)
        return ce_fail(err, EINVAL, "the interval '%s' is not a duration such as 90s, 15m or 1h30m",
                       shown);
    if (r < 0 || sum < INTERVAL_MIN || sum > INTERVAL_MAX || sum % CE_SECOND != 0)
        return ce_fail(err, ERANGE, "the interval '%s' is not whole seconds from 1s to 366d",
                       shown);
    *ret_interval = sum;
    return 0;
}

/* `schedule->text` owns both words of it. */
static int fill_interval(struct ce_schedule *schedule, const char *text, struct ce_error *err)
{
    CE_TRY(parse_interval(text, &schedule->interval, err));
    schedule->text = ce_format("every %s", text);
    return schedule->text ? 0 : ce_fail_memory(err);
}

static int fill_cron(struct ce_schedule *schedule, const char *text, struct ce_error *err)
{
    CE_TRY(ce_cron_parse(text, &schedule->cron, err));
    schedule->text =
        schedule->zone_name ? ce_format("CRON_TZ=%s %s", schedule->zone_name, text) : strdup(text);
    return schedule->text ? 0 : ce_fail_memory(err);
}

static int fill_zone(struct ce_schedule *schedule, const char *name, size_t size,
                     struct ce_error *err)
{
    if (name && !(schedule->zone_name = strndup(name, size)))
        return ce_fail_memory(err);
    return ce_zone_load(schedule->zone_name, &schedule->zone, err);
}

static int check_that_it_comes(const struct ce_schedule *schedule, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    if (ce_schedule_next(schedule, ASKED_FROM) < INT64_MAX)
        return 0;
    ce_text_show(schedule->text, shown);
    return ce_fail(err, EINVAL, "'%s' never comes: no year has such a day and time", shown);
}

/* The text after "every " or "@every ", or itself when it is one word that begins with a digit;
 * NULL when it is no interval. */
static const char *interval_in(const char *text)
{
    static const char *const words[] = {"every", "@every"};
    for (size_t i = 0; i < CE_COUNT(words); i++) {
        size_t size = strlen(words[i]);
        if (strncasecmp(text, words[i], size) == 0 && isblank((unsigned char)text[size]))
            return text + size + strspn(text + size, " \t");
    }
    return isdigit((unsigned char)text[0]) && !strpbrk(text, " \t\n") ? text : NULL;
}

/* The name behind "CRON_TZ=" or "TZ=", and *text moved on past it; NULL when there is none. */
static const char *take_zone(const char **text, size_t *ret_size)
{
    static const char *const words[] = {"CRON_TZ=", "TZ="};
    for (size_t i = 0; i < CE_COUNT(words); i++) {
        if (strncmp(*text, words[i], strlen(words[i])) != 0)
            continue;
        const char *name = *text + strlen(words[i]);
        *ret_size = strcspn(name, " \t\n");
        *text = name + *ret_size + strspn(name + *ret_size, " \t\n");
        return name;
    }
    return NULL;
}

static int parse(const char *text, struct ce_schedule *schedule, struct ce_error *err)
{
    size_t size = 0;
    const char *zone = take_zone(&text, &size);
    const char *interval = interval_in(text);
    CE_TRY(fill_zone(schedule, zone, size, err));
    CE_TRY(interval ? fill_interval(schedule, interval, err) : fill_cron(schedule, text, err));
    return check_that_it_comes(schedule, err);
}

/* Without the blanks around it. NULL: no memory. */
static char *trim(const char *text)
{
    text += strspn(text, " \t\n");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\n", text[size - 1]))
        size--;
    return strndup(text, size);
}

int ce_schedule_parse(const char *text, struct ce_schedule *ret_schedule, struct ce_error *err)
{
    struct ce_schedule schedule = {0};
    ce_autofree char *trimmed = trim(text);
    if (!trimmed)
        return ce_fail_memory(err);
    int r = parse(trimmed, &schedule, err);
    if (r < 0)
        ce_schedule_done(&schedule);
    else
        *ret_schedule = schedule;
    return r;
}

static int parse_keys(const struct ce_schedule_keys *keys, struct ce_schedule *schedule,
                      const char **key, struct ce_error *err)
{
    size_t size;
    const char *cron = keys->cron;
    if (!keys->cron == !keys->every) {
        *key = keys->cron ? "every" : NULL;
        return ce_fail(err, EINVAL, "a schedule takes either cron or every");
    }
    *key = "timezone";
    if (cron && keys->timezone && take_zone(&cron, &size))
        return ce_fail(err, EINVAL, "cron names a time zone, too: one of the two is enough");
    CE_TRY(fill_zone(schedule, keys->timezone, keys->timezone ? strlen(keys->timezone) : 0, err));
    if (keys->every) {
        *key = "every";
        return fill_interval(schedule, keys->every, err);
    }
    *key = "cron";
    if (interval_in(cron))
        return ce_fail(err, EINVAL, "'%s' is an interval, which goes into `every`", cron);
    if (!keys->timezone) {
        ce_zone_free(ce_take(schedule->zone));
        return parse(cron, schedule, err);
    }
    CE_TRY(fill_cron(schedule, cron, err));
    return check_that_it_comes(schedule, err);
}

int ce_schedule_from_keys(const struct ce_schedule_keys *keys, struct ce_schedule *ret_schedule,
                          const char **ret_key, struct ce_error *err)
{
    struct ce_schedule schedule = {.overlap = keys->overlap, .jitter = keys->jitter};
    const char *key = NULL;
    int r = parse_keys(keys, &schedule, &key, err);
    if (ret_key)
        *ret_key = r < 0 ? key : NULL;
    if (r < 0)
        ce_schedule_done(&schedule);
    else
        *ret_schedule = schedule;
    return r;
}

/* ---- asking it ---- */

static int64_t floor_second(int64_t ns)
{
    return ns / CE_SECOND - (ns % CE_SECOND < 0);
}

int64_t ce_schedule_next(const struct ce_schedule *schedule, int64_t after)
{
    int64_t at = floor_second(after), offset, end, sum;
    if (schedule->interval > 0)
        return __builtin_add_overflow(at * CE_SECOND, schedule->interval, &sum) ? INT64_MAX : sum;
    for (at++; at < LAST_SECOND; at = end) {
        ce_zone_stretch(schedule->zone, at, &offset, &end);
        int64_t until = end < LAST_SECOND ? end : LAST_SECOND;
        int64_t found = ce_cron_next(&schedule->cron, at + offset, until + offset);
        if (found < INT64_MAX)
            return (found - offset) * CE_SECOND;
    }
    return INT64_MAX;
}

int64_t ce_schedule_delay(const struct ce_schedule *schedule, int64_t due, uint64_t seed)
{
    if (schedule->jitter == 0)
        return 0;
    struct ce_stream stream = ce_stream_init(seed, "schedule/jitter", schedule->text);
    return (int64_t)((double)schedule->jitter *
                     ce_stream_uniform(&stream, (uint64_t)(due / CE_SECOND)));
}

void ce_schedule_time(const struct ce_schedule *schedule, int64_t at,
                      char ret_text[CE_SCHEDULE_TIME_SIZE])
{
    int64_t second = floor_second(at), offset, end, year;
    int month, day;
    ce_zone_stretch(schedule->zone, second, &offset, &end);
    int64_t local = second + offset, days = local / 86400 - (local % 86400 < 0);
    int of_day = (int)(local - days * 86400), minutes = (int)((offset < 0 ? -offset : offset) / 60);
    ce_date_of(days, &year, &month, &day);
    snprintf(ret_text, CE_SCHEDULE_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d", (int)year,
             month, day, of_day / 3600, of_day / 60 % 60, of_day % 60, offset < 0 ? '-' : '+',
             minutes / 60 % 100, minutes % 60);
}
