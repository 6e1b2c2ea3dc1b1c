/* SPDX-License-Identifier: MIT */
/* Runs beside each other: each in a process of its own, which has a guard of its own, so that one
 * that crashes takes nothing of the others along.
 *
 * A member tells its progress and, at its end, its record, as lines of JSON through a pipe. It dies
 * with the process that started it; its guard then undoes what it did. */
#ifndef CE_ORCHESTRATOR_CREW_H
#define CE_ORCHESTRATOR_CREW_H

#include "controller/controller.h"

struct ce_member;

struct ce_member_report {
    const char *phase;          /* "observing"; valid until the next call */
    const char *id;             /* of the run; likewise */
    double fraction, intensity; /* as of struct ce_event */
    bool guarded;
    const json_t *sample;    /* as of ce_sample_json(); NULL: none is due. Valid likewise */
    bool ended;              /* then: */
    struct ce_record record; /* the caller's, when `has_record` */
    bool has_record;         /* false: it crashed, and `cause` says how */
    char cause[160];
    bool hits_lost;
};

/* `options` are copied, what they point to is borrowed until it has ended; `hits` is the file that
 * hits go to, or NULL. `options->signal` has to lie in memory that both share. */
int ce_member_start(const struct ce_run_options *options, const char *hits,
                    struct ce_member **ret_member, struct ce_error *err);
/* Readable when it has something to say. */
int ce_member_fd(const struct ce_member *member);
/* What it has said since: 1, or 0 when there is nothing now. After `ended` there is nothing more.
 */
int ce_member_next(struct ce_member *member, struct ce_member_report *ret_report,
                   struct ce_error *err);
/* Kills one that has not ended. NULL is fine. */
void ce_member_free(struct ce_member *member);

#endif
