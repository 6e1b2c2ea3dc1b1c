/* SPDX-License-Identifier: MIT */
/* ModelInfer messages of arbitrary bytes: spans lie within the message, in order; an edit that
 * writes the same bytes yields the same message; one that writes others is found again where it was
 * made, with nothing else changed; a row less and another name leave a message that reads as meant.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "inference/inference.h"

typedef int read_fn(const struct ce_message *message, struct ce_values *ret, struct ce_error *err);

static void require(bool condition)
{
    if (!condition)
        __builtin_trap();
}

static struct ce_message message_of(const char *body, size_t size)
{
    return (struct ce_message){.protocol = ce_protocol_find("oip_grpc"),
                               .content_type = "application/grpc",
                               .body = body,
                               .size = size};
}

static void check_spans(const struct ce_message *message, const struct ce_values *values)
{
    const char *from = message->body;
    for (size_t i = 0; i < values->count; i++) {
        const struct ce_value *value = &values->values[i];
        require(value->text.data >= from && value->width > 0);
        from = value->text.data + value->text.size;
        require(from <= message->body + message->size);
    }
}

static void check_same_edits(const struct ce_message *message, const struct ce_values *values)
{
    ce_autofree struct ce_edit *edits = calloc(values->count + 1, sizeof *edits);
    require(edits != NULL);
    size_t count = 0;
    for (size_t i = 0; i < values->count; i++) {
        const struct ce_value *value = &values->values[i];
        edits[count].value = i;
        count += ce_edit_copy(&edits[count], value, value) == 0;
    }
    struct ce_remade remade;
    require(ce_values_apply(message, values, edits, count, &remade, NULL) == 0);
    require(remade.size == message->size);
    require(remade.size == 0 || memcmp(remade.body, message->body, remade.size) == 0);
    free(remade.body);
}

/* Every other value becomes the number 77, or that text. */
static void check_other_edits(const struct ce_message *message, const struct ce_values *values,
                              read_fn *read)
{
    ce_autofree struct ce_edit *edits = calloc(values->count + 1, sizeof *edits);
    require(edits != NULL);
    size_t count = 0;
    for (size_t i = 0; i < values->count; i += 2) {
        edits[count].value = i;
        count += ce_edit_text(&edits[count], &values->values[i], "77") == 0;
    }
    struct ce_remade remade;
    require(ce_values_apply(message, values, edits, count, &remade, NULL) == 0);
    struct ce_message made = message_of(remade.body, remade.size);
    struct ce_values again = {0};
    require(read(&made, &again, NULL) == 0 && again.count == values->count);
    for (size_t i = 0, edit = 0; i < again.count; i++) {
        struct ce_slice want = values->values[i].text;
        if (edit < count && edits[edit].value == i) {
            want = (struct ce_slice){edits[edit].text, edits[edit].size};
            edit++;
        }
        require(ce_slice_same(again.values[i].text, want));
    }
    ce_values_done(&again);
    free(remade.body);
}

static void check_shorter(const struct ce_message *message, const struct ce_values *values,
                          read_fn *read)
{
    struct ce_remade remade;
    struct ce_error err = {0};
    int r = ce_message_shorten(message, values, &remade, &err);
    require((r < 0) == (err.message[0] != '\0'));
    if (r < 0)
        return;
    struct ce_message made = message_of(remade.body, remade.size);
    struct ce_values again = {0};
    require(read(&made, &again, NULL) == 0 && again.count < values->count);
    for (size_t i = 0, from = 0; i < again.count; i++, from++) {
        const struct ce_value *now = &again.values[i];
        while (values->values[from].ordinal != now->ordinal ||
               values->values[from].index != now->index)
            require(++from < values->count);
        require(ce_slice_same(now->text, values->values[from].text));
    }
    ce_values_done(&again);
    free(remade.body);
}

static void check_rename(const struct ce_message *message, const struct ce_values *values,
                         read_fn *read)
{
    struct ce_remade remade;
    struct ce_slice model, version;
    require(ce_message_rename(message, ce_slice_of("another"), ce_slice_of("7"), &remade, NULL) ==
            0);
    struct ce_message made = message_of(remade.body, remade.size);
    ce_message_model(&made, &model, &version);
    require(ce_slice_is(model, "another") && ce_slice_is(version, "7"));
    struct ce_values again = {0};
    require(read(&made, &again, NULL) == 0 && again.count == values->count);
    for (size_t i = 0; i < again.count; i++)
        require(ce_slice_same(again.values[i].text, values->values[i].text));
    ce_values_done(&again);
    free(remade.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static read_fn *const reads[] = {ce_message_outputs, ce_message_inputs};
    struct ce_message message = message_of((const char *)data, size);
    struct ce_prediction prediction;
    (void)ce_message_prediction(&message, &prediction, NULL);
    for (size_t i = 0; i < CE_COUNT(reads); i++) {
        struct ce_values values = {0};
        struct ce_error err = {0};
        int r = reads[i](&message, &values, &err);
        require((r < 0) == (err.message[0] != '\0'));
        if (r < 0)
            continue;
        check_spans(&message, &values);
        check_same_edits(&message, &values);
        check_other_edits(&message, &values, reads[i]);
        check_shorter(&message, &values, reads[i]);
        check_rename(&message, &values, reads[i]);
        ce_values_done(&values);
    }
    return 0;
}
