/* SPDX-License-Identifier: MIT */
/* Patterns as Python's re reads them, for POSIX's matcher.
 *
 * Only whether something matches is asked, never what: so a group that captures is as good as one
 * that does not, and a lazy quantifier as good as a greedy one. What POSIX has no means for
 * (looking ahead or behind, flags but for i and s) is refused by name. */
#include <ctype.h>
#include <string.h>

#include "toolkit/toolkit_internal.h"

struct translation {
    const char *from, *whole;
    char *to;
    size_t size;
    bool fold, dot_all;
};

static void put(struct translation *t, const char *text)
{
    size_t size = strlen(text);
    memcpy(t->to + t->size, text, size);
    t->size += size;
}

static void put_char(struct translation *t, char c)
{
    t->to[t->size++] = c;
}

static int refuse(const struct translation *t, const char *what, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(t->whole, shown);
    return ce_fail(err, ENOTSUP, "pattern '%s': %s is not supported here", shown, what);
}

/* A class such as \d, for inside of brackets; NULL: it is none. */
static const char *class_of(char c)
{
    switch (c) {
    case 'd':
        return "0-9";
    case 'w':
        return "A-Za-z0-9_";
    case 's':
        return " \t\n\r\f\v";
    default:
        return NULL;
    }
}

/* The character that a letter after a backslash stands for; 0: none. */
static char control_of(char c)
{
    static const char letters[] = "ntrfva", controls[] = "\n\t\r\f\v\a";
    const char *at = c ? strchr(letters, c) : NULL;
    return at ? controls[at - letters] : 0;
}

static int translate_escape(struct translation *t, struct ce_error *err)
{
    char c = t->from[1];
    const char *class = class_of(c), *outside = class_of((char)tolower((unsigned char)c));
    if (c == '\0')
        return refuse(t, "a backslash at its end", err);
    t->from += 2;
    if (class || (outside && isupper((unsigned char)c))) {
        put(t, class ? "[" : "[^");
        put(t, class ? class : outside);
        put_char(t, ']');
    } else if (control_of(c)) {
        put_char(t, control_of(c));
    } else if (c == 'A' || c == 'Z') {
        put(t, c == 'A' ? "\\`" : "\\'");
    } else if (c == 'b' || c == 'B' || isdigit((unsigned char)c)) {
        put_char(t, '\\');
        put_char(t, c);
    } else if (isalpha((unsigned char)c)) {
        return refuse(t, (char[]){'\\', c, '\0'}, err);
    } else {
        if (strchr(".[]{}()*+?^$|\\", c))
            put_char(t, '\\');
        put_char(t, c);
    }
    return 0;
}

/* Inside of brackets POSIX knows no backslash: what it protects goes where it needs no protection.
 */
static int translate_brackets(struct translation *t, struct ce_error *err)
{
    bool bracket = false, hyphen = false, caret = false, any = false;
    const char *p = t->from + 1;
    put_char(t, '[');
    if (*p == '^')
        put_char(t, *p++);
    size_t first = t->size;
    for (const char *begin = p; *p && (*p != ']' || p == begin); p++) {
        bool escaped = *p == '\\' && p[1];
        p += escaped;
        const char *class = escaped ? class_of(*p) : NULL;
        char c = escaped && control_of(*p) ? control_of(*p) : *p;
        if (escaped && !class && isalnum((unsigned char)*p) && !control_of(*p))
            return refuse(t, (char[]){'\\', *p, ' ', 'i', 'n', ' ', '[', ']', '\0'}, err);
        bool ends_here = p[1] == ']';
        if (class)
            put(t, class);
        else if (c == ']')
            bracket = true;
        else if (c == '-' && (escaped || p == begin || ends_here))
            hyphen = true;
        else if (c == '^' && t->size == first)
            caret = true;
        else
            put_char(t, c);
        any = true;
    }
    if (*p != ']' || !any)
        return refuse(t, "a bracket that is not closed", err);
    t->from = p + 1;
    if (bracket) { /* has to be the first */
        memmove(t->to + first + 1, t->to + first, t->size - first);
        t->to[first] = ']';
        t->size++;
    }
    if (caret && t->size == first && !hyphen) { /* alone, it would negate */
        t->size = first - 1;
        put(t, "\\^");
        return 0;
    }
    if (caret)
        put_char(t, '^');
    if (hyphen)
        put_char(t, '-');
    put_char(t, ']');
    return 0;
}

static int translate_group(struct translation *t, struct ce_error *err)
{
    put_char(t, '(');
    t->from++;
    if (t->from[0] != '?')
        return 0;
    const char *name_end = strncmp(t->from, "?P<", 3) == 0 ? strchr(t->from, '>') : NULL;
    if (strncmp(t->from, "?:", 2) == 0)
        t->from += 2;
    else if (name_end)
        t->from = name_end + 1;
    else if (strchr("=!<", t->from[1]))
        return refuse(t, "looking ahead or behind", err);
    else
        return refuse(t, (char[]){'(', '?', t->from[1], '\0'}, err);
    return 0;
}

/* (?i), (?s), (?is) at the beginning. */
static int translate_flags(struct translation *t, struct ce_error *err)
{
    if (strncmp(t->from, "(?", 2) != 0 || !isalpha((unsigned char)t->from[2]) || t->from[2] == 'P')
        return 0;
    for (t->from += 2; *t->from && *t->from != ')'; t->from++) {
        if (*t->from != 'i' && *t->from != 's')
            return refuse(t, (char[]){'(', '?', *t->from, ')', '\0'}, err);
        t->fold = t->fold || *t->from == 'i';
        t->dot_all = t->dot_all || *t->from == 's';
    }
    t->from += *t->from == ')';
    return 0;
}

static bool is_count(const char *text)
{
    size_t n = strspn(text + 1, "0123456789,");
    return n > 0 && isdigit((unsigned char)text[1]) && text[n + 1] == '}';
}

static int translate(struct translation *t, struct ce_error *err)
{
    CE_TRY(translate_flags(t, err));
    while (*t->from) {
        char c = *t->from;
        if (c == '\\') {
            CE_TRY(translate_escape(t, err));
            continue;
        }
        if (c == '[') {
            CE_TRY(translate_brackets(t, err));
            continue;
        }
        if (c == '(') {
            CE_TRY(translate_group(t, err));
            continue;
        }
        t->from++;
        if (c == '.' && !t->dot_all)
            put(t, "[^\n]");
        else if (c == '$') /* the last newline may follow */
            put(t, "\n?$");
        else if (c == '{' && !is_count(t->from - 1))
            put(t, "\\{");
        else if (c == '}' && !memchr(t->whole, '{', (size_t)(t->from - t->whole)))
            put(t, "\\}");
        else
            put_char(t, c);
        if (strchr("*+?}", c) && (*t->from == '?' || *t->from == '+'))
            t->from++; /* lazy, or possessive */
    }
    put_char(t, '\0');
    return 0;
}

int ce_pattern_compile(const char *pattern, regex_t *ret_pattern, struct ce_error *err)
{
    char why[128], shown[CE_TEXT_SHOWN_SIZE];
    ce_autofree char *to = malloc(16 * strlen(pattern) + 16);
    struct translation t = {.from = pattern, .whole = pattern, .to = to};
    if (!to)
        return ce_fail_memory(err);
    CE_TRY(translate(&t, err));
    int r = regcomp(ret_pattern, to, REG_EXTENDED | REG_NOSUB | (t.fold ? REG_ICASE : 0));
    if (r == 0)
        return 0;
    (void)regerror(r, ret_pattern, why, sizeof why);
    ce_text_show(pattern, shown);
    return ce_fail(err, EINVAL, "'%s' is no regular expression: %s", shown, why);
}
