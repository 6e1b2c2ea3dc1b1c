/* SPDX-License-Identifier: MIT */
/* What is not touched unless the operator insists. */
#ifndef CE_TARGET_DENY_H
#define CE_TARGET_DENY_H

#include "host/subject.h"

/* Refuses (-EPERM, with the reason) what would hit pid 1, the kernel's threads, this process or
 * what it runs in, all traffic of the host, the operator's own ssh connection, or the filesystems
 * that the system runs from. Looks at what the subject has by now. */
int ce_target_deny(const struct ce_subject *subject, const char *state_dir, struct ce_error *err);

#endif
