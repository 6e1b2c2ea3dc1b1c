/* SPDX-License-Identifier: MIT */
/* A parsed predicate: the tree that predicate.c builds and predicate_eval.c walks. */
#ifndef CE_DATA_PREDICATE_INTERNAL_H
#define CE_DATA_PREDICATE_INTERNAL_H

#include "data/predicate.h"

enum operand_kind {
    OPERAND_COLUMN,
    OPERAND_ROW,
    OPERAND_NUMBER,
    OPERAND_TEXT,
};

struct operand {
    enum operand_kind kind;
    char *text; /* the column's name, or the text; malloc'ed, NUL-terminated */
    size_t size;
    double number;
    size_t column; /* its index, once bound */
};

enum node_kind {
    NODE_OR,      /* of its children: any number of them, so that long chains are not deep */
    NODE_AND,     /* of its children */
    NODE_NOT,     /* of its child */
    NODE_COMPARE, /* operands 0 and 1 */
    NODE_IN,      /* operand 0 among the others */
    NODE_BETWEEN, /* operand 0 between 1 and 2 */
    NODE_LIKE,    /* operand 0 like the text 1 */
    NODE_NULL,    /* operand 0 is missing */
};

enum comparison {
    COMPARE_EQUAL,
    COMPARE_UNEQUAL,
    COMPARE_LESS,
    COMPARE_LESS_EQUAL,
    COMPARE_GREATER,
    COMPARE_GREATER_EQUAL,
};

struct node {
    enum node_kind kind;
    enum comparison comparison;
    bool negated; /* not in, not between, not like, is not null */
    struct operand *operands;
    size_t operand_count;
    struct node *child, *next; /* the first child; the next one of the same parent */
    struct node *made_before;
};

struct ce_predicate {
    struct node *root;
    struct node *last_made; /* all nodes, to free them */
    bool bound;
};

#endif
