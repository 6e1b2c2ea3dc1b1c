/* SPDX-License-Identifier: MIT */
/* A strict JSON scanner that remembers where things are instead of what they are.
 *
 * The whole message is checked against the grammar of RFC 8259, so that an edit is only ever made
 * in a message that its receiver will read the same way; a member that appears twice where it
 * matters is refused for that reason. Strings are taken as spelled: a name written with escapes is
 * not recognised, and UTF-8 is passed on unchecked. Recursion is bounded by the nesting limit. */
#include "proxy/tensor.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NESTING_MAX 64

struct scanner {
    const char *start, *at, *end;
    int depth;
    int code;            /* once failed: errno value */
    const char *problem; /* and why; at `at` */
};

typedef bool member_fn(struct scanner *s, struct ce_slice name, void *ctx);
typedef bool element_fn(struct scanner *s, void *ctx);

static bool scan_value(struct scanner *s, struct ce_slice *ret_text);

/* The first problem is the one that counts. */
static bool fail(struct scanner *s, int code, const char *problem)
{
    if (!s->problem) {
        s->code = code;
        s->problem = problem;
    }
    return false;
}

static void skip_blanks(struct scanner *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

/* The next byte after blanks, not consumed; 0 at the end (and for a NUL byte, which nothing accepts
 * either). */
static char peek(struct scanner *s)
{
    skip_blanks(s);
    return s->at < s->end ? *s->at : '\0';
}

static bool accept(struct scanner *s, char c)
{
    if (peek(s) != c)
        return false;
    s->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
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

/* *ret_inner: what is between the quotes. */
static bool scan_string(struct scanner *s, struct ce_slice *ret_inner)
{
    if (!accept(s, '"'))
        return fail(s, EINVAL, "expected a string");
    const char *inner = s->at;
    while (s->at < s->end) {
        char c = *s->at++;
        if (c == '"') {
            *ret_inner = (struct ce_slice){inner, (size_t)(s->at - 1 - inner)};
            return true;
        }
        if ((unsigned char)c < 0x20)
            return fail(s, EINVAL, "control character in a string");
        if (c == '\\' && !scan_escape(s))
            return false;
    }
    return fail(s, EINVAL, "string without an end");
}

static bool scan_digits(struct scanner *s)
{
    const char *from = s->at;
    while (s->at < s->end && is_digit(*s->at))
        s->at++;
    return s->at > from || fail(s, EINVAL, "expected a digit");
}

static bool scan_number(struct scanner *s)
{
    if (s->at < s->end && *s->at == '-')
        s->at++;
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else if (!scan_digits(s))
        return false;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!scan_digits(s))
            return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        return scan_digits(s);
    }
    return true;
}

static bool scan_word(struct scanner *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
        return fail(s, EINVAL, "expected a value");
    s->at += n;
    return true;
}

/* `member` is called behind each colon and consumes the value. */
static bool scan_object(struct scanner *s, member_fn *member, void *ctx)
{
    if (!accept(s, '{'))
        return fail(s, EINVAL, "expected an object");
    if (++s->depth > NESTING_MAX)
        return fail(s, EINVAL, "nested too deeply");
    if (!accept(s, '}')) {
        do {
            struct ce_slice name;
            if (!scan_string(s, &name))
                return false;
            if (!accept(s, ':'))
                return fail(s, EINVAL, "expected a colon");
            if (!member(s, name, ctx))
                return false;
        } while (accept(s, ','));
        if (!accept(s, '}'))
            return fail(s, EINVAL, "expected a comma or the end of the object");
    }
    s->depth--;
    return true;
}

static bool scan_array(struct scanner *s, element_fn *element, void *ctx)
{
    if (!accept(s, '['))
        return fail(s, EINVAL, "expected an array");
    if (++s->depth > NESTING_MAX)
        return fail(s, EINVAL, "nested too deeply");
    if (!accept(s, ']')) {
        do {
            if (!element(s, ctx))
                return false;
        } while (accept(s, ','));
        if (!accept(s, ']'))
            return fail(s, EINVAL, "expected a comma or the end of the array");
    }
    s->depth--;
    return true;
}

static bool skip_member(struct scanner *s, struct ce_slice name, void *ctx)
{
    (void)name;
    (void)ctx;
    return scan_value(s, NULL);
}

static bool skip_element(struct scanner *s, void *ctx)
{
    (void)ctx;
    return scan_value(s, NULL);
}

/* Any value. *ret_text (may be NULL): its bytes. */
static bool scan_value(struct scanner *s, struct ce_slice *ret_text)
{
    struct ce_slice inner;
    char c = peek(s);
    const char *from = s->at;
    bool ok;
    if (c == '{')
        ok = scan_object(s, skip_member, NULL);
    else if (c == '[')
        ok = scan_array(s, skip_element, NULL);
    else if (c == '"')
        ok = scan_string(s, &inner);
    else if (c == '-' || is_digit(c))
        ok = scan_number(s);
    else
        ok = scan_word(s, c == 't' ? "true" : c == 'f' ? "false" : "null");
    if (ok && ret_text)
        *ret_text = (struct ce_slice){from, (size_t)(s->at - from)};
    return ok;
}

static bool slice_is(struct ce_slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

/* ---- inputs and outputs ---- */

struct search {
    const char *member;
    bool seen;
    size_t tensors, capacity;
    struct ce_tensor_values found;
};

struct tensor {
    struct search *search;
    struct ce_slice name, type;
    size_t dimensions, width, count;
    bool has_name, has_type, has_shape, has_data;
};

static bool keep(struct scanner *s, struct tensor *tensor, struct ce_slice text)
{
    struct search *search = tensor->search;
    if (search->found.count == search->capacity) {
        size_t capacity = search->capacity > 0 ? 2 * search->capacity : 16;
        struct ce_tensor_value *larger =
            reallocarray(search->found.values, capacity, sizeof *larger);
        if (!larger)
            return fail(s, ENOMEM, "out of memory");
        search->found.values = larger;
        search->capacity = capacity;
    }
    search->found.values[search->found.count++] = (struct ce_tensor_value){
        .text = text, .index = tensor->count++, .ordinal = search->tensors};
    return true;
}

static bool data_element(struct scanner *s, void *ctx)
{
    struct ce_slice text;
    switch (peek(s)) {
    case '[':
        return scan_array(s, data_element, ctx);
    case '{':
        return fail(s, EINVAL, "an object among a tensor's data");
    default:
        return scan_value(s, &text) && keep(s, ctx, text);
    }
}

static bool shape_element(struct scanner *s, void *ctx)
{
    struct tensor *tensor = ctx;
    struct ce_slice text;
    size_t size = 0;
    if (!scan_value(s, &text))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i]))
            return fail(s, EINVAL, "a shape holds whole numbers");
        if (__builtin_mul_overflow(size, (size_t)10, &size) ||
            __builtin_add_overflow(size, (size_t)(text.data[i] - '0'), &size))
            return fail(s, EINVAL, "a shape is too large");
    }
    if (tensor->dimensions++ > 0 && __builtin_mul_overflow(tensor->width, size, &tensor->width))
        return fail(s, EINVAL, "a shape is too large");
    return true;
}

static bool once(struct scanner *s, bool *seen)
{
    if (*seen)
        return fail(s, EINVAL, "a member appears twice");
    *seen = true;
    return true;
}

static bool tensor_member(struct scanner *s, struct ce_slice name, void *ctx)
{
    struct tensor *tensor = ctx;
    if (slice_is(name, "name"))
        return once(s, &tensor->has_name) && scan_string(s, &tensor->name);
    if (slice_is(name, "datatype"))
        return once(s, &tensor->has_type) && scan_string(s, &tensor->type);
    if (slice_is(name, "shape"))
        return once(s, &tensor->has_shape) && scan_array(s, shape_element, tensor);
    if (slice_is(name, "data"))
        return once(s, &tensor->has_data) && scan_array(s, data_element, tensor);
    return scan_value(s, NULL);
}

/* Members come in any order, so what is common to a tensor's values is filled in when all of it is
 * known. */
static bool tensor_element(struct scanner *s, void *ctx)
{
    struct search *search = ctx;
    struct tensor tensor = {.search = search, .name = {"", 0}, .type = {"", 0}, .width = 1};
    size_t first = search->found.count;
    if (!scan_object(s, tensor_member, &tensor))
        return false;
    for (size_t i = first; i < search->found.count; i++) {
        search->found.values[i].tensor = tensor.name;
        search->found.values[i].type = tensor.type;
        search->found.values[i].width = tensor.width > 0 ? tensor.width : 1;
    }
    search->found.without_data += !tensor.has_data;
    search->tensors++;
    return true;
}

static bool message_member(struct scanner *s, struct ce_slice name, void *ctx)
{
    struct search *search = ctx;
    if (slice_is(name, search->member))
        return once(s, &search->seen) && scan_array(s, tensor_element, search);
    return scan_value(s, NULL);
}

int ce_tensor_find(const char *json, size_t size, const char *member, struct ce_tensor_values *ret,
                   struct ce_error *err)
{
    if (size == 0)
        return ce_fail(err, EINVAL, "the message is empty");
    struct scanner s = {.start = json, .at = json, .end = json + size};
    struct search search = {.member = member};
    bool ok = scan_object(&s, message_member, &search);
    if (ok) {
        skip_blanks(&s);
        if (s.at < s.end)
            ok = fail(&s, EINVAL, "something follows the message");
        else if (!search.seen)
            ok = fail(&s, ENOENT, "the message has no such member");
    }
    if (!ok) {
        ce_tensor_values_done(&search.found);
        return ce_fail(err, s.code, "'%s' at byte %zu: %s", member, (size_t)(s.at - s.start),
                       s.problem);
    }
    *ret = search.found;
    return 0;
}

void ce_tensor_values_done(struct ce_tensor_values *values)
{
    free(values->values);
    *values = (struct ce_tensor_values){0};
}

char *ce_tensor_apply(const char *json, size_t size, const struct ce_edit *edits, size_t count,
                      size_t *ret_size)
{
    size_t total = size;
    for (size_t i = 0; i < count; i++)
        total += strlen(edits[i].text) - edits[i].span.size;
    char *message = malloc(total > 0 ? total : 1);
    if (!message)
        return NULL;
    const char *from = json;
    char *to = message;
    for (size_t i = 0; i < count; i++) {
        assert(edits[i].span.data >= from &&
               edits[i].span.data + edits[i].span.size <= json + size);
        to = mempcpy(to, from, (size_t)(edits[i].span.data - from));
        to = mempcpy(to, edits[i].text, strlen(edits[i].text));
        from = edits[i].span.data + edits[i].span.size;
    }
    (void)mempcpy(to, from, (size_t)(json + size - from));
    *ret_size = total;
    return message;
}
