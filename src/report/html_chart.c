/* SPDX-License-Identifier: MIT */
/* Charts over time as SVG that is part of the page: axes, the time in which the fault was live
 * shaded, the phases named above. Colours are classes of the style sheet, so that they follow dark
 * mode and print; nothing is said by colour alone. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/html.h"

enum { WIDTH = 960, LEFT = 60, RIGHT = 908, BELOW = 24, LABEL_GAP = 14 };

/* How wide a letter is, about. */
#define LETTER 6.4

struct frame {
    FILE *out;
    const struct ce_chart *chart;
    const struct ce_html_series *series;
    double top, bottom;
    double low, high; /* of the axis; of a logarithmic one, too */
    bool logarithmic;
};

static double x_of(const struct frame *frame, double at)
{
    return LEFT + (RIGHT - LEFT) * at / frame->series->end;
}

static double y_of(const struct frame *frame, double value)
{
    double share = frame->logarithmic
                       ? log(fmax(value, frame->low) / frame->low) / log(frame->high / frame->low)
                       : value / frame->high;
    return frame->bottom - (frame->bottom - frame->top) * fmin(fmax(share, 0), 1);
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, so that at most `count` of them make up `span`. */
static double nice_step(double span, int count)
{
    double raw = span / count, power = pow(10, floor(log10(raw)));
    double digit = raw / power;
    return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

/* False: there is no value. A logarithmic axis is one of latencies that differ a hundredfold. */
static bool find_range(struct frame *frame)
{
    const struct ce_chart *chart = frame->chart;
    double most = 0, least = INFINITY;
    bool any = false;
    for (size_t k = 0; k < chart->line_count; k++)
        for (size_t i = 0; i < frame->series->count; i++) {
            double value = chart->lines[k].values[i];
            any = any || !isnan(value);
            most = fmax(most, value);
            if (value > 0)
                least = fmin(least, value);
        }
    frame->high = chart->top;
    if (isnan(chart->top)) {
        double step = most > 0 ? nice_step(most, 4) : 1;
        frame->high = most > 0 ? ceil(most / step) * step : 1;
        frame->logarithmic = most > 100 * least;
    }
    if (frame->logarithmic) {
        frame->low = pow(10, floor(log10(least)));
        frame->high = pow(10, ceil(log10(most)));
    }
    return any && frame->series->end > 0;
}

static void put_grid_line(const struct frame *frame, double value)
{
    double y = y_of(frame, value);
    fprintf(frame->out,
            "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
            "text-anchor=\"end\">%g%s</text>\n",
            LEFT, y, RIGHT, LEFT - 8, y + 4, value, frame->chart->unit);
}

static void put_value_axis(const struct frame *frame)
{
    if (frame->logarithmic) {
        fprintf(frame->out, "<text class=\"phase\" x=\"%d\" y=\"%.1f\">log</text>\n", RIGHT + 6,
                frame->top + 4);
        double value = frame->low;
        int decades = (int)lround(log10(frame->high / frame->low));
        int step = 1 + decades / 6;
        for (int i = 0; i <= decades; i += step, value *= pow(10, step))
            put_grid_line(frame, value);
        return;
    }
    int count = frame->bottom - frame->top < 60 ? 1 : frame->bottom - frame->top < 100 ? 2 : 4;
    double step = nice_step(frame->high, count);
    for (int i = 0; i * step <= frame->high * 1.0001; i++)
        put_grid_line(frame, i * step);
}

static void put_time_axis(const struct frame *frame)
{
    double end = frame->series->end, step = nice_step(end, 10);
    for (int i = 0; i * step <= end; i++)
        fprintf(frame->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g s</text>\n",
                x_of(frame, i * step), frame->bottom + 17, i * step);
}

/* ---- when the fault was live ---- */

static void put_fault_window(const struct frame *frame)
{
    const struct ce_html_series *series = frame->series;
    double x = x_of(frame, series->fault_begin);
    if (isnan(x))
        return;
    fprintf(frame->out,
            "<rect class=\"window\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", x,
            frame->top, fmax(1, x_of(frame, series->fault_end) - x), frame->bottom - frame->top);
}

/* Above the chart, when there is room before `end` and after the name before it. */
static void put_phase_name(const struct frame *frame, const char *name, double x, double end,
                           double *free_from)
{
    double needed = LETTER * (double)strlen(name);
    if (x + needed > end || x < *free_from)
        return;
    fprintf(frame->out, "<text class=\"phase\" x=\"%.1f\" y=\"%.1f\">", x, frame->top - 6);
    ce_html_text(frame->out, name);
    fputs("</text>\n", frame->out);
    *free_from = x + needed;
}

/* A mark where each phase begins. */
static void put_phases(const struct frame *frame)
{
    const struct ce_html_series *series = frame->series;
    double free_from = LEFT;
    for (size_t i = 0; i < series->phase_count; i++) {
        double x = x_of(frame, series->phases[i].begin);
        double next =
            i + 1 < series->phase_count ? x_of(frame, series->phases[i + 1].begin) : WIDTH;
        if (i > 0)
            fprintf(frame->out, "<path class=\"mark\" d=\"M%.1f %.1fV%.1f\"/>\n", x, frame->top,
                    frame->bottom);
        if (frame->chart->names_phases)
            put_phase_name(frame, series->phases[i].name, x + 4, next, &free_from);
    }
}

/* ---- values ---- */

/* Beyond that many seconds without a value a line is interrupted. */
static double longest_gap(const struct frame *frame, const double *values)
{
    const struct ce_html_series *series = frame->series;
    size_t known = 0;
    for (size_t i = 0; i < series->count; i++)
        known += !isnan(values[i]);
    return isnan(series->width) ? INFINITY
                                : fmax(5 * series->width, 4 * series->end / (double)(known + 1));
}

static void put_line(const struct frame *frame, size_t k, const double *values)
{
    const double *at = frame->series->columns[CE_SERIES_AT];
    double gap = longest_gap(frame, values), last = NAN;
    fprintf(frame->out, "<path class=\"line line%zu\" d=\"", k + 1);
    for (size_t i = 0; i < frame->series->count; i++) {
        if (isnan(values[i]) || isnan(at[i]))
            continue;
        fprintf(frame->out, "%c%.1f %.1f", at[i] - last <= gap ? 'L' : 'M', x_of(frame, at[i]),
                y_of(frame, values[i]));
        last = at[i];
    }
    fputs("\"/>\n", frame->out);
}

/* Each a line of no length with round ends. */
static void put_dots(const struct frame *frame, const double *values)
{
    const double *at = frame->series->columns[CE_SERIES_AT];
    fputs("<path class=\"dots\" d=\"", frame->out);
    for (size_t i = 0; i < frame->series->count; i++)
        if (!isnan(values[i]) && !isnan(at[i]))
            fprintf(frame->out, "M%.1f %.1fh0", x_of(frame, at[i]), y_of(frame, values[i]));
    fputs("\"/>\n", frame->out);
}

/* The mean of five neighbours, those of another phase left out: a change is as sharp as it was. */
static void smooth(const struct ce_html_series *series, const double *values, double *ret_smooth)
{
    enum { REACH = 2 };
    const double *at = series->columns[CE_SERIES_AT];
    for (size_t i = 0; i < series->count; i++) {
        size_t phase = ce_html_series_phase_at(series, at[i]), count = 0;
        double sum = 0;
        for (size_t j = i < REACH ? 0 : i - REACH; j < series->count && j <= i + REACH; j++) {
            if (isnan(values[j]) || ce_html_series_phase_at(series, at[j]) != phase)
                continue;
            sum += values[j];
            count++;
        }
        ret_smooth[i] = isnan(values[i]) ? NAN : sum / (double)count;
    }
}

static int put_trend(const struct frame *frame, const double *values)
{
    ce_autofree double *smoothed = calloc(frame->series->count, sizeof *smoothed);
    if (!smoothed)
        return -ENOMEM;
    smooth(frame->series, values, smoothed);
    put_dots(frame, values);
    put_line(frame, 0, smoothed);
    return 0;
}

/* Until when item `i` lasts: a slot its width, a trial until the next one. */
static double end_of(const struct ce_html_series *series, size_t i)
{
    const double *at = series->columns[CE_SERIES_AT];
    if (!isnan(series->width))
        return at[i] + series->width;
    return i + 1 < series->count && at[i + 1] > at[i] ? at[i + 1] : series->end;
}

/* What is more than nothing is seen, however little it is. */
static void put_bars(const struct frame *frame, const double *values)
{
    enum { LEAST = 2 };
    const double *at = frame->series->columns[CE_SERIES_AT];
    fputs("<path class=\"bars\" d=\"", frame->out);
    for (size_t i = 0; i < frame->series->count; i++) {
        if (!(values[i] > 0) || isnan(at[i]))
            continue;
        double y = fmin(y_of(frame, values[i]), frame->bottom - LEAST);
        fprintf(frame->out, "M%.1f %.1fV%.1fH%.1fV%.1fz", x_of(frame, at[i]), frame->bottom, y,
                x_of(frame, fmin(end_of(frame->series, i), frame->series->end)), frame->bottom);
    }
    fputs("\"/>\n", frame->out);
}

static void put_steps(const struct frame *frame, const double *values)
{
    const double *at = frame->series->columns[CE_SERIES_AT];
    double last = 0;
    fprintf(frame->out, "<path class=\"steps\" d=\"M%d %.1f", LEFT, frame->bottom);
    for (size_t i = 0; i < frame->series->count; i++) {
        if (isnan(values[i]) || isnan(at[i]) || values[i] == last)
            continue;
        fprintf(frame->out, "H%.1fV%.1f", x_of(frame, at[i]), y_of(frame, values[i]));
        last = values[i];
    }
    fprintf(frame->out, "H%.1fV%.1fz\"/>\n", x_of(frame, frame->series->end), frame->bottom);
}

/* Beside the end of each line, none upon another. */
static void put_names(const struct frame *frame)
{
    double taken = -INFINITY;
    for (size_t k = 0; k < frame->chart->line_count; k++) {
        const struct ce_chart_line *line = &frame->chart->lines[k];
        size_t last = frame->series->count;
        while (last > 0 && isnan(line->values[last - 1]))
            last--;
        if (!line->name || last == 0)
            continue;
        double y = y_of(frame, line->values[last - 1]) + 4;
        if (fabs(y - taken) < LABEL_GAP)
            y = taken - LABEL_GAP;
        taken = y;
        fprintf(frame->out, "<text class=\"name\" x=\"%d\" y=\"%.1f\">%s</text>\n", RIGHT + 6, y,
                line->name);
    }
}

static int put_values(const struct frame *frame)
{
    const struct ce_chart *chart = frame->chart;
    switch (chart->form) {
    case CE_CHART_LINES:
        for (size_t k = 0; k < chart->line_count; k++)
            put_line(frame, k, chart->lines[k].values);
        put_names(frame);
        return 0;
    case CE_CHART_TREND:
        return put_trend(frame, chart->lines[0].values);
    case CE_CHART_BARS:
        put_bars(frame, chart->lines[0].values);
        return 0;
    case CE_CHART_STEPS:
        put_steps(frame, chart->lines[0].values);
        return 0;
    }
    return 0;
}

int ce_chart_write(FILE *out, const struct ce_chart *chart, const struct ce_html_series *series,
                   size_t run, const char *of)
{
    struct frame frame = {out, chart, series, .top = chart->names_phases ? 22 : 8,
                          .bottom = chart->height - BELOW};
    if (!find_range(&frame))
        return 0;
    fprintf(out,
            "<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-labelledby=\"r%zu-%s-t r%zu-%s-d\">"
            "<title id=\"r%zu-%s-t\">%s of ",
            WIDTH, chart->height, run, chart->key, run, chart->key, run, chart->key, chart->title);
    ce_html_text(out, of);
    fprintf(out, "</title><desc id=\"r%zu-%s-d\">", run, chart->key);
    ce_html_text(out, chart->description);
    fputs("</desc>\n", out);
    put_fault_window(&frame);
    put_value_axis(&frame);
    put_time_axis(&frame);
    put_phases(&frame);
    int r = put_values(&frame);
    fputs("</svg>\n", out);
    return r;
}
