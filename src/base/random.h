/* SPDX-License-Identifier: MIT */
/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3").
 *
 * A draw is a pure function of (key, counter). Nothing is carried from one draw to the next, so any
 * thread, shard or later run can ask for the same draw and gets the same bits. A recipe is a seed
 * plus names: the seed is the key; the counter says which fault, which column or route, and which
 * cell, row or request is meant. */
#ifndef CE_BASE_RANDOM_H
#define CE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* The bijection itself: ctr is replaced by its image under key. */
void ce_philox(uint32_t ctr[4], const uint32_t key[2]);

/* Names become counters through this hash (FNV-1a, 64 bits). Stable for ever: recipes depend on it.
 */
uint64_t ce_hash_name(const char *name, size_t size);

/* One stream of draws. Streams that differ in seed, purpose or subject are independent. */
struct ce_stream {
    uint32_t key[2];
    uint32_t subject[2];
};

/* `purpose` separates uses that must not disturb each other: what is selected, and what value it
 * gets ("data_corruption/select", "data_corruption/value"). `subject` is the column, route or
 * pipeline the draws are about. */
struct ce_stream ce_stream_init(uint64_t seed, const char *purpose, const char *subject);

/* The n-th draw of the stream: 128 bits, as two words. Any order, any thread. */
void ce_stream_draw(const struct ce_stream *stream, uint64_t n, uint64_t ret_words[2]);
/* The n-th draw as a number in [0, 1), with 53 bits. */
double ce_stream_uniform(const struct ce_stream *stream, uint64_t n);
/* The n-th draw as a standard normal deviate. Same bits on every machine: no libm is involved. */
double ce_stream_normal(const struct ce_stream *stream, uint64_t n);
/* The n-th draw as an integer in [0, bound), without modulo bias worth speaking of (bias < 2^-32).
 * bound > 0. */
uint32_t ce_stream_below(const struct ce_stream *stream, uint64_t n, uint32_t bound);

/* A word as a number in [0, 1), with 53 bits; as a standard normal deviate; and as a Pareto deviate
 * of at least 1 with that shape (1 or more), whose mean is shape / (shape - 1). */
double ce_uniform_from(uint64_t word);
double ce_normal_from(uint64_t word);
double ce_pareto_from(uint64_t word, double shape);

/* A seed for a run whose document states none; from the kernel. */
uint64_t ce_random_seed(void);

#endif
