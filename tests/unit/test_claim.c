/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "files.h"
#include "journal/claim.h"
#include "journal/guard.h"
#include "journal/journal_internal.h"

/* Takes as long as the file is there. */
static int undo_when_it_may(const json_t *args, struct ce_error *err)
{
    const char *path = json_string_value(json_object_get(args, "path"));
    while (access(path, F_OK) == 0)
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    return 0;
}
static const struct ce_undo_op slow_op = {.name = "slow", .undo = undo_when_it_may};
static const struct ce_undo_op *const ops[] = {&slow_op, NULL};

struct world {
    char state[64], brake[80];
};

static struct world world_make(void)
{
    struct world w = {.state = "/tmp/chaoseater-claim-XXXXXX"};
    if (!mkdtemp(w.state))
        abort();
    snprintf(w.brake, sizeof w.brake, "%s/brake", w.state);
    if (!put_text(w.brake, ""))
        abort();
    return w;
}

static void world_remove(struct world *w)
{
    (void)unlink(w->brake);
    (void)ce_tree_remove(w->state, NULL);
}
#define WORLD(w) CE_CLEANUP(world_remove) struct world w = world_make()

#define NAMES(...)                                                                                 \
    (&(struct ce_names){.names = (char **)(const char *[]){__VA_ARGS__},                           \
                        .count = CE_COUNT(((const char *[]){__VA_ARGS__}))})

static int claim(const struct world *w, const char *run, const struct ce_names *names,
                 struct ce_journal **ret_journal, struct ce_error *err)
{
    ce_autofree char *experiment = ce_format("%s_test", run);
    const struct ce_claim claim = {experiment, "hang", names};
    return ce_journal_create_claiming(w->state, run, ops, &claim, ret_journal, err);
}

static int check(const struct world *w, const struct ce_names *names, struct ce_error *err)
{
    return ce_claim_check(w->state, &(struct ce_claim){"check", "hang", names}, err);
}

static size_t journals(const struct world *w)
{
    ce_autofree char *folder = ce_format("%s/journal", w->state);
    return entries(folder);
}

static void one_thing_is_claimed_by_one_run(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *first = NULL, *second = NULL, *third = NULL;
    char sentence[160];
    REQUIRE_OK(claim(&w, "first", NAMES("server a", "process 1"), &first, &err), err);
    CHECK(claim(&w, "second", NAMES("device 8:1", "process 1"), &second, &err) == -EALREADY);
    snprintf(sentence, sizeof sentence,
             "process 1 is under hang by another run (first_test, process %d): each would take the "
             "other's effect for its own",
             (int)getpid());
    CHECK_TEXT(err.message, sentence);
    CHECK(!second && journals(&w) == 1); /* one that is refused leaves nothing */
    REQUIRE_OK(claim(&w, "third", NAMES("process 11", "server b"), &third, &err), err);
    CHECK(check(&w, NAMES("server a"), NULL) == -EALREADY);
    CHECK(check(&w, NAMES("server"), NULL) == 0);
    const struct ce_claim other = {"other", "slow", NAMES("server a")};
    CHECK(ce_claim_check(w.state, &other, NULL) == 0); /* two faults may be combined */
    ce_journal_close(first);
    REQUIRE_OK(claim(&w, "second", NAMES("device 8:1", "process 1"), &second, &err), err);
    ce_journal_close(second);
    ce_journal_close(third);
    CHECK(journals(&w) == 0);
}

static void what_claims_nothing_is_in_nobodys_way(void)
{
    WORLD(w);
    struct ce_error err = {0};
    const struct ce_names none = {0};
    struct ce_journal *first = NULL, *second = NULL, *plain = NULL;
    CHECK(check(&w, NAMES("server a"), &err) == 0); /* nor is a missing folder */
    REQUIRE_OK(claim(&w, "first", &none, &first, &err), err);
    REQUIRE_OK(claim(&w, "second", &none, &second, &err), err);
    REQUIRE_OK(ce_journal_create(w.state, "plain", ops, &plain, &err), err);
    CHECK(check(&w, NAMES("server a"), &err) == 0);
    ce_journal_close(first);
    ce_journal_close(second);
    ce_journal_close(plain);
}

static void a_name_may_be_of_any_bytes(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *first = NULL;
    REQUIRE_OK(claim(&w, "first", NAMES("process 1 (\xff\n)"), &first, &err), err);
    CHECK(check(&w, NAMES("process 1 (\xff\n)"), &err) == -EALREADY);
    CHECK(strstr(err.message, "process 1 (\?\?) is under hang") == err.message);
    CHECK(check(&w, NAMES("process 1 (\n)"), &err) == 0);
    ce_journal_close(first);
}

/* A run in a child that claims "x" and whose undo takes a while; returns once it is at work. */
static pid_t start_holder(const struct world *w, pid_t *ret_guard)
{
    int pair[2];
    if (pipe(pair) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        struct ce_journal *journal;
        struct ce_guard *guard;
        if (claim(w, "holder", NAMES("x"), &journal, NULL) < 0 ||
            ce_guard_start(journal, &guard, NULL) < 0 ||
            ce_undo_note(journal, "slow", json_pack("{s:s}", "path", w->brake), NULL) < 0)
            _exit(1);
        pid_t id = ce_guard_pid(guard);
        (void)ce_write_all(pair[1], &id, sizeof id);
        for (;;)
            pause();
    }
    (void)close(pair[1]);
    CHECK(read(pair[0], ret_guard, sizeof *ret_guard) == sizeof *ret_guard);
    (void)close(pair[0]);
    return pid;
}

static void a_killed_holder_claims_until_its_guard_has_undone(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_journal *next = NULL;
    pid_t guard, holder = start_holder(&w, &guard);
    CHECK(kill(holder, SIGKILL) == 0 && waitpid(holder, NULL, 0) == holder);
    CHECK(claim(&w, "next", NAMES("x"), &next, &err) == -EALREADY);
    CHECK(strstr(err.message, "x is under hang by another run (holder_test, process ") ==
          err.message);
    CHECK(unlink(w.brake) == 0);
    AWAIT(check(&w, NAMES("x"), NULL) == 0);
    REQUIRE_OK(claim(&w, "next", NAMES("x"), &next, &err), err);
    ce_journal_close(next);
    CHECK(journals(&w) == 0);
}

static void what_nobody_has_undone_is_not_free(void)
{
    WORLD(w);
    struct ce_error err = {0};
    pid_t guard, holder = start_holder(&w, &guard);
    CHECK(kill(guard, SIGKILL) == 0);
    CHECK(kill(holder, SIGKILL) == 0 && waitpid(holder, NULL, 0) == holder);
    /* The guard is nobody's child by now: its lock tells when it has gone. */
    AWAIT(check(&w, NAMES("x"), &err) == -EALREADY && strstr(err.message, "left something behind"));
    CHECK_TEXT(err.message, "a run of hang on x (holder_test) left something behind: "
                            "`chaoseater recover` puts it back");
    CHECK(unlink(w.brake) == 0);
    REQUIRE_OK(ce_journal_recover(w.state, ops, NULL, &err), err);
    CHECK(check(&w, NAMES("x"), &err) == 0);
    CHECK(journals(&w) == 0);
}

/* Claims and lets go of one thing until it has had it so often; whether another had it meanwhile
 * is the result. */
static void contend(const struct world *w, int number, atomic_int *holders)
{
    enum { TIMES = 50 };
    int64_t until = ce_now() + 30 * CE_SECOND; /* one that fails leaves its claim behind */
    for (int had = 0, tries = 0; had < TIMES; tries++) {
        ce_autofree char *run = ce_format("run-%d-%d", number, tries);
        struct ce_journal *journal = NULL;
        int r = claim(w, run, NAMES("own", "shared"), &journal, NULL);
        if (r == -EALREADY && ce_now() < until)
            continue;
        if (r < 0 || atomic_fetch_add(holders, 1) != 0)
            _exit(1);
        ce_sleep_until(ce_now() + CE_MILLISECOND);
        atomic_fetch_sub(holders, 1);
        ce_journal_close(journal);
        had++;
    }
    _exit(0);
}

static void two_never_hold_one_thing(void)
{
    WORLD(w);
    enum { CONTENDERS = 4 };
    pid_t pids[CONTENDERS];
    atomic_int *holders =
        mmap(NULL, sizeof *holders, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(holders != MAP_FAILED);
    for (int i = 0; i < CONTENDERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            contend(&w, i, holders);
    }
    for (int i = 0; i < CONTENDERS; i++) {
        int status;
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status) &&
              WEXITSTATUS(status) == 0);
    }
    CHECK(journals(&w) == 0);
    (void)munmap(holders, sizeof *holders);
}

/* Who looks while another claims sees what that one claimed. */
static void looking_and_claiming_are_one_step(void)
{
    WORLD(w);
    struct ce_journal *rival = NULL, *own = NULL;
    struct ce_error err = {0};
    int pair[2], r = 0;
    ce_autofree char *folder = ce_format("%s/journal", w.state);
    REQUIRE(pipe(pair) == 0 && mkdir(folder, 0700) == 0);
    ce_autofd int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(lock >= 0 && flock(lock, LOCK_EX) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(lock);
        r = claim(&w, "own", NAMES("x"), &own, NULL);
        _exit(write(pair[1], &r, sizeof r) != sizeof r);
    }
    struct pollfd result = {.fd = pair[0], .events = POLLIN};
    CHECK(poll(&result, 1, 200) == 0); /* it waits */
    json_t *more =
        json_pack("{s:[s], s:s, s:s}", "claims", "x", "experiment", "rival_test", "fault", "hang");
    REQUIRE_OK(ce_journal_create_with(w.state, "rival", ops, more, &rival, &err), err);
    json_decref(more);
    CHECK(flock(lock, LOCK_UN) == 0);
    CHECK(read(pair[0], &r, sizeof r) == sizeof r && r == -EALREADY);
    CHECK(waitpid(pid, NULL, 0) == pid);
    (void)close(pair[0]);
    (void)close(pair[1]);
    ce_journal_close(rival);
}

int main(void)
{
    TEST(one_thing_is_claimed_by_one_run);
    TEST(what_claims_nothing_is_in_nobodys_way);
    TEST(a_name_may_be_of_any_bytes);
    TEST(a_killed_holder_claims_until_its_guard_has_undone);
    TEST(what_nobody_has_undone_is_not_free);
    TEST(two_never_hold_one_thing);
    TEST(looking_and_claiming_are_one_step);
    return test_done();
}
