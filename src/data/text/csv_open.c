/* SPDX-License-Identifier: MIT */
/* What kind of CSV a file is, from its first bytes.
 *
 * The delimiter and the decimal comma are guessed from the first SNIFFED_RECORDS records, as far as
 * they lie within the first SNIFFED_BYTES: the guess depends on the file alone, not on how much of
 * it was at hand. The rule "sep=;" in the first line, which Excel writes and obeys, beats guesses.
 */
#include "data/text/csv_open.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "data/decimal.h"
#include "data/text/csv_cell.h"
#include "data/text/csv_scan.h"

enum { SNIFFED_RECORDS = 64, SNIFFED_BYTES = 256 * 1024 };

int ce_csv_fail_at(const char *path, uint64_t line, int code, const char *message,
                   struct ce_error *err)
{
    char where[sizeof err->where];
    snprintf(where, sizeof where, "%.130s:%" PRIu64, path, line);
    return ce_fail_at(err, where, code, "%s", message);
}

/* The bytes at hand. */
struct start {
    const char *data;
    size_t size, at; /* at: behind the BOM and the "sep=" line */
    uint64_t line;   /* of data[at] */
    bool last;
};

static struct ce_text_scan start_scan(const struct ce_text_table *table, const struct start *s,
                                      size_t limit)
{
    size_t size = s->size < limit ? s->size : limit;
    return (struct ce_text_scan){
        .table = table,
        .at = s->data + (s->at < size ? s->at : size),
        .end = s->data + size,
        .line = s->line,
    };
}

/* ---- the encoding, and the line before the header ---- */

static int check_encoding(struct start *s, const char *path, struct ce_error *err)
{
    const char *p = s->data;
    if (s->size >= 2 && (memcmp(p, "\xff\xfe", 2) == 0 || memcmp(p, "\xfe\xff", 2) == 0))
        return ce_csv_fail_at(path, 1, EINVAL,
                              "this is UTF-16; only UTF-8 and other single-byte text can be read",
                              err);
    if (s->size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        s->at = 3;
    return 0;
}

/* Takes a first line such as `sep=;`, also in quotes. */
static void take_separator_line(struct start *s, struct ce_text_table *table)
{
    const char *p = s->data + s->at, *end = s->data + s->size;
    bool quoted = p < end && *p == '"';
    p += quoted;
    if (end - p < 6 + quoted || strncasecmp(p, "sep=", 4) != 0)
        return;
    char separator = p[4];
    p += 5;
    if (strchr("\"\r\n", separator) || (table->backslash && separator == '\\') ||
        separator == table->comment || (quoted && *p++ != '"'))
        return;
    if (*p != '\n' && *p != '\r')
        return;
    p += p[0] == '\r' && end - p > 1 && p[1] == '\n';
    s->at = (size_t)(p + 1 - s->data);
    s->line++;
    if (table->delimiter == '\0')
        table->delimiter = separator;
}

/* ---- guessing ---- */

/* How well a delimiter suits the first records. */
struct fit {
    size_t columns;           /* 0: not even the header is whole */
    size_t records, agreeing; /* agreeing: with as many cells as the header, itself included */
};

static int try_delimiter(struct ce_text_table *table, const struct start *s, size_t limit,
                         char delimiter, struct fit *ret_fit, struct ce_error *err)
{
    CE_CLEANUP(ce_text_scan_done) struct ce_text_scan scan = start_scan(table, s, limit);
    struct fit fit = {0};
    struct ce_text_record record;
    enum ce_csv_found found = CE_CSV_RECORD;
    table->delimiter = delimiter;
    while (fit.records < SNIFFED_RECORDS) {
        found = ce_csv_scan(&scan, s->last && limit >= s->size, &record);
        if (found != CE_CSV_RECORD)
            break;
        if (fit.columns == 0)
            fit.columns = record.cell_count;
        fit.records++;
        fit.agreeing += record.cell_count == fit.columns;
    }
    *ret_fit = fit;
    return found == CE_CSV_NO_MEMORY ? ce_fail_memory(err) : 0;
}

/* The delimiter that gives most rows the header's number of cells, then the most cells. It has to
 * divide the header, and at least half of the rows alike; if none does, it is the comma.
 * *ret_columns is 0 when it ends no header within the limit. */
static int choose_delimiter(struct ce_text_table *table, const struct start *s, size_t limit,
                            size_t *ret_columns, struct ce_error *err)
{
    static const char candidates[] = {',', ';', '\t', '|', '\x1f', '\x01'};
    struct fit best = {0};
    char chosen = candidates[0];
    size_t columns = 0;
    for (size_t i = 0; i < sizeof candidates; i++) {
        struct fit fit;
        if (candidates[i] == table->comment)
            continue;
        CE_TRY(try_delimiter(table, s, limit, candidates[i], &fit, err));
        size_t mine = fit.agreeing * best.records, others = best.agreeing * fit.records;
        columns = columns > fit.columns ? columns : fit.columns;
        if (fit.columns < 2 || 2 * fit.agreeing < fit.records)
            continue;
        if (best.columns == 0 || mine > others || (mine == others && fit.columns > best.columns)) {
            chosen = candidates[i];
            best = fit;
        }
    }
    table->delimiter = chosen;
    *ret_columns = columns;
    return 0;
}

static int sniff_delimiter(struct ce_text_table *table, const struct start *s, struct ce_error *err)
{
    if (table->delimiter != '\0')
        return 0;
    size_t columns;
    int r = choose_delimiter(table, s, SNIFFED_BYTES, &columns, err);
    /* A header that is longer than what is looked at. */
    if (r == 0 && columns == 0 && s->size > SNIFFED_BYTES)
        r = choose_delimiter(table, s, s->size, &columns, err);
    if (r == 0 && columns == 0 && !s->last)
        r = -EAGAIN;
    if (r < 0)
        table->delimiter = '\0';
    return r;
}

struct commas {
    size_t decimal, /* numbers that can only be written with a decimal comma */
        other;      /* that can only be written with a point */
};

/* 1,234 says nothing: it may have a thousands separator. */
static void count_commas(const struct ce_text_cell *cell, struct commas *commas)
{
    const char *text;
    size_t size;
    struct ce_decimal number;
    if (!ce_csv_cell_plain(cell, false, &text, &size))
        return;
    if (ce_decimal_parse(text, size, &number))
        commas->other += number.mark != '\0';
    else if (ce_decimal_parse_mark(text, size, ',', &number))
        commas->decimal += number.decimals != 3 || number.integer_digits > 3 ||
                           number.mantissa < 1000 || number.exponent_letter != '\0';
}

static int sniff_decimal_comma(struct ce_text_table *table, const struct start *s,
                               struct ce_error *err)
{
    if (table->delimiter == ',' || table->decimal_comma)
        return 0;
    CE_CLEANUP(ce_text_scan_done)
    struct ce_text_scan scan = start_scan(table, s, SNIFFED_BYTES);
    struct commas commas = {0};
    struct ce_text_record record;
    enum ce_csv_found found = CE_CSV_RECORD;
    while (scan.row < SNIFFED_RECORDS) {
        found = ce_csv_scan(&scan, s->last && s->size <= SNIFFED_BYTES, &record);
        if (found != CE_CSV_RECORD)
            break;
        for (size_t i = 0; i < record.cell_count; i++)
            count_commas(&record.cells[i], &commas);
    }
    table->decimal_comma = commas.decimal > commas.other;
    return found == CE_CSV_NO_MEMORY ? ce_fail_memory(err) : 0;
}

/* ---- the header ---- */

static int fail_empty(const struct ce_text_table *table, struct ce_error *err)
{
    return ce_fail(err, EINVAL, "'%s' is empty: %s", table->path,
                   table->headerless ? "there is no record to tell how many columns it has"
                                     : "the first line must name the columns");
}

static char *column_name(const struct ce_text_table *table, const struct ce_text_record *record,
                         size_t column)
{
    char generic[32];
    if (table->headerless) {
        snprintf(generic, sizeof generic, "column%zu", column + 1);
        return strdup(generic);
    }
    const struct ce_text_cell *cell = &record->cells[column];
    char *name = malloc(cell->raw_size + 1);
    if (name)
        (void)ce_csv_cell_value(cell, table->backslash, name, cell->raw_size + 1);
    return name;
}

static int take_columns(struct ce_text_table *table, const struct ce_text_record *record,
                        struct ce_error *err)
{
    table->names = calloc(record->cell_count, sizeof *table->names);
    if (!table->names)
        return ce_fail_memory(err);
    for (size_t i = 0; i < record->cell_count; i++) {
        table->names[i] = column_name(table, record, i);
        if (!table->names[i])
            return ce_fail_memory(err);
        table->column_count++;
    }
    return 0;
}

static int read_header(struct ce_text_table *table, const struct start *s, struct ce_error *err)
{
    CE_CLEANUP(ce_text_scan_done) struct ce_text_scan scan = start_scan(table, s, s->size);
    struct ce_text_record header;
    switch (ce_csv_scan(&scan, s->last, &header)) {
    case CE_CSV_RECORD:
        break;
    case CE_CSV_MORE:
        return -EAGAIN;
    case CE_CSV_END:
        return fail_empty(table, err);
    case CE_CSV_UNCLOSED:
        return ce_csv_fail_at(table->path, header.line, EINVAL, "a quoted cell is not closed", err);
    default:
        return ce_fail_memory(err);
    }
    if (!table->headerless && memchr(header.bytes, '\0', header.size))
        return ce_csv_fail_at(table->path, header.line, EINVAL,
                              "a NUL byte in the header: this is UTF-16 or no text at all", err);
    table->head_size = s->at;
    table->head_lines = s->line - 1;
    if (!table->headerless) {
        table->header_at = (size_t)(header.bytes - s->data);
        table->header_size = header.size;
        table->head_size = table->header_at + header.size;
        table->head_lines = scan.line - 1;
    }
    return take_columns(table, &header, err);
}

int ce_csv_open_table(struct ce_text_table *table, const char *data, size_t size, bool last,
                      struct ce_error *err)
{
    struct start s = {.data = data, .size = size, .line = 1, .last = last};
    if (!last && size < SNIFFED_BYTES)
        return -EAGAIN;
    char asked = table->delimiter;
    CE_TRY(check_encoding(&s, table->path, err));
    take_separator_line(&s, table);
    int r = sniff_delimiter(table, &s, err);
    r = r < 0 ? r : read_header(table, &s, err);
    r = r < 0 ? r : sniff_decimal_comma(table, &s, err);
    if (r == -EAGAIN)
        table->delimiter = asked;
    return r;
}
