/* SPDX-License-Identifier: MIT */
#include "data/radius.h"

#include <math.h>
#include <string.h>

struct ce_radius_set ce_radius_set(const struct ce_radius *radius, const char *what, uint64_t of)
{
    struct ce_stream key = ce_stream_init(radius->seed, "blast_radius/order", what);
    struct ce_radius_set set = {.order = ce_permutation_init(&key, of), .of = of, .size = of};
    if (radius->kind == CE_RADIUS_COUNT && radius->count < of)
        set.size = radius->count;
    if (radius->kind == CE_RADIUS_SHARE)
        set.size = (uint64_t)floor(radius->share * (double)of + 0.5);
    if (set.size == 0 && of > 0)
        set.size = 1;
    if (set.size > of)
        set.size = of;
    return set;
}

uint64_t ce_radius_rank(const struct ce_radius_set *set, uint64_t i)
{
    return i < set->of ? ce_permutation_at(&set->order, i) : set->of;
}

bool ce_radius_has(const struct ce_radius *radius, const char *id)
{
    if (radius->kind != CE_RADIUS_SHARE || radius->share >= 1)
        return true;
    struct ce_stream stream = ce_stream_init(radius->seed, "blast_radius/select", "requests");
    return ce_stream_uniform(&stream, ce_hash_name(id, strcspn(id, "."))) < radius->share;
}
