/* SPDX-License-Identifier: MIT */
/* The experiment document: YAML in, validated experiments out. Every message has file:line:column.
 */
#ifndef CE_EXPERIMENT_DOCUMENT_H
#define CE_EXPERIMENT_DOCUMENT_H

#include "base/hash.h"
#include "chaoseater.h"
#include "experiment/node.h"
#include "faults/fault.h"
#include "pipeline/pipeline.h"
#include "probe/probe.h"
#include "rollback/rollback.h"
#include "schedule/schedule.h"
#include "target/target.h"

/* The run is stopped once what the probe expects has not held for so long. */
struct ce_stop {
    struct ce_probe_spec probe;
    int64_t hold; /* ns */
};

/* How far a fault may reach. */
enum ce_blast_unit {
    CE_BLAST_FITTING = 0, /* what the fault has; settled by validation */
    CE_BLAST_REQUESTS,
    CE_BLAST_ROWS,
    CE_BLAST_PROCESSES,
};
enum ce_blast_mode {
    CE_BLAST_ONE = 0,
    CE_BLAST_ALL,
    CE_BLAST_FIXED,
    CE_BLAST_PERCENT,
    CE_BLAST_RANDOM_MAX_PERCENT,
};
struct ce_blast_spec {
    bool given;
    int of, mode; /* enum ce_blast_unit, enum ce_blast_mode */
    double value; /* of fixed: how many; of the last two: percent */
};
const char *ce_blast_unit_name(int unit);
const char *ce_blast_mode_name(int mode);

struct ce_experiment {
    char *name;
    int layer;        /* enum ce_layer */
    char *fault_type; /* as written; `fault` has it resolved */
    const struct ce_fault *fault;
    void *params;           /* the fault's parameter struct */
    int64_t duration;       /* ns */
    int64_t asked_duration; /* ns; what the document says, where CHAOSEATER_MAX_DURATION is less;
                               else 0 */
    int strategy;           /* enum ce_strategy; the same as in `rollback` */
    struct ce_rollback_spec rollback;
    bool has_seed;
    int64_t seed;
    int64_t baseline; /* ns; length of the baseline phase */
    int64_t recovery_timeout;
    int64_t repeat;
    struct ce_names tags;
    struct ce_target_spec target;
    struct ce_blast_spec blast;
    struct ce_probe_spec *probes; /* the hypothesis of a steady state */
    size_t probe_count;
    struct ce_stop *stops;
    size_t stop_count;
    struct ce_names depends_on;  /* names of experiments */
    struct ce_schedule schedule; /* its own; without one its `text` is NULL */
    bool left_out;               /* by --only or --skip */
};

/* Where metrics are pushed to. */
/* Whom to tell of runs; texts are NULL where the section is not there. */
struct ce_opentelemetry_keys {
    char *endpoint;    /* of a collector, OTLP over HTTP; NULL: there is none */
    char *headers_env; /* the environment variable that has headers: "name=value,..." */
    char *service_name;
};
struct ce_grafana_keys {
    char *url;       /* NULL: no annotations */
    char *token_env; /* the environment variable that has the token */
    char *dashboard; /* its uid; "": annotations are for all */
};
struct ce_prometheus_keys {
    char *pushgateway_url; /* NULL or "": nowhere */
    char *job_name;
};

/* What it was parsed into, before any of it is validated. */
const struct ce_node *ce_document_root(const struct ce_document *doc);
/* Read access for those who run it; after ce_document_validate(). */
const struct ce_experiment *ce_document_experiment(const struct ce_document *doc,
                                                   size_t i); /* NULL past the last */
/* Whether the document states a seed, and which. */
bool ce_document_seed(const struct ce_document *doc, uint64_t *ret_seed);
/* How many experiments may run at once, and whether one that did not pass ends the suite. */
unsigned ce_document_parallel(const struct ce_document *doc);
bool ce_document_fail_fast(const struct ce_document *doc);
/* The order in which they are started, unless they depend on each other: indices, as many as there
 * are experiments. Of a random order it is the seed's. */
void ce_document_order(const struct ce_document *doc, uint64_t seed, size_t *ret_order);
/* Whether `later` names `earlier` in its depends_on. */
bool ce_document_depends(const struct ce_document *doc, size_t later, size_t earlier);
/* By which the same document is recognised: of all that it says, options included. */
int ce_document_digest(const struct ce_document *doc, char ret_hex[CE_SHA256_HEX],
                       struct ce_error *err);
/* The document as YAML that can be run, with what was set since it was loaded. NULL: no memory.
 * Free with free(). */
char *ce_document_text(const struct ce_document *doc);
/* When the experiments run that have no schedule of their own; NULL: the document says nothing. */
const struct ce_schedule *ce_document_schedule(const struct ce_document *doc);
/* Adds the place of an experiment's schedule, or of the document's (NULL), to an error; returns
 * `r`. */
int ce_document_place_schedule(const struct ce_document *doc, const char *experiment, int r,
                               struct ce_error *err);
const struct ce_prometheus_keys *ce_document_prometheus(const struct ce_document *doc);
const struct ce_opentelemetry_keys *ce_document_opentelemetry(const struct ce_document *doc);
const struct ce_grafana_keys *ce_document_grafana(const struct ce_document *doc);
const struct ce_pipeline_spec *ce_document_pipeline(const struct ce_document *doc);
/* ce_pipeline_check() with the place of what is wrong: looks at the files that the pipeline's keys
 * name, which validation does not. */
int ce_document_check_pipeline(const struct ce_document *doc, struct ce_error *err);

#endif
