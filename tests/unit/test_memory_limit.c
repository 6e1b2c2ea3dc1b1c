/* SPDX-License-Identifier: MIT */
/* memory_leak by the limit of a control group, with a group that the test makes below its own and a
 * child in it. Where no such group can be made, the tests say so and are left out. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/identity.h"
#include "controller/controller.h"
#include "fault_world.h"
#include "host/cgroup.h"
#include "host/memory.h"
#include "host/memory_limit.h"

#define MIB(n) ((uint64_t)(n)*CE_MIB)

/* Generous: it only runs out when something is broken. */
static const int64_t patience = 20 * CE_SECOND;

#define EVENTUALLY(condition)                                                                      \
    __extension__({                                                                                \
        int64_t until_ = ce_now() + patience;                                                      \
        bool holds_;                                                                               \
        while (!(holds_ = (condition)) && ce_now() < until_)                                       \
            (void)poll(NULL, 0, 5);                                                                \
        holds_;                                                                                    \
    })

/* ---- a group, a child in it that has memory, and a journal ---- */

struct lab {
    char folder[64], state[80], group[512], assignment[600];
    const char *limit_file;
    pid_t child;
    int orders; /* a byte: takes more */
    struct ce_journal *journal;
    struct ce_target target;
    struct ce_injection injection;
};

static void take(uint64_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        _exit(1);
    for (uint64_t at = 0; at < bytes; at += 4096)
        ((volatile char *)memory)[at] = 1;
}

static void serve(int orders, int ready)
{
    char byte;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(orders, &byte, 1) != 1) /* it is in its group now */
        _exit(1);
    take(MIB(32));
    if (write(ready, "r", 1) != 1)
        _exit(1);
    while (read(orders, &byte, 1) == 1)
        take(MIB(96));
    _exit(0);
}

/* A folder with a memory limit of its own, if one can be made here. */
static bool make_group(struct lab *lab)
{
    static const struct {
        const char *controller, *file;
    } kinds[] = {{"memory", "memory.limit_in_bytes"}, {NULL, "memory.max"}};
    for (size_t i = 0; i < CE_COUNT(kinds); i++) {
        ce_autofree char *home = NULL;
        if (ce_cgroup_find(getpid(), kinds[i].controller, &home, NULL, NULL) < 0)
            continue;
        snprintf(lab->group, sizeof lab->group, "%s/ce-test-%d", home, (int)getpid());
        lab->limit_file = kinds[i].file;
        if (mkdir(lab->group, 0755) < 0)
            continue;
        if (ce_cgroup_write(lab->group, lab->limit_file, "268435456") == 0)
            return true;
        (void)rmdir(lab->group);
    }
    lab->group[0] = '\0';
    return false;
}

static bool start_child(struct lab *lab)
{
    int orders[2], ready[2];
    char byte, text[16];
    if (pipe2(orders, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0)
        return false;
    fflush(stdout);
    lab->child = fork();
    if (lab->child == 0) {
        (void)close(orders[1]);
        serve(orders[0], ready[1]);
    }
    (void)close(orders[0]);
    (void)close(ready[1]);
    lab->orders = orders[1];
    snprintf(text, sizeof text, "%d", (int)lab->child);
    bool fine = ce_cgroup_write(lab->group, "cgroup.procs", text) == 0 &&
                write(lab->orders, "g", 1) == 1 && read(ready[0], &byte, 1) == 1;
    (void)close(ready[0]);
    return fine;
}

static bool lab_open(struct lab *lab)
{
    struct ce_error err = {0};
    *lab = (struct lab){.folder = "/tmp/ce-limit-XXXXXX", .orders = -1};
    if (!mkdtemp(lab->folder))
        abort();
    snprintf(lab->state, sizeof lab->state, "%s/state", lab->folder);
    if (ce_journal_create(lab->state, "run", ce_undo_ops, &lab->journal, &err) < 0)
        abort();
    lab->target = (struct ce_target){.name = "test target", .run_folder = lab->folder};
    if (!make_group(lab))
        return false;
    snprintf(lab->assignment, sizeof lab->assignment, "cgroup=%s", lab->group);
    return start_child(lab);
}

static void end_child(struct lab *lab)
{
    if (lab->orders >= 0)
        (void)close(lab->orders);
    lab->orders = -1;
    if (lab->child > 0) {
        (void)kill(lab->child, SIGKILL);
        (void)waitpid(lab->child, NULL, 0);
    }
    lab->child = 0;
}

static void lab_close(struct lab *lab)
{
    injection_forget(&lab->injection);
    end_child(lab);
    if (lab->group[0])
        (void)EVENTUALLY(rmdir(lab->group) == 0 || errno == ENOENT);
    ce_journal_close(lab->journal);
    (void)ce_tree_remove(lab->folder, NULL);
}
#define LAB(name)                                                                                  \
    CE_CLEANUP(lab_close) struct lab name;                                                         \
    if (!lab_open(&name))                                                                          \
    SKIP("no control group with a memory limit can be made here")

static uint64_t limit_of(const struct lab *lab)
{
    uint64_t limit = 0;
    (void)ce_cgroup_number(lab->group, lab->limit_file, NULL, &limit);
    return limit;
}

static uint64_t usage_of(const struct lab *lab)
{
    uint64_t limit = 0, usage = 0;
    struct ce_memory_group group;
    struct ce_error err = {0};
    CHECK(ce_memory_group_find(lab->group, &group, &err) == 0 &&
          ce_memory_group_look(&group, &limit, &usage, &err) == 0);
    CHECK(limit == MIB(256) && usage >= MIB(32));
    return usage;
}

static bool limit_stands_still(const struct lab *lab)
{
    uint64_t before = limit_of(lab);
    int64_t until = ce_now() + CE_SECOND / 2;
    while (limit_of(lab) == before && ce_now() < until)
        (void)poll(NULL, 0, 20);
    return before > 0 && limit_of(lab) == before;
}

static int inject(struct lab *lab, struct ce_journal *journal, const char *const *assignments,
                  struct ce_error *err)
{
    CE_TRY(injection_arm(&lab->injection, &lab->target, journal, "memory_leak", assignments, err));
    return lab->injection.fault->inject(&lab->injection, err);
}
#define INJECT(lab, err, ...)                                                                      \
    inject(lab, (lab)->journal, (const char *const[]){(lab)->assignment, __VA_ARGS__, NULL}, err)

static int verify(struct lab *lab, struct ce_error *err)
{
    struct ce_evidence evidence = {""};
    int r = lab->injection.fault->verify(&lab->injection, &evidence, err);
    printf("# %d: %s\n", r, evidence.text);
    return evidence.text[0] != '\0' || r < 0 ? r : -ENOMSG;
}

static void check_undone(struct lab *lab)
{
    struct ce_error err = {0};
    REQUIRE_OK(injection_revert(&lab->injection, &err), err);
    REQUIRE_OK(lab->injection.fault->verify_undo(&lab->injection, &err), err);
    CHECK(limit_of(lab) == MIB(256));
    CHECK(ce_undo_live(lab->journal) == 0);
}

/* ---- squeezing, and giving back ---- */

static void the_limit_sinks_at_the_rate_and_is_put_back(void)
{
    LAB(lab);
    struct ce_error err = {0};
    uint64_t usage = usage_of(&lab);
    int64_t begun = ce_now();
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=32", "limit_mb=64"), err);
    uint64_t first = limit_of(&lab);
    CHECK(first > usage + MIB(48) && first < usage + MIB(68));
    CHECK(verify(&lab, &err) == 1);
    CHECK(EVENTUALLY(limit_of(&lab) < first - MIB(32)));
    CHECK(ce_now() - begun > 800 * CE_MILLISECOND);
    struct ce_fault_counts counts = injection_counts(&lab.injection);
    CHECK(counts.eligible == 1 && counts.selected == 1 && counts.changed == 1);
    check_undone(&lab);
}

static void it_needs_no_process_of_ours(void)
{
    LAB(lab);
    struct ce_error err = {0};
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=0"), err);
    CHECK(lab.injection.fault->needs_of(lab.injection.params) == 0);
    /* No rate is a control run, in which nothing is touched. */
    CHECK(lab.injection.fault->is_control(lab.injection.params));
    CHECK(limit_of(&lab) == MIB(256) && ce_undo_live(lab.journal) == 0);
    check_undone(&lab);
}

static void the_squeeze_stops_at_limit_mb(void)
{
    LAB(lab);
    struct ce_error err = {0};
    uint64_t usage = usage_of(&lab);
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=400", "limit_mb=40"), err);
    CHECK(verify(&lab, &err) == 1);
    CHECK(EVENTUALLY(limit_of(&lab) < usage + MIB(4)));
    CHECK(limit_stands_still(&lab) && limit_of(&lab) + MIB(1) > usage);
    CHECK(kill(lab.child, 0) == 0);
    check_undone(&lab);
}

static void who_asks_for_more_than_is_left_is_killed(void)
{
    LAB(lab);
    struct ce_error err = {0};
    int status = 0;
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=64", "limit_mb=64"), err);
    CHECK(verify(&lab, &err) == 1);
    REQUIRE(write(lab.orders, "t", 1) == 1);
    CHECK(EVENTUALLY(waitpid(lab.child, &status, WNOHANG) == lab.child));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    lab.child = 0;
    check_undone(&lab);
}

static void the_rate_follows_the_intensity(void)
{
    LAB(lab);
    struct ce_error err = {0};
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=32", "limit_mb=200"), err);
    CHECK(verify(&lab, &err) == 1);
    REQUIRE_OK(lab.injection.fault->adjust(&lab.injection, 0, &err), err);
    CHECK(EVENTUALLY(limit_stands_still(&lab)));
    uint64_t before = limit_of(&lab);
    int64_t begun = ce_now();
    REQUIRE_OK(lab.injection.fault->adjust(&lab.injection, 0.25, &err), err);
    CHECK(EVENTUALLY(limit_of(&lab) + MIB(4) <= before));
    /* A quarter of the rate: 4 MiB take half a second. */
    CHECK(ce_now() - begun > 300 * CE_MILLISECOND);
    check_undone(&lab);
}

static void a_limit_that_somebody_else_sets_is_left_alone(void)
{
    LAB(lab);
    struct ce_error err = {0};
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=32", "limit_mb=200"), err);
    CHECK(verify(&lab, &err) == 1);
    /* A write that falls between the thread's look and its own is lost, so it may take two. */
    CHECK(EVENTUALLY(ce_cgroup_write(lab.group, lab.limit_file, "251658240") == 0 &&
                     limit_stands_still(&lab)));
    CHECK(limit_of(&lab) == MIB(240));
    check_undone(&lab);
}

static void a_pretended_squeeze_is_not_seen(void)
{
#ifdef CE_SEAMS
    LAB(lab);
    struct ce_error err = {0};
    setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
    CHECK(INJECT(&lab, &err, "leak_rate_mb=100", "limit_mb=64") == 0);
    unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
    CHECK(verify(&lab, &err) == 0);
    CHECK(injection_counts(&lab.injection).changed == 0);
    check_undone(&lab);
#else
    SKIP("this build has no seams");
#endif
}

/* ---- who dies, and who is another ---- */

static int find(const char *path, struct ce_error *err)
{
    struct ce_memory_group group;
    int r = ce_memory_group_find(path, &group, err);
    printf("# %s: %s\n", path, r < 0 ? err->message : group.folder);
    return r;
}

static int64_t bytes_in(const struct lab *lab, const char *file)
{
    char text[32] = "";
    (void)ce_cgroup_read(lab->group, file, text, sizeof text);
    return strcmp(text, "max") == 0 ? -1 : strtoll(text, NULL, 10);
}

/* Squeezes with a journal of its own, says so, and waits for its end. */
static void controller(struct lab *lab, const char *state, int ready)
{
    struct ce_journal *journal;
    const char *const assignments[] = {lab->assignment, "leak_rate_mb=50", "limit_mb=200", NULL};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ce_journal_create(state, "crash", ce_undo_ops, &journal, NULL) < 0 ||
        inject(lab, journal, assignments, NULL) < 0)
        _exit(1);
    (void)ce_write_all(ready, "r", 1);
    for (;;)
        (void)pause();
}

static void a_killed_controller_leaves_a_note(void)
{
    LAB(lab);
    struct ce_error err = {0};
    struct ce_recovery counts;
    int ready[2];
    char byte, state[100];
    snprintf(state, sizeof state, "%s/other", lab.folder);
    REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        controller(&lab, state, ready[1]);
    (void)close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    (void)close(ready[0]);
    CHECK(EVENTUALLY(limit_of(&lab) < MIB(225)));
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    CHECK(limit_of(&lab) < MIB(225) && limit_stands_still(&lab));
    CHECK(find(lab.group, &err) == -EBUSY);
    REQUIRE_OK(ce_journal_recover(state, ce_undo_ops, &counts, &err), err);
    CHECK(counts.undone == 1 && counts.failed == 0 && counts.foreign == 0);
    CHECK(limit_of(&lab) == MIB(256) && find(lab.group, &err) == 0);
}

/* ---- two at once ---- */

/* Whatever the second wants of the group's memory. */
static void one_fault_at_a_time_lowers_a_limit(void)
{
    LAB(lab);
    struct ce_error err = {0};
    struct ce_memory_group group;
    struct ce_journal *journal;
    struct ce_squeeze_order order = {.from = MIB(200), .to = MIB(200)};
    struct ce_squeeze *squeeze = NULL;
    char state[100];
    uint64_t was = 0;
    int notes[2] = {0, 0};
    snprintf(state, sizeof state, "%s/other", lab.folder);
    REQUIRE_OK(ce_journal_create(state, "second", ce_undo_ops, &journal, &err), err);
    REQUIRE_OK(ce_memory_group_find(lab.group, &group, &err), err);
    const char *file = group.v1 ? lab.limit_file : "memory.high";
    int64_t before = bytes_in(&lab, file);
    REQUIRE_OK(ce_memory_press_begin(lab.journal, &group, &notes[0], &was, &err), err);
    REQUIRE_OK(ce_memory_press_set(&group, MIB(128), &err), err);
    CHECK(find(lab.group, &err) == -EBUSY);
    CHECK(strstr(err.message, "is already limited (memory) by another run: wait for its end"));
    CHECK(ce_memory_press_begin(journal, &group, &notes[1], &was, &err) == -EBUSY);
    CHECK(ce_squeeze_begin(journal, &group, &order, &notes[1], &squeeze, &err) == -EBUSY);
    CHECK(notes[1] == 0 && !squeeze && ce_undo_live(journal) == 0);
    CHECK(bytes_in(&lab, file) == (int64_t)MIB(128));

    REQUIRE_OK(ce_undo_now(lab.journal, notes[0], &err), err);
    CHECK(bytes_in(&lab, file) == before);
    REQUIRE_OK(ce_squeeze_begin(journal, &group, &order, &notes[1], &squeeze, &err), err);
    CHECK(limit_of(&lab) == MIB(200));
    ce_squeeze_end(squeeze);
    REQUIRE_OK(ce_undo_now(journal, notes[1], &err), err);
    CHECK(limit_of(&lab) == MIB(256) && find(lab.group, &err) == 0);
    ce_journal_close(journal);
}

/* Executed anew, because seams count the steps of a process. */
static int press_and_squeeze(const char *state, const char *folder)
{
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    struct ce_memory_group group;
    struct ce_squeeze_order order = {.from = MIB(200), .to = MIB(200)};
    struct ce_squeeze *squeeze = NULL;
    uint64_t was;
    int note;
    CE_TRY(ce_journal_create(state, "crash", ce_undo_ops, &journal, &err));
    CE_TRY(ce_memory_group_find(folder, &group, &err));
    CE_TRY(ce_memory_press_begin(journal, &group, &note, &was, &err));
    CE_TRY(ce_memory_press_set(&group, MIB(128), &err));
    CE_TRY(ce_undo_now(journal, note, &err));
    CE_TRY(ce_squeeze_begin(journal, &group, &order, &note, &squeeze, &err));
    ce_squeeze_end(squeeze);
    CE_TRY(ce_undo_now(journal, note, &err));
    ce_journal_close(journal);
    return 0;
}

static void a_crash_at_any_step_gives_it_back(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    LAB(lab);
    struct ce_error err = {0};
    int64_t high = bytes_in(&lab, "memory.high");
    int status = 0, step = 0;
    char state[100];
    snprintf(state, sizeof state, "%s/other", lab.folder);
    do {
        char text[16];
        struct ce_recovery counts;
        snprintf(text, sizeof text, "%d", ++step);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", text, 1);
            execl("/proc/self/exe", "test_memory_limit", state, lab.group, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        REQUIRE_OK(ce_journal_recover(state, ce_undo_ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        CHECK(limit_of(&lab) == MIB(256) && bytes_in(&lab, "memory.high") == high);
        CHECK(find(lab.group, &err) == 0);
    } while (WIFSIGNALED(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(step > 10);
}

static json_t *note_args(const struct lab *lab, const char *boot)
{
    struct stat st;
    char here[CE_BOOT_ID_SIZE];
    ce_boot_id(here);
    if (stat(lab->group, &st) < 0)
        return NULL;
    return json_pack("{s:s, s:I, s:I, s:s, s:b, s:s}", "folder", lab->group, "dev",
                     (json_int_t)st.st_dev, "ino", (json_int_t)st.st_ino, "boot",
                     boot ? boot : here, "v1", strcmp(lab->limit_file, "memory.max") != 0, "limit",
                     "134217728");
}

static void only_the_very_group_is_touched(void)
{
    LAB(lab);
    struct ce_error err = {0};
    const struct ce_undo_op *op = &ce_undo_restore_memory_limit;
    ce_autojson json_t *args = note_args(&lab, NULL);
    ce_autojson json_t *other_boot = note_args(&lab, "another");
    ce_autojson json_t *nonsense = json_object();
    REQUIRE(args && other_boot);
    CHECK(op->undo(nonsense, &err) == -EINVAL);
    CHECK(op->undo(other_boot, &err) == 0 && limit_of(&lab) == MIB(256));
    CHECK(op->undo(args, &err) == 0 && limit_of(&lab) == MIB(128));
    CHECK(op->undo(args, &err) == 0 && limit_of(&lab) == MIB(128));

    end_child(&lab);
    CHECK(EVENTUALLY(rmdir(lab.group) == 0 || errno == ENOENT));
    CHECK(op->undo(args, &err) == 0); /* gone, and its limit with it */
    REQUIRE(mkdir(lab.group, 0755) == 0);
    REQUIRE(ce_cgroup_write(lab.group, lab.limit_file, "67108864") == 0);
    CHECK(op->undo(args, &err) == CE_UNDO_FOREIGN && limit_of(&lab) == MIB(64));
}

static void a_group_that_goes_meanwhile_is_no_harm(void)
{
    LAB(lab);
    struct ce_error err = {0};
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=32", "limit_mb=64"), err);
    CHECK(verify(&lab, &err) == 1);
    end_child(&lab);
    CHECK(EVENTUALLY(rmdir(lab.group) == 0 || errno == ENOENT));
    CHECK(verify(&lab, &err) == 1); /* it was seen before */
    REQUIRE_OK(lab.injection.fault->adjust(&lab.injection, 0.5, &err), err);
    REQUIRE_OK(injection_revert(&lab.injection, &err), err);
    REQUIRE_OK(lab.injection.fault->verify_undo(&lab.injection, &err), err);
}

/* ---- refusals ---- */

static void a_group_that_holds_this_process_is_refused(void)
{
    LAB(lab);
    struct ce_error err = {0};
    const char *controller = strcmp(lab.limit_file, "memory.max") == 0 ? NULL : "memory";
    ce_autofree char *home = NULL;
    ce_autofree char *top = NULL;
    REQUIRE_OK(ce_cgroup_find(getpid(), controller, &home, &top, &err), err);
    CHECK(find(lab.group, &err) == 0);
    CHECK(find(lab.group + strlen(top), &err) == 0); /* as /proc has it */
    while (strlen(home) >= strlen(top)) {
        CHECK(find(home, &err) == -EPERM);
        *strrchr(home, '/') = '\0';
    }
    CHECK(find("/", &err) == -EPERM);
    CHECK(strstr(err.message, "is the root of all control groups: name one below it"));
    CHECK(limit_of(&lab) == MIB(256));
}

static void what_is_no_group_is_refused(void)
{
    struct ce_error err = {0};
    CHECK(find("/sys/fs/cgroup/../../../tmp", &err) == -ENOENT);
    CHECK(strstr(err.message, "is no control group"));
    CHECK(find("/no/such/group", &err) == -ENOENT);
    const struct ce_fault *fault = ce_fault_find("memory_leak");
    struct ce_injection injection;
    REQUIRE_OK(injection_arm(&injection, NULL, NULL, "memory_leak",
                             (const char *const[]){"cgroup=server", NULL}, &err),
               err);
    CHECK(fault->check(injection.params, &err) == -EINVAL);
    CHECK_TEXT(err.message, "cgroup is 'server'; it must be a path that begins with '/', such as "
                            "/sys/fs/cgroup/NAME");
    injection_forget(&injection);
}

static void too_little_room_is_said(void)
{
    LAB(lab);
    struct ce_error err = {0};
    end_child(&lab);
    CHECK(INJECT(&lab, &err, "leak_rate_mb=10", "limit_mb=1") == -ENODATA);
    CHECK(strstr(err.message, "must keep 16 MiB; more limit_mb gives more room"));
    check_undone(&lab);
}

static void without_permission_it_is_said(void)
{
    LAB(lab);
    struct ce_error err = {0};
    int status;
    if (getuid() != 0)
        SKIP("needs root to become somebody else");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        bool said = setuid(65534) == 0 && find(lab.group, &err) == -EACCES &&
                    strstr(err.message, "cannot set a memory limit in '");
        fflush(stdout);
        _exit(said ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return press_and_squeeze(argv[1], argv[2]) < 0;
    TEST(the_limit_sinks_at_the_rate_and_is_put_back);
    TEST(it_needs_no_process_of_ours);
    TEST(the_squeeze_stops_at_limit_mb);
    TEST(who_asks_for_more_than_is_left_is_killed);
    TEST(the_rate_follows_the_intensity);
    TEST(a_limit_that_somebody_else_sets_is_left_alone);
    TEST(a_pretended_squeeze_is_not_seen);
    TEST(a_killed_controller_leaves_a_note);
    TEST(one_fault_at_a_time_lowers_a_limit);
    TEST(a_crash_at_any_step_gives_it_back);
    TEST(only_the_very_group_is_touched);
    TEST(a_group_that_goes_meanwhile_is_no_harm);
    TEST(a_group_that_holds_this_process_is_refused);
    TEST(what_is_no_group_is_refused);
    TEST(too_little_room_is_said);
    TEST(without_permission_it_is_said);
    return test_done();
}
