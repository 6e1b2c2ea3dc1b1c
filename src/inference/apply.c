/* SPDX-License-Identifier: MIT */
/* Remaking messages: every byte that is not patched stays. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "inference/protocol.h"

/* ---- patches ---- */

void ce_patches_done(struct ce_patches *patches)
{
    free(patches->items);
    free(patches->texts);
    *patches = (struct ce_patches){0};
}

static int reserve(struct ce_patches *patches, size_t size, struct ce_error *err)
{
    if (patches->count == patches->capacity) {
        size_t capacity = patches->capacity > 0 ? 2 * patches->capacity : 8;
        struct ce_patch *items = reallocarray(patches->items, capacity, sizeof *items);
        if (!items)
            return ce_fail_memory(err);
        patches->items = items;
        patches->capacity = capacity;
    }
    if (patches->texts_capacity - patches->texts_size < size) {
        size_t capacity = 2 * (patches->texts_size + size) + 64;
        char *texts = realloc(patches->texts, capacity);
        if (!texts)
            return ce_fail_memory(err);
        patches->texts = texts;
        patches->texts_capacity = capacity;
    }
    return 0;
}

int ce_patches_add(struct ce_patches *patches, const struct ce_message *message,
                   struct ce_slice span, struct ce_slice text, struct ce_error *err)
{
    assert(span.data >= message->body && span.data + span.size <= message->body + message->size);
    CE_TRY(reserve(patches, text.size, err));
    patches->items[patches->count++] = (struct ce_patch){
        .at = (size_t)(span.data - message->body),
        .size = span.size,
        .text = patches->texts_size,
        .made = text.size,
    };
    if (text.size > 0)
        memcpy(patches->texts + patches->texts_size, text.data, text.size);
    patches->texts_size += text.size;
    return 0;
}

int ce_patches_add_number(struct ce_patches *patches, const struct ce_message *message,
                          struct ce_slice span, uint64_t number, struct ce_error *err)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRIu64, number);
    return ce_patches_add(patches, message, span, (struct ce_slice){text, (size_t)n}, err);
}

int ce_patches_add_escaped(struct ce_patches *patches, const struct ce_message *message,
                           struct ce_slice span, struct ce_slice text, struct ce_error *err)
{
    ce_autofree char *escaped = NULL;
    size_t size;
    FILE *file = open_memstream(&escaped, &size);
    if (!file)
        return ce_fail_memory(err);
    ce_write_escaped(file, text);
    if (fclose(file) != 0)
        return ce_fail_memory(err);
    return ce_patches_add(patches, message, span, (struct ce_slice){escaped, size}, err);
}

int ce_patches_add_edits(struct ce_patches *patches, const struct ce_message *message,
                         const struct ce_values *values, const struct ce_edit *edits, size_t count,
                         struct ce_error *err)
{
    for (size_t i = 0; i < count; i++)
        CE_TRY(ce_patches_add(patches, message, values->values[edits[i].value].text,
                              (struct ce_slice){edits[i].text, edits[i].size}, err));
    return 0;
}

static int compare_patches(const void *a, const void *b)
{
    const struct ce_patch *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

int ce_patches_make(struct ce_patches *patches, const struct ce_message *message, size_t json_size,
                    struct ce_remade *ret, struct ce_error *err)
{
    size_t size = message->size, json = json_size, at = 0;
    if (patches->count > 1)
        qsort(patches->items, patches->count, sizeof *patches->items, compare_patches);
    for (size_t i = 0; i < patches->count; i++) {
        const struct ce_patch *patch = &patches->items[i];
        size += patch->made - patch->size;
        json += patch->at < json_size ? patch->made - patch->size : 0;
    }
    char *body = malloc(size > 0 ? size : 1), *to = body;
    if (!body)
        return ce_fail_memory(err);
    for (size_t i = 0; i < patches->count; i++) {
        const struct ce_patch *patch = &patches->items[i];
        assert(patch->at >= at);
        to = mempcpy(to, message->body + at, patch->at - at);
        if (patch->made > 0)
            to = mempcpy(to, patches->texts + patch->text, patch->made);
        at = patch->at + patch->size;
    }
    if (message->size > at)
        (void)mempcpy(to, message->body + at, message->size - at);
    *ret = (struct ce_remade){.body = body, .size = size, .json_length = json};
    return 0;
}

/* ---- the message as a whole ---- */

int ce_values_apply(const struct ce_message *message, const struct ce_values *values,
                    const struct ce_edit *edits, size_t count, struct ce_remade *ret,
                    struct ce_error *err)
{
    CE_CLEANUP(ce_patches_done) struct ce_patches patches = {0};
    if (message->protocol->apply)
        return message->protocol->apply(message, values, edits, count, ret, err);
    CE_TRY(ce_patches_add_edits(&patches, message, values, edits, count, err));
    return ce_patches_make(&patches, message, message->size, ret, err);
}

int ce_message_shorten(const struct ce_message *message, const struct ce_values *values,
                       struct ce_remade *ret, struct ce_error *err)
{
    const struct ce_protocol *protocol = message->protocol;
    if (!protocol->shorten)
        return ce_fail(err, ENOTSUP, "an answer of protocol %s has no row to leave out",
                       protocol->name);
    return protocol->shorten(message, values, ret, err);
}

int ce_message_rename(const struct ce_message *message, struct ce_slice model,
                      struct ce_slice version, struct ce_remade *ret, struct ce_error *err)
{
    const struct ce_protocol *protocol = message->protocol;
    if (!protocol->rename || (model.size == 0 && version.size == 0))
        return ce_fail(err, ENOTSUP, "a body of protocol %s names no model", protocol->name);
    return protocol->rename(message, model, version, ret, err);
}
