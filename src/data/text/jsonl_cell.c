/* SPDX-License-Identifier: MIT */
#include "data/text/jsonl_cell.h"

#include "base/cleanup.h"
#include "data/decimal.h"
#include "data/text/json_string.h"

static const char absent[] = "absent", nested[] = "nested", no_change[] = "no change",
                  no_room[] = "no room", no_memory[] = "out of memory";

bool ce_json_is_number(const char *text, size_t size)
{
    struct ce_decimal d;
    double value;
    if (!ce_decimal_parse(text, size, &d) || d.size != size || d.plus || d.integer_digits == 0 ||
        !ce_decimal_value(&d, &value))
        return false;
    bool padded = d.integer_digits > 1 && text[d.negative] == '0';
    return !padded && (!d.mark || d.decimals > 0);
}

/* ---- where a cell is ---- */

static struct ce_text_row *row_of(const struct ce_cell *cell)
{
    return (struct ce_text_row *)cell->row;
}

/* As it reads now: the bytes that were made move when more are. */
static struct ce_text_cell current(const struct ce_text_row *row, size_t column)
{
    const struct ce_made_cell *made = ce_text_row_made(row, column);
    if (made && made->leave_out)
        return (struct ce_text_cell){0};
    if (made)
        return (struct ce_text_cell){row->made->data + made->at, made->size, made->quoted};
    return column < row->record->cell_count ? row->record->cells[column] : (struct ce_text_cell){0};
}

static struct ce_text_cell now(const struct ce_cell *cell)
{
    return current(row_of(cell), cell->column);
}

static void refresh(struct ce_cell *cell)
{
    struct ce_text_cell found = now(cell);
    cell->raw = found.raw;
    cell->raw_size = found.raw_size;
    cell->quoted = found.quoted;
}

static void jsonl_cell(struct ce_row *base, size_t column, struct ce_cell *ret_cell)
{
    const struct ce_text_row *row = (const struct ce_text_row *)base;
    ret_cell->row = base;
    ret_cell->column = column;
    ret_cell->profile =
        row->profile && column < row->profile->column_count ? &row->profile->columns[column] : NULL;
    refresh(ret_cell);
}

/* ---- reading ---- */

static bool is_text(const struct ce_text_cell *cell, const char *text)
{
    return cell->raw_size == strlen(text) && memcmp(cell->raw, text, cell->raw_size) == 0;
}

static bool is_nothing(const struct ce_text_cell *cell)
{
    return is_text(cell, "null") || is_text(cell, "NaN");
}

static bool is_nested(const struct ce_text_cell *cell)
{
    return *cell->raw == '{' || *cell->raw == '[';
}

static bool is_bare_number(const struct ce_text_cell *cell)
{
    return *cell->raw == '-' || (*cell->raw >= '0' && *cell->raw <= '9');
}

static bool jsonl_missing(const struct ce_cell *cell)
{
    struct ce_text_cell found = now(cell);
    return !found.raw || is_nothing(&found) || is_text(&found, "\"\"");
}

static bool jsonl_number(const struct ce_cell *cell, double *ret_value)
{
    struct ce_text_cell found = now(cell);
    return found.raw && is_bare_number(&found) &&
           ce_decimal_number(found.raw, found.raw_size, '.', ret_value);
}

static const char *jsonl_text(struct ce_cell *cell, size_t *ret_size)
{
    struct ce_text_row *row = row_of(cell);
    struct ce_text_cell found = now(cell);
    if (!found.raw || !found.quoted) {
        *ret_size = found.raw_size;
        return found.raw ? found.raw : "";
    }
    size_t size = found.raw_size - 2;
    if (!memchr(found.raw + 1, '\\', size)) {
        *ret_size = size;
        return found.raw + 1;
    }
    row->scratch->size = 0;
    char *decoded = ce_buffer_room(row->scratch, size);
    if (!decoded)
        return NULL;
    *ret_size = row->scratch->size = ce_json_decode(found.raw + 1, size, false, decoded);
    return decoded;
}

/* ---- writing ---- */

/* Takes what was appended to `made` as the cell, unless it is what the cell was. */
static const char *take_made(struct ce_cell *cell, size_t before, bool quoted)
{
    struct ce_text_row *row = row_of(cell);
    struct ce_text_cell old = now(cell);
    size_t size = row->made->size - before;
    const char *why = no_change;
    if (old.raw_size != size || memcmp(old.raw, row->made->data + before, size) != 0)
        why = ce_text_row_set(row, cell->column, size, quoted);
    if (why)
        row->made->size = before;
    refresh(cell);
    return why;
}

static const char *put_bare(struct ce_cell *cell, const char *text, size_t size)
{
    struct ce_buffer *made = row_of(cell)->made;
    uintptr_t inside = (uintptr_t)text - (uintptr_t)made->data;
    bool within = made->data && inside <= made->size;
    size_t before = made->size;
    char *room = ce_buffer_room(made, size);
    if (!room)
        return no_memory;
    memcpy(room, within ? made->data + inside : text, size);
    made->size += size;
    return take_made(cell, before, false);
}

/* A string that spells its accents as \u00e9 goes on doing so. */
static bool spells_ascii(const struct ce_text_cell *cell)
{
    if (!cell->quoted || !memmem(cell->raw, cell->raw_size, "\\u", 2))
        return false;
    for (size_t i = 0; i < cell->raw_size; i++)
        if ((unsigned char)cell->raw[i] >= 0x80)
            return false;
    return true;
}

static const char *put_string(struct ce_cell *cell, const char *text, size_t size)
{
    struct ce_text_row *row = row_of(cell);
    struct ce_text_cell old = now(cell);
    size_t before = row->made->size;
    if (!ce_json_put_string(text, size, spells_ascii(&old), row->made))
        return no_memory;
    return take_made(cell, before, true);
}

static const char *leave_out(struct ce_cell *cell)
{
    struct ce_text_row *row = row_of(cell);
    const char *why = ce_text_row_set(row, cell->column, 0, false);
    if (why)
        return why;
    ce_text_row_made(row, cell->column)->leave_out = true;
    row->leaves_out = true;
    refresh(cell);
    return NULL;
}

static const char *jsonl_set_missing(struct ce_cell *cell, const char *spelling)
{
    if (!now(cell).raw)
        return absent;
    if (!spelling || strcmp(spelling, "null") == 0)
        return put_bare(cell, "null", 4);
    if (strcmp(spelling, CE_SPELL_ABSENT) == 0)
        return leave_out(cell);
    return put_string(cell, spelling, strlen(spelling));
}

/* A number where none was. */
static int print_new_number(const struct ce_cell *cell, double value, enum ce_fit fit, char *text,
                            size_t size)
{
    struct ce_decimal zero;
    if (!cell->profile || cell->profile->type != CE_TYPE_INTEGER)
        return ce_decimal_print(value, '.', text, size);
    (void)ce_decimal_parse("0", 1, &zero);
    return ce_decimal_set(&zero, value, fit, text, size);
}

static const char *jsonl_set_number(struct ce_cell *cell, double value, enum ce_fit fit)
{
    struct ce_text_cell found = now(cell);
    char text[CE_DECIMAL_TEXT];
    struct ce_decimal old;
    if (!found.raw)
        return absent;
    if (is_nested(&found))
        return nested;
    int size = is_bare_number(&found) && ce_decimal_parse(found.raw, found.raw_size, &old)
                   ? ce_decimal_set(&old, value, fit, text, sizeof text)
                   : print_new_number(cell, value, fit, text, sizeof text);
    return size < 0 ? no_room : put_bare(cell, text, (size_t)size);
}

/* Whether the text stays bare in place of that value. */
static bool stays_bare(const struct ce_cell *cell, const struct ce_text_cell *old, const char *text,
                       size_t size)
{
    enum ce_column_type type = cell->profile ? cell->profile->type : CE_TYPE_TEXT;
    bool nothing = is_nothing(old);
    if (is_bare_number(old) || (nothing && (type == CE_TYPE_INTEGER || type == CE_TYPE_NUMBER)))
        return ce_json_is_number(text, size);
    struct ce_text_cell word = {text, size, false};
    return (*old->raw == 't' || *old->raw == 'f' || (nothing && type == CE_TYPE_BOOLEAN)) &&
           (is_text(&word, "true") || is_text(&word, "false"));
}

/* Whether a string with escapes has that value already. */
static bool reads_as(const struct ce_text_cell *cell, const char *text, size_t size)
{
    if (!cell->quoted)
        return false;
    size_t raw_size = cell->raw_size - 2;
    if (!memchr(cell->raw + 1, '\\', raw_size))
        return raw_size == size && memcmp(cell->raw + 1, text, size) == 0;
    ce_autofree char *decoded = malloc(raw_size);
    return decoded && ce_json_decode(cell->raw + 1, raw_size, false, decoded) == size &&
           memcmp(decoded, text, size) == 0;
}

static const char *jsonl_set_text(struct ce_cell *cell, const char *text, size_t size)
{
    struct ce_text_cell found = now(cell);
    if (!found.raw)
        return absent;
    if (is_nested(&found))
        return nested;
    if (stays_bare(cell, &found, text, size))
        return put_bare(cell, text, size);
    return reads_as(&found, text, size) ? no_change : put_string(cell, text, size);
}

const struct ce_row_form ce_jsonl_row_form = {
    .cell = jsonl_cell,
    .missing = jsonl_missing,
    .number = jsonl_number,
    .text = jsonl_text,
    .set_missing = jsonl_set_missing,
    .set_number = jsonl_set_number,
    .set_text = jsonl_set_text,
};
