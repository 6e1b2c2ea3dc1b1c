/* SPDX-License-Identifier: MIT */
/* What the files of this room share: the document itself and the tables of its keys. */
#ifndef CE_EXPERIMENT_DOCUMENT_INTERNAL_H
#define CE_EXPERIMENT_DOCUMENT_INTERNAL_H

#include "experiment/document.h"
#include "experiment/node.h"

#define CE_DOCUMENT_SIZE_MAX ((size_t)16 << 20)
#define CE_NAME_MAX          200 /* bytes of an experiment's name */

/* The document's own keys; what else it may have are sections. */
struct ce_document_keys {
    int64_t seed, parallel;
    int order; /* enum ce_order */
    bool fail_fast;
};
enum ce_order {
    CE_ORDER_DOCUMENT = 0,
    CE_ORDER_RANDOM,
};

struct ce_document {
    char *name;   /* what messages call it */
    char *folder; /* that it lies in; NULL: this process's */
    struct ce_node *root;
    char **origins; /* "--set duration=3s": nodes borrow these */
    size_t origin_count;
    struct ce_names only, skip; /* selectors */
    /* After validation: */
    bool validated;
    struct ce_document_keys keys;
    struct ce_schedule schedule;
    struct ce_experiment *experiments;
    size_t experiment_count;
    struct ce_pipeline_spec pipeline;
    struct ce_prometheus_keys prometheus;
    struct ce_opentelemetry_keys opentelemetry;
    struct ce_grafana_keys grafana;
    struct ce_names notices;
};
CE_DEFINE_CLEANUP(struct ce_document, ce_document_free);

extern const struct ce_param ce_document_params[]; /* of ce_document_keys */
extern const struct ce_param ce_prometheus_params[], ce_opentelemetry_params[], ce_grafana_params[];

/* The keys of an experiment; `parameters` and `target` are sections. The struct is ce_experiment.
 */
extern const struct ce_param ce_experiment_params[];

/* The fault that an unchecked experiment names; NULL when it names none that exists. */
const struct ce_fault *ce_experiment_fault(const struct ce_node *experiment);

/* Makes one escape of the two halves of a character; `ret_text` has room for `size` + 1 bytes, and
 * the result is its length. */
size_t ce_surrogates_join(const char *text, size_t size, char *ret_text);

/* What a mapping may hold, and how messages speak of it. */
struct ce_map_rules {
    const char *noun;  /* of a key: "key", "parameter" */
    const char *owner; /* "pipeline", "slow_inference"; NULL when the place says enough */
    const struct ce_param *table;
    const char *const *sections; /* further keys, looked at elsewhere; NULL: none */
};
extern const struct ce_map_rules ce_document_rules, ce_experiment_rules, ce_pipeline_rules,
    ce_prometheus_rules, ce_opentelemetry_rules, ce_grafana_rules, ce_target_rules;

/* Fails with "unknown key 'profil' of pipeline; did you mean 'profile'? (accepted: kind, profile)".
 */
int ce_fail_unknown(struct ce_error *err, const struct ce_position *place,
                    const struct ce_map_rules *rules, const char *key);

/* Keeps one more notice. */
int ce_document_note(struct ce_document *doc, struct ce_error *err, const char *fmt, ...)
    CE_PRINTF(3, 4);

/* Fails unless the node is a mapping, or nothing. */
int ce_map_check(const struct ce_node *node, struct ce_error *err);
/* Whether the mapping has a value under that key. */
bool ce_map_has(const struct ce_node *map, const char *key);
/* Fills `obj`: the defaults, then every key of `map` that is no section. A `map` that is NULL or
 * null has no keys; `at` is where a missing one is reported. */
int ce_map_read(const struct ce_node *map, const struct ce_position *at,
                const struct ce_map_rules *rules, void *obj, struct ce_error *err);
/* One value of it. */
int ce_map_value(const struct ce_param *param, const struct ce_node *node, void *obj,
                 struct ce_error *err);
/* The key `schedule` of a mapping; untouched when there is none. */
int ce_map_read_schedule(const struct ce_node *map, struct ce_schedule *ret_schedule,
                         struct ce_error *err);
json_t *ce_schedule_schema(void);
/* The keys `steady_state` and `stop_when` of an experiment. */
int ce_document_read_steady(const struct ce_document *doc, const struct ce_node *map,
                            struct ce_experiment *experiment, struct ce_error *err);
void ce_experiment_steady_done(struct ce_experiment *experiment);
/* Whether the pipeline under test has the metrics that the experiments ask for. */
int ce_document_check_metrics(struct ce_document *doc, struct ce_error *err);
/* The key `rollback` of an experiment, and whether it suits the pipeline. */
int ce_document_read_rollback(const struct ce_node *map, struct ce_experiment *experiment,
                              struct ce_error *err);
int ce_document_check_rollback(const struct ce_document *doc, struct ce_error *err);
json_t *ce_rollback_schema(void);
/* The key `blast_radius` of an experiment, whose fault, parameters and target are known; and
 * whether it suits the pipeline. */
int ce_document_read_blast(const struct ce_node *map, struct ce_experiment *experiment,
                           struct ce_error *err);
int ce_document_check_blast(const struct ce_document *doc, struct ce_error *err);
json_t *ce_blast_schema(void);
json_t *ce_steady_state_schema(void);
json_t *ce_stop_when_schema(void);
/* The sections that name who is told of runs. */
int ce_document_read_gateways(struct ce_document *doc, struct ce_error *err);
void ce_document_gateways_done(struct ce_document *doc);
/* A path that the file names is relative to the file; one from the command line is not. */
int ce_document_resolve(const struct ce_document *doc, const struct ce_position *place, char **path,
                        struct ce_error *err);

/* The experiments as far as they can be told before validation; none when there is no such list. */
size_t ce_document_items(const struct ce_document *doc, struct ce_node *const **ret_items);
/* Says of every experiment whether it is left out; fails when all are. */
int ce_document_select(struct ce_document *doc, struct ce_error *err);
/* Whether what the experiments depend on exists, and goes round in no circle. */
int ce_document_check_dependencies(const struct ce_document *doc, struct ce_error *err);

/* No experiment lasts longer than CHAOSEATER_MAX_DURATION, if it is set. */
int ce_document_cap_durations(struct ce_document *doc, struct ce_error *err);

/* The text of the document of `chaoseater demo`. */
extern const char ce_demo_document[];

#endif
