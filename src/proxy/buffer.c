/* SPDX-License-Identifier: MIT */
#include "proxy/proxy_internal.h"

#include <stdlib.h>
#include <string.h>

/* Less room than this at the end is not worth a read while there is room at the front. */
enum { ROOM_MIN = 4096 };

void ce_blocks_done(struct ce_blocks *blocks)
{
    while (blocks->count > 0)
        free(blocks->blocks[--blocks->count]);
}

static char *block_take(struct ce_blocks *blocks)
{
    return blocks->count > 0 ? blocks->blocks[--blocks->count] : malloc(CE_BLOCK_SIZE);
}

void ce_buffer_done(struct ce_buffer *buffer, struct ce_blocks *blocks)
{
    if (buffer->capacity == CE_BLOCK_SIZE && blocks->count < CE_BLOCKS_KEPT)
        blocks->blocks[blocks->count++] = buffer->data;
    else
        free(buffer->data);
    *buffer = (struct ce_buffer){0};
}

static int grow(struct ce_buffer *buffer, size_t limit)
{
    size_t capacity = buffer->capacity * 2 < limit ? buffer->capacity * 2 : limit;
    char *data = realloc(buffer->data, capacity);
    if (!data)
        return -ENOMEM;
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

size_t ce_buffer_room(struct ce_buffer *buffer, struct ce_blocks *blocks, size_t limit)
{
    if (!buffer->data) {
        buffer->data = block_take(blocks);
        buffer->capacity = buffer->data ? CE_BLOCK_SIZE : 0;
        return buffer->capacity;
    }
    if (buffer->capacity - buffer->end < ROOM_MIN && buffer->start > 0) {
        memmove(buffer->data, ce_buffer_bytes(buffer), ce_buffer_size(buffer));
        buffer->end -= buffer->start;
        buffer->start = 0;
    }
    if (buffer->end == buffer->capacity && buffer->capacity < limit && grow(buffer, limit) < 0)
        return 0;
    return buffer->capacity - buffer->end;
}

int ce_buffer_append(struct ce_buffer *buffer, struct ce_blocks *blocks, const void *data,
                     size_t size)
{
    const char *from = data;
    while (size > 0) {
        size_t room = ce_buffer_room(buffer, blocks, SIZE_MAX / 2);
        if (room == 0)
            return -ENOMEM;
        size_t n = size < room ? size : room;
        memcpy(buffer->data + buffer->end, from, n);
        buffer->end += n;
        from += n;
        size -= n;
    }
    return 0;
}

int ce_buffer_splice(struct ce_buffer *buffer, size_t at, size_t size, const char *data,
                     size_t data_size)
{
    size_t behind = ce_buffer_size(buffer) - at - size;
    while (data_size > size && buffer->capacity - buffer->end < data_size - size) {
        if (buffer->start > 0) { /* the bytes move there */
            memmove(buffer->data, ce_buffer_bytes(buffer), ce_buffer_size(buffer));
            buffer->end -= buffer->start;
            buffer->start = 0;
        } else {
            CE_TRY(grow(buffer, SIZE_MAX / 2));
        }
    }
    char *place = ce_buffer_bytes(buffer) + at;
    memmove(place + data_size, place + size, behind);
    if (data_size > 0)
        memcpy(place, data, data_size);
    buffer->end = buffer->end + data_size - size;
    return 0;
}

void ce_buffer_drop(struct ce_buffer *buffer, struct ce_blocks *blocks, size_t size)
{
    buffer->start += size;
    if (buffer->start == buffer->end && buffer->data)
        ce_buffer_done(buffer, blocks);
}
