/* SPDX-License-Identifier: MIT */
#include "faults/model/label_swaps.h"

#include <string.h>

#include "base/slice.h"
#include "base/text.h"

static struct ce_slice trimmed(struct ce_slice slice)
{
    while (slice.size > 0 && strchr(" \t", slice.data[0])) {
        slice.data++;
        slice.size--;
    }
    while (slice.size > 0 && strchr(" \t", slice.data[slice.size - 1]))
        slice.size--;
    return slice;
}

/* Up to the mark, or all of it; *rest is what is behind the mark, or NULL data. */
static struct ce_slice split(struct ce_slice slice, char mark, struct ce_slice *rest)
{
    const char *at = memchr(slice.data, mark, slice.size);
    *rest = (struct ce_slice){NULL, 0};
    if (!at)
        return trimmed(slice);
    *rest = trimmed((struct ce_slice){at + 1, (size_t)(slice.data + slice.size - at - 1)});
    return trimmed((struct ce_slice){slice.data, (size_t)(at - slice.data)});
}

static bool copy_label(char text[64], struct ce_slice label)
{
    if (label.size == 0 || label.size >= 64)
        return false;
    memcpy(text, label.data, label.size);
    text[label.size] = '\0';
    return true;
}

static bool read_probability(struct ce_slice text, double *ret_probability)
{
    char number[32];
    *ret_probability = 1;
    if (!text.data)
        return true;
    if (text.size >= sizeof number)
        return false;
    memcpy(number, text.data, text.size);
    number[text.size] = '\0';
    return ce_text_number(number, ret_probability) == 0 && *ret_probability >= 0 &&
           *ret_probability <= 1;
}

static int read_swap(struct ce_slice entry, struct ce_label_swap *swap, struct ce_error *err)
{
    struct ce_slice to, probability, pair = split(entry, ':', &probability),
                                     from = split(pair, '>', &to);
    if (!to.data || !copy_label(swap->from, from) || !copy_label(swap->to, to))
        return ce_fail(err, EINVAL,
                       "matrix: '%.*s' is not of the form LABEL>LABEL:PROBABILITY, as in a>b:0.3",
                       (int)entry.size, entry.data);
    if (!read_probability(probability, &swap->probability))
        return ce_fail(err, EINVAL,
                       "matrix: the probability '%.*s' of %s>%s is not a number in 0..1",
                       (int)probability.size, probability.data, swap->from, swap->to);
    if (strcmp(swap->from, swap->to) == 0)
        return ce_fail(err, EINVAL, "matrix: %s>%s changes nothing", swap->from, swap->to);
    return 0;
}

/* Against those before it. */
static int check_swap(const struct ce_label_swaps *swaps, const struct ce_label_swap *swap,
                      struct ce_error *err)
{
    double sum = swap->probability;
    for (const struct ce_label_swap *other = swaps->swaps; other < swap; other++) {
        if (strcmp(other->from, swap->from) != 0)
            continue;
        if (strcmp(other->to, swap->to) == 0)
            return ce_fail(err, EINVAL, "matrix: %s>%s is there twice", swap->from, swap->to);
        sum += other->probability;
    }
    if (sum > 1 + 1e-9)
        return ce_fail(err, EINVAL,
                       "matrix: the probabilities of what becomes of %s sum to %g, more than 1",
                       swap->from, sum);
    return 0;
}

int ce_label_swaps_parse(const char *text, struct ce_label_swaps *ret, struct ce_error *err)
{
    struct ce_slice rest = ce_slice_of(text);
    for (ret->count = 0; rest.data; ret->count++) {
        struct ce_slice entry = split(rest, ',', &rest);
        if (ret->count == CE_LABEL_SWAPS_MAX)
            return ce_fail(err, EINVAL, "matrix: more than %d entries", CE_LABEL_SWAPS_MAX);
        struct ce_label_swap *swap = &ret->swaps[ret->count];
        CE_TRY(read_swap(entry, swap, err));
        CE_TRY(check_swap(ret, swap, err));
    }
    return 0;
}
