/* SPDX-License-Identifier: MIT */
/* Schedules as systemd.time(7) and systemd.timer(5) write them.
 *
 * A calendar event of systemd means a day that is of the weekday and of the date: where cron means
 * either, two lines say it, and the timer obeys both. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "schedule/schedule.h"

static const char *const weekdays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

static uint64_t bits_between(int first, int last)
{
    return (UINT64_MAX >> (63 - last)) & (UINT64_MAX << first);
}

static void print_value(FILE *out, int value, bool is_weekday)
{
    if (is_weekday)
        fputs(weekdays[value], out);
    else
        fprintf(out, "%02d", value);
}

/* "*", or values and ranges of them; not of weekdays, which begin with Monday there. */
static void print_bits(FILE *out, uint64_t bits, int first, int last, bool is_weekday)
{
    if (bits == bits_between(first, last)) {
        fputc('*', out);
        return;
    }
    const char *comma = "";
    for (int i = first; i <= last; i++) {
        if (!(bits >> i & 1))
            continue;
        int end = i;
        while (!is_weekday && end < last && (bits >> (end + 1) & 1))
            end++;
        fputs(comma, out);
        print_value(out, i, is_weekday);
        if (end > i) {
            fputs(end > i + 1 ? ".." : ",", out);
            print_value(out, end, is_weekday);
        }
        comma = ",";
        i = end;
    }
}

static void print_event(FILE *out, const struct ce_schedule *schedule, bool with_weekdays,
                        bool with_days)
{
    const struct ce_cron *cron = &schedule->cron;
    fputs("OnCalendar=", out);
    if (with_weekdays && cron->weekdays != bits_between(0, 6)) {
        print_bits(out, cron->weekdays, 0, 6, true);
        fputc(' ', out);
    }
    fputs("*-", out);
    print_bits(out, cron->months, 1, 12, false);
    fputc('-', out);
    print_bits(out, with_days ? cron->days : bits_between(1, 31), 1, 31, false);
    fputc(' ', out);
    print_bits(out, cron->hours, 0, 23, false);
    fputc(':', out);
    print_bits(out, cron->minutes, 0, 59, false);
    fprintf(out, ":00%s%s\n", schedule->zone_name ? " " : "",
            schedule->zone_name ? schedule->zone_name : "");
}

static void print(FILE *out, const struct ce_schedule *schedule)
{
    int64_t seconds = schedule->interval / CE_SECOND;
    bool both = schedule->cron.days_free || schedule->cron.weekdays_free;
    if (seconds > 0) {
        fprintf(out, "OnActiveSec=%llds\nOnUnitActiveSec=%llds\n", (long long)seconds,
                (long long)seconds);
    } else if (both) {
        print_event(out, schedule, true, true);
    } else {
        print_event(out, schedule, false, true);
        print_event(out, schedule, true, false);
    }
    if (schedule->jitter > 0)
        fprintf(out, "RandomizedDelaySec=%.3fs\n", (double)schedule->jitter / CE_SECOND);
}

char *ce_schedule_calendar(const struct ce_schedule *schedule)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    print(out, schedule);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
