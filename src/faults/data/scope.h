/* SPDX-License-Identifier: MIT */
/* Where a data fault acts: the parameters that all of them share.
 *
 * A data fault's parameter struct starts with a struct ce_scope_params, and its table ends with
 * those of the rows below that make sense for it. */
#ifndef CE_FAULTS_DATA_SCOPE_H
#define CE_FAULTS_DATA_SCOPE_H

#include "data/mutation.h"
#include "faults/fault.h"

enum ce_stage {
    CE_STAGE_TRAIN = 0,
    CE_STAGE_SERVE,
};
extern const struct ce_choice ce_stages[];

struct ce_scope_params {
    struct ce_names columns;
    char *where, *mechanism;
    bool exact, nested;
    int stage; /* enum ce_stage */
};

/* `s` is the fault's struct, whose first member is `struct ce_scope_params scope`. */
#define CE_SCOPE_PARAM_(s, field, kind, ...)                                                       \
    {                                                                                              \
        .name = #field, .type = kind, .offset = offsetof(s, scope.field), __VA_ARGS__              \
    }
#define CE_SCOPE_COLUMNS(s, text)                                                                  \
    CE_SCOPE_PARAM_(s, columns, CE_PARAM_NAMES, .def = "", .doc = text)
#define CE_SCOPE_WHERE(s)                                                                          \
    CE_SCOPE_PARAM_(s, where, CE_PARAM_TEXT, .def = "",                                            \
                    .doc =                                                                         \
                        "Only rows of which this is true, such as age > 30 and city = 'Paris'.")
#define CE_SCOPE_UNITS(s)                                                                          \
    CE_SCOPE_WHERE(s),                                                                             \
        CE_SCOPE_PARAM_(s, mechanism, CE_PARAM_TEXT, .def = "mcar",                                \
                        .doc = "What decides who is hit: mcar (chance alone), mar or mar(COLUMN) " \
                               "(the value of another column), mnar (the own value)."),            \
        CE_SCOPE_PARAM_(s, exact, CE_PARAM_BOOL, .def = "false",                                   \
                        .doc = "Hit exactly that share, rounded, instead of each by chance."),     \
        CE_SCOPE_PARAM_(s, nested, CE_PARAM_BOOL, .def = "true",                                   \
                        .doc =                                                                     \
                            "Who is hit at a lower rate is hit at a higher one too: always so.")
#define CE_SCOPE_STAGE(s)                                                                          \
    CE_SCOPE_PARAM_(s, stage, CE_PARAM_CHOICE, .choices = ce_stages, .def = "train",               \
                    .doc = "Where the data is changed.")

/* For check: -EINVAL with the parameter at fault. `kind`: rows and layouts have no value of their
 * own. */
int ce_scope_check(const struct ce_scope_params *scope, enum ce_mutation_kind kind,
                   struct ce_error *err);

/* Starts a mutation: its kind, its scope at that rate, the dose's seed and label, and a zeroed
 * context of `ctx_size` bytes, which ce_mutation_done() frees. */
int ce_scope_begin(const struct ce_scope_params *scope, const struct ce_dose *dose,
                   const char *fault, enum ce_mutation_kind kind, double rate, size_t ctx_size,
                   struct ce_mutation *ret_mutation, struct ce_error *err);

/* For `takes`. */
bool ce_takes_numbers(const void *ctx, const struct ce_column_profile *column);
bool ce_takes_texts(const void *ctx, const struct ce_column_profile *column);

#endif
