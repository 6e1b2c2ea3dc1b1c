/* SPDX-License-Identifier: MIT */
#include "data/profile.h"

#include <math.h>

#include "data_files.h"

static int profile_text(struct folder *folder, const char *text, struct ce_profile *ret,
                        struct ce_error *err)
{
    return ce_profile_read(folder_write(folder, "data.csv", text, strlen(text)), CE_STAT_MOMENTS, 1,
                           ret, err);
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fmax(1, fabs(b));
}

static void columns_have_their_statistics(void)
{
    FOLDER(folder);
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
    struct ce_error err = {0};
    REQUIRE_OK(profile_text(&folder,
                            "n,holes,text,none,same,\"q,\"\n"
                            "2,NA,x,,5,\"1\"\n"
                            "4,1.5,7,NaN,5,\"2\"\n"
                            "4,,8,,5,\"3\"\n"
                            "4,2.5\n"
                            "5,\n"
                            "5,3.5,9,null,5,\"4\",extra\n"
                            "7,\\N,1,,5,\"\"\n"
                            "9,4.5,2,,5,\"5\"\n",
                            &profile, &err),
               err);
    static const struct {
        const char *name;
        bool numeric;
        uint64_t cells, missing;
        double mean, variance, min, max;
    } want[] = {
        {"n", true, 8, 0, 5, 32.0 / 7, 2, 9}, {"holes", true, 8, 4, 3, 5.0 / 3, 1.5, 4.5},
        {"text", false, 6, 0, 0, 0, 0, 0},    {"none", false, 6, 6, 0, 0, 0, 0},
        {"same", true, 6, 0, 5, 0, 5, 5},     {"q,", true, 6, 1, 3, 2.5, 1, 5},
    };
    CHECK(profile.rows == 8);
    REQUIRE(profile.column_count == CE_COUNT(want));
    for (size_t i = 0; i < CE_COUNT(want); i++) {
        const struct ce_column_profile *column = ce_profile_column(&profile, want[i].name);
        REQUIRE(column == &profile.columns[i]);
        CHECK(column->numeric == want[i].numeric && column->cells == want[i].cells);
        CHECK(column->missing == want[i].missing);
        CHECK(near(column->mean, want[i].mean) && near(column->sd, sqrt(want[i].variance)));
        CHECK(column->min == want[i].min && column->max == want[i].max);
    }
    CHECK(ce_profile_column(&profile, "other") == NULL);
}

static void few_rows_have_no_spread(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    CE_CLEANUP(ce_profile_done) struct ce_profile one = {0}, none = {0};
    REQUIRE_OK(profile_text(&folder, "a\n7\n", &one, &err), err);
    CHECK(one.rows == 1 && one.columns[0].numeric && one.columns[0].mean == 7 &&
          one.columns[0].sd == 0);
    REQUIRE_OK(profile_text(&folder, "a\n", &none, &err), err);
    CHECK(none.rows == 0 && !none.columns[0].numeric && none.columns[0].sd == 0);
}

/* Numbers whose squares would drown their spread, over several blocks of rows. */
static void large_numbers_that_differ_little_keep_their_spread(void)
{
    enum { ROWS = 10001 };
    FOLDER(folder);
    ce_autofree char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fputs("a,b\n", out);
    for (int i = 0; i < ROWS; i++)
        fprintf(out, "%d,%.1f\n", 1000000000 + i % 2, i < 5000 ? -1e6 : 1e6);
    fclose(out);
    struct ce_error err = {0};
    CE_CLEANUP(ce_profile_done) struct ce_profile profile = {0};
    REQUIRE_OK(profile_text(&folder, text, &profile, &err), err);
    CHECK(profile.rows == ROWS);
    /* 5001 zeros and 5000 ones: variance k m / (n (n - 1)). */
    CHECK(fabs(profile.columns[0].sd - sqrt(5001.0 * 5000 / ((double)ROWS * (ROWS - 1)))) < 1e-9);
    CHECK(fabs(profile.columns[0].mean - (1e9 + 5000.0 / ROWS)) < 1e-6);
    CHECK(fabs(profile.columns[1].sd / (2e6 * sqrt(5001.0 * 5000 / ((double)ROWS * (ROWS - 1)))) -
               1) < 1e-12);
}

static void errors_name_the_place(void)
{
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_profile profile = {0};
    CHECK(profile_text(&folder, "a\n1\n\"2\n", &profile, &err) == -EINVAL);
    CHECK_TEXT(strrchr(err.where, ':'), ":3");
    CHECK(profile.columns == NULL);
    CHECK(ce_profile_read(folder_file(&folder, "absent.csv"), CE_STAT_MOMENTS, 1, &profile, &err) ==
          -ENOENT);
}

int main(void)
{
    TEST(columns_have_their_statistics);
    TEST(few_rows_have_no_spread);
    TEST(large_numbers_that_differ_little_keep_their_spread);
    TEST(errors_name_the_place);
    return test_done();
}
