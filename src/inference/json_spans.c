/* SPDX-License-Identifier: MIT */
#include "inference/json_spans.h"

#include <endian.h>
#include <stdlib.h>

struct scanner {
    struct ce_spans *spans;
    const char *at, *end;
    uint32_t open[CE_JSON_NESTING_MAX]; /* the objects and arrays that are not closed yet */
    int depth;
    int code;            /* once failed: errno value */
    const char *problem; /* and why; at `at` */
};

/* Where the plain bytes from `at` on end: at the string's end, an escape, or a control character.
 * Eight bytes at a time: (x - ones) & ~x & tops has the top bit of the first byte of x that is zero
 * set, and none before it. */
static const char *skip_plain(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        word = le64toh(word);
        uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
        uint64_t control = (word - ones * 0x20) & ~word;
        uint64_t others = (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | control) & tops;
        if (others)
            return at + (__builtin_ctzll(others) >> 3);
    }
    while (at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\')
        at++;
    return at;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool fail(struct scanner *s, int code, const char *problem)
{
    s->code = code;
    s->problem = problem;
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The next byte after blanks, not consumed; 0 at the end (and for a NUL byte, which nothing accepts
 * either). */
static char peek(struct scanner *s)
{
    while (s->at < s->end && is_blank(*s->at))
        s->at++;
    return s->at < s->end ? *s->at : '\0';
}

static bool grow(struct scanner *s)
{
    struct ce_spans *spans = s->spans;
    uint32_t capacity = 2 * spans->capacity;
    struct ce_span *old = spans->spans == spans->few ? NULL : spans->spans;
    struct ce_span *larger = reallocarray(old, capacity, sizeof *larger);
    if (!larger)
        return fail(s, ENOMEM, "out of memory");
    if (!old)
        memcpy(larger, spans->few, sizeof spans->few);
    spans->spans = larger;
    spans->capacity = capacity;
    return true;
}

static struct ce_span *innermost(struct scanner *s)
{
    return &s->spans->spans[s->open[s->depth - 1]];
}

/* Notes what stands there; of a container, the end follows later. */
static inline bool note(struct scanner *s, const char *from, const char *to, enum ce_span_kind kind)
{
    struct ce_spans *spans = s->spans;
    if (spans->count == spans->capacity && !grow(s))
        return false;
    uint32_t i = spans->count++;
    spans->spans[i] = (struct ce_span){
        .start = (uint32_t)(from - spans->text),
        .size = (uint32_t)(to - from),
        .next = i + 1,
        .count = 0,
        .kind = kind,
    };
    return true;
}

static bool scan_escape(struct scanner *s)
{
    char c = s->at < s->end ? *s->at++ : '\0';
    if (c != 'u')
        return (c != '\0' && strchr("\"\\/bfnrt", c)) ||
               fail(s, EINVAL, "unknown escape in a string");
    for (int i = 0; i < 4; i++)
        if (s->at == s->end || !is_hex(*s->at++))
            return fail(s, EINVAL, "\\u needs four hexadecimal digits");
    return true;
}

static bool scan_string(struct scanner *s)
{
    const char *from = s->at++;
    for (;;) {
        s->at = skip_plain(s->at, s->end);
        if (s->at == s->end)
            return fail(s, EINVAL, "string without an end");
        char c = *s->at++;
        if (c == '"')
            return note(s, from, s->at, CE_SPAN_STRING);
        if (c != '\\')
            return fail(s, EINVAL, "control character in a string");
        if (!scan_escape(s))
            return false;
    }
}

static inline const char *skip_digits(const char *at, const char *end)
{
    while (at < end && is_digit(*at))
        at++;
    return at;
}

/* The same for many of them, eight at a time: a byte that is a digit has become its value, to which
 * 0x76 can be added without reaching the top bit. */
static inline const char *skip_fraction(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        if (!is_digit(*at))
            return at;
        memcpy(&word, at, sizeof word);
        word = le64toh(word) ^ ones * '0';
        uint64_t others = (((word & ~tops) + ones * 0x76) | word) & tops;
        if (others)
            return at + (__builtin_ctzll(others) >> 3);
    }
    return skip_digits(at, end);
}

static bool scan_word(struct scanner *s, const char *from, const char *word, enum ce_span_kind kind)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
        return fail(s, EINVAL, "expected a value");
    s->at += n;
    return note(s, from, s->at, kind);
}

/* *ret_end: where the number without a sign at `from` ends, or else where a digit is missing. */
static inline bool skip_unsigned(const char *from, const char *end, const char **ret_end)
{
    const char *at = from < end && *from == '0' ? from + 1 : skip_digits(from, end);
    if (at > from && at < end && *at == '.') {
        from = at + 1;
        at = skip_fraction(from, end);
    }
    if (at > from && at < end && (*at | 0x20) == 'e') {
        from = at + 1;
        from += from < end && (*from == '+' || *from == '-');
        at = skip_digits(from, end);
    }
    *ret_end = at;
    return at > from;
}

/* Twice the same, so that the processor foresees the sign instead of adding it up. */
static inline bool skip_number(const char *from, const char *end, const char **ret_end)
{
    if (*from == '-')
        return skip_unsigned(from + 1, end, ret_end);
    return skip_unsigned(from, end, ret_end);
}

/* What stands behind a comma, if it begins as a number does. */
static inline const char *next_number(const char *at, const char *end)
{
    if (at == end || *at != ',')
        return NULL;
    for (at++; at < end && is_blank(*at); at++)
        ;
    bool negative = end - at > 1 && *at == '-';
    return at < end && is_digit(negative ? at[1] : *at) ? at : NULL;
}

/* A number, and in an array all that follow it: most of what servers send is these. */
static bool scan_numbers(struct scanner *s)
{
    bool in_array = s->depth > 0 && innermost(s)->kind == CE_SPAN_ARRAY;
    const char *from = s->at, *end = s->end;
    uint32_t more = 0;
    for (;; more++) {
        if (!skip_number(from, end, &s->at))
            return fail(s, EINVAL, "expected a digit");
        if (!note(s, from, s->at, CE_SPAN_NUMBER))
            return false;
        from = in_array ? next_number(s->at, end) : NULL;
        if (!from)
            break;
    }
    if (more > 0)
        innermost(s)->count += more;
    return true;
}

static bool scan_scalar(struct scanner *s, char c)
{
    switch (c) {
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, s->at, "true", CE_SPAN_BOOLEAN);
    case 'f':
        return scan_word(s, s->at, "false", CE_SPAN_BOOLEAN);
    case 'n':
        return scan_word(s, s->at, "null", CE_SPAN_NULL);
    case 'N':
        return scan_word(s, s->at, "NaN", CE_SPAN_NUMBER);
    case 'I':
        return scan_word(s, s->at, "Infinity", CE_SPAN_NUMBER);
    case '-':
        if (s->end - s->at < 2 || s->at[1] != 'I')
            return scan_numbers(s);
        s->at++;
        return scan_word(s, s->at - 1, "Infinity", CE_SPAN_NUMBER);
    default:
        return is_digit(c) ? scan_numbers(s) : fail(s, EINVAL, "expected a value");
    }
}

/* ---- objects and arrays ---- */

static void leave(struct scanner *s)
{
    struct ce_span *span = innermost(s);
    s->at++;
    span->size = (uint32_t)(s->at - s->spans->text) - span->start;
    span->next = s->spans->count;
    s->depth--;
}

/* A member's name and colon. */
static bool scan_name(struct scanner *s)
{
    if (peek(s) != '"')
        return fail(s, EINVAL, "expected a string");
    if (!scan_string(s))
        return false;
    if (peek(s) != ':')
        return fail(s, EINVAL, "expected a colon");
    s->at++;
    return true;
}

/* An empty one is closed at once. *ret_inside: it waits for its first value. */
static bool enter(struct scanner *s, char c, bool *ret_inside)
{
    bool object = c == '{';
    if (s->depth == CE_JSON_NESTING_MAX)
        return fail(s, EINVAL, "nested too deeply");
    s->open[s->depth] = s->spans->count;
    if (!note(s, s->at, s->at, object ? CE_SPAN_OBJECT : CE_SPAN_ARRAY))
        return false;
    s->depth++;
    s->at++;
    *ret_inside = peek(s) != (object ? '}' : ']');
    if (!*ret_inside)
        leave(s);
    else
        return !object || scan_name(s);
    return true;
}

/* Behind a value: closes what ends here, up to the next value. *ret_more: there is one. */
static bool follow(struct scanner *s, bool *ret_more)
{
    while (s->depth > 0) {
        struct ce_span *span = innermost(s);
        bool object = span->kind == CE_SPAN_OBJECT;
        char c = peek(s);
        span->count++;
        if (c == ',') {
            s->at++;
            *ret_more = true;
            return !object || scan_name(s);
        }
        if (c != (object ? '}' : ']'))
            return fail(s, EINVAL,
                        object ? "expected a comma or the end of the object"
                               : "expected a comma or the end of the array");
        leave(s);
    }
    *ret_more = false;
    return true;
}

static bool scan(struct scanner *s)
{
    bool more = true;
    while (more) {
        char c = peek(s);
        bool inside = false;
        if (!(c == '{' || c == '[' ? enter(s, c, &inside) : scan_scalar(s, c)))
            return false;
        if (!inside && !follow(s, &more))
            return false;
    }
    return peek(s) == '\0' && s->at == s->end ? true : fail(s, EINVAL, "something follows");
}

int ce_spans_scan(struct ce_spans *ret, const char *text, size_t size, struct ce_error *err)
{
    ret->text = text;
    ret->spans = ret->few;
    ret->count = 0;
    ret->failed_at = 0;
    ret->capacity = CE_COUNT(ret->few);
    if (size == 0)
        return ce_fail(err, EINVAL, "the message is empty");
    if (size > INT32_MAX)
        return ce_fail(err, EINVAL, "the message has %zu bytes, which is more than 2 GiB", size);
    struct scanner s;
    s.spans = ret;
    s.at = text;
    s.end = text + size;
    s.depth = 0;
    if (scan(&s))
        return 0;
    ret->failed_at = (size_t)(s.at - text);
    return ce_fail(err, s.code, "at byte %zu: %s", ret->failed_at, s.problem);
}

void ce_spans_done(struct ce_spans *spans)
{
    if (spans->spans != spans->few)
        free(spans->spans);
    spans->spans = spans->few;
}

/* ---- looking around ---- */

int ce_span_member(const struct ce_spans *spans, uint32_t object, const char *name,
                   uint32_t *ret_value, struct ce_error *err)
{
    const struct ce_span *span = &spans->spans[object];
    struct ce_slice wanted = ce_slice_of(name);
    *ret_value = 0;
    if (span->kind != CE_SPAN_OBJECT)
        return 0;
    for (uint32_t i = object + 1; i < span->next; i = spans->spans[i + 1].next) {
        if (!ce_slice_same(ce_span_inner(spans, i), wanted))
            continue;
        if (*ret_value > 0)
            return ce_fail(err, EINVAL, "at byte %u: '%s' is there twice",
                           (unsigned)spans->spans[i].start, name);
        *ret_value = i + 1;
    }
    return 0;
}

int ce_span_member_of(const struct ce_spans *spans, uint32_t object, const char *name,
                      enum ce_span_kind kind, uint32_t *ret_value, struct ce_error *err)
{
    static const char *const names[] = {
        [CE_SPAN_OBJECT] = "an object",  [CE_SPAN_ARRAY] = "an array",
        [CE_SPAN_STRING] = "a string",   [CE_SPAN_NUMBER] = "a number",
        [CE_SPAN_BOOLEAN] = "a boolean", [CE_SPAN_NULL] = "null",
    };
    CE_TRY(ce_span_member(spans, object, name, ret_value, err));
    if (*ret_value == 0 || spans->spans[*ret_value].kind == kind)
        return 0;
    return ce_fail(err, EINVAL, "at byte %u: '%s' has to be %s",
                   (unsigned)spans->spans[*ret_value].start, name, names[kind]);
}

uint32_t ce_span_element(const struct ce_spans *spans, uint32_t array, size_t i)
{
    uint32_t element = array + 1;
    while (i-- > 0)
        element = spans->spans[element].next;
    return element;
}

struct ce_slice ce_span_tail(const struct ce_spans *spans, uint32_t array, size_t keep)
{
    const struct ce_span *span = &spans->spans[array];
    const char *from = spans->text + span->start + 1, *end = from + span->size - 2;
    if (keep >= span->count)
        return (struct ce_slice){end, 0};
    if (keep > 0) {
        const struct ce_span *last = &spans->spans[ce_span_element(spans, array, keep - 1)];
        from = spans->text + last->start + last->size;
    }
    return (struct ce_slice){from, (size_t)(end - from)};
}

bool ce_span_size(const struct ce_spans *spans, uint32_t i, size_t *ret_size)
{
    struct ce_slice text = ce_span_text(spans, i);
    size_t size = 0;
    for (size_t k = 0; k < text.size; k++)
        if (!is_digit(text.data[k]) || __builtin_mul_overflow(size, (size_t)10, &size) ||
            __builtin_add_overflow(size, (size_t)(text.data[k] - '0'), &size))
            return false;
    *ret_size = size;
    return true;
}
