/* SPDX-License-Identifier: MIT */
/* The answer key's file: what was changed, and what stood there before.
 * docs/internals/answer-key.md has the format (version 2). */
#ifndef CE_DATA_ANSWER_KEY_H
#define CE_DATA_ANSWER_KEY_H

#include <jansson.h>
#include <sys/types.h>

#include "data/stream/stream.h"

/* What kind of thing an entry changed. A cell's `what` is CE_KEY_CELL plus the index of its column
 * in the input. */
enum ce_key_what {
    CE_KEY_ROW_ADDED = 0,
    CE_KEY_ROW_REMOVED = 1,
    CE_KEY_LAYOUT = 2, /* bytes of a record (or of the header) whose columns were changed */
    CE_KEY_CELL = 3,
};

/* Of text (kind "bytes") an entry is a patch: old bytes in the place of new ones. Of typed tables
 * (kind "table") sizes count the old value alone, and the gap counts rows. */
struct ce_key_change {
    uint64_t gap; /* bytes (rows) of the changed file since the end of the change before it: the
                     same in both files */
    uint64_t row_step; /* rows of the input since that change */
    uint64_t what;
    uint64_t fault;              /* which mutation did it last, from 0 */
    uint64_t new_size, old_size; /* in the changed file, in the original */
};

/* ---- writing ---- */

/* Starts a key at `path`. `header` says what was done; it is taken over in every case. Keys whose
 * name ends in .gz or .zst are compressed. */
int ce_key_begin(const char *path, mode_t mode, json_t *header, struct ce_output **ret_key,
                 struct ce_error *err);
/* The bytes of one entry, old bytes not included: at most CE_KEY_HEAD_MAX. Threads write entries to
 * buffers of their own; who puts these together re-writes the first entry of each. */
#define CE_KEY_HEAD_MAX 60
size_t ce_key_head(const struct ce_key_change *change, char *ret_bytes);
/* Adds what is only known at the end, and seals the key. `trailer` is taken over in every case. */
int ce_key_end(struct ce_output *key, json_t *trailer, struct ce_error *err);

/* ---- reading ---- */

struct ce_key; /* stands at the next change */
/* Opens a key and checks its seal: -EINVAL when it is none, of another version, or damaged. */
int ce_key_open(const char *path, struct ce_key **ret_key, struct ce_error *err);
void ce_key_close(struct ce_key *key);
const json_t *ce_key_header(const struct ce_key *key);
const json_t *ce_key_trailer(const struct ce_key *key);
/* The SHA-256 that the trailer holds under that name: "sha256_in" or "sha256_out". "" when it is
 * missing, which no content has. */
const char *ce_key_hash(const struct ce_key *key, const char *name);
/* The next change: 1, 0 at the end, or -errno. Old bytes that were not read of the one before are
 * passed over. */
int ce_key_next(struct ce_key *key, struct ce_key_change *ret_change, struct ce_error *err);
/* At most `size` of its old bytes that are left; 0 when there are no more. */
ssize_t ce_key_old(struct ce_key *key, void *data, size_t size, struct ce_error *err);

#endif
