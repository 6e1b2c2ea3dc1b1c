/* SPDX-License-Identifier: MIT */
/* label_noise: a share of the labels is wrong: another class stands there.
 *
 * Which one is drawn alike among the others, or by a confusion matrix, "cat>dog:0.3, cat>fox:0.1":
 * of the chosen labels that are cat, 0.3 become dog and 0.1 fox; the rest, and classes that it does
 * not name, stay. With noise_rate: 1 its numbers are those of the data. The intensity scales the
 * rate. */
#include <string.h>

#include "base/cleanup.h"
#include "faults/data/data_fault.h"
#include "faults/data/garble.h"

struct noise {
    struct ce_scope_params scope;
    double noise_rate;
    char *confusion;
};

static const struct ce_param params[] = {
    CE_RATE(struct noise, noise_rate, .def = "0.1", .doc = "Share of the labels that are flipped."),
    CE_SCOPE_COLUMNS(struct noise, "Columns that hold labels; the dataset's own when none is "
                                   "named."),
    CE_TEXT(struct noise, confusion, .def = "",
            .doc = "Which becomes which, such as 0>1:0.3, 1>0:0.1 (shares of the chosen ones); "
                   "else any other alike."),
    CE_SCOPE_UNITS(struct noise),
    CE_END_PARAMS,
};

/* ---- the confusion matrix ---- */

struct flip {
    char *from, *to; /* in the matrix's text */
    double share;
};
struct matrix {
    char *text; /* a copy, cut up */
    struct flip *flips;
    size_t count;
};

static void matrix_done(struct matrix *matrix)
{
    free(matrix->text);
    free(matrix->flips);
}

static char *trim(char *text)
{
    size_t size;
    text += strspn(text, " \t");
    for (size = strlen(text); size > 0 && strchr(" \t", text[size - 1]); size--)
        text[size - 1] = '\0';
    return text;
}

/* "from>to:share" */
static int parse_flip(char *text, struct flip *ret_flip, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(trim(text), shown);
    char *to = strchr(text, '>'), *share = to ? strrchr(to, ':') : NULL;
    if (share) {
        *to++ = '\0';
        *share++ = '\0';
        *ret_flip = (struct flip){.from = trim(text), .to = trim(to)};
    }
    if (!share || ret_flip->from[0] == '\0' || ret_flip->to[0] == '\0' ||
        strcmp(ret_flip->from, ret_flip->to) == 0 ||
        ce_text_number(trim(share), &ret_flip->share) < 0 || ret_flip->share < 0 ||
        ret_flip->share > 1)
        return ce_fail(err, EINVAL,
                       "confusion: '%s' is no flip; expected FROM>TO:SHARE, such as 0>1:0.3",
                       shown);
    return 0;
}

static int check_sums(const struct matrix *matrix, struct ce_error *err)
{
    for (size_t i = 0; i < matrix->count; i++) {
        double sum = 0;
        for (size_t k = 0; k < matrix->count; k++)
            sum += strcmp(matrix->flips[k].from, matrix->flips[i].from) == 0
                       ? matrix->flips[k].share
                       : 0;
        if (sum > 1 + 1e-9)
            return ce_fail(err, EINVAL, "confusion: the shares of '%s' add up to %g, more than 1",
                           matrix->flips[i].from, sum);
    }
    return 0;
}

static int matrix_parse(const char *text, struct matrix *ret_matrix, struct ce_error *err)
{
    CE_CLEANUP(matrix_done) struct matrix matrix = {.text = strdup(text)};
    char *rest = matrix.text, *item;
    size_t most = 1;
    for (const char *p = text; *p; p++)
        most += *p == ',';
    matrix.flips = calloc(most, sizeof *matrix.flips);
    if (!matrix.text || !matrix.flips)
        return ce_fail_memory(err);
    while ((item = strsep(&rest, ",")))
        CE_TRY(parse_flip(item, &matrix.flips[matrix.count++], err));
    CE_TRY(check_sums(&matrix, err));
    *ret_matrix = matrix;
    matrix = (struct matrix){0};
    return 0;
}

/* ---- the fault ---- */

static int noise_check(const void *p, struct ce_error *err)
{
    const struct noise *noise = p;
    CE_CLEANUP(matrix_done) struct matrix matrix = {0};
    if (noise->confusion)
        CE_TRY(matrix_parse(noise->confusion, &matrix, err));
    return ce_scope_check(&noise->scope, CE_MUTATE_CELLS, err);
}

static bool noise_is_control(const void *p)
{
    const struct noise *noise = p;
    return noise->noise_rate == 0;
}

struct context {
    struct matrix matrix; /* empty: any other class */
    char *label;
};

static void context_free(void *ctx)
{
    struct context *context = ctx;
    matrix_done(&context->matrix);
    free(context->label);
    free(context);
}

static const char *set_by_matrix(const struct matrix *matrix, struct ce_cell *cell)
{
    const struct ce_column_profile *column = cell->profile;
    const char *why = NULL;
    int own = ce_category_of(cell, &why);
    if (own < 0)
        return why;
    uint64_t words[2];
    ce_cell_draw(cell, words);
    double left = ce_uniform_from(words[0]);
    const char *from = column->categories[own].text;
    for (size_t i = 0; i < matrix->count; i++) {
        const struct flip *flip = &matrix->flips[i];
        if (strcmp(flip->from, from) != 0)
            continue;
        if (left >= flip->share) {
            left -= flip->share;
            continue;
        }
        for (size_t k = 0; k < column->category_count; k++)
            if (strcmp(column->categories[k].text, flip->to) == 0)
                return ce_category_set(cell, k);
        return ce_cell_set_text(cell, flip->to, strlen(flip->to));
    }
    return "kept by the matrix";
}

static const char *noise_rewrite(const void *ctx, struct ce_cell *cell)
{
    const struct context *context = ctx;
    if (ce_cell_missing(cell))
        return "missing";
    if (context->matrix.count > 0)
        return set_by_matrix(&context->matrix, cell);
    return ce_garble_category(cell, CE_WEIGH_UNIFORM);
}

static int noise_mutate(const void *p, const struct ce_dose *dose, struct ce_mutation *ret_mutation,
                        struct ce_error *err)
{
    const struct noise *noise = p;
    struct context *context;
    if (noise->scope.columns.count == 0 && !dose->label)
        return ce_fail(err, EINVAL, "columns: nobody says which column holds the labels; name it");
    CE_TRY(ce_scope_begin(&noise->scope, dose, "label_noise", CE_MUTATE_CELLS,
                          noise->noise_rate * dose->intensity, sizeof *context, ret_mutation, err));
    context = ret_mutation->ctx;
    ret_mutation->free_ctx = context_free;
    ret_mutation->needs = CE_STAT_CATEGORIES;
    ret_mutation->rewrite = noise_rewrite;
    ret_mutation->scope.except = NULL;
    if (noise->scope.columns.count == 0) {
        context->label = strdup(dose->label);
        ret_mutation->scope.columns = (struct ce_names){&context->label, 1};
    }
    int r = noise->scope.columns.count == 0 && !context->label ? ce_fail_memory(err) : 0;
    if (r == 0 && noise->confusion)
        r = matrix_parse(noise->confusion, &context->matrix, err);
    if (r < 0)
        ce_mutation_done(ret_mutation);
    return r;
}

const struct ce_fault ce_fault_label_noise = {
    .name = "label_noise",
    .summary = "Flip a share of the labels of the training data",
    .params = params,
    .params_size = sizeof(struct noise),
    .example = "{noise_rate: 0.1, confusion: \"0>1:0.5, 1>0:1\"}",
    .check = noise_check,
    .is_control = noise_is_control,
    .mutate = noise_mutate,
    CE_DATA_FAULT_CALLBACKS,
};
