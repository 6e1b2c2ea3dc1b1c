/* SPDX-License-Identifier: MIT */
/* What the files of the text report share. All that can fail returns 0 or -ENOMEM. */
#ifndef CE_REPORT_TEXT_INTERNAL_H
#define CE_REPORT_TEXT_INTERNAL_H

#include "report/report.h"
#include "report/table.h"

enum { CE_LABEL_SIZE = 256 };

/* NULL is as good as "". */
bool ce_same_text(const char *a, const char *b);
/* Whether any run was on a pipeline, so that there is something measured to be told. */
bool ce_any_pipeline(const struct ce_report *report);
/* "spikes", or "spikes #2" when it was repeated. */
void ce_label_name(const struct ce_record *record, char name[CE_LABEL_SIZE]);
/* "spikes (slow_inference)", or just the name when the experiment is called like its fault. */
void ce_label_title(const struct ce_record *record, char title[CE_LABEL_SIZE]);

/* A blank line and a heading, unless *begun; sets it. */
void ce_write_section(FILE *out, const char *heading, bool color, bool *begun);
/* One paragraph about a run. */
int ce_write_about(FILE *out, const struct ce_record *record, const char *word,
                   const char *sentence);

/* The sections in files of their own. */
int ce_write_runs_table(const struct ce_report *report, FILE *out, bool color);
int ce_write_scores(const struct ce_report *report, FILE *out, bool color);
int ce_write_latencies(const struct ce_report *report, FILE *out, bool color);
int ce_write_custom_metrics(const struct ce_report *report, FILE *out, bool color);
void ce_write_means(const struct ce_report *report, FILE *out);

#endif
