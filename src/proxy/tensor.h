/* SPDX-License-Identifier: MIT */
/* Finds the values in an inference message, as byte spans of its JSON, so that a fault edits only
 * those digits.
 *
 * Open Inference Protocol v2: inputs[i].data[j] of a request, outputs[i].data[j] of a response
 * (flat or nested). */
#ifndef CE_PROXY_TENSOR_H
#define CE_PROXY_TENSOR_H

#include <stddef.h>

#include "proxy/http1.h"

struct ce_tensor_value {
    struct ce_slice tensor; /* the tensor's name, as spelled in the JSON, without quotes */
    struct ce_slice type;   /* "FP64", "INT64", "BYTES", ... */
    struct ce_slice text;   /* its bytes: a number, a quoted string, true, false or null */
    size_t index;           /* position in its tensor, row-major */
    size_t ordinal;         /* which tensor of the message, from 0 */
    size_t width; /* values per row of its tensor, by its shape: 1 for [n] and [n,1], k for [n,k] */
};

struct ce_tensor_values {
    struct ce_tensor_value *values; /* in the order of the message */
    size_t count;
    size_t without_data; /* tensors that have no "data" member: their values are not in the JSON
                            (binary extension) */
};

/* `member` is "inputs" or "outputs". 0; -ENOENT when the message has no such member; -EINVAL when
 * it is no JSON or not of that shape. Slices point into `json`. Free with ce_tensor_values_done().
 */
int ce_tensor_find(const char *json, size_t size, const char *member, struct ce_tensor_values *ret,
                   struct ce_error *err);
void ce_tensor_values_done(struct ce_tensor_values *values);

/* A replacement of one span. */
struct ce_edit {
    struct ce_slice span; /* in the original message; edits are ordered and do not overlap */
    char text[64];        /* the new bytes */
};
/* The message with the edits made; all other bytes as they were. NULL: out of memory. Free with
 * free(). */
char *ce_tensor_apply(const char *json, size_t size, const struct ce_edit *edits, size_t count,
                      size_t *ret_size);

#endif
