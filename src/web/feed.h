/* SPDX-License-Identifier: MIT */
/* What suites say, for browsers: server-sent events.
 *
 * The last events are kept in one ring that all clients read from, each at its own pace; so a
 * client costs a connection and no memory. One that comes back says which event it had last and
 * goes on behind it; one that the ring has overtaken is disconnected, comes back, and asks anew.
 *
 * Events are added by one thread; clients are served by the thread of the server. */
#ifndef CE_WEB_FEED_H
#define CE_WEB_FEED_H

#include <microhttpd.h>

#include "base/error.h"

enum {
    CE_FEED_EVENTS = 4096,   /* in the ring, at most */
    CE_FEED_BYTES = 4 << 20, /* likewise */
    CE_FEED_CLIENTS_MAX = 2000,
};

struct ce_feed;
struct ce_feed *ce_feed_new(void); /* NULL: out of memory */
/* Without clients. NULL is fine. */
void ce_feed_free(struct ce_feed *feed);

/* `name` and a line of JSON. Wakes the clients that wait. */
void ce_feed_add(struct ce_feed *feed, const char *name, const char *line, size_t size);
/* To be called every second or so: a client that has heard nothing for a while is told so. */
void ce_feed_turn(struct ce_feed *feed);
/* Ends all clients, now and from now on; before the server is stopped. */
void ce_feed_end(struct ce_feed *feed);

/* The answer for a client. `last`: the id of the last event that it has, as it says; NULL or
 * anything else: from now on. NULL: out of memory, or too many clients. */
struct MHD_Response *ce_feed_open(struct ce_feed *feed, struct MHD_Connection *connection,
                                  const char *last);

#endif
