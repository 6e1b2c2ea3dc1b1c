/* SPDX-License-Identifier: MIT */
/* What storage_bottleneck and disk_full have in common: a deed done to the target's reads and
 * writes, by the means that fit, and its figures. */
#ifndef CE_FAULTS_INFRA_STORAGE_EFFECT_H
#define CE_FAULTS_INFRA_STORAGE_EFFECT_H

#include "faults/fault.h"
#include "host/storage/storage.h"
#include "host/storage/storage_probe.h"

struct ce_storage_effect {
    struct ce_subject *subject;      /* owned; NULL: not looked for yet */
    struct ce_storage *storage;      /* NULL: not at work */
    struct ce_storage_deed deed;     /* at full intensity */
    struct ce_storage_counts counts; /* once it has ended */
    bool began;
};

/* Finds what it acts on. */
int ce_storage_effect_locate(struct ce_injection *injection, struct ce_storage_effect *effect,
                             struct ce_error *err);
/* `means` as for ce_storage_begin(). */
int ce_storage_effect_begin(struct ce_injection *injection, struct ce_storage_effect *effect,
                            const struct ce_storage_deed *deed, const char *means,
                            struct ce_error *err);
/* As ce_storage_witness(), as a member of whatever group the target was put in. */
int ce_storage_effect_watch(const struct ce_storage_effect *effect,
                            const struct ce_storage_probe *probe, struct ce_storage_seen *ret_seen,
                            struct ce_error *err);

/* For struct ce_fault; the state begins with a struct ce_storage_effect. */
int ce_storage_effect_adjust(struct ce_injection *injection, double intensity,
                             struct ce_error *err);
int ce_storage_effect_revert(struct ce_injection *injection, struct ce_error *err);
void ce_storage_effect_count(const struct ce_injection *injection,
                             struct ce_fault_counts *ret_counts);

#endif
