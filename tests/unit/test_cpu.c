/* SPDX-License-Identifier: MIT */
/* Taking processor time away: by quotas of control groups where this user may make them, by a duty
 * cycle, and by burning it. The processes are real; what they use is measured from outside. Other
 * work on the machine makes single measurements too small, so the best of a few counts. */
#include <fcntl.h>
#include <math.h>
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
#include "host/group.h"
#include "host/group_claim.h"
#include "host/process.h"
#include "host/processor/burn.h"
#include "host/processor/cpu_quota.h"
#include "host/processor/duty.h"
#include "host/processor/spinner.h"
#include "host/standstill.h"

static const int64_t patience = 10 * CE_SECOND, measured = CE_SECOND, glimpse = CE_SECOND / 4;
enum { ATTEMPTS = 3 };
/* In points. The duty cycle's is wider: a signal may come late when the machine is busy. */
static const double quota_tolerance = 2, duty_tolerance = 5;

#define EVENTUALLY(condition)                                                                      \
    __extension__({                                                                                \
        int64_t until_ = ce_now() + patience;                                                      \
        bool holds_;                                                                               \
        while (!(holds_ = (condition)) && ce_now() < until_)                                       \
            (void)poll(NULL, 0, 2);                                                                \
        holds_;                                                                                    \
    })

/* A state folder with a journal in it, and a process that spins. */
struct world {
    char folder[64], state[80];
    struct ce_journal *journal;
    struct ce_process_id spinner;
    int orders; /* a byte: the spinner's child forks a child that spins */
};

static void __attribute__((noreturn)) spin(int orders)
{
    char byte;
    for (;;) {
        for (volatile unsigned i = 0; i < 100000; i++)
            ;
        if (orders >= 0 && read(orders, &byte, 1) == 1 && fork() == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            spin(-1);
        }
    }
}

static struct world world_make(void)
{
    struct world w = {.folder = "/tmp/chaoseater-cpu-XXXXXX"};
    struct ce_error err = {0};
    int pair[2];
    if (!mkdtemp(w.folder) || pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
        abort();
    snprintf(w.state, sizeof w.state, "%s/state", w.folder);
    if (ce_journal_create(w.state, "run", ce_undo_ops, &w.journal, &err) < 0)
        abort();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        spin(pair[0]);
    }
    (void)close(pair[0]);
    w.orders = pair[1];
    if (ce_process_identify(pid, &w.spinner) < 0)
        abort();
    return w;
}

static void world_remove(struct world *w)
{
    struct ce_process_list all = {0};
    (void)ce_process_tree(&w->spinner, &all, NULL);
    for (size_t i = 0; i < all.count; i++)
        (void)ce_process_end(&all.items[i], patience, NULL);
    ce_process_list_done(&all);
    (void)close(w->orders);
    ce_journal_close(w->journal);
    (void)ce_tree_remove(w->folder, NULL);
}
#define WORLD(w) CE_CLEANUP(world_remove) struct world w = world_make()

/* Percent of one processor, by all of them together: used, and waited for while others used it. And
 * whether there was a time in which nobody used one. */
struct usage {
    double used, waited;
    bool busy;
};

/* Ticks that processors were idle, since boot. */
static long long idle_ticks(void)
{
    long long idle = 0;
    ce_autofile FILE *stat = fopen("/proc/stat", "re");
    CHECK(stat && fscanf(stat, "cpu %*d %*d %*d %lld", &idle) == 1);
    return idle;
}

static struct usage usage_in(const struct ce_process_id *ids, size_t count, int64_t window)
{
    int64_t used = 0, waited = 0, begun = ce_now();
    long long idle = idle_ticks();
    for (size_t i = 0; i < count; i++) {
        used -= ce_process_cpu_time(&ids[i]);
        waited -= ce_spinner_waited(&ids[i]);
    }
    ce_sleep_until(begun + window);
    for (size_t i = 0; i < count; i++) {
        used += ce_process_cpu_time(&ids[i]);
        waited += ce_spinner_waited(&ids[i]);
    }
    double percent = (double)(ce_now() - begun) / 100;
    double idle_percent =
        (double)(idle_ticks() - idle) * (1e9 / (double)sysconf(_SC_CLK_TCK)) / percent;
    return (struct usage){.used = (double)used / percent,
                          .waited = (double)waited / percent,
                          .busy = idle_percent < 25};
}

/* Never more. Less only where others left nothing to have. */
static bool uses(const struct ce_process_id *ids, size_t count, double want, double tolerance)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        struct usage usage = usage_in(ids, count, measured);
        printf("# %.1f %% asked, %.1f %% used\n", want, usage.used);
        double least = usage.busy ? want / 2 : want - tolerance;
        if (usage.used <= want + tolerance && usage.used >= least)
            return true;
    }
    return false;
}

/* Of those that are stopped and continued: less is used when others want the processor, but then it
 * was waited for. Someone who waits stops late, so that it waits for more than its share. */
static bool runs_for(const struct ce_process_id *ids, size_t count, double want)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        struct usage usage = usage_in(ids, count, measured);
        double wanted = usage.used + usage.waited;
        printf("# %.1f %% asked, %.1f %% used, %.1f %% waited\n", want, usage.used, usage.waited);
        if (usage.used <= want + duty_tolerance && wanted >= want - duty_tolerance &&
            (usage.busy || wanted <= (want + 100 * (double)count) / 2))
            return true;
    }
    return false;
}

/* More than its quota allowed it; that needs a moment in which others do not want it all. */
static bool uses_more_than(const struct ce_process_id *id, double least)
{
    for (int64_t until = ce_now() + patience; ce_now() < until;)
        if (usage_in(id, 1, glimpse).used > least)
            return true;
    return false;
}

/* It is never stopped: it runs, or waits for a processor. */
static bool runs_freely(const struct ce_process_id *id)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        struct usage usage = usage_in(id, 1, glimpse);
        if (usage.used + usage.waited > 90)
            return true;
    }
    return false;
}

/* The spinner's children. */
static size_t children(struct world *w, struct ce_process_list *list)
{
    ce_process_list_done(list);
    return ce_process_tree(&w->spinner, list, NULL) < 0 ? 0 : list->count - 1;
}

static bool usable(enum ce_cpu_quota_kind kind)
{
    char detail[256];
    bool fine = ce_cpu_quota_available(kind, detail, sizeof detail);
    if (!fine)
        printf("# version %d: %s\n", kind == CE_CPU_QUOTA_V2 ? 2 : 1, detail);
    return fine;
}

/* ---- quotas ---- */

static void check_quota(enum ce_cpu_quota_kind kind)
{
    if (!usable(kind))
        SKIP("not open to this user");
    WORLD(w);
    struct ce_error err = {0};
    struct ce_process_list tree = {.items = &w.spinner, .count = 1}, now = {0};
    struct ce_cpu_quota *quota = NULL;
    REQUIRE_OK(ce_cpu_quota_begin(w.journal, kind, &tree, &quota, &err), err);
    ce_autofree char *folder = strdup(ce_cpu_quota_folder(quota));
    REQUIRE_OK(ce_cpu_quota_set(quota, 0.25, &err), err);
    CHECK(uses(&w.spinner, 1, 25, quota_tolerance));
    struct ce_cpu_quota_view view = ce_cpu_quota_look(quota);
    CHECK(view.throttled > 0 && view.processors == 0.25 && view.period == 100 * CE_MILLISECOND);
    /* With a child it is the sum that counts. */
    CHECK(write(w.orders, "f", 1) == 1);
    CHECK(EVENTUALLY(children(&w, &now) == 1));
    REQUIRE_OK(ce_cpu_quota_set(quota, 0.5, &err), err);
    CHECK(uses(now.items, now.count, 50, quota_tolerance));
    REQUIRE_OK(ce_cpu_quota_set(quota, HUGE_VAL, &err), err);
    CHECK(uses_more_than(&w.spinner, 30));
    REQUIRE_OK(ce_cpu_quota_set(quota, 0.01, &err), err);
    CHECK(uses(now.items, now.count, 1, 1));
    REQUIRE_OK(ce_cpu_quota_end(quota, &err), err);
    CHECK(access(folder, F_OK) < 0 && ce_undo_live(w.journal) == 0);
    CHECK(uses_more_than(&now.items[1], 30));
    ce_process_list_done(&now);
}

static void a_quota_is_kept_by_all_and_follows_v2(void)
{
    check_quota(CE_CPU_QUOTA_V2);
}

static void a_quota_is_kept_by_all_and_follows_v1(void)
{
    check_quota(CE_CPU_QUOTA_V1);
}

static const char *quota_text(enum ce_cpu_quota_kind kind, const char *folder, char text[128])
{
    char period[32] = "";
    if (kind == CE_CPU_QUOTA_V1)
        (void)ce_cgroup_read(folder, "cpu.cfs_period_us", period, sizeof period);
    char quota[64] = "";
    (void)ce_cgroup_read(folder, kind == CE_CPU_QUOTA_V1 ? "cpu.cfs_quota_us" : "cpu.max", quota,
                         sizeof quota);
    snprintf(text, 128, "%s %s", quota, period);
    return text;
}

/* A group that is not ours, with the spinner in it; handed down to it is what a group of ours
 * beside it, or below it, needs. */
struct other {
    struct world *world;
    char *home, *folder, *inner, *ours;
    int note;
};

static const char *controller_of(enum ce_cpu_quota_kind kind)
{
    return kind == CE_CPU_QUOTA_V1 ? "cpu" : NULL;
}

static int make_ours(struct world *w, enum ce_cpu_quota_kind kind, int *ret_note, char **ret_folder)
{
    struct ce_process_list one = {.items = &w->spinner, .count = 1};
    return ce_group_make(w->journal, controller_of(kind), kind == CE_CPU_QUOTA_V1 ? NULL : "cpu",
                         &one, ret_note, ret_folder, NULL);
}

static struct other other_make(struct world *w, enum ce_cpu_quota_kind kind)
{
    struct other other = {.world = w};
    if (ce_cgroup_find(w->spinner.pid, controller_of(kind), &other.home, NULL, NULL) < 0)
        abort();
    other.folder = ce_format("%s/ce-test-%d", other.home, (int)getpid());
    other.inner = ce_format("%s/inner", other.folder);
    if (mkdir(other.folder, 0755) < 0 || mkdir(other.inner, 0755) < 0 ||
        ce_group_join(other.inner, w->spinner.pid, NULL) < 0 ||
        make_ours(w, kind, &other.note, &other.ours) < 0)
        abort();
    return other;
}

static void other_remove(struct other *other)
{
    CHECK(ce_undo_now(other->world->journal, other->note, NULL) == 0);
    CHECK(ce_group_join(other->home, other->world->spinner.pid, NULL) == 0);
    CHECK(EVENTUALLY(rmdir(other->inner) == 0) && rmdir(other->folder) == 0);
    free(other->home);
    free(other->folder);
    free(other->inner);
    free(other->ours);
}
#define OTHER(name, w, kind) CE_CLEANUP(other_remove) struct other name = other_make(w, kind)

static void check_own_quota(enum ce_cpu_quota_kind kind, const char *file, const char *value)
{
    WORLD(w);
    OTHER(other, &w, kind);
    struct ce_error err = {0};
    struct ce_cpu_quota *quota = NULL;
    char before[128], now[128];
    REQUIRE(ce_cgroup_write(other.inner, file, value) == 0);
    quota_text(kind, other.inner, before);
    REQUIRE_OK(ce_cpu_quota_begin_group(w.journal, kind, other.inner, &quota, &err), err);
    double room = ce_cpu_quota_room(quota);
    CHECK(isinf(room) ? strstr(before, "max") || before[0] == '-' : room == 0.6);
    REQUIRE_OK(ce_cpu_quota_set(quota, 0.2, &err), err);
    CHECK(strcmp(quota_text(kind, other.inner, now), before) != 0);
    CHECK(uses(&w.spinner, 1, 20, quota_tolerance));
    REQUIRE_OK(ce_cpu_quota_end(quota, &err), err);
    CHECK_TEXT(quota_text(kind, other.inner, now), before);
}

static void a_quota_that_was_there_is_put_back_exactly(void)
{
    bool any = false;
    if (usable(CE_CPU_QUOTA_V1)) {
        check_own_quota(CE_CPU_QUOTA_V1, "cpu.cfs_quota_us", "60000");
        check_own_quota(CE_CPU_QUOTA_V1, "cpu.cfs_period_us", "50000");
        any = true;
    }
    if (usable(CE_CPU_QUOTA_V2)) {
        check_own_quota(CE_CPU_QUOTA_V2, "cpu.max", "30000 50000");
        check_own_quota(CE_CPU_QUOTA_V2, "cpu.max", "max 70000");
        any = true;
    }
    if (!any)
        SKIP("this user may not make control groups that limit processor time");
}

/* ---- two at once ---- */

static struct ce_journal *second_journal(const struct world *w)
{
    struct ce_journal *journal = NULL;
    char state[100];
    snprintf(state, sizeof state, "%s/second", w->folder);
    if (ce_journal_create(state, "second", ce_undo_ops, &journal, NULL) < 0)
        abort();
    return journal;
}

/* What the first journal's one live note says. */
static json_t *live_args(const struct world *w, const char *op)
{
    ce_autojson json_t *list = json_array();
    size_t i;
    const json_t *note;
    CHECK(ce_journal_list(w->state, list, NULL) == 0);
    json_array_foreach(list, i, note)
    {
        if (strcmp(json_string_value(json_object_get(note, "op")), op) == 0)
            return json_deep_copy(json_object_get(note, "args"));
    }
    return NULL;
}

static void check_two_claims(enum ce_cpu_quota_kind kind)
{
    WORLD(w);
    OTHER(other, &w, kind);
    struct ce_error err = {0};
    struct ce_cpu_quota *first = NULL, *second = NULL;
    struct ce_journal *journal = second_journal(&w);
    char before[128], lowered[128], now[128];
    quota_text(kind, other.inner, before);
    REQUIRE_OK(ce_cpu_quota_begin_group(w.journal, kind, other.inner, &first, &err), err);
    REQUIRE_OK(ce_cpu_quota_set(first, 0.42, &err), err);
    quota_text(kind, other.inner, lowered);
    ce_autojson json_t *args = live_args(&w, "restore-cpu-quota");
    REQUIRE(args);

    CHECK(ce_cpu_quota_begin_group(journal, kind, other.inner, &second, &err) == -EBUSY);
    CHECK(strstr(err.message, "is already limited (cpu) by another run: wait for its end"));
    CHECK(!second && ce_undo_live(journal) == 0);
    CHECK_TEXT(quota_text(kind, other.inner, now), lowered);
    /* Nobody of another boot has anything here. */
    ce_autojson json_t *old = json_deep_copy(args);
    json_object_set_new(old, "boot", json_string("00000000-0000-0000-0000-000000000000"));
    CHECK(ce_undo_restore_cpu_quota.undo(old, &err) == 0);
    CHECK_TEXT(quota_text(kind, other.inner, now), lowered);

    REQUIRE_OK(ce_cpu_quota_end(first, &err), err);
    CHECK_TEXT(quota_text(kind, other.inner, now), before);
    REQUIRE_OK(ce_cpu_quota_begin_group(journal, kind, other.inner, &second, &err), err);
    REQUIRE_OK(ce_cpu_quota_set(second, 0.084, &err), err);
    quota_text(kind, other.inner, lowered);
    /* The first's undo, once more. */
    CHECK(ce_undo_restore_cpu_quota.undo(args, &err) == 0);
    CHECK_TEXT(quota_text(kind, other.inner, now), lowered);
    REQUIRE_OK(ce_cpu_quota_end(second, &err), err);
    CHECK_TEXT(quota_text(kind, other.inner, now), before);
    ce_journal_close(journal);
}

static void one_fault_at_a_time_lowers_a_quota_that_was_there(void)
{
    if (!usable(CE_CPU_QUOTA_V1) && !usable(CE_CPU_QUOTA_V2))
        SKIP("this user may not make control groups that limit processor time");
    for (enum ce_cpu_quota_kind kind = CE_CPU_QUOTA_V2; kind <= CE_CPU_QUOTA_V1; kind++)
        if (usable(kind))
            check_two_claims(kind);
}

static void check_dead_claim(enum ce_cpu_quota_kind kind)
{
    WORLD(w);
    OTHER(other, &w, kind);
    struct ce_error err = {0};
    struct ce_cpu_quota *quota = NULL;
    struct ce_recovery counts;
    char before[128], now[128], state[100];
    quota_text(kind, other.inner, before);
    snprintf(state, sizeof state, "%s/second", w.folder);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (ce_cpu_quota_begin_group(second_journal(&w), kind, other.inner, &quota, NULL) < 0 ||
            ce_cpu_quota_set(quota, 0.42, NULL) < 0)
            _exit(1);
        (void)kill(getpid(), SIGKILL);
    }
    int status;
    REQUIRE(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    CHECK(strcmp(quota_text(kind, other.inner, now), before) != 0);
    CHECK(ce_cpu_quota_begin_group(w.journal, kind, other.inner, &quota, &err) == -EBUSY);
    REQUIRE_OK(ce_journal_recover(state, ce_undo_ops, &counts, &err), err);
    CHECK(counts.undone == 1 && counts.failed == 0 && counts.foreign == 0);
    CHECK_TEXT(quota_text(kind, other.inner, now), before);
    REQUIRE_OK(ce_cpu_quota_begin_group(w.journal, kind, other.inner, &quota, &err), err);
    REQUIRE_OK(ce_cpu_quota_end(quota, &err), err);
}

static void who_died_keeps_it_until_it_is_recovered(void)
{
    if (!usable(CE_CPU_QUOTA_V1) && !usable(CE_CPU_QUOTA_V2))
        SKIP("this user may not make control groups that limit processor time");
    for (enum ce_cpu_quota_kind kind = CE_CPU_QUOTA_V2; kind <= CE_CPU_QUOTA_V1; kind++)
        if (usable(kind))
            check_dead_claim(kind);
}

static void a_controller_stays_for_a_quota_that_needs_it(void)
{
    if (!usable(CE_CPU_QUOTA_V2))
        SKIP("control groups of version 2 limit no processor time here");
    for (int first_first = 0; first_first < 2; first_first++) {
        WORLD(w);
        OTHER(other, &w, CE_CPU_QUOTA_V2);
        struct ce_error err = {0};
        struct ce_cpu_quota *quota = NULL;
        char now[128];
        REQUIRE_OK(ce_cpu_quota_begin_group(w.journal, CE_CPU_QUOTA_V2, other.inner, &quota, &err),
                   err);
        REQUIRE_OK(ce_cpu_quota_set(quota, 0.084, &err), err);
        if (first_first) {
            REQUIRE_OK(ce_undo_now(w.journal, other.note, &err), err);
            CHECK_TEXT(quota_text(CE_CPU_QUOTA_V2, other.inner, now), "8400 100000 ");
        }
        REQUIRE_OK(ce_cpu_quota_end(quota, &err), err);
        if (!first_first) {
            CHECK_TEXT(quota_text(CE_CPU_QUOTA_V2, other.inner, now), "max 100000 ");
            REQUIRE_OK(ce_undo_now(w.journal, other.note, &err), err);
        }
        CHECK_TEXT(quota_text(CE_CPU_QUOTA_V2, other.inner, now), " "); /* no such file any more */
    }
}

static void a_group_of_ours_is_no_somebody_else_s(void)
{
    enum ce_cpu_quota_kind kind = usable(CE_CPU_QUOTA_V1) ? CE_CPU_QUOTA_V1 : CE_CPU_QUOTA_V2;
    if (!usable(kind))
        SKIP("this user may not make control groups that limit processor time");
    WORLD(w);
    OTHER(other, &w, kind);
    struct ce_error err = {0};
    struct ce_cpu_quota *quota = NULL;
    CHECK(ce_cpu_quota_begin_group(w.journal, kind, other.ours, &quota, &err) == -EBUSY);
    CHECK(strstr(err.message, "is another fault's own: wait for its end"));
}

static void another_group_of_that_name_is_left_alone(void)
{
    enum ce_cpu_quota_kind kind = usable(CE_CPU_QUOTA_V1) ? CE_CPU_QUOTA_V1 : CE_CPU_QUOTA_V2;
    if (!usable(kind))
        SKIP("this user may not make control groups that limit processor time");
    ce_autofree char *home = NULL;
    struct ce_error err = {0};
    struct stat st;
    char boot[CE_BOOT_ID_SIZE], text[128];
    ce_boot_id(boot);
    REQUIRE_OK(ce_cgroup_find(getpid(), kind == CE_CPU_QUOTA_V1 ? "cpu" : NULL, &home, NULL, &err),
               err);
    ce_autofree char *folder = ce_format("%s/ce-test-%d", home, (int)getpid());
    REQUIRE(mkdir(folder, 0755) == 0 && stat(folder, &st) == 0);
    ce_autofree char *was = strdup(quota_text(kind, folder, text));
    for (int other_inode = 0; other_inode < 2; other_inode++) {
        ce_autojson json_t *args = json_pack(
            "{s:s, s:s, s:I, s:I, s:s, s:s}", "kind", kind == CE_CPU_QUOTA_V1 ? "v1" : "v2",
            "folder", folder, "dev", (json_int_t)st.st_dev, "ino",
            (json_int_t)st.st_ino + other_inode, "boot",
            other_inode ? boot : "00000000-0000-0000-0000-000000000000", "quota", "20000 100000");
        CHECK(ce_undo_restore_cpu_quota.undo(args, &err) == (other_inode ? CE_UNDO_FOREIGN : 0));
        CHECK_TEXT(quota_text(kind, folder, text), was);
    }
    CHECK(rmdir(folder) == 0);
}

/* ---- the duty cycle ---- */

/* Where a signal takes as long as a part of the cycle, its shares are not those that were asked. */
#define NEED_QUICK_SIGNALS()                                                                       \
    if (getenv("CHAOSEATER_TEST_SLOW_MACHINE"))                                                    \
    SKIP("this machine is too slow for a duty cycle")

static void a_duty_cycle_is_kept_and_follows(void)
{
    NEED_QUICK_SIGNALS();
    WORLD(w);
    struct ce_error err = {0};
    struct ce_process_list tree = {.items = &w.spinner, .count = 1};
    struct ce_duty *duty = NULL;
    REQUIRE_OK(ce_duty_begin(w.journal, &tree, &duty, &err), err);
    REQUIRE_OK(ce_duty_set(duty, 0.25, &err), err);
    CHECK(runs_for(&w.spinner, 1, 25));
    REQUIRE_OK(ce_duty_set(duty, 0.6, &err), err);
    CHECK(runs_for(&w.spinner, 1, 60));
    REQUIRE_OK(ce_duty_set(duty, 0.05, &err), err);
    CHECK(runs_for(&w.spinner, 1, 5));
    REQUIRE_OK(ce_duty_set(duty, 1, &err), err);
    CHECK(EVENTUALLY(ce_process_state(&w.spinner) == 'R'));
    CHECK(runs_freely(&w.spinner));
    REQUIRE_OK(ce_duty_set(duty, 0.25, &err), err);
    REQUIRE_OK(ce_duty_end(duty, &err), err);
    CHECK(ce_undo_live(w.journal) == 0);
    CHECK(runs_freely(&w.spinner));
}

static void children_take_part_in_the_duty_cycle(void)
{
    NEED_QUICK_SIGNALS();
    WORLD(w);
    struct ce_error err = {0};
    struct ce_process_list tree = {.items = &w.spinner, .count = 1}, now = {0};
    struct ce_duty *duty = NULL;
    REQUIRE_OK(ce_duty_begin(w.journal, &tree, &duty, &err), err);
    REQUIRE_OK(ce_duty_set(duty, 0.25, &err), err);
    CHECK(write(w.orders, "f", 1) == 1);
    CHECK(EVENTUALLY(children(&w, &now) == 1));
    CHECK(runs_for(&now.items[1], 1, 25));
    REQUIRE_OK(ce_duty_end(duty, &err), err);
    CHECK(EVENTUALLY(ce_process_state(&now.items[1]) == 'R'));
    CHECK(runs_freely(&now.items[1]));
    ce_process_list_done(&now);
}

static void a_duty_cycle_that_dies_alone_leaves_the_target_running(void)
{
    for (int i = 0; i < 3; i++) {
        WORLD(w);
        struct ce_error err = {0};
        struct ce_process_list tree = {.items = &w.spinner, .count = 1};
        struct ce_duty *duty = NULL;
        REQUIRE_OK(ce_duty_begin(w.journal, &tree, &duty, &err), err);
        REQUIRE_OK(ce_duty_set(duty, 0.02, &err), err);
        struct ce_process_id agent = ce_duty_agent(duty);
        CHECK(EVENTUALLY(ce_process_state(&w.spinner) == 'T'));
        CHECK(kill(agent.pid, SIGKILL) == 0);
        CHECK(EVENTUALLY(ce_process_state(&w.spinner) == 'R'));
        CHECK(runs_freely(&w.spinner));
        CHECK(ce_duty_set(duty, 0.5, &err) == -EPIPE);
        REQUIRE_OK(ce_duty_end(duty, &err), err);
    }
}

static void who_was_stopped_before_stays_so(void)
{
    NEED_QUICK_SIGNALS();
    WORLD(w);
    struct ce_error err = {0};
    struct ce_process_list tree = {0};
    struct ce_duty *duty = NULL;
    CHECK(write(w.orders, "f", 1) == 1);
    REQUIRE(EVENTUALLY(children(&w, &tree) == 1));
    CHECK(kill(tree.items[1].pid, SIGSTOP) == 0);
    CHECK(EVENTUALLY(ce_process_state(&tree.items[1]) == 'T'));
    REQUIRE_OK(ce_duty_begin(w.journal, &tree, &duty, &err), err);
    REQUIRE_OK(ce_duty_set(duty, 0.5, &err), err);
    CHECK(runs_for(&w.spinner, 1, 50));
    CHECK(ce_process_state(&tree.items[1]) == 'T');
    REQUIRE_OK(ce_duty_end(duty, &err), err);
    CHECK(ce_process_state(&tree.items[1]) == 'T' && ce_process_state(&w.spinner) != 'T');
    ce_process_list_done(&tree);
}

static void a_foreign_process_is_not_continued(void)
{
    WORLD(w);
    struct ce_error err = {0};
    char boot[CE_BOOT_ID_SIZE];
    ce_boot_id(boot);
    CHECK(kill(w.spinner.pid, SIGSTOP) == 0);
    CHECK(EVENTUALLY(ce_process_state(&w.spinner) == 'T'));
    for (int same = 0; same < 3; same++) {
        ce_autojson json_t *args = json_pack(
            "{s:s, s:[{s:i, s:I, s:b}]}", "boot", same == 0 ? "another" : boot, "processes", "pid",
            (int)w.spinner.pid, "start", (json_int_t)w.spinner.start + (same == 1), "stopped", 0);
        CHECK(ce_undo_continue_processes.undo(args, &err) == 0);
        CHECK((ce_process_state(&w.spinner) == 'T') == (same < 2));
    }
}

/* ---- burning ---- */

static void burners_use_their_share_and_end(void)
{
    NEED_QUICK_SIGNALS();
    WORLD(w);
    struct ce_error err = {0};
    struct ce_burn *burn = NULL;
    struct ce_process_id burners[CE_BURN_MAX];
    (void)kill(w.spinner.pid, SIGSTOP); /* it would take its part of the processor */
    REQUIRE_OK(ce_burn_begin(w.journal, &w.spinner, 1, &burn, &err), err);
    REQUIRE(ce_burn_processes(burn, burners) == 1);
    CHECK(usage_in(burners, 1, glimpse).used < 2);
    REQUIRE_OK(ce_burn_set(burn, 0.3, &err), err);
    CHECK(runs_for(burners, 1, 30));
    REQUIRE_OK(ce_burn_set(burn, 0, &err), err);
    CHECK(uses(burners, 1, 0, 2));
    REQUIRE_OK(ce_burn_end(burn, &err), err);
    CHECK(EVENTUALLY(!ce_process_alive(&burners[0])));
    CHECK(ce_undo_live(w.journal) == 0);
}

/* ---- crashes ---- */

static char *beside(const char *folder, pid_t tester)
{
    return ce_format("%.*s/ce-test-%d", (int)(strrchr(folder, '/') - folder), folder, (int)tester);
}

/* Executed anew, because seams count the steps of a process. */
static int take_time(const char *state, pid_t pid)
{
    struct ce_error err = {0};
    struct ce_journal *journal = NULL;
    struct ce_process_id id;
    CE_TRY(ce_process_identify(pid, &id));
    CE_TRY(ce_journal_create(state, "crash", ce_undo_ops, &journal, &err));
    struct ce_process_list one = {.items = &id, .count = 1};
    for (enum ce_cpu_quota_kind kind = CE_CPU_QUOTA_V2; kind <= CE_CPU_QUOTA_V1; kind++) {
        struct ce_cpu_quota *quota, *again;
        if (!usable(kind))
            continue;
        CE_TRY(ce_cpu_quota_begin(journal, kind, &one, &quota, &err));
        CE_TRY(ce_cpu_quota_set(quota, 0.5, &err));
        /* The one beside it, which is there; the first goes first. */
        ce_autofree char *folder = strdup(ce_cpu_quota_folder(quota));
        ce_autofree char *other = folder ? beside(folder, getppid()) : NULL;
        if (!other)
            return -ENOMEM;
        CE_TRY(ce_cpu_quota_begin_group(journal, kind, other, &again, &err));
        CE_TRY(ce_cpu_quota_set(again, 0.01, &err));
        CE_TRY(ce_cpu_quota_end(quota, &err));
        CE_TRY(ce_cpu_quota_end(again, &err));
    }
    struct ce_duty *duty;
    CE_TRY(ce_duty_begin(journal, &one, &duty, &err));
    CE_TRY(ce_duty_set(duty, 0.01, &err));
    CE_TRY(ce_duty_end(duty, &err));
    struct ce_burn *burn;
    CE_TRY(ce_burn_begin(journal, &id, 0, &burn, &err));
    CE_TRY(ce_burn_set(burn, 0.5, &err));
    CE_TRY(ce_burn_end(burn, &err));
    ce_journal_close(journal);
    return 0;
}

static void a_crash_at_any_step_leaves_the_process_running(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    WORLD(w);
    struct ce_error err = {0};
    ce_autofree char *file = ce_format("/proc/%d/cgroup", (int)w.spinner.pid);
    ce_autofree char *groups = NULL;
    size_t size;
    REQUIRE_OK(ce_file_read(file, 1 << 16, &groups, &size, &err), err);
    char *others[2] = {NULL, NULL}, before[2][128], text[128];
    for (enum ce_cpu_quota_kind kind = CE_CPU_QUOTA_V2; kind <= CE_CPU_QUOTA_V1; kind++) {
        ce_autofree char *home = NULL;
        if (!usable(kind))
            continue;
        REQUIRE(ce_cgroup_find(w.spinner.pid, controller_of(kind), &home, NULL, &err) == 0);
        others[kind] = ce_format("%s/ce-test-%d", home, (int)getpid());
        REQUIRE(mkdir(others[kind], 0755) == 0);
        quota_text(kind, others[kind], before[kind]);
    }
    int status = 0, step = 0;
    do {
        char step_text[16], pid_text[16];
        snprintf(step_text, sizeof step_text, "%d", ++step);
        snprintf(pid_text, sizeof pid_text, "%d", (int)w.spinner.pid);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", step_text, 1);
            execl("/proc/self/exe", "test_cpu", w.state, pid_text, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        struct ce_recovery counts;
        REQUIRE_OK(ce_journal_recover(w.state, ce_undo_ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        CHECK(ce_process_state(&w.spinner) != 'T');
        int64_t used = ce_process_cpu_time(&w.spinner);
        CHECK(EVENTUALLY(ce_process_cpu_time(&w.spinner) > used));
        ce_autofree char *now = NULL;
        REQUIRE_OK(ce_file_read(file, 1 << 16, &now, &size, &err), err);
        CHECK_TEXT(now, groups);
        for (int kind = 0; kind < 2; kind++) {
            if (!others[kind])
                continue;
            CHECK_TEXT(quota_text((enum ce_cpu_quota_kind)kind, others[kind], text), before[kind]);
            CHECK(ce_group_claim_check(others[kind], "cpu", &err) == 0);
        }
    } while (WIFSIGNALED(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(step > 10);
    printf("# %d steps\n", step);
    for (int kind = 0; kind < 2; kind++) {
        CHECK(!others[kind] || rmdir(others[kind]) == 0);
        free(others[kind]);
    }
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return take_time(argv[1], atoi(argv[2])) < 0;
    TEST(a_quota_is_kept_by_all_and_follows_v2);
    TEST(a_quota_is_kept_by_all_and_follows_v1);
    TEST(a_quota_that_was_there_is_put_back_exactly);
    TEST(one_fault_at_a_time_lowers_a_quota_that_was_there);
    TEST(who_died_keeps_it_until_it_is_recovered);
    TEST(a_controller_stays_for_a_quota_that_needs_it);
    TEST(a_group_of_ours_is_no_somebody_else_s);
    TEST(another_group_of_that_name_is_left_alone);
    TEST(a_duty_cycle_is_kept_and_follows);
    TEST(children_take_part_in_the_duty_cycle);
    TEST(a_duty_cycle_that_dies_alone_leaves_the_target_running);
    TEST(who_was_stopped_before_stays_so);
    TEST(a_foreign_process_is_not_continued);
    TEST(burners_use_their_share_and_end);
    TEST(a_crash_at_any_step_leaves_the_process_running);
    return test_done();
}
