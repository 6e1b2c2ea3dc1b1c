/* SPDX-License-Identifier: MIT */
/* The environment of a program to be started. */
#ifndef CE_BASE_ENVIRONMENT_H
#define CE_BASE_ENVIRONMENT_H

#include <stddef.h>

/* This process's environment, with those `count` variables ("NAME=value") in the place of, or
 * beside, the ones it has. The list is to be freed with free(), and borrows its texts; NULL: no
 * memory. */
const char **ce_environment_with(const char *const *more, size_t count);

#endif
