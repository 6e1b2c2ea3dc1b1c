/* SPDX-License-Identifier: MIT */
/* Dashboards and alert rules for Grafana and Prometheus: what they ask is what observers/metrics.c
 * says. The public functions return texts; these are the documents behind them.
 *
 * Objects have fixed uids, so that what is made twice is there once. */
#ifndef CE_GRAFANA_GRAFANA_H
#define CE_GRAFANA_GRAFANA_H

#include "base/json.h"
#include "net/url.h"

#define CE_GRAFANA_FOLDER     "ChaosEater"
#define CE_GRAFANA_FOLDER_UID "chaoseater"
#define CE_GRAFANA_UID        "chaoseater-overview" /* of the dashboard */

/* ---- dashboard ---- */

/* Where panels go: from left to right, then down. */
struct ce_grafana_place {
    int x, y, height; /* of the line that is being filled */
    int id;           /* of the panel before */
};
enum { CE_GRAFANA_WIDTH = 24 };
/* "gridPos" of the next panel. */
json_t *ce_grafana_next(struct ce_grafana_place *place, int width, int height);

/* The datasource that the reader of a dashboard picks. */
json_t *ce_grafana_datasource(void);
/* A query with @ in it, where the labels go that the reader has picked. Free with free(). */
char *ce_grafana_query(const char *query);
/* Adds all of them. 0 or -ENOMEM. */
int ce_grafana_add_panels(json_t *panels, struct ce_grafana_place *place);
/* NULL options: the defaults. */
int ce_grafana_make_dashboard(const struct ce_grafana_dashboard_options *options,
                              json_t **ret_dashboard, struct ce_error *err);

/* ---- alert rules ---- */

struct ce_grafana_limits {
    double score, error_rate, recovery;
};
/* NULL options: the defaults. */
int ce_grafana_parse_limits(const struct ce_grafana_alert_options *options,
                            struct ce_grafana_limits *ret_limits, struct ce_error *err);
/* The rules as Grafana's API takes them: an array. NULL: no memory. */
json_t *ce_grafana_make_rules(const struct ce_grafana_limits *limits, const char *datasource,
                              const char *folder);

/* A document of objects, arrays, texts, numbers and truths as YAML. Keys are written as they are.
 * Free with free(). NULL: no memory. */
char *ce_grafana_yaml(const json_t *json);

/* ---- the API ---- */

struct ce_grafana_api {
    struct ce_url url;
    const char *shown; /* the URL, for messages */
    const char *token; /* never for messages */
    char *headers;
};
/* -EINVAL: one of them is none. */
int ce_grafana_open(const char *url, const char *token, struct ce_grafana_api *ret_api,
                    struct ce_error *err);
void ce_grafana_close(struct ce_grafana_api *api); /* a zeroed one is fine */

/* One call, and what its answer says (null, if that is no JSON). Returns the status, if it is one
 * of success or `allowed` (0: none). Else it says so in a sentence, in which `what` was to be done:
 * -EACCES 401 and 403, -ENOENT 404, -EEXIST 409 and 412, -EREMOTEIO the others; or what kept the
 * call from an answer. */
int ce_grafana_call(const struct ce_grafana_api *api, const char *method, const char *path,
                    const json_t *body, int allowed, const char *what, json_t **ret_answer,
                    struct ce_error *err);

#endif
