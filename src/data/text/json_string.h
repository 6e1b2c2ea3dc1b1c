/* SPDX-License-Identifier: MIT */
/* JSON strings: what they say, and how a text is written as one. */
#ifndef CE_DATA_TEXT_JSON_STRING_H
#define CE_DATA_TEXT_JSON_STRING_H

#include "data/text/buffer.h"

/* Decodes the escapes of a string, given without its quotes, to `out`, which has room for `size`
 * bytes; returns how many it took. Half a surrogate pair becomes U+FFFD. `name`: the result is a C
 * string without its NUL, so \u0000 stays as it is written. */
size_t ce_json_decode(const char *raw, size_t size, bool name, char *out);

/* Appends the text as a JSON string, quotes included; false: no memory. Bytes that are no UTF-8
 * become U+FFFD. `ascii`: other characters are escaped. `text` may lie within the buffer. */
bool ce_json_put_string(const char *text, size_t size, bool ascii, struct ce_buffer *out);

#endif
