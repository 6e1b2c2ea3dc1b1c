/* SPDX-License-Identifier: MIT */
/* schema_drift: the columns are not those that the pipeline knows: one more, one less, another
 * name, another order, or numbers that have become texts.
 *
 * A drift of the layout is there or not, whatever the intensity above 0. With type_change the
 * intensity is the share of the rows whose number became a text. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "faults/data/data_fault.h"
#include "faults/data/garble_text.h"

enum drift {
    DRIFT_ADD,
    DRIFT_REMOVE,
    DRIFT_RENAME,
    DRIFT_TYPE,
    DRIFT_REORDER,
};
enum values {
    VALUES_CONSTANT,
    VALUES_RANDOM,
};
enum spelling {
    SPELLING_UNIT,
    SPELLING_LOCALE,
    SPELLING_QUOTED,
};

struct schema {
    struct ce_scope_params scope;
    int drift_type, values, as;
    char *column_name, *old_name, *new_name, *value;
};

static const char new_column[] = "unexpected_column";

static const struct ce_choice drifts[] = {
    {"add_column", DRIFT_ADD, "`column_name` comes last"},
    {"remove_column", DRIFT_REMOVE, "`column_name` is gone"},
    {"rename_column", DRIFT_RENAME, "`old_name` is called `new_name`"},
    {"type_change", DRIFT_TYPE, "the numbers of `column_name` become texts"},
    {"reorder_columns", DRIFT_REORDER, "the same columns in another order"},
    {NULL, 0, NULL},
};
static const struct ce_choice value_kinds[] = {
    {"constant", VALUES_CONSTANT, "`value` in every row"},
    {"random", VALUES_RANDOM, "numbers from 0 to 1"},
    {NULL, 0, NULL},
};
static const struct ce_choice spellings[] = {
    {"unit", SPELLING_UNIT, "12.3 u"},
    {"locale", SPELLING_LOCALE, "12,3"},
    {"quoted", SPELLING_QUOTED, "'12.3'"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_CHOICE(struct schema, drift_type, .choices = drifts, .def = "add_column",
              .doc = "What is different."),
    CE_TEXT(struct schema, column_name, .def = new_column,
            .doc = "The column that is added, removed or changed."),
    CE_TEXT(struct schema, old_name, .def = "", .doc = "The column that is renamed."),
    CE_TEXT(struct schema, new_name, .def = "", .doc = "What it is called then."),
    CE_CHOICE(struct schema, values, .choices = value_kinds, .def = "constant",
              .doc = "What an added column holds."),
    CE_TEXT(struct schema, value, .def = "0", .doc = "The value of an added column."),
    CE_CHOICE(struct schema, as, .choices = spellings, .def = "unit",
              .doc = "How a number is written that has become a text."),
    CE_SCOPE_WHERE(struct schema),
    CE_END_PARAMS,
};

static int schema_check(const void *p, struct ce_error *err)
{
    const struct schema *schema = p;
    bool named = schema->column_name && strcmp(schema->column_name, new_column) != 0;
    if ((schema->drift_type == DRIFT_REMOVE || schema->drift_type == DRIFT_TYPE) && !named)
        return ce_fail(err, EINVAL, "column_name: drift_type: %s needs the name of a column",
                       schema->drift_type == DRIFT_REMOVE ? "remove_column" : "type_change");
    if (schema->drift_type == DRIFT_ADD && !schema->column_name)
        return ce_fail(err, EINVAL, "column_name: an added column needs a name");
    if (schema->drift_type == DRIFT_RENAME && (!schema->old_name || !schema->new_name))
        return ce_fail(err, EINVAL,
                       "%s: drift_type: rename_column needs both old_name and new_name",
                       schema->old_name ? "new_name" : "old_name");
    if (schema->scope.where && schema->drift_type != DRIFT_TYPE)
        return ce_fail(err, EINVAL, "where: goes with drift_type: type_change only");
    return ce_scope_check(&schema->scope, CE_MUTATE_LAYOUT, err);
}

/* ---- an added column ---- */

static int schema_value(const void *ctx, uint64_t row, const struct ce_stream *draws, char *text,
                        size_t size, bool *ret_number)
{
    const struct schema *const *schema = ctx;
    const char *value = (*schema)->value ? (*schema)->value : "";
    double number;
    if ((*schema)->values == VALUES_RANDOM) {
        *ret_number = true;
        /* Whole millionths: the same digits on every machine. */
        return snprintf(text, size, "0.%06u", ce_stream_below(draws, row, 1000000));
    }
    *ret_number = ce_text_number(value, &number) == 0;
    if (value[0] == '\0')
        return -1;
    int n = snprintf(text, size, "%s", value);
    return n < (int)size ? n : (int)size - 1;
}

/* ---- numbers that become texts ---- */

/* Nothing that a reader of numbers takes for one. */
static const char *schema_rewrite(const void *ctx, struct ce_cell *cell)
{
    const struct schema *const *schema = ctx;
    CE_CLEANUP(ce_copy_done) struct ce_copy copy = {0};
    double number;
    if (ce_cell_missing(cell))
        return "missing";
    if (!ce_cell_number(cell, &number))
        return "no number";
    const char *why = ce_copy_cell(cell, 2, &copy);
    if (why)
        return why;
    char *point = memchr(copy.text, '.', copy.size);
    switch ((enum spelling)(*schema)->as) {
    case SPELLING_UNIT:
        memcpy(copy.text + copy.size, " u", 2);
        copy.size += 2;
        break;
    case SPELLING_LOCALE:
        if (point)
            *point = ',';
        else
            memcpy(copy.text + copy.size, ",0", 2);
        copy.size += point ? 0 : 2;
        break;
    case SPELLING_QUOTED:
        memmove(copy.text + 1, copy.text, copy.size);
        copy.text[0] = copy.text[copy.size + 1] = '\'';
        copy.size += 2;
        break;
    }
    return ce_cell_set_text(cell, copy.text, copy.size);
}

/* ---- the mutation ---- */

static int schema_mutate(const void *p, const struct ce_dose *dose,
                         struct ce_mutation *ret_mutation, struct ce_error *err)
{
    static const enum ce_layout_change changes[] = {
        [DRIFT_ADD] = CE_LAYOUT_ADD,
        [DRIFT_REMOVE] = CE_LAYOUT_REMOVE,
        [DRIFT_RENAME] = CE_LAYOUT_RENAME,
        [DRIFT_REORDER] = CE_LAYOUT_REORDER,
    };
    const struct schema *schema = p;
    bool texts = schema->drift_type == DRIFT_TYPE;
    const void **context;
    CE_TRY(ce_scope_begin(&schema->scope, dose, "schema_drift",
                          texts ? CE_MUTATE_CELLS : CE_MUTATE_LAYOUT, dose->intensity,
                          sizeof *context, ret_mutation, err));
    context = ret_mutation->ctx;
    *context = schema;
    if (texts) {
        ret_mutation->scope.columns = (struct ce_names){(char **)&schema->column_name, 1};
        ret_mutation->retypes = true;
        ret_mutation->rewrite = schema_rewrite;
        return 0;
    }
    ret_mutation->change = changes[schema->drift_type];
    ret_mutation->column =
        schema->drift_type == DRIFT_RENAME ? schema->old_name : schema->column_name;
    ret_mutation->name =
        schema->drift_type == DRIFT_RENAME ? schema->new_name : schema->column_name;
    ret_mutation->value = schema_value;
    return 0;
}

const struct ce_fault ce_fault_schema_drift = {
    .name = "schema_drift",
    .summary = "Add, remove, rename, retype or reorder columns of the training data",
    .params = params,
    .params_size = sizeof(struct schema),
    .example = "{drift_type: rename_column, old_name: age, new_name: age_years}",
    .check = schema_check,
    .mutate = schema_mutate,
    CE_DATA_FAULT_CALLBACKS,
};
