/* SPDX-License-Identifier: MIT */
#include "data/sql/sql.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "data/sql/sql_internal.h"

#define ADDRESS CE_CLEANUP(ce_sql_address_done) struct ce_sql_address

static int export_to(const struct ce_sql_address *table, int fd, const char *path,
                     struct ce_error *err)
{
    ce_autofile FILE *out = fdopen(fd, "w");
    if (!out) {
        (void)close(fd);
        return ce_fail_memory(err);
    }
    CE_TRY(table->engine->export(table, out, err));
    if (fclose(ce_take(out)) != 0)
        return ce_fail(err, errno, "cannot write '%s': %s", path, strerror(errno));
    return 0;
}

int ce_sql_export(const char *address, const char *csv_path, struct ce_error *err)
{
    ADDRESS table = {0};
    CE_TRY(ce_sql_address_parse(address, &table, err));
    int fd = open(csv_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return ce_fail(err, errno, "cannot write '%s': %s", csv_path, strerror(errno));
    int r = export_to(&table, fd, csv_path, err);
    if (r < 0)
        (void)unlink(csv_path);
    return r;
}

static int open_csv(const char *path, FILE **ret_csv, struct ce_error *err)
{
    *ret_csv = fopen(path, "re");
    return *ret_csv ? 0 : ce_fail(err, errno, "cannot read '%s': %s", path, strerror(errno));
}

int ce_sql_import(const char *csv_path, const char *address, const char *like,
                  struct ce_sql_loaded *ret_loaded, struct ce_error *err)
{
    ADDRESS table = {0}, model = {0};
    CE_TRY(ce_sql_address_parse(address, &table, err));
    if (like)
        CE_TRY(ce_sql_address_parse(like, &model, err));
    if (like && model.engine != table.engine)
        return ce_fail(err, EINVAL, "a %s table cannot be made like a %s table",
                       table.engine->scheme, model.engine->scheme);
    ce_autofile FILE *csv = NULL;
    CE_TRY(open_csv(csv_path, &csv, err));
    CE_CLEANUP(ce_sql_loaded_done) struct ce_sql_loaded loaded = {0};
    CE_TRY(table.engine->import(csv, csv_path, &table, like ? &model : NULL, &loaded, err));
    *ret_loaded = loaded;
    loaded = (struct ce_sql_loaded){0};
    return 0;
}

void ce_sql_loaded_done(struct ce_sql_loaded *loaded)
{
    for (size_t i = 0; i < loaded->as_text.count; i++)
        free(loaded->as_text.names[i]);
    free(loaded->as_text.names);
    *loaded = (struct ce_sql_loaded){0};
}

int ce_sql_switch(const char *address, const char *faulted, struct ce_error *err)
{
    ADDRESS table = {0};
    CE_TRY(ce_sql_address_parse(address, &table, err));
    return table.engine->put_in_place(&table, faulted, err);
}

int ce_sql_switch_back(const char *address, struct ce_error *err)
{
    ADDRESS table = {0};
    CE_TRY(ce_sql_address_parse(address, &table, err));
    return table.engine->put_back(&table, err);
}

/* ---- in place ---- */

int ce_sql_edit(const char *csv_path, const char *address, const char *sha256, struct ce_error *err)
{
    ADDRESS table = {0};
    ce_autofile FILE *csv = NULL;
    CE_TRY(ce_sql_address_parse(address, &table, err));
    CE_TRY(open_csv(csv_path, &csv, err));
    return table.engine->edit(csv, csv_path, &table, sha256, err);
}

int ce_sql_edit_back(const char *csv_path, const char *address, const char *sha256,
                     struct ce_error *err)
{
    ADDRESS table = {0};
    CE_TRY(ce_sql_address_parse(address, &table, err));
    return table.engine->edit_back(csv_path, &table, sha256, err);
}

int ce_sql_edit_forget(const char *address, struct ce_error *err)
{
    ADDRESS table = {0};
    CE_TRY(ce_sql_address_parse(address, &table, err));
    return table.engine->edit_forget(&table, err);
}

int ce_sql_open_rows(const char *csv_path, const char *sha256, FILE **ret_csv, struct ce_error *err)
{
    char found[CE_SHA256_HEX];
    if (ce_sha256_file(csv_path, found, NULL) < 0 || strcmp(found, sha256) != 0)
        return ce_fail(err, EBADMSG,
                       "cannot restore a table: its rows in '%s' are missing or changed", csv_path);
    return open_csv(csv_path, ret_csv, err);
}

static ssize_t add_bytes(void *cookie, const char *data, size_t size)
{
    ce_sha256_add(cookie, data, size);
    return (ssize_t)size;
}

int ce_sql_hasher_open(struct ce_sql_hasher *hasher, struct ce_error *err)
{
    hasher->sha = ce_sha256_new();
    if (hasher->sha)
        hasher->out = fopencookie(hasher->sha, "w", (cookie_io_functions_t){.write = add_bytes});
    return hasher->out ? 0 : ce_fail_memory(err);
}

int ce_sql_hasher_end(struct ce_sql_hasher *hasher, char ret_hex[CE_SHA256_HEX],
                      struct ce_error *err)
{
    if (fclose(ce_take(hasher->out)) != 0)
        return ce_fail_memory(err);
    ce_sha256_end(ce_take(hasher->sha), ret_hex);
    return 0;
}

void ce_sql_hasher_done(struct ce_sql_hasher *hasher)
{
    if (hasher->out)
        (void)fclose(hasher->out);
    ce_sha256_free(hasher->sha);
}

/* ---- what is there ---- */

int ce_sql_exists(const char *address, bool *ret_exists, struct ce_error *err)
{
    ADDRESS table = {0};
    CE_TRY(ce_sql_address_parse(address, &table, err));
    return table.engine->exists(&table, ret_exists, err);
}

int ce_sql_drop(const char *address, struct ce_error *err)
{
    ADDRESS table = {0};
    CE_TRY(ce_sql_address_parse(address, &table, err));
    return table.engine->drop(&table, err);
}
