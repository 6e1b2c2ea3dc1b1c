/* SPDX-License-Identifier: MIT */
/* prediction_corruption: falsifies a share of the predictions on their way from the model server to
 * its caller.
 *
 * Each row of a batch is chosen by itself, but for a wrong shape, which befalls an answer as a
 * whole. See predictions.h for what a row is, and for what stays as it was. Nothing outside this
 * process is touched, so there is nothing to note in the journal. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "faults/model/distribution.h"
#include "faults/model/label_swaps.h"
#include "faults/model/last_answers.h"
#include "faults/model/predictions.h"

enum type {
    TYPE_RANDOM = 0,
    TYPE_BIAS,
    TYPE_FLIP,
    TYPE_SWAP,
    TYPE_NAN,
    TYPE_INF,
    TYPE_SHAPE,
    TYPE_STALE,
    TYPE_CONSTANT,
};

struct corruption {
    struct ce_traffic_params traffic;
    double corruption_rate;
    int type;
    int64_t class;
    struct ce_names labels;
    char *matrix, *value;
};

struct corruption_state {
    struct ce_traffic traffic;
    const struct corruption *params;
    struct ce_labels labels;
    struct ce_label_swaps swaps;
    struct ce_last_answers last;
};

/* One answer's worth of it. */
struct job {
    struct corruption_state *state;
    /* TYPE_STALE: the answer before, and why it cannot be used. */
    struct ce_last_answer before;
    struct ce_values before_values;
    const char *before_reason;
    bool before_read;
};

static const struct ce_choice types[] = {
    {"random", TYPE_RANDOM,
     "a score becomes U(0,1), a label any of those known (or 0, 1), a distribution any other"},
    {"bias", TYPE_BIAS,
     "a score is multiplied by 1.5; in a distribution that of `class`, then it is renormalised"},
    {"flip", TYPE_FLIP,
     "a score becomes 1 - p, a label another one, a distribution swaps its winner with another "
     "class"},
    {"swap", TYPE_SWAP, "a label becomes what `matrix` says; a distribution swaps those classes"},
    {"nan", TYPE_NAN, "scores become NaN"},
    {"inf", TYPE_INF, "scores become infinite"},
    {"shape", TYPE_SHAPE, "the answer lacks its last row, and its shape says so"},
    {"stale", TYPE_STALE, "what the server said last on the same path is said again"},
    {"constant", TYPE_CONSTANT,
     "everything becomes `value`; in a distribution the class of that name or number is certain"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_RATE(struct corruption, corruption_rate, .def = "0.1",
            .doc = "Share of the predictions that are falsified; each row of a batch counts."),
    CE_CHOICE(struct corruption, type, .choices = types, .def = "random",
              .doc = "What becomes of them."),
    CE_INTEGER(struct corruption, class, .min = -1, .max = 1e6, .def = "-1",
               .doc =
                   "Class that `bias` favours in a distribution, counted from 0; -1 is the last."),
    CE_NAMES(struct corruption, labels, .def = "",
             .doc = "Labels that the model gives, in the order of its classes; learnt from its "
                    "first 100 answers when left out."),
    CE_TEXT(struct corruption, matrix, .def = "",
            .doc = "Which label `swap` puts in the place of which, and with which probability: "
                   "'a>b:0.3, b>a' (1 when left out). Classes of a distribution go by name or "
                   "number."),
    CE_TEXT(struct corruption, value, .def = "",
            .doc = "What `constant` makes of every prediction: a number or a word."),
    CE_TRAFFIC_PARAMS(struct corruption),
    CE_END_PARAMS,
};

/* A parameter and the type that uses it go together. */
static int check_pair(const struct corruption *corruption, const char *name, const char *text,
                      enum type type, const char *use, struct ce_error *err)
{
    if (text && corruption->type != (int)type)
        return ce_fail(err, EINVAL, "%s: only type %s %s, and type is %s", name, types[type].name,
                       use, types[corruption->type].name);
    if (!text && corruption->type == (int)type)
        return ce_fail(err, EINVAL, "type: %s needs a %s, which is missing", types[type].name,
                       name);
    return 0;
}

static int corruption_check(const void *p, struct ce_error *err)
{
    const struct corruption *corruption = p;
    struct ce_label_swaps swaps;
    if (corruption->class >= 0 && corruption->type != TYPE_BIAS)
        return ce_fail(err, EINVAL, "class: only type bias favours a class, and type is %s",
                       types[corruption->type].name);
    CE_TRY(check_pair(corruption, "matrix", corruption->matrix, TYPE_SWAP, "reads a matrix", err));
    CE_TRY(check_pair(corruption, "value", corruption->value, TYPE_CONSTANT, "sets a value", err));
    if (corruption->matrix)
        CE_TRY(ce_label_swaps_parse(corruption->matrix, &swaps, err));
    return ce_traffic_check(&corruption->traffic, err);
}

static bool corruption_is_control(const void *p)
{
    const struct corruption *corruption = p;
    return corruption->corruption_rate == 0 || corruption->traffic.share == 0;
}

/* ---- what becomes of a row: NULL when it was changed, else the reason why not ---- */

static double uniform(const struct ce_answer *answer, const struct ce_row *row, size_t i)
{
    uint64_t words[2];
    ce_visit_random(answer->visit, row->unit, i, words);
    return ce_uniform_from(words[0]);
}

static const char *random_value(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                                size_t i)
{
    const bool *labels = ctx;
    double number;
    if (*labels)
        return ce_row_set_label(answer, row, i, false);
    if (!ce_value_number(&row->values[i], &number))
        return "no value";
    return ce_row_set_number(answer, row, i, uniform(answer, row, i), -1);
}

static const char *randomize(struct ce_answer *answer, const struct ce_row *row)
{
    bool labels = ce_row_is_labels(row);
    double *p;
    if (!ce_row_is_distribution(answer, row, &p))
        return ce_row_each(answer, row, random_value, &labels);
    if (!p)
        return "no memory";
    for (size_t i = 0; i < row->count; i++)
        p[i] = uniform(answer, row, i);
    ce_distribution_draw(p, row->count);
    return ce_row_set_distribution(answer, row, p);
}

/* A product that is exact in decimal has one digit more. */
static const char *bias_score(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                              size_t i)
{
    int decimals = ce_value_decimals(&row->values[i]);
    double number;
    if (!ce_value_number(&row->values[i], &number))
        return "no value";
    return ce_row_set_number(answer, row, i, number * 1.5, decimals < 0 ? -1 : decimals + 1);
}

static const char *bias(struct ce_answer *answer, const struct ce_row *row, int64_t parameter)
{
    double *p;
    if (ce_row_is_labels(row))
        return "label";
    if (!ce_row_is_distribution(answer, row, &p))
        return ce_row_each(answer, row, bias_score, NULL);
    int64_t favoured = ce_distribution_class(parameter, row->count);
    if (!p || favoured < 0)
        return p ? "no such class" : "no memory";
    ce_distribution_favour(p, row->count, (size_t)favoured, 1.5);
    return ce_row_set_distribution(answer, row, p);
}

/* What the matrix makes of a label; NULL: it stays. */
static const char *swapped(const struct ce_label_swaps *swaps, double draw, const void *ctx,
                           bool (*is)(const void *ctx, const char *label))
{
    double up_to = 0;
    for (size_t i = 0; i < swaps->count; i++) {
        const struct ce_label_swap *swap = &swaps->swaps[i];
        if (!is(ctx, swap->from))
            continue;
        up_to += swap->probability;
        if (draw < up_to)
            return swap->to;
    }
    return NULL;
}

static bool value_is(const void *ctx, const char *label)
{
    const struct ce_value *value = ctx;
    struct ce_edit edit = {0};
    return ce_edit_text(&edit, value, label) == 0 && ce_edit_is_none(&edit, value);
}

struct winner {
    const struct ce_answer *answer;
    const struct ce_row *row;
    int64_t class;
};

static bool winner_is(const void *ctx, const char *label)
{
    const struct winner *winner = ctx;
    return ce_row_class(winner->answer, winner->row, label) == winner->class;
}

static const char *swap_classes(struct ce_answer *answer, const struct ce_row *row, const double *p,
                                const struct ce_label_swaps *swaps)
{
    struct winner winner = {answer, row, (int64_t)ce_distribution_winner(p, row->count)};
    const char *to = swapped(swaps, uniform(answer, row, 0), &winner, winner_is);
    if (!to)
        return "no change";
    int64_t other = ce_row_class(answer, row, to);
    return other < 0 ? "no such class"
                     : ce_row_swap_classes(answer, row, (size_t)winner.class, (size_t)other);
}

static const char *swap_value(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                              size_t i)
{
    const char *to = swapped(ctx, uniform(answer, row, i), &row->values[i], value_is);
    return to ? ce_row_set_text(answer, row, i, to) : "no change";
}

static const char *swap(struct ce_answer *answer, const struct ce_row *row,
                        const struct ce_label_swaps *swaps)
{
    double *p;
    if (ce_row_is_distribution(answer, row, &p))
        return p ? swap_classes(answer, row, p, swaps) : "no memory";
    return ce_row_is_labels(row) ? ce_row_each(answer, row, swap_value, swaps) : "score";
}

static const char *set_value(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                             size_t i)
{
    return ce_row_set_text(answer, row, i, ctx);
}

static const char *set_constant(struct ce_answer *answer, const struct ce_row *row,
                                const char *value)
{
    double *p;
    if (!ce_row_is_distribution(answer, row, &p))
        return ce_row_each(answer, row, set_value, value);
    int64_t certain = ce_row_class(answer, row, value);
    if (!p || certain < 0)
        return p ? "no such class" : "no memory";
    for (size_t i = 0; i < row->count; i++)
        p[i] = (int64_t)i == certain;
    return ce_row_set_distribution(answer, row, p);
}

/* ---- stale ---- */

/* Read only when a row is hit. */
static const char *read_before(struct job *job, size_t count)
{
    if (!job->before.memory)
        return "no earlier answer";
    if (!job->before_read) {
        job->before_read = true;
        if (ce_message_outputs(&job->before.message, &job->before_values, NULL) < 0)
            job->before_reason = "unreadable";
        else if (job->before_values.count != count)
            job->before_reason = "another number of predictions";
    }
    return job->before_reason;
}

/* Servers that name the classes may put the best one first, whichever that is. */
static const struct ce_value *find_class(const struct ce_value *before, const struct ce_row *row,
                                         size_t i)
{
    struct ce_slice name = row->values[i].class_name;
    for (size_t k = 0; k < row->count; k++)
        if (ce_slice_same(before[k].class_name, name))
            return &before[k];
    return NULL;
}

static const char *repeat_value(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                                size_t i)
{
    const struct ce_value *before = ((const struct ce_values *)ctx)->values + row->first;
    const struct ce_value *value =
        row->values[i].class_name.size > 0 ? find_class(before, row, i) : &before[i];
    return value ? ce_row_set_copy(answer, row, i, value) : "no such class";
}

static const char *repeat(struct job *job, struct ce_answer *answer, const struct ce_row *row)
{
    const char *reason = read_before(job, answer->values.count);
    return reason ? reason : ce_row_each(answer, row, repeat_value, &job->before_values);
}

/* ---- the rule ---- */

static double rate_of(void *ctx, const struct ce_row *row)
{
    const struct corruption_state *state = ((const struct job *)ctx)->state;
    return state->params->corruption_rate * state->traffic.intensity;
}

static const char *corrupt_row(void *ctx, struct ce_answer *answer, const struct ce_row *row)
{
    struct job *job = ctx;
    const struct corruption *corruption = job->state->params;
    switch ((enum type)corruption->type) {
    case TYPE_RANDOM:
        return randomize(answer, row);
    case TYPE_BIAS:
        return bias(answer, row, corruption->class);
    case TYPE_FLIP:
        return ce_row_flip(answer, row);
    case TYPE_SWAP:
        return swap(answer, row, &job->state->swaps);
    case TYPE_NAN:
        return ce_row_break(answer, row, NAN);
    case TYPE_INF:
        return ce_row_break(answer, row, INFINITY);
    case TYPE_STALE:
        return repeat(job, answer, row);
    case TYPE_CONSTANT:
        return set_constant(answer, row, corruption->value);
    case TYPE_SHAPE:
        break; /* no matter of rows */
    }
    return "no change";
}

static void shorten(struct ce_answer *answer, double rate, struct ce_action *action)
{
    struct ce_remade remade;
    if (!ce_visit_select(answer->visit, 0, rate))
        return;
    int r = ce_message_shorten(&answer->message, &answer->values, &remade, NULL);
    if (r < 0) {
        ce_visit_skip(answer->visit, r == -ENOMEM ? "no memory" : "no rows");
        return;
    }
    ce_visit_replace(answer->visit, action, &remade);
    ce_visit_did(answer->visit, action, 1, "shape: without its last row");
}

static const char *corrupt(struct job *job, struct ce_answer *answer, const struct ce_visit *visit,
                           struct ce_action *action)
{
    const char *reason = ce_answer_open(visit, &job->state->labels, answer);
    int type = job->state->params->type;
    const struct ce_deed deed = {types[type].name, rate_of, corrupt_row};
    if (reason)
        return reason;
    if (type == TYPE_STALE && ce_last_answers_swap(&job->state->last, visit->exchange,
                                                   &answer->message, &job->before) < 0)
        return "no memory";
    if (type == TYPE_SHAPE)
        shorten(answer, rate_of(job, NULL), action);
    else
        ce_answer_falsify(answer, &deed, job, action);
    return NULL;
}

static void corruption_on_response(void *ctx, const struct ce_visit *visit,
                                   struct ce_action *action)
{
    struct job job = {.state = ctx};
    struct ce_answer answer;
    const char *reason = corrupt(&job, &answer, visit, action);
    if (reason)
        ce_visit_skip(visit, reason);
    ce_answer_close(&answer);
    ce_values_done(&job.before_values);
    ce_last_answer_done(&job.before);
}

static int corruption_inject(struct ce_injection *injection, struct ce_error *err)
{
    static const struct ce_traffic_hook hook = {
        .wants = CE_HOOK_RESPONSE_BODY,
        .scope = CE_TRAFFIC_PREDICTIONS,
        .on_response = corruption_on_response,
    };
    const struct corruption *corruption = injection->params;
    struct corruption_state *state = injection->state;
    state->params = corruption;
    ce_labels_init(&state->labels, &corruption->labels,
                   corruption->type == TYPE_RANDOM || corruption->type == TYPE_FLIP);
    ce_last_answers_init(&state->last);
    if (corruption->matrix)
        CE_TRY(ce_label_swaps_parse(corruption->matrix, &state->swaps, err));
    return ce_traffic_arm(&state->traffic, injection, &corruption->traffic, &hook, state, err);
}

static bool corruption_hits(const void *ctx, const char *id)
{
    const struct corruption_state *state = ctx;
    return ce_traffic_hits(&state->traffic, id, 0, state->params->corruption_rate);
}

static int corruption_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                             struct ce_error *err)
{
    const struct corruption_state *state = injection->state;
    return ce_traffic_verify_changed(&state->traffic, corruption_hits, state,
                                     "that the recipe selects", ret_evidence, err);
}

static int corruption_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct corruption_state *state = injection->state;
    state->traffic.intensity = intensity;
    return 0;
}

static int corruption_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct corruption_state *state = injection->state;
    ce_traffic_disarm(&state->traffic);
    ce_last_answers_done(&state->last);
    return 0;
}

static int corruption_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct corruption_state *state = injection->state;
    return ce_traffic_verify_undo(&state->traffic,
                                  corruption_is_control(injection->params) ? NULL : corruption_hits,
                                  state, CE_SECOND, err);
}

static void corruption_count(const struct ce_injection *injection,
                             struct ce_fault_counts *ret_counts)
{
    const struct corruption_state *state = injection->state;
    ce_traffic_count(&state->traffic, ret_counts);
}

const struct ce_fault ce_fault_prediction_corruption = {
    .name = "prediction_corruption",
    .summary = "Falsify a share of the predictions",
    .layer = CE_LAYER_MODEL,
    .needs = CE_NEEDS_MODEL_ROUTE,
    .params = params,
    .params_size = sizeof(struct corruption),
    .state_size = sizeof(struct corruption_state),
    .example = "{corruption_rate: 0.3, type: flip}",
    .check = corruption_check,
    .is_control = corruption_is_control,
    .inject = corruption_inject,
    .verify = corruption_verify,
    .adjust = corruption_adjust,
    .spare = ce_traffic_spare,
    .revert = corruption_revert,
    .verify_undo = corruption_verify_undo,
    .count = corruption_count,
};
