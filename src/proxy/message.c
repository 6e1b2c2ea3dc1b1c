/* SPDX-License-Identifier: MIT */
#include "proxy/proxy_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"

/* Whether a Connection field names that field. What the message could not be framed or routed
 * without is not given up, whoever names it. */
static bool is_nominated(const struct ce_http_head *head, struct ce_slice name)
{
    static const char *const kept[] = {"Content-Length", "Transfer-Encoding", "Host", "Upgrade"};
    for (size_t i = 0; i < CE_COUNT(kept); i++)
        if (ce_http_is(name, kept[i]))
            return false;
    for (size_t i = 0; i < head->field_count; i++) {
        if (!ce_http_is(head->fields[i].name, "Connection"))
            continue;
        struct ce_slice list = head->fields[i].value, token;
        while (ce_http_token_next(&list, &token))
            if (token.size == name.size && strncasecmp(token.data, name.data, name.size) == 0)
                return true;
    }
    return false;
}

/* Whether some Connection field names more than "close" and "keep-alive", which name no field. */
static bool nominates(const struct ce_http_head *head)
{
    for (size_t i = 0; i < head->field_count; i++) {
        if (!ce_http_is(head->fields[i].name, "Connection"))
            continue;
        struct ce_slice list = head->fields[i].value, token;
        while (ce_http_token_next(&list, &token))
            if (!ce_http_is(token, "close") && !ce_http_is(token, "keep-alive"))
                return true;
    }
    return false;
}

static bool names_upgrade(struct ce_slice list)
{
    for (struct ce_slice token; ce_http_token_next(&list, &token);)
        if (ce_http_is(token, "upgrade"))
            return true;
    return false;
}

static bool is_hop_by_hop(const struct ce_http_field *field, unsigned how)
{
    struct ce_slice name = field->name;
    switch (name.size) { /* almost always the only test */
    case 2:
        return ce_http_is(name, "TE");
    case 7:
        return ce_http_is(name, "Upgrade") && !(how & CE_STRIP_NO_UPGRADE);
    case 10:
        return ce_http_is(name, "Keep-Alive") ||
               (ce_http_is(name, "Connection") &&
                !(how & CE_STRIP_NO_UPGRADE && names_upgrade(field->value)));
    case 16:
        return ce_http_is(name, "Proxy-Connection");
    default:
        return false;
    }
}

int ce_message_walk(struct ce_http_body *body, const struct ce_buffer *in, size_t *at,
                    struct ce_error *err)
{
    while (!body->done && *at < ce_buffer_size(in)) {
        size_t used;
        struct ce_slice payload;
        CE_TRY(ce_http_body_feed(body, ce_buffer_bytes(in) + *at, ce_buffer_size(in) - *at, &used,
                                 &payload, err));
        *at += used;
    }
    return 0;
}

size_t ce_message_strip(struct ce_buffer *buffer, const struct ce_http_head *head, unsigned how)
{
    unsigned char doomed[CE_HTTP_FIELDS_MAX];
    size_t doomed_count = 0;
    bool nominating = nominates(head);
    for (size_t i = 0; i < head->field_count; i++) {
        const struct ce_http_field *field = &head->fields[i];
        if (is_hop_by_hop(field, how) || (nominating && is_nominated(head, field->name)) ||
            (how & CE_STRIP_EXPECT && ce_http_is(field->name, "Expect")))
            doomed[doomed_count++] = (unsigned char)i;
    }
    char *start = ce_buffer_bytes(buffer), *begin = start;
    for (size_t k = 0; k < doomed_count; k++) {
        size_t i = doomed[k];
        const char *line = head->fields[i].name.data;
        const char *end =
            i + 1 < head->field_count ? head->fields[i + 1].name.data : begin + head->size - 2;
        size_t size = (size_t)(end - line);
        /* What stands before the line moves over it: that is less than what stands behind. */
        memmove(start + size, start, (size_t)(line - start));
        start += size;
    }
    buffer->start += (size_t)(start - begin);
    return head->size - (size_t)(start - begin);
}

/* ---- edits of a head that stands in a buffer ---- */

struct ce_slice ce_message_fields(const char *head, size_t size)
{
    const char *fields = (const char *)memchr(head, '\n', size) + 1;
    return (struct ce_slice){fields, size - 2 - (size_t)(fields - head)};
}

/* Replaces `size` bytes of the head, from `at` on. */
static int edit(struct ce_buffer *in, size_t *head_size, size_t at, size_t size, const char *text)
{
    size_t text_size = strlen(text);
    CE_TRY(ce_buffer_splice(in, at, size, text, text_size));
    *head_size = *head_size + text_size - size;
    return 0;
}

int ce_message_set_target(struct ce_buffer *in, size_t *head_size, const char *target)
{
    const char *head = ce_buffer_bytes(in);
    const char *begin = (const char *)memchr(head, ' ', *head_size) + 1;
    const char *end = memchr(begin, ' ', *head_size - (size_t)(begin - head));
    return edit(in, head_size, (size_t)(begin - head), (size_t)(end - begin), target);
}

/* Gives the first field of that name from *at in the head on another value, and moves *at behind
 * it. 1, 0 when there is none, or -ENOMEM. */
static int set_next(struct ce_buffer *in, size_t *head_size, const char *name, const char *value,
                    size_t *at)
{
    const char *head = ce_buffer_bytes(in);
    struct ce_slice old = ce_fields_find((struct ce_slice){head + *at, *head_size - 2 - *at}, name);
    if (!old.data)
        return 0;
    size_t place = (size_t)(old.data - head);
    CE_TRY(edit(in, head_size, place, old.size, value));
    const char *line_end = memchr(ce_buffer_bytes(in) + place, '\n', *head_size - place);
    *at = (size_t)(line_end + 1 - ce_buffer_bytes(in));
    return 1;
}

static size_t fields_at(const struct ce_buffer *in, size_t head_size)
{
    const char *head = ce_buffer_bytes(in);
    return (size_t)(ce_message_fields(head, head_size).data - head);
}

int ce_message_replace_fields(struct ce_buffer *in, size_t *head_size, const char *name,
                              const char *value)
{
    size_t at = fields_at(in, *head_size);
    int r;
    do
        r = set_next(in, head_size, name, value, &at);
    while (r > 0);
    return r;
}

int ce_message_add_field(struct ce_buffer *in, size_t *head_size, const char *name,
                         const char *value)
{
    size_t at = *head_size - 2;
    const char *const parts[] = {name, ": ", value, "\r\n"};
    for (size_t i = 0; i < CE_COUNT(parts); i++) {
        CE_TRY(edit(in, head_size, at, 0, parts[i]));
        at += strlen(parts[i]);
    }
    return 0;
}

int ce_message_set_field(struct ce_buffer *in, size_t *head_size, const char *name,
                         const char *value)
{
    size_t at = fields_at(in, *head_size);
    int r = set_next(in, head_size, name, value, &at);
    return r != 0 ? (r < 0 ? r : 0) : ce_message_add_field(in, head_size, name, value);
}

int ce_message_only_upgrade(struct ce_buffer *in, size_t *head_size)
{
    struct ce_slice fields = ce_message_fields(ce_buffer_bytes(in), *head_size);
    if (ce_http_is(ce_fields_find(fields, "Connection"), "upgrade"))
        return 0;
    return ce_message_set_field(in, head_size, "Connection", "Upgrade");
}

/* ---- messages that are put together ---- */

/* Text that is put together; `data` is NULL once memory was short. */
struct text {
    char *data;
    size_t size;
};

static void text_add(struct text *text, const void *data, size_t size)
{
    if (!text->data)
        return;
    char *grown = realloc(text->data, text->size + size + 1);
    if (!grown) {
        free(text->data);
        text->data = NULL;
        return;
    }
    if (size > 0)
        memcpy(grown + text->size, data, size);
    text->data = grown;
    text->size += size;
}

static void text_add_range(struct text *text, const char *from, const char *to)
{
    text_add(text, from, (size_t)(to - from));
}

/* The head with its Content-Length changed, or given one if it has none. */
static void add_head_with_length(struct text *text, const char *data,
                                 const struct ce_http_head *head, size_t length)
{
    char number[32];
    int digits = snprintf(number, sizeof number, "%zu", length);
    const char *at = data, *end = data + head->size - 2;
    bool had_one = false;
    for (size_t i = 0; i < head->field_count; i++) {
        if (!ce_http_is(head->fields[i].name, "Content-Length"))
            continue;
        struct ce_slice value = head->fields[i].value;
        text_add_range(text, at, value.data);
        text_add(text, number, (size_t)digits);
        at = value.data + value.size;
        had_one = true;
    }
    text_add_range(text, at, end);
    if (!had_one) {
        text_add(text, "Content-Length: ", 16);
        text_add(text, number, (size_t)digits);
        text_add(text, "\r\n", 2);
    }
    text_add(text, "\r\n", 2);
}

static void add_one_chunk(struct text *text, const char *body, size_t size)
{
    if (size > 0) {
        char line[32];
        text_add(text, line, (size_t)snprintf(line, sizeof line, "%zx\r\n", size));
        text_add(text, body, size);
        text_add(text, "\r\n", 2);
    }
    text_add(text, "0\r\n\r\n", 5);
}

char *ce_message_reframe(const char *data, size_t head_size, bool is_request, const char *body,
                         size_t body_size, size_t *ret_size)
{
    struct ce_http_head head;
    int r = is_request ? ce_http_parse_request(data, head_size, &head, NULL)
                       : ce_http_parse_response(data, head_size, false, &head, NULL);
    if (r <= 0) /* cannot be: this head was parsed before */
        return NULL;
    struct text text = {calloc(1, 1), 0};
    switch (head.framing) {
    case CE_HTTP_CHUNKED:
        text_add(&text, data, head_size);
        add_one_chunk(&text, body, body_size);
        break;
    case CE_HTTP_UNTIL_CLOSE:
        text_add(&text, data, head_size);
        text_add(&text, body, body_size);
        break;
    default:
        add_head_with_length(&text, data, &head, body_size);
        text_add(&text, body, body_size);
    }
    *ret_size = text.size;
    return text.data;
}

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < CE_COUNT(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return ""; /* RFC 9112, 4: a reason may be left out, its blank may not */
}

char *ce_message_answer(const struct ce_answer *answer, size_t *ret_size)
{
    bool has_body = answer->status >= 200 && answer->status != 204 && answer->status != 304;
    char length[64] = "";
    if (has_body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", answer->body_size);
    bool is_marked = answer->mark && answer->mark[0];
    char *head =
        ce_format("HTTP/1.1 %d %s\r\n%s%s%s%s%s%s\r\n", answer->status, reason(answer->status),
                  answer->headers ? answer->headers : "", length,
                  answer->close ? "Connection: close\r\n" : "", is_marked ? CE_MARK_FIELD ": " : "",
                  is_marked ? answer->mark : "", is_marked ? "\r\n" : "");
    if (!head)
        return NULL;
    struct text text = {head, strlen(head)};
    if (has_body && !answer->to_head_request)
        text_add(&text, answer->body, answer->body_size);
    *ret_size = text.size;
    return text.data;
}
