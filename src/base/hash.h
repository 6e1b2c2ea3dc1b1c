/* SPDX-License-Identifier: MIT */
/* SHA-256, by which files are recognised, and CRC-32C, by which journal records are. */
#ifndef CE_BASE_HASH_H
#define CE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CE_SHA256_HEX 65 /* 64 digits and the NUL */

struct ce_sha256;
struct ce_sha256 *ce_sha256_new(void); /* NULL: out of memory */
void ce_sha256_add(struct ce_sha256 *sha, const void *data, size_t size);
/* Writes the digest and frees `sha`. */
void ce_sha256_end(struct ce_sha256 *sha, char hex[CE_SHA256_HEX]);
void ce_sha256_free(struct ce_sha256 *sha); /* NULL is fine */

int ce_sha256_file(const char *path, char ret_hex[CE_SHA256_HEX], struct ce_error *err);
int ce_sha256_data(const void *data, size_t size, char ret_hex[CE_SHA256_HEX],
                   struct ce_error *err);

uint32_t ce_crc32c(const void *data, size_t size);

#endif
