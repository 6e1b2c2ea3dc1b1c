/* SPDX-License-Identifier: MIT */
/* distribution_drift: the values are those of another population than before.
 *
 * m is the magnitude times the shape's weight at the row, mean and sd are those of the column as it
 * was:
 *
 *   shift_and_scale  (x + mean * m) * (1 + m)
 *   noise            x + a normal deviate with m * sd
 *   offset           x + m * sd
 *   scale            x * (1 + m)
 *   resample         the share of `category` in its column moves to `share`
 *   rotation         with probability m a category becomes the next less frequent one, the last
 *                    the first
 *
 * The intensity scales the magnitude, and how far a resampled share is moved. */
#include <math.h>
#include <string.h>

#include "faults/data/data_fault.h"
#include "faults/data/garble.h"

enum what {
    WHAT_SHIFT_AND_SCALE,
    WHAT_NOISE,
    WHAT_OFFSET,
    WHAT_SCALE,
    WHAT_RESAMPLE,
    WHAT_ROTATION,
};
enum shape {
    SHAPE_CONSTANT,
    SHAPE_STEP,
    SHAPE_RAMP,
    SHAPE_SEGMENT,
    SHAPE_SPIKE,
    SHAPE_SINE,
};

struct drift {
    struct ce_scope_params scope;
    double magnitude, share, at, from, to, width, periods;
    int what, shape;
    char *category;
};

static const struct ce_choice whats[] = {
    {"shift_and_scale", WHAT_SHIFT_AND_SCALE, "(x + mean * m) * (1 + m)"},
    {"noise", WHAT_NOISE, "x plus a normal deviate of m standard deviations"},
    {"offset", WHAT_OFFSET, "x plus m standard deviations"},
    {"scale", WHAT_SCALE, "x * (1 + m)"},
    {"resample", WHAT_RESAMPLE, "the share of `category` becomes `share`"},
    {"rotation", WHAT_ROTATION, "a share m of the categories becomes the next one"},
    {NULL, 0, NULL},
};
static const struct ce_choice shapes[] = {
    {"constant", SHAPE_CONSTANT, "all rows alike"},
    {"step", SHAPE_STEP, "from `at` on"},
    {"ramp", SHAPE_RAMP, "grows from nothing at the first row to all of it at the last"},
    {"segment", SHAPE_SEGMENT, "between `from` and `to`"},
    {"spike", SHAPE_SPIKE, "around `at`, falling off to nothing at half the `width`"},
    {"sine", SHAPE_SINE, "comes and goes `periods` times"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_NUMBER(struct drift, magnitude, .min = -1, .max = 1000, .def = "0.5",
              .doc = "How far the values move: m in the formulas."),
    CE_CHOICE(struct drift, what, .choices = whats, .def = "shift_and_scale",
              .doc = "How they move."),
    CE_TEXT(struct drift, category, .def = "", .doc = "The category that is resampled."),
    CE_RATE(struct drift, share, .def = "0.5", .doc = "The share that it comes to have."),
    CE_CHOICE(struct drift, shape, .choices = shapes, .def = "constant",
              .doc = "Which rows move, and how much of the way."),
    CE_RATE(struct drift, at, .def = "0.5",
            .doc = "Where a step or spike is, as share of the rows."),
    CE_RATE(struct drift, from, .def = "0.25", .doc = "Where a segment begins."),
    CE_RATE(struct drift, to, .def = "0.75", .doc = "Where a segment ends."),
    CE_RATE(struct drift, width, .def = "0.1", .doc = "How wide a spike is, as share of the rows."),
    CE_NUMBER(struct drift, periods, .min = 0.001, .max = 1e6, .def = "1",
              .doc = "How many periods a sine has over all rows."),
    CE_SCOPE_COLUMNS(struct drift, "Columns that move; else all numeric ones but the label (those "
                                   "with categories, for resample and rotation)."),
    CE_SCOPE_WHERE(struct drift),
    CE_SCOPE_STAGE(struct drift),
    CE_END_PARAMS,
};

static int drift_check(const void *p, struct ce_error *err)
{
    const struct drift *drift = p;
    if ((drift->what == WHAT_RESAMPLE) != (drift->category != NULL))
        return ce_fail(err, EINVAL, "category: goes with what: resample, which needs one");
    if (drift->shape != SHAPE_CONSTANT && drift->scope.stage == CE_STAGE_SERVE)
        return ce_fail(err, EINVAL,
                       "shape: needs the whole table, so it goes with stage: train, not with "
                       "stage: serve");
    if (drift->shape == SHAPE_SEGMENT && drift->from >= drift->to)
        return ce_fail(err, EINVAL, "from: %g is not before to: %g", drift->from, drift->to);
    if (drift->shape == SHAPE_SPIKE && drift->width == 0)
        return ce_fail(err, EINVAL, "width: a spike of width 0 hits no row");
    return ce_scope_check(&drift->scope, CE_MUTATE_CELLS, err);
}

static bool drift_is_control(const void *p)
{
    const struct drift *drift = p;
    return drift->magnitude == 0 && drift->what != WHAT_RESAMPLE;
}

/* ---- over the rows ---- */

struct context {
    const struct drift *drift;
    double intensity, rows;
};

/* (1 - cos(2 pi x)) / 2 without libm, whose last bits differ from machine to machine: the sine's
 * series on a quarter wave, squared. */
static double swing(double x)
{
    static const double pi = 3.14159265358979323846;
    x -= floor(x);
    double y = pi * (x > 0.5 ? 1 - x : x), term = y, sine = 0;
    for (int i = 1; i <= 21; i += 2) {
        sine += term;
        term *= -y * y / ((i + 1) * (i + 2));
    }
    return sine * sine;
}

/* How much of the drift a row gets: 0..1. */
static double weight_at(const struct context *context, uint64_t row)
{
    const struct drift *drift = context->drift;
    double at = ((double)row + 0.5) / context->rows;
    switch ((enum shape)drift->shape) {
    case SHAPE_CONSTANT:
        return 1;
    case SHAPE_STEP:
        return at >= drift->at;
    case SHAPE_RAMP:
        return at < 1 ? at : 1;
    case SHAPE_SEGMENT:
        return at >= drift->from && at < drift->to;
    case SHAPE_SPIKE: {
        double height = 1 - fabs(at - drift->at) / (drift->width / 2);
        return height > 0 ? height : 0;
    }
    case SHAPE_SINE:
        return swing(at * drift->periods);
    }
    return 0;
}

static int drift_prepare(void *ctx, const struct ce_profile *profile, struct ce_error *err)
{
    struct context *context = ctx;
    context->rows = profile->rows > 0 ? (double)profile->rows : 1;
    if (profile->partial && context->drift->shape != SHAPE_CONSTANT)
        return ce_fail(err, EINVAL,
                       "shape: needs the number of rows, and only the beginning of the input could "
                       "be looked at");
    return 0;
}

/* ---- values ---- */

static const char *move_number(const struct drift *drift, double m, struct ce_cell *cell)
{
    double value, mean = cell->profile->mean, sd = cell->profile->sd;
    uint64_t words[2];
    if (!ce_cell_number(cell, &value))
        return "no number";
    double old = value;
    if (drift->what == WHAT_SHIFT_AND_SCALE)
        value = (value + mean * m) * (1 + m);
    else if (drift->what == WHAT_OFFSET)
        value += m * sd;
    else if (drift->what == WHAT_SCALE)
        value *= 1 + m;
    else {
        ce_cell_draw(cell, words);
        value += m * sd * ce_normal_from(words[0]);
    }
    return value == old ? "no change" : ce_cell_set_number(cell, value, CE_FIT_NEAREST);
}

/* Moves the share of the category from what it was towards the one that is asked for: the surplus
 * is drawn from those that have it, or from those that have not. */
static const char *resample(const struct drift *drift, double way, struct ce_cell *cell)
{
    const struct ce_column_profile *column = cell->profile;
    const char *why = NULL;
    uint64_t words[2], total = 0;
    int own = ce_category_of(cell, &why), wanted = -1;
    if (own < 0)
        return why;
    for (size_t i = 0; i < column->category_count; i++) {
        total += column->categories[i].count;
        if (strcmp(column->categories[i].text, drift->category) == 0)
            wanted = (int)i;
    }
    if (wanted < 0)
        return "no such category in the column";
    double share = (double)column->categories[wanted].count / (double)total;
    double target = share + (drift->share - share) * way;
    bool grows = target > share;
    if (grows == (own == wanted))
        return "not drawn";
    ce_cell_draw(cell, words);
    double chance = grows ? (target - share) / (1 - share) : (share - target) / share;
    if (!(ce_uniform_from(words[1]) < chance))
        return "not drawn";
    return grows ? ce_category_set(cell, (size_t)wanted)
                 : ce_garble_category(cell, CE_WEIGH_FREQUENCY);
}

static const char *rotate(double m, struct ce_cell *cell)
{
    const char *why = NULL;
    uint64_t words[2];
    int own = ce_category_of(cell, &why);
    if (own < 0)
        return why;
    if (cell->profile->category_count < 2)
        return "no other category";
    ce_cell_draw(cell, words);
    if (!(ce_uniform_from(words[0]) < fabs(m)))
        return "not drawn";
    return ce_category_set(cell, ((size_t)own + 1) % cell->profile->category_count);
}

static const char *drift_rewrite(const void *ctx, struct ce_cell *cell)
{
    const struct context *context = ctx;
    const struct drift *drift = context->drift;
    double way = context->intensity * weight_at(context, cell->row->ordinal);
    if (ce_cell_missing(cell))
        return "missing";
    if (way == 0)
        return "outside the shape";
    if (drift->what == WHAT_RESAMPLE)
        return resample(drift, way, cell);
    if (drift->what == WHAT_ROTATION)
        return rotate(way * drift->magnitude, cell);
    return move_number(drift, way * drift->magnitude, cell);
}

static bool drift_takes(const void *ctx, const struct ce_column_profile *column)
{
    const struct context *context = ctx;
    if (context->drift->what == WHAT_RESAMPLE || context->drift->what == WHAT_ROTATION)
        return column->category_count > 1 && !column->numeric;
    return column->numeric;
}

static int drift_mutate(const void *p, const struct ce_dose *dose, struct ce_mutation *ret_mutation,
                        struct ce_error *err)
{
    const struct drift *drift = p;
    bool categories = drift->what == WHAT_RESAMPLE || drift->what == WHAT_ROTATION;
    bool moves = dose->intensity > 0 && !drift_is_control(p);
    struct context *context;
    CE_TRY(ce_scope_begin(&drift->scope, dose, "distribution_drift", CE_MUTATE_CELLS, moves,
                          sizeof *context, ret_mutation, err));
    context = ret_mutation->ctx;
    context->drift = drift;
    context->intensity = dose->intensity;
    ret_mutation->needs = categories ? CE_STAT_CATEGORIES : CE_STAT_MOMENTS;
    ret_mutation->numbers_only = !categories;
    ret_mutation->prepare = drift_prepare;
    ret_mutation->takes = drift_takes;
    ret_mutation->rewrite = drift_rewrite;
    return 0;
}

const struct ce_fault ce_fault_distribution_drift = {
    .name = "distribution_drift",
    .summary = "Move the distribution of columns, in training data or live requests",
    .params = params,
    .params_size = sizeof(struct drift),
    .example = "{magnitude: 0.5, what: offset, shape: ramp}",
    .check = drift_check,
    .is_control = drift_is_control,
    .mutate = drift_mutate,
    CE_DATA_FAULT_CALLBACKS,
};
