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

int ce_sql_import(const char *csv_path, const char *address, const char *like,
                  enum ce_sql_write how, struct ce_sql_loaded *ret_loaded, struct ce_error *err)
{
    ADDRESS table = {0}, model = {0};
    CE_TRY(ce_sql_address_parse(address, &table, err));
    if (like)
        CE_TRY(ce_sql_address_parse(like, &model, err));
    if (like && model.engine != table.engine)
        return ce_fail(err, EINVAL, "a %s table cannot be made like a %s table",
                       table.engine->scheme, model.engine->scheme);
    ce_autofile FILE *csv = fopen(csv_path, "re");
    if (!csv)
        return ce_fail(err, errno, "cannot read '%s': %s", csv_path, strerror(errno));
    CE_CLEANUP(ce_sql_loaded_done) struct ce_sql_loaded loaded = {0};
    CE_TRY(table.engine->import(csv, csv_path, &table, like ? &model : NULL, how, &loaded, err));
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
