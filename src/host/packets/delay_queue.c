/* SPDX-License-Identifier: MIT */
#include "host/packets/delay_queue.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* Of the Pareto distribution: its variance is finite, its tail heavy. */
static const double pareto_shape = 3;
/* One packet in 10^5 would wait longer than that many times the jitter: it need not. */
static const double pareto_most = 100;

void ce_delay_init(struct ce_delay *delay, const struct ce_packet_deed *deed)
{
    *delay =
        (struct ce_delay){.deed = *deed, .stream = ce_stream_init(deed->seed, "packets/delay", "")};
}

void ce_delay_change(struct ce_delay *delay, const struct ce_packet_deed *deed)
{
    bool keep_order = delay->deed.keep_order;
    delay->deed = *deed;
    delay->deed.keep_order = keep_order;
}

/* The next draw: where it lies in its distribution, 0..1. */
static double draw(struct ce_delay *delay)
{
    double rest = delay->deed.correlation, fresh = ce_stream_normal(&delay->stream, delay->drawn++);
    delay->last = rest * delay->last + sqrt(1 - rest * rest) * fresh;
    return 0.5 * erfc(-delay->last * M_SQRT1_2);
}

/* The mean excess of a deviate of at least 1 is 1 / (shape - 1). */
static double pareto_excess(double position)
{
    double excess = (pow(1 - position, -1 / pareto_shape) - 1) * (pareto_shape - 1);
    return excess < pareto_most ? excess : pareto_most;
}

static double jitter_of(struct ce_delay *delay)
{
    double position = draw(delay);
    switch (delay->deed.distribution) {
    case CE_DELAY_NORMAL:
        return delay->last;
    case CE_DELAY_PARETO:
        return pareto_excess(position);
    default:
        return 2 * position - 1;
    }
}

bool ce_delay_loses(struct ce_delay *delay)
{
    return draw(delay) < delay->deed.loss;
}

int64_t ce_delay_median(const struct ce_packet_deed *deed)
{
    double jitter = deed->distribution == CE_DELAY_PARETO ? pareto_excess(0.5) : 0;
    return deed->delay + (int64_t)(jitter * (double)deed->jitter);
}

int64_t ce_delay_until(struct ce_delay *delay, int64_t now, uint64_t connection)
{
    int64_t wait = delay->deed.delay;
    if (delay->deed.jitter > 0)
        wait += (int64_t)(jitter_of(delay) * (double)delay->deed.jitter);
    int64_t until = now + (wait > 0 ? wait : 0);
    if (!delay->deed.keep_order)
        return until;
    int64_t *lane = &delay->lanes[connection % CE_DELAY_LANES];
    if (until < *lane)
        until = *lane;
    *lane = until;
    return until;
}

/* ---- the queue: a binary heap ---- */

static bool sooner(const struct ce_delayed *a, const struct ce_delayed *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

int ce_delay_queue_put(struct ce_delay_queue *queue, int64_t at, uint32_t packet)
{
    if (queue->count == queue->capacity) {
        size_t capacity = queue->capacity > 0 ? 2 * queue->capacity : 1024;
        struct ce_delayed *heap = realloc(queue->heap, capacity * sizeof *heap);
        if (!heap)
            return -ENOMEM;
        queue->heap = heap;
        queue->capacity = capacity;
    }
    struct ce_delayed new = {.at = at, .order = queue->next_order++, .packet = packet};
    size_t i = queue->count++;
    for (; i > 0 && sooner(&new, &queue->heap[(i - 1) / 2]); i = (i - 1) / 2)
        queue->heap[i] = queue->heap[(i - 1) / 2];
    queue->heap[i] = new;
    return 0;
}

int64_t ce_delay_queue_next(const struct ce_delay_queue *queue)
{
    return queue->count > 0 ? queue->heap[0].at : INT64_MAX;
}

uint32_t ce_delay_queue_take(struct ce_delay_queue *queue)
{
    uint32_t packet = queue->heap[0].packet;
    struct ce_delayed last = queue->heap[--queue->count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < queue->count; i = child) {
        if (child + 1 < queue->count && sooner(&queue->heap[child + 1], &queue->heap[child]))
            child++;
        if (!sooner(&queue->heap[child], &last))
            break;
        queue->heap[i] = queue->heap[child];
    }
    if (queue->count > 0)
        queue->heap[i] = last;
    return packet;
}

void ce_delay_queue_done(struct ce_delay_queue *queue)
{
    free(queue->heap);
    *queue = (struct ce_delay_queue){0};
}
