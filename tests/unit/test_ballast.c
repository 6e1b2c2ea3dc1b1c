/* SPDX-License-Identifier: MIT */
/* Filling up a filesystem of the test's own. */
#include "storage_world.h"

#include <sys/statvfs.h>

#include "files.h"
#include "host/memory.h"
#include "host/storage/ballast.h"

static const struct ce_storage_deed full = {
    .full = 1, .full_error = ENOSPC, .may_fill = true, .seed = 1};
static const struct ce_storage_probe writes = {.kind = CE_STORAGE_WRITE, .grow = true, .count = 4};

static uint64_t free_in(const struct world *w)
{
    struct statvfs fs;
    return statvfs(w->disk, &fs) < 0 ? UINT64_MAX : (uint64_t)fs.f_bavail * fs.f_frsize;
}

static bool await_free(const struct world *w, uint64_t least, uint64_t most)
{
    int64_t until = ce_now() + patience;
    while ((free_in(w) < least || free_in(w) > most) && ce_now() < until)
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    return free_in(w) >= least && free_in(w) <= most;
}

static void check_full(struct world *w)
{
    uint64_t before = free_in(w);
    REQUIRE(put_text(in(w, "there"), "something"));
    REQUIRE(world_begin(w, "ballast", &full) == 0);
    CHECK(free_in(w) == 0);
    CHECK(entries(w->disk) <= 2); /* "there", and "lost+found" where there is one */
    struct ce_storage_seen seen = watch(w, &writes);
    CHECK(seen.failed == seen.done && seen.error == ENOSPC && seen.errors == seen.failed);
    CHECK_FILE(in(w, "there"), "something");

    /* What others give free is taken too. */
    CHECK(unlink(in(w, "there")) == 0);
    CHECK(await_free(w, 0, 0));

    struct ce_error err = {0};
    struct ce_storage_deed half = ce_storage_deed_scaled(&full, 0.5);
    REQUIRE_OK(ce_storage_adjust(w->storage, &half, &err), err);
    CHECK(free_in(w) > before / 2 - CE_MIB && free_in(w) < before / 2 + CE_MIB);
    seen = watch(w, &writes);
    CHECK(seen.failed == 0);
    struct ce_storage_deed none = ce_storage_deed_scaled(&full, 0);
    REQUIRE_OK(ce_storage_adjust(w->storage, &none, &err), err);
    CHECK(free_in(w) + CE_MIB > before);
    REQUIRE_OK(ce_storage_adjust(w->storage, &full, &err), err);
    CHECK(free_in(w) == 0);

    CHECK(world_end(w) == 0);
    CHECK(ce_undo_live(w->journal) == 0);
    CHECK(await_free(w, before, UINT64_MAX));
    seen = watch(w, &writes);
    CHECK(seen.failed == 0);
}

static void memory_is_filled_up(void)
{
    WORLD(w);
    check_full(&w);
}

/* With blocks that are kept for root, who gets none either. */
static void a_disk_is_filled_up(void)
{
    WORLD(w);
    REQUIRE(umount(w.disk) == 0);
    ce_autofree char *command = ce_format("truncate -s 32M %s/image && mkfs.ext4 -q -F %s/image && "
                                          "mount -o loop %s/image %s",
                                          w.folder, w.folder, w.folder, w.disk);
    if (system(command) != 0)
        SKIP("no loop device with a filesystem can be made");
    check_full(&w);
}

static void so_much_is_left(void)
{
    WORLD(w);
    struct ce_storage_deed deed = full;
    deed.leave = 10 * CE_MIB;
    REQUIRE(world_begin(&w, "ballast", &deed) == 0);
    CHECK(await_free(&w, 10 * CE_MIB, 11 * CE_MIB));
    uint64_t held, left;
    CHECK(ce_ballast_look(w.storage, &held, &left, NULL) == 0);
    CHECK(held > 50 * CE_MIB && left == free_in(&w));
    CHECK(world_end(&w) == 0);
}

/* A target in a mount namespace of its own. */
static void it_is_found_in_the_targets_namespace(void)
{
    WORLD(w);
    struct ce_error err = {0};
    int pair[2];
    REQUIRE(pipe2(pair, O_CLOEXEC) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNS) < 0 || mount("its", w.disk, "tmpfs", 0, "size=8m") < 0)
            _exit(1);
        (void)!write(pair[1], "", 1);
        for (;;)
            pause();
    }
    char there;
    REQUIRE(read(pair[0], &there, 1) == 1);
    REQUIRE(ce_process_identify(pid, &w.subject.process) == 0);
    REQUIRE_OK(ce_place_of_process(&w.subject.process, &w.subject.place, &err), err);
    uint64_t outside = free_in(&w);
    REQUIRE(world_begin(&w, "ballast", &full) == 0);
    struct ce_storage_seen seen = watch(&w, &writes);
    CHECK(seen.failed == seen.done && seen.error == ENOSPC && seen.free == 0);
    CHECK(free_in(&w) == outside);
    CHECK(world_end(&w) == 0);
    seen = watch(&w, &writes);
    CHECK(seen.failed == 0);
    (void)ce_process_end(&w.subject.process, patience, NULL);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static int run_to_the_end(const char *folder)
{
    struct world w = {0};
    struct ce_error err = {0};
    snprintf(w.folder, sizeof w.folder, "%s", folder);
    struct ce_storage_deed half = ce_storage_deed_scaled(&full, 0.5);
    if (world_open(&w) < 0 || world_begin(&w, "ballast", &full) < 0 ||
        ce_storage_adjust(w.storage, &half, &err) < 0 || world_end(&w) < 0)
        return 1;
    ce_journal_close(w.journal);
    return 0;
}

static void a_crash_at_any_step_leaves_nothing(void)
{
    WORLD(w);
    struct ce_error err = {0};
    ce_journal_close(ce_take(w.journal));
    uint64_t before = free_in(&w);
    int status = 0, step = 0;
    do {
        char step_text[16];
        snprintf(step_text, sizeof step_text, "%d", ++step);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", step_text, 1);
            execl("/proc/self/exe", "test_ballast", w.folder, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        struct ce_recovery counts = {0};
        REQUIRE_OK(ce_journal_recover(w.state, ce_undo_ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        CHECK(await_free(&w, before, before));
        CHECK(entries(w.disk) == 0);
    } while (WIFSIGNALED(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(step > 6);
}

static void check_refused(struct world *w, const struct ce_storage_deed *deed, int code,
                          const char *says)
{
    struct ce_error err = {0};
    int r = ce_storage_begin(w->journal, &w->subject, deed, "ballast", &w->storage, &err);
    if (r != code || !strstr(err.message, says))
        printf("# %d %s\n", r, err.message);
    CHECK(r == code && strstr(err.message, says) != NULL);
    CHECK(ce_undo_live(w->journal) == 0);
}

static void what_is_not_its_own_is_not_filled(void)
{
    WORLD(w);
    struct ce_storage_deed deed = full;
    deed.may_fill = false;
    check_refused(&w, &deed, -ENOTSUP, "not there for the target alone");
    deed = full;
    deed.full_error = EDQUOT;
    check_refused(&w, &deed, -ENOTSUP, "answers ENOSPC and nothing else");
    deed = full;
    deed.leave = 1000 * CE_MIB;
    check_refused(&w, &deed, -ENOTSUP, "not more than is to be left");
    REQUIRE(umount(w.disk) == 0 && mount("test", w.disk, "tmpfs", 0, "size=0") == 0);
    check_refused(&w, &full, -ENOTSUP, "has no size");
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return run_to_the_end(argv[1]);
    if (geteuid() != 0 || !world_enter()) {
        printf("1..0 # SKIP needs root\n");
        return 0;
    }
    TEST(memory_is_filled_up);
    TEST(a_disk_is_filled_up);
    TEST(so_much_is_left);
    TEST(it_is_found_in_the_targets_namespace);
    TEST(a_crash_at_any_step_leaves_nothing);
    TEST(what_is_not_its_own_is_not_filled);
    return test_done();
}
