/* SPDX-License-Identifier: MIT */
/* What a text says besides itself: true or false, a moment in time, a place in an order. */
#ifndef CE_DATA_STATS_VALUE_H
#define CE_DATA_STATS_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* true or false, in any case. */
bool ce_value_boolean(const char *text, size_t size);
/* A date, or a date and time with or without an offset, as in enum ce_column_type; in seconds since
 * 1970 in UTC. Without an offset the time is taken as UTC. */
bool ce_value_time(const char *text, size_t size, double *ret_seconds);
/* The other way round: "2024-05-01T12:30:00.5Z", with up to six decimals. */
#define CE_VALUE_TIME_SIZE 40
void ce_value_time_text(double seconds, char ret_text[CE_VALUE_TIME_SIZE]);
/* A number that orders texts as their bytes do, as far as the first six tell them apart. */
double ce_value_order(const char *text, size_t size);
/* The shortest decimal that reads as this number. Returns its length. */
#define CE_VALUE_NUMBER_SIZE 32
size_t ce_value_number_text(double value, char ret_text[CE_VALUE_NUMBER_SIZE]);
/* 64 well mixed bits of some bytes: the same on every machine. */
uint64_t ce_value_hash(const void *bytes, size_t size);

#endif
