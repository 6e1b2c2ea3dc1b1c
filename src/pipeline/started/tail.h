/* SPDX-License-Identifier: MIT */
/* The end of a file that may be long. */
#ifndef CE_PIPELINE_STARTED_TAIL_H
#define CE_PIPELINE_STARTED_TAIL_H

#include <stddef.h>

#include "base/error.h"

/* The last `most` bytes, or all of it, and a NUL behind them. Free *ret_text with free(). */
int ce_tail_read(const char *path, size_t most, char **ret_text, size_t *ret_size,
                 struct ce_error *err);

#endif
