/* SPDX-License-Identifier: MIT */
/* Bytes that belong to somebody else. */
#ifndef CE_BASE_SLICE_H
#define CE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct ce_slice {
    const char *data;
    size_t size;
};

static inline struct ce_slice ce_slice_of(const char *text)
{
    return (struct ce_slice){text, strlen(text)};
}

static inline bool ce_slice_same(struct ce_slice a, struct ce_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool ce_slice_is(struct ce_slice slice, const char *text)
{
    return ce_slice_same(slice, ce_slice_of(text));
}

#endif
