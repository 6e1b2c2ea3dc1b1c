/* SPDX-License-Identifier: MIT */
/* PostgreSQL. The server writes and reads the CSV itself (COPY); what is left to do is to say in
 * which order, with which columns and of which types. */
#include <string.h>

#include "base/file.h"
#include "data/sql/libpq.h"

/* Texts are quoted even where they need not be, so that none is taken for a number, nothing or a
 * comment. */
static const char text_columns[] =
    "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
    " JOIN pg_type t ON t.oid = atttypid WHERE attrelid = to_regclass($1) AND attnum > 0"
    " AND NOT attisdropped AND typcategory = 'S'";

/* By primary key, else as the rows are stored; a view's rows come as they will. */
static const char order_columns[] =
    "SELECT coalesce((SELECT string_agg(quote_ident(attname), ', ' ORDER BY place)"
    "   FROM pg_index, unnest(indkey) WITH ORDINALITY AS key(number, place), pg_attribute"
    "   WHERE indrelid = c.oid AND indisprimary AND attrelid = c.oid AND attnum = number),"
    " CASE WHEN relkind IN ('r', 'p', 'm') THEN 'tableoid, ctid' END)"
    " FROM pg_class c WHERE oid = to_regclass($1)";

static int copy_out(struct ce_pg *pg, FILE *out, struct ce_error *err)
{
    char *data;
    int size;
    while ((size = pg->getCopyData(pg->connection, &data, 0)) > 0) {
        size_t written = fwrite(data, 1, (size_t)size, out);
        pg->freemem(data);
        if (written != (size_t)size)
            return ce_fail(err, errno, "cannot write the rows to a file: %s", strerror(errno));
    }
    struct pg_result *result = pg->getResult(pg->connection);
    if (size == -2 || pg->resultStatus(result) != CE_PG_COMMAND_OK)
        return ce_pg_fail(pg, result, err);
    pg->clear(result);
    return 0;
}

int ce_pg_write_rows(struct ce_pg *pg, const char *name, FILE *out, struct ce_error *err)
{
    ce_autofree char *texts = NULL;
    ce_autofree char *order = NULL;
    CE_TRY(ce_pg_ask_one(pg, text_columns, name, &texts, err));
    CE_TRY(ce_pg_ask_one(pg, order_columns, name, &order, err));
    ce_autofree char *sql =
        ce_format("COPY (SELECT * FROM %s%s%s) TO STDOUT (FORMAT csv, HEADER%s%s%s)", name,
                  order ? " ORDER BY " : "", order ? order : "", texts ? ", FORCE_QUOTE (" : "",
                  texts ? texts : "", texts ? ")" : "");
    if (!sql)
        return ce_fail_memory(err);
    struct pg_result *result = pg->exec(pg->connection, sql);
    if (pg->resultStatus(result) != CE_PG_COPY_OUT)
        return ce_pg_fail(pg, result, err);
    pg->clear(result);
    return copy_out(pg, out, err);
}

static int export(const struct ce_sql_address *table, FILE *out, struct ce_error *err)
{
    CE_PG *pg = NULL;
    ce_autofree char *name = ce_pg_name(table);
    ce_autofree char *found = NULL;
    if (!name)
        return ce_fail_memory(err);
    CE_TRY(ce_pg_open(table, &pg, err));
    CE_TRY(ce_pg_run(pg, err, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
    CE_TRY(ce_pg_ask_one(pg, "SELECT to_regclass($1)", name, &found, err));
    if (!found)
        return ce_pg_fail_no_table(pg, table, err);
    return ce_pg_write_rows(pg, name, out, err);
}

const struct ce_sql_engine ce_sql_postgres = {
    .scheme = "postgresql",
    .export = export,
    .import = ce_pg_import,
    .edit = ce_pg_edit,
    .edit_back = ce_pg_edit_back,
    .edit_forget = ce_pg_edit_forget,
    .put_in_place = ce_pg_put_in_place,
    .put_back = ce_pg_put_back,
    .exists = ce_pg_exists,
    .drop = ce_pg_drop,
};
