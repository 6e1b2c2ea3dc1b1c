/* SPDX-License-Identifier: MIT */
#include "data/counts.h"

#include <string.h>

static void skip(struct ce_fault_counts *counts, const char *reason, uint64_t times)
{
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX; i++) {
        if (!counts->skipped[i].reason)
            counts->skipped[i].reason = reason;
        if (counts->skipped[i].reason == reason || strcmp(counts->skipped[i].reason, reason) == 0) {
            counts->skipped[i].count += times;
            return;
        }
    }
}

void ce_fault_counts_skip(struct ce_fault_counts *counts, const char *reason)
{
    skip(counts, reason, 1);
}

void ce_fault_counts_add(struct ce_fault_counts *counts, const struct ce_fault_counts *more)
{
    counts->eligible += more->eligible;
    counts->selected += more->selected;
    counts->changed += more->changed;
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX && more->skipped[i].reason; i++)
        skip(counts, more->skipped[i].reason, more->skipped[i].count);
}

json_t *ce_fault_counts_json(const struct ce_fault_counts *counts)
{
    json_t *skipped = json_object();
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX && counts->skipped[i].reason; i++)
        (void)json_object_set_new(skipped, counts->skipped[i].reason,
                                  json_integer((json_int_t)counts->skipped[i].count));
    return json_pack("{s:I, s:I, s:I, s:o}", "eligible", (json_int_t)counts->eligible, "selected",
                     (json_int_t)counts->selected, "changed", (json_int_t)counts->changed,
                     "skipped", skipped);
}
