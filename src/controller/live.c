/* SPDX-License-Identifier: MIT */
/* A ring of the last outcomes. Each question walks it backwards, as far as its window reaches. */
#include "controller/live.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

/* Beyond that many the oldest are forgotten, whatever the window. */
enum { ENTRIES_MAX = 1 << 18 };

struct entry {
    int64_t at, latency_ns;
    double accuracy; /* of a trial; NaN: not reported */
    json_t *metrics;
    bool ok, right;
};

struct ce_live {
    const struct ce_measure *measure;
    struct entry *entries;
    size_t capacity, first, count; /* a ring; capacity is a power of two */
    int64_t since;
    uint64_t errors;
};

struct ce_live *ce_live_new(const struct ce_measure *measure)
{
    struct ce_live *live = calloc(1, sizeof *live);
    if (live)
        live->measure = measure;
    return live;
}

static struct entry *entry_at(const struct ce_live *live, size_t i)
{
    return &live->entries[(live->first + i) & (live->capacity - 1)];
}

static void forget(struct ce_live *live, size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_decref(entry_at(live, i)->metrics);
    live->first += count;
    live->count -= count;
}

void ce_live_free(struct ce_live *live)
{
    if (!live)
        return;
    forget(live, live->count);
    free(live->entries);
    free(live);
}

void ce_live_begin(struct ce_live *live, int64_t now)
{
    if (!live)
        return;
    forget(live, live->count);
    live->errors = 0;
    live->since = now;
}

/* Without memory the oldest is given up for the newest. */
static bool make_room(struct ce_live *live)
{
    if (live->count < live->capacity)
        return true;
    size_t capacity = live->capacity ? 2 * live->capacity : 256;
    struct entry *entries = capacity <= ENTRIES_MAX ? calloc(capacity, sizeof *entries) : NULL;
    if (!entries) {
        if (live->count > 0)
            forget(live, 1);
        return live->capacity > 0;
    }
    for (size_t i = 0; i < live->count; i++)
        entries[i] = *entry_at(live, i);
    free(live->entries);
    live->entries = entries;
    live->capacity = capacity;
    live->first = 0;
    return true;
}

void ce_live_add(struct ce_live *live, const struct ce_outcome *outcome, int64_t now)
{
    if (!live)
        return;
    live->errors += !outcome->ok;
    if (!make_room(live))
        return;
    *entry_at(live, live->count++) = (struct entry){
        .at = now,
        .latency_ns = outcome->latency_ns,
        .accuracy = outcome->accuracy,
        .metrics = json_incref(outcome->metrics),
        .ok = outcome->ok,
        .right = outcome->right,
    };
}

bool ce_live_has_trials(const struct ce_live *live)
{
    return live && live->measure->trials;
}

/* ---- questions ---- */

/* The entries from `from` on are those of the window. */
struct view {
    const struct ce_live *live;
    size_t from;
    bool whole; /* the window has passed since the beginning */
    double seconds;
};

static struct view look_back(const struct ce_live *live, int64_t window, int64_t now)
{
    int64_t lasted = now - live->since;
    struct view view = {live, live->count, window <= lasted, 0};
    /* All of it: until the last operation, for there may be none any more. */
    if (window == INT64_MAX && live->count > 0)
        lasted = entry_at(live, live->count - 1)->at - live->since;
    view.seconds = (double)(view.whole ? window : lasted) / (double)CE_SECOND;
    int64_t oldest = view.whole ? now - window : live->since - 1;
    while (view.from > 0 && entry_at(live, view.from - 1)->at > oldest)
        view.from--;
    return view;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : NAN;
}

static double accuracy_of(const struct view *view)
{
    uint64_t ok = 0, right = 0, reported = 0;
    double sum = 0;
    for (size_t i = view->from; i < view->live->count; i++) {
        const struct entry *entry = entry_at(view->live, i);
        ok += entry->ok;
        right += entry->ok && entry->right;
        if (entry->ok && !isnan(entry->accuracy)) {
            sum += entry->accuracy;
            reported++;
        }
    }
    if (ce_live_has_trials(view->live))
        return reported > 0 ? sum / (double)reported : NAN;
    return share(right, ok);
}

static uint64_t count_ok(const struct view *view)
{
    uint64_t ok = 0;
    for (size_t i = view->from; i < view->live->count; i++)
        ok += entry_at(view->live, i)->ok;
    return ok;
}

static double latency_of(const struct view *view, double q)
{
    struct ce_histogram histogram = {0};
    for (size_t i = view->from; i < view->live->count; i++)
        ce_histogram_add(&histogram, entry_at(view->live, i)->latency_ns);
    if (histogram.count == 0)
        return NAN;
    int64_t ns = q < 1 ? ce_histogram_quantile(&histogram, q) : histogram.max;
    return (double)ns / (double)CE_MILLISECOND;
}

/* One that the trials report: the mean. */
static double custom_of(const struct view *view, const char *metric)
{
    uint64_t count = 0;
    double sum = 0;
    for (size_t i = view->from; i < view->live->count; i++) {
        const json_t *value = json_object_get(entry_at(view->live, i)->metrics, metric);
        if (!json_is_number(value))
            continue;
        sum += json_number_value(value);
        count++;
    }
    return count > 0 ? sum / (double)count : NAN;
}

/* Good operations a second. */
static double throughput_of(const struct view *view)
{
    bool known = view->whole || view->live->count - view->from >= CE_LIVE_LEAST;
    double seconds = view->seconds;
    if (ce_live_has_trials(view->live)) {
        known = view->from < view->live->count;
        seconds = 0;
        for (size_t i = view->from; i < view->live->count; i++)
            seconds += (double)entry_at(view->live, i)->latency_ns / (double)CE_SECOND;
    }
    return known && seconds > 0 ? (double)count_ok(view) / seconds : NAN;
}

/* {name: mean} of all that the trials of the window report; NULL: nothing. */
static json_t *customs_of(const struct view *view)
{
    json_t *all = NULL, *value;
    const char *name;
    for (size_t i = view->from; i < view->live->count; i++) {
        json_object_foreach(entry_at(view->live, i)->metrics, name, value)
        {
            if (!all)
                all = json_object();
            if (!json_object_get(all, name))
                (void)json_object_set_new(all, name, ce_json_number(custom_of(view, name)));
        }
    }
    return all;
}

struct ce_sample ce_live_sample(const struct ce_live *live, int64_t now)
{
    struct view view = look_back(live, CE_SAMPLE_WINDOW, now);
    uint64_t count = live->count - view.from, ok = count_ok(&view);
    return (struct ce_sample){
        .operations = count,
        .errors = count - ok,
        .accuracy = accuracy_of(&view),
        .p50_ms = latency_of(&view, 0.5),
        .p99_ms = latency_of(&view, 0.99),
        .throughput = throughput_of(&view),
        .metrics = customs_of(&view),
    };
}

double ce_live_value(const struct ce_live *live, const char *metric, int64_t window, int64_t now)
{
    static const struct {
        const char *name;
        double q;
    } latencies[] = {{"p50_ms", 0.5}, {"p90_ms", 0.9}, {"p99_ms", 0.99}, {"max_ms", 1}};
    if (!live)
        return NAN;
    struct view view = look_back(live, window, now);
    bool trials = ce_live_has_trials(live), all = window == INT64_MAX;
    if (strcmp(metric, "error_count") == 0)
        return (double)live->errors;
    if (strcmp(metric, "downtime") == 0)
        return ce_measure_downtime(live->measure);
    bool is_rate = strcmp(metric, "throughput") == 0;
    if (view.from == live->count && live->count > 0 && (trials || (view.whole && !is_rate)))
        view.from--;
    if (is_rate)
        return throughput_of(&view);
    if (!trials && !all && !view.whole && live->count - view.from < CE_LIVE_LEAST)
        return NAN;
    if (strcmp(metric, "accuracy") == 0)
        return accuracy_of(&view);
    if (strcmp(metric, "error_ratio") == 0)
        return share(live->count - view.from - count_ok(&view), live->count - view.from);
    for (size_t i = 0; i < CE_COUNT(latencies); i++)
        if (strcmp(metric, latencies[i].name) == 0)
            return latency_of(&view, latencies[i].q);
    return custom_of(&view, metric);
}
