/* SPDX-License-Identifier: MIT */
/* Any bytes as an experiment document: parsed, changed, validated. An error always says why, and
 * success says nothing. */
#include <stddef.h>
#include <stdint.h>

#include "chaoseater.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int r, const struct ce_error *err)
{
    if ((r < 0) != (err->message[0] != '\0') || (r < 0 && err->code != -r))
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const sets[] = {"duration=1s", "corruption_rate=[0.5]",
                                       "pipeline.profile=naive"};
    for (int changed = 0; changed < 2; changed++) {
        struct ce_document *doc = NULL;
        struct ce_error err = {0};
        int r = ce_document_parse((const char *)data, size, "fuzz", &doc, &err);
        check(r, &err);
        for (size_t i = 0; r == 0 && changed && i < sizeof sets / sizeof sets[0]; i++) {
            struct ce_error set_err = {0};
            check(ce_document_set(doc, sets[i], &set_err), &set_err);
        }
        if (r == 0) {
            r = ce_document_validate(doc, &err);
            check(r, &err);
            if ((r == 0) != (ce_document_experiment_count(doc) > 0))
                __builtin_trap();
        }
        ce_document_free(doc);
    }
    return 0;
}
