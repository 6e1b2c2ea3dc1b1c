/* SPDX-License-Identifier: MIT */
#include "report/words.h"

#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"

enum ce_outcome ce_record_outcome(const struct ce_record *record)
{
    switch (record->status) {
    case CE_STATUS_SKIPPED:
        return CE_OUTCOME_SKIPPED;
    case CE_STATUS_ABORTED:
        return CE_OUTCOME_FAILED;
    case CE_STATUS_INTERRUPTED:
    case CE_STATUS_FAILED:
    case CE_STATUS_DIRTY:
        return CE_OUTCOME_ERROR;
    case CE_STATUS_COMPLETED:
        break;
    }
    if (record->verdict == CE_VERDICT_PASSED)
        return CE_OUTCOME_PASSED;
    return record->verdict == CE_VERDICT_DEVIATED ? CE_OUTCOME_FAILED : CE_OUTCOME_ERROR;
}

const char *ce_record_ending(const struct ce_record *record)
{
    return record->status == CE_STATUS_COMPLETED ? ce_verdict_name(record->verdict)
                                                 : ce_status_name(record->status);
}

char *ce_record_title(const struct ce_record *record)
{
    char repeat[16] = "";
    if (record->repeat > 0)
        snprintf(repeat, sizeof repeat, " #%d", record->repeat);
    return ce_format("%s%s%s%s", record->name, repeat, record->profile ? ", " : "",
                     record->profile ? record->profile : "");
}

const char *ce_record_why(const struct ce_record *record)
{
    return record->reason ? record->reason : "";
}

bool ce_record_has_pipeline(const struct ce_record *record)
{
    return !record->toolkit;
}

/* ---- facts ---- */

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* What held and what did not, by name; of the latter also what was seen. */
static void write_steady_state(const json_t *probes, FILE *out)
{
    size_t i, held = 0;
    json_t *probe;
    json_array_foreach(probes, i, probe)
    {
        held += json_is_true(json_object_get(probe, "held"));
    }
    fprintf(out, "%zu of %zu held", held, json_array_size(probes));
    json_array_foreach(probes, i, probe)
    {
        const json_t *state = json_object_get(probe, "held");
        const char *detail = text_at(probe, "detail");
        if (json_is_true(state))
            continue;
        fprintf(out, "; %s %s%s%s", text_at(probe, "name"),
                json_is_false(state) ? "did not" : "could not be looked at", detail[0] ? ": " : "",
                detail);
    }
}

/* A value of the document's, as people write it. */
static void write_value(const json_t *value, FILE *out)
{
    if (json_is_string(value))
        fputs(json_string_value(value), out);
    else if (json_is_number(value))
        fprintf(out, "%.6g", json_number_value(value));
    else
        (void)json_dumpf(value, out, JSON_ENCODE_ANY | JSON_COMPACT);
}

static void write_stop(const json_t *stop, FILE *out)
{
    const json_t *value = json_object_get(stop, "value"), *after = json_object_get(stop, "after");
    fputs(text_at(stop, "condition"), out);
    if (value && !json_is_null(value)) {
        fputs(", at ", out);
        write_value(value, out);
    }
    if (json_is_number(after))
        fprintf(out, ", %.1f s after injection", json_number_value(after));
}

/* The first few of what was chosen; the rest is in the JSON. */
static void write_radius(const json_t *radius, FILE *out)
{
    enum { SHOWN = 8 };
    const json_t *chosen = json_object_get(radius, "chosen");
    size_t count = json_array_size(chosen);
    /* Of what is too many to be named it says how many there were. */
    const json_t *number = json_array_get(chosen, 0), *share = json_object_get(radius, "share");
    bool counted = json_is_integer(number);
    fprintf(out, "%lld of ", counted ? (long long)json_integer_value(number) : (long long)count);
    write_value(json_object_get(radius, "eligible"), out);
    fprintf(out, " %s, %s", text_at(radius, "of"), text_at(radius, "mode"));
    if (json_is_number(share))
        fprintf(out, " (%.3g %%)", 100 * json_number_value(share));
    if (counted)
        return;
    for (size_t i = 0; i < count && i < SHOWN; i++) {
        fputs(i == 0 ? ": " : ", ", out);
        write_value(json_array_get(chosen, i), out);
    }
    if (count > SHOWN)
        fprintf(out, " and %zu more", count - SHOWN);
}

static bool has_rollback_to_tell(const struct ce_record *record)
{
    bool unhealthy = false;
    for (size_t i = 0; i < record->step_count; i++)
        unhealthy = unhealthy || !record->steps[i].healthy;
    return record->step_count > 1 || unhealthy || (record->rollback_reason && record->step_count);
}

static void write_rollback(const struct ce_record *record, FILE *out)
{
    enum { SHOWN = 12 };
    fputs(record->rolled_back_by ? record->rolled_back_by : record->strategy, out);
    fputs(", intensity", out);
    for (size_t i = 0; i < record->step_count; i++) {
        const struct ce_rollback_step *step = &record->steps[i];
        if (i < SHOWN || i + 1 == record->step_count)
            fprintf(out, "%s %.3g at %.1f s%s%s%s", i == 0 ? "" : ",", step->intensity, step->at,
                    step->event ? " " : "", step->event ? step->event : "",
                    step->healthy ? "" : " (unhealthy)");
        else if (i == SHOWN)
            fputs(", ...", out);
    }
    if (record->rollback_reason)
        fprintf(out, "; %s", record->rollback_reason);
}

/* One sentence, made by `write` in memory. */
static void write_cap(const struct ce_record *record, FILE *out)
{
    fprintf(out, "%g s instead of %g s: CHAOSEATER_MAX_DURATION cut it", record->duration,
            record->asked_duration);
}

#define TELL(word, write, what)                                                                    \
    do {                                                                                           \
        ce_autofree char *sentence_ = NULL;                                                        \
        size_t size_;                                                                              \
        FILE *out_ = open_memstream(&sentence_, &size_);                                           \
        if (!out_)                                                                                 \
            return -ENOMEM;                                                                        \
        write(what, out_);                                                                         \
        if (fclose(out_) != 0)                                                                     \
            return -ENOMEM;                                                                        \
        put(ctx, word, sentence_);                                                                 \
    } while (0)

int ce_record_facts(const struct ce_record *record, ce_put_fact *put, void *ctx)
{
    if (record->asked_duration > 0)
        TELL("duration", write_cap, record);
    if (record->steady_state)
        TELL("steady state", write_steady_state, record->steady_state);
    if (record->stopped_by)
        TELL("stopped by", write_stop, record->stopped_by);
    if (record->blast_radius)
        TELL("blast radius", write_radius, record->blast_radius);
    if (has_rollback_to_tell(record))
        TELL("rollback", write_rollback, record);
    return 0;
}
