/* SPDX-License-Identifier: MIT */
/* A new table has the columns of the file. First it is tried with the types that its model has.
 * When a value does not fit, everything is loaded as text, and each column gets its type if all its
 * values can be had in it. */
#include <string.h>

#include "base/file.h"
#include "data/sql/libpq.h"

struct column {
    char *name;    /* quoted */
    char *type;    /* NULL: text, because the model has no such column */
    char *collate; /* " COLLATE ...", or empty; NULL like the type */
    char *preset;  /* its default, or empty; NULL like the type */
    bool is_texts; /* the type is one of texts: it may cut them short rather than refuse them */
};

struct load {
    struct ce_pg *pg; /* borrowed, like the file */
    FILE *csv;
    const char *csv_path;
    char *table; /* quoted */
    struct column *columns;
    size_t column_count;
    uint64_t rows;
};

static void load_done(struct load *load)
{
    for (size_t i = 0; i < load->column_count; i++) {
        free(load->columns[i].name);
        free(load->columns[i].type);
        free(load->columns[i].collate);
        free(load->columns[i].preset);
    }
    free(load->columns);
    free(load->table);
}

/* ---- columns ---- */

static int read_header(struct load *load, struct ce_sql_rows *rows, struct ce_error *err)
{
    int got = ce_sql_rows_next(rows, err);
    if (got <= 0)
        return got < 0 ? got : ce_fail(err, EINVAL, "'%s' has no header", load->csv_path);
    load->columns = calloc(rows->count, sizeof *load->columns);
    if (!load->columns)
        return ce_fail_memory(err);
    for (; load->column_count < rows->count; load->column_count++) {
        char *name = ce_sql_quoted(ce_sql_rows_text(rows, load->column_count));
        if (!name)
            return ce_fail_memory(err);
        load->columns[load->column_count].name = name;
    }
    rewind(load->csv);
    return 0;
}

static int column_type(struct load *load, const struct ce_pg *pg, struct pg_result *found, int row,
                       bool same_database, struct ce_error *err)
{
    for (size_t i = 0; i < load->column_count; i++) {
        struct column *column = &load->columns[i];
        ce_autofree char *name = ce_sql_quoted(pg->getvalue(found, row, 0));
        if (!name)
            return ce_fail_memory(err);
        if (strcmp(name, column->name) != 0)
            continue;
        column->type = strdup(pg->getvalue(found, row, 1));
        column->collate = strdup(pg->getvalue(found, row, 2));
        /* A default may name what only that database has. */
        column->preset = strdup(same_database ? pg->getvalue(found, row, 3) : "");
        column->is_texts = pg->getvalue(found, row, 4)[0] == 'S';
        return column->type && column->collate && column->preset ? 0 : ce_fail_memory(err);
    }
    return 0;
}

/* The types that the columns have in another table. */
static int read_types(struct load *load, const struct ce_sql_address *like, bool same_database,
                      struct ce_error *err)
{
    CE_PG *other = NULL;
    if (!same_database)
        CE_TRY(ce_pg_open(like, &other, err));
    struct ce_pg *pg = other ? other : load->pg;
    ce_autofree char *name = ce_pg_name(like);
    if (!name)
        return ce_fail_memory(err);
    ce_autofree char *oid = NULL;
    CE_TRY(ce_pg_ask_one(pg, "SELECT to_regclass($1)::oid", name, &oid, err));
    if (!oid)
        return ce_pg_fail_no_table(pg, like, err);
    struct pg_result *found;
    CE_TRY(ce_pg_ask(pg,
                     "SELECT attname, format_type(atttypid, atttypmod),"
                     " (SELECT ' COLLATE ' || quote_ident(nspname) || '.' || quote_ident(collname)"
                     "   FROM pg_collation c JOIN pg_namespace n ON n.oid = collnamespace"
                     "   WHERE c.oid = attcollation AND attcollation <> typcollation),"
                     " (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef"
                     "   WHERE adrelid = attrelid AND adnum = attnum AND attgenerated = ''),"
                     " typcategory FROM pg_attribute JOIN pg_type t ON t.oid = atttypid"
                     " WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped",
                     oid, &found, err));
    int r = 0;
    for (int row = 0; row < pg->ntuples(found) && r == 0; row++)
        r = column_type(load, pg, found, row, same_database, err);
    pg->clear(found);
    return r;
}

/* "a, b" (names only), or "a integer DEFAULT 1, b text". NULL: no memory. */
static char *column_list(const struct load *load, bool declared, bool typed)
{
    char *list = NULL;
    size_t size;
    FILE *out = open_memstream(&list, &size);
    if (!out)
        return NULL;
    for (size_t i = 0; i < load->column_count; i++) {
        const struct column *column = &load->columns[i];
        fprintf(out, "%s%s", i > 0 ? ", " : "", column->name);
        if (!declared)
            continue;
        fprintf(out, " %s", typed && column->type ? column->type : "text");
        if (typed && column->type)
            fprintf(out, "%s%s%s", column->collate, column->preset[0] ? " DEFAULT " : "",
                    column->preset);
    }
    if (fclose(out) == 0)
        return list;
    free(list);
    return NULL;
}

/* ---- rows ---- */

static int send_file(struct load *load, struct ce_error *err)
{
    char buffer[64 * 1024];
    size_t n;
    rewind(load->csv);
    while ((n = fread(buffer, 1, sizeof buffer, load->csv)) > 0)
        if (load->pg->putCopyData(load->pg->connection, buffer, (int)n) != 1)
            return 0; /* the server's answer says why */
    if (!ferror(load->csv)) {
        (void)load->pg->putCopyEnd(load->pg->connection, NULL);
        return 0;
    }
    (void)load->pg->putCopyEnd(load->pg->connection, "the file cannot be read");
    return ce_fail(err, EIO, "cannot read '%s'", load->csv_path);
}

/* *ret_by_value (may be NULL): it failed because of a value. */
static int copy_in(struct load *load, bool *ret_by_value, struct ce_error *err)
{
    struct ce_pg *pg = load->pg;
    ce_autofree char *list = column_list(load, false, false);
    ce_autofree char *sql =
        list ? ce_format("COPY %s (%s) FROM STDIN (FORMAT csv, HEADER)", load->table, list) : NULL;
    if (!sql)
        return ce_fail_memory(err);
    struct pg_result *result = pg->exec(pg->connection, sql);
    if (pg->resultStatus(result) != CE_PG_COPY_IN)
        return ce_pg_fail(pg, result, err);
    pg->clear(result);
    int r = send_file(load, err);
    result = pg->getResult(pg->connection);
    if (r == 0 && pg->resultStatus(result) != CE_PG_COMMAND_OK) {
        if (ret_by_value)
            *ret_by_value = ce_pg_failed_by_value(pg, result);
        r = ce_pg_fail(pg, ce_take(result), err);
    } else if (r == 0) {
        load->rows = strtoull(pg->cmdTuples(result), NULL, 10);
    }
    pg->clear(result);
    while ((result = pg->getResult(pg->connection)))
        pg->clear(result);
    return r;
}

static int create_table(struct load *load, bool typed, struct ce_error *err)
{
    ce_autofree char *list = column_list(load, true, typed);
    if (!list)
        return ce_fail_memory(err);
    return ce_pg_run(load->pg, err, "CREATE TABLE %s (%s)", load->table, list);
}

/* ---- values that do not fit ---- */

/* Whether all values of a column of texts can be had in the column's type. */
static int column_fits(struct load *load, const struct column *column, bool *ret_fits,
                       struct ce_error *err)
{
    struct ce_pg *pg = load->pg;
    /* A cast makes a text fit by cutting it; others fail. */
    ce_autofree char *sql =
        column->is_texts
            ? ce_format("SELECT 1 FROM %s WHERE rtrim(%s::%s::text) <> rtrim(%s) LIMIT 1",
                        load->table, column->name, column->type, column->name)
            : ce_format("SELECT 1 FROM (SELECT count(%s::%s) AS n FROM %s) AS t WHERE n < 0",
                        column->name, column->type, load->table);
    if (!sql)
        return ce_fail_memory(err);
    CE_TRY(ce_pg_run(pg, err, "SAVEPOINT cast_"));
    struct pg_result *result = pg->exec(pg->connection, sql);
    *ret_fits = pg->resultStatus(result) == CE_PG_TUPLES_OK && pg->ntuples(result) == 0;
    if (pg->resultStatus(result) != CE_PG_TUPLES_OK && !ce_pg_failed_by_value(pg, result))
        return ce_pg_fail(pg, result, err);
    pg->clear(result);
    return ce_pg_run(pg, err, "ROLLBACK TO SAVEPOINT cast_");
}

static int note_as_text(struct ce_sql_loaded *loaded, const struct ce_sql_rows *header,
                        size_t column, struct ce_error *err)
{
    struct ce_names *names = &loaded->as_text;
    char **larger = realloc(names->names, (names->count + 1) * sizeof *larger);
    char *name = strdup(ce_sql_rows_text(header, column));
    if (larger)
        names->names = larger;
    if (!larger || !name) {
        free(name);
        return ce_fail_memory(err);
    }
    names->names[names->count++] = name;
    return 0;
}

/* All columns are texts now; gives those their types that can have them. */
static int give_types(struct load *load, const struct ce_sql_rows *header,
                      struct ce_sql_loaded *loaded, struct ce_error *err)
{
    ce_autofree char *changes = NULL;
    size_t size;
    ce_autofile FILE *out = open_memstream(&changes, &size);
    if (!out)
        return ce_fail_memory(err);
    for (size_t i = 0; i < load->column_count; i++) {
        const struct column *column = &load->columns[i];
        bool fits = false;
        if (!column->type)
            continue;
        CE_TRY(column_fits(load, column, &fits, err));
        if (!fits) {
            CE_TRY(note_as_text(loaded, header, i, err));
            continue;
        }
        fprintf(out, "%sALTER COLUMN %s TYPE %s%s USING %s::%s", ftell(out) > 0 ? ", " : "",
                column->name, column->type, column->collate, column->name, column->type);
        if (column->preset[0])
            fprintf(out, ", ALTER COLUMN %s SET DEFAULT %s", column->name, column->preset);
    }
    if (fclose(ce_take(out)) != 0)
        return ce_fail_memory(err);
    return size > 0 ? ce_pg_run(load->pg, err, "ALTER TABLE %s %s", load->table, changes) : 0;
}

static int load_new(struct load *load, const struct ce_sql_rows *header,
                    struct ce_sql_loaded *loaded, struct ce_error *err)
{
    bool by_value = false;
    CE_TRY(ce_pg_run(load->pg, err, "SAVEPOINT typed_"));
    CE_TRY(create_table(load, true, err));
    struct ce_error why = {0};
    int r = copy_in(load, &by_value, &why);
    if (r < 0 && !by_value) {
        if (err)
            *err = why;
        return r;
    }
    if (r == 0)
        return 0;
    CE_TRY(ce_pg_run(load->pg, err, "ROLLBACK TO SAVEPOINT typed_"));
    CE_TRY(create_table(load, false, err));
    CE_TRY(copy_in(load, NULL, err));
    return give_types(load, header, loaded, err);
}

/* Whoever may use the model may use the new table. */
static int give_rights(struct load *load, const struct ce_sql_address *like, struct ce_error *err)
{
    struct ce_pg *pg = load->pg;
    ce_autofree char *name = ce_pg_name(like);
    struct pg_result *rights;
    if (!name)
        return ce_fail_memory(err);
    CE_TRY(ce_pg_ask(pg,
                     "SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE"
                     " quote_ident(pg_get_userbyid(grantee)) END FROM pg_class,"
                     " aclexplode(coalesce(relacl, acldefault('r', relowner)))"
                     " WHERE oid = to_regclass($1) AND grantee <> (SELECT oid FROM pg_roles"
                     "   WHERE rolname = current_user)",
                     name, &rights, err));
    int r = 0;
    for (int i = 0; i < pg->ntuples(rights) && r == 0; i++)
        r = ce_pg_run(pg, err, "GRANT %s ON %s TO %s", pg->getvalue(rights, i, 0), load->table,
                      pg->getvalue(rights, i, 1));
    pg->clear(rights);
    return r;
}

static int new_table(struct load *load, const struct ce_sql_rows *header,
                     const struct ce_sql_address *table, const struct ce_sql_address *like,
                     struct ce_sql_loaded *loaded, struct ce_error *err)
{
    ce_autofree char *found = NULL;
    CE_TRY(ce_pg_ask_one(load->pg, "SELECT to_regclass($1)", load->table, &found, err));
    if (found)
        return ce_fail(err, EEXIST, "the database has a table '%s' already", table->table);
    bool same_database = like && strcmp(like->database, table->database) == 0;
    if (like)
        CE_TRY(read_types(load, like, same_database, err));
    CE_TRY(load_new(load, header, loaded, err));
    return same_database ? give_rights(load, like, err) : 0;
}

static int import(struct load *load, struct ce_sql_rows *header, const struct ce_sql_address *table,
                  const struct ce_sql_address *like, struct ce_sql_loaded *loaded,
                  struct ce_error *err)
{
    CE_PG *pg = NULL;
    CE_TRY(ce_pg_open(table, &pg, err));
    load->pg = pg;
    load->table = ce_pg_name(table);
    if (!load->table)
        return ce_fail_memory(err);
    CE_TRY(read_header(load, header, err));
    CE_TRY(ce_pg_run(pg, err, "BEGIN"));
    CE_TRY(new_table(load, header, table, like, loaded, err));
    loaded->rows = load->rows;
    return ce_pg_run(pg, err, "COMMIT");
}

int ce_pg_import(FILE *csv, const char *csv_path, const struct ce_sql_address *table,
                 const struct ce_sql_address *like, struct ce_sql_loaded *loaded,
                 struct ce_error *err)
{
    CE_CLEANUP(load_done) struct load load = {.csv = csv, .csv_path = csv_path};
    CE_CLEANUP(ce_sql_rows_done) struct ce_sql_rows header = {.file = csv, .path = csv_path};
    return import(&load, &header, table, like, loaded, err);
}

int ce_pg_replace_rows(struct ce_pg *pg, const char *name, FILE *csv, const char *csv_path,
                       struct ce_error *err)
{
    CE_CLEANUP(load_done) struct load load = {.pg = pg, .csv = csv, .csv_path = csv_path};
    CE_CLEANUP(ce_sql_rows_done) struct ce_sql_rows header = {.file = csv, .path = csv_path};
    load.table = strdup(name);
    if (!load.table)
        return ce_fail_memory(err);
    CE_TRY(read_header(&load, &header, err));
    /* Unlike DELETE it refuses a table that others refer to, rather than emptying those too. */
    CE_TRY(ce_pg_run(pg, err, "TRUNCATE %s", name));
    return copy_in(&load, NULL, err);
}
