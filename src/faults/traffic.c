/* SPDX-License-Identifier: MIT */
#include "faults/traffic.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "faults/filter.h"
#include "faults/hits.h"
#include "faults/sample.h"

/* Odd constants that spread units and sub-draws over the counter space of a stream. */
#define UNIT_STEP UINT64_C(0x9E3779B97F4A7C15)
#define SUB_STEP  UINT64_C(0xD1B54A32D192ED03)

static const char json_length_field[] = "Inference-Header-Content-Length";

int ce_traffic_check(const struct ce_traffic_params *params, struct ce_error *err)
{
    struct ce_filter *filter;
    CE_TRY(ce_filter_new(params, &filter, err));
    ce_filter_free(filter);
    return 0;
}

/* ---- the draws ---- */

static struct ce_stream stream_for(uint64_t seed, const char *fault, const char *use,
                                   const char *subject)
{
    char purpose[80];
    snprintf(purpose, sizeof purpose, "%s/%s", fault, use);
    return ce_stream_init(seed, purpose, subject);
}

struct ce_recipe ce_recipe_init(uint64_t seed, const char *fault, const char *route,
                                const char *rule)
{
    char subject[256];
    snprintf(subject, sizeof subject, "%s%s%s", route, rule ? "/" : "", rule ? rule : "");
    return (struct ce_recipe){
        .select = stream_for(seed, fault, "select", subject),
        .value = stream_for(seed, fault, "value", subject),
        .share = stream_for(seed, fault, "share", subject),
    };
}

static uint64_t hash_id(const char *id)
{
    return ce_hash_name(id, strlen(id));
}

bool ce_recipe_hits(const struct ce_recipe *recipe, const char *id, uint64_t unit, double rate)
{
    return ce_stream_uniform(&recipe->select, hash_id(id) + unit * UNIT_STEP) < rate;
}

void ce_recipe_random(const struct ce_recipe *recipe, const char *id, uint64_t unit, uint64_t sub,
                      uint64_t ret_words[2])
{
    ce_stream_draw(&recipe->value, hash_id(id) + unit * UNIT_STEP + sub * SUB_STEP, ret_words);
}

bool ce_recipe_shares(const struct ce_recipe *recipe, const char *id, double share)
{
    return share >= 1 || ce_stream_uniform(&recipe->share, hash_id(id)) < share;
}

bool ce_spared(uint64_t seed, const char *id, double share)
{
    struct ce_stream stream = ce_stream_init(seed, "rollback/spare", "requests");
    uint64_t request = ce_hash_name(id, strcspn(id, "."));
    return share >= 1 || (share > 0 && ce_stream_uniform(&stream, request) < share);
}

bool ce_traffic_shares(const struct ce_traffic *traffic, const char *id)
{
    return ce_recipe_shares(&traffic->recipe, id, traffic->share) &&
           (!traffic->reach || ce_radius_has(&traffic->reach->radius, id));
}

bool ce_traffic_hits(const struct ce_traffic *traffic, const char *id, uint64_t unit, double rate)
{
    return ce_traffic_shares(traffic, id) && ce_recipe_hits(&traffic->recipe, id, unit, rate);
}

/* ---- counts ---- */

/* The workload numbers its operations by phase: "b-17", "f-17", "r-17", "v-17". */
static bool is_of_other_phase(const char *id)
{
    return (id[0] == 'b' || id[0] == 'r' || id[0] == 'v') && id[1] == '-' &&
           isdigit((unsigned char)id[2]);
}

static struct ce_visit visit_of(struct ce_traffic *traffic, const struct ce_exchange *exchange)
{
    struct ce_visit visit = {.traffic = traffic, .exchange = exchange};
    visit.counted = !exchange->is_probe && (traffic->rule_name || !is_of_other_phase(exchange->id));
    if (ce_call_read(traffic->target->protocol, exchange->method, exchange->path, &visit.call) != 1)
        visit.call = (struct ce_call){0};
    return visit;
}

/* Several threads may look for a slot at once; a reader sees a reason before its count. */
void ce_visit_skip(const struct ce_visit *visit, const char *reason)
{
    struct ce_traffic *traffic = visit->traffic;
    for (size_t i = 0; visit->counted && i < CE_SKIP_REASONS_MAX; i++) {
        const char *known = NULL;
        if (!atomic_compare_exchange_strong(&traffic->skipped[i].reason, &known, reason) &&
            strcmp(known, reason) != 0)
            continue;
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

/* ---- who comes past ---- */

/* In every inference protocol a request for a prediction is a POST. A gRPC call says what it is
 * for, so one that no protocol knows is none. */
static bool may_be_call(const struct ce_visit *visit)
{
    const struct ce_exchange *exchange = visit->exchange;
    return visit->call.protocol ||
           (!visit->traffic->target->protocol && strcmp(exchange->method, "POST") == 0 &&
            strncasecmp(exchange->content_type, "application/grpc", 16) != 0);
}

static bool is_in_scope(const struct ce_visit *visit)
{
    switch (visit->traffic->fault.scope) {
    case CE_TRAFFIC_ALL:
        return true;
    case CE_TRAFFIC_CALLS:
        return may_be_call(visit);
    case CE_TRAFFIC_PREDICTIONS:
        if (!visit->call.protocol && strcmp(visit->exchange->method, "POST") == 0)
            ce_visit_skip(visit, "no prediction request");
        return visit->call.protocol != NULL;
    }
    return false;
}

/* Whether the request, of those that are looked at, lies within the blast radius. Of a number of
 * requests it takes one: only those that count use it up, and no probe needs any. */
static bool is_within(const struct ce_visit *visit)
{
    struct ce_reach *reach = visit->traffic->reach;
    if (!reach)
        return true;
    reach->eligible += visit->counted;
    bool within = ce_radius_has(&reach->radius, visit->exchange->id);
    if (reach->radius.kind == CE_RADIUS_COUNT && !visit->exchange->is_probe) {
        uint64_t taken = reach->chosen;
        within = false;
        while (visit->counted && taken < reach->radius.count && !within)
            within = atomic_compare_exchange_strong(&reach->chosen, &taken, taken + 1);
        return within;
    }
    reach->chosen += within && visit->counted;
    return within;
}

static bool concerns(void *ctx, const struct ce_exchange *exchange)
{
    struct ce_traffic *traffic = ctx;
    struct ce_visit visit = visit_of(traffic, exchange);
    return ce_filter_path(traffic->filter, exchange->path, &visit.call) &&
           ce_filter_header(traffic->filter, exchange) && is_in_scope(&visit) &&
           ce_recipe_shares(&traffic->recipe, exchange->id, traffic->share) &&
           !(traffic->spared > 0 && ce_spared(traffic->seed, exchange->id, traffic->spared)) &&
           (ce_filter_wants_body(traffic->filter) || is_within(&visit));
}

static bool passes_body(const struct ce_visit *visit)
{
    const struct ce_filter *filter = visit->traffic->filter;
    if (!ce_filter_wants_body(filter))
        return true;
    struct ce_message message = ce_visit_message(visit);
    int r =
        visit->exchange->body_encoded ? -EINVAL : ce_filter_body(filter, &visit->call, &message);
    if (r < 0)
        ce_visit_skip(visit, r == -ENOENT ? "no such feature" : "unreadable");
    return r > 0;
}

static void on_request(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    struct ce_traffic *traffic = ctx;
    struct ce_visit visit = visit_of(traffic, exchange);
    if (!passes_body(&visit) || (ce_filter_wants_body(traffic->filter) && !is_within(&visit)))
        action->leave = true;
    else if (traffic->fault.on_request)
        traffic->fault.on_request(traffic->ctx, &visit, action);
}

static void on_response(void *ctx, const struct ce_exchange *exchange, struct ce_action *action)
{
    struct ce_traffic *traffic = ctx;
    struct ce_visit visit = visit_of(traffic, exchange);
    traffic->fault.on_response(traffic->ctx, &visit, action);
}

/* ---- arming ---- */

static void unseen(void *ctx, const struct ce_exchange *exchange)
{
    struct ce_visit visit = visit_of(ctx, exchange);
    ce_visit_skip(&visit, "too large, or a stream");
}

int ce_traffic_arm(struct ce_traffic *traffic, const struct ce_injection *injection,
                   const struct ce_traffic_params *params, const struct ce_traffic_hook *hook,
                   void *ctx, struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    struct ce_route_counts before;
    traffic->intensity = 1;
    traffic->recipe = ce_recipe_init(injection->seed, injection->fault->name,
                                     hook->on_requests ? "requests" : "model", injection->rule);
    traffic->seed = injection->seed;
    traffic->target = target;
    traffic->route = hook->on_requests ? target->request_route : target->model_route;
    traffic->share = params ? params->share : 1;
    traffic->reach = injection->reach;
    traffic->fault = *hook;
    traffic->ctx = ctx;
    traffic->name = injection->fault->name;
    traffic->rule_name = injection->rule;
    CE_TRY(ce_filter_new(params, &traffic->filter, err));
    CE_TRY(ce_sample_first(traffic, &traffic->first_row, err));
    bool wants_body = ce_filter_wants_body(traffic->filter);
    traffic->hook = (struct ce_hook){
        .name = traffic->name,
        .place = injection->place,
        .wants = hook->wants | (wants_body ? CE_HOOK_REQUEST_BODY : 0),
        .concerns = concerns,
        .on_request = wants_body || hook->on_request ? on_request : NULL,
        .on_response = hook->on_response ? on_response : NULL,
        .unseen = unseen,
    };
    ce_route_count(traffic->route, &before);
    traffic->requests_before = before.requests;
    return ce_route_arm(traffic->route, &traffic->hook, traffic, &traffic->rule, err);
}

void ce_traffic_disarm(struct ce_traffic *traffic)
{
    ce_rule_disarm(ce_take(traffic->rule));
    ce_filter_free(ce_take(traffic->filter));
}

int ce_traffic_spare(struct ce_injection *injection, double share, struct ce_error *err)
{
    struct ce_traffic *traffic = injection->state;
    traffic->spared = share;
    return 0;
}

/* ---- within the callbacks ---- */

bool ce_visit_select(const struct ce_visit *visit, uint64_t unit, double rate)
{
    struct ce_traffic *traffic = visit->traffic;
    traffic->eligible += visit->counted;
    if (!ce_recipe_hits(&traffic->recipe, visit->exchange->id, unit, rate))
        return false;
    traffic->selected += visit->counted;
    return true;
}

void ce_visit_random(const struct ce_visit *visit, uint64_t unit, uint64_t sub,
                     uint64_t ret_words[2])
{
    ce_recipe_random(&visit->traffic->recipe, visit->exchange->id, unit, sub, ret_words);
}

/* "f-17", and "f-17.2" for another attempt at it: words, then at most nine digits. A UUID ends in
 * digits that count nothing. */
static bool number_in(const char *id, uint64_t *ret_number)
{
    size_t start = strcspn(id, "0123456789"), digits = strspn(id + start, "0123456789");
    const char *rest = id + start + digits;
    bool attempt = *rest == '.' && rest[1 + strspn(rest + 1, "0123456789")] == '\0';
    if (digits == 0 || digits > 9 || id[0] == '#' || (*rest != '\0' && !attempt))
        return false;
    *ret_number = strtoull(id + start, NULL, 10);
    return true;
}

uint64_t ce_visit_index(const struct ce_visit *visit)
{
    uint64_t number = visit->exchange->number, before = visit->traffic->requests_before;
    if (number_in(visit->exchange->id, &number))
        return number;
    return number > before ? number - before - 1 : 0;
}

void ce_visit_did(const struct ce_visit *visit, struct ce_action *action, uint64_t units,
                  const char *fmt, ...)
{
    const struct ce_exchange *exchange = visit->exchange;
    struct ce_traffic *traffic = visit->traffic;
    action->acted = true;
    if (!visit->counted)
        return;
    traffic->changed += units;
    if (!traffic->target->hits)
        return;
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct ce_hit hit = {
        .number = exchange->number,
        .connection = exchange->connection,
        .id = exchange->id,
        .path = exchange->path,
        .rule = traffic->rule_name,
        .run = traffic->target->run,
        .fault = traffic->name,
        .action = text,
    };
    ce_hits_note(traffic->target->hits, &hit);
}

struct ce_message ce_visit_message(const struct ce_visit *visit)
{
    const struct ce_exchange *exchange = visit->exchange;
    return (struct ce_message){
        .protocol = visit->call.protocol,
        .content_type = exchange->content_type,
        .json_length = ce_exchange_header(exchange, json_length_field),
        .body = exchange->body,
        .size = exchange->body_size,
        .locator = visit->traffic->target->locator,
    };
}

const char *ce_visit_outputs(const struct ce_visit *visit, struct ce_message *ret_message,
                             struct ce_values *ret_values)
{
    const struct ce_exchange *exchange = visit->exchange;
    struct ce_values values = {0};
    if (exchange->status < 200 || exchange->status > 299)
        return "error answer";
    if (exchange->body_encoded)
        return "encoded";
    struct ce_message message = ce_visit_message(visit);
    if (!message.protocol || ce_message_outputs(&message, &values, NULL) < 0)
        return "unreadable";
    if (values.count == 0) {
        const char *why = values.without_data > 0 ? "no values" : "unreadable";
        ce_values_done(&values);
        return why;
    }
    *ret_message = message;
    *ret_values = values;
    return NULL;
}

void ce_visit_replace(const struct ce_visit *visit, struct ce_action *action,
                      struct ce_remade *remade)
{
    action->body = ce_take(remade->body);
    action->body_size = remade->size;
    if (ce_exchange_header(visit->exchange, json_length_field).size == 0)
        return;
    action->set_name = json_length_field;
    snprintf(action->set_value, sizeof action->set_value, "%zu", remade->json_length);
}
