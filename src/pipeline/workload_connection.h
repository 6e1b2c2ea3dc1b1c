/* SPDX-License-Identifier: MIT */
/* A persistent connection of the workload, over HTTP/1.1 or, for gRPC, HTTP/2: one request at a
 * time, never blocking. For workload.c only. */
#ifndef CE_PIPELINE_WORKLOAD_CONNECTION_H
#define CE_PIPELINE_WORKLOAD_CONNECTION_H

#include <sys/queue.h>

#include "net/endpoint.h"
#include "net/http1.h"
#include "proxy/h2/caller.h"

struct ce_bytes {
    char *data;
    size_t size, capacity;
};

struct ce_connection {
    TAILQ_ENTRY(ce_connection) link; /* the workload's: idle, busy or closed */
    void *owner;   /* the workload's: whom the request belongs to, NULL while idle */
    int epoll, fd; /* fd is -1 once closed */
    bool connecting;
    bool writing; /* epoll tells when the socket takes more */
    bool write_failed;
    bool answering; /* at least one byte of the answer has come */
    bool ended;     /* by the server, in order: no reset */
    bool head_done;
    bool keep_alive;   /* as the answer says */
    uint64_t requests; /* begun on this connection */
    size_t sent;
    struct ce_grpc_caller *grpc; /* NULL: HTTP/1.1 */
    struct ce_bytes out;         /* HTTP/1.1: the request */
    struct ce_bytes head;        /* the answer's head as far as it has come */
    struct ce_bytes payload;     /* the answer's body, decoded */
    struct ce_http_body body;
    int status;
    /* Of the answer; "" when absent, or longer than anything that makes sense there. */
    char content_type[128], json_length[24];
};

/* Starts to connect, and registers with `epoll`; the event's data.ptr is the connection. */
int ce_connection_open(const struct ce_endpoint *endpoint, int epoll, bool grpc,
                       struct ce_connection **ret_connection, struct ce_error *err);
/* Closes the socket; the memory stays until ce_connection_free(), so that an event already fetched
 * finds it. */
void ce_connection_close(struct ce_connection *connection);
void ce_connection_free(struct ce_connection *connection); /* NULL is fine */

/* A POST, or a gRPC call with that message. */
struct ce_connection_request {
    const char *path, *host, *content_type;
    const char *id; /* for X-Request-Id */
    const char *body;
    size_t body_size;
};
/* Begins a request, which is copied. 0, or a negative errno. */
int ce_connection_request(struct ce_connection *connection,
                          const struct ce_connection_request *request);
/* After an event: goes on. 1: the answer is complete (status, of gRPC the HTTP status that its own
 * stands for, and payload), 0: more must come, or a
 * negative errno: -ECONNREFUSED, -ECONNRESET (closed too early), -EPROTO (no HTTP, or too large).
 */
int ce_connection_step(struct ce_connection *connection);

/* After an event while nothing was asked. Negative: it is of no more use. */
int ce_connection_rest(struct ce_connection *connection);

/* After a complete answer: whether another request may follow. */
bool ce_connection_reusable(const struct ce_connection *connection);
/* After a failure: whether the server had closed this connection before the request reached it, as
 * it may at any time while a connection is idle. A reset is an answer to the request. */
bool ce_connection_was_stale(const struct ce_connection *connection, int failure);

#endif
