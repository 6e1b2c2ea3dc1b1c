/* SPDX-License-Identifier: MIT */
/* What became of the hypothesis and the stop conditions, in sentences and for the record. */
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "controller/hypothesis_internal.h"

static void seconds_text(int64_t ns, char *text, size_t size)
{
    text[0] = '\0';
    if (ns > 0)
        snprintf(text, size, " for %.6g s", (double)ns / (double)CE_SECOND);
}

static bool is_of_workload(const struct item *item)
{
    return item->spec->kind == CE_PROBE_WORKLOAD;
}

/* What a stop condition is about: "error_ratio". */
static void subject_text(const struct item *item, char *text, size_t size)
{
    if (is_of_workload(item) && !item->spec->name)
        snprintf(text, size, "%.60s", item->spec->metric);
    else
        ce_probe_text(item->spec, text, size);
}

/* "error_ratio above 0.5 for 2 s". */
static void condition_text(const struct item *item, char *text, size_t size)
{
    char name[CE_TEXT_SHOWN_SIZE + 16], hold[48], bounds[96] = " is not as expected";
    const struct ce_expect *expect = &item->spec->expect;
    bool of_workload = is_of_workload(item);
    bool low = !isinf(expect->min), high = !isinf(expect->max);
    subject_text(item, name, sizeof name);
    if (of_workload && !expect->equals && low && high)
        snprintf(bounds, sizeof bounds, " above %g or below %g", expect->max, expect->min);
    else if (of_workload && !expect->equals)
        snprintf(bounds, sizeof bounds, high ? " above %g" : " below %g",
                 high ? expect->max : expect->min);
    seconds_text(item->stop->hold, hold, sizeof hold);
    snprintf(text, size, "%s%s%s", name, bounds, hold);
    ce_probe_make_text(text);
}

const char *ce_hypothesis_refuses(struct ce_hypothesis *h, const char **ret_stage)
{
    char condition[256];
    for (size_t i = 0; h && i < h->count; i++) {
        const struct item *item = &h->items[i];
        bool failed = item->row.failed >= item->spec->failures;
        if (!ce_hypothesis_awaits(h, item) || (item->known && !failed))
            continue;
        *ret_stage = item->stop && !failed ? "preflight" : "baseline";
        if (item->stop)
            condition_text(item, condition, sizeof condition);
        if (item->stop && failed)
            snprintf(h->sentence, sizeof h->sentence,
                     "the stop condition '%s' is met before anything was injected: %s", condition,
                     item->last.text);
        else if (item->stop)
            snprintf(h->sentence, sizeof h->sentence,
                     "the stop condition '%s' could never stop: %s", condition, item->last.text);
        else
            snprintf(h->sentence, sizeof h->sentence,
                     failed ? "the hypothesis did not hold before anything was injected: %s"
                            : "the hypothesis could not be looked at before anything was "
                              "injected: %s",
                     item->last.text);
        return h->sentence;
    }
    return NULL;
}

const char *ce_hypothesis_deviated(struct ce_hypothesis *h)
{
    for (size_t i = 0; h && i < h->count; i++)
        if (h->items[i].deviated) {
            snprintf(h->sentence, sizeof h->sentence, "the hypothesis did not hold: %s",
                     h->items[i].last.text);
            return h->sentence;
        }
    return NULL;
}

const char *ce_hypothesis_unknown(struct ce_hypothesis *h)
{
    for (size_t i = 0; h && i < h->count; i++)
        if (!h->items[i].stop && !h->items[i].known) {
            char name[CE_TEXT_SHOWN_SIZE + 16];
            ce_probe_text(h->items[i].spec, name, sizeof name);
            snprintf(h->sentence, sizeof h->sentence, "the hypothesis could not be looked at: %s",
                     h->items[i].last.text[0] ? h->items[i].last.text : name);
            return h->sentence;
        }
    return NULL;
}

/* What ended the run: the condition that was met, or that it was not seen any more. */
static void stopped_text(const struct ce_hypothesis *h, char *text, size_t size)
{
    char name[CE_TEXT_SHOWN_SIZE + 16];
    if (!h->stopped_blind) {
        condition_text(h->stopped, text, size);
        return;
    }
    subject_text(h->stopped, name, sizeof name);
    snprintf(text, size, "%s could not be looked at any more", name);
    ce_probe_make_text(text);
}

const char *ce_hypothesis_stopped(struct ce_hypothesis *h)
{
    char condition[256];
    if (!h || !h->stopped)
        return NULL;
    stopped_text(h, condition, sizeof condition);
    if (!h->stopped_blind && is_of_workload(h->stopped))
        snprintf(h->sentence, sizeof h->sentence, "stopped: %s: it was %.6g", condition,
                 h->stopped_value);
    else
        snprintf(h->sentence, sizeof h->sentence, "stopped: %s: %s", condition,
                 h->stopped->last.text);
    return h->sentence;
}

/* ---- the record ---- */

static json_t *item_json(const struct item *item)
{
    static const char *const empty = "not looked at";
    const struct ce_choice *kind = ce_param_find(ce_probe_params, "probe")->choices;
    const struct ce_choice *mode = ce_param_find(ce_probe_params, "mode")->choices;
    char name[CE_TEXT_SHOWN_SIZE + 16], detail[CE_TEXT_SHOWN_SIZE * 4];
    while (kind->name && kind->value != item->spec->kind)
        kind++;
    while (mode->name && mode->value != item->spec->mode)
        mode++;
    ce_probe_text(item->spec, name, sizeof name);
    snprintf(detail, sizeof detail, "%s", item->looks > 0 ? item->last.text : empty);
    json_t *held = item->deviated ? json_false() : item->known ? json_true() : json_null();
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:s}", "name", name, "probe", kind->name,
                     "mode", mode->name, "looks", (json_int_t)item->looks, "failures",
                     (json_int_t)item->failed, "errors", (json_int_t)item->errors, "held", held,
                     "detail", detail);
}

void ce_hypothesis_record(const struct ce_hypothesis *h, struct ce_record *record)
{
    char condition[256];
    if (!h)
        return;
    if (h->experiment->probe_count > 0) {
        json_decref(record->steady_state);
        record->steady_state = json_array();
    }
    for (size_t i = 0; i < h->experiment->probe_count; i++)
        (void)json_array_append_new(record->steady_state, item_json(&h->items[i]));
    if (!h->stopped)
        return;
    stopped_text(h, condition, sizeof condition);
    json_decref(record->stopped_by);
    record->stopped_by = json_pack(
        "{s:s, s:o, s:o}", "condition", condition, "value", ce_json_number(h->stopped_value),
        "after", ce_json_number((double)(h->stopped_at - h->injected_at) / (double)CE_SECOND));
}
