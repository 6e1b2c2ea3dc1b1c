/* SPDX-License-Identifier: MIT */
/* What the text engine asks of a format: CSV (csv_format.c) and JSON lines (jsonl_format.c).
 *
 * A text table is a head (CSV: BOM, blank lines, header; JSON lines: at most a BOM) and records.
 * Every byte of the file belongs to the head, to a record, or to the blank lines before one; the
 * engine copies what no fault touches. All functions work on memory: the engine reads, in chunks of
 * whole records, and several threads may scan chunks of their own at once. */
#ifndef CE_DATA_TEXT_FORMAT_H
#define CE_DATA_TEXT_FORMAT_H

#include "data/cell.h"
#include "data/text/buffer.h"

/* What is known of a table before its first record; made by open(). */
struct ce_text_table {
    const struct ce_text_format *format;
    const char *path;   /* for messages */
    char delimiter;     /* CSV */
    bool headerless;    /* CSV: there are no names; columns are called "column1", "column2", ... */
    bool backslash;     /* CSV: a backslash escapes the byte after it */
    char comment;       /* CSV: lines that start with it are no records; 0: there are none */
    bool decimal_comma; /* CSV: numbers are written 3,14 (only where the delimiter is another) */
    size_t head_size; /* bytes of the file before the first record (or the blank lines before it) */
    uint64_t head_lines; /* line ends within them */
    size_t header_at,
        header_size; /* CSV: the header record within the head, its line end included */
    char **names;    /* of the columns */
    size_t column_count;
    void *index; /* JSON lines: finds a name; one block, free()d with the table */
};
void ce_text_table_done(struct ce_text_table *table);
/* The index of the column of that name (the first one), or -1. */
int ce_text_column(const struct ce_text_table *table, const char *name, size_t size);

struct ce_text_cell {
    const char *raw; /* as in the file, quotes included; NULL: the record has no such cell */
    size_t raw_size;
    bool quoted;
};

struct ce_text_record {
    uint64_t row;  /* data record ordinal from 0 */
    uint64_t line; /* 1-based line in the file where it starts */
    struct ce_text_cell
        *cells; /* CSV: as many as the row has; JSON lines: one for each column of the table */
    size_t cell_count;
    const char *before; /* blank lines and comments between the record before and this one; `bytes`
                           follows on them */
    size_t before_size;
    const char *bytes;     /* the record as in the file, its line end included */
    size_t size, end_size; /* end_size: of the line end; 0 in a last row that has none */
};

/* A walk over the records of one chunk. Zero all but the first group. */
struct ce_text_scan {
    const struct ce_text_table *table;
    const char *at, *end; /* bytes not yet handed out; 64 readable bytes follow `end` */
    bool last;            /* nothing follows this chunk in the file */
    uint64_t row, line;   /* of the next record */

    struct ce_text_cell *cells; /* the current record's; freed by ce_text_scan_done() */
    size_t cell_capacity;
    uint16_t *special; /* CSV: where the special bytes of a window lie; freed likewise */
    const uint16_t *special_next, *special_end; /* those of them that were not handed out */
    const char *window, *window_end;            /* NULL: none was looked at */
    uint64_t
        unknown; /* JSON lines: members passed over so far, because the table lacks their key */
};
void ce_text_scan_done(struct ce_text_scan *scan);

/* The new column order of a record, made from layout mutations. */
struct ce_layout_cell {
    int column;       /* of the input; -1: an added one */
    const char *name; /* what it is called now */
    const char *text; /* of an added one, for this row; NULL: missing. In the header: unused */
    size_t text_size;
    bool number; /* of an added one: no string in JSON */
};

struct ce_text_format {
    const char *name;               /* "csv", "jsonl" */
    const struct ce_row_form *form; /* rows are struct ce_text_row */

    /* Looks at the first bytes of a file (`last`: that is all of it): sniffs, reads the header,
     * finds the columns. The table comes with format, path and whatever the user fixed (delimiter
     * ...; 0 is "find out"). 0, -EAGAIN (without a sentence) when more bytes are needed, or
     * -EINVAL. JSON lines: columns are the keys of the records that lie within `data`, in order of
     * first appearance; others may follow, see `unknown`. */
    int (*open)(struct ce_text_table *table, const char *data, size_t size, bool last,
                struct ce_error *err);

    /* How many of the bytes are whole records (with the blank lines before them), and how many
     * records and lines these are. `last`: the last record may lack its line end. Returns the size,
     * 0 when not even one record is whole, or -EINVAL with the place ("data.csv:17: a quoted cell
     * is not closed"; `line` is that of data[0]). 64 readable bytes follow `data`. */
    int64_t (*split)(const struct ce_text_table *table, const char *data, size_t size, bool last,
                     uint64_t line, uint64_t *ret_records, uint64_t *ret_lines,
                     struct ce_error *err);

    /* The next record of the scan: 1, 0 at its end (then `before` holds what closes the chunk and
     * cell_count is 0), or -errno. */
    int (*next)(struct ce_text_scan *scan, struct ce_text_record *ret_record, struct ce_error *err);

    /* Appends to the table the columns that the chunk's records have and the table lacks, in order
     * of first appearance. For chunks in the order of the file, one at a time; the head may be part
     * of the first. A scan may go on meanwhile with a copy of the struct that was taken between two
     * calls: it sees the columns of that moment. Malformed records are left to next(), which knows
     * their place. 64 readable bytes follow `data`. NULL: the columns of such a table are known
     * from its head. */
    int (*learn)(struct ce_text_table *table, const char *data, size_t size, struct ce_error *err);

    /* The record with its cells in another order, some left out, some added, others renamed,
     * appended to `out` with its line end. `header`: it is the header. Cells beyond the table's
     * columns follow as they are. Values are those of record->cells, which may point elsewhere than
     * into the record; JSON lines: where `raw` is NULL, the member is left out with its key. A
     * record with a cell that was set to CE_SPELL_ABSENT is written this way, with all columns in
     * their order. */
    int (*lay_out)(const struct ce_text_table *table, const struct ce_text_record *record,
                   bool header, const struct ce_layout_cell *cells, size_t count,
                   struct ce_buffer *out, struct ce_error *err);
};

extern const struct ce_text_format ce_csv_format, ce_jsonl_format;

/* What ce_cell_set_missing() takes in JSON lines for a record without that key. CSV refuses it:
 * there every record has every cell. */
#define CE_SPELL_ABSENT "absent"

/* A row of a chunk at work. The form's writers append the new spelling to `made` and remember
 * where. */
struct ce_text_row {
    struct ce_row row; /* first */
    const struct ce_text_table *table;
    const struct ce_profile *profile;
    struct ce_text_record *record;
    struct ce_buffer *made;    /* bytes of cells that were set */
    struct ce_buffer *scratch; /* what ce_cell_text() had to decode */
    /* For each cell that was set: where its bytes lie in `made`; the engine clears it for each
     * record. */
    struct ce_made_cell {
        size_t column, at, size;
        uint32_t step; /* what the row's `step` was when it was set last */
        bool quoted;
        bool again;     /* it was set more than once, so it may be what it was at first */
        bool leave_out; /* JSON lines: the cell is gone, and its key with it; see lay_out() */
    } * cells;
    size_t count, capacity;
    uint64_t marks;  /* bit n: a column that is n modulo 64 may be in cells[] */
    uint32_t step;   /* who is at work; the engine says so */
    bool leaves_out; /* a cell has leave_out */
    /* Where cells[] has a column, if it has it at all: what it says is looked up there. NULL:
     * cells[] is searched. */
    uint32_t *slots;
    size_t slot_count;
};
/* The cell as it was set, or NULL. */
static inline struct ce_made_cell *ce_text_row_made(const struct ce_text_row *row, size_t column)
{
    if (row->count == 0 || !(row->marks >> column % 64 & 1))
        return NULL;
    if (column < row->slot_count) {
        uint32_t slot = row->slots[column];
        return slot < row->count && row->cells[slot].column == column ? &row->cells[slot] : NULL;
    }
    for (size_t i = 0; i < row->count; i++)
        if (row->cells[i].column == column)
            return &row->cells[i];
    return NULL;
}
/* Notes that the column's cell now reads as the last `size` bytes of row->made. A second time
 * replaces the first. NULL, or "out of memory". */
const char *ce_text_row_set(struct ce_text_row *row, size_t column, size_t size, bool quoted);

#endif
