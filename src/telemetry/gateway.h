/* SPDX-License-Identifier: MIT */
/* A Pushgateway: where it is, what groups are called there, and one call to it.
 *
 * A group is what is replaced as one. Its key is the job and the experiment, and never the run:
 * groups stay for ever, and each new key would be one more. */
#ifndef CE_TELEMETRY_GATEWAY_H
#define CE_TELEMETRY_GATEWAY_H

#include "net/url.h"

#define CE_PUSH_JOB "chaos_eater" /* unless the document says another */

enum ce_gateway_kind {
    CE_GATEWAY_METRICS = 0, /* a Pushgateway */
    CE_GATEWAY_JSON,        /* a collector of OpenTelemetry, or Grafana: takes each document once */
};

struct ce_gateway {
    enum ce_gateway_kind kind;
    struct ce_url url;
    char *shown;         /* the URL without what logs in */
    char *authorization; /* headers, each line ends in CRLF; NULL: nobody logs in */
};

/* "http://host:9091/prefix", "https://user:password@host": -EINVAL says what is wrong, without the
 * password. Looks nothing up. */
int ce_gateway_parse(const char *text, struct ce_gateway *ret_gateway, struct ce_error *err);
/* Whether it is such an URL. */
int ce_gateway_check(const char *text, struct ce_error *err);
void ce_gateway_done(struct ce_gateway *gateway); /* a zeroed one is fine */

/* The path of a group behind the URL's; `experiment` NULL: the one of the job alone. Free with
 * free(). NULL: no memory. */
char *ce_gateway_group(const char *job, const char *experiment);

/* Replaces the group by what `text` says (format 0.0.4), or deletes it (NULL). Of the other kind
 * `group` is a path and, behind a #, what tells documents for it apart, and `text` is sent there.
 * 0; -EREMOTEIO: it answered, but did not take it; -EBADMSG: nor would it ever; else what kept the
 * call from an answer. */
int ce_gateway_put(const struct ce_gateway *gateway, const char *group, const char *text,
                   int64_t timeout_ns, struct ce_error *err);

#endif
