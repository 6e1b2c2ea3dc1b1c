/* SPDX-License-Identifier: MIT */
/* What the watched suites have said so far: which goes on, what each of its runs does, and the last
 * ones that have ended. Told by events, it is the document that the API gives as it is, and it
 * keeps the metrics. One thread at a time. */
#ifndef CE_WEB_SCENE_H
#define CE_WEB_SCENE_H

#include <jansson.h>

#include "telemetry/board.h"

enum {
    CE_SCENE_SAMPLES = 240, /* of a run that are kept: two minutes */
    CE_SCENE_ENDED = 16,    /* suites that have ended and are kept */
};

struct ce_scene;
/* `metrics` is borrowed. NULL: out of memory. */
struct ce_scene *ce_scene_new(struct ce_metrics *metrics);
void ce_scene_free(struct ce_scene *scene); /* NULL is fine */

/* An event (docs/events.md). What is none is left alone. */
void ce_scene_hear(struct ce_scene *scene, const json_t *event);
/* Nobody tells of that suite any more. One that has not ended is lost. */
void ce_scene_lose(struct ce_scene *scene, const char *suite);
/* Which document a suite is of. */
void ce_scene_name(struct ce_scene *scene, const char *suite, const char *document);
/* {"suites": [...]}, the newest first. Borrowed. */
const json_t *ce_scene_json(const struct ce_scene *scene);

#endif
