/* SPDX-License-Identifier: MIT */
/* The page through which helpers that a target has loaded are told what to do: a small file in the
 * folder $CHAOSEATER_HELPERS, mapped by all of them and by whoever gives the orders. It stands on
 * the C library alone.
 *
 * A helper reads one word to learn that there is nothing to do, and writing that word is all that
 * arming and disarming are: a controller that dies at any moment leaves it either armed, with an
 * order that is whole and an undo that is noted, or not. */
#ifndef CE_HOST_HELPER_LAYOUT_H
#define CE_HOST_HELPER_LAYOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CE_HELPER_PAGE       "helpers.page"
#define CE_HELPER_PAGE_MAGIC UINT32_C(0xce9a6e01)

enum ce_gpu_mode {
    CE_GPU_AS_IS = 0,
    CE_GPU_NO_DEVICE,
    CE_GPU_OUT_OF_MEMORY,
    CE_GPU_LOST,
};

enum {
    CE_CLOCK_REALTIME = 1,  /* the time of day */
    CE_CLOCK_MONOTONIC = 2, /* the time since the start, suspended or not */
};

/* How far a clock is off: offset + drift * (now - begun). */
struct ce_clock_skew {
    unsigned clocks;
    int64_t offset; /* ns */
    int64_t drift;  /* ns per second */
    int64_t begun;  /* CLOCK_MONOTONIC, ns */
};

enum { CE_CLOCK_SLOTS = 4 };

struct ce_helper_page {
    _Atomic uint32_t magic;
    _Atomic uint32_t gpu; /* enum ce_gpu_mode */
    /* 0: as it is. Else the number of the order that holds, which stands in slot number %
     * CE_CLOCK_SLOTS: an order is written where no reader looks before it is the one that holds. */
    _Atomic uint32_t clock;
    _Atomic uint32_t clock_orders; /* so far */
    struct {
        _Atomic uint32_t clocks;
        _Atomic int64_t offset, drift, begun;
    } clock_slots[CE_CLOCK_SLOTS];
    /* What the helpers have done while they were armed. */
    _Atomic uint64_t gpu_refused, clock_answers;
};

/* The order that holds. False: there is none. */
static inline bool ce_helper_clock_order(const struct ce_helper_page *page,
                                         struct ce_clock_skew *ret_skew)
{
    for (;;) {
        uint32_t order = atomic_load_explicit(&page->clock, memory_order_acquire);
        if (order == 0)
            return false;
        const __typeof__(page->clock_slots[0]) *slot = &page->clock_slots[order % CE_CLOCK_SLOTS];
        *ret_skew = (struct ce_clock_skew){
            .clocks = atomic_load_explicit(&slot->clocks, memory_order_relaxed),
            .offset = atomic_load_explicit(&slot->offset, memory_order_relaxed),
            .drift = atomic_load_explicit(&slot->drift, memory_order_relaxed),
            .begun = atomic_load_explicit(&slot->begun, memory_order_relaxed),
        };
        atomic_thread_fence(memory_order_acquire);
        /* A reader who was away for so long that its slot was written anew looks again. */
        if (atomic_load_explicit(&page->clock_orders, memory_order_relaxed) - order <
            CE_CLOCK_SLOTS)
            return true;
    }
}

/* In ns, at `now` of CLOCK_MONOTONIC. */
static inline int64_t ce_clock_skew_at(const struct ce_clock_skew *skew, int64_t now)
{
    return skew->offset + (int64_t)((double)(now - skew->begun) * ((double)skew->drift / 1e9));
}

#endif
