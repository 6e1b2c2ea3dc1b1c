/* SPDX-License-Identifier: MIT */
#include "proxy/proxy_internal.h"

#include <stdlib.h>

/* Slots count from 1: the children of n are 2n and 2n + 1. */
static struct ce_timer **slot(struct ce_timers *timers, size_t n)
{
    return &timers->heap[n - 1];
}

static void put(struct ce_timers *timers, size_t n, struct ce_timer *timer)
{
    *slot(timers, n) = timer;
    timer->slot = n;
}

/* Moves the timer from slot n to where its time belongs. */
static void settle(struct ce_timers *timers, size_t n, struct ce_timer *timer)
{
    while (n > 1 && (*slot(timers, n / 2))->at > timer->at) {
        put(timers, n, *slot(timers, n / 2));
        n /= 2;
    }
    for (;;) {
        size_t child = 2 * n;
        if (child > timers->count)
            break;
        if (child < timers->count && (*slot(timers, child + 1))->at < (*slot(timers, child))->at)
            child++;
        if ((*slot(timers, child))->at >= timer->at)
            break;
        put(timers, n, *slot(timers, child));
        n = child;
    }
    put(timers, n, timer);
}

int ce_timer_set(struct ce_timers *timers, struct ce_timer *timer, int64_t at)
{
    if (timer->slot == 0) {
        if (timers->count == timers->capacity) {
            size_t capacity = timers->capacity ? timers->capacity * 2 : 64;
            struct ce_timer **heap = realloc(timers->heap, capacity * sizeof *heap);
            if (!heap)
                return -ENOMEM;
            timers->heap = heap;
            timers->capacity = capacity;
        }
        timer->slot = ++timers->count;
    }
    timer->at = at;
    settle(timers, timer->slot, timer);
    return 0;
}

void ce_timer_clear(struct ce_timers *timers, struct ce_timer *timer)
{
    if (timer->slot == 0)
        return;
    struct ce_timer *last = *slot(timers, timers->count--);
    if (last != timer)
        settle(timers, timer->slot, last);
    timer->slot = 0;
}

struct ce_timer *ce_timers_due(struct ce_timers *timers, int64_t now)
{
    if (timers->count == 0 || timers->heap[0]->at > now)
        return NULL;
    struct ce_timer *timer = timers->heap[0];
    ce_timer_clear(timers, timer);
    return timer;
}
