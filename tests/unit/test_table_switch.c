/* SPDX-License-Identifier: MIT */
#include <sqlite3.h>
#include <sys/wait.h>

#include "base/hash.h"
#include "data_files.h"
#include "faults/data/table_switch.h"
#include "journal/undo_files.h"

static const struct ce_undo_op *const ops[] = {&ce_undo_switch_table, &ce_undo_restore_table, NULL};

CE_DEFINE_CLEANUP(sqlite3, sqlite3_close);
CE_DEFINE_CLEANUP(struct ce_journal, ce_journal_close);

/* Runs statements, and returns the first value of the last row, as a number; -1: none. */
static int run(const char *path, const char *sql)
{
    CE_CLEANUP(sqlite3_close_p) sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int value = -1;
    if (sqlite3_open(path, &db) != SQLITE_OK)
        return -2;
    for (const char *left = sql; *left;) {
        if (sqlite3_prepare_v2(db, left, -1, &statement, &left) != SQLITE_OK)
            return -3;
        while (sqlite3_step(statement) == SQLITE_ROW)
            value = sqlite3_column_int(statement, 0);
        sqlite3_finalize(statement);
    }
    return value;
}

struct shop {
    const char *db, *csv, *state, *image;
    char *address;
};

/* Edits the table by what was made of its present rows. */
static int edit(struct ce_journal *journal, const struct shop *shop, struct ce_error *err)
{
    char hex[CE_SHA256_HEX];
    ce_autofree char *copy = ce_format("%s.copy", shop->db);
    if (!copy || ce_sql_export(shop->address, copy, err) < 0 ||
        ce_sha256_file(copy, hex, err) < 0 || unlink(copy) < 0)
        exit(99);
    return ce_table_edit(journal, shop->address, shop->csv, hex, shop->image, err);
}

static struct shop shop_make(struct folder *folder)
{
    struct shop shop = {
        .db = folder_file(folder, "shop.db"),
        .csv = folder_write(folder, "faulted.csv", "id,price\n1,99\n3,7\n", 18),
        .state = folder_file(folder, "state"),
        .image = folder_file(folder, "image.csv"),
    };
    shop.address = ce_format("sqlite:%s?table=items", shop.db);
    (void)run(shop.db, "CREATE TABLE items(id INTEGER PRIMARY KEY, price REAL NOT NULL);"
                       "INSERT INTO items VALUES(1, 5), (2, 20)");
    if (!shop.address)
        exit(99);
    return shop;
}

static void shop_done(struct shop *shop)
{
    free(shop->address);
}
#define SHOP(folder) CE_CLEANUP(shop_done) struct shop shop = shop_make(&folder)

static const char pristine[] =
    "SELECT count(*) = 1 AND (SELECT sum(price) = 25 AND count(*) = 2 FROM items)"
    " FROM sqlite_schema";

static void the_journal_puts_the_table_back(void)
{
    FOLDER(folder);
    SHOP(folder);
    struct ce_error err = {0};
    struct ce_sql_loaded loaded = {0};
    CE_CLEANUP(ce_journal_close_p) struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(shop.state, "run", ops, &journal, &err), err);
    CHECK(run(shop.db, pristine) == 1);
    folder_write(&folder, "faulted.csv", "id,price\n1,99\n1,\n2,7\n2,7\n", 25);
    int note = ce_table_switch(journal, shop.address, shop.csv, &loaded, &err);
    REQUIRE_OK(note, err);
    CHECK(note > 0 && loaded.rows == 4);
    CHECK(run(shop.db, "SELECT count(*) FROM items WHERE price IS NULL") == 1);
    CHECK(run(shop.db, pristine) == 0);
    REQUIRE_OK(ce_undo_now(journal, note, &err), err);
    CHECK(run(shop.db, pristine) == 1);
    CHECK(ce_undo_live(journal) == 0);
}

static void an_edited_table_gets_its_rows_back(void)
{
    FOLDER(folder);
    SHOP(folder);
    struct ce_error err = {0};
    CE_CLEANUP(ce_journal_close_p) struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(shop.state, "run", ops, &journal, &err), err);
    int note = edit(journal, &shop, &err);
    REQUIRE_OK(note, err);
    CHECK(run(shop.db, "SELECT sum(id * price) FROM items") == 120);
    REQUIRE_OK(ce_undo_now(journal, note, &err), err);
    CHECK(run(shop.db, pristine) == 1);

    REQUIRE(unlink(shop.image) == 0);
    note = edit(journal, &shop, &err);
    REQUIRE_OK(note, err);
    folder_write(&folder, "image.csv", "id,price\n8,8\n", 13);
    CHECK(ce_undo_now(journal, note, &err) == -EBADMSG); /* not its rows */
    CHECK(run(shop.db, "SELECT sum(id * price) FROM items") == 120);
    (void)run(shop.db, "DROP TABLE items");
}

static void what_others_write_to_an_edited_table_is_not_lost(void)
{
    FOLDER(folder);
    SHOP(folder);
    struct ce_error err = {0};
    CE_CLEANUP(ce_journal_close_p) struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(shop.state, "run", ops, &journal, &err), err);
    char old[CE_SHA256_HEX] = "0";
    CHECK(ce_table_edit(journal, shop.address, shop.csv, old, shop.image, &err) == -EBUSY);
    CHECK(strstr(err.message, "'items' was changed by someone else meanwhile") != NULL);
    CHECK(ce_undo_live(journal) == 0 && run(shop.db, pristine) == 1);

    REQUIRE(unlink(shop.image) == 0);
    int note = edit(journal, &shop, &err);
    REQUIRE_OK(note, err);
    (void)run(shop.db, "INSERT INTO items VALUES(4, 1000)");
    REQUIRE_OK(ce_undo_now(journal, note, &err), err);
    CHECK(run(shop.db, "SELECT sum(price) FROM items") == 25);
    CHECK(run(shop.db, "SELECT sum(price) FROM items" CE_SQL_KEPT) == 1106);

    REQUIRE(unlink(shop.image) == 0);
    CHECK(edit(journal, &shop, &err) == -EEXIST); /* they are somebody's */
    CHECK(run(shop.db, "SELECT sum(price) FROM items" CE_SQL_KEPT) == 1106);
    CHECK(ce_undo_live(journal) == 0);
}

static void rows_of_a_table_that_is_gone_are_kept(void)
{
    FOLDER(folder);
    SHOP(folder);
    struct ce_error err = {0};
    struct ce_recovery recovery;
    CE_CLEANUP(ce_journal_close_p) struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(shop.state, "run", ops, &journal, &err), err);
    ce_autofree char *image = NULL;
    REQUIRE_OK(ce_undo_image_path(journal, &image, &err), err);
    shop.image = image;
    REQUIRE_OK(edit(journal, &shop, &err), err);
    char hex[CE_SHA256_HEX];
    REQUIRE_OK(ce_sha256_file(shop.image, hex, &err), err);
    (void)run(shop.db, "DROP TABLE items");
    REQUIRE_OK(ce_undo_all(journal, &recovery, &err), err);
    CHECK(recovery.foreign == 1);
    ce_autofree char *kept = ce_table_kept_image(shop.state, shop.address, hex);
    REQUIRE(kept);
    CHECK(same_bytes(kept, "id,price\n1,5.0\n2,20.0\n", 22));
    CHECK(run(shop.db, "SELECT count(*) FROM sqlite_schema") == 0);
}

static void a_switch_that_fails_is_undone_as_well(void)
{
    FOLDER(folder);
    SHOP(folder);
    struct ce_error err = {0};
    struct ce_sql_loaded loaded = {0};
    CE_CLEANUP(ce_journal_close_p) struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(shop.state, "run", ops, &journal, &err), err);
    folder_write(&folder, "faulted.csv", "id,price\n1,\"2\n", 13);
    CHECK(ce_table_switch(journal, shop.address, shop.csv, &loaded, &err) == -EINVAL);
    REQUIRE_OK(ce_undo_all(journal, NULL, &err), err);
    CHECK(run(shop.db, pristine) == 1);
}

static void what_is_not_ours_stays(void)
{
    FOLDER(folder);
    SHOP(folder);
    struct ce_error err = {0};
    struct ce_sql_loaded loaded = {0};
    CE_CLEANUP(ce_journal_close_p) struct ce_journal *journal = NULL;
    REQUIRE_OK(ce_journal_create(shop.state, "run", ops, &journal, &err), err);
    (void)run(shop.db, "CREATE TABLE items" CE_SQL_FAULTED "(a); INSERT INTO items" CE_SQL_FAULTED
                       " VALUES(8)");
    CHECK(ce_table_switch(journal, shop.address, shop.csv, &loaded, &err) == -EEXIST);
    CHECK(strstr(err.message, "'items__chaoseater_faulted' already") != NULL);
    CHECK(ce_undo_live(journal) == 0);
    CHECK(run(shop.db, "SELECT a FROM items" CE_SQL_FAULTED) == 8);
    CHECK(ce_table_switch(journal, "postgresql://u:secret@h/d?table=t", shop.csv, &loaded, &err) ==
          -EINVAL);
    CHECK(strstr(err.message, "secret") == NULL && strstr(err.message, "PGPASSFILE") != NULL);
    CHECK(ce_undo_live(journal) == 0);
}

#ifdef CE_SEAMS
static int switch_table(const struct shop *shop)
{
    struct ce_journal *journal = NULL;
    struct ce_sql_loaded loaded = {0};
    CE_TRY(ce_journal_create(shop->state, "run", ops, &journal, NULL));
    return ce_table_switch(journal, shop->address, shop->csv, &loaded, NULL);
}

static int edit_table(const struct shop *shop)
{
    struct ce_journal *journal = NULL;
    CE_TRY(ce_journal_create(shop->state, "run", ops, &journal, NULL));
    return edit(journal, shop, NULL);
}

/* How many were undone. */
static int recover(const struct shop *shop)
{
    struct ce_recovery recovery;
    CE_TRY(ce_journal_recover(shop->state, ops, &recovery, NULL));
    return recovery.failed == 0 && recovery.foreign == 0 ? (int)recovery.undone : -EIO;
}

/* The function's result (100: failed), or -1 when it was killed at the n-th step, counted from
 * those that this process has made, which therefore must be none. 0: at none. */
static int in_child(int (*function)(const struct shop *), const struct shop *shop, int step)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", step);
        setenv("CHAOSEATER_SEAM_CRASH", number, 1);
        int r = function(shop);
        _exit(r < 0 ? 100 : r);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        exit(99);
    return WIFSIGNALED(status) ? -1 : WEXITSTATUS(status);
}
#endif

#ifdef CE_SEAMS
/* Killed at every step in turn; the last time it comes to the end, and nobody puts it back. */
static void check_every_step(int (*deed)(const struct shop *))
{
    int step = 1;
    for (bool ended = false; !ended; step++) {
        FOLDER(folder);
        SHOP(folder);
        int note = in_child(deed, &shop, step);
        ended = note >= 0;
        CHECK(note == -1 || note == 1);
        int undone = in_child(recover, &shop, 0);
        CHECK(undone == 0 || undone == 1);
        CHECK(!ended || undone == 1);
        CHECK(run(shop.db, pristine) == 1);
    }
    CHECK(step > 5);
}
#endif

static void a_controller_that_is_killed_leaves_nothing(void)
{
#ifndef CE_SEAMS
    SKIP("this build has no seams");
#else
    check_every_step(switch_table);
    check_every_step(edit_table);
#endif
}

int main(void)
{
    TEST(a_controller_that_is_killed_leaves_nothing); /* first: see in_child() */
    TEST(the_journal_puts_the_table_back);
    TEST(an_edited_table_gets_its_rows_back);
    TEST(what_others_write_to_an_edited_table_is_not_lost);
    TEST(rows_of_a_table_that_is_gone_are_kept);
    TEST(a_switch_that_fails_is_undone_as_well);
    TEST(what_is_not_ours_stays);
    return test_done();
}
