/* SPDX-License-Identifier: MIT */
/* The blast radius of a run: how far its fault may reach, and acting on several processes at once.
 *
 * Which live requests or rows the fault may touch it looks up itself (struct ce_reach). Of several
 * processes that `target:` may mean, the chosen ones are made targets of their own, each with an
 * injection of the same fault; all of them are injected, verified, adjusted and reverted
 * together. Who is chosen is a pure function of the seed and of the list of processes. */
#ifndef CE_CONTROLLER_BLAST_H
#define CE_CONTROLLER_BLAST_H

#include "experiment/document.h"

struct run;

/* What `target:` names; of a radius of processes each that is chosen. */
struct ce_blast_aim {
    struct ce_target_spec spec; /* of one that is chosen: its pid */
    struct ce_target_found found;
};
struct ce_blast_found {
    struct ce_blast_aim *aims;
    size_t count;      /* 0: `target:` names nothing but the pipeline */
    uint64_t eligible; /* how many there were to choose among */
    char name[192];    /* of all of them, for messages */
};
/* Looks for it as ce_aim_find() does. Touches nothing. */
int ce_blast_find(const struct ce_experiment *experiment, uint64_t seed, const char *state_dir,
                  struct ce_blast_found *ret_found, struct ce_error *err);
void ce_blast_found_done(struct ce_blast_found *found); /* a zeroed one is fine */

/* The radius that the experiment states for requests and rows, or for choosing processes. */
struct ce_radius ce_blast_radius(const struct ce_blast_spec *spec, uint64_t seed);

struct ce_blast {
    struct ce_blast_found found;
    struct ce_reach reach;       /* of requests and rows */
    struct ce_blast_part *parts; /* the injections besides the run's own */
    size_t part_count, begun;    /* of all of them, those that inject was called for */
};
/* Once the run's target is known: gets the injections ready. */
int ce_blast_prepare(struct run *run, struct ce_error *err);
void ce_blast_done(struct ce_blast *blast);
/* Whether of the requests that have come none lay within the radius, and a sentence about that. */
bool ce_blast_is_empty(const struct run *run, char *text, size_t size);
/* What was chosen, as far as it is known by now. */
void ce_blast_record(struct run *run);

/* The callbacks of struct ce_fault, for all injections of the run. */
int ce_blast_inject(struct run *run, struct ce_error *err);
int ce_blast_verify(struct run *run, struct ce_evidence *ret_evidence, struct ce_error *err);
int ce_blast_adjust(struct run *run, double intensity, struct ce_error *err);
int ce_blast_spare(struct run *run, double share, struct ce_error *err);
int ce_blast_revert(struct run *run, struct ce_error *err);
int ce_blast_verify_undo(struct run *run, struct ce_error *err);
void ce_blast_count(struct run *run, struct ce_fault_counts *ret_counts);

#endif
