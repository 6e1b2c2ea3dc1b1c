/* SPDX-License-Identifier: MIT */
/* Messages of every inference protocol: values lie within the message, in order; values written
 * over themselves yield the same message; others are found again, and as many.
 *
 * An input is a line and a message. The line: a character for the protocol, one for the side, and
 * the length of the JSON if there is such a header. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "inference/inference.h"

typedef int find_fn(const struct ce_message *message, struct ce_values *ret, struct ce_error *err);

static void require(bool condition)
{
    if (!condition)
        __builtin_trap();
}

static void check_spans(const struct ce_message *message, const struct ce_values *found)
{
    const char *from = message->body, *end = message->body + message->size;
    for (size_t i = 0; i < found->count; i++) {
        const struct ce_value *value = &found->values[i];
        require(value->text.data >= from);
        from = value->text.data + value->text.size;
        require(from <= end);
        require(value->width > 0);
        require(ce_value_same(value, value));
        (void)ce_value_is_label(value);
        (void)ce_value_decimals(value);
    }
}

static struct ce_message remade_message(const struct ce_message *message,
                                        const struct ce_remade *remade, char length[24])
{
    struct ce_message again = *message;
    again.body = remade->body;
    again.size = remade->size;
    if (message->json_length.size > 0) {
        snprintf(length, 24, "%zu", remade->json_length);
        again.json_length = ce_slice_of(length);
    }
    return again;
}

static void check_same(const struct ce_message *message, const struct ce_values *found)
{
    ce_autofree struct ce_edit *edits = calloc(found->count + 1, sizeof *edits);
    struct ce_remade remade;
    size_t count = 0;
    require(edits != NULL);
    for (size_t i = 0; i < found->count; i++) {
        edits[count].value = i;
        count += ce_edit_copy(&edits[count], &found->values[i], &found->values[i]) == 0;
    }
    require(ce_values_apply(message, found, edits, count, &remade, NULL) == 0);
    require(remade.size == message->size &&
            (remade.size == 0 || memcmp(remade.body, message->body, remade.size) == 0));
    free(remade.body);
}

/* A number where one can stand, a word elsewhere; nothing where neither can. */
static bool rewrite(struct ce_edit *edit, const struct ce_value *value)
{
    return ce_edit_number(edit, value, 7, -1) == 0 || ce_edit_number(edit, value, 1, -1) == 0 ||
           ce_edit_text(edit, value, "a\"b") == 0;
}

static void check_rewritten(const struct ce_message *message, find_fn *find,
                            const struct ce_values *found)
{
    ce_autofree struct ce_edit *edits = calloc(found->count + 1, sizeof *edits);
    struct ce_remade remade;
    struct ce_values again;
    size_t count = 0;
    char length[24];
    require(edits != NULL);
    for (size_t i = 0; i < found->count; i++) {
        edits[count].value = i;
        count += rewrite(&edits[count], &found->values[i]);
    }
    require(ce_values_apply(message, found, edits, count, &remade, NULL) == 0);
    struct ce_message now = remade_message(message, &remade, length);
    require(find(&now, &again, NULL) == 0);
    require(again.count == found->count);
    check_spans(&now, &again);
    for (size_t i = 0, next = 0; i < again.count; i++) {
        struct ce_slice text = again.values[i].text;
        if (next < count && edits[next].value == i) {
            require(ce_slice_same(text, (struct ce_slice){edits[next].text, edits[next].size}));
            next++;
        } else {
            require(ce_slice_same(text, found->values[i].text));
        }
    }
    ce_values_done(&again);
    free(remade.body);
}

static void check_shortened(const struct ce_message *message, const struct ce_values *found)
{
    struct ce_remade remade;
    struct ce_values again;
    char length[24];
    if (ce_message_shorten(message, found, &remade, NULL) < 0)
        return;
    struct ce_message now = remade_message(message, &remade, length);
    /* Behind a [*] nothing is left to be found of a single row. */
    int r = ce_message_outputs(&now, &again, NULL);
    require(r == 0 || r == -ENOENT);
    if (r == 0) {
        require(again.count <= found->count);
        ce_values_done(&again);
    }
    free(remade.body);
}

static void check_names(const struct ce_message *message)
{
    struct ce_slice model, version;
    struct ce_remade remade;
    struct ce_prediction prediction;
    ce_message_model(message, &model, &version);
    require(model.size <= message->size && version.size <= message->size);
    (void)ce_message_rows(message);
    (void)ce_message_prediction(message, &prediction, NULL);
    if (ce_message_rename(message, ce_slice_of("other"), (struct ce_slice){"", 0}, &remade, NULL) ==
        0) {
        require(remade.size <= message->size + 32);
        free(remade.body);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const locators[] = {"$", "$.result[*].score", "$.p", "$[0]['a b'][*]"};
    const char *line = (const char *)data;
    const char *end = size > 2 ? memchr(line + 2, '\n', size - 2) : NULL;
    if (!end || end - line > 24)
        return 0;
    find_fn *const sides[] = {ce_message_inputs, ce_message_outputs};
    find_fn *find = sides[data[1] & 1];
    struct ce_message message = {
        .protocol = ce_protocol_at(data[0] % ce_protocol_count()),
        .content_type = "application/json",
        .json_length = {line + 2, (size_t)(end - line) - 2},
        .body = end + 1,
        .size = size - (size_t)(end + 1 - line),
        .locator = locators[(data[1] >> 1) & 3],
    };
    struct ce_values found = {0};
    struct ce_error err = {0};
    int r = find(&message, &found, &err);
    require((r < 0) == (err.message[0] != '\0'));
    require(r == 0 || r == -EINVAL || r == -ENOENT);
    if (r == 0) {
        check_spans(&message, &found);
        check_same(&message, &found);
        check_rewritten(&message, find, &found);
        if (find == ce_message_outputs)
            check_shortened(&message, &found);
    }
    ce_values_done(&found);
    check_names(&message);
    return 0;
}
