/* SPDX-License-Identifier: MIT */
/* What a trial reports: a JSON object, of which every number counts. */
#ifndef CE_PIPELINE_COMMAND_METRICS_H
#define CE_PIPELINE_COMMAND_METRICS_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

/* The numbers in a JSON object, {name: number}; one in an object within it is called "outer.inner".
 * `source` is what messages call the text. */
int ce_metrics_parse(const char *text, size_t size, const char *source, json_t **ret_metrics,
                     struct ce_error *err);
/* Takes that one out of them: what the trial calls its accuracy. -ENOENT: there is none of that
 * name, and the error lists those that there are; -ERANGE: it cannot be an accuracy. */
int ce_metrics_take_accuracy(json_t *metrics, const char *name, double *ret_accuracy,
                             struct ce_error *err);
/* The last line that is not blank. */
void ce_metrics_last_line(const char *text, size_t size, const char **ret_line, size_t *ret_size);

#endif
