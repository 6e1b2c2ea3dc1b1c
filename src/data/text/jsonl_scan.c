/* SPDX-License-Identifier: MIT */
#include "data/text/jsonl_scan.h"

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static const char *fail(struct ce_json_fault *fault, const char *at, const char *want)
{
    *fault = (struct ce_json_fault){at, want};
    return NULL;
}

/* ---- strings ---- */

/* The first quote, backslash or control character. */
static inline const char *string_special(const char *p)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);
    for (;; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i found = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
            _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));
        int bits = _mm_movemask_epi8(found);
        if (bits != 0)
            return p + __builtin_ctz((unsigned)bits);
    }
#else
    while (*p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
#endif
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static const char *skip_escape(const char *p, struct ce_json_fault *fault)
{
    if (p[1] == 'u') {
        for (int i = 2; i < 6; i++)
            if (!is_hex(p[i]))
                return fail(fault, p + i, "four hexadecimal digits after \\u");
        return p + 6;
    }
    if (p[1] == '\0' || !strchr("\"\\/bfnrt", p[1]))
        return fail(fault, p + 1, "one of \"\\/bfnrtu after a backslash");
    return p + 2;
}

/* From the opening quote to behind the closing one. */
static inline const char *skip_string(const char *p, struct ce_json_fault *fault)
{
    p = string_special(p + 1);
    while (*p != '"') {
        if (*p != '\\')
            return fail(fault, p, "the end of the string (control characters must be escaped)");
        p = skip_escape(p, fault);
        if (!p)
            return NULL;
        p = string_special(p);
    }
    return p + 1;
}

/* ---- other scalars ---- */

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

static inline const char *skip_digits(const char *p, struct ce_json_fault *fault)
{
    if (!is_digit(*p))
        return fail(fault, p, "a digit");
    do
        p++;
    while (is_digit(*p));
    return p;
}

static const char *skip_word(const char *p, const char *word, struct ce_json_fault *fault)
{
    size_t size = strlen(word);
    return strncmp(p, word, size) == 0 ? p + size : fail(fault, p, "a JSON value");
}

static inline const char *skip_number(const char *p, struct ce_json_fault *fault)
{
    const char *start = p;
    p += *p == '-';
    if (*p == 'I')
        return skip_word(p, "Infinity", fault);
    p = *p == '0' ? p + 1 : skip_digits(p, fault);
    if (p && *p == '.')
        p = skip_digits(p + 1, fault);
    if (p && (*p | 0x20) == 'e') {
        p++;
        p = skip_digits(p + (*p == '+' || *p == '-'), fault);
    }
    if (p && is_digit(*p))
        return fail(fault, start, "a number without leading zeros");
    return p;
}

static inline const char *skip_scalar(const char *p, struct ce_json_fault *fault)
{
    switch (*p) {
    case '"':
        return skip_string(p, fault);
    case 't':
        return skip_word(p, "true", fault);
    case 'f':
        return skip_word(p, "false", fault);
    case 'n':
        return skip_word(p, "null", fault);
    case 'N':
        return skip_word(p, "NaN", fault);
    case 'I':
        return skip_word(p, "Infinity", fault);
    default:
        return *p == '-' || is_digit(*p) ? skip_number(p, fault) : fail(fault, p, "a JSON value");
    }
}

/* ---- objects and arrays ---- */

static inline const char *skip_quoted_key(const char *p, struct ce_json_fault *fault)
{
    return *p == '"' ? skip_string(p, fault) : fail(fault, p, "a key in double quotes");
}

static inline const char *skip_colon(const char *p, struct ce_json_fault *fault)
{
    p = ce_json_blanks(p);
    return *p == ':' ? ce_json_blanks(p + 1) : fail(fault, p, "':' after the key");
}

/* From the quote that opens a key to the value. */
static const char *skip_key(const char *p, struct ce_json_fault *fault)
{
    p = skip_quoted_key(p, fault);
    return p ? skip_colon(p, fault) : NULL;
}

/* One bit for each open bracket: whether it is an object's. */
struct nesting {
    uint64_t objects[CE_JSON_DEPTH / 64];
    unsigned depth;
    bool object; /* the innermost */
};

static bool nest(struct nesting *n, bool object)
{
    if (n->depth == CE_JSON_DEPTH - 1) /* the line's own object is the first */
        return false;
    uint64_t bit = UINT64_C(1) << n->depth % 64, *word = &n->objects[n->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    n->depth++;
    n->object = object;
    return true;
}

static void unnest(struct nesting *n)
{
    n->depth--;
    if (n->depth > 0)
        n->object = n->objects[(n->depth - 1) / 64] >> (n->depth - 1) % 64 & 1;
}

static char closing(const struct nesting *n)
{
    return n->object ? '}' : ']';
}

/* Behind a value: passes the brackets that close here, and when some are still open the blanks. */
static const char *skip_closing(const char *p, struct nesting *n)
{
    for (;;) {
        const char *next = ce_json_blanks(p);
        if (*next != closing(n))
            return next;
        p = next + 1;
        unnest(n);
        if (n->depth == 0)
            return p;
    }
}

static const char *skip_nested(const char *p, struct ce_json_fault *fault)
{
    struct nesting n = {.depth = 0};
    do {
        bool opens = *p == '{' || *p == '[';
        if (opens && !nest(&n, *p == '{'))
            return fail(fault, p, "fewer than 512 objects and arrays within each other");
        p = opens ? ce_json_blanks(p + 1) : skip_scalar(p, fault);
        if (!p)
            return NULL;
        if (!opens || *p == closing(&n)) {
            p = skip_closing(p, &n);
            if (n.depth == 0)
                return p;
            if (*p != ',')
                return fail(fault, p, n.object ? "',' or '}'" : "',' or ']'");
            p = ce_json_blanks(p + 1);
        }
        if (n.object)
            p = skip_key(p, fault);
    } while (p);
    return NULL;
}

/* ---- the walk ---- */

int ce_json_walk_next(struct ce_json_walk *walk, const char *hint, size_t hint_size,
                      struct ce_json_member *ret_member)
{
    struct ce_json_fault *fault = &walk->fault;
    const char *p = ce_json_blanks(walk->at);
    if (*p == '}') {
        walk->at = p + 1;
        return 0;
    }
    if (walk->begun && *p != ',') {
        (void)fail(fault, p, "',' or '}'");
        return -1;
    }
    if (walk->begun)
        p = ce_json_blanks(p + 1);
    walk->begun = true;

    ret_member->key = p;
    ret_member->hinted =
        hint && *p == '"' && memcmp(p + 1, hint, hint_size) == 0 && p[1 + hint_size] == '"';
    p = ret_member->hinted ? p + hint_size + 2 : skip_quoted_key(p, fault);
    if (!p)
        return -1;
    ret_member->key_size = (size_t)(p - ret_member->key);
    p = skip_colon(p, fault);
    if (!p)
        return -1;
    ret_member->value = p;
    p = *p == '{' || *p == '[' ? skip_nested(p, fault) : skip_scalar(p, fault);
    if (!p)
        return -1;
    ret_member->value_size = (size_t)(p - ret_member->value);
    walk->at = p;
    return 1;
}
