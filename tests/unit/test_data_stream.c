/* SPDX-License-Identifier: MIT */
#include "data/stream/stream.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <zlib.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "data_files.h"

static const enum ce_packing packings[] = {CE_PACKING_PLAIN, CE_PACKING_GZIP, CE_PACKING_ZSTD};
static const char *const names[] = {"data.csv", "data.csv.gz", "data.csv.zst"};

/* `size` bytes of rows that pack, but not to nothing. */
static char *content_make(size_t size)
{
    char *data = malloc(size + 64);
    if (!data)
        exit(99);
    uint64_t state = 1;
    for (size_t at = 0; at < size;) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        at += (size_t)snprintf(data + at, 64, "%u,row\n", (unsigned)(state >> 40));
    }
    return data;
}

static int write_file(const char *path, enum ce_packing packing, const char *data, size_t size,
                      size_t piece, struct ce_error *err)
{
    CE_CLEANUP(ce_output_free_p) struct ce_output *output = NULL;
    CE_TRY(ce_output_open(path, 0640, packing, &output, err));
    for (size_t at = 0; at < size; at += piece)
        CE_TRY(ce_output_put(output, data + at, size - at < piece ? size - at : piece, err));
    CE_TRY(ce_output_sync(output, err));
    return ce_output_publish(output, err);
}

/* Reads all of it in reads of `piece` bytes; *ret_size bytes were read when it fails, too. */
static int read_file(const char *path, size_t piece, char *data, size_t capacity, size_t *ret_size,
                     struct ce_error *err)
{
    CE_CLEANUP(ce_input_close_p) struct ce_input *input = NULL;
    *ret_size = 0;
    CE_TRY(ce_input_open(path, &input, err));
    for (;;) {
        size_t room = capacity - *ret_size < piece ? capacity - *ret_size : piece;
        ssize_t n = ce_input_read(input, data + *ret_size, room, err);
        if (n < 0)
            return (int)n;
        *ret_size += (size_t)n;
        if ((size_t)n < room)
            return ce_input_read(input, data, 1, err) == 0 ? 0 : -EIO;
    }
}

static bool reads_as(const char *path, size_t piece, const char *data, size_t size)
{
    ce_autofree char *found = malloc(size + 1);
    size_t found_size;
    struct ce_error err = {0};
    int r = read_file(path, piece, found, size + 1, &found_size, &err);
    if (r < 0)
        printf("# %s %s\n", err.where, err.message);
    return r == 0 && found_size == size && memcmp(found, data, size) == 0;
}

static void content_comes_back_through_every_packing(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    static const size_t sizes[] = {0, 1, 3, 4, 5, 1000, 256 * 1024, 256 * 1024 + 1, 1500000};
    ce_autofree char *data = content_make(1500000);
    for (size_t p = 0; p < CE_COUNT(packings); p++) {
        const char *path = folder_file(&folder, names[p]);
        CHECK(ce_packing_of_name(path) == packings[p]);
        for (size_t i = 0; i < CE_COUNT(sizes); i++) {
            REQUIRE_OK(write_file(path, packings[p], data, sizes[i], 70000, &err), err);
            CHECK(reads_as(path, 1 << 20, data, sizes[i]));
            CHECK(reads_as(path, 100, data, sizes[i]));
        }
        struct stat st;
        CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640);
    }
    CHECK(folder_count(&folder) == CE_COUNT(packings));
}

static void packed_bytes_depend_on_the_content_alone(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const size_t size = 900000;
    ce_autofree char *data = content_make(size);
    const char *one = folder_file(&folder, "one"), *two = folder_file(&folder, "two");
    for (size_t p = 0; p < CE_COUNT(packings); p++) {
        REQUIRE_OK(write_file(one, packings[p], data, size, size, &err), err);
        REQUIRE_OK(write_file(two, packings[p], data, size, 777, &err), err);
        CHECK(same_files(one, two));
    }
}

static void digests_are_of_the_content(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    ce_autofree char *data = content_make(600000);
    for (size_t p = 0; p < CE_COUNT(packings); p++) {
        CE_CLEANUP(ce_output_free_p) struct ce_output *output = NULL;
        char want[CE_SHA256_HEX], got[CE_SHA256_HEX];
        REQUIRE_OK(ce_output_open(folder_file(&folder, names[p]), 0600, packings[p], &output, &err),
                   err);
        REQUIRE_OK(ce_output_put(output, data, 100, &err), err);
        REQUIRE_OK(ce_output_put(output, data + 100, 400000, &err), err);
        REQUIRE_OK(ce_output_digest(output, got, &err), err);
        REQUIRE_OK(ce_sha256_data(data, 400100, want, &err), err);
        CHECK_TEXT(got, want);
        CHECK(ce_output_total(output) == 400100);
        REQUIRE_OK(ce_output_put(output, data + 400100, 199900, &err), err);
        REQUIRE_OK(ce_output_sync(output, &err), err);
        REQUIRE_OK(ce_output_digest(output, got, &err), err);
        REQUIRE_OK(ce_sha256_data(data + 400100, 199900, want, &err), err);
        CHECK_TEXT(got, want);
        REQUIRE_OK(ce_output_publish(output, &err), err);
        CHECK(reads_as(ce_output_path(output), 65536, data, 600000));
    }
}

/* ---- compressed data by others, and damaged ones ---- */

/* Returns the size of `data` packed by the libraries' own one-call functions. */
static size_t pack_other(enum ce_packing packing, const char *data, size_t size, char *packed,
                         size_t capacity)
{
    if (packing == CE_PACKING_ZSTD)
        return ZSTD_compress(packed, capacity, data, size, 1);
    z_stream z = {0};
    if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        exit(99);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)size;
    z.next_out = (Bytef *)packed;
    z.avail_out = (uInt)capacity;
    (void)deflate(&z, Z_FINISH);
    (void)deflateEnd(&z);
    return capacity - z.avail_out;
}

static void members_and_frames_in_a_row_are_one_content(void)
{
    FOLDER(folder);
    for (size_t p = 1; p < CE_COUNT(packings); p++) {
        char packed[4096];
        size_t size = pack_other(packings[p], "a,b\n", 4, packed, sizeof packed);
        size += pack_other(packings[p], "", 0, packed + size, sizeof packed - size);
        size += pack_other(packings[p], "1,2\n", 4, packed + size, sizeof packed - size);
        const char *path = folder_write(&folder, "any-name", packed, size);
        CHECK(reads_as(path, 3, "a,b\n1,2\n", 8));
        CHECK(reads_as(path, 4096, "a,b\n1,2\n", 8));
    }
}

static void zeros_behind_a_gzip_member_are_padding(void)
{
    FOLDER(folder);
    char packed[4096] = {0};
    size_t size = pack_other(CE_PACKING_GZIP, "a,b\n", 4, packed, sizeof packed);
    CHECK(reads_as(folder_write(&folder, "a.gz", packed, size + 512), 64, "a,b\n", 4));
}

static void skippable_frames_are_skipped(void)
{
    FOLDER(folder);
    char packed[4096] = "\x53\x2a\x4d\x18\x03\x00\x00\x00xyz";
    size_t size = 11 + pack_other(CE_PACKING_ZSTD, "a,b\n", 4, packed + 11, sizeof packed - 11);
    CHECK(reads_as(folder_write(&folder, "a", packed, size), 64, "a,b\n", 4));
}

static void a_cut_is_found_wherever_it_is(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    ce_autofree char *data = content_make(700);
    char found[1024];
    for (size_t p = 1; p < CE_COUNT(packings); p++) {
        char packed[4096];
        const char *path = folder_file(&folder, names[p]);
        size_t size = pack_other(packings[p], data, 700, packed, sizeof packed);
        for (size_t cut = 0; cut < size; cut++) {
            size_t found_size;
            (void)folder_write(&folder, names[p], packed, cut);
            CHECK(read_file(path, 100, found, sizeof found, &found_size, &err) == -EBADMSG);
            CHECK(found_size <= 700 && memcmp(found, data, found_size) == 0);
            CHECK_TEXT(err.message, "the compressed data end early");
            CHECK_TEXT(err.where, path);
        }
        /* The same in a second member. */
        memcpy(packed + size, packed, 2);
        size_t found_size;
        (void)folder_write(&folder, names[p], packed, size + 2);
        CHECK(read_file(path, 100, found, sizeof found, &found_size, &err) == -EBADMSG);
        CHECK_TEXT(err.message, "the compressed data end early");
    }
}

static void damage_is_found(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    ce_autofree char *data = content_make(3000);
    for (size_t p = 1; p < CE_COUNT(packings); p++) {
        const char *path = folder_file(&folder, names[p]);
        REQUIRE_OK(write_file(path, packings[p], data, 3000, 3000, &err), err);
        ce_autofree char *packed = NULL;
        size_t size, found_size;
        char found[4096];
        REQUIRE_OK(ce_file_read(path, 65536, &packed, &size, &err), err);
        packed[size / 2] ^= 0x10;
        (void)folder_write(&folder, names[p], packed, size);
        CHECK(read_file(path, 512, found, sizeof found, &found_size, &err) == -EBADMSG);
        CHECK_TEXT(err.message, "the compressed data are damaged");
        packed[size / 2] ^= 0x10;
        packed = realloc(packed, size + 8);
        REQUIRE(packed);
        memcpy(packed + size, "garbage", 7);
        (void)folder_write(&folder, names[p], packed, size + 7);
        CHECK(read_file(path, 512, found, sizeof found, &found_size, &err) == -EBADMSG);
        CHECK_TEXT(err.message, "the compressed data are damaged");
    }
}

/* ---- inputs that are no good ---- */

static void what_cannot_be_read_is_said(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_input *input = NULL;
    CHECK(ce_input_open(folder.path, &input, &err) == -EISDIR);
    CHECK(strstr(err.message, "is a folder; give a file") != NULL);
    CHECK(ce_input_open(folder_file(&folder, "none"), &input, &err) == -ENOENT);
    CHECK(strstr(err.message, "cannot open '") != NULL);
    CHECK(input == NULL);
}

static void a_file_that_shrinks_is_said(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    ce_autofree char *data = content_make(10000);
    char found[10000];
    const char *path = folder_write(&folder, "a.csv", data, 10000);
    CE_CLEANUP(ce_input_close_p) struct ce_input *input = NULL;
    REQUIRE_OK(ce_input_open(path, &input, &err), err);
    CHECK(ce_input_read(input, found, 5000, &err) == 5000);
    CHECK(ce_input_fraction(input) == 0.5);
    REQUIRE(truncate(path, 7000) == 0);
    CHECK(ce_input_read(input, found, 5000, &err) == -EIO);
    CHECK(strstr(err.message, "was cut short while it was read: 7000 of 10000 bytes") != NULL);
}

static void inputs_know_what_they_are(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *path = folder_write(&folder, "a.csv", "a\n1\n", 4);
    REQUIRE(chmod(path, 0604) == 0);
    CE_CLEANUP(ce_input_close_p) struct ce_input *file = NULL, *device = NULL;
    REQUIRE_OK(ce_input_open(path, &file, &err), err);
    CHECK(ce_input_repeatable(file) && ce_input_mode(file) == 0604);
    CHECK(ce_input_packing(file) == CE_PACKING_PLAIN && ce_input_fraction(file) == 0);
    REQUIRE_OK(ce_input_open("/dev/null", &device, &err), err);
    CHECK(!ce_input_repeatable(device) && ce_input_mode(device) == 0600);
    CHECK(ce_input_fraction(device) < 0);
}

static void pipes_are_read_and_written_directly(void)
{
    FOLDER(folder);
    const char *pipe_path = folder_file(&folder, "pipe");
    ce_autofree char *data = content_make(500000);
    REQUIRE(mkfifo(pipe_path, 0600) == 0);
    for (size_t p = 0; p < CE_COUNT(packings); p++) {
        pid_t writer = fork();
        if (writer == 0)
            _exit(write_file(pipe_path, packings[p], data, 500000, 3, NULL) < 0);
        CHECK(reads_as(pipe_path, 1 << 20, data, 500000));
        int status;
        CHECK(waitpid(writer, &status, 0) == writer && status == 0);
    }
    CHECK(folder_count(&folder) == 1);
}

static volatile sig_atomic_t stopped;

static void stop_now(int signal)
{
    stopped = signal;
}

static void a_silent_pipe_can_be_given_up(void)
{
    struct ce_error err = {0};
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    ce_autofd int reading = ends[0], writing = ends[1];
    ce_autofree char *path = ce_format("/proc/self/fd/%d", reading);
    CHECK(write(writing, "a,b\n1,2\n", 8) == 8);
    CE_CLEANUP(ce_input_close_p) struct ce_input *input = NULL;
    REQUIRE_OK(ce_input_open(path, &input, &err), err);
    ce_input_stop(input, &stopped);
    struct sigaction action = {.sa_handler = stop_now}, before;
    REQUIRE(sigaction(SIGALRM, &action, &before) == 0);
    /* Again and again, so that one that comes before the read does no harm. */
    struct itimerval often = {.it_value.tv_usec = 1000, .it_interval.tv_usec = 1000}, never = {0};
    REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
    char data[64];
    CHECK(ce_input_read(input, data, sizeof data, &err) == -EINTR);
    CHECK(strstr(err.message, "cannot read") != NULL);
    (void)setitimer(ITIMER_REAL, &never, NULL);
    (void)sigaction(SIGALRM, &before, NULL);
}

/* ---- outputs that fail ---- */

static void a_full_device_is_said(void)
{
    struct ce_error err = {0};
    ce_autofree char *data = content_make(600000);
    for (size_t p = 0; p < CE_COUNT(packings); p++) {
        CHECK(write_file("/dev/full", packings[p], data, 600000, 1000, &err) == -ENOSPC);
        CHECK_TEXT(err.message, "cannot write '/dev/full': No space left on device");
    }
    CHECK(access("/dev/full.chaoseater-tmp", F_OK) < 0);
    REQUIRE_OK(write_file("/dev/null", CE_PACKING_PLAIN, data, 600000, 600000, &err), err);
}

static void nothing_is_left_of_what_was_not_published(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *path = folder_write(&folder, "out.csv", "before", 6);
    for (int synced = 0; synced < 2; synced++) {
        struct ce_output *output = NULL;
        REQUIRE_OK(ce_output_open(path, 0600, CE_PACKING_PLAIN, &output, &err), err);
        REQUIRE_OK(ce_output_put(output, "after", 5, &err), err);
        if (synced)
            REQUIRE_OK(ce_output_sync(output, &err), err);
        CHECK(folder_count(&folder) == 2);
        CHECK(same_bytes(path, "before", 6));
        ce_output_free(output);
        CHECK(folder_count(&folder) == 1);
    }
    CHECK(ce_output_open(folder.path, 0600, CE_PACKING_PLAIN, &(struct ce_output *){NULL}, &err) ==
          -EISDIR);
    CHECK(strstr(err.message, "it is a folder") != NULL);
    CHECK(ce_output_open("/nowhere/out.csv", 0600, CE_PACKING_PLAIN, &(struct ce_output *){NULL},
                         &err) == -ENOENT);
}

static void leftovers_of_a_killed_process_are_replaced(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *path = folder_file(&folder, "out.csv");
    const char *left = folder_write(&folder, "out.csv.chaoseater-tmp", "left over, and longer", 21);
    REQUIRE(chmod(left, 0666) == 0);
    REQUIRE_OK(write_file(path, CE_PACKING_PLAIN, "new", 3, 3, &err), err);
    CHECK(same_bytes(path, "new", 3));
    CHECK(folder_count(&folder) == 1);
}

static void a_link_or_pipe_under_the_temporary_name_is_refused(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *path = folder_file(&folder, "out.csv");
    const char *left = folder_file(&folder, "out.csv.chaoseater-tmp");
    const char *victim = folder_write(&folder, "victim", "mine", 4);
    REQUIRE(symlink(victim, left) == 0);
    CHECK(write_file(path, CE_PACKING_PLAIN, "new", 3, 3, &err) == -ELOOP);
    CHECK(same_bytes(victim, "mine", 4));
    REQUIRE(unlink(left) == 0 && mkfifo(left, 0600) == 0);
    CHECK(write_file(path, CE_PACKING_PLAIN, "new", 3, 3, &err) == -ENXIO);
    CHECK(access(path, F_OK) < 0);
}

static void two_writers_of_one_file_are_kept_apart(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    const char *path = folder_file(&folder, "out.csv");
    CE_CLEANUP(ce_output_free_p) struct ce_output *first = NULL, *second = NULL;
    REQUIRE_OK(ce_output_open(path, 0600, CE_PACKING_PLAIN, &first, &err), err);
    CHECK(ce_output_open(path, 0600, CE_PACKING_PLAIN, &second, &err) == -EBUSY);
    CHECK(strstr(err.message, "another process is writing it") != NULL);
    REQUIRE_OK(ce_output_put(first, "first", 5, &err), err);
    REQUIRE_OK(ce_output_publish(first, &err), err);
    CHECK(same_bytes(path, "first", 5));
    REQUIRE_OK(ce_output_open(path, 0600, CE_PACKING_PLAIN, &second, &err), err);
}

/* In a child: its standard streams are changed. */
static int copy_standard_streams(int in, int out)
{
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        return 98;
    struct ce_error err = {0};
    CE_CLEANUP(ce_input_close_p) struct ce_input *input = NULL;
    CE_CLEANUP(ce_output_free_p) struct ce_output *output = NULL;
    char data[1000];
    if (ce_input_open("-", &input, &err) < 0 || ce_input_repeatable(input) ||
        ce_output_open("-", 0600, CE_PACKING_PLAIN, &output, &err) < 0)
        return 97;
    for (ssize_t n; (n = ce_input_read(input, data, sizeof data, &err)) > 0;)
        if (ce_output_put(output, data, (size_t)n, &err) < 0)
            return err.code;
    return ce_output_sync(output, &err) < 0 || ce_output_publish(output, &err) < 0 ? err.code : 0;
}

static void standard_streams_are_dashes(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    ce_autofree char *data = content_make(300000);
    const char *packed = folder_file(&folder, "in.gz"), *out = folder_file(&folder, "out");
    REQUIRE_OK(write_file(packed, CE_PACKING_GZIP, data, 300000, 300000, &err), err);
    ce_autofd int in_fd = open(packed, O_RDONLY | O_CLOEXEC);
    ce_autofd int out_fd = open(out, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(in_fd >= 0 && out_fd >= 0);
    pid_t child = fork();
    if (child == 0)
        _exit(copy_standard_streams(in_fd, out_fd));
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(same_bytes(out, data, 300000));
}

static void a_reader_that_went_away_is_an_error(void)
{
    FOLDER(folder);
    ce_autofree char *data = content_make(300000);
    const char *path = folder_write(&folder, "in", data, 300000);
    ce_autofd int in = open(path, O_RDONLY | O_CLOEXEC);
    int ends[2];
    REQUIRE(in >= 0 && pipe2(ends, O_CLOEXEC) == 0);
    close(ends[0]);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_IGN);
        _exit(copy_standard_streams(in, ends[1]));
    }
    close(ends[1]);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == EPIPE);
}

int main(void)
{
    TEST(content_comes_back_through_every_packing);
    TEST(packed_bytes_depend_on_the_content_alone);
    TEST(digests_are_of_the_content);
    TEST(members_and_frames_in_a_row_are_one_content);
    TEST(zeros_behind_a_gzip_member_are_padding);
    TEST(skippable_frames_are_skipped);
    TEST(a_cut_is_found_wherever_it_is);
    TEST(damage_is_found);
    TEST(what_cannot_be_read_is_said);
    TEST(a_file_that_shrinks_is_said);
    TEST(inputs_know_what_they_are);
    TEST(pipes_are_read_and_written_directly);
    TEST(a_silent_pipe_can_be_given_up);
    TEST(a_full_device_is_said);
    TEST(nothing_is_left_of_what_was_not_published);
    TEST(leftovers_of_a_killed_process_are_replaced);
    TEST(a_link_or_pipe_under_the_temporary_name_is_refused);
    TEST(two_writers_of_one_file_are_kept_apart);
    TEST(standard_streams_are_dashes);
    TEST(a_reader_that_went_away_is_an_error);
    return test_done();
}
