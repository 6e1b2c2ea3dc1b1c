/* SPDX-License-Identifier: MIT */
#include "faults/infra/storage_effect.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "host/subject.h"

int ce_storage_effect_locate(struct ce_injection *injection, struct ce_storage_effect *effect,
                             struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    if (!target->locate)
        return ce_fail(err, ENOTSUP, "%s has no folder to act on", target->name);
    if (!effect->subject)
        effect->subject = calloc(1, sizeof *effect->subject);
    if (!effect->subject)
        return ce_fail_memory(err);
    return target->locate(target->located, NULL, effect->subject, err);
}

int ce_storage_effect_begin(struct ce_injection *injection, struct ce_storage_effect *effect,
                            const struct ce_storage_deed *deed, const char *means,
                            struct ce_error *err)
{
    effect->deed = *deed;
    int r =
        ce_storage_begin(injection->journal, effect->subject, deed, means, &effect->storage, err);
    effect->began = r == 0;
    return r;
}

int ce_storage_effect_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    const struct ce_storage_effect *effect = injection->state;
    struct ce_storage_deed deed = ce_storage_deed_scaled(&effect->deed, intensity);
    return effect->storage ? ce_storage_adjust(effect->storage, &deed, err) : 0;
}

int ce_storage_effect_watch(const struct ce_storage_effect *effect,
                            const struct ce_storage_probe *probe, struct ce_storage_seen *ret_seen,
                            struct ce_error *err)
{
    struct ce_storage_probe joined = *probe;
    joined.group = effect->storage ? ce_storage_group(effect->storage) : NULL;
    joined.helpers = effect->storage ? ce_storage_helpers(effect->storage) : NULL;
    return ce_storage_witness(effect->subject, &joined, ret_seen, err);
}

int ce_storage_effect_revert(struct ce_injection *injection, struct ce_error *err)
{
    struct ce_storage_effect *effect = injection->state;
    if (effect->storage)
        (void)ce_storage_count(effect->storage, &effect->counts, NULL);
    int r = ce_storage_end(ce_take(effect->storage), err);
    free(ce_take(effect->subject));
    return r;
}

/* Means of the kernel's own do not count: then the target itself is the one that was hit. */
void ce_storage_effect_count(const struct ce_injection *injection,
                             struct ce_fault_counts *ret_counts)
{
    const struct ce_storage_effect *effect = injection->state;
    struct ce_storage_counts counts = effect->counts;
    if (effect->storage && ce_storage_count(effect->storage, &counts, NULL) == -ENOTSUP)
        counts = (struct ce_storage_counts){.seen = effect->began, .held = effect->began};
    *ret_counts = (struct ce_fault_counts){
        .eligible = counts.seen,
        .selected = counts.held + counts.failed,
        .changed = counts.held + counts.failed,
    };
}
