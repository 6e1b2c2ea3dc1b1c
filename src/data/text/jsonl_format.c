/* SPDX-License-Identifier: MIT */
/* JSON lines as the text engine sees them: one object on each line, whose top-level keys are the
 * columns, in the order in which the file first mentions them.
 *
 * Lines end with LF or CRLF, the last one may lack its end; lines of blanks alone are no records. A
 * key that an object repeats counts where it comes last, as for other readers. A value is a cell as
 * it stands in the file, strings with their quotes; a key that an object lacks is a cell that the
 * record has not. Bytes that are no UTF-8 pass. */
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "data/text/jsonl_cell.h"
#include "data/text/jsonl_layout.h"
#include "data/text/jsonl_names.h"
#include "data/text/jsonl_scan.h"

/* ---- what is wrong ---- */

static int fail_line(const struct ce_text_table *table, uint64_t line, const char *text,
                     const struct ce_json_fault *fault, struct ce_error *err)
{
    char where[sizeof err->where], found[32];
    snprintf(where, sizeof where, "%.130s:%" PRIu64, table->path, line);
    unsigned char c = (unsigned char)*fault->at;
    if (c == '\n')
        snprintf(found, sizeof found, "the end of the line");
    else if (c > ' ' && c < 0x7f)
        snprintf(found, sizeof found, "'%c'", c);
    else
        snprintf(found, sizeof found, "the byte 0x%02x", c);
    if (!fault->want)
        return ce_fail_at(err, where, EINVAL,
                          "a line must hold one JSON object, such as {\"x\": 1}; this one starts "
                          "with %s",
                          found);
    return ce_fail_at(err, where, EINVAL, "%s was expected at byte %zu, not %s%s", fault->want,
                      (size_t)(fault->at - text) + 1, found,
                      c == '\n' ? "; each object must be whole on a line of its own" : "");
}

/* ---- lines ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Passes over lines of blanks, counts them, and returns the start of one that is none, or `end`. */
static const char *skip_blank_lines(const char *at, const char *end, uint64_t *lines)
{
    for (const char *p = at; p < end; p++) {
        if (*p == '\n') {
            ++*lines;
            at = p + 1;
        } else if (!is_blank(*p)) {
            return at;
        }
    }
    return end;
}

/* A walk over the object of one line, behind which a line feed lies. */
struct line_walk {
    const struct ce_text_table *table;
    struct ce_json_walk walk;
    size_t likely; /* the column that comes next where objects have their keys in the same order */
};

static int line_walk_start(struct line_walk *w, const struct ce_text_table *table, const char *line)
{
    const char *at = ce_json_blanks(line);
    *w = (struct line_walk){.table = table, .walk = ce_json_walk_start(at)};
    w->walk.fault.at = at;
    return *at == '{' ? 0 : -EINVAL;
}

/* The next member and its column, -1 when the table lacks it: 1; 0: the line is over; -EINVAL: its
 * walk has the fault; -ENOMEM. */
static int line_walk_next(struct line_walk *w, struct ce_json_member *ret_member, int *ret_column)
{
    size_t hint_size = 0;
    const char *hint = ce_jsonl_names_hint(w->table, w->likely, &hint_size);
    int r = ce_json_walk_next(&w->walk, hint, hint_size, ret_member);
    if (r < 0)
        return -EINVAL;
    if (r == 0) {
        const char *end = ce_json_blanks(w->walk.at);
        w->walk.fault = (struct ce_json_fault){end, "the end of the line"};
        return *end == '\n' ? 0 : -EINVAL;
    }
    int column = (int)w->likely;
    if (!ret_member->hinted)
        column = ce_jsonl_names_find(w->table, ret_member->key + 1, ret_member->key_size - 2);
    if (column < -1)
        return column;
    if (column >= 0)
        w->likely = (size_t)column + 1;
    *ret_column = column;
    return 1;
}

/* A copy of a line that lacks its end, with one. NULL: no memory. */
static char *complete_line(const char *line, size_t size)
{
    char *copy = calloc(1, size + 1 + CE_JSON_SPARE);
    if (copy) {
        memcpy(copy, line, size);
        copy[size] = '\n';
    }
    return copy;
}

/* ---- columns ---- */

/* Adds the keys of the records to the table. With `line`, the number of the first one, a malformed
 * record is an error; 0: the rest is left alone. A line feed ends the bytes. */
static int learn_lines(struct ce_text_table *table, const char *data, size_t size, uint64_t line,
                       struct ce_error *err)
{
    const char *end = data + size;
    uint64_t lines = line;
    for (const char *at = data; (at = skip_blank_lines(at, end, &lines)) < end; lines++) {
        struct line_walk w;
        struct ce_json_member member;
        int column, r = line_walk_start(&w, table, at);
        while (r == 0 && (r = line_walk_next(&w, &member, &column)) > 0) {
            r = column < 0 ? ce_jsonl_names_add(table, member.key + 1, member.key_size - 2, err)
                           : 0;
            if (r < 0)
                return r;
        }
        if (r == -ENOMEM)
            return ce_fail_memory(err);
        if (r < 0)
            return line == 0 ? 0 : fail_line(table, lines, at, &w.walk.fault, err);
        at = w.walk.fault.at + 1;
    }
    return 0;
}

static size_t bom_size(const char *data, size_t size)
{
    return size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

static int jsonl_learn(struct ce_text_table *table, const char *data, size_t size,
                       struct ce_error *err)
{
    size_t head = bom_size(data, size);
    data += head;
    size -= head;
    const char *last = memrchr(data, '\n', size);
    size_t whole = last ? (size_t)(last + 1 - data) : 0;
    CE_TRY(learn_lines(table, data, whole, 0, err));
    if (whole == size)
        return 0;
    ce_autofree char *rest = complete_line(data + whole, size - whole);
    return rest ? learn_lines(table, rest, size - whole + 1, 0, err) : ce_fail_memory(err);
}

static int jsonl_open(struct ce_text_table *table, const char *data, size_t size, bool last,
                      struct ce_error *err)
{
    if (size >= 2 && (memcmp(data, "\xff\xfe", 2) == 0 || memcmp(data, "\xfe\xff", 2) == 0))
        return ce_fail_at(err, table->path, EINVAL,
                          "this is UTF-16; JSON lines must be UTF-8 text");
    size_t head = bom_size(data, size);
    const char *end = last ? data + size : memrchr(data, '\n', size);
    uint64_t blank = 0;
    if (!end || (!last && skip_blank_lines(data + head, end, &blank) == end))
        return -EAGAIN;
    size_t used = (size_t)(end - data) - head;
    ce_autofree char *lines = complete_line(data + head, used);
    if (!lines)
        return ce_fail_memory(err);
    CE_TRY(ce_jsonl_names_make(table, err));
    table->head_size = head;
    return learn_lines(table, lines, used + 1, 1, err);
}

/* ---- records ---- */

static int64_t jsonl_split(const struct ce_text_table *table, const char *data, size_t size,
                           bool last, uint64_t line, uint64_t *ret_records, uint64_t *ret_lines,
                           struct ce_error *err)
{
    const char *at = data, *end = data + size;
    uint64_t records = 0, lines = 0, ahead = 0;
    for (const char *p = data; (p = skip_blank_lines(p, end, &ahead)) < end;) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        if (!lf && !last)
            break;
        at = p = lf ? lf + 1 : end;
        ahead += lf != NULL;
        lines = ahead;
        records++;
    }
    *ret_records = records;
    *ret_lines = last ? ahead : lines;
    return last ? (int64_t)size : at - data;
}

static int reserve_cells(struct ce_text_scan *scan, struct ce_error *err)
{
    size_t count = scan->table->column_count;
    if (count > scan->cell_capacity) {
        struct ce_text_cell *larger = realloc(scan->cells, count * sizeof *larger);
        if (!larger)
            return ce_fail_memory(err);
        scan->cells = larger;
        scan->cell_capacity = count;
    }
    if (count > 0)
        memset(scan->cells, 0, count * sizeof *scan->cells);
    return 0;
}

/* Finds the cells of a line that a line feed ends; `line` is where it lies in the file's bytes,
 * `text` where it can be read. *ret_end: behind the line feed, in `text`. */
static int scan_line(struct ce_text_scan *scan, const char *line, const char *text,
                     const char **ret_end, struct ce_error *err)
{
    struct line_walk w;
    struct ce_json_member member;
    int column, r = line_walk_start(&w, scan->table, text);
    while (r == 0 && (r = line_walk_next(&w, &member, &column)) > 0) {
        r = 0;
        scan->unknown += column < 0;
        if (column < 0)
            continue;
        scan->cells[column] = (struct ce_text_cell){
            .raw = line + (member.value - text),
            .raw_size = member.value_size,
            .quoted = *member.value == '"',
        };
    }
    if (r == -ENOMEM)
        return ce_fail_memory(err);
    if (r < 0)
        return fail_line(scan->table, scan->line, text, &w.walk.fault, err);
    *ret_end = w.walk.fault.at + 1;
    return 0;
}

/* The last line of a file may lack its end. *ret_size: of the line, its end included. */
static int scan_any_line(struct ce_text_scan *scan, const char *line, size_t *ret_size,
                         struct ce_error *err)
{
    const char *end;
    size_t left = (size_t)(scan->end - line);
    if (scan->end[-1] == '\n' || memchr(line, '\n', left)) {
        CE_TRY(scan_line(scan, line, line, &end, err));
        *ret_size = (size_t)(end - line);
        return 0;
    }
    ce_autofree char *copy = complete_line(line, left);
    if (!copy)
        return ce_fail_memory(err);
    *ret_size = left;
    return scan_line(scan, line, copy, &end, err);
}

static int jsonl_next(struct ce_text_scan *scan, struct ce_text_record *ret_record,
                      struct ce_error *err)
{
    const char *before = scan->at;
    const char *line = skip_blank_lines(before, scan->end, &scan->line);
    struct ce_text_record record = {
        .row = scan->row,
        .line = scan->line,
        .before = before,
        .before_size = (size_t)(line - before),
        .bytes = line,
    };
    if (line < scan->end) {
        CE_TRY(reserve_cells(scan, err));
        CE_TRY(scan_any_line(scan, line, &record.size, err));
        record.cells = scan->cells;
        record.cell_count = scan->table->column_count;
        const char *end = line + record.size;
        if (end[-1] == '\n')
            record.end_size = record.size > 1 && end[-2] == '\r' ? 2 : 1;
        scan->line++;
        scan->row++;
    }
    scan->at = line + record.size;
    *ret_record = record;
    return record.size > 0;
}

const struct ce_text_format ce_jsonl_format = {
    .name = "jsonl",
    .form = &ce_jsonl_row_form,
    .open = jsonl_open,
    .split = jsonl_split,
    .next = jsonl_next,
    .learn = jsonl_learn,
    .lay_out = ce_jsonl_lay_out,
};
