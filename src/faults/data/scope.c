/* SPDX-License-Identifier: MIT */
#include "faults/data/scope.h"

#include <string.h>

#include "base/cleanup.h"
#include "data/predicate.h"

const struct ce_choice ce_stages[] = {
    {"train", CE_STAGE_TRAIN, "in the dataset, before the pipeline trains on it again"},
    {"serve", CE_STAGE_SERVE, "in live requests, before the pipeline sees them"},
    {NULL, 0, NULL},
};

/* "mcar", "mar", "mar(COLUMN)", "mnar"; the column within the text, size 0: none is named. */
static int parse_mechanism(const char *text, enum ce_mechanism *ret_mechanism,
                           const char **ret_column, size_t *ret_size, struct ce_error *err)
{
    size_t size = text ? strlen(text) : 0;
    *ret_column = "";
    *ret_size = 0;
    if (size == 0 || strcmp(text, "mcar") == 0) {
        *ret_mechanism = CE_MCAR;
    } else if (strcmp(text, "mnar") == 0) {
        *ret_mechanism = CE_MNAR;
    } else if (strcmp(text, "mar") == 0) {
        *ret_mechanism = CE_MAR;
    } else if (size > strlen("mar()") && strncmp(text, "mar(", 4) == 0 && text[size - 1] == ')') {
        *ret_mechanism = CE_MAR;
        *ret_column = text + strlen("mar(");
        *ret_size = size - strlen("mar()");
    } else {
        char shown[CE_TEXT_SHOWN_SIZE];
        ce_text_show(text, shown);
        return ce_fail(err, EINVAL, "mechanism: '%s' is not one of mcar, mar, mar(COLUMN), mnar",
                       shown);
    }
    return 0;
}

/* In live requests a value comes without its row, and nobody knows how many will come. */
static int check_serve(const struct ce_scope_params *scope, enum ce_mechanism mechanism,
                       struct ce_error *err)
{
    const char *culprit = scope->where ? "where" : scope->exact ? "exact" : "mechanism";
    if (scope->where || scope->exact || mechanism != CE_MCAR)
        return ce_fail(err, EINVAL,
                       "%s: needs the whole table, so it goes with stage: train, not with "
                       "stage: serve",
                       culprit);
    return 0;
}

int ce_scope_check(const struct ce_scope_params *scope, enum ce_mutation_kind kind,
                   struct ce_error *err)
{
    enum ce_mechanism mechanism;
    const char *column;
    size_t size;
    CE_TRY(parse_mechanism(scope->mechanism, &mechanism, &column, &size, err));
    if (mechanism == CE_MNAR && kind != CE_MUTATE_CELLS)
        return ce_fail(err, EINVAL,
                       "mechanism: a row has no value of its own for mnar; mar(COLUMN) names one");
    /* A table without that row leaves both at zero. */
    if (!scope->nested && scope->mechanism)
        return ce_fail(err, EINVAL,
                       "nested: who is hit at a lower rate is always hit at a higher one; 'false' "
                       "is not on offer");
    if (scope->stage == CE_STAGE_SERVE)
        return check_serve(scope, mechanism, err);
    if (!scope->where)
        return 0;
    struct ce_predicate *predicate;
    CE_TRY(ce_predicate_parse(scope->where, &predicate, err));
    ce_predicate_free(predicate);
    return 0;
}

int ce_scope_begin(const struct ce_scope_params *scope, const struct ce_dose *dose,
                   const char *fault, enum ce_mutation_kind kind, double rate, size_t ctx_size,
                   struct ce_mutation *ret_mutation, struct ce_error *err)
{
    enum ce_mechanism mechanism;
    const char *column;
    size_t size;
    CE_TRY(parse_mechanism(scope->mechanism, &mechanism, &column, &size, err));
    /* The name lies behind the context, which is freed as one piece. */
    char *ctx = calloc(1, ctx_size + size + 1);
    if (!ctx)
        return ce_fail_memory(err);
    memcpy(ctx + ctx_size, column, size);
    *ret_mutation = (struct ce_mutation){
        .fault = fault,
        .seed = dose->seed,
        .kind = kind,
        .scope = {.rate = rate,
                  .columns = scope->columns,
                  .except = dose->label,
                  .where = scope->where,
                  .mechanism = mechanism,
                  .mar_column = size > 0 ? ctx + ctx_size : NULL,
                  .exact = scope->exact,
                  .radius = dose->radius},
        .ctx = ctx,
        .free_ctx = free,
    };
    return 0;
}

bool ce_takes_numbers(const void *ctx, const struct ce_column_profile *column)
{
    return column->numeric;
}

bool ce_takes_texts(const void *ctx, const struct ce_column_profile *column)
{
    return column->type == CE_TYPE_TEXT;
}
