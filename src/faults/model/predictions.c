/* SPDX-License-Identifier: MIT */
#include "faults/model/predictions.h"

#include <math.h>
#include <stdlib.h>

#include "faults/model/distribution.h"

/* ---- the answer ---- */

const char *ce_answer_open(const struct ce_visit *visit, struct ce_labels *labels,
                           struct ce_answer *ret_answer)
{
    *ret_answer = (struct ce_answer){.visit = visit, .labels = labels};
    const char *reason = ce_visit_outputs(visit, &ret_answer->message, &ret_answer->values);
    if (!reason)
        ce_labels_learn(labels, &ret_answer->values);
    return reason;
}

void ce_answer_close(struct ce_answer *answer)
{
    ce_values_done(&answer->values);
    free(answer->edits);
    free(answer->numbers);
    *answer = (struct ce_answer){0};
}

/* The row that begins at value `i`: all values of one tensor up to its width. */
static struct ce_row row_at(const struct ce_values *values, size_t i)
{
    const struct ce_value *first = &values->values[i];
    size_t width = first->width > 0 ? first->width : 1, n = 1;
    while (n < width && i + n < values->count && first[n].ordinal == first->ordinal)
        n++;
    return (struct ce_row){.values = first, .count = n, .first = i, .unit = first->index / width};
}

static void send_edits(struct ce_answer *answer, struct ce_action *action, const char *name,
                       uint64_t changed, uint64_t rows)
{
    struct ce_remade remade;
    if (ce_values_apply(&answer->message, &answer->values, answer->edits, answer->edit_count,
                        &remade, NULL) < 0) {
        for (uint64_t i = 0; i < changed; i++)
            ce_visit_skip(answer->visit, "no memory");
        return;
    }
    ce_visit_replace(answer->visit, action, &remade);
    ce_visit_did(answer->visit, action, changed, "%s: %llu of %llu rows", name,
                 (unsigned long long)changed, (unsigned long long)rows);
}

void ce_answer_falsify(struct ce_answer *answer, const struct ce_deed *deed, void *ctx,
                       struct ce_action *action)
{
    uint64_t rows = 0, changed = 0;
    struct ce_row row;
    for (size_t i = 0; i < answer->values.count; i += row.count) {
        row = row_at(&answer->values, i);
        rows++;
        if (!ce_visit_select(answer->visit, row.unit, deed->rate(ctx, &row)))
            continue;
        const char *reason = deed->row(ctx, answer, &row);
        if (reason)
            ce_visit_skip(answer->visit, reason);
        else
            changed++;
    }
    if (changed > 0)
        send_edits(answer, action, deed->name, changed, rows);
}

/* ---- rows ---- */

static bool is_score(const struct ce_value *value)
{
    double number;
    return !ce_value_is_label(value) && ce_value_number(value, &number);
}

/* A class number beside a score is a score that happens to be whole. */
bool ce_row_is_labels(const struct ce_row *row)
{
    bool labels = false;
    for (size_t i = 0; i < row->count; i++) {
        if (is_score(&row->values[i]))
            return false;
        labels |= ce_value_is_label(&row->values[i]);
    }
    return labels;
}

bool ce_row_is_distribution(struct ce_answer *answer, const struct ce_row *row, double **ret_p)
{
    *ret_p = NULL;
    if (row->count < 2 || ce_row_is_labels(row))
        return false;
    if (answer->number_room < row->count) {
        double *numbers = realloc(answer->numbers, row->count * sizeof *numbers);
        if (!numbers)
            return true;
        answer->numbers = numbers;
        answer->number_room = row->count;
    }
    for (size_t i = 0; i < row->count; i++)
        if (!ce_value_number(&row->values[i], &answer->numbers[i]))
            return false;
    if (!ce_distribution_is(answer->numbers, row->count))
        return false;
    *ret_p = answer->numbers;
    return true;
}

/* ---- values ---- */

static struct ce_edit *new_edit(struct ce_answer *answer, const struct ce_row *row, size_t i)
{
    if (answer->edit_count == answer->edit_room) {
        size_t room = answer->edit_room > 0 ? 2 * answer->edit_room : 8;
        struct ce_edit *edits = realloc(answer->edits, room * sizeof *edits);
        if (!edits)
            return NULL;
        answer->edits = edits;
        answer->edit_room = room;
    }
    struct ce_edit *edit = &answer->edits[answer->edit_count];
    edit->value = row->first + i;
    return edit;
}

/* An edit that leaves the value what it was is none. */
static const char *settle(struct ce_answer *answer, const struct ce_edit *edit,
                          const struct ce_value *value)
{
    if (ce_edit_is_none(edit, value))
        return "no change";
    answer->edit_count++;
    return NULL;
}

static const char *put_number(struct ce_answer *answer, const struct ce_row *row, size_t i,
                              double number, int decimals)
{
    const struct ce_value *value = &row->values[i];
    struct ce_edit *edit = new_edit(answer, row, i);
    if (!edit)
        return "no memory";
    int r = ce_edit_number(edit, value, number, decimals);
    if (r < 0)
        return r == -ERANGE ? "out of range" : "no value";
    return settle(answer, edit, value);
}

const char *ce_row_set_number(struct ce_answer *answer, const struct ce_row *row, size_t i,
                              double number, int decimals)
{
    return isfinite(number) ? put_number(answer, row, i, number, decimals) : "no change";
}

const char *ce_row_set_copy(struct ce_answer *answer, const struct ce_row *row, size_t i,
                            const struct ce_value *other)
{
    struct ce_edit *edit = new_edit(answer, row, i);
    if (!edit)
        return "no memory";
    int r = ce_edit_copy(edit, &row->values[i], other);
    if (r < 0)
        return r == -ENOBUFS ? "too long" : "no value";
    return settle(answer, edit, &row->values[i]);
}

const char *ce_row_set_text(struct ce_answer *answer, const struct ce_row *row, size_t i,
                            const char *text)
{
    struct ce_edit *edit = new_edit(answer, row, i);
    if (!edit)
        return "no memory";
    int r = ce_edit_text(edit, &row->values[i], text);
    if (r < 0)
        return r == -ENOBUFS ? "too long" : "no value";
    return settle(answer, edit, &row->values[i]);
}

const char *ce_row_set_label(struct ce_answer *answer, const struct ce_row *row, size_t i,
                             bool another)
{
    const struct ce_value *value = &row->values[i];
    if (!ce_value_is_label(value))
        return "no value";
    struct ce_edit *edit = new_edit(answer, row, i);
    if (!edit)
        return "no memory";
    const char *reason =
        ce_labels_draw(answer->labels, answer->visit, row->unit, value, another, edit);
    answer->edit_count += !reason;
    return reason;
}

/* ---- rows ---- */

/* What was done to one of its values was done to the row. */
const char *ce_row_each(struct ce_answer *answer, const struct ce_row *row, ce_value_fn *deed,
                        const void *ctx)
{
    const char *reason = "no change";
    bool changed = false;
    for (size_t i = 0; i < row->count; i++) {
        const char *why = deed(ctx, answer, row, i);
        changed |= !why;
        reason = why ? why : reason;
    }
    return changed ? NULL : reason;
}

static const char *break_value(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                               size_t i)
{
    const double *number = ctx;
    return put_number(answer, row, i, *number, -1);
}

const char *ce_row_break(struct ce_answer *answer, const struct ce_row *row, double number)
{
    return ce_row_is_labels(row) ? "label" : ce_row_each(answer, row, break_value, &number);
}

/* What differs by rounding alone has not changed. */
static const char *set_probability(const void *ctx, struct ce_answer *answer,
                                   const struct ce_row *row, size_t i)
{
    const double *p = ctx;
    double before;
    if (!ce_value_number(&row->values[i], &before) || fabs(p[i] - before) <= 1e-12)
        return "no change";
    return ce_row_set_number(answer, row, i, p[i], -1);
}

const char *ce_row_set_distribution(struct ce_answer *answer, const struct ce_row *row,
                                    const double *p)
{
    return ce_row_each(answer, row, set_probability, p);
}

const char *ce_row_swap_classes(struct ce_answer *answer, const struct ce_row *row, size_t a,
                                size_t b)
{
    size_t low = a < b ? a : b, high = a < b ? b : a, edits = answer->edit_count;
    const char *reason = ce_row_set_copy(answer, row, low, &row->values[high]);
    if (!reason)
        reason = ce_row_set_copy(answer, row, high, &row->values[low]);
    if (reason)
        answer->edit_count = edits; /* not one without the other */
    return reason;
}

int64_t ce_row_class(const struct ce_answer *answer, const struct ce_row *row, const char *name)
{
    const struct ce_names *named = answer->labels->named;
    char *end;
    for (size_t i = 0; i < row->count; i++)
        if (row->values[i].class_name.size > 0 && ce_slice_is(row->values[i].class_name, name))
            return (int64_t)i;
    for (size_t i = 0; i < named->count && i < row->count; i++)
        if (strcmp(named->names[i], name) == 0)
            return (int64_t)i;
    unsigned long number = strtoul(name, &end, 10);
    bool is_number = *name >= '0' && *name <= '9' && *end == '\0';
    return is_number && number < row->count ? (int64_t)number : -1;
}

static const char *flip_distribution(struct ce_answer *answer, const struct ce_row *row,
                                     const double *p)
{
    uint64_t words[2];
    size_t winner = ce_distribution_winner(p, row->count);
    ce_visit_random(answer->visit, row->unit, 0, words);
    size_t other = (size_t)((words[0] >> 32) * (row->count - 1) >> 32);
    other += other >= winner;
    return ce_row_swap_classes(answer, row, winner, other);
}

/* 1 - 0.8312 is 0.1688 to whoever reads it, not 0.16880000000000001: what is exact in decimal keeps
 * to the server's number of decimals. */
static const char *flip_value(const void *ctx, struct ce_answer *answer, const struct ce_row *row,
                              size_t i)
{
    const bool *labels = ctx;
    double number;
    if (*labels)
        return ce_row_set_label(answer, row, i, true);
    if (!ce_value_number(&row->values[i], &number))
        return "no value";
    return ce_row_set_number(answer, row, i, 1 - number, ce_value_decimals(&row->values[i]));
}

const char *ce_row_flip(struct ce_answer *answer, const struct ce_row *row)
{
    bool labels = ce_row_is_labels(row);
    double *p;
    if (ce_row_is_distribution(answer, row, &p))
        return p ? flip_distribution(answer, row, p) : "no memory";
    return ce_row_each(answer, row, flip_value, &labels);
}
