/* SPDX-License-Identifier: MIT */
/* Arbitrary text as a schedule: it is refused with a sentence, or reads the same again from what it
 * is shown as, its times go up, and each is one that the expression means. The second half of the
 * input, behind a NUL, is read as a file of a time zone. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "schedule/schedule.h"

static void expect(bool held)
{
    if (!held)
        __builtin_trap();
}

static void expect_meant(const struct ce_schedule *schedule, int64_t at)
{
    int64_t offset, end, second = at / CE_SECOND;
    ce_zone_stretch(schedule->zone, second, &offset, &end);
    int64_t local = second + offset, day = local - ((local % 86400) + 86400) % 86400;
    int64_t of_day = local - day;
    expect(end > second);
    expect(schedule->interval > 0 || of_day % 60 == 0);
    expect(schedule->interval > 0 || (schedule->cron.minutes >> (of_day / 60 % 60) & 1));
    expect(schedule->interval > 0 || (schedule->cron.hours >> (of_day / 3600) & 1));
}

static void try_schedule(const char *text)
{
    struct ce_schedule schedule, again;
    struct ce_error err = {0};
    int r = ce_schedule_parse(text, &schedule, &err);
    expect((r < 0) == (err.message[0] != '\0'));
    if (r < 0)
        return;
    expect(ce_schedule_parse(schedule.text, &again, &err) == 0);
    int64_t at = INT64_C(1774700000) * CE_SECOND;
    for (int i = 0; i < 20 && at < INT64_MAX; i++) {
        int64_t next = ce_schedule_next(&schedule, at);
        expect(next > at && next == ce_schedule_next(&again, at));
        if (next < INT64_MAX)
            expect_meant(&schedule, next);
        at = next;
    }
    char *calendar = ce_schedule_calendar(&schedule);
    expect(calendar && calendar[strlen(calendar) - 1] == '\n');
    free(calendar);
    ce_schedule_done(&schedule);
    ce_schedule_done(&again);
}

static void try_zone(const void *data, size_t size)
{
    struct ce_zone *zone;
    struct ce_error err = {0};
    int64_t offset, end;
    int r = ce_zone_parse(data, size, "fuzz", &zone, &err);
    expect((r < 0) == (err.message[0] != '\0'));
    if (r < 0)
        return;
    for (int64_t at = -3000000000; at < 9000000000; at += 86400000) {
        ce_zone_stretch(zone, at, &offset, &end);
        expect(end > at);
    }
    ce_zone_free(zone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size > 0 ? memchr(data, '\0', size) : NULL;
    char *text = strndup((const char *)data, size);
    if (!text)
        return 0;
    try_schedule(text);
    if (nul)
        try_zone(nul + 1, size - (size_t)(nul - data) - 1);
    free(text);
    return 0;
}
