/* SPDX-License-Identifier: MIT */
/* The infrastructure faults against a target whose "server" is a child of this process. What they
 * did is witnessed in /proc. */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "controller/controller.h"
#include "faults/fault.h"
#include "files.h"
#include "host/freezer.h"
#include "host/memory.h"
#include "host/process.h"

extern const struct ce_fault ce_fault_node_failure, ce_fault_memory_pressure;

static const int64_t patience = 10 * CE_SECOND;

/* ---- the target ---- */

struct server {
    struct ce_process_id id;
    int started;
};

static int server_start(struct server *server)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (volatile unsigned i = 0;; i++)
            if (i % 100000 == 0)
                (void)poll(NULL, 0, 1);
    }
    server->started++;
    return ce_process_identify(pid, &server->id);
}

static int server_process(void *pipeline, struct ce_process_id *ret_id, struct ce_error *err)
{
    const struct server *server = pipeline;
    if (!ce_process_alive(&server->id))
        return ce_fail(err, ESRCH, "no process serves");
    *ret_id = server->id;
    return 0;
}

static int server_ensure(void *pipeline, struct ce_error *err)
{
    struct server *server = pipeline;
    if (ce_process_alive(&server->id))
        return 0;
    (void)ce_process_reap(&server->id, patience, NULL);
    return server_start(server);
}

/* ---- a run of one fault ---- */

struct run {
    char folder[64], state[80];
    struct server server;
    struct ce_target target;
    struct ce_injection injection;
    struct ce_evidence evidence;
};

/* `settings`: "name=value" texts, NULL-terminated. */
static int run_start(struct run *run, const struct ce_fault *fault, const char *const *settings)
{
    struct ce_error err = {0};
    *run = (struct run){.folder = "/tmp/chaoseater-infra-XXXXXX"};
    if (!mkdtemp(run->folder) || server_start(&run->server) < 0)
        return -EIO;
    snprintf(run->state, sizeof run->state, "%s/state", run->folder);
    run->target = (struct ce_target){
        .name = "test target",
        .pipeline = &run->server,
        .serving_process = server_process,
        .ensure_serving = server_ensure,
    };
    run->injection =
        (struct ce_injection){.fault = fault, .target = &run->target, .duration = CE_SECOND};
    void *params = calloc(1, fault->params_size);
    run->injection.params = params;
    run->injection.state = calloc(1, fault->state_size);
    CE_TRY(ce_params_init(fault->params, params, &err));
    for (; *settings; settings++) {
        ce_autofree char *name = strdup(*settings);
        char *value = strchr(name, '=');
        *value++ = '\0';
        CE_TRY(ce_param_set(ce_param_find(fault->params, name), params, value, &err));
    }
    return ce_journal_create(run->state, "run", ce_undo_ops, &run->injection.journal, &err);
}
#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void run_end(struct run *run)
{
    const struct ce_fault *fault = run->injection.fault;
    void *params = (void *)run->injection.params;
    ce_journal_close(run->injection.journal);
    (void)ce_process_end(&run->server.id, patience, NULL);
    ce_params_done(fault->params, params);
    free(params);
    free(run->injection.state);
    (void)ce_tree_remove(run->folder, NULL);
}
#define RUN(run, fault, ...)                                                                       \
    CE_CLEANUP(run_end) struct run run;                                                            \
    REQUIRE(run_start(&run, &fault, SETTINGS(__VA_ARGS__)) == 0)

static int inject(struct run *run, struct ce_error *err)
{
    return run->injection.fault->inject(&run->injection, err);
}

static int verify(struct run *run, struct ce_error *err)
{
    int r = run->injection.fault->verify(&run->injection, &run->evidence, err);
    if (r >= 0)
        printf("# %s\n", run->evidence.text);
    return r;
}

static void check_reverted(struct run *run)
{
    const struct ce_fault *fault = run->injection.fault;
    struct ce_error err = {0};
    struct ce_fault_counts counts = {0};
    fault->count(&run->injection, &counts);
    CHECK(counts.changed <= counts.selected && counts.selected <= counts.eligible);
    REQUIRE_OK(fault->revert(&run->injection, &err), err);
    REQUIRE_OK(fault->verify_undo(&run->injection, &err), err);
    REQUIRE_OK(fault->revert(&run->injection, &err), err);
    CHECK(ce_undo_live(run->injection.journal) == 0);
}

static bool works(const struct ce_process_id *id)
{
    int64_t before = ce_process_cpu_time(id), until = ce_now() + patience;
    while (ce_process_cpu_time(id) == before && ce_now() < until)
        ce_sleep_until(ce_now() + CE_MILLISECOND);
    return ce_process_cpu_time(id) > before;
}

/* The words of /proc/PID/stat after the name, as a witness that shares no code with the fault:
 * ticks used so far. */
static long ticks(pid_t pid)
{
    char path[40], text[1024] = "";
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    const char *p = n > 0 ? strrchr(text, ')') : NULL;
    if (!p ||
        sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        return -1;
    return (long)(user + kernel);
}

static void a_crash_ends_the_process_and_revert_starts_another(void)
{
    RUN(run, ce_fault_node_failure, "failure_type=crash");
    struct ce_error err = {0};
    struct ce_process_id victim = run.server.id;
    REQUIRE_OK(inject(&run, &err), err);
    CHECK(!ce_process_alive(&victim));
    CHECK(verify(&run, &err) == 1);
    check_reverted(&run);
    CHECK(run.server.started == 2 && works(&run.server.id));
}

static void a_supervisor_that_was_quicker_is_fine(void)
{
    RUN(run, ce_fault_node_failure, "failure_type=crash");
    struct ce_error err = {0};
    REQUIRE_OK(inject(&run, &err), err);
    REQUIRE_OK(server_ensure(&run.server, &err), err);
    CHECK(verify(&run, &err) == 1);
    CHECK(strstr(run.evidence.text, "in its place"));
    check_reverted(&run);
    CHECK(run.server.started == 2);
}

static void check_hang(const char *mechanism)
{
    RUN(run, ce_fault_node_failure, "failure_type=hang", mechanism);
    struct ce_error err = {0};
    AWAIT(ticks(run.server.id.pid) > 1);
    REQUIRE_OK(inject(&run, &err), err);
    CHECK(ce_undo_live(run.injection.journal) == 1);
    long before = ticks(run.server.id.pid);
    CHECK(verify(&run, &err) == 1);
    CHECK(kill(run.server.id.pid, 0) == 0);
    CHECK(before > 0 && ticks(run.server.id.pid) == before);
    check_reverted(&run);
    CHECK(run.server.started == 1 && works(&run.server.id));
}

static void a_hang_stands_still_and_goes_on(void)
{
    check_hang("mechanism=auto");
}

static void a_hang_by_signal_stands_still_and_goes_on(void)
{
    check_hang("mechanism=stop");
}

static void a_hang_by_freezer_stands_still_and_goes_on(void)
{
    char reason[256];
    if (!ce_freezer_available(CE_FREEZER_V2, reason, sizeof reason) &&
        !ce_freezer_available(CE_FREEZER_V1, reason, sizeof reason))
        SKIP("this user may not make control groups");
    check_hang("mechanism=freezer");
}

static void a_hanging_process_that_its_supervisor_replaced_leaves_nothing(void)
{
    RUN(run, ce_fault_node_failure, "failure_type=hang");
    struct ce_error err = {0};
    REQUIRE_OK(inject(&run, &err), err);
    CHECK(verify(&run, &err) == 1);
    CHECK(kill(run.server.id.pid, SIGKILL) == 0);
    /* A version 1 freezer lets it go only when it is thawed, so nobody waits for that here. */
    REQUIRE_OK(server_start(&run.server), err);
    check_reverted(&run);
    CHECK(works(&run.server.id));
}

static void a_hang_that_does_not_take_effect_is_seen(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    static const char *const types[] = {"failure_type=crash", "failure_type=hang"};
    for (size_t i = 0; i < CE_COUNT(types); i++) {
        RUN(run, ce_fault_node_failure, types[i]);
        struct ce_error err = {0};
        setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
        CHECK(inject(&run, &err) == 0);
        CHECK(verify(&run, &err) == 0);
        unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
        check_reverted(&run);
        CHECK(run.server.started == 1);
    }
}

static void recover_frees_a_hanging_process(void)
{
    RUN(run, ce_fault_node_failure, "failure_type=hang");
    struct ce_error err = {0};
    ce_journal_close(ce_take(run.injection.journal));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (ce_journal_create(run.state, "child", ce_undo_ops, &run.injection.journal, &err) < 0 ||
            inject(&run, &err) < 0)
            _exit(1);
        (void)kill(getpid(), SIGKILL);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    struct ce_recovery counts;
    REQUIRE_OK(ce_journal_recover(run.state, ce_undo_ops, &counts, &err), err);
    CHECK(counts.undone == 1 && counts.failed == 0 && counts.foreign == 0);
    CHECK(works(&run.server.id));
}

static void what_cannot_be_hit_is_refused_with_the_names_that_can(void)
{
    RUN(run, ce_fault_node_failure, "target_service=database");
    struct ce_error err = {0};
    CHECK(ce_fault_node_failure.check(run.injection.params, &err) == -EINVAL);
    CHECK(strstr(err.message, "'database'") && strstr(err.message, "server"));
    const struct ce_param *type = ce_param_find(ce_fault_node_failure.params, "failure_type");
    CHECK(ce_param_set(type, (void *)run.injection.params, "sluggish", &err) == -EINVAL);
}

static void nothing_to_hit_is_an_error(void)
{
    RUN(run, ce_fault_node_failure, "failure_type=crash");
    struct ce_error err = {0};
    CHECK(ce_process_end(&run.server.id, patience, &err) == 0);
    CHECK(inject(&run, &err) == -ESRCH);
    run.target.ensure_serving = NULL;
    CHECK(inject(&run, &err) == -ENOTSUP);
    CHECK(strstr(err.message, "test target"));
    REQUIRE_OK(ce_fault_node_failure.revert(&run.injection, &err), err);
}

/* ---- memory_pressure ---- */

static void pressure_takes_what_was_asked_and_gives_it_back(void)
{
    RUN(run, ce_fault_memory_pressure, "memory_mb=160", "floor_mb=64");
    struct ce_error err = {0};
    CHECK(!ce_fault_memory_pressure.is_control(run.injection.params));
    REQUIRE_OK(inject(&run, &err), err);
    CHECK(ce_undo_live(run.injection.journal) == 1);
    CHECK(verify(&run, &err) == 1);
    CHECK(strstr(run.evidence.text, "160 MiB") &&
          (strstr(run.evidence.text, "locked") || strstr(run.evidence.text, "resident")));
    REQUIRE_OK(ce_fault_memory_pressure.adjust(&run.injection, 0.5, &err), err);
    CHECK(verify(&run, &err) == 0); /* half of it is not what was asked */
    REQUIRE_OK(ce_fault_memory_pressure.adjust(&run.injection, 1, &err), err);
    CHECK(verify(&run, &err) == 1);
    check_reverted(&run);
}

/* False when other processes took the room that this test had left for itself: then the hog rightly
 * gives way, and nothing is shown. */
static bool pressure_stops_at_the_floor(void)
{
    /* Twice of what is there cannot be taken; the floor leaves room for 96 MiB and what others do
     * meanwhile. */
    char memory[40], floor[40];
    uint64_t available = ce_memory_available() / CE_MIB;
    snprintf(memory, sizeof memory, "memory_mb=%llu", (unsigned long long)(2 * available));
    snprintf(floor, sizeof floor, "floor_mb=%llu",
             (unsigned long long)(available - (available > 400 ? 300 : 96)));
    CE_CLEANUP(run_end) struct run run;
    struct ce_error err = {0};
    if (run_start(&run, &ce_fault_memory_pressure, SETTINGS(memory, floor)) != 0)
        return false;
    bool seen = inject(&run, &err) == 0 && verify(&run, &err) == 1;
    CHECK(!seen || strstr(run.evidence.text, "the floor is"));
    check_reverted(&run);
    return seen;
}

static void pressure_stops_at_the_floor_and_says_so(void)
{
    for (int attempt = 0; attempt < 5; attempt++)
        if (pressure_stops_at_the_floor())
            return;
    SKIP("other processes took the memory that this test left for itself, five times");
}

static void pressure_that_the_floor_forbids_is_no_data(void)
{
    RUN(run, ce_fault_memory_pressure, "memory_mb=64", "floor_mb=16777216");
    struct ce_error err = {0};
    CHECK(inject(&run, &err) == -ENODATA);
    CHECK(strstr(err.message, "floor_mb"));
    check_reverted(&run);
}

static void pressure_without_effect_is_seen(void)
{
#ifndef CE_SEAMS
    SKIP("needs a build with -Dseams=true");
#endif
    RUN(run, ce_fault_memory_pressure, "memory_mb=64", "floor_mb=0");
    struct ce_error err = {0};
    setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
    CHECK(inject(&run, &err) == 0);
    CHECK(verify(&run, &err) == 0);
    unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
    check_reverted(&run);
}

static void no_pressure_is_a_control_run(void)
{
    RUN(run, ce_fault_memory_pressure, "memory_mb=0");
    struct ce_error err = {0};
    CHECK(ce_fault_memory_pressure.is_control(run.injection.params));
    REQUIRE_OK(inject(&run, &err), err);
    CHECK(ce_undo_live(run.injection.journal) == 0);
    REQUIRE_OK(ce_fault_memory_pressure.adjust(&run.injection, 0.5, &err), err);
    check_reverted(&run);
}

static void the_memory_goes_with_a_killed_controller(void)
{
    RUN(run, ce_fault_memory_pressure, "memory_mb=64", "floor_mb=0");
    int pair[2];
    struct ce_error err = {0};
    REQUIRE(pipe(pair) == 0);
    ce_journal_close(ce_take(run.injection.journal));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (ce_journal_create(run.state, "child", ce_undo_ops, &run.injection.journal, &err) < 0 ||
            inject(&run, &err) < 0)
            _exit(1);
        /* The evidence names the process. */
        (void)ce_fault_memory_pressure.verify(&run.injection, &run.evidence, &err);
        (void)ce_write_all(pair[1], run.evidence.text, sizeof run.evidence.text);
        for (;;)
            pause();
    }
    int hog = 0;
    CHECK(read(pair[0], run.evidence.text, sizeof run.evidence.text) == sizeof run.evidence.text);
    CHECK(sscanf(run.evidence.text, "process %d holds 64 MiB", &hog) == 1);
    struct ce_process_id id;
    REQUIRE(ce_process_identify(hog, &id) == 0);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    struct ce_recovery counts;
    REQUIRE_OK(ce_journal_recover(run.state, ce_undo_ops, &counts, &err), err);
    CHECK(counts.undone == 1 && counts.failed == 0);
    CHECK(!ce_process_alive(&id));
    (void)close(pair[0]);
    (void)close(pair[1]);
}

int main(void)
{
    TEST(a_crash_ends_the_process_and_revert_starts_another);
    TEST(a_supervisor_that_was_quicker_is_fine);
    TEST(a_hang_stands_still_and_goes_on);
    TEST(a_hang_by_signal_stands_still_and_goes_on);
    TEST(a_hang_by_freezer_stands_still_and_goes_on);
    TEST(a_hanging_process_that_its_supervisor_replaced_leaves_nothing);
    TEST(a_hang_that_does_not_take_effect_is_seen);
    TEST(recover_frees_a_hanging_process);
    TEST(what_cannot_be_hit_is_refused_with_the_names_that_can);
    TEST(nothing_to_hit_is_an_error);
    TEST(pressure_takes_what_was_asked_and_gives_it_back);
    TEST(pressure_stops_at_the_floor_and_says_so);
    TEST(pressure_that_the_floor_forbids_is_no_data);
    TEST(pressure_without_effect_is_seen);
    TEST(no_pressure_is_a_control_run);
    TEST(the_memory_goes_with_a_killed_controller);
    return test_done();
}
