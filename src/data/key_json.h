/* SPDX-License-Identifier: MIT */
/* What the header and the trailer of every answer key say, whatever the format. All are NULL when
 * there is no memory. */
#ifndef CE_DATA_KEY_JSON_H
#define CE_DATA_KEY_JSON_H

#include <jansson.h>

#include "data/data.h"

/* The names of the columns; null for one that is no UTF-8. */
json_t *ce_key_json_columns(const struct ce_profile *profile);
/* A fault as it was asked for. `columns`: the indices of those that it may hit, taken over in every
 * case; NULL: not told. */
json_t *ce_key_json_fault(const struct ce_mutation *mutation, json_t *columns);
/* What the `count` faults came to. */
json_t *ce_key_json_trailer(const struct ce_data_result *result, size_t count);

#endif
