/* SPDX-License-Identifier: MIT */
/* duplicate_records: a share of the rows is there twice.
 *
 * A copy stands at the end, next to its original, or somewhere further down. An exact one has the
 * original's bytes; a near one differs in one text, which is what deduplication by equality does
 * not find. The intensity scales the rate. */
#include "faults/data/data_fault.h"
#include "faults/data/garble.h"

enum kind {
    KIND_EXACT,
    KIND_NEAR,
};
enum variation {
    VARIATION_ANY,
    VARIATION_TYPO,
    VARIATION_CASE,
    VARIATION_PUNCTUATION,
};

struct duplicate {
    struct ce_scope_params scope;
    double duplication_rate;
    int kind, variation, place;
};

static const struct ce_choice kinds[] = {
    {"exact", KIND_EXACT, "the same bytes"},
    {"near", KIND_NEAR, "one text of the copy is written in another way"},
    {NULL, 0, NULL},
};
static const struct ce_choice variations[] = {
    {"any", VARIATION_ANY, "one of the others, by chance"},
    {"typo", VARIATION_TYPO, "a typing error"},
    {"case", VARIATION_CASE, "capitals"},
    {"punctuation", VARIATION_PUNCTUATION, "without punctuation, or with a full stop"},
    {NULL, 0, NULL},
};
static const struct ce_choice places[] = {
    {"end", CE_PLACE_END, "after the last row"},
    {"next", CE_PLACE_NEXT, "right behind the original"},
    {"shuffled", CE_PLACE_SHUFFLED, "somewhere further down"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_RATE(struct duplicate, duplication_rate, .def = "0.1",
            .doc = "Share of the rows that are repeated."),
    CE_CHOICE(struct duplicate, kind, .choices = kinds, .def = "exact",
              .doc = "How like its original a copy is."),
    CE_CHOICE(struct duplicate, variation, .choices = variations, .def = "any",
              .doc = "In what a near copy differs."),
    CE_CHOICE(struct duplicate, place, .choices = places, .def = "end",
              .doc = "Where the copies stand."),
    CE_SCOPE_UNITS(struct duplicate),
    CE_END_PARAMS,
};

static int duplicate_check(const void *p, struct ce_error *err)
{
    const struct duplicate *duplicate = p;
    if (duplicate->kind == KIND_EXACT && duplicate->variation != VARIATION_ANY)
        return ce_fail(err, EINVAL, "variation: goes with kind: near only");
    return ce_scope_check(&duplicate->scope, CE_MUTATE_ROWS, err);
}

static bool duplicate_is_control(const void *p)
{
    const struct duplicate *duplicate = p;
    return duplicate->duplication_rate == 0;
}

/* ---- near copies ---- */

static int duplicate_prepare(void *ctx, const struct ce_profile *profile, struct ce_error *err)
{
    for (size_t i = 0; i < profile->column_count; i++)
        if (ce_takes_texts(ctx, &profile->columns[i]))
            return 0;
    return ce_fail(err, ENODATA, "kind: near needs a column of texts, and there is none");
}

static const char *duplicate_rewrite(const void *ctx, struct ce_cell *cell)
{
    const enum variation *variation = ctx;
    uint64_t words[2];
    if (ce_cell_missing(cell))
        return "missing";
    ce_cell_draw(cell, words);
    enum variation way = *variation;
    if (way == VARIATION_ANY)
        way = (enum variation)(VARIATION_TYPO + words[1] % 3);
    const char *why = way == VARIATION_CASE          ? ce_garble_case(cell)
                      : way == VARIATION_PUNCTUATION ? ce_garble_punctuation(cell)
                                                     : "";
    /* What has no letters or is nothing but punctuation still has a key to miss. */
    return why ? ce_garble_typo(cell, INT64_MAX) : NULL;
}

static int duplicate_mutate(const void *p, const struct ce_dose *dose,
                            struct ce_mutation *ret_mutation, struct ce_error *err)
{
    const struct duplicate *duplicate = p;
    enum variation *variation;
    CE_TRY(ce_scope_begin(&duplicate->scope, dose, "duplicate_records", CE_MUTATE_ROWS,
                          duplicate->duplication_rate * dose->intensity, sizeof *variation,
                          ret_mutation, err));
    variation = ret_mutation->ctx;
    *variation = (enum variation)duplicate->variation;
    ret_mutation->fate = CE_ROW_COPY;
    ret_mutation->place = (enum ce_row_place)duplicate->place;
    if (duplicate->kind == KIND_NEAR) {
        ret_mutation->needs = CE_STAT_MOMENTS;
        ret_mutation->prepare = duplicate_prepare;
        ret_mutation->takes = ce_takes_texts;
        ret_mutation->rewrite = duplicate_rewrite;
    }
    return 0;
}

const struct ce_fault ce_fault_duplicate_records = {
    .name = "duplicate_records",
    .summary = "Repeat a share of the rows of the training data, exactly or nearly",
    .params = params,
    .params_size = sizeof(struct duplicate),
    .example = "{duplication_rate: 0.1, kind: near, place: shuffled}",
    .check = duplicate_check,
    .is_control = duplicate_is_control,
    .mutate = duplicate_mutate,
    CE_DATA_FAULT_CALLBACKS,
};
