/* SPDX-License-Identifier: MIT */
/* Devices that are denied to a process: one of this test's own that opens what it is told to. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/spawn.h"
#include "host/cgroup.h"
#include "host/devices.h"
#include "host/group.h"
#include "host/process.h"
#include "pipeline_world.h"

static const struct ce_undo_op *const undo_ops[] = {&ce_undo_leave_group, &ce_undo_end_process,
                                                    NULL};

/* ---- a process that opens devices ---- */

struct opener {
    struct ce_process_id id;
    int to, from;
};

static int opener_main(void *ctx)
{
    char path[64];
    for (ssize_t n; (n = read(3, path, sizeof path - 1)) > 0;) {
        path[n] = '\0';
        int fd = open(path, O_RDWR | O_CLOEXEC);
        int code = fd < 0 ? errno : 0;
        if (fd >= 0)
            (void)close(fd);
        if (write(4, &code, sizeof code) != sizeof code)
            return 1;
    }
    return 0;
}

/* 0, or the errno of open(2). */
static int try_it(const struct opener *opener, const char *path)
{
    int code = -1;
    if (write(opener->to, path, strlen(path)) < 0 ||
        read(opener->from, &code, sizeof code) != sizeof code)
        return -1;
    return code;
}

struct lab {
    char folder[64];
    char *state;
    struct ce_journal *journal;
    struct opener opener;
    struct ce_device_list list;
    struct ce_process_list processes;
};

static int lab_open(struct lab *lab, struct ce_error *err)
{
    int in[2], out[2], gate;
    *lab = (struct lab){.folder = "/tmp/ce-devices-XXXXXX"};
    if (!mkdtemp(lab->folder) || pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return ce_fail(err, errno, "cannot set up");
    lab->state = ce_format("%s/state", lab->folder);
    lab->opener.to = in[1];
    lab->opener.from = out[0];
    ce_autofd int its_in = in[0];
    ce_autofd int its_out = out[1];
    struct ce_spawn how = {.function = opener_main,
                           .fds = {{its_in, 3}, {its_out, 4}},
                           .fd_count = 2,
                           .parent_death_signal = SIGKILL};
    CE_TRY(ce_spawn(&how, &lab->opener.id, &gate, err));
    CE_TRY(ce_spawn_go(gate, err));
    lab->processes = (struct ce_process_list){.items = &lab->opener.id, .count = 1};
    CE_TRY(ce_devices_add(&lab->list, "1:7", err)); /* /dev/full */
    return ce_journal_create(lab->state, "test", undo_ops, &lab->journal, err);
}

static void lab_close(struct lab *lab)
{
    if (lab->opener.id.pid > 0)
        (void)ce_process_end(&lab->opener.id, patience, NULL);
    (void)close(lab->opener.to);
    (void)close(lab->opener.from);
    (void)ce_undo_all(lab->journal, NULL, NULL);
    ce_journal_close(lab->journal);
    (void)ce_tree_remove(lab->folder, NULL);
    free(lab->state);
}
#define LAB(name, err)                                                                             \
    CE_CLEANUP(lab_close) struct lab name;                                                         \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(lab_open(&name, &err), err)

static char *groups_of(const struct lab *lab)
{
    char path[64];
    char *text = NULL;
    size_t size;
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)lab->opener.id.pid);
    return ce_file_read(path, 1 << 16, &text, &size, NULL) == 0 ? text : NULL;
}

/* ---- denying ---- */

static void denied_by(enum ce_devices_means means)
{
    char detail[256];
    if (!ce_devices_available(means, detail, sizeof detail)) {
        printf("# %s\n", detail);
        SKIP("this host offers this user no such control group");
    }
    LAB(lab, err);
    struct ce_devices_denied *denied = NULL;
    ce_autofree char *before = groups_of(&lab);
    CHECK(try_it(&lab.opener, "/dev/full") == 0);
    REQUIRE_OK(ce_devices_deny(lab.journal, means, &lab.list, &lab.processes, &denied, &err), err);
    CHECK(try_it(&lab.opener, "/dev/full") == EPERM);
    CHECK(try_it(&lab.opener, "/dev/null") == 0);
    CHECK(ce_devices_try(denied, "/dev/full", &err) == EPERM);
    CHECK(ce_devices_try(denied, "/dev/zero", &err) == 0);
    int here = open("/dev/full", O_RDWR | O_CLOEXEC);
    CHECK(here >= 0 && close(here) == 0);
    REQUIRE_OK(ce_devices_allow(denied, &err), err);
    CHECK(try_it(&lab.opener, "/dev/full") == 0);
    ce_autofree char *after = groups_of(&lab);
    CHECK_TEXT(after, before);
    CHECK(ce_undo_live(lab.journal) == 0);
}

static void a_program_of_the_kernels_denies(void)
{
    denied_by(CE_DEVICES_BPF);
}

static void the_controller_of_version_1_denies(void)
{
    denied_by(CE_DEVICES_V1);
}

static void many_devices_fit_into_one_program(void)
{
    char detail[256];
    if (!ce_devices_available(CE_DEVICES_BPF, detail, sizeof detail))
        SKIP("this host offers this user no such control group");
    LAB(lab, err);
    struct ce_devices_denied *denied = NULL;
    lab.list.count = 0;
    for (unsigned i = 0; i < CE_DEVICES_MAX - 1; i++)
        CHECK(ce_devices_add(&lab.list, i % 2 ? "77:*" : "78:3", &err) == 0);
    CHECK(ce_devices_add(&lab.list, "1:7", &err) == 0);
    CHECK(ce_devices_add(&lab.list, "1:8", &err) == -E2BIG);
    REQUIRE_OK(
        ce_devices_deny(lab.journal, CE_DEVICES_BPF, &lab.list, &lab.processes, &denied, &err),
        err);
    CHECK(try_it(&lab.opener, "/dev/full") == EPERM);
    CHECK(try_it(&lab.opener, "/dev/null") == 0);
    REQUIRE_OK(ce_devices_allow(denied, &err), err);
}

/* ---- a controller that dies ---- */

static int denying_run(const char *state, pid_t pid)
{
    struct ce_error err = {0};
    struct ce_journal *journal;
    struct ce_process_id id;
    struct ce_device_list list = {.count = 0};
    char detail[256];
    CE_TRY(ce_process_identify(pid, &id));
    CE_TRY(ce_devices_add(&list, "1:7", &err));
    CE_TRY(ce_journal_create(state, "crash", undo_ops, &journal, &err));
    for (enum ce_devices_means means = 0; means < CE_DEVICES_MEANS_COUNT_; means++) {
        struct ce_devices_denied *denied = NULL;
        struct ce_process_list one = {.items = &id, .count = 1};
        if (!ce_devices_available(means, detail, sizeof detail))
            continue;
        CE_TRY(ce_devices_deny(journal, means, &list, &one, &denied, &err));
        CE_TRY(ce_devices_allow(denied, &err));
    }
    ce_journal_close(journal);
    return 0;
}

static void a_crash_at_any_step_gives_the_devices_back(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    LAB(lab, err);
    ce_autofree char *before = groups_of(&lab);
    int status = 0, step = 0, denied = 0;
    do {
        char step_text[16], pid_text[16];
        snprintf(step_text, sizeof step_text, "%d", ++step);
        snprintf(pid_text, sizeof pid_text, "%d", (int)lab.opener.id.pid);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", step_text, 1);
            execl("/proc/self/exe", "test_devices", lab.state, pid_text, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        denied += try_it(&lab.opener, "/dev/full") != 0;
        struct ce_recovery counts;
        REQUIRE_OK(ce_journal_recover(lab.state, undo_ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        CHECK(try_it(&lab.opener, "/dev/full") == 0);
        ce_autofree char *now = groups_of(&lab);
        CHECK_TEXT(now, before);
    } while (WIFSIGNALED(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    char detail[256];
    if (ce_devices_available(CE_DEVICES_V1, detail, sizeof detail))
        CHECK(denied > 0);
}

/* ---- which ---- */

static void devices_are_numbers_or_files(void)
{
    static const struct {
        const char *text;
        int want;
        unsigned major;
        int minor;
    } cases[] = {
        {"195:*", 0, 195, CE_ANY_MINOR}, {"1:7", 0, 1, 7},          {"/dev/full", 0, 1, 7},
        {"1:", -EINVAL, 0, 0},           {"1:7x", -EINVAL, 0, 0},   {"1:-1", -EINVAL, 0, 0},
        {":1", -EINVAL, 0, 0},           {"*:*", -EINVAL, 0, 0},    {"/dev", -EINVAL, 0, 0},
        {"/no/such", -EINVAL, 0, 0},     {"nvidia", -EINVAL, 0, 0},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_device_list list = {.count = 0};
        struct ce_error err = {0};
        CHECK(ce_devices_add(&list, cases[i].text, &err) == cases[i].want);
        CHECK(list.count == (cases[i].want == 0));
        if (cases[i].want == 0)
            CHECK(list.items[0].major == cases[i].major && list.items[0].minor == cases[i].minor);
        else
            CHECK(strstr(err.message, cases[i].text));
    }
}

static void a_file_of_a_listed_device_is_found(void)
{
    struct ce_device_list list = {.count = 0};
    struct ce_error err = {0};
    char path[64];
    CHECK(!ce_devices_file(&list, path, sizeof path));
    REQUIRE_OK(ce_devices_add(&list, "1:7", &err), err);
    CHECK(ce_devices_file(&list, path, sizeof path));
    CHECK_TEXT(path, "/dev/full");
    list.count = 0;
    REQUIRE_OK(ce_devices_add(&list, "250:250", &err), err);
    CHECK(!ce_devices_file(&list, path, sizeof path));
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return denying_run(argv[1], (pid_t)atoi(argv[2])) < 0;
    TEST(a_program_of_the_kernels_denies);
    TEST(the_controller_of_version_1_denies);
    TEST(many_devices_fit_into_one_program);
    TEST(a_crash_at_any_step_gives_the_devices_back);
    TEST(devices_are_numbers_or_files);
    TEST(a_file_of_a_listed_device_is_found);
    return test_done();
}
