/* SPDX-License-Identifier: MIT */
#include "faults/data/table_switch.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/seam.h"

static int check_password(const char *address, struct ce_error *err)
{
    if (!ce_sql_has_password(address))
        return 0;
    return ce_fail(err, EINVAL,
                   "an address with a password would be written to the journal; leave it to "
                   "PGPASSFILE or PGSERVICE");
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
    CE_TRY(ce_sql_exists(faulted, &exists, err));
    if (exists)
        return ce_fail(err, EEXIST, "there is a table '%s' already, of another run", name);
    int note = ce_undo_note(journal, ce_undo_switch_table.name,
                            json_pack("{s:s, s:s}", "address", table, "faulted", faulted), err);
    if (note < 0)
        return note;
    ce_seam_step("table: noted");
    CE_CLEANUP(ce_sql_loaded_done) struct ce_sql_loaded loaded = {0};
    CE_TRY(ce_sql_import(csv_path, faulted, table, CE_SQL_NEW_TABLE, &loaded, err));
    ce_seam_step("table: loaded");
    CE_TRY(ce_sql_switch(table, name, err));
    ce_seam_step("table: switched");
    *ret_loaded = loaded;
    loaded = (struct ce_sql_loaded){0};
    return note;
}

/* ---- restore-table ---- */

static int restore(const json_t *args, struct ce_error *err)
{
    const char *address = json_string_value(json_object_get(args, "address"));
    const char *image = json_string_value(json_object_get(args, "image"));
    const char *sha256 = json_string_value(json_object_get(args, "sha256"));
    char found[CE_SHA256_HEX];
    bool exists;
    if (!address || !image || !sha256)
        return ce_fail(err, EINVAL, "the note lacks 'address', 'image' or 'sha256'");
    if (ce_sha256_file(image, found, NULL) < 0 || strcmp(found, sha256) != 0)
        return ce_fail(err, EBADMSG,
                       "cannot restore a table: its rows in '%s' are missing or changed", image);
    CE_TRY(ce_sql_exists(address, &exists, err));
    if (!exists)
        return CE_UNDO_FOREIGN;
    CE_CLEANUP(ce_sql_loaded_done) struct ce_sql_loaded loaded = {0};
    return ce_sql_import(image, address, NULL, CE_SQL_IN_PLACE, &loaded, err);
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
                  const char *image, struct ce_error *err)
{
    char sha256[CE_SHA256_HEX];
    CE_TRY(ce_sql_check(address, err));
    CE_TRY(check_password(address, err));
    CE_TRY(keep_rows(address, image, sha256, err));
    ce_autofree char *real = realpath(image, NULL);
    ce_autofree char *name = ce_sql_table(address);
    ce_autofree char *table = name ? ce_sql_sibling(address, name) : NULL;
    if (!real || !table)
        return ce_fail_memory(err);
    ce_seam_step("table: kept");
    int note = ce_undo_note(
        journal, ce_undo_restore_table.name,
        json_pack("{s:s, s:s, s:s}", "address", table, "image", real, "sha256", sha256), err);
    if (note < 0)
        return note;
    CE_CLEANUP(ce_sql_loaded_done) struct ce_sql_loaded loaded = {0};
    CE_TRY(ce_sql_import(csv_path, address, NULL, CE_SQL_IN_PLACE, &loaded, err));
    ce_seam_step("table: edited");
    return note;
}
