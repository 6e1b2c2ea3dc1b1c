/* SPDX-License-Identifier: MIT */
/* Each field becomes a set of bits; the search goes from day to day, and within a day from hour to
 * hour. */
#include "schedule/cron.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/slice.h"
#include "base/text.h"

enum { MINUTE = 60, HOUR = 3600, DAY = 86400 };

/* ---- the calendar ---- */

/* Counts years from March, so that the day that a leap year has more is the last one; 400 years
 * have 146097 days. */
int64_t ce_days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void ce_date_of(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    *ret_day = (int)(of_year - (153 * month + 2) / 5 + 1);
    *ret_month = (int)(month < 10 ? month + 3 : month - 9);
    *ret_year = year + era * 400 + (*ret_month <= 2);
}

/* ---- parsing ---- */

struct field {
    const char *name;
    int min, max;
    int last;          /* that `*` and `N/STEP` go on to: Sunday is not met twice */
    const char *names; /* three letters each, from `first` on; NULL: there are none */
    int first;
    const char *accepts;
};

enum { FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY, FIELD_COUNT_ };

/* clang-format off */
static const struct field fields[] = {
    [FIELD_MINUTE]  = {"minute", 0, 59, 59, NULL, 0, "0-59"},
    [FIELD_HOUR]    = {"hour", 0, 23, 23, NULL, 0, "0-23"},
    [FIELD_DAY]     = {"day of month", 1, 31, 31, NULL, 0, "1-31"},
    [FIELD_MONTH]   = {"month", 1, 12, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC", 1, "1-12 or JAN-DEC"},
    [FIELD_WEEKDAY] = {"weekday", 0, 7, 6, "SUNMONTUEWEDTHUFRISAT", 0, "0-7 or SUN-SAT"},
};
/* clang-format on */

static bool is_day_field(const struct field *field)
{
    return field == &fields[FIELD_DAY] || field == &fields[FIELD_WEEKDAY];
}

/* How messages show a part of the expression. */
static const char *show(struct ce_slice part, char ret_shown[CE_TEXT_SHOWN_SIZE])
{
    char text[CE_TEXT_SHOWN_SIZE];
    size_t size = part.size < sizeof text - 1 ? part.size : sizeof text - 1;
    memcpy(text, part.data, size);
    text[size] = '\0';
    ce_text_show(text, ret_shown);
    return ret_shown;
}

/* A number or a name within the field's range. */
static int parse_value(const struct field *field, struct ce_slice text, int *ret_value,
                       struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    size_t digits = 0;
    int value = 0;
    for (; digits < text.size && isdigit((unsigned char)text.data[digits]); digits++)
        value = value > 999 ? value : value * 10 + (text.data[digits] - '0');
    if (digits == 0 || digits < text.size) {
        value = -1;
        for (int i = 0; field->names && text.size == 3 && field->names[3 * i] != '\0'; i++)
            if (strncasecmp(field->names + 3 * i, text.data, 3) == 0)
                value = field->first + i;
        if (value < 0)
            return ce_fail(err, EINVAL, "%s: '%s' is not one of %s", field->name, show(text, shown),
                           field->accepts);
    }
    if (value < field->min || value > field->max)
        return ce_fail(err, ERANGE, "%s: %s is outside %s", field->name, show(text, shown),
                       field->accepts);
    *ret_value = value;
    return 0;
}

static int parse_step(const struct field *field, struct ce_slice text, int *ret_step,
                      struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    size_t digits = 0;
    int step = 0;
    for (; digits < text.size && isdigit((unsigned char)text.data[digits]); digits++)
        step = step > 999 ? step : step * 10 + (text.data[digits] - '0');
    int most = field->max - field->min;
    if (digits == 0 || digits < text.size || step < 1 || step > most)
        return ce_fail(err, digits == text.size && digits > 0 ? ERANGE : EINVAL,
                       "%s: the step '%s' is not a number from 1 to %d", field->name,
                       show(text, shown), most);
    *ret_step = step;
    return 0;
}

/* Cuts off what stands before the separator; false when it does not occur. */
static bool split(struct ce_slice *rest, char separator, struct ce_slice *ret_before)
{
    const char *at = rest->size > 0 ? memchr(rest->data, separator, rest->size) : NULL;
    *ret_before = *rest;
    if (!at)
        return false;
    ret_before->size = (size_t)(at - rest->data);
    rest->size -= ret_before->size + 1;
    rest->data = at + 1;
    return true;
}

static int parse_range(const struct field *field, struct ce_slice text, bool has_step,
                       int *ret_first, int *ret_last, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    struct ce_slice first, last = text;
    if (ce_slice_is(text, "*") || (ce_slice_is(text, "?") && is_day_field(field))) {
        *ret_first = field->min;
        *ret_last = field->last;
        return 0;
    }
    bool is_range = split(&last, '-', &first);
    CE_TRY(parse_value(field, first, ret_first, err));
    *ret_last = has_step && *ret_first < field->last ? field->last : *ret_first;
    if (!is_range)
        return 0;
    CE_TRY(parse_value(field, last, ret_last, err));
    /* Whoever writes SAT-SUN thinks of the Sunday that follows. */
    if (field == &fields[FIELD_WEEKDAY] && *ret_last == 0 && *ret_first > 0)
        *ret_last = 7;
    if (*ret_last < *ret_first)
        return ce_fail(err, EINVAL, "%s: '%s' goes backwards; a range within %s goes up",
                       field->name, show(text, shown), field->accepts);
    return 0;
}

static int parse_item(const struct field *field, struct ce_slice text, uint64_t *bits,
                      struct ce_error *err)
{
    struct ce_slice range, step_text = text;
    int first, last, step = 1;
    bool has_step = split(&step_text, '/', &range);
    if (range.size == 0)
        return ce_fail(err, EINVAL, "%s: a value is missing; %s is accepted", field->name,
                       field->accepts);
    CE_TRY(parse_range(field, range, has_step, &first, &last, err));
    if (has_step)
        CE_TRY(parse_step(field, step_text, &step, err));
    for (int i = first; i <= last; i += step)
        *bits |= UINT64_C(1) << i;
    return 0;
}

static int parse_field(const struct field *field, struct ce_slice text, uint64_t *ret_bits,
                       struct ce_error *err)
{
    struct ce_slice item;
    bool more;
    *ret_bits = 0;
    do {
        more = split(&text, ',', &item);
        CE_TRY(parse_item(field, item, ret_bits, err));
    } while (more);
    return 0;
}

/* The expression that a word stands for; NULL when it is none. */
static const char *spell_out(const char *word, size_t size)
{
    static const struct {
        const char *word, *means;
    } words[] = {
        {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
    };
    for (size_t i = 0; i < CE_COUNT(words); i++)
        if (strlen(words[i].word) == size && strncasecmp(words[i].word, word, size) == 0)
            return words[i].means;
    return NULL;
}

enum { WORDS_MAX = 8 };
static const char blanks[] = " \t\n";

/* How many words there are; at most WORDS_MAX are noted. */
static size_t split_words(const char *text, struct ce_slice words[WORDS_MAX])
{
    size_t count = 0;
    for (text += strspn(text, blanks); *text != '\0'; text += strspn(text, blanks)) {
        size_t size = strcspn(text, blanks);
        if (count < WORDS_MAX)
            words[count] = (struct ce_slice){text, size};
        count++;
        text += size;
    }
    return count;
}

int ce_cron_parse(const char *text, struct ce_cron *ret_cron, struct ce_error *err)
{
    struct ce_slice words[WORDS_MAX];
    char shown[CE_TEXT_SHOWN_SIZE];
    uint64_t bits[FIELD_COUNT_];
    size_t count = split_words(text, words);
    if (count == 1 && words[0].data[0] == '@') {
        const char *means = spell_out(words[0].data, words[0].size);
        if (!means)
            return ce_fail(err, EINVAL,
                           "'%s' is not one of @yearly, @annually, @monthly, @weekly, @daily, "
                           "@midnight, @hourly or '@every DURATION'",
                           show(words[0], shown));
        count = split_words(means, words);
    }
    ce_text_show(text, shown);
    if (count != FIELD_COUNT_)
        return ce_fail(err, EINVAL,
                       "'%s' has %zu field%s, and a cron expression has 5: minute, hour, day of "
                       "month, month, weekday",
                       shown, count, count == 1 ? "" : "s");
    for (size_t i = 0; i < FIELD_COUNT_; i++)
        CE_TRY(parse_field(&fields[i], words[i], &bits[i], err));
    *ret_cron = (struct ce_cron){
        .minutes = bits[FIELD_MINUTE],
        .hours = (uint32_t)bits[FIELD_HOUR],
        .days = (uint32_t)bits[FIELD_DAY],
        .months = (uint32_t)bits[FIELD_MONTH],
        .weekdays = (uint32_t)((bits[FIELD_WEEKDAY] | bits[FIELD_WEEKDAY] >> 7) & 0x7f),
        .days_free = strchr("*?", words[FIELD_DAY].data[0]),
        .weekdays_free = strchr("*?", words[FIELD_WEEKDAY].data[0]),
    };
    return 0;
}

/* ---- searching ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool is_day_meant(const struct ce_cron *cron, int64_t days, int day)
{
    int weekday = (int)(days + 4 - 7 * floor_div(days + 4, 7)); /* 1970-01-01 was a Thursday */
    bool of_month = cron->days >> day & 1, of_week = cron->weekdays >> weekday & 1;
    return cron->days_free || cron->weekdays_free ? of_month && of_week : of_month || of_week;
}

/* The first time of day, in seconds, from `from` on that is meant; -1: none. */
static int64_t next_in_day(const struct ce_cron *cron, int64_t from)
{
    int64_t minute = (from + MINUTE - 1) / MINUTE;
    for (int64_t hour = minute / 60; hour < 24; hour++, minute = hour * 60) {
        uint64_t left = cron->minutes >> (minute % 60);
        if ((cron->hours >> hour & 1) && left != 0)
            return (minute + __builtin_ctzll(left)) * MINUTE;
    }
    return -1;
}

int64_t ce_cron_next(const struct ce_cron *cron, int64_t from, int64_t end)
{
    int64_t days = floor_div(from, DAY), year;
    int64_t of_day = from - days * DAY;
    int month, day;
    while (days <= floor_div(end - 1, DAY)) {
        ce_date_of(days, &year, &month, &day);
        if (!(cron->months >> month & 1)) {
            days = ce_days_of(year + (month == 12), month % 12 + 1, 1);
            of_day = 0;
            continue;
        }
        int64_t found = is_day_meant(cron, days, day) ? next_in_day(cron, of_day) : -1;
        if (found >= 0)
            return days * DAY + found < end ? days * DAY + found : INT64_MAX;
        days++;
        of_day = 0;
    }
    return INT64_MAX;
}
