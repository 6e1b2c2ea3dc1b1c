/* SPDX-License-Identifier: MIT */
/* Drift as JSON, with the checks of monitoring tools and the thresholds they come with.
 *
 * A check that would fire on the reference as well is one that nobody keeps switched on; it has not
 * seen the drift. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "data/stats/distance.h"
#include "data/stats/drift.h"

#define EVIDENTLY  "evidently"
#define DEEPCHECKS "deepchecks"
#define GREAT      "great_expectations"
#define NANNYML    "nannyml"

static void add_check(json_t *list, const char *tool, const char *check, const char *statistic,
                      json_t *value, json_t *threshold, bool fires)
{
    (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o, s:o, s:b}", "tool", tool,
                                                "check", check, "statistic", statistic, "value",
                                                value, "threshold", threshold, "fires", fires));
}

/* A statistic that compares the two tables: fires from the threshold on. */
static void add_distance(json_t *list, const char *tool, const char *check, const char *statistic,
                         double value, double threshold)
{
    if (!isnan(value))
        add_check(list, tool, check, statistic, ce_json_number(value), ce_json_number(threshold),
                  value >= threshold);
}

static void add_p(json_t *list, const char *tool, const char *check, const char *statistic,
                  double p)
{
    if (!isnan(p))
        add_check(list, tool, check, statistic, ce_json_number(p), ce_json_number(0.05), p < 0.05);
}

/* A statistic of one table, which must not pass the threshold. */
static void add_limit(json_t *list, const char *tool, const char *check, const char *statistic,
                      double before, double after, double threshold)
{
    add_check(list, tool, check, statistic, ce_json_number(after), ce_json_number(threshold),
              after > threshold && before <= threshold);
}

static void add_count(json_t *list, const char *tool, const char *check, const char *statistic,
                      uint64_t count)
{
    add_check(list, tool, check, statistic, json_integer((json_int_t)count), json_integer(0),
              count > 0);
}

/* ---- columns ---- */

/* Up to 1000 reference rows tests, beyond distances; numbers with at most five different values are
 * categories. */
static void check_evidently(json_t *list, const struct ce_drift_column *c, uint64_t rows)
{
    static const double root_ln2 = 0x1.aa2fd9e17ef91p-1;
    static const char check[] = "ValueDrift";
    bool few = c->before->distinct > 0 && c->before->distinct <= 5;
    bool numbers = !isnan(c->ks) && !(few && !isnan(c->counts_p));
    if (rows <= 1000)
        add_p(list, EVIDENTLY, check, numbers ? "ks_p" : "chi_square_p",
              numbers ? c->ks_p : c->counts_p);
    else if (numbers)
        add_distance(list, EVIDENTLY, check, "wasserstein", c->wasserstein, 0.1);
    else
        add_distance(list, EVIDENTLY, check, "js", c->js * root_ln2, 0.1); /* to base e */
}

static void check_deepchecks(json_t *list, const struct ce_drift_column *c)
{
    bool numbers = !isnan(c->ks);
    add_distance(list, DEEPCHECKS, "FeatureDrift", numbers ? "ks" : "cramers_v",
                 numbers ? c->ks : c->cramers_v, 0.2);
    add_limit(list, DEEPCHECKS, "PercentOfNulls", "missing", c->missing_before, c->missing_after,
              0.05);
    if (!numbers && !isnan(c->cramers_v))
        add_count(list, DEEPCHECKS, "NewCategoryTrainTest", "new_categories", c->new_categories);
}

static double own_max_z(const struct ce_column_profile *column)
{
    return fmax(column->mean - column->min, column->max - column->mean) / column->sd;
}

static void check_great(json_t *list, const struct ce_drift_column *c)
{
    enum ce_column_type before = c->before->type, after = c->after->type;
    if (!isnan(c->max_z))
        add_check(list, GREAT, "expect_column_value_z_scores_to_be_less_than", "max_z",
                  ce_json_number(c->max_z), ce_json_number(3),
                  c->max_z >= 3 && own_max_z(c->before) < 3);
    add_limit(list, GREAT, "expect_column_values_to_not_be_null", "missing", c->missing_before,
              c->missing_after, 0);
    if (isnan(c->ks) && !isnan(c->cramers_v))
        add_count(list, GREAT, "expect_column_values_to_be_in_set", "new_categories",
                  c->new_categories);
    if (before != CE_TYPE_EMPTY && after != CE_TYPE_EMPTY)
        add_check(list, GREAT, "expect_column_values_to_be_of_type", "type",
                  json_string(ce_column_type_name(after)), json_string(ce_column_type_name(before)),
                  before != after);
}

/* The tool learns the spread of the missing share from chunks of the reference; what it would learn
 * if rows were missing independently is three standard errors of a chunk as large as the table. */
static void check_nannyml(json_t *list, const struct ce_drift_column *c, uint64_t rows)
{
    double share = c->missing_before;
    double limit = share + 3 * sqrt(share * (1 - share) / (rows > 0 ? (double)rows : 1));
    add_distance(list, NANNYML, "UnivariateDriftCalculator", "js", c->js, 0.1);
    add_limit(list, NANNYML, "MissingValuesCalculator", "missing", share, c->missing_after, limit);
    if (isnan(c->ks) && !isnan(c->cramers_v))
        add_count(list, NANNYML, "UnseenValuesCalculator", "new_categories", c->new_categories);
}

static json_t *column_json(const struct ce_drift_column *c, const struct ce_profile *reference,
                           const struct ce_profile *current)
{
    json_t *seen = json_array();
    if (!seen)
        return NULL;
    check_evidently(seen, c, reference->rows);
    check_deepchecks(seen, c);
    check_great(seen, c);
    check_nannyml(seen, c, current->rows);
    json_t *name = json_string(c->name);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "column",
                     name ? name : json_null(), "ks", ce_json_number(c->ks), "psi",
                     ce_json_number(c->psi), "wasserstein", ce_json_number(c->wasserstein), "js",
                     ce_json_number(c->js), "max_z", ce_json_number(c->max_z), "outside_fences",
                     ce_json_number(c->outside_fences), "ks_p", ce_json_number(c->ks_p),
                     "missing_before", ce_json_number(c->missing_before), "missing_after",
                     ce_json_number(c->missing_after), "new_categories",
                     (json_int_t)c->new_categories, "seen_by", seen);
}

json_t *ce_drift_json(const struct ce_profile *reference, const struct ce_profile *current)
{
    ce_autofree struct ce_drift_column *columns = NULL;
    size_t count = 0;
    if (ce_drift_compare(reference, current, &columns, &count, NULL) < 0)
        return NULL;
    ce_autojson json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++)
        if (json_array_append_new(list, column_json(&columns[i], reference, current)) < 0)
            return NULL;
    return ce_take(list);
}

/* ---- table ---- */

/* Names of the columns that only `a` has. */
static json_t *only_in(const struct ce_profile *a, const struct ce_profile *b)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < a->column_count; i++)
        if (!ce_profile_column(b, a->columns[i].name)) {
            json_t *name = json_string(a->columns[i].name);
            (void)json_array_append_new(list, name ? name : json_null());
        }
    return list;
}

/* Whether the columns that both have come in another order. */
static bool reordered(const struct ce_profile *a, const struct ce_profile *b)
{
    const struct ce_column_profile *last = NULL;
    for (size_t i = 0; i < a->column_count; i++) {
        const struct ce_column_profile *column = ce_profile_column(b, a->columns[i].name);
        if (column && last && column < last)
            return true;
        last = column ? column : last;
    }
    return false;
}

static json_t *share_json(double share)
{
    return share < 0 ? json_null() : ce_json_number(share);
}

json_t *ce_drift_table_json(const struct ce_profile *reference, const struct ce_profile *current)
{
    double before = reference->duplicate_share, after = current->duplicate_share;
    json_t *seen = json_array(), *added = only_in(current, reference);
    json_t *removed = only_in(reference, current);
    bool moved = reordered(reference, current);
    size_t changes = json_array_size(added) + json_array_size(removed);
    if (before >= 0 && after >= 0) {
        add_limit(seen, DEEPCHECKS, "DataDuplicates", "duplicate_share", before, after, 0.05);
        add_limit(seen, GREAT, "expect_compound_columns_to_be_unique", "duplicate_share", before,
                  after, 0);
    }
    add_check(seen, GREAT, "expect_table_row_count_to_equal", "rows",
              json_integer((json_int_t)current->rows), json_integer((json_int_t)reference->rows),
              current->rows != reference->rows);
    add_count(seen, GREAT, "expect_table_columns_to_match_set", "columns_changed", changes);
    add_count(seen, GREAT, "expect_table_columns_to_match_ordered_list",
              "columns_changed_or_reordered", changes + moved);
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:b, s:o}", "rows_before",
                     (json_int_t)reference->rows, "rows_after", (json_int_t)current->rows,
                     "duplicate_share_before", share_json(before), "duplicate_share_after",
                     share_json(after), "columns_added", added, "columns_removed", removed,
                     "columns_reordered", moved, "seen_by", seen);
}
