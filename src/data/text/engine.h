/* SPDX-License-Identifier: MIT */
/* The pipeline under every pass over a text table: chunks are read one after the other, worked on
 * by as many threads as there are, and merged one after the other, in the order of the file.
 *
 * What a chunk holds and the order of merging do not depend on the threads, so neither does any
 * result that is made of what work() says of a chunk alone and put together in merge(). The calling
 * thread takes part. A fixed number of chunks is in flight, so memory is bounded. */
#ifndef CE_DATA_TEXT_ENGINE_H
#define CE_DATA_TEXT_ENGINE_H

#include <signal.h>

#include "data/text/chunk.h"

struct ce_engine_job {
    struct ce_chunk_reader *reader;
    unsigned threads; /* 0: as many as there are processors */
    const volatile sig_atomic_t *stop;
    void (*progress)(void *ctx, double fraction);
    void *progress_ctx;

    void *ctx;
    /* What a thread keeps from chunk to chunk, and what a chunk's work is stored in; NULL: no
     * memory. */
    void *(*worker_new)(void *ctx);
    void (*worker_free)(void *worker);
    void *(*result_new)(void *ctx);
    void (*result_free)(void *result);
    /* On any thread, several at once. */
    int (*work)(void *ctx, void *worker, const struct ce_chunk *chunk, void *result,
                struct ce_error *err);
    /* On any thread, one at a time, in order. */
    int (*merge)(void *ctx, const struct ce_chunk *chunk, void *result, struct ce_error *err);
};

/* Runs to the end of the input, or to the first error in the order of the file. -EINTR: stopped. */
int ce_engine_run(const struct ce_engine_job *job, struct ce_error *err);

#endif
