/* SPDX-License-Identifier: MIT */
/* What the environment of a server has to say for it to load the helper that leaks
 * (preload/leak.c; host/leak.h is the other end). */
#ifndef CE_PIPELINE_LEAK_HELPER_H
#define CE_PIPELINE_LEAK_HELPER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct ce_leak_helper {
    char *variables[2]; /* "LD_PRELOAD=...", "CHAOSEATER_LEAK=..." */
};

/* `preload` is what the first of the variables is called: it may be some other process that loads
 * the helper in the end. `others` is what is to be loaded besides; NULL: nothing. `folder` is where
 * the helper can be reached; it has to exist. -ENOENT: the helper was not built or installed. End
 * it with ce_leak_helper_done(). */
int ce_leak_helper_init(const char *preload, const char *others, const char *folder,
                        struct ce_leak_helper *ret, struct ce_error *err);
void ce_leak_helper_done(struct ce_leak_helper *helper); /* a zeroed one is fine */
/* Whether it was built or installed: where it is, or else why not, as one sentence. */
bool ce_leak_helper_available(char *text, size_t size);

#endif
