/* SPDX-License-Identifier: MIT */
#include "faults/traffic.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "proxy/tensor.h"

/* Odd constants that spread units and sub-draws over the counter space of a stream. */
#define UNIT_STEP UINT64_C(0x9E3779B97F4A7C15)
#define SUB_STEP  UINT64_C(0xD1B54A32D192ED03)

/* How long an upstream may take to answer a probe that nothing stands in the way of. */
#define DIRECT_TIMEOUT (2 * CE_SECOND)

struct ce_recipe ce_recipe_init(uint64_t seed, const char *fault, const char *route)
{
    char purpose[80];
    struct ce_recipe recipe;
    snprintf(purpose, sizeof purpose, "%s/select", fault);
    recipe.select = ce_stream_init(seed, purpose, route);
    snprintf(purpose, sizeof purpose, "%s/value", fault);
    recipe.value = ce_stream_init(seed, purpose, route);
    return recipe;
}

bool ce_recipe_hits(const struct ce_recipe *recipe, const char *id, uint64_t unit, double rate)
{
    return ce_stream_uniform(&recipe->select, ce_hash_name(id, strlen(id)) + unit * UNIT_STEP) <
           rate;
}

void ce_recipe_random(const struct ce_recipe *recipe, const char *id, uint64_t unit, uint64_t sub,
                      uint64_t ret_words[2])
{
    ce_stream_draw(&recipe->value, ce_hash_name(id, strlen(id)) + unit * UNIT_STEP + sub * SUB_STEP,
                   ret_words);
}

int ce_traffic_arm(struct ce_traffic *traffic, struct ce_route *route, const struct ce_hook *hook,
                   void *ctx, struct ce_error *err)
{
    traffic->hook = *hook;
    traffic->intensity = 1;
    return ce_route_arm(route, &traffic->hook, ctx, &traffic->rule, err);
}

void ce_traffic_disarm(struct ce_traffic *traffic)
{
    if (!traffic->rule)
        return;
    ce_rule_disarm(traffic->rule);
    traffic->rule = NULL;
}

bool ce_traffic_counted(const struct ce_exchange *exchange)
{
    const char *id = exchange->id;
    if (exchange->is_probe)
        return false;
    bool other_phase = (id[0] == 'b' || id[0] == 'r' || id[0] == 'v') && id[1] == '-' &&
                       isdigit((unsigned char)id[2]);
    return !other_phase;
}

bool ce_traffic_is_prediction(const struct ce_exchange *exchange)
{
    return strcmp(exchange->method, "POST") == 0;
}

/* The proxy's thread is the only writer, so finding a free slot needs no lock; a reader sees a
 * reason before its count. */
void ce_traffic_skip(struct ce_traffic *traffic, const char *reason)
{
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX; i++) {
        const char *known = traffic->skipped[i].reason;
        if (known && strcmp(known, reason) != 0)
            continue;
        if (!known)
            traffic->skipped[i].reason = reason;
        traffic->skipped[i].count++;
        return;
    }
}

void ce_traffic_count(const struct ce_traffic *traffic, struct ce_fault_counts *ret_counts)
{
    *ret_counts = (struct ce_fault_counts){0};
    ret_counts->changed = traffic->changed;
    ret_counts->selected = traffic->selected;
    ret_counts->eligible = traffic->eligible;
    size_t n = 0;
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX; i++) {
        uint64_t count = traffic->skipped[i].count;
        if (count == 0)
            continue;
        ret_counts->skipped[n].reason = traffic->skipped[i].reason;
        ret_counts->skipped[n].count = count;
        n++;
    }
}

int64_t ce_probe_pick(bool (*hits)(const void *ctx, const char *id), const void *ctx, bool want,
                      int64_t from, char ret_id[CE_PROBE_ID_SIZE], struct ce_error *err)
{
    char id[CE_PROBE_ID_SIZE];
    for (int64_t k = from; k < from + (1 << 24); k++) {
        snprintf(id, sizeof id, CE_PROBE_PREFIX "%lld", (long long)k);
        if (hits(ctx, id) != want)
            continue;
        memcpy(ret_id, id, sizeof id);
        return k + 1;
    }
    return ce_fail(err, ENOENT, "none of %d probes is one that the recipe %s", 1 << 24,
                   want ? "selects" : "spares");
}

int ce_witness_ask(const struct ce_target *target, const struct ce_route *route, const char *id,
                   uint64_t row, int64_t timeout_ns, struct ce_witness *ret_witness,
                   struct ce_error *err)
{
    const char *path;
    ce_autofree char *body = NULL;
    size_t size;
    char headers[128];
    if (!target->sample_request)
        return ce_fail(err, ENOTSUP, "%s offers no sample request to probe with", target->name);
    CE_TRY(target->sample_request(target->pipeline, row, &path, &body, &size, err));
    snprintf(headers, sizeof headers, "Content-Type: application/json\r\nX-Request-Id: %s\r\n", id);
    struct ce_http_call call = {
        .method = "POST",
        .path = path,
        .headers = headers,
        .body = body,
        .body_size = size,
        .timeout_ns = DIRECT_TIMEOUT,
    };
    struct ce_witness witness = {0};
    int r = ce_http_call(ce_route_upstream(route), &call, &witness.direct, err);
    if (r < 0)
        return ce_fail_context(err, r, "probing %s directly", target->name);
    call.timeout_ns = timeout_ns;
    witness.routed_result = ce_http_call(ce_route_endpoint(route), &call, &witness.routed, NULL);
    *ret_witness = witness;
    return 0;
}

void ce_witness_done(struct ce_witness *witness)
{
    ce_http_answer_done(&witness->direct);
    ce_http_answer_done(&witness->routed);
}

static bool same_text(struct ce_slice a, struct ce_slice b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static bool same_predictions(const struct ce_tensor_values *a, const struct ce_tensor_values *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_text(a->values[i].text, b->values[i].text))
            return false;
    return true;
}

bool ce_witness_same(const struct ce_witness *witness)
{
    const struct ce_http_answer *a = &witness->direct, *b = &witness->routed;
    if (witness->routed_result < 0 || a->status != b->status)
        return false;
    struct ce_tensor_values in_a = {0}, in_b = {0};
    bool same;
    if (ce_tensor_find(a->body, a->body_size, "outputs", &in_a, NULL) == 0 &&
        ce_tensor_find(b->body, b->body_size, "outputs", &in_b, NULL) == 0)
        same = same_predictions(&in_a, &in_b);
    else
        same = same_text((struct ce_slice){a->body, a->body_size},
                         (struct ce_slice){b->body, b->body_size});
    ce_tensor_values_done(&in_a);
    ce_tensor_values_done(&in_b);
    return same;
}

int ce_traffic_unaffected(const struct ce_target *target, const struct ce_route *route,
                          const char *id, int64_t slack_ns, struct ce_error *err)
{
    enum { TRIES = 5 };
    int64_t direct = INT64_MAX, routed = INT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        struct ce_witness witness;
        CE_TRY(ce_witness_ask(target, route, id, 0, DIRECT_TIMEOUT, &witness, err));
        bool same = ce_witness_same(&witness);
        if (witness.direct.total_ns < direct)
            direct = witness.direct.total_ns;
        if (same && witness.routed.total_ns < routed)
            routed = witness.routed.total_ns;
        ce_witness_done(&witness);
        if (routed != INT64_MAX && routed - direct <= slack_ns)
            return 0;
    }
    if (routed == INT64_MAX)
        return ce_fail(err, EIO, "%s is not answered through the proxy as it is directly", id);
    return ce_fail(err, EIO, "%s takes %.1f ms through the proxy, %.1f ms directly", id,
                   (double)routed / 1e6, (double)direct / 1e6);
}

int ce_traffic_verify_spared(const struct ce_target *target, const struct ce_route *route,
                             bool (*hits)(const void *ctx, const char *id), const void *ctx,
                             int64_t slack_ns, struct ce_evidence *evidence, struct ce_error *err)
{
    char id[CE_PROBE_ID_SIZE];
    struct ce_error why = {0};
    if (ce_probe_pick(hits, ctx, false, 0, id, NULL) < 0)
        return 1;
    int r = ce_traffic_unaffected(target, route, id, slack_ns, &why);
    if (r == 0) {
        size_t n = strlen(evidence->text);
        snprintf(evidence->text + n, sizeof evidence->text - n,
                 "; %s, which it spares, came through untouched", id);
        return 1;
    }
    if (r == -EIO) {
        snprintf(evidence->text, sizeof evidence->text, "the recipe spares it, yet %.280s",
                 why.message);
        return 0;
    }
    if (err)
        *err = why;
    return r;
}

int ce_traffic_verify_undo(const struct ce_target *target, const struct ce_route *route,
                           bool (*hits)(const void *ctx, const char *id), const void *ctx,
                           int64_t slack_ns, struct ce_error *err)
{
    char id[CE_PROBE_ID_SIZE] = CE_PROBE_PREFIX "0";
    if (hits && ce_probe_pick(hits, ctx, true, 0, id, err) < 0)
        return -ENOENT;
    return ce_traffic_unaffected(target, route, id, slack_ns, err);
}
