/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "base/clock.h"
#include "schedule/line.h"
#include "schedule/zone_rule.h"

/* What a schedule says after a time of the form that ce_schedule_time() writes, UTC. */
static int64_t utc(int64_t year, int month, int day, int hour, int minute)
{
    return (ce_days_of(year, month, day) * 86400 + hour * 3600 + minute * 60) * CE_SECOND;
}

/* The first `count` times after `after`, one a line. */
static const char *times(const char *text, int64_t after, int count)
{
    static char all[1024];
    struct ce_schedule schedule;
    struct ce_error err = {0};
    size_t used = 0;
    if (ce_schedule_parse(text, &schedule, &err) < 0) {
        snprintf(all, sizeof all, "%s", err.message);
        return all;
    }
    all[0] = '\0';
    for (int i = 0; i < count && after < INT64_MAX; i++) {
        char one[CE_SCHEDULE_TIME_SIZE] = "never";
        after = ce_schedule_next(&schedule, after);
        if (after < INT64_MAX)
            ce_schedule_time(&schedule, after, one);
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? "\n" : "", one);
    }
    ce_schedule_done(&schedule);
    return all;
}

static void expressions_say_when(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"0 3 * * *", "2026-11-23T03:00:00+00:00"},
        {"*/5 * * * *", "2026-11-23T00:05:00+00:00"},
        {"7-59/20 4,16 * * *", "2026-11-23T04:07:00+00:00"},
        {"50/5 * * * *", "2026-11-23T00:50:00+00:00"},
        {"0 0 * jan MON", "2027-01-04T00:00:00+00:00"},
        {"0 0 ? * Fri-Sun", "2026-11-27T00:00:00+00:00"},
        {"0 0 * * 5-7", "2026-11-27T00:00:00+00:00"},
        {"0 0 * * 7", "2026-11-29T00:00:00+00:00"},
        {"0 0 29 2 *", "2028-02-29T00:00:00+00:00"},
        {"0 0 31 * *", "2026-12-31T00:00:00+00:00"},
        {"@yearly", "2027-01-01T00:00:00+00:00"},
        {"@annually", "2027-01-01T00:00:00+00:00"},
        {"@monthly", "2026-12-01T00:00:00+00:00"},
        {"@weekly", "2026-11-29T00:00:00+00:00"},
        {"@daily", "2026-11-24T00:00:00+00:00"},
        {"@midnight", "2026-11-24T00:00:00+00:00"},
        {"@Hourly", "2026-11-23T01:00:00+00:00"},
        {" \t0 3\t*  * * ", "2026-11-23T03:00:00+00:00"},
        {"0 0 1,28 * 3-3", "2026-11-25T00:00:00+00:00"}, /* a Wednesday, before the 28th */
        {"0 0 24 * MON", "2026-11-24T00:00:00+00:00"},   /* either */
        {"0 0 */2 * MON", "2026-12-07T00:00:00+00:00"},  /* `*` in front: both */
        {"0 0 13 * */5", "2026-12-13T00:00:00+00:00"},   /* Sunday or Friday, and the 13th */
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char text[128];
        snprintf(text, sizeof text, cases[i].text[0] == ' ' ? "%s" : "CRON_TZ=UTC %s",
                 cases[i].text);
        if (cases[i].text[0] != ' ')
            CHECK_TEXT(times(text, utc(2026, 11, 23, 0, 0), 1), cases[i].want);
    }
    CHECK_TEXT(times(" TZ=UTC  \t0 3\t*  * * ", utc(2026, 11, 23, 0, 0), 1),
               "2026-11-23T03:00:00+00:00");
}

static void the_search_is_strictly_after_and_crosses_leap_years(void)
{
    CHECK_TEXT(times("TZ=UTC 0 3 * * *", utc(2026, 11, 23, 3, 0), 1), "2026-11-24T03:00:00+00:00");
    CHECK_TEXT(times("TZ=UTC 0 3 * * *", utc(2026, 11, 23, 3, 0) - 1, 1),
               "2026-11-23T03:00:00+00:00");
    CHECK_TEXT(times("TZ=UTC 0 0 29 2 *", utc(2095, 1, 1, 0, 0), 3),
               "2096-02-29T00:00:00+00:00\n2104-02-29T00:00:00+00:00\n2108-02-29T00:00:00+00:00");
    CHECK_TEXT(times("TZ=UTC 59 23 31 12 *", utc(1969, 6, 1, 0, 0), 2),
               "1969-12-31T23:59:00+00:00\n1970-12-31T23:59:00+00:00");
    /* Where nanoseconds end, so do the times. */
    CHECK_TEXT(times("TZ=UTC 0 0 1 1 *", utc(2261, 6, 1, 0, 0), 2),
               "2262-01-01T00:00:00+00:00\nnever");
}

static void summer_time_leaves_out_and_repeats(void)
{
    /* Berlin, 2026-03-29: 02:00 to 03:00 does not exist; 2026-10-25: it comes twice. */
    CHECK_TEXT(times("CRON_TZ=Europe/Berlin 30 2 * * *", utc(2026, 3, 28, 0, 0), 2),
               "2026-03-28T02:30:00+01:00\n2026-03-30T02:30:00+02:00");
    CHECK_TEXT(times("CRON_TZ=Europe/Berlin 30 2 * * *", utc(2026, 10, 24, 12, 0), 3),
               "2026-10-25T02:30:00+02:00\n2026-10-25T02:30:00+01:00\n2026-10-26T02:30:00+01:00");
    CHECK_TEXT(times("CRON_TZ=Europe/Berlin 0 * * * *", utc(2026, 3, 29, 0, 0), 3),
               "2026-03-29T03:00:00+02:00\n2026-03-29T04:00:00+02:00\n2026-03-29T05:00:00+02:00");
    /* By half an hour; and one that begins at midnight, after the years that the files list. */
    CHECK_TEXT(times("CRON_TZ=Australia/Lord_Howe 45 1 * * *", utc(2026, 4, 4, 14, 0), 2),
               "2026-04-05T01:45:00+11:00\n2026-04-05T01:45:00+10:30");
    CHECK_TEXT(times("CRON_TZ=America/Santiago 0 0 * * *", utc(2050, 9, 3, 4, 0), 1),
               "2050-09-05T00:00:00-03:00");
    CHECK_TEXT(times("CRON_TZ=CET-1CEST,M3.5.0,M10.5.0/3 30 2 * * *", utc(2026, 3, 28, 12, 0), 1),
               "2026-03-30T02:30:00+02:00");
    /* 31 March is a Sunday only on the day on which 02:30 is left out. */
    CHECK(strstr(times("CRON_TZ=CET-1CEST,M3.5.0,M10.5.0/3 30 2 31 3 */7", 0, 1), "never comes"));
}

static void intervals_count_from_where_they_are_asked(void)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {
        {"every 15m", 900}, {"@every 90s", 90},   {"1h30m", 5400},
        {"1s", 1},          {"Every 1.5h", 5400}, {"366d", 366 * 86400},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_schedule schedule;
        struct ce_error err = {0};
        REQUIRE_OK(ce_schedule_parse(cases[i].text, &schedule, &err), err);
        int64_t from = utc(2026, 11, 23, 0, 0);
        CHECK(ce_schedule_next(&schedule, from + 999) == from + cases[i].seconds * CE_SECOND);
        CHECK(ce_schedule_next(&schedule, INT64_MAX - 5) == INT64_MAX);
        ce_schedule_done(&schedule);
    }
}

static void mistakes_are_named(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "'' has 0 fields, and a cron expression has 5: minute, hour, day of month, month, "
             "weekday"},
        {"0 0 3 * * *", "'0 0 3 * * *' has 6 fields, and a cron expression has 5: minute, hour, "
                        "day of month, month, weekday"},
        {"daily", "'daily' has 1 field, and a cron expression has 5: minute, hour, day of month, "
                  "month, weekday"},
        {"@reboot", "'@reboot' is not one of @yearly, @annually, @monthly, @weekly, @daily, "
                    "@midnight, @hourly or '@every DURATION'"},
        {"60 * * * *", "minute: 60 is outside 0-59"},
        {"* 24 * * *", "hour: 24 is outside 0-23"},
        {"* * 0 * *", "day of month: 0 is outside 1-31"},
        {"* * 99999999999999999999 * *", "day of month: 99999999999999999999 is outside 1-31"},
        {"* * * 13 *", "month: 13 is outside 1-12 or JAN-DEC"},
        {"* * * * 8", "weekday: 8 is outside 0-7 or SUN-SAT"},
        {"* * * janu *", "month: 'janu' is not one of 1-12 or JAN-DEC"},
        {"* MON * * *", "hour: 'MON' is not one of 0-23"},
        {"-5 * * * *", "minute: '' is not one of 0-59"},
        {"? * * * *", "minute: '?' is not one of 0-59"},
        {"* * L * *", "day of month: 'L' is not one of 1-31"},
        {"* * * * 5#3", "weekday: '5#3' is not one of 0-7 or SUN-SAT"},
        {"*/0 * * * *", "minute: the step '0' is not a number from 1 to 59"},
        {"*/90 * * * *", "minute: the step '90' is not a number from 1 to 59"},
        {"*/x * * * *", "minute: the step 'x' is not a number from 1 to 59"},
        {"1, * * * *", "minute: a value is missing; 0-59 is accepted"},
        {"* 22-2 * * *", "hour: '22-2' goes backwards; a range within 0-23 goes up"},
        {"0 0 30 2 *", "'0 0 30 2 *' never comes: no year has such a day and time"},
        {"0 0 31 4,6,9,11 *", "'0 0 31 4,6,9,11 *' never comes: no year has such a day and time"},
        {"every", "'every' has 1 field, and a cron expression has 5: minute, hour, day of month, "
                  "month, weekday"},
        {"every 15", "the interval '15' is not a duration such as 90s, 15m or 1h30m"},
        {"90", "the interval '90' is not a duration such as 90s, 15m or 1h30m"},
        {"every 500ms", "the interval '500ms' is not whole seconds from 1s to 366d"},
        {"every 367d", "the interval '367d' is not whole seconds from 1s to 366d"},
        {"CRON_TZ=Europe/Berln 0 3 * * *",
         "'Europe/Berln' is no time zone: /usr/share/zoneinfo has none of that name, and it is no "
         "rule such as CET-1CEST,M3.5.0,M10.5.0/3"},
        {"CRON_TZ=../../../etc/passwd 0 3 * * *",
         "'../../../etc/passwd' is no time zone: /usr/share/zoneinfo has none of that name, and it "
         "is no rule such as CET-1CEST,M3.5.0,M10.5.0/3"},
        {"CRON_TZ=zone.tab 0 3 * * *",
         "'zone.tab' is no time zone: /usr/share/zoneinfo has none of that name, and it is no rule "
         "such as CET-1CEST,M3.5.0,M10.5.0/3"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_schedule schedule;
        struct ce_error err = {0};
        CHECK(ce_schedule_parse(cases[i].text, &schedule, &err) < 0);
        CHECK_TEXT(err.message, cases[i].want);
    }
}

static void keys_make_the_same_schedule(void)
{
    static const struct {
        struct {
            const char *cron, *every, *timezone;
        } keys;
        const char *text, *key, *says; /* `text`: what comes of it */
    } cases[] = {
        {{.cron = "0 3 * * *"}, "0 3 * * *"},
        {{.cron = "0 3 * * *", .timezone = "Asia/Tokyo"}, "CRON_TZ=Asia/Tokyo 0 3 * * *"},
        {{.cron = "TZ=Asia/Tokyo 0 3 * * *"}, "CRON_TZ=Asia/Tokyo 0 3 * * *"},
        {{.every = "15m"}, "every 15m"},
        {{0}, NULL, NULL, "takes either cron or every"},
        {{.cron = "@daily", .every = "15m"}, NULL, "every", "takes either cron or every"},
        {{.cron = "90s"}, NULL, "cron", "goes into `every`"},
        {{.cron = "61 * * * *"}, NULL, "cron", "minute: 61"},
        {{.every = "0s"}, NULL, "every", "whole seconds"},
        {{.cron = "@daily", .timezone = "Mars"}, NULL, "timezone", "'Mars' is no time zone"},
        {{.cron = "TZ=UTC @daily", .timezone = "UTC"}, NULL, "timezone", "one of the two"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_schedule schedule;
        struct ce_error err = {0};
        const char *key = "?";
        const struct ce_schedule_keys keys = {.cron = (char *)cases[i].keys.cron,
                                              .every = (char *)cases[i].keys.every,
                                              .timezone = (char *)cases[i].keys.timezone};
        int r = ce_schedule_from_keys(&keys, &schedule, &key, &err);
        CHECK((r == 0) == (cases[i].text != NULL));
        if (r == 0) {
            CHECK_TEXT(schedule.text, cases[i].text);
            CHECK(!key);
            ce_schedule_done(&schedule);
        } else {
            CHECK(cases[i].says && strstr(err.message, cases[i].says));
            CHECK(key == cases[i].key || (key && cases[i].key && strcmp(key, cases[i].key) == 0));
        }
    }
}

static void jitter_is_bounded_and_repeats(void)
{
    struct ce_schedule schedule;
    struct ce_error err = {0};
    const struct ce_schedule_keys keys = {.every = (char *)"1m", .jitter = 10 * CE_SECOND};
    REQUIRE_OK(ce_schedule_from_keys(&keys, &schedule, NULL, &err), err);
    int64_t sum = 0;
    for (int64_t i = 0; i < 1000; i++) {
        int64_t delay = ce_schedule_delay(&schedule, i * 60 * CE_SECOND, 7);
        CHECK(delay >= 0 && delay < 10 * CE_SECOND);
        CHECK(delay == ce_schedule_delay(&schedule, i * 60 * CE_SECOND, 7));
        sum += delay;
    }
    CHECK(sum > 4500 * CE_SECOND && sum < 5500 * CE_SECOND);
    ce_schedule_done(&schedule);
}

static void a_line_starts_one_however_far_the_clock_jumps(void)
{
    struct ce_schedule schedule;
    struct ce_error err = {0};
    struct ce_line line;
    struct ce_missed missed;
    int64_t due = 0, from = utc(2026, 11, 23, 0, 0), minute = 60 * CE_SECOND;
    REQUIRE_OK(ce_schedule_parse("TZ=UTC */10 * * * *", &schedule, &err), err);
    ce_line_init(&line, &schedule, 7, from);
    CHECK(line.due == from + 10 * minute && line.start == line.due);
    CHECK(!ce_line_take(&line, line.start - 1, &due, &missed) && missed.count == 0 && due == 0);
    CHECK(ce_line_take(&line, line.start, &due, &missed) && missed.count == 0);
    CHECK(due == from + 10 * minute && line.due == from + 20 * minute);
    /* 20, 30 and 40 have gone by, the last of them is started. */
    CHECK(ce_line_take(&line, from + 49 * minute, &due, &missed));
    CHECK(due == from + 40 * minute && line.due == from + 50 * minute);
    CHECK(missed.count == 2 && missed.first == from + 20 * minute &&
          missed.last == from + 30 * minute);
    ce_line_pass(&line, from + 60 * minute, &missed);
    CHECK(missed.count == 2 && missed.first == from + 50 * minute &&
          missed.last == from + 60 * minute && line.due == from + 70 * minute);
    /* Set forward by an hour, nothing is due earlier; set back by a day, it is. */
    ce_line_rewind(&line, from + 65 * minute);
    CHECK(line.due == from + 70 * minute);
    ce_line_rewind(&line, from - 1440 * minute);
    CHECK(line.due == from - 1430 * minute);
    ce_schedule_done(&schedule);
    /* A century of seconds is not counted one by one. */
    REQUIRE_OK(ce_schedule_parse("every 1s", &schedule, &err), err);
    ce_line_init(&line, &schedule, 7, from);
    int64_t far = utc(2126, 1, 1, 0, 0);
    CHECK(ce_line_take(&line, far, &due, &missed));
    CHECK(missed.count > 100000 && missed.count < 10000000 && line.due == far + CE_SECOND);
    ce_schedule_done(&schedule);
}

static void rules_of_zones_are_those_of_posix(void)
{
    static const struct {
        const char *text;
        int64_t at, offset, end;
    } cases[] = {
        {"UTC0", 0, 0, INT64_MAX},
        {"<+0530>-5:30", 0, 19800, INT64_MAX},
        /* 2026: New York changes on 8 March 07:00 and 1 November 06:00 UTC. */
        {"EST5EDT,M3.2.0,M11.1.0", 1767225600, -18000, 1772953200},
        {"EST5EDT", 1772953200, -14400, 1793512800},
        /* Ireland: winter is what is special. */
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 1782864000, 3600, 1792890000},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 1767225600, 0, 1774746000},
        /* The last Sunday but at -1 h: Nuuk. */
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1774745999, -7200, 1774746000},
        /* Day 60 is 1 March, in leap years too; day 59 from zero is not. */
        {"AAA0BBB,J60/0,J300/0", 1709164800, 0, 1709251200},
        {"AAA0BBB,59/0,300/0", 1709164800, 3600, 1729987200 - 3600},
    };
    static const char *const wrong[] = {"",
                                        "X5",
                                        "EST",
                                        "EST5EDT,",
                                        "EST5EDT,M3.2.0",
                                        "EST25",
                                        "EST5EDT,M13.2.0,M11.1.0",
                                        "EST5EDT,M3.6.0,M11.1.0",
                                        "EST5EDT,M3.2.7,M11.1.0",
                                        "EST5EDT,J0,J5",
                                        "<EST5",
                                        "EST5EDT,M3.2.0/168,M11.1.0",
                                        "EST5EDT,M3.2.0,M11.1.0x"};
    struct ce_zone_rule rule;
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        int64_t offset, end;
        REQUIRE(ce_zone_rule_parse(cases[i].text, &rule) == 0);
        ce_zone_rule_stretch(&rule, cases[i].at, &offset, &end);
        CHECK(offset == cases[i].offset);
        CHECK(end == cases[i].end);
    }
    for (size_t i = 0; i < CE_COUNT(wrong); i++)
        CHECK(ce_zone_rule_parse(wrong[i], &rule) < 0);
}

static void files_of_zones_are_read_with_care(void)
{
    /* One change at 1000 s from +0 to +1 h, no rule. */
    static const char file[] =
        "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\1"
        "\0\0\0\0\0\0\0"
        "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0\4"
        "\0\0\0\0\0\0\3\350\1\0\0\0\0\0\0\0\0\16\20\1\0ABC\0\n\n";
    size_t size = sizeof file - 1;
    struct ce_zone *zone;
    struct ce_error err = {0};
    int64_t offset, end;
    REQUIRE_OK(ce_zone_parse(file, size, "test", &zone, &err), err);
    ce_zone_stretch(zone, 999, &offset, &end);
    CHECK(offset == 0 && end == 1000);
    ce_zone_stretch(zone, 1000, &offset, &end);
    CHECK(offset == 3600 && end == INT64_MAX);
    ce_zone_free(zone);
    /* Cut anywhere, it is refused. */
    for (size_t n = 0; n < size; n++) {
        char *part = malloc(n + 1);
        memcpy(part, file, n);
        CHECK(ce_zone_parse(part, n, "test", &zone, &err) == -EINVAL);
        free(part);
    }
    CHECK(strstr(err.message, "'test'"));
}

int main(void)
{
    TEST(expressions_say_when);
    TEST(the_search_is_strictly_after_and_crosses_leap_years);
    TEST(summer_time_leaves_out_and_repeats);
    TEST(intervals_count_from_where_they_are_asked);
    TEST(mistakes_are_named);
    TEST(keys_make_the_same_schedule);
    TEST(jitter_is_bounded_and_repeats);
    TEST(a_line_starts_one_however_far_the_clock_jumps);
    TEST(rules_of_zones_are_those_of_posix);
    TEST(files_of_zones_are_read_with_care);
    return test_done();
}
