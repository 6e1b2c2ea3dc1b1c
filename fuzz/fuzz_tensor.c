/* SPDX-License-Identifier: MIT */
/* The tensor scanner on arbitrary bytes: its spans lie within the message, in order; an edit that
 * writes the same bytes yields the same message; an edit that writes others is found again, and
 * nothing else has changed. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proxy/tensor.h"

static void require(bool condition)
{
    if (!condition)
        __builtin_trap();
}

static void check_spans(const char *json, size_t size, const struct ce_tensor_values *found)
{
    const char *from = json;
    for (size_t i = 0; i < found->count; i++) {
        const struct ce_tensor_value *value = &found->values[i];
        require(value->text.size > 0 && value->text.data >= from);
        from = value->text.data + value->text.size;
        require(from <= json + size);
        require(value->width > 0);
    }
}

/* Writes "7" over every other value, or every value's own bytes where they fit an edit. */
static void check_edits(const char *json, size_t size, const char *member,
                        const struct ce_tensor_values *found, bool same)
{
    ce_autofree struct ce_edit *edits = calloc(found->count + 1, sizeof *edits);
    require(edits != NULL);
    size_t count = 0;
    for (size_t i = 0; i < found->count; i++) {
        struct ce_slice text = found->values[i].text;
        if (same ? text.size >= sizeof edits->text : i % 2 == 0)
            continue;
        edits[count].span = text;
        memcpy(edits[count].text, same ? text.data : "7", same ? text.size : 1);
        count++;
    }
    size_t new_size;
    ce_autofree char *message = ce_tensor_apply(json, size, edits, count, &new_size);
    require(message != NULL);
    if (same) {
        require(new_size == size && memcmp(message, json, size) == 0);
        return;
    }
    struct ce_tensor_values again;
    require(ce_tensor_find(message, new_size, member, &again, NULL) == 0);
    require(again.count == found->count);
    for (size_t i = 0; i < again.count; i++) {
        struct ce_slice now = again.values[i].text, before = found->values[i].text;
        if (i % 2 == 1)
            require(now.size == 1 && now.data[0] == '7');
        else
            require(now.size == before.size && memcmp(now.data, before.data, now.size) == 0);
    }
    ce_tensor_values_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const members[] = {"inputs", "outputs"};
    const char *json = (const char *)data;
    for (size_t i = 0; i < CE_COUNT(members); i++) {
        struct ce_tensor_values found;
        struct ce_error err = {0};
        int r = ce_tensor_find(json, size, members[i], &found, &err);
        require((r < 0) == (err.message[0] != '\0'));
        if (r < 0)
            continue;
        check_spans(json, size, &found);
        check_edits(json, size, members[i], &found, true);
        check_edits(json, size, members[i], &found, false);
        ce_tensor_values_done(&found);
    }
    return 0;
}
