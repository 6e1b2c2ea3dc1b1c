/* SPDX-License-Identifier: MIT */
/* latency_injection, and the file that is slow to open under it. */
#include <fcntl.h>
#include <sys/wait.h>

#include "data_world.h"
#include "faults/data/slow_file.h"
#include "files.h"

static const int64_t delay = 150 * CE_MILLISECOND;

/* How long another process takes to open the file. */
static int64_t time_open(const char *path)
{
    int64_t start = ce_now();
    pid_t pid = fork();
    if (pid == 0) {
        /* What it inherited of the lease would be in its way. */
        for (int fd = 3; fd < 256; fd++)
            (void)close(fd);
        _exit(open(path, O_RDONLY | O_CLOEXEC) < 0);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return -1;
    return ce_now() - start;
}

static void whoever_opens_it_waits(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_slow_file *slow = NULL;
    const char *path = folder_write(&folder, "data.csv", "a\n1\n", 4);
    REQUIRE_OK(ce_slow_file_start(path, delay, &slow, &err), err);
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK(ce_slow_file_wait(slow, 5 * CE_SECOND) == 0);
        CHECK(time_open(path) >= delay);
        CHECK(ce_slow_file_count(slow) == i);
    }
    CHECK(same_bytes(path, "a\n1\n", 4));
    CHECK(ce_slow_file_wait(slow, 5 * CE_SECOND) == 0);
    ce_slow_file_set(slow, 0);
    CHECK(time_open(path) < delay);
    ce_slow_file_stop(slow);
    CHECK(time_open(path) < delay);
}

static void stopping_lets_everybody_go(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_slow_file *slow = NULL;
    const char *path = folder_write(&folder, "data.csv", "a\n1\n", 4);
    REQUIRE_OK(ce_slow_file_start(path, 30 * CE_SECOND, &slow, &err), err);
    int64_t start = ce_now();
    pid_t pid = fork();
    if (pid == 0) {
        for (int fd = 3; fd < 256; fd++)
            (void)close(fd);
        _exit(open(path, O_RDONLY | O_CLOEXEC) < 0);
    }
    AWAIT(ce_slow_file_count(slow) == 1);
    ce_slow_file_stop(slow);
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(ce_now() - start < 20 * CE_SECOND);
}

static void a_file_in_use_is_refused(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_slow_file *slow = NULL;
    const char *path = folder_write(&folder, "data.csv", "a\n1\n", 4);
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(ce_slow_file_start(path, delay, &slow, &err) == -EBUSY);
    CHECK(strstr(err.message, "it is open somewhere") != NULL);
    CHECK(ce_slow_file_start("/nonexistent/x", delay, &slow, &err) == -ENOENT);
    CHECK(ce_slow_file_limit() >= CE_SECOND);
}

/* How many milliseconds the evidence says that another process took; and the pipeline. */
static bool took(const struct ce_evidence *evidence, double at_least)
{
    double reader = 0, before = 0, pipeline = at_least;
    int found = sscanf(evidence->text,
                       "another process read the dataset in %lf ms, in %lf ms before; the pipeline "
                       "took it in within %lf ms",
                       &reader, &before, &pipeline);
    return found >= 2 && reader >= at_least && before < reader && pipeline >= at_least;
}

static void a_slow_dataset_is_seen_and_is_fast_again(void)
{
    TRAINING_WORLD(world, err);
    struct ce_evidence evidence;
    REQUIRE_OK(INJECT(&world, "latency_injection", &err, "delay_ms=200"), err);
    CHECK(ce_undo_live(world.journal) == 0); /* nothing was touched */
    CHECK(world_verify(&world, &evidence, &err) == 1);
    CHECK(took(&evidence, 200));
    CHECK(world_counts(&world).changed >= 2);
    CHECK(same_files(world.dataset, world.original));
    REQUIRE_OK(world.injection.fault->adjust(&world.injection, 0, &err), err);
    CHECK(world_verify(&world, &evidence, &err) == 0);
    uint64_t count = world_counts(&world).changed;
    REQUIRE_OK(world_revert(&world, &err), err);
    CHECK(world_counts(&world).changed >= count);
    CHECK(same_files(world.dataset, world.original) && world.reloads == 2);
}

static void the_rate_counts_as_delay(void)
{
    TRAINING_WORLD(world, err);
    struct ce_evidence evidence;
    struct stat st;
    REQUIRE(stat(world.dataset, &st) == 0);
    char rate[48];
    snprintf(rate, sizeof rate, "bytes_per_second=%lld", (long long)st.st_size * 5);
    REQUIRE_OK(INJECT(&world, "latency_injection", &err, "delay_ms=0", rate), err);
    CHECK(world_verify(&world, &evidence, &err) == 1);
    CHECK(took(&evidence, 200));
    REQUIRE_OK(world_revert(&world, &err), err);
    world_forget(&world);
    CHECK(INJECT(&world, "latency_injection", &err, "bytes_per_second=1") == -ERANGE);
    CHECK(strstr(err.message, "lease-break-time") != NULL);
}

static void a_pipeline_that_cannot_wait_is_evidence(void)
{
    TRAINING_WORLD(world, err);
    struct ce_evidence evidence;
    world.refuses = true;
    REQUIRE_OK(INJECT(&world, "latency_injection", &err, "delay_ms=100"), err);
    CHECK(world_verify(&world, &evidence, &err) == 1);
    CHECK(strstr(evidence.text, "the pipeline could not take it in: column 'age'") != NULL);
    world.refuses = false;
    REQUIRE_OK(world_revert(&world, &err), err);
    CHECK(world.reloads == 3);
}

static void what_is_not_slow_is_found_out(void)
{
#ifndef CE_SEAMS
    SKIP("this build has no seams");
#else
    TRAINING_WORLD(world, err);
    struct ce_evidence evidence;
    setenv("CHAOSEATER_SEAM_NO_EFFECT", "1", 1);
    int injected = INJECT(&world, "latency_injection", &err, "delay_ms=5000");
    unsetenv("CHAOSEATER_SEAM_NO_EFFECT");
    REQUIRE_OK(injected, err);
    CHECK(world_verify(&world, &evidence, &err) == 0);
    REQUIRE_OK(world_revert(&world, &err), err);
#endif
}

int main(void)
{
    TEST(whoever_opens_it_waits);
    TEST(stopping_lets_everybody_go);
    TEST(a_file_in_use_is_refused);
    TEST(a_slow_dataset_is_seen_and_is_fast_again);
    TEST(the_rate_counts_as_delay);
    TEST(a_pipeline_that_cannot_wait_is_evidence);
    TEST(what_is_not_slow_is_found_out);
    return test_done();
}
