/* SPDX-License-Identifier: MIT */
#include "history/statistics.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- where it lies ---- */

void ce_moments_of(const double *values, size_t count, struct ce_moments *ret_moments)
{
    struct ce_moments m = {.count = count, .mean = NAN, .sd = NAN, .min = NAN, .max = NAN};
    double mean = 0, squares = 0;
    for (size_t i = 0; i < count; i++) { /* Welford's */
        double before = values[i] - mean;
        mean += before / (double)(i + 1);
        squares += before * (values[i] - mean);
        m.min = i == 0 || values[i] < m.min ? values[i] : m.min;
        m.max = i == 0 || values[i] > m.max ? values[i] : m.max;
    }
    if (count > 0)
        m.mean = mean;
    if (count > 1)
        m.sd = sqrt(squares / (double)(count - 1));
    *ret_moments = m;
}

/* ---- Student's t ---- */

/* The continued fraction of the incomplete beta function, by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m <= 500; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        for (int k = 0; k < 2; k++) {
            double step = k == 0 ? even : odd;
            d = 1 + step * d;
            c = 1 + step / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            h *= d * c;
        }
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return h;
}

static double log_gamma(double x)
{
    int sign; /* lgamma() writes it to a variable that all threads share */
    return lgamma_r(x, &sign);
}

static double incomplete_beta(double a, double b, double x)
{
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    double front = exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                     : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/* The share of all deviates that lies above t >= 0. */
static double student_above(double t, double degrees)
{
    return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2;
}

double ce_student_quantile(double share, double degrees)
{
    double low = 0, high = 1;
    while (student_above(high, degrees) > 1 - share && high < 1e12)
        high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-12 * high; i++) {
        double middle = (low + high) / 2;
        *(student_above(middle, degrees) > 1 - share ? &low : &high) = middle;
    }
    return (low + high) / 2;
}

/* ---- where it goes ---- */

void ce_slope_of(const double *places, const double *values, size_t count, double confidence,
                 struct ce_slope *ret_slope)
{
    struct ce_moments x, y;
    double xx = 0, xy = 0, rest = 0;
    *ret_slope = (struct ce_slope){NAN, NAN, NAN};
    ce_moments_of(places, count, &x);
    ce_moments_of(values, count, &y);
    for (size_t i = 0; i < count; i++) {
        xx += (places[i] - x.mean) * (places[i] - x.mean);
        xy += (places[i] - x.mean) * (values[i] - y.mean);
    }
    if (count < 3 || !(xx > 0))
        return;
    double slope = xy / xx;
    for (size_t i = 0; i < count; i++) {
        double off = values[i] - y.mean - slope * (places[i] - x.mean);
        rest += off * off;
    }
    double degrees = (double)count - 2;
    double error = sqrt(rest / degrees / xx);
    double half = ce_student_quantile((1 + confidence) / 2, degrees) * error;
    *ret_slope = (struct ce_slope){slope, slope - half, slope + half};
}

/* ---- where it broke ---- */

enum { LEVEL_LEAST = 3, GRID_MOST = 2048 };

struct levels {
    const double *sums, *squares; /* of the first i values */
    size_t count;
    double price;
};

/* The sum of squares of values [from, to) about their mean. */
static double cost(const struct levels *levels, size_t from, size_t to)
{
    double sum = levels->sums[to] - levels->sums[from];
    double squares = levels->squares[to] - levels->squares[from];
    double off = squares - sum * sum / (double)(to - from);
    return off > 0 ? off : 0;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Steps from one value to the next, without the largest tenth of them, which may be changes. Of
 * normal noise the rest is 0.65733 times the steps' sd on average, and that is sqrt(2) sd. */
static double noise_of(const double *values, size_t count, double *room)
{
    size_t steps = count - 1, kept = steps - (steps + 9) / 10;
    double sum = 0;
    for (size_t i = 0; i < steps; i++)
        room[i] = fabs(values[i + 1] - values[i]);
    qsort(room, steps, sizeof *room, compare_numbers);
    for (size_t i = 0; i < kept; i++)
        sum += room[i];
    return sum / (double)kept / (0.65733 * sqrt(2));
}

static double median_of_three(double a, double b, double c)
{
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

/* A grid point that may yet be the last cut before a later one. */
struct candidate {
    size_t at, until; /* `until`: no later one needs it */
};

/* Of the candidates only those that `i` still needs. */
static size_t drop_settled(struct candidate *open, size_t count, size_t i)
{
    size_t kept = 0;
    for (size_t k = 0; k < count; k++)
        if (open[k].until >= i)
            open[kept++] = open[k];
    return kept;
}

/* Best cuts among the multiples of `step`: `last[i]` is the grid point before i in the best cutting
 * of the first i steps. */
static int cut(const struct levels *levels, size_t step, size_t *last, size_t points)
{
    ce_autofree double *best = calloc(points + 1, sizeof *best);
    ce_autofree double *sums = calloc(points + 1, sizeof *sums);
    ce_autofree struct candidate *open = calloc(points + 1, sizeof *open);
    size_t count = 1, room = (LEVEL_LEAST + step - 1) / step;
    if (!best || !sums || !open)
        return -1;
    best[0] = -levels->price;
    open[0].until = SIZE_MAX;
    for (size_t i = room; i <= points; i++) {
        size_t to = i == points ? levels->count : i * step;
        best[i] = INFINITY;
        count = drop_settled(open, count, i);
        for (size_t k = 0; k < count && open[k].at + room <= i; k++) {
            sums[k] = best[open[k].at] + cost(levels, open[k].at * step, to);
            if (sums[k] + levels->price < best[i]) {
                best[i] = sums[k] + levels->price;
                last[i] = open[k].at;
            }
        }
        /* One that is worse by more than a cut's price is not needed once a level may begin here.
         */
        for (size_t k = 0; k < count && open[k].at + room <= i; k++)
            if (sums[k] > best[i] && open[k].until == SIZE_MAX)
                open[k].until = i + room - 1;
        open[count++] = (struct candidate){i, SIZE_MAX};
    }
    return 0;
}

/* The best place of a cut between two others, near where the grid put it. */
static size_t refine(const struct levels *levels, size_t before, size_t at, size_t after,
                     size_t step)
{
    size_t from = at > before + LEVEL_LEAST + step ? at - step : before + LEVEL_LEAST;
    size_t to = at + step + LEVEL_LEAST < after ? at + step : after - LEVEL_LEAST;
    double least = INFINITY;
    for (size_t i = from; i <= to; i++) {
        double sum = cost(levels, before, i) + cost(levels, i, after);
        if (sum < least) {
            least = sum;
            at = i;
        }
    }
    return at;
}

/* Cuts to their best places. Where the grid needed two for one, one of them is not worth its price
 * then. `cuts` has one place before the first cut, and one behind the last. */
static size_t refine_all(const struct levels *levels, size_t *cuts, size_t count, size_t step)
{
    for (size_t k = 1; k <= count; k++)
        cuts[k] = refine(levels, cuts[k - 1], cuts[k], cuts[k + 1], step);
    for (size_t k = 1; k <= count;) {
        size_t before = cuts[k - 1], at = cuts[k], after = cuts[k + 1];
        double gain =
            cost(levels, before, after) - cost(levels, before, at) - cost(levels, at, after);
        if (gain > levels->price) {
            k++;
            continue;
        }
        memmove(&cuts[k], &cuts[k + 1], (count + 1 - k) * sizeof *cuts);
        count--;
    }
    return count;
}

static long find(const struct levels *levels, size_t *ret_changes, size_t most)
{
    size_t step = (levels->count + GRID_MOST - 1) / GRID_MOST;
    size_t points = levels->count / step, found = 0;
    ce_autofree size_t *last = calloc(points + 1, sizeof *last);
    ce_autofree size_t *cuts = calloc(points + 2, sizeof *cuts);
    if (!last || !cuts || cut(levels, step, last, points) < 0)
        return -1;
    for (size_t i = last[points]; i > 0; i = last[i])
        found++;
    cuts[found + 1] = levels->count;
    for (size_t i = last[points], k = found; i > 0; i = last[i])
        cuts[k--] = i * step;
    if (step > 1)
        found = refine_all(levels, cuts, found, step);
    found = found < most ? found : most;
    memcpy(ret_changes, cuts + 1, found * sizeof *cuts);
    return (long)found;
}

long ce_changes_of(const double *values, size_t count, double least_noise, size_t *ret_changes,
                   size_t most)
{
    if (count < 2 * LEVEL_LEAST)
        return 0;
    ce_autofree double *sums = calloc(count + 1, sizeof *sums);
    ce_autofree double *squares = calloc(count + 1, sizeof *squares);
    ce_autofree double *room = calloc(count, sizeof *room);
    if (!sums || !squares || !room)
        return -1;
    double noise = fmax(noise_of(values, count, room), least_noise), origin = values[0];
    for (size_t i = 0; i < count; i++) {
        size_t middle = i == 0 ? 1 : i + 1 < count ? i : count - 2;
        /* counted from the first value: squares of small numbers are exact enough */
        double value =
            median_of_three(values[middle - 1], values[middle], values[middle + 1]) - origin;
        sums[i + 1] = sums[i] + value;
        squares[i + 1] = squares[i] + value * value;
    }
    struct levels levels = {sums, squares, count, 4 * noise * noise * log((double)count)};
    return find(&levels, ret_changes, most);
}
