/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t *test_clock;

void ce_clock_use(int64_t *now)
{
    test_clock = now;
}

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * CE_SECOND + t.tv_nsec;
}

int64_t ce_now(void)
{
    return test_clock ? *test_clock : read_clock(CLOCK_MONOTONIC);
}

int64_t ce_wall_now(void)
{
    return test_clock ? *test_clock : read_clock(CLOCK_REALTIME);
}

void ce_sleep_until(int64_t at)
{
    if (test_clock) {
        if (*test_clock < at)
            *test_clock = at;
        return;
    }
    struct timespec t = {.tv_sec = at / CE_SECOND, .tv_nsec = at % CE_SECOND};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

void ce_timestamp(int64_t wall, char text[CE_TIMESTAMP_SIZE])
{
    time_t seconds = (time_t)(wall / CE_SECOND);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char head[24];
    strftime(head, sizeof head, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, CE_TIMESTAMP_SIZE, "%s.%03dZ", head, (int)(wall % CE_SECOND / CE_MILLISECOND));
}

int ce_timestamp_read(const char *text, int64_t *ret_wall)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!end || *end != '.' || strspn(end + 1, "0123456789") != 3 || strcmp(end + 4, "Z") != 0)
        return -EINVAL;
    *ret_wall = (int64_t)timegm(&tm) * CE_SECOND + strtol(end + 1, NULL, 10) * CE_MILLISECOND;
    return 0;
}
