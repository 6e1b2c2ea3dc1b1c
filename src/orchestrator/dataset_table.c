/* SPDX-License-Identifier: MIT */
/* Jobs on tables in databases. The engine works on files, so a table passes through one: it is
 * exported to a private folder, and what is to become a table is written there first. Messages name
 * the table's address and not that file. */
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data/text/chunk.h"
#include "orchestrator/dataset_internal.h"

char *ce_data_shown_name(const char *name)
{
    return ce_sql_shown(name);
}

/* ---- files in the place of tables ---- */

int ce_table_file_open(const char *name, struct ce_table_file *ret_file, struct ce_error *err)
{
    *ret_file = (struct ce_table_file){.path = name, .name = name};
    if (!ce_sql_is(name))
        return 0;
    CE_CLEANUP(ce_table_file_done) struct ce_table_file file = {0};
    CE_TRY(ce_table_folder_make(&file.folder, err));
    file.own_path = ce_format("%s/table.csv", file.folder.path);
    file.own_name = ce_sql_shown(name);
    if (!file.own_path || !file.own_name)
        return ce_fail_memory(err);
    CE_TRY(ce_sql_export(name, file.own_path, err));
    file.path = file.own_path;
    file.name = file.own_name;
    *ret_file = file;
    file = (struct ce_table_file){0};
    return 0;
}

void ce_table_file_done(struct ce_table_file *file)
{
    ce_table_folder_remove(&file->folder);
    free(file->own_path);
    free(file->own_name);
    *file = (struct ce_table_file){0};
}

/* Replaces a part of a text that has room for `size` bytes; what does not fit is cut off. */
static void rename_in(char *text, size_t size, const char *part, const char *by)
{
    char *at = strstr(text, part);
    if (!at)
        return;
    ce_autofree char *whole = ce_format("%.*s%s%s", (int)(at - text), text, by, at + strlen(part));
    if (whole)
        snprintf(text, size, "%s", whole);
}

static int fail_as(int r, const char *path, const char *name, struct ce_error *err)
{
    if (r < 0 && err) {
        rename_in(err->where, sizeof err->where, path, name);
        rename_in(err->message, sizeof err->message, path, name);
    }
    return r;
}

int ce_table_file_fail(const struct ce_table_file *file, int r, struct ce_error *err)
{
    return file->folder.path ? fail_as(r, file->path, file->name, err) : r;
}

/* ---- files that become tables ---- */

struct target {
    const char *address; /* borrowed */
    const char *path;    /* where the file is to be written */
    struct ce_table_folder folder;
    char *own_path, *name;
};

static void target_done(struct target *target)
{
    ce_table_folder_remove(&target->folder);
    free(target->own_path);
    free(target->name);
}
#define TARGET CE_CLEANUP(target_done) struct target

/* Refuses a table that is there before any work is done for it. A database that is not there yet
 * may be made. */
static int target_open(const char *name, struct target *target, struct ce_error *err)
{
    *target = (struct target){.address = name, .path = name};
    if (!ce_sql_is(name))
        return 0;
    bool exists = false;
    CE_TRY(ce_sql_check(name, err));
    target->name = ce_sql_shown(name);
    if (!target->name)
        return ce_fail_memory(err);
    struct ce_error why = {0};
    int r = ce_sql_exists(name, &exists, &why);
    if (r < 0 && r != -ENOENT)
        return ce_fail(err, why.code, "%s", why.message);
    if (exists)
        return ce_fail(err, EEXIST,
                       "there is a table already: %s; a new one is written, never over one",
                       target->name);
    CE_TRY(ce_table_folder_make(&target->folder, err));
    /* No ending: the format of the content is found out by its bytes. */
    target->own_path = ce_format("%s/rows", target->folder.path);
    target->path = target->own_path;
    return target->own_path ? 0 : ce_fail_memory(err);
}

/* Why a file of that kind cannot be made a table; NULL: it can. */
static const char *odd(const struct ce_text_table *table)
{
    if (table->format != &ce_csv_format)
        return "it is JSON lines";
    if (table->delimiter != ',')
        return "its separator is no comma";
    if (table->headerless)
        return "it has no header";
    if (table->header_at > 0)
        return "its header does not begin with its first byte";
    if (table->backslash)
        return "it has escapes with backslashes";
    return table->comment ? "it has comments" : NULL;
}

static int check_csv(const char *path, const char *name, const struct ce_data_job_options *options,
                     struct ce_error *err)
{
    CE_CLEANUP(ce_chunk_reader_close_p) struct ce_chunk_reader *reader = NULL;
    struct ce_chunk_options how = {
        .name = name, .delimiter = options->delimiter, .headerless = options->headerless};
    CE_TRY(ce_chunk_reader_open(path, &how, &reader, err));
    const char *why = odd(ce_chunk_reader_table(reader));
    return why ? ce_fail(err, EINVAL, "only plain CSV becomes a table, and '%s' is none: %s", name,
                         why)
               : 0;
}

static bool same_kind(const char *a, const char *b)
{
    return ce_sql_is(a) && ce_sql_is(b) &&
           (strncmp(a, "sqlite:", 7) == 0) == (strncmp(b, "sqlite:", 7) == 0);
}

/* Makes the table. `from`: where the rows came from. */
static int target_load(const struct target *target, const char *from, struct ce_sql_loaded *loaded,
                       struct ce_error *err)
{
    const char *like = same_kind(from, target->address) ? from : NULL;
    int r = ce_sql_import(target->path, target->address, like, loaded, err);
    return fail_as(r, target->path, target->name, err);
}

/* ---- inject ---- */

int ce_table_add_loaded(json_t *result, const struct ce_sql_loaded *loaded, struct ce_error *err)
{
    json_t *names = json_array();
    for (size_t i = 0; i < loaded->as_text.count; i++) {
        json_t *name = json_string(loaded->as_text.names[i]);
        (void)json_array_append_new(names, name ? name : json_string("(not UTF-8)"));
    }
    return json_object_set_new(result, "as_text", names) < 0 ? ce_fail_memory(err) : 0;
}

/* Whether the new table gives the bytes that the key was made for: a database may write a value in
 * another way than the fault did. */
static int add_revertible(json_t *result, const struct target *target, struct ce_error *err)
{
    char hex[CE_SHA256_HEX];
    CE_CLEANUP(ce_table_file_done) struct ce_table_file back = {0};
    CE_TRY(ce_table_file_open(target->address, &back, err));
    CE_TRY(ce_sha256_file(back.path, hex, err));
    bool same = strcmp(hex, json_string_value(json_object_get(result, "sha256_out"))) == 0;
    return json_object_set_new(result, "revertible", json_boolean(same)) < 0 ? ce_fail_memory(err)
                                                                             : 0;
}

/* What was written for the target becomes the table. */
static int finish(const struct target *target, const struct ce_table_file *in, const char *from,
                  const struct ce_data_job_options *options, json_t *result, struct ce_error *err)
{
    CE_CLEANUP(ce_sql_loaded_done) struct ce_sql_loaded loaded = {0};
    if (!in->folder.path)
        CE_TRY(check_csv(target->path, in->name, options, err));
    if (options->signal && *options->signal)
        return ce_fail(err, EINTR, "interrupted");
    CE_TRY(target_load(target, from, &loaded, err));
    int r = ce_table_add_loaded(result, &loaded, err);
    if (r == 0 && options->key)
        r = add_revertible(result, target, err);
    if (r < 0)
        (void)ce_sql_drop(target->address, NULL);
    return r;
}

int ce_job_run_table(const struct ce_data_job *job, const char *in, const char *out,
                     const struct ce_data_job_options *options, json_t **ret_json,
                     struct ce_error *err)
{
    CE_CLEANUP(ce_table_file_done) struct ce_table_file file = {0};
    TARGET target = {0};
    ce_autojson json_t *result = NULL;
    if (ce_sql_is(in) && (options->delimiter || options->headerless))
        return ce_fail(err, EINVAL, "a table in a database has names and no delimiter");
    CE_TRY(target_open(out, &target, err));
    CE_TRY(ce_table_file_open(in, &file, err));
    CE_TRY(ce_job_run_file(job, file.path, file.name, target.path, options, &result, err));
    int r = target.folder.path ? finish(&target, &file, in, options, result, err) : 0;
    if (r < 0 && options->key)
        (void)unlink(options->key); /* it belongs to nothing */
    if (r == 0)
        *ret_json = ce_take(result);
    return r;
}

/* ---- keys ---- */

int ce_data_revert(const char *out, const char *key, const char *back, struct ce_error *err)
{
    CE_CLEANUP(ce_table_file_done) struct ce_table_file file = {0};
    CE_CLEANUP(ce_sql_loaded_done) struct ce_sql_loaded loaded = {0};
    TARGET target = {0};
    CE_TRY(target_open(back, &target, err));
    CE_TRY(ce_table_file_open(out, &file, err));
    CE_TRY(ce_table_file_fail(&file, ce_data_revert_file(file.path, key, target.path, err), err));
    if (!target.folder.path)
        return 0;
    static const struct ce_data_job_options plain;
    if (!file.folder.path)
        CE_TRY(check_csv(target.path, file.name, &plain, err));
    return target_load(&target, out, &loaded, err);
}

int ce_data_key_export(const char *key, const char *out, const char *to, struct ce_error *err)
{
    CE_CLEANUP(ce_table_file_done) struct ce_table_file file = {0};
    if (!out)
        return ce_data_key_export_file(key, NULL, to, err);
    CE_TRY(ce_table_file_open(out, &file, err));
    return ce_table_file_fail(&file, ce_data_key_export_file(key, file.path, to, err), err);
}
