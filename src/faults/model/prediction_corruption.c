/* SPDX-License-Identifier: MIT */
/* prediction_corruption: falsifies a share of the predictions on their way from the model server to
 * its caller.
 *
 * Only the digits of the chosen predictions are rewritten; every other byte of the answer stays.
 * The unit is a row of an output tensor: each row of a batch is chosen by itself, and all outputs
 * of a row share its fate. What is done depends on what the row is: score         a floating-point
 * value distribution  several floating-point values that are >= 0 and sum to 1 label         an
 * integer, BOOL or BYTES value JSON only: tensors in the binary extension pass, and are counted as
 * skipped. Nothing outside this process is touched, so there is nothing to note in the journal. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "faults/traffic.h"
#include "proxy/tensor.h"

#define LABELS_MAX 32
#define EDIT_SIZE  sizeof(((struct ce_edit *)0)->text)

enum type {
    TYPE_RANDOM = 0,
    TYPE_BIAS,
    TYPE_FLIP,
};

struct corruption {
    double corruption_rate;
    int type;
    int64_t class;
};

/* Labels are learnt from the answers that pass. Only the proxy's thread looks at them. */
struct label {
    uint64_t tensor; /* hash of its name */
    struct ce_slice text;
    char bytes[EDIT_SIZE];
};

struct corruption_state {
    struct ce_traffic traffic;
    struct ce_recipe recipe;
    const struct corruption *params;
    struct label labels[LABELS_MAX];
    size_t label_count;
};

/* One answer at work. */
struct job {
    struct corruption_state *state;
    const char *id;
    struct ce_edit *edits;
    size_t edit_count;
};

/* One row of an output. */
struct row {
    const struct ce_tensor_value *values;
    size_t count;
    uint64_t unit;
};

static const struct ce_choice types[] = {
    {"random", TYPE_RANDOM,
     "a score becomes U(0,1), a label any of those seen (or 0, 1), a distribution any other"},
    {"bias", TYPE_BIAS,
     "a score is multiplied by 1.5; in a distribution that of `class`, then it is renormalised"},
    {"flip", TYPE_FLIP,
     "a score becomes 1 - p, a label another one, a distribution swaps its winner with another "
     "class"},
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
    CE_END_PARAMS,
};

static int corruption_check(const void *p, struct ce_error *err)
{
    const struct corruption *corruption = p;
    if (corruption->class >= 0 && corruption->type != TYPE_BIAS)
        return ce_fail(err, EINVAL, "class: only type bias favours a class, and type is %s",
                       types[corruption->type].name);
    return 0;
}

static bool corruption_is_control(const void *p)
{
    const struct corruption *corruption = p;
    return corruption->corruption_rate == 0;
}

/* ---- numbers and their digits ---- */

static int read_number(struct ce_slice text, double *ret_value)
{
    char number[400];
    if (text.size >= sizeof number)
        return -EINVAL;
    memcpy(number, text.data, text.size);
    number[text.size] = '\0';
    return ce_text_number(number, ret_value);
}

static bool slice_is(struct ce_slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

/* The shortest digits that read back as the same number of the tensor's type; five do for 16-bit
 * types. */
static void write_shortest(char text[EDIT_SIZE], double value, struct ce_slice type)
{
    bool narrow = slice_is(type, "FP16") || slice_is(type, "BF16");
    for (int digits = narrow ? 5 : 1; digits <= 17; digits++) {
        snprintf(text, EDIT_SIZE, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (narrow || back == value || (slice_is(type, "FP32") && (float)back == (float)value))
            return;
    }
}

/* Digits behind the point, as the server chose to write them; -1 with an exponent. */
static int decimals_of(struct ce_slice text)
{
    const char *point = memchr(text.data, '.', text.size);
    if (memchr(text.data, 'e', text.size) || memchr(text.data, 'E', text.size))
        return -1;
    return point ? (int)(text.data + text.size - point - 1) : 0;
}

/* 1 - 0.8312 is 0.1688 to whoever reads it, not 0.16880000000000001: results that are exact in
 * decimal keep to the server's number of decimals. */
static void write_decimals(char text[EDIT_SIZE], double value, int decimals, struct ce_slice type)
{
    int n = decimals < 0 ? (int)EDIT_SIZE : snprintf(text, EDIT_SIZE, "%.*f", decimals, value);
    if (n >= (int)EDIT_SIZE) {
        write_shortest(text, value, type);
        return;
    }
    if (!memchr(text, '.', (size_t)n))
        return;
    while (text[n - 1] == '0')
        n--;
    n -= text[n - 1] == '.';
    text[n] = '\0';
}

static struct ce_edit *new_edit(struct job *job, const struct ce_tensor_value *value)
{
    struct ce_edit *edit = &job->edits[job->edit_count++];
    *edit = (struct ce_edit){.span = value->text};
    return edit;
}

/* An edit that leaves the number what it was is none. Returns NULL, or why there is no change. */
static const char *settle(struct job *job, double before)
{
    const char *text = job->edits[job->edit_count - 1].text;
    double after;
    if (ce_text_number(text, &after) == 0 && after != before)
        return NULL;
    job->edit_count--;
    return "no change";
}

/* ---- what becomes of a prediction: NULL when it was changed, else the reason why not ---- */

static const char *corrupt_score(struct job *job, const struct row *row, size_t i)
{
    const struct ce_tensor_value *value = &row->values[i];
    uint64_t words[2];
    double before;
    if (read_number(value->text, &before) < 0)
        return "no value";
    int decimals = decimals_of(value->text);
    struct ce_edit *edit = new_edit(job, value);
    switch ((enum type)job->state->params->type) {
    case TYPE_RANDOM:
        ce_recipe_random(&job->state->recipe, job->id, row->unit, i, words);
        write_shortest(edit->text, ce_uniform_from(words[0]), value->type);
        break;
    case TYPE_BIAS:
        write_decimals(edit->text, before * 1.5, decimals < 0 ? -1 : decimals + 1, value->type);
        break;
    case TYPE_FLIP:
        write_decimals(edit->text, 1 - before, decimals, value->type);
        break;
    }
    return settle(job, before);
}

/* A rank that is drawn for each label: the highest one wins. So the choice does not depend on the
 * order in which labels became known. */
static void consider(const struct job *job, const struct row *row, struct ce_slice current,
                     struct ce_slice label, struct ce_slice *best, uint64_t *best_rank)
{
    uint64_t words[2];
    if (job->state->params->type == TYPE_FLIP && label.size == current.size &&
        memcmp(label.data, current.data, label.size) == 0)
        return;
    ce_recipe_random(&job->state->recipe, job->id, row->unit, ce_hash_name(label.data, label.size),
                     words);
    if (best->data && words[0] <= *best_rank)
        return;
    *best = label;
    *best_rank = words[0];
}

static const char *corrupt_label(struct job *job, const struct row *row, size_t i)
{
    static const struct ce_slice digits[] = {{"0", 1}, {"1", 1}},
                                 words[] = {{"false", 5}, {"true", 4}};
    const struct ce_tensor_value *value = &row->values[i];
    const struct corruption_state *state = job->state;
    struct ce_slice best = {NULL, 0};
    uint64_t best_rank = 0, tensor = ce_hash_name(value->tensor.data, value->tensor.size);
    char first = value->text.data[0];
    const struct ce_slice *pair = first == 't' || first == 'f' ? words : digits;
    bool binary = slice_is(value->text, pair[0].data) || slice_is(value->text, pair[1].data);
    if (state->params->type == TYPE_BIAS)
        return "label";
    if (first == 'n')
        return "no value";
    if (state->params->type == TYPE_FLIP && binary) {
        best = pair[slice_is(value->text, pair[0].data)];
    } else {
        if (first != '"') {
            consider(job, row, value->text, pair[0], &best, &best_rank);
            consider(job, row, value->text, pair[1], &best, &best_rank);
        }
        for (size_t k = 0; k < state->label_count; k++)
            if (state->labels[k].tensor == tensor)
                consider(job, row, value->text, state->labels[k].text, &best, &best_rank);
    }
    if (!best.data || slice_is(value->text, best.data))
        return "no change";
    memcpy(new_edit(job, value)->text, best.data, best.size);
    return NULL;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A uniform point of the simplex: the gaps between sorted uniform cuts of the unit interval. */
static void draw_simplex(const struct job *job, const struct row *row, double *p)
{
    for (size_t i = 0; i + 1 < row->count; i++) {
        uint64_t words[2];
        ce_recipe_random(&job->state->recipe, job->id, row->unit, i, words);
        p[i] = ce_uniform_from(words[0]);
    }
    qsort(p, row->count - 1, sizeof *p, compare_doubles);
    p[row->count - 1] = 1;
    for (size_t i = row->count - 1; i > 0; i--)
        p[i] -= p[i - 1];
}

static const char *bias_distribution(const struct corruption *corruption, double *p, size_t count)
{
    size_t favoured = corruption->class < 0 ? count - 1 : (size_t)corruption->class;
    double sum = 0;
    if (favoured >= count)
        return "no such class";
    for (size_t i = 0; i < count; i++)
        sum += p[i];
    double scale = sum / (sum + p[favoured] / 2);
    p[favoured] *= 1.5;
    for (size_t i = 0; i < count; i++)
        p[i] *= scale;
    return NULL;
}

/* Swaps the digits as they are. */
static const char *flip_distribution(struct job *job, const struct row *row, const double *p)
{
    uint64_t words[2];
    size_t winner = 0;
    for (size_t i = 1; i < row->count; i++)
        if (p[i] > p[winner])
            winner = i;
    ce_recipe_random(&job->state->recipe, job->id, row->unit, 0, words);
    size_t other = (size_t)((words[0] >> 32) * (row->count - 1) >> 32);
    other += other >= winner;
    if (p[winner] == p[other])
        return "no change";
    size_t low = winner < other ? winner : other, high = winner < other ? other : winner;
    struct ce_slice a = row->values[low].text, b = row->values[high].text;
    if (a.size >= EDIT_SIZE || b.size >= EDIT_SIZE)
        return "no value";
    memcpy(new_edit(job, &row->values[low])->text, b.data, b.size);
    memcpy(new_edit(job, &row->values[high])->text, a.data, a.size);
    return NULL;
}

static const char *corrupt_distribution(struct job *job, const struct row *row, double *p)
{
    const struct corruption *corruption = job->state->params;
    const char *reason = "no change";
    if (corruption->type == TYPE_FLIP)
        return flip_distribution(job, row, p);
    ce_autofree double *before = malloc(row->count * sizeof *before);
    if (!before)
        return "unreadable";
    memcpy(before, p, row->count * sizeof *before);
    if (corruption->type == TYPE_RANDOM)
        draw_simplex(job, row, p);
    else if ((reason = bias_distribution(corruption, p, row->count)))
        return reason;
    else
        reason = "no change";
    for (size_t i = 0; i < row->count; i++) {
        /* What differs by rounding alone has not changed. */
        if (fabs(p[i] - before[i]) <= 1e-12)
            continue;
        write_shortest(new_edit(job, &row->values[i])->text, p[i], row->values[i].type);
        if (!settle(job, before[i]))
            reason = NULL;
    }
    return reason;
}

/* ---- what a row is ---- */

static bool is_score_type(struct ce_slice type)
{
    return (type.size > 2 && memcmp(type.data, "FP", 2) == 0) || slice_is(type, "BF16");
}

/* Fills p with the row's values if they are a distribution. */
static bool read_distribution(const struct row *row, double *p)
{
    double sum = 0;
    for (size_t i = 0; i < row->count; i++) {
        if (read_number(row->values[i].text, &p[i]) < 0 || p[i] < 0)
            return false;
        sum += p[i];
    }
    return fabs(sum - 1) < 1e-3;
}

static const char *corrupt_row(struct job *job, const struct row *row)
{
    const char *reason = "no change";
    bool score = is_score_type(row->values[0].type), changed = false;
    if (score && row->count > 1) {
        ce_autofree double *p = malloc(row->count * sizeof *p);
        if (!p)
            return "unreadable";
        if (read_distribution(row, p))
            return corrupt_distribution(job, row, p);
    }
    for (size_t i = 0; i < row->count; i++) {
        const char *why = score ? corrupt_score(job, row, i) : corrupt_label(job, row, i);
        changed |= !why;
        reason = why ? why : reason;
    }
    return changed ? NULL : reason;
}

static void learn_label(struct corruption_state *state, const struct ce_tensor_value *value)
{
    uint64_t tensor = ce_hash_name(value->tensor.data, value->tensor.size);
    if (is_score_type(value->type) || value->text.size >= EDIT_SIZE || value->text.data[0] == 'n')
        return;
    for (size_t i = 0; i < state->label_count; i++)
        if (state->labels[i].tensor == tensor && slice_is(value->text, state->labels[i].bytes))
            return;
    if (state->label_count == LABELS_MAX)
        return;
    struct label *label = &state->labels[state->label_count++];
    label->tensor = tensor;
    memcpy(label->bytes, value->text.data, value->text.size);
    label->text = (struct ce_slice){label->bytes, value->text.size};
}

/* ---- the rule ---- */

static void corrupt_outputs(struct job *job, const struct ce_tensor_values *found, bool counted)
{
    struct corruption_state *state = job->state;
    double rate = state->params->corruption_rate * state->traffic.intensity;
    size_t n;
    for (size_t i = 0; i < found->count; i++)
        learn_label(state, &found->values[i]);
    for (size_t i = 0; i < found->count; i += n) {
        const struct ce_tensor_value *first = &found->values[i];
        for (n = 1; n < first->width && i + n < found->count && first[n].ordinal == first->ordinal;
             n++)
            ;
        struct row row = {.values = first, .count = n, .unit = first->index / first->width};
        state->traffic.eligible += counted;
        if (!ce_recipe_hits(&state->recipe, job->id, row.unit, rate))
            continue;
        state->traffic.selected += counted;
        const char *reason = corrupt_row(job, &row);
        if (!reason)
            state->traffic.changed += counted;
        else if (counted)
            ce_traffic_skip(&state->traffic, reason);
    }
}

/* Why an answer as a whole cannot be falsified; NULL when it can: then *ret_found is filled. */
static const char *read_answer(const struct ce_exchange *exchange,
                               struct ce_tensor_values *ret_found)
{
    if (exchange->status != 200)
        return "error answer";
    if (exchange->body_encoded)
        return "encoded";
    if (strncasecmp(exchange->content_type, "application/octet-stream", 24) == 0)
        return "binary";
    if (ce_tensor_find(exchange->body, exchange->body_size, "outputs", ret_found, NULL) < 0)
        return "unreadable";
    if (ret_found->count == 0)
        return ret_found->without_data > 0 ? "binary" : "unreadable";
    return NULL;
}

static void corruption_on_response(void *ctx, const struct ce_exchange *exchange,
                                   struct ce_action *action)
{
    struct corruption_state *state = ctx;
    struct ce_tensor_values found = {0};
    bool counted = ce_traffic_counted(exchange);
    if (!ce_traffic_is_prediction(exchange))
        return;
    const char *reason = read_answer(exchange, &found);
    ce_autofree struct ce_edit *edits = reason ? NULL : calloc(found.count, sizeof *edits);
    if (!reason && !edits)
        reason = "unreadable";
    if (!reason) {
        struct job job = {.state = state, .id = exchange->id, .edits = edits};
        corrupt_outputs(&job, &found, counted);
        if (job.edit_count > 0)
            action->body = ce_tensor_apply(exchange->body, exchange->body_size, edits,
                                           job.edit_count, &action->body_size);
    } else if (counted) {
        ce_traffic_skip(&state->traffic, reason);
    }
    ce_tensor_values_done(&found);
}

static int corruption_inject(struct ce_injection *injection, struct ce_error *err)
{
    static const struct ce_hook hook = {.wants = CE_HOOK_RESPONSE_BODY,
                                        .on_response = corruption_on_response};
    struct corruption_state *state = injection->state;
    state->params = injection->params;
    state->recipe = ce_recipe_init(injection->seed, injection->fault->name, "model");
    return ce_traffic_arm(&state->traffic, injection->target->model_route, &hook, state, err);
}

static bool corruption_hits(const void *ctx, const char *id)
{
    const struct corruption_state *state = ctx;
    return ce_recipe_hits(&state->recipe, id, 0, state->params->corruption_rate);
}

/* A single selected prediction may well stay as it was (a label drawn at random, a score of 0.5
 * flipped), so it looks at several. */
static int corruption_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                             struct ce_error *err)
{
    enum { TRIES = 16, ENOUGH = 3 };
    const struct corruption_state *state = injection->state;
    const struct ce_target *target = injection->target;
    int64_t next = 0;
    int looked = 0, changed = 0;
    while (looked < TRIES && changed < ENOUGH) {
        char id[CE_PROBE_ID_SIZE];
        struct ce_witness witness;
        next = ce_probe_pick(corruption_hits, state, true, next, id, err);
        if (next < 0)
            return (int)next;
        CE_TRY(ce_witness_ask(target, target->model_route, id, (uint64_t)looked, 2 * CE_SECOND,
                              &witness, err));
        looked++;
        changed += witness.routed_result == 0 && witness.routed.status == 200 &&
                   !ce_witness_same(&witness);
        ce_witness_done(&witness);
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%d of %d probes that the recipe selects came back through the proxy with another "
             "prediction than directly",
             changed, looked);
    if (changed == 0 || state->params->corruption_rate == 1)
        return changed > 0;
    return ce_traffic_verify_spared(target, target->model_route, corruption_hits, state, CE_SECOND,
                                    ret_evidence, err);
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
    return 0;
}

static int corruption_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    return ce_traffic_verify_undo(injection->target, injection->target->model_route,
                                  corruption_is_control(injection->params) ? NULL : corruption_hits,
                                  injection->state, CE_SECOND, err);
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
    .revert = corruption_revert,
    .verify_undo = corruption_verify_undo,
    .count = corruption_count,
};
