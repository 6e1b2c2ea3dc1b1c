/* SPDX-License-Identifier: MIT */
/* What the first process does in namespaces that were made for it. */
#ifndef CE_PIPELINE_OWN_NAMESPACES_H
#define CE_PIPELINE_OWN_NAMESPACES_H

#include "base/error.h"

/* A new network namespace has a loopback device, but it is down. */
int ce_own_loopback(struct ce_error *err);
/* What is mounted in here is not seen outside; what others mount out there later is seen in here.
 */
int ce_own_mounts(struct ce_error *err);
/* /proc shows the pids by which the processes in here know each other. */
int ce_own_proc(struct ce_error *err);

/* Why there are no namespaces: what a person can do something about, instead of the kernel's word
 * for it. */
void ce_own_namespaces_why(const struct ce_error *failed, char *text, size_t size);

#endif
