/* SPDX-License-Identifier: MIT */
/* The HTML report: one file, which needs no network, no script and no other file. The policy in its
 * head forbids them, whatever a name in it may say.
 *
 * First how it went as a whole, then a table of all runs, then a section for each. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/html.h"
#include "report_css.h"

struct totals {
    size_t passed, verified, scored, unclean;
    double sum;
    int64_t began, ended;
};

static struct totals sum_up(const struct ce_report *report)
{
    struct totals totals = {0};
    for (size_t i = 0; i < report->count; i++) {
        const struct ce_record *record = report->records[i];
        totals.passed += ce_record_outcome(record) == CE_OUTCOME_PASSED;
        totals.verified += record->verified;
        totals.unclean += record->status == CE_STATUS_DIRTY;
        if (!isnan(record->score)) {
            totals.scored++;
            totals.sum += record->score;
        }
        if (totals.began == 0 || (record->started_at != 0 && record->started_at < totals.began))
            totals.began = record->started_at;
        if (record->ended_at > totals.ended)
            totals.ended = record->ended_at;
    }
    return totals;
}

static double mean_score(const struct totals *totals)
{
    return totals->scored > 0 ? totals->sum / (double)totals->scored : NAN;
}

/* ---- the head ---- */

static void put_head(FILE *out)
{
    fprintf(out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
            "style-src 'unsafe-inline'\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n"
            "<meta name=\"generator\" content=\"ChaosEater %s\">\n"
            "<title>ChaosEater: resilience report</title>\n<style>\n%s</style>\n</head>\n<body>\n"
            "<a class=\"skip\" href=\"#experiments\">Skip to the experiments</a>\n",
            ce_version(), report_css);
}

/* ---- the whole ---- */

static void put_stat(FILE *out, const char *name, size_t value, size_t of)
{
    fprintf(out, "<div><dt>%s</dt><dd>%zu<span class=\"of\"> of %zu</span></dd></div>\n", name,
            value, of);
}

/* Of each profile that ran, when there is more than one. */
static void put_profiles(FILE *out, const struct ce_report *report)
{
    static const char *const profiles[] = {"naive", "hardened"};
    double sums[CE_COUNT(profiles)] = {0};
    size_t counts[CE_COUNT(profiles)] = {0};
    for (size_t i = 0; i < report->count; i++)
        for (size_t k = 0; k < CE_COUNT(profiles); k++) {
            const struct ce_record *record = report->records[i];
            if (!record->profile || strcmp(record->profile, profiles[k]) != 0 ||
                isnan(record->score))
                continue;
            sums[k] += record->score;
            counts[k]++;
        }
    for (size_t k = 0; k < CE_COUNT(profiles) && counts[0] > 0 && counts[1] > 0; k++)
        fprintf(out, "<div><dt>Mean score, %s</dt><dd>%.1f</dd></div>\n", profiles[k],
                sums[k] / (double)counts[k]);
}

static void put_sentences(FILE *out, const char *before, const json_t *sentences)
{
    size_t i;
    json_t *sentence;
    json_array_foreach(sentences, i, sentence)
    {
        fprintf(out, "<li>%s", before);
        ce_html_text(out, json_string_value(sentence));
        fputs("</li>\n", out);
    }
}

static void put_gate(FILE *out, const struct ce_report_gate *gate)
{
    fprintf(out,
            "<section class=\"gate %s\" aria-label=\"Gate\">\n<h2>Gate %s</h2>\n"
            "<p>At least %.6g on %s.</p>\n",
            gate->passed ? "good" : "bad", gate->passed ? "passed" : "not passed", gate->min_score,
            gate->on);
    if (json_array_size(gate->failures) + json_array_size(gate->remarks) > 0) {
        fputs("<ul>\n", out);
        put_sentences(out, "", gate->failures);
        put_sentences(out, "Remark: ", gate->remarks);
        fputs("</ul>\n", out);
    }
    fputs("</section>\n", out);
}

static void put_sentence(FILE *out, const struct totals *totals, size_t count)
{
    if (count == 0)
        fputs("Nothing was run", out);
    else if (count == 1)
        fputs(totals->passed ? "The run passed" : "The run did not pass", out);
    else if (totals->passed == count)
        fprintf(out, "All %zu runs passed", count);
    else if (totals->passed == 0)
        fprintf(out, "None of %zu runs passed", count);
    else
        fprintf(out, "%zu of %zu runs passed", totals->passed, count);
}

static void put_times(FILE *out, const struct totals *totals)
{
    if (totals->began != 0)
        ce_html_time(out, totals->began);
    if (totals->ended != 0) {
        fputs(" to ", out);
        ce_html_time(out, totals->ended);
    }
    fputs(totals->began != 0 ? " · " : "", out);
}

static void put_opening(FILE *out, const struct ce_report *report)
{
    const struct totals totals = sum_up(report);
    double mean = mean_score(&totals);
    fputs("<header class=\"top\">\n<p class=\"brand\">ChaosEater · resilience report</p>\n<h1>",
          out);
    put_sentence(out, &totals, report->count);
    fputs("</h1>\n<p class=\"note\">", out);
    put_times(out, &totals);
    fprintf(out, "seed %" PRIu64 " · version %s</p>\n", report->seed, ce_version());
    fputs("<dl class=\"stats\">\n<div class=\"first\"><dt>Mean resilience score</dt><dd>", out);
    ce_html_number(out, mean, 1);
    fputs("<span class=\"of\"> of 100</span></dd></div>\n", out);
    put_profiles(out, report);
    put_stat(out, "Passed", totals.passed, report->count);
    put_stat(out, "Seen to take effect", totals.verified, report->count);
    put_stat(out, "Left clean", report->count - totals.unclean, report->count);
    fputs("</dl>\n</header>\n", out);
    if (report->gate)
        put_gate(out, report->gate);
}

/* ---- the table ---- */

static void put_cell(FILE *out, double value, int digits)
{
    fputs("<td class=\"n\">", out);
    ce_html_number(out, value, digits);
    fputs("</td>", out);
}

/* The bar says what the number beside it says. */
static void put_score_cell(FILE *out, double score)
{
    fputs("<td class=\"n score-cell\">", out);
    ce_html_number(out, score, 1);
    if (!isnan(score))
        fprintf(out,
                "<svg viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\" "
                "focusable=\"false\"><rect class=\"all\" width=\"100\" height=\"4\"/><rect "
                "class=\"kept\" width=\"%.1f\" height=\"4\"/></svg>",
                score);
    fputs("</td>", out);
}

static int put_row(FILE *out, const struct ce_record *record, size_t run)
{
    ce_autofree char *title = ce_record_title(record);
    if (!title)
        return -ENOMEM;
    fprintf(out, "<tr><th scope=\"row\"><a href=\"#r%zu\">", run);
    ce_html_text(out, title);
    fputs("</a></th><td>", out);
    ce_html_text(out, record->fault_type);
    fputs("</td><td>", out);
    ce_html_text(out, record->layer);
    fprintf(out, "</td><td>%s</td>", record->control ? "control" : record->verified ? "yes" : "no");
    put_cell(out, record->measured ? (double)record->error_count : NAN, 0);
    put_cell(out, record->pipeline_downtime, 1);
    put_cell(out, record->accuracy_degradation * 100, 1);
    put_cell(out, record->recovery_time, 1);
    put_score_cell(out, record->score);
    fputs("<td>", out);
    ce_html_badge(out, record);
    fputs("</td></tr>\n", out);
    return 0;
}

static int put_table(FILE *out, const struct ce_report *report)
{
    fputs("<section id=\"experiments\" class=\"overview\">\n<h2>Experiments</h2>\n", out);
    if (report->count == 0) {
        fputs("<p>There is no run to tell of.</p>\n</section>\n", out);
        return 0;
    }
    ce_html_scroll_begin(out, "All experiments");
    fputs("<table><thead><tr><th scope=\"col\">experiment</th><th scope=\"col\">fault</th>"
          "<th scope=\"col\">layer</th><th scope=\"col\">seen</th>"
          "<th scope=\"col\" class=\"n\">errors</th>"
          "<th scope=\"col\" class=\"n\">downtime, s</th>"
          "<th scope=\"col\" class=\"n\">accuracy lost, points</th>"
          "<th scope=\"col\" class=\"n\">recovery, s</th>"
          "<th scope=\"col\" class=\"n\">score</th><th scope=\"col\">verdict</th></tr></thead>"
          "<tbody>\n",
          out);
    for (size_t i = 0; i < report->count; i++)
        CE_TRY(put_row(out, report->records[i], i + 1));
    fputs("</tbody></table>", out);
    ce_html_scroll_end(out);
    fputs("<p class=\"note\">Errors: operations that failed from the injection on. –: not "
          "measured.</p>\n</section>\n",
          out);
    return 0;
}

static int put_all(FILE *out, const struct ce_report *report)
{
    put_head(out);
    fputs("<main>\n", out);
    put_opening(out, report);
    CE_TRY(put_table(out, report));
    for (size_t i = 0; i < report->count; i++)
        CE_TRY(ce_html_run(out, report->records[i], report->earlier ? report->earlier[i] : NULL,
                           i + 1));
    fputs("</main>\n</body>\n</html>\n", out);
    return 0;
}

int ce_report_write_html(const struct ce_report *report, FILE *out, bool color,
                         struct ce_error *err)
{
    (void)color;
    if (put_all(out, report) < 0)
        return ce_fail_memory(err);
    return ce_report_end(out, err);
}
