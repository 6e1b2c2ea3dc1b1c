/* SPDX-License-Identifier: MIT */
/* Reports of a suite: text for people, JSON for programs, and what CI systems read. */
#ifndef CE_REPORT_REPORT_H
#define CE_REPORT_REPORT_H

#include <stdio.h>

#include "base/error.h"
#include "observers/record.h"

/* What a gate found. */
struct ce_report_gate {
    bool passed;
    double min_score;
    const char *on;   /* "each", "layer" or "mean" */
    json_t *baseline; /* what it was compared with, as the documented JSON; NULL: with nothing */
    json_t *failures; /* [sentence]: why it did not pass */
    json_t *remarks;  /* [sentence]: what there is to say besides */
};

struct ce_report {
    const struct ce_record *const *records;
    size_t count;
    uint64_t seed;
    const struct ce_report_gate *gate; /* NULL: there is none */
    /* How each run's experiment did before, one for each record: [{"id", "started_at",
     * "resilience_score", "verdict"}], the oldest first. Any may be NULL, and so may the list. */
    const json_t *const *earlier;
};

/* Every format that reports can be written in; NULL when there is none of that name. The list
 * itself is public: ce_report_format_at(). `color` is for people only. */
typedef int ce_report_writer(const struct ce_report *report, FILE *out, bool color,
                             struct ce_error *err);
ce_report_writer *ce_report_find(const char *format);

/* The documented JSON document of run, gate and demo. New reference; NULL: no memory. */
json_t *ce_report_json(const struct ce_report *report);

/* A table (fault, layer, verified, errors, downtime, accuracy lost, recovery, score, verdict; both
 * profiles side by side where both ran), then for each run that was not plainly passed one line
 * that says why, then the mean score. Fits 120 columns. */
ce_report_writer ce_report_write_text;
ce_report_writer ce_report_write_json;
/* A testsuite for each layer, a testcase for each run; the gate is one, too. */
ce_report_writer ce_report_write_junit;
/* Workflow commands: what the runner turns into annotations when it sees them on stdout. */
ce_report_writer ce_report_write_github;
/* A page of at most CE_MARKDOWN_MAX bytes, as GitHub's step summary. */
ce_report_writer ce_report_write_markdown;
ce_report_writer ce_report_write_tap;
/* The columns of the history's view `runs`. */
ce_report_writer ce_report_write_csv;
/* GitLab's code quality report: one finding for each run that did not pass. */
ce_report_writer ce_report_write_gitlab;
/* One page for people that needs no network and no script: scores, charts, proof, recipes. */
ce_report_writer ce_report_write_html;
/* The journal of the Chaos Toolkit; of several runs a list of them. */
ce_report_writer ce_report_write_chaostoolkit;
/* Metrics as the textfile collector of a node exporter reads them. */
ce_report_writer ce_report_write_prometheus;

enum { CE_MARKDOWN_MAX = 1000000 }; /* GitHub drops a summary of more than 1 MiB */

#endif
