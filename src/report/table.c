/* SPDX-License-Identifier: MIT */
#include "report/table.h"

#include <stdlib.h>
#include <string.h>

enum {
    WIDTH_MIN = 8, /* of a column that shrinks */
    INDENT = 4,    /* of all lines of a paragraph but the first */
};

static const char blanks[] = " \t\n";

static bool continues_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

static size_t width_of(const char *text, size_t size)
{
    size_t width = 0;
    for (size_t i = 0; i < size; i++)
        width += !continues_character(text[i]);
    return width;
}

/* Writes at most `width` characters and returns how many it wrote. */
static size_t put_text(FILE *out, const char *text, size_t width)
{
    size_t written = 0;
    for (; *text != '\0'; text++) {
        if (!continues_character(*text) && ++written > width)
            return width;
        unsigned char byte = (unsigned char)*text;
        (void)putc(byte < 0x20 || byte == 0x7f ? '?' : byte, out);
    }
    return written;
}

static void put_blanks(FILE *out, size_t count)
{
    while (count-- > 0)
        (void)putc(' ', out);
}

static const char *color_begin(enum ce_color color)
{
    static const char *const codes[] = {
        [CE_COLOR_NONE] = "",         [CE_COLOR_BOLD] = "\033[1m",
        [CE_COLOR_GOOD] = "\033[32m", [CE_COLOR_DOUBTFUL] = "\033[33m",
        [CE_COLOR_BAD] = "\033[31m",
    };
    return codes[color];
}

static const char *color_end(enum ce_color color)
{
    return color == CE_COLOR_NONE ? "" : "\033[0m";
}

void ce_write_heading(FILE *out, const char *text, bool color)
{
    fputs(color ? color_begin(CE_COLOR_BOLD) : "", out);
    put_text(out, text, strlen(text));
    fprintf(out, "%s\n", color ? color_end(CE_COLOR_BOLD) : "");
}

/* Bytes up to the next blank, but not more characters than a line has room for. */
static size_t word_size(const char *text)
{
    size_t width = 0, size = 0;
    for (; text[size] != '\0' && !strchr(blanks, text[size]); size++)
        if (!continues_character(text[size]) && ++width > CE_TABLE_WIDTH - INDENT)
            break;
    return size;
}

void ce_write_wrapped(FILE *out, const char *text)
{
    size_t column = 0;
    for (text += strspn(text, blanks); *text != '\0'; text += strspn(text, blanks)) {
        size_t size = word_size(text);
        size_t width = width_of(text, size);
        if (column == 0 || column + 1 + width > CE_TABLE_WIDTH) {
            fputs(column == 0 ? "  " : "\n    ", out);
            column = column == 0 ? 2 : INDENT;
        } else {
            (void)putc(' ', out);
            column++;
        }
        column += put_text(out, text, width);
        text += size;
    }
    (void)putc('\n', out);
}

void ce_table_add_column(struct ce_table *table, struct ce_table_column column)
{
    if (table->column_count < CE_TABLE_COLUMNS_MAX)
        table->columns[table->column_count++] = column;
}

struct ce_table_cell *ce_table_add_row(struct ce_table *table)
{
    if (table->row_count == table->row_capacity) {
        size_t capacity = 2 * table->row_capacity + 16;
        struct ce_table_cell *cells =
            reallocarray(table->cells, capacity * table->column_count, sizeof *cells);
        if (!cells)
            return NULL;
        table->cells = cells;
        table->row_capacity = capacity;
    }
    struct ce_table_cell *row = table->cells + table->row_count++ * table->column_count;
    memset(row, 0, table->column_count * sizeof *row);
    return row;
}

void ce_table_done(struct ce_table *table)
{
    free(table->cells);
    *table = (struct ce_table){0};
}

void ce_cell_set(struct ce_table_cell *cell, enum ce_color color, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(cell->text, sizeof cell->text, fmt, args);
    va_end(args);
    cell->color = color;
    if (n < (int)sizeof cell->text)
        return;
    /* What was cut may have been the rest of a character: its beginning goes too. */
    size_t end = sizeof cell->text - 1;
    while (end > 0 && continues_character(cell->text[end - 1]))
        end--;
    if (end > 0 && (unsigned char)cell->text[end - 1] >= 0x80)
        end--;
    cell->text[end] = '\0';
}

static void measure(const struct ce_table *table, size_t widths[CE_TABLE_COLUMNS_MAX],
                    size_t *ret_total)
{
    size_t total = 0;
    for (size_t c = 0; c < table->column_count; c++) {
        widths[c] = table->columns[c].title
                        ? width_of(table->columns[c].title, strlen(table->columns[c].title))
                        : 0;
        for (size_t r = 0; r < table->row_count; r++) {
            const char *text = table->cells[r * table->column_count + c].text;
            size_t width = width_of(text, strlen(text));
            if (width > widths[c])
                widths[c] = width;
        }
        total += table->columns[c].gap + widths[c];
    }
    for (size_t c = 0; c < table->column_count && total > CE_TABLE_WIDTH; c++) {
        if (!table->columns[c].shrinks || widths[c] <= WIDTH_MIN)
            continue;
        size_t spare = widths[c] - WIDTH_MIN, excess = total - CE_TABLE_WIDTH;
        size_t cut = spare < excess ? spare : excess;
        widths[c] -= cut;
        total -= cut;
    }
    *ret_total = total;
}

/* `last`: no blanks behind it. */
static void put_cell(FILE *out, const struct ce_table_column *column, const char *text,
                     size_t width, bool last)
{
    size_t wanted = width_of(text, strlen(text));
    bool cut = wanted > width;
    size_t shown = cut ? width : wanted;
    put_blanks(out, column->right ? width - shown : 0);
    put_text(out, text, cut ? width - 2 : width);
    fputs(cut ? ".." : "", out);
    put_blanks(out, column->right || last ? 0 : width - shown);
}

static void write_groups(const struct ce_table *table, const size_t widths[], FILE *out)
{
    size_t at = 0, column = 0;
    for (size_t c = 0; c < table->column_count; c++) {
        at += table->columns[c].gap;
        if (table->columns[c].group) {
            put_blanks(out, at - column);
            column = at + put_text(out, table->columns[c].group, CE_TABLE_WIDTH);
        }
        at += widths[c];
    }
    if (column > 0)
        (void)putc('\n', out);
}

static void write_head(const struct ce_table *table, const size_t widths[], size_t total, FILE *out,
                       bool color)
{
    fputs(color ? color_begin(CE_COLOR_BOLD) : "", out);
    write_groups(table, widths, out);
    for (size_t c = 0; c < table->column_count; c++) {
        const struct ce_table_column *column = &table->columns[c];
        put_blanks(out, column->gap);
        put_cell(out, column, column->title, widths[c], c + 1 == table->column_count);
    }
    fprintf(out, "%s\n", color ? color_end(CE_COLOR_BOLD) : "");
    for (size_t i = 0; i < total; i++)
        (void)putc('-', out);
    (void)putc('\n', out);
}

void ce_table_write(const struct ce_table *table, FILE *out, bool color)
{
    size_t widths[CE_TABLE_COLUMNS_MAX], total;
    measure(table, widths, &total);
    if (table->column_count > 0 && table->columns[0].title)
        write_head(table, widths, total, out, color);
    for (size_t r = 0; r < table->row_count; r++) {
        for (size_t c = 0; c < table->column_count; c++) {
            const struct ce_table_cell *cell = &table->cells[r * table->column_count + c];
            put_blanks(out, table->columns[c].gap);
            fputs(color ? color_begin(cell->color) : "", out);
            put_cell(out, &table->columns[c], cell->text, widths[c], c + 1 == table->column_count);
            fputs(color ? color_end(cell->color) : "", out);
        }
        (void)putc('\n', out);
    }
}
