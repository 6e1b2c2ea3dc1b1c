/* SPDX-License-Identifier: MIT */
#include "orchestrator/publisher.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "controller/controller.h"

/* ---- metrics ---- */

static void push_host(const struct ce_publisher *publisher)
{
    if (!publisher->push)
        return;
    struct ce_metric_host host = ce_metrics_host(publisher->state_dir);
    ce_push_host(publisher->push, &host);
}

static void start_pushing(struct ce_publisher *publisher, const struct ce_prometheus_keys *keys)
{
    struct ce_error err = {0};
    if (!keys->pushgateway_url || !keys->pushgateway_url[0])
        return;
    if (ce_push_start(keys->pushgateway_url, keys->job_name, publisher->state_dir, &publisher->push,
                      &err) < 0)
        publisher->warning = ce_format("metrics were not pushed: %s", err.message);
    push_host(publisher);
}

static void show_pending(const struct ce_publisher *publisher)
{
    for (size_t i = 0; publisher->board && i < publisher->run_count; i++) {
        const struct ce_publisher_run *run = &publisher->runs[i];
        const struct ce_metric_live live = {run->experiment, run->layer, run->fault,
                                            .state = CE_METRIC_PENDING};
        ce_metrics_live(publisher->board, &live);
    }
}

static void measure(const struct ce_publisher *publisher, const struct ce_publisher_run *run,
                    const struct ce_publisher_news *news)
{
    /* Preflight starts the guard. */
    bool prepared = strcmp(news->phase, ce_state_name(CE_STATE_PREFLIGHT)) != 0;
    const struct ce_metric_live live = {
        .experiment = run->experiment,
        .layer = run->layer,
        .fault = run->fault,
        .intensity = news->intensity,
        .guard = prepared ? news->guarded : -1,
        .sample = news->sample,
    };
    if (publisher->push)
        ce_push_live(publisher->push, &live);
    if (publisher->board)
        ce_metrics_live(publisher->board, &live);
}

/* ---- events ---- */

static json_t *number_or_null(int number)
{
    return number > 0 ? json_integer(number) : json_null();
}

/* What tells a run from the others. */
static json_t *run_json(const struct ce_publisher *publisher, size_t index)
{
    const struct ce_publisher_run *run = &publisher->runs[index];
    return json_pack("{s:I, s:s, s:s, s:s, s:s?, s:o}", "run", (json_int_t)index, "experiment",
                     run->experiment, "layer", run->layer, "fault_type", run->fault, "profile",
                     run->profile, "repeat", number_or_null(run->repeat));
}

static json_t *event_of(const struct ce_publisher *publisher, size_t index, const char *id)
{
    return json_pack("{s:I, s:s, s:s}", "run", (json_int_t)index, "id", id, "experiment",
                     publisher->runs[index].experiment);
}

static void say_started(const struct ce_publisher *publisher,
                        const struct ce_publisher_config *config)
{
    ce_autojson json_t *runs = json_array();
    for (size_t i = 0; i < publisher->run_count; i++)
        (void)json_array_append_new(runs, run_json(publisher, i));
    ce_event_stream_say(publisher->stream, "suite_started",
                        json_pack("{s:i, s:I, s:i, s:O}", "pid", (int)getpid(), "seed",
                                  (json_int_t)config->seed, "parallel", (int)config->parallel,
                                  "runs", runs),
                        false);
}

static void say_begun(struct ce_publisher *publisher, size_t index, const char *id)
{
    json_t *event = run_json(publisher, index);
    publisher->runs[index].begun = true;
    if (event)
        (void)json_object_set_new(event, "id", json_string(id));
    ce_event_stream_say(publisher->stream, "run_started", event, false);
}

static void say_sample(const struct ce_publisher *publisher, size_t index,
                       const struct ce_publisher_news *news)
{
    json_t *event = event_of(publisher, index, news->id);
    ce_autojson json_t *now =
        json_pack("{s:s, s:f, s:f, s:b}", "phase", news->phase, "fraction", news->fraction,
                  "intensity", news->intensity, "guarded", news->guarded);
    if (event && now) {
        (void)json_object_update(event, now);
        (void)json_object_update(event, (json_t *)news->sample);
    }
    ce_event_stream_say(publisher->stream, "sample", event, true);
}

static void say(struct ce_publisher *publisher, size_t index, const struct ce_publisher_news *news)
{
    struct ce_publisher_run *run = &publisher->runs[index];
    if (!run->begun)
        say_begun(publisher, index, news->id);
    if (strcmp(run->phase, news->phase) != 0) {
        json_t *event = event_of(publisher, index, news->id);
        if (event)
            (void)json_object_update_new(event, json_pack("{s:s, s:f, s:b}", "phase", news->phase,
                                                          "intensity", news->intensity, "guarded",
                                                          news->guarded));
        ce_event_stream_say(publisher->stream, "phase", event, false);
        snprintf(run->phase, sizeof run->phase, "%s", news->phase);
    }
    if (news->sample)
        say_sample(publisher, index, news);
}

/* ---- both ---- */

int ce_publisher_begin(struct ce_publisher *publisher, const struct ce_publisher_config *config,
                       struct ce_publisher_run *runs, size_t count, struct ce_error *err)
{
    char suite[64];
    *publisher = (struct ce_publisher){
        .board = config->options->metrics,
        .runs = runs,
        .run_count = runs ? count : 0,
        .state_dir = config->state_dir,
    };
    if (!runs)
        return ce_fail_memory(err);
    ce_run_id_make(suite);
    CE_TRY(ce_event_stream_open(config->options->events, config->state_dir, suite,
                                &publisher->stream, err));
    say_started(publisher, config);
    show_pending(publisher);
    if (!config->doc)
        return 0;
    start_pushing(publisher, ce_document_prometheus(config->doc));
    ce_exporter_begin(&publisher->exporter, config->doc, config->state_dir, &publisher->warning);
    return 0;
}

void ce_publisher_tell(struct ce_publisher *publisher, size_t run,
                       const struct ce_publisher_news *news)
{
    measure(publisher, &publisher->runs[run], news);
    say(publisher, run, news);
    ce_event_stream_turn(publisher->stream);
}

void ce_publisher_record(struct ce_publisher *publisher, size_t run, const struct ce_record *record)
{
    if (!publisher->stream)
        return;
    json_t *event = event_of(publisher, run, record->id);
    if (event)
        (void)json_object_set_new(event, "record", ce_record_json(record));
    ce_event_stream_say(publisher->stream, "run_ended", event, false);
    if (publisher->push)
        ce_push_record(publisher->push, record);
    if (publisher->board)
        ce_metrics_record(publisher->board, record);
    ce_exporter_record(&publisher->exporter, record);
}

void ce_publisher_turn(struct ce_publisher *publisher)
{
    ce_event_stream_turn(publisher->stream);
}

void ce_publisher_end(struct ce_publisher *publisher, int signal, int exit_code)
{
    char *warning = NULL;
    push_host(publisher);
    ce_push_stop(ce_take(publisher->push), &warning);
    ce_warn(&publisher->warning, warning);
    ce_exporter_end(&publisher->exporter, &publisher->warning);
    ce_event_stream_say(publisher->stream, "suite_ended",
                        json_pack("{s:i, s:i, s:s?}", "signal", signal, "exit_code", exit_code,
                                  "warning", publisher->warning),
                        false);
    ce_event_stream_close(ce_take(publisher->stream), &publisher->events_problem);
    free(ce_take(publisher->runs));
}
