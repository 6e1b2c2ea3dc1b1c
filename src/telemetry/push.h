/* SPDX-License-Identifier: MIT */
/* Pushes what runs say to a Pushgateway, without ever keeping a run waiting.
 *
 * A process of its own does it: no other thread is there when a run forks its guard, and a gateway
 * that hangs hangs nobody else. It gets the newest text of each group, sends a group at most once a
 * second, and keeps in the spool what was not taken. Should this process die, it tells of what ran
 * that it has failed.
 *
 * One thread at a time. */
#ifndef CE_TELEMETRY_PUSH_H
#define CE_TELEMETRY_PUSH_H

#include "observers/metrics.h"

struct ce_push;
/* `gateway` is an URL, `job` the label; `state_dir` has the spool. -EINVAL: the URL is none. */
int ce_push_start(const char *gateway, const char *job, const char *state_dir,
                  struct ce_push **ret_push, struct ce_error *err);
/* The same for documents of JSON, each of which is sent once: to a collector of OpenTelemetry, or a
 * Grafana. `headers`: lines that end in CRLF, or NULL; `what` is sent, for sentences. */
int ce_push_start_json(const char *url, const char *headers, const char *what,
                       const char *state_dir, struct ce_push **ret_push, struct ce_error *err);
/* `run` tells it apart from others of that path. Takes over `text` (NULL: nothing is sent). */
void ce_push_json(struct ce_push *push, const char *path, const char *run, char *text);
/* Sends what is still to be sent, for a short while; the rest is kept. *ret_warning: what there is
 * to say about it, to be freed with free(); untouched when everything was taken. NULL is fine. */
void ce_push_stop(struct ce_push *push, char **ret_warning);

/* What an experiment does now; called again and again, it does nothing unless something changed. */
void ce_push_live(struct ce_push *push, const struct ce_metric_live *live);
/* How it ended. */
void ce_push_record(struct ce_push *push, const struct ce_record *record);
void ce_push_host(struct ce_push *push, const struct ce_metric_host *host);

#endif
