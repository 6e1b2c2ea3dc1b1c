/* SPDX-License-Identifier: MIT */
/* memory_leak in a process that has loaded the helper: a Python program that forks or takes memory
 * itself when it is told to. /proc is the witness. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/environment.h"
#include "base/spawn.h"
#include "fault_world.h"
#include "host/leak.h"
#include "host/memory.h"
#include "pipeline/helpers.h"
#include "pipeline_world.h"

#define MIB(n) ((uint64_t)(n)*CE_MIB)

/* ---- the serving process ---- */

/* Says so by a byte when it is ready, and whenever it has done what a signal asked for. */
static const char program[] = "import os, signal, time\n"
                              "parent, taken = os.getpid(), []\n"
                              "def fork(*_):\n"
                              "    if os.fork() == 0:\n"
                              "        while os.getppid() == parent: time.sleep(0.02)\n"
                              "        os._exit(0)\n"
                              "    os.write(3, b'f')\n"
                              "def take(*_):\n"
                              "    taken.append(b'x' * (64 << 20))\n"
                              "    os.write(3, b't')\n"
                              "signal.signal(signal.SIGUSR1, fork)\n"
                              "signal.signal(signal.SIGUSR2, take)\n"
                              "os.write(3, b'r')\n"
                              "while True: signal.pause()\n";

struct lab {
    char folder[64];
    struct ce_process_id process;
    int done; /* where it says so */
    struct ce_target target;
    struct ce_injection injection;
};

static int serving_process(void *pipeline, struct ce_process_id *ret_id, struct ce_error *err)
{
    const struct lab *lab = pipeline;
    *ret_id = lab->process;
    return 0;
}

static bool await_done(const struct lab *lab)
{
    char byte;
    struct pollfd wait = {.fd = lab->done, .events = POLLIN};
    return poll(&wait, 1, 20000) == 1 && read(lab->done, &byte, 1) == 1;
}

static int spawn_server(struct lab *lab, bool helped, struct ce_error *err)
{
    static const char *const argv[] = {"/usr/bin/python3", "-c", program, NULL};
    CE_CLEANUP(ce_helpers_done) struct ce_helpers helper = {.count = 0};
    int ends[2], gate;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return ce_fail(err, errno, "pipe");
    lab->done = ends[0];
    ce_autofd int its = ends[1];
    if (helped)
        CE_TRY(ce_helpers_init(CE_HELPER_LEAK, "LD_PRELOAD", getenv("LD_PRELOAD"), lab->folder,
                               &helper, err));
    ce_autofree const char **env =
        ce_environment_with((const char *const *)helper.variables, helped ? 2 : 0);
    struct ce_spawn spawn = {
        .argv = argv, .env = env, .fds = {{its, 3}}, .fd_count = 1, .parent_death_signal = SIGKILL};
    CE_TRY(ce_spawn(&spawn, &lab->process, &gate, err));
    CE_TRY(ce_spawn_go(gate, err));
    return await_done(lab) ? 0 : ce_fail(err, ETIMEDOUT, "the server does not begin");
}

static int lab_open(struct lab *lab, bool helped, struct ce_error *err)
{
    find_program();
    *lab = (struct lab){.folder = "/tmp/ce-leak-XXXXXX", .done = -1};
    if (!mkdtemp(lab->folder))
        return ce_fail(err, errno, "mkdtemp");
    lab->target = (struct ce_target){.name = "test target",
                                     .run_folder = lab->folder,
                                     .pipeline = lab,
                                     .serving_process = serving_process};
    return spawn_server(lab, helped, err);
}

static void lab_close(struct lab *lab)
{
    injection_forget(&lab->injection);
    if (lab->process.pid > 0)
        (void)ce_process_end(&lab->process, patience, NULL);
    if (lab->done >= 0)
        (void)close(lab->done);
    (void)ce_tree_remove(lab->folder, NULL);
}
#define LAB(name, err)                                                                             \
    CE_CLEANUP(lab_close) struct lab name;                                                         \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(lab_open(&name, true, &err), err)

/* ---- the fault ---- */

static int inject(struct lab *lab, const char *const *assignments, struct ce_error *err)
{
    CE_TRY(injection_arm(&lab->injection, &lab->target, NULL, "memory_leak", assignments, err));
    return lab->injection.fault->inject(&lab->injection, err);
}
#define INJECT(lab, err, ...)                                                                      \
    inject(lab, (const char *const[]){"floor_mb=0", __VA_ARGS__, NULL}, err)

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
    struct ce_fault_counts counts = injection_counts(&lab->injection);
    CHECK(counts.changed <= counts.selected && counts.selected <= counts.eligible);
    REQUIRE_OK(injection_revert(&lab->injection, &err), err);
    REQUIRE_OK(lab->injection.fault->verify_undo(&lab->injection, &err), err);
}

/* ---- the witness ---- */

static uint64_t resident(const struct ce_process_id *process)
{
    return ce_process_status_bytes(process, "VmRSS");
}

static uint64_t held(const struct ce_process_id *process)
{
    uint64_t bytes = 0;
    struct ce_error err = {0};
    if (ce_leak_held(process, &bytes, &err) < 0)
        printf("# %s\n", err.message);
    return bytes;
}

/* Nothing more is taken during a few of the helper's ticks. */
static bool stands_still(const struct ce_process_id *process)
{
    uint64_t before = held(process);
    int64_t until = ce_now() + CE_SECOND / 2;
    while (held(process) == before && ce_now() < until)
        (void)poll(NULL, 0, 20);
    return held(process) == before;
}

/* ---- leaking, and giving back ---- */

static void memory_is_leaked_at_the_rate_and_given_back(void)
{
    LAB(lab, err);
    uint64_t before = resident(&lab.process);
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=64", "limit_mb=512"), err);
    int64_t begun = ce_now();
    CHECK(verify(&lab, &err) == 1);
    CHECK(EVENTUALLY(resident(&lab.process) > before + MIB(48)));
    /* It never leaks faster than it should. */
    double passed = (double)(ce_now() - begun) / (double)CE_SECOND;
    CHECK((double)held(&lab.process) <= (passed + 0.5) * (double)MIB(64));
    CHECK(passed > 0.6);
    struct ce_fault_counts counts = injection_counts(&lab.injection);
    CHECK(counts.eligible == 1 && counts.selected == 1 && counts.changed == 1);
    check_undone(&lab);
    CHECK(held(&lab.process) == 0);
    CHECK(EVENTUALLY(resident(&lab.process) < before + MIB(4)));
}

static void the_leak_stops_at_its_limit(void)
{
    LAB(lab, err);
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=1000", "limit_mb=24"), err);
    CHECK(verify(&lab, &err) == 1);
    CHECK(EVENTUALLY(held(&lab.process) == MIB(24)));
    CHECK(stands_still(&lab.process));
    check_undone(&lab);
}

static void nothing_leaks_below_the_floor(void)
{
    LAB(lab, err);
    CHECK(INJECT(&lab, &err, "leak_rate_mb=10", "floor_mb=16777216") == -ENODATA);
    CHECK(strstr(err.message, "nothing may leak: ") &&
          strstr(err.message, "floor_mb is 1.67772e+07"));
    check_undone(&lab);

    /* The process itself sees to it, too: others may take memory meanwhile. */
    ce_autofd int leak = ce_leak_open(lab.folder, &lab.process, &err);
    REQUIRE_OK(leak, err);
    struct ce_leak_order order = {MIB(1000), MIB(24), UINT64_MAX};
    REQUIRE_OK(ce_leak_set(leak, &order, &err), err);
    CHECK(stands_still(&lab.process) && held(&lab.process) == 0);
    order.floor = 0;
    REQUIRE_OK(ce_leak_set(leak, &order, &err), err);
    CHECK(EVENTUALLY(held(&lab.process) == MIB(24)));
}

static void the_last_of_several_orders_holds(void)
{
    LAB(lab, err);
    ce_autofd int leak = ce_leak_open(lab.folder, &lab.process, &err);
    REQUIRE_OK(leak, err);
    REQUIRE(kill(lab.process.pid, SIGSTOP) == 0);
    CHECK(EVENTUALLY(ce_process_state(&lab.process) == 'T'));
    for (int i = 0; i < 500; i++)
        REQUIRE_OK(ce_leak_set(leak, &(struct ce_leak_order){MIB(9000), MIB(64), 0}, &err), err);
    REQUIRE_OK(ce_leak_set(leak, &(struct ce_leak_order){MIB(1), MIB(8), 0}, &err), err);
    REQUIRE(kill(lab.process.pid, SIGCONT) == 0);
    CHECK(EVENTUALLY(held(&lab.process) > 0));
    CHECK(held(&lab.process) < MIB(4));
}

static void the_rate_follows_the_intensity(void)
{
    LAB(lab, err);
    const struct ce_fault *fault = ce_fault_find("memory_leak");
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=32"), err);
    CHECK(verify(&lab, &err) == 1);
    REQUIRE_OK(fault->adjust(&lab.injection, 0, &err), err);
    CHECK(EVENTUALLY(stands_still(&lab.process)));
    uint64_t before = held(&lab.process);
    int64_t begun = ce_now();
    REQUIRE_OK(fault->adjust(&lab.injection, 0.25, &err), err);
    CHECK(EVENTUALLY(held(&lab.process) >= before + MIB(4)));
    /* A quarter of the rate: 4 MiB take half a second. */
    CHECK(ce_now() - begun > 400 * CE_MILLISECOND);
    check_undone(&lab);
}

static void a_slow_leak_is_waited_for(void)
{
    LAB(lab, err);
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=0.1"), err);
    CHECK(verify(&lab, &err) == 1);
    CHECK(held(&lab.process) > 0 && held(&lab.process) < MIB(1));
    check_undone(&lab);
}

static void a_second_leak_may_follow_at_once(void)
{
    LAB(lab, err);
    for (int i = 0; i < 3; i++) {
        REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=200", "limit_mb=32"), err);
        CHECK(verify(&lab, &err) == 1);
        check_undone(&lab);
        injection_forget(&lab.injection);
    }
    CHECK(held(&lab.process) == 0);
}

/* ---- who dies, and who is born ---- */

/* Leaks, says so, and waits for its end. */
static void controller(const struct lab *lab, int ready)
{
    int leak = ce_leak_open(lab->folder, &lab->process, NULL);
    if (leak < 0 || ce_leak_set(leak, &(struct ce_leak_order){MIB(500), MIB(48), 0}, NULL) < 0)
        _exit(1);
    (void)ce_write_all(ready, "r", 1);
    for (;;)
        (void)pause();
}

static void a_killed_controller_leaves_nothing(void)
{
    LAB(lab, err);
    int ready[2];
    char byte;
    uint64_t before = resident(&lab.process);
    REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        controller(&lab, ready[1]);
    (void)close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK(EVENTUALLY(held(&lab.process) == MIB(48)));
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    CHECK(EVENTUALLY(held(&lab.process) == 0));
    CHECK(EVENTUALLY(resident(&lab.process) < before + MIB(4)));
    (void)close(ready[0]);
}

static void a_process_that_ends_meanwhile_is_no_harm(void)
{
    LAB(lab, err);
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=64"), err);
    CHECK(verify(&lab, &err) == 1);
    ce_autofd int leak = ce_leak_open(lab.folder, &lab.process, &err);
    REQUIRE_OK(ce_process_end(&lab.process, patience, &err), err);
    CHECK(verify(&lab, &err) == 0);
    /* No signal ends us for writing to nobody. */
    CHECK(ce_leak_set(leak, &(struct ce_leak_order){1, 1, 0}, &err) == -ESRCH);
    REQUIRE_OK(lab.injection.fault->adjust(&lab.injection, 0.5, &err), err);
    check_undone(&lab);
    CHECK(ce_leak_open(lab.folder, &lab.process, &err) == -ENOTSUP);
}

static pid_t child_of(pid_t pid)
{
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    ce_autofile FILE *file = fopen(path, "re");
    return file && fscanf(file, "%d", &child) == 1 ? child : 0;
}

static void children_get_no_copy_and_leak_by_themselves(void)
{
    LAB(lab, err);
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=1000", "limit_mb=48"), err);
    CHECK(EVENTUALLY(held(&lab.process) == MIB(48)));
    REQUIRE(kill(lab.process.pid, SIGUSR1) == 0 && await_done(&lab));
    struct ce_process_id child;
    REQUIRE(ce_process_identify(child_of(lab.process.pid), &child) == 0);
    CHECK(held(&child) == 0);
    CHECK(resident(&child) + MIB(40) < resident(&lab.process));

    int leak;
    CHECK(EVENTUALLY((leak = ce_leak_open(lab.folder, &child, &err)) >= 0));
    REQUIRE_OK(ce_leak_set(leak, &(struct ce_leak_order){MIB(500), MIB(16), 0}, &err), err);
    CHECK(EVENTUALLY(held(&child) == MIB(16)));
    CHECK(held(&lab.process) == MIB(48));
    (void)close(leak);
    CHECK(EVENTUALLY(held(&child) == 0));
    check_undone(&lab);
}

/* ---- what is no leak ---- */

static void what_the_process_takes_itself_is_no_leak(void)
{
#ifdef CE_SEAMS
    LAB(lab, err);
    setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
    CHECK(INJECT(&lab, &err, "leak_rate_mb=10") == 0);
    unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
    uint64_t before = resident(&lab.process);
    REQUIRE(kill(lab.process.pid, SIGUSR2) == 0 && await_done(&lab));
    CHECK(resident(&lab.process) >= before + MIB(60));
    CHECK(verify(&lab, &err) == 0);
    CHECK(injection_counts(&lab.injection).changed == 0);
    check_undone(&lab);
#else
    SKIP("this build has no seams");
#endif
}

static void what_the_process_took_meanwhile_is_not_asked_back(void)
{
    LAB(lab, err);
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=200", "limit_mb=8"), err);
    CHECK(verify(&lab, &err) == 1);
    REQUIRE(kill(lab.process.pid, SIGUSR2) == 0 && await_done(&lab));
    check_undone(&lab);
}

static void no_rate_is_a_control_run(void)
{
    LAB(lab, err);
    REQUIRE_OK(INJECT(&lab, &err, "leak_rate_mb=0"), err);
    CHECK(lab.injection.fault->is_control(lab.injection.params));
    CHECK(stands_still(&lab.process) && held(&lab.process) == 0);
    check_undone(&lab);
}

/* ---- the helper cannot be had ---- */

static void a_process_without_the_helper_is_refused(void)
{
    CE_CLEANUP(lab_close) struct lab lab;
    struct ce_error err = {0};
    char want[256];
    REQUIRE_OK(lab_open(&lab, false, &err), err);
    CHECK(INJECT(&lab, &err, "leak_rate_mb=10") == -ENOTSUP);
    snprintf(
        want, sizeof want,
        "process %d has not loaded the helper that leaks: its program is linked statically, or "
        "something drops LD_PRELOAD",
        (int)lab.process.pid);
    CHECK_TEXT(err.message, want);
    check_undone(&lab);
}

static void a_folder_whose_path_is_too_long_is_said(void)
{
    LAB(lab, err);
    char folder[5000];
    memset(folder, 'a', sizeof folder - 1);
    folder[0] = '/';
    folder[sizeof folder - 1] = '\0';
    CHECK(ce_leak_open(folder, &lab.process, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "cannot be reached: File name too long"));
}

static void a_path_that_LD_PRELOAD_cannot_name_is_refused(void)
{
    char folder[] = "/tmp/ce leak-XXXXXX", text[512];
    find_program();
    ce_autofree char *before = strdup(getenv("CHAOSEATER_LIBEXEC"));
    REQUIRE(ce_helpers_available(CE_HELPER_LEAK, text, sizeof text));
    REQUIRE(mkdtemp(folder));
    ce_autofree char *copy = ce_format("%s/libchaoseater-leak.so", folder);
    REQUIRE(ce_file_replace(copy, "x", 1, NULL) == 0);
    setenv("CHAOSEATER_LIBEXEC", folder, 1);
    CHECK(!ce_helpers_available(CE_HELPER_LEAK, text, sizeof text));
    CHECK(strncmp(text, "LD_PRELOAD cannot name '/tmp/ce leak-", 37) == 0);
    (void)unlink(copy);
    CHECK(!ce_helpers_available(CE_HELPER_LEAK, text, sizeof text));
    CHECK(strstr(text, "libchaoseater-leak.so is not in there"));
    setenv("CHAOSEATER_LIBEXEC", before, 1);
    (void)rmdir(folder);
}

static void other_libraries_are_loaded_too(void)
{
    find_program();
    CE_CLEANUP(ce_helpers_done) struct ce_helpers helper = {.count = 0};
    struct ce_error err = {0};
    char library[512], want[600];
    REQUIRE(ce_helpers_available(CE_HELPER_LEAK, library, sizeof library));
    REQUIRE_OK(
        ce_helpers_init(CE_HELPER_LEAK, "X", "libm.so.6 libz.so", "/tmp/../tmp", &helper, &err),
        err);
    snprintf(want, sizeof want, "X=%s:libm.so.6 libz.so", library);
    CHECK_TEXT(helper.variables[0], want);
    CHECK_TEXT(helper.variables[1], "CHAOSEATER_HELPERS=/tmp");
    CHECK(ce_helpers_init(CE_HELPER_LEAK, "X", NULL, "/no/such", &helper, &err) == -ENOENT);
}

int main(void)
{
    TEST(memory_is_leaked_at_the_rate_and_given_back);
    TEST(the_leak_stops_at_its_limit);
    TEST(nothing_leaks_below_the_floor);
    TEST(the_last_of_several_orders_holds);
    TEST(the_rate_follows_the_intensity);
    TEST(a_slow_leak_is_waited_for);
    TEST(a_second_leak_may_follow_at_once);
    TEST(a_killed_controller_leaves_nothing);
    TEST(a_process_that_ends_meanwhile_is_no_harm);
    TEST(children_get_no_copy_and_leak_by_themselves);
    TEST(what_the_process_takes_itself_is_no_leak);
    TEST(what_the_process_took_meanwhile_is_not_asked_back);
    TEST(no_rate_is_a_control_run);
    TEST(a_process_without_the_helper_is_refused);
    TEST(a_folder_whose_path_is_too_long_is_said);
    TEST(a_path_that_LD_PRELOAD_cannot_name_is_refused);
    TEST(other_libraries_are_loaded_too);
    return test_done();
}
