/* SPDX-License-Identifier: MIT */
/* Texts are UTF-8 as far as they are; bytes that are not count as characters of their own. */
#include "faults/data/garble_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "faults/data/garble.h"

const char *ce_copy_cell(struct ce_cell *cell, size_t more, struct ce_copy *ret_copy)
{
    size_t size;
    const char *text = ce_cell_text(cell, &size);
    ret_copy->memory = NULL;
    if (!text)
        return "out of memory";
    if (size + more > sizeof ret_copy->small) {
        ret_copy->memory = malloc(size + more);
        if (!ret_copy->memory)
            return "out of memory";
    }
    ret_copy->text = ret_copy->memory ? ret_copy->memory : ret_copy->small;
    ret_copy->size = size;
    if (size > 0)
        memcpy(ret_copy->text, text, size);
    return NULL;
}

void ce_copy_done(struct ce_copy *copy)
{
    free(copy->memory);
}

uint64_t ce_below(uint64_t word, uint64_t bound)
{
    return (uint64_t)((unsigned __int128)word * bound >> 64);
}

/* A cell has two random words; what needs more makes them from these (SplitMix64). */
struct dice {
    uint64_t state;
};

static struct dice dice_of(const struct ce_cell *cell)
{
    uint64_t words[2];
    ce_cell_draw(cell, words);
    return (struct dice){words[0]};
}

static size_t throw_below(struct dice *dice, size_t bound)
{
    uint64_t word = dice->state += UINT64_C(0x9E3779B97F4A7C15);
    word = (word ^ word >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    word = (word ^ word >> 27) * UINT64_C(0x94D049BB133111EB);
    return (size_t)ce_below(word ^ word >> 31, bound);
}

/* ---- characters ---- */

/* Of ASCII alone, in every locale. */
static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}
static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}
static char other_case(char c)
{
    return is_upper(c) || is_lower(c) ? (char)(c ^ 0x20) : c;
}
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_printable(unsigned c)
{
    return c >= 0x20 && c < 0x7f;
}
static bool is_punctuation(char c)
{
    return c > ' ' && is_printable((unsigned char)c) && !is_upper(c) && !is_lower(c) &&
           !is_digit(c);
}

static size_t character_size(const char *p, const char *end)
{
    size_t size = 1;
    if ((unsigned char)*p >= 0xc0)
        while (size < 4 && p + size < end && ((unsigned char)p[size] & 0xc0) == 0x80)
            size++;
    return size;
}

static size_t character_count(const char *text, size_t size)
{
    size_t count = 0;
    for (const char *p = text, *end = text + size; p < end; p += character_size(p, end))
        count++;
    return count;
}

static const char *character_at(const char *text, size_t size, size_t n)
{
    const char *p = text, *end = text + size;
    for (; n > 0 && p < end; n--)
        p += character_size(p, end);
    return p;
}

/* ---- typing errors ---- */

/* The keys around a letter or digit on a US keyboard; NULL: it is on none. */
static const char *neighbours_of(char c)
{
    static const char *const letters[26] = {
        "qwsz",   "vghn",  "xdfv", "serfcx", "wsdr", "drtgvc", "ftyhbv", "gyujnb", "ujko",
        "huikmn", "jiolm", "kop",  "njk",    "bhjm", "iklp",   "ol",     "wa",     "edft",
        "awedxz", "rfgy",  "yhji", "cfgb",   "qase", "zsdc",   "tghu",   "asx",
    };
    static const char *const digits[10] = {"9o",  "2q",  "1w3", "2e4", "3r5",
                                           "4t6", "5y7", "6u8", "7i9", "8o0"};
    if (is_upper(c) || is_lower(c))
        return letters[(c | 0x20) - 'a'];
    return is_digit(c) ? digits[c - '0'] : NULL;
}

/* What is typed instead of the character at `p`. What no key stands for becomes any letter. */
static char mistyped(const char *p, struct dice *dice)
{
    static const char any[] = "etaoinshrdlu";
    const char *near = neighbours_of(*p);
    char c = near ? near[throw_below(dice, strlen(near))] : any[throw_below(dice, sizeof any - 1)];
    return is_upper(*p) ? other_case(c) : c;
}

/* The place of one error among the `count` characters from `text` on: a key of the keyboard if
 * there is any. */
static const char *error_place(const char *text, const char *end, size_t count, struct dice *dice)
{
    size_t keys = 0, any = throw_below(dice, count);
    const char *p = text;
    for (size_t i = 0; i < count; i++, p += character_size(p, end))
        keys += neighbours_of(*p) != NULL;
    if (keys == 0)
        return character_at(text, (size_t)(end - text), any);
    size_t wanted = throw_below(dice, keys);
    for (p = text; !neighbours_of(*p) || wanted-- > 0; p += character_size(p, end))
        ;
    return p;
}

/* Makes one error in each stretch of `period` characters, at least one. */
static void mistype(struct ce_copy *copy, size_t count, int64_t period, struct dice *dice)
{
    size_t errors = count / (size_t)period > 0 ? count / (size_t)period : 1;
    const char *in = copy->text, *end = copy->text + copy->size;
    char *out = copy->text; /* never ahead of `in`: an error is one byte */
    for (size_t i = 0; i < errors; i++) {
        size_t characters = (i + 1) * count / errors - i * count / errors;
        const char *place = error_place(in, end, characters, dice);
        for (; characters > 0; characters--) {
            size_t size = character_size(in, end);
            if (in == place)
                *out++ = mistyped(in, dice);
            else
                out = (char *)memmove(out, in, size) + size;
            in += size;
        }
    }
    copy->size = (size_t)(out - copy->text);
}

const char *ce_garble_typo(struct ce_cell *cell, int64_t period)
{
    struct dice dice = dice_of(cell);
    CE_CLEANUP(ce_copy_done) struct ce_copy copy;
    const char *why = ce_copy_cell(cell, 0, &copy);
    if (why)
        return why;
    size_t count = character_count(copy.text, copy.size);
    if (count == 0)
        return "no text";
    mistype(&copy, count, period, &dice);
    why = ce_cell_set_text(cell, copy.text, copy.size);
    if (why || !ce_cell_missing(cell))
        return why;
    /* It has become "NA" or its like, which is another fault: one more error. */
    mistype(&copy, character_count(copy.text, copy.size), period, &dice);
    return ce_cell_set_text(cell, copy.text, copy.size);
}

/* ---- encodings ---- */

/* What a byte from 0x80 on is in Windows-1252. */
static unsigned windows_1252(unsigned char byte)
{
    static const unsigned short low[32] = {
        0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
        0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
    return byte < 0xa0 ? low[byte - 0x80] : byte;
}

const char *ce_garble_encoding(struct ce_cell *cell)
{
    CE_CLEANUP(ce_copy_done) struct ce_copy copy;
    const char *why = ce_copy_cell(cell, 0, &copy);
    if (why)
        return why;
    ce_autofree char *wrong = malloc(3 * copy.size + 1);
    size_t size = 0;
    if (!wrong)
        return "out of memory";
    for (size_t i = 0; i < copy.size; i++) {
        unsigned char byte = (unsigned char)copy.text[i];
        unsigned code = byte < 0x80 ? byte : windows_1252(byte);
        if (code >= 0x800)
            wrong[size++] = (char)(0xe0 | code >> 12);
        if (code >= 0x80)
            wrong[size++] = (char)(code >= 0x800 ? 0x80 | (code >> 6 & 0x3f) : 0xc0 | code >> 6);
        wrong[size++] = (char)(code >= 0x80 ? 0x80 | (code & 0x3f) : code);
    }
    return size == copy.size ? "only ASCII" : ce_cell_set_text(cell, wrong, size);
}

/* ---- the end, the order ---- */

const char *ce_garble_end(struct ce_cell *cell)
{
    double value;
    if (cell->profile->numeric && ce_cell_number(cell, &value))
        return ce_garble_number_end(cell, value);
    struct dice dice = dice_of(cell);
    CE_CLEANUP(ce_copy_done) struct ce_copy copy;
    const char *why = ce_copy_cell(cell, 0, &copy);
    if (why)
        return why;
    size_t count = character_count(copy.text, copy.size);
    if (count < 2)
        return "nothing to cut";
    const char *end = character_at(copy.text, copy.size, 1 + throw_below(&dice, count - 1));
    return ce_cell_set_text(cell, copy.text, (size_t)(end - copy.text));
}

enum { PARTS_MAX = 32 }; /* those after stay where they are, as one */

struct part {
    const char *text;
    size_t size;
};

static size_t split(const struct ce_copy *copy, const char *separator, struct part *parts)
{
    size_t count = 0, length = strlen(separator);
    const char *p = copy->text, *end = copy->text + copy->size;
    for (const char *next; count < PARTS_MAX - 1; p = next + length) {
        next = memmem(p, (size_t)(end - p), separator, length);
        if (!next)
            break;
        parts[count++] = (struct part){p, (size_t)(next - p)};
    }
    parts[count++] = (struct part){p, (size_t)(end - p)};
    return count;
}

/* One after the other; same size, as every part is used once. */
static void join(const struct part *parts, size_t count, const char *separator, char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text = mempcpy(text, separator, strlen(separator));
        text = mempcpy(text, parts[i].text, parts[i].size);
    }
}

const char *ce_garble_order(struct ce_cell *cell, const char *separator)
{
    struct dice dice = dice_of(cell);
    struct part parts[PARTS_MAX];
    CE_CLEANUP(ce_copy_done) struct ce_copy copy;
    const char *why = ce_copy_cell(cell, 0, &copy);
    if (why)
        return why;
    size_t count = split(&copy, separator, parts);
    if (count < 2)
        return "only one part";
    ce_autofree char *text = malloc(copy.size + 1);
    if (!text)
        return "out of memory";
    /* Each part draws from those before it and not itself: a cycle, so that all of them move. */
    for (size_t i = count - 1; i > 0; i--) {
        size_t k = throw_below(&dice, i);
        struct part part = parts[i];
        parts[i] = parts[k];
        parts[k] = part;
    }
    join(parts, count, separator, text);
    if (memcmp(text, copy.text, copy.size) == 0)
        return "no change";
    return ce_cell_set_text(cell, text, copy.size);
}

/* ---- bits, letters, marks ---- */

const char *ce_garble_bit(struct ce_cell *cell)
{
    double value;
    if (cell->profile->numeric && ce_cell_number(cell, &value))
        return ce_garble_number_bit(cell, value);
    struct dice dice = dice_of(cell);
    CE_CLEANUP(ce_copy_done) struct ce_copy copy;
    const char *why = ce_copy_cell(cell, 0, &copy);
    if (why)
        return why;
    size_t first = throw_below(&dice, copy.size), bit = throw_below(&dice, 7);
    for (size_t i = 0; i < copy.size * 7; i++) {
        char *byte = &copy.text[(first + i / 7) % copy.size];
        unsigned flipped = (unsigned char)*byte ^ 1u << (bit + i) % 7;
        if (!is_printable((unsigned char)*byte) || !is_printable(flipped))
            continue;
        *byte = (char)flipped;
        return ce_cell_set_text(cell, copy.text, copy.size);
    }
    return "no bit to flip";
}

const char *ce_garble_case(struct ce_cell *cell)
{
    CE_CLEANUP(ce_copy_done) struct ce_copy copy;
    const char *why = ce_copy_cell(cell, 0, &copy);
    if (why)
        return why;
    size_t lower = 0, letters = 0;
    for (size_t i = 0; i < copy.size; i++) {
        lower += is_lower(copy.text[i]);
        letters += is_lower(copy.text[i]) || is_upper(copy.text[i]);
    }
    if (letters == 0)
        return "no letters";
    for (size_t i = 0; i < copy.size; i++)
        if (lower == 0 || is_lower(copy.text[i]))
            copy.text[i] = other_case(copy.text[i]);
    return ce_cell_set_text(cell, copy.text, copy.size);
}

const char *ce_garble_punctuation(struct ce_cell *cell)
{
    CE_CLEANUP(ce_copy_done) struct ce_copy copy;
    const char *why = ce_copy_cell(cell, 1, &copy);
    if (why)
        return why;
    size_t kept = 0;
    for (size_t i = 0; i < copy.size; i++)
        if (!is_punctuation(copy.text[i]))
            copy.text[kept++] = copy.text[i];
    if (kept == 0)
        return "nothing but punctuation";
    if (kept == copy.size)
        copy.text[kept++] = '.';
    return ce_cell_set_text(cell, copy.text, kept);
}
