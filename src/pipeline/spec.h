/* SPDX-License-Identifier: MIT */
/* The document's `pipeline:` mapping: its keys, and which kind of pipeline each belongs to. */
#ifndef CE_PIPELINE_SPEC_H
#define CE_PIPELINE_SPEC_H

#include "params/params.h"

enum {
    CE_PIPELINE_EMBEDDED = 0,
    CE_PIPELINE_HTTP,
    CE_PIPELINE_COMMAND,
    CE_PIPELINE_KINDS_,
};
const char *ce_pipeline_kind_name(int kind);

enum ce_profile_kind {
    CE_PROFILE_NAIVE = 0,
    CE_PROFILE_HARDENED,
};
const char *ce_profile_kind_name(enum ce_profile_kind kind);

enum {
    CE_SPEAKS_AUTO = 0, /* to be found out */
    CE_SPEAKS_OIP,
    CE_SPEAKS_OIP_GRPC,
    CE_SPEAKS_KSERVE_V1,
    CE_SPEAKS_MLFLOW,
    CE_SPEAKS_TORCHSERVE,
    CE_SPEAKS_JSON,
};
/* The name of a protocol of src/inference. */
const char *ce_pipeline_speaks_name(int protocol);

enum {
    CE_TASK_CLASSIFICATION = 0,
    CE_TASK_REGRESSION,
};

enum {
    CE_ISOLATE_AUTO = 0,
    CE_ISOLATE_NAMESPACES,
    CE_ISOLATE_NONE,
};
enum {
    CE_NETWORK_SHARED = 0,
    CE_NETWORK_PRIVATE,
};

struct ce_pipeline_spec {
    int kind;
    double rate;     /* operations per second of the workload */
    int64_t timeout; /* of one operation, or one trial */

    /* embedded */
    int profile;  /* enum ce_profile_kind */
    int64_t rows; /* of the generated dataset */
    int64_t dataset_seed;
    int64_t inference_time; /* processor time, ns */

    /* http */
    char *url;
    char *ca;              /* NULL: the system's */
    int protocol;          /* CE_SPEAKS_ */
    char *model, *version; /* NULL: none */
    char *dataset, *label;
    int task;
    double threshold, tolerance;
    struct ce_names labels;
    char *request, *prediction; /* template; path to the prediction */
    char *health;               /* NULL: none */
    int64_t start_timeout;

    /* http and command (which has dataset and label, too) */
    struct ce_names command; /* one: for sh -c; more: program and arguments; none: not started */
    char *workdir;
    struct ce_names env;
    int isolation; /* CE_ISOLATE_ */

    /* command */
    char *metrics;  /* a file, or "stdout"; NULL: as stdout, if `accuracy` is asked for */
    char *accuracy; /* which of the metrics; NULL: none */
    int64_t trials;
    int network; /* CE_NETWORK_ */
};
extern const struct ce_param ce_pipeline_params[];

/* Defaults that depend on the kind, for keys that were not given. */
void ce_pipeline_keys_settle(struct ce_pipeline_spec *spec,
                             bool (*is_given)(void *ctx, const char *key), void *ctx);
/* Whether the keys that were given fit the kind and each other, and say what they should: keys of
 * another kind are refused, required ones must be there. Looks at nothing but the spec. *ret_key:
 * the key at fault, NULL when it is none that was given; only on failure. */
int ce_pipeline_keys_check(const struct ce_pipeline_spec *spec,
                           bool (*is_given)(void *ctx, const char *key), void *ctx,
                           const char **ret_key, struct ce_error *err);
/* The words of its command, to be read: on one line, and cut when they are many. To be freed; NULL:
 * no memory. */
char *ce_pipeline_command_text(const struct ce_pipeline_spec *spec);
/* The table's JSON Schema with these rules. NULL: no memory. */
json_t *ce_pipeline_schema(void);

#endif
