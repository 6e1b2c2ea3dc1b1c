/* SPDX-License-Identifier: MIT */
/* CHAOSEATER_MAX_DURATION: in a notebook, or in a test of what a document says, nobody wants to
 * wait for its minutes. What is cut is the time that a fault is live; reports say so. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "experiment/document_internal.h"

#define VARIABLE "CHAOSEATER_MAX_DURATION"

int ce_document_cap_durations(struct ce_document *doc, struct ce_error *err)
{
    const char *text = getenv(VARIABLE);
    int64_t most;
    size_t cut = 0;
    if (!text || text[0] == '\0')
        return 0;
    if (ce_text_duration(text, true, &most) < 0 || most < CE_MILLISECOND)
        return ce_fail(err, EINVAL,
                       VARIABLE " is '%s', and not a time of 1ms or more, such as 2 or 500ms",
                       text);
    for (size_t i = 0; i < doc->experiment_count; i++) {
        struct ce_experiment *experiment = &doc->experiments[i];
        if (experiment->duration <= most)
            continue;
        experiment->asked_duration = experiment->duration;
        experiment->duration = most;
        cut++;
    }
    return cut == 0
               ? 0
               : ce_document_note(doc, err,
                                  VARIABLE "=%s: the duration of %zu experiment%s is cut to it",
                                  text, cut, cut == 1 ? "" : "s");
}
