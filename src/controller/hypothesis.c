/* SPDX-License-Identifier: MIT */
/* What each answer means depends on when it came: see hypothesis.h.
 *
 * Probes that are asked live in three watches, one for each span of time: the round that must
 * settle, the chaos, and the whole from the fault on. The workload's are looked at here. */
#include "controller/hypothesis.h"

#include <math.h>
#include <stdlib.h>

#include "controller/hypothesis_internal.h"

/* A stop condition that is not seen for so long, or for three intervals, is none. */
#define BLIND (5 * CE_SECOND)
/* Polls further apart than this: nobody looked in between. */
#define GAP CE_SECOND
/* Live metrics of stop conditions are looked at that often. */
#define LOOK (20 * CE_MILLISECOND)

int64_t ce_hypothesis_longest(const struct ce_experiment *experiment)
{
    int64_t longest = 0;
    for (size_t i = 0; i < experiment->probe_count; i++) {
        const struct ce_probe_spec *spec = &experiment->probes[i];
        double ns = 2.0 * (double)spec->failures * (double)(spec->interval + spec->timeout) +
                    (double)spec->window;
        if (ns > (double)longest)
            longest = ns < 0x1p60 ? (int64_t)ns : INT64_C(1) << 60;
    }
    for (size_t i = 0; i < experiment->stop_count; i++)
        if (experiment->stops[i].probe.timeout > longest)
            longest = experiment->stops[i].probe.timeout;
    return longest;
}

/* ---- watches ---- */

static void span_end(struct span *span)
{
    ce_watch_stop(span->watch);
    free(span->specs);
    free(span->items);
    *span = (struct span){0};
}

/* Asks those of the items that `wanted` picks and that are asked at all. */
static int span_begin(struct ce_hypothesis *h, struct span *span,
                      bool (*wanted)(const struct item *item), struct ce_error *err)
{
    span_end(span);
    span->specs = calloc(h->count + 1, sizeof *span->specs);
    span->items = calloc(h->count + 1, sizeof *span->items);
    if (!span->specs || !span->items)
        return ce_fail_memory(err);
    for (size_t i = 0; i < h->count; i++)
        if (h->items[i].spec->kind != CE_PROBE_WORKLOAD && wanted(&h->items[i])) {
            span->specs[span->count] = h->items[i].spec;
            span->items[span->count++] = i;
        }
    if (span->count == 0)
        return 0;
    return (span == &h->settling ? ce_watch_settle : ce_watch_start)(span->specs, span->count,
                                                                     &span->watch, err);
}

static bool is_stop(const struct item *item)
{
    return item->stop;
}

static bool is_due_before(const struct item *item)
{
    int mode = item->spec->mode;
    return !item->stop &&
           (mode == CE_PROBE_START || mode == CE_PROBE_EDGE || mode == CE_PROBE_CONTINUOUS);
}

static bool is_due_after(const struct item *item)
{
    int mode = item->spec->mode;
    return !item->stop && (mode == CE_PROBE_END || mode == CE_PROBE_EDGE);
}

static bool is_on_chaos(const struct item *item)
{
    return !item->stop && item->spec->mode == CE_PROBE_ON_CHAOS;
}

static bool is_whole(const struct item *item)
{
    return item->stop || item->spec->mode == CE_PROBE_CONTINUOUS;
}

/* ---- life ---- */

struct ce_hypothesis *ce_hypothesis_new(const struct ce_experiment *experiment,
                                        const struct ce_live *live, struct ce_customs *customs,
                                        int64_t timeout)
{
    struct ce_hypothesis *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->experiment = experiment;
    h->live = live;
    h->customs = customs;
    h->timeout = timeout;
    h->count = experiment->probe_count + experiment->stop_count;
    h->items = calloc(h->count + 1, sizeof *h->items);
    if (!h->items) {
        free(h);
        return NULL;
    }
    for (size_t i = 0; i < experiment->probe_count; i++)
        h->items[i].spec = &experiment->probes[i];
    for (size_t i = 0; i < experiment->stop_count; i++) {
        struct item *item = &h->items[experiment->probe_count + i];
        item->stop = &experiment->stops[i];
        item->spec = &item->stop->probe;
    }
    return h;
}

void ce_hypothesis_free(struct ce_hypothesis *h)
{
    if (!h)
        return;
    span_end(&h->settling);
    span_end(&h->chaos);
    span_end(&h->whole);
    free(h->items);
    free(h);
}

bool ce_hypothesis_awaits(const struct ce_hypothesis *h, const struct item *item)
{
    if (h->round == CE_ROUND_PREFLIGHT)
        return item->stop && item->spec->kind != CE_PROBE_WORKLOAD;
    if (h->round == CE_ROUND_BEFORE)
        return is_due_before(item) || (item->stop && item->spec->kind == CE_PROBE_WORKLOAD);
    return h->round == CE_ROUND_AFTER && is_due_after(item);
}

static void reset(struct ce_hypothesis *h, struct item *item, int64_t now)
{
    item->next = now;
    if (ce_hypothesis_awaits(h, item)) {
        item->row = (struct ce_in_row){0};
        item->settled = false;
        item->known = false;
        /* What it looks back on is to be of after recovery. */
        if (h->round == CE_ROUND_AFTER && !ce_live_has_trials(h->live))
            item->next = now + item->spec->window;
    }
    if (h->round == CE_ROUND_CHAOS) {
        item->known = item->known && !is_whole(item);
        item->since = 0;
        item->seen = now;
    }
}

int ce_hypothesis_begin(struct ce_hypothesis *h, enum ce_round round, struct ce_error *err)
{
    int64_t now = ce_now();
    if (!h)
        return 0;
    h->round = round;
    h->polled_at = now;
    for (size_t i = 0; i < h->count && round != CE_ROUND_ROLLBACK && round != CE_ROUND_RECOVERY;
         i++)
        reset(h, &h->items[i], now);
    switch (round) {
    case CE_ROUND_PREFLIGHT:
        return span_begin(h, &h->settling, is_stop, err);
    case CE_ROUND_BEFORE:
        return span_begin(h, &h->settling, is_due_before, err);
    case CE_ROUND_CHAOS:
        span_end(&h->settling);
        h->injected_at = now;
        return span_begin(h, &h->whole, is_whole, err);
    case CE_ROUND_ROLLBACK:
        return 0; /* nothing that may take its time goes before the undo */
    case CE_ROUND_RECOVERY:
        span_end(&h->chaos);
        return 0;
    case CE_ROUND_AFTER:
        return span_begin(h, &h->settling, is_due_after, err);
    }
    return 0;
}

int ce_hypothesis_injected(struct ce_hypothesis *h, struct ce_error *err)
{
    return h ? span_begin(h, &h->chaos, is_on_chaos, err) : 0;
}

/* ---- answers ---- */

static bool is_armed(const struct ce_hypothesis *h)
{
    return h->round == CE_ROUND_CHAOS || h->round == CE_ROUND_ROLLBACK;
}

/* `answer`: the one that met the condition; NULL: it was not seen for too long. */
static void stop(struct ce_hypothesis *h, const struct item *item,
                 const struct ce_probe_answer *answer, int64_t now)
{
    if (h->stopped)
        return;
    h->stopped = item;
    h->stopped_blind = !answer;
    h->stopped_value = answer ? answer->value : NAN;
    h->stopped_at = now;
}

static void take_armed(struct ce_hypothesis *h, struct item *item,
                       const struct ce_probe_answer *answer)
{
    if (answer->result == CE_PROBE_ERROR)
        return; /* what was known stays so, until it is too long ago */
    item->seen = answer->at;
    if (answer->result == CE_PROBE_HELD)
        item->since = 0;
    else if (item->since == 0)
        item->since = answer->at;
    if (item->since > 0 && answer->at - item->since >= item->stop->hold)
        stop(h, item, answer, answer->at);
}

/* What the workload measures is a metric already. */
static void note_value(struct ce_hypothesis *h, const struct item *item, double value)
{
    char name[256];
    if (item->spec->kind == CE_PROBE_WORKLOAD)
        return;
    ce_probe_text(item->spec, name, sizeof name);
    ce_customs_add(h->customs, name, value);
}

static void take(struct ce_hypothesis *h, struct item *item, const struct ce_probe_answer *answer)
{
    bool answered = answer->result != CE_PROBE_ERROR;
    note_value(h, item, answer->value);
    item->looks++;
    item->failed += answer->result == CE_PROBE_FAILED;
    item->errors += !answered;
    bool settled = ce_probe_settles(item->spec, answer->result, &item->row);
    bool too_often = item->row.failed >= item->spec->failures;
    if (!item->deviated)
        item->last = *answer;
    if (!item->stop)
        item->deviated = item->deviated || too_often;
    else if (is_armed(h))
        take_armed(h, item, answer);
    if (ce_hypothesis_awaits(h, item)) {
        item->known = answer->result == CE_PROBE_HELD || too_often;
        item->settled = settled;
    } else {
        item->known = item->known || answered;
    }
}

static bool concerns(const struct ce_hypothesis *h, const struct item *item)
{
    if (ce_hypothesis_awaits(h, item))
        return !item->settled;
    if (item->stop)
        return is_armed(h);
    if (is_on_chaos(item))
        return h->round == CE_ROUND_CHAOS;
    return item->spec->mode == CE_PROBE_CONTINUOUS && h->round >= CE_ROUND_CHAOS;
}

static void take_all(struct ce_hypothesis *h, struct span *span)
{
    struct ce_probe_answer answer;
    size_t i;
    while (span->watch && ce_watch_next(span->watch, &i, &answer)) {
        struct item *item = &h->items[span->items[i]];
        if (concerns(h, item))
            take(h, item, &answer);
    }
}

/* ---- the workload ---- */

static void look(struct ce_hypothesis *h, struct item *item, int64_t now)
{
    struct ce_probe_answer answer;
    int64_t window = h->round == CE_ROUND_BEFORE ? INT64_MAX : item->spec->window;
    ce_probe_judge(item->spec, ce_live_value(h->live, item->spec->metric, window, now), &answer);
    answer.at = now;
    item->next = now + (item->stop ? LOOK : item->spec->interval);
    take(h, item, &answer);
}

/* ---- stop conditions that are not seen ---- */

static bool is_blind(const struct ce_hypothesis *h, const struct item *item, int64_t now)
{
    int64_t limit = BLIND;
    bool of_workload = item->spec->kind == CE_PROBE_WORKLOAD;
    if (of_workload && ce_live_has_trials(h->live))
        return false; /* a trial takes as long as it takes */
    const struct ce_probe_spec *spec = item->spec;
    const int64_t usual[] = {of_workload ? h->timeout + spec->window + CE_SECOND
                                         : spec->timeout + spec->interval,
                             of_workload ? 0 : 3 * spec->interval};
    for (size_t i = 0; i < CE_COUNT(usual); i++)
        limit = usual[i] > limit ? usual[i] : limit;
    return now - item->seen > limit;
}

bool ce_hypothesis_poll(struct ce_hypothesis *h, int64_t now)
{
    if (!h)
        return false;
    take_all(h, &h->settling);
    take_all(h, &h->chaos);
    take_all(h, &h->whole);
    int64_t unseen = now - h->polled_at > GAP ? now - h->polled_at : 0;
    for (size_t i = 0; i < h->count; i++) {
        struct item *item = &h->items[i];
        item->seen = item->seen + unseen < now ? item->seen + unseen : now;
        if (item->spec->kind == CE_PROBE_WORKLOAD && concerns(h, item) && now >= item->next)
            look(h, item, now);
        if (item->stop && is_armed(h) && is_blind(h, item, now))
            stop(h, item, NULL, now);
    }
    h->polled_at = now;
    return h->stopped;
}

bool ce_hypothesis_settled(const struct ce_hypothesis *h)
{
    for (size_t i = 0; h && i < h->count; i++)
        if (ce_hypothesis_awaits(h, &h->items[i]) && !h->items[i].settled)
            return false;
    return true;
}

bool ce_hypothesis_holds(const struct ce_hypothesis *h)
{
    for (size_t i = 0; h && i < h->count; i++) {
        const struct item *item = &h->items[i];
        if (!item->stop && item->spec->mode == CE_PROBE_CONTINUOUS && item->row.failed > 0)
            return false;
    }
    return true;
}
