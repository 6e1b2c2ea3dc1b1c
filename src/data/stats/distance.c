/* SPDX-License-Identifier: MIT */
#include "data/stats/distance.h"

#include <math.h>
#include <stdbool.h>

static const double ln2 = 0x1.62e42fefa39efp-1;

/* By the series of artanh, after reduction to [sqrt(1/2), sqrt(2)). */
double ce_ln(double x)
{
    int exponent;
    double m = frexp(x, &exponent);
    if (m < 0x1.6a09e667f3bcdp-1) {
        m *= 2;
        exponent--;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int k = 23; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / k;
    return 2 * s * sum + exponent * ln2;
}

/* By Taylor's series, after reduction to half of ln 2 around 0. */
double ce_exp(double x)
{
    /* ln 2 in two parts: the first has so few bits that its multiples are exact. */
    static const double high = 0x1.62e42fee00000p-1, low = 0x1.a39ef35793c76p-33;
    if (x < -745)
        return 0;
    double multiple = rint(x / ln2), rest = x - multiple * high - multiple * low, sum = 1;
    for (int k = 14; k >= 1; k--)
        sum = 1 + sum * rest / k;
    return ldexp(sum, (int)fmin(multiple, 2000));
}

/* ---- distribution functions ---- */

/* Walks the steps of two distribution functions together. */
struct walk {
    const struct ce_sketch *a, *b;
    size_t i, j;
    double at;             /* the value reached */
    double a_upto, b_upto; /* shares */
};

static bool walk_next(struct walk *w)
{
    bool a_left = w->i < w->a->size, b_left = w->j < w->b->size;
    if (!a_left && !b_left)
        return false;
    double a = a_left ? w->a->steps[w->i].value : INFINITY;
    double b = b_left ? w->b->steps[w->j].value : INFINITY;
    w->at = a < b ? a : b;
    if (a <= b)
        w->a_upto = (double)w->a->steps[w->i++].upto / (double)w->a->count;
    if (b <= a)
        w->b_upto = (double)w->b->steps[w->j++].upto / (double)w->b->count;
    return true;
}

double ce_distance_ks(const struct ce_sketch *a, const struct ce_sketch *b)
{
    struct walk w = {.a = a, .b = b};
    double largest = 0;
    while (walk_next(&w))
        largest = fmax(largest, fabs(w.a_upto - w.b_upto));
    return largest;
}

double ce_distance_wasserstein(const struct ce_sketch *a, const struct ce_sketch *b)
{
    struct walk w = {.a = a, .b = b};
    double area = 0, before, height;
    if (!walk_next(&w))
        return 0;
    do {
        before = w.at;
        height = fabs(w.a_upto - w.b_upto);
        if (!walk_next(&w))
            return area;
        area += height * (w.at - before);
    } while (true);
}

/* ---- bins ---- */

static struct ce_bin total_of(const struct ce_bin *bins, size_t count)
{
    struct ce_bin total = {0};
    for (size_t i = 0; i < count; i++) {
        total.before += bins[i].before;
        total.after += bins[i].after;
    }
    return total;
}

double ce_distance_psi(const struct ce_bin *bins, size_t count)
{
    struct ce_bin total = total_of(bins, count);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double p = fmax(bins[i].before / total.before, CE_PSI_FLOOR);
        double q = fmax(bins[i].after / total.after, CE_PSI_FLOOR);
        sum += (q - p) * ce_ln(q / p);
    }
    return sum;
}

double ce_distance_js(const struct ce_bin *bins, size_t count)
{
    struct ce_bin total = total_of(bins, count);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double p = bins[i].before / total.before, q = bins[i].after / total.after, m = (p + q) / 2;
        if (p > 0)
            sum += p * ce_ln(p / m) / 2;
        if (q > 0)
            sum += q * ce_ln(q / m) / 2;
    }
    return sqrt(fmin(fmax(sum / ln2, 0), 1));
}

double ce_distance_cramers_v(const struct ce_bin *bins, size_t count)
{
    struct ce_bin total = total_of(bins, count);
    double n = total.before + total.after, chi_square = 0, k = (double)count;
    if (count < 2 || n < 3)
        return 0;
    for (size_t i = 0; i < count; i++) {
        double all = bins[i].before + bins[i].after;
        double before = all * total.before / n, after = all * total.after / n;
        chi_square += (bins[i].before - before) * (bins[i].before - before) / before +
                      (bins[i].after - after) * (bins[i].after - after) / after;
    }
    double phi2 = fmax(chi_square / n - (k - 1) / (n - 1), 0);
    double columns = k - (k - 1) * (k - 1) / (n - 1), rows = 2 - 1 / (n - 1);
    double room = fmin(columns, rows) - 1;
    return room > 0 ? sqrt(phi2 / room) : 0;
}

/* ---- p-values ---- */

double ce_p_of_ks(double distance, double n, double m)
{
    static const double pi = 0x1.921fb54442d18p+1;
    double root = sqrt(n * m / (n + m)), x = (root + 0.12 + 0.11 / root) * distance, sum = 0;
    /* Two series for the same: one converges fast for small x, the other for large. */
    if (x < 0.2)
        return 1;
    if (x < 1.2) {
        for (int k = 9; k >= 1; k -= 2)
            sum += ce_exp(-k * k * pi * pi / (8 * x * x));
        return 1 - sqrt(2 * pi) / x * sum;
    }
    for (int k = 6; k >= 1; k--)
        sum += (k % 2 ? 2 : -2) * ce_exp(-2.0 * k * k * x * x);
    return sum;
}

/* ln Gamma(a) of a positive multiple of 1/2. */
static double ln_gamma(double a)
{
    static const double ln_root_pi = 0x1.250d048e7a1bdp-1;
    double sum = 0;
    for (a -= 1; a > 0; a -= 1)
        sum += ce_ln(a);
    return a < 0 ? sum + ln_root_pi : sum;
}

/* The regularised incomplete gamma function, from above: by its series where that converges fast,
 * else by its continued fraction (Lentz). */
double ce_p_of_chi_square(double statistic, size_t degrees)
{
    double a = (double)degrees / 2, x = statistic / 2;
    if (!(x > 0) || degrees == 0)
        return 1;
    if (!isfinite(x))
        return 0;
    double front = ce_exp(a * ce_ln(x) - x - ln_gamma(a));
    if (x < a + 1) {
        double term = 1 / a, sum = term;
        for (double k = a + 1; term > sum * 1e-17; k++) {
            term *= x / k;
            sum += term;
        }
        return fmax(1 - front * sum, 0);
    }
    double b = x + 1 - a, c = 1e300, d = 1 / b, fraction = d, factor;
    int i = 1;
    do {
        double step = i * (a - i);
        b += 2;
        d = 1 / (b + step * d);
        c = b + step / c;
        factor = c * d;
        fraction *= factor;
    } while (fabs(factor - 1) > 1e-15 && i++ < 10000);
    return front * fraction;
}

static double square(double x)
{
    return x * x;
}

double ce_p_of_counts(const struct ce_bin *bins, size_t count)
{
    struct ce_bin total = total_of(bins, count);
    double n = total.before, m = total.after, statistic = 0;
    if (count < 2)
        return 1;
    if (count == 2) {
        double all = (bins[0].before + bins[0].after) / (n + m);
        double distance = bins[0].before / n - bins[0].after / m;
        return ce_p_of_chi_square(square(distance) / (all * (1 - all) * (1 / n + 1 / m)), 1);
    }
    for (size_t i = 0; i < count; i++) {
        double expected = bins[i].before * m / n;
        if (expected == 0)
            return 0; /* what never came before cannot come by chance */
        statistic += square(bins[i].after - expected) / expected;
    }
    return ce_p_of_chi_square(statistic, count - 1);
}
