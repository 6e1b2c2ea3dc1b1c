/* SPDX-License-Identifier: MIT */
/* A page of Markdown: the gate, a table of the runs, and why those did not pass that did not. It
 * fits GitHub's step summary, which is lost whole when it is larger than 1 MiB: rows and sentences
 * that would not fit are left out, and their number is said. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/words.h"

/* A part of the page, written apart so that its size is known before it is put in. */
struct part {
    FILE *out;
    char *text;
    size_t size;
};

struct page {
    FILE *out;
    size_t used;
    size_t left_out; /* parts */
};

static int part_begin(struct part *part)
{
    *part = (struct part){0};
    part->out = open_memstream(&part->text, &part->size);
    return part->out ? 0 : -ENOMEM;
}

/* Keeps room for the last line, which says what was left out. */
static int part_end(struct part *part, struct page *page)
{
    enum { LAST_LINE = 256 };
    int r = fclose(part->out) == 0 ? 0 : -ENOMEM;
    if (r == 0 && page->left_out == 0 && page->used + part->size <= CE_MARKDOWN_MAX - LAST_LINE) {
        (void)fwrite(part->text, 1, part->size, page->out);
        page->used += part->size;
    } else {
        page->left_out++;
    }
    free(part->text);
    return r;
}

static void put(FILE *out, const char *text)
{
    ce_put_escaped(out, CE_ESCAPE_MARKDOWN, text ? text : "");
}

static void put_number(FILE *out, double value)
{
    if (isnan(value))
        fputs(" -", out);
    else
        fprintf(out, " %.1f", value);
    fputs(" |", out);
}

static void put_gate(const struct ce_report_gate *gate, FILE *out)
{
    size_t i;
    json_t *sentence;
    fprintf(out, "**Gate %s** (at least %.6g on %s)\n\n", gate->passed ? "passed" : "not passed",
            gate->min_score, gate->on);
    json_array_foreach(gate->failures, i, sentence)
    {
        fputs("- ", out);
        put(out, json_string_value(sentence));
        (void)putc('\n', out);
    }
    json_array_foreach(gate->remarks, i, sentence)
    {
        fputs("- remark: ", out);
        put(out, json_string_value(sentence));
        (void)putc('\n', out);
    }
    (void)putc('\n', out);
}

static void put_opening(const struct ce_report *report, FILE *out)
{
    size_t scored = 0, passed = 0;
    double sum = 0;
    for (size_t i = 0; i < report->count; i++) {
        passed += ce_record_outcome(report->records[i]) == CE_OUTCOME_PASSED;
        if (isnan(report->records[i]->score))
            continue;
        scored++;
        sum += report->records[i]->score;
    }
    fprintf(out, "## ChaosEater: %zu of %zu run%s passed", passed, report->count,
            report->count == 1 ? "" : "s");
    if (scored > 0)
        fprintf(out, ", mean resilience score %.1f", sum / (double)scored);
    fputs("\n\n", out);
    if (report->gate)
        put_gate(report->gate, out);
    if (report->count > 0)
        fputs("| experiment | fault | layer | verified | errors | downtime | accuracy lost | "
              "recovery | score | verdict |\n"
              "|---|---|---|---|--:|--:|--:|--:|--:|---|\n",
              out);
}

static int put_row(const struct ce_record *record, FILE *out)
{
    ce_autofree char *title = ce_record_title(record);
    if (!title)
        return -ENOMEM;
    fputs("| ", out);
    put(out, title);
    fputs(" | ", out);
    put(out, record->fault_type);
    fputs(" | ", out);
    put(out, record->layer);
    fprintf(out, " | %s |", record->control ? "control" : record->verified ? "yes" : "no");
    if (record->measured)
        fprintf(out, " %" PRIu64 " |", record->error_count);
    else
        fputs(" - |", out);
    put_number(out, record->pipeline_downtime);
    put_number(out, record->accuracy_degradation * 100);
    put_number(out, record->recovery_time);
    put_number(out, record->score);
    fprintf(out, " %s |\n", ce_record_ending(record));
    return 0;
}

static void put_fact(void *ctx, const char *word, const char *sentence)
{
    fprintf(ctx, "  - %s: ", word);
    put(ctx, sentence);
    (void)putc('\n', ctx);
}

static int put_details(const struct ce_record *record, FILE *out)
{
    ce_autofree char *title = ce_record_title(record);
    const char *why = ce_record_why(record);
    if (!title)
        return -ENOMEM;
    fputs("- **", out);
    put(out, title);
    fprintf(out, "** %s%s", ce_record_ending(record), why[0] != '\0' ? ": " : "");
    put(out, why);
    (void)putc('\n', out);
    return ce_record_facts(record, put_fact, out);
}

/* What was measured in less time than the document asks for may be less. */
static void put_cut(const struct ce_report *report, FILE *out)
{
    size_t cut = 0;
    for (size_t i = 0; i < report->count; i++)
        cut += report->records[i]->asked_duration > 0;
    if (cut > 0)
        fprintf(out, "\nCHAOSEATER\\_MAX\\_DURATION cut the duration of %zu run%s.\n", cut,
                cut == 1 ? "" : "s");
}

static int put_all(const struct ce_report *report, struct page *page)
{
    struct part part;
    CE_TRY(part_begin(&part));
    put_opening(report, part.out);
    CE_TRY(part_end(&part, page));
    for (size_t i = 0; i < report->count; i++) {
        CE_TRY(part_begin(&part));
        int r = put_row(report->records[i], part.out);
        CE_TRY(part_end(&part, page));
        CE_TRY(r);
    }
    for (size_t i = 0, told = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        if (ce_record_outcome(record) == CE_OUTCOME_PASSED)
            continue;
        CE_TRY(part_begin(&part));
        fputs(told++ == 0 ? "\n### Not passed, and why\n\n" : "", part.out);
        int r = put_details(record, part.out);
        CE_TRY(part_end(&part, page));
        CE_TRY(r);
    }
    if (page->left_out > 0)
        fprintf(
            page->out,
            "\n%zu more lines are left out: a page of this kind holds %d bytes. The JSON report "
            "has them all.\n",
            page->left_out, CE_MARKDOWN_MAX);
    else
        fputs("\nErrors: failed operations. Downtime and recovery in seconds, accuracy lost in "
              "percentage points; -: not measured.\n",
              page->out);
    put_cut(report, page->out);
    return 0;
}

int ce_report_write_markdown(const struct ce_report *report, FILE *out, bool color,
                             struct ce_error *err)
{
    struct page page = {.out = out};
    (void)color;
    if (put_all(report, &page) < 0)
        return ce_fail_memory(err);
    return ce_report_end(out, err);
}
