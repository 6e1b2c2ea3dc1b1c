/* SPDX-License-Identifier: MIT */
#include "controller/blast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "controller/run.h"

struct ce_blast_part {
    struct ce_target target;
    struct ce_injection injection;
};

/* ---- who is chosen ---- */

struct ce_radius ce_blast_radius(const struct ce_blast_spec *spec, uint64_t seed)
{
    struct ce_radius radius = {.seed = seed};
    switch ((enum ce_blast_mode)spec->mode) {
    case CE_BLAST_ALL:
        break;
    case CE_BLAST_ONE:
    case CE_BLAST_FIXED:
        radius.kind = CE_RADIUS_COUNT;
        radius.count = spec->mode == CE_BLAST_ONE ? 1 : (uint64_t)spec->value;
        break;
    case CE_BLAST_PERCENT:
    case CE_BLAST_RANDOM_MAX_PERCENT:
        radius.kind = CE_RADIUS_SHARE;
        radius.share = spec->value / 100;
        if (spec->mode == CE_BLAST_RANDOM_MAX_PERCENT) {
            struct ce_stream stream =
                ce_stream_init(seed, "blast_radius/share", ce_blast_unit_name(spec->of));
            radius.share *= ce_stream_uniform(&stream, 0);
        }
    }
    return radius;
}

/* Writes what they are called, as far as there is room. */
static void name_all(struct ce_blast_found *found)
{
    size_t used = 0;
    if (found->count > 1)
        used = (size_t)snprintf(found->name, sizeof found->name, "%zu of %llu: ", found->count,
                                (unsigned long long)found->eligible);
    for (size_t i = 0; i < found->count && used < sizeof found->name; i++)
        used += (size_t)snprintf(found->name + used, sizeof found->name - used, "%s%s",
                                 i > 0 ? ", " : "", found->aims[i].found.subject.name);
}

/* Each of the chosen becomes a target that its pid names. */
static int aim_at_chosen(const struct ce_experiment *experiment, uint64_t seed,
                         const char *state_dir, const struct ce_process_list *list,
                         struct ce_blast_found *found, struct ce_error *err)
{
    const struct ce_radius radius = ce_blast_radius(&experiment->blast, seed);
    const struct ce_radius_set set = ce_radius_set(&radius, "processes", list->count);
    found->eligible = list->count;
    found->aims = calloc(set.size + 1, sizeof *found->aims);
    if (!found->aims)
        return ce_fail_memory(err);
    for (size_t i = 0; i < list->count; i++) {
        if (ce_radius_rank(&set, i) >= set.size)
            continue;
        struct ce_blast_aim *aim = &found->aims[found->count++];
        aim->spec =
            (struct ce_target_spec){.pid = list->items[i].pid, .i_know = experiment->target.i_know};
        CE_TRY(ce_aim_find(experiment, &aim->spec, state_dir, &aim->found, err));
    }
    return 0;
}

static int find(const struct ce_experiment *experiment, uint64_t seed, const char *state_dir,
                struct ce_blast_found *found, struct ce_error *err)
{
    if (!ce_target_is_explicit(&experiment->target))
        return 0;
    if (experiment->blast.of == CE_BLAST_PROCESSES) {
        struct ce_process_list list = {0};
        CE_TRY(ce_target_trees(&experiment->target, &list, err));
        int r = aim_at_chosen(experiment, seed, state_dir, &list, found, err);
        ce_process_list_done(&list);
        return r;
    }
    found->aims = calloc(1, sizeof *found->aims);
    if (!found->aims)
        return ce_fail_memory(err);
    found->count = 1;
    return ce_aim_find(experiment, &experiment->target, state_dir, &found->aims[0].found, err);
}

int ce_blast_find(const struct ce_experiment *experiment, uint64_t seed, const char *state_dir,
                  struct ce_blast_found *ret_found, struct ce_error *err)
{
    *ret_found = (struct ce_blast_found){0};
    int r = find(experiment, seed, state_dir, ret_found, err);
    if (r < 0)
        ce_blast_found_done(ret_found);
    else
        name_all(ret_found);
    return r;
}

void ce_blast_found_done(struct ce_blast_found *found)
{
    free(found->aims);
    *found = (struct ce_blast_found){0};
}

/* ---- getting ready ---- */

int ce_blast_prepare(struct run *run, struct ce_error *err)
{
    struct ce_blast *blast = &run->blast;
    const struct ce_blast_spec *spec = &run->experiment->blast;
    size_t more = blast->found.count > 0 ? blast->found.count - 1 : 0;
    if (spec->given && spec->of != CE_BLAST_PROCESSES) {
        blast->reach.radius = ce_blast_radius(spec, run->options->seed);
        run->injection.reach = &blast->reach;
    }
    if (more > 0 && !(blast->parts = calloc(more, sizeof *blast->parts)))
        return ce_fail_memory(err);
    for (size_t i = 0; i < more; i++) {
        struct ce_blast_part *part = &blast->parts[i];
        part->target = run->target;
        part->target.located = &blast->found.aims[i + 1].found;
        part->injection = run->injection;
        part->injection.target = &part->target;
        part->injection.state = calloc(1, run->experiment->fault->state_size + 1);
        if (!part->injection.state)
            return ce_fail_memory(err);
        CE_TRY(ce_aim_check(run->experiment, &part->target, err));
    }
    ce_blast_record(run);
    return 0;
}

void ce_blast_done(struct ce_blast *blast)
{
    for (size_t i = 0; blast->parts && i + 1 < blast->found.count; i++)
        free(blast->parts[i].injection.state);
    free(ce_take(blast->parts));
    ce_blast_found_done(&blast->found);
}

static json_t *chosen_of(const struct ce_blast *blast, bool processes)
{
    json_t *chosen = json_array();
    if (!processes)
        (void)json_array_append_new(chosen, json_integer((json_int_t)blast->reach.chosen));
    for (size_t i = 0; processes && i < blast->found.count; i++)
        (void)json_array_append_new(chosen, json_string(blast->found.aims[i].found.subject.name));
    return chosen;
}

bool ce_blast_is_empty(const struct run *run, char *text, size_t size)
{
    const struct ce_blast_spec *spec = &run->experiment->blast;
    const struct ce_reach *reach = &run->blast.reach;
    if (!spec->given || spec->of != CE_BLAST_REQUESTS || reach->radius.kind != CE_RADIUS_SHARE ||
        reach->eligible == 0 || reach->chosen > 0)
        return false;
    (void)snprintf(text, size,
                   "the fault found nothing to hit: blast_radius: %g percent of %llu requests is "
                   "none; a larger share, or a longer duration, would be some",
                   100 * reach->radius.share, (unsigned long long)reach->eligible);
    return true;
}

void ce_blast_record(struct run *run)
{
    const struct ce_blast *blast = &run->blast;
    const struct ce_blast_spec *spec = &run->experiment->blast;
    bool processes = spec->of == CE_BLAST_PROCESSES;
    if (!spec->given)
        return;
    const struct ce_radius radius = ce_blast_radius(spec, run->options->seed);
    uint64_t eligible = processes ? blast->found.eligible : blast->reach.eligible;
    json_decref(run->record->blast_radius);
    run->record->blast_radius =
        json_pack("{s:s, s:s, s:o*, s:I, s:o}", "of", ce_blast_unit_name(spec->of), "mode",
                  ce_blast_mode_name(spec->mode), "share",
                  radius.kind == CE_RADIUS_SHARE ? json_real(radius.share) : NULL, "eligible",
                  (json_int_t)eligible, "chosen", chosen_of(blast, processes));
}

/* ---- all injections together ---- */

static size_t injection_count(const struct run *run)
{
    return run->blast.found.count > 1 ? run->blast.found.count : 1;
}

static struct ce_injection *injection_at(struct run *run, size_t i)
{
    return i == 0 ? &run->injection : &run->blast.parts[i - 1].injection;
}

/* Of several, which it was. */
static int fail_at(const struct run *run, size_t i, int r, struct ce_error *err)
{
    return injection_count(run) == 1
               ? r
               : ce_fail_context(err, r, "%s", run->blast.found.aims[i].found.subject.name);
}

int ce_blast_inject(struct run *run, struct ce_error *err)
{
    while (run->blast.begun < injection_count(run)) {
        size_t i = run->blast.begun++;
        int r = run->experiment->fault->inject(injection_at(run, i), err);
        if (r < 0)
            return fail_at(run, i, r, err);
    }
    return 0;
}

int ce_blast_verify(struct run *run, struct ce_evidence *ret_evidence, struct ce_error *err)
{
    size_t count = injection_count(run);
    struct ce_evidence seen;
    for (size_t i = 0; i < count; i++) {
        seen = (struct ce_evidence){0};
        int r = run->experiment->fault->verify(injection_at(run, i), &seen, err);
        if (r < 0)
            return fail_at(run, i, r, err);
        *ret_evidence = seen;
        if (count > 1)
            snprintf(ret_evidence->text, sizeof ret_evidence->text, "%s: %.120s",
                     run->blast.found.aims[i].found.subject.name, seen.text);
        if (r == 0)
            return 0;
    }
    if (count > 1)
        snprintf(ret_evidence->text, sizeof ret_evidence->text,
                 "seen in each of %zu processes; in the last one: %.240s", count, seen.text);
    return 1;
}

int ce_blast_adjust(struct run *run, double intensity, struct ce_error *err)
{
    for (size_t i = 0; i < run->blast.begun; i++) {
        int r = run->experiment->fault->adjust(injection_at(run, i), intensity, err);
        if (r < 0)
            return fail_at(run, i, r, err);
    }
    return 0;
}

int ce_blast_spare(struct run *run, double share, struct ce_error *err)
{
    for (size_t i = 0; i < injection_count(run); i++)
        CE_TRY(run->experiment->fault->spare(injection_at(run, i), share, err));
    return 0;
}

/* Whatever one says, the others are reverted, too. */
int ce_blast_revert(struct run *run, struct ce_error *err)
{
    int result = 0;
    for (size_t i = 0; i < run->blast.begun; i++) {
        int r = run->experiment->fault->revert(injection_at(run, i), result < 0 ? NULL : err);
        if (r < 0 && result == 0)
            result = fail_at(run, i, r, err);
    }
    return result;
}

int ce_blast_verify_undo(struct run *run, struct ce_error *err)
{
    const struct ce_fault *fault = run->experiment->fault;
    for (size_t i = 0; fault->verify_undo && i < run->blast.begun; i++) {
        int r = fault->verify_undo(injection_at(run, i), err);
        if (r < 0)
            return fail_at(run, i, r, err);
    }
    return 0;
}

void ce_blast_count(struct run *run, struct ce_fault_counts *ret_counts)
{
    *ret_counts = (struct ce_fault_counts){0};
    for (size_t i = 0; i < run->blast.begun; i++) {
        struct ce_fault_counts counts = {0};
        run->experiment->fault->count(injection_at(run, i), &counts);
        ce_fault_counts_add(ret_counts, &counts);
    }
}
