/* SPDX-License-Identifier: MIT */
/* The template for a new fault: copy it to src/faults/LAYER/NAME.c, put CE_FAULT(NAME) into
 * faults.list.h, and make it yours. The head of a fault's file says what the fault does to its
 * target, how it does it, and how that is undone.
 *
 * lost_rows: rows of the dataset go missing before the pipeline trains, as after an export that was
 * cut short. The file is written anew without them and the pipeline reloads it. The old bytes lie
 * in the journal's before-image.
 *
 * It is a working fault: test_registry.c compiles it, holds it to the rules of all faults, and
 * injects it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/seam.h"
#include "data/csv.h"
#include "faults/fault.h"
#include "journal/undo_files.h"

/* ---- parameters: one struct, one table ---- */

struct lost_rows {
    int64_t first_row, last_row;
};

/* A row of the table says everything about a parameter: the parser, `explain`, the JSON Schema and
 * the reports all read it. Without .def it is required. Ranges belong here, rules across parameters
 * into check(). */
static const struct ce_param params[] = {
    CE_INTEGER(struct lost_rows, first_row, .min = 1, .max = 1e12, .def = "1",
               .doc = "First row that is lost; the header is not counted."),
    CE_INTEGER(struct lost_rows, last_row, .min = 0, .max = 1e12, .def = "100",
               .doc = "Last row that is lost; 0 loses none."),
    CE_END_PARAMS,
};

/* ---- state: everything that a fault remembers ---- */

/* Zeroed before inject(). File scope holds constants only, so that two injections never meet. */
struct state {
    int note;    /* of the journal; 0: the dataset is not touched */
    char *image; /* the dataset as it was */
    char before[CE_SHA256_HEX], after[CE_SHA256_HEX];
    uint64_t rows; /* of the dataset as it was */
    uint64_t lost; /* now */
};

/* Where rows [first, first + count) lie in the file. */
struct span {
    uint64_t from, to, found, rows;
};

static void reader_close_p(struct ce_csv_reader **reader)
{
    ce_csv_close(*reader);
}

static int find_rows(const char *path, uint64_t first, uint64_t count, struct span *ret_span,
                     struct ce_error *err)
{
    CE_CLEANUP(reader_close_p) struct ce_csv_reader *reader = NULL;
    struct span span = {.from = UINT64_MAX, .to = UINT64_MAX};
    struct ce_text_record record;
    size_t at; /* where the record begins */
    int r;
    CE_TRY(ce_csv_open(path, &reader, err));
    (void)ce_csv_head(reader, &at);
    while ((r = ce_csv_next(reader, &record, err)) > 0) {
        at += record.before_size;
        if (record.row == first)
            span.from = at;
        if (record.row == first + count)
            span.to = at;
        span.found += record.row >= first && record.row < first + count;
        span.rows++;
        at += record.size;
    }
    *ret_span = span;
    return r;
}

/* ---- the callbacks ---- */
/* All run on the controller's thread, one after the other. All but inject, verify and revert may be
 * NULL. */

/* check: after the table has accepted every value, while the document is validated; nothing runs
 * yet. -EINVAL when parameters contradict each other; the sentence names both. Optional. */
static int lost_rows_check(const void *p, struct ce_error *err)
{
    const struct lost_rows *lost = p;
    if (lost->last_row != 0 && lost->last_row < lost->first_row)
        return ce_fail(err, EINVAL, "last_row: %" PRId64 " is before first_row: %" PRId64,
                       lost->last_row, lost->first_row);
    return 0;
}

/* is_control: whether these parameters do nothing. Then the run is a control run, for which nothing
 * is verified. Optional, for faults that cannot be set to do nothing. */
static bool lost_rows_is_control(const void *p)
{
    const struct lost_rows *lost = p;
    return lost->last_row == 0;
}

/* Writes the dataset without the rows that this intensity loses, and has the pipeline train on it.
 */
static int lose(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    const struct lost_rows *lost = injection->params;
    const struct ce_target *target = injection->target;
    struct state *state = injection->state;
    uint64_t first = (uint64_t)lost->first_row - 1;
    uint64_t wanted = (uint64_t)(lost->last_row - lost->first_row + 1);
    struct span span;
    ce_autofree char *text = NULL;
    size_t size;
    CE_TRY(
        find_rows(state->image, first, (uint64_t)((double)wanted * intensity + 0.5), &span, err));
    CE_TRY(ce_file_read(state->image, SIZE_MAX / 2, &text, &size, err));
    if (span.from > size)
        span.from = size;
    if (span.to > size)
        span.to = size;
    memmove(text + span.from, text + span.to, size - span.to);
    size -= span.to - span.from;

    /* One change to the world, one step: the crash tests kill the run here. Told to have no effect,
     * the fault does everything but the deed, and verify() must find that out. */
    ce_seam_step("write dataset");
    if (!ce_seam_no_effect())
        CE_TRY(ce_file_replace(target->dataset, text, size, err));
    state->lost = span.found;
    CE_TRY(ce_sha256_data(text, size, state->after, err));
    return target->reload(target->pipeline, err);
}

/* mutate: faults that change tables say how, and the data engine does it: to the training data, to
 * live requests, to the input of `chaoseater data inject`. Such a fault is little more than its
 * parameters, and takes all the callbacks below from data/data_fault.h; row_drop.c is the shortest.
 * This one changes its dataset by itself, so it has none. Optional. */

/* inject: once, when the baseline has been measured. What `needs` names is there. The undo is noted
 * before every change; a note that cannot be written stops the deed. On any failure the controller
 * calls revert() next, so nothing is cleaned up here. -ENODATA: there was nothing to hit, and the
 * run is inconclusive. Required. */
static int lost_rows_inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct lost_rows *lost = injection->params;
    const struct ce_target *target = injection->target;
    struct state *state = injection->state;
    struct span span;
    CE_TRY(find_rows(target->dataset, (uint64_t)lost->first_row - 1, 1, &span, err));
    state->rows = span.rows;
    if (span.found == 0)
        return ce_fail(err, ENODATA, "the dataset has %" PRIu64 " rows; first_row is %" PRId64,
                       span.rows, lost->first_row);
    CE_TRY(ce_sha256_file(target->dataset, state->before, err));
    state->note = ce_undo_note_file(injection->journal, target->dataset, &state->image, err);
    CE_TRY(state->note);
    return lose(injection, 1, err);
}

/* verify: once, right after inject(), while the fault is live. Looks from outside, never at its own
 * state alone: what does the target see? 1 seen, 0 not seen (the run becomes invalid), -errno when
 * it could not look. The evidence is one sentence with numbers. Required. */
static int lost_rows_verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                            struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    const struct state *state = injection->state;
    struct span span;
    char trained_on[CE_SHA256_HEX];
    CE_TRY(find_rows(target->dataset, 0, 0, &span, err));
    CE_TRY(target->trained_on(target->pipeline, trained_on, err));
    bool trained = strcmp(trained_on, state->after) == 0;
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "the dataset has %" PRIu64 " rows, %" PRIu64
             " before; the model in service was%s trained on it",
             span.rows, state->rows, trained ? "" : " not");
    return trained && span.rows + state->lost == state->rows && state->lost > 0;
}

/* adjust: any number of times between inject() and revert(), by rollback strategies and by the
 * search for the breaking point. 0 is as if nothing were injected, 1 is what the parameters say.
 * NULL: the fault is on or off. */
static int lost_rows_adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    return lose(injection, intensity, err);
}

/* revert: when the fault phase is over, after a failed inject(), and possibly twice. Puts
 * everything back and frees what state holds. Goes by way of the journal, so that it is the same
 * undo as after a crash. -errno makes the run dirty. Required. */
static int lost_rows_revert(struct ce_injection *injection, struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    struct state *state = injection->state;
    if (state->note <= 0)
        return 0;
    CE_TRY(ce_undo_now(injection->journal, state->note, err));
    free(ce_take(state->image));
    state->note = 0;
    return target->reload(target->pipeline, err);
}

/* verify_undo: after revert(). 0, or -errno with a sentence about what is still different: the run
 * ends dirty. NULL: revert() has looked itself. */
static int lost_rows_verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct ce_target *target = injection->target;
    const struct state *state = injection->state;
    char file[CE_SHA256_HEX], trained_on[CE_SHA256_HEX];
    if (state->before[0] == '\0')
        return 0;
    CE_TRY(ce_sha256_file(target->dataset, file, err));
    CE_TRY(target->trained_on(target->pipeline, trained_on, err));
    if (strcmp(file, state->before) != 0)
        return ce_fail(err, EUCLEAN, "the dataset '%s' is not what it was", target->dataset);
    if (strcmp(trained_on, state->before) != 0)
        return ce_fail(err, EUCLEAN,
                       "the model in service was not trained on the restored dataset");
    return 0;
}

/* count: after the fault phase, before revert(). How many units (here: rows) could have been hit,
 * were chosen, and were really changed; what was chosen and not changed is skipped with its reason.
 * Optional. */
static void lost_rows_count(const struct ce_injection *injection,
                            struct ce_fault_counts *ret_counts)
{
    const struct state *state = injection->state;
    *ret_counts = (struct ce_fault_counts){
        .eligible = state->rows,
        .selected = state->lost,
        .changed = ce_seam_no_effect() ? 0 : state->lost,
    };
}

/* ---- the descriptor: the file's last lines, and all that others see of it ---- */

const struct ce_fault ce_fault_lost_rows = {
    .name = "lost_rows", /* the file's name */
    .summary = "Cut rows out of the dataset",
    .layer = CE_LAYER_DATA,
    .needs = CE_NEEDS_DATASET, /* a target without it is refused before anything happens */
    .params = params,
    .params_size = sizeof(struct lost_rows),
    .state_size = sizeof(struct state),
    .example = "{first_row: 1, last_row: 500}",
    .available = NULL, /* whether this host can do it at all, and why not. NULL: always */
    .needs_of = NULL,  /* what these parameters need, where they decide. NULL: `needs` */
    .check = lost_rows_check,
    .is_control = lost_rows_is_control,
    .mutate = NULL, /* how it changes a table, whichever. NULL: it changes none that is given */
    .inject = lost_rows_inject,
    .verify = lost_rows_verify,
    .adjust = lost_rows_adjust,
    .revert = lost_rows_revert,
    .verify_undo = lost_rows_verify_undo,
    .count = lost_rows_count,
};
