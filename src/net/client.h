/* SPDX-License-Identifier: MIT */
/* One HTTP/1.1 call on a connection of its own, blocking with a deadline: what probes and health
 * checks need. */
#ifndef CE_NET_CLIENT_H
#define CE_NET_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "net/endpoint.h"

struct ce_http_call {
    const char *method; /* "GET", "POST" */
    const char *path;
    const char *host;    /* the Host field's value; NULL: the endpoint's address */
    const char *headers; /* extra lines, each ending in CRLF, or NULL */
    const char *body;
    size_t body_size;
    int64_t timeout_ns; /* for the whole call */
    bool keep_head;     /* the answer's is wanted */
};

struct ce_http_answer {
    int status;
    char
        *head; /* the status line and the fields as they came, NUL-terminated; NULL unless asked for
                */
    char *body; /* NUL-terminated; free both with ce_http_answer_done() */
    size_t body_size;
    int64_t first_byte_ns, total_ns; /* since the call began */
};

/* 0, or a negative errno: -ECONNREFUSED, -ECONNRESET, -ETIMEDOUT, -EPROTO, ... */
int ce_http_call(const struct ce_endpoint *endpoint, const struct ce_http_call *call,
                 struct ce_http_answer *ret_answer, struct ce_error *err);
void ce_http_answer_done(struct ce_http_answer *answer);

#endif
