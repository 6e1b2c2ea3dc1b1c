/* SPDX-License-Identifier: MIT */
/* What comes of a batch: the output's batch and the key's entries. */
#include <stdlib.h>

#include "base/text.h"
#include "data/arrow/key.h"
#include "data/arrow/mutate.h"

enum { REST_ROWS = 65536 };

int ce_arrow_pass_write_init(struct ce_arrow_pass *pass, struct ce_error *err)
{
    const struct ce_arrow_plan *plan = &pass->plan;
    pass->made = calloc(pass->source.column_count + 1, sizeof *pass->made);
    pass->join = calloc(plan->place_count + 1, sizeof *pass->join);
    pass->values = calloc(plan->place_count + 1, sizeof *pass->values);
    if (!pass->made || !pass->join || !pass->values)
        return ce_fail_memory(err);
    for (size_t i = 0; i < plan->place_count; i++)
        if (plan->places[i].input < 0 || plan->moves_rows)
            CE_TRY(ce_grow_init(&pass->join[i], plan->places[i].type, err));
    if (!pass->how.key)
        return 0;
    CE_TRY(ce_arrow_key_layout(plan, &pass->cell, err));
    return ce_arrow_key_put(pass, 0, 0, CE_KEY_LAYOUT, 0, pass->cell.data, pass->cell.size, err);
}

static void release_made(struct ce_arrow_pass *pass)
{
    for (size_t i = 0; pass->made && i < pass->source.column_count; i++)
        ce_arrow_array_done(&pass->made[i]);
}

void ce_arrow_pass_write_done(struct ce_arrow_pass *pass)
{
    release_made(pass);
    for (size_t i = 0; pass->join && i < pass->plan.place_count; i++)
        ce_grow_done(&pass->join[i]);
    free(pass->made);
    free(pass->values);
    free(pass->join);
    ce_buffer_done(&pass->pieces);
    ce_buffer_done(&pass->placed);
    ce_buffer_done(&pass->entries);
    ce_buffer_done(&pass->cell);
}

/* ---- which rows ---- */

static int add_run(struct ce_arrow_pass *pass, int64_t start, int64_t count, struct ce_error *err)
{
    struct ce_arrow_piece piece = {.start = start, .count = count};
    if (count == 0)
        return 0;
    return ce_buffer_put(&pass->pieces, &piece, sizeof piece) ? 0 : ce_fail_memory(err);
}

/* For ce_placed_fn. Copies that come behind a row that is not written are not either. */
struct emission {
    struct ce_arrow_pass *pass;
    bool own;
    uint64_t row; /* of the input, from the first that is written on: the next one */
};

static int emit_copy(void *ctx, const struct ce_placed *row, struct ce_error *err)
{
    const struct emission *emission = ctx;
    struct ce_arrow_pass *pass = emission->pass;
    struct ce_arrow_piece piece = {
        .at = pass->placed.size, .size = row->size, .ordinal = row->ordinal};
    if (!emission->own)
        return 0;
    if (!ce_buffer_put(&pass->placed, row->bytes, row->size) ||
        !ce_buffer_put(&pass->pieces, &piece, sizeof piece))
        return ce_fail_memory(err);
    CE_TRY(ce_arrow_key_put(pass, emission->row, pass->rows_out, CE_KEY_ROW_ADDED, row->step, NULL,
                            0, err));
    pass->rows_out++;
    return 0;
}

/* The row's own copies go to where they wait. */
static int take_copies(struct ce_arrow_pass *pass, int64_t at, struct ce_error *err)
{
    for (size_t i = 0; i < pass->plan.step_count; i++) {
        struct ce_arrow_step *step = &pass->plan.steps[i];
        struct ce_arrow_copy copy;
        if (step->copied_next == step->copied.size)
            continue;
        memcpy(&copy, step->copied.data + step->copied_next, sizeof copy);
        if (copy.row != at)
            continue;
        step->copied_next += sizeof copy;
        struct ce_placed row = {pass->rows_in + (uint64_t)at, i, pass->copies.data + copy.at,
                                copy.size};
        CE_TRY(ce_placer_take(step->placer, &row, err));
    }
    return 0;
}

static int emit_after(struct ce_arrow_pass *pass, int64_t at, struct ce_error *err)
{
    static const enum ce_row_place order[] = {CE_PLACE_NEXT, CE_PLACE_SHUFFLED, CE_PLACE_LATER};
    uint64_t ordinal = pass->rows_in + (uint64_t)at;
    struct emission emission = {
        .pass = pass,
        .own = ordinal >= pass->plan.first && ordinal < pass->plan.end,
        .row = ordinal + 1 - pass->plan.first,
    };
    for (size_t k = 0; k < CE_COUNT(order); k++)
        for (size_t i = 0; i < pass->plan.step_count; i++) {
            struct ce_arrow_step *step = &pass->plan.steps[i];
            bool place = false;
            if (!step->placer || step->made->mutation->place != order[k])
                continue;
            if (step->made->places) {
                const uint64_t *masks =
                    ce_arrow_step_masks(step, ordinal) + step->made->count * CE_ARROW_MASK_WORDS;
                place = masks[ordinal % CE_SELECT_BLOCK / 64] >> ordinal % 64 & 1;
            }
            CE_TRY(ce_placer_after(step->placer, ordinal, place, emit_copy, &emission, err));
        }
    return 0;
}

/* Cells of the row that are not what they were: those that were set, and all of columns that are
 * gone or have become text. */
static int key_cells(struct ce_arrow_pass *pass, int64_t at, struct ce_error *err)
{
    const struct ce_arrow_plan *plan = &pass->plan;
    uint64_t row = pass->rows_in + (uint64_t)at - plan->first;
    for (size_t i = 0; i < pass->work.column_count; i++) {
        const struct ce_work_column *column = &pass->work.columns[i];
        uint8_t by = column->by ? column->by[at] : 0;
        by = by ? by : plan->retyped_by[i];
        by = plan->removed_by[i] ? plan->removed_by[i] : by;
        if (by == 0)
            continue;
        pass->cell.size = 0;
        if (!ce_arrow_encode(column->in, column->input, column->input_start + at, &pass->cell))
            return ce_fail_memory(err);
        CE_TRY(ce_arrow_key_put(pass, row, pass->rows_out, CE_KEY_CELL + i, (size_t)by - 1,
                                pass->cell.data, pass->cell.size, err));
    }
    return 0;
}

static int key_dropped(struct ce_arrow_pass *pass, int64_t at, struct ce_error *err)
{
    uint64_t row = pass->rows_in + (uint64_t)at - pass->plan.first;
    if (!pass->how.key)
        return 0;
    pass->cell.size = 0;
    CE_TRY(ce_work_encode_input(&pass->work, at, &pass->cell, err));
    size_t step = (size_t)((const uint8_t *)pass->gone.data)[at] - 1;
    return ce_arrow_key_put(pass, row, pass->rows_out, CE_KEY_ROW_REMOVED, step, pass->cell.data,
                            pass->cell.size, err);
}

/* Rows of which each has entries. */
static bool keys_all(const struct ce_arrow_plan *plan)
{
    for (size_t i = 0; i < plan->source->column_count; i++)
        if (plan->removed_by[i] || plan->retyped_by[i])
            return true;
    return false;
}

static int walk_row(struct ce_arrow_pass *pass, int64_t at, bool key_all, int64_t *from,
                    struct ce_error *err)
{
    uint64_t ordinal = pass->rows_in + (uint64_t)at;
    bool own = ordinal >= pass->plan.first && ordinal < pass->plan.end;
    bool kept = own && !pass->gone.data[at];
    if (kept && pass->how.key && (key_all || ce_bit(pass->work.touched.data, at)))
        CE_TRY(key_cells(pass, at, err));
    if (own && !kept)
        CE_TRY(key_dropped(pass, at, err));
    if (!kept) {
        CE_TRY(add_run(pass, *from, at - *from, err));
        *from = at + 1;
    }
    pass->rows_out += kept;
    if (!pass->plan.moves_rows)
        return 0;
    /* the run must be before the copies that come behind this row */
    size_t before = pass->pieces.size;
    uint64_t rows_out = pass->rows_out;
    CE_TRY(take_copies(pass, at, err));
    CE_TRY(emit_after(pass, at, err));
    if (rows_out == pass->rows_out || !kept)
        return 0;
    struct ce_arrow_piece run = {.start = *from, .count = at + 1 - *from};
    size_t moved = pass->pieces.size - before;
    if (!ce_buffer_put(&pass->pieces, &run, sizeof run))
        return ce_fail_memory(err);
    memmove(pass->pieces.data + before + sizeof run, pass->pieces.data + before, moved);
    memcpy(pass->pieces.data + before, &run, sizeof run);
    *from = at + 1;
    return 0;
}

/* Lists the rows of the output, and writes the entries. */
static int walk(struct ce_arrow_pass *pass, struct ce_error *err)
{
    const struct ce_arrow_plan *plan = &pass->plan;
    bool key_all = keys_all(plan), whole = plan->first == 0 && plan->end == UINT64_MAX;
    bool entries = pass->how.key && (key_all || pass->work.any_touched);
    int64_t rows = pass->work.rows, from = 0;
    pass->pieces.size = pass->placed.size = 0;
    if (whole && !entries && !plan->moves_rows) {
        pass->rows_out += (uint64_t)rows;
        return add_run(pass, 0, rows, err);
    }
    for (int64_t at = 0; at < rows; at++)
        CE_TRY(walk_row(pass, at, key_all, &from, err));
    return add_run(pass, from, rows - from, err);
}

/* ---- columns ---- */

static int added_cell(struct ce_arrow_pass *pass, size_t index, uint64_t ordinal,
                      struct ce_error *err)
{
    const struct ce_arrow_place *place = &pass->plan.places[index];
    char text[1024], cell[CE_COUNT(text) + 1] = {1};
    bool number = false;
    int n =
        place->added->value(place->added->ctx, ordinal, &place->draws, text, sizeof text, &number);
    double value;
    size_t size = n < 0 ? 0 : (size_t)n;
    if (n < 0 || size >= sizeof text)
        return ce_grow_null(&pass->join[index], err);
    text[size] = '\0';
    memcpy(cell + 1, text, size);
    if (place->type == pass->plan.number) {
        if (ce_text_number(text, &value) < 0)
            return ce_grow_null(&pass->join[index], err);
        size = sizeof value;
        memcpy(cell + 1, &value, size);
    }
    return ce_grow_cell(&pass->join[index], cell, size + 1, err);
}

static int added_column(struct ce_arrow_pass *pass, size_t index, struct ArrowArray *ret_array,
                        struct ce_error *err)
{
    const struct ce_arrow_piece *piece = (const struct ce_arrow_piece *)pass->pieces.data;
    for (size_t i = 0; i < pass->pieces.size / sizeof *piece; i++, piece++) {
        for (int64_t k = 0; k < piece->count; k++)
            CE_TRY(added_cell(pass, index, pass->rows_in + (uint64_t)(piece->start + k), err));
        if (piece->count == 0)
            CE_TRY(added_cell(pass, index, piece->ordinal, err));
    }
    return ce_grow_end(&pass->join[index], ret_array, err);
}

/* The column's cell of a row that was encoded. */
static int copied_cell(struct ce_arrow_pass *pass, const struct ce_arrow_piece *piece, size_t index,
                       struct ce_error *err)
{
    const char *at = pass->placed.data + piece->at, *end = at + piece->size, *cell = NULL;
    size_t size = 0;
    for (int i = 0; i <= pass->plan.places[index].input; i++)
        (void)ce_encoded_next(&at, end, &cell, &size);
    return ce_grow_cell(&pass->join[index], cell, size, err);
}

static int joined_column(struct ce_arrow_pass *pass, size_t index, const struct ArrowArray *array,
                         int64_t start, struct ArrowArray *ret_array, struct ce_error *err)
{
    const struct ce_arrow_piece *piece = (const struct ce_arrow_piece *)pass->pieces.data;
    for (size_t i = 0; i < pass->pieces.size / sizeof *piece; i++, piece++) {
        if (piece->count > 0)
            CE_TRY(
                ce_grow_range(&pass->join[index], array, start + piece->start, piece->count, err));
        else
            CE_TRY(copied_cell(pass, piece, index, err));
    }
    return ce_grow_end(&pass->join[index], ret_array, err);
}

/* Part of a column that was made anew. */
static int sliced_column(struct ArrowArray *made, const struct ce_arrow_piece *run,
                         struct ArrowArray *ret_array, struct ce_error *err)
{
    if (run->start == 0 && run->count == made->length) {
        *ret_array = *made;
        made->release = NULL;
        return 0;
    }
    struct ce_arrow_shared *shared = ce_arrow_shared_new(made);
    if (!shared)
        return ce_fail_memory(err);
    int r = ce_arrow_view(shared, ce_arrow_shared_array(shared), run->start, run->count, ret_array,
                          err);
    ce_arrow_shared_unref(shared);
    return r;
}

static int write_column(struct ce_arrow_pass *pass, size_t index, struct ce_arrow_shared *batch,
                        struct ArrowArray *ret_array, struct ce_error *err)
{
    int input = pass->plan.places[index].input;
    if (input < 0)
        return added_column(pass, index, ret_array, err);
    struct ArrowArray *made = &pass->made[input];
    const struct ce_work_column *column = &pass->work.columns[input];
    const struct ce_arrow_piece *run = (const struct ce_arrow_piece *)pass->pieces.data;
    bool one = pass->pieces.size == sizeof *run && run->count > 0;
    /* with rows on the move, a column's dictionary must not be now this and now that */
    if (!one || (pass->plan.moves_rows && ce_arrow_has_dictionary(column->type)))
        return joined_column(pass, index, made->release ? made : column->input,
                             made->release ? 0 : column->input_start, ret_array, err);
    if (made->release)
        return sliced_column(made, run, ret_array, err);
    return ce_arrow_view(batch, column->input, column->input_start + run->start, run->count,
                         ret_array, err);
}

static int64_t count_rows(const struct ce_arrow_pass *pass)
{
    const struct ce_arrow_piece *piece = (const struct ce_arrow_piece *)pass->pieces.data;
    int64_t rows = 0;
    for (size_t i = 0; i < pass->pieces.size / sizeof *piece; i++)
        rows += piece[i].count > 0 ? piece[i].count : 1;
    return rows;
}

/* Moves the columns into a batch. */
static int write_columns(struct ce_arrow_pass *pass, struct ce_arrow_shared *batch,
                         struct ArrowArray *out, struct ce_error *err)
{
    for (size_t i = 0; i < pass->plan.place_count; i++) {
        struct ArrowArray *child = out->children[i];
        if (batch || pass->plan.places[i].input < 0)
            CE_TRY(write_column(pass, i, batch, child, err));
        else
            CE_TRY(joined_column(pass, i, NULL, 0, child, err));
        if (pass->digest_out)
            ce_arrow_digest_add(pass->digest_out, i, pass->plan.places[i].type, child,
                                child->offset, child->length);
    }
    return 0;
}

static int write_pieces(struct ce_arrow_pass *pass, struct ce_arrow_shared *batch,
                        struct ArrowArray *ret_batch, struct ce_error *err)
{
    struct ArrowArray out;
    int64_t rows = count_rows(pass);
    if (rows == 0)
        return 0;
    CE_TRY(ce_arrow_array_make(rows, 1, pass->plan.place_count, false, &out, err));
    int r = write_columns(pass, batch, &out, err);
    if (r < 0) {
        out.release(&out);
        return r;
    }
    *ret_batch = out;
    return 1;
}

int ce_arrow_pass_write(struct ce_arrow_pass *pass, struct ce_arrow_shared *batch,
                        struct ArrowArray *ret_batch, struct ce_error *err)
{
    for (size_t i = 0; i < pass->source.column_count; i++)
        CE_TRY(ce_work_finish(&pass->work, i, &pass->made[i], err));
    CE_TRY(ce_arrow_key_dictionaries(pass, err));
    CE_TRY(walk(pass, err));
    CE_TRY(ce_arrow_key_flush(pass, err));
    int r = write_pieces(pass, batch, ret_batch, err);
    for (size_t i = 0; i < pass->plan.place_count; i++)
        if (pass->join[i].type)
            ce_grow_forget(&pass->join[i]);
    release_made(pass);
    return r;
}

/* ---- after the last row ---- */

static int rest_of(struct ce_arrow_pass *pass, size_t index, bool end, struct ce_error *err)
{
    struct ce_arrow_step *step = &pass->plan.steps[index];
    struct emission emission = {.pass = pass, .own = true, .row = pass->own_in};
    struct ce_placed row;
    if (!step->placer || (step->made->mutation->place == CE_PLACE_END) != end)
        return 0;
    while (pass->pieces.size < REST_ROWS * sizeof(struct ce_arrow_piece)) {
        int r = ce_placer_rest(step->placer, &row, err);
        if (r <= 0)
            return r;
        CE_TRY(emit_copy(&emission, &row, err));
    }
    return 0;
}

int ce_arrow_pass_write_rest(struct ce_arrow_pass *pass, struct ArrowArray *ret_batch,
                             struct ce_error *err)
{
    pass->pieces.size = pass->placed.size = 0;
    if (!pass->plan.tail_own)
        return 0;
    for (int end = 0; end <= 1; end++)
        for (size_t i = 0; i < pass->plan.step_count; i++)
            CE_TRY(rest_of(pass, i, end, err));
    CE_TRY(ce_arrow_key_flush(pass, err));
    return write_pieces(pass, NULL, ret_batch, err);
}
