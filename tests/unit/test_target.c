/* SPDX-License-Identifier: MIT */
/* What `target:` names: found once, found again, or refused with a sentence. */
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "check.h"
#include "host/cgroup.h"
#include "target/target.h"

/* ---- children to be found ---- */

/* A child that calls itself so and waits to be ended. It is named when this returns. */
static pid_t child_called(const char *name, int listener)
{
    int ready[2];
    char byte;
    if (pipe(ready) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, name);
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    if (listener >= 0)
        close(listener);
    close(ready[1]);
    bool named = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    return named ? pid : -1;
}

static void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Names that no other test at work has. */
static const char *unique(const char *what)
{
    static char name[4][16];
    static int next;
    char *text = name[next++ % 4];
    snprintf(text, sizeof name[0], "%s%d", what, (int)getpid() % 1000000);
    return text;
}

/* ---- the keys ---- */

static void keys_name_one_thing(void)
{
    char two[] = "x";
    const char *key = NULL;
    struct ce_error err = {0};
    struct ce_target_spec spec = {.pid = 7, .path = two};
    CHECK(ce_target_keys_check(&spec, &key, &err) == -EINVAL);
    CHECK_TEXT(err.message, "target: names two things, pid and path; it takes one");
    spec = (struct ce_target_spec){.netns = two, .interface = two, .peer = two};
    CHECK(ce_target_keys_check(&spec, &key, &err) == 0);
    spec = (struct ce_target_spec){.netns = two, .unit = two};
    CHECK(ce_target_keys_check(&spec, &key, &err) == -EINVAL);
    spec = (struct ce_target_spec){.pipeline = false};
    CHECK(ce_target_keys_check(&spec, &key, &err) == -EINVAL);
    spec = (struct ce_target_spec){.pipeline = true};
    CHECK(ce_target_keys_check(&spec, &key, &err) == 0 && !ce_target_is_explicit(&spec));
}

/* ---- processes ---- */

static int find(const struct ce_target_spec *spec, struct ce_target_found *found,
                struct ce_error *err)
{
    *err = (struct ce_error){0};
    return ce_target_resolve(spec, "/nonexistent", found, err);
}

static void a_pid_is_found_with_its_ports(void)
{
    struct ce_error err;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(listener, (struct sockaddr *)&at, size) == 0 && listen(listener, 1) == 0 &&
            getsockname(listener, (struct sockaddr *)&at, &size) == 0);
    pid_t pid = child_called("listens", listener);
    struct ce_target_spec spec = {.pid = pid};
    struct ce_target_found found;
    REQUIRE_OK(find(&spec, &found, &err), err);
    CHECK(found.subject.process.pid == pid);
    CHECK(found.subject.has == (CE_SUBJECT_PROCESS | CE_SUBJECT_NETWORK));
    CHECK(found.subject.packets.port_count == 1 &&
          found.subject.packets.ports[0].first == ntohs(at.sin_port) &&
          found.subject.packets.ports[0].last == ntohs(at.sin_port));
    struct ce_subject again;
    REQUIRE_OK(ce_target_locate(&found, NULL, &again, &err), err);
    CHECK(again.process.pid == pid);
    CHECK(ce_target_locate(&found, "gateway", &again, &err) == -ENOENT);
    end_child(pid);
    CHECK(ce_target_locate(&found, NULL, &again, &err) == -ESRCH);
    CHECK(strstr(err.message, "the target has gone since it was looked for"));
    CHECK(find(&spec, &found, &err) == -ESRCH);
}

static void a_process_that_listens_nowhere_has_no_network_here(void)
{
    struct ce_error err;
    struct ce_target_found found;
    pid_t pid = child_called("silent", -1);
    struct ce_target_spec spec = {.pid = pid};
    REQUIRE_OK(find(&spec, &found, &err), err);
    CHECK(found.subject.has == CE_SUBJECT_PROCESS);
    end_child(pid);
}

static void a_name_must_be_that_of_one_process(void)
{
    struct ce_error err;
    struct ce_target_found found;
    char *name = (char *)unique("ce-one-");
    struct ce_target_spec spec = {.process = name};
    CHECK(find(&spec, &found, &err) == -ESRCH);
    CHECK(strstr(err.message, "no process is called"));
    pid_t first = child_called(name, -1);
    REQUIRE_OK(find(&spec, &found, &err), err);
    CHECK(found.subject.process.pid == first);

    pid_t second = child_called(name, -1);
    char pids[2][16];
    snprintf(pids[0], sizeof pids[0], "%d", (int)first);
    snprintf(pids[1], sizeof pids[1], "%d", (int)second);
    CHECK(find(&spec, &found, &err) == -ENOTUNIQ);
    CHECK(strstr(err.message, pids[0]) && strstr(err.message, pids[1]));

    /* The first one found has gone, and the name is another's now. */
    end_child(first);
    REQUIRE_OK(find(&spec, &found, &err), err);
    CHECK(found.subject.process.pid == second);
    pid_t third = child_called(name, -1);
    end_child(second);
    struct ce_subject again;
    CHECK(ce_target_locate(&found, NULL, &again, &err) == -ESRCH);
    end_child(third);
}

static void a_server_with_its_workers_is_one_target(void)
{
    struct ce_error err;
    struct ce_target_found found;
    char *name = (char *)unique("ce-tree-");
    int ready[2];
    char byte;
    REQUIRE(pipe(ready) == 0);
    pid_t top = fork();
    if (top == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, name);
        (void)child_called(name, -1);
        (void)child_called(name, -1);
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    REQUIRE(read(ready[0], &byte, 1) == 1);
    struct ce_target_spec spec = {.process = name};
    REQUIRE_OK(find(&spec, &found, &err), err);
    CHECK(found.subject.process.pid == top);
    end_child(top);
    close(ready[0]);
    close(ready[1]);
}

static void the_user_counts(void)
{
    struct ce_error err;
    struct ce_target_found found;
    char own[16], another[16];
    char *name = (char *)unique("ce-user-");
    snprintf(own, sizeof own, "%u", getuid());
    snprintf(another, sizeof another, "%u", getuid() + 1);
    pid_t pid = child_called(name, -1);
    struct ce_target_spec spec = {.process = name, .user = own};
    REQUIRE_OK(find(&spec, &found, &err), err);
    spec.user = another;
    CHECK(find(&spec, &found, &err) == -ESRCH);
    spec.user = (char *)"no-such-user-here";
    CHECK(find(&spec, &found, &err) == -ENOENT);
    end_child(pid);
}

/* ---- what is denied ---- */

static void denied_without_insisting(struct ce_target_spec spec, const char *why)
{
    struct ce_error err;
    struct ce_target_found found;
    CHECK(find(&spec, &found, &err) == -EPERM);
    if (!strstr(err.message, why) || !strstr(err.message, "i_know"))
        printf("# %s\n", err.message);
    CHECK(strstr(err.message, why) && strstr(err.message, "`i_know: true`"));
    spec.i_know = true;
    CHECK(find(&spec, &found, &err) == 0);
}

static void the_ground_one_stands_on_is_denied(void)
{
    denied_without_insisting((struct ce_target_spec){.pid = getpid()}, "ChaosEater itself");
    denied_without_insisting((struct ce_target_spec){.path = (char *)"/"}, "the system runs");
    denied_without_insisting((struct ce_target_spec){.path = (char *)"/usr/.."}, "the system runs");
    denied_without_insisting((struct ce_target_spec){.interface = (char *)"lo"}, "talks to itself");
    denied_without_insisting((struct ce_target_spec){.netns = (char *)"/proc/self/ns/net"},
                             "all traffic of this host");
}

static void pid_1_is_denied(void)
{
    struct ce_error err;
    struct ce_target_found found;
    struct ce_target_spec spec = {.pid = 1};
    CHECK(find(&spec, &found, &err) == -EPERM);
    CHECK(strstr(err.message, "it is pid 1") && strstr(err.message, "`i_know: true`"));
}

static void the_operators_connection_is_denied(void)
{
    struct ce_error err;
    struct ce_target_found found;
    setenv("SSH_CONNECTION", "192.0.2.7 50000 127.0.0.1 22", 1);
    denied_without_insisting((struct ce_target_spec){.peer = (char *)"192.0.2.7:22"},
                             "your own ssh connection");
    struct ce_target_spec other = {.peer = (char *)"192.0.2.8:22"};
    REQUIRE_OK(find(&other, &found, &err), err);
    CHECK(found.subject.packets.peer_count == 1 && found.subject.packets.peer_port == 22);
    unsetenv("SSH_CONNECTION");
}

/* ---- what is not there ---- */

static void fails(struct ce_target_spec spec, int code, const char *sentence)
{
    struct ce_error err;
    struct ce_target_found found;
    CHECK(find(&spec, &found, &err) == -code);
    CHECK_TEXT(err.message, sentence);
}

static void what_is_not_there_is_said(void)
{
    fails((struct ce_target_spec){.interface = (char *)"nope0"}, ENODEV,
          "there is no interface 'nope0'");
    fails((struct ce_target_spec){.path = (char *)"/nonexistent/folder"}, ENOENT,
          "cannot look at '/nonexistent/folder': No such file or directory");
    fails((struct ce_target_spec){.path = (char *)"/dev/null"}, ENOTDIR,
          "path: '/dev/null' is not a folder");
    fails((struct ce_target_spec){.device = (char *)"/dev/null"}, ENOTBLK,
          "device: '/dev/null' is not a block device");
    fails((struct ce_target_spec){.container = (char *)"xyz"}, EINVAL,
          "container: 'xyz' is not 12 or more hexadecimal digits of an id");
    fails((struct ce_target_spec){.cgroup = (char *)"/no/such/group"}, ENOENT,
          "there is no control group '/no/such/group'");
}

/* ---- control groups ---- */

static void a_group_is_found_by_path_and_by_container(void)
{
    struct ce_error err;
    struct ce_target_found found;
    ce_autofree char *top = NULL;
    const char id[] = "00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee";
    if (ce_cgroup_locate(NULL, "/", &top, &err) < 0 || access(top, W_OK) < 0)
        SKIP("no hierarchy of version 2 that this user may write to");
    ce_autofree char *folder = ce_format("%s/docker-%s.scope", top, id);
    REQUIRE(folder);
    if (mkdir(folder, 0755) < 0)
        SKIP("control groups cannot be made here");
    pid_t pid = child_called("contained", -1);
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    CHECK(ce_cgroup_write(folder, "cgroup.procs", text) == 0);

    struct ce_target_spec by_path = {.cgroup = folder};
    CHECK(find(&by_path, &found, &err) == 0);
    CHECK(found.subject.has & CE_SUBJECT_GROUP && found.subject.process.pid == pid);
    CHECK_TEXT(found.subject.group, folder);
    struct ce_target_spec by_id = {.container = (char *)"00c0ffee00c0"};
    CHECK(find(&by_id, &found, &err) == 0);
    CHECK_TEXT(found.subject.group, folder);
    struct ce_target_spec all = {.cgroup = top};
    CHECK(find(&all, &found, &err) == -EPERM);

    end_child(pid);
    CHECK(find(&by_path, &found, &err) == -ESRCH);
    CHECK(rmdir(folder) == 0);
}

int main(void)
{
    TEST(keys_name_one_thing);
    TEST(a_pid_is_found_with_its_ports);
    TEST(a_process_that_listens_nowhere_has_no_network_here);
    TEST(a_name_must_be_that_of_one_process);
    TEST(a_server_with_its_workers_is_one_target);
    TEST(the_user_counts);
    TEST(the_ground_one_stands_on_is_denied);
    TEST(pid_1_is_denied);
    TEST(the_operators_connection_is_denied);
    TEST(what_is_not_there_is_said);
    TEST(a_group_is_found_by_path_and_by_container);
    return test_done();
}
