/* SPDX-License-Identifier: MIT */
/* Files of ours that a pipeline needs at run time: its program, and what servers load. */
#ifndef CE_PIPELINE_BESIDE_H
#define CE_PIPELINE_BESIDE_H

#include "base/error.h"

/* Looked for in $CHAOSEATER_LIBEXEC, beside the running program or the library (also in
 * src/pipeline/ there, as in a build tree), and in the folder that they were installed to. Free
 * *ret_path with free(). */
int ce_beside_find(const char *file, char **ret_path, struct ce_error *err);

#endif
