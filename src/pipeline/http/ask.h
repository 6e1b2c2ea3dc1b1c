/* SPDX-License-Identifier: MIT */
/* Asking a server, apart from the workload: whether it is there, what it speaks, what it predicts.
 */
#ifndef CE_PIPELINE_HTTP_ASK_H
#define CE_PIPELINE_HTTP_ASK_H

#include "net/client.h"
#include "pipeline/http/operations.h"

/* Gives the url's endpoint an address that a connection can be made to, and makes one: over TLS, up
 * to the end of the handshake. */
int ce_ask_reachable(struct ce_url *url, int64_t timeout, struct ce_error *err);
/* GET of a path of that host, whatever the url's prefix: the status, or a negative errno.
 * `ret_answer` may be NULL. */
int ce_ask_get(const struct ce_url *url, const char *path, int64_t timeout,
               struct ce_http_answer *ret_answer, struct ce_error *err);
/* Finds out what the server speaks. -ENOENT: it cannot be told, or the model is missing: the error
 * says what to name. */
int ce_ask_protocol(const struct ce_url *url, const char *model, int64_t timeout,
                    const struct ce_protocol **ret_protocol, struct ce_error *err);
/* Sends one of the operations and reads its prediction. -EAGAIN: the server does not answer as it
 * should, and may do so when it is ready; -EINVAL: it answers what cannot be understood. The error
 * says what it answered. */
int ce_ask_prediction(const struct ce_url *url, const struct ce_operations *operations, size_t row,
                      int64_t timeout, struct ce_prediction *ret_prediction, struct ce_error *err);

#endif
