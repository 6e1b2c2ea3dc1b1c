/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "controller/controller.h"
#include "files.h"
#include "host/cgroup.h"
#include "host/freezer.h"
#include "host/hog.h"
#include "host/host.h"
#include "host/process.h"

static const int64_t patience = 10 * CE_SECOND;

/* A state folder, and a journal in it. */
struct world {
    char folder[64], state[80];
    struct ce_journal *journal;
};

static struct world world_make(void)
{
    struct world w = {.folder = "/tmp/chaoseater-host-XXXXXX"};
    struct ce_error err = {0};
    if (!mkdtemp(w.folder))
        abort();
    snprintf(w.state, sizeof w.state, "%s/state", w.folder);
    if (ce_journal_create(w.state, "run", ce_undo_ops, &w.journal, &err) < 0)
        abort();
    return w;
}

static void world_remove(struct world *w)
{
    ce_journal_close(w->journal);
    (void)ce_tree_remove(w->folder, NULL);
}
#define WORLD(w) CE_CLEANUP(world_remove) struct world w = world_make()

/* A process of ours that always works: it uses processor time until it is hindered. */
static struct ce_process_id worker_start(void)
{
    struct ce_process_id id = {0};
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (volatile unsigned i = 0;; i++)
            if (i % 100000 == 0)
                (void)poll(NULL, 0, 1);
    }
    CHECK(ce_process_identify(pid, &id) == 0);
    return id;
}

static void worker_end(const struct ce_process_id *id)
{
    (void)ce_process_end(id, patience, NULL);
}

static bool works(const struct ce_process_id *id)
{
    int64_t before = ce_process_cpu_time(id), until = ce_now() + patience;
    while (ce_process_cpu_time(id) == before && ce_now() < until)
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    return ce_process_cpu_time(id) > before;
}

static bool stands_still(const struct ce_process_id *id)
{
    int64_t before = ce_process_cpu_time(id);
    ce_sleep_until(ce_now() + 30 * CE_MILLISECOND);
    return before > 0 && ce_process_cpu_time(id) == before;
}

/* ---- children at the gate ---- */

/* Starts a shell command whose output ends in a pipe; returns the pipe's other end. */
static int shell_at_gate(const char *command, unsigned long namespaces,
                         struct ce_process_id *ret_id, int *ret_gate)
{
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct ce_error err = {0};
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        abort();
    struct ce_spawn how = {
        .argv = argv,
        .fds = {{pair[1], STDOUT_FILENO}},
        .fd_count = 1,
        .namespaces = namespaces,
        .parent_death_signal = SIGKILL,
    };
    int r = ce_spawn(&how, ret_id, ret_gate, &err);
    if (r < 0)
        printf("# %s\n", err.message);
    (void)close(pair[1]);
    if (r < 0)
        (void)close(pair[0]);
    return r < 0 ? r : pair[0];
}

/* Reads to the end. */
static void read_all(int fd, char *text, size_t size)
{
    size_t n = 0;
    ssize_t got;
    while (n + 1 < size && (got = read(fd, text + n, size - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    (void)close(fd);
}

static void a_child_does_nothing_before_it_is_let_go(void)
{
    struct ce_process_id id;
    char text[64];
    int gate, status, out = shell_at_gate("echo hello; exit 7", 0, &id, &gate);
    REQUIRE(out >= 0);
    CHECK(ce_process_alive(&id));
    struct pollfd pollfd = {.fd = out, .events = POLLIN};
    CHECK(poll(&pollfd, 1, 20) == 0);
    CHECK(ce_spawn_go(gate, NULL) == 0);
    read_all(out, text, sizeof text);
    CHECK_TEXT(text, "hello\n");
    CHECK(ce_process_reap(&id, patience, &status) == 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void a_child_whose_gate_is_closed_ends(void)
{
    struct ce_process_id id;
    char text[64];
    int gate, status, out = shell_at_gate("echo hello", 0, &id, &gate);
    REQUIRE(out >= 0);
    (void)close(gate);
    read_all(out, text, sizeof text);
    CHECK_TEXT(text, "");
    CHECK(ce_process_reap(&id, patience, &status) == 0 && status == 0);
}

static void a_program_that_cannot_run_is_an_error(void)
{
    const char *argv[] = {"/nonexistent/program", NULL};
    struct ce_spawn how = {.argv = argv};
    struct ce_process_id id;
    struct ce_error err = {0};
    int gate, status;
    REQUIRE_OK(ce_spawn(&how, &id, &gate, &err), err);
    CHECK(ce_spawn_go(gate, &err) == -ENOENT);
    CHECK(strstr(err.message, strerror(ENOENT)));
    CHECK(ce_process_reap(&id, patience, &status) == 0 && WEXITSTATUS(status) == 127);
}

static void a_child_has_the_listed_descriptors_only(void)
{
    /* Sources and targets overlap: 4 becomes 3, 3 becomes 4. */
    int stray = open("/dev/zero", O_RDONLY), a = open("/dev/null", O_RDONLY),
        b = open("/dev/zero", O_RDONLY), pair[2];
    REQUIRE(stray >= 0 && a >= 0 && b >= 0 && pipe(pair) == 0);
    const char *argv[] = {
        "/bin/sh", "-c", "for n in 0 1 2 3 4 5 6 7 8 9; do readlink /proc/$$/fd/$n || echo -; done",
        NULL};
    struct ce_spawn how = {
        .argv = argv,
        .fds = {{pair[1], 1}, {a, b}, {b, a}, {a, 3}},
        .fd_count = 4,
    };
    struct ce_process_id id;
    struct ce_error err = {0};
    char text[512], want[16][16], *rest, *line;
    int gate;
    REQUIRE_OK(ce_spawn(&how, &id, &gate, &err), err);
    (void)close(pair[1]);
    CHECK(ce_spawn_go(gate, &err) == 0);
    read_all(pair[0], text, sizeof text);
    for (int i = 0; i < 10; i++)
        snprintf(want[i], sizeof want[i], "%s",
                 i == 0 || i == 2 || i == b || i == 3 ? "/dev/null"
                 : i == a                             ? "/dev/zero"
                                                      : "-");
    line = strtok_r(text, "\n", &rest);
    for (int i = 0; i < 10 && line; i++, line = strtok_r(NULL, "\n", &rest))
        if (i == 1)
            CHECK(strncmp(line, "pipe:", 5) == 0);
        else
            CHECK_TEXT(line, want[i]);
    CHECK(ce_process_reap(&id, patience, NULL) == 0);
    (void)close(stray), (void)close(a), (void)close(b);
}

static void a_child_in_a_user_namespace_is_root_there(void)
{
    struct ce_process_id id;
    char text[64];
    int gate, out = shell_at_gate("id -u; echo $$", CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
                                  &id, &gate);
    if (out < 0)
        SKIP("this user may not make namespaces");
    CHECK(ce_spawn_go(gate, NULL) == 0);
    read_all(out, text, sizeof text);
    CHECK_TEXT(text, "0\n1\n");
    CHECK(ce_process_reap(&id, patience, NULL) == 0);
}

/* A child of a child: it tells its pid, then its maker is killed, before or after letting it go. */
static void check_orphan_ends(bool let_go)
{
    int pair[2];
    REQUIRE(pipe2(pair, O_CLOEXEC) == 0);
    fflush(stdout);
    pid_t maker = fork();
    if (maker == 0) {
        struct ce_process_id id;
        int gate, out = shell_at_gate("exec sleep 60", 0, &id, &gate);
        if (out < 0 || (let_go && ce_spawn_go(gate, NULL) < 0))
            _exit(1);
        (void)ce_write_all(pair[1], &id, sizeof id);
        for (;;)
            pause();
    }
    struct ce_process_id id;
    REQUIRE(read(pair[0], &id, sizeof id) == sizeof id);
    CHECK(ce_process_alive(&id));
    CHECK(kill(maker, SIGKILL) == 0 && waitpid(maker, NULL, 0) == maker);
    AWAIT(!ce_process_alive(&id));
    (void)close(pair[0]), (void)close(pair[1]);
}

static void a_child_ends_with_its_maker(void)
{
    check_orphan_ends(false);
    check_orphan_ends(true);
}

/* ---- undoing what concerns processes ---- */

static int undo(const struct ce_undo_op *op, const struct ce_process_id *id, const char *other_boot)
{
    struct ce_error err = {0};
    ce_autojson json_t *args = ce_process_args(id);
    if (other_boot)
        json_object_set_new(args, "boot", json_string(other_boot));
    return op->undo(args, &err);
}

static void only_the_very_process_is_touched(void)
{
    struct ce_process_id id = worker_start(), other = id;
    other.start++;
    static const char *const elsewhere = "00000000-0000-0000-0000-000000000000";
    CHECK(undo(&ce_undo_end_process, &other, NULL) == CE_UNDO_FOREIGN);
    CHECK(undo(&ce_undo_end_process, &id, elsewhere) == 0);
    CHECK(works(&id));
    CHECK(undo(&ce_undo_end_process, &id, NULL) == 0);
    CHECK(ce_process_state(&id) == 0); /* reaped, too */
    CHECK(undo(&ce_undo_end_process, &id, NULL) == 0);
}

static void a_note_that_makes_no_sense_is_refused(void)
{
    ce_autojson json_t *args = json_pack("{s:i}", "pid", 1);
    for (size_t i = 0; ce_undo_ops[i]; i++) {
        struct ce_error err = {0};
        CHECK(ce_undo_ops[i]->undo(args, &err) == -EINVAL);
        CHECK(err.message[0] != '\0');
    }
}

/* ---- the freezer ---- */

static void check_freezer(enum ce_freezer_kind kind)
{
    char reason[256];
    if (!ce_freezer_available(kind, reason, sizeof reason)) {
        printf("# %s\n", reason);
        SKIP("not open to this user");
    }
    WORLD(w);
    struct ce_error err = {0};
    struct ce_process_id id = worker_start();
    const char *controller = kind == CE_FREEZER_V1 ? "freezer" : NULL;
    ce_autofree char *home = NULL;
    ce_autofree char *back = NULL;
    ce_autofree char *group = NULL;
    ce_autofree char *moved = NULL;
    int note = 0;
    struct ce_process_list one = {.items = &id, .count = 1};
    REQUIRE_OK(ce_cgroup_find(id.pid, controller, &home, NULL, &err), err);
    CHECK(works(&id));
    REQUIRE_OK(ce_freezer_freeze(w.journal, kind, &one, &note, &group, &err), err);
    CHECK(note > 0 && ce_freezer_frozen(kind, group) && stands_still(&id));
    CHECK(ce_process_signal(&id, 0) == 0);
    REQUIRE_OK(ce_cgroup_find(id.pid, controller, &moved, NULL, &err), err);
    CHECK_TEXT(moved, group);
    REQUIRE_OK(ce_undo_now(w.journal, note, &err), err);
    CHECK(access(group, F_OK) < 0);
    CHECK(works(&id));
    REQUIRE_OK(ce_cgroup_find(id.pid, controller, &back, NULL, &err), err);
    CHECK_TEXT(back, home);

    /* Killed while it was frozen, as a supervisor would. */
    free(ce_take(group));
    REQUIRE_OK(ce_freezer_freeze(w.journal, kind, &one, &note, &group, &err), err);
    CHECK(kill(id.pid, SIGKILL) == 0);
    REQUIRE_OK(ce_undo_now(w.journal, note, &err), err);
    CHECK(access(group, F_OK) < 0);
    worker_end(&id);
}

static void a_process_is_frozen_and_thawed_v2(void)
{
    check_freezer(CE_FREEZER_V2);
}

static void a_process_is_frozen_and_thawed_v1(void)
{
    check_freezer(CE_FREEZER_V1);
}

/* Executed anew, because seams count the steps of a process: hinders process `pid` in every way
 * that is open here. */
static int hinder(const char *state, pid_t pid)
{
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    struct ce_process_id id;
    CE_TRY(ce_process_identify(pid, &id));
    CE_TRY(ce_journal_create(state, "crash", ce_undo_ops, &journal, &err));
    for (enum ce_freezer_kind kind = CE_FREEZER_V2; kind <= CE_FREEZER_V1; kind++) {
        char reason[256];
        char *group = NULL;
        int note;
        if (!ce_freezer_available(kind, reason, sizeof reason))
            continue;
        struct ce_process_list one = {.items = &id, .count = 1};
        CE_TRY(ce_freezer_freeze(journal, kind, &one, &note, &group, &err));
        free(group);
        CE_TRY(ce_undo_now(journal, note, &err));
    }
    CE_TRY(ce_undo_all(journal, NULL, &err));
    ce_journal_close(journal);
    return 0;
}

static void a_crash_at_any_step_leaves_the_process_free(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    WORLD(w);
    struct ce_error err = {0};
    struct ce_process_id id = worker_start();
    ce_autofree char *before = ce_format("/proc/%d/cgroup", (int)id.pid);
    ce_autofree char *groups = NULL;
    size_t size;
    REQUIRE_OK(ce_file_read(before, 1 << 16, &groups, &size, &err), err);
    int status = 0, step = 0;
    do {
        char step_text[16], pid_text[16];
        snprintf(step_text, sizeof step_text, "%d", ++step);
        snprintf(pid_text, sizeof pid_text, "%d", (int)id.pid);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", step_text, 1);
            execl("/proc/self/exe", "test_host", w.state, pid_text, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        struct ce_recovery counts;
        REQUIRE_OK(ce_journal_recover(w.state, ce_undo_ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        CHECK(works(&id));
        ce_autofree char *now = NULL;
        REQUIRE_OK(ce_file_read(before, 1 << 16, &now, &size, &err), err);
        CHECK_TEXT(now, groups);
    } while (WIFSIGNALED(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(step > 8);
    worker_end(&id);
}

/* ---- memory ---- */

static void available_memory_is_told(void)
{
    CHECK(ce_memory_available() > 0 && ce_memory_available() <= ce_memory_total());
}

static void the_hog_grows_and_shrinks_to_what_is_asked(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_hog *hog = NULL;
    struct ce_hog_size size = {0};
    REQUIRE_OK(ce_hog_start(w.journal, 64 * CE_MIB, &hog, &err), err);
    CHECK(ce_undo_live(w.journal) == 1);
    struct ce_process_id id = ce_hog_id(hog);
    uint64_t empty = ce_process_status_bytes(&id, "VmRSS");
    CHECK(empty > 0 && empty < 64 * CE_MIB);
    static const uint64_t sizes[] = {100 * CE_MIB, 40 * CE_MIB, 41 * CE_MIB, 0, 64 * CE_MIB};
    for (size_t i = 0; i < CE_COUNT(sizes); i++) {
        REQUIRE_OK(ce_hog_resize(hog, sizes[i], &size, &err), err);
        uint64_t resident = ce_process_status_bytes(&id, "VmRSS"),
                 locked = ce_process_status_bytes(&id, "VmLck");
        CHECK(size.bytes == sizes[i] && !size.limited);
        CHECK(resident >= sizes[i]);
#ifndef __SANITIZE_THREAD__ /* which keeps shadows of what is touched */
        CHECK(resident < sizes[i] + empty + 8 * CE_MIB);
#endif
        CHECK(size.locked ? locked == sizes[i] : locked < sizes[i] || sizes[i] == 0);
    }
    char adj[16];
    ce_autofree char *folder = ce_format("/proc/%d", (int)id.pid);
    CHECK(ce_cgroup_read(folder, "oom_score_adj", adj, sizeof adj) == 0);
    CHECK_TEXT(adj, "1000");
    REQUIRE_OK(ce_hog_stop(hog, &err), err);
    CHECK(!ce_process_alive(&id) && ce_undo_live(w.journal) == 0);
}

static void the_hog_respects_its_floor(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_hog *hog = NULL;
    struct ce_hog_size size = {0};
    uint64_t floor = 2 * ce_memory_total();
    REQUIRE_OK(ce_hog_start(w.journal, floor, &hog, &err), err);
    REQUIRE_OK(ce_hog_resize(hog, 64 * CE_MIB, &size, &err), err);
    CHECK(size.bytes == 0 && size.limited);
    REQUIRE_OK(ce_hog_stop(hog, &err), err);
}

static void a_hog_that_was_ended_is_an_error(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_hog *hog = NULL;
    struct ce_hog_size size;
    REQUIRE_OK(ce_hog_start(w.journal, 64 * CE_MIB, &hog, &err), err);
    struct ce_process_id id = ce_hog_id(hog);
    CHECK(ce_process_signal(&id, SIGKILL) == 0);
    CHECK(ce_hog_look(hog, &size, &err) == -ESRCH);
    CHECK(strstr(err.message, "ended"));
    CHECK(ce_hog_stop(hog, &err) == 0);
}

static void the_doctor_names_every_check(void)
{
    ce_autojson json_t *list = json_array();
    struct ce_error err = {0};
    REQUIRE_OK(ce_host_checks(list, &err), err);
    CHECK(json_array_size(list) >= 4);
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item)
    {
        CHECK(json_is_string(json_object_get(item, "name")) &&
              json_is_boolean(json_object_get(item, "ok")));
        CHECK(json_string_length(json_object_get(item, "detail")) > 0);
        CHECK(json_string_length(json_object_get(item, "needed_by")) > 0);
    }
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return hinder(argv[1], atoi(argv[2])) < 0;
    TEST(a_child_does_nothing_before_it_is_let_go);
    TEST(a_child_whose_gate_is_closed_ends);
    TEST(a_program_that_cannot_run_is_an_error);
    TEST(a_child_has_the_listed_descriptors_only);
    TEST(a_child_in_a_user_namespace_is_root_there);
    TEST(a_child_ends_with_its_maker);
    TEST(only_the_very_process_is_touched);
    TEST(a_note_that_makes_no_sense_is_refused);
    TEST(a_process_is_frozen_and_thawed_v2);
    TEST(a_process_is_frozen_and_thawed_v1);
    TEST(a_crash_at_any_step_leaves_the_process_free);
    TEST(available_memory_is_told);
    TEST(the_hog_grows_and_shrinks_to_what_is_asked);
    TEST(the_hog_respects_its_floor);
    TEST(a_hog_that_was_ended_is_an_error);
    TEST(the_doctor_names_every_check);
    return test_done();
}
