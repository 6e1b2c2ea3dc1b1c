/* SPDX-License-Identifier: MIT */
/* The hash of a table's content, taken batch by batch. digest.c says over what. */
#ifndef CE_DATA_ARROW_DIGEST_H
#define CE_DATA_ARROW_DIGEST_H

#include "base/hash.h"
#include "data/arrow/layout.h"

struct ce_arrow_digest;
int ce_arrow_digest_new(struct ce_arrow_type *const *types, size_t columns,
                        struct ce_arrow_digest **ret_digest, struct ce_error *err);
void ce_arrow_digest_free(struct ce_arrow_digest *digest); /* NULL is fine */
CE_DEFINE_CLEANUP(struct ce_arrow_digest, ce_arrow_digest_free);
/* Rows [start, start + count) of the column's buffers. All columns must get the same rows. */
void ce_arrow_digest_add(struct ce_arrow_digest *digest, size_t column,
                         const struct ce_arrow_type *type, const struct ArrowArray *array,
                         int64_t start, int64_t count);
/* That the column is column `from` of another table, whose digest is ended before this one. */
void ce_arrow_digest_borrow(struct ce_arrow_digest *digest, size_t column,
                            struct ce_arrow_digest *other, size_t from);
int ce_arrow_digest_end(struct ce_arrow_digest *digest, const struct ArrowSchema *schema,
                        uint64_t rows, char ret_hex[CE_SHA256_HEX], struct ce_error *err);

#endif
