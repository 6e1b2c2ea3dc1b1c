/* SPDX-License-Identifier: MIT */
#include "experiment/node.h"

#include <stdio.h>
#include <string.h>

struct ce_node *ce_node_new(enum ce_node_kind kind, struct ce_position place)
{
    struct ce_node *node = calloc(1, sizeof *node);
    if (node) {
        node->kind = kind;
        node->place = place;
    }
    return node;
}

void ce_node_free(struct ce_node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->count; i++)
        ce_node_free(node->items[i]);
    free(node->items);
    free(node->key);
    free(node->text);
    free(node);
}

/* The key is not copied: it belongs to the mapping that the original stands in. */
static int copy_into(struct ce_node *copy, const struct ce_node *node)
{
    copy->quoted = node->quoted;
    if (node->text && !(copy->text = strdup(node->text)))
        return -ENOMEM;
    if (node->count > 0 && !(copy->items = calloc(node->count, sizeof *copy->items)))
        return -ENOMEM;
    for (; copy->count < node->count; copy->count++) {
        const struct ce_node *from = node->items[copy->count];
        CE_CLEANUP(ce_node_free_p) struct ce_node *to = ce_node_copy(from);
        if (!to || (from->key && !(to->key = strdup(from->key))))
            return -ENOMEM;
        to->key_place = from->key_place;
        copy->items[copy->count] = ce_take(to);
    }
    return 0;
}

struct ce_node *ce_node_copy(const struct ce_node *node)
{
    CE_CLEANUP(ce_node_free_p) struct ce_node *copy = ce_node_new(node->kind, node->place);
    if (!copy || copy_into(copy, node) < 0)
        return NULL;
    return ce_take(copy);
}

static struct ce_node **find(const struct ce_node *map, const char *key)
{
    if (map && map->kind == CE_NODE_MAP)
        for (size_t i = 0; i < map->count; i++)
            if (strcmp(map->items[i]->key, key) == 0)
                return &map->items[i];
    return NULL;
}

struct ce_node *ce_node_get(const struct ce_node *map, const char *key)
{
    struct ce_node **at = find(map, key);
    return at ? *at : NULL;
}

int ce_node_put(struct ce_node *map, const char *key, struct ce_node *value)
{
    ce_autofree char *copy = strdup(key);
    if (!copy)
        return -ENOMEM;
    struct ce_node **at = find(map, key);
    if (at) {
        ce_node_free(*at);
    } else {
        struct ce_node **items = realloc(map->items, (map->count + 1) * sizeof *items);
        if (!items)
            return -ENOMEM;
        map->items = items;
        at = &items[map->count++];
    }
    free(value->key);
    value->key = ce_take(copy);
    value->key_place = value->place;
    *at = value;
    return 0;
}

bool ce_node_is_null(const struct ce_node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind != CE_NODE_SCALAR || node->quoted)
        return false;
    for (size_t i = 0; i < CE_COUNT(nulls); i++)
        if (strcmp(node->text, nulls[i]) == 0)
            return true;
    return false;
}

const char *ce_node_kind_text(const struct ce_node *node)
{
    switch (node->kind) {
    case CE_NODE_MAP:
        return "a mapping";
    case CE_NODE_LIST:
        return "a list";
    default:
        return ce_node_is_null(node) ? "nothing" : "text";
    }
}

void ce_position_text(const struct ce_position *place, char *text, size_t size)
{
    char numbers[32] = "";
    if (place->line > 0)
        snprintf(numbers, sizeof numbers, ":%d:%d", place->line, place->column);
    size_t n = strlen(place->origin), room = size - strlen(numbers) - 1;
    if (n <= room)
        snprintf(text, size, "%s%s", place->origin, numbers);
    else
        snprintf(text, size, "...%s%s", place->origin + n - (room - 3), numbers);
    /* The name of a file, or an option's value: no terminal shall obey it. */
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

int ce_fail_place(struct ce_error *err, const struct ce_position *place, int code, const char *fmt,
                  ...)
{
    struct ce_error sentence = {0};
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence.message, sizeof sentence.message, fmt, args);
    va_end(args);
    ce_position_text(place, sentence.where, sizeof sentence.where);
    return ce_fail_at(err, sentence.where, code, "%s", sentence.message);
}

int ce_fail_put_place(struct ce_error *err, int r, const struct ce_position *place)
{
    if (r < 0 && err && err->where[0] == '\0' && err->code != ENOMEM)
        ce_position_text(place, err->where, sizeof err->where);
    return r;
}
