/* SPDX-License-Identifier: MIT */
/* The proxy's edits of a message, on any head that its parser accepts. The first byte says which
 * edits, the second what they need to know, the third what kind of message it is.
 *
 * After each edit the head must parse again, to the fields of before but for the one that was
 * edited, and the bytes behind it must be those of before. What is to be expected is worked out on
 * the list of fields, which knows nothing of bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/proxy_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum edits { STRIP = 1, TARGET = 2, SET = 4, REPLACE = 8, ADD = 16, REFRAME = 32 };

struct field {
    struct ce_slice name, value;
};

struct message {
    bool is_request;
    struct ce_buffer in;
    size_t head_size;
    struct ce_slice behind; /* the head */
    /* What is expected; slices into the input, or constants. */
    struct ce_http_head was;
    struct ce_slice target;
    struct field fields[2 * CE_HTTP_FIELDS_MAX];
    size_t count;
};

static void demand(bool condition)
{
    if (!condition)
        abort();
}

static bool equal(struct ce_slice a, struct ce_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static int parse(bool is_request, const char *text, size_t size, struct ce_http_head *head)
{
    return is_request ? ce_http_parse_request(text, size, head, NULL)
                      : ce_http_parse_response(text, size, false, head, NULL);
}

/* The buffer has no byte of room, and room at its front, so that growing and moving are seen. */
static void message_init(struct message *message, const char *text, size_t size)
{
    /* As the proxy does before it edits anything. */
    size_t empty_line = message->is_request ? (size_t)(message->was.method.data - text) : 0;
    message->in = (struct ce_buffer){.data = malloc(size), .end = size, .capacity = size};
    demand(message->in.data);
    memcpy(message->in.data, text, size);
    message->in.start = empty_line;
    message->head_size = message->was.size - empty_line;
    message->behind = (struct ce_slice){text + message->was.size, size - message->was.size};
    message->target = message->was.target;
    message->count = message->was.field_count;
    for (size_t i = 0; i < message->count; i++)
        message->fields[i] =
            (struct field){message->was.fields[i].name, message->was.fields[i].value};
}

/* False when the edit made it larger than the parser takes: then there is nothing to compare. */
static bool holds(const struct message *message)
{
    static struct ce_http_head head;
    if (message->head_size > CE_HTTP_HEAD_MAX || message->count > CE_HTTP_FIELDS_MAX)
        return false;
    const char *bytes = ce_buffer_bytes(&message->in);
    demand(parse(message->is_request, bytes, ce_buffer_size(&message->in), &head) == 1);
    demand(head.size == message->head_size && head.field_count == message->count);
    for (size_t i = 0; i < head.field_count; i++)
        demand(equal(head.fields[i].name, message->fields[i].name) &&
               equal(head.fields[i].value, message->fields[i].value));
    demand(equal(head.method, message->was.method) && equal(head.target, message->target) &&
           head.status == message->was.status && head.minor == message->was.minor);
    demand(head.framing == message->was.framing && head.length == message->was.length);
    struct ce_slice behind = {bytes + head.size, ce_buffer_size(&message->in) - head.size};
    demand(equal(behind, message->behind));
    return true;
}

/* ---- the edits, on the list ---- */

static bool names(const struct message *message, const char *field, struct ce_slice token)
{
    for (size_t i = 0; i < message->count; i++) {
        struct ce_slice list = message->fields[i].value, named;
        while (ce_http_is(message->fields[i].name, field) && ce_http_token_next(&list, &named)) {
            char text[64];
            if (token.size == named.size && token.size < sizeof text) {
                memcpy(text, token.data, token.size);
                text[token.size] = '\0';
                if (ce_http_is(named, text))
                    return true;
            }
        }
    }
    return false;
}

static bool is_one_of(struct ce_slice name, const char *const *list)
{
    for (; *list; list++)
        if (ce_http_is(name, *list))
            return true;
    return false;
}

static bool stays(const struct message *message, const struct field *field, unsigned how)
{
    static const char *const always[] = {"Content-Length", "Transfer-Encoding", "Host", NULL};
    static const char *const never[] = {"TE", "Keep-Alive", "Proxy-Connection", NULL};
    if (is_one_of(field->name, always))
        return true;
    if (is_one_of(field->name, never) ||
        (how & CE_STRIP_EXPECT && ce_http_is(field->name, "Expect")))
        return false;
    if (ce_http_is(field->name, "Upgrade"))
        return how & CE_STRIP_NO_UPGRADE;
    if (ce_http_is(field->name, "Connection")) {
        struct message alone = {.count = 1, .fields = {*field}};
        static const struct ce_slice upgrade = {"upgrade", 7};
        return how & CE_STRIP_NO_UPGRADE && names(&alone, "Connection", upgrade) &&
               !names(message, "Connection", field->name);
    }
    return !names(message, "Connection", field->name);
}

static void expect_strip(struct message *message, unsigned how)
{
    struct field kept[CE_HTTP_FIELDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < message->count; i++)
        if (stays(message, &message->fields[i], how))
            kept[count++] = message->fields[i];
    memcpy(message->fields, kept, count * sizeof *kept);
    message->count = count;
}

static void expect_add(struct message *message, const char *name, const char *value)
{
    message->fields[message->count++] = (struct field){ce_slice_of(name), ce_slice_of(value)};
}

/* How many fields of that name were given the value: all, or just the first. */
static size_t expect_value(struct message *message, const char *name, const char *value, bool all)
{
    size_t count = 0;
    for (size_t i = 0; i < message->count && (all || count == 0); i++)
        if (ce_http_is(message->fields[i].name, name)) {
            message->fields[i].value = ce_slice_of(value);
            count++;
        }
    return count;
}

/* ---- the edits, on the bytes ---- */

static void strip(struct message *message, unsigned how)
{
    expect_strip(message, how);
    struct ce_http_head head;
    demand(parse(message->is_request, ce_buffer_bytes(&message->in), ce_buffer_size(&message->in),
                 &head) == 1);
    message->head_size = ce_message_strip(&message->in, &head, how);
}

static void reframe(const struct message *message, size_t body_size)
{
    static const char body[] = "0\r\n\r\nbody of another kind, which may well be longer";
    const char *bytes = ce_buffer_bytes(&message->in);
    int status = message->was.status;
    bool has_body = message->is_request ? !ce_slice_is(message->was.method, "CONNECT")
                                        : status >= 200 && status != 204 && status != 304;
    if (!has_body)
        return;
    body_size %= sizeof body;
    size_t size;
    char *made =
        ce_message_reframe(bytes, message->head_size, message->is_request, body, body_size, &size);
    demand(made);
    static struct ce_http_head head;
    int r = parse(message->is_request, made, size, &head);
    if (r == -EMSGSIZE) {
        free(made);
        return;
    }
    demand(r == 1 && equal(head.target, message->target));
    struct ce_http_body walked;
    ce_http_body_start(&walked, &head);
    size_t used = 0;
    struct ce_slice payload = {NULL, 0};
    if (!walked.done)
        demand(ce_http_body_feed(&walked, made + head.size, size - head.size, &used, &payload,
                                 NULL) == 0);
    demand(equal(payload, (struct ce_slice){body, body_size}));
    size_t had = message->was.framing == CE_HTTP_NO_BODY, at = 0;
    demand(head.field_count == message->count + had);
    for (; at < message->count; at++)
        demand(equal(head.fields[at].name, message->fields[at].name) &&
               (equal(head.fields[at].value, message->fields[at].value) ||
                ce_http_is(head.fields[at].name, "Content-Length")));
    free(made);
}

static void edit(struct message *message, unsigned edits, unsigned detail)
{
    static const char *const targets[] = {"/", "*", "http://a/b?c",
                                          "/v2/models/m/versions/3/infer"};
    static const char *const fields[] = {"Accept-Encoding", "X", "Expect", "X-Chaos-Fault"};
    static const char *const values[] = {"", "identity", "1", "a, b; c=\"d\""};
    const char *name = fields[detail / 4 % 4], *value = values[detail / 16 % 4];
    if (edits & STRIP) {
        strip(message, detail % 4);
        if (!holds(message))
            return;
    }
    if (edits & TARGET && message->is_request) {
        message->target = ce_slice_of(targets[detail / 64]);
        demand(ce_message_set_target(&message->in, &message->head_size, targets[detail / 64]) == 0);
        if (!holds(message))
            return;
    }
    if (edits & SET) {
        if (expect_value(message, name, value, false) == 0)
            expect_add(message, name, value);
        demand(ce_message_set_field(&message->in, &message->head_size, name, value) == 0);
        if (!holds(message))
            return;
    }
    if (edits & REPLACE) {
        (void)expect_value(message, name, value, true);
        demand(ce_message_replace_fields(&message->in, &message->head_size, name, value) == 0);
        if (!holds(message))
            return;
    }
    if (edits & ADD) {
        expect_add(message, name, value);
        demand(ce_message_add_field(&message->in, &message->head_size, name, value) == 0);
        if (!holds(message))
            return;
    }
    if (edits & REFRAME)
        reframe(message, detail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct message message;
    if (size < 4)
        return 0;
    const char *text = (const char *)data + 3;
    message.is_request = data[2] % 2 == 0;
    if (parse(message.is_request, text, size - 3, &message.was) <= 0)
        return 0;
    message_init(&message, text, size - 3);
    edit(&message, data[0], data[1]);
    free(message.in.data);
    return 0;
}
