/* SPDX-License-Identifier: MIT */
/* A fault and its parameters, put together from what somebody wrote: the `data` commands, the
 * stand-alone proxy and its control API. */
#ifndef CE_FAULTS_CHOSEN_H
#define CE_FAULTS_CHOSEN_H

#include "base/cleanup.h"
#include "faults/fault.h"

struct ce_chosen {
    const struct ce_fault *fault; /* NULL: zeroed, nothing is owned */
    void *params;
};

/* The fault of that name with its defaults. -ENOENT with the nearest name. */
int ce_chosen_init(const char *fault, struct ce_chosen *ret, struct ce_error *err);
void ce_chosen_done(struct ce_chosen *chosen); /* a zeroed one is fine */

/* One parameter as text; of a list its items with commas. -ENOENT: the fault has none of that name;
 * -EINVAL, -ERANGE: as for any parameter. */
int ce_chosen_set(struct ce_chosen *chosen, const char *name, const char *text,
                  struct ce_error *err);
/* The same from JSON: a number, a text, true or false, a list of texts. */
int ce_chosen_set_json(struct ce_chosen *chosen, const char *name, const json_t *value,
                       struct ce_error *err);
/* The rules across parameters. */
int ce_chosen_check(const struct ce_chosen *chosen, struct ce_error *err);
/* What it needs with these parameters: CE_NEEDS_... */
unsigned ce_chosen_needs(const struct ce_chosen *chosen);

/* "name=value": 0, or -EINVAL when it is not of that form. Free *ret_name with free(). */
int ce_assignment_split(const char *assignment, char **ret_name, const char **ret_value,
                        struct ce_error *err);

#endif
