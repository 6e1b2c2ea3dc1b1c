/* SPDX-License-Identifier: MIT */
/* Paths into JSON: members, elements, all of either, and members at any depth. Filters are refused.
 *
 * A step is {"name": text} or {"index": number}, with neither for all of them, and "deep": true
 * when it is looked for at any depth. */
#include <ctype.h>
#include <string.h>

#include "toolkit/toolkit_internal.h"

static int refuse(const char *path, const char *at, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(path, shown);
    return ce_fail(err, EINVAL,
                   "path '%s': expected .name, ['name'], [number], [*], .* or ..name at its "
                   "character %zu",
                   shown, (size_t)(at - path) + 1);
}

static int add_step(json_t *steps, const char *name, size_t size, const int64_t *index, bool deep,
                    struct ce_error *err)
{
    ce_autojson json_t *step = json_pack("{s:b}", "deep", deep);
    int r = step ? 0 : -1;
    if (r == 0 && name)
        r = json_object_set_new(step, "name", json_stringn(name, size));
    if (r == 0 && index)
        r = json_object_set_new(step, "index", json_integer(*index));
    return r < 0 || json_array_append(steps, step) < 0 ? ce_fail_memory(err) : 0;
}

static size_t name_size(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '_' || text[n] == '-' ||
           (unsigned char)text[n] >= 0x80)
        n++;
    return n;
}

/* At what is between the brackets; *at is left behind them. */
static int parse_brackets(const char *path, const char **at, bool deep, json_t *steps,
                          struct ce_error *err)
{
    const char *p = *at + 1, *end = NULL;
    if (*p == '\'' || *p == '"') {
        end = strchr(p + 1, *p);
        if (!end || end[1] != ']')
            return refuse(path, p, err);
        CE_TRY(add_step(steps, p + 1, (size_t)(end - p) - 1, NULL, deep, err));
        *at = end + 2;
        return 0;
    }
    if (p[0] == '*' && p[1] == ']') {
        *at = p + 2;
        return add_step(steps, NULL, 0, NULL, deep, err);
    }
    char *after;
    int64_t index = strtoll(p, &after, 10);
    if (after == p || *after != ']' || isspace((unsigned char)*p))
        return refuse(path, p, err);
    *at = after + 1;
    return add_step(steps, NULL, 0, &index, deep, err);
}

int ce_path_parse(const char *path, json_t **ret_steps, struct ce_error *err)
{
    ce_autojson json_t *steps = json_array();
    if (!steps)
        return ce_fail_memory(err);
    const char *p = path;
    if (*p++ != '$')
        return refuse(path, path, err);
    while (*p) {
        bool deep = p[0] == '.' && p[1] == '.';
        p += deep ? 2 : 0;
        if (*p == '[') {
            CE_TRY(parse_brackets(path, &p, deep, steps, err));
            continue;
        }
        if (!deep && *p++ != '.')
            return refuse(path, p - 1, err);
        size_t size = name_size(p);
        if (size == 0 && *p != '*')
            return refuse(path, p, err);
        CE_TRY(add_step(steps, size > 0 ? p : NULL, size, NULL, deep, err));
        p += size > 0 ? size : 1;
    }
    *ret_steps = ce_take(steps);
    return 0;
}

/* ---- matching ---- */

static int take_all(json_t *value, json_t *to)
{
    const char *key;
    json_t *item;
    size_t i;
    int r = 0;
    if (json_is_array(value))
        json_array_foreach(value, i, item) r |= json_array_append(to, item);
    else
        json_object_foreach(value, key, item) r |= json_array_append(to, item);
    return r;
}

static int take_step(const json_t *step, json_t *value, json_t *to)
{
    const char *name = json_string_value(json_object_get(step, "name"));
    const json_t *index = json_object_get(step, "index");
    json_t *item = NULL;
    int r = 0;
    if (!name && !index)
        r = take_all(value, to);
    if (name)
        item = json_object_get(value, name);
    if (index && json_is_array(value)) {
        json_int_t i = json_integer_value(index);
        i += i < 0 ? (json_int_t)json_array_size(value) : 0;
        item = i >= 0 ? json_array_get(value, (size_t)i) : NULL;
    }
    if (item)
        r |= json_array_append(to, item);
    if (!json_is_true(json_object_get(step, "deep")))
        return r;
    ce_autojson json_t *below = json_array();
    size_t i;
    if (!below)
        return -1;
    r |= take_all(value, below);
    json_array_foreach(below, i, item) r |= take_step(step, item, to);
    return r;
}

json_t *ce_path_match(const json_t *steps, json_t *value)
{
    json_t *found = json_array(), *step, *from;
    size_t i, j;
    int r = found ? json_array_append(found, value) : -1;
    json_array_foreach(steps, i, step)
    {
        ce_autojson json_t *before = found;
        found = json_array();
        r |= found ? 0 : -1;
        json_array_foreach(before, j, from) r |= take_step(step, from, found);
    }
    if (r == 0)
        return found;
    json_decref(found);
    return NULL;
}
