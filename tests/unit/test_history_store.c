/* SPDX-License-Identifier: MIT */
/* The history on disk: migrations, files that are none, several writers, and a writer that is
 * killed at every write that it makes. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "history/history_internal.h"
#include "history_world.h"

/* ---- migrations ---- */

static void steps_up_keep_what_is_there(void)
{
    static const struct ce_history_step_up steps[] = {
        {"CREATE TABLE t (a); INSERT INTO t VALUES (1)"},
        {"ALTER TABLE t ADD COLUMN b; UPDATE t SET b = a + 1"},
        {"CREATE TABLE u AS SELECT a + b AS c FROM t"},
    };
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    struct ce_history history = {.path = world.db};
    REQUIRE(sqlite3_open(world.db, &history.db) == SQLITE_OK);
    for (int version = 1; version <= 3; version++) {
        CHECK(ce_history_migrate(&history, steps, version, &err) == 0);
        CHECK(ce_history_migrate(&history, steps, version, &err) == 0); /* and does nothing */
    }
    CHECK_SQL(world.db, "SELECT c FROM u", "3");
    CHECK_SQL(world.db, "PRAGMA user_version", "3");
    CHECK(ce_history_migrate(&history, steps, 2, &err) == -ENOTSUP);
    (void)sqlite3_close(history.db);
}

static void a_step_that_fails_leaves_the_database_as_it_was(void)
{
    static const struct ce_history_step_up steps[] = {
        {"CREATE TABLE t (a)"},
        {"CREATE TABLE u (a); INSERT INTO missing VALUES (1)"},
    };
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    struct ce_history history = {.path = world.db};
    REQUIRE(sqlite3_open(world.db, &history.db) == SQLITE_OK);
    CHECK(ce_history_migrate(&history, steps, 1, &err) == 0);
    CHECK(ce_history_migrate(&history, steps, 2, &err) < 0);
    CHECK_SQL(world.db, "PRAGMA user_version", "1");
    CHECK_SQL(world.db, "SELECT group_concat(name) FROM sqlite_master", "t");
    (void)sqlite3_close(history.db);
}

/* ---- files that are none ---- */

static int open_both_ways(const struct world *world, struct ce_error *err)
{
    struct ce_history *history = NULL;
    struct ce_error other = {0};
    int r = ce_history_open_to_write(world->db, NULL, &history, err);
    ce_history_close(history);
    history = NULL;
    CHECK(ce_history_open_to_read(world->db, NULL, &history, &other) == r);
    ce_history_close(history);
    return r;
}

static void a_newer_history_is_refused_and_left_alone(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    CHECK(open_both_ways(&world, &err) == 0);
    CHECK_SQL(world.db, "PRAGMA user_version = 1000", "");
    CHECK(open_both_ways(&world, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "newer version of ChaosEater: its layout is 1000") != NULL);
    CHECK_SQL(world.db, "PRAGMA user_version", "1000");
}

static void a_database_of_somebody_else_is_refused_and_left_alone(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    sqlite3 *db = NULL;
    REQUIRE(sqlite3_open(world.db, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "CREATE TABLE accounts (x)", NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(db);
    CHECK(open_both_ways(&world, &err) == -EINVAL);
    CHECK(strstr(err.message, "no history of ChaosEater") != NULL);
    CHECK_SQL(world.db, "SELECT group_concat(name) FROM sqlite_master", "accounts");
}

static void a_file_that_is_no_database_is_refused_and_left_alone(void)
{
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    REQUIRE(put_text(world.db, text));
    CHECK(open_both_ways(&world, &err) == -EBADMSG);
    CHECK_FILE(world.db, text);
}

/* Pages that are overwritten with zeros, one after the other: a sentence or a right answer. */
static void a_damaged_history_is_said_to_be_damaged(void)
{
    enum { PAGE = 4096 };
    WORLD world;
    world_make(&world);
    struct ce_error err = {0};
    struct ce_history *history = NULL;
    REQUIRE_OK(ce_history_open_to_write(world.db, NULL, &history, &err), err);
    for (int i = 0; i < 30; i++) {
        char id[32];
        snprintf(id, sizeof id, "run-%02d", i);
        const struct a_run run = {.id = id, .score = i};
        CHECK(add(history, &run, &err) == 1);
    }
    ce_history_close(history);
    ce_autofree char *whole = NULL;
    size_t size, damaged = 0;
    REQUIRE_OK(ce_file_read(world.db, 1 << 24, &whole, &size, &err), err);
    for (size_t page = 0; page < size / PAGE; page++) {
        ce_autofree char *copy = malloc(size);
        memcpy(copy, whole, size);
        memset(copy + page * PAGE, 0, PAGE);
        REQUIRE(ce_file_replace(world.db, copy, size, NULL) == 0);
        char *text = NULL;
        struct ce_error why = {0};
        history = NULL;
        int r = ce_history_open_to_read(world.db, NULL, &history, &why);
        if (r >= 0)
            r = ce_history_list_json(history, NULL, &text, &why);
        ce_autojson json_t *list = r >= 0 ? json_loads(text, 0, NULL) : NULL;
        CHECK(r < 0 ? why.message[0] != '\0' : json_is_array(list));
        damaged += r == -EBADMSG;
        free(text);
        ce_history_close(history);
    }
    CHECK(damaged >= 2);
}

/* ---- several at once ---- */

static int write_runs(const char *db, int writer, int count)
{
    for (int i = 0; i < count; i++) {
        struct ce_history *history = NULL;
        struct ce_error err = {0};
        char id[32];
        snprintf(id, sizeof id, "run-%d-%03d", writer, i);
        const struct a_run run = {.id = id, .score = i};
        int r = ce_history_open_to_write(db, NULL, &history, &err);
        if (r >= 0)
            r = add(history, &run, &err);
        ce_history_close(history);
        if (r != 1) {
            printf("# %s: %s\n", id, err.message);
            return 1;
        }
    }
    return 0;
}

static void several_processes_write_at_once(void)
{
    enum { WRITERS = 6, RUNS = 15 };
    WORLD world;
    world_make(&world);
    pid_t writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) { /* and the first of them makes it */
        writers[i] = fork();
        if (writers[i] == 0)
            _exit(write_runs(world.db, i, RUNS));
    }
    for (int i = 0; i < WRITERS; i++) {
        int status = -1;
        CHECK(waitpid(writers[i], &status, 0) == writers[i] && status == 0);
    }
    CHECK_SQL(world.db, "SELECT count(*) FROM runs", "90");
    CHECK_SQL(world.db, "SELECT count(*) FROM report", "90");
    CHECK_SQL(world.db, "PRAGMA integrity_check", "ok");
    CHECK(entries(world.folder) == 1);
}

/* ---- killed ---- */

/* A file system below SQLite's that kills the process at the n-th change it is asked for. */
static int changes_left;

static void count_change(void)
{
    if (--changes_left == 0)
        (void)raise(SIGKILL);
}

struct killing_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this */
};

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct killing_file *)file)->real;
}
#define REAL(method, file, ...) real_of(file)->pMethods->method(real_of(file), ##__VA_ARGS__)

static int k_close(sqlite3_file *f)
{
    return REAL(xClose, f);
}
static int k_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return REAL(xRead, f, p, n, at);
}
/* Half of it is written, too: what is not aligned may be cut anywhere. */
static int k_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (changes_left == 1)
        (void)REAL(xWrite, f, p, n / 2, at);
    count_change();
    return REAL(xWrite, f, p, n, at);
}
static int k_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    count_change();
    return REAL(xTruncate, f, size);
}
static int k_sync(sqlite3_file *f, int flags)
{
    count_change();
    return REAL(xSync, f, flags);
}
static int k_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return REAL(xFileSize, f, size);
}
static int k_lock(sqlite3_file *f, int lock)
{
    return REAL(xLock, f, lock);
}
static int k_unlock(sqlite3_file *f, int lock)
{
    return REAL(xUnlock, f, lock);
}
static int k_check_lock(sqlite3_file *f, int *out)
{
    return REAL(xCheckReservedLock, f, out);
}
static int k_control(sqlite3_file *f, int op, void *arg)
{
    return REAL(xFileControl, f, op, arg);
}
static int k_sector(sqlite3_file *f)
{
    return REAL(xSectorSize, f);
}
static int k_traits(sqlite3_file *f)
{
    return REAL(xDeviceCharacteristics, f);
}
static int k_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
    return REAL(xShmMap, f, page, size, extend, p);
}
static int k_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return REAL(xShmLock, f, offset, n, flags);
}
static void k_barrier(sqlite3_file *f)
{
    REAL(xShmBarrier, f);
}
static int k_unmap(sqlite3_file *f, int remove)
{
    count_change();
    return REAL(xShmUnmap, f, remove);
}

static const sqlite3_io_methods killing_methods = {
    2,        k_close, k_read,     k_write,      k_truncate, k_sync,
    k_size,   k_lock,  k_unlock,   k_check_lock, k_control,  k_sector,
    k_traits, k_map,   k_shm_lock, k_barrier,    k_unmap};
static sqlite3_vfs killing, *usual;

static int k_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    struct killing_file *own = (struct killing_file *)file;
    own->real = (sqlite3_file *)(own + 1);
    count_change();
    int r = usual->xOpen(usual, name, own->real, flags, out);
    file->pMethods = r == SQLITE_OK ? &killing_methods : NULL;
    return r;
}
static int k_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    count_change();
    return usual->xDelete(usual, name, sync);
}

/* Two runs; a byte for each that is said to be recorded. */
static void write_until_killed(const char *db, int steps, int said)
{
    usual = sqlite3_vfs_find(NULL);
    killing = *usual;
    killing.zName = "killing";
    killing.szOsFile = (int)sizeof(struct killing_file) + usual->szOsFile;
    killing.xOpen = k_open;
    killing.xDelete = k_delete;
    changes_left = steps;
    (void)sqlite3_vfs_register(&killing, 1);
    for (int i = 0; i < 2; i++) {
        if (write_runs(db, i, 1) != 0)
            _exit(1);
        (void)!write(said, "x", 1);
    }
    _exit(0);
}

static void a_writer_may_be_killed_at_any_write(void)
{
    int steps = 1, killed = 0;
    for (;; steps++) {
        WORLD world;
        world_make(&world);
        int said[2], status = -1;
        char bytes[4];
        REQUIRE(pipe(said) == 0);
        pid_t writer = fork();
        if (writer == 0)
            write_until_killed(world.db, steps, said[1]);
        (void)close(said[1]);
        REQUIRE(waitpid(writer, &status, 0) == writer);
        ssize_t recorded = read(said[0], bytes, sizeof bytes);
        (void)close(said[0]);
        bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        CHECK(ended || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        killed += !ended;

        /* The next one goes on as if nothing had been. */
        CHECK(write_runs(world.db, 7, 1) == 0);
        CHECK_SQL(world.db, "PRAGMA integrity_check", "ok");
        CHECK_SQL(world.db, "SELECT count(*) FROM pragma_foreign_key_check", "0");
        ce_autofree char *runs = ask(world.db, "SELECT count(*) FROM runs");
        CHECK(atoi(runs) >= recorded + 1 && atoi(runs) <= recorded + 2);
        CHECK_SQL(world.db,
                  "SELECT count(*) FROM run_record r LEFT JOIN report p ON p.run = r.n "
                  "WHERE p.json IS NULL",
                  "0");
        if (ended || check_failures > 0)
            break;
    }
    printf("# killed at %d places\n", killed);
    CHECK(killed > 20);
}

int main(void)
{
    TEST(steps_up_keep_what_is_there);
    TEST(a_step_that_fails_leaves_the_database_as_it_was);
    TEST(a_newer_history_is_refused_and_left_alone);
    TEST(a_database_of_somebody_else_is_refused_and_left_alone);
    TEST(a_file_that_is_no_database_is_refused_and_left_alone);
    TEST(a_damaged_history_is_said_to_be_damaged);
    TEST(several_processes_write_at_once);
    TEST(a_writer_may_be_killed_at_any_write);
    return test_done();
}
