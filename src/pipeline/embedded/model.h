/* SPDX-License-Identifier: MIT */
/* A trained model: how a customer becomes numbers, and what the numbers weigh.
 *
 * The vector of a customer: the standardised numbers, a 0 or 1 for every value of every category,
 * and a constant 1. A feature that a model does not use is 0 in its vectors. */
#ifndef CE_PIPELINE_EMBEDDED_MODEL_H
#define CE_PIPELINE_EMBEDDED_MODEL_H

#include "base/hash.h"
#include "pipeline/embedded/dataset.h"

enum { CE_VECTOR = CE_NUMBERS + CE_CATEGORIES * CE_CATEGORY_VALUES_MAX + 1 };

/* What training saw of a numeric column. */
struct ce_number_stats {
    double fill;          /* the median: stands in for what is missing */
    double center, scale; /* mean and standard deviation */
    double min, max;
};

enum ce_task {
    CE_TASK_CLASSIFY = 0, /* logistic regression: the probability of churn */
    CE_TASK_REGRESS,      /* spend */
};

struct ce_model {
    char name[16], version[4];
    enum ce_task task;
    bool uses_number[CE_NUMBERS], uses_category[CE_CATEGORIES];
    struct ce_number_stats numbers[CE_NUMBERS];
    int category_fill[CE_CATEGORIES]; /* the most frequent value */
    double weights[CE_VECTOR];
    double quality; /* on rows kept from training: accuracy, or R2 of a regression */
    char dataset_sha256[CE_SHA256_HEX];
};

/* All models that the pipeline serves, in the order of this list; the first of a name is the one it
 * serves by default. */
enum ce_model_index {
    CE_MODEL_CHURN_2 = 0, /* all features */
    CE_MODEL_CHURN_1,     /* an older one: fewer features, a little worse; the fallback */
    CE_MODEL_SPEND_1,
    CE_MODEL_COUNT_,
};
/* Name, version, task and features of each; nothing learnt yet. */
extern const struct ce_model ce_model_blanks[CE_MODEL_COUNT_];

/* Index of a model, or -1; `version` NULL: the default one. Texts need no NUL. */
int ce_model_find(const char *name, size_t name_size, const char *version, size_t version_size);

void ce_model_vector(const struct ce_model *model, const struct ce_sample *sample,
                     double ret_vector[CE_VECTOR]);
/* A probability, or the amount to be spent. NaN where a number that the model uses is NaN. */
double ce_model_predict(const struct ce_model *model, const struct ce_sample *sample);

/* `folder`/churn-2.json and so on. */
int ce_model_save(const struct ce_model *model, const char *folder, struct ce_error *err);
int ce_model_load(enum ce_model_index which, const char *folder, struct ce_model *ret_model,
                  struct ce_error *err);
/* All of them, or none. */
int ce_models_load(const char *folder, struct ce_model ret_models[CE_MODEL_COUNT_],
                   struct ce_error *err);

#endif
