/* SPDX-License-Identifier: MIT */
#include "net/http1.h"

#include <string.h>
#include <strings.h>

/* Character classes of RFC 9110, 5.6.2 and 5.5. */
enum {
    IN_TOKEN = 1,  /* tchar: names of fields, methods */
    IN_VALUE = 2,  /* field-vchar, obs-text, blank, tab */
    IN_TARGET = 4, /* what may stand in a request target: no blank, no control character */
    TOKEN = IN_TOKEN | IN_VALUE | IN_TARGET,
    VISIBLE = IN_VALUE | IN_TARGET,
};

static const unsigned char classes[256] = {
    ['\t'] = IN_VALUE,
    [' '] = IN_VALUE,
    ['!'] = TOKEN,
    ['"'] = VISIBLE,
    ['#' ... '\''] = TOKEN,
    ['('] = VISIBLE,
    [')'] = VISIBLE,
    ['*'] = TOKEN,
    ['+'] = TOKEN,
    [','] = VISIBLE,
    ['-'] = TOKEN,
    ['.'] = TOKEN,
    ['/'] = VISIBLE,
    ['0' ... '9'] = TOKEN,
    [':' ... '@'] = VISIBLE,
    ['A' ... 'Z'] = TOKEN,
    ['[' ... ']'] = VISIBLE,
    ['^' ... 'z'] = TOKEN,
    ['{'] = VISIBLE,
    ['|'] = TOKEN,
    ['}'] = VISIBLE,
    ['~'] = TOKEN,
    [0x80 ... 0xff] = VISIBLE,
};

static bool has_class(unsigned char c, int class)
{
    return (classes[c] & class) != 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next line, which ends at *ret_end (past its CRLF). 1, 0 when it is incomplete, or an error.
 */
static int take_line(const char *data, size_t size, size_t at, struct ce_slice *ret_line,
                     size_t *ret_end, struct ce_error *err)
{
    /* Too large is judged by where lines end, never by how much was fed: so pieces give the same
     * result as the whole. */
    size_t seen = size < CE_HTTP_HEAD_MAX ? size : CE_HTTP_HEAD_MAX;
    const char *lf = at < seen ? memchr(data + at, '\n', seen - at) : NULL;
    if (!lf) {
        if (size >= CE_HTTP_HEAD_MAX)
            return ce_fail(err, EMSGSIZE, "the head is larger than %d bytes", CE_HTTP_HEAD_MAX);
        return 0;
    }
    if (lf == data + at || lf[-1] != '\r')
        return ce_fail(err, EPROTO, "a line of the head ends in a bare LF, not in CRLF");
    *ret_line = (struct ce_slice){data + at, (size_t)(lf - 1 - (data + at))};
    *ret_end = (size_t)(lf + 1 - data);
    return 1;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static int parse_version(const char *text, int *ret_minor, struct ce_error *err)
{
    if (memcmp(text, "HTTP/1.", 7) != 0 || (text[7] != '0' && text[7] != '1'))
        return ce_fail(err, EPROTO, "the version is neither HTTP/1.0 nor HTTP/1.1");
    *ret_minor = text[7] - '0';
    return 0;
}

enum { VERSION_SIZE = 8 };

static int parse_request_line(struct ce_slice line, struct ce_http_head *head, struct ce_error *err)
{
    const char *p = line.data, *end = line.data + line.size;
    while (p < end && has_class((unsigned char)*p, IN_TOKEN))
        p++;
    head->method = (struct ce_slice){line.data, (size_t)(p - line.data)};
    if (head->method.size == 0 || p == end || *p != ' ')
        return ce_fail(err, EPROTO, "the request line does not start with a method and a blank");
    const char *target = ++p;
    while (p < end && has_class((unsigned char)*p, IN_TARGET))
        p++;
    head->target = (struct ce_slice){target, (size_t)(p - target)};
    if (head->target.size == 0 || p == end || *p != ' ')
        return ce_fail(err, EPROTO, "the request line has no target followed by a blank");
    p++;
    if (end - p != VERSION_SIZE)
        return ce_fail(err, EPROTO, "the request line does not end in a version such as HTTP/1.1");
    return parse_version(p, &head->minor, err);
}

static int parse_status_line(struct ce_slice line, struct ce_http_head *head, struct ce_error *err)
{
    const char *p = line.data;
    if (line.size < VERSION_SIZE + 4 || p[VERSION_SIZE] != ' ')
        return ce_fail(err, EPROTO, "the status line is not a version, a blank and three digits");
    CE_TRY(parse_version(p, &head->minor, err));
    p += VERSION_SIZE + 1;
    for (int i = 0; i < 3; i++)
        if (p[i] < '0' || p[i] > '9')
            return ce_fail(err, EPROTO, "the status is not three digits");
    head->status = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
    if (head->status < 100)
        return ce_fail(err, EPROTO, "the status %d is less than 100", head->status);
    /* Some servers leave out the blank when there is no reason. */
    const char *end = line.data + line.size;
    p += 3;
    if (p < end && *p != ' ')
        return ce_fail(err, EPROTO, "the status is not three digits and a blank");
    for (; p < end; p++)
        if (!has_class((unsigned char)*p, IN_VALUE))
            return ce_fail(err, EPROTO, "the reason holds a control character");
    return 0;
}

static int parse_field(struct ce_slice line, struct ce_http_head *head, struct ce_error *err)
{
    const char *p = line.data, *end = line.data + line.size;
    if (is_blank(*p))
        return ce_fail(err, EPROTO, "a field is folded over two lines");
    while (p < end && has_class((unsigned char)*p, IN_TOKEN))
        p++;
    size_t name_size = (size_t)(p - line.data);
    if (p == end || name_size == 0)
        return ce_fail(err, EPROTO, "a line of the head has no field name followed by a colon");
    if (is_blank(*p))
        return ce_fail(err, EPROTO, "there is a blank between the field name '%.*s' and its colon",
                       (int)(name_size < 64 ? name_size : 64), line.data);
    if (*p != ':')
        return ce_fail(err, EPROTO, "a field name holds a character that no name may hold");
    if (head->field_count == CE_HTTP_FIELDS_MAX)
        return ce_fail(err, EMSGSIZE, "the head has more than %d fields", CE_HTTP_FIELDS_MAX);
    p++;
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    for (const char *q = p; q < end; q++)
        if (!has_class((unsigned char)*q, IN_VALUE))
            return ce_fail(err, EPROTO, "the value of '%.*s' holds a control character",
                           (int)(name_size < 64 ? name_size : 64), line.data);
    head->fields[head->field_count++] = (struct ce_http_field){
        .name = {line.data, name_size},
        .value = {p, (size_t)(end - p)},
    };
    return 0;
}

bool ce_http_is(struct ce_slice slice, const char *text)
{
    return strlen(text) == slice.size && strncasecmp(slice.data, text, slice.size) == 0;
}

bool ce_http_token_next(struct ce_slice *list, struct ce_slice *ret_token)
{
    const char *p = list->data, *end = list->data + list->size;
    while (p < end && (is_blank(*p) || *p == ','))
        p++;
    if (p == end)
        return false;
    const char *comma = memchr(p, ',', (size_t)(end - p));
    const char *token_end = comma ? comma : end;
    *list = (struct ce_slice){token_end, (size_t)(end - token_end)};
    while (is_blank(token_end[-1]))
        token_end--;
    *ret_token = (struct ce_slice){p, (size_t)(token_end - p)};
    return true;
}

const struct ce_http_field *ce_http_find(const struct ce_http_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (ce_http_is(head->fields[i].name, name))
            return &head->fields[i];
    return NULL;
}

/* What the fields say about framing and the connection. */
struct meaning {
    bool has_length, chunked, has_host, close, keep_alive, upgrade;
};

static int note_length(struct ce_slice value, struct ce_http_head *head, struct meaning *m,
                       struct ce_error *err)
{
    uint64_t length = 0;
    if (value.size == 0)
        return ce_fail(err, EPROTO, "Content-Length is empty");
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return ce_fail(err, EPROTO, "Content-Length is not a whole number");
        if (length > (INT64_MAX - 9) / 10)
            return ce_fail(err, EPROTO, "Content-Length is too large");
        length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    /* Also when they are equal: RFC 9110, 8.6 forbids to pass both on. */
    if (m->has_length)
        return ce_fail(err, EPROTO, "there are two Content-Length fields");
    m->has_length = true;
    head->length = length;
    return 0;
}

static void note_connection(struct ce_slice value, struct meaning *m)
{
    for (struct ce_slice token; ce_http_token_next(&value, &token);) {
        if (ce_http_is(token, "close"))
            m->close = true;
        else if (ce_http_is(token, "keep-alive"))
            m->keep_alive = true;
        else if (ce_http_is(token, "upgrade"))
            m->upgrade = true;
    }
}

static int note_field(const struct ce_http_field *field, struct ce_http_head *head,
                      struct meaning *m, struct ce_error *err)
{
    switch (field->name.size) { /* most fields differ in length from all that matter here */
    case sizeof "Host" - 1:
        if (!ce_http_is(field->name, "Host"))
            return 0;
        /* A request without one passes: its server decides about that. Two are read differently by
         * different servers. */
        if (m->has_host)
            return ce_fail(err, EPROTO, "there are two Host fields");
        m->has_host = true;
        return 0;
    case sizeof "Expect" - 1:
        if (ce_http_is(field->name, "Expect") && ce_http_is(field->value, "100-continue"))
            head->expect_continue = head->minor > 0;
        return 0;
    case sizeof "Connection" - 1:
        if (ce_http_is(field->name, "Connection"))
            note_connection(field->value, m);
        return 0;
    case sizeof "Content-Length" - 1:
        return ce_http_is(field->name, "Content-Length") ? note_length(field->value, head, m, err)
                                                         : 0;
    case sizeof "Transfer-Encoding" - 1:
        if (!ce_http_is(field->name, "Transfer-Encoding"))
            return 0;
        if (m->chunked || !ce_http_is(field->value, "chunked"))
            return ce_fail(err, EPROTO, "Transfer-Encoding is something else than 'chunked' alone");
        m->chunked = true;
        return 0;
    default:
        return 0;
    }
}

static int note_fields(struct ce_http_head *head, struct meaning *m, struct ce_error *err)
{
    for (size_t i = 0; i < head->field_count; i++)
        CE_TRY(note_field(&head->fields[i], head, m, err));
    if (m->chunked && m->has_length)
        return ce_fail(err, EPROTO, "there are both Content-Length and Transfer-Encoding");
    if (m->chunked && head->minor == 0)
        return ce_fail(err, EPROTO, "an HTTP/1.0 message has Transfer-Encoding");
    head->keep_alive = head->minor > 0 ? !m->close : m->keep_alive && !m->close;
    head->upgrade = head->minor > 0 && m->upgrade;
    return 0;
}

/* Parses the fields from `at` on, up to the empty line. 1, 0 or an error. */
static int parse_fields(const char *data, size_t size, size_t at, struct ce_http_head *head,
                        struct ce_error *err)
{
    for (;;) {
        struct ce_slice line = {NULL, 0};
        int r = take_line(data, size, at, &line, &at, err);
        if (r <= 0)
            return r;
        if (line.size == 0) {
            head->size = at;
            return 1;
        }
        CE_TRY(parse_field(line, head, err));
    }
}

/* The 4 KiB of field slots are left alone. */
static void head_init(struct ce_http_head *head)
{
    head->size = 0;
    head->method = head->target = (struct ce_slice){NULL, 0};
    head->status = head->minor = 0;
    head->field_count = 0;
    head->framing = CE_HTTP_NO_BODY;
    head->length = 0;
    head->keep_alive = head->expect_continue = head->upgrade = false;
}

int ce_http_parse_request(const char *data, size_t size, struct ce_http_head *ret,
                          struct ce_error *err)
{
    head_init(ret);
    struct ce_slice line = {NULL, 0};
    size_t at = 0;
    int r = take_line(data, size, at, &line, &at, err);
    /* One empty line before a request is skipped, as RFC 9112, 2.2 asks for. */
    if (r > 0 && line.size == 0)
        r = take_line(data, size, at, &line, &at, err);
    if (r <= 0)
        return r;
    CE_TRY(parse_request_line(line, ret, err));
    r = parse_fields(data, size, at, ret, err);
    if (r <= 0)
        return r;
    struct meaning m = {0};
    CE_TRY(note_fields(ret, &m, err));
    /* It has no body (RFC 9110, 9.3.6); others read what follows as the tunnel's bytes. */
    if (ce_slice_is(ret->method, "CONNECT") && (m.chunked || ret->length > 0))
        return ce_fail(err, EPROTO, "there is a body with CONNECT, which has none");
    if (m.chunked)
        ret->framing = CE_HTTP_CHUNKED;
    else if (m.has_length)
        ret->framing = CE_HTTP_LENGTH;
    return 1;
}

int ce_http_parse_response(const char *data, size_t size, bool to_head_request,
                           struct ce_http_head *ret, struct ce_error *err)
{
    head_init(ret);
    struct ce_slice line = {NULL, 0};
    size_t at = 0;
    int r = take_line(data, size, at, &line, &at, err);
    if (r <= 0)
        return r;
    CE_TRY(parse_status_line(line, ret, err));
    r = parse_fields(data, size, at, ret, err);
    if (r <= 0)
        return r;
    struct meaning m = {0};
    CE_TRY(note_fields(ret, &m, err));
    if (to_head_request || ret->status < 200 || ret->status == 204 || ret->status == 304) {
        ret->framing = CE_HTTP_NO_BODY;
    } else if (m.chunked) {
        ret->framing = CE_HTTP_CHUNKED;
    } else if (m.has_length) {
        ret->framing = CE_HTTP_LENGTH;
    } else {
        ret->framing = CE_HTTP_UNTIL_CLOSE;
        ret->keep_alive = false;
    }
    return 1;
}

/* Where a chunked body stands: before the byte that the name tells. */
enum {
    CHUNK_FIRST_DIGIT = 0,
    CHUNK_DIGIT,
    CHUNK_SIZE_PADDING,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START, /* `left` counts the trailer's bytes from here on */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
};

void ce_http_body_start(struct ce_http_body *body, const struct ce_http_head *head)
{
    *body = (struct ce_http_body){.framing = head->framing};
    if (head->framing == CE_HTTP_LENGTH)
        body->left = head->length;
    body->done =
        head->framing == CE_HTTP_NO_BODY || (head->framing == CE_HTTP_LENGTH && head->length == 0);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int chunk_size_byte(struct ce_http_body *body, char c, struct ce_error *err)
{
    int digit = body->state == CHUNK_SIZE_PADDING ? -1 : hex_digit(c);
    if (digit >= 0) {
        if (body->left > INT64_MAX >> 4)
            return ce_fail(err, EPROTO, "a chunk's size is too large");
        body->left = body->left << 4 | (uint64_t)digit;
        body->state = CHUNK_DIGIT;
        return 0;
    }
    if (body->state == CHUNK_FIRST_DIGIT)
        return ce_fail(err, EPROTO, "a chunk does not start with its size");
    if (c == '\r')
        body->state = CHUNK_SIZE_LF;
    else if (c == ';')
        body->state = CHUNK_EXTENSION;
    else if (is_blank(c)) /* more than RFC 9112 allows, but servers do it */
        body->state = CHUNK_SIZE_PADDING;
    else
        return ce_fail(err, EPROTO, "a chunk's size is not a hexadecimal number");
    return 0;
}

static int trailer_byte(struct ce_http_body *body, char c, struct ce_error *err)
{
    if (++body->left > CE_HTTP_HEAD_MAX)
        return ce_fail(err, EPROTO, "the trailer is larger than %d bytes", CE_HTTP_HEAD_MAX);
    if (body->state == CHUNK_TRAILER_VALUE) {
        if (c == '\r')
            body->state = CHUNK_TRAILER_LF;
        else if (!has_class((unsigned char)c, IN_VALUE))
            return ce_fail(err, EPROTO, "the trailer holds a control character");
        return 0;
    }
    if (c == '\r' && body->state == CHUNK_TRAILER_START)
        body->state = CHUNK_END_LF;
    else if (c == ':' && body->state == CHUNK_TRAILER_NAME)
        body->state = CHUNK_TRAILER_VALUE;
    else if (has_class((unsigned char)c, IN_TOKEN))
        body->state = CHUNK_TRAILER_NAME;
    else
        return ce_fail(err, EPROTO, "a line of the trailer has no field name followed by a colon");
    return 0;
}

/* One byte of a chunked body's framing. */
static int chunk_byte(struct ce_http_body *body, char c, struct ce_error *err)
{
    switch (body->state) {
    case CHUNK_FIRST_DIGIT:
    case CHUNK_DIGIT:
    case CHUNK_SIZE_PADDING:
        return chunk_size_byte(body, c, err);
    case CHUNK_EXTENSION:
        if (c == '\r')
            body->state = CHUNK_SIZE_LF;
        else if (!has_class((unsigned char)c, IN_VALUE))
            return ce_fail(err, EPROTO, "a chunk extension holds a control character");
        return 0;
    case CHUNK_DATA_CR:
        if (c != '\r')
            return ce_fail(err, EPROTO, "a chunk is longer than its size says");
        body->state = CHUNK_DATA_LF;
        return 0;
    case CHUNK_TRAILER_START:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE:
        return trailer_byte(body, c, err);
    default: /* one of the states before an LF */
        if (c != '\n')
            return ce_fail(err, EPROTO, "a line of a chunked body ends in a bare CR, not in CRLF");
    }
    switch (body->state) {
    case CHUNK_SIZE_LF:
        body->state = body->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_START;
        return 0;
    case CHUNK_DATA_LF:
        body->state = CHUNK_FIRST_DIGIT;
        return 0;
    case CHUNK_TRAILER_LF:
        body->state = CHUNK_TRAILER_START;
        return 0;
    default: /* CHUNK_END_LF */
        body->done = true;
        return 0;
    }
}

/* Takes what is there of the `left` bytes of payload. */
static struct ce_slice take_payload(struct ce_http_body *body, const char *data, size_t size)
{
    if (size > body->left)
        size = (size_t)body->left;
    body->left -= size;
    return (struct ce_slice){data, size};
}

int ce_http_body_feed(struct ce_http_body *body, const char *data, size_t size, size_t *ret_used,
                      struct ce_slice *ret_payload, struct ce_error *err)
{
    struct ce_slice payload = {data, 0};
    size_t used = 0;
    if (body->framing == CE_HTTP_UNTIL_CLOSE) {
        payload.size = used = size;
    } else if (body->framing == CE_HTTP_LENGTH) {
        payload = take_payload(body, data, size);
        used = payload.size;
        body->done = body->left == 0;
    } else {
        while (used < size && !body->done && payload.size == 0) {
            if (body->state != CHUNK_DATA) {
                CE_TRY(chunk_byte(body, data[used], err));
                used++;
                continue;
            }
            payload = take_payload(body, data + used, size - used);
            used += payload.size;
            if (body->left == 0)
                body->state = CHUNK_DATA_CR;
        }
    }
    *ret_used = used;
    *ret_payload = payload;
    return 0;
}
