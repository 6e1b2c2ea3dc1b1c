/* SPDX-License-Identifier: MIT */
/* The parts of the HTML report: one file that says all about a suite, without a script and without
 * anything to load. html.c writes the page, html_run.c the section of a run, html_details.c what it
 * holds besides its charts, html_chart.c the charts. */
#ifndef CE_REPORT_HTML_H
#define CE_REPORT_HTML_H

#include <stdio.h>

#include "report/html_series.h"
#include "report/words.h"

/* ---- html_text.c ---- */

void ce_html_text(FILE *out, const char *text); /* NULL: nothing */
/* A number with so many digits after the point; a dash when it was not measured. */
void ce_html_number(FILE *out, double value, int digits);
/* All its digits, as the JSON report has them. */
void ce_html_exact(FILE *out, double value);
/* A value of the document's: a number, a text, or its JSON. */
void ce_html_value(FILE *out, const json_t *value);
/* To the second; 0: a dash. */
void ce_html_time(FILE *out, int64_t wall);
/* How a run ended: a sign and a word. */
void ce_html_badge(FILE *out, const struct ce_record *record);
/* "<tag>text</tag>" */
void ce_html_element(FILE *out, const char *tag, const char *text);
/* A term and what is said of it, in a list of such. */
void ce_html_fact(FILE *out, const char *term, const char *text);
/* Around a table that may be wider than the page: it scrolls, with the keyboard, too. */
void ce_html_scroll_begin(FILE *out, const char *label);
void ce_html_scroll_end(FILE *out);

/* ---- html_chart.c ---- */

enum ce_chart_form {
    CE_CHART_LINES, /* joined where neighbours are known */
    CE_CHART_TREND, /* each value a dot, and their mean over five of one phase a line */
    CE_CHART_BARS,
    CE_CHART_STEPS, /* filled */
};
struct ce_chart {
    enum ce_chart_form form;
    const char *key;   /* "latency": part of the ids */
    const char *title; /* "Latency" */
    const char *unit;  /* after the numbers of the axis: " ms", "%" */
    double top;        /* of the axis; NaN: as high as the values are */
    double height;
    bool names_phases; /* above the chart */
    struct ce_chart_line {
        const char *name; /* at its end; NULL: none */
        const double *values;
    } lines[2];
    size_t line_count;
    const char *description; /* for who does not see it */
};
/* SVG, for run number `run` of the page; nothing when there is no value. 0 or -ENOMEM. */
int ce_chart_write(FILE *out, const struct ce_chart *chart, const struct ce_html_series *series,
                   size_t run, const char *of);

/* ---- html_details.c: a part of a run's section each ---- */

void ce_html_proof(FILE *out, const struct ce_record *record);
void ce_html_hypothesis(FILE *out, const struct ce_record *record);
void ce_html_rollback(FILE *out, const struct ce_record *record);
void ce_html_phases(FILE *out, const struct ce_record *record);
int ce_html_recipe(FILE *out, const struct ce_record *record); /* 0 or -ENOMEM */

/* ---- html_earlier.c ---- */

/* How the experiment did before: `earlier` is [{"id", "started_at", "resilience_score",
 * "verdict"}], the oldest first; NULL, or an empty list: nothing is written. */
void ce_html_earlier(FILE *out, const json_t *earlier, const struct ce_record *record, size_t run);

/* ---- html_run.c ---- */

/* The section of a run, number `run` of the page. 0 or -ENOMEM. */
int ce_html_run(FILE *out, const struct ce_record *record, const json_t *earlier, size_t run);

#endif
