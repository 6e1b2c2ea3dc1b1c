/* SPDX-License-Identifier: MIT */
#include "controller/customs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

struct metric {
    char *name;
    double last;
    double sum[CE_RECORD_PHASES];
    uint64_t count[CE_RECORD_PHASES];
};

struct ce_customs {
    struct metric metrics[CE_CUSTOMS_MAX];
    size_t count;
    int phase; /* -1: none that is measured */
};

struct ce_customs *ce_customs_new(void)
{
    struct ce_customs *customs = calloc(1, sizeof *customs);
    if (customs)
        customs->phase = -1;
    return customs;
}

void ce_customs_free(struct ce_customs *customs)
{
    if (!customs)
        return;
    for (size_t i = 0; i < customs->count; i++)
        free(customs->metrics[i].name);
    free(customs);
}

void ce_customs_enter(struct ce_customs *customs, enum ce_state state)
{
    static const int phases[] = {
        [CE_STATE_PLANNED] = -1,   [CE_STATE_VALIDATED] = -1,   [CE_STATE_PREFLIGHT] = -1,
        [CE_STATE_BASELINE] = 0,   [CE_STATE_INJECTING] = 1,    [CE_STATE_VERIFYING] = 1,
        [CE_STATE_OBSERVING] = 1,  [CE_STATE_ROLLING_BACK] = 2, [CE_STATE_VERIFYING_UNDO] = 2,
        [CE_STATE_RECOVERING] = 3, [CE_STATE_ENDED] = -1,
    };
    if (customs)
        customs->phase = phases[state];
}

static struct metric *metric_called(struct ce_customs *customs, const char *name)
{
    for (size_t i = 0; i < customs->count; i++)
        if (strcmp(customs->metrics[i].name, name) == 0)
            return &customs->metrics[i];
    char *own = customs->count < CE_CUSTOMS_MAX ? strdup(name) : NULL;
    if (!own)
        return NULL;
    customs->metrics[customs->count].name = own;
    return &customs->metrics[customs->count++];
}

void ce_customs_add(struct ce_customs *customs, const char *name, double value)
{
    struct metric *metric = customs && isfinite(value) ? metric_called(customs, name) : NULL;
    if (!metric)
        return;
    metric->last = value;
    if (customs->phase < 0)
        return;
    metric->sum[customs->phase] += value;
    metric->count[customs->phase]++;
}

/* The first of that name stays: it is the workload's own. */
static json_t *put(json_t *all, const char *name, json_t *value)
{
    if (!all)
        all = json_object();
    if (json_object_get(all, name))
        json_decref(value);
    else
        (void)json_object_set_new(all, name, value);
    return all;
}

json_t *ce_customs_now(const struct ce_customs *customs, json_t *metrics)
{
    for (size_t i = 0; customs && i < customs->count; i++)
        metrics = put(metrics, customs->metrics[i].name, json_real(customs->metrics[i].last));
    return metrics;
}

json_t *ce_customs_means(const struct ce_customs *customs, json_t *means)
{
    for (size_t i = 0; customs && i < customs->count; i++) {
        const struct metric *metric = &customs->metrics[i];
        json_t *phases = json_object();
        for (int p = 0; phases && p < CE_RECORD_PHASES; p++)
            if (metric->count[p] > 0)
                (void)json_object_set_new(phases, ce_record_phase_names[p],
                                          json_real(metric->sum[p] / (double)metric->count[p]));
        means = put(means, metric->name, phases);
    }
    return means;
}
