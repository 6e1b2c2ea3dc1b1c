/* SPDX-License-Identifier: MIT */
/* What schedules say, in bulk: for each line "SECONDS<TAB>COUNT<TAB>SCHEDULE" of stdin the next
 * COUNT times after those seconds since 1970, or "error: ...". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "schedule/schedule.h"

static void answer(const char *text, int64_t after, int count)
{
    struct ce_schedule schedule;
    struct ce_error err = {0};
    if (ce_schedule_parse(text, &schedule, &err) < 0) {
        printf("error: %s\n", err.message);
        return;
    }
    int64_t at = after * CE_SECOND;
    for (int i = 0; i < count && (at = ce_schedule_next(&schedule, at)) < INT64_MAX; i++)
        printf("%s%lld", i > 0 ? " " : "", (long long)(at / CE_SECOND));
    putchar('\n');
    ce_schedule_done(&schedule);
}

int main(void)
{
    char line[512];
    while (fgets(line, sizeof line, stdin)) {
        char *count, *text;
        line[strcspn(line, "\n")] = '\0';
        long long after = strtoll(line, &count, 10);
        long many = strtol(count, &text, 10);
        if (*count != '\t' || *text != '\t')
            return 2;
        answer(text + 1, after, (int)many);
    }
    return 0;
}
