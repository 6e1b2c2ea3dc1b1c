/* SPDX-License-Identifier: MIT */
/* Workflow commands: lines that GitHub's runner takes from a step's output and shows as annotations
 * of the commit. It keeps ten of a kind for a step and drops the others without a word, so the
 * tenth says how many there would be. */
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/words.h"

enum { ANNOTATIONS_MAX = 10 };

static void put_command(FILE *out, const char *command, const char *title, const char *message)
{
    fprintf(out, "::%s title=", command);
    ce_put_escaped(out, CE_ESCAPE_GITHUB_PROPERTY, title);
    fputs("::", out);
    ce_put_escaped(out, CE_ESCAPE_GITHUB_MESSAGE, message);
    (void)putc('\n', out);
}

/* The run is the pipeline's or its own fault, or it did not come to it; NULL: it passed. */
static const char *command_of(const struct ce_record *record)
{
    static const char *const commands[] = {[CE_OUTCOME_PASSED] = NULL,
                                           [CE_OUTCOME_FAILED] = "error",
                                           [CE_OUTCOME_ERROR] = "error",
                                           [CE_OUTCOME_SKIPPED] = "warning"};
    if (record->skip_reason && strcmp(record->skip_reason, "dry_run") == 0)
        return NULL;
    return commands[ce_record_outcome(record)];
}

static int put_run(FILE *out, const char *command, const struct ce_record *record)
{
    ce_autofree char *title = ce_record_title(record), *message = NULL;
    size_t size;
    FILE *text = open_memstream(&message, &size);
    if (text) {
        const char *why = ce_record_why(record);
        fprintf(text, "%s%s%s", ce_record_ending(record), why[0] != '\0' ? ": " : "", why);
        if (!isnan(record->score))
            fprintf(text, "\nresilience score %.1f", record->score);
    }
    if (!text || fclose(text) != 0 || !title)
        return -ENOMEM;
    put_command(out, command, title, message);
    return 0;
}

/* All runs that ask for this command, `used` annotations of that kind being taken. */
static int put_runs(const struct ce_report *report, const char *command, size_t used, FILE *out)
{
    size_t left = 0;
    for (size_t i = 0; i < report->count; i++) {
        const char *wanted = command_of(report->records[i]);
        left += wanted && strcmp(wanted, command) == 0;
    }
    for (size_t i = 0; i < report->count && left > 0; i++) {
        const char *wanted = command_of(report->records[i]);
        if (!wanted || strcmp(wanted, command) != 0)
            continue;
        if (used + 1 == ANNOTATIONS_MAX && left > 1) {
            char message[80];
            snprintf(message, sizeof message, "%zu more runs did not pass either: see the report",
                     left);
            put_command(out, command, "ChaosEater", message);
            return 0;
        }
        CE_TRY(put_run(out, command, report->records[i]));
        used++;
        left--;
    }
    return 0;
}

/* One annotation, whatever the number of sentences. */
static int put_gate(const struct ce_report_gate *gate, FILE *out)
{
    ce_autofree char *message = NULL;
    size_t size, i;
    json_t *sentence;
    FILE *text = open_memstream(&message, &size);
    if (!text)
        return -ENOMEM;
    fprintf(text, "at least %.6g on %s", gate->min_score, gate->on);
    json_array_foreach(gate->failures, i, sentence)
    {
        fprintf(text, "\n%s", json_string_value(sentence));
    }
    if (fclose(text) != 0)
        return -ENOMEM;
    put_command(out, gate->passed ? "notice" : "error",
                gate->passed ? "Gate passed" : "Gate not passed", message);
    return 0;
}

int ce_report_write_github(const struct ce_report *report, FILE *out, bool color,
                           struct ce_error *err)
{
    const struct ce_report_gate *gate = report->gate;
    (void)color;
    if ((gate && put_gate(gate, out) < 0) ||
        put_runs(report, "error", gate && !gate->passed, out) < 0 ||
        put_runs(report, "warning", 0, out) < 0)
        return ce_fail_memory(err);
    return ce_report_end(out, err);
}
