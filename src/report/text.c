/* SPDX-License-Identifier: MIT */
/* The report for people: what happened, in a table; why, where it was not plainly good; how each
 * score came about; what verification saw; the means; the gate. */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "report/text_internal.h"
#include "report/words.h"

/* ---- one run ---- */

bool ce_same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

bool ce_any_pipeline(const struct ce_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        if (ce_record_has_pipeline(report->records[i]))
            return true;
    return false;
}

void ce_label_name(const struct ce_record *record, char name[CE_LABEL_SIZE])
{
    if (record->repeat > 0)
        snprintf(name, CE_LABEL_SIZE, "%.200s #%d", record->name, record->repeat);
    else
        snprintf(name, CE_LABEL_SIZE, "%.200s", record->name);
}

void ce_label_title(const struct ce_record *record, char title[CE_LABEL_SIZE])
{
    ce_label_name(record, title);
    size_t n = strlen(title);
    if (!ce_same_text(record->name, record->fault_type))
        snprintf(title + n, CE_LABEL_SIZE - n, " (%s)", record->fault_type);
}

void ce_write_section(FILE *out, const char *heading, bool color, bool *begun)
{
    if (*begun)
        return;
    *begun = true;
    (void)putc('\n', out);
    ce_write_heading(out, heading, color);
}

int ce_write_about(FILE *out, const struct ce_record *record, const char *word,
                   const char *sentence)
{
    char title[CE_LABEL_SIZE];
    ce_label_title(record, title);
    bool both = word[0] != '\0' && sentence[0] != '\0';
    ce_autofree char *text =
        ce_format("%s%s%s: %s%s%s", title, record->profile ? ", " : "",
                  record->profile ? record->profile : "", word, both ? ": " : "", sentence);
    if (!text)
        return -ENOMEM;
    ce_write_wrapped(out, text);
    return 0;
}

/* ---- sections about single runs ---- */

static int write_endings(const struct ce_report *report, FILE *out, bool color)
{
    bool any = false;
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        if (ce_record_outcome(record) == CE_OUTCOME_PASSED)
            continue;
        ce_write_section(out, "Not passed, and why", color, &any);
        CE_TRY(ce_write_about(out, record, ce_record_ending(record), ce_record_why(record)));
    }
    return 0;
}

struct facts {
    const struct ce_record *record;
    FILE *out;
    bool color, any;
    int r;
};

static void write_fact(void *ctx, const char *word, const char *sentence)
{
    struct facts *facts = ctx;
    ce_write_section(facts->out, "Held, stopped, chosen, rolled back", facts->color, &facts->any);
    int r = ce_write_about(facts->out, facts->record, word, sentence);
    facts->r = facts->r < 0 ? facts->r : r;
}

static int write_facts(const struct ce_report *report, FILE *out, bool color)
{
    struct facts facts = {.out = out, .color = color};
    for (size_t i = 0; i < report->count; i++) {
        facts.record = report->records[i];
        CE_TRY(ce_record_facts(facts.record, write_fact, &facts));
    }
    return facts.r;
}

static int write_verifications(const struct ce_report *report, FILE *out, bool color)
{
    bool begun = false;
    ce_write_section(out, "What verification saw", color, &begun);
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        const char *seen = record->verification ? record->verification : "";
        const char *word = "";
        if (seen[0] == '\0')
            word = record->control ? "control run, nothing to verify"
                                   : "nothing, it did not come to that";
        else if (record->verdict == CE_VERDICT_INVALID)
            word = "no effect";
        CE_TRY(ce_write_about(out, record, word, seen));
    }
    return 0;
}

/* ---- sections about all of them ---- */

/* What is known of a pipeline that is not ChaosEater's own: URL or command; NULL: it is. */
static const char *address_of(const struct ce_record *record)
{
    return record->url ? record->url : record->command;
}

/* Each server that was asked, and what it spoke; each batch job that was run. */
static int write_servers(const struct ce_report *report, FILE *out)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        const char *address = address_of(record);
        bool seen = !address;
        for (size_t j = 0; j < i; j++)
            seen = seen || (ce_same_text(address_of(report->records[j]), address) &&
                            ce_same_text(report->records[j]->protocol, record->protocol));
        if (seen)
            continue;
        ce_autofree char *line =
            ce_format("pipeline: %s, %s%s%s", record->pipeline, address,
                      record->protocol ? ", " : "", record->protocol ? record->protocol : "");
        if (!line)
            return -ENOMEM;
        ce_write_wrapped(out, line);
    }
    return 0;
}

/* What was acted on where that was not the pipeline. */
static int write_targets(const struct ce_report *report, FILE *out)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        if (!record->target)
            continue;
        ce_autofree char *line = ce_format("target of %s: %s", record->name, record->target);
        if (!line)
            return -ENOMEM;
        ce_write_wrapped(out, line);
    }
    return 0;
}

/* What the numbers are about: version, seed, the servers, the targets, and each way in which a
 * pipeline was isolated. */
static int write_opening(const struct ce_report *report, FILE *out, bool color)
{
    char text[128];
    snprintf(text, sizeof text, "ChaosEater %s, seed %" PRId64 ", %zu run%s", ce_version(),
             (int64_t)report->seed, report->count, report->count == 1 ? "" : "s");
    ce_write_heading(out, text, color);
    CE_TRY(write_servers(report, out));
    for (size_t i = 0; i < report->count; i++) {
        const char *isolation = report->records[i]->isolation;
        bool seen = !isolation || isolation[0] == '\0';
        for (size_t j = 0; j < i; j++)
            seen = seen || ce_same_text(report->records[j]->isolation, isolation);
        if (seen)
            continue;
        ce_autofree char *line = ce_format("pipeline isolation: %s", isolation);
        if (!line)
            return -ENOMEM;
        ce_write_wrapped(out, line);
    }
    CE_TRY(write_targets(report, out));
    (void)putc('\n', out);
    return 0;
}

/* Below the heading a sentence each: why it did not pass, and what there is to say besides. */
static void write_gate(const struct ce_report_gate *gate, FILE *out, bool color)
{
    static const struct {
        const char *on, *wants;
    } wants[] = {{"each", "a score of at least"},
                 {"layer", "in each layer a mean score of at least"},
                 {"mean", "a mean score of at least"}};
    char text[160];
    size_t i;
    json_t *sentence;
    for (i = 0; i + 1 < CE_COUNT(wants) && strcmp(wants[i].on, gate->on) != 0; i++)
        ;
    snprintf(text, sizeof text,
             "Gate %s: every run must pass, with %s %.1f; control runs need no score",
             gate->passed ? "passed" : "not passed", wants[i].wants, gate->min_score);
    ce_write_heading(out, text, color);
    json_array_foreach(gate->failures, i, sentence)
    {
        ce_write_wrapped(out, json_string_value(sentence));
    }
    json_array_foreach(gate->remarks, i, sentence)
    {
        ce_write_wrapped(out, json_string_value(sentence));
    }
}

static int write_runs(const struct ce_report *report, FILE *out, bool color)
{
    bool pipeline = ce_any_pipeline(report);
    CE_TRY(ce_write_runs_table(report, out, color));
    CE_TRY(write_endings(report, out, color));
    CE_TRY(write_facts(report, out, color));
    if (pipeline)
        CE_TRY(ce_write_scores(report, out, color));
    CE_TRY(ce_write_latencies(report, out, color));
    CE_TRY(ce_write_custom_metrics(report, out, color));
    CE_TRY(write_verifications(report, out, color));
    if (pipeline)
        ce_write_means(report, out);
    return 0;
}

static int write_all(const struct ce_report *report, FILE *out, bool color)
{
    CE_TRY(write_opening(report, out, color));
    if (report->count == 0)
        ce_write_wrapped(out, "Nothing ran.");
    else
        CE_TRY(write_runs(report, out, color));
    if (report->gate)
        write_gate(report->gate, out, color);
    return 0;
}

int ce_report_write_text(const struct ce_report *report, FILE *out, bool color,
                         struct ce_error *err)
{
    errno = 0;
    if (write_all(report, out, color) < 0)
        return ce_fail_memory(err);
    return ce_report_end(out, err);
}
