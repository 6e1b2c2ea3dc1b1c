/* SPDX-License-Identifier: MIT */
/* What runs say of themselves in numbers, as Prometheus reads them.
 *
 * There is one registry: the families with their types, units and help, in metrics.c. A set holds
 * samples of them: of each experiment what it does now and how its last run ended, and what is to
 * be said of the host. What was not measured is absent. metrics_text.c writes a set down. */
#ifndef CE_OBSERVERS_METRICS_H
#define CE_OBSERVERS_METRICS_H

#include <stdio.h>

#include "observers/record.h"

/* ---- a set ---- */

struct ce_metric_set;
struct ce_metric_set *ce_metric_set_new(void);          /* NULL: out of memory */
void ce_metric_set_free(struct ce_metric_set *metrics); /* NULL is fine */

/* What an experiment does now. */
struct ce_metric_live {
    const char *experiment, *layer, *fault;
    enum {
        CE_METRIC_RUNNING = 0,
        CE_METRIC_PENDING, /* it has not begun; the rest is of no matter then */
        CE_METRIC_LOST,    /* it began, and nobody leads it any more; likewise */
    } state;
    double intensity;     /* of the fault, 0..1 */
    int guard;            /* whether a guard watches: 1 or 0; -1: there is none to be yet */
    const json_t *sample; /* as of ce_sample_json(); NULL: the last one stays */
};

/* What the host has to say. */
struct ce_metric_host {
    size_t live;   /* entries of the journal that are to be undone yet */
    size_t failed; /* of these: whose run has ended */
    bool stopped;  /* the lever is engaged */
};

/* Each replaces what the set had of it, a record all that it had of the experiment. 0 or -ENOMEM;
 * of what is live: 1 when that is news. */
int ce_metric_add_live(struct ce_metric_set *metrics, const struct ce_metric_live *live);
int ce_metric_add_record(struct ce_metric_set *metrics, const struct ce_record *record);
int ce_metric_add_host(struct ce_metric_set *metrics, const struct ce_metric_host *host);
/* Which version it is that speaks. */
int ce_metric_add_build(struct ce_metric_set *metrics);

/* ---- the formats ---- */

enum ce_metric_format {
    CE_METRIC_TEXT = 0, /* Prometheus text 0.0.4 */
    CE_METRIC_OPEN,     /* OpenMetrics 1.0 */
};
const char *ce_metric_content_type(enum ce_metric_format format);
/* Which one a client with that field "Accept" would rather have; an empty field: text. */
enum ce_metric_format ce_metric_accepted(const char *accept, size_t size);
/* 0 or a negative errno. */
int ce_metric_write(const struct ce_metric_set *metrics, enum ce_metric_format format, FILE *out,
                    struct ce_error *err);
/* The same as a text; free it with free(). NULL: no memory. */
char *ce_metric_text(const struct ce_metric_set *metrics, enum ce_metric_format format);

/* ---- OTLP ---- */

/* The set as OTLP's "metrics", measured between these two times. New reference. */
json_t *ce_metric_otlp(const struct ce_metric_set *metrics, int64_t since, int64_t at);
/* {"key", "value": {"stringValue"}}, and a time as OTLP writes it. New references. */
json_t *ce_otlp_attribute(const char *key, const char *value);
json_t *ce_otlp_time(int64_t wall);

#endif
