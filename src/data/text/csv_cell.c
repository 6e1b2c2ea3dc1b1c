/* SPDX-License-Identifier: MIT */
#include "data/text/csv_cell.h"

#include "base/error.h"
#include "data/decimal.h"

/* ---- reading ---- */

bool ce_csv_cell_unquote(const struct ce_text_cell *cell, bool backslash, const char **ret_text,
                         size_t *ret_size)
{
    const char *text = cell->raw;
    size_t size = cell->raw_size;
    bool plain = true;
    if (cell->quoted) {
        plain = size >= 2 && memchr(text + 1, '"', size - 1) == text + size - 1;
        text += plain;
        size -= plain ? 2 : 0;
    }
    if (plain && backslash && memchr(text, '\\', size)) {
        plain = false;
        text = cell->raw;
        size = cell->raw_size;
    }
    *ret_text = text;
    *ret_size = size;
    return plain;
}

/* Walks the value of a cell byte by byte: quotes that enclose are left out, doubled ones come once,
 * and so does what a backslash escapes. What follows a closing quote is taken as it stands. */
struct walk {
    const char *at, *end;
    bool inside, backslash;
};

static struct walk walk_start(const struct ce_text_cell *cell, bool backslash)
{
    return (struct walk){
        .at = cell->raw + cell->quoted,
        .end = cell->raw + cell->raw_size,
        .inside = cell->quoted,
        .backslash = backslash,
    };
}

/* The next byte, or -1. */
static int walk_next(struct walk *w)
{
    if (w->at == w->end)
        return -1;
    if (w->backslash && *w->at == '\\' && w->end - w->at > 1) {
        w->at++;
    } else if (w->inside && *w->at == '"') {
        w->at++;
        w->inside = w->at < w->end && *w->at == '"';
        if (!w->inside)
            return walk_next(w);
    }
    return (unsigned char)*w->at++;
}

size_t ce_csv_cell_value(const struct ce_text_cell *cell, bool backslash, char *text, size_t size)
{
    struct walk w = walk_start(cell, backslash);
    size_t length = 0;
    for (int c; (c = walk_next(&w)) >= 0; length++)
        if (length + 1 < size)
            text[length] = (char)c;
    if (size > 0)
        text[length < size ? length : size - 1] = '\0';
    return length;
}

static bool reads_as(const struct ce_text_cell *cell, bool backslash, const char *text, size_t size)
{
    struct walk w = walk_start(cell, backslash);
    for (size_t i = 0; i < size; i++)
        if (walk_next(&w) != (unsigned char)text[i])
            return false;
    return walk_next(&w) < 0;
}

static bool spells_missing(const char *text, size_t size)
{
    static const char *const spellings[] = {"NA", "NaN", "null", "NULL", "None", "N/A", "\\N"};
    if (size == 0)
        return true;
    if (*text != 'N' && *text != 'n' && *text != '\\')
        return false;
    for (size_t i = 0; i < CE_COUNT(spellings); i++)
        if (strlen(spellings[i]) == size && memcmp(text, spellings[i], size) == 0)
            return true;
    return false;
}

bool ce_csv_cell_missing(const struct ce_text_cell *cell)
{
    const char *text;
    size_t size;
    return ce_csv_cell_plain(cell, false, &text, &size) && spells_missing(text, size);
}

static char decimal_mark(const struct ce_text_table *table)
{
    return table->decimal_comma ? ',' : '.';
}

static __attribute__((noinline)) bool quoted_number(const struct ce_text_cell *cell, char mark,
                                                    double *ret_value)
{
    const char *text;
    size_t size;
    return ce_csv_cell_plain(cell, false, &text, &size) &&
           ce_decimal_number(text, size, mark, ret_value);
}

bool ce_csv_cell_number(const struct ce_text_table *table, const struct ce_text_cell *cell,
                        double *ret_value)
{
    if (cell->quoted)
        return quoted_number(cell, decimal_mark(table), ret_value);
    return ce_decimal_number(cell->raw, cell->raw_size, decimal_mark(table), ret_value);
}

/* ---- writing ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool ce_csv_needs_quotes(const struct ce_text_table *table, const char *text, size_t size)
{
    if (size == 0)
        return false;
    if (is_blank(text[0]) || is_blank(text[size - 1]) ||
        (table->comment != '\0' && text[0] == table->comment))
        return true;
    for (size_t i = 0; i < size; i++)
        if (text[i] == table->delimiter || text[i] == '"' || text[i] == '\n' || text[i] == '\r')
            return true;
    return false;
}

bool ce_csv_cell_put(const struct ce_text_table *table, const char *text, size_t size, bool quoted,
                     struct ce_buffer *out)
{
    uintptr_t inside = (uintptr_t)text - (uintptr_t)out->data;
    bool within = out->data && inside <= out->size;
    char *start = ce_buffer_room(out, 2 * size + 2), *p = start;
    if (!start)
        return false;
    if (within)
        text = out->data + inside;
    if (quoted)
        *p++ = '"';
    for (size_t i = 0; i < size; i++) {
        if (table->backslash && (text[i] == '\\' || (quoted && text[i] == '"')))
            *p++ = '\\';
        else if (quoted && text[i] == '"')
            *p++ = '"';
        *p++ = text[i];
    }
    if (quoted)
        *p++ = '"';
    out->size += (size_t)(p - start);
    return true;
}

/* ---- the row form ---- */

static const char no_memory[] = "out of memory", no_change[] = "no change", absent[] = "absent",
                  no_room[] = "no room for it";

static inline struct ce_text_row *row_of(const struct ce_cell *cell)
{
    return (struct ce_text_row *)cell->row;
}

/* Where the column's cell lies now: bytes that were made move when more are. */
static inline struct ce_text_cell find_cell(const struct ce_text_row *row, size_t column)
{
    const struct ce_made_cell *made = ce_text_row_made(row, column);
    if (made)
        return (struct ce_text_cell){row->made->data + made->at, made->size, made->quoted};
    if (column < row->record->cell_count)
        return row->record->cells[column];
    return (struct ce_text_cell){0};
}

/* A cell that was not set lies where it was found. */
static inline struct ce_text_cell current(const struct ce_cell *cell)
{
    const struct ce_text_row *row = row_of(cell);
    if (ce_text_row_made(row, cell->column))
        return find_cell(row, cell->column);
    return (struct ce_text_cell){cell->raw, cell->raw_size, cell->quoted};
}

static inline void show(struct ce_cell *cell, const struct ce_text_cell *found)
{
    cell->raw = found->raw;
    cell->raw_size = found->raw_size;
    cell->quoted = found->quoted;
}

static void csv_cell(struct ce_row *base, size_t column, struct ce_cell *ret_cell)
{
    const struct ce_text_row *row = (const struct ce_text_row *)base;
    struct ce_text_cell found = find_cell(row, column);
    ret_cell->row = base;
    ret_cell->column = column;
    ret_cell->profile =
        row->profile && column < row->profile->column_count ? &row->profile->columns[column] : NULL;
    show(ret_cell, &found);
}

static bool csv_missing(const struct ce_cell *cell)
{
    struct ce_text_cell now = current(cell);
    return ce_csv_cell_missing(&now);
}

static bool csv_number(const struct ce_cell *cell, double *ret_value)
{
    struct ce_text_cell now = current(cell);
    return ce_csv_cell_number(row_of(cell)->table, &now, ret_value);
}

static const char *csv_text(struct ce_cell *cell, size_t *ret_size)
{
    struct ce_text_row *row = row_of(cell);
    struct ce_text_cell now = current(cell);
    const char *text;
    if (ce_csv_cell_plain(&now, row->table->backslash, &text, ret_size))
        return text;
    row->scratch->size = 0;
    char *decoded = ce_buffer_room(row->scratch, now.raw_size + 1);
    if (!decoded)
        return NULL;
    *ret_size = row->scratch->size =
        ce_csv_cell_value(&now, row->table->backslash, decoded, now.raw_size + 1);
    return decoded;
}

/* Takes the last `size` bytes of `made` as the cell. */
static inline const char *take_new(struct ce_cell *cell, size_t size, bool quoted)
{
    struct ce_text_row *row = row_of(cell);
    const char *why = ce_text_row_set(row, cell->column, size, quoted);
    if (why) {
        row->made->size -= size;
        return why;
    }
    show(cell, &(struct ce_text_cell){row->made->data + row->made->size - size, size, quoted});
    return NULL;
}

/* The same, unless they are what it was. */
static const char *take_made(struct ce_cell *cell, size_t size, bool quoted)
{
    struct ce_buffer *made = row_of(cell)->made;
    struct ce_text_cell old = current(cell);
    if (old.raw_size == size && memcmp(old.raw, made->data + made->size - size, size) == 0) {
        made->size -= size;
        return no_change;
    }
    return take_new(cell, size, quoted);
}

static const char *put(struct ce_cell *cell, const char *text, size_t size, bool quoted)
{
    struct ce_text_row *row = row_of(cell);
    size_t before = row->made->size;
    if (!ce_csv_cell_put(row->table, text, size, quoted, row->made))
        return no_memory;
    return take_made(cell, row->made->size - before, quoted);
}

/* A spelling is put as it is, so that \N stays \N where a backslash escapes. */
static const char *csv_set_missing(struct ce_cell *cell, const char *spelling)
{
    struct ce_text_row *row = row_of(cell);
    size_t size = spelling ? strlen(spelling) : 0;
    if (!current(cell).raw)
        return absent;
    if (spelling && strcmp(spelling, CE_SPELL_ABSENT) == 0)
        return "a record of CSV has every cell";
    /* A row of nothing at all would be a blank line. */
    bool lone = row->record->cell_count == 1 && size == 0;
    if (lone || ce_csv_needs_quotes(row->table, spelling, size))
        return put(cell, spelling, size, true);
    if (!ce_buffer_put(row->made, spelling, size))
        return no_memory;
    return take_made(cell, size, false);
}

static const char *csv_set_text(struct ce_cell *cell, const char *text, size_t size)
{
    const struct ce_text_table *table = row_of(cell)->table;
    struct ce_text_cell now = current(cell);
    if (!now.raw)
        return absent;
    if (reads_as(&now, table->backslash, text, size))
        return no_change;
    return put(cell, text, size, now.quoted || size == 0 || ce_csv_needs_quotes(table, text, size));
}

/* The form of a number in a column whose cell holds none. */
static int print_new_number(const struct ce_cell *cell, double value, enum ce_fit fit, char *text,
                            size_t size)
{
    struct ce_decimal zero;
    if (!cell->profile || cell->profile->type != CE_TYPE_INTEGER)
        return ce_decimal_print(value, decimal_mark(row_of(cell)->table), text, size);
    (void)ce_decimal_parse("0", 1, &zero);
    return ce_decimal_set(&zero, value, fit, text, size);
}

static const char *csv_set_number(struct ce_cell *cell, double value, enum ce_fit fit)
{
    struct ce_text_row *row = row_of(cell);
    struct ce_text_cell now = current(cell);
    if (!now.raw)
        return absent;
    char text[CE_DECIMAL_TEXT];
    const char *plain;
    size_t plain_size;
    struct ce_decimal old;
    if (!ce_csv_cell_plain(&now, false, &plain, &plain_size) ||
        !ce_decimal_parse_mark(plain, plain_size, decimal_mark(row->table), &old)) {
        int size = print_new_number(cell, value, fit, text, sizeof text);
        return size < 0 ? no_room : put(cell, text, (size_t)size, now.quoted);
    }
    /* The quotes and blanks around it stay. */
    size_t before = (size_t)(old.text - now.raw), after = now.raw_size - before - old.size;
    char *made = ce_buffer_room(row->made, before + CE_DECIMAL_TEXT + after);
    if (!made)
        return no_memory;
    now = current(cell);
    old.text = now.raw + before;
    int size = ce_decimal_set(&old, value, fit, made + before, CE_DECIMAL_TEXT);
    if (size < 0)
        return no_room;
    if (before + after > 0) {
        memcpy(made, now.raw, before);
        memcpy(made + before + (size_t)size, now.raw + now.raw_size - after, after);
    }
    size_t all = before + (size_t)size + after;
    row->made->size += all;
    return fit == CE_FIT_NEAREST ? take_new(cell, all, now.quoted)
                                 : take_made(cell, all, now.quoted);
}

const struct ce_row_form ce_csv_row_form = {
    .cell = csv_cell,
    .missing = csv_missing,
    .number = csv_number,
    .text = csv_text,
    .set_missing = csv_set_missing,
    .set_number = csv_set_number,
    .set_text = csv_set_text,
};
