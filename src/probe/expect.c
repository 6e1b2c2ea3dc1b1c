/* SPDX-License-Identifier: MIT */
/* What an answer is held against.
 *
 * Each kind of probe hears certain things: a status, a text, a number, or how long it took. An
 * expectation of something else could never be met, so it is refused before anything runs.
 *
 * A regular expression is the user's own, but what it is searched in may come from anywhere, and
 * both its size and what it costs are bounded: no references back, no repetitions of repetitions
 * without end. */
#include <math.h>
#include <regex.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "inference/json_path.h"
#include "probe/probe_internal.h"

enum { REGEX_MAX = 1000, REGEX_REPEATS_MAX = 10000 };

const struct ce_param ce_expect_params[] = {
    CE_TEXT(struct ce_expect, equals, .def = "",
            .doc = "The whole answer, as a number when both are one."),
    CE_NUMBER(struct ce_expect, min, .def = "", .doc = "The least that it may be."),
    CE_NUMBER(struct ce_expect, max, .def = "", .doc = "The most that it may be."),
    CE_TEXT(struct ce_expect, regex, .def = "",
            .doc = "POSIX extended, found somewhere in the answer."),
    CE_TEXT(struct ce_expect, jsonpath, .def = "",
            .doc = "Where in a JSON answer the value is that the others are held against, as in "
                   "$.a.b[0]; alone: that there is one."),
    CE_INTEGER(struct ce_expect, status, .min = 0, .max = 599, .def = "",
               .doc = "http: the status; command: the exit code."),
    CE_NUMBER(struct ce_expect, max_ms, .def = "", .unit = "ms",
              .doc = "How long the answer may take."),
    CE_END_PARAMS,
};

struct ce_expect ce_expect_nothing(void)
{
    return (struct ce_expect){.min = -INFINITY, .max = INFINITY, .status = -1, .max_ms = INFINITY};
}

static bool is_status(int kind, int64_t status)
{
    return kind == CE_PROBE_HTTP ? status >= 200 && status <= 599 : status >= 0 && status <= 255;
}

static const char *status_text(int kind)
{
    return kind == CE_PROBE_HTTP ? "status of an answer, which is in 200..599"
                                 : "exit code, which is in 0..255";
}

int ce_expect_bare(int kind, const char *value, struct ce_expect *expect, struct ce_error *err)
{
    int64_t status;
    bool has_status = kind == CE_PROBE_HTTP || kind == CE_PROBE_COMMAND;
    if (kind == CE_PROBE_FILE && strcmp(value, "exists") == 0)
        return 0;
    if (has_status && ce_text_integer(value, &status) == 0) {
        if (!is_status(kind, status))
            return ce_fail(err, EINVAL,
                           "expect: %lld is no %s; of a whole answer say {equals: %lld}",
                           (long long)status, status_text(kind), (long long)status);
        expect->status = status;
        return 0;
    }
    free(expect->equals);
    expect->equals = strdup(value);
    return expect->equals ? 0 : ce_fail_memory(err);
}

static bool has_bounds(const struct ce_expect *expect)
{
    return !isinf(expect->min) || !isinf(expect->max);
}

/* Whether what was said, and not how, is asked about. */
static bool has_text(const struct ce_expect *expect)
{
    return expect->equals || expect->regex || expect->jsonpath || has_bounds(expect);
}

bool ce_expect_has_content(const struct ce_expect *expect)
{
    return has_text(expect) || expect->status >= 0;
}

/* ---- before anything runs ---- */

/* Nested, repetitions multiply, and the library takes memory for each. Those that stand side by
 * side are counted as if they were nested. */
static bool repeats_too_often(const char *regex)
{
    double times = 1;
    for (const char *p = strchr(regex, '{'); p; p = strchr(p + 1, '{')) {
        char *end;
        unsigned long least = strtoul(p + 1, &end, 10), most = least;
        if (*end == ',')
            most = strtoul(end + 1, NULL, 10);
        times *= (double)(most > least ? most : least > 0 ? least : 1);
    }
    return times > REGEX_REPEATS_MAX;
}

static bool refers_back(const char *regex)
{
    for (const char *p = strchr(regex, '\\'); p && p[1]; p = strchr(p + 2, '\\'))
        if (p[1] >= '1' && p[1] <= '9')
            return true;
    return false;
}

static int compile(const char *text, regex_t *ret_regex, struct ce_error *err)
{
    char why[160];
    int r = regcomp(ret_regex, text, REG_EXTENDED);
    if (r == 0)
        return 0;
    (void)regerror(r, NULL, why, sizeof why);
    return ce_fail(err, EINVAL, "regex: '%.80s' is no POSIX extended regular expression: %s", text,
                   why);
}

static int check_regex(const char *text, struct ce_error *err)
{
    if (strlen(text) > REGEX_MAX)
        return ce_fail(err, EINVAL, "regex: is longer than %d bytes", REGEX_MAX);
    if (refers_back(text))
        return ce_fail(err, EINVAL,
                       "regex: '%.80s' refers back to a group, which may take for ever", text);
    if (repeats_too_often(text))
        return ce_fail(err, EINVAL, "regex: '%.80s' repeats more than %d times", text,
                       REGEX_REPEATS_MAX);
    regex_t regex;
    CE_TRY(compile(text, &regex, err));
    regfree(&regex);
    return 0;
}

static int check_jsonpath(const char *text, struct ce_error *err)
{
    struct ce_locator locator;
    int r = ce_locator_parse(text, &locator, err);
    if (r < 0)
        return ce_fail_context(err, r, "jsonpath");
    if (ce_locator_every(&locator) < locator.count)
        return ce_fail(err, EINVAL, "jsonpath: '%.80s' names many values; name one, as with [0]",
                       text);
    return 0;
}

static int refuse(const char **ret_key, const char *key, const char *why, struct ce_error *err)
{
    *ret_key = key;
    return ce_fail(err, EINVAL, "%s: %s", key, why);
}

static int check_number(const struct ce_probe_spec *spec, const char **ret_key,
                        struct ce_error *err)
{
    const struct ce_expect *expect = &spec->expect;
    double number;
    static const char why[] = "cannot match: the answer is a number";
    if (expect->regex)
        return refuse(ret_key, "regex", why, err);
    if (expect->jsonpath)
        return refuse(ret_key, "jsonpath", why, err);
    if (expect->equals && ce_text_number(expect->equals, &number) < 0)
        return refuse(ret_key, "equals", why, err);
    if (!expect->equals && !has_bounds(expect))
        return refuse(ret_key, "expect", "a measurement needs min, max or equals", err);
    return 0;
}

static int check_text(const struct ce_probe_spec *spec, const char **ret_key, struct ce_error *err)
{
    const struct ce_expect *expect = &spec->expect;
    if (expect->regex) {
        *ret_key = "regex";
        CE_TRY(check_regex(expect->regex, err));
    }
    if (expect->jsonpath) {
        *ret_key = "jsonpath";
        CE_TRY(check_jsonpath(expect->jsonpath, err));
    }
    double number;
    if (has_bounds(expect) && expect->equals && ce_text_number(expect->equals, &number) < 0)
        return refuse(ret_key, "equals", "cannot match: min and max ask for a number", err);
    return 0;
}

static int check_kind(const struct ce_probe_spec *spec, const char **ret_key, struct ce_error *err)
{
    const struct ce_expect *expect = &spec->expect;
    int kind = spec->kind;
    bool is_number = kind == CE_PROBE_WORKLOAD || kind == CE_PROBE_PROMETHEUS;
    if (expect->status >= 0 && kind != CE_PROBE_HTTP && kind != CE_PROBE_COMMAND)
        return refuse(ret_key, "status", "cannot match: only http and command have one", err);
    if (expect->status >= 0 && !is_status(kind, expect->status)) {
        *ret_key = "status";
        return ce_fail(err, EINVAL, "status: %lld is no %s", (long long)expect->status,
                       status_text(kind));
    }
    if (!isinf(expect->max_ms) && (is_number || kind == CE_PROBE_FILE))
        return refuse(ret_key, "max_ms", "only http, tcp and command take time to answer", err);
    if (kind == CE_PROBE_TCP && has_text(expect))
        return refuse(ret_key, "expect",
                      "cannot match: of a connection only max_ms can be expected", err);
    return is_number ? check_number(spec, ret_key, err) : check_text(spec, ret_key, err);
}

int ce_expect_check(const struct ce_probe_spec *spec, const char **ret_key, struct ce_error *err)
{
    const struct ce_expect *expect = &spec->expect;
    CE_TRY(check_kind(spec, ret_key, err));
    *ret_key = "min";
    if (expect->min > expect->max)
        return ce_fail(err, EINVAL, "min: %g is above max: %g", expect->min, expect->max);
    *ret_key = "max_ms";
    if (expect->max_ms <= 0)
        return ce_fail(err, EINVAL, "max_ms: %g is not above 0", expect->max_ms);
    double number;
    *ret_key = "equals";
    if (expect->equals && ce_text_number(expect->equals, &number) == 0 &&
        (number < expect->min || number > expect->max))
        return ce_fail(err, EINVAL, "equals: %g is outside min and max", number);
    *ret_key = NULL;
    return 0;
}

/* ---- an answer ---- */

/* What the expectation is held against: the whole answer, or what the path picked. */
struct value {
    char *text;
    size_t size;
    bool has_number;
    double number;
};

static void failed(const struct ce_probe_spec *spec, struct ce_probe_answer *answer,
                   const char *seen, const char *why)
{
    ce_probe_say(spec, CE_PROBE_FAILED, answer, "%s %s", seen, why);
}

/* Without the white space around it. */
static int take_text(const char *text, size_t size, struct value *value)
{
    static const char space[] = " \t\r\n";
    while (size > 0 && memchr(space, text[size - 1], 4))
        size--;
    while (size > 0 && memchr(space, *text, 4)) {
        text++;
        size--;
    }
    value->text = malloc(size + 1);
    if (!value->text)
        return -ENOMEM;
    memcpy(value->text, text, size);
    value->text[size] = '\0';
    value->size = size;
    return 0;
}

static int note_match(void *ctx, uint32_t value, struct ce_error *err)
{
    (void)err;
    *(uint32_t *)ctx = value + 1;
    return 0;
}

/* A string's own text; anything else as it is spelled. */
static int take_json(const struct ce_spans *spans, uint32_t at, struct value *value)
{
    struct ce_slice spelled = ce_span_text(spans, at);
    if (ce_span_kind(spans, at) != CE_SPAN_STRING) {
        int r = take_text(spelled.data, spelled.size, value);
        value->has_number = r == 0 && ce_span_kind(spans, at) == CE_SPAN_NUMBER &&
                            ce_text_number(value->text, &value->number) == 0;
        return r;
    }
    ce_autojson json_t *string =
        json_loadb(spelled.data, spelled.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!string)
        return -EINVAL;
    return take_text(json_string_value(string), json_string_length(string), value);
}

/* 0, or the reason why there is no such value. */
static const char *pick(const char *path, const struct ce_heard *heard, struct value *value)
{
    struct ce_locator locator;
    struct ce_spans spans;
    uint32_t found = 0;
    const char *why = NULL;
    if (ce_locator_parse(path, &locator, NULL) < 0)
        return "cannot be looked into";
    if (ce_spans_scan(&spans, heard->text, heard->size, NULL) < 0)
        why = "is no JSON";
    else if (ce_locator_find(&locator, locator.count, &spans, note_match, &found, NULL) < 0)
        why = "has a member twice on the way to the value";
    else if (found == 0)
        why = "has no such value";
    else if (take_json(&spans, found - 1, value) < 0)
        why = "has a value there that cannot be read";
    ce_spans_done(&spans);
    return why;
}

static bool matches(const char *text, const struct value *value)
{
    regex_t regex;
    regmatch_t whole = {.rm_so = 0, .rm_eo = (regoff_t)value->size};
    if (compile(text, &regex, NULL) < 0)
        return false;
    bool found = regexec(&regex, value->text, 1, &whole, REG_STARTEND) == 0;
    regfree(&regex);
    return found;
}

static bool equals(const char *wanted, const struct value *value)
{
    double number, own = value->number;
    if (ce_text_number(wanted, &number) == 0 &&
        (value->has_number || ce_text_number(value->text, &own) == 0))
        return number == own;
    return strlen(wanted) == value->size && memcmp(wanted, value->text, value->size) == 0;
}

static void judge_number(const struct ce_probe_spec *spec, double number,
                         struct ce_probe_answer *answer)
{
    const struct ce_expect *expect = &spec->expect;
    double wanted;
    answer->value = number;
    if (number < expect->min)
        ce_probe_say(spec, CE_PROBE_FAILED, answer, "%.6g is below %.6g", number, expect->min);
    else if (number > expect->max)
        ce_probe_say(spec, CE_PROBE_FAILED, answer, "%.6g is above %.6g", number, expect->max);
    else if (expect->equals && ce_text_number(expect->equals, &wanted) == 0 && number != wanted)
        ce_probe_say(spec, CE_PROBE_FAILED, answer, "%.6g is not %.6g", number, wanted);
    else
        ce_probe_say(spec, CE_PROBE_HELD, answer, "%.6g", number);
}

void ce_expect_judge_number(const struct ce_probe_spec *spec, double value,
                            struct ce_probe_answer *answer)
{
    if (isnan(value))
        ce_probe_say(spec, CE_PROBE_ERROR, answer, "there is no such measurement now");
    else
        judge_number(spec, value, answer);
}

static void judge_value(const struct ce_probe_spec *spec, struct value *value,
                        struct ce_probe_answer *answer)
{
    const struct ce_expect *expect = &spec->expect;
    char shown[CE_TEXT_SHOWN_SIZE], quoted[CE_TEXT_SHOWN_SIZE + 2], wanted[CE_TEXT_SHOWN_SIZE],
        why[CE_TEXT_SHOWN_SIZE + 20];
    ce_text_show(value->text, shown);
    snprintf(quoted, sizeof quoted, "'%s'", shown);
    /* A text that is a number is as good as one; a JSON string is not. */
    if (!expect->jsonpath)
        value->has_number = ce_text_number(value->text, &value->number) == 0;
    answer->value = value->has_number ? value->number : NAN;
    if (expect->equals && !equals(expect->equals, value)) {
        ce_text_show(expect->equals, wanted);
        snprintf(why, sizeof why, "is not '%s'", wanted);
        failed(spec, answer, quoted, why);
    } else if (expect->regex && !matches(expect->regex, value)) {
        ce_text_show(expect->regex, wanted);
        snprintf(why, sizeof why, "does not match '%s'", wanted);
        failed(spec, answer, quoted, why);
    } else if (has_bounds(expect) && !value->has_number) {
        failed(spec, answer, quoted, "is no number");
    } else if (has_bounds(expect)) {
        judge_number(spec, value->number, answer);
    } else if (expect->regex) {
        ce_text_show(expect->regex, wanted);
        ce_probe_say(spec, CE_PROBE_HELD, answer, "matches '%s'", wanted);
    } else {
        ce_probe_say(spec, CE_PROBE_HELD, answer, "%s", quoted);
    }
}

static void judge_text(const struct ce_probe_spec *spec, const struct ce_heard *heard,
                       struct ce_probe_answer *answer)
{
    const char *path = spec->expect.jsonpath, *why = NULL;
    struct value value = {0};
    if (heard->cut) {
        ce_probe_say(spec, CE_PROBE_ERROR, answer, "the answer is larger than %zu MiB",
                     CE_HEARD_MAX >> 20);
        return;
    }
    if (path)
        why = pick(path, heard, &value);
    else if (take_text(heard->text, heard->size, &value) < 0)
        why = "cannot be read";
    if (why)
        ce_probe_say(spec, CE_PROBE_FAILED, answer, "%s%.60s%s", path ? path : "the answer",
                     path ? ": the answer " : " ", why);
    else
        judge_value(spec, &value, answer);
    free(value.text);
}

/* Where neither a status nor a content is asked for, success is. */
static bool judge_status(const struct ce_probe_spec *spec, const struct ce_heard *heard,
                         struct ce_probe_answer *answer)
{
    const struct ce_expect *expect = &spec->expect;
    bool is_http = spec->kind == CE_PROBE_HTTP;
    const char *verb = is_http ? "answered" : "exited with";
    if (heard->status < 0)
        return true;
    if (expect->status >= 0 && heard->status != expect->status)
        ce_probe_say(spec, CE_PROBE_FAILED, answer, "%s %lld, not %lld", verb,
                     (long long)heard->status, (long long)expect->status);
    else if (expect->status < 0 && !has_text(expect) &&
             (is_http ? heard->status / 100 != 2 : heard->status != 0))
        ce_probe_say(spec, CE_PROBE_FAILED, answer, "%s %lld, not %s", verb,
                     (long long)heard->status, is_http ? "2xx" : "0");
    else
        return true;
    answer->value = (double)heard->status;
    return false;
}

void ce_expect_judge(const struct ce_probe_spec *spec, const struct ce_heard *heard,
                     struct ce_probe_answer *answer)
{
    const struct ce_expect *expect = &spec->expect;
    double took = (double)answer->took / (double)CE_MILLISECOND;
    if (!judge_status(spec, heard, answer))
        return;
    if (took > expect->max_ms) {
        answer->value = took;
        ce_probe_say(spec, CE_PROBE_FAILED, answer, "took %.4g ms, more than %.4g ms", took,
                     expect->max_ms);
    } else if (has_text(expect)) {
        judge_text(spec, heard, answer);
    } else {
        answer->value = heard->status >= 0 ? (double)heard->status : NAN;
        ce_probe_say(spec, CE_PROBE_HELD, answer, "as expected, after %.4g ms", took);
    }
}
