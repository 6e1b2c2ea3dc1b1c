/* SPDX-License-Identifier: MIT */
/* Errors are values with a sentence: a negative errno for code, a readable sentence for people.
 *
 * The sentence is set once, where the cause is known, and names the value and what would have been
 * accepted. Callers add context only when they know something that the callee did not. The library
 * never prints. */
#ifndef CE_BASE_ERROR_H
#define CE_BASE_ERROR_H

#include <errno.h>
#include <stdarg.h>

#include "chaoseater.h"

#define CE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CE_COUNT(array)      (sizeof(array) / sizeof((array)[0]))

/* Fills `err` (may be NULL) and returns -code, so callers write `return ce_fail(...)`. */
int ce_fail(struct ce_error *err, int code, const char *fmt, ...) CE_PRINTF(3, 4);

/* The same, with the place in the input that is at fault, such as "plan.yaml:14:9". */
int ce_fail_at(struct ce_error *err, const char *where, int code, const char *fmt, ...)
    CE_PRINTF(4, 5);

/* Puts "context: " before the sentence that `err` already holds; returns `r` unchanged. */
int ce_fail_context(struct ce_error *err, int r, const char *fmt, ...) CE_PRINTF(3, 4);

/* "out of memory"; returns -ENOMEM. */
int ce_fail_memory(struct ce_error *err);

/* Returns from the current function when `expr` failed; `err` already says why. */
#define CE_TRY(expr)                                                                               \
    do {                                                                                           \
        int try_r_ = (expr);                                                                       \
        if (try_r_ < 0)                                                                            \
            return try_r_;                                                                         \
    } while (0)

#endif
