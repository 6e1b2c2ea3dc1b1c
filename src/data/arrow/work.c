/* SPDX-License-Identifier: MIT */
#include "data/arrow/work.h"

#include <stdlib.h>

#include "data/arrow/typed.h"
#include "data/decimal.h"

bool ce_arrow_is_scalar(const struct ce_arrow_type *type)
{
    if (type->dictionary)
        return ce_arrow_is_scalar(type->dictionary);
    return type->shape == CE_SHAPE_BITS || type->shape == CE_SHAPE_FIXED ||
           type->shape == CE_SHAPE_BYTES32 || type->shape == CE_SHAPE_BYTES64 ||
           type->shape == CE_SHAPE_VIEWS;
}

bool ce_arrow_scalar(const struct ce_arrow_type *type, const struct ArrowArray *array, int64_t at,
                     const struct ce_arrow_type **ret_type, const char **ret_bytes,
                     size_t *ret_size)
{
    if (!ce_arrow_valid(type, array, at))
        return false;
    if (type->dictionary)
        return ce_arrow_scalar(type->dictionary, array->dictionary, ce_arrow_index(type, array, at),
                               ret_type, ret_bytes, ret_size);
    if (type->shape == CE_SHAPE_RUNS)
        return ce_arrow_scalar(type->children[1], array->children[1], ce_arrow_run(type, array, at),
                               ret_type, ret_bytes, ret_size);
    *ret_type = type;
    *ret_bytes = NULL;
    *ret_size = 0;
    if (type->shape == CE_SHAPE_BITS) {
        *ret_bytes = ce_bit(array->buffers[1], at) ? "\1" : "\0";
        *ret_size = 1;
    } else if (ce_arrow_is_scalar(type)) {
        *ret_bytes = ce_arrow_bytes(type, array, at, ret_size);
    }
    return true;
}

int ce_work_init(struct ce_work *work, struct ce_arrow_type *const *types,
                 const struct ce_arrow_type *const *texts, size_t columns,
                 const struct ce_profile *profile, struct ce_error *err)
{
    work->profile = profile;
    work->columns = calloc(columns + 1, sizeof *work->columns);
    if (!work->columns)
        return ce_fail_memory(err);
    for (size_t i = 0; i < columns; i++) {
        struct ce_work_column *column = &work->columns[work->column_count++];
        column->in = types[i];
        column->type = texts[i] ? texts[i] : types[i];
        /* what cannot be put together cannot be touched either */
        if (ce_grow_takes(column->type))
            CE_TRY(ce_grow_init(&column->edit, column->type, err));
    }
    return 0;
}

static void end_column(struct ce_work_column *column)
{
    if (column->edit.type)
        ce_grow_forget(&column->edit);
    ce_arrow_array_done(&column->text);
    free(column->by);
    free(column->patch);
    column->by = NULL;
    column->patch = NULL;
    column->edited = false;
}

void ce_work_end(struct ce_work *work)
{
    for (size_t i = 0; i < work->column_count; i++)
        end_column(&work->columns[i]);
    work->patch_count = 0;
    work->patched.size = 0;
    work->any_touched = false;
}

void ce_work_done(struct ce_work *work)
{
    if (!work->columns)
        return;
    ce_work_end(work);
    for (size_t i = 0; i < work->column_count; i++)
        ce_grow_done(&work->columns[i].edit);
    free(work->columns);
    free(work->patches);
    ce_buffer_done(&work->touched);
    ce_buffer_done(&work->patched);
    ce_buffer_done(&work->scratch);
    ce_buffer_done(&work->cell);
    *work = (struct ce_work){0};
}

/* ---- a column as text ---- */

static int put_text(struct ce_work *work, struct ce_work_column *column, int64_t at,
                    struct ce_error *err)
{
    const struct ce_arrow_type *type;
    const char *bytes;
    size_t size;
    if (!ce_arrow_scalar(column->in, column->input, column->input_start + at, &type, &bytes, &size))
        return ce_grow_null(&column->edit, err);
    const char *text = ce_typed_text(type, bytes, size, &work->scratch, &size);
    work->cell.size = 0;
    if (!text || !ce_buffer_put(&work->cell, "\1", 1) || !ce_buffer_put(&work->cell, text, size))
        return ce_fail_memory(err);
    return ce_grow_cell(&column->edit, work->cell.data, work->cell.size, err);
}

static int make_text(struct ce_work *work, struct ce_work_column *column, struct ce_error *err)
{
    for (int64_t i = 0; i < work->rows; i++)
        CE_TRY(put_text(work, column, i, err));
    CE_TRY(ce_grow_end(&column->edit, &column->text, err));
    column->array = &column->text;
    column->start = 0;
    return 0;
}

int ce_work_begin(struct ce_work *work, const struct ArrowArray *batch, int64_t start, int64_t rows,
                  struct ce_error *err)
{
    size_t words = (size_t)((rows + 63) / 64) * 8;
    work->touched.size = 0;
    char *bits = ce_buffer_room(&work->touched, words + 8);
    if (!bits)
        return ce_fail_memory(err);
    memset(bits, 0, words + 8);
    work->rows = work->reach = rows;
    work->failed = 0;
    for (size_t i = 0; i < work->column_count; i++) {
        struct ce_work_column *column = &work->columns[i];
        column->input = column->array = batch->children[i];
        column->input_start = column->start = batch->children[i]->offset + start;
        if (column->type != column->in)
            CE_TRY(make_text(work, column, err));
        /* a column's dictionary must not be now this and now that */
        if (column->hit && column->edit.type && ce_arrow_has_dictionary(column->type)) {
            CE_TRY(ce_grow_range(&column->edit, column->array, column->start, rows, err));
            column->edited = true;
        }
    }
    return 0;
}

/* ---- reading cells ---- */

static struct ce_work_column *column_of(const struct ce_cell *cell, struct ce_work **ret_work,
                                        int64_t *ret_at)
{
    const struct ce_work_row *row = (const struct ce_work_row *)cell->row;
    *ret_work = row->work;
    *ret_at = row->at;
    return &row->work->columns[cell->column];
}

/* As ce_arrow_scalar(), of the column as it is now. */
static bool value_now(const struct ce_work *work, const struct ce_work_column *column, int64_t at,
                      const struct ce_arrow_type **ret_type, const char **ret_bytes,
                      size_t *ret_size)
{
    const struct ce_grow *edit = &column->edit;
    if (column->patch && column->patch[at] > 0) {
        const struct work_patch *patch = &work->patches[column->patch[at] - 1];
        *ret_type = column->type;
        *ret_bytes = patch->size > 0 ? work->patched.data + patch->at : "";
        *ret_size = patch->size;
        return !patch->missing;
    }
    if (!column->edited)
        return ce_arrow_scalar(column->type, column->array, column->start + at, ret_type, ret_bytes,
                               ret_size);
    if (!ce_grow_valid(edit, at))
        return false;
    *ret_type = column->type;
    *ret_size = (size_t)column->type->width;
    if (edit->dictionary) {
        int64_t index = 0;
        memcpy(&index, edit->values.data + at * column->type->width, (size_t)column->type->width);
        const char *cell = ce_dictionary_cell(edit->dictionary, index, ret_size);
        *ret_type = column->type->dictionary;
        *ret_bytes = ce_arrow_is_scalar(column->type->dictionary) ? cell + 1 : NULL;
        *ret_size -= 1;
        return cell[0] != 0;
    }
    if (column->type->shape == CE_SHAPE_BITS) {
        *ret_bytes = ce_bit(edit->values.data, at) ? "\1" : "\0";
        *ret_size = 1;
    } else if (column->type->shape == CE_SHAPE_FIXED) {
        *ret_bytes = edit->values.data + at * column->type->width;
    } else {
        /* only its nulls are new */
        return ce_arrow_scalar(column->type, column->array, column->start + at, ret_type, ret_bytes,
                               ret_size);
    }
    return true;
}

static bool cell_value(const struct ce_cell *cell, const struct ce_arrow_type **ret_type,
                       const char **ret_bytes, size_t *ret_size)
{
    struct ce_work *work;
    int64_t at;
    const struct ce_work_column *column = column_of(cell, &work, &at);
    return value_now(work, column, at, ret_type, ret_bytes, ret_size);
}

static void arrow_cell(struct ce_row *row, size_t column, struct ce_cell *ret_cell)
{
    const struct ce_profile *profile = ((struct ce_work_row *)row)->work->profile;
    ret_cell->row = row;
    ret_cell->column = column;
    ret_cell->profile = profile ? &profile->columns[column] : NULL;
    ret_cell->raw = ""; /* there is one, though it has no bytes of a file */
    ret_cell->raw_size = 0;
    ret_cell->quoted = false;
}

static bool arrow_missing(const struct ce_cell *cell)
{
    const struct ce_arrow_type *type;
    const char *bytes;
    size_t size;
    if (!cell_value(cell, &type, &bytes, &size))
        return true;
    return ce_typed_nan(type, bytes);
}

static bool arrow_number(const struct ce_cell *cell, double *ret_value)
{
    const struct ce_arrow_type *type;
    const char *bytes;
    size_t size;
    struct ce_decimal decimal;
    if (!cell_value(cell, &type, &bytes, &size))
        return false;
    if (type->meaning == CE_MEANS_TEXT)
        return ce_decimal_parse(bytes, size, &decimal) && ce_decimal_value(&decimal, ret_value);
    return ce_typed_number(type, bytes, size, ret_value);
}

static const char *arrow_text(struct ce_cell *cell, size_t *ret_size)
{
    const struct ce_arrow_type *type;
    const char *bytes;
    size_t size;
    struct ce_work *work;
    int64_t at;
    (void)column_of(cell, &work, &at);
    *ret_size = 0;
    if (!cell_value(cell, &type, &bytes, &size) || !bytes)
        return "";
    return ce_typed_text(type, bytes, size, &work->scratch, ret_size);
}

/* ---- setting cells ---- */

static const char out_of_memory[] = "out of memory";

static const char *fail(struct ce_work *work, int r)
{
    work->failed = r < 0 ? r : -ENOMEM;
    return out_of_memory;
}

static const char *mark(struct ce_cell *cell)
{
    const struct ce_work_row *row = (const struct ce_work_row *)cell->row;
    struct ce_work_column *column = &row->work->columns[cell->column];
    if (!row->work->marks)
        return NULL;
    if (!column->by)
        column->by = calloc((size_t)row->work->rows + 1, 1);
    if (!column->by)
        return fail(row->work, ce_fail_memory(row->work->err));
    column->by[row->at] = row->fault;
    ce_bit_put(row->work->touched.data, row->at, true);
    row->work->any_touched = true;
    return NULL;
}

/* Appends to the new texts; `text` may be one of them. */
static bool put_patched(struct ce_work *work, const char *text, size_t size)
{
    uintptr_t base = (uintptr_t)work->patched.data, at = (uintptr_t)text - base;
    bool within = (uintptr_t)text >= base && at < work->patched.size;
    char *room = ce_buffer_room(&work->patched, size);
    if (room && size > 0)
        memcpy(room, within ? work->patched.data + at : text, size);
    work->patched.size += room ? size : 0;
    return room != NULL;
}

static const char *set_patch(struct ce_cell *cell, bool missing, const char *text, size_t size)
{
    struct ce_work *work;
    int64_t at;
    struct ce_work_column *column = column_of(cell, &work, &at);
    if (!column->patch)
        column->patch = calloc((size_t)work->rows + 1, sizeof *column->patch);
    if (work->patch_count == work->patch_capacity) {
        uint32_t capacity = 2 * work->patch_capacity + 64;
        void *larger = realloc(work->patches, capacity * sizeof *work->patches);
        if (!larger)
            return fail(work, ce_fail_memory(work->err));
        work->patches = larger;
        work->patch_capacity = capacity;
    }
    struct work_patch patch = {.at = work->patched.size, .size = size, .missing = missing};
    if (!column->patch || !put_patched(work, text, size))
        return fail(work, ce_fail_memory(work->err));
    work->patches[work->patch_count++] = patch;
    column->patch[at] = work->patch_count;
    return mark(cell);
}

static int copy_piece(struct ce_work_column *column, int64_t end, struct ce_error *err)
{
    int64_t from = column->edit.length;
    return ce_grow_range(&column->edit, column->array, column->start + from, end - from, err);
}

static int copy_first(struct ce_work *work, struct ce_work_column *column, struct ce_error *err)
{
    if (column->type->shape != CE_SHAPE_FIXED)
        return copy_piece(column, work->rows, err);
    CE_TRY(ce_grow_reserve(&column->edit, work->rows, err));
    return copy_piece(column, work->reach, err);
}

static const char *begin_edit(struct ce_work *work, struct ce_work_column *column)
{
    if (column->edited)
        return NULL;
    int r = copy_first(work, column, work->err);
    column->edited = r == 0;
    return r < 0 ? fail(work, r) : NULL;
}

int ce_work_reach(struct ce_work *work, int64_t end, struct ce_error *err)
{
    work->reach = end;
    for (size_t i = 0; i < work->column_count; i++) {
        struct ce_work_column *column = &work->columns[i];
        if (column->edited && column->edit.length < end)
            CE_TRY(copy_piece(column, end, err));
    }
    return 0;
}

static const char *arrow_set_missing(struct ce_cell *cell, const char *spelling)
{
    const struct ce_arrow_type *type;
    const char *bytes;
    size_t size;
    struct ce_work *work;
    int64_t at;
    struct ce_work_column *column = column_of(cell, &work, &at);
    if (!value_now(work, column, at, &type, &bytes, &size))
        return "no change";
    if (!column->edit.type)
        return "the column has no room for nulls";
    if (column->type->meaning == CE_MEANS_TEXT && !column->type->dictionary)
        return set_patch(cell, true, "", 0);
    const char *reason = begin_edit(work, column);
    if (reason)
        return reason;
    int r = ce_grow_put_null(&column->edit, at, work->err);
    return r < 0 ? fail(work, r) : mark(cell);
}

static const char *put_index(struct ce_cell *cell, const char *value, size_t size)
{
    struct ce_work *work;
    int64_t at;
    struct ce_work_column *column = column_of(cell, &work, &at);
    work->cell.size = 0;
    if (!ce_buffer_put(&work->cell, "\1", 1) || !ce_buffer_put(&work->cell, value, size))
        return fail(work, ce_fail_memory(work->err));
    int64_t index = ce_dictionary_add(column->edit.dictionary, work->cell.data, work->cell.size,
                                      ce_dictionary_max(column->type), work->err);
    if (index == -EOVERFLOW)
        return ce_no_room;
    int r = index < 0 ? (int)index : ce_grow_put(&column->edit, at, &index, work->err);
    return r < 0 ? fail(work, r) : mark(cell);
}

/* Puts a value of the column's, or its dictionary's, type. */
static const char *put_value(struct ce_cell *cell, const char *value, size_t size)
{
    struct ce_work *work;
    int64_t at;
    struct ce_work_column *column = column_of(cell, &work, &at);
    const struct ce_arrow_type *type;
    const char *bytes;
    size_t old_size;
    if (value_now(work, column, at, &type, &bytes, &old_size) && old_size == size &&
        memcmp(bytes, value, size) == 0)
        return "no change";
    if (column->type->meaning == CE_MEANS_TEXT && !column->type->dictionary)
        return set_patch(cell, false, value, size);
    const char *reason = begin_edit(work, column);
    if (reason)
        return reason;
    if (column->edit.dictionary)
        return put_index(cell, value, size);
    int r = ce_grow_put(&column->edit, at, value, work->err);
    return r < 0 ? fail(work, r) : mark(cell);
}

/* The type that a new value must have; NULL: nested, or in runs. */
static const struct ce_arrow_type *value_type(const struct ce_work_column *column)
{
    const struct ce_arrow_type *type =
        column->type->dictionary ? column->type->dictionary : column->type;
    return column->edit.type && ce_arrow_is_scalar(type) ? type : NULL;
}

static const char *set_number_in_text(struct ce_cell *cell, const char *old, size_t size,
                                      double value, enum ce_fit fit)
{
    struct ce_decimal decimal;
    char text[128];
    if (!ce_decimal_parse(old ? old : "0", old ? size : 1, &decimal))
        return "a text stands there";
    int n = ce_decimal_set(&decimal, value, fit, text, sizeof text);
    return n < 0 ? ce_no_room : put_value(cell, text, (size_t)n);
}

static const char *arrow_set_number(struct ce_cell *cell, double value, enum ce_fit fit)
{
    struct ce_work *work;
    int64_t at;
    struct ce_work_column *column = column_of(cell, &work, &at);
    const struct ce_arrow_type *type = value_type(column), *old_type;
    const char *old;
    size_t size;
    char bytes[CE_TYPED_SIZE];
    if (!type)
        return "the column holds no number";
    if (!value_now(work, column, at, &old_type, &old, &size))
        old = NULL;
    if (type->meaning == CE_MEANS_TEXT)
        return set_number_in_text(cell, old, size, value, fit);
    const char *reason = ce_typed_set_number(type, old, value, fit, bytes);
    return reason ? reason : put_value(cell, bytes, (size_t)type->width);
}

static bool is_utf8(const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + size;
    while (p < end) {
        unsigned first = *p++;
        if (first < 0x80)
            continue;
        int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || end - p < more)
            return false;
        /* no overlong forms, no surrogates, nothing above U+10FFFF */
        if ((first == 0xe0 && *p < 0xa0) || (first == 0xed && *p > 0x9f) ||
            (first == 0xf0 && *p < 0x90) || (first == 0xf4 && *p > 0x8f))
            return false;
        for (; more > 0; more--)
            if ((*p++ & 0xc0) != 0x80)
                return false;
    }
    return true;
}

static const char *arrow_set_text(struct ce_cell *cell, const char *text, size_t size)
{
    struct ce_work *work;
    int64_t at;
    const struct ce_arrow_type *type = value_type(column_of(cell, &work, &at));
    char bytes[CE_TYPED_SIZE];
    if (!type)
        return "the column holds no text";
    if (type->meaning == CE_MEANS_TEXT)
        /* whoever reads the column may rely on that */
        return is_utf8(text, size) ? put_value(cell, text, size) : "it would be no UTF-8";
    const char *reason = ce_typed_set_text(type, text, size, bytes);
    bool bit = type->shape == CE_SHAPE_BITS;
    return reason ? reason : put_value(cell, bytes, bit ? 1 : (size_t)type->width);
}

const struct ce_row_form ce_arrow_row_form = {
    .cell = arrow_cell,
    .missing = arrow_missing,
    .number = arrow_number,
    .text = arrow_text,
    .set_missing = arrow_set_missing,
    .set_number = arrow_set_number,
    .set_text = arrow_set_text,
};

/* ---- what comes of it ---- */

static int put_patch(struct ce_work *work, struct ce_work_column *column,
                     const struct work_patch *patch, struct ce_error *err)
{
    if (patch->missing)
        return ce_grow_null(&column->edit, err);
    work->cell.size = 0;
    if (!ce_buffer_put(&work->cell, "\1", 1) ||
        !ce_buffer_put(&work->cell, work->patched.data + patch->at, patch->size))
        return ce_fail_memory(err);
    return ce_grow_cell(&column->edit, work->cell.data, work->cell.size, err);
}

static int join_patches(struct ce_work *work, struct ce_work_column *column, struct ce_error *err)
{
    int64_t from = 0;
    for (int64_t i = 0; i < work->rows; i++) {
        if (column->patch[i] == 0)
            continue;
        CE_TRY(ce_grow_range(&column->edit, column->array, column->start + from, i - from, err));
        CE_TRY(put_patch(work, column, &work->patches[column->patch[i] - 1], err));
        from = i + 1;
    }
    return ce_grow_range(&column->edit, column->array, column->start + from, work->rows - from,
                         err);
}

int ce_work_finish(struct ce_work *work, size_t index, struct ArrowArray *ret_array,
                   struct ce_error *err)
{
    struct ce_work_column *column = &work->columns[index];
    if (column->patch) {
        CE_TRY(join_patches(work, column, err));
    } else if (column->text.release) {
        *ret_array = column->text;
        column->text.release = NULL;
        return 1;
    } else if (!column->edited) {
        return 0;
    }
    CE_TRY(ce_grow_end(&column->edit, ret_array, err));
    column->edited = false;
    return 1;
}

static int encode_now(struct ce_work *work, const struct ce_work_column *column, int64_t at,
                      struct ce_buffer *out, struct ce_error *err)
{
    const struct ce_arrow_type *type;
    const char *bytes;
    size_t size;
    bool put;
    if (!value_now(work, column, at, &type, &bytes, &size))
        put = ce_buffer_put(out, "\0", 1);
    else if (!bytes && !column->edit.dictionary)
        put = ce_arrow_encode(column->type, column->array, column->start + at, out);
    else if (!bytes) {
        int64_t index = 0;
        memcpy(&index, column->edit.values.data + at * column->type->width,
               (size_t)column->type->width);
        bytes = ce_dictionary_cell(column->edit.dictionary, index, &size);
        put = ce_buffer_put(out, bytes, size);
    } else
        put = ce_buffer_put(out, "\1", 1) && ce_buffer_put(out, bytes, size);
    return put ? 0 : ce_fail_memory(err);
}

int ce_work_encode_row(struct ce_work *work, int64_t at, struct ce_buffer *out,
                       struct ce_error *err)
{
    for (size_t i = 0; i < work->column_count; i++) {
        size_t mark_at = ce_encode_begin(out);
        if (mark_at == SIZE_MAX)
            return ce_fail_memory(err);
        CE_TRY(encode_now(work, &work->columns[i], at, out, err));
        if (!ce_encode_finish(out, mark_at))
            return ce_fail(err, EFBIG, "a cell is larger than 4 GiB");
    }
    return 0;
}

int ce_work_encode_input(const struct ce_work *work, int64_t at, struct ce_buffer *out,
                         struct ce_error *err)
{
    for (size_t i = 0; i < work->column_count; i++) {
        const struct ce_work_column *column = &work->columns[i];
        size_t mark_at = ce_encode_begin(out);
        if (mark_at == SIZE_MAX ||
            !ce_arrow_encode(column->in, column->input, column->input_start + at, out) ||
            !ce_encode_finish(out, mark_at))
            return ce_fail_memory(err);
    }
    return 0;
}

/* ---- undoing ---- */

int ce_work_save(struct ce_work *work, size_t index, int64_t at, struct ce_work_saved *ret_saved,
                 struct ce_error *err)
{
    struct ce_work_column *column = &work->columns[index];
    ret_saved->by = column->by ? column->by[at] : 0;
    ret_saved->patch = column->patch ? column->patch[at] : 0;
    ret_saved->touched = ce_bit(work->touched.data, at);
    ret_saved->cell.size = 0;
    return encode_now(work, column, at, &ret_saved->cell, err);
}

static int put_back(struct ce_work_column *column, int64_t at, const char *cell, size_t size,
                    struct ce_error *err)
{
    if (cell[0] == 0)
        return ce_grow_put_null(&column->edit, at, err);
    if (!column->edit.dictionary)
        return ce_grow_put(&column->edit, at, cell + 1, err);
    int64_t index = ce_dictionary_add(column->edit.dictionary, cell, size, INT32_MAX, err);
    return index < 0 ? (int)index : ce_grow_put(&column->edit, at, &index, err);
}

int ce_work_restore(struct ce_work *work, size_t index, int64_t at,
                    const struct ce_work_saved *saved, struct ce_error *err)
{
    struct ce_work_column *column = &work->columns[index];
    if (column->by)
        column->by[at] = saved->by;
    if (column->patch)
        column->patch[at] = saved->patch;
    ce_bit_put(work->touched.data, at, saved->touched);
    return column->edited ? put_back(column, at, saved->cell.data, saved->cell.size, err) : 0;
}
