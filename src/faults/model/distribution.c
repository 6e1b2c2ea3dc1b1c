/* SPDX-License-Identifier: MIT */
#include "faults/model/distribution.h"

#include <math.h>
#include <stdlib.h>

#include "data/stats/distance.h"

double ce_distribution_sum(const double *p, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += p[i];
    return sum;
}

bool ce_distribution_is(const double *p, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(p[i] >= 0))
            return false;
    return count > 1 && fabs(ce_distribution_sum(p, count) - 1) < 1e-3;
}

size_t ce_distribution_winner(const double *p, size_t count)
{
    size_t winner = 0;
    for (size_t i = 1; i < count; i++)
        if (p[i] > p[winner])
            winner = i;
    return winner;
}

int64_t ce_distribution_class(int64_t parameter, size_t count)
{
    int64_t class = parameter < 0 ? (int64_t)count - 1 : parameter;
    return class < (int64_t)count ? class : -1;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The gaps between sorted uniform cuts of the unit interval. */
void ce_distribution_draw(double *p, size_t count)
{
    qsort(p, count - 1, sizeof *p, compare_doubles);
    p[count - 1] = 1;
    for (size_t i = count - 1; i > 0; i--)
        p[i] -= p[i - 1];
}

static void scale(double *p, size_t count, double factor)
{
    for (size_t i = 0; i < count; i++)
        p[i] *= factor;
}

void ce_distribution_favour(double *p, size_t count, size_t class, double factor)
{
    double sum = ce_distribution_sum(p, count), more = sum + p[class] * (factor - 1);
    p[class] *= factor;
    if (more > 0)
        scale(p, count, sum / more);
}

void ce_distribution_shift(double *p, size_t count, size_t class, double share)
{
    double sum = ce_distribution_sum(p, count);
    scale(p, count, 1 - share);
    p[class] += share * sum;
}

/* Divided by the largest first, so that no power is lost below the smallest number. */
void ce_distribution_temper(double *p, size_t count, double power)
{
    double sum = ce_distribution_sum(p, count), most = p[ce_distribution_winner(p, count)];
    if (!(most > 0))
        return;
    for (size_t i = 0; i < count; i++)
        if (p[i] > 0)
            p[i] = ce_exp(power * ce_ln(p[i] / most));
    scale(p, count, sum / ce_distribution_sum(p, count));
}

bool ce_distribution_mend(double *p, size_t count, double sum)
{
    for (size_t i = 0; i < count; i++)
        p[i] = p[i] > 0 ? p[i] : 0;
    double now = ce_distribution_sum(p, count);
    if (now > 0)
        scale(p, count, sum / now);
    return now > 0;
}
