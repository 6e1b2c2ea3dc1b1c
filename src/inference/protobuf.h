/* SPDX-License-Identifier: MIT */
/* Protocol Buffers on the wire, without a schema: walks the fields of a message as spans of its
 * bytes, and replaces spans so that the lengths of all that encloses them stay right.
 *
 * A message is a row of fields. A field is a tag (number * 8 + wire type, a varint) and a value: a
 * varint, 4 or 8 bytes, or a length (a varint) with so many bytes behind it, which may be a message
 * again. Groups, which proto3 does not have, are refused. */
#ifndef CE_INFERENCE_PROTOBUF_H
#define CE_INFERENCE_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum ce_pb_wire {
    CE_PB_VARINT = 0,
    CE_PB_FIXED64 = 1,
    CE_PB_BYTES = 2,
    CE_PB_FIXED32 = 5,
};

struct ce_pb_reader {
    const char *at, *end;
};
static inline struct ce_pb_reader ce_pb_reader_of(struct ce_slice bytes)
{
    const char *end = bytes.size > 0 ? bytes.data + bytes.size : bytes.data;
    return (struct ce_pb_reader){bytes.data, end};
}

struct ce_pb_field {
    uint64_t number;
    enum ce_pb_wire wire;
    const char *tag;       /* where it begins */
    const char *length;    /* of CE_PB_BYTES: where its length stands */
    struct ce_slice value; /* of a varint its bytes; of CE_PB_BYTES those behind the length */
};
/* 1: the next field; 0: the end; -EINVAL: this is no message. */
int ce_pb_next(struct ce_pb_reader *reader, struct ce_pb_field *ret_field);

#define CE_PB_VARINT_SIZE 10 /* at most */
/* Steps over a varint. false: none stands there, or it does not fit 64 bits. */
bool ce_pb_varint_read(struct ce_pb_reader *reader, uint64_t *ret_number);
/* Its size. */
size_t ce_pb_varint_write(char ret_bytes[CE_PB_VARINT_SIZE], uint64_t number);

/* Bytes behind their length. In the order in which they begin, so outer ones come first. */
struct ce_pb_frame {
    const char *length;    /* where the length stands, up to body.data */
    struct ce_slice body;  /* what it counts */
    size_t outer;          /* the frame around it; CE_PB_NO_FRAME: none */
    bool is_little_endian; /* the length is 4 bytes, as in a tensor of strings, not a varint */
};
#define CE_PB_NO_FRAME SIZE_MAX

struct ce_pb_patch {
    struct ce_slice old; /* in the message; empty: an insertion before old.data */
    struct ce_slice new;
    size_t frame; /* the innermost one around it. Frames that lie within `old` go with it. */
};

/* The message with the patches made, which are in order and do not overlap; all other bytes as they
 * were, but for the lengths of frames that grew or shrank. 0, -ENOMEM, or -ERANGE: a length does
 * not fit its 4 bytes. Free with free(). */
int ce_pb_patch(struct ce_slice message, const struct ce_pb_frame *frames, size_t frame_count,
                const struct ce_pb_patch *patches, size_t patch_count, char **ret_message,
                size_t *ret_size);

#endif
