/* SPDX-License-Identifier: MIT */
/* What gRPC puts into an HTTP/2 message: the prefix of its messages, its statuses. */
#ifndef CE_PROXY_H2_GRPC_H
#define CE_PROXY_H2_GRPC_H

#include <stdbool.h>

#include "base/slice.h"

enum {
    CE_GRPC_PREFIX =
        5, /* whether it is compressed, and its size in four bytes, the high one first */
    CE_GRPC_OK = 0,
    CE_GRPC_UNKNOWN = 2,
    CE_GRPC_DEADLINE_EXCEEDED = 4,
    CE_GRPC_UNAVAILABLE = 14,
};

/* Whether that is the content type of a gRPC call. */
bool ce_grpc_is(struct ce_slice content_type);

enum ce_grpc_shape {
    CE_GRPC_PART, /* the beginning of one message, or nothing */
    CE_GRPC_ONE,  /* one message */
    CE_GRPC_MORE, /* more than one */
};
/* What stands there. For CE_GRPC_ONE also the message, and whether it is compressed; for
 * CE_GRPC_PART the size that it is going to have with its prefix, as far as that is known. */
struct ce_grpc_look {
    enum ce_grpc_shape shape;
    struct ce_slice message;
    bool compressed;
    size_t whole;
};
struct ce_grpc_look ce_grpc_look(struct ce_slice bytes);
void ce_grpc_prefix(char prefix[CE_GRPC_PREFIX], bool compressed, size_t size);

/* The status that stands for an HTTP status, and the other way round. */
int ce_grpc_status_of(int http_status);
int ce_grpc_http_of(int grpc_status);
/* A number as grpc-status has it; -1: it is none. */
int ce_grpc_parse_status(struct ce_slice text);
/* As it may stand in grpc-message: other bytes than printable ASCII, and "%", as %XX. malloc'ed,
 * NULL: no memory. */
char *ce_grpc_message_encode(struct ce_slice text);
/* The other way round; bytes that are not encoded right stay as they are. */
char *ce_grpc_message_decode(struct ce_slice text);

#endif
