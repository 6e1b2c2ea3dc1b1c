/* SPDX-License-Identifier: MIT */
/* An answer key as a table, for people and for programs that know nothing of keys: one line for
 * each change, with fault, row, column, what kind of change, the old value and, if the changed file
 * is at hand, the new one. */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "data/arrow/arrow.h"
#include "data/csv.h"
#include "data/data.h"
#include "data/parquet/parquet.h"
#include "data/text/buffer.h"

CE_DEFINE_CLEANUP(struct ce_key, ce_key_close);

struct export
{
    struct ce_key *key;
    struct ce_input *changed; /* NULL: new values are not asked for */
    struct ce_sha256 *sha;    /* of what was read of it */
    struct ce_output *to;
    bool jsonl, csv_cells; /* of the table written; of the file that was changed */
    bool typed;            /* the key is that of a typed table */
    struct ce_arrow_key_text *typed_text;
    struct ce_buffer old, new, line, value;
};

static void export_done(struct export *export)
{
    ce_key_close(export->key);
    ce_input_close(export->changed);
    ce_sha256_free(export->sha);
    ce_arrow_key_text_free(export->typed_text);
    ce_output_free(export->to);
    ce_buffer_done(&export->old);
    ce_buffer_done(&export->new);
    ce_buffer_done(&export->line);
    ce_buffer_done(&export->value);
}

/* ---- reading ---- */

static int read_old(struct export *export, uint64_t size, struct ce_error *err)
{
    export->old.size = 0;
    char *room = ce_buffer_room(&export->old, (size_t)size + 1);
    if (!room)
        return ce_fail_memory(err);
    while (export->old.size < size) {
        ssize_t n =
            ce_key_old(export->key, room + export->old.size, (size_t)size - export->old.size, err);
        if (n <= 0)
            return n < 0 ? (int)n : ce_fail(err, EINVAL, "the answer key is damaged");
        export->old.size += (size_t)n;
    }
    return 0;
}

/* The next bytes of the changed file, kept or passed over. */
static int read_changed(struct export *export, uint64_t size, bool keep, struct ce_error *err)
{
    char passed[64 * 1024];
    export->new.size = 0;
    while (size > 0) {
        size_t want = keep || size < sizeof passed ? (size_t)size : sizeof passed;
        char *room = keep ? ce_buffer_room(&export->new, want) : passed;
        if (!room)
            return ce_fail_memory(err);
        ssize_t n = ce_input_read(export->changed, room, want, err);
        if (n <= 0)
            return n < 0
                       ? (int)n
                       : ce_fail(err, EINVAL, "the answer key's changes do not fit into the file");
        ce_sha256_add(export->sha, room, (size_t)n);
        export->new.size += keep ? (size_t)n : 0;
        size -= (uint64_t)n;
    }
    return 0;
}

/* ---- writing ---- */

/* The value in a cell's bytes, in export->value. */
static int decode(struct export *export, const struct ce_buffer *raw, bool is_cell,
                  struct ce_error *err)
{
    export->value.size = 0;
    char *room = ce_buffer_room(&export->value, raw->size + 1);
    if (!room)
        return ce_fail_memory(err);
    if (export->csv_cells && is_cell) {
        struct ce_text_cell cell = {.raw = raw->data ? raw->data : "",
                                    .raw_size = raw->size,
                                    .quoted = raw->size > 0 && raw->data[0] == '"'};
        export->value.size = ce_csv_value(&cell, room, raw->size + 1);
        return 0;
    }
    return ce_buffer_put(&export->value, raw->data, raw->size) ? 0 : ce_fail_memory(err);
}

/* The old value of a typed cell, in export->value. Rows are held in a form of the key's own. */
static int decode_typed(struct export *export, const struct ce_key_change *change,
                        struct ce_error *err)
{
    const char *text = NULL;
    size_t size = 0;
    export->value.size = 0;
    if (change->what >= CE_KEY_CELL)
        CE_TRY(ce_arrow_key_text_cell(export->typed_text, (size_t)(change->what - CE_KEY_CELL),
                                      export->old.data, export->old.size, &text, &size, err));
    return !text || ce_buffer_put(&export->value, text, size) ? 0 : ce_fail_memory(err);
}

static bool put_csv(struct ce_buffer *line, const char *text, size_t size)
{
    bool good = ce_buffer_put(line, "\"", 1);
    for (size_t i = 0; i < size && good; i++)
        good = ce_buffer_put(line, text[i] == '"' ? "\"\"" : text + i, text[i] == '"' ? 2 : 1);
    return good && ce_buffer_put(line, "\"", 1);
}

static bool put_json(struct ce_buffer *line, const char *text, size_t size)
{
    ce_autojson json_t *string = json_stringn(text, size);
    if (!string)
        string = json_string("(not UTF-8)");
    ce_autofree char *spelled = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    return spelled && ce_buffer_put(line, spelled, strlen(spelled));
}

static bool put_field(struct export *export, const char *name, const char *text, size_t size)
{
    bool first = export->line.size == 0;
    if (!export->jsonl)
        return (first || ce_buffer_put(&export->line, ",", 1)) &&
               put_csv(&export->line, text, size);
    return ce_buffer_put(&export->line, first ? "{" : ", ", first ? 1 : 2) &&
           put_json(&export->line, name, strlen(name)) && ce_buffer_put(&export->line, ": ", 2) &&
           put_json(&export->line, text, size);
}

static int end_line(struct export *export, bool good, struct ce_error *err)
{
    if (!good || (export->jsonl && !ce_buffer_put(&export->line, "}", 1)) ||
        !ce_buffer_put(&export->line, "\n", 1))
        return ce_fail_memory(err);
    CE_TRY(ce_output_put(export->to, export->line.data, export->line.size, err));
    export->line.size = 0;
    return 0;
}

static const char *fault_name(const struct ce_key *key, uint64_t fault)
{
    const json_t *faults = json_object_get(ce_key_header(key), "faults");
    const char *name =
        json_string_value(json_object_get(json_array_get(faults, (size_t)fault), "fault"));
    return name ? name : "";
}

/* A name that is no UTF-8 is not in the key: then it is the column's position, as --columns takes
 * it. */
static bool put_column(struct export *export, uint64_t what)
{
    const json_t *columns = json_object_get(ce_key_header(export->key), "columns");
    size_t column = what >= CE_KEY_CELL ? (size_t)(what - CE_KEY_CELL) : json_array_size(columns);
    const char *name = json_string_value(json_array_get(columns, column));
    char position[24] = "";
    if (!name && column < json_array_size(columns))
        snprintf(position, sizeof position, "#%zu", column + 1);
    name = name ? name : position;
    return put_field(export, "column", name, strlen(name));
}

static int put_change(struct export *export, const struct ce_key_change *change, uint64_t row,
                      struct ce_error *err)
{
    static const char *const kinds[] = {"row added", "row removed", "layout", "cell"};
    char number[24];
    bool is_cell = change->what >= CE_KEY_CELL;
    const char *kind = kinds[is_cell ? CE_KEY_CELL : change->what];
    const char *fault = fault_name(export->key, change->fault);
    snprintf(number, sizeof number, "%" PRIu64, row);
    bool good = put_field(export, "fault", fault, strlen(fault)) &&
                put_field(export, "row", number, strlen(number)) &&
                put_column(export, change->what) && put_field(export, "change", kind, strlen(kind));
    CE_TRY(export->typed ? decode_typed(export, change, err)
                         : decode(export, &export->old, is_cell, err));
    good = good && put_field(export, "old", export->value.data, export->value.size);
    if (export->changed) {
        CE_TRY(decode(export, &export->new, is_cell, err));
        good = good && put_field(export, "new", export->value.data, export->value.size);
    }
    return end_line(export, good, err);
}

static int put_head(struct export *export, struct ce_error *err)
{
    static const char head[] = "fault,row,column,change,old";
    if (export->jsonl)
        return 0;
    CE_TRY(ce_output_put(export->to, head, strlen(head), err));
    return ce_output_put(export->to, export->changed ? ",new\n" : "\n", export->changed ? 5 : 1,
                         err);
}

static int put_changes(struct export *export, struct ce_error *err)
{
    struct ce_key_change change;
    uint64_t row = 0;
    int got;
    while ((got = ce_key_next(export->key, &change, err)) > 0) {
        row += change.row_step;
        CE_TRY(read_old(export, change.old_size, err));
        if (export->changed) {
            CE_TRY(read_changed(export, change.gap, false, err));
            CE_TRY(read_changed(export, change.new_size, true, err));
        }
        if (!export->typed || change.what != CE_KEY_LAYOUT)
            CE_TRY(put_change(export, &change, row, err));
        else if (!export->typed_text) /* the schema comes first */
            CE_TRY(ce_arrow_key_text_new(export->old.data, export->old.size, &export->typed_text,
                                         err));
    }
    return got;
}

/* ---- all of it ---- */

static bool ends_with(const char *text, const char *ending)
{
    size_t size = strlen(text), tail = strlen(ending);
    return size >= tail && strcmp(text + size - tail, ending) == 0;
}

/* What follows the last change belongs to the file's hash as well. */
static int require_same(struct export *export, const char *key, const char *changed,
                        struct ce_error *err)
{
    char rest[64 * 1024], found[CE_SHA256_HEX];
    ssize_t n;
    while ((n = ce_input_read(export->changed, rest, sizeof rest, err)) > 0)
        ce_sha256_add(export->sha, rest, (size_t)n);
    if (n < 0)
        return (int)n;
    ce_sha256_end(ce_take(export->sha), found);
    return strcmp(found, ce_key_hash(export->key, "sha256_out")) == 0
               ? 0
               : ce_fail(err, EINVAL, "'%s' is not the file that the answer key '%s' was made for",
                         changed, key);
}

static int open_key(struct export *export, const char *key, const char *changed,
                    struct ce_error *err)
{
    CE_TRY(ce_key_open(key, &export->key, err));
    const json_t *header = ce_key_header(export->key);
    const char *kind = json_string_value(json_object_get(header, "kind"));
    const char *format = json_string_value(json_object_get(header, "format"));
    export->typed = kind && strcmp(kind, "table") == 0;
    export->csv_cells = format && strcmp(format, "csv") == 0;
    if (!changed)
        return 0;
    if (export->typed)
        return ce_fail(err, ENOTSUP,
                       "new values are listed for text formats only; '%s' is no key "
                       "of such a file",
                       key);
    CE_TRY(ce_input_open(changed, &export->changed, err));
    export->sha = ce_sha256_new();
    return export->sha ? 0 : ce_fail_memory(err);
}

static int export_rows(const char *key, const char *changed, const char *to, bool jsonl,
                       struct ce_error *err)
{
    CE_CLEANUP(export_done) struct export export = {.jsonl = jsonl};
    CE_TRY(open_key(&export, key, changed, err));
    CE_TRY(ce_output_open(to, 0600, ce_packing_of_name(to), &export.to, err));
    CE_TRY(put_head(&export, err));
    CE_TRY(put_changes(&export, err));
    if (changed)
        CE_TRY(require_same(&export, key, changed, err));
    CE_TRY(ce_output_sync(export.to, err));
    return ce_output_publish(export.to, err);
}

int ce_data_key_export_file(const char *key, const char *changed, const char *to,
                            struct ce_error *err)
{
    static const struct ce_parquet_cast row_number = {"row", "BIGINT"};
    if (ends_with(to, ".jsonl") || ends_with(to, ".csv") || strcmp(to, "-") == 0)
        return export_rows(key, changed, to, ends_with(to, ".jsonl"), err);
    if (!ends_with(to, ".parquet"))
        return ce_fail(err, EINVAL, "'%s' ends neither in .csv nor in .jsonl nor in .parquet", to);
    ce_autofree char *rows = ce_format("%s.chaoseater-rows", to);
    if (!rows)
        return ce_fail_memory(err);
    int r = export_rows(key, changed, rows, false, err);
    if (r == 0)
        r = ce_parquet_from_csv(rows, &row_number, 1, to, err);
    (void)unlink(rows);
    return r;
}
