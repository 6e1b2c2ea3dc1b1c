/* SPDX-License-Identifier: MIT */
/* The FUSE filesystem over a folder: that it behaves like the folder but for what is done to it,
 * and that nothing of it is left, whoever dies. */
#include "storage_world.h"

#include <sys/resource.h>

#include "files.h"
#include "folder_play.h"
#include "host/storage/fuse_overlay.h"

static const struct ce_storage_deed nothing = {.operations = CE_STORAGE_ALL, .seed = 1};

/* ---- like the folder itself ---- */

static void show_difference(const char *a, const char *b)
{
    while (*a || *b) {
        size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
        if (n != m || memcmp(a, b, n) != 0)
            printf("# plain: %.*s\n# fuse:  %.*s\n", (int)n, a, (int)m, b);
        a += n + (a[n] != '\0');
        b += m + (b[m] != '\0');
    }
}

static void check_alike(struct world *w, const char *plain)
{
    ce_autofree char *want = play_in(plain);
    REQUIRE(world_begin(w, "fuse", &nothing) == 0);
    ce_autofree char *got = play_in(w->disk);
    REQUIRE(want && got);
    if (strcmp(want, got) != 0)
        show_difference(want, got);
    CHECK(strcmp(want, got) == 0);
    CHECK(world_end(w) == 0);
}

static void it_behaves_like_a_folder_in_memory(void)
{
    WORLD(w);
    ce_autofree char *plain = ce_format("%s/plain", w.folder);
    REQUIRE(mkdir(plain, 0755) == 0 && chmod(w.folder, 0755) == 0);
    REQUIRE(mount("test", plain, "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=0755") == 0);
    check_alike(&w, plain);
    CHECK(umount(plain) == 0);
}

static void it_behaves_like_a_folder_on_a_disk(void)
{
    WORLD(w);
    ce_autofree char *plain = ce_format("%s/plain", w.folder);
    REQUIRE(mkdir(plain, 0755) == 0 && chmod(w.folder, 0755) == 0 && umount(w.disk) == 0);
    check_alike(&w, plain);
}

static void use_many_files(void)
{
    WORLD(w);
    REQUIRE(world_begin(&w, "fuse", &nothing) == 0);
    struct ce_process_id server = ce_fuse_overlay_server(w.storage);
    ce_autofree char *fds = ce_format("/proc/%d/fd", (int)server.pid);
    ce_autofd int held = open(in(&w, "held"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < 2000; i++) {
        ce_autofree char *name = ce_format("file-%d", i);
        struct stat st;
        play_put(in(&w, name), "some", 0600);
        CHECK(stat(in(&w, name), &st) == 0 && st.st_size == 4);
    }
    CHECK(entries(fds) < 256);
    CHECK(write(held, "held", 4) == 4);
    char link[300] = "";
    ce_autofree char *path = ce_format("/proc/self/fd/%d", held);
    CHECK(readlink(path, link, sizeof link - 1) > 0);
    CHECK_TEXT(link, in(&w, "held"));
    CHECK(world_end(&w) == 0);
    CHECK(entries(w.disk) == 2001);
}

/* The kernel remembers each file that it has seen, and each costs a descriptor. */
static void many_more_files_than_descriptors_may_be_used(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit few = {.rlim_cur = 256, .rlim_max = 256};
        CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
        use_many_files();
        fflush(stdout);
        _exit(check_failures > 0);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void files_that_were_open_before_go_past_it(void)
{
    WORLD(w);
    struct ce_storage_deed broken = {
        .operations = CE_STORAGE_ALL, .error_rate = 1, .error = EIO, .seed = 1};
    ce_autofd int fd = open(in(&w, "before"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0 && world_begin(&w, "fuse", &broken) == 0);
    CHECK(write(fd, "past", 4) == 4);
    ce_autofd int through = open(in(&w, "before"), O_RDWR | O_CLOEXEC);
    REQUIRE(through >= 0);
    errno = 0;
    CHECK(write(through, "x", 1) == -1 && errno == EIO);
    CHECK(world_end(&w) == 0); /* for want of time, not because it waits for us */
    CHECK(write(fd, " it", 3) == 3);
    errno = 0;
    CHECK(write(through, "x", 1) == -1 && errno == ENOTCONN);
}

/* ---- what is done to operations ---- */

static const struct ce_storage_probe writes = {.kind = CE_STORAGE_WRITE, .warm = 10, .count = 100};

static void operations_per_second_are_limited(void)
{
    WORLD(w);
    struct ce_storage_deed deed = {.operations = CE_STORAGE_ALL, .iops = 200, .seed = 1};
    REQUIRE(world_begin(&w, "fuse", &deed) == 0);
    CHECK(sees_rate(&w, &writes, 200));
    struct ce_storage_probe others = writes;
    others.kind = CE_STORAGE_READ;
    CHECK(sees_rate(&w, &others, 200));
    others.kind = CE_STORAGE_FSYNC;
    CHECK(sees_rate(&w, &others, 200));
    struct ce_storage_counts counts = {0};
    CHECK(ce_storage_count(w.storage, &counts, NULL) == 0);
    CHECK(counts.seen >= 300 && counts.held > 100 && counts.failed == 0);
    CHECK(world_end(&w) == 0);
}

static void bytes_per_second_are_limited(void)
{
    WORLD(w);
    struct ce_storage_deed deed = {
        .operations = CE_STORAGE_WRITE, .bytes_per_second = 300 * 4096, .seed = 1};
    REQUIRE(world_begin(&w, "fuse", &deed) == 0);
    CHECK(sees_rate(&w, &writes, 300));
    struct ce_storage_probe reads = writes;
    reads.kind = CE_STORAGE_READ;
    struct ce_storage_seen seen = watch(&w, &reads);
    CHECK(rate(&seen) > 600); /* not meant */
    CHECK(world_end(&w) == 0);
}

/* Another program's opinion. */
static void fio_sees_the_limit(void)
{
    WORLD(w);
    if (system("command -v fio >/dev/null") != 0)
        SKIP("fio is not installed");
    struct ce_storage_deed deed = {.operations = CE_STORAGE_ALL, .iops = 150, .seed = 1};
    REQUIRE(world_begin(&w, "fuse", &deed) == 0);
    ce_autofree char *command = ce_format(
        "fio --name=w --filename=%s/fio --rw=randwrite --bs=4k --direct=1 --size=256k "
        "--create_on_open=1 --time_based --ramp_time=300ms --runtime=2 --minimal 2>/dev/null",
        w.disk);
    bool seen = false;
    for (int attempt = 0; attempt < 5 && !seen; attempt++) {
        char line[4096] = "", *rest = line, *field = NULL;
        FILE *fio = popen(command, "re");
        REQUIRE(fio && fgets(line, sizeof line, fio));
        pclose(fio);
        for (int i = 0; i < 49; i++) /* the 49th of its terse format: writes per second */
            field = strsep(&rest, ";");
        double iops = field ? atof(field) : 0;
        printf("# fio: %.0f writes per second, 150 asked\n", iops);
        CHECK(iops <= 150 * 1.05);
        seen = iops >= 150 * 0.95;
    }
    CHECK(seen);
    CHECK(world_end(&w) == 0);
}

static void each_operation_takes_longer(void)
{
    WORLD(w);
    struct ce_storage_deed deed = {
        .operations = CE_STORAGE_ALL, .latency = 10 * CE_MILLISECOND, .seed = 1};
    REQUIRE(world_begin(&w, "fuse", &deed) == 0);
    struct ce_storage_seen seen =
        watch(&w, &(struct ce_storage_probe){.kind = CE_STORAGE_WRITE, .count = 30});
    printf("# median %.2f ms, 10 asked\n", (double)seen.p50 / (double)CE_MILLISECOND);
    CHECK(seen.done == 30 && seen.p50 >= 10 * CE_MILLISECOND && seen.p50 < 30 * CE_MILLISECOND);
    CHECK(world_end(&w) == 0);
}

/* Which of 200 writes to a file fail, as text. */
static void failures(struct world *w, const struct ce_storage_deed *deed, char ret_text[201])
{
    memset(ret_text, 0, 201);
    REQUIRE(world_begin(w, "fuse", deed) == 0);
    ce_autofd int fd = open(in(w, "file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    for (int i = 0; i < 200; i++) {
        errno = 0;
        bool well = pwrite(fd, "x", 1, 0) == 1;
        CHECK(well || errno == EDQUOT);
        ret_text[i] = well ? '.' : 'X';
    }
    CHECK(world_end(w) == 0);
}

static void a_share_fails_the_same_with_the_same_seed(void)
{
    WORLD(w);
    struct ce_storage_deed deed = {
        .operations = CE_STORAGE_WRITE, .error_rate = 0.3, .error = EDQUOT, .seed = 7};
    char first[201], again[201], other[201];
    failures(&w, &deed, first);
    failures(&w, &deed, again);
    deed.seed = 8;
    failures(&w, &deed, other);
    size_t failed = 0;
    for (int i = 0; i < 200; i++)
        failed += first[i] == 'X';
    printf("# %zu of 200 failed, 60 expected\n", failed);
    CHECK(failed >= 34 && failed <= 86); /* four standard deviations */
    CHECK_TEXT(again, first);
    CHECK(strcmp(other, first) != 0);
}

static void nothing_is_free(void)
{
    WORLD(w);
    struct ce_storage_deed deed = {.full = 1, .full_error = ENOSPC, .seed = 1};
    play_put(in(&w, "there"), "something", 0600);
    REQUIRE(world_begin(&w, "fuse", &deed) == 0);
    struct ce_storage_seen seen =
        watch(&w, &(struct ce_storage_probe){.kind = CE_STORAGE_WRITE, .grow = true, .count = 20});
    CHECK(seen.failed == 20 && seen.error == ENOSPC && seen.errors == 20 && seen.free == 0);
    /* What has its place keeps it. */
    ce_autofd int fd = open(in(&w, "there"), O_RDWR | O_CLOEXEC);
    CHECK(pwrite(fd, "any", 3, 0) == 3);
    errno = 0;
    CHECK(fallocate(fd, 0, 0, 1 << 20) == -1 && errno == ENOSPC);
    CHECK(world_end(&w) == 0);
    CHECK(!is_fuse_mounted(&w));
    seen =
        watch(&w, &(struct ce_storage_probe){.kind = CE_STORAGE_WRITE, .grow = true, .count = 20});
    CHECK(seen.failed == 0 && seen.free > 0);
}

static void whoever_waits_is_let_go_when_it_changes(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_storage_deed slow = {
        .operations = CE_STORAGE_ALL, .latency = 600 * CE_SECOND, .seed = 1};
    REQUIRE(world_begin(&w, "fuse", &slow) == 0);
    fflush(stdout);
    int64_t begin = ce_now();
    pid_t pid = fork();
    if (pid == 0) {
        ce_autofd int fd = open(in(&w, "file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        _exit(write(fd, "x", 1) != 1);
    }
    struct ce_storage_counts counts = {0};
    while (counts.held == 0 && ce_now() < begin + patience)
        CHECK(ce_storage_count(w.storage, &counts, &err) == 0);
    CHECK(counts.held == 1);
    struct ce_storage_deed scaled = ce_storage_deed_scaled(&slow, 0);
    REQUIRE_OK(ce_storage_adjust(w.storage, &scaled, &err), err);
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(ce_now() - begin < 60 * CE_SECOND);
    CHECK(world_end(&w) == 0);
}

static void whoever_waits_is_let_go_at_the_end(void)
{
    WORLD(w);
    struct ce_storage_deed slow = {
        .operations = CE_STORAGE_ALL, .latency = 600 * CE_SECOND, .seed = 1};
    REQUIRE(world_begin(&w, "fuse", &slow) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(in(&w, "file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        _exit(write(fd, "x", 1) != 1);
    }
    struct ce_storage_counts counts = {0};
    int64_t until = ce_now() + patience;
    while (counts.held == 0 && ce_now() < until)
        CHECK(ce_storage_count(w.storage, &counts, NULL) == 0);
    CHECK(world_end(&w) == 0);
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(access(in(&w, "file"), F_OK) == 0);
}

/* ---- who dies ---- */

/* All that is in the folder, with what files contain, in a line. */
static char *describe_folder(const struct world *w)
{
    ce_autofree char *command =
        ce_format("cd %s && (find . -printf '%%P %%y %%m %%U %%G %%l\n' | sort && find . -type f "
                  "-exec sha256sum {} + | sort) | tr '\n' ';'",
                  w->disk);
    char *text = NULL;
    size_t size = 0;
    FILE *out = popen(command, "re");
    if (out && getdelim(&text, &size, '\0', out) < 0)
        text[0] = '\0';
    if (out)
        pclose(out);
    return text;
}

static void fill(const struct world *w)
{
    play_put(in(w, "a"), "first", 0640);
    play_put(in(w, "b"), "second", 0604);
    (void)mkdir(in(w, "folder"), 0750);
    (void)symlink("../a", in(w, "folder/link"));
    (void)chown(in(w, "b"), PLAY_USER, PLAY_GROUP);
}

static void io_goes_on(const struct world *w)
{
    play_put(in(w, "probe"), "works", 0600);
    ce_autofree char *text = NULL;
    size_t size;
    CHECK(ce_file_read(in(w, "probe"), 100, &text, &size, NULL) == 0 && strcmp(text, "works") == 0);
    CHECK(unlink(in(w, "probe")) == 0);
}

static bool await_end(const struct ce_process_id *id)
{
    return ce_process_reap(id, patience, NULL) == 0;
}

enum { SERVER = 1, HOLDER = 2 };

static void check_death(int who)
{
    WORLD(w);
    fill(&w);
    ce_autofree char *before = describe_folder(&w);
    REQUIRE(world_begin(&w, "fuse", &nothing) == 0);
    struct ce_process_id server = ce_fuse_overlay_server(w.storage);
    struct ce_process_id holder = ce_fuse_overlay_holder(w.storage);
    if (who & HOLDER)
        CHECK(kill(holder.pid, SIGSTOP) == 0); /* it must not be the one who helps */
    if (who & SERVER)
        CHECK(kill(server.pid, SIGKILL) == 0);
    if (who & HOLDER)
        CHECK(kill(holder.pid, SIGKILL) == 0);
    if (who != (SERVER | HOLDER)) {
        CHECK(await_fuse(&w, false));
        io_goes_on(&w);
    }
    CHECK(await_end(&server) && await_end(&holder));
    CHECK(world_end(&w) == 0);
    CHECK(!is_fuse_mounted(&w) && ce_undo_live(w.journal) == 0);
    io_goes_on(&w);
    ce_autofree char *after = describe_folder(&w);
    REQUIRE(before);
    CHECK_TEXT(after, before);
}

static void the_holder_unmounts_when_the_server_dies(void)
{
    check_death(SERVER);
}

static void the_server_unmounts_when_the_holder_dies(void)
{
    check_death(HOLDER);
}

static void the_note_unmounts_when_both_die(void)
{
    check_death(SERVER | HOLDER);
}

/* What a run does, in a process of its own that is killed at one step after the other. */
static int run_to_the_end(const char *folder)
{
    struct world w = {0};
    struct ce_error err = {0};
    snprintf(w.folder, sizeof w.folder, "%s", folder);
    struct ce_storage_deed deed = {.operations = CE_STORAGE_ALL, .iops = 1000, .seed = 1};
    if (world_open(&w) < 0 || world_begin(&w, "fuse", &deed) < 0)
        return 1;
    deed.iops = 2000;
    if (ce_storage_adjust(w.storage, &deed, &err) < 0 || world_end(&w) < 0)
        return 2;
    ce_journal_close(w.journal);
    return 0;
}

static void a_crash_at_any_step_leaves_nothing(void)
{
    WORLD(w);
    struct ce_error err = {0};
    fill(&w);
    ce_autofree char *before = describe_folder(&w);
    REQUIRE(before);
    ce_journal_close(ce_take(w.journal));
    int status = 0, step = 0;
    do {
        char step_text[16];
        snprintf(step_text, sizeof step_text, "%d", ++step);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", step_text, 1);
            execl("/proc/self/exe", "test_fuse_overlay", w.folder, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        struct ce_recovery counts = {0};
        REQUIRE_OK(ce_journal_recover(w.state, ce_undo_ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        CHECK(!is_fuse_mounted(&w));
        io_goes_on(&w);
        ce_autofree char *after = describe_folder(&w);
        CHECK_TEXT(after, before);
    } while (WIFSIGNALED(status));
    printf("# %d steps\n", step);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(step > 8);
}

/* A mount namespace that was made meanwhile has the mount too. */
static void it_is_found_wherever_it_has_got_to(void)
{
    WORLD(w);
    REQUIRE(world_begin(&w, "fuse", &nothing) == 0);
    int pair[2];
    REQUIRE(pipe2(pair, O_CLOEXEC) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(1);
        (void)!write(pair[1], "", 1);
        for (;;)
            pause();
    }
    char there;
    struct ce_process_id id;
    REQUIRE(read(pair[0], &there, 1) == 1 && ce_process_identify(pid, &id) == 0);
    ce_autofree char *mounts = ce_format("/proc/%d/mountinfo", (int)pid);
    ce_autofree char *text = NULL;
    ce_autofree char *now = NULL;
    size_t size;
    REQUIRE(ce_file_read(mounts, 1 << 20, &text, &size, NULL) == 0);
    CHECK(strstr(text, "fuse.chaoseater") != NULL);
    CHECK(world_end(&w) == 0);
    REQUIRE(ce_file_read(mounts, 1 << 20, &now, &size, NULL) == 0);
    CHECK(strstr(now, "fuse.chaoseater") == NULL);
    (void)ce_process_end(&id, patience, NULL);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void what_others_mounted_stays(void)
{
    WORLD(w);
    struct ce_error err = {0};
    REQUIRE(world_begin(&w, "fuse", &nothing) == 0);
    REQUIRE(mount("theirs", w.disk, "tmpfs", 0, "size=1m") == 0);
    play_put(in(&w, "theirs"), "theirs", 0600);
    CHECK(ce_storage_end(ce_take(w.storage), &err) == -EBUSY);
    CHECK(strstr(err.message, "mounted over") != NULL);
    CHECK(access(in(&w, "theirs"), F_OK) == 0);
    CHECK(umount(w.disk) == 0);
    REQUIRE_OK(ce_undo_all(w.journal, NULL, &err), err);
    CHECK(!is_fuse_mounted(&w));
    io_goes_on(&w);
}

/* ---- what is refused ---- */

static void check_refused(struct world *w, const char *folder, const char *says)
{
    struct ce_error err = {0};
    snprintf(w->subject.folder, sizeof w->subject.folder, "%s", folder);
    CHECK(ce_storage_begin(w->journal, &w->subject, &nothing, "fuse", &w->storage, &err) ==
          -ENOTSUP);
    if (!strstr(err.message, says))
        printf("# %s\n", err.message);
    CHECK(strstr(err.message, says) != NULL);
    CHECK(ce_undo_live(w->journal) == 0);
}

static void its_own_state_is_not_mounted_over(void)
{
    WORLD(w);
    check_refused(&w, w.folder, "keeps its own state");
    check_refused(&w, w.state, "keeps its own state");
    check_refused(&w, "/", "never mounted over");
    check_refused(&w, "/tmp/..", "never mounted over");
    check_refused(&w, in(&w, "missing"), "cannot see folder");
    play_put(in(&w, "file"), "", 0600);
    check_refused(&w, in(&w, "file"), "is no folder");
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return run_to_the_end(argv[1]);
    char why[200];
    if (geteuid() != 0 || !ce_storage_by_fuse.available(why, sizeof why) || !world_enter()) {
        printf("1..0 # SKIP %s\n", geteuid() != 0 ? "needs root" : why);
        return 0;
    }
    TEST(it_behaves_like_a_folder_in_memory);
    TEST(it_behaves_like_a_folder_on_a_disk);
    TEST(many_more_files_than_descriptors_may_be_used);
    TEST(files_that_were_open_before_go_past_it);
    TEST(operations_per_second_are_limited);
    TEST(bytes_per_second_are_limited);
    TEST(fio_sees_the_limit);
    TEST(each_operation_takes_longer);
    TEST(a_share_fails_the_same_with_the_same_seed);
    TEST(nothing_is_free);
    TEST(whoever_waits_is_let_go_when_it_changes);
    TEST(whoever_waits_is_let_go_at_the_end);
    TEST(the_holder_unmounts_when_the_server_dies);
    TEST(the_server_unmounts_when_the_holder_dies);
    TEST(the_note_unmounts_when_both_die);
    TEST(a_crash_at_any_step_leaves_nothing);
    TEST(it_is_found_wherever_it_has_got_to);
    TEST(what_others_mounted_stays);
    TEST(its_own_state_is_not_mounted_over);
    return test_done();
}
