/* SPDX-License-Identifier: MIT */
#include "inference/json_path.h"

#include "inference/inference.h"

static int fail_at(struct ce_error *err, const char *text, const char *at, const char *problem)
{
    return ce_fail(err, EINVAL, "'%.100s' at character %zu: %s", text, (size_t)(at - text) + 1,
                   problem);
}

static bool is_name(char c)
{
    return c != '\0' && !strchr(".[]'\"* \t", c);
}

/* Behind the point. */
static int parse_name(const char *text, const char **at, struct ce_locator_step *step,
                      struct ce_error *err)
{
    const char *from = *at, *end = from;
    while (is_name(*end))
        end++;
    if (end == from)
        return fail_at(err, text, from, "expected a name");
    step->kind = CE_LOCATOR_MEMBER;
    step->name = (struct ce_slice){from, (size_t)(end - from)};
    *at = end;
    return 0;
}

static int parse_quoted(const char *text, const char **at, struct ce_locator_step *step,
                        struct ce_error *err)
{
    const char *from = *at + 1, *end = strchr(from, **at);
    if (!end)
        return fail_at(err, text, *at, "the name's quote is not closed");
    step->kind = CE_LOCATOR_MEMBER;
    step->name = (struct ce_slice){from, (size_t)(end - from)};
    *at = end + 1;
    return 0;
}

static int parse_index(const char *text, const char **at, struct ce_locator_step *step,
                       struct ce_error *err)
{
    const char *from = *at;
    step->kind = CE_LOCATOR_ELEMENT;
    for (; **at >= '0' && **at <= '9'; ++*at)
        if (__builtin_mul_overflow(step->index, (size_t)10, &step->index) ||
            __builtin_add_overflow(step->index, (size_t)(**at - '0'), &step->index))
            return fail_at(err, text, from, "the index is too large");
    return *at > from ? 0 : fail_at(err, text, from, "expected an index, '*' or a name in quotes");
}

/* Behind the opening bracket. */
static int parse_bracket(const char *text, const char **at, struct ce_locator_step *step,
                         struct ce_error *err)
{
    if (**at == '*') {
        step->kind = CE_LOCATOR_EVERY;
        ++*at;
    } else if (**at == '\'' || **at == '"') {
        CE_TRY(parse_quoted(text, at, step, err));
    } else {
        CE_TRY(parse_index(text, at, step, err));
    }
    if (**at != ']')
        return fail_at(err, text, *at, "expected ']'");
    ++*at;
    return 0;
}

int ce_locator_parse(const char *text, struct ce_locator *ret, struct ce_error *err)
{
    const char *at = text;
    ret->count = 0;
    if (*at != '$')
        return fail_at(err, text, at, "a path begins with '$', as in $.result[*].score");
    for (at++; *at;) {
        if (ret->count == CE_LOCATOR_STEPS_MAX)
            return fail_at(err, text, at, "the path has more than 32 steps");
        struct ce_locator_step *step = &ret->steps[ret->count++];
        *step = (struct ce_locator_step){.name = {"", 0}};
        if (*at != '.' && *at != '[')
            return fail_at(err, text, at, "expected '.' or '['");
        if (*at++ == '.')
            CE_TRY(parse_name(text, &at, step, err));
        else
            CE_TRY(parse_bracket(text, &at, step, err));
    }
    return 0;
}

int ce_locator_check(const char *locator, struct ce_error *err)
{
    struct ce_locator parsed;
    return ce_locator_parse(locator, &parsed, err);
}

size_t ce_locator_every(const struct ce_locator *locator)
{
    size_t i = 0;
    while (i < locator->count && locator->steps[i].kind != CE_LOCATOR_EVERY)
        i++;
    return i;
}

struct ce_slice ce_locator_name(const struct ce_locator *locator)
{
    for (size_t i = locator->count; i-- > 0;)
        if (locator->steps[i].kind == CE_LOCATOR_MEMBER)
            return locator->steps[i].name;
    return (struct ce_slice){"", 0};
}

/* ---- walking ---- */

struct search {
    const struct ce_locator *locator;
    size_t count;
    const struct ce_spans *spans;
    ce_match_fn *match;
    void *ctx;
};

/* The member's value, or 0. */
static int find_member(const struct ce_spans *spans, uint32_t object, struct ce_slice name,
                       uint32_t *ret_value, struct ce_error *err)
{
    *ret_value = 0;
    for (uint32_t i = object + 1; i < spans->spans[object].next; i = spans->spans[i + 1].next) {
        if (!ce_slice_same(ce_span_inner(spans, i), name))
            continue;
        if (*ret_value > 0)
            return ce_fail(err, EINVAL, "at byte %u: '%.*s' is there twice",
                           (unsigned)spans->spans[i].start, (int)(name.size < 64 ? name.size : 64),
                           name.data);
        *ret_value = i + 1;
    }
    return 0;
}

/* Recursion is as deep as the user's path is long. */
static int follow(const struct search *search, size_t depth, uint32_t value, struct ce_error *err)
{
    const struct ce_spans *spans = search->spans;
    const struct ce_locator_step *step = &search->locator->steps[depth];
    const struct ce_span *span = &spans->spans[value];
    if (depth == search->count)
        return search->match(search->ctx, value, err);
    if (step->kind == CE_LOCATOR_MEMBER) {
        uint32_t member = 0;
        if (span->kind == CE_SPAN_OBJECT)
            CE_TRY(find_member(spans, value, step->name, &member, err));
        return member > 0 ? follow(search, depth + 1, member, err) : 0;
    }
    if (span->kind != CE_SPAN_ARRAY)
        return 0;
    if (step->kind == CE_LOCATOR_ELEMENT)
        return step->index < span->count
                   ? follow(search, depth + 1, ce_span_element(spans, value, step->index), err)
                   : 0;
    for (uint32_t i = value + 1; i < span->next; i = spans->spans[i].next)
        CE_TRY(follow(search, depth + 1, i, err));
    return 0;
}

int ce_locator_find(const struct ce_locator *locator, size_t count, const struct ce_spans *spans,
                    ce_match_fn *match, void *ctx, struct ce_error *err)
{
    struct search search = {locator, count, spans, match, ctx};
    return follow(&search, 0, 0, err);
}
