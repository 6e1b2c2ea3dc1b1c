/* SPDX-License-Identifier: MIT */
/* The JSON scanner, and locators that walk what it found. */
#include "inference.h"
#include "inference/json_path.h"

static int scan(const char *text, size_t size, struct ce_error *err)
{
    /* A copy of the exact size, so that a sanitizer sees a read past the end. */
    ce_autofree char *copy = malloc(size > 0 ? size : 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, size);
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    return ce_spans_scan(&spans, copy, size, err);
}

static void json_is_accepted_and_nothing_else(void)
{
    static const struct {
        const char *text, *says; /* NULL: it is JSON */
    } cases[] = {
        {"{}", NULL},
        {" [ ] \r\n", NULL},
        {"0", NULL},
        {"-0.5e-3", NULL},
        {"1E+9", NULL},
        {"\"\\u00e9\\\"\\\\\\/\\b\"", NULL},
        {"[true,false,null]", NULL},
        {"[NaN,Infinity,-Infinity]", NULL},
        {"{\"a\":{\"b\":[{}]},\"a\":1}", NULL},
        {"", "empty"},
        {" ", "expected a value"},
        {"[1,]", "expected a value"},
        {"[,1]", "expected a value"},
        {"[01]", "comma"},
        {"[1.]", "digit"},
        {"[.5]", "expected a value"},
        {"[+1]", "expected a value"},
        {"[1e]", "digit"},
        {"[-]", "digit"},
        {"[--1]", "digit"},
        {"[-Inf]", "expected a value"},
        {"[-NaN]", "digit"},
        {"[nul]", "expected a value"},
        {"[nan]", "expected a value"},
        {"[\"a\nb\"]", "control"},
        {"[\"\\x\"]", "escape"},
        {"[\"\\u12g4\"]", "hexadecimal"},
        {"[\"abc", "without an end"},
        {"[\"abc\\", "escape"},
        {"{\"a\"}", "colon"},
        {"{\"a\":1,}", "string"},
        {"{a:1}", "string"},
        {"{1:1}", "string"},
        {"{\"a\":1]", "end of the object"},
        {"[1}", "end of the array"},
        {"[1", "end of the array"},
        {"1 2", "follows"},
        {"{} x", "follows"},
        {"]", "expected a value"},
        {"<html>", "byte 0"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        int r = scan(cases[i].text, strlen(cases[i].text), &err);
        if (!cases[i].says) {
            REQUIRE_OK(r, err);
            continue;
        }
        if (!strstr(err.message, cases[i].says))
            printf("# %s: %s\n", cases[i].text, err.message);
        CHECK(r == -EINVAL && strstr(err.message, cases[i].says) != NULL);
    }
    CHECK(scan("1\0", 2, NULL) == -EINVAL);
}

static void every_prefix_is_refused_and_none_is_read_past(void)
{
    static const char text[] = "{\"id\":\"f-1\",\"o\":[{\"n\":\"p\",\"s\":[2,1],\"t\":-Infinity,"
                               "\"d\":[[-0.5e-3],[\"\\u00e9\"],[true,null,NaN]]}]}";
    for (size_t n = 0; n + 1 < sizeof text; n++)
        CHECK(scan(text, n, NULL) == -EINVAL);
    CHECK(scan(text, sizeof text - 1, NULL) == 0);
}

static int scan_nested(int levels)
{
    char text[256];
    memset(text, '[', (size_t)levels);
    memset(text + levels, ']', (size_t)levels);
    return scan(text, 2 * (size_t)levels, NULL);
}

static void nesting_is_limited(void)
{
    CHECK(scan_nested(CE_JSON_NESTING_MAX) == 0);
    CHECK(scan_nested(CE_JSON_NESTING_MAX + 1) == -EINVAL);
}

static void spans_know_where_they_end_and_what_follows(void)
{
    static const char text[] = " {\"a\" : [ 1 , [ ] ], \"b\":\"x\"} ";
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    struct ce_error err = {0};
    REQUIRE_OK(ce_spans_scan(&spans, text, sizeof text - 1, &err), err);
    REQUIRE(spans.count == 7);
    CHECK(ce_slice_is(ce_span_text(&spans, 0), "{\"a\" : [ 1 , [ ] ], \"b\":\"x\"}"));
    CHECK(spans.spans[0].count == 2 && spans.spans[0].next == 7);
    CHECK(ce_slice_is(ce_span_text(&spans, 2), "[ 1 , [ ] ]"));
    CHECK(spans.spans[2].count == 2 && spans.spans[2].next == 5);
    CHECK(ce_slice_is(ce_span_text(&spans, ce_span_element(&spans, 2, 1)), "[ ]"));
    CHECK(spans.spans[4].count == 0);
    CHECK(ce_slice_is(ce_span_inner(&spans, 6), "x"));
    CHECK(ce_slice_is(ce_span_tail(&spans, 2, 1), " , [ ] "));
    CHECK(ce_slice_is(ce_span_tail(&spans, 2, 0), " 1 , [ ] "));
    CHECK(ce_span_tail(&spans, 2, 2).size == 0);
    uint32_t value;
    CHECK(ce_span_member(&spans, 0, "b", &value, &err) == 0 && value == 6);
    CHECK(ce_span_member(&spans, 0, "c", &value, &err) == 0 && value == 0);
    CHECK(ce_span_member_of(&spans, 0, "b", CE_SPAN_ARRAY, &value, &err) == -EINVAL);
    CHECK(strstr(err.message, "'b' has to be an array") != NULL);
}

/* More than fit without memory. */
static void long_messages_are_scanned_too(void)
{
    enum { COUNT = 1000 };
    char text[2 * COUNT + 2] = "[";
    for (int i = 0; i < COUNT; i++)
        strcpy(text + 1 + 2 * i, i + 1 < COUNT ? "7," : "7]");
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    struct ce_error err = {0};
    REQUIRE_OK(ce_spans_scan(&spans, text, strlen(text), &err), err);
    CHECK(spans.count == COUNT + 1 && spans.spans[0].count == COUNT);
    CHECK(ce_slice_is(ce_span_text(&spans, COUNT), "7"));
}

/* ---- locators ---- */

struct matches {
    const struct ce_spans *spans;
    char text[128];
};

static int note_match(void *ctx, uint32_t value, struct ce_error *err)
{
    struct matches *matches = ctx;
    struct ce_slice text = ce_span_text(matches->spans, value);
    size_t n = strlen(matches->text);
    snprintf(matches->text + n, sizeof matches->text - n, "%.*s;", (int)text.size, text.data);
    return 0;
}

static void locators_lead_to_values(void)
{
    static const char text[] =
        "{\"a\":[{\"b c\":[1,2]},{\"b c\":[3]},7],\"x\":{\"y\":{\"z\":4}},\"w\":1,\"w\":2}";
    static const struct {
        const char *locator, *found;
    } cases[] = {
        {"$.x.y.z", "4;"},
        {"$.a[2]", "7;"},
        {"$['a'][0][\"b c\"][1]", "2;"},
        {"$.a[*]['b c'][*]", "1;2;3;"},
        {"$.a[*]", "{\"b c\":[1,2]};{\"b c\":[3]};7;"},
        {"$.a[3]", ""},
        {"$.a.b", ""},
        {"$.x[0]", ""},
        {"$.nobody", ""},
    };
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    struct ce_error err = {0};
    struct ce_locator locator;
    REQUIRE_OK(ce_spans_scan(&spans, text, sizeof text - 1, &err), err);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct matches matches = {.spans = &spans};
        REQUIRE_OK(ce_locator_parse(cases[i].locator, &locator, &err), err);
        REQUIRE_OK(ce_locator_find(&locator, locator.count, &spans, note_match, &matches, &err),
                   err);
        CHECK_TEXT(matches.text, cases[i].found);
    }
    struct matches matches = {.spans = &spans};
    REQUIRE_OK(ce_locator_parse("$.w", &locator, &err), err);
    CHECK(ce_locator_find(&locator, 1, &spans, note_match, &matches, &err) == -EINVAL);
    CHECK(strstr(err.message, "twice") != NULL);
}

static void a_locator_that_does_not_parse_is_refused_with_its_place(void)
{
    static const struct {
        const char *locator, *says;
    } cases[] = {
        {"", "character 1: a path begins"},
        {"a.b", "character 1: a path begins"},
        {"$a", "character 2: expected '.' or '['"},
        {"$.", "character 3: expected a name"},
        {"$..a", "character 3: expected a name"},
        {"$.a b", "character 4: expected '.' or '['"},
        {"$.a[", "character 5: expected an index"},
        {"$.a[]", "character 5: expected an index"},
        {"$.a[-1]", "character 5: expected an index"},
        {"$.a[1", "character 6: expected ']'"},
        {"$.a['b]", "character 5: the name's quote"},
        {"$.a['b'", "character 8: expected ']'"},
        {"$.a[99999999999999999999]", "character 5: the index is too large"},
        {"$[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]"
         "[0][0][0][0]",
         "more than 32"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        CHECK(ce_locator_check(cases[i].locator, &err) == -EINVAL);
        if (!strstr(err.message, cases[i].says))
            printf("# %s: %s\n", cases[i].locator, err.message);
        CHECK(strstr(err.message, cases[i].says) != NULL);
    }
    CHECK(ce_locator_check("$", NULL) == 0);
}

int main(void)
{
    TEST(json_is_accepted_and_nothing_else);
    TEST(every_prefix_is_refused_and_none_is_read_past);
    TEST(nesting_is_limited);
    TEST(spans_know_where_they_end_and_what_follows);
    TEST(long_messages_are_scanned_too);
    TEST(locators_lead_to_values);
    TEST(a_locator_that_does_not_parse_is_refused_with_its_place);
    return test_done();
}
