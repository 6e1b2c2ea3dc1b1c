/* SPDX-License-Identifier: MIT */
/* Control groups of ours: who is moved in, where everybody goes back to, and what a crash leaves.
 * With real groups, of the version 1 hierarchies and of version 2 where this user may make them. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "check.h"
#include "controller/controller.h"
#include "host/cgroup.h"
#include "host/freezer.h"
#include "host/group.h"
#include "host/process.h"

static const int64_t patience = 10 * CE_SECOND;

#define EVENTUALLY(condition)                                                                      \
    __extension__({                                                                                \
        int64_t until_ = ce_now() + patience;                                                      \
        bool holds_;                                                                               \
        while (!(holds_ = (condition)) && ce_now() < until_)                                       \
            (void)poll(NULL, 0, 2);                                                                \
        holds_;                                                                                    \
    })

/* A state folder with a journal in it, and a process with children: they all work until they are
 * hindered. */
struct world {
    char folder[64], state[80];
    struct ce_journal *journal;
    struct ce_process_id root;
    struct ce_process_list tree;
    int orders; /* a byte: the root forks once more */
};

static void work(void)
{
    for (volatile unsigned i = 0;; i++)
        if (i % 100000 == 0)
            (void)poll(NULL, 0, 1);
}

/* A root with a child that has a child. */
static void root_main(int orders)
{
    char byte;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fork() == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fork() == 0)
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        work();
    }
    while (read(orders, &byte, 1) == 1)
        if (fork() == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            work();
        }
    _exit(0);
}

static size_t tree_size(struct world *w)
{
    ce_process_list_done(&w->tree);
    return ce_process_tree(&w->root, &w->tree, NULL) < 0 ? 0 : w->tree.count;
}

static struct world world_make(void)
{
    struct world w = {.folder = "/tmp/chaoseater-group-XXXXXX"};
    struct ce_error err = {0};
    int pair[2];
    if (!mkdtemp(w.folder) || pipe2(pair, O_CLOEXEC) < 0)
        abort();
    snprintf(w.state, sizeof w.state, "%s/state", w.folder);
    if (ce_journal_create(w.state, "run", ce_undo_ops, &w.journal, &err) < 0)
        abort();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(pair[1]);
        root_main(pair[0]);
    }
    (void)close(pair[0]);
    w.orders = pair[1];
    if (ce_process_identify(pid, &w.root) < 0 || !EVENTUALLY(tree_size(&w) == 3))
        abort();
    return w;
}

static void world_remove(struct world *w)
{
    (void)tree_size(w);
    for (size_t i = 0; i < w->tree.count; i++)
        (void)ce_process_end(&w->tree.items[i], patience, NULL);
    (void)waitpid(w->root.pid, NULL, 0);
    ce_process_list_done(&w->tree);
    (void)close(w->orders);
    ce_journal_close(w->journal);
    (void)ce_tree_remove(w->folder, NULL);
}
#define WORLD(w) CE_CLEANUP(world_remove) struct world w = world_make()

/* The hierarchies that the tests below are run in. */
static const char *const hierarchies[] = {NULL, "cpu", "freezer", "devices", "blkio"};

static bool usable(const char *controller)
{
    char detail[256];
    bool fine = ce_group_available(controller, NULL, detail, sizeof detail);
    if (!fine)
        printf("# %s: %s\n", controller ? controller : "version 2", detail);
    return fine;
}

static bool any_usable(void)
{
    for (size_t i = 0; i < CE_COUNT(hierarchies); i++)
        if (usable(hierarchies[i]))
            return true;
    return false;
}
#define NEED_GROUPS()                                                                              \
    if (!any_usable())                                                                             \
    SKIP("this user may not make control groups")

static bool is_in(pid_t pid, const char *controller, const char *folder)
{
    ce_autofree char *now = NULL;
    return ce_cgroup_find(pid, controller, &now, NULL, NULL) == 0 && strcmp(now, folder) == 0;
}

static bool all_in(struct world *w, const char *controller, const char *folder)
{
    bool all = tree_size(w) > 0;
    for (size_t i = 0; i < w->tree.count; i++)
        all = all && is_in(w->tree.items[i].pid, controller, folder);
    return all;
}

static void check_members(struct world *w, const char *controller)
{
    struct ce_error err = {0};
    int note = 0;
    ce_autofree char *home = NULL;
    ce_autofree char *folder = NULL;
    REQUIRE_OK(ce_cgroup_find(w->root.pid, controller, &home, NULL, &err), err);
    REQUIRE_OK(ce_group_make(w->journal, controller, NULL, &w->tree, &note, &folder, &err), err);
    CHECK(note > 0 && strncmp(folder, home, strlen(home)) == 0);
    CHECK(all_in(w, controller, folder));
    size_t before = w->tree.count;
    CHECK(write(w->orders, "f", 1) == 1);
    CHECK(EVENTUALLY(tree_size(w) == before + 1));
    CHECK(all_in(w, controller, folder));
    REQUIRE_OK(ce_undo_now(w->journal, note, &err), err);
    CHECK(access(folder, F_OK) < 0 && all_in(w, controller, home));
    CHECK(tree_size(w) == before + 1);
}

static void the_tree_goes_in_and_back_with_who_was_born_meanwhile(void)
{
    NEED_GROUPS();
    WORLD(w);
    for (size_t i = 0; i < CE_COUNT(hierarchies); i++)
        if (usable(hierarchies[i]))
            check_members(&w, hierarchies[i]);
}

static void everyone_goes_back_to_its_own_group(void)
{
    NEED_GROUPS();
    WORLD(w);
    struct ce_error err = {0};
    for (size_t i = 0; i < CE_COUNT(hierarchies); i++) {
        const char *controller = hierarchies[i];
        if (!usable(controller))
            continue;
        ce_autofree char *home = NULL;
        ce_autofree char *folder = NULL;
        int note = 0;
        REQUIRE_OK(ce_cgroup_find(w.root.pid, controller, &home, NULL, &err), err);
        ce_autofree char *other = ce_format("%s/ce-test-%d", home, (int)getpid());
        REQUIRE(mkdir(other, 0755) == 0);
        pid_t moved = w.tree.items[w.tree.count - 1].pid;
        REQUIRE_OK(ce_group_join(other, moved, &err), err);
        REQUIRE_OK(ce_group_make(w.journal, controller, NULL, &w.tree, &note, &folder, &err), err);
        CHECK(all_in(&w, controller, folder));
        REQUIRE_OK(ce_undo_now(w.journal, note, &err), err);
        CHECK(is_in(moved, controller, other) && is_in(w.root.pid, controller, home));
        REQUIRE_OK(ce_group_join(home, moved, &err), err);
        CHECK(EVENTUALLY(rmdir(other) == 0));
    }
}

static void a_foreign_process_stays_where_it_is(void)
{
    NEED_GROUPS();
    WORLD(w);
    struct ce_error err = {0};
    for (size_t i = 0; i < CE_COUNT(hierarchies); i++) {
        const char *controller = hierarchies[i];
        if (!usable(controller))
            continue;
        ce_autofree char *home = NULL;
        ce_autofree char *folder = NULL;
        struct ce_process_id other = {.pid = w.root.pid, .start = w.root.start + 1};
        struct ce_process_list one = {.items = &other, .count = 1};
        int note = 0;
        REQUIRE_OK(ce_cgroup_find(w.root.pid, controller, &home, NULL, &err), err);
        CHECK(ce_group_make(w.journal, controller, NULL, &one, &note, &folder, &err) == -ESRCH);
        CHECK(is_in(w.root.pid, controller, home));
        CHECK(note == 0 || ce_undo_now(w.journal, note, &err) == 0);
        CHECK(!folder || access(folder, F_OK) < 0);
    }
}

static void a_group_with_chaoseater_in_it_is_refused(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_process_id self;
    ce_autofree char *folder = NULL;
    int note = 0;
    REQUIRE(ce_process_identify(getpid(), &self) == 0);
    struct ce_process_list one = {.items = &self, .count = 1};
    CHECK(ce_group_make(w.journal, NULL, NULL, &one, &note, &folder, &err) == -EPERM && note == 0);
    CHECK(strstr(err.message, "ChaosEater itself"));
}

/* Two groups of two faults on one target, the second below the first. */
static void check_two(struct world *w, const char *controller, bool first_first)
{
    struct ce_error err = {0};
    int notes[2] = {0, 0};
    ce_autofree char *home = NULL;
    ce_autofree char *first = NULL;
    ce_autofree char *second = NULL;
    REQUIRE_OK(ce_cgroup_find(w->root.pid, controller, &home, NULL, &err), err);
    REQUIRE_OK(ce_group_make(w->journal, controller, NULL, &w->tree, &notes[0], &first, &err), err);
    REQUIRE_OK(ce_group_make(w->journal, controller, NULL, &w->tree, &notes[1], &second, &err),
               err);
    CHECK(strncmp(second, first, strlen(first)) == 0 && all_in(w, controller, second));
    REQUIRE_OK(ce_undo_now(w->journal, notes[first_first ? 0 : 1], &err), err);
    CHECK(all_in(w, controller, first_first ? second : first));
    REQUIRE_OK(ce_undo_now(w->journal, notes[first_first ? 1 : 0], &err), err);
    CHECK(all_in(w, controller, home));
    CHECK(access(first, F_OK) < 0 && access(second, F_OK) < 0);
}

static void two_faults_on_one_target_go_in_any_order(void)
{
    NEED_GROUPS();
    WORLD(w);
    for (size_t i = 0; i < CE_COUNT(hierarchies); i++)
        for (int first_first = 0; first_first < 2 && usable(hierarchies[i]); first_first++)
            check_two(&w, hierarchies[i], first_first);
}

static void undo_is_idempotent_and_knows_other_boots(void)
{
    NEED_GROUPS();
    WORLD(w);
    struct ce_error err = {0};
    const char *controller = usable("cpu") ? "cpu" : NULL;
    ce_autofree char *home = NULL;
    ce_autofree char *top = NULL;
    char boot[CE_BOOT_ID_SIZE];
    ce_boot_id(boot);
    REQUIRE_OK(ce_cgroup_find(w.root.pid, controller, &home, &top, &err), err);
    ce_autofree char *folder = ce_format("%s/chaoseater-group-%016d", home, (int)getpid());
    REQUIRE(mkdir(folder, 0755) == 0);
    REQUIRE_OK(ce_group_join(folder, w.root.pid, &err), err);
    ce_autojson json_t *args =
        json_pack("{s:s, s:s, s:s, s:s}", "boot", "00000000-0000-0000-0000-000000000000", "folder",
                  folder, "home", home, "top", top);
    CHECK(ce_undo_leave_group.undo(args, &err) == 0);
    CHECK(is_in(w.root.pid, controller, folder));
    json_object_set_new(args, "boot", json_string(boot));
    for (int i = 0; i < 2; i++)
        CHECK(ce_undo_leave_group.undo(args, &err) == 0);
    CHECK(is_in(w.root.pid, controller, home) && access(folder, F_OK) < 0);
    /* Only a group of ours is ever touched. */
    json_object_set_new(args, "folder", json_string(home));
    CHECK(ce_undo_leave_group.undo(args, &err) == -EINVAL);
}

static bool stands_still(struct world *w)
{
    int64_t used = 0, later = 0;
    for (size_t i = 0; i < w->tree.count; i++)
        used += ce_process_cpu_time(&w->tree.items[i]);
    ce_sleep_until(ce_now() + 30 * CE_MILLISECOND);
    for (size_t i = 0; i < w->tree.count; i++)
        later += ce_process_cpu_time(&w->tree.items[i]);
    return used > 0 && later == used;
}

static void a_whole_tree_is_frozen(void)
{
    for (enum ce_freezer_kind kind = CE_FREEZER_V2; kind <= CE_FREEZER_V1; kind++) {
        if (!usable(kind == CE_FREEZER_V1 ? "freezer" : NULL))
            continue;
        WORLD(w);
        struct ce_error err = {0};
        ce_autofree char *folder = NULL;
        int note = 0;
        CHECK(EVENTUALLY(!stands_still(&w)));
        REQUIRE_OK(ce_freezer_freeze(w.journal, kind, &w.tree, &note, &folder, &err), err);
        CHECK(ce_freezer_frozen(kind, folder) && stands_still(&w));
        int64_t begun = ce_now();
        REQUIRE_OK(ce_undo_now(w.journal, note, &err), err);
        printf("# version %d: undone in %.1f ms\n", kind == CE_FREEZER_V2 ? 2 : 1,
               (double)(ce_now() - begun) / (double)CE_MILLISECOND);
        CHECK(EVENTUALLY(!stands_still(&w)));
    }
}

static void check_group_of_another(struct world *w, enum ce_freezer_kind kind)
{
    struct ce_error err = {0};
    const char *controller = kind == CE_FREEZER_V1 ? "freezer" : NULL;
    ce_autofree char *home = NULL;
    int note = 0, second = 0;
    REQUIRE_OK(ce_cgroup_find(w->root.pid, controller, &home, NULL, &err), err);
    ce_autofree char *other = ce_format("%s/ce-test-%d", home, (int)getpid());
    REQUIRE(mkdir(other, 0755) == 0);
    for (size_t i = 0; i < w->tree.count; i++)
        REQUIRE_OK(ce_group_join(other, w->tree.items[i].pid, &err), err);
    REQUIRE_OK(ce_freezer_freeze_group(w->journal, kind, other, &note, &err), err);
    CHECK(ce_freezer_frozen(kind, other) && stands_still(w));
    CHECK(ce_freezer_freeze_group(w->journal, kind, other, &second, &err) == -EBUSY);
    REQUIRE_OK(ce_undo_now(w->journal, note, &err), err);
    CHECK(!ce_freezer_frozen(kind, other) && EVENTUALLY(!stands_still(w)));
    CHECK(all_in(w, controller, other));
    for (size_t i = 0; i < w->tree.count; i++)
        REQUIRE_OK(ce_group_join(home, w->tree.items[i].pid, &err), err);
    CHECK(EVENTUALLY(rmdir(other) == 0));
}

static void a_group_that_is_not_ours_is_frozen_as_it_stands(void)
{
    NEED_GROUPS();
    WORLD(w);
    for (enum ce_freezer_kind kind = CE_FREEZER_V2; kind <= CE_FREEZER_V1; kind++)
        if (usable(kind == CE_FREEZER_V1 ? "freezer" : NULL))
            check_group_of_another(&w, kind);
}

/* ---- controllers of version 2 ---- */

/* A group that is not ours, with the whole tree in it. */
static char *move_to_other(struct world *w, const char *top)
{
    char *other = ce_format("%s/ce-test-%d", top, (int)getpid());
    bool fine = other && mkdir(other, 0755) == 0;
    for (size_t i = 0; i < w->tree.count; i++)
        fine = fine && ce_group_join(other, w->tree.items[i].pid, NULL) == 0;
    CHECK(fine);
    return other;
}

static void move_back(struct world *w, const char *other, const char *top)
{
    for (size_t i = 0; i < w->tree.count; i++)
        CHECK(ce_group_join(top, w->tree.items[i].pid, NULL) == 0);
    CHECK(EVENTUALLY(rmdir(other) == 0));
}

static bool hands_down(const char *folder, const char *controller)
{
    char text[256];
    return ce_cgroup_read(folder, "cgroup.subtree_control", text, sizeof text) == 0 &&
           strstr(text, controller);
}

static bool has_file(const char *folder, const char *file)
{
    ce_autofree char *path = ce_format("%s/%s", folder, file);
    return path && access(path, F_OK) == 0;
}

static void check_handed_down(struct world *w, const char *other, bool first_first)
{
    struct ce_error err = {0};
    int notes[2] = {0, 0};
    ce_autofree char *first = NULL;
    ce_autofree char *second = NULL;
    REQUIRE_OK(ce_group_make(w->journal, NULL, "cpu", &w->tree, &notes[0], &first, &err), err);
    CHECK(strncmp(first, other, strlen(other)) == 0 && has_file(first, "cpu.max"));
    CHECK(hands_down(other, "cpu") && all_in(w, NULL, first));
    REQUIRE_OK(ce_group_make(w->journal, NULL, "cpu", &w->tree, &notes[1], &second, &err), err);
    CHECK(has_file(second, "cpu.max") && all_in(w, NULL, second));
    REQUIRE_OK(ce_undo_now(w->journal, notes[first_first ? 0 : 1], &err), err);
    CHECK(has_file(first_first ? second : first, "cpu.max"));
    CHECK(all_in(w, NULL, first_first ? second : first));
    REQUIRE_OK(ce_undo_now(w->journal, notes[first_first ? 1 : 0], &err), err);
    CHECK(all_in(w, NULL, other) && access(first, F_OK) < 0);
    CHECK(!hands_down(other, "cpu") && !has_file(other, "chaoseater-enabled-cpu"));
    char type[32] = "";
    CHECK(ce_cgroup_read(other, "cgroup.type", type, sizeof type) == 0);
    CHECK_TEXT(type, "domain");
}

static void a_controller_is_handed_down_and_taken_back(void)
{
    char detail[256];
    if (!ce_group_available(NULL, "cpu", detail, sizeof detail))
        SKIP("control groups of version 2 have no controller 'cpu' here");
    WORLD(w);
    struct ce_error err = {0};
    ce_autofree char *home = NULL;
    REQUIRE_OK(ce_cgroup_find(w.root.pid, NULL, &home, NULL, &err), err);
    ce_autofree char *other = move_to_other(&w, home);
    for (int first_first = 0; first_first < 2; first_first++)
        check_handed_down(&w, other, first_first);
    move_back(&w, other, home);
}

static void a_group_for_storage_stands_beside_the_target(void)
{
    char detail[256];
    if (!ce_group_available(NULL, "io", detail, sizeof detail))
        SKIP("control groups of version 2 have no controller 'io' here");
    WORLD(w);
    struct ce_error err = {0};
    ce_autofree char *home = NULL;
    ce_autofree char *folder = NULL;
    int note = 0;
    REQUIRE_OK(ce_cgroup_find(w.root.pid, NULL, &home, NULL, &err), err);
    ce_autofree char *other = move_to_other(&w, home);
    REQUIRE_OK(ce_group_make(w.journal, NULL, "io", &w.tree, &note, &folder, &err), err);
    CHECK(strncmp(folder, other, strlen(other)) != 0 && has_file(folder, "io.max"));
    CHECK(all_in(&w, NULL, folder));
    REQUIRE_OK(ce_undo_now(w.journal, note, &err), err);
    CHECK(all_in(&w, NULL, other) && access(folder, F_OK) < 0);
    move_back(&w, other, home);
}

/* ---- crashes ---- */

/* Executed anew, because seams count the steps of a process. */
static int group_and_leave(const char *state, pid_t pid)
{
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    struct ce_process_id id;
    CE_TRY(ce_process_identify(pid, &id));
    CE_TRY(ce_journal_create(state, "crash", ce_undo_ops, &journal, &err));
    for (size_t i = 0; i < CE_COUNT(hierarchies); i++) {
        struct ce_process_list tree = {0};
        int notes[2];
        if (!usable(hierarchies[i]))
            continue;
        for (int j = 0; j < 2; j++) {
            ce_autofree char *folder = NULL;
            CE_TRY(ce_process_tree(&id, &tree, &err));
            CE_TRY(ce_group_make(journal, hierarchies[i], NULL, &tree, &notes[j], &folder, &err));
            ce_process_list_done(&tree);
        }
        for (int j = 0; j < 2; j++)
            CE_TRY(ce_undo_now(journal, notes[j], &err));
    }
    ce_journal_close(journal);
    return 0;
}

static void groups_text(struct world *w, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    (void)tree_size(w);
    for (size_t i = 0; i < w->tree.count; i++) {
        char path[40];
        ce_autofree char *groups = NULL;
        size_t n;
        snprintf(path, sizeof path, "/proc/%d/cgroup", (int)w->tree.items[i].pid);
        if (ce_file_read(path, 1 << 16, &groups, &n, NULL) == 0)
            used += (size_t)snprintf(text + used, size - used, "%s", groups);
    }
}

static void a_crash_at_any_step_leaves_no_group(void)
{
    NEED_GROUPS();
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    WORLD(w);
    struct ce_error err = {0};
    char before[8192], now[8192];
    groups_text(&w, before, sizeof before);
    int status = 0, step = 0;
    do {
        char step_text[16], pid_text[16];
        snprintf(step_text, sizeof step_text, "%d", ++step);
        snprintf(pid_text, sizeof pid_text, "%d", (int)w.root.pid);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", step_text, 1);
            execl("/proc/self/exe", "test_group", w.state, pid_text, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        struct ce_recovery counts;
        REQUIRE_OK(ce_journal_recover(w.state, ce_undo_ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        groups_text(&w, now, sizeof now);
        CHECK_TEXT(now, before);
    } while (WIFSIGNALED(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(step > 10);
    printf("# %d steps\n", step);
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return group_and_leave(argv[1], atoi(argv[2])) < 0;
    TEST(the_tree_goes_in_and_back_with_who_was_born_meanwhile);
    TEST(everyone_goes_back_to_its_own_group);
    TEST(a_foreign_process_stays_where_it_is);
    TEST(a_group_with_chaoseater_in_it_is_refused);
    TEST(two_faults_on_one_target_go_in_any_order);
    TEST(undo_is_idempotent_and_knows_other_boots);
    TEST(a_whole_tree_is_frozen);
    TEST(a_group_that_is_not_ours_is_frozen_as_it_stands);
    TEST(a_controller_is_handed_down_and_taken_back);
    TEST(a_group_for_storage_stands_beside_the_target);
    TEST(a_crash_at_any_step_leaves_no_group);
    return test_done();
}
