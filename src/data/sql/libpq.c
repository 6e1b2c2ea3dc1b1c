/* SPDX-License-Identifier: MIT */
#include "data/sql/libpq.h"

#include <dlfcn.h>
#include <string.h>

#include "base/file.h"

static const struct {
    const char *symbol;
    size_t at;
} functions[] = {
#define FUNCTION(result, name, arguments) {"PQ" #name, offsetof(struct ce_pg, name)},
    CE_PG_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

static int load(struct ce_pg *pg, struct ce_error *err)
{
    /* NODELETE: it starts libraries that do not stand being unloaded. */
    void *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library)
        return ce_fail(err, ENOSYS,
                       "PostgreSQL needs the library libpq.so.5, which is not installed (Debian: "
                       "libpq5)");
    for (size_t i = 0; i < CE_COUNT(functions); i++) {
        void *function = dlsym(library, functions[i].symbol);
        if (!function)
            return ce_fail(err, ENOSYS, "libpq.so.5 has no function %s", functions[i].symbol);
        memcpy((char *)pg + functions[i].at, &function, sizeof function);
    }
    return 0;
}

/* Notices would be printed; what matters comes as an error. */
static void hear_nothing(void *ctx, const char *message)
{
}

/* Its first line, without "ERROR: " or a final line end. */
static int fail_line(struct ce_error *err, int code, const char *message)
{
    size_t size = strcspn(message, "\n");
    return ce_fail(err, code, "PostgreSQL: %.*s", (int)size, message);
}

int ce_pg_open(const struct ce_sql_address *address, struct ce_pg **ret_pg, struct ce_error *err)
{
    /* What comes before the address is a default, what comes after it is not. */
    const char *const keywords[] = {"connect_timeout", "fallback_application_name", "dbname",
                                    "client_encoding", NULL};
    const char *const values[] = {"10", "chaoseater", address->database, "UTF8", NULL};
    CE_PG *pg = calloc(1, sizeof *pg);
    if (!pg)
        return ce_fail_memory(err);
    CE_TRY(load(pg, err));
    pg->connection = pg->connectdbParams(keywords, values, 1);
    if (!pg->connection)
        return ce_fail_memory(err);
    if (pg->status(pg->connection) != CE_PG_CONNECTION_OK)
        return fail_line(err, ECONNREFUSED, pg->errorMessage(pg->connection));
    (void)pg->setNoticeProcessor(pg->connection, hear_nothing, NULL);
    CE_TRY(ce_pg_run(pg, err,
                     "SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres';"
                     " SET timezone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex';"
                     " SET standard_conforming_strings = on; SET lock_timeout = %d",
                     CE_SQL_LOCK_WAIT_MS));
    *ret_pg = ce_take(pg);
    return 0;
}

void ce_pg_close(struct ce_pg *pg)
{
    if (pg && pg->connection)
        pg->finish(pg->connection); /* rolls back what was not committed */
    free(pg);
}

static const char *state_of(const struct ce_pg *pg, const struct pg_result *result)
{
    const char *state = result ? pg->resultErrorField(result, CE_PG_DIAG_SQLSTATE) : NULL;
    return state ? state : "";
}

bool ce_pg_failed_by_value(const struct ce_pg *pg, const struct pg_result *result)
{
    const char *state = state_of(pg, result);
    return strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0;
}

int ce_pg_fail(const struct ce_pg *pg, struct pg_result *result, struct ce_error *err)
{
    static const struct {
        const char *state; /* or its beginning */
        int code;
    } codes[] = {{"42P01", ENOENT}, {"42501", EACCES}, {"28", EACCES}, {"53100", ENOSPC},
                 {"55P03", EBUSY},  {"22", EINVAL},    {"23", EINVAL}};
    const char *state = state_of(pg, result);
    const char *primary = result ? pg->resultErrorField(result, CE_PG_DIAG_PRIMARY) : NULL;
    const char *context = result ? pg->resultErrorField(result, CE_PG_DIAG_CONTEXT) : NULL;
    int code = EIO;
    for (size_t i = 0; i < CE_COUNT(codes); i++)
        if (strncmp(state, codes[i].state, strlen(codes[i].state)) == 0)
            code = codes[i].code;
    int r = !primary  ? fail_line(err, code, pg->errorMessage(pg->connection))
            : context ? ce_fail(err, code, "PostgreSQL: %s (%.*s)", primary,
                                (int)strcspn(context, "\n"), context)
                      : ce_fail(err, code, "PostgreSQL: %s", primary);
    pg->clear(result);
    return r;
}

int ce_pg_run(struct ce_pg *pg, struct ce_error *err, const char *format, ...)
{
    ce_autofree char *sql = NULL;
    va_list args;
    va_start(args, format);
    int size = vasprintf(&sql, format, args);
    va_end(args);
    if (size < 0) {
        sql = NULL;
        return ce_fail_memory(err);
    }
    struct pg_result *result = pg->exec(pg->connection, sql);
    int status = pg->resultStatus(result);
    if (status != CE_PG_COMMAND_OK && status != CE_PG_TUPLES_OK)
        return ce_pg_fail(pg, result, err);
    pg->clear(result);
    return 0;
}

int ce_pg_ask(struct ce_pg *pg, const char *sql, const char *parameter,
              struct pg_result **ret_result, struct ce_error *err)
{
    struct pg_result *result =
        pg->execParams(pg->connection, sql, parameter ? 1 : 0, NULL, &parameter, NULL, NULL, 0);
    if (pg->resultStatus(result) != CE_PG_TUPLES_OK)
        return ce_pg_fail(pg, result, err);
    *ret_result = result;
    return 0;
}

int ce_pg_ask_one(struct ce_pg *pg, const char *sql, const char *parameter, char **ret_value,
                  struct ce_error *err)
{
    struct pg_result *result = NULL;
    CE_TRY(ce_pg_ask(pg, sql, parameter, &result, err));
    bool some = pg->ntuples(result) > 0 && pg->getvalue(result, 0, 0)[0];
    char *value = some ? strdup(pg->getvalue(result, 0, 0)) : NULL;
    pg->clear(result);
    if (some && !value)
        return ce_fail_memory(err);
    *ret_value = value;
    return 0;
}

char *ce_pg_name(const struct ce_sql_address *table)
{
    ce_autofree char *name = ce_sql_quoted(table->table);
    ce_autofree char *schema = table->schema ? ce_sql_quoted(table->schema) : NULL;
    if (!name || (table->schema && !schema))
        return NULL;
    return schema ? ce_format("%s.%s", schema, name) : ce_take(name);
}

int ce_pg_fail_no_table(struct ce_pg *pg, const struct ce_sql_address *table, struct ce_error *err)
{
    struct pg_result *all = NULL;
    CE_TRY(ce_pg_ask(pg,
                     "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f')"
                     " AND pg_table_is_visible(oid) AND relname NOT LIKE 'pg\\_%' ORDER BY relname",
                     NULL, &all, err));
    char nearest[128] = "";
    for (int i = 0; i < pg->ntuples(all); i++) {
        const char *names[] = {nearest, pg->getvalue(all, i, 0)};
        const char *best = ce_text_nearest(table->table, names, 2);
        if (best && best != nearest)
            snprintf(nearest, sizeof nearest, "%s", best);
    }
    pg->clear(all);
    return ce_fail(err, ENOENT, "the database has no table '%s%s%s'%s%s%s",
                   table->schema ? table->schema : "", table->schema ? "." : "", table->table,
                   nearest[0] ? "; did you mean '" : "", nearest, nearest[0] ? "'?" : "");
}
