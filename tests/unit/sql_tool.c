/* SPDX-License-Identifier: MIT */
/* The functions of data/sql/sql.h as a program, for tests that need a real server:
 *
 *     sql_tool export ADDRESS CSV          sql_tool import CSV ADDRESS [LIKE]
 *     sql_tool switch ADDRESS FAULTED      sql_tool back ADDRESS
 *     sql_tool edit CSV ADDRESS SHA256     sql_tool edit-back CSV ADDRESS SHA256
 *     sql_tool drop ADDRESS
 *
 * Prints what a function returns, and for an import how many rows it wrote and which columns became
 * text. Exits with 1 and the sentence when it failed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/sql/sql.h"

static int import(const char *csv, const char *address, const char *like, struct ce_error *err)
{
    struct ce_sql_loaded loaded = {0};
    int r = ce_sql_import(csv, address, like, &loaded, err);
    if (r == 0)
        printf("%" PRIu64 " rows", loaded.rows);
    for (size_t i = 0; i < loaded.as_text.count; i++)
        printf(", %s as text", loaded.as_text.names[i]);
    ce_sql_loaded_done(&loaded);
    return r;
}

static int run(const char *verb, const char *a, const char *b, const char *c, struct ce_error *err)
{
    if (strcmp(verb, "export") == 0)
        return ce_sql_export(a, b, err);
    if (strcmp(verb, "import") == 0)
        return import(a, b, c, err);
    if (strcmp(verb, "edit") == 0)
        return ce_sql_edit(a, b, c, err);
    if (strcmp(verb, "edit-back") == 0)
        return ce_sql_edit_back(a, b, c, err);
    if (strcmp(verb, "switch") == 0)
        return ce_sql_switch(a, b, err);
    if (strcmp(verb, "back") == 0)
        return ce_sql_switch_back(a, err);
    if (strcmp(verb, "drop") == 0)
        return ce_sql_drop(a, err);
    return ce_fail(err, EINVAL, "no verb '%s'", verb);
}

int main(int argc, char **argv)
{
    struct ce_error err = {0};
    if (argc < 3)
        return 2;
    const char *b = argc > 3 ? argv[3] : NULL, *c = argc > 4 ? argv[4] : NULL;
    int r = run(argv[1], argv[2], b, c, &err);
    if (r < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%s\n", r == CE_SQL_FOREIGN ? "foreign" : "");
    return 0;
}
