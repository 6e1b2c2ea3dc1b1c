/* SPDX-License-Identifier: MIT */
/* Arithmetic on a distribution: the scores of all classes of one prediction. Whatever is done to
 * it, it stays one, with the sum that it had. */
#ifndef CE_FAULTS_MODEL_DISTRIBUTION_H
#define CE_FAULTS_MODEL_DISTRIBUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether it is one: several numbers, none below 0, with a sum of 1 (within 0.001). */
bool ce_distribution_is(const double *p, size_t count);
/* The class with the largest score, the first of several. */
size_t ce_distribution_winner(const double *p, size_t count);
/* The class that a parameter names: counted from 0, -1 is the last; or -1 when there is none. */
int64_t ce_distribution_class(int64_t parameter, size_t count);

/* Uniform numbers in [0, 1) become a uniform point of the simplex. The last one is not looked at.
 */
void ce_distribution_draw(double *p, size_t count);
/* Multiplies the score of one class, then renormalises. */
void ce_distribution_favour(double *p, size_t count, size_t class, double factor);
/* Moves that share of every other class's score to the class. */
void ce_distribution_shift(double *p, size_t count, size_t class, double share);
/* Raises the scores to a power, then renormalises: below 1 flattens them, as a temperature of
 * 1 / power does. */
void ce_distribution_temper(double *p, size_t count, double power);
/* Raises what has come to lie below 0, then renormalises to `sum`. false: nothing is left of it. */
bool ce_distribution_mend(double *p, size_t count, double sum);
double ce_distribution_sum(const double *p, size_t count);

#endif
