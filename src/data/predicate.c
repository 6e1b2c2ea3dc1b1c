/* SPDX-License-Identifier: MIT */
/* Parsing predicates, by recursive descent over the grammar
 *
 *     or      = and {"or" and}
 *     and     = not {"and" not}
 *     not     = "not" not | "(" or ")" | test
 *     test    = operand ( comparison operand | ["not"] "in" "(" literal {"," literal} ")"
 *                       | ["not"] "between" operand "and" operand | ["not"] "like" text
 *                       | "is" ["not"] "null" )
 *
 * Parentheses and `not` nest at most DEPTH_MAX deep, and a predicate has at most TEXT_MAX bytes. */
#include "data/predicate.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "data/columns.h"
#include "data/predicate_internal.h"

enum { DEPTH_MAX = 100, TEXT_MAX = 64 * 1024 };

enum token_kind {
    TOKEN_END,
    TOKEN_WORD, /* a bare word: a keyword or a name */
    TOKEN_NAME, /* a quoted name */
    TOKEN_NUMBER,
    TOKEN_TEXT,
    TOKEN_SIGN, /* ( ) , or a comparison */
};

struct token {
    enum token_kind kind;
    const char *at; /* in the predicate's text, quotes included */
    size_t size;
};

struct parser {
    const char *text, *next; /* behind `token` */
    struct token token, before;
    unsigned depth;
    struct ce_predicate *predicate;
    struct ce_error *err;
};

/* ---- messages ---- */

/* Characters, not bytes: what an editor would count. From 1. */
static size_t place_of(const struct parser *p, const char *at)
{
    size_t place = 1;
    for (const char *c = p->text; c < at; c++)
        place += (*c & 0xC0) != 0x80;
    return place;
}

static int fail_at(const struct parser *p, const char *at, const char *what)
{
    return ce_fail(p->err, EINVAL, "where: at character %zu: %s", place_of(p, at), what);
}

/* "expected a value after '>'" */
static int fail_expected(const struct parser *p, const char *what)
{
    char shown[CE_TEXT_SHOWN_SIZE], sentence[sizeof shown + 128];
    if (p->before.size == 0) {
        snprintf(sentence, sizeof sentence, "expected %s", what);
    } else {
        ce_autofree char *before = strndup(p->before.at, p->before.size);
        if (!before)
            return ce_fail_memory(p->err);
        ce_text_show(before, shown);
        snprintf(sentence, sizeof sentence, "expected %s after %s%s%s", what,
                 shown[0] == '\'' ? "" : "'", shown, shown[0] == '\'' ? "" : "'");
    }
    return fail_at(p, p->token.at, sentence);
}

/* ---- tokens ---- */

static bool starts_word(char c)
{
    return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool in_word(char c)
{
    return starts_word(c) || isdigit((unsigned char)c) || c == '.';
}

/* The size of a number at `at`, with its sign; 0: there is none. */
static size_t number_size(const char *at)
{
    const char *c = at + (*at == '-' || *at == '+');
    const char *first = c;
    while (isdigit((unsigned char)*c) || *c == '.')
        c++;
    if (c == first || (c == first + 1 && *first == '.'))
        return 0;
    if (*c == 'e' || *c == 'E') {
        const char *exponent = c + 1 + (c[1] == '-' || c[1] == '+');
        if (isdigit((unsigned char)*exponent))
            for (c = exponent; isdigit((unsigned char)*c);)
                c++;
    }
    return (size_t)(c - at);
}

/* The size of a quoted text or name at `at`, where doubled quotes are part of it; 0: it does not
 * end. */
static size_t quoted_size(const char *at)
{
    for (const char *c = at + 1; *c; c++) {
        if (*c != *at)
            continue;
        if (c[1] != *at)
            return (size_t)(c + 1 - at);
        c++;
    }
    return 0;
}

static size_t sign_size(const char *at)
{
    static const char *const signs[] = {"<=", ">=", "<>", "==", "!=", "=", "<", ">", "(", ")", ","};
    for (size_t i = 0; i < CE_COUNT(signs); i++)
        if (strncmp(at, signs[i], strlen(signs[i])) == 0)
            return strlen(signs[i]);
    return 0;
}

static int advance(struct parser *p)
{
    p->before = p->token;
    const char *at = p->next;
    while (isspace((unsigned char)*at))
        at++;
    struct token token = {.kind = TOKEN_END, .at = at};
    if (*at == '\'' || *at == '"' || *at == '`') {
        token.kind = *at == '\'' ? TOKEN_TEXT : TOKEN_NAME;
        token.size = quoted_size(at);
        if (token.size == 0)
            return fail_at(p, at, "this quote is not closed");
    } else if (starts_word(*at)) {
        token.kind = TOKEN_WORD;
        while (in_word(at[token.size]))
            token.size++;
    } else if (*at) {
        token.kind = TOKEN_NUMBER;
        token.size = number_size(at);
        if (token.size == 0) {
            token.kind = TOKEN_SIGN;
            token.size = sign_size(at);
        }
        if (token.size == 0)
            return fail_at(p, at, "this is neither a name, a value nor a comparison");
    }
    p->token = token;
    p->next = at + token.size;
    return 0;
}

static bool at_word(const struct parser *p, const char *word)
{
    return p->token.kind == TOKEN_WORD && p->token.size == strlen(word) &&
           strncasecmp(p->token.at, word, p->token.size) == 0;
}

static bool at_sign(const struct parser *p, const char *sign)
{
    return p->token.kind == TOKEN_SIGN && p->token.size == strlen(sign) &&
           strncmp(p->token.at, sign, p->token.size) == 0;
}

static bool at_keyword(const struct parser *p)
{
    static const char *const words[] = {"or", "and", "not", "in", "between", "like", "is", "null"};
    for (size_t i = 0; i < CE_COUNT(words); i++)
        if (at_word(p, words[i]))
            return true;
    return false;
}

static int pass_word(struct parser *p, const char *word, bool *ret_passed)
{
    *ret_passed = at_word(p, word);
    return *ret_passed ? advance(p) : 0;
}

static int need_sign(struct parser *p, const char *sign, const char *what)
{
    return at_sign(p, sign) ? advance(p) : fail_expected(p, what);
}

/* ---- nodes ---- */

static struct node *node_new(struct parser *p, enum node_kind kind)
{
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->kind = kind;
    node->made_before = p->predicate->last_made;
    return p->predicate->last_made = node;
}

/* The next operand of a node, to be filled in. The array grows at powers of two. */
static struct operand *operand_new(struct node *node)
{
    size_t count = node->operand_count;
    if ((count & (count - 1)) == 0) {
        struct operand *larger =
            realloc(node->operands, (count > 0 ? 2 * count : 1) * sizeof *larger);
        if (!larger)
            return NULL;
        node->operands = larger;
    }
    node->operand_count++;
    node->operands[count] = (struct operand){0};
    return &node->operands[count];
}

/* A quoted token without its quotes; the doubled ones within count once. */
static char *unquote(const struct token *token, size_t *ret_size)
{
    char *text = malloc(token->size);
    if (!text)
        return NULL;
    size_t size = 0;
    for (size_t i = 1; i + 1 < token->size; i++) {
        text[size++] = token->at[i];
        i += token->at[i] == token->at[0];
    }
    text[size] = '\0';
    *ret_size = size;
    return text;
}

static int parse_number(struct parser *p, struct operand *operand)
{
    operand->kind = OPERAND_NUMBER;
    operand->text = strndup(p->token.at, p->token.size);
    operand->size = p->token.size;
    if (!operand->text)
        return ce_fail_memory(p->err);
    const char *digits = operand->text + (operand->text[0] == '+');
    if (ce_text_number(digits, &operand->number) < 0)
        return fail_at(p, p->token.at, "this is no number");
    return advance(p);
}

/* Adds an operand to the node. */
static int parse_operand(struct parser *p, struct node *node, bool literal)
{
    const char *what = literal ? "a value" : "a column or a value";
    bool named = p->token.kind == TOKEN_NAME || (p->token.kind == TOKEN_WORD && !at_keyword(p));
    if ((!named || literal) && p->token.kind != TOKEN_NUMBER && p->token.kind != TOKEN_TEXT)
        return fail_expected(p, what);
    struct operand *operand = operand_new(node);
    if (!operand)
        return ce_fail_memory(p->err);
    if (p->token.kind == TOKEN_NUMBER)
        return parse_number(p, operand);
    if (at_word(p, "row")) {
        operand->kind = OPERAND_ROW;
        return advance(p);
    }
    operand->kind = p->token.kind == TOKEN_TEXT ? OPERAND_TEXT : OPERAND_COLUMN;
    if (p->token.kind == TOKEN_WORD) {
        operand->text = strndup(p->token.at, p->token.size);
        operand->size = p->token.size;
    } else {
        operand->text = unquote(&p->token, &operand->size);
    }
    return operand->text ? advance(p) : ce_fail_memory(p->err);
}

static int parse_comparison(struct parser *p, struct node *node)
{
    static const struct {
        const char *sign;
        enum comparison comparison;
    } signs[] = {{"=", COMPARE_EQUAL},    {"==", COMPARE_EQUAL},        {"!=", COMPARE_UNEQUAL},
                 {"<>", COMPARE_UNEQUAL}, {"<", COMPARE_LESS},          {"<=", COMPARE_LESS_EQUAL},
                 {">", COMPARE_GREATER},  {">=", COMPARE_GREATER_EQUAL}};
    for (size_t i = 0; i < CE_COUNT(signs); i++) {
        if (!at_sign(p, signs[i].sign))
            continue;
        node->kind = NODE_COMPARE;
        node->comparison = signs[i].comparison;
        CE_TRY(advance(p));
        if (at_word(p, "null"))
            return fail_at(p, p->token.at, "nothing is compared with null; use `is null`");
        return parse_operand(p, node, false);
    }
    return fail_expected(p, "a comparison");
}

static int parse_list(struct parser *p, struct node *node)
{
    CE_TRY(need_sign(p, "(", "'('"));
    CE_TRY(parse_operand(p, node, true));
    while (at_sign(p, ",")) {
        CE_TRY(advance(p));
        CE_TRY(parse_operand(p, node, true));
    }
    return need_sign(p, ")", "',' or ')'");
}

static int parse_test(struct parser *p, struct node **ret_node)
{
    bool passed;
    struct node *node = *ret_node = node_new(p, NODE_COMPARE);
    if (!node)
        return ce_fail_memory(p->err);
    CE_TRY(parse_operand(p, node, false));

    CE_TRY(pass_word(p, "is", &passed));
    if (passed) {
        node->kind = NODE_NULL;
        CE_TRY(pass_word(p, "not", &node->negated));
        CE_TRY(pass_word(p, "null", &passed));
        return passed ? 0 : fail_expected(p, "`null`");
    }
    CE_TRY(pass_word(p, "not", &node->negated));
    CE_TRY(pass_word(p, "in", &passed));
    if (passed) {
        node->kind = NODE_IN;
        return parse_list(p, node);
    }
    CE_TRY(pass_word(p, "between", &passed));
    if (passed) {
        node->kind = NODE_BETWEEN;
        CE_TRY(parse_operand(p, node, false));
        CE_TRY(pass_word(p, "and", &passed));
        return passed ? parse_operand(p, node, false) : fail_expected(p, "`and`");
    }
    CE_TRY(pass_word(p, "like", &passed));
    if (passed) {
        node->kind = NODE_LIKE;
        if (p->token.kind != TOKEN_TEXT)
            return fail_expected(p, "a 'text'");
        return parse_operand(p, node, true);
    }
    if (node->negated)
        return fail_expected(p, "`in`, `between` or `like`");
    return parse_comparison(p, node);
}

static int parse_or(struct parser *p, struct node **ret_node);

static int parse_not(struct parser *p, struct node **ret_node)
{
    bool passed;
    if (p->depth == DEPTH_MAX)
        return fail_at(p, p->token.at, "this is nested too deeply");
    if (at_sign(p, "(")) {
        CE_TRY(advance(p));
        p->depth++;
        CE_TRY(parse_or(p, ret_node));
        p->depth--;
        return need_sign(p, ")", "')', `and` or `or`");
    }
    CE_TRY(pass_word(p, "not", &passed));
    if (!passed)
        return parse_test(p, ret_node);
    struct node *node = *ret_node = node_new(p, NODE_NOT);
    if (!node)
        return ce_fail_memory(p->err);
    p->depth++;
    CE_TRY(parse_not(p, &node->child));
    p->depth--;
    return 0;
}

/* Parts that the word joins; one alone stays what it is. */
static int parse_chain(struct parser *p, enum node_kind kind, const char *word,
                       int (*parse_part)(struct parser *p, struct node **ret_node),
                       struct node **ret_node)
{
    struct node *first;
    bool passed;
    CE_TRY(parse_part(p, &first));
    *ret_node = first;
    CE_TRY(pass_word(p, word, &passed));
    if (!passed)
        return 0;
    struct node *chain = node_new(p, kind);
    if (!chain)
        return ce_fail_memory(p->err);
    *ret_node = chain;
    chain->child = first;
    for (struct node *last = first; passed; last = last->next) {
        CE_TRY(parse_part(p, &last->next));
        CE_TRY(pass_word(p, word, &passed));
    }
    return 0;
}

static int parse_and(struct parser *p, struct node **ret_node)
{
    return parse_chain(p, NODE_AND, "and", parse_not, ret_node);
}

static int parse_or(struct parser *p, struct node **ret_node)
{
    return parse_chain(p, NODE_OR, "or", parse_and, ret_node);
}

/* ---- from outside ---- */

CE_DEFINE_CLEANUP(struct ce_predicate, ce_predicate_free);

int ce_predicate_parse(const char *text, struct ce_predicate **ret_predicate, struct ce_error *err)
{
    if (strlen(text) > TEXT_MAX)
        return ce_fail(err, EINVAL, "where: a predicate has at most %d bytes, this one has %zu",
                       TEXT_MAX, strlen(text));
    CE_CLEANUP(ce_predicate_free_p) struct ce_predicate *predicate = calloc(1, sizeof *predicate);
    if (!predicate)
        return ce_fail_memory(err);
    struct parser p = {.text = text, .next = text, .predicate = predicate, .err = err};
    CE_TRY(advance(&p));
    CE_TRY(parse_or(&p, &predicate->root));
    if (p.token.kind != TOKEN_END)
        return fail_expected(&p, "`and`, `or` or the end");
    *ret_predicate = ce_take(predicate);
    return 0;
}

void ce_predicate_free(struct ce_predicate *predicate)
{
    if (!predicate)
        return;
    for (struct node *node = predicate->last_made, *before; node; node = before) {
        before = node->made_before;
        for (size_t i = 0; i < node->operand_count; i++)
            free(node->operands[i].text);
        free(node->operands);
        free(node);
    }
    free(predicate);
}

int ce_predicate_bind(struct ce_predicate *predicate, const char *const *names, size_t count,
                      const char *table, struct ce_error *err)
{
    for (struct node *node = predicate->last_made; node; node = node->made_before)
        for (size_t i = 0; i < node->operand_count; i++) {
            struct operand *operand = &node->operands[i];
            if (operand->kind != OPERAND_COLUMN)
                continue;
            int r = ce_columns_find(names, count, table, operand->text, &operand->column, err);
            if (r < 0)
                return ce_fail_context(err, r, "where");
        }
    predicate->bound = true;
    return 0;
}

static size_t column_operands(const struct ce_predicate *predicate)
{
    size_t count = 0;
    for (const struct node *node = predicate->last_made; node; node = node->made_before)
        for (size_t i = 0; i < node->operand_count; i++)
            count += node->operands[i].kind == OPERAND_COLUMN;
    return count;
}

int ce_predicate_bind_own(struct ce_predicate *predicate, const char ***ret_names,
                          size_t *ret_count, struct ce_error *err)
{
    const char **names = calloc(column_operands(predicate) + 1, sizeof *names);
    size_t count = 0;
    if (!names)
        return ce_fail_memory(err);
    for (struct node *node = predicate->last_made; node; node = node->made_before)
        for (size_t i = 0; i < node->operand_count; i++) {
            struct operand *operand = &node->operands[i];
            if (operand->kind != OPERAND_COLUMN)
                continue;
            operand->column = 0;
            while (operand->column < count && strcmp(names[operand->column], operand->text) != 0)
                operand->column++;
            names[operand->column] = operand->text;
            count += operand->column == count;
        }
    predicate->bound = true;
    *ret_names = names;
    *ret_count = count;
    return 0;
}
