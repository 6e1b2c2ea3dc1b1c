/* SPDX-License-Identifier: MIT */
#include "schedule/line.h"

/* A clock that jumps by decades makes no one wait until all that was missed has been counted. */
enum { COUNTED_MAX = 1000000 };

static void move_to(struct ce_line *line, int64_t due)
{
    line->due = due;
    line->start = due;
    if (due < INT64_MAX &&
        __builtin_add_overflow(due, ce_schedule_delay(line->schedule, due, line->seed),
                               &line->start))
        line->start = INT64_MAX;
}

void ce_line_init(struct ce_line *line, const struct ce_schedule *schedule, uint64_t seed,
                  int64_t now)
{
    *line = (struct ce_line){.schedule = schedule, .seed = seed};
    move_to(line, ce_schedule_next(schedule, now));
}

/* Goes on beyond `now`. Returns when the last but one was due. */
static int64_t walk(struct ce_line *line, int64_t now, struct ce_missed *ret_missed)
{
    int64_t before = line->due;
    *ret_missed = (struct ce_missed){.first = line->due, .last = line->due};
    while (line->start <= now && line->due < INT64_MAX) {
        before = ret_missed->last;
        ret_missed->last = line->due;
        ret_missed->count++;
        bool far = ret_missed->count >= COUNTED_MAX && line->due < now;
        move_to(line, ce_schedule_next(line->schedule, far ? now : line->due));
    }
    return before;
}

bool ce_line_take(struct ce_line *line, int64_t now, int64_t *ret_due, struct ce_missed *ret_missed)
{
    int64_t before = walk(line, now, ret_missed);
    if (ret_missed->count == 0)
        return false;
    *ret_due = ret_missed->last;
    ret_missed->last = before;
    ret_missed->count--;
    return true;
}

void ce_line_pass(struct ce_line *line, int64_t now, struct ce_missed *ret_missed)
{
    (void)walk(line, now, ret_missed);
}

void ce_line_rewind(struct ce_line *line, int64_t now)
{
    int64_t due = ce_schedule_next(line->schedule, now);
    if (due < line->due)
        move_to(line, due);
}
