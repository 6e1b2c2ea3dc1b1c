/* SPDX-License-Identifier: MIT */
/* Requests of the kernel that wait until their time comes, and the threads that take them then. */
#ifndef CE_HOST_STORAGE_FUSE_QUEUE_H
#define CE_HOST_STORAGE_FUSE_QUEUE_H

#include "host/storage/fuse_tree.h"

struct ce_fuse_request {
    struct ce_fuse_request *next;
    int64_t until;        /* monotonic */
    int error;            /* errno with which it is answered; 0: it is carried out */
    struct fuse_buf data; /* as it came from the kernel */
};

struct ce_fuse_queue;
/* Starts `threads` threads that call `act` for each request, outside the lock; it stays the
 * queue's. */
int ce_fuse_queue_new(size_t threads, void (*act)(void *ctx, struct ce_fuse_request *request),
                      void *ctx, struct ce_fuse_queue **ret_queue, struct ce_error *err);
/* An empty request, with the memory of an old one if there is one to be had. NULL: no memory. */
struct ce_fuse_request *ce_fuse_queue_blank(struct ce_fuse_queue *queue);
/* Takes ownership. */
void ce_fuse_queue_add(struct ce_fuse_queue *queue, struct ce_fuse_request *request);
void ce_fuse_queue_return(struct ce_fuse_queue *queue, struct ce_fuse_request *request);
/* All that waits need not wait any longer. `errors`: nor fail. */
void ce_fuse_queue_release(struct ce_fuse_queue *queue, bool errors);
/* Waits until nothing waits and nothing is being done. False: it takes longer than `timeout` ns. */
bool ce_fuse_queue_drain(struct ce_fuse_queue *queue, int64_t timeout);

#endif
