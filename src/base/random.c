/* SPDX-License-Identifier: MIT */
/* Only additions, multiplications, divisions and square roots are used, which IEEE 754 defines to
 * the last bit; the build turns off contraction into fused operations. So every machine draws the
 * same bits. */
#include "base/random.h"

#include <math.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

void ce_philox(uint32_t ctr[4], const uint32_t key[2])
{
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * ctr[0];
        uint64_t b = (uint64_t)0xCD9E8D57u * ctr[2];
        uint32_t c1 = ctr[1], c3 = ctr[3];
        ctr[0] = (uint32_t)(b >> 32) ^ c1 ^ k0;
        ctr[1] = (uint32_t)b;
        ctr[2] = (uint32_t)(a >> 32) ^ c3 ^ k1;
        ctr[3] = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

uint64_t ce_hash_name(const char *name, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    return hash;
}

struct ce_stream ce_stream_init(uint64_t seed, const char *purpose, const char *subject)
{
    /* The odd multiplier keeps neighbouring seeds from meeting neighbouring purposes. */
    uint64_t key = seed * UINT64_C(0x9E3779B97F4A7C15) + ce_hash_name(purpose, strlen(purpose));
    uint64_t about = ce_hash_name(subject, strlen(subject));
    return (struct ce_stream){
        .key = {(uint32_t)key, (uint32_t)(key >> 32)},
        .subject = {(uint32_t)about, (uint32_t)(about >> 32)},
    };
}

void ce_stream_draw(const struct ce_stream *stream, uint64_t n, uint64_t ret_words[2])
{
    uint32_t ctr[4] = {(uint32_t)n, (uint32_t)(n >> 32), stream->subject[0], stream->subject[1]};
    ce_philox(ctr, stream->key);
    ret_words[0] = ctr[0] | (uint64_t)ctr[1] << 32;
    ret_words[1] = ctr[2] | (uint64_t)ctr[3] << 32;
}

double ce_uniform_from(uint64_t word)
{
    return (double)(word >> 11) * 0x1p-53;
}

/* A polynomial of degree 11, all steps of Horner's scheme in one order. */
static double polynomial(const double coefficients[12], double x)
{
    double sum = coefficients[11];
    for (int k = 10; k >= 0; k--)
        sum = sum * x + coefficients[k];
    return sum;
}

/* ln x for 2^-1022 <= x <= 1, by the series of artanh after reduction to [sqrt(1/2), sqrt(2)). */
static double logarithm(double x)
{
    static const double ln2 = 0x1.62e42fefa39efp-1;
    static const double odd[12] = {1,        1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11,
                                   1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23};
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1022;
    bits = (bits & UINT64_C(0x000fffffffffffff)) | UINT64_C(0x3fe0000000000000);
    double m; /* x = m * 2^exponent, 1/2 <= m < 1 */
    memcpy(&m, &bits, sizeof m);
    /* Random input: a branch here would be mispredicted every other time. */
    int small = m < 0x1.6a09e667f3bcdp-1;
    m *= 1 + small;
    exponent -= small;
    double s = (m - 1) / (m + 1);
    return 2 * s * polynomial(odd, s * s) + exponent * ln2;
}

/* cos of a full turn times u, 0 <= u < 1, by Taylor series within a quarter turn. */
static double cosine_of_turn(double u)
{
    static const double half_pi = 0x1.921fb54442d18p+0;
    /* (-1)^k / (2k)! */
    static const double taylor[12] = {1.0,
                                      -1.0 / 2,
                                      1.0 / 24,
                                      -1.0 / 720,
                                      1.0 / 40320,
                                      -1.0 / 3628800,
                                      1.0 / 479001600,
                                      -1.0 / 87178291200,
                                      1.0 / 20922789888000,
                                      -1.0 / 6402373705728000,
                                      1.0 / 2432902008176640000,
                                      -1.0 / 1.1240007277776077e21};
    double quarters = 4 * u;
    int quarter = (int)quarters;
    double x = (quarters - quarter) * half_pi;
    /* cos(x + pi/2) = -sin(x) = -cos(pi/2 - x): odd quarters run backwards, and the two in the
     * middle are negative. Factors of one, because nothing could predict the branches. */
    int odd = quarter & 1, middle = (quarter + 1) >> 1 & 1;
    x = odd * half_pi + (1 - 2 * odd) * x;
    return (1 - 2 * middle) * polynomial(taylor, x * x);
}

/* Box and Muller's transform of the word's two halves. The first half bounds the deviate to 6.7. */
double ce_normal_from(uint64_t word)
{
    double u1 = ((double)(uint32_t)word + 1) * 0x1p-32;
    double u2 = (double)(uint32_t)(word >> 32) * 0x1p-32;
    return sqrt(-2 * logarithm(u1)) * cosine_of_turn(u2);
}

/* e^x for 0 <= x <= 700, by Taylor series after reduction to at most ln 2 / 2 around 0. */
static double exponential(double x)
{
    static const double inverse_ln2 = 0x1.71547652b82fep+0;
    /* ln 2 in two parts, so that n times the first is exact. */
    static const double ln2_high = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45;
    /* 1 / k! */
    static const double taylor[12] = {1.0,         1.0,          1.0 / 2,       1.0 / 6,
                                      1.0 / 24,    1.0 / 120,    1.0 / 720,     1.0 / 5040,
                                      1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800};
    double n = rint(x * inverse_ln2);
    double part = polynomial(taylor, x - n * ln2_high - n * ln2_low);
    uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
    double power; /* 2^n */
    memcpy(&power, &bits, sizeof power);
    return part * power;
}

/* The inverse of its distribution: u^(-1/shape) for a uniform u of (0, 1]. */
double ce_pareto_from(uint64_t word, double shape)
{
    double u = ((double)(word >> 11) + 1) * 0x1p-53;
    return exponential(-logarithm(u) / shape);
}

double ce_stream_uniform(const struct ce_stream *stream, uint64_t n)
{
    uint64_t words[2];
    ce_stream_draw(stream, n, words);
    return ce_uniform_from(words[0]);
}

double ce_stream_normal(const struct ce_stream *stream, uint64_t n)
{
    uint64_t words[2];
    ce_stream_draw(stream, n, words);
    return ce_normal_from(words[0]);
}

uint32_t ce_stream_below(const struct ce_stream *stream, uint64_t n, uint32_t bound)
{
    uint64_t words[2];
    ce_stream_draw(stream, n, words);
    return (uint32_t)((words[0] >> 32) * bound >> 32);
}

uint64_t ce_random_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = (uint64_t)ce_wall_now();
    return seed & UINT64_C(0x7fffffffffffffff); /* fits a JSON integer */
}
