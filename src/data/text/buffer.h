/* SPDX-License-Identifier: MIT */
/* Bytes that grow. */
#ifndef CE_DATA_TEXT_BUFFER_H
#define CE_DATA_TEXT_BUFFER_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct ce_buffer {
    char *data;
    size_t size, capacity;
};

/* What ce_buffer_room() does when there is no room yet. False: no memory. */
bool ce_buffer_grow(struct ce_buffer *buffer, size_t more);

/* Room for `more` bytes behind the last one; NULL: no memory, and the buffer is as it was. */
static inline char *ce_buffer_room(struct ce_buffer *buffer, size_t more)
{
    if ((!buffer->data || more > buffer->capacity - buffer->size) && !ce_buffer_grow(buffer, more))
        return NULL;
    return buffer->data + buffer->size;
}

/* False: no memory. */
static inline bool ce_buffer_put(struct ce_buffer *buffer, const void *data, size_t size)
{
    char *room = ce_buffer_room(buffer, size);
    if (!room)
        return false;
    if (size > 0)
        memcpy(room, data, size);
    buffer->size += size;
    return true;
}

static inline void ce_buffer_done(struct ce_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct ce_buffer){0};
}

#endif
