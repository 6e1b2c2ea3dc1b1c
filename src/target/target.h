/* SPDX-License-Identifier: MIT */
/* The document's `target:` mapping: what a fault acts on instead of the pipeline under test.
 *
 * It names one thing. That is looked for before anything starts, and must be found exactly once;
 * what would take the host, ChaosEater or the operator's own connection down is refused unless
 * `i_know: true` says otherwise. When the fault is injected the thing is looked for again, and must
 * still be the same. */
#ifndef CE_TARGET_TARGET_H
#define CE_TARGET_TARGET_H

#include "host/subject.h"
#include "params/params.h"

struct ce_target_spec {
    bool pipeline, i_know;
    int64_t pid;
    char *process; /* its name */
    char *user;    /* whose process; NULL: anybody's */
    char *unit, *cgroup, *container;
    char *interface, *netns, *peer;
    char *path, *device;
};
extern const struct ce_param ce_target_params[];
/* The keys that `process` takes when it is a mapping; of the same struct. */
extern const struct ce_param ce_target_process_params[];

/* Whether the keys fit each other: one thing is named, and what belongs to it. *ret_key: the key at
 * fault, NULL when it is none that was given; only on failure. */
int ce_target_keys_check(const struct ce_target_spec *spec, const char **ret_key,
                         struct ce_error *err);
/* Whether it names something else than the pipeline. */
bool ce_target_is_explicit(const struct ce_target_spec *spec);

/* What was found, and by what. */
struct ce_target_found {
    const struct ce_target_spec *spec; /* borrowed */
    const char *state_dir;             /* ChaosEater's own files; borrowed */
    struct ce_subject subject;
};
/* Finds it, and checks that it may be touched. -ESRCH, -ENOENT: nothing is called so; -ENOTUNIQ:
 * several are, and which; -EPERM: it is denied, and why. */
int ce_target_resolve(const struct ce_target_spec *spec, const char *state_dir,
                      struct ce_target_found *ret_found, struct ce_error *err);
/* The processes that it may mean, each with all below it: those of that name, or those in that
 * group that none of the others is above. By pid. Free with ce_process_list_done(). */
int ce_target_trees(const struct ce_target_spec *spec, struct ce_process_list *ret_list,
                    struct ce_error *err);
/* Finds it again: struct ce_target's locate(), whose first argument is a struct ce_target_found.
 * -ESRCH when it has gone or is another one by now. */
int ce_target_locate(void *found, const char *service, struct ce_subject *ret_subject,
                     struct ce_error *err);

#endif
