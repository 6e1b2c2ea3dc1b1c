/* SPDX-License-Identifier: MIT */
#include "host/storage/fuse_queue.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum { SPARE_MAX = 16 };

struct ce_fuse_queue {
    pthread_mutex_t lock;
    /* One thread watches the first request's time; the others are idle until it has work for them.
     */
    pthread_cond_t idle, watching, quiet;
    bool watched;
    struct ce_fuse_request *first; /* by time; in order of arrival where that is the same */
    struct ce_fuse_request *spare;
    size_t spare_count, busy;
    void (*act)(void *ctx, struct ce_fuse_request *request);
    void *ctx;
};

static void request_free(struct ce_fuse_request *request)
{
    free(request->data.mem);
    free(request);
}

static void wait_until(struct ce_fuse_queue *queue, pthread_cond_t *event, int64_t until)
{
    struct timespec t = {.tv_sec = until / CE_SECOND, .tv_nsec = until % CE_SECOND};
    (void)pthread_cond_timedwait(event, &queue->lock, &t);
}

/* Somebody has to look at the first request. */
static void call(struct ce_fuse_queue *queue)
{
    (void)pthread_cond_signal(queue->watched ? &queue->watching : &queue->idle);
}

static void *work(void *arg)
{
    struct ce_fuse_queue *queue = arg;
    /* The umask is each thread's own from here on. */
    (void)unshare(CLONE_FS);
    (void)pthread_mutex_lock(&queue->lock);
    for (;;) {
        struct ce_fuse_request *request = queue->first;
        if (request && request->until <= ce_now()) {
            queue->first = request->next;
            queue->busy++;
            if (queue->first)
                call(queue);
            (void)pthread_mutex_unlock(&queue->lock);
            queue->act(queue->ctx, request);
            ce_fuse_queue_return(queue, request);
            (void)pthread_mutex_lock(&queue->lock);
            queue->busy--;
            if (!queue->first && queue->busy == 0)
                (void)pthread_cond_broadcast(&queue->quiet);
        } else if (request && !queue->watched) {
            queue->watched = true;
            wait_until(queue, &queue->watching, request->until);
            queue->watched = false;
        } else {
            (void)pthread_cond_wait(&queue->idle, &queue->lock);
        }
    }
    return NULL;
}

int ce_fuse_queue_new(size_t threads, void (*act)(void *ctx, struct ce_fuse_request *request),
                      void *ctx, struct ce_fuse_queue **ret_queue, struct ce_error *err)
{
    struct ce_fuse_queue *queue = calloc(1, sizeof *queue);
    pthread_condattr_t monotonic;
    if (!queue)
        return ce_fail_memory(err);
    queue->act = act;
    queue->ctx = ctx;
    (void)pthread_mutex_init(&queue->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&queue->idle, NULL);
    (void)pthread_cond_init(&queue->watching, &monotonic);
    (void)pthread_cond_init(&queue->quiet, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    for (size_t i = 0; i < threads; i++) {
        pthread_t thread;
        int error = pthread_create(&thread, NULL, work, queue);
        if (error != 0) /* this process is about to end, and the threads with it */
            return ce_fail(err, error, "cannot start a thread");
        (void)pthread_detach(thread);
    }
    *ret_queue = queue;
    return 0;
}

struct ce_fuse_request *ce_fuse_queue_blank(struct ce_fuse_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    struct ce_fuse_request *request = queue->spare;
    if (request) {
        queue->spare = request->next;
        queue->spare_count--;
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return request ? request : calloc(1, sizeof *request);
}

void ce_fuse_queue_return(struct ce_fuse_queue *queue, struct ce_fuse_request *request)
{
    (void)pthread_mutex_lock(&queue->lock);
    bool keep = queue->spare_count < SPARE_MAX;
    if (keep) {
        *request = (struct ce_fuse_request){.next = queue->spare, .data = request->data};
        queue->spare = request;
        queue->spare_count++;
    }
    (void)pthread_mutex_unlock(&queue->lock);
    if (!keep)
        request_free(request);
}

void ce_fuse_queue_add(struct ce_fuse_queue *queue, struct ce_fuse_request *request)
{
    (void)pthread_mutex_lock(&queue->lock);
    struct ce_fuse_request **at = &queue->first;
    while (*at && (*at)->until <= request->until)
        at = &(*at)->next;
    request->next = *at;
    *at = request;
    if (queue->first == request)
        call(queue);
    (void)pthread_mutex_unlock(&queue->lock);
}

void ce_fuse_queue_release(struct ce_fuse_queue *queue, bool errors)
{
    (void)pthread_mutex_lock(&queue->lock);
    for (struct ce_fuse_request *request = queue->first; request; request = request->next) {
        request->until = 0;
        request->error = errors ? 0 : request->error;
    }
    call(queue);
    (void)pthread_mutex_unlock(&queue->lock);
}

bool ce_fuse_queue_drain(struct ce_fuse_queue *queue, int64_t timeout)
{
    int64_t until = ce_now() + timeout;
    (void)pthread_mutex_lock(&queue->lock);
    while ((queue->first || queue->busy > 0) && ce_now() < until)
        wait_until(queue, &queue->quiet, until);
    bool empty = !queue->first && queue->busy == 0;
    (void)pthread_mutex_unlock(&queue->lock);
    return empty;
}
