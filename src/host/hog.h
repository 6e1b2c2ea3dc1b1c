/* SPDX-License-Identifier: MIT */
/* A process that takes memory.
 *
 * The hog is a child of this process with nothing in it but pages: anonymous, filled, and locked
 * where the limit on locked memory allows, else touched again every second. It is the kernel's
 * first choice when memory runs out (oom_score_adj 1000). It never takes the available memory below
 * its floor, and gives back at once when others do. */
#ifndef CE_HOST_HOG_H
#define CE_HOST_HOG_H

#include "base/identity.h"
#include "host/memory.h"
#include "journal/journal.h"

struct ce_hog;
struct ce_hog_size {
    uint64_t bytes; /* taken now */
    bool locked;    /* all of it: it cannot be swapped out */
    bool limited;   /* the floor (or the kernel) kept it from growing, or made it give back */
};

/* Notes and starts the hog, with nothing taken yet. It ends with the calling thread. */
int ce_hog_start(struct ce_journal *journal, uint64_t floor, struct ce_hog **ret_hog,
                 struct ce_error *err);
/* Grows or shrinks it to `bytes`; returns when it is there, or can go no further. */
int ce_hog_resize(struct ce_hog *hog, uint64_t bytes, struct ce_hog_size *ret_size,
                  struct ce_error *err);
/* What it says that it holds now. */
int ce_hog_look(struct ce_hog *hog, struct ce_hog_size *ret_size, struct ce_error *err);
struct ce_process_id ce_hog_id(const struct ce_hog *hog);
/* Ends it and frees `hog`, in every case. After a failure its note is still live. NULL is fine. */
int ce_hog_stop(struct ce_hog *hog, struct ce_error *err);

#endif
