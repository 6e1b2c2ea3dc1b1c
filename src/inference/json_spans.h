/* SPDX-License-Identifier: MIT */
/* A strict JSON scanner that remembers where things are instead of what they are.
 *
 * The whole text is checked against the grammar of RFC 8259, so that an edit is only ever made in a
 * message that its receiver reads the same way. NaN, Infinity and -Infinity pass as values, because
 * Python's servers write them. Strings are taken as spelled: a name written with escapes is not
 * recognised, and UTF-8 is passed on unchecked.
 *
 * The result is one flat list of values in the order of the text, each knowing where the next one
 * behind it begins, so walking it takes no recursion. */
#ifndef CE_INFERENCE_JSON_SPANS_H
#define CE_INFERENCE_JSON_SPANS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

#define CE_JSON_NESTING_MAX 64

enum ce_span_kind {
    CE_SPAN_OBJECT = 0, /* its members: a name (a string) and a value in turn */
    CE_SPAN_ARRAY,
    CE_SPAN_STRING,
    CE_SPAN_NUMBER, /* NaN and infinities too */
    CE_SPAN_BOOLEAN,
    CE_SPAN_NULL,
};

struct ce_span {
    uint32_t start, size; /* of its text, quotes and brackets too */
    uint32_t next;        /* index of what follows behind it and all that is in it */
    uint32_t count;       /* elements or members in it */
    enum ce_span_kind kind;
};

struct ce_spans {
    const char *text;
    struct ce_span *spans; /* [0] is the whole */
    uint32_t count, capacity;
    size_t failed_at;        /* the byte at which it is no JSON */
    struct ce_span few[256]; /* most messages need no memory */
};

/* 0; -EINVAL: not JSON, or nested too deeply; -ENOMEM. To be ended with ce_spans_done() in any
 * case. */
int ce_spans_scan(struct ce_spans *ret, const char *text, size_t size, struct ce_error *err);
void ce_spans_done(struct ce_spans *spans);

static inline enum ce_span_kind ce_span_kind(const struct ce_spans *spans, uint32_t i)
{
    return spans->spans[i].kind;
}
static inline bool ce_span_is_scalar(const struct ce_spans *spans, uint32_t i)
{
    return spans->spans[i].kind > CE_SPAN_ARRAY;
}
static inline struct ce_slice ce_span_text(const struct ce_spans *spans, uint32_t i)
{
    return (struct ce_slice){spans->text + spans->spans[i].start, spans->spans[i].size};
}
/* A string's, without its quotes. */
static inline struct ce_slice ce_span_inner(const struct ce_spans *spans, uint32_t i)
{
    return (struct ce_slice){spans->text + spans->spans[i].start + 1, spans->spans[i].size - 2};
}

/* The value of the object's member of that name; 0: it has none, or is no object. A member that is
 * there twice would be read differently by different readers: -EINVAL. */
int ce_span_member(const struct ce_spans *spans, uint32_t object, const char *name,
                   uint32_t *ret_value, struct ce_error *err);
/* The same, where the value must be of that kind: -EINVAL when it is not. */
int ce_span_member_of(const struct ce_spans *spans, uint32_t object, const char *name,
                      enum ce_span_kind kind, uint32_t *ret_value, struct ce_error *err);
/* The i-th element of an array that has that many. */
uint32_t ce_span_element(const struct ce_spans *spans, uint32_t array, size_t i);
/* The bytes to take out of an array so that its first `keep` elements stay: from behind the last of
 * those, up to the closing bracket's left. Empty when there is nothing to take out. */
struct ce_slice ce_span_tail(const struct ce_spans *spans, uint32_t array, size_t keep);
/* A whole number of at least 0, without sign, point and exponent. */
bool ce_span_size(const struct ce_spans *spans, uint32_t i, size_t *ret_size);

#endif
