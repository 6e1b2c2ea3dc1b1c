/* SPDX-License-Identifier: MIT */
/* The HTTP server that model server and gateway share, on loopback, over libmicrohttpd. */
#ifndef CE_PIPELINE_EMBEDDED_WEB_H
#define CE_PIPELINE_EMBEDDED_WEB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct ce_web_request {
    const char *method, *path; /* the path without its query */
    const char *id;            /* X-Request-Id, or NULL */
    const char *time;          /* X-Request-Time, or NULL (freshness.h) */
    const char *body;
    size_t size;
    void *connection; /* what `opened` returned for this connection */
};
struct ce_web_answer {
    int status;
    char *body; /* malloc'ed, taken; NULL: out of memory, or an empty answer */
    size_t size;
    bool retry_later; /* adds Retry-After: 1 */
};

struct ce_web_handler {
    /* One thread runs everything, or each connection has its own and may block. */
    bool thread_per_connection;
    void (*handle)(void *ctx, const struct ce_web_request *request, struct ce_web_answer *answer);
    /* Both may be NULL. */
    void *(*opened)(void *ctx);
    void (*closed)(void *ctx, void *connection);
};

struct ce_web;
/* Serves until the process ends. `port` 0: any; *ret_port is the real one. -EADDRINUSE when it is
 * taken. */
int ce_web_start(int port, const struct ce_web_handler *handler, void *ctx, int *ret_port,
                 struct ce_error *err);

/* Takes a text (NULL: no memory, then the answer is an empty 500). */
void ce_web_reply(struct ce_web_answer *answer, int status, char *text);

#endif
