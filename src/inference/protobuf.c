/* SPDX-License-Identifier: MIT */
/* Varints, fields, and patches: sizes are settled from the innermost frame outwards, then the bytes
 * are copied once, from the first to the last. */
#include "inference/protobuf.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"

bool ce_pb_varint_read(struct ce_pb_reader *reader, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint64_t byte = (unsigned char)*reader->at++;
        if (shift == 63 && byte > 1)
            return false;
        number |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_number = number;
            return true;
        }
    }
    return false;
}

size_t ce_pb_varint_write(char ret_bytes[CE_PB_VARINT_SIZE], uint64_t number)
{
    size_t size = 0;
    for (; number >= 0x80; number >>= 7)
        ret_bytes[size++] = (char)(number | 0x80);
    ret_bytes[size++] = (char)number;
    return size;
}

static bool value_read(struct ce_pb_reader *reader, struct ce_pb_field *field)
{
    uint64_t size, number;
    const char *from = reader->at;
    switch (field->wire) {
    case CE_PB_VARINT:
        if (!ce_pb_varint_read(reader, &number))
            return false;
        field->value = (struct ce_slice){from, (size_t)(reader->at - from)};
        return true;
    case CE_PB_FIXED64:
        size = 8;
        break;
    case CE_PB_FIXED32:
        size = 4;
        break;
    case CE_PB_BYTES:
        field->length = from;
        if (!ce_pb_varint_read(reader, &size))
            return false;
        break;
    default:
        return false;
    }
    if (size > (size_t)(reader->end - reader->at))
        return false;
    field->value = (struct ce_slice){reader->at, (size_t)size};
    reader->at += size;
    return true;
}

int ce_pb_next(struct ce_pb_reader *reader, struct ce_pb_field *ret_field)
{
    if (reader->at == reader->end)
        return 0;
    struct ce_pb_field field = {.tag = reader->at};
    uint64_t tag;
    if (!ce_pb_varint_read(reader, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return -EINVAL;
    field.number = tag >> 3;
    field.wire = (enum ce_pb_wire)(tag & 7);
    if (!value_read(reader, &field))
        return -EINVAL;
    *ret_field = field;
    return 1;
}

/* ---- patches ---- */

/* What becomes of a frame. Sums may pass through "negative" values; unsigned arithmetic is modular,
 * so they come out right. */
struct resized {
    size_t growth; /* of its body */
    size_t length_size;
    char length[CE_PB_VARINT_SIZE];
};

static size_t length_write(const struct ce_pb_frame *frame, size_t size,
                           char ret_bytes[CE_PB_VARINT_SIZE])
{
    if (!frame->is_little_endian)
        return ce_pb_varint_write(ret_bytes, size);
    for (unsigned i = 0; i < 4; i++)
        ret_bytes[i] = (char)(size >> (8 * i));
    return 4;
}

/* The growth of the whole message, and of each frame. */
static int frames_resize(const struct ce_pb_frame *frames, size_t frame_count,
                         const struct ce_pb_patch *patches, size_t patch_count,
                         struct resized *resized, size_t *ret_growth)
{
    size_t growth = 0;
    for (size_t i = 0; i < patch_count; i++) {
        size_t frame = patches[i].frame;
        *(frame == CE_PB_NO_FRAME ? &growth : &resized[frame].growth) +=
            patches[i].new.size - patches[i].old.size;
    }
    for (size_t i = frame_count; i-- > 0;) {
        const struct ce_pb_frame *frame = &frames[i];
        if (resized[i].growth == 0)
            continue;
        size_t size = frame->body.size + resized[i].growth;
        if (frame->is_little_endian && size > UINT32_MAX)
            return -ERANGE;
        resized[i].length_size = length_write(frame, size, resized[i].length);
        *(frame->outer == CE_PB_NO_FRAME ? &growth : &resized[frame->outer].growth) +=
            resized[i].growth + resized[i].length_size - (size_t)(frame->body.data - frame->length);
    }
    *ret_growth = growth;
    return 0;
}

struct copier {
    const char *from; /* what has been copied ends here */
    char *to;
};

static void copy_put(struct copier *copier, const char *bytes, size_t size)
{
    if (size > 0)
        memcpy(copier->to, bytes, size);
    copier->to += size;
}

/* What stands before `old` as it was, then `new` in the place of `old`. */
static void copy_replace(struct copier *copier, struct ce_slice old, struct ce_slice new)
{
    copy_put(copier, copier->from, (size_t)(old.data - copier->from));
    copy_put(copier, new.data, new.size);
    copier->from = old.data + old.size;
}

int ce_pb_patch(struct ce_slice message, const struct ce_pb_frame *frames, size_t frame_count,
                const struct ce_pb_patch *patches, size_t patch_count, char **ret_message,
                size_t *ret_size)
{
    ce_autofree struct resized *resized = calloc(frame_count + 1, sizeof *resized);
    if (!resized)
        return -ENOMEM;
    size_t growth;
    int r = frames_resize(frames, frame_count, patches, patch_count, resized, &growth);
    if (r < 0)
        return r;
    size_t size = message.size + growth;
    char *made = malloc(size > 0 ? size : 1);
    if (!made)
        return -ENOMEM;

    struct copier copier = {.from = message.data, .to = made};
    for (size_t i = 0, patch = 0; i < frame_count || patch < patch_count;) {
        bool frame_is_next =
            i < frame_count && (patch == patch_count || frames[i].length < patches[patch].old.data);
        if (!frame_is_next) {
            copy_replace(&copier, patches[patch].old, patches[patch].new);
            patch++;
            continue;
        }
        const struct ce_pb_frame *frame = &frames[i];
        if (resized[i].growth != 0)
            copy_replace(
                &copier,
                (struct ce_slice){frame->length, (size_t)(frame->body.data - frame->length)},
                (struct ce_slice){resized[i].length, resized[i].length_size});
        i++;
    }
    copy_put(&copier, copier.from, (size_t)(message.data + message.size - copier.from));
    *ret_message = made;
    *ret_size = size;
    return 0;
}
