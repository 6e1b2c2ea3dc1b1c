/* SPDX-License-Identifier: MIT */
/* What the tests about inference protocols share. */
#ifndef CE_TESTS_INFERENCE_H
#define CE_TESTS_INFERENCE_H

#include "base/cleanup.h"
#include "check.h"
#include "inference/inference.h"

static inline struct ce_message message_of(const char *protocol, const char *body)
{
    return (struct ce_message){
        .protocol = ce_protocol_find(protocol),
        .content_type = "application/json",
        .body = body,
        .size = strlen(body),
    };
}

static inline bool value_is(const struct ce_value *value, const char *tensor, const char *text,
                            size_t index, size_t width)
{
    bool same = ce_slice_is(value->tensor, tensor) && ce_slice_is(value->text, text) &&
                value->index == index && value->width == width;
    if (!same)
        printf("# '%.*s' of '%.*s', %zu by %zu, is not '%s' of '%s', %zu by %zu\n",
               (int)value->text.size, value->text.data, (int)value->tensor.size, value->tensor.data,
               value->index, value->width, text, tensor, index, width);
    return same;
}

static inline bool bytes_are(const char *data, size_t size, const char *want)
{
    bool same = size == strlen(want) && memcmp(data, want, size) == 0;
    if (!same)
        printf("# %.*s\n", (int)size, data);
    return same;
}

/* The message with every value replaced by what a user wrote. */
static inline int write_all(const struct ce_message *message, const struct ce_values *values,
                            const char *text, struct ce_remade *ret, struct ce_error *err)
{
    ce_autofree struct ce_edit *edits = calloc(values->count + 1, sizeof *edits);
    for (size_t i = 0; i < values->count; i++) {
        edits[i].value = i;
        int r = ce_edit_text(&edits[i], &values->values[i], text);
        if (r < 0)
            return ce_fail(err, -r, "'%s' cannot stand there", text);
    }
    return ce_values_apply(message, values, edits, values->count, ret, err);
}

#endif
