/* SPDX-License-Identifier: MIT */
/* model_drift: predictions get worse in the course of the run, as those of a model do that the
 * world moves away from.
 *
 * drift_shape.h says how far the drift has come with the n-th prediction; n is the number of its
 * request (all rows of a batch share it). `operator` says what that does to a row; see
 * predictions.h for what a row is. How far a value moves depends on the intensity, whether it is
 * one that moves does not: so a drift that is taken back goes the way that it came.
 *
 * A probe cannot wait until the drift has come to it, so it is given its place: those with an even
 * number count from the beginning ("probe-6" is the fourth prediction), those with an odd one from
 * where the drift is at its height. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "faults/model/distribution.h"
#include "faults/model/drift_shape.h"
#include "faults/model/predictions.h"

enum operation {
    OPERATOR_NOISE = 0,
    OPERATOR_SHIFT,
    OPERATOR_SCALE,
    OPERATOR_BIAS,
    OPERATOR_SWAP,
    OPERATOR_TEMPERATURE,
};

struct drift {
    struct ce_traffic_params traffic;
    double drift_rate, growth, amount;
    int drift_type, operator;
    int64_t position, width, period, class;
    bool keep_range;
    struct ce_names labels;
};

struct drift_state {
    struct ce_traffic traffic;
    const struct drift *params;
    struct ce_drift_shape shape;
    struct ce_recipe concept; /* which predictions of a mixture are of the new concept */
    struct ce_labels labels;
};

/* One answer's worth of it. */
struct job {
    const struct drift *params;
    double degradation;
};

static const struct ce_choice drift_types[] = {
    {"gradual", CE_DRIFT_GRADUAL,
     "a little worse with each prediction, by `growth`; with a `width`: more and more of the "
     "predictions, around `position`, by 1 / (1 + exp(-4 (n - position) / width))"},
    {"sudden", CE_DRIFT_SUDDEN, "all of it from `position` on"},
    {"incremental", CE_DRIFT_INCREMENTAL, "evenly from `position` on, over `width` predictions"},
    {"recurring", CE_DRIFT_RECURRING, "on and off from `position` on, once in each `period`"},
    {NULL, 0, NULL},
};
static const struct ce_choice operators[] = {
    {"noise", OPERATOR_NOISE,
     "N(0, degradation) is added to a score, times its size where that is above 1; a label becomes "
     "another one with that probability"},
    {"shift", OPERATOR_SHIFT,
     "that share of the probability moves to `class`; a label becomes that of `class`"},
    {"scale", OPERATOR_SCALE, "a score is multiplied by 1 + amount * degradation"},
    {"bias", OPERATOR_BIAS, "amount * degradation is added to a score"},
    {"swap", OPERATOR_SWAP,
     "with that probability a label becomes another one, a score 1 - p, and the winner of a "
     "distribution changes places with another class"},
    {"temperature", OPERATOR_TEMPERATURE,
     "probabilities are raised to the power 1 - degradation, so that the model is less sure"},
    {NULL, 0, NULL},
};

#define GROWTH "0.001"
#define PERIOD "100"
static const struct ce_param params[] = {
    CE_RATE(struct drift, drift_rate, .def = "0.1",
            .doc = "Degradation at the height of the drift: the standard deviation of the noise, "
                   "the probability of another label; see `operator`."),
    CE_CHOICE(struct drift, drift_type, .choices = drift_types, .def = "gradual",
              .doc = "How it takes its course."),
    CE_CHOICE(struct drift, operator, .choices = operators, .def = "noise",
              .doc = "What the degradation does to a prediction."),
    CE_RATE(struct drift, growth, .def = GROWTH,
            .doc = "How much a gradual drift without a width adds with each prediction."),
    CE_INTEGER(struct drift, position, .min = 0, .max = 1e9, .def = "0", .unit = "predictions",
               .doc = "Where it begins; of a mixture, where half of the predictions drift."),
    CE_INTEGER(struct drift, width, .min = 0, .max = 1e9, .def = "0", .unit = "predictions",
               .doc = "How long the change takes, incremental or gradual."),
    CE_INTEGER(struct drift, period, .min = 2, .max = 1e9, .def = PERIOD, .unit = "predictions",
               .doc = "Length of a recurring drift's cycle; it is on in the first half."),
    CE_NUMBER(struct drift, amount, .min = -1e9, .max = 1e9, .def = "1",
              .doc = "What `scale` and `bias` take the degradation times."),
    CE_INTEGER(struct drift, class, .min = -1, .max = 1e6, .def = "-1",
               .doc = "Class that `shift` favours, counted from 0; -1 is the last."),
    CE_BOOL(struct drift, keep_range, .def = "true",
            .doc = "Whether `noise` leaves a score that lies in 0..1 within it."),
    CE_NAMES(struct drift, labels, .def = "",
             .doc = "Labels that the model gives, in the order of its classes; learnt from its "
                    "first 100 answers when left out."),
    CE_TRAFFIC_PARAMS(struct drift),
    CE_END_PARAMS,
};

static bool is_mixture(const struct drift *drift)
{
    return drift->drift_type == CE_DRIFT_GRADUAL && drift->width > 0;
}

/* ---- rules across the parameters ---- */

static int check_shape(const struct drift *drift, struct ce_error *err)
{
    int type = drift->drift_type;
    const char *name = drift_types[type].name;
    if (type == CE_DRIFT_INCREMENTAL && drift->width == 0)
        return ce_fail(err, EINVAL, "width: drift_type incremental takes a width of 1 or more");
    if (drift->width > 0 && type != CE_DRIFT_INCREMENTAL && type != CE_DRIFT_GRADUAL)
        return ce_fail(err, EINVAL,
                       "width: only gradual and incremental drift have one, and drift_type is %s",
                       name);
    if (drift->growth != strtod(GROWTH, NULL) && (type != CE_DRIFT_GRADUAL || drift->width > 0))
        return ce_fail(err, EINVAL,
                       "growth: only gradual drift without a width grows by it, and drift_type is "
                       "%s%s",
                       name, is_mixture(drift) ? ", with a width" : "");
    if (drift->period != strtol(PERIOD, NULL, 10) && type != CE_DRIFT_RECURRING)
        return ce_fail(err, EINVAL, "period: only recurring drift has one, and drift_type is %s",
                       name);
    return 0;
}

static int drift_check(const void *p, struct ce_error *err)
{
    const struct drift *drift = p;
    int how = drift->operator;
    const char *name = operators[how].name;
    CE_TRY(check_shape(drift, err));
    if (drift->class >= 0 && how != OPERATOR_SHIFT)
        return ce_fail(err, EINVAL,
                       "class: only operator shift favours a class, and operator is %s", name);
    if (drift->amount != 1 && how != OPERATOR_SCALE && how != OPERATOR_BIAS)
        return ce_fail(err, EINVAL,
                       "amount: only operators scale and bias take one, and operator is %s", name);
    if (!drift->keep_range && how != OPERATOR_NOISE)
        return ce_fail(err, EINVAL, "keep_range: only operator noise keeps it, and operator is %s",
                       name);
    return ce_traffic_check(&drift->traffic, err);
}

static bool drift_is_control(const void *p)
{
    const struct drift *drift = p;
    bool grows = drift->drift_type != CE_DRIFT_GRADUAL || is_mixture(drift) || drift->growth > 0;
    bool moves = drift->amount != 0;
    return drift->drift_rate == 0 || drift->traffic.share == 0 || !grows || !moves;
}

/* ---- what becomes of a row: NULL when it was changed, else the reason why not ---- */

static bool is_probability(double number)
{
    return number >= 0 && number <= 1;
}

static double normal(const struct ce_answer *answer, const struct ce_row *row, size_t i)
{
    uint64_t words[2];
    ce_visit_random(answer->visit, row->unit, i, words);
    return ce_normal_from(words[0]);
}

static const char *noise_score(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                               size_t i)
{
    const struct job *job = ctx;
    double before, after;
    if (!ce_value_number(&row->values[i], &before))
        return "no value";
    double size = fabs(before) > 1 ? fabs(before) : 1;
    after = before + normal(answer, row, i) * job->degradation * size;
    if (job->params->keep_range && is_probability(before))
        after = after < 0 ? 0 : after > 1 ? 1 : after;
    return ce_row_set_number(answer, row, i, after, -1);
}

static const char *another_label(const void *ctx, struct ce_answer *answer,
                                 const struct ce_row *row, size_t i)
{
    return ce_row_set_label(answer, row, i, true);
}

static const char *noise(const struct job *job, struct ce_answer *answer, const struct ce_row *row)
{
    double *p;
    if (ce_row_is_labels(row))
        return ce_row_each(answer, row, another_label, NULL);
    if (!ce_row_is_distribution(answer, row, &p))
        return ce_row_each(answer, row, noise_score, job);
    if (!p)
        return "no memory";
    double sum = ce_distribution_sum(p, row->count);
    for (size_t i = 0; i < row->count; i++)
        p[i] += normal(answer, row, i) * job->degradation;
    return ce_distribution_mend(p, row->count, sum) ? ce_row_set_distribution(answer, row, p)
                                                    : "no change";
}

/* Of two classes, of which the score is that of the second. */
static const char *shift_score(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                               size_t i)
{
    const struct job *job = ctx;
    int64_t favoured = ce_distribution_class(job->params->class, 2);
    double p;
    if (!ce_value_number(&row->values[i], &p) || !is_probability(p))
        return "no probability";
    if (favoured < 0)
        return "no such class";
    return ce_row_set_number(answer, row, i, p + job->degradation * ((double)favoured - p), -1);
}

/* Its name, or its number where labels have no names. */
static const char *shift_label(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                               size_t i)
{
    const struct drift *drift = ((const struct job *)ctx)->params;
    const struct ce_names *named = &drift->labels;
    if (named->count > 0) {
        int64_t favoured = ce_distribution_class(drift->class, named->count);
        return favoured < 0 ? "no such class"
                            : ce_row_set_text(answer, row, i, named->names[favoured]);
    }
    return drift->class < 0 ? "no such class"
                            : ce_row_set_number(answer, row, i, (double)drift->class, -1);
}

static const char *shift(const struct job *job, struct ce_answer *answer, const struct ce_row *row)
{
    double *p;
    if (ce_row_is_labels(row))
        return ce_row_each(answer, row, shift_label, job);
    if (!ce_row_is_distribution(answer, row, &p))
        return ce_row_each(answer, row, shift_score, job);
    int64_t favoured = ce_distribution_class(job->params->class, row->count);
    if (!p || favoured < 0)
        return p ? "no such class" : "no memory";
    ce_distribution_shift(p, row->count, (size_t)favoured, job->degradation);
    return ce_row_set_distribution(answer, row, p);
}

static const char *move_score(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                              size_t i)
{
    const struct job *job = ctx;
    int how = job->params->operator;
    bool scales = how == OPERATOR_SCALE;
    double number, by = job->params->amount * job->degradation;
    if (!ce_value_number(&row->values[i], &number))
        return "no value";
    return ce_row_set_number(answer, row, i, scales ? number * (1 + by) : number + by, -1);
}

static const char *move(const struct job *job, struct ce_answer *answer, const struct ce_row *row)
{
    double *p;
    if (ce_row_is_labels(row))
        return "label";
    return ce_row_is_distribution(answer, row, &p) ? "distribution"
                                                   : ce_row_each(answer, row, move_score, job);
}

static const char *temper_score(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                                size_t i)
{
    const struct job *job = ctx;
    double p[2];
    if (!ce_value_number(&row->values[i], &p[1]) || !is_probability(p[1]))
        return "no probability";
    p[0] = 1 - p[1];
    ce_distribution_temper(p, 2, 1 - job->degradation);
    return ce_row_set_number(answer, row, i, p[1], -1);
}

static const char *temper(const struct job *job, struct ce_answer *answer, const struct ce_row *row)
{
    double *p;
    if (ce_row_is_labels(row))
        return "label";
    if (!ce_row_is_distribution(answer, row, &p))
        return ce_row_each(answer, row, temper_score, job);
    if (!p)
        return "no memory";
    ce_distribution_temper(p, row->count, 1 - job->degradation);
    return ce_row_set_distribution(answer, row, p);
}

static const char *degrade(void *ctx, struct ce_answer *answer, const struct ce_row *row)
{
    const struct job *job = ctx;
    switch ((enum operation)job->params->operator) {
    case OPERATOR_NOISE:
        return noise(job, answer, row);
    case OPERATOR_SHIFT:
        return shift(job, answer, row);
    case OPERATOR_SCALE:
    case OPERATOR_BIAS:
        return move(job, answer, row);
    case OPERATOR_SWAP:
        return ce_row_flip(answer, row);
    case OPERATOR_TEMPERATURE:
        return temper(job, answer, row);
    }
    return "no change";
}

/* Degradation is a distance for scores, and a probability for labels and for what is swapped. */
static double rate_of(void *ctx, const struct ce_row *row)
{
    const struct job *job = ctx;
    int how = job->params->operator;
    if (job->degradation == 0)
        return 0;
    return how == OPERATOR_SWAP || ce_row_is_labels(row) ? job->degradation : 1;
}

/* ---- how far the drift has come ---- */

/* See the head of this file. */
static uint64_t place_of_probe(const struct drift_state *state, uint64_t k)
{
    return k / 2 + (k % 2 == 1 ? (uint64_t)ce_drift_height(&state->shape) : 0);
}

static double degradation_at(const struct drift_state *state, const char *id, uint64_t n)
{
    double share = ce_drift_share(&state->shape, n);
    return share == 1 || ce_recipe_hits(&state->concept, id, 0, share)
               ? ce_drift_degradation(&state->shape, n)
               : 0;
}

/* ---- the rule ---- */

static void drift_on_response(void *ctx, const struct ce_visit *visit, struct ce_action *action)
{
    struct drift_state *state = ctx;
    const struct ce_exchange *exchange = visit->exchange;
    uint64_t n = ce_visit_index(visit);
    if (exchange->is_probe)
        n = place_of_probe(state, n);
    struct job job = {
        .params = state->params,
        .degradation = degradation_at(state, exchange->id, n) * state->traffic.intensity,
    };
    const struct ce_deed deed = {operators[state->params->operator].name, rate_of, degrade};
    struct ce_answer answer;
    const char *reason = ce_answer_open(visit, &state->labels, &answer);
    if (reason)
        ce_visit_skip(visit, reason);
    else
        ce_answer_falsify(&answer, &deed, &job, action);
    ce_answer_close(&answer);
}

static int drift_inject(struct ce_injection *injection, struct ce_error *err)
{
    static const struct ce_traffic_hook hook = {
        .wants = CE_HOOK_RESPONSE_BODY,
        .scope = CE_TRAFFIC_PREDICTIONS,
        .on_response = drift_on_response,
    };
    const struct drift *drift = injection->params;
    struct drift_state *state = injection->state;
    int how = drift->operator;
    state->params = drift;
    state->shape = (struct ce_drift_shape){
        .type = (enum ce_drift_type)drift->drift_type,
        .rate = drift->drift_rate,
        .growth = drift->growth,
        .position = drift->position,
        .width = drift->width,
        .period = drift->period,
    };
    state->concept =
        ce_recipe_init(injection->seed, "model_drift/concept", "model", injection->rule);
    ce_labels_init(&state->labels, &drift->labels, how == OPERATOR_NOISE || how == OPERATOR_SWAP);
    return ce_traffic_arm(&state->traffic, injection, &drift->traffic, &hook, state, err);
}

/* ---- the proof ---- */

static double degradation_of_probe(const struct drift_state *state, const char *id)
{
    uint64_t k = strtoull(id + strlen(CE_PROBE_PREFIX), NULL, 10);
    return ce_traffic_shares(&state->traffic, id)
               ? degradation_at(state, id, place_of_probe(state, k))
               : 0;
}

/* Whatever the model gives: a score that lies in the drift moves, but a label only if the recipe
 * selects it, too. */
static bool drift_hits(const void *ctx, const char *id)
{
    const struct drift_state *state = ctx;
    double degradation = degradation_of_probe(state, id);
    return degradation >= 0.999 * state->shape.rate &&
           ce_recipe_hits(&state->traffic.recipe, id, 0, degradation);
}

static bool drift_touches(const void *ctx, const char *id)
{
    return degradation_of_probe(ctx, id) > 0;
}

static int drift_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                        struct ce_error *err)
{
    const struct drift_state *state = injection->state;
    char of_which[96];
    snprintf(of_which, sizeof of_which, "at the height of the drift (from prediction %lld on)",
             (long long)ce_drift_height(&state->shape));
    int r = ce_traffic_verify_hit(&state->traffic, drift_hits, state, of_which, ret_evidence, err);
    return r <= 0 ? r
                  : ce_traffic_verify_spared(&state->traffic, drift_touches, state, CE_SECOND,
                                             ret_evidence, err);
}

static int drift_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct drift_state *state = injection->state;
    state->traffic.intensity = intensity;
    return 0;
}

static int drift_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct drift_state *state = injection->state;
    ce_traffic_disarm(&state->traffic);
    return 0;
}

static int drift_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct drift_state *state = injection->state;
    return ce_traffic_verify_undo(&state->traffic,
                                  drift_is_control(injection->params) ? NULL : drift_hits, state,
                                  CE_SECOND, err);
}

static void drift_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct drift_state *state = injection->state;
    ce_traffic_count(&state->traffic, ret_counts);
}

const struct ce_fault ce_fault_model_drift = {
    .name = "model_drift",
    .summary = "Let the predictions get worse in the course of the run",
    .layer = CE_LAYER_MODEL,
    .needs = CE_NEEDS_MODEL_ROUTE,
    .params = params,
    .params_size = sizeof(struct drift),
    .state_size = sizeof(struct drift_state),
    .example = "{drift_rate: 0.15, drift_type: gradual}",
    .check = drift_check,
    .is_control = drift_is_control,
    .inject = drift_inject,
    .verify = drift_verify,
    .adjust = drift_adjust,
    .spare = ce_traffic_spare,
    .revert = drift_revert,
    .verify_undo = drift_verify_undo,
    .count = drift_count,
};
