/* SPDX-License-Identifier: MIT */
#include "host/packets/shaping.h"

#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum {
    TABLE_SIZE = 1024,   /* quantiles of a distribution */
    TABLE_SCALE = 8192,  /* netem's unit: this times sigma */
    PARETO_SHAPE = 3,    /* finite mean and variance */
    QUEUE_LIMIT = 100000 /* packets that may wait: seconds of them at any rate that lo reaches */
};
enum { PRNG_SEED = 14 }; /* TCA_NETEM_PRNG_SEED, which older headers lack */

/* A table's values are 16 bits: 4 sigma at most. What has a long tail is given a larger sigma. */
static const double pareto_widening = 8;
/* Packets of the share that is reordered are held back by this. */
static const int64_t reorder_delay = 10 * CE_MILLISECOND;
/* As fast as that nothing waits, and packets keep their order all the same. */
static const uint64_t order_rate = 1000000000000; /* bytes per second */

/* ---- attributes behind the discipline's own struct ---- */

static void put_bytes(struct ce_shaping *shaping, const void *bytes, size_t size)
{
    memset(shaping->options + shaping->size, 0, MNL_ALIGN(size));
    memcpy(shaping->options + shaping->size, bytes, size);
    shaping->size += MNL_ALIGN(size);
}

static void put(struct ce_shaping *shaping, unsigned type, const void *bytes, size_t size)
{
    struct nlattr head = {.nla_len = (uint16_t)(MNL_ATTR_HDRLEN + size),
                          .nla_type = (uint16_t)type};
    put_bytes(shaping, &head, sizeof head);
    put_bytes(shaping, bytes, size);
}

/* ---- netem ---- */

static uint32_t share(double p)
{
    return p >= 1 ? UINT32_MAX : p <= 0 ? 0 : (uint32_t)(p * UINT32_MAX);
}

/* Inverse of the standard normal distribution, by bisection: a table is made once. */
static double normal_quantile(double p)
{
    double low = -8, high = 8;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (0.5 * erfc(-middle / M_SQRT2) < p)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Excess with a mean of 1. */
static double pareto_quantile(double p)
{
    return (PARETO_SHAPE - 1) * (pow(1 - p, -1.0 / PARETO_SHAPE) - 1);
}

static void put_table(struct ce_shaping *shaping, enum ce_delay_distribution distribution)
{
    int16_t table[TABLE_SIZE];
    for (int i = 0; i < TABLE_SIZE; i++) {
        double p = (i + 0.5) / TABLE_SIZE;
        double value = distribution == CE_DELAY_NORMAL ? normal_quantile(p)
                                                       : pareto_quantile(p) / pareto_widening;
        table[i] = (int16_t)lround(fmin(value * TABLE_SCALE, INT16_MAX));
    }
    put(shaping, TCA_NETEM_DELAY_DIST, table, sizeof table);
}

struct netem {
    int64_t latency, jitter; /* ns */
    double loss, duplicate, corrupt, at_once;
    double correlation;
    bool delays, keep_order;
    enum ce_delay_distribution distribution;
    uint64_t seed;
};

/* Every value is given, as what is left out of a change stays as it was. */
static void put_netem(struct ce_shaping *shaping, const struct netem *want)
{
    uint32_t part = share(want->correlation);
    struct tc_netem_qopt head = {.limit = QUEUE_LIMIT,
                                 .loss = share(want->loss),
                                 .gap = want->at_once < 1,
                                 .duplicate = share(want->duplicate)};
    struct tc_netem_corr correlation = {.delay_corr = want->delays ? part : 0,
                                        .loss_corr = want->delays ? 0 : part,
                                        .dup_corr = want->delays ? 0 : part};
    struct tc_netem_reorder reorder = {share(want->at_once), want->delays ? 0 : part};
    struct tc_netem_corrupt corrupt = {share(want->corrupt), want->delays ? 0 : part};
    struct tc_netem_rate rate = {.rate = want->keep_order ? UINT32_MAX : 0};
    *shaping = (struct ce_shaping){.kind = "netem"};
    put_bytes(shaping, &head, sizeof head);
    put(shaping, TCA_NETEM_LATENCY64, &want->latency, sizeof want->latency);
    put(shaping, TCA_NETEM_JITTER64, &want->jitter, sizeof want->jitter);
    put(shaping, TCA_NETEM_CORR, &correlation, sizeof correlation);
    put(shaping, TCA_NETEM_REORDER, &reorder, sizeof reorder);
    put(shaping, TCA_NETEM_CORRUPT, &corrupt, sizeof corrupt);
    if (want->keep_order)
        put(shaping, TCA_NETEM_RATE64, &order_rate, sizeof order_rate);
    put(shaping, TCA_NETEM_RATE, &rate, sizeof rate);
    if (want->jitter > 0 && want->distribution != CE_DELAY_UNIFORM)
        put_table(shaping, want->distribution);
    put(shaping, PRNG_SEED, &want->seed, sizeof want->seed);
}

static int netem_of(const struct ce_packet_deed *deed, struct ce_shaping *shaping,
                    struct ce_error *err)
{
    struct netem want = {.correlation = deed->correlation, .at_once = 1, .seed = deed->seed};
    if (deed->kind == CE_PACKETS_DELAY) {
        want.delays = true;
        want.latency = deed->delay;
        want.jitter = deed->jitter;
        want.distribution = deed->distribution;
        want.keep_order = deed->keep_order;
        if (deed->distribution == CE_DELAY_PARETO)
            want.jitter = (int64_t)((double)deed->jitter * pareto_widening);
        if (want.jitter > INT32_MAX)
            return ce_fail(err, ENOTSUP, "netem spreads by less than 2 s, not by %g s",
                           (double)want.jitter / (double)CE_SECOND);
    } else {
        want.loss = deed->loss;
        want.duplicate = deed->duplicate;
        want.corrupt = deed->corrupt;
        if (deed->reorder > 0) {
            want.latency = reorder_delay;
            want.at_once = 1 - deed->reorder;
        }
    }
    put_netem(shaping, &want);
    return 0;
}

/* ---- tbf ---- */

static uint32_t at_most_32_bits(uint64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* Tokens for 10 ms and for the largest packet: one that is larger than the bucket never passes.
 * What waits is 200 ms at most, or one such packet. */
static void put_tbf(struct ce_shaping *shaping, uint64_t rate, uint64_t burst, size_t largest)
{
    enum { ETHERNET = 14 };
    uint64_t bytes = rate / 8 > 0 ? rate / 8 : 1;
    uint64_t bucket = burst > 0 ? burst : bytes / 100;
    uint64_t queue = bytes / 5;
    if (bucket < largest + ETHERNET)
        bucket = largest + ETHERNET;
    if (queue < largest + ETHERNET)
        queue = largest + ETHERNET;
    struct tc_tbf_qopt head = {.rate = {.rate = at_most_32_bits(bytes), .linklayer = 1},
                               .limit = at_most_32_bits(queue)};
    uint32_t burst32 = at_most_32_bits(bucket);
    *shaping = (struct ce_shaping){.kind = "tbf"};
    put(shaping, TCA_TBF_PARMS, &head, sizeof head);
    put(shaping, TCA_TBF_BURST, &burst32, sizeof burst32);
    if (bytes >= UINT32_MAX)
        put(shaping, TCA_TBF_RATE64, &bytes, sizeof bytes);
}

/* ---- */

int ce_shaping_of(const struct ce_packet_deed *deed, size_t largest, struct ce_shaping *ret_shaping,
                  struct ce_error *err)
{
    if (deed->kind == CE_PACKETS_DELAY || deed->kind == CE_PACKETS_LOSE)
        return netem_of(deed, ret_shaping, err);
    if (deed->kind != CE_PACKETS_LIMIT)
        return ce_fail(err, ENOTSUP, "queueing disciplines block nothing");
    put_tbf(ret_shaping, deed->rate, deed->burst, largest);
    return 0;
}

void ce_shaping_none(const char *kind, struct ce_shaping *ret_shaping)
{
    static const struct netem nothing = {.at_once = 1};
    if (strcmp(kind, "netem") == 0)
        put_netem(ret_shaping, &nothing);
    else
        put_tbf(ret_shaping, CE_PACKETS_UNLIMITED, 0, UINT16_MAX);
}
