/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "check.h"
#include "controller/controller.h"
#include "host/agent.h"
#include "host/place.h"

static const int64_t patience = 10 * CE_SECOND;
static const unsigned both = CE_PLACE_NETWORK | CE_PLACE_MOUNTS;

/* ---- inhabitants ---- */

static int wait_for_ever(void *ctx)
{
    while (pause() < 0)
        ;
    return 0;
}

/* A process in namespaces of its own. */
static int live_in(unsigned long namespaces, struct ce_process_id *ret_id, struct ce_error *err)
{
    struct ce_spawn how = {
        .function = wait_for_ever, .namespaces = namespaces, .parent_death_signal = SIGKILL};
    int gate;
    CE_TRY(ce_spawn(&how, ret_id, &gate, err));
    return ce_spawn_go(gate, err);
}

static void end(const struct ce_process_id *id)
{
    (void)ce_process_end(id, patience, NULL);
}

/* Another one, beside it. */
struct neighbour {
    const struct ce_place *place;
    int ready;
};
static int live_there(void *ctx)
{
    const struct neighbour *neighbour = ctx;
    char here = ce_place_enter(neighbour->place, both, NULL) == 0;
    (void)ce_write_all(neighbour->ready, &here, 1);
    return wait_for_ever(NULL);
}
static bool move_in(const struct ce_place *place, struct ce_process_id *ret_id)
{
    int pair[2], gate;
    char here = 0;
    if (pipe2(pair, O_CLOEXEC) < 0)
        return false;
    struct neighbour neighbour = {place, 3};
    struct ce_spawn how = {.function = live_there,
                           .ctx = &neighbour,
                           .fds = {{pair[1], 3}},
                           .fd_count = 1,
                           .parent_death_signal = SIGKILL};
    bool made = ce_spawn(&how, ret_id, &gate, NULL) == 0 && ce_spawn_go(gate, NULL) == 0 &&
                read(pair[0], &here, 1) == 1;
    (void)close(pair[0]), (void)close(pair[1]);
    return made && here;
}

/* ---- calls ---- */

struct seen {
    struct ce_place place;
    int wanted; /* what to return */
    char text[32];
};
static int look_around(void *ctx, struct ce_error *err)
{
    struct seen *seen = ctx;
    CE_TRY(ce_place_here(&seen->place, err));
    snprintf(seen->text, sizeof seen->text, "%s", "seen");
    return seen->wanted < 0 ? ce_fail(err, -seen->wanted, "as asked: %d", seen->wanted)
                            : seen->wanted;
}
static int die(void *ctx, struct ce_error *err)
{
    (void)raise(SIGKILL);
    return 0;
}

#define NEEDS_ROOT()                                                                               \
    if (geteuid() != 0)                                                                            \
    SKIP("needs root")

static void a_place_is_told_from_here(void)
{
    struct ce_process_id id;
    struct ce_place here, there;
    struct ce_error err = {0};
    REQUIRE_OK(live_in(CLONE_NEWUSER | CLONE_NEWNET, &id, &err), err);
    REQUIRE_OK(ce_place_here(&here, &err), err);
    REQUIRE_OK(ce_place_of_process(&id, &there, &err), err);
    CHECK(ce_place_is_here(&here, both));
    CHECK(!ce_place_is_here(&there, CE_PLACE_NETWORK) && !ce_place_is_here(&there, both));
    CHECK(ce_place_is_here(&there, CE_PLACE_MOUNTS));
    CHECK(there.user != here.user && there.mounts == here.mounts);
    end(&id);
    CHECK(ce_place_of_process(&id, &there, &err) == -ESRCH);
}

static void a_call_happens_there_and_brings_back_what_it_left(void)
{
    for (int user = 0; user < 2; user++) {
        if (!user && geteuid() != 0)
            continue;
        struct ce_process_id id;
        struct ce_place there;
        struct ce_error err = {0};
        struct seen seen = {.wanted = 5};
        REQUIRE_OK(live_in((user ? CLONE_NEWUSER : 0) | CLONE_NEWNET | CLONE_NEWNS, &id, &err),
                   err);
        REQUIRE_OK(ce_place_of_process(&id, &there, &err), err);
        CHECK(ce_place_call(&there, both, look_around, &seen, sizeof seen, &err) == 5);
        CHECK(seen.place.network == there.network && seen.place.mounts == there.mounts);
        CHECK_TEXT(seen.text, "seen");
        CHECK(ce_place_call(&there, CE_PLACE_NETWORK, look_around, &seen, sizeof seen, &err) == 5);
        CHECK(seen.place.network == there.network && seen.place.mounts != there.mounts);

        seen.wanted = -EDOM;
        CHECK(ce_place_call(&there, both, look_around, &seen, sizeof seen, &err) == -EDOM);
        CHECK(err.code == EDOM);
        CHECK_TEXT(err.message, "as asked: -33");
        CHECK(ce_place_call(&there, both, die, NULL, 0, &err) == -ECHILD);
        end(&id);
        CHECK(ce_place_call(&there, both, look_around, &seen, sizeof seen, &err) == -ESRCH);
        CHECK(strstr(err.message, "nothing leads to"));
    }
}

static void a_call_at_home_is_a_call(void)
{
    struct ce_place here;
    struct ce_error err = {0};
    struct seen seen = {0};
    REQUIRE_OK(ce_place_here(&here, &err), err);
    REQUIRE_OK(ce_place_call(&here, both, look_around, &seen, sizeof seen, &err), err);
    CHECK(seen.place.network == here.network && seen.place.user == here.user);
}

static void a_note_finds_the_place_as_long_as_anybody_lives_there(void)
{
    struct ce_process_id first, second;
    struct ce_place there, found;
    struct ce_error err = {0};
    REQUIRE_OK(live_in(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS, &first, &err), err);
    REQUIRE_OK(ce_place_of_process(&first, &there, &err), err);
    ce_autojson json_t *note = ce_place_args(&there);
    REQUIRE(note && ce_place_from_args(note, both, &found, &err) == 0);
    CHECK(found.network == there.network && found.mounts == there.mounts &&
          found.process.pid == first.pid && found.process.start == first.start);

    REQUIRE(move_in(&there, &second));
    end(&first);
    REQUIRE(ce_place_from_args(note, both, &found, &err) == 0);
    CHECK(found.process.pid == second.pid && found.process.start == second.start);
    struct seen seen = {0};
    CHECK(ce_place_call(&there, both, look_around, &seen, sizeof seen, &err) == 0);
    CHECK(seen.place.network == there.network);
    end(&second);
    CHECK(ce_place_from_args(note, both, &found, &err) == CE_PLACE_GONE);
    CHECK(ce_place_from_args(note, CE_PLACE_NETWORK, &found, &err) == CE_PLACE_GONE);
}

static void a_note_of_another_boot_is_gone_and_a_broken_one_an_error(void)
{
    struct ce_place here, found;
    struct ce_error err = {0};
    REQUIRE_OK(ce_place_here(&here, &err), err);
    ce_autojson json_t *note = ce_place_args(&here);
    CHECK(ce_place_from_args(note, both, &found, &err) == 0);
    json_object_set_new(note, "boot", json_string("another"));
    CHECK(ce_place_from_args(note, both, &found, &err) == CE_PLACE_GONE);
    json_object_del(note, "network");
    CHECK(ce_place_from_args(note, both, &found, &err) == -EINVAL);
}

static void a_named_namespace_lives_on_without_processes(void)
{
    NEEDS_ROOT();
    char folder[] = "/tmp/chaoseater-place-XXXXXX", from[64], file[64];
    struct ce_process_id id;
    struct ce_place there, found, named;
    struct ce_error err = {0};
    struct seen seen = {0};
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/netns", folder);
    (void)close(open(file, O_CREAT | O_CLOEXEC, 0600));
    CHECK(ce_place_of_netns(file, &named, &err) == -EINVAL);
    CHECK(strstr(err.message, "no network namespace"));
    CHECK(ce_place_of_netns("/nonexistent", &named, &err) == -ENOENT);

    REQUIRE_OK(live_in(CLONE_NEWNET | CLONE_NEWNS, &id, &err), err);
    REQUIRE_OK(ce_place_of_process(&id, &there, &err), err);
    snprintf(from, sizeof from, "/proc/%d/ns/net", (int)id.pid);
    REQUIRE(mount(from, file, NULL, MS_BIND, NULL) == 0);
    int r = ce_place_of_netns(file, &named, &err);
    CHECK(r == 0 && named.network == there.network && named.mounts == 0);
    CHECK(named.user == there.user);
    CHECK(ce_place_is_here(&named, CE_PLACE_MOUNTS));
    end(&id);
    ce_autojson json_t *note = ce_place_args(&named);
    CHECK(ce_place_from_args(note, both, &found, &err) == 0);
    CHECK(ce_place_call(&found, both, look_around, &seen, sizeof seen, &err) == 0);
    CHECK(seen.place.network == named.network);
    CHECK(umount(file) == 0);
    CHECK(ce_place_from_args(note, CE_PLACE_NETWORK, &found, &err) == CE_PLACE_GONE);
    (void)ce_tree_remove(folder, NULL);
}

/* In a child that is an ordinary user. 0, or the line that failed. */
static int as_ordinary_user(void)
{
    struct ce_process_id id;
    struct ce_place there;
    struct ce_error err = {0};
    struct seen seen = {0};
    if (setgid(65534) < 0 || setuid(65534) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
        return __LINE__;
    if (live_in(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS, &id, &err) < 0)
        return __LINE__;
    if (ce_place_of_process(&id, &there, &err) < 0 ||
        ce_place_call(&there, both, look_around, &seen, sizeof seen, &err) < 0)
        return __LINE__;
    if (seen.place.network != there.network || seen.place.mounts != there.mounts ||
        seen.place.user != there.user)
        return __LINE__;
    ce_autojson json_t *note = ce_place_args(&there);
    struct ce_process_id second;
    if (!move_in(&there, &second))
        return __LINE__;
    end(&id);
    if (ce_place_from_args(note, both, &there, &err) != 0 || there.process.pid != second.pid)
        return __LINE__;
    end(&second);
    /* What is root's he may not even see. */
    if (ce_place_of_process(&(struct ce_process_id){.pid = 1}, &there, &err) != -EPERM)
        return __LINE__;
    return 0;
}
static void an_ordinary_user_enters_what_is_his(void)
{
#ifdef __SANITIZE_THREAD__
    SKIP("the sanitizer's own thread keeps us from entering a user namespace");
#endif
    NEEDS_ROOT();
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int line = as_ordinary_user();
        printf("%s", line ? "# " : "");
        if (line)
            printf("failed at line %d\n", line);
        fflush(stdout);
        _exit(line != 0);
    }
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- agents ---- */

struct world {
    char folder[64], state[80];
    struct ce_journal *journal;
};
static struct world world_make(void)
{
    struct world w = {.folder = "/tmp/chaoseater-place-XXXXXX"};
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

static char agree[] = "", no_means[] = "no means";
/* Answers a number with the number above it, 0 with half an answer, and ends at 99. */
static int count_on(void *ctx, int channel)
{
    const char *refuse = ctx;
    if (refuse[0]) {
        struct ce_error err = {0};
        ce_agent_ready(channel, ce_fail(&err, ENOTSUP, "refused: %s", refuse), &err);
        return 1;
    }
    ce_agent_ready(channel, 0, NULL);
    for (int number; recv(channel, &number, sizeof number, 0) == (ssize_t)sizeof number;) {
        if (number == 99)
            return 0;
        number++;
        (void)send(channel, &number, number == 1 ? 2 : sizeof number, MSG_NOSIGNAL);
    }
    return 0;
}

static void an_agent_stands_answers_and_ends(void)
{
    WORLD(w);
    struct ce_process_id id;
    struct ce_place there, its;
    struct ce_error err = {0};
    struct ce_agent *agent = NULL;
    REQUIRE_OK(live_in(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS, &id, &err), err);
    REQUIRE_OK(ce_place_of_process(&id, &there, &err), err);
    REQUIRE_OK(ce_agent_start(w.journal, &there, both, count_on, agree, &agent, &err), err);
    CHECK(ce_undo_live(w.journal) == 1);
    struct ce_process_id agent_id = ce_agent_id(agent);
    CHECK(ce_place_of_process(&agent_id, &its, &err) == 0 && its.network == there.network &&
          its.mounts == there.mounts);
    for (int number = 3; number < 6; number++) {
        int answer = 0;
        CHECK(ce_agent_ask(agent, &number, sizeof number, &answer, sizeof answer, &err) == 0);
        CHECK(answer == number + 1);
    }
    CHECK(ce_agent_stop(agent, &err) == 0);
    CHECK(!ce_process_alive(&agent_id) && ce_undo_live(w.journal) == 0);
    CHECK(ce_process_alive(&id));
    CHECK(ce_agent_stop(NULL, &err) == 0);
    end(&id);
}

static void an_agent_that_cannot_stand_says_why(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_agent *agent = NULL;
    CHECK(ce_agent_start(w.journal, NULL, 0, count_on, no_means, &agent, &err) == -ENOTSUP);
    CHECK_TEXT(err.message, "refused: no means");
    CHECK(!agent && ce_undo_live(w.journal) == 0);

    struct ce_process_id id;
    struct ce_place there;
    REQUIRE_OK(live_in(CLONE_NEWUSER | CLONE_NEWNET, &id, &err), err);
    REQUIRE_OK(ce_place_of_process(&id, &there, &err), err);
    end(&id);
    CHECK(ce_agent_start(w.journal, &there, both, count_on, agree, &agent, &err) == -ESRCH);
    CHECK(strstr(err.message, "nothing leads to") && ce_undo_live(w.journal) == 0);
}

static void an_agent_that_ends_or_answers_amiss_is_an_error(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_agent *agent = NULL;
    int number = 99, answer;
    REQUIRE_OK(ce_agent_start(w.journal, NULL, 0, count_on, agree, &agent, &err), err);
    CHECK(ce_agent_ask(agent, &number, sizeof number, &answer, sizeof answer, &err) == -EPIPE);
    CHECK(ce_agent_ask(agent, &number, sizeof number, &answer, sizeof answer, &err) == -EPIPE);
    CHECK(ce_agent_stop(agent, &err) == 0 && ce_undo_live(w.journal) == 0);

    number = 0;
    REQUIRE_OK(ce_agent_start(w.journal, NULL, 0, count_on, agree, &agent, &err), err);
    CHECK(ce_agent_ask(agent, &number, sizeof number, &answer, sizeof answer, &err) == -EPROTO);
    number = 1;
    CHECK(ce_agent_ask(agent, &number, sizeof number, &answer, sizeof answer, &err) == -EPIPE);
    CHECK(ce_agent_stop(agent, &err) == 0 && ce_undo_live(w.journal) == 0);
}

/* Goes on after the channel has ended: only its undo ends it. */
static int stay(void *ctx, int channel)
{
    ce_agent_ready(channel, 0, NULL);
    return wait_for_ever(NULL);
}
static void an_agent_that_stays_is_killed(void)
{
    WORLD(w);
    struct ce_error err = {0};
    struct ce_agent *agent = NULL;
    REQUIRE_OK(ce_agent_start(w.journal, NULL, 0, stay, NULL, &agent, &err), err);
    struct ce_process_id id = ce_agent_id(agent);
    CHECK(ce_agent_stop(agent, &err) == 0);
    CHECK(!ce_process_alive(&id) && ce_undo_live(w.journal) == 0);
}

/* A maker that starts an agent in the place, says which, and is killed. */
static void make_and_be_killed(const struct ce_place *there, ce_agent_run *run, int said)
{
    struct world w = world_make();
    struct ce_agent *agent = NULL;
    struct ce_process_id id = {0};
    if (ce_agent_start(w.journal, there, both, run, agree, &agent, NULL) == 0)
        id = ce_agent_id(agent);
    (void)ce_write_all(said, &id, sizeof id);
    (void)ce_write_all(said, w.folder, sizeof w.folder);
    (void)raise(SIGKILL);
}
static void an_agent_ends_with_its_maker(void)
{
    ce_agent_run *const runs[] = {count_on, stay};
    for (size_t i = 0; i < CE_COUNT(runs); i++) {
        struct ce_process_id id, agent = {0};
        struct ce_place there;
        struct ce_error err = {0};
        char folder[64] = "";
        int pair[2], status;
        REQUIRE_OK(live_in(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS, &id, &err), err);
        REQUIRE_OK(ce_place_of_process(&id, &there, &err), err);
        REQUIRE(pipe2(pair, O_CLOEXEC) == 0);
        fflush(stdout);
        pid_t maker = fork();
        if (maker == 0)
            make_and_be_killed(&there, runs[i], pair[1]);
        (void)close(pair[1]);
        REQUIRE(read(pair[0], &agent, sizeof agent) == (ssize_t)sizeof agent);
        REQUIRE(read(pair[0], folder, sizeof folder) == (ssize_t)sizeof folder);
        (void)close(pair[0]);
        REQUIRE(waitpid(maker, &status, 0) == maker && WIFSIGNALED(status));
        REQUIRE(agent.pid > 0);
        CHECK(ce_process_reap(&agent, patience, NULL) == 0);
        /* The note is still there for whoever recovers, and finds nothing to do. */
        struct ce_recovery recovery = {0};
        char state[80];
        snprintf(state, sizeof state, "%s/state", folder);
        CHECK(ce_journal_recover(state, ce_undo_ops, &recovery, &err) == 0);
        CHECK(recovery.undone == 1);
        (void)ce_tree_remove(folder, NULL);
        end(&id);
    }
}

int main(void)
{
    TEST(a_place_is_told_from_here);
    TEST(a_call_happens_there_and_brings_back_what_it_left);
    TEST(a_call_at_home_is_a_call);
    TEST(a_note_finds_the_place_as_long_as_anybody_lives_there);
    TEST(a_note_of_another_boot_is_gone_and_a_broken_one_an_error);
    TEST(a_named_namespace_lives_on_without_processes);
    TEST(an_ordinary_user_enters_what_is_his);
    TEST(an_agent_stands_answers_and_ends);
    TEST(an_agent_that_cannot_stand_says_why);
    TEST(an_agent_that_ends_or_answers_amiss_is_an_error);
    TEST(an_agent_that_stays_is_killed);
    TEST(an_agent_ends_with_its_maker);
    return test_done();
}
