/* SPDX-License-Identifier: MIT */
/* Helpers inside a process that has loaded them: a Python program that says what an expression is
 * worth, while this test gives the orders. */
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/environment.h"
#include "base/spawn.h"
#include "host/cuda.h"
#include "host/helper_page.h"
#include "pipeline/beside.h"
#include "pipeline/helpers.h"
#include "pipeline_world.h"
#include "python.h"

static const struct ce_undo_op *const undo_ops[] = {&ce_undo_disarm_helpers, NULL};

#define HOUR (3600 * CE_SECOND)

/* ---- the process ---- */

static const char program[] =
    "import ctypes, struct, sys, threading, time\n"
    "from ctypes import byref, c_int, c_long, c_uint64, c_void_p\n"
    "libc = ctypes.CDLL(None)\n"
    "number = c_int(-5)\n"
    "def spec(s): return (c_long * 2)(int(s), int(s % 1 * 1e9))\n"
    "def at(clock): return time.clock_gettime(clock)\n"
    "def until(clock, when):\n"
    "    if libc.clock_nanosleep(clock, 1, spec(when), None): return 'failed'\n"
    "def timer(clock, when):\n"
    "    fd = libc.timerfd_create(clock, 0)\n"
    "    libc.timerfd_settime(fd, 1, (c_long * 4)(0, 0, *spec(when)), None)\n"
    "    import os; os.read(fd, 8); os.close(fd)\n"
    /* How long it takes by a clock that nobody skews, in hundredths. */
    "def took(f):\n"
    "    up = lambda: float(open('/proc/uptime').read().split()[0])\n"
    "    before = up(); f(); return int((up() - before) * 100 + 0.5)\n"
    "def condition(s):\n"
    "    c = threading.Condition()\n"
    "    with c: c.wait(s)\n"
    "def sleep(s):\n"
    "    import asyncio; asyncio.run(asyncio.sleep(s))\n" PYTHON_ANSWERS;

struct lab {
    char folder[64];
    char *state;
    struct ce_journal *journal;
    struct ce_helper_control *control;
    struct python python;
};

static const char *ask(struct lab *lab, const char *expression)
{
    return python_ask(&lab->python, expression);
}

static int start_process(struct lab *lab, unsigned which, const char *others, struct ce_error *err)
{
    static const char *const argv[] = {"/usr/bin/python3", "-c", program, NULL};
    CE_CLEANUP(ce_helpers_done) struct ce_helpers helpers = {.count = 0};
    ce_autofd int its_in = -1;
    ce_autofd int its_out = -1;
    int gate;
    CE_TRY(python_pipes(&lab->python, &its_in, &its_out, err));
    CE_TRY(ce_helpers_init(which, "LD_PRELOAD", others, lab->folder, &helpers, err));
    ce_autofree const char **env =
        ce_environment_with((const char *const *)helpers.variables, helpers.count);
    struct ce_spawn spawn = {.argv = argv,
                             .env = env,
                             .fds = {{its_in, 0}, {its_out, 1}},
                             .fd_count = 2,
                             .parent_death_signal = SIGKILL};
    CE_TRY(ce_spawn(&spawn, &lab->python.process, &gate, err));
    CE_TRY(ce_spawn_go(gate, err));
    CE_TRY(python_await(&lab->python, err));
    return ce_helper_control_open(lab->folder, &lab->control, err);
}

static int lab_open(struct lab *lab, unsigned which, const char *others, struct ce_error *err)
{
    find_program();
    *lab = (struct lab){.folder = "/tmp/ce-helpers-XXXXXX", .python.to = -1};
    if (!mkdtemp(lab->folder))
        return ce_fail(err, errno, "mkdtemp");
    lab->state = ce_format("%s/state", lab->folder);
    CE_TRY(ce_journal_create(lab->state, "test", undo_ops, &lab->journal, err));
    if (which)
        return start_process(lab, which, others, err);
    CE_TRY(ce_helper_page_make(lab->folder, err));
    return ce_helper_control_open(lab->folder, &lab->control, err);
}

static void lab_close(struct lab *lab)
{
    python_end(&lab->python, patience);
    ce_helper_control_close(lab->control);
    ce_journal_close(lab->journal);
    free(lab->state);
    (void)ce_tree_remove(lab->folder, NULL);
}
#define LAB(name, err, which, others)                                                              \
    CE_CLEANUP(lab_close) struct lab name;                                                         \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(lab_open(&name, which, others, &err), err)

static int arm_clock(struct lab *lab, unsigned clocks, int64_t offset, double drift, int *ret_note,
                     struct ce_error *err)
{
    struct ce_clock_skew skew = {
        .clocks = clocks, .offset = offset, .drift = (int64_t)(drift * 1e9), .begun = ce_now()};
    return ce_helper_arm_clock(lab->control, lab->journal, &skew, ret_note, err);
}

/* What the process's clock is ahead of ours by, in seconds. */
static double ahead(struct lab *lab, clockid_t id, const char *expression)
{
    struct timespec now;
    double its = strtod(ask(lab, expression), NULL);
    (void)clock_gettime(id, &now);
    return its - (double)now.tv_sec - (double)now.tv_nsec / 1e9;
}

static bool is_about(double value, double wanted)
{
    return value > wanted - 5 && value < wanted + 5;
}

/* Hundredths of a second: no earlier, and long before anything that hangs. */
static bool took_about(struct lab *lab, const char *expression, int least)
{
    int took = atoi(ask(lab, expression));
    if (took >= least && took < 1000)
        return true;
    printf("# %s: %d, %s\n", expression, took, lab->python.answer);
    return false;
}

/* ---- the driver ---- */

static void load_driver(struct lab *lab)
{
    ce_autofree char *path = NULL;
    char line[700];
    if (ce_beside_find(CE_STAND_IN_LIBRARY, &path, NULL) < 0)
        exit(99);
    snprintf(line, sizeof line, "d = ctypes.CDLL('%s')", path);
    (void)ask(lab, line);
    (void)ask(lab, "address = c_uint64()");
}

static const char *const calls =
    "[d.cuInit(0), d.cuDeviceGetCount(byref(number)), d.nvmlInit_v2(), "
    "d.cuMemAlloc_v2(byref(address), 64)]";

static void the_driver_answers_as_the_mode_says(void)
{
    static const struct {
        enum ce_gpu_mode mode;
        const char *answers;
    } cases[] = {
        {CE_GPU_NO_DEVICE, "[100, 100, 9, 100]"},
        {CE_GPU_OUT_OF_MEMORY, "[0, 0, 0, 2]"},
        {CE_GPU_LOST, "[214, 214, 15, 214]"},
    };
    LAB(lab, err, CE_HELPER_GPU, NULL);
    load_driver(&lab);
    CHECK_TEXT(ask(&lab, calls), "[0, 0, 0, 0]");
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        int note = 0;
        REQUIRE_OK(ce_helper_arm_gpu(lab.control, lab.journal, cases[i].mode, &note, &err), err);
        CHECK_TEXT(ask(&lab, calls), cases[i].answers);
        REQUIRE_OK(ce_undo_now(lab.journal, note, &err), err);
        CHECK_TEXT(ask(&lab, calls), "[0, 0, 0, 0]");
    }
    CHECK(ce_helper_control_page(lab.control)->gpu_refused == 9);
}

static void what_was_asked_for_before_is_gone_too(void)
{
    LAB(lab, err, CE_HELPER_GPU, NULL);
    load_driver(&lab);
    (void)ask(&lab, "f = c_void_p()");
    CHECK_TEXT(
        ask(&lab, "d.cuGetProcAddress_v2(b'cuMemAlloc', byref(f), 12000, c_uint64(0), None)"), "0");
    (void)ask(&lab, "g = ctypes.CFUNCTYPE(c_int, c_void_p, ctypes.c_size_t)(f.value)");
    CHECK_TEXT(ask(&lab, "g(ctypes.addressof(address), 64)"), "0");
    /* And who is given out by it gives out doors again. */
    (void)ask(&lab,
              "d.cuGetProcAddress_v2(b'cuGetProcAddress', byref(f), 12000, c_uint64(0), None)");
    (void)ask(&lab, "h = ctypes.CFUNCTYPE(c_int, ctypes.c_char_p, c_void_p, c_int, c_uint64, "
                    "c_void_p)(f.value)");
    CHECK_TEXT(ask(&lab, "h(b'cuInit', ctypes.addressof(f), 12000, 0, None)"), "0");
    (void)ask(&lab, "i = ctypes.CFUNCTYPE(c_int, c_int)(f.value)");
    int note = 0;
    REQUIRE_OK(ce_helper_arm_gpu(lab.control, lab.journal, CE_GPU_LOST, &note, &err), err);
    CHECK_TEXT(ask(&lab, "[g(ctypes.addressof(address), 64), i(0)]"), "[214, 214]");
    CHECK_TEXT(ask(&lab, "d.cuMemFree_v2(address)"), "0"); /* or it would be lost for ever */
}

static void other_libraries_with_such_names_are_left_alone(void)
{
    LAB(lab, err, CE_HELPER_GPU, NULL);
    ce_autofree char *path = NULL;
    ce_autofree char *copy = ce_format("%s/libother.so", lab.folder);
    ce_autofree char *line = ce_format("d = ctypes.CDLL('%s')", copy);
    REQUIRE_OK(ce_beside_find(CE_STAND_IN_LIBRARY, &path, &err), err);
    REQUIRE_OK(ce_file_copy(path, copy, &err), err);
    (void)ask(&lab, line);
    int note = 0;
    REQUIRE_OK(ce_helper_arm_gpu(lab.control, lab.journal, CE_GPU_NO_DEVICE, &note, &err), err);
    CHECK_TEXT(ask(&lab, "d.cuInit(0)"), "0");
}

static void a_program_without_the_driver_does_not_find_one(void)
{
    LAB(lab, err, CE_HELPER_GPU, NULL);
    CHECK_TEXT(ask(&lab, "hasattr(libc, 'cuInit')"), "False");
    CHECK_TEXT(ask(&lab, "hasattr(libc, 'getpid')"), "True");
}

static void what_is_next_is_next_for_who_asks(void)
{
    char self[PATH_MAX] = "";
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    ce_autofree char *library = ce_format("%s/libnext_library.so", dirname(self));
    LAB(lab, err, CE_HELPER_GPU | CE_HELPER_CLOCK, library);
    char want[16];
    snprintf(want, sizeof want, "%d", (int)getpid() + 1);
    CHECK_TEXT(ask(&lab, "libc.getppid()"), want);
}

/* ---- the clocks ---- */

#define REALTIME  "at(time.CLOCK_REALTIME)"
#define MONOTONIC "at(time.CLOCK_MONOTONIC)"

static void clocks_are_off_as_long_as_they_are_to_be(void)
{
    LAB(lab, err, CE_HELPER_CLOCK, NULL);
    int note = 0;
    CHECK(is_about(ahead(&lab, CLOCK_REALTIME, REALTIME), 0));
    REQUIRE_OK(arm_clock(&lab, CE_CLOCK_REALTIME, -2 * HOUR, 0, &note, &err), err);
    CHECK(is_about(ahead(&lab, CLOCK_REALTIME, REALTIME), -7200));
    CHECK(is_about(ahead(&lab, CLOCK_REALTIME, "libc.time(None)"), -7200));
    CHECK(is_about(ahead(&lab, CLOCK_MONOTONIC, MONOTONIC), 0));
    struct ce_clock_skew half = {
        .clocks = CE_CLOCK_REALTIME | CE_CLOCK_MONOTONIC, .offset = HOUR, .begun = ce_now()};
    for (int i = 0; i < 9; i++) /* more often than there is room for orders */
        ce_helper_set_clock(lab.control, &half);
    CHECK(is_about(ahead(&lab, CLOCK_REALTIME, REALTIME), 3600));
    CHECK(is_about(ahead(&lab, CLOCK_MONOTONIC, MONOTONIC), 3600));
    CHECK(is_about(ahead(&lab, CLOCK_BOOTTIME, "at(time.CLOCK_BOOTTIME)"), 3600));
    CHECK(is_about(ahead(&lab, CLOCK_TAI, "at(time.CLOCK_TAI)"), 3600));
    CHECK(strtod(ask(&lab, "at(time.CLOCK_PROCESS_CPUTIME_ID)"), NULL) < 60);
    REQUIRE_OK(ce_undo_now(lab.journal, note, &err), err);
    CHECK(is_about(ahead(&lab, CLOCK_REALTIME, REALTIME), 0));
    CHECK(is_about(ahead(&lab, CLOCK_MONOTONIC, MONOTONIC), 0));
}

static void a_drift_grows(void)
{
    LAB(lab, err, CE_HELPER_CLOCK, NULL);
    int note = 0;
    struct ce_clock_skew skew = {.clocks = CE_CLOCK_REALTIME,
                                 .offset = 100 * CE_SECOND,
                                 .drift = CE_SECOND / 2,
                                 .begun = ce_now() - 400 * CE_SECOND};
    REQUIRE_OK(ce_helper_arm_clock(lab.control, lab.journal, &skew, &note, &err), err);
    CHECK(is_about(ahead(&lab, CLOCK_REALTIME, REALTIME), 300));
    /* 30 of its hundredths are 20 of ours. */
    CHECK(took_about(&lab, "took(lambda: until(0, time.time() + 0.3))", 17));
}

static void waits_are_as_long_as_ever(void)
{
    static const int64_t offsets[] = {HOUR, -HOUR / 60};
    LAB(lab, err, CE_HELPER_CLOCK, NULL);
    for (size_t i = 0; i < CE_COUNT(offsets); i++) {
        int note = 0;
        REQUIRE_OK(
            arm_clock(&lab, CE_CLOCK_REALTIME | CE_CLOCK_MONOTONIC, offsets[i], 0, &note, &err),
            err);
        CHECK(took_about(&lab, "took(lambda: until(0, " REALTIME " + 0.2))", 18));
        CHECK(took_about(&lab, "took(lambda: until(1, " MONOTONIC " + 0.2))", 18));
        CHECK(took_about(&lab, "took(lambda: timer(0, " REALTIME " + 0.2))", 18));
        CHECK(took_about(&lab, "took(lambda: timer(1, " MONOTONIC " + 0.2))", 18));
        CHECK(took_about(&lab, "took(lambda: condition(0.2))", 18));
        CHECK(took_about(&lab, "took(lambda: threading.Event().wait(0.2))", 18));
        CHECK(took_about(&lab, "took(lambda: sleep(0.2))", 18));
        CHECK(took_about(&lab, "took(lambda: time.sleep(0.2))", 18));
        CHECK(strtod(ask(&lab, "time.process_time()"), NULL) < 10); /* nor does it spin */
        REQUIRE_OK(ce_undo_now(lab.journal, note, &err), err);
    }
}

/* A time was read, and then the skew came, or went, and then it was waited. */
static void a_skew_between_reading_and_waiting_is_no_harm(void)
{
    static const char *const clocks[] = {"0", "1"};
    LAB(lab, err, CE_HELPER_CLOCK, NULL);
    for (size_t i = 0; i < CE_COUNT(clocks); i++) {
        int note = 0;
        char read[64], wait[64];
        snprintf(read, sizeof read, "t = at(%s) + 0.3", clocks[i]);
        snprintf(wait, sizeof wait, "took(lambda: until(%s, t))", clocks[i]);
        (void)ask(&lab, read);
        REQUIRE_OK(arm_clock(&lab, CE_CLOCK_REALTIME | CE_CLOCK_MONOTONIC, HOUR, 0, &note, &err),
                   err);
        CHECK(took_about(&lab, wait, 5));
        (void)ask(&lab, read);
        REQUIRE_OK(ce_undo_now(lab.journal, note, &err), err);
        CHECK(took_about(&lab, wait, 5));
    }
}

/* ---- orders ---- */

static void two_faults_do_not_share_a_helper(void)
{
    LAB(lab, err, 0, NULL);
    int first = 0, second = 0, other = 0;
    REQUIRE_OK(ce_helper_arm_gpu(lab.control, lab.journal, CE_GPU_LOST, &first, &err), err);
    CHECK(ce_helper_arm_gpu(lab.control, lab.journal, CE_GPU_LOST, &second, &err) == -EBUSY);
    CHECK(second == 0);
    REQUIRE_OK(arm_clock(&lab, CE_CLOCK_REALTIME, HOUR, 0, &other, &err), err);
    REQUIRE_OK(ce_undo_now(lab.journal, first, &err), err);
    const struct ce_helper_page *page = ce_helper_control_page(lab.control);
    CHECK(page->gpu == 0 && page->clock != 0);
    REQUIRE_OK(ce_undo_all(lab.journal, NULL, &err), err);
    CHECK(page->clock == 0);
}

static int disarm(const struct lab *lab, const char *what, struct ce_error *err)
{
    struct stat st;
    ce_autofree char *path = ce_format("%s/" CE_HELPER_PAGE, lab->folder);
    if (stat(path, &st) < 0)
        st = (struct stat){.st_dev = 0};
    ce_autojson json_t *args =
        json_pack("{s:s, s:I, s:I, s:s}", "path", path, "dev", (json_int_t)st.st_dev, "ino",
                  (json_int_t)st.st_ino, "what", what);
    return ce_undo_disarm_helpers.undo(args, err);
}

static void disarming_knows_the_page_and_needs_none(void)
{
    LAB(lab, err, 0, NULL);
    ce_autofree char *path = ce_format("%s/" CE_HELPER_PAGE, lab.folder);
    ce_autofree char *other = ce_format("%s/other", lab.folder);
    int note = 0;
    REQUIRE_OK(ce_helper_arm_gpu(lab.control, lab.journal, CE_GPU_LOST, &note, &err), err);
    CHECK(disarm(&lab, "gpu", &err) == 0);
    CHECK(ce_helper_control_page(lab.control)->gpu == 0);
    CHECK(disarm(&lab, "gpu", &err) == 0);
    CHECK(disarm(&lab, "toaster", &err) == -EINVAL);
    CHECK(rename(path, other) == 0);
    CHECK(disarm(&lab, "gpu", &err) == 0);
    REQUIRE_OK(ce_helper_page_make(lab.folder, &err), err);
    CHECK(ce_undo_now(lab.journal, note, &err) == 0); /* somebody else's by now: left alone */
    CHECK(unlink(path) == 0 && ce_file_copy("/dev/null", path, &err) == 0);
    CHECK(disarm(&lab, "gpu", &err) == CE_UNDO_FOREIGN);
}

static int armed_run(const char *folder, const char *state)
{
    struct ce_error err = {0};
    struct ce_journal *journal;
    struct ce_helper_control *control;
    struct ce_clock_skew skew = {.clocks = CE_CLOCK_REALTIME, .offset = HOUR};
    int gpu = 0, clock = 0;
    CE_TRY(ce_journal_create(state, "crash", undo_ops, &journal, &err));
    CE_TRY(ce_helper_control_open(folder, &control, &err));
    CE_TRY(ce_helper_arm_gpu(control, journal, CE_GPU_LOST, &gpu, &err));
    CE_TRY(ce_helper_arm_clock(control, journal, &skew, &clock, &err));
    CE_TRY(ce_undo_now(journal, gpu, &err));
    CE_TRY(ce_undo_all(journal, NULL, &err));
    ce_helper_control_close(control);
    ce_journal_close(journal);
    return 0;
}

static void a_crash_at_any_step_leaves_nothing_armed(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    LAB(lab, err, 0, NULL);
    const struct ce_helper_page *page = ce_helper_control_page(lab.control);
    int status = 0, step = 0, armed = 0;
    do {
        char text[16];
        snprintf(text, sizeof text, "%d", ++step);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("CHAOSEATER_SEAM_CRASH", text, 1);
            execl("/proc/self/exe", "test_helpers", lab.folder, lab.state, (char *)NULL);
            _exit(127);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        armed += page->gpu != 0 || page->clock != 0;
        struct ce_recovery counts;
        REQUIRE_OK(ce_journal_recover(lab.state, undo_ops, &counts, &err), err);
        CHECK(counts.failed == 0 && counts.foreign == 0);
        CHECK(page->gpu == 0 && page->clock == 0);
    } while (WIFSIGNALED(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(armed > 2);
}

/* ---- starting with them ---- */

static void several_helpers_are_loaded_in_one_variable(void)
{
    find_program();
    CE_CLEANUP(ce_helpers_done) struct ce_helpers helpers = {.count = 0};
    struct ce_error err = {0};
    char folder[] = "/tmp/ce-helpers-XXXXXX", text[1024];
    REQUIRE(mkdtemp(folder));
    unsigned which = CE_HELPER_GPU | CE_HELPER_CLOCK;
    REQUIRE_OK(ce_helpers_init(which, "X", "libm.so.6", folder, &helpers, &err), err);
    CHECK(helpers.count == 2 && helpers.prefix_count == 0 && !helpers.variables[2]);
    const char *gpu = strstr(helpers.variables[0], "/libchaoseater-gpu.so:/");
    const char *clock = strstr(helpers.variables[0], "/libchaoseater-clock.so:libm.so.6");
    CHECK(strncmp(helpers.variables[0], "X=/", 3) == 0 && gpu && clock && gpu < clock);
    CHECK(ce_helpers_available(which, text, sizeof text));
    CHECK(strstr(text, "libchaoseater-gpu.so, /") && strstr(text, "libchaoseater-clock.so"));
    CHECK(ce_tree_remove(folder, &err) == 0);
}

static void nothing_is_said_where_nothing_is_loaded(void)
{
    CE_CLEANUP(ce_helpers_done) struct ce_helpers helpers = {.count = 7};
    struct ce_error err = {0};
    REQUIRE_OK(ce_helpers_init(0, "X", "libm.so.6", "/no/such", &helpers, &err), err);
    CHECK(helpers.count == 0 && helpers.prefix_count == 0);
}

static void a_prefix_stands_before_the_command(void)
{
    static const char *const prefix[] = {"/door", NULL}, *const none[] = {NULL},
                             *const command[] = {"/bin/sh", "-c", "true", NULL};
    ce_autofree const char **argv = ce_helpers_argv(prefix, command);
    CHECK_TEXT(argv[0], "/door");
    CHECK_TEXT(argv[1], "/bin/sh");
    CHECK_TEXT(argv[3], "true");
    CHECK(!argv[4]);
    ce_autofree const char **plain = ce_helpers_argv(none, command);
    CHECK_TEXT(plain[0], "/bin/sh");
    CHECK(!plain[3]);
}

static void who_has_loaded_what_is_seen_from_outside(void)
{
    LAB(lab, err, CE_HELPER_GPU, NULL);
    CHECK(ce_helper_loaded(&lab.python.process, "libchaoseater-gpu.so"));
    CHECK(!ce_helper_loaded(&lab.python.process, "libchaoseater-clock.so"));
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return armed_run(argv[1], argv[2]) < 0;
    TEST(the_driver_answers_as_the_mode_says);
    TEST(what_was_asked_for_before_is_gone_too);
    TEST(other_libraries_with_such_names_are_left_alone);
    TEST(a_program_without_the_driver_does_not_find_one);
    TEST(what_is_next_is_next_for_who_asks);
    TEST(clocks_are_off_as_long_as_they_are_to_be);
    TEST(a_drift_grows);
    TEST(waits_are_as_long_as_ever);
    TEST(a_skew_between_reading_and_waiting_is_no_harm);
    TEST(two_faults_do_not_share_a_helper);
    TEST(disarming_knows_the_page_and_needs_none);
    TEST(a_crash_at_any_step_leaves_nothing_armed);
    TEST(several_helpers_are_loaded_in_one_variable);
    TEST(nothing_is_said_where_nothing_is_loaded);
    TEST(a_prefix_stands_before_the_command);
    TEST(who_has_loaded_what_is_seen_from_outside);
    return test_done();
}
