/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 framing: strict, incremental, without copies. Used by the proxy, by its client and by
 * the workload.
 *
 * Strict: what two parsers could read differently is refused (both Content-Length and
 * Transfer-Encoding, several lengths, a body with CONNECT, blanks before the colon, bare CR,
 * obs-fold, in trailers as well, control characters, lengths that overflow). */
#ifndef CE_NET_HTTP1_H
#define CE_NET_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

#define CE_HTTP_HEAD_MAX   (64 * 1024)
#define CE_HTTP_FIELDS_MAX 128

struct ce_http_field {
    struct ce_slice name, value; /* value without surrounding blanks */
};

enum ce_http_framing {
    CE_HTTP_NO_BODY = 0,
    CE_HTTP_LENGTH,
    CE_HTTP_CHUNKED,
    CE_HTTP_UNTIL_CLOSE, /* responses only */
};

struct ce_http_head {
    size_t size;                    /* bytes of the head, the empty line included */
    struct ce_slice method, target; /* requests */
    int status;                     /* responses */
    int minor;                      /* 0 or 1 of HTTP/1.x */
    struct ce_http_field fields[CE_HTTP_FIELDS_MAX];
    size_t field_count;
    enum ce_http_framing framing;
    uint64_t length; /* CE_HTTP_LENGTH */
    bool keep_alive;
    bool expect_continue;
    bool upgrade; /* Connection names it */
};

/* Parses a head. Returns 1 when it is complete, 0 when more bytes are needed, -EPROTO (the error
 * says why) when it is malformed, -EMSGSIZE when it is too large. Slices point into `data`. For a
 * response, `to_head_request` says that it has no body whatever its fields say. */
int ce_http_parse_request(const char *data, size_t size, struct ce_http_head *ret,
                          struct ce_error *err);
int ce_http_parse_response(const char *data, size_t size, bool to_head_request,
                           struct ce_http_head *ret, struct ce_error *err);
/* Case-insensitive; the first field of that name, or NULL. */
const struct ce_http_field *ce_http_find(const struct ce_http_head *head, const char *name);
/* Case-insensitive equality: names of fields, tokens such as "close". */
bool ce_http_is(struct ce_slice slice, const char *text);
/* Takes the next token off a comma-separated list; false at its end. */
bool ce_http_token_next(struct ce_slice *list, struct ce_slice *ret_token);

/* Walks a body: feed it bytes, get payload pieces. Start with ce_http_body_start(). */
struct ce_http_body {
    enum ce_http_framing framing;
    uint64_t left; /* of the length, or of the current chunk */
    int state;
    bool done;
};
void ce_http_body_start(struct ce_http_body *body, const struct ce_http_head *head);
/* Consumes up to `size` bytes. *ret_used: framing and payload consumed; *ret_payload: the payload
 * piece among them (may be empty, while used > 0). Call until `done` or everything is used. 0 or
 * -EPROTO. */
int ce_http_body_feed(struct ce_http_body *body, const char *data, size_t size, size_t *ret_used,
                      struct ce_slice *ret_payload, struct ce_error *err);

#endif
