/* SPDX-License-Identifier: MIT */
/* The section of one run: how it ended and why, its score with what it lost, its course over time,
 * and the details. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/html.h"

/* ---- score ---- */

struct part {
    const char *kind, *name;
    double points;
};

/* 100 points: those that were kept, and by what the others were lost. What was lost beyond 100 is
 * not to be seen. */
static void put_score_bar(FILE *out, const struct part *parts, size_t count)
{
    double x = 0;
    fputs("<svg class=\"score-bar\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" "
          "aria-hidden=\"true\" focusable=\"false\">",
          out);
    for (size_t i = 0; i < count; i++) {
        double width = fmin(parts[i].points, 100 - x);
        if (width <= 0)
            continue;
        fprintf(out, "<rect class=\"%s\" x=\"%.2f\" y=\"0\" width=\"%.2f\" height=\"4\"/>",
                parts[i].kind, x, width);
        x += width;
    }
    fputs("</svg>\n", out);
}

static void put_score(FILE *out, const struct ce_record *record)
{
    fputs("<div class=\"score\">\n<h3>Resilience score</h3>\n", out);
    if (isnan(record->score)) {
        fputs("<p class=\"big none\">none</p>\n<p class=\"note\">Nothing was measured that could "
              "be scored.</p>\n</div>\n",
              out);
        return;
    }
    const struct part parts[] = {{"kept", "kept", record->score},
                                 {"lost1", "lost to downtime", record->lost_downtime},
                                 {"lost2", "lost to accuracy", record->lost_accuracy},
                                 {"lost3", "lost to errors", record->lost_errors}};
    fprintf(out, "<p class=\"big\">%.1f<span class=\"of\"> of 100</span></p>\n", record->score);
    put_score_bar(out, parts, CE_COUNT(parts));
    fputs("<ul class=\"terms\">\n", out);
    for (size_t i = 0; i < CE_COUNT(parts); i++)
        fprintf(out,
                "<li><span class=\"swatch %s\" aria-hidden=\"true\"></span>%s <b>%.1f</b></li>\n",
                parts[i].kind, parts[i].name, parts[i].points);
    fputs("</ul>\n<p class=\"note\">Formula " CE_SCORE_FORMULA "</p>\n</div>\n", out);
}

/* ---- measurements ---- */

static void put_measurement(FILE *out, const char *name, double value, int digits, const char *unit)
{
    fprintf(out, "<div><dt>%s</dt><dd>", name);
    ce_html_number(out, value, digits);
    fprintf(out, "%s</dd></div>\n", isnan(value) ? "" : unit);
}

static void put_measurements(FILE *out, const struct ce_record *record)
{
    double errors = record->measured ? (double)record->error_count : NAN;
    fputs("<dl class=\"measured\">\n", out);
    put_measurement(out, "Failed operations", errors, 0, "");
    put_measurement(out, "Downtime", record->pipeline_downtime, 1, " s");
    put_measurement(out, "Accuracy lost", record->accuracy_degradation * 100, 1, " points");
    put_measurement(out, "Recovery", record->recovery_time, 2, " s");
    put_measurement(out, "Accuracy before", record->baseline_accuracy * 100, 1, " %");
    put_measurement(out, "Accuracy under the fault", record->fault_accuracy * 100, 1, " %");
    fputs("</dl>\n", out);
}

/* ---- over time ---- */

/* A chart, and the numbers behind it. */
struct figure {
    struct ce_chart chart;
    struct {
        enum ce_series_column column;
        const char *title;
    } columns[2];
    size_t column_count;
};

/* Ends of cells and rows may be left out, and of thousands of them they are: a page holds many. */
static void put_table(FILE *out, const struct figure *figure, const struct ce_html_series *series)
{
    fputs("<details><summary>Data: ", out);
    fprintf(out, "%s</summary>\n", figure->chart.title);
    ce_html_scroll_begin(out, figure->chart.title);
    fputs("<table class=\"data\"><thead><tr><th scope=\"col\">time, s</th>", out);
    for (size_t k = 0; k < figure->column_count; k++)
        fprintf(out, "<th scope=\"col\">%s</th>", figure->columns[k].title);
    fputs("</tr></thead><tbody>\n", out);
    for (size_t i = 0; i < series->count; i++) {
        fputs("<tr><th scope=\"row\">", out);
        ce_html_exact(out, series->columns[CE_SERIES_AT][i]);
        for (size_t k = 0; k < figure->column_count; k++) {
            fputs("<td>", out);
            ce_html_exact(out, series->columns[figure->columns[k].column][i]);
        }
        fputs("\n", out);
    }
    fputs("</tbody></table>", out);
    ce_html_scroll_end(out);
    fputs("</details>\n", out);
}

static int put_figure(FILE *out, const struct figure *figure, const struct ce_html_series *series,
                      size_t run, const char *of, const char *note)
{
    fprintf(out, "<figure>\n<figcaption><b>%s</b> <span>%s</span></figcaption>\n",
            figure->chart.title, note);
    ce_html_scroll_begin(out, figure->chart.title);
    CE_TRY(ce_chart_write(out, &figure->chart, series, run, of));
    ce_html_scroll_end(out);
    put_table(out, figure, series);
    fputs("</figure>\n", out);
    return 0;
}

static double latency_in(const struct ce_record *record, size_t phase)
{
    return record->phases[phase].operations > 0 ? record->phases[phase].p50_ms : NAN;
}

static int put_latency(FILE *out, const struct ce_record *record,
                       const struct ce_html_series *series, size_t run, const char *of)
{
    bool trials = isnan(series->width);
    char text[192];
    snprintf(text, sizeof text,
             "The median was %.1f ms in the baseline, %.1f ms under the fault and %.1f ms in "
             "recovery.",
             latency_in(record, 0), latency_in(record, 1), latency_in(record, 3));
    struct figure figure = {
        .chart = {CE_CHART_LINES, "latency", trials ? "How long trials took" : "Latency", " ms",
                  .top = NAN, .height = 200, .names_phases = true, .description = text,
                  .line_count = trials ? 1 : 2,
                  .lines = {{trials ? NULL : "p50", series->columns[CE_SERIES_P50]},
                            {"p99", series->columns[CE_SERIES_P99]}}},
        .columns = {{CE_SERIES_P50, trials ? "ms" : "p50, ms"}, {CE_SERIES_P99, "p99, ms"}},
        .column_count = trials ? 1 : 2,
    };
    return put_figure(out, &figure, series, run, of,
                      trials ? "milliseconds of each trial"
                             : "milliseconds; p50 solid, p99 dashed");
}

static int put_errors(FILE *out, const struct ce_record *record,
                      const struct ce_html_series *series, size_t run, const char *of)
{
    ce_autofree double *share = calloc(series->count, sizeof *share);
    if (!share)
        return -ENOMEM;
    for (size_t i = 0; i < series->count; i++)
        share[i] =
            100 * series->columns[CE_SERIES_ERRORS][i] / series->columns[CE_SERIES_OPERATIONS][i];
    char text[128];
    snprintf(text, sizeof text, "%" PRIu64 " operations failed from the injection on.",
             record->error_count);
    struct figure figure = {
        .chart = {CE_CHART_BARS, "errors", "Errors", "%", .top = 100, .height = 130,
                  .description = text, .line_count = 1, .lines = {{NULL, share}}},
        .columns = {{CE_SERIES_OPERATIONS, "operations"}, {CE_SERIES_ERRORS, "failed"}},
        .column_count = 2,
    };
    return put_figure(out, &figure, series, run, of, "share of the operations that failed");
}

static int put_accuracy(FILE *out, const struct ce_record *record,
                        const struct ce_html_series *series, size_t run, const char *of)
{
    ce_autofree double *percent = calloc(series->count, sizeof *percent);
    if (!percent)
        return -ENOMEM;
    bool any = false;
    for (size_t i = 0; i < series->count; i++) {
        percent[i] = 100 * series->columns[CE_SERIES_ACCURACY][i];
        any = any || !isnan(percent[i]);
    }
    if (!any)
        return 0;
    char text[128];
    snprintf(text, sizeof text, "It was %.1f %% in the baseline and %.1f %% under the fault.",
             100 * record->baseline_accuracy, 100 * record->fault_accuracy);
    struct figure figure = {
        .chart = {CE_CHART_TREND, "accuracy", "Accuracy", "%", .top = 100, .height = 160,
                  .description = text, .line_count = 1, .lines = {{NULL, percent}}},
        .columns = {{CE_SERIES_ACCURACY, "share right"}},
        .column_count = 1,
    };
    return put_figure(out, &figure, series, run, of,
                      isnan(series->width) ? "each trial a dot, the line a mean of five"
                                           : "each slot a dot, the line a mean of five slots");
}

static int put_intensity(FILE *out, const struct ce_html_series *series, size_t run, const char *of)
{
    ce_autofree double *percent = calloc(series->count, sizeof *percent);
    if (!percent)
        return -ENOMEM;
    for (size_t i = 0; i < series->count; i++)
        percent[i] = 100 * series->columns[CE_SERIES_INTENSITY][i];
    char text[128] = "The fault was never live.";
    if (!isnan(series->fault_begin))
        snprintf(text, sizeof text, "The fault was live from %.1f s to %.1f s.",
                 series->fault_begin, series->fault_end);
    struct figure figure = {
        .chart = {CE_CHART_STEPS, "intensity", "Intensity of the fault", "%", .top = 100,
                  .height = 100, .description = text, .line_count = 1, .lines = {{NULL, percent}}},
        .columns = {{CE_SERIES_INTENSITY, "intensity, 0 to 1"}},
        .column_count = 1,
    };
    return put_figure(out, &figure, series, run, of, "of what its parameters say");
}

static int put_series(FILE *out, const struct ce_record *record,
                      const struct ce_html_series *series, size_t run, const char *of)
{
    fputs("<section class=\"timeline\">\n<h3>Over time</h3>\n<p class=\"note\">Seconds since the "
          "baseline began. Shaded: while the fault was live.</p>\n",
          out);
    CE_TRY(put_latency(out, record, series, run, of));
    CE_TRY(put_errors(out, record, series, run, of));
    CE_TRY(put_accuracy(out, record, series, run, of));
    CE_TRY(put_intensity(out, series, run, of));
    fputs("</section>\n", out);
    return 0;
}

static int put_timeline(FILE *out, const struct ce_record *record, size_t run, const char *of)
{
    CE_CLEANUP(ce_html_series_done) struct ce_html_series series = {0};
    int r = ce_html_series_read(record, &series);
    return r > 0 ? put_series(out, record, &series, run, of) : r;
}

/* ---- the section ---- */

static void put_tags(FILE *out, const json_t *tags)
{
    size_t i;
    json_t *tag;
    json_array_foreach(tags, i, tag)
    {
        fputs(" <span class=\"tag\">", out);
        ce_html_text(out, json_string_value(tag));
        fputs("</span>", out);
    }
}

static void put_head(FILE *out, const struct ce_record *record, size_t run, const char *title)
{
    const char *why = ce_record_why(record);
    fprintf(out, "<header>\n<h2 id=\"r%zu-h\">", run);
    ce_html_text(out, title);
    fputs("</h2>\n<p class=\"what\">", out);
    ce_html_badge(out, record);
    fputs(" <span class=\"fault\">", out);
    ce_html_text(out, record->fault_type);
    fputs("</span> <span>", out);
    ce_html_text(out, record->layer);
    fputs(" layer</span>", out);
    put_tags(out, record->tags);
    fputs("</p>\n", out);
    if (why[0] != '\0') {
        fputs("<p class=\"why\">", out);
        ce_html_text(out, why);
        fputs("</p>\n", out);
    }
    fputs("</header>\n", out);
}

int ce_html_run(FILE *out, const struct ce_record *record, const json_t *earlier, size_t run)
{
    ce_autofree char *title = ce_record_title(record);
    if (!title)
        return -ENOMEM;
    fprintf(out, "<article id=\"r%zu\" aria-labelledby=\"r%zu-h\">\n", run, run);
    put_head(out, record, run, title);
    fputs("<div class=\"summary\">\n", out);
    put_score(out, record);
    put_measurements(out, record);
    fputs("</div>\n", out);
    CE_TRY(put_timeline(out, record, run, title));
    fputs("<div class=\"details\">\n", out);
    ce_html_proof(out, record);
    ce_html_rollback(out, record);
    ce_html_hypothesis(out, record);
    ce_html_phases(out, record);
    ce_html_earlier(out, earlier, record, run);
    CE_TRY(ce_html_recipe(out, record));
    fputs("</div>\n<p class=\"back\"><a href=\"#experiments\">Back to all experiments</a></p>\n"
          "</article>\n",
          out);
    return 0;
}
