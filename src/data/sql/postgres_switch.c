/* SPDX-License-Identifier: MIT */
/* Names are exchanged, or rows replaced, in one transaction, together with the row that says so; a
 * crash leaves either all of it or nothing. Tables are known by their oid. */
#include <string.h>

#include "base/file.h"
#include "data/sql/libpq.h"

struct job {
    struct ce_pg *pg;
    struct ce_sql_address table; /* borrowed, but for the schema, which is always named */
    char *name;                  /* quoted, with the schema, like the others */
    char *original;
    char *switches;
    char *edits;
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
    free(job->edits);
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
    /* Each statement sees what others have committed: what counts is the table as it is locked. */
    CE_TRY(ce_pg_run(job->pg, err, "BEGIN ISOLATION LEVEL READ COMMITTED"));
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
    job->edits = sibling(job, "chaoseater_edits");
    bool all = job->name && job->bare_name && job->original && job->bare_original &&
               job->switches && job->edits;
    return all ? 0 : ce_fail_memory(err);
}

/* NULL: there is no such table. */
static int oid_of(struct job *job, const char *name, char **ret_oid, struct ce_error *err)
{
    return ce_pg_ask_one(job->pg, "SELECT to_regclass($1)::oid", name, ret_oid, err);
}

/* What was noted of the table, switched or edited: `content`, the hash of what was put there, and
 * for a switch also `faulted`, its oid. NULL: nothing. */
static int noted(struct job *job, const char *book, const char *what, char **ret_note,
                 struct ce_error *err)
{
    ce_autofree char *there = NULL;
    *ret_note = NULL;
    CE_TRY(oid_of(job, book, &there, err));
    if (!there)
        return 0;
    ce_autofree char *sql = ce_format("SELECT %s FROM %s WHERE name = $1", what, book);
    if (!sql)
        return ce_fail_memory(err);
    return ce_pg_ask_one(job->pg, sql, job->table.table, ret_note, err);
}

static int check_free(struct job *job, struct ce_error *err)
{
    ce_autofree char *switched = NULL;
    ce_autofree char *edited = NULL;
    CE_TRY(noted(job, job->switches, "content", &switched, err));
    CE_TRY(noted(job, job->edits, "content", &edited, err));
    return switched || edited
               ? ce_fail(err, EBUSY, "table '%s' is switched already", job->table.table)
               : 0;
}

static int forget(struct job *job, const char *book, struct ce_error *err)
{
    ce_autofree char *sql = ce_format("DELETE FROM %s WHERE name = $1 RETURNING 1", book);
    ce_autofree char *others = ce_format("SELECT 1 FROM %s LIMIT 1", book);
    ce_autofree char *done = NULL;
    ce_autofree char *left = NULL;
    if (!sql || !others)
        return ce_fail_memory(err);
    CE_TRY(ce_pg_ask_one(job->pg, sql, job->table.table, &done, err));
    CE_TRY(ce_pg_ask_one(job->pg, others, NULL, &left, err));
    return left ? 0 : ce_pg_run(job->pg, err, "DROP TABLE %s", book);
}

/* ---- what others write meanwhile ---- */

static int hash_rows(struct job *job, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    CE_SQL_HASHER hasher = {0};
    CE_TRY(ce_sql_hasher_open(&hasher, err));
    CE_TRY(ce_pg_write_rows(job->pg, job->name, hasher.out, err));
    return ce_sql_hasher_end(&hasher, ret_hex, err);
}

/* Readers wait as well: what replaces the rows needs it, and it would wait for them for ever if
 * they wanted to write. */
static int lock_table(struct job *job, struct ce_error *err)
{
    return ce_pg_run(job->pg, err, "LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", job->name);
}

/* What the table is called when it, or a copy, is kept; to be freed. */
static int name_kept(struct job *job, char **ret_name, struct ce_error *err)
{
    ce_autofree char *name = ce_format("%s" CE_SQL_KEPT, job->table.table);
    ce_autofree char *kept = name ? sibling(job, name) : NULL;
    ce_autofree char *there = NULL;
    if (!kept)
        return ce_fail_memory(err);
    CE_TRY(oid_of(job, kept, &there, err));
    if (there)
        return ce_fail(err, EEXIST,
                       "rows that were written to '%s' meanwhile cannot be kept: the database has "
                       "a table '%s' already; rename that",
                       job->table.table, name);
    *ret_name = ce_take(name);
    return 0;
}

/* The name to keep what the table holds under, or NULL when that is what was put there. */
static int find_writes(struct job *job, const char *book, char **ret_kept, struct ce_error *err)
{
    char hex[CE_SHA256_HEX];
    ce_autofree char *content = NULL;
    *ret_kept = NULL;
    CE_TRY(lock_table(job, err));
    CE_TRY(noted(job, book, "content", &content, err));
    CE_TRY(hash_rows(job, hex, err));
    return content && strcmp(hex, content) == 0 ? 0 : name_kept(job, ret_kept, err);
}

/* ---- switching ---- */

int ce_pg_put_in_place(const struct ce_sql_address *table, const char *faulted,
                       struct ce_error *err)
{
    JOB job = {0};
    char hex[CE_SHA256_HEX];
    CE_TRY(begin(table, &job, err));
    ce_autofree char *there = NULL;
    ce_autofree char *new_oid = NULL;
    ce_autofree char *new_name = sibling(&job, faulted);
    if (!new_name)
        return ce_fail_memory(err);
    CE_TRY(check_free(&job, err));
    CE_TRY(oid_of(&job, job.name, &there, err));
    if (!there)
        return ce_pg_fail_no_table(job.pg, &job.table, err);
    CE_TRY(oid_of(&job, new_name, &new_oid, err));
    if (!new_oid)
        return ce_fail(err, ENOENT, "the database has no table '%s' to be put in the place of '%s'",
                       faulted, table->table);
    CE_TRY(ce_pg_run(job.pg, err, "ALTER TABLE %s RENAME TO %s", job.name, job.bare_original));
    CE_TRY(ce_pg_run(job.pg, err, "ALTER TABLE %s RENAME TO %s", new_name, job.bare_name));
    CE_TRY(hash_rows(&job, hex, err));
    CE_TRY(ce_pg_run(job.pg, err,
                     "CREATE TABLE IF NOT EXISTS %s (name text PRIMARY KEY, original text,"
                     " faulted oid, content text)",
                     job.switches));
    ce_autofree char *insert =
        ce_format("INSERT INTO %s VALUES ($1, $1 || '" CE_SQL_ORIGINAL "', %s, '%s') RETURNING 1",
                  job.switches, new_oid, hex);
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
    ce_autofree char *kept = NULL;
    CE_TRY(noted(&job, job.switches, "faulted", &put_there, err));
    if (!put_there)
        return 0;
    CE_TRY(oid_of(&job, job.name, &there, err));
    CE_TRY(oid_of(&job, job.original, &original, err));
    if (!original || (there && strcmp(there, put_there) != 0))
        return CE_SQL_FOREIGN;
    if (there)
        CE_TRY(find_writes(&job, job.switches, &kept, err));
    ce_autofree char *bare_kept = kept ? ce_sql_quoted(kept) : NULL;
    if (bare_kept)
        CE_TRY(ce_pg_run(job.pg, err, "ALTER TABLE %s RENAME TO %s", job.name, bare_kept));
    else if (kept)
        return ce_fail_memory(err);
    else if (there)
        CE_TRY(ce_pg_run(job.pg, err, "DROP TABLE %s", job.name));
    CE_TRY(ce_pg_run(job.pg, err, "ALTER TABLE %s RENAME TO %s", job.original, job.bare_name));
    CE_TRY(forget(&job, job.switches, err));
    return ce_pg_run(job.pg, err, "COMMIT");
}

/* ---- in place ---- */

static int note_edit(struct job *job, const char *sha256, struct ce_error *err)
{
    ce_autofree char *done = NULL;
    CE_TRY(ce_pg_run(job->pg, err,
                     "CREATE TABLE IF NOT EXISTS %s (name text PRIMARY KEY, content text)",
                     job->edits));
    ce_autofree char *sql =
        ce_format("INSERT INTO %s VALUES ($1, '%s') RETURNING 1", job->edits, sha256);
    if (!sql)
        return ce_fail_memory(err);
    return ce_pg_ask_one(job->pg, sql, job->table.table, &done, err);
}

int ce_pg_edit(FILE *csv, const char *csv_path, const struct ce_sql_address *table,
               const char *sha256, struct ce_error *err)
{
    JOB job = {0};
    char hex[CE_SHA256_HEX];
    CE_TRY(begin(table, &job, err));
    CE_TRY(lock_table(&job, err));
    CE_TRY(check_free(&job, err));
    CE_TRY(hash_rows(&job, hex, err));
    if (strcmp(hex, sha256) != 0)
        return ce_fail(err, EBUSY,
                       "table '%s' was changed by someone else meanwhile; nothing was touched",
                       table->table);
    CE_TRY(ce_pg_replace_rows(job.pg, job.name, csv, csv_path, err));
    CE_TRY(hash_rows(&job, hex, err));
    CE_TRY(note_edit(&job, hex, err));
    return ce_pg_run(job.pg, err, "COMMIT");
}

static int keep_writes(struct job *job, struct ce_error *err)
{
    ce_autofree char *name = NULL;
    CE_TRY(find_writes(job, job->edits, &name, err));
    ce_autofree char *kept = name ? sibling(job, name) : NULL;
    if (kept)
        return ce_pg_run(job->pg, err, "CREATE TABLE %s AS SELECT * FROM %s", kept, job->name);
    return name ? ce_fail_memory(err) : 0;
}

int ce_pg_edit_back(const char *csv_path, const struct ce_sql_address *table, const char *sha256,
                    struct ce_error *err)
{
    JOB job = {0};
    ce_autofree char *written = NULL;
    ce_autofree char *there = NULL;
    ce_autofile FILE *csv = NULL;
    CE_TRY(begin(table, &job, err));
    CE_TRY(noted(&job, job.edits, "content", &written, err));
    if (!written)
        return 0;
    CE_TRY(oid_of(&job, job.name, &there, err));
    if (!there)
        return CE_SQL_FOREIGN;
    CE_TRY(ce_sql_open_rows(csv_path, sha256, &csv, err));
    CE_TRY(keep_writes(&job, err));
    CE_TRY(ce_pg_replace_rows(job.pg, job.name, csv, csv_path, err));
    CE_TRY(forget(&job, job.edits, err));
    return ce_pg_run(job.pg, err, "COMMIT");
}

int ce_pg_edit_forget(const struct ce_sql_address *table, struct ce_error *err)
{
    JOB job = {0};
    ce_autofree char *written = NULL;
    CE_TRY(begin(table, &job, err));
    CE_TRY(noted(&job, job.edits, "content", &written, err));
    if (!written)
        return 0;
    CE_TRY(forget(&job, job.edits, err));
    return ce_pg_run(job.pg, err, "COMMIT");
}

/* ---- what is there ---- */

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
