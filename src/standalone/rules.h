/* SPDX-License-Identifier: MIT */
/* The rules of a stand-alone fault proxy: faults at work on one route, which come, change and go
 * while traffic flows.
 *
 * A rule is an injection without a run around it: the same fault, the same recipe, no measurement.
 * Its id is part of the recipe, so two rules of one fault hit different requests. */
#ifndef CE_STANDALONE_RULES_H
#define CE_STANDALONE_RULES_H

#include <jansson.h>

#include "faults/target.h"

struct ce_rules;

/* `target` is copied; what it points to must outlive the rules. */
int ce_rules_new(const struct ce_target *target, uint64_t seed, struct ce_rules **ret_rules,
                 struct ce_error *err);
/* Takes every rule away. NULL is fine. */
void ce_rules_free(struct ce_rules *rules);

/* Adds a rule that is live when this returns. `parameters` (borrowed; may be NULL): {name: value},
 * values as text or of their own type. `id` NULL: made of the fault's name. *ret_id is valid as
 * long as the rule. -EEXIST: there is a rule of that id; -ENOENT: no such fault or parameter;
 * -ENOTSUP: it needs more than a proxy has to offer; -EINVAL, -ERANGE. */
int ce_rules_add(struct ce_rules *rules, const char *id, const char *fault,
                 const json_t *parameters, const char **ret_id, struct ce_error *err);
/* Puts parameters in the place of those that the rule has; all others stay. A rule that cannot be
 * so stays as it was, but for one that cannot even be started again: it is gone, and the error says
 * so. -ENOENT: no such rule or parameter. */
int ce_rules_change(struct ce_rules *rules, const char *id, const json_t *parameters,
                    struct ce_error *err);
/* 0: as if it were not there, 1: as its parameters say. -ENOENT; -ENOTSUP: it is on or off. */
int ce_rules_adjust(struct ce_rules *rules, const char *id, double intensity, struct ce_error *err);
int ce_rules_remove(struct ce_rules *rules, const char *id, struct ce_error *err); /* -ENOENT */
bool ce_rules_has(const struct ce_rules *rules, const char *id);

/* [{"id", "fault", "parameters", "share", "filter", "intensity", "eligible", "selected", "changed",
 * "skipped"}]; of one rule its object. NULL: no memory, or no such rule. */
json_t *ce_rules_json(const struct ce_rules *rules);
json_t *ce_rule_json(const struct ce_rules *rules, const char *id);

#endif
