/* SPDX-License-Identifier: MIT */
/* System calls that are answered: a Python program that was started through chaoseater-door and
 * says what an expression is worth, and a static one, while this test gives the orders. */
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/environment.h"
#include "base/spawn.h"
#include "host/storage/door.h"
#include "host/storage/door_page.h"
#include "host/storage/storage_means.h"
#include "host/storage/storage_probe.h"
#include "pipeline/helpers.h"
#include "pipeline_world.h"
#include "python.h"

static const struct ce_undo_op *const undo_ops[] = {&ce_undo_disarm_door, NULL};

static const struct ce_storage_deed full = {.full = 1, .full_error = ENOSPC, .seed = 3};
static const struct ce_storage_deed broken = {
    .operations = CE_STORAGE_ALL, .error_rate = 1, .error = EIO, .seed = 3};
static const struct ce_storage_deed stuck = {
    .operations = CE_STORAGE_ALL, .latency = 3600 * CE_SECOND, .seed = 3};

/* ---- the process ---- */

static const char program[] =
    "import errno, os, sys, threading, time\n"
    "def of(error): return errno.errorcode[error.errno]\n"
    "def may(call, *args):\n"
    "    try: return call(*args)\n"
    "    except OSError as error: return of(error)\n"
    "def new(path, flags=0): return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)\n"
    "def count(what, n, call, *args): return sum(may(call, *args) == what for _ in range(n))\n"
    "def took(call, *args):\n"
    "    before = time.monotonic(); may(call, *args); return time.monotonic() - before\n"
    "back = []\n"
    "def behind(call, *args):\n"
    "    t = threading.Thread(target=lambda: back.append(may(call, *args)), daemon=True)\n"
    "    t.start(); return t\n" PYTHON_ANSWERS;

struct lab {
    char folder[64], disk[80], helpers[80];
    char *state;
    struct ce_journal *journal;
    struct ce_subject subject;
    struct ce_storage *storage;
    struct python python;
};

static const char *ask(struct lab *lab, const char *expression)
{
    return python_ask(&lab->python, expression);
}
#define ASK(expression)        ask(&lab, expression)
#define SAYS(expression, what) CHECK_TEXT(ASK(expression), what)

/* With our environment, and what a target needs that is to go through the door. */
static int start(struct lab *lab, const char *const *argv, int in, int out,
                 struct ce_process_id *ret_id, struct ce_error *err)
{
    CE_CLEANUP(ce_helpers_done) struct ce_helpers helpers = {.count = 0};
    int gate;
    CE_TRY(ce_helpers_init(CE_HELPER_SYSCALLS, "LD_PRELOAD", NULL, lab->helpers, &helpers, err));
    ce_autofree const char **all = ce_helpers_argv((const char *const *)helpers.prefix, argv);
    ce_autofree const char **env =
        ce_environment_with((const char *const *)helpers.variables, helpers.count);
    struct ce_spawn spawn = {.argv = all,
                             .env = env,
                             .fds = {{in, 0}, {out, 1}, {out, 2}},
                             .fd_count = 3,
                             .parent_death_signal = SIGKILL};
    CE_TRY(ce_spawn(&spawn, ret_id, &gate, err));
    return ce_spawn_go(gate, err);
}

static int start_python(struct lab *lab, struct ce_error *err)
{
    static const char *const argv[] = {"/usr/bin/python3", "-c", program, NULL};
    ce_autofd int its_in = -1;
    ce_autofd int its_out = -1;
    CE_TRY(python_pipes(&lab->python, &its_in, &its_out, err));
    CE_TRY(start(lab, argv, its_in, its_out, &lab->python.process, err));
    CE_TRY(python_await(&lab->python, err));
    char line[160];
    snprintf(line, sizeof line, "os.chdir('%s')", lab->disk);
    (void)ask(lab, line);
    (void)ask(lab, "f = new('f'); other = new('../other')");
    return ce_place_of_process(&lab->python.process, &lab->subject.place, err);
}

static int lab_open(struct lab *lab, struct ce_error *err)
{
    find_program();
    *lab = (struct lab){.folder = "/tmp/ce-door-XXXXXX", .python.to = -1};
    if (!mkdtemp(lab->folder))
        return ce_fail(err, errno, "mkdtemp");
    snprintf(lab->disk, sizeof lab->disk, "%s/disk", lab->folder);
    snprintf(lab->helpers, sizeof lab->helpers, "%s/run", lab->folder);
    lab->state = ce_format("%s/state", lab->folder);
    if (mkdir(lab->disk, 0700) < 0 || mkdir(lab->helpers, 0700) < 0)
        return ce_fail(err, errno, "mkdir");
    CE_TRY(ce_journal_create(lab->state, "test", undo_ops, &lab->journal, err));
    CE_TRY(start_python(lab, err));
    lab->subject.process = lab->python.process;
    lab->subject.has = CE_SUBJECT_PROCESS | CE_SUBJECT_FOLDER | CE_SUBJECT_HELPERS;
    memcpy(lab->subject.folder, lab->disk, sizeof lab->disk);
    memcpy(lab->subject.helpers, lab->helpers, sizeof lab->helpers);
    return 0;
}

/* Processes that are at this lab's door, by what they are called. */
static size_t find_all(const struct lab *lab, const char *name, pid_t *ret_first)
{
    ce_autofree char *mark = ce_format("CHAOSEATER_HELPERS=%s", lab->helpers);
    DIR *all = opendir("/proc");
    size_t found = 0;
    for (const struct dirent *entry; (entry = readdir(all));) {
        ce_autofree char *environ_path = ce_format("/proc/%s/environ", entry->d_name);
        ce_autofree char *comm_path = ce_format("/proc/%s/comm", entry->d_name);
        ce_autofree char *vars = NULL;
        ce_autofree char *comm = NULL;
        size_t size, comm_size;
        if (atoi(entry->d_name) <= 0 || ce_file_read(comm_path, 99, &comm, &comm_size, NULL) < 0 ||
            (name && strncmp(comm, name, strlen(name)) != 0) ||
            ce_file_read(environ_path, 1 << 20, &vars, &size, NULL) < 0 ||
            !memmem(vars, size, mark, strlen(mark)))
            continue;
        found++;
        if (ret_first)
            *ret_first = atoi(entry->d_name);
    }
    closedir(all);
    return found;
}

static bool await(const struct lab *lab, const char *name, size_t count)
{
    int64_t until = ce_now() + patience;
    while (find_all(lab, name, NULL) != count && ce_now() < until)
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    return find_all(lab, name, NULL) == count;
}

static void lab_close(struct lab *lab)
{
    if (!*lab->folder)
        return;
    (void)ce_storage_end(lab->storage, NULL);
    python_end(&lab->python, patience);
    CHECK(await(lab, NULL, 0));
    ce_journal_close(lab->journal);
    free(lab->state);
    (void)ce_tree_remove(lab->folder, NULL);
}
static bool is_offered(void)
{
    char detail[200];
    return ce_storage_by_syscalls.available(detail, sizeof detail);
}

#define LAB                                                                                        \
    CE_CLEANUP(lab_close) struct lab lab;                                                          \
    struct ce_error err = {0};                                                                     \
    if (!is_offered()) {                                                                           \
        lab = (struct lab){.folder = ""};                                                          \
        SKIP("system calls cannot be answered here");                                              \
    }                                                                                              \
    REQUIRE_OK(lab_open(&lab, &err), err)

#define BEGIN(deed)                                                                                \
    REQUIRE_OK(                                                                                    \
        ce_storage_begin(lab.journal, &lab.subject, &(deed), "syscalls", &lab.storage, &err), err)
#define END REQUIRE_OK(ce_storage_end(ce_take(lab.storage), &err), err)

static uint64_t counted(struct lab *lab, size_t which)
{
    struct ce_storage_counts counts = {0};
    (void)ce_storage_count(lab->storage, &counts, NULL);
    return which == 0 ? counts.seen : which == 1 ? counts.held : counts.failed;
}

static bool await_held(struct lab *lab, uint64_t count)
{
    int64_t until = ce_now() + patience;
    while (counted(lab, 1) < count && ce_now() < until)
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    return counted(lab, 1) >= count;
}

/* ---- what becomes of calls ---- */

static void nothing_happens_without_an_order(void)
{
    LAB;
    SAYS("os.write(f, b'hello'), os.fsync(f), os.pread(f, 9, 0)", "(5, None, b'hello')");
    SAYS("open('/proc/self/status').read().count('Seccomp:\\t2')", "1");
    BEGIN(full);
    END;
    SAYS("may(os.write, f, b'more'), may(os.pwrite, f, b'x', 99)", "(4, 1)");
}

static void what_needs_room_fails(void)
{
    LAB;
    SAYS("os.write(f, b'hello'), os.lseek(f, 1, 0)", "(5, 1)");
    SAYS("a = new('a', os.O_APPEND); os.write(a, b'begin'); os.lseek(a, 0, 0)", "None");
    BEGIN(full);
    SAYS("may(os.write, f, b'ELL'), may(os.pread, f, 9, 0)", "(3, b'hELLo')");
    SAYS("may(os.write, f, b'OH'), may(os.pwrite, f, b'!', 5), may(os.pwrite, f, b'!', 4)",
         "('ENOSPC', 'ENOSPC', 1)");
    SAYS("may(os.write, a, b'x'), may(os.writev, a, [b'x', b'y'])", "('ENOSPC', 'ENOSPC')");
    SAYS("os.lseek(f, 0, 0), may(os.writev, f, [b'he', b'll']), may(os.writev, f, [b'o', b'.'])",
         "(0, 4, 'ENOSPC')");
    SAYS("may(os.pwritev, f, [b'h', b'e'], 0), may(os.pwritev, f, [b'h', b'e'], 4)",
         "(2, 'ENOSPC')");
    SAYS("may(os.posix_fallocate, f, 0, 2), may(os.posix_fallocate, f, 0, 99)", "(None, 'ENOSPC')");
    SAYS("may(os.copy_file_range, other, f, 9)", "ENOSPC");
    SAYS("may(os.sendfile, f, other, 0, 9)", "ENOSPC");
    SAYS("count('ENOSPC', 500, os.write, new('n'), b'more'), os.stat('n').st_size", "(500, 0)");
    SAYS("may(os.write, other, b'elsewhere'), may(os.write, 1, b'')", "(9, 0)");
    END;
    SAYS("may(os.pwrite, f, b'!', 5)", "1");
}

static void a_neighbour_with_a_longer_name_is_none(void)
{
    LAB;
    SAYS("os.mkdir('../disk2'); n = new('../disk2/n'); os.unlink('f')", "None");
    BEGIN(full);
    SAYS("may(os.write, n, b'x')", "1");
    SAYS("may(os.write, f, b'x')", "ENOSPC");
    SAYS("os.dup2(f, n); may(os.write, n, b'x')", "None");
    SAYS("may(os.write, n, b'x')", "ENOSPC");
}

static void calls_fail_with_the_error_that_was_asked_for(void)
{
    LAB;
    SAYS("os.write(f, b'hello')", "5");
    BEGIN(broken);
    SAYS("[may(os.read, f, 1), may(os.pread, f, 1, 0), may(os.readv, f, [bytearray(1)]),"
         " may(os.preadv, f, [bytearray(1)], 0)]",
         "['EIO', 'EIO', 'EIO', 'EIO']");
    SAYS("[may(os.write, f, b'x'), may(os.pwrite, f, b'x', 0), may(os.fsync, f),"
         " may(os.fdatasync, f), may(os.sendfile, other, f, 0, 9)]",
         "['EIO', 'EIO', 'EIO', 'EIO', 'EIO']");
    SAYS("may(os.fsync, os.open('.', os.O_RDONLY)), may(os.read, os.open('.', os.O_RDONLY), 1)",
         "('EIO', 'EIO')");
    CHECK(counted(&lab, 0) == 11 && counted(&lab, 2) == 11);
    const struct ce_storage_deed syncs = {
        .operations = CE_STORAGE_FSYNC, .error_rate = 1, .error = EROFS, .seed = 3};
    REQUIRE_OK(ce_storage_adjust(lab.storage, &syncs, &err), err);
    SAYS("may(os.pwrite, f, b'x', 0), may(os.fsync, f), may(os.fdatasync, f)",
         "(1, 'EROFS', 'EROFS')");
}

static void a_share_fails(void)
{
    LAB;
    const struct ce_storage_deed some = {
        .operations = CE_STORAGE_WRITE, .error_rate = 0.3, .error = EIO, .seed = 11};
    BEGIN(some);
    int failed = atoi(ASK("count('EIO', 4000, os.pwrite, f, b'x', 0)"));
    printf("# %d of 4000 failed\n", failed);
    CHECK(fabs(failed - 1200.0) <= 4 * sqrt(4000 * 0.3 * 0.7));
    CHECK(counted(&lab, 0) == 4000 && counted(&lab, 2) == (uint64_t)failed);
    END;
    BEGIN(some);
    CHECK(atoi(ASK("count('EIO', 4000, os.pwrite, f, b'x', 0)")) == failed);
}

static void children_are_hit_too(void)
{
    LAB;
    BEGIN(full);
    SAYS("import subprocess; p = subprocess.run('echo hello > g', shell=True,"
         " stderr=subprocess.PIPE)",
         "None");
    SAYS("p.returncode != 0, os.stat('g').st_size", "(True, 0)");
}

static void a_static_program_is_hit(void)
{
    LAB;
    char path[PATH_MAX], file[128];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    REQUIRE(n > 0);
    path[n] = '\0';
    snprintf(strrchr(path, '/') + 1, 32, "static_writer");
    snprintf(file, sizeof file, "%s/static", lab.disk);
    const char *const argv[] = {path, file, NULL};
    struct ce_process_id id;
    int status;
    REQUIRE_OK(start(&lab, argv, 0, 1, &id, &err), err);
    REQUIRE(ce_process_reap(&id, patience, &status) == 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    BEGIN(full);
    REQUIRE_OK(start(&lab, argv, 0, 1, &id, &err), err);
    REQUIRE(ce_process_reap(&id, patience, &status) == 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == ENOSPC);
}

/* ---- time ---- */

static void calls_are_late(void)
{
    LAB;
    const struct ce_storage_deed late = {
        .operations = CE_STORAGE_ALL, .latency = 30 * CE_MILLISECOND, .seed = 3};
    BEGIN(late);
    SAYS("all(took(os.pwrite, f, b'x', 0) >= 0.03 for _ in range(20))", "True");
    SAYS("all(took(os.fsync, f) >= 0.03 for _ in range(5))", "True");
    CHECK(counted(&lab, 1) == 25);
}

static void who_waits_keeps_nobody_else_waiting(void)
{
    LAB;
    BEGIN(stuck);
    SAYS("late = [behind(os.pwrite, f, b'x', i) for i in range(20)]", "None");
    REQUIRE(await_held(&lab, 20));
    SAYS("sum(os.pwrite(other, b'x', i) for i in range(500)), len(back)", "(500, 0)");
    const struct ce_storage_deed nothing = {.seed = 3};
    REQUIRE_OK(ce_storage_adjust(lab.storage, &nothing, &err), err);
    SAYS("[t.join(20) for t in late] and back == [1] * 20", "True");
    REQUIRE_OK(ce_storage_adjust(lab.storage, &stuck, &err), err);
    SAYS("late = behind(os.fsync, f)", "None");
    REQUIRE(await_held(&lab, 21));
    END;
    SAYS("late.join(20), back[-1]", "(None, None)");
}

static void signals_do_not_end_a_wait(void)
{
    LAB;
    const struct ce_storage_deed late = {
        .operations = CE_STORAGE_ALL, .latency = 300 * CE_MILLISECOND, .seed = 3};
    SAYS("import signal; rung = []; signal.signal(signal.SIGALRM, lambda *a: rung.append(1))",
         "None");
    BEGIN(late);
    SAYS("signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)", "(0.0, 0.0)");
    SAYS("took(os.pwrite, f, b'x', 0) >= 0.3", "True");
    SAYS("signal.setitimer(signal.ITIMER_REAL, 0)[1], len(rung) > 0", "(0.02, True)");
    CHECK(counted(&lab, 0) == 1);
}

static void limits_hold(void)
{
    LAB;
    const struct ce_storage_deed slow = {.operations = CE_STORAGE_WRITE, .iops = 100, .seed = 3};
    BEGIN(slow);
    double took = atof(ASK("took(count, 1, 60, os.pwrite, f, b'x', 0)"));
    printf("# 60 writes took %.3f s at 100 per second\n", took);
    CHECK(took >= 0.55);
    const struct ce_storage_deed narrow = {
        .operations = CE_STORAGE_WRITE, .bytes_per_second = 100000, .seed = 3};
    REQUIRE_OK(ce_storage_adjust(lab.storage, &narrow, &err), err);
    took = atof(ASK("took(count, 1, 8, os.pwritev, f, [bytes(4000), bytes(6000)], 0)"));
    printf("# 80000 bytes took %.3f s at 100000 per second\n", took);
    CHECK(took >= 0.65);
}

/* ---- who is seen, and by whom ---- */

static void a_witness_sees_it(void)
{
    LAB;
    struct ce_storage_probe probe = {
        .kind = CE_STORAGE_WRITE, .grow = true, .count = 8, .patience = patience};
    struct ce_storage_seen seen;
    BEGIN(full);
    REQUIRE_OK(ce_storage_witness(&lab.subject, &probe, &seen, &err), err);
    CHECK(seen.done == 8 && seen.failed == 0);
    probe.helpers = ce_storage_helpers(lab.storage);
    REQUIRE_OK(ce_storage_witness(&lab.subject, &probe, &seen, &err), err);
    CHECK(seen.done == 8 && seen.failed == 8 && seen.error == ENOSPC);
    END;
    probe.helpers = lab.helpers;
    REQUIRE_OK(ce_storage_witness(&lab.subject, &probe, &seen, &err), err);
    CHECK(seen.done == 8 && seen.failed == 0);
}

/* ---- porters that are killed ---- */

static void a_killed_porter_lets_all_pass(void)
{
    LAB;
    pid_t first, second;
    BEGIN(stuck);
    SAYS("late = [behind(os.pwrite, f, b'x', i) for i in range(5)]", "None");
    REQUIRE(await_held(&lab, 5));
    REQUIRE(await(&lab, "ce-porter", 1) && await(&lab, "ce-substitute", 1));
    (void)find_all(&lab, "ce-porter", &first);
    REQUIRE(kill(first, SIGKILL) == 0);
    SAYS("[t.join(20) for t in late] and back == [1] * 5", "True");
    SAYS("count(1, 100, os.pwrite, f, b'x', 0)", "100");
    struct ce_storage_counts counts;
    CHECK(ce_storage_count(lab.storage, &counts, &err) == -EPIPE);
    CHECK(ce_storage_adjust(lab.storage, &stuck, &err) == -EPIPE);
    /* That one has a substitute, too. */
    REQUIRE(await(&lab, "ce-porter", 1) && await(&lab, "ce-substitute", 1));
    (void)find_all(&lab, "ce-porter", &second);
    CHECK(second != first);
    REQUIRE(kill(second, SIGKILL) == 0);
    SAYS("count(1, 100, os.pwrite, f, b'x', 0)", "100");
    END;
}

static void a_killed_substitute_is_replaced(void)
{
    LAB;
    pid_t first, second = 0;
    BEGIN(broken);
    for (int i = 0; i < 3; i++) {
        REQUIRE(await(&lab, "ce-substitute", 1));
        (void)find_all(&lab, "ce-substitute", &first);
        REQUIRE(kill(first, SIGKILL) == 0);
        SAYS("may(os.pwrite, f, b'x', 0)", "EIO");
        int64_t until = ce_now() + patience;
        do
            (void)find_all(&lab, "ce-substitute", &second);
        while (second == first && ce_now() < until);
        CHECK(second != first);
    }
    CHECK(counted(&lab, 2) == 3);
    (void)find_all(&lab, "ce-porter", &first);
    REQUIRE(await(&lab, "ce-substitute", 1) && kill(first, SIGKILL) == 0);
    SAYS("may(os.pwrite, f, b'x', 0)", "1");
}

static void both_may_be_killed_one_after_the_other(void)
{
    LAB;
    pid_t porter, substitute;
    BEGIN(stuck);
    SAYS("late = behind(os.pwrite, f, b'x', 0)", "None");
    REQUIRE(await_held(&lab, 1) && await(&lab, "ce-substitute", 1));
    (void)find_all(&lab, "ce-porter", &porter);
    (void)find_all(&lab, "ce-substitute", &substitute);
    REQUIRE(kill(substitute, SIGKILL) == 0);
    int64_t until = ce_now() + patience;
    pid_t next = substitute;
    while ((next == substitute || !await(&lab, "ce-substitute", 1)) && ce_now() < until)
        (void)find_all(&lab, "ce-substitute", &next);
    REQUIRE(kill(porter, SIGKILL) == 0);
    SAYS("late.join(20), back, may(os.pwrite, f, b'x', 0)", "(None, [1], 1)");
}

/* ---- orders and their undo ---- */

static void two_faults_do_not_share_a_door(void)
{
    LAB;
    struct ce_storage *other = NULL;
    BEGIN(full);
    CHECK(ce_storage_begin(lab.journal, &lab.subject, &broken, "syscalls", &other, &err) ==
          -ENOTSUP);
    CHECK(strstr(err.message, "another fault answers the system calls of this target already"));
    SAYS("may(os.write, f, b'x')", "ENOSPC");
}

static void an_undo_by_somebody_else_disarms(void)
{
    LAB;
    struct ce_door_page *page;
    int note = 0;
    REQUIRE_OK(ce_door_page_map(lab.helpers, &page, &err), err);
    REQUIRE_OK(ce_door_arm(page, lab.helpers, lab.disk, &stuck, lab.journal, &note, &err), err);
    SAYS("late = behind(os.pwrite, f, b'x', 0)", "None");
    ce_journal_close(ce_take(lab.journal));
    struct ce_recovery recovery;
    REQUIRE_OK(ce_journal_recover(lab.state, undo_ops, &recovery, &err), err);
    SAYS("late.join(20), back, may(os.pwrite, f, b'x', 0)", "(None, [1], 1)");
    CHECK(!page->armed);
    ce_door_page_unmap(page);
}

static void an_undo_knows_the_page_and_needs_none(void)
{
    LAB;
    ce_autofree char *path = ce_format("%s/" CE_DOOR_PAGE, lab.helpers);
    struct stat st;
    REQUIRE(stat(path, &st) == 0);
    const struct {
        const char *path;
        ino_t ino;
        int result;
    } cases[] = {
        {path, st.st_ino, 0},
        {path, st.st_ino, 0},
        {path, st.st_ino + 1, CE_UNDO_FOREIGN},
        {"/proc/self/exe", st.st_ino, CE_UNDO_FOREIGN},
        {"/tmp/there is no such file", st.st_ino, 0},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        ce_autojson json_t *args =
            json_pack("{s:s, s:I, s:I}", "path", cases[i].path, "dev", (json_int_t)st.st_dev, "ino",
                      (json_int_t)cases[i].ino);
        CHECK(ce_undo_disarm_door.undo(args, &err) == cases[i].result);
    }
    ce_autojson json_t *none = json_object();
    CHECK(ce_undo_disarm_door.undo(none, &err) == -EINVAL);
}

static void what_does_not_fit_is_refused(void)
{
    LAB;
    struct ce_subject subject = lab.subject;
    struct ce_storage_deed leave = full;
    leave.leave = 1;
    CHECK(ce_storage_begin(lab.journal, &subject, &leave, "syscalls", &lab.storage, &err) ==
          -ENOTSUP);
    CHECK(strstr(err.message, "cannot leave some of the space free"));
    subject.has &= ~(unsigned)CE_SUBJECT_HELPERS;
    CHECK(ce_storage_begin(lab.journal, &subject, &full, "syscalls", &lab.storage, &err) ==
          -ENOTSUP);
    CHECK(strstr(err.message, "ChaosEater did not start the target"));
    subject = lab.subject;
    memcpy(subject.helpers, lab.disk, sizeof lab.disk);
    CHECK(ce_storage_begin(lab.journal, &subject, &full, "syscalls", &lab.storage, &err) ==
          -ENOTSUP);
    CHECK(strstr(err.message, "was not started through chaoseater-door"));
    CHECK(!lab.storage);
}

static void a_door_that_leads_nowhere_says_so(void)
{
    LAB;
    static const char *const argv[] = {"/tmp/there is no such program", NULL};
    char said[256];
    struct ce_process_id id;
    int out[2], status;
    REQUIRE(pipe2(out, O_CLOEXEC) == 0);
    REQUIRE_OK(start(&lab, argv, 0, out[1], &id, &err), err);
    REQUIRE(ce_process_reap(&id, patience, &status) == 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 127);
    ssize_t n = read(out[0], said, sizeof said - 1);
    said[n > 0 ? n : 0] = '\0';
    CHECK(strstr(said, "cannot execute '/tmp/there is no such program': No such file"));
    (void)close(out[0]);
    (void)close(out[1]);
}

int main(void)
{
    TEST(nothing_happens_without_an_order);
    TEST(what_needs_room_fails);
    TEST(a_neighbour_with_a_longer_name_is_none);
    TEST(calls_fail_with_the_error_that_was_asked_for);
    TEST(a_share_fails);
    TEST(children_are_hit_too);
    TEST(a_static_program_is_hit);
    TEST(calls_are_late);
    TEST(who_waits_keeps_nobody_else_waiting);
    TEST(signals_do_not_end_a_wait);
    TEST(limits_hold);
    TEST(a_witness_sees_it);
    TEST(a_killed_porter_lets_all_pass);
    TEST(a_killed_substitute_is_replaced);
    TEST(both_may_be_killed_one_after_the_other);
    TEST(two_faults_do_not_share_a_door);
    TEST(an_undo_by_somebody_else_disarms);
    TEST(an_undo_knows_the_page_and_needs_none);
    TEST(what_does_not_fit_is_refused);
    TEST(a_door_that_leads_nowhere_says_so);
    return test_done();
}
