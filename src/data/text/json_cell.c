/* SPDX-License-Identifier: MIT */
#include "data/text/json_cell.h"

#include "data/text/jsonl_cell.h"

void ce_json_value_init(struct ce_json_value_row *row, const struct ce_column_profile *column,
                        uint64_t ordinal, const char *text, size_t size)
{
    *row = (struct ce_json_value_row){
        .cell = {.raw = text, .raw_size = size, .quoted = size > 0 && *text == '"'},
        /* Nobody writes through a row's profile. */
        .profile = {.columns = (struct ce_column_profile *)(uintptr_t)column, .column_count = 1},
    };
    row->record = (struct ce_text_record){
        .row = ordinal, .cells = &row->cell, .cell_count = 1, .bytes = text, .size = size};
    row->text = (struct ce_text_row){
        .row = {.form = &ce_jsonl_row_form, .ordinal = ordinal},
        .profile = column ? &row->profile : NULL,
        .record = &row->record,
        .made = &row->made,
        .scratch = &row->scratch,
    };
}

bool ce_json_value_made(const struct ce_json_value_row *row, const char **ret_text,
                        size_t *ret_size)
{
    if (row->text.count == 0)
        return false;
    const struct ce_made_cell *made = &row->text.cells[0];
    *ret_text = made->leave_out ? NULL : row->made.data + made->at;
    *ret_size = made->size;
    return true;
}

void ce_json_value_done(struct ce_json_value_row *row)
{
    free(row->text.cells);
    ce_buffer_done(&row->made);
    ce_buffer_done(&row->scratch);
}
