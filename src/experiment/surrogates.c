/* SPDX-License-Identifier: MIT */
/* JSON is YAML but for one thing: JSON escapes a character beyond U+FFFF as two halves, which YAML
 * takes for none. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiment/document_internal.h"

enum { ESCAPE = 6, PAIR = 2 * ESCAPE, WHOLE = 10 }; /* "\ud83d", "\U0001f600" */

/* What stands in "\uXXXX", or -1. */
static long escape_at(const char *text, const char *end)
{
    char digits[5] = "", *after;
    if (end - text < ESCAPE || text[0] != '\\' || text[1] != 'u')
        return -1;
    memcpy(digits, text + 2, 4);
    long code = strtol(digits, &after, 16);
    return after == digits + 4 && isxdigit((unsigned char)digits[0]) ? code : -1;
}

size_t ce_surrogates_join(const char *text, size_t size, char *ret_text)
{
    const char *end = text + size;
    char *to = ret_text;
    while (text < end) {
        long high = *text == '\\' ? escape_at(text, end) : -1;
        long low = high >= 0xd800 && high < 0xdc00 ? escape_at(text + ESCAPE, end) : -1;
        if (low >= 0xdc00 && low < 0xe000) {
            char whole[WHOLE + 1];
            (void)snprintf(whole, sizeof whole, "\\U%08lx",
                           0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            memcpy(to, whole, WHOLE);
            to += WHOLE;
            text += PAIR;
            continue;
        }
        bool escapes = *text == '\\' && end - text > 1; /* a backslash, perhaps */
        *to++ = *text++;
        if (escapes)
            *to++ = *text++;
    }
    *to = '\0';
    return (size_t)(to - ret_text);
}
