/* SPDX-License-Identifier: MIT */
/* slow_inference: holds predictions back on their way from the model server to its caller.
 *
 * The delay starts when the head of the server's answer arrives, so that the server's own time and
 * the injected time add up as they would with a slower model. Then the body may take its time, too.
 * Each request draws its own delay, by its id. Nothing outside this process is touched, so there is
 * nothing to note in the journal. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "faults/traffic.h"

enum distribution {
    DISTRIBUTION_UNIFORM = 0,
    DISTRIBUTION_NORMAL,
    DISTRIBUTION_PARETO,
    DISTRIBUTION_RECORDED,
};

struct slow {
    struct ce_traffic_params traffic;
    double latency_ms, variance, shape, body_ms;
    int distribution;
    char *file;
};

struct slow_state {
    struct ce_traffic traffic;
    const struct slow *params;
    double *recorded; /* ms */
    size_t recorded_count;
    double typical;               /* ms: a delay that many requests reach */
    char probe[CE_PROBE_ID_SIZE]; /* one that is held back for so long; "": none */
};

#define LONGEST_MS 600000.0

static const struct ce_choice distributions[] = {
    {"uniform", DISTRIBUTION_UNIFORM, "latency_ms * (1 + U(-variance, +variance))"},
    {"normal", DISTRIBUTION_NORMAL,
     "normal, with a standard deviation of variance * latency_ms, and never below 0"},
    {"pareto", DISTRIBUTION_PARETO,
     "most delays below latency_ms, which is the mean, and few far above it; see `shape`"},
    {"recorded", DISTRIBUTION_RECORDED, "any of those in `file`; latency_ms plays no part"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_NUMBER(struct slow, latency_ms, .min = 0, .max = LONGEST_MS, .def = "500", .unit = "ms",
              .doc = "Time by which a prediction is held back."),
    CE_RATE(struct slow, variance, .def = "0.2",
            .doc = "Spread of it: a delay is latency_ms * (1 + U(-variance, +variance)), drawn for "
                   "each request."),
    CE_CHOICE(struct slow, distribution, .choices = distributions, .def = "uniform",
              .doc = "How a delay is drawn; each is at most 10 minutes."),
    CE_NUMBER(struct slow, shape, .min = 1.1, .max = 100, .def = "2.5",
              .doc = "Of distribution pareto: the smaller, the heavier its tail."),
    CE_TEXT(struct slow, file, .def = "",
            .doc = "Of distribution recorded: a file of delays in ms, one on each line."),
    CE_NUMBER(struct slow, body_ms, .min = 0, .max = LONGEST_MS, .def = "0", .unit = "ms",
              .doc = "Time over which the body of a prediction is spread, after its delay."),
    CE_TRAFFIC_PARAMS(struct slow),
    CE_END_PARAMS,
};

static int slow_check(const void *p, struct ce_error *err)
{
    const struct slow *slow = p;
    bool recorded = slow->distribution == DISTRIBUTION_RECORDED;
    if (slow->file && !recorded)
        return ce_fail(err, EINVAL,
                       "file: only distribution recorded reads one, and distribution "
                       "is %s",
                       distributions[slow->distribution].name);
    if (recorded && !slow->file)
        return ce_fail(err, EINVAL,
                       "distribution: recorded needs `file`, which has a delay in ms on each line");
    return ce_traffic_check(&slow->traffic, err);
}

static bool slow_is_control(const void *p)
{
    const struct slow *slow = p;
    bool recorded = slow->distribution == DISTRIBUTION_RECORDED;
    return slow->traffic.share == 0 || (slow->latency_ms == 0 && slow->body_ms == 0 && !recorded);
}

/* ---- recorded delays ---- */

/* Reads one line; blank ones are passed over. 1: a delay, 0: none. */
static int read_line(const char *file, size_t number, const char *line, double *ret_ms,
                     struct ce_error *err)
{
    char where[96], shown[CE_TEXT_SHOWN_SIZE];
    if (line[strspn(line, " \t\r")] == '\0')
        return 0;
    if (ce_text_number(line, ret_ms) == 0 && *ret_ms >= 0 && *ret_ms <= LONGEST_MS)
        return 1;
    snprintf(where, sizeof where, "%.64s:%zu", file, number);
    ce_text_show(line, shown);
    return ce_fail_at(err, where, EINVAL, "'%s' is no delay: a number of ms in 0..600000", shown);
}

static int compare_delays(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median; but a probe must be held back at all. 0 when nothing is. */
static int find_typical(struct slow_state *state, struct ce_error *err)
{
    size_t count = state->recorded_count;
    ce_autofree double *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return ce_fail_memory(err);
    memcpy(sorted, state->recorded, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_delays);
    size_t at = count / 2;
    while (at < count && sorted[at] == 0)
        at++;
    state->typical = at < count ? sorted[at] : 0;
    return 0;
}

static int read_recorded(struct slow_state *state, const char *file, struct ce_error *err)
{
    ce_autofree char *text = NULL;
    size_t size, lines = 1, number = 0;
    CE_TRY(ce_file_read(file, 64 << 20, &text, &size, err));
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    state->recorded = calloc(lines, sizeof *state->recorded);
    if (!state->recorded)
        return ce_fail_memory(err);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        size_t n = strlen(line);
        if (n > 0 && line[n - 1] == '\r')
            line[n - 1] = '\0';
        int r = read_line(file, ++number, line, &state->recorded[state->recorded_count], err);
        CE_TRY(r);
        state->recorded_count += (size_t)r;
    }
    CE_TRY(find_typical(state, err));
    if (state->typical == 0)
        return ce_fail(err, EINVAL, "file: '%s' holds no delay above 0", file);
    return 0;
}

/* ---- the rule ---- */

static double delay_ms(const struct slow_state *state, uint64_t word)
{
    const struct slow *slow = state->params;
    double delay = slow->latency_ms;
    switch ((enum distribution)slow->distribution) {
    case DISTRIBUTION_UNIFORM:
        return delay * (1 + slow->variance * (2 * ce_uniform_from(word) - 1));
    case DISTRIBUTION_NORMAL:
        delay *= 1 + slow->variance * ce_normal_from(word);
        break;
    case DISTRIBUTION_PARETO:
        delay *= (slow->shape - 1) / slow->shape * ce_pareto_from(word, slow->shape);
        break;
    case DISTRIBUTION_RECORDED:
        return state->recorded[(word >> 32) * state->recorded_count >> 32];
    }
    return delay < 0 ? 0 : delay > LONGEST_MS ? LONGEST_MS : delay;
}

/* Of its head, at full intensity. */
static int64_t delay_of(const struct slow_state *state, const char *id)
{
    uint64_t words[2];
    ce_recipe_random(&state->traffic.recipe, id, 0, 0, words);
    return (int64_t)(delay_ms(state, words[0]) * CE_MILLISECOND);
}

static int64_t at_intensity(const struct slow_state *state, int64_t time)
{
    return (int64_t)((double)time * state->traffic.intensity);
}

static int64_t body_time(const struct slow_state *state)
{
    return (int64_t)(state->params->body_ms * CE_MILLISECOND);
}

static void slow_on_response(void *ctx, const struct ce_visit *visit, struct ce_action *action)
{
    const struct slow_state *state = ctx;
    if (!ce_visit_select(visit, 0, 1))
        return;
    action->delay_ns = at_intensity(state, delay_of(state, visit->exchange->id));
    action->body_ns = at_intensity(state, body_time(state));
    double delay = (double)action->delay_ns / 1e6, body = (double)action->body_ns / 1e6;
    if (action->body_ns > 0)
        ce_visit_did(visit, action, 1, "delayed %.1f ms, body spread over %.1f ms", delay, body);
    else if (action->delay_ns > 0)
        ce_visit_did(visit, action, 1, "delayed %.1f ms", delay);
    else
        ce_visit_skip(visit, "no change");
}

/* ---- the proof ---- */

/* Those that are drawn short prove little. */
static bool hits_long(const void *ctx, const char *id)
{
    const struct slow_state *state = ctx;
    return ce_traffic_hits(&state->traffic, id, 0, 1) &&
           delay_of(state, id) >= (int64_t)(state->typical * CE_MILLISECOND);
}

static bool hits_any(const void *ctx, const char *id)
{
    const struct slow_state *state = ctx;
    return ce_traffic_hits(&state->traffic, id, 0, 1);
}

static bool is_probe(const void *ctx, const char *id)
{
    const struct slow_state *state = ctx;
    return strcmp(id, state->probe) == 0;
}

static int slow_inject(struct ce_injection *injection, struct ce_error *err)
{
    static const struct ce_traffic_hook hook = {.scope = CE_TRAFFIC_CALLS,
                                                .on_response = slow_on_response};
    struct slow_state *state = injection->state;
    const struct slow *slow = state->params = injection->params;
    state->typical = slow->latency_ms;
    if (slow->distribution == DISTRIBUTION_RECORDED)
        CE_TRY(read_recorded(state, slow->file, err));
    CE_TRY(ce_traffic_arm(&state->traffic, injection, &slow->traffic, &hook, state, err));
    if (slow_is_control(slow))
        return 0;
    int64_t next = ce_probe_pick(hits_long, state, true, 0, state->probe, err);
    return next < 0 ? (int)next : 0;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What an answer that is not held back may take longer through the proxy, on a busy machine. */
static int64_t slack(const struct slow_state *state)
{
    int64_t half = (int64_t)((state->typical + state->params->body_ms) * CE_MILLISECOND / 2);
    return half < 5 * CE_MILLISECOND ? 5 * CE_MILLISECOND : least(half, 100 * CE_MILLISECOND);
}

/* The probe that came closest to its draw. */
struct best {
    char id[CE_PROBE_ID_SIZE];
    int64_t routed, expected;
    int64_t direct;  /* the shortest of all */
    bool unanswered; /* within `routed`, which is less than expected */
    unsigned asked;
    unsigned sooner; /* of these, took less than 3/4 of what the recipe adds directly */
};

/* Asks once; 1: took it, 0: the evidence says what happened instead. */
static int slow_look(const struct slow_state *state, const char *id, uint64_t row, int64_t patience,
                     struct best *best, struct ce_evidence *evidence, struct ce_error *err)
{
    int64_t expected = at_intensity(state, delay_of(state, id) + body_time(state));
    bool too_long = expected > patience;
    int64_t timeout = too_long ? patience : expected + CE_SECOND;
    struct ce_witness witness;
    CE_TRY(ce_witness_ask(&state->traffic, id, row, timeout, &witness, err));
    int r = witness.routed_result;
    int64_t direct = witness.direct.total_ns, routed = r < 0 ? timeout : witness.routed.total_ns;
    ce_witness_done(&witness);
    best->direct = least(best->direct, direct);
    best->asked++;
    best->sooner += direct < expected / 4 * 3;
    if (r < 0 && !(too_long && r == -ETIMEDOUT)) {
        snprintf(evidence->text, sizeof evidence->text, "%s got no answer through the proxy: %s",
                 id, strerror(-r));
        return 0;
    }
    if (best->id[0] == '\0' || routed - expected < best->routed - best->expected) {
        memcpy(best->id, id, sizeof best->id);
        best->routed = routed;
        best->expected = expected;
        best->unanswered = r < 0;
    }
    return 1;
}

/* On a busy host answers are late for nothing, but not all of them: that none is sooner through the
 * proxy than the recipe asks, though so many are directly, is hardly chance. */
static bool is_no_chance(const struct best *best)
{
    const int64_t never_by_chance = 100 * CE_MILLISECOND;
    double late = 1 - (double)best->sooner / (best->asked + 1);
    return best->expected >= never_by_chance || pow(late, best->asked) < 0.001;
}

/* Held back at least as long as the recipe asks, and not because the server is slow: it answers
 * much sooner directly. */
static bool slow_seen(const struct best *best)
{
    int64_t tolerance = least(CE_MILLISECOND, best->expected / 4);
    bool held = best->unanswered || best->routed >= best->expected - tolerance;
    return held && best->routed - best->direct >= least(best->expected, best->routed) / 2 &&
           is_no_chance(best);
}

static int slow_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                       struct ce_error *err)
{
    enum { PROBES = 3 };
    const struct slow_state *state = injection->state;
    int64_t patience = injection->duration / 2 > 300 * CE_MILLISECOND ? injection->duration / 2
                                                                      : 300 * CE_MILLISECOND;
    int64_t next = 0, started = ce_now();
    struct best best = {.direct = INT64_MAX};
    patience = least(patience, 2 * CE_SECOND);
    for (int i = 0; i < PROBES || !is_no_chance(&best); i++) {
        if (ce_now() - started >= CE_SECOND)
            break;
        char id[CE_PROBE_ID_SIZE];
        next = ce_probe_pick(hits_long, state, true, next, id, err);
        if (next < 0)
            return (int)next;
        int r = slow_look(state, id, (uint64_t)i, patience, &best, ret_evidence, err);
        if (r <= 0)
            return r;
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%s %s %.1f ms through the proxy, %.1f ms directly; the recipe adds %.1f ms", best.id,
             best.unanswered ? "had no answer within" : "took", (double)best.routed / 1e6,
             (double)best.direct / 1e6, (double)best.expected / 1e6);
    if (!slow_seen(&best))
        return 0;
    return ce_traffic_verify_spared(&state->traffic, hits_any, state, slack(state), ret_evidence,
                                    err);
}

/* ---- the other callbacks ---- */

static int slow_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    struct slow_state *state = injection->state;
    state->traffic.intensity = intensity;
    return 0;
}

static int slow_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct slow_state *state = injection->state;
    ce_traffic_disarm(&state->traffic);
    free(ce_take(state->recorded));
    return 0;
}

static int slow_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct slow_state *state = injection->state;
    return ce_traffic_verify_undo(&state->traffic, state->probe[0] ? is_probe : NULL, state,
                                  slack(state), err);
}

static void slow_count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct slow_state *state = injection->state;
    ce_traffic_count(&state->traffic, ret_counts);
}

const struct ce_fault ce_fault_slow_inference = {
    .name = "slow_inference",
    .summary = "Delay a share of the predictions",
    .layer = CE_LAYER_MODEL,
    .needs = CE_NEEDS_MODEL_ROUTE,
    .params = params,
    .params_size = sizeof(struct slow),
    .state_size = sizeof(struct slow_state),
    .example = "{latency_ms: 200, variance: 0.2}",
    .check = slow_check,
    .is_control = slow_is_control,
    .inject = slow_inject,
    .verify = slow_verify,
    .adjust = slow_adjust,
    .spare = ce_traffic_spare,
    .revert = slow_revert,
    .verify_undo = slow_verify_undo,
    .count = slow_count,
};
