/* SPDX-License-Identifier: MIT */
/* The few things that jansson leaves to its callers. */
#ifndef CE_BASE_JSON_H
#define CE_BASE_JSON_H

#include <jansson.h>

#include "base/error.h"

/* A number, or null when it is not finite: JSON has no other way to say "not measured". */
json_t *ce_json_number(double value);

/* The text of a document, keys in the order in which they were set, ending in a newline. Free with
 * free(). NULL: no memory. */
char *ce_json_text(const json_t *json);
/* The same with all the digits that a number needs to be read back as it is. */
char *ce_json_exact_text(const json_t *json);

/* Parses one JSON document; `name` is what the message calls it. Returns NULL and fills `err` when
 * it is not JSON. */
json_t *ce_json_parse(const char *text, size_t size, const char *name, struct ce_error *err);

#endif
