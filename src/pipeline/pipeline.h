/* SPDX-License-Identifier: MIT */
/* The pipeline under test. Embedded for now: a small but real ML pipeline of ChaosEater's own.
 *
 *   workload --> [requests route] --> gateway --> [model route] --> model server
 *   supervisor, trainer: CSV -> impute -> standardise -> train -> evaluate
 *
 * The two routes belong to the fault proxy. Gateway, server, supervisor and trainer are processes
 * of their own, in their own user, network, mount and pid namespaces where the host allows it, else
 * plainly on loopback.
 *
 * naive: no validation, no retry, a crashed server stays down. hardened: input validation and
 * imputation, retries with timeouts, a fallback model, a supervisor that restarts a crashed or
 * hanging server. */
#ifndef CE_PIPELINE_PIPELINE_H
#define CE_PIPELINE_PIPELINE_H

#include "base/identity.h"
#include "journal/journal.h"
#include "params/params.h"
#include "pipeline/workload.h"
#include "proxy/proxy.h"

enum ce_profile_kind {
    CE_PROFILE_NAIVE = 0,
    CE_PROFILE_HARDENED,
};
const char *ce_profile_kind_name(enum ce_profile_kind kind);

/* The document's `pipeline:` mapping. */
struct ce_pipeline_spec {
    int kind;        /* CE_PIPELINE_EMBEDDED */
    int profile;     /* enum ce_profile_kind */
    double rate;     /* operations per second of the workload */
    int64_t timeout; /* of one operation */
    int64_t rows;    /* of the generated dataset */
    int64_t dataset_seed;
};
enum { CE_PIPELINE_EMBEDDED = 0 };
extern const struct ce_param ce_pipeline_params[];

struct ce_pipeline;

/* Generates the dataset, starts the processes, trains, and adds both routes to the proxy. Returns
 * when it serves. Everything it makes is noted in the journal first: processes, and nothing outside
 * `run_folder`. Started again from the same seed it serves the same predictions. */
int ce_pipeline_start(const struct ce_pipeline_spec *spec, const char *run_folder,
                      struct ce_journal *journal, struct ce_proxy *proxy,
                      struct ce_pipeline **ret_pipeline, struct ce_error *err);
/* Ends all its processes and settles its notes. To be called after the workload has ended and
 * before the proxy is stopped, whose routes are closed here: they use the pipeline's sockets. NULL
 * is fine. */
void ce_pipeline_stop(struct ce_pipeline *pipeline);

const char *ce_pipeline_dataset(const struct ce_pipeline *pipeline);
const char *ce_pipeline_label(const struct ce_pipeline *pipeline);
struct ce_route *ce_pipeline_request_route(const struct ce_pipeline *pipeline);
struct ce_route *ce_pipeline_model_route(const struct ce_pipeline *pipeline);
/* "user, network, mount and pid namespaces" or "plain processes: ..." */
const char *ce_pipeline_isolation(const struct ce_pipeline *pipeline);
/* The labelled operations that the workload drives: rows held out from training. Borrowed. */
const struct ce_operations *ce_pipeline_operations(const struct ce_pipeline *pipeline);

/* See struct ce_target for these. `pipeline` is a struct ce_pipeline. */
int ce_pipeline_reload(void *pipeline, struct ce_error *err);
int ce_pipeline_trained_on(void *pipeline, char ret_hex[65], struct ce_error *err);
int ce_pipeline_serving_process(void *pipeline, struct ce_process_id *ret_id, struct ce_error *err);
int ce_pipeline_ensure_serving(void *pipeline, struct ce_error *err);
int ce_pipeline_sample_request(void *pipeline, uint64_t row, const char **ret_path, char **ret_body,
                               size_t *ret_size, struct ce_error *err);

/* Which isolation this host offers to this user, for `doctor`: true when namespaces work; `reason`
 * says what and why. */
bool ce_pipeline_isolation_available(char *reason, size_t size);

#endif
