/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "data/text/text_internal.h"
#include "data_files.h"

/* A literal with its size: NUL bytes count. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/* ---- faults ---- */

static bool takes_all(const void *ctx, const struct ce_column_profile *column)
{
    return true;
}

static bool takes_numbers(const void *ctx, const struct ce_column_profile *column)
{
    return column->numeric;
}

/* ctx: the text. */
static const char *write_text(const void *ctx, struct ce_cell *cell)
{
    return ce_cell_missing(cell) ? "missing" : ce_cell_set_text(cell, ctx, strlen(ctx));
}

static const char *write_missing(const void *ctx, struct ce_cell *cell)
{
    return ce_cell_missing(cell) ? "missing" : ce_cell_set_missing(cell, ctx);
}

static const char *add_one(const void *ctx, struct ce_cell *cell)
{
    double value;
    if (!ce_cell_number(cell, &value))
        return "not numeric";
    return ce_cell_set_number(cell, value + 1, CE_FIT_NEAREST);
}

static const char *write_draw(const void *ctx, struct ce_cell *cell)
{
    char text[24];
    uint64_t words[2];
    ce_cell_draw(cell, words);
    snprintf(text, sizeof text, "%08llx", (unsigned long long)words[0] & 0xffffffff);
    return ce_cell_set_text(cell, text, strlen(text));
}

static int value_of_row(const void *ctx, uint64_t row, const struct ce_stream *draws, char *text,
                        size_t size, bool *ret_number)
{
    *ret_number = true;
    return row % 3 == 2 ? -1 : snprintf(text, size, "%llu", (unsigned long long)row);
}

static struct ce_mutation cells(const char *(*rewrite)(const void *, struct ce_cell *),
                                const void *ctx, double rate)
{
    return (struct ce_mutation){.fault = "cells",
                                .seed = 7,
                                .scope = {.rate = rate},
                                .takes = takes_all,
                                .rewrite = rewrite,
                                .ctx = (void *)ctx};
}

static struct ce_mutation copies(enum ce_row_place place, uint64_t lag, double rate)
{
    return (struct ce_mutation){.fault = "copies",
                                .seed = 11,
                                .kind = CE_MUTATE_ROWS,
                                .scope = {.rate = rate},
                                .fate = CE_ROW_COPY,
                                .place = place,
                                .lag = lag};
}

static struct ce_mutation drops(double rate)
{
    return (struct ce_mutation){.fault = "drops",
                                .seed = 13,
                                .kind = CE_MUTATE_ROWS,
                                .scope = {.rate = rate},
                                .fate = CE_ROW_DROP};
}

static struct ce_mutation layout(enum ce_layout_change change, const char *column, const char *name)
{
    return (struct ce_mutation){.fault = "layout",
                                .seed = 17,
                                .kind = CE_MUTATE_LAYOUT,
                                .change = change,
                                .column = column,
                                .name = name,
                                .value = value_of_row};
}

/* Several that meet in one pass. */
enum { SETS = 13, SET_MAX = 6 };
static size_t mutation_set(int index, struct ce_mutation *set)
{
    switch (index) {
    case 0:
        return 0;
    case 1:
        set[0] = cells(write_text, "a, \"b\"\nc", 0.4);
        return 1;
    case 2:
        set[0] = cells(write_missing, NULL, 1);
        return 1;
    case 3:
        set[0] = drops(0.5);
        return 1;
    case 4:
        set[0] = drops(1);
        return 1;
    case 5:
        set[0] = copies(CE_PLACE_NEXT, 0, 0.6);
        return 1;
    case 6:
        set[0] = copies(CE_PLACE_END, 0, 0.6);
        set[1] = drops(0.5);
        return 2;
    case 7:
        set[0] = copies(CE_PLACE_LATER, 2, 0.6);
        set[1] = drops(0.4);
        return 2;
    case 8:
        set[0] = copies(CE_PLACE_SHUFFLED, 0, 0.7);
        set[1] = cells(write_draw, NULL, 0.3);
        return 2;
    case 9:
        set[0] = layout(CE_LAYOUT_ADD, NULL, "added");
        set[1] = cells(write_text, "x", 0.3);
        set[2] = drops(0.3);
        return 3;
    case 10:
        set[0] = layout(CE_LAYOUT_REORDER, NULL, NULL);
        set[1] = copies(CE_PLACE_NEXT, 0, 0.5);
        return 2;
    case 11:
        set[0] = cells(write_draw, NULL, 0.2);
        set[0].scope.where = "row >= 1";
        set[1] = drops(0.3);
        set[2] = copies(CE_PLACE_NEXT, 0, 0.3);
        set[2].rewrite = write_draw;
        set[2].takes = takes_all;
        set[3] = copies(CE_PLACE_END, 0, 0.3);
        return 4;
    default:
        set[0] = copies(CE_PLACE_NEXT, 0, 0.4);
        set[1] = drops(0.6);
        set[2] = copies(CE_PLACE_SHUFFLED, 0, 0.5);
        set[3] = copies(CE_PLACE_LATER, 1, 0.5);
        set[4] = cells(write_missing, "absent", 0.3);
        set[5] = layout(CE_LAYOUT_ADD, NULL, "added");
        return 6;
    }
}

/* ---- files ---- */

static const struct {
    const char *name, *file;
    size_t size;
} odd_files[] = {
    {"plain.csv", BYTES("a,b\n1,2\n3,4\n")},
    {"unended.csv", BYTES("a,b\n1,2\n3,4")},
    {"crlf_and_mark.csv", BYTES("\xef\xbb\xbf"
                                "a,b\r\n1,2\r\n3,4\r\n")},
    {"crlf_unended.csv", BYTES("a,b\r\n1,2\r\n3,4\r\n5,6\r\n7,8")},
    {"mixed.csv", BYTES("\n\na,b\r\n\r1,2\n3,4\r\r\n5,6\n\n\r\n")},
    {"mixed_unended.csv", BYTES("a,b\r\n1,2\n3,4\r\n5,6\n\n7,8\r\n9,0")},
    {"cr.csv", BYTES("a,b\r1,2\r3,4\r")},
    {"ragged.csv", BYTES("a,b,c\n1\n1,2,3,4\n,\n5,6\n")},
    {"quotes.csv", BYTES("a,b\n\"1,\n2\",\"\"\"\"\nx\"y,\"z\" \n \"u\",\"v\"w\n")},
    {"one_column.csv", BYTES("a\n1\n\"\"\n2\n\n3")},
    {"other_bytes.csv", BYTES("a,b\n\0\xff,\xe4\n1,2\n")},
    {"header.csv", BYTES("a,b\n")},
    {"bare_header.csv", BYTES("a,b")},
    {"missing.csv", BYTES("a,b\nNA,\n,null\n")},
    {"tabs.tsv", BYTES("a\tb\n1\t2,3\n\"4\t5\"\t6\n")},
    {"long.csv", BYTES("a,b\n"
                       "1,\"a cell that is longer than the smallest chunk, which therefore must "
                       "grow, and grow again\"\n2,3\n4,\"another one of that kind, although it is "
                       "not quite as long\"\n")},
    {"plain.jsonl", BYTES("{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\",\"a\":2}\n{\"a\":null}\n")},
    {"unended.jsonl", BYTES("{\"a\": 1, \"b\": [1, 2]}\r\n{\"a\": 2.50, \"c\": \"\\u00e4\\n\"}")},
    {"one.jsonl", BYTES("{\"a\":1}")},
};

static void many_rows(struct ce_buffer *file, size_t rows, const char *end)
{
    static const char *const names[] = {"x", "\"y, z\"", "", "w"};
    char line[96];
    ce_buffer_put(file, "id,v,name\n", 10);
    for (size_t i = 0; i < rows; i++) {
        int n = snprintf(line, sizeof line, "%zu,%zu.%02zu,%s%s", i, i * 7 % 50, i % 100,
                         names[i % 4], i + 1 < rows ? "\n" : end);
        ce_buffer_put(file, line, (size_t)n);
    }
}

/* Not inlined: the compiler takes what the file's buffer is for something of this function's. */
static __attribute__((noinline)) char *content_of(const char *path, size_t *ret_size)
{
    char *text = NULL;
    if (ce_file_read(path, SIZE_MAX / 2, &text, ret_size, NULL) < 0)
        exit(99);
    return text;
}

static size_t count_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static uint64_t skipped(const struct ce_fault_counts *counts)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < CE_SKIP_REASONS_MAX; i++)
        sum += counts->skipped[i].count;
    return sum;
}

/* Injects with one thread and with several, checks all that must hold whatever the mutations are,
 * and leaves `out`. Returns whether it could be done: that must be the same for all. */
static bool inject_and_revert(struct folder *folder, const char *in, const char *name,
                              const struct ce_mutation *set, size_t count, size_t chunk_size)
{
    static const unsigned threads[] = {1, 2, 5};
    ce_autofree char *out = ce_format("%s/out-%s", folder->path, name);
    ce_autofree char *other = ce_format("%s/other-%s", folder->path, name);
    ce_autofree char *back = ce_format("%s/back-%s", folder->path, name);
    const char *key = folder_file(folder, "key"), *other_key = folder_file(folder, "other-key");
    int first = 0;
    struct ce_error first_err = {0};
    /* Small files in large chunks are one chunk. */
    size_t variants = chunk_size == 0 && count_bytes(in) < 100000 ? 1 : CE_COUNT(threads);
    for (size_t i = 0; i < variants; i++) {
        struct ce_error err = {0};
        struct ce_data_result result = {0};
        struct ce_data_options options = {.threads = threads[i]};
        int r = ce_text_inject_chunks(in, i == 0 ? out : other, i == 0 ? key : other_key, set,
                                      count, &options, chunk_size, &result, &err);
        if (i == 0) {
            first = r;
            first_err = err;
        }
        CHECK(r == first);
        CHECK_TEXT(err.message, first_err.message);
        CHECK_TEXT(err.where, first_err.where);
        if (r < 0)
            continue;
        char sha[CE_SHA256_HEX];
        CHECK(ce_sha256_file(in, sha, NULL) == 0);
        CHECK_TEXT(result.sha256_in, sha);
        CHECK(ce_sha256_file(i == 0 ? out : other, sha, NULL) == 0);
        CHECK_TEXT(result.sha256_out, sha);
        for (size_t k = 0; k < count; k++) {
            const struct ce_fault_counts *counts = &result.counts[k];
            CHECK(counts->selected <= counts->eligible);
            CHECK(counts->selected == counts->changed + skipped(counts));
        }
        free(result.counts);
        if (i > 0)
            CHECK(same_files(out, other) && same_files(key, other_key));
    }
    if (first < 0) {
        CHECK(access(out, F_OK) < 0 && access(key, F_OK) < 0);
        return false;
    }
    struct ce_error err = {0};
    int r = ce_text_revert(out, key, back, &err);
    CHECK(r == 0 && same_files(in, back));
    if (r < 0)
        printf("# %s: %s\n", name, err.message);
    CHECK(folder_count(folder) == (variants > 1 ? 6 : 4));
    (void)unlink(other);
    (void)unlink(other_key);
    (void)unlink(back);
    (void)unlink(key);
    return true;
}

static void whatever_is_injected_is_reverted_byte_by_byte(void)
{
    for (size_t f = 0; f < CE_COUNT(odd_files); f++)
        for (int s = 0; s < SETS; s++)
            for (size_t chunk = 0; chunk <= 32; chunk += 32) {
                struct ce_mutation set[SET_MAX];
                size_t count = mutation_set(s, set);
                FOLDER(folder);
                const char *in =
                    folder_write(&folder, odd_files[f].name, odd_files[f].file, odd_files[f].size);
                bool done = inject_and_revert(&folder, in, odd_files[f].name, set, count, chunk);
                if (!done || check_failures > 0)
                    printf("# file %s, set %d, chunks of %zu\n", odd_files[f].name, s, chunk);
                CHECK(done);
            }
}

/* Bytes in which any rule of CSV may be broken; what cannot be read is refused alike. */
static void arbitrary_files_too(void)
{
    static const char alphabet[] = ",,,\n\n\r\"\"ab1.; \t#\\";
    struct ce_stream draws = ce_stream_init(3, "test", "files");
    uint64_t at = 0;
    int read = 0;
    for (int i = 0; i < 150; i++) {
        char file[400];
        size_t size = ce_stream_below(&draws, at++, sizeof file);
        memcpy(file, "a,b\n", 4);
        for (size_t k = 4; k < size; k++)
            file[k] = alphabet[ce_stream_below(&draws, at++, sizeof alphabet - 1)];
        struct ce_mutation set[SET_MAX];
        size_t count = mutation_set(1 + i % (SETS - 1), set);
        FOLDER(folder);
        const char *in = folder_write(&folder, "in.csv", file, size < 4 ? 4 : size);
        read += inject_and_revert(&folder, in, "x.csv", set, count, i % 3 * 24);
    }
    CHECK(read > 30);
}

static void chunks_do_not_show(void)
{
    static const char *const ends[] = {"\n", ""};
    for (size_t e = 0; e < CE_COUNT(ends); e++)
        for (int s = 0; s < SETS; s++) {
            FOLDER(folder);
            CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
            many_rows(&file, 9000, ends[e]);
            const char *in = folder_write(&folder, "in.csv", file.data, file.size);
            struct ce_mutation set[SET_MAX];
            size_t count = mutation_set(s, set);
            CHECK(inject_and_revert(&folder, in, "x.csv", set, count, 0));
            ce_autofree char *whole = NULL;
            size_t size;
            const char *out = folder_file(&folder, "out-x.csv");
            whole = content_of(out, &size);
            CHECK(inject_and_revert(&folder, in, "x.csv", set, count, 10000));
            /* All rows of the last chunk may be dropped: then a line end stays. */
            bool all_dropped = s == 4 && e == 1;
            CHECK(all_dropped || same_bytes(out, whole, size));
        }
}

/* ---- what exactly is written ---- */

static void expect_file(const char *file, struct ce_mutation *set, size_t count, const char *want,
                        int line)
{
    FOLDER(folder);
    const char *in = folder_write(&folder, "in.csv", file, strlen(file));
    CHECK(inject_and_revert(&folder, in, "x.csv", set, count, 0));
    size_t size;
    ce_autofree char *text = content_of(folder_file(&folder, "out-x.csv"), &size);
    if (strcmp(text, want) != 0)
        printf("# line %d: \"%s\", not \"%s\"\n", line, text, want);
    CHECK(strcmp(text, want) == 0);
}
#define EXPECT(file, want, ...)                                                                    \
    do {                                                                                           \
        struct ce_mutation set_[] = {__VA_ARGS__};                                                 \
        expect_file(file, set_, CE_COUNT(set_), want, __LINE__);                                   \
    } while (0)

static void rows_end_as_the_rows_of_the_input_did(void)
{
    EXPECT("a\n1\n2\n", "a\n", drops(1));
    EXPECT("a\n1\n2", "a", drops(1));
    EXPECT("a\n1\n2\n", "a\n1\n2\n1\n2\n", copies(CE_PLACE_END, 0, 1));
    EXPECT("a\n1\n2", "a\n1\n2\n1\n2", copies(CE_PLACE_END, 0, 1));
    EXPECT("a\r\n1\r\n2", "a\r\n1\r\n1\r\n2\r\n2", copies(CE_PLACE_NEXT, 0, 1));
    EXPECT("a\n1\n2\n3", "a\n1\n2\n1\n3\n2\n3", copies(CE_PLACE_LATER, 1, 1));
    EXPECT("a\n1\n2\n3\n", "a\n1\n2\n1\n3\n2\n3\n", copies(CE_PLACE_LATER, 1, 1));
    EXPECT("a\n1\n2", "a\n1\n2", copies(CE_PLACE_END, 0, 1), drops(1));
    EXPECT("a\n1\r\n\n2\n", "a\n\n", drops(1));
    EXPECT("a\n1\n", "a\n1\n1\n", copies(CE_PLACE_SHUFFLED, 0, 1));
}

static void later_mutations_see_what_earlier_ones_made(void)
{
    struct ce_mutation first = cells(write_text, "5", 1), second = cells(add_one, NULL, 1);
    EXPECT("a,b\n1,x\n", "a,b\n6,6\n", first, second);
    EXPECT("a,b\n1,x\n", "a,b\n5,5\n", second, first);
    struct ce_mutation later = cells(write_missing, "NA", 1);
    EXPECT("a,b\n1,2\n", "a,b\nNA,NA\n1,2\n", copies(CE_PLACE_END, 0, 1), later);
    EXPECT("a,b\n1,2\n", "a,b\nNA,NA\nNA,NA\n", later, copies(CE_PLACE_END, 0, 1));
}

static void cells_that_come_back_are_no_change(void)
{
    FOLDER(folder);
    const char *in = folder_write(&folder, "in.csv", "a\n1\n2\n", 6);
    struct ce_mutation set[] = {cells(write_text, "7", 1), cells(write_text, "1", 1)};
    struct ce_data_result result = {0};
    struct ce_error err = {0};
    REQUIRE_OK(ce_text_inject(in, folder_file(&folder, "out.csv"), folder_file(&folder, "key"), set,
                              2, NULL, &result, &err),
               err);
    CHECK(same_bytes(folder_file(&folder, "out.csv"), "a\n1\n1\n", 6));
    CHECK(result.counts[1].changed == 2);
    free(result.counts);
}

static void columns_are_laid_out_anew(void)
{
    static const char file[] = "a,\"b\",c\n1,\"2\",3\n\n4,5\n6,7,8,9\n";
    EXPECT(file, "a,\"b\",c,d\n1,\"2\",3,0\n\n4,5,,1\n6,7,8,,9\n",
           layout(CE_LAYOUT_ADD, NULL, "d"));
    EXPECT(file, "\"b\",c\n\"2\",3\n\n5\n7,8,9\n", layout(CE_LAYOUT_REMOVE, "a", NULL));
    EXPECT(file, "a,\"z\",c\n1,\"2\",3\n\n4,5\n6,7,8,9\n", layout(CE_LAYOUT_RENAME, "b", "z"));
    struct ce_mutation named = cells(write_text, "N", 1);
    char *names[] = {(char *)"z"};
    named.scope.columns = (struct ce_names){names, 1};
    EXPECT("a,b\n1,2\n", "a,z\n1,N\n", layout(CE_LAYOUT_RENAME, "b", "z"), named);
    EXPECT("a,b\n1,2\n", "b,a\n2,1\n", layout(CE_LAYOUT_REORDER, NULL, NULL));
}

static void only_hit_cells_of_the_scope_differ(void)
{
    struct ce_mutation some = cells(write_text, "N", 1);
    some.takes = takes_numbers;
    EXPECT("a,b\n1,x\n2,y\n", "a,b\nN,x\nN,y\n", some);
    some = cells(write_text, "N", 1);
    some.scope.where = "a > 1 and b = 'y'";
    EXPECT("a,b\n1,y\n2,y\n3,z\n", "a,b\n1,y\nN,N\n3,z\n", some);
    some = drops(1);
    some.scope.where = "a = 2";
    EXPECT("a,b\n1,y\n2,y\n3,z\n", "a,b\n1,y\n3,z\n", some);
}

static void wide_rows_are_rewritten_in_their_order(void)
{
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0}, want = {0};
    for (int row = 0; row < 3; row++)
        for (int i = 0; i < 100; i++) {
            char cell[16], end = i < 99 ? ',' : '\n';
            int n = snprintf(cell, sizeof cell, "%s%d%c", row == 0 ? "c" : "", i, end);
            ce_buffer_put(&file, cell, (size_t)n);
            n = row == 0 ? n : snprintf(cell, sizeof cell, "%d%c", i < 40 ? 6 : i + 1, end);
            ce_buffer_put(&want, cell, (size_t)n);
        }
    ce_buffer_put(&file, "", 1);
    ce_buffer_put(&want, "", 1);
    struct ce_mutation all = cells(add_one, NULL, 1), some = cells(write_text, "5", 1);
    char *names[] = {(char *)"c?", (char *)"c[123]?"};
    some.scope.columns = (struct ce_names){names, 2};
    EXPECT(file.data, want.data, some, all);
}

static void nothing_to_hit_leaves_the_file_as_it_is(void)
{
    FOLDER(folder);
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
    many_rows(&file, 30000, "");
    const char *in = folder_write(&folder, "in.csv", file.data, file.size);
    const char *out = folder_file(&folder, "out.csv"), *key = folder_file(&folder, "key");
    struct ce_mutation set[] = {cells(add_one, NULL, 0), drops(0), copies(CE_PLACE_LATER, 5, 0)};
    struct ce_data_result result = {0};
    struct ce_error err = {0};
    char sha[CE_SHA256_HEX];
    set[0].takes = takes_numbers;
    REQUIRE_OK(ce_text_inject(in, out, key, set, 3, NULL, &result, &err), err);
    CHECK(same_bytes(out, file.data, file.size));
    CHECK(ce_sha256_file(out, sha, NULL) == 0);
    CHECK_TEXT(result.sha256_in, sha);
    CHECK_TEXT(result.sha256_out, sha);
    CHECK(result.counts[0].eligible == 60000 && result.counts[0].selected == 0);
    CHECK(result.counts[1].eligible == 30000 && result.rows_out == 30000);
    free(result.counts);
    REQUIRE_OK(ce_text_revert(out, key, folder_file(&folder, "back.csv"), &err), err);
}

static void counts_add_up(void)
{
    FOLDER(folder);
    static const char file[] = "n,t\n1,a\n2,NA\n3\n4,b,more\n";
    const char *in = folder_write(&folder, "in.csv", file, strlen(file));
    struct ce_mutation set[] = {cells(write_text, "NEW", 1), drops(1), cells(write_text, "X", 1)};
    char *names[] = {(char *)"t"};
    set[0].scope.columns = (struct ce_names){names, 1};
    struct ce_data_result result = {0};
    struct ce_error err = {0};
    REQUIRE_OK(ce_text_inject(in, folder_file(&folder, "o.csv"), NULL, set, 3, NULL, &result, &err),
               err);
    CHECK(result.rows == 4 && result.rows_out == 0 && result.columns == 2 &&
          result.hit_columns == 2);
    CHECK(result.counts[0].eligible == 4 && result.counts[0].selected == 4 &&
          result.counts[0].changed == 2);
    CHECK_TEXT(result.counts[0].skipped[0].reason, "missing");
    CHECK_TEXT(result.counts[0].skipped[1].reason, "absent");
    CHECK(result.counts[1].eligible == 4 && result.counts[1].changed == 4);
    CHECK(result.counts[2].eligible == 8 && result.counts[2].changed == 0);
    CHECK(result.counts[2].skipped[0].count == 8);
    free(result.counts);
}

static void copies_come_where_they_are_to(void)
{
    FOLDER(folder);
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
    many_rows(&file, 5000, "\n");
    const char *in = folder_write(&folder, "in.csv", file.data, file.size);
    const char *out = folder_file(&folder, "out.csv");
    for (int place = CE_PLACE_END; place <= CE_PLACE_LATER; place++) {
        struct ce_mutation set[] = {copies(place, 100, 0.1)};
        struct ce_data_options options = {.threads = 2};
        struct ce_data_result result = {0};
        struct ce_error err = {0};
        REQUIRE_OK(ce_text_inject_chunks(in, out, NULL, set, 1, &options, 5000, &result, &err),
                   err);
        CHECK(result.rows_out == 5000 + result.counts[0].changed);
        CHECK(result.counts[0].changed > 350 && result.counts[0].changed < 650);
        size_t size, seen = 0, found = 0, line = 0;
        char *text = content_of(out, &size);
        for (char *p = strchr(text, '\n') + 1; *p; p = strchr(p, '\n') + 1, line++) {
            size_t id = strtoul(p, NULL, 10);
            if (id == seen && seen < 5000) {
                seen++;
                continue;
            }
            found++;
            CHECK(id < seen);
            CHECK(place != CE_PLACE_NEXT || id + 1 == seen);
            CHECK(place != CE_PLACE_LATER || id + 101 == seen || seen == 5000);
            CHECK(place != CE_PLACE_END || seen == 5000);
        }
        free(text);
        CHECK(seen == 5000 && found == result.counts[0].changed && line == result.rows_out);
        free(result.counts);
    }
}

static void near_duplicates_differ_in_one_cell(void)
{
    FOLDER(folder);
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
    many_rows(&file, 500, "\n");
    const char *in = folder_write(&folder, "in.csv", file.data, file.size);
    const char *out = folder_file(&folder, "out.csv");
    struct ce_mutation set[] = {copies(CE_PLACE_NEXT, 0, 1)};
    set[0].rewrite = write_draw;
    set[0].takes = takes_numbers;
    struct ce_data_result result = {0};
    struct ce_error err = {0};
    REQUIRE_OK(ce_text_inject(in, out, NULL, set, 1, NULL, &result, &err), err);
    free(result.counts);
    size_t size, of_id = 0, of_v = 0;
    char *text = content_of(out, &size);
    char *p = strchr(text, '\n') + 1;
    for (size_t i = 0; i < 500; i++) {
        char *copy = strchr(p, '\n') + 1, *next = strchr(copy, '\n') + 1;
        char *v = strchr(p, ','), *copied_v = strchr(copy, ',');
        size_t id_size = (size_t)(v - p);
        bool same_id = (size_t)(copied_v - copy) == id_size && memcmp(p, copy, id_size) == 0;
        bool same_rest =
            copy - v == next - copied_v && memcmp(v, copied_v, (size_t)(copy - v)) == 0;
        CHECK(same_id != same_rest);
        of_id += !same_id;
        of_v += !same_rest;
        p = next;
    }
    free(text);
    CHECK(of_id > 150 && of_v > 150);
}

/* ---- shards ---- */

static void shards_joined_are_the_whole(void)
{
    static const char *const ends[] = {"\n", ""};
    static const size_t sizes[] = {0, 1, 3, 700};
    for (int i = 0; i < SETS * 8; i++) {
        int s = i % SETS;
        size_t rows = sizes[i / SETS % 4];
        FOLDER(folder);
        CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0}, joined = {0};
        many_rows(&file, rows, ends[i / SETS / 4]);
        const char *in = folder_write(&folder, "in.csv", file.data, file.size);
        const char *out = folder_file(&folder, "out.csv"), *part = folder_file(&folder, "part.csv");
        struct ce_mutation set[SET_MAX];
        size_t count = mutation_set(s, set);
        struct ce_data_result whole = {0};
        struct ce_error err = {0};
        REQUIRE_OK(ce_text_inject_chunks(in, out, NULL, set, count, NULL, 4000, &whole, &err), err);
        uint64_t changed = 0, eligible = 0, rows_out = 0;
        for (unsigned shard = 1; shard <= 3; shard++) {
            struct ce_data_options options = {.shard = shard, .shard_count = 3, .threads = 2};
            struct ce_data_result result = {0};
            REQUIRE_OK(
                ce_text_inject_chunks(in, part, NULL, set, count, &options, 4000, &result, &err),
                err);
            size_t size;
            ce_autofree char *text = content_of(part, &size);
            ce_buffer_put(&joined, text, size);
            changed += count > 0 && set[0].kind != CE_MUTATE_LAYOUT ? result.counts[0].changed : 0;
            eligible +=
                count > 0 && set[0].kind != CE_MUTATE_LAYOUT ? result.counts[0].eligible : 0;
            rows_out += result.rows_out;
            free(result.counts);
        }
        if (count > 0 && set[0].kind != CE_MUTATE_LAYOUT)
            CHECK(changed == whole.counts[0].changed && eligible == whole.counts[0].eligible);
        CHECK(rows_out == whole.rows_out);
        if (!same_bytes(out, joined.data, joined.size)) {
            printf("# set %d, %zu rows, end '%s'\n", s, rows, ends[i / SETS / 4]);
            CHECK(!"the parts are the whole");
        }
        free(whole.counts);
    }
}

/* ---- formats, streams ---- */

static void late_columns_of_json_lines_count(void)
{
    FOLDER(folder);
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
    for (int i = 0; i < 40000; i++) {
        char line[64];
        int n = snprintf(line, sizeof line, "{\"a\":%d,\"b\":\"x\"%s}\n", i,
                         i < 39990 ? "" : ",\"late\":true");
        ce_buffer_put(&file, line, (size_t)n);
    }
    const char *in = folder_write(&folder, "in.jsonl", file.data, file.size);
    for (unsigned threads = 1; threads <= 2; threads++) {
        struct ce_data_options options = {.threads = threads};
        struct ce_profile profile = {0};
        struct ce_error err = {0};
        REQUIRE_OK(ce_text_profile(in, CE_STAT_MOMENTS, &options, &profile, &err), err);
        const struct ce_column_profile *late = ce_profile_column(&profile, "late");
        CHECK(profile.rows == 40000 && profile.column_count == 3);
        CHECK(late && late->cells == 10 && late->type == CE_TYPE_BOOLEAN);
        ce_profile_done(&profile);
        struct ce_mutation set[] = {cells(write_text, "NEW", 1)};
        char *names[] = {(char *)"late"};
        set[0].scope.columns = (struct ce_names){names, 1};
        struct ce_data_result result = {0};
        REQUIRE_OK(ce_text_inject(in, folder_file(&folder, "o.jsonl"), NULL, set, 1, &options,
                                  &result, &err),
                   err);
        CHECK(result.counts[0].changed == 10);
        CHECK(result.counts[0].skipped[0].count == 39990);
        free(result.counts);
    }
}

static void compressed_files_are_edited_in_their_content(void)
{
    static const char *const names[] = {"out.csv.gz", "out.csv.zst"};
    for (size_t i = 0; i < CE_COUNT(names); i++) {
        FOLDER(folder);
        CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
        many_rows(&file, 20000, "\n");
        const char *in = folder_write(&folder, "in.csv", file.data, file.size);
        const char *packed = folder_file(&folder, names[i]), *key = folder_file(&folder, "k.gz");
        const char *again = folder_file(&folder, "again.csv"), *key2 = folder_file(&folder, "k2");
        struct ce_mutation set[] = {cells(write_draw, NULL, 0.1)};
        struct ce_data_result result = {0};
        struct ce_error err = {0};
        REQUIRE_OK(ce_text_inject(in, packed, key, set, 1, NULL, &result, &err), err);
        free(result.counts);
        struct stat st;
        CHECK(stat(packed, &st) == 0 && (size_t)st.st_size < file.size);
        REQUIRE_OK(ce_text_inject(packed, again, key2, set, 1, NULL, &result, &err), err);
        free(result.counts);
        const char *unpacked = folder_file(&folder, "unpacked.csv");
        REQUIRE_OK(ce_text_revert(again, key2, unpacked, &err), err);
        REQUIRE_OK(ce_text_revert(packed, key, again, &err), err);
        CHECK(same_bytes(again, file.data, file.size));
        REQUIRE_OK(ce_text_revert(unpacked, key, again, &err), err);
        CHECK(same_bytes(again, file.data, file.size));
    }
}

static void *feed_pipe(void *arg)
{
    void **with = arg;
    const struct ce_buffer *file = with[1];
    int fd = *(int *)with[0];
    if (ce_write_all(fd, file->data, file->size) < 0)
        exit(99);
    close(fd);
    return NULL;
}

static void pipes_give_the_statistics_of_their_beginning(void)
{
    static const size_t prefixes[] = {20000, 0};
    FOLDER(folder);
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
    many_rows(&file, 30000, "\n");
    int kept = dup(STDIN_FILENO);
    for (size_t i = 0; i < CE_COUNT(prefixes); i++) {
        int ends[2];
        REQUIRE(pipe(ends) == 0);
        REQUIRE(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
        close(ends[0]);
        void *with[] = {&ends[1], &file};
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, feed_pipe, with) == 0);
        const char *out = folder_file(&folder, "out.csv"), *key = folder_file(&folder, "key");
        const char *back = folder_file(&folder, "back.csv");
        struct ce_mutation set[] = {cells(add_one, NULL, 0.2)};
        set[0].takes = takes_numbers;
        struct ce_data_options options = {.threads = 2, .prefix = prefixes[i]};
        struct ce_data_result result = {0};
        struct ce_error err = {0};
        int r = ce_text_inject("-", out, key, set, 1, &options, &result, &err);
        pthread_join(thread, NULL);
        REQUIRE_OK(r, err);
        CHECK(result.rows == 30000);
        CHECK(result.prefix_only == (i == 0));
        CHECK(i == 0 ? result.profiled_rows > 100 && result.profiled_rows < 3000
                     : result.profiled_rows == 30000);
        CHECK(result.counts[0].changed > 10000);
        free(result.counts);
        REQUIRE_OK(ce_text_revert(out, key, back, &err), err);
        CHECK(same_bytes(back, file.data, file.size));
    }
    dup2(kept, STDIN_FILENO);
    close(kept);
}

/* ---- what goes wrong ---- */

static void what_makes_no_sense_is_refused(void)
{
    FOLDER(folder);
    const char *in = folder_write(&folder, "in.csv", "age,b\n1,2\n", 10);
    const char *out = folder_file(&folder, "out.csv"), *key = folder_file(&folder, "key");
    const char *link_name = folder_file(&folder, "link.csv");
    REQUIRE(link(in, link_name) == 0);
    char *unknown[] = {(char *)"agee"};
    struct ce_mutation named = cells(write_text, "x", 1);
    named.scope.columns = (struct ce_names){unknown, 1};
    struct ce_mutation none = cells(write_text, "x", 1);
    struct ce_mutation gone[] = {layout(CE_LAYOUT_REMOVE, "b", NULL),
                                 layout(CE_LAYOUT_REMOVE, "b", NULL)};
    struct ce_mutation all[] = {layout(CE_LAYOUT_REMOVE, "b", NULL),
                                layout(CE_LAYOUT_REMOVE, "age", NULL)};
    struct ce_mutation twice = layout(CE_LAYOUT_ADD, NULL, "b");
    struct ce_data_options shard = {.shard = 1, .shard_count = 2},
                           wrong = {.shard = 3, .shard_count = 2};
    const struct {
        const char *out, *key;
        const struct ce_mutation *set;
        size_t count;
        const struct ce_data_options *options;
        int code;
        const char *says;
    } cases[] = {
        {in, key, &none, 1, NULL, -EINVAL, "both input and output"},
        {link_name, key, &none, 1, NULL, -EINVAL, "both input and output"},
        {out, link_name, &none, 1, NULL, -EINVAL, "both input and answer key"},
        {out, out, &none, 1, NULL, -EINVAL, "both output and answer key"},
        {out, "-", &none, 1, NULL, -EINVAL, "needs a file"},
        {out, key, &none, 1, &shard, -EINVAL, "answer key of its own"},
        {out, NULL, &none, 1, &wrong, -EINVAL, "shard 3/2"},
        {out, key, &named, 1, NULL, -ENOENT, "did you mean 'age'"},
        {out, key, gone, 2, NULL, -ENOENT, "'b'"},
        {out, key, all, 2, NULL, -EINVAL, "no column"},
        {out, key, &twice, 1, NULL, -EINVAL, "already"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        struct ce_data_result result = {0};
        int r = ce_text_inject(in, cases[i].out, cases[i].key, cases[i].set, cases[i].count,
                               cases[i].options, &result, &err);
        CHECK(r == cases[i].code);
        if (!strstr(err.message, cases[i].says))
            printf("# '%s' lacks '%s'\n", err.message, cases[i].says);
        CHECK(strstr(err.message, cases[i].says) != NULL);
        CHECK(folder_count(&folder) == 2);
    }
    CHECK(same_bytes(in, "age,b\n1,2\n", 10));
}

static void errors_name_the_line(void)
{
    FOLDER(folder);
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
    many_rows(&file, 5000, "\n");
    ce_buffer_put(&file, "1,2,\"open\n3,4,5\n", 16);
    const char *in = folder_write(&folder, "in.csv", file.data, file.size);
    for (size_t chunk = 0; chunk <= 3000; chunk += 3000) {
        struct ce_mutation set[] = {cells(add_one, NULL, 0.2)};
        struct ce_data_options options = {.threads = 3, .name = "the input"};
        struct ce_data_result result = {0};
        struct ce_error err = {0};
        CHECK(ce_text_inject_chunks(in, folder_file(&folder, "out.csv"),
                                    folder_file(&folder, "key"), set, 1, &options, chunk, &result,
                                    &err) == -EINVAL);
        CHECK(strstr(err.where, ":5002") != NULL);
        CHECK(folder_count(&folder) == 1);
    }
}

static void a_full_disk_leaves_nothing(void)
{
    FOLDER(folder);
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
    many_rows(&file, 60000, "\n");
    const char *in = folder_write(&folder, "in.csv", file.data, file.size);
    struct rlimit before, small = {500000, 0};
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    (void)signal(SIGXFSZ, SIG_IGN);
    for (int place = CE_PLACE_END; place <= CE_PLACE_NEXT; place++) {
        struct ce_mutation set[] = {copies(place, 0, 1)};
        struct ce_data_options options = {.threads = 2};
        struct ce_data_result result = {0};
        struct ce_error err = {0};
        setrlimit(RLIMIT_FSIZE, &small);
        int r = ce_text_inject(in, folder_file(&folder, "out.csv"), folder_file(&folder, "key"),
                               set, 1, &options, &result, &err);
        setrlimit(RLIMIT_FSIZE, &before);
        CHECK(r == -EFBIG);
        CHECK(strstr(err.message, "cannot write") != NULL);
        CHECK(folder_count(&folder) == 1);
    }
    (void)signal(SIGXFSZ, SIG_DFL);
}

struct watch {
    pthread_t thread;
    unsigned calls;
    bool elsewhere;
    volatile sig_atomic_t stop;
};

static void watch_progress(void *ctx, double fraction)
{
    struct watch *watch = ctx;
    watch->calls++;
    watch->elsewhere |= !pthread_equal(watch->thread, pthread_self()) || fraction > 1;
}

static void stop_at_once(void *ctx, double fraction)
{
    struct watch *watch = ctx;
    watch->stop = 1;
}

static void stopping_leaves_nothing(void)
{
    FOLDER(folder);
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
    many_rows(&file, 60000, "\n");
    const char *in = folder_write(&folder, "in.csv", file.data, file.size);
    struct watch watch = {.thread = pthread_self()};
    struct ce_mutation set[] = {cells(write_draw, NULL, 0.5)};
    struct ce_data_options options = {
        .threads = 3, .stop = &watch.stop, .progress = watch_progress, .progress_ctx = &watch};
    struct ce_data_result result = {0};
    struct ce_error err = {0};
    const char *out = folder_file(&folder, "out.csv"), *key = folder_file(&folder, "key");
    REQUIRE_OK(ce_text_inject(in, out, key, set, 1, &options, &result, &err), err);
    free(result.counts);
    CHECK(watch.calls > 0 && !watch.elsewhere);
    (void)unlink(out);
    (void)unlink(key);
    options.progress = stop_at_once;
    CHECK(ce_text_inject(in, out, key, set, 1, &options, &result, &err) == -EINTR);
    CHECK(folder_count(&folder) == 1);
}

static const char *die(const void *ctx, struct ce_cell *cell)
{
    if (cell->row->ordinal == 30000)
        (void)raise(SIGKILL);
    return "alive";
}

static void a_killed_injection_leaves_no_output(void)
{
    FOLDER(folder);
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
    many_rows(&file, 60000, "\n");
    const char *in = folder_write(&folder, "in.csv", file.data, file.size);
    const char *out = folder_file(&folder, "out.csv"), *key = folder_file(&folder, "key");
    struct ce_mutation set[] = {cells(die, NULL, 1)};
    struct ce_data_result result = {0};
    pid_t pid = fork();
    if (pid == 0)
        _exit(ce_text_inject_chunks(in, out, key, set, 1, NULL, 20000, &result, NULL) != -1);
    int status;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(access(out, F_OK) < 0 && access(key, F_OK) < 0);
    CHECK(same_bytes(in, file.data, file.size));
    /* The next one clears up. */
    set[0] = cells(add_one, NULL, 0.1);
    struct ce_error err = {0};
    REQUIRE_OK(ce_text_inject(in, out, key, set, 1, NULL, &result, &err), err);
    free(result.counts);
    CHECK(folder_count(&folder) == 3);
}

static void given_statistics_are_used(void)
{
    FOLDER(folder);
    const char *in = folder_write(&folder, "in.csv", "a,b\n1,x\n", 8);
    const char *out = folder_file(&folder, "out.csv");
    struct ce_column_profile columns[] = {{.name = (char *)"b", .numeric = true},
                                          {.name = (char *)"a"}};
    struct ce_profile profile = {.rows = 99, .columns = columns, .column_count = 2};
    struct ce_data_options options = {.profile = &profile};
    struct ce_mutation set[] = {cells(write_text, "N", 1)};
    set[0].takes = takes_numbers;
    struct ce_data_result result = {0};
    struct ce_error err = {0};
    REQUIRE_OK(ce_text_inject(in, out, NULL, set, 1, &options, &result, &err), err);
    free(result.counts);
    CHECK(same_bytes(out, "a,b\n1,N\n", 8) && result.profiled_rows == 99);
    profile.column_count = 1;
    CHECK(ce_text_inject(in, out, NULL, set, 1, &options, &result, &err) == -EINVAL);
    CHECK_TEXT(strstr(err.message, "no column 'a'") ? "said" : err.message, "said");
}

int main(void)
{
    TEST(whatever_is_injected_is_reverted_byte_by_byte);
    TEST(arbitrary_files_too);
    TEST(chunks_do_not_show);
    TEST(rows_end_as_the_rows_of_the_input_did);
    TEST(later_mutations_see_what_earlier_ones_made);
    TEST(cells_that_come_back_are_no_change);
    TEST(columns_are_laid_out_anew);
    TEST(only_hit_cells_of_the_scope_differ);
    TEST(wide_rows_are_rewritten_in_their_order);
    TEST(nothing_to_hit_leaves_the_file_as_it_is);
    TEST(counts_add_up);
    TEST(copies_come_where_they_are_to);
    TEST(near_duplicates_differ_in_one_cell);
    TEST(shards_joined_are_the_whole);
    TEST(late_columns_of_json_lines_count);
    TEST(compressed_files_are_edited_in_their_content);
    TEST(pipes_give_the_statistics_of_their_beginning);
    TEST(what_makes_no_sense_is_refused);
    TEST(errors_name_the_line);
    TEST(a_full_disk_leaves_nothing);
    TEST(stopping_leaves_nothing);
    TEST(a_killed_injection_leaves_no_output);
    TEST(given_statistics_are_used);
    return test_done();
}
