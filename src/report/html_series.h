/* SPDX-License-Identifier: MIT */
/* What a run measured over time, read from its record for charts. A record may come from a file, so
 * nothing is taken on trust: what is no number is a gap. */
#ifndef CE_REPORT_HTML_SERIES_H
#define CE_REPORT_HTML_SERIES_H

#include <stddef.h>

#include "observers/record.h"

enum ce_series_column {
    CE_SERIES_AT = 0, /* seconds since the baseline began */
    CE_SERIES_OPERATIONS,
    CE_SERIES_ERRORS,
    CE_SERIES_ACCURACY,
    CE_SERIES_P50,
    CE_SERIES_P99,
    CE_SERIES_INTENSITY,
    CE_SERIES_COLUMN_COUNT_,
};

enum { CE_HTML_PHASES_MAX = 8 };

struct ce_html_phase {
    const char *name; /* borrowed from the record */
    double begin, end;
};

struct ce_html_series {
    size_t count;
    double width;                             /* of a slot; NaN: each item is a trial */
    double end;                               /* of the last slot or phase */
    double *columns[CE_SERIES_COLUMN_COUNT_]; /* `count` of each; NaN: not measured */
    struct ce_html_phase phases[CE_HTML_PHASES_MAX];
    size_t phase_count;
    /* While any of the fault was there; both NaN: never. */
    double fault_begin, fault_end;
};

/* 1; 0: the record has no series; or -ENOMEM. */
int ce_html_series_read(const struct ce_record *record, struct ce_html_series *ret_series);
void ce_html_series_done(struct ce_html_series *series);
/* In which phase that was; `phase_count`: in none. */
size_t ce_html_series_phase_at(const struct ce_html_series *series, double at);

#endif
