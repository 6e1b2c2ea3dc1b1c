/* SPDX-License-Identifier: MIT */
/* What the parts of the server share.
 *
 * Two threads: the one that called ce_serve_run() listens to suites, and libmicrohttpd's answers
 * requests. What both touch is behind `lock`; the feed has a lock of its own. */
#ifndef CE_WEB_WEB_INTERNAL_H
#define CE_WEB_WEB_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "net/endpoint.h"
#include "web/feed.h"
#include "web/launch.h"
#include "web/scene.h"
#include "web/watch.h"

enum { CE_TOKEN_SIZE = 65 }; /* 64 hexadecimal digits */

struct ce_server {
    const struct ce_serve_options *options;
    char *state_dir;
    char token[CE_TOKEN_SIZE];
    struct ce_endpoint listen;
    char authority[CE_NAME_MAX + 8]; /* that it listens at: "127.0.0.1:8686" */
    bool loopback;                   /* only this host can reach it: reading is free */
    struct ce_metrics *metrics;
    struct ce_feed *feed;
    pthread_mutex_t lock; /* of what follows */
    struct ce_scene *scene;
    struct ce_watch *watch;
    struct ce_launches *launches;
};

/* ---- token.c ---- */

/* The one that is kept in the state folder, or a new one. */
int ce_token_get(const char *state_dir, char ret_token[CE_TOKEN_SIZE], struct ce_error *err);

/* ---- http.c: requests and answers ---- */

struct ce_web_request {
    struct ce_server *web;
    struct MHD_Connection *connection;
    const char *path;
    char parts[3][128]; /* what the path has where its route has {} */
    json_t *body;       /* of a POST: an object; else NULL */
    uint64_t *launch;   /* what it waits for since its handler was called before; 0: nothing */
    bool authorized;
};

struct ce_response {
    int status;                  /* 0: what a handler that succeeds sends is 200 */
    const char *type;            /* NULL: JSON */
    const char *policy;          /* another Content-Security-Policy; NULL: the usual one */
    char *text;                  /* owned; from malloc() */
    const char *fixed;           /* in the place of `text`: a constant */
    struct MHD_Response *stream; /* in the place of both */
    bool waits;                  /* the connection is suspended, and answered once it is resumed */
};

/* Called by libmicrohttpd. */
enum MHD_Result ce_web_on_request(void *web, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state);
void ce_web_on_end(void *web, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode how);

/* A parameter of the query; NULL: it is not there. */
const char *ce_web_request_parameter(const struct ce_web_request *request, const char *name);
/* A header; NULL: it is not there. */
const char *ce_web_request_header(const struct ce_web_request *request, const char *name);
/* The reply is this document; takes the reference. */
int ce_response_json(struct ce_response *reply, json_t *json, struct ce_error *err);

/* ---- api_*.c: a handler fills the reply, or fails; the error's code says with which status ----
 */

typedef int ce_web_handler(const struct ce_web_request *request, struct ce_response *reply,
                           struct ce_error *err);
ce_web_handler ce_api_asset;
ce_web_handler ce_api_health, ce_api_metrics;
ce_web_handler ce_api_status, ce_api_live, ce_api_events;
ce_web_handler ce_api_runs, ce_api_run, ce_api_document, ce_api_report;
ce_web_handler ce_api_compare, ce_api_trends, ce_api_summary;
ce_web_handler ce_api_start, ce_api_abort, ce_api_stop;

#endif
