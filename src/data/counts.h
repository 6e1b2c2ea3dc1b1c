/* SPDX-License-Identifier: MIT */
/* What a fault did, counted in its own units. */
#ifndef CE_DATA_COUNTS_H
#define CE_DATA_COUNTS_H

#include <jansson.h>
#include <stdint.h>

#define CE_SKIP_REASONS_MAX 8

/* What a fault did, in cells, rows, requests or predictions. Every selected one was either changed
 * or skipped. */
struct ce_fault_counts {
    uint64_t eligible, selected, changed;
    struct {
        const char *reason;
        uint64_t count;
    } skipped[CE_SKIP_REASONS_MAX];
};
void ce_fault_counts_skip(struct ce_fault_counts *counts, const char *reason);
void ce_fault_counts_add(struct ce_fault_counts *counts, const struct ce_fault_counts *more);
/* {"eligible", "selected", "changed", "skipped": {reason: number}}. NULL: no memory. */
json_t *ce_fault_counts_json(const struct ce_fault_counts *counts);

#endif
