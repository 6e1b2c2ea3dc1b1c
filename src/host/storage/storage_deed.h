/* SPDX-License-Identifier: MIT */
/* What becomes of a target's reads and writes, whatever brings that about, and the gate through
 * which those means pass each operation that do it themselves.
 *
 * The gate decides; it neither waits nor acts. It says until when an operation is to be held back
 * and with which error it is to fail. Decisions depend on the seed and on how many operations of
 * that kind came before, on nothing else: the same sequence of operations fails in the same places.
 */
#ifndef CE_HOST_STORAGE_STORAGE_DEED_H
#define CE_HOST_STORAGE_STORAGE_DEED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/random.h"

enum {
    CE_STORAGE_READ = 1,
    CE_STORAGE_WRITE = 2, /* also fallocate, and copies within the kernel */
    CE_STORAGE_FSYNC = 4,
    CE_STORAGE_ALL = 7,
    CE_STORAGE_KINDS = 3,
};

struct ce_storage_deed {
    /* To which operations (CE_STORAGE_ bits) the next five apply. Each kind has limits of its own,
     * as reads and writes of a device have. */
    unsigned operations;
    double iops;             /* operations per second; 0: no limit */
    double bytes_per_second; /* 0: no limit */
    int64_t latency;         /* ns, before each */
    double error_rate;       /* share that fails, 0..1 */
    int error;               /* with this errno */

    /* No space: that share (0..1) of what needs room fails with this errno; with 1 nothing is free
     * any more. What is written to where a file has its bytes already needs no room. */
    double full;
    int full_error;
    uint64_t leave; /* bytes that stay free; only means that really fill it up can do that */
    bool may_fill;  /* whether they may: the filesystem is there for the target alone */

    uint64_t seed;
};

/* The deed with so much of its magnitude: 0 nothing .. 1 as it is. Half the intensity of a limit is
 * twice the limit. */
struct ce_storage_deed ce_storage_deed_scaled(const struct ce_storage_deed *deed, double intensity);
/* Whether it changes nothing. */
bool ce_storage_deed_is_idle(const struct ce_storage_deed *deed);

/* "EIO", "ENOSPC", ... Errors that a read or a write can end with; others are unknown: -EINVAL, and
 * the sentence names all. */
int ce_storage_error_parse(const char *name, int *ret_error, struct ce_error *err);
const char *ce_storage_error_name(int error); /* NULL: unknown */

/* Whether writing there needs room: beyond the file's end, or into a file with holes. `offset`
 * below 0: where that is is not known. */
bool ce_storage_needs_room(int fd, off_t offset, uint64_t size);
bool ce_storage_needs_room_in(const struct stat *file, off_t offset, uint64_t size);

struct ce_storage_counts {
    uint64_t seen;   /* operations of the kinds that the deed is about */
    uint64_t held;   /* of them: held back, but not failed */
    uint64_t failed; /* of them: failed */
};

/* Any thread. */
struct ce_storage_gate {
    pthread_mutex_t lock;
    struct ce_storage_deed deed;
    struct ce_stream draws[CE_STORAGE_KINDS], room_draws;
    struct ce_storage_kind_state {
        uint64_t number;               /* of the next operation */
        int64_t next_turn, next_bytes; /* when the limits let the next one through */
    } kinds[CE_STORAGE_KINDS];
    uint64_t room_number;
    struct ce_storage_counts counts;
};

struct ce_storage_verdict {
    int64_t until; /* monotonic time at which it may go on; not in the future: at once */
    int error;     /* errno with which it fails then; 0: it is carried out */
};

void ce_storage_gate_init(struct ce_storage_gate *gate, const struct ce_storage_deed *deed);
/* The same for one in memory that processes share: any of them may end while it passes it. There is
 * no deed yet. */
void ce_storage_gate_init_shared(struct ce_storage_gate *gate);
/* Begins another deed: numbers of operations and counts begin anew. */
void ce_storage_gate_renew(struct ce_storage_gate *gate, const struct ce_storage_deed *deed);
/* From now on; numbers of operations and counts go on. */
void ce_storage_gate_set(struct ce_storage_gate *gate, const struct ce_storage_deed *deed);
/* One operation of one kind (a CE_STORAGE_ bit) with so many bytes, at `now`. `needs_room` matters
 * for writes only; who would have to find out with effort may ask ce_storage_gate_full() first. */
struct ce_storage_verdict ce_storage_gate_pass(struct ce_storage_gate *gate, unsigned kind,
                                               uint64_t bytes, bool needs_room, int64_t now);
/* The share of what needs room that fails now. */
double ce_storage_gate_full(struct ce_storage_gate *gate);
struct ce_storage_counts ce_storage_gate_counts(struct ce_storage_gate *gate);

#endif
