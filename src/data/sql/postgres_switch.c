/* SPDX-License-Identifier: MIT */
/* Names are exchanged in one transaction, together with the row that says so; a crash leaves either
 * all of it or nothing. Tables are known by their oid. */
#include <string.h>

#include "base/file.h"
#include "data/sql/libpq.h"

struct job {
    struct ce_pg *pg;
    struct ce_sql_address table; /* borrowed, but for the schema, which is always named */
    char *name;                  /* quoted, with the schema, like the others */
    char *original;
    char *switches;
    char *bare_name; /* quoted, without it: what a table is renamed to */
    char *bare_original;
};

static void job_done(struct job *job)
{
    ce_pg_close(job->pg);
    free(job->table.schema);
    free(job->name);
    free(job->original);
    free(job->switches);
    free(job->bare_name);
    free(job->bare_original);
}
#define JOB CE_CLEANUP(job_done) struct job

static char *sibling(const struct job *job, const char *table)
{
    return ce_pg_name(
        &(struct ce_sql_address){.schema = job->table.schema, .table = (char *)table});
}

/* Connects and begins a transaction. */
static int begin(const struct ce_sql_address *table, struct job *job, struct ce_error *err)
{
    CE_TRY(ce_pg_open(table, &job->pg, err));
    CE_TRY(ce_pg_run(job->pg, err, "BEGIN"));
    job->table = *table;
    job->table.schema = NULL;
    if (table->schema)
        job->table.schema = strdup(table->schema);
    else
        CE_TRY(ce_pg_ask_one(job->pg, "SELECT current_schema()", NULL, &job->table.schema, err));
    if (!job->table.schema)
        return ce_fail(err, ENOENT, "no schema to look for table '%s' in; name it as SCHEMA.NAME",
                       table->table);
    ce_autofree char *original = ce_format("%s" CE_SQL_ORIGINAL, table->table);
    job->name = sibling(job, table->table);
    job->bare_name = ce_sql_quoted(table->table);
    job->original = original ? sibling(job, original) : NULL;
    job->bare_original = original ? ce_sql_quoted(original) : NULL;
    job->switches = sibling(job, "chaoseater_switches");
    bool all = job->name && job->bare_name && job->original && job->bare_original && job->switches;
    return all ? 0 : ce_fail_memory(err);
}

/* NULL: there is no such table. */
static int oid_of(struct job *job, const char *name, char **ret_oid, struct ce_error *err)
{
    return ce_pg_ask_one(job->pg, "SELECT to_regclass($1)::oid", name, ret_oid, err);
}

/* The oid of what was put in the table's place; NULL: it is not switched. */
static int noted(struct job *job, char **ret_oid, struct ce_error *err)
{
    ce_autofree char *switches = NULL;
    *ret_oid = NULL;
    CE_TRY(oid_of(job, job->switches, &switches, err));
    if (!switches)
        return 0;
    ce_autofree char *sql = ce_format("SELECT faulted FROM %s WHERE name = $1", job->switches);
    if (!sql)
        return ce_fail_memory(err);
    return ce_pg_ask_one(job->pg, sql, job->table.table, ret_oid, err);
}

int ce_pg_put_in_place(const struct ce_sql_address *table, const char *faulted,
                       struct ce_error *err)
{
    JOB job = {0};
    CE_TRY(begin(table, &job, err));
    ce_autofree char *before = NULL;
    ce_autofree char *there = NULL;
    ce_autofree char *new_oid = NULL;
    ce_autofree char *new_name = sibling(&job, faulted);
    if (!new_name)
        return ce_fail_memory(err);
    CE_TRY(noted(&job, &before, err));
    if (before)
        return ce_fail(err, EBUSY, "table '%s' is switched already", table->table);
    CE_TRY(oid_of(&job, job.name, &there, err));
    if (!there)
        return ce_pg_fail_no_table(job.pg, &job.table, err);
    CE_TRY(oid_of(&job, new_name, &new_oid, err));
    if (!new_oid)
        return ce_fail(err, ENOENT, "the database has no table '%s' to be put in the place of '%s'",
                       faulted, table->table);
    CE_TRY(ce_pg_run(job.pg, err, "ALTER TABLE %s RENAME TO %s", job.name, job.bare_original));
    CE_TRY(ce_pg_run(job.pg, err, "ALTER TABLE %s RENAME TO %s", new_name, job.bare_name));
    CE_TRY(ce_pg_run(job.pg, err,
                     "CREATE TABLE IF NOT EXISTS %s (name text PRIMARY KEY, original text,"
                     " faulted oid)",
                     job.switches));
    ce_autofree char *insert =
        ce_format("INSERT INTO %s VALUES ($1, $1 || '" CE_SQL_ORIGINAL "', %s) RETURNING 1",
                  job.switches, new_oid);
    ce_autofree char *done = NULL;
    if (!insert)
        return ce_fail_memory(err);
    CE_TRY(ce_pg_ask_one(job.pg, insert, table->table, &done, err));
    return ce_pg_run(job.pg, err, "COMMIT");
}

int ce_pg_put_back(const struct ce_sql_address *table, struct ce_error *err)
{
    JOB job = {0};
    CE_TRY(begin(table, &job, err));
    ce_autofree char *put_there = NULL;
    ce_autofree char *there = NULL;
    ce_autofree char *original = NULL;
    ce_autofree char *left = NULL;
    CE_TRY(noted(&job, &put_there, err));
    if (!put_there)
        return 0;
    CE_TRY(oid_of(&job, job.name, &there, err));
    CE_TRY(oid_of(&job, job.original, &original, err));
    if (!original || (there && strcmp(there, put_there) != 0))
        return CE_SQL_FOREIGN;
    if (there)
        CE_TRY(ce_pg_run(job.pg, err, "DROP TABLE %s", job.name));
    CE_TRY(ce_pg_run(job.pg, err, "ALTER TABLE %s RENAME TO %s", job.original, job.bare_name));
    ce_autofree char *forget =
        ce_format("DELETE FROM %s WHERE name = $1 RETURNING 1", job.switches);
    ce_autofree char *others = ce_format("SELECT 1 FROM %s LIMIT 1", job.switches);
    ce_autofree char *done = NULL;
    if (!forget || !others)
        return ce_fail_memory(err);
    CE_TRY(ce_pg_ask_one(job.pg, forget, table->table, &done, err));
    CE_TRY(ce_pg_ask_one(job.pg, others, NULL, &left, err));
    if (!left)
        CE_TRY(ce_pg_run(job.pg, err, "DROP TABLE %s", job.switches));
    return ce_pg_run(job.pg, err, "COMMIT");
}

int ce_pg_exists(const struct ce_sql_address *table, bool *ret_exists, struct ce_error *err)
{
    JOB job = {0};
    ce_autofree char *oid = NULL;
    CE_TRY(begin(table, &job, err));
    CE_TRY(oid_of(&job, job.name, &oid, err));
    *ret_exists = oid != NULL;
    return 0;
}

int ce_pg_drop(const struct ce_sql_address *table, struct ce_error *err)
{
    JOB job = {0};
    CE_TRY(begin(table, &job, err));
    CE_TRY(ce_pg_run(job.pg, err, "DROP TABLE IF EXISTS %s", job.name));
    return ce_pg_run(job.pg, err, "COMMIT");
}
