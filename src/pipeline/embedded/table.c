/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "data/csv.h"

CE_DEFINE_CLEANUP(struct ce_csv_reader, ce_csv_close);

/* Beyond this a number is a typing error, and sums of squares would overflow. */
static const double number_limit = 1e15;

/* How far from the median, in standard deviations as estimated from the quartiles, a number is
 * still believed. */
static const double outlier_limit = 6;

void ce_table_done(struct ce_table *table)
{
    free(table->samples);
    free(table->churn);
    free(table->spend);
    *table = (struct ce_table){0};
}

/* ---- reading ---- */

struct columns {
    int numbers[CE_NUMBERS], categories[CE_CATEGORIES], churn, spend;
};

static int find_column(const struct ce_csv_reader *reader, const char *path, const char *name,
                       int *ret_column, struct ce_error *err)
{
    *ret_column = ce_csv_column(reader, name);
    if (*ret_column < 0)
        return ce_fail_at(err, path, EINVAL, "the dataset has no column '%s'", name);
    return 0;
}

static int find_columns(const struct ce_csv_reader *reader, const char *path,
                        struct columns *columns, struct ce_error *err)
{
    for (size_t i = 0; i < CE_NUMBERS; i++)
        CE_TRY(find_column(reader, path, ce_number_columns[i].name, &columns->numbers[i], err));
    for (size_t i = 0; i < CE_CATEGORIES; i++)
        CE_TRY(
            find_column(reader, path, ce_category_columns[i].name, &columns->categories[i], err));
    CE_TRY(find_column(reader, path, CE_COLUMN_CHURN, &columns->churn, err));
    return find_column(reader, path, CE_COLUMN_SPEND, &columns->spend, err);
}

static double number_at(const struct ce_text_record *record, int column)
{
    double value;
    if ((size_t)column >= record->cell_count || !ce_csv_number(&record->cells[column], &value) ||
        fabs(value) > number_limit)
        return NAN;
    return value;
}

static int category_at(const struct ce_text_record *record, int column,
                       const struct ce_category_column *category)
{
    char text[64];
    if ((size_t)column >= record->cell_count)
        return CE_CATEGORY_UNKNOWN;
    size_t size = ce_csv_value(&record->cells[column], text, sizeof text);
    return size < sizeof text ? ce_category_find(category, text, size) : CE_CATEGORY_UNKNOWN;
}

static int grow(struct ce_table *table, size_t capacity)
{
    struct ce_sample *samples = reallocarray(table->samples, capacity, sizeof *samples);
    table->samples = samples ? samples : table->samples;
    double *churn = reallocarray(table->churn, capacity, sizeof *churn);
    table->churn = churn ? churn : table->churn;
    double *spend = reallocarray(table->spend, capacity, sizeof *spend);
    table->spend = spend ? spend : table->spend;
    return samples && churn && spend ? 0 : -ENOMEM;
}

static int read_rows(struct ce_csv_reader *reader, const struct columns *columns,
                     struct ce_table *table, struct ce_error *err)
{
    size_t capacity = 0;
    struct ce_text_record record;
    int r;
    while ((r = ce_csv_next(reader, &record, err)) > 0) {
        if (table->rows == capacity) {
            capacity = capacity > 0 ? capacity * 2 : 4096;
            if (grow(table, capacity) < 0)
                return ce_fail_memory(err);
        }
        struct ce_sample *sample = &table->samples[table->rows];
        for (size_t i = 0; i < CE_NUMBERS; i++)
            sample->numbers[i] = number_at(&record, columns->numbers[i]);
        for (size_t i = 0; i < CE_CATEGORIES; i++)
            sample->categories[i] =
                category_at(&record, columns->categories[i], &ce_category_columns[i]);
        table->churn[table->rows] = number_at(&record, columns->churn);
        table->spend[table->rows] = number_at(&record, columns->spend);
        table->rows++;
    }
    return r;
}

int ce_table_read(const char *path, struct ce_table *ret_table, struct ce_error *err)
{
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *reader = NULL;
    CE_CLEANUP(ce_table_done) struct ce_table table = {0};
    struct columns columns;
    CE_TRY(ce_sha256_file(path, table.sha256, err));
    CE_TRY(ce_csv_open(path, &reader, err));
    CE_TRY(find_columns(reader, path, &columns, err));
    CE_TRY(read_rows(reader, &columns, &table, err));
    if (table.rows == 0)
        return ce_fail_at(err, path, EINVAL, "the dataset has no rows");
    *ret_table = table;
    table = (struct ce_table){0};
    return 0;
}

/* ---- cleaning ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The readable numbers of a column, in order; their count. */
static size_t sorted_column(const struct ce_table *table, size_t column, double *values)
{
    size_t count = 0;
    for (size_t row = 0; row < table->rows; row++)
        if (!isnan(table->samples[row].numbers[column]))
            values[count++] = table->samples[row].numbers[column];
    qsort(values, count, sizeof *values, by_value);
    return count;
}

/* Of a complete column. */
static void summarise(struct ce_table *table, size_t column, double median)
{
    double sum = 0, squares = 0, min = INFINITY, max = -INFINITY;
    for (size_t row = 0; row < table->rows; row++) {
        double value = table->samples[row].numbers[column];
        sum += value;
        min = fmin(min, value);
        max = fmax(max, value);
    }
    double mean = sum / (double)table->rows;
    for (size_t row = 0; row < table->rows; row++) {
        double distance = table->samples[row].numbers[column] - mean;
        squares += distance * distance;
    }
    table->numbers[column] = (struct ce_number_stats){
        .fill = median,
        .center = mean,
        .scale = sqrt(squares / (double)table->rows),
        .min = min,
        .max = max,
    };
}

static int most_frequent(const struct ce_table *table, size_t column, size_t *ret_missing)
{
    size_t counts[CE_CATEGORY_VALUES_MAX] = {0}, missing = 0;
    int best = 0;
    for (size_t row = 0; row < table->rows; row++) {
        int value = table->samples[row].categories[column];
        if (value == CE_CATEGORY_UNKNOWN)
            missing++;
        else
            counts[value]++;
    }
    for (int value = 1; value < CE_CATEGORY_VALUES_MAX; value++)
        if (counts[value] > counts[best])
            best = value;
    *ret_missing = missing;
    return best;
}

static void fill_column(struct ce_table *table, size_t column, double fill)
{
    for (size_t row = 0; row < table->rows; row++) {
        double *value = &table->samples[row].numbers[column];
        if (isnan(*value)) {
            *value = fill;
            table->values_imputed++;
        }
    }
}

void ce_table_clean_naively(struct ce_table *table)
{
    for (size_t column = 0; column < CE_NUMBERS; column++) {
        fill_column(table, column, 0);
        summarise(table, column, 0);
    }
    for (size_t column = 0; column < CE_CATEGORIES; column++) {
        size_t missing;
        table->category_fill[column] = most_frequent(table, column, &missing);
    }
    for (size_t row = 0; row < table->rows; row++) {
        table->churn[row] = isnan(table->churn[row]) ? 0 : table->churn[row] != 0;
        table->spend[row] = isnan(table->spend[row]) ? 0 : table->spend[row];
    }
}

static void drop_unlabelled(struct ce_table *table)
{
    size_t kept = 0;
    for (size_t row = 0; row < table->rows; row++) {
        if (table->churn[row] != 0 && table->churn[row] != 1)
            continue;
        table->samples[kept] = table->samples[row];
        table->churn[kept] = table->churn[row];
        table->spend[kept] = table->spend[row];
        kept++;
    }
    table->rows_dropped = table->rows - kept;
    table->rows = kept;
}

static int too_much_missing(const char *column, size_t missing, size_t rows, struct ce_error *err)
{
    return ce_fail(err, ENODATA, "%zu of %zu values of '%s' are missing; at most half may be",
                   missing, rows, column);
}

static int clean_number(struct ce_table *table, size_t column, double *values, struct ce_error *err)
{
    size_t count = sorted_column(table, column, values);
    if (count * 2 < table->rows)
        return too_much_missing(ce_number_columns[column].name, table->rows - count, table->rows,
                                err);
    double median = values[count / 2];
    /* The interquartile range of a normal distribution is 1.349 standard deviations. */
    double spread = (values[count * 3 / 4] - values[count / 4]) / 1.349;
    for (size_t row = 0; spread > 0 && row < table->rows; row++) {
        double *value = &table->samples[row].numbers[column];
        if (fabs(*value - median) > outlier_limit * spread)
            *value = NAN;
    }
    fill_column(table, column, median);
    summarise(table, column, median);
    return 0;
}

static int clean_category(struct ce_table *table, size_t column, struct ce_error *err)
{
    size_t missing;
    int fill = most_frequent(table, column, &missing);
    if (missing * 2 > table->rows)
        return too_much_missing(ce_category_columns[column].name, missing, table->rows, err);
    for (size_t row = 0; row < table->rows; row++) {
        int *value = &table->samples[row].categories[column];
        if (*value == CE_CATEGORY_UNKNOWN) {
            *value = fill;
            table->values_imputed++;
        }
    }
    table->category_fill[column] = fill;
    return 0;
}

int ce_table_clean(struct ce_table *table, struct ce_error *err)
{
    size_t rows = table->rows;
    drop_unlabelled(table);
    if (table->rows * 2 < rows)
        return too_much_missing(CE_COLUMN_CHURN, table->rows_dropped, rows, err);
    ce_autofree double *values = malloc(table->rows * sizeof *values);
    if (!values)
        return ce_fail_memory(err);
    for (size_t column = 0; column < CE_NUMBERS; column++)
        CE_TRY(clean_number(table, column, values, err));
    for (size_t column = 0; column < CE_CATEGORIES; column++)
        CE_TRY(clean_category(table, column, err));
    return 0;
}
