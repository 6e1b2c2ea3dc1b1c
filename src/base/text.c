/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* Accepts [+-]digits[.digits][e[+-]digits] and tells where it ends. */
static const char *skip_number(const char *p)
{
    const char *start;
    if (*p == '+' || *p == '-')
        p++;
    start = p;
    while (isdigit((unsigned char)*p))
        p++;
    size_t digits = (size_t)(p - start);
    if (*p == '.') {
        start = ++p;
        while (isdigit((unsigned char)*p))
            p++;
        digits += (size_t)(p - start);
    }
    if (digits == 0)
        return NULL;
    if (*p == 'e' || *p == 'E') {
        const char *q = p + 1;
        if (*q == '+' || *q == '-')
            q++;
        if (isdigit((unsigned char)*q)) {
            while (isdigit((unsigned char)*q))
                q++;
            p = q;
        }
    }
    return p;
}

/* strtod follows the locale's decimal point, but we never call setlocale(), so it is the C
 * locale's. A host program that does is its own master; it would already break on every other
 * number it reads. */
static int leading_number(const char *text, double *ret_value, const char **ret_end)
{
    const char *end = skip_number(text);
    if (!end)
        return -EINVAL;
    double value = strtod(text, NULL);
    if (!isfinite(value))
        return -EINVAL;
    *ret_value = value;
    *ret_end = end;
    return 0;
}

int ce_text_number(const char *text, double *ret_value)
{
    double value;
    const char *end;
    CE_TRY(leading_number(text, &value, &end));
    if (*end != '\0')
        return -EINVAL;
    *ret_value = value;
    return 0;
}

int ce_text_integer(const char *text, int64_t *ret_value)
{
    const char *p = text + (*text == '-' || *text == '+');
    if (*p == '\0' || p[strspn(p, "0123456789")] != '\0')
        return -EINVAL;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno == ERANGE)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int ce_text_duration(const char *text, bool bare_seconds, int64_t *ret_ns)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {
        {"us", CE_MICROSECOND}, {"ms", CE_MILLISECOND},  {"s", CE_SECOND},
        {"m", 60 * CE_SECOND},  {"h", 3600 * CE_SECOND}, {"d", 86400 * CE_SECOND},
    };
    double value;
    const char *end;
    CE_TRY(leading_number(text, &value, &end));
    int64_t scale = *end == '\0' && bare_seconds ? CE_SECOND : 0;
    for (size_t i = 0; i < CE_COUNT(units); i++)
        if (strcmp(end, units[i].unit) == 0)
            scale = units[i].ns;
    if (scale == 0)
        return -EINVAL;
    /* Compared as a double before the cast, which would otherwise be undefined. */
    double ns = value * (double)scale;
    if (ns < 0 || ns >= 0x1p63)
        return -ERANGE;
    *ret_ns = (int64_t)ns;
    return 0;
}

void ce_text_show(const char *text, char ret_shown[CE_TEXT_SHOWN_SIZE])
{
    enum { ROOM = CE_TEXT_SHOWN_SIZE - 4 };
    const unsigned char *p = (const unsigned char *)text;
    size_t n = 0;
    while (p[n] != '\0' && n < ROOM) {
        /* The C1 controls are two bytes in UTF-8, and a terminal obeys them too. */
        bool control = p[n] < 0x20 || p[n] == 0x7f || (n > 0 && p[n - 1] == 0xc2 && p[n] < 0xa0);
        ret_shown[n] = control ? '?' : (char)p[n];
        if (control && p[n] >= 0x80)
            ret_shown[n - 1] = '?';
        n++;
    }
    bool more = p[n] != '\0';
    /* Not in the middle of a UTF-8 sequence. */
    while (more && n > 0 && (p[n] & 0xc0) == 0x80)
        n--;
    memcpy(ret_shown + n, more ? "..." : "", more ? 4 : 1);
}

/* Edit distance with neighbouring swaps counted once (optimal string alignment), for names up to 63
 * bytes. */
static size_t distance(const char *a, const char *b)
{
    enum { LIMIT = 64 };
    size_t n = strlen(a), m = strlen(b);
    if (n >= LIMIT || m >= LIMIT)
        return LIMIT;
    size_t row[3][LIMIT];
    size_t *before = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}

const char *ce_text_nearest(const char *text, const char *const *names, size_t count)
{
    const char *best = NULL;
    /* Nothing is near a word too long to be a name. */
    size_t best_distance = strlen(text) < 64 ? strlen(text) / 3 + 2 : 0;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(text, names[i]);
        if (d < best_distance) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

bool ce_text_is_among(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return true;
    return false;
}

void ce_names_done(struct ce_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct ce_names){0};
}
