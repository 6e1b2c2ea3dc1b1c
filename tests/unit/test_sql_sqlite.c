/* SPDX-License-Identifier: MIT */
#include <sqlite3.h>
#include <sys/stat.h>

#include "data/sql/sql.h"
#include "data/sql/sql_internal.h"
#include "data_files.h"

CE_DEFINE_CLEANUP(sqlite3, sqlite3_close);

/* Runs statements on a database of the folder, with a library of nobody here. */
static void run(const char *path, const char *sql)
{
    CE_CLEANUP(sqlite3_close_p) sqlite3 *db = NULL;
    char *message = NULL;
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        printf("# %s: %s\n", sql, message ? message : "cannot open");
        exit(99);
    }
}

static int add_row(void *ctx, int count, char **values, char **names)
{
    char *text = ctx;
    for (int i = 0; i < count; i++)
        snprintf(text + strlen(text), 2000 - strlen(text), "%s%s", i > 0 ? "|" : "",
                 values[i] ? values[i] : "NULL");
    strcat(text, "\n");
    return 0;
}

/* The rows of a query, "a|b" lines. Valid until the next call. */
static const char *ask(const char *path, const char *sql)
{
    static char text[2048];
    CE_CLEANUP(sqlite3_close_p) sqlite3 *db = NULL;
    text[0] = '\0';
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, add_row, text, NULL) != SQLITE_OK)
        snprintf(text, sizeof text, "%s", sqlite3_errmsg(db));
    return text;
}

/* "sqlite:FOLDER/test.db?table=NAME", as long as the folder lives. */
static const char *address(struct folder *folder, const char *table)
{
    char name[128];
    snprintf(name, sizeof name, "test.db?table=%s", table);
    const char *path = folder_file(folder, name);
    char *whole = ce_format("sqlite:%s", path);
    for (size_t i = 0; whole && i < CE_COUNT(folder->given); i++)
        if (!folder->given[i])
            return folder->given[i] = whole;
    exit(99);
}

#define CSV(folder) folder_file(folder, "rows.csv")

/* ---- out and in ---- */

static const char values_sql[] =
    "CREATE TABLE t(i INTEGER, r REAL, s TEXT, b BLOB, n NUMERIC, \"any thing\", v VARCHAR(3));"
    "INSERT INTO t VALUES(1, 1.0, 'one', x'00ff', 12, 'a', 'abc'),"
    " (-9223372036854775808, 0.1, '', x'', 1.5, 12, '12'),"
    " (9223372036854775807, 1e300, 'a,\"b\"' || char(10) || 'c', NULL, 'text', 12.0, NULL),"
    " (NULL, 5e-324, 'x''31''', x'7827', 1e20, '12', '007'),"
    " ('text', -1.7976931348623157e308, '12', 'text', NULL, '1.0', 'NULL'),"
    " (0, 9e999, 'na\xC3\xAFve', x'2c220a', 0.30000000000000004, x'', ''),"
    " (7, -9e999, NULL, zeroblob(3), 123456789012345680, -0.5, 'x''zz''');";

/* All there is to know of every value. */
static const char look_sql[] =
    "SELECT typeof(i), quote(i), typeof(r), quote(r), quote(s), quote(b), typeof(n), quote(n),"
    " typeof(\"any thing\"), quote(\"any thing\"), typeof(v), quote(v) FROM ";

static void every_value_survives(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_sql_loaded loaded = {0};
    const char *db = folder_file(&folder, "test.db");
    run(db, values_sql);
    REQUIRE_OK(ce_sql_export(address(&folder, "t"), CSV(&folder), &err), err);
    REQUIRE_OK(
        ce_sql_import(CSV(&folder), address(&folder, "copy"), address(&folder, "t"), &loaded, &err),
        err);
    CHECK(loaded.rows == 7 && loaded.as_text.count == 0);
    char query[600];
    ce_autofree char *before = NULL;
    snprintf(query, sizeof query, "%st", look_sql);
    before = strdup(ask(db, query));
    REQUIRE(before && strstr(before, "integer|-9223372036854775808|real|0.1") != NULL);
    snprintf(query, sizeof query, "%scopy", look_sql);
    CHECK_TEXT(ask(db, query), before);
    CHECK_TEXT(ask(db, "SELECT name, type FROM pragma_table_info('copy')"),
               "i|INTEGER\nr|REAL\ns|TEXT\nb|BLOB\nn|NUMERIC\nany thing|\nv|VARCHAR(3)\n");
    ce_sql_loaded_done(&loaded);
}

static void the_file_is_private_and_says_the_types(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct stat st;
    run(folder_file(&folder, "test.db"),
        "CREATE TABLE t(a, \"b c\"); INSERT INTO t VALUES(1, NULL), (2.0, ''), ('3', x'0a'),"
        " (1e100, 'say \"no\"'), (9e999, 0.1);");
    REQUIRE_OK(ce_sql_export(address(&folder, "t"), CSV(&folder), &err), err);
    static const char want[] = "a,\"b c\"\n1,\n2.0,\"\"\n\"3\",x'0a'\n1e+100,\"say \"\"no\"\"\"\n"
                               "9e999,0.1\n";
    CHECK(same_bytes(CSV(&folder), want, sizeof want - 1));
    CHECK(stat(CSV(&folder), &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK(ce_sql_export(address(&folder, "t"), CSV(&folder), &err) == -EEXIST);
}

static void rows_come_as_they_are_stored(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    run(folder_file(&folder, "test.db"),
        "CREATE TABLE t(rowid TEXT, oid INT); INSERT INTO t(_rowid_, rowid, oid) VALUES(3, 'c', 1),"
        " (1, 'b', 2), (2, 'a', 3);"
        "CREATE TABLE k(b, a, PRIMARY KEY(a, b)) WITHOUT ROWID; INSERT INTO k VALUES(2, 1), (1, 2),"
        " (1, 1); CREATE VIEW w AS SELECT rowid AS name FROM t WHERE oid < 3 ORDER BY 1;");
    REQUIRE_OK(ce_sql_export(address(&folder, "t"), CSV(&folder), &err), err);
    CHECK(same_bytes(CSV(&folder), "rowid,oid\n\"b\",2\n\"a\",3\n\"c\",1\n", 28));
    REQUIRE_OK(ce_sql_export(address(&folder, "k"), folder_file(&folder, "k.csv"), &err), err);
    CHECK(same_bytes(folder_file(&folder, "k.csv"), "b,a\n1,1\n2,1\n1,2\n", 16));
    REQUIRE_OK(ce_sql_export(address(&folder, "w"), folder_file(&folder, "w.csv"), &err), err);
    CHECK(same_bytes(folder_file(&folder, "w.csv"), "name\n\"b\"\n\"c\"\n", 13));
}

static void a_lone_column_keeps_its_nulls(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_sql_loaded loaded = {0};
    run(folder_file(&folder, "test.db"),
        "CREATE TABLE t(a); INSERT INTO t VALUES(NULL), (1), (NULL), (''), (NULL);");
    REQUIRE_OK(ce_sql_export(address(&folder, "t"), CSV(&folder), &err), err);
    REQUIRE_OK(
        ce_sql_import(CSV(&folder), address(&folder, "c"), address(&folder, "t"), &loaded, &err),
        err);
    CHECK_TEXT(ask(folder_file(&folder, "test.db"), "SELECT quote(a) FROM c"),
               "NULL\n1\nNULL\n''\nNULL\n");
}

static void what_faults_write_goes_in(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_sql_loaded loaded = {0};
    /* A key is there twice or missing, a number is none, a column is new, one is gone, others
     * changed places; there are blank lines, and a row is short. */
    static const char text[] = "s,extra,i\r\nNA,1,1\r\n,2,1\r\n\r\n\"12\",,\n007,\"\",4o\n5,6\n";
    const char *db = folder_file(&folder, "test.db");
    run(db, "CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT NOT NULL COLLATE NOCASE UNIQUE, x);");
    REQUIRE_OK(ce_sql_import(folder_write(&folder, "rows.csv", text, sizeof text - 1),
                             address(&folder, "c"), address(&folder, "t"), &loaded, &err),
               err);
    CHECK(loaded.rows == 5);
    CHECK_TEXT(ask(db, "SELECT quote(s), quote(extra), quote(i) FROM c"),
               "'NA'|1|1\nNULL|2|1\n'12'|NULL|NULL\n'007'|''|'4o'\n'5'|6|NULL\n");
    CHECK_TEXT(ask(db, "SELECT count(*) FROM c WHERE s = 'na'"), "1\n");
}

static void a_new_table_must_be_new(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_sql_loaded loaded = {0};
    const char *csv = folder_write(&folder, "rows.csv", "a\n1\n", 4);
    run(folder_file(&folder, "test.db"), "CREATE TABLE t(a); CREATE VIEW w AS SELECT 1 AS a;");
    CHECK(ce_sql_import(csv, address(&folder, "T"), NULL, &loaded, &err) == -EEXIST);
    CHECK(strstr(err.message, "has a table 'T' already") != NULL);
    CHECK(ce_sql_import(csv, address(&folder, "w"), NULL, &loaded, &err) == -EEXIST);
}

static void a_failed_import_leaves_nothing(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_sql_loaded loaded = {0};
    const char *db = folder_file(&folder, "test.db");
    const char *csv = folder_write(&folder, "rows.csv", "a,b\n1,2\n3,\"4\n", 13);
    CHECK(ce_sql_import(csv, address(&folder, "c"), NULL, &loaded, &err) == -EINVAL);
    CHECK(strstr(err.message, "rows.csv:3: a quoted cell is not closed") != NULL);
    CHECK(access(db, F_OK) < 0); /* there was no such database before */
    run(db, "CREATE TABLE t(a)");
    CHECK(ce_sql_import(csv, address(&folder, "c"), NULL, &loaded, &err) < 0);
    CHECK_TEXT(ask(db, "SELECT name FROM sqlite_schema"), "t\n");
}

static void what_is_not_there_is_named(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *db = folder_file(&folder, "test.db");
    CHECK(ce_sql_export(address(&folder, "t"), CSV(&folder), &err) == -ENOENT);
    CHECK(strstr(err.message, "unable to open database file") != NULL);
    run(db, "CREATE TABLE trips(a)");
    CHECK(ce_sql_export(address(&folder, "tripz"), CSV(&folder), &err) == -ENOENT);
    CHECK(strstr(err.message, "has no table 'tripz'; did you mean 'trips'?") != NULL);
    folder_write(&folder, "test.db", "no database at all, but text that is long enough", 48);
    CHECK(ce_sql_export(address(&folder, "t"), CSV(&folder), &err) == -EINVAL);
    CHECK(strstr(err.message, "not a database") != NULL);
    CHECK(access(CSV(&folder), F_OK) < 0);
}

/* ---- switching ---- */

static const char shop[] =
    "CREATE TABLE items(id INTEGER PRIMARY KEY, price REAL NOT NULL);"
    "CREATE TABLE orders(item INTEGER REFERENCES items(id)); CREATE INDEX by_price ON items(price);"
    "CREATE VIEW dear AS SELECT id FROM items WHERE price > 10;"
    "INSERT INTO items VALUES(1, 5), (2, 20); INSERT INTO orders VALUES(2);"
    "CREATE TABLE faulted(id INTEGER, price REAL); INSERT INTO faulted VALUES(1, NULL), (1, 99);";

static const char look_schema[] = "SELECT type, name, tbl_name FROM sqlite_schema ORDER BY name";

static void readers_see_the_faulted_table_until_it_is_put_back(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *db = folder_file(&folder, "test.db"), *items = address(&folder, "items");
    run(db, shop);
    ce_autofree char *before = strdup(ask(db, look_schema));
    REQUIRE_OK(ce_sql_switch(items, "faulted", &err), err);
    CHECK_TEXT(ask(db, "SELECT id, price FROM items"), "1|NULL\n1|99.0\n");
    CHECK_TEXT(ask(db, "SELECT id FROM dear"), "1\n");
    CHECK_TEXT(ask(db, "SELECT id, price FROM items__chaoseater_original"), "1|5.0\n2|20.0\n");
    CHECK_TEXT(ask(db, "SELECT name, original FROM chaoseater_switches"),
               "items|items__chaoseater_original\n");
    CHECK(ce_sql_switch(items, "faulted", &err) == -EBUSY);
    CHECK(strstr(err.message, "is switched already") != NULL);

    REQUIRE_OK(ce_sql_switch_back(items, &err), err);
    CHECK_TEXT(ask(db, "SELECT id, price FROM items"), "1|5.0\n2|20.0\n");
    CHECK_TEXT(ask(db, "SELECT id FROM dear"), "2\n");
    CHECK_TEXT(ask(db, "PRAGMA foreign_key_check"), "");
    CHECK_TEXT(ask(db, "SELECT sql FROM sqlite_schema WHERE name = 'orders'"),
               "CREATE TABLE orders(item INTEGER REFERENCES items(id))\n");
    run(db, "CREATE TABLE faulted(a)"); /* it went when the original came back */
    CHECK_TEXT(ask(db, look_schema), before);
}

static void putting_back_twice_or_for_nothing_is_fine(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *db = folder_file(&folder, "test.db"), *items = address(&folder, "items");
    CHECK(ce_sql_switch_back(items, &err) == 0); /* no such database */
    CHECK(access(db, F_OK) < 0);
    run(db, shop);
    CHECK(ce_sql_switch_back(items, &err) == 0);
    REQUIRE_OK(ce_sql_switch(items, "faulted", &err), err);
    CHECK(ce_sql_switch_back(address(&folder, "orders"), &err) == 0);
    CHECK_TEXT(ask(db, "SELECT count(*) FROM items"), "2\n");
    REQUIRE_OK(ce_sql_switch_back(items, &err), err);
    CHECK(ce_sql_switch_back(items, &err) == 0);
    CHECK_TEXT(ask(db, "SELECT count(*) FROM items WHERE price = 5"), "1\n");
}

static void a_table_that_somebody_else_put_there_is_not_dropped(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *db = folder_file(&folder, "test.db"), *items = address(&folder, "items");
    run(db, shop);
    REQUIRE_OK(ce_sql_switch(items, "faulted", &err), err);
    run(db, "DROP TABLE items; CREATE TABLE items(mine); INSERT INTO items VALUES('keep');");
    CHECK(ce_sql_switch_back(items, &err) == CE_SQL_FOREIGN);
    CHECK_TEXT(ask(db, "SELECT mine FROM items"), "keep\n");
    run(db, "DROP TABLE items");
    REQUIRE_OK(ce_sql_switch_back(items, &err), err); /* nothing is in the way any more */
    CHECK_TEXT(ask(db, "SELECT count(*) FROM items"), "2\n");

    run(db, "CREATE TABLE faulted(id INTEGER, price REAL)");
    REQUIRE_OK(ce_sql_switch(items, "faulted", &err), err);
    run(db, "DROP TABLE items__chaoseater_original");
    CHECK(ce_sql_switch_back(items, &err) == CE_SQL_FOREIGN);
}

static void a_copy_that_others_wrote_to_is_kept(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *db = folder_file(&folder, "test.db"), *items = address(&folder, "items");
    run(db, shop);
    REQUIRE_OK(ce_sql_switch(items, "faulted", &err), err);
    run(db, "UPDATE items SET price = 7 WHERE price = 99; CREATE TABLE items__chaoseater_kept(a)");
    CHECK(ce_sql_switch_back(items, &err) == -EEXIST);
    CHECK(strstr(err.message, "cannot be kept") != NULL);
    CHECK_TEXT(ask(db, "SELECT price FROM items"), "NULL\n7.0\n");
    run(db, "DROP TABLE items__chaoseater_kept");
    REQUIRE_OK(ce_sql_switch_back(items, &err), err);
    CHECK_TEXT(ask(db, "SELECT id, price FROM items"), "1|5.0\n2|20.0\n");
    CHECK_TEXT(ask(db, "SELECT price FROM items__chaoseater_kept"), "NULL\n7.0\n");
    CHECK_TEXT(ask(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'chaoseater_switches'"),
               "0\n");
}

static void a_switch_that_cannot_be_changes_nothing(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *db = folder_file(&folder, "test.db");
    run(db, shop);
    ce_autofree char *before = strdup(ask(db, look_schema));
    CHECK(ce_sql_switch(address(&folder, "items"), "nothing", &err) == -ENOENT);
    CHECK(strstr(err.message, "no table 'nothing' to be put in the place of 'items'") != NULL);
    CHECK(ce_sql_switch(address(&folder, "itens"), "faulted", &err) == -ENOENT);
    CHECK(strstr(err.message, "did you mean 'items'?") != NULL);
    CHECK(ce_sql_switch(address(&folder, "dear"), "faulted", &err) == -EINVAL);
    CHECK(strstr(err.message, "is a view; only a table can be switched") != NULL);
    CHECK_TEXT(ask(db, look_schema), before);
}

static void a_table_is_dropped_if_it_is_there(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *db = folder_file(&folder, "test.db");
    CHECK(ce_sql_drop(address(&folder, "faulted"), &err) == 0);
    CHECK(access(db, F_OK) < 0);
    run(db, shop);
    CHECK(ce_sql_drop(address(&folder, "faulted"), &err) == 0);
    CHECK(ce_sql_drop(address(&folder, "faulted"), &err) == 0);
    CHECK_TEXT(ask(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'faulted'"), "0\n");
}

static void odd_names_are_names(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_sql_loaded loaded = {0};
    const char *db = folder_file(&folder, "test.db");
    run(db, "CREATE TABLE \"a \"\"b'; --&\"(\"x\"\"y\", \"select\", [drop table]);"
            "INSERT INTO \"a \"\"b'; --&\" VALUES(1, 2, 3)");
    const char *odd = address(&folder, "a%20%22b'; --%26");
    REQUIRE_OK(ce_sql_export(odd, CSV(&folder), &err), err);
    ce_autofree char *sibling = ce_sql_sibling(odd, "f'\"&=%");
    REQUIRE(sibling);
    REQUIRE_OK(ce_sql_import(CSV(&folder), sibling, odd, &loaded, &err), err);
    REQUIRE_OK(ce_sql_switch(odd, "f'\"&=%", &err), err);
    REQUIRE_OK(ce_sql_switch_back(odd, &err), err);
    CHECK_TEXT(ask(db, "SELECT \"x\"\"y\", \"select\", [drop table] FROM \"a \"\"b'; --&\""),
               "1|2|3\n");
    CHECK_TEXT(ask(db, "SELECT count(*) FROM sqlite_schema"), "1\n");
}

/* ---- in place ---- */

/* The hash of a table's rows, as an export has them. */
static void hash_of(struct folder *folder, const char *table, char ret_hex[CE_SHA256_HEX])
{
    struct ce_error err = {0};
    const char *path = folder_file(folder, "hashed.csv");
    if (ce_sql_export(table, path, &err) < 0 || ce_sha256_file(path, ret_hex, &err) < 0) {
        printf("# %s\n", err.message);
        exit(99);
    }
    (void)unlink(path);
}

static void in_place_replaces_rows_and_keeps_the_rest(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    char hex[CE_SHA256_HEX];
    const char *db = folder_file(&folder, "test.db"), *t = address(&folder, "t");
    run(db, "CREATE TABLE log(x); CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT DEFAULT 'd');"
            "CREATE INDEX by_b ON t(b); INSERT INTO t VALUES(1, 'x'), (2, 'y');"
            "CREATE TRIGGER told AFTER DELETE ON t BEGIN INSERT INTO log VALUES(old.a); END;");
    ce_autofree char *before = strdup(ask(db, look_schema));
    const char *csv = folder_write(&folder, "rows.csv", "b,a\nz,7\nz,7\n", 12);
    hash_of(&folder, t, hex);
    CHECK(ce_sql_edit(csv, t, hex, &err) == -EINVAL);
    CHECK(strstr(err.message, "rows.csv:3: ") && strstr(err.message, "UNIQUE constraint failed"));
    CHECK_TEXT(ask(db, "SELECT a, b FROM t"), "1|x\n2|y\n");
    CHECK_TEXT(ask(db, look_schema), before);

    REQUIRE_OK(ce_sql_export(t, folder_file(&folder, "image.csv"), &err), err);
    csv = folder_write(&folder, "rows.csv", "b,a\nz,5\n,6\n", 11);
    REQUIRE_OK(ce_sql_edit(csv, t, hex, &err), err);
    CHECK_TEXT(ask(db, "SELECT a, b FROM t"), "5|z\n6|NULL\n");
    CHECK_TEXT(ask(db, "SELECT count(*) FROM sqlite_schema WHERE name IN ('by_b', 'told')"), "2\n");
    for (int i = 0; i < 2; i++) {
        REQUIRE_OK(ce_sql_edit_back(folder_file(&folder, "image.csv"), t, hex, &err), err);
        CHECK_TEXT(ask(db, "SELECT a, b FROM t"), "1|x\n2|y\n");
        CHECK_TEXT(ask(db, look_schema), before);
    }
    CHECK_TEXT(ask(db, "SELECT count(*) FROM log"), "0\n");
    CHECK(ce_sql_edit(csv, address(&folder, "u"), hex, &err) == -ENOENT);
}

static void rows_that_others_changed_are_not_replaced(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    char hex[CE_SHA256_HEX];
    const char *db = folder_file(&folder, "test.db"), *t = address(&folder, "t");
    run(db, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    const char *csv = folder_write(&folder, "rows.csv", "a\n9\n", 4);
    hash_of(&folder, t, hex);
    run(db, "INSERT INTO t VALUES(2)"); /* another connection, as all of run() */
    CHECK(ce_sql_edit(csv, t, hex, &err) == -EBUSY);
    CHECK(strstr(err.message, "was changed by someone else meanwhile; nothing was touched") !=
          NULL);
    CHECK_TEXT(ask(db, "SELECT a FROM t"), "1\n2\n");
    CHECK_TEXT(ask(db, "SELECT name FROM sqlite_schema"), "t\n");
    run(db, "DELETE FROM t WHERE a = 2");
    REQUIRE_OK(ce_sql_edit(csv, t, hex, &err), err);
    CHECK_TEXT(ask(db, "SELECT a FROM t"), "9\n");
    hash_of(&folder, t, hex);
    CHECK(ce_sql_edit(csv, t, hex, &err) == -EBUSY); /* one after the other */
    run(db, "CREATE TABLE faulted(a)");
    CHECK(ce_sql_switch(t, "faulted", &err) == -EBUSY);
    CHECK(strstr(err.message, "is switched already") != NULL);
}

static void rows_that_others_wrote_meanwhile_are_kept(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    char hex[CE_SHA256_HEX];
    const char *db = folder_file(&folder, "test.db"), *t = address(&folder, "t");
    run(db, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    const char *csv = folder_write(&folder, "rows.csv", "a\n9\n", 4);
    const char *image = folder_write(&folder, "image.csv", "a\n1\n", 4);
    hash_of(&folder, t, hex);
    REQUIRE_OK(ce_sql_edit(csv, t, hex, &err), err);
    run(db, "INSERT INTO t VALUES('mine')");
    folder_write(&folder, "image.csv", "a\n8\n", 4);
    CHECK(ce_sql_edit_back(image, t, hex, &err) == -EBADMSG);
    folder_write(&folder, "image.csv", "a\n1\n", 4);
    run(db, "CREATE TABLE t__chaoseater_kept(other)");
    CHECK(ce_sql_edit_back(image, t, hex, &err) == -EEXIST);
    CHECK_TEXT(ask(db, "SELECT a FROM t"), "9\nmine\n");
    run(db, "DROP TABLE t__chaoseater_kept");
    REQUIRE_OK(ce_sql_edit_back(image, t, hex, &err), err);
    CHECK_TEXT(ask(db, "SELECT a FROM t"), "1\n");
    CHECK_TEXT(ask(db, "SELECT a FROM t__chaoseater_kept"), "9\nmine\n");
    CHECK_TEXT(ask(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'chaoseater_edits'"),
               "0\n");

    /* Put back, nothing is ours any more: what is written then stays, however often it is asked. */
    run(db, "INSERT INTO t VALUES('later')");
    REQUIRE_OK(ce_sql_edit_back(image, t, hex, &err), err);
    CHECK_TEXT(ask(db, "SELECT a FROM t"), "1\nlater\n");
}

static void an_edited_table_that_is_gone_can_be_forgotten(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    char hex[CE_SHA256_HEX];
    const char *db = folder_file(&folder, "test.db"), *t = address(&folder, "t");
    CHECK(ce_sql_edit_forget(t, &err) == 0 && access(db, F_OK) < 0);
    run(db, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    hash_of(&folder, t, hex);
    REQUIRE_OK(ce_sql_edit(folder_write(&folder, "rows.csv", "a\n9\n", 4), t, hex, &err), err);
    run(db, "DROP TABLE t");
    CHECK(ce_sql_edit_back("/nowhere", t, hex, &err) == CE_SQL_FOREIGN);
    REQUIRE_OK(ce_sql_edit_forget(t, &err), err);
    REQUIRE_OK(ce_sql_edit_forget(t, &err), err);
    CHECK_TEXT(ask(db, look_schema), "");
}

/* ---- addresses ---- */

static void addresses_are_read(void)
{
    static const struct {
        const char *text, *database, *schema, *table;
    } cases[] = {
        {"sqlite:a.db?table=t", "a.db", NULL, "t"},
        {"sqlite:/x/%3F%20y?table=a.b", "/x/? y", NULL, "a.b"},
        {"postgresql://h/d?table=t", "postgresql://h/d", NULL, "t"},
        {"postgres://u:p@h:5/d?sslmode=off&table=s.t&x=y", "postgres://u:p@h:5/d?sslmode=off&x=y",
         "s", "t"},
        {"postgresql:///?table=a%2Eb%", "postgresql:///", NULL, "a.b%"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(ce_sql_address_done) struct ce_sql_address parsed = {0};
        struct ce_error err = {0};
        CHECK(ce_sql_is(cases[i].text) && ce_sql_check(cases[i].text, &err) == 0);
        REQUIRE_OK(ce_sql_address_parse(cases[i].text, &parsed, &err), err);
        CHECK_TEXT(parsed.database, cases[i].database);
        CHECK_TEXT(parsed.table, cases[i].table);
        CHECK((parsed.schema == NULL) == (cases[i].schema == NULL));
        if (parsed.schema)
            CHECK_TEXT(parsed.schema, cases[i].schema);
        ce_autofree char *sibling = ce_sql_sibling(cases[i].text, "o&.");
        CE_CLEANUP(ce_sql_address_done) struct ce_sql_address other = {0};
        REQUIRE(sibling);
        REQUIRE_OK(ce_sql_address_parse(sibling, &other, &err), err);
        CHECK_TEXT(other.database, cases[i].database);
        CHECK_TEXT(other.table, "o&.");
    }
}

static void what_is_no_address_is_refused(void)
{
    static const char *const cases[] = {
        "sqlite:a.db",      "sqlite:?table=t",           "sqlite:a.db?table=",
        "postgresql://h/d", "postgresql://h/d?table=.t", "postgresql://h/d?table=s."};
    struct ce_error err = {0};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CHECK(ce_sql_check(cases[i], &err) == -EINVAL);
        CHECK(strstr(err.message, "names no table; it looks like sqlite:PATH?table=NAME") != NULL);
    }
    CHECK(ce_sql_check("sqlite:a.db?table=t&mode=ro", &err) == -EINVAL);
    CHECK_TEXT(err.message, "an SQLite address knows `table` and nothing else, not 'mode=ro'");
    CHECK(!ce_sql_is("data.csv") && !ce_sql_is("mysql://h/d?table=t") && !ce_sql_is("sqlite3"));
}

static void passwords_are_noticed_and_not_shown(void)
{
    static const struct {
        const char *address, *shown;
    } cases[] = {
        {"postgresql://u:secret@h/d?table=t", "postgresql://u@h/d?table=t"},
        {"postgres://u:s@cret@h:5/d?table=t", "postgres://u@h:5/d?table=t"},
        {"postgresql://:secret@/d?table=t", "postgresql://@/d?table=t"},
        {"postgresql://h/d?password=x&table=t", "postgresql://h/d?table=t"},
        {"postgresql://h/d?table=t&%70assword=x", "postgresql://h/d?table=t"},
        {"postgresql://h/d?table=t&sslpassword=x&user=u", "postgresql://h/d?table=t&user=u"},
        {"postgresql://u:p@h?password=x", "postgresql://u@h"},
    };
    static const char *const harmless[] = {
        "postgresql://u@h:5432/d?table=t",
        "postgresql://h/d?table=t&&a=:@",
        "postgresql://h?",
        "sqlite:a:b@c?table=t",
        "u:p@h.csv",
        "-",
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autofree char *shown = ce_sql_shown(cases[i].address);
        CHECK_TEXT(shown, cases[i].shown);
        CHECK(ce_sql_has_password(cases[i].address));
    }
    for (size_t i = 0; i < CE_COUNT(harmless); i++) {
        ce_autofree char *shown = ce_sql_shown(harmless[i]);
        CHECK_TEXT(shown, harmless[i]);
        CHECK(!ce_sql_has_password(harmless[i]));
    }
}

int main(void)
{
    TEST(every_value_survives);
    TEST(the_file_is_private_and_says_the_types);
    TEST(rows_come_as_they_are_stored);
    TEST(a_lone_column_keeps_its_nulls);
    TEST(what_faults_write_goes_in);
    TEST(a_new_table_must_be_new);
    TEST(a_failed_import_leaves_nothing);
    TEST(what_is_not_there_is_named);
    TEST(readers_see_the_faulted_table_until_it_is_put_back);
    TEST(putting_back_twice_or_for_nothing_is_fine);
    TEST(a_table_that_somebody_else_put_there_is_not_dropped);
    TEST(a_copy_that_others_wrote_to_is_kept);
    TEST(a_switch_that_cannot_be_changes_nothing);
    TEST(a_table_is_dropped_if_it_is_there);
    TEST(odd_names_are_names);
    TEST(in_place_replaces_rows_and_keeps_the_rest);
    TEST(rows_that_others_changed_are_not_replaced);
    TEST(rows_that_others_wrote_meanwhile_are_kept);
    TEST(an_edited_table_that_is_gone_can_be_forgotten);
    TEST(addresses_are_read);
    TEST(what_is_no_address_is_refused);
    TEST(passwords_are_noticed_and_not_shown);
    return test_done();
}
