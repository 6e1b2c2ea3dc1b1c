/* SPDX-License-Identifier: MIT */
/* The GPU that the model server computes on where the run is about one: the CUDA driver's first
 * device, or that of the stand-in driver that the pipeline brings for hosts without one. It is
 * asked for before each inference; the arithmetic is the processor's either way, so an answer is
 * the same with and without.
 *
 * naive: no device, no answer (503). hardened: computes without it. */
#ifndef CE_PIPELINE_EMBEDDED_ACCELERATOR_H
#define CE_PIPELINE_EMBEDDED_ACCELERATOR_H

#include <stdbool.h>

#include "base/error.h"

struct ce_accelerator;
/* *ret_accelerator is NULL when the run is not about one. As long as the process. */
int ce_accelerator_open(struct ce_accelerator **ret_accelerator, struct ce_error *err);
/* Whether an inference may be computed: there is a device with memory, or `without` one will do,
 * which is counted. One thread. */
bool ce_accelerator_allows(struct ce_accelerator *accelerator, bool without);
/* {"accelerator", "device", "available", "without"}, to be freed; NULL: no memory. */
char *ce_accelerator_text(struct ce_accelerator *accelerator);

#endif
