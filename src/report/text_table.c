/* SPDX-License-Identifier: MIT */
/* The text report's table: what happened, a line for each run; where each experiment ran once on
 * each of two profiles, both side by side. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report/text_internal.h"
#include "report/words.h"

/* ---- cells ---- */

static const char *layer_of(const struct ce_record *record)
{
    return ce_same_text(record->layer, "infrastructure") ? "infra" : record->layer;
}

/* How it ended, in eight characters. */
static const char *short_ending_of(const struct ce_record *record)
{
    const char *ending = ce_record_ending(record);
    if (strcmp(ending, "inconclusive") == 0)
        return "inconcl.";
    return strcmp(ending, "interrupted") == 0 ? "interr." : ending;
}

static enum ce_color ending_color(const struct ce_record *record)
{
    if (ce_record_outcome(record) == CE_OUTCOME_PASSED)
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

/* The cells from "errors" to "score" are the same in both layouts. */
static struct ce_table_cell *set_measurements(struct ce_table_cell *cell,
                                              const struct ce_record *record)
{
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

/* ---- a line for each run ---- */

static bool any_name_differs_from_its_fault(const struct ce_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        if (!ce_same_text(report->records[i]->name, report->records[i]->fault_type) ||
            report->records[i]->repeat > 0)
            return true;
    return false;
}

static bool several_profiles(const struct ce_report *report)
{
    for (size_t i = 1; i < report->count; i++)
        if (!ce_same_text(report->records[i]->profile, report->records[0]->profile))
            return true;
    return false;
}

static void add_columns(struct ce_table *table, bool names, bool profiles, bool measured)
{
    static const char *const numbers[] = {"errors", "downtime", "accuracy lost", "recovery",
                                          "score"};
    if (names)
        ce_table_add_column(table,
                            (struct ce_table_column){.title = "experiment", .shrinks = true});
    ce_table_add_column(
        table, (struct ce_table_column){.title = "fault", .shrinks = true, .gap = names ? 2 : 0});
    if (profiles)
        ce_table_add_column(table, (struct ce_table_column){.title = "profile", .gap = 2});
    ce_table_add_column(table, (struct ce_table_column){.title = "layer", .gap = 2});
    ce_table_add_column(table, (struct ce_table_column){.title = "verified", .gap = 2});
    for (size_t i = 0; measured && i < CE_COUNT(numbers); i++)
        ce_table_add_column(table,
                            (struct ce_table_column){.title = numbers[i], .right = true, .gap = 2});
    ce_table_add_column(table, (struct ce_table_column){.title = "verdict", .gap = 2});
}

static int fill_plain(const struct ce_report *report, struct ce_table *table)
{
    bool names = any_name_differs_from_its_fault(report), profiles = several_profiles(report);
    bool measured = ce_any_pipeline(report);
    add_columns(table, names, profiles, measured);
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        struct ce_table_cell *cell = ce_table_add_row(table);
        if (!cell)
            return -ENOMEM;
        char name[CE_LABEL_SIZE];
        ce_label_name(record, name);
        if (names)
            ce_cell_set(cell++, CE_COLOR_NONE, "%s", name);
        ce_cell_set(cell++, CE_COLOR_NONE, "%s", record->fault_type);
        if (profiles)
            ce_cell_set(cell++, CE_COLOR_NONE, "%s", record->profile ? record->profile : "-");
        ce_cell_set(cell++, CE_COLOR_NONE, "%s", layer_of(record));
        set_verified(cell++, record, "control");
        if (measured)
            cell = set_measurements(cell, record);
        ce_cell_set(cell, ending_color(record), "%s", ce_record_ending(record));
    }
    return 0;
}

/* ---- both profiles side by side ---- */

static bool same_experiment(const struct ce_record *a, const struct ce_record *b)
{
    return ce_same_text(a->name, b->name) && a->repeat == b->repeat;
}

static const struct ce_record *find(const struct ce_report *report,
                                    const struct ce_record *experiment, const char *profile,
                                    size_t *ret_count)
{
    const struct ce_record *found = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < report->count; i++)
        if (same_experiment(report->records[i], experiment) &&
            ce_same_text(report->records[i]->profile, profile)) {
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
        if (ce_same_text(report->records[i]->fault_type, record->fault_type) &&
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
        if (!ce_same_text(record->profile, profiles[0]))
            continue;
        struct ce_table_cell *cell = ce_table_add_row(table);
        if (!cell)
            return -ENOMEM;
        char name[CE_LABEL_SIZE];
        ce_label_name(record, name);
        ce_cell_set(cell++, CE_COLOR_NONE, "%s",
                    fault_is_unique(report, record) ? record->fault_type : name);
        ce_cell_set(cell++, CE_COLOR_NONE, "%s", layer_of(record));
        for (size_t p = 0; p < 2; p++) {
            size_t count;
            const struct ce_record *run = find(report, record, profiles[p], &count);
            set_verified(cell++, run, "ctrl");
            cell = set_measurements(cell, run);
            ce_cell_set(cell++, ending_color(run), "%s", short_ending_of(run));
        }
    }
    return 0;
}

int ce_write_runs_table(const struct ce_report *report, FILE *out, bool color)
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
    else if (!ce_any_pipeline(report))
        ce_write_wrapped(out, "verified: the injection was seen from outside.");
    else
        ce_write_wrapped(out, "verified: the injection was seen from outside. errors: failed "
                              "operations. downtime and recovery in seconds, accuracy lost in "
                              "percentage points. -: not measured.");
    return 0;
}
