/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "files.h"
#include "journal/guard.h"
#include "journal/journal_internal.h"
#include "journal/undo_files.h"

/* Writes the time at which it was undone. */
static int undo_stamp(const json_t *args, struct ce_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)ce_now());
    return ce_file_replace(json_string_value(json_object_get(args, "path")), text, strlen(text),
                           err);
}
/* Takes a while. */
static int undo_slowly(const json_t *args, struct ce_error *err)
{
    ce_sleep_until(ce_now() + 300 * CE_MILLISECOND);
    return undo_stamp(args, err);
}
static const struct ce_undo_op stamp_op = {.name = "stamp", .undo = undo_stamp};
static const struct ce_undo_op slow_op = {.name = "slow", .undo = undo_slowly};
static const struct ce_undo_op *const ops[] = {&stamp_op, &slow_op, &ce_undo_restore_file,
                                               &ce_undo_remove_tree, NULL};

static const int64_t patience = 10 * CE_SECOND;

struct world {
    char folder[64], state[80], file[80], stamp[80], tree[80];
};

static void world_name(struct world *w, const char *folder)
{
    snprintf(w->folder, sizeof w->folder, "%s", folder);
    snprintf(w->state, sizeof w->state, "%s/state", folder);
    snprintf(w->file, sizeof w->file, "%s/file", folder);
    snprintf(w->stamp, sizeof w->stamp, "%s/stamp", folder);
    snprintf(w->tree, sizeof w->tree, "%s/tree", folder);
}

static struct world world_make(void)
{
    struct world w;
    char folder[] = "/tmp/chaoseater-guard-XXXXXX";
    if (!mkdtemp(folder))
        abort();
    world_name(&w, folder);
    if (!put_text(w.file, "before"))
        abort();
    return w;
}

static void world_remove(struct world *w)
{
    (void)ce_tree_remove(w->folder, NULL);
}
#define WORLD(w) CE_CLEANUP(world_remove) struct world w = world_make()

static size_t journals(const struct world *w)
{
    ce_autofree char *folder = ce_format("%s/journal", w->state);
    return entries(folder);
}

/* A run in this process: journal and guard, with the file changed and the stamp noted. */
struct run {
    struct ce_journal *journal;
    struct ce_guard *guard;
};

static int run_start(const struct world *w, const char *stamp_op_name, int64_t guard_patience,
                     struct run *ret_run, struct ce_error *err)
{
    CE_TRY(ce_journal_create(w->state, "run", ops, &ret_run->journal, err));
    CE_TRY(ce_guard_start_patient(ret_run->journal, guard_patience, &ret_run->guard, err));
    CE_TRY(
        ce_undo_note(ret_run->journal, stamp_op_name, json_pack("{s:s}", "path", w->stamp), err));
    CE_TRY(ce_undo_note_tree(ret_run->journal, w->tree, err));
    CE_TRY(ce_folder_make(w->tree, err));
    CE_TRY(ce_undo_note_file(ret_run->journal, w->file, NULL, err));
    return put_text(w->file, "after") ? 0 : -EIO;
}

static void run_end(struct run *run)
{
    struct ce_error err = {0};
    CHECK(ce_undo_all(run->journal, NULL, &err) == 0);
    ce_guard_stop(run->guard);
    ce_journal_close(run->journal);
}

static void check_pristine(const struct world *w)
{
    CHECK_FILE(w->file, "before");
    CHECK(access(w->tree, F_OK) < 0);
    CHECK(journals(w) == 0);
}

/* Starts a run in a child, and returns the child when it is at work. `then` (may be NULL) is called
 * in it first. */
static pid_t start_controller(const struct world *w, const char *stamp_op_name,
                              void (*then)(const struct run *), pid_t *ret_guard)
{
    int pair[2];
    pid_t guard = 0;
    if (pipe(pair) < 0)
        abort();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct run run;
        struct ce_error err = {0};
        (void)close(pair[0]);
        if (run_start(w, stamp_op_name, patience, &run, &err) < 0)
            _exit(1);
        if (then)
            then(&run);
        guard = ce_guard_pid(run.guard);
        (void)ce_write_all(pair[1], &guard, sizeof guard);
        for (;;)
            pause();
    }
    (void)close(pair[1]);
    CHECK(read(pair[0], &guard, sizeof guard) == sizeof guard);
    (void)close(pair[0]);
    *ret_guard = guard;
    return pid;
}

static void kill_and_reap(pid_t pid)
{
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

/* ---- death of the controller ---- */

static void a_killed_controller_is_undone_at_once(void)
{
    int64_t slowest = 0, sum = 0;
    enum { TIMES = 10 };
    for (int i = 0; i < TIMES; i++) {
        WORLD(w);
        pid_t guard, pid = start_controller(&w, "stamp", NULL, &guard);
        CHECK_FILE(w.file, "after");
        int64_t killed = ce_now();
        kill_and_reap(pid);
        AWAIT(journals(&w) == 0);
        check_pristine(&w);
        ce_autofree char *stamp = text_of(w.stamp);
        int64_t took = atoll(stamp) - killed; /* the first note, so the last undo */
        CHECK(took > 0 && took < 2 * CE_SECOND);
        sum += took;
        slowest = took > slowest ? took : slowest;
    }
    printf("# SIGKILL of the controller to the last undo: mean %.2f ms, max %.2f ms of %d\n",
           (double)sum / TIMES / 1e6, (double)slowest / 1e6, TIMES);
}

static void a_stopped_controller_that_is_killed_is_undone(void)
{
    WORLD(w);
    pid_t guard, pid = start_controller(&w, "stamp", NULL, &guard);
    CHECK(kill(pid, SIGSTOP) == 0);
    kill_and_reap(pid);
    AWAIT(journals(&w) == 0);
    check_pristine(&w);
}

static void leak_everything(const struct run *run)
{
    /* A child with all descriptors, such as no child should be: it keeps the guard's pipe and the
     * owner's lock. */
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(60);
        for (;;)
            pause();
    }
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    ce_autofree char *path = ce_format("%s/../../leaked", run->journal->folder);
    (void)put_text(path, text);
}

static void a_leaked_pipe_does_not_hide_the_death(void)
{
    WORLD(w);
    pid_t guard, pid = start_controller(&w, "stamp", leak_everything, &guard);
    kill_and_reap(pid);
    AWAIT(journals(&w) == 0);
    check_pristine(&w);
    ce_autofree char *path = ce_format("%s/leaked", w.folder);
    ce_autofree char *leaked = text_of(path);
    CHECK(atoi(leaked) > 0 && kill(atoi(leaked), SIGKILL) == 0);
}

static void the_guard_outlives_polite_signals(void)
{
    WORLD(w);
    pid_t guard, pid = start_controller(&w, "stamp", NULL, &guard);
    CHECK(getsid(guard) == guard && getsid(pid) == getsid(0));
    CHECK(kill(guard, SIGINT) == 0 && kill(guard, SIGTERM) == 0 && kill(guard, SIGHUP) == 0);
    kill_and_reap(pid);
    AWAIT(journals(&w) == 0);
    check_pristine(&w);
}

static void recover_waits_for_a_guard_at_work(void)
{
    WORLD(w);
    struct ce_error err = {0};
    pid_t guard, pid = start_controller(&w, "slow", NULL, &guard);
    kill_and_reap(pid);
    struct ce_recovery counts;
    REQUIRE_OK(ce_journal_recover(w.state, ops, &counts, &err), err);
    CHECK(counts.undone == 0);
    check_pristine(&w);
    ce_autofree char *stamp = text_of(w.stamp);
    CHECK(atoll(stamp) > 0);
}

static void recover_undoes_when_the_guard_is_dead_too(void)
{
    WORLD(w);
    struct ce_error err = {0};
    pid_t guard, pid = start_controller(&w, "stamp", NULL, &guard);
    CHECK(kill(guard, SIGKILL) == 0);
    struct ce_recovery counts;
    REQUIRE_OK(ce_journal_recover(w.state, ops, &counts, &err), err);
    CHECK(counts.undone == 0); /* the controller still lives */
    CHECK_FILE(w.file, "after");
    kill_and_reap(pid);
    REQUIRE_OK(ce_journal_recover(w.state, ops, &counts, &err), err);
    CHECK(counts.undone == 3);
    check_pristine(&w);
}

/* ---- the deadline ---- */

static void at_the_deadline_all_is_undone_and_notes_are_refused(void)
{
    WORLD(w);
    struct run run;
    struct ce_error err = {0};
    REQUIRE_OK(run_start(&w, "stamp", patience, &run, &err), err);
    REQUIRE_OK(ce_guard_deadline(run.guard, ce_now() + 60 * CE_SECOND, &err), err);
    CHECK(!ce_guard_fired(run.guard));
    REQUIRE_OK(ce_guard_deadline(run.guard, ce_now() + 20 * CE_MILLISECOND, &err), err);
    AWAIT(ce_guard_fired(run.guard));
    CHECK(ce_undo_note(run.journal, "stamp", json_object(), &err) == -ECANCELED);
    CHECK(strstr(err.message, "its time was up"));
    /* The refusal came under the lock, so the guard had finished. */
    CHECK_FILE(w.file, "before");
    CHECK(access(w.tree, F_OK) < 0);

    /* A deed that was noted in time but done too late is undone by whoever ends the run. */
    CHECK(put_text(w.file, "too late"));
    run_end(&run);
    check_pristine(&w);
}

static void a_deed_done_too_late_is_undone_when_the_controller_dies(void)
{
    WORLD(w);
    struct ce_error err = {0};
    int pair[2];
    REQUIRE(pipe(pair) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct run run;
        if (run_start(&w, "stamp", patience, &run, &err) < 0 ||
            ce_guard_deadline(run.guard, ce_now(), &err) < 0)
            _exit(1);
        AWAIT(ce_guard_fired(run.guard));
        if (ce_undo_note(run.journal, "stamp", json_object(), &err) != -ECANCELED)
            _exit(1);
        (void)put_text(w.file, "too late");
        (void)ce_write_all(pair[1], "x", 1);
        for (;;)
            pause();
    }
    char go;
    CHECK(read(pair[0], &go, 1) == 1);
    CHECK_FILE(w.file, "too late");
    kill_and_reap(pid);
    AWAIT(journals(&w) == 0);
    check_pristine(&w);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void soon(const struct run *run)
{
    struct ce_error err = {0};
    if (ce_guard_deadline(run->guard, ce_now() + 200 * CE_MILLISECOND, &err) < 0)
        _exit(1);
}

static void a_deadline_holds_while_the_controller_is_stopped(void)
{
    WORLD(w);
    pid_t guard, pid = start_controller(&w, "stamp", soon, &guard);
    CHECK(kill(pid, SIGSTOP) == 0);
    AWAIT(access(w.stamp, F_OK) == 0);
    CHECK_FILE(w.file, "before");
    CHECK(access(w.tree, F_OK) < 0);
    CHECK(journals(&w) > 0);
    kill_and_reap(pid);
    AWAIT(journals(&w) == 0);
    check_pristine(&w);
}

static void a_controller_stuck_in_the_lock_is_ended(void)
{
    WORLD(w);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct run run;
        struct ce_error err = {0};
        if (run_start(&w, "stamp", 50 * CE_MILLISECOND, &run, &err) < 0 ||
            ce_journal_lock(run.journal, CE_LOCK_WRITE, 0) < 0 ||
            ce_guard_deadline(run.guard, ce_now(), &err) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    AWAIT(journals(&w) == 0);
    check_pristine(&w);
}

/* ---- letting go ---- */

static void a_guard_that_is_let_go_undoes_nothing(void)
{
    WORLD(w);
    struct run run;
    struct ce_error err = {0};
    REQUIRE_OK(run_start(&w, "stamp", patience, &run, &err), err);
    pid_t guard = ce_guard_pid(run.guard);
    ce_guard_stop(run.guard);
    CHECK(kill(guard, 0) < 0 && errno == ESRCH);
    CHECK_FILE(w.file, "after");
    CHECK(ce_undo_live(run.journal) == 3);
    CHECK(ce_undo_all(run.journal, NULL, &err) == 0);
    ce_journal_close(run.journal);
    check_pristine(&w);
}

static void a_dead_guard_is_noticed(void)
{
    WORLD(w);
    struct run run;
    struct ce_error err = {0};
    REQUIRE_OK(run_start(&w, "stamp", patience, &run, &err), err);
    pid_t guard = ce_guard_pid(run.guard);
    CHECK(kill(guard, SIGKILL) == 0);
    AWAIT(ce_guard_deadline(run.guard, ce_now() + 60 * CE_SECOND, &err) < 0);
    CHECK(strstr(err.message, "guard"));
    run_end(&run);
    check_pristine(&w);
}

static void the_guard_holds_nothing_but_its_own(void)
{
    WORLD(w);
    struct run run;
    struct ce_error err = {0};
    int stray = open("/dev/null", O_RDONLY); /* not even close-on-exec */
    REQUIRE_OK(run_start(&w, "stamp", patience, &run, &err), err);
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)ce_guard_pid(run.guard));
    /* 0, 1, 2, pipe, controller, timer, journal */
    CHECK(entries(path) == 7);
    (void)close(stray);
    run_end(&run);
    check_pristine(&w);
}

/* ---- crash sweep ---- */

/* Executed anew in the folder that it is given: seams count the steps of a process. */
static int whole_run(const char *folder)
{
    struct world w;
    struct run run;
    struct ce_error err = {0};
    world_name(&w, folder);
    CE_TRY(run_start(&w, "stamp", patience, &run, &err));
    CE_TRY(ce_guard_deadline(run.guard, ce_now() + 60 * CE_SECOND, &err));
    CE_TRY(ce_undo_all(run.journal, NULL, &err));
    ce_guard_stop(run.guard);
    ce_journal_close(run.journal);
    return 0;
}

static void sweep(const char *suffix)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    for (int step = 1;; step++) {
        WORLD(w);
        struct ce_error err = {0};
        char text[24];
        snprintf(text, sizeof text, "%d%s", step, suffix);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", text, 1);
            execl("/proc/self/exe", "test_guard", w.folder, (char *)NULL);
            _exit(127);
        }
        int status = -1;
        REQUIRE(waitpid(pid, &status, 0) == pid);
        /* With a guard, recover waits for it and finds nothing left; without one it undoes. */
        struct ce_recovery counts;
        REQUIRE_OK(ce_journal_recover(w.state, ops, &counts, &err), err);
        CHECK(suffix[0] != '\0' || counts.undone == 0);
        check_pristine(&w);
        if (!WIFSIGNALED(status)) {
            CHECK(WEXITSTATUS(status) == 0);
            CHECK(step > 20);
            return;
        }
    }
}

static void a_crash_at_any_step_is_undone_by_the_guard(void)
{
    sweep("");
}

static void a_crash_of_both_at_any_step_is_undone_by_recover(void)
{
    sweep(":all");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return whole_run(argv[1]) < 0;
    TEST(a_killed_controller_is_undone_at_once);
    TEST(a_stopped_controller_that_is_killed_is_undone);
    TEST(a_leaked_pipe_does_not_hide_the_death);
    TEST(the_guard_outlives_polite_signals);
    TEST(recover_waits_for_a_guard_at_work);
    TEST(recover_undoes_when_the_guard_is_dead_too);
    TEST(at_the_deadline_all_is_undone_and_notes_are_refused);
    TEST(a_deed_done_too_late_is_undone_when_the_controller_dies);
    TEST(a_deadline_holds_while_the_controller_is_stopped);
    TEST(a_controller_stuck_in_the_lock_is_ended);
    TEST(a_guard_that_is_let_go_undoes_nothing);
    TEST(a_dead_guard_is_noticed);
    TEST(the_guard_holds_nothing_but_its_own);
    TEST(a_crash_at_any_step_is_undone_by_the_guard);
    TEST(a_crash_of_both_at_any_step_is_undone_by_recover);
    return test_done();
}
