/* SPDX-License-Identifier: MIT */
#include "data/text/json_string.h"

#include <stdint.h>

enum { REPLACEMENT = 0xfffd };

/* ---- reading ---- */

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static unsigned hex4(const char *p)
{
    return hex_value(p[0]) << 12 | hex_value(p[1]) << 8 | hex_value(p[2]) << 4 | hex_value(p[3]);
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* The character of the \u escape at `p`, which may be the first of two. */
static unsigned escaped_character(const char **p, const char *end)
{
    unsigned c = hex4(*p + 2);
    *p += 6;
    if (c < 0xd800 || c > 0xdfff)
        return c;
    bool paired = c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u';
    unsigned low = paired ? hex4(*p + 2) : 0;
    if (low < 0xdc00 || low > 0xdfff)
        return REPLACEMENT;
    *p += 6;
    return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

static char short_escape(char letter)
{
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter; /* a quote, a backslash or a slash */
    }
}

size_t ce_json_decode(const char *raw, size_t size, bool name, char *out)
{
    const char *p = raw, *end = raw + size;
    char *start = out;
    while (p < end) {
        if (*p != '\\') {
            *out++ = *p++;
        } else if (p[1] != 'u') {
            *out++ = short_escape(p[1]);
            p += 2;
        } else {
            const char *escape = p;
            unsigned c = escaped_character(&p, end);
            if (c == 0 && name) {
                memcpy(out, escape, 6);
                out += 6;
            } else {
                out = put_utf8(out, c);
            }
        }
    }
    return (size_t)(out - start);
}

/* ---- writing ---- */

/* How many bytes the character at `p` has; 0: it is no UTF-8. Overlong forms and surrogates are
 * none. */
static size_t utf8_character(const char *text, const char *end, unsigned *ret_character)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)text;
    size_t size = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
    if (size == 0 || (size_t)(end - text) < size)
        return 0;
    unsigned c = size == 1 ? *p : *p & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret_character = c;
    return size;
}

static char *put_hex4(char *out, unsigned unit)
{
    *out++ = '\\';
    *out++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[unit >> shift & 15];
    return out;
}

static char *put_ascii(char *out, unsigned c)
{
    if (c < 0x10000)
        return put_hex4(out, c);
    c -= 0x10000;
    return put_hex4(put_hex4(out, 0xd800 + (c >> 10)), 0xdc00 + (c & 0x3ff));
}

static char *put_character(char *out, unsigned c, bool ascii)
{
    static const char letters[] = "btn\0fr"; /* from 8 on */
    if (c == '"' || c == '\\') {
        *out++ = '\\';
        *out++ = (char)c;
        return out;
    }
    if (c >= 0x20)
        return c >= 0x80 && ascii ? put_ascii(out, c) : put_utf8(out, c);
    if (c < 8 || c > 13 || letters[c - 8] == '\0')
        return put_hex4(out, c);
    *out++ = '\\';
    *out++ = letters[c - 8];
    return out;
}

bool ce_json_put_string(const char *text, size_t size, bool ascii, struct ce_buffer *out)
{
    uintptr_t inside = (uintptr_t)text - (uintptr_t)out->data;
    bool within = out->data && inside <= out->size;
    /* Six bytes for one: \u001f for a control character. */
    char *start = ce_buffer_room(out, 6 * size + 2), *to = start;
    if (!start)
        return false;
    const char *p = within ? out->data + inside : text;
    *to++ = '"';
    for (const char *end = p + size; p < end;) {
        unsigned c = REPLACEMENT;
        size_t taken = utf8_character(p, end, &c);
        to = put_character(to, c, ascii);
        p += taken > 0 ? taken : 1;
    }
    *to++ = '"';
    out->size += (size_t)(to - start);
    return true;
}
