/* SPDX-License-Identifier: MIT */
/* The pipeline under test: the front that the controller uses, whatever kind it is.
 *
 * embedded (src/pipeline/embedded): a small but real ML pipeline of ChaosEater's own.
 *
 *   workload --> [requests route] --> gateway --> [model route] --> model server
 *   supervisor, trainer: CSV -> impute -> standardise -> train -> evaluate
 *
 * Gateway, server, supervisor and trainer are processes of their own, in their own user, network,
 * mount and pid namespaces where the host allows it, else plainly on loopback. naive: no
 * validation, no retry, a crashed server stays down. hardened: input validation and imputation,
 * retries with timeouts, a fallback model, a supervisor that restarts a crashed or hanging server.
 *
 * http (src/pipeline/http): a model server of the user's, asked about the rows of a labelled
 * dataset. There is one route, for requests and predictions alike.
 *
 *   workload --> [route] --> model server
 *
 * command (src/pipeline/command): a batch job of the user's, run as trials. There is no route.
 *
 *   workload --> launcher --> trial, again and again
 *
 * The routes belong to the fault proxy. */
#ifndef CE_PIPELINE_PIPELINE_H
#define CE_PIPELINE_PIPELINE_H

#include <signal.h>

#include "base/identity.h"
#include "journal/journal.h"
#include "pipeline/spec.h"
#include "pipeline/workload.h"
#include "proxy/proxy.h"

struct ce_pipeline;
struct ce_subject; /* host/subject.h */

/* Where a pipeline runs. */
struct ce_pipeline_site {
    const char *run_folder; /* private to the run, noted for removal; outlives the pipeline */
    struct ce_journal *journal;
    struct ce_proxy *proxy;
    const volatile sig_atomic_t *signal; /* becomes non-zero: starting gives up; may be NULL */
    unsigned helpers; /* CE_HELPER_ bits: what the serving process loads; the helpers can be reached
                         in the run's folder */
};

/* What can be looked at before anything runs: for http the dataset, its label, and whether requests
 * can be made of it; for command the dataset and the workdir. *ret_key: the key at fault, NULL when
 * it is none; only on failure. */
int ce_pipeline_check(const struct ce_pipeline_spec *spec, const char **ret_key,
                      struct ce_error *err);
/* How long ce_pipeline_start() may take at most, ns. */
int64_t ce_pipeline_patience(const struct ce_pipeline_spec *spec);
/* embedded: generates the dataset, starts the processes, trains. http: reads the dataset, starts
 * the server if it is to, finds out what it speaks, and understands one prediction. Both add their
 * routes to the proxy. command: copies the dataset, and runs nothing yet. Returns when it serves.
 * Everything that is made is noted in the journal first: processes, and nothing outside the run's
 * folder. The spec is borrowed until it is stopped, the site until this returns. -ECANCELED: the
 * signal came. */
int ce_pipeline_start(const struct ce_pipeline_spec *spec, const struct ce_pipeline_site *site,
                      struct ce_pipeline **ret_pipeline, struct ce_error *err);
/* Ends all its processes and settles its notes. To be called after the workload has ended and
 * before the proxy is stopped, whose routes are closed here: they use the pipeline's sockets. NULL
 * is fine. */
void ce_pipeline_stop(struct ce_pipeline *pipeline);

/* What it is called in messages: "embedded pipeline", "model server at http://127.0.0.1:8080". */
const char *ce_pipeline_name(const struct ce_pipeline *pipeline);
/* A table with the columns that requests are made of; for embedded it is what the model is trained
 * on, for command what the trials read. NULL: there is none. */
const char *ce_pipeline_dataset(const struct ce_pipeline *pipeline);
const char *ce_pipeline_label(const struct ce_pipeline *pipeline);
struct ce_route *ce_pipeline_request_route(const struct ce_pipeline *pipeline);
struct ce_route *ce_pipeline_model_route(const struct ce_pipeline *pipeline);
/* "user, network, mount and pid namespaces" or "plain processes: ..." */
const char *ce_pipeline_isolation(const struct ce_pipeline *pipeline);
/* What the server speaks, and where the predictions are (json; else NULL). */
const struct ce_protocol *ce_pipeline_protocol(const struct ce_pipeline *pipeline);
const char *ce_pipeline_locator(const struct ce_pipeline *pipeline);
/* The trials that the workload runs; NULL: it drives the labelled operations. Both are borrowed. */
const struct ce_trials *ce_pipeline_trials(const struct ce_pipeline *pipeline);
const struct ce_operations *ce_pipeline_operations(const struct ce_pipeline *pipeline);

/* What this pipeline can do for a fault; NULL: it cannot. The first argument is the pipeline. See
 * struct ce_target for what each means. */
struct ce_pipeline_acts {
    int (*reload)(void *pipeline, struct ce_error *err);
    int (*trained_on)(void *pipeline, char ret_hex[65], struct ce_error *err);
    int (*serving_process)(void *pipeline, struct ce_process_id *ret_id, struct ce_error *err);
    int (*ensure_serving)(void *pipeline, struct ce_error *err);
    int (*locate)(void *pipeline, const char *service, struct ce_subject *ret_subject,
                  struct ce_error *err);
    int (*fail_trials)(void *pipeline, bool (*fails)(void *ctx, const char *trial), void *ctx);
    int (*try_trial)(void *pipeline, const char *name, struct ce_error *err);
};
const struct ce_pipeline_acts *ce_pipeline_acts(const struct ce_pipeline *pipeline);
/* The operation of that row, round and round: body (to be freed) and path (borrowed). */
int ce_pipeline_sample_request(void *pipeline, uint64_t row, const char **ret_path, char **ret_body,
                               size_t *ret_size, struct ce_error *err);

/* Which isolation this host offers the embedded pipeline of this user, for `doctor`: true when
 * namespaces work; `reason` says what and why. */
bool ce_pipeline_isolation_available(char *reason, size_t size);

#endif
