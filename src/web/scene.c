/* SPDX-License-Identifier: MIT */
#include "web/scene.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

struct ce_scene {
    struct ce_metrics *metrics;
    json_t *root, *suites; /* borrowed from root */
};

struct ce_scene *ce_scene_new(struct ce_metrics *metrics)
{
    struct ce_scene *scene = calloc(1, sizeof *scene);
    if (!scene)
        return NULL;
    scene->metrics = metrics;
    scene->suites = json_array();
    scene->root = json_pack("{s:o}", "suites", scene->suites);
    if (!scene->root) {
        free(scene);
        return NULL;
    }
    return scene;
}

void ce_scene_free(struct ce_scene *scene)
{
    if (!scene)
        return;
    json_decref(scene->root);
    free(scene);
}

const json_t *ce_scene_json(const struct ce_scene *scene)
{
    return scene->root;
}

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* The same value in both. */
static void copy(json_t *to, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    (void)json_object_set_new(to, key, value ? json_incref(value) : json_null());
}

static json_t *suite_called(const struct ce_scene *scene, const char *id)
{
    size_t i;
    json_t *suite;
    json_array_foreach(scene->suites, i, suite)
    {
        if (strcmp(text_in(suite, "suite"), id) == 0)
            return suite;
    }
    return NULL;
}

/* ---- metrics ---- */

static const char *known(const json_t *run, const char *key)
{
    const char *text = text_in(run, key);
    return text[0] ? text : "?";
}

static void measure(const struct ce_scene *scene, const json_t *run, int state,
                    const json_t *sample)
{
    const json_t *guarded = json_object_get(sample, "guarded");
    const struct ce_metric_live live = {
        .experiment = known(run, "experiment"),
        .layer = known(run, "layer"),
        .fault = known(run, "fault_type"),
        .state = state,
        .intensity = json_number_value(json_object_get(run, "intensity")),
        .guard = guarded ? json_is_true(guarded) : -1,
        .sample = sample,
    };
    ce_metrics_live(scene->metrics, &live);
}

static void measure_record(const struct ce_scene *scene, const json_t *told)
{
    struct ce_record record;
    if (!told || ce_record_read(told, &record, NULL) < 0)
        return;
    ce_metrics_record(scene->metrics, &record);
    ce_record_done(&record);
}

/* ---- suites ---- */

static bool has_ended(const json_t *suite)
{
    return json_is_true(json_object_get(suite, "ended"));
}

static void forget_oldest(struct ce_scene *scene)
{
    size_t ended = 0;
    for (size_t i = 0; i < json_array_size(scene->suites);) {
        ended += has_ended(json_array_get(scene->suites, i));
        if (ended > CE_SCENE_ENDED)
            (void)json_array_remove(scene->suites, i);
        else
            i++;
    }
}

static json_t *waiting(const json_t *planned)
{
    json_t *run = json_pack("{s:n, s:s, s:n, s:f, s:f, s:n, s:n, s:n, s:[]}", "id", "state",
                            "waiting", "phase", "fraction", 0.0, "intensity", 0.0, "status",
                            "verdict", "score", "samples");
    static const char *const keys[] = {"run",        "experiment", "layer",
                                       "fault_type", "profile",    "repeat"};
    for (size_t i = 0; run && i < CE_COUNT(keys); i++)
        copy(run, planned, keys[i]);
    return run;
}

static void begin(struct ce_scene *scene, const json_t *event)
{
    size_t i;
    json_t *planned, *runs = json_array();
    json_t *suite =
        json_pack("{s:s, s:n, s:s, s:o, s:b, s:b, s:n}", "suite", text_in(event, "suite"),
                  "document", "started_at", text_in(event, "at"), "runs", runs, "ended", false,
                  "lost", false, "exit_code");
    if (!suite)
        return;
    copy(suite, event, "pid");
    copy(suite, event, "seed");
    json_array_foreach(json_object_get(event, "runs"), i, planned)
    {
        json_t *run = waiting(planned);
        if (run && json_array_append_new(runs, run) == 0)
            measure(scene, run, CE_METRIC_PENDING, NULL);
    }
    (void)json_array_insert_new(scene->suites, 0, suite);
}

static void end(struct ce_scene *scene, json_t *suite, const json_t *event)
{
    (void)json_object_set_new(suite, "ended", json_true());
    copy(suite, event, "exit_code");
    forget_oldest(scene);
}

/* ---- runs ---- */

static void start_run(const struct ce_scene *scene, json_t *run, const json_t *event)
{
    copy(run, event, "id");
    (void)json_object_set_new(run, "state", json_string("running"));
    measure(scene, run, CE_METRIC_RUNNING, NULL);
}

static void come_to_phase(const struct ce_scene *scene, json_t *run, const json_t *event)
{
    copy(run, event, "phase");
    copy(run, event, "intensity");
    (void)json_object_set_new(run, "fraction", json_real(0));
}

static void take_sample(const struct ce_scene *scene, json_t *run, const json_t *event)
{
    json_t *samples = json_object_get(run, "samples");
    copy(run, event, "phase");
    copy(run, event, "fraction");
    copy(run, event, "intensity");
    (void)json_array_append(samples, (json_t *)event);
    if (json_array_size(samples) > CE_SCENE_SAMPLES)
        (void)json_array_remove(samples, 0);
    measure(scene, run, CE_METRIC_RUNNING, event);
}

static void end_run(const struct ce_scene *scene, json_t *run, const json_t *event)
{
    const json_t *record = json_object_get(event, "record");
    const json_t *summary = json_object_get(record, "summary");
    copy(run, event, "id");
    (void)json_object_set_new(run, "state", json_string("ended"));
    copy(run, record, "status");
    copy(run, record, "verdict");
    (void)json_object_set_new(run, "phase", json_null());
    (void)json_object_set_new(run, "intensity", json_real(0));
    (void)json_object_set_new(run, "fraction", json_real(1));
    json_t *score = json_object_get(summary, "resilience_score");
    (void)json_object_set_new(run, "score", score ? json_incref(score) : json_null());
    measure_record(scene, record);
}

/* ---- events ---- */

static void hear_of_run(const struct ce_scene *scene, json_t *run, const char *name,
                        const json_t *event)
{
    static const struct {
        const char *name;
        void (*hear)(const struct ce_scene *scene, json_t *run, const json_t *event);
    } hearers[] = {
        {"run_started", start_run},
        {"phase", come_to_phase},
        {"sample", take_sample},
        {"run_ended", end_run},
    };
    for (size_t i = 0; i < CE_COUNT(hearers); i++)
        if (strcmp(hearers[i].name, name) == 0)
            hearers[i].hear(scene, run, event);
}

void ce_scene_hear(struct ce_scene *scene, const json_t *event)
{
    const char *name = text_in(event, "event");
    json_t *suite = suite_called(scene, text_in(event, "suite"));
    if (strcmp(name, "suite_started") == 0) {
        if (!suite)
            begin(scene, event);
        return;
    }
    if (!suite)
        return;
    if (strcmp(name, "suite_ended") == 0) {
        end(scene, suite, event);
        return;
    }
    const json_t *index = json_object_get(event, "run");
    json_t *run = json_is_integer(index) ? json_array_get(json_object_get(suite, "runs"),
                                                          (size_t)json_integer_value(index))
                                         : NULL;
    if (run)
        hear_of_run(scene, run, name, event);
}

void ce_scene_lose(struct ce_scene *scene, const char *id)
{
    size_t i;
    json_t *suite = suite_called(scene, id), *run;
    if (!suite || has_ended(suite))
        return;
    (void)json_object_set_new(suite, "lost", json_true());
    json_array_foreach(json_object_get(suite, "runs"), i, run)
    {
        if (strcmp(text_in(run, "state"), "running") == 0)
            measure(scene, run, CE_METRIC_LOST, NULL);
        if (strcmp(text_in(run, "state"), "ended") == 0)
            continue;
        (void)json_object_set_new(run, "state", json_string("ended"));
        (void)json_object_set_new(run, "status", json_string("lost"));
    }
    end(scene, suite, NULL);
}

void ce_scene_name(struct ce_scene *scene, const char *id, const char *document)
{
    json_t *suite = suite_called(scene, id);
    if (suite)
        (void)json_object_set_new(suite, "document", json_string(document));
}
