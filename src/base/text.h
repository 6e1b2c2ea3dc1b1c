/* SPDX-License-Identifier: MIT */
/* Reading what people type: numbers, durations, and names that are nearly right. */
#ifndef CE_BASE_TEXT_H
#define CE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A decimal number with nothing after it. NaN, infinities, hexadecimal and overflow are refused.
 * Locale-free. 0 or -EINVAL. */
int ce_text_number(const char *text, double *ret_value);
/* A whole number in decimal. 0, -EINVAL, or -ERANGE when int64_t cannot hold it. */
int ce_text_integer(const char *text, int64_t *ret_value);
/* "250ms", "90s", "2m", "1.5h", "10us". A bare number counts as seconds if `bare_seconds`, else it
 * is refused. 0, -EINVAL (no number or no unit), or -ERANGE (negative, or too long for int64_t). */
int ce_text_duration(const char *text, bool bare_seconds, int64_t *ret_ns);

/* What a message shows of a text that somebody else wrote: its first bytes, without control
 * characters, "..." at the end when there was more. */
#define CE_TEXT_SHOWN_SIZE 80
void ce_text_show(const char *text, char ret_shown[CE_TEXT_SHOWN_SIZE]);

/* A list of names. */
struct ce_names {
    char **names;
    size_t count;
};

void ce_names_done(struct ce_names *names); /* a zeroed one is fine */

/* Whether it is one of them. */
bool ce_text_is_among(const char *text, const char *const *names, size_t count);
/* Which of the names is nearest to `text`; NULL when none is near enough to be meant. */
const char *ce_text_nearest(const char *text, const char *const *names, size_t count);

#endif
