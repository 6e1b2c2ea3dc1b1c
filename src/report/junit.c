/* SPDX-License-Identifier: MIT */
/* JUnit's XML, as far as Jenkins' schema and GitLab agree on it: a testsuite for each layer, in it
 * a testcase for each run; the gate is a testcase of a suite of its own. A pipeline that did not do
 * what it should is a failure; a run of which nothing can be told is an error. */
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "report/words.h"

static void put_attribute(FILE *out, const char *name, const char *value)
{
    fprintf(out, " %s=\"", name);
    ce_put_escaped(out, CE_ESCAPE_XML, value);
    (void)putc('"', out);
}

static void put_element(FILE *out, const char *name, const char *type, const char *message)
{
    fprintf(out, "      <%s", name);
    put_attribute(out, "type", type);
    put_attribute(out, "message", message);
    fputs("/>\n", out);
}

/* Seconds with three decimals: the schema knows no exponents. */
static void put_time(FILE *out, double seconds)
{
    fprintf(out, " time=\"%.3f\"", seconds > 0 ? seconds : 0);
}

struct tally {
    size_t tests, outcomes[CE_OUTCOME_SKIPPED + 1];
    double seconds;
    int64_t started_at;
};

/* Of a layer; NULL: of all. */
static struct tally count(const struct ce_report *report, const char *layer)
{
    struct tally tally = {0};
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        if (layer && strcmp(record->layer, layer) != 0)
            continue;
        tally.tests++;
        tally.outcomes[ce_record_outcome(record)]++;
        tally.seconds += record->total_seconds;
        if (tally.started_at == 0 ||
            (record->started_at > 0 && record->started_at < tally.started_at))
            tally.started_at = record->started_at;
    }
    return tally;
}

static void put_tally(FILE *out, const struct tally *tally)
{
    fprintf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\"", tally->tests,
            tally->outcomes[CE_OUTCOME_FAILED], tally->outcomes[CE_OUTCOME_ERROR]);
    put_time(out, tally->seconds);
}

static void put_fact(void *ctx, const char *word, const char *sentence)
{
    fprintf(ctx, "%s: ", word);
    ce_put_escaped(ctx, CE_ESCAPE_XML, sentence);
    (void)putc('\n', ctx);
}

/* Score, measurements, what verification saw: a line each. */
static int put_output(const struct ce_record *record, FILE *out)
{
    fputs("      <system-out>", out);
    if (!isnan(record->score))
        fprintf(out, "resilience score: %.1f (lost: downtime %.1f, accuracy %.1f, errors %.1f)\n",
                record->score, record->lost_downtime, record->lost_accuracy, record->lost_errors);
    else if (ce_record_has_pipeline(record))
        fputs("resilience score: none\n", out);
    if (record->verification && record->verification[0] != '\0')
        put_fact(out, "verification", record->verification);
    CE_TRY(ce_record_facts(record, put_fact, out));
    fprintf(out, "seed: %lld\n", (long long)record->seed);
    fputs("</system-out>\n", out);
    return 0;
}

/* Only the first of several testcases of the same name would be shown. */
static size_t namesakes_before(const struct ce_report *report, size_t i)
{
    const struct ce_record *record = report->records[i];
    size_t n = 0;
    for (size_t j = 0; j < i; j++) {
        const struct ce_record *other = report->records[j];
        n += other->repeat == record->repeat && strcmp(other->name, record->name) == 0 &&
             strcmp(other->layer, record->layer) == 0 &&
             strcmp(other->profile ? other->profile : "", record->profile ? record->profile : "") ==
                 0;
    }
    return n;
}

static int put_testcase(const struct ce_report *report, size_t i, FILE *out)
{
    static const char *const elements[] = {[CE_OUTCOME_FAILED] = "failure",
                                           [CE_OUTCOME_ERROR] = "error",
                                           [CE_OUTCOME_SKIPPED] = "skipped"};
    const struct ce_record *record = report->records[i];
    enum ce_outcome outcome = ce_record_outcome(record);
    size_t namesakes = namesakes_before(report, i);
    ce_autofree char *title = ce_record_title(record);
    ce_autofree char *name =
        title && namesakes > 0 ? ce_format("%s (%zu)", title, namesakes + 1) : ce_take(title);
    ce_autofree char *class = ce_format("chaoseater.%s.%s", record->layer, record->fault_type);
    if (!name || !class)
        return -ENOMEM;
    fputs("    <testcase", out);
    put_attribute(out, "name", name);
    put_attribute(out, "classname", class);
    put_time(out, record->total_seconds);
    fputs(">\n", out);
    if (outcome != CE_OUTCOME_PASSED)
        put_element(out, elements[outcome], ce_record_ending(record), ce_record_why(record));
    CE_TRY(put_output(record, out));
    fputs("    </testcase>\n", out);
    return 0;
}

static int put_suite(const struct ce_report *report, const char *layer, FILE *out)
{
    struct tally tally = count(report, layer);
    char started[CE_TIMESTAMP_SIZE];
    fputs("  <testsuite", out);
    put_attribute(out, "name", layer);
    put_tally(out, &tally);
    fprintf(out, " skipped=\"%zu\"", tally.outcomes[CE_OUTCOME_SKIPPED]);
    if (tally.started_at > 0) {
        ce_timestamp(tally.started_at, started);
        put_attribute(out, "timestamp", started);
    }
    fputs(">\n", out);
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->records[i]->layer, layer) == 0)
            CE_TRY(put_testcase(report, i, out));
    fputs("  </testsuite>\n", out);
    return 0;
}

static void put_gate(const struct ce_report_gate *gate, FILE *out)
{
    fprintf(out,
            "  <testsuite name=\"gate\" tests=\"1\" failures=\"%d\" errors=\"0\" time=\"0.000\" "
            "skipped=\"0\">\n    <testcase name=\"gate, at least %.6g on %s\" "
            "classname=\"chaoseater.gate\" time=\"0.000\">\n",
            !gate->passed, gate->min_score, gate->on);
    size_t i;
    json_t *sentence;
    json_array_foreach(gate->failures, i, sentence)
    {
        put_element(out, "failure", "gate", json_string_value(sentence));
    }
    fputs("    </testcase>\n  </testsuite>\n", out);
}

static bool is_first_of_layer(const struct ce_report *report, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(report->records[j]->layer, report->records[i]->layer) == 0)
            return false;
    return true;
}

int ce_report_write_junit(const struct ce_report *report, FILE *out, bool color,
                          struct ce_error *err)
{
    struct tally tally = count(report, NULL);
    (void)color;
    if (report->gate) {
        tally.tests++;
        tally.outcomes[CE_OUTCOME_FAILED] += !report->gate->passed;
    }
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"chaoseater\"", out);
    put_tally(out, &tally);
    fputs(">\n", out);
    for (size_t i = 0; i < report->count; i++)
        if (is_first_of_layer(report, i) && put_suite(report, report->records[i]->layer, out) < 0)
            return ce_fail_memory(err);
    if (report->gate)
        put_gate(report->gate, out);
    fputs("</testsuites>\n", out);
    return ce_report_end(out, err);
}
