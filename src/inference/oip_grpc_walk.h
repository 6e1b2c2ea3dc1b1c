/* SPDX-License-Identifier: MIT */
/* Where the tensors of a ModelInfer message and their values stand.
 *
 *     ModelInferRequest    model_name 1, model_version 2, inputs 5, raw_input_contents 7
 *     ModelInferResponse   model_name 1, model_version 2, outputs 5, raw_output_contents 6
 *     tensor               name 1, datatype 2, shape 3, contents 5
 *     contents             bool 1, int32 2, int64 3, uint32 4, uint64 5, fp32 6, fp64 7, bytes 8
 *
 * A tensor's values are either in its contents, typed, or in the raw contents of the message: the
 * i-th belong to the i-th tensor, little-endian, strings behind 4 bytes of length. Fields may come
 * in any order and be split. */
#ifndef CE_INFERENCE_OIP_GRPC_WALK_H
#define CE_INFERENCE_OIP_GRPC_WALK_H

#include "inference/protobuf.h"
#include "inference/protocol.h"

enum {
    CE_GRPC_MODEL_NAME = 1,
    CE_GRPC_MODEL_VERSION = 2,
    CE_GRPC_TENSORS = 5,
    CE_GRPC_RAW_OUTPUTS = 6,
    CE_GRPC_RAW_INPUTS = 7,
};
enum {
    CE_GRPC_TENSOR_NAME = 1,
    CE_GRPC_TENSOR_TYPE = 2,
    CE_GRPC_TENSOR_SHAPE = 3,
    CE_GRPC_TENSOR_CONTENTS = 5,
};
enum { CE_GRPC_CONTENTS_FP64 = 7, CE_GRPC_CONTENTS_BYTES = 8 };

struct ce_grpc_tensor {
    struct ce_slice name, type;
    uint64_t rows;             /* the first dimension */
    struct ce_slice rows_text; /* its varint; empty: the shape has no dimension */
    size_t rows_frame;         /* around that */
    size_t width;              /* product of the other dimensions */
    size_t count;              /* values found */
};

/* What goes when a value goes: itself, and its own tag or length. */
struct ce_grpc_unit {
    struct ce_slice bytes;
    size_t frame;       /* around it */
    size_t value_frame; /* around the value's text */
};

struct ce_grpc_layout {
    struct ce_pb_frame *frames;
    size_t frame_count, frame_capacity;
    struct ce_grpc_unit *units; /* one for each value */
    size_t unit_capacity;
};

struct ce_grpc_walk {
    const struct ce_message *message;
    unsigned raw_field;            /* CE_GRPC_RAW_OUTPUTS or CE_GRPC_RAW_INPUTS */
    struct ce_values *values;      /* empty at first; the caller's, whatever happens */
    struct ce_grpc_layout *layout; /* empty at first; NULL: not wanted */
    struct ce_error *err;

    struct ce_grpc_tensor *tensors; /* found */
    size_t tensor_count;
};

/* Finds the tensors, the values, and the lengths around them. 0; -ENOENT: no tensors; -EINVAL: this
 * is no such message; -ENOMEM. End it with ce_grpc_walk_done(), whatever this returned. */
int ce_grpc_walk_run(struct ce_grpc_walk *walk);
void ce_grpc_walk_done(struct ce_grpc_walk *walk);

#endif
