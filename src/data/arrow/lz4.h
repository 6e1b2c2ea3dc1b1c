/* SPDX-License-Identifier: MIT */
/* LZ4 frames, in which Feather files keep their buffers unless told otherwise. */
#ifndef CE_DATA_ARROW_LZ4_H
#define CE_DATA_ARROW_LZ4_H

#include <stdbool.h>
#include <stddef.h>

/* Unpacks one frame that holds exactly `out_size` bytes; false: it does not. Checksums are passed
 * over. */
bool ce_lz4_unpack(const void *frame, size_t size, void *out, size_t out_size);
/* Room that a frame of so many bytes may take. */
size_t ce_lz4_bound(size_t size);
/* Packs bytes into one frame; returns its size. `out` has room for ce_lz4_bound() bytes. */
size_t ce_lz4_pack(const void *data, size_t size, void *out);

#endif
