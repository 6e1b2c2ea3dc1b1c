/* SPDX-License-Identifier: MIT */
/* What this host can and cannot do for the mechanisms of this room. */
#ifndef CE_HOST_HOST_H
#define CE_HOST_HOST_H

#include <jansson.h>

#include "base/error.h"

/* Appends {"name", "ok", "detail", "needed_by"} for each check to the array `list`. */
int ce_host_checks(json_t *list, struct ce_error *err);

#endif
