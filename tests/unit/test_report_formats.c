/* SPDX-License-Identifier: MIT */
/* The formats for CI systems: exact lines, limits, and names that nobody should be obeyed by. */
#include <math.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/random.h"
#include "check.h"
#include "observers/events.h"
#include "report/words.h"

static struct ce_record record_of(const char *name, enum ce_verdict verdict, const char *reason)
{
    struct ce_record record = {.verdict = verdict, .verified = true, .measured = true};
    snprintf(record.id, sizeof record.id, "run-1");
    record.name = strdup(name);
    record.layer = strdup("model");
    record.fault_type = strdup("slow_inference");
    record.strategy = strdup("auto");
    record.reason = strdup(reason);
    record.verification = strdup("");
    record.score = 56.25;
    record.recovery_time = 0.5;
    record.total_seconds = 5;
    record.seed = 42;
    record.started_at = INT64_C(1700000000) * CE_SECOND;
    record.ended_at = record.started_at + 5 * CE_SECOND;
    record.tags = json_pack("[s, s]", "nightly", "gpu");
    return record;
}

static char *written(const char *format, const struct ce_record *records, size_t count,
                     const struct ce_report_gate *gate)
{
    ce_autofree const struct ce_record **pointers = calloc(count + 1, sizeof *pointers);
    for (size_t i = 0; i < count; i++)
        pointers[i] = &records[i];
    struct ce_report report = {.records = pointers, .count = count, .seed = 42, .gate = gate};
    struct ce_error err = {0};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    CHECK(ce_report_find(format)(&report, out, false, &err) == 0);
    fclose(out);
    return text;
}

static void every_format_is_named_once(void)
{
    size_t count = 0;
    for (; ce_report_format_at(count); count++)
        CHECK(ce_report_find(ce_report_format_at(count)) != NULL);
    CHECK(count >= 8 && !ce_report_find("pdf") && !ce_report_format_at(count + 1));
}

static void each_format_escapes_as_its_readers_do(void)
{
    static const struct {
        enum ce_escape how;
        const char *text, *want;
    } cases[] = {
        {CE_ESCAPE_XML, "a<b>&\"c\"]]>\n\x1b[1m",
         "a&lt;b&gt;&amp;&quot;c&quot;]]&gt;&#10;\xef\xbf\xbd[1m"},
        {CE_ESCAPE_XML, "\xff\xc3\xa4\xc0\xaf", "\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd"},
        {CE_ESCAPE_XML, "\xed\xa0\x80\xef\xbf\xbf\xf0\x9f\x98\x80",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80"},
        {CE_ESCAPE_XML, "cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
        {CE_ESCAPE_GITHUB_MESSAGE, "100% lost\r\nline2: x,y", "100%25 lost%0D%0Aline2: x,y"},
        {CE_ESCAPE_GITHUB_PROPERTY, "Recovery, slow: 42%", "Recovery%2C slow%3A 42%25"},
        {CE_ESCAPE_MARKDOWN, "a|b <img> *x* a_b _c_ `d` [e](f)\n# g @me",
         "a&#124;b &lt;img&gt; \\*x\\* a_b \\_c\\_ \\`d\\` \\[e\\](f) &#35; g &#64;me"},
        {CE_ESCAPE_MARKDOWN, "https://evil.example a: b", "https&#58;//evil.example a: b"},
        {CE_ESCAPE_TAP, "a # SKIP b\\\nok 7", "a \\# SKIP b\\\\ ok 7"},
        {CE_ESCAPE_CSV, "plain", "plain"},
        {CE_ESCAPE_CSV, "a,\"b\"\nc", "\"a,\"\"b\"\"\nc\""},
        {CE_ESCAPE_PLAIN, "a\tb\x01", "a b\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofree char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        ce_put_escaped(out, cases[i].how, cases[i].text);
        fclose(out);
        CHECK_TEXT(text, cases[i].want);
    }
}

static void csv_has_the_columns_of_the_history(void)
{
    struct ce_record records[] = {record_of("a,b", CE_VERDICT_DEVIATED, "x"),
                                  record_of("c", CE_VERDICT_PASSED, "")};
    records[1].score = records[1].recovery_time = NAN;
    records[1].measured = false;
    ce_autofree char *text = written("csv", records, 2, NULL);
    CHECK_TEXT(text,
               "id,name,layer,fault_type,status,verdict,resilience_score,recovery_time,"
               "accuracy_degradation,pipeline_downtime,error_count,duration,started_at,ended_at,"
               "seed,tags\n"
               "run-1,\"a,b\",model,slow_inference,completed,deviated,56.25,0.5,0,0,0,5,"
               "2023-11-14T22:13:20.000Z,2023-11-14T22:13:25.000Z,42,\"nightly,gpu\"\n"
               "run-1,c,model,slow_inference,completed,passed,,,0,0,,5,"
               "2023-11-14T22:13:20.000Z,2023-11-14T22:13:25.000Z,42,\"nightly,gpu\"\n");
    ce_record_done(&records[0]);
    ce_record_done(&records[1]);
}

static size_t occurrences(const char *text, const char *of)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, of)); p += strlen(of))
        n++;
    return n;
}

/* GitHub drops the eleventh without a word. */
static void github_gets_ten_annotations_of_a_kind(void)
{
    enum { RUNS = 60 };
    struct ce_record records[RUNS];
    for (int i = 0; i < RUNS; i++) {
        records[i] = record_of("x", i < 30 ? CE_VERDICT_DEVIATED : CE_VERDICT_INCONCLUSIVE, "y");
        if (i >= 30) {
            records[i].status = CE_STATUS_SKIPPED;
            records[i].skip_reason = "baseline";
        }
    }
    ce_autojson json_t *failures = json_pack("[s, s]", "one", "two: 50%");
    struct ce_report_gate gate = {.min_score = 70, .on = "mean", .failures = failures};
    ce_autofree char *with_gate = written("github", records, RUNS, &gate);
    CHECK(occurrences(with_gate, "::error ") == 10 && occurrences(with_gate, "::warning ") == 10);
    CHECK(strstr(with_gate,
                 "::error title=Gate not passed::at least 70 on mean%0Aone%0Atwo: 50%25\n") ==
          with_gate);
    CHECK(strstr(with_gate, "::22 more runs did not pass either") != NULL);
    ce_autofree char *exactly_ten = written("github", records, 10, NULL);
    CHECK(occurrences(exactly_ten, "::error ") == 10 && !strstr(exactly_ten, "more runs"));
    for (int i = 0; i < RUNS; i++)
        ce_record_done(&records[i]);
}

static void a_page_stays_below_a_million_bytes(void)
{
    enum { RUNS = 4000 };
    struct ce_record *records = calloc(RUNS, sizeof *records);
    char reason[600];
    memset(reason, '|', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    for (int i = 0; i < RUNS; i++)
        records[i] = record_of("an experiment", CE_VERDICT_DEVIATED, reason);
    ce_autofree char *text = written("markdown", records, RUNS, NULL);
    CHECK(strlen(text) <= 1000000 && strlen(text) > 900000);
    CHECK(strstr(text, "more lines are left out") != NULL);
    for (int i = 0; i < RUNS; i++)
        ce_record_done(&records[i]);
    free(records);
}

static void facts_are_a_line_each(void)
{
    struct ce_record record = record_of("x", CE_VERDICT_PASSED, "");
    record.steady_state = json_pack("[{s:s, s:b}, {s:s, s:b, s:s}, {s:s, s:n}]", "name", "health",
                                    "held", 1, "name", "accuracy", "held", 0, "detail",
                                    "0.5 is below 0.9", "name", "prometheus", "held");
    record.stopped_by = json_pack("{s:s, s:f, s:f}", "condition", "error_ratio above 0.5 for 2 s",
                                  "value", 0.75, "after", 3.04);
    record.blast_radius = json_pack("{s:s, s:s, s:i, s:[s, s]}", "of", "processes", "mode", "fixed",
                                    "eligible", 5, "chosen", "server", "gateway");
    struct ce_rollback_step steps[] = {{0, 0.5, true}, {1, 0, false}};
    record.steps = malloc(sizeof steps);
    memcpy(record.steps, steps, sizeof steps);
    record.step_count = 2;
    record.rolled_back_by = "gradual";
    record.rollback_reason = strdup("it has an intensity");
    ce_autofree char *text = written("markdown", &record, 1, NULL);
    CHECK(strstr(text, "steady state") == NULL); /* it passed: the table is enough */
    ce_autofree char *junit = written("junit", &record, 1, NULL);
    static const char *const lines[] = {
        "steady state: 1 of 3 held; accuracy did not: 0.5 is below 0.9; prometheus could not be "
        "looked at\n",
        "stopped by: error_ratio above 0.5 for 2 s, at 0.75, 3.0 s after injection\n",
        "blast radius: 2 of 5 processes, fixed: server, gateway\n",
        "rollback: gradual, intensity 0.5 at 0.0 s, 0 at 1.0 s (unhealthy); it has an intensity\n"};
    for (size_t i = 0; i < CE_COUNT(lines); i++)
        CHECK(strstr(junit, lines[i]) != NULL);
    record.verdict = CE_VERDICT_DEVIATED;
    ce_autofree char *page = written("markdown", &record, 1, NULL);
    CHECK(strstr(page, "  - steady state: 1 of 3 held") != NULL);
    ce_record_done(&record);
}

/* What a format's own words are made of must not come out of anybody's name. */
static void hostile_names_stay_names(void)
{
    struct ce_record tame = record_of("x", CE_VERDICT_DEVIATED, "x");
    ce_autofree char *junit_of_tame = written("junit", &tame, 1, NULL);
    ce_autofree char *page_of_tame = written("markdown", &tame, 1, NULL);
    size_t junit_lines = occurrences(junit_of_tame, "\n");
    size_t page_lines = occurrences(page_of_tame, "\n");
    ce_record_done(&tame);
    struct ce_stream stream = ce_stream_init(5, "test_report_formats", "");
    uint64_t n = 0;
    for (int round = 0; round < 500; round++) {
        static const char *const pieces[] = {
            "]]>", "<",       "&",      "\n",      "\r",   "::error::", "%0A",
            "%",   "|",       "\xff",   "\xc3",    "\x01", "\x1b[31m",  "\"",
            ",",   " # SKIP", "\nok 9", "\n...\n", "`",    "<script>",  "\\"};
        char name[200] = "x";
        for (uint32_t k = ce_stream_below(&stream, n++, 12); k > 0; k--)
            strcat(name, pieces[ce_stream_below(&stream, n++, CE_COUNT(pieces))]);
        struct ce_record record = record_of(name, CE_VERDICT_DEVIATED, name);
        for (size_t f = 1; ce_report_format_at(f); f++) {
            ce_autofree char *text = written(ce_report_format_at(f), &record, 1, NULL);
            ce_autofree char *clean = ce_text_clean(text);
            ce_autojson json_t *valid = json_string(text);
            CHECK(valid != NULL); /* it is UTF-8 */
            CHECK(!strchr(text, 0x1b) && !strchr(text, 0x01) && clean);
        }
        ce_autofree char *junit = written("junit", &record, 1, NULL);
        CHECK(!strstr(junit, "]]>") && !strstr(junit, "<script>"));
        CHECK(occurrences(junit, "\n") == junit_lines);
        ce_autofree char *github = written("github", &record, 1, NULL);
        CHECK(occurrences(github, "\n") == 1 && strncmp(github, "::error title=x", 15) == 0);
        ce_autofree char *tap = written("tap", &record, 1, NULL);
        CHECK(occurrences(tap, "\nnot ok ") == 1 && occurrences(tap, "\nok ") == 0 &&
              occurrences(tap, "\n  ...\n") == 1);
        ce_autofree char *page = written("markdown", &record, 1, NULL);
        CHECK(!strstr(page, "<script>") && occurrences(page, "\n") == page_lines);
        ce_record_done(&record);
    }
}

static void nothing_that_ran_is_a_report(void)
{
    for (size_t f = 0; ce_report_format_at(f); f++) {
        ce_autofree char *text = written(ce_report_format_at(f), NULL, 0, NULL);
        CHECK(text != NULL);
    }
}

static void a_full_disk_is_told(void)
{
    struct ce_record record = record_of("x", CE_VERDICT_DEVIATED, "y");
    const struct ce_record *pointer = &record;
    struct ce_report report = {.records = &pointer, .count = 1};
    for (size_t f = 0; ce_report_format_at(f); f++) {
        struct ce_error err = {0};
        FILE *full = fopen("/dev/full", "we");
        CHECK(ce_report_find(ce_report_format_at(f))(&report, full, false, &err) == -ENOSPC);
        CHECK(strstr(err.message, "No space left") != NULL);
        (void)fclose(full);
    }
    ce_record_done(&record);
}

int main(void)
{
    TEST(every_format_is_named_once);
    TEST(each_format_escapes_as_its_readers_do);
    TEST(csv_has_the_columns_of_the_history);
    TEST(github_gets_ten_annotations_of_a_kind);
    TEST(a_page_stays_below_a_million_bytes);
    TEST(facts_are_a_line_each);
    TEST(hostile_names_stay_names);
    TEST(nothing_that_ran_is_a_report);
    TEST(a_full_disk_is_told);
    return test_done();
}
