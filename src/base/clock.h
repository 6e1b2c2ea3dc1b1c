/* SPDX-License-Identifier: MIT */
/* Time inside ChaosEater is int64_t nanoseconds; units appear only at the edges. */
#ifndef CE_BASE_CLOCK_H
#define CE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CE_MICROSECOND INT64_C(1000)
#define CE_MILLISECOND INT64_C(1000000)
#define CE_SECOND      INT64_C(1000000000)

/* Monotonic time. Any thread. */
int64_t ce_now(void);
/* Wall-clock time since 1970. Any thread. */
int64_t ce_wall_now(void);
/* Sleeps until the monotonic time `at`; with a test clock it advances that clock instead. */
void ce_sleep_until(int64_t at);

/* RFC 3339 in UTC with milliseconds, such as "2026-11-22T10:00:00.123Z". */
#define CE_TIMESTAMP_SIZE 32
void ce_timestamp(int64_t wall, char text[CE_TIMESTAMP_SIZE]);
/* The same back. 0 or -EINVAL. */
int ce_timestamp_read(const char *text, int64_t *ret_wall);

/* Tests replace the clock: from now on ce_now() and ce_wall_now() read *now (NULL: the real clock
 * again). */
void ce_clock_use(int64_t *now);

#endif
