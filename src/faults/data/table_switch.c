/* SPDX-License-Identifier: MIT */
#include "faults/data/table_switch.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/seam.h"
#include "journal/undo_files.h"

static int check_password(const char *address, struct ce_error *err)
{
    if (!ce_sql_has_password(address))
        return 0;
    return ce_fail(err, EINVAL,
                   "an address with a password would be written to the journal; leave it to "
                   "PGPASSFILE or PGSERVICE");
}

/* Where rows are kept that others write meanwhile. */
static int check_kept(const char *address, struct ce_error *err)
{
    ce_autofree char *table = ce_sql_table(address);
    ce_autofree char *name = table ? ce_format("%s" CE_SQL_KEPT, table) : NULL;
    ce_autofree char *kept = name ? ce_sql_sibling(address, name) : NULL;
    bool exists;
    if (!kept)
        return ce_fail_memory(err);
    CE_TRY(ce_sql_exists(kept, &exists, err));
    return exists ? ce_fail(err, EEXIST,
                            "there is a table '%s' already, of an earlier run: rows that others "
                            "had written; rename or drop it",
                            name)
                  : 0;
}

/* ---- switch-table ---- */

static int switch_back(const json_t *args, struct ce_error *err)
{
    const char *address = json_string_value(json_object_get(args, "address"));
    const char *faulted = json_string_value(json_object_get(args, "faulted"));
    if (!address || !faulted)
        return ce_fail(err, EINVAL, "the note lacks 'address' or 'faulted'");
    int r = ce_sql_switch_back(address, err);
    if (r < 0)
        return r;
    /* It was loaded, but did not come into the table's place. */
    CE_TRY(ce_sql_drop(faulted, err));
    return r == CE_SQL_FOREIGN ? CE_UNDO_FOREIGN : 0;
}

const struct ce_undo_op ce_undo_switch_table = {.name = "switch-table", .undo = switch_back};

/* The faulted table's name and address, and the address of the table itself, all to be freed. */
static int name_faulted(const char *address, char **ret_name, char **ret_faulted, char **ret_table,
                        struct ce_error *err)
{
    CE_TRY(ce_sql_check(address, err));
    ce_autofree char *table = ce_sql_table(address);
    ce_autofree char *name = table ? ce_format("%s" CE_SQL_FAULTED, table) : NULL;
    ce_autofree char *faulted = name ? ce_sql_sibling(address, name) : NULL;
    *ret_table = faulted ? ce_sql_sibling(address, table) : NULL;
    if (!*ret_table)
        return ce_fail_memory(err);
    *ret_name = ce_take(name);
    *ret_faulted = ce_take(faulted);
    return 0;
}

int ce_table_switch(struct ce_journal *journal, const char *address, const char *csv_path,
                    struct ce_sql_loaded *ret_loaded, struct ce_error *err)
{
    ce_autofree char *name = NULL;
    ce_autofree char *faulted = NULL;
    ce_autofree char *table = NULL;
    bool exists;
    CE_TRY(name_faulted(address, &name, &faulted, &table, err));
    CE_TRY(check_password(address, err));
    CE_TRY(check_kept(address, err));
    CE_TRY(ce_sql_exists(faulted, &exists, err));
    if (exists)
        return ce_fail(err, EEXIST, "there is a table '%s' already, of another run", name);
    int note = ce_undo_note(journal, ce_undo_switch_table.name,
                            json_pack("{s:s, s:s}", "address", table, "faulted", faulted), err);
    if (note < 0)
        return note;
    ce_seam_step("table: noted");
    CE_CLEANUP(ce_sql_loaded_done) struct ce_sql_loaded loaded = {0};
    CE_TRY(ce_sql_import(csv_path, faulted, table, &loaded, err));
    ce_seam_step("table: loaded");
    CE_TRY(ce_sql_switch(table, name, err));
    ce_seam_step("table: switched");
    *ret_loaded = loaded;
    loaded = (struct ce_sql_loaded){0};
    return note;
}

/* ---- restore-table ---- */

/* The table's name, as one of a file. */
static char *image_name(const char *address)
{
    char *name = ce_sql_table(address);
    for (char *at = name; at && *at; at++)
        if (*at == '/')
            *at = '_';
    return name;
}

char *ce_table_kept_image(const char *state_dir, const char *address, const char *sha256)
{
    ce_autofree char *name = image_name(address);
    return name ? ce_undo_kept_image(state_dir, name, sha256) : NULL;
}

static int restore(const json_t *args, struct ce_error *err)
{
    const char *address = json_string_value(json_object_get(args, "address"));
    const char *image = json_string_value(json_object_get(args, "image"));
    const char *sha256 = json_string_value(json_object_get(args, "sha256"));
    if (!address || !image || !sha256)
        return ce_fail(err, EINVAL, "the note lacks 'address', 'image' or 'sha256'");
    int r = ce_sql_edit_back(image, address, sha256, err);
    if (r != CE_SQL_FOREIGN)
        return r;
    ce_autofree char *name = image_name(address);
    if (!name)
        return ce_fail_memory(err);
    r = ce_undo_keep_image(image, name, sha256, err);
    if (r < 0)
        return r;
    CE_TRY(ce_sql_edit_forget(address, err)); /* last: or a second attempt would not keep them */
    return r;
}

const struct ce_undo_op ce_undo_restore_table = {.name = "restore-table", .undo = restore};

/* The table's rows in a file that survives a crash. */
static int keep_rows(const char *address, const char *image, char ret_sha256[CE_SHA256_HEX],
                     struct ce_error *err)
{
    CE_TRY(ce_sql_export(address, image, err));
    ce_autofd int fd = open(image, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return ce_fail(err, errno, "cannot keep the rows in '%s': %s", image, strerror(errno));
    ce_autofree char *path = strdup(image);
    if (!path)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_sync(dirname(path), err));
    return ce_sha256_file(image, ret_sha256, err);
}

int ce_table_edit(struct ce_journal *journal, const char *address, const char *csv_path,
                  const char *sha256, const char *image, struct ce_error *err)
{
    char kept[CE_SHA256_HEX];
    CE_TRY(ce_sql_check(address, err));
    CE_TRY(check_password(address, err));
    ce_autofree char *name = ce_sql_table(address);
    ce_autofree char *table = name ? ce_sql_sibling(address, name) : NULL;
    if (!table)
        return ce_fail_memory(err);
    CE_TRY(check_kept(address, err));
    CE_TRY(keep_rows(address, image, kept, err));
    if (strcmp(kept, sha256) != 0)
        return ce_fail(err, EBUSY,
                       "table '%s' was changed by someone else meanwhile; nothing was touched",
                       name);
    ce_autofree char *real = realpath(image, NULL);
    if (!real)
        return ce_fail_memory(err);
    ce_seam_step("table: kept");
    int note = ce_undo_note(
        journal, ce_undo_restore_table.name,
        json_pack("{s:s, s:s, s:s}", "address", table, "image", real, "sha256", sha256), err);
    if (note < 0)
        return note;
    ce_seam_step("table: noted");
    CE_TRY(ce_sql_edit(csv_path, table, sha256, err));
    ce_seam_step("table: edited");
    return note;
}
