/* SPDX-License-Identifier: MIT */
/* How far a fault may reach: which rows, processes or live requests it may touch at all.
 *
 * Of things that can be numbered exactly so many are chosen, by a keyed permutation. Of live
 * requests nobody knows how many will come: a share of them is drawn one by one, by their ids, and
 * a number of them is the first that come. Either way it is a pure function of the seed, and who is
 * within a smaller radius is within a larger one. */
#ifndef CE_DATA_RADIUS_H
#define CE_DATA_RADIUS_H

#include <stdbool.h>

#include "data/permutation.h"

enum ce_radius_kind {
    CE_RADIUS_ALL = 0,
    CE_RADIUS_SHARE,
    CE_RADIUS_COUNT,
};
struct ce_radius {
    enum ce_radius_kind kind;
    uint64_t seed;
    double share;
    uint64_t count;
};

/* Those of `of` numbered things that lie within; at least one, if there is any. */
struct ce_radius_set {
    struct ce_permutation order;
    uint64_t of, size;
};
/* `what` they are ("rows"); the numbers are below `of`, which is below 2^62. */
struct ce_radius_set ce_radius_set(const struct ce_radius *radius, const char *what, uint64_t of);
/* Where thing `i` stands in the order of choice: it lies within if that is below the size. A thing
 * beyond the last is the last of all. */
uint64_t ce_radius_rank(const struct ce_radius_set *set, uint64_t i);

/* Whether the share of the requests has the one of that id, and other attempts at it ("f-17.2").
 * Always, unless the radius is a share. */
bool ce_radius_has(const struct ce_radius *radius, const char *id);

#endif
