/* SPDX-License-Identifier: MIT */
/* Walking over the members of a JSON object that lies on one line, with a full check of its syntax
 * on the way (RFC 8259, and NaN, Infinity and -Infinity, which many writers emit).
 *
 * Nothing here looks for the end of the bytes: a line feed, which no JSON text on one line
 * contains, stops every loop. Whoever calls sees to it that one follows, and that 64 more bytes
 * behind it can be read. */
#ifndef CE_DATA_TEXT_JSONL_SCAN_H
#define CE_DATA_TEXT_JSONL_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#define CE_JSON_DEPTH    512 /* of objects and arrays within each other */
#define CE_JSON_SPARE    64  /* bytes that may be read behind the line feed */
#define CE_JSON_HINT_MAX (CE_JSON_SPARE - 4)

/* What is wrong, where: "a key", "',' or '}'" and so on was wanted. */
struct ce_json_fault {
    const char *at, *want;
};

struct ce_json_member {
    const char *key; /* the opening quote */
    size_t key_size; /* with both quotes */
    const char *value;
    size_t value_size;
    bool hinted; /* its key is the hint */
};

struct ce_json_walk {
    const char *at;
    bool begun;
    struct ce_json_fault fault;
};

/* Passes over blanks, which a line feed is not. */
static inline const char *ce_json_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\r')
        p++;
    return p;
}

/* Starts a walk; `at` is the brace that opens the object. */
static inline struct ce_json_walk ce_json_walk_start(const char *at)
{
    return (struct ce_json_walk){.at = at + 1};
}

/* The next member: 1; 0: walk->at is behind the closing brace; -1: walk->fault. `hint`: the key
 * that is likely to come, as it is written, without quotes, at most CE_JSON_HINT_MAX bytes; NULL:
 * none is. */
int ce_json_walk_next(struct ce_json_walk *walk, const char *hint, size_t hint_size,
                      struct ce_json_member *ret_member);

#endif
