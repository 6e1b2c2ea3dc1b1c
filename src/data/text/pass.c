/* SPDX-License-Identifier: MIT */
#include "data/text/pass.h"

#include "base/cleanup.h"
#include "data/text/pass_internal.h"

bool ce_pass_grow(void *array, size_t *capacity, size_t count, size_t element_size)
{
    if (count < *capacity)
        return true;
    void **elements = array;
    size_t larger = 2 * count + 16;
    void *moved = realloc(*elements, larger * element_size);
    if (!moved)
        return false;
    *elements = moved;
    *capacity = larger;
    return true;
}

/* ---- workers and results ---- */

void ce_pass_worker_free(void *worker)
{
    struct ce_pass_worker *w = worker;
    for (size_t i = 0; i < w->block_capacity; i++)
        free(w->blocks[i].masks);
    ce_text_scan_done(&w->scan);
    ce_buffer_done(&w->made);
    ce_buffer_done(&w->scratch);
    ce_buffer_done(&w->texts);
    ce_buffer_done(&w->composed);
    ce_buffer_done(&w->next);
    free(w->blocks);
    free(w->hits);
    free(w->value_hits);
    free(w->other_counts);
    free(w->row.cells);
    free(w->slots);
    free(w->order);
    free(w->saved);
    free(w->cells);
    free(w->layout);
    free(w->next_rows);
    free(w);
}

void *ce_pass_worker_new(void *ctx)
{
    const struct ce_pass *pass = ctx;
    const struct ce_plan *plan = pass->plan;
    struct ce_pass_worker *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->pass = pass;
    w->plan = plan;
    w->table = plan->table;
    w->hits = calloc(64 * plan->unit_count + 1, sizeof *w->hits);
    w->value_hits = calloc(plan->unit_count + 1, sizeof *w->value_hits);
    w->other_counts = calloc(plan->step_count + 1, sizeof *w->other_counts);
    w->layout = calloc(plan->layout_count + 1, sizeof *w->layout);
    w->slots = calloc(plan->table->column_count + 1, sizeof *w->slots);
    w->row = (struct ce_text_row){
        .slots = w->slots,
        .slot_count = w->slots ? plan->table->column_count : 0,
        .row = {.form = plan->table->format->form},
        .table = plan->table,
        .profile = plan->profile,
        .made = &w->made,
        .scratch = &w->scratch,
    };
    if (!w->hits || !w->value_hits || !w->other_counts || !w->layout || !w->slots) {
        ce_pass_worker_free(w);
        return NULL;
    }
    memcpy(w->layout, plan->layout, plan->layout_count * sizeof *w->layout);
    return w;
}

void ce_pass_result_free(void *pointer)
{
    struct ce_pass_result *result = pointer;
    ce_buffer_done(&result->out);
    ce_buffer_done(&result->key);
    ce_buffer_done(&result->moved);
    ce_buffer_done(&result->appended);
    free(result->pieces);
    free(result->moves);
    free(result->counts);
    free(result);
}

void *ce_pass_result_new(void *ctx)
{
    const struct ce_pass *pass = ctx;
    struct ce_pass_result *result = calloc(1, sizeof *result);
    if (!result)
        return NULL;
    result->counts = calloc(pass->plan->step_count + 1, sizeof *result->counts);
    if (!result->counts) {
        ce_pass_result_free(result);
        return NULL;
    }
    return result;
}

/* A chunk of extraordinary size is over: its memory goes back. */
static void buffer_clear(struct ce_buffer *buffer)
{
    if (buffer->capacity > 8 * CE_CHUNK_SIZE)
        ce_buffer_done(buffer);
    buffer->size = 0;
}

static void result_clear(struct ce_pass_result *result, size_t steps)
{
    buffer_clear(&result->out);
    buffer_clear(&result->key);
    buffer_clear(&result->moved);
    buffer_clear(&result->appended);
    result->same = result->skipped = false;
    result->piece_count = result->move_count = 0;
    result->rows = 0;
    memset(result->counts, 0, steps * sizeof *result->counts);
}

/* ---- which units are hit ---- */

static int compute_block(const struct ce_pass_worker *w, struct ce_mask_block *block,
                         uint64_t number, struct ce_error *err)
{
    const struct ce_plan *plan = w->plan;
    if (block->valid && block->number == number)
        return 0;
    if (!block->masks)
        block->masks = calloc(plan->unit_count * CE_MASK_WORDS + 1, sizeof *block->masks);
    if (!block->masks)
        return ce_fail_memory(err);
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct ce_step *step = &plan->steps[i];
        uint64_t *masks = block->masks + step->first_unit * CE_MASK_WORDS;
        if (step->selection && !step->by_value)
            ce_selection_block(step->selection, number, masks);
        if (step->places)
            ce_selection_block(step->places, number, masks + step->count * CE_MASK_WORDS);
    }
    block->valid = true;
    block->number = number;
    return 0;
}

/* The masks of all blocks that the chunk touches. Those of the chunk before are kept: chunks share
 * the block in which one ends. */
static int compute_blocks(struct ce_pass_worker *w, struct ce_error *err)
{
    uint64_t first = w->chunk->row / CE_SELECT_BLOCK;
    uint64_t last = (w->chunk->row + w->chunk->records) / CE_SELECT_BLOCK;
    size_t needed = (size_t)(last - first + 1);
    if (w->plan->unit_count == 0)
        return 0;
    if (needed > w->block_capacity) {
        struct ce_mask_block *larger = calloc(needed, sizeof *larger);
        if (!larger)
            return ce_fail_memory(err);
        for (size_t i = 0; i < w->block_capacity; i++)
            larger[i].masks = w->blocks[i].masks;
        free(w->blocks);
        w->blocks = larger;
        w->block_capacity = needed;
    }
    for (uint64_t n = first; n <= last; n++)
        CE_TRY(compute_block(w, &w->blocks[n % w->block_capacity], n, err));
    return 0;
}

static const uint64_t *masks_of(const struct ce_pass_worker *w, uint64_t row)
{
    uint64_t block = row / CE_SELECT_BLOCK;
    return w->blocks[block % w->block_capacity].masks + row % CE_SELECT_BLOCK / 64;
}

static bool any_hit(const struct ce_pass_worker *w)
{
    uint64_t row = w->chunk->row, end = row + w->chunk->records;
    while (row < end && w->plan->unit_count > 0) {
        uint64_t next = (row | 63) + 1, rows = ~UINT64_C(0) << row % 64;
        if (next > end)
            rows &= ~UINT64_C(0) >> (next - end);
        const uint64_t *masks = masks_of(w, row);
        for (size_t unit = 0; unit < w->plan->unit_count; unit++)
            if (masks[unit * CE_MASK_WORDS] & rows)
                return true;
        row = next;
    }
    return false;
}

/* Turns columns of bits into a list for each of 64 rows: what the rows cost is then the hits. */
static void gather_hits(struct ce_pass_worker *w, uint64_t row)
{
    size_t units = w->plan->unit_count;
    memset(w->hit_count, 0, sizeof w->hit_count);
    if (units == 0)
        return;
    const uint64_t *masks = masks_of(w, row);
    for (uint32_t unit = 0; unit < units; unit++)
        for (uint64_t left = masks[unit * CE_MASK_WORDS]; left != 0; left &= left - 1) {
            unsigned lane = (unsigned)__builtin_ctzll(left);
            w->hits[lane * units + w->hit_count[lane]++] = unit;
        }
}

/* ---- what becomes of a row ---- */

static inline bool find_cell(struct ce_pass_worker *w, const struct ce_unit *unit, size_t column,
                             struct ce_cell *ret_cell)
{
    const struct ce_text_record *record = w->row.record;
    if (w->dropped || column >= record->cell_count || !record->cells[column].raw)
        return false;
    ce_row_cell(&w->row.row, column, ret_cell);
    ret_cell->draws = unit->draws;
    return ret_cell->raw != NULL;
}

static inline int hit_cell(struct ce_pass_worker *w, const struct ce_unit *unit,
                           struct ce_error *err)
{
    const struct ce_mutation *mutation = unit->mutation;
    struct ce_fault_counts *counts = &w->counts[unit->step];
    struct ce_cell cell;
    counts->selected++;
    if (!find_cell(w, unit, unit->column, &cell)) {
        ce_fault_counts_skip(counts, "absent");
        return 0;
    }
    w->row.step = (uint32_t)unit->step;
    const char *reason = mutation->rewrite(mutation->ctx, &cell);
    if (!reason) {
        counts->changed++;
        return 0;
    }
    if (strcmp(reason, "out of memory") == 0)
        return ce_fail_memory(err);
    ce_fault_counts_skip(counts, reason);
    return 0;
}

/* Rewrites one cell of a copy, of those that are offered the first that can be, from a drawn one
 * on. */
static void rewrite_one(struct ce_pass_worker *w, const struct ce_step *step,
                        const struct ce_unit *unit)
{
    const struct ce_mutation *mutation = step->mutation;
    if (step->offered_count == 0)
        return;
    size_t first =
        ce_stream_below(&step->choice, w->row.row.ordinal, (uint32_t)step->offered_count);
    for (size_t i = 0; i < step->offered_count; i++) {
        struct ce_cell cell;
        size_t column = step->offered[(first + i) % step->offered_count];
        if (find_cell(w, unit, column, &cell) && !mutation->rewrite(mutation->ctx, &cell))
            return;
    }
}

/* Puts the row as it is now, with its line end, where copies that go to `place` are kept. */
static int keep_copy(struct ce_pass_worker *w, size_t index, struct ce_error *err)
{
    struct ce_pass_result *result = w->result;
    enum ce_row_place place = w->plan->steps[index].mutation->place;
    struct ce_buffer *home = place == CE_PLACE_END    ? &result->appended
                             : place == CE_PLACE_NEXT ? &w->next
                                                      : &result->moved;
    if (place == CE_PLACE_END && !w->plan->tail_own)
        return 0;
    const char *bytes;
    size_t size;
    CE_TRY(ce_pass_compose(w, &bytes, &size, err));
    struct ce_appended head = {.step = index, .size = size, .end_size = w->row.record->end_size};
    bool kept = place != CE_PLACE_END || ce_buffer_put(home, &head, sizeof head);
    struct ce_text_slice slice = {home->size, size, head.end_size};
    kept = kept && ce_buffer_put(home, bytes, size);
    if (kept && place == CE_PLACE_NEXT) {
        kept = ce_pass_grow(&w->next_rows, &w->next_capacity, w->next_count, sizeof *w->next_rows);
        if (kept)
            w->next_rows[w->next_count++] = (struct next_row){.step = index, .row = slice};
    } else if (kept && place != CE_PLACE_END) {
        kept = ce_pass_grow(&result->moves, &result->move_capacity, result->move_count,
                            sizeof *result->moves);
        if (kept)
            result->moves[result->move_count++] = (struct ce_move){.step = index, .row = slice};
    }
    return kept ? 0 : ce_fail_memory(err);
}

static int copy_rewritten(struct ce_pass_worker *w, size_t index, const struct ce_unit *unit,
                          struct ce_error *err)
{
    size_t count = w->row.count;
    bool leaves_out = w->row.leaves_out;
    struct ce_made_cell *saved = realloc(w->saved, (count + 1) * sizeof *saved);
    if (!saved)
        return ce_fail_memory(err);
    w->saved = saved;
    if (count > 0)
        memcpy(saved, w->row.cells, count * sizeof *saved);
    rewrite_one(w, &w->plan->steps[index], unit);
    int r = keep_copy(w, index, err);
    if (count > 0)
        memcpy(w->row.cells, saved, count * sizeof *saved);
    w->row.count = count;
    w->row.leaves_out = leaves_out;
    return r;
}

static int hit_row(struct ce_pass_worker *w, const struct ce_unit *unit, struct ce_error *err)
{
    const struct ce_mutation *mutation = unit->mutation;
    struct ce_fault_counts *counts = &w->counts[unit->step];
    counts->selected++;
    if (w->dropped) {
        ce_fault_counts_skip(counts, "absent");
        return 0;
    }
    counts->changed++;
    if (mutation->fate == CE_ROW_DROP) {
        w->dropped = true;
        w->dropped_by = unit->step;
        return 0;
    }
    return mutation->rewrite ? copy_rewritten(w, unit->step, unit, err)
                             : keep_copy(w, unit->step, err);
}

static int note_place(struct ce_pass_worker *w, size_t index, struct ce_error *err)
{
    struct ce_pass_result *result = w->result;
    if (!ce_pass_grow(&result->moves, &result->move_capacity, result->move_count,
                      sizeof *result->moves))
        return ce_fail_memory(err);
    result->moves[result->move_count++] = (struct ce_move){.step = index, .place = true};
    return 0;
}

static inline int hit_unit(struct ce_pass_worker *w, size_t index, struct ce_error *err)
{
    const struct ce_unit *unit = &w->plan->units[index];
    if (unit->place)
        return note_place(w, unit->step, err);
    return unit->mutation->kind == CE_MUTATE_ROWS ? hit_row(w, unit, err) : hit_cell(w, unit, err);
}

/* A step that looks at the row, as the steps before have left it. */
static int ask_row(struct ce_pass_worker *w, size_t index, struct ce_error *err)
{
    const struct ce_step *step = &w->plan->steps[index];
    w->counts[index].eligible += ce_selection_row(step->selection, &w->row.row, w->value_hits);
    for (size_t i = 0; i < step->count; i++)
        if (w->value_hits[i])
            CE_TRY(hit_unit(w, step->first_unit + i, err));
    return 0;
}

static int run_steps(struct ce_pass_worker *w, const uint32_t *hits, size_t count,
                     struct ce_error *err)
{
    const struct ce_plan *plan = w->plan;
    if (!plan->by_value) {
        for (size_t i = 0; i < count; i++)
            CE_TRY(hit_unit(w, hits[i], err));
        return 0;
    }
    for (size_t step = 0; step < plan->step_count; step++) {
        if (plan->steps[step].by_value)
            CE_TRY(ask_row(w, step, err));
        for (; count > 0 && plan->units[*hits].step == step; hits++, count--)
            CE_TRY(hit_unit(w, *hits, err));
    }
    return 0;
}

static int work_row(struct ce_pass_worker *w, struct ce_text_record *record, struct ce_error *err)
{
    const struct ce_plan *plan = w->plan;
    size_t lane = record->row % 64, moves = w->result->move_count;
    if (lane == 0 || record->row == w->chunk->row)
        gather_hits(w, record->row);
    w->own = record->row >= plan->first && record->row < plan->end;
    w->counts = w->own ? w->result->counts : w->other_counts;
    w->dropped = w->row.leaves_out = false;
    w->row.record = record;
    w->row.row.ordinal = record->row;
    w->row.count = w->next_count = 0;
    w->row.marks = 0;
    w->made.size = w->next.size = 0;
    if (w->hit_count[lane] > 0 || plan->by_value)
        CE_TRY(run_steps(w, w->hits + lane * plan->unit_count, w->hit_count[lane], err));
    w->piece.own = w->own;
    if (w->row.count > 0 || w->dropped || w->next_count > 0 || plan->new_records)
        CE_TRY(ce_pass_write_row(w, err));
    w->result->rows += w->own ? !w->dropped + w->next_count : 0;
    if (plan->delays || w->result->move_count > moves || record->row + 1 == plan->first ||
        record->row + 1 == plan->end)
        return ce_pass_end_piece(w, record, err);
    return 0;
}

/* ---- chunks ---- */

/* Under mcar all units of the chunk's rows that are written are eligible. */
static void count_eligible(const struct ce_plan *plan, const struct ce_chunk *chunk,
                           struct ce_fault_counts *counts)
{
    uint64_t from = chunk->row, to = chunk->row + chunk->records;
    from = from > plan->first ? from : plan->first;
    to = to < plan->end ? to : plan->end;
    for (size_t i = 0; i < plan->step_count && from < to; i++)
        if (plan->steps[i].selection && !plan->steps[i].by_value)
            counts[i].eligible += (to - from) * plan->steps[i].count;
}

static bool plan_appends(const struct ce_plan *plan)
{
    for (size_t i = 0; i < plan->step_count && plan->tail_own; i++) {
        const struct ce_mutation *mutation = plan->steps[i].mutation;
        if (mutation->kind == CE_MUTATE_ROWS && mutation->fate == CE_ROW_COPY &&
            mutation->place == CE_PLACE_END)
            return true;
    }
    return false;
}

/* Chunks that need no look at their rows. */
static bool is_simple(struct ce_pass_worker *w)
{
    const struct ce_plan *plan = w->plan;
    const struct ce_chunk *chunk = w->chunk;
    uint64_t end = chunk->row + chunk->records;
    bool outside = (end <= plan->first && chunk->records > 0 && !(chunk->number == 0)) ||
                   (chunk->row >= plan->end && !chunk->last);
    if (outside && !plan->moves && !plan_appends(plan)) {
        w->result->skipped = true;
        return true;
    }
    bool inside = (chunk->row >= plan->first && end <= plan->end) &&
                  (chunk->number > 0 || plan->head_own) && (!chunk->last || plan->tail_own);
    bool untouched = !plan->by_value && !plan->new_records && !plan->delays &&
                     !(plan->new_head && chunk->number == 0) && !any_hit(w);
    if (inside && untouched) {
        w->result->same = true;
        w->result->rows = chunk->records;
        return true;
    }
    return false;
}

static int work_rows(struct ce_pass_worker *w, struct ce_error *err)
{
    const struct ce_chunk *chunk = w->chunk;
    const struct ce_text_format *format = w->table->format;
    struct ce_text_record record;
    struct ce_text_scan *scan = &w->scan;
    *scan = (struct ce_text_scan){
        .table = w->table,
        .at = chunk->data + chunk->head_size,
        .end = chunk->data + chunk->size,
        .last = chunk->last,
        .row = chunk->row,
        .line = chunk->line,
        .cells = scan->cells,
        .cell_capacity = scan->cell_capacity,
        .special = scan->special,
    };
    int got;
    while ((got = format->next(scan, &record, err)) > 0)
        CE_TRY(work_row(w, &record, err));
    if (got < 0)
        return got;
    if (chunk->last)
        w->piece.own = w->plan->tail_own;
    CE_TRY(ce_pass_copy_to(w, chunk->data + chunk->size, err));
    return ce_pass_end_piece(w, NULL, err);
}

int ce_pass_work(void *ctx, void *worker, const struct ce_chunk *chunk, void *result,
                 struct ce_error *err)
{
    struct ce_pass_worker *w = worker;
    w->chunk = chunk;
    w->result = result;
    result_clear(w->result, w->plan->step_count);
    CE_TRY(compute_blocks(w, err));
    count_eligible(w->plan, chunk, w->result->counts);
    if (is_simple(w))
        return 0;
    if (!ce_buffer_room(&w->result->out, chunk->size + chunk->size / 8))
        return ce_fail_memory(err);
    w->copied = chunk->data;
    w->piece = (struct ce_piece){.own = w->plan->head_own};
    if (chunk->number == 0)
        CE_TRY(ce_pass_write_head(w, err));
    return work_rows(w, err);
}
