/* SPDX-License-Identifier: MIT */
/* One schedule on its way through time: what is due next, what has been missed.
 *
 * Pure: whoever drives it says what time it is. However far the clock has jumped, at most one
 * occurrence is to be started, the last one; those before it are missed. */
#ifndef CE_SCHEDULE_LINE_H
#define CE_SCHEDULE_LINE_H

#include "schedule/schedule.h"

struct ce_line {
    const struct ce_schedule *schedule; /* borrowed */
    uint64_t seed;                      /* of the jitter */
    int64_t due;                        /* the next one; INT64_MAX: none comes any more */
    int64_t start;                      /* when to start it: `due` and its jitter */
};

/* Occurrences of which nothing came. */
struct ce_missed {
    uint64_t count;
    int64_t first, last; /* when they were due */
};

void ce_line_init(struct ce_line *line, const struct ce_schedule *schedule, uint64_t seed,
                  int64_t now);
/* Whether there is one to be started now: then *ret_due, and the line moves on beyond `now`. What
 * was due before that one is missed; `ret_missed->count` is 0 when there was nothing. */
bool ce_line_take(struct ce_line *line, int64_t now, int64_t *ret_due,
                  struct ce_missed *ret_missed);
/* The line could not start anything until `now`: all that should have started by then is missed. */
void ce_line_pass(struct ce_line *line, int64_t now, struct ce_missed *ret_missed);
/* The clock has been set back, perhaps: what is due is what it says now. */
void ce_line_rewind(struct ce_line *line, int64_t now);

#endif
