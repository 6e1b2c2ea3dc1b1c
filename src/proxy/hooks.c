/* SPDX-License-Identifier: MIT */
#include "proxy/hooks.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum { SPARE_MAX = 64 }; /* of one chain, so that a busy one does not ask malloc() */

/* ---- fields ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct ce_slice ce_fields_find(struct ce_slice fields, const char *name)
{
    if (fields.size == 0)
        return (struct ce_slice){0};
    size_t size = strlen(name);
    const char *line = fields.data, *end = fields.data + fields.size, *lf;
    for (; line < end && (lf = memchr(line, '\n', (size_t)(end - line))); line = lf + 1) {
        if ((size_t)(lf - line) <= size || line[size] != ':' || strncasecmp(line, name, size) != 0)
            continue;
        const char *value = line + size + 1, *stop = lf > line && lf[-1] == '\r' ? lf - 1 : lf;
        while (value < stop && is_blank(*value))
            value++;
        while (stop > value && is_blank(stop[-1]))
            stop--;
        return (struct ce_slice){value, (size_t)(stop - value)};
    }
    return (struct ce_slice){0};
}

struct ce_slice ce_exchange_header(const struct ce_exchange *exchange, const char *name)
{
    return ce_fields_find(exchange->head, name);
}

/* The fields with one of them changed, or added. NULL: no memory. */
static char *fields_set(struct ce_slice fields, const char *name, const char *value,
                        size_t *ret_size)
{
    struct ce_slice old = ce_fields_find(fields, name);
    size_t size = strlen(value);
    size_t before = old.data ? (size_t)(old.data - fields.data) : fields.size;
    size_t after = fields.size - before - old.size;
    char *text = malloc(fields.size + strlen(name) + size + sizeof ": \r\n");
    if (!text)
        return NULL;
    if (before > 0)
        memcpy(text, fields.data, before);
    int n = sprintf(text + before, "%s%s%s%s", old.data ? "" : name, old.data ? "" : ": ", value,
                    old.data ? "" : "\r\n");
    if (after > 0)
        memcpy(text + before + n, old.data + old.size, after);
    *ret_size = before + (size_t)n + after;
    return text;
}

/* ---- the beginning and the end ---- */

static struct ce_hooked *hooked_new(struct ce_chain *chain)
{
    struct ce_hooked *hooked = LIST_FIRST(&chain->spare);
    if (hooked) {
        LIST_REMOVE(hooked, link);
        chain->spare_count--;
    } else if (!(hooked = malloc(sizeof *hooked))) {
        return NULL;
    }
    memset(hooked, 0, offsetof(struct ce_hooked, holds));
    hooked->chain = chain;
    LIST_INSERT_HEAD(&chain->exchanges, hooked, link);
    return hooked;
}

static void forget_decision(struct ce_hooked *hooked)
{
    free(ce_take(hooked->headers));
    free(ce_take(hooked->body));
    free(ce_take(hooked->fields));
    hooked->kind = CE_ACT_PASS;
    hooked->decider = NULL;
    hooked->body_size = 0;
    hooked->replaced = false;
    hooked->set_count = hooked->hold_count = 0;
    if (!hooked->awaited)
        hooked->arrived = 0;
    hooked->awaited = false;
}

void ce_hooked_end(struct ce_hooked *hooked)
{
    if (!hooked)
        return;
    struct ce_chain *chain = hooked->chain;
    forget_decision(hooked);
    free(hooked->path);
    free(hooked->long_text);
    free(hooked->long_type);
    LIST_REMOVE(hooked, link);
    if (chain->spare_count == SPARE_MAX) {
        free(hooked);
        return;
    }
    LIST_INSERT_HEAD(&chain->spare, hooked, link);
    chain->spare_count++;
}

void ce_chain_done(struct ce_chain *chain)
{
    struct ce_hooked *hooked;
    while ((hooked = LIST_FIRST(&chain->spare))) {
        LIST_REMOVE(hooked, link);
        free(hooked);
    }
    chain->spare_count = 0;
}

/* ---- what callbacks are told ---- */

static char *put(char **at, struct ce_slice slice)
{
    char *text = *at;
    if (slice.size > 0)
        memcpy(text, slice.data, slice.size);
    text[slice.size] = '\0';
    *at += slice.size + 1;
    return text;
}

/* "#17", at the end of `text`; much cheaper than printf(), for every request. */
static struct ce_slice number_text(char text[24], uint64_t number)
{
    char *at = text + 24;
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    *--at = '#';
    return (struct ce_slice){at, (size_t)(text + 24 - at)};
}

static int note_request(struct ce_hooked *hooked, const struct ce_opening *opening)
{
    char number[24];
    struct ce_slice id = opening->id.size > 0 ? opening->id : number_text(number, opening->number);
    size_t size = id.size + opening->method.size + opening->path.size + 3;
    char *at = hooked->text;
    if (size > sizeof hooked->text)
        at = hooked->long_text = malloc(size);
    else
        hooked->text_used = size;
    if (!at)
        return -ENOMEM;
    hooked->exchange = (struct ce_exchange){
        .id = put(&at, id),
        .number = opening->number,
        .connection = opening->connection,
        .is_probe = opening->is_probe,
    };
    hooked->exchange.method = put(&at, opening->method);
    hooked->exchange.path = put(&at, opening->path);
    return 0;
}

/* What the fields of the message at hand say. */
static int note_fields(struct ce_hooked *hooked, struct ce_slice fields)
{
    struct ce_slice type = ce_fields_find(fields, "Content-Type");
    struct ce_slice encoding = ce_fields_find(fields, "Content-Encoding");
    char *at = hooked->text + hooked->text_used;
    free(ce_take(hooked->long_type));
    if (type.size >= sizeof hooked->text - hooked->text_used)
        at = hooked->long_type = malloc(type.size + 1);
    if (!at)
        return -ENOMEM;
    hooked->exchange.content_type = put(&at, type);
    hooked->exchange.body_encoded =
        encoding.size > 0 &&
        !(encoding.size == 8 && strncasecmp(encoding.data, "identity", 8) == 0);
    hooked->exchange.head = fields;
    return 0;
}

int ce_hooked_begin(struct ce_chain *chain, const struct ce_opening *opening, void *holder,
                    void (*let_go)(struct ce_hooked *hooked, bool hung),
                    struct ce_hooked **ret_hooked)
{
    *ret_hooked = NULL;
    if (chain->rule_count == 0)
        return 0;
    struct ce_hooked *hooked = hooked_new(chain);
    if (!hooked)
        return -ENOMEM;
    hooked->holder = holder;
    hooked->let_go = let_go;
    int r = note_request(hooked, opening);
    if (r >= 0)
        r = note_fields(hooked, opening->fields);
    for (size_t i = 0; r >= 0 && i < chain->rule_count; i++) {
        const struct ce_rule *rule = chain->rules[i];
        if (!rule->hook->concerns || rule->hook->concerns(rule->ctx, &hooked->exchange))
            hooked->rules |= rule->bit;
    }
    if (hooked->rules == 0)
        ce_hooked_end(hooked);
    else
        *ret_hooked = hooked;
    return r;
}

bool ce_hooked_wants(const struct ce_hooked *hooked, unsigned what)
{
    for (size_t i = 0; i < hooked->chain->rule_count; i++) {
        const struct ce_rule *rule = hooked->chain->rules[i];
        if (hooked->rules & rule->bit && rule->hook->wants & what &&
            (what != CE_HOOK_RESPONSE_BODY || rule->hook->on_response))
            return true;
    }
    return false;
}

bool ce_hooked_minds_response(const struct ce_hooked *hooked)
{
    for (size_t i = 0; i < hooked->chain->rule_count; i++)
        if (hooked->rules & hooked->chain->rules[i]->bit &&
            hooked->chain->rules[i]->hook->on_response)
            return true;
    return false;
}

void ce_hooked_arrived(struct ce_hooked *hooked, int64_t at)
{
    if (hooked->awaited)
        return;
    hooked->awaited = true;
    hooked->arrived = at;
}

/* ---- asking the rules ---- */

static void note_hold(struct ce_hooked *hooked, const struct ce_rule *rule,
                      const struct ce_action *action)
{
    if (action->delay_ns <= 0 && action->body_ns <= 0)
        return;
    if (hooked->arrived == 0)
        hooked->arrived = ce_now();
    size_t i = hooked->hold_count++;
    hooked->holds[i].rule = rule;
    hooked->holds[i].delay_ns = action->delay_ns > 0 ? action->delay_ns : 0;
    hooked->holds[i].body_ns = action->body_ns > 0 ? action->body_ns : 0;
}

/* Short memory leaves later rules with the fields as they were: the message gets its own anyway. */
static void note_set(struct ce_hooked *hooked, const struct ce_action *action)
{
    size_t i = hooked->set_count++, size;
    hooked->sets[i].name = action->set_name;
    snprintf(hooked->sets[i].value, sizeof hooked->sets[i].value, "%s", action->set_value);
    char *fields = fields_set(hooked->exchange.head, action->set_name, action->set_value, &size);
    if (!fields)
        return;
    free(hooked->fields);
    hooked->fields = fields;
    hooked->exchange.head = (struct ce_slice){fields, size};
}

/* What a rule may ask for of a message that goes on. */
static void take_changes(struct ce_hooked *hooked, const struct ce_rule *rule,
                         struct ce_action *action, bool had_body)
{
    if (action->body && had_body) {
        free(hooked->body);
        hooked->body = ce_take(action->body);
        hooked->body_size = action->body_size;
        hooked->replaced = true;
    }
    if (action->path) {
        free(hooked->path);
        hooked->exchange.path = hooked->path = ce_take(action->path);
    }
    if (action->upstream) {
        hooked->upstream = action->upstream;
        hooked->upstream_rule = rule;
    }
    if (action->set_name)
        note_set(hooked, action);
}

/* Afterwards the rule, and what it pointed to, may be gone. */
static void take_answer(struct ce_hooked *hooked, struct ce_action *action)
{
    free(hooked->body);
    hooked->body = ce_take(action->body);
    hooked->body_size = hooked->body ? action->body_size : 0;
    hooked->replaced = false;
    hooked->status = action->status;
    hooked->headers = action->headers ? strdup(action->headers) : NULL;
}

/* Takes one rule's decision over. `had_body`: the rule was shown a body, so it may replace it. */
static void decide(struct ce_hooked *hooked, const struct ce_rule *rule, struct ce_action *action,
                   bool had_body)
{
    note_hold(hooked, rule, action);
    if (action->acted && !(hooked->acted & rule->bit)) {
        hooked->acted |= rule->bit;
        hooked->names[hooked->acted_count++] = rule->hook->name;
    }
    if (action->leave)
        hooked->rules &= ~rule->bit;
    if (action->kind == CE_ACT_PASS) {
        take_changes(hooked, rule, action, had_body);
    } else {
        hooked->kind = action->kind;
        hooked->decider = rule;
        hooked->cut = action->cut;
        if (action->kind == CE_ACT_ANSWER)
            take_answer(hooked, action);
    }
    free(action->body);
    free(action->path);
}

static void show_body(const struct ce_hooked *hooked, struct ce_exchange *exchange,
                      const struct ce_slice *body)
{
    exchange->body = hooked->replaced ? hooked->body : body->data;
    exchange->body_size = hooked->replaced ? hooked->body_size : body->size;
    if (!exchange->body)
        exchange->body = "";
}

/* Asks one rule. */
static void ask(struct ce_hooked *hooked, const struct ce_rule *rule, const struct ce_shown *shown,
                bool is_response)
{
    const struct ce_hook *hook = rule->hook;
    bool wants = hook->wants & (is_response ? CE_HOOK_RESPONSE_BODY : CE_HOOK_REQUEST_BODY);
    struct ce_exchange exchange = hooked->exchange;
    struct ce_action action = {0};
    if (wants && !shown->body) {
        /* What it could not see it has not decided on, so it has no business with the response. */
        if (!is_response)
            hooked->rules &= ~rule->bit;
        if (hook->unseen)
            hook->unseen(rule->ctx, &exchange);
        return;
    }
    exchange.body_encoded |= shown->body_encoded;
    if (wants)
        show_body(hooked, &exchange, shown->body);
    if (!is_response) {
        hook->on_request(rule->ctx, &exchange, &action);
        action.body_ns = 0;
        if (action.kind == CE_ACT_CUT) /* of nothing */
            action.kind = CE_ACT_RESET;
    } else {
        exchange.status = shown->status;
        if (wants && hook->wants & CE_HOOK_REQUEST_BODY && shown->request_body) {
            exchange.request_body = shown->request_body->data ? shown->request_body->data : "";
            exchange.request_body_size = shown->request_body->size;
        }
        hook->on_response(rule->ctx, &exchange, &action);
        free(ce_take(action.path));
        action.upstream = NULL;
    }
    decide(hooked, rule, &action, wants);
}

void ce_hooked_request(struct ce_hooked *hooked, const struct ce_shown *shown)
{
    forget_decision(hooked);
    hooked->exchange.head = shown->fields;
    const struct ce_chain *chain = hooked->chain;
    for (size_t i = 0; i < chain->rule_count && hooked->kind == CE_ACT_PASS; i++)
        if (hooked->rules & chain->rules[i]->bit && chain->rules[i]->hook->on_request)
            ask(hooked, chain->rules[i], shown, false);
}

int ce_hooked_response(struct ce_hooked *hooked, const struct ce_shown *shown)
{
    forget_decision(hooked);
    CE_TRY(note_fields(hooked, shown->fields));
    const struct ce_chain *chain = hooked->chain;
    for (size_t i = 0; i < chain->rule_count && hooked->kind == CE_ACT_PASS; i++)
        if (hooked->rules & chain->rules[i]->bit && chain->rules[i]->hook->on_response)
            ask(hooked, chain->rules[i], shown, true);
    return 0;
}

/* ---- time ---- */

static int64_t add_times(int64_t a, int64_t b)
{
    return a > INT64_MAX - 1 - b ? INT64_MAX - 1 : a + b;
}

int64_t ce_hooked_release(const struct ce_hooked *hooked)
{
    if (hooked->kind == CE_ACT_HANG)
        return INT64_MAX;
    int64_t at = hooked->arrived;
    for (size_t i = 0; i < hooked->hold_count; i++)
        at = add_times(at, hooked->holds[i].delay_ns);
    return at;
}

int64_t ce_hooked_span(const struct ce_hooked *hooked)
{
    int64_t span = 0;
    for (size_t i = 0; i < hooked->hold_count; i++)
        span = add_times(span, hooked->holds[i].body_ns);
    return span;
}

uint64_t ce_span_due(uint64_t size, int64_t elapsed_ns, int64_t span_ns)
{
    if (elapsed_ns >= span_ns)
        return size;
    if (elapsed_ns <= 0)
        return 0;
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)size * (uint64_t)elapsed_ns / (uint64_t)span_ns);
}

bool ce_hooked_acted(const struct ce_hooked *hooked, char ret_text[CE_ACTED_TEXT])
{
    size_t size = 0;
    for (size_t i = 0; i < hooked->acted_count && size < CE_ACTED_TEXT; i++)
        size += (size_t)snprintf(ret_text + size, CE_ACTED_TEXT - size, "%s%s", i > 0 ? ", " : "",
                                 hooked->names[i]);
    return hooked->acted_count > 0;
}

/* ---- letting go ---- */

/* Whether the exchange was held by the rule. */
static bool forget_rule(struct ce_hooked *hooked, const struct ce_rule *rule)
{
    size_t kept = 0;
    for (size_t i = 0; i < hooked->hold_count; i++)
        if (hooked->holds[i].rule != rule)
            hooked->holds[kept++] = hooked->holds[i];
    bool held = kept < hooked->hold_count;
    hooked->hold_count = kept;
    hooked->rules &= ~rule->bit;
    if (hooked->upstream_rule == rule) {
        hooked->upstream_rule = NULL;
        hooked->upstream = NULL;
    }
    return held || hooked->decider == rule;
}

void ce_chain_add(struct ce_chain *chain, struct ce_rule *rule)
{
    size_t i = chain->rule_count++;
    for (; i > 0 && chain->rules[i - 1]->hook->place > rule->hook->place; i--)
        chain->rules[i] = chain->rules[i - 1];
    chain->rules[i] = rule;
}

void ce_chain_remove(struct ce_chain *chain, struct ce_rule *rule)
{
    size_t kept = 0;
    for (size_t i = 0; i < chain->rule_count; i++)
        if (chain->rules[i] != rule)
            chain->rules[kept++] = chain->rules[i];
    chain->rule_count = kept;

    /* First all are seen to, then they go on: which may end any of them, and begin others. */
    struct ce_hooked *hooked, *next;
    for (hooked = LIST_FIRST(&chain->exchanges); hooked; hooked = next) {
        next = LIST_NEXT(hooked, link);
        if (forget_rule(hooked, rule)) {
            LIST_REMOVE(hooked, link);
            LIST_INSERT_HEAD(&chain->affected, hooked, link);
        }
    }
    while ((hooked = LIST_FIRST(&chain->affected))) {
        LIST_REMOVE(hooked, link);
        LIST_INSERT_HEAD(&chain->exchanges, hooked, link);
        bool hung = hooked->decider == rule && hooked->kind == CE_ACT_HANG;
        if (hooked->decider == rule)
            hooked->decider = NULL;
        hooked->let_go(hooked, hung);
    }
}
