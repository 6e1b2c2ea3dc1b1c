/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

json_t *ce_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* The end of an array that holds numbers and nulls alone; NULL: it holds anything else. */
static const char *end_of_numbers(const char *array)
{
    const char *end = array + 1 + strspn(array + 1, "0123456789+-.eEnul, \n");
    return *end == ']' ? end : NULL;
}

/* Puts every list of numbers on a line of its own: one number to a line is for nobody to read. */
static void join_numbers(char *text)
{
    char *out = text;
    const char *end;
    bool in_string = false;
    for (const char *p = text; *p != '\0'; p++) {
        if (in_string && *p == '\\') {
            *out++ = *p++;
        } else if (*p == '"') {
            in_string = !in_string;
        } else if (!in_string && *p == '[' && (end = end_of_numbers(p))) {
            for (; p < end; p++) {
                if (*p != '\n' && *p != ' ')
                    *out++ = *p;
                if (*p == ',')
                    *out++ = ' ';
            }
        }
        *out++ = *p;
    }
    *out = '\0';
}

static char *text_with(const json_t *json, size_t digits)
{
    ce_autofree char *text =
        json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(digits) | JSON_ENCODE_ANY);
    if (!text)
        return NULL;
    join_numbers(text);
    size_t n = strlen(text);
    char *longer = realloc(text, n + 2);
    if (!longer)
        return NULL;
    text = longer;
    memcpy(text + n, "\n", 2);
    return ce_take(text);
}

char *ce_json_text(const json_t *json)
{
    return text_with(json, 15);
}

char *ce_json_exact_text(const json_t *json)
{
    return text_with(json, 17);
}

json_t *ce_json_parse(const char *text, size_t size, const char *name, struct ce_error *err)
{
    json_error_t why;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!json) {
        char where[sizeof err->where];
        snprintf(where, sizeof where, "%.100s:%d:%d", name, why.line, why.column);
        (void)ce_fail_at(err, where, EINVAL, "not valid JSON: %s", why.text);
    }
    return json;
}
