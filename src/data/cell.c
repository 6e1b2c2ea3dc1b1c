/* SPDX-License-Identifier: MIT */
/* What a cell says: its value without quotes, whether it is missing, whether it is a number. */
#include <string.h>

#include "data/csv_internal.h"
#include "data/decimal.h"

/* Walks the value of a cell byte by byte: quotes that enclose are left out, doubled ones come once.
 * What follows a closing quote is taken as it stands. */
struct walk {
    const char *at, *end;
    bool inside;
};

static struct walk walk_start(const struct ce_csv_cell *cell)
{
    return (struct walk){
        .at = cell->raw + cell->quoted,
        .end = cell->raw + cell->raw_size,
        .inside = cell->quoted,
    };
}

/* The next byte, or -1. */
static int walk_next(struct walk *w)
{
    if (w->at == w->end)
        return -1;
    if (w->inside && *w->at == '"') {
        w->at++;
        if (w->at == w->end)
            return -1;
        w->inside = *w->at == '"';
    }
    return (unsigned char)*w->at++;
}

size_t ce_csv_value(const struct ce_csv_cell *cell, char *text, size_t size)
{
    struct walk w = walk_start(cell);
    size_t length = 0;
    for (int c; (c = walk_next(&w)) >= 0; length++)
        if (length + 1 < size)
            text[length] = (char)c;
    if (size > 0)
        text[length < size ? length : size - 1] = '\0';
    return length;
}

bool ce_csv_same(const struct ce_csv_cell *a, const struct ce_csv_cell *b)
{
    if (a->raw_size == b->raw_size && memcmp(a->raw, b->raw, a->raw_size) == 0)
        return true;
    struct walk wa = walk_start(a), wb = walk_start(b);
    int ca, cb;
    do {
        ca = walk_next(&wa);
        cb = walk_next(&wb);
    } while (ca == cb && ca >= 0);
    return ca == cb;
}

void ce_csv_plain(const struct ce_csv_cell *cell, const char **ret_text, size_t *ret_size)
{
    const char *text = cell->raw;
    size_t size = cell->raw_size;
    if (cell->quoted && size >= 2 && memchr(text + 1, '"', size - 1) == text + size - 1) {
        text++;
        size -= 2;
    }
    *ret_text = text;
    *ret_size = size;
}

bool ce_csv_missing(const struct ce_csv_cell *cell)
{
    static const char *const spellings[] = {"NA", "NaN", "null", "NULL", "None", "N/A", "\\N"};
    const char *text;
    size_t size;
    ce_csv_plain(cell, &text, &size);
    if (size == 0)
        return true;
    if (*text != 'N' && *text != 'n' && *text != '\\')
        return false;
    for (size_t i = 0; i < CE_COUNT(spellings); i++)
        if (strlen(spellings[i]) == size && memcmp(text, spellings[i], size) == 0)
            return true;
    return false;
}

bool ce_csv_number(const struct ce_csv_cell *cell, double *ret_value)
{
    const char *text;
    size_t size;
    struct ce_decimal decimal;
    ce_csv_plain(cell, &text, &size);
    return ce_decimal_parse(text, size, &decimal) && ce_decimal_value(&decimal, ret_value);
}
