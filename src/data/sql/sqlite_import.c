/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "data/sql/sqlite_internal.h"

/* ---- values ---- */

static bool whole_number(const char *text, int64_t *ret_value)
{
    const char *digits = text + (*text == '-');
    return isdigit((unsigned char)*digits) && ce_text_integer(text, ret_value) == 0;
}

static bool real_number(const char *text, double *ret_value)
{
    if (strcmp(text, "9e999") == 0 || strcmp(text, "-9e999") == 0) {
        *ret_value = text[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    return ce_text_number(text, ret_value) == 0;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes of x'6162', in place of its digits; false when it is none. */
static bool blob_bytes(char *text, size_t size, size_t *ret_size)
{
    if (size < 3 || size % 2 == 0 || text[0] != 'x' || text[1] != '\'' || text[size - 1] != '\'')
        return false;
    for (size_t i = 2; i < size - 1; i++)
        if (digit(text[i]) < 0)
            return false;
    *ret_size = (size - 3) / 2;
    for (size_t i = 0; i < *ret_size; i++)
        text[i] = (char)(digit(text[2 + 2 * i]) << 4 | digit(text[3 + 2 * i]));
    return true;
}

/* `text`: the column makes texts of numbers, and what is no text in it was none before either. */
static int bind_cell(sqlite3_stmt *insert, int at, struct ce_sql_rows *rows, size_t index,
                     bool text)
{
    const struct ce_sql_cell *cell = &rows->cells[index];
    char *value = rows->bytes.data + cell->at;
    int64_t whole;
    double real;
    size_t size;
    if (!cell->quoted && cell->size == 0)
        return sqlite3_bind_null(insert, at);
    if (!cell->quoted && blob_bytes(value, cell->size, &size))
        return sqlite3_bind_blob64(insert, at, value, size, SQLITE_STATIC);
    if (!cell->quoted && !text && whole_number(value, &whole))
        return sqlite3_bind_int64(insert, at, whole);
    if (!cell->quoted && !text && real_number(value, &real))
        return sqlite3_bind_double(insert, at, real);
    return sqlite3_bind_text64(insert, at, value, cell->size, SQLITE_STATIC, SQLITE_UTF8);
}

/* ---- the new table ---- */

/* SQLite's rule for what a declared type makes of the values. */
static bool makes_texts(const char *type)
{
    return !strcasestr(type, "INT") &&
           (strcasestr(type, "CHAR") || strcasestr(type, "CLOB") || strcasestr(type, "TEXT"));
}

/* The declared type and collation of a column, "" when it is not there. */
static void declaration_of(sqlite3 *db, const char *table, const char *column,
                           const char **ret_type, const char **ret_collation)
{
    *ret_type = *ret_collation = NULL;
    if (!db || sqlite3_table_column_metadata(db, "main", table, column, ret_type, ret_collation,
                                             NULL, NULL, NULL) != SQLITE_OK)
        *ret_type = *ret_collation = NULL;
    /* ANY keeps texts of digits only in a strict table, and this will be none. */
    *ret_type = *ret_type && strcasecmp(*ret_type, "ANY") != 0 ? *ret_type : "";
    *ret_collation = *ret_collation ? *ret_collation : "BINARY";
}

struct load {
    sqlite3 *db;
    const struct ce_sql_address *table;
    struct ce_sql_rows rows;
    size_t columns;
    bool *texts; /* columns that make texts of numbers */
};

/* Creates the table with the columns of the header, which is the current row. `like` may be NULL.
 */
static int create_table(struct load *load, sqlite3 *like, const char *like_table,
                        struct ce_error *err)
{
    struct ce_sqlite_kind kind;
    CE_TRY(ce_sqlite_kind_of(load->db, load->table, &kind, err));
    if (kind.type[0])
        return ce_fail(err, EEXIST, "'%s' has a table '%s' already", load->table->database,
                       load->table->table);
    sqlite3_str *columns = sqlite3_str_new(load->db);
    for (size_t i = 0; i < load->columns; i++) {
        const char *name = ce_sql_rows_text(&load->rows, i), *type, *collation;
        declaration_of(like, like_table, name, &type, &collation);
        load->texts[i] = makes_texts(type);
        sqlite3_str_appendf(columns, "%s\"%w\" %s", i > 0 ? ", " : "", name, type);
        if (strcasecmp(collation, "BINARY") != 0)
            sqlite3_str_appendf(columns, " COLLATE \"%w\"", collation);
    }
    char *list = sqlite3_str_finish(columns);
    int r = list ? ce_sqlite_run(load->db, load->table, err, "CREATE TABLE \"%w\" (%s)",
                                 load->table->table, list)
                 : ce_fail_memory(err);
    sqlite3_free(list);
    return r;
}

/* The columns are those of the table, by name. */
static int empty_table(struct load *load, struct ce_error *err)
{
    struct ce_sqlite_kind kind;
    CE_TRY(ce_sqlite_kind_of(load->db, load->table, &kind, err));
    if (!kind.type[0])
        return ce_sqlite_fail_no_table(load->db, load->table, err);
    for (size_t i = 0; i < load->columns; i++) {
        const char *type, *collation;
        declaration_of(load->db, load->table->table, ce_sql_rows_text(&load->rows, i), &type,
                       &collation);
        load->texts[i] = makes_texts(type);
    }
    return ce_sqlite_run(load->db, load->table, err, "DELETE FROM \"%w\"", load->table->table);
}

static int prepare_insert(struct load *load, sqlite3_stmt **ret_insert, struct ce_error *err)
{
    sqlite3_str *names = sqlite3_str_new(load->db), *marks = sqlite3_str_new(load->db);
    for (size_t i = 0; i < load->columns; i++) {
        sqlite3_str_appendf(names, "%s\"%w\"", i > 0 ? ", " : "", ce_sql_rows_text(&load->rows, i));
        sqlite3_str_appendall(marks, i > 0 ? ", ?" : "?");
    }
    char *name_list = sqlite3_str_finish(names), *mark_list = sqlite3_str_finish(marks);
    int r = name_list && mark_list ? ce_sqlite_prepare(load->db, load->table, ret_insert, err,
                                                       "INSERT INTO \"%w\" (%s) VALUES (%s)",
                                                       load->table->table, name_list, mark_list)
                                   : ce_fail_memory(err);
    sqlite3_free(name_list);
    sqlite3_free(mark_list);
    return r;
}

static int insert_rows(struct load *load, sqlite3_stmt *insert, uint64_t *ret_count,
                       struct ce_error *err)
{
    uint64_t count = 0;
    int got;
    while ((got = ce_sql_rows_next(&load->rows, err)) > 0) {
        struct ce_sql_rows *rows = &load->rows;
        /* A blank line is a row only where a row may be one empty cell. */
        if (rows->count == 1 && load->columns > 1 && rows->cells[0].size == 0)
            continue;
        (void)sqlite3_clear_bindings(insert);
        size_t cells = rows->count < load->columns ? rows->count : load->columns;
        for (size_t i = 0; i < cells; i++)
            if (bind_cell(insert, (int)i + 1, rows, i, load->texts[i]) != SQLITE_OK)
                return ce_sqlite_fail(load->db, "change", load->table, err);
        if (sqlite3_step(insert) != SQLITE_DONE)
            return ce_fail_context(err, ce_sqlite_fail(load->db, "change", load->table, err),
                                   "%s:%llu", rows->path, (unsigned long long)rows->line);
        (void)sqlite3_reset(insert);
        count++;
    }
    *ret_count = count;
    return got;
}

static int read_header(struct load *load, struct ce_error *err)
{
    int got = ce_sql_rows_next(&load->rows, err);
    if (got <= 0)
        return got < 0 ? got : ce_fail(err, EINVAL, "'%s' has no header", load->rows.path);
    load->columns = load->rows.count;
    load->texts = calloc(load->columns, sizeof *load->texts);
    return load->texts ? 0 : ce_fail_memory(err);
}

static int load_rows(struct load *load, uint64_t *ret_count, struct ce_error *err)
{
    CE_STATEMENT *insert = NULL;
    CE_TRY(prepare_insert(load, &insert, err));
    return insert_rows(load, insert, ret_count, err);
}

static int replace_rows(struct load *load, struct ce_error *err)
{
    uint64_t count;
    CE_TRY(read_header(load, err));
    CE_TRY(empty_table(load, err));
    return load_rows(load, &count, err);
}

static void load_done(struct load *load)
{
    ce_sql_rows_done(&load->rows);
    free(load->texts);
}

int ce_sqlite_replace_rows(sqlite3 *db, const struct ce_sql_address *table, FILE *csv,
                           const char *csv_path, struct ce_error *err)
{
    CE_CLEANUP(load_done)
    struct load load = {.db = db, .table = table, .rows = {.file = csv, .path = csv_path}};
    return replace_rows(&load, err);
}

static int load_table(struct load *load, const struct ce_sql_address *like,
                      struct ce_sql_loaded *loaded, struct ce_error *err)
{
    CE_SQLITE *db = NULL, *like_db = NULL;
    CE_TRY(ce_sqlite_open(load->table, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db, err));
    if (like)
        CE_TRY(ce_sqlite_open(like, SQLITE_OPEN_READONLY, &like_db, err));
    load->db = db;
    CE_TRY(read_header(load, err));
    CE_TRY(ce_sqlite_run(db, load->table, err, "BEGIN IMMEDIATE"));
    CE_TRY(create_table(load, like_db, like ? like->table : "", err));
    CE_TRY(load_rows(load, &loaded->rows, err));
    return ce_sqlite_run(db, load->table, err, "COMMIT");
}

int ce_sqlite_import(FILE *csv, const char *csv_path, const struct ce_sql_address *table,
                     const struct ce_sql_address *like, struct ce_sql_loaded *loaded,
                     struct ce_error *err)
{
    bool is_new = access(table->database, F_OK) < 0 && errno == ENOENT;
    CE_CLEANUP(load_done)
    struct load load = {.table = table, .rows = {.file = csv, .path = csv_path}};
    int r = load_table(&load, like, loaded, err);
    if (r < 0 && is_new)
        (void)unlink(table->database);
    return r;
}
