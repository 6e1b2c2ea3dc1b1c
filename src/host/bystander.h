/* SPDX-License-Identifier: MIT */
/* A bystander: a short-lived program of ours that is asked what it sees from where it stands, such
 * as in the environment of a target. */
#ifndef CE_HOST_BYSTANDER_H
#define CE_HOST_BYSTANDER_H

#include <stddef.h>

#include "base/error.h"

/* Runs the program with our environment and those variables besides ("NAME=value",
 * NULL-terminated), and waits for it: what it has printed, without the newline. */
int ce_bystander_ask(const char *const *argv, const char *const *variables, char *ret_text,
                     size_t size, struct ce_error *err);

#endif
