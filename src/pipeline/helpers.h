/* SPDX-License-Identifier: MIT */
/* How a target has to be started for faults to be able to act inside it: what its environment has
 * to say, and which programs stand before its command.
 *
 *   leak, gpu, clock   a library each (preload/), loaded by LD_PRELOAD
 *   syscalls           a program that sets up the filter, and executes what follows it
 *
 * All of them find what they need in one folder, $CHAOSEATER_HELPERS. They do nothing until a fault
 * tells them to. */
#ifndef CE_PIPELINE_HELPERS_H
#define CE_PIPELINE_HELPERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "host/helper_bits.h"

enum { CE_HELPER_VARIABLES_MAX = 2, CE_HELPER_PROGRAMS_MAX = 1 };

struct ce_helpers {
    char *variables[CE_HELPER_VARIABLES_MAX + 1]; /* "NAME=value", NULL-terminated */
    size_t count;
    char *prefix[CE_HELPER_PROGRAMS_MAX + 1]; /* absolute paths, NULL-terminated */
    size_t prefix_count;
};

/* `which`: CE_HELPER_ bits; 0: there is nothing to be said. `preload` is what the variable with the
 * libraries is called: it may be some other process that loads them in the end. `others` is what is
 * to be loaded besides; NULL: nothing. `folder` is where the helpers can be reached; it has to
 * exist. -ENOENT: a helper was not built or installed. End it with ce_helpers_done(). */
int ce_helpers_init(unsigned which, const char *preload, const char *others, const char *folder,
                    struct ce_helpers *ret, struct ce_error *err);
/* The same for a program that loads them itself, with its whole environment: what the document says
 * of it (`given`), then what the helpers need, then `more` (NULL: nothing); the last one of a name
 * holds. The list is the caller's to free; it borrows its texts. */
int ce_helpers_env(unsigned which, const struct ce_names *given, const char *folder, char *more,
                   struct ce_helpers *ret_helpers, struct ce_names *ret_env, struct ce_error *err);
void ce_helpers_done(struct ce_helpers *helpers); /* a zeroed one is fine */
/* The command behind its prefix. Free the list with free(); it borrows its texts. NULL: no memory.
 */
const char **ce_helpers_argv(const char *const *prefix, const char *const *argv);
/* Whether all of these were built or installed: where they are, or else why not, as one sentence.
 */
bool ce_helpers_available(unsigned which, char *text, size_t size);

#endif
