/* SPDX-License-Identifier: MIT */
/* Texts that have to fit a number of columns of a terminal.
 *
 * No locale is asked: texts are UTF-8, and a character is taken for as wide as any terminal shows
 * it, so that what is cut here is never too long. */
#include "cli.h"

#include <string.h>

static bool continues(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Of the character that begins there. Wide ones begin with U+1100; from there on only U+2000 to
 * U+22FF are known not to be: dashes, arrows and such. */
static size_t columns_of(const char *character)
{
    unsigned char first = (unsigned char)character[0], second = (unsigned char)character[1];
    bool narrow =
        first < 0xe1 || (first == 0xe1 && second < 0x84) || (first == 0xe2 && second < 0x8c);
    return narrow ? 1 : 2;
}

static const char *next_character(const char *text)
{
    do
        text++;
    while (continues(*text));
    return text;
}

size_t cli_columns(const char *text)
{
    size_t columns = 0;
    for (; *text; text = next_character(text))
        columns += columns_of(text);
    return columns;
}

size_t cli_fitting(const char *text, size_t columns)
{
    const char *end = text;
    while (*end && columns_of(end) <= columns) {
        columns -= columns_of(end);
        end = next_character(end);
    }
    return (size_t)(end - text);
}

size_t cli_shorten(const char *text, size_t columns, char ret_text[CLI_SHORT_SIZE])
{
    static const char dots[] = "...";
    const size_t around = columns > sizeof dots ? columns - (sizeof dots - 1) : 1;
    size_t all = cli_columns(text);
    if (all <= columns) {
        snprintf(ret_text, CLI_SHORT_SIZE, "%s", text);
        return all;
    }
    size_t head = cli_fitting(text, around - around / 2);
    const char *tail = text + head;
    for (size_t left = cli_columns(tail); left > around / 2; tail = next_character(tail))
        left -= columns_of(tail);
    snprintf(ret_text, CLI_SHORT_SIZE, "%.*s%s%s", (int)head, text, dots, tail);
    return cli_columns(ret_text);
}
