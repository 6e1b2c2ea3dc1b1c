/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/words.h"

enum { REPLACEMENT = 0xfffd };

/* The next character, and what follows it. What is no UTF-8 (overlong forms and surrogates are
 * none) is U+FFFD, byte by byte. */
static const unsigned char *next_character(const unsigned char *p, uint32_t *ret_character)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    size_t more = *p < 0x80 ? 0 : *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
    uint32_t c = more == 0 ? *p : *p & (0x3fu >> more);
    *ret_character = REPLACEMENT;
    if ((*p >= 0x80 && *p < 0xc0) || *p >= 0xf8)
        return p + 1;
    for (size_t i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return p + 1;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return p + 1;
    *ret_character = c;
    return p + 1 + more;
}

/* Not to be obeyed by a terminal, and not allowed in XML. */
static bool is_control(uint32_t c)
{
    return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || (c >= 0x7f && c < 0xa0) ||
           (c & 0xfffe) == 0xfffe;
}

static bool is_word(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* What each format writes in place of a character. In Markdown nothing begins an emphasis, a link,
 * a tag, a mention, a reference or a cell. */
static const char *const escapes[][128] = {
    [CE_ESCAPE_XML] = {['&'] = "&amp;",
                       ['<'] = "&lt;",
                       ['>'] = "&gt;",
                       ['"'] = "&quot;",
                       ['\t'] = "&#9;",
                       ['\n'] = "&#10;",
                       ['\r'] = "&#13;"},
    [CE_ESCAPE_MARKDOWN] = {['&'] = "&amp;",
                            ['<'] = "&lt;",
                            ['>'] = "&gt;",
                            ['|'] = "&#124;",
                            ['@'] = "&#64;",
                            ['#'] = "&#35;",
                            [':'] = "&#58;",
                            ['$'] = "&#36;",
                            ['\\'] = "\\\\",
                            ['_'] = "\\_",
                            ['`'] = "\\`",
                            ['*'] = "\\*",
                            ['['] = "\\[",
                            [']'] = "\\]",
                            ['~'] = "\\~",
                            ['!'] = "\\!",
                            ['\n'] = " ",
                            ['\r'] = " ",
                            ['\t'] = " "},
    [CE_ESCAPE_GITHUB_MESSAGE] = {['%'] = "%25", ['\r'] = "%0D", ['\n'] = "%0A"},
    [CE_ESCAPE_GITHUB_PROPERTY] =
        {['%'] = "%25", ['\r'] = "%0D", ['\n'] = "%0A", [':'] = "%3A", [','] = "%2C"},
    [CE_ESCAPE_TAP] = {['#'] = "\\#", ['\\'] = "\\\\", ['\n'] = " ", ['\r'] = " ", ['\t'] = " "},
    [CE_ESCAPE_PLAIN] = {['\n'] = " ", ['\r'] = " ", ['\t'] = " "},
    [CE_ESCAPE_CSV] = {['"'] = "\"\""},
};

/* `inside`: between two characters of a word, where Markdown's underscore means nothing, but a
 * colon may: https: is a link without any brackets. NULL: it stands for itself. */
static const char *escape(enum ce_escape how, uint32_t c, bool inside)
{
    if (c >= CE_COUNT(escapes[how]))
        return NULL;
    if (how == CE_ESCAPE_MARKDOWN && ((c == '_' && inside) || (c == ':' && !inside)))
        return NULL;
    return escapes[how][c];
}

static void write_characters(FILE *out, enum ce_escape how, const char *text)
{
    const unsigned char *start = (const unsigned char *)text;
    for (const unsigned char *p = start, *after; *p != '\0'; p = after) {
        uint32_t c;
        after = next_character(p, &c);
        bool inside = p > start && is_word(p[-1]) && (is_word(*after) || *after == '/');
        const char *escaped = escape(how, c, inside);
        if (escaped)
            fputs(escaped, out);
        else if (c == REPLACEMENT || is_control(c))
            fputs("\xef\xbf\xbd", out);
        else
            (void)fwrite(p, 1, (size_t)(after - p), out);
    }
}

void ce_put_escaped(FILE *out, enum ce_escape how, const char *text)
{
    bool quotes = how == CE_ESCAPE_CSV && text[strcspn(text, ",\"\r\n")] != '\0';
    fputs(quotes ? "\"" : "", out);
    write_characters(out, how, text);
    fputs(quotes ? "\"" : "", out);
}

char *ce_text_clean(const char *text)
{
    char *clean = NULL;
    size_t size;
    FILE *out = open_memstream(&clean, &size);
    if (!out)
        return NULL;
    ce_put_escaped(out, CE_ESCAPE_PLAIN, text);
    if (fclose(out) == 0)
        return clean;
    free(clean);
    return NULL;
}

void ce_put_quoted(FILE *out, const char *text)
{
    ce_autofree char *clean = ce_text_clean(text);
    ce_autojson json_t *string = clean ? json_string(clean) : NULL;
    (void)json_dumpf(string, out, JSON_ENCODE_ANY);
}

int ce_report_end(FILE *out, struct ce_error *err)
{
    if (fflush(out) != EOF && !ferror(out))
        return 0;
    int code = errno ? errno : EIO;
    return ce_fail(err, code, "cannot write the report: %s", strerror(code));
}
