/* SPDX-License-Identifier: MIT */
/* data_corruption: a share of the values is wrong.
 *
 * A number is moved by a normal deviate with its column's standard deviation, and keeps its form:
 * number of decimals, leading zeros, exponent, quotes. A deviate that rounds to nothing moves the
 * last place by one, so that every value that is hit differs. A text gets one character replaced by
 * another letter: a typo. What is missing is skipped. See data_fault.h for how it is done and
 * undone. */
#include <string.h>

#include "data/decimal.h"
#include "faults/data/data_fault.h"

struct corruption {
    double corruption_rate;
    struct ce_names columns;
    int stage;
};

static const struct ce_param params[] = {
    CE_RATE(struct corruption, corruption_rate, .def = "0.1",
            .doc = "Share of the cells that become wrong."),
    CE_NAMES(
        struct corruption, columns, .def = "",
        .doc =
            "Columns that are hit, texts too; all numeric ones but the label when none is named."),
    CE_CHOICE(struct corruption, stage, .choices = ce_stages, .def = "train",
              .doc = "Where the values are changed."),
    CE_END_PARAMS,
};

static unsigned corruption_needs(const void *p)
{
    const struct corruption *corruption = p;
    return ce_data_fault_needs(corruption->stage);
}

static bool corruption_is_control(const void *p)
{
    const struct corruption *corruption = p;
    return corruption->corruption_rate == 0;
}

static bool corruption_takes_column(const struct ce_column_profile *column)
{
    return column->numeric;
}

/* ---- numbers ---- */

/* Writes `text` with the number in it moved; what stands around the number (quotes, blanks) stays.
 * Returns the length, or -1. */
static int shift_number(const char *text, size_t size, const struct ce_decimal *number,
                        double delta, char *ret_text, size_t room)
{
    size_t before = (size_t)(number->text - text), after = size - before - number->size;
    if (before + after >= room)
        return -1;
    int n = ce_decimal_shift(number, delta, ret_text + before, room - before - after);
    if (n < 0)
        return -1;
    memcpy(ret_text, text, before);
    memcpy(ret_text + before + n, text + size - after, after);
    return (int)before + n + (int)after;
}

static double draw_noise(const struct ce_column_profile *column, uint64_t random)
{
    return column->sd * ce_normal_from(random);
}

/* ---- texts ---- */

enum syntax {
    SYNTAX_PLAIN,
    SYNTAX_QUOTED, /* CSV, from the byte after the opening quote on */
    SYNTAX_JSON,   /* between the quotes */
};

static bool is_continuation(const char *p, const char *end)
{
    return p < end && ((unsigned char)*p & 0xc0) == 0x80;
}

/* How many bytes the character at `p` has: a UTF-8 sequence, a doubled quote, an escape. */
static size_t character_size(const char *p, const char *end, enum syntax syntax)
{
    size_t left = (size_t)(end - p), size = 1;
    if (syntax == SYNTAX_QUOTED && *p == '"')
        return left > 1 && p[1] == '"' ? 2 : 1;
    if (syntax == SYNTAX_JSON && *p == '\\') {
        if (left < 6 || p[1] != 'u')
            return left < 2 ? 1 : 2;
        /* Half of a surrogate pair would be no character. */
        bool pair = left >= 12 && (p[2] == 'd' || p[2] == 'D') && strchr("89abAB", p[3]) &&
                    p[6] == '\\' && p[7] == 'u';
        return pair ? 12 : 6;
    }
    if ((unsigned char)*p >= 0xc0)
        while (size < 4 && is_continuation(p + size, end))
            size++;
    return size;
}

/* The n-th character that may be replaced, and how many there are. The quote that closes a cell may
 * not. */
static size_t find_character(const char *text, size_t size, enum syntax syntax, size_t n,
                             const char **ret_at, size_t *ret_size)
{
    size_t count = 0, step;
    for (const char *p = text, *end = text + size; p < end; p += step) {
        step = character_size(p, end, syntax);
        if (syntax == SYNTAX_QUOTED && *p == '"' && step == 1)
            continue;
        if (count++ == n) {
            *ret_at = p;
            *ret_size = step;
        }
    }
    return count;
}

static bool reads_as_missing(const char *text, int size, bool quoted)
{
    struct ce_csv_cell cell = {.raw = text, .raw_size = (size_t)size, .quoted = quoted};
    return ce_csv_missing(&cell);
}

/* Copies `text`, with one character between `skip` bytes at the start and `tail` bytes at the end
 * replaced by a letter that it is not and that leaves no spelling of a missing value. Returns the
 * length, or -1: nothing to replace, or no room. */
static int garble(const char *text, size_t size, size_t skip, size_t tail, enum syntax syntax,
                  const uint64_t random[2], char *ret_text, size_t room)
{
    const char *at = NULL;
    size_t old = 0;
    const char *inner = text + skip;
    size_t inner_size = size - skip - tail,
           count = find_character(inner, inner_size, syntax, SIZE_MAX, &at, &old);
    if (count == 0 || size >= room)
        return -1;
    (void)find_character(inner, inner_size, syntax, (size_t)(random[0] % count), &at, &old);
    size_t before = (size_t)(at - text), after = size - before - old;
    int n = (int)(before + 1 + after);
    memcpy(ret_text, text, before);
    memcpy(ret_text + before + 1, at + old, after);
    for (unsigned i = 0; i < 26; i++) {
        ret_text[before] = (char)('a' + (random[1] + i) % 26);
        if (!(old == 1 && *at == ret_text[before]) &&
            !reads_as_missing(ret_text, n, syntax == SYNTAX_QUOTED))
            break;
    }
    return n;
}

/* ---- the two stages ---- */

static int corruption_rewrite(void *unused, const struct ce_cell *cell, char *text, size_t size,
                              const char **ret_reason)
{
    const struct ce_csv_cell *old = cell->cell;
    const char *plain;
    size_t plain_size;
    struct ce_decimal number;
    if (ce_csv_missing(old)) {
        *ret_reason = "missing";
        return -1;
    }
    ce_csv_plain(old, &plain, &plain_size);
    int n;
    if (cell->column->numeric && ce_decimal_parse(plain, plain_size, &number)) {
        *ret_reason = "too many digits";
        n = shift_number(old->raw, old->raw_size, &number,
                         draw_noise(cell->column, cell->random[0]), text, size);
    } else {
        *ret_reason = "no text";
        n = garble(old->raw, old->raw_size, old->quoted, 0,
                   old->quoted ? SYNTAX_QUOTED : SYNTAX_PLAIN, cell->random, text, size);
    }
    return n;
}

static const char *corruption_rewrite_live(const struct ce_live_cell *cell, char *text, size_t size)
{
    struct ce_slice old = cell->text;
    struct ce_decimal number;
    int n;
    if (ce_decimal_parse(old.data, old.size, &number))
        n = shift_number(old.data, old.size, &number, draw_noise(cell->column, cell->random[0]),
                         text, size - 1);
    else if (old.data[0] == '"')
        n = garble(old.data, old.size, 1, 1, SYNTAX_JSON, cell->random, text, size - 1);
    else
        return "truth value";
    if (n < 0)
        return old.data[0] == '"' ? "no text, or a long one" : "too many digits";
    text[n] = '\0';
    return NULL;
}

static int corruption_inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct corruption *corruption = injection->params;
    struct ce_data_recipe recipe = {
        .rate = corruption->corruption_rate,
        .columns = &corruption->columns,
        .stage = corruption->stage,
        .takes_column = corruption_takes_column,
        .rewrite = corruption_rewrite,
        .rewrite_live = corruption_rewrite_live,
    };
    return ce_data_fault_inject(injection, &recipe, err);
}

const struct ce_fault ce_fault_data_corruption = {
    .name = "data_corruption",
    .summary = "Falsify a share of the cells, in the training data or in live requests",
    .layer = CE_LAYER_DATA,
    .needs = CE_NEEDS_DATASET,
    .params = params,
    .params_size = sizeof(struct corruption),
    .state_size = sizeof(struct ce_data_fault),
    .example = "{corruption_rate: 0.1, columns: [age, monthly_charge]}",
    .needs_of = corruption_needs,
    .is_control = corruption_is_control,
    .inject = corruption_inject,
    .verify = ce_data_fault_verify,
    .adjust = ce_data_fault_adjust,
    .revert = ce_data_fault_revert,
    .verify_undo = ce_data_fault_verify_undo,
    .count = ce_data_fault_count,
};
