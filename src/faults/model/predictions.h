/* SPDX-License-Identifier: MIT */
/* What faults on predictions share: an answer taken apart into rows, and what can be done to one.
 *
 * The unit is a row of an output: each row of a batch is chosen by itself, and all outputs of a row
 * share its fate. What is done depends on what the row is:
 *     scores        floating-point values, or what stands beside one
 *     distribution  several of them that are >= 0 and sum to 1
 *     labels        integers, truth values, text
 * Only the bytes of the chosen values are rewritten; every other byte of the answer stays, but for
 * lengths that enclose them. Which protocol it is makes no difference here. Nothing is allocated
 * for an answer of which no row is hit, but for what reading it takes. */
#ifndef CE_FAULTS_MODEL_PREDICTIONS_H
#define CE_FAULTS_MODEL_PREDICTIONS_H

#include "faults/model/labels.h"
#include "faults/traffic.h"

/* One answer at work. */
struct ce_answer {
    const struct ce_visit *visit;
    const struct ce_labels *labels;
    struct ce_message message;
    struct ce_values values;

    /* The room's own. */
    struct ce_edit *edits;
    size_t edit_count, edit_room;
    double *numbers;
    size_t number_room;
};

/* One row of an output. */
struct ce_row {
    const struct ce_value *values;
    size_t count;
    size_t first; /* the number of values[0] in the answer */
    uint64_t unit;
};

/* Everywhere here: NULL when it was done, else why not, a constant for ce_visit_skip(). */

/* Reads the response at hand, and learns its labels. Ended by ce_answer_close(), read or not. */
const char *ce_answer_open(const struct ce_visit *visit, struct ce_labels *labels,
                           struct ce_answer *ret_answer);
void ce_answer_close(struct ce_answer *answer);

/* What a fault does to rows. */
struct ce_deed {
    const char *name; /* for the proof log */
    /* The share of such rows that is hit. */
    double (*rate)(void *ctx, const struct ce_row *row);
    const char *(*row)(void *ctx, struct ce_answer *answer, const struct ce_row *row);
};
/* Does it to all rows that are hit, counts them, and sends the answer on as it is then. */
void ce_answer_falsify(struct ce_answer *answer, const struct ce_deed *deed, void *ctx,
                       struct ce_action *action);

/* ---- rows ---- */

bool ce_row_is_labels(const struct ce_row *row);
/* Whether the row is a distribution: then *ret_p are its numbers, row->count of them, to be used up
 * before the next row; NULL when there is no memory. */
bool ce_row_is_distribution(struct ce_answer *answer, const struct ce_row *row, double **ret_p);

/* ---- what can be done to a value: value `i` of the row, in ascending order, once each ---- */

/* With at most `decimals` digits behind the point unless that is negative. Numbers that are not
 * finite are no result. */
const char *ce_row_set_number(struct ce_answer *answer, const struct ce_row *row, size_t i,
                              double number, int decimals);
/* The bytes of another value in its place. */
const char *ce_row_set_copy(struct ce_answer *answer, const struct ce_row *row, size_t i,
                            const struct ce_value *other);
const char *ce_row_set_text(struct ce_answer *answer, const struct ce_row *row, size_t i,
                            const char *text);
/* Any label, or another than it has. */
const char *ce_row_set_label(struct ce_answer *answer, const struct ce_row *row, size_t i,
                             bool another);

/* ---- what can be done to a row ---- */

typedef const char *ce_value_fn(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                                size_t i);
/* Does it to each value of the row. One that was changed is enough. */
const char *ce_row_each(struct ce_answer *answer, const struct ce_row *row, ce_value_fn *deed,
                        const void *ctx);
/* A NaN or an infinity in the place of every score. */
const char *ce_row_break(struct ce_answer *answer, const struct ce_row *row, double number);
/* Writes a distribution, of which only what differs by more than rounding has changed. */
const char *ce_row_set_distribution(struct ce_answer *answer, const struct ce_row *row,
                                    const double *p);
/* Which class of a distribution is meant: by the name that the message gives it, its place among
 * the labels that the user named, or its number; -1: none. */
int64_t ce_row_class(const struct ce_answer *answer, const struct ce_row *row, const char *name);
/* Swaps the digits of two classes, as they are. */
const char *ce_row_swap_classes(struct ce_answer *answer, const struct ce_row *row, size_t a,
                                size_t b);
/* The opposite: 1 - p, another label, the winner swapped with another class. */
const char *ce_row_flip(struct ce_answer *answer, const struct ce_row *row);

#endif
