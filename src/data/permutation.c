/* SPDX-License-Identifier: MIT */
/* An unbalanced Feistel network over pairs of numbers: by turns, one of the pair is rotated by a
 * keyed function of the other. The pairs are barely more than n; what lands outside goes through
 * again until it lands inside, which is again a permutation (Black and Rogaway, "Ciphers with
 * arbitrary finite domains"). */
#include "data/permutation.h"

#include <math.h>

struct ce_permutation ce_permutation_init(const struct ce_stream *key, uint64_t size)
{
    uint64_t left = (uint64_t)sqrt((double)size);
    left = left > 0 ? left : 1;
    struct ce_permutation p = {
        .size = size,
        .left = left,
        .right = size / left + (size % left > 0),
    };
    for (size_t turn = 0; turn < CE_PERMUTATION_TURNS; turn += 2)
        ce_stream_draw(key, turn / 2, &p.keys[turn]);
    return p;
}

/* A number below `bound`, which is below 2^32: multiplications carry every bit of `other` and of
 * the key into the upper half of the word, which is scaled. */
static uint64_t turn_by(uint64_t other, uint64_t key, uint64_t bound)
{
    uint64_t word = (other ^ key) * UINT64_C(0x9E3779B97F4A7C15);
    word = (word ^ word >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    word = (word ^ word >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return (word >> 32) * bound >> 32;
}

uint64_t ce_permutation_at(const struct ce_permutation *p, uint64_t point)
{
    do {
        uint64_t l = point / p->right, r = point % p->right;
        for (size_t turn = 0; turn < CE_PERMUTATION_TURNS; turn += 2) {
            l += turn_by(r, p->keys[turn], p->left);
            l -= l >= p->left ? p->left : 0;
            r += turn_by(l, p->keys[turn + 1], p->right);
            r -= r >= p->right ? p->right : 0;
        }
        point = l * p->right + r;
    } while (point >= p->size);
    return point;
}
