/* SPDX-License-Identifier: MIT */
/* The two halves of an Open Inference Protocol message over REST: JSON, and behind it the raw
 * tensors of the binary extension. */
#ifndef CE_INFERENCE_OIP_H
#define CE_INFERENCE_OIP_H

#include "inference/json_spans.h"
#include "inference/protocol.h"

/* A tensor as the JSON describes it. */
struct ce_oip_tensor {
    struct ce_slice name, type;
    uint32_t shape, data, binary_size; /* where these stand in the JSON; 0: they do not */
    size_t dimensions;
    size_t leading;  /* the first of them; without a shape 0 */
    size_t width;    /* values per row: the product of the others, at least 1 */
    bool is_empty;   /* the shape says that there are no values */
    size_t raw_size; /* what binary_size says */
};

/* A tensor behind the JSON. */
struct ce_oip_raw {
    struct ce_oip_tensor tensor;
    struct ce_slice binary_size; /* the digits */
    struct ce_slice bytes;
    size_t ordinal;
};
/* ce_values.frames of a message that has such tensors. */
struct ce_oip_frames {
    size_t json_size, count;
    struct ce_oip_raw raws[];
};

/* The values of the tensor's bytes. */
int ce_oip_raw_read(const struct ce_oip_raw *raw, struct ce_values *values, struct ce_error *err);
int ce_oip_apply(const struct ce_message *message, const struct ce_values *values,
                 const struct ce_edit *edits, size_t count, struct ce_remade *ret,
                 struct ce_error *err);
/* Takes the last row out of the tensor's bytes. */
int ce_oip_raw_shorten(const struct ce_oip_raw *raw, const struct ce_message *message,
                       const struct ce_values *values, struct ce_patches *patches,
                       struct ce_error *err);

#endif
