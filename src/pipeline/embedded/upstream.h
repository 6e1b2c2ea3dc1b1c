/* SPDX-License-Identifier: MIT */
/* The gateway's way to the model server: a persistent connection, over libcurl. One caller at a
 * time. */
#ifndef CE_PIPELINE_EMBEDDED_UPSTREAM_H
#define CE_PIPELINE_EMBEDDED_UPSTREAM_H

#include <stddef.h>

struct ce_upstream;
struct ce_upstream *ce_upstream_open(int port);       /* NULL: out of memory */
void ce_upstream_close(struct ce_upstream *upstream); /* NULL is fine */

struct ce_upstream_call {
    const char *address; /* of the model server; another one means another connection */
    const char *method, *path;
    const char *id; /* the client's X-Request-Id, or NULL */
    int attempt;    /* from 1; sent along as "ID.ATTEMPT" */
    const char *body;
    size_t size;
    int timeout_ms; /* for everything, from connecting to the last byte */
};
struct ce_upstream_answer {
    int status;
    char *body; /* malloc'ed; may be NULL when empty */
    size_t size;
};
/* One attempt, never more. 0; -ETIMEDOUT; -ECONNREFUSED or -ECONNRESET when there was no connection
 * or no whole answer. */
int ce_upstream_call(struct ce_upstream *upstream, const struct ce_upstream_call *call,
                     struct ce_upstream_answer *ret_answer);

#endif
