/* SPDX-License-Identifier: MIT */
#include "data/text/text_internal.h"
#include "data_files.h"

struct heard {
    struct ce_diff_cell cells[8];
    size_t count;
};

static void hear(void *ctx, const struct ce_diff_cell *cell)
{
    struct heard *heard = ctx;
    if (heard->count < CE_COUNT(heard->cells))
        heard->cells[heard->count] = *cell;
    heard->count++;
}

static int diff_texts(const char *name, const char *a, const char *b, struct heard *heard,
                      struct ce_diff *ret_diff, struct ce_error *err)
{
    FOLDER(folder);
    ce_autofree char *name_a = ce_format("a-%s", name), *name_b = ce_format("b-%s", name);
    const char *path_a = folder_write(&folder, name_a, a, strlen(a));
    const char *path_b = folder_write(&folder, name_b, b, strlen(b));
    return ce_text_diff(path_a, path_b, heard ? hear : NULL, heard, ret_diff, err);
}

static void small_differences_are_found(void)
{
    static const struct {
        const char *name, *a, *b;
        unsigned cells, added, removed;
    } cases[] = {
        {"same.csv", "a,b\n1,2\n", "a,b\n1,2\n", 0, 0, 0},
        {"quotes.csv", "a,b\n1,x y\n", "a,b\r\n\"1\",\"x y\"", 0, 0, 0},
        {"one.csv", "a,b\n1,2\n3,4\n", "a,b\n1,2\n3,5\n", 1, 0, 0},
        {"absent.csv", "a,b\n1,2\n3\n", "a,b\n1\n3,\n", 2, 0, 0},
        {"order.csv", "a,b\n1,2\n3,4\n", "b,a\n2,1\n4,3\n", 0, 0, 0},
        {"end.csv", "a,b\n1,2\n", "a,b\n1,2\n3,4\n5,6\n", 0, 2, 0},
        {"front.csv", "a,b\n1,2\n3,4\n5,6\n", "a,b\n5,6\n", 0, 0, 2},
        {"middle.csv", "a,b\n1,2\n3,4\n5,6\n", "a,b\n1,2\n9,9\n3,4\n5,6\n", 0, 1, 0},
        {"all.csv", "a,b\n1,2\n3,4\n", "a,b\n5,6\n7,8\n", 4, 0, 0},
        {"alike.csv", "id,x,y,z\n1,a,b,c\n2,a,b,c\n3,a,b,d\n4,a,b,c\n",
         "id,x,y,z\n1,a,b,c\n3,a,b,d\n4,a,b,c\n", 0, 0, 1},
        {"empty.csv", "a,b\n", "a,b\n1,2\n", 0, 1, 0},
        {"none.csv", "a\n1\n2\n", "b\n1\n", 0, 0, 1},
        {"same.jsonl", "{\"a\":1,\"b\":\"x\"}\n", "{ \"b\": \"\\u0078\", \"a\": 1 }\n", 0, 0, 0},
        {"kind.jsonl", "{\"a\":1}\n{\"a\":null}\n", "{\"a\":\"1\"}\n{\"a\":\"null\"}\n", 2, 0, 0},
        {"key.jsonl", "{\"a\":1,\"b\":2}\n{\"a\":1,\"b\":3}\n", "{\"a\":1,\"b\":2}\n{\"a\":1}\n", 1,
         0, 0},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_diff diff = {0};
        struct ce_error err = {0};
        REQUIRE_OK(diff_texts(cases[i].name, cases[i].a, cases[i].b, NULL, &diff, &err), err);
        bool right = diff.cells_changed == cases[i].cells && diff.rows_added == cases[i].added &&
                     diff.rows_removed == cases[i].removed;
        if (!right)
            printf("# %s: %llu cells, %llu added, %llu removed\n", cases[i].name,
                   (unsigned long long)diff.cells_changed, (unsigned long long)diff.rows_added,
                   (unsigned long long)diff.rows_removed);
        CHECK(right);
        ce_diff_done(&diff);
    }
}

static void columns_are_told_by_name(void)
{
    struct ce_diff diff = {0};
    struct ce_error err = {0};
    struct heard heard = {0};
    REQUIRE_OK(diff_texts("x.csv", "a,b,x,x\n1,2,3,4\n", "x,c,x,a\n3,0,5,7\n", &heard, &diff, &err),
               err);
    CHECK(diff.columns_removed.count == 1 && diff.columns_added.count == 1);
    CHECK_TEXT(diff.columns_removed.names[0], "b");
    CHECK_TEXT(diff.columns_added.names[0], "c");
    REQUIRE(diff.column_count == 3 && heard.count == 2);
    CHECK_TEXT(diff.columns[0].name, "a");
    CHECK(diff.columns[0].changed == 1 && diff.columns[1].changed == 0 &&
          diff.columns[2].changed == 1);
    CHECK_TEXT(heard.cells[0].a, "1");
    CHECK_TEXT(heard.cells[0].b, "7");
    CHECK_TEXT(heard.cells[1].column, "x");
    ce_diff_done(&diff);
}

static void cells_are_listed_with_their_values(void)
{
    struct ce_diff diff = {0};
    struct ce_error err = {0};
    struct heard heard = {0};
    char a[200], b[200], longer[100];
    memset(longer, 'z', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    snprintf(a, sizeof a, "a,b\n1,\"q \"\"r\"\"\"\n2,%s\n3,x\n", longer);
    snprintf(b, sizeof b, "a,b\n1,\n2,y%s\n3\n", longer);
    REQUIRE_OK(diff_texts("x.csv", a, b, &heard, &diff, &err), err);
    REQUIRE(heard.count == 3);
    CHECK_TEXT(heard.cells[0].a, "q \"r\"");
    CHECK(heard.cells[0].b[0] == '\0' && !heard.cells[0].b_missing && heard.cells[0].row == 0);
    CHECK(strlen(heard.cells[1].a) == CE_DIFF_SHOWN - 1 && heard.cells[1].b[0] == 'y');
    CHECK(heard.cells[2].row == 2 && heard.cells[2].b_missing && !heard.cells[2].a_missing);
    ce_diff_done(&diff);
}

/* ---- what injection did is what the comparison sees ---- */

static bool takes_all(const void *ctx, const struct ce_column_profile *column)
{
    return true;
}

static const char *write_draw(const void *ctx, struct ce_cell *cell)
{
    char text[24];
    uint64_t words[2];
    ce_cell_draw(cell, words);
    int size = snprintf(text, sizeof text, "%llu", (unsigned long long)words[0]);
    return ce_cell_set_text(cell, text, (size_t)size);
}

static void injected_rows_and_cells_are_told_apart(void)
{
    FOLDER(folder);
    CE_CLEANUP(ce_buffer_done) struct ce_buffer file = {0};
    struct ce_stream draws = ce_stream_init(1, "test", "rows");
    ce_buffer_put(&file, "a,b,c,d,e\n", 10);
    for (uint64_t i = 0; i < 20000; i++) {
        char line[160];
        uint64_t w[2];
        ce_stream_draw(&draws, i, w);
        int n = snprintf(line, sizeof line, "%llu,%llu,%llu,x%llu,%s\n", (unsigned long long)i,
                         (unsigned long long)w[0] % 100000, (unsigned long long)w[1] % 100000,
                         (unsigned long long)(w[0] >> 40), w[1] >> 60 > 7 ? "yes" : "no");
        ce_buffer_put(&file, line, (size_t)n);
    }
    const char *in = folder_write(&folder, "in.csv", file.data, file.size);
    const char *out = folder_file(&folder, "out.csv");
    struct ce_mutation cells = {.fault = "c",
                                .seed = 1,
                                .scope = {.rate = 0.15},
                                .takes = takes_all,
                                .rewrite = write_draw};
    struct ce_mutation drops = {.fault = "d",
                                .seed = 2,
                                .kind = CE_MUTATE_ROWS,
                                .scope = {.rate = 0.03},
                                .fate = CE_ROW_DROP};
    struct ce_mutation most = drops; /* half of the rows, scattered */
    most.scope.rate = 0.5;
    struct ce_mutation copies = drops;
    copies.fault = "n";
    copies.fate = CE_ROW_COPY;
    copies.place = CE_PLACE_NEXT;
    const struct {
        struct ce_mutation set[2];
        size_t count;
    } cases[] = {{{cells}, 1}, {{drops}, 1}, {{copies}, 1}, {{cells, drops}, 2}, {{most}, 1}};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_data_result result = {0};
        struct ce_diff diff = {0};
        struct ce_error err = {0};
        REQUIRE_OK(ce_text_inject(in, out, NULL, cases[i].set, cases[i].count, NULL, &result, &err),
                   err);
        REQUIRE_OK(ce_text_diff(in, out, NULL, NULL, &diff, &err), err);
        CHECK(diff.rows_a == 20000 && diff.rows_b == result.rows_out);
        uint64_t changed = result.counts[0].changed;
        if (i == 0)
            CHECK(diff.cells_changed == changed && diff.rows_added + diff.rows_removed == 0);
        if (i == 1 || i == 4)
            CHECK(diff.rows_removed == changed && diff.rows_added + diff.cells_changed == 0);
        if (i == 2)
            CHECK(diff.rows_added == changed && diff.rows_removed + diff.cells_changed == 0);
        if (i == 3) { /* where a dropped row lies is not always certain; the sums are */
            CHECK(diff.rows_removed - diff.rows_added == result.counts[1].changed);
            CHECK(diff.cells_changed > changed / 10 * 9 && diff.cells_changed < changed / 10 * 11);
        }
        if (check_failures > 0)
            printf("# case %zu: %llu cells, %llu added, %llu removed; injected %llu\n", i,
                   (unsigned long long)diff.cells_changed, (unsigned long long)diff.rows_added,
                   (unsigned long long)diff.rows_removed, (unsigned long long)changed);
        free(result.counts);
        ce_diff_done(&diff);
    }
}

static void files_that_cannot_be_read_are_errors(void)
{
    struct ce_diff diff = {0};
    struct ce_error err = {0};
    CHECK(diff_texts("x.csv", "a\n1\n", "a\n\"open\n", NULL, &diff, &err) == -EINVAL);
    CHECK(strstr(err.where, "b-x.csv:2") != NULL);
    CHECK(ce_text_diff("/nonexistent/a", "/nonexistent/b", NULL, NULL, &diff, &err) == -ENOENT);
}

int main(void)
{
    TEST(small_differences_are_found);
    TEST(columns_are_told_by_name);
    TEST(cells_are_listed_with_their_values);
    TEST(injected_rows_and_cells_are_told_apart);
    TEST(files_that_cannot_be_read_are_errors);
    return test_done();
}
