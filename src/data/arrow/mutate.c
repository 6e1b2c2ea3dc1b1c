/* SPDX-License-Identifier: MIT */
/* The pass that mutates a typed table, batch by batch.
 *
 * On each batch the mutations act one after the other, and each column by column. Then it is
 * written out: columns that nobody touched as they came, others made anew, and, where rows are
 * dropped or put in, all of them put together from pieces. The key's entries follow in the order of
 * the rows. */
#include "data/arrow/mutate.h"

#include <stdlib.h>

/* ---- cells ---- */

static bool is_own(const struct ce_arrow_pass *pass, uint64_t ordinal)
{
    return ordinal >= pass->plan.first && ordinal < pass->plan.end;
}

static bool is_gone(const struct ce_arrow_pass *pass, int64_t at)
{
    return ((const uint8_t *)pass->gone.data)[at] != 0;
}

/* Counts of rows that are not written go nowhere. */
static struct ce_fault_counts *counts_of(struct ce_arrow_pass *pass, size_t step, uint64_t ordinal)
{
    return is_own(pass, ordinal) ? &pass->counts[step] : &pass->other_counts;
}

static int hit_cell(struct ce_arrow_pass *pass, size_t index, size_t unit, int64_t at,
                    struct ce_error *err)
{
    const struct ce_step *step = pass->plan.steps[index].made;
    struct ce_work_row *row = &pass->row;
    struct ce_cell cell = {.draws = ce_selection_draws(step->selection, unit)};
    row->at = at;
    row->row.ordinal = pass->rows_in + (uint64_t)at;
    row->fault = (uint8_t)(index + 1);
    struct ce_fault_counts *counts = counts_of(pass, index, row->row.ordinal);
    counts->selected++;
    if (is_gone(pass, at)) {
        ce_fault_counts_skip(counts, "absent");
        return 0;
    }
    ce_row_cell(&row->row, ce_selection_column(step->selection, unit), &cell);
    const char *reason = step->mutation->rewrite(step->mutation->ctx, &cell);
    if (pass->work.failed)
        return pass->work.failed;
    if (!reason)
        counts->changed++;
    else if (strcmp(reason, "out of memory") == 0)
        return ce_fail_memory(err);
    else
        ce_fault_counts_skip(counts, reason);
    return 0;
}

/* ---- rows ---- */

static void copied_cell(struct ce_arrow_pass *pass, const struct ce_step *step, size_t i,
                        struct ce_cell *ret_cell)
{
    size_t first =
        ce_stream_below(&step->choice, pass->row.row.ordinal, (uint32_t)step->offered_count);
    *ret_cell = (struct ce_cell){.draws = ce_selection_draws(step->selection, 0)};
    ce_row_cell(&pass->row.row, step->offered[(first + i) % step->offered_count], ret_cell);
}

/* The row with one cell rewritten, of those that are offered the first that can be, from a drawn
 * one on; the row itself stays as it is. */
static int encode_rewritten(struct ce_arrow_pass *pass, const struct ce_step *step, int64_t at,
                            struct ce_error *err)
{
    const struct ce_mutation *mutation = step->mutation;
    struct ce_work_saved saved = {0};
    struct ce_cell cell;
    bool done = false;
    int r = 0;
    for (size_t i = 0; i < step->offered_count && !done && r == 0; i++) {
        copied_cell(pass, step, i, &cell);
        CE_TRY(ce_work_save(&pass->work, cell.column, at, &saved, err));
        done = mutation->rewrite(mutation->ctx, &cell) == NULL;
        r = pass->work.failed;
        if (!done)
            ce_buffer_done(&saved.cell);
    }
    if (r == 0)
        r = ce_work_encode_row(&pass->work, at, &pass->copies, err);
    if (r == 0 && done)
        r = ce_work_restore(&pass->work, cell.column, at, &saved, err);
    ce_buffer_done(&saved.cell);
    return r;
}

static int copy_row(struct ce_arrow_pass *pass, size_t index, int64_t at, struct ce_error *err)
{
    struct ce_arrow_step *step = &pass->plan.steps[index];
    const struct ce_mutation *mutation = step->made->mutation;
    if (mutation->place == CE_PLACE_END && !pass->plan.tail_own)
        return 0;
    struct ce_arrow_copy copy = {.row = at, .at = pass->copies.size};
    CE_TRY(mutation->rewrite ? encode_rewritten(pass, step->made, at, err)
                             : ce_work_encode_row(&pass->work, at, &pass->copies, err));
    copy.size = pass->copies.size - copy.at;
    return ce_buffer_put(&step->copied, &copy, sizeof copy) ? 0 : ce_fail_memory(err);
}

static int hit_row(struct ce_arrow_pass *pass, size_t index, int64_t at, struct ce_error *err)
{
    struct ce_work_row *row = &pass->row;
    row->at = at;
    row->row.ordinal = pass->rows_in + (uint64_t)at;
    row->fault = (uint8_t)(index + 1);
    struct ce_fault_counts *counts = counts_of(pass, index, row->row.ordinal);
    counts->selected++;
    if (is_gone(pass, at)) {
        ce_fault_counts_skip(counts, "absent");
        return 0;
    }
    counts->changed++;
    if (pass->how.mutations[index].fate == CE_ROW_COPY)
        return copy_row(pass, index, at, err);
    pass->gone.data[at] = (char)(index + 1);
    return 0;
}

static int hit(struct ce_arrow_pass *pass, size_t index, size_t unit, int64_t at,
               struct ce_error *err)
{
    return pass->how.mutations[index].kind == CE_MUTATE_ROWS ? hit_row(pass, index, at, err)
                                                             : hit_cell(pass, index, unit, at, err);
}

/* ---- steps ---- */

/* Rows [at, end) of the batch, all of one block, 64 at a time. */
static int unit_by_mask(struct ce_arrow_pass *pass, size_t index, size_t unit, int64_t at,
                        int64_t end, struct ce_error *err)
{
    struct ce_arrow_step *step = &pass->plan.steps[index];
    const uint64_t *masks = ce_arrow_step_masks(step, pass->rows_in + (uint64_t)at);
    masks += unit * CE_ARROW_MASK_WORDS;
    while (at < end) {
        uint64_t ordinal = pass->rows_in + (uint64_t)at, lane = ordinal % 64;
        uint64_t left = masks[ordinal % CE_SELECT_BLOCK / 64] >> lane;
        if (end - at < 64)
            left &= (UINT64_C(1) << (end - at)) - 1;
        for (; left != 0; left &= left - 1)
            CE_TRY(hit(pass, index, unit, at + __builtin_ctzll(left), err));
        at += (int64_t)(64 - lane);
    }
    return 0;
}

/* Block by block: the masks of a block are those of all units. */
static int step_by_mask(struct ce_arrow_pass *pass, size_t index, struct ce_error *err)
{
    size_t units = pass->plan.steps[index].made->count;
    for (int64_t at = 0, end; at < pass->work.rows; at = end) {
        uint64_t ordinal = pass->rows_in + (uint64_t)at;
        end = at + (int64_t)(CE_SELECT_BLOCK - ordinal % CE_SELECT_BLOCK);
        end = end < pass->work.rows ? end : pass->work.rows;
        CE_TRY(ce_work_reach(&pass->work, end, err));
        for (size_t unit = 0; unit < units; unit++)
            CE_TRY(unit_by_mask(pass, index, unit, at, end, err));
    }
    return 0;
}

static int step_by_value(struct ce_arrow_pass *pass, size_t index, struct ce_error *err)
{
    struct ce_arrow_step *step = &pass->plan.steps[index];
    for (int64_t at = 0; at < pass->work.rows; at++) {
        pass->row.at = at;
        pass->row.row.ordinal = pass->rows_in + (uint64_t)at;
        counts_of(pass, index, pass->row.row.ordinal)->eligible +=
            ce_selection_row(step->made->selection, &pass->row.row, step->hits);
        for (size_t unit = 0; unit < step->made->count; unit++)
            if (step->hits[unit])
                CE_TRY(hit(pass, index, unit, at, err));
    }
    return 0;
}

static uint64_t own_rows(const struct ce_arrow_pass *pass)
{
    uint64_t from = pass->rows_in, to = from + (uint64_t)pass->work.rows;
    from = from > pass->plan.first ? from : pass->plan.first;
    to = to < pass->plan.end ? to : pass->plan.end;
    return from < to ? to - from : 0;
}

static int run_steps(struct ce_arrow_pass *pass, struct ce_error *err)
{
    for (size_t i = 0; i < pass->plan.step_count; i++) {
        const struct ce_step *step = pass->plan.steps[i].made;
        if (!step->selection)
            continue;
        if (step->by_value) {
            CE_TRY(step_by_value(pass, i, err));
            continue;
        }
        pass->counts[i].eligible += own_rows(pass) * step->count;
        CE_TRY(step_by_mask(pass, i, err));
    }
    return 0;
}

/* ---- a batch ---- */

static void digest_input(struct ce_arrow_pass *pass, const struct ArrowArray *batch)
{
    int64_t skipped =
        pass->rows_in < pass->plan.first ? (int64_t)(pass->plan.first - pass->rows_in) : 0;
    uint64_t rows = own_rows(pass);
    for (size_t i = 0; pass->digest_in && rows > 0 && i < pass->source.column_count; i++)
        ce_arrow_digest_add(pass->digest_in, i, pass->source.table->children[i], batch->children[i],
                            batch->children[i]->offset + batch->offset + skipped, (int64_t)rows);
    pass->own_in += rows;
}

static int work_batch(struct ce_arrow_pass *pass, struct ce_arrow_shared *batch,
                      struct ArrowArray *ret_batch, struct ce_error *err)
{
    const struct ArrowArray *array = ce_arrow_shared_array(batch);
    pass->gone.size = pass->copies.size = 0;
    for (size_t i = 0; i < pass->plan.step_count; i++)
        pass->plan.steps[i].copied.size = pass->plan.steps[i].copied_next = 0;
    char *gone = ce_buffer_room(&pass->gone, (size_t)array->length + 1);
    if (!gone)
        return ce_fail_memory(err);
    memset(gone, 0, (size_t)array->length + 1);
    pass->work.err = err;
    CE_TRY(ce_work_begin(&pass->work, array, array->offset, array->length, err));
    CE_TRY(run_steps(pass, err));
    digest_input(pass, array);
    return ce_arrow_pass_write(pass, batch, ret_batch, err);
}

static void tell_progress(struct ce_arrow_pass *pass)
{
    const struct ce_data_options *options = pass->how.options;
    uint64_t rows = pass->how.profile->rows;
    if (options && options->progress)
        options->progress(options->progress_ctx, rows == 0 || pass->how.profile->partial
                                                     ? -1
                                                     : (double)pass->rows_in / (double)rows);
}

static int end_digests(struct ce_arrow_pass *pass, struct ce_error *err)
{
    if (!pass->digest_in)
        return 0;
    CE_TRY(ce_arrow_digest_end(pass->digest_in, &pass->source.schema, pass->own_in,
                               pass->result->sha256_in, err));
    return ce_arrow_digest_end(pass->digest_out, &pass->plan.schema, pass->rows_out,
                               pass->result->sha256_out, err);
}

static int fill_result(struct ce_arrow_pass *pass, struct ce_error *err)
{
    struct ce_data_result *result = pass->result;
    CE_TRY(end_digests(pass, err));
    result->rows = pass->own_in;
    result->rows_out = pass->rows_out;
    result->columns = pass->source.column_count;
    result->hit_columns = pass->plan.hit_columns;
    result->counts = ce_take(pass->counts);
    return 0;
}

static int source_batch(struct ce_arrow_pass *pass, struct ArrowArray *batch,
                        struct ArrowArray *ret_batch, struct ce_error *err)
{
    uint64_t rows = (uint64_t)batch->length;
    struct ce_arrow_shared *shared = ce_arrow_shared_new(batch);
    if (!shared) {
        batch->release(batch);
        return ce_fail_memory(err);
    }
    int r = work_batch(pass, shared, ret_batch, err);
    ce_work_end(&pass->work);
    ce_arrow_shared_unref(shared);
    pass->rows_in += rows;
    tell_progress(pass);
    return r;
}

static int pass_next(void *ctx, struct ArrowArray *ret_batch, struct ce_error *err)
{
    struct ce_arrow_pass *pass = ctx;
    const struct ce_data_options *options = pass->how.options;
    struct ArrowArray batch = {0};
    int r = 0;
    while (r == 0 && !pass->ended) {
        if (options && options->stop && *options->stop)
            return ce_fail(err, EINTR, "interrupted");
        CE_TRY(r = pass->rested ? 0 : ce_arrow_source_next(&pass->source, &batch, err));
        if (r > 0) {
            r = source_batch(pass, &batch, ret_batch, err);
            continue;
        }
        pass->rested = true;
        r = ce_arrow_pass_write_rest(pass, ret_batch, err);
        if (r == 0) {
            pass->ended = true;
            r = fill_result(pass, err);
        }
    }
    return r;
}

/* ---- the stream ---- */

static void pass_done(void *ctx)
{
    struct ce_arrow_pass *pass = ctx;
    ce_arrow_pass_write_done(pass);
    ce_work_done(&pass->work);
    ce_arrow_digest_free(pass->digest_in);
    ce_arrow_digest_free(pass->digest_out);
    ce_arrow_plan_done(&pass->plan);
    ce_arrow_source_done(&pass->source);
    ce_buffer_done(&pass->gone);
    ce_buffer_done(&pass->copies);
    free(pass->counts);
    free(pass);
}

/* Columns that stay as they are need not be hashed twice. */
static int digests_new(struct ce_arrow_pass *pass, struct ce_error *err)
{
    const struct ce_arrow_plan *plan = &pass->plan;
    ce_autofree struct ce_arrow_type **types = calloc(plan->place_count + 1, sizeof *types);
    if (!types)
        return ce_fail_memory(err);
    for (size_t i = 0; i < plan->place_count; i++)
        types[i] = plan->places[i].type;
    CE_TRY(ce_arrow_digest_new(pass->source.table->children, pass->source.column_count,
                               &pass->digest_in, err));
    CE_TRY(ce_arrow_digest_new(types, plan->place_count, &pass->digest_out, err));
    for (size_t i = 0; i < plan->place_count; i++) {
        int input = plan->places[i].input;
        if (input >= 0 && !plan->moves_rows && !plan->hit[input])
            ce_arrow_digest_borrow(pass->digest_out, i, pass->digest_in, (size_t)input);
    }
    return 0;
}

static int pass_start(struct ce_arrow_pass *pass, struct ArrowArrayStream *in, struct ce_error *err)
{
    CE_TRY(ce_arrow_source_open(&pass->source, in, err));
    pass->counts = calloc(pass->how.count + 1, sizeof *pass->counts);
    if (!pass->counts)
        return ce_fail_memory(err);
    CE_TRY(ce_arrow_plan_make(&pass->how, &pass->source, pass->counts, &pass->plan, err));
    CE_TRY(ce_work_init(&pass->work, pass->source.table->children, pass->plan.texts,
                        pass->source.column_count, pass->how.profile, err));
    pass->work.marks = pass->how.key != NULL;
    for (size_t i = 0; i < pass->source.column_count; i++)
        pass->work.columns[i].hit = pass->plan.hit[i];
    pass->row = ce_work_row(&pass->work);
    if (!pass->how.unhashed)
        CE_TRY(digests_new(pass, err));
    return ce_arrow_pass_write_init(pass, err);
}

int ce_arrow_mutate(struct ArrowArrayStream *in, const struct ce_arrow_mutate *how,
                    struct ce_data_result *result, struct ArrowArrayStream *ret_out,
                    struct ce_error *err)
{
    struct ArrowSchema schema;
    struct ce_arrow_pass *pass = calloc(1, sizeof *pass);
    if (!pass) {
        ce_arrow_stream_done(in);
        return ce_fail_memory(err);
    }
    pass->how = *how;
    pass->result = result;
    *result = (struct ce_data_result){
        .profiled_rows = how->profile->rows,
        .prefix_only = how->profile->partial && how->profile->rows > 0,
    };
    int r = pass_start(pass, in, err);
    if (r == 0)
        r = ce_arrow_schema_copy(&pass->plan.schema, &schema, err);
    if (r < 0) {
        pass_done(pass);
        return r;
    }
    return ce_arrow_stream_make(&schema, pass, pass_next, pass_done, ret_out, err);
}
