/* SPDX-License-Identifier: MIT */
/* What the text report has to say in numbers below its table: how each score came about, on how
 * many operations and by which formula; how long operations took; what trials measured besides; the
 * means. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report/text_internal.h"

/* ---- tables whose lines begin with the run ---- */

/* `head`: their titles; NULL: the table has no head. */
static void add_run_columns(struct ce_table *table, const char *head)
{
    ce_table_add_column(table, (struct ce_table_column){.title = head, .gap = 2, .shrinks = true});
    ce_table_add_column(table, (struct ce_table_column){.title = head, .gap = 2});
}

/* The cell behind them; NULL: no memory. */
static struct ce_table_cell *add_run(struct ce_table *table, const struct ce_record *record)
{
    char title[CE_LABEL_SIZE];
    struct ce_table_cell *row = ce_table_add_row(table);
    if (!row)
        return NULL;
    ce_label_title(record, title);
    ce_cell_set(&row[0], CE_COLOR_NONE, "%s", title);
    ce_cell_set(&row[1], CE_COLOR_NONE, "%s", record->profile ? record->profile : "");
    return &row[2];
}

static void write_table(const struct ce_table *table, const char *heading, FILE *out, bool color)
{
    bool begun = false;
    ce_write_section(out, heading, color, &begun);
    ce_table_write(table, out, color);
}

/* ---- scores ---- */

/* From injection to the end of recovery. */
static uint64_t operations_of(const struct ce_record *record)
{
    uint64_t operations = 0;
    for (size_t i = 1; i < CE_RECORD_PHASES; i++)
        operations += record->phases[i].operations;
    return operations;
}

static void set_score(struct ce_table_cell *cell, const struct ce_record *record)
{
    if (isnan(record->score))
        ce_cell_set(cell, CE_COLOR_NONE, "none, on %" PRIu64 " operations", operations_of(record));
    else
        ce_cell_set(cell, CE_COLOR_NONE,
                    "100 - %4.1f downtime - %4.1f accuracy - %4.1f errors = %5.1f on %" PRIu64
                    " operations",
                    record->lost_downtime, record->lost_accuracy, record->lost_errors,
                    record->score, operations_of(record));
}

static int fill_scores(const struct ce_report *report, struct ce_table *table)
{
    add_run_columns(table, NULL);
    ce_table_add_column(table, (struct ce_table_column){.gap = 2});
    for (size_t i = 0; i < report->count; i++) {
        struct ce_table_cell *cell = add_run(table, report->records[i]);
        if (!cell)
            return -ENOMEM;
        set_score(cell, report->records[i]);
    }
    return 0;
}

int ce_write_scores(const struct ce_report *report, FILE *out, bool color)
{
    struct ce_table table = {0};
    int r = fill_scores(report, &table);
    if (r == 0)
        write_table(&table, "Resilience score by formula " CE_SCORE_FORMULA ", term by term", out,
                    color);
    ce_table_done(&table);
    CE_TRY(r);
    ce_write_wrapped(out, CE_SCORE_FORMULA
                     ": 100 - min(40, downtime in s / 10 x 40) - min(30, "
                     "accuracy lost as a fraction x 30) - min(30, errors x 5 x 30), at "
                     "least 0; over the operations from injection to the end of recovery.");
    return 0;
}

/* ---- times ---- */

/* "1.25/3.50": p50 and p99 of what ended in that phase. */
static void set_latency(struct ce_table_cell *cell, const struct ce_phase_summary *phase)
{
    if (phase->operations == 0 || isnan(phase->p50_ms))
        ce_cell_set(cell, CE_COLOR_NONE, "-");
    else
        ce_cell_set(cell, CE_COLOR_NONE, fabs(phase->p99_ms) < 99.95 ? "%.2f/%.2f" : "%.0f/%.0f",
                    phase->p50_ms, phase->p99_ms);
}

static int fill_latencies(const struct ce_report *report, struct ce_table *table)
{
    static const char *const titles[] = {"before", "under the fault", "after"};
    static const size_t phases[] = {0, 1, CE_RECORD_PHASES - 1};
    add_run_columns(table, "");
    for (size_t i = 0; i < CE_COUNT(titles); i++)
        ce_table_add_column(table,
                            (struct ce_table_column){.title = titles[i], .right = true, .gap = 2});
    for (size_t i = 0; i < report->count; i++) {
        struct ce_table_cell *cell = add_run(table, report->records[i]);
        if (!cell)
            return -ENOMEM;
        for (size_t p = 0; p < CE_COUNT(phases); p++)
            set_latency(cell++, &report->records[i]->phases[phases[p]]);
    }
    return 0;
}

/* How long operations took: requests, or the trials of a batch job. */
int ce_write_latencies(const struct ce_report *report, FILE *out, bool color)
{
    bool any = false;
    for (size_t i = 0; i < report->count && !any; i++)
        for (size_t p = 0; p < CE_RECORD_PHASES && !any; p++)
            any = report->records[i]->phases[p].operations > 0;
    if (!any)
        return 0;
    struct ce_table table = {0};
    int r = fill_latencies(report, &table);
    if (r == 0)
        write_table(&table, "Time of an operation in ms, p50/p99", out, color);
    ce_table_done(&table);
    return r;
}

/* ---- other metrics ---- */

static void means_text(json_t *means, char *text, size_t size)
{
    size_t used = 0;
    const char *phase;
    json_t *mean;
    text[0] = '\0';
    json_object_foreach(means, phase, mean)
    {
        if (json_is_number(mean) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s %.6g", used > 0 ? ", " : "",
                                     phase, json_number_value(mean));
    }
}

/* What the trials of a batch job measured besides, phase by phase. */
int ce_write_custom_metrics(const struct ce_report *report, FILE *out, bool color)
{
    bool any = false;
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        const char *name;
        json_t *means;
        json_object_foreach(record->custom_metrics, name, means)
        {
            char sentence[256];
            means_text(means, sentence, sizeof sentence);
            ce_write_section(out, "Other metrics, mean by phase", color, &any);
            CE_TRY(ce_write_about(out, record, name, sentence));
        }
    }
    return 0;
}

/* ---- means ---- */

static void write_mean(const struct ce_report *report, const char *profile, FILE *out)
{
    size_t runs = 0, scored = 0;
    double sum = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        if (!ce_same_text(record->profile, profile))
            continue;
        runs++;
        if (isnan(record->score))
            continue;
        scored++;
        sum += record->score;
    }
    fprintf(out, "Mean resilience score%s%s: ", profile ? ", " : "", profile ? profile : "");
    if (scored > 0)
        fprintf(out, "%.1f over %zu of %zu run%s\n", sum / (double)scored, scored, runs,
                runs == 1 ? "" : "s");
    else
        fprintf(out, "none, no run was scored\n");
}

/* One line for each profile, in the order in which they first ran. */
void ce_write_means(const struct ce_report *report, FILE *out)
{
    (void)putc('\n', out);
    for (size_t i = 0; i < report->count; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen = seen || ce_same_text(report->records[j]->profile, report->records[i]->profile);
        if (!seen)
            write_mean(report, report->records[i]->profile, out);
    }
}
