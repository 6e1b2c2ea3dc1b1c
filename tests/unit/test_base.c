/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/identity.h"
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "check.h"

/* Known-answer vectors of Philox4x32-10 as the Random123 distribution publishes them. */
static void philox_gives_the_published_answers(void)
{
    static const struct {
        uint32_t ctr[4], key[2], want[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        uint32_t ctr[4];
        memcpy(ctr, cases[i].ctr, sizeof ctr);
        ce_philox(ctr, cases[i].key);
        CHECK(memcmp(ctr, cases[i].want, sizeof ctr) == 0);
    }
}

static void draws_are_uniform_and_normal(void)
{
    enum { N = 200000 };
    struct ce_stream stream = ce_stream_init(7, "test", "column");
    double sum = 0, square = 0, usum = 0;
    int beyond_two = 0;
    for (uint64_t n = 0; n < N; n++) {
        double z = ce_stream_normal(&stream, n), u = ce_stream_uniform(&stream, n);
        CHECK(u >= 0 && u < 1);
        sum += z;
        square += z * z;
        usum += u;
        beyond_two += fabs(z) > 2;
    }
    CHECK(fabs(sum / N) < 0.01);
    CHECK(fabs(square / N - 1) < 0.02);
    CHECK(fabs(usum / N - 0.5) < 0.005);
    CHECK(fabs((double)beyond_two / N - 0.0455) < 0.003);
}

static void normal_deviates_match_libm(void)
{
    struct ce_stream stream = ce_stream_init(1, "test", "libm");
    for (uint64_t n = 0; n < 10000; n++) {
        uint64_t words[2];
        ce_stream_draw(&stream, n, words);
        double u1 = ((double)(uint32_t)words[0] + 1) * 0x1p-32,
               u2 = (double)(uint32_t)(words[0] >> 32) * 0x1p-32;
        double want = sqrt(-2 * log(u1)) * cos(2 * M_PI * u2);
        CHECK(fabs(ce_normal_from(words[0]) - want) < 1e-12);
    }
}

static void streams_differ_by_seed_purpose_and_subject(void)
{
    struct ce_stream streams[] = {
        ce_stream_init(1, "a", "x"),
        ce_stream_init(2, "a", "x"),
        ce_stream_init(1, "b", "x"),
        ce_stream_init(1, "a", "y"),
    };
    for (size_t i = 0; i < CE_COUNT(streams); i++)
        for (size_t j = i + 1; j < CE_COUNT(streams); j++)
            CHECK(ce_stream_uniform(&streams[i], 0) != ce_stream_uniform(&streams[j], 0));
}

static void integers_below_a_bound_are_even(void)
{
    struct ce_stream stream = ce_stream_init(3, "test", "below");
    int hits[7] = {0};
    for (uint64_t n = 0; n < 70000; n++)
        hits[ce_stream_below(&stream, n, 7)]++;
    for (size_t i = 0; i < CE_COUNT(hits); i++)
        CHECK(hits[i] > 9600 && hits[i] < 10400);
}

static void numbers_are_read_strictly(void)
{
    static const struct {
        const char *text;
        int result;
        double value;
    } cases[] = {
        {"1", 0, 1},          {"-2.5e3", 0, -2500}, {".5", 0, 0.5},      {"5.", 0, 5},
        {"", -EINVAL, 0},     {"nan", -EINVAL, 0},  {"inf", -EINVAL, 0}, {"1e999", -EINVAL, 0},
        {"0x10", -EINVAL, 0}, {"1 ", -EINVAL, 0},   {"1e", -EINVAL, 0},  {"--1", -EINVAL, 0},
        {"1,5", -EINVAL, 0},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        double value = 0;
        CHECK(ce_text_number(cases[i].text, &value) == cases[i].result);
        CHECK(value == cases[i].value);
    }
}

static void integers_and_overflow(void)
{
    int64_t value;
    CHECK(ce_text_integer("9223372036854775807", &value) == 0 && value == INT64_MAX);
    CHECK(ce_text_integer("9223372036854775808", &value) == -ERANGE);
    CHECK(ce_text_integer("1.0", &value) == -EINVAL);
    CHECK(ce_text_integer("", &value) == -EINVAL);
}

static void durations_have_units(void)
{
    static const struct {
        const char *text;
        bool bare;
        int result;
        int64_t ns;
    } cases[] = {
        {"250ms", false, 0, 250 * CE_MILLISECOND},
        {"1.5s", false, 0, 1500 * CE_MILLISECOND},
        {"2m", false, 0, 120 * CE_SECOND},
        {"60", true, 0, 60 * CE_SECOND},
        {"60", false, -EINVAL, 0},
        {"-1s", false, -ERANGE, 0},
        {"1e300s", false, -ERANGE, 0},
        {"ms", false, -EINVAL, 0},
        {"1 s", false, -EINVAL, 0},
        {"5years", true, -EINVAL, 0},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        int64_t ns = 0;
        CHECK(ce_text_duration(cases[i].text, cases[i].bare, &ns) == cases[i].result);
        CHECK(ns == cases[i].ns);
    }
}

static void the_nearest_name_is_found(void)
{
    static const char *const names[] = {"corruption_rate", "columns", "type"};
    CHECK_TEXT(ce_text_nearest("coruption_rate", names, 3), "corruption_rate");
    CHECK_TEXT(ce_text_nearest("tpye", names, 3), "type");
    CHECK(ce_text_nearest("zebra", names, 3) == NULL);
}

static void hashes_are_the_standard_ones(void)
{
    char hex[CE_SHA256_HEX];
    struct ce_error err = {0};
    REQUIRE_OK(ce_sha256_data("abc", 3, hex, &err), err);
    CHECK_TEXT(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(ce_crc32c("123456789", 9) == 0xe3069283);
}

/* Who cannot look takes nothing for gone. */
static void without_descriptors_nothing_is_another_boot_s_or_gone(void)
{
    struct ce_process_id self;
    struct rlimit before;
    char boot[CE_BOOT_ID_SIZE];
    ce_boot_id(boot);
    CHECK(!ce_boot_is_another(boot) && !ce_boot_is_another(""));
    CHECK(ce_boot_is_another("another"));
    REQUIRE(ce_process_identify(getpid(), &self) == 0);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    bool another = ce_boot_is_another("another"), alive = ce_process_alive(&self);
    int identified = ce_process_identify(getpid(), &self);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(!another && alive && identified == -EMFILE);
}

static void a_process_is_its_pid_and_start(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    struct ce_process_id id, other;
    CHECK(ce_process_identify(pid, &id) == 0);
    CHECK(ce_process_alive(&id));
    other = id;
    other.start++;
    CHECK(!ce_process_alive(&other));
    CHECK(ce_process_signal(&other, SIGKILL) == -ESRCH);
    CHECK(ce_process_alive(&id));
    CHECK(ce_process_signal(&id, SIGKILL) == 0);
    waitpid(pid, NULL, 0);
    CHECK(!ce_process_alive(&id));
    CHECK(ce_process_signal(&id, SIGKILL) == -ESRCH);
}

static void *end_when_told(void *ctx)
{
    const int *pipes = ctx;
    pid_t tid = (pid_t)syscall(SYS_gettid);
    char byte;
    CHECK(write(pipes[1], &tid, sizeof tid) == sizeof tid);
    CHECK(read(pipes[2], &byte, 1) == 0);
    return NULL;
}

static void a_thread_is_no_process(void)
{
    int told[2], until[2];
    REQUIRE(pipe(told) == 0 && pipe(until) == 0);
    int pipes[3] = {told[0], told[1], until[0]};
    pthread_t thread;
    pid_t tid;
    REQUIRE(pthread_create(&thread, NULL, end_when_told, pipes) == 0);
    REQUIRE(read(told[0], &tid, sizeof tid) == sizeof tid);
    CHECK(ce_process_open(tid) == -ESRCH);
    int self = ce_process_open(getpid());
    CHECK(self >= 0);
    (void)close(self);
    (void)close(until[1]);
    CHECK(pthread_join(thread, NULL) == 0);
    (void)close(told[0]);
    (void)close(told[1]);
    (void)close(until[0]);
}

static void files_are_replaced_whole(void)
{
    char folder[] = "/tmp/chaoseater-base-XXXXXX";
    REQUIRE(mkdtemp(folder));
    ce_autofree char *path = ce_format("%s/a/b", folder);
    ce_autofree char *file = ce_format("%s/a/b/file", folder);
    struct ce_error err = {0};
    REQUIRE_OK(ce_folder_make(path, &err), err);
    REQUIRE_OK(ce_file_replace(file, "one", 3, &err), err);
    REQUIRE_OK(ce_file_replace(file, "two", 3, &err), err);
    ce_autofree char *text = NULL;
    size_t size;
    REQUIRE_OK(ce_file_read(file, 100, &text, &size, &err), err);
    CHECK_TEXT(text, "two");
    CHECK(ce_file_read(file, 2, &text, &size, &err) == -EFBIG);
    REQUIRE_OK(ce_tree_remove(folder, &err), err);
    CHECK(access(folder, F_OK) < 0);
    CHECK(ce_tree_remove(folder, &err) == 0);
}

static void json_keeps_order_and_turns_nan_into_null(void)
{
    ce_autojson json_t *json =
        json_pack("{s:o, s:o}", "b", ce_json_number(0.1), "a", ce_json_number(NAN));
    ce_autofree char *text = ce_json_text(json);
    CHECK_TEXT(text, "{\n  \"b\": 0.1,\n  \"a\": null\n}\n");
    struct ce_error err = {0};
    CHECK(ce_json_parse("{", 1, "x.json", &err) == NULL);
    CHECK(strncmp(err.where, "x.json:1:", 9) == 0);
}

static void errors_gain_context(void)
{
    struct ce_error err = {0};
    CHECK(ce_fail_at(&err, "f.yaml:1:2", ENOENT, "no %s", "thing") == -ENOENT);
    CHECK(ce_fail_context(&err, -ENOENT, "opening '%s'", "x") == -ENOENT);
    CHECK_TEXT(err.message, "opening 'x': no thing");
    CHECK_TEXT(err.where, "f.yaml:1:2");
    CHECK(ce_fail(NULL, EIO, "nobody listens") == -EIO);
}

static void the_clock_can_be_replaced(void)
{
    int64_t now = 5;
    ce_clock_use(&now);
    ce_sleep_until(10);
    CHECK(ce_now() == 10);
    ce_clock_use(NULL);
    char text[CE_TIMESTAMP_SIZE];
    ce_timestamp(INT64_C(1700000000) * CE_SECOND + 42 * CE_MILLISECOND, text);
    CHECK_TEXT(text, "2023-11-14T22:13:20.042Z");
}

int main(void)
{
    TEST(philox_gives_the_published_answers);
    TEST(draws_are_uniform_and_normal);
    TEST(normal_deviates_match_libm);
    TEST(streams_differ_by_seed_purpose_and_subject);
    TEST(integers_below_a_bound_are_even);
    TEST(numbers_are_read_strictly);
    TEST(integers_and_overflow);
    TEST(durations_have_units);
    TEST(the_nearest_name_is_found);
    TEST(hashes_are_the_standard_ones);
    TEST(without_descriptors_nothing_is_another_boot_s_or_gone);
    TEST(a_process_is_its_pid_and_start);
    TEST(a_thread_is_no_process);
    TEST(files_are_replaced_whole);
    TEST(json_keeps_order_and_turns_nan_into_null);
    TEST(errors_gain_context);
    TEST(the_clock_can_be_replaced);
    return test_done();
}
