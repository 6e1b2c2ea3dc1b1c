/* SPDX-License-Identifier: MIT */
/* Values: from the document's nodes, with names put in, and back to text. */
#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "probe/probe.h"
#include "toolkit/toolkit_internal.h"

/* ---- from nodes ---- */

/* The plain words that YAML 1.1 takes for a truth: -1 for others. */
static int truth_of(const char *text)
{
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    for (size_t i = 0; i < CE_COUNT(yes); i++)
        if (strcasecmp(text, yes[i]) == 0)
            return 1;
        else if (strcasecmp(text, no[i]) == 0)
            return 0;
    return -1;
}

static json_t *scalar_of(const struct ce_node *node)
{
    int64_t integer;
    double number;
    if (ce_node_is_null(node))
        return json_null();
    if (node->quoted)
        return json_string(node->text);
    int truth = truth_of(node->text);
    if (truth >= 0)
        return json_boolean(truth);
    if (ce_text_integer(node->text, &integer) == 0)
        return json_integer(integer);
    if (ce_text_number(node->text, &number) == 0)
        return json_real(number);
    return json_string(node->text);
}

json_t *ce_value_of(const struct ce_node *node)
{
    if (node->kind == CE_NODE_SCALAR)
        return scalar_of(node);
    bool is_map = node->kind == CE_NODE_MAP;
    ce_autojson json_t *value = is_map ? json_object() : json_array();
    for (size_t i = 0; value && i < node->count; i++) {
        json_t *item = ce_value_of(node->items[i]);
        if ((is_map ? json_object_set_new(value, node->items[i]->key, item)
                    : json_array_append_new(value, item)) < 0)
            return NULL;
    }
    return ce_take(value);
}

json_t *ce_value_of_bytes(const char *bytes, size_t size)
{
    json_t *text = json_stringn(bytes, size);
    if (text)
        return text;
    ce_autofree char *copy = strndup(bytes, size);
    if (!copy)
        return NULL;
    ce_probe_make_text(copy);
    return json_string(copy);
}

/* ---- to text ---- */

static char *real_text(double number)
{
    char text[40];
    if (number == floor(number) && fabs(number) < 1e16) {
        snprintf(text, sizeof text, "%.1f", number);
        return strdup(text);
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    return strdup(text);
}

char *ce_value_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return strdup(json_string_value(value));
    case JSON_INTEGER:
        return ce_format("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return real_text(json_real_value(value));
    case JSON_TRUE:
        return strdup("True");
    case JSON_FALSE:
        return strdup("False");
    case JSON_NULL:
        return strdup("None");
    default:
        return json_dumps(value, 0);
    }
}

const char *ce_value_header(const json_t *headers, const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)headers, key, value)
    {
        if (strcasecmp(key, name) == 0)
            return json_string_value(value);
    }
    return NULL;
}

/* ---- names put in ---- */

struct text {
    char *data;
    size_t size;
};

static int add(struct text *text, const char *data, size_t size)
{
    char *more = realloc(text->data, text->size + size + 1);
    if (!more)
        return -ENOMEM;
    memcpy(more + text->size, data, size);
    text->data = more;
    text->size += size;
    more[text->size] = '\0';
    return 0;
}

static size_t name_size(const char *text)
{
    size_t n = 0;
    if (isalpha((unsigned char)text[0]) || text[0] == '_')
        while (isalnum((unsigned char)text[n]) || text[n] == '_')
            n++;
    return n;
}

/* At a dollar: how much of the text is a reference, and to what; 0: it is none. */
static size_t reference_at(const char *text, const char **ret_name, size_t *ret_size)
{
    bool braced = text[1] == '{';
    const char *name = text + (braced ? 2 : 1);
    size_t size = name_size(name);
    if (size == 0 || (braced && name[size] != '}'))
        return 0;
    *ret_name = name;
    *ret_size = size;
    return size + (braced ? 3 : 1);
}

static const json_t *look_up(const char *name, size_t size, const struct ce_settings *settings,
                             bool *ret_secret)
{
    const json_t *value = json_object_getn(settings->values, name, size);
    if (value && json_object_getn(settings->secrets, name, size))
        *ret_secret = true;
    return value;
}

static json_t *resolve_text(const char *from, const struct ce_settings *settings, bool *ret_secret)
{
    const char *name;
    size_t size, used;
    const json_t *value;
    if (from[0] == '$' && from[1] == '{' && (used = reference_at(from, &name, &size)) > 0 &&
        from[used] == '\0' && (value = look_up(name, size, settings, ret_secret)))
        return json_deep_copy(value);
    ce_autofree char *text = NULL;
    struct text to = {0};
    int r = add(&to, "", 0);
    while (r == 0 && *from) {
        size_t plain = strcspn(from, "$");
        r = add(&to, from, plain);
        from += plain;
        if (r < 0 || *from == '\0')
            break;
        used = reference_at(from, &name, &size);
        value = used > 0 ? look_up(name, size, settings, ret_secret) : NULL;
        ce_autofree char *words = value ? ce_value_text(value) : NULL;
        if (value)
            r = words ? add(&to, words, strlen(words)) : -ENOMEM;
        else
            r = add(&to, from, used > 0 ? used : 1);
        from += used > 0 ? used : from[1] == '$' ? 2 : 1;
    }
    text = to.data;
    return r == 0 ? json_string(text) : NULL;
}

json_t *ce_value_resolve(const json_t *value, const struct ce_settings *settings, bool *ret_secret)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_string(value))
        return resolve_text(json_string_value(value), settings, ret_secret);
    if (json_is_array(value)) {
        ce_autojson json_t *list = json_array();
        json_array_foreach(value, i, item)
        {
            if (json_array_append_new(list, ce_value_resolve(item, settings, ret_secret)) < 0)
                return NULL;
        }
        return ce_take(list);
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    ce_autojson json_t *map = json_object();
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        if (json_object_set_new(map, key, ce_value_resolve(item, settings, ret_secret)) < 0)
            return NULL;
    }
    return ce_take(map);
}
