/* SPDX-License-Identifier: MIT */
/* Suites that the page has started: each a process of its own, `chaoseater run FILE`, which is
 * heard like any other. Who asked for it waits until it has begun, or has ended without having
 * begun, and then is told why.
 *
 * Started by the thread that answers requests, and looked after by the one that listens; the lock
 * is the caller's. They are interrupted, and so undone, when that thread ends. */
#ifndef CE_WEB_LAUNCH_H
#define CE_WEB_LAUNCH_H

#include <microhttpd.h>
#include <poll.h>
#include <stdint.h>

#include "base/error.h"

enum { CE_LAUNCHES_MAX = 16 };

struct ce_launches;
struct ce_launches *ce_launches_new(void); /* NULL: out of memory */
/* Nobody waits any more; those that go on are interrupted. */
void ce_launches_give_up(struct ce_launches *launches);
/* After that: waits for their end, for a while. NULL is fine. */
void ce_launches_free(struct ce_launches *launches);

struct ce_launch_order {
    const char *document;              /* what it is called */
    const char *const *argv;           /* the program and its arguments, NULL-terminated */
    struct MHD_Connection *connection; /* of who waits: it is resumed then */
};
/* *ret_number is what ce_launch_outcome() is asked for. -EBUSY: too many. */
int ce_launch_start(struct ce_launches *launches, const struct ce_launch_order *order,
                    uint64_t *ret_number, struct ce_error *err);

struct ce_launch_outcome {
    int pid;
    char suite[64];     /* "": it has not begun yet, or never did */
    bool ended;         /* then: */
    int exit_code;      /* -1: it was killed */
    char sentence[512]; /* what it said last; "": nothing */
};
/* Of one that nobody waits for any more. */
void ce_launch_take(struct ce_launches *launches, uint64_t number,
                    struct ce_launch_outcome *ret_outcome);

/* A suite that this process leads has begun: which document it is of; NULL: none of ours. Borrowed.
 */
const char *ce_launch_began(struct ce_launches *launches, int pid, const char *suite);
/* What is to be polled for: at most 2 * CE_LAUNCHES_MAX. */
size_t ce_launches_poll(const struct ce_launches *launches, struct pollfd *polled);
/* Takes what they said, and looks who has ended. */
void ce_launches_turn(struct ce_launches *launches);

#endif
