/* SPDX-License-Identifier: MIT */
/* Writing what became of a row: the bytes between changes are copied as they are, each change gets
 * its entry for the answer key. */
#include "base/cleanup.h"
#include "data/text/pass_internal.h"

/* ---- output and key ---- */

/* Runs between changes are short, and nothing can predict how short: 64 bytes at a time beat a call
 * and a loop. Both sides have room to spare behind them. */
enum { RUN = 64 };
static inline void copy_run(char *to, const char *from, size_t size)
{
    if (size > 4 * RUN) {
        memcpy(to, from, size);
        return;
    }
    for (size_t i = 0; i < size; i += RUN)
        memcpy(to + i, from + i, RUN);
}

/* Copies the chunk's bytes up to `to`, and leaves room for `more` behind them; NULL: no memory. */
static inline char *copy_up_to(struct ce_pass_worker *w, const char *to, size_t more)
{
    struct ce_buffer *out = &w->result->out;
    size_t size = (size_t)(to - w->copied);
    char *room = ce_buffer_room(out, size + more + RUN);
    if (!room)
        return NULL;
    copy_run(room, w->copied, size);
    out->size += size;
    w->copied = to;
    return room + size;
}

int ce_pass_copy_to(struct ce_pass_worker *w, const char *to, struct ce_error *err)
{
    return copy_up_to(w, to, 0) ? 0 : ce_fail_memory(err);
}

struct change {
    const char *at; /* in the chunk */
    size_t old_size;
    const char *text;
    size_t size;
    uint64_t what;
    size_t step;
    uint64_t row;
};

static int put_key(struct ce_pass_worker *w, const struct change *change, struct ce_error *err)
{
    struct ce_piece *piece = &w->piece;
    struct ce_buffer *key = &w->result->key;
    size_t out_start =
        w->result->piece_count > 0 ? w->result->pieces[w->result->piece_count - 1].out_end : 0;
    struct ce_key_change entry = {
        .gap = w->result->out.size - (piece->changed ? piece->last_end : out_start),
        .row_step = change->row - piece->last_row,
        .what = change->what,
        .fault = change->step,
        .new_size = change->size,
        .old_size = change->old_size,
    };
    char *room = ce_buffer_room(key, CE_KEY_HEAD_MAX + change->old_size + RUN);
    if (!room)
        return ce_fail_memory(err);
    size_t head = 0;
    if (piece->changed) {
        head = ce_key_head(&entry, room);
    } else {
        entry.row_step = change->row;
        piece->first = entry;
        piece->changed = true;
    }
    copy_run(room + head, change->at, change->old_size);
    key->size += head + change->old_size;
    return 0;
}

/* `padded`: RUN readable bytes follow the text. */
static inline int put_text(struct ce_pass_worker *w, const struct change *change, bool padded,
                           struct ce_error *err)
{
    struct ce_buffer *out = &w->result->out;
    char *room = copy_up_to(w, change->at, change->size);
    if (!room)
        return ce_fail_memory(err);
    if (w->pass->keyed)
        CE_TRY(put_key(w, change, err));
    if (padded && change->size <= RUN)
        memcpy(room, change->text, RUN);
    else if (change->size > 0)
        memcpy(room, change->text, change->size);
    out->size += change->size;
    w->piece.last_end = out->size;
    w->piece.last_row = change->row;
    w->copied = change->at + change->old_size;
    return 0;
}

static int put_change(struct ce_pass_worker *w, const struct change *change, struct ce_error *err)
{
    return put_text(w, change, false, err);
}

int ce_pass_end_piece(struct ce_pass_worker *w, const struct ce_text_record *record,
                      struct ce_error *err)
{
    struct ce_pass_result *result = w->result;
    struct ce_piece *piece = &w->piece;
    if (record) {
        const char *end = record->bytes + record->size, *text_end = end - record->end_size;
        piece->open = w->chunk->unended && w->copied <= text_end;
        end = piece->open ? text_end : end;
        if (w->copied < end)
            CE_TRY(ce_pass_copy_to(w, end, err));
        piece->row = record->row;
        piece->line_end =
            record->end_size > 0 ? text_end : ce_chunk_reader_line_end(w->pass->reader);
        piece->line_end_size = record->end_size > 0 ? record->end_size : strlen(piece->line_end);
    }
    piece->out_end = result->out.size;
    piece->key_end = result->key.size;
    piece->move_end = result->move_count;
    if (!ce_pass_grow(&result->pieces, &result->piece_capacity, result->piece_count,
                      sizeof *result->pieces))
        return ce_fail_memory(err);
    result->pieces[result->piece_count++] = *piece;
    *piece = (struct ce_piece){.own = piece->own};
    return 0;
}

/* The middle in which two texts differ. */
static struct change differing(const char *old, size_t old_size, const char *text, size_t size)
{
    size_t front = 0, back = 0, least = old_size < size ? old_size : size;
    while (front < least && old[front] == text[front])
        front++;
    while (back < least - front && old[old_size - 1 - back] == text[size - 1 - back])
        back++;
    return (struct change){
        .at = old + front,
        .old_size = old_size - front - back,
        .text = text + front,
        .size = size - front - back,
    };
}

/* ---- composing ---- */

static inline const struct ce_text_cell *old_cell(const struct ce_pass_worker *w, size_t made)
{
    size_t column = w->row.cells[made].column;
    const struct ce_text_record *record = w->row.record;
    return column < record->cell_count && record->cells[column].raw ? &record->cells[column] : NULL;
}

static int compare_places(const void *a, const void *b)
{
    const char *of_a = ((const struct made_place *)a)->raw;
    const char *of_b = ((const struct made_place *)b)->raw;
    return (of_a > of_b) - (of_a < of_b);
}

/* Puts the cells that were set, and that the record has, into the order in which they follow. Few
 * are quickest put where they belong one by one. */
enum { FEW = 32 };
static int order_made(struct ce_pass_worker *w, size_t *ret_count, struct ce_error *err)
{
    size_t count = 0;
    if (w->row.count > w->order_capacity) {
        struct made_place *larger = realloc(w->order, w->row.capacity * sizeof *larger);
        if (!larger)
            return ce_fail_memory(err);
        w->order = larger;
        w->order_capacity = w->row.capacity;
    }
    struct made_place *order = w->order;
    for (size_t made = 0; made < w->row.count; made++) {
        const struct ce_text_cell *cell = old_cell(w, made);
        if (!cell)
            continue;
        size_t at = count++;
        for (; w->row.count <= FEW && at > 0 && order[at - 1].raw > cell->raw; at--)
            order[at] = order[at - 1];
        order[at] = (struct made_place){cell->raw, &w->row.cells[made]};
    }
    if (w->row.count > FEW)
        qsort(order, count, sizeof *order, compare_places);
    *ret_count = count;
    return 0;
}

/* The record with its cells replaced, in `composed`. */
static int compose_cells(struct ce_pass_worker *w, struct ce_error *err)
{
    const struct ce_text_record *record = w->row.record;
    const char *copied = record->bytes;
    size_t count;
    bool fits = true;
    CE_TRY(order_made(w, &count, err));
    for (size_t i = 0; i < count; i++) {
        const struct ce_made_cell *made = w->order[i].made;
        const struct ce_text_cell *old = &record->cells[made->column];
        fits = fits && ce_buffer_put(&w->composed, copied, (size_t)(old->raw - copied)) &&
               ce_buffer_put(&w->composed, w->made.data + made->at, made->size);
        copied = old->raw + old->raw_size;
    }
    fits = fits &&
           ce_buffer_put(&w->composed, copied, (size_t)(record->bytes + record->size - copied));
    return fits ? 0 : ce_fail_memory(err);
}

/* The texts of added cells for this row. */
static int fill_added(struct ce_pass_worker *w, struct ce_error *err)
{
    enum { ADDED_MAX = 256 };
    const struct ce_plan *plan = w->plan;
    if (!ce_buffer_room(&w->texts, plan->layout_count * ADDED_MAX))
        return ce_fail_memory(err);
    for (size_t i = 0; i < plan->layout_count; i++) {
        const struct ce_mutation *mutation = plan->added[i].mutation;
        struct ce_layout_cell *cell = &w->layout[i];
        char *text = w->texts.data + i * ADDED_MAX;
        if (cell->column >= 0)
            continue;
        cell->number = false;
        int size = mutation->value(mutation->ctx, w->row.row.ordinal, &plan->added[i].draws, text,
                                   ADDED_MAX, &cell->number);
        cell->text = size < 0 ? NULL : text;
        cell->text_size = size < 0 ? 0 : (size_t)size;
    }
    return 0;
}

static int compose_layout(struct ce_pass_worker *w, struct ce_error *err)
{
    struct ce_text_record record = *w->row.record;
    if (record.cell_count > w->cell_capacity) {
        struct ce_text_cell *larger = realloc(w->cells, record.cell_count * sizeof *larger);
        if (!larger)
            return ce_fail_memory(err);
        w->cells = larger;
        w->cell_capacity = record.cell_count;
    }
    if (record.cell_count > 0)
        memcpy(w->cells, record.cells, record.cell_count * sizeof *w->cells);
    record.cells = w->cells;
    for (size_t i = 0; i < w->row.count; i++) {
        const struct ce_made_cell *made = &w->row.cells[i];
        if (!old_cell(w, i))
            continue;
        w->cells[made->column] = (struct ce_text_cell){
            .raw = made->leave_out ? NULL : w->made.data + made->at,
            .raw_size = made->size,
            .quoted = made->quoted,
        };
    }
    CE_TRY(fill_added(w, err));
    return w->table->format->lay_out(w->table, &record, false, w->layout, w->plan->layout_count,
                                     &w->composed, err);
}

int ce_pass_compose(struct ce_pass_worker *w, const char **ret_bytes, size_t *ret_size,
                    struct ce_error *err)
{
    w->composed.size = 0;
    if (w->plan->new_records || w->row.leaves_out) {
        CE_TRY(compose_layout(w, err));
    } else if (w->row.count > 0) {
        CE_TRY(compose_cells(w, err));
    } else {
        *ret_bytes = w->row.record->bytes;
        *ret_size = w->row.record->size;
        return 0;
    }
    *ret_bytes = w->composed.data;
    *ret_size = w->composed.size;
    return 0;
}

/* ---- rows ---- */

static int write_cells(struct ce_pass_worker *w, struct ce_error *err)
{
    const struct ce_text_record *record = w->row.record;
    size_t count;
    CE_TRY(order_made(w, &count, err));
    if (!ce_buffer_room(&w->made, RUN))
        return ce_fail_memory(err);
    for (size_t i = 0; i < count; i++) {
        const struct ce_made_cell *made = w->order[i].made;
        const struct ce_text_cell *old = &record->cells[made->column];
        const char *text = w->made.data + made->at;
        if (made->again && made->size == old->raw_size && memcmp(text, old->raw, made->size) == 0)
            continue; /* back to what it was */
        struct change change = {
            .at = old->raw,
            .old_size = old->raw_size,
            .text = text,
            .size = made->size,
            .what = CE_KEY_CELL + made->column,
            .step = made->step,
            .row = record->row,
        };
        CE_TRY(put_text(w, &change, true, err));
    }
    return 0;
}

static int write_laid_out(struct ce_pass_worker *w, struct ce_error *err)
{
    const struct ce_text_record *record = w->row.record;
    const char *bytes;
    size_t size;
    CE_TRY(ce_pass_compose(w, &bytes, &size, err));
    struct change change = differing(record->bytes, record->size, bytes, size);
    if (change.size == 0 && change.old_size == 0)
        return 0;
    change.what = CE_KEY_LAYOUT;
    change.step = w->plan->new_records ? w->plan->layout_step : w->row.cells[w->row.count - 1].step;
    change.row = record->row;
    return put_change(w, &change, err);
}

static size_t line_end_before(const char *at, const char *from)
{
    if (at > from && at[-1] == '\n')
        return at - 1 > from && at[-2] == '\r' ? 2 : 1;
    return at > from && at[-1] == '\r' ? 1 : 0;
}

/* The record with the line end behind it. In the last chunk of a file whose last row has none, the
 * one before it, if that is the same. */
static int drop_row(struct ce_pass_worker *w, struct ce_error *err)
{
    const struct ce_text_record *record = w->row.record;
    size_t end_size = record->end_size, shift = 0;
    const char *at = record->bytes;
    struct change change = {
        .at = at,
        .old_size = record->size,
        .text = "",
        .what = CE_KEY_ROW_REMOVED,
        .step = w->dropped_by,
        .row = record->row,
    };
    if (w->chunk->unended && end_size == 0) {
        shift = line_end_before(at, w->copied);
        change.old_size += shift;
    } else if (w->chunk->unended && (size_t)(at - w->copied) >= end_size &&
               memcmp(at - end_size, at + record->size - end_size, end_size) == 0) {
        shift = end_size;
    }
    change.at -= shift;
    return put_change(w, &change, err);
}

/* A copy right behind the row. */
static int insert_row(struct ce_pass_worker *w, const struct next_row *next, struct ce_error *err)
{
    const struct ce_text_record *record = w->row.record;
    const char *end = record->bytes + record->size, *text_end = end - record->end_size;
    const char *bytes = w->next.data + next->row.at;
    struct change change = {
        .at = end,
        .text = bytes,
        .size = next->row.size,
        .what = CE_KEY_ROW_ADDED,
        .step = next->step,
        .row = record->row,
    };
    if (w->chunk->unended && w->copied <= text_end) {
        const char *line_end =
            record->end_size > 0 ? text_end : ce_chunk_reader_line_end(w->pass->reader);
        size_t size = record->end_size > 0 ? record->end_size : strlen(line_end);
        w->composed.size = 0;
        if (!ce_buffer_put(&w->composed, line_end, size) ||
            !ce_buffer_put(&w->composed, bytes, next->row.size - next->row.end_size))
            return ce_fail_memory(err);
        change.at = text_end;
        change.text = w->composed.data;
        change.size = w->composed.size;
    }
    return put_change(w, &change, err);
}

int ce_pass_write_row(struct ce_pass_worker *w, struct ce_error *err)
{
    if (w->dropped)
        CE_TRY(drop_row(w, err));
    else if (w->plan->new_records || w->row.leaves_out)
        CE_TRY(write_laid_out(w, err));
    else if (w->row.count > 0)
        CE_TRY(write_cells(w, err));
    for (size_t i = 0; i < w->next_count; i++)
        CE_TRY(insert_row(w, &w->next_rows[i], err));
    return 0;
}

/* ---- head ---- */

int ce_pass_write_head(struct ce_pass_worker *w, struct ce_error *err)
{
    const struct ce_text_table *table = w->table;
    const struct ce_chunk *chunk = w->chunk;
    w->piece.own = w->plan->head_own;
    if (w->plan->new_head && table->header_size > 0) {
        struct ce_text_record record;
        const char *header = chunk->data + table->header_at;
        struct ce_text_scan *scan = &w->scan;
        *scan = (struct ce_text_scan){
            .table = table,
            .at = header,
            .end = header + table->header_size,
            .last = true,
            .line = 1,
            .cells = scan->cells,
            .cell_capacity = scan->cell_capacity,
            .special = scan->special,
        };
        int got = table->format->next(scan, &record, err);
        if (got < 0)
            return got;
        w->composed.size = 0;
        CE_TRY(table->format->lay_out(table, &record, true, w->layout, w->plan->layout_count,
                                      &w->composed, err));
        struct change change =
            differing(header, table->header_size, w->composed.data, w->composed.size);
        change.what = CE_KEY_LAYOUT;
        change.step = w->plan->layout_step;
        if (change.size > 0 || change.old_size > 0)
            CE_TRY(put_change(w, &change, err));
    }
    const char *end = chunk->data + chunk->head_size;
    if (chunk->unended) { /* then the line end goes with a row that is dropped */
        size_t line_end = line_end_before(end, w->copied);
        w->piece.open = line_end > 0;
        end -= line_end;
    }
    CE_TRY(ce_pass_copy_to(w, end, err));
    return ce_pass_end_piece(w, NULL, err);
}
