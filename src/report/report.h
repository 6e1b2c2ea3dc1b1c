/* SPDX-License-Identifier: MIT */
/* Reports of a suite: text for people, JSON for programs. */
#ifndef CE_REPORT_REPORT_H
#define CE_REPORT_REPORT_H

#include <stdio.h>

#include "base/error.h"
#include "observers/record.h"

struct ce_report {
    const struct ce_record *const *records;
    size_t count;
    uint64_t seed;
    bool has_gate;
    double gate_min_score;
    bool gate_passed;
};

/* The documented JSON document of run, gate and demo. New reference; NULL: no memory. */
json_t *ce_report_json(const struct ce_report *report);
/* The same, written. */
int ce_report_write_json(const struct ce_report *report, FILE *out, struct ce_error *err);
/* A table (fault, layer, verified, errors, downtime, accuracy lost, recovery, score, verdict; both
 * profiles side by side where both ran), then for each run that was not plainly passed one line
 * that says why, then the mean score. Fits 120 columns. */
int ce_report_write_text(const struct ce_report *report, FILE *out, bool color,
                         struct ce_error *err);

#endif
