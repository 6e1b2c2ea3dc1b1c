/* SPDX-License-Identifier: MIT */
/* How the embedded pipeline takes crashes and hangs, is kept apart from the host, and leaves
 * nothing behind. What it does while all is well is in test_pipeline.c. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "pipeline_world.h"

/* ---- crashes and hangs ---- */

static bool serves_other_than(const struct world *world, const struct ce_process_id *old)
{
    struct ce_process_id now;
    return ce_pipeline_acts(world->pipeline)->serving_process(world->pipeline, &now, NULL) == 0 &&
           now.pid != old->pid && newest_answers(world, "b-1");
}

static void a_crashed_naive_server_stays_down_until_asked_for(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct ce_process_id id;
    REQUIRE_OK(ce_pipeline_acts(world.pipeline)->serving_process(world.pipeline, &id, &err), err);
    CHECK(operate(&world, 0, "b-0", NULL) == 200);
    REQUIRE(ce_process_signal(&id, SIGKILL) == 0);
    REQUIRE(EVENTUALLY(
        ce_pipeline_acts(world.pipeline)->serving_process(world.pipeline, &id, NULL) == -ESRCH));
    /* A while that would be long enough for a restart. */
    for (int64_t until = ce_now() + 400 * CE_MILLISECOND; ce_now() < until;)
        CHECK(operate(&world, 0, "b-1", NULL) == 502);
    CHECK(ce_pipeline_acts(world.pipeline)->serving_process(world.pipeline, &id, NULL) == -ESRCH);
    REQUIRE_OK(ce_pipeline_acts(world.pipeline)->ensure_serving(world.pipeline, &err), err);
    CHECK(operate(&world, 0, "b-2", NULL) == 200);
    REQUIRE_OK(ce_pipeline_acts(world.pipeline)->serving_process(world.pipeline, &id, &err), err);
    CHECK(ce_process_alive(&id));
    /* Nothing to do is fine too. */
    REQUIRE_OK(ce_pipeline_acts(world.pipeline)->ensure_serving(world.pipeline, &err), err);
}

/* Whatever becomes of the server of a hardened pipeline, it goes on answering, and soon another
 * serves. */
static void check_replacement(const struct world *world, int signal)
{
    struct ce_error err = {0};
    struct ce_process_id id;
    REQUIRE_OK(ce_pipeline_acts(world->pipeline)->serving_process(world->pipeline, &id, &err), err);
    int64_t begin = ce_now();
    REQUIRE(ce_process_signal(&id, signal) == 0);
    CHECK(operate(world, 0, "b-1", NULL) == 200); /* the fallback, or the new one already */
    CHECK(EVENTUALLY(serves_other_than(world, &id)));
    printf("# back after %.0f ms\n", (double)(ce_now() - begin) / 1e6);
    CHECK(!ce_process_alive(&id));
}

static void a_crashed_hardened_server_comes_back_by_itself(void)
{
    WORLD(world, err, CE_PROFILE_HARDENED);
    for (int i = 0; i < 3; i++)
        check_replacement(&world, SIGKILL);
}

static void a_hanging_hardened_server_is_replaced(void)
{
    WORLD(world, err, CE_PROFILE_HARDENED);
    check_replacement(&world, SIGSTOP);
}

/* Whether all its threads stand still: a process stops a while after its signal was sent, one
 * thread after another, and each may answer until then. */
static bool has_stopped(const struct ce_process_id *id)
{
    ce_autofree char *path = ce_format("/proc/%d/task", (int)id->pid);
    DIR *folder = opendir(path);
    bool stopped = folder != NULL;
    for (struct dirent *entry; stopped && (entry = readdir(folder));) {
        struct ce_process_id thread;
        if (entry->d_name[0] != '.')
            stopped = ce_process_identify((pid_t)atoi(entry->d_name), &thread) == 0 &&
                      ce_process_state(&thread) == 'T';
    }
    if (folder)
        (void)closedir(folder);
    return stopped;
}

static void a_hanging_naive_server_is_replaced_when_asked_for(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct ce_process_id id;
    REQUIRE_OK(ce_pipeline_acts(world.pipeline)->serving_process(world.pipeline, &id, &err), err);
    REQUIRE(ce_process_signal(&id, SIGSTOP) == 0);
    REQUIRE(EVENTUALLY(has_stopped(&id)));
    REQUIRE_OK(ce_pipeline_acts(world.pipeline)->ensure_serving(world.pipeline, &err), err);
    CHECK(serves_other_than(&world, &id));
}

/* ---- isolation, and leaving nothing behind ---- */

static int port_of(const struct ce_endpoint *endpoint)
{
    return ntohs(((const struct sockaddr_in *)&endpoint->address)->sin_port);
}

/* 0, or the errno of a blocking connect to that port on this side's loopback. */
static int connect_here(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ce_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
}

static void the_server_is_reached_through_the_keepers_sockets_only(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct ce_endpoint upstream = *ce_route_upstream(ce_pipeline_model_route(world.pipeline));
    if (!upstream.make_socket)
        SKIP("no network namespace here");
    struct ce_http_call live = {.method = "GET", .path = "/v2/health/live", .timeout_ns = patience};
    struct ce_http_answer answer = {0};
    REQUIRE_OK(ce_http_call(&upstream, &live, &answer, &err), err);
    CHECK(answer.status == 200);
    ce_http_answer_done(&answer);
    CHECK(connect_here(port_of(&upstream)) == ECONNREFUSED);
    CHECK(upstream.make_socket(upstream.ctx, 12345, &err) == -EAFNOSUPPORT);
}

/* The process tree below `pid`, itself included. */
struct tree {
    struct ce_process_id ids[32];
    size_t count;
};

/* This one, keeper, supervisor, server, gateway; and a resolver where there are names. */
static size_t tree_size(const struct ce_pipeline *pipeline)
{
    return strncmp(ce_pipeline_isolation(pipeline), "plain processes", 15) == 0 ? 5 : 6;
}

static void tree_collect(pid_t pid, struct tree *tree)
{
    if (tree->count == 32 || ce_process_identify(pid, &tree->ids[tree->count]) < 0)
        return;
    tree->count++;
    ce_autofree char *path = ce_format("/proc/%d/task/%d/children", (int)pid, (int)pid);
    ce_autofree char *text = NULL;
    size_t size;
    if (ce_file_read(path, 1 << 20, &text, &size, NULL) < 0)
        return;
    char *end, *p = text;
    for (long child = strtol(p, &end, 10); end != p; child = strtol(p, &end, 10)) {
        tree_collect((pid_t)child, tree);
        p = end;
    }
}

static size_t tree_alive(const struct tree *tree)
{
    size_t alive = 0;
    for (size_t i = 0; i < tree->count; i++)
        alive += ce_process_alive(&tree->ids[i]);
    return alive;
}

static int count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    int count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    if (dir)
        (void)closedir(dir);
    return count;
}

static void stopping_leaves_no_process_and_no_file_outside(void)
{
    WORLD(world, err, CE_PROFILE_HARDENED);
    struct tree tree = {0};
    tree_collect(getpid(), &tree);
    CHECK(tree.count == tree_size(world.pipeline));
    CHECK(tree_alive(&tree) == tree.count);
    int64_t started = ce_now();
    ce_pipeline_stop(ce_take(world.pipeline));
    printf("# stopped in %.1f ms\n", (double)(ce_now() - started) / 1e6);
    CHECK(tree_alive(&tree) == 1);
    CHECK(ce_undo_live(world.journal) == 0);
    CHECK(count_entries(world.folder) == 2); /* state, run */
}

/* In a user namespace of its own, a process may lower its own limits to nothing. */
static int take_namespaces_away(void)
{
    static const char *const limits[] = {"user", "net"};
    if (unshare(CLONE_NEWUSER) < 0)
        return -1;
    for (size_t i = 0; i < 2; i++) {
        ce_autofree char *path = ce_format("/proc/sys/user/max_%s_namespaces", limits[i]);
        ce_autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
            return -1;
    }
    return 0;
}

/* In a child: starts a pipeline, tells its tree, and is killed. */
static void __attribute__((noreturn)) live_until_killed(int report, bool without_namespaces)
{
    struct world world = {0};
    struct ce_error err = {0};
    struct tree tree = {0};
    if (without_namespaces && take_namespaces_away() < 0)
        _exit(77);
    bool lives =
        world_open(&world, CE_PROFILE_NAIVE, &err) == 0 && operate(&world, 0, "b-0", NULL) == 200;
    bool plain =
        lives && strncmp(ce_pipeline_isolation(world.pipeline), "plain processes", 15) == 0;
    tree_collect(getpid(), &tree);
    if (!lives || (without_namespaces && !plain) || tree.count != tree_size(world.pipeline) ||
        write(report, &tree, sizeof tree) != (ssize_t)sizeof tree ||
        write(report, world.folder, sizeof world.folder) != (ssize_t)sizeof world.folder) {
        printf("# %s\n", err.message);
        (void)fflush(stdout);
        world_close(&world);
        _exit(1);
    }
    for (;;)
        (void)pause();
}

static void check_killed_controller(bool without_namespaces)
{
    int ends[2], status;
    struct tree tree;
    char folder[sizeof((struct world *)0)->folder] = "";
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    ce_autofd int mine = ends[0];
    pid_t pid = fork();
    if (pid == 0)
        live_until_killed(ends[1], without_namespaces);
    (void)close(ends[1]);
    bool told = read(mine, &tree, sizeof tree) == (ssize_t)sizeof tree &&
                read(mine, folder, sizeof folder) > 0;
    (void)kill(pid, SIGKILL);
    int64_t killed = ce_now();
    REQUIRE(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("no user namespaces here to take the namespaces away in");
    REQUIRE(told);
    CHECK(EVENTUALLY(tree_alive(&tree) == 0));
    printf("# all gone after %.1f ms\n", (double)(ce_now() - killed) / 1e6);
    CHECK(ce_tree_remove(folder, NULL) == 0);
}

static void nothing_survives_a_killed_controller(void)
{
    check_killed_controller(false);
}

static void nothing_survives_a_killed_controller_without_namespaces(void)
{
    check_killed_controller(true);
}

static void nothing_survives_a_killed_keeper(void)
{
    WORLD(world, err, CE_PROFILE_HARDENED);
    struct tree tree = {0};
    tree_collect(getpid(), &tree);
    REQUIRE(tree.count == tree_size(world.pipeline));
    REQUIRE(ce_process_signal(&tree.ids[1], SIGKILL) == 0);
    CHECK(EVENTUALLY(tree_alive(&tree) == 1));
    CHECK(ce_pipeline_acts(world.pipeline)->ensure_serving(world.pipeline, &err) == -ESRCH);
    CHECK_TEXT(err.message, "the pipeline's supervisor is gone");
    struct ce_process_id id;
    CHECK(ce_pipeline_acts(world.pipeline)->serving_process(world.pipeline, &id, NULL) < 0);
}

static void the_journal_ends_the_pipeline_too(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    struct tree tree = {0};
    struct ce_recovery recovery = {0};
    tree_collect(getpid(), &tree);
    REQUIRE_OK(ce_undo_all(world.journal, &recovery, &err), err);
    CHECK(recovery.undone == 1 && recovery.failed == 0 && recovery.foreign == 0);
    CHECK(EVENTUALLY(tree_alive(&tree) == 1));
}

static void doctor_learns_which_isolation_there_is(void)
{
    WORLD(world, err, CE_PROFILE_NAIVE);
    char reason[256] = "";
    bool available = ce_pipeline_isolation_available(reason, sizeof reason);
    printf("# %d: %s\n", available, reason);
    CHECK_TEXT(reason, ce_pipeline_isolation(world.pipeline));
    CHECK(available == (strstr(reason, "pid namespaces") != NULL));
}

static void a_missing_program_is_an_error_with_a_sentence(void)
{
    CE_CLEANUP(world_close) struct world world = {0};
    struct ce_error err = {0};
    ce_autofree char *kept = strdup(getenv("CHAOSEATER_LIBEXEC"));
    setenv("CHAOSEATER_LIBEXEC", "/nowhere", 1);
    CHECK(world_open(&world, CE_PROFILE_NAIVE, &err) == -ENOENT);
    CHECK(strstr(err.message, "/nowhere") && strstr(err.message, "chaoseater-pipeline"));
    setenv("CHAOSEATER_LIBEXEC", kept, 1);
    CHECK(world.journal && ce_undo_live(world.journal) == 0);
}

int main(void)
{
    find_program();
    TEST(a_crashed_naive_server_stays_down_until_asked_for);
    TEST(a_crashed_hardened_server_comes_back_by_itself);
    TEST(a_hanging_hardened_server_is_replaced);
    TEST(a_hanging_naive_server_is_replaced_when_asked_for);
    TEST(the_server_is_reached_through_the_keepers_sockets_only);
    TEST(stopping_leaves_no_process_and_no_file_outside);
    TEST(nothing_survives_a_killed_controller);
    TEST(nothing_survives_a_killed_controller_without_namespaces);
    TEST(nothing_survives_a_killed_keeper);
    TEST(the_journal_ends_the_pipeline_too);
    TEST(doctor_learns_which_isolation_there_is);
    TEST(a_missing_program_is_an_error_with_a_sentence);
    return test_done();
}
