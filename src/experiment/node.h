/* SPDX-License-Identifier: MIT */
/* YAML as a tree in which every node knows its place. Nothing here knows what a document means. */
#ifndef CE_EXPERIMENT_NODE_H
#define CE_EXPERIMENT_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"

/* What a tree may be at most; a document beyond that is a mistake or an attack. */
#define CE_NODE_DEPTH_MAX   64
#define CE_NODE_COUNT_MAX   100000 /* with every alias expanded */
#define CE_NODE_KEYS_MAX    1000   /* of one mapping */
#define CE_NODE_ANCHORS_MAX 1000

enum ce_node_kind {
    CE_NODE_SCALAR = 0,
    CE_NODE_LIST,
    CE_NODE_MAP,
};

struct ce_position {
    const char *origin; /* a file's name, or "--set duration=3s"; borrowed, outlives the tree */
    int line, column;   /* from 1; line 0: the origin says it all */
};

struct ce_node {
    enum ce_node_kind kind;
    struct ce_position place;
    char *key; /* what it is called in the mapping that holds it; NULL elsewhere */
    struct ce_position key_place;
    char *text;             /* scalars */
    bool quoted;            /* scalars: text whatever it looks like */
    struct ce_node **items; /* lists and mappings, in the order of the file */
    size_t count;
};

/* Parses one YAML document. `origin` is kept by reference. Refused: what is no UTF-8 text, an empty
 * or a second document, explicit tags, keys that are no text, duplicate keys, and trees beyond the
 * limits above. */
int ce_node_parse(const char *text, size_t size, const char *origin, struct ce_node **ret_node,
                  struct ce_error *err);
void ce_node_free(struct ce_node *node); /* NULL is fine */
CE_DEFINE_CLEANUP(struct ce_node, ce_node_free);

/* NULL: out of memory (as in all functions below that return a node). */
struct ce_node *ce_node_new(enum ce_node_kind kind, struct ce_position place);
struct ce_node *ce_node_copy(const struct ce_node *node);

/* The value of a key; NULL when the mapping has no such key, or the node is no mapping. */
struct ce_node *ce_node_get(const struct ce_node *map, const char *key);
/* Puts a value under a key, in the place of the one that is there. Takes ownership of `value` on
 * success. 0 or -ENOMEM. */
int ce_node_put(struct ce_node *map, const char *key, struct ce_node *value);

/* Whether it is written as nothing: an empty value, ~ or null. */
bool ce_node_is_null(const struct ce_node *node);
/* "a mapping", "a list", "text" or "nothing", for messages. */
const char *ce_node_kind_text(const struct ce_node *node);

/* "plan.yaml:14:9". A long name loses its beginning, never the numbers. */
void ce_position_text(const struct ce_position *place, char *text, size_t size);
/* ce_fail_at() with a place. */
int ce_fail_place(struct ce_error *err, const struct ce_position *place, int code, const char *fmt,
                  ...) CE_PRINTF(4, 5);
/* Adds the place to an error that has none yet; returns `r`. */
int ce_fail_put_place(struct ce_error *err, int r, const struct ce_position *place);

#endif
