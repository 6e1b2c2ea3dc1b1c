/* SPDX-License-Identifier: MIT */
/* What a predicate says about a row. As in SQL there are three answers: what is missing makes a
 * test unknown, `not` leaves it so, and only rows for which the whole is true are meant. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/predicate_internal.h"

enum truth { FALSE, TRUE, UNKNOWN };

static enum truth truth_of(bool is)
{
    return is ? TRUE : FALSE;
}

static enum truth truth_not(enum truth truth)
{
    return truth == UNKNOWN ? UNKNOWN : truth_of(truth == FALSE);
}

/* ---- values ---- */

/* What an operand is in this row. Its text is asked for only where it is compared. */
struct value {
    bool missing, is_number;
    double number;
    const struct operand *operand;
    struct ce_cell cell; /* of OPERAND_COLUMN */
};

static void value_of(const struct operand *operand, struct ce_row *row, struct value *ret_value)
{
    ret_value->operand = operand;
    ret_value->missing = false;
    ret_value->is_number = operand->kind != OPERAND_TEXT;
    ret_value->number = operand->number;
    if (operand->kind == OPERAND_ROW)
        ret_value->number = (double)row->ordinal;
    if (operand->kind != OPERAND_COLUMN)
        return;
    ce_row_cell(row, operand->column, &ret_value->cell);
    ret_value->missing = ce_cell_missing(&ret_value->cell);
    ret_value->is_number =
        !ret_value->missing && ce_cell_number(&ret_value->cell, &ret_value->number);
}

/* Valid until the row is asked for another text. NULL: no memory. */
static const char *value_text(struct value *value, size_t *ret_size)
{
    if (value->operand->kind == OPERAND_COLUMN)
        return ce_cell_text(&value->cell, ret_size);
    *ret_size = value->operand->size;
    return value->operand->text;
}

/* ---- comparing ---- */

enum order { LESS, EQUAL, GREATER, INCOMPARABLE };

static enum order order_bytes(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int by_bytes = memcmp(a, b, a_size < b_size ? a_size : b_size);
    if (by_bytes != 0)
        return by_bytes < 0 ? LESS : GREATER;
    return a_size == b_size ? EQUAL : a_size < b_size ? LESS : GREATER;
}

static enum order order_texts(struct value *a, struct value *b)
{
    size_t a_size, b_size;
    const char *a_text = value_text(a, &a_size), *b_text;
    char small[256];
    char *kept = NULL;
    /* The text of a second cell may take the place of the first one's. */
    if (a_text && a->operand->kind == OPERAND_COLUMN && b->operand->kind == OPERAND_COLUMN) {
        kept = a_size <= sizeof small ? small : malloc(a_size);
        a_text = kept ? memcpy(kept, a_text, a_size) : NULL;
    }
    b_text = value_text(b, &b_size);
    enum order order =
        a_text && b_text ? order_bytes(a_text, a_size, b_text, b_size) : INCOMPARABLE;
    if (kept != small)
        free(kept);
    return order;
}

/* A quoted text is compared as text, also with a number. */
static enum order order_values(struct value *a, struct value *b)
{
    if (a->is_number && b->is_number)
        return a->number < b->number ? LESS : a->number > b->number ? GREATER : EQUAL;
    bool row = a->operand->kind == OPERAND_ROW || b->operand->kind == OPERAND_ROW;
    bool literal = a->operand->kind == OPERAND_NUMBER || b->operand->kind == OPERAND_NUMBER;
    return row || literal ? INCOMPARABLE : order_texts(a, b);
}

static enum truth compare(struct value *a, enum comparison comparison, struct value *b)
{
    if (a->missing || b->missing)
        return UNKNOWN;
    enum order order = order_values(a, b);
    switch (comparison) {
    case COMPARE_EQUAL:
        return truth_of(order == EQUAL);
    case COMPARE_UNEQUAL:
        return truth_of(order != EQUAL);
    case COMPARE_LESS:
        return order == INCOMPARABLE ? UNKNOWN : truth_of(order == LESS);
    case COMPARE_LESS_EQUAL:
        return order == INCOMPARABLE ? UNKNOWN : truth_of(order != GREATER);
    case COMPARE_GREATER:
        return order == INCOMPARABLE ? UNKNOWN : truth_of(order == GREATER);
    default:
        return order == INCOMPARABLE ? UNKNOWN : truth_of(order != LESS);
    }
}

/* ---- like ---- */

/* Bytes of the character at `at`: UTF-8, and single bytes where it is none. */
static size_t character(const char *at, const char *end)
{
    size_t size = 1;
    while (at + size < end && (at[size] & 0xC0) == 0x80)
        size++;
    return size;
}

/* '%' stands for anything, '_' for one character. Only the last '%' is ever tried again: what one
 * before it took more of, it can take as well. */
static bool like(const char *at, const char *end, const char *pattern, const char *pattern_end)
{
    const char *again = NULL, *again_at = NULL;
    while (at < end) {
        if (pattern < pattern_end && *pattern == '%') {
            again = ++pattern;
            again_at = at;
        } else if (pattern < pattern_end && *pattern == '_') {
            at += character(at, end);
            pattern++;
        } else if (pattern < pattern_end && *pattern == *at) {
            at++;
            pattern++;
        } else if (again) {
            again_at += character(again_at, end);
            at = again_at;
            pattern = again;
        } else {
            return false;
        }
    }
    while (pattern < pattern_end && *pattern == '%')
        pattern++;
    return pattern == pattern_end;
}

/* ---- nodes ---- */

static enum truth test_in(const struct node *node, struct value *value, struct ce_row *row)
{
    for (size_t i = 1; i < node->operand_count; i++) {
        struct value other;
        value_of(&node->operands[i], row, &other);
        enum truth truth = compare(value, COMPARE_EQUAL, &other);
        if (truth != FALSE)
            return truth;
    }
    return FALSE;
}

static enum truth test_between(const struct node *node, struct value *value, struct ce_row *row)
{
    struct value low, high;
    value_of(&node->operands[1], row, &low);
    value_of(&node->operands[2], row, &high);
    enum truth above = compare(value, COMPARE_GREATER_EQUAL, &low);
    enum truth below = compare(value, COMPARE_LESS_EQUAL, &high);
    if (above == FALSE || below == FALSE)
        return FALSE;
    return above == UNKNOWN || below == UNKNOWN ? UNKNOWN : TRUE;
}

static enum truth test_like(const struct node *node, struct value *value)
{
    const struct operand *pattern = &node->operands[1];
    size_t size;
    const char *text = value->missing ? NULL : value_text(value, &size);
    if (!text)
        return UNKNOWN;
    return truth_of(like(text, text + size, pattern->text, pattern->text + pattern->size));
}

static enum truth test(const struct node *node, struct ce_row *row)
{
    struct value value, other;
    enum truth truth;
    value_of(&node->operands[0], row, &value);
    switch (node->kind) {
    case NODE_NULL:
        truth = truth_of(value.missing);
        break;
    case NODE_IN:
        truth = test_in(node, &value, row);
        break;
    case NODE_BETWEEN:
        truth = test_between(node, &value, row);
        break;
    case NODE_LIKE:
        truth = test_like(node, &value);
        break;
    default:
        value_of(&node->operands[1], row, &other);
        truth = compare(&value, node->comparison, &other);
    }
    return node->negated ? truth_not(truth) : truth;
}

static enum truth evaluate(const struct node *node, struct ce_row *row)
{
    if (node->kind == NODE_NOT)
        return truth_not(evaluate(node->child, row));
    if (node->kind != NODE_OR && node->kind != NODE_AND)
        return test(node, row);
    enum truth decisive = node->kind == NODE_OR ? TRUE : FALSE, truth = truth_not(decisive);
    for (const struct node *child = node->child; child; child = child->next) {
        enum truth part = evaluate(child, row);
        if (part == decisive)
            return decisive;
        if (part == UNKNOWN)
            truth = UNKNOWN;
    }
    return truth;
}

bool ce_predicate_true(const struct ce_predicate *predicate, struct ce_row *row)
{
    assert(predicate->bound);
    return evaluate(predicate->root, row) == TRUE;
}
