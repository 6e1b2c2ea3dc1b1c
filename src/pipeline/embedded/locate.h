/* SPDX-License-Identifier: MIT */
/* Where the embedded pipeline's parts are, in the kernel's terms. */
#ifndef CE_PIPELINE_EMBEDDED_LOCATE_H
#define CE_PIPELINE_EMBEDDED_LOCATE_H

#include "host/subject.h"
#include "pipeline/embedded/processes.h"

/* `service`: "server" (also NULL), "gateway", "resolver", "pipeline" or "all". -ENOENT: no such
 * part, -ESRCH: it does not run at the moment. */
int ce_embedded_locate(struct ce_processes *processes, const char *run_folder, const char *service,
                       struct ce_subject *ret_subject, struct ce_error *err);

#endif
