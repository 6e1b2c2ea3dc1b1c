/* SPDX-License-Identifier: MIT */
/* The proof log of faults on traffic: which request was hit, by which rule, and what was done to
 * it.
 *
 * A hit is one line of JSON: {"n", "id", "rule", "fault", "at", "connection", "path", "action"},
 * and "run" if it is part of one. The last 10,000 are kept in memory; all of them go to a file if
 * one is named. All functions may be called from any thread. */
#ifndef CE_FAULTS_HITS_H
#define CE_FAULTS_HITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CE_HITS_KEPT 10000

struct ce_hits;

/* Lines are appended to `file`, which is made when it is missing; NULL: none. */
int ce_hits_new(const char *file, struct ce_hits **ret_hits, struct ce_error *err);
void ce_hits_free(struct ce_hits *hits); /* NULL is fine */

struct ce_hit {
    uint64_t number, connection; /* see struct ce_exchange */
    const char *id, *path;
    const char *rule; /* NULL: it has no name */
    const char *run;  /* id of the run that it is part of; NULL: none */
    const char *fault;
    const char *action; /* "delayed 512.3 ms" */
};
void ce_hits_note(struct ce_hits *hits, const struct ce_hit *hit);

/* How many were noted in all. */
uint64_t ce_hits_count(struct ce_hits *hits);
/* The last `count` of them at most (0: all that are kept), the oldest first; NUL-terminated. Free
 * with free(). NULL: no memory. */
char *ce_hits_text(struct ce_hits *hits, size_t count, size_t *ret_size);
/* 0; or -errno when lines are missing: the file could not be written, or memory was short. */
int ce_hits_problem(struct ce_hits *hits, struct ce_error *err);

#endif
