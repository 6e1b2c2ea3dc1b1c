/* SPDX-License-Identifier: MIT */
/* The report for people: what happened, in a table; why, where it was not plainly good; how each
 * score came about, on how many operations and by which formula; what verification saw; the means.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "report/report.h"
#include "report/table.h"
#include "report/words.h"

enum { LABEL_SIZE = 256 };

/* ---- one run ---- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_experiment(const struct ce_record *a, const struct ce_record *b)
{
    return same_text(a->name, b->name) && a->repeat == b->repeat;
}

/* "spikes", or "spikes #2" when it was repeated. */
static void name_of(const struct ce_record *record, char name[LABEL_SIZE])
{
    if (record->repeat > 0)
        snprintf(name, LABEL_SIZE, "%.200s #%d", record->name, record->repeat);
    else
        snprintf(name, LABEL_SIZE, "%.200s", record->name);
}

/* "spikes (slow_inference)", or just the name when the experiment is called like its fault. */
static void title_of(const struct ce_record *record, char title[LABEL_SIZE])
{
    name_of(record, title);
    size_t n = strlen(title);
    if (!same_text(record->name, record->fault_type))
        snprintf(title + n, LABEL_SIZE - n, " (%s)", record->fault_type);
}

static const char *layer_of(const struct ce_record *record)
{
    return same_text(record->layer, "infrastructure") ? "infra" : record->layer;
}

static bool plainly_passed(const struct ce_record *record)
{
    return record->status == CE_STATUS_COMPLETED && record->verdict == CE_VERDICT_PASSED;
}

/* How it ended, in a word: the verdict, unless it did not come to one. */
static const char *ending_of(const struct ce_record *record)
{
    return record->status == CE_STATUS_COMPLETED ? ce_verdict_name(record->verdict)
                                                 : ce_status_name(record->status);
}

/* The same in eight characters. */
static const char *short_ending_of(const struct ce_record *record)
{
    const char *ending = ending_of(record);
    if (strcmp(ending, "inconclusive") == 0)
        return "inconcl.";
    return strcmp(ending, "interrupted") == 0 ? "interr." : ending;
}

static enum ce_color ending_color(const struct ce_record *record)
{
    if (plainly_passed(record))
        return CE_COLOR_GOOD;
    bool deviated = record->status == CE_STATUS_COMPLETED && record->verdict == CE_VERDICT_DEVIATED;
    return deviated || record->status == CE_STATUS_SKIPPED ? CE_COLOR_DOUBTFUL : CE_COLOR_BAD;
}

static enum ce_color score_color(double score)
{
    if (isnan(score))
        return CE_COLOR_NONE;
    return score >= 70 ? CE_COLOR_GOOD : score >= 50 ? CE_COLOR_DOUBTFUL : CE_COLOR_BAD;
}

/* From injection to the end of recovery. */
static uint64_t operations_of(const struct ce_record *record)
{
    uint64_t operations = 0;
    for (size_t i = 1; i < CE_RECORD_PHASES; i++)
        operations += record->phases[i].operations;
    return operations;
}

/* ---- the table ---- */

static void set_number(struct ce_table_cell *cell, enum ce_color color, double value)
{
    if (isnan(value))
        ce_cell_set(cell, CE_COLOR_NONE, "-");
    else
        ce_cell_set(cell, color, fabs(value) < 999.95 ? "%.1f" : "%.0f", value);
}

static void set_verified(struct ce_table_cell *cell, const struct ce_record *record,
                         const char *control)
{
    if (record->control)
        ce_cell_set(cell, CE_COLOR_NONE, "%s", control);
    else if (record->status != CE_STATUS_COMPLETED && !record->verified)
        ce_cell_set(cell, CE_COLOR_NONE, "-");
    else
        ce_cell_set(cell, record->verified ? CE_COLOR_NONE : CE_COLOR_BAD,
                    record->verified ? "yes" : "no");
}

/* The cells from "verified" to "score" are the same in both layouts. */
static struct ce_table_cell *set_measurements(struct ce_table_cell *cell,
                                              const struct ce_record *record, const char *control)
{
    set_verified(cell++, record, control);
    if (record->measured)
        ce_cell_set(cell++, CE_COLOR_NONE, "%" PRIu64, record->error_count);
    else
        ce_cell_set(cell++, CE_COLOR_NONE, "-");
    set_number(cell++, CE_COLOR_NONE, record->pipeline_downtime);
    set_number(cell++, CE_COLOR_NONE, record->accuracy_degradation * 100);
    set_number(cell++, CE_COLOR_NONE, record->recovery_time);
    set_number(cell++, score_color(record->score), record->score);
    return cell;
}

static bool any_name_differs_from_its_fault(const struct ce_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        if (!same_text(report->records[i]->name, report->records[i]->fault_type) ||
            report->records[i]->repeat > 0)
            return true;
    return false;
}

static bool several_profiles(const struct ce_report *report)
{
    for (size_t i = 1; i < report->count; i++)
        if (!same_text(report->records[i]->profile, report->records[0]->profile))
            return true;
    return false;
}

static int fill_plain(const struct ce_report *report, struct ce_table *table)
{
    bool names = any_name_differs_from_its_fault(report), profiles = several_profiles(report);
    if (names)
        ce_table_add_column(table,
                            (struct ce_table_column){.title = "experiment", .shrinks = true});
    ce_table_add_column(
        table, (struct ce_table_column){.title = "fault", .shrinks = true, .gap = names ? 2 : 0});
    if (profiles)
        ce_table_add_column(table, (struct ce_table_column){.title = "profile", .gap = 2});
    ce_table_add_column(table, (struct ce_table_column){.title = "layer", .gap = 2});
    ce_table_add_column(table, (struct ce_table_column){.title = "verified", .gap = 2});
    static const char *const numbers[] = {"errors", "downtime", "accuracy lost", "recovery",
                                          "score"};
    for (size_t i = 0; i < CE_COUNT(numbers); i++)
        ce_table_add_column(table,
                            (struct ce_table_column){.title = numbers[i], .right = true, .gap = 2});
    ce_table_add_column(table, (struct ce_table_column){.title = "verdict", .gap = 2});

    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        struct ce_table_cell *cell = ce_table_add_row(table);
        if (!cell)
            return -ENOMEM;
        char name[LABEL_SIZE];
        name_of(record, name);
        if (names)
            ce_cell_set(cell++, CE_COLOR_NONE, "%s", name);
        ce_cell_set(cell++, CE_COLOR_NONE, "%s", record->fault_type);
        if (profiles)
            ce_cell_set(cell++, CE_COLOR_NONE, "%s", record->profile ? record->profile : "-");
        ce_cell_set(cell++, CE_COLOR_NONE, "%s", layer_of(record));
        cell = set_measurements(cell, record, "control");
        ce_cell_set(cell, ending_color(record), "%s", ending_of(record));
    }
    return 0;
}

/* ---- both profiles side by side ---- */

static const struct ce_record *find(const struct ce_report *report,
                                    const struct ce_record *experiment, const char *profile,
                                    size_t *ret_count)
{
    const struct ce_record *found = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < report->count; i++)
        if (same_experiment(report->records[i], experiment) &&
            same_text(report->records[i]->profile, profile)) {
            found = report->records[i];
            ++*ret_count;
        }
    return found;
}

/* The two profiles, if there are two and each experiment ran once on each. */
static bool find_profiles(const struct ce_report *report, const char *profiles[2])
{
    profiles[0] = profiles[1] = NULL;
    for (size_t i = 0; i < report->count; i++) {
        const char *profile = report->records[i]->profile;
        if (!profile)
            return false;
        if (!profiles[0])
            profiles[0] = profile;
        else if (!profiles[1] && strcmp(profile, profiles[0]) != 0)
            profiles[1] = profile;
    }
    if (!profiles[1])
        return false;
    for (size_t i = 0; i < report->count; i++)
        for (size_t p = 0; p < 2; p++) {
            size_t count;
            (void)find(report, report->records[i], profiles[p], &count);
            if (count != 1)
                return false;
        }
    return report->count % 2 == 0;
}

static bool fault_is_unique(const struct ce_report *report, const struct ce_record *record)
{
    for (size_t i = 0; i < report->count; i++)
        if (same_text(report->records[i]->fault_type, record->fault_type) &&
            !same_experiment(report->records[i], record))
            return false;
    return true;
}

static void add_profile_columns(struct ce_table *table, const char *profile)
{
    static const char *const titles[] = {"seen", "errs", "down", "lost", "back", "score"};
    for (size_t i = 0; i < CE_COUNT(titles); i++)
        ce_table_add_column(table, (struct ce_table_column){.title = titles[i],
                                                            .group = i == 0 ? profile : NULL,
                                                            .right = i > 0,
                                                            .gap = i == 0 ? 3 : 1});
    ce_table_add_column(table, (struct ce_table_column){.title = "verdict", .gap = 1});
}

/* 120 columns hold two sets of measurements only under short titles; the line below the table
 * spells them out. */
static int fill_side_by_side(const struct ce_report *report, const char *const profiles[2],
                             struct ce_table *table)
{
    ce_table_add_column(table, (struct ce_table_column){.title = "fault", .shrinks = true});
    ce_table_add_column(table, (struct ce_table_column){.title = "layer", .gap = 1});
    add_profile_columns(table, profiles[0]);
    add_profile_columns(table, profiles[1]);

    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        if (!same_text(record->profile, profiles[0]))
            continue;
        struct ce_table_cell *cell = ce_table_add_row(table);
        if (!cell)
            return -ENOMEM;
        char name[LABEL_SIZE];
        name_of(record, name);
        ce_cell_set(cell++, CE_COLOR_NONE, "%s",
                    fault_is_unique(report, record) ? record->fault_type : name);
        ce_cell_set(cell++, CE_COLOR_NONE, "%s", layer_of(record));
        for (size_t p = 0; p < 2; p++) {
            size_t count;
            const struct ce_record *run = find(report, record, profiles[p], &count);
            cell = set_measurements(cell, run, "ctrl");
            ce_cell_set(cell++, ending_color(run), "%s", short_ending_of(run));
        }
    }
    return 0;
}

static int write_table(const struct ce_report *report, FILE *out, bool color)
{
    struct ce_table table = {0};
    const char *profiles[2];
    bool both = find_profiles(report, profiles);
    int r = both ? fill_side_by_side(report, profiles, &table) : fill_plain(report, &table);
    if (r == 0)
        ce_table_write(&table, out, color);
    ce_table_done(&table);
    CE_TRY(r);
    (void)putc('\n', out);
    if (both)
        ce_write_wrapped(out, "seen: injection verified from outside. errs: errors (failed "
                              "operations). down: downtime in seconds. lost: accuracy lost in "
                              "percentage points. back: recovery in seconds. -: not measured.");
    else
        ce_write_wrapped(out, "verified: the injection was seen from outside. errors: failed "
                              "operations. downtime and recovery in seconds, accuracy lost in "
                              "percentage points. -: not measured.");
    return 0;
}

/* ---- below the table ---- */

/* One paragraph about a run. */
static int write_about(FILE *out, const struct ce_record *record, const char *word,
                       const char *sentence)
{
    char title[LABEL_SIZE];
    title_of(record, title);
    bool both = word[0] != '\0' && sentence[0] != '\0';
    ce_autofree char *text =
        ce_format("%s%s%s: %s%s%s", title, record->profile ? ", " : "",
                  record->profile ? record->profile : "", word, both ? ": " : "", sentence);
    if (!text)
        return -ENOMEM;
    ce_write_wrapped(out, text);
    return 0;
}

static int write_endings(const struct ce_report *report, FILE *out, bool color)
{
    bool any = false;
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        if (plainly_passed(record))
            continue;
        if (!any) {
            (void)putc('\n', out);
            ce_write_heading(out, "Not passed, and why", color);
        }
        any = true;
        CE_TRY(write_about(out, record, ending_of(record), record->reason ? record->reason : ""));
    }
    return 0;
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

static int write_scores(const struct ce_report *report, FILE *out, bool color)
{
    (void)putc('\n', out);
    ce_write_heading(out, "Resilience score by formula " CE_SCORE_FORMULA ", term by term", color);
    struct ce_table table = {0};
    ce_table_add_column(&table, (struct ce_table_column){.gap = 2, .shrinks = true});
    ce_table_add_column(&table, (struct ce_table_column){.gap = 2});
    ce_table_add_column(&table, (struct ce_table_column){.gap = 2});
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        struct ce_table_cell *row = ce_table_add_row(&table);
        if (!row) {
            ce_table_done(&table);
            return -ENOMEM;
        }
        char title[LABEL_SIZE];
        title_of(record, title);
        ce_cell_set(&row[0], CE_COLOR_NONE, "%s", title);
        ce_cell_set(&row[1], CE_COLOR_NONE, "%s", record->profile ? record->profile : "");
        set_score(&row[2], record);
    }
    ce_table_write(&table, out, color);
    ce_table_done(&table);
    ce_write_wrapped(out, CE_SCORE_FORMULA
                     ": 100 - min(40, downtime in s / 10 x 40) - min(30, "
                     "accuracy lost as a fraction x 30) - min(30, errors x 5 x 30), at "
                     "least 0; over the operations from injection to the end of recovery.");
    return 0;
}

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
    ce_table_add_column(table,
                        (struct ce_table_column){.title = "", .gap = 2, .shrinks = true});
    ce_table_add_column(table, (struct ce_table_column){.title = "", .gap = 2});
    for (size_t i = 0; i < CE_COUNT(titles); i++)
        ce_table_add_column(table,
                            (struct ce_table_column){.title = titles[i], .right = true, .gap = 2});
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        struct ce_table_cell *row = ce_table_add_row(table);
        if (!row)
            return -ENOMEM;
        char title[LABEL_SIZE];
        title_of(record, title);
        ce_cell_set(&row[0], CE_COLOR_NONE, "%s", title);
        ce_cell_set(&row[1], CE_COLOR_NONE, "%s", record->profile ? record->profile : "");
        for (size_t p = 0; p < CE_COUNT(phases); p++)
            set_latency(&row[2 + p], &record->phases[phases[p]]);
    }
    return 0;
}

/* How long operations took: requests, or the trials of a batch job. */
static int write_latencies(const struct ce_report *report, FILE *out, bool color)
{
    bool any = false;
    for (size_t i = 0; i < report->count && !any; i++)
        for (size_t p = 0; p < CE_RECORD_PHASES && !any; p++)
            any = report->records[i]->phases[p].operations > 0;
    if (!any)
        return 0;
    (void)putc('\n', out);
    ce_write_heading(out, "Time of an operation in ms, p50/p99", color);
    struct ce_table table = {0};
    int r = fill_latencies(report, &table);
    if (r == 0)
        ce_table_write(&table, out, color);
    ce_table_done(&table);
    return r;
}

static int write_verifications(const struct ce_report *report, FILE *out, bool color)
{
    (void)putc('\n', out);
    ce_write_heading(out, "What verification saw", color);
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        const char *seen = record->verification ? record->verification : "";
        const char *word = "";
        if (seen[0] == '\0')
            word = record->control ? "control run, nothing to verify"
                                   : "nothing, it did not come to that";
        else if (record->verdict == CE_VERDICT_INVALID)
            word = "no effect";
        CE_TRY(write_about(out, record, word, seen));
    }
    return 0;
}

/* What the trials of a batch job measured besides, phase by phase. */
static int write_custom(const struct ce_report *report, FILE *out, bool color)
{
    bool any = false;
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        const char *name;
        json_t *means;
        json_object_foreach(record->custom_metrics, name, means)
        {
            char sentence[256] = "";
            size_t used = 0;
            const char *phase;
            json_t *mean;
            json_object_foreach(means, phase, mean)
            {
                if (!json_is_number(mean) || used >= sizeof sentence)
                    continue;
                used += (size_t)snprintf(sentence + used, sizeof sentence - used, "%s%s %.6g",
                                         used > 0 ? ", " : "", phase, json_number_value(mean));
            }
            if (!any) {
                (void)putc('\n', out);
                ce_write_heading(out, "Other metrics, mean by phase", color);
            }
            any = true;
            CE_TRY(write_about(out, record, name, sentence));
        }
    }
    return 0;
}

static void write_mean(const struct ce_report *report, const char *profile, FILE *out)
{
    size_t runs = 0, scored = 0;
    double sum = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        if (!same_text(record->profile, profile))
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
static void write_means(const struct ce_report *report, FILE *out)
{
    (void)putc('\n', out);
    for (size_t i = 0; i < report->count; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen = seen || same_text(report->records[j]->profile, report->records[i]->profile);
        if (!seen)
            write_mean(report, report->records[i]->profile, out);
    }
}

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
            seen = seen || (same_text(address_of(report->records[j]), address) &&
                            same_text(report->records[j]->protocol, record->protocol));
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

/* What the numbers are about: version, seed, the servers, the targets, and each way in which a pipeline was
 * isolated. */
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
            seen = seen || same_text(report->records[j]->isolation, isolation);
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
    snprintf(text, sizeof text, "Gate %s: every run must pass, with %s %.1f; control runs need no score",
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

struct facts {
    const struct ce_record *record;
    FILE *out;
    bool color, any;
    int r;
};

static void write_fact(void *ctx, const char *word, const char *sentence)
{
    struct facts *facts = ctx;
    if (!facts->any) {
        (void)putc('\n', facts->out);
        ce_write_heading(facts->out, "Held, stopped, chosen, rolled back", facts->color);
    }
    facts->any = true;
    int r = write_about(facts->out, facts->record, word, sentence);
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

static int write_runs(const struct ce_report *report, FILE *out, bool color)
{
    CE_TRY(write_table(report, out, color));
    CE_TRY(write_endings(report, out, color));
    CE_TRY(write_facts(report, out, color));
    CE_TRY(write_scores(report, out, color));
    CE_TRY(write_latencies(report, out, color));
    CE_TRY(write_custom(report, out, color));
    CE_TRY(write_verifications(report, out, color));
    write_means(report, out);
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
    if (fflush(out) != EOF && !ferror(out))
        return 0;
    int code = errno ? errno : EIO;
    return ce_fail(err, code, "cannot write the report: %s", strerror(code));
}
