/* SPDX-License-Identifier: MIT */
/* Properties of the data faults over a table of some size: rates and distributions (within six
 * standard deviations), nested rates, the same hits in both formats, rows and columns that keep
 * what nobody asked to change. */
#include <math.h>

#include "base/random.h"
#include "recipe_lab.h"

/* ---- a table of some size ---- */

enum { ROWS = 1000, COLUMNS = 5, CELL = 32 };
static const char *const cities[] = {"Paris", "Lima", "New York", "Oslo"};

/* id, amount (two decimals), score (whole, some negative), city, flag; the same in both formats. */
static char *make_table(bool json)
{
    struct ce_stream stream = ce_stream_init(7, "test", "table");
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!json)
        fputs("id,amount,score,city,flag\n", out);
    for (int i = 0; i < ROWS; i++) {
        double amount = 100 + 20 * ce_stream_normal(&stream, 3 * (uint64_t)i);
        int score = (int)ce_stream_below(&stream, 3 * (uint64_t)i + 1, 200) - 50;
        uint32_t city = ce_stream_below(&stream, 3 * (uint64_t)i + 2, 10);
        fprintf(out,
                json ? "{\"id\":%d,\"amount\":%.2f,\"score\":%d,\"city\":\"%s\",\"flag\":%d}\n"
                     : "%d,%.2f,%d,%s,%d\n",
                i + 1, amount, score,
                cities[city < 6   ? 0
                       : city < 8 ? 1
                                  : city - 6],
                i % 3 == 0);
    }
    fclose(out);
    return text;
}

/* The cells of a CSV file without quotes, up to ROWS * 2 rows; how many rows. */
struct grid {
    char cells[2 * ROWS][COLUMNS][CELL];
};
static size_t read_grid(const char *text, struct grid *grid)
{
    size_t rows = 0;
    for (const char *line = strchr(text, '\n') + 1; *line && rows < 2 * ROWS; rows++) {
        const char *end = strchr(line, '\n');
        for (size_t i = 0; i < COLUMNS && line < end; i++) {
            size_t size = strcspn(line, ",\n");
            snprintf(grid->cells[rows][i], CELL, "%.*s", (int)size, line);
            line += size + 1;
        }
        line = end + 1;
    }
    return rows;
}

static struct grid before, after;

static size_t differing(size_t column)
{
    size_t count = 0;
    for (size_t i = 0; i < ROWS; i++)
        count += strcmp(before.cells[i][column], after.cells[i][column]) != 0;
    return count;
}

static void moments(const struct grid *grid, size_t rows, size_t column, double *ret_mean,
                    double *ret_sd)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < rows; i++)
        sum += atof(grid->cells[i][column]);
    *ret_mean = sum / (double)rows;
    for (size_t i = 0; i < rows; i++)
        squares += pow(atof(grid->cells[i][column]) - *ret_mean, 2);
    *ret_sd = sqrt(squares / (double)(rows - 1));
}

/* ---- cells ---- */

static void rates_are_nested_and_the_formats_agree(void)
{
    static const struct {
        const char *fault, *kind;
    } cases[] = {
        {"data_corruption", "kind=auto"},     {"data_corruption", "kind=wrong_unit"},
        {"data_corruption", "kind=bit_flip"}, {"data_corruption", "mechanism=mar(id)"},
        {"missing_data", "mechanism=mcar"},   {"missing_data", "exact=true"},
        {"missing_data", "mechanism=mnar"},   {"outlier_injection", "rule=sigma"},
        {"outlier_injection", "rule=iqr"},
    };
    ce_autofree char *csv = make_table(false), *json = make_table(true);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        static struct grid low;
        LAB(lab);
        char rate[2][40];
        const char *word = strcmp(cases[i].fault, "missing_data") == 0      ? "missing_rate"
                           : strcmp(cases[i].fault, "data_corruption") == 0 ? "corruption_rate"
                                                                            : "outlier_rate";
        snprintf(rate[0], sizeof rate[0], "%s=0.1", word);
        snprintf(rate[1], sizeof rate[1], "%s=0.3", word);
        REQUIRE_OK(
            RUN(&lab, "t.csv", csv, cases[i].fault, rate[0], cases[i].kind, "columns=amount"),
            lab.err);
        CHECK(lab.counts.eligible == ROWS && lab.counts.changed == lab.counts.selected);
        uint64_t changed = lab.counts.changed;
        CHECK(read_grid(csv, &before) == ROWS && read_grid(lab.out, &low) == ROWS);
        REQUIRE_OK(
            RUN(&lab, "t.jsonl", json, cases[i].fault, rate[0], cases[i].kind, "columns=amount"),
            lab.err);
        CHECK(lab.counts.changed == changed);
        lab.threads = 3;
        REQUIRE_OK(
            RUN(&lab, "t.csv", csv, cases[i].fault, rate[1], cases[i].kind, "columns=amount"),
            lab.err);
        CHECK(read_grid(lab.out, &after) == ROWS);
        for (size_t row = 0; row < ROWS; row++)
            for (size_t k = 0; k < COLUMNS; k++)
                if (strcmp(low.cells[row][k], before.cells[row][k]) != 0)
                    CHECK(k == 1 && strcmp(low.cells[row][k], after.cells[row][k]) == 0);
        /* Six standard deviations of a binomial. */
        double expected = 0.3 * ROWS, spread = sqrt(ROWS * 0.3 * 0.7);
        CHECK(fabs((double)differing(1) - expected) < 6 * spread);
        if (strcmp(cases[i].kind, "exact=true") == 0)
            CHECK(differing(1) == 300 && changed == 100);
    }
}

static void intensity_scales_what_the_file_says(void)
{
    ce_autofree char *csv = make_table(false);
    LAB(lab);
    static const char *const faults[][2] = {
        {"data_corruption", "corruption_rate=0.4"}, {"missing_data", "missing_rate=0.4"},
        {"outlier_injection", "outlier_rate=0.4"},  {"duplicate_records", "duplication_rate=0.4"},
        {"label_noise", "noise_rate=0.4"},          {"row_drop", "drop_rate=0.4"},
        {"stale_data", "stale_rate=0.4"},
    };
    lab.label = "flag";
    for (size_t i = 0; i < CE_COUNT(faults); i++) {
        lab.intensity = 0.5;
        REQUIRE_OK(RUN(&lab, "t.csv", csv, faults[i][0], faults[i][1]), lab.err);
        double n = (double)lab.counts.eligible, spread = sqrt(n * 0.2 * 0.8);
        CHECK(fabs((double)lab.counts.selected - 0.2 * n) < 6 * spread);
        lab.intensity = 0;
        REQUIRE_OK(RUN(&lab, "t.csv", csv, faults[i][0], faults[i][1]), lab.err);
        CHECK_TEXT(lab.out, csv);
    }
    lab.intensity = 0.5;
    REQUIRE_OK(
        RUN(&lab, "t.csv", "a\n1.0\n3.0\n", "distribution_drift", "magnitude=1", "what=scale"),
        lab.err);
    CHECK_TEXT(lab.out, "a\n1.5\n4.5\n");
}

/* The spread of the noise is the column's, its middle 0. */
static void noise_has_the_column_s_spread(void)
{
    ce_autofree char *csv = make_table(false);
    static const struct {
        const char *param;
        double scale;
    } cases[] = {{"scale=1", 1}, {"scale=0.25", 0.25}};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        LAB(lab);
        double mean, sd, sum = 0, squares = 0;
        REQUIRE_OK(RUN(&lab, "t.csv", csv, "data_corruption", "corruption_rate=1", cases[i].param,
                       "columns=amount"),
                   lab.err);
        (void)read_grid(csv, &before);
        (void)read_grid(lab.out, &after);
        moments(&before, ROWS, 1, &mean, &sd);
        for (size_t row = 0; row < ROWS; row++) {
            double change = atof(after.cells[row][1]) - atof(before.cells[row][1]);
            sum += change;
            squares += change * change;
            CHECK(strlen(strchr(after.cells[row][1], '.')) == 3);
        }
        sd *= cases[i].scale;
        CHECK(differing(1) == ROWS);
        CHECK(fabs(sum / ROWS) < 6 * sd / sqrt(ROWS));
        CHECK(fabs(sqrt(squares / ROWS) / sd - 1) < 6 / sqrt(2.0 * ROWS));
    }
}

static void outliers_lie_outside(void)
{
    ce_autofree char *csv = make_table(false);
    (void)read_grid(csv, &before);
    for (size_t column = 1; column <= 2; column++) {
        LAB(lab);
        double mean, sd;
        size_t up = 0, count = 0;
        const char *columns = column == 1 ? "columns=amount" : "columns=score";
        REQUIRE_OK(RUN(&lab, "t.csv", csv, "outlier_injection", "outlier_rate=0.5", columns),
                   lab.err);
        (void)read_grid(lab.out, &after);
        moments(&before, ROWS, column, &mean, &sd);
        for (size_t row = 0; row < ROWS; row++) {
            if (strcmp(before.cells[row][column], after.cells[row][column]) == 0)
                continue;
            double value = atof(after.cells[row][column]);
            /* The two ways of summing agree to far less than the last place. */
            CHECK(fabs(value - mean) > 3 * sd - 1e-9 && fabs(value - mean) < 3 * sd + 1);
            up += value > mean;
            count++;
        }
        CHECK(count == lab.counts.changed && count > 400);
        CHECK(fabs((double)up - (double)count / 2) < 6 * sqrt((double)count) / 2);
        CHECK(strchr(after.cells[0][2], '.') == NULL);
    }
}

static void drift_follows_its_shape(void)
{
    static const struct {
        const char *params[4];
        double (*weight)(double at);
    } cases[4] = {
        {{"shape=step", "at=0.25"}, NULL},
        {{"shape=segment", "from=0.25", "to=0.5"}, NULL},
        {{"shape=ramp"}, NULL},
        {{"shape=sine", "periods=2"}, NULL},
    };
    ce_autofree char *csv = make_table(false);
    double mean, sd;
    (void)read_grid(csv, &before);
    moments(&before, ROWS, 1, &mean, &sd);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        LAB(lab);
        const char *params[7] = {"what=offset", "magnitude=2", "columns=amount"};
        for (size_t k = 0; k < 3; k++)
            params[3 + k] = cases[i].params[k];
        REQUIRE_OK(lab_run(&lab, "t.csv", csv, "distribution_drift", params), lab.err);
        (void)read_grid(lab.out, &after);
        for (size_t row = 0; row < ROWS; row++) {
            double at = ((double)row + 0.5) / ROWS;
            double weight = i == 0   ? at >= 0.25
                            : i == 1 ? at >= 0.25 && at < 0.5
                            : i == 2 ? at
                                     : (1 - cos(4 * M_PI * at)) / 2;
            double moved = atof(after.cells[row][1]) - atof(before.cells[row][1]);
            CHECK(fabs(moved - 2 * sd * weight) < 0.0151);
        }
    }
}

static void a_category_s_share_is_moved(void)
{
    static const struct {
        const char *share;
        double want;
    } cases[] = {{"share=0.05", 0.05}, {"share=0.6", 0.6}};
    ce_autofree char *csv = make_table(false);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        LAB(lab);
        size_t count = 0;
        REQUIRE_OK(RUN(&lab, "t.csv", csv, "distribution_drift", "what=resample", "category=Lima",
                       cases[i].share, "columns=city"),
                   lab.err);
        (void)read_grid(csv, &before);
        (void)read_grid(lab.out, &after);
        for (size_t row = 0; row < ROWS; row++) {
            bool was = strcmp(before.cells[row][3], "Lima") == 0;
            bool is = strcmp(after.cells[row][3], "Lima") == 0;
            CHECK(cases[i].want < 0.2 ? was || !is : is || !was);
            count += is;
        }
        double spread = sqrt(ROWS * cases[i].want * (1 - cases[i].want));
        CHECK(fabs((double)count - cases[i].want * ROWS) < 6 * spread);
        CHECK(differing(3) == lab.counts.changed && differing(1) == 0);
    }
}

static void categories_become_others_of_their_column(void)
{
    ce_autofree char *csv = make_table(false);
    static const char *const weighings[] = {"weighing=uniform", "weighing=frequency"};
    (void)read_grid(csv, &before);
    for (size_t i = 0; i < 2; i++) {
        LAB(lab);
        size_t counts[4] = {0}, others = 0;
        REQUIRE_OK(RUN(&lab, "t.csv", csv, "data_corruption", "corruption_rate=1",
                       "kind=category_swap", weighings[i]),
                   lab.err);
        (void)read_grid(lab.out, &after);
        CHECK(differing(3) == ROWS && differing(0) == 0);
        for (size_t row = 0; row < ROWS; row++) {
            if (strcmp(before.cells[row][3], "Lima") != 0)
                continue;
            others++;
            for (size_t k = 0; k < 4; k++)
                counts[k] += strcmp(after.cells[row][3], cities[k]) == 0;
        }
        /* Of the others, Paris has 6 parts, New York and Oslo one each. */
        double share = i == 0 ? 1.0 / 3 : 6.0 / 8;
        double spread = sqrt((double)others * share * (1 - share));
        CHECK(counts[1] == 0 && counts[0] + counts[2] + counts[3] == others);
        CHECK(fabs((double)counts[0] - share * (double)others) < 6 * spread);
    }
}

static void labels_are_flipped_by_the_matrix(void)
{
    ce_autofree char *csv = make_table(false);
    LAB(lab);
    size_t zeros = 0, flipped = 0;
    lab.label = "flag";
    REQUIRE_OK(RUN(&lab, "t.csv", csv, "label_noise", "noise_rate=1", "confusion=0>1:0.25"),
               lab.err);
    (void)read_grid(csv, &before);
    (void)read_grid(lab.out, &after);
    for (size_t row = 0; row < ROWS; row++) {
        bool zero = strcmp(before.cells[row][4], "0") == 0;
        bool changed = strcmp(before.cells[row][4], after.cells[row][4]) != 0;
        zeros += zero;
        flipped += changed;
        CHECK(!changed || zero);
    }
    CHECK(fabs((double)flipped - 0.25 * (double)zeros) < 6 * sqrt((double)zeros * 0.25 * 0.75));
    CHECK(lab.counts.changed == flipped && differing(3) == 0);
}

/* ---- rows ---- */

/* The number in the first column. */
static long id_of(const struct grid *grid, size_t row)
{
    return strtol(grid->cells[row][0], NULL, 10);
}

static bool same_row(const struct grid *a, size_t i, const struct grid *b, size_t k)
{
    size_t same = 0;
    for (size_t column = 0; column < COLUMNS; column++)
        same += strcmp(a->cells[i][column], b->cells[k][column]) == 0;
    return same == COLUMNS;
}

static void copies_stand_where_they_were_asked_for(void)
{
    static const char *const places[] = {"place=end", "place=next", "place=shuffled"};
    ce_autofree char *csv = make_table(false);
    (void)read_grid(csv, &before);
    for (size_t i = 0; i < CE_COUNT(places); i++) {
        LAB(lab);
        REQUIRE_OK(RUN(&lab, "t.csv", csv, "duplicate_records", "duplication_rate=0.2", places[i]),
                   lab.err);
        size_t rows = read_grid(lab.out, &after), seen[ROWS + 1] = {0};
        CHECK(rows == ROWS + lab.counts.changed);
        CHECK(fabs((double)lab.counts.changed - 200) < 6 * sqrt(ROWS * 0.2 * 0.8));
        for (size_t row = 0; row < rows; row++) {
            long id = id_of(&after, row);
            bool copy = ++seen[id] == 2;
            CHECK(seen[id] <= 2 && same_row(&after, row, &before, (size_t)id - 1));
            if (i == 0)
                CHECK(copy == (row >= ROWS));
            if (i == 1 && copy)
                CHECK(id_of(&after, row - 1) == id);
        }
    }
}

static void near_copies_differ_in_one_text(void)
{
    ce_autofree char *csv = make_table(false);
    LAB(lab);
    (void)read_grid(csv, &before);
    REQUIRE_OK(RUN(&lab, "t.csv", csv, "duplicate_records", "duplication_rate=0.2", "kind=near"),
               lab.err);
    size_t rows = read_grid(lab.out, &after);
    CHECK(rows == ROWS + lab.counts.changed && rows > ROWS);
    for (size_t row = ROWS; row < rows; row++) {
        size_t original = (size_t)id_of(&after, row) - 1;
        for (size_t k = 0; k < COLUMNS; k++)
            CHECK((strcmp(after.cells[row][k], before.cells[original][k]) != 0) == (k == 3));
    }
}

static void dropped_and_stale_rows_keep_the_others_in_order(void)
{
    ce_autofree char *csv = make_table(false);
    LAB(lab);
    (void)read_grid(csv, &before);
    REQUIRE_OK(RUN(&lab, "t.csv", csv, "row_drop", "drop_rate=0.2", "exact=true"), lab.err);
    size_t rows = read_grid(lab.out, &after);
    CHECK(rows == ROWS - 200 && lab.counts.changed == 200);
    for (size_t row = 1; row < rows; row++)
        CHECK(id_of(&after, row) > id_of(&after, row - 1));

    REQUIRE_OK(RUN(&lab, "t.csv", csv, "stale_data", "stale_rate=0.2", "lag=50"), lab.err);
    rows = read_grid(lab.out, &after);
    CHECK(rows == ROWS + lab.counts.changed);
    long newest = 0;
    size_t stale = 0;
    for (size_t row = 0; row < rows; row++) {
        long id = id_of(&after, row);
        if (id > newest) {
            CHECK(id == newest + 1);
            newest = id;
        } else {
            CHECK(newest - id == 50 || newest == ROWS);
            stale++;
        }
    }
    CHECK(stale == lab.counts.changed && newest == ROWS);
}

/* ---- layouts ---- */

static void columns_keep_their_cells_in_a_new_layout(void)
{
    ce_autofree char *csv = make_table(false), *json = make_table(true);
    LAB(lab);
    static const char *const names[] = {"id", "amount", "score", "city", "flag"};
    (void)read_grid(csv, &before);
    REQUIRE_OK(RUN(&lab, "t.csv", csv, "schema_drift", "drift_type=reorder_columns"), lab.err);
    char head[64];
    size_t order[COLUMNS], moved = 0, column = 0;
    snprintf(head, sizeof head, "%.*s", (int)strcspn(lab.out, "\n"), lab.out);
    for (char *name = strtok(head, ","); name && column < COLUMNS; name = strtok(NULL, ","))
        for (size_t k = 0; k < COLUMNS; k++)
            if (strcmp(name, names[k]) == 0)
                order[column++] = k;
    REQUIRE(column == COLUMNS && read_grid(lab.out, &after) == ROWS);
    for (size_t k = 0; k < COLUMNS; k++) {
        moved += order[k] != k;
        for (size_t row = 0; row < ROWS; row++)
            CHECK(strcmp(after.cells[row][k], before.cells[row][order[k]]) == 0);
    }
    CHECK(moved > 0);
    REQUIRE_OK(RUN(&lab, "t.csv", "a,b\n1,2\n3,4\n5,6\n", "schema_drift", "values=random"),
               lab.err);
    CHECK(strncmp(lab.out, "a,b,unexpected_column\n1,2,0.", 28) == 0);
    REQUIRE_OK(RUN(&lab, "t.jsonl", json, "schema_drift", "drift_type=rename_column",
                   "old_name=city", "new_name=town"),
               lab.err);
    CHECK(strstr(lab.out, "\"town\":\"Paris\"") && !strstr(lab.out, "\"city\""));
    CHECK(RUN(&lab, "t.csv", csv, "schema_drift", "drift_type=remove_column",
              "column_name=ammount") == -ENOENT);
    CHECK(strstr(lab.err.message, "did you mean 'amount'?") != NULL);
}

int main(void)
{
    TEST(rates_are_nested_and_the_formats_agree);
    TEST(intensity_scales_what_the_file_says);
    TEST(noise_has_the_column_s_spread);
    TEST(outliers_lie_outside);
    TEST(drift_follows_its_shape);
    TEST(a_category_s_share_is_moved);
    TEST(categories_become_others_of_their_column);
    TEST(labels_are_flipped_by_the_matrix);
    TEST(copies_stand_where_they_were_asked_for);
    TEST(near_copies_differ_in_one_text);
    TEST(dropped_and_stale_rows_keep_the_others_in_order);
    TEST(columns_keep_their_cells_in_a_new_layout);
    return test_done();
}
