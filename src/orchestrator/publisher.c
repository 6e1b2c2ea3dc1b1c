/* SPDX-License-Identifier: MIT */
#include "orchestrator/publisher.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "observers/events.h"

static void push_host(const struct ce_publisher *publisher)
{
    if (!publisher->push)
        return;
    struct ce_metric_host host = ce_metrics_host(publisher->state_dir);
    ce_push_host(publisher->push, &host);
}

void ce_publisher_begin(struct ce_publisher *publisher, const struct ce_document *doc,
                        struct ce_metrics *board, const char *state_dir,
                        const struct ce_agenda *agenda)
{
    const struct ce_prometheus_keys *keys = ce_document_prometheus(doc);
    struct ce_error err = {0};
    *publisher = (struct ce_publisher){.board = board, .state_dir = state_dir};
    for (size_t i = 0; board && i < agenda->count; i++) {
        const struct ce_experiment *x = agenda->items[i].experiment;
        const struct ce_metric_live live = {x->name, ce_layer_name(x->fault->layer), x->fault->name,
                                            .state = CE_METRIC_PENDING};
        ce_metrics_live(board, &live);
    }
    if (!keys->pushgateway_url || !keys->pushgateway_url[0])
        return;
    if (ce_push_start(keys->pushgateway_url, keys->job_name, state_dir, &publisher->push, &err) < 0)
        publisher->warning = ce_format("metrics were not pushed: %s", err.message);
    push_host(publisher);
}

void ce_publisher_live(const struct ce_publisher *publisher, const struct ce_experiment *experiment,
                       const char *phase, double intensity, bool guarded)
{
    /* Preflight starts the guard. */
    bool prepared = strcmp(phase, ce_state_name(CE_STATE_PREFLIGHT)) != 0;
    const struct ce_metric_live live = {
        .experiment = experiment->name,
        .layer = ce_layer_name(experiment->fault->layer),
        .fault = experiment->fault->name,
        .intensity = intensity,
        .guard = prepared ? guarded : -1,
    };
    if (publisher->push)
        ce_push_live(publisher->push, &live);
    if (publisher->board)
        ce_metrics_live(publisher->board, &live);
}

void ce_publisher_record(const struct ce_publisher *publisher, const struct ce_record *record)
{
    if (publisher->push)
        ce_push_record(publisher->push, record);
    if (publisher->board)
        ce_metrics_record(publisher->board, record);
}

void ce_publisher_end(struct ce_publisher *publisher)
{
    push_host(publisher);
    ce_push_stop(ce_take(publisher->push), &publisher->warning);
}
