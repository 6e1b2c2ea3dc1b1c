/* SPDX-License-Identifier: MIT */
/* What the registry and the formats share. */
#ifndef CE_OBSERVERS_METRICS_INTERNAL_H
#define CE_OBSERVERS_METRICS_INTERNAL_H

#include "observers/metrics.h"

enum ce_metric_type {
    CE_METRIC_GAUGE = 0,
    CE_METRIC_HISTOGRAM,
    CE_METRIC_INFO, /* a gauge that is always 1; its name ends in _info */
};

struct ce_metric_family {
    const char *name;
    enum ce_metric_type type;
    const char *unit; /* "" when it has none; else the name ends in it */
    const char *help; /* never changed: a Pushgateway compares it among groups */
};
extern const struct ce_metric_family ce_metric_families[];
extern const size_t ce_metric_family_count;

struct ce_metric_sample {
    size_t family;
    char *experiment;   /* whose it is; NULL: the host's */
    const char *suffix; /* of the name: "", "_bucket", "_sum", "_count" */
    char *labels;       /* as they are written, without the braces; "": none */
    double value;       /* finite */
};

struct ce_metric_set {
    struct ce_metric_sample *samples; /* those of a family in their order, families mixed */
    size_t count, capacity;
};

/* A label's value as it stands between quotes. NULL: no memory. Free with free(). */
char *ce_metric_escape(const char *value);
/* The shortest text that is read back as the same number; as "le" wants it: "1.0". */
#define CE_METRIC_NUMBER_SIZE 32
void ce_metric_number(double value, char text[CE_METRIC_NUMBER_SIZE]);

#endif
