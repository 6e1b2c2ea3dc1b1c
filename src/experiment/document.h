/* SPDX-License-Identifier: MIT */
/* The experiment document: YAML in, validated experiments out. Every message has file:line:column.
 */
#ifndef CE_EXPERIMENT_DOCUMENT_H
#define CE_EXPERIMENT_DOCUMENT_H

#include "chaoseater.h"
#include "faults/fault.h"
#include "pipeline/pipeline.h"
#include "target/target.h"

struct ce_experiment {
    char *name;
    int layer;        /* enum ce_layer */
    char *fault_type; /* as written; `fault` has it resolved */
    const struct ce_fault *fault;
    void *params;     /* the fault's parameter struct */
    int64_t duration; /* ns */
    int strategy;     /* enum ce_strategy */
    bool has_seed;
    int64_t seed;
    int64_t baseline; /* ns; length of the baseline phase */
    int64_t recovery_timeout;
    int64_t repeat;
    struct ce_names tags;
    struct ce_target_spec target;
    bool left_out; /* by --only */
};

enum ce_strategy {
    CE_STRATEGY_AUTO = 0,
    CE_STRATEGY_IMMEDIATE,
};
const char *ce_strategy_name(enum ce_strategy strategy);

/* Read access for those who run it; after ce_document_validate(). */
const struct ce_experiment *ce_document_experiment(const struct ce_document *doc,
                                                   size_t i); /* NULL past the last */
/* Whether the document states a seed, and which. */
bool ce_document_seed(const struct ce_document *doc, uint64_t *ret_seed);
const struct ce_pipeline_spec *ce_document_pipeline(const struct ce_document *doc);
/* ce_pipeline_check() with the place of what is wrong: looks at the files that the pipeline's keys
 * name, which validation does not. */
int ce_document_check_pipeline(const struct ce_document *doc, struct ce_error *err);

#endif
