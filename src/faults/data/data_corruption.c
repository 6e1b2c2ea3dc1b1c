/* SPDX-License-Identifier: MIT */
/* data_corruption: a share of the values is wrong, in one of the ways in which data goes wrong.
 *
 * By default a number is moved by a normal deviate with its column's standard deviation, and keeps
 * its form: decimals, leading zeros, exponent, quotes; a text, if its column is named, gets a
 * typing error. What is missing is skipped. The intensity scales the rate. */
#include <string.h>

#include "faults/data/data_fault.h"
#include "faults/data/garble.h"

enum kind {
    KIND_AUTO,
    KIND_NOISE,
    KIND_TYPO,
    KIND_SWAP,
    KIND_WRONG_UNIT,
    KIND_MOJIBAKE,
    KIND_MISTYPE,
    KIND_BIT_FLIP,
    KIND_TRUNCATE,
    KIND_PERMUTE,
    KIND_CATEGORY_SWAP,
};

struct corruption {
    struct ce_scope_params scope;
    double corruption_rate, scale, factor;
    int64_t period;
    int kind, as, weighing;
    char *with, *separator;
};

static const struct ce_choice kinds[] = {
    {"auto", KIND_AUTO, "noise for numbers, typo for texts"},
    {"noise", KIND_NOISE, "a number plus a normal deviate"},
    {"typo", KIND_TYPO, "a neighbouring key"},
    {"swap", KIND_SWAP, "the value and that of another column of its row change places"},
    {"wrong_unit", KIND_WRONG_UNIT, "a number in another unit"},
    {"mojibake", KIND_MOJIBAKE, "UTF-8 read as Windows-1252"},
    {"mistype", KIND_MISTYPE, "a whole number as 73.0, others with a comma, true as 1"},
    {"bit_flip", KIND_BIT_FLIP, "one bit of a number's double, or of a letter"},
    {"truncate", KIND_TRUNCATE, "the end is cut off"},
    {"permute", KIND_PERMUTE, "the parts of a text in another order"},
    {"category_swap", KIND_CATEGORY_SWAP, "another of the column's categories"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_RATE(struct corruption, corruption_rate, .def = "0.1",
            .doc = "Share of the cells that become wrong."),
    CE_SCOPE_COLUMNS(struct corruption,
                     "Columns that are hit, texts too; else all numeric ones but the label (the "
                     "texts, for kinds that are about texts)."),
    CE_CHOICE(struct corruption, kind, .choices = kinds, .def = "auto",
              .doc = "In which way they are wrong."),
    CE_NUMBER(struct corruption, scale, .min = 0.001, .max = 1000, .def = "1.0", .unit = "sd",
              .doc = "Standard deviation of the noise."),
    CE_INTEGER(struct corruption, period, .min = 1, .max = 1e6, .def = "10", .unit = "characters",
               .doc = "One typing error in so many, at least one."),
    CE_TEXT(struct corruption, with, .def = "",
            .doc = "The column that the others swap their values with."),
    CE_NUMBER(struct corruption, factor, .min = -1e9, .max = 1e9, .def = "10",
              .doc = "What a wrong unit multiplies by."),
    CE_CHOICE(struct corruption, as, .choices = ce_mistypes, .def = "auto",
              .doc = "What a mistyped number looks like."),
    CE_TEXT(struct corruption, separator, .def = " ",
            .doc = "What stands between the parts that are permuted."),
    CE_CHOICE(struct corruption, weighing, .choices = ce_weighings, .def = "uniform",
              .doc = "How likely each other category is."),
    CE_SCOPE_UNITS(struct corruption),
    CE_SCOPE_STAGE(struct corruption),
    CE_END_PARAMS,
};

static int corruption_check(const void *p, struct ce_error *err)
{
    const struct corruption *corruption = p;
    if (corruption->kind == KIND_SWAP && !corruption->with)
        return ce_fail(err, EINVAL, "with: kind: swap needs the column to swap with");
    if (corruption->kind != KIND_SWAP && corruption->with)
        return ce_fail(err, EINVAL, "with: goes with kind: swap only");
    if (corruption->kind == KIND_SWAP && corruption->scope.stage == CE_STAGE_SERVE)
        return ce_fail(err, EINVAL,
                       "kind: swap needs the row's other cells, so it goes with stage: train");
    if (corruption->kind == KIND_PERMUTE && !corruption->separator)
        return ce_fail(err, EINVAL, "separator: kind: permute needs one");
    return ce_scope_check(&corruption->scope, CE_MUTATE_CELLS, err);
}

static bool corruption_is_control(const void *p)
{
    const struct corruption *corruption = p;
    return corruption->corruption_rate == 0;
}

/* ---- the mutation ---- */

struct context {
    const struct corruption *corruption;
    size_t with; /* index of the column */
};

static int corruption_prepare(void *ctx, const struct ce_profile *profile, struct ce_error *err)
{
    struct context *context = ctx;
    const char *with = context->corruption->with;
    const struct ce_column_profile *column = ce_profile_column(profile, with);
    if (!column)
        return ce_fail(err, ENOENT, "with: there is no column '%s'", with);
    context->with = (size_t)(column - profile->columns);
    return 0;
}

static bool corruption_takes(const void *ctx, const struct ce_column_profile *column)
{
    const struct context *context = ctx;
    switch (context->corruption->kind) {
    case KIND_TYPO:
    case KIND_MOJIBAKE:
    case KIND_TRUNCATE:
    case KIND_PERMUTE:
        return column->type == CE_TYPE_TEXT;
    case KIND_CATEGORY_SWAP:
        return column->category_count > 1 && !column->numeric;
    default:
        return column->numeric;
    }
}

static const char *corruption_rewrite(const void *ctx, struct ce_cell *cell)
{
    const struct context *context = ctx;
    const struct corruption *corruption = context->corruption;
    if (ce_cell_missing(cell))
        return "missing";
    switch ((enum kind)corruption->kind) {
    case KIND_AUTO:
        return cell->profile->numeric ? ce_garble_noise(cell, corruption->scale)
                                      : ce_garble_typo(cell, corruption->period);
    case KIND_NOISE:
        return ce_garble_noise(cell, corruption->scale);
    case KIND_TYPO:
        return ce_garble_typo(cell, corruption->period);
    case KIND_SWAP:
        return ce_garble_swap(cell, context->with);
    case KIND_WRONG_UNIT:
        return ce_garble_unit(cell, corruption->factor);
    case KIND_MOJIBAKE:
        return ce_garble_encoding(cell);
    case KIND_MISTYPE:
        return ce_garble_type(cell, (enum ce_mistype)corruption->as);
    case KIND_BIT_FLIP:
        return ce_garble_bit(cell);
    case KIND_TRUNCATE:
        return ce_garble_end(cell);
    case KIND_PERMUTE:
        return ce_garble_order(cell, corruption->separator);
    case KIND_CATEGORY_SWAP:
        return ce_garble_category(cell, (enum ce_weighing)corruption->weighing);
    }
    return "no change";
}

static int corruption_mutate(const void *p, const struct ce_dose *dose,
                             struct ce_mutation *ret_mutation, struct ce_error *err)
{
    const struct corruption *corruption = p;
    struct context *context;
    CE_TRY(ce_scope_begin(&corruption->scope, dose, "data_corruption", CE_MUTATE_CELLS,
                          corruption->corruption_rate * dose->intensity, sizeof *context,
                          ret_mutation, err));
    context = ret_mutation->ctx;
    context->corruption = corruption;
    ret_mutation->needs =
        corruption->kind == KIND_CATEGORY_SWAP ? CE_STAT_CATEGORIES : CE_STAT_MOMENTS;
    ret_mutation->numbers_only =
        corruption->kind == KIND_NOISE || corruption->kind == KIND_WRONG_UNIT;
    ret_mutation->prepare = corruption->kind == KIND_SWAP ? corruption_prepare : NULL;
    ret_mutation->retypes = corruption->kind == KIND_MISTYPE;
    ret_mutation->takes = corruption_takes;
    ret_mutation->rewrite = corruption_rewrite;
    return 0;
}

const struct ce_fault ce_fault_data_corruption = {
    .name = "data_corruption",
    .summary = "Falsify a share of the cells, in the training data or in live requests",
    .params = params,
    .params_size = sizeof(struct corruption),
    .example = "{corruption_rate: 0.1, columns: [age, monthly_charge]}",
    .check = corruption_check,
    .is_control = corruption_is_control,
    .mutate = corruption_mutate,
    CE_DATA_FAULT_CALLBACKS,
};
