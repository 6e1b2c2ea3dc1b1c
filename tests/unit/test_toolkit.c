/* SPDX-License-Identifier: MIT */
/* Documents of the Chaos Toolkit: values put in, patterns, paths, tolerances, what is refused. How
 * they run is seen end to end. */
#include "toolkit/toolkit_internal.h"

#include "base/clock.h"
#include "check.h"

/* ---- helpers ---- */

static struct ce_node *parse(const char *text)
{
    struct ce_node *node = NULL;
    struct ce_error err = {0};
    if (ce_node_parse(text, strlen(text), "test.yaml", &node, &err) < 0)
        printf("# %s %s\n", err.where, err.message);
    return node;
}

static char *dumped(const json_t *value)
{
    return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
}

static struct ce_settings settings_of(const char *text)
{
    CE_CLEANUP(ce_node_free_p) struct ce_node *node = parse(text);
    struct ce_settings settings = {0};
    struct ce_error err = {0};
    if (!node || ce_settings_read(node, NULL, 0, &settings, &err) < 0)
        printf("# %s %s\n", err.where, err.message);
    return settings;
}

/* ---- values ---- */

static void scalars_have_the_types_that_the_document_means(void)
{
    CE_CLEANUP(ce_node_free_p)
    struct ce_node *node = parse("[1, 1.5, '1', true, 'yes', no, null, text, 1e3, {a: []}]");
    ce_autojson json_t *value = ce_value_of(node);
    ce_autofree char *text = dumped(value);
    CHECK_TEXT(text, "[1,1.5,\"1\",true,\"yes\",false,null,\"text\",1000.0,{\"a\":[]}]");
}

static void names_are_put_in_as_pythons_template_does(void)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"${n}", "17"},
        {"$n", "\"17\""},
        {"a-${n}-$t.", "\"a-17-True.\""},
        {"${none} $none", "\"${none} $none\""},
        {"$$n $${n}", "\"$n ${n}\""},
        {"${n", "\"${n\""},
        {"100% $ ", "\"100% $ \""},
        {"${list}", "[1,2]"},
        {"${f}!", "\"0.1!\""},
        {"${whole}!", "\"2.0!\""},
        {"${z}!", "\"None!\""},
        {"${token}", "\"hidden\""},
        {"", "\"\""},
    };
    struct ce_settings settings =
        settings_of("{configuration: {n: 17, t: true, list: [1, 2], f: 0.1, whole: 2.0, z: null},"
                    " secrets: {group: {token: hidden, n: 18}}}");
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        bool secret = false;
        ce_autojson json_t *from = json_string(cases[i].from);
        ce_autojson json_t *to = ce_value_resolve(from, &settings, &secret);
        ce_autofree char *text = to ? dumped(to) : NULL;
        CHECK_TEXT(text, cases[i].to);
        CHECK(secret == (strstr(cases[i].from, "token") != NULL));
    }
    ce_settings_done(&settings);
}

static void values_come_from_the_environment_in_their_type(void)
{
    setenv("CE_TEST_NUMBER", "42", 1);
    setenv("CE_TEST_JSON", "{\"a\": 1}", 1);
    unsetenv("CE_TEST_NONE");
    struct ce_settings settings =
        settings_of("configuration:\n"
                    "  plain: {type: env, key: CE_TEST_NUMBER}\n"
                    "  number: {type: env, key: CE_TEST_NUMBER, env_var_type: int}\n"
                    "  real: {type: env, key: CE_TEST_NUMBER, env_var_type: float}\n"
                    "  truth: {type: env, key: CE_TEST_NUMBER, env_var_type: bool}\n"
                    "  json: {type: env, key: CE_TEST_JSON, env_var_type: json}\n"
                    "  none: {type: env, key: CE_TEST_NONE, default: fallback}\n"
                    "  typed: {type: env, key: CE_TEST_NONE, default: '7', env_var_type: int}\n");
    ce_autofree char *text = json_dumps(settings.values, JSON_COMPACT | JSON_SORT_KEYS);
    CHECK_TEXT(text, "{\"json\":{\"a\":1},\"none\":\"fallback\",\"number\":42,\"plain\":\"42\","
                     "\"real\":42.0,\"truth\":true,\"typed\":7}");
    ce_settings_done(&settings);
}

/* ---- patterns ---- */

static void patterns_match_what_they_match_in_python(void)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"\\d+", "a1", true},
        {"^\\d+$", "12\n", true},
        {"^\\d+$", "12\n\n", false},
        {"^\\D+$", "12", false},
        {"^\\S+ \\w+$", "a-b c_d", true},
        {"a.c", "a\nc", false},
        {"(?s)a.c", "a\nc", true},
        {"(?i)HELLO", "hello", true},
        {"^(?:ab)+?$", "abab", true},
        {"(?P<word>x)y", "xy", true},
        {"a{2,3}", "caat", true},
        {"{\"a\": 1}", "{\"a\": 1}", true},
        {"[\\w.-]+@[\\w]+", "a.b-c@d", true},
        {"^[]x]$", "]", true},
        {"^[\\]x]$", "]", true},
        {"^[^\\]]$", "]", false},
        {"^[a\\-z]$", "b", false},
        {"^[\\^a]$", "^", true},
        {"^[\\^]$", "^", true},
        {"^[\\^]$", "a", false},
        {"[^\\d]", "1", false},
        {"\\bwell\\b", "all well.", true},
        {"\\bell\\b", "all well.", false},
        {"a\\.b\\/c", "a.b/c", true},
        {"\\Aab\\Z", "ab", true},
        {"x|y$", "yes", false},
        {"a++b", "aab", true},
        {"\\t", "a\tb", true},
        {"", "anything", true},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        regex_t pattern;
        struct ce_error err = {0};
        REQUIRE_OK(ce_pattern_compile(cases[i].pattern, &pattern, &err), err);
        bool matches = regexec(&pattern, cases[i].text, 0, NULL, 0) == 0;
        if (matches != cases[i].matches)
            printf("# /%s/ and '%s'\n", cases[i].pattern, cases[i].text);
        CHECK(matches == cases[i].matches);
        regfree(&pattern);
    }
}

static void patterns_beyond_the_matcher_are_refused_by_name(void)
{
    static const struct {
        const char *pattern, *says;
    } cases[] = {
        {"(?=a)", "looking ahead or behind"},
        {"(?<!a)b", "looking ahead or behind"},
        {"(?m)a", "(?m)"},
        {"\\x41", "\\x"},
        {"[a", "not closed"},
        {"(a", "no regular expression"},
        {"a\\", "backslash at its end"},
        {"[]", "not closed"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        regex_t pattern;
        struct ce_error err = {0};
        CHECK(ce_pattern_compile(cases[i].pattern, &pattern, &err) < 0);
        CHECK(strstr(err.message, cases[i].says) != NULL);
    }
}

/* ---- paths ---- */

static void paths_lead_to_all_that_they_mean(void)
{
    static const struct {
        const char *path, *found;
    } cases[] = {
        {"$", "[{\"a\":{\"b\":[1,{\"c\":2}],\"c\":3},\"x y\":4}]"},
        {"$.a.c", "[3]"},
        {"$['x y']", "[4]"},
        {"$.a.b[0]", "[1]"},
        {"$.a.b[-1].c", "[2]"},
        {"$.a.b[7]", "[]"},
        {"$.a.b[*]", "[1,{\"c\":2}]"},
        {"$.a.*", "[[1,{\"c\":2}],3]"},
        {"$..c", "[3,2]"},
        {"$.a[0]", "[]"},
        {"$.none.c", "[]"},
    };
    ce_autojson json_t *value =
        json_loads("{\"a\": {\"b\": [1, {\"c\": 2}], \"c\": 3}, \"x y\": 4}", 0, NULL);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        ce_autojson json_t *steps = NULL;
        REQUIRE_OK(ce_path_parse(cases[i].path, &steps, &err), err);
        ce_autojson json_t *found = ce_path_match(steps, value);
        ce_autofree char *text = dumped(found);
        CHECK_TEXT(text, cases[i].found);
    }
    static const char *const bad[] = {"",     "a",     "$a",          "$.",   "$[",
                                      "$[a]", "$['a]", "$.a[?(@.b)]", "$[ 1]"};
    for (size_t i = 0; i < CE_COUNT(bad); i++) {
        struct ce_error err = {0};
        json_t *steps = NULL;
        CHECK(ce_path_parse(bad[i], &steps, &err) == -EINVAL);
        CHECK(strstr(err.message, "at its character") != NULL);
    }
}

/* ---- tolerances ---- */

static void tolerances_hold_for_what_they_name(void)
{
    static const struct {
        const char *tolerance;
        bool holds;
    } cases[] = {
        {"3", true},
        {"0", false},
        {"[1, 5]", false}, /* no range: there is a status */
        {"[1, 3]", true},
        {"{type: range, range: [0.5, 1], target: stdout}", true},
        {"{type: range, range: [0, 0.5], target: stdout}", false},
        {"{type: range, range: [3, 3], target: status}", true},
        {"{type: range, range: [0, 9], target: stderr}", false},
        {"{type: regex, pattern: '^0\\.75$', target: stdout}", true},
        {"{type: regex, pattern: oops, target: stdout}", false},
        {"{type: jsonpath, path: $.status, expect: 3}", true},
        {"{type: jsonpath, path: $, target: stdout, expect: 0.75}", true},
        {"{type: jsonpath, path: $.none, count: 0}", true},
    };
    ce_autojson json_t *output =
        json_pack("{s:i, s:s, s:s}", "status", 3, "stdout", " 0.75\n", "stderr", "oops");
    ce_autojson json_t *plain =
        json_pack("{s:i, s:s, s:s}", "status", 3, "stdout", "0.75", "stderr", "oops");
    const struct ce_settings settings = {0};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(ce_node_free_p) struct ce_node *node = parse(cases[i].tolerance);
        struct ce_tolerance tolerance;
        struct ce_error err = {0};
        char why[400] = "";
        bool is_regex = strstr(cases[i].tolerance, "regex") != NULL;
        REQUIRE_OK(ce_tolerance_read(node, ce_process_members, &settings, &tolerance, &err), err);
        CHECK(ce_tolerance_holds(&tolerance, is_regex ? plain : output, why, sizeof why) ==
              cases[i].holds);
        CHECK(why[0] != '\0');
        ce_tolerance_done(&tolerance);
    }
}

static void tolerances_that_can_never_hold_are_refused(void)
{
    static const char *const bad[] = {"true",
                                      "text",
                                      "1.5",
                                      "null",
                                      "[]",
                                      "[a]",
                                      "{type: range, range: [1], target: body}",
                                      "{type: range, range: [2, 1], target: body}",
                                      "{type: range, range: [1, 2]}",
                                      "{type: regex, pattern: a}",
                                      "{type: regex, target: body}",
                                      "{type: jsonpath}",
                                      "{type: probe, provider: {}}",
                                      "{type: other}",
                                      "{}",
                                      "{type: regex, pattern: a, target: stdout}"};
    const struct ce_settings settings = {0};
    for (size_t i = 0; i < CE_COUNT(bad); i++) {
        CE_CLEANUP(ce_node_free_p) struct ce_node *node = parse(bad[i]);
        struct ce_tolerance tolerance;
        struct ce_error err = {0};
        CHECK(ce_tolerance_read(node, ce_http_members, &settings, &tolerance, &err) < 0);
        CHECK(strncmp(err.message, "tolerance: ", 11) == 0);
        CHECK(err.where[0] != '\0');
    }
}

/* ---- programs ---- */

static struct ce_outcome run(const char *provider, struct ce_stopper *stopper, int64_t limit)
{
    ce_autojson json_t *json = json_loads(provider, 0, NULL);
    struct ce_outcome outcome = {0};
    ce_provider_run(json, stopper, limit, &outcome);
    return outcome;
}

static void programs_end_with_all_they_started_when_their_time_is_up(void)
{
    struct ce_stopper stopper;
    struct ce_error err = {0};
    REQUIRE_OK(ce_stopper_init(&stopper, &err), err);
    struct ce_outcome outcome =
        run("{\"type\": \"process\", \"timeout\": 0.2, \"argv\": [\"/bin/sh\", \"-c\", "
            "\"sleep 77 & sleep 77\"]}",
            &stopper, CE_SECOND * 60);
    CHECK(outcome.failure && strstr(outcome.failure, "did not end within 0.2 s"));
    CHECK(!outcome.unasked && !outcome.given_up);
    ce_outcome_done(&outcome);
    outcome = run("{\"type\": \"process\", \"argv\": [\"/no/such/program\"]}", &stopper, CE_SECOND);
    CHECK(outcome.failure && outcome.unasked);
    ce_outcome_done(&outcome);
    outcome = run("{\"type\": \"process\", \"folder\": \"/\", \"argv\": [\"/bin/sh\", \"-c\", "
                  "\"pwd; exit 5\"]}",
                  &stopper, CE_SECOND * 60);
    ce_autofree char *text = dumped(outcome.output);
    CHECK_TEXT(text, "{\"status\":5,\"stdout\":\"/\\n\",\"stderr\":\"\"}");
    ce_outcome_done(&outcome);
    ce_stopper_pull(&stopper);
    outcome = run("{\"type\": \"process\", \"argv\": [\"/bin/sleep\", \"77\"]}", &stopper,
                  CE_SECOND * 60);
    CHECK(outcome.given_up);
    ce_outcome_done(&outcome);
    ce_stopper_done(&stopper);
}

/* ---- documents ---- */

static void documents_are_recognised(void)
{
    CE_CLEANUP(ce_node_free_p) struct ce_node *theirs = parse("{title: a, method: []}");
    CE_CLEANUP(ce_node_free_p) struct ce_node *ours = parse("{experiments: []}");
    CE_CLEANUP(ce_node_free_p) struct ce_node *list = parse("[title, method]");
    CHECK(ce_toolkit_is(theirs));
    CHECK(!ce_toolkit_is(ours));
    CHECK(!ce_toolkit_is(list));
}

static void unknown_keys_are_noted_unless_they_are_nearly_known(void)
{
    CE_CLEANUP(ce_node_free_p)
    struct ce_node *node = parse("{title: a, method: [], controls: [], x-owner: me}");
    CE_CLEANUP(ce_node_free_p)
    struct ce_node *wrong = parse("{title: a, method: [],\n  rollback: []}");
    struct ce_toolkit *toolkit = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(ce_toolkit_parse(node, NULL, 0, &toolkit, &err), err);
    CHECK_TEXT(ce_toolkit_notice(toolkit, 0), "'x-owner' of the document has no effect here");
    CHECK_TEXT(ce_toolkit_notice(toolkit, 1), "controls are Python code, and not called");
    CHECK(!ce_toolkit_notice(toolkit, 2));
    ce_toolkit_free(toolkit);
    CHECK(ce_toolkit_parse(wrong, NULL, 0, &toolkit, &err) == -EINVAL);
    CHECK_TEXT(err.where, "test.yaml:2:3");
}

int main(void)
{
    TEST(scalars_have_the_types_that_the_document_means);
    TEST(names_are_put_in_as_pythons_template_does);
    TEST(values_come_from_the_environment_in_their_type);
    TEST(patterns_match_what_they_match_in_python);
    TEST(patterns_beyond_the_matcher_are_refused_by_name);
    TEST(paths_lead_to_all_that_they_mean);
    TEST(tolerances_hold_for_what_they_name);
    TEST(tolerances_that_can_never_hold_are_refused);
    TEST(programs_end_with_all_they_started_when_their_time_is_up);
    TEST(documents_are_recognised);
    TEST(unknown_keys_are_noted_unless_they_are_nearly_known);
    return test_done();
}
