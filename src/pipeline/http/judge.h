/* SPDX-License-Identifier: MIT */
/* What an answer predicts, and whether that is right. docs/measurements.md defines it. */
#ifndef CE_PIPELINE_HTTP_JUDGE_H
#define CE_PIPELINE_HTTP_JUDGE_H

#include "pipeline/http/labelled.h"
#include "pipeline/spec.h"
#include "pipeline/workload.h"

/* A label nearer to 0 than that counts as that far off when a regression is judged. */
#define CE_REGRESSION_LEAST 1e-9

struct ce_judge {
    const struct ce_pipeline_spec *spec;
    const struct ce_protocol *protocol; /* the caller's to set, once it is known */
    bool binary;                        /* every label is 0 or 1, false or true */
    bool numbers;                       /* every label is a number, or such a word */
};

/* Both are borrowed by the judge. -EINVAL: a regression has labels that are no
 * numbers, or a label is none of `labels`. */
int ce_judge_init(struct ce_judge *judge, const struct ce_pipeline_spec *spec,
                  const struct ce_labelled *labelled, struct ce_error *err);
/* Whether predictions of that kind can be compared with the labels at all. */
int ce_judge_check(const struct ce_judge *judge, const struct ce_prediction *prediction,
                   const char *label, struct ce_error *err);

/* For struct ce_operations; `judge` is a struct ce_judge. */
int ce_judge_read(const void *judge, const struct ce_reply *reply,
                  struct ce_prediction *ret_prediction);
bool ce_judge_is_right(const void *judge, const struct ce_prediction *prediction,
                       const struct ce_operation *operation);
/* ce_judge_read() with a sentence. */
int ce_judge_explain(const struct ce_judge *judge, const struct ce_reply *reply,
                     struct ce_prediction *ret_prediction, struct ce_error *err);

#endif
