/* SPDX-License-Identifier: MIT */
/* What a fault acts on. The controller fills this in from the pipeline under test; a fault knows no
 * pipeline. */
#ifndef CE_FAULTS_TARGET_H
#define CE_FAULTS_TARGET_H

#include "base/identity.h"
#include "proxy/proxy.h"

struct ce_hits;     /* faults/hits.h */
struct ce_protocol; /* inference/inference.h */
struct ce_subject;  /* host/subject.h */

struct ce_target {
    const char *name;       /* for messages: "embedded pipeline (naive)" */
    const char *run_folder; /* private to this run, already noted for removal; faults keep their
                               files here */

    const char *dataset; /* CSV that the pipeline trains on; NULL when it has none */
    const char *label;   /* the dataset's label column: faults leave it alone unless it is named */

    struct ce_route *request_route; /* workload -> pipeline; NULL when there is none */
    struct ce_route *model_route;   /* pipeline -> model server */
    const struct ce_protocol
        *protocol;           /* that both speak; NULL: told by the path of each request */
    const char *locator;     /* of protocol json: path to the predictions; NULL for others */
    const char *sample_type; /* Content-Type of sample requests; NULL: application/json */
    const char *sample_host; /* Host of sample requests; NULL: the address that is connected to */
    struct ce_hits *hits;    /* where hits are noted; NULL: nowhere */
    const char *run;         /* id of the run, for them; NULL: there is none */

    /* What infrastructure faults act on, as it is now: what `target:` names, else the pipeline, of
     * which `service` says which part ("server", "gateway"; NULL: what serves predictions, -ENOENT:
     * it has no such part). What `ret_subject` has is checked against the fault's needs before it
     * is injected. NULL: there is nothing. */
    int (*locate)(void *located, const char *service, struct ce_subject *ret_subject,
                  struct ce_error *err);
    void *located;    /* first argument of locate() */
    bool is_explicit; /* the document's `target:` named it */

    void *pipeline; /* first argument of the functions below; a NULL function means that it cannot
                       be done */
    /* Makes the pipeline take in its dataset again: validate, train, put the new model into
     * service. Returns when it serves. */
    int (*reload)(void *pipeline, struct ce_error *err);
    /* The sha256 of the dataset that the model now in service was trained on, as the pipeline
     * itself reports it. */
    int (*trained_on)(void *pipeline, char ret_hex[65], struct ce_error *err);
    /* The process that serves predictions, as it is now. -ESRCH when there is none. */
    int (*serving_process)(void *pipeline, struct ce_process_id *ret_id, struct ce_error *err);
    /* Starts the serving process again if nothing else has; returns when it serves. -ESRCH: the
     * pipeline as a whole has gone. */
    int (*ensure_serving)(void *pipeline, struct ce_error *err);
    /* A batch job, which is run as trials. From now on a trial of which `fails` says so, by its name
     * ("f-2"), is killed at its start; NULL: none is. It is called on another thread. */
    int (*fail_trials)(void *pipeline, bool (*fails)(void *ctx, const char *trial), void *ctx);
    /* Runs a trial of that name now, while no other runs, that nothing counts. 0, or how it failed.
     */
    int (*try_trial)(void *pipeline, const char *name, struct ce_error *err);
    /* One inference request for row `row` of the dataset as sent on that route: body (malloc'ed)
     * and path (borrowed). */
    int (*sample_request)(void *pipeline, uint64_t row, const char **ret_path, char **ret_body,
                          size_t *ret_size, struct ce_error *err);
};

#endif
