/* SPDX-License-Identifier: MIT */
/* A porter: a process that answers for those that have gone through a door (host/storage/door.h),
 * as the page says (host/storage/door_page.h). It runs beside them, as the same user, and ends with
 * the last of them.
 *
 * A call that waits is answered when its time has come; meanwhile others are. A porter may have a
 * substitute, which holds the listener too and knows what has not been answered. Should the porter
 * be killed, the substitute lets all those calls pass, and all that come: from then on there is no
 * fault, and no call fails that would not have. A substitute that is missing is replaced. */
#ifndef CE_HOST_STORAGE_PORTER_H
#define CE_HOST_STORAGE_PORTER_H

#include "host/storage/door_page.h"

/* Answers until nobody is left. In another process than those that have gone through; it may
 * return in a child of the caller's, too, if there is a substitute. */
int ce_porter_serve(struct ce_door_page *page, int listener, bool has_substitute,
                    struct ce_error *err);

/* Calls the function in a child that has gone through a door, while this process, which has one
 * thread, is its porter; `helpers` is where the page is. Returns what it returned, with its error;
 * `ctx` (`size` bytes) is what it left there. */
int ce_porter_call(const char *helpers, int (*function)(void *ctx, struct ce_error *err), void *ctx,
                   size_t size, struct ce_error *err);

/* A listener, sent and received. */
int ce_porter_send_listener(int channel, int listener);
int ce_porter_receive_listener(int channel, int *ret_listener);

#endif
