/* SPDX-License-Identifier: MIT */
/* YAML to nodes, by libyaml's events.
 *
 * The limits are checked while the tree grows, so that no input costs more than they allow. An
 * alias is expanded: the node that its anchor names is copied, so that two places never share a
 * value and --set can change one of them. What is not text never reaches libyaml, which would name
 * the first thing it stumbles over instead. */
#include "experiment/node.h"

#include <stdint.h>
#include <string.h>
#include <yaml.h>

#include "base/text.h"

struct anchor {
    char *name;
    const struct ce_node
        *node; /* NULL while it is being read: an alias here would contain itself */
};

struct loader {
    yaml_parser_t parser;
    const char *origin;
    size_t node_count;
    struct anchor *anchors;
    size_t anchor_count;
    struct ce_error *err;
};

static void event_done(yaml_event_t *event)
{
    yaml_event_delete(event);
}
#define AUTO_EVENT CE_CLEANUP(event_done) yaml_event_t

static struct ce_position place_of(const struct loader *loader, const yaml_mark_t *mark)
{
    return (struct ce_position){loader->origin, (int)mark->line + 1, (int)mark->column + 1};
}

/* ---- is it text? ---- */

/* The length of the UTF-8 sequence at `p`, 0 when it is malformed or no character of a text. */
static size_t character(const unsigned char *p, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80             ? 1
               : (p[0] & 0xe0) == 0xc0 ? 2
               : (p[0] & 0xf0) == 0xe0 ? 3
               : (p[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n == 0 || n > size)
        return 0;
    if (n == 1)
        return (p[0] >= 0x20 && p[0] != 0x7f) || p[0] == '\t' || p[0] == '\n' || p[0] == '\r' ? 1
                                                                                              : 0;
    uint32_t code = p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    bool surrogate = code >= 0xd800 && code < 0xe000, control = code < 0xa0 && code != 0x85;
    bool nonsense = code == 0xfffe || code == 0xffff || code > 0x10ffff;
    return code >= least[n] && !surrogate && !control && !nonsense ? n : 0;
}

static int check_text(const char *text, size_t size, const char *origin, struct ce_error *err)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + size;
    struct ce_position place = {origin, 1, 1};
    while (p < end) {
        size_t n = character(p, (size_t)(end - p));
        if (n == 0)
            return ce_fail_place(err, &place, EINVAL,
                                 "byte 0x%02x does not belong here: a document is UTF-8 text", *p);
        place.line += *p == '\n';
        place.column = *p == '\n' ? 1 : place.column + 1;
        p += n;
    }
    return 0;
}

/* ---- events ---- */

static int fail_parser(struct loader *loader)
{
    const yaml_parser_t *parser = &loader->parser;
    struct ce_position place = place_of(loader, &parser->problem_mark);
    if (parser->error == YAML_MEMORY_ERROR)
        return ce_fail_memory(loader->err);
    return ce_fail_place(loader->err, &place, EINVAL, "malformed YAML: %s%s%s",
                         parser->context ? parser->context : "", parser->context ? ", " : "",
                         parser->problem ? parser->problem : "not readable");
}

static int next_event(struct loader *loader, yaml_event_t *event)
{
    return yaml_parser_parse(&loader->parser, event) ? 0 : fail_parser(loader);
}

/* Only the tags that say what the node is anyway; any other would ask for a type that no document
 * has. */
static int check_tag(struct loader *loader, const yaml_event_t *event, const yaml_char_t *tag,
                     const char *accepted)
{
    if (!tag || strcmp((const char *)tag, accepted) == 0)
        return 0;
    char shown[CE_TEXT_SHOWN_SIZE];
    struct ce_position place = place_of(loader, &event->start_mark);
    ce_text_show((const char *)tag, shown);
    return ce_fail_place(loader->err, &place, EINVAL,
                         "the tag '%s' is not accepted; a document needs no tags", shown);
}

static int count_nodes(struct loader *loader, size_t count, const struct ce_position *place)
{
    loader->node_count += count;
    if (loader->node_count <= CE_NODE_COUNT_MAX)
        return 0;
    return ce_fail_place(loader->err, place, E2BIG,
                         "the document has more than %d values, aliases expanded",
                         CE_NODE_COUNT_MAX);
}

static int check_depth(struct loader *loader, size_t depth, const struct ce_position *place)
{
    if (depth <= CE_NODE_DEPTH_MAX)
        return 0;
    return ce_fail_place(loader->err, place, E2BIG, "nested more than %d levels deep",
                         CE_NODE_DEPTH_MAX);
}

/* ---- anchors ---- */

/* Returns the anchor's index, SIZE_MAX when the node has none; negative only for errors. */
static int open_anchor(struct loader *loader, const yaml_char_t *name,
                       const struct ce_position *place, size_t *ret_index)
{
    *ret_index = SIZE_MAX;
    if (!name)
        return 0;
    if (loader->anchor_count == CE_NODE_ANCHORS_MAX)
        return ce_fail_place(loader->err, place, E2BIG, "the document has more than %d anchors",
                             CE_NODE_ANCHORS_MAX);
    if (!loader->anchors)
        loader->anchors = calloc(CE_NODE_ANCHORS_MAX, sizeof *loader->anchors);
    char *copy = loader->anchors ? strdup((const char *)name) : NULL;
    if (!copy)
        return ce_fail_memory(loader->err);
    *ret_index = loader->anchor_count++;
    loader->anchors[*ret_index].name = copy;
    return 0;
}

static void measure(const struct ce_node *node, size_t level, size_t *count, size_t *depth)
{
    (*count)++;
    if (level > *depth)
        *depth = level;
    for (size_t i = 0; i < node->count; i++)
        measure(node->items[i], level + 1, count, depth);
}

static int load_alias(struct loader *loader, const yaml_event_t *event, size_t level,
                      struct ce_node **ret_node)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct ce_position place = place_of(loader, &event->start_mark);
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(name, shown);

    size_t i = loader->anchor_count;
    while (i > 0 && strcmp(loader->anchors[i - 1].name, name) != 0)
        i--;
    if (i == 0)
        return ce_fail_place(loader->err, &place, EINVAL,
                             "the alias '*%s' has no anchor '&%s' before it", shown, shown);
    const struct ce_node *node = loader->anchors[i - 1].node;
    if (!node)
        return ce_fail_place(loader->err, &place, EINVAL,
                             "the alias '*%s' stands inside its own anchor", shown);

    size_t count = 0, depth = 0;
    measure(node, level, &count, &depth);
    CE_TRY(count_nodes(loader, count, &place));
    CE_TRY(check_depth(loader, depth, &place));
    *ret_node = ce_node_copy(node);
    return *ret_node ? 0 : ce_fail_memory(loader->err);
}

/* ---- nodes ---- */

static int load_node(struct loader *loader, const yaml_event_t *event, size_t level,
                     struct ce_node **ret_node);

/* Room for one more item; grows by doubling. */
static int reserve(struct loader *loader, struct ce_node *node)
{
    if ((node->count & (node->count - 1)) != 0)
        return 0;
    size_t capacity = node->count == 0 ? 1 : node->count * 2;
    struct ce_node **items = realloc(node->items, capacity * sizeof *items);
    if (!items)
        return ce_fail_memory(loader->err);
    node->items = items;
    return 0;
}

static int load_scalar(struct loader *loader, const yaml_event_t *event, struct ce_node *node)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    CE_TRY(check_tag(loader, event, event->data.scalar.tag, YAML_STR_TAG));
    if (strlen(text) != size)
        return ce_fail_place(loader->err, &node->place, EINVAL,
                             "a text must not contain a NUL character");
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || event->data.scalar.tag;
    node->text = strdup(text);
    return node->text ? 0 : ce_fail_memory(loader->err);
}

static int load_list(struct loader *loader, const yaml_event_t *event, size_t level,
                     struct ce_node *node)
{
    CE_TRY(check_tag(loader, event, event->data.sequence_start.tag, YAML_SEQ_TAG));
    for (;;) {
        AUTO_EVENT item = {0};
        CE_TRY(next_event(loader, &item));
        if (item.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        CE_TRY(reserve(loader, node));
        struct ce_node *value;
        CE_TRY(load_node(loader, &item, level + 1, &value));
        node->items[node->count++] = value;
    }
}

static int check_key(struct loader *loader, const yaml_event_t *key, const struct ce_node *map)
{
    struct ce_position place = place_of(loader, &key->start_mark);
    if (key->type != YAML_SCALAR_EVENT ||
        strlen((const char *)key->data.scalar.value) != key->data.scalar.length)
        return ce_fail_place(loader->err, &place, EINVAL, "a key must be plain text");
    if (map->count == CE_NODE_KEYS_MAX)
        return ce_fail_place(loader->err, &place, E2BIG, "a mapping has more than %d keys",
                             CE_NODE_KEYS_MAX);
    const struct ce_node *other = ce_node_get(map, (const char *)key->data.scalar.value);
    if (!other)
        return 0;
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(other->key, shown);
    return ce_fail_place(loader->err, &place, EINVAL,
                         "duplicate key '%s'; it is first given at %d:%d", shown,
                         other->key_place.line, other->key_place.column);
}

static int load_map(struct loader *loader, const yaml_event_t *event, size_t level,
                    struct ce_node *node)
{
    CE_TRY(check_tag(loader, event, event->data.mapping_start.tag, YAML_MAP_TAG));
    for (;;) {
        AUTO_EVENT key = {0};
        AUTO_EVENT item = {0};
        CE_TRY(next_event(loader, &key));
        if (key.type == YAML_MAPPING_END_EVENT)
            return 0;
        CE_TRY(check_key(loader, &key, node));
        CE_TRY(next_event(loader, &item));
        CE_TRY(reserve(loader, node));
        CE_CLEANUP(ce_node_free_p) struct ce_node *value = NULL;
        CE_TRY(load_node(loader, &item, level + 1, &value));
        value->key = strdup((const char *)key.data.scalar.value);
        value->key_place = place_of(loader, &key.start_mark);
        if (!value->key)
            return ce_fail_memory(loader->err);
        node->items[node->count++] = ce_take(value);
    }
}

/* `event` begins the node; everything up to its end is read. */
static int load_node(struct loader *loader, const yaml_event_t *event, size_t level,
                     struct ce_node **ret_node)
{
    if (event->type == YAML_ALIAS_EVENT)
        return load_alias(loader, event, level, ret_node);

    struct ce_position place = place_of(loader, &event->start_mark);
    CE_TRY(count_nodes(loader, 1, &place));
    CE_TRY(check_depth(loader, level, &place));
    bool list = event->type == YAML_SEQUENCE_START_EVENT,
         map = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *name = list  ? event->data.sequence_start.anchor
                              : map ? event->data.mapping_start.anchor
                                    : event->data.scalar.anchor;
    size_t anchor;
    CE_TRY(open_anchor(loader, name, &place, &anchor));

    CE_CLEANUP(ce_node_free_p)
    struct ce_node *node = ce_node_new(list  ? CE_NODE_LIST
                                       : map ? CE_NODE_MAP
                                             : CE_NODE_SCALAR,
                                       place);
    if (!node)
        return ce_fail_memory(loader->err);
    if (list)
        CE_TRY(load_list(loader, event, level, node));
    else if (map)
        CE_TRY(load_map(loader, event, level, node));
    else
        CE_TRY(load_scalar(loader, event, node));
    if (anchor != SIZE_MAX)
        loader->anchors[anchor].node = node;
    *ret_node = ce_take(node);
    return 0;
}

/* Stream start, document start, the root, document end, stream end. */
static int load_stream(struct loader *loader, struct ce_node **ret_node)
{
    AUTO_EVENT stream = {0};
    AUTO_EVENT document = {0};
    AUTO_EVENT root = {0};
    AUTO_EVENT end = {0};
    AUTO_EVENT after = {0};
    CE_TRY(next_event(loader, &stream));
    CE_TRY(next_event(loader, &document));
    struct ce_position place = {loader->origin, 1, 1};
    if (document.type == YAML_STREAM_END_EVENT)
        return ce_fail_place(loader->err, &place, EINVAL,
                             "the document is empty; it needs the key 'experiments'");
    CE_TRY(next_event(loader, &root));
    CE_CLEANUP(ce_node_free_p) struct ce_node *node = NULL;
    CE_TRY(load_node(loader, &root, 1, &node));
    CE_TRY(next_event(loader, &end));
    CE_TRY(next_event(loader, &after));
    if (after.type != YAML_STREAM_END_EVENT) {
        place = place_of(loader, &after.start_mark);
        return ce_fail_place(loader->err, &place, EINVAL,
                             "a file holds one document; a second one begins here");
    }
    *ret_node = ce_take(node);
    return 0;
}

int ce_node_parse(const char *text, size_t size, const char *origin, struct ce_node **ret_node,
                  struct ce_error *err)
{
    CE_TRY(check_text(text, size, origin, err));
    /* libyaml counts a byte order mark as a column when it is told the encoding. */
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size -= 3;
    }
    struct loader loader = {.origin = origin, .err = err};
    if (!yaml_parser_initialize(&loader.parser))
        return ce_fail_memory(err);
    yaml_parser_set_encoding(&loader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&loader.parser, (const unsigned char *)text, size);
    int r = load_stream(&loader, ret_node);
    for (size_t i = 0; i < loader.anchor_count; i++)
        free(loader.anchors[i].name);
    free(loader.anchors);
    yaml_parser_delete(&loader.parser);
    return r;
}
