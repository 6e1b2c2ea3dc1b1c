/* SPDX-License-Identifier: MIT */
/* The form of a Parquet file: its columns' types, its compression and row groups, and the metadata
 * that programs have put beside the values.
 *
 * What cannot be kept is told in `lost`: encodings and page indexes are not listed, since no value
 * depends on them. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/parquet/parquet_internal.h"

void ce_sql_text(FILE *sql, const char *text)
{
    fputc('\'', sql);
    for (; *text; text++)
        fprintf(sql, *text == '\'' ? "''" : "%c", *text);
    fputc('\'', sql);
}

void ce_sql_name(FILE *sql, const char *name)
{
    fputc('"', sql);
    for (; *name; name++)
        fprintf(sql, *name == '"' ? "\"\"" : "%c", *name);
    fputc('"', sql);
}

void ce_parquet_form_done(struct ce_parquet_form *form)
{
    for (size_t i = 0; i < form->column_count; i++) {
        free(form->columns[i].name);
        free(form->columns[i].type);
        free(form->columns[i].format);
    }
    for (size_t i = 0; i < form->note_count; i++) {
        free(form->notes[i].key);
        free(form->notes[i].value);
    }
    free(form->columns);
    free(form->notes);
    free(form->codec);
    free(form->lost);
    *form = (struct ce_parquet_form){0};
}

static struct ce_parquet_column *form_add_column(struct ce_parquet_form *form)
{
    struct ce_parquet_column *larger =
        reallocarray(form->columns, form->column_count + 1, sizeof *larger);
    if (!larger)
        return NULL;
    form->columns = larger;
    larger[form->column_count] = (struct ce_parquet_column){0};
    return &larger[form->column_count++];
}

static struct ce_parquet_note *form_add_note(struct ce_parquet_form *form)
{
    struct ce_parquet_note *larger =
        reallocarray(form->notes, form->note_count + 1, sizeof *larger);
    if (!larger)
        return NULL;
    form->notes = larger;
    larger[form->note_count] = (struct ce_parquet_note){0};
    return &larger[form->note_count++];
}

/* ---- from a file ---- */

struct reading {
    struct ce_parquet_form *form;
    const char *name;
    FILE *lost;
    size_t column;    /* of the schema's next one */
    uint64_t to_pass; /* nodes of the schema that belong to the column before it */
    bool seen_root;
};

static char *cell_copy(const struct duckdb_string *cell)
{
    return cell ? strndup(ce_duckdb_bytes(cell), cell->size) : strdup("");
}

static bool cell_is(const struct duckdb_string *cell, const char *text)
{
    return cell && cell->size == strlen(text) &&
           memcmp(ce_duckdb_bytes(cell), text, cell->size) == 0;
}

static uint64_t cell_number(const struct duckdb_string *cell)
{
    ce_autofree char *text = cell_copy(cell);
    return text ? strtoull(text, NULL, 10) : 0;
}

static int column_row(void *ctx, const struct duckdb_string *const *cells, struct ce_error *err)
{
    struct reading *reading = ctx;
    struct ce_parquet_column *column = form_add_column(reading->form);
    if (!column)
        return ce_fail_memory(err);
    column->name = cell_copy(cells[0]);
    column->type = cell_copy(cells[1]);
    if (!column->name || !column->type)
        return ce_fail_memory(err);
    column->uuid = strcmp(column->type, "UUID") == 0;
    return 0;
}

/* What DuckDB's type of a column does not say. */
static int column_refine(struct ce_parquet_column *column, bool milliseconds, struct ce_error *err)
{
    const char *exact = NULL;
    if (milliseconds && strcmp(column->type, "TIMESTAMP") == 0)
        exact = "TIMESTAMP_MS";
    else if (strcmp(column->type, "JSON") == 0)
        exact = "VARCHAR"; /* a cell that a fault has hit may be none */
    if (!exact)
        return 0;
    free(column->type);
    column->type = strdup(exact);
    return column->type ? 0 : ce_fail_memory(err);
}

/* The nodes of the schema, depth first. */
#define SCHEMA_SQL                                                                                 \
    "SELECT name, CAST(num_children AS VARCHAR), converted_type, "                                 \
    "CASE WHEN precision > 38 THEN 'x' END, nullif(concat_ws(', ', "                               \
    "CASE WHEN type = 'INT96' THEN 'INT96 becomes microseconds' "                                  \
    "WHEN contains(logical_type, 'isAdjustedToUTC=1') AND contains(logical_type, '=NanoSeconds') " \
    "THEN 'nanoseconds with a time zone become microseconds' "                                     \
    "WHEN contains(logical_type, '=MilliSeconds') AND (logical_type LIKE 'Time%%Type(%%=1%%' "     \
    "OR logical_type LIKE 'TimeType%%') THEN 'milliseconds are written as microseconds' "          \
    "WHEN logical_type = 'NullType()' THEN 'the type of no values becomes integer' "               \
    "WHEN logical_type = 'Float16Type()' THEN 'half precision becomes single precision' "          \
    "WHEN logical_type = 'JsonType()' OR converted_type = 'JSON' THEN 'JSON becomes text' "        \
    "WHEN type = 'FIXED_LEN_BYTE_ARRAY' AND logical_type IS NULL AND converted_type IS NULL "      \
    "THEN 'fixed length becomes variable length' END, "                                            \
    "CASE WHEN repetition_type = 'REQUIRED' AND name <> 'key' THEN 'required becomes optional' "   \
    "END, CASE WHEN field_id IS NOT NULL THEN 'its field id is gone' END), '') "                   \
    "FROM parquet_schema('%s')"

static int schema_row(void *ctx, const struct duckdb_string *const *cells, struct ce_error *err)
{
    struct reading *reading = ctx;
    struct ce_parquet_form *form = reading->form;
    if (!reading->seen_root) {
        reading->seen_root = true;
        return 0;
    }
    const struct duckdb_string *name = cells[0];
    if (cells[3])
        return ce_fail_at(err, reading->name, ENOTSUP,
                          "column '%.*s' is a decimal of more than 38 digits, which DuckDB would "
                          "round",
                          (int)name->size, ce_duckdb_bytes(name));
    if (cells[4])
        fprintf(reading->lost, "%s%.*s: %.*s", ftell(reading->lost) > 0 ? "; " : "",
                (int)name->size, ce_duckdb_bytes(name), (int)cells[4]->size,
                ce_duckdb_bytes(cells[4]));
    if (reading->to_pass > 0) {
        reading->to_pass += cell_number(cells[1]) - 1;
        return 0;
    }
    reading->to_pass = cell_number(cells[1]);
    struct ce_parquet_column *column =
        reading->column < form->column_count ? &form->columns[reading->column] : NULL;
    reading->column++;
    if (!column || !cell_is(name, column->name))
        return ce_fail_at(err, reading->name, ENOTSUP,
                          "column '%.*s' has the name of another one, but for upper and lower case",
                          (int)name->size, ce_duckdb_bytes(name));
    return column_refine(column, cell_is(cells[2], "TIMESTAMP_MILLIS"), err);
}

static int group_row(void *ctx, const struct duckdb_string *const *cells, struct ce_error *err)
{
    struct ce_parquet_form *form = ((struct reading *)ctx)->form;
    form->codec = cells[0] ? cell_copy(cells[0]) : strdup("SNAPPY");
    if (!form->codec)
        return ce_fail_memory(err);
    uint64_t rows = cell_number(cells[1]), bytes = cell_number(cells[2]);
    if (bytes > CE_PARQUET_GROUP_BYTES)
        rows = (uint64_t)((double)rows * CE_PARQUET_GROUP_BYTES / (double)bytes);
    form->row_group_rows = rows > CE_DUCKDB_VECTOR_SIZE ? rows : CE_DUCKDB_VECTOR_SIZE;
    form->rows = cell_number(cells[3]);
    return 0;
}

static int note_row(void *ctx, const struct duckdb_string *const *cells, struct ce_error *err)
{
    struct ce_parquet_note *note = form_add_note(((struct reading *)ctx)->form);
    if (!note)
        return ce_fail_memory(err);
    note->key = cell_copy(cells[0]);
    note->value_size = cells[1] ? cells[1]->size : 0;
    note->value = malloc(note->value_size + 1);
    if (!note->key || !note->value)
        return ce_fail_memory(err);
    if (cells[1])
        memcpy(note->value, ce_duckdb_bytes(cells[1]), note->value_size);
    note->value[note->value_size] = '\0';
    return 0;
}

int ce_parquet_form_read(struct ce_duckdb *duck, struct duckdb_connection *connection,
                         const char *file, const char *name, struct ce_parquet_form *ret_form,
                         struct ce_error *err)
{
    static const struct {
        const char *sql;
        ce_duckdb_row row;
    } steps[] = {
        {"SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet('%s'))", column_row},
        {SCHEMA_SQL, schema_row},
        {"WITH groups AS (SELECT any_value(row_group_num_rows) AS n, "
         "sum(total_uncompressed_size) AS bytes, mode(compression) AS codec "
         "FROM parquet_metadata('%s') GROUP BY row_group_id) "
         "SELECT mode(codec), CAST(max(n) AS VARCHAR), CAST(CAST(max(bytes) AS HUGEINT) AS "
         "VARCHAR), "
         "CAST(CAST(sum(n) AS HUGEINT) AS VARCHAR) FROM groups",
         group_row},
        {"SELECT key, value FROM parquet_kv_metadata('%s')", note_row},
    };
    struct ce_parquet_form form = {0};
    struct reading reading = {.form = &form, .name = name};
    ce_autofree char *lost = NULL;
    size_t lost_size;
    reading.lost = open_memstream(&lost, &lost_size);
    int r = reading.lost ? 0 : ce_fail_memory(err);
    for (size_t i = 0; i < CE_COUNT(steps) && r == 0; i++) {
        ce_autofree char *sql = ce_format(steps[i].sql, file);
        r = sql ? ce_duckdb_run(duck, connection, sql, steps[i].row, &reading, err)
                : ce_fail_memory(err);
    }
    if (reading.lost && fclose(reading.lost) != 0 && r == 0)
        r = ce_fail_memory(err);
    if (r < 0) {
        ce_parquet_form_done(&form);
        return r;
    }
    if (lost_size > 0)
        form.lost = ce_take(lost);
    *ret_form = form;
    return 0;
}

/* ---- to and from the answer key ---- */

/* Bytes as JSON: text, or {"hex": "..."} when they are no UTF-8. */
static json_t *bytes_json(const char *bytes, size_t size)
{
    json_t *text = json_stringn(bytes, size);
    if (text)
        return text;
    ce_autofree char *hex = malloc(2 * size + 1);
    if (!hex)
        return NULL;
    for (size_t i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
    return json_pack("{s:s}", "hex", hex);
}

static char *bytes_load(const json_t *json, size_t *ret_size)
{
    const char *hex = json_string_value(json_object_get(json, "hex"));
    size_t size = hex ? strlen(hex) / 2 : json_string_length(json);
    char *bytes = malloc(size + 1);
    if (!bytes)
        return NULL;
    if (!hex && size > 0)
        memcpy(bytes, json_string_value(json), size);
    for (size_t i = 0; hex && i < size; i++)
        bytes[i] = (char)strtoul((const char[]){hex[2 * i], hex[2 * i + 1], '\0'}, NULL, 16);
    bytes[size] = '\0';
    *ret_size = size;
    return bytes;
}

json_t *ce_parquet_form_json(const struct ce_parquet_form *form)
{
    ce_autojson json_t *columns = json_array(), *notes = json_array();
    for (size_t i = 0; i < form->column_count; i++) {
        const struct ce_parquet_column *c = &form->columns[i];
        if (json_array_append_new(columns,
                                  json_pack("{s:s, s:s, s:s*, s:b}", "name", c->name, "type",
                                            c->type, "format", c->format, "uuid", c->uuid)) < 0)
            return NULL;
    }
    for (size_t i = 0; i < form->note_count; i++) {
        const struct ce_parquet_note *n = &form->notes[i];
        if (json_array_append_new(notes,
                                  json_pack("{s:o, s:o}", "key", bytes_json(n->key, strlen(n->key)),
                                            "value", bytes_json(n->value, n->value_size))) < 0)
            return NULL;
    }
    return json_pack("{s:s, s:I, s:I, s:O, s:O, s:s*}", "compression", form->codec,
                     "row_group_rows", (json_int_t)form->row_group_rows, "rows",
                     (json_int_t)form->rows, "columns", columns, "metadata", notes, "lost",
                     form->lost);
}

static bool form_load_columns(struct ce_parquet_form *form, const json_t *columns)
{
    size_t i;
    json_t *json;
    json_array_foreach(columns, i, json)
    {
        const char *name, *type, *format = NULL;
        int uuid;
        if (json_unpack(json, "{s:s, s:s, s?s, s:b}", "name", &name, "type", &type, "format",
                        &format, "uuid", &uuid) < 0)
            return false;
        struct ce_parquet_column *column = form_add_column(form);
        if (!column)
            return false;
        *column = (struct ce_parquet_column){
            .name = strdup(name),
            .type = strdup(type),
            .uuid = uuid,
            .format = format ? strdup(format) : NULL,
        };
        if (!column->name || !column->type)
            return false;
    }
    return true;
}

static bool form_load_notes(struct ce_parquet_form *form, const json_t *notes)
{
    size_t i;
    json_t *json;
    json_array_foreach(notes, i, json)
    {
        struct ce_parquet_note *note = form_add_note(form);
        if (!note)
            return false;
        size_t key_size;
        note->key = bytes_load(json_object_get(json, "key"), &key_size);
        note->value = bytes_load(json_object_get(json, "value"), &note->value_size);
        if (!note->key || !note->value)
            return false;
    }
    return true;
}

int ce_parquet_form_load(const json_t *json, struct ce_parquet_form *ret_form, struct ce_error *err)
{
    struct ce_parquet_form form = {0};
    const char *codec;
    json_int_t group_rows, rows;
    json_t *columns, *notes;
    bool whole = json_unpack((json_t *)json, "{s:s, s:I, s:I, s:o, s:o}", "compression", &codec,
                             "row_group_rows", &group_rows, "rows", &rows, "columns", &columns,
                             "metadata", &notes) == 0 &&
                 group_rows > 0;
    if (whole) {
        form.codec = strdup(codec);
        form.row_group_rows = (uint64_t)group_rows;
        form.rows = (uint64_t)rows;
        whole = form.codec && form_load_columns(&form, columns) && form_load_notes(&form, notes);
    }
    if (!whole) {
        ce_parquet_form_done(&form);
        return ce_fail(err, EINVAL, "the key is not one of a Parquet file");
    }
    *ret_form = form;
    return 0;
}
