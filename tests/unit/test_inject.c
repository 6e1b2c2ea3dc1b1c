/* SPDX-License-Identifier: MIT */
#include "data/inject.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "data_files.h"

/* A literal with its size: NUL bytes count. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/* ---- a fault that writes what it is told ---- */

static bool takes_all(void *ctx, const struct ce_column_profile *column)
{
    return true;
}

static bool takes_numbers(void *ctx, const struct ce_column_profile *column)
{
    return column->numeric;
}

static int write_text(void *ctx, const struct ce_cell *cell, char *text, size_t size,
                      const char **ret_reason)
{
    if (ce_csv_missing(cell->cell)) {
        *ret_reason = "missing";
        return -1;
    }
    return snprintf(text, size, "%s", (const char *)ctx);
}

static int write_random(void *ctx, const struct ce_cell *cell, char *text, size_t size,
                        const char **ret_reason)
{
    return snprintf(text, size, "%016llx", (unsigned long long)cell->random[0]);
}

static struct ce_cell_fault fault_writing(const char *text, double rate, uint64_t seed)
{
    return (struct ce_cell_fault){.name = "test",
                                  .rate = rate,
                                  .seed = seed,
                                  .ctx = (void *)text,
                                  .takes_column = takes_all,
                                  .rewrite = write_text};
}

/* ---- injecting and reverting ---- */

static const struct {
    const char *what, *file;
    size_t size;
} odd_files[] = {
    {"plain", BYTES("a,b\n1,2\n3,4\n")},
    {"no line end at the end", BYTES("a,b\n1,2\n3,4")},
    {"CRLF and byte order mark", BYTES("\xef\xbb\xbf"
                                       "a,b\r\n1,2\r\n3,4\r\n")},
    {"mixed line ends and blank lines", BYTES("\n\na,b\r\n\r1,2\n3,4\r\r\n5,6\n\n\r\n")},
    {"CR alone", BYTES("a,b\r1,2\r3,4\r")},
    {"ragged", BYTES("a,b,c\n1\n1,2,3,4\n,\n5,6\n")},
    {"quotes", BYTES("a,b\n\"1,\n2\",\"\"\"\"\nx\"y,\"z\" \n \"u\",\"v\"w\n")},
    {"one column", BYTES("a\n1\n\"\"\n2\n\n3")},
    {"other bytes", BYTES("a,b\n\0\xff,\xe4\n1,2\n")},
    {"nothing but a header", BYTES("a,b\n")},
    {"header without line end", BYTES("a,b")},
    {"missing cells", BYTES("a,b\nNA,\n,null\n")},
    {"tabs", BYTES("a\tb\n1\t2,3\n\"4\t5\"\t6\n")},
};

static void what_was_injected_is_reverted_byte_by_byte(void)
{
    static const char *const texts[] = {"", "X", "a much longer cell than any of the originals",
                                        "\"q,\n\""};
    static const double rates[] = {0, 0.3, 1};
    FOLDER(folder);
    const char *in = folder_file(&folder, "in.csv"), *out = folder_file(&folder, "out.csv");
    const char *key = folder_file(&folder, "out.key"), *back = folder_file(&folder, "back.csv");
    for (size_t i = 0; i < CE_COUNT(odd_files) * CE_COUNT(texts) * CE_COUNT(rates); i++) {
        size_t f = i % CE_COUNT(odd_files), t = i / CE_COUNT(odd_files) % CE_COUNT(texts);
        double rate = rates[i / CE_COUNT(odd_files) / CE_COUNT(texts)];
        struct ce_error err = {0};
        struct ce_cell_fault fault = fault_writing(texts[t], rate, i);
        struct ce_inject_result result;
        char sha[CE_SHA256_HEX];
        REQUIRE_OK(ce_file_replace(in, odd_files[f].file, odd_files[f].size, &err), err);
        REQUIRE_OK(ce_data_inject(in, out, key, &fault, &result, &err), err);
        REQUIRE_OK(ce_sha256_file(in, sha, &err), err);
        CHECK_TEXT(result.sha256_in, sha);
        REQUIRE_OK(ce_sha256_file(out, sha, &err), err);
        CHECK_TEXT(result.sha256_out, sha);
        CHECK(same_bytes(out, odd_files[f].file, odd_files[f].size) ==
              (result.counts.changed == 0));
        REQUIRE_OK(ce_data_revert(out, key, back, &err), err);
        if (!same_bytes(back, odd_files[f].file, odd_files[f].size)) {
            printf("# %s, '%s', rate %g\n", odd_files[f].what, texts[t], rate);
            CHECK(!"the original is back");
        }
        CHECK(folder_count(&folder) == 4);
    }
}

static void only_the_chosen_cells_differ(void)
{
    FOLDER(folder);
    static const char file[] = "\xef\xbb\xbf"
                               "n,\"text\"\r\n1,\"a\"\n\n2,NA\r\n3\n4,b,more\n";
    const char *in = folder_write(&folder, "in.csv", file, strlen(file));
    const char *out = folder_file(&folder, "out.csv"), *key = folder_file(&folder, "out.key");
    struct ce_error err = {0};
    struct ce_inject_result result;
    char *names[] = {(char *)"text"};
    struct ce_cell_fault fault = fault_writing("NEW", 1, 1);
    fault.columns = (struct ce_names){names, 1};
    REQUIRE_OK(ce_data_inject(in, out, key, &fault, &result, &err), err);
    CHECK(same_bytes(out, BYTES("\xef\xbb\xbf"
                                "n,\"text\"\r\n1,NEW\n\n2,NA\r\n3\n4,NEW,more\n")));
    CHECK(result.rows == 4 && result.columns == 2);
    CHECK(result.counts.eligible == 4 && result.counts.selected == 4 && result.counts.changed == 2);
    CHECK_TEXT(result.counts.skipped[0].reason, "missing");
    CHECK_TEXT(result.counts.skipped[1].reason, "absent");
    CHECK(result.counts.skipped[0].count == 1 && result.counts.skipped[1].count == 1);

    fault.columns = (struct ce_names){0};
    fault.takes_column = takes_numbers;
    REQUIRE_OK(ce_data_inject(in, out, key, &fault, &result, &err), err);
    CHECK(same_bytes(out, BYTES("\xef\xbb\xbf"
                                "n,\"text\"\r\nNEW,\"a\"\n\nNEW,NA\r\nNEW\nNEW,b,more\n")));
}

static void writing_the_same_again_is_no_change(void)
{
    FOLDER(folder);
    const char *in = folder_write(&folder, "in.csv", "a\n1\n2\n", 6);
    struct ce_error err = {0};
    struct ce_inject_result result;
    struct ce_cell_fault fault = fault_writing("1", 1, 1);
    REQUIRE_OK(ce_data_inject(in, folder_file(&folder, "out.csv"), folder_file(&folder, "key"),
                              &fault, &result, &err),
               err);
    CHECK(result.counts.selected == 2 && result.counts.changed == 1);
    CHECK_TEXT(result.counts.skipped[0].reason, "no change");
}

static void unknown_columns_are_refused_with_the_nearest_name(void)
{
    FOLDER(folder);
    const char *in = folder_write(&folder, "in.csv", "age,income\n1,2\n", 15);
    const char *out = folder_file(&folder, "out.csv"), *key = folder_file(&folder, "key");
    static char *names[] = {(char *)"incme", (char *)"something else"};
    struct ce_cell_fault fault = fault_writing("x", 1, 1);
    struct ce_inject_result result;
    struct ce_error err = {0};
    fault.columns = (struct ce_names){names, 1};
    CHECK(ce_data_inject(in, out, key, &fault, &result, &err) == -ENOENT);
    CHECK(strstr(err.message, "has no column 'incme'; did you mean 'income'?") != NULL);
    fault.columns = (struct ce_names){names + 1, 1};
    CHECK(ce_data_inject(in, out, key, &fault, &result, &err) == -ENOENT);
    CHECK(strstr(err.message, "its columns are: age, income") != NULL);
    CHECK(folder_count(&folder) == 1);
}

/* ---- the recipe ---- */

enum { ROWS = 20000, COLUMNS = 4 };

static const char *large_file(struct folder *folder)
{
    ce_autofree char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fputs("a,b,c,d\n", out);
    for (int i = 0; i < ROWS; i++)
        fprintf(out, "%d,%d.5,x%d,%d\n", i, i % 7, i, -i);
    fclose(out);
    return folder_write(folder, "in.csv", text, size);
}

static void the_same_seed_hits_the_same_cells(void)
{
    FOLDER(folder);
    const char *in = large_file(&folder), *out = folder_file(&folder, "out.csv");
    const char *again = folder_file(&folder, "again.csv"), *key = folder_file(&folder, "key");
    struct ce_error err = {0};
    struct ce_inject_result first, second, other;
    struct ce_cell_fault fault = fault_writing("X", 0.1, 42);
    fault.rewrite = write_random;
    REQUIRE_OK(ce_data_inject(in, out, key, &fault, &first, &err), err);
    REQUIRE_OK(ce_data_inject(in, again, key, &fault, &second, &err), err);
    CHECK(same_files(out, again));
    /* Known answer: recipes are stable for ever, on any machine. */
    CHECK_TEXT(first.sha256_out,
               "aa0292ee1cb465fa8b8eceb6db20337b0386c80f516df9bd09f1d32b623710ce");
    fault.seed = 43;
    REQUIRE_OK(ce_data_inject(in, again, key, &fault, &other, &err), err);
    CHECK(!same_files(out, again));
}

static void as_many_cells_are_hit_as_the_rate_says(void)
{
    static const double rates[] = {0.001, 0.05, 0.5, 0.95};
    FOLDER(folder);
    const char *in = large_file(&folder), *out = folder_file(&folder, "out.csv"),
               *key = folder_file(&folder, "key");
    for (size_t i = 0; i < CE_COUNT(rates); i++) {
        struct ce_error err = {0};
        struct ce_inject_result result;
        struct ce_diff diff;
        struct ce_cell_fault fault = fault_writing("X", rates[i], 7);
        REQUIRE_OK(ce_data_inject(in, out, key, &fault, &result, &err), err);
        double expected = rates[i] * ROWS * COLUMNS, sd = sqrt(expected * (1 - rates[i]));
        CHECK(result.counts.eligible == ROWS * COLUMNS);
        CHECK(result.counts.selected == result.counts.changed);
        CHECK(fabs((double)result.counts.changed - expected) < 4 * sd);
        REQUIRE_OK(ce_data_diff(in, out, &diff, &err), err);
        CHECK(diff.cells_changed == result.counts.changed && diff.rows_a == ROWS &&
              diff.rows_b == ROWS);
    }
}

/* Whether every X of the file `fewer` is one in `more` too, which has some that `fewer` has not. */
static bool is_nested(const char *fewer, const char *more)
{
    CE_CLEANUP(ce_autofile_) FILE *a = fopen(fewer, "r"), *b = fopen(more, "r");
    char cells_a[COLUMNS][32], cells_b[COLUMNS][32];
    int only_more = 0;
    for (int row = 0; row <= ROWS; row++) {
        const char *form = "%31[^,],%31[^,],%31[^,],%31[^\n]\n";
        if (fscanf(a, form, cells_a[0], cells_a[1], cells_a[2], cells_a[3]) != COLUMNS ||
            fscanf(b, form, cells_b[0], cells_b[1], cells_b[2], cells_b[3]) != COLUMNS)
            return false;
        for (int i = 0; i < COLUMNS; i++) {
            bool hit_a = strcmp(cells_a[i], "X") == 0, hit_b = strcmp(cells_b[i], "X") == 0;
            if (hit_a && !hit_b)
                return false;
            only_more += hit_b && !hit_a;
        }
    }
    return only_more > 0;
}

static void the_cells_of_a_lower_rate_are_among_those_of_a_higher(void)
{
    FOLDER(folder);
    const char *in = large_file(&folder), *key = folder_file(&folder, "key");
    const char *fewer = folder_file(&folder, "fewer.csv"), *more = folder_file(&folder, "more.csv");
    struct ce_error err = {0};
    struct ce_inject_result result;
    struct ce_cell_fault fault = fault_writing("X", 0.1, 3);
    REQUIRE_OK(ce_data_inject(in, fewer, key, &fault, &result, &err), err);
    fault.rate = 0.15;
    REQUIRE_OK(ce_data_inject(in, more, key, &fault, &result, &err), err);
    CHECK(is_nested(fewer, more));
    CHECK(!is_nested(more, fewer));
}

static void a_cell_is_hit_whoever_asks(void)
{
    FOLDER(folder);
    const char *in = folder_write(&folder, "in.csv", "a,b\n1,2\n3,4\n5,6\n7,8\n", 20);
    const char *out = folder_file(&folder, "out.csv");
    struct ce_error err = {0};
    struct ce_inject_result result;
    struct ce_cell_fault fault = fault_writing("", 0.5, 11);
    fault.rewrite = write_random;
    REQUIRE_OK(ce_data_inject(in, out, folder_file(&folder, "key"), &fault, &result, &err), err);
    struct ce_csv_reader *reader;
    REQUIRE_OK(ce_csv_open(out, &reader, &err), err);
    struct ce_csv_record record;
    while (ce_csv_next(reader, &record, &err) > 0)
        for (size_t i = 0; i < 2; i++) {
            const char *name = ce_csv_column_name(reader, i);
            char value[32], want[32];
            uint64_t words[2];
            ce_csv_value(&record.cells[i], value, sizeof value);
            ce_cell_random(11, "test", name, record.row, words);
            snprintf(want, sizeof want, "%016llx", (unsigned long long)words[0]);
            CHECK((strcmp(value, want) == 0) ==
                  ce_cell_selected(11, "test", name, record.row, 0.5));
        }
    ce_csv_close(reader);
}

static void columns_of_the_same_name_are_hit_independently(void)
{
    FOLDER(folder);
    ce_autofree char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    fputs("x,x\n", stream);
    for (int i = 0; i < 1000; i++)
        fputs("1,1\n", stream);
    fclose(stream);
    const char *in = folder_write(&folder, "in.csv", text, size),
               *out = folder_file(&folder, "out.csv");
    struct ce_error err = {0};
    struct ce_inject_result result;
    struct ce_cell_fault fault = fault_writing("0", 0.5, 1);
    REQUIRE_OK(ce_data_inject(in, out, folder_file(&folder, "key"), &fault, &result, &err), err);
    ce_autofree char *after = NULL;
    REQUIRE_OK(ce_file_read(out, SIZE_MAX / 2, &after, &size, &err), err);
    int differ = 0;
    for (const char *line = strchr(after, '\n') + 1; *line; line += 4)
        differ += line[0] != line[2];
    CHECK(differ > 400 && differ < 600);
}

/* ---- the key ---- */

struct keyed {
    const char *in, *out, *key, *back;
};

static struct keyed make_keyed(struct folder *folder)
{
    struct keyed k = {large_file(folder), folder_file(folder, "out.csv"),
                      folder_file(folder, "key"), folder_file(folder, "back.csv")};
    struct ce_inject_result result;
    struct ce_cell_fault fault = fault_writing("X", 0.01, 42);
    if (ce_data_inject(k.in, k.out, k.key, &fault, &result, NULL) < 0)
        exit(99);
    return k;
}

static void a_key_fits_one_file_only(void)
{
    FOLDER(folder);
    struct keyed k = make_keyed(&folder);
    struct ce_error err = {0};
    CHECK(ce_data_revert(k.in, k.key, k.back, &err) == -EINVAL);
    CHECK(strstr(err.message, "is not the file that the answer key") != NULL);
    CHECK(ce_data_revert(k.out, k.in, k.back, &err) == -EINVAL);
    CHECK(strstr(err.message, "is no answer key") != NULL);
    CHECK(ce_data_revert(k.out, folder_file(&folder, "absent"), k.back, &err) == -ENOENT);
    CHECK(folder_count(&folder) == 3);
    REQUIRE_OK(ce_data_revert(k.out, k.key, k.back, &err), err);
    CHECK(same_files(k.in, k.back));
}

static void damaged_keys_are_refused(void)
{
    FOLDER(folder);
    struct keyed k = make_keyed(&folder);
    struct ce_error err = {0};
    ce_autofree char *key = NULL;
    size_t size;
    REQUIRE_OK(ce_file_read(k.key, SIZE_MAX / 2, &key, &size, &err), err);
    for (size_t cut = 0; cut < size; cut += cut < 400 || cut + 400 > size ? 7 : 97) {
        (void)folder_write(&folder, "key", key, cut);
        CHECK(ce_data_revert(k.out, k.key, k.back, &err) == -EINVAL);
    }
    for (size_t at = 0; at < size; at += at < 400 || at + 400 > size ? 3 : 101) {
        key[at] ^= 1;
        (void)folder_write(&folder, "key", key, size);
        CHECK(ce_data_revert(k.out, k.key, k.back, &err) == -EINVAL);
        CHECK(strstr(err.message, "key") != NULL);
        key[at] ^= 1;
    }
    (void)folder_write(&folder, "key", "chaoseater answer key 2\n{}\n", 27);
    CHECK(ce_data_revert(k.out, k.key, k.back, &err) == -EINVAL);
    CHECK(strstr(err.message, "of another version") != NULL);
    CHECK(folder_count(&folder) == 3);
}

/* A key whose seal is right and whose numbers are not: made by hand, or by a fault of ours. */
static void forged_keys_give_nothing_back(void)
{
    static const struct {
        const char *changes;
        size_t size;
    } cases[] = {
        {BYTES("\x03")},                                         /* ends within a change */
        {BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")}, /* a number of more than 64 bits */
        {BYTES("\x7f\0\0\1\1x")}, /* a gap beyond the end of the file */
        {BYTES("\0\0\0\x7f\1x")}, /* a cell beyond the end of the file */
        {BYTES("\0\0\0\1\x7fx")}, /* old bytes beyond the end of the key */
        {BYTES("\2\0\0\1\1x")},   /* all in range, and not the original */
    };
    FOLDER(folder);
    const char *out = folder_write(&folder, "out.csv", "a\n1\n", 4);
    char sha[CE_SHA256_HEX], seal[CE_SHA256_HEX];
    struct ce_error err = {0};
    REQUIRE_OK(ce_sha256_file(out, sha, &err), err);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char key[1024];
        size_t size = (size_t)snprintf(key, sizeof key, "chaoseater answer key 1\n{}\n");
        memcpy(key + size, cases[i].changes, cases[i].size);
        size_t trailer = size += cases[i].size;
        size += (size_t)snprintf(key + size, sizeof key - size,
                                 "{\"sha256_in\":\"%s\",\"sha256_out\":\"%s\"}\n", sha, sha);
        REQUIRE_OK(ce_sha256_data(key, size, seal, &err), err);
        size += (size_t)snprintf(key + size, sizeof key - size, "%016zx %s\n", trailer, seal);
        CHECK(ce_data_revert(out, folder_write(&folder, "key", key, size),
                             folder_file(&folder, "back.csv"), &err) == -EINVAL);
        CHECK(folder_count(&folder) == 2);
    }
}

/* ---- what can go wrong outside ---- */

static void a_full_disk_leaves_nothing_behind(void)
{
    FOLDER(folder);
    struct keyed k = make_keyed(&folder);
    struct ce_error err = {0};
    struct ce_inject_result result;
    struct ce_cell_fault fault = fault_writing("X", 0.5, 1);
    struct rlimit old, small = {100 * 1000, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
    small.rlim_max = old.rlim_max;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    int injected = ce_data_inject(k.in, folder_file(&folder, "new.csv"),
                                  folder_file(&folder, "new.key"), &fault, &result, &err);
    CHECK(strstr(err.message, "cannot write") && strstr(err.message, "File too large"));
    int reverted = ce_data_revert(k.out, k.key, k.back, &err);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK(injected == -EFBIG && reverted == -EFBIG);
    CHECK(folder_count(&folder) == 3);
}

static void unwritable_places_leave_nothing_behind(void)
{
    FOLDER(folder);
    struct keyed k = make_keyed(&folder);
    struct ce_error err = {0};
    struct ce_inject_result result;
    struct ce_cell_fault fault = fault_writing("X", 0.5, 1);
    const char *nowhere = folder_file(&folder, "absent/out.csv"),
               *fine = folder_file(&folder, "fine");
    CHECK(ce_data_inject(k.in, nowhere, fine, &fault, &result, &err) == -ENOENT);
    CHECK(strstr(err.message, "cannot write") != NULL);
    CHECK(ce_data_inject(k.in, fine, nowhere, &fault, &result, &err) == -ENOENT);
    CHECK(ce_data_inject(k.in, fine, fine, &fault, &result, &err) == -EINVAL);
    CHECK(ce_data_revert(k.out, k.key, nowhere, &err) == -ENOENT);
    /* The output cannot take the name of a folder; its key must not stay either. */
    const char *folder_there = folder_file(&folder, "folder");
    REQUIRE(mkdir(folder_there, 0700) == 0);
    CHECK(ce_data_inject(k.in, folder_there, fine, &fault, &result, &err) == -EISDIR);
    CHECK(folder_count(&folder) == 4);
}

static void what_a_killed_process_left_is_overwritten(void)
{
    FOLDER(folder);
    struct keyed k = make_keyed(&folder);
    struct ce_error err = {0};
    struct ce_inject_result result;
    struct ce_cell_fault fault = fault_writing("X", 0.01, 42);
    (void)folder_write(&folder, "out.csv.chaoseater-tmp", "half", 4);
    REQUIRE_OK(ce_data_inject(k.in, k.out, k.key, &fault, &result, &err), err);
    CHECK(folder_count(&folder) == 3);
}

static void files_keep_their_mode(void)
{
    FOLDER(folder);
    struct keyed k = make_keyed(&folder);
    struct ce_error err = {0};
    struct ce_inject_result result;
    struct ce_cell_fault fault = fault_writing("X", 0.01, 42);
    struct stat st;
    REQUIRE(chmod(k.in, 0640) == 0);
    REQUIRE_OK(ce_data_inject(k.in, k.out, k.key, &fault, &result, &err), err);
    CHECK(stat(k.out, &st) == 0 && (st.st_mode & 07777) == 0640);
    REQUIRE_OK(ce_data_revert(k.out, k.key, k.back, &err), err);
    CHECK(stat(k.back, &st) == 0 && (st.st_mode & 07777) == 0640);
}

/* ---- comparing ---- */

static void diff_counts_cells_by_value(void)
{
    static const struct {
        const char *a, *b;
        struct ce_diff want;
    } cases[] = {
        {"a,b\n1,2\n", "a,b\n1,2\n", {0, 1, 1}},
        {"a,b\n1,2\n", "a,b\r\n\"1\",2", {0, 1, 1}},
        {"a,b\n\"x\"\"y\",2\n", "a,b\nx\"y,3\n", {1, 1, 1}},
        {"a,b\n1,2\n", "a,b\n1,\n", {1, 1, 1}},
        {"a,b\n1,2\n", "a,b\n1\n", {1, 1, 1}},
        {"a,b\n1\n", "a,b\n1,2,3\n", {2, 1, 1}},
        {"a,b\n1,2\n3,4\n", "a,b\n1,1\n", {1, 2, 1}},
        {"a,b\n", "a,b\n1,2\n", {0, 0, 1}},
        {"a,b\n1,ab\n", "a,b\n1,\"a\"\n", {1, 1, 1}},
    };
    FOLDER(folder);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        struct ce_diff diff;
        const char *a = folder_write(&folder, "a.csv", cases[i].a, strlen(cases[i].a));
        const char *b = folder_write(&folder, "b.csv", cases[i].b, strlen(cases[i].b));
        REQUIRE_OK(ce_data_diff(a, b, &diff, &err), err);
        CHECK(diff.cells_changed == cases[i].want.cells_changed);
        CHECK(diff.rows_a == cases[i].want.rows_a && diff.rows_b == cases[i].want.rows_b);
    }
}

int main(void)
{
    TEST(what_was_injected_is_reverted_byte_by_byte);
    TEST(only_the_chosen_cells_differ);
    TEST(writing_the_same_again_is_no_change);
    TEST(unknown_columns_are_refused_with_the_nearest_name);
    TEST(the_same_seed_hits_the_same_cells);
    TEST(as_many_cells_are_hit_as_the_rate_says);
    TEST(the_cells_of_a_lower_rate_are_among_those_of_a_higher);
    TEST(a_cell_is_hit_whoever_asks);
    TEST(columns_of_the_same_name_are_hit_independently);
    TEST(a_key_fits_one_file_only);
    TEST(damaged_keys_are_refused);
    TEST(forged_keys_give_nothing_back);
    TEST(a_full_disk_leaves_nothing_behind);
    TEST(unwritable_places_leave_nothing_behind);
    TEST(what_a_killed_process_left_is_overwritten);
    TEST(files_keep_their_mode);
    TEST(diff_counts_cells_by_value);
    return test_done();
}
