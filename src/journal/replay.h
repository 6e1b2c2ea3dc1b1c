/* SPDX-License-Identifier: MIT */
/* A journal's bytes and what they say. No files and no locks here: journal.c has those.
 *
 * A journal is a sequence of records:
 *
 *     0  4  mark     CE 4A 52 31
 *     4  4  crc      CRC-32C of length and payload, little-endian
 *     8  4  length   of the payload, little-endian
 *    12  n  payload  one JSON object, UTF-8
 *
 * The payload's "type" is "open" (always first), "note", "undone", "foreign", "settled" or
 * "closed". The mark is not valid UTF-8, so it cannot occur inside a payload: after damage the next
 * record is found by looking for it. */
#ifndef CE_JOURNAL_REPLAY_H
#define CE_JOURNAL_REPLAY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/identity.h"

enum { CE_JOURNAL_VERSION = 1, CE_RECORD_HEAD = 12, CE_RECORD_MAX = 1 << 20 };

enum ce_note_state {
    CE_NOTE_LIVE = 0,
    CE_NOTE_UNDONE,
    CE_NOTE_FOREIGN, /* it was another thing by then, and was left alone */
    CE_NOTE_SETTLED, /* the fault put it back itself */
};
/* The record type that brings a note into that state. */
const char *ce_note_state_name(enum ce_note_state state);

struct ce_note {
    int id;
    enum ce_note_state state;
    char *op, *noted_at;
    json_t *args;
};

/* What has been read so far. Start from zero; ended by ce_replay_done(). */
struct ce_replay {
    char *run;                /* NULL until the first record was read */
    char *experiment, *fault; /* NULL: it claims nothing */
    json_t *claims;           /* see claim.h; may be NULL */
    struct ce_process_id owner;
    char boot[CE_BOOT_ID_SIZE];
    struct ce_note *notes; /* by rising id */
    size_t count;
    bool closed;  /* the guard has undone the run at its deadline: nothing may be noted any more */
    bool damaged; /* something could not be read although more follows */
    size_t end;   /* bytes up to and with the last whole record: the next one goes here */
};

void ce_replay_done(struct ce_replay *replay);
/* Takes in the bytes of the file from `replay->end` on. An incomplete or broken last record never
 * happened. Damage before whole records is -EBADMSG, and so is a record that makes no sense;
 * everything that can be read is taken in all the same. */
int ce_replay_feed(struct ce_replay *replay, const char *data, size_t size, struct ce_error *err);
/* NULL when there is no such note. */
struct ce_note *ce_replay_note(const struct ce_replay *replay, int id);
size_t ce_replay_live(const struct ce_replay *replay);

/* One record's bytes. Free *ret_bytes with free(). */
int ce_record_encode(const json_t *payload, char **ret_bytes, size_t *ret_size,
                     struct ce_error *err);

#endif
