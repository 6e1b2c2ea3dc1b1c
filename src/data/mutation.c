/* SPDX-License-Identifier: MIT */
#include "data/mutation.h"

#include <string.h>

void ce_mutation_done(struct ce_mutation *mutation)
{
    if (mutation->free_ctx)
        mutation->free_ctx(mutation->ctx);
    *mutation = (struct ce_mutation){0};
}

void ce_fault_counts_skip(struct ce_fault_counts *counts, const char *reason)
{
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX; i++) {
        if (!counts->skipped[i].reason)
            counts->skipped[i].reason = reason;
        if (counts->skipped[i].reason == reason || strcmp(counts->skipped[i].reason, reason) == 0) {
            counts->skipped[i].count++;
            return;
        }
    }
}
