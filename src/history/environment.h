/* SPDX-License-Identifier: MIT */
/* Where a run took place. */
#ifndef CE_HISTORY_ENVIRONMENT_H
#define CE_HISTORY_ENVIRONMENT_H

#include <stddef.h>
#include <sys/utsname.h>

struct ce_surroundings {
    struct utsname system;
    long processors;
    char commit[65]; /* of the repository in which this process works; "": none */
};
void ce_surroundings_look(struct ce_surroundings *ret_surroundings);

/* The commit that is checked out in `folder`, or in one above it: 40 or 64 digits, or "". Reads
 * git's files and runs nothing. */
void ce_git_commit(const char *folder, char ret_commit[65]);

#endif
