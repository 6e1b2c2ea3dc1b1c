/* SPDX-License-Identifier: MIT */
/* The chain of rules of a route: whom to call, what they decided, and letting go of it when a rule
 * is disarmed. */
#include "proxy/proxy_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/seam.h"

/* A rule holds for requests whose head arrived after it was armed. */
static bool holds(const struct ce_hooked *hooked, const struct ce_rule *rule)
{
    return rule->serial <= hooked->serial;
}

static char *copy(struct ce_slice slice)
{
    return slice.data ? strndup(slice.data, slice.size) : strdup("");
}

struct ce_hooked *ce_hooked_new(const struct ce_route *route, const struct ce_http_head *head,
                                struct ce_slice id, bool is_probe)
{
    struct ce_hooked *hooked = calloc(1, sizeof *hooked);
    if (!hooked)
        return NULL;
    hooked->serial = route->serial;
    hooked->is_probe = is_probe;
    hooked->id =
        id.size > 0 ? copy(id) : ce_format("#%llu", (unsigned long long)route->counts.requests);
    hooked->method = copy(head->method);
    hooked->path = copy(head->target);
    if (!hooked->id || !hooked->method || !hooked->path || ce_hooked_note(hooked, head) < 0) {
        ce_hooked_free(hooked);
        return NULL;
    }
    return hooked;
}

void ce_hooked_free(struct ce_hooked *hooked)
{
    if (!hooked)
        return;
    free(hooked->id);
    free(hooked->method);
    free(hooked->path);
    free(hooked->content_type);
    free(hooked->request_payload);
    free(hooked->made);
    free(hooked);
}

int ce_hooked_note(struct ce_hooked *hooked, const struct ce_http_head *head)
{
    const struct ce_http_field *type = ce_http_find(head, "Content-Type");
    const struct ce_http_field *encoding = ce_http_find(head, "Content-Encoding");
    free(hooked->content_type);
    hooked->content_type = copy(type ? type->value : (struct ce_slice){0});
    hooked->encoded = encoding && !ce_http_is(encoding->value, "identity");
    hooked->arrived = ce_now();
    return hooked->content_type ? 0 : -ENOMEM;
}

bool ce_hooked_wants_request(const struct ce_client *client)
{
    const struct ce_rule *rule;
    TAILQ_FOREACH(rule, &client->route->rules, link)
    if (holds(client->hooked, rule) && rule->hook->wants & CE_HOOK_REQUEST_BODY)
        return true;
    return false;
}

bool ce_hooked_wants_response(const struct ce_client *client)
{
    const struct ce_rule *rule;
    TAILQ_FOREACH(rule, &client->route->rules, link)
    if (holds(client->hooked, rule) && rule->hook->on_response &&
        rule->hook->wants & CE_HOOK_RESPONSE_BODY)
        return true;
    return false;
}

static void forget_decision(struct ce_hooked *hooked)
{
    hooked->kind = CE_ACT_PASS;
    hooked->decider = NULL;
    free(hooked->made);
    hooked->made = NULL;
    hooked->made_size = 0;
    hooked->replaced = false;
    hooked->hold_count = 0;
}

/* The answer is put together now: afterwards the rule, and the header lines with it, may be gone.
 */
static void make_answer(struct ce_client *client, const struct ce_action *action)
{
    struct ce_hooked *hooked = client->hooked;
    struct ce_answer answer = {
        .status = action->status,
        .headers = action->headers,
        .body = action->body,
        .body_size = action->body ? action->body_size : 0,
        .to_head_request = client->is_head,
        .close = !ce_client_keeps(client),
    };
    free(hooked->made);
    hooked->replaced = false;
    hooked->made = ce_message_answer(&answer, &hooked->made_size);
}

/* Takes one rule's decision over. `had_body`: the rule was shown a body, so it may replace it. */
static void decide(struct ce_client *client, struct ce_rule *rule, struct ce_action *action,
                   bool had_body)
{
    struct ce_hooked *hooked = client->hooked;
    if (action->delay_ns > 0) {
        hooked->holds[hooked->hold_count].rule = rule;
        hooked->holds[hooked->hold_count++].delay_ns = action->delay_ns;
    }
    if (action->kind == CE_ACT_PASS && action->body && had_body) {
        free(hooked->made);
        hooked->made = action->body;
        hooked->made_size = action->body_size;
        hooked->replaced = true;
        return;
    }
    if (action->kind != CE_ACT_PASS) {
        hooked->kind = action->kind;
        hooked->decider = rule;
        if (action->kind == CE_ACT_ANSWER)
            make_answer(client, action);
    }
    free(action->body);
}

static void show_body(struct ce_exchange *exchange, const struct ce_hooked *hooked,
                      const struct ce_slice *body)
{
    exchange->body = hooked->replaced ? hooked->made : body->data;
    exchange->body_size = hooked->replaced ? hooked->made_size : body->size;
    if (!exchange->body)
        exchange->body = "";
}

static struct ce_exchange describe(const struct ce_hooked *hooked)
{
    return (struct ce_exchange){
        .id = hooked->id,
        .method = hooked->method,
        .path = hooked->path,
        .is_probe = hooked->is_probe,
        .body_encoded = hooked->encoded,
        .content_type = hooked->content_type,
    };
}

void ce_hooked_request(struct ce_client *client, const struct ce_slice *body)
{
    struct ce_hooked *hooked = client->hooked;
    forget_decision(hooked);
    struct ce_rule *rule;
    TAILQ_FOREACH(rule, &client->route->rules, link)
    {
        bool wants = rule->hook->wants & CE_HOOK_REQUEST_BODY;
        if (!holds(hooked, rule) || !rule->hook->on_request || (wants && !body))
            continue;
        struct ce_exchange exchange = describe(hooked);
        struct ce_action action = {0};
        if (wants)
            show_body(&exchange, hooked, body);
        rule->hook->on_request(rule->ctx, &exchange, &action);
        decide(client, rule, &action, wants);
        if (hooked->kind != CE_ACT_PASS)
            return;
    }
}

static void show_request_body(struct ce_exchange *exchange, const struct ce_client *client)
{
    const struct ce_hooked *hooked = client->hooked;
    if (!hooked->has_request_payload)
        return;
    exchange->request_body_size = hooked->request_payload_size;
    if (hooked->request_payload_size == 0)
        exchange->request_body = "";
    else if (hooked->request_payload)
        exchange->request_body = hooked->request_payload;
    else
        exchange->request_body = ce_buffer_bytes(&client->conn.in) + client->request_head_size;
}

void ce_hooked_response(struct ce_client *client, int status, const struct ce_slice *body)
{
    struct ce_hooked *hooked = client->hooked;
    forget_decision(hooked);
    struct ce_rule *rule;
    TAILQ_FOREACH(rule, &client->route->rules, link)
    {
        bool wants = rule->hook->wants & CE_HOOK_RESPONSE_BODY;
        if (!holds(hooked, rule) || !rule->hook->on_response || (wants && !body))
            continue;
        struct ce_exchange exchange = describe(hooked);
        struct ce_action action = {0};
        exchange.status = status;
        if (wants)
            show_body(&exchange, hooked, body);
        if (wants && rule->hook->wants & CE_HOOK_REQUEST_BODY)
            show_request_body(&exchange, client);
        rule->hook->on_response(rule->ctx, &exchange, &action);
        decide(client, rule, &action, wants);
        if (hooked->kind != CE_ACT_PASS)
            return;
    }
}

int64_t ce_hooked_release(const struct ce_hooked *hooked)
{
    if (hooked->kind == CE_ACT_HANG)
        return INT64_MAX;
    int64_t at = hooked->arrived;
    for (size_t i = 0; i < hooked->hold_count; i++) {
        if (hooked->holds[i].delay_ns > INT64_MAX - 1 - at)
            return INT64_MAX - 1;
        at += hooked->holds[i].delay_ns;
    }
    return at;
}

static int rule_insert(void *arg)
{
    struct ce_rule *rule = arg;
    struct ce_route *route = rule->route;
    if (route->rule_count == CE_RULES_MAX)
        return -ENOSPC;
    rule->serial = ++route->serial;
    if (!rule->muted) {
        TAILQ_INSERT_TAIL(&route->rules, rule, link);
        route->rule_count++;
    }
    return 0;
}

int ce_route_arm(struct ce_route *route, const struct ce_hook *hook, void *ctx,
                 struct ce_rule **ret_rule, struct ce_error *err)
{
    struct ce_rule *rule = calloc(1, sizeof *rule);
    if (!rule)
        return ce_fail_memory(err);
    *rule =
        (struct ce_rule){.route = route, .hook = hook, .ctx = ctx, .muted = ce_seam_no_effect()};
    ce_seam_step("rule armed");
    int r = ce_proxy_call(route->proxy, rule_insert, rule);
    if (r < 0) {
        free(rule);
        return ce_fail(err, -r, "route '%s' has %d rules already, which is as many as it may have",
                       route->name, CE_RULES_MAX);
    }
    ce_seam_step("rule armed");
    *ret_rule = rule;
    return 0;
}

/* Lets go of what the rule still holds of that client's exchange. */
static void let_go(struct ce_client *client, const struct ce_rule *rule)
{
    struct ce_hooked *hooked = client->hooked;
    size_t kept = 0;
    for (size_t i = 0; i < hooked->hold_count; i++)
        if (hooked->holds[i].rule != rule)
            hooked->holds[kept++] = hooked->holds[i];
    hooked->hold_count = kept;
    bool decided = hooked->decider == rule;
    if (decided)
        hooked->decider = NULL;
    if (client->stage != CE_STAGE_HELD && client->stage != CE_STAGE_RESPONSE_HELD)
        return;
    if (decided && hooked->kind == CE_ACT_HANG)
        ce_client_reset(client);
    else
        ce_client_run(client);
}

static int rule_remove(void *arg)
{
    struct ce_rule *rule = arg;
    struct ce_route *route = rule->route;
    if (rule->muted)
        return 0;
    TAILQ_REMOVE(&route->rules, rule, link);
    route->rule_count--;
    struct ce_client *next;
    for (struct ce_client *client = LIST_FIRST(&route->clients); client; client = next) {
        next = LIST_NEXT(client, link); /* letting go may close the client, but no other one */
        if (client->hooked)
            let_go(client, rule);
    }
    return 0;
}

void ce_rule_disarm(struct ce_rule *rule)
{
    if (!rule)
        return;
    ce_seam_step("rule disarmed");
    (void)ce_proxy_call(rule->route->proxy, rule_remove, rule);
    free(rule);
    ce_seam_step("rule disarmed");
}
