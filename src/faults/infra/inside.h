/* SPDX-License-Identifier: MIT */
/* What faults have in common that act inside a process, by a helper that it has loaded. */
#ifndef CE_FAULTS_INFRA_INSIDE_H
#define CE_FAULTS_INFRA_INSIDE_H

#include <jansson.h>

#include "faults/target.h"
#include "host/helper_page.h"
#include "host/subject.h"

#define CE_GPU_LIBRARY   "libchaoseater-gpu.so"
#define CE_CLOCK_LIBRARY "libchaoseater-clock.so"

/* The part of the target that is meant, with its process, and where its helpers listen. */
int ce_inside_find(const struct ce_target *target, const char *service,
                   struct ce_subject *ret_subject, struct ce_error *err);
/* The page of the helpers; -ENOTSUP when none of its processes has loaded that library. */
int ce_inside_open(const struct ce_subject *subject, const char *library,
                   struct ce_helper_control **ret_control, struct ce_error *err);
/* Whether any process of it has loaded that library. */
bool ce_inside_loaded(const struct ce_subject *subject, const char *library);
/* What a process sees that is started with these helpers (CE_HELPER_ bits) and arguments:
 * NULL-terminated, at most two; the line that it prints. */
int ce_inside_bystander(const struct ce_subject *subject, unsigned which, const char *const *args,
                        char *ret_text, size_t size, struct ce_error *err);
/* What the model server says of itself at that path, past any fault on the way; NULL when it says
 * nothing of the kind, as most do. To be released. */
json_t *ce_inside_ask(const struct ce_target *target, const char *path);

#endif
