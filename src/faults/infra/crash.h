/* SPDX-License-Identifier: MIT */
/* Killing a node's processes, and who brings them back: ChaosEater what it started itself, and of
 * any other target whoever `restart` names. */
#ifndef CE_FAULTS_INFRA_CRASH_H
#define CE_FAULTS_INFRA_CRASH_H

#include "faults/fault.h"
#include "host/subject.h"

struct ce_crash;

/* Whether such a target can be crashed at all: what nobody would bring back is refused. `restart`
 * is the parameter: NULL, "owner", "none", or a command line. */
int ce_crash_check(const struct ce_target *target, const char *restart, struct ce_error *err);
/* Notes what there is to note, and kills all victims and whoever they have forked meanwhile, whom
 * it adds to the list. -EPERM: they would stay dead, and nobody was killed. */
int ce_crash_begin(const struct ce_injection *injection, const char *service, const char *restart,
                   const struct ce_subject *subject, struct ce_process_list *victims,
                   struct ce_crash **ret_crash, struct ce_error *err);
/* 1 when all are gone; says who has brought them back, or will. */
int ce_crash_verify(const struct ce_crash *crash, struct ce_evidence *ret_evidence);
/* Sees to it that they are back. Idempotent; NULL is fine. */
int ce_crash_undo(struct ce_crash *crash, struct ce_error *err);
void ce_crash_free(struct ce_crash *crash); /* NULL is fine */

#endif
