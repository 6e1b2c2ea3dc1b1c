/* SPDX-License-Identifier: MIT */
#include "data/select_mask.h"

enum { DRAWS_PER_BLOCK = CE_SELECT_BLOCK / 8 };

static void mask_plain(const struct ce_stream *stream, uint64_t block, uint16_t threshold,
                       uint64_t ret_below[CE_SELECT_WORDS], uint64_t ret_equal[CE_SELECT_WORDS])
{
    for (size_t word = 0; word < CE_SELECT_WORDS; word++) {
        uint64_t below = 0, equal = 0;
        for (unsigned draw = 0; draw < 8; draw++) {
            uint64_t lanes[2];
            ce_stream_draw(stream, block * DRAWS_PER_BLOCK + 8 * word + draw, lanes);
            for (unsigned lane = 0; lane < 8; lane++) {
                uint16_t value = (uint16_t)(lanes[lane / 4] >> 16 * (lane % 4));
                below |= (uint64_t)(value < threshold) << (8 * draw + lane);
                equal |= (uint64_t)(value == threshold) << (8 * draw + lane);
            }
        }
        ret_below[word] = below;
        ret_equal[word] = equal;
    }
}

#ifdef __x86_64__

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

/* Four draws of Philox4x32-10, one in each 64-bit lane. Only the low half of a lane counts: the
 * multiplication ignores what is above it. */
struct quad {
    __m256i c0, c1, c2, c3;
};

AVX2 static inline struct quad quad_round(struct quad q, __m256i k0, __m256i k1)
{
    __m256i a = _mm256_mul_epu32(q.c0, _mm256_set1_epi64x(0xD2511F53));
    __m256i b = _mm256_mul_epu32(q.c2, _mm256_set1_epi64x(0xCD9E8D57));
    return (struct quad){
        .c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(b, 32), q.c1), k0),
        .c1 = b,
        .c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(a, 32), q.c3), k1),
        .c3 = a,
    };
}

/* One bit for each of the quad's 32 lanes of 16 bits, in the order of their rows. `bias` turns the
 * signed comparison that there is into an unsigned one. */
AVX2 static inline void quad_compare(struct quad q, __m256i bias, __m256i biased_threshold,
                                     uint32_t *ret_below, uint32_t *ret_equal)
{
    __m256i low = _mm256_blend_epi32(q.c0, _mm256_slli_epi64(q.c1, 32), 0xAA);
    __m256i high = _mm256_blend_epi32(q.c2, _mm256_slli_epi64(q.c3, 32), 0xAA);
    __m256i even = _mm256_xor_si256(_mm256_unpacklo_epi64(low, high), bias);
    __m256i odd = _mm256_xor_si256(_mm256_unpackhi_epi64(low, high), bias);
    __m256i below = _mm256_packs_epi16(_mm256_cmpgt_epi16(biased_threshold, even),
                                       _mm256_cmpgt_epi16(biased_threshold, odd));
    __m256i equal = _mm256_packs_epi16(_mm256_cmpeq_epi16(biased_threshold, even),
                                       _mm256_cmpeq_epi16(biased_threshold, odd));
    *ret_below = (uint32_t)_mm256_movemask_epi8(below);
    *ret_equal = (uint32_t)_mm256_movemask_epi8(equal);
}

/* Four quads at a time, because the rounds of one wait for each other. */
AVX2 static void mask_avx2(const struct ce_stream *stream, uint64_t block, uint16_t threshold,
                           uint64_t ret_below[CE_SELECT_WORDS], uint64_t ret_equal[CE_SELECT_WORDS])
{
    enum { QUADS = 4 };
    const __m256i bias = _mm256_set1_epi16((short)0x8000);
    const __m256i biased_threshold = _mm256_xor_si256(_mm256_set1_epi16((short)threshold), bias);
    const __m256i subject0 = _mm256_set1_epi64x(stream->subject[0]);
    const __m256i subject1 = _mm256_set1_epi64x(stream->subject[1]);
    /* The lower half of the counter never carries within a block: blocks are aligned. */
    uint64_t first = block * DRAWS_PER_BLOCK;
    const __m256i counter_high = _mm256_set1_epi64x((long long)(first >> 32));

    for (unsigned draw = 0; draw < DRAWS_PER_BLOCK; draw += 4 * QUADS) {
        struct quad quads[QUADS];
        for (unsigned i = 0; i < QUADS; i++) {
            uint32_t low = (uint32_t)first + draw + 4 * i;
            quads[i] = (struct quad){
                .c0 = _mm256_add_epi64(_mm256_set1_epi64x(low), _mm256_set_epi64x(3, 2, 1, 0)),
                .c1 = counter_high,
                .c2 = subject0,
                .c3 = subject1,
            };
        }
        uint32_t k0 = stream->key[0], k1 = stream->key[1];
        for (int round = 0; round < 10; round++) {
            __m256i key0 = _mm256_set1_epi64x(k0), key1 = _mm256_set1_epi64x(k1);
#pragma GCC unroll 4
            for (unsigned i = 0; i < QUADS; i++)
                quads[i] = quad_round(quads[i], key0, key1);
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        for (unsigned i = 0; i < QUADS; i += 2) {
            uint32_t below[2], equal[2];
            quad_compare(quads[i], bias, biased_threshold, &below[0], &equal[0]);
            quad_compare(quads[i + 1], bias, biased_threshold, &below[1], &equal[1]);
            ret_below[draw / 8 + i / 2] = below[0] | (uint64_t)below[1] << 32;
            ret_equal[draw / 8 + i / 2] = equal[0] | (uint64_t)equal[1] << 32;
        }
    }
}

ce_select_mask_fn *ce_select_mask_variant(size_t i)
{
    if (i == 1 && __builtin_cpu_supports("avx2"))
        return mask_avx2;
    return i == 0 ? mask_plain : NULL;
}

void ce_select_mask(const struct ce_stream *stream, uint64_t block, uint16_t threshold,
                    uint64_t ret_below[CE_SELECT_WORDS], uint64_t ret_equal[CE_SELECT_WORDS])
{
    if (__builtin_cpu_supports("avx2"))
        mask_avx2(stream, block, threshold, ret_below, ret_equal);
    else
        mask_plain(stream, block, threshold, ret_below, ret_equal);
}

#else

ce_select_mask_fn *ce_select_mask_variant(size_t i)
{
    return i == 0 ? mask_plain : NULL;
}

void ce_select_mask(const struct ce_stream *stream, uint64_t block, uint16_t threshold,
                    uint64_t ret_below[CE_SELECT_WORDS], uint64_t ret_equal[CE_SELECT_WORDS])
{
    mask_plain(stream, block, threshold, ret_below, ret_equal);
}

#endif
