/* SPDX-License-Identifier: MIT */
/* The answer key's file: which cells were changed, and their old bytes.
 * docs/internals/answer-key.md has the format. */
#ifndef CE_DATA_KEY_H
#define CE_DATA_KEY_H

#include <jansson.h>
#include <sys/types.h>

#include "data/stream.h"

/* One change, as it stands in the key. */
struct ce_key_change {
    uint64_t gap; /* bytes of the changed file since the end of the change before it: the same in
                     both files */
    uint64_t row_step; /* rows since that change */
    uint64_t column;
    uint64_t new_size, old_size; /* in the changed file, in the original */
};

/* ---- writing ---- */

/* Starts a key at `path`. `header` says what was done; it is taken over in every case. */
int ce_key_begin(const char *path, mode_t mode, json_t *header, struct ce_sink **ret_key,
                 struct ce_error *err);
int ce_key_add(struct ce_sink *key, const struct ce_key_change *change, const char *old,
               struct ce_error *err);
/* Adds what is only known at the end, and seals the key. `trailer` is taken over in every case. */
int ce_key_end(struct ce_sink *key, json_t *trailer, struct ce_error *err);

/* ---- reading ---- */

struct ce_key {
    struct ce_source *source; /* stands at the next change */
    char sha256_in[CE_SHA256_HEX], sha256_out[CE_SHA256_HEX];
};

/* Opens a key and checks its seal: -EINVAL when it is none, of another version, or damaged. */
int ce_key_open(const char *path, struct ce_key *ret_key, struct ce_error *err);
void ce_key_done(struct ce_key *key); /* a zeroed one is fine */
/* The next change: 1, 0 at the end, or -errno. The caller takes its old bytes from `source` before
 * the next call. */
int ce_key_next(struct ce_key *key, struct ce_key_change *ret_change, struct ce_error *err);

#endif
