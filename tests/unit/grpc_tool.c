/* SPDX-License-Identifier: MIT */
/* Edits ModelInferResponse messages, so that another implementation of Protocol Buffers can judge
 * the result: servers/grpc_judge.py of the end-to-end tests.
 *
 * Standard input is messages, standard output for each of them three: every other value replaced by
 * 77 where its type can hold that; the last row left out; the model renamed to another, version 12.
 * Each has its size before it, 4 bytes in the machine's order; all ones: it cannot be done. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "inference/inference.h"

static void write_remade(int r, struct ce_remade *remade)
{
    uint32_t size = r < 0 ? UINT32_MAX : (uint32_t)remade->size;
    (void)fwrite(&size, sizeof size, 1, stdout);
    if (r == 0) {
        (void)fwrite(remade->body, 1, size, stdout);
        free(remade->body);
    }
}

static int remake(const struct ce_message *message, struct ce_error *err)
{
    CE_CLEANUP(ce_values_done) struct ce_values values = {0};
    CE_TRY(ce_message_outputs(message, &values, err));
    ce_autofree struct ce_edit *edits = calloc(values.count + 1, sizeof *edits);
    if (!edits)
        return ce_fail_memory(err);
    size_t count = 0;
    for (size_t i = 0; i < values.count; i += 2) {
        edits[count].value = i;
        count += ce_edit_text(&edits[count], &values.values[i], "77") == 0;
    }
    struct ce_remade remade;
    write_remade(ce_values_apply(message, &values, edits, count, &remade, err), &remade);
    write_remade(ce_message_shorten(message, &values, &remade, err), &remade);
    write_remade(
        ce_message_rename(message, ce_slice_of("another"), ce_slice_of("12"), &remade, err),
        &remade);
    return 0;
}

int main(void)
{
    for (uint32_t size; fread(&size, sizeof size, 1, stdin) == 1;) {
        ce_autofree char *body = malloc((size_t)size + 1);
        struct ce_error err;
        if (!body || fread(body, 1, size, stdin) != size)
            return 1;
        struct ce_message message = {.protocol = ce_protocol_find("oip_grpc"),
                                     .content_type = "application/grpc",
                                     .body = body,
                                     .size = size};
        if (remake(&message, &err) < 0) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
    }
    return 0;
}
