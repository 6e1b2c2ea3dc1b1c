/* SPDX-License-Identifier: MIT */
/* The room's tables: what its undo notes mean, and what this host can and cannot do. */
#ifndef CE_HOST_HOST_H
#define CE_HOST_HOST_H

#include <jansson.h>

#include "journal/journal.h"

/* NULL-terminated. */
extern const struct ce_undo_op *const ce_host_undo_ops[];

/* Appends {"name", "ok", "detail", "needed_by"} for each check to the array `list`. */
int ce_host_checks(json_t *list, struct ce_error *err);

#endif
